"""The warm process: imports a lesson's framework once, and then judges one file after the other.

    python -m shared.learn.warm LESSON

A job is a line of JSON on standard input, what happens is lines of JSON on standard output. Each job is judged by
forked children, which end with it: this process never imports a learner's code, so nothing of one check can leak into
the next. Where the system cannot fork (Windows), it judges one job itself and ends.
"""

import contextlib
import gc
import importlib
import json
import mmap
import os
import selectors
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest  # noqa: F401  # imported once, here, so that each child has it already

from shared.curriculum import Lesson, load
from shared.learn.judge import Job, judge

_ALL = 24  # times the limit of a call: a check ends after so long
_SILENCE = 4.0  # seconds beyond the limit of a call until a child that says nothing is ended from outside


@dataclass
class _Child:
    """A forked judge: its process, the pipe it writes to, and when it was last heard."""

    shard: int
    pid: int
    pipe: IO[bytes]
    stacks: Path  # faulthandler writes here what it was doing when it was ended
    heard: float
    marks: mmap.mmap
    rest: bytes = b""
    test: str = ""
    finished: bool = False
    asked: bool = False  # to say what it is doing, before it is ended


def _job(lesson: Lesson, wanted: dict[str, Any], shard: int, n_shards: int, folder: str = "") -> Job:
    keys = ("paths", "stubs", "earlier", "closed", "skip", "only", "call_limit", "shrinking")
    given = {key: wanted[key] for key in keys if key in wanted}
    return Job(lesson, Path(wanted["file"]), shard=(shard, n_shards), folder=folder, **given)


def _fork(lesson: Lesson, wanted: dict[str, Any], shard: int, n_shards: int, folder: Path) -> _Child:
    reading, writing = os.pipe()
    stacks = folder / f"stacks{shard}"
    marks = mmap.mmap(-1, mmap.PAGESIZE)
    exit_now = os._exit
    gc.freeze()  # what the frameworks made is not looked through again and again in each child
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            gc.set_threshold(100_000, 50, 50)
            import faulthandler  # noqa: PLC0415  # used in children only

            os.close(reading)
            os.setpgid(0, 0)  # so that what a test starts ends with it
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1):
                os.dup2(null, descriptor)
            with stacks.open("w") as file:
                os.dup2(file.fileno(), 2)
                faulthandler.enable(file)
                faulthandler.register(signal.SIGUSR1, file, all_threads=False)
                judge(
                    _job(lesson, wanted, shard, n_shards, str(folder)), os.fdopen(writing, "w", encoding="utf-8"), marks
                )
            code = 0
        finally:
            exit_now(code)
    os.close(writing)
    return _Child(shard, pid, os.fdopen(reading, "rb", buffering=0), stacks, time.monotonic(), marks)


def _kill(child: _Child) -> None:
    """End a judge and what it has started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:  # it has no group of its own yet
        os.kill(child.pid, signal.SIGKILL)


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"the process was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"the process ended with exit code {os.WEXITSTATUS(status)}"


def _event(line: bytes) -> dict[str, Any]:
    """What a judge says; nothing, where the learner's code wrote into its pipe."""
    with contextlib.suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict) and "event" in event:
            return event
    return {}


def _say(event: dict[str, Any]) -> None:
    print(json.dumps(event), flush=True)


class _Run:
    """One job: its children, what they say, and the end of those that say nothing."""

    def __init__(self, lesson: Lesson, wanted: dict[str, Any], folder: Path) -> None:
        self.silence = wanted["call_limit"] + _SILENCE
        self.modules: set[str] = set()  # of the framework, that the tests made it import
        n_shards = wanted["shards"]
        self.ends = time.monotonic() + _ALL * wanted["call_limit"]
        self.children = [_fork(lesson, wanted, shard, n_shards, folder) for shard in range(n_shards)]

    def lines(self, selector: selectors.BaseSelector) -> Iterator[dict[str, Any]]:
        """What the children say until all have ended, or a new line comes in on standard input."""
        for child in self.children:
            selector.register(child.pipe, selectors.EVENT_READ, child)
        try:
            while any(not child.pipe.closed for child in self.children):
                for key, _ in selector.select(timeout=0.25):
                    if key.data is None:  # a new job, or the end of input
                        return
                    yield from self._read(key.data, selector)
                now = time.monotonic()
                if now > self.ends:
                    yield {
                        "event": "broken",
                        "why": "The whole check took too long. 'twice check --limit 60' gives it more.",
                    }
                    return
                for child in self.children:
                    if not child.pipe.closed and now - child.heard > self.silence:
                        self._end(child, now)
        finally:
            for child in self.children:
                if not child.pipe.closed:
                    selector.unregister(child.pipe)
                    child.pipe.close()
                    _kill(child)
                    os.waitpid(child.pid, 0)

    def _read(self, child: _Child, selector: selectors.BaseSelector) -> Iterator[dict[str, Any]]:
        data = child.pipe.read(1 << 16) or b""
        child.heard = time.monotonic()
        *lines, child.rest = (child.rest + data).split(b"\n")
        for line in lines:
            if not (event := _event(line)):
                continue
            child.test = event["test"] if event["event"] == "started" else child.test
            child.finished = child.finished or event["event"] in ("finished", "spent")
            if event["event"] == "finished":
                self.modules |= set(event["modules"])
            yield event
        if not data:
            selector.unregister(child.pipe)
            child.pipe.close()
            _, status = os.waitpid(child.pid, 0)
            with contextlib.suppress(ProcessLookupError, PermissionError):  # what it started goes on without it
                os.killpg(child.pid, signal.SIGKILL)
            if not child.finished:
                stacks = child.stacks.read_text(errors="replace") if child.stacks.exists() else ""
                running, call = (part.decode(errors="replace") for part in child.marks[:].split(b"\0")[:2])
                died = {"test": child.test, "how": _ending(status), "silent": child.asked, "stacks": stacks}
                yield {"event": "died", "shard": child.shard, **died, "running": running, "call": call}

    def _end(self, child: _Child, now: float) -> None:
        """First ask for its stack (also Python stuck in C code answers), then kill."""
        if not child.asked:
            child.asked, child.heard = True, now - self.silence + 0.5
            os.kill(child.pid, signal.SIGUSR1)
        else:
            _kill(child)
            child.heard = now


def _import_framework(lesson: Lesson) -> None:
    """Once, for all checks; what it makes stays, so looking for garbage meanwhile would only take a fifth longer."""
    gc.disable()
    importlib.import_module(lesson.module("use_it"))
    gc.enable()
    _say({"event": "warm"})


def serve(lesson: Lesson) -> None:
    """Judge the jobs that come in, one at a time; a new one ends the one before."""
    _import_framework(lesson)
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    with tempfile.TemporaryDirectory() as folder:
        while line := sys.stdin.readline():
            wanted = json.loads(line)
            if not wanted:  # only ends the one before
                continue
            run = _Run(lesson, wanted, Path(folder))
            for event in run.lines(selector):
                _say({"job": wanted["id"], **event})
            _say({"job": wanted["id"], "event": "ended"})
            for module in run.modules - set(sys.modules):  # so that the next children have them already
                with contextlib.suppress(Exception):
                    importlib.import_module(module)


def serve_once(lesson: Lesson) -> None:
    """Judge one job in this very process."""
    import faulthandler  # noqa: PLC0415

    _import_framework(lesson)
    wanted = json.loads(sys.stdin.readline())
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        faulthandler.dump_traceback_later(_ALL * wanted["call_limit"], exit=True, file=out)
        judge(_job(lesson, wanted, 0, 1), out)


if __name__ == "__main__":
    chosen = load().find(sys.argv[1])
    if hasattr(os, "fork"):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # and what is running ends before
        with contextlib.suppress(SystemExit):
            serve(chosen)
        os._exit(0)  # taking a framework down in order takes a while, and serves nobody
    else:
        serve_once(chosen)
