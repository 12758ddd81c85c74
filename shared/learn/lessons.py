"""Which lessons a command is about, whether they can run here, and what is known of their proof."""

import importlib.util
import os
from collections.abc import Sequence

from shared.curriculum import HOUSE, Curriculum, Lesson
from shared.proof.card import card_file, read_card

_PROVEN_FILES = ("build_it.py", "use_it.py", "test_equivalence.py")


class UsageError(ValueError):
    """The command cannot do what it was asked; the message is one sentence that says what to do instead."""


def chosen(curriculum: Curriculum, names: Sequence[str], everything: bool) -> list[Lesson]:
    """The lessons called `names`, where a phase (``03``, ``deep-learning-core``) stands for all of its lessons."""
    if everything == bool(names):
        raise UsageError("name one lesson or more (or a phase), or say --all")
    found: dict[str, Lesson] = {}
    for name in names:
        phase = [phase for phase in curriculum.phases if name in (f"{phase.number:02}", str(phase.number), phase.slug)]
        for lesson in phase[0].lessons if phase else [curriculum.find(name)]:
            found[lesson.name] = lesson
    return list(curriculum.lessons.values()) if everything else list(found.values())


def lacks(lesson: Lesson, *files: str) -> str:
    """Why `lesson` cannot run here, in one sentence; empty where it can. Nothing is imported to find out."""
    for file in ("lesson.toml", *files):
        if not (lesson.folder / file).is_file():
            return f"{lesson.name} has no {file} yet"
    ships = lesson.meta.get("ships", {})
    if "ship_it.py" in files and not {"kind", "name", "title", "summary", "use"} <= set(ships):
        return f"{lesson.folder / 'lesson.toml'} must name the artifact in [ships]: kind, name, title, summary, use"
    absent = [name for name in lesson.frameworks if importlib.util.find_spec(name.partition(".")[0]) is None]
    if absent:
        are = "is" if len(absent) == 1 else "are"
        return f"{lesson.name} needs {' and '.join(absent)}, which {are} not installed here: {install(lesson)}"
    return ""


def install(lesson: Lesson) -> str:
    """What to do to have the packages of `lesson`: nox knows those of this repository's lessons."""
    ours = lesson.root == HOUSE
    return f"run 'nox -s learn -- {lesson.phase_number:02}'" if ours else f"install what {lesson.root} asks for"


def require(lesson: Lesson, *files: str) -> None:
    """Raise UsageError where `lacks` finds something."""
    if sentence := lacks(lesson, *files):
        raise UsageError(sentence)


def proof_state(lesson: Lesson) -> str:
    """What is known here of the lesson's proof: cases and worst difference, or why there is none."""
    card = read_card(lesson.name, lesson.root)
    tests = card.get("tests", {})
    if not tests:
        return "not proven here"
    if not tests["passed"] or tests["failed"] or tests["skipped"]:
        return "fails"
    proven = card_file(lesson.name, lesson.root).stat().st_mtime
    with os.scandir(lesson.folder) as files:
        if any(file.name in _PROVEN_FILES and file.stat().st_mtime > proven for file in files):
            return "changed since"
    return f"{card['cases']:,} cases, worst {card['worst']:.0e}"


def problem_of(lesson: Lesson, error: Exception) -> str:
    """Why a lesson cannot be listed, in one sentence."""
    if isinstance(error, FileNotFoundError):
        return f"{lesson.name} has no lesson.toml"
    return f"{lesson.name}: lesson.toml has no {error}" if isinstance(error, KeyError) else str(error)
