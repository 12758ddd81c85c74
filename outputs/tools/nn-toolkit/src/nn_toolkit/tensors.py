"""Safetensors files: a header that says where each tensor lies, and their bytes. Nothing in one is ever executed.

The format: https://huggingface.co/docs/safetensors. Files written here carry a sha256 of the tensors' bytes among their
metadata, so that damage is noticed; those of other programs are read without it.
"""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nn_toolkit.layers import Array

_LETTERS = {"float64": "F64", "float32": "F32", "int64": "I64"}
_DTYPES = {letter: np.dtype(dtype).newbyteorder("<") for dtype, letter in _LETTERS.items()}


def write_tensors(file: Path, tensors: dict[str, Array]) -> None:
    """Write the file whole or not at all."""
    body = bytearray()
    header: dict[str, object] = {}
    for name, tensor in tensors.items():
        start = len(body)
        body += np.ascontiguousarray(tensor).astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes()
        offsets = [start, len(body)]
        header[name] = {"dtype": _LETTERS[tensor.dtype.name], "shape": list(tensor.shape), "data_offsets": offsets}
    header["__metadata__"] = {"sha256": hashlib.sha256(body).hexdigest()}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write_whole(file, len(text).to_bytes(8, "little") + text + bytes(body))


def read_tensors(file: Path) -> dict[str, Array]:
    """The tensors of a file by name.

    Raises:
        ValueError: there is no such file, it is no safetensors file, or it is damaged.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        body = content[8 + length :]
        metadata = dict(header.pop("__metadata__", {}))
        tensors = {}
        for name, entry in header.items():
            start, end = entry["data_offsets"]
            if not 0 <= start <= end <= len(body):
                raise ValueError(f"{name} lies outside the file")
            tensors[name] = np.frombuffer(body[start:end], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{file} is no safetensors file, or is cut short: {error}") from None
    if metadata.get("sha256", hashlib.sha256(body).hexdigest()) != hashlib.sha256(body).hexdigest():
        raise ValueError(f"{file} is damaged: its content does not have the checksum that it was written with")
    return tensors


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder for this process while it writes there. The system frees the lock of a process that ends.

    Raises:
        ValueError: another process has it, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("ab")
    except OSError as error:
        raise ValueError(f"{folder} cannot be written: {error.strerror}") from None
    with file:
        try:
            if sys.platform == "win32":
                import msvcrt  # noqa: PLC0415

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl  # noqa: PLC0415

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"{folder} is in use: another run writes there") from None
        yield


def write_whole(file: Path, content: bytes) -> None:
    """Write beside the file, sync, and rename: a process that is killed leaves the old file or the new one.

    Raises:
        ValueError: the file cannot be written; nothing of it is left.
    """
    beside = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise ValueError(f"{file} cannot be written: {error.strerror}") from None
