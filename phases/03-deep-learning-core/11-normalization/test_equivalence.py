"""The proof: four normalizations and their gradients, running statistics, folding, and the tool that folds."""

import json
import math
import re
import struct
import subprocess
import sys
from dataclasses import asdict
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from phases.deep_learning_core.normalization import ship_it, tool

from shared.proof import assert_equivalent, assert_same_error, examples, numerical_gradient
from shared.proof import strategies as some

INF, NAN = math.inf, math.nan
eighths = st.integers(-24, 24).map(lambda k: k / 8)
eps_values = st.sampled_from([1e-5, 1e-3, 0.5])


def against(twin, witness):
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


def nested(shape, draw):
    """Lists of that shape, filled in reading order by calls of `draw`."""
    return draw() if not shape else [nested(shape[1:], draw) for _ in range(shape[0])]


def flat(x):
    return [v for row in x for v in flat(row)] if isinstance(x, list) else [x]


def gauss(shape, seed=0, scale=1.0):
    rng = Random(seed)
    return nested(shape, lambda: rng.gauss(0, scale))


def changed(x, path, delta):
    """A copy of x with `delta` added at one place."""
    if not path:
        return x + delta
    return [changed(row, path[1:], delta) if i == path[0] else row for i, row in enumerate(x)]


@st.composite
def cases(draw):
    """(kind, forward, backward): each takes a twin; the upstream gradient is random."""
    kind = draw(st.sampled_from(["batch", "batch, evaluation", "layer", "group", "rms"]))
    n_samples, n_channels = draw(some.sizes(1, 3)), draw(some.sizes(1, 4))
    shape = (n_samples, n_channels, *draw(st.lists(some.sizes(1, 3), max_size=2)))
    if kind == "batch" and math.prod(shape) == n_channels:
        shape = (2, *shape[1:])
    if kind in ("layer", "rms"):
        shape = shape[draw(st.integers(0, 1)) :]
        parameter_shape = shape[draw(st.integers(0, len(shape) - 1)) :]
    else:
        parameter_shape = shape[1:2]
    elements = draw(st.sampled_from([eighths, st.sampled_from([-1000.0, 0.0, 1000.0]), st.just(3.0)]))
    x = nested(shape, lambda: draw(elements))
    rng = Random(draw(some.seeds()))
    weight, bias, upstream = (nested(s, lambda: rng.uniform(-3, 3)) for s in (parameter_shape, parameter_shape, shape))
    eps = draw(eps_values)
    divisors = [g for g in range(1, n_channels + 1) if n_channels % g == 0]
    n_groups = draw(st.sampled_from(divisors))
    mean, variance = ([rng.uniform(low, 4) for _ in range(n_channels)] for low in (-4, 0))
    return kind, x, weight, bias, upstream, eps, n_groups, mean, variance


def calls(twin, case):
    """(forward, backward) of a case: functions of x, weight and bias, and of x and weight."""
    kind, _, _, _, upstream, eps, n_groups, mean, variance = case
    if kind.startswith("batch"):
        running = twin.RunningStatistics(mean, variance, 3) if "evaluation" in kind else None
        return (
            lambda x, weight, bias: twin.batch_norm(x, weight, bias, running, eps),
            lambda x, weight: twin.batch_norm_backward(x, weight, upstream, running, eps),
        )
    if kind == "layer":
        return (
            lambda x, weight, bias: twin.layer_norm(x, weight, bias, eps),
            lambda x, weight: twin.layer_norm_backward(x, weight, upstream, eps),
        )
    if kind == "group":
        return (
            lambda x, weight, bias: twin.group_norm(x, n_groups, weight, bias, eps),
            lambda x, weight: twin.group_norm_backward(x, n_groups, weight, upstream, eps),
        )
    return (
        lambda x, weight, bias: twin.rms_norm(x, weight, eps),
        lambda x, weight: twin.rms_norm_backward(x, weight, upstream, eps),
    )


def forward_and_backward(twin, case):
    _, x, weight, bias, *_ = case
    forward, backward = calls(twin, case)
    gradients = asdict(backward(x, weight))
    # named after the outputs in the order of computation; the input's comes last
    return {"output": forward(x, weight, bias), **{k: gradients[k] for k in ("bias", "weight", "input")}}


# ---- by hand


def test_one_group_by_hand(build_it, use_it):
    values, upstream = [9.0, 1.0, 3.0, 3.0], [3.0, 0.0, 0.0, 0.0]
    by_hand = {
        "mean and variance": (4.0, 9.0),
        "3 x̂": [5.0, -3.0, -1.0, -1.0],
        "18 dL/dx": [1.0, 3.0, -2.0, -2.0],
        "√5 x̂, not centred": [3.0, 1.0],
        "eps under the root": [-0.5, 0.5],
        "defaults": [1 / math.sqrt(1 + 1e-5), -1 / math.sqrt(1 + 1e-5)],
        "one value": ((7.0, 0.0), [0.0], [0.0]),
        "equal values": ([0.0, 0.0], [0.5, -0.5]),
    }
    for twin in (build_it, use_it):
        found = {
            "mean and variance": twin.mean_and_variance(values),
            "3 x̂": [3 * x for x in twin.normalize(values, eps=1e-15)],
            "18 dL/dx": [18 * d for d in twin.normalize_backward(values, upstream, eps=1e-15)],
            "√5 x̂, not centred": [math.sqrt(5) * x for x in twin.normalize([3.0, 1.0], 1e-15, centred=False)],
            "eps under the root": twin.normalize([0.0, 2.0], eps=3.0),
            "defaults": twin.normalize([2.0, 0.0]),
            "one value": (twin.mean_and_variance([7.0]), twin.normalize([7.0]), twin.normalize_backward([7.0], [3.0])),
            "equal values": (twin.normalize([2.0, 2.0]), twin.normalize_backward([2.0, 2.0], [5.0, 4.0], eps=1.0)),
        }
        assert_equivalent(found, by_hand, **against(twin, "by hand"))


def test_defaults_and_plain_cases(build_it, use_it):
    s = math.sqrt(1 + 1e-5)
    known = {
        "batch": [[1 / s, 1.0], [-1 / s, 1.0]],
        "layer": [[3 / s, 10 - 5 / s]],
        "group": [[[3 / s, -3 / s]]],
        "rms": [[3.0, 1.0]],
        "rms of zeros": [[0.0, 0.0]],
        "tiny rms": [[1.0]],
        "evaluation": [[2 / s]],
        "evaluation backward": ([[4 / s]], [8 / s], [4.0]),
        "group of one value": [[7.0, 8.0]],
        "group of one value, backward": ([[0.0, 0.0]], [0.0, 0.0], [1.0, 2.0]),
    }
    for twin in (build_it, use_it):
        running = twin.RunningStatistics([1.0], [1.0])
        backward = twin.batch_norm_backward([[3.0]], [1.0], [[4.0]], running)
        single = twin.group_norm_backward([[5.0, 5.0]], 2, [3.0, 4.0], [[1.0, 2.0]])
        tiny = 2.0**-26  # its square is eps, so √(x² + eps) = √2 x
        found = {
            "batch": twin.batch_norm([[2.0, 4.0], [0.0, 4.0]], [1.0, 3.0], [0.0, 1.0]),
            "layer": twin.layer_norm([[2.0, 0.0]], [3.0, 5.0], [0.0, 10.0]),
            "group": twin.group_norm([[[2.0, 0.0]]], 1, [3.0], [0.0]),
            "rms": twin.rms_norm([[3.0, 1.0]], [math.sqrt(5)] * 2),
            "rms of zeros": twin.rms_norm([[0.0, 0.0]], [3.0, 4.0]),
            "tiny rms": twin.rms_norm([[tiny]], [math.sqrt(2)]),
            "evaluation": twin.batch_norm([[3.0]], [1.0], [0.0], running),
            "evaluation backward": (backward.input, backward.weight, backward.bias),
            "group of one value": twin.group_norm([[5.0, 5.0]], 2, [3.0, 4.0], [7.0, 8.0]),
            "group of one value, backward": (single.input, single.weight, single.bias),
        }
        assert_equivalent(found, known, **against(twin, "by hand"))


def test_default_eps_of_the_backward_passes(build_it, use_it):
    """Equal values: x̂ is 0, and the gradient is g - mean(g), over √eps."""
    x, g, ones = [[3.0, 3.0]], [[5.0, 4.0]], [1.0, 1.0]
    by_hand = [[0.5 / math.sqrt(1e-5), -0.5 / math.sqrt(1e-5)]]
    for twin in (build_it, use_it):
        found = {
            "one group": [twin.normalize_backward(x[0], g[0])],
            "layer": twin.layer_norm_backward(x, ones, g).input,
            "batch": [flat(twin.batch_norm_backward([[3.0], [3.0]], [1.0], [[5.0], [4.0]]).input)],
            "group": twin.group_norm_backward(x, 1, ones, g).input,
            "rms, of zeros": twin.rms_norm_backward([[0.0, 0.0]], ones, g).input,
            "normalize_backward, rms": [twin.normalize_backward([0.0, 0.0], [5.0, 4.0], centred=False)],
        }
        expected = dict.fromkeys(found, by_hand)
        expected["rms, of zeros"] = [[5 * 2.0**26, 4 * 2.0**26]]
        expected["normalize_backward, rms"] = [[5 / math.sqrt(1e-5), 4 / math.sqrt(1e-5)]]
        assert_equivalent(found, expected, **against(twin, "by hand"))


def test_running_statistics_by_hand(build_it, use_it):
    first, second = [[1.0, 5.0], [3.0, 5.0]], [[6.0, 5.0], [2.0, 5.0]]  # means 2 and 4, unbiased variances 2 and 8
    by_hand = {
        "initial": {"mean": [0.0, 0.0], "variance": [1.0, 1.0], "num_batches_tracked": 0},
        "0.1": {"mean": [0.2, 0.5], "variance": [1.1, 0.9], "num_batches_tracked": 1},
        "0.25": {"mean": [0.25 * 4 + 0.75 * 0.5, 1.25 + 0.75 * 1.25], "variance": [2.9375, 0.5625]},
        "None": {"mean": [3.0, 5.0], "variance": [5.0, 0.0], "num_batches_tracked": 2},
        "0": {"mean": [0.0, 0.0], "variance": [1.0, 1.0], "num_batches_tracked": 1},
        "1": {"mean": [2.0, 5.0], "variance": [2.0, 0.0], "num_batches_tracked": 1},
    }
    by_hand["0.25"]["num_batches_tracked"] = 2
    for twin in (build_it, use_it):
        initial = twin.initial_statistics(2)
        found = {
            "initial": initial,
            "0.1": twin.update_statistics(initial, first),
            "0.25": twin.update_statistics(twin.update_statistics(initial, first, 0.25), second, 0.25),
            "None": twin.update_statistics(twin.update_statistics(initial, first, None), second, None),
            "0": twin.update_statistics(initial, first, 0.0),
            "1": twin.update_statistics(initial, first, 1.0),
        }
        assert_equivalent({k: asdict(v) for k, v in found.items()}, by_hand, **against(twin, "by hand"))
        assert asdict(initial) == by_hand["initial"], "update_statistics changed the statistics that it was given"
        assert twin.RunningStatistics([0.0], [1.0]).num_batches_tracked == 0


def test_the_variance_survives_a_large_offset(build_it, use_it):
    """Of 1, 2, 3, 6 plus a power of two the variance is exactly 3.5; the mean of squares has no digit left for it."""
    for offset in (0.0, 2.0**20, -(2.0**40)):
        for twin in (build_it, use_it):
            found = twin.mean_and_variance([offset + v for v in (1.0, 2.0, 3.0, 6.0)])
            assert_equivalent(found, (offset + 3.0, 3.5), **against(twin, "exact"))


# ---- one group


groups = st.lists(eighths | st.sampled_from([-1000.0, 1000.0]), min_size=1, max_size=7)


@given(groups, st.tuples(eps_values, st.booleans()), some.seeds())
@examples(30)
def test_one_group(build_it, use_it, values, options, seed):
    rng, results = Random(seed), []
    upstream = [rng.uniform(-3, 3) for _ in values]
    for twin in (build_it, use_it):
        results.append(
            {
                "mean and variance": twin.mean_and_variance(values),
                "normalize": twin.normalize(values, *options),
                "normalize_backward": twin.normalize_backward(values, upstream, *options),
            }
        )
    # the gradient is what is left of terms of |upstream| / √eps, up to 1000, which cancel where values are equal
    assert_equivalent(*results, atol=1e-11)


@given(st.lists(some.floats(-3, 3), min_size=1, max_size=6), st.booleans(), some.seeds())
@examples(15)
def test_one_group_against_finite_differences(build_it, values, centred, seed):
    rng = Random(seed)
    upstream = [rng.uniform(-3, 3) for _ in values]

    def loss(moved):
        return sum(g * x for g, x in zip(upstream, build_it.normalize(moved, 0.01, centred), strict=True))

    assert_equivalent(
        build_it.normalize_backward(values, upstream, 0.01, centred),
        numerical_gradient(loss, values, step=1e-5),
        rtol=1e-5,  # the truncation and rounding of central differences
        atol=1e-7,
        names=("build_it", "finite differences"),
    )


def test_gradients_are_perpendicular_to_ones_and_to_x_hat(build_it, use_it):
    """A shift of all values or a change of their scale moves no output, so the gradient has no part in either."""
    rng = Random(0)
    values, upstream = [rng.gauss(5, 2) for _ in range(7)], [rng.gauss(0, 1) for _ in range(7)]
    for twin in (build_it, use_it):
        for centred in (True, False):
            to_x, x_hat = (
                twin.normalize_backward(values, upstream, 1e-15, centred),
                twin.normalize(values, 1e-15, centred),
            )
            along_x_hat = sum(d * x for d, x in zip(to_x, x_hat, strict=True))
            assert_equivalent(along_x_hat, 0.0, **against(twin, "scale"))
            along_ones = abs(sum(to_x))
            assert along_ones < 1e-12 if centred else along_ones > 1e-3
        two = twin.normalize_backward([1.0, 5.0], [3.0, -8.0], eps=1e-15)
        assert_equivalent(two, [0.0, 0.0], **against(twin, "two values leave no direction"))


# ---- the four kinds


@given(cases())
@examples(45)
def test_the_four_kinds(build_it, use_it, case):
    # gradients are what is left of terms of up to 9 / √eps, about 3000, which cancel where values are equal; torch's
    # group norm multiplies by 1 / √(v + eps) before it subtracts the mean, so there terms of 1000 / √eps cancel
    atol = 1e-9 if case[0] == "group" else 1e-11
    assert_equivalent(forward_and_backward(build_it, case), forward_and_backward(use_it, case), atol=atol)


SHAPES = {  # kind → x, parameters
    "batch": ((3, 2, 2), (2,)),
    "batch, evaluation": ((3, 2, 2), (2,)),
    "layer": ((2, 2, 3), (2, 3)),
    "group": ((2, 4, 2), (4,)),
    "rms": ((3, 4), (4,)),
}


def fixed(kind, n_groups=2):
    shape, parameter_shape = SHAPES[kind]
    n_channels = shape[1]
    parameters = gauss(parameter_shape, 1), gauss(parameter_shape, 2)
    return (kind, gauss(shape), *parameters, gauss(shape, 3), 0.01, n_groups, [0.5] * n_channels, [1.5] * n_channels)


@pytest.mark.parametrize("kind", SHAPES)
def test_gradients_against_finite_differences(build_it, kind):
    case = fixed(kind)
    _, x, weight, bias, upstream, *_ = case
    forward, backward = calls(build_it, case)

    def loss(*arguments):
        return sum(g * y for g, y in zip(flat(upstream), flat(forward(*arguments)), strict=True))

    def derivatives(f, at):
        """One number at a time: the numbers may be nested to any depth."""
        if isinstance(at, list):
            return [derivatives(lambda part, i=i: f([*at[:i], part, *at[i + 1 :]]), at[i]) for i in range(len(at))]
        return numerical_gradient(f, at, step=1e-5)

    expected = {
        "input": derivatives(lambda moved: loss(moved, weight, bias), x),
        "weight": derivatives(lambda moved: loss(x, moved, bias), weight),
        "bias": None if kind == "rms" else derivatives(lambda moved: loss(x, weight, moved), bias),
    }
    # the truncation and rounding of central differences
    assert_equivalent(
        asdict(backward(x, weight)), expected, rtol=1e-5, atol=1e-7, names=("build_it", "finite differences")
    )


SPREADS = {  # what moves when the number at (0, 1, 0) of 2 samples × 4 channels × 2 positions moves
    "batch": lambda n, c, s: c == 1,
    "batch, evaluation": lambda n, c, s: (n, c, s) == (0, 1, 0),
    "layer": lambda n, c, s: n == 0,
    "group": lambda n, c, s: n == 0 and c < 2,
    "rms": lambda n, c, s: n == 0,
}


@pytest.mark.parametrize("kind", SPREADS)
def test_a_number_moves_the_outputs_of_its_group_and_no_others(build_it, use_it, kind):
    shape = (2, 4, 2)
    parameter_shape = (4, 2) if kind in ("layer", "rms") else (4,)
    ones = nested(parameter_shape, lambda: 1.0)
    case = (kind, gauss(shape), ones, ones, None, 1e-5, 2, [0.0] * 4, [1.0] * 4)
    places = [(n, c, s) for n in range(2) for c in range(4) for s in range(2)]
    for twin in (build_it, use_it):
        forward, _ = calls(twin, case)
        before, after = (flat(forward(x, ones, ones)) for x in (case[1], changed(case[1], (0, 1, 0), 0.5)))
        found = {place for place, one, other in zip(places, before, after, strict=True) if one != other}
        assert found == {place for place in places if SPREADS[kind](*place)}, twin.__name__


@given(some.seeds(), st.sampled_from([2.0, 0.25, 1000.0]), st.sampled_from([0.0, -3.0, 1000.0]))
@examples(10)
def test_invariances(build_it, use_it, seed, a, b):
    """With eps scaled by a² they are exact: the output of a x + b is that of x; RMS norm knows only the scale."""
    x, eps = gauss((4, 6), seed), 1e-3
    moved, scaled = ([[a * v + shift for v in row] for row in x] for shift in (b, 0.0))
    six, zeros = [1.0, 2.0, -1.0, 0.5, 3.0, 1.0], [0.25] * 6
    for twin in (build_it, use_it):
        found = {
            "layer": twin.layer_norm(moved, six, zeros, a * a * eps),
            "batch": twin.batch_norm(moved, six, zeros, eps=a * a * eps),
            "group": twin.group_norm(moved, 3, six, zeros, a * a * eps),
            "rms": twin.rms_norm(scaled, six, a * a * eps),
        }
        expected = {
            "layer": twin.layer_norm(x, six, zeros, eps),
            "batch": twin.batch_norm(x, six, zeros, eps=eps),
            "group": twin.group_norm(x, 3, six, zeros, eps),
            "rms": twin.rms_norm(x, six, eps),
        }
        # 1000 + x has lost three digits or four of x, and with a = 1/4 four or five
        assert_equivalent(found, expected, rtol=1e-8, atol=1e-9, **against(twin, "invariance"))


def test_outputs_have_mean_0_and_variance_v_over_v_plus_eps(build_it, use_it):
    x, eps = gauss((7, 3), scale=0.1), 1e-2
    variances = [build_it.mean_and_variance(list(column))[1] for column in zip(*x, strict=True)]
    for twin in (build_it, use_it):
        y = twin.batch_norm(x, [1.0] * 3, [0.0] * 3, eps=eps)
        found = [twin.mean_and_variance(list(column)) for column in zip(*y, strict=True)]
        assert_equivalent(found, [(0.0, v / (v + eps)) for v in variances], **against(twin, "algebra"))


def test_kinds_coincide_where_their_groups_do(build_it, use_it):
    x = gauss((3, 4, 2))
    channel, ones, zeros = gauss((4,), 5), nested((4, 2), lambda: 1.0), nested((4, 2), lambda: 0.0)
    by_place = [[v, v] for v in channel]
    centred = [[2.0, 3.0, -1.0, 0.5, -3.0, -0.5, 1.0, -2.0]]
    as_channels = [[[v for row in sample for v in row] for sample in x]]  # the samples as channels of one sample
    for twin in (build_it, use_it):
        one_group = twin.group_norm(x, 1, channel, channel)
        assert_equivalent(one_group, twin.layer_norm(x, by_place, by_place), **against(twin, "one group: layer norm"))
        samples = twin.batch_norm(as_channels, [1.0] * 3, [0.0] * 3)[0]
        assert_equivalent([flat(s) for s in twin.layer_norm(x, ones, zeros)], samples, **against(twin, "transposed"))
        eight = [1.0] * 8
        assert_equivalent(
            twin.rms_norm(centred, eight, 1e-5),
            twin.layer_norm(centred, eight, [0.0] * 8),
            **against(twin, "centred values: layer norm"),
        )


# ---- running statistics and folding


@given(
    some.seeds(),
    st.sampled_from([None, 0.0, 0.1, 0.5, 1.0]),
    st.sampled_from([(2, 1), (4, 3), (1, 2, 2), (2, 2, 3, 1)]),
)
@examples(15)
def test_running_statistics(build_it, use_it, seed, momentum, shape):
    batches, results = [gauss(shape, seed + k, 2.0) for k in range(5)], []
    for twin in (build_it, use_it):
        running = twin.initial_statistics(shape[1])
        history = [asdict(running)]
        for batch in batches:
            running = twin.update_statistics(running, batch, momentum)
            history.append(asdict(running))
        results.append(history)
    assert_equivalent(*results)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (2, 3, 2), (3, 2, 2, 2)], ids=str)
def test_folding(build_it, use_it, shape):
    weight, bias, gamma, beta, mean = gauss(shape), *(gauss(shape[:1], k) for k in range(1, 5))
    variance = [v * v for v in gauss(shape[:1], 5)]
    for eps in ({}, {"eps": 0.25}):
        results = [
            [
                twin.fold_batch_norm(weight, b, twin.RunningStatistics(mean, variance), gamma, beta, **eps)
                for b in (bias, None)
            ]
            for twin in (build_it, use_it)
        ]
        assert_equivalent(*results)
    X = gauss((4, math.prod(shape[1:])), 6)

    def outputs(W, b):
        return [
            [sum(w * v for w, v in zip(flat(row), x, strict=True)) + c for row, c in zip(W, b, strict=True)] for x in X
        ]

    for twin in (build_it, use_it):
        running = twin.RunningStatistics(mean, variance)
        folded = twin.fold_batch_norm(weight, bias, running, gamma, beta, eps=0.25)
        two_layers = twin.batch_norm(outputs(weight, bias), gamma, beta, running, 0.25)
        assert_equivalent(outputs(*folded), two_layers, **against(twin, "two layers"))


# ---- errors

pair = [[1.0, 2.0], [3.0, 5.0]]
two = [1.0, 1.0]


def running_for(twin, n=2, variance=1.0):
    return twin.RunningStatistics([0.0] * n, [variance] * n)


def fold(twin, weight=pair, running=None, *, bias=two, bn_weight=two, bn_bias=two, **options):
    return twin.fold_batch_norm(weight, bias, running or running_for(twin), bn_weight, bn_bias, **options)


REFUSED = {
    "mean_and_variance, empty": lambda twin: twin.mean_and_variance([]),
    "mean_and_variance, NaN": lambda twin: twin.mean_and_variance([1.0, NAN]),
    "mean_and_variance, matrix": lambda twin: twin.mean_and_variance(pair),
    "normalize, matrix": lambda twin: twin.normalize([[1.0]]),
    "normalize, empty": lambda twin: twin.normalize([]),
    "normalize, infinity": lambda twin: twin.normalize([INF]),
    "normalize, eps 0": lambda twin: twin.normalize([1.0, 1.0], 0.0),
    "normalize, eps NaN": lambda twin: twin.normalize([1.0, 1.0], NAN),
    "normalize, eps infinite": lambda twin: twin.normalize([1.0, 1.0], INF),
    "normalize_backward, eps negative": lambda twin: twin.normalize_backward(two, two, -1.0),
    "normalize_backward, upstream short": lambda twin: twin.normalize_backward(two, [1.0]),
    "normalize_backward, upstream long": lambda twin: twin.normalize_backward([1.0], two),
    "initial_statistics, none": lambda twin: twin.initial_statistics(0),
    "update_statistics, one sample": lambda twin: twin.update_statistics(running_for(twin), [two]),
    "update_statistics, channels": lambda twin: twin.update_statistics(running_for(twin, 3), pair),
    "update_statistics, momentum above 1": lambda twin: twin.update_statistics(running_for(twin), pair, 1.5),
    "update_statistics, momentum below 0": lambda twin: twin.update_statistics(running_for(twin), pair, -0.1),
    "update_statistics, vector": lambda twin: twin.update_statistics(running_for(twin), two),
    "update_statistics, variance": lambda twin: twin.update_statistics(running_for(twin, 2, -1.0), pair),
    "batch_norm, vector": lambda twin: twin.batch_norm(two, two, two),
    "batch_norm, number": lambda twin: twin.batch_norm(1.0, two, two),
    "batch_norm, ragged": lambda twin: twin.batch_norm([[1.0, 2.0], [1.0]], two, two),
    "batch_norm, mixed depth": lambda twin: twin.batch_norm([[1.0, 2.0], 1.0], two, two),
    "batch_norm, number beside a row of one": lambda twin: twin.batch_norm([[1.0], 1.0], [1.0], [1.0]),
    "batch_norm, running mean too long": lambda twin: twin.batch_norm(
        pair, two, two, twin.RunningStatistics([0.0, 0.0, 0.0], two)
    ),
    "batch_norm, empty": lambda twin: twin.batch_norm([], two, two),
    "batch_norm, empty rows": lambda twin: twin.batch_norm([[], []], two, two),
    "batch_norm, one sample": lambda twin: twin.batch_norm([[1.0, 2.0]], two, two),
    "batch_norm, weight": lambda twin: twin.batch_norm(pair, [1.0], two),
    "batch_norm, bias": lambda twin: twin.batch_norm(pair, two, [1.0, 2.0, 3.0]),
    "batch_norm, eps 0": lambda twin: twin.batch_norm(pair, two, two, eps=0.0),
    "batch_norm, eps 0 in evaluation": lambda twin: twin.batch_norm(pair, two, two, running_for(twin), 0.0),
    "batch_norm, running": lambda twin: twin.batch_norm(pair, two, two, running_for(twin, 1)),
    "batch_norm, variance negative": lambda twin: twin.batch_norm(pair, two, two, running_for(twin, 2, -1e-3)),
    "batch_norm_backward, one sample": lambda twin: twin.batch_norm_backward([two], two, [two]),
    "batch_norm_backward, upstream": lambda twin: twin.batch_norm_backward(pair, two, [two]),
    "batch_norm_backward, upstream in evaluation": lambda twin: twin.batch_norm_backward(
        pair, two, [[1.0], [1.0]], running_for(twin)
    ),
    "batch_norm_backward, weight": lambda twin: twin.batch_norm_backward(pair, [1.0], pair),
    "layer_norm, weight": lambda twin: twin.layer_norm(pair, [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]),
    "layer_norm, weight deeper": lambda twin: twin.layer_norm(two, pair, pair),
    "layer_norm, bias": lambda twin: twin.layer_norm(pair, two, [1.0]),
    "layer_norm, eps 0": lambda twin: twin.layer_norm(pair, two, two, 0.0),
    "layer_norm, NaN": lambda twin: twin.layer_norm([[NAN, 1.0]], two, two),
    "layer_norm_backward, upstream": lambda twin: twin.layer_norm_backward(pair, two, two),
    "group_norm, groups": lambda twin: twin.group_norm([[1.0, 2.0, 3.0]], 2, [1.0] * 3, [1.0] * 3),
    "group_norm, no groups": lambda twin: twin.group_norm(pair, 0, two, two),
    "group_norm, vector": lambda twin: twin.group_norm(two, 1, two, two),
    "group_norm, weight": lambda twin: twin.group_norm(pair, 1, [1.0], two),
    "group_norm_backward, groups": lambda twin: twin.group_norm_backward(pair, 3, two, pair),
    "group_norm_backward, upstream": lambda twin: twin.group_norm_backward(pair, 2, two, two),
    "rms_norm, weight": lambda twin: twin.rms_norm(pair, [1.0]),
    "rms_norm, eps 0": lambda twin: twin.rms_norm(pair, two, 0.0),
    "rms_norm_backward, upstream": lambda twin: twin.rms_norm_backward(pair, two, [two]),
    "fold, vector": lambda twin: fold(twin, two),
    "fold, bias": lambda twin: fold(twin, bias=[1.0]),
    "fold, running": lambda twin: fold(twin, running=running_for(twin, 3)),
    "fold, variance negative": lambda twin: fold(twin, running=running_for(twin, 2, -1.0)),
    "fold, bn_weight": lambda twin: fold(twin, bn_weight=[1.0]),
    "fold, bn_bias": lambda twin: fold(twin, bn_bias=[1.0]),
    "fold, eps 0": lambda twin: fold(twin, eps=0.0),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(build_it, use_it, case):
    assert_same_error(REFUSED[case], build_it, use_it)


MESSAGES = {  # a message names the argument, what was expected and what came, in this order
    "normalize_backward, upstream short": r"upstream .* \(2,\), got \(1,\)",
    "layer_norm_backward, upstream": r"upstream .* \(2, 2\), got \(2,\)",
    "fold, bias": r"bias .* \(2,\), got \(1,\)",
    "fold, bn_bias": r"bn_bias .* \(2,\), got \(1,\)",
    "group_norm, groups": r"n_groups .*\b3\b.*\b2\b",
    "layer_norm, weight": r"weight .*\(2, 2\).*\(3,\)",
    "update_statistics, momentum above 1": r"momentum .*\b0 .*\b1\b.*1\.5",
    "initial_statistics, none": r"n_channels .*\b0\b",
    "batch_norm, one sample": r"two or more values for each channel, .* \(1, 2\)",
}


@pytest.mark.parametrize("case", MESSAGES)
def test_refused_with_a_message_that_helps(build_it, case):
    with pytest.raises(ValueError, match=MESSAGES[case]):
        REFUSED[case](build_it)


# ---- the tool


def network(dtype):
    """A convolution, a batch norm, a linear layer and a batch norm without weight and bias."""
    layers = [
        torch.nn.Conv2d(2, 3, 3, bias=False),
        torch.nn.BatchNorm2d(3),
        torch.nn.Flatten(),
        torch.nn.Linear(12, 4),
        torch.nn.BatchNorm1d(4, affine=False),
    ]
    rng = Random(0)
    model = torch.nn.Sequential(*layers).eval()
    for tensor in model.state_dict().values():
        if tensor.ndim:
            tensor.copy_(torch.tensor(nested(tensor.shape, lambda: rng.uniform(0.5, 2) * rng.choice([-1, 1]))))
        else:
            tensor.fill_(1)
    for i in (1, 4):
        model[i].running_var.abs_()
    return model.to(dtype)


def save(model, file):
    bits = {
        torch.float64: torch.int64,
        torch.float32: torch.int32,
        torch.float16: torch.int16,
        torch.bfloat16: torch.int16,
    }
    names = {
        torch.float64: "F64",
        torch.float32: "F32",
        torch.float16: "F16",
        torch.bfloat16: "BF16",
        torch.int64: "I64",
    }
    formats = {torch.int64: "q", torch.int32: "i", torch.int16: "h"}
    tensors = {}
    for name, tensor in model.state_dict().items():
        whole = tensor.view(bits.get(tensor.dtype, tensor.dtype))
        raw = struct.pack(f"<{whole.numel()}{formats[whole.dtype]}", *whole.flatten().tolist())
        tensors[name] = tool.Tensor(names[tensor.dtype], list(tensor.shape), raw)
    tool.write(file, tensors, {"format": "pt"})


TYPES = {
    "F64": (torch.float64, 1e-12),
    "F32": (torch.float32, 1e-5),
    "F16": (torch.float16, 1e-2),
    "BF16": (torch.bfloat16, 4e-2),
}


@pytest.mark.parametrize("dtype", TYPES)
def test_the_tool_folds_a_network_of_torch(build_it, tmp_path, capsys, monkeypatch, dtype):
    monkeypatch.setattr(tool, "fold_batch_norm", build_it.fold_batch_norm)
    torch_type, tolerance = TYPES[dtype]
    model, file, output = network(torch_type), tmp_path / "model.safetensors", tmp_path / "folded.safetensors"
    save(model, file)
    assert tool.main([str(file), "-o", str(output)]) == 0
    assert re.search(r"1 into 0 \(3 × 2 × 3 × 3, \w+\): outputs agree .*\n4 into 3 ", capsys.readouterr().out)
    folded, metadata = tool.read(output)
    assert metadata == {"format": "pt"} and sorted(folded) == ["0.bias", "0.weight", "3.bias", "3.weight"]
    assert {tensor.dtype for tensor in folded.values()} == {dtype}
    x = torch.tensor(gauss((5, 2, 4, 4)), dtype=torch.float64)
    exact = model.double()(x)
    values = {
        name: torch.tensor(tool.numbers(name, tensor), dtype=torch.float64).reshape(tensor.shape)
        for name, tensor in folded.items()
    }
    small = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.Flatten(), torch.nn.Linear(12, 4)).double()
    small.load_state_dict({name.replace("3.", "2."): value for name, value in values.items()})
    difference = (small(x) - exact).abs().max() / exact.abs().max()
    assert difference < tolerance
    assert dtype == "F64" or difference > 0


def test_bfloat16_is_rounded_as_torch_does(build_it):
    scaled = build_it.normalize([1.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 3e38, -1 / 3], 1.0, centred=False)
    for values in ([1.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, -1 / 3, 0.0, 1e-30], scaled):
        found = tool.numbers("x", tool.rounded(values, "BF16", [len(values)]))
        expected = torch.tensor(values, dtype=torch.float32).bfloat16().tolist()
        assert_equivalent(found, expected, names=("the tool", "torch"))


def test_the_command_line_of_the_tool(build_it, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tool, "fold_batch_norm", build_it.fold_batch_norm)
    file, output = tmp_path / "a.safetensors", tmp_path / "b.safetensors"

    def vector(*values):
        return tool.rounded(list(values), "F32", [len(values)])

    layer = {"x.fc1.weight": tool.rounded([1.0, 2.0, 3.0, 4.0], "F32", [2, 2])}
    norm = {"x.bn1.running_mean": vector(1.0, 2.0), "x.bn1.running_var": vector(4.0, 9.0)}
    count = {"x.bn1.num_batches_tracked": tool.Tensor("I64", [], bytes(8))}
    other = {"embedding": tool.Tensor("I8", [3], b"abc")}
    tool.write(file, layer | norm | count | other, {})
    assert tool.main([str(file), "--eps", "7", "-o", str(output)]) == 0
    out = capsys.readouterr().out
    assert "x.bn1 into x.fc1" in out and "has seen no batch" in out and "8 tensors" not in out
    folded, metadata = tool.read(output)
    assert folded["embedding"].raw == b"abc" and metadata == {}
    found = {name: tool.numbers(name, folded[name]) for name in ("x.fc1.weight", "x.fc1.bias")}
    s = [1 / math.sqrt(11), 1 / 4]
    expected = {"x.fc1.weight": [s[0], 2 * s[0], 0.75, 1.0], "x.fc1.bias": [-s[0], -0.5]}
    assert_equivalent(found, expected, rtol=1e-6, names=("the tool", "by hand"))  # float32

    renamed = {"a.weight": layer["x.fc1.weight"], **norm}
    tool.write(file, renamed, {})
    output.unlink()
    assert tool.main([str(file), "-o", str(output)]) == 1 and not output.exists()
    assert "--pair LAYER:x.bn1" in capsys.readouterr().out
    assert tool.main([str(file), "--pair", "a:x.bn1"]) == 0
    monkeypatch.setattr(tool, "fold_batch_norm", lambda weight, bias, *_, **__: (weight, bias))
    assert tool.main([str(file), "--pair", "a:x.bn1", "-o", str(output)]) == 1 and not output.exists()
    assert "DIFFER" in capsys.readouterr().out
    monkeypatch.undo()

    refused = {
        "there is no batch norm 'b'": ["--pair", "a:b"],
        "one output for each channel": ["--pair", "c:x.bn1"],
        "eps must be above 0": ["--pair", "a:x.bn1", "--eps", "-9"],
    }
    for message, arguments in refused.items():
        assert tool.main([str(file), *arguments]) == 2
        assert message in capsys.readouterr().err
    broken = {
        "a.weight holds NaN": renamed | {"a.weight": tool.rounded([NAN] * 4, "F32", [2, 2])},
        "a.weight is I8": renamed | {"a.weight": tool.Tensor("I8", [2, 2], b"abcd")},
        "do not fill": renamed | {"a.weight": tool.Tensor("F32", [2, 3], bytes(16))},
        "running.variance must not": renamed | {"x.bn1.running_var": vector(-1.0, 1.0)},
        "no batch norm: no name": layer,
    }
    for message, tensors in broken.items():
        tool.write(file, tensors, {})
        assert tool.main([str(file), *(["--pair", "a:x.bn1"] if "a.weight" in tensors else [])]) == 2
        assert message in capsys.readouterr().err
    content = file.read_bytes()
    for damaged in (content[:-1], content[:20], b"", b"{}", json.dumps([1]).encode()):
        file.write_bytes(damaged)
        assert tool.main([str(file)]) == 2
    with pytest.raises(SystemExit):
        tool.main([str(file), "--pair", "ab"])


def test_names_that_the_tool_guesses(build_it):
    assert build_it.initial_statistics(1).mean == [0.0]
    found = {name: list(tool.names_in_front(name)) for name in ("1", "a.4", "a.b.bn2", "norm", "a.scale")}
    assert found == {
        "1": ["0"],
        "a.4": ["a.3"],
        "a.b.bn2": ["a.b.conv2", "a.b.fc2", "a.b.linear2"],
        "norm": ["conv", "fc", "linear"],
        "a.scale": [],
    }


def test_the_tool_runs_on_the_interpreter_alone(build_it, tmp_path, monkeypatch):
    monkeypatch.setattr(ship_it, "STEPS", 2)
    monkeypatch.setattr(ship_it, "EVERY", 60)
    ship_it.ship(build_it, tmp_path)
    command = [sys.executable, "-I", "-S", "-B", "fold-batchnorm.py", "digits.safetensors"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "1 into 0 (16 × 64, F32): outputs agree" in done.stdout
