"""A dense network of any depth that learns MNIST: batches, ReLU, softmax, SGD and Adam, and checkpoints that resume
exactly, on the standard library."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from itertools import compress, pairwise
from operator import add, mul
from pathlib import Path
from random import Random
from typing import Any

from phases.deep_learning_core.backpropagation.build_it import cross_entropy
from phases.deep_learning_core.mini_framework.build_it import load_file, save_file, tensor
from phases.deep_learning_core.optimizers.build_it import batches
from phases.deep_learning_core.weight_initialization.build_it import kaiming_normal, xavier_uniform

__all__ = [
    "SGD",
    "Adam",
    "Evaluation",
    "Parameters",
    "Run",
    "backward",
    "evaluate",
    "forward",
    "initialize",
    "load",
    "loss_and_gradients",
    "predict",
    "save",
    "start",
    "step",
    "train",
]

Vector = list[float]
Matrix = list[list[float]]


@dataclass(frozen=True)
class Parameters:
    """One number for each weight and bias: the parameters themselves, their gradients, or an optimizer's moments.

    Attributes:
        weights: for each layer W, n_in × n_out.
        biases: for each layer b, n_out numbers.
    """

    weights: list[Matrix]
    biases: list[Vector]


@dataclass(frozen=True)
class SGD:
    """The settings of gradient descent with momentum: u ← momentum · u + g, θ ← θ - learning_rate · u.

    u, which begins at 0, is its one moment.
    """

    learning_rate: float = 0.1
    momentum: float = 0.9


@dataclass(frozen=True)
class Adam:
    """The settings of Adam (Kingma & Ba 2015), with torch's defaults. The t-th step, from 1:

        m ← beta1 · m + (1 - beta1) · g        m̂ = m / (1 - beta1ᵗ)
        v ← beta2 · v + (1 - beta2) · g²       v̂ = v / (1 - beta2ᵗ)
        θ ← θ - learning_rate · m̂ / (√v̂ + eps)

    m and v, which begin at 0, are its two moments.
    """

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


@dataclass(frozen=True)
class Run:
    """A training run at one moment: everything that decides how it goes on, but for the data.

    Attributes:
        parameters: as they are after `n_steps` steps.
        optimizer: its settings.
        moments: what it remembers: one `Parameters` for SGD, two (m, v) for Adam.
        batch_size: rows in each batch; the last one of an epoch may be smaller.
        n_steps: steps made since the beginning.
        position: batches of the current epoch that are used up: at its end all, and the next step begins another.
        random_state: `rng.getstate()` from before the order of the current epoch was drawn.
    """

    parameters: Parameters
    optimizer: SGD | Adam
    moments: list[Parameters]
    batch_size: int
    n_steps: int
    position: int
    random_state: tuple[Any, ...]


@dataclass(frozen=True)
class Evaluation:
    """How well a network does on labelled data.

    Attributes:
        loss: the mean cross-entropy, in nats.
        accuracy: the share of rows whose largest logit is that of their label.
        confusion: n_classes × n_classes; confusion[i][k] counts rows of class i that are predicted as k.
    """

    loss: float
    accuracy: float
    confusion: list[list[int]]


def _product(A: Matrix, B: Matrix) -> Matrix:
    """A B. A zero in A costs next to nothing: only the rows of B that meet something else are multiplied."""
    n_columns = len(B[0])
    result = []
    for row in A:
        kept = list(filter(None, row))  # the values that are not 0 …
        columns = zip(*compress(B, row), strict=True)  # … and the rows of B that they meet, turned into columns
        result.append([sum(map(mul, kept, column)) for column in columns] if kept else [0.0] * n_columns)
    return result


def initialize(sizes: list[int], rng: Random, scheme: str = "he") -> Parameters:
    """Random weights, and biases of 0.

    Args:
        sizes: the number of inputs, then the units of each layer: [784, 128, 64, 10] makes three layers.
        rng: where the draws come from. Layer by layer, all weights into the first unit, then into the second, …
        scheme: "he" draws from N(0, 2 / n_in), for ReLU; "xavier" from U(-a, a) with a² = 6 / (n_in + n_out).

    Raises:
        ValueError: fewer than two sizes, a size that is no integer of at least 1, or a scheme that is unknown.
    """
    _check_sizes(sizes)
    if scheme not in ("he", "xavier"):
        raise ValueError(f"scheme must be he or xavier, got {scheme!r}")
    weights = []
    for n_in, n_out in pairwise(sizes):
        if scheme == "he":
            by_unit = kaiming_normal((n_out, n_in), nonlinearity="relu", rng=rng)
        else:
            by_unit = xavier_uniform((n_out, n_in), rng=rng)
        weights.append([list(column) for column in zip(*by_unit, strict=True)])
    return Parameters(weights, [[0.0] * n_out for n_out in sizes[1:]])


def forward(parameters: Parameters, X: Matrix) -> list[Matrix]:
    """H ← ReLU(H W + b) through the hidden layers, and H W + b, the logits, at the last.

    Args:
        parameters: of one layer or more.
        X: n_samples × n_features.

    Returns:
        What goes into each layer, and the logits: X, H of the first layer (n_samples × n_out), …, the logits
        (n_samples × n_classes).

    Raises:
        ValueError: parameters that do not fit each other or are not finite, or an X that is no matrix of n_features
            columns, or not finite. (With infinite weights, skipping zeros would be wrong: 0 · ∞ is no number.)
    """
    _check_parameters(parameters)
    _check_matrix("X", X, len(parameters.weights[0]))
    activations = [X]
    last = len(parameters.weights) - 1
    for i, (W, b) in enumerate(zip(parameters.weights, parameters.biases, strict=True)):
        Z = [list(map(add, row, b)) for row in _product(activations[-1], W)]
        activations.append(Z if i == last else [[max(z, 0.0) for z in row] for row in Z])
    return activations


def backward(parameters: Parameters, activations: list[Matrix], output_gradient: Matrix) -> Parameters:
    """dL/dW = Hᵀ δ and dL/db = the sum of δ over samples, for every layer from the last to the first.

    δ of the layer below is δ Wᵀ where its unit was on (h > 0), else 0: so it is computed only there.

    Args:
        parameters: those that made `activations`.
        activations: from `forward(parameters, X)`.
        output_gradient: dL/d(logits), n_samples × n_classes.

    Raises:
        ValueError: bad parameters as in `forward`, activations that are not one more than there are layers, or an
            output_gradient that has not the shape of the logits or is not finite.
    """
    _check_parameters(parameters)
    _check_length("activations", activations, len(parameters.weights) + 1)
    _check_matrix("output_gradient", output_gradient, len(parameters.biases[-1]))
    _check_length("output_gradient", output_gradient, len(activations[-1]))
    weights, biases = [], []
    delta = output_gradient
    for W, H in zip(reversed(parameters.weights), reversed(activations[:-1]), strict=True):
        weights.append(_product([list(column) for column in zip(*H, strict=True)], delta))
        biases.append([sum(column) for column in zip(*delta, strict=True)])
        if H is not activations[0]:  # nobody asks for dL/dX
            delta = [
                [sum(map(mul, d, w)) if h > 0 else 0.0 for h, w in zip(row, W, strict=True)]
                for row, d in zip(H, delta, strict=True)
            ]
    return Parameters(weights[::-1], biases[::-1])


def loss_and_gradients(parameters: Parameters, X: Matrix, labels: list[int]) -> tuple[float, Parameters]:
    """The mean cross-entropy of softmax(logits) over the rows of X, and its gradient.

    Args:
        parameters: of one layer or more.
        X: n_samples × n_features.
        labels: for each sample the index of its class.

    Raises:
        ValueError: as `forward`; not one label for each row, each an int from 0 to n_classes - 1; or a loss that is
            not finite, since the logits are too large for floats.
    """
    activations = forward(parameters, X)
    loss, output_gradient = cross_entropy(activations[-1], labels)
    _check_loss(loss)
    return loss, backward(parameters, activations, output_gradient)


def predict(parameters: Parameters, X: Matrix) -> list[int]:
    """For each row the class of the largest logit; of equal ones the first.

    Raises:
        ValueError: as `forward`.
    """
    return [max(range(len(row)), key=row.__getitem__) for row in forward(parameters, X)[-1]]


def evaluate(parameters: Parameters, X: Matrix, labels: list[int]) -> Evaluation:
    """Loss, accuracy and confusion matrix on labelled data.

    Raises:
        ValueError: as `loss_and_gradients`.
    """
    logits = forward(parameters, X)[-1]
    loss, _ = cross_entropy(logits, labels)
    _check_loss(loss)
    confusion = [[0] * len(logits[0]) for _ in logits[0]]
    for label, row in zip(labels, logits, strict=True):
        confusion[label][row.index(max(row))] += 1
    return Evaluation(loss, sum(confusion[k][k] for k in range(len(confusion))) / len(labels), confusion)


def _sgd(settings: SGD, t: int, theta: Vector, g: Vector, u: Vector) -> tuple[Vector, ...]:
    """One row of parameters moved, and its new u."""
    rate, mu = settings.learning_rate, settings.momentum
    u = [mu * old + now for old, now in zip(u, g, strict=True)]
    return [x - rate * move for x, move in zip(theta, u, strict=True)], u


def _adam(settings: Adam, t: int, theta: Vector, g: Vector, m: Vector, v: Vector) -> tuple[Vector, ...]:  # noqa: PLR0917
    """One row of parameters moved, and its new m and v."""
    beta1, beta2, eps, sqrt = settings.beta1, settings.beta2, settings.eps, math.sqrt
    new1, new2 = 1 - beta1, 1 - beta2  # outside the loops, which run once for each parameter
    m = [beta1 * old + new1 * now for old, now in zip(m, g, strict=True)]
    v = [beta2 * old + new2 * now * now for old, now in zip(v, g, strict=True)]
    rate, root = settings.learning_rate / (1 - beta1**t), sqrt(1 - beta2**t)
    return [x - rate * a / (sqrt(s) / root + eps) for x, a, s in zip(theta, m, v, strict=True)], m, v


def step(
    optimizer: SGD | Adam, parameters: Parameters, gradients: Parameters, moments: list[Parameters], t: int
) -> tuple[Parameters, list[Parameters]]:
    """One step of the optimizer; what came is left as it is.

    Args:
        optimizer: its settings.
        parameters, gradients: of one shape.
        moments: what the optimizer remembers, in the same shape: one for SGD, two for Adam.
        t: the number of this step, from 1.

    Returns:
        The parameters after the step, and the moments.

    Raises:
        ValueError: settings that are bad as in `start`, parameters as in `forward`, gradients or moments of another
            shape or number, or t below 1; or a parameter or moment after the step that is not finite.
    """
    _check_state(optimizer, parameters, moments)
    _check_like("gradients", gradients, parameters)
    _check_count("t", t, 1)
    update = _sgd if isinstance(optimizer, SGD) else _adam
    rows = zip(*map(_rows, (parameters, gradients, *moments)), strict=True)
    moved = zip(*(update(optimizer, t, *row) for row in rows), strict=True)
    after, *moments = (_from_rows(list(part), parameters) for part in moved)
    _check_state(optimizer, after, moments)
    return after, moments


def start(parameters: Parameters, optimizer: SGD | Adam, batch_size: int, rng: Random) -> Run:
    """A run before its first step: moments of 0, and the order of the rows still to be drawn.

    Args:
        parameters: where it starts.
        optimizer: its settings.
        batch_size: rows in each batch.
        rng: where the order of every epoch comes from; its state is noted, and no draw is made.

    Raises:
        ValueError: bad parameters as in `forward`; a learning rate, momentum, beta or eps out of range (a learning
            rate below 0, a momentum or beta not in [0, 1), an eps not above 0, or any that is not finite); or a
            batch_size that is no integer of at least 1.
    """
    _check_parameters(parameters)
    n_moments = _check_optimizer(optimizer)
    _check_count("batch_size", batch_size, 1)
    zeros = _from_rows([[0.0] * len(row) for row in _rows(parameters)], parameters)
    return Run(parameters, optimizer, [zeros] * n_moments, batch_size, 0, 0, rng.getstate())


def train(run: Run, X: Matrix, labels: list[int], n_steps: int) -> tuple[Run, Vector]:
    """`n_steps` more steps of a run, each on one batch; `run` is left as it is.

    The order of an epoch is `batches` of the lesson optimizers. Calls of 5 and 7 steps do exactly what one of 12 does.

    Args:
        run: from `start`, `train` or `load`.
        X: n_samples × n_features, the same in every call of a run.
        labels: for each row the index of its class.
        n_steps: how many, from 0.

    Returns:
        The run after them, and for each step the loss on its batch, before the step.

    Raises:
        ValueError: parameters, X or labels that are bad as in `loss_and_gradients`, anywhere in them; an n_steps that
            is no integer of at least 0; a position beyond the epoch's batches; or a step whose loss or gradient, or a
            parameter or moment after it, is not finite: the message begins with the step, as in "step 42: ".
    """
    _check_run(run)
    _check_matrix("X", X, len(run.parameters.weights[0]))
    _check_labels(labels, len(X), len(run.parameters.biases[-1]))
    _check_count("n_steps", n_steps, 0)
    parameters, moments, position, before = run.parameters, run.moments, run.position, run.random_state
    rng = Random()
    rng.setstate(before)
    order = batches(len(X), run.batch_size, rng)
    if position > len(order):
        raise ValueError(f"an epoch of {len(X)} rows has {len(order)} batches, and the run is at batch {position}")
    losses: Vector = []
    for t in range(run.n_steps + 1, run.n_steps + n_steps + 1):
        if position == len(order):
            before, position = rng.getstate(), 0
            order = batches(len(X), run.batch_size, rng)
        rows = order[position]
        try:
            loss, gradients = loss_and_gradients(parameters, [X[i] for i in rows], [labels[i] for i in rows])
            parameters, moments = step(run.optimizer, parameters, gradients, moments, t)
        except ValueError as error:  # all data were good before the first step: it is the numbers that have exploded
            raise ValueError(f"step {t}: {error}; a smaller learning rate may help") from error
        position += 1
        losses.append(loss)
    return Run(parameters, run.optimizer, moments, run.batch_size, run.n_steps + n_steps, position, before), losses


def save(run: Run, stem: str | Path) -> None:
    """Write a run as f"{stem}.safetensors" and f"{stem}.json", so that `load` gives back an equal one.

    The tensors, as float64: "weights.0", "biases.0", "weights.1", …, and of each moment "moments.0.weights.0", ….
    The JSON has "sizes", "optimizer" (as in {"name": "SGD", "learning_rate": 0.1, "momentum": 0.9}), "batch_size",
    "n_steps", "position", "random_state", and "sha256" of the tensors' file. Each file is written with ".part" after
    its name and then renamed, so that it is there whole or not at all; the tensors come first.

    Raises:
        OSError: a file cannot be written.
    """
    named = {"": run.parameters} | {f"moments.{k}.": moment for k, moment in enumerate(run.moments)}
    tensors = {}
    for prefix, values in named.items():
        for i, (W, b) in enumerate(zip(values.weights, values.biases, strict=True)):
            tensors[f"{prefix}weights.{i}"], tensors[f"{prefix}biases.{i}"] = tensor(W), tensor(b)
    part = Path(f"{stem}.safetensors.part")
    save_file(tensors, part)
    facts = {
        "sizes": _sizes(run.parameters),
        "optimizer": {"name": type(run.optimizer).__name__} | asdict(run.optimizer),
        "batch_size": run.batch_size,
        "n_steps": run.n_steps,
        "position": run.position,
        "random_state": run.random_state,
        "sha256": hashlib.sha256(part.read_bytes()).hexdigest(),
    }
    part.replace(f"{stem}.safetensors")
    part = Path(f"{stem}.json.part")
    part.write_text(json.dumps(facts) + "\n", encoding="utf-8", newline="\n")
    part.replace(f"{stem}.json")


def load(stem: str | Path) -> Run:
    """The run that `save` wrote.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file that is damaged; something missing, unknown, of a wrong type or out of range; a tensor too
            many; or tensors that are not those the JSON was written with. The message names both files.
    """
    file = Path(f"{stem}.safetensors")
    try:
        facts = json.loads(Path(f"{stem}.json").read_text(encoding="utf-8"))
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != facts["sha256"]:
            raise ValueError(f"{file} has sha256 {found}, and not {facts['sha256']}")
        settings = dict(facts["optimizer"])
        optimizer = {"SGD": SGD, "Adam": Adam}[settings.pop("name")](**settings)
        tensors = {name: values.tolist() for name, values in load_file(file).items()}
        layers = range(len(facts["sizes"]) - 1)
        prefixes = ["", *(f"moments.{k}." for k in range(_check_optimizer(optimizer)))]
        parameters, *moments = (
            Parameters(
                [tensors.pop(f"{prefix}weights.{i}") for i in layers],
                [tensors.pop(f"{prefix}biases.{i}") for i in layers],
            )
            for prefix in prefixes
        )
        version, words, gauss = facts["random_state"]
        run = Run(
            parameters,
            optimizer,
            moments,
            facts["batch_size"],
            facts["n_steps"],
            facts["position"],
            (version, tuple(words), gauss),
        )
        _check_run(run)
        if _sizes(parameters) != facts["sizes"] or tensors:
            raise ValueError(f"its tensors are of the sizes {_sizes(parameters)}, and not {facts['sizes']}")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"expected a checkpoint in {stem}.json and {file}, got {error!r}") from error
    return run


def _rows(parameters: Parameters) -> list[Vector]:  # given
    """All rows of all layers in one list: those of W, then b, layer by layer."""
    return [row for W, b in zip(parameters.weights, parameters.biases, strict=True) for row in (*W, b)]


def _from_rows(rows: list[Vector], like: Parameters) -> Parameters:  # given
    """Back from `_rows`."""
    rest = iter(rows)
    weights, biases = [], []
    for W in like.weights:
        weights.append([next(rest) for _ in W])
        biases.append(next(rest))
    return Parameters(weights, biases)


def _sizes(parameters: Parameters) -> list[int]:  # given
    """Back to what `initialize` was given: inputs, then units of each layer."""
    return [len(parameters.weights[0]), *map(len, parameters.biases)]


def _check_sizes(sizes: list[int]) -> None:  # given
    """Two or more integers of at least 1."""
    if len(sizes) < 2 or not all(isinstance(size, int) and size >= 1 for size in sizes):
        raise ValueError(f"sizes must be two or more integers of at least 1, got {sizes}")


def _check_count(name: str, value: int, least: int) -> None:  # given
    """An integer, not below `least`."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")


def _check_length(name: str, values: list, n: int) -> None:  # given
    """As many entries as there should be."""
    if len(values) != n:
        raise ValueError(f"{name} must have {n} entries, got {len(values)}")


def _check_matrix(name: str, rows: Matrix, n_columns: int) -> None:  # given
    """A non-empty list of rows of n_columns finite numbers."""
    if not rows:
        raise ValueError(f"{name} must have one row or more, got none")
    for i, row in enumerate(rows):
        if not isinstance(row, list | tuple) or len(row) != n_columns:
            raise ValueError(f"row {i} of {name} must be a list of {n_columns} numbers, got {row!r}")
        if not all(map(math.isfinite, row)):
            raise ValueError(f"row {i} of {name} must hold finite numbers, got {row}")


def _check_loss(loss: float) -> None:  # given
    """Neither NaN nor infinite."""
    if not math.isfinite(loss):
        raise ValueError(f"the loss must be finite, got {loss}")


def _check_labels(labels: list[int], n: int, n_classes: int) -> None:  # given
    """n integers from 0 to n_classes - 1."""
    _check_length("labels", labels, n)
    for label in labels:
        if not isinstance(label, int) or not 0 <= label < n_classes:
            raise ValueError(f"a label must be an int from 0 to {n_classes - 1}, got {label!r}")


def _check_parameters(parameters: Parameters) -> None:  # given
    """One layer or more; each is finite and fits the layer before, and its biases fit its weights."""
    if not parameters.weights or not parameters.weights[0]:
        raise ValueError("parameters must have one layer or more with one input or more, got none")
    _check_length("biases", parameters.biases, len(parameters.weights))
    n_in = len(parameters.weights[0])
    for i, (W, b) in enumerate(zip(parameters.weights, parameters.biases, strict=True)):
        _check_length(f"weights of layer {i}", W, n_in)
        _check_matrix(f"weights and biases of layer {i}", [*W, b], len(b))
        n_in = len(b)
        if not n_in:
            raise ValueError(f"layer {i} must have one unit or more, got none")


def _check_like(name: str, values: Parameters, parameters: Parameters) -> None:  # given
    """Gradients or moments: finite, and of the parameters' shapes."""
    _check_parameters(values)
    if _sizes(values) != _sizes(parameters):
        raise ValueError(f"{name} must be of the sizes {_sizes(parameters)}, got {_sizes(values)}")


def _check_state(optimizer: SGD | Adam, parameters: Parameters, moments: list[Parameters]) -> None:  # given
    """Good settings and parameters, and as many moments as the optimizer has, each like the parameters."""
    n_moments = _check_optimizer(optimizer)
    _check_parameters(parameters)
    _check_length("moments", moments, n_moments)
    for moment in moments:
        _check_like("moments", moment, parameters)


def _check_run(run: Run) -> None:  # given
    """All of it; the random state by trying it."""
    _check_state(run.optimizer, run.parameters, run.moments)
    _check_count("batch_size", run.batch_size, 1)
    _check_count("n_steps", run.n_steps, 0)
    _check_count("position", run.position, 0)
    Random().setstate(run.random_state)


def _check_optimizer(optimizer: SGD | Adam) -> int:  # given
    """Settings in their ranges. Returns how many moments the optimizer has."""
    if not isinstance(optimizer, SGD | Adam):
        raise ValueError(f"optimizer must be SGD or Adam, got {optimizer!r}")
    if not 0 <= optimizer.learning_rate < math.inf:
        raise ValueError(f"learning_rate must be finite and at least 0, got {optimizer.learning_rate}")
    for name in ("momentum",) if isinstance(optimizer, SGD) else ("beta1", "beta2"):
        if not 0 <= getattr(optimizer, name) < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(optimizer, name)}")
    if isinstance(optimizer, SGD):
        return 1
    if not 0 < optimizer.eps < math.inf:
        raise ValueError(f"eps must be finite and above 0, got {optimizer.eps}")
    return 2


if __name__ == "__main__":
    by_hand = Parameters([[[2.0, -1.0], [0.5, 1.0]], [[1.0, 0.0], [1.0, 0.5]]], [[0.0, 0.0], [0.0, 2.0]])
    X, labels = [[1.0, 0.0], [0.0, 2.0]], [0, 0]
    print("activations by hand:", forward(by_hand, X))
    print("loss and gradients: ", loss_and_gradients(by_hand, X, labels))
