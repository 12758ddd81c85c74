"""`twice`, `twice status` and `twice goal`: where you are, what is next, and why."""

import argparse
import sys
from pathlib import Path

from shared.curriculum import Curriculum, Lesson
from shared.learn import screen
from shared.learn.cards import due_count
from shared.learn.home import Home, home
from shared.learn.lessons import UsageError, problem_of
from shared.learn.progress import ProgressError, State, entry, now
from shared.learn.standing import current, goal, is_done, minutes, upcoming

_RULES = (
    "Pencil first: do the example by hand before you write a line.",
    "Your own code: nobody writes it for you, no assistant either.",
    "Being stuck is the work. A hint comes one at a time, the solution after you have tried.",
)
_MARKS = {"proven": "✓", "changed": "~", "started": "…", "skipped": "-", "": " "}


def welcome(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Say where the learner is and what to type; to a new one, what this is, and ask for a goal."""
    place = home(curriculum.root)
    state = place.store.read()
    if not curriculum.lessons:
        print("There are no lessons here yet: 'twice new PHASE/LESSON' begins one.")
        return 0
    if not state["lessons"] and not state.get("goal"):
        return _first_time(curriculum, place, state)
    lesson, after = current(curriculum, state), upcoming(curriculum, state)
    rows: list[tuple[str, str]] = []
    if lesson:
        rows += [("you are at", f"{lesson.title} ({lesson.name})"), ("", _how_far(state, lesson))]
        rows.append(("go on", f"twice check {lesson.name} --watch"))
    if after and after.lesson != lesson:
        rows += [("next" if not lesson else "then", f"{after.lesson.title} ({after.lesson.name})")]
        rows += [("", f"{after.why}; {after.lesson.position}, {screen.hours(minutes(after.lesson))}")]
        if not lesson:
            rows.append(("go on", f"twice start {after.lesson.name}"))
    if not rows:
        rows.append(("done", "every lesson here is proven or skipped; 'twice review' keeps them fresh"))
    if n := due_count(state, now()):
        rows.append(("review", f"{n} question{'s' * (n != 1)} due: twice review"))
    done = [one for one in curriculum.lessons.values() if is_done(state, one)]
    skipped = sum(not state["lessons"][one.name].get("proven") for one in done)
    aside = f", {skipped} skipped" if skipped else ""
    count = f"{len(done) - skipped} of {len(curriculum.lessons)} lessons proven{aside}"
    rows.append(("so far", f"{count}; the map: twice status"))
    print(*screen.facts(rows), sep="\n")
    return 0


def _how_far(state: State, lesson: Lesson) -> str:
    states = list(state["lessons"].get(lesson.name, {}).get("functions", {}).values())
    if not states:
        return "started, not checked yet"
    counts = {name: states.count(name) for name in dict.fromkeys(states)}
    return ", ".join(f"{n} {name}" for name, n in counts.items())


def _first_time(curriculum: Curriculum, place: Home, state: State) -> int:
    print(screen.bold("Twice: build every idea of AI engineering twice, and prove that the two agree."))
    lessons = list(curriculum.lessons.values())
    n, phases = len(lessons), len(curriculum.phases)
    count = f"{n} lesson{'s' * (n != 1)} in {phases} phase{'s' * (phases != 1)}."
    text = f"{count} You write the version from scratch; tests show where it differs from the framework's."
    print(*screen.wrapped(text), "", sep="\n")
    print(*screen.facts([(f"{i}.", rule) for i, rule in enumerate(_RULES, 1)]), sep="\n")
    if sys.stdin.isatty() and screen.is_terminal():
        chosen = _ask_goal(curriculum)
        if chosen:
            with place.store.change() as changed:
                changed["goal"] = chosen.name
                state = changed
    else:
        print("\nA goal gives you the shortest way to it: twice goal LESSON ('twice list' shows all)")
    after = upcoming(curriculum, state)
    if after:
        print("", *screen.wrapped(f"First: {after.lesson.title}, {after.why}."), sep="\n")
        print(f"  twice show {after.lesson.name}\n  twice start {after.lesson.name}")
    print("\nAll commands: twice --help")
    return 0


def _ask_goal(curriculum: Curriculum) -> Lesson | None:
    """Ask until the answer names a lesson; nothing is an answer too."""
    print("\nWhich lesson do you want to be able to do? Its way is then yours. For example:")
    ends = _ends(curriculum)
    print(*(f"  {line}" for line in screen.columns([(one.position, one.name) for one in ends])), sep="\n")
    while True:
        try:
            text = input("Your goal (number or name; Enter for none): ").strip()
        except EOFError:
            print()
            return None
        if not text:
            return None
        try:
            return curriculum.find(text)
        except ValueError as error:
            print(f"  {error}")


def _ends(curriculum: Curriculum) -> list[Lesson]:
    """Lessons that no other builds on: where ways end. The last few."""
    used = {name for lesson in curriculum.lessons.values() for name in lesson.prerequisites}
    return [lesson for lesson in curriculum.lessons.values() if lesson.name not in used][-5:]


def set_goal(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Choose the lesson to head for, or say which it is."""
    place = home(curriculum.root)
    if options.lesson is None and not options.none:
        target = goal(curriculum, place.store.read())
        print(f"Your goal: {target.name}" if target else "You have no goal: twice goal LESSON chooses one")
        return 0
    lesson = curriculum.find(options.lesson) if options.lesson else None
    with place.store.change() as state:
        if lesson:
            state["goal"] = lesson.name
        else:
            state.pop("goal", None)
    if lesson:
        way = [one for one in curriculum.path_to(lesson) if not is_done(state, one)]
        hours = screen.hours(sum(minutes(one) for one in way))
        print(f"Your goal: {lesson.name}, {len(way)} lesson{'s' * (len(way) != 1)} and {hours} away.")
        print(f"The way: twice path {lesson.name}. What is next: twice")
    else:
        print("You have no goal any more: the next lesson is the first essential one that is ready.")
    return 0


def status(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Print the map of all lessons by phase, with the learner's marks."""
    place = home(curriculum.root)
    problem = _recheck(curriculum, place) if options.recheck else ""
    state = place.store.read()
    rows: dict[str, tuple[str, ...]] = {}
    problems = [problem] if problem else []
    for lesson in curriculum.lessons.values():
        try:
            kind, said = _standing(place, state, lesson)
            rows[lesson.name] = (_MARKS[kind], lesson.position, lesson.title, said)
        except (OSError, ValueError, KeyError) as error:
            problems.append(problem_of(lesson, error))
            rows[lesson.name] = ("", lesson.position, lesson.slug, "lesson.toml?")
    lines = dict(zip(rows, screen.columns(list(rows.values()), right={1}), strict=True)) if rows else {}
    at = current(curriculum, state)
    for number, phase in enumerate(curriculum.phases):
        done = sum(bool(state["lessons"].get(lesson.name, {}).get("proven")) for lesson in phase.lessons)
        print("" if not number else "\n", end="")
        print(
            screen.bold(f"Phase {phase.number}  {phase.title}") + screen.dim(f"  {done} of {len(phase.lessons)} proven")
        )
        for lesson in phase.lessons:
            here = screen.bold(" ←") if at and lesson.name == at.name else ""
            print(f"  {lines[lesson.name]}{here}")
    gone = [name for name in state["lessons"] if name not in curriculum.lessons]
    if gone:
        print(f"\nNo longer in the curriculum, and kept: {', '.join(gone)}")
    target = goal(curriculum, state)
    legend = ", ".join(
        f"{mark} {kind}" for kind, mark in _MARKS.items() if kind and any(r[0] == mark for r in rows.values())
    )
    print(
        f"\n{legend + '. ' if legend else ''}" + (f"Goal: {target.name}." if target else "No goal: twice goal LESSON.")
    )
    for sentence in problems:
        screen.warn(sentence)
    return 2 if problems else 0


def _standing(place: Home, state: State, lesson: Lesson) -> tuple[str, str]:
    """The lesson's mark, and what to say of it."""
    known = state["lessons"].get(lesson.name, {})
    if known.get("proven"):
        from shared.learn.judging import digest  # noqa: PLC0415

        file = place.file(lesson)
        said = f"proven {known['proven'][:10]}"
        if "cases" in known:
            said += f", {known['cases']:,} cases"
        if known.get("gave_up"):
            said += ", after giving up"
        if not file.is_file():
            return "changed", f"{said}; your file is gone"
        if digest(file.read_bytes()) != known.get("code"):
            return "changed", f"{said}; changed since: twice check {lesson.slug}"
        return "proven", said
    if known.get("skipped"):
        return "skipped", f"skipped {known['skipped'][:10]}"
    if known.get("started"):
        return "started", _how_far(state, lesson)
    return "", ""


def _recheck(curriculum: Curriculum, place: Home) -> str:
    """Derive what is proven anew, from the code alone; what cannot be recorded is said."""
    from shared.learn.check import check_file, own_lessons, record  # noqa: PLC0415
    from shared.learn.judging import CALL_LIMIT, WarmProcess, can_judge  # noqa: PLC0415
    from shared.learn.lessons import lacks  # noqa: PLC0415
    from shared.ship.run import RunError  # noqa: PLC0415

    if sentence := can_judge():
        raise UsageError(sentence)
    problem = ""
    for lesson in _in_order(curriculum):
        file: Path = place.file(lesson)
        if not file.is_file():
            continue
        if sentence := lacks(lesson, "build_it.py", "use_it.py", "test_equivalence.py"):
            print(f"not run: {sentence}")
            continue
        print(f"checking {lesson.name} …", end=" ", flush=True)
        try:
            with WarmProcess(lesson) as warm:
                done = check_file(warm, file, own_lessons(curriculum, place, lesson), CALL_LIMIT)
        except RunError as error:
            print(f"not run: {error}")
            continue
        print("proven" if done.proven else "not proven", flush=True)
        try:
            with place.store.change() as state:
                known = entry(state, lesson.name)
                at = known.get("checked") or known.setdefault("started", now())  # it is no work of today's
                if not done.proven:
                    for key in ("proven", "code", "cases", "worst"):
                        known.pop(key, None)
        except ProgressError as error:
            problem = f"this was not recorded: {error}"
            continue
        problem = record(place, done, at) or problem
    print()
    return problem


def _in_order(curriculum: Curriculum) -> list[Lesson]:
    """Every lesson after those that it builds on, so that a recheck finds them proven."""
    order: dict[str, Lesson] = {}
    for lesson in curriculum.lessons.values():
        order |= {one.name: one for one in curriculum.path_to(lesson)}
    return list(order.values())
