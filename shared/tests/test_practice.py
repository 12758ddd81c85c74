"""`start`, `hint`, `solution`, `reset`, `skip`, `goal`, `status` and bare `twice`, on lessons that nothing runs."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.curriculum import Lesson, load
from shared.learn import cli, screen, status
from shared.learn.home import Home, home
from shared.learn.judging import digest
from shared.learn.progress import entry

Twice = Callable[..., tuple[int, str, str]]
REFERENCE = '''
"""Sums."""

__all__ = ["total", "mean"]


def total(values: list[float]) -> float:
    """The sum."""
    return _add(values)


def mean(values: list[float]) -> float:
    """The mean."""
    return total(values) / len(values)


def _add(values: list[float]) -> float:
    return sum(values)
'''
HINTS = """
[[hints]]
for = "total"
text = "Add."

[[hints]]
for = "total"
text = "Start at 0."

[[hints]]
for = "mean"
text = "Divide."
"""


@pytest.fixture
def twice(root: Path, capsys: pytest.CaptureFixture[str]) -> Twice:
    def command(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(["--root", str(root), *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


@pytest.fixture
def sums(root: Path, add_lesson: Callable[..., Lesson]) -> Lesson:
    """A lesson with two functions, and one that builds on it."""
    lesson = add_lesson("90-fake/01-sums", build_it__py=REFERENCE)
    toml = lesson.folder / "lesson.toml"
    toml.write_text(toml.read_text(encoding="utf-8") + HINTS, encoding="utf-8")
    add_lesson("90-fake/02-spread", "fake/sums")
    return load(root).find("fake/sums")


@pytest.fixture
def place(root: Path) -> Home:
    return home(root)


def prove(place: Home, lesson: Lesson) -> None:
    """As a check that passes records it."""
    file = place.make_folder(lesson)
    if not file.is_file():
        file.write_bytes((lesson.folder / "build_it.py").read_bytes())
    with place.store.change() as state:
        known = entry(state, lesson.name)
        known |= {
            "started": "2026-01-01T00:00:00Z",
            "proven": "2026-01-02T00:00:00Z",
            "code": digest(file.read_bytes()),
            "cases": 7,
        }


def test_start_writes_the_stub_and_says_where_everything_is(twice: Twice, sums: Lesson, place: Home) -> None:
    code, out, err = twice("start", "sums")
    file = place.file(sums)
    text = file.read_text(encoding="utf-8")
    assert (code, err) == (0, "")
    assert file == place.workspace / "fake" / "sums" / "build_it.py"
    assert text.count("raise NotImplementedError") == 2
    assert "_add" not in text
    assert '"""The mean."""' in text
    for needed in (
        str(file),
        "(2 functions to write)",
        "README.md",
        "lessons/fake/sums/ on the site",
        "twice check fake/sums",
    ):
        assert needed in out
    assert "builds on" not in out
    assert place.store.read()["lessons"]["fake/sums"]["reference"] == digest((sums.folder / "build_it.py").read_bytes())


def test_start_names_what_is_not_proven_and_does_not_block(twice: Twice, sums: Lesson, place: Home) -> None:
    code, out, _ = twice("start", "spread")
    assert code == 0
    assert place.file(load(place.root).find("spread")).is_file()
    assert "It builds on sums that you have not proven yet. You can go on all the same." in out
    assert "twice start fake/sums" in out
    prove(place, sums)
    place.file(load(place.root).find("spread")).unlink()
    assert "builds on" not in twice("start", "spread")[1]


def test_start_again_changes_nothing(twice: Twice, sums: Lesson, place: Home) -> None:
    twice("start", "sums")
    place.file(sums).write_text("mine = 1\n", encoding="utf-8")
    before = place.store.file.read_bytes()
    code, out, _ = twice("start", "sums")
    assert code == 0
    assert "You have started fake/sums already" in out
    assert place.file(sums).read_text(encoding="utf-8") == "mine = 1\n"
    assert place.store.file.read_bytes() == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nobody is kept from writing here")
def test_start_where_nothing_can_be_written(twice: Twice, sums: Lesson, place: Home) -> None:
    place.folder.mkdir()
    place.folder.chmod(0o500)
    code, out, err = twice("start", "sums")
    assert (code, out) == (2, "")
    assert err.startswith("twice: ")
    assert len(err.splitlines()) == 1


def test_start_where_a_file_is_in_the_way(twice: Twice, sums: Lesson, place: Home) -> None:
    place.folder.mkdir(parents=True)
    place.workspace.write_text("not a folder", encoding="utf-8")
    code, _, err = twice("start", "sums")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert place.workspace.read_text(encoding="utf-8") == "not a folder"


def test_a_changed_reference_is_announced_and_never_applied(twice: Twice, sums: Lesson, place: Home) -> None:
    twice("start", "sums")
    place.file(sums).write_text("mine = 1\n", encoding="utf-8")
    reference = sums.folder / "build_it.py"
    reference.write_text(reference.read_text().replace("sum(values)", "sum(values, 0)"), encoding="utf-8")
    out = twice("start", "sums")[1]
    assert "has changed since you started" in out
    assert "Only bodies changed" in out
    changed = REFERENCE.replace("def mean(values", "def mean(numbers").replace('"mean"]', '"mean", "low"]')
    reference.write_text(
        changed + '\n\ndef low(values):\n    """The least."""\n    return min(values)\n', encoding="utf-8"
    )
    out = twice("start", "sums")[1]
    assert "new functions: low" in out
    assert "other signatures or docstrings: mean" in out
    assert place.file(sums).read_text(encoding="utf-8") == "mine = 1\n"


def test_hints_come_one_at_a_time(twice: Twice, sums: Lesson, place: Home) -> None:
    twice("start", "sums")
    first, second, third = (twice("hint", "sums")[1] for _ in range(3))
    assert "Add." in first
    assert "Start at 0." not in first
    assert "Start at 0." in second
    assert "The next one" in first
    assert "last one for total" in second
    assert third == second
    assert place.store.read()["lessons"]["fake/sums"]["hints"] == {"total": 2}


def test_hint_without_a_name_is_for_what_differs(twice: Twice, sums: Lesson, place: Home) -> None:
    twice("start", "sums")
    with place.store.change() as state:
        entry(state, "fake/sums")["functions"] = {"total": "to do", "mean": "different"}
    assert "Divide." in twice("hint")[1]
    with place.store.change() as state:
        entry(state, "fake/sums")["functions"] = {"total": "proven", "mean": "to do"}
    assert "Divide." in twice("hint")[1]
    assert "Add." in twice("hint", "sums", "total")[1]


def test_all_hints_are_there_once_it_is_proven(twice: Twice, sums: Lesson, place: Home) -> None:
    prove(place, sums)
    out = twice("hint", "sums")[1]
    assert all(text in out for text in ("Add.", "Start at 0.", "Divide."))


def test_hint_for_nothing(twice: Twice, sums: Lesson) -> None:
    code, _, err = twice("hint", "sums", "totl")
    assert code == 2
    assert "did you mean total?" in err
    assert "has no hints yet" in twice("hint", "spread")[2]
    assert "you have no lesson under way" in twice("hint")[2]


def test_solution_only_after_a_proof_or_for_who_gives_up(twice: Twice, sums: Lesson, place: Home) -> None:
    assert "you have not started fake/sums" in twice("solution", "sums")[2]
    twice("start", "sums")
    code, out, err = twice("solution", "sums")
    assert (code, out) == (2, "")
    assert "--give-up" in err
    assert "gave_up" not in place.store.read()["lessons"]["fake/sums"]
    code, out, _ = twice("solution", "sums", "--give-up")
    assert code == 0
    assert "+    return total(values) / len(values)" in out
    assert "-    raise NotImplementedError  # yours to write" in out
    assert "gave_up" in place.store.read()["lessons"]["fake/sums"]


def test_solution_of_one_function(twice: Twice, sums: Lesson, place: Home) -> None:
    twice("start", "sums")
    out = twice("solution", "sums", "mean", "--give-up")[1]
    assert "+    return total(values) / len(values)" in out
    assert "_add" not in out
    assert "did you mean mean?" in twice("solution", "sums", "meen", "--give-up")[2]


def test_solution_of_a_proven_lesson(twice: Twice, sums: Lesson, place: Home) -> None:
    prove(place, sums)
    assert twice("solution", "sums")[1] == "Yours is the reference, line by line.\n"
    place.file(sums).write_text("mine = 1\n", encoding="utf-8")
    assert "Both are proven" not in twice("solution", "sums")[1]


def test_solution_is_not_shown_where_giving_up_cannot_be_recorded(twice: Twice, sums: Lesson, place: Home) -> None:
    twice("start", "sums")
    place.store.file.write_text('{"version": 99}', encoding="utf-8")
    code, out, err = twice("solution", "sums", "--give-up")
    assert (code, out) == (2, "")
    assert "newer twice" in err


def test_reset_keeps_what_was_written(twice: Twice, sums: Lesson, place: Home) -> None:
    assert twice("reset", "sums")[0] == 2
    twice("start", "sums")
    stub = place.file(sums).read_bytes()
    for text in ("mine = 1\n", "mine = 2\n"):
        place.file(sums).write_text(text, encoding="utf-8")
        assert twice("reset", "sums")[0] == 0
        assert place.file(sums).read_bytes() == stub
    kept = sorted(file.read_text(encoding="utf-8") for file in (place.file(sums).parent / "backups").iterdir())
    assert kept == ["mine = 1\n", "mine = 2\n"]


def test_reset_gives_the_file_back_where_it_fails(twice: Twice, sums: Lesson, place: Home) -> None:
    twice("start", "sums")
    place.file(sums).write_text("mine = 1\n", encoding="utf-8")
    place.store.file.write_text('{"version": 99}', encoding="utf-8")
    assert twice("reset", "sums")[0] == 2
    assert place.file(sums).read_text(encoding="utf-8") == "mine = 1\n"


def test_a_proven_lesson_is_under_way_again_after_reset(twice: Twice, sums: Lesson, place: Home) -> None:
    prove(place, sums)
    assert "you are at" not in twice()[1]
    twice("reset", "sums")
    assert "you are at  Sums" in twice()[1]


def test_skip_and_back(twice: Twice, sums: Lesson, place: Home) -> None:
    assert twice("skip", "sums")[0] == 0
    assert "skipped" in twice("status")[1]
    assert "it builds on sums (skipped)" in twice()[1]
    assert twice("skip", "sums", "--undo")[0] == 0
    assert "skipped" not in place.store.read()["lessons"]["fake/sums"]
    prove(place, sums)
    assert "nothing to skip" in twice("skip", "sums")[2]


def test_first_time(twice: Twice, sums: Lesson, place: Home) -> None:
    code, out, _ = twice()
    assert code == 0
    assert "Pencil first" in out
    assert "twice start fake/sums" in out
    assert not place.state.exists()  # to look is not to begin


def test_where_you_are_and_what_is_next(twice: Twice, sums: Lesson, place: Home) -> None:
    twice("start", "sums")
    out = twice()[1]
    assert "you are at  Sums (fake/sums)" in out
    assert "started, not checked yet" in out
    assert "twice check fake/sums --watch" in out
    with place.store.change() as state:
        entry(state, "fake/sums")["functions"] = {"total": "proven", "mean": "to do"}
    assert "1 proven, 1 to do" in twice()[1]
    prove(place, sums)
    out = twice()[1]
    assert "next    Spread (fake/spread)" in out
    assert "essential; it builds on sums (proven)" in out
    prove(place, load(place.root).find("spread"))
    assert "every lesson here is proven" in twice()[1]


def test_a_goal_leads_the_way(twice: Twice, sums: Lesson, place: Home) -> None:
    assert "You have no goal" in twice("goal")[1]
    assert "2 lessons and 1.0 h away" in twice("goal", "spread")[1]
    assert "Your goal: fake/spread" in twice("goal")[1]
    assert "on the way to your goal, spread (2 lessons to go)" in twice()[1]
    assert twice("path")[1] == twice("path", "spread")[1]
    prove(place, sums)
    out = twice("path")[1]
    assert "proven" in out
    assert "left: 1 lesson, 0.5 h" in out
    assert "your goal; it builds on sums (proven)" in twice()[1]
    twice("goal", "--none")
    assert "goal" not in place.store.read()
    assert "choose a goal" in twice("path")[2]
    assert twice("goal", "nothing-like-it")[0] == 2


def test_the_goal_is_asked_for_on_a_terminal(
    twice: Twice, sums: Lesson, place: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["no such lesson", "90/2"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    monkeypatch.setattr(screen, "is_terminal", lambda: True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    code, out, _ = twice()
    assert code == 0
    assert "there is no lesson 'no such lesson'" in out
    assert place.store.read()["goal"] == "fake/spread"


def test_status_marks(twice: Twice, sums: Lesson, place: Home) -> None:
    prove(place, sums)
    with place.store.change() as state:
        entry(state, "fake/gone")["proven"] = "2026-01-01T00:00:00Z"
    out = twice("status")[1]
    assert "✓  90/1  Sums" in out
    assert "proven 2026-01-02, 7 cases" in out
    assert "1 of 2 proven" in out
    assert "No longer in the curriculum, and kept: fake/gone" in out
    place.file(sums).write_text("changed = 1\n", encoding="utf-8")
    assert "changed since: twice check sums" in twice("status")[1]
    place.file(sums).unlink()
    assert "your file is gone" in twice("status")[1]


def test_status_with_a_broken_lesson(twice: Twice, sums: Lesson, place: Home) -> None:
    (place.root / "phases" / "90-fake" / "03-empty").mkdir()
    code, out, err = twice("status")
    assert code == 2
    assert "Sums" in out
    assert "fake/empty" in err


def test_looking_writes_nothing(twice: Twice, sums: Lesson, place: Home) -> None:
    for words in ([], ["status"], ["path", "spread"], ["goal"], ["list"]):
        assert twice(*words)[0] == 0
    assert not place.state.exists()
    assert not place.workspace.exists()


def test_the_marks_of_a_lesson_are_all_explained() -> None:
    assert len(set(status._MARKS.values())) == len(status._MARKS)
