"""What a learner has done: ``progress.json``, where no change is lost, whatever becomes of the process that makes it.

A change holds a lock that the system releases when its process dies. It is written to a file beside, synced and
renamed: at any moment the name stands for a whole file, the old one or the new one.
"""

import contextlib
import errno
import functools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

State = dict[str, Any]

VERSION = 1
WAIT = 10.0  # seconds for another twice to finish its change
_POLL = 0.01
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_TIMES = ("started", "checked", "proven", "skipped", "gave_up")
_KINDS: dict[str, type | tuple[type, ...]] = {
    "reference": str,
    "code": str,
    "functions": dict,
    "cases": int,
    "worst": (int, float),
    "hints": dict,
    "quiz": dict,
    "breaks": list,
}
_Result = TypeVar("_Result")


class ProgressError(ValueError):
    """Progress cannot be read or written; the message is one sentence. What was there is still there."""


class UnreadableError(ProgressError):
    """This is no progress: not JSON, or not of its shape."""


def now() -> str:
    """The time as progress holds it: ``2026-11-20T10:11:02Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def stamp() -> str:
    """The time in the name of a file, on every system: ``20261120T101102Z``."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


def entry(state: State, name: str) -> dict[str, Any]:
    """What is known of the lesson `name`; made if need be."""
    made: dict[str, Any] = state["lessons"].setdefault(name, {})
    return made


def parse(data: bytes) -> State:
    """The state that the bytes of a ``progress.json`` hold.

    Raises:
        UnreadableError: where they hold none.
        ProgressError: where a newer version of twice wrote them.
    """
    try:
        state = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"it is not JSON: {error}") from None
    if fault := _fault(state):
        raise UnreadableError(fault)
    if state["version"] > VERSION:
        raise ProgressError(
            f"this progress was written by a newer twice (version {state['version']}, and this one knows {VERSION}): "
            "update this one; until then nothing is changed"
        )
    return dict(state)


def _fault(state: Any) -> str:
    """What makes `state` no progress; of a newer version, only the version is known."""
    if not isinstance(state, dict):
        return "it holds no object"
    if type(state.get("version")) is not int or state["version"] < 1:
        return f"its version is {state.get('version')!r}"
    if state["version"] > VERSION:
        return ""
    if not isinstance(state.get("goal", ""), str):
        return f"its goal is {state['goal']!r}"
    for group in ("lessons", "cards"):
        if not isinstance(state.get(group), dict):
            return f"its {group} are no object"
        for name, item in state[group].items():
            if not isinstance(item, dict):
                return f"{name} is {item!r}"
    for name, known in state["lessons"].items():
        for key, value in known.items():
            good = isinstance(value, _KINDS.get(key, object))
            if key in _TIMES:
                good = isinstance(value, str) and bool(_TIME.fullmatch(value))
            if key == "breaks" and good:
                good = all(isinstance(item, dict) for item in value)
            if not good:
                return f"{key} of {name} is {value!r}"
    return ""


def merged(one: State, other: State) -> State:
    """Both states in one: what is only in one of them, and of what both have the later; of equals that of `one`."""
    joined: State = {**other, **one}
    for group, join in (("lessons", _later), ("cards", _newer)):
        mine, theirs = one[group], other[group]
        common = {name: join(mine[name], theirs[name]) for name in mine if name in theirs}
        joined[group] = {**mine, **theirs, **common}
    return joined


def _newer(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return other if _newest(other) > _newest(one) else one


def _later(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The entry with the newest time, and what only the older one knows; the later proof and every break stay."""
    newer = _newer(one, other)
    older = other if newer is one else one
    result = {**older, **newer}
    if older.get("proven", "") > newer.get("proven", ""):
        result |= {key: older[key] for key in ("proven", "code") if key in older}
    breaks: dict[tuple[str, str], dict[str, Any]] = {}
    for item in (*newer.get("breaks", []), *older.get("breaks", [])):
        key = (str(item.get("opened")), str(item.get("seed")))
        breaks[key] = _newer(breaks.get(key, item), item)
    if breaks:
        result["breaks"] = [breaks[key] for key in sorted(breaks)]
    return result


def _newest(value: Any) -> str:
    """The latest time in `value`, however deep; when a card is due lies ahead and says nothing."""
    if isinstance(value, dict):
        return max((_newest(item) for key, item in value.items() if key != "due"), default="")
    if isinstance(value, list):
        return max(map(_newest, value), default="")
    return value[:19] if isinstance(value, str) and _TIME.match(value[:19] + "Z") else ""


def _new() -> State:
    return {"version": VERSION, "lessons": {}, "cards": {}}


class Store:
    """The progress in a folder.

    Args:
        folder: where ``progress.json`` lies; made at the first change.
        carry: brings a state just read up to date, e.g. with lessons that were renamed.
    """

    def __init__(self, folder: Path, carry: Callable[[State], None] = lambda state: None) -> None:
        self.folder = folder
        self.file = folder / "progress.json"
        self.copy = folder / "progress.json.before"  # the same once more, in case that the file is damaged
        self.carry = carry

    def read(self) -> State:
        """The state; a new one where there is no file. An unreadable file is set aside and its copy used.

        Raises:
            ProgressError: if the file is of a newer version, or the system does not let it be read.
        """
        try:
            state = self._parsed()
        except UnreadableError:
            state = self._mended()
        self.carry(state)
        return state

    @contextlib.contextmanager
    def change(self) -> Iterator[State]:
        """The state to be changed in the block; written after it, unless the block raises or changes nothing.

        Raises:
            ProgressError: if it cannot be written, or another twice does not finish its change.
        """
        with self._locked():
            for left in self.folder.glob(".*.new"):  # by a process that was killed while it wrote
                with contextlib.suppress(OSError):
                    left.unlink()
            try:
                state = self._parsed()
            except UnreadableError as error:
                state = self._set_aside(error)
            before = _bytes(state)
            self.carry(state)
            yield state
            after = _bytes(state)
            if after != before:
                write_files({self.copy: after, self.file: after})

    def _parsed(self) -> State:
        try:
            data = patiently(self.file.read_bytes)
        except FileNotFoundError:
            return _new()
        except OSError as error:
            raise ProgressError(f"{self.file} cannot be read: {error.strerror}") from None
        try:
            return parse(data)
        except UnreadableError:
            raise
        except ProgressError as error:
            raise ProgressError(f"{self.file}: {error}") from None

    def _mended(self) -> State:
        """What a reader gets in the place of an unreadable file."""
        try:
            with self.change() as state:
                return state
        except ProgressError as error:  # it cannot be set aside here: then it stays as it is
            copy = self._copied()
            instead = "and its copy is used" if copy else "nor can its copy, so nothing is known of what you did"
            print(f"twice: {self.file} cannot be read, {instead} ({error})", file=sys.stderr)
            return copy or _new()

    def _set_aside(self, why: UnreadableError) -> State:
        """Keep the unreadable file under another name, and put the copy in its place."""
        state = self._copied()
        aside = {path: unused(Path(f"{path}.unreadable-{stamp()}")) for path in (self.file, self.copy)}
        kept = [path for path in (self.file, self.copy) if path == self.file or (path.exists() and not state)]
        # The name itself comes last: a moment without the file would look like a new learner.
        write_files({aside[path]: path.read_bytes() for path in kept} | {self.file: _bytes(state or _new())})
        instead = (
            "the copy from the last change is used"
            if state
            else "there is no good copy either: it begins anew, and 'twice status --recheck' derives it from your code"
        )
        print(
            f"twice: your progress could not be read ({why}); it is kept as {aside[self.file]}, and {instead}",
            file=sys.stderr,
        )
        return state or _new()

    def _copied(self) -> State | None:
        try:
            return parse(self.copy.read_bytes())
        except (OSError, ProgressError):
            return None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            make_private(self.folder)
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise ProgressError(
                f"{self.folder} cannot be written: {error.strerror}; "
                "mend that, or set TWICE_HOME to a folder that can be"
            ) from None
        try:
            end = time.monotonic() + WAIT
            while not _try_lock(lock):
                if time.monotonic() >= end:
                    raise ProgressError(f"another twice is at work in {self.folder}: when it is done, try again")
                time.sleep(_POLL)
            yield
        finally:
            os.close(lock)  # which releases it


def _try_lock(lock: int) -> bool:
    """Whether this process has the lock now."""
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415

            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        raise ProgressError(
            f"this drive cannot lock files ({error.strerror}): set TWICE_HOME to a folder on another"
        ) from None
    return True


def _bytes(state: State) -> bytes:
    """The file that holds `state`; what could not be read again is a fault of the caller, and never written."""
    if fault := _fault(state):
        raise TypeError(f"this is no progress: {fault}")
    return (json.dumps(state, indent=1) + "\n").encode()


def make_private(folder: Path) -> None:
    """Make a folder of the learner's own, which git leaves alone."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def unused(path: Path, suffix: str = "") -> Path:
    """`path` with `suffix`, or where that exists with a number between them: ``a.py``, ``a-2.py``."""
    number, free = 1, Path(f"{path}{suffix}")
    while free.exists():
        number += 1
        free = Path(f"{path}-{number}{suffix}")
    return free


def write_files(files: Mapping[Path, bytes], displace: Callable[[Path], object] = lambda path: None) -> None:
    """Write each file whole or not at all; the first takes its name when all of them are safe on the disk.

    Args:
        files: in the order in which they take their names.
        displace: called with each file that exists, just before another takes its name.

    Raises:
        ProgressError: if the system does not let one be written; no half-written file is left.
    """
    # The names are always the same, so that what a killed process left is overwritten by the next one.
    beside = {path: path.with_name(f".{path.name}.new") for path in files}
    path = None
    try:
        for path, data in files.items():
            with beside[path].open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, new in beside.items():
            if path.exists():
                displace(path)
            patiently(functools.partial(os.replace, new, path))
    except BaseException as error:
        for new in beside.values():
            with contextlib.suppress(OSError):
                new.unlink()
        if isinstance(error, OSError):
            raise ProgressError(
                f"{path} could not be written: {error.strerror}; what was there is still there"
            ) from None
        raise
    for folder in {path.parent for path in files}:
        with contextlib.suppress(OSError):  # Windows and some file systems cannot sync a folder
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def patiently(action: Callable[[], _Result]) -> _Result:
    """Windows refuses to open or replace a file in the moment in which another process does: try for a second."""
    end = time.monotonic() + (1 if sys.platform == "win32" else 0)
    while True:
        try:
            return action()
        except PermissionError:
            if time.monotonic() >= end:
                raise
            time.sleep(_POLL)
