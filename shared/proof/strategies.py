"""Generators of test inputs, shared by all lessons. Every one shrinks towards small, simple numbers."""

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Vector = list[float]
Matrix = list[list[float]]


def floats(low: float = -10.0, high: float = 10.0) -> SearchStrategy[float]:
    """Finite floats in [low, high], without subnormals (frameworks may flush those to zero)."""
    return st.floats(low, high, allow_nan=False, allow_infinity=False, allow_subnormal=False)


def sizes(low: int = 1, high: int = 5) -> SearchStrategy[int]:
    """A size of an axis; 1 is among them, because that is where broadcasting goes wrong."""
    return st.integers(low, high)


def seeds() -> SearchStrategy[int]:
    """A seed for ``random.Random``."""
    return st.integers(0, 2**32 - 1)


def vectors(n: int, elements: SearchStrategy[float] | None = None) -> SearchStrategy[Vector]:
    """Lists of `n` floats."""
    return st.lists(floats() if elements is None else elements, min_size=n, max_size=n)


def matrices(n_rows: int, n_columns: int, elements: SearchStrategy[float] | None = None) -> SearchStrategy[Matrix]:
    """Lists of `n_rows` lists of `n_columns` floats."""
    return st.lists(vectors(n_columns, elements), min_size=n_rows, max_size=n_rows)


def labels(n: int, n_classes: int) -> SearchStrategy[list[int]]:
    """`n` class numbers below `n_classes`."""
    return st.lists(st.integers(0, n_classes - 1), min_size=n, max_size=n)


@st.composite
def well_conditioned_systems(draw: Any, max_size: int = 5) -> tuple[Matrix, Vector]:
    """(A, b) with A square and diagonally dominant, its rows shuffled so that elimination must look for its pivots."""
    n = draw(sizes(1, max_size))
    A = draw(matrices(n, n, floats(-1, 1)))
    for i in range(n):
        A[i][i] = draw(st.sampled_from([-1, 1])) * (n + 1 + abs(A[i][i]))
    order = draw(st.permutations(range(n)))
    return [A[i] for i in order], draw(vectors(n))


@st.composite
def regression_data(draw: Any, max_features: int = 3, max_extra: int = 6) -> tuple[Matrix, Vector]:
    """(X, y) with at least two samples more than unknowns, and no feature close to a combination of the others."""
    n_features = draw(sizes(1, max_features))
    n_samples = n_features + 3 + draw(st.integers(0, max_extra))
    quarters = st.integers(-32, 32).map(lambda k: k / 4)
    X = draw(matrices(n_samples, n_features, quarters))
    assume(_independent([[1.0] * n_samples, *([row[j] for row in X] for j in range(n_features))]))
    return X, draw(vectors(n_samples))


def _independent(columns: list[Vector]) -> bool:
    """Gram–Schmidt: whether each column keeps at least a tenth of its length beside the earlier ones."""
    basis: list[Vector] = []
    for column in columns:
        length = sum(v * v for v in column) ** 0.5
        rest = column
        for unit in basis:
            projection = sum(u * v for u, v in zip(unit, rest, strict=True))
            rest = [v - projection * u for u, v in zip(unit, rest, strict=True)]
        left = sum(v * v for v in rest) ** 0.5
        if left < 0.1 * length or left < 0.5:
            return False
        basis.append([v / left for v in rest])
    return True
