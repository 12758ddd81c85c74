"""Backpropagation in torch: the same network out of torch.nn.functional, and every gradient from torch.autograd."""

import math
from dataclasses import dataclass
from itertools import chain
from random import Random

import torch
from torch import Tensor
from torch.nn import functional

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


ACTIVATIONS = {
    "identity": torch.nn.Identity(),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": functional.relu,
}
LOSSES = {"squared_error": functional.mse_loss, "cross_entropy": functional.cross_entropy}


def initialize(sizes: list[int], activations: list[str], rng: Random) -> list[Layer]:
    """As build_it: the draws come from `rng`, so torch's own generators (torch.nn.init) have no part in it."""
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes must be two or more numbers of at least 1, got {sizes}")
    if len(activations) != len(sizes) - 1:
        raise ValueError(f"{len(sizes) - 1} layers need as many activations, got {len(activations)}")
    network = []
    for i, activation in enumerate(activations):
        n_in, n_out = sizes[i], sizes[i + 1]
        _activation(activation)
        bound = 1 / math.sqrt(n_in)
        weights = [[rng.uniform(-bound, bound) for _ in range(n_out)] for _ in range(n_in)]
        biases = [rng.uniform(-bound, bound) for _ in range(n_out)]
        network.append(Layer(weights, biases, activation))
    return network


def activate(Z: Matrix, activation: str) -> Matrix:
    """torch.sigmoid, torch.tanh, torch.nn.functional.relu or nothing."""
    return _activation(activation)(_matrix("Z", Z)).tolist()


def derivative(Z: Matrix, activation: str) -> Matrix:
    """torch.autograd through f alone. The upstream gradient may be ones here: no element of f(Z) sees another."""
    leaf = _matrix("Z", Z).requires_grad_()
    H = _activation(activation)(leaf)
    return torch.autograd.grad(H, leaf, torch.ones_like(H))[0].tolist()


def forward(network: list[Layer], X: Matrix) -> Trace:
    """Matrix products and activations of torch, without a graph."""
    parameters = _parameters(network)
    pre_activations, activations = _run(network, parameters, _data("X", X, len(network[0].weights)))
    return Trace([Z.tolist() for Z in pre_activations], [H.tolist() for H in activations])


def squared_error(outputs: Matrix, targets: Matrix) -> tuple[float, Matrix]:
    """torch.nn.functional.mse_loss, and its gradient by autograd."""
    leaf = _matrix("outputs", outputs).requires_grad_()
    return _value_and_gradient("squared_error", leaf, _targets("squared_error", targets, leaf))


def cross_entropy(logits: Matrix, labels: list[int]) -> tuple[float, Matrix]:
    """torch.nn.functional.cross_entropy, and its gradient by autograd."""
    leaf = _matrix("logits", logits).requires_grad_()
    return _value_and_gradient("cross_entropy", leaf, _targets("cross_entropy", labels, leaf))


def backward(network: list[Layer], trace: Trace, output_gradient: Matrix) -> Gradients:
    """torch.autograd.grad of the outputs with respect to inputs, parameters and pre-activations.

    A trace of plain lists carries no graph, so the forward pass is recorded again from trace.activations[0].
    """
    parameters = _parameters(network)
    if len(trace.pre_activations) != len(network):
        raise ValueError(f"trace must have {len(network)} layers, got {len(trace.pre_activations)}")
    upstream = _matrix("output_gradient", output_gradient, len(network[-1].biases))
    _same_length("output_gradient", output_gradient, trace.activations[-1])
    X = _matrix("X", trace.activations[0], len(network[0].weights)).requires_grad_()
    pre_activations, activations = _run(network, parameters, X)
    weights, biases = zip(*parameters, strict=True)
    gradients = torch.autograd.grad(activations[-1], [*weights, *biases, *pre_activations, X], upstream)
    values = [gradient.tolist() for gradient in gradients]
    n = len(network)
    return Gradients(values[:n], values[n : 2 * n], values[2 * n : 3 * n], values[-1])


def step(network: list[Layer], gradients: Gradients, learning_rate: float) -> list[Layer]:
    """torch.optim.SGD, with the gradients put where backward() would have left them."""
    parameters = _parameters(network)
    _check_learning_rate(learning_rate)
    _same_length("gradients.weights", gradients.weights, network)
    _same_length("gradients.biases", gradients.biases, network)
    for (W, b), dW, db in zip(parameters, gradients.weights, gradients.biases, strict=True):
        _same_length("a gradient of weights", dW, W)
        _same_length("a gradient of biases", db, b)
        W.grad = _matrix("a gradient of weights", dW, len(b))
        b.grad = torch.tensor(db, dtype=torch.float64)
    torch.optim.SGD(chain(*parameters), lr=learning_rate).step()
    return _layers(network, parameters)


def train(
    network: list[Layer],
    X: Matrix,
    targets: Matrix | list[int],
    loss: str,
    *,
    learning_rate: float,
    n_steps: int,
) -> tuple[list[Layer], list[float]]:
    """The loop of every torch program: gradients cleared, outputs, loss, backward(), step()."""
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}")
    if n_steps < 0:
        raise ValueError(f"n_steps must be at least 0, got {n_steps}")
    parameters = _parameters(network)
    inputs = _data("X", X, len(network[0].weights))
    _check_learning_rate(learning_rate)
    wanted = _targets(loss, targets, _run(network, parameters, inputs)[1][-1])
    optimizer = torch.optim.SGD(chain(*parameters), lr=learning_rate)
    losses = []
    for _ in range(n_steps):
        optimizer.zero_grad()
        outputs = _run(network, parameters, inputs)[1][-1]
        value = LOSSES[loss](outputs, wanted)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return _layers(network, parameters), losses


def predict(network: list[Layer], X: Matrix) -> Matrix:
    """A forward pass in inference mode, which records no graph."""
    with torch.inference_mode():
        inputs = _data("X", X, len(network[0].weights) if network else None)
        return _run(network, _parameters(network), inputs)[1][-1].tolist()


def _run(network: list[Layer], parameters: list[tuple[Tensor, Tensor]], X: Tensor) -> tuple[list, list]:
    """The forward pass: Z of every layer, and X followed by f(Z) of every layer."""
    pre_activations, activations = [], [X]
    for layer, (W, b) in zip(network, parameters, strict=True):
        pre_activations.append(torch.addmm(b, activations[-1], W))
        activations.append(ACTIVATIONS[layer.activation](pre_activations[-1]))
    return pre_activations, activations


def _value_and_gradient(loss: str, outputs: Tensor, targets: Tensor) -> tuple[float, Matrix]:
    value = LOSSES[loss](outputs, targets)
    value.backward()
    return value.item(), outputs.grad.tolist()


def _layers(network: list[Layer], parameters: list[tuple[Tensor, Tensor]]) -> list[Layer]:
    return [Layer(W.tolist(), b.tolist(), layer.activation) for layer, (W, b) in zip(network, parameters, strict=True)]


def _parameters(network: list[Layer]) -> list[tuple[Tensor, Tensor]]:
    """(W, b) of every layer as leaves of a graph, checked."""
    if not network:
        raise ValueError("a network must have at least one layer, got none")
    parameters = []
    n_in = len(network[0].weights)
    for i, layer in enumerate(network):
        _activation(layer.activation)
        W = _matrix(f"weights of layer {i}", layer.weights)
        if len(W) != n_in:
            raise ValueError(f"weights of layer {i} must have {n_in} rows, got {len(W)}")
        n_in = W.shape[1]
        if len(layer.biases) != n_in:
            raise ValueError(f"layer {i} must have {n_in} biases, got {len(layer.biases)}")
        b = torch.tensor(layer.biases, dtype=torch.float64)
        parameters.append((W.requires_grad_(), b.requires_grad_()))
    return parameters


def _matrix(name: str, rows: Matrix, n_columns: int | None = None) -> Tensor:
    """A float64 tensor; torch itself raises ValueError where the rows differ in length."""
    tensor = torch.tensor(rows, dtype=torch.float64)
    if tensor.ndim != 2 or not tensor.numel():
        raise ValueError(f"{name} must be a matrix, a non-empty list of non-empty rows, got {rows!r}")
    if n_columns is not None and tensor.shape[1] != n_columns:
        raise ValueError(f"rows of {name} must have {n_columns} values, got {tensor.shape[1]}")
    return tensor


def _data(name: str, rows: Matrix, n_columns: int | None = None) -> Tensor:
    tensor = _matrix(name, rows, n_columns)
    if not tensor.isfinite().all():
        raise ValueError(f"{name} must hold finite numbers, got {rows}")
    return tensor


def _targets(loss: str, targets: Matrix | list[int], outputs: Tensor) -> Tensor:
    """A matrix for squared_error, class indices for cross_entropy (where torch would skip a label of -100)."""
    n_outputs = outputs.shape[1]
    _same_length("labels" if loss == "cross_entropy" else "targets", targets, outputs)
    if loss == "squared_error":
        return _data("targets", targets, n_outputs)
    for label in targets:
        if not isinstance(label, int) or not 0 <= label < n_outputs:
            raise ValueError(f"a label must be an int from 0 to {n_outputs - 1}, got {label!r}")
    return torch.tensor(targets, dtype=torch.int64)


def _same_length(name: str, values: object, like: object) -> None:
    if len(values) != len(like):
        raise ValueError(f"{name} must have {len(like)} entries, got {len(values)}")


def _check_learning_rate(learning_rate: float) -> None:
    if not 0 <= learning_rate < math.inf:
        raise ValueError(f"learning_rate must be finite and at least 0, got {learning_rate}")


def _activation(name: str):
    if name not in ACTIVATIONS:
        raise ValueError(f"an activation must be {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]
