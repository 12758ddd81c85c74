"""Score predictions in a CSV file: every loss that applies, what a constant guess would score, and the worst rows.

One file, no packages: any Python 3.11 or newer runs it. The first row of the CSV holds the column names; rows are
counted as a spreadsheet does, so the header is row 1. Logarithms are natural: losses are in nats.
"""

import argparse
import csv
import math
import statistics
import sys
from collections import Counter
from pathlib import Path

from phases.deep_learning_core.loss_functions.build_it import (
    cross_entropy,
    huber_loss,
    l1_loss,
    log_softmax,
    mse_loss,
    multi_margin_loss,
)

EXAMPLES = """examples:
  python score.py classification iris-logits.csv --target species
  python score.py classification valid.csv --target label --probabilities
  python score.py regression valid.csv --target price --prediction guess --delta 10

classification: every column but the target (or those named by --classes) holds the scores of the class that is its
name; one column alone holds the logit, or the probability, of class 1 against class 0.
Exit status: 0, or 2 where the file or the arguments cannot be used.
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="task", required=True)
    classify = commands.add_parser("classification", help="cross-entropy, multi-class hinge, Brier score, accuracy")
    classify.add_argument("--probabilities", action="store_true", help="the scores are probabilities, not logits")
    classify.add_argument("--classes", nargs="+", metavar="COLUMN", help="the columns with the scores")
    regress = commands.add_parser("regression", help="squared, absolute and Huber loss")
    regress.add_argument("--prediction", metavar="COLUMN", help="needed where there is more than one other column")
    regress.add_argument(
        "--delta", type=float, default=1.0, help="of the Huber loss, in units of the target (default 1)"
    )
    for command in (classify, regress):
        command.add_argument("file", type=Path, metavar="FILE.csv")
        command.add_argument("--target", required=True, metavar="COLUMN")
        command.add_argument("--worst", type=int, default=5, metavar="K", help="how many rows to show (default 5)")
    options = parser.parse_args(arguments)
    try:
        if options.worst < 1:
            raise ValueError(f"--worst must be at least 1, got {options.worst}")
        columns = read(options.file, options.target)
        lines = classification(columns, options) if options.task == "classification" else regression(columns, options)
    except (OSError, ValueError) as error:
        parser.exit(2, f"score.py: {error}\n")
    print("\n".join(lines))
    return 0


def read(file: Path, target: str) -> dict[str, list[str]]:
    """The columns of the file by name."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        header, *rows = list(csv.reader(lines, strict=True)) or [[]]
    if len(set(header)) != len(header):
        raise ValueError(f"{file}: two columns have one name: {header}")
    if target not in header:
        raise ValueError(f"{file} has no column {target!r}, but {header}")
    if not rows:
        raise ValueError(f"{file} has no rows below its header")
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells, and the header {len(header)}")
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


def numbers(columns: dict[str, list[str]], name: str) -> list[float]:
    """A column of finite numbers."""
    if name not in columns:
        raise ValueError(f"there is no column {name!r}, but {list(columns)}")
    values = []
    for number, cell in enumerate(columns[name], 2):
        try:
            values.append(float(cell))
        except ValueError:
            values.append(math.nan)
        if not math.isfinite(values[-1]):
            raise ValueError(f"row {number}, column {name!r}: {cell!r} is no finite number")
    return values


def regression(columns: dict[str, list[str]], options: argparse.Namespace) -> list[str]:
    others = [name for name in columns if name != options.target]
    if options.prediction is None and len(others) != 1:
        raise ValueError(f"say with --prediction which of {others} holds the predictions")
    y, guess = numbers(columns, options.target), numbers(columns, options.prediction or others[0])
    losses = {
        "squared error": (mse_loss, {}, statistics.fmean(y)),
        "absolute error": (l1_loss, {}, statistics.median(y)),
        f"Huber, delta {options.delta:g}": (huber_loss, {"delta": options.delta}, huber_center(y, options.delta)),
    }
    table = [("loss (mean)", "predictions", "best constant", "its loss", f"share of the worst {options.worst}")]
    for name, (loss, more, constant) in losses.items():
        each, _ = loss(guess, y, reduction="none", **more)
        idle, _ = loss([constant] * len(y), y, **more)
        shares = sorted(each, reverse=True)[: options.worst]
        table.append((name, show(statistics.fmean(each)), show(constant), show(idle), percent(sum(shares), sum(each))))
    each, _ = mse_loss(guess, y, reduction="none")
    worst = [("row", "target", "prediction", "error", "share of squared error")]
    for i in largest(each, options.worst):
        worst.append((str(i + 2), show(y[i]), show(guess[i]), show(guess[i] - y[i]), percent(each[i], sum(each))))
    better = statistics.fmean(each) < mse_loss([statistics.fmean(y)] * len(y), y)[0]
    verdict = "better than" if better else "NOT better than"
    said = f"By squared error the predictions are {verdict} the mean of the targets."
    return [f"{len(y)} rows", "", *aligned(table), "", said, "", *aligned(worst)]


def huber_center(y: list[float], delta: float) -> float:
    """The constant of least Huber loss: where the slopes of all rows sum to 0, by bisection."""
    low, high = min(y), max(y)
    for _ in range(100):
        middle = (low + high) / 2
        _, slopes = huber_loss([middle] * len(y), y, delta=delta, reduction="sum")
        low, high = (middle, high) if sum(slopes) < 0 else (low, middle)
    return (low + high) / 2


def classification(columns: dict[str, list[str]], options: argparse.Namespace) -> list[str]:
    names = options.classes or [name for name in columns if name != options.target]
    scores = [numbers(columns, name) for name in names]
    if options.probabilities:
        check_probabilities(names, scores)
    elif all(0 <= v <= 1 for column in scores for v in column) and (
        len(scores) == 1 or all(abs(sum(row) - 1) < 1e-3 for row in zip(*scores, strict=True))
    ):
        raise ValueError("these scores look like probabilities, not logits: add --probabilities")
    if len(names) == 1:  # class 1 against class 0
        [score] = scores
        scores = [[1 - p for p in score] if options.probabilities else [0.0] * len(score), score]
        names = ["0", "1"]
    labels = []
    for number, cell in enumerate(columns[options.target], 2):
        if cell not in names:
            raise ValueError(f"row {number}: the target {cell!r} is none of the classes {names}")
        labels.append(names.index(cell))
    rows = [list(row) for row in zip(*scores, strict=True)]
    n, n_classes = len(rows), len(names)

    if options.probabilities:
        p, each = rows, [-math.log(row[k]) if row[k] > 0 else math.inf for row, k in zip(rows, labels, strict=True)]
    else:
        p = [[math.exp(v) for v in row] for row in log_softmax(rows)]
        each, _ = cross_entropy(rows, labels, reduction="none")
    frequencies = [Counter(labels)[k] / n for k in range(n_classes)]
    entropy = -sum(f * math.log(f) for f in frequencies if f)
    table = [
        ("loss (mean)", "predictions", "uniform guess", "guessing label frequencies"),
        ("cross-entropy", show(statistics.fmean(each)), show(math.log(n_classes)), show(entropy)),
        (
            "Brier score",
            show(brier(p, labels)),
            show(brier([[1 / n_classes] * n_classes] * n, labels)),
            show(brier([frequencies] * n, labels)),
        ),
    ]
    if not options.probabilities:
        flat, _ = multi_margin_loss([[0.0] * n_classes], [0])
        table.append(("multi-class hinge", show(multi_margin_loss(rows, labels)[0]), show(flat), ""))
    predicted = [row.index(max(row)) for row in rows]
    right = sum(k == label for k, label in zip(predicted, labels, strict=True))
    table.append(("accuracy", percent(right, n), percent(1, n_classes), percent(max(frequencies), 1)))

    loss = statistics.fmean(each)
    if loss > math.log(n_classes):
        said = "WORSE than a uniform guess: sure of wrong answers. Check the order of the classes and the labels."
    elif loss >= entropy:
        said = "No better than guessing the frequencies of the labels: the inputs have taught it nothing yet."
    else:
        said = f"Better than guessing the label frequencies by {entropy - loss:.4g} nats a row."
    total = sum(each)
    if math.isinf(total):
        said += f" Rows that give their class a probability of 0, which costs infinity: {sum(map(math.isinf, each))}."
    worst = [("row", "target", "predicted", "p(target)", "cross-entropy", "share")]
    for i in largest(each, options.worst):
        k = labels[i]
        share = percent(each[i], total) if math.isfinite(total) else "-"
        worst.append((str(i + 2), names[k], names[predicted[i]], show(p[i][k]), show(each[i]), share))
    return [f"{n} rows, {n_classes} classes", "", *aligned(table), "", said, "", *aligned(worst)]


def check_probabilities(names: list[str], scores: list[list[float]]) -> None:
    for number, row in enumerate(zip(*scores, strict=True), 2):
        if not all(0 <= v <= 1 for v in row) or (len(names) > 1 and abs(sum(row) - 1) > 1e-3):
            raise ValueError(f"row {number}: {list(row)} are no probabilities (from 0 to 1, with the sum 1)")


def brier(p: list[list[float]], labels: list[int]) -> float:
    """The squared distance of p from the one-hot row of the label, averaged over rows."""
    rows = zip(p, labels, strict=True)
    return statistics.fmean(sum((v - (k == label)) ** 2 for k, v in enumerate(row)) for row, label in rows)


def largest(losses: list[float], k: int) -> list[int]:
    """The indices of the k largest losses; of equal ones the first row comes first."""
    return sorted(range(len(losses)), key=lambda i: -losses[i])[:k]


def show(value: float) -> str:
    return f"{value:.4g}"


def percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def aligned(table: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines, the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for first, *rest in table:
        cells = [first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return lines


if __name__ == "__main__":
    sys.exit(main())
