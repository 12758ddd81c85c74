"""The proof: every initializer on the same draws as torch's own, their distributions, the variances, the symmetry."""

import importlib.util
import json
import math
import statistics
import struct
from dataclasses import replace
from itertools import pairwise, product
from operator import mul
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from phases.deep_learning_core.backpropagation import build_it as built_backprop
from phases.deep_learning_core.backpropagation import use_it as used_backprop
from phases.deep_learning_core.weight_initialization import ship_it

from shared.proof import assert_equivalent, assert_same_error, examples, numerical_gradient
from shared.proof import strategies as some

INF, NAN = math.inf, math.nan
NAMES = ["identity", "sigmoid", "tanh", "relu"]
LINEAR = ["linear", *(f"{kind}{n}d" for kind in ("conv", "conv_transpose") for n in (1, 2, 3))]
NONLINEARITIES = [*LINEAR, "sigmoid", "tanh", "relu", "leaky_relu", "selu"]
DRAWN = {  # what to call, and with which options
    "uniform": ("uniform", {}),
    "uniform, bounds": ("uniform", {"a": -3.0, "b": -1.5}),
    "uniform, one point": ("uniform", {"a": 2.0, "b": 2.0}),
    "normal": ("normal", {}),
    "normal, mean and std": ("normal", {"mean": -2.0, "std": 0.25}),
    "normal, std 0": ("normal", {"mean": 1.5, "std": 0.0}),
    "xavier_uniform": ("xavier_uniform", {}),
    "xavier_uniform, gain": ("xavier_uniform", {"gain": 5 / 3}),
    "xavier_normal": ("xavier_normal", {}),
    "xavier_normal, gain": ("xavier_normal", {"gain": 0.5}),
    "kaiming_uniform": ("kaiming_uniform", {}),
    "kaiming_uniform, torch's weights": ("kaiming_uniform", {"a": math.sqrt(5)}),
    "kaiming_uniform, fan_out": ("kaiming_uniform", {"mode": "fan_out", "nonlinearity": "tanh"}),
    "kaiming_normal": ("kaiming_normal", {}),
    "kaiming_normal, relu": ("kaiming_normal", {"a": 3, "nonlinearity": "relu"}),
    "kaiming_normal, fan_out": ("kaiming_normal", {"a": 0.2, "mode": "fan_out"}),
    "orthogonal": ("orthogonal", {}),
    "orthogonal, gain": ("orthogonal", {"gain": 2.0}),
}
shapes = st.one_of(
    st.tuples(some.sizes(1, 5), some.sizes(1, 5)),
    st.tuples(some.sizes(1, 4), some.sizes(1, 3), some.sizes(1, 3), some.sizes(1, 2)),
)


class OneStd(Random):
    """Draws that show what they were drawn from: the upper bound, or the mean and one standard deviation."""

    def random(self):
        return 1.0

    def uniform(self, a, b):
        return b

    def gauss(self, mu=0.0, sigma=1.0):
        return mu + sigma


def against(twin, witness):
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


def gaussian(n_rows, n_columns, rng):
    return [[rng.gauss(0, 1) for _ in range(n_columns)] for _ in range(n_rows)]


def flat(nested):
    return [x for item in nested for x in flat(item)] if isinstance(nested, list) else [nested]


def shape_of(nested):
    return (len(nested), *shape_of(nested[0])) if isinstance(nested, list) else ()


# ---- fans and gains


@given(shapes)
@examples(20)
def test_fans(build_it, use_it, shape):
    found = build_it.calculate_fan_in_and_fan_out(shape)
    assert_equivalent(found, use_it.calculate_fan_in_and_fan_out(shape))


def test_fans_are_counted_by_a_layer_of_ones(build_it, use_it):
    """With weights and inputs of one, an inner output says how many numbers it summed up: its fan_in."""
    known = {(5, 3): (3, 5), (1, 1): (1, 1), (64, 3, 7, 7): (147, 3136), (2, 4, 3): (12, 6), (2, 3, 1, 2, 2): (12, 8)}
    for twin in (build_it, use_it):
        found = {shape: twin.calculate_fan_in_and_fan_out(shape) for shape in known}
        assert_equivalent(found, known, **against(twin, "by hand"))
        weight = torch.tensor(twin.constant((2, 3, 3, 3), 1.0))
        images = torch.ones(1, 3, 5, 5, requires_grad=True)
        summed = torch.nn.functional.conv2d(images, weight, padding=1)
        fan_in, fan_out = twin.calculate_fan_in_and_fan_out((2, 3, 3, 3))
        assert summed[0, 0, 2, 2] == fan_in
        [reached] = torch.autograd.grad(summed, images, torch.ones_like(summed))
        assert reached[0, 0, 2, 2] == fan_out


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_calculate_gain(build_it, use_it, nonlinearity):
    for param in (None, 0, 0.2, -1.0, math.sqrt(5), 1000):
        gains = [twin.calculate_gain(nonlinearity, param) for twin in (build_it, use_it)]
        assert_equivalent(*gains)
        assert isinstance(gains[0], float)
    assert_equivalent(build_it.calculate_gain(nonlinearity), use_it.calculate_gain(nonlinearity))


def test_calculate_gain_of_rectifiers_undoes_their_moment(build_it, use_it):
    """gain² E[f(z)²] = E[z²]: half of a normal draw's square is left by ReLU, and a² of the other half by leaky ReLU."""
    quantiles = [statistics.NormalDist().inv_cdf((i + 0.5) / 4000) for i in range(4000)]
    whole = sum(z * z for z in quantiles)
    for twin in (build_it, use_it):
        assert_equivalent(twin.calculate_gain("relu") ** 2, 2.0, **against(twin, "2"))
        for a in (0.0, 0.01, 0.3, 1.0, -2.0, math.sqrt(5)):
            left = sum(z * z if z > 0 else (a * z) ** 2 for z in quantiles)
            assert_equivalent(twin.calculate_gain("leaky_relu", a) ** 2 * left, whole, **against(twin, "quantiles"))
        known = {"linear": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "selu": 0.75}
        assert_equivalent({name: twin.calculate_gain(name) for name in known}, known, **against(twin, "torch's table"))


# ---- draws


@pytest.mark.parametrize("case", DRAWN)
def test_draws(build_it, use_it, case):
    name, options = DRAWN[case]

    @given(shapes, some.seeds())
    @examples(8)
    def compare(shape, seed):
        found = [getattr(twin, name)(shape, **options, rng=Random(seed)) for twin in (build_it, use_it)]
        assert_equivalent(*found)
        assert shape_of(found[0]) == shape

    compare()


STDS = [  # what one standard deviation, or the upper bound, is: by the formulas of the papers, worked out
    ("xavier_normal", (3, 5), {}, 0.5),  # √(2 / 8)
    ("xavier_uniform", (1, 5), {}, 1.0),  # √(6 / 6)
    ("xavier_normal", (3, 5), {"gain": 3.0}, 1.5),
    ("xavier_uniform", (1, 1, 3), {"gain": 2.0}, 2.0),  # 2 √(6 / (3 + 3))
    ("kaiming_normal", (3, 8), {}, 0.5),  # √(2 / 8)
    ("kaiming_normal", (8, 3), {"mode": "fan_out"}, 0.5),
    ("kaiming_normal", (3, 2, 2, 2), {"nonlinearity": "relu"}, 0.5),  # √(2 / 8)
    ("kaiming_normal", (2, 3, 2, 2), {"mode": "fan_out", "nonlinearity": "relu"}, 0.5),
    ("kaiming_normal", (3, 25), {"nonlinearity": "tanh"}, 1 / 3),  # 5/3 / 5
    ("kaiming_normal", (3, 16), {"nonlinearity": "linear"}, 0.25),
    ("kaiming_normal", (3, 4), {"a": 1.0}, 0.5),  # a leaky ReLU of slope 1 is linear
    ("kaiming_normal", (3, 8), {"a": 1.0, "nonlinearity": "relu"}, 0.5),  # which does without a
    ("kaiming_uniform", (3, 6), {}, 1.0),  # √(6 / 6)
    ("kaiming_uniform", (3, 4), {"a": math.sqrt(5)}, 0.5),  # 1 / √4
    ("uniform", (2,), {}, 1.0),
    ("normal", (2,), {}, 1.0),
    ("normal", (2, 2), {"mean": 2.0, "std": 3.0}, 5.0),
]


def test_draws_have_the_stated_bounds_and_standard_deviations(build_it, use_it):
    for twin in (build_it, use_it):
        for name, shape, options, expected in STDS:
            for value in flat(getattr(twin, name)(shape, **options, rng=OneStd())):
                assert_equivalent({name: value}, {name: expected}, **against(twin, "the formula"))
        weights, biases = twin.linear_default(16, 2, rng=OneStd())
        assert_equivalent((weights, biases), ([[0.25] * 16] * 2, [0.25] * 2), **against(twin, "1/√16"))


def test_draws_come_in_row_order(build_it, use_it):
    rng = Random(3)
    gauss = [rng.gauss(0.0, 1.0) for _ in range(12)]
    rng = Random(3)
    plain = [rng.uniform(-1.0, 2.0) for _ in range(12)]
    for twin in (build_it, use_it):
        assert_equivalent(twin.normal((12,), rng=Random(3)), gauss, **against(twin, "random.Random"))
        found = twin.normal((2, 3, 2), rng=Random(3))
        assert found[0][0] == gauss[:2] and found[0][2] == gauss[4:6] and found[1][0] == gauss[6:8]
        assert_equivalent(flat(twin.uniform((3, 4), -1.0, 2.0, rng=Random(3))), plain, **against(twin, "random.Random"))


def test_constant(build_it, use_it):
    for shape in ((1,), (3,), (2, 3), (2, 1, 3)):
        for val in (0, 1.5, -1000.0):
            found = [twin.constant(shape, val) for twin in (build_it, use_it)]
            assert_equivalent(*found)
            assert shape_of(found[0]) == shape and set(flat(found[0])) == {val}
    rows = build_it.constant((2, 2), 1.0)
    rows[0][0] = 7.0
    assert rows == [[7.0, 1.0], [1.0, 1.0]], "rows must be lists of their own"


@given(some.sizes(1, 6), some.sizes(1, 5), some.seeds())
@examples(15)
def test_linear_default(build_it, use_it, n_in, n_out, seed):
    found = [twin.linear_default(n_in, n_out, rng=Random(seed)) for twin in (build_it, use_it)]
    assert_equivalent(*found)
    rng, bound = Random(seed), 1 / math.sqrt(n_in)
    expected = [[[rng.uniform(-bound, bound) for _ in range(n_in)] for _ in range(n_out)]]
    expected.append([rng.uniform(-bound, bound) for _ in range(n_out)])
    for twin, one in zip((build_it, use_it), found, strict=True):
        assert_equivalent(list(one), expected, **against(twin, "U(-1/√n_in, 1/√n_in)"))


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 5), (5, 2), (1, 4), (4, 1), (2, 3, 2, 2), (8, 2, 2)], ids=str)
def test_orthogonal(build_it, use_it, shape):
    found = [twin.orthogonal(shape, 1.5, rng=Random(1)) for twin in (build_it, use_it)]
    assert_equivalent(*found)
    for twin, nested in zip((build_it, use_it), found, strict=True):
        rows = [flat(row) for row in nested]
        short = rows if len(rows) <= len(rows[0]) else [list(column) for column in zip(*rows, strict=True)]
        products = [[sum(a * b for a, b in zip(u, v, strict=True)) for v in short] for u in short]
        expected = [[2.25 * (i == k) for k in range(len(short))] for i in range(len(short))]
        assert_equivalent(products, expected, **against(twin, "1.5² times the identity"))


def test_orthogonal_by_hand(build_it, use_it):
    """(3, 4) keeps its direction: (3, 4)/5; what (1, 0) has beside it points along (4, -3)."""

    class Given(Random):
        def __init__(self, *values):
            self.values = iter(values)

        def gauss(self, mu=0.0, sigma=1.0):
            return next(self.values)

    known = {  # a square one is orthonormalized by columns
        "columns": ((2, 2), (3.0, 1.0, 4.0, 0.0), [[0.6, 0.8], [0.8, -0.6]]),
        "rows": ((1, 2), (-3.0, 4.0), [[-0.6, 0.8]]),
        "one column": ((2, 1), (-3.0, 4.0), [[-0.6], [0.8]]),
        "one negative draw": ((1, 1), (-7.0,), [[-1.0]]),
    }
    for twin in (build_it, use_it):
        for name, (shape, draws, expected) in known.items():
            found = twin.orthogonal(shape, rng=Given(*draws))
            assert_equivalent({name: found}, {name: expected}, **against(twin, "by hand"))


def test_orthogonal_even_where_the_draws_are_nearly_parallel(build_it, use_it):
    class Parallel(Random):
        def gauss(self, mu=0.0, sigma=1.0):
            return 1 + 1e-7 * super().gauss(mu, sigma)

    for twin in (build_it, use_it):
        rows = twin.orthogonal((6, 8), rng=Parallel(0))
        products = [[sum(a * b for a, b in zip(u, v, strict=True)) for v in rows] for u in rows]
        expected = [[float(i == k) for k in range(6)] for i in range(6)]
        assert_equivalent(products, expected, **against(twin, "the identity"))


# ---- distributions: torch's own generator, which takes no draws from outside


def distance(one, other):
    """Kolmogorov and Smirnov's: the largest distance between two empirical distribution functions."""
    merged = sorted([(x, 1 / len(one)) for x in one] + [(x, -1 / len(other)) for x in other])
    gap = largest = 0.0
    for (x, step), following in pairwise([*merged, (INF, 0.0)]):
        gap += step
        if x != following[0]:  # ties are one step
            largest = max(largest, abs(gap))
    return largest


KOLMOGOROV_1_PERCENT = 1.628  # two samples of n from one distribution are farther apart than this √(2/n) once in 100
OWN = {
    "xavier_uniform": {"gain": 5 / 3},
    "xavier_normal": {},
    "kaiming_uniform": {"a": math.sqrt(5)},
    "kaiming_normal": {"mode": "fan_out", "nonlinearity": "relu"},
}


@pytest.mark.parametrize("name", OWN)
def test_distribution_of_torchs_own_initializers(build_it, use_it, name):
    """Two-sample Kolmogorov–Smirnov test at 1%: 2000 draws of each, seed 0; a std off by a fifth must not pass."""
    weight = torch.empty(40, 50, dtype=torch.float64)
    torch_init = getattr(torch.nn.init, f"{name}_")
    torch_init(weight, **OWN[name], generator=torch.Generator().manual_seed(0))
    own = weight.flatten().tolist()
    critical = KOLMOGOROV_1_PERCENT * math.sqrt(2 / len(own))
    for twin in (build_it, use_it):
        drawn = flat(getattr(twin, name)((40, 50), **OWN[name], rng=Random(0)))
        assert distance(drawn, own) < critical, twin.__name__
        assert distance([1.2 * w for w in drawn], own) > critical, "the test could not tell"
        assert abs(statistics.fmean(w * w for w in drawn) / statistics.fmean(w * w for w in own) - 1) < 0.1


def test_distribution_of_torchs_own_linear_layer_and_orthogonal_matrix(build_it, use_it):
    torch.manual_seed(0)
    layer = torch.nn.Linear(50, 40, dtype=torch.float64)
    turned = [torch.nn.init.orthogonal_(torch.empty(3, 3))[0, 1].item() for _ in range(400)]
    for twin in (build_it, use_it):
        weights, biases = twin.linear_default(50, 40, rng=Random(0))
        for drawn, own in ((flat(weights), layer.weight), (biases, layer.bias)):
            assert distance(drawn, own.flatten().tolist()) < KOLMOGOROV_1_PERCENT * math.sqrt(2 / len(drawn))
        rng = Random(0)
        mine = [twin.orthogonal((3, 3), rng=rng)[0][1] for _ in range(400)]
        assert distance(mine, turned) < KOLMOGOROV_1_PERCENT * math.sqrt(2 / 400)
        # Archimedes: a coordinate of a random point on a sphere is uniform
        evenly = [-1 + (2 * i + 1) / 400 for i in range(400)]
        assert distance(mine, evenly) < KOLMOGOROV_1_PERCENT * math.sqrt(1 / 400) + 1 / 400


# ---- networks


SCHEMES = {
    **{name.replace(" x ", " × "): draw for name, draw in ship_it.SCHEMES.items()},
    "N(0, 1)": lambda twin, shape, rng: twin.normal(shape, rng=rng),
    "orthogonal": lambda twin, shape, rng: twin.orthogonal(shape, math.sqrt(2), rng=rng),
}


@st.composite
def cases(draw):
    """(sizes, activations, seed)."""
    sizes = draw(st.lists(some.sizes(1, 4), min_size=2, max_size=4))
    return (
        sizes,
        draw(st.lists(st.sampled_from(NAMES), min_size=len(sizes) - 1, max_size=len(sizes) - 1)),
        draw(st.integers(0, 1000)),
    )


def in_order(found):
    """The quantities of Variances in the order of their computation."""
    depth = len(found.deltas)
    named = {}
    for i in range(depth):
        named[f"pre_activations[{i}]"] = found.pre_activations[i]
        named[f"activations[{i}]"] = found.activations[i]
    for i in reversed(range(depth)):
        named[f"deltas[{i}]"] = found.deltas[i]
        named[f"weight_gradients[{i}]"] = found.weight_gradients[i]
    return named


def start(twin, sizes, activations, rng, scheme="He"):
    return twin.initialize(sizes, activations, lambda shape: SCHEMES[scheme](twin, shape, rng))


def measured(twin, case, n_samples, scheme="He"):
    sizes, activations, seed = case
    rng = Random(seed)
    network = start(twin, sizes, activations, rng, scheme)
    X, output_gradient = gaussian(n_samples, sizes[0], rng), gaussian(n_samples, sizes[-1], rng)
    return twin.measured_variances(network, X, output_gradient)


@given(cases())
@examples(15)
def test_initialize(build_it, use_it, case):
    sizes, activations, seed = case
    networks = [start(twin, sizes, activations, Random(seed)) for twin in (build_it, use_it)]
    assert_equivalent(*networks)
    rng = Random(seed)
    for layer, activation, (n_in, n_out) in zip(networks[0], activations, pairwise(sizes), strict=True):
        W = build_it.kaiming_normal((n_out, n_in), nonlinearity="relu", rng=rng)
        assert layer.weights == [[row[j] for row in W] for j in range(n_in)], "W must be transposed"
        assert layer.biases == [0.0] * n_out and layer.activation == activation


@given(cases(), some.sizes(1, 4))
@examples(20)
def test_measured_variances(build_it, use_it, case, n_samples):
    built, used = (measured(twin, case, n_samples) for twin in (build_it, use_it))
    assert_equivalent(in_order(built), in_order(used))


def test_measured_variances_against_finite_differences(build_it):
    """With one sample dL/db is δ; the gradients of the weights come from nudging the weights."""
    for activations in (["tanh", "sigmoid", "identity"], ["relu", "relu", "tanh"]):
        rng = Random(4)
        network = start(build_it, [3, 4, 3, 2], activations, rng)
        X, output_gradient = gaussian(1, 3, rng), gaussian(1, 2, rng)
        found = build_it.measured_variances(network, X, output_gradient)

        def loss(i, layer, network=network, x=X, g=output_gradient[0]):
            [outputs] = built_backprop.predict([*network[:i], layer, *network[i + 1 :]], x)
            return sum(map(mul, g, outputs))

        for i, layer in enumerate(network):
            dW = numerical_gradient(lambda W, i=i, at=layer: loss(i, replace(at, weights=W)), layer.weights, step=1e-5)
            db = numerical_gradient(lambda b, i=i, at=layer: loss(i, replace(at, biases=b)), layer.biases, step=1e-5)
            assert_equivalent(
                {"weight_gradients": found.weight_gradients[i], "deltas": found.deltas[i]},
                {
                    name: statistics.fmean(g * g for g in flat(values))
                    for name, values in (("weight_gradients", dW), ("deltas", db))
                },
                rtol=1e-6,  # the truncation and rounding of central differences
                atol=1e-10,
                names=("build_it", "finite differences"),
            )


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_measured_variances_through_twenty_layers(build_it, use_it, activation):
    for scheme in SCHEMES:
        if scheme == "N(0, 1) × 100" and activation != "relu":
            continue  # 1 - h² of a saturated h is rounding, on either side
        case = [12] * 21, [activation] * 20, 0
        built, used = (measured(twin, case, 2, scheme) for twin in (build_it, use_it))
        # variances run from 1e-50 to 1e100: the default atol would forgive anything
        assert_equivalent(in_order(built), in_order(used), atol=0.0)


def test_schemes_do_to_twenty_layers_what_they_are_known_for(build_it, use_it):
    """Orders of magnitude between the first layer and the last, or the other way, for ReLU: theory's 19 factors."""
    per_layer = {"N(0, 1) × 100": 24 * 1e4 / 2, "N(0, 1) / 100": 24 * 1e-4 / 2, "torch's weights": 1 / 6}
    per_layer |= {"Xavier": 1 / 2, "He": 1.0, "orthogonal": 1.0}
    for twin in (build_it, use_it):
        for scheme, factor in per_layer.items():
            runs = [measured(twin, ([24] * 21, ["relu"] * 20, seed), 1, scheme) for seed in range(2)]
            for what, name in ((1, "pre_activations"), (-1, "deltas")):
                logs = [math.log10(getattr(run, name)[-1] / getattr(run, name)[0]) for run in runs]
                expected = what * 19 * math.log10(factor)
                # of 24 units, the logarithm of 19 factors strays by about 0.9 in one run, and lies about 0.9 low
                assert abs(statistics.fmean(logs) - expected) < 2, (scheme, name, logs, expected)
        nothing = measured(twin, ([24] * 21, ["relu"] * 20, 0), 2, "zeros")
        assert set(nothing.pre_activations + nothing.deltas + nothing.weight_gradients) == {0.0}


# ---- theory


@pytest.mark.parametrize("activation", NAMES)
def test_moments(build_it, use_it, activation):
    for variance in (0, 0.0, 1e-12, 1e-6, 0.1, 0.7, 1, 2.0, 30.0, 1e4, 1e12):
        found = [twin.moments(activation, variance) for twin in (build_it, use_it)]
        assert_equivalent(*found, atol=0.0)


def test_moments_by_other_formulas(build_it, use_it):
    for twin in (build_it, use_it):
        name = against(twin, "closed form")
        assert_equivalent(
            [twin.moments("identity", 3.0), twin.moments("relu", 3.0), twin.moments("relu", 0.0)],
            [(3.0, 1.0), (1.5, 0.5), (0.0, 0.0)],
            **name,
        )
        assert_equivalent([twin.moments(f, 0.0) for f in ("tanh", "sigmoid")], [(0.0, 1.0), (0.25, 0.0625)], **name)
        # tanh² z = z² - 2/3 z⁴ + 17/45 z⁶ …, and E[z⁴] = 3 q², E[z⁶] = 15 q³; tanh'² = 1 - 2 z² + 7/3 z⁴ …
        q = 1e-4
        assert_equivalent(
            twin.moments("tanh", q), (q - 2 * q**2 + 17 / 3 * q**3, 1 - 2 * q + 7 * q**2), **name, rtol=1e-8
        )
        # far out tanh² is 1 but for ∫ sech² dz = 2 around 0, and tanh'² is ∫ sech⁴ dz = 4/3
        density = 1 / (1e5 * math.sqrt(2 * math.pi))
        assert_equivalent(twin.moments("tanh", 1e10), (1 - 2 * density, 4 / 3 * density), **name)
        for q in (1e-3, 0.5, 4.0, 900.0):  # σ(z) = (1 + tanh(z/2)) / 2
            square, slope = twin.moments("tanh", q / 4)
            assert_equivalent(twin.moments("sigmoid", q), (0.25 + square / 4, slope / 16), **name)
        normal = statistics.NormalDist(0, math.sqrt(2))
        points = [math.tanh(normal.inv_cdf((i + 0.5) / 5000)) for i in range(5000)]
        by_quantiles = statistics.fmean(h * h for h in points), statistics.fmean((1 - h * h) ** 2 for h in points)
        # the error of 5000 quantiles
        assert_equivalent(twin.moments("tanh", 2.0), by_quantiles, **against(twin, "quantiles"), rtol=1e-4)


@given(cases(), st.integers(1, 40))
@examples(20)
def test_predicted_variances(build_it, use_it, case, n_samples):
    sizes, activations, seed = case
    rng = Random(seed)
    weight_variances = [rng.choice([0.0, 0.01, 1.0, 3.0, 1e4]) for _ in activations]
    options = {"n_samples": n_samples, "x_square": rng.uniform(0, 3), "gradient_square": rng.uniform(0, 3)}
    found = [twin.predicted_variances(sizes, activations, weight_variances, **options) for twin in (build_it, use_it)]
    assert_equivalent(in_order(found[0]), in_order(found[1]), atol=0.0)
    found = [twin.predicted_variances(sizes, activations, weight_variances) for twin in (build_it, use_it)]
    assert_equivalent(in_order(found[0]), in_order(found[1]), atol=0.0)


def test_predicted_variances_are_exact_over_all_signs(build_it, use_it):
    """The example of CONCEPT: a layer with one unit for each choice of signs is the average over all choices."""
    pairs = [[a, b] for a in (1.0, -1.0) for b in (1.0, -1.0)]
    fours = [[*one, *other] for one in pairs for other in pairs]
    by_hand = {
        "pre_activations": [5.0, 10.0],
        "activations": [2.5, 10.0],
        "deltas": [0.5, 0.0625],
        "weight_gradients": [1.25, 0.15625],
    }
    for twin in (build_it, use_it):
        rows = iter([pairs, fours])
        asked = []
        network = twin.initialize(
            [2, 4, 16], ["relu", "identity"], lambda s, rows=rows, a=asked: a.append(s) or next(rows)
        )
        assert [tuple(shape) for shape in asked] == [(4, 2), (16, 4)]
        found = twin.measured_variances(network, [[1.0, 2.0]], [[1.0] + [0.0] * 15])
        expected = twin.predicted_variances(
            [2, 4, 16], ["relu", "identity"], [1.0, 1.0], x_square=2.5, gradient_square=1 / 16
        )
        assert_equivalent(vars(found), by_hand, **against(twin, "by hand"))
        assert_equivalent(vars(expected), by_hand, **against(twin, "by hand"))


def test_predicted_variances_of_he_and_xavier(build_it, use_it):
    """He: level for ReLU at any width. Xavier: ReLU loses half in every layer, level for a linear network of equal widths."""
    widths = [50, 20, 80, 80, 10]
    for twin in (build_it, use_it):
        fans = list(pairwise(widths))
        he = twin.predicted_variances(widths, ["relu"] * 4, [2 / n_in for n_in, _ in fans], n_samples=7)
        assert_equivalent(he.pre_activations, [2.0] * 4, **against(twin, "level"))
        he_out = twin.predicted_variances(widths, ["relu"] * 4, [2 / n_out for _, n_out in fans])
        assert_equivalent(he_out.deltas, [0.5] * 4, **against(twin, "level"))
        xavier = twin.predicted_variances([30] * 5, ["relu"] * 4, [1 / 30] * 4)
        assert_equivalent(xavier.pre_activations, [1, 1 / 2, 1 / 4, 1 / 8], **against(twin, "halves"))
        assert_equivalent(xavier.deltas, [1 / 16, 1 / 8, 1 / 4, 1 / 2], **against(twin, "halves"))
        linear = twin.predicted_variances([30] * 5, ["identity"] * 4, [1 / 30] * 4, n_samples=3)
        assert_equivalent(
            vars(linear),
            {k: [v] * 4 for k, v in zip(vars(linear), (1.0, 1.0, 1.0, 3.0), strict=True)},
            **against(twin, "level"),
        )


def test_predicted_variances_are_what_wide_layers_show(build_it, use_it):
    """A mean of squares over 3000 units behind 20 inputs: within four of its standard errors, √(2 / 3000)."""
    for twin in (build_it, use_it):
        rng = Random(5)
        network = start(twin, [20, 3000, 1], ["tanh", "identity"], rng)
        X = gaussian(1, 20, rng)
        x_square = statistics.fmean(x * x for x in X[0])
        found = twin.measured_variances(network, X, [[1.0]])
        expected = twin.predicted_variances([20, 3000, 1], ["tanh", "identity"], [2 / 20, 2 / 3000], x_square=x_square)
        for name in ("pre_activations", "activations", "deltas"):
            assert abs(getattr(found, name)[0] / getattr(expected, name)[0] - 1) < 4 * math.sqrt(2 / 3000), name


# ---- symmetry


XOR, TARGETS = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [[0.0], [1.0], [1.0], [0.0]]


def trajectory(backprop, network, n_steps, learning_rate=2.0):
    """The networks after 1, 10 and 100 steps of gradient descent, and all losses."""
    losses, kept = [], []
    for k in range(1, n_steps + 1):
        trace = backprop.forward(network, XOR)
        loss, upstream = backprop.squared_error(trace.activations[-1], TARGETS)
        gradients = backprop.backward(network, trace, upstream)
        network = built_backprop.step(network, gradients, learning_rate)
        losses.append(loss)
        if k in (1, 10, 100):
            kept.append(network)
    return kept, losses


def units(layer):
    """What each unit of a layer holds: its weights and its bias."""
    return {(*column, b) for column, b in zip(zip(*layer.weights, strict=True), layer.biases, strict=True)}


@pytest.mark.parametrize(("activation", "value"), [("tanh", 0.0), ("relu", 0.0), ("sigmoid", 0.0), ("tanh", 0.5)])
def test_equal_weights_stay_equal(build_it, use_it, activation, value):
    paths = []
    for twin, backprop in ((build_it, built_backprop), (use_it, used_backprop)):
        network = twin.initialize([2, 3, 3, 1], [activation] * 2 + ["sigmoid"], lambda s, t=twin: t.constant(s, value))
        paths.append(trajectory(backprop, network, 100))
        for found in paths[-1][0]:
            assert [len(units(layer)) for layer in found] == [1, 1, 1]
            if value == 0 and activation != "sigmoid":
                assert [layer.weights for layer in found] == [layer.weights for layer in network], "nothing may move"
        # equal units make a monotone function of x1 + x2; the best one says 0, 2/3, 2/3, 2/3 where XOR says 0, 1, 1, 0
        assert min(paths[-1][1]) > 1 / 6
    assert_equivalent(*paths)


def test_different_weights_learn(build_it, use_it):
    paths = []
    for twin, backprop in ((build_it, built_backprop), (use_it, used_backprop)):
        rng = Random(1)
        network = start(twin, [2, 3, 3, 1], ["tanh", "tanh", "sigmoid"], rng, "Xavier")
        kept, losses = trajectory(backprop, network, 100)
        assert [len(units(layer)) for layer in kept[-1]] == [3, 3, 1]
        assert losses[-1] < 0.05
        paths.append((kept, losses))
    assert_equivalent(*paths)


# ---- what is refused

DENSE = ("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal")
REFUSED = (
    {
        f"{name}, {what}": lambda twin, name=name, shape=shape: getattr(twin, name)(shape, rng=Random(0))
        for name, (what, shape) in product(
            (*DENSE, "uniform", "normal"),
            (("no dimension", ()), ("size 0", (2, 0)), ("negative", (-1, 2)), ("half", (2, 1.5))),
        )
    }
    | {f"{name}, one dimension": lambda twin, name=name: getattr(twin, name)((3,), rng=Random(0)) for name in DENSE}
    | {
        f"{name}, gain {gain}": lambda twin, name=name, gain=gain: getattr(twin, name)((2, 2), gain, rng=Random(0))
        for name, gain in product(("xavier_uniform", "xavier_normal", "orthogonal"), (-1.0, NAN, INF))
    }
    | {
        f"{name}, {what}": lambda twin, name=name, options=options: getattr(twin, name)(
            (2, 2), **options, rng=Random(0)
        )
        for name, (what, options) in product(
            ("kaiming_uniform", "kaiming_normal"),
            (
                ("mode", {"mode": "fan_avg"}),
                ("mode, upper case", {"mode": "FAN_IN"}),
                ("nonlinearity", {"nonlinearity": "gelu"}),
                ("slope NaN", {"a": NAN}),
                ("slope infinite", {"a": -INF}),
                ("slope a word", {"a": "0.2"}),
            ),
        )
    }
    | {
        "calculate_fan_in_and_fan_out, a vector": lambda twin: twin.calculate_fan_in_and_fan_out((3,)),
        "calculate_fan_in_and_fan_out, nothing": lambda twin: twin.calculate_fan_in_and_fan_out(()),
        "calculate_fan_in_and_fan_out, size 0": lambda twin: twin.calculate_fan_in_and_fan_out((2, 3, 0)),
        "calculate_gain, unknown": lambda twin: twin.calculate_gain("ReLU"),
        "calculate_gain, True": lambda twin: twin.calculate_gain("leaky_relu", True),
        "calculate_gain, a word": lambda twin: twin.calculate_gain("leaky_relu", "steep"),
        "calculate_gain, infinite": lambda twin: twin.calculate_gain("leaky_relu", INF),
        "constant, size 0": lambda twin: twin.constant((0,), 1.0),
        "constant, nothing": lambda twin: twin.constant((), 1.0),
        "uniform, bounds crossed": lambda twin: twin.uniform((2,), 1.0, 0.5, rng=Random(0)),
        "uniform, infinite": lambda twin: twin.uniform((2,), 0.0, INF, rng=Random(0)),
        "uniform, minus infinity": lambda twin: twin.uniform((2,), -INF, 0.0, rng=Random(0)),
        "uniform, NaN": lambda twin: twin.uniform((2,), NAN, 1.0, rng=Random(0)),
        "normal, std below 0": lambda twin: twin.normal((2,), 0.0, -1.0, rng=Random(0)),
        "normal, std NaN": lambda twin: twin.normal((2,), 0.0, NAN, rng=Random(0)),
        "normal, mean NaN": lambda twin: twin.normal((2,), NAN, rng=Random(0)),
        "linear_default, no inputs": lambda twin: twin.linear_default(0, 2, rng=Random(0)),
        "linear_default, no units": lambda twin: twin.linear_default(2, 0, rng=Random(0)),
        "initialize, one size": lambda twin: twin.initialize([2], [], lambda shape: twin.constant(shape, 1.0)),
        "initialize, no units": lambda twin: twin.initialize([2, 0], ["relu"], lambda shape: [[1.0]]),
        "initialize, half a unit": lambda twin: twin.initialize([2, 1.5], ["relu"], lambda shape: [[1.0]]),
        "initialize, activation missing": lambda twin: twin.initialize([1, 1, 1], ["relu"], lambda shape: [[1.0]]),
        "initialize, activation unknown": lambda twin: twin.initialize([1, 1], ["gelu"], lambda shape: [[1.0]]),
        "initialize, transposed": lambda twin: twin.initialize([2, 3], ["relu"], lambda shape: [[1.0] * 3] * 2),
        "initialize, too wide": lambda twin: twin.initialize([2, 3], ["relu"], lambda shape: [[1.0] * 3] * 3),
        "initialize, too short": lambda twin: twin.initialize([2, 3], ["relu"], lambda shape: [[1.0] * 2] * 2),
        "moments, activation unknown": lambda twin: twin.moments("gelu", 1.0),
        "moments, below 0": lambda twin: twin.moments("tanh", -1.0),
        "moments, infinite": lambda twin: twin.moments("relu", INF),
        "moments, NaN": lambda twin: twin.moments("identity", NAN),
        "measured_variances, no layer": lambda twin: twin.measured_variances([], [[1.0]], [[1.0]]),
        "measured_variances, gradient too wide": lambda twin: twin.measured_variances(
            twin.initialize([1, 1], ["relu"], lambda shape: [[1.0]]), [[1.0]], [[1.0, 2.0]]
        ),
        "measured_variances, too many features": lambda twin: twin.measured_variances(
            twin.initialize([1, 1], ["relu"], lambda shape: [[1.0]]), [[1.0, 2.0]], [[1.0]]
        ),
        "predicted_variances, one size": lambda twin: twin.predicted_variances([2], [], []),
        "predicted_variances, variance missing": lambda twin: twin.predicted_variances([1, 1, 1], ["relu"] * 2, [1.0]),
        "predicted_variances, variances too many": lambda twin: twin.predicted_variances([1, 1], ["relu"], [1.0] * 2),
        "predicted_variances, activation unknown": lambda twin: twin.predicted_variances([1, 1], ["elu"], [1.0]),
        "predicted_variances, activations too many": lambda twin: twin.predicted_variances([1, 1], ["relu"] * 2, [1.0]),
        "predicted_variances, below 0": lambda twin: twin.predicted_variances([1, 1], ["relu"], [-1.0]),
        "predicted_variances, NaN above": lambda twin: twin.predicted_variances([1, 1, 1], ["relu"] * 2, [1.0, NAN]),
        "predicted_variances, no samples": lambda twin: twin.predicted_variances([1, 1], ["relu"], [1.0], n_samples=0),
        "predicted_variances, inputs": lambda twin: twin.predicted_variances([1, 1], ["relu"], [1.0], x_square=-1.0),
        "predicted_variances, gradient": lambda twin: twin.predicted_variances(
            [1, 1], ["relu"], [1.0], gradient_square=INF
        ),
    }
)


@pytest.mark.parametrize("what", REFUSED)
def test_refused(build_it, use_it, what):
    assert_same_error(REFUSED[what], build_it, use_it)


MESSAGES = {  # what a message must name, in this order
    "xavier_normal, one dimension": r"2 or more dimensions.*\(3,\)",
    "constant, nothing": r"1 or more dimensions.*\(\)",
    "xavier_uniform, gain -1.0": "gain .* -1.0",
    "kaiming_normal, mode": "fan_in or fan_out.*fan_avg",
    "kaiming_normal, nonlinearity": "relu.*gelu",
    "calculate_gain, True": "slope.*True",
    "uniform, bounds crossed": r"1\.0.*0\.5",
    "normal, std below 0": "std .* -1.0",
    "normal, mean NaN": "mean .* nan",
    "initialize, transposed": "3.*2.*2.*3",
    "initialize, activation missing": "2 layers .* 1",
    "initialize, activation unknown": "identity, sigmoid, tanh or relu.*gelu",
    "initialize, one size": r"two or more .*\[2\]",
    "moments, below 0": "variance .* -1.0",
    "predicted_variances, variance missing": "2 layers .* 1",
    "predicted_variances, below 0": "weight variance .* -1.0",
    "predicted_variances, inputs": "x_square .* -1.0",
    "predicted_variances, gradient": "gradient_square .* inf",
}


@pytest.mark.parametrize("what", MESSAGES)
def test_refused_with_a_message_that_helps(build_it, what):
    with pytest.raises(ValueError, match=MESSAGES[what]):
        REFUSED[what](build_it)


# ---- the tool


@pytest.fixture
def tool(use_it, tmp_path):
    """The tool that ships, made anew."""
    file = tmp_path / "init_check.py"
    program = ship_it.one_file(ship_it.HERE / "build_it.py", ship_it.HERE / "tool.py")
    file.write_text(program, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("shipped_init_check", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tool_says_what_the_twins_draw(build_it, use_it, tool, capsys):
    for twin in (build_it, use_it):
        for text, shape in (("30-20", (20, 30)), ("4x3x2x2", (4, 3, 2, 2))):
            drawn = {
                "he": twin.kaiming_normal(shape, nonlinearity="relu", rng=OneStd()),
                "he-out": twin.kaiming_normal(shape, mode="fan_out", nonlinearity="relu", rng=OneStd()),
                "xavier": twin.xavier_normal(shape, rng=OneStd()),
                "lecun": twin.kaiming_normal(shape, nonlinearity="linear", rng=OneStd()),
                "torch": twin.kaiming_normal(shape, math.sqrt(5), rng=OneStd()),
                "0.25": twin.constant(shape, 0.25),
            }
            for scheme, weights in drawn.items():
                assert tool.main([text, "--init", scheme, "--json"]) == 0
                [found] = json.loads(capsys.readouterr().out)
                assert_equivalent(
                    found["layers"][0]["std"], flat(weights)[0], names=("the tool", "one standard deviation")
                )
        bound = flat(twin.kaiming_uniform((20, 30), nonlinearity="tanh", rng=OneStd()))[0]
        found = tool.check("30-20", "tanh", "he")
        assert_equivalent(found["layers"][0]["bound"], bound, names=("the tool", "the bound"))
        found = tool.check("30-20-20-5", "tanh", "xavier")
        variances = [2 / 50, 2 / 40, 2 / 25]
        expected = twin.predicted_variances([30, 20, 20, 5], ["tanh", "tanh", "identity"], variances)
        told = [(layer["z_square"], layer["delta_square"]) for layer in found["layers"]]
        assert_equivalent(
            told, list(zip(expected.pre_activations, expected.deltas, strict=True)), names=("tool", "twin")
        )
        assert_equivalent(found["backward"] ** 2, expected.deltas[0] / expected.deltas[-1], names=("tool", "twin"))


def test_the_tool_keeps_its_thresholds(build_it, tool, capsys):
    assert [tool.verdict(1.0, x) for x in (9.0, 0.11, 11.0, 0.09, 999.0, 1001.0)] == [
        "OK",
        "OK",
        "WARN backward grows",
        "WARN backward fades",
        "WARN backward grows",
        "BAD backward grows",
    ]
    assert tool.verdict(0.0001, 20.0) == "BAD forward fades, backward grows"
    assert tool.verdict(0.0, 1.0) == "BAD nothing passes"
    deep = "-".join(["50"] * 21)
    assert tool.main([deep, "--init", "he"]) == 0 and tool.main([deep, "--init", "torch"]) == 1
    assert tool.main([deep]) == 0  # a comparison
    said = capsys.readouterr().out
    assert "OK" in said and "BAD forward fades, backward fades" in said and said.count("BAD nothing passes") == 1
    assert build_it.calculate_gain("relu") == tool.check(deep, "relu", "he")["gain"]


def test_the_tool_names_the_scheme_of_each_weight(build_it, use_it, tool, tmp_path, capsys):
    file = tmp_path / "weights.safetensors"
    for twin in (build_it, use_it):
        rng = Random(2)
        half = twin.kaiming_normal((30, 40), nonlinearity="relu", rng=rng)
        ship_it.write_safetensors(
            file,
            {
                "he": half,
                "default": twin.linear_default(40, 30, rng=rng)[0],
                "turned": twin.orthogonal((30, 40), math.sqrt(2), rng=rng),
                "flat": twin.constant((3, 4), 0.5),
                "twins": half[:29] + half[:1],
                "broken": [[1.0, NAN], [1.0, 2.0]],
                "small": twin.normal((30, 40), 0.0, 0.001, rng=rng),
            },
        )
        assert tool.main(["--weights", str(file), "--json"]) == 1
        found = {one["name"]: (one["kind"], one["fits"], one["verdict"]) for one in json.loads(capsys.readouterr().out)}
        assert found == {
            "he": ("normal", ["he"], "OK"),
            "default": ("uniform", ["torch"], "OK"),
            "turned": ("orthogonal", ["gain 1.41"], "OK"),
            "flat": ("constant", [], "BAD all equal"),
            "twins": ("normal", ["he"], "BAD 1 of 30 units repeat another"),
            "broken": ("", [], "BAD not finite"),
            "small": ("normal", [], "OK"),
        }
        transposed = [list(column) for column in zip(*half, strict=True)]
        ship_it.write_safetensors(file, {"he": transposed})
        assert tool.main(["--weights", str(file), "--layout", "in-out"]) == 0
        assert "30x40" in capsys.readouterr().out


def test_the_tool_reads_every_float_of_the_format(build_it, tool, tmp_path):
    values = build_it.constant((2, 2), 1.5)
    values[0][1] = -0.25
    for dtype, code in (("F64", "d"), ("F32", "f"), ("F16", "e")):
        packed = struct.pack(f"<4{code}", *flat(values))
        assert read(tool, tmp_path, dtype, packed)["w"] == ([2, 2], flat(values))
    packed = b"".join(struct.pack("<f", value)[2:] for value in flat(values))
    assert read(tool, tmp_path, "BF16", packed) == {"w": ([2, 2], flat(values))}
    assert read(tool, tmp_path, "I32", bytes(16)) == {}
    for wrong in (packed[:-1], b""):
        with pytest.raises(ValueError, match="no whole safetensors file"):
            read(tool, tmp_path, "BF16", wrong)


def read(tool, folder, dtype, packed):
    header = {
        "__metadata__": {"format": "pt"},
        "w": {"dtype": dtype, "shape": [2, 2], "data_offsets": [0, len(packed)]},
    }
    text = json.dumps(header).encode()
    (folder / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + packed)
    return tool.read_safetensors(folder / "x.safetensors")


def test_the_tool_refuses(build_it, tool, tmp_path, capsys):
    (tmp_path / "text").write_text("no weights", encoding="utf-8")
    (tmp_path / "empty").write_bytes((2).to_bytes(8, "little") + b"{}")
    (tmp_path / "long").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    (tmp_path / "list").write_bytes((2).to_bytes(8, "little") + b"[]")
    for wrong in (
        [],
        ["784"],
        ["784x"],
        ["784-0"],
        ["8-4", "--init", "best"],
        ["8-4", "--init", "-1"],
        ["8-4", "--init", "nan"],
        ["8-8-8", "--init", "1e100"],
        ["8-4", "--init", "1e200"],
        ["8-4", "--weights", "x"],
        *(["--weights", str(tmp_path / name)] for name in ("text", "empty", "long", "list", "none")),
    ):
        assert tool.main(wrong) == 2, wrong
        assert capsys.readouterr().err.startswith("init-check: ")
    assert build_it.calculate_fan_in_and_fan_out(tool.parse("2-3")[0]) == (2, 3)
