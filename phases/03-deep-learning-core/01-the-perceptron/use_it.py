"""The perceptron in scikit-learn: linear_model.Perceptron, and SGDClassifier for the averaged one."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import linear_model
from sklearn.preprocessing import add_dummy_feature
from sklearn.utils import check_array

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
Array = NDArray[np.float64]

# scikit-learn shuffles before each epoch, and stops when the loss no longer falls; both are switched off
AS_WRITTEN = {"shuffle": False, "tol": None}


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


def scores(perceptron: Perceptron, X: Matrix) -> Vector:
    """`decision_function`."""
    return _estimator([perceptron]).decision_function(_matrix(X)).tolist()


def predict(perceptron: Perceptron, X: Matrix) -> list[int]:
    """`predict`, which says 1 where the score is above 0."""
    return _estimator([perceptron]).predict(_matrix(X)).tolist()


def update(perceptron: Perceptron, x: Vector, label: int, *, learning_rate: float = 1.0) -> Perceptron:
    """`partial_fit` with one sample."""
    X, y = _matrix([x]), _labels([label], 1, 2)
    return _trained(_estimator([perceptron], learning_rate).partial_fit(X, y))[0]


def train_epoch(
    perceptron: Perceptron, X: Matrix, y: list[int], *, learning_rate: float = 1.0
) -> tuple[Perceptron, int]:
    """`partial_fit` with one sample after another."""
    samples = _matrix(X)
    estimator = _estimator([perceptron], learning_rate)
    mistakes = _online_epoch(estimator, samples, _labels(y, len(samples), 2))
    return _trained(estimator)[0], mistakes


def fit(X: Matrix, y: list[int], *, learning_rate: float = 1.0, max_epochs: int = 1000) -> Training:
    """Epochs of `partial_fit`. Perceptron.fit with max_iter=max_epochs gives the last weights alone, and faster."""
    samples, labels = _data(X, y, 2)
    _check_count("max_epochs", max_epochs)
    estimator = _estimator([Perceptron([0.0] * samples.shape[1], 0.0)], learning_rate)
    perceptrons, mistakes = [], []
    for _ in range(max_epochs):
        mistakes.append(_online_epoch(estimator, samples, labels))
        perceptrons += _trained(estimator)
        if mistakes[-1] == 0:
            break
    return Training(perceptrons, mistakes)


def mistake_bound(separator: Perceptron, X: Matrix, y: list[int]) -> float:
    """From `decision_function` and norms; scikit-learn has no such function."""
    samples, labels = _data(X, y, 2)
    signed = np.where(labels == 1, 1, -1) * _estimator([separator]).decision_function(samples)
    if signed.min() <= 0:
        row = signed.argmin()
        raise ValueError(f"separator must have every row strictly on its side, got row {row} on the line or beyond")
    longest = np.hypot.reduce(add_dummy_feature(samples), axis=1).max()  # a norm whose squares cannot overflow
    ratio = float(longest) * float(np.hypot.reduce([*separator.weights, separator.bias])) / float(signed.min())
    if not np.isfinite(ratio * ratio):
        raise ValueError(f"the bound must stay finite, got the square of {ratio}: scale the features down")
    return ratio * ratio


def fit_averaged(X: Matrix, y: list[int], *, learning_rate: float = 1.0, n_epochs: int) -> Perceptron:
    """SGDClassifier with average=True, the perceptron's loss and no penalty; its defaults are an SVM's with L2."""
    samples, labels = _data(X, y, 2)
    _check_count("n_epochs", n_epochs)
    _check_learning_rate(learning_rate)
    estimator = linear_model.SGDClassifier(
        loss="perceptron",
        penalty=None,
        learning_rate="constant",
        eta0=learning_rate,
        average=True,
        max_iter=n_epochs,
        **AS_WRITTEN,
    )
    [averaged] = _trained(estimator.fit(samples, labels))
    if not np.isfinite([*averaged.weights, averaged.bias]).all():
        raise ValueError(f"the average must stay finite, got {averaged}: scale the features down")
    return averaged


def fit_one_vs_rest(X: Matrix, y: list[int], *, learning_rate: float = 1.0, n_epochs: int) -> list[Perceptron]:
    """What `fit` does when y has more than two classes."""
    n_classes = len(set(y))
    if n_classes < 3:
        raise ValueError(f"y must hold three classes or more, got {n_classes}: for two, one perceptron does (fit)")
    samples, labels = _data(X, y, n_classes)
    _check_count("n_epochs", n_epochs)
    _check_learning_rate(learning_rate)
    return _trained(linear_model.Perceptron(eta0=learning_rate, max_iter=n_epochs, **AS_WRITTEN).fit(samples, labels))


def predict_class(perceptrons: list[Perceptron], X: Matrix) -> list[int]:
    """`predict` of an estimator with a row of weights for each class: numpy.argmax, which takes the first of equals."""
    if len(perceptrons) < 2:
        raise ValueError(f"perceptrons must be two or more, one for each class, got {len(perceptrons)}")
    return _estimator(perceptrons).predict(_matrix(X)).tolist()


def _estimator(perceptrons: list[Perceptron], learning_rate: float = 1.0) -> linear_model.Perceptron:
    """An estimator that has these weights already: one row for two classes, else one for each class."""
    _check_learning_rate(learning_rate)
    estimator = linear_model.Perceptron(eta0=learning_rate, **AS_WRITTEN)
    estimator.coef_ = np.array([perceptron.weights for perceptron in perceptrons], dtype=np.float64)
    estimator.intercept_ = np.array([perceptron.bias for perceptron in perceptrons], dtype=np.float64)
    estimator.classes_ = np.arange(max(2, len(perceptrons)))
    estimator.n_features_in_ = estimator.coef_.shape[1]
    return estimator


def _trained(estimator: linear_model.Perceptron | linear_model.SGDClassifier) -> list[Perceptron]:
    """The weights of an estimator as plain values, one perceptron for each row."""
    return [Perceptron(*row) for row in zip(estimator.coef_.tolist(), estimator.intercept_.tolist(), strict=True)]


def _online_epoch(estimator: linear_model.Perceptron, X: Array, y: Array) -> int:
    """Show one sample after another; a mistake moves the intercept by η (which shows only below 2^53 η)."""
    mistakes = 0
    for i in range(len(X)):
        before = estimator.intercept_[0]
        estimator.partial_fit(X[i : i + 1], y[i : i + 1])
        mistakes += int(estimator.intercept_[0] != before)
    return mistakes


def _data(X: Matrix, y: list[int], n_classes: int) -> tuple[Array, Array]:
    samples = _matrix(X)
    labels = _labels(y, len(samples), n_classes)
    if missing := set(range(n_classes)) - set(y):
        raise ValueError(f"y must hold each class from 0 to {n_classes - 1}, got none of {min(missing)}")
    return samples, labels


def _matrix(X: Matrix) -> Array:
    """float64; refuses what is empty, ragged, no matrix or not finite. A wrong width the estimator refuses itself."""
    return check_array(X, dtype=np.float64)


def _labels(y: list[int], n_samples: int, n_classes: int) -> Array:
    """scikit-learn would take any two values for the two classes."""
    if len(y) != n_samples:
        raise ValueError(f"y must have {n_samples} labels, one for each row of X, got {len(y)}")
    for label in y:
        if not isinstance(label, int) or not 0 <= label < n_classes:
            raise ValueError(f"a label must be an int from 0 to {n_classes - 1}, got {label!r}")
    return np.array(y)


def _check_count(name: str, count: int) -> None:
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")


def _check_learning_rate(learning_rate: float) -> None:
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate must be finite and above 0, got {learning_rate}")
