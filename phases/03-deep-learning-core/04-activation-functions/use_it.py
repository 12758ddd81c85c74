"""Activation functions out of torch.nn.functional, and every derivative from torch.autograd."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from random import Random

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "Pass",
    "dead_units",
    "forward_backward",
    "gelu",
    "gelu_derivative",
    "layer_norms",
    "leaky_relu",
    "leaky_relu_derivative",
    "log_softmax",
    "log_softmax_backward",
    "random_weights",
    "relu",
    "relu_derivative",
    "sigmoid",
    "sigmoid_derivative",
    "silu",
    "silu_derivative",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_derivative",
]

Vector = list[float]
Matrix = list[list[float]]


@dataclass(frozen=True)
class Pass:
    """What one pass through a deep network leaves, forward and back; each list has one entry a layer, first to last.

    Attributes:
        pre_activations: Z = H W, n_samples × n_out of the layer, where H is what goes into the layer.
        activations: f(Z), of the same shape.
        deltas: δ = dL/dZ, of the same shape.
        weight_gradients: dL/dW = Hᵀ δ, with the shape of W.
    """

    pre_activations: list[Matrix]
    activations: list[Matrix]
    deltas: list[Matrix]
    weight_gradients: list[Matrix]


ACTIVATIONS = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,  # negative_slope=0.01
    "gelu": functional.gelu,  # approximate="none"
    "silu": functional.silu,
}


def sigmoid(x: float) -> float:
    """torch.sigmoid."""
    return torch.sigmoid(_scalar(x)).item()


def sigmoid_derivative(x: float) -> float:
    """torch.autograd through torch.sigmoid."""
    return _derivative(torch.sigmoid, x)


def tanh(x: float) -> float:
    """torch.tanh."""
    return torch.tanh(_scalar(x)).item()


def tanh_derivative(x: float) -> float:
    """torch.autograd through torch.tanh."""
    return _derivative(torch.tanh, x)


def relu(x: float) -> float:
    """torch.nn.functional.relu."""
    return functional.relu(_scalar(x)).item()


def relu_derivative(x: float) -> float:
    """torch.autograd through torch.nn.functional.relu."""
    return _derivative(functional.relu, x)


def leaky_relu(x: float, negative_slope: float = 0.01) -> float:
    """torch.nn.functional.leaky_relu."""
    return functional.leaky_relu(_scalar(x), negative_slope).item()


def leaky_relu_derivative(x: float, negative_slope: float = 0.01) -> float:
    """torch.autograd through torch.nn.functional.leaky_relu."""
    return _derivative(partial(functional.leaky_relu, negative_slope=negative_slope), x)


def gelu(x: float, approximate: str = "none") -> float:
    """torch.nn.functional.gelu, which itself raises RuntimeError where `approximate` is unknown."""
    return _gelu(approximate)(_scalar(x)).item()


def gelu_derivative(x: float, approximate: str = "none") -> float:
    """torch.autograd through torch.nn.functional.gelu."""
    return _derivative(_gelu(approximate), x)


def silu(x: float) -> float:
    """torch.nn.functional.silu."""
    return functional.silu(_scalar(x)).item()


def silu_derivative(x: float) -> float:
    """torch.autograd through torch.nn.functional.silu."""
    return _derivative(functional.silu, x)


def softmax(logits: Vector) -> Vector:
    """torch.nn.functional.softmax; its `dim` is the axis along which the outputs sum to 1."""
    return functional.softmax(_logits(logits), dim=0).tolist()


def softmax_backward(logits: Vector, upstream: Vector) -> Vector:
    """torch.autograd through torch.nn.functional.softmax."""
    return _vector_jacobian(functional.softmax, logits, upstream)


def log_softmax(logits: Vector) -> Vector:
    """torch.nn.functional.log_softmax."""
    return functional.log_softmax(_logits(logits), dim=0).tolist()


def log_softmax_backward(logits: Vector, upstream: Vector) -> Vector:
    """torch.autograd through torch.nn.functional.log_softmax."""
    return _vector_jacobian(functional.log_softmax, logits, upstream)


def random_weights(sizes: list[int], gain: float, rng: Random) -> list[Matrix]:
    """As build_it: the draws come from `rng`, so torch's own generators (torch.nn.init) have no part in it."""
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes must be two or more numbers of at least 1, got {sizes}")
    return [
        [[rng.gauss(0.0, gain / math.sqrt(n_in)) for _ in range(n_out)] for _ in range(n_in)]
        for n_in, n_out in pairwise(sizes)
    ]


def forward_backward(weights: list[Matrix], activation: str, X: Matrix, output_gradient: Matrix) -> Pass:
    """The forward pass as any torch program writes it; torch.autograd.grad for all that is asked of it."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"an activation must be {', '.join(ACTIVATIONS)}, got {activation!r}")
    if not weights:
        raise ValueError("a network must have at least one layer, got none")
    parameters = [_matrix(f"weights[{i}]", W).requires_grad_() for i, W in enumerate(weights)]
    H, upstream = _matrix("X", X), _matrix("output_gradient", output_gradient)
    _check_shapes(parameters, H, upstream)
    pre_activations, activations = [], []
    for W in parameters:
        pre_activations.append(H @ W)
        H = ACTIVATIONS[activation](pre_activations[-1])
        activations.append(H)
    gradients = torch.autograd.grad(H, [*pre_activations, *parameters], upstream)
    values = [[tensor.tolist() for tensor in tensors] for tensors in (pre_activations, activations, gradients)]
    return Pass(values[0], values[1], values[2][: len(weights)], values[2][len(weights) :])


def layer_norms(matrices: list[Matrix]) -> list[float]:
    """torch.linalg.matrix_norm, whose default is the Frobenius norm."""
    return [torch.linalg.matrix_norm(_matrix("each of the matrices", M)).item() for M in matrices]


def dead_units(activations: Matrix) -> list[int]:
    """A comparison, `any` over the samples, and the places where it says no."""
    H = _matrix("activations", activations)
    if H.isnan().any():
        raise ValueError("activations must be numbers, got NaN: find where it comes from first")
    return (H > 0).any(dim=0).logical_not().nonzero().flatten().tolist()


def _derivative(f: Callable[[Tensor], Tensor], x: float) -> float:
    leaf = _scalar(x).requires_grad_()
    f(leaf).backward()
    return leaf.grad.item()


def _vector_jacobian(f: Callable[..., Tensor], logits: Vector, upstream: Vector) -> Vector:
    """What reaches the logits when `upstream` arrives at the outputs."""
    leaf = _logits(logits).requires_grad_()
    if len(upstream) != len(logits):
        raise ValueError(f"upstream must have {len(logits)} values, one for each logit, got {len(upstream)}")
    return torch.autograd.grad(f(leaf, dim=0), leaf, torch.tensor(upstream, dtype=torch.float64))[0].tolist()


def _gelu(approximate: str) -> Callable[[Tensor], Tensor]:
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")
    return partial(functional.gelu, approximate=approximate)


def _scalar(x: float) -> Tensor:
    return torch.tensor(x, dtype=torch.float64)


def _logits(logits: Vector) -> Tensor:
    """torch's softmax of nothing is nothing; ours is refused."""
    if not logits:
        raise ValueError("logits must be one or more numbers, got none")
    return torch.tensor(logits, dtype=torch.float64)


def _matrix(name: str, rows: Matrix) -> Tensor:
    """A float64 tensor; torch itself raises ValueError where the rows differ in length."""
    tensor = torch.tensor(rows, dtype=torch.float64)
    if tensor.ndim != 2 or not tensor.numel():
        raise ValueError(f"{name} must be a matrix, a non-empty list of non-empty rows, got {rows!r}")
    return tensor


def _check_shapes(parameters: list[Tensor], X: Tensor, output_gradient: Tensor) -> None:
    n_in = X.shape[1]
    for i, W in enumerate(parameters):
        if len(W) != n_in:
            raise ValueError(f"weights[{i}] must have {n_in} rows, as many as values come in, got {len(W)}")
        n_in = W.shape[1]
    if output_gradient.shape != (len(X), n_in):
        raise ValueError(f"output_gradient must be {len(X)} × {n_in}, got {tuple(output_gradient.shape)}")
