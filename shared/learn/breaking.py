"""`twice break`: debugging practice. One fault is put into a copy of the reference, and you find it."""

import argparse
import hashlib
import itertools
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.curriculum import HOUSE, Curriculum, Lesson
from shared.learn import screen
from shared.learn.faults import KINDS, Fault, faults
from shared.learn.home import Home, backup, home
from shared.learn.judging import WarmProcess, can_judge, digest, judge_file
from shared.learn.lessons import UsageError, require
from shared.learn.progress import entry, now, write_files
from shared.learn.verdict import Function, Verdict

_TRIES = 30  # faults that are tried until one is caught
_SEEDS = 10_000  # a fresh seed is below: short enough to write on a blackboard
_EXAMPLE_LIMIT = 10.0  # seconds for the example at the end of a file
_BUILT = re.compile(r"\b(build_it|yours)\b")  # as tests call what is broken.py here
_LINES, _WIDE = 12, 400  # of what is shown: lines of an example, characters of a value


@dataclass(frozen=True)
class Symptom:
    """What a fault does, without a word on where it is."""

    failed: int
    waiting: int
    collected: int
    test: str  # that shows the outermost function that differs
    says: str  # what it says
    call: str = ""  # the smallest that was found to give another value than the reference's; the next three tell of it
    yours: str = ""
    framework: str = ""
    part: str = ""


def break_lesson(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Put a fault into a copy of a lesson's reference and show its symptom; or show it again, or where it is."""
    lesson = curriculum.find(options.lesson)
    own = home(curriculum.root)
    last = _open(own, lesson)
    if options.give_up:
        return _give_up(own, lesson)
    require(lesson, "build_it.py", "use_it.py", "test_equivalence.py")
    if sentence := can_judge():
        raise UsageError(sentence)
    if last and not options.again:
        if options.seed not in (None, last["seed"]):
            raise UsageError(
                f"a fault of {lesson.name} is still to find (seed {last['seed']}): "
                f"'twice break {lesson.name} --seed {options.seed} --again' begins another"
            )
        seed, fault = last["seed"], _opened(lesson, last)
        if not fault:
            raise UsageError(
                f"the reference of {lesson.name} has changed since: 'twice break {lesson.name} --again' begins another"
            )
        symptom = _judged(lesson, [(seed, fault)])[2]
        if not _file(own, lesson).is_file():
            _write(own, lesson, fault)
        print("You are at this one already. Its symptom once more:\n")
    else:
        source = _reference(lesson)
        candidates = _shared(source, lesson, options.seed) if options.seed is not None else _fresh(source, lesson)
        seed, fault, symptom = _judged(lesson, itertools.islice(candidates, _TRIES))
        _write(own, lesson, fault)
        with own.store.change() as state:
            opened = {"seed": seed, "opened": now(), "broken": digest(fault.source.encode())}
            entry(state, lesson.name).setdefault("breaks", []).append(opened)
    print("\n".join(_shown(own, lesson, seed, fault, symptom)))
    return 0


def open_break(own: Home, lesson: Lesson) -> Path | None:
    """The file with the fault that the learner looks for; None where there is none to find.

    Raises:
        UsageError: if the file is gone.
    """
    if not _open(own, lesson):
        return None
    file = _file(own, lesson)
    if not file.is_file():
        raise UsageError(f"{screen.shown(file)} is gone: 'twice break {lesson.name}' writes it again")
    return file


def mended(own: Home, lesson: Lesson) -> list[str]:
    """Record that the open fault is mended, now that all tests pass; what to say to the learner."""
    last = _open(own, lesson)
    if not last:  # given up in another terminal meanwhile
        return []
    fault = _opened(lesson, last)
    with own.store.change() as state:
        entry(state, lesson.name)["breaks"][-1]["mended"] = now()
    lines = ["", screen.green(f"Found and mended: the fault of seed {last['seed']} in {lesson.name}.")]
    if fault:
        lines += [f"It was {_told(fault)}. What you changed:", ""]
        lines += screen.diff(fault.source, _file(own, lesson).read_text(encoding="utf-8"), 1, indent="  ")
    return [*lines, "", f"Another one: twice break {lesson.name}."]


def in_order(candidates: Sequence[Fault], name: str, seed: int) -> Iterator[Fault]:
    """The faults of a lesson in the order of a seed: the same on every machine, each kind as likely as another."""
    if not candidates:
        return
    reference = hashlib.sha256(candidates[0].original.encode()).hexdigest()
    rng = random.Random(f"{seed} {name} {reference}")  # of a generator, Python promises only random() for ever
    by_kind = {kind: [fault for fault in candidates if fault.kind == kind] for kind in KINDS}
    while kinds := [kind for kind in KINDS if by_kind[kind]]:
        group = by_kind[kinds[int(rng.random() * len(kinds))]]
        yield group.pop(int(rng.random() * len(group)))


def _shared(source: str, lesson: Lesson, seed: int) -> Iterator[tuple[int, Fault]]:
    return ((seed, fault) for fault in in_order(faults(source), lesson.name, seed))


def _fresh(source: str, lesson: Lesson) -> Iterator[tuple[int, Fault]]:
    """New seeds with the first fault of each, so that whoever is given the seed comes to the same one at once.

    Were the second one taken, then it would be another where the first one is caught by a hair's breadth.
    """
    candidates = faults(source)
    for _ in iter(int, 1) if candidates else ():
        seed = random.SystemRandom().randrange(1, _SEEDS)
        yield seed, next(in_order(candidates, lesson.name, seed))


def _judged(lesson: Lesson, candidates: Iterable[tuple[int, Fault]]) -> tuple[int, Fault, Symptom]:
    """The first of the faults that the lesson's tests catch by a wrong value, with its seed and its symptom."""
    warm = WarmProcess(lesson)
    try:
        with tempfile.TemporaryDirectory() as folder, screen.progress() as say:
            say(f"breaking {lesson.name}")
            file = Path(folder) / "broken.py"
            for seed, fault in candidates:
                source = fault.source.encode()
                file.write_bytes(source)
                warm = warm.ready()
                verdict = judge_file(warm, file, source, shrinking=0)
                if function := _outermost(verdict):
                    warm = warm.ready()
                    # Only now the smallest call, in the one test that shows it: that search is what takes long.
                    small = judge_file(warm, file, source, only=[function.failure["test"]]).functions[function.path]
                    failure = small.failure if _is_wrong_value(small) else function.failure
                    return seed, fault, _symptom(lesson, fault, verdict, failure)
    finally:
        warm.close()
    raise UsageError(f"none of the faults tried in {lesson.name} shows in its tests: another --seed tries others")


def _symptom(lesson: Lesson, fault: Fault, verdict: Verdict, failure: Mapping[str, Any]) -> Symptom:
    counts = verdict.failed, verdict.waiting, verdict.collected
    symptom = Symptom(*counts, failure["test"], failure["message"])
    if not failure.get("part") or not _gives_another(lesson, fault, failure["call"]):
        return symptom
    call, yours, framework, part = (str(failure[key]) for key in ("call", "yours", "framework", "part"))
    return replace(symptom, call=call, yours=yours, framework=framework, part=part)


def _outermost(verdict: Verdict) -> Function | None:
    """Of the functions that give a wrong value, the one that leans on most others: far from the fault, as symptoms are.

    None where the tests pass, or where they do not get so far: a fault that ends the process tells its place.
    """
    wrong = [function for function in verdict.different if _is_wrong_value(function)]
    if not wrong or verdict.trouble or any(function.failure["kind"] in _ENDS for function in verdict.different):
        return None
    names = {function.path for function in wrong}
    return max(reversed(wrong), key=lambda function: len(names & set(function.failure.get("inner", ()))))


_ENDS = ("hangs", "dies", "memory", "exits")


def _is_wrong_value(function: Function) -> bool:
    """Whether a test found another value, and neither an error nor the lack of one."""
    failure = function.failure
    return failure.get("kind") == "assertion" and "should raise" not in failure["message"]


# --- what is stored -----------------------------------------------------------------------------------------------


def _reference(lesson: Lesson) -> str:
    return (lesson.folder / "build_it.py").read_text(encoding="utf-8")


def _file(own: Home, lesson: Lesson) -> Path:
    return own.file(lesson).with_name("broken.py")


def _open(own: Home, lesson: Lesson) -> dict[str, Any] | None:
    breaks = own.store.read()["lessons"].get(lesson.name, {}).get("breaks", [])
    last: dict[str, Any] | None = breaks[-1] if breaks else None
    return None if last is None or "mended" in last or "gave_up" in last else last


def _opened(lesson: Lesson, known: dict[str, Any] | None) -> Fault | None:
    """The fault of which only the digest of the file is stored; None where the reference has changed since."""
    wanted = (known or {}).get("broken")
    return next((one for one in faults(_reference(lesson)) if digest(one.source.encode()) == wanted), None)


def _write(own: Home, lesson: Lesson, fault: Fault) -> None:
    """Write ``broken.py``; what a learner wrote into an earlier one goes to ``backups/``."""
    own.make_folder(lesson)
    file = _file(own, lesson)
    if file.is_file():
        known = {one.get("broken") for one in own.store.read()["lessons"].get(lesson.name, {}).get("breaks", [])}
        if digest(file.read_bytes()) not in known:
            print(f"Your {screen.shown(file)} is kept as {screen.shown(backup(file))}.")
    write_files({file: fault.source.encode()})


def _give_up(own: Home, lesson: Lesson) -> int:
    last = _open(own, lesson)
    if not last:
        raise UsageError(f"there is no fault to find in {lesson.name}: 'twice break {lesson.name}' makes one")
    fault = _opened(lesson, last)
    with own.store.change() as state:
        entry(state, lesson.name)["breaks"][-1]["gave_up"] = now()
    if fault:
        print(f"It was {_told(fault)}. This mends it:\n")
        print("\n".join(screen.diff(fault.source, fault.original, 1, indent="  ")))
    else:
        print("The reference has changed since, and nobody knows any more what it was.")
    print(f"\nAnother one: twice break {lesson.name}.")
    return 0


# --- what is shown ------------------------------------------------------------------------------------------------


def _told(fault: Fault) -> str:
    return f"{fault.kind} in {fault.function}, line {fault.line}"


def _shown(own: Home, lesson: Lesson, seed: int, fault: Fault, symptom: Symptom) -> Iterator[str]:
    yield screen.bold(lesson.title) + screen.dim(f"  {lesson.name}, seed {seed}")
    yield from screen.wrapped(f"{screen.shown(_file(own, lesson))} is a copy of the reference with one fault in it.", 0)
    examples = [_example(lesson, source) for source in (fault.source, fault.original)]
    if examples[0] != examples[1]:
        yield "\nThe example at its end:\n"
        yield from _side_by_side(*examples)
    if symptom.call:
        yield f"\nThe smallest call found that goes wrong:\n\n  {_cut(symptom.call)}"
        part = "\n".join(_told_by_a_test(symptom.part))
        rows = [("broken.py", symptom.yours), ("framework", symptom.framework), ("they part", part)]
        yield from screen.facts([(name, _cut(value)) for name, value in rows])
    else:
        yield f"\n{symptom.test} says:\n"
        yield from (f"  {_cut(line)}" for line in _told_by_a_test(symptom.says)[:_LINES])
    waiting = f", and {symptom.waiting} more cannot go on" if symptom.waiting else ""
    yield f"\n{symptom.failed} of {symptom.collected} tests fail{waiting}."
    yield "\nFind it, mend it in that file, and then:"
    yield from (
        f"  {line}"
        for line in screen.columns(
            [
                (f"twice check {lesson.name}", "is it right now?"),
                (f"twice break {lesson.name} --give-up", "shows where it is"),
                (f"twice break {lesson.name} --seed {seed}", "gives others the same one"),
            ]
        )
    )


def _told_by_a_test(text: str) -> list[str]:
    """The lines of a comparison, in which what was judged is called ``broken.py``."""
    idle = re.compile(r"at .*:\d+|it is the first value compared")
    return [_BUILT.sub("broken.py", line) for line in text.splitlines() if not idle.fullmatch(line)]


def _example(lesson: Lesson, source: str) -> list[str]:
    """What a ``build_it.py`` prints when it is run; of an error, its last line."""
    lines = _output(lesson, source, "build_it.py")
    return [_cut(line) for line in lines[:_LINES]] + ["…"] * (len(lines) > _LINES)


def _gives_another(lesson: Lesson, fault: Fault, call: str) -> bool:
    """Whether `call`, as one would type it, shows the fault: not where it needs an object that cannot be typed."""
    code = "import build_it, math, sys; print(eval(sys.stdin.read(), vars(math) | vars(build_it)))"  # nan, inf
    given, right = (_output(lesson, source, "-c", code, stdin=call) for source in (fault.source, fault.original))
    return given != right


def _output(lesson: Lesson, source: str, *arguments: str, stdin: str = "") -> list[str]:
    """What the interpreter alone prints, beside a ``build_it.py`` with this source; of an error, its last line."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "build_it.py").write_text(source, encoding="utf-8", newline="\n")
        paths = {"PYTHONPATH": str(HOUSE), "TWICE_ROOT": str(lesson.root), "PYTHONHASHSEED": "0"}
        try:
            run = subprocess.run(
                [sys.executable, "-S", "-X", "utf8", *arguments],
                cwd=folder,
                env={**os.environ, **paths},
                input=stdin,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_EXAMPLE_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [f"(it has not ended after {_EXAMPLE_LIMIT:.0f} s)"]
    return run.stdout.splitlines() + run.stderr.splitlines()[-1:]


def _side_by_side(ours: list[str], theirs: list[str]) -> list[str]:
    """Two texts beside each other; where the terminal is too narrow, one above the other."""
    rows = [("broken.py", "the reference"), *itertools.zip_longest(ours, theirs, fillvalue="")]
    lines = [f"  {line}" for line in screen.columns(rows, gap=3)]
    if max(map(len, lines)) <= screen.width():
        return [screen.bold(lines[0]), *lines[1:]]
    stacked = [(screen.bold("  broken.py"), ours), (screen.bold("  the reference"), theirs)]
    return [line for head, text in stacked for line in (head, *(f"    {one}" for one in text))]


def _cut(text: str) -> str:
    return text if len(text) <= _WIDE else f"{text[:_WIDE]} …"
