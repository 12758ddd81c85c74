"""Linear regression from scratch agrees with scikit-learn, statsmodels, exact fractions and published values."""

import csv
import dataclasses
import importlib.util
import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.proof import assert_equivalent, assert_same_error, examples
from shared.proof import strategies as some
from shared.ship.one_file import one_file

HERE = Path(__file__).parent

# In exact arithmetic some coefficients are 0; either twin leaves the rounding of y (up to 10) there instead.
ATOL = 1e-10

QUARTERS = st.integers(-32, 32).map(lambda k: k / 4)

# Anscombe (1973), Graphs in Statistical Analysis, The American Statistician 27(1), 17-21.
X123 = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5]
ANSCOMBE = [
    (X123, [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]),
    (X123, [9.14, 8.14, 8.74, 8.77, 9.26, 8.10, 6.13, 3.10, 9.13, 7.26, 4.74]),
    (X123, [7.46, 6.77, 12.74, 7.11, 7.81, 8.84, 6.08, 5.39, 8.15, 6.42, 5.73]),
    ([8] * 7 + [19] + [8] * 3, [6.58, 5.76, 7.71, 8.84, 8.47, 7.04, 5.25, 12.50, 5.56, 7.91, 6.89]),
]

# NIST Statistical Reference Datasets, https://www.itl.nist.gov/div898/strd/lls/data/Norris.shtml: (y, x)
NORRIS = """0.1 0.2, 338.8 337.4, 118.1 118.2, 888.0 884.6, 9.2 10.1, 228.1 226.5, 668.5 666.3, 998.5 996.3, 449.1 448.6,
778.9 777.0, 559.2 558.2, 0.3 0.4, 0.1 0.6, 778.1 775.5, 668.8 666.9, 339.3 338.0, 448.9 447.5, 10.8 11.6,
557.7 556.0, 228.3 228.1, 998.0 995.8, 888.8 887.6, 119.6 120.2, 0.3 0.3, 0.6 0.3, 557.6 556.8, 339.3 339.1,
888.0 887.2, 998.5 999.0, 778.9 779.0, 10.2 11.1, 117.6 118.3, 228.9 229.2, 668.4 669.1, 449.2 448.9, 0.2 0.5"""
NORRIS_CERTIFIED = {
    "coefficients": [-0.262323073774029, 1.00211681802045],
    "standard errors": [0.232818234301152, 0.429796848199937e-03],
    "residual standard deviation": 0.884796396144373,
    "R²": 0.999993745883712,
}
# https://www.itl.nist.gov/div898/strd/lls/data/Longley.shtml; the data are in longley.csv.
LONGLEY_CERTIFIED = {
    "coefficients": [
        -3482258.63459582,
        15.0618722713733,
        -0.358191792925910e-01,
        -2.02022980381683,
        -1.03322686717359,
        -0.511041056535807e-01,
        1829.15146461355,
    ],
    "standard errors": [
        890420.383607373,
        84.9149257747669,
        0.334910077722432e-01,
        0.488399681651699,
        0.214274163161675,
        0.226073200069370,
        455.478499142212,
    ],
    "residual standard deviation": 304.854073561965,
    "R²": 0.995479004577296,
}


def longley() -> tuple[list[list[float]], list[float]]:
    """X, 16 × 6, and y: how many were employed."""
    rows = list(csv.reader(io.StringIO((HERE / "longley.csv").read_text(encoding="utf-8"))))[1:]
    return [[float(value) for value in row[1:]] for row in rows], [float(row[0]) for row in rows]


def exact_fit(X: list[list[float]], y: list[float]) -> tuple[list[Fraction], list[Fraction]]:
    """The intercept and coefficients, and their squared standard errors, in fractions: no rounding anywhere."""
    rows = [[Fraction(1), *map(Fraction, row)] for row in X]
    target = [Fraction(value) for value in y]
    p = len(rows[0])
    table = [
        [sum(row[i] * row[j] for row in rows) for j in range(p)]
        + [sum(row[i] * value for row, value in zip(rows, target, strict=True))]
        + [Fraction(i == j) for j in range(p)]
        for i in range(p)
    ]
    for k in range(p):  # XᵀX is positive definite: no pivot is 0, and fractions need no large one
        table[k] = [value / table[k][k] for value in table[k]]
        for i in range(p):
            if i != k:
                table[i] = [value - table[i][k] * above for value, above in zip(table[i], table[k], strict=True)]
    beta = [row[p] for row in table]
    errors = [
        value - sum(b * v for b, v in zip(beta, row, strict=True)) for row, value in zip(rows, target, strict=True)
    ]
    freedom = max(len(X) - p, 1)
    return beta, [sum(e * e for e in errors) / freedom * table[j][p + 1 + j] for j in range(p)]


def numbers(model) -> list[float]:
    return [model.intercept, *model.coefficients]


def everything(twin: ModuleType, X: list[list[float]], y: list[float]) -> dict:
    """What a regression program reports, under the names of NIST's certificates."""
    model = twin.fit(X, y)
    rss = math.fsum(e * e for e in twin.residuals(model, X, y))
    return {
        "coefficients": numbers(model),
        "standard errors": twin.standard_errors(X, y),
        "residual standard deviation": math.sqrt(rss / (len(X) - len(X[0]) - 1)),
        "R²": twin.r_squared(model, X, y),
    }


def digits(actual: list[float], certified: list[float]) -> float:
    """How many significant digits are right in the worst of the numbers: -log10 of the relative error."""
    return min(15.0, *(-math.log10(max(abs(a - c) / abs(c), 1e-15)) for a, c in zip(actual, certified, strict=True)))


Refused = Callable[..., None]


@pytest.fixture(scope="module")
def refused(build_it: ModuleType, use_it: ModuleType) -> Refused:
    """Assert that either twin's function of this name raises ValueError on these arguments."""
    return lambda name, *arguments: assert_same_error(lambda twin: getattr(twin, name)(*arguments), build_it, use_it)


@st.composite
def points(draw) -> tuple[list[float], list[float]]:
    n = draw(some.sizes(2, 8))
    x = draw(some.vectors(n, QUARTERS))
    assume(max(x) > min(x))
    return x, draw(some.vectors(n, QUARTERS))


# --- values: the twins on generated data -----------------------------------------------------------------


@given(points())
def test_fit_line_agrees(build_it: ModuleType, use_it: ModuleType, data) -> None:
    assert_equivalent(build_it.fit_line(*data), use_it.fit_line(*data), atol=ATOL)


@given(points())
def test_one_feature_gives_the_line(build_it: ModuleType, data) -> None:
    x, y = data
    line, plane = build_it.fit_line(x, y), build_it.fit([[value] for value in x], y)
    assert_equivalent(line, plane, atol=ATOL, names=("fit_line", "fit"))


@given(some.well_conditioned_systems())
def test_solve_agrees(build_it: ModuleType, use_it: ModuleType, system) -> None:
    A, b = system
    before = [list(row) for row in A], list(b)
    x = build_it.solve(A, b)
    assert (A, b) == before, "solve changed its arguments"
    assert_equivalent(x, use_it.solve(A, b), atol=ATOL)
    product = [sum(a * v for a, v in zip(row, x, strict=True)) for row in A]
    assert_equivalent(product, b, atol=ATOL, names=("A x", "b"))


@given(some.regression_data())
def test_fit_agrees(build_it: ModuleType, use_it: ModuleType, data) -> None:
    X, y = data
    before = [list(row) for row in X], list(y)
    built = build_it.fit(X, y)
    assert (X, y) == before, "fit changed its arguments"
    assert_equivalent(built, use_it.fit(X, y), atol=ATOL)


@examples(25)
@given(some.regression_data())
def test_standard_errors_agree(build_it: ModuleType, use_it: ModuleType, data) -> None:
    X, y = data
    assert_equivalent(build_it.standard_errors(X, y), use_it.standard_errors(X, y), atol=ATOL)


@examples(25)
@given(some.regression_data())
def test_fractions_agree_with_fit_and_standard_errors(build_it: ModuleType, data) -> None:
    X, y = data
    beta, variances = exact_fit(X, y)
    fractions = ("build_it", "fractions")
    assert_equivalent(numbers(build_it.fit(X, y)), [float(b) for b in beta], atol=ATOL, names=fractions)
    exact = [math.sqrt(v) for v in variances]
    assert_equivalent(build_it.standard_errors(X, y), exact, atol=ATOL, names=fractions)


@examples(30)
@given(some.regression_data(), some.seeds())
def test_any_model_is_judged_alike(build_it: ModuleType, use_it: ModuleType, data, seed: int) -> None:
    """predict, residuals and r_squared of a model that was not fitted to these data, so R² may be negative."""
    X, y = data[0], [round(4 * value) / 4 for value in data[1]]
    numbers_of_model = [(seed >> 8 * j) % 256 / 16 - 8 for j in range(len(X[0]) + 1)]
    results = []
    for twin in (build_it, use_it):
        model = twin.LinearModel(numbers_of_model[0], numbers_of_model[1:])
        results.append({"predict": twin.predict(model, X), "residuals": twin.residuals(model, X, y)})
        if max(y) > min(y):
            results[-1]["r_squared"] = twin.r_squared(model, X, y)
    assert_equivalent(*results, atol=ATOL)


def test_linear_model_is_a_frozen_dataclass(build_it: ModuleType, use_it: ModuleType) -> None:
    for twin in (build_it, use_it):
        model = twin.LinearModel(1.5, [2.0, -3.0])
        assert model == twin.LinearModel(intercept=1.5, coefficients=[2.0, -3.0])
        with pytest.raises(dataclasses.FrozenInstanceError):
            model.intercept = 0.0


# --- independent truths ------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", range(4))
def test_anscombe(build_it: ModuleType, use_it: ModuleType, which: int) -> None:
    """Anscombe's figures: 3.0, 0.500, R² 0.667 (0.666 in II, III), the slope's standard error 0.118."""
    x, y = ANSCOMBE[which]
    X = [[value] for value in x]
    for twin in (build_it, use_it):
        model = twin.fit_line(x, y)
        assert [f"{model.intercept:.2f}", f"{model.coefficients[0]:.3f}"] == ["3.00", "0.500"]
        assert f"{twin.r_squared(model, X, y):.2f}" == "0.67"
        assert f"{twin.standard_errors(X, y)[1]:.3f}" == "0.118"
        assert f"{math.fsum(e * e for e in twin.residuals(model, X, y)):.1f}" in ("13.7", "13.8")
    assert_equivalent(everything(build_it, X, y), everything(use_it, X, y))


def test_nist_norris(build_it: ModuleType, use_it: ModuleType) -> None:
    pairs = [[float(value) for value in pair.split()] for pair in NORRIS.split(",")]
    x, y = [pair[1] for pair in pairs], [pair[0] for pair in pairs]
    assert len(x) == 36
    X = [[value] for value in x]
    for twin in (build_it, use_it):
        # 13 of the 15 certified digits: the intercept is a small difference of large numbers
        assert_equivalent(everything(twin, X, y), NORRIS_CERTIFIED, rtol=1e-12, names=(twin.__name__, "NIST"))
        line = numbers(twin.fit_line(x, y))
        assert_equivalent(line, NORRIS_CERTIFIED["coefficients"], rtol=1e-12, names=(twin.__name__, "NIST"))


def test_nist_longley(build_it: ModuleType, use_it: ModuleType, refused: Refused) -> None:
    """The digits that README states: normal equations keep nearly 12 of 15 when centred and scaled, about 7 when not."""
    X, y = longley()
    certified = LONGLEY_CERTIFIED["coefficients"]
    for twin, least in ((build_it, 11.5), (use_it, 13)):
        found = everything(twin, X, y)
        assert_equivalent(found, LONGLEY_CERTIFIED, rtol=1e-11, names=(twin.__name__, "NIST"))
        assert digits(found["coefficients"], certified) >= least

    with_ones = [[1.0, *row] for row in X]
    columns = list(zip(*with_ones, strict=True))
    gram = [[math.fsum(a * b for a, b in zip(u, v, strict=True)) for v in columns] for u in columns]
    right = [math.fsum(a * b for a, b in zip(u, y, strict=True)) for u in columns]
    refused("solve", gram, right)  # singular, as far as it can see
    naive = _eliminate(gram, right)
    assert 6.5 <= digits(naive, certified) <= 8.5


def _eliminate(A: list[list[float]], b: list[float]) -> list[float]:
    """Elimination with pivoting in floats, without a check for singularity."""
    n = len(A)
    rows = [[*row, value] for row, value in zip(A, b, strict=True)]
    for k in range(n):
        best = max(range(k, n), key=lambda i: abs(rows[i][k]))
        rows[k], rows[best] = rows[best], rows[k]
        for i in range(k + 1, n):
            rows[i] = [v - rows[i][k] / rows[k][k] * u for v, u in zip(rows[i], rows[k], strict=True)]
    x = [0.0] * n
    for k in reversed(range(n)):
        x[k] = (rows[k][n] - sum(rows[k][j] * x[j] for j in range(k + 1, n))) / rows[k][k]
    return x


@examples(25)
@given(some.regression_data())
def test_residuals_of_fit_are_orthogonal_to_the_columns(build_it: ModuleType, data) -> None:
    X, y = data
    errors = build_it.residuals(build_it.fit(X, y), X, y)
    for column in ([1.0] * len(X), *zip(*X, strict=True)):
        assert math.fsum(e * v for e, v in zip(errors, column, strict=True)) == pytest.approx(0, abs=1e-9)


@examples(15)
@given(some.regression_data(), st.sampled_from([1e-100, 1e-9, 3.0, 1e9, 1e100]))
def test_units_do_not_matter(build_it: ModuleType, use_it: ModuleType, data, unit: float) -> None:
    """Metres or nanometres: coefficient and standard error scale, the prediction and R² stay."""
    X, y = data
    scaled = [[row[0] * unit, *row[1:]] for row in X]
    for twin in (build_it, use_it):
        model, other = twin.fit(X, y), twin.fit(scaled, y)
        names = ("original", "scaled")
        first, *rest = other.coefficients
        assert_equivalent(numbers(model), [other.intercept, first * unit, *rest], atol=ATOL, names=names)
        assert_equivalent(twin.predict(model, X), twin.predict(other, scaled), atol=ATOL, names=names)
        intercept, first, *rest = twin.standard_errors(scaled, y)
        assert_equivalent(twin.standard_errors(X, y), [intercept, first * unit, *rest], atol=ATOL, names=names)


def test_fit_far_from_the_origin(build_it: ModuleType, use_it: ModuleType) -> None:
    """x = 10⁸ + small: without centring, 10¹⁶ + 1 is 10¹⁶ and the slope is lost."""
    x = [1e8, 1e8 + 1, 1e8 + 2, 1e8 + 4]
    y = [1.0, 3.0, 5.0, 9.0]
    for twin in (build_it, use_it):
        assert twin.fit_line(x, y).coefficients == pytest.approx([2.0], rel=1e-14)
        assert twin.fit([[v, (-1) ** i] for i, v in enumerate(x)], y).coefficients == pytest.approx(
            [2.0, 0.0], abs=1e-12
        )
    x, y = [1e8 + 0.1, 1e8 + 0.7, 1e8 + 2.3, 1e8 + 4.9], [0.3, 1.7, 2.9, 5.1]
    slope = float(exact_fit([[value] for value in x], y)[0][1])
    for twin in (build_it, use_it):
        assert twin.fit_line(x, y).coefficients == pytest.approx([slope], rel=1e-12)
        assert twin.fit([[value] for value in x], y).coefficients == pytest.approx([slope], rel=1e-12)


def test_solve_needs_its_pivot(build_it: ModuleType, use_it: ModuleType) -> None:
    """Elimination without an exchange of rows answers (0, 1), or divides by zero."""
    for tiny in (1e-20, 0.0):
        for twin in (build_it, use_it):
            assert twin.solve([[tiny, 1], [1, 1]], [1, 2]) == pytest.approx([1, 1], rel=1e-15)
            cycle = [[0, 2, 0, 0], [0, 0, 4, 0], [0, 0, 0, 8], [16, 0, 0, 0]]
            assert twin.solve(cycle, [2, 4, 8, 16]) == [1, 1, 1, 1]
            assert twin.solve([[5]], [10]) == [2]


def test_solve_chooses_the_largest_pivot(build_it: ModuleType, use_it: ModuleType) -> None:
    """Not the first that serves, and by size, not by sign: other choices lose half the digits or more."""
    for A in ([[1e-9, 1, 1], [1, 1, 2], [-3, 5, 7]], [[1e-9, 1, 1], [-3, 5, 7], [1e-8, 1, 2]]):
        b = [sum(row) for row in A]
        for twin in (build_it, use_it):
            assert twin.solve(A, b) == pytest.approx([1, 1, 1], rel=1e-14)


def test_small_data(build_it: ModuleType, use_it: ModuleType, refused: Refused) -> None:
    """As many rows as unknowns: the plane goes through every point, and nothing is left to estimate the noise."""
    two, three = [[1], [3]], [[0, 0], [1, 0], [0, 1]]
    for twin in (build_it, use_it):
        names = (twin.__name__, "by hand")
        assert_equivalent(numbers(twin.fit_line([1, 3], [5, 9])), [3.0, 2.0], names=names)
        assert_equivalent(numbers(twin.fit(two, [5, 9])), [3.0, 2.0], names=names)
        assert_equivalent(numbers(twin.fit(three, [1, 3, -1])), [1.0, 2.0, -2.0], names=names)
        assert twin.r_squared(twin.LinearModel(3.0, [2.0]), two, [5, 9]) == 1.0
        assert_equivalent(numbers(twin.fit(two, [4, 4])), [4.0, 0.0], names=names)
        assert twin.predict(twin.LinearModel(1.0, [2.0]), [[5]]) == [11.0]
    for X, y in ((two, [5, 9]), (three, [1, 3, -1])):
        refused("standard_errors", X, y)
        one_more = [*X, [2.0] * len(X[0])], [*y, 7]
        assert_equivalent(build_it.standard_errors(*one_more), use_it.standard_errors(*one_more))


def test_standard_errors_by_hand(build_it: ModuleType, use_it: ModuleType) -> None:
    """The four flats of README, and the prediction of a fifth: measured from there, it is the intercept."""
    flats, rent = [[1, 1], [2, 1], [3, 2], [4, 4]], [2, 5, 4, 6]
    from_there = [[rooms - 3, km - 1] for rooms, km in flats]
    for twin in (build_it, use_it):
        names = (twin.__name__, "by hand")
        by_hand = [math.sqrt(2.45 * (1 / 4 + 1.5)), math.sqrt(2.45 * 1.2), math.sqrt(2.45)]
        assert_equivalent(twin.standard_errors(flats, rent), by_hand, names=names)
        assert_equivalent(numbers(twin.fit(from_there, rent)), [5.55, 1.6, -0.5], names=names)
        assert_equivalent(twin.standard_errors(from_there, rent)[0], math.sqrt(2.45 * (1 / 4 + 2.3)), names=names)


def test_r_squared_compares_with_the_mean(build_it: ModuleType, use_it: ModuleType) -> None:
    X, y = [[0], [0], [0]], [1, 2, 6]
    for twin in (build_it, use_it):
        for constant, expected in ((3.0, 0.0), (4.0, 1 - 17 / 14), (0.0, 1 - 41 / 14)):
            assert twin.r_squared(twin.LinearModel(constant, [7.0]), X, y) == pytest.approx(expected, abs=1e-15)
        assert twin.r_squared(twin.LinearModel(1e200, [7.0]), X, y) == -math.inf


def test_extreme_sizes(build_it: ModuleType, use_it: ModuleType) -> None:
    """Up to 1e150, and ranges down to 1e-150: nothing on the way is too large or too small for a float."""
    x, y = [1, 2, 3, 4], [2, 5, 4, 6]  # slope 1.1, standard error √0.27
    for of_x in (4e-151, 1.0, 2e149):
        for of_y in (1.0, 1.6e149):
            scaled_x, scaled_y = [v * of_x for v in x], [v * of_y for v in y]
            scale = of_y / of_x
            for twin in (build_it, use_it):
                X = [[v] for v in scaled_x]
                names = (twin.__name__, "by hand")
                for model in (twin.fit_line(scaled_x, scaled_y), twin.fit(X, scaled_y)):
                    assert_equivalent(model.coefficients[0] / scale, 1.1, names=names)
                    assert_equivalent(twin.r_squared(model, X, scaled_y), 1 - 2.7 / 8.75, names=names)
                assert_equivalent(twin.standard_errors(X, scaled_y)[1] / scale, math.sqrt(0.27), names=names)
    far_apart = [-9e149, -9e149, 9e149, 9e149]  # their products with x are larger than 1e150
    models = [numbers(twin.fit([[v] for v in x], far_apart)) for twin in (build_it, use_it)]
    assert_equivalent(*models)
    assert_equivalent(models[0], numbers(build_it.fit_line(x, far_apart)), names=("fit", "fit_line"))
    tiny = [v * 1e-200 for v in y]  # its square is no float
    assert_equivalent(
        build_it.standard_errors([[v] for v in x], tiny)[1] * 1e200, math.sqrt(0.27), names=("build_it", "by hand")
    )


# --- collinear, nearly collinear, constant, nearly constant ------------------------------------------------

BASE = [-2.0, -1.0, 0.0, 1.0, 2.0]
ACROSS = [1.0, -1.0, 0.0, -1.0, 1.0]  # orthogonal to BASE, with mean 0
TARGET = [1.0, 0.0, 2.0, 5.0, 3.0]


@pytest.mark.parametrize("share", [1e-2, 1e-6, 1e-10, 2e-11])
def test_nearly_collinear_is_still_solved(build_it: ModuleType, use_it: ModuleType, share: float) -> None:
    """The second feature is the first, but for `share` of its variance. Rounding grows by 1 / share."""
    tilt = math.sqrt(share * sum(v * v for v in BASE) / sum(v * v for v in ACROSS))
    X = [[b + 7, b + tilt * a] for b, a in zip(BASE, ACROSS, strict=True)]
    exact, variances = exact_fit(X, TARGET)
    scale = abs(float(exact[1]))
    for twin in (build_it, use_it):
        found, errors = numbers(twin.fit(X, TARGET)), twin.standard_errors(X, TARGET)
        for value, truth in zip([*found, *errors], [*exact, *map(math.sqrt, variances)], strict=True):
            assert abs(value - float(truth)) <= 1e-14 / share * scale


@pytest.mark.parametrize("share", [2e-13, 1e-14, 0.0])
def test_collinear(build_it: ModuleType, refused: Refused, share: float) -> None:
    tilt = math.sqrt(share * sum(v * v for v in BASE) / sum(v * v for v in ACROSS))
    X = [[a * a, b + 7, 3 * (b + tilt * a)] for b, a in zip(BASE, ACROSS, strict=True)]
    for name in ("fit", "standard_errors"):
        refused(name, X, TARGET)
        with pytest.raises(ValueError, match="feature 2"):
            getattr(build_it, name)(X, TARGET)


def test_fit_tolerance_for_collinearity(build_it: ModuleType) -> None:
    """1e-12 of the variance, not of the length; the twin's rule is the same to a factor of 4 with two features."""
    for share, collinear in ((0.9e-12, True), (1.1e-12, False)):
        tilt = math.sqrt(share * sum(v * v for v in BASE) / sum(v * v for v in ACROSS))
        X = [[b, b + tilt * a] for b, a in zip(BASE, ACROSS, strict=True)]
        if collinear:
            with pytest.raises(ValueError, match="feature 1"):
                build_it.fit(X, TARGET)
        else:
            assert len(build_it.fit(X, TARGET).coefficients) == 2


SIGNS = [(a, b, c) for a in (1, -1) for b in (1, -1) for c in (1, -1)]  # three orthogonal columns
REPEATS = {
    # each keeps more than 1e-12 of its variance, and together they leave 1e-15: elimination runs dry
    "a chain": ("feature 2", [[a, a + 1e-2 * b, b + 3e-6 * c] for a, b, c in SIGNS]),
    "a chain and more": ("feature 2", [[a, a + 1e-2 * b, b + 3e-6 * c, i**3] for i, (a, b, c) in enumerate(SIGNS)]),
    # the second keeps 1e-13, and all of that is in the third: no pivot is smaller than 1e-7
    "what is left is shared": ("feature 1", [[a, a + 3e-7 * b, b + c] for a, b, c in SIGNS]),
}


@pytest.mark.parametrize(("feature", "X"), REPEATS.values(), ids=REPEATS)
def test_near_repeats_among_three_are_refused(build_it: ModuleType, refused: Refused, feature: str, X) -> None:
    y = [1, 2, 3, 4, 5, 6, 7, 9]
    for name in ("fit", "standard_errors"):
        refused(name, X, y)
        with pytest.raises(ValueError, match=feature):
            getattr(build_it, name)(X, y)


@examples(15)
# Not a = -3: with one feature and b = 1 the combination would be 0, and what is left of it rounding alone.
@given(some.regression_data(), st.tuples(st.integers(0, 2), st.integers(-2, 3), st.integers(1, 3)))
def test_a_combination_of_features_is_refused(refused: Refused, data, mix) -> None:
    """Wherever the superfluous feature stands, and although 0.1 + 0.2 rounds: by fit and standard_errors."""
    (X, y), (place, a, b) = data, mix
    place = min(place, len(X[0]))
    combined = [[*row[:place], 0.1 * a * row[0] + 0.3 * b * row[-1], *row[place:]] for row in X]
    assume(len(X) > len(combined[0]))
    for name in ("fit", "standard_errors"):
        refused(name, combined, y)


def test_constant_feature(build_it: ModuleType, use_it: ModuleType, refused: Refused) -> None:
    """Constant: max - min is at most 1e-12 of the largest size; so 10¹² and 10¹² + 1, but not 10¹² + 2."""
    y = [1.0, 2.0, 4.0, 3.0, 5.0]
    for value in (0.1, 0.0, -7.0):
        X = [[b, value] for b in BASE]
        refused("fit", X, y)
        with pytest.raises(ValueError, match="feature 1"):
            build_it.fit(X, y)
        refused("fit_line", [value] * 3, [1, 2, 3])
        refused("fit", [[value]] * 3, [1, 2, 3])
        refused("standard_errors", [[value]] * 3, [1, 2, 3])
    for far in (1e12, -1e12):
        nearly = [far, far + math.copysign(1, far), far]
        refused("fit_line", nearly, [1, 2, 3])
        refused("fit", [[v] for v in nearly], [1, 2, 3])
        refused("r_squared", build_it.LinearModel(far, [0.0]), [[1], [2], [3]], nearly)
        varies = [far, far + math.copysign(2, far), far]
        exact = [float(b) for b in exact_fit([[v] for v in varies], [1, 5, 3])[0]]
        for twin in (build_it, use_it):
            # rtol: floats near 10¹² are 1e-4 apart, so the mean is off by up to that, and build_it does not correct it
            found = numbers(twin.fit_line(varies, [1, 5, 3]))
            assert_equivalent(found, exact, rtol=1e-8, names=(twin.__name__, "fractions"))
        model = build_it.LinearModel(far, [0.0])
        assert_equivalent(*(twin.r_squared(model, [[1], [2], [3]], varies) for twin in (build_it, use_it)))


def test_a_range_too_small_is_constant(build_it: ModuleType, use_it: ModuleType, refused: Refused) -> None:
    """At most 1e-150: a slope might not fit into a float."""
    for range_ in (1e-150, 1e-165):
        small = [0.0, range_, 0.0]
        refused("fit_line", small, [1, 2, 3])
        refused("fit", [[v] for v in small], [1, 2, 3])
        refused("r_squared", build_it.LinearModel(0.0, [0.0]), [[1], [2], [3]], small)
    small = [0.0, 1.1e-150, 0.0]
    for twin in (build_it, use_it):
        assert twin.fit_line(small, [1, 1, 2]).coefficients == pytest.approx([-0.5 / 1.1e-150], rel=1e-14)
        assert twin.fit([[v] for v in small], [1, 1, 2]).coefficients == pytest.approx([-0.5 / 1.1e-150], rel=1e-14)
        assert twin.r_squared(twin.LinearModel(0.0, [0.0]), [[1], [2], [3]], small) == pytest.approx(-0.5, rel=1e-14)


def test_constant_target(build_it: ModuleType, use_it: ModuleType, refused: Refused) -> None:
    """It has a fit, and no R²: scikit-learn's r2_score would say 1 or 0."""
    X, y = [[1], [2], [4]], [0.1, 0.1, 0.1]
    assert_equivalent(build_it.fit(X, y), use_it.fit(X, y))
    for model in (build_it.fit(X, y), build_it.LinearModel(3.0, [1.0])):
        refused("r_squared", model, X, y)
    refused("r_squared", build_it.LinearModel(0.0, [1.0]), [[1]], [1])


def test_solve_refuses_the_singular(build_it: ModuleType, use_it: ModuleType, refused: Refused) -> None:
    """Singular: a pivot at most 1e-12 of the largest entry."""
    third = 1 / 3
    for A in (
        [[0]],
        [[0, 0], [0, 0]],
        [[1, 2], [2, 4]],
        [[0.1, 0.2], [0.3, 0.6]],
        [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        [[third, 1, 2 * third], [0.7, 2.1, 5.0], [-1.1, -3.3, 4.0]],
        [[0, 1], [0, 2]],
        [[1e6, 0], [0, 1e-6]],
        [[0, -1e6], [1e-6, 0]],
    ):
        refused("solve", A, [1] * len(A))
    for tiny in (2e-12, -2e-12):
        for A in ([[1, 0], [0, tiny]], [[tiny, 0], [0, -1]]):
            assert_equivalent(build_it.solve(A, [1, 1]), use_it.solve(A, [1, 1]))
    assert_equivalent(build_it.solve([[1e-200]], [1e-200]), [1.0], names=("build_it", "by hand"))


# --- other bad input ---------------------------------------------------------------------------------------

NAN, INF, HUGE = math.nan, math.inf, 1.1e150
GOOD = [[1, 2], [2, 1], [3, 5], [4, 4]], [1, 3, 2, 5]
BAD_DATA = {
    "empty": ([], []),
    "no feature": ([[], [], []], [1, 2, 3]),
    "y longer": (GOOD[0], [*GOOD[1], 1]),
    "y shorter": (GOOD[0], GOOD[1][1:]),
    "ragged, short": ([[1, 2], [2], [3, 5], [4, 4]], GOOD[1]),
    "ragged, long": ([[1, 2], [2, 1], [3, 5, 1], [4, 4]], GOOD[1]),
    **{f"{value} in X": ([[1, 2], [2, 1], [3, value], [4, 4]], GOOD[1]) for value in (NAN, INF, -INF, HUGE, -HUGE)},
    **{f"{value} in y": (GOOD[0], [1, 3, value, 5]) for value in (NAN, INF, -INF, HUGE, -HUGE)},
}


@pytest.mark.parametrize("data", BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data(build_it: ModuleType, refused: Refused, data) -> None:
    X, y = data
    model = build_it.LinearModel(0.0, [1.0, 1.0])
    refused("fit", X, y)
    refused("standard_errors", X, y)
    refused("residuals", model, X, y)
    refused("r_squared", model, X, y)


def test_fit_line_refuses_bad_points(build_it: ModuleType, use_it: ModuleType, refused: Refused) -> None:
    for x, y in (
        ([], []),
        ([1], [1]),
        ([1, 2], [1]),
        ([1, 2], [1, 2, 3]),
        ([1, NAN, 2], [1, 2, 3]),
        ([1, 3, 2], [1, INF, 3]),
        ([1, HUGE], [1, 2]),
    ):
        refused("fit_line", x, y)
    large = [1e150, -1e150, 0.0]  # the largest that may come in
    for twin in (build_it, use_it):
        assert twin.fit_line(large, [1.0, -1.0, 0.0]).coefficients == pytest.approx([1e-150], rel=1e-12)


def test_fewer_rows_than_unknowns(refused: Refused) -> None:
    X, y = [[1, 2, 4], [2, 1, 0], [3, 5, 1]], [1, 3, 2]
    for rows in (1, 2, 3):
        for name in ("fit", "standard_errors"):
            refused(name, X[:rows], y[:rows])


def test_predict_refuses(build_it: ModuleType, refused: Refused) -> None:
    for X in ([], [[]], [[1]], [[1, 2, 3]], [[1, 2], [3]], [[1, NAN]], [[1, 2], [INF, 1]], [[HUGE, 1]]):
        refused("predict", build_it.LinearModel(0.0, [1.0, 1.0]), X)


def test_solve_refuses(refused: Refused) -> None:
    for A, b in (
        ([], []),
        ([[]], [1]),
        ([[1, 0]], [1]),
        ([[1], [2]], [1, 2]),
        ([[1, 0], [0, 1]], [1]),
        ([[1, 0], [0, 1]], [1, 2, 3]),
        ([[1, 0], [1]], [1, 2]),
        ([[1, 0], [0, 1, 1]], [1, 2]),
        ([[1, 0], [0, NAN]], [1, 2]),
        ([[1, 0], [0, 1]], [1, INF]),
        ([[HUGE]], [1]),
    ):
        refused("solve", A, b)


def test_messages_say_where(build_it: ModuleType) -> None:
    """The row and column (from 0) of a bad value, and the number of a bad feature."""
    for X, y, where in (
        ([[1, 2], [2, 1], [3, NAN], [4, 4]], GOOD[1], r"X\[2\]\[1\]"),
        (GOOD[0], [1, 3, 2, INF], r"y\[3\]"),
        ([[1, 2], [2, 1], [3], [4, 4]], GOOD[1], r"X\[2\]"),
        ([[5, 1], [5, 2], [5, 4]], [1, 2, 3], "feature 0"),
    ):
        with pytest.raises(ValueError, match=where):
            build_it.fit(X, y)
    for x, y, where in (
        ([1, NAN, 2], [1, 2, 3], r"x\[1\]"),
        ([1, 2, 4], [1, 2, HUGE], r"y\[2\]"),
        ([1, 2], [1, 2, 3], "2.*3"),
        ([], [], "two|2"),
        ([1], [1], "two|2"),
        ([5, 5, 5], [1, 2, 3], r"\bx\b"),
    ):
        with pytest.raises(ValueError, match=where):
            build_it.fit_line(x, y)
    with pytest.raises(ValueError, match=r"(?s)2.*3"):
        build_it.fit([[1, 2], [3, 5]], [1, 2])  # 2 rows for 3 unknowns
    with pytest.raises(ValueError, match=r"(?s)4.*5|5.*4"):
        build_it.fit(GOOD[0], [*GOOD[1], 1])  # 4 rows, 5 values
    with pytest.raises(ValueError, match=r"(?s)5.*3|3.*5"):
        build_it.predict(build_it.LinearModel(0.0, [1.0, 2.0, 3.0]), [[1, 2, 3, 4, 5]])


# --- the tool ----------------------------------------------------------------------------------------------

Run = Callable[..., SimpleNamespace]


@pytest.fixture
def regress(build_it: ModuleType, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Run:
    """Run tool.py on a CSV given as text or bytes: its exit status, what it prints, and its complaint."""
    assert build_it.fit
    spec = importlib.util.spec_from_file_location("tool_under_test", HERE / "tool.py")
    tool = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, tool)  # where its dataclass looks for its own module
    spec.loader.exec_module(tool)

    def run(content: str | bytes, *arguments: str) -> SimpleNamespace:
        file = tmp_path / "data.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        status = tool.main([str(file), *arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return run


CSV = "x,y\n1,2\n2,5\n3,4\n4,6\n"


def test_tool_reports_what_fit_and_standard_errors_say(build_it: ModuleType, regress: Run) -> None:
    X, y = longley()
    expected = everything(build_it, X, y)
    result = json.loads(regress((HERE / "longley.csv").read_bytes(), "--target", "employed", "--json").out)
    rows = [result["intercept"], *result["coefficients"].values()]
    assert list(result["coefficients"]) == ["deflator", "gnp", "unemployed", "armed_forces", "population", "year"]
    assert [row["estimate"] for row in rows] == expected["coefficients"]
    assert [row["standard_error"] for row in rows] == expected["standard errors"]
    assert [row["t"] for row in rows] == [row["estimate"] / row["standard_error"] for row in rows]
    assert result["r_squared"] == expected["R²"]
    assert result["residual_standard_deviation"] == pytest.approx(expected["residual standard deviation"], rel=1e-14)
    assert (result["rows"], result["degrees_of_freedom"], result["target"]) == (16, 9, "employed")
    chosen = regress((HERE / "longley.csv").read_bytes(), "--target", "employed", "--features", "year", "gnp", "--json")
    some_columns = build_it.fit([[row[5], row[1]] for row in X], y)
    found = json.loads(chosen.out)["coefficients"]
    assert {name: row["estimate"] for name, row in found.items()} == dict(
        zip(["year", "gnp"], some_columns.coefficients, strict=True)
    )


@pytest.mark.parametrize(
    ("content", "arguments"),
    [
        (CSV.replace(",", ";"), []),
        (CSV.replace(",", "\t"), []),
        (CSV.replace(",", "|"), ["--delimiter", "|"]),
        (CSV.replace(",", "\t"), ["--delimiter", "tab"]),
        (b"\xef\xbb\xbf" + CSV.encode(), []),
        (CSV.replace("\n", "\r\n"), []),
        (CSV.replace("\n", "\n\n"), []),
        (' "x" , "y" \n1, "2"\n"2",5\n3,4\n4,6', []),
        (CSV.replace("5", "").replace("6\n", "6\n2,5\n"), ["--drop-missing"]),
        (CSV.replace("x,y", 'x,y,"a, note"').replace("\n", ",hm\n").replace('note",hm', 'note"'), ["--features", "x"]),
    ],
    ids=["semicolon", "tab", "bar", "tab named", "BOM", "CRLF", "blank lines", "quotes", "missing", "text"],
)
def test_tool_reads_many_dialects(build_it: ModuleType, regress: Run, content, arguments) -> None:
    run = regress(content, "--target", "y", "--json", *arguments)
    assert run.err == ""
    result = json.loads(run.out)
    model = build_it.fit_line([1, 2, 3, 4], [2, 5, 4, 6])
    assert result["coefficients"]["x"]["estimate"] == pytest.approx(model.coefficients[0], rel=1e-14)
    assert result["dropped_rows"] == ([3] if "--drop-missing" in arguments else [])


@pytest.mark.parametrize(
    ("content", "arguments", "complaint"),
    [
        (CSV.replace("5", "n/a"), ["--target", "y"], "row 3, column 'y': 'n/a' is not a number"),
        (CSV.replace("3,4", ",4"), ["--target", "y"], "row 4, column 'x': the value is missing"),
        (CSV.replace("5", "inf"), ["--target", "y"], "row 3, column 'y': 'inf' is larger"),
        (CSV.replace("5", "1_0"), ["--target", "y"], "row 3, column 'y': '1_0' is not a number"),
        (CSV.replace("4,6", "4,6,7"), ["--target", "y"], "row 5 has 3 values"),
        (CSV, ["--target", "z"], "no column 'z'; row 1 names 'x', 'y'"),
        (CSV, ["--target", "y", "--features", "y"], "column 'y' is used twice"),
        (CSV.replace("x,y", "y,y"), ["--target", "y"], "2 columns are called 'y'"),
        (CSV.replace("x,y", ",y"), ["--target", "y"], "column 1 has no name"),
        (CSV, ["--target", "y", "--delimiter", "ab"], "--delimiter"),
        (CSV, ["--target", "x,y", "--delimiter", ";"], "the only column"),
        ("1,2\n2,5\n3,4\n4,6\n", ["--target", "2"], "row 1 holds numbers"),
        ("x;y\n1,5;2\n", ["--target", "y"], "row 2, column 'x': '1,5' is not a number (write 1.5)"),
        ("", ["--target", "y"], "row 1 is empty"),
        ("x,y\n", ["--target", "y"], "no row of data"),
        ("x,y\n1,2\n2,3\n", ["--target", "y"], "the data have 2 rows"),
        ("x,y\n1,2\n1,3\n1,5\n", ["--target", "y"], "column 'x' is constant"),
        ("x,y\n1,2\n2,2\n3,2\n", ["--target", "y"], "column 'y' is constant"),
        ("x,a,y\n1,2,2\n2,4,3\n3,6,7\n4,8,1\n", ["--target", "y"], "column 'a' is collinear"),
        (b"x,y\n1,2\n2,\xff\n", ["--target", "y"], "row 3 is not UTF-8"),
    ],
)
def test_tool_says_what_is_wrong(build_it: ModuleType, regress: Run, content, arguments, complaint: str) -> None:
    run = regress(content, *arguments)
    assert (run.status, run.out) == (2, "")
    assert complaint in run.err
    assert run.err.count("\n") == 1


def test_shipped_tool_stands_alone(build_it: ModuleType, tmp_path: Path) -> None:
    """One file from build_it.py and tool.py, run by a bare interpreter, reading standard input."""
    file = tmp_path / "regress.py"
    file.write_text(one_file(Path(build_it.__file__), HERE / "tool.py"), encoding="utf-8")
    command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(file), "-", "--target", "y"]
    done = subprocess.run(command, input=CSV, capture_output=True, encoding="utf-8", check=False)
    assert done.stderr == ""
    slope = build_it.fit_line([1, 2, 3, 4], [2, 5, 4, 6]).coefficients[0]
    assert f"x{slope:24.7g}" in done.stdout
