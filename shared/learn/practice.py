"""`twice start`, `hint`, `solution`, `reset` and `skip`: what a learner does with one lesson besides checking it."""

import argparse
import difflib

from shared.curriculum import Curriculum, Lesson
from shared.learn import screen
from shared.learn.home import Home, backup, home
from shared.learn.lessons import UsageError, lacks
from shared.learn.outline import outline, public
from shared.learn.progress import ProgressError, entry, now, write_files
from shared.learn.standing import chosen, started_stub, unproven_before, update_since

_DONE = "proven"


def start(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Write the learner's file: the reference without its bodies. Nothing of the lesson is run."""
    lesson = curriculum.find(options.lesson)
    place = home(curriculum.root)
    file = place.file(lesson)
    state = place.store.read()
    if file.is_file():
        print(f"You have started {lesson.name} already: {screen.shown(file)}")
        for line in update_since(place, lesson, state["lessons"].get(lesson.name, {})):
            print(line)
        print(f"Check it: twice check {lesson.name}. From the beginning again: twice reset {lesson.name}")
        return 0
    _write_stub(place, lesson)
    n = len(public(_reference(lesson)))
    print(screen.bold(lesson.title) + screen.dim(f"  {lesson.name}"))
    rows = [
        ("your file", f"{screen.shown(file)} ({n} function{'s' * (n != 1)} to write)"),
        ("the text", f"{screen.shown(lesson.folder / 'README.md')}"),
        ("", f"twice show {lesson.name}"),
    ]
    page = curriculum.root / "build" / "site" / "lessons" / lesson.name / "index.html"
    built = screen.shown(page) if page.is_file() else f"lessons/{lesson.name}/ on the site ('nox -s docs' builds it)"
    rows.append(("its page", built))
    rows.append(("next", f"read to the end of PROBLEM, then: twice check {lesson.name} --watch"))
    print("", *screen.facts(rows), sep="\n")
    if before := unproven_before(curriculum, state, lesson):
        print(f"\nIt builds on {_several(before)} that you have not proven yet. You can go on all the same.")
        print(f"The way to it: twice path {lesson.name}. To begin with the first: twice start {before[0].name}")
    if sentence := lacks(lesson, "build_it.py", "use_it.py", "test_equivalence.py"):
        print(f"\nTo check it, something is missing: {sentence}")
    return 0


def reset(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Begin a lesson anew; what was written moves to a backup with the time in its name."""
    lesson = curriculum.find(options.lesson)
    place = home(curriculum.root)
    file = place.file(lesson)
    if not file.is_file():
        raise UsageError(f"you have not started {lesson.name}: 'twice start {lesson.name}' does")
    kept = backup(file)
    try:
        _write_stub(place, lesson)
    except (OSError, ValueError):
        kept.rename(file)
        raise
    print(f"Your version is kept: {screen.shown(kept)}")
    print(f"{screen.shown(file)} is as at the start again. Next: twice check {lesson.name} --watch")
    return 0


def _write_stub(place: Home, lesson: Lesson) -> None:
    from shared.learn.judging import digest  # noqa: PLC0415  # not for a hint
    from shared.proof.interface import stub  # noqa: PLC0415

    reference = _reference(lesson)
    text = stub(reference)
    file = place.make_folder(lesson)
    write_files({file: text.encode()})
    kept = started_stub(place, lesson)
    with place.store.change() as state:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_files({kept: text.encode()})
        known = entry(state, lesson.name)
        known |= {"started": now(), "reference": digest(reference.encode())}
        for key in ("functions", "skipped"):
            known.pop(key, None)


def _reference(lesson: Lesson) -> str:
    file = lesson.folder / "build_it.py"
    if not file.is_file():
        raise UsageError(f"{lesson.name} has no build_it.py yet")
    return file.read_text(encoding="utf-8")


def hint(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Print the next hint for a function, with those seen before; all of them once the lesson is proven."""
    place = home(curriculum.root)
    state = place.store.read()
    lesson = chosen(curriculum, state, options.lesson)
    by_function: dict[str, list[str]] = {}
    for one in lesson.meta.get("hints", []):
        by_function.setdefault(one["for"], []).append(one["text"])
    if not by_function:
        raise UsageError(f"{lesson.name} has no hints yet")
    known = state["lessons"].get(lesson.name, {})
    if known.get(_DONE) and not options.path:
        for function, texts in by_function.items():
            print(screen.bold(function))
            print(*screen.facts([(str(i), text) for i, text in enumerate(texts, 1)]), sep="\n")
        return 0
    function = _function(lesson, by_function, options.path or _needed(by_function, known.get("functions", {})))
    texts = by_function[function]
    shown = min(int(known.get("hints", {}).get(function, 0)) + 1, len(texts))
    shown = len(texts) if known.get(_DONE) else shown
    print(screen.bold(function) + screen.dim(f"  hint {shown} of {len(texts)}"))
    print(*screen.facts([(str(i), text) for i, text in enumerate(texts[:shown], 1)]), sep="\n")
    if shown < len(texts):
        print(f"\nTry again with this. The next one: twice hint {lesson.name} {function}")
    elif known.get(_DONE):
        print(f"\nYours and the reference: twice solution {lesson.name} {function}")
    else:
        print(f"\nThat was the last one for {function}. twice solution {lesson.name} --give-up shows the reference.")
    try:
        with place.store.change() as changed:
            entry(changed, lesson.name).setdefault("hints", {})[function] = shown
    except ProgressError as error:
        screen.warn(f"this was not recorded: {error}")
    return 0


def _needed(by_function: dict[str, list[str]], states: dict[str, str]) -> str:
    """The function to give a hint for: the first that differs, else the first that is not proven."""
    for wanted in (("different",), ("to do", "not run", "so far", "")):
        for function in by_function:
            paths = [path for path in states if path == function or path.startswith(f"{function}.")]
            if any(states[path] in wanted for path in paths) or (not paths and "" in wanted and not states):
                return function
    return next(iter(by_function))


def _function(lesson: Lesson, by_function: dict[str, list[str]], wanted: str) -> str:
    """`wanted` as the hints name it: the function itself, or the class of a method."""
    for name in (wanted, wanted.partition(".")[0]):
        if name in by_function:
            return name
    near = difflib.get_close_matches(wanted, by_function, n=1, cutoff=0.5)
    hint_for = f"did you mean {near[0]}?" if near else f"there are hints for {', '.join(by_function)}"
    raise UsageError(f"{lesson.name} has no function {wanted!r}; {hint_for}")


def solution(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Print how the learner's file and the reference differ; before it is proven, only for who gives up."""
    from shared.learn.judging import digest  # noqa: PLC0415  # not for a hint

    place = home(curriculum.root)
    state = place.store.read()
    lesson = chosen(curriculum, state, options.lesson)
    file = place.file(lesson)
    known = state["lessons"].get(lesson.name, {})
    if not file.is_file():
        raise UsageError(f"you have not started {lesson.name}: 'twice start {lesson.name}' does")
    if not known.get(_DONE) and not options.give_up:
        raise UsageError(
            f"{lesson.name} is not proven yet: 'twice hint {lesson.name}' helps on, "
            f"and 'twice solution {lesson.name} --give-up' shows the reference (and remembers that you gave up)"
        )
    if not known.get(_DONE) and not known.get("gave_up"):
        with place.store.change() as changed:  # before anything is shown: what is not recorded is not shown
            entry(changed, lesson.name)["gave_up"] = now()
    mine, reference = file.read_text(encoding="utf-8", errors="replace"), _reference(lesson)
    if options.path:
        mine, reference = _piece(mine, options.path, lesson), _piece(reference, options.path, lesson)
    lines = screen.diff(mine, reference, 2)
    if not lines:
        print("Yours is the reference, line by line.")
        return 0
    print(screen.red(f"--- {screen.shown(file)}"), screen.green("+++ the reference"), *lines, sep="\n")
    if known.get("code") == digest(file.read_bytes()):
        print("\nBoth are proven. Where yours is shorter or clearer, it is better.")
    return 0


def _piece(text: str, path: str, lesson: Lesson) -> str:
    """The lines of one function or method; empty where `text` has none of that name."""
    from shared.learn.judging import BadSourceError, parsed  # noqa: PLC0415

    if path not in public(_reference(lesson)):
        paths = public(_reference(lesson))
        near = difflib.get_close_matches(path, paths, n=1, cutoff=0.5)
        raise UsageError(f"{lesson.name} has no function {path!r}" + (f"; did you mean {near[0]}?" if near else ""))
    try:
        places = parsed(text.encode())
    except BadSourceError:
        return text
    if path not in places:
        return ""
    first = places[path][0]
    later = sorted(line for line, _ in outline(text).values() if line > first)
    lines = text.splitlines()
    end = later[0] - 1 if later else len(lines)
    return "\n".join(lines[first - 1 : end]).rstrip()


def skip(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Mark a lesson as not needed: the way to a goal goes on without it."""
    lesson = curriculum.find(options.lesson)
    place = home(curriculum.root)
    with place.store.change() as state:
        known = entry(state, lesson.name)
        if options.undo:
            known.pop("skipped", None)
        elif known.get(_DONE):
            raise UsageError(f"you have proven {lesson.name}: there is nothing to skip")
        else:
            known["skipped"] = now()
    if options.undo:
        print(f"{lesson.name} is back on your way.")
    else:
        print(f"{lesson.name} is skipped. To take it back: twice skip {lesson.name} --undo")
    print("What is next: twice")
    return 0


def _several(lessons: list[Lesson]) -> str:
    names = [lesson.slug for lesson in lessons]
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more lessons"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
