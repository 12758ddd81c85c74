"""Linear regression on scikit-learn (the fit, R²) and statsmodels (standard errors)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_X_y
from statsmodels.regression.linear_model import OLS  # less to import than statsmodels.api
from statsmodels.tools import add_constant

__all__ = ["LinearModel", "fit", "fit_line", "predict", "r_squared", "residuals", "solve", "standard_errors"]

Vector = list[float]
Array = NDArray[np.float64]

TOLERANCE = 1e-12
LARGEST = 1e150


@dataclass(frozen=True)
class LinearModel:
    """``intercept + coefficients[0] * x[0] + coefficients[1] * x[1] + …``, one coefficient for each feature."""

    intercept: float
    coefficients: Vector


def fit_line(x: Sequence[float], y: Sequence[float]) -> LinearModel:
    """`fit` with one feature."""
    return fit([[value] for value in x], y)


def solve(A: Sequence[Sequence[float]], b: Sequence[float]) -> Vector:
    """LAPACK's elimination with partial pivoting; the rank comes from the singular values."""
    A, b = _data(A, b)
    if np.linalg.matrix_rank(A, rtol=TOLERANCE) < len(A):
        raise ValueError("A is singular: its rank is less than its number of rows")
    return np.linalg.solve(A, b).tolist()


def fit(X: Sequence[Sequence[float]], y: Sequence[float]) -> LinearModel:
    """Ordinary least squares by a singular value decomposition, on standardized features."""
    X, y = _data(X, y)
    scaler, Z = _standardize(X)
    # tol is relative to the largest singular value, whose square is what normal equations see.
    estimator = LinearRegression(tol=TOLERANCE**0.5).fit(Z, y)
    if estimator.rank_ < X.shape[1]:
        raise ValueError(
            f"X has {len(X)} rows, and its {X.shape[1]} features have rank {estimator.rank_}: too few rows, "
            "or a feature is constant or a combination of the others"
        )
    coefficients = estimator.coef_ / scaler.scale_
    return LinearModel(float(estimator.intercept_ - coefficients @ scaler.mean_), coefficients.tolist())


def predict(model: LinearModel, X: Sequence[Sequence[float]]) -> Vector:
    """A ready-made estimator's `predict`."""
    estimator = LinearRegression()
    estimator.intercept_, estimator.coef_ = model.intercept, np.array(model.coefficients)
    estimator.n_features_in_ = len(model.coefficients)
    return estimator.predict(_rows(X)).tolist()


def residuals(model: LinearModel, X: Sequence[Sequence[float]], y: Sequence[float]) -> Vector:
    """The target less the prediction."""
    X, y = _data(X, y)
    return (y - predict(model, X)).tolist()


def r_squared(model: LinearModel, X: Sequence[Sequence[float]], y: Sequence[float]) -> float:
    """`r2_score`, which would answer 0 or 1 where `y` is constant."""
    X, y = _data(X, y)
    if _is_constant(y):
        raise ValueError("y is constant: R² needs a variance to explain")
    with np.errstate(over="ignore"):  # a square too large for a float: -inf, as it should be
        return float(r2_score(y, predict(model, X)))


def standard_errors(X: Sequence[Sequence[float]], y: Sequence[float]) -> Vector:
    """From statsmodels' OLS; the intercept's is that of the mean predicted where every feature is 0."""
    fit(X, y)  # for its errors: statsmodels answers with a warning where X has not full rank
    X, y = _data(X, y)
    if len(X) <= X.shape[1] + 1:
        raise ValueError(f"X has {len(X)} rows: expected more than the {X.shape[1] + 1} unknowns")
    scaler, Z = _standardize(X)
    results = OLS(y, add_constant(Z)).fit()
    origin = scaler.transform(np.zeros((1, X.shape[1])))
    of_intercept = results.get_prediction(np.insert(origin, 0, 1, axis=1)).se_mean
    return [*of_intercept.tolist(), *(results.bse[1:] / scaler.scale_).tolist()]


def _standardize(X: Array) -> tuple[StandardScaler, Array]:
    """Each column minus its mean, divided by its standard deviation; a constant column becomes zeros."""
    scaler = StandardScaler().fit(X)
    return scaler, np.where(_is_constant(X), 0, scaler.transform(X))


def _is_constant(values: Array) -> NDArray[np.bool_]:
    return np.ptp(values, axis=0) <= np.maximum(TOLERANCE * np.abs(values).max(axis=0), 1 / LARGEST)


def _data(X: Sequence[Sequence[float]] | Array, y: Sequence[float] | Array) -> tuple[Array, Array]:
    """As arrays; scikit-learn's check refuses the empty, the ragged, unequal lengths, NaN and infinity."""
    X, y = check_X_y(X, y, dtype=np.float64, y_numeric=True)
    return _rows(X), _rows(y[:, None])[:, 0]


def _rows(X: Sequence[Sequence[float]] | Array) -> Array:
    X = check_array(X, dtype=np.float64)
    if np.abs(X).max() > LARGEST:
        raise ValueError(f"a number is larger than {LARGEST:g}")
    return X
