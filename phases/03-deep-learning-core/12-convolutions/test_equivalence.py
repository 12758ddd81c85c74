"""The proof: convolution, im2col and pooling, their gradients, and the network that ships."""

import json
import math
import re
import subprocess
import sys
from dataclasses import asdict
from math import comb
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phases.deep_learning_core.convolutions import predict, ship_it

from shared.proof import assert_equivalent, assert_same_error, examples, numerical_gradient
from shared.proof import strategies as some

INF, NAN = math.inf, math.nan
CONVOLUTIONS = ["conv2d", "conv2d_im2col"]


def against(twin, witness):
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


def nested(shape, draw):
    """Lists of that shape, filled in reading order by calls of `draw`."""
    return draw() if not shape else [nested(shape[1:], draw) for _ in range(shape[0])]


def flat(x):
    return [v for row in x for v in flat(row)] if isinstance(x, list) else [x]


def shape_of(x):
    return (len(x), *shape_of(x[0])) if isinstance(x, list) else ()


def gauss(shape, seed=0):
    rng = Random(seed)
    return nested(shape, lambda: rng.gauss(0, 1))


def dot(a, b):
    return sum(v * w for v, w in zip(flat(a), flat(b), strict=True))


DIGITS = ship_it.digits()


def plane(*rows):
    """One sample of one channel."""
    return [[[[float(v) for v in row] for row in rows]]]


def derivatives(f, at):
    """Finite differences, one number at a time: the numbers may be nested to any depth."""
    if isinstance(at, list):
        return [derivatives(lambda part, i=i: f([*at[:i], part, *at[i + 1 :]]), at[i]) for i in range(len(at))]
    return numerical_gradient(f, at, step=1e-4)


values = st.sampled_from(
    [st.integers(-24, 24).map(lambda k: k / 8), st.sampled_from([-1000.0, 0.0, 1000.0]), st.just(2.0)]
)


@st.composite
def pairs(draw, low, high):
    """A number for both axes, or one for each."""
    return draw(st.integers(low, high) | st.tuples(st.integers(low, high), st.integers(low, high)))


def both(pair):
    return (pair, pair) if isinstance(pair, int) else pair


@st.composite
def convolutions(draw):
    """(x, weight, bias, upstream, options) of a convolution that has an output."""
    groups = draw(st.integers(1, 3))
    n_inputs, of_a_group, n_samples = draw(some.sizes(1, 2)), draw(some.sizes(1, 2)), draw(some.sizes(1, 2))
    kernel = draw(some.sizes(1, 3)), draw(some.sizes(1, 3))
    options = {"stride": draw(pairs(1, 3)), "padding": draw(pairs(0, 2)), "dilation": draw(pairs(1, 2))}
    least = [
        max(1, d * (k - 1) + 1 - 2 * p)
        for k, d, p in zip(kernel, both(options["dilation"]), both(options["padding"]), strict=True)
    ]
    size = [draw(st.integers(low, low + 3)) for low in least]
    elements, rng = draw(values), Random(draw(some.seeds()))
    x = nested((n_samples, groups * n_inputs, *size), lambda: draw(elements))
    weight = gauss((groups * of_a_group, n_inputs, *kernel), rng.random())
    bias = draw(st.sampled_from([None, gauss((groups * of_a_group,), rng.random())]))
    return x, weight, bias, rng.random(), options | {"groups": groups}


@st.composite
def poolings(draw):
    """(x, kernel_size, options) of a pooling that has an output; ties are frequent."""
    kernel = draw(pairs(1, 3))
    options = {"stride": draw(st.none() | pairs(1, 3))}
    padding = tuple(draw(st.integers(0, k // 2)) for k in both(kernel))
    options["padding"] = draw(st.sampled_from([padding, min(padding)]))
    shape = draw(some.sizes(1, 2)), draw(some.sizes(1, 2))
    size = [draw(st.integers(k, k + 4)) for k in both(kernel)]
    elements = draw(st.sampled_from([st.sampled_from([0.0, 1.0]), st.integers(-4, 4).map(float), st.just(-1000.0)]))
    return nested((*shape, *size), lambda: draw(elements)), kernel, options, draw(some.seeds())


# ---- by hand

PICTURE = plane([1, 2, 0], [0, 1, 3], [2, 0, 1])
KERNEL = plane([1, 0], [2, -1])


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_by_hand(build_it, use_it, name):
    g = plane([1, 2], [0, -1])
    by_hand = {
        "output": plane([0, 1], [4, 0]),
        "with a bias": plane([10, 11], [14, 10]),
        "stride": plane([0]),
        "padding": plane([-1, 0, 4, 0], [0, 0, 1, 6], [-2, 4, 0, 5], [0, 2, 0, 1]),
        "dilation": plane([4]),
        "input": plane([1, 2, 0], [2, 2, -2], [0, -2, 1]),
        "weight": plane([4, -1], [2, 6]),
        "bias": [2.0],
        "one of each": [[[[6.0]]]],
    }
    for twin in (build_it, use_it):
        forward, backward = getattr(twin, name), getattr(twin, f"{name}_backward")
        gradients = asdict(backward(PICTURE, KERNEL, g))
        found = {
            "output": forward(PICTURE, KERNEL),
            "with a bias": forward(PICTURE, KERNEL, [10.0]),
            "stride": forward(PICTURE, KERNEL, stride=2),
            "padding": forward(PICTURE, KERNEL, padding=1),
            "dilation": forward(PICTURE, KERNEL, dilation=2),
            **{part: gradients[part] for part in ("input", "weight", "bias")},
            "one of each": forward([[[[2.0]]]], [[[[3.0]]]]),
        }
        assert_equivalent(found, by_hand, **against(twin, "by hand"))


def test_im2col_by_hand(build_it, use_it):
    columns = [[[1.0, 2.0, 0.0, 1.0], [2.0, 0.0, 1.0, 3.0], [0.0, 1.0, 2.0, 0.0], [1.0, 3.0, 0.0, 1.0]]]
    for twin in (build_it, use_it):
        assert_equivalent(twin.im2col(PICTURE, 2), columns, **against(twin, "by hand"))
        times = plane([1, 2, 1], [2, 4, 2], [1, 2, 1])  # in how many windows of 2 × 2 each pixel lies
        ones = nested((1, 4, 4), lambda: 1.0)
        assert_equivalent(twin.col2im(ones, 3, 2), times, **against(twin, "by hand"))
        assert_equivalent(twin.im2col([[[[5.0]]]], 1), [[[5.0]]], **against(twin, "by hand"))


def test_pooling_by_hand(build_it, use_it):
    x, g = plane([1, 5, 5], [5, 2, 0], [0, 0, 7]), plane([1, 10], [100, 1000])
    by_hand = {
        "max": (plane([5, 5], [5, 7]), [[[[1, 1], [3, 8]]]]),
        "max, backward": plane([0, 11, 0], [100, 0, 0], [0, 0, 1000]),
        "max, stride as the kernel": (plane([5]), [[[[1]]]]),
        "max, padding": (plane([1, 5], [5, 7]), [[[[0, 1], [3, 8]]]]),
        "max, padding, negative": (plane([-3]), [[[[0]]]]),
        "max, dilation": (plane([7]), [[[[8]]]]),
        "mean": plane([3.25, 3], [1.75, 2.25]),
        "mean, backward": plane([0.25, 2.75, 2.5], [25.25, 277.75, 252.5], [25, 275, 250]),
        "mean, padding": plane([0.25, 2.5], [1.25, 2.25]),
        "mean, padding, backward": plane([0.25, 2.5, 2.5], [25, 250, 250], [25, 250, 250]),
        "mean, padding, not counted": plane([1, 5], [2.5, 2.25]),
        "mean, padding, not counted, backward": plane([1, 5, 5], [50, 250, 250], [50, 250, 250]),
        "global": [[[[25 / 9]]]],
        "adaptive": plane([3.25, 3], [1.75, 2.25]),
        "adaptive, rows": plane([18 / 6], [14 / 6]),
        "adaptive, larger": plane([1, 1], [1, 1]),
        "adaptive, backward": plane([2, 2, 2]),
    }
    for twin in (build_it, use_it):
        found = {
            "max": twin.max_pool2d(x, 2, stride=1),
            "max, backward": twin.max_pool2d_backward(x, 2, g, stride=1),
            "max, stride as the kernel": twin.max_pool2d(x, 2),
            "max, padding": twin.max_pool2d(x, 2, padding=1),
            "max, padding, negative": twin.max_pool2d(plane([-3]), 2, padding=1, stride=2),
            "max, dilation": twin.max_pool2d(x, 2, dilation=2),
            "mean": twin.avg_pool2d(x, 2, stride=1),
            "mean, backward": twin.avg_pool2d_backward(x, 2, g, stride=1),
            "mean, padding": twin.avg_pool2d(x, 2, padding=1),
            "mean, padding, backward": twin.avg_pool2d_backward(x, 2, g, padding=1),
            "mean, padding, not counted": twin.avg_pool2d(x, 2, padding=1, count_include_pad=False),
            "mean, padding, not counted, backward": twin.avg_pool2d_backward(
                x, 2, g, padding=1, count_include_pad=False
            ),
            "global": twin.adaptive_avg_pool2d(x, 1),
            "adaptive": twin.adaptive_avg_pool2d(x, 2),
            "adaptive, rows": twin.adaptive_avg_pool2d(x, (2, 1)),
            "adaptive, larger": twin.adaptive_avg_pool2d(plane([1]), 2),
            "adaptive, backward": twin.adaptive_avg_pool2d_backward(plane([0, 0, 0]), 1, plane([6])),
        }
        assert_equivalent(found, by_hand, **against(twin, "by hand"))


def test_sizes_by_hand(build_it, use_it):
    sizes = {
        (5, 3): 3,
        (5, 3, 2): 2,
        (6, 3, 2): 2,
        (7, 3, 2): 3,
        (5, 3, 1, 1): 5,
        (5, 3, 1, 2): 7,
        (5, 3, 1, 0, 2): 1,
        (1, 1): 1,
        (224, 7, 2, 3): 112,
        (1, 3, 1, 1): 1,
    }
    fields = {
        (): 1,
        ((3, 1, 1),): 3,
        ((3, 1, 1), (3, 1, 1)): 5,
        ((1, 2, 1), (3, 1, 1)): 5,
        ((3, 2, 1), (3, 1, 1)): 7,
        ((2, 2, 1), (3, 2, 2), (2, 1, 3)): 22,
    }
    for twin in (build_it, use_it):
        for arguments, size in sizes.items():
            assert_equivalent(twin.conv_output_size(*arguments), size, **against(twin, "by hand"))
        for layers, field in fields.items():
            assert_equivalent(twin.receptive_field(list(layers)), field, **against(twin, "by hand"))


# ---- sizes


@given(st.tuples(*(st.integers(low, high) for low, high in ((1, 12), (1, 5), (1, 4), (0, 3), (1, 3)))))
@examples(25)
def test_output_size(build_it, use_it, arguments):
    size, kernel, _, padding, dilation = arguments
    if dilation * (kernel - 1) + 1 > size + 2 * padding:
        assert_same_error(lambda twin: twin.conv_output_size(*arguments), build_it, use_it)
    else:
        assert_equivalent(build_it.conv_output_size(*arguments), use_it.conv_output_size(*arguments))


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)), max_size=4))
@examples(20)
def test_receptive_field(build_it, use_it, layers):
    assert_equivalent(build_it.receptive_field(layers), use_it.receptive_field(layers))


def test_the_receptive_field_is_what_moves_an_output(build_it):
    """A truth of its own: the inputs that reach the middle output through three layers of ones."""
    layers = [(3, 2, 1), (2, 1, 2), (3, 1, 1)]
    x = nested((1, 1, 1, 40), lambda: 1.0)

    def middle(x):
        for kernel, stride, dilation in layers:
            x = build_it.conv2d(x, nested((1, 1, 1, kernel), lambda: 1.0), stride=(1, stride), dilation=(1, dilation))
        return x[0][0][0][5]

    before = middle(x)
    row = x[0][0][0]
    reached = [i for i in range(40) if middle([[[[*row[:i], 2.0, *row[i + 1 :]]]]]) != before]
    moved, claimed = reached[-1] - reached[0] + 1, build_it.receptive_field(layers)
    assert moved == claimed, (
        f"moving the inputs of three conv2d changes an output over {moved}, receptive_field says {claimed}: one is wrong"
    )


# ---- convolution


@pytest.mark.parametrize("name", CONVOLUTIONS)
@given(convolutions())
@examples(25)
def test_convolution(build_it, use_it, name, case):
    x, weight, bias, seed, options = case
    results = []
    for twin in (build_it, use_it):
        output = getattr(twin, name)(x, weight, bias, **options)
        upstream = gauss(shape_of(output), seed)
        gradients = asdict(getattr(twin, f"{name}_backward")(x, weight, upstream, **options))
        results.append({"output": output, **{part: gradients[part] for part in ("bias", "weight", "input")}})
    # sums of up to 36 products of up to 1000 · 3 may cancel
    assert_equivalent(*results, atol=1e-10)


@given(convolutions())
@examples(10)
def test_im2col_is_the_same_convolution(build_it, case):
    x, weight, bias, seed, options = case
    output = build_it.conv2d(x, weight, bias, **options)
    found = build_it.conv2d_im2col(x, weight, bias, **options)
    names = ("im2col", "loops")
    assert_equivalent(found, output, atol=1e-10, names=names)
    upstream = gauss(shape_of(output), seed)
    gradients = [f(x, weight, upstream, **options) for f in (build_it.conv2d_im2col_backward, build_it.conv2d_backward)]
    assert_equivalent(*map(asdict, gradients), atol=1e-10, names=names)


OPTIONS = {
    "plain": {},
    "stride": {"stride": (2, 1)},
    "padding": {"padding": (1, 2)},
    "dilation": {"dilation": (2, 1)},
    "groups": {"groups": 2},
    "all": {"stride": (1, 2), "padding": (2, 1), "dilation": (1, 2), "groups": 2},
}


@pytest.mark.parametrize("case", OPTIONS)
def test_gradients_against_finite_differences(build_it, case):
    options = OPTIONS[case]
    x, weight, bias = gauss((2, 2, 3, 4)), gauss((2, 2 // options.get("groups", 1), 2, 2), 1), gauss((2,), 2)
    upstream = gauss(shape_of(build_it.conv2d(x, weight, bias, **options)), 3)

    def loss(x, weight, bias):
        return dot(build_it.conv2d(x, weight, bias, **options), upstream)

    # only a few inputs and weights: each costs two convolutions
    image, kernel = x[1], weight[1]
    expected = {
        "input": derivatives(lambda rows: loss([x[0], [image[0], rows]], weight, bias), image[1]),
        "weight": derivatives(lambda part: loss(x, [weight[0], part], bias), kernel),
        "bias": derivatives(lambda moved: loss(x, weight, moved), bias),
    }
    found = build_it.conv2d_backward(x, weight, upstream, **options)
    assert_equivalent(
        {"input": found.input[1][1], "weight": found.weight[1], "bias": found.bias},
        expected,
        rtol=1e-7,  # the loss is linear in each argument: rounding alone
        atol=1e-8,
        names=("build_it", "finite differences"),
    )


@given(convolutions())
@examples(15)
def test_col2im_is_the_transpose_of_im2col(build_it, use_it, case):
    """⟨im2col(x), C⟩ = ⟨x, col2im(C)⟩ for all x and C: that is what backward means for a linear function."""
    x, weight, _, seed, options = case
    del options["groups"]
    kernel, image_size = shape_of(weight)[2:], shape_of(x)[2:]
    results = []
    for twin in (build_it, use_it):
        columns = twin.im2col(x, kernel, **options)
        others = gauss(shape_of(columns), seed)
        images = twin.col2im(others, image_size, kernel, **options)
        # sums of terms of up to 1000 · 3 may cancel
        assert_equivalent(dot(columns, others), dot(x, images), atol=1e-9, **against(twin, "the other side"))
        results.append((columns, images))
    assert_equivalent(*results)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_with_flipped_kernels_multiplies_polynomials(build_it, use_it, name):
    """(1 + x)ⁿ (1 + y)ᵐ: coefficients of products are convolutions, and binomials are known."""
    for twin in (build_it, use_it):
        forward = getattr(twin, name)
        product = [[[[1.0]]]]
        for _ in range(4):
            product = forward(product, plane([1, 1]), padding=(0, 1))
        for _ in range(3):
            product = forward(product, plane([1], [1]), padding=(1, 0))
        table = [[float(comb(3, i) * comb(4, j)) for j in range(5)] for i in range(4)]
        assert_equivalent(product, [[table]], **against(twin, "binomials"))
        # 2 + 3x times 5 + 7x: the kernel must be flipped, as a correlation meets 7 first
        assert forward(plane([2, 3]), plane([7, 5]), padding=(0, 1)) == plane([10, 29, 21])
        assert forward(plane([2, 3]), plane([5, 7]), padding=(0, 1)) == plane([14, 31, 15])


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_translation_equivariance(build_it, use_it, name):
    """Moved input, moved output: exact inside; with a stride of 2, only for moves of whole strides."""
    rng = Random(0)
    small, weight = nested((1, 2, 4, 4), lambda: rng.gauss(0, 1)), gauss((3, 2, 3, 3), 1)

    def placed(down, right):  # on a canvas of zeros
        canvas = nested((1, 2, 12, 12), lambda: 0.0)
        for c in range(2):
            for r in range(4):
                canvas[0][c][4 + down + r][4 + right : 8 + right] = small[0][c][r]
        return canvas

    def cut(y, down, right, size):
        return [[row[right : right + size] for row in p[down : down + size]] for p in y[0]]

    for twin in (build_it, use_it):
        forward = getattr(twin, name)
        still, moved = forward(placed(0, 0), weight), forward(placed(1, -2), weight)
        assert_equivalent(cut(moved, 2, 0, 7), cut(still, 1, 2, 7), **against(twin, "moved by (1, -2)"))
        still, moved = forward(placed(0, 0), weight, stride=2), forward(placed(2, -2), weight, stride=2)
        assert_equivalent(cut(moved, 1, 0, 4), cut(still, 0, 1, 4), **against(twin, "moved by whole strides"))
        odd = flat(forward(placed(1, 0), weight, stride=2))
        known = {round(v, 9) for v in flat(still)}
        assert any(round(v, 9) not in known for v in odd), "stride 2 turns a move by one into other numbers"


def test_special_convolutions_are_known_layers(build_it, use_it):
    x = gauss((2, 3, 2, 4))
    W = gauss((5, 3), 1)
    one_by_one = [[[[w]] for w in row] for row in W]
    as_dense = [
        [[[sum(w * image[c][r][s] for c, w in enumerate(row)) for s in range(4)] for r in range(2)] for row in W]
        for image in x
    ]
    whole = gauss((5, 3, 2, 4), 2)
    dense = [[[[dot(image, kernel)]] for kernel in whole] for image in x]
    depthwise = gauss((3, 1, 2, 2), 3)
    identity = [[[[float(c == k)]] for c in range(3)] for k in range(3)]
    for twin in (build_it, use_it):
        for name in CONVOLUTIONS:
            forward = getattr(twin, name)
            found = {
                "1 × 1": forward(x, one_by_one),
                "whole image": forward(x, whole),
                "identity": forward(x, identity),
                "depthwise": forward(x, depthwise, groups=3),
            }
            channels = [forward([[image[c]] for image in x], [depthwise[c]]) for c in range(3)]
            expected = {
                "1 × 1": as_dense,
                "whole image": dense,
                "identity": x,
                "depthwise": [[channels[c][n][0] for c in range(3)] for n in range(2)],
            }
            assert_equivalent(found, expected, **against(twin, "a dense layer"))


# ---- pooling


@given(poolings(), pairs(1, 2))
@examples(30)
def test_max_pooling(build_it, use_it, case, dilation):
    x, kernel, options, seed = case
    least = [d * (k - 1) + 1 for k, d in zip(both(kernel), both(dilation), strict=True)]
    if any(size < low for size, low in zip(shape_of(x)[2:], least, strict=True)):
        dilation = 1
    options = options | {"dilation": dilation}
    results = []
    for twin in (build_it, use_it):
        output, indices = twin.max_pool2d(x, kernel, **options)
        upstream = gauss(shape_of(output), seed)
        to_x = twin.max_pool2d_backward(x, kernel, upstream, **options)
        results.append({"output": output, "indices": indices, "input": to_x})
    assert_equivalent(*results)


@given(poolings(), st.booleans())
@examples(20)
def test_average_pooling(build_it, use_it, case, counted):
    x, kernel, options, seed = case
    results = []
    for twin in (build_it, use_it):
        output = twin.avg_pool2d(x, kernel, count_include_pad=counted, **options)
        upstream = gauss(shape_of(output), seed)
        to_x = twin.avg_pool2d_backward(x, kernel, upstream, count_include_pad=counted, **options)
        results.append({"output": output, "input": to_x})
    assert_equivalent(*results)


@given(st.tuples(*(some.sizes(1, 5) for _ in range(4))), pairs(1, 6), some.seeds())
@examples(20)
def test_adaptive_average_pooling(build_it, use_it, shape, output_size, seed):
    x, results = gauss((shape[0] % 2 + 1, shape[1] % 2 + 1, *shape[2:]), seed), []
    for twin in (build_it, use_it):
        output = twin.adaptive_avg_pool2d(x, output_size)
        upstream = gauss(shape_of(output), seed + 1)
        to_x = twin.adaptive_avg_pool2d_backward(x, output_size, upstream)
        results.append({"output": output, "input": to_x})
    assert_equivalent(*results)


def test_pooling_against_finite_differences(build_it):
    x = gauss((1, 2, 4, 5))
    ways = {
        "max": (
            lambda x: build_it.max_pool2d(x, 3, stride=2, padding=1)[0],
            lambda g: build_it.max_pool2d_backward(x, 3, g, stride=2, padding=1),
        ),
        "mean": (
            lambda x: build_it.avg_pool2d(x, (2, 3), stride=1, padding=1, count_include_pad=False),
            lambda g: build_it.avg_pool2d_backward(x, (2, 3), g, stride=1, padding=1, count_include_pad=False),
        ),
        "adaptive": (
            lambda x: build_it.adaptive_avg_pool2d(x, (3, 2)),
            lambda g: build_it.adaptive_avg_pool2d_backward(x, (3, 2), g),
        ),
    }
    for forward, backward in ways.values():
        upstream = gauss(shape_of(forward(x)), 1)
        expected = derivatives(lambda moved, f=forward, g=upstream: dot(f(moved), g), x)
        # rounding of differences of numbers around 10
        assert_equivalent(backward(upstream), expected, rtol=1e-7, atol=1e-8, names=("build_it", "finite differences"))


def test_ties_go_to_the_first(build_it, use_it):
    """Row by row: of equals the upper, then the left one; all of the gradient, not a share."""
    flat_plane, g = plane(*[[0, 0, 0]] * 3), plane([1, 2], [3, 4])
    expected = {
        "indices": [[[[0, 1], [3, 4]]]],
        "input": plane([1, 2, 0], [3, 4, 0], [0, 0, 0]),
        "all in one": plane([5, 0], [0, 0]),
        "signs of zero": [[[[0]]]],
    }
    for twin in (build_it, use_it):
        found = {
            "indices": twin.max_pool2d(flat_plane, 2, stride=1)[1],
            "input": twin.max_pool2d_backward(flat_plane, 2, g, stride=1),
            "all in one": twin.max_pool2d_backward(plane([7, 7], [7, 7]), 2, plane([5])),
            "signs of zero": twin.max_pool2d([[[[-0.0, 0.0]]]], (1, 2))[1],
        }
        assert_equivalent(found, expected, **against(twin, "by hand"))


def test_no_gradient_is_lost_in_pooling(build_it, use_it):
    """The weights of a mean add up to 1 and a maximum is one number, so the sum of the gradient stays."""
    x, g = gauss((1, 2, 5, 6)), gauss((1, 2, 3, 3), 1)
    for twin in (build_it, use_it):
        found = [
            twin.max_pool2d_backward(x, 3, g, stride=2, padding=1),
            twin.avg_pool2d_backward(x, 3, g, stride=2, padding=1, count_include_pad=False),
            twin.adaptive_avg_pool2d_backward(x, 3, g),
        ]
        sums = [sum(flat(to_x)) for to_x in found]
        assert_equivalent(sums, [sum(flat(g))] * 3, **against(twin, "the sum of upstream"))


# ---- errors

x22, w22 = plane([1, 2], [3, 4]), plane([1, 0], [0, 1])
two_channels = [[[[1.0]], [[2.0]]]]


def conv(**options):
    x, weight = options.pop("x", x22), options.pop("weight", w22)
    return lambda twin: twin.conv2d(x, weight, **options)


REFUSED = {
    "size, kernel": lambda twin: twin.conv_output_size(2, 3),
    "size, dilated kernel": lambda twin: twin.conv_output_size(4, 3, 1, 0, 2),
    "size, padded": lambda twin: twin.conv_output_size(1, 5, 1, 1),
    "size, size 0": lambda twin: twin.conv_output_size(0, 1, 1, 1),
    "size, kernel 0": lambda twin: twin.conv_output_size(3, 0),
    "size, stride 0": lambda twin: twin.conv_output_size(3, 1, 0),
    "size, padding": lambda twin: twin.conv_output_size(3, 1, 1, -1),
    "size, dilation": lambda twin: twin.conv_output_size(3, 1, 1, 0, 0),
    "field, kernel": lambda twin: twin.receptive_field([(0, 1, 1)]),
    "field, stride": lambda twin: twin.receptive_field([(1, 0, 1)]),
    "field, dilation": lambda twin: twin.receptive_field([(1, 1, 0)]),
    "conv, three axes": conv(x=x22[0]),
    "conv, empty": conv(x=[]),
    "conv, no pixel": conv(x=[[[[]]]]),
    "conv, number": conv(x=3.0),
    "conv, five axes": conv(x=[x22]),
    "conv, ragged": conv(x=[[[[1.0, 2.0], [3.0]]]]),
    "conv, mixed depth": conv(x=[[[[1.0, 2.0], 3.0]]]),
    "conv, text": conv(weight=[[[["a"]]]]),
    "conv, NaN": conv(x=plane([NAN, 1], [1, 1])),
    "conv, infinite weight": conv(weight=plane([INF])),
    "conv, weight of three axes": conv(weight=w22[0]),
    "conv, kernel larger": conv(weight=plane([1, 1, 1])),
    "conv, dilated kernel larger": conv(dilation=2),
    "conv, channels": conv(x=two_channels, weight=plane([1])),
    "conv, groups and inputs": conv(weight=[*w22, *w22], groups=2),
    "conv, groups and outputs": conv(x=two_channels, weight=plane([1]), groups=2),
    "conv, groups 0": conv(groups=0),
    "conv, bias": conv(bias=[1.0, 2.0]),
    "conv, bias NaN": conv(bias=[NAN]),
    "conv, stride 0": conv(stride=0),
    "conv, stride 0 of columns": conv(stride=(1, 0)),
    "conv, three strides": conv(stride=(1, 1, 1)),
    "conv, fraction": conv(stride=1.5),
    "conv, padding": conv(padding=-1),
    "conv, dilation": conv(dilation=(0, 1)),
    "backward, upstream": lambda twin: twin.conv2d_backward(x22, w22, x22),
    "backward, upstream NaN": lambda twin: twin.conv2d_backward(x22, w22, plane([NAN])),
    "backward, kernel larger": lambda twin: twin.conv2d_backward(x22, plane([1, 1, 1]), x22),
    "backward, groups": lambda twin: twin.conv2d_backward(x22, w22, plane([1]), groups=2),
    "conv2d_im2col, bias": lambda twin: twin.conv2d_im2col(x22, w22, [1.0, 2.0]),
    "conv2d_im2col, bias NaN": lambda twin: twin.conv2d_im2col(x22, w22, [NAN]),
    "conv2d_im2col, kernel larger": lambda twin: twin.conv2d_im2col(x22, plane([1, 1, 1])),
    "conv2d_im2col, channels": lambda twin: twin.conv2d_im2col(two_channels, plane([1])),
    "conv2d_im2col, groups": lambda twin: twin.conv2d_im2col(x22, w22, groups=2),
    "conv2d_im2col_backward, upstream": lambda twin: twin.conv2d_im2col_backward(x22, w22, x22),
    "conv2d_im2col_backward, upstream NaN": lambda twin: twin.conv2d_im2col_backward(x22, w22, plane([NAN])),
    "im2col, NaN": lambda twin: twin.im2col(plane([NAN]), 1),
    "im2col, kernel larger": lambda twin: twin.im2col(x22, 3),
    "im2col, kernel 0": lambda twin: twin.im2col(x22, 0),
    "im2col, three axes": lambda twin: twin.im2col(x22[0], 1),
    "im2col, stride": lambda twin: twin.im2col(x22, 1, stride=0),
    "col2im, rows": lambda twin: twin.col2im(nested((1, 3, 1), lambda: 1.0), 2, 2),
    "col2im, places": lambda twin: twin.col2im(nested((1, 4, 3), lambda: 1.0), 2, 2),
    "col2im, kernel larger": lambda twin: twin.col2im(nested((1, 9, 1), lambda: 1.0), 2, 3),
    "col2im, two axes": lambda twin: twin.col2im([[1.0]], 1, 1),
    "col2im, size 0": lambda twin: twin.col2im([[[1.0]]], 0, 1, padding=1),
    "col2im, size 0 of columns": lambda twin: twin.col2im([[[1.0]]], (1, 0), 1, padding=1),
    "col2im, fraction": lambda twin: twin.col2im([[[1.0]]], 1.5, 1),
    "col2im, three sizes": lambda twin: twin.col2im([[[1.0]]], (1, 1, 1), 1),
    "col2im, NaN": lambda twin: twin.col2im([[[NAN]]], 1, 1),
    "max, window larger": lambda twin: twin.max_pool2d(x22, 3),
    "max, padding": lambda twin: twin.max_pool2d(x22, 2, padding=2),
    "max, padding 2 on a kernel of 3": lambda twin: twin.max_pool2d(x22, 3, padding=2),
    "max, padding and dilation": lambda twin: twin.max_pool2d(x22, 2, padding=2, dilation=3),
    "max, window in the padding": lambda twin: twin.max_pool2d(plane([1]), 2, padding=1, dilation=2),
    "max, rows in the padding": lambda twin: twin.max_pool2d(plane([1, 2, 3]), 2, padding=1, dilation=2),
    "max, columns in the padding": lambda twin: twin.max_pool2d(plane([1], [2], [3]), 2, padding=1, dilation=2),
    "max, kernel 0": lambda twin: twin.max_pool2d(x22, 0),
    "max, stride": lambda twin: twin.max_pool2d(x22, 1, stride=0),
    "max, NaN": lambda twin: twin.max_pool2d(plane([NAN]), 1),
    "max, backward": lambda twin: twin.max_pool2d_backward(x22, 2, x22),
    "max, backward, upstream NaN": lambda twin: twin.max_pool2d_backward(x22, 2, plane([NAN])),
    "mean, window larger": lambda twin: twin.avg_pool2d(x22, (2, 3)),
    "mean, padding": lambda twin: twin.avg_pool2d(x22, 1, padding=1),
    "mean, negative padding": lambda twin: twin.avg_pool2d(x22, 1, padding=-1),
    "mean, backward": lambda twin: twin.avg_pool2d_backward(x22, 2, x22),
    "mean, backward, NaN": lambda twin: twin.avg_pool2d_backward(plane([NAN]), 1, plane([1])),
    "mean, backward, upstream NaN": lambda twin: twin.avg_pool2d_backward(x22, 2, plane([NAN])),
    "mean, backward, three axes": lambda twin: twin.avg_pool2d_backward(x22[0], 2, x22),
    "adaptive, size 0": lambda twin: twin.adaptive_avg_pool2d(x22, 0),
    "adaptive, no rows": lambda twin: twin.adaptive_avg_pool2d(x22, (0, 1)),
    "adaptive, no columns": lambda twin: twin.adaptive_avg_pool2d(x22, (1, 0)),
    "adaptive, three axes": lambda twin: twin.adaptive_avg_pool2d(x22[0], 1),
    "adaptive, backward": lambda twin: twin.adaptive_avg_pool2d_backward(x22, 1, x22),
    "adaptive, backward, NaN": lambda twin: twin.adaptive_avg_pool2d_backward(plane([NAN]), 1, plane([1])),
    "adaptive, backward, upstream NaN": lambda twin: twin.adaptive_avg_pool2d_backward(x22, 1, plane([NAN])),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(build_it, use_it, case):
    assert_same_error(REFUSED[case], build_it, use_it)


SHAPES = {"the name": "upstream", "the shape expected": "(1, 1, 1, 1)", "the shape that came": "(1, 1, 2, 2)"}
MESSAGES = {  # what must be in the message, in any order
    "size, kernel": {"what the kernel reaches over": "3", "the padded size": "2"},
    "size, dilated kernel": {"what the kernel reaches over": "5", "the padded size": "4"},
    "size, padded": {"what the kernel reaches over": "5", "the padded size": "3"},
    "field, stride": {"the name": "stride", "the least": "1", "the stride that came": "0"},
    "conv, channels": {"the name": "weight", "the channels expected": "2", "the channels that came": "1"},
    "backward, upstream": SHAPES,
    "conv2d_im2col_backward, upstream": SHAPES,
    "max, backward": SHAPES,
    "mean, backward": SHAPES,
    "max, padding 2 on a kernel of 3": {"the name": "padding", "kernel_size": "3", "the padding that came": "2"},
    "max, rows in the padding": {"kernel_size and dilation": "2", "padding": "1"},
    "col2im, rows": {"the weights of one channel": "4", "the rows that came": "3"},
    "col2im, places": {"the places": "1", "the columns that came": "3"},
    "col2im, size 0": {"the name": "image_size", "the size that came": "0"},
}


@pytest.mark.parametrize("case", MESSAGES)
def test_refused_with_a_message_that_helps(build_it, case):
    with pytest.raises(ValueError) as caught:
        REFUSED[case](build_it)
    message = str(caught.value)
    missing = [
        f"{what} ({text})"
        for what, text in MESSAGES[case].items()
        if not re.search(rf"(?<!\w){re.escape(text)}(?!\w)", message)
    ]
    assert not missing, f"say what was expected and what came: {', '.join(missing)} not in {message!r}"


# ---- what ships


@pytest.mark.parametrize("kind", [ship_it.CONVOLUTIONAL, ship_it.DENSE], ids=["convolutional", "dense"])
def test_the_networks_of_ship_it(build_it, use_it, kind):
    """Gradients of the whole network, with both twins, and by finite differences."""
    rng = Random(1)
    x, labels = nested((2, 1, 8, 8), rng.random), [3, 7]
    results = []
    for twin in (build_it, use_it):
        network = ship_it.initial(Random(0), kind)
        loss, gradients = network.step(twin, x, labels)
        results.append({"logits": network.logits(twin, x), "loss": loss, **gradients})
    assert_equivalent(*results)
    network = ship_it.initial(Random(0), kind)

    def loss_with(kernel):
        network.parameters["conv.weight"][2] = kernel
        return network.step(build_it, x, labels)[0]

    kernel = [[list(row) for row in network.parameters["conv.weight"][2][0]]]
    expected = derivatives(lambda row: loss_with([[row, *kernel[0][1:]]]), kernel[0][0])
    # truncation and rounding of central differences, and no tie near this kernel
    found = results[0]["conv.weight"][2][0][0]
    assert_equivalent(found, expected, rtol=1e-5, atol=1e-7, names=("build_it", "finite differences"))


def test_training_in_step(build_it, use_it, monkeypatch):
    """Parameters and losses after 1 and 10 steps, from the same start and the same batches."""
    monkeypatch.setattr(ship_it, "EPOCHS", 1)
    monkeypatch.setattr(ship_it, "BATCH_SIZE", 4)
    images, labels = DIGITS[0]
    for n in (4, 40):
        results = []
        for twin in (build_it, use_it):
            network, losses = ship_it.train(twin, (images[:n], labels[:n]), ship_it.CONVOLUTIONAL)
            results.append({"losses": losses, **network.parameters})
        assert len(losses) == n // 4
        assert_equivalent(*results)


def test_the_predictor_agrees_with_the_network(build_it, tmp_path, monkeypatch, capsys):
    network = ship_it.initial(Random(0), ship_it.CONVOLUTIONAL)
    network.parameters["conv.bias"] = gauss((8,), 1)
    network.parameters["out.bias"] = gauss((10,), 2)
    ship_it.write(network, DIGITS[1], tmp_path)
    monkeypatch.setattr(predict, "load", lambda load=predict.load: load(tmp_path))
    assert predict.main(["--json", str(tmp_path / "three.csv")]) == 0
    images = DIGITS[1][0][:3]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    logits = network.logits(build_it, images)
    biases = network.parameters["out.bias"]
    for line, row in zip(lines, logits, strict=True):
        powers = [math.exp(z - max(row)) for z in row]
        shares = [round(p / sum(powers), 6) for p in powers]
        assert_equivalent(list(line["probabilities"].values()), shares, atol=2e-6, names=("predict.py", "build_it"))
        best, second = sorted(range(10), key=lambda k: -row[k])[:2]
        apart = row[best] - row[second] - (biases[best] - biases[second])
        # 64 numbers, each rounded to six digits
        assert_equivalent(sum(line["evidence"]), apart, atol=1e-4, names=("predict.py", "build_it"))
        assert line["answer"] == str(best)


def test_the_predictor_on_the_command_line(build_it, tmp_path):
    assert build_it.conv_output_size(8, 3, 1, 1) == 8  # what predict.py counts on
    network = ship_it.initial(Random(0), ship_it.CONVOLUTIONAL)
    ship_it.write(network, DIGITS[1], tmp_path)

    def run(text, *arguments):
        command = [sys.executable, "-I", "-S", "-B", "predict.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, input=text, capture_output=True, text=True, check=False)

    done = run("", "three.csv")
    assert done.returncode == 0 and done.stdout.count("\n") == 3 * 9 + 1 and "of 3 agree" in done.stdout
    refused = run("a,b\n1,2\n")
    assert refused.returncode == 2 and "line 2: expected 64 numbers, got 2" in refused.stderr


def test_what_the_predictor_refuses(build_it, tmp_path):
    assert build_it.receptive_field([(3, 1, 1), (2, 2, 1)]) == 4  # the pixels that one number of the evidence saw
    image = ",".join(["0"] * 63)
    broken = {
        "line 1: expected 0 to 16, got 17 .number 64.": image + ",17",
        "line 2: could not convert": image + ",1\n" + image + ",x",
        "at least one image": "\n",
        "expected 64 numbers, got 63": image,
    }
    for message, text in broken.items():
        with pytest.raises(predict.InputError, match=message):
            list(predict.images(text, 16, "text"))
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(predict.InputError, match="no complete model"):
        predict.load(tmp_path)
