"""Linear regression: the line (or plane) with the least sum of squared errors, and how far to trust it."""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["LinearModel", "fit", "fit_line", "predict", "r_squared", "residuals", "solve", "standard_errors"]

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


def fit_line(x: Sequence[float], y: Sequence[float]) -> LinearModel:
    """The least-squares line through points: slope = covariance(x, y) / variance(x); it passes through the means.

    Args:
        x: n_samples values of the one feature.
        y: n_samples values of the target.

    Returns:
        A model with one coefficient, the slope.

    Raises:
        ValueError: `x` is not as long as `y`; there are fewer than two points; a value is NaN or larger in size
            than `LARGEST` (so also if infinite); `x` is constant: max - min is at most TOLERANCE * max(|x|)
            or at most 1 / LARGEST.
    """
    _check_points(x, y)
    n, mean_x, mean_y = len(x), _mean(x), _mean(y)
    dx, dy = [xi - mean_x for xi in x], [yi - mean_y for yi in y]
    covariance, variance = _dot(dx, dy) / n, _dot(dx, dx) / n
    slope = covariance / variance
    return LinearModel(mean_y - slope * mean_x, [slope])


def solve(A: Sequence[Sequence[float]], b: Sequence[float]) -> Vector:
    """The x with ``A x = b``, by Gaussian elimination with partial pivoting (Golub & Van Loan, section 3.4).

    Args:
        A: n × n; left unchanged.
        b: n numbers; left unchanged.

    Returns:
        n numbers.

    Raises:
        ValueError: `A` is empty, ragged or not square, or `b` is not as long; a value is NaN or larger in size
            than `LARGEST`; `A` is singular: the best pivot of a column is, in size, at most
            TOLERANCE * the largest size of an entry of `A` as given.
    """
    _check_data(A, b, "A", "b")
    n = len(A)
    if len(A[0]) != n:
        raise ValueError(f"A is {n} × {len(A[0])}: expected as many columns as rows")
    return _eliminate(A, b, "A is singular: column {} is a combination of the columns before it")


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


def _columns(X: Sequence[Sequence[float]]) -> Matrix:  # given
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


def _check_training(X: Sequence[Sequence[float]], y: Sequence[float]) -> None:  # given
    _check_data(X, y, "X", "y")
    unknowns = len(X[0]) + 1
    if len(X) < unknowns:
        raise ValueError(f"X has {len(X)} rows: {unknowns} unknowns need at least as many")
    for j, column in enumerate(_columns(X)):
        if _is_constant(column):
            raise ValueError(f"feature {j} is constant ({column[0]}): no slope can be told from it")


def _check_points(x: Sequence[float], y: Sequence[float]) -> None:  # given
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} values and y {len(y)}: expected as many")
    if len(x) < 2:
        raise ValueError(f"x has {len(x)} values: a line needs at least two points")
    _check_numbers(x, "x")
    _check_numbers(y, "y")
    if _is_constant(x):
        raise ValueError(f"x is constant ({x[0]}): no slope can be told from it")


def _is_constant(values: Sequence[float]) -> bool:  # given
    return max(values) - min(values) <= max(TOLERANCE * max(map(abs, values)), 1 / LARGEST)


def _check_data(X: Sequence[Sequence[float]], y: Sequence[float], name: str, name_y: str) -> None:  # given
    _check_rows(X, name)
    if len(X) != len(y):
        raise ValueError(f"{name} has {len(X)} rows and {name_y} {len(y)} values: expected as many")
    _check_numbers(y, name_y)


def _check_rows(X: Sequence[Sequence[float]], name: str) -> None:  # given
    if not X or not X[0]:
        raise ValueError(f"{name} is empty: expected at least one row with at least one number")
    for i, row in enumerate(X):
        if len(row) != len(X[0]):
            raise ValueError(f"{name}[{i}] has {len(row)} values: expected {len(X[0])}, as in the first row")
        _check_numbers(row, f"{name}[{i}]")


def _check_numbers(values: Sequence[float], name: str) -> None:  # given
    for i, value in enumerate(values):
        if not abs(value) <= LARGEST:  # also true of NaN
            raise ValueError(f"{name}[{i}] is {value}: expected a finite number of size {LARGEST:g} at most")


if __name__ == "__main__":
    flats, rent = [[1, 1], [2, 1], [3, 2], [4, 4]], [2, 5, 4, 6]  # rooms and km to the centre; 100 euros
    print(fit(flats, rent))
    print(standard_errors(flats, rent))
