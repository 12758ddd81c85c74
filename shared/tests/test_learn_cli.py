"""The commands of `twice`, driven as functions; what must be seen from outside runs in a process of its own."""

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from shared.curriculum import ROOT, load
from shared.learn import cli, doctor, lessons, listing, prove, reporter, run, screen
from shared.proof import card
from shared.ship.run import Run, RunError, Shipped

Twice = Callable[..., tuple[int, str, str]]
TOML = """\
title = "{title}"
priority = "essential"
minutes = {minutes}
prerequisites = {prerequisites}
frameworks = {frameworks}

[ships]
kind = "tool"
name = "{slug}"
title = "T"
summary = "S"
use = "python t.py"
"""


def lesson(
    root: Path,
    phase: str,
    slug: str,
    title: str,
    *,
    minutes: int = 60,
    prerequisites: Sequence[str] = (),
    frameworks: Sequence[str] = (),
) -> Path:
    folder = root / "phases" / phase / slug
    folder.mkdir(parents=True)
    for name in ("build_it.py", "use_it.py", "ship_it.py", "test_equivalence.py"):
        (folder / name).touch()
    text = TOML.format(
        title=title,
        minutes=minutes,
        slug=slug[3:],
        prerequisites=json.dumps(list(prerequisites)),
        frameworks=json.dumps(list(frameworks)),
    )
    (folder / "lesson.toml").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(f"# {title}\n\nThe slope $x_i^2$ of `$HOME`.\n", encoding="utf-8")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two phases of three lessons; the second needs a framework that nobody has."""
    lesson(tmp_path, "01-first-steps", "01-mean-and-variance", "Mean and variance", minutes=30)
    lesson(tmp_path, "02-deep-nets", "03-backprop", "Backprop", prerequisites=["first-steps/mean-and-variance"])
    needs = ["deep-nets/backprop", "first-steps/mean-and-variance"]
    lesson(
        tmp_path,
        "02-deep-nets",
        "10-grand",
        "Größe ∑",
        minutes=90,
        prerequisites=needs,
        frameworks=["frameless", "json"],
    )
    return tmp_path


@pytest.fixture
def twice(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Twice:
    """Run a command on the lessons of `root` as if they were this repository's; exit code, output, errors."""
    monkeypatch.setattr(cli, "load", lambda _: load(root))
    monkeypatch.setattr(lessons, "HOUSE", root)

    def command(*words: str) -> tuple[int, str, str]:
        code = cli.main(list(words))
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def test_every_command_leads_to_a_function() -> None:
    for function, _ in cli._COMMANDS.values():
        module, _, name = function.partition(":")
        assert callable(getattr(importlib.import_module(f"shared.learn.{module}"), name))


def test_list_is_aligned_and_holds_full_names(twice: Twice) -> None:
    code, out, err = twice("list")
    lines = [line for line in out.splitlines() if "/" in line]
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in lines] == ["1/1", "2/3", "2/10"]
    assert len({line.index("essential") for line in lines}) == 1
    assert "first-steps/mean-and-variance" in lines[0]
    assert "1.5 h" in lines[2]
    assert out.count("\033") == 0


def test_list_knows_proven_failed_and_stale(twice: Twice, root: Path) -> None:
    tests = {"passed": 3, "failed": 0, "skipped": 0}
    values = {"cases": 1204, "worst": 3e-14, "worst_at": "", "rtol": 1e-9, "atol": 1e-12, "tests": tests}
    card.write_card("first-steps/mean-and-variance", values, root)
    card.write_card("deep-nets/backprop", {**values, "tests": {**tests, "skipped": 1}}, root)
    card.write_card("deep-nets/grand", values, root)
    later = time.time() + 10
    os.utime(root / "phases" / "02-deep-nets" / "10-grand" / "build_it.py", (later, later))
    lines = [line for line in twice("list")[1].splitlines() if "/" in line]
    assert lines[0].endswith("1,204 cases, worst 3e-14")
    assert lines[1].endswith("fails")
    assert lines[2].endswith("changed since")


def test_list_fits_a_narrow_terminal(twice: Twice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "width", lambda: 72)
    out = twice("list")[1]
    assert max(map(len, out.splitlines())) <= 72
    assert "Mean and variance" in out
    assert max(map(len, twice("path", "2/10")[1].splitlines())) <= 72


def test_list_names_a_bad_lesson_and_shows_the_others(twice: Twice, root: Path) -> None:
    (root / "phases" / "02-deep-nets" / "03-backprop" / "lesson.toml").write_text("title = ", encoding="utf-8")
    (root / "phases" / "02-deep-nets" / "10-grand" / "lesson.toml").unlink()
    code, out, err = twice("list")
    assert code == 2
    assert "Mean and variance" in out
    assert "lesson.toml: Invalid value" in err
    assert "deep-nets/grand has no lesson.toml" in err


def test_what_a_lesson_lacks_is_named(twice: Twice, root: Path) -> None:
    folder = root / "phases" / "01-first-steps" / "01-mean-and-variance"
    (folder / "README.md").unlink()
    assert twice("show", "1/1") == (2, "", "twice: first-steps/mean-and-variance has no README.md yet\n")
    (folder / "use_it.py").unlink()
    assert "has no use_it.py yet" in twice("run", "1/1")[2]
    (folder / "lesson.toml").write_text("minutes = 3", encoding="utf-8")
    assert twice("path", "1/1") == (2, "", "twice: a lesson.toml has no 'title'; 'twice list' says which\n")
    assert "lesson.toml has no 'title'" in twice("list")[2]


def test_path_in_order_with_hours(twice: Twice) -> None:
    code, out, _ = twice("path", "grand")
    lines = out.splitlines()
    assert code == 0
    assert [line.split()[1] for line in lines[:3]] == ["1/1", "2/3", "2/10"]
    assert lines[3] == "3 lessons, 3.0 h, all essential"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "bakprop"], "there is no lesson 'bakprop'; did you mean deep-nets/backprop?"),
        (["path", "deep-nets"], "'deep-nets' can mean deep-nets/backprop, deep-nets/grand; name one of them"),
        (["lst"], "there is no command 'lst'; did you mean 'twice list'?"),
        (["prov", "--all"], "did you mean 'twice prove'?"),
        (["xyzzy"], "'twice --help' shows them all"),
        (["prove"], "name one lesson or more (or a phase), or say --all"),
        (["run"], "the following arguments are required: LESSON"),
        (["--root", "nowhere", "list"], "nowhere is no folder: --root names the one that holds 'phases'"),
        (["--root", __file__, "list"], "test_learn_cli.py is no folder"),
        (["--root", str(Path(__file__).parent), "list"], "tests has no folder 'phases' with lessons"),
        (["run", "grand"], "deep-nets/grand needs frameless, which is not installed here: run 'nox -s learn -- 02'"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(twice: Twice, words: list[str], sentence: str) -> None:
    code, out, err = twice(*words)
    assert (code, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1


def test_prove_and_ship_say_what_could_not_run(twice: Twice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "_test", lambda *_: pytest.fail("nothing can be tested"))
    code, _, err = twice("prove", "2/10")
    assert code == 2
    assert "not run: deep-nets/grand needs frameless" in err
    monkeypatch.setattr(run, "write_index", lambda curriculum: None)
    code, out, _ = twice("ship", "2/10")
    assert code == 2
    assert "not built: deep-nets/grand needs frameless" in out


def test_prove_needs_pytest(twice: Twice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = twice("prove", "1/1")
    assert code == 2
    assert "proving needs pytest, which is not installed here: run 'nox -s learn'" in err


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Python is a shell script")
@pytest.mark.parametrize(("then", "code"), [("exit 0", "0"), ("echo boom; exit 3", "3: boom"), ("exec sleep 60", "-9")])
def test_tests_that_end_early_or_hang_prove_nothing(
    twice: Twice, root: Path, monkeypatch: pytest.MonkeyPatch, then: str, code: str
) -> None:
    python = root / "python"
    python.write_text(
        f"""#!/bin/sh\necho '{{"event": "started", "node": "f.py::test_x"}}'\n{then}\n""", encoding="utf-8"
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(prove, "HOUSE", root)
    monkeypatch.setattr(prove, "_SILENCE", 0.3)
    exit_code, out, err = twice("prove", "1/1")
    assert (exit_code, out) == (1, "")
    assert f"the tests ended early in f.py::test_x, with exit code {code}" in err


def test_a_phase_stands_for_its_lessons(root: Path) -> None:
    curriculum = load(root)
    for name in ("02", "deep-nets"):
        assert [found.slug for found in lessons.chosen(curriculum, [name], False)] == ["backprop", "grand"]
    assert len(lessons.chosen(curriculum, [], True)) == 3


def test_interrupt_is_130(twice: Twice, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(listing, "list_lessons", interrupted)
    assert twice("list") == (130, "", "")


def test_a_twin_that_fails_is_1_and_no_traceback(twice: Twice, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> NoReturn:
        raise RunError("deep-nets/backprop with build_it failed:\nValueError: no")

    monkeypatch.setattr(run, "ship", fails)
    code, _, err = twice("run", "backprop")
    assert code == 1
    assert "with build_it failed" in err
    assert "Traceback" not in err


def test_run_shows_both_sides_and_what_is_next(twice: Twice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "tools" / "backprop"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"use": "python t.py data.csv"}', encoding="utf-8")
    long = "a name of a result so long that it would leave no room for the numbers beside it"
    built: dict[str, Any] = {"slope": 0.1 + 0.2, long: [1, 2], **{f"v{i}": i for i in range(40)}}
    used = {**built, "slope": 0.3}
    shipped = Shipped(Run(built, 2.0, 0.01, 20_000_000), Run(used, 0.5, 1.5, 90_000_000), 1.8e-16, folder, "new")
    monkeypatch.setattr(run, "ship", lambda *_, **__: shipped)
    monkeypatch.setattr(screen, "width", lambda: 80)
    code, out, _ = twice("run", "backprop")
    assert code == 0
    assert max(len(line) for line in out.splitlines() if str(folder) not in line) <= 80
    squeezed = " ".join(out.split())
    for text in (
        "build_it use_it",
        "slope 0.3 0.3",
        "and 13 more",
        "time 2.00 s 500 ms",
        "time to import 10.0 ms 1.50 s",
        "peak memory 20 MB 90 MB",
        "relative difference 1.8e-16 (allowed 1e-09)",
        "build_it takes 4.00 times as long as use_it",
        "outputs/tools/backprop (new)".replace("/", os.sep),
        "python t.py data.csv",
        "twice prove deep-nets/backprop",
    ):
        assert text in squeezed


def test_units() -> None:
    assert [screen.duration(s) for s in (123.4, 1.234, 0.0456, 7.89e-4, 0.0)] == [
        "123 s",
        "1.23 s",
        "45.6 ms",
        "789 µs",
        "0.00 µs",
    ]
    assert screen.ratio(0.5, 1.0) == "use_it takes 2.00 times as long as build_it"
    assert run.leaves({"a": {"b": [1.5, "x"]}, "c": True}) == [("a.b[0]", 1.5), ("a.b[1]", "x"), ("c", True)]


def test_doctor(twice: Twice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_broken", lambda _: {})
    code, out, _ = twice("doctor")
    assert code == 0
    assert "The main job works: twice run first-steps/mean-and-variance" in out
    assert f"pytest {pytest.__version__}" in out


def test_doctor_names_problems_and_how_to_mend_them(
    twice: Twice, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lesson(root, "00-before", "01-zero", "Zero", frameworks=["json"])
    monkeypatch.setattr(doctor, "_broken", lambda _: {"json": "ImportError: no"})
    monkeypatch.setattr(doctor, "_groups", lambda: {"phase-07": ["nonesuch>=2", "pytest==0.1"]})
    monkeypatch.setattr("shared.data.embedded.read", lambda name: (_ for _ in ()).throw(ValueError(name)))
    monkeypatch.setenv("TWICE_DATA", str(tmp_path / "nowhere"))
    code, out, _ = twice("doctor")
    assert code == 1
    assert f"missing: nonesuch, pytest 0.1 (here is {pytest.__version__}); run 'nox -s learn -- 07'" in out
    assert "problem: json cannot be imported: remove .venv and run 'nox -s learn -- 00'" in out
    assert "iris.csv is missing or was changed: run 'git checkout -- " in out
    assert "TWICE_DATA names" in out


def test_doctor_really_imports(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "frameless.py").write_text("raise ImportError('libfoo is not there')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert doctor._broken(load(root).lessons.values()) == {"frameless": "ImportError: libfoo is not there"}


def test_explain_shows_message_input_and_place(tmp_path: Path) -> None:
    error = AssertionError(
        "slope: build_it 1.0, use_it 2.0\nlast that agreed: intercept\nassert False\n +  where False"
    )
    error.add_note("Failing test case: test_fit(\n    build_it=<module 'b'>,\n    X=[[0.0]],\n    y=[1.0],\n)")
    error.add_note("Explanation:")
    error.add_note("    These lines were always run")
    assert reporter.explain(ExceptionGroup("two", [error, ValueError()])).splitlines() == [
        "slope: build_it 1.0, use_it 2.0",
        "last that agreed: intercept",
        "smallest input found:",
        "    X=[[0.0]]",
        "    y=[1.0]",
    ]
    file = tmp_path / "build_it.py"
    file.write_text("def fit():\n    return 1 / 0\n", encoding="utf-8")
    names: dict[str, Any] = {}
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), names)
    with pytest.raises(ZeroDivisionError) as caught:
        names["fit"]()
    assert reporter.explain(caught.value).splitlines() == ["ZeroDivisionError: division by zero", f"at {file}:2"]


def process(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "shared.learn.cli", *words], cwd=ROOT, check=False, **options)


def test_list_imports_nothing_heavy_and_bears_ascii(root: Path) -> None:
    code = (
        "import sys; from shared.learn import cli; code = cli.main(sys.argv[1:]);"
        "heavy = {'numpy', 'torch', 'sklearn', 'pytest', 'hypothesis', 'rich', 'pylatexenc', 'subprocess'};"
        "print(sorted(heavy & set(sys.modules))); sys.exit(code)"
    )
    command = [sys.executable, "-O", "-c", code, "--root", str(root), "list"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Gr??e ?" in done.stdout
    assert done.stdout.splitlines()[-1] == b"[]"


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is another error there")
def test_a_reader_that_leaves_is_no_error(root: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = process("--root", str(root), "list", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_show_prints_raw_markdown_into_a_pipe(root: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert cli.main(["--root", str(root), "show", "1/1"]) == 0
    readme = root / "phases" / "01-first-steps" / "01-mean-and-variance" / "README.md"
    assert capsysbinary.readouterr().out.decode() == readme.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["first-steps/mean-and-variance"], "there is a lesson first-steps/mean-and-variance already"),
        (["first-steps/median", "--number", "1"], "the number of a lesson is one from 1 to 99"),
        (["first-steps/median", "--title", 'a """ b'], "no triple quote"),
        (["Median"], "a lesson is named phase/lesson"),
        (["nets/median"], "there is no phase 'nets' (there are: 01-first-steps, 02-deep-nets)"),
        (["03-deep-nets/median"], "its number or name is taken"),
    ],
)
def test_new_refuses(root: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str) -> None:
    before = sorted(root.rglob("*"))
    assert cli.main(["--root", str(root), "new", *words]) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(root.rglob("*")) == before


def test_new_takes_the_next_number_or_begins_a_phase(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--root", str(root), "new", "deep-nets/median", "--title", 'The "middle"']) == 0
    assert cli.main(["--root", str(root), "new", "07-late/last", "--number", "5"]) == 0
    found = load(root)
    assert found.find("median").position == "2/11"
    assert found.find("median").title == 'The "middle"'
    assert found.find("last").position == "7/5"
    for path in Path(found.find("last").folder).iterdir():
        assert "{{" not in path.read_text(encoding="utf-8")
