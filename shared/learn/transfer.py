"""`twice export` and `twice import`: progress and workspace as one zip file, and back in on another machine.

The zip holds ``manifest.json``, ``progress.json`` and ``workspace/...``. An import checks all of it before it changes
anything, since the file comes from outside.
"""

import argparse
import io
import json
import re
import stat
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Sized
from pathlib import Path, PurePosixPath
from typing import Any

from shared.curriculum import Curriculum
from shared.learn import screen
from shared.learn.home import Home, backup, home
from shared.learn.lessons import UsageError
from shared.learn.progress import ProgressError, State, make_private, merged, now, parse, write_files

_KIND, _VERSION = "twice export", 1
_MEGABYTE = 1_000_000
_LARGEST_FILE, _LARGEST_SUM, _MOST_FILES = 5 * _MEGABYTE, 50 * _MEGABYTE, 5000
# What is a name on every system: no dot first (hidden) or last, no sign that Windows forbids, none of its devices.
_PART = re.compile(
    r'(?!\.|(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$))[^\x00-\x1f<>:"/\\|?*]{1,100}(?<![. ])', re.IGNORECASE
)
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


def export(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Write progress and workspace into one file."""
    file: Path = options.file or Path(time.strftime("twice-%Y-%m-%d.zip"))
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise UsageError(f"{file} names no file in a folder that exists; try 'twice export {Path(file.name)}.zip'")
    if file.exists() and not options.force:
        raise UsageError(f"{file} exists; name another file, or replace it with --force")
    own = home(curriculum.root)
    state = own.store.read()
    files, left_out = _workspace(own)
    if not state["lessons"] and not files:
        raise UsageError("there is nothing to export yet; 'twice' says how to begin")
    texts = {
        "manifest.json": _json({"kind": _KIND, "version": _VERSION, "exported": now()}),
        "progress.json": _json(state),
        **files,
    }
    if problem := _too_much({name: len(data) for name, data in texts.items()}):
        raise UsageError(f"the workspace {problem}: move what is no code out of {screen.shown(own.workspace)}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in texts.items():
            archive.writestr(name, data)
    write_files({file: buffer.getvalue()})
    lessons, size = _count(state["lessons"], "lesson"), len(buffer.getvalue()) / 1000
    print(f"{file}: progress of {lessons}, {_count(files, 'file')}, {size:.0f} kB")
    for line in left_out:
        print(f"left out: {line}")
    print(f"On the other machine: twice import {file.name}")
    return 0


def _workspace(own: Home) -> tuple[dict[str, bytes], list[str]]:
    """The learner's files by their name in the zip, and those that are left out, with the reason."""
    files, left_out = {}, []
    for path in sorted(own.workspace.rglob("*")):
        inside = path.relative_to(own.workspace)
        if not path.is_file() or any(part.startswith(".") or part == "__pycache__" for part in inside.parts):
            continue
        name = f"workspace/{inside.as_posix()}"
        if not _is_name(name):
            left_out.append(f"{path} (its name is not one on every system)")
        elif (size := path.stat().st_size) > _LARGEST_FILE:
            left_out.append(f"{path} ({size / _MEGABYTE:.1f} MB; a file may have {_LARGEST_FILE / _MEGABYTE:.0f})")
        else:
            try:
                files[name] = path.read_bytes()
            except OSError as error:
                raise UsageError(f"{path} cannot be read ({error.strerror}), and nothing was exported") from None
    return files, left_out


def import_(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Merge what `twice export` wrote elsewhere into what is here."""
    exported, incoming, files = _checked(options.file)
    own = home(curriculum.root)
    own.store.carry(incoming)
    kept: list[Path] = []
    with own.store.change() as state:
        targets = _targets(own, curriculum, files)
        differ = {path: data for path, data in targets.items() if not path.exists() or path.read_bytes() != data}
        new = [path for path in differ if not path.exists()]
        if differ:
            make_private(own.workspace)
        for path in new:
            path.parent.mkdir(parents=True, exist_ok=True)
        write_files(differ, displace=lambda path: kept.append(backup(path)))
        both = merged(state, incoming)
        changes = {group: _changes(state[group], both[group]) for group in ("lessons", "cards")}
        state.update(both)
    print(f"{options.file}, exported {exported}:")
    rows = [(group, said) for group, said in changes.items() if both[group]]
    rows.append(("files", f"{len(new)} new, {len(differ) - len(new)} replaced, {len(targets) - len(differ)} equal"))
    rows += [("" if i else "kept", screen.shown(path)) for i, path in enumerate(kept)]
    if unknown := [name for name in incoming["lessons"] if name not in curriculum.lessons]:
        rows.append(("not here", f"{', '.join(unknown)} (kept in case the lesson comes back)"))
    print("\n".join(screen.facts(rows)))
    print("Go on with: twice")
    return 0


def _changes(before: dict[str, Any], after: dict[str, Any]) -> str:
    new = sum(name not in before for name in after)
    later = sum(name in before and before[name] != item for name, item in after.items())
    return f"{new} new, {later} brought up to date, {len(after) - new - later} as they were"


def _checked(file: Path) -> tuple[str, State, dict[str, bytes]]:
    """When `file` was exported, its progress, and its workspace files by their path below the workspace.

    Raises:
        UsageError: if `file` is not whole, or holds what no export does.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    try:
        with zipfile.ZipFile(file) as archive:
            if problem := _foreign(archive.infolist()):
                raise UsageError(f"{file} is no export of twice: {problem}; nothing was changed")
            texts = {entry.filename: _unpacked(archive, entry) for entry in archive.infolist()}
        manifest = json.loads(texts.pop("manifest.json"))
        if not isinstance(manifest, dict) or manifest.get("kind") != _KIND or type(manifest.get("version")) is not int:
            raise UsageError(f"{file} is no export of twice: its manifest says {manifest!r:.80}; nothing was changed")
        if manifest["version"] > _VERSION:
            raise UsageError(f"{file} was exported by a newer twice: update this one; nothing was changed")
        incoming = parse(texts.pop("progress.json"))
    except UsageError:
        raise
    except ProgressError as error:
        raise UsageError(f"the progress in {file} cannot be used: {error}; nothing was changed") from None
    except (*_BROKEN, RecursionError) as error:
        raise UsageError(f"{file} is no whole zip file ({error}); nothing was changed") from None
    return str(manifest.get("exported")), incoming, {name.partition("/")[2]: data for name, data in texts.items()}


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """No more than the entry says to hold: ``archive.read`` would first unpack whatever is there."""
    with archive.open(entry) as file:
        return file.read(entry.file_size)


def _foreign(entries: list[zipfile.ZipInfo]) -> str:
    """What no export holds: judged by names, kinds and sizes, before anything is unpacked."""
    names = {entry.filename for entry in entries}
    if missing := {"manifest.json", "progress.json"} - names:
        return f"it has no {min(missing)}"
    if problem := _too_much({entry.filename: entry.file_size for entry in entries}):
        return f"it {problem}"
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    alike = {unicodedata.normalize("NFC", name).casefold() for name in names}
    if len(alike) < len(entries) or names & folders:
        return "two of its files have one name"
    for entry in entries:
        name, mode = entry.filename, entry.external_attr >> 16
        if name not in ("manifest.json", "progress.json") and not _is_name(name):
            return f"it holds {name!r:.80}"
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or entry.is_dir():
            return f"{name} is no ordinary file"
        if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return f"{name} is packed in another way"
    return ""


def _is_name(name: str) -> bool:
    """Whether `name` is that of a workspace file: below that folder, and possible on every system."""
    first, *parts = name.split("/")
    return (
        first == "workspace"
        and 0 < len(parts) <= 10
        and all(map(_PART.fullmatch, parts))
        and "__pycache__" not in parts
    )


def _too_much(sizes: dict[str, int]) -> str:
    if len(sizes) > _MOST_FILES:
        return f"holds {len(sizes)} files, more than {_MOST_FILES}"
    if (total := sum(sizes.values())) > _LARGEST_SUM:
        return f"holds {total / _MEGABYTE:.1f} MB, more than {_LARGEST_SUM / _MEGABYTE:.0f}"
    return ""


def _targets(own: Home, curriculum: Curriculum, files: dict[str, bytes]) -> dict[Path, bytes]:
    """Where each file goes: what was begun under a former name of a lesson, here or there, to the present one."""
    for lesson in curriculum.former.values():
        own.file(lesson)
    targets = {}
    for name, data in files.items():
        lesson_name = "/".join(name.split("/")[:2])
        renamed = lesson_name not in curriculum.lessons and curriculum.former.get(lesson_name)
        present = renamed.name + name.removeprefix(lesson_name) if renamed else name
        path = own.workspace / (name if present in files else present)
        below = path.parents[: len(path.relative_to(own.workspace).parts)]
        if path.is_dir() or any(folder.exists() and not folder.is_dir() for folder in below):
            raise UsageError(f"{path} cannot come in: a file is in the way of a folder here, or the reverse; move it")
        if not path.resolve().is_relative_to(own.workspace.resolve()):
            raise UsageError(f"{path} cannot come in: a link leads out of your workspace there; move it")
        targets[path] = data
    return targets


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def _count(items: Sized, what: str) -> str:
    return f"{len(items)} {what}{'s' * (len(items) != 1)}"
