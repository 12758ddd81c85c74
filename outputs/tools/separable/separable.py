#!/usr/bin/env python3
"""Does a line separate the two classes of a CSV file? Then a linear model can be right on every row.

A line, or with more than two features a plane. The search is the perceptron's. It ends with one of three answers:
yes, with the line, checked in exact arithmetic; no, with rows that prove it; or not found, which proves nothing,
with the least distance that such a line would have to leave. One file, no packages: any Python 3.11 or newer runs it.
The first row of the CSV holds the column names; rows are counted as a spreadsheet does, so the header is row 1.
"""

# Made from build_it.py and tool.py of the lesson deep-learning-core/the-perceptron of Twice (MIT).

import argparse
import csv
import io
import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any


Vector = list[float]
Matrix = list[list[float]]


@dataclass(frozen=True)
class Perceptron:
    """One unit: it says 1 where w · x + b > 0, and 0 elsewhere.

    Attributes:
        weights: w, one for each feature.
        bias: b.
    """

    weights: Vector
    bias: float


def _score(perceptron: Perceptron, x: Vector) -> float:
    """w · x + b, rounded after each term as scikit-learn does; sum() rounds otherwise from Python 3.12 on."""
    score = 0.0
    for w, value in zip(perceptron.weights, x, strict=True):
        score += w * value
    return score + perceptron.bias


def scores(perceptron: Perceptron, X: Matrix) -> Vector:
    """w · x + b for each row x of X: positive on one side of the line, negative on the other, 0 on it.

    The products are added from the first to the last, then the bias.

    Args:
        perceptron: with n_features weights.
        X: n_samples × n_features.

    Raises:
        ValueError: X is no matrix of n_features columns, a value is not finite, or there is no weight.
    """
    _check_rows(X, len(perceptron.weights))
    return [_score(perceptron, x) for x in X]


def predict(perceptron: Perceptron, X: Matrix) -> list[int]:
    """1 for each row of X whose score is above 0, otherwise 0; so a row on the line gets 0.

    Raises:
        ValueError: as `scores`.
    """
    return [int(score > 0) for score in scores(perceptron, X)]


def _learn(perceptron: Perceptron, x: Vector, label: int, learning_rate: float) -> Perceptron:
    """The rule without checks; the same object where x is no mistake."""
    t = 1 if label else -1
    if t * _score(perceptron, x) <= 0:
        step = learning_rate * t
        weights = [w + step * value for w, value in zip(perceptron.weights, x, strict=True)]
        return Perceptron(weights, perceptron.bias + step)
    return perceptron


def update(perceptron: Perceptron, x: Vector, label: int, *, learning_rate: float = 1.0) -> Perceptron:
    """The learning rule (error correction, Rosenblatt 1962), for one sample.

    With t = 1 for the label 1 and t = -1 for 0, the sample is a mistake where t (w · x + b) <= 0: on the wrong side,
    or on the line. Then w becomes w + η t x, and b becomes b + η t. Otherwise nothing changes.

    Args:
        perceptron: left as it is.
        x: n_features values.
        label: 0 or 1.
        learning_rate: η.

    Returns:
        A new perceptron after a mistake, otherwise an equal one.

    Raises:
        ValueError: x has not n_features finite values, the label is not 0 or 1, η is not finite and above 0, or the
            weights grow beyond what a float holds.
    """
    _check_rows([x], len(perceptron.weights))
    _check_labels([label], 1, 2)
    _check_learning_rate(learning_rate)
    return _in_range(_learn(perceptron, x, label, learning_rate))


def train_epoch(
    perceptron: Perceptron, X: Matrix, y: list[int], *, learning_rate: float = 1.0
) -> tuple[Perceptron, int]:
    """`update` with each row of X in turn.

    Args:
        perceptron: where the epoch starts; left as it is.
        X: n_samples × n_features.
        y: n_samples labels, each 0 or 1.
        learning_rate: η.

    Returns:
        The perceptron after the last row, and the number of mistakes on the way. One whose move rounding swallows is a
        mistake too.

    Raises:
        ValueError: as `update`, or X and y differ in length.
    """
    _check_rows(X, len(perceptron.weights))
    _check_labels(y, len(X), 2)
    _check_learning_rate(learning_rate)
    mistakes = 0
    for x, label in zip(X, y, strict=True):
        after = _learn(perceptron, x, label, learning_rate)
        mistakes += after is not perceptron
        perceptron = after
    return _in_range(perceptron), mistakes


def _in_range(perceptron: Perceptron) -> Perceptron:
    """The perceptron, if its numbers have not grown beyond what a float holds."""
    if not all(map(math.isfinite, [*perceptron.weights, perceptron.bias])):
        raise ValueError(f"weights and bias must stay finite, got {perceptron}: scale the features down")
    return perceptron


def _check_rows(X: Matrix, n_features: int) -> None:
    """A non-empty list of rows of `n_features` finite numbers, at least one."""
    if not X or not all(isinstance(row, list | tuple) for row in X):
        raise ValueError(f"X must be a non-empty list of rows, got {X!r}")
    if not n_features:
        raise ValueError(f"X must have at least one feature, got {n_features}")
    for i, row in enumerate(X):
        if len(row) != n_features:
            raise ValueError(f"row {i} of X must have {n_features} values, got {len(row)}")
        if not all(map(math.isfinite, row)):
            raise ValueError(f"row {i} of X must hold finite numbers, got {row}")


def _check_labels(y: list[int], n_samples: int, n_classes: int) -> None:
    """`n_samples` ints from 0 to n_classes - 1."""
    if len(y) != n_samples:
        raise ValueError(f"y must have {n_samples} labels, one for each row of X, got {len(y)}")
    for label in y:
        if not isinstance(label, int) or not 0 <= label < n_classes:
            raise ValueError(f"a label must be an int from 0 to {n_classes - 1}, got {label!r}")


def _check_learning_rate(learning_rate: float) -> None:
    """Finite and above 0."""
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate must be finite and above 0, got {learning_rate}")


MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "."}
EXAMPLES = """examples:
  python separable.py iris.csv --target species --positive setosa
  python separable.py iris.csv --target species --positive virginica --max-epochs 5000 --json
  cat measurements.csv | python separable.py - --target label --features width height

Exit status: 0 where a line was found, 1 where there is none or none was found, 2 where the file or the arguments
cannot be used. iris.csv: R. A. Fisher (1936), from the UCI repository, CC BY 4.0.
"""


@dataclass(frozen=True)
class Table:
    """The features exactly as written, for each sample its class as text, and the number of its row in the file."""

    names: list[str]
    rows: list[list[Fraction]]
    classes: list[str]
    row_numbers: list[int]
    dropped: list[int]


def number(text: str) -> Fraction:
    """The number in a cell; ValueError says what is there instead."""
    if not text:
        raise ValueError("the value is missing")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value) or "_" in text:  # Python reads 1_000; no other program does
        hint = f" (write {text.replace(',', '.')})" if re.fullmatch(r"[+-]?\d+,\d+", text) else ""
        raise ValueError(f"{text!r} is not a number{hint}")
    if not (value == 0 or 1e-100 <= abs(value) <= 1e100):
        raise ValueError(f"{text!r} is not 0, and its size is not between 1e-100 and 1e100")
    return Fraction(Decimal(text)) if value else Fraction(0)


def find_delimiter(header: str) -> str:
    """The delimiter that cuts the header into most columns; a comma where there is only one."""
    return max(",;\t|", key=lambda delimiter: len(next(csv.reader([header], delimiter=delimiter), [])))


def read_table(
    text: str, target: str, features: Sequence[str] | None, delimiter: str | None, drop_missing: bool
) -> Table:
    """The target's column as text and the features' (all others where `features` is None) as numbers."""
    delimiter = delimiter or find_delimiter(next(iter(text.splitlines()), ""))
    lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True))
    header = [name.strip() for name in lines[0]] if lines else []
    if not any(header):
        raise ValueError("row 1 is empty: it should hold the column names")
    names = [name for name in header if name != target] if features is None else list(features)
    for name in [target, *names]:
        if header.count(name) != 1:
            raise ValueError(f"{header.count(name)} columns are called {name!r}; row 1 names {header}")
        if [target, *names].count(name) > 1:
            raise ValueError(f"column {name!r} is used twice")
    if not names:
        raise ValueError(f"{target!r} is the only column: a line needs a feature (see --delimiter)")
    table = Table(names, [], [], [], [])
    for row_number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        if len(line) != len(header):
            raise ValueError(f"row {row_number} has {len(line)} values, and row 1 names {len(header)} columns")
        cells = {name: line[header.index(name)].strip() for name in [target, *names]}
        if drop_missing and any(cell.lower() in MISSING for cell in cells.values()):
            table.dropped.append(row_number)
            continue
        if not cells[target]:
            raise ValueError(f"row {row_number}, column {target!r}: the class is missing")
        row = []
        for name in names:
            try:
                row.append(number(cells[name]))
            except ValueError as error:
                raise ValueError(f"row {row_number}, column {name!r}: {error}") from None
        table.rows.append(row)
        table.classes.append(cells[target])
        table.row_numbers.append(row_number)
    return table


def positive_class(classes: list[str], wanted: str | None) -> str:
    """`wanted`, if it occurs beside others; else the later of exactly two, in the order of numbers or letters."""
    found = sorted(set(classes))
    if wanted is not None:
        if wanted not in found or len(found) == 1:
            raise ValueError(f"--positive is one of two classes or more, got {wanted!r} and the classes {found}")
        return wanted
    if len(found) != 2:
        raise ValueError(f"the target has {len(found)} classes, not 2: {found}; name one against the rest: --positive")
    try:
        return max(found, key=float)
    except ValueError:
        return found[1]


def standardized(X: list[list[float]]) -> tuple[list[list[float]], list[float], list[float]]:
    """Each column less its mean, divided by its standard deviation (or by 1 if it is constant); and those two."""
    means, deviations = [], []
    for column in zip(*X, strict=True):
        means.append(math.fsum(column) / len(column))
        spread = math.hypot(*(value - means[-1] for value in column)) / math.sqrt(len(column))
        deviations.append(spread if max(column) > min(column) else 1.0)
    scaled = [[(v - m) / s for v, m, s in zip(row, means, deviations, strict=True)] for row in X]
    return scaled, means, deviations


def exact_scores(line: Perceptron, rows: list[list[Fraction]]) -> Iterator[Fraction]:
    """w · x + b for each row, without any rounding."""
    weights, bias = [Fraction(w) for w in line.weights], Fraction(line.bias)
    for row in rows:
        yield sum((w * value for w, value in zip(weights, row, strict=True)), bias)


def separates(line: Perceptron, rows: list[list[Fraction]], y: list[int]) -> bool:
    """Whether every row is strictly on its side."""
    return all(score > 0 if label else score < 0 for score, label in zip(exact_scores(line, rows), y, strict=True))


def in_few_digits(
    scaled: Perceptron, means: list[float], deviations: list[float], rows: list[list[Fraction]], y: list[int]
) -> Perceptron | None:
    """The line for the features as they were, with as few digits as still separate the rows; None if none do."""
    weights = [w / s for w, s in zip(scaled.weights, deviations, strict=True)]
    bias = scaled.bias - math.fsum(w * m for w, m in zip(weights, means, strict=True))
    for digits in range(2, 18):
        *short, constant = (float(f"{value:.{digits}g}") for value in [*weights, bias])
        if separates(line := Perceptron(short, constant), rows, y):
            return line
    return None


@dataclass
class Search:
    """How far a search came."""

    line: Perceptron
    best: Perceptron
    right: int = -1  # rows that `best` has right
    epochs: int = 0
    mistakes: int = 0
    least_distance: float = math.inf  # a line that has every row right leaves some row at most so far away
    found: bool = False
    cycle: int = 0  # epochs that lead from `line` back to `line`


def search(X: list[list[float]], y: list[int], max_epochs: int) -> Search:
    """Epochs of the perceptron until one is clean, the weights come back to where they were, or it was enough."""
    line = Perceptron([0.0] * len(X[0]), 0.0)
    run = Search(line, line)
    farthest = max(math.hypot(*x) for x in X)
    remembered, since = line, 0
    for epoch in range(1, max_epochs + 1):
        run.epochs = epoch
        line, mistakes = train_epoch(line, X, y)
        run.mistakes += mistakes
        right = sum(int(p == label) for p, label in zip(predict(line, X), y, strict=True))
        if right > run.right:
            run.best, run.right = line, right
        if not mistakes:
            run.found = True
            break
        # After k mistakes, k γ <= |(w, b)| for the margin γ of any separating (u, c); and its rows keep the distance
        # γ |(u, c)| / |u|, where |c| / |u| is less than `farthest`, because there are rows on both sides.
        margin = math.hypot(*line.weights, line.bias) / run.mistakes
        run.least_distance = min(run.least_distance, margin * math.hypot(1, farthest))
        if line == remembered:
            run.cycle = epoch - since
            break
        if epoch & (epoch - 1) == 0:  # 1, 2, 4, 8 …: a cycle of any length is noticed sooner or later
            remembered, since = line, epoch
    run.line = line
    return run


def common_mixture(run: Search, X: list[list[float]], rows: list[list[Fraction]], y: list[int]) -> list[int] | None:
    """How often each row moved the weights on their way round; all moves together are zero, so no line exists.

    For t (w · x + b) > 0 in every row would make the sum positive. None if the moves sum to zero only with rounding.
    """
    counts, line = [0] * len(X), run.line
    for _ in range(run.cycle):
        for i, (x, label) in enumerate(zip(X, y, strict=True)):
            after = update(line, x, label)
            counts[i] += after != line
            line = after
    signed = [count if label else -count for count, label in zip(counts, y, strict=True)]
    columns = [[1] * len(rows), *zip(*rows, strict=True)]
    sums = [sum(count * value for count, value in zip(signed, column, strict=True)) for column in columns]
    return counts if run.cycle and not any(sums) else None


def contradiction(rows: list[list[Fraction]], y: list[int]) -> list[int] | None:
    """The simplest common mixture: a row of either class with the same features. None if there is no such pair."""
    first: dict[tuple[Fraction, ...], int] = {}
    for i, row in enumerate(rows):
        j = first.setdefault(tuple(row), i)
        if y[i] != y[j]:
            return [int(k in (i, j)) for k in range(len(rows))]
    return None


def examine(table: Table, positive: str, max_epochs: int) -> dict[str, Any]:
    """The whole result, as it is written with --json."""
    y = [int(name == positive) for name in table.classes]
    X, means, deviations = standardized([[float(value) for value in row] for row in table.rows])
    run = search(X, y, max_epochs)
    line = in_few_digits(run.line, means, deviations, table.rows, y) if run.found else None
    counts = None if line else contradiction(table.rows, y) or common_mixture(run, X, table.rows, y)
    result: dict[str, Any] = {
        "separable": True if line else False if counts else None,
        "positive": positive,
        "rows": len(X),
        "positive_rows": sum(y),
        "dropped_rows": table.dropped,
        "mistakes": run.mistakes,
        "epochs": run.epochs,
    }
    if line:
        result["weights"] = dict(zip(table.names, line.weights, strict=True))
        result["bias"] = line.bias
        length = math.hypot(*(w * s for w, s in zip(line.weights, deviations, strict=True)))  # in standardized columns
        distances = [abs(float(score)) / length for score in exact_scores(line, table.rows)]
        result["distance"] = min(distances)
        result["nearest_row"] = table.row_numbers[distances.index(min(distances))]
        return result
    if counts:
        moved = [(name, row, n) for name, row, n in zip(table.classes, table.row_numbers, counts, strict=True) if n]
        result["mixture"] = {str(row): n for name, row, n in moved if name == positive}
        result["same_mixture"] = {str(row): n for name, row, n in moved if name != positive}
    else:
        result["distance_at_most"] = run.least_distance
        result["why"] = "rounding" if run.found or run.cycle else "max_epochs"
    result["best_right"] = run.right
    return result


def as_text(result: dict[str, Any]) -> str:
    """The result for the eye."""
    positive, rows, epochs = result["positive"], result["rows"], result["epochs"]
    effort = f"after {result['mistakes']} mistakes in {epochs} pass{'es' if epochs > 1 else ''} over {rows} rows"
    dropped = result["dropped_rows"]
    lines = [f"dropped for a missing value: rows {', '.join(map(str, dropped))}"] if dropped else []
    if result["separable"]:
        terms = {**result["weights"], "(constant)": result["bias"]}
        width = max(len(f"{value:g}") for value in terms.values())
        return "\n".join(
            [
                *lines,
                f"separable: yes ({effort})",
                "",
                f"The class is {positive} where this sum is above 0, and in no other row:",
                *(f"  {value:{width}g}  {name}" for name, value in terms.items()),
                "",
                f"Nearest to the line is row {result['nearest_row']} (row 1 is the header): "
                f"{result['distance']:.2g} standard deviations.",
            ]
        )
    if result["separable"] is False:
        lines += [
            f"separable: no ({effort})",
            "",
            "The proof: these rows (row 1 is the header), each taken so many times, add up to the same in every "
            "column.",
            f"  {positive}: " + ", ".join(f"row {row} × {n}" for row, n in result["mixture"].items()),
            "  the rest: " + ", ".join(f"row {row} × {n}" for row, n in result["same_mixture"].items()),
        ]
    else:
        more = "more passes may find one: --max-epochs"
        rounding = "the numbers need more digits than a float has: subtract what they have in common"
        lines += [
            f"separable: not found ({effort})",
            "",
            f"This is no proof that there is no line ({more if result['why'] == 'max_epochs' else rounding}).",
            f"But any line would have a row within {result['distance_at_most']:.2g} standard deviations.",
        ]
    return "\n".join([*lines, f"The best line seen has {result['best_right']} of {rows} rows right."])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    sys.stdout.reconfigure(encoding="utf-8")  # × on a Windows console
    parser = argparse.ArgumentParser(
        prog="separable",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="a CSV file, or - to read from standard input")
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column that holds the class")
    parser.add_argument("--positive", metavar="CLASS", help="this class against the rest (needed for three or more)")
    parser.add_argument("--features", nargs="+", metavar="COLUMN", help="the columns to use (default: all others)")
    parser.add_argument(
        "--max-epochs", type=int, metavar="N", help="passes over the rows (default: 1000, fewer beyond 1000 rows)"
    )
    parser.add_argument("--delimiter", metavar="C", help="what separates values (default: found from row 1)")
    parser.add_argument("--drop-missing", action="store_true", help="leave out rows with a missing value")
    parser.add_argument("--json", action="store_true", help="write JSON with every digit")
    options = parser.parse_args(arguments)
    delimiter = {"\\t": "\t", "tab": "\t"}.get(options.delimiter, options.delimiter)
    try:
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
            raise ValueError(f"--delimiter is one character (or tab), not {options.delimiter!r}")
        if options.max_epochs is not None and options.max_epochs < 1:
            raise ValueError(f"--max-epochs is at least 1, not {options.max_epochs}")
        content = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
        table = read_table(
            content.decode("utf-8-sig"), options.target, options.features, delimiter, options.drop_missing
        )
        positive = positive_class(table.classes, options.positive)
        max_epochs = options.max_epochs or min(1000, max(20, 1_000_000 // len(table.rows)))
        result = examine(table, positive, max_epochs)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        print(f"separable: row {line} is not UTF-8 text: save the file as UTF-8", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"separable: {options.file}: {error.strerror}", file=sys.stderr)
        return 2
    except (ValueError, csv.Error) as error:
        print(f"separable: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result, indent=2, ensure_ascii=False) if options.json else as_text(result))
    return 0 if result["separable"] else 1


if __name__ == "__main__":
    sys.exit(main())
