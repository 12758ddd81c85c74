"""`twice --root DIR`: another repository of lessons, driven from inside it through the real command."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared.curriculum import HOUSE
from shared.learn import cli, screen
from shared.tests.conftest import SHIP, TEST
from shared.tests.test_contract_itself import HEAD, README, quiz

# Leaves a file beside the module that runs it, so that what ran is known.
MARK = 'import pathlib\n\npathlib.Path(__file__).with_suffix(".ran").touch()\n'
PLUS = (
    MARK
    + '''
__all__ = ["plus"]


def plus(x: float, y: float) -> float:
    """x + y."""
    return x + y


if __name__ == "__main__":
    print(plus(1, 2))
'''
)
DOUBLE = '''"""Doubling."""

from phases.fake.loud.build_it import plus

__all__ = ["double"]


def double(x: float) -> float:
    """2 x."""
    return plus(x, x)


if __name__ == "__main__":
    print(double(2))
'''
TWIN = '''__all__ = ["double"]


def double(x: float) -> float:
    """2 x."""
    return 2 * x
'''
QUIET = [
    [],
    ["list"],
    ["show", "loud"],
    ["path", "double"],
    ["doctor"],
    ["new", "fake/fourth"],
    ["quiz", "double"],
    ["review"],
    ["placement", "fake"],
    ["start", "double"],
    ["status"],
    ["hint", "double"],
    ["goal", "double"],
    ["skip", "loud"],
]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lesson that tells when it is imported, a whole one that builds on it, and one whose twins differ."""
    root = tmp_path_factory.mktemp("foreign")
    phase = root / "phases" / "90-fake"
    toml = (
        HEAD + '\n[[hints]]\nfor = "double"\ntext = "Twice."\n' + quiz([0, 1, 2, 3, 0], ["aaa"] * 5).removeprefix(HEAD)
    )
    readme = README.replace("return 2 * x", "return plus(x, x)", 1).replace(
        "1\n2...\n",
        "1\n2...\n$ twice path double\n...fake/double...\n$ python phases/90-fake/02-double/build_it.py\n4\n",
    )
    lessons = {
        "01-loud": {
            "lesson.toml": HEAD.replace('"T"', '"Loud"')
            .replace("a-prompt", "loud")
            .replace("frameworks = []", 'frameworks = ["json"]'),
            "build_it.py": PLUS,
            "use_it.py": PLUS,
            "ship_it.py": MARK + SHIP.replace("twin.double(1.0)", "twin.plus(1.0, 1.0)"),
            "test_equivalence.py": MARK,
            "README.md": "# Loud\n",
        },
        "02-double": {
            "lesson.toml": toml.replace("prerequisites = []", 'prerequisites = ["fake/loud"]'),
            "build_it.py": DOUBLE,
            "use_it.py": TWIN,
            "ship_it.py": SHIP,
            "test_equivalence.py": TEST,
            "README.md": readme,
        },
        "03-wrong": {
            "lesson.toml": HEAD.replace('"T"', '"Wrong"').replace("a-prompt", "wrong"),
            "build_it.py": TWIN,
            "use_it.py": TWIN.replace("2 *", "3 *"),
            "ship_it.py": SHIP,
            "test_equivalence.py": TEST,
            "README.md": "# Wrong\n",
        },
    }
    for name, files in lessons.items():
        (phase / name).mkdir(parents=True)
        for file, text in files.items():
            (phase / name / file).write_text(text, encoding="utf-8")
    (root / "shared").mkdir()
    for file in ("phases/__init__.py", "phases/conftest.py", "conftest.py", "shared/__init__.py", "json.py"):
        (root / file).write_text(MARK, encoding="utf-8")
    return root


def twice(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run in `root` what the installed command runs: -P, as a script does not look for modules where it is called."""
    path = os.pathsep.join(filter(None, [str(HOUSE), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-P", "-m", "shared.learn.cli", "--root", ".", *words],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "TWICE_HOME": str(root)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def ran(root: Path) -> list[str]:
    """The modules of `root` that were run, which is forgotten."""
    marks = sorted(root.rglob("*.ran"))
    for mark in marks:
        mark.unlink()
    return [mark.relative_to(root).with_suffix(".py").as_posix() for mark in marks]


@pytest.mark.parametrize("words", QUIET, ids=" ".join)
def test_what_does_not_compute_runs_nothing_of_theirs(foreign: Path, words: list[str]) -> None:
    done = twice(foreign, *words)
    shutil.rmtree(foreign / "phases" / "90-fake" / "04-fourth", ignore_errors=True)
    assert (done.returncode, done.stderr.replace("importing the frameworks\n", "")) == (0, "")
    assert done.stdout
    assert ran(foreign) == []


def test_the_lessons_of_the_house_are_not_among_theirs(foreign: Path) -> None:
    done = twice(foreign, "show", "linear-regression")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("twice: there is no lesson 'linear-regression'")


def test_on_a_terminal_the_way_to_shorter_commands_is_named(
    foreign: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(screen, "is_terminal", lambda: True)
    for root, times in ((HOUSE, 1), (foreign, 0)):
        monkeypatch.setattr(cli, "ROOT", root)
        assert cli.main(["--root", str(foreign), "list"]) == 0
        said = " ".join(re.sub(r"\033\[\d*m", "", capsys.readouterr().err).split())  # it is wrapped
        assert said.count(f"set the variable TWICE_ROOT to {foreign.resolve()})") == times


def test_check_judges_a_version_of_theirs(foreign: Path) -> None:
    mine = foreign / "workspace" / "fake" / "double" / "build_it.py"
    mine.parent.mkdir(parents=True, exist_ok=True)
    for text, code in ((DOUBLE, 0), (DOUBLE.replace("x, x", "x, 2 * x"), 1)):
        mine.write_text(text, encoding="utf-8")
        done = twice(foreign, "check", "double")
        assert (done.returncode, "double(3.0)" in done.stdout) == (code, code == 1), done.stdout + done.stderr
    assert "phases/90-fake/01-loud/build_it.py" in ran(foreign)  # what theirs builds on


def test_run_ships_into_their_outputs_and_prove_writes_their_card(foreign: Path) -> None:
    before = sorted((HOUSE / "outputs").rglob("*"))
    done = twice(foreign, "run", "loud")
    assert done.returncode == 0, done.stderr
    files = [f"phases/90-fake/01-loud/{name}.py" for name in ("build_it", "ship_it", "use_it")]
    assert ran(foreign) == files
    assert "no difference" in done.stdout
    assert (foreign / "outputs" / "prompts" / "loud" / "prompt.md").is_file()

    done = twice(foreign, "ship", "double")
    assert (done.returncode, done.stdout) == (0, "fake/double: new\n"), done.stderr
    assert "[double]" not in (foreign / "outputs" / "README.md").read_text(encoding="utf-8")
    assert "[a-prompt](prompts/a-prompt)" in (foreign / "outputs" / "README.md").read_text(encoding="utf-8")

    done = twice(foreign, "prove", "double", "wrong")
    assert done.returncode == 1, done.stderr
    good, wrong = done.stdout.split("Wrong  fake/wrong")
    assert good.endswith("proven: fake/double: build_it and use_it agree\n\n"), done.stdout
    assert "test_double fails\n  the value: build_it 6.0, use_it 9.0" in wrong
    assert wrong.endswith("not proven: fake/wrong\n")
    assert "phases/__init__.py" not in ran(foreign)
    assert "1 cases, worst 0e+00" in twice(foreign, "list").stdout
    assert sorted((HOUSE / "outputs").rglob("*")) == before
    assert not (HOUSE / "build" / "proof" / "fake").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere", "nowhere is no folder: --root names the one that holds 'phases'"),
        ("a-file", "a-file is no folder: --root names the one that holds 'phases'"),
        ("empty", "empty has no folder 'phases' with lessons"),
    ],
)
def test_what_is_no_repository_of_lessons_is_one_sentence(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "a-file").touch()
    (tmp_path / "empty").mkdir()
    for command in (["list"], ["run", "x"]):
        done = twice(tmp_path, "--root", name, *command)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"twice: {sentence}\n")
