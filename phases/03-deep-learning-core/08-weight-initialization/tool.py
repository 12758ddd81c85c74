"""Check where a network's weights start: what a scheme does to each layer, or what a file of weights holds.

One file, no packages: any Python 3.11 or newer runs it. Give a network as its sizes (784-256-256-10), one weight in
torch's shape (64x3x7x7: out x in x kernel), or a safetensors file.
"""

import argparse
import json
import math
import re
import struct
import sys
from collections.abc import Sequence
from itertools import combinations, pairwise
from operator import mul
from pathlib import Path
from typing import Any

from phases.deep_learning_core.weight_initialization.build_it import (
    calculate_fan_in_and_fan_out,
    calculate_gain,
    predicted_variances,
)

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
