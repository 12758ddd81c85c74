"""The judge: runs a lesson's tests on a learner's file and says, test by test, which function did what.

It runs in a process of its own (`shared.learn.warm` starts it) and writes lines of JSON. While a test runs, each public
function of the learner's module is a recorder: a failing test then yields the call at which theirs and the
framework's part, and not only the assertion that noticed it.
"""

import contextlib
import copy
import functools
import hashlib
import importlib
import inspect
import io
import json
import math
import mmap
import os
import pdb
import random
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, NoReturn, TextIO

import pytest
from hypothesis.control import _current_build_context
from hypothesis.internal.conjecture import engine

import phases
from shared.curriculum import Lesson, pytest_options
from shared.learn.reporter import explain
from shared.proof.equivalence import ATOL, NotEquivalentError, compare_values, record

CALL_LIMIT = 5.0  # seconds for one call of the learner's
_CALLS = 4  # a whole test may take so many times as long
MEMORY = 1 << 30  # bytes beyond what the frameworks take
_BALLAST = 16 << 20
_TICK = 0.5
_SHRINKING = 2.0  # seconds for one test's search for its smallest example
_ALL_SHRINKING = 6.0  # and for all of them, if nothing else is asked for
_ENOUGH = 2  # failing tests after which a function is left alone, and what needs it is not run
_PRINTED = 4000  # characters kept of what one call prints
_COPIED = 20_000  # numbers that are copied to be shown later, for each test
_REPLAY_RTOL = 1e-6  # where the test itself names no tolerance
_GROSS = 1e-3  # beyond this, an inner call is at fault; less can be rounding, with inputs that no test chose
_MARK = 4000  # bytes of a function's path, and of its call
_BRIEF = 32  # values in the arguments of a call that is written down before anything is known to be wrong
_STEPS = 6  # calls of one object's methods that are shown
_EARLY = 10  # calls of a function in a test whose text is kept for whoever finds the process gone
_INNER_CALLS = 200  # recorded of one call


class _Stop(BaseException):
    """Ends a test at once: neither the learner's ``except Exception`` nor Hypothesis' search catches it."""


class _Closed(_Stop):
    """A function was called whose fate is known: it is still to do, differs, or does not come back."""

    def __init__(self, path: str) -> None:
        self.path = path


class _StillRunningError(_Stop):
    """The time for one call, or for the test, is over."""


class _EndedError(_Stop):
    """The learner's code tried to end the process."""


class _FullError(_Stop):
    """The learner's code asked for more memory than there is."""


class _RaisedError(_Stop):
    """The learner's code raised what would tell pytest to skip the test, or to end."""


_dumps = json.dumps
_exit = os._exit  # which is not the learner's to call
_TO_PYTEST = (
    KeyboardInterrupt,
    pytest.skip.Exception,
    pytest.fail.Exception,
    pytest.xfail.Exception,
    pytest.exit.Exception,
)


@dataclass
class Call:
    """One call from a test of a public function (of either twin)."""

    path: str
    text: str = ""  # as one would type it
    arguments: tuple[Any, dict[str, Any]] | None = None  # copies, where they are plain values
    result: Any = None
    result_text: str = ""
    returned: bool = False
    raised: str = ""
    inner: set[str] = field(default_factory=set)  # public functions that it called in its turn
    inner_calls: list["Call"] = field(default_factory=list)  # those that can be put to the framework as well
    printed: str = ""
    printed_lines: int = 0
    before: dict[str, Any] = field(default_factory=dict)  # its arguments by name
    after: dict[str, Any] = field(default_factory=dict)  # and what they were when it had returned


@dataclass
class _Theirs:
    """What the framework gives for a call: the result (or the error), how to show it, and the arguments afterwards."""

    result: Any
    text: str
    after: dict[str, Any]


class _NotPlainError(Exception):
    pass


class _Copier:
    """Copies of plain values as they were before a call, within a budget."""

    def __init__(self, left: int = _COPIED) -> None:
        self.left = left

    def copy(self, value: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise _NotPlainError
        if value is None or isinstance(value, bool | int | float | complex | str | bytes | type):
            return value
        if isinstance(value, list):
            return [self.copy(item) for item in value]
        if isinstance(value, tuple):
            items = [self.copy(item) for item in value]
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        if isinstance(value, Mapping):
            return {key: self.copy(item) for key, item in value.items()}
        if type(value) is random.Random:
            return copy.copy(value)
        if is_dataclass(value) and all(f.init for f in fields(value)):
            twin = copy.copy(value)
            for one in fields(value):
                object.__setattr__(twin, one.name, self.copy(getattr(value, one.name)))
            return twin
        raise _NotPlainError


class _Capped(io.TextIOBase):
    """Standard output in the judge's process: the first few thousand characters of what one call prints."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.kept, self.lines, self.left = "", 0, _PRINTED

    def write(self, text: str) -> int:
        self.lines += text.count("\n")
        if self.left > 0:
            self.kept += text[: self.left]
            self.left -= len(text)
        return len(text)

    @property
    def said(self) -> str:
        more = self.lines - self.kept.count("\n")
        return self.kept.rstrip("\n") + (f"\n… and {more:,} more lines" if more > 0 else "")


@dataclass
class Job:
    """What to judge: `file` in the place of the lesson's build_it, and others in the place of its prerequisites'."""

    lesson: Lesson
    file: Path
    paths: list[str]  # the reference's public functions and methods
    stubs: list[str]  # those that are still to do in `file`
    earlier: dict[str, str] = field(default_factory=dict)  # lesson name -> the learner's file
    closed: dict[str, str] = field(default_factory=dict)  # path -> why it is not called: "todo", "differs", "hangs"
    skip: list[str] = field(default_factory=list)  # tests that need not run again
    only: list[str] = field(default_factory=list)  # where given, all that run
    shard: tuple[int, int] = (0, 1)
    call_limit: float = CALL_LIMIT
    shrinking: float = _ALL_SHRINKING  # seconds for all searches for a smallest example
    folder: str = ""  # for the tests' temporary files; another check's cannot be in their way there


class Judge:
    """A pytest plugin: records calls, explains failures, keeps the limits."""

    def __init__(self, job: Job, out: TextIO, marks: mmap.mmap | None = None) -> None:
        self.job, self.out, self.marks = job, out, marks
        self.closed = {**dict.fromkeys(job.stubs, "todo"), **job.closed}
        self.failures: dict[str, int] = {}
        self.codes: dict[CodeType, str] = {}
        self.printed = _Capped()
        self.built: list[Call] = []
        self.used: list[Call] = []
        self.counts: dict[str, int] = {}
        self.returned: dict[str, int] = {}  # how many of these calls came back with a value
        self.current: Call | None = None
        self.inside = False  # the learner's code
        self.keeping = False  # what the current call does
        self.looking = False  # at values, which may call the learner's __repr__
        self.call_began = self.test_began = math.inf
        self.shrinking = job.shrinking
        self.copier = _Copier()
        self.steps: dict[int, tuple[object, list[str]]] = {}  # of objects that say nothing of themselves: their calls
        self.saying = False
        self.memory = _Memory()
        self.process, self.parent = os.getpid(), os.getppid()
        self.module: ModuleType | None = None
        self.twin: ModuleType | None = None

    # What is said

    def say(self, event: str, **values: Any) -> None:
        self.saying = True  # a line that is begun is ended before the time is looked at
        print(_dumps({"event": event, "shard": self.job.shard[0], **values}), file=self.out, flush=True)
        self.saying = False

    # Before the tests

    def import_file(self) -> bool:
        """Import the learner's module, put recorders into both twins, and say whether that went well."""
        lesson = self.job.lesson
        for name, file in {**self.job.earlier, lesson.name: str(self.job.file)}.items():
            phases.replace(name, file)
        self.twin = importlib.import_module(lesson.module("use_it"))
        tools = _Tools(lesson)
        self.call_began = self.test_began = time.monotonic()
        self.inside = True
        try:
            self.module = importlib.import_module(lesson.module("build_it"))
        except BaseException as error:
            self.memory.ballast = None  # the next line may need some
            self.memory.limit(False)
            self.say("import_failed", **self._error(error), code=self._digest())
            return False
        finally:
            self.inside = False
            self.call_began = self.test_began = math.inf
        if changed := tools.changed():
            self.say("spoiled", what=changed)
            return False
        printed = self.printed.said
        self.printed.reset()
        if not isinstance(getattr(self.module, "__all__", None), list | tuple):
            self.module.__all__ = [path for path in self.job.paths if "." not in path]  # type: ignore[attr-defined]
        missing = [path for path in self.job.paths if not self._record(self.module, path, self.built)]
        self.closed |= dict.fromkeys(missing, "todo")
        for path in missing:
            if "." not in path:
                setattr(self.module, path, self._mine(path, lambda *arguments, **keywords: None))
        for path in self.job.paths:
            self._record(self.twin, path, self.used)
        earlier = [name for name, file in self.job.earlier.items() if file in _loaded_files()]
        self.say("imported", missing=missing, printed=printed, earlier=earlier, code=self._digest())
        return True

    def _digest(self) -> str:
        """Of the learner's file as it is after its import: if this is what it was before, then that was imported."""
        return hashlib.sha256(self.job.file.read_bytes()).hexdigest()

    def _record(self, module: ModuleType, path: str, calls: list[Call]) -> bool:
        """Put a recorder in the place of the function or method at `path`; False where there is none."""
        owner_name, _, name = path.rpartition(".")
        owner: Any = getattr(module, owner_name, None) if owner_name else module
        raw = vars(owner).get(name) if isinstance(owner, type | ModuleType) else None
        function = raw.fget if isinstance(raw, property) else getattr(raw, "__func__", raw)
        if not isinstance(function, FunctionType):
            return callable(raw) and not owner_name
        if module is self.module:
            self.codes[function.__code__] = path
        elif function.__module__ != module.__name__:
            return True  # the framework's own
        mine = module is self.module
        proxy = self._mine(path, function) if mine else self._theirs(path, function, calls)
        wrap: Callable[..., Any] = (
            type(raw) if isinstance(raw, property | classmethod | staticmethod) else lambda given: given
        )
        if isinstance(raw, property):
            setattr(owner, name, property(proxy, raw.fset, raw.fdel, raw.__doc__))
        else:
            setattr(owner, name, wrap(proxy))
        return True

    def _mine(self, path: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def recorder(*arguments: Any, **keywords: Any) -> Any:
            if self.looking:  # a __repr__ or the like, called by the judge itself
                return function(*arguments, **keywords)
            if path in self.closed:
                raise _Closed(path)
            if self.inside:
                return self._inner(path, function, arguments, keywords)
            self.counts[path] = self.counts.get(path, 0) + 1
            self.current = call = Call(path)
            self.keeping = keep = _recording()
            if keep:
                self.printed.reset()
                self._describe(call, arguments, keywords)
                self.built.append(call)
            self.inside, self.call_began = True, time.monotonic()
            early = self.counts[path] <= _EARLY  # a call that ends the process mostly does so at once
            self._mark(path, call.text or (self._brief(path, arguments, keywords) if early else ""))
            try:
                result = function(*arguments, **keywords)
                self.returned[path] = self.returned.get(path, 0) + 1
                if keep:
                    self._keep(call, result)
                    self._note_arguments(call, function, arguments, keywords)
                return result
            except BaseException as error:
                self.memory.ballast = None  # the next line may need some
                final = self._final(error)
                call.raised = _first_line(error)
                if isinstance(final, _Stop | RecursionError) and not call.text:  # Hypothesis may not repeat it
                    self._describe(call, arguments, keywords)
                    self.built.append(call)
                if final is error:
                    raise
                raise final.with_traceback(error.__traceback__) from None
            finally:
                if os.getpid() != self.process:  # a fork of the learner's: the tests are not run there as well
                    _exit(0)
                self.inside, self.call_began = False, math.inf
                self._mark("")
                call.printed, call.printed_lines = self.printed.kept, self.printed.lines

        return recorder

    def _final(self, error: BaseException) -> BaseException:
        """What ends the test for good, where pytest would obey `error`, or Hypothesis fill the memory once more."""
        if isinstance(error, MemoryError):
            self.memory.limit(False)
            return _FullError()
        return _RaisedError(_first_line(error)) if isinstance(error, _TO_PYTEST) else error

    def _mark(self, path: str, text: str = "") -> None:
        """Leave word of the call that runs, in memory shared with the process outside, which may outlive this."""
        if self.marks:
            data = f"{path}\0{text}".encode(errors="replace")[:_MARK] + b"\0"
            self.marks[: len(data)] = data

    def _inner(
        self, path: str, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Any:
        """A call by the learner's own code, which may be the one at fault."""
        outer = self.current
        if outer:
            outer.inner.add(path)
        if not outer or not self.keeping or "." in path or len(outer.inner_calls) >= _INNER_CALLS:
            return function(*arguments, **keywords)
        call = Call(path)
        self._describe(call, arguments, keywords)
        self._mark(path, call.text)
        result = function(*arguments, **keywords)
        self._mark(outer.path, outer.text)
        self._keep(call, result)
        outer.inner_calls.append(call)  # in the order in which they return: the innermost first
        return result

    def _theirs(self, path: str, function: FunctionType, calls: list[Call]) -> Callable[..., Any]:
        @functools.wraps(function)
        def recorder(*arguments: Any, **keywords: Any) -> Any:
            if self.looking or not _recording():
                return function(*arguments, **keywords)
            call = Call(path)
            self._describe(call, arguments, keywords)
            result = function(*arguments, **keywords)
            self._keep(call, result)
            self._note_arguments(call, function, arguments, keywords)
            calls.append(call)
            return result

        return recorder

    def _describe(self, call: Call, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        with contextlib.suppress(_NotPlainError):
            call.arguments = self.copier.copy(arguments), self.copier.copy(keywords)
        with self._looks():
            call.text = self._call_text(call.path, arguments, keywords)

    @contextlib.contextmanager
    def _looks(self) -> Iterator[None]:
        before, self.looking = self.looking, True
        try:
            yield
        finally:
            self.looking = before

    def _brief(self, path: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> str:
        """The text of a call with few plain values; empty for any other, which would take long to write each time."""
        try:
            _Copier(_BRIEF).copy((arguments, keywords))
        except _NotPlainError:
            return ""
        with self._looks():
            return self._call_text(path, arguments, keywords)

    def _call_text(self, path: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> str:
        owner, _, name = path.rpartition(".")
        first = arguments[0] if owner and arguments else None
        bound = isinstance(first, type) or any(base.__name__ == owner for base in type(first).__mro__)
        texts = [_text(value) for value in arguments[bool(owner) and bound :]]
        given = f"({', '.join(texts + [f'{key}={_text(value)}' for key, value in keywords.items()])})"
        if not owner or not bound:
            return f"{path}{given}"
        if isinstance(first, type):
            return f"{first.__name__}.{name}{given}"
        written: object = type(first).__repr__
        if written is not object.__repr__:
            return f"{owner}{given}" if name == "__init__" else f"{_text(first)}.{name}{given}"
        # It says nothing of itself: the calls that made it what it is do.
        variable = owner.lower()
        _, steps = self.steps.setdefault(id(first), (first, []))
        steps.append(f"{variable} = {owner}{given}" if name == "__init__" else f"{variable}.{name}{given}")
        shown = steps if len(steps) <= _STEPS else [steps[0], "…", *steps[2 - _STEPS :]]
        return "; ".join(shown)

    def _keep(self, call: Call, result: Any) -> None:
        """Note a result as it is now: a test may change it later."""
        call.returned = True
        with self._looks():
            call.result_text = _text(result)
            try:
                call.result = self.copier.copy(result)
            except _NotPlainError:
                call.result = result
                if hasattr(result, "tolist"):  # an array or a tensor
                    with contextlib.suppress(Exception):
                        call.result = result.tolist()

    def _note_arguments(
        self, call: Call, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> None:
        """Note the arguments by name as they were and as they are now, where all of them are plain values."""
        if call.arguments and "." not in call.path:
            with contextlib.suppress(_NotPlainError):
                after = self.copier.copy(arguments), self.copier.copy(keywords)
                call.before, call.after = _by_name(function, *call.arguments), _by_name(function, *after)

    # The tests

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.option.tbstyle = "no"  # pytest's own report of a failure, read by nobody, takes most of a check's time
        sys.breakpointhook = pdb.set_trace = _no_debugger

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        index, n_shards = self.job.shard
        only, skip = set(self.job.only), set(self.job.skip)
        items[:] = [i for i in items[index::n_shards] if i.name not in skip and (not only or i.name in only)]
        self.say("collected", count=len(items))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.say("broken", why=str(report.longrepr))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self.say("started", test=item.name)
        self.built.clear()
        self.used.clear()
        self.counts.clear()
        self.returned.clear()
        self.steps.clear()
        self.copier = _Copier()
        self.current = None
        self.printed.reset()
        self.test_began = time.monotonic()
        engine.MAX_SHRINKING_SECONDS = min(_SHRINKING, self.shrinking)  # type: ignore[assignment]
        try:
            return (yield)
        finally:
            self.test_began = math.inf

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when != "call" and report.passed:
            return report
        calls = {path: self.returned.get(path, 0) for path in self.counts}
        said: dict[str, Any] = {"test": item.name, "outcome": report.outcome, "calls": calls}
        said |= {"cases": record.cases, "worst": record.worst, "seconds": round(call.duration, 3)}
        if report.failed and call.excinfo:
            with self._looks():
                said |= self._failed(call.excinfo.value)
            self.shrinking = max(0.0, self.shrinking - call.duration) if said["outcome"] == "failed" else self.shrinking
            blamed = said.get("failure", {}).get("path")
            if blamed:
                self.failures[blamed] = self.failures.get(blamed, 0) + 1
                if said["failure"]["kind"] == "hangs" or self.failures[blamed] >= _ENOUGH:
                    self.closed[blamed] = "hangs" if said["failure"]["kind"] == "hangs" else "differs"
        self.say("test", **said)
        if said.get("failure", {}).get("kind") == "memory":  # what filled it may still be there: another goes on
            self.say("spent", path=said["failure"]["path"])
            _exit(0)
        return report

    def pytest_internalerror(self, excrepr: object, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.say("broken", why=f"{_first_line(excinfo.value)}\n{excrepr}")

    # Why a test failed

    def _failed(self, error: BaseException) -> dict[str, Any]:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, _Closed):
            return {"outcome": "waits", "for": error.path}
        cause = error.__cause__
        if isinstance(error, AssertionError) and cause and self._place(cause)["file"]:
            error = cause  # `assert_same_error` tells of another error than the one it wants
        last = self.built[-1] if self.built else None
        failure: dict[str, Any] = self._error(error)
        if failure["kind"] == "assertion":
            failure |= self._counterexample(error) or {}
            failure["candidates"] = {c.path: self._shown(c) for c in self.built if not self._agrees(c)}
        elif self.current and (failure["file"] or _is_refused(error)):
            current = last if last and not last.returned else self.current
            failure["path"] = failure["path"] or current.path
            failure |= {"call": current.text, "outer": current.path}
            failure |= {"printed": current.printed, "printed_lines": current.printed_lines}
            theirs = self._replayed(current)
            if theirs is not None:
                failure["framework"] = theirs.text
            if failure["kind"] == "error":
                failure |= self._root(current) or {}
        return {"outcome": "failed", "failure": failure}

    def _error(self, error: BaseException) -> dict[str, Any]:
        """The kind of a failure, its sentence, the innermost line in a learner's file, and the function it is in."""
        kinds: dict[type[BaseException], str] = {
            AssertionError: "assertion",
            _StillRunningError: "hangs",
            MemoryError: "memory",
            _FullError: "memory",
            SystemExit: "exits",
            _EndedError: "exits",
        }
        kind = next((name for one, name in kinds.items() if isinstance(error, one)), "error")
        place = self._place(error)
        if kind == "assertion" and place["file"]:
            kind = "error"  # an assert of the learner's own
        message = explain(error) if kind == "assertion" else _first_line(error)
        message = str(error) if isinstance(error, _RaisedError) else message
        return {"kind": kind, "message": message, "path": None, **place}

    def _place(self, error: BaseException) -> dict[str, Any]:
        files = {str(self.job.file): "", **{file: name for name, file in self.job.earlier.items()}}
        found: dict[str, Any] = {"file": "", "line": 0, "lesson": "", "path": None}
        if isinstance(error, SyntaxError) and error.filename in files:
            return {**found, "file": error.filename, "line": error.lineno or 0, "lesson": files[error.filename]}
        for frame, line in traceback.walk_tb(error.__traceback__):
            code = frame.f_code
            if code.co_filename in files:
                found |= {"file": code.co_filename, "line": line, "lesson": files[code.co_filename]}
            found["path"] = self.codes.get(code, found["path"])
        return found

    def _counterexample(self, error: BaseException) -> dict[str, Any] | None:
        """The first call of the failing example whose result is not the framework's, with both."""
        rtol, atol = (error.rtol, error.atol) if isinstance(error, NotEquivalentError) else (_REPLAY_RTOL, ATOL)
        waiting = list(self.used)
        for call in self.built:
            pair = next((other for other in waiting if (other.path, other.text) == (call.path, call.text)), None)
            if pair:
                waiting.remove(pair)
                theirs: _Theirs | None = _Theirs(pair.result, pair.result_text, pair.after)
            else:
                theirs = self._replayed(call)
            if theirs is None or not call.returned:
                continue
            if isinstance(theirs.result, Exception):
                if not isinstance(theirs.result, ValueError) or "should raise" not in str(error):
                    continue
                return {"path": call.path, **self._shown(call), "framework": theirs.text, "part": ""}
            if differs := self._differs(call, theirs, rtol, atol):
                return self._root(call) or differs
        return None

    def _agrees(self, call: Call) -> bool:
        """Whether the framework, asked the same, does the same: such a call is not at fault."""
        theirs = self._replayed(call)
        if theirs is None:
            return False
        if isinstance(theirs.result, Exception) or call.raised:
            return isinstance(theirs.result, Exception) and call.raised.startswith("ValueError")
        return _comparable(theirs.result) and not self._differs(call, theirs, _REPLAY_RTOL, ATOL)

    def _differs(self, call: Call, theirs: "_Theirs", rtol: float, atol: float) -> dict[str, Any] | None:
        """How the call and the framework's differ: in what they do to their arguments, or in their results."""
        part = ""
        for name in call.after.keys() & theirs.after.keys():
            left_alone = not _is_changed(call.before[name], theirs.after[name])
            if left_alone and _is_changed(call.before[name], call.after[name]):
                part = f"your {call.path} changes its argument {name}; the framework's does not"
            elif not left_alone:
                found = compare_values(call.after[name], theirs.after[name], rtol, atol, ("yours", "framework"))
                part = f"the argument {name} afterwards, at {found.report}" if found.report else part
        if not part and _comparable(theirs.result):
            part = compare_values(call.result, theirs.result, rtol, atol, ("yours", "framework")).report
        if not part:
            return None
        shown = {"path": call.path, **self._shown(call), "framework": theirs.text}
        return {**shown, "part": _without_addresses(part)}

    def _root(self, call: Call) -> dict[str, Any] | None:
        """The first public function that `call` called and that already gave something else than the framework."""
        for inner in call.inner_calls:
            theirs = self._replayed(inner)
            if theirs is None or isinstance(theirs.result, Exception):
                continue
            if differs := self._differs(inner, theirs, _GROSS, ATOL):
                return {"kind": "assertion", "message": "", "file": "", "line": 0, "outer": inner.path, **differs}
        return None

    def _shown(self, call: Call) -> dict[str, Any]:
        return {
            "call": call.text,
            "outer": call.path,
            "yours": f"raises {call.raised}" if call.raised else call.result_text,
            "printed": call.printed,
            "printed_lines": call.printed_lines,
            "inner": sorted(call.inner - {call.path}),
        }

    def _replayed(self, call: Call) -> "_Theirs | None":
        """What the framework gives for the same call, and how to show it; None where it cannot be asked."""
        if not call.arguments or "." in call.path:
            return None
        function = getattr(self.twin, call.path, None)
        if not callable(function):
            return None
        began, self.call_began = self.call_began, math.inf
        try:
            arguments, keywords = copy.deepcopy(call.arguments)
            result = function(*arguments, **keywords)
            after = _by_name(function, arguments, keywords) if isinstance(function, FunctionType) else {}
            return _Theirs(result, _text(result), after)
        except ValueError as error:
            return _Theirs(error, f"ValueError: {_first_line(error).removeprefix('ValueError: ')}", {})
        except Exception:
            return None
        finally:
            self.call_began = began

    # Limits

    def keep_time(self, signum: int, frame: FrameType | None) -> None:
        """Ends a call or a test that takes too long; while all is well, says that there is life."""
        if os.getppid() != self.parent:  # nobody listens any more
            _exit(1)
        if self.saying:
            return
        now = time.monotonic()
        # Once something is known to hang, a test that runs it in a program of its own need not have as much time.
        for_test = self.job.call_limit * (1 if "hangs" in self.closed.values() else _CALLS) + _SHRINKING
        if now - self.call_began > self.job.call_limit or now - self.test_began > for_test:
            raise _StillRunningError
        if now - self.test_began > 2 * _TICK:
            self.say("alive")


def _by_name(function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    names = inspect.unwrap(function).__code__.co_varnames
    return {**dict(zip(names, arguments, strict=False)), **keywords}


def _is_changed(old: Any, new: Any) -> bool:
    return not isinstance(old, random.Random) and repr(old) != repr(new)


def _comparable(value: Any) -> bool:
    """Whether `compare_values` looks into what the framework gave; an iterator or a function says nothing."""
    if isinstance(value, Mapping):
        return all(map(_comparable, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_comparable, value))
    if is_dataclass(value) and not isinstance(value, type):
        return all(_comparable(getattr(value, one.name)) for one in fields(value))
    return value is None or hasattr(value, "tolist") or isinstance(value, bool | int | float | complex | str | bytes)


class _Tools:
    """What the tests rely on, in the process that the learner's code is in as well: it must stay what it is."""

    def __init__(self, lesson: Lesson) -> None:
        # Not the frameworks: torch replaces functions of its own when it first compiles something.
        names = ("builtins", "math", "random", "statistics", lesson.module("use_it"))
        self.before = {
            (module, name): value
            for module in list(sys.modules)
            if module in names or module.startswith("shared.")
            for name, value in vars(sys.modules[module]).items()
            if callable(value)
        }

    def changed(self) -> str:
        """The first function or class that is another one now, as one would call it; empty where all is as before."""
        for (module, name), value in self.before.items():
            if module not in sys.modules or vars(sys.modules[module]).get(name) is not value:
                return f"{module.rpartition('.')[2] if module.startswith('phases.') else module}.{name}"
        return ""


def _is_refused(error: BaseException) -> bool:
    """Whether a function of the learner's does not take the arguments that it was given."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return isinstance(error, TypeError) and frames[-1][0].f_code.co_filename == __file__


def _loaded_files() -> set[str]:
    return {file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}


def _recording() -> bool:
    """Whether this execution of the test is the one that counts: Hypothesis' last, or a test without it."""
    context = _current_build_context.value
    return context is None or context.is_final


def _first_line(error: BaseException) -> str:
    text = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _text(value: Any) -> str:
    """As one would type `value`; NumPy's and torch's own types as the plain values they hold."""
    try:
        return _without_addresses(repr(value))
    except Exception as error:  # a __repr__ of the learner's own
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>"


def _without_addresses(text: str) -> str:
    """An object without a repr of its own is no use with its module and address."""
    return re.sub(r"<([\w.]*\b)?(\w+) object (\w+ )?at 0x[0-9A-Fa-f]+>", r"<\2>", text)


class _Memory:
    """On Linux, an allocation beyond the limit raises MemoryError at the learner's line.

    Of RLIMIT_DATA, which leaves the stack alone: with RLIMIT_AS, a stack that has to grow when all is used ends the
    process by SIGSEGV, at any line.
    """

    def __init__(self) -> None:
        self.most = 0
        self.ballast: bytes | None = None  # kept, to be thrown away when all else is used
        if sys.platform == "linux":
            in_use = int(Path("/proc/self/statm").read_text().split()[5]) * mmap.PAGESIZE
            self.most = in_use + MEMORY

    def limit(self, on: bool) -> None:
        """Off, so that the judge can work while the learner's values are still there."""
        if sys.platform == "linux":
            import resource  # noqa: PLC0415  # POSIX only

            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            most = self.most if hard == resource.RLIM_INFINITY else min(self.most, hard)
            resource.setrlimit(resource.RLIMIT_DATA, (most if on else hard, hard))
            self.ballast = bytes(_BALLAST) if on else None


def _refuse(*_: object) -> NoReturn:
    raise _EndedError("os._exit")


def _no_debugger(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("a check has no terminal for a debugger: run your file itself")


def judge(job: Job, out: TextIO, marks: mmap.mmap | None = None) -> None:
    """Run the job in this process, which is spent afterwards: its modules hold the learner's code.

    Args:
        job: what to run.
        out: where the lines of JSON go.
        marks: memory shared with the process that started this one; says at any moment what runs.
    """
    plugin = Judge(job, out, marks)
    random.seed(0)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, plugin.keep_time)
        signal.setitimer(signal.ITIMER_REAL, _TICK, _TICK)
    plugin.memory.limit(True)
    sys.stdin = io.StringIO()
    sys.stdout = sys.stderr = plugin.printed
    os._exit = _refuse  # type: ignore[assignment]
    if hasattr(os, "register_at_fork"):  # what the learner's code forks says nothing
        os.register_at_fork(after_in_child=lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno()))
    before = set(sys.modules)
    if not plugin.import_file():
        plugin.say("finished", modules=[])
        return
    tools = _Tools(job.lesson)
    options = [*pytest_options(job.lesson.root), "-s", "-o", "timeout=0"]
    options += ["-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:faulthandler", "-p", "pytest_timeout"]
    options += ["-p", "_hypothesis_pytestplugin", "-p", "no:twice-cards"]
    options += ["-p", "no:unraisableexception"]  # collects garbage again and again
    options += ["--basetemp", f"{job.folder}/tests{job.shard[0]}"] if job.folder else []
    options += [] if job.shrinking else ["--twice-profile", "no-shrink"]
    try:
        code = pytest.main([str(job.lesson.folder / "test_equivalence.py"), *options], plugins=[plugin])
    except BaseException as error:
        late = "A test did not come to its end in time. 'twice check --limit 60' gives it more."
        plugin.say("broken", why=late if isinstance(error, _StillRunningError) else _first_line(error))
        return
    if changed := tools.changed():
        plugin.say("spoiled", what=changed)
    if code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        new = [name for name in set(sys.modules) - before if name.partition(".")[0] in job.lesson.frameworks]
        plugin.say("finished", modules=new)
