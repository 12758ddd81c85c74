"""`twice break`: which faults there are, that a seed leads everyone to the same one, and what is kept of it."""

import ast
import difflib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from shared.curriculum import HOUSE, Lesson, load
from shared.learn import breaking, cli, screen
from shared.learn.breaking import Symptom, in_order, mended, open_break
from shared.learn.faults import KINDS, Fault, faults
from shared.learn.home import home

SOURCE = '''
"""A module: 1 + 2."""

import math

__all__ = ["Model", "fit", "train"]

SCALE = 2


class Model:
    """A model."""

    def predict(self, x: list[float], shift: float = 0.0) -> list[float]:
        """x · 2."""
        return [2 * xi + shift for xi in x]  # ×: twice


def fit(xs: list[float], ys: list[float]) -> float:
    """xs - ys."""
    n, mean_x, mean_y = len(xs), sum(xs) / len(xs), sum(ys) / len(ys)
    best = max(xs)
    return (mean_x - mean_y) / math.sqrt(n) if best * best > 0 else xs[-1]


def _matmul(A: list[list[float]], B: list[list[float]]) -> list[list[float]]:
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*B)] for row in A]


def train(optimizer, loss, rows: list[list[float]]) -> float:
    total = 0.0
    for i in range(len(rows)):
        optimizer.zero_grad()
        value = loss(_matmul(rows, rows), rows[i][0].sum(axis=1))
        value.backward()
        optimizer.step()
        total += value / len(rows[i : i + 2])
    return total
'''.lstrip("\n")
GUARDED = '''
"""Nothing here is to be broken: 1 - 1."""

from operator import add

LIMIT = 1e-9


def fit(x: list[float], most: float = 2.0) -> list[float]:
    """x[0] + x[1]."""
    expected = len(x) + 1
    x = list(x)
    _check(x, expected)
    if len(x) < 2 or most > expected - 1:
        raise ValueError(f"expected {expected - 1} values, got {len(x) + 1}")
    for value in x:
        if value > LIMIT * 2:
            raise ValueError("too large by 1 + 1")
    return x


def _check(x: list[float], n: int) -> None:
    if len(x) - 1 >= n:
        raise ValueError("too long")


def _columns(x: list[list[float]]) -> list[list[float]]:  # given
    return [[row[j] - 1 for row in x] for j in range(len(x[0]))]


class _Count:  # given
    def next(self, n: int) -> int:
        return n + 1


if __name__ == "__main__":
    print(fit([1.0 + 2.0], 3 - 1))
'''.lstrip("\n")
# (what stood there, what a fault makes of it), at least one for each kind
EXPECTED = [
    ("a flipped sign", "2 * xi + shift", "2 * xi - shift"),
    ("a missing term", "2 * xi + shift", "2 * xi"),
    ("a missing term", "2 * xi + shift", "xi + shift"),
    ("a missing term", "(mean_x - mean_y) / math.sqrt(n) if", "mean_x - mean_y if"),
    ("a missing term", "math.sqrt(n)", "n"),
    ("a wrong index", "xs[-1]", "xs[0]"),
    ("a wrong index", "range(len(rows))", "range(len(rows) - 1)"),
    ("a transposed operand", "(mean_x - mean_y)", "(mean_y - mean_x)"),
    ("a transposed operand", "zip(*B)", "B"),
    ("a wrong axis", "axis=1", "axis=0"),
    ("a wrong comparison", "best > 0", "best >= 0"),
    ("a missing term", "best * best", "best"),
    ("a wrong constant", "total = 0.0", "total = 1.0"),
    ("a wrong variable", "(mean_x - mean_y)", "(mean_x - mean_x)"),
    ("a wrong variable", "sum(ys)", "sum(xs)"),
    ("min for max", "max(xs)", "min(xs)"),
    ("a stale value", "total += value", "total = value"),
    ("a wrong index", "rows[i : i + 2]", "rows[i:i]"),
    ("a wrong index", "rows[i : i + 2]", "rows[i : i + 2 - 1]"),
    ("a stale value", "        optimizer.zero_grad()\n", ""),
    (
        "a stale value",
        "        value.backward()\n        optimizer.step()\n",
        "        optimizer.step()\n        value.backward()\n",
    ),
]


@pytest.mark.parametrize(("kind", "was", "becomes"), EXPECTED, ids=range(len(EXPECTED)))
def test_a_slip_is_made_in_place(kind: str, was: str, becomes: str) -> None:
    assert SOURCE.count(was) == 1
    assert (kind, SOURCE.replace(was, becomes)) in {(fault.kind, fault.source) for fault in faults(SOURCE)}


def test_each_kind_is_among_them() -> None:
    assert {kind for kind, *_ in EXPECTED} == set(KINDS) == {fault.kind for fault in faults(SOURCE)}


def test_a_fault_says_where_it_is() -> None:
    (fault,) = (fault for fault in faults(SOURCE) if "2 * xi - shift" in fault.source)
    assert (fault.function, fault.line) == ("Model.predict", SOURCE[: SOURCE.index("2 * xi")].count("\n") + 1)


def test_what_does_not_compute_is_left_alone() -> None:
    assert faults(GUARDED) == []
    assert faults(GUARDED.replace("return x\n", "return [-v for v in x]\n"))  # it is the rest that is out of bounds


def test_no_two_faults_are_the_same() -> None:
    sources = [fault.source for fault in faults(SOURCE)]
    assert len(set(sources)) == len(sources) > 40
    assert SOURCE not in sources


@pytest.mark.parametrize("lesson", [phase.lessons[0] for phase in load(HOUSE).phases], ids=lambda lesson: lesson.slug)
def test_faults_of_real_lessons_are_python_and_small(lesson: Lesson) -> None:
    source = (lesson.folder / "build_it.py").read_text(encoding="utf-8")
    found = faults(source)
    assert len(found) >= 20
    for fault in found[:: len(found) // 8]:
        ast.parse(fault.source)
        difference = list(difflib.unified_diff(source.splitlines(), fault.source.splitlines(), lineterm="", n=0))
        assert 1 <= len([line for line in difference[2:] if line[0] in "+-"]) <= 12  # a statement that has moved: twice


ORDER = [
    ["a wrong variable", 20],
    ["min for max", 21],
    ["a wrong axis", 33],
    ["a flipped sign", 36],
    ["a wrong comparison", 22],
    ["a wrong index", 31],
]


def test_a_seed_means_the_same_everywhere() -> None:
    """On any machine, whatever Python's hash seed, the version of Python, or the order of sets."""
    code = (
        "import json, sys\nfrom shared.learn.breaking import *\n"
        "order = list(in_order(faults(sys.stdin.read()), 'phase/lesson', 3))[:6]\n"
        "print(json.dumps([[fault.kind, fault.line] for fault in order]))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-X", "utf8", "-c", code],
            input=SOURCE,
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=HOUSE,
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert [json.loads(text) for text in said] == [ORDER, ORDER]


def test_another_seed_lesson_or_reference_is_another_order() -> None:
    def order(seed: int, name: str = "phase/lesson", source: str = SOURCE) -> list[tuple[str, int]]:
        return [(fault.kind, fault.line) for fault in in_order(faults(source), name, seed)]

    assert sorted(order(1)) == sorted(order(2)) == sorted((f.kind, f.line) for f in faults(SOURCE))
    assert (
        len({str(o) for o in (order(1), order(2), order(1, "phase/other"), order(1, source=f"{SOURCE}\n# …\n"))}) == 4
    )


# --- the command ------------------------------------------------------------------------------------------------

BUILD = '''
"""Means."""

__all__ = ["mean"]


def mean(values: list[float]) -> float:
    """Σ / n."""
    if len(values) > 90:  # never in a test
        return values[0] - 1.0  # never in a test
    return _total(values) / len(values)


def _total(values: list[float]) -> float:
    return values[0] + sum(values[1:])


if __name__ == "__main__":
    print(mean([1.0, 2.0, 6.0]))
'''
TEST = """
from shared.proof import assert_equivalent


def test_mean(build_it, use_it):
    for values in ([4.0, 1.0], [3.0, 1.0, 7.0]):
        assert_equivalent(build_it.mean(values), use_it.mean(values))
"""
UNNOTICED = 4  # a seed whose first two faults are where no test comes
SYMPTOM = Symptom(
    failed=1,
    waiting=0,
    collected=1,
    test="test_mean",
    says="the value: build_it 1.5, use_it 2.5",
    call="mean([4.0, 1.0])",
    yours="1.5",
    framework="2.5",
    part="the value: yours 1.5, framework 2.5",
)


@pytest.fixture
def lesson(add_lesson: Callable[..., Lesson], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lesson:
    """A lesson in a root of its own, and a learner without progress."""
    monkeypatch.setenv("TWICE_HOME", str(tmp_path / "home"))
    return add_lesson("90-fake/01-mean", build_it__py=BUILD, use_it__py=BUILD, test_equivalence__py=TEST)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fault counts as caught, so that no test has to be run."""

    def first(lesson: Lesson, candidates: Iterable[tuple[int, Fault]]) -> tuple[int, Fault, Symptom]:
        return (*next(iter(candidates)), SYMPTOM)

    monkeypatch.setattr(breaking, "_judged", first)


def twice(lesson: Lesson, *arguments: str) -> int:
    return cli.main(["--root", str(lesson.root), "break", "fake/mean", *arguments])


def broken(lesson: Lesson) -> Path:
    return home(lesson.root).file(lesson).with_name("broken.py")


def breaks(lesson: Lesson) -> list[dict[str, object]]:
    return list(home(lesson.root).store.read()["lessons"]["fake/mean"]["breaks"])


def reference(lesson: Lesson) -> str:
    return (lesson.folder / "build_it.py").read_text(encoding="utf-8")


def test_a_fault_that_no_test_notices_is_not_taken(lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    """With the real judge: this seed tries first what no test comes to."""
    order = in_order(faults(reference(lesson)), "fake/mean", UNNOTICED)
    assert "never in a test" in reference(lesson).splitlines()[next(order).line - 1]
    assert twice(lesson, "--seed", str(UNNOTICED)) == 0
    (changed,) = set(reference(lesson).splitlines()) - set(broken(lesson).read_text().splitlines())
    assert "never in a test" not in changed
    out = capsys.readouterr().out
    assert "mean([4.0, 1.0])" in out and "1 of 1 tests fail" in out
    assert "_total" not in out, "the helper at fault is not named"


@pytest.mark.usefixtures("judged")
def test_what_is_stored_and_said_tells_nothing_of_the_place(lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    assert twice(lesson, "--seed", "5") == 0
    fault = next(in_order(faults(reference(lesson)), "fake/mean", 5))
    assert broken(lesson).read_text(encoding="utf-8") == fault.source
    (known,) = breaks(lesson)
    assert set(known) == {"seed", "opened", "broken"} and known["seed"] == 5
    out = capsys.readouterr().out
    assert fault.kind not in out and f"line {fault.line}" not in out
    for shown in (
        "mean([4.0, 1.0])",
        "framework  2.5",
        "1 of 1 tests fail",
        "seed 5",
        "twice check fake/mean",
        "--give-up",
    ):
        assert shown in out
    assert "yours" not in out, "nobody wrote it: it is broken.py's"


@pytest.mark.usefixtures("judged")
def test_a_fresh_seed_leads_others_to_the_same_fault(lesson: Lesson) -> None:
    assert twice(lesson) == 0
    first, seed = broken(lesson).read_text(), breaks(lesson)[0]["seed"]
    assert twice(lesson, "--again", "--seed", str(seed)) == 0
    assert broken(lesson).read_text() == first != reference(lesson)


@pytest.mark.usefixtures("judged")
def test_an_open_one_is_shown_again(lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    twice(lesson, "--seed", "5")
    first = broken(lesson).read_text()
    capsys.readouterr()
    assert twice(lesson) == twice(lesson, "--seed", "5") == 0
    assert capsys.readouterr().out.count("at this one already") == 2
    broken(lesson).unlink()
    assert twice(lesson) == 0
    assert broken(lesson).read_text() == first and len(breaks(lesson)) == 1


@pytest.mark.usefixtures("judged")
def test_another_begins_only_with_again_and_work_is_kept(lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    twice(lesson, "--seed", "5")
    broken(lesson).write_text("mine")
    assert twice(lesson, "--seed", "6") == 2
    assert "--seed 6 --again" in capsys.readouterr().err
    assert broken(lesson).read_text() == "mine" and len(breaks(lesson)) == 1
    assert twice(lesson, "--seed", "6", "--again") == 0
    assert [file.read_text() for file in (broken(lesson).parent / "backups").iterdir()] == ["mine"]
    assert [one["seed"] for one in breaks(lesson)] == [5, 6]
    assert twice(lesson, "--seed", "7", "--again") == 0
    assert len(list((broken(lesson).parent / "backups").iterdir())) == 1, "an untouched one is not kept"


@pytest.mark.usefixtures("judged")
def test_found_and_mended(lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    own = home(lesson.root)
    assert open_break(own, lesson) is None
    twice(lesson, "--seed", "5")
    assert open_break(own, lesson) == broken(lesson)
    fault = next(in_order(faults(reference(lesson)), "fake/mean", 5))
    broken(lesson).write_text(reference(lesson), encoding="utf-8")
    said = "\n".join(mended(own, lesson))
    assert f"{fault.kind} in {fault.function}, line {fault.line}" in said
    (line,) = set(reference(lesson).splitlines()) - set(fault.source.splitlines())
    assert f"+{line}" in said
    assert "mended" in breaks(lesson)[0] and open_break(own, lesson) is None
    assert mended(own, lesson) == [], "once is enough"
    assert twice(lesson, "--seed", "6") == 0
    broken(lesson).unlink()
    with pytest.raises(ValueError, match="is gone: 'twice break fake/mean' writes it again"):
        open_break(own, lesson)


@pytest.mark.usefixtures("judged")
def test_giving_up_shows_the_fault_and_is_recorded(lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    assert twice(lesson, "--give-up") == 2
    assert "no fault to find" in capsys.readouterr().err
    twice(lesson, "--seed", "5")
    capsys.readouterr()
    assert twice(lesson, "--give-up") == 0
    fault = next(in_order(faults(reference(lesson)), "fake/mean", 5))
    (line,) = set(fault.source.splitlines()) - set(reference(lesson).splitlines())
    out = capsys.readouterr().out
    assert f"-{line}" in out and fault.kind in out
    assert "gave_up" in breaks(lesson)[0]
    assert twice(lesson, "--give-up") == 2


@pytest.mark.usefixtures("judged")
def test_a_reference_that_changed_since_is_said(lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    twice(lesson, "--seed", "5")
    (lesson.folder / "build_it.py").write_text(f"{reference(lesson)}# new\n", encoding="utf-8")
    assert twice(lesson) == 2
    assert "has changed since" in capsys.readouterr().err
    assert twice(lesson, "--give-up") == 0
    assert "has changed since" in capsys.readouterr().out


def test_a_lesson_with_nothing_to_break(add_lesson: Callable[..., Lesson], capsys: pytest.CaptureFixture[str]) -> None:
    lesson = add_lesson("90-fake/01-mean", build_it__py='__all__ = ["f"]\n\n\ndef f(x):\n    return x\n')
    assert twice(lesson) == 2
    assert "none of the faults" in capsys.readouterr().err


def test_the_example_tells_how_it_ends(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    assert breaking._example(lesson, "print('é')") == ["é"]
    assert breaking._example(lesson, "print(1)\n1 / 0") == ["1", "ZeroDivisionError: division by zero"]
    monkeypatch.setattr(breaking, "_EXAMPLE_LIMIT", 0.2)
    assert "not ended" in breaking._example(lesson, "while True: pass")[0]


def test_a_call_counts_only_if_it_shows_the_fault_when_typed(lesson: Lesson) -> None:
    fault = next(in_order(faults(reference(lesson)), "fake/mean", 5))
    assert breaking._gives_another(lesson, fault, "mean([4.0, 1.0])")
    assert not breaking._gives_another(lesson, fault, "mean([4.0, 0.0])")
    assert not breaking._gives_another(lesson, fault, "mean(<object at 0x7f00>)")


def test_without_such_a_call_a_test_says_what_it_found(lesson: Lesson) -> None:
    fault = next(in_order(faults(reference(lesson)), "fake/mean", 5))
    symptom = Symptom(1, 0, 1, "test_loss", "loss[2]: build_it 1.5, use_it 2.5\nat /somewhere/test_equivalence.py:7")
    text = "\n".join(breaking._shown(home(lesson.root), lesson, 5, fault, symptom))
    assert "\ntest_loss says:\n\n  loss[2]: broken.py 1.5, use_it 2.5\n" in text and "somewhere" not in text


def test_outputs_stand_beside_each_other_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = ["loss 1.0", "loss 1.0"], ["loss 1.0", "loss 0.5", "loss 0.2"]
    assert breaking._side_by_side(ours, theirs)[2] == "  loss 1.0    loss 0.5"
    monkeypatch.setattr(screen, "width", lambda: 20)
    assert [line.strip() for line in breaking._side_by_side(ours, theirs)] == [
        "broken.py",
        *ours,
        "the reference",
        *theirs,
    ]
