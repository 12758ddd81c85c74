"""The proof: a network of any depth, its gradients, two optimizers, whole training runs, and checkpoints that resume."""

import copy
import json
import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from phases.deep_learning_core.neural_network_toolkit import ship_it
from safetensors.torch import load_file

from shared.proof import assert_equivalent, assert_same_error, examples, numerical_gradient
from shared.proof import strategies as some

eighths = st.integers(-16, 16).map(lambda k: k / 8)
mostly_zero = st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0, -1.5])
OPTIMIZERS = {
    "sgd": lambda twin: twin.SGD(0.3, 0.0),
    "momentum": lambda twin: twin.SGD(0.05, 0.9),
    "adam": lambda twin: twin.Adam(0.01, 0.8, 0.99, 1e-6),
    "adam, defaults": lambda twin: twin.Adam(),
}


def against(twin, witness):
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


def layers(sizes, rng):
    """(weights, biases) of all layers, drawn from (-1, 1): one start for both twins."""
    weights = [[[rng.uniform(-1, 1) for _ in range(n_out)] for _ in range(n_in)] for n_in, n_out in pairwise(sizes)]
    return weights, [[rng.uniform(-1, 1) for _ in range(n_out)] for n_out in sizes[1:]]


def data_of(n, n_features, n_classes, rng):
    """Rows that are half zeros, and labels."""
    X = [[rng.choice([0.0, rng.uniform(-1, 1)]) for _ in range(n_features)] for _ in range(n)]
    return X, [rng.randrange(n_classes) for _ in range(n)]


@st.composite
def cases(draw):
    """(weights, biases), X, labels, and a random gradient of the logits."""
    sizes = draw(st.lists(some.sizes(1, 4), min_size=2, max_size=4))
    weights = [draw(some.matrices(n_in, n_out, eighths)) for n_in, n_out in pairwise(sizes)]
    biases = [draw(some.vectors(n_out, eighths)) for n_out in sizes[1:]]
    n = draw(some.sizes(1, 4))
    X = draw(some.matrices(n, sizes[0], mostly_zero))
    labels = draw(some.labels(n, sizes[-1]))
    rng = Random(draw(some.seeds()))
    return (weights, biases), X, labels, [[rng.uniform(-3, 3) for _ in range(sizes[-1])] for _ in range(n)]


def away_from_kinks(twin, parameters, X):
    """Drops the case where a hidden unit's z is so near 0 that a nudge would switch it on or off."""
    for i in range(1, len(parameters.weights)):
        logits = twin.forward(twin.Parameters(parameters.weights[:i], parameters.biases[:i]), X)[-1]
        assume(all(abs(z) > 1e-4 for row in logits for z in row))


# ---- the network


@pytest.mark.parametrize("scheme", ["he", "xavier"])
@pytest.mark.parametrize("sizes", [[1, 1], [3, 2], [4, 5, 3, 2]])
def test_initialize(build_it, use_it, sizes, scheme):
    built, used = (twin.initialize(sizes, Random(1), scheme) for twin in (build_it, use_it))
    assert_equivalent(built, used)
    assert [(len(W), len(W[0]), len(b)) for W, b in zip(built.weights, built.biases, strict=True)] == [
        (n_in, n_out, n_out) for n_in, n_out in pairwise(sizes)
    ]
    assert all(b == 0 for biases in built.biases for b in biases)
    rng = Random(1)  # unit by unit, in He's or Glorot's formula
    W = built.weights[0]
    for k in range(sizes[1]):
        for j in range(sizes[0]):
            a = math.sqrt(6 / (sizes[0] + sizes[1]))
            drawn = rng.gauss(0, math.sqrt(2 / sizes[0])) if scheme == "he" else rng.uniform(-a, a)
            assert W[j][k] == pytest.approx(drawn, rel=1e-12)


def test_initialize_means_he_unless_told(build_it, use_it):
    for twin in (build_it, use_it):
        found, expected = twin.initialize([3, 2, 2], Random(5)), twin.initialize([3, 2, 2], Random(5), "he")
        assert_equivalent(found, expected, rtol=0.0, atol=0.0, **against(twin, "he"))


@given(cases())
@examples(40)
def test_forward_and_predict(build_it, use_it, case):
    start, X, _, _ = case
    built, used = (twin.forward(twin.Parameters(*start), X) for twin in (build_it, use_it))
    assert_equivalent(built, used)
    assert built[0] == X and len(built) == len(start[0]) + 1
    top = [sorted(row)[-2:] for row in built[-1]]
    assume(all(len(pair) == 1 or pair[1] - pair[0] > 1e-9 or pair[0] == pair[1] for pair in top))
    assert_equivalent(*(twin.predict(twin.Parameters(*start), X) for twin in (build_it, use_it)))


def test_forward_by_hand(build_it, use_it):
    start = [[[1.0, -1.0], [2.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]], [[0.0, 0.0], [0.5, -0.5]]
    X = [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    by_hand = [X, [[1.0, 0.0], [2.0, 1.0], [0.0, 0.0]], [[1.5, -0.5], [2.5, 0.5], [0.5, -0.5]]]
    for twin in (build_it, use_it):
        assert_equivalent(twin.forward(twin.Parameters(*start), X), by_hand, **against(twin, "by hand"))


def test_predict_takes_the_first_of_equal_logits(build_it, use_it):
    start = [[[1.0, 2.0, 2.0, 0.0]]], [[0.0, 0.0, 0.0, 0.0]]
    for twin in (build_it, use_it):
        found = twin.predict(twin.Parameters(*start), [[1.0], [0.0], [-1.0]])
        assert_equivalent(found, [1, 0, 3], **against(twin, "by hand"))


# ---- gradients


@given(cases())
@examples(30)
def test_backward(build_it, use_it, case):
    start, X, _, upstream = case
    parameters = build_it.Parameters(*start)
    away_from_kinks(build_it, parameters, X)
    built = build_it.backward(parameters, build_it.forward(parameters, X), upstream)
    other = use_it.Parameters(*start)
    assert_equivalent(built, use_it.backward(other, use_it.forward(other, X), upstream))

    def weighted(moved):
        logits = build_it.forward(build_it.Parameters(*moved), X)[-1]
        return sum(g * z for rows in zip(upstream, logits, strict=True) for g, z in zip(*rows, strict=True))

    slopes = numerical_gradient(weighted, [*start], step=1e-5)
    # finite differences: rounding of sums up to about 1e3, divided by the step
    assert_equivalent(built, build_it.Parameters(*slopes), rtol=1e-5, atol=1e-6, names=("build_it", "nudges"))


@given(cases())
@examples(30)
def test_loss_and_gradients(build_it, use_it, case):
    start, X, labels, _ = case
    parameters = build_it.Parameters(*start)
    away_from_kinks(build_it, parameters, X)
    built = build_it.loss_and_gradients(parameters, X, labels)
    assert_equivalent(built, use_it.loss_and_gradients(use_it.Parameters(*start), X, labels))
    slopes = numerical_gradient(
        lambda moved: build_it.loss_and_gradients(build_it.Parameters(*moved), X, labels)[0], [*start], step=1e-5
    )
    # finite differences: rounding of a loss up to about 1e2, divided by the step
    assert_equivalent(built[1], build_it.Parameters(*slopes), rtol=1e-5, atol=1e-7, names=("build_it", "nudges"))


def test_a_unit_at_its_corner_is_off(build_it, use_it):
    """z = 0 exactly: the slope of ReLU is taken as 0, so the first layer gets nothing through that unit."""
    start = [[[1.0, 1.0]], [[2.0], [3.0]]], [[-1.0, 0.0], [0.0]]
    by_hand = [[[0.0, 12.0]], [[0.0], [4.0]]], [[0.0, 12.0], [4.0]]
    for twin in (build_it, use_it):
        parameters = twin.Parameters(*start)
        found = twin.backward(parameters, twin.forward(parameters, [[1.0]]), [[4.0]])
        assert_equivalent(found, twin.Parameters(*by_hand), **against(twin, "by hand"))


@pytest.mark.parametrize("n_classes", [1, 2, 10])
def test_a_network_of_zeros_is_as_wrong_as_a_guess(build_it, use_it, n_classes):
    """Equal logits: the loss is log(n_classes), and the gradient by the last biases is the mean of p - y."""
    weights, biases = [[[0.0] * 3] * 2, [[0.0] * n_classes] * 3], [[0.0] * 3, [0.0] * n_classes]
    for twin in (build_it, use_it):
        loss, gradients = twin.loss_and_gradients(twin.Parameters(weights, biases), [[1.0, 2.0], [3.0, 4.0]], [0, 0])
        slopes = [1 / n_classes - (k == 0) for k in range(n_classes)]
        known = {"loss": math.log(n_classes), "slopes": slopes}
        assert_equivalent({"loss": loss, "slopes": gradients.biases[-1]}, known, **against(twin, "known"))


def test_logits_of_a_thousand(build_it, use_it):
    for twin in (build_it, use_it):
        parameters = twin.Parameters([[[1000.0, -1000.0]]], [[0.0, 0.0]])
        loss, gradients = twin.loss_and_gradients(parameters, [[1.0], [-1.0]], [0, 0])
        known = {"loss": 1000.0, "weights": [[[0.5, -0.5]]], "biases": [[-0.5, 0.5]]}
        found = {"loss": loss, "weights": gradients.weights, "biases": gradients.biases}
        assert_equivalent(found, known, **against(twin, "by hand"))


# ---- evaluation


@given(st.data())
@examples(20)
def test_evaluate(build_it, use_it, data):
    n, n_classes = data.draw(some.sizes(1, 12)), data.draw(some.sizes(1, 4))
    rng = Random(data.draw(some.seeds()))
    start = layers([3, 4, n_classes], rng)
    X, labels = data_of(n, 3, n_classes, rng)
    built, used = (twin.evaluate(twin.Parameters(*start), X, labels) for twin in (build_it, use_it))
    assert_equivalent(built, used)
    predicted = build_it.predict(build_it.Parameters(*start), X)
    pairs = Counter(zip(labels, predicted, strict=True))
    counted = {
        "confusion": [[pairs[i, k] for k in range(n_classes)] for i in range(n_classes)],
        "accuracy": sum(label == answer for label, answer in zip(labels, predicted, strict=True)) / n,
        "loss": build_it.loss_and_gradients(build_it.Parameters(*start), X, labels)[0],
    }
    found = {"confusion": built.confusion, "accuracy": built.accuracy, "loss": built.loss}
    assert_equivalent(found, counted, names=("build_it", "counted"))


def test_evaluate_by_hand(build_it, use_it):
    """Three classes, the logits are the inputs; the tie of the last row goes to class 1, the first of the two."""
    start = [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]], [[0.0, 0.0, 0.0]]
    X = [[2.0, 0.0, 1.0], [2.0, 0.0, 1.0], [0.0, 3.0, 1.0], [0.0, 1.0, 1.0]]
    for twin in (build_it, use_it):
        found = twin.evaluate(twin.Parameters(*start), X, [0, 2, 1, 2])
        assert_equivalent(
            {"accuracy": found.accuracy, "confusion": found.confusion},
            {"accuracy": 0.5, "confusion": [[1, 0, 0], [0, 1, 0], [1, 1, 0]]},
            **against(twin, "by hand"),
        )


# ---- optimizers


@pytest.mark.parametrize("t", [1, 2, 1000])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_step(build_it, use_it, name, t):
    rng = Random(t)
    theta, g, first, second = (layers([2, 3, 2], rng) for _ in range(4))
    squares = [[[abs(x) for x in row] for row in W] for W in second[0]], [[abs(x) for x in row] for row in second[1]]
    moved = []
    for twin in (build_it, use_it):
        optimizer = OPTIMIZERS[name](twin)
        moments = [twin.Parameters(*first), twin.Parameters(*squares)][: 1 if isinstance(optimizer, twin.SGD) else 2]
        arguments = twin.Parameters(*theta), twin.Parameters(*g), moments
        before = copy.deepcopy(arguments)
        moved.append(twin.step(optimizer, *arguments, t))
        assert arguments == before, "what came is left as it is"
    assert_equivalent(*moved)


def test_step_by_hand(build_it, use_it):
    """SGD: b = 0.9 · 2 + 1 = 2.8. Adam at step 1 moves by the learning rate, whatever the gradient (but for eps)."""
    for twin in (build_it, use_it):
        one = twin.Parameters([[[10.0]]], [[10.0]])
        g, b = twin.Parameters([[[1.0]]], [[-4.0]]), twin.Parameters([[[2.0]]], [[0.0]])
        after, moments = twin.step(twin.SGD(0.5, 0.9), one, g, [b], 7)
        assert_equivalent(after, twin.Parameters([[[8.6]]], [[12.0]]), **against(twin, "by hand"))
        assert_equivalent(moments, [twin.Parameters([[[2.8]]], [[-4.0]])], **against(twin, "by hand"))
        zeros = twin.Parameters([[[0.0]]], [[0.0]])
        after, moments = twin.step(twin.Adam(0.5, 0.9, 0.99, 1e-12), one, g, [zeros, zeros], 1)
        assert_equivalent(after, twin.Parameters([[[9.5]]], [[10.5]]), **against(twin, "by hand"))
        known = [twin.Parameters([[[0.1]]], [[-0.4]]), twin.Parameters([[[0.01]]], [[0.16]])]
        assert_equivalent(moments, known, **against(twin, "by hand"))


def test_the_settings_have_the_usual_defaults(build_it, use_it):
    for twin in (build_it, use_it):
        assert twin.SGD() == twin.SGD(0.1, 0.9)
        assert twin.Adam() == twin.Adam(1e-3, 0.9, 0.999, 1e-8)
        assert twin.SGD(learning_rate=1.0, momentum=0.5) == twin.SGD(1.0, 0.5)
        assert twin.Adam(learning_rate=1.0, beta1=0.5, beta2=0.25, eps=0.125) == twin.Adam(1.0, 0.5, 0.25, 0.125)
    assert_equivalent([build_it.SGD(), build_it.Adam()], [use_it.SGD(), use_it.Adam()])


# ---- training

N, FEATURES, CLASSES = 22, 6, 3  # with batches of 5: five to an epoch, and the last has two rows


def run_and_data(twin, name, seed=3):
    rng = Random(seed)
    start = layers([FEATURES, 7, 5, CLASSES], rng)
    X, labels = data_of(N, FEATURES, CLASSES, rng)
    return twin.start(twin.Parameters(*start), OPTIMIZERS[name](twin), 5, rng), X, labels


@pytest.mark.parametrize("n_steps", [0, 1, 10, 100])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_train(build_it, use_it, name, n_steps):
    """Losses, every parameter, every moment, and where the run stands."""
    found = []
    for twin in (build_it, use_it):
        run, X, labels = run_and_data(twin, name)
        before = copy.deepcopy((run, X, labels))
        after, losses = twin.train(run, X, labels, n_steps)
        assert (run, X, labels) == before, "what came is left as it is"
        assert (after.n_steps, len(losses)) == (n_steps, n_steps)
        found.append({"losses": losses, "run": after})
    assert_equivalent(*found)


@pytest.mark.parametrize("batch_size", [1, N, 100])
def test_train_one_row_at_a_time_and_all_at_once(build_it, use_it, batch_size):
    found = []
    for twin in (build_it, use_it):
        run, X, labels = run_and_data(twin, "adam")
        run = twin.start(run.parameters, run.optimizer, batch_size, Random(0))
        found.append(twin.train(run, X, labels, 3))
    assert_equivalent(*found)
    assert found[0][0].position == (3 if batch_size == 1 else 1)


def test_start(build_it, use_it):
    runs = []
    for twin in (build_it, use_it):
        rng = Random(8)
        state = rng.getstate()
        parameters = twin.Parameters(*layers([2, 3, 2], Random(0)))
        for optimizer, n_moments in ((twin.SGD(), 1), (twin.Adam(), 2)):
            run = twin.start(parameters, optimizer, 4, rng)
            zeros = twin.Parameters([[[0.0] * 3] * 2, [[0.0] * 2] * 3], [[0.0] * 3, [0.0] * 2])
            assert run == twin.Run(parameters, optimizer, [zeros] * n_moments, 4, 0, 0, state)
            runs.append(run)
        assert rng.getstate() == state, "no draw is made"
    assert_equivalent(runs[:2], runs[2:])


def test_an_epoch_takes_every_row_once(build_it, use_it):
    """With a learning rate of 0 the batches' losses, weighted by their rows, add up to the loss of all rows."""
    for twin in (build_it, use_it):
        run, X, labels = run_and_data(twin, "sgd")
        run = replace(run, optimizer=twin.SGD(0.0, 0.0))
        whole, _ = twin.loss_and_gradients(run.parameters, X, labels)
        after, losses = twin.train(run, X, labels, 10)
        epochs = [sum(map(math.prod, zip(part, [5, 5, 5, 5, 2], strict=True))) / N for part in (losses[:5], losses[5:])]
        assert_equivalent(epochs, [whole, whole], **against(twin, "all rows"))
        assert losses[:5] != pytest.approx(losses[5:]), "the second epoch has an order of its own"
        rng = Random()  # the first batch, drawn again
        rng.setstate(run.random_state)
        rows = rng.sample(range(N), N)[:5]
        first, _ = twin.loss_and_gradients(run.parameters, [X[i] for i in rows], [labels[i] for i in rows])
        assert losses[0] == pytest.approx(first, rel=1e-12)
        assert (after.position, after.random_state) == (5, rng.getstate()), "the epoch is over, the next not begun"


def test_training_learns(build_it, use_it):
    """XOR, which no single layer can."""
    X, labels = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]
    for twin in (build_it, use_it):
        run = twin.start(twin.initialize([2, 8, 2], Random(0)), twin.Adam(0.05), 4, Random(0))
        run, losses = twin.train(run, X, labels, 100)
        assert losses[-1] < 0.1 < losses[0]
        found = twin.evaluate(run.parameters, X, labels)
        assert_equivalent(found.confusion, [[2, 0], [0, 2]], **against(twin, "all four right"))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_resumes_exactly(build_it, use_it, tmp_path, name):
    """Stopped at any step, written, read and gone on: the same bits as without a stop, twice over an epoch's end."""
    for twin in (build_it, use_it):
        run, X, labels = run_and_data(twin, name)
        whole, losses = twin.train(run, X, labels, 12)
        for k in (0, 3, 5, 6, 10, 12):
            first, before = twin.train(run, X, labels, k)
            twin.save(first, tmp_path / "run")
            read = twin.load(tmp_path / "run")
            assert read == first, f"{twin.__name__}: what is read is what was written, after {k} steps"
            second, after = twin.train(read, X, labels, 12 - k)
            assert before + after == losses and second == whole, f"{twin.__name__}: stopped after {k} of 12 steps"


@pytest.mark.parametrize("missing", ["moments", "n_steps", "position", "random_state"])
def test_each_part_of_a_run_is_needed(build_it, use_it, missing):
    """Forget one, and the run that goes on is another one."""
    for twin in (build_it, use_it):
        run, X, labels = run_and_data(twin, "adam")
        stopped, _ = twin.train(run, X, labels, 7)
        fresh = twin.start(stopped.parameters, stopped.optimizer, stopped.batch_size, Random(0))
        forgetful = replace(stopped, **{missing: getattr(fresh, missing)})
        right, wrong = (twin.train(each, X, labels, 5)[1] for each in (stopped, forgetful))
        assert right != pytest.approx(wrong, rel=1e-6)


def test_a_loss_that_is_not_finite_ends_the_training(build_it, use_it):
    said = []
    for twin in (build_it, use_it):
        run, X, labels = run_and_data(twin, "sgd")
        run = replace(run, optimizer=twin.SGD(1e200, 0.0), n_steps=40)
        with pytest.raises(ValueError, match="finite") as refused:
            twin.train(run, X, labels, 9)
        said.append(str(refused.value))
    assert said[0].startswith("step 42: ") and said[1].startswith("step 42: "), (
        "the step that fails is the one after the leap"
    )


ONE = [[[1.0, -1.0]]], [[0.0, 0.0]]
LEAPS = {  # optimizer, (weights, biases), x, label: one step, whose loss is finite
    "a parameter": (lambda twin: twin.SGD(1e308, 0.0), ONE, 1e10, 1),
    "a moment": (lambda twin: twin.Adam(), ONE, 1e200, 1),  # v is infinite, so the parameters do not move
    "a gradient": (lambda twin: twin.SGD(0.0), ([[[1e-305]], [[1e300, -1e300]]], [[0.0], [0.0, 0.0]]), 1e10, 1),
}


@pytest.mark.parametrize("what", LEAPS)
def test_a_step_out_of_the_floats_ends_the_training(build_it, use_it, what):
    """Also the last: what `train` gives back can always be gone on with, so no later step finds it out."""
    make, start, x, label = LEAPS[what]
    for twin in (build_it, use_it):
        run = twin.start(twin.Parameters(*start), make(twin), 1, Random(0))
        assert math.isfinite(twin.evaluate(run.parameters, [[x]], [label]).loss)
        with pytest.raises(ValueError, match=r"^step 1: .*finite"):
            twin.train(run, [[x]], [label], 1)


def test_logits_too_large_for_floats_are_refused(build_it, use_it):
    for twin in (build_it, use_it):
        parameters = twin.Parameters([[[1e200, 0.0]]], [[0.0, 0.0]])
        for function in (twin.loss_and_gradients, twin.evaluate):
            with pytest.raises(ValueError, match="the loss must be finite, got nan"):
                function(parameters, [[1e200]], [0])


# ---- checkpoints


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_save_and_load_across_twins(build_it, use_it, tmp_path, name):
    """Both write the same tensors, byte for byte, and the same JSON; each reads the other's, and the official library reads them."""
    for twin, stem in ((build_it, "run-0.1"), (use_it, "run-0.2")):
        run, X, labels = run_and_data(build_it, name)  # one run, so that the last bits are the same
        run, _ = build_it.train(run, X, labels, 4)
        own = twin.Run(
            twin.Parameters(run.parameters.weights, run.parameters.biases),
            OPTIMIZERS[name](twin),
            [twin.Parameters(moment.weights, moment.biases) for moment in run.moments],
            run.batch_size,
            run.n_steps,
            run.position,
            run.random_state,
        )
        twin.save(own, str(tmp_path / stem))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "run-0.1.json",
        "run-0.1.safetensors",
        "run-0.2.json",
        "run-0.2.safetensors",
    ]
    assert (tmp_path / "run-0.1.safetensors").read_bytes() == (tmp_path / "run-0.2.safetensors").read_bytes()
    built, used = (json.loads((tmp_path / f"run-0.{k}.json").read_text(encoding="utf-8")) for k in (1, 2))
    for key in built | used:
        assert built.get(key) == used.get(key), f"{key!r} in the JSON of build_it, and of use_it"
    assert_equivalent(build_it.load(tmp_path / "run-0.2"), use_it.load(str(tmp_path / "run-0.1")), rtol=0.0, atol=0.0)
    tensors = load_file(tmp_path / "run-0.1.safetensors")
    expected = {}
    for prefix, values in {"": run.parameters, **{f"moments.{k}.": m for k, m in enumerate(run.moments)}}.items():
        expected |= {f"{prefix}weights.{i}": W for i, W in enumerate(values.weights)}
        expected |= {f"{prefix}biases.{i}": b for i, b in enumerate(values.biases)}
    found = {key: tensors[key] for key in expected}
    assert len(tensors) == len(expected)
    assert_equivalent(expected, found, rtol=0.0, atol=0.0, names=("build_it", "safetensors"))
    assert built["sizes"] == [FEATURES, 7, 5, CLASSES]
    assert (built["batch_size"], built["n_steps"], built["position"]) == (5, 4, 4)


@pytest.mark.parametrize("taken", ["safetensors", "json"])
def test_save_renames_the_tensors_first(build_it, use_it, tmp_path, taken):
    """A folder stands where one of the two should be: the rename fails, and what is there tells how far `save` came."""
    for twin in (build_it, use_it):
        name = twin.__name__.rpartition(".")[2]
        (tmp_path / f"{name}.{taken}").mkdir()
        with pytest.raises(OSError):
            twin.save(run_and_data(twin, "sgd")[0], tmp_path / name)
        files = {path.name.removeprefix(name) for path in tmp_path.iterdir() if path.is_file()}
        assert f".{taken}.part" in files, f"{name}: written under another name, until the rename"
        assert (".safetensors" in files, ".json" in files) == (taken == "json", False), f"{name}: first the tensors"


def damage(facts, tensors):
    """What -> the JSON's text, and the tensors' bytes, of checkpoints that must be refused."""
    changed = {
        "no sizes": {k: v for k, v in facts.items() if k != "sizes"},
        "other sizes": facts | {"sizes": [FEATURES, 7, 4, CLASSES]},
        "fewer layers": facts | {"sizes": [FEATURES, 7, 5]},
        "more layers": facts | {"sizes": [FEATURES, 7, 5, CLASSES, 2]},
        "unknown optimizer": facts | {"optimizer": {"name": "Lion"}},
        "unknown setting": facts | {"optimizer": {"name": "Adam", "momentum": 0.9}},
        "the other optimizer": facts | {"optimizer": {"name": "SGD", "learning_rate": 0.1, "momentum": 0.9}},
        "a setting out of range": facts | {"optimizer": {"name": "Adam", "beta1": 1.5}},
        "n_steps no integer": facts | {"n_steps": 1.5},
        "n_steps negative": facts | {"n_steps": -1},
        "position negative": facts | {"position": -1},
        "batch_size 0": facts | {"batch_size": 0},
        "random state too short": facts | {"random_state": [3, [1, 2, 3], None]},
        "random state negative": facts | {"random_state": [3, [-1] * 625, None]},
        "sha256 of something else": facts | {"sha256": "0" * 64},
    }
    text = json.dumps(facts)
    return {what: (json.dumps(values), tensors) for what, values in changed.items()} | {
        "JSON cut short": (text[:-20], tensors),
        "JSON a list": ("[]", tensors),
        "tensors empty": (text, b""),
        "tensors cut short": (text, tensors[:-8]),
        "one bit of the tensors": (text, tensors[:-1] + bytes([tensors[-1] ^ 1])),
    }


def outcome(function, *arguments):
    """What it returns, or the exception that it raises."""
    try:
        return function(*arguments)
    except Exception as error:  # whatever it is, the test says beside which damage it came
        return error


def test_load_refuses_what_is_damaged(build_it, use_it, tmp_path):
    for twin in (build_it, use_it):
        stem = tmp_path / "run"
        twin.save(run_and_data(twin, "adam")[0], stem)
        good = [(tmp_path / f"run{suffix}").read_bytes() for suffix in (".json", ".safetensors")]
        for what, (text, tensors) in damage(json.loads(good[0]), good[1]).items():
            (tmp_path / "run.json").write_text(text, encoding="utf-8")
            (tmp_path / "run.safetensors").write_bytes(tensors)
            found = outcome(twin.load, stem)
            assert isinstance(found, ValueError), f"{what}: expected a ValueError, got {found!r}"
            assert "run.safetensors" in str(found) and "run.json" in str(found), f"{what}: name both files, not {found}"
        (tmp_path / "run.json").unlink()
        with pytest.raises(FileNotFoundError):
            twin.load(stem)


# ---- what is refused

INF, NAN = math.inf, math.nan
GOOD = [[[1.0, 2.0]], [[1.0, 0.5], [2.0, 1.0]]], [[0.0, 1.0], [0.5, 0.5]]  # sizes 1-2-2
BAD_PARAMETERS = {
    "no layer": ([], []),
    "no input": ([[]], [[1.0]]),
    "no unit": ([[[]]], [[]]),
    "biases missing": (GOOD[0], GOOD[1][:1]),
    "a bias too many": (GOOD[0], [[0.0, 1.0], [0.5, 0.5, 0.5]]),
    "weights ragged": ([[[1.0, 2.0]], [[1.0, 0.5], [2.0]]], GOOD[1]),
    "layers do not fit": ([[[1.0, 2.0]], [[1.0, 0.5]]], GOOD[1]),
    "a weight NaN": ([[[1.0, NAN]], GOOD[0][1]], GOOD[1]),
    "a bias infinite": (GOOD[0], [[0.0, INF], [0.5, 0.5]]),
}
BAD_X = {
    "no rows": [],
    "a column too many": [[1.0, 2.0]],
    "a column too few": [[1.0], []],
    "a vector": [1.0],
    "NaN": [[1.0], [NAN]],
    "infinite": [[-INF]],
}
BAD_LABELS = {"too few": [0], "too many": [0, 1, 1], "too large": [0, 2], "negative": [0, -100], "a float": [0, 1.0]}
BAD_SETTINGS = {
    "learning rate negative": lambda twin: twin.SGD(-0.1),
    "learning rate NaN": lambda twin: twin.Adam(NAN),
    "learning rate infinite": lambda twin: twin.SGD(INF),
    "momentum 1": lambda twin: twin.SGD(0.1, 1.0),
    "momentum negative": lambda twin: twin.SGD(0.1, -0.5),
    "beta1 1": lambda twin: twin.Adam(beta1=1.0),
    "beta2 1": lambda twin: twin.Adam(beta2=1.0),
    "beta2 negative": lambda twin: twin.Adam(beta2=-0.1),
    "eps 0": lambda twin: twin.Adam(eps=0.0),
    "eps infinite": lambda twin: twin.Adam(eps=INF),
    "a name": lambda twin: "Adam",
}


def good(twin):
    return twin.Parameters(*GOOD)


def run_of(twin, **changes):
    return replace(twin.start(good(twin), twin.SGD(), 2, Random(0)), **changes)


def one_step(twin, *, parameters=GOOD, gradients=GOOD, moments=(GOOD,), t=1, optimizer=None):
    made = [twin.Parameters(*moment) for moment in moments]
    return twin.step(optimizer or twin.SGD(), twin.Parameters(*parameters), twin.Parameters(*gradients), made, t)


TWO = [[1.0], [2.0]]
REFUSED = {
    "initialize, one size": lambda twin: twin.initialize([3], Random(0)),
    "initialize, a size of 0": lambda twin: twin.initialize([3, 0, 2], Random(0)),
    "initialize, a size no integer": lambda twin: twin.initialize([3, 2.0], Random(0)),
    "initialize, scheme": lambda twin: twin.initialize([3, 2], Random(0), "lecun"),
    "backward, activations missing": lambda twin: twin.backward(good(twin), [[[1.0]]], [[1.0, 1.0]]),
    "backward, gradient too narrow": lambda twin: twin.backward(good(twin), twin.forward(good(twin), TWO), TWO),
    "backward, gradient too long": lambda twin: twin.backward(
        good(twin), twin.forward(good(twin), TWO), [[1.0, 1.0]] * 3
    ),
    "backward, gradient NaN": lambda twin: twin.backward(good(twin), twin.forward(good(twin), [[1.0]]), [[1.0, NAN]]),
    "step, gradients of other sizes": lambda twin: one_step(twin, gradients=([[[1.0]]], [[1.0]])),
    "step, gradients infinite": lambda twin: one_step(twin, gradients=(GOOD[0], [[0.0, INF], [0.5, 0.5]])),
    "step, moments of other sizes": lambda twin: one_step(twin, moments=[([[[1.0]]], [[1.0]])]),
    "step, moments missing": lambda twin: one_step(twin, moments=[]),
    "step, a moment too many": lambda twin: one_step(twin, moments=[GOOD, GOOD]),
    "step, one moment for Adam": lambda twin: one_step(twin, optimizer=twin.Adam()),
    "step, t 0": lambda twin: one_step(twin, t=0),
    "step, t no integer": lambda twin: one_step(twin, t=1.5),
    "step, out of the floats": lambda twin: one_step(twin, optimizer=twin.SGD(1e308, 0.0)),
    "start, batch size 0": lambda twin: twin.start(good(twin), twin.SGD(), 0, Random(0)),
    "start, batch size no integer": lambda twin: twin.start(good(twin), twin.SGD(), 2.0, Random(0)),
    "train, n_steps negative": lambda twin: twin.train(run_of(twin), TWO, [0, 1], -1),
    "train, n_steps no integer": lambda twin: twin.train(run_of(twin), TWO, [0, 1], 1.0),
    "train, position beyond the epoch": lambda twin: twin.train(run_of(twin, position=2), TWO, [0, 1], 1),
    "train, position negative": lambda twin: twin.train(run_of(twin, position=-1), TWO, [0, 1], 1),
    "train, steps made negative": lambda twin: twin.train(run_of(twin, n_steps=-1), TWO, [0, 1], 1),
    "train, a label that only the hidden layers have": lambda twin: twin.train(
        twin.start(twin.initialize([1, 3, 3, 2], Random(0)), twin.SGD(), 2, Random(0)), TWO, [0, 2], 0
    ),
    "train, moments missing": lambda twin: twin.train(run_of(twin, moments=[]), TWO, [0, 1], 1),
    "train, no steps, moments missing": lambda twin: twin.train(run_of(twin, moments=[]), TWO, [0, 1], 0),
    "train, random state": lambda twin: twin.train(run_of(twin, random_state=(3, (1, 2), None)), TWO, [0, 1], 1),
}
for _what, _bad in BAD_PARAMETERS.items():
    REFUSED |= {
        f"forward, {_what}": lambda twin, bad=_bad: twin.forward(twin.Parameters(*bad), [[1.0]]),
        f"predict, {_what}": lambda twin, bad=_bad: twin.predict(twin.Parameters(*bad), [[1.0]]),
        f"backward, {_what}": lambda twin, bad=_bad: twin.backward(
            twin.Parameters(*bad), [[[1.0]]] * (len(bad[0]) + 1), [[1.0] * len((bad[1] or [[0]])[-1])]
        ),
        f"step, {_what}": lambda twin, bad=_bad: one_step(twin, parameters=bad),
        f"start, {_what}": lambda twin, bad=_bad: twin.start(twin.Parameters(*bad), twin.SGD(), 2, Random(0)),
    }
for _what, _bad in BAD_X.items():
    REFUSED |= {
        f"forward, X: {_what}": lambda twin, bad=_bad: twin.forward(good(twin), bad),
        f"evaluate, X: {_what}": lambda twin, bad=_bad: twin.evaluate(good(twin), bad, [0] * len(bad)),
        f"train, X: {_what}": lambda twin, bad=_bad: twin.train(run_of(twin), bad, [0] * len(bad), 0),
    }
for _what, _bad in BAD_LABELS.items():
    REFUSED |= {
        f"loss_and_gradients, labels: {_what}": lambda twin, bad=_bad: twin.loss_and_gradients(good(twin), TWO, bad),
        f"evaluate, labels: {_what}": lambda twin, bad=_bad: twin.evaluate(good(twin), TWO, bad),
        f"train, labels: {_what}": lambda twin, bad=_bad: twin.train(run_of(twin), TWO, bad, 0),
    }
for _what, _make in BAD_SETTINGS.items():
    REFUSED |= {
        f"start, {_what}": lambda twin, make=_make: twin.start(good(twin), make(twin), 2, Random(0)),
        f"step, {_what}": lambda twin, make=_make: one_step(
            twin, optimizer=make(twin), moments=[GOOD] * (1 if isinstance(make(twin), twin.SGD) else 2)
        ),
    }


@pytest.mark.parametrize("what", REFUSED)
def test_refused(build_it, use_it, what):
    assert_same_error(REFUSED[what], build_it, use_it)
    with pytest.raises(ValueError) as refused:
        REFUSED[what](build_it)
    assert "zip()" not in str(refused.value), "say what was expected and what came: zip() speaks of its own arguments"


# ---- what ships


def test_the_toolkit_goes_on_where_either_twin_stops(build_it, use_it, tmp_path):
    """An epoch with a twin, then a step here and there on the same batch: what ship_it writes holds the whole state."""
    (X, labels), _ = ship_it.split()
    samples = ship_it.data.load("digits", "train")
    for twin in (build_it, use_it):
        rng = Random(0)
        run = twin.start(twin.initialize([64, 8, 10], rng), twin.Adam(ship_it.LEARNING_RATE), len(X), rng)
        run, losses = twin.train(run, X, labels, 3)
        ship_it.write(run, losses, tmp_path / twin.__name__, n_epochs=3)
        loaded = ship_it.training.Run.load(tmp_path / twin.__name__, "last")
        loaded.go_on(epochs=4, batch_size=len(X))
        loaded.train(samples, None)
        run, losses = twin.train(run, X, labels, 1)
        assert_equivalent(losses, [loaded.history[-1].loss], names=(twin.__name__.rpartition(".")[2], "toolkit"))
        assert_equivalent(ship_it.flat(run.parameters).tolist(), loaded.network.theta.tolist())
