"""`twice check`: the lesson's own tests on the learner's file, once or at each save."""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.curriculum import Curriculum, Lesson
from shared.learn import screen
from shared.learn.cards import day, enrol, questions_of
from shared.learn.home import Home, home
from shared.learn.judging import (
    BadSourceError,
    CancelledError,
    WarmProcess,
    can_judge,
    digest,
    judge_file,
)
from shared.learn.lessons import UsageError, require
from shared.learn.progress import ProgressError, entry, now
from shared.learn.report import bad_source, report
from shared.learn.standing import chosen, update_since
from shared.learn.verdict import TO_DO, Verdict

_POLL = 0.2  # seconds between two looks at a watched file
_GONE = 2.0  # until a file that an editor may be replacing counts as gone
_STILL = 0.1  # and until what an editor writes is taken as whole
_MOST = 3600  # seconds for one call
_TRIES = 5  # to read a file that is saved while it is read


@dataclass
class Checked:
    """One check: what was judged, and how it ended (None where the file is no Python)."""

    lesson: Lesson
    file: Path
    source: bytes
    verdict: Verdict | None
    bad: BadSourceError | None = None

    @property
    def proven(self) -> bool:
        return self.verdict is not None and self.verdict.proven

    def lines(self, *, verbose: bool = False) -> list[str]:
        """The screen."""
        if self.verdict is None:
            return bad_source(self.file, self.source, self.bad or BadSourceError(0, 0, ""))
        return report(self.lesson, self.file, self.source, self.verdict, verbose=verbose)


def check(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Check the learner's file; exit code 0 where the lesson is proven, else 1."""
    place = home(curriculum.root)
    state = place.store.read()
    lesson = chosen(curriculum, state, options.lesson)
    require(lesson, "build_it.py", "use_it.py", "test_equivalence.py")
    if sentence := can_judge():
        raise UsageError(sentence)
    if not 0 < options.limit <= _MOST:
        raise UsageError(
            f"--limit is the seconds for one call, more than 0 and at most {_MOST}, and not {options.limit}"
        )
    file = place.file(lesson)
    if state["lessons"].get(lesson.name, {}).get("breaks") and not options.own:
        from shared.learn.breaking import open_break  # noqa: PLC0415  # only where there was one

        file = open_break(place, lesson) or file
    if not file.is_file():
        raise UsageError(f"you have not started {lesson.name}: 'twice start {lesson.name}' writes your file")
    if options.watch:
        return _watch(curriculum, lesson, file, options)
    earlier = {} if options.reference else own_lessons(curriculum, place, lesson)
    with WarmProcess(lesson) as warm, screen.progress() as say:
        for _ in range(_TRIES):
            with contextlib.suppress(CancelledError):  # it was saved while it was read: once more
                done = check_file(warm, file, earlier, options.limit, hear=_progress(say, lesson))
                break
        else:
            raise UsageError(f"{screen.shown(file)} changes each time it is read")
    return _finish(curriculum, place, done, options)


def check_file(
    warm: WarmProcess,
    file: Path,
    earlier: Mapping[str, Path],
    limit: float,
    *,
    hear: Callable[[Mapping[str, Any]], None] = lambda event: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Checked:
    """Judge `file` as it is now, with the files in `earlier` in the place of other lessons' references."""
    source = file.read_bytes()
    try:
        verdict = judge_file(warm, file, source, earlier=earlier, call_limit=limit, hear=hear, cancelled=cancelled)
    except BadSourceError as error:
        return Checked(warm.lesson, file, source, None, error)
    return Checked(warm.lesson, file, source, verdict)


def own_lessons(curriculum: Curriculum, place: Home, lesson: Lesson) -> dict[str, Path]:
    """The learner's files that stand in for the reference's: of lessons before this one, proven as they are now."""
    state = place.store.read()
    found = {}
    for earlier in curriculum.path_to(lesson)[:-1]:
        known, file = state["lessons"].get(earlier.name, {}), place.file(earlier)
        if known.get("proven") and file.is_file() and digest(file.read_bytes()) == known.get("code"):
            found[earlier.name] = file
    return found


def changed_since(curriculum: Curriculum, place: Home, lesson: Lesson, source: bytes) -> list[str]:
    """What to say of lessons that `source` imports and that the learner has proven, and changed since."""
    state = place.store.read()
    own = own_lessons(curriculum, place, lesson)
    return [
        f"Your {earlier.slug} has changed since it was proven, so the reference's is used: twice check {earlier.name}"
        for earlier in curriculum.path_to(lesson)[:-1]
        if state["lessons"].get(earlier.name, {}).get("proven") and earlier.name not in own
        if earlier.module("build_it").encode() in source and place.file(earlier).is_file()
    ]


def record(place: Home, done: Checked, at: str = "") -> str:
    """Write the outcome to the learner's progress, as of `at` (now); what is wrong if that cannot be done."""
    verdict = done.verdict
    try:
        with place.store.change() as state:
            known = entry(state, done.lesson.name)
            known["checked"] = at or now()
            if verdict and not verdict.trouble:
                known["functions"] = {path: function.state for path, function in verdict.functions.items()}
            if verdict and verdict.proven:
                known |= {"code": digest(done.source), "cases": verdict.cases, "worst": verdict.worst}
                known["proven"] = now()
                known.pop("skipped", None)
                enrol(state, questions_of(done.lesson), day(now()))
    except ProgressError as error:
        return f"this was not recorded: {error}"
    return ""


def _progress(say: Callable[[str], None], lesson: Lesson) -> Callable[[Mapping[str, Any]], None]:
    totals: dict[int, int] = {}
    done: set[str] = set()
    say(f"checking {lesson.slug}")

    def hear(event: Mapping[str, Any]) -> None:
        if event["event"] == "collected":
            totals[event["shard"]] = event["count"]
        elif event["event"] == "test":
            done.add(event["test"])
        if sys.stderr.isatty():
            say(f"checking {lesson.slug}: {len(done)} of {sum(totals.values())} tests")

    return hear


def _finish(curriculum: Curriculum, place: Home, done: Checked, options: argparse.Namespace) -> int:
    """Show and record a check, and say what to do next."""
    print("\n".join(done.lines(verbose=options.verbose)))
    if done.file != place.file(done.lesson):
        from shared.learn.breaking import mended  # noqa: PLC0415  # only while a break is open

        name = done.lesson.name
        after = [
            f"This is the broken copy. To see where the fault is: twice break {name} --give-up",
            f"To check your own version meanwhile: twice check {name} --own",
        ]
        print("\n".join(mended(place, done.lesson) if done.proven else after))
        return 0 if done.proven else 1
    before = place.store.read()["lessons"].get(done.lesson.name, {})
    if sentence := record(place, done):
        screen.warn(sentence)
    stale = [] if options.reference else changed_since(curriculum, place, done.lesson, done.source)
    for text in [*update_since(place, done.lesson, before), *stale, *_next(curriculum, place, done)]:
        print(*screen.wrapped(text, 0) or [""], sep="\n")
    return 0 if done.proven else 1


def _next(curriculum: Curriculum, place: Home, done: Checked) -> list[str]:
    name = done.lesson.name
    if done.proven:
        return [f"Next: twice quiz {name}", f"Then: twice break {name}", "'twice' says what comes after."]
    if not done.verdict or done.verdict.trouble:
        return []
    if done.verdict.different:
        path = done.verdict.different[0].path
        return [f"Next: mend {path}. A hint: twice hint {name} {path}"]
    todo = next((f.path for f in done.verdict.functions.values() if f.state == TO_DO), None)
    return [f"Next: write {todo}. A hint: twice hint {name} {todo}"] if todo else []


def _watch(curriculum: Curriculum, lesson: Lesson, file: Path, options: argparse.Namespace) -> int:
    """Check at each save until Ctrl-C. The content is compared, not the time: on any drive, with any editor."""
    place = home(curriculum.root)
    warm = WarmProcess(lesson)
    seen, proven, there = b"", False, time.monotonic()
    try:
        while True:
            content = _settled(file, seen)
            if _content(file) is not None:
                there = time.monotonic()
            elif seen and time.monotonic() - there > _GONE:
                seen = content = b""
                _clear()
                print(f"{screen.shown(file)} is gone. When it is back, it is checked; Ctrl-C ends.", flush=True)
            if content == seen:
                time.sleep(_POLL)
                continue
            seen = content
            if not warm.usable:
                warm.close()
                warm = WarmProcess(lesson)
            began = time.monotonic()
            _clear()
            print(screen.dim(f"checking {screen.shown(file)} …"), flush=True)
            try:
                earlier = {} if options.reference else own_lessons(curriculum, place, lesson)
                done = check_file(warm, file, earlier, options.limit, cancelled=_changed(file, content))
            except CancelledError:
                continue
            except FileNotFoundError:
                seen = b""
                continue
            _clear()
            proven = _finish(curriculum, place, done, options) == 0
            took = screen.duration(time.monotonic() - began)
            print(
                screen.dim(f"\n{time.strftime('%H:%M:%S')}, {took}. Watching your file; Ctrl-C ends."),
                flush=True,
            )
    except KeyboardInterrupt:
        print()
        return 0 if proven else 1
    finally:
        warm.close()


def _settled(file: Path, seen: bytes) -> bytes:
    """What is in the file now; if that is new, once it stays the same. While it is being replaced, `seen`."""
    content = _content(file)
    while content is not None and content != seen:
        time.sleep(_STILL)
        again = _content(file)
        if again == content:
            return content
        content = again
    return seen


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _changed(file: Path, content: bytes) -> Callable[[], bool]:
    looked = time.monotonic()

    def changed() -> bool:
        nonlocal looked
        if time.monotonic() - looked < _POLL:
            return False
        looked = time.monotonic()
        now_there = _content(file)
        return now_there is not None and now_there != content

    return changed


def _clear() -> None:
    if screen.is_terminal():
        print("\033[2J\033[3J\033[H", end="")
