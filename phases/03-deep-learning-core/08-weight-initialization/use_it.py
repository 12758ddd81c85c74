"""Where the weights of a network start: torch.nn.init itself, with draws that come from a random.Random."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any
from unittest.mock import patch

import torch
from phases.deep_learning_core.backpropagation.use_it import Layer, backward, forward
from torch import Tensor, nn
from torch.nn import init

__all__ = [
    "Variances",
    "calculate_fan_in_and_fan_out",
    "calculate_gain",
    "constant",
    "initialize",
    "kaiming_normal",
    "kaiming_uniform",
    "linear_default",
    "measured_variances",
    "moments",
    "normal",
    "orthogonal",
    "predicted_variances",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
]

Vector = list[float]
Matrix = list[list[float]]
Nested = list[Any]  # of floats, or of such lists: nested as deep as a shape has dimensions
Shape = Sequence[int]

ACTIVATIONS = {"identity": lambda z: z, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}


@dataclass(frozen=True)
class Variances:
    """How large the numbers of each layer are: means of squares; each list has one entry a layer, first to last.

    A mean of squares is the variance where the mean is 0, as it is for z and δ behind random weights. The activations
    of sigmoid and ReLU have a mean, and the next layer feels the mean of their squares.

    Attributes:
        pre_activations: of z.
        activations: of h = f(z).
        deltas: of δ = dL/dz.
        weight_gradients: of dL/dw.
    """

    pre_activations: Vector
    activations: Vector
    deltas: Vector
    weight_gradients: Vector


@contextmanager
def draws_from(rng: Random) -> Iterator[None]:
    """Inside, uniform_ and normal_ of any tensor take their draws from `rng` and not from torch's generator.

    torch.nn.init computes bounds and standard deviations and hands them to these two methods; nothing else changes.
    """

    def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, *, generator: object = None) -> Tensor:
        return _copy(tensor, [rng.uniform(a, b) for _ in range(tensor.numel())])

    def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: object = None) -> Tensor:
        return _copy(tensor, [rng.gauss(mean, std) for _ in range(tensor.numel())])

    with patch.object(Tensor, "uniform_", uniform_), patch.object(Tensor, "normal_", normal_):
        yield


def _copy(tensor: Tensor, values: Vector) -> Tensor:
    return tensor.copy_(torch.tensor(values, dtype=tensor.dtype).view(tensor.shape))


def calculate_fan_in_and_fan_out(shape: Shape) -> tuple[int, int]:
    """torch.nn.init._calculate_fan_in_and_fan_out of a tensor on the meta device: a shape without data."""
    _check_shape(shape)
    return init._calculate_fan_in_and_fan_out(torch.empty(*shape, device="meta"))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """torch.nn.init.calculate_gain, which takes infinite and NaN slopes, too."""
    if nonlinearity == "leaky_relu" and isinstance(param, float) and not math.isfinite(param):
        raise ValueError(f"the negative slope must be a finite number, got {param}")
    return float(init.calculate_gain(nonlinearity, param))


def constant(shape: Shape, val: float) -> Nested:
    """torch.nn.init.constant_."""
    return init.constant_(_empty(shape), val).tolist()


def uniform(shape: Shape, a: float = 0.0, b: float = 1.0, *, rng: Random) -> Nested:
    """torch.nn.init.uniform_."""
    if not -math.inf < a <= b < math.inf:
        raise ValueError(f"uniform needs finite bounds a ≤ b, got a={a}, b={b}")
    with draws_from(rng):
        return init.uniform_(_empty(shape), a, b).tolist()


def normal(shape: Shape, mean: float = 0.0, std: float = 1.0, *, rng: Random) -> Nested:
    """torch.nn.init.normal_."""
    if not math.isfinite(mean):
        raise ValueError(f"mean must be finite, got {mean}")
    _check_size("std", std)
    with draws_from(rng):
        return init.normal_(_empty(shape), mean, std).tolist()


def xavier_uniform(shape: Shape, gain: float = 1.0, *, rng: Random) -> Nested:
    """torch.nn.init.xavier_uniform_."""
    _check_size("gain", gain)
    with draws_from(rng):
        return init.xavier_uniform_(_empty(shape), gain).tolist()


def xavier_normal(shape: Shape, gain: float = 1.0, *, rng: Random) -> Nested:
    """torch.nn.init.xavier_normal_."""
    _check_size("gain", gain)
    with draws_from(rng):
        return init.xavier_normal_(_empty(shape), gain).tolist()


def kaiming_uniform(
    shape: Shape, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", *, rng: Random
) -> Nested:
    """torch.nn.init.kaiming_uniform_."""
    _check_kaiming(a, mode, nonlinearity)
    with draws_from(rng):
        return init.kaiming_uniform_(_empty(shape), a, mode, nonlinearity).tolist()


def kaiming_normal(
    shape: Shape, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", *, rng: Random
) -> Nested:
    """torch.nn.init.kaiming_normal_."""
    _check_kaiming(a, mode, nonlinearity)
    with draws_from(rng):
        return init.kaiming_normal_(_empty(shape), a, mode, nonlinearity).tolist()


def orthogonal(shape: Shape, gain: float = 1.0, *, rng: Random) -> Nested:
    """torch.nn.init.orthogonal_: the Q of torch.linalg.qr, its columns turned so that R has a positive diagonal."""
    _check_size("gain", gain)
    with draws_from(rng):
        return init.orthogonal_(_empty(shape), gain).tolist()


def linear_default(n_in: int, n_out: int, *, rng: Random) -> tuple[Matrix, Vector]:
    """torch.nn.Linear, as it comes."""
    _check_shape((n_out, n_in))
    with draws_from(rng):
        layer = nn.Linear(n_in, n_out, dtype=torch.float64)
    return layer.weight.tolist(), layer.bias.tolist()


def initialize(sizes: list[int], activations: list[str], draw: Callable[[Shape], Matrix]) -> list[Layer]:
    """torch.nn.Linear knows the shapes; torch.nn.init.zeros_ for the biases."""
    _check_sizes(sizes, activations)
    network = []
    for (n_in, n_out), activation in zip(pairwise(sizes), activations, strict=True):
        layer = nn.Linear(n_in, n_out, dtype=torch.float64)  # with weights of its own, which are thrown away
        weight = torch.tensor(draw(tuple(layer.weight.shape)), dtype=torch.float64)
        if weight.shape != layer.weight.shape:
            raise ValueError(f"draw must give {n_out} rows of {n_in} weights, got {tuple(weight.shape)}")
        network.append(Layer(weight.T.tolist(), init.zeros_(layer.bias).tolist(), activation))
    return network


def moments(activation: str, variance: float) -> tuple[float, float]:
    """torch.trapezoid over a finer grid of the same t, slopes from autograd. A kink has its closed form instead."""
    f = _activation(activation)
    _check_size("variance", variance)
    if activation == "relu":
        return variance / 2, 0.5 if variance > 0 else 0.0
    std = torch.tensor(variance, dtype=torch.float64).sqrt()
    width = std.clamp(min=1.0)
    reach = torch.asinh(10 * width).item()
    t = torch.linspace(-reach, reach, 1 + 2 * math.ceil(25 * reach), dtype=torch.float64)
    u = torch.sinh(t) / width
    weight = torch.distributions.Normal(torch.zeros_like(std), 1.0).log_prob(u).exp() * torch.cosh(t) / width
    z = (std * u).requires_grad_()
    h = f(z)
    [slope] = torch.autograd.grad(h, z, torch.ones_like(z))  # each h sees its own z alone
    return tuple(torch.trapezoid(y.detach().square() * weight, t).item() for y in (h, slope))


def measured_variances(network: list[Layer], X: Matrix, output_gradient: Matrix) -> Variances:
    """The passes of backpropagation's use_it (autograd), and Tensor.square().mean()."""
    trace = forward(network, X)
    gradients = backward(network, trace, output_gradient)
    quantities = trace.pre_activations, trace.activations[1:], gradients.pre_activations, gradients.weights
    return Variances(*([_mean_square(matrix) for matrix in matrices] for matrices in quantities))


def predicted_variances(
    sizes: list[int],
    activations: list[str],
    weight_variances: Vector,
    *,
    n_samples: int = 1,
    x_square: float = 1.0,
    gradient_square: float = 1.0,
) -> Variances:
    """Running products of the factors of the layers. Torch has no such theory ready made."""
    _check_sizes(sizes, activations)
    if len(weight_variances) != len(activations):
        raise ValueError(f"{len(activations)} layers need as many weight variances, got {len(weight_variances)}")
    for name, value in [("a weight variance", w) for w in weight_variances] + [
        ("x_square", x_square),
        ("gradient_square", gradient_square),
    ]:
        _check_size(name, value)
    _check_shape((n_samples,))
    z, h, slopes = [], [x_square], []
    for n_in, w, activation in zip(sizes, weight_variances, activations, strict=False):
        z.append(n_in * w * h[-1])
        square, slope = moments(activation, z[-1])
        h.append(square)
        slopes.append(slope)
    fans = torch.tensor([*sizes[2:], 1], dtype=torch.float64)
    w_above = torch.tensor([*weight_variances[1:], gradient_square], dtype=torch.float64)
    factors = torch.tensor(slopes, dtype=torch.float64) * fans * w_above
    deltas = factors.flip(0).cumprod(0).flip(0)
    inputs = torch.tensor(h[:-1], dtype=torch.float64)
    return Variances(z, h[1:], deltas.tolist(), (n_samples * inputs * deltas).tolist())


def _mean_square(matrix: Matrix) -> float:
    return torch.tensor(matrix, dtype=torch.float64).square().mean().item()


def _empty(shape: Shape) -> Tensor:
    _check_shape(shape)
    return torch.empty(*shape, dtype=torch.float64)


def _check_shape(shape: Shape) -> None:
    """Torch itself refuses too few dimensions; it would take a size of 0, and no size at all."""
    if not len(shape) or not all(isinstance(n, int) and n >= 1 for n in shape):
        raise ValueError(f"expected dimensions that are integers of at least 1, got {shape}")


def _check_size(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be finite and at least 0, got {value}")


def _check_kaiming(a: float, mode: str, nonlinearity: str) -> None:
    """Torch takes FAN_IN for fan_in, and an infinite slope."""
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be fan_in or fan_out, got {mode!r}")
    calculate_gain(nonlinearity, a)


def _activation(name: str) -> Callable[[Tensor], Tensor]:
    if name not in ACTIVATIONS:
        raise ValueError(f"an activation must be {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]


def _check_sizes(sizes: list[int], activations: list[str]) -> None:
    if len(sizes) < 2 or not all(isinstance(size, int) and size >= 1 for size in sizes):
        raise ValueError(f"sizes must be two or more integers of at least 1, got {sizes}")
    if len(activations) != len(sizes) - 1:
        raise ValueError(f"{len(sizes) - 1} layers need as many activations, got {len(activations)}")
    for activation in activations:
        _activation(activation)
