"""`twice list` and `twice path`: what there is, and the way to it."""

import argparse
import sys
from collections.abc import Sequence

from shared.curriculum import PRIORITIES, Curriculum, Lesson
from shared.learn import screen
from shared.learn.home import home
from shared.learn.lessons import UsageError, problem_of, proof_state
from shared.learn.progress import State
from shared.learn.standing import is_done, minutes, priority

_INDENT = 2


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
            problems.append(problem_of(lesson, error))
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
    """Print the way to a lesson: all that it builds on, in order, with the learner's marks and the hours left."""
    given = options.lesson or home(curriculum.root).store.read().get("goal")
    if not given:
        raise UsageError("name a lesson, or choose a goal: twice goal LESSON")
    target = curriculum.find(given)
    state = home(curriculum.root).store.read()
    lessons = curriculum.path_to(target)
    rows: list[tuple[str, ...]] = [
        (
            str(i),
            lesson.position,
            lesson.title,
            lesson.name,
            priority(lesson),
            f"{minutes(lesson)} min",
            _done(state, lesson),
        )
        for i, lesson in enumerate(lessons, 1)
    ]
    for line in _fit(rows, [(0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 4, 5, 6), (0, 1, 2, 5, 6), (0, 1, 2, 5)], right={0, 1, 5}):
        print(line)
    left = [lesson for lesson in lessons if not is_done(state, lesson)]
    print(f"{_lessons(lessons)}, {screen.hours(sum(map(minutes, lessons)))}" + _by_priority(lessons))
    if len(left) < len(lessons):
        print(f"left: {_lessons(left)}, {screen.hours(sum(map(minutes, left)))}{_by_priority(left) if left else ''}")
    if left:
        print(f"Next: twice start {left[0].name}")
    return 0


def _done(state: State, lesson: Lesson) -> str:
    known = state["lessons"].get(lesson.name, {})
    return next((word for word in ("proven", "skipped", "started") if known.get(word)), "")


def _lessons(lessons: Sequence[Lesson]) -> str:
    return f"{len(lessons)} lesson{'s' * (len(lessons) != 1)}"


def _by_priority(lessons: Sequence[Lesson]) -> str:
    """How the hours divide: `` (essential 4.0 h, optional 1.0 h)``; nothing where all are of one kind."""
    hours: dict[str, int] = {}
    for lesson in lessons:
        hours[priority(lesson)] = hours.get(priority(lesson), 0) + minutes(lesson)
    if len(hours) == 1:
        return f", all {next(iter(hours))}"
    return f" ({', '.join(f'{kind} {screen.hours(hours[kind])}' for kind in PRIORITIES if kind in hours)})"
