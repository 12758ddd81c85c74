"""Have a file judged: start the warm process, give it the job, go on where a judge died, and conclude."""

import contextlib
import hashlib
import importlib.util
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from shared.curriculum import HOUSE, Lesson, environment
from shared.learn.outline import functions, outline, parameters, public, takes
from shared.learn.verdict import DIFFERENT, PROVEN, Verdict, conclude, from_stacks
from shared.ship.run import RunError

CALL_LIMIT = 5.0  # seconds for one call of the learner's
_SILENCE = 120  # seconds until even the warm process is given up
_DEATHS = 6  # processes that may die in one check; what did not run by then is not run
_SHARDS = 2  # judges side by side

Hear = Callable[[Mapping[str, Any]], None]


class CancelledError(Exception):
    """The check was ended, because the file had changed."""


class BadSourceError(Exception):
    """The file is no Python: where, and why."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column = line, column


def parsed(source: bytes) -> dict[str, tuple[int, bool]]:
    """The outline of a learner's file.

    Raises:
        BadSourceError: where it is no Python.
    """
    _check_nul(source)
    try:
        return outline(text_of(source))
    except SyntaxError as error:
        raise BadSourceError(error.lineno or 0, error.offset or 0, error.msg) from None
    except UnicodeDecodeError as error:
        raise BadSourceError(
            source[: error.start].count(b"\n") + 1, 0, f"this is not UTF-8 text ({error.reason})"
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise BadSourceError(0, 0, str(error) or type(error).__name__) from None


def _check_nul(source: bytes) -> None:
    """Python's own sentence names no line."""
    if b"\0" in source:
        line = source[: source.index(b"\0")].count(b"\n") + 1
        raise BadSourceError(line, 0, "there is a NUL byte here, which no Python text has (is it saved as UTF-16?)")


def text_of(source: bytes) -> str:
    """A learner's file as text; some editors begin it with a byte order mark."""
    return source.decode("utf-8-sig")


class WarmProcess:
    """`shared.learn.warm` for one lesson, from the outside."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  # closed with the process
        drop = ("PYTHONOPTIMIZE", "PYTEST_ADDOPTS")  # without asserts everything would pass
        self.process = subprocess.Popen(
            [sys.executable, "-X", "utf8", "-m", "shared.learn.warm", lesson.name],
            cwd=HOUSE,
            env={k: v for k, v in environment(lesson.root).items() if k not in drop},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is the command's own business
        )
        self.events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.jobs = 0
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            self.events.put(json.loads(line))
        self.events.put(None)

    @property
    def usable(self) -> bool:
        """Whether it can take another job; a system that cannot fork needs a new process for each."""
        return self.process.poll() is None and (hasattr(os, "fork") or not self.jobs)

    def ready(self) -> "WarmProcess":
        """This one if it can take another job; else a new one in its place."""
        if self.usable:
            return self
        self.close()
        return WarmProcess(self.lesson)

    def run(self, job: Mapping[str, Any], cancelled: Callable[[], bool] = lambda: False) -> Iterator[dict[str, Any]]:
        """Give it a job, and yield what its judges say.

        Raises:
            CancelledError: as soon as `cancelled` says so.
            RunError: if the process ends or falls silent.
        """
        self.jobs += 1
        self._send({"id": self.jobs, **job})
        waited = 0.0
        while True:
            if cancelled():
                self._send({})
                raise CancelledError
            try:
                event = self.events.get(timeout=0.2)
            except queue.Empty:
                waited += 0.2
                if waited > _SILENCE:
                    self.close()
                    raise RunError(f"the check of {self.lesson.name} says nothing any more") from None
                continue
            waited = 0.0
            if event is None:
                if hasattr(os, "fork") or self.process.wait():
                    raise RunError(f"the check of {self.lesson.name} ended early: {self._said()}")
                return
            if event["event"] == "ended" and event["job"] == self.jobs:
                return
            if event.get("job", self.jobs) == self.jobs:
                yield event

    def _send(self, job: Mapping[str, Any]) -> None:
        if self.process.stdin:
            try:
                print(json.dumps(job), file=self.process.stdin, flush=True)
            except OSError:
                raise RunError(f"the check of {self.lesson.name} ended early: {self._said()}") from None

    def _said(self) -> str:
        self.process.wait()
        self.errors.seek(0)
        return self.errors.read()[-2000:].strip() or f"exit code {self.process.returncode}"

    def close(self) -> None:
        """End it, and what it runs."""
        self.process.terminate()
        self.process.wait()
        self.listener.join(1)  # its last line; a child that the end has not reached yet may keep the pipe open
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream and not (stream is self.process.stdout and self.listener.is_alive()):
                with contextlib.suppress(OSError):  # what was not sent any more
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def judge_file(
    warm: WarmProcess,
    file: Path,
    source: bytes,
    *,
    earlier: Mapping[str, Path] | None = None,
    call_limit: float = CALL_LIMIT,
    only: Sequence[str] = (),
    shrinking: float | None = None,
    hear: Hear = lambda event: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Verdict:
    """Judge `file` in the place of the lesson's ``build_it.py``.

    Args:
        warm: of the lesson.
        file: the learner's.
        source: what is in it now.
        earlier: the learner's files for lessons that this one builds on; the reference's serve for the others.
        call_limit: seconds that one call may take.
        only: the tests to run; all where it is empty.
        shrinking: seconds for the search for smallest examples; None leaves that to the judge.
        hear: is told each event, for a line of progress.
        cancelled: is asked again and again whether to stop.

    Raises:
        BadSourceError: if `source` is no Python.
        CancelledError, RunError: as `WarmProcess.run`.
    """
    from shared.proof.interface import foreign_imports, may_import  # noqa: PLC0415  # while the framework is imported

    mine = parsed(source)
    reference = (warm.lesson.folder / "build_it.py").read_text(encoding="utf-8")
    theirs, paths = outline(reference), public(reference)
    todo = {path: "" for path in paths if path in mine and mine[path][1] and not theirs[path][1]}
    if foreign := foreign_imports(text_of(source), may_import(warm.lesson)):
        verdict = conclude(paths, todo, [])
        name, line = next(iter(foreign.items()))
        verdict.trouble = {"kind": "imports", "message": name, "file": str(file), "line": line}
        return verdict
    job: dict[str, Any] = {
        "file": str(file),
        "paths": paths,
        "stubs": list(todo),
        "earlier": {name: str(one) for name, one in (earlier or {}).items()},
        "closed": {},
        "skip": [],
        "only": list(only),
        "call_limit": call_limit,
        "shards": _SHARDS,
        **({} if shrinking is None else {"shrinking": shrinking}),
    }
    events = _to_the_end(warm, job, hear, cancelled)
    if any(event.get("code", digest(source)) != digest(source) for event in events):
        raise CancelledError("the file was saved while it was read")
    verdict = conclude(paths, todo, events)
    _show_definitions(verdict, file, text_of(source), reference)
    failing = verdict.failing_tests
    if failing and verdict.earlier:
        verdict.blamed_lesson = _blamed_lesson(warm, job, verdict.earlier, failing, cancelled)
    return verdict


def _show_definitions(verdict: Verdict, file: Path, mine: str, reference: str) -> None:
    """Say of what differs where it is defined, if no line is known, and if its parameters are not the lesson's."""
    yours, theirs = functions(mine), functions(reference)
    for path, function in verdict.functions.items():
        if path in yours and function.state == PROVEN and not takes(yours[path], like=theirs[path]):
            function.state, function.failure = DIFFERENT, {"kind": "assertion", "message": "", "test": "", "inner": []}
    for function in verdict.different:
        path, failure = function.path, function.failure
        if path not in yours:
            continue
        if not failure.get("file"):
            failure |= {"file": str(file), "line": yours[path].lineno}
        have, want = parameters(yours[path]), parameters(theirs[path])
        if have != want:
            failure["parameters"] = f"your parameters are {have}, and the lesson's {want}"


def _to_the_end(
    warm: WarmProcess, job: dict[str, Any], hear: Hear, cancelled: Callable[[], bool]
) -> list[dict[str, Any]]:
    """All events of a job; where a judge died, what it was at counts as failed, and another one does the rest."""
    events: list[dict[str, Any]] = []
    for _ in range(_DEATHS):
        deaths, spent = [], False
        for event in warm.run(job, cancelled):
            hear(event)
            if event["event"] == "died" and event["test"]:
                deaths.append(event)
            elif event["event"] == "died":
                events.append({**event, **from_stacks(event["stacks"], job["file"], ())})
            elif event["event"] == "spent":
                spent = True
                job = {**job, "closed": {**job["closed"], **({event["path"]: "differs"} if event["path"] else {})}}
            else:
                events.append(event)
        if not deaths and not spent:
            break
        for death in deaths:
            kind = "hangs" if death["silent"] else "dies"
            place = from_stacks(death["stacks"], job["file"], job["paths"])
            place["path"] = death["running"] or place["path"] if kind == "dies" else place["path"] or death["running"]
            failure = {"kind": kind, "message": death["how"], "lesson": "", **place}
            if death["call"] and death["running"] == place["path"]:
                failure |= {"call": death["call"], "outer": place["path"]}
            calls = {place["path"]: 1} if place["path"] else {}
            events.append(
                {"event": "test", "test": death["test"], "outcome": "failed", "calls": calls, "failure": failure}
            )
            if place["path"]:
                job = {**job, "closed": {**job["closed"], place["path"]: kind}}
        if not warm.usable:
            break
        job = {**job, "skip": [event["test"] for event in events if event["event"] == "test"]}
    return events


def _blamed_lesson(
    warm: WarmProcess, job: dict[str, Any], earlier: Sequence[str], failing: list[str], cancelled: Callable[[], bool]
) -> str:
    """The learner's earlier lesson with whose reference the failing tests pass; empty where none makes them."""

    def pass_without(*names: str) -> bool:
        kept = {name: file for name, file in job["earlier"].items() if name not in names}
        events = list(warm.run({**job, "earlier": kept, "only": failing, "closed": {}, "skip": []}, cancelled))
        outcomes = {event["test"]: event["outcome"] for event in events if event["event"] == "test"}
        return all(outcomes.get(test) == "passed" for test in failing)

    if not pass_without(*earlier):
        return ""
    return next((name for name in earlier if pass_without(name)), earlier[-1])


def digest(data: bytes) -> str:
    """What tells one version of a file from another."""
    return hashlib.sha256(data).hexdigest()


def can_judge() -> str:
    """Why nothing can be judged here, in one sentence; empty where it can."""
    for package in ("pytest", "hypothesis"):
        if importlib.util.find_spec(package) is None:
            return f"checking needs {package}, which is not installed here: run 'nox -s learn'"
    return ""
