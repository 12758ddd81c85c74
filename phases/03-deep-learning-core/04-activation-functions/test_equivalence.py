"""The proof: every function and derivative, every gradient of a deep network, and the skill that reads its activations."""

import json
import math
import re
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from phases.deep_learning_core.activation_functions import ship_it

from shared.proof import assert_equivalent, assert_same_error, examples, numerical_gradient
from shared.proof import strategies as some

INF, NAN = math.inf, math.nan
NAMES = ["sigmoid", "tanh", "relu", "leaky_relu", "gelu", "silu"]
VARIANTS = {  # what to call, and with which options
    **{name: (name, {}) for name in NAMES},
    "leaky_relu, slope 0.2": ("leaky_relu", {"negative_slope": 0.2}),
    "leaky_relu, slope -1": ("leaky_relu", {"negative_slope": -1.0}),
    "leaky_relu, slope 0": ("leaky_relu", {"negative_slope": 0.0}),
    "gelu, none": ("gelu", {"approximate": "none"}),
    "gelu, tanh": ("gelu", {"approximate": "tanh"}),
}
EXTREMES = [0.0, -0.0, NAN, INF, -INF, 1000.0, -1000.0, 40.0, -40.0, 1e-300, 1e120, 1e200, -1e200, 1e308, -1e308]
eighths = st.integers(-16, 16).map(lambda k: k / 8)
logits = st.lists(some.floats(-5, 5) | st.sampled_from([-1000.0, 0.0, 1000.0]), min_size=1, max_size=6)


def against(twin, witness):
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


def value_and_slope(twin, variant, x):
    name, options = VARIANTS[variant]
    return getattr(twin, name)(x, **options), getattr(twin, f"{name}_derivative")(x, **options)


def upstream_for(n, seed):
    rng = Random(seed)
    return [rng.uniform(-3, 3) for _ in range(n)]


def normal_case(width, depth, gain, n_samples, seed=0):
    """(weights, X, gradient of the outputs) from a normal distribution; the weights have variance gain² / width."""
    rng = Random(seed)

    def matrix(n_rows, std):
        return [[rng.gauss(0, std) for _ in range(width)] for _ in range(n_rows)]

    weights = [matrix(width, gain / math.sqrt(width)) for _ in range(depth)]
    return weights, matrix(n_samples, 1), matrix(n_samples, 1)


# ---- functions of one number


@pytest.mark.parametrize("variant", VARIANTS)
def test_functions_and_derivatives(build_it, use_it, variant):
    @given(some.floats(-6, 6) | some.floats(-1000, 1000))
    @examples(15)
    def compare(x):
        assert_equivalent(value_and_slope(build_it, variant, x), value_and_slope(use_it, variant, x))

    compare()


@pytest.mark.parametrize("variant", VARIANTS)
def test_functions_and_derivatives_at_extremes(build_it, use_it, variant):
    assert_equivalent(
        {str(x): value_and_slope(build_it, variant, x) for x in EXTREMES},
        {str(x): value_and_slope(use_it, variant, x) for x in EXTREMES},
    )


KNOWN = [  # variant, x, f(x), f'(x)
    ("sigmoid", 0.0, 0.5, 0.25),
    ("sigmoid", math.log(3), 0.75, 0.1875),
    ("sigmoid", -math.log(3), 0.25, 0.1875),
    ("sigmoid", -1000.0, 0.0, 0.0),
    ("sigmoid", 1000.0, 1.0, 0.0),
    ("tanh", math.log(2), 0.6, 0.64),
    ("tanh", -1000.0, -1.0, 0.0),
    ("relu", 2.5, 2.5, 1.0),
    ("relu", 0.0, 0.0, 0.0),
    ("relu", -2.5, 0.0, 0.0),
    ("relu", NAN, NAN, 1.0),
    ("leaky_relu", 2.5, 2.5, 1.0),
    ("leaky_relu", 0.0, 0.0, 0.01),
    ("leaky_relu", -2.5, -0.025, 0.01),
    ("leaky_relu", NAN, NAN, 0.01),
    ("leaky_relu, slope 0", -INF, NAN, 0.0),
    ("leaky_relu, slope -1", -2.5, 2.5, -1.0),
    ("gelu", 0.0, 0.0, 0.5),
    ("gelu", -INF, NAN, NAN),
    ("gelu", INF, INF, NAN),
    ("gelu", 1000.0, 1000.0, 1.0),
    ("gelu", -1000.0, 0.0, 0.0),
    ("gelu, tanh", 1000.0, 1000.0, 1.0),
    ("gelu, tanh", 1e120, 1e120, 1.0),  # x u' alone would be inf
    ("gelu, tanh", 1e200, 1e200, NAN),
    ("silu", math.log(3), 0.75 * math.log(3), 0.75 + 0.1875 * math.log(3)),
    ("silu", -math.log(3), -0.25 * math.log(3), 0.25 - 0.1875 * math.log(3)),
    ("silu", 1000.0, 1000.0, 1.0),
    ("silu", -1000.0, 0.0, 0.0),
    ("silu", -INF, NAN, NAN),
]


def test_functions_and_derivatives_at_known_points(build_it, use_it):
    known = {f"{variant} at {x}": (value, slope) for variant, x, value, slope in KNOWN}
    for twin in (build_it, use_it):
        found = {f"{variant} at {x}": value_and_slope(twin, variant, x) for variant, x, _, _ in KNOWN}
        assert_equivalent(found, known, **against(twin, "known"))


@given(some.floats(-5, 5))
@examples(20)
def test_derivatives_against_finite_differences(build_it, x):
    assume(abs(x) > 1e-4)  # the corner of ReLU has no derivative
    for name, options in VARIANTS.values():
        f = partial(getattr(build_it, name), **options)
        assert_equivalent(
            getattr(build_it, f"{name}_derivative")(x, **options),
            numerical_gradient(f, x, step=1e-5),
            rtol=1e-6,  # the truncation and rounding of central differences
            atol=1e-8,
            names=("build_it", "finite differences"),
        )


@given(some.floats(-30, 30))
@examples(20)
def test_identities(build_it, use_it, x):
    """What symmetry asks for: Φ(x) + Φ(-x) = 1 and σ(x) + σ(-x) = 1."""
    for twin in (build_it, use_it):
        found = {
            "sigmoid": twin.sigmoid(x) + twin.sigmoid(-x),
            "sigmoid_derivative is even": twin.sigmoid_derivative(x),
            "tanh": twin.tanh(x),
            "relu": twin.relu(x) - twin.relu(-x),
            "leaky_relu": twin.leaky_relu(x, 0.2) - twin.leaky_relu(-x, 0.2),
            "gelu": twin.gelu(x) - twin.gelu(-x),
            "gelu, tanh": twin.gelu(x, "tanh") - twin.gelu(-x, "tanh"),
            "silu": twin.silu(x) - twin.silu(-x),
            "gelu_derivative": twin.gelu_derivative(x) + twin.gelu_derivative(-x),
            "gelu_derivative, tanh": twin.gelu_derivative(x, "tanh") + twin.gelu_derivative(-x, "tanh"),
            "silu_derivative": twin.silu_derivative(x) + twin.silu_derivative(-x),
        }
        expected = {
            "sigmoid": 1.0,
            "sigmoid_derivative is even": twin.sigmoid_derivative(-x),
            "tanh": 2 * twin.sigmoid(2 * x) - 1,
            "relu": x,
            "leaky_relu": 1.2 * x,
            "gelu": x,
            "gelu, tanh": x,
            "silu": x,
            "gelu_derivative": 1.0,
            "gelu_derivative, tanh": 1.0,
            "silu_derivative": 1.0,
        }
        assert_equivalent(found, expected, **against(twin, "identity"))


def test_gelu_from_a_table_of_the_normal_distribution(build_it, use_it):
    """Φ as printed in tables, e.g. NIST Handbook of Statistical Methods, 1.3.6.7.1: five decimals of Φ(x) - 1/2."""
    table = {0.5: 0.19146, 1.0: 0.34134, 1.5: 0.43319, 2.0: 0.47725, 3.0: 0.49865}
    for twin in (build_it, use_it):
        found = {x: twin.gelu(x) / x - 0.5 for x in table}
        assert_equivalent(found, table, rtol=0.0, atol=5e-6, **against(twin, "table"))  # half a unit of its last digit


def test_gelu_is_steepest_at_root_two_and_its_approximation_is_close(build_it, use_it):
    grid = [k / 100 for k in range(-600, 601)]
    for twin in (build_it, use_it):
        steepest = max(grid, key=twin.gelu_derivative)
        assert abs(steepest - math.sqrt(2)) < 0.01, f"f'' = φ(x)(2 - x²) is 0 at √2, and {twin.__name__} has {steepest}"
        assert 1.1289 < twin.gelu_derivative(steepest) < 1.129
        worst = max(abs(twin.gelu(x) - twin.gelu(x, "tanh")) for x in grid)
        assert 4.7e-4 < worst < 4.8e-4


# ---- softmax


@given(logits, some.seeds())
@examples(25)
def test_softmax_and_log_softmax(build_it, use_it, z, seed):
    upstream, results = upstream_for(len(z), seed), []
    for twin in (build_it, use_it):
        results.append(
            {
                "softmax": twin.softmax(z),
                "softmax_backward": twin.softmax_backward(z, upstream),
                "log_softmax": twin.log_softmax(z),
                "log_softmax_backward": twin.log_softmax_backward(z, upstream),
            }
        )
    assert_equivalent(*results)
    found = results[0]
    sums = [sum(found["softmax"]), sum(found["softmax_backward"]), sum(found["log_softmax_backward"])]
    assert_equivalent(sums, [1.0, 0.0, 0.0], names=("sums of build_it's", "truth"))


@given(st.lists(some.floats(-5, 5), min_size=1, max_size=5), some.seeds())
@examples(15)
def test_softmax_backward_against_finite_differences(build_it, z, seed):
    upstream = upstream_for(len(z), seed)
    for name in ("softmax", "log_softmax"):
        f = getattr(build_it, name)
        assert_equivalent(
            getattr(build_it, f"{name}_backward")(z, upstream),
            numerical_gradient(
                lambda moved, f=f: sum(g * p for g, p in zip(upstream, f(moved), strict=True)), z, step=1e-5
            ),
            rtol=1e-6,  # the truncation and rounding of central differences
            atol=1e-8,
            names=("build_it", "finite differences"),
        )


def test_softmax_by_hand(build_it, use_it):
    z = [0.0, math.log(3)]
    by_hand = {
        "p": [1 / 4, 3 / 4],
        "g = (1, 2)": [-3 / 16, 3 / 16],
        "Jacobian": [[3 / 16, -3 / 16], [-3 / 16, 3 / 16]],
        "g of ones": [0.0, 0.0],
        "log p": [-math.log(4), math.log(3 / 4)],
        "log, g = (1, 2)": [1 / 4, -1 / 4],
        "log p far apart": [0.0, -2000.0],
        "log, g = (1, 2) far apart": [-2.0, 2.0],
        "shifted": [1 / 4, 3 / 4],
        "ties": [1 / 3] * 3,
        "one logit": ([1.0], [0.0], [0.0], [0.0]),
    }
    for twin in (build_it, use_it):
        found = {
            "p": twin.softmax(z),
            "g = (1, 2)": twin.softmax_backward(z, [1.0, 2.0]),
            "Jacobian": [twin.softmax_backward(z, row) for row in ([1.0, 0.0], [0.0, 1.0])],
            "g of ones": twin.softmax_backward(z, [1.0, 1.0]),
            "log p": twin.log_softmax(z),
            "log, g = (1, 2)": twin.log_softmax_backward(z, [1.0, 2.0]),
            "log p far apart": twin.log_softmax([1000.0, -1000.0]),
            "log, g = (1, 2) far apart": twin.log_softmax_backward([1000.0, -1000.0], [1.0, 2.0]),
            "shifted": twin.softmax([v - 1000 for v in z]),
            "ties": twin.softmax([1000.0] * 3),
            "one logit": (
                twin.softmax([-7.0]),
                twin.log_softmax([-7.0]),
                twin.softmax_backward([-7.0], [3.0]),
                twin.log_softmax_backward([-7.0], [3.0]),
            ),
        }
        assert_equivalent(found, by_hand, **against(twin, "by hand"))


@pytest.mark.parametrize(
    "z", [[INF, 0.0], [-INF, 0.0], [-INF, -INF], [NAN, 0.0], [0.0, NAN], [0.0, -INF, INF]], ids=str
)
def test_softmax_of_infinities_and_nan(build_it, use_it, z):
    upstream, results = [1.5, -2.0, 0.25][: len(z)], []
    for twin in (build_it, use_it):
        results.append(
            {
                "softmax": twin.softmax(z),
                "softmax_backward": twin.softmax_backward(z, upstream),
                "log_softmax": twin.log_softmax(z),
                "log_softmax_backward": twin.log_softmax_backward(z, upstream),
            }
        )
    assert_equivalent(*results)


# ---- the deep network


@st.composite
def cases(draw):
    """(weights, X, a random gradient of the outputs)."""
    sizes = draw(st.lists(some.sizes(1, 4), min_size=2, max_size=4))
    weights = [draw(some.matrices(n_in, n_out, eighths)) for n_in, n_out in pairwise(sizes)]
    n_samples = draw(some.sizes(1, 4))
    X = draw(some.matrices(n_samples, sizes[0], eighths))
    rng = Random(draw(some.seeds()))
    return weights, X, [upstream_for(sizes[-1], rng.random()) for _ in range(n_samples)]


def in_order(found):
    """The quantities of a Pass in the order of their computation, so that a failure names the last that was right."""
    depth = len(found.deltas)
    named = {}
    for i in range(depth):
        named[f"pre_activations[{i}]"] = found.pre_activations[i]
        named[f"activations[{i}]"] = found.activations[i]
    for i in reversed(range(depth)):
        named[f"deltas[{i}]"] = found.deltas[i]
        named[f"weight_gradients[{i}]"] = found.weight_gradients[i]
    return named


def away_from_corners(twin, activation, case):
    """Drops the case where a z is so near 0 that rounding alone decides on which side of a corner it is."""
    found = twin.forward_backward(case[0], activation, *case[1:])
    if activation in ("relu", "leaky_relu"):
        assume(all(abs(z) > 1e-4 for Z in found.pre_activations for row in Z for z in row))
    return found


@given(cases(), st.sampled_from(NAMES))
@examples(36)
def test_forward_backward(build_it, use_it, case, activation):
    used = away_from_corners(use_it, activation, case)
    weights, X, output_gradient = case
    built = build_it.forward_backward(weights, activation, X, output_gradient)
    assert_equivalent(in_order(built), in_order(used))


@pytest.mark.parametrize("activation", NAMES)
def test_forward_backward_against_finite_differences(build_it, activation):
    weights, X, output_gradient = normal_case(3, 3, 1.5, 2)
    found = build_it.forward_backward(weights, activation, X, output_gradient)

    def loss(outputs):  # its gradient with respect to the outputs is `output_gradient`
        return sum(g * o for rows in zip(output_gradient, outputs, strict=True) for g, o in zip(*rows, strict=True))

    def with_weights(i, W):
        moved = build_it.forward_backward([*weights[:i], W, *weights[i + 1 :]], activation, X, output_gradient)
        return loss(moved.activations[-1])

    def with_pre_activations(i, Z):
        H = [[getattr(build_it, activation)(z) for z in row] for row in Z]
        above = weights[i + 1 :]
        return loss(build_it.forward_backward(above, activation, H, output_gradient).activations[-1] if above else H)

    for i, W in enumerate(weights):
        assert_equivalent(
            {"weight_gradients": found.weight_gradients[i], "deltas": found.deltas[i]},
            {
                "weight_gradients": numerical_gradient(lambda moved, i=i: with_weights(i, moved), W, step=1e-5),
                "deltas": numerical_gradient(
                    lambda moved, i=i: with_pre_activations(i, moved), found.pre_activations[i], step=1e-5
                ),
            },
            rtol=1e-5,  # the truncation and rounding of central differences
            atol=1e-7,
            names=("build_it", "finite differences"),
        )


@pytest.mark.parametrize("activation", NAMES)
def test_forward_backward_through_twenty_layers(build_it, use_it, activation):
    weights, X, output_gradient = normal_case(8, 20, 1.0, 4)
    built = build_it.forward_backward(weights, activation, X, output_gradient)
    used = use_it.forward_backward(weights, activation, X, output_gradient)
    # the gradients are as small as 1e-12: the default atol would forgive anything
    assert_equivalent(in_order(built), in_order(used), atol=1e-22)
    norms = [twin.layer_norms(found.deltas) for twin, found in ((build_it, built), (use_it, used))]
    assert_equivalent(*norms, atol=1e-22)
    assert (norms[0][0] < 1e-9 * norms[0][-1]) == (activation == "sigmoid")


def test_forward_backward_by_hand(build_it, use_it):
    """The example of CONCEPT."""
    weights = [[[1.0, -1.0], [-1.0, 1.0]]] * 3
    by_hand = {
        "sigmoid": ([4.0, -4.0], [8.0, -8.0], [16.0, -16.0]),
        "tanh": ([256.0, -256.0], [128.0, -128.0], [64.0, -64.0]),
        "relu": ([64.0, 0.0], [64.0, 0.0], [64.0, 0.0]),
    }
    for twin in (build_it, use_it):
        for activation, deltas in by_hand.items():
            x = [1.0, 0.0] if activation == "relu" else [1.0, 1.0]
            found = twin.forward_backward(weights, activation, [x], [[64.0, -64.0]])
            assert_equivalent(found.deltas, [[delta] for delta in deltas], **against(twin, "by hand"))
        found = twin.forward_backward(weights, "sigmoid", [[1.0, 1.0]], [[64.0, -64.0]])
        expected = [[[4.0, -4.0], [4.0, -4.0]], [[4.0, -4.0], [4.0, -4.0]], [[8.0, -8.0], [8.0, -8.0]]]
        assert_equivalent(found.weight_gradients, expected, **against(twin, "by hand"))


@given(st.integers(0, 1000), st.floats(0.1, 20))
@examples(10)
def test_forward_backward_of_sigmoid_keeps_the_bound(build_it, use_it, seed, gain):
    """‖δ‖ of a layer ≤ ¼ ‖W‖ ‖δ of the layer above‖, with the Frobenius norm, which is at least the spectral one."""
    weights, X, output_gradient = normal_case(4, 4, gain, 3, seed)
    for twin in (build_it, use_it):
        norms = twin.layer_norms(twin.forward_backward(weights, "sigmoid", X, output_gradient).deltas)
        for (below, above), W in zip(pairwise(norms), twin.layer_norms(weights[1:]), strict=True):
            assert below <= 0.25 * W * above * (1 + 1e-12)


def test_forward_backward_of_relu_scales_with_the_weights(build_it, use_it):
    """relu(2x) = 2 relu(x): doubled weights double δ once for each layer above, and make no unit live or dead."""
    weights, X, output_gradient = normal_case(6, 5, 1.0, 4)
    doubled = [[[2 * w for w in row] for row in W] for W in weights]
    for twin in (build_it, use_it):
        once = twin.forward_backward(weights, "relu", X, output_gradient)
        twice = twin.forward_backward(doubled, "relu", X, output_gradient)
        expected = [norm * 2 ** (4 - i) for i, norm in enumerate(twin.layer_norms(once.deltas))]
        assert_equivalent(twin.layer_norms(twice.deltas), expected, **against(twin, "scaling"))
        dead = [[twin.dead_units(H) for H in found.activations] for found in (once, twice)]
        assert dead[0] == dead[1]


def test_forward_backward_lets_nan_through(build_it, use_it):
    weights, X, output_gradient = normal_case(3, 2, 1.0, 2)
    X[1][2] = NAN
    for activation in NAMES:
        found = [twin.forward_backward(weights, activation, X, output_gradient) for twin in (build_it, use_it)]
        assert_equivalent(in_order(found[0]), in_order(found[1]))
        assert math.isnan(found[0].activations[1][1][0]) and math.isfinite(found[0].activations[1][0][0])


def test_random_weights_draws_in_the_stated_order(build_it, use_it):
    rng = Random(7)
    draws = [rng.gauss(0.0, 1.0) for _ in range(11)]
    one, two = [v * 1.5 / math.sqrt(4) for v in draws[:8]], [v * 1.5 / math.sqrt(2) for v in draws[8:10]]
    for twin in (build_it, use_it):
        found = twin.random_weights([4, 2, 1], 1.5, Random(7))
        expected = [[one[0:2], one[2:4], one[4:6], one[6:8]], [[two[0]], [two[1]]]]
        assert_equivalent(found, expected, **against(twin, "the stated order"))
        assert [len(W) for W in twin.random_weights([1, 1], 1.0, Random(0))] == [1]


@given(st.lists(some.matrices(2, 3, some.floats(-1000, 1000)), min_size=1, max_size=3))
@examples(15)
def test_layer_norms(build_it, use_it, matrices):
    assert_equivalent(build_it.layer_norms(matrices), use_it.layer_norms(matrices))


def test_layer_norms_by_hand(build_it, use_it):
    for twin in (build_it, use_it):
        found = twin.layer_norms([[[3.0, 0.0], [0.0, -4.0]], [[-2.0]], [[0.0]], [[NAN, 1.0]]])
        assert_equivalent(found, [5.0, 2.0, 0.0, NAN], **against(twin, "by hand"))
        assert twin.layer_norms([]) == []


@given(st.data())
@examples(25)
def test_dead_units(build_it, use_it, data):
    activations = data.draw(some.matrices(data.draw(some.sizes(1, 4)), data.draw(some.sizes(1, 5)), eighths))
    found = build_it.dead_units(activations)
    assert_equivalent(found, use_it.dead_units(activations))
    assert_equivalent(
        found,
        [j for j in range(len(activations[0])) if max(row[j] for row in activations) <= 0],
        names=("build_it", "the largest is not above 0"),
    )


def test_dead_units_by_hand(build_it, use_it):
    activations = [[0.0, 0.0, 1.0, -1.0, 5e-324], [0.0, 2.0, 1.0, -0.0, 0.0], [-0.5, 0.0, 1.0, -INF, 0.0]]
    for twin in (build_it, use_it):
        assert_equivalent(twin.dead_units(activations), [0, 3], **against(twin, "by hand"))
        assert twin.dead_units([[1.0]]) == [] and twin.dead_units([[0.0]]) == [0]


def test_dead_units_get_no_gradient_from_relu(build_it, use_it):
    weights, X, output_gradient = normal_case(8, 6, 1.0, 3)
    for twin in (build_it, use_it):
        found = twin.forward_backward(weights, "relu", X, output_gradient)
        counted = [twin.dead_units(H) for H in found.activations]
        silent = [
            [j for j, column in enumerate(zip(*gradient, strict=True)) if not any(column)]
            for gradient in found.weight_gradients
        ]
        assert all(set(dead) <= set(none) for dead, none in zip(counted, silent, strict=True))
        assert sum(map(len, counted)) > 0


# ---- what is refused


ONE = [[[1.0, 2.0], [3.0, 4.0]]]  # weights of one layer
REFUSED = {
    "gelu, approximate": lambda twin: twin.gelu(1.0, "erf"),
    "gelu_derivative, approximate": lambda twin: twin.gelu_derivative(1.0, "TANH"),
    "softmax, empty": lambda twin: twin.softmax([]),
    "log_softmax, empty": lambda twin: twin.log_softmax([]),
    "softmax_backward, empty": lambda twin: twin.softmax_backward([], []),
    "log_softmax_backward, empty": lambda twin: twin.log_softmax_backward([], []),
    "softmax_backward, upstream short": lambda twin: twin.softmax_backward([1.0, 2.0], [1.0]),
    "softmax_backward, upstream long": lambda twin: twin.softmax_backward([1.0], [1.0, 2.0]),
    "log_softmax_backward, upstream short": lambda twin: twin.log_softmax_backward([1.0, 2.0], [1.0]),
    "random_weights, one size": lambda twin: twin.random_weights([2], 1.0, Random(0)),
    "random_weights, no units": lambda twin: twin.random_weights([2, 0], 1.0, Random(0)),
    "forward_backward, no layer": lambda twin: twin.forward_backward([], "relu", [[1.0]], [[1.0]]),
    "forward_backward, activation": lambda twin: twin.forward_backward(ONE, "ReLU", [[1.0, 2.0]], [[1.0, 2.0]]),
    "forward_backward, weights no matrix": lambda twin: twin.forward_backward(
        [[1.0, 2.0]], "relu", [[1.0, 2.0]], [[1.0]]
    ),
    "forward_backward, weights ragged": lambda twin: twin.forward_backward(
        [[[1.0, 2.0], [3.0]]], "relu", [[1.0, 2.0]], [[1.0, 2.0]]
    ),
    "forward_backward, layers do not fit": lambda twin: twin.forward_backward(
        [*ONE, [[1.0]]], "relu", [[1.0, 2.0]], [[1.0]]
    ),
    "forward_backward, no samples": lambda twin: twin.forward_backward(ONE, "relu", [], []),
    "forward_backward, X a vector": lambda twin: twin.forward_backward(ONE, "relu", [1.0, 2.0], [[1.0, 2.0]]),
    "forward_backward, X ragged": lambda twin: twin.forward_backward(
        ONE, "relu", [[1.0, 2.0], [1.0]], [[1.0, 2.0], [1.0, 2.0]]
    ),
    "forward_backward, too many features": lambda twin: twin.forward_backward(
        ONE, "relu", [[1.0, 2.0, 3.0]], [[1.0, 2.0]]
    ),
    "forward_backward, gradient too narrow": lambda twin: twin.forward_backward(ONE, "relu", [[1.0, 2.0]], [[1.0]]),
    "forward_backward, gradient too long": lambda twin: twin.forward_backward(
        ONE, "relu", [[1.0, 2.0]], [[1.0, 2.0], [1.0, 2.0]]
    ),
    "layer_norms, a vector": lambda twin: twin.layer_norms([[1.0, 2.0]]),
    "layer_norms, an empty one": lambda twin: twin.layer_norms([[[1.0]], []]),
    "dead_units, empty": lambda twin: twin.dead_units([]),
    "dead_units, ragged": lambda twin: twin.dead_units([[1.0, 2.0], [1.0]]),
    "dead_units, NaN": lambda twin: twin.dead_units([[1.0, 2.0], [1.0, NAN]]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(build_it, use_it, case):
    assert_same_error(REFUSED[case], build_it, use_it)


MESSAGES = {  # what a message must name, in this order
    "softmax, empty": "logits .* none",
    "log_softmax, empty": "logits .* none",
    "softmax_backward, upstream short": "upstream .* 2 .* 1",
    "softmax_backward, upstream long": "upstream .* 1 .* 2",
    "log_softmax_backward, upstream short": "upstream .* 2 .* 1",
    "forward_backward, X ragged": "row 1 .* X .* 2 .* 1",
    "forward_backward, gradient too narrow": "output_gradient .* 2 .* 1",
    "forward_backward, gradient too long": "output_gradient .* 1 .* 2",
    "forward_backward, layers do not fit": "weights.1. .* 2 .* 1",
    "random_weights, no units": r"at least 1, .* \[2, 0\]",
}


@pytest.mark.parametrize("case", MESSAGES)
def test_refused_with_a_message_that_helps(build_it, case):
    with pytest.raises(ValueError, match=MESSAGES[case]):
        REFUSED[case](build_it)


# ---- the skill


def test_the_skill_reports_what_the_twins_count(build_it, use_it):
    report = ship_it.script().report
    weights, X, output_gradient = normal_case(8, 12, 1.0, 30)
    for twin in (build_it, use_it):
        for activation in ("relu", "leaky_relu", "sigmoid", "tanh"):
            H = twin.forward_backward(weights, activation, X, output_gradient).activations
            lines = report(ship_it.named(H, activation))
            columns = [list(zip(*values, strict=True)) for values in H]
            means = [sum(map(sum, values)) / 240 for values in H]
            variances = [
                sum(v * v for row in values for v in row) / 240 - m * m for values, m in zip(H, means, strict=True)
            ]
            over_samples = [
                sum(sum(v * v for v in unit) / 30 - (sum(unit) / 30) ** 2 for unit in units) / 8 for units in columns
            ]
            expected = {"mean": means, "variance": variances, "spread²": over_samples}
            found = {
                "mean": [line["mean"] for line in lines],
                "variance": [line["std"] ** 2 for line in lines],
                "spread²": [line["spread"] ** 2 for line in lines],
            }
            # a mean of squares less a squared mean loses what the two share
            assert_equivalent(found, expected, atol=1e-14, names=("the skill", "other formulas"))
            if activation in ("relu", "leaky_relu"):
                dead = [len(twin.dead_units(values)) / 8 for values in H]
                assert_equivalent([line["dead"] for line in lines], dead, **against(twin, "the skill"))
            reasons = {reason for line in lines for reason in line["reasons"]}
            wanted = {"relu": {"dead", "fades"}, "leaky_relu": {"quiet", "fades"}, "sigmoid": {"fades"}, "tanh": set()}
            assert wanted[activation] <= reasons and (reasons or activation == "tanh"), (activation, reasons)


def test_the_skill_keeps_its_thresholds(build_it):
    script = ship_it.script()
    below, edge = build_it.tanh(2.17), build_it.tanh(2.19)  # 1 - tanh² x falls below 5% between the two
    inside, outside = [below] * 3 + [0.0], [edge] * 3 + [0.0]
    assert [script.saturated(h, "tanh") for h in (below, -below, edge, -edge)] == [False, False, True, True]
    assert [script.saturated(build_it.sigmoid(x), "sigmoid") for x in (4.34, -4.34, 4.38, -4.38)] == [False] * 2 + [
        True
    ] * 2

    def verdicts(*layers, activation="ReLU"):
        lines = script.report({str(i): {"activation": activation, "values": v} for i, v in enumerate(layers)})
        return [(line["verdict"], line["reasons"]) for line in lines]

    def relu_with_dead(n):  # of 20 units
        return [[0.0] * n + [1.0] * (20 - n), [0.0] * n + [2.0] * (20 - n)]

    dead = verdicts(*(relu_with_dead(n) for n in (0, 2, 3, 10, 11, 20)))
    assert [verdict for verdict, _ in dead] == ["OK", "OK", "WARN", "WARN", "BAD", "BAD"]
    assert dead[-1] == ("BAD", ["no spread"])
    assert verdicts(relu_with_dead(11), activation="LeakyReLU") == [("WARN", ["quiet"])]
    assert verdicts(relu_with_dead(11), activation="Softplus") == [("OK", [])]

    def spread(s):  # one unit
        return [[1.0], [1.0 + 2 * s]]

    fades = verdicts(*(spread(s) for s in (1, 1 / 8, 1 / 16, 1 / 512, 1 / 2048, 8, 16, 512, 2048)))
    assert fades == [
        *[("OK", [])] * 2,
        *[("WARN", ["fades"])] * 2,
        ("BAD", ["fades"]),
        ("OK", []),
        *[("WARN", ["grows"])] * 2,
        ("BAD", ["grows"]),
    ]
    assert verdicts([inside, outside], activation="Tanh") == [("WARN", ["saturated"])]
    assert verdicts([outside, outside[::-1]], activation="Tanh") == [("BAD", ["saturated", "dead"])]
    assert verdicts([[edge, 0.0], [edge, 0.1]], activation="Tanh") == [("WARN", ["saturated", "dead"])]
    assert verdicts([[1.0, 2.0], [NAN, 1.0]]) == verdicts([[1.0, INF], [1.0, 1.0]]) == [("BAD", ["not finite"])]


def test_the_hook_of_the_skill_writes_what_its_script_reads(build_it, tmp_path, monkeypatch, capsys):
    hook = re.search(r"```python\n(.*?)```", (ship_it.SKILL / "SKILL.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    weights, X, output_gradient = normal_case(4, 3, 1.0, 6)
    layers = []
    for W in weights:
        layers += [torch.nn.Linear(4, 4, bias=False, dtype=torch.float64), torch.nn.ReLU()]
        layers[-2].weight.data = torch.tensor(W, dtype=torch.float64).T
    monkeypatch.chdir(tmp_path)
    exec(hook, {"model": torch.nn.Sequential(*layers), "batch": torch.tensor(X, dtype=torch.float64)})
    script = ship_it.script()
    read = script.read([Path("activations.json")], None)
    H = build_it.forward_backward(weights, "relu", X, output_gradient).activations
    assert_equivalent([layer["values"] for layer in read.values()], H, names=("the hook", "build_it"))
    assert script.main(["activations.json"]) in (0, 1)
    assert re.search(r"^5 +ReLU +4 ", capsys.readouterr().out, re.MULTILINE)

    image = torch.arange(24.0).reshape(1, 2, 3, 4)  # a convolution's output: 1 sample, 2 channels, 3 × 4
    exec(hook, {"model": torch.nn.Sequential(torch.nn.ReLU()), "batch": image})
    [layer] = json.loads(Path("activations.json").read_text()).values()
    assert sorted(zip(*layer["values"], strict=True))[0] == (0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11)


def test_the_command_line_of_the_skill(build_it, tmp_path, capsys):
    main = ship_it.script().main
    layer = [[build_it.relu(v) for v in row] for row in ([1.0, -1.0], [2.0, -2.0], [3.0, -3.0])]
    good, other = tmp_path / "good.csv", tmp_path / "other.csv"
    good.write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in layer))
    other.write_text("1,2\n2,1\n")
    assert main([str(good), str(other), "--activation", "relu", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert [(line["layer"], line["samples"], line["units"], line["dead"]) for line in lines] == [
        ("good", 3, 2, 0.5),
        ("other", 2, 2, 0.0),
    ]
    assert main([str(good), "--activation", "relu"]) == 0
    out = capsys.readouterr().out
    assert "WARN dead" in out and "dead: lower" in out and "probability 0.86" in out
    good.write_text("0,0\n0,0\n")
    assert main([str(good), "--activation", "relu"]) == 1
    capsys.readouterr()

    refused = {
        "no.json": (None, "No such file"),
        "a.json": ("[1, 2", "Expecting"),
        "b.json": ("[1, 2]", "one entry for each layer"),
        "c.json": ('{"x": [[1]]}', '"activation"'),
        "d.json": ('{"x": {"activation": "ReLU", "values": []}}', "list of rows"),
        "e.json": ('{"x": {"activation": "ReLU", "values": [[1], [1, 2]]}}', "row 1 has 2 values, row 0 has 1"),
        "f.json": ('{"x": {"activation": "ReLU", "values": [["1"]]}}', "no number"),
        "g.csv": ("1,2\n", "add --activation"),
    }
    for name, (text, message) in refused.items():
        if text is not None:
            (tmp_path / name).write_text(text)
        assert main([str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err, name
    (tmp_path / "h.csv").write_text("1,2\n3,x\n")
    assert main([str(tmp_path / "h.csv"), "--activation", "relu"]) == 2
    assert "line 2" in capsys.readouterr().err
    assert main([str(other), str(other), "--activation", "relu"]) == 2
    assert "two layers called 'other'" in capsys.readouterr().err


def test_the_script_runs_on_the_interpreter_alone(build_it, tmp_path):
    file = tmp_path / "layer.csv"
    file.write_text("".join(f"{build_it.sigmoid(x)}\n" for x in (-1.0, 0.0, 1.0)))
    command = [sys.executable, "-I", "-S", "-B", str(ship_it.SKILL / "scripts" / "activation_report.py")]
    done = subprocess.run([*command, str(file), "--activation", "sigmoid"], capture_output=True, text=True, check=True)
    assert "layer  sigmoid" in done.stdout and "OK" in done.stdout
