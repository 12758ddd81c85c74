"""The loader of large data sets, against mirrors on this machine that behave well and badly."""

import contextlib
import gzip
import hashlib
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.curriculum import ROOT
from shared.data import DataUnavailableError, WrongFileError, large, load_images, load_text
from shared.data.download import PAUSES, Remote, fetch

CONTENT = random.Random(0).randbytes(100_000)
FILE = gzip.compress(CONTENT, mtime=0)
NAME = "set/file.gz"


class Mirror(ThreadingHTTPServer):
    """Serves `FILE` under ``/MODE/…``, where the mode says how; remembers each request as ``"MODE RANGE"``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.released = threading.Event()  # lets a stalled answer end

    def remote(self, *modes: str) -> Remote:
        urls = tuple(f"http://127.0.0.1:{self.server_port}/{mode}/file.gz" for mode in modes)
        return Remote(NAME, hashlib.sha256(CONTENT).hexdigest(), urls, 'load("digits")')


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        mode, span = self.path.split("/")[1], self.headers["Range"] or ""
        self.server.requests.append(f"{mode} {span}".strip())
        if mode == "garbage":
            self.wfile.write(b"no status line\r\n")
            return
        if mode.isdigit():
            self.send_error(int(mode))
            return
        body = {"wrong": b"<html>Log in to the hotel network</html>", "short": FILE[:-9]}.get(mode, FILE)
        start = int(re.findall(r"bytes=(\d+)-", span)[0]) if span and mode != "rangeless" else 0
        if span and start >= len(body):
            self.send_error(416)
            return
        body = body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            if mode in ("half", "stall"):
                self.wfile.write(body[: len(body) // 2])
            if mode == "stall":
                self.server.released.wait(20)
            if mode != "half":
                self.wfile.write(body if mode != "stall" else body[len(body) // 2 :])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("TWICE_DATA", raising=False)
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def no_pause(_: float) -> None:
    pass


def get(remote: Remote, cache: Path, wait: Callable[[float], None] = no_pause, timeout: float = 20) -> bytes:
    return fetch(remote, cache=cache, wait=wait, timeout=timeout)


def put(folder: Path, name: str, content: bytes) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def assert_cached(cache: Path) -> None:
    assert (cache / NAME).read_bytes() == FILE
    assert not (cache / f"{NAME}.part").exists()


def test_downloads_once(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named_when_synced: list[bool] = []
    monkeypatch.setattr("os.fsync", lambda _: named_when_synced.append((tmp_path / NAME).exists()))
    assert get(mirror.remote("ok"), tmp_path) == CONTENT
    assert named_when_synced == [False]
    assert_cached(tmp_path)
    (tmp_path / f"{NAME}.lock").unlink()
    assert get(mirror.remote("ok"), tmp_path) == CONTENT
    assert mirror.requests == ["ok"]
    assert [file.name for file in (tmp_path / "set").iterdir()] == ["file.gz"]  # reading needs no lock


def test_a_file_that_is_not_compressed(mirror: Mirror, tmp_path: Path) -> None:
    url = mirror.remote("ok").urls
    remote = Remote("text.txt", hashlib.sha256(b"words").hexdigest(), url, "")
    put(tmp_path, "text.txt", b"words")
    assert get(remote, tmp_path) == b"words"
    assert mirror.requests == []


def test_resumes(mirror: Mirror, tmp_path: Path) -> None:
    put(tmp_path, f"{NAME}.part", FILE[:1000])
    assert get(mirror.remote("ok"), tmp_path) == CONTENT
    assert mirror.requests == ["ok bytes=1000-"]
    assert_cached(tmp_path)


def test_a_server_that_ignores_ranges(mirror: Mirror, tmp_path: Path) -> None:
    put(tmp_path, f"{NAME}.part", FILE[:1000])
    assert get(mirror.remote("rangeless"), tmp_path) == CONTENT
    assert mirror.requests == ["rangeless bytes=1000-"]
    assert_cached(tmp_path)


def test_a_part_that_was_complete(mirror: Mirror, tmp_path: Path) -> None:
    put(tmp_path, f"{NAME}.part", FILE)
    assert get(mirror.remote("ok"), tmp_path) == CONTENT
    assert mirror.requests == [f"ok bytes={len(FILE)}-"]
    assert_cached(tmp_path)


@pytest.mark.parametrize("part", [b"x" * 1000, FILE + b"x", b"x" * len(FILE), FILE[:99] + bytes([FILE[99] ^ 1])])
def test_a_part_that_does_not_fit_is_dropped(mirror: Mirror, tmp_path: Path, part: bytes) -> None:
    put(tmp_path, f"{NAME}.part", part)
    assert get(mirror.remote("ok"), tmp_path) == CONTENT
    assert mirror.requests == [f"ok bytes={len(part)}-", "ok"]
    assert_cached(tmp_path)


def test_a_connection_that_drops_goes_on_at_the_next_mirror(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert get(mirror.remote("half", "ok"), tmp_path) == CONTENT
    half = len(FILE) // 2
    assert mirror.requests == ["half", f"ok bytes={half}-"]
    assert_cached(tmp_path)
    assert f"/half/file.gz: the connection ended after {half} of {len(FILE)} bytes" in capsys.readouterr().err


def test_one_mirror_is_asked_again_for_the_rest(mirror: Mirror, tmp_path: Path) -> None:
    pauses: list[float] = []
    with pytest.raises(DataUnavailableError, match="the connection ended"):
        get(mirror.remote("half"), tmp_path, pauses.append)
    assert pauses == list(PAUSES)
    sizes = [0]
    for _ in PAUSES:
        sizes.append(sizes[-1] + (len(FILE) - sizes[-1]) // 2)
    assert mirror.requests == ["half", *(f"half bytes={size}-" for size in sizes[1:-1])]
    assert (tmp_path / f"{NAME}.part").read_bytes() == FILE[: sizes[-1]]
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("bad", ["404", "403", "503", "wrong", "short", "garbage"])
def test_the_next_mirror_helps(mirror: Mirror, tmp_path: Path, bad: str) -> None:
    pauses: list[float] = []
    assert get(mirror.remote(bad, "ok"), tmp_path, pauses.append) == CONTENT
    assert mirror.requests == [bad, "ok"]
    assert pauses == [0]
    assert_cached(tmp_path)


def test_a_silent_mirror_is_left(mirror: Mirror, tmp_path: Path) -> None:
    assert get(mirror.remote("stall", "ok"), tmp_path, timeout=0.1) == CONTENT
    assert mirror.requests == ["stall", f"ok bytes={len(FILE) // 2}-"]


@pytest.mark.parametrize(
    ("bad", "rounds", "told"),
    [
        ("404", 1, "HTTP Error 404: Not Found"),
        ("503", len(PAUSES), "HTTP Error 503: Service Unavailable"),
        ("wrong", 1, "is not set/file.gz: its content has the sha256 [0-9a-f]{64}, not "),
        ("short", 1, "is damaged or incomplete: Compressed file ended"),
    ],
)
def test_what_no_mirror_gives(mirror: Mirror, tmp_path: Path, bad: str, rounds: int, told: str) -> None:
    pauses: list[float] = []
    put(tmp_path, NAME, FILE[:1000])  # damaged, and not to be used even now
    with pytest.raises(DataUnavailableError, match=f"/{bad}/file.gz: .*{told}"):
        get(mirror.remote(bad), tmp_path, pauses.append)
    assert mirror.requests == [bad] * rounds
    assert pauses == list(PAUSES[:rounds])
    assert [file.name for file in (tmp_path / "set").iterdir()] == ["file.gz.lock"]


def test_offline_is_one_clear_sentence(tmp_path: Path, mirror: Mirror) -> None:
    with socket.socket() as unused:  # bound, and nobody listens
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file.gz"
        with pytest.raises(DataUnavailableError) as caught:
            get(Remote(NAME, "0" * 64, (url,), 'load("digits")'), tmp_path)
    message = str(caught.value)
    assert message.startswith("set/file.gz is not on this machine and could not be downloaded (")
    for part in (url, "TWICE_DATA a folder that holds set/file.gz", 'the embedded load("digits")'):
        assert part in message
    assert "\n" not in message


def test_a_damaged_file_in_the_cache_is_named_and_replaced(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    no_deflate = FILE[:10] + b"\xff" + FILE[11:]
    for damaged in (FILE[:-1], FILE[:2000] + b"x" + FILE[2001:], no_deflate, b"", gzip.compress(b"other")):
        file = put(tmp_path, NAME, damaged)
        mirror.requests.clear()
        assert get(mirror.remote("ok"), tmp_path) == CONTENT
        assert mirror.requests == ["ok"]
        assert_cached(tmp_path)
        assert re.search(f"{re.escape(str(file))} is (damaged|not {NAME}).*removed", capsys.readouterr().err)


@pytest.mark.parametrize("name", [NAME, "file.gz"])
def test_twice_data_is_looked_in_first(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("TWICE_DATA", str(tmp_path / "mine"))
    other_gzip = gzip.compress(CONTENT, compresslevel=1)
    assert other_gzip != FILE
    put(tmp_path / "mine", name, other_gzip)
    assert get(mirror.remote("ok"), tmp_path / "cache") == CONTENT
    assert mirror.requests == []
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", [NAME, "file.gz"])
@pytest.mark.parametrize("content", [FILE[:-20], b"", gzip.compress(CONTENT[:-1])])
def test_a_wrong_file_in_twice_data_is_named(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    monkeypatch.setenv("TWICE_DATA", str(tmp_path / "mine"))
    file = put(tmp_path / "mine", name, content)
    put(tmp_path / "cache", NAME, FILE)
    with pytest.raises(WrongFileError, match=re.escape(str(file))):
        get(mirror.remote("ok"), tmp_path / "cache")
    assert mirror.requests == []
    assert file.read_bytes() == content


def test_twice_data_without_the_file(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWICE_DATA", str(tmp_path))
    assert get(mirror.remote("ok"), tmp_path / "cache") == CONTENT
    monkeypatch.setenv("TWICE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"TWICE_DATA should name a folder, and '.*nowhere' is none"):
        get(mirror.remote("ok"), tmp_path / "cache")


def test_two_at_once_download_once(mirror: Mirror, tmp_path: Path) -> None:
    results: list[bytes] = []
    waiting = threading.Event()

    def first() -> None:
        results.append(get(mirror.remote("stall"), tmp_path))

    def second() -> None:
        def wait(_: float) -> None:
            waiting.set()
            time.sleep(0.01)

        results.append(get(mirror.remote("ok"), tmp_path, wait))

    threads = [threading.Thread(target=first)]
    threads[0].start()
    until((tmp_path / f"{NAME}.part").exists)
    threads.append(threading.Thread(target=second))
    threads[1].start()
    assert waiting.wait(20)
    mirror.released.set()
    for thread in threads:
        thread.join()
    assert results == [CONTENT, CONTENT]
    assert mirror.requests == ["stall"]
    assert_cached(tmp_path)


def test_a_killed_download_is_resumed(mirror: Mirror, tmp_path: Path) -> None:
    part = tmp_path / f"{NAME}.part"
    code = f"""if True:
        from pathlib import Path
        from shared.data.download import Remote, fetch
        fetch({mirror.remote("stall")!r}, cache=Path({str(tmp_path)!r}))
    """
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE)
    try:
        until(lambda: part.exists() and part.stat().st_size == len(FILE) // 2)
        assert child.poll() is None
    finally:
        child.kill()
        _, told = child.communicate()
    assert child.returncode != 0, told
    assert not (tmp_path / NAME).exists()
    assert get(mirror.remote("ok"), tmp_path) == CONTENT
    assert mirror.requests == ["stall", f"ok bytes={len(FILE) // 2}-"]
    assert_cached(tmp_path)


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come so far in time"
        time.sleep(0.002)


def test_progress(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for terminal, end in ((True, "\r"), (False, "\n")):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        get(mirror.remote("ok"), tmp_path / str(terminal))
        told = capsys.readouterr()
        assert re.fullmatch(rf"(set/file.gz: \d+ of 100 kB{end})+set/file.gz: 100 of 100 kB\n", told.err)
        assert told.out == ""
    assert told.err.count("\n") == 2  # the first and the last: the download took less than ten seconds


def test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, labels = bytes(range(18)), bytes([7, 0, 9])
    contents = {
        "t10k-images-idx3-ubyte": struct.pack(">IIII", 2051, 3, 2, 3) + pixels,
        "t10k-labels-idx1-ubyte": struct.pack(">II", 2049, 3) + labels,
    }
    for name, content in contents.items():
        put(tmp_path, f"tiny/{name}.gz", gzip.compress(content))
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setitem(large.IMAGES, "tiny", large.ImageSet((), tuple("0123456789"), sums))
    monkeypatch.setenv("TWICE_DATA", str(tmp_path))
    images = load_images("tiny", "test")
    assert (len(images), images.height, images.width) == (3, 2, 3)
    assert images.pixels == pixels
    assert images.labels == labels
    assert images.classes[images.labels[2]] == "9"
    assert [images.image(i) for i in range(3)] == [pixels[:6], pixels[6:12], pixels[12:]]
    assert images.image(-1) == images.image(2)
    with pytest.raises(IndexError):
        images.image(3)


def test_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWICE_DATA", str(tmp_path))
    file = put(tmp_path, "tinyshakespeare.txt", load_text("shakespeare").encode())
    with pytest.raises(WrongFileError, match=re.escape(f"{file} is not tinyshakespeare.txt")):
        load_text("tinyshakespeare")
    monkeypatch.setitem(large.TEXTS, "tiny", Remote("tiny.txt", hashlib.sha256("å\n".encode()).hexdigest(), (), ""))
    put(tmp_path, "tiny.txt", "å\n".encode())
    assert load_text("tiny") == "å\n"


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(ValueError, match="no image set is called 'fashion'; did you mean 'fashion-mnist'"):
        load_images("fashion")
    with pytest.raises(ValueError, match="no split is called 'tests'; did you mean 'test'"):
        load_images("mnist", "tests")
    with pytest.raises(ValueError, match="no text is called 'tinyshakespear'; did you mean 'tinyshakespeare'"):
        load_text("tinyshakespear")


def test_each_large_file_has_a_checksum_and_two_mirrors() -> None:
    sums = [remote.sha256 for remote in large.TEXTS.values()]
    mirrors = [remote.urls for remote in large.TEXTS.values()]
    for known in large.IMAGES.values():
        assert set(known.sha256) == {
            f"{split}-{kind}-ubyte" for split in large.SPLITS.values() for kind in ("images-idx3", "labels-idx1")
        }
        sums += known.sha256.values()
        mirrors.append(known.mirrors)
    assert len(set(sums)) == len(sums)
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in sums)
    for urls in mirrors:
        assert len({url.split("/")[2] for url in urls}) == 2
        assert all(url.startswith("https://") for url in urls)


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mirror: Mirror) -> None:
    seen: list[tuple[str, object]] = []

    def user_cache_path(name: str, appauthor: object) -> Path:
        seen.append((name, appauthor))
        return tmp_path

    monkeypatch.setattr("platformdirs.user_cache_path", user_cache_path)
    assert fetch(mirror.remote("ok"), wait=no_pause) == CONTENT
    assert seen == [("twice", False)]
    assert_cached(tmp_path)
