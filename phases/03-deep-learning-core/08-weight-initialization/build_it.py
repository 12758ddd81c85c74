"""Where the weights of a network start: fans, gains, the schemes of Xavier and He, and the variance of every layer."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import mul
from random import Random
from typing import Any

from phases.deep_learning_core.backpropagation.build_it import Layer, backward, forward

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

GAINS = {"sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}  # leaky_relu depends on its slope
LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


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


def calculate_fan_in_and_fan_out(shape: Shape) -> tuple[int, int]:
    """How many numbers one unit sums up, and how many units one number reaches.

    Args:
        shape: as torch stores weights: (n_out, n_in) of a dense layer, (n_out, n_in, *kernel) of a convolution.

    Returns:
        n_in · (elements of the kernel), n_out · (elements of the kernel).

    Raises:
        ValueError: fewer than two dimensions, or one that is no integer of at least 1.
    """
    _check_shape(shape, 2)
    n_out, n_in, *kernel = shape
    return n_in * math.prod(kernel), n_out * math.prod(kernel)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By what torch multiplies the standard deviation 1/√fan of weights in front of a nonlinearity.

    1 for "linear", the convolutions and "sigmoid", 5/3 for "tanh", √2 for "relu", √(2 / (1 + a²)) for "leaky_relu",
    3/4 for "selu".

    Args:
        nonlinearity: a name as above; "conv1d" … "conv3d" and "conv_transpose1d" … "conv_transpose3d" are linear.
        param: a, the negative slope of "leaky_relu" (None: 0.01); the others do without.

    Raises:
        ValueError: the name is unknown, or the slope is no finite number.
    """
    if nonlinearity in LINEAR:
        return 1.0
    if nonlinearity == "leaky_relu":
        a = 0.01 if param is None else param
        if isinstance(a, bool) or not isinstance(a, int | float) or not math.isfinite(a):
            raise ValueError(f"the negative slope must be a finite number, got {a!r}")
        return math.sqrt(2 / (1 + a * a))
    if nonlinearity not in GAINS:
        raise ValueError(f"nonlinearity must be {', '.join([*LINEAR, *GAINS, 'leaky_relu'])}, got {nonlinearity!r}")
    return GAINS[nonlinearity]


def constant(shape: Shape, val: float) -> Nested:
    """The same value everywhere.

    Raises:
        ValueError: no dimension, or one that is no integer of at least 1.
    """
    _check_shape(shape)
    return _fill(shape, lambda: float(val))


def uniform(shape: Shape, a: float = 0.0, b: float = 1.0, *, rng: Random) -> Nested:
    """`rng.uniform(a, b)` for every element, in row order: the last index runs fastest.

    Raises:
        ValueError: a bad shape as in `constant`, a bound that is not finite, or a > b.
    """
    _check_shape(shape)
    if not -math.inf < a <= b < math.inf:
        raise ValueError(f"uniform needs finite bounds a ≤ b, got a={a}, b={b}")
    return _fill(shape, lambda: rng.uniform(a, b))


def normal(shape: Shape, mean: float = 0.0, std: float = 1.0, *, rng: Random) -> Nested:
    """`rng.gauss(mean, std)` for every element, in row order.

    Raises:
        ValueError: a bad shape as in `constant`, a mean that is not finite, or a std that is not finite or below 0.
    """
    _check_shape(shape)
    if not math.isfinite(mean):
        raise ValueError(f"mean must be finite, got {mean}")
    _check_size("std", std)
    return _fill(shape, lambda: rng.gauss(mean, std))


def xavier_uniform(shape: Shape, gain: float = 1.0, *, rng: Random) -> Nested:
    """U(-b, b) with b = √3 · std, and std as in `xavier_normal`."""
    bound = math.sqrt(3) * _xavier_std(shape, gain)
    return uniform(shape, -bound, bound, rng=rng)


def xavier_normal(shape: Shape, gain: float = 1.0, *, rng: Random) -> Nested:
    """N(0, std²) with std = gain · √(2 / (fan_in + fan_out)) (Glorot & Bengio 2010).

    Args:
        shape: (n_out, n_in, *kernel).
        gain: a finite number of at least 0.
        rng: where the draws come from.

    Raises:
        ValueError: a bad shape as in `calculate_fan_in_and_fan_out`, or a bad gain.
    """
    return normal(shape, 0.0, _xavier_std(shape, gain), rng=rng)


def _xavier_std(shape: Shape, gain: float) -> float:
    fan_in, fan_out = calculate_fan_in_and_fan_out(shape)
    _check_size("gain", gain)
    return gain * math.sqrt(2 / (fan_in + fan_out))


def kaiming_uniform(
    shape: Shape, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", *, rng: Random
) -> Nested:
    """U(-b, b) with b = √3 · std, and std as in `kaiming_normal`."""
    bound = math.sqrt(3) * _kaiming_std(shape, a, mode, nonlinearity)
    return uniform(shape, -bound, bound, rng=rng)


def kaiming_normal(
    shape: Shape, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", *, rng: Random
) -> Nested:
    """N(0, std²) with std = gain / √fan (He, Zhang, Ren & Sun 2015).

    Args:
        shape: (n_out, n_in, *kernel).
        a: the negative slope, for "leaky_relu" alone; 0 makes that a ReLU.
        mode: "fan_in" keeps the variance forward, "fan_out" backward.
        nonlinearity: its gain is `calculate_gain(nonlinearity, a)`.
        rng: where the draws come from.

    Raises:
        ValueError: a bad shape as in `calculate_fan_in_and_fan_out`, a mode or nonlinearity that is unknown, or a
            slope that is no finite number.
    """
    return normal(shape, 0.0, _kaiming_std(shape, a, mode, nonlinearity), rng=rng)


def _kaiming_std(shape: Shape, a: float, mode: str, nonlinearity: str) -> float:
    fans = dict(zip(("fan_in", "fan_out"), calculate_fan_in_and_fan_out(shape), strict=True))
    if mode not in fans:
        raise ValueError(f"mode must be fan_in or fan_out, got {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(fans[mode])


def orthogonal(shape: Shape, gain: float = 1.0, *, rng: Random) -> Nested:
    """Columns, or rows if they are fewer, at right angles to each other, each of length `gain` (Saxe et al. 2013).

    A matrix of standard normal draws, n_out × (all other dimensions), is made orthonormal by Gram–Schmidt: the first
    vector keeps its direction, each later one loses what it shares with those before.

    Raises:
        ValueError: a bad shape as in `calculate_fan_in_and_fan_out`, or a gain that is not finite or below 0.
    """
    _check_shape(shape, 2)
    _check_size("gain", gain)
    n_rows, n_columns = shape[0], math.prod(shape[1:])
    draws = normal((n_rows, n_columns), rng=rng)
    wide = n_rows < n_columns
    Q = _gram_schmidt(draws) if wide else _transpose(_gram_schmidt(_transpose(draws)))
    values = (gain * q for row in Q for q in row)
    return _fill(shape, lambda: next(values))


def _gram_schmidt(vectors: Matrix) -> Matrix:
    """Each vector less its projections on the earlier ones, at length 1. Done twice, since rounding leaves a rest."""
    basis: Matrix = []
    for v in vectors:
        rest = v
        for q in basis * 2:
            share = sum(map(mul, q, rest))
            rest = [x - share * y for x, y in zip(rest, q, strict=True)]
        length = math.sqrt(sum(map(mul, rest, rest)))
        basis.append([x / length for x in rest])
    return basis


def linear_default(n_in: int, n_out: int, *, rng: Random) -> tuple[Matrix, Vector]:
    """What torch.nn.Linear(n_in, n_out) starts with: weights and then biases from U(-1/√n_in, 1/√n_in).

    Returns:
        Weights n_out × n_in, by `kaiming_uniform` with a = √5, and n_out biases.

    Raises:
        ValueError: n_in or n_out is no integer of at least 1.
    """
    weights = kaiming_uniform((n_out, n_in), a=math.sqrt(5), rng=rng)
    bound = 1 / math.sqrt(n_in)
    return weights, uniform((n_out,), -bound, bound, rng=rng)


def initialize(sizes: list[int], activations: list[str], draw: Callable[[Shape], Matrix]) -> list[Layer]:
    """A network of `backpropagation` whose weights come from `draw` and whose biases are 0.

    Args:
        sizes: the number of inputs, then the number of units of each layer: [2, 3, 1] makes two layers.
        activations: one name for each layer: "identity", "sigmoid", "tanh" or "relu".
        draw: called once a layer, first to last, with (n_out, n_in); the layer keeps the transpose of its answer.

    Raises:
        ValueError: fewer than two sizes, a size that is no integer of at least 1, a number of activations that is not
            len(sizes) - 1, or an answer of `draw` that is no n_out × n_in matrix.
    """
    _check_sizes(sizes, activations)
    network = []
    for (n_in, n_out), activation in zip(pairwise(sizes), activations, strict=True):
        W = draw((n_out, n_in))
        if len(W) != n_out or any(len(row) != n_in for row in W):
            raise ValueError(f"draw must give {n_out} rows of {n_in} weights, got {len(W)} rows of {len(W[0])}")
        network.append(Layer(_transpose(W), [0.0] * n_out, activation))
    return network


def moments(activation: str, variance: float) -> tuple[float, float]:
    """(E[f(z)²], E[f'(z)²]) for a normal z with mean 0.

    Closed forms for "identity" and "relu" (whose slope at z = 0, for a variance of 0, is 0). For "sigmoid" and "tanh"
    a sum over points z = σu, each with its share φ(u) du of the normal density. u = sinh(t) / max(1, σ), with t in
    steps of 0.05 until u is 10: so the points lie dense where f bends, whatever σ is.

    Args:
        activation: "identity", "sigmoid", "tanh" or "relu".
        variance: σ², of z.

    Raises:
        ValueError: `activation` is unknown, or `variance` is not finite or below 0.
    """
    _check_activation(activation)
    _check_size("variance", variance)
    if activation == "identity":
        return float(variance), 1.0
    if activation == "relu":
        return variance / 2, 0.5 if variance > 0 else 0.0
    std, step = math.sqrt(variance), 0.05
    width = max(1.0, std)
    n = math.ceil(math.asinh(10 * width) / step)
    square = slope_square = 0.0
    for t in (step * i for i in range(-n, n + 1)):
        u = math.sinh(t) / width
        share = step * math.cosh(t) / width * math.exp(-u * u / 2) / math.sqrt(2 * math.pi)
        z = std * u
        if activation == "tanh":
            h = math.tanh(z)
            slope = 1 - h * h
        else:
            h = (1 + math.tanh(z / 2)) / 2  # the sigmoid, without an exponential that could overflow
            slope = h * (1 - h)
        square += h * h * share
        slope_square += slope * slope * share
    return square, slope_square


def measured_variances(network: list[Layer], X: Matrix, output_gradient: Matrix) -> Variances:
    """One pass forward and one back, and the mean square of everything, layer by layer.

    Args:
        network: one or more layers.
        X: n_samples × n_features.
        output_gradient: dL/d(outputs), n_samples × n_outputs.

    Raises:
        ValueError: as `forward` and `backward` of the lesson backpropagation.
    """
    trace = forward(network, X)
    gradients = backward(network, trace, output_gradient)
    return Variances(
        [_mean_square(Z) for Z in trace.pre_activations],
        [_mean_square(H) for H in trace.activations[1:]],
        [_mean_square(delta) for delta in gradients.pre_activations],
        [_mean_square(dW) for dW in gradients.weights],
    )


def predicted_variances(
    sizes: list[int],
    activations: list[str],
    weight_variances: Vector,
    *,
    n_samples: int = 1,
    x_square: float = 1.0,
    gradient_square: float = 1.0,
) -> Variances:
    """What theory expects `measured_variances` to find for wide layers, without a single draw.

    Forward Var(z) = n_in Var(w) E[h²] and E[h²] = E[f(z)²], as if z were normal; backward E[δ²] = n_out Var(w) E[δ²]
    E[f'(z)²], with n_out, w and δ of the layer above; E[(dL/dw)²] = n_samples E[h²] E[δ²].

    Args:
        sizes: the number of inputs, then the number of units of each layer.
        activations: one name for each layer, as in `moments`.
        weight_variances: Var(w), one for each layer; weights have mean 0, biases are 0.
        n_samples: in the batch; dL/d(outputs) of different samples do not depend on each other.
        x_square: the mean square of the inputs.
        gradient_square: the mean square of dL/d(outputs).

    Raises:
        ValueError: bad sizes as in `initialize`, an activation that is unknown, not as many variances as layers, or a
            variance, mean square or `n_samples` that is not finite, or below 0 (`n_samples`: no integer of at least 1).
    """
    _check_sizes(sizes, activations)
    if len(weight_variances) != len(activations):
        raise ValueError(f"{len(activations)} layers need as many weight variances, got {len(weight_variances)}")
    for variance in weight_variances:
        _check_size("a weight variance", variance)
    _check_shape((n_samples,))
    _check_size("x_square", x_square)
    _check_size("gradient_square", gradient_square)

    inputs, z_squares, slope_squares = [x_square], [], []
    for n_in, w, activation in zip(sizes, weight_variances, activations, strict=False):
        z_squares.append(n_in * w * inputs[-1])
        h_square, slope_square = moments(activation, z_squares[-1])
        inputs.append(h_square)
        slope_squares.append(slope_square)

    deltas = []
    from_above = gradient_square
    for n_out, w, slope_square in zip(
        reversed(sizes[1:]), reversed(weight_variances), reversed(slope_squares), strict=True
    ):
        deltas.append(from_above * slope_square)
        from_above = n_out * w * deltas[-1]
    deltas.reverse()
    weight_gradients = [n_samples * h * d for h, d in zip(inputs, deltas, strict=False)]
    return Variances(z_squares, inputs[1:], deltas, weight_gradients)


def _fill(shape: Shape, draw: Callable[[], float]) -> Nested:  # given
    """Nested lists of this shape, filled in row order."""
    if len(shape) == 1:
        return [draw() for _ in range(shape[0])]
    return [_fill(shape[1:], draw) for _ in range(shape[0])]


def _transpose(A: Matrix) -> Matrix:  # given
    """Aᵀ."""
    return [list(column) for column in zip(*A, strict=True)]


def _mean_square(A: Matrix) -> float:  # given
    """The mean of the squares of all elements."""
    return sum(a * a for row in A for a in row) / (len(A) * len(A[0]))


def _check_shape(shape: Shape, n_dimensions: int = 1) -> None:  # given
    """At least so many dimensions, each an integer of at least 1."""
    if len(shape) < n_dimensions or not all(isinstance(n, int) and n >= 1 for n in shape):
        raise ValueError(f"expected {n_dimensions} or more dimensions, integers of at least 1, got {shape}")


def _check_size(name: str, value: float) -> None:  # given
    """A finite number of at least 0."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be finite and at least 0, got {value}")


def _check_activation(name: str) -> None:  # given
    """One of the four names."""
    if name not in ("identity", "sigmoid", "tanh", "relu"):
        raise ValueError(f"an activation must be identity, sigmoid, tanh or relu, got {name!r}")


def _check_sizes(sizes: list[int], activations: list[str]) -> None:  # given
    """Two or more sizes, and an activation for every layer."""
    if len(sizes) < 2 or not all(isinstance(size, int) and size >= 1 for size in sizes):
        raise ValueError(f"sizes must be two or more integers of at least 1, got {sizes}")
    if len(activations) != len(sizes) - 1:
        raise ValueError(f"{len(sizes) - 1} layers need as many activations, got {len(activations)}")
    for activation in activations:
        _check_activation(activation)


if __name__ == "__main__":
    signs = [[[a, b] for a in (1.0, -1.0) for b in (1.0, -1.0)]]
    signs.append([[a, b, c, d] for a, b in signs[0] for c, d in signs[0]])
    rows = iter(signs)
    sizes, activations = [2, 4, 16], ["relu", "identity"]
    network = initialize(sizes, activations, lambda shape: next(rows))
    print("measured ", measured_variances(network, [[1.0, 2.0]], [[1.0] + [0.0] * 15]))
    print("predicted", predicted_variances(sizes, activations, [1.0, 1.0], x_square=2.5, gradient_square=1 / 16))
