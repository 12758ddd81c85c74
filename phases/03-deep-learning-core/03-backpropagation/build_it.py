"""Backpropagation by hand: forward and backward through a network of any depth, on the standard library alone."""

import math
from dataclasses import dataclass
from operator import add, mul
from random import Random

__all__ = [
    "Gradients",
    "Layer",
    "Trace",
    "activate",
    "backward",
    "cross_entropy",
    "derivative",
    "forward",
    "initialize",
    "predict",
    "squared_error",
    "step",
    "train",
]

Vector = list[float]
Matrix = list[list[float]]


@dataclass(frozen=True)
class Layer:
    """One layer: it maps H (n_samples × n_in) to f(H W + b) (n_samples × n_out).

    Attributes:
        weights: W, n_in × n_out.
        biases: b, one for each of the n_out units.
        activation: the name of f: "identity", "sigmoid", "tanh" or "relu".
    """

    weights: Matrix
    biases: Vector
    activation: str


@dataclass(frozen=True)
class Trace:
    """What a forward pass leaves for the backward pass.

    Attributes:
        pre_activations: one matrix for each layer: pre_activations[l] is Z = H W + b of layer l, n_samples × n_out of
            that layer.
        activations: one matrix more: activations[l] is what goes into layer l, so activations[0] is X,
            activations[l + 1] is f(pre_activations[l]), and activations[-1] are the network's outputs.
    """

    pre_activations: list[Matrix]
    activations: list[Matrix]


@dataclass(frozen=True)
class Gradients:
    """The derivative of the loss with respect to everything; each list has one entry for each layer, first to last.

    Attributes:
        weights: dL/dW, with the shape of W.
        biases: dL/db, with the shape of b.
        pre_activations: δ = dL/dZ, with the shape of Z.
        inputs: dL/dX, with the shape of X.
    """

    weights: list[Matrix]
    biases: list[Vector]
    pre_activations: list[Matrix]
    inputs: Matrix


def _matmul(A: Matrix, B: Matrix) -> Matrix:  # given
    """A B: row i of A times column j of B."""
    columns = list(zip(*B, strict=True))
    return [[sum(map(mul, row, column)) for column in columns] for row in A]


def _transpose(A: Matrix) -> Matrix:  # given
    """Aᵀ."""
    return [list(column) for column in zip(*A, strict=True)]


def initialize(sizes: list[int], activations: list[str], rng: Random) -> list[Layer]:
    """A network with random weights.

    Every weight and bias of a layer is drawn from U(-1/√n_in, 1/√n_in), as `rng.uniform(-bound, bound)`, in
    this order: layer by layer; in a layer first the weights, row by row (all weights that leave the first input,
    then the second, …), then the biases.

    Args:
        sizes: the number of inputs, then the number of units of each layer: [2, 3, 1] makes two layers.
        activations: one name for each layer.
        rng: where the draws come from.

    Raises:
        ValueError: fewer than two sizes, a size below 1, a number of activations that is not len(sizes) - 1, or an
            unknown activation.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes must be two or more numbers of at least 1, got {sizes}")
    if len(activations) != len(sizes) - 1:
        raise ValueError(f"{len(sizes) - 1} layers need as many activations, got {len(activations)}")
    network = []
    for i, activation in enumerate(activations):
        n_in, n_out = sizes[i], sizes[i + 1]
        _check_activation(activation)
        bound = 1 / math.sqrt(n_in)
        weights = [[rng.uniform(-bound, bound) for _ in range(n_out)] for _ in range(n_in)]
        biases = [rng.uniform(-bound, bound) for _ in range(n_out)]
        network.append(Layer(weights, biases, activation))
    return network


def _sigmoid(z: float) -> float:
    """1 / (1 + e⁻ᶻ), written so that the exponential is never of a positive number."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def activate(Z: Matrix, activation: str) -> Matrix:
    """f(Z), element by element: z, 1 / (1 + e⁻ᶻ), tanh z or max(0, z).

    Works for any z: the sigmoid of -1000 is 0.0 and no exponential overflows; NaN stays NaN under every name (max(z, 0)
    keeps it, max(0, z) does not), so that a training run that went wrong shows it.

    Raises:
        ValueError: `activation` is unknown, or Z is no matrix.
    """
    _check_activation(activation)
    _check_matrix("Z", Z)
    f = {"identity": float, "sigmoid": _sigmoid, "tanh": math.tanh, "relu": lambda z: max(z, 0.0)}[activation]
    return [[f(z) for z in row] for row in Z]


def derivative(Z: Matrix, activation: str) -> Matrix:
    """f'(Z), element by element: 1, σ(z)(1 - σ(z)), 1 - tanh² z, or 1 where z > 0 and 0 elsewhere.

    ReLU has no derivative at 0; like torch we say 0 there.

    Raises:
        ValueError: `activation` is unknown, or Z is no matrix.
    """
    H = activate(Z, activation)
    if activation == "sigmoid":
        return [[h * (1 - h) for h in row] for row in H]
    if activation == "tanh":
        return [[1 - h * h for h in row] for row in H]
    if activation == "relu":
        return [[1.0 if h > 0 else 0.0 for h in row] for row in H]
    return [[1.0 for _ in row] for row in H]


def forward(network: list[Layer], X: Matrix) -> Trace:
    """Z = H W + b and H = f(Z) through every layer, and all of them kept.

    Args:
        network: one or more layers; n_in of each is n_out of the one before.
        X: n_samples × n_features, finite; n_features is n_in of the first layer.

    Raises:
        ValueError: no layer; a layer whose weights are no matrix or do not fit the layer before, whose biases are not
            n_out numbers, or whose activation is unknown; an X that is no matrix of n_features columns, or not finite.
    """
    _check_network(network)
    _check_matrix("X", X, len(network[0].weights))
    _check_finite("X", X)
    pre_activations, activations = [], [X]
    for layer in network:
        HW = _matmul(activations[-1], layer.weights)
        Z = [list(map(add, row, layer.biases)) for row in HW]
        pre_activations.append(Z)
        activations.append(activate(Z, layer.activation))
    return Trace(pre_activations, activations)


def squared_error(outputs: Matrix, targets: Matrix) -> tuple[float, Matrix]:
    """The mean of (output - target)² over all elements, samples and outputs alike; and its gradient.

    A square too large for a float is inf, as in torch: write e * e, since e**2 raises OverflowError.

    Returns:
        The loss, and dL/d(outputs) = 2 (outputs - targets) / (n_samples · n_outputs), n_samples × n_outputs.

    Raises:
        ValueError: outputs or targets is no matrix, their shapes differ, or a target is not finite.
    """
    _check_matrix("outputs", outputs)
    _check_matrix("targets", targets, len(outputs[0]))
    _check_same_length("targets", targets, outputs)
    _check_finite("targets", targets)
    n = len(outputs) * len(outputs[0])
    errors = [[o - t for o, t in zip(*rows, strict=True)] for rows in zip(outputs, targets, strict=True)]
    loss = sum(e * e for row in errors for e in row) / n
    return loss, [[2 * e / n for e in row] for row in errors]


def cross_entropy(logits: Matrix, labels: list[int]) -> tuple[float, Matrix]:
    """The mean over samples of -log p(label), with p = softmax(logits) of the sample; and its gradient.

    log p = z - log Σ eᶻ, with the largest logit taken out of the sum, so that logits of ±1000 neither overflow nor
    give log 0.

    Args:
        logits: n_samples × n_classes, the outputs of a network whose last layer is "identity".
        labels: for each sample the index of its class; False and True count as 0 and 1, as everywhere in Python.

    Returns:
        The loss, and dL/d(logits) = (p - y) / n_samples, where y is 1 at the label and 0 elsewhere.

    Raises:
        ValueError: logits is no matrix, the number of labels differs, or a label is no int (1.0 is none) or not from
            0 to n_classes - 1.
    """
    _check_matrix("logits", logits)
    _check_same_length("labels", labels, logits)
    n, n_classes = len(logits), len(logits[0])
    for label in labels:
        if not isinstance(label, int) or not 0 <= label < n_classes:
            raise ValueError(f"a label must be an int from 0 to {n_classes - 1}, got {label!r}")
    loss, gradient = 0.0, []
    for row, label in zip(logits, labels, strict=True):
        largest = max(row)
        log_sum = largest + math.log(sum(math.exp(z - largest) for z in row))
        loss -= (row[label] - log_sum) / n
        gradient.append([(math.exp(z - log_sum) - (k == label)) / n for k, z in enumerate(row)])
    return loss, gradient


def backward(network: list[Layer], trace: Trace, output_gradient: Matrix) -> Gradients:
    """The chain rule from the last layer to the first (Rumelhart, Hinton & Williams 1986).

    δ = dL/dH ⊙ f'(Z), then dL/dW = Hᵀ δ, dL/db = the sum of δ over samples, and dL/dH of the layer below = δ Wᵀ.

    Args:
        network: the layers that made `trace`.
        trace: from `forward(network, X)`.
        output_gradient: dL/d(outputs), n_samples × n_outputs: from a loss, or any other.

    Raises:
        ValueError: `network` is bad as in `forward`, `trace` has not as many layers, or `output_gradient` has not
            the shape of the outputs.
    """
    _check_network(network)
    if len(trace.pre_activations) != len(network):
        raise ValueError(f"trace must have {len(network)} layers, got {len(trace.pre_activations)}")
    _check_matrix("output_gradient", output_gradient, len(network[-1].biases))
    _check_same_length("output_gradient", output_gradient, trace.activations[-1])
    weights, biases, deltas = [], [], []
    dH = output_gradient
    for layer, H, Z in zip(
        reversed(network), reversed(trace.activations[:-1]), reversed(trace.pre_activations), strict=True
    ):
        delta = [list(map(mul, *rows)) for rows in zip(dH, derivative(Z, layer.activation), strict=True)]
        weights.append(_matmul(_transpose(H), delta))
        biases.append([sum(column) for column in zip(*delta, strict=True)])
        deltas.append(delta)
        dH = _matmul(delta, _transpose(layer.weights))
    return Gradients(weights[::-1], biases[::-1], deltas[::-1], dH)


def step(network: list[Layer], gradients: Gradients, learning_rate: float) -> list[Layer]:
    """One step of gradient descent: a new network with W - η dL/dW and b - η dL/db; `network` is left as it is.

    Raises:
        ValueError: `network` is bad as in `forward`, a gradient has not the shape of its parameter, or
            `learning_rate` is not finite or below 0.
    """
    _check_network(network)
    _check_learning_rate(learning_rate)
    _check_same_length("gradients.weights", gradients.weights, network)
    _check_same_length("gradients.biases", gradients.biases, network)
    moved = []
    for layer, dW, db in zip(network, gradients.weights, gradients.biases, strict=True):
        _check_matrix("a gradient of weights", dW, len(layer.biases))
        _check_same_length("a gradient of weights", dW, layer.weights)
        _check_same_length("a gradient of biases", db, layer.biases)
        weights = [
            [w - learning_rate * g for w, g in zip(*rows, strict=True)] for rows in zip(layer.weights, dW, strict=True)
        ]
        biases = [b - learning_rate * g for b, g in zip(layer.biases, db, strict=True)]
        moved.append(Layer(weights, biases, layer.activation))
    return moved


def train(
    network: list[Layer],
    X: Matrix,
    targets: Matrix | list[int],
    loss: str,
    *,
    learning_rate: float,
    n_steps: int,
) -> tuple[list[Layer], list[float]]:
    """`n_steps` steps of gradient descent, each on all of X.

    Args:
        network: where training starts; left as it is.
        X: n_samples × n_features.
        targets: for "squared_error" a matrix n_samples × n_outputs, for "cross_entropy" a label for each sample.
        loss: "squared_error" or "cross_entropy".
        learning_rate: η.
        n_steps: how many; 0 gives back the network as it came, and no losses, if all arguments are good.

    Returns:
        The trained network, and n_steps losses: losses[k] is the loss after k steps, measured before step k + 1.
        A run that diverges has inf or NaN among its losses; that is no error.

    Raises:
        ValueError: `loss` is unknown, `n_steps` is below 0, or anything that `forward`, the loss or `step` refuses,
            even where `n_steps` is 0.
    """
    losses_by_name = {"squared_error": squared_error, "cross_entropy": cross_entropy}
    if loss not in losses_by_name:
        raise ValueError(f"loss must be one of {', '.join(losses_by_name)}, got {loss!r}")
    if n_steps < 0:
        raise ValueError(f"n_steps must be at least 0, got {n_steps}")
    _check_learning_rate(learning_rate)
    losses_by_name[loss](predict(network, X), targets)  # refuses what does not fit before the first step
    losses = []
    for _ in range(n_steps):
        trace = forward(network, X)
        value, output_gradient = losses_by_name[loss](trace.activations[-1], targets)
        network = step(network, backward(network, trace, output_gradient), learning_rate)
        losses.append(value)
    return network, losses


def predict(network: list[Layer], X: Matrix) -> Matrix:
    """The outputs of the network for X, n_samples × n_outputs: the last activations of `forward`.

    Raises:
        ValueError: as `forward`.
    """
    return forward(network, X).activations[-1]


def _check_matrix(name: str, rows: Matrix, n_columns: int | None = None) -> None:  # given
    """A non-empty list of rows of equal length (`n_columns` where given), at least one."""
    if not rows or not all(isinstance(row, list | tuple) and row for row in rows):
        raise ValueError(f"{name} must be a matrix, a non-empty list of non-empty rows, got {rows!r}")
    expected = len(rows[0]) if n_columns is None else n_columns
    for i, row in enumerate(rows):
        if len(row) != expected:
            raise ValueError(f"row {i} of {name} must have {expected} values, got {len(row)}")


def _check_finite(name: str, rows: Matrix) -> None:  # given
    """No NaN and no infinity: data with holes in them cannot be learned from."""
    for i, row in enumerate(rows):
        if not all(map(math.isfinite, row)):
            raise ValueError(f"row {i} of {name} must hold finite numbers, got {row}")


def _check_same_length(name: str, values: list, like: list) -> None:  # given
    """As many entries as there should be."""
    if len(values) != len(like):
        raise ValueError(f"{name} must have {len(like)} entries, got {len(values)}")


def _check_activation(name: str) -> None:  # given
    """One of the four names."""
    if name not in ("identity", "sigmoid", "tanh", "relu"):
        raise ValueError(f"an activation must be identity, sigmoid, tanh or relu, got {name!r}")


def _check_learning_rate(learning_rate: float) -> None:  # given
    """Finite and not negative."""
    if not 0 <= learning_rate < math.inf:
        raise ValueError(f"learning_rate must be finite and at least 0, got {learning_rate}")


def _check_network(network: list[Layer]) -> None:  # given
    """At least one layer; every layer's weights, biases and activation fit each other and the layer before."""
    if not network:
        raise ValueError("a network must have at least one layer, got none")
    n_in = len(network[0].weights)
    for i, layer in enumerate(network):
        _check_activation(layer.activation)
        _check_matrix(f"weights of layer {i}", layer.weights)
        if len(layer.weights) != n_in:
            raise ValueError(f"weights of layer {i} must have {n_in} rows, got {len(layer.weights)}")
        n_in = len(layer.weights[0])
        if len(layer.biases) != n_in:
            raise ValueError(f"layer {i} must have {n_in} biases, got {len(layer.biases)}")


if __name__ == "__main__":
    by_hand = [
        Layer([[1.0, -2.0], [-1.0, 0.5]], [1.0, 1.0], "sigmoid"),
        Layer([[2.0], [-1.0]], [0.0], "identity"),
    ]
    trained, losses = train(by_hand, [[1.0, 2.0]], [[1.0]], "squared_error", learning_rate=0.125, n_steps=2)
    print("loss before and after one step:", losses)
