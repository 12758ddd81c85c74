#!/usr/bin/env python3
"""Score predictions in a CSV file: every loss that applies, what a constant guess would score, and the worst rows.

One file, no packages: any Python 3.11 or newer runs it. The first row of the CSV holds the column names; rows are
counted as a spreadsheet does, so the header is row 1. Logarithms are natural: losses are in nats.
"""

# Made from build_it.py and score.py of the lesson deep-learning-core/loss-functions of Twice (MIT).

import argparse
import csv
import math
import statistics
import sys
from collections import Counter
from operator import mul
from pathlib import Path


Vector = list[float]
Matrix = list[list[float]]


def reduce_losses(
    losses: Vector, reduction: str = "mean", upstream: float | Vector = 1.0, *, divisor: float | None = None
) -> tuple[float | Vector, Vector]:
    """One loss out of the losses of n samples, and what it hands back to each of them.

    Args:
        losses: one for each sample, n numbers.
        reduction: "none" keeps them, "sum" adds them up, "mean" divides the sum by `divisor`.
        upstream: dJ/d(result), where J is what you differentiate in the end: a number, or, with "none", a number for
            all losses or one for each. 1.0 asks for the gradient of the result itself.
        divisor: what "mean" divides by; n where it is None.

    Returns:
        The result, and dJ/d(losses[i]) for each i: what the slope of loss i is to be multiplied by.

    Raises:
        ValueError: `losses` is no non-empty list of numbers, `reduction` is unknown, `upstream` is neither a finite
            number nor, with "none", n of them, or "mean" is to divide by something that is not positive and finite.
    """
    if not losses or not all(isinstance(loss, int | float) for loss in losses):
        raise ValueError(f"losses must be a non-empty list of numbers, got {losses!r}")
    _check_reduction(reduction)
    _check_upstream(upstream, losses, reduction)
    if reduction == "none":
        return losses, upstream if isinstance(upstream, list) else [upstream] * len(losses)
    if reduction == "sum":
        return sum(losses), [upstream] * len(losses)
    n = len(losses) if divisor is None else divisor
    _check_positive("divisor", n)
    return sum(losses) / n, [upstream / n] * len(losses)


def _chain(
    losses: Vector, slopes: list, reduction: str, upstream: float | Vector, divisor: float | None = None
) -> tuple[float | Vector, list]:
    """The reduced loss, and each slope (a number, or a row of numbers) times what its loss is handed back."""
    loss, scales = reduce_losses(losses, reduction, upstream, divisor=divisor)
    return loss, [
        [scale * s for s in slope] if isinstance(slope, list) else scale * slope
        for scale, slope in zip(scales, slopes, strict=True)
    ]


def mse_loss(
    predictions: Vector, targets: Vector, *, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Vector]:
    """Squared error e² with e = prediction - target; slope 2e. A square too large for a float is inf, as in torch.

    Args:
        predictions: n numbers.
        targets: n numbers.
        reduction: as in `reduce_losses`.
        upstream: as in `reduce_losses`.

    Returns:
        The loss (n losses with "none"), and dJ/d(predictions), n numbers.

    Raises:
        ValueError: predictions and targets are not two non-empty lists of as many finite numbers, or as
            `reduce_losses`.
    """
    errors = _errors(predictions, targets)
    losses = [e * e for e in errors]
    slopes = [2 * e for e in errors]
    return _chain(losses, slopes, reduction, upstream)


def l1_loss(
    predictions: Vector, targets: Vector, *, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Vector]:
    """Absolute error |e| with e = prediction - target; slope -1, 0 or 1, the sign of e (0 at the kink, as in torch).

    Arguments, returns and errors as `mse_loss`.
    """
    errors = _errors(predictions, targets)
    losses = [abs(e) for e in errors]
    slopes = [(e > 0) - (e < 0) for e in errors]
    return _chain(losses, slopes, reduction, upstream)


def huber_loss(
    predictions: Vector,
    targets: Vector,
    *,
    delta: float = 1.0,
    reduction: str = "mean",
    upstream: float | Vector = 1.0,
) -> tuple[float | Vector, Vector]:
    """½e² where |e| ≤ δ, δ(|e| - ½δ) beyond; slope e, cut off at ±δ (Huber 1964).

    Args:
        predictions: n numbers.
        targets: n numbers.
        delta: δ > 0, in the units of the targets: up to which error the loss is quadratic.
        reduction: as in `reduce_losses`.
        upstream: as in `reduce_losses`.

    Returns:
        As `mse_loss`.

    Raises:
        ValueError: `delta` is not positive and finite, or as `mse_loss`.
    """
    _check_positive("delta", delta)
    errors = _errors(predictions, targets)
    losses = [e * e / 2 if abs(e) <= delta else delta * (abs(e) - delta / 2) for e in errors]
    slopes = [max(-delta, min(e, delta)) for e in errors]
    return _chain(losses, slopes, reduction, upstream)


def log_sum_exp(values: Vector) -> float:
    """log Σ eᵛ, with the largest value taken out of the sum: no exponential is of a positive number.

    Raises:
        ValueError: `values` is no non-empty list of finite numbers.
    """
    _check_vector("values", values)
    largest = max(values)
    return largest + math.log(sum(math.exp(v - largest) for v in values))


def log_softmax(logits: Matrix) -> Matrix:
    """log p, row by row: log (eᶻ / Σ eᶻ) = z - log Σ eᶻ.

    Args:
        logits: n_samples × n_classes, finite.

    Returns:
        n_samples × n_classes.

    Raises:
        ValueError: `logits` is no matrix of finite numbers.
    """
    _check_matrix("logits", logits)
    log_sums = [log_sum_exp(row) for row in logits]
    return [[z - log_sum for z in row] for row, log_sum in zip(logits, log_sums, strict=True)]


def cross_entropy(
    logits: Matrix,
    labels: list[int],
    *,
    weights: Vector | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    upstream: float | Vector = 1.0,
) -> tuple[float | Vector, Matrix]:
    """-Σ_k q_k log p_k with p = softmax(logits); slope (Σ q) p - q.

    q is what you ask for: 1 at the label, 0 elsewhere. Smoothing moves a share ε of it evenly to all n_classes (the
    label among them), and each class counts with its weight: q_k = w_k ((1 - ε) [k is the label] + ε / n_classes).

    Args:
        logits: n_samples × n_classes.
        labels: for each sample the index of its class, or `ignore_index`.
        weights: w, one for each class, at least 0; all 1 where None.
        ignore_index: a sample with this label has loss 0 and no gradient, and does not count in the mean.
        label_smoothing: ε, from 0 to 1.
        reduction: as in `reduce_losses`, but "mean" divides by the sum of the weights of the labels that count.
        upstream: as in `reduce_losses`.

    Returns:
        The loss (n_samples losses with "none"), and dJ/d(logits), n_samples × n_classes.

    Raises:
        ValueError: `logits` is no matrix of finite numbers, there are not as many labels, a label is no int or neither
            a class nor `ignore_index`, there are not n_classes weights or one is negative, `label_smoothing` is not
            from 0 to 1, the mean would divide by 0 because every label is ignored or weighs 0, or as `reduce_losses`.
    """
    _check_matrix("logits", logits)
    _check_labels(labels, logits, ignore_index)
    n_classes = len(logits[0])
    weights = [1.0] * n_classes if weights is None else weights
    _check_weights(weights, n_classes)
    _check_between("label_smoothing", [label_smoothing], 0, 1)
    counted = sum(weights[label] for label in labels if label != ignore_index)
    if reduction == "mean" and counted == 0:
        raise ValueError("every label is ignored or weighs 0, so the mean would be 0 / 0; expected one that counts")
    losses, slopes = [], []
    for label, log_p in zip(labels, log_softmax(logits), strict=True):
        if label == ignore_index:
            losses.append(0.0)
            slopes.append([0.0] * n_classes)
            continue
        q = [w * label_smoothing / n_classes for w in weights]
        q[label] += weights[label] * (1 - label_smoothing)
        losses.append(-sum(map(mul, q, log_p)))
        total = sum(q)
        slopes.append([total * math.exp(l_k) - q_k for l_k, q_k in zip(log_p, q, strict=True)])
    return _chain(losses, slopes, reduction, upstream, divisor=counted)


def multi_margin_loss(
    scores: Matrix, labels: list[int], *, margin: float = 1.0, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Matrix]:
    """Σ_{j ≠ y} max(0, m - s_y + s_j) / n_classes: each wrong class is to stay m below the right one.

    Slope 1 / n_classes at each j with m - s_y + s_j > 0 (0 at the kink, as in torch), and minus their sum at y.

    Args:
        scores: s, n_samples × n_classes.
        labels: y, for each sample the index of its class.
        margin: m > 0.
        reduction: as in `reduce_losses`.
        upstream: as in `reduce_losses`.

    Returns:
        The loss (n_samples losses with "none"), and dJ/d(scores), n_samples × n_classes.

    Raises:
        ValueError: `scores` is no matrix of finite numbers, there are not as many labels, a label is no class, `margin`
            is not positive and finite, or as `reduce_losses`.
    """
    _check_matrix("scores", scores)
    _check_labels(labels, scores)
    _check_positive("margin", margin)
    n_classes = len(scores[0])
    losses, slopes = [], []
    for row, label in zip(scores, labels, strict=True):
        missing = [margin - row[label] + s for s in row]
        missing[label] = 0.0
        losses.append(sum(max(0.0, m) for m in missing) / n_classes)
        slope = [(m > 0) / n_classes for m in missing]
        slope[label] -= sum(slope)
        slopes.append(slope)
    return _chain(losses, slopes, reduction, upstream)


def _errors(predictions: Vector, targets: Vector) -> Vector:
    """prediction - target, for two lists that fit."""
    _check_vector("predictions", predictions)
    _check_vector("targets", targets, len(predictions))
    return [p - t for p, t in zip(predictions, targets, strict=True)]


def _check_vector(name: str, values: Vector, n: int | None = None) -> None:
    """A non-empty list of finite numbers, `n` of them where given."""
    if not values or not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise ValueError(f"{name} must be a non-empty list of finite numbers, got {values!r}")
    _check_length(name, values, len(values) if n is None else n)


def _check_matrix(name: str, rows: Matrix, shape: tuple[int, int] | None = None) -> None:
    """A non-empty list of rows of finite numbers, all of one length; of this shape where given."""
    if not rows or not all(isinstance(row, list | tuple) for row in rows):
        raise ValueError(f"{name} must be a matrix, a non-empty list of non-empty rows, got {rows!r}")
    n_rows, n_columns = (len(rows), len(rows[0])) if shape is None else shape
    _check_length(name, rows, n_rows)
    for i, row in enumerate(rows):
        _check_vector(f"row {i} of {name}", row, n_columns)


def _check_length(name: str, values: list, n: int) -> None:
    """As many entries as there should be."""
    if len(values) != n:
        raise ValueError(f"{name} must have {n} entries, got {len(values)}")


def _check_between(name: str, values: Vector, low: float, high: float) -> None:
    """Each from `low` to `high`."""
    for value in values:
        if not low <= value <= high:
            raise ValueError(f"{name} must be from {low} to {high}, got {value}")


def _check_positive(name: str, value: float) -> None:
    """Above 0, and finite."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")


def _check_labels(labels: list[int], rows: Matrix, ignore_index: int | None = None) -> None:
    """For each row the index of a class, or `ignore_index`; False and True count as 0 and 1, as always in Python."""
    _check_length("labels", labels, len(rows))
    for label in labels:
        if not isinstance(label, int) or not (label == ignore_index or 0 <= label < len(rows[0])):
            raise ValueError(f"a label must be an int from 0 to {len(rows[0]) - 1}, got {label!r}")


def _check_weights(weights: Vector, n_classes: int) -> None:
    """A number of at least 0 for each class."""
    _check_vector("weights", weights, n_classes)
    if min(weights) < 0:
        raise ValueError(f"weights must be at least 0, got {weights}")


def _check_reduction(reduction: str, *more: str) -> None:
    """A known name."""
    known = ("none", "mean", "sum", *more)
    if reduction not in known:
        raise ValueError(f"reduction must be one of {', '.join(known)}, got {reduction!r}")


def _check_upstream(upstream: float | Vector, losses: Vector, reduction: str) -> None:
    """A finite number; or, with "none", one for each loss."""
    if isinstance(upstream, list) and reduction == "none":
        _check_vector("upstream", upstream, len(losses))
    elif not isinstance(upstream, int | float) or not math.isfinite(upstream):
        raise ValueError(f"upstream must be a finite number where reduction is {reduction!r}, got {upstream!r}")


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
