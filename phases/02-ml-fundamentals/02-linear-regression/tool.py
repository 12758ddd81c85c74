"""Least-squares linear regression of a CSV file: coefficients with their standard errors, and R².

One file, no packages: any Python 3.11 or newer runs it. The first row of the CSV holds the column
names; rows are counted as a spreadsheet does, so the header is row 1.
"""

import argparse
import csv
import io
import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phases.ml_fundamentals.linear_regression.build_it import (
    LARGEST,
    fit,
    r_squared,
    residuals,
    standard_errors,
)

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
