"""Data sets: MNIST and sets like it, the small digits that come along, toy sets in two dimensions, and CSV files."""

import csv
import gzip
import hashlib
import math
import os
import re
import struct
import sys
import urllib.request
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nn_toolkit.layers import Array, Shape
from nn_toolkit.tensors import write_whole

# The decompressed files of MNIST (LeCun, Cortes & Burges) and their sha256.
MNIST = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
SPLITS = {"train": "train", "test": "t10k"}
TOYS = ("moons", "circles", "spirals")
_WHOLE = re.compile(r"-?(0|[1-9]\d*)(\.0*)?")  # labels that are numbers, without leading zeros
TOY_SIZE, TOY_NOISE = 1000, 0.1


class DataMissingError(ValueError):
    """MNIST is not on this machine, and cannot be downloaded."""


@dataclass(frozen=True)
class Data:
    """Samples and what is to be said of them.

    Attributes:
        X: n_samples × the shape of one sample, as the file has it: pixels from 0 to 255, columns in their units.
        y: labels, places in `classes`; or the targets of a regression as float64, with no `classes`.
        name: what a message calls it.
    """

    X: Array
    y: Array
    classes: tuple[str, ...]
    name: str

    def __len__(self) -> int:
        return len(self.y)

    @property
    def shape(self) -> Shape:
        """Of one sample."""
        return self.X.shape[1:]

    def fingerprint(self) -> int:
        """A number that other samples or labels hardly have: to notice that a file is not what it was."""
        return zlib.crc32(np.ascontiguousarray(self.y), zlib.crc32(np.ascontiguousarray(self.X)))

    def take(self, chosen: Array) -> "Data":
        """Some of the samples."""
        return replace(self, X=self.X[chosen], y=self.y[chosen])


@dataclass(frozen=True)
class Scaling:
    """x ↦ (x - mean) / scale, the same in training and ever after: a checkpoint keeps it."""

    mean: Array
    scale: Array

    @classmethod
    def of(cls, data: Data) -> "Scaling":
        """Of images: to 0 … 1. Of columns: to mean 0 and standard deviation 1 (a constant one to 0)."""
        if len(data.shape) == 3:
            return cls(np.zeros(1), np.full(1, 16.0 if data.name == "digits" else 255.0))
        with np.errstate(over="ignore", invalid="ignore"):
            mean, scale = data.X.mean(0), data.X.std(0)
        if not np.isfinite([mean, scale]).all():
            raise ValueError(f"{data.name} has numbers too large to be squared")
        constant = scale <= 1e-12 * np.abs(mean)  # up to rounding
        return cls(mean, np.where(constant, 1.0, scale))

    def __call__(self, X: Array, dtype: Any) -> Array:
        if len(self.mean) == 1 and not self.mean[0]:  # pixels: without a large array of float64 on the way
            return np.divide(X, np.asarray(self.scale[0], dtype), dtype=dtype)
        if X.shape[1:] != self.mean.shape:
            raise ValueError(
                f"{_by(X.shape[1:])} values for each sample, and the network was trained on {len(self.mean)}"
            )
        return ((X - self.mean) / self.scale).astype(dtype)


def is_known(name: str) -> bool:
    """Whether a name is that of a data set, and not a path."""
    return name in ("mnist", "digits", *TOYS)


def load(name: str, split: str, regression: bool = False, classes: tuple[str, ...] | None = None) -> Data:
    """The data set of this name.

    Args:
        name: mnist, digits, moons, circles, spirals; a folder with four files in MNIST's format; or a CSV file, whose
            last column holds labels or targets.
        split: "train" or "test". A CSV file is the same for both.
        regression: whether a CSV file's last column holds numbers to be predicted.
        classes: those of a trained network; a CSV file's labels are to be among them.

    Raises:
        DataMissingError: MNIST is not here and cannot be downloaded.
        ValueError: there is no such set, or its content is wrong.
    """
    if regression and (is_known(name) or not Path(name).is_file()):
        raise ValueError(f"a regression is for the numbers in a CSV file, and {name} is none")
    if name == "mnist":
        return _images({file: _mnist(file) for file in _files(split)}, split, tuple("0123456789"), "mnist")
    if name == "digits":
        return _digits(split)
    if name in TOYS:
        return _toy(name, split)
    path = Path(name)
    if path.is_dir():
        return _images({file: _decompressed(path, file) for file in _files(split)}, split, None, name)
    if path.is_file():
        return _table(path, regression, classes)
    known = ", ".join(("mnist", "digits", *TOYS))
    raise ValueError(
        f"there is no data set {name!r}: name one of {known}, a CSV file, or a folder with MNIST's four files"
    )


def _files(split: str) -> list[str]:
    return [file for file in MNIST if file.startswith(SPLITS[split])]


def _mnist(file: str) -> bytes:
    """A file of MNIST, decompressed: from the folder TWICE_DATA, from the user's cache, or downloaded into it."""
    if folder := os.environ.get("TWICE_DATA"):
        for place in (Path(folder, "mnist"), Path(folder)):
            if (place / f"{file}.gz").exists() or (place / file).exists():
                return _right(_decompressed(place, file), file, str(place))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nn-toolkit" / "mnist"
    if (cache / f"{file}.gz").exists():
        return _right(_decompressed(cache, file), file, f"{cache} (delete it there, to download it again)")
    problems = []
    for mirror in MIRRORS:
        print(f"downloading {mirror}{file}.gz", file=sys.stderr)
        try:
            with urllib.request.urlopen(f"{mirror}{file}.gz", timeout=20) as response:
                compressed = response.read()
            content = _right(gzip.decompress(compressed), file, mirror)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            problems.append(f"{mirror}: {error}")
            continue
        write_whole(cache / f"{file}.gz", compressed)
        return content
    raise DataMissingError(
        f"MNIST is not on this machine and could not be downloaded ({'; '.join(problems)}): try again online, or "
        f"name in TWICE_DATA a folder that holds mnist/{file}.gz, or use --data digits"
    )


def _right(content: bytes, file: str, where: str) -> bytes:
    if hashlib.sha256(content).hexdigest() != MNIST[file]:
        raise ValueError(f"{file} from {where} is not MNIST's: its checksum differs")
    return content


def _decompressed(folder: Path, file: str) -> bytes:
    for path in (folder / f"{file}.gz", folder / file):
        if path.exists():
            try:
                content = path.read_bytes()
                return gzip.decompress(content) if path.suffix == ".gz" else content
            except (OSError, EOFError, zlib.error) as error:
                raise ValueError(f"{path} is damaged or incomplete: {error}") from None
    raise ValueError(f"{folder} has no {file}.gz")


def _images(files: dict[str, bytes], split: str, classes: tuple[str, ...] | None, name: str) -> Data:
    """Images and labels in the IDX format: a magic number, the size of each axis (4 bytes, big-endian), the bytes."""
    pixels, labels = files[f"{SPLITS[split]}-images-idx3-ubyte"], files[f"{SPLITS[split]}-labels-idx1-ubyte"]
    if pixels[:4] != b"\0\0\x08\x03" or labels[:4] != b"\0\0\x08\x01" or len(pixels) < 16 or len(labels) < 8:
        raise ValueError(f"{name}: the files are not in MNIST's format (IDX, unsigned bytes)")
    n_images, height, width = struct.unpack_from(">III", pixels, 4)
    (n_labels,) = struct.unpack_from(">I", labels, 4)
    right = len(pixels) == 16 + n_images * height * width and len(labels) == 8 + n_labels
    if not right or n_images != n_labels or not n_images * height * width:
        raise ValueError(
            f"{name}: {n_images} images of {height} × {width} are announced, and the files have other sizes"
        )
    y = np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)
    X = np.frombuffer(pixels, np.uint8, offset=16).reshape(n_images, 1, height, width)
    return Data(X, y, classes or tuple(str(k) for k in range(y.max() + 1)), name)


def _digits(split: str) -> Data:
    """The 8 × 8 digits of UCI: every fifth is for the test."""
    content = (Path(__file__).parent / "digits.csv.gz").read_bytes()
    rows = np.array([line.split(",") for line in gzip.decompress(content).decode().splitlines()[1:]], np.int64)
    chosen = (np.arange(len(rows)) % 5 == 0) == (split == "test")
    X = rows[chosen, :64].astype(np.uint8).reshape(-1, 1, 8, 8)
    return Data(X, rows[chosen, 64], tuple("0123456789"), "digits")


def _toy(name: str, split: str) -> Data:
    """Two classes in the plane, 1000 points with noise; the test's are other draws."""
    rng = np.random.default_rng([TOYS.index(name), list(SPLITS).index(split)])
    y = np.arange(TOY_SIZE) % 2
    t = rng.random(TOY_SIZE)
    sign = 1.0 - 2.0 * y
    if name == "moons":
        X = np.stack([sign * np.cos(math.pi * t) + y, sign * np.sin(math.pi * t) + 0.5 * y], 1)
    elif name == "circles":
        radius = np.where(y == 0, 1.0, 0.5)
        X = np.stack([radius * np.cos(2 * math.pi * t), radius * np.sin(2 * math.pi * t)], 1)
    else:
        angle = 3 * math.pi * np.sqrt(t)
        X = sign[:, None] * np.stack([angle * np.cos(angle), angle * np.sin(angle)], 1) / (3 * math.pi)
    noise = TOY_NOISE / 5 if name == "spirals" else TOY_NOISE
    return Data(X + rng.normal(0.0, noise, X.shape), y, ("0", "1"), name)


def read_rows(path: Path) -> tuple[list[str] | None, list[list[str]]]:
    """The header of a CSV file, if it has one, and its rows.

    A header is a first line without a number.

    Raises:
        ValueError: it cannot be read, is empty, has rows of different lengths, or a first line that may be a header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as a CSV file: {error}") from None
    header = rows.pop(0) if rows and not any(_is_number(cell) for cell in rows[0]) else None
    if not rows:
        raise ValueError(f"{path} has no rows of data")
    width = len(header or rows[0])
    for place, row in enumerate(rows, 1 + (header is not None)):
        if len(row) != width:
            raise ValueError(f"{path}: row {place} has {len(row)} cells, and the first has {width}")
    for place, cell in enumerate(rows[0] if header is None else []):
        if not _is_number(cell) and len(rows) > 1 and all(_is_number(row[place]) for row in rows[1:]):
            told = f"{cell!r} in row 1, column {place + 1}, stands above numbers"
            raise ValueError(f"{path}: {told}: mend it, or if row 1 is a header, name each column with a word")
    return header, rows


def numbers(path: Path, rows: list[list[str]], header: list[str] | None) -> Array:
    """The rows as numbers.

    Raises:
        ValueError: naming the cell that is none.
    """
    try:
        X = np.array(rows, np.float64)
    except ValueError:
        X = np.array([[float(cell) if _is_number(cell) else math.nan for cell in row] for row in rows])
    if not np.isfinite(X).all():
        row, column = np.argwhere(~np.isfinite(X))[0]
        place = header[column] if header else f"column {column + 1}"
        line = row + 1 + (header is not None)
        raise ValueError(f"{path}: {rows[row][column]!r} in row {line}, {place}, is no finite number")
    return X


def _table(path: Path, regression: bool, classes: tuple[str, ...] | None) -> Data:
    header, rows = read_rows(path)
    if len(rows[0]) < 2:
        raise ValueError(f"{path} has one column: a row is the features, then the label, with commas between them")
    X = numbers(path, [row[:-1] for row in rows], header)
    last = [row[-1].strip() for row in rows]
    if regression:
        y = numbers(path, [[cell] for cell in last], header[-1:] if header else None)[:, 0]
        return Data(X, y, (), path.name)
    if "" in last:
        raise ValueError(f"{path}: row {last.index('') + 1 + (header is not None)} has no label")
    if all(_WHOLE.fullmatch(label) for label in (*last, *(classes or ()))):
        last = [str(int(label.partition(".")[0])) for label in last]  # 1 and 1.0 are one class
    if classes is None:
        classes = tuple(sorted(set(last), key=_natural))
        if len(classes) > max(20, len(last) // 2):
            raise ValueError(f"{path}: {len(classes)} different labels in the last column: is it a --regression?")
    places = {label: place for place, label in enumerate(classes)}
    for row, label in enumerate(last, 1 + (header is not None)):
        if label not in places:
            raise ValueError(
                f"{path}: label {label!r} in row {row} is none of the network's classes, {', '.join(classes)}"
            )
    return Data(X, np.array([places[label] for label in last]), classes, path.name)


def _natural(label: str) -> tuple[bool, float, str]:
    return (False, float(label), "") if _is_number(label) else (True, 0.0, label)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _by(shape: Shape) -> str:
    return " × ".join(map(str, shape))
