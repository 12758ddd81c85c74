#!/usr/bin/env python3
"""Least-squares linear regression of a CSV file: coefficients with their standard errors, and R².

One file, no packages: any Python 3.11 or newer runs it. The first row of the CSV holds the column
names; rows are counted as a spreadsheet does, so the header is row 1.
"""

# Made from build_it.py and tool.py of the lesson ml-fundamentals/linear-regression of Twice (MIT).

import argparse
import csv
import io
import json
import math
import operator
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


Vector = list[float]
Matrix = list[list[float]]
# What counts as nothing beside the whole: a pivot beside the largest entry of its matrix (among correlations, the
# share of a feature's variance that those before it leave unexplained), a feature's range beside its largest value.
TOLERANCE = 1e-12
# The largest size of a number that may come in, and the inverse of the smallest range of a feature: squares of
# both still fit into a float.
LARGEST = 1e150
COLLINEAR = "feature {} is collinear: a combination of the features before it"


@dataclass(frozen=True)
class LinearModel:
    """``intercept + coefficients[0] * x[0] + coefficients[1] * x[1] + …``, one coefficient for each feature."""

    intercept: float
    coefficients: Vector


def _eliminate(A: Sequence[Sequence[float]], b: Sequence[float], refusal: str) -> Vector:
    """`solve` without the check of its input; `refusal` is what to say of column ``{}`` where it has no pivot."""
    n = len(A)
    largest = max(abs(value) for row in A for value in row)
    rows = [[*A[i], b[i]] for i in range(n)]
    for k in range(n):
        pivot = max(range(k, n), key=lambda i: abs(rows[i][k]))
        if abs(rows[pivot][k]) <= TOLERANCE * largest:
            raise ValueError(refusal.format(k))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            for j in range(k, n + 1):
                rows[i][j] -= factor * rows[k][j]
    for k in reversed(range(n)):  # the last column turns into x, from the bottom up
        for j in range(k + 1, n):
            rows[k][n] -= rows[k][j] * rows[j][n]
        rows[k][n] /= rows[k][k]
    return [row[n] for row in rows]


def fit(X: Sequence[Sequence[float]], y: Sequence[float]) -> LinearModel:
    """The least-squares plane, by the normal equations ``Xᵀ X β = Xᵀ y`` of centred columns scaled to length 1.

    Args:
        X: n_samples × n_features.
        y: n_samples values of the target; a constant `y` is fine, and its coefficients are 0.

    Returns:
        A model with one coefficient for each feature, in the units that `X` and `y` came in.

    Raises:
        ValueError: `X` is empty, has no feature or ragged rows, or is not as long as `y`; a value is NaN or
            larger in size than `LARGEST`; there are fewer rows than unknowns (n_features + 1); a feature is
            constant (max - min is at most TOLERANCE * max(|values|) or at most 1 / LARGEST); a feature is
            collinear: elimination over the correlations of it and those before it finds no pivot above
            TOLERANCE. The message names what is at fault: the value (``X[2][1]``), the row (``X[2]``), the
            feature (``feature 1``, counted from 0), or the two numbers that do not fit.
    """
    _check_training(X, y)
    columns, means, lengths = _standardize(X)
    R = _products(columns)
    mean_y = _mean(y)
    centred_y = [value - mean_y for value in y]
    with_y = [_dot(column, centred_y) for column in columns]
    for n in range(1, len(R) + 1):  # one feature more each time, so that the first superfluous one is named
        scaled = _eliminate([row[:n] for row in R[:n]], with_y[:n], COLLINEAR)
    coefficients = [value / length for value, length in zip(scaled, lengths, strict=True)]
    return LinearModel(mean_y - _dot(coefficients, means), coefficients)


def predict(model: LinearModel, X: Sequence[Sequence[float]]) -> Vector:
    """What `model` says for each row of `X`.

    Args:
        model: with n_features coefficients.
        X: n_samples × n_features.

    Returns:
        n_samples predictions.

    Raises:
        ValueError: `X` is empty or ragged, or has not n_features columns (the message names both numbers); a value
            is NaN or larger in size than `LARGEST`.
    """
    _check_rows(X, "X")
    if len(X[0]) != len(model.coefficients):
        raise ValueError(f"X has {len(X[0])} columns: expected {len(model.coefficients)}, one a coefficient")
    return [model.intercept + _dot(row, model.coefficients) for row in X]


def residuals(model: LinearModel, X: Sequence[Sequence[float]], y: Sequence[float]) -> Vector:
    """What the model leaves unexplained: ``y[i] - prediction[i]``, so positive where the prediction is too low.

    Args:
        model: with n_features coefficients.
        X: n_samples × n_features.
        y: n_samples values of the target.

    Returns:
        n_samples residuals, in the unit of `y`.

    Raises:
        ValueError: as `predict` does, or `y` is not as long as `X` or holds a NaN or a number too large.
    """
    _check_data(X, y, "X", "y")
    return [actual - predicted for actual, predicted in zip(y, predict(model, X), strict=True)]


def r_squared(model: LinearModel, X: Sequence[Sequence[float]], y: Sequence[float]) -> float:
    """R², the share of the variance of `y` that the model explains: ``1 - Σ residual² / Σ (y - mean of y)²``.

    Args:
        model: with n_features coefficients; it may have been fitted to other data.
        X: n_samples × n_features.
        y: n_samples values of the target.

    Returns:
        1 for perfect predictions, 0 for those no better than the mean of `y`, negative for worse ones, and -inf
        for those so wrong that the square does not fit into a float.

    Raises:
        ValueError: as `residuals` does, or `y` is constant (max - min is at most TOLERANCE * max(|y|) or at most
            1 / LARGEST), so that there is no variance to explain.
    """
    errors = residuals(model, X, y)
    if _is_constant(y):
        raise ValueError(f"y is constant ({y[0]}): R² needs a variance to explain")
    mean_y = _mean(y)
    ratio = _length(errors) / _length([value - mean_y for value in y])
    return 1 - ratio * ratio


def standard_errors(X: Sequence[Sequence[float]], y: Sequence[float]) -> Vector:
    """How far each number of ``fit(X, y)`` would typically move if the noise in `y` were drawn again.

    The square roots of the diagonal of ``σ² (Xᵀ X)⁻¹``, where X has a first column of ones and σ², the variance of the
    noise, is estimated by ``Σ residual² / (n_samples - n_features - 1)``.

    Args:
        X: n_samples × n_features.
        y: n_samples values of the target.

    Returns:
        n_features + 1 numbers: the intercept's first, then each coefficient's.

    Raises:
        ValueError: as `fit` does, or there are not more rows than unknowns (n_features + 1), so that nothing is left
            to estimate the noise from.
    """
    model = fit(X, y)
    n, n_features = len(X), len(model.coefficients)
    if n <= n_features + 1:
        raise ValueError(f"X has {n} rows: the noise of {n_features + 1} unknowns needs {n_features + 2}")
    sigma = _length(residuals(model, X, y)) / math.sqrt(n - n_features - 1)
    columns, means, lengths = _standardize(X)
    R = _products(columns)
    away = [-mean / length for mean, length in zip(means, lengths, strict=True)]  # from the means to where X is 0
    of_intercept = sigma * math.sqrt(1 / n + _dot(away, _eliminate(R, away, COLLINEAR)))
    of_coefficients = []
    for j, length in enumerate(lengths):
        unit = [float(i == j) for i in range(n_features)]
        inflation = _eliminate(R, unit, COLLINEAR)[j]  # the j-th diagonal entry of R⁻¹
        of_coefficients.append(sigma * math.sqrt(inflation) / length)
    return [of_intercept, *of_coefficients]


def _columns(X: Sequence[Sequence[float]]) -> Matrix:
    return [[row[j] for row in X] for j in range(len(X[0]))]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(map(operator.mul, a, b))


def _length(values: Sequence[float]) -> float:
    return math.hypot(*values)


def _standardize(X: Sequence[Sequence[float]]) -> tuple[Matrix, Vector, Vector]:
    """The columns of `X`, each minus its mean and divided by its length; and those means and lengths."""
    columns, means, lengths = [], [], []
    for column in _columns(X):
        mean = _mean(column)
        centred = [value - mean for value in column]
        length = _length(centred)
        columns.append([value / length for value in centred])
        means.append(mean)
        lengths.append(length)
    return columns, means, lengths


def _products(columns: Matrix) -> Matrix:
    """The dot product of every pair of columns; for standardized ones these are their correlations."""
    return [[_dot(a, b) for b in columns] for a in columns]


def _check_training(X: Sequence[Sequence[float]], y: Sequence[float]) -> None:
    _check_data(X, y, "X", "y")
    unknowns = len(X[0]) + 1
    if len(X) < unknowns:
        raise ValueError(f"X has {len(X)} rows: {unknowns} unknowns need at least as many")
    for j, column in enumerate(_columns(X)):
        if _is_constant(column):
            raise ValueError(f"feature {j} is constant ({column[0]}): no slope can be told from it")


def _is_constant(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= max(TOLERANCE * max(map(abs, values)), 1 / LARGEST)


def _check_data(X: Sequence[Sequence[float]], y: Sequence[float], name: str, name_y: str) -> None:
    _check_rows(X, name)
    if len(X) != len(y):
        raise ValueError(f"{name} has {len(X)} rows and {name_y} {len(y)} values: expected as many")
    _check_numbers(y, name_y)


def _check_rows(X: Sequence[Sequence[float]], name: str) -> None:
    if not X or not X[0]:
        raise ValueError(f"{name} is empty: expected at least one row with at least one number")
    for i, row in enumerate(X):
        if len(row) != len(X[0]):
            raise ValueError(f"{name}[{i}] has {len(row)} values: expected {len(X[0])}, as in the first row")
        _check_numbers(row, f"{name}[{i}]")


def _check_numbers(values: Sequence[float], name: str) -> None:
    for i, value in enumerate(values):
        if not abs(value) <= LARGEST:  # also true of NaN
            raise ValueError(f"{name}[{i}] is {value}: expected a finite number of size {LARGEST:g} at most")


MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "."}
EXAMPLES = """examples:
  python regress.py longley.csv --target employed
  python regress.py longley.csv --target employed --features gnp year --json
  gunzip -c sales.csv.gz | python regress.py - --target price --delimiter ';'

A coefficient says by how much the prediction changes when its column grows by 1 and the others stay;
t is the coefficient divided by its standard error. Exit status: 0, or 2 where the file or the
arguments cannot be used.
"""


@dataclass(frozen=True)
class Table:
    """Columns by name, and for each sample the number of its row in the file."""

    columns: dict[str, list[float]]
    row_numbers: list[int]
    dropped: list[int]


def number(text: str) -> float:
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
    if abs(value) > LARGEST:
        raise ValueError(f"{text!r} is larger than {LARGEST:g}")
    return value


def find_delimiter(header: str) -> str:
    """The delimiter that cuts the header into most columns; a comma where there is only one."""
    return max(",;\t|", key=lambda delimiter: len(next(csv.reader([header], delimiter=delimiter), [])))


def read_table(
    text: str, target: str, features: Sequence[str] | None, delimiter: str | None, drop_missing: bool
) -> Table:
    """The target's column and the features' (all others where `features` is None), as numbers."""
    delimiter = delimiter or find_delimiter(next(iter(text.splitlines()), ""))
    lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True))
    header = [name.strip() for name in lines[0]] if lines else []
    if not any(header):
        raise ValueError("row 1 is empty: it should hold the column names")
    if all(re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", name, re.IGNORECASE) for name in header):
        raise ValueError(f"row 1 holds numbers ({header[0]} …): it should hold the column names")
    wanted = [target, *([name for name in header if name != target] if features is None else features)]
    for name in wanted:
        if not name:
            raise ValueError(f"column {header.index(name) + 1} has no name: give it one, or use --features")
        if header.count(name) == 0:
            raise ValueError(f"there is no column {name!r}; row 1 names {', '.join(map(repr, header))}")
        if header.count(name) > 1:
            raise ValueError(f"{header.count(name)} columns are called {name!r}: rename one")
        if wanted.count(name) > 1:
            raise ValueError(f"column {name!r} is used twice")
    if len(wanted) == 1:
        raise ValueError(f"{target!r} is the only column: a regression needs a feature (see --delimiter)")
    table = Table({name: [] for name in wanted}, [], [])
    for row_number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        if len(line) != len(header):
            raise ValueError(f"row {row_number} has {len(line)} values, and row 1 names {len(header)} columns")
        cells = {name: line[header.index(name)].strip() for name in wanted}
        if drop_missing and any(cell.lower() in MISSING for cell in cells.values()):
            table.dropped.append(row_number)
            continue
        table.row_numbers.append(row_number)
        for name, cell in cells.items():
            try:
                table.columns[name].append(number(cell))
            except ValueError as error:
                raise ValueError(f"row {row_number}, column {name!r}: {error}") from None
    return table


def regress(table: Table) -> dict[str, Any]:
    """The whole result, as it is written with --json. The first column of `table` is the target."""
    (target, y), *features = table.columns.items()
    names = [name for name, _ in features]
    X = [list(row) for row in zip(*(column for _, column in features), strict=True)]
    try:
        if not y:
            raise ValueError("there is no row of data")
        model, errors = fit(X, y), standard_errors(X, y)
        explained = r_squared(model, X, y)
    except ValueError as error:  # it knows features by number
        message = re.sub(r"\bfeature (\d+)", lambda found: f"column {names[int(found[1])]!r}", str(error))
        message = re.sub(r"\by is", lambda _: f"column {target!r} is", message)
        raise ValueError(message.replace("X has", "the data have")) from None
    degrees_of_freedom = len(X) - len(names) - 1
    estimates = [
        {"estimate": value, "standard_error": error, "t": value / error if error else None}
        for value, error in zip([model.intercept, *model.coefficients], errors, strict=True)
    ]
    return {
        "target": target,
        "rows": len(X),
        "dropped_rows": table.dropped,
        "intercept": estimates[0],
        "coefficients": dict(zip(names, estimates[1:], strict=True)),
        "r_squared": explained,
        "residual_standard_deviation": math.hypot(*residuals(model, X, y)) / math.sqrt(degrees_of_freedom),
        "degrees_of_freedom": degrees_of_freedom,
    }


def as_text(result: dict[str, Any]) -> str:
    """The result as a table for the eye."""
    rows = {"intercept": result["intercept"], **result["coefficients"]}
    width = max(map(len, rows))
    lines = [f"{'':{width}}  {'coefficient':>14}  {'standard error':>14}  {'t':>8}"]
    for name, row in rows.items():
        t = "-" if row["t"] is None else f"{row['t']:.2f}"
        lines.append(f"{name:{width}}  {row['estimate']:14.7g}  {row['standard_error']:14.7g}  {t:>8}")
    dropped = result["dropped_rows"]
    lines += [
        "",
        f"target                       {result['target']}",
        f"rows                         {result['rows']}"
        + (f" (dropped for a missing value: rows {', '.join(map(str, dropped))})" if dropped else ""),
        f"R²                           {result['r_squared']:.6f}",
        f"residual standard deviation  {result['residual_standard_deviation']:.7g}"
        f" ({result['degrees_of_freedom']} degrees of freedom)",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    sys.stdout.reconfigure(encoding="utf-8")  # R² on a Windows console
    parser = argparse.ArgumentParser(
        prog="regress",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="a CSV file, or - to read from standard input")
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column to explain")
    parser.add_argument(
        "--features", nargs="+", metavar="COLUMN", help="the columns to explain it by (default: all others)"
    )
    parser.add_argument("--delimiter", metavar="C", help="what separates values (default: found from row 1)")
    parser.add_argument("--drop-missing", action="store_true", help="leave out rows with a missing value")
    parser.add_argument("--json", action="store_true", help="write JSON with every digit")
    options = parser.parse_args(arguments)
    delimiter = {"\\t": "\t", "tab": "\t"}.get(options.delimiter, options.delimiter)
    try:
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
            raise ValueError(f"--delimiter is one character (or tab), not {options.delimiter!r}")
        content = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
        text = content.decode("utf-8-sig")
        result = regress(read_table(text, options.target, options.features, delimiter, options.drop_missing))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        print(f"regress: row {line} is not UTF-8 text: save the file as UTF-8", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"regress: {options.file}: {error.strerror}", file=sys.stderr)
        return 2
    except (ValueError, csv.Error) as error:
        print(f"regress: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result, indent=2, ensure_ascii=False) if options.json else as_text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
