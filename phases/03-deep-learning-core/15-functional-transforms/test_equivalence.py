"""The proof: what a program computes, its derivatives of any order, and all samples at once, on both twins.

XLA needs a tenth of a second and more to compile what it has not seen; so JAX gets many quantities in one jit.
"""

import json
import math
import subprocess
import sys
from functools import partial
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phases.deep_learning_core.functional_transforms import ship_it

from shared.proof import assert_equivalent, assert_same_error, examples, numerical_gradient
from shared.proof import strategies as some

INF, NAN = math.inf, math.nan
BY_HAND = {"names": ("build_it", "by hand")}
DIFFERENCES = {"names": ("build_it", "finite differences"), "rtol": 1e-5, "atol": 1e-6}
edges = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1000.0, -1000.0])
numbers = some.floats(-3, 3)
smooth_lines = st.tuples(
    st.sampled_from(["add", "sub", "mul", "div", "sin", "cos", "tanh", "exp"]), st.integers(0, 9), st.integers(0, 9)
)
any_lines = st.tuples(
    st.sampled_from(
        ["add", "sub", "mul", "div", "max", "neg", "sin", "cos", "tanh", "exp", "log", "2+", "2-", "2*", "2/"]
    ),
    st.integers(0, 9),
    st.integers(0, 9),
)


def against(twin, witness):
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


def plain(tree):
    """Trees of arrays as nested lists."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    return [plain(value) for value in tree] if isinstance(tree, list | tuple) else tree.tolist()


def gauss(shape, rng):
    return rng.gauss(0, 1) if not shape else [gauss(shape[1:], rng) for _ in range(shape[0])]


def line(twin, name, a, b):
    """One operation of a random program."""
    binary = {
        "add": lambda: a + b,
        "sub": lambda: a - b,
        "mul": lambda: a * b,
        "div": lambda: a / b,
        "max": lambda: twin.maximum(a, b),
        "neg": lambda: -a,
        "2+": lambda: 2.0 + a,
        "2-": lambda: 2.0 - a,
        "2*": lambda: a * 2.0,
        "2/": lambda: 2.0 / a,
    }
    return binary[name]() if name in binary else getattr(twin, name)(a)


def program(twin, lines, bounded=False):
    """A function of two numbers; line number i may use the arguments and every line before it, again and again."""

    def run(x, y):
        values = [x, y]
        for name, i, j in lines:
            a, b = values[i % len(values)], values[j % len(values)]
            if bounded and name == "div":
                b = 2.0 + twin.cos(b)
            if bounded and name in ("mul", "exp"):
                a = twin.tanh(a)
            values.append(line(twin, name, a, b))
        return values[-1]

    return run


# On build_it alone: the example by hand, closed forms, invariants, finite differences


def by_hand(x, y):
    return (x + y) * y


def test_the_example_by_hand(build_it):
    several = build_it.array([3.0, 4.0]), build_it.array([1.0, 2.0, 3.0])
    found = {
        "value": by_hand(build_it.array(2.0), build_it.array(3.0)).tolist(),
        "along x": plain(build_it.jvp(by_hand, (2.0, 3.0), (1.0, 0.0))),
        "along y": plain(build_it.jvp(by_hand, (2.0, 3.0), (0.0, 1.0))),
        "along both": plain(build_it.jvp(by_hand, (2.0, 3.0), (1.0, 2.0))),
        "a constant": plain(build_it.jvp(lambda x: (7.0, x, build_it.array([1.0, 2.0])), (2.0,), (1.0,))),
        "backward": plain(build_it.vjp(by_hand, 2.0, 3.0)[1](1.0)),
        "backward, unused": plain(
            build_it.vjp(lambda x, y: (x, y * 0.0, *several), 2.0, several[0])[1]((1.0, *several[:1], *several))
        ),
        "value and gradient": plain(build_it.value_and_grad(by_hand, 1)(2.0, 3.0)),
        "second": plain([build_it.grad(build_it.grad(by_hand, i), j)(2.0, 3.0) for i in (0, 1) for j in (0, 1)]),
        "samples": plain(
            build_it.vmap(build_it.grad(by_hand, 1))(build_it.array([2.0, 0.0]), build_it.array([3.0, 1.0]))
        ),
    }
    expected = {
        "value": 15.0,
        "along x": [15.0, 3.0],
        "along y": [15.0, 8.0],
        "along both": [15.0, 19.0],
        "a constant": [[7.0, 2.0, [1.0, 2.0]], [0.0, 1.0, [0.0, 0.0]]],
        "backward": [3.0, 8.0],
        "backward, unused": [1.0, [0.0, 0.0]],
        "value and gradient": [15.0, 8.0],
        "second": [0.0, 1.0, 1.0, 2.0],
        "samples": [8.0, 2.0],
    }
    assert_equivalent(found, expected, rtol=0, atol=0, **BY_HAND)


def nth_derivative(twin, f, n):
    for _ in range(n):
        f = twin.grad(f)
    return f


@given(numbers)
@examples(5)
def test_derivatives_of_any_order(build_it, x):
    """Closed forms, with grad inside grad up to six deep."""
    s, c, t = math.sin(x), math.cos(x), math.tanh(x)
    found = {
        "sin": [nth_derivative(build_it, build_it.sin, n)(x).tolist() for n in (1, 2, 3, 4)],
        "cos": [nth_derivative(build_it, build_it.cos, n)(x).tolist() for n in (1, 2, 3, 4)],
        "x⁵": [nth_derivative(build_it, lambda x: x**5, n)(x).tolist() for n in range(1, 7)],
        "tanh": [nth_derivative(build_it, build_it.tanh, n)(x).tolist() for n in (1, 2)],
        "exp(-x²)": [nth_derivative(build_it, lambda x: build_it.exp(-x * x), n)(x).tolist() for n in (1, 2)],
        "1 / (4 + x)": [nth_derivative(build_it, lambda x: 1.0 / (4.0 + x), n)(x).tolist() for n in (1, 2, 3)],
        "log(4 + x)": [nth_derivative(build_it, lambda x: build_it.log(4.0 + x), n)(x).tolist() for n in (1, 2)],
    }
    e, u = math.exp(-x * x), 1 / (4 + x)
    expected = {
        "sin": [c, -s, -c, s],
        "cos": [-s, -c, s, c],
        "x⁵": [5 * x**4, 20 * x**3, 60 * x**2, 120 * x, 120.0, 0.0],
        "tanh": [1 - t * t, -2 * t * (1 - t * t)],
        "exp(-x²)": [-2 * x * e, (4 * x * x - 2) * e],
        "1 / (4 + x)": [-(u**2), 2 * u**3, -6 * u**4],
        "log(4 + x)": [u, -(u**2)],
    }
    assert_equivalent(found, expected, rtol=1e-12, **BY_HAND)


@given(st.lists(smooth_lines, min_size=1, max_size=6), some.vectors(2, numbers), some.vectors(2, numbers))
@examples(25)
def test_random_programs_against_finite_differences(build_it, lines, at, along):
    """Forward, reverse, batched, compiled, and second derivatives as the differences of first ones."""
    f = program(build_it, lines, bounded=True)
    (x, y), (u, v) = at, along
    gradient = [build_it.grad(f, i)(x, y).tolist() for i in (0, 1)]
    slopes = numerical_gradient(lambda at: f(*map(build_it.array, at)).tolist(), [x, y])
    assert_equivalent(gradient, slopes, **DIFFERENCES)
    value, slope = build_it.jvp(f, (x, y), (u, v))
    along = u * gradient[0] + v * gradient[1]
    assert_equivalent(
        [value.tolist(), slope.tolist()], [f(build_it.array(x), build_it.array(y)).tolist(), along], **BY_HAND
    )
    for i in (0, 1):
        second = [build_it.grad(build_it.grad(f, i), j)(x, y).tolist() for j in (0, 1)]
        slopes = numerical_gradient(lambda at, i=i: build_it.grad(f, i)(*at).tolist(), [x, y])
        assert_equivalent(second, slopes, **DIFFERENCES)
    samples = build_it.array([x, u, 1.0])
    batched = build_it.vmap(build_it.grad(f), in_axes=(0, None))(samples, y).tolist()
    one_by_one = [build_it.grad(f)(sample, y).tolist() for sample in (x, u, 1.0)]
    assert_equivalent(batched, one_by_one, rtol=1e-14, **BY_HAND)
    compiled = build_it.jit(build_it.vmap(build_it.grad(f), in_axes=(0, None)))
    assert_equivalent([compiled(samples, y).tolist() for _ in range(2)], [batched] * 2, rtol=0, atol=0, **BY_HAND)


def test_perturbation_confusion(build_it):
    """d/dx (x · d/dy (x + y)) is 1; who takes the two tangents for one says 2 (Siskind & Pearlmutter 2005)."""
    slope = {
        "grad": lambda f, x: build_it.grad(f)(x),
        "jvp": lambda f, x: build_it.jvp(f, (x,), (1.0,))[1],
        "vjp": lambda f, x: build_it.vjp(f, x)[1](1.0)[0],
        "vmap": lambda f, x: build_it.sum(build_it.vmap(lambda s: build_it.grad(f)(x))(build_it.array([5.0]))),
    }
    found = {
        (outer, inner): slope[outer](lambda x, inner=inner: x * slope[inner](lambda y: x + y, 1.0), 1.0).tolist()
        for outer in slope
        for inner in slope
    }
    assert_equivalent(found, dict.fromkeys(found, 1.0), rtol=0, atol=0, **BY_HAND)
    nested = build_it.grad(lambda x: x * build_it.grad(lambda y: y * build_it.grad(lambda z: x * y * z)(2.0))(3.0))
    assert_equivalent(nested(5.0).tolist(), 60.0, **BY_HAND)  # d/dx x · d/dy (x y²) = d/dx 2 x² y


def test_jacobians_and_hessians(build_it):
    rng = Random(0)
    A, x, v, u = (gauss(shape, rng) for shape in ((3, 4), (4,), (4,), (3,)))
    square = gauss((4, 4), rng)

    def f(x):
        return build_it.tanh(build_it.dot(A, x))

    def quadratic(x):
        return build_it.dot(x, build_it.dot(build_it.array(square), x))

    x, v = build_it.array(x), build_it.array(v)
    forward, backward = build_it.jacfwd(f)(x).tolist(), build_it.jacrev(f)(x).tolist()
    assert_equivalent(forward, backward, **BY_HAND)
    values = [sum(a * b for a, b in zip(row, x.tolist(), strict=True)) for row in A]
    truth = [[a * (1 - math.tanh(z) ** 2) for a in row] for row, z in zip(A, values, strict=True)]
    assert_equivalent(forward, truth, **BY_HAND)
    push = build_it.jvp(f, (x,), (v,))[1].tolist()
    pull = build_it.vjp(f, x)[1](build_it.array(u))[0].tolist()
    sides = [sum(a * b for a, b in zip(*pair, strict=True)) for pair in ((u, push), (pull, v.tolist()))]
    assert_equivalent(sides[0], sides[1], **BY_HAND)  # uᵀ (J v) = (Jᵀ u)ᵀ v
    H = [[square[i][j] + square[j][i] for j in range(4)] for i in range(4)]
    assert_equivalent(build_it.hessian(quadratic)(x).tolist(), H, **BY_HAND)
    along = build_it.jvp(build_it.grad(quadratic), (x,), (v,))[1].tolist()
    product = [sum(h * t for h, t in zip(row, v.tolist(), strict=True)) for row in H]
    assert_equivalent(along, product, **BY_HAND)
    assert build_it.jacrev(lambda x: build_it.sum(x * x))(x).tolist() == (2.0 * x).tolist()
    assert build_it.jacfwd(lambda x: build_it.sum(x * x))(x).tolist() == (2.0 * x).tolist()


def test_arithmetic(build_it):
    """Values by hand, of every operation and at the edges of float64."""
    array = build_it.array
    M, v, c = array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), array([1.0, -2.0, 0.5]), array([[10.0], [20.0]])
    found = {
        "dot": plain(
            [build_it.dot(v, v), M @ v, array([1.0, 2.0]) @ M, M @ array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])]
        ),
        "sum": plain(
            [build_it.sum(M), build_it.sum(M, 0), build_it.sum(M, 1), build_it.sum(M, -1), build_it.sum(array(7))]
        ),
        "sum of booleans": repr([build_it.sum(M > 2, 1), build_it.sum(v > 0), build_it.sum(array(1) > 0)]),
        "broadcast": plain([M + c, c - M, 2 * v, v / 2, 1 / array([2.0, 4.0]), M * v]),
        "broadcast, more axes": plain(
            [
                array([[[0.0, 1.0]], [[2.0, 3.0]]]) + c,
                array([[[0.0, 1.0]]]) + c,
                array([[5.0]]) + array([[[0.0, 1.0]], [[2.0, 3.0]]]),
            ]
        ),
        "compare": plain([v > 0, v < 0, v >= -2, v <= -2, v == 0.5, build_it.array(0) > v]),
        "where": plain(build_it.where(v > 0, v, -v)),
        "where, broadcast": plain(build_it.where(c > 15, M, 0.0)),
        "maximum": plain(build_it.maximum(v, 0.5)),
        "power": plain([v**1, v**2, v**3]),
        "edges": plain(
            [build_it.exp(array([1000.0, -1000.0])), build_it.log(array([0.0, -1.0])), 1 / array([0.0, -0.0])]
        ),
        "not a number": plain(
            [array(0.0) / 0.0, build_it.sin(array(INF)), build_it.cos(array(-INF)), array(NAN) / 0.0]
        ),
        "maximum, NaN": plain([build_it.maximum(NAN, 1.0), build_it.maximum(1.0, NAN)]),
        "Python": [bool(array(0.0)), bool(array([2.0]) > 1), float(array(2)), array(array(3.0)).tolist()],
        "no change": repr(array([[1, 2]])),
    }
    expected = {
        "dot": [5.25, [-1.5, -3.0], [9.0, 12.0, 15.0], [[7.0, 8.0], [16.0, 17.0]]],
        "sum": [21.0, [5.0, 7.0, 9.0], [6.0, 15.0], [6.0, 15.0], 7.0],
        "sum of booleans": "[Array([1.0, 3.0]), Array(2.0), Array(1.0)]",
        "broadcast": [
            [[11.0, 12.0, 13.0], [24.0, 25.0, 26.0]],
            [[9.0, 8.0, 7.0], [16.0, 15.0, 14.0]],
            [2.0, -4.0, 1.0],
            [0.5, -1.0, 0.25],
            [0.5, 0.25],
            [[1.0, -4.0, 1.5], [4.0, -10.0, 3.0]],
        ],
        "broadcast, more axes": [
            [[[10.0, 11.0], [20.0, 21.0]], [[12.0, 13.0], [22.0, 23.0]]],
            [[[10.0, 11.0], [20.0, 21.0]]],
            [[[5.0, 6.0]], [[7.0, 8.0]]],
        ],
        "compare": [
            [True, False, True],
            [False, True, False],
            [True, True, True],
            [False, True, False],
            [False, False, True],
            [False, True, False],
        ],
        "where": [1.0, 2.0, 0.5],
        "where, broadcast": [[0.0, 0.0, 0.0], [4.0, 5.0, 6.0]],
        "maximum": [1.0, 0.5, 0.5],
        "power": [[1.0, -2.0, 0.5], [1.0, 4.0, 0.25], [1.0, -8.0, 0.125]],
        "edges": [[INF, 0.0], [-INF, NAN], [INF, -INF]],
        "not a number": [NAN, NAN, NAN, NAN],
        "maximum, NaN": [NAN, NAN],
        "Python": [False, True, 2.0, 3.0],
        "no change": "Array([[1.0, 2.0]])",
    }
    assert_equivalent(found, expected, rtol=0, atol=0, **BY_HAND)


def test_make_jaxpr_in_print(build_it):
    expected = "lambda a:f64[] b:f64[]:\n  c:f64[] = add a b\n  d:f64[] = mul c b\n  return d"
    assert str(build_it.make_jaxpr(by_hand)(2.0, 3.0)) == expected
    M = build_it.array([[1.0, 2.0]])
    printed = build_it.make_jaxpr(lambda x: (build_it.dot(M, x), build_it.sum(M * x, 1), x > 1, 7.0))(
        build_it.array([1.0, 1.0])
    )
    assert str(printed).splitlines() == [
        "lambda a:f64[2]:",
        "  b:f64[1] = einsum[spec=ik,k->i] [[1.0, 2.0]] a",
        "  c:f64[1,2] = broadcast_in_dim[shape=(1,2) axes=(1,)] a",
        "  d:f64[1,2] = mul [[1.0, 2.0]] c",
        "  e:f64[1] = reduce_sum[axes=(1,)] d",
        "  f:bool[2] = gt a [1.0, 1.0]",
        "  return b e f 7.0",
    ]
    printed = build_it.make_jaxpr(build_it.vmap(lambda x: build_it.where(build_it.where(x > 1, x > 2, x > 3), x, M)))(M)
    types = [e.output.partition(":")[2] for e in printed.equations]
    assert types == ["bool[1,2]"] * 4 + ["bool[1,1,2]", "f64[1,1,2]", "f64[1,1,2]"]
    condition = build_it.make_jaxpr(lambda x: build_it.where(x > 0, M, (x > 0) * 2.0))(build_it.array([1.0]))
    types = [e.output.partition(":")[2] for e in condition.equations]
    assert types == ["bool[1]"] * 2 + ["f64[1]", "bool[]", "bool[1,2]", "f64[]", "f64[1,2]", "f64[1,2]"]
    inside = []
    build_it.grad(lambda x: inside.extend(build_it.make_jaxpr(lambda y: x * y)(1.0).equations) or x)(3.0)
    assert [e.inputs for e in inside] == [["outer", "a"]]
    assert build_it.make_jaxpr(lambda x: x)(1.0).outputs == ["a"]


def test_jit_tidies_up(build_it):
    """No repetition, no dead code; what has no argument in it is never a step; the results are the same to the bit."""

    def wasteful(x, y):
        dead = build_it.exp(x * y)
        twice = build_it.sin(x) * build_it.sin(x) + (build_it.sin(x) + build_it.sin(x) * y)
        dead = build_it.cos(dead)
        return twice * build_it.sin(build_it.array(2.0) * 3.0), twice * 0.0, twice * -0.0, twice

    before, after = (build_it.make_jaxpr(f)(0.5, 2.0) for f in (wasteful, build_it.jit(wasteful)))
    found = {
        "steps as recorded": len(before.equations),
        "steps of the tidied record": [e.primitive for e in after.equations],
        "inputs of its second to fourth step": [e.inputs for e in after.equations][1:4],
        "its outputs": after.outputs,
    }
    expected = {
        "steps as recorded": 14,
        "steps of the tidied record": ["sin", "mul", "mul", "add", "add", "mul", "mul", "mul"],
        "inputs of its second to fourth step": [["c", "c"], ["c", "b"], ["c", "e"]],
        "its outputs": ["h", "i", "j", "g"],
    }
    assert_equivalent(found, expected, **BY_HAND)
    eager = [y.tolist() for y in wasteful(build_it.array(0.5), build_it.array(2.0))]
    assert [y.tolist() for y in build_it.jit(wasteful)(0.5, 2.0)] == eager
    assert build_it.jit(lambda x: (2.0, x))(1.0)[0].tolist() == 2.0
    same_constant = build_it.make_jaxpr(build_it.jit(lambda x: x * 2.0 + x * 2.0))(1.0)
    assert_equivalent([e.primitive for e in same_constant.equations], ["mul", "add"], **BY_HAND)
    sums = build_it.jit(lambda M: (build_it.sum(M, 0), build_it.sum(M, 1), build_it.sum(M, 0)))
    assert plain(sums(build_it.array([[1.0, 2.0], [3.0, 4.0]]))) == [[4.0, 6.0], [3.0, 7.0], [4.0, 6.0]]


def test_reverse_mode_costs_a_small_multiple(build_it):
    """Of n inputs and one output: reverse mode a constant times the function, forward mode n times that."""

    def f(*xs):
        total = build_it.sin(xs[0])
        for x in xs[1:]:
            total = total * build_it.cos(x) + x
        return total

    def gradient(*xs):
        return build_it.vjp(f, *xs)[1](1.0)

    def by_jvp(*xs):
        n = len(xs)
        return [build_it.jvp(f, xs, [float(i == j) for j in range(n)])[1] for i in range(n)]

    xs = [0.1 * i for i in range(12)]
    assert_equivalent(plain(gradient(*xs)), plain(by_jvp(*xs)), **BY_HAND)
    counts = {}
    for n in (4, 8, 12):
        ways = (f, build_it.jit(gradient), build_it.jit(by_jvp))
        counts[n] = [len(build_it.make_jaxpr(way)(*xs[:n]).equations) for way in ways]
    assert all(reverse <= 4 * forward for forward, reverse, _ in counts.values())
    assert counts[12][1] - counts[8][1] == counts[8][1] - counts[4][1]  # linear in n
    assert counts[12][2] - counts[8][2] > counts[8][2] - counts[4][2] > 40  # quadratic


# Both twins


def test_names_after_z(build_it, use_it):
    def long(x):
        for _ in range(60):
            x = x * 2.0
        return x

    jaxprs = [twin.make_jaxpr(long)(1.0) for twin in (build_it, use_it)]
    assert_equivalent(*jaxprs)
    names = [e.output.partition(":")[0] for e in jaxprs[0].equations]
    assert (names[0], names[24], names[25], names[26], names[51]) == ("b", "z", "ba", "bb", "ca")


@given(st.lists(any_lines, min_size=1, max_size=8), numbers, numbers)
@examples(25)
def test_jaxprs_are_the_same(build_it, use_it, lines, x, y):
    """JAX records the same program, line for line, as long as nothing is broadcast."""
    jaxprs = [twin.make_jaxpr(program(twin, lines))(x, y) for twin in (build_it, use_it)]
    assert_equivalent(*jaxprs)
    assert str(jaxprs[0]) == str(jaxprs[1])


def scalar_quantities(twin):
    """Every scalar operation with its first and second derivative, forward, in reverse and batched."""

    functions = {
        "product": lambda x, y: twin.sin(x * y) / (2.0 + twin.cos(x)),
        "exp": lambda x, y: twin.exp(-twin.tanh(x) * y) - x**3,
        "log": lambda x, y: twin.log(1.0 + x * x) * y,
        "maximum": lambda x, y: twin.maximum(x, y) * y,
        "relu": lambda x, y: twin.maximum(0.0, x) + y * twin.maximum(x, x),
        "where": lambda x, y: twin.where(x >= y, x * y, twin.where(x == 1.0, -x, y)),
        "abs": lambda x, y: twin.where(x < 0.0, -x, x) * y,
    }

    def quantities(x, y, u, v):
        found = {}
        for name, f in functions.items():
            found[name] = {
                "value and gradient": twin.value_and_grad(f)(x, y),
                "forward, second": twin.jvp(twin.grad(f, 1), (x, y), (u, v)),
            }
        return found

    return quantities


def test_numbers(build_it, use_it):
    """Ties, zeros of both signs and ±1000 among the inputs."""
    built, used = scalar_quantities(build_it), use_it.jit(scalar_quantities(use_it))

    @given(*[numbers | edges] * 2, numbers, numbers)
    @examples(20)
    def check(x, y, u, v):
        assert_equivalent(plain(built(x, y, u, v)), plain(used(x, y, u, v)))

    check()
    for same in (0.0, 1.0, -1000.0):  # ties
        assert_equivalent(plain(built(same, same, 1.0, -2.0)), plain(used(same, same, 1.0, -2.0)))


def model_quantities(twin):
    """The gradient of a small network: trees, samples, sums; and arrays of three axes."""

    def model(parameters, x, y):
        h = twin.tanh(twin.dot(x, parameters["W"]) + parameters["b"])
        w, scale = parameters["out"]
        return (twin.dot(h, w) * scale - y) ** 2

    def batch_loss(parameters, X, y):
        return twin.sum(twin.vmap(model, in_axes=(None, 0, 0))(parameters, X, y))

    def of_columns(M, b):
        return twin.sum(twin.tanh(M * b) * twin.sum(M, 0) + 1.0 / (2.0 + twin.sum(M * M, 1)) @ M)

    def quantities(parameters, X, y, *rest):
        v, u, T = rest
        return {
            "loss and gradient": twin.value_and_grad(batch_loss)(parameters, X, y),
            "gradient of each sample": twin.vmap(twin.grad(model), in_axes=(None, 0, 0))(parameters, X, y),
            "backward": twin.vjp(lambda x: twin.tanh(x @ parameters["W"]), v)[1](u),
            "forward, of a tree": twin.jvp(lambda p: model(p, v, 1.0), (parameters,), (parameters,)),
            "matrix": twin.vmap(twin.grad(of_columns), in_axes=(2, None))(T, u),
        }

    return quantities


def nested_quantities(twin):
    """Samples along any axis, transforms inside each other, closures."""

    def energy(x):
        return twin.sum(twin.sin(x) * twin.exp(-x * x)) + twin.dot(x, x) ** 2 / 2.0

    def quantities(parameters, X, y, *rest):
        v, _, T = rest
        W, b = parameters["W"], parameters["b"]

        def field(x):
            return twin.tanh(twin.dot(x, W)) * b

        return {
            "hessian times vector": twin.jvp(twin.grad(energy), (v,), (v * 2.0,)),
            "jacobians": (twin.jacfwd(field)(v), twin.jacrev(field)(v)),
            "hessian of each": twin.vmap(twin.hessian(energy))(X),
            "samples along the last axis": twin.vmap(twin.dot, in_axes=(-1, None))(X, y),
            "pairs": twin.vmap(lambda r: twin.vmap(lambda s: twin.dot(r, s) + y)(X))(X),
            "the same for all": twin.vmap(lambda r: (twin.sum(W, 0), r * 0.5, twin.maximum(r, v)))(X),
            "three axes": twin.vmap(lambda M: [twin.sum(M, 1), M * 2.0, M @ W], in_axes=1)(T),
            "through vmap": twin.grad(lambda p: twin.sum(twin.vmap(lambda r: twin.dot(r, p) * p)(X)))(v),
            "through vmap along an axis": twin.grad(
                lambda T: twin.sum(twin.tanh(twin.vmap(lambda M: v @ M, 2)(T)) * b)
            )(T),
            "jit inside": twin.grad(lambda x: twin.sum(twin.jit(lambda z: twin.sin(z) * x)(x)))(v),
        }

    return quantities


def array_arguments(n, k, m, rng):
    """n samples of k features, m hidden units."""
    shapes = [(k, m), (m,), (m,), (), (n, k), (n,), (k,), (m,), (k, m, m)]
    W, b, w, scale, *rest = (gauss(shape, rng) for shape in shapes)
    return {"W": W, "b": b, "out": (w, scale)}, *rest


def arrays(twin, arguments):
    parameters, *rest = arguments
    parameters = {key: twin.array(parameters[key]) for key in ("W", "b")} | {
        "out": tuple(map(twin.array, parameters["out"]))
    }
    return parameters, *map(twin.array, rest)


@pytest.mark.parametrize(
    ("quantities", "sizes"),
    [(model_quantities, (2, 3, 3)), (model_quantities, (1, 1, 1)), (nested_quantities, (2, 3, 3))],
    ids=["a model", "a model, sizes of 1", "nested"],
)
def test_arrays(build_it, use_it, quantities, sizes):
    built, used = quantities(build_it), use_it.jit(quantities(use_it))

    @given(some.seeds())
    @examples(4)
    def check(seed):
        arguments = array_arguments(*sizes, Random(seed))
        assert_equivalent(plain(built(*arrays(build_it, arguments))), plain(used(*arrays(use_it, arguments))))

    check()


def test_where_stops_a_gradient_too_late(build_it, use_it):
    """0 / 0 is NaN: the branch that where does not take is computed, and so is its derivative."""

    def careless(twin):
        return lambda x: twin.where(x > 0, twin.log(x), 0.0)

    def careful(twin):
        return lambda x: twin.where(x > 0, twin.log(twin.where(x > 0, x, 1.0)), 0.0)

    for f, expected in ((careless, [0.5, NAN]), (careful, [0.5, 0.0])):
        built, used = (twin.jit(twin.vmap(twin.grad(f(twin)))) for twin in (build_it, use_it))
        assert_equivalent(built(build_it.array([2.0, 0.0])).tolist(), expected, **BY_HAND)
        assert_equivalent(used(use_it.array([2.0, 0.0])).tolist(), expected, **against(use_it, "by hand"))


def test_a_jitted_function_is_entered_once_for_each_shape(build_it, use_it):
    """Side effects happen while it is recorded, and a global that it reads is read then."""
    for twin in (build_it, use_it):
        entered, scale = [], [2.0]

        def f(x, entered=entered, scale=scale):
            entered.append(x.shape)
            return x * scale[0]

        g = twin.jit(f)
        values = [
            g(3.0).tolist(),
            g(twin.array(4.0)).tolist(),
            g(twin.array([5.0])).tolist(),
            g(twin.array([6.0])).tolist(),
        ]
        scale[0] = 1000.0
        values += [g(5).tolist(), twin.make_jaxpr(twin.grad(g))(7.0).outputs != []]
        assert values == [6.0, 8.0, [10.0], [12.0], 10.0, True]
        assert entered == [(), (1,)]
        assert twin.jit(partial(f))(5.0).tolist() == 5000.0
        assert len(entered) == 3


def test_a_record_holds_for_one_form_and_one_dtype(build_it, use_it):
    def f(t):
        return t["a"] / t["b"] if "a" in t else t["x"] - t["y"]

    for twin in (build_it, use_it):
        g = twin.jit(f)
        found = [g(t).tolist() for t in ({"a": 1.0, "b": 2.0}, {"x": 5.0, "y": 2.0}, {"a": 1.0, "b": 4.0})]
        assert_equivalent(found, [0.5, 3.0, 0.25], **against(twin, "by hand"))

    def numbers_after_booleans(twin):
        choose = twin.jit(lambda c: twin.where(c, 2.0, 3.0))
        assert choose(twin.array([1.0, 0.0]) > 0).tolist() == [2.0, 3.0]
        return choose(twin.array([1.0, 0.0]))

    assert_same_error(numbers_after_booleans, build_it, use_it)


def test_a_condition_is_broadcast_and_stays_a_condition(build_it, use_it):
    """Under jit, too, where the condition's dtype is all that is known of it; and a sum of conditions is a number."""

    def f(twin):
        return lambda x, c: twin.sum(twin.where(c > 0, x * x, 0.0)) * twin.sum(x > 1)

    for twin in (build_it, use_it):
        x, c = twin.array([[1.0, 2.0], [3.0, 4.0]]), twin.array([[1.0], [-1.0]])
        slopes = twin.jit(twin.grad(f(twin)))(x, c).tolist()
        assert_equivalent(slopes, [[6.0, 12.0], [0.0, 0.0]], **against(twin, "by hand"))


def test_where_python_branches(build_it, use_it):
    """if needs a number: grad has one, jit and vmap have none."""

    def f(x):
        return x * x if x > 0 else -x

    for twin in (build_it, use_it):
        assert [twin.grad(f)(x).tolist() for x in (3.0, -3.0)] == [6.0, -1.0]
        assert twin.grad(lambda x: x if x else -x)(3.0).tolist() == 1.0
    assert_same_error(lambda twin: twin.jit(f)(3.0), build_it, use_it)
    assert_same_error(lambda twin: twin.jit(twin.grad(f))(3.0), build_it, use_it)
    assert_same_error(lambda twin: twin.grad(twin.jit(f))(3.0), build_it, use_it)
    assert_same_error(lambda twin: twin.make_jaxpr(f)(3.0), build_it, use_it)
    assert_same_error(lambda twin: twin.vmap(f)(twin.array([1.0, 2.0])), build_it, use_it)
    for transform in ("jit", "grad"):  # float(x) would be a constant to grad, and the derivative wrong
        assert_same_error(
            lambda twin, name=transform: getattr(twin, name)(lambda x: x * float(x))(3.0), build_it, use_it
        )


def test_a_traced_value_must_not_be_kept(build_it, use_it):
    def leak(twin):
        kept = []
        twin.jit(lambda x: kept.append(x) or x)(1.0)
        return twin.sin(kept[0])

    assert_same_error(leak, build_it, use_it)
    kept = []
    with pytest.raises(ZeroDivisionError):
        build_it.grad(lambda x: kept.append(x) or x * (1 / 0))(
            1.0
        )  # interpreters end with their transform, come what may
    assert build_it.grad(lambda x: x * 3.0)(1.0).tolist() == 3.0
    with pytest.raises(ValueError, match="kept"):
        build_it.sin(kept[0])


BAD = {
    "grad: the value is a vector": lambda twin: twin.grad(lambda x: x)(twin.array([1.0, 2.0])),
    "grad: the value is two": lambda twin: twin.grad(lambda x: (x, x))(1.0),
    "grad: the value is a vector of one": lambda twin: twin.grad(lambda x: x)(twin.array([1.0])),
    "grad: the value is a comparison": lambda twin: twin.grad(lambda x: twin.array(1.0) > 0)(1.0),
    "grad: no such argument": lambda twin: twin.grad(lambda x: x, 1)(1.0),
    "grad: negative argnums": lambda twin: twin.grad(lambda x: x, -1)(1.0),
    "value_and_grad: the value is a vector": lambda twin: twin.value_and_grad(lambda x: x)(twin.array([1.0, 2.0])),
    "jvp: a tangent of another shape": lambda twin: twin.jvp(lambda x: x, (1.0,), (twin.array([1.0]),)),
    "jvp: a tangent too few": lambda twin: twin.jvp(lambda x, y: x, (1.0, 2.0), (1.0,)),
    "jvp: tangents of another form": lambda twin: twin.jvp(lambda t: t[0], ((1.0, 2.0),), ([1.0, 2.0],)),
    "vjp: a cotangent of another shape": lambda twin: twin.vjp(lambda x: x, 1.0)[1](twin.array([1.0])),
    "vjp: a cotangent of another form": lambda twin: twin.vjp(lambda x: x, 1.0)[1]((1.0, 2.0)),
    "vmap: axes of different sizes": lambda twin: twin.vmap(lambda x, y: x)(twin.array([1.0]), twin.array([1.0, 2.0])),
    "vmap: a number has no axis": lambda twin: twin.vmap(lambda x: x)(1.0),
    "vmap: no such axis": lambda twin: twin.vmap(lambda x: x, in_axes=1)(twin.array([1.0])),
    "vmap: no such axis from the last": lambda twin: twin.vmap(lambda x: x, in_axes=-2)(twin.array([1.0])),
    "vmap: nothing to map": lambda twin: twin.vmap(lambda x: x, in_axes=None)(twin.array([1.0])),
    "vmap: an axis too many": lambda twin: twin.vmap(lambda x: x, in_axes=(0, 0))(twin.array([1.0])),
    "dot: other sizes": lambda twin: twin.dot(twin.array([1.0, 2.0]), twin.array([1.0])),
    "dot: matrices of other sizes": lambda twin: twin.dot(twin.array([[1.0, 2.0]]), twin.array([[1.0, 2.0]])),
    "dot: a number": lambda twin: twin.dot(twin.array([1.0, 2.0]), 3.0),
    "shapes in a function": lambda twin: twin.make_jaxpr(lambda x: x + twin.array([1.0, 2.0]))(
        twin.array([1.0, 2.0, 3.0])
    ),
    "maximum: shapes": lambda twin: twin.maximum(twin.array([1.0, 2.0]), twin.array([1.0, 2.0, 3.0])),
    "where: numbers as a condition": lambda twin: twin.where(1.0, 2.0, 3.0),
    "where: Python's True": lambda twin: twin.where(True, 2.0, 3.0),
    "sum: no such axis": lambda twin: twin.sum(twin.array([1.0]), 1),
    "sum: no such axis from the last": lambda twin: twin.sum(twin.array([1.0]), -2),
    "jacfwd: a number": lambda twin: twin.jacfwd(lambda x: x)(1.0),
    "jacrev: a matrix": lambda twin: twin.jacrev(lambda x: x)(twin.array([[1.0]])),
    "jacrev: the value is a matrix": lambda twin: twin.jacrev(lambda x: twin.array([[1.0]]))(twin.array([1.0])),
    "jacfwd: the value is a matrix": lambda twin: twin.jacfwd(lambda x: twin.array([[1.0]]))(twin.array([1.0])),
    "jacfwd: the value is two": lambda twin: twin.jacfwd(lambda x: (x, x))(twin.array([1.0])),
    "hessian: the value is a vector": lambda twin: twin.hessian(lambda x: x)(twin.array([1.0, 2.0])),
    "hessian: a number": lambda twin: twin.hessian(lambda x: x)(1.0),
    "array: nothing": lambda twin: twin.array([]),
    "array: nothing inside": lambda twin: twin.array([[], []]),
    "array: ragged": lambda twin: twin.array([[1.0], [1.0, 2.0]]),
    "array: ragged, in depth": lambda twin: twin.array([[1.0], 2.0]),
    "array: a word": lambda twin: twin.array("1"),
    "array: an array inside": lambda twin: twin.array([1.0, twin.array(2.0)]),
    "array: None": lambda twin: twin.array([1.0, None]),
    "an argument that is no number": lambda twin: twin.jit(lambda x: 1.0)(None),
    "sin of a word": lambda twin: twin.sin("x"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(build_it, use_it, name):
    assert_same_error(BAD[name], build_it, use_it)


def test_refused_by_build_it_alone(build_it):
    """JAX's arrays have operators of their own, which raise TypeError (shapes) or know more (powers)."""
    x = build_it.array([1.0, 2.0])
    for call in (
        lambda: x + build_it.array([1.0] * 3),
        lambda: x**0,
        lambda: x**0.5,
        lambda: bool(x),
        lambda: float(x),
    ):
        with pytest.raises(ValueError, match=r"got"):
            call()


# torch.func.jvp scripts some of torch's own functions when it is first used, and torch deprecates that
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_torch_is_the_second_witness(build_it):
    """torch.func on the same functions; its import is late, since it takes longer than all other tests."""
    import torch  # noqa: PLC0415

    rng = Random(0)
    W, X, v, y = (gauss(shape, rng) for shape in ((3, 2), (4, 3), (3,), (2,)))

    def quantities(twin, tanh, dot, sum, array):
        W_, X_, v_, y_ = (array(value) for value in (W, X, v, y))

        def field(x):
            return tanh(dot(x, W_)) * y_

        def energy(x):
            return sum(tanh(dot(x, W_)) ** 2) * sum(x * x)

        return {
            "grad": twin.grad(energy)(v_),
            "vmap of grad": twin.vmap(twin.grad(energy))(X_),
            "in_axes": twin.vmap(dot, (0, None))(X_, W_),
            "jvp": twin.jvp(field, (v_,), (array(X[0]),))[1],
            "vjp": twin.vjp(field, v_)[1](y_)[0],
            "jacfwd": twin.jacfwd(field)(v_),
            "jacrev": twin.jacrev(field)(v_),
            "hessian": twin.hessian(energy)(v_),
            "jvp of grad": twin.jvp(twin.grad(energy), (v_,), (v_,))[1],
        }

    built = quantities(build_it, build_it.tanh, build_it.dot, build_it.sum, build_it.array)
    as_tensor = partial(torch.tensor, dtype=torch.float64)
    other = quantities(torch.func, torch.tanh, torch.matmul, torch.sum, as_tensor)
    assert_equivalent(plain(built), plain(other), names=("build_it", "torch.func"))
    kinks = {"maximum": lambda x: torch.maximum(x, 0 * x.detach()), "relu": torch.relu, "abs": torch.abs}
    slopes = {name: torch.func.grad(f)(torch.tensor(0.0)).item() for name, f in kinks.items()}
    assert slopes == {"maximum": 0.5, "relu": 0.0, "abs": 0.0}  # it splits a tie as we do
    assert build_it.grad(lambda x: build_it.maximum(x, 0.0))(0.0).tolist() == 0.5
    assert build_it.grad(lambda x: build_it.where(x > 0, x, 0.0))(0.0).tolist() == 0.0


# The skill's script


def checker():
    return ship_it.module(ship_it.SKILL / "scripts" / "gradient_check.py")


def check(**names):
    """What the script finds, for a module of these names."""
    script = checker()
    problem = script.Problem(SimpleNamespace(**names), "f", "gradient", "point")
    return script.check(problem)


def of_matrix(build_it, transform):
    """f of a 3 × 3 matrix in plain Python, and the gradient that build_it finds, changed by `transform`."""
    A = gauss((3, 3), Random(1))
    scale = build_it.array([[1.0], [2.0], [3.0]])
    units = build_it.vmap(lambda row: build_it.tanh(build_it.array(A) @ row))

    def f(W):
        rows = [[math.tanh(sum(w * a for w, a in zip(row, column, strict=True))) for column in A] for row in W]
        return sum((i + 1) * v * v for i, row in enumerate(rows) for v in row)

    def gradient(W):
        return transform(build_it.grad(lambda W: build_it.sum(units(W) ** 2 * scale))(build_it.array(W)).tolist())

    return {"f": f, "gradient": gradient, "point": gauss((3, 3), Random(2)), "samples": [0.0] * 7}


FAULTS = {
    "nothing": (lambda G: G, ""),
    "sign": (lambda G: [[-g for g in row] for row in G], "the sign is wrong"),
    "double": (lambda G: [[2 * g for g in row] for row in G], "a factor of 2 too much"),
    "half": (lambda G: [[g / 2 for g in row] for row in G], "a factor of 2 is missing"),
    "sum": (lambda G: [[7 * g for g in row] for row in G], "7 times too large, and samples has 7 entries"),
    "mean of mean": (lambda G: [[g / 7 for g in row] for row in G], "1/7 of what it should be"),
    "another factor": (lambda G: [[1.25 * g for g in row] for row in G], "all are 1.25 times"),
    "transpose": (lambda G: [list(column) for column in zip(*G, strict=True)], "it is the transpose"),
    "zeros": (lambda G: [[0.0] * 3] * 3, "it is 0"),
    "shift": (lambda G: [G[2], G[0], G[1]], "3 places too late"),
    "reverse": (lambda G: [row[::-1] for row in G[::-1]], "reverse order"),
    "one": (lambda G: [G[0], [G[1][0], 0.0, G[1][2]], G[2]], "W[1][1] is 0 and should be"),
    "shape": (lambda G: G[:2], "has the shape (2, 3), W has (3, 3)"),
    "NaN": (lambda G: [[NAN, *G[0][1:]], *G[1:]], "not finite at W[0][0]"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_checker_names_the_fault(build_it, name):
    transform, expected = FAULTS[name]
    result = check(**of_matrix(build_it, transform))
    assert result["status"] == (name != "nothing")
    assert expected in "; ".join(result["findings"])
    if name == "nothing":
        assert {found["witness"] for found in result["coordinates"].values()} == {"dual numbers"}


def test_the_checker_at_kinks_and_edges(build_it):
    """What is a kink, what only looks like one, and what dual numbers cannot follow."""
    assert (
        build_it.grad(lambda x: build_it.maximum(x, 0.0))(0.0).tolist() == 0.5
    )  # right, says the checker, as are 0 and 1
    for slope, status in ((0.0, 0), (0.5, 0), (1.0, 0), (1.1, 1), (-0.1, 1)):
        result = check(f=lambda x: max(x, 0.0), gradient=lambda x, slope=slope: slope, point=0.0)
        assert result["status"] == status
        assert result["coordinates"][0].get("low") == 0.0
    smooth = {
        "kink nearby": (abs, lambda x: 1.0, 1e-4),
        "steep": (lambda x: math.exp(30 * x), lambda x: 30 * math.exp(30 * x), 1.0),
        "fast": (lambda x: math.sin(1000 * x), lambda x: 1000 * math.cos(1000 * x), 0.3),
        "edge of the domain": (math.sqrt, lambda x: 0.5 / math.sqrt(x), 1e-3),
        "large": (lambda x: x * x, lambda x: 2 * x, 1e8),
        "flat": (lambda x: 5.0, lambda x: 0.0, 1.0),
        "no dual": (math.gamma, lambda x: -0.5772156649015329, 1.0),
        "complex": (lambda x: x**2 if isinstance(x, complex) else math.pow(float(x), 2), lambda x: 2 * x, 3.0),
        "base": (
            lambda x: math.log(x, 2) + math.hypot(x, 1.0) + 2**x,
            lambda x: 1 / (x * math.log(2)) + x / math.hypot(x, 1.0) + 2**x * math.log(2),
            3.0,
        ),
    }
    for name, (f, gradient, point) in smooth.items():
        names = {"f": f, "point": point, "math": math}
        right = check(**names, gradient=gradient)
        assert right["status"] == 0, name
        assert right["coordinates"][0]["verdict"] == "right", name
        assert check(**names, gradient=lambda x, gradient=gradient: gradient(x) * 1.001 + 1e-3)["status"] == 1, name


def test_the_checker_on_random_functions(build_it):
    """No false alarm, and no error of 0.1 % missed, over twelve powers of ten and beside a large constant."""
    for seed in range(20):
        rng = Random(seed)
        A = [[rng.gauss(0, 1) * 10 ** rng.uniform(-1, 1) for _ in range(3)] for _ in range(2)]
        scale, constant, exact = 10 ** rng.uniform(-6, 6), rng.choice([0.0, 1.0, 1e4]), seed % 2

        def f(x, A=A, scale=scale, constant=constant, exact=exact):
            sums = [sum(a * v for a, v in zip(row, x, strict=True)) for row in A]
            if not exact:
                sums = [float(v) for v in sums]  # no dual number is a float
            return constant + scale * sum(math.sin(v) + max(v, 0.0) * v for v in sums)

        def energy(x, A=A, scale=scale):
            sums = build_it.array(A) @ x
            return scale * build_it.sum(build_it.sin(sums) + build_it.maximum(sums, 0.0) * sums)

        point = [rng.gauss(0, 1) for _ in range(3)]
        right = build_it.grad(energy)(build_it.array(point)).tolist()
        largest = max(map(abs, right))
        wrong = [1.001 * g if abs(g) == largest else g for g in right]
        results = [check(f=f, point=point, gradient=lambda x, g=g: g) for g in (right, wrong)]
        assert [result["status"] for result in results] == [0, 1], (seed, results)
        witness = "dual numbers" if exact else "differences"
        assert {found["witness"] for found in results[0]["coordinates"].values()} == {witness}


def test_the_checker_with_numpy(build_it):
    import numpy as np  # noqa: PLC0415

    names = {"np": np, "point": (np.array([0.5, -1.5]), np.float64(2.0))}
    result = check(
        **names, f=lambda w, b: np.sum(np.exp(w) * b), gradient=lambda w, b: (np.exp(w) * b, np.exp(w).sum())
    )
    assert result["status"] == 0
    slopes = build_it.grad(lambda w: build_it.sum(build_it.exp(w) * 2.0))(build_it.array([0.5, -1.5])).tolist()
    assert_equivalent(
        [found["slope"] for found in result["coordinates"].values()][:2], slopes, names=("the script", "build_it")
    )


def test_the_checker_as_a_program(build_it, tmp_path, capsys):
    ship_it.ship(build_it, tmp_path)
    main, file = checker().main, str(tmp_path / "examples" / "logistic.py")
    assert main([file]) == 0
    assert "6 coordinates against dual numbers: 6 right, 0 wrong" in capsys.readouterr().out
    assert main([file, "--gradient", "no_bias", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["wrong"] == ["b"]
    assert main([file, "--coordinates", "2", "--gradient", "wrong_sign"]) == 1
    assert "2 of 6 coordinates" in capsys.readouterr().out
    flat = tmp_path / "flat.py"
    flat.write_text("def f(x): return x * 0.0\ndef gradient(x): return 0.0\npoint = 1.0\n", encoding="utf-8")
    assert main([str(flat)]) == 0
    assert "choose another point" in capsys.readouterr().out
    for arguments in ([file, "--gradient", "nothing"], [str(tmp_path / "none.py")], [file, "--function", "scores"]):
        assert main(arguments) == 2
        assert "gradient_check: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([file, "--rtol", "2"])
    noisy = tmp_path / "noisy.py"
    noisy.write_text(
        "import random\npoint = [1.0]\ndef f(x): return x[0] + random.random()\ndef gradient(x): return [1.0]\n"
    )
    assert main([str(noisy)]) == 2
    assert "two values at one point" in capsys.readouterr().err
    kinks = [sys.executable, "-I", "-S", "-B", "scripts/gradient_check.py", "examples/kinks.py"]
    done = subprocess.run(kinks, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "kink at x[2]" in done.stdout
    assert (
        subprocess.run([*kinks, "--gradient", "too_steep"], cwd=tmp_path, capture_output=True, check=False).returncode
        == 1
    )
