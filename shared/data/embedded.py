"""The small data sets, which come with the repository: see README.md beside this file for what they hold."""

import csv
import difflib
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent

# Name -> sha256 of NAME.csv and the classes that the numbers 0, 1 … in its last column stand for.
TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "iris": (
        "17e9e19553ed7fa1ebb8b5b4d9d3536da813ebacaf446aff895742dff04087c3",
        ("setosa", "versicolor", "virginica"),
    ),
    "diabetes": ("3b271426c1bd56aebb217e16eb31a4b0f5a5669fe59258d6c6c65411a115cd22", ()),
    "wine": (
        "ae41f81fea67ab85baa77c4b36fdce778aca07dbc56e92c412d8f32f4432659d",
        ("class_0", "class_1", "class_2"),
    ),
    "breast-cancer": (
        "1f573a6153eb57b183b3bb3e49cc79e0f37e5e105d8337f9c7eb75b5fb04d347",
        ("malignant", "benign"),
    ),
    "digits": ("d7ff1341011182b7af3733b201a919cea2ffe00f25ff23ba48c5e791daffb498", tuple("0123456789")),
}
# Name -> sha256 of NAME.txt.
TEXTS = {
    "names": "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
    "shakespeare": "b4a657aedf64a7c4dbb5201c11d9c2443df0145061c8df8c386b30266dc1f389",
}


class WrongFileError(ValueError):
    """A data file that is damaged, incomplete or another than it should be; it is never used."""


@dataclass(frozen=True)
class Table:
    """Named columns of numbers; the last column is what one usually predicts.

    Every value is a float, except that a class is an int: the index of its name in `classes`, which is empty
    where the last column is a quantity.
    """

    columns: list[str]
    rows: list[list[float]]
    classes: tuple[str, ...] = ()

    def column(self, name: str) -> list[float]:
        """The values of one column, n_samples numbers."""
        i = self._index(name)
        return [row[i] for row in self.rows]

    def split(self, target: str | None = None) -> tuple[list[list[float]], list[float]]:
        """``X``, n_samples × n_features, and ``y``, n_samples: all columns but `target` (the last one), and it."""
        i = self._index(self.columns[-1] if target is None else target)
        return [row[:i] + row[i + 1 :] for row in self.rows], [row[i] for row in self.rows]

    def _index(self, name: str) -> int:
        if name not in self.columns:
            raise unknown("column", name, self.columns)
        return self.columns.index(name)


def load(name: str) -> Table:
    """The embedded table `name`: one of `TABLES`.

    Raises:
        ValueError: there is no such table.
        WrongFileError: its file was changed.
    """
    if name not in TABLES:
        raise unknown("table", name, TABLES)
    classes = TABLES[name][1]
    columns, *lines = csv.reader(io.StringIO(read(name).decode("ascii")))
    rows: list[list[float]] = [[float(word) for word in line] for line in lines]
    if classes:
        for row in rows:
            row[-1] = int(row[-1])
    return Table(columns, rows, classes)


def path(name: str) -> Path:
    """The file of the embedded set `name`, for a program that reads files itself."""
    if name in TABLES:
        return FOLDER / f"{name}.csv"
    if name in TEXTS:
        return FOLDER / f"{name}.txt"
    raise unknown("embedded set", name, [*TABLES, *TEXTS])


def unknown(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that does not exist, with the nearest that do (all of them, where none is near)."""
    known = list(known)
    near = difflib.get_close_matches(name, known) or known
    return ValueError(f"no {kind} is called {name!r}; did you mean {' or '.join(map(repr, near))}?")


def read(name: str) -> bytes:
    """The bytes of the embedded set `name`, if they are the published ones."""
    file, expected = path(name), TEXTS[name] if name in TEXTS else TABLES[name][0]
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise WrongFileError(f"{file} was changed: its sha256 is {found}, not {expected}; restore it with git")
    return content
