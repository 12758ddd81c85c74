"""An artifact on disk: its place, its manifest, how two builds of it compare, and the index of all."""

import hashlib
import importlib
import json
import os
import struct
from pathlib import Path
from typing import Any

from shared.curriculum import Curriculum, Lesson
from shared.proof.equivalence import ATOL, RTOL, differences

KINDS = {
    "model": "models",
    "prompt": "prompts",
    "skill": "skills",
    "agent": "agents",
    "mcp-server": "mcp-servers",
    "tool": "tools",
}
MANIFEST = "manifest.json"


class ArtifactError(ValueError):
    """An artifact that is not what its manifest says, or that does not hold what its kind promises."""


def place(lesson: Lesson) -> Path:
    """Where the artifact of `lesson` belongs."""
    ships = lesson.meta["ships"]
    return lesson.root / "outputs" / KINDS[ships["kind"]] / str(ships["name"])


def build(lesson: Lesson, twin: str, folder: Path) -> dict[str, Any]:
    """Run the lesson's ``ship`` with `twin` (``"build_it"`` or ``"use_it"``) into the empty `folder`.

    Returns:
        The named results of the run; the manifest records them as measured.
    """
    ship = importlib.import_module(lesson.module("ship_it")).ship
    results: dict[str, Any] = ship(importlib.import_module(lesson.module(twin)), folder)
    write_manifest(lesson, folder, results)
    return results


def write_manifest(lesson: Lesson, folder: Path, results: dict[str, Any]) -> None:
    """List the files of `folder` with their checksums, how to use them, and what was measured."""
    ships = lesson.meta["ships"]
    manifest = {
        "name": ships["name"],
        "kind": ships["kind"],
        "title": ships["title"],
        "summary": ships["summary"],
        "use": ships["use"],
        "lesson": lesson.name,
        "licence": "MIT",
        "measured": results,
        "files": {name: _sha256(folder / name) for name in _files(folder)},
    }
    _write(folder / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished artifact.

    Raises:
        ArtifactError: where there is none, it cannot be read, or a file is missing, changed or not listed.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        listed: dict[str, str] = manifest["files"]
    except FileNotFoundError:
        raise ArtifactError(f"{folder} has no {MANIFEST}: it is no finished artifact") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{folder / MANIFEST} cannot be read: {error!r}") from None
    present = _files(folder)
    for name in sorted(set(listed) ^ set(present)):
        raise ArtifactError(f"{folder / name} is {'missing' if name in listed else 'not in the manifest'}")
    for name, sha256 in listed.items():
        if _sha256(folder / name) != sha256:
            raise ArtifactError(f"{folder / name} is not the file that the manifest lists: its sha256 differs")
    return manifest


def compare(one: Path, other: Path, rtol: float = RTOL, names: tuple[str, str] = ("build_it", "use_it")) -> str:
    """Where two builds of one artifact differ, or an empty string.

    Tensors and JSON are compared as numbers within `rtol`, all other files byte for byte.
    """
    if _files(one) != _files(other):
        return f"{names[0]} ships {_files(one)}, {names[1]} {_files(other)}"
    for name in [*_files(one), MANIFEST]:
        if name.endswith(".safetensors"):
            values = [read_safetensors(folder / name) for folder in (one, other)]
        elif name.endswith(".json"):
            values = [json.loads((folder / name).read_text(encoding="utf-8")) for folder in (one, other)]
            if name == MANIFEST:
                for manifest in values:
                    del manifest["files"]  # the checksums of files that may differ in their last bits
        elif (one / name).read_bytes() != (other / name).read_bytes():
            return f"{name}: the bytes differ"
        else:
            continue
        if difference := differences(values[0], values[1], rtol, ATOL, names=names):
            return f"{name}: {difference}"
    return ""


def index(curriculum: Curriculum) -> str:
    """The text of ``outputs/README.md``: every finished artifact by kind, and how to use it.

    Raises:
        ArtifactError: for an artifact that is damaged, or that no lesson ships.
    """
    outputs = curriculum.root / "outputs"
    lines = [
        "# What the lessons ship",
        "",
        "Each folder stands alone: copy it anywhere. `twice ship` rebuilds them.",
        "",
    ]
    for folder in KINDS.values():
        found = [
            (path.parent.name, read_manifest(path.parent))
            for path in sorted((outputs / folder).glob(f"[!.]*/{MANIFEST}"))
        ]
        if not found:
            continue
        lines += [
            f"## {folder}",
            "",
            "| artifact | what it does | how to use it | lesson |",
            "| --- | --- | --- | --- |",
        ]
        for name, manifest in found:
            lesson = curriculum.lessons.get(manifest["lesson"])
            if lesson is None or place(lesson) != outputs / folder / name:
                raise ArtifactError(f"{outputs / folder / name}: no lesson ships it any more, delete it")
            source = f"[{lesson.title}](../{lesson.folder.relative_to(lesson.root).as_posix()}/README.md)"
            use = manifest["use"].replace("|", "\\|")
            lines.append(f"| [{name}]({folder}/{name}) | {manifest['summary']} | `{use}` | {source} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def write_index(curriculum: Curriculum) -> None:
    """Write ``outputs/README.md`` anew."""
    _write(curriculum.root / "outputs" / "README.md", index(curriculum))


def read_safetensors(file: Path) -> dict[str, Any]:
    """The tensors of a safetensors file as ``{name: {"dtype", "shape", "data"}}``, data flat.

    Raises:
        ArtifactError: where the file is not one.
    """
    content = file.read_bytes()
    try:
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + length])
        header.pop("__metadata__", None)
        tensors = {}
        for name, entry in header.items():
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            letter = {"F64": "d", "F32": "f", "I64": "q", "I32": "i", "U8": "B"}[entry["dtype"]]
            count = (end - start) // struct.calcsize(f"<{letter}")
            data = list(struct.unpack(f"<{count}{letter}", content[start:end]))
            tensors[name] = {"dtype": entry["dtype"], "shape": entry["shape"], "data": data}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{file} is not a safetensors file: {error!r}") from None
    return tensors


def _files(folder: Path) -> list[str]:
    """The names of an artifact's files, without the manifest and what Python leaves behind."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST and "__pycache__" not in path.parts
    )


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _write(file: Path, text: str) -> None:
    """Write `text` so that the file is there whole or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
