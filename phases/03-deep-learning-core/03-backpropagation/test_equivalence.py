"""The proof: every activation, every gradient and every step of training, against torch.autograd."""

import importlib.util
import math
from itertools import pairwise
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from safetensors.torch import load_file

from shared.proof import assert_equivalent, assert_same_error, examples, numerical_gradient
from shared.proof import strategies as some

ACTIVATIONS = ["identity", "sigmoid", "tanh", "relu"]
XOR_X = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
XOR_Y, XOR_LABELS = [[0.0], [1.0], [1.0], [0.0]], [0, 1, 1, 0]
eighths = st.integers(-16, 16).map(lambda k: k / 8)


@st.composite
def cases(draw, activations=tuple(ACTIVATIONS)):
    """[(weights, biases, activation), …], X, and a random gradient of the outputs."""
    sizes = draw(st.lists(some.sizes(1, 4), min_size=2, max_size=4))
    layers = [
        (
            draw(some.matrices(n_in, n_out, eighths)),
            draw(some.vectors(n_out, eighths)),
            draw(st.sampled_from(activations)),
        )
        for n_in, n_out in pairwise(sizes)
    ]
    n_samples = draw(some.sizes(1, 4))
    X = draw(some.matrices(n_samples, sizes[0], eighths))
    rng = Random(draw(some.seeds()))
    return layers, X, [[rng.uniform(-3, 3) for _ in range(sizes[-1])] for _ in range(n_samples)]


def network_of(twin, layers):
    return [twin.Layer(*layer) for layer in layers]


def trace_away_from_kinks(twin, layers, X):
    """The trace; drops the case where a ReLU's z is so near 0 that rounding alone decides on its side."""
    trace = twin.forward(network_of(twin, layers), X)
    for (_, _, activation), Z in zip(layers, trace.pre_activations, strict=True):
        assume(activation != "relu" or all(abs(z) > 1e-4 for row in Z for z in row))
    return trace


def random_layers(sizes, activations, seed=0):
    """As `cases` draws them, with weights and biases from (-1, 1): one start for both twins."""
    rng = Random(seed)
    return [
        (
            [[rng.uniform(-1, 1) for _ in range(n_out)] for _ in range(n_in)],
            [rng.uniform(-1, 1) for _ in range(n_out)],
            activation,
        )
        for (n_in, n_out), activation in zip(pairwise(sizes), activations, strict=True)
    ]


def against(twin, witness):
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


# ---- values


@given(some.matrices(2, 3, some.floats(-1000, 1000)), st.sampled_from(ACTIVATIONS))
@examples(30)
def test_activate_and_derivative(build_it, use_it, Z, activation):
    assert_equivalent(
        {"activate": build_it.activate(Z, activation), "derivative": build_it.derivative(Z, activation)},
        {"activate": use_it.activate(Z, activation), "derivative": use_it.derivative(Z, activation)},
    )


KNOWN = [  # f, z, f(z), f'(z)
    ("identity", -3.0, -3.0, 1.0),
    ("sigmoid", 0.0, 0.5, 0.25),
    ("sigmoid", math.log(3), 0.75, 0.1875),
    ("sigmoid", -math.log(3), 0.25, 0.1875),
    ("tanh", math.log(2), 0.6, 0.64),
    ("tanh", -math.log(2), -0.6, 0.64),
    ("relu", 2.5, 2.5, 1.0),
    ("relu", 1e-300, 1e-300, 1.0),
    ("relu", 0.0, 0.0, 0.0),
    ("relu", -2.5, 0.0, 0.0),
    ("sigmoid", -1000.0, 0.0, 0.0),
    ("sigmoid", 1000.0, 1.0, 0.0),
    ("tanh", 1000.0, 1.0, 0.0),
]


def test_activate_and_derivative_at_known_points(build_it, use_it):
    known = {f"{f} at {z}": (value, slope) for f, z, value, slope in KNOWN}
    known |= {f"{f} of NaN is NaN": True for f in ACTIVATIONS}
    for twin in (build_it, use_it):
        found = {
            f"{f} at {z}": (twin.activate([[z]], f)[0][0], twin.derivative([[z]], f)[0][0]) for f, z, _, _ in KNOWN
        }
        found |= {f"{f} of NaN is NaN": math.isnan(twin.activate([[math.nan]], f)[0][0]) for f in ACTIVATIONS}
        assert_equivalent(found, known, **against(twin, "known"))


@given(cases())
@examples(25)
def test_forward_and_predict(build_it, use_it, case):
    layers, X, _ = case
    built = build_it.forward(network_of(build_it, layers), X)
    used = use_it.forward(network_of(use_it, layers), X)
    assert_equivalent(built, used)
    assert len(built.pre_activations) == len(layers) and len(built.activations) == len(layers) + 1
    assert_equivalent(*(twin.predict(network_of(twin, layers), X) for twin in (build_it, use_it)))


def test_forward_saturates_and_does_not_overflow(build_it, use_it):
    layers = [([[1.0, -1.0]], [0.0, 0.0], "sigmoid"), ([[1.0], [2.0]], [0.0], "relu")]
    for twin in (build_it, use_it):
        trace = twin.forward(network_of(twin, layers), [[1000.0], [-1000.0]])
        by_hand = {"Z1": [[1000.0, -1000.0], [-1000.0, 1000.0]], "outputs": [[1.0], [2.0]]}
        found = {"Z1": trace.pre_activations[0], "outputs": trace.activations[2]}
        assert_equivalent(found, by_hand, **against(twin, "by hand"))


@given(st.data())
@examples(25)
def test_squared_error(build_it, use_it, data):
    n, n_outputs = data.draw(some.sizes()), data.draw(some.sizes(1, 3))
    outputs, targets = (data.draw(some.matrices(n, n_outputs)) for _ in range(2))
    loss, gradient = build_it.squared_error(outputs, targets)
    assert_equivalent((loss, gradient), use_it.squared_error(outputs, targets))
    assert_equivalent(
        gradient,
        numerical_gradient(lambda moved: build_it.squared_error(moved, targets)[0], outputs, step=1e-5),
        rtol=1e-5,  # the truncation and rounding of finite differences
        atol=1e-6,
        names=("build_it", "finite differences"),
    )


@given(st.data())
@examples(20)
def test_cross_entropy(build_it, use_it, data):
    n, n_classes = data.draw(some.sizes()), data.draw(some.sizes(1, 4))
    logits = data.draw(some.matrices(n, n_classes, some.floats(-5, 5) | st.sampled_from([-1000.0, 1000.0])))
    labels = data.draw(some.labels(n, n_classes))
    loss, gradient = build_it.cross_entropy(logits, labels)
    assert_equivalent((loss, gradient), use_it.cross_entropy(logits, labels))
    assert_equivalent([sum(row) for row in gradient], [0.0] * n, names=("the sums of build_it's rows", "zero"))


def test_cross_entropy_closed_forms(build_it, use_it):
    flat = [[0.125, -0.375, 0.125, 0.125], [0.125, 0.125, 0.125, -0.375]]
    closed = {
        # n equal logits say 1/n each, wherever they lie
        "all 0": ([[0.0] * 4] * 2, [1, 3], math.log(4), flat),
        "all 1000": ([[1000.0] * 4] * 2, [1, 3], math.log(4), flat),
        "all -1000": ([[-1000.0] * 4] * 2, [1, 3], math.log(4), flat),
        "surely right": ([[1000.0, -1000.0]], [0], 0.0, [[0.0, 0.0]]),
        "surely wrong": ([[1000.0, -1000.0]], [1], 2000.0, [[1.0, -1.0]]),
        "p = (1/4, 3/4), class 0": ([[0.0, math.log(3)]], [0], math.log(4), [[-0.75, 0.75]]),
        "p = (3/4, 1/4), class 0": ([[math.log(3), 0.0]], [0], math.log(4 / 3), [[-0.25, 0.25]]),
        "labels True and False": (
            [[math.log(3), 0.0]] * 2,
            [True, False],
            math.log(16 / 3) / 2,
            [[0.375, -0.375], [-0.125, 0.125]],
        ),
    }
    for twin in (build_it, use_it):
        found = {name: twin.cross_entropy(logits, labels) for name, (logits, labels, _, _) in closed.items()}
        assert_equivalent(
            found, {name: expected for name, (_, _, *expected) in closed.items()}, **against(twin, "closed form")
        )


@given(some.matrices(3, 3, some.floats(-5, 5)), some.labels(3, 3))
@examples(20)
def test_cross_entropy_against_finite_differences(build_it, logits, labels):
    assert_equivalent(
        build_it.cross_entropy(logits, labels)[1],
        numerical_gradient(lambda moved: build_it.cross_entropy(moved, labels)[0], logits, step=1e-5),
        rtol=1e-5,  # the truncation and rounding of finite differences
        atol=1e-8,
        names=("build_it", "finite differences"),
    )


def test_initialize_draws_in_the_stated_order(build_it, use_it):
    sizes, activations = [3, 2, 1], ["tanh", "identity"]
    rng = Random(7)
    one = [rng.uniform(-1 / math.sqrt(3), 1 / math.sqrt(3)) for _ in range(8)]
    two = [rng.uniform(-1 / math.sqrt(2), 1 / math.sqrt(2)) for _ in range(3)]
    expected = [
        {"weights": [one[0:2], one[2:4], one[4:6]], "biases": one[6:8], "activation": "tanh"},
        {"weights": [two[0:1], two[1:2]], "biases": two[2:3], "activation": "identity"},
    ]
    for twin in (build_it, use_it):
        assert_equivalent(twin.initialize(sizes, activations, Random(7)), expected, **against(twin, "the stated order"))
        assert len(twin.initialize([1, 1], ["relu"], Random(0))) == 1


# ---- gradients


@given(cases())
@examples(40)
def test_backward_every_gradient(build_it, use_it, case):
    layers, X, upstream = case
    trace = trace_away_from_kinks(use_it, layers, X)
    gradients = []
    for twin in (build_it, use_it):
        network = network_of(twin, layers)
        found = twin.backward(network, twin.forward(network, X), upstream)
        # in the order of the computation, so that a failure names the last that was right
        named = {"forward": trace}
        for i in reversed(range(len(layers))):
            named[f"pre_activations[{i}]"] = found.pre_activations[i]
            named[f"weights[{i}]"] = found.weights[i]
            named[f"biases[{i}]"] = found.biases[i]
        gradients.append(named | {"inputs": found.inputs})
        assert len(found.weights) == len(found.biases) == len(found.pre_activations) == len(layers)
    assert_equivalent(*gradients)


@given(cases())
@examples(15)
def test_backward_against_finite_differences(build_it, use_it, case):
    layers, X, upstream = case
    trace_away_from_kinks(use_it, layers, X)
    network = network_of(build_it, layers)
    trace = build_it.forward(network, X)
    gradients = build_it.backward(network, trace, upstream)

    def loss(outputs):  # its gradient with respect to the outputs is `upstream`
        return sum(g * o for rows in zip(upstream, outputs, strict=True) for g, o in zip(*rows, strict=True))

    def with_layer(i, **changed):
        fields = {"weights": network[i].weights, "biases": network[i].biases} | changed
        layer = build_it.Layer(**fields, activation=network[i].activation)
        return [*network[:i], layer, *network[i + 1 :]]

    def from_pre_activation(i, Z):
        H = build_it.activate(Z, network[i].activation)
        return build_it.predict(network[i + 1 :], H) if network[i + 1 :] else H

    witness = {"inputs": numerical_gradient(lambda moved: loss(build_it.predict(network, moved)), X)}
    found = {"inputs": gradients.inputs}
    for i, layer in enumerate(network):
        witness[f"pre_activations[{i}]"] = numerical_gradient(
            lambda Z, i=i: loss(from_pre_activation(i, Z)), trace.pre_activations[i]
        )
        witness[f"weights[{i}]"] = numerical_gradient(
            lambda W, i=i: loss(build_it.predict(with_layer(i, weights=W), X)), layer.weights
        )
        witness[f"biases[{i}]"] = numerical_gradient(
            lambda b, i=i: loss(build_it.predict(with_layer(i, biases=b), X)), layer.biases
        )
        found |= {name: getattr(gradients, name.partition("[")[0])[i] for name in witness if f"[{i}]" in name}
    # central differences with h = 1e-6 of a loss of up to about 1000: rounding leaves 1e-10 · |loss|
    assert_equivalent(
        found, {name: witness[name] for name in found}, rtol=1e-5, atol=1e-6, names=("build_it", "finite differences")
    )


def test_backward_of_one_linear_layer_is_least_squares(build_it, use_it):
    X, W, Y = [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]], [[0.5], [-1.0]], [[1.0], [0.0], [2.0]]
    # 2/3 Xᵀ(XW - Y), with XW - Y = (-2.5, -2.5, -6.5)
    expected = [[2 / 3 * -42.5], [2 / 3 * -60.5]]
    for twin in (build_it, use_it):
        network = [twin.Layer(W, [0.0], "identity")]
        trace = twin.forward(network, X)
        _, output_gradient = twin.squared_error(trace.activations[-1], Y)
        gradients = twin.backward(network, trace, output_gradient)
        found = gradients.weights[0], gradients.biases[0]
        assert_equivalent(found, (expected, [2 / 3 * -11.5]), **against(twin, "least squares"))


def test_backward_takes_zero_at_the_kink_of_relu(build_it, use_it):
    layers = [([[1.0, 1.0, 1.0]], [-1.0, 0.0, -2.0], "relu"), ([[1.0], [1.0], [1.0]], [0.0], "identity")]
    for twin in (build_it, use_it):
        network = network_of(twin, layers)
        gradients = twin.backward(network, twin.forward(network, [[1.0]]), [[1.0]])
        found = {"pre_activations[0]": gradients.pre_activations[0], "inputs": gradients.inputs}
        by_hand = {"pre_activations[0]": [[0.0, 1.0, 0.0]], "inputs": [[1.0]]}
        assert_equivalent(found, by_hand, **against(twin, "by hand"))


def test_backward_sums_over_samples(build_it, use_it):
    """The gradient of a batch is the sum of the gradients of its samples, each with its own row upstream."""
    X, upstream = [[0.5, -1.0], [2.0, 0.25], [-1.5, 1.0]], [[1.0, -2.0], [0.5, 3.0], [-1.0, 0.25]]
    for twin in (build_it, use_it):
        network = network_of(twin, random_layers([2, 3, 2], ["tanh", "sigmoid"]))
        whole = twin.backward(network, twin.forward(network, X), upstream)
        parts = [twin.backward(network, twin.forward(network, [x]), [u]) for x, u in zip(X, upstream, strict=True)]
        found, expected = {"inputs": whole.inputs}, {"inputs": [part.inputs[0] for part in parts]}
        for i in range(2):
            found[f"pre_activations[{i}]"] = whole.pre_activations[i]
            expected[f"pre_activations[{i}]"] = [part.pre_activations[i][0] for part in parts]
            found[f"biases[{i}]"] = whole.biases[i]
            expected[f"biases[{i}]"] = [sum(b) for b in zip(*(part.biases[i] for part in parts), strict=True)]
        assert_equivalent(found, expected, **against(twin, "sample by sample"))


def test_backward_of_two_samples_by_hand(build_it, use_it):
    """The output layer of the example in CONCEPT, with a second sample."""
    for twin in (build_it, use_it):
        network = [twin.Layer([[2.0], [-1.0]], [0.0], "identity")]
        trace = twin.forward(network, [[0.5, 0.5], [0.25, 0.75]])
        loss, output_gradient = twin.squared_error(trace.activations[-1], [[1.0], [0.0]])
        found = {"loss": loss, "gradients": twin.backward(network, trace, output_gradient)}
        by_hand = twin.Gradients(
            weights=[[[-0.3125], [-0.4375]]],
            biases=[[-0.75]],
            pre_activations=[[[-0.5], [-0.25]]],
            inputs=[[-1.0, 0.5], [-0.5, 0.25]],
        )
        assert_equivalent(found, {"loss": 0.15625, "gradients": by_hand}, **against(twin, "by hand"))


def test_backward_through_thirty_layers(build_it, use_it):
    layers, gradients = random_layers([2] * 31, ["tanh", "identity"] * 15), []
    for twin in (build_it, use_it):
        network = network_of(twin, layers)
        gradients.append(twin.backward(network, twin.forward(network, [[0.5, -1.0]]), [[1e6, -2e6]]))
    assert_equivalent(*gradients)


def test_published_example_of_mazur(build_it, use_it):
    """Mazur (2015), https://mattmazur.com/2015/03/17/a-step-by-step-backpropagation-example/

    His loss ½ Σ (target - output)² over two outputs is our mean over two outputs. He leaves the biases as they are.
    """
    for twin in (build_it, use_it):
        network = [
            twin.Layer([[0.15, 0.25], [0.20, 0.30]], [0.35, 0.35], "sigmoid"),
            twin.Layer([[0.40, 0.50], [0.45, 0.55]], [0.60, 0.60], "sigmoid"),
        ]
        trace = twin.forward(network, [[0.05, 0.10]])
        published = {
            "rtol": 0.0,
            "atol": 5e-9,
            **against(twin, "Mazur"),
        }  # half a unit of the eighth decimal: some are printed no further
        assert_equivalent(trace.activations[1], [[0.593269992, 0.596884378]], **published)
        assert_equivalent(trace.activations[2], [[0.75136507, 0.772928465]], **published)
        loss, output_gradient = twin.squared_error(trace.activations[2], [[0.01, 0.99]])
        assert_equivalent(loss, 0.298371109, **published)
        gradients = twin.backward(network, trace, output_gradient)
        assert_equivalent(gradients.weights[1][0][0], 0.082167041, **published)
        moved = twin.step(network, gradients, 0.5)
        assert_equivalent(moved[1].weights, [[0.35891648, 0.51130127], [0.408666186, 0.561370121]], **published)
        assert_equivalent(moved[0].weights, [[0.149780716, 0.24975114], [0.19956143, 0.29950229]], **published)


def test_the_example_by_hand(build_it, use_it):
    for twin in (build_it, use_it):
        network = [
            twin.Layer([[1.0, -2.0], [-1.0, 0.5]], [1.0, 1.0], "sigmoid"),
            twin.Layer([[2.0], [-1.0]], [0.0], "identity"),
        ]
        trace = twin.forward(network, [[1.0, 2.0]])
        expected = twin.Trace([[[0.0, 0.0]], [[0.5]]], [[[1.0, 2.0]], [[0.5, 0.5]], [[0.5]]])
        assert_equivalent(trace, expected, **against(twin, "by hand"))
        loss, output_gradient = twin.squared_error([[0.5]], [[1.0]])
        assert_equivalent((loss, output_gradient), (0.25, [[-1.0]]), **against(twin, "by hand"))
        gradients = twin.backward(network, trace, output_gradient)
        by_hand = twin.Gradients(
            weights=[[[-0.5, 0.25], [-1.0, 0.5]], [[-0.5], [-0.5]]],
            biases=[[-0.5, 0.25], [-1.0]],
            pre_activations=[[[-0.5, 0.25]], [[-1.0]]],
            inputs=[[-1.0, 0.625]],
        )
        assert_equivalent(gradients, by_hand, **against(twin, "by hand"))


# ---- trajectory


@given(cases(), st.floats(0, 2))
@examples(20)
def test_step(build_it, use_it, case, learning_rate):
    layers, X, upstream = case
    gradients = use_it.backward(network_of(use_it, layers), use_it.forward(network_of(use_it, layers), X), upstream)
    moved = []
    for twin in (build_it, use_it):
        network = network_of(twin, layers)
        moved.append(twin.step(network, gradients, learning_rate))
        assert network == network_of(twin, layers), f"{twin.__name__}.step changed the network it was given"
    assert_equivalent(*moved)


RUNS = {
    "tanh, squared error": ([2, 3, 1], ["tanh", "sigmoid"], XOR_X, XOR_Y, "squared_error", 2.0),
    "relu, squared error": ([2, 4, 2, 1], ["relu", "tanh", "identity"], XOR_X, XOR_Y, "squared_error", 0.2),
    "cross-entropy": ([2, 4, 3, 2], ["sigmoid", "tanh", "identity"], XOR_X, XOR_LABELS, "cross_entropy", 0.5),
}


@pytest.mark.parametrize("run", RUNS)
def test_train_step_by_step(build_it, use_it, run):
    """100 steps: every parameter and the loss after every one of them; and train() after 0, 1 and 100."""
    sizes, activations, X, targets, loss, learning_rate = RUNS[run]
    layers, trajectories = random_layers(sizes, activations), []
    for twin in (build_it, use_it):
        network, losses = network_of(twin, layers), []
        networks = [network]
        for _ in range(100):
            trace = twin.forward(network, X)
            value, output_gradient = getattr(twin, loss)(trace.activations[-1], targets)
            network = twin.step(network, twin.backward(network, trace, output_gradient), learning_rate)
            losses.append(value)
            networks.append(network)
        for n_steps in (0, 1, 100):
            trained = twin.train(networks[0], X, targets, loss, learning_rate=learning_rate, n_steps=n_steps)
            assert_equivalent(trained, (networks[n_steps], losses[:n_steps]), **against(twin, "step by step"))
        assert networks[0] == network_of(twin, layers), f"{twin.__name__}.train changed the network it was given"
        trajectories.append({"losses": losses, "networks": networks})
    assert_equivalent(*trajectories)
    assert trajectories[0]["losses"][-1] < trajectories[0]["losses"][0]


def test_train_learns_xor(build_it, use_it):
    for twin in (build_it, use_it):
        network = twin.initialize([2, 4, 1], ["tanh", "sigmoid"], Random(0))
        network, losses = twin.train(network, XOR_X, XOR_Y, "squared_error", learning_rate=4.0, n_steps=300)
        assert losses[-1] < 0.001
        assert [round(output) for [output] in twin.predict(network, XOR_X)] == [0, 1, 1, 0]


def test_train_of_a_linear_network_follows_the_closed_form(build_it, use_it):
    """One weight, x = 1, target 0, no help from the bias: w + b shrinks by 1 - 4η a step."""
    for twin in (build_it, use_it):
        _, losses = twin.train(
            [twin.Layer([[3.0]], [1.0], "identity")], [[1.0]], [[0.0]], "squared_error", learning_rate=0.125, n_steps=9
        )
        assert_equivalent(losses, [16 * 0.25**k for k in range(9)], **against(twin, "closed form"))


def test_train_that_diverges_says_so_in_its_losses(build_it, use_it):
    runs = []
    for twin in (build_it, use_it):
        _, losses = twin.train(
            [twin.Layer([[1.0]], [1.0], "identity")], [[1.0]], [[0.0]], "squared_error", learning_rate=1e30, n_steps=9
        )
        runs.append(losses)
        assert not math.isfinite(losses[-1])
    assert_equivalent(*runs)


# ---- what is refused


GOOD = ([[1.0, 2.0]], [0.5, 0.5], "tanh")  # a layer with one input and two units
REFUSED = {
    "initialize, one size": lambda twin: twin.initialize([2], [], Random(0)),
    "initialize, no units": lambda twin: twin.initialize([2, 0], ["tanh"], Random(0)),
    "initialize, activations missing": lambda twin: twin.initialize([2, 2, 1], ["tanh"], Random(0)),
    "initialize, activations too many": lambda twin: twin.initialize([2, 1], ["tanh", "tanh"], Random(0)),
    "initialize, activation unknown": lambda twin: twin.initialize([2, 1], ["softplus"], Random(0)),
    "activate, activation unknown": lambda twin: twin.activate([[1.0]], "ReLU"),
    "activate, empty": lambda twin: twin.activate([], "relu"),
    "activate, empty rows": lambda twin: twin.activate([[], []], "relu"),
    "activate, a vector": lambda twin: twin.activate([1.0], "relu"),
    "activate, ragged": lambda twin: twin.activate([[1.0], [1.0, 2.0]], "relu"),
    "derivative, activation unknown": lambda twin: twin.derivative([[1.0]], "ReLU"),
    "derivative, a vector": lambda twin: twin.derivative([1.0], "relu"),
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
    "squared_error, samples": lambda twin: twin.squared_error([[1.0], [2.0]], [[1.0]]),
    "squared_error, outputs": lambda twin: twin.squared_error([[1.0], [2.0]], [[1.0, 1.0], [2.0, 2.0]]),
    "squared_error, empty": lambda twin: twin.squared_error([], []),
    "squared_error, targets a vector": lambda twin: twin.squared_error([[1.0], [2.0]], [1.0, 2.0]),
    "squared_error, NaN": lambda twin: twin.squared_error([[1.0]], [[math.nan]]),
    "cross_entropy, labels missing": lambda twin: twin.cross_entropy([[1.0, 2.0], [1.0, 2.0]], [0]),
    "cross_entropy, empty": lambda twin: twin.cross_entropy([], []),
    "cross_entropy, label too large": lambda twin: twin.cross_entropy([[1.0, 2.0]], [2]),
    "cross_entropy, label -1": lambda twin: twin.cross_entropy([[1.0, 2.0]], [-1]),
    "cross_entropy, label -100, which torch would skip": lambda twin: twin.cross_entropy([[1.0], [2.0]], [0, -100]),
    "cross_entropy, label a float": lambda twin: twin.cross_entropy([[1.0, 2.0]], [1.0]),
    "backward, no layer": lambda twin: twin.backward([], twin.Trace([], [[[1.0]]]), [[1.0]]),
    "backward, trace of another network": lambda twin: twin.backward(
        [twin.Layer(*GOOD)],
        twin.forward([twin.Layer(*GOOD), twin.Layer([[1.0], [1.0]], [0.0], "tanh")], [[1.0]]),
        [[1.0, 2.0]],
    ),
    "backward, gradient too narrow": lambda twin: twin.backward(
        [twin.Layer(*GOOD)], twin.forward([twin.Layer(*GOOD)], [[1.0]]), [[1.0]]
    ),
    "backward, gradient too long": lambda twin: twin.backward(
        [twin.Layer(*GOOD)], twin.forward([twin.Layer(*GOOD)], [[1.0]]), [[1.0, 2.0], [1.0, 2.0]]
    ),
    "step, learning rate negative": lambda twin: refused_step(twin, learning_rate=-0.1),
    "step, learning rate NaN": lambda twin: refused_step(twin, learning_rate=math.nan),
    "step, learning rate infinite": lambda twin: refused_step(twin, learning_rate=math.inf),
    "step, no layer": lambda twin: twin.step([], twin.Gradients([], [], [], []), 0.1),
    "step, activation unknown": lambda twin: twin.step(
        [twin.Layer([[1.0]], [0.5], "gelu")], twin.Gradients([[[1.0]]], [[1.0]], [], []), 0.1
    ),
    "step, weights of a layer missing": lambda twin: refused_step(twin, weights=[]),
    "step, biases of a layer missing": lambda twin: refused_step(twin, biases=[]),
    "step, weights transposed": lambda twin: refused_step(twin, weights=[[[1.0], [2.0]]]),
    "step, weights too narrow": lambda twin: refused_step(twin, weights=[[[1.0]]]),
    "step, weights too long": lambda twin: refused_step(twin, weights=[[[1.0, 2.0], [1.0, 2.0]]]),
    "step, biases too short": lambda twin: refused_step(twin, biases=[[1.0]]),
    "train, loss unknown": lambda twin: refused_train(twin, loss="absolute_error"),
    "train, steps negative": lambda twin: refused_train(twin, n_steps=-1),
    "train, learning rate negative": lambda twin: refused_train(twin, learning_rate=-1.0),
    "train, targets missing": lambda twin: refused_train(twin, targets=[[1.0, 1.0]]),
    "train, NaN": lambda twin: refused_train(twin, X=[[1.0], [math.nan]]),
    "train, labels for squared error": lambda twin: refused_train(twin, targets=[0, 1]),
    "train, no steps, NaN": lambda twin: refused_train(twin, n_steps=0, X=[[1.0], [math.nan]]),
    "train, no steps, no layer": lambda twin: twin.train(
        [], [[1.0]], [[1.0]], "squared_error", learning_rate=0.1, n_steps=0
    ),
    "train, no steps, targets missing": lambda twin: refused_train(twin, n_steps=0, targets=[[1.0, 1.0]]),
    "train, no steps, label too large": lambda twin: refused_train(
        twin, n_steps=0, targets=[0, 2], loss="cross_entropy"
    ),
    "train, no steps, learning rate negative": lambda twin: refused_train(twin, n_steps=0, learning_rate=-1.0),
}


def refused_step(twin, *, weights=([[1.0, 2.0]],), biases=([1.0, 2.0],), learning_rate=0.1):
    return twin.step([twin.Layer(*GOOD)], twin.Gradients(weights, biases, [], []), learning_rate)


def refused_train(
    twin, *, X=([1.0], [2.0]), targets=([1.0, 1.0], [0.0, 0.0]), loss="squared_error", learning_rate=0.1, n_steps=1
):
    return twin.train([twin.Layer(*GOOD)], list(X), list(targets), loss, learning_rate=learning_rate, n_steps=n_steps)


@pytest.mark.parametrize("what", REFUSED)
def test_refused(build_it, use_it, what):
    assert_same_error(REFUSED[what], build_it, use_it)
    with pytest.raises(ValueError) as refused:
        REFUSED[what](build_it)
    assert "zip()" not in str(refused.value), "say what was expected and what came: zip() speaks of its own arguments"


# ---- what ships


def test_the_shipped_files_hold_the_network(build_it, use_it, tmp_path, capsys):
    """The official safetensors library and the predictor that ships both read what ship_it writes by hand."""
    ship_it = importlib.import_module(use_it.__name__.replace("use_it", "ship_it"))
    network = network_of(build_it, random_layers([2, 3, 1], ["relu", "sigmoid"]))
    ship_it.write_network(network, tmp_path)

    tensors = load_file(tmp_path / "model.safetensors")
    for i, layer in enumerate(network):
        read = tensors[f"layers.{i}.weights"], tensors[f"layers.{i}.biases"]
        assert_equivalent((layer.weights, layer.biases), read, rtol=0.0, atol=0.0, names=("build_it", "safetensors"))

    spec = importlib.util.spec_from_file_location("shipped_predict", tmp_path / "predict.py")
    predictor = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(predictor)
    assert predictor.main(["0.5", "-2"]) == 0
    assert capsys.readouterr().out == f"{build_it.predict(network, [[0.5, -2.0]])[0][0]:.6f}\n"

    whole = (tmp_path / "model.safetensors").read_bytes()
    for content in (b"", whole[:7], whole[:100], whole[:-1], whole + b"0", b"\xff" * 8 + whole[8:]):
        (tmp_path / "model.safetensors").write_bytes(content)
        with pytest.raises(SystemExit) as stopped:
            predictor.main(["0.5", "-2"])
        assert stopped.value.code == 2
        assert "model.safetensors" in capsys.readouterr().err
