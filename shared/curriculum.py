"""Read ``phases/``: the phases, the lessons, and the graph of their prerequisites."""

import contextlib
import difflib
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).resolve().parent.parent  # holds shared/, the finder of phases/, pytest's configuration
# Holds the lessons and what comes of them: this repository, or another one of the same shape. A process reads it once;
# code that is given a lesson or a curriculum asks that for its root.
ROOT = Path(os.environ.get("TWICE_ROOT") or HOUSE).resolve()
BEATS = ("MOTTO", "PROBLEM", "CONCEPT", "BUILD IT", "USE IT", "SHIP IT", "PRACTICE")
PRIORITIES = ("essential", "recommended", "optional")
LEVELS = ("values", "gradients", "trajectory", "distribution", "transcript")
_KINDS = {
    "title": str,
    "priority": str,
    "minutes": int,
    "prerequisites": list,
    "frameworks": list,
    "formerly": list,
    "ships": dict,
}
_SLUG = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_NAME = re.compile(f"{_SLUG}/{_SLUG}")
_NUMBERED = re.compile(rf"(\d\d)-({_SLUG})")


class UnknownLessonError(ValueError):
    """No lesson, or more than one, has that name; the message says which come nearest."""


@dataclass(frozen=True)
class Lesson:
    """A folder ``phases/NN-phase-slug/MM-lesson-slug``."""

    folder: Path
    phase_number: int
    phase_slug: str
    number: int
    slug: str

    @property
    def name(self) -> str:
        """What prerequisites and commands call it, e.g. ``deep-learning-core/backpropagation``."""
        return f"{self.phase_slug}/{self.slug}"

    @property
    def root(self) -> Path:
        """The folder that holds ``phases/``."""
        return self.folder.parents[2]

    @property
    def position(self) -> str:
        """Its number for typing, e.g. ``3/10``."""
        return f"{self.phase_number}/{self.number}"

    def module(self, file: str) -> str:
        """The dotted name to import `file` (``"build_it"``) by."""
        return f"phases.{self.phase_slug}.{self.slug}.{file}".replace("-", "_")

    @cached_property
    def head(self) -> dict[str, Any]:
        """The plain keys at the top of ``lesson.toml``, without its tables: all that a list of lessons needs."""
        return self._parse(re.split(r"^\[", self._text, maxsplit=1, flags=re.MULTILINE)[0])

    @cached_property
    def meta(self) -> dict[str, Any]:
        """All of ``lesson.toml``."""
        return self._parse(self._text)

    @cached_property
    def _text(self) -> str:
        file = self.folder / "lesson.toml"
        try:
            return file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} is not UTF-8: {error}") from None

    def _parse(self, text: str) -> dict[str, Any]:
        file = self.folder / "lesson.toml"
        try:
            parsed = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{file}: {error}") from None
        for key, kind in _KINDS.items():
            if key in parsed and type(parsed[key]) is not kind:
                raise ValueError(f"{file}: {key} must be of type {kind.__name__}, got {parsed[key]!r}")
        return parsed

    @property
    def title(self) -> str:
        return str(self.head["title"])

    @property
    def rank(self) -> int:
        """The place of its priority among PRIORITIES; after all of them where it names none."""
        priority = self.head.get("priority")
        return PRIORITIES.index(priority) if priority in PRIORITIES else len(PRIORITIES)

    @property
    def prerequisites(self) -> list[str]:
        return list(self.head.get("prerequisites", []))

    @property
    def frameworks(self) -> list[str]:
        return list(self.head.get("frameworks", []))

    @property
    def formerly(self) -> list[str]:
        """The names that it had before; what a learner did under them counts for it."""
        names = list(self.head.get("formerly", [])) if "formerly" in self._text else []  # parsing all would take long
        for name in names:
            if not isinstance(name, str) or not _NAME.fullmatch(name):  # it names a folder of the learner's
                raise ValueError(f"{self.folder / 'lesson.toml'}: formerly holds names like phase/lesson, not {name!r}")
        return names


@dataclass(frozen=True)
class Phase:
    """A folder ``phases/NN-phase-slug`` with its lessons in order."""

    folder: Path
    number: int
    slug: str
    lessons: tuple[Lesson, ...]

    @property
    def title(self) -> str:
        """The first heading of its README, or its slug in words."""
        readme = self.folder / "README.md"
        if readme.is_file():
            for line in readme.read_text(encoding="utf-8").splitlines():
                if line.startswith("# "):
                    return line[2:].strip()
        return self.slug.replace("-", " ").capitalize()


@dataclass(frozen=True)
class Curriculum:
    """All phases below a root folder (this project's, or another of the same shape)."""

    phases: tuple[Phase, ...]
    root: Path

    @cached_property
    def lessons(self) -> dict[str, Lesson]:
        """Every lesson by its name, in the order of the folders."""
        return {lesson.name: lesson for phase in self.phases for lesson in phase.lessons}

    @cached_property
    def former(self) -> dict[str, Lesson]:
        """The lessons that were renamed, by each name that they had before."""
        names: dict[str, Lesson] = {}
        for lesson in self.lessons.values():
            with contextlib.suppress(OSError, ValueError):  # a broken lesson is reported where it is asked for
                for name in lesson.formerly:
                    names.setdefault(name, lesson)
        return names

    def find(self, text: str) -> Lesson:
        """The lesson called `text`: a name, a slug, a number (``3/10``), a former name, or an unambiguous part.

        Raises:
            UnknownLessonError: with the candidates, or the nearest names.
        """
        wanted = text.strip().strip("/").lower()
        by_rank = (
            lambda lesson: wanted == lesson.name,
            lambda lesson: (
                re.fullmatch(r"\d+/\d+", wanted)
                and lesson.position == "/".join(str(int(part)) for part in wanted.split("/"))
            ),
            lambda lesson: wanted == lesson.slug,
            lambda lesson: (
                lesson in [new for old, new in self.former.items() if wanted in (old, old.partition("/")[2])]
            ),
            lambda lesson: wanted and wanted in lesson.name,
        )
        for matches in by_rank:
            found = [lesson for lesson in self.lessons.values() if matches(lesson)]
            if len(found) == 1:
                return found[0]
            if found:
                raise UnknownLessonError(
                    f"{text!r} can mean {', '.join(lesson.name for lesson in found)}; name one of them"
                )
        names = {
            key: lesson.name
            for lesson in self.lessons.values()
            for key in (*lesson.slug.split("-"), lesson.slug, lesson.name)
        }
        nearest = dict.fromkeys(names[key] for key in difflib.get_close_matches(wanted, names, n=3, cutoff=0.6))
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else "'twice list' shows them all"
        raise UnknownLessonError(f"there is no lesson {text!r}; {hint}")

    def _precedence(self, name: str) -> tuple[int, int]:
        """By priority, and then by the order of the folders."""
        return self.lessons[name].rank, list(self.lessons).index(name)

    def path_to(self, goal: Lesson) -> list[Lesson]:
        """`goal` and all its prerequisites, each after what it needs; where free to choose, essential ones come first.

        Raises:
            ValueError: if prerequisites form a cycle or one does not exist.
        """
        order: dict[str, Lesson] = {}
        open_names: list[str] = []

        def visit(lesson: Lesson) -> None:
            if lesson.name in order:
                return
            if lesson.name in open_names:
                cycle = " → ".join([*open_names[open_names.index(lesson.name) :], lesson.name])
                raise ValueError(f"prerequisites go round in a circle: {cycle}")
            open_names.append(lesson.name)
            for name in lesson.prerequisites:
                if name not in self.lessons:
                    raise ValueError(f"{lesson.name} asks for {name!r} as a prerequisite, and there is no such lesson")
            for name in sorted(lesson.prerequisites, key=self._precedence):
                visit(self.lessons[name])
            open_names.pop()
            order[lesson.name] = lesson

        visit(goal)
        return list(order.values())


def _numbered(folder: Path) -> Iterator[tuple[Path, int, str]]:
    for child in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = _NUMBERED.fullmatch(child.name)
        if match and child.is_dir():
            yield child, int(match[1]), match[2]


def load(root: Path = ROOT) -> Curriculum:
    """The curriculum below ``root/phases``. Only folder names are read; a lesson's file is read when asked for."""
    return Curriculum(
        tuple(
            Phase(
                folder,
                number,
                slug,
                tuple(Lesson(path, number, slug, n, lesson) for path, n, lesson in _numbered(folder)),
            )
            for folder, number, slug in _numbered(root / "phases")
        ),
        root,
    )


def environment(root: Path) -> dict[str, str]:
    """The environment of a child process, started in HOUSE, that is to work on the lessons below `root`.

    Frameworks compute on one thread unless told otherwise: a lesson's arrays are small, and a second thread costs more
    than it brings.
    """
    return {"OMP_NUM_THREADS": "1", **os.environ, "TWICE_ROOT": str(root)}


def pytest_options(root: Path) -> list[str]:
    """How pytest is told to work on the lessons below `root` with the configuration of the house."""
    return ["-c", str(HOUSE / "pyproject.toml"), "--rootdir", str(root), "--confcutdir", str(root)]


def lesson_of(file: Path) -> Lesson:
    """The lesson whose folder holds `file`."""
    lesson, phase = _NUMBERED.fullmatch(file.parent.name), _NUMBERED.fullmatch(file.parent.parent.name)
    if not lesson or not phase:
        raise ValueError(f"{file} is in no lesson's folder")
    return Lesson(file.parent, int(phase[1]), phase[2], int(lesson[1]), lesson[2])
