"""Where a learner is: the lesson under way, what is next and why, and what has changed since they started."""

import re
from dataclasses import dataclass
from pathlib import Path

from shared.curriculum import Curriculum, Lesson
from shared.learn.home import Home
from shared.learn.lessons import UsageError
from shared.learn.outline import outline
from shared.learn.progress import State


@dataclass(frozen=True)
class Next:
    """A lesson to take next, and why this one."""

    lesson: Lesson
    why: str


def known(state: State, lesson: Lesson) -> dict[str, object]:
    """What is recorded of `lesson`; empty where it was never touched."""
    return dict(state["lessons"].get(lesson.name, {}))


def is_done(state: State, lesson: Lesson) -> bool:
    """Whether the lesson is proven, or skipped."""
    entry = known(state, lesson)
    return bool(entry.get("proven") or entry.get("skipped"))


def current(curriculum: Curriculum, state: State) -> Lesson | None:
    """The lesson that the learner worked on last and has not proven."""
    under_way = [
        (max(started, str(entry.get("checked", ""))), lesson)
        for lesson in curriculum.lessons.values()
        if (started := str((entry := known(state, lesson)).get("started", "")))
        and not entry.get("skipped")
        and started > str(entry.get("proven", ""))  # `reset` begins a proven one again
    ]
    return max(under_way, key=lambda pair: pair[0])[1] if under_way else None


def chosen(curriculum: Curriculum, state: State, name: str | None) -> Lesson:
    """The lesson called `name`, or the one that the learner is at."""
    if name:
        return curriculum.find(name)
    if lesson := current(curriculum, state):
        return lesson
    raise UsageError("you have no lesson under way: 'twice' says what is next, 'twice start LESSON' begins one")


def goal(curriculum: Curriculum, state: State) -> Lesson | None:
    """The lesson that the learner is heading for; None where none was chosen, or it is gone."""
    return curriculum.lessons.get(state.get("goal", ""))


def upcoming(curriculum: Curriculum, state: State) -> Next | None:
    """The lesson to take next: on the way to the goal, else the first essential one whose prerequisites are done."""
    target = goal(curriculum, state)
    if target and not is_done(state, target):
        way = [lesson for lesson in curriculum.path_to(target) if not is_done(state, lesson)]
        first = way[0]
        if first == target:
            return Next(first, f"your goal; {_stands_on(state, curriculum, first)}")
        left = f"{len(way)} lesson{'s' * (len(way) != 1)} to go"
        return Next(first, f"on the way to your goal, {target.slug} ({left}); {_stands_on(state, curriculum, first)}")
    waiting = [lesson for lesson in curriculum.lessons.values() if not is_done(state, lesson)]
    if not waiting:
        return None
    ready = [
        lesson
        for lesson in waiting
        if all(is_done(state, curriculum.lessons[name]) for name in lesson.prerequisites if name in curriculum.lessons)
    ]
    first = min(ready or waiting, key=lambda lesson: lesson.rank)
    return Next(first, f"{priority(first)}; {_stands_on(state, curriculum, first)}")


def priority(lesson: Lesson) -> str:
    return str(lesson.head.get("priority", ""))


def minutes(lesson: Lesson) -> int:
    return int(lesson.head.get("minutes", 0))


def _stands_on(state: State, curriculum: Curriculum, lesson: Lesson) -> str:
    """Its prerequisites in words, with what the learner has of them."""
    if not lesson.prerequisites:
        return "it needs nothing before it"
    said = []
    for name in lesson.prerequisites:
        entry = state["lessons"].get(name, {})
        how = "proven" if entry.get("proven") else "skipped" if entry.get("skipped") else "not proven yet"
        said.append(f"{name.rpartition('/')[2]} ({how})")
    return f"it builds on {', '.join(said)}"


def unproven_before(curriculum: Curriculum, state: State, lesson: Lesson) -> list[Lesson]:
    """The lessons before `lesson`, however far, that are neither proven nor skipped; in order."""
    return [one for one in curriculum.path_to(lesson)[:-1] if not is_done(state, one)]


def started_stub(place: Home, lesson: Lesson) -> Path:
    """Where the stub is kept as it was when the learner started, to tell what has changed since."""
    return place.state / "started" / f"{lesson.name}.py"


def update_since(place: Home, lesson: Lesson, entry: dict[str, object]) -> list[str]:
    """That the reference was changed since the learner started, and where that shows in the stub; else nothing."""
    from shared.learn.judging import digest  # noqa: PLC0415
    from shared.proof.interface import stub  # noqa: PLC0415

    reference = (lesson.folder / "build_it.py").read_bytes()
    if not entry.get("reference") or entry["reference"] == digest(reference):
        return []
    since = str(entry.get("started", ""))[:10]
    lines = ["", f"The lesson's own build_it.py has changed since you started ({since}). Your file is as you left it."]
    try:
        old = _pieces(started_stub(place, lesson).read_text(encoding="utf-8"))
        new = _pieces(stub(reference.decode()))
    except (OSError, SyntaxError):
        return lines
    for words, names in (
        ("new functions", [path for path in new if path not in old]),
        ("functions that are gone", [path for path in old if path not in new]),
        ("other signatures or docstrings", [path for path in new if path in old and new[path] != old[path]]),
    ):
        if names:
            lines.append(f"  {words}: {', '.join(names)}")
    if len(lines) == 2:
        lines.append("  Only bodies changed: what you have to write is the same.")
    return lines


def _pieces(text: str) -> dict[str, str]:
    """Each function of a stub with its signature and docstring."""
    places = sorted((line, path) for path, (line, _) in outline(text).items())
    lines = text.splitlines()
    ends = [line - 1 for line, _ in places[1:]] + [len(lines)]
    return {
        path: re.sub(r"\s+", " ", "\n".join(lines[line - 1 : end]).split("raise NotImplementedError")[0])
        for (line, path), end in zip(places, ends, strict=True)
    }
