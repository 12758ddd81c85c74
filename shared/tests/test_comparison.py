"""assert_equivalent: what it accepts, and what it says when it does not."""

import math
from dataclasses import dataclass
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.proof import assert_equivalent, assert_same_error, differences, numerical_gradient, strategies
from shared.proof.equivalence import record


@dataclass
class Point:
    x: float
    weights: list[float]


@dataclass
class OtherPoint:
    x: float
    weights: list[float]


class Array:
    """Anything with tolist(), such as an array or a tensor."""

    def __init__(self, values: object) -> None:
        self.values = values

    def tolist(self) -> object:
        return self.values


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 1.0),
        (0.1 + 0.2, 0.3),
        (math.nan, math.nan),
        (math.inf, math.inf),
        (1e-13, -1e-13),
        ([[1.0, 2.0]], ((1.0, 2.0),)),
        (Array([1.0, [2.0]]), [1.0, [2.0]]),
        (Point(1, [2]), OtherPoint(1.0, [2.0])),
        ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1.0}),
        ("text", "text"),
        (None, None),
        (True, True),
        (1 + 2j, 1 + 2j),
        ([], []),
    ],
)
def test_equal_values_pass(a: object, b: object) -> None:
    assert_equivalent(a, b)


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (1.0, 1.00001, r"the value: build_it 1.0, use_it 1.00001 \(1.0e-05 apart, allowed 1e-09\)"),
        ({"layers": [{"w": [1, 2, 3]}]}, {"layers": [{"w": [1, 2, 4]}]}, r"layers\[0\]\.w\[2\]: build_it 3, use_it 4"),
        ([[1, 2, 3]], [[1], [2], [3]], r"shape \(1, 3\), use_it shape \(3, 1\): one is the transpose of the other"),
        ([[1, 2], [3, 4]], [[1, 3], [2, 4]], r"shape \(2, 2\) is right, but one is the transpose"),
        ([1, 2], [1, 2, 3], r"shape \(2,\), use_it shape \(3,\)"),
        ([[1], [1, 2]], [[1], [1]], r"2 items, use_it shape"),
        (10**15, 10**15 + 1, "build_it 1000000000000000, use_it 1000000000000001"),
        ([10**400], [10**400 + 1], "build_it 1000"),
        (math.nan, 1.0, "build_it nan, use_it 1.0"),
        (0.0, math.nan, "build_it 0.0, use_it nan"),
        ([1.0, math.inf], [1.0, math.nan], r"\[1\]: build_it inf, use_it nan"),
        (complex(0, math.nan), 0j, "nan"),
        (math.inf, -math.inf, "inf"),
        (math.inf, 1e308, "inf"),
        (1, True, "int against bool"),
        (0.0, None, "float against NoneType"),
        ([1.0], 1.0, "list against float"),
        ("a", "b", "build_it 'a', use_it 'b'"),
        ({"a": 1, "c": 2}, {"b": 1, "c": 2}, r"only build_it has \['a'\], only use_it has \['b'\]"),
        (1, 1.001, "build_it 1, use_it 1.001"),
        (Point(1.0, [2.0]), Point(1.0, [3.0]), r"weights\[0\]: build_it 2.0, use_it 3.0"),
        ({"p": Point(1.0, [])}, {"p": Point(2.0, [])}, "p.x: build_it 1.0, use_it 2.0"),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, "^a: build_it has shape"),
        ({"a": [[1, 2], [3, 4]]}, {"a": [[1, 3], [2, 4]]}, r"^a: build_it has|^a: build_it 2, use_it 3; shape"),
        ({"a": {"b": 1}}, {"a": {"c": 1}}, "^a: only build_it has"),
        ({"a": "x"}, {"a": "y"}, "^a: build_it 'x', use_it 'y'$|^a: build_it 'x', use_it 'y'\n"),
        ({"a": 1}, {"a": None}, r"^a: build_it 1, use_it None \(int against NoneType\)"),
        ({"a": 1}, [1], "dict against list"),
        (1e-13, 2e-12, "1.9e-12 apart, allowed 1e-12"),
    ],
)
def test_different_values_are_reported(a: object, b: object, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        assert_equivalent(a, b)


def test_of_many_matrices_the_transposed_one_is_named() -> None:
    report = differences([[[1, 2, 3]], [[4, 5, 6]]], [[[1], [2], [3]], [[4], [5], [6]]])
    assert report == "[0]: build_it has shape (1, 3), use_it shape (3, 1): one is the transpose of the other"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([[1, 2], [3, 4]], [[1, 2], [3, 5]]),
        ([[1, 2], [3, 4]], [[1, 3], [9, 4]]),
        ([[1, 2, 3]], [[1, 2]]),
        ([[1, 2, 3], [4, 5, 6]], [[1, 2], [3, 4], [5, 6], [7, 8]]),
        ([[[1, 2, 3]]], [[[[1], [2], [3]]]]),
        ([1, 2], [[1], [2]]),
    ],
)
def test_what_is_no_transpose_is_not_called_one(a: object, b: object) -> None:
    report = differences(a, b)
    assert report
    assert "transpose" not in report


def test_a_transpose_is_found_within_the_tolerance() -> None:
    report = differences({"W": [[1, 2], [3, 4]]}, {"W": [[1, 3 + 1e-12], [2, 4]]})
    assert report.startswith("W: build_it 2, use_it 3.000000000001 (")
    assert "; shape (2, 2) is right, but one is the transpose of the other" in report


def test_a_tensor_that_requires_a_gradient_is_compared_by_its_values() -> None:
    class Tensor(Array):
        def detach(self) -> Array:
            return Array(self.values)

        def tolist(self) -> object:
            raise RuntimeError("detach it first")

    assert_equivalent(Tensor([1.0]), [1.0])
    assert differences(Tensor([1.0]), [2.0])


def test_named_quantities_say_what_was_still_right() -> None:
    built = {"z": [1.0], "loss": 2.0, "dz": [3.0], "dw": [5.0]}
    used = {"z": [1.0], "loss": 2.0, "dz": [4.0], "dw": [6.0]}
    report = differences(built, used)
    assert report.startswith("dz[0]: build_it 3.0, use_it 4.0")
    assert report.endswith("last that agreed: loss")
    assert "it is the first value compared" in differences({"z": 1}, {"z": 2})
    assert "last that agreed" not in differences([1, 2], [1, 3])
    assert differences({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2, "c": 4}).endswith("last that agreed: b")


@given(strategies.floats(), strategies.floats(), st.sampled_from([1e-3, 1e-9]))
def test_the_tolerance_is_the_stated_formula(a: float, b: float, rtol: float) -> None:
    atol = 1e-3 * rtol
    allowed = atol + rtol * max(abs(a), abs(b))
    if not math.isclose(abs(a - b), allowed, rel_tol=1e-6):  # on the edge rounding decides
        assert (differences(a, b, rtol, atol) == "") == (abs(a - b) <= allowed)


def test_what_was_compared_is_recorded() -> None:
    record.reset()
    assert_equivalent([1.0, 2.0], [1.0, 2.0])
    assert_equivalent({"w": [1.0, 1000.0]}, {"w": [1.0, 1000.001]}, rtol=1e-6)
    with pytest.raises(AssertionError):
        assert_equivalent({"a": 5.0, "w": [1.0, 4.0]}, {"a": 5.1, "w": [1.0, 2.0]}, rtol=0.05)
    assert (record.cases, record.rtol) == (3, 0.05)
    assert record.worst == pytest.approx(0.5)
    assert record.worst_at == "w[1]"


def test_differences_near_zero_are_recorded_on_the_scale_of_the_tolerance() -> None:
    record.reset()
    assert_equivalent([0.0, 5.0], [1e-14, 5.0])  # a hundredth of what is allowed near 0
    assert record.worst == pytest.approx(1e-11)
    assert_equivalent([1.0, 1.0], [1.0 + 1e-10, 1.0])
    assert record.worst == pytest.approx(1e-10 / (1 + 1e-3), rel=1e-4)
    assert_equivalent(1.0, 1.0 + 1e-11)
    assert record.worst_at == "[0]"
    record.reset()
    assert vars(record) == {"cases": 0, "worst": 0.0, "worst_at": "", "rtol": 0.0, "atol": 0.0}


def test_a_witness_counts_as_a_case_but_not_for_the_worst_difference() -> None:
    record.reset()
    assert_equivalent(1.0, 1.0001, rtol=1e-3, names=("build_it", "finite differences"))
    assert (record.cases, record.worst, record.rtol) == (1, 0.0, 0.0)


def test_a_tolerance_that_compares_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="compares nothing"):
        assert_equivalent(1.0, 1.0, rtol=0.1)


def test_an_exact_comparison_allows_nothing() -> None:
    assert_equivalent([0.1, -0.0], [0.1, 0.0], rtol=0, atol=0)
    assert_equivalent(1.0, 1.5, rtol=0, atol=0.5)
    with pytest.raises(AssertionError, match="allowed 0e"):
        assert_equivalent(0.1, 0.1 + 2e-17, rtol=0, atol=0)


def module(name: str, source: str) -> ModuleType:
    made = ModuleType(name)
    exec(source, made.__dict__)
    return made


def test_errors_are_compared() -> None:
    good = module("build_it", "def f(x): raise ValueError('expected 1, got 2')")
    record.reset()
    assert_same_error(lambda twin: twin.f(1), good, good)
    assert record.cases == 1
    for source, says in {
        "def f(x): return 3": "use_it should raise ValueError and returned 3",
        "def f(x): raise KeyError(x)": "should raise ValueError and raised KeyError",
        "def f(x): raise ValueError": "without a word",
    }.items():
        with pytest.raises(AssertionError, match=says):
            assert_same_error(lambda twin: twin.f(1), good, module("use_it", source))


def test_the_numerical_gradient_is_the_derivative() -> None:
    at = [[1.0, 2.0], [3.0]]
    gradient = numerical_gradient(lambda v: v[0][0] ** 2 * v[0][1] + math.sin(v[1][0]), at)
    assert_equivalent(gradient, [[4.0, 1.0], [math.cos(3)]], rtol=1e-8, atol=1e-9)
    assert at == [[1.0, 2.0], [3.0]]
    assert_equivalent(numerical_gradient(lambda x: x**3, 2.0), 12.0, rtol=1e-8)
    assert_equivalent(numerical_gradient(lambda v: v[0] ** 3, [2.0], step=0.5), [12.25])  # h² is the error
    assert_equivalent(numerical_gradient(lambda x: x**3, 2.0, step=0.5), 12.25)


@given(strategies.well_conditioned_systems())
def test_systems_are_well_conditioned(system: tuple[list[list[float]], list[float]]) -> None:
    A, b = system
    n = len(b)
    assert len(A) == n
    for row in A:  # one entry outweighs the rest of its row
        largest = max(abs(v) for v in row)
        assert largest > sum(abs(v) for v in row) - largest
    assert {max(range(n), key=lambda j: abs(row[j])) for row in A} == set(range(n))


@given(strategies.regression_data())
def test_regression_data_have_more_samples_than_unknowns(data: tuple[list[list[float]], list[float]]) -> None:
    X, y = data
    assert len(X) == len(y) >= len(X[0]) + 3
    for column in zip(*X, strict=True):
        assert max(column) > min(column)
