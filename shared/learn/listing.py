"""`twice`, `twice list` and `twice path`: what there is."""

import argparse
import sys
from collections.abc import Sequence

from shared.curriculum import Curriculum, Lesson
from shared.learn import screen
from shared.learn.lessons import proof_state

_INDENT = 2


def welcome(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Say what is here and what to type first."""
    print(screen.bold("Twice: build every idea of AI engineering twice, and prove that the two agree."))
    lessons = list(curriculum.lessons.values())
    print(f"{len(lessons)} lesson{'s' * (len(lessons) != 1)} in {len(curriculum.phases)} phases.")
    if lessons:
        first = lessons[0].name
        rows = [
            (f"twice run {first}", "both versions on real data, side by side"),
            (f"twice show {first}", "read the lesson"),
            (f"twice prove {first}", "test that the two agree"),
            ("twice list", "all lessons"),
            ("twice doctor", "what is installed, and what to do about the rest"),
            ("twice --help", "all commands"),
        ]
        print("\nStart here:\n")
        print("\n".join(f"  {line}" for line in screen.columns(rows)))
    return 0


def list_lessons(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Print every lesson, by phase; exit code 2 where a lesson.toml cannot be read."""
    problems: list[str] = []
    rows: dict[str, tuple[str, ...]] = {}
    for lesson in curriculum.lessons.values():
        try:
            head = lesson.head
            rows[lesson.name] = (
                lesson.position,
                lesson.title,
                lesson.name,
                str(head.get("priority", "")),
                screen.hours(head.get("minutes", 0)),
                proof_state(lesson),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append(_problem(lesson, error))
            rows[lesson.name] = (lesson.position, lesson.slug, lesson.name, "", "", "lesson.toml?")
    lines = (
        dict(
            zip(
                rows,
                _fit(list(rows.values()), [(0, 1, 2, 3, 4, 5), (0, 1, 3, 4, 5), (0, 1, 4, 5)], right={0, 4}),
                strict=True,
            )
        )
        if rows
        else {}
    )
    for number, phase in enumerate(curriculum.phases):
        if number:
            print()
        print(screen.bold(f"Phase {phase.number}  {phase.title}"))
        for lesson in phase.lessons:
            print(lines[lesson.name])
    for problem in problems:
        print(f"twice: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _fit(rows: list[tuple[str, ...]], choices: Sequence[tuple[int, ...]], right: set[int]) -> list[str]:
    """The rows as lines, with the first of `choices` of columns that is no wider than the terminal (or the last)."""
    for kept in choices:
        lines = screen.columns([[row[i] for i in kept] for row in rows], {kept.index(i) for i in right & set(kept)})
        if max(map(len, lines)) + _INDENT <= screen.width():
            break
    return [" " * _INDENT + line for line in lines]


def path(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Print the prerequisites of a lesson in order, and the lesson, with the time they take."""
    goal = curriculum.find(options.lesson)
    lessons = curriculum.path_to(goal)
    minutes = [lesson.head.get("minutes", 0) for lesson in lessons]
    rows: list[tuple[str, ...]] = [
        (str(i), lesson.position, lesson.title, lesson.name, f"{time} min", proof_state(lesson))
        for i, (lesson, time) in enumerate(zip(lessons, minutes, strict=True), 1)
    ]
    for line in _fit(rows, [(0, 1, 2, 3, 4, 5), (0, 1, 2, 4, 5), (0, 1, 2, 4)], right={0, 1, 4}):
        print(line)
    print(f"{len(lessons)} lesson{'s' * (len(lessons) != 1)}, {screen.hours(sum(minutes))}")
    return 0


def _problem(lesson: Lesson, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{lesson.name} has no lesson.toml"
    return f"{lesson.name}: lesson.toml has no {error}" if isinstance(error, KeyError) else str(error)
