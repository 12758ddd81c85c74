"""`twice prove`: run a lesson's tests and the lesson contract, then print the proof card."""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.curriculum import HOUSE, Curriculum, Lesson, environment, lesson_of, pytest_options
from shared.learn import screen
from shared.learn.lessons import UsageError, chosen, lacks
from shared.learn.run import REPEAT
from shared.proof.card import read_card, write_card
from shared.ship.artifact import ArtifactError
from shared.ship.run import Run, RunError, ship

_CONTRACT = "shared/proof/test_contract.py"
_SHOWN = 3  # failures in full
_SILENCE = 120  # seconds; pytest itself stops a test after 60, if it can
_NAMED = 6  # failures beyond those shown
_FEW = 3  # lessons that one process tests sooner than several do


@dataclass
class Outcome:
    """How the tests of one lesson ended: of its own (equivalence), and of the contract."""

    counts: dict[str, dict[str, int]] = field(
        default_factory=lambda: {
            part: dict.fromkeys(("passed", "failed", "skipped"), 0) for part in ("equivalence", "contract")
        }
    )
    failures: list[tuple[str, str, str]] = field(default_factory=list)  # part, name, what it says

    finished: bool = False  # False where pytest crashed or was stopped

    def holds(self, part: str) -> bool:
        """Whether all tests ran, and passed: a skipped one proves nothing."""
        counts = self.counts[part]
        return self.finished and counts["passed"] > 0 and counts["failed"] == counts["skipped"] == 0


def prove(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Prove lessons; exit code 1 where one is not equivalent or breaks the contract, 2 where one cannot run."""
    lessons = chosen(curriculum, options.lessons, options.all)
    for package in ("pytest", "hypothesis"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"proving needs {package}, which is not installed here: run 'nox -s learn'")
    ready = []
    for lesson in lessons:
        if sentence := lacks(lesson, "ship_it.py", "build_it.py", "use_it.py", "test_equivalence.py"):
            print(f"twice: not run: {sentence}", file=sys.stderr)
        else:
            ready.append(lesson)
    good = True
    if ready:
        if options.verbose:  # a line for each test is progress enough
            outcomes = _test(ready, options, lambda text: None)
        else:
            with screen.progress() as say:
                outcomes = _test(ready, options, say)
        for number, lesson in enumerate(ready):
            if number:
                print()
            good &= _card(lesson, outcomes[lesson.name], options.verbose)
    return 1 if not good else 2 if len(ready) < len(lessons) else 0


def _test(lessons: Sequence[Lesson], options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Outcome]:
    root = lessons[0].root
    outcomes = {lesson.name: Outcome() for lesson in lessons}
    total, done = 0, 0
    say(f"testing {lessons[0].name if len(lessons) == 1 else f'{len(lessons)} lessons'}")
    for event in _pytest(lessons, options.thorough):
        if event["event"] == "collected":
            total = event["count"]
        elif event["event"] == "finished":
            for outcome in outcomes.values():
                outcome.finished = True
        if event["event"] != "test":
            continue
        done += 1
        file, _, test = event["node"].partition("::")
        # The contract's file is named differently, or not at all, where it is not below the root of the lessons.
        part = "equivalence" if file.endswith("test_equivalence.py") else "contract"
        name, _, parameter = test.partition("[")
        lesson = parameter.removesuffix("]") if part == "contract" else lesson_of(root / file).name
        shown = name if part == "contract" else test or file
        outcome = outcomes[lesson]
        outcome.counts[part][event["outcome"]] += 1
        if event["outcome"] == "failed":
            outcome.failures.append((part, shown, event["report"] if options.verbose else event["failure"]))
        if options.verbose:
            print(f"{event['outcome']:8}{lesson} {shown}", flush=True)
        elif sys.stderr.isatty():
            say(f"testing {lesson}: {done} of {total}")
    return outcomes


def _pytest(lessons: Sequence[Lesson], thorough: bool) -> Iterator[dict[str, Any]]:
    """Run pytest on `lessons` in a process of its own, and yield what the reporter says.

    Raises:
        RunError: where pytest could not work at all; the message is what it printed.
    """
    root = lessons[0].root
    command = [sys.executable, "-X", "utf8", "-m", "pytest", *pytest_options(root), "-p", "no:terminal"]
    command += ["-p", "no:cacheprovider", "-p", "shared.learn.reporter", str(HOUSE / _CONTRACT)]
    for lesson in lessons:
        command += [str(lesson.folder / "test_equivalence.py"), "--lesson", lesson.name]
    if thorough:
        command.append("--thorough")
    if len(lessons) > _FEW and importlib.util.find_spec("xdist"):
        command += ["-n", "auto"]
    # Without asserts everything would pass; and a test left out by someone's options proves nothing.
    kept = {key: v for key, v in environment(root).items() if key not in ("PYTHONOPTIMIZE", "PYTEST_ADDOPTS")}
    other, events = [], []
    with subprocess.Popen(
        command,
        cwd=HOUSE,
        env=kept,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in _until_silent(process):
            if line.startswith('{"event": '):
                events.append(json.loads(line))
                yield events[-1]
            else:
                other.append(line)
    if not any(event["event"] == "finished" or event.get("outcome") == "failed" for event in events):
        last = next((f" in {event['node']}" for event in reversed(events) if event["event"] == "started"), "")
        said = "".join(other)[-2000:].strip() or "nothing was said"
        raise RunError(f"the tests ended early{last}, with exit code {process.returncode}: {said}")


def _until_silent(process: subprocess.Popen[str]) -> Iterator[str]:
    """The lines of a process, which is ended where it says nothing for long, or nobody listens any more."""
    alarm = threading.Timer(_SILENCE, process.kill)
    alarm.start()
    try:
        for line in process.stdout or ():
            alarm.cancel()
            alarm = threading.Timer(_SILENCE, process.kill)
            alarm.start()
            yield line
    finally:
        alarm.cancel()
        if process.poll() is None:
            process.terminate()


def _card(lesson: Lesson, outcome: Outcome, verbose: bool) -> bool:
    """Measure the twins if they agree, print the proof card, and return whether all is well."""
    print(screen.bold(lesson.title) + screen.dim(f"  {lesson.name}"))
    rows = [(part, _counted(counts)) for part, counts in outcome.counts.items()]
    verdict = ""
    if outcome.holds("equivalence"):
        card = read_card(lesson.name, lesson.root)
        rows += [
            ("cases", f"{card['cases']:,} compared"),
            ("worst", _worst(card)),
            ("tolerance", f"relative {card['rtol']:.0e}, absolute {card['atol']:.0e}"),
        ]
        if not card["cases"]:
            verdict = "its tests compared nothing"
        try:
            rows.append(("speed", _measure(lesson)))
        except (ArtifactError, RunError) as error:
            verdict = str(error)
        rows.append(
            ("with", ", ".join(f"{k} {v}" for k, v in {"Python": card["python"], **card["frameworks"]}.items()))
        )
    print("", *screen.facts(rows), "", sep="\n")
    _print_failures(outcome.failures, verbose, lesson.root)
    if not outcome.holds("equivalence"):
        why = "" if outcome.finished else ": the tests did not come to their end"
        print(screen.red(f"not proven: {lesson.name}{why}"))
    elif verdict:
        print(screen.red(f"not proven: {lesson.name}: {verdict}"))
    elif not outcome.holds("contract"):
        print(screen.red(f"not complete: {lesson.name}: build_it and use_it agree, the contract is not kept"))
    else:
        print(screen.green(f"proven: {lesson.name}: build_it and use_it agree"))
        return True
    return False


def _counted(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    if not total:
        return "no test ran"
    if counts["passed"] == total:
        return f"{total} test{'s' * (total != 1)} passed"
    return f"{counts['passed']} of {total} tests passed" + (
        f", {counts['skipped']} skipped" if counts["skipped"] else ""
    )


def _worst(card: dict[str, Any]) -> str:
    test, _, place = card["worst_at"].partition(": ")
    where = f" in {test}{f' at {place}' if place else ''}" if card["worst"] else ""
    return screen.difference(card["worst"]) + where


def _measure(lesson: Lesson) -> str:
    """Time both twins on the lesson's real data, add it to the proof card, and say which is faster."""
    with screen.progress() as say:
        shipped = ship(
            lesson, replace=False, repeat=REPEAT, progress=lambda twin: say(f"timing {lesson.name} with {twin}")
        )
    bench = {"build_it": _costs(shipped.built), "use_it": _costs(shipped.used)}
    write_card(lesson.name, {"bench": bench}, lesson.root)
    built, used = shipped.built.seconds, shipped.used.seconds
    return f"{screen.ratio(built, used)} ({screen.duration(built)}, {screen.duration(used)})"


def _costs(run: Run) -> dict[str, float]:
    return {"seconds": run.seconds, "peak_bytes": run.peak_bytes, "import_seconds": run.import_seconds}


def _print_failures(failures: list[tuple[str, str, str]], verbose: bool, root: Path) -> None:
    """The first few where the twins differ; where none does, all that break the contract."""
    differ = [failure for failure in failures if failure[0] == "equivalence"]
    shown = failures if verbose else differ[:_SHOWN] or failures
    for _, name, text in shown:
        print(screen.bold(f"{name} fails"))
        for line in screen.wrapped(text.replace(f"{root}{os.sep}", "")):
            print(f"  {line}".rstrip())
        print()
    if left_out := [failure[1] for failure in failures if failure not in shown]:
        more = " …" * (len(left_out) > _NAMED)
        print(f"and {len(left_out)} more: {', '.join(left_out[:_NAMED])}{more} (-v shows all)\n")
