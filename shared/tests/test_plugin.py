"""The pytest plugin in a real pytest: cards, and a learner's file in the reference's place."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.curriculum import HOUSE, Lesson, environment, pytest_options
from shared.proof.card import read_card

Add = Callable[..., Lesson]


def prove(lesson: Lesson, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the lesson's tests as those of another repository of lessons."""
    command = [sys.executable, "-m", "pytest", *pytest_options(lesson.root), "-q", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, str(lesson.folder / "test_equivalence.py"), *options],
        cwd=HOUSE,
        env=environment(lesson.root),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_a_whole_run_writes_a_card_and_part_of_one_does_not(add_lesson: Add, root: Path) -> None:
    lesson = add_lesson("90-fake/01-double")
    prove(lesson, "-k", "double")
    assert read_card("fake/double", root) == {}
    done = prove(lesson)
    assert done.returncode == 0, done.stdout
    card = read_card("fake/double", root)
    assert card["tests"] == {"passed": 1, "failed": 0, "skipped": 0}
    assert (card["cases"], card["worst"], card["rtol"]) == (1, 0.0, 1e-9)


def test_a_failure_is_on_the_card(add_lesson: Add, root: Path) -> None:
    lesson = add_lesson("90-fake/01-wrong", use_it__py="def double(x):\n    return 2.001 * x\n")
    done = prove(lesson)
    assert done.returncode == 1
    assert "build_it 6.0, use_it 6.003" in done.stdout
    card = read_card("fake/wrong", root)
    assert card["tests"]["failed"] == 1
    assert 4e-4 < card["worst"] < 6e-4


@pytest.mark.parametrize("text", ['{"cases": ', "null", "3", "[1]", "{}", '{"worst": "x", "cases": [], "tests": 3}'])
def test_a_broken_card_is_no_card(root: Path, text: str) -> None:
    file = root / "build" / "proof" / "fake" / "double.json"
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    assert read_card("fake/double", root) == {}


def test_a_file_that_is_not_there_is_a_usage_error(add_lesson: Add) -> None:
    done = prove(add_lesson("90-fake/01-double"), "--build-it", "linear-regression=nowhere.py")
    assert done.returncode == 4
    assert "--build-it wants LESSON=FILE" in done.stderr


def test_a_plain_assert_shows_its_values(add_lesson: Add) -> None:
    test = "def test_double(build_it):\n    assert build_it.double(3.0) == 7.0\n"
    assert "assert 6.0 == 7.0" in prove(add_lesson("90-fake/01-plain", test_equivalence__py=test)).stdout
