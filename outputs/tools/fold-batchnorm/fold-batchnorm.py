#!/usr/bin/env python3
"""Fold every batch norm of a safetensors file into the linear or convolution layer in front of it.

In evaluation a batch norm is one multiplication and one addition for each channel, and so is the end of the layer
before it. The new layer has weight_c · s_c and s_c · (bias_c - mean_c) + beta_c, with s_c = gamma_c / √(variance_c +
eps), and the batch norm is gone. Each fold is checked on random inputs before anything is written. One file, no
packages: any Python 3.11 or newer runs it.
"""

# Made from build_it.py and tool.py of the lesson deep-learning-core/normalization of Twice (MIT).

import argparse
import json
import math
import re
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import mul
from pathlib import Path
from random import Random
from typing import Any, NamedTuple


Vector = list[float]
Nested = Any  # numbers in lists in lists …, all of one depth and of equal lengths


@dataclass(frozen=True)
class RunningStatistics:
    """What batch norm remembers of the batches it was trained on.

    Attributes:
        mean: one for each channel.
        variance: one for each channel; an average of unbiased variances.
        num_batches_tracked: how many batches went into them.
    """

    mean: Vector
    variance: Vector
    num_batches_tracked: int = 0


def mean_and_variance(values: Vector) -> tuple[float, float]:
    """The mean, and the mean squared distance from it (biased: divided by m), in two passes.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    _check_values(values)
    mean = sum(values) / len(values)
    return mean, sum((x - mean) ** 2 for x in values) / len(values)


def normalize(values: Vector, eps: float = 1e-5, centred: bool = True) -> Vector:
    """x̂ = (x - μ) / √(v + eps), of one group of values. Not centred: μ = 0, and v is the mean square.

    Raises:
        ValueError: no values, one that is not finite, or eps not above 0.
    """
    mean, std = _mean_and_std(values, eps, centred)
    return [(x - mean) / std for x in values]


def _mean_and_std(values: Vector, eps: float, centred: bool) -> tuple[float, float]:
    """μ and √(v + eps); not centred: 0 and the root mean square."""
    _check_eps(eps)
    mean, variance = mean_and_variance(values)
    if not centred:
        mean, variance = 0.0, sum(x * x for x in values) / len(values)
    return mean, math.sqrt(variance + eps)


class Layout(NamedTuple):
    """Which numbers are averaged together and which share a weight and a bias: for each value, in reading order.

    Attributes:
        shape: of x.
        parameter_shape: of weight and bias.
        group: for each value, the number of the group that it is averaged with.
        parameter: for each value, the number of its weight and bias.
    """

    shape: tuple[int, ...]
    parameter_shape: tuple[int, ...]
    group: list[int]
    parameter: list[int]


def batch_norm(
    x: Nested, weight: Vector, bias: Vector, running: RunningStatistics | None = None, eps: float = 1e-5
) -> Nested:
    """weight · x̂ + bias, with the mean and variance of each channel over all samples and positions.

    Args:
        x: n_samples × n_channels, or n_samples × n_channels × any further axes (the positions).
        weight: γ, one for each channel.
        bias: β, one for each channel.
        running: None in training: the batch's own mean and variance. In evaluation, the ones to use instead.
        eps: added to the variance, under the root.

    Raises:
        ValueError: x has fewer than two axes; weight, bias or running are for another number of channels; in
            training, one value for each channel; eps not above 0; a number that is not finite.
    """
    values, layout = _batch_layout(x)
    if running is None:
        _check_several(layout.shape)
        x_hat = _by_group(partial(normalize, eps=eps), layout, values)
    else:
        x_hat = _in_evaluation(values, layout, running, eps)
    return _scale_and_shift(x_hat, layout, weight, bias)


def _in_evaluation(values: Vector, layout: Layout, running: RunningStatistics, eps: float) -> Vector:
    """x̂ with the running statistics: each value by itself."""
    _check_running(running, layout.parameter_shape)
    _check_eps(eps)
    stds = [math.sqrt(v + eps) for v in running.variance]
    return [(v - running.mean[c]) / stds[c] for v, c in zip(values, layout.parameter, strict=True)]


def _batch_layout(x: Nested) -> tuple[Vector, Layout]:
    """The values of x; a channel is averaged over all samples and positions, and has one weight and bias."""
    values, shape = _flatten("x", x, 2)
    n_positions = math.prod(shape[2:])
    channel = [i // n_positions % shape[1] for i in range(len(values))]
    return values, Layout(shape, shape[1:2], channel, channel)


def _by_group(function: Callable[..., Vector], layout: Layout, *columns: Vector) -> Vector:
    """Applies `function` to the values of each group, and puts each result in the place of its value."""
    members: dict[int, list[int]] = {}
    for i, group in enumerate(layout.group):
        members.setdefault(group, []).append(i)
    result = [0.0] * len(layout.group)
    for places in members.values():
        for i, value in zip(places, function(*([column[i] for i in places] for column in columns)), strict=True):
            result[i] = value
    return result


def _scale_and_shift(x_hat: Vector, layout: Layout, weight: Nested, bias: Nested | None) -> Nested:
    """weight · x̂ + bias."""
    gamma = _check_like("weight", weight, layout.parameter_shape)
    scaled = [gamma[p] * x for x, p in zip(x_hat, layout.parameter, strict=True)]
    if bias is not None:
        beta = _check_like("bias", bias, layout.parameter_shape)
        scaled = [y + beta[p] for y, p in zip(scaled, layout.parameter, strict=True)]
    return _unflatten(scaled, layout.shape)


def fold_batch_norm(
    weight: Nested,
    bias: Vector | None,
    running: RunningStatistics,
    bn_weight: Vector,
    bn_bias: Vector,
    *,
    eps: float = 1e-5,
) -> tuple[Nested, Vector]:
    """Weight and bias of a layer that does what the given layer and the batch norm behind it do in evaluation.

    With s = bn_weight / √(variance + eps): output c of the new layer has s_c · weight_c and
    s_c · (bias_c - mean_c) + bn_bias_c.

    Args:
        weight: of the layer in front, n_outputs × any further axes: linear (n_out × n_in) or convolution
            (n_out × n_in × height × width), as torch keeps them.
        bias: one for each output, or None for none.
        running: the batch norm's running statistics, one for each output.
        bn_weight: its γ.
        bn_bias: its β.
        eps: the batch norm's.

    Raises:
        ValueError: weight has fewer than two axes; anything is for another number of outputs; eps not above 0; a
            number that is not finite.
    """
    values, shape = _flatten("weight", weight, 2)
    n_outputs = shape[0]
    bias = [0.0] * n_outputs if bias is None else _check_like("bias", bias, (n_outputs,))
    _check_running(running, (n_outputs,))
    gamma = _check_like("bn_weight", bn_weight, (n_outputs,))
    beta = _check_like("bn_bias", bn_bias, (n_outputs,))
    _check_eps(eps)
    s = [g / math.sqrt(v + eps) for g, v in zip(gamma, running.variance, strict=True)]
    size = len(values) // n_outputs
    new_weight = [s[i // size] * w for i, w in enumerate(values)]
    new_bias = [s[c] * (bias[c] - running.mean[c]) + beta[c] for c in range(n_outputs)]
    return _unflatten(new_weight, shape), new_bias


def _flatten(name: str, x: Nested, n_axes: int = 1) -> tuple[Vector, tuple[int, ...]]:
    """The numbers of nested lists in reading order, and the shape; at least `n_axes`, one number, all finite."""
    flat, shape = [x], []
    while isinstance(flat[0], list | tuple):
        lengths = {len(row) if isinstance(row, list | tuple) else -1 for row in flat}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError(f"{name} must be numbers in lists of equal lengths, none empty, got {x!r}")
        shape.append(len(flat[0]))
        flat = [value for row in flat for value in row]
    if len(shape) < n_axes or not all(isinstance(v, int | float) and math.isfinite(v) for v in flat):
        raise ValueError(f"{name} must be finite numbers in lists, with {n_axes} axes or more, got {x!r}")
    return flat, tuple(shape)


def _unflatten(flat: Vector, shape: tuple[int, ...]) -> Nested:
    """The nested lists of that shape, filled in reading order."""
    for size in reversed(shape[1:]):
        flat = [flat[i : i + size] for i in range(0, len(flat), size)]
    return flat


def _check_like(name: str, x: Nested, shape: tuple[int, ...]) -> Vector:
    """The numbers of x, which must have that shape."""
    flat, its_shape = _flatten(name, x)
    if its_shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {its_shape}")
    return flat


def _check_values(values: Vector) -> None:
    """One axis."""
    if len(_flatten("values", values)[1]) != 1:
        raise ValueError(f"values must be a list of numbers, got {values!r}")


def _check_eps(eps: float) -> None:
    """Above 0, so that a constant group can be divided."""
    if not 0 < eps < math.inf:
        raise ValueError(f"eps must be above 0 and finite, got {eps}")


def _check_several(shape: tuple[int, ...]) -> None:
    """Two values for each channel, or more: of one, the variance is 0 and every output would be the bias."""
    if math.prod(shape) == shape[1]:
        raise ValueError(f"training needs two or more values for each channel, got the shape {shape}")


def _check_running(running: RunningStatistics, shape: tuple[int, ...]) -> None:
    """A mean and a variance, not negative, for each channel."""
    _check_like("running.mean", running.mean, shape)
    if min(_check_like("running.variance", running.variance, shape)) < 0:
        raise ValueError(f"running.variance must not be negative, got {running.variance}")


FORMATS = {"F64": "d", "F32": "f", "F16": "e"}
TOLERANCES = {"F64": 1e-12, "F32": 1e-5, "F16": 1e-2, "BF16": 5e-2}  # relative to the layer's largest output
PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
N_INPUTS = 8
EXAMPLES = """examples:
  python fold-batchnorm.py digits.safetensors                      # which folds, and how far the outputs move
  python fold-batchnorm.py digits.safetensors -o folded.safetensors
  python fold-batchnorm.py model.safetensors --pair stem.conv:stem.norm --eps 1e-3 -o folded.safetensors

Without --pair, a batch norm is taken to stand behind the layer that its name suggests: in a Sequential the one before
it (features.1 behind features.0), else bn1 behind conv1, fc1 or linear1 of the same
block. A name
proves nothing: where the batch norm comes first (pre-activation networks), or something stands between the two, do not
fold. The file does not hold eps; 1e-5 is torch's default. A transposed convolution cannot be folded here.

In the model that loads the result, give the layer a bias and put nothing (torch.nn.Identity) in the batch norm's place.
Exit status: 0 where all batch norms fold, 1 where one does not or a check fails, 2 where the file or the arguments
cannot be used.
"""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file: its type, its shape, its bytes."""

    dtype: str
    shape: list[int]
    raw: bytes


def read(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file by name, and its metadata."""
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8:start])
        metadata = header.pop("__metadata__", {})
        places = {name: entry["data_offsets"] for name, entry in header.items()}
        tensors = {
            name: Tensor(header[name]["dtype"], header[name]["shape"], content[start + begin : start + end])
            for name, (begin, end) in places.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is no safetensors file, or is cut short") from error
    expected = start + max((end for _, end in places.values()), default=0)
    if expected != len(content):
        raise ValueError(f"{file} should have {expected} bytes, got {len(content)}")
    return tensors, metadata


def write(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """The header's length (u64), the header (JSON, padded to 8 bytes), the bytes of all tensors."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    position = 0
    for name, tensor in tensors.items():
        end = position + len(tensor.raw)
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(tensor.raw for tensor in tensors.values()))


def numbers(name: str, tensor: Tensor) -> list[float]:
    """The numbers of a tensor; ValueError where there is something else."""
    dtype, raw = tensor.dtype, tensor.raw
    if dtype == "BF16":  # the upper half of a float32
        dtype, raw = "F32", b"".join(b"\0\0" + raw[i : i + 2] for i in range(0, len(raw), 2))
    if dtype not in FORMATS:
        raise ValueError(f"{name} is {dtype}; only {', '.join(TOLERANCES)} can be folded")
    if len(raw) != math.prod(tensor.shape) * struct.calcsize(FORMATS[dtype]):
        raise ValueError(f"{name} has the shape {tensor.shape}, and {len(raw)} bytes do not fill that")
    values = [value for (value,) in struct.iter_unpack(f"<{FORMATS[dtype]}", raw)]
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{name} holds NaN or infinity")
    return values


def rounded(values: list[float], dtype: str, shape: list[int]) -> Tensor:
    """A tensor of these numbers, each rounded to the nearest of that type."""
    if dtype != "BF16":
        return Tensor(dtype, shape, struct.pack(f"<{len(values)}{FORMATS[dtype]}", *values))
    bits = struct.unpack(f"<{len(values)}I", struct.pack(f"<{len(values)}f", *values))
    return Tensor(dtype, shape, struct.pack(f"<{len(values)}H", *(b + 0x7FFF + (b >> 16 & 1) >> 16 for b in bits)))


def names_in_front(norm: str) -> Iterator[str]:
    """The layers that a batch norm of that name may stand behind."""
    block, dot, last = norm.rpartition(".")
    if last.isdigit():
        yield f"{block}{dot}{int(last) - 1}"
    elif found := re.fullmatch(r"(?:bn|norm|batch_?norm)_?(\d*)", last, re.IGNORECASE):
        yield from (f"{block}{dot}{kind}{found[1]}" for kind in ("conv", "fc", "linear"))


def pairs_in(tensors: dict[str, Tensor], chosen: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """(layer, batch norm) for each batch norm; "" where no layer fits. `chosen` ones take the place of guesses."""
    norms = [name.removesuffix(".running_mean") for name in tensors if name.endswith(".running_mean")]
    if not norms:
        raise ValueError("the file holds no batch norm: no name ends in .running_mean")
    for layer, norm in chosen:
        if norm not in norms:
            raise ValueError(f"there is no batch norm {norm!r}; there are {', '.join(norms)}")
        if not fits(tensors, layer, norm):
            raise ValueError(f"{layer}.weight must have one output for each channel of {norm}, and two or more axes")
    return chosen or [
        (next((layer for layer in names_in_front(norm) if fits(tensors, layer, norm)), ""), norm) for norm in norms
    ]


def fits(tensors: dict[str, Tensor], layer: str, norm: str) -> bool:
    """Whether the layer has a weight with one output for each channel."""
    weight = tensors.get(f"{layer}.weight")
    return weight is not None and len(weight.shape) > 1 and weight.shape[:1] == tensors[f"{norm}.running_mean"].shape


def fold(tensors: dict[str, Tensor], layer: str, norm: str, eps: float) -> tuple[Tensor, Tensor, float]:
    """The new weight and bias of the layer, and how far outputs for random inputs move, relative to the largest."""
    old = tensors[f"{layer}.weight"]
    n_outputs = old.shape[0]

    def vector(name: str, otherwise: float) -> list[float]:
        return numbers(name, tensors[name]) if name in tensors else [otherwise] * n_outputs

    weight, bias = in_rows(numbers(f"{layer}.weight", old), n_outputs), vector(f"{layer}.bias", 0.0)
    running = RunningStatistics(vector(f"{norm}.running_mean", 0.0), vector(f"{norm}.running_var", 1.0))
    gamma, beta = vector(f"{norm}.weight", 1.0), vector(f"{norm}.bias", 0.0)
    new_weight, new_bias = fold_batch_norm(weight, bias, running, gamma, beta, eps=eps)
    stored_weight = rounded([w for row in new_weight for w in row], old.dtype, old.shape)
    stored_bias = rounded(new_bias, old.dtype, [n_outputs])

    rng = Random(0)
    inputs = [[rng.gauss(0, 1) for _ in weight[0]] for _ in range(N_INPUTS)]  # of a convolution: what it sees at once
    before = batch_norm(outputs(weight, bias, inputs), gamma, beta, running, eps)
    now = in_rows(numbers("the folded weight", stored_weight), n_outputs), numbers("the folded bias", stored_bias)
    pairs = [pair for rows in zip(before, outputs(*now, inputs), strict=True) for pair in zip(*rows, strict=True)]
    largest = max(abs(b) for b, _ in pairs)
    return stored_weight, stored_bias, max(abs(b - a) for b, a in pairs) / (largest or 1.0)


def in_rows(values: list[float], n_rows: int) -> list[list[float]]:
    """One row for each output."""
    size = len(values) // n_rows
    return [values[i : i + size] for i in range(0, len(values), size)]


def outputs(weight: list[list[float]], bias: list[float], inputs: list[list[float]]) -> list[list[float]]:
    """X Wᵀ + b."""
    return [[sum(map(mul, row, x)) + b for row, b in zip(weight, bias, strict=True)] for x in inputs]


def fold_all(
    tensors: dict[str, Tensor], chosen: list[tuple[str, str]], eps: float
) -> tuple[dict[str, Tensor], list[str], bool]:
    """The tensors with all batch norms folded, a line of report for each, and whether all went well."""
    result, lines, well = dict(tensors), [], True
    for layer, norm in pairs_in(tensors, chosen):
        if not layer:
            lines.append(f"{norm}: no layer in front found; name it with --pair LAYER:{norm}")
            well = False
            continue
        weight, bias, difference = fold(tensors, layer, norm, eps)
        agrees = difference <= TOLERANCES[weight.dtype]
        well = well and agrees
        verdict = "agree" if agrees else f"DIFFER by more than {TOLERANCES[weight.dtype]:g}"
        shape = " × ".join(map(str, weight.shape))
        lines.append(f"{norm} into {layer} ({shape}, {weight.dtype}): outputs {verdict} (relative {difference:.0e})")
        tracked = tensors.get(f"{norm}.num_batches_tracked")
        if tracked is not None and not any(tracked.raw):
            lines.append(f"  warning: {norm} has seen no batch; its running statistics are those it started with")
        for part in PARTS:
            result.pop(f"{norm}.{part}", None)
        result |= {f"{layer}.weight": weight, f"{layer}.bias": bias}
    return result, lines, well


def pair(text: str) -> tuple[str, str]:
    """LAYER:NORM."""
    layer, colon, norm = text.partition(":")
    if not (layer and colon and norm):
        raise argparse.ArgumentTypeError(f"expected LAYER:NORM, got {text!r}")
    return layer, norm


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="safetensors; F64, F32, F16 or BF16")
    parser.add_argument("-o", "--output", type=Path, help="where to write the result; without it, nothing is written")
    parser.add_argument("--eps", type=float, default=1e-5, help="of the batch norms (default: 1e-5; Keras has 1e-3)")
    parser.add_argument(
        "--pair", type=pair, action="append", default=[], metavar="LAYER:NORM", help="fold these pairs and no others"
    )
    options = parser.parse_args(arguments)
    try:
        tensors, metadata = read(options.file)
        folded, lines, well = fold_all(tensors, options.pair, options.eps)
        print("\n".join(lines))
        if not well:
            print("nothing was written" if options.output else "this would not be written")
            return 1
        if options.output:
            write(options.output, folded, metadata)
        counts = [sum(math.prod(tensor.shape) for tensor in group.values()) for group in (tensors, folded)]
        print(f"{len(tensors)} tensors with {counts[0]} numbers become {len(folded)} with {counts[1]}")
    except (ValueError, OSError, OverflowError) as error:
        print(f"fold-batchnorm: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
