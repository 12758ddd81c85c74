"""`twice export` and `twice import`: from one home into another, and files that are no export."""

import io
import json
import random
import stat
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.curriculum import HOUSE, Lesson
from shared.learn import cli, transfer
from shared.learn.home import Home, home
from shared.learn.progress import State, entry

Add = Callable[..., Lesson]
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"
MANIFEST = {"kind": "twice export", "version": 1, "exported": EARLY}
STATE = {"version": 1, "lessons": {"fake/double": {"proven": LATE}}, "cards": {}}


class Learner:
    """Someone at a machine of their own, with the lessons below `root`."""

    def __init__(self, root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.folder, self.monkeypatch = root, folder, monkeypatch
        folder.mkdir()

    @property
    def home(self) -> Home:
        self.monkeypatch.setenv("TWICE_HOME", str(self.folder / "home"))
        return home(self.root)

    def twice(self, *words: object) -> int:
        self.home  # noqa: B018  # this learner's, from here on
        self.monkeypatch.chdir(self.folder)
        return cli.main(["--root", str(self.root), *map(str, words)])

    def knows(self, **times: str) -> None:
        with self.home.store.change() as state:
            for lesson, time in times.items():
                entry(state, f"fake/{lesson}")["proven"] = time

    def writes(self, name: str, text: str) -> Path:
        file = self.home.workspace / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def has(self) -> dict[str, bytes]:
        """All files of this learner, but for the lock, which is always empty."""
        paths = [path for path in self.folder.rglob("*") if path.is_file() and path.name != "lock"]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def ann(root: Path, add_lesson: Add, monkeypatch: pytest.MonkeyPatch) -> Learner:
    add_lesson("90-fake/01-double")
    add_lesson("90-fake/02-treble")
    return Learner(root, root / "ann", monkeypatch)


@pytest.fixture
def bob(ann: Learner) -> Learner:
    return Learner(ann.root, ann.root / "bob", ann.monkeypatch)


def packed(files: dict[str, bytes | str | State]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, json.dumps(data) if isinstance(data, dict) else data)
    return buffer.getvalue()


def whole(**more: bytes | str) -> dict[str, bytes | str | State]:
    return {"manifest.json": MANIFEST, "progress.json": STATE, **more}


def test_what_one_machine_exports_the_other_imports(
    ann: Learner, bob: Learner, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.learn.home.stamp", lambda: "20260303T000000Z")
    ann.knows(double=EARLY, treble=LATE)
    ann.writes("fake/double/build_it.py", "ann's ü\n")
    ann.writes("fake/double/backups/build_it.1.py", "ann's first\n")
    ann.writes("fake/treble/build_it.py", "both's\n")
    for hidden in ("fake/double/__pycache__/build_it.pyc", ".gitignore", "fake/.vscode/a.json"):
        ann.writes(hidden, "no")
    assert ann.twice("export", "a.zip") == 0
    size = f"{(ann.folder / 'a.zip').stat().st_size / 1000:.0f} kB"
    exported = f"a.zip: progress of 2 lessons, 3 files, {size}\nOn the other machine: twice import a.zip\n"
    assert capsys.readouterr().out == exported

    bob.knows(double=LATE, gone=EARLY)
    bob.writes("fake/double/build_it.py", "bob's\n")
    bob.writes("fake/treble/build_it.py", "both's\n")
    assert bob.twice("import", ann.folder / "a.zip") == 0
    said = capsys.readouterr().out
    for line in (
        "lessons  1 new, 0 brought up to date, 2 as they were",
        "files    1 new, 1 replaced, 1 equal",
        "kept     home/workspace/fake/double/backups/build_it.20260303T000000Z.py",
    ):
        assert f"  {line}\n" in said
    assert said.endswith("\nGo on with: twice\n")
    lessons = bob.home.store.read()["lessons"]
    assert {name: known["proven"] for name, known in lessons.items()} == {
        "fake/double": LATE,
        "fake/gone": EARLY,
        "fake/treble": LATE,
    }
    work = {name.removeprefix("home/workspace/"): data.decode() for name, data in bob.has().items() if "work" in name}
    assert work == {
        "fake/double/build_it.py": "ann's ü\n",
        "fake/double/backups/build_it.20260303T000000Z.py": "bob's\n",
        "fake/double/backups/build_it.1.py": "ann's first\n",
        "fake/treble/build_it.py": "both's\n",
    }

    before = bob.has()
    assert bob.twice("import", ann.folder / "a.zip") == 0
    assert "0 new, 0 brought up to date, 3 as they were" in capsys.readouterr().out
    assert bob.has() == before


def test_an_import_into_nothing(ann: Learner, bob: Learner, capsys: pytest.CaptureFixture[str]) -> None:
    """The file has the day in its name, if no other is given."""
    ann.knows(double=EARLY, elsewhere=EARLY)
    ann.writes("fake/double/build_it.py", "ann's\n")
    assert ann.twice("export") == 0
    (file,) = ann.folder.glob("twice-20??-??-??.zip")
    assert bob.twice("import", file) == 0
    assert "not here  fake/elsewhere (kept in case the lesson comes back)" in capsys.readouterr().out
    assert bob.home.store.read() == ann.home.store.read()
    assert (bob.home.workspace / ".gitignore").read_text() == "*\n"
    assert (bob.home.workspace / "fake" / "double" / "build_it.py").read_text() == "ann's\n"


def test_an_export_replaces_a_file_only_when_told(ann: Learner, capsys: pytest.CaptureFixture[str]) -> None:
    ann.knows(double=EARLY)
    (ann.folder / "a.zip").write_text("precious")
    assert ann.twice("export", "a.zip") == 2
    assert capsys.readouterr().err == "twice: a.zip exists; name another file, or replace it with --force\n"
    assert (ann.folder / "a.zip").read_text() == "precious"
    assert ann.twice("export", "a.zip", "--force") == 0
    assert zipfile.is_zipfile(ann.folder / "a.zip")


@pytest.mark.parametrize(
    ("file", "says"),
    [(".", "twice: . names no file"), ("no/a.zip", "twice: no/a.zip names no file in a folder that exists")],
)
def test_an_export_to_nowhere(ann: Learner, capsys: pytest.CaptureFixture[str], file: str, says: str) -> None:
    ann.knows(double=EARLY)
    assert ann.twice("export", file) == 2
    assert capsys.readouterr().err.startswith(says)


def test_nothing_to_export(ann: Learner, capsys: pytest.CaptureFixture[str]) -> None:
    assert ann.twice("export") == 2
    assert capsys.readouterr().err == "twice: there is nothing to export yet; 'twice' says how to begin\n"
    assert not ann.has()


def test_an_export_says_what_it_leaves_out(
    ann: Learner, bob: Learner, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an import would refuse is never exported."""
    monkeypatch.setattr(transfer, "_LARGEST_FILE", 1000)
    ann.writes("fake/double/large.csv", "x" * 1001)
    ann.writes("fake/double/just.csv", "x" * 1000)
    names = ["fake/double/aux.txt", "fake/double/ends."]
    for name in names if sys.platform != "win32" else []:
        ann.writes(name, "x")
    assert ann.twice("export", "a.zip") == 0
    out = capsys.readouterr().out
    assert f"left out: {ann.home.workspace / 'fake' / 'double' / 'large.csv'} (0.0 MB; a file may have 0)\n" in out
    assert out.count("its name is not one on every system") == (2 if sys.platform != "win32" else 0)
    assert bob.twice("import", ann.folder / "a.zip") == 0
    assert [path.name for path in bob.home.workspace.rglob("*.*") if path.is_file()] == [".gitignore", "just.csv"]


def test_a_workspace_too_large_to_export(
    ann: Learner, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann.writes("fake/double/a.py", "x" * 1000)
    monkeypatch.setattr(transfer, "_LARGEST_SUM", 1000)
    assert ann.twice("export", "a.zip") == 2
    assert "move what is no code out of" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(transfer, "_MOST_FILES", 2)
    assert ann.twice("export", "a.zip") == 2
    assert "the workspace holds 3 files, more than 2" in capsys.readouterr().err
    assert not list(ann.folder.glob("*.zip"))


def linked() -> bytes:
    entry = zipfile.ZipInfo("workspace/fake/double/build_it.py")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return _with(entry, b"/etc/passwd")


def encrypted() -> bytes:
    """The flag alone is enough to be refused."""
    data = bytearray(packed(whole(**{"workspace/a.py": "x"})))
    for start in (data.rindex(b"PK\1\2") + 8, data.rindex(b"PK\3\4") + 6):
        data[start] |= 1
    return bytes(data)


def twice_the_same() -> bytes:
    entry = zipfile.ZipInfo("workspace/a.py")
    with pytest.warns(UserWarning, match="Duplicate"):
        return _with(entry, b"x", **{"workspace/a.py": "y"})


def bomb() -> bytes:
    return packed(whole(**{"workspace/a.py": b"\0" * 2_000_000}))


def lying_bomb() -> bytes:
    """2 MB that say to be ten bytes."""
    data = bomb()
    size = (2_000_000).to_bytes(4, "little")
    assert data.count(size) == 2
    return data.replace(size, (10).to_bytes(4, "little"))


def _with(entry: zipfile.ZipInfo, data: bytes, **more: str) -> bytes:
    buffer = io.BytesIO(packed(whole(**more)))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(entry, data)
    return buffer.getvalue()


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


OUTSIDE = [
    "../x.py", "workspace/../x.py", "/x.py", "workspace/", "workspace//x.py", "workspace/./x.py", "C:/x.py", "x.py",
    "workspace/C:x.py", "workspace/a\\..\\..\\x.py", "workspace/.gitignore", "workspace/a/__pycache__/x.pyc",
    "workspace/nul.py", "workspace/a\n.py", "workspace/" + "a/" * 20 + "x.py", "workspace/" + "a" * 200, ".twice/lock",
]  # fmt: skip
FOREIGN: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is no whole zip file"),
    "text": (lambda: b"PK no", "is no whole zip file"),
    "half": (lambda: cut(packed(whole(**{"workspace/a.py": "x" * 99}))), "is no whole zip file"),
    "another zip": (lambda: packed({"a.txt": "x"}), "it has no manifest.json"),
    "no progress": (lambda: packed({"manifest.json": MANIFEST}), "it has no progress.json"),
    "manifest no JSON": (lambda: packed(whole() | {"manifest.json": "{"}), "is no whole zip file"),
    "manifest of others": (lambda: packed(whole() | {"manifest.json": {"version": 1}}), "its manifest says"),
    "manifest a list": (lambda: packed(whole() | {"manifest.json": "[1]"}), "its manifest says"),
    "newer export": (lambda: packed(whole() | {"manifest.json": MANIFEST | {"version": 2}}), "by a newer twice"),
    "newer progress": (lambda: packed(whole() | {"progress.json": STATE | {"version": 2}}), "by a newer twice"),
    "progress no JSON": (lambda: packed(whole() | {"progress.json": "{"}), "it is not JSON"),
    "progress too deep": (lambda: packed(whole() | {"progress.json": "[" * 100_000}), "it is not JSON"),
    "progress of another shape": (lambda: packed(whole() | {"progress.json": STATE | {"cards": 1}}), "its cards are"),
    "link": (linked, "is no ordinary file"),
    "encrypted": (encrypted, "is packed in another way"),
    "two of one name": (twice_the_same, "have one name"),
    "two of one name on a Mac": (
        lambda: packed(whole(**{"workspace/A.py": "x", "workspace/a.py": "y"})),
        "have one name",
    ),
    "a file that is a folder": (lambda: packed(whole(**{"workspace/a": "x", "workspace/a/b": "y"})), "have one name"),
    "bomb": (bomb, "more than 1"),
    "lying bomb": (lying_bomb, "is no whole zip file"),
    **{name: (lambda name=name: packed(whole(**{name: "x"})), "it holds") for name in OUTSIDE},  # type: ignore[misc]
}


@pytest.mark.parametrize(("data", "says"), FOREIGN.values(), ids=[repr(name[:40]) for name in FOREIGN])
def test_a_foreign_file_changes_nothing(
    bob: Learner,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    data: Callable[[], bytes],
    says: str,
) -> None:
    monkeypatch.setattr(transfer, "_LARGEST_SUM", 1_000_000)
    bob.knows(double=EARLY)
    bob.writes("fake/double/build_it.py", "bob's")
    (bob.folder / "a.zip").write_bytes(data())
    before = bob.has(), sorted(bob.root.iterdir())
    assert bob.twice("import", "a.zip") == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.startswith(("twice: a.zip ", "twice: the progress in a.zip "))
    assert err.endswith("nothing was changed\n")
    assert err.count("\n") == 1
    assert (bob.has(), sorted(bob.root.iterdir())) == before


def test_a_file_that_lies_about_its_size_is_not_unpacked(bob: Learner) -> None:
    (bob.folder / "a.zip").write_bytes(lying_bomb())
    tracemalloc.start()
    try:
        assert bob.twice("import", "a.zip") == 2
        assert tracemalloc.get_traced_memory()[1] < 1_500_000  # of the two million that it holds
    finally:
        tracemalloc.stop()


def test_no_file_to_import(bob: Learner, capsys: pytest.CaptureFixture[str]) -> None:
    assert bob.twice("import", "no.zip") == 2
    assert capsys.readouterr().err == "twice: there is no file no.zip\n"


def test_a_damaged_export_comes_in_whole_or_not_at_all(bob: Learner, capsys: pytest.CaptureFixture[str]) -> None:
    """One byte wrong, anywhere: refused in one sentence, or (a date, say) without effect on what comes in."""
    data = packed(whole(**{"workspace/fake/double/build_it.py": "x = 1\n" * 20}))
    draw, refused = random.Random(4), 0
    for place in draw.sample(range(len(data)), 60):
        wrong = bytearray(data)
        wrong[place] ^= 1 << draw.randrange(8)
        (bob.folder / "a.zip").write_bytes(wrong)
        code = bob.twice("import", "a.zip")
        err = capsys.readouterr().err
        if code == 2:
            assert err.startswith("twice: ")
            assert err.count("\n") == 1
            refused += 1
        else:
            assert (code, err) == (0, "")
            assert bob.home.store.read() == STATE
    assert refused > 20
    work = [path for path in bob.home.workspace.rglob("*.*") if path.suffix]
    assert [path.read_text() for path in work] == ["x = 1\n" * 20]


@pytest.mark.parametrize("way", ["file for a folder", "folder for a file", "link out"])
def test_what_is_in_the_way_here_is_not_touched(bob: Learner, capsys: pytest.CaptureFixture[str], way: str) -> None:
    outside = bob.root / "outside"
    outside.mkdir()
    if way == "file for a folder":
        bob.writes("fake", "mine")
    elif way == "folder for a file":
        bob.writes("fake/double/build_it.py/notes.txt", "mine")
    else:
        bob.home.workspace.mkdir(parents=True)
        try:
            (bob.home.workspace / "fake").symlink_to(outside, target_is_directory=True)
        except OSError:
            pytest.skip("links are not allowed here")
    (bob.folder / "a.zip").write_bytes(packed(whole(**{"workspace/fake/double/build_it.py": "x"})))
    before = bob.has()
    assert bob.twice("import", "a.zip") == 2
    assert "cannot come in: " in capsys.readouterr().err
    assert {name: data for name, data in bob.has().items() if ".twice" not in name} == before
    assert bob.home.store.read()["lessons"] == {}
    assert not list(outside.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_full_disk_leaves_what_was_there(bob: Learner) -> None:
    bob.knows(double=EARLY)
    bob.writes("fake/double/build_it.py", "bob's")
    files = {"workspace/fake/double/build_it.py": "short", "workspace/fake/double/long.py": "x" * 100_000}
    (bob.folder / "a.zip").write_bytes(packed(whole(**files)))
    before = bob.has()
    code = """
import resource, sys
from shared.learn import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
sys.exit(cli.main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", code, "--root", str(bob.root), "import", str(bob.folder / "a.zip")]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "long.py could not be written: File too large; what was there is still there" in done.stderr
    assert done.stderr.count("\n") == 1
    assert bob.has() == before


def test_an_export_from_before_a_lesson_was_renamed(
    ann: Learner, bob: Learner, add_lesson: Add, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its progress and its files come to the new name, like those that are here under the old one."""
    ann.knows(old=EARLY)
    ann.writes("fake/old/build_it.py", "ann's")
    assert ann.twice("export", "a.zip") == 0
    bob.writes("fake/old/build_it.py", "bob's")
    add_lesson("90-fake/03-new", lesson__toml='formerly = ["fake/old"]\n')
    assert bob.twice("import", ann.folder / "a.zip") == 0
    assert "not here" not in capsys.readouterr().out
    assert bob.home.store.read()["lessons"] == {"fake/new": {"proven": EARLY}}
    texts = {name.removeprefix("home/workspace/"): data for name, data in bob.has().items() if name.endswith(".py")}
    assert texts.pop("fake/new/build_it.py") == b"ann's"
    ((name, text),) = texts.items()
    assert name.startswith("fake/new/backups/build_it.20")
    assert text == b"bob's"
