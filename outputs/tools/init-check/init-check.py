#!/usr/bin/env python3
"""Check where a network's weights start: what a scheme does to each layer, or what a file of weights holds.

One file, no packages: any Python 3.11 or newer runs it. Give a network as its sizes (784-256-256-10), one weight in
torch's shape (64x3x7x7: out x in x kernel), or a safetensors file.
"""

# Made from build_it.py and tool.py of the lesson deep-learning-core/weight-initialization of Twice (MIT).

import argparse
import json
import math
import re
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from operator import mul
from pathlib import Path
from typing import Any


Vector = list[float]
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


def _check_shape(shape: Shape, n_dimensions: int = 1) -> None:
    """At least so many dimensions, each an integer of at least 1."""
    if len(shape) < n_dimensions or not all(isinstance(n, int) and n >= 1 for n in shape):
        raise ValueError(f"expected {n_dimensions} or more dimensions, integers of at least 1, got {shape}")


def _check_size(name: str, value: float) -> None:
    """A finite number of at least 0."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be finite and at least 0, got {value}")


def _check_activation(name: str) -> None:
    """One of the four names."""
    if name not in ("identity", "sigmoid", "tanh", "relu"):
        raise ValueError(f"an activation must be identity, sigmoid, tanh or relu, got {name!r}")


def _check_sizes(sizes: list[int], activations: list[str]) -> None:
    """Two or more sizes, and an activation for every layer."""
    if len(sizes) < 2 or not all(isinstance(size, int) and size >= 1 for size in sizes):
        raise ValueError(f"sizes must be two or more integers of at least 1, got {sizes}")
    if len(activations) != len(sizes) - 1:
        raise ValueError(f"{len(sizes) - 1} layers need as many activations, got {len(activations)}")
    for activation in activations:
        _check_activation(activation)


NOTES = """schemes (std of the weights; a uniform distribution of the same std has the bound sqrt(3) x std):
  he        gain / sqrt(fan_in)                   he-out    gain / sqrt(fan_out)
  xavier    1 x sqrt(2 / (fan_in + fan_out))      lecun     1 / sqrt(fan_in)
  torch     1 / sqrt(3 fan_in): the weights of torch.nn.Linear and Conv2d unless told otherwise
  zeros     0                                     0.01      any number: that std
The gain is that of torch.nn.init.calculate_gain: sqrt(2) for relu, 5/3 for tanh, 1 for sigmoid and identity.

prediction: independent weights with mean 0, biases 0, wide layers, inputs and output gradients of mean square 1. The
last layer has no activation.
  E[z2]     mean square of what the units sum up, forward
  E[d2]     mean square of dL/dz, backward
  OK        neither changes between the first and the last layer by more than 10 times in std (100 in the square)
  WARN, BAD it fades or grows by more than 10, by more than 1000 times in std

weights file: a scheme fits if the std of all elements is within three standard errors of it. Trained weights need fit
none. BAD: not finite, all equal, or units with equal weights (they would stay equal).
"""
ACTIVATIONS = ("relu", "tanh", "sigmoid", "identity")
SCHEMES = ("zeros", "torch", "lecun", "xavier", "he", "he-out")
CODES = {"F64": "d", "F32": "f", "F16": "e"}
UNIT_ROWS = 8  # so many rows are asked whether they stand at right angles to each other


def parse(text: str) -> list[tuple[int, ...]]:
    """The shapes of the weights: of each layer in 784-256-10, or the one in 64x3x7x7."""
    if re.fullmatch(r"[0-9]+(-[0-9]+)+", text, re.ASCII):
        shapes = [(n_out, n_in) for n_in, n_out in pairwise(map(int, text.split("-")))]
    elif re.fullmatch(r"[0-9]+(x[0-9]+)+", text, re.ASCII):
        shapes = [tuple(map(int, text.split("x")))]
    else:
        raise ValueError(f"write a network as 784-256-10, or a weight as 64x3x7x7, not {text!r}")
    for shape in shapes:
        calculate_fan_in_and_fan_out(shape)  # refuses a size of 0
    return shapes


def std_of(scheme: str, shape: Sequence[int], gain: float) -> float:
    """The standard deviation that a scheme gives to weights of this shape."""
    fan_in, fan_out = calculate_fan_in_and_fan_out(shape)
    stds = {
        "zeros": 0.0,
        "torch": 1 / math.sqrt(3 * fan_in),
        "lecun": 1 / math.sqrt(fan_in),
        "xavier": math.sqrt(2 / (fan_in + fan_out)),
        "he": gain / math.sqrt(fan_in),
        "he-out": gain / math.sqrt(fan_out),
    }
    if scheme in stds:
        return stds[scheme]
    try:
        std = float(scheme)
    except ValueError:
        std = math.nan
    if not 0 <= std < math.inf:
        raise ValueError(f"--init must be {', '.join(SCHEMES)} or a number of at least 0, not {scheme!r}")
    return std


def check(text: str, activation: str, scheme: str) -> dict[str, Any]:
    """One network under one scheme: each layer's numbers, and what happens between the first layer and the last."""
    shapes, gain = parse(text), calculate_gain("linear" if activation == "identity" else activation)
    stds = [std_of(scheme, shape, gain) for shape in shapes]
    layers = []
    for shape, std in zip(shapes, stds, strict=True):
        fan_in, fan_out = calculate_fan_in_and_fan_out(shape)
        layers.append({"shape": shape, "fan_in": fan_in, "fan_out": fan_out, "std": std, "bound": math.sqrt(3) * std})
    result: dict[str, Any] = {"network": text, "activation": activation, "init": scheme, "gain": gain, "layers": layers}
    if "-" in text:
        sizes = [shapes[0][1], *(n_out for n_out, _ in shapes)]
        names = [activation] * (len(shapes) - 1) + ["identity"]
        try:
            found = predicted_variances(sizes, names, [std * std for std in stds])
        except ValueError:
            raise ValueError(f"{text}, {scheme}: the variances are too large for a float of 64 bits") from None
        for layer, z, d in zip(layers, found.pre_activations, found.deltas, strict=True):
            layer |= {"z_square": z, "delta_square": d}
        result["forward"] = ratio(found.pre_activations[-1], found.pre_activations[0])
        result["backward"] = ratio(found.deltas[0], found.deltas[-1])
        result["verdict"] = verdict(result["forward"], result["backward"])
    return result


def ratio(after: float, before: float) -> float:
    """By how many times a std changes; 0 where nothing is left of it."""
    return math.sqrt(after / before) if before else 0.0


def verdict(forward: float, backward: float) -> str:
    """OK, WARN or BAD, and why."""
    if not forward or not backward:
        return "BAD nothing passes"
    words, worst = [], 0.0
    for name, value in (("forward", forward), ("backward", backward)):
        size = abs(math.log10(value))
        if size > 1:
            words.append(f"{name} {'grows' if value > 1 else 'fades'}")
        worst = max(worst, size)
    return " ".join(["BAD" if worst > 3 else "WARN" if words else "OK", ", ".join(words)]).rstrip()


def read_safetensors(file: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Name -> (shape, values) of every tensor of floats with two or more dimensions."""
    data = file.read_bytes()
    try:
        start = 8 + int.from_bytes(data[:8], "little")
        if start > len(data):
            raise ValueError("cut short")
        header = json.loads(data[8:start])
        header.pop("__metadata__", None)
        tensors = {}
        for name, entry in header.items():
            shape, (begin, end) = entry["shape"], entry["data_offsets"]
            if len(shape) < 2 or entry["dtype"] not in (*CODES, "BF16") or not math.prod(shape):
                continue
            raw = data[start + begin : start + end]
            if entry["dtype"] == "BF16":  # the upper half of a float32
                raw = b"".join(b"\0\0" + raw[i : i + 2] for i in range(0, len(raw), 2))
            values = struct.unpack(f"<{math.prod(shape)}{CODES.get(entry['dtype'], 'f')}", raw)
            tensors[name] = (shape, list(values))
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, OverflowError, MemoryError):
        raise ValueError(f"{file} is no whole safetensors file") from None
    return tensors


def inspect(name: str, shape: list[int], values: list[float], activation: str, layout: str) -> dict[str, Any]:
    """What one tensor of weights looks like, and which schemes would have made it."""
    if layout == "in-out":
        if len(shape) != 2:
            raise ValueError(f"{name} has the shape {shape}; --layout in-out is for matrices")
        values = [values[i * shape[1] + k] for k in range(shape[1]) for i in range(shape[0])]
        shape = shape[::-1]
    n, gain = len(values), calculate_gain("linear" if activation == "identity" else activation)
    found: dict[str, Any] = {"name": name, "shape": shape, "mean": None, "std": None, "kind": "", "fits": []}
    if not all(map(math.isfinite, values)):
        return found | {"verdict": "BAD not finite"}
    mean = math.fsum(values) / n
    variance = math.fsum((v - mean) ** 2 for v in values) / n
    found |= {"mean": mean, "std": math.sqrt(variance)}
    if min(values) == max(values):
        return found | {"kind": "constant", "verdict": "BAD all equal"}
    width = n // shape[0]
    rows = [tuple(values[i : i + width]) for i in range(0, n, width)]
    if right_angles(rows, width):
        unit = 1 / math.sqrt(max(len(rows), width))
        found["kind"], expected, error = "orthogonal", {"gain 1": unit, f"gain {gain:.3g}": gain * unit}, 1e-3
    else:
        kurtosis = math.fsum((v - mean) ** 4 for v in values) / n / variance**2
        found["kind"] = kind(kurtosis, n)
        expected = {scheme: std_of(scheme, shape, gain) for scheme in SCHEMES[1:]}
        error = 3 * math.sqrt((kurtosis - 1) / (4 * n))  # three relative standard errors of a std of n draws
    size = math.hypot(mean, found["std"])
    found["fits"] = [scheme for scheme, std in expected.items() if abs(size / std - 1) <= error]
    equal = len(rows) - len(set(rows))
    return found | {"verdict": f"BAD {equal} of {len(rows)} units repeat another" if equal else "OK"}


def kind(kurtosis: float, n: int) -> str:
    """uniform (kurtosis 9/5), normal (3), or neither, by three standard errors; too few values tell nothing."""
    for name, expected, error in (("uniform", 1.8, math.sqrt(1.32 / n)), ("normal", 3.0, math.sqrt(24 / n))):
        if n >= 100 and abs(kurtosis - expected) <= 3 * error:
            return name
    return "other" if n >= 100 else "few"


def right_angles(rows: list[tuple[float, ...]], width: int) -> bool:
    """Whether the first rows (or columns, if they are fewer) are at right angles: random ones are not."""
    vectors = rows[:UNIT_ROWS] if len(rows) <= width else list(zip(*rows, strict=True))[:UNIT_ROWS]
    cosines = []
    for u, v in combinations(vectors, 2):
        lengths = math.hypot(*u) * math.hypot(*v)
        cosines.append(abs(math.fsum(map(mul, u, v))) / lengths if lengths else 1.0)
    return bool(cosines) and max(cosines) < 1e-3


def as_text(result: dict[str, Any]) -> str:
    """A network under one scheme as a table."""
    head = f"{result['network']}, {result['activation']}, {result['init']}, gain {result['gain']:.4g}"
    rows = [["weight", "fan_in", "fan_out", "std", "bound", *(["E[z2]", "E[d2]"] if "forward" in result else [])]]
    for layer in result["layers"]:
        row = ["x".join(map(str, layer["shape"])), str(layer["fan_in"]), str(layer["fan_out"])]
        row += [f"{layer[key]:.4g}" for key in ("std", "bound")]
        rows.append(row + [f"{layer[key]:.3g}" for key in ("z_square", "delta_square") if key in layer])
    return f"{head}\n{table(rows)}" + (f"\n{summary(result)}" if "forward" in result else "")


def summary(result: dict[str, Any]) -> str:
    """The last line: std of the last layer over that of the first, of the first over the last, and the verdict."""
    return f"forward x{result['forward']:.3g}, backward x{result['backward']:.3g}: {result['verdict']}"


def table(rows: list[list[str]]) -> str:
    """Columns of equal width, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([f"{first:{widths[0]}}", *cells]).rstrip())
    return "\n".join(lines)


def weights_text(found: list[dict[str, Any]]) -> str:
    """The tensors of a file as a table."""
    rows = [["weight", "shape", "std", "kind", "fits", "verdict"]]
    for one in found:
        std = "" if one["std"] is None else f"{one['std']:.4g}"
        rows.append([one["name"], "x".join(map(str, one["shape"])), std, one["kind"], " ".join(one["fits"]) or "-"])
        rows[-1].append(one["verdict"])
    return table(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 1 if the chosen scheme or a weight is BAD, 2 if it was asked wrongly."""
    parser = argparse.ArgumentParser(
        prog="init-check",
        description=__doc__,
        epilog=NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network", nargs="?", help="784-256-256-10, or one weight such as 64x3x7x7")
    parser.add_argument("--activation", choices=ACTIVATIONS, default="relu", help="behind every layer (default: relu)")
    parser.add_argument("--init", metavar="SCHEME", help="a scheme or a std (default: one line for each scheme)")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="a safetensors file, in place of a network")
    parser.add_argument("--layout", choices=("out-in", "in-out"), default="out-in", help="of the file's matrices")
    parser.add_argument("--json", action="store_true", help="write JSON")
    options = parser.parse_args(arguments)
    try:
        if (options.network is None) == (options.weights is None):
            raise ValueError("give a network, or --weights with a file")
        if options.weights:
            tensors = read_safetensors(options.weights)
            found = [inspect(name, *tensors[name], options.activation, options.layout) for name in sorted(tensors)]
            if not found:
                raise ValueError(f"{options.weights} holds no weights: no tensor of floats with two dimensions or more")
            text = weights_text(found)
        else:
            schemes = [options.init] if options.init else SCHEMES
            found = [check(options.network, options.activation, scheme) for scheme in schemes]
            if options.init or "x" in options.network:
                text = "\n\n".join(map(as_text, found))
            else:
                text = "\n".join(f"{one['init']:7}  {summary(one)}" for one in found)
    except (ValueError, OSError) as error:
        print(f"init-check: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found, indent=2) if options.json else text)
    judged = found if options.init or options.weights else []  # a comparison of schemes judges none
    return int(any(one.get("verdict", "").startswith("BAD") for one in judged))


if __name__ == "__main__":
    sys.exit(main())
