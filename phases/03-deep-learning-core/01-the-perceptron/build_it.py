"""The perceptron from scratch: one unit that learns from its mistakes, how many it can make, and many classes."""

import math
from dataclasses import dataclass

__all__ = [
    "Perceptron",
    "Training",
    "fit",
    "fit_averaged",
    "fit_one_vs_rest",
    "mistake_bound",
    "predict",
    "predict_class",
    "scores",
    "train_epoch",
    "update",
]

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


@dataclass(frozen=True)
class Training:
    """What happened while a perceptron learned.

    Attributes:
        perceptrons: the perceptron after each epoch (one pass over all samples, in order).
        mistakes: how many were made in each epoch; 0 in the last one if a line was found.
    """

    perceptrons: list[Perceptron]
    mistakes: list[int]


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


def fit(X: Matrix, y: list[int], *, learning_rate: float = 1.0, max_epochs: int = 1000) -> Training:
    """Epochs from weights of zero, until one passes without a mistake or `max_epochs` have passed.

    Args:
        X: n_samples × n_features.
        y: n_samples labels, 0 and 1, each at least once.
        learning_rate: η; from zero it only sets the scale of the weights.
        max_epochs: at least 1.

    Returns:
        One entry for each epoch that was run. A line was found if the last number of mistakes is 0; the perceptron
        that it belongs to is the last.

    Raises:
        ValueError: as `train_epoch`, only one of the two labels occurs, or `max_epochs` is below 1.
    """
    _check_data(X, y, 2)
    _check_count("max_epochs", max_epochs)
    perceptron = Perceptron([0.0] * len(X[0]), 0.0)
    perceptrons, mistakes = [], []
    while len(mistakes) < max_epochs and mistakes[-1:] != [0]:
        perceptron, count = train_epoch(perceptron, X, y, learning_rate=learning_rate)
        perceptrons.append(perceptron)
        mistakes.append(count)
    return Training(perceptrons, mistakes)


def mistake_bound(separator: Perceptron, X: Matrix, y: list[int]) -> float:
    """(R / γ)²: `fit` makes at most so many mistakes on X and y, if `separator` has no mistake on them (Novikoff 1962).

    The bias counts as the weight of a further feature that is always 1. R is the length of the longest row, and γ,
    the margin, is the smallest t (w · x + b), divided by the length of (w, b).

    Args:
        separator: any perceptron with every row strictly on its label's side.
        X: n_samples × n_features.
        y: n_samples labels, 0 and 1, each at least once.

    Raises:
        ValueError: X or y is bad as in `fit`, a row is not strictly on its side, or the bound is beyond what a float
            holds.
    """
    _check_data(X, y, 2)
    signed = [score if label else -score for score, label in zip(scores(separator, X), y, strict=True)]
    if min(signed) <= 0:
        row = signed.index(min(signed))
        raise ValueError(f"separator must have every row strictly on its side, got row {row} on the line or beyond")
    longest = max(math.hypot(*x, 1.0) for x in X)
    ratio = longest * math.hypot(*separator.weights, separator.bias) / min(signed)  # R / γ
    if not math.isfinite(ratio * ratio):
        raise ValueError(f"the bound must stay finite, got the square of {ratio}: scale the features down")
    return ratio * ratio


def fit_averaged(X: Matrix, y: list[int], *, learning_rate: float = 1.0, n_epochs: int) -> Perceptron:
    """The mean of the weights and biases after every sample, moved or not (Freund & Schapire 1999).

    Args:
        X: n_samples × n_features.
        y: n_samples labels, 0 and 1, each at least once.
        learning_rate: η.
        n_epochs: how many, at least 1; there is no early end, since a long stay of the same weights is their merit.

    Raises:
        ValueError: as `fit`, or the sum grows beyond what a float holds.
    """
    _check_data(X, y, 2)
    _check_count("n_epochs", n_epochs)
    perceptron = Perceptron([0.0] * len(X[0]), 0.0)
    total = [0.0] * (len(X[0]) + 1)
    for _ in range(n_epochs):
        for x, label in zip(X, y, strict=True):
            perceptron = update(perceptron, x, label, learning_rate=learning_rate)
            total = [so_far + v for so_far, v in zip(total, [*perceptron.weights, perceptron.bias], strict=True)]
    *weights, bias = (value / (n_epochs * len(X)) for value in total)
    return _in_range(Perceptron(weights, bias))


def fit_one_vs_rest(X: Matrix, y: list[int], *, learning_rate: float = 1.0, n_epochs: int) -> list[Perceptron]:
    """One perceptron for each class, with the label 1 for the class and 0 for all others.

    Args:
        X: n_samples × n_features.
        y: n_samples classes from 0 to n_classes - 1, each at least once; n_classes, the number of different labels, is
            at least 3. So 0, 1 and 3 are refused.
        learning_rate: η.
        n_epochs: how many for each perceptron, at least 1.

    Returns:
        n_classes perceptrons, that of class 0 first.

    Raises:
        ValueError: X or y is bad, there are fewer than three classes or one never occurs, η is not finite and above 0,
            or `n_epochs` is below 1.
    """
    n_classes = max((label for label in y if isinstance(label, int)), default=0) + 1
    if n_classes < 3:
        raise ValueError(f"y must hold three classes or more, got {n_classes}: for two, one perceptron does (fit)")
    _check_data(X, y, n_classes)
    _check_count("n_epochs", n_epochs)
    return [
        fit(X, [int(label == c) for label in y], learning_rate=learning_rate, max_epochs=n_epochs).perceptrons[-1]
        for c in range(n_classes)
    ]


def predict_class(perceptrons: list[Perceptron], X: Matrix) -> list[int]:
    """For each row of X the class whose perceptron has the highest score, the lowest class where several have it.

    Raises:
        ValueError: fewer than two perceptrons, or as `scores` for one of them.
    """
    if len(perceptrons) < 2:
        raise ValueError(f"perceptrons must be two or more, one for each class, got {len(perceptrons)}")
    by_class = [scores(perceptron, X) for perceptron in perceptrons]
    return [row.index(max(row)) for row in map(list, zip(*by_class, strict=True))]


def _in_range(perceptron: Perceptron) -> Perceptron:  # given
    """The perceptron, if its numbers have not grown beyond what a float holds."""
    if not all(map(math.isfinite, [*perceptron.weights, perceptron.bias])):
        raise ValueError(f"weights and bias must stay finite, got {perceptron}: scale the features down")
    return perceptron


def _check_rows(X: Matrix, n_features: int) -> None:  # given
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


def _check_labels(y: list[int], n_samples: int, n_classes: int) -> None:  # given
    """`n_samples` ints from 0 to n_classes - 1."""
    if len(y) != n_samples:
        raise ValueError(f"y must have {n_samples} labels, one for each row of X, got {len(y)}")
    for label in y:
        if not isinstance(label, int) or not 0 <= label < n_classes:
            raise ValueError(f"a label must be an int from 0 to {n_classes - 1}, got {label!r}")


def _check_data(X: Matrix, y: list[int], n_classes: int) -> None:  # given
    """Rows and labels that fit each other, and each class at least once."""
    _check_rows(X, len(X[0]) if X and isinstance(X[0], list | tuple) else 0)
    _check_labels(y, len(X), n_classes)
    if missing := set(range(n_classes)) - set(y):
        raise ValueError(f"y must hold each class from 0 to {n_classes - 1}, got none of {min(missing)}")


def _check_count(name: str, count: int) -> None:  # given
    """At least 1."""
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")


def _check_learning_rate(learning_rate: float) -> None:  # given
    """Finite and above 0."""
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate must be finite and above 0, got {learning_rate}")


if __name__ == "__main__":
    inputs = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    learned = fit(inputs, [0, 1, 1, 1])
    print("OR: mistakes in each epoch", learned.mistakes, learned.perceptrons[-1])
    print("XOR: mistakes in each epoch", fit(inputs, [0, 1, 1, 0], max_epochs=5).mistakes)
