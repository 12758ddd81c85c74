"""Networks of neurons in layers: the forward pass of any depth, its shapes and its size, on the standard library."""

import math
from dataclasses import dataclass
from itertools import pairwise
from operator import add, mul

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

BYTES = {"float16": 2, "float32": 4, "float64": 8}  # of one number


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


def _sigmoid(z: float) -> float:
    """1 / (1 + e⁻ᶻ), written so that the exponential is never of a positive number."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def _step(z: float) -> float:
    """1 where z > 0, else 0."""
    return z if math.isnan(z) else float(z > 0)


def activate(Z: Matrix, activation: str) -> Matrix:
    """f(Z), element by element: z, 1 where z > 0 and 0 elsewhere, 1 / (1 + e⁻ᶻ), tanh z or max(z, 0).

    Works for any z: the sigmoid of -1000 is 0.0 and no exponential overflows; NaN stays NaN under every name, so that
    a number that went wrong shows it (max(z, 0.0) keeps it, max(0.0, z) does not).

    Raises:
        ValueError: `activation` is unknown, or Z is no matrix.
    """
    _check_activation(activation)
    _check_matrix("Z", Z)
    functions = {
        "identity": float,
        "step": _step,
        "sigmoid": _sigmoid,
        "tanh": math.tanh,
        "relu": lambda z: max(z, 0.0),
    }
    f = functions[activation]
    return [[f(z) for z in row] for row in Z]


def neuron(x: Vector, weights: Vector, bias: float, activation: str) -> float:
    """f(x · w + b): what one neuron answers to one sample.

    Args:
        x: the sample, n_in finite numbers.
        weights: w, one for each of them.
        bias: b.
        activation: the name of f, as in `activate`.

    Raises:
        ValueError: x is empty or not finite, there are not as many weights, or `activation` is unknown.
    """
    _check_finite("x", x)
    if len(weights) != len(x):
        raise ValueError(f"each of {len(x)} inputs needs one weight, got {len(weights)}")
    z = sum(map(mul, x, weights)) + bias
    return activate([[z]], activation)[0][0]


def layer_forward(layer: Layer, x: Vector) -> Vector:
    """What all neurons of a layer answer to one sample: each reads the same x with its own column of W.

    Args:
        layer: n_in × n_out.
        x: the sample, n_in finite numbers.

    Returns:
        n_out numbers.

    Raises:
        ValueError: the layer is bad as in `forward`, or x does not hold n_in finite numbers.
    """
    _check_network([layer])
    columns = zip(*layer.weights, strict=True)
    return [neuron(x, list(w), b, layer.activation) for w, b in zip(columns, layer.biases, strict=True)]


def linear(X: Matrix, weights: Matrix, biases: Vector) -> Matrix:
    """Z = X W + b for a batch, in matrix form: row i of X times column k of W, plus b[k].

    Args:
        X: n_samples × n_in. NaN is allowed here; `forward` refuses it.
        weights: W, n_in × n_out. (torch.nn.functional.linear wants n_out × n_in, the transpose.)
        biases: b, n_out numbers, added to every row.

    Returns:
        n_samples × n_out.

    Raises:
        ValueError: X or W is no matrix, X has not n_in columns, or there are not n_out biases.
    """
    _check_matrix("weights", weights)
    _check_matrix("X", X, len(weights))
    columns = list(zip(*weights, strict=True))
    _check_same_length("biases", biases, columns)
    XW = [[sum(map(mul, row, column)) for column in columns] for row in X]
    return [list(map(add, row, biases)) for row in XW]


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
    for i, row in enumerate(X):
        _check_finite(f"row {i} of X", row)
    pre_activations, activations = [], [X]
    for layer in network:
        pre_activations.append(linear(activations[-1], layer.weights, layer.biases))
        activations.append(activate(pre_activations[-1], layer.activation))
    return Trace(pre_activations, activations)


def predict(network: list[Layer], X: Matrix) -> Matrix:
    """The outputs of the network for X, n_samples × n_outputs: the last activations of `forward`.

    Raises:
        ValueError: as `forward`.
    """
    return forward(network, X).activations[-1]


def state_dict(network: list[Layer]) -> dict[str, Matrix | Vector]:
    """The parameters under the names and in the shapes of torch: Sequential(Linear, f, Linear, f, …).state_dict().

    Returns:
        For layer l the entries "2l.weight", the transpose of W (n_out × n_in), and "2l.bias": the modules of
        a Sequential are counted from 0, and every second one is an activation, which has no parameters.

    Raises:
        ValueError: the network is bad as in `forward`.
    """
    _check_network(network)
    state: dict[str, Matrix | Vector] = {}
    for i, layer in enumerate(network):
        state[f"{2 * i}.weight"] = [list(column) for column in zip(*layer.weights, strict=True)]
        state[f"{2 * i}.bias"] = list(layer.biases)
    return state


def shapes(sizes: list[int], n_samples: int) -> dict[str, tuple[int, ...]]:
    """The shape at each step of a forward pass, without a single number computed.

    Args:
        sizes: the number of inputs, then the number of neurons of each layer: [2, 3, 1] makes two layers.
        n_samples: the rows of the batch.

    Returns:
        In the order of the computation: "X", then for each layer (counted from 1, as in the formulas) "W1", "b1",
        "Z1", "H1", "W2", …

    Raises:
        ValueError: fewer than two sizes, or a size or `n_samples` that is no int of at least 1.
    """
    _check_sizes(sizes, n_samples)
    found: dict[str, tuple[int, ...]] = {"X": (n_samples, sizes[0])}
    for number, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
        found[f"W{number}"] = (n_in, n_out)
        found[f"b{number}"] = (n_out,)
        found[f"Z{number}"] = found[f"H{number}"] = (n_samples, n_out)
    return found


def count_parameters(sizes: list[int]) -> int:
    """How many numbers a network of these sizes learns: n_in weights and one bias for every neuron.

    Raises:
        ValueError: `sizes` is bad as in `shapes`.
    """
    _check_sizes(sizes)
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))


def count_multiply_adds(sizes: list[int], n_samples: int) -> int:
    """How many products a forward pass forms and adds up: one for each weight and sample.

    A FLOP counter that counts multiplications and additions apart says twice as many.

    Raises:
        ValueError: `sizes` or `n_samples` is bad as in `shapes`.
    """
    _check_sizes(sizes, n_samples)
    return n_samples * sum(n_in * n_out for n_in, n_out in pairwise(sizes))


def memory(sizes: list[int], n_samples: int, dtype: str) -> dict[str, int]:
    """Bytes of the numbers of a network.

    Args:
        sizes: as in `shapes`.
        n_samples: the rows of the batch.
        dtype: "float16", "float32" or "float64".

    Returns:
        "parameters": all W and b. "activations": X and every H, what a training step has to keep for its backward
        pass (where f' can be told from f, as for all of ours, Z need not be kept).

    Raises:
        ValueError: `sizes` or `n_samples` is bad as in `shapes`, or `dtype` is unknown.
    """
    _check_sizes(sizes, n_samples)
    if dtype not in BYTES:
        raise ValueError(f"dtype must be one of {', '.join(BYTES)}, got {dtype!r}")
    return {
        "parameters": count_parameters(sizes) * BYTES[dtype],
        "activations": n_samples * sum(sizes) * BYTES[dtype],
    }


def staircase(edges: Vector, levels: Vector, steepness: float) -> list[Layer]:
    """A network 1-N-1 of sigmoid units that is flat between `edges`: its value there is one of `levels`.

    Hidden unit j is σ(steepness (x - edges[j])), a step up at its edge; its weight is the height of the step,
    levels[j + 1] - levels[j]. At a distance d from every edge the output misses its level by at most
    e^(-steepness d) times the sum of |heights|.

    Args:
        edges: N ≥ 1 places, rising.
        levels: N + 1 values: left of the first edge, between the edges, right of the last one.
        steepness: positive and finite.

    Raises:
        ValueError: no edge, edges that do not rise, not N + 1 levels, a value that is not finite, or a steepness that
            is not positive and finite.
    """
    _check_rising("edges", edges)
    if len(levels) != len(edges) + 1:
        raise ValueError(f"{len(edges)} edges need {len(edges) + 1} levels, got {len(levels)}")
    _check_finite("levels", levels)
    if not 0 < steepness < math.inf:
        raise ValueError(f"steepness must be positive and finite, got {steepness}")
    heights = [right - left for left, right in pairwise(levels)]
    return [
        Layer([[steepness] * len(edges)], [-steepness * edge for edge in edges], "sigmoid"),
        Layer([[height] for height in heights], [levels[0]], "identity"),
    ]


def hinges(xs: Vector, ys: Vector) -> list[Layer]:
    """A network 1-N-1 of ReLU units whose graph is the broken line through N + 1 points.

    Hidden unit j is max(0, x - xs[j]), a hinge at its point; its weight is by how much the slope changes there. Left
    of the first point the output stays at ys[0]; right of the last one it goes on with the last slope.

    Args:
        xs: N + 1 ≥ 2 places, rising.
        ys: the value at each.

    Raises:
        ValueError: fewer than two points, xs that do not rise, not as many ys, or a value that is not finite.
    """
    _check_rising("xs", xs)
    if len(xs) < 2:
        raise ValueError(f"a line needs two or more points, got {len(xs)}")
    _check_same_length("ys", ys, xs)
    _check_finite("ys", ys)
    points = zip(xs, ys, strict=True)
    slopes = [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in pairwise(points)]
    changes = [right - left for left, right in pairwise([0.0, *slopes])]
    return [
        Layer([[1.0] * len(slopes)], [-x for x in xs[:-1]], "relu"),
        Layer([[change] for change in changes], [ys[0]], "identity"),
    ]


def _check_matrix(name: str, rows: Matrix, n_columns: int | None = None) -> None:  # given
    """A non-empty list of rows of equal length (`n_columns` where given), at least one."""
    if not rows or not all(isinstance(row, list | tuple) and row for row in rows):
        raise ValueError(f"{name} must be a matrix, a non-empty list of non-empty rows, got {rows!r}")
    expected = len(rows[0]) if n_columns is None else n_columns
    for i, row in enumerate(rows):
        if len(row) != expected:
            raise ValueError(f"row {i} of {name} must have {expected} values, got {len(row)}")


def _check_finite(name: str, values: Vector) -> None:  # given
    """Finite numbers, at least one."""
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"{name} must hold finite numbers, got {values}")


def _check_rising(name: str, values: Vector) -> None:  # given
    """Finite numbers, each larger than the one before."""
    _check_finite(name, values)
    if any(left >= right for left, right in pairwise(values)):
        raise ValueError(f"{name} must rise, got {values}")


def _check_same_length(name: str, values: list, like: list) -> None:  # given
    """As many entries as there should be."""
    if len(values) != len(like):
        raise ValueError(f"{name} must have {len(like)} entries, got {len(values)}")


def _check_activation(name: str) -> None:  # given
    """One of the five names."""
    if name not in ("identity", "step", "sigmoid", "tanh", "relu"):
        raise ValueError(f"an activation must be identity, step, sigmoid, tanh or relu, got {name!r}")


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


def _check_sizes(sizes: list[int], n_samples: int = 1) -> None:  # given
    """Two or more sizes; they and the number of samples are integers of at least 1."""
    if len(sizes) < 2 or not all(isinstance(size, int) and size >= 1 for size in sizes):
        raise ValueError(f"sizes must be two or more integers of at least 1, got {sizes}")
    if not isinstance(n_samples, int) or n_samples < 1:
        raise ValueError(f"n_samples must be an integer of at least 1, got {n_samples}")


if __name__ == "__main__":
    by_hand = [
        Layer([[1.0, -1.0, 2.0], [0.0, 1.0, -1.0]], [0.0, 0.0, 1.0], "relu"),
        Layer([[2.0], [1.0], [-1.0]], [-1.0], "identity"),
    ]
    print("outputs by hand:", predict(by_hand, [[1.0, 2.0], [3.0, -1.0]]))
    exclusive_or = [Layer([[1.0, 1.0], [1.0, 1.0]], [-0.5, -1.5], "step"), Layer([[1.0], [-1.0]], [-0.5], "step")]
    print("exclusive or of 00, 01, 10, 11:", predict(exclusive_or, [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))
