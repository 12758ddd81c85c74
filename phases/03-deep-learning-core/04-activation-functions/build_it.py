"""Activation functions, their derivatives, and what a deep stack of them does to a gradient: standard library alone."""

import math
from dataclasses import dataclass
from itertools import pairwise
from operator import mul
from random import Random

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


def sigmoid(x: float) -> float:
    """σ(x) = 1 / (1 + e⁻ˣ), written so that the exponential is never of a positive number."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def sigmoid_derivative(x: float) -> float:
    """σ(x) (1 - σ(x)), at most 1/4."""
    s = sigmoid(x)
    return s * (1 - s)


def tanh(x: float) -> float:
    """(eˣ - e⁻ˣ) / (eˣ + e⁻ˣ), by math.tanh."""
    return math.tanh(x)


def tanh_derivative(x: float) -> float:
    """1 - tanh² x, at most 1."""
    return 1 - math.tanh(x) ** 2


def relu(x: float) -> float:
    """max(0, x); NaN stays NaN."""
    return max(x, 0.0)  # max keeps its first argument unless a later one is greater, which 0 never is than NaN


def relu_derivative(x: float) -> float:
    """0 where x ≤ 0, else 1: so 0 at the corner and, as in torch, 1 for NaN."""
    return 0.0 if x <= 0 else 1.0


def leaky_relu(x: float, negative_slope: float = 0.01) -> float:
    """x where x > 0, else negative_slope · x (Maas, Hannun & Ng 2013)."""
    return x if x > 0 else negative_slope * x


def leaky_relu_derivative(x: float, negative_slope: float = 0.01) -> float:
    """1 where x > 0, else negative_slope: so also at the corner and, as in torch, for NaN."""
    return 1.0 if x > 0 else negative_slope


def gelu(x: float, approximate: str = "none") -> float:
    """x Φ(x), where Φ is the distribution function of the standard normal (Hendrycks & Gimpel 2016).

    Args:
        x: any number. -inf gives NaN (-inf · 0), as in torch.
        approximate: "none" for Φ(x) = erfc(-x/√2) / 2; "tanh" for Φ(x) ≈ (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.

    Raises:
        ValueError: `approximate` is neither.
    """
    _check_approximate(approximate)
    if approximate == "none":
        return 0.5 * x * math.erfc(-x / math.sqrt(2))
    return 0.5 * x * (1 + math.tanh(_gelu_inner(x)))


def gelu_derivative(x: float, approximate: str = "none") -> float:
    """Φ(x) + x φ(x), with φ the density of the standard normal; for "tanh" the derivative of that formula.

    Args:
        x: any number. ±inf gives NaN, as in torch; so does "tanh" where x² overflows.
        approximate: as in `gelu`.

    Raises:
        ValueError: `approximate` is neither "none" nor "tanh".
    """
    _check_approximate(approximate)
    if approximate == "none":
        density = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        return 0.5 * math.erfc(-x / math.sqrt(2)) + x * density
    t = math.tanh(_gelu_inner(x))
    inner_slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner_slope


def _gelu_inner(x: float) -> float:
    """√(2/π) (x + 0.044715 x³). x * x * x may be inf, where x**3 would raise OverflowError."""
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)


def silu(x: float) -> float:
    """x σ(x), also called swish. -inf gives NaN (-inf · 0), as in torch."""
    return x * sigmoid(x)


def silu_derivative(x: float) -> float:
    """σ(x) (1 + x (1 - σ(x))). ±inf gives NaN, as in torch."""
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


def softmax(logits: Vector) -> Vector:
    """eᶻ / Σ eᶻ, with the largest logit subtracted first, so that no exponential exceeds 1.

    NaN, +inf or nothing but -inf among the logits gives NaN everywhere, as in torch.

    Raises:
        ValueError: no logits.
    """
    _check_not_empty(logits)
    largest = max(logits)
    exponentials = [math.exp(z - largest) for z in logits]
    total = sum(exponentials)
    return [e / total for e in exponentials]


def softmax_backward(logits: Vector, upstream: Vector) -> Vector:
    """dL/dz from g = dL/dp, p = softmax(z): p_i (g_i - Σ g_k p_k). The Jacobian is never built.

    Args:
        logits: z.
        upstream: g, as many values.

    Raises:
        ValueError: no logits, or `upstream` has another number of values.
    """
    p = softmax(logits)
    _check_same_length(upstream, logits)
    mean = sum(map(mul, upstream, p))
    return [p_i * (g_i - mean) for p_i, g_i in zip(p, upstream, strict=True)]


def log_softmax(logits: Vector) -> Vector:
    """z - log Σ eᶻ: the logarithm of softmax, also where softmax itself has rounded to 0.

    Raises:
        ValueError: no logits.
    """
    _check_not_empty(logits)
    largest = max(logits)
    log_sum = math.log(sum(math.exp(z - largest) for z in logits))
    return [z - largest - log_sum for z in logits]


def log_softmax_backward(logits: Vector, upstream: Vector) -> Vector:
    """dL/dz from g = dL/d(log p): g_i - p_i Σ g_k.

    Args:
        logits: z.
        upstream: g, as many values.

    Raises:
        ValueError: as `softmax_backward`.
    """
    p = softmax(logits)
    _check_same_length(upstream, logits)
    total = sum(upstream)
    return [g_i - p_i * total for p_i, g_i in zip(p, upstream, strict=True)]


def random_weights(sizes: list[int], gain: float, rng: Random) -> list[Matrix]:
    """One weight matrix a layer, n_in × n_out, its elements drawn from a normal distribution.

    Every element is `rng.gauss(0.0, gain / √n_in)`, layer by layer, in a layer row by row.

    Args:
        sizes: the number of inputs, then the number of units of each layer.
        gain: the standard deviation of the weights, times √n_in.
        rng: where the draws come from.

    Raises:
        ValueError: fewer than two sizes, or a size below 1.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes must be two or more numbers of at least 1, got {sizes}")
    return [
        [[rng.gauss(0.0, gain / math.sqrt(n_in)) for _ in range(n_out)] for _ in range(n_in)]
        for n_in, n_out in pairwise(sizes)
    ]


def forward_backward(weights: list[Matrix], activation: str, X: Matrix, output_gradient: Matrix) -> Pass:
    """H = f(H W) through every layer, then back: δ = dL/dH ⊙ f'(Z), dL/dW = Hᵀ δ, and δ Wᵀ to the layer below.

    Args:
        weights: one matrix a layer, n_in × n_out; n_in of each is n_out of the one before. There are no biases.
        activation: f of every layer: "sigmoid", "tanh", "relu", "leaky_relu", "gelu" or "silu", with its defaults.
        X: n_samples × n_features; n_features is n_in of the first layer.
        output_gradient: dL/d(outputs), n_samples × n_out of the last layer.

    Raises:
        ValueError: no weights, an unknown activation, a matrix that is none, or shapes that do not fit.
    """
    functions = {
        "sigmoid": (sigmoid, sigmoid_derivative),
        "tanh": (tanh, tanh_derivative),
        "relu": (relu, relu_derivative),
        "leaky_relu": (leaky_relu, leaky_relu_derivative),
        "gelu": (gelu, gelu_derivative),
        "silu": (silu, silu_derivative),
    }
    if activation not in functions:
        raise ValueError(f"an activation must be {', '.join(functions)}, got {activation!r}")
    _check_shapes(weights, X, output_gradient)
    f, f_prime = functions[activation]

    inputs, pre_activations, activations = [], [], []
    H = X
    for W in weights:
        inputs.append(H)
        pre_activations.append(_matmul(H, W))
        H = [[f(z) for z in row] for row in pre_activations[-1]]
        activations.append(H)

    deltas, weight_gradients = [], []
    dH = output_gradient
    for W, H, Z in zip(reversed(weights), reversed(inputs), reversed(pre_activations), strict=True):
        delta = [[d * f_prime(z) for d, z in zip(*rows, strict=True)] for rows in zip(dH, Z, strict=True)]
        deltas.append(delta)
        weight_gradients.append(_matmul(_transpose(H), delta))
        dH = _matmul(delta, _transpose(W))
    return Pass(pre_activations, activations, deltas[::-1], weight_gradients[::-1])


def layer_norms(matrices: list[Matrix]) -> list[float]:
    """The Frobenius norm of each matrix: the root of the sum of the squares of its elements.

    Raises:
        ValueError: one of them is no matrix.
    """
    for M in matrices:
        _check_matrix("each of the matrices", M)
    return [math.sqrt(sum(v * v for row in M for v in row)) for M in matrices]


def dead_units(activations: Matrix) -> list[int]:
    """The units that are positive for no sample: behind a ReLU, no sample of this batch can change their weights.

    Args:
        activations: n_samples × n_units.

    Returns:
        Their numbers (columns), from 0, in ascending order.

    Raises:
        ValueError: `activations` is no matrix, or holds NaN, of which nobody can say whether it is positive.
    """
    _check_matrix("activations", activations)
    if any(math.isnan(h) for row in activations for h in row):
        raise ValueError("activations must be numbers, got NaN: find where it comes from first")
    return [j for j, unit in enumerate(zip(*activations, strict=True)) if not any(h > 0 for h in unit)]


def _matmul(A: Matrix, B: Matrix) -> Matrix:  # given
    """A B: row i of A times column j of B."""
    columns = list(zip(*B, strict=True))
    return [[sum(map(mul, row, column)) for column in columns] for row in A]


def _transpose(A: Matrix) -> Matrix:  # given
    """Aᵀ."""
    return [list(column) for column in zip(*A, strict=True)]


def _check_approximate(approximate: str) -> None:  # given
    """One of torch's two."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")


def _check_not_empty(logits: Vector) -> None:  # given
    """At least one logit."""
    if not logits:
        raise ValueError("logits must be one or more numbers, got none")


def _check_same_length(upstream: Vector, logits: Vector) -> None:  # given
    """One upstream value for each logit."""
    if len(upstream) != len(logits):
        raise ValueError(f"upstream must have {len(logits)} values, one for each logit, got {len(upstream)}")


def _check_matrix(name: str, rows: Matrix, n_columns: int | None = None) -> None:  # given
    """A non-empty list of rows of equal length (`n_columns` where given), at least one."""
    if not rows or not all(isinstance(row, list | tuple) and row for row in rows):
        raise ValueError(f"{name} must be a matrix, a non-empty list of non-empty rows, got {rows!r}")
    expected = len(rows[0]) if n_columns is None else n_columns
    for i, row in enumerate(rows):
        if len(row) != expected:
            raise ValueError(f"row {i} of {name} must have {expected} values, got {len(row)}")


def _check_shapes(weights: list[Matrix], X: Matrix, output_gradient: Matrix) -> None:  # given
    """A chain of matrices from X to the outputs, and a gradient of the outputs' shape."""
    if not weights:
        raise ValueError("a network must have at least one layer, got none")
    _check_matrix("X", X)
    n_in = len(X[0])
    for i, W in enumerate(weights):
        _check_matrix(f"weights[{i}]", W)
        if len(W) != n_in:
            raise ValueError(f"weights[{i}] must have {n_in} rows, as many as values come in, got {len(W)}")
        n_in = len(W[0])
    _check_matrix("output_gradient", output_gradient, n_in)
    if len(output_gradient) != len(X):
        raise ValueError(f"output_gradient must have {len(X)} rows, one for each sample, got {len(output_gradient)}")


if __name__ == "__main__":
    three_layers = [[[1.0, -1.0], [-1.0, 1.0]]] * 3
    for name, sample in (("sigmoid", [[1.0, 1.0]]), ("tanh", [[1.0, 1.0]]), ("relu", [[1.0, 0.0]])):
        deltas = forward_backward(three_layers, name, sample, [[64.0, -64.0]]).deltas
        print(name, "norm of δ, first layer to last:", layer_norms(deltas))
