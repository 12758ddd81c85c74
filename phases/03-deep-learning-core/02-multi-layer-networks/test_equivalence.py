"""The proof: every value, shape and count, against torch.nn.Linear, Sequential and torch's own counters."""

import importlib
import importlib.util
import json
import math
from bisect import bisect_left
from copy import deepcopy
from itertools import pairwise, product
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from shared.proof import assert_equivalent, assert_same_error, examples
from shared.proof import strategies as some
from shared.ship.one_file import one_file

ACTIVATIONS = ["identity", "step", "sigmoid", "tanh", "relu"]
TORCH = {"identity": torch.nn.Identity, "sigmoid": torch.nn.Sigmoid, "tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
XOR_X = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
BY_HAND = [  # the network of the README, and what it answers
    ([[1.0, -1.0, 2.0], [0.0, 1.0, -1.0]], [0.0, 0.0, 1.0], "relu"),
    ([[2.0], [1.0], [-1.0]], [-1.0], "identity"),
]
eighths = st.integers(-16, 16).map(lambda k: k / 8)
size_lists = st.lists(some.sizes(1, 6), min_size=2, max_size=5)


@st.composite
def cases(draw, activations=tuple(ACTIVATIONS)):
    """[(weights, biases, activation), …] and X."""
    sizes = draw(st.lists(some.sizes(1, 4), min_size=2, max_size=4))
    layers = [
        (
            draw(some.matrices(n_in, n_out, eighths)),
            draw(some.vectors(n_out, eighths)),
            draw(st.sampled_from(activations)),
        )
        for n_in, n_out in pairwise(sizes)
    ]
    return layers, draw(some.matrices(draw(some.sizes(1, 4)), sizes[0], eighths))


@st.composite
def points(draw, min_size=2):
    """Rising places in quarters, and as many values."""
    quarters = sorted(draw(st.sets(st.integers(-40, 40), min_size=min_size, max_size=6)))
    return [q / 4 for q in quarters], draw(some.vectors(len(quarters)))


def network_of(twin, layers):
    return [twin.Layer(*layer) for layer in layers]


def assume_clear_steps(network, trace):
    """Drop the case where a step's z is so near 0 that rounding alone decides on its side."""
    for layer, Z in zip(network, trace.pre_activations, strict=True):
        assume(layer.activation != "step" or all(abs(z) > 1e-9 or z == 0 for row in Z for z in row))


def against(twin, witness):
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


def values_of(twin, network, xs):
    """The outputs of a network 1-N-1 at the places xs."""
    return [value for [value] in twin.predict(network, [[x] for x in xs])]


# ---- values


@given(some.matrices(2, 3, some.floats(-1000, 1000)), st.sampled_from(ACTIVATIONS))
@examples(30)
def test_activate(build_it, use_it, Z, activation):
    assert_equivalent(build_it.activate(Z, activation), use_it.activate(Z, activation))


def test_activate_at_known_points(build_it, use_it):
    known = {
        ("identity", -3.0): -3.0,
        ("step", -2.5): 0.0,
        ("step", 0.0): 0.0,
        ("step", 1e-300): 1.0,
        ("step", 2.5): 1.0,
        ("sigmoid", 0.0): 0.5,
        ("sigmoid", math.log(3)): 0.75,
        ("sigmoid", -math.log(3)): 0.25,
        ("sigmoid", 1000.0): 1.0,
        ("sigmoid", -1000.0): 0.0,
        ("tanh", math.log(2)): 0.6,
        ("tanh", -1000.0): -1.0,
        ("relu", 2.5): 2.5,
        ("relu", 0.5): 0.5,
        ("relu", 0.0): 0.0,
        ("relu", -2.5): 0.0,
    } | {(name, math.nan): math.nan for name in ACTIVATIONS}
    for twin in (build_it, use_it):
        found = {(name, z): twin.activate([[z]], name)[0][0] for name, z in known}
        for (name, z), value in found.items():
            assert type(value) is float, f"{name} of {z} is {value!r}: expected a float"
        assert_equivalent(found, known, **against(twin, "known"))


@given(cases())
@examples(25)
def test_neuron_and_layer_forward(build_it, use_it, case):
    """One layer, one sample: each neuron reads its own column of W."""
    [(weights, biases, activation), *_], [x, *_] = case
    for twin in (build_it, use_it):
        one_by_one = [twin.neuron(x, [row[k] for row in weights], bias, activation) for k, bias in enumerate(biases)]
        layer = twin.layer_forward(twin.Layer(weights, biases, activation), x)
        assert_equivalent(layer, one_by_one, **against(twin, "neuron by neuron"))
    assert_equivalent(*(twin.layer_forward(twin.Layer(weights, biases, activation), x) for twin in (build_it, use_it)))


def test_neuron_by_hand(build_it, use_it):
    for twin in (build_it, use_it):
        found = [twin.neuron([1.0, 2.0], [2.0, -1.0], 1.0, f) for f in ("identity", "step", "relu")]
        found += [twin.neuron([3.0], [2.0], -7.0, f) for f in ("identity", "step", "relu")]
        assert_equivalent(found, [1.0, 1.0, 1.0, -1.0, 0.0, 0.0], **against(twin, "by hand"))


@given(cases())
@examples(25)
def test_linear(build_it, use_it, case):
    """z[i][k] = Σ x[i][j] w[j][k] + b[k]. Products of eighths are exact in float64, so nothing may differ at all."""
    [(weights, biases, _), *_], X = case
    formula = [
        [sum(row[j] * weights[j][k] for j in range(len(row))) + biases[k] for k in range(len(biases))] for row in X
    ]
    for twin in (build_it, use_it):
        assert_equivalent(twin.linear(X, weights, biases), formula, rtol=0.0, atol=0.0, **against(twin, "the formula"))
    assert_equivalent(*(twin.linear(X, weights, biases) for twin in (build_it, use_it)))


def test_linear_passes_nan_on(build_it, use_it):
    """To the row of its sample and to no other."""
    for twin in (build_it, use_it):
        found = twin.linear([[math.nan, 1.0], [2.0, 1.0]], [[1.0], [3.0]], [0.5])
        assert_equivalent(found, [[math.nan], [5.5]], **against(twin, "by hand"))


@given(cases())
@examples(40)
def test_forward_and_predict(build_it, use_it, case):
    layers, X = case
    networks = [network_of(twin, layers) for twin in (build_it, use_it)]
    built, used = build_it.forward(networks[0], X), use_it.forward(networks[1], X)
    assume_clear_steps(networks[1], used)
    named = [{"X": trace.activations[0]} for trace in (built, used)]
    for names, trace in zip(named, (built, used), strict=True):
        for i, (Z, H) in enumerate(zip(trace.pre_activations, trace.activations[1:], strict=True), start=1):
            names |= {f"Z{i}": Z, f"H{i}": H}
    assert_equivalent(*named)
    assert_equivalent(build_it.predict(networks[0], X), use_it.predict(networks[1], X))


@given(cases())
@examples(15)
def test_a_batch_is_its_samples_one_by_one(build_it, use_it, case):
    layers, X = case
    for twin in (build_it, use_it):
        network, alone = network_of(twin, layers), []
        assume_clear_steps(network, twin.forward(network, X))
        for x in X:
            alone.append(x)
            for layer in network:
                alone[-1] = twin.layer_forward(layer, alone[-1])
        assert_equivalent(twin.predict(network, X), alone, **against(twin, "sample by sample"))


def test_forward_by_hand(build_it, use_it):
    for twin in (build_it, use_it):
        trace = twin.forward(network_of(twin, BY_HAND), [[1.0, 2.0], [3.0, -1.0]])
        by_hand = twin.Trace(
            pre_activations=[[[1.0, 1.0, 1.0], [3.0, -4.0, 8.0]], [[1.0], [-3.0]]],
            activations=[[[1.0, 2.0], [3.0, -1.0]], [[1.0, 1.0, 1.0], [3.0, 0.0, 8.0]], [[1.0], [-3.0]]],
        )
        assert_equivalent(trace, by_hand, **against(twin, "by hand"))


def test_predict_exclusive_or_with_weights_set_by_hand(build_it, use_it):
    step = [([[1.0, 1.0], [1.0, 1.0]], [-0.5, -1.5], "step"), ([[1.0], [-1.0]], [-0.5], "step")]
    relu = [([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0], "relu"), ([[1.0], [-2.0]], [0.0], "identity")]
    for twin in (build_it, use_it):
        for layers in (step, relu):
            outputs = twin.predict(network_of(twin, layers), XOR_X)
            assert_equivalent(outputs, [[0.0], [1.0], [1.0], [0.0]], **against(twin, "the truth table"))


def test_forward_through_thirty_layers(build_it, use_it):
    """Three units that are shifted round by one: thirty turns are ten times round, and each adds 1 to all."""
    shift = ([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], [1.0, 1.0, 1.0], "relu")
    for twin in (build_it, use_it):
        network = network_of(twin, [shift] * 30)
        trace = twin.forward(network, [[1.0, 2.0, 4.0]])
        assert_equivalent(trace.activations[-1], [[31.0, 32.0, 34.0]], **against(twin, "by hand"))
        assert_equivalent(trace.activations[1], [[5.0, 2.0, 3.0]], **against(twin, "by hand"))
        assert len(trace.pre_activations) == 30


@given(cases(activations=("identity",)))
@examples(15)
def test_predict_without_activations_is_one_linear_layer(build_it, use_it, case):
    """X (W¹W²…) + c: the columns of the product are what unit vectors give, less what zeros give."""
    layers, X = case
    for twin in (build_it, use_it):
        network, n = network_of(twin, layers), len(X[0])
        [c] = twin.predict(network, [[0.0] * n])
        units = twin.predict(network, [[float(i == j) for j in range(n)] for i in range(n)])
        W = [[value - offset for value, offset in zip(row, c, strict=True)] for row in units]
        assert_equivalent(twin.predict(network, X), twin.linear(X, W, c), **against(twin, "one layer"))


@given(cases(activations=tuple(TORCH)))
@examples(20)
def test_state_dict_loads_into_torch(build_it, use_it, case):
    """A Sequential that a torch user would write takes it strictly, and answers as we do."""
    layers, X = case
    unchanged = deepcopy(layers)
    model = torch.nn.Sequential()
    for weights, biases, activation in layers:
        model.extend([torch.nn.Linear(len(weights), len(biases)), TORCH[activation]()])
    model.double()
    states = []
    for twin in (build_it, use_it):
        network = network_of(twin, layers)
        states.append(twin.state_dict(network))
        model.load_state_dict({name: torch.tensor(v, dtype=torch.float64) for name, v in states[-1].items()})
        outputs = model(torch.tensor(X, dtype=torch.float64))
        assert_equivalent(twin.predict(network, X), outputs, **against(twin, "torch"))
        states[-1]["0.bias"][0] += 1.0
        assert network == network_of(twin, unchanged), "changing the dictionary changed the network: copy the biases"
    assert_equivalent(*states)
    assert list(states[0]) == list(states[1])


# ---- shapes and sizes


def as_text(shapes):
    """A difference then reads '(1, 3)' against '(3,)', and does not speak of the shape of a shape."""
    return {name: str(shape) for name, shape in shapes.items()}


@given(size_lists, some.sizes(1, 4))
@examples(10)
def test_shapes_and_counts(build_it, use_it, sizes, n_samples):
    built, used = (
        {
            "shapes": as_text(twin.shapes(sizes, n_samples)),
            "parameters": twin.count_parameters(sizes),
            "multiply-adds": twin.count_multiply_adds(sizes, n_samples),
            "memory": [twin.memory(sizes, n_samples, dtype) for dtype in ("float16", "float32", "float64")],
        }
        for twin in (build_it, use_it)
    )
    assert_equivalent(built, used)
    assert list(built["shapes"]) == list(used["shapes"])


@given(cases())
@examples(15)
def test_shapes_are_those_of_a_real_pass(build_it, use_it, case):
    """What `shapes` foretells is what a forward pass makes."""
    layers, X = case
    for twin in (build_it, use_it):
        trace = twin.forward(network_of(twin, layers), X)
        made = {"X": np.shape(X)}
        for i, (weights, biases, _) in enumerate(layers):
            arrays = {"W": weights, "b": biases, "Z": trace.pre_activations[i], "H": trace.activations[i + 1]}
            made |= {f"{name}{i + 1}": np.shape(value) for name, value in arrays.items()}
        sizes = [len(X[0]), *(len(biases) for _, biases, _ in layers)]
        assert_equivalent(as_text(twin.shapes(sizes, len(X))), as_text(made), **against(twin, "a forward pass"))


def test_counts_that_were_published(build_it, use_it):
    """LeNet-300-100 on MNIST: "267K" parameters (Han et al. 2015, table 1); and two small nets counted by hand."""
    for twin in (build_it, use_it):
        assert round(twin.count_parameters([784, 300, 100, 10]) / 1000) == 267
        assert twin.count_parameters([2, 3, 1]) == 6 + 3 + 3 + 1
        assert twin.count_parameters([1, 1]) == 2
        assert twin.count_multiply_adds([2, 3, 1], 5) == 5 * (6 + 3)
        assert twin.memory([2, 3, 1], 5, "float32") == {"parameters": 4 * 13, "activations": 4 * 5 * (2 + 3 + 1)}


def test_memory_is_what_torch_keeps(build_it, use_it):
    """Every tensor that autograd saves for the backward pass, each storage once, and the outputs themselves."""
    sizes, n_samples = [7, 5, 4, 3, 2], 6
    functions = [torch.nn.ReLU(), torch.nn.Tanh(), torch.nn.Sigmoid(), torch.nn.Identity()]
    model = torch.nn.Sequential()
    for pair, f in zip(pairwise(sizes), functions, strict=True):
        model.extend([torch.nn.Linear(*pair), f])
    kept = {}

    def keep(tensor):
        kept[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = model(torch.zeros(n_samples, sizes[0]))
    own = {parameter.data_ptr() for parameter in model.parameters()}
    n_bytes = sum(tensor.nbytes for place, tensor in kept.items() if place not in own) + outputs.nbytes
    for twin in (build_it, use_it):
        found = {"bytes of activations (X is kept too)": twin.memory(sizes, n_samples, "float32")["activations"]}
        assert_equivalent(found, dict.fromkeys(found, n_bytes), **against(twin, "autograd"))


# ---- approximation


@given(points(), st.lists(some.floats(0, 1), min_size=4, max_size=4))
@examples(25)
def test_hinges_draw_the_broken_line(build_it, use_it, given_points, shares):
    """numpy.interp is the third witness; outside, the line stays level to the left and goes straight on to the right."""
    xs, ys = given_points
    between = [*xs, *(xs[0] + share * (xs[-1] - xs[0]) for share in shares)]
    slope = (ys[-1] - ys[-2]) / (xs[-1] - xs[-2])
    networks = []
    for twin in (build_it, use_it):
        networks.append(twin.hinges(xs, ys))
        assert len(networks[-1][0].biases) == len(xs) - 1
        # changes of slope of up to 80 are multiplied by up to 20 and cancel
        close = {"rtol": 1e-9, "atol": 1e-10}
        assert_equivalent(
            values_of(twin, networks[-1], between), np.interp(between, xs, ys), **close, **against(twin, "numpy.interp")
        )
        outside = [ys[0], ys[-1] + 2 * slope]
        assert_equivalent(
            values_of(twin, networks[-1], [xs[0] - 3, xs[-1] + 2]), outside, **close, **against(twin, "by hand")
        )
    assert_equivalent(*networks)


@given(points(min_size=1), some.vectors(7), st.sampled_from([40.0, 160.0]))
@examples(25)
def test_staircase_is_level_between_its_edges(build_it, use_it, places, levels, steepness):
    """Halfway between edges, and a quarter beyond the outer ones, it misses its level by no more than was said."""
    edges = places[0]
    levels = levels[: len(edges) + 1]
    middles = [edges[0] - 0.25, *((a + b) / 2 for a, b in pairwise(edges)), edges[-1] + 0.25]
    distance = min(abs(x - edge) for x in middles for edge in edges)
    allowed = math.exp(-steepness * distance) * sum(abs(b - a) for a, b in pairwise(levels))
    networks = []
    for twin in (build_it, use_it):
        networks.append(twin.staircase(edges, levels, steepness))
        found = values_of(twin, networks[-1], middles)
        for x, value, level in zip(middles, found, levels, strict=True):
            off = f"at {x} it is {value}, not {level}; with the edges {edges} it may miss by {allowed}"
            assert abs(value - level) <= allowed + 1e-12, off
    assert_equivalent(*networks)
    assert_equivalent(
        *(values_of(twin, network, middles) for twin, network in zip((build_it, use_it), networks, strict=True))
    )


def test_staircase_that_is_not_steep(build_it, use_it):
    """σ(0.5 x) at x = 2 log 3 is 3/4: the first level 1, plus 3/4 of the way to 5."""
    for twin in (build_it, use_it):
        [value] = values_of(twin, twin.staircase([0.0], [1.0, 5.0], 0.5), [2 * math.log(3)])
        assert_equivalent(value, 4.0, **against(twin, "closed form"))


def test_staircase_becomes_a_table_as_it_gets_steeper(build_it, use_it):
    """With steps in the place of steep sigmoids it is a search in a table; at an edge a sigmoid is halfway up."""
    edges, levels = [-1.0, 0.5, 2.0], [3.0, -1.0, 4.0, 0.5]
    places = [-2.0, -1.0, -0.99, 0.0, 0.5, 0.51, 1.0, 2.0, 2.01, 9.0]
    for twin in (build_it, use_it):
        hidden, output = twin.staircase(edges, levels, 1e5)
        exact = [twin.Layer(hidden.weights, hidden.biases, "step"), output]
        table = [levels[bisect_left(edges, x)] for x in places]
        assert_equivalent(values_of(twin, exact, places), table, **against(twin, "a table"))
        at_edges = [(a + b) / 2 for a, b in pairwise(levels)]
        assert_equivalent(values_of(twin, [hidden, output], edges), at_edges, **against(twin, "halfway"))


def largest_error(twin, network, f, high):
    """Of a network for f on [0, high], looked for at 400 places."""
    xs = [high * (i + 0.5) / 400 for i in range(400)]
    return max(abs(value - f(x)) for value, x in zip(values_of(twin, network, xs), xs, strict=True))


def test_error_falls_as_derived_when_hidden_units_double(build_it, use_it):
    """Hinges δ apart miss x² by exactly δ²/4 in the middle, sin by at most δ²/8; a staircase sin by at most δ/2."""
    for twin in (build_it, use_it):
        for n in (1, 2, 4, 8):
            knots = [i / n for i in range(n + 1)]
            middle = [(i + 0.5) / n for i in range(n)]
            parabola = twin.hinges(knots, [x * x for x in knots])
            errors = [y - x * x for x, y in zip(middle, values_of(twin, parabola, middle), strict=True)]
            assert_equivalent(errors, [1 / (4 * n * n)] * n, **against(twin, "closed form"))
        high, halves, quarters = 2 * math.pi, [], []
        for n in (8, 16, 32):
            width = high / n
            knots = [i * width for i in range(n + 1)]
            line = twin.hinges(knots, [math.sin(x) for x in knots])
            stairs = twin.staircase(knots[1:-1], [math.sin((i + 0.5) * width) for i in range(n)], 1e5)
            quarters.append(largest_error(twin, line, math.sin, high))
            halves.append(largest_error(twin, stairs, math.sin, high))
            assert 0.9 * width**2 / 8 < quarters[-1] <= width**2 / 8
            assert 0.9 * width / 2 < halves[-1] <= width / 2
        assert all(3.7 < a / b < 4.1 for a, b in pairwise(quarters))
        assert all(1.8 < a / b < 2.2 for a, b in pairwise(halves))


# ---- what is refused


GOOD = ([[1.0, 2.0]], [0.5, 0.5], "tanh")  # a layer with one input and two units
REFUSED = (
    {
        "activate, activation unknown": lambda twin: twin.activate([[1.0]], "ReLU"),
        "activate, empty": lambda twin: twin.activate([], "relu"),
        "activate, empty rows": lambda twin: twin.activate([[], []], "relu"),
        "activate, a vector": lambda twin: twin.activate([1.0], "relu"),
        "activate, ragged": lambda twin: twin.activate([[1.0], [1.0, 2.0]], "relu"),
        "neuron, weights missing": lambda twin: twin.neuron([1.0, 2.0], [1.0], 0.0, "relu"),
        "neuron, weights too many": lambda twin: twin.neuron([1.0], [1.0, 2.0], 0.0, "relu"),
        "neuron, no inputs": lambda twin: twin.neuron([], [], 0.0, "relu"),
        "neuron, NaN": lambda twin: twin.neuron([math.nan], [1.0], 0.0, "relu"),
        "neuron, activation unknown": lambda twin: twin.neuron([1.0], [1.0], 0.0, "gelu"),
        "layer_forward, inputs too many": lambda twin: twin.layer_forward(twin.Layer(*GOOD), [1.0, 2.0]),
        "layer_forward, no inputs": lambda twin: twin.layer_forward(twin.Layer(*GOOD), []),
        "layer_forward, infinite": lambda twin: twin.layer_forward(twin.Layer(*GOOD), [math.inf]),
        "layer_forward, biases missing": lambda twin: twin.layer_forward(
            twin.Layer([[1.0, 2.0]], [0.5], "tanh"), [1.0]
        ),
        "layer_forward, activation unknown": lambda twin: twin.layer_forward(twin.Layer([[1.0]], [0.5], "elu"), [1.0]),
        "linear, columns too many": lambda twin: twin.linear([[1.0, 2.0]], [[1.0, 2.0]], [0.0, 0.0]),
        "linear, transposed weights": lambda twin: twin.linear([[1.0, 2.0]], [[1.0, 2.0]] * 3, [0.0] * 3),
        "linear, no samples": lambda twin: twin.linear([], [[1.0]], [0.0]),
        "linear, weights ragged": lambda twin: twin.linear([[1.0, 2.0]], [[1.0], [1.0, 2.0]], [0.0]),
        "linear, weights empty": lambda twin: twin.linear([[1.0]], [], []),
        "linear, biases missing": lambda twin: twin.linear([[1.0]], [[1.0, 2.0]], [0.0]),
        "linear, one bias for a row": lambda twin: twin.linear([[1.0], [2.0], [3.0]], [[1.0, 2.0]], [0.0, 0.0, 0.0]),
        "forward, no layer": lambda twin: twin.forward([], [[1.0]]),
        "forward, too many features": lambda twin: twin.forward([twin.Layer(*GOOD)], [[1.0, 2.0]]),
        "forward, no samples": lambda twin: twin.forward([twin.Layer(*GOOD)], []),
        "forward, a vector": lambda twin: twin.forward([twin.Layer(*GOOD)], [1.0]),
        "forward, ragged": lambda twin: twin.forward([twin.Layer(*GOOD)], [[1.0], []]),
        "forward, NaN": lambda twin: twin.forward([twin.Layer(*GOOD)], [[1.0], [math.nan]]),
        "forward, infinite": lambda twin: twin.forward([twin.Layer(*GOOD)], [[1.0], [-math.inf]]),
        "forward, layers do not fit": lambda twin: twin.forward([twin.Layer(*GOOD), twin.Layer(*GOOD)], [[1.0]]),
        "forward, biases missing": lambda twin: twin.forward([twin.Layer([[1.0, 2.0]], [0.5], "tanh")], [[1.0]]),
        "forward, weights ragged": lambda twin: twin.forward(
            [twin.Layer([[1.0, 2.0], [1.0]], [0.5, 0.5], "tanh")], [[1.0, 1.0]]
        ),
        "forward, activation unknown": lambda twin: twin.forward([twin.Layer([[1.0]], [0.5], "gelu")], [[1.0]]),
        "predict, no layer": lambda twin: twin.predict([], [[1.0]]),
        "predict, NaN": lambda twin: twin.predict([twin.Layer(*GOOD)], [[math.nan]]),
        "state_dict, no layer": lambda twin: twin.state_dict([]),
        "state_dict, layers do not fit": lambda twin: twin.state_dict([twin.Layer(*GOOD), twin.Layer(*GOOD)]),
        "state_dict, activation unknown": lambda twin: twin.state_dict([twin.Layer([[1.0]], [0.5], "gelu")]),
        "state_dict, weights ragged": lambda twin: twin.state_dict(
            [twin.Layer([[1.0, 2.0], [1.0]], [0.5, 0.5], "tanh")]
        ),
        "staircase, no edge": lambda twin: twin.staircase([], [1.0], 10.0),
        "staircase, edges equal": lambda twin: twin.staircase([1.0, 1.0], [1.0, 2.0, 3.0], 10.0),
        "staircase, edges fall": lambda twin: twin.staircase([1.0, 0.0], [1.0, 2.0, 3.0], 10.0),
        "staircase, edge infinite": lambda twin: twin.staircase([1.0, math.inf], [1.0, 2.0, 3.0], 10.0),
        "staircase, as many levels as edges": lambda twin: twin.staircase([1.0, 2.0], [1.0, 2.0], 10.0),
        "staircase, levels too many": lambda twin: twin.staircase([1.0], [1.0, 2.0, 3.0], 10.0),
        "staircase, level NaN": lambda twin: twin.staircase([1.0], [1.0, math.nan], 10.0),
        "staircase, steepness 0": lambda twin: twin.staircase([1.0], [1.0, 2.0], 0.0),
        "staircase, steepness NaN": lambda twin: twin.staircase([1.0], [1.0, 2.0], math.nan),
        "staircase, steepness infinite": lambda twin: twin.staircase([1.0], [1.0, 2.0], math.inf),
        "hinges, no point": lambda twin: twin.hinges([], []),
        "hinges, one point": lambda twin: twin.hinges([1.0], [1.0]),
        "hinges, xs equal": lambda twin: twin.hinges([1.0, 1.0], [1.0, 2.0]),
        "hinges, xs fall": lambda twin: twin.hinges([2.0, 1.0], [1.0, 2.0]),
        "hinges, xs NaN": lambda twin: twin.hinges([math.nan, 1.0], [1.0, 2.0]),
        "hinges, ys missing": lambda twin: twin.hinges([1.0, 2.0], [1.0]),
        "hinges, ys too many": lambda twin: twin.hinges([1.0, 2.0], [1.0, 2.0, 3.0]),
        "hinges, ys infinite": lambda twin: twin.hinges([1.0, 2.0], [1.0, math.inf]),
    }
    | {
        f"{name}, {what}": lambda twin, name=name, sizes=sizes, n=n: counted(twin, name, sizes, n)
        for name, (what, sizes, n) in product(
            ("shapes", "count_parameters", "count_multiply_adds", "memory"),
            (
                ("one size", [2], 1),
                ("no units", [2, 0], 1),
                ("half a unit", [2.5, 1], 1),
                ("no samples", [2, 1], 0),
                ("half a sample", [2, 1], 1.5),
            ),
        )
        if name != "count_parameters" or n == 1
    }
    | {
        "memory, dtype unknown": lambda twin: twin.memory([2, 1], 1, "int8"),
    }
)


def counted(twin, name, sizes, n_samples):
    """Call one of the four functions that take sizes."""
    arguments = {"count_parameters": [sizes], "memory": [sizes, n_samples, "float32"]}
    return getattr(twin, name)(*arguments.get(name, [sizes, n_samples]))


@pytest.mark.parametrize("what", REFUSED)
def test_refused(build_it, use_it, what):
    assert_same_error(REFUSED[what], build_it, use_it)
    with pytest.raises(ValueError) as refused:
        REFUSED[what](build_it)
    assert "zip()" not in str(refused.value), "say what was expected and what came: zip() speaks of its own arguments"


# ---- what ships


@pytest.fixture
def tool(use_it, tmp_path):
    """The tool that ships, made anew."""
    ship_it = importlib.import_module(use_it.__name__.replace("use_it", "ship_it"))
    file = tmp_path / "network_size.py"
    file.write_text(one_file(ship_it.HERE / "build_it.py", ship_it.HERE / "tool.py"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("shipped_network_size", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tool_says_what_torch_counts(build_it, tool, capsys):
    """Parameters, FLOPs of a training step, and the bytes that Adam holds, for a network of ReLU layers."""
    sizes, n_samples = [9, 5, 7, 3], 4
    model = torch.nn.Sequential()
    for pair in pairwise(sizes):
        model.extend([torch.nn.Linear(*pair), torch.nn.ReLU()])
    with FlopCounterMode(display=False) as counter:  # counts operations: the values that flow back do not matter
        model(torch.ones(n_samples, sizes[0])).sum().backward()
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.step()
    averages = [t for state in optimizer.state.values() for t in state.values() if t.ndim]

    assert tool.main(["9-5-7-3", "--batch", "4", "--json"]) == 0
    [size] = json.loads(capsys.readouterr().out)
    needed = size["bytes"]["float32"]
    own = sum(parameter.nbytes for parameter in model.parameters())
    gradients = sum(parameter.grad.nbytes for parameter in model.parameters())
    assert_equivalent(
        {
            "parameters": size["parameters"],
            "training": 2 * size["multiply_adds"]["training"],
            "SGD": needed["training, SGD"] - needed["activations"],
            "Adam": needed["training, Adam"] - needed["activations"],
        },
        {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "training": counter.get_total_flops(),
            "SGD": own + gradients,
            "Adam": own + gradients + sum(t.nbytes for t in averages),
        },
        names=("the tool", "torch"),
    )
    assert (
        size["parameters"] == build_it.count_parameters(sizes) == sum(layer["parameters"] for layer in size["layers"])
    )


def test_the_tool_in_text_and_its_errors(build_it, tool, capsys):
    assert tool.main(["784-128-64-10", "9-1"]) == 0
    said = capsys.readouterr().out
    assert f"{build_it.count_parameters([784, 128, 64, 10]):,}" in said and "9-1, batch 32" in said
    assert "32 × 784" in said and "427.3 KiB" in said and "7,270,400" in said
    assert [tool.units(n) for n in (1, 1023, 1024, 3 * 2**40)] == ["1 B", "1023 B", "1.0 KiB", "3.0 TiB"]
    for wrong in (["784"], ["784-"], ["-784-10"], ["784x10"], ["784-0"], ["784-10", "--batch", "0"]):
        try:
            assert tool.main(wrong) == 2
        except SystemExit as stopped:  # argparse takes -784-10 for an option
            assert stopped.code == 2
        assert "network-size: " in capsys.readouterr().err


def test_the_tournament_finds_the_nearest_mean(build_it, use_it):
    """A network of two layers against the distances themselves."""
    ship_it = importlib.import_module(use_it.__name__.replace("use_it", "ship_it"))
    rng = Random(0)
    means = [[rng.gauss(0, 1) for _ in range(3)] for _ in range(4)]
    X = [[rng.gauss(0, 1) for _ in range(3)] for _ in range(30)]
    farther = [[sum(math.dist(x, mean) < math.dist(x, other) for other in means) for mean in means] for x in X]
    for twin in (build_it, use_it):
        outputs = twin.predict(ship_it.tournament(twin, means), X)
        assert_equivalent(outputs, [[float(n) for n in row] for row in farther], **against(twin, "distances"))
