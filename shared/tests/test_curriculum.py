"""phases/ as the curriculum reads it, and importing by slug."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import phases
from shared.curriculum import Lesson, UnknownLessonError, lesson_of, load

Add = Callable[..., Lesson]


def test_a_lesson_is_found_by_name_slug_number_and_part(root: Path, add_lesson: Add) -> None:
    add_lesson("90-fake/01-double")
    add_lesson("90-fake/12-double-trouble")
    curriculum = load(root)
    for text in ("fake/double", "double", "90/1", "90/01", "FAKE/double", "fake/double/"):
        assert curriculum.find(text).name == "fake/double"
    assert curriculum.find("troub").name == "fake/double-trouble"


def test_a_former_name_finds_a_lesson_after_every_present_name(root: Path, add_lesson: Add) -> None:
    """A lesson that cannot be read is in nobody's way."""
    head = 'title = "T"\nformerly = ["old-phase/twofold", "fake/double"]\n'
    add_lesson("90-fake/01-times-two", lesson__toml=head)
    add_lesson("90-fake/02-twofold-more")
    add_lesson("90-fake/03-broken", lesson__toml="formerly = [")
    curriculum = load(root)
    for text in ("old-phase/twofold", "twofold", "Old-Phase/Twofold/", "fake/double"):
        assert curriculum.find(text).name == "fake/times-two"
    add_lesson("90-fake/04-twofold")
    curriculum = load(root)
    assert curriculum.find("twofold").name == "fake/twofold"
    assert curriculum.find("old-phase/twofold").name == "fake/times-two"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("doubel", "did you mean fake/double"),
        ("fake/dubble", "did you mean fake/double"),
        ("troubel", "did you mean fake/double-trouble"),
        ("dou", "can mean fake/double, fake/double-trouble"),
        ("zzzzzz", "'twice list'"),
        ("", "'twice list'"),
        ("90/7", "no lesson '90/7'"),
    ],
)
def test_a_wrong_name_suggests_the_nearest(root: Path, add_lesson: Add, text: str, says: str) -> None:
    add_lesson("90-fake/01-double")
    add_lesson("90-fake/02-double-trouble")
    with pytest.raises(UnknownLessonError, match=says):
        load(root).find(text)


def test_a_path_holds_each_prerequisite_once_and_before_what_needs_it(root: Path, add_lesson: Add) -> None:
    add_lesson("90-fake/01-a", "fake/d")
    add_lesson("90-fake/02-b")
    add_lesson("90-fake/03-c", "fake/b", "fake/a")
    add_lesson("90-fake/04-d")
    add_lesson("91-other/01-goal", "fake/c", "fake/d")
    curriculum = load(root)
    names = [lesson.name for lesson in curriculum.path_to(curriculum.find("goal"))]
    assert names == ["fake/d", "fake/a", "fake/b", "fake/c", "other/goal"]


def test_a_circle_and_an_unknown_prerequisite_are_named(root: Path, add_lesson: Add) -> None:
    a = add_lesson("90-fake/01-a", "fake/b")
    add_lesson("90-fake/02-b", "fake/c")
    add_lesson("90-fake/03-c", "fake/b")
    lost = add_lesson("90-fake/04-lost", "fake/nowhere")
    with pytest.raises(ValueError, match="fake/b → fake/c → fake/b"):
        load(root).path_to(a)
    with pytest.raises(ValueError, match="fake/lost asks for 'fake/nowhere'"):
        load(root).path_to(lost)


def test_the_head_is_read_without_the_tables(root: Path, add_lesson: Add) -> None:
    lesson = add_lesson("90-fake/01-a", lesson__toml='title = "A [b]"\nminutes = 5\n\n[ships]\nbroken here')
    assert lesson.title == "A [b]"
    with pytest.raises(ValueError, match=r"lesson\.toml"):
        _ = lesson.meta


def test_a_wrong_type_and_a_wrong_encoding_are_named(add_lesson: Add) -> None:
    lesson = add_lesson("90-fake/01-a", lesson__toml='title = "A"\nminutes = "x"\n')
    with pytest.raises(ValueError, match=r"lesson\.toml: minutes must be of type int, got 'x'"):
        _ = lesson.head
    lesson = add_lesson("90-fake/02-b")
    (lesson.folder / "lesson.toml").write_bytes(b"title = '\xff'")
    with pytest.raises(ValueError, match=r"lesson\.toml is not UTF-8"):
        _ = lesson.head


def test_a_file_tells_its_lesson(add_lesson: Add) -> None:
    lesson = add_lesson("90-fake/02-b")
    assert lesson_of(lesson.folder / "README.md").name == "fake/b"
    with pytest.raises(ValueError, match="no lesson's folder"):
        lesson_of(Path(__file__))


def test_lessons_are_imported_by_slug(add_lesson: Add) -> None:
    lesson = add_lesson("90-fake/03-by-slug")
    assert importlib.import_module("phases.fake.by_slug.build_it").double(2) == 4
    with pytest.raises(ImportError):
        importlib.import_module("phases.fake.nowhere.build_it")
    with pytest.raises(ImportError):
        importlib.import_module(lesson.module("nothing"))


def test_two_folders_with_one_slug_are_refused(add_lesson: Add) -> None:
    add_lesson("90-fake/03-same")
    add_lesson("90-fake/04-same")
    with pytest.raises(ImportError, match="ambiguous"):
        importlib.import_module("phases.fake.same.build_it")


def test_the_learners_file_takes_the_place_of_build_it(
    add_lesson: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson = add_lesson("90-fake/05-mine")
    user = add_lesson(
        "90-fake/06-user",
        "fake/mine",
        build_it__py="from phases.fake.mine.build_it import double\n__all__ = ['double']",
    )
    mine = tmp_path / "mine.py"
    mine.write_text("def double(x):\n    return 'mine'\n", encoding="utf-8")
    monkeypatch.setattr(phases, "_replacements", {})
    phases.replace(lesson.name, mine)
    assert importlib.import_module(lesson.module("build_it")).double(1) == "mine"
    # what builds on it uses it too
    assert importlib.import_module(user.module("build_it")).double(1) == "mine"


def test_a_save_of_the_same_size_within_a_second_is_seen(
    add_lesson: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson = add_lesson("90-fake/05-mine")
    mine = tmp_path / "mine.py"
    monkeypatch.setattr(phases, "_replacements", {})
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for text in ("one", "two"):
        mine.write_text(f"name = {text!r}\n", encoding="utf-8")
        os.utime(mine, (1_000_000_000, 1_000_000_000))
        phases.replace(lesson.name, mine)
        module = importlib.import_module(lesson.module("build_it"))
        assert module.name == text
    assert not (tmp_path / "__pycache__").exists()
