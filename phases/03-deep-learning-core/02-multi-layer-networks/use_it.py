"""Networks of neurons in layers with torch: torch.nn.Linear, torch.nn.Sequential, and what torch counts by itself."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

__all__ = [
    "Layer",
    "Trace",
    "activate",
    "count_multiply_adds",
    "count_parameters",
    "forward",
    "hinges",
    "layer_forward",
    "linear",
    "memory",
    "neuron",
    "predict",
    "shapes",
    "staircase",
    "state_dict",
]

Vector = list[float]
Matrix = list[list[float]]

DTYPES = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Layer:
    """One layer: it maps H (n_samples × n_in) to f(H W + b) (n_samples × n_out).

    Attributes:
        weights: W, n_in × n_out: column k holds the weights of neuron k.
        biases: b, one for each of the n_out neurons.
        activation: the name of f: "identity", "step", "sigmoid", "tanh" or "relu".
    """

    weights: Matrix
    biases: Vector
    activation: str


@dataclass(frozen=True)
class Trace:
    """The values at every step of a forward pass.

    Attributes:
        pre_activations: one matrix for each layer: pre_activations[l] is Z = H W + b of layer l, n_samples × n_out of
            that layer.
        activations: one matrix more: activations[l] is what goes into layer l, so activations[0] is X,
            activations[l + 1] is f(pre_activations[l]), and activations[-1] are the network's outputs.
    """

    pre_activations: list[Matrix]
    activations: list[Matrix]


class Step(nn.Module):
    """1 where z > 0, else 0. Torch has the function and no module; it says 0 to NaN, where we keep the NaN."""

    def forward(self, Z: Tensor) -> Tensor:
        return torch.where(Z.isnan(), Z, torch.heaviside(Z, torch.zeros_like(Z)))


ACTIVATIONS = {"identity": nn.Identity, "step": Step, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


def activate(Z: Matrix, activation: str) -> Matrix:
    """torch.nn.Identity, Sigmoid, Tanh or ReLU, or torch.heaviside."""
    return _activation(activation)(_matrix("Z", Z)).tolist()


def neuron(x: Vector, weights: Vector, bias: float, activation: str) -> float:
    """torch.nn.functional.linear, which takes vectors too: without n_out it returns a single number."""
    f = _activation(activation)
    if len(weights) != len(x):
        raise ValueError(f"each of {len(x)} inputs needs one weight, got {len(weights)}")
    return f(functional.linear(_vector("x", x), _tensor(weights), _tensor(bias))).item()


def layer_forward(layer: Layer, x: Vector) -> Vector:
    """torch.nn.Linear and the activation, on a tensor without the axis of samples."""
    model = _sequential([layer])
    _same_length("x", x, layer.weights)
    return model(_vector("x", x)).tolist()


def linear(X: Matrix, weights: Matrix, biases: Vector) -> Matrix:
    """torch.nn.functional.linear. It computes X Aᵀ + b, so A is the transpose of W."""
    W = _matrix("weights", weights)
    _same_length("biases", biases, W.T)
    return functional.linear(_matrix("X", X, len(W)), W.T, _tensor(biases)).tolist()


@torch.inference_mode()
def forward(network: list[Layer], X: Matrix) -> Trace:
    """One module of the Sequential after the other, where model(X) would show the last result alone."""
    model = _sequential(network)
    values = [_data("X", X, len(network[0].weights))]
    for module in model:
        values.append(module(values[-1]))
    return Trace([Z.tolist() for Z in values[1::2]], [H.tolist() for H in values[::2]])


@torch.inference_mode()
def predict(network: list[Layer], X: Matrix) -> Matrix:
    """model(X), in inference mode: nothing is recorded for a backward pass."""
    model = _sequential(network)
    return model(_data("X", X, len(network[0].weights))).tolist()


def state_dict(network: list[Layer]) -> dict[str, Matrix | Vector]:
    """Sequential.state_dict(), as plain lists."""
    return {name: parameter.tolist() for name, parameter in _sequential(network).state_dict().items()}


@torch.inference_mode()
def shapes(sizes: list[int], n_samples: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a model that runs on zeros. Linear holds W transposed."""
    model, H = _blank(sizes, n_samples), torch.zeros(n_samples, sizes[0])
    found = {"X": tuple(H.shape)}
    for number, (module, f) in enumerate(zip(model[::2], model[1::2], strict=True), start=1):
        Z = module(H)
        H = f(Z)
        named = {"W": module.weight.T, "b": module.bias, "Z": Z, "H": H}
        found |= {f"{name}{number}": tuple(tensor.shape) for name, tensor in named.items()}
    return found


def count_parameters(sizes: list[int]) -> int:
    """The line that every torch user types some day."""
    return sum(parameter.numel() for parameter in _blank(sizes).parameters())


@torch.inference_mode()
def count_multiply_adds(sizes: list[int], n_samples: int) -> int:
    """torch.utils.flop_counter watches a run. It counts two FLOPs for each multiply-add, and none for biases and f."""
    model = _blank(sizes, n_samples)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(n_samples, sizes[0]))
    return counter.get_total_flops() // 2


@torch.inference_mode()
def memory(sizes: list[int], n_samples: int, dtype: str) -> dict[str, int]:
    """Tensor.nbytes of the parameters, and of X and the output of every activation."""
    model = _blank(sizes, n_samples)
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    model = model.to(DTYPES[dtype])
    values = [torch.zeros(n_samples, sizes[0], dtype=DTYPES[dtype])]
    for module in model:
        values.append(module(values[-1]))
    return {
        "parameters": sum(parameter.nbytes for parameter in model.parameters()),
        "activations": sum(H.nbytes for H in values[::2]),
    }


def staircase(edges: Vector, levels: Vector, steepness: float) -> list[Layer]:
    """torch.diff gives the heights of the steps. Torch has no such network ready made."""
    places, values = _rising("edges", edges), _vector("levels", levels)
    if len(values) != len(places) + 1:
        raise ValueError(f"{len(places)} edges need {len(places) + 1} levels, got {len(values)}")
    if not 0 < steepness < math.inf:
        raise ValueError(f"steepness must be positive and finite, got {steepness}")
    return [
        Layer([[steepness] * len(places)], (-steepness * places).tolist(), "sigmoid"),
        Layer(values.diff().unsqueeze(1).tolist(), [levels[0]], "identity"),
    ]


def hinges(xs: Vector, ys: Vector) -> list[Layer]:
    """torch.diff twice: slopes, and how they change."""
    places = _rising("xs", xs)
    if len(places) < 2:
        raise ValueError(f"a line needs two or more points, got {len(places)}")
    _same_length("ys", ys, xs)
    slopes = _vector("ys", ys).diff() / places.diff()
    changes = slopes.diff(prepend=torch.zeros(1, dtype=torch.float64))
    return [
        Layer([[1.0] * len(slopes)], (-places[:-1]).tolist(), "relu"),
        Layer(changes.unsqueeze(1).tolist(), [ys[0]], "identity"),
    ]


def _sequential(network: list[Layer]) -> nn.Sequential:
    """Sequential(Linear, f, Linear, f, …) in float64, with the weights of `network` transposed into place."""
    if not network:
        raise ValueError("a network must have at least one layer, got none")
    modules = []
    n_in = len(network[0].weights)
    for i, layer in enumerate(network):
        f = _activation(layer.activation)
        W = _matrix(f"weights of layer {i}", layer.weights)
        if len(W) != n_in:
            raise ValueError(f"weights of layer {i} must have {n_in} rows, got {len(W)}")
        n_in = W.shape[1]
        if len(layer.biases) != n_in:
            raise ValueError(f"layer {i} must have {n_in} biases, got {len(layer.biases)}")
        module = nn.Linear(*W.shape, dtype=torch.float64)
        module.load_state_dict({"weight": W.T, "bias": _tensor(layer.biases)})  # in place of its random ones
        modules += [module, f]
    return nn.Sequential(*modules)


def _blank(sizes: list[int], n_samples: int = 1) -> nn.Sequential:
    """A model of these sizes in torch's default, float32; what its random weights are does not matter."""
    if len(sizes) < 2 or not all(isinstance(size, int) and size >= 1 for size in sizes):
        raise ValueError(f"sizes must be two or more integers of at least 1, got {sizes}")
    if not isinstance(n_samples, int) or n_samples < 1:
        raise ValueError(f"n_samples must be an integer of at least 1, got {n_samples}")
    return nn.Sequential(*(module for pair in pairwise(sizes) for module in (nn.Linear(*pair), nn.ReLU())))


def _tensor(values: float | list) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _matrix(name: str, rows: Matrix, n_columns: int | None = None) -> Tensor:
    """A float64 tensor; torch itself raises ValueError where the rows differ in length."""
    tensor = _tensor(rows)
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


def _vector(name: str, values: Vector) -> Tensor:
    tensor = _tensor(values)
    if not len(tensor) or not tensor.isfinite().all():
        raise ValueError(f"{name} must hold finite numbers, got {values}")
    return tensor


def _rising(name: str, values: Vector) -> Tensor:
    tensor = _vector(name, values)
    if (tensor.diff() <= 0).any():
        raise ValueError(f"{name} must rise, got {values}")
    return tensor


def _same_length(name: str, values: object, like: object) -> None:
    if len(values) != len(like):
        raise ValueError(f"{name} must have {len(like)} entries, got {len(values)}")


def _activation(name: str) -> nn.Module:
    if name not in ACTIVATIONS:
        raise ValueError(f"an activation must be {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]()
