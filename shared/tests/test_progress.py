"""Progress under everything that happens to files: kills, two terminals, damage, full disks, renamed lessons."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.curriculum import HOUSE, Lesson
from shared.learn import progress
from shared.learn.home import backup, home
from shared.learn.progress import ProgressError, State, Store, entry, merged, parse

Add = Callable[..., Lesson]
EMPTY = {"version": 1, "lessons": {}, "cards": {}}
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"
posix = pytest.mark.skipif(sys.platform == "win32", reason="there is no such system call")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One with a proven lesson in it."""
    store = Store(tmp_path / ".twice")
    with store.change() as state:
        entry(state, "fake/a")["proven"] = EARLY
    return store


def python(code: str, *words: object, **more: Any) -> subprocess.Popen[str]:
    """A process of its own, which has to import nothing but the progress."""
    head = "import os, sys, time\nfrom pathlib import Path\nfrom shared.learn.progress import *\n"
    command = [sys.executable, "-c", head + code, *map(str, words)]
    return subprocess.Popen(
        command, cwd=HOUSE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def files(folder: Path) -> dict[str, bytes]:
    """Everything below `folder`, but for the lock, which is always empty."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_without_a_file_the_state_is_new_and_reading_makes_nothing(tmp_path: Path) -> None:
    assert Store(tmp_path / ".twice").read() == EMPTY
    assert not list(tmp_path.iterdir())


def test_a_change_is_read_again_with_keys_that_nobody_knows(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / ".twice")
    with store.change() as state:
        entry(state, "fake/a")["proven"] = progress.now()
        state["later"] = {"ü": [1.5]}
    with store.change() as state:
        assert entry(state, "fake/a").keys() == {"proven"}
        entry(state, "fake/b").update(worst=float("inf"), mood="good")
    assert store.read() == {
        **state,
        "later": {"ü": [1.5]},
        "lessons": {"fake/a": state["lessons"]["fake/a"], "fake/b": {"worst": float("inf"), "mood": "good"}},
    }
    assert files(store.folder).keys() == {".gitignore", "lock", "progress.json", "progress.json.before"}
    assert (store.folder / ".gitignore").read_text() == "*\n"


def test_nothing_is_written_if_the_block_raises_or_changes_nothing(store: Store) -> None:
    before, number = files(store.folder), store.file.stat().st_ino
    with store.change() as state:
        entry(state, "fake/a")["proven"] = EARLY
    with pytest.raises(KeyError), store.change() as state:
        entry(state, "fake/a")["proven"] = LATE
        raise KeyError
    assert files(store.folder) == before
    assert store.file.stat().st_ino == number


@pytest.mark.parametrize(
    ("key", "value"),
    [("proven", "yesterday"), ("cases", "7"), ("worst", None), ("hints", []), ("breaks", [1]), ("code", Path("a"))],
)
def test_what_could_not_be_read_again_is_not_written(store: Store, key: str, value: object) -> None:
    before = files(store.folder)
    with pytest.raises(TypeError, match=f"{key} of fake/a"), store.change() as state:
        entry(state, "fake/a")[key] = value
    assert files(store.folder) == before


DAMAGED = [
    b"", b"{", b"\xff\xfe", b"[]", b"{}", b"[" * 100_000, b"\0" * 4096,
    b'{"version": true, "lessons": {}, "cards": {}}', b'{"version": 0, "lessons": {}, "cards": {}}',
    b'{"version": 1, "lessons": [], "cards": {}}', b'{"version": 1, "lessons": {}}',
    b'{"version": 1, "lessons": {"a/b": 1}, "cards": {}}', b'{"version": 1, "lessons": {}, "cards": {}, "goal": 3}',
    b'{"version": 1, "lessons": {"a/b": {"started": 2026}}, "cards": {}}',
]  # fmt: skip


@pytest.mark.parametrize("damaged", DAMAGED, ids=lambda data: repr(data[:50]))
@pytest.mark.parametrize("changes", [False, True])
def test_an_unreadable_file_is_set_aside_and_its_copy_used(
    store: Store, capsys: pytest.CaptureFixture[str], damaged: bytes, changes: bool
) -> None:
    good = store.read()
    store.file.write_bytes(damaged)
    if changes:
        with store.change() as state:
            assert state == good
            entry(state, "fake/b")["started"] = LATE
        good = state
    else:
        assert store.read() == good
    (aside,) = store.folder.glob("progress.json.unreadable-*")
    assert aside.read_bytes() == damaged
    said = capsys.readouterr().err
    assert said.startswith("twice: your progress could not be read (")
    assert said.count("\n") == 1
    assert f"kept as {aside}" in said
    assert store.read() == good
    assert capsys.readouterr().err == ""


def test_without_a_copy_it_begins_anew_and_says_so(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.file.write_bytes(b"one")
    store.copy.write_bytes(b"two")
    assert store.read() == EMPTY
    assert "it begins anew, and 'twice status --recheck' derives it from your code" in capsys.readouterr().err
    (aside,) = store.folder.glob("progress.json.unreadable-*")
    (copy,) = store.folder.glob("progress.json.before.unreadable-*")
    assert (aside.read_bytes(), copy.read_bytes()) == (b"one", b"two")
    assert store.read() == EMPTY
    assert capsys.readouterr().err == ""


def test_two_unreadable_files_of_one_second_are_both_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "stamp", lambda: "20260101T000000Z")
    for damaged in (b"one", b"two", b"three"):
        store.file.write_bytes(damaged)
        store.read()
    assert {path.read_bytes() for path in store.folder.glob("*.unreadable-*")} == {b"one", b"two", b"three"}


def test_a_file_of_a_newer_version_stays_as_it_is(store: Store) -> None:
    newer = b'{"version": 2, "lessons": "elsewhere"}'
    store.file.write_bytes(newer)
    before = files(store.folder)
    with pytest.raises(ProgressError, match=r"progress\.json: .* newer twice \(version 2, and this one knows 1\)"):
        store.read()
    with pytest.raises(ProgressError, match="newer"), store.change():
        pytest.fail("the block must not run")
    assert files(store.folder) == before


@pytest.mark.parametrize("call", [0, 1])
def test_a_full_disk_leaves_the_old_file_and_no_other(store: Store, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """The disk is full at the file, or at its copy."""
    before, real, calls = files(store.folder), os.fsync, iter(range(9))

    def full(handle: int) -> None:
        if next(calls) == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    says = rf"progress\.json.* could not be written: {os.strerror(errno.ENOSPC)}; what was there is still there"
    with pytest.raises(ProgressError, match=says), store.change() as state:
        entry(state, "fake/b")["started"] = LATE
    assert files(store.folder) == before


@posix
def test_a_limit_of_the_system_in_the_middle_of_a_write(store: Store) -> None:
    """The kernel takes the first kilobytes, then refuses: as a full disk or a quota does."""
    before = files(store.folder)
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    with Store(Path(sys.argv[1])).change() as state:
        state["long"] = "x" * 100_000
except ProgressError as error:
    print(error)
"""
    out, err = python(code, store.folder).communicate()
    assert "could not be written: File too large; what was there is still there" in out, err
    assert files(store.folder) == before


@posix
@pytest.mark.parametrize("damaged", [False, True])
def test_in_a_read_only_folder_progress_is_read_and_not_changed(store: Store, damaged: bool) -> None:
    if damaged:
        store.file.write_bytes(b"{")
    before = files(store.folder)
    store.folder.chmod(0o555)
    code = """
os.chdir(sys.argv[1])  # before it is given up: pytest's folders are closed to others
if os.geteuid() == 0:  # who may write everywhere
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
store = Store(Path("."))
print(*store.read()["lessons"])
try:
    with store.change() as state:
        entry(state, "fake/b")["started"] = now()
except ProgressError as error:
    print(error)
"""
    try:
        out, err = python(code, store.folder).communicate()
    finally:
        store.folder.chmod(0o755)
    read, sentence = out.splitlines()
    assert read == "fake/a"
    assert sentence.startswith(". cannot be written: Permission denied; mend that, or set TWICE_HOME")
    assert err.startswith("twice: progress.json cannot be read, and its copy is used (") if damaged else err == ""
    assert err.count("\n") == damaged
    assert files(store.folder) == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProgressError, match="cannot be written"), Store(tmp_path / "file" / ".twice").change():
        pytest.fail("the block must not run")


def test_what_a_killed_process_left_is_gone_after_the_next_change(store: Store) -> None:
    before = files(store.folder)
    for name in (".progress.json.new", ".progress.json.unreadable-20260101T000000Z.new"):
        (store.folder / name).write_text("half")
    store.read()
    assert files(store.folder) != before
    with store.change():
        pass
    assert files(store.folder) == before


def test_the_lock_of_a_killed_process_is_free(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(store.folder)
    monkeypatch.setattr(progress, "WAIT", 0.05)
    code = "with Store(Path(sys.argv[1])).change() as state:\n print('in', flush=True)\n time.sleep(60)"
    other = python(code, store.folder)
    assert other.stdout
    assert other.stdout.readline() == "in\n"
    says = "another twice is at work in .*: when it is done, try again"
    with pytest.raises(ProgressError, match=says), store.change():
        pytest.fail("the block must not run")
    assert store.read()["lessons"].keys() == {"fake/a"}
    other.kill()
    other.communicate()
    assert files(store.folder) == before
    monkeypatch.undo()
    with store.change() as state:
        entry(state, "fake/b")["started"] = LATE


def test_of_processes_that_change_at_once_no_change_is_lost(store: Store) -> None:
    code = """
sys.stdin.readline()
for i in range(25):
    with Store(Path(sys.argv[1])).change() as state:
        known = entry(state, "fake/a")
        known["cases"] = known.get("cases", 0) + 1
        entry(state, f"own/{sys.argv[2]}-{i}")["started"] = now()
"""
    others = [python(code, store.folder, i) for i in range(3)]
    for other in others:
        assert other.stdin
        other.stdin.write("go\n")
        other.stdin.flush()
    assert [other.communicate()[1] for other in others] == ["", "", ""]
    state = store.read()
    assert state["lessons"]["fake/a"] == {"proven": EARLY, "cases": 75}
    assert len(state["lessons"]) == 76


KILLER = """
import random, signal
store, moments = Store(Path(sys.argv[1])), random.Random(int(sys.argv[3]))
sure = half_done = 0
for kill in range(int(sys.argv[2])):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        while True:
            with store.change() as state:
                known = entry(state, "fake/a")
                known["cases"] = known.get("cases", 0) + 1
                state["ballast"] = "x" * 5000
            os.write(writing, b"%d\\n" % known["cases"])
    os.close(writing)
    said = os.read(reading, 9)  # it is writing now
    time.sleep(moments.uniform(0, 0.01))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        said = (said.decode() + pipe.read()).split()
    half_done += any(store.folder.glob(".*.new"))
    sure = int(said[-1])
    found = entry(parse(store.file.read_bytes()), "fake/a").get("cases", 0)  # raises if it is unreadable
    parse(store.copy.read_bytes())
    assert sure <= found <= sure + 1, f"kill {kill}: {sure} acknowledged, {found} found"
    sure = found
print(kill + 1, sure, half_done)
"""


@posix
def test_200_kills_during_continuous_writes_lose_nothing() -> None:
    """After each kill the file is whole, and every change that was acknowledged is in it."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # no waiting for a disk: more writes to fall into
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        store = Store(Path(folder) / ".twice")
        out, err = python(KILLER, store.folder, 200, 3).communicate()
        assert err == ""
        kills, changes, half_done = map(int, out.split())
        assert kills == 200
        assert changes >= 200
        assert half_done  # kills that fell into the writing itself
        with store.change() as state:
            assert state["lessons"]["fake/a"]["cases"] == changes
            entry(state, "fake/a")["cases"] = 0
        assert files(store.folder).keys() == {".gitignore", "lock", "progress.json", "progress.json.before"}


def test_of_two_states_the_later_counts_and_a_proof_stays() -> None:
    def state(card: dict[str, object], goal: str | None = None, **lessons: dict[str, object]) -> State:
        known = {f"fake/{name}": item for name, item in lessons.items()}
        return {"version": 1, "lessons": known, "cards": {"fake/a#q": card}} | ({"goal": goal} if goal else {})

    here = state(
        {"due": "2027-01-01", "last": EARLY, "gone": "2026-01-05"},
        a={"checked": EARLY, "proven": EARLY, "code": "first", "cases": 1, "skipped": EARLY, "mine": 1},
        b={"checked": LATE, "proven": EARLY, "code": "first"},
        c={"checked": "2026-03-03T00:00:00Z", "breaks": [{"seed": 1, "opened": EARLY}, {"seed": 2, "opened": EARLY}]},
        only_here={"started": EARLY},
        tie={"started": EARLY, "cases": 1},
    )
    there = state(
        {"due": "2026-03-03", "last": LATE},
        "fake/c",
        a={"checked": LATE, "cases": 2},
        b={"proven": "2026-01-03T00:00:00Z", "code": "second", "hints": {"f": 1}},
        c={"breaks": [{"seed": 2, "opened": EARLY, "mended": LATE}, {"seed": 3, "opened": LATE}]},
        only_there={"started": EARLY},
        tie={"started": EARLY, "cases": 2},
    )
    lessons = {
        "fake/a": {"checked": LATE, "proven": EARLY, "code": "first", "cases": 2, "skipped": EARLY, "mine": 1},
        "fake/b": {"checked": LATE, "proven": "2026-01-03T00:00:00Z", "code": "second", "hints": {"f": 1}},
        "fake/c": {
            "checked": "2026-03-03T00:00:00Z",
            "breaks": [
                {"seed": 1, "opened": EARLY},
                {"seed": 2, "opened": EARLY, "mended": LATE},
                {"seed": 3, "opened": LATE},
            ],
        },
        "fake/only_here": {"started": EARLY},
        "fake/only_there": {"started": EARLY},
    }
    for one, other, tie in ((here, there, 1), (there, here, 2)):
        both = merged(one, other)
        assert both == {
            "version": 1,
            "goal": "fake/c",
            "lessons": {**lessons, "fake/tie": {"started": EARLY, "cases": tie}},
            "cards": {"fake/a#q": {"due": "2026-03-03", "last": LATE}},
        }
        assert merged(both, one) == both
    assert merged({**EMPTY, "goal": "fake/a"}, there)["goal"] == "fake/a"


def test_where_the_learners_things_are(root: Path, add_lesson: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    lesson = add_lesson("90-fake/01-times-two")
    monkeypatch.setenv("TWICE_HOME", str(root / "else where"))
    assert home(root).state == root / "else where" / ".twice"
    for nowhere in ("", None):
        monkeypatch.setenv("TWICE_HOME", nowhere) if nowhere is not None else monkeypatch.delenv("TWICE_HOME")
        own = home(root)
        assert own.store.file == root / ".twice" / "progress.json"
        assert own.file(lesson) == root / "workspace" / "fake" / "times-two" / "build_it.py"
    assert not own.workspace.exists()
    assert own.make_folder(lesson) == own.file(lesson)
    assert own.file(lesson).parent.is_dir()
    assert (own.workspace / ".gitignore").read_text() == "*\n"


def test_a_backup_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.learn.home.stamp", lambda: "20260101T000000Z")
    for text in ("one", "two", "three"):
        (tmp_path / "build_it.py").write_text(text)
        assert backup(tmp_path / "build_it.py").read_text() == text
        assert not (tmp_path / "build_it.py").exists()
    assert {name: data.decode() for name, data in files(tmp_path / "backups").items()} == {
        "build_it.20260101T000000Z.py": "one",
        "build_it.20260101T000000Z-2.py": "two",
        "build_it.20260101T000000Z-3.py": "three",
    }


def test_what_was_done_under_a_former_name_counts_for_the_new_one(root: Path, add_lesson: Add) -> None:
    """Also if both names were used; what belongs to no lesson of today is kept."""
    own = home(root)
    with own.store.change() as state:
        state["goal"] = "old/twofold"
        state["lessons"] = {
            "old/twofold": {"proven": EARLY},
            "older/twofold": {"started": EARLY, "checked": EARLY},
            "fake/times-two": {"checked": LATE},
            "old/gone": {"proven": EARLY},
            "old/twofold-more": {"started": EARLY},
        }
        state["cards"] = {"old/twofold#q1": {"due": "2026-03-03"}, "old/gone#q1": {}, "old/twofold-more#q1": {}}
    as_written = own.store.file.read_bytes()
    head = 'title = "T"\nformerly = ["old/twofold", "older/twofold", "old/other"]\n'
    lesson = add_lesson("90-fake/01-times-two", lesson__toml=head)
    add_lesson("90-fake/02-other")

    carried = {
        "fake/times-two": {"started": EARLY, "checked": LATE, "proven": EARLY},
        "old/gone": {"proven": EARLY},
        "old/twofold-more": {"started": EARLY},
    }
    state = home(root).store.read()
    assert state["goal"] == lesson.name
    assert state["lessons"] == carried
    assert state["cards"].keys() == {"fake/times-two#q1", "old/gone#q1", "old/twofold-more#q1"}
    assert own.store.file.read_bytes() == as_written
    with own.store.change():
        pass
    assert parse(own.store.file.read_bytes()) == state


def test_the_workspace_of_a_former_name_moves_and_overwrites_nothing(root: Path, add_lesson: Add) -> None:
    own = home(root)
    for name in ("old/twofold", "older/twofold"):
        (own.workspace / name / "backups").mkdir(parents=True)
        (own.workspace / name / "build_it.py").write_text(name)
        (own.workspace / name / "backups" / "build_it.1.py").write_text(name)
    lesson = add_lesson("90-fake/01-times-two", lesson__toml='formerly = ["old/twofold", "older/twofold"]\n')
    for _ in range(2):
        assert own.file(lesson) == own.workspace / "fake" / "times-two" / "build_it.py"
        assert {name: data.decode() for name, data in files(own.workspace).items()} == {
            str(Path("fake/times-two/build_it.py")): "old/twofold",
            str(Path("fake/times-two/backups/build_it.1.py")): "old/twofold",
            str(Path("older/twofold/build_it.py")): "older/twofold",
            str(Path("older/twofold/backups/build_it.1.py")): "older/twofold",
        }


WATCH = """
import os, sys

WATCHED = tuple(os.path.join(os.environ["WATCHED"], name) for name in (".twice", "workspace"))


def watch(event, arguments):
    for given in arguments:
        if isinstance(given, (str, bytes, os.PathLike)) and os.path.abspath(os.fsdecode(given)).startswith(WATCHED):
            os.write(2, f"touched: {event} {given}".encode())
            os._exit(70)


sys.addaudithook(watch)
"""
USES_HOME = """
from shared.curriculum import ROOT, load
from shared.learn.home import home
from shared.learn.progress import entry


def test_home():
    own = home(ROOT)
    assert not own.store.read()["lessons"]
    with own.store.change() as state:
        entry(state, "fake/double")
    own.make_folder(load(ROOT).find("double")).write_text("mine")
    assert home(ROOT).store.read()["lessons"]
"""
COMMANDS = """
import sys
from shared.learn import cli
for words in ([], ["list"], ["show", "double"], ["path", "double"], ["status"], ["import", "from.zip"], ["export"]):
    sys.stderr.write(f"{words}\\n")
    cli.main(words)
"""


@pytest.fixture
def watched(root: Path, add_lesson: Add) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs Python in a copy of the house, and ends it with exit code 70 at a look into the learner's things there."""
    add_lesson("90-fake/01-double")
    shutil.copytree(HOUSE / "shared", root / "shared", ignore=shutil.ignore_patterns("node_modules", "tests", "data"))
    for name in ("phases/__init__.py", "pyproject.toml"):
        shutil.copy(HOUSE / name, root / name)
    (root / "shared" / "tests").mkdir()
    (root / "shared" / "tests" / "test_home.py").write_text(USES_HOME)
    own = Store(root / ".twice")
    with own.change() as state:
        entry(state, "fake/double")["proven"] = EARLY
    (root / "workspace" / "fake" / "double").mkdir(parents=True)
    (root / "workspace" / "fake" / "double" / "build_it.py").write_text("raise SystemExit")
    (root / "watch").mkdir()
    (root / "watch" / "sitecustomize.py").write_text(WATCH)
    before = {name: files(root / name) for name in (".twice", "workspace")}

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in ("TWICE_HOME", "TWICE_ROOT")}
        environment |= {"PYTHONPATH": str(root / "watch"), "WATCHED": str(root), **more}
        command = [sys.executable, *words]
        return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)

    yield run
    assert {name: files(root / name) for name in (".twice", "workspace")} == before


def test_tests_and_commands_leave_a_learners_things_alone(
    watched: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Also where a lesson is proven and begun; without TWICE_HOME the watch does see the commands look there."""
    tests = watched("-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp=tmp", "phases", "shared/tests")
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert "2 passed" in tests.stdout
    commands = watched("-c", COMMANDS, TWICE_HOME=str(tmp_path / "own"))
    assert commands.returncode == 0, commands.stderr
    assert "nothing to export" in commands.stderr
    seen = watched("-c", COMMANDS)
    assert seen.returncode == 70
    assert "touched: open" in seen.stderr
