"""Files that are downloaded once into the user's cache, and checked each time they are read.

A file is looked for in the folder that the environment variable TWICE_DATA names, then in the cache, then at its
mirrors. It is known by the sha256 of its decompressed content, so it does not matter who compressed it.

A download grows in ``NAME.part``, which the next attempt resumes, and becomes ``NAME`` by one rename once its content
is right. So a process killed at any moment leaves nothing that could be taken for the file.
"""

import gzip
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import platformdirs

from shared.data.embedded import WrongFileError

PAUSES = (0, 1, 3)  # seconds before each round over all mirrors
TIMEOUT = 30.0  # seconds without a byte after which a mirror is left for the next
# Answers that will be the same in the next round.
FINAL = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


class DataUnavailableError(OSError):
    """A file is not on this machine, and no mirror gave it."""


@dataclass(frozen=True)
class Remote:
    """A file to download."""

    name: str  # its path below the cache or TWICE_DATA, with forward slashes
    sha256: str  # of its decompressed content
    urls: tuple[str, ...]
    instead: str  # the call that gives an embedded set where this one is absent


def fetch(
    remote: Remote,
    *,
    cache: Path | None = None,
    wait: Callable[[float], None] = time.sleep,
    timeout: float = TIMEOUT,
) -> bytes:
    """The decompressed content of a file: from TWICE_DATA, from the cache, or downloaded into the cache.

    Args:
        remote: which file.
        cache: the folder that keeps it (by default the user's cache folder).
        wait: called with the seconds to pause, so that a test need not.
        timeout: seconds without a byte after which a mirror is left for the next.

    Raises:
        WrongFileError: TWICE_DATA holds a file of that name with another content.
        DataUnavailableError: it is not on this machine and no mirror gave it.
    """
    if folder := os.environ.get("TWICE_DATA"):
        if not Path(folder).is_dir():
            raise ValueError(f"TWICE_DATA should name a folder, and {folder!r} is none")
        for place in (Path(folder, remote.name), Path(folder, Path(remote.name).name)):
            if place.exists():
                return _content(place, remote)
    file = (cache or platformdirs.user_cache_path("twice", appauthor=False)) / remote.name
    if (content := _cached(file, remote)) is not None:
        return content
    file.parent.mkdir(parents=True, exist_ok=True)
    with _locked(file.with_name(f"{file.name}.lock"), wait):
        if (content := _cached(file, remote)) is not None:  # another process was here first
            return content
        return _download(remote, file, wait, timeout)


def _content(file: Path, remote: Remote) -> bytes:
    """What is in `file`, decompressed, if it is what `remote` describes."""
    content = file.read_bytes()
    if content.startswith(b"\x1f\x8b"):  # gzip
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise WrongFileError(f"{file} is damaged or incomplete: {error}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != remote.sha256:
        raise WrongFileError(f"{file} is not {remote.name}: its content has the sha256 {found}, not {remote.sha256}")
    return content


def _cached(file: Path, remote: Remote) -> bytes | None:
    """The content of a file in the cache; a wrong one is named and removed."""
    try:
        return _content(file, remote)
    except FileNotFoundError:
        return None
    except WrongFileError as error:
        print(f"{error}; it is removed and downloaded again", file=sys.stderr)
        file.unlink(missing_ok=True)
        return None


@contextmanager
def _locked(path: Path, wait: Callable[[float], None]) -> Iterator[None]:
    """Let in one process at a time. The system frees the lock of a process that ends, however it ends."""
    with path.open("ab") as file:
        while not _lock(file):
            wait(0.2)
        yield


def _lock(file: BinaryIO) -> bool:
    """Lock an open file, unless another process has."""
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _download(remote: Remote, file: Path, wait: Callable[[float], None], timeout: float) -> bytes:
    """Try each mirror, and all of them again after a pause, until one has sent the right file."""
    part = file.with_name(f"{file.name}.part")
    urls = list(remote.urls)
    problems = {}
    for seconds in PAUSES:
        if urls:
            wait(seconds)
        for url in list(urls):
            try:
                content = _attempt(url, part, remote, timeout)
            except (OSError, http.client.HTTPException, WrongFileError) as error:
                problems[url] = str(error) or type(error).__name__
                print(f"{url}: {problems[url]}", file=sys.stderr)
                if isinstance(error, WrongFileError) or getattr(error, "code", None) in FINAL:
                    urls.remove(url)
            else:
                part.replace(file)
                return content
    told = "; ".join(f"{url}: {problem}" for url, problem in problems.items())
    raise DataUnavailableError(
        f"{remote.name} is not on this machine and could not be downloaded ({told}): try again online, or name in the "
        f"environment variable TWICE_DATA a folder that holds {remote.name}, or do with the embedded {remote.instead}"
    )


def _attempt(url: str, part: Path, remote: Remote, timeout: float) -> bytes:
    """Complete `part` from one mirror, and return its content if it is right."""
    resumed = _receive(url, part, remote.name, timeout)
    try:
        return _content(part, remote)
    except WrongFileError:
        part.unlink()
        if not resumed:
            raise
    return _attempt(url, part, remote, timeout)  # what was there before did not fit: all of it again


def _receive(url: str, part: Path, name: str, timeout: float) -> bool:
    """Append to `part` what it lacks of the file at `url`; tell whether any of it was there before."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "twice", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if have and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return True  # the server has nothing after what is there: it is complete, or wrong
        raise
    with response:
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server ignores ranges and sends everything
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        # Unbuffered, so that what has come before a kill is there to resume from.
        with part.open("ab" if have else "wb", buffering=0) as file:
            for block in _blocks(response, name, have, total):
                file.write(block)
            os.fsync(file.fileno())
            done = file.tell()
    if total and done < total:
        raise ConnectionError(f"the connection ended after {done} of {total} bytes")
    return have > 0


def _blocks(response: http.client.HTTPResponse, name: str, done: int, total: int | None) -> Iterator[bytes]:
    """The body, block by block, with progress on stderr: a moving line on a terminal, else one every ten seconds."""
    terminal = sys.stderr.isatty()
    due = time.monotonic()

    def show(end: str) -> None:
        of = f" of {total // 1000:,}" if total else ""
        print(f"{name}: {done // 1000:,}{of} kB", end=end, file=sys.stderr, flush=True)

    try:
        while block := response.read1(1 << 16):
            yield block
            done += len(block)
            if time.monotonic() >= due:
                due = time.monotonic() + (0.1 if terminal else 10)
                show("\r" if terminal else "\n")
    finally:
        show("\n")
