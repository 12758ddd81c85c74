#!/usr/bin/env python3
"""The size of a dense network before you build it: shapes, parameters, multiply-adds, and memory for a batch.

One file, no packages: any Python 3.11 or newer runs it. A network is written as its sizes: 784-128-64-10
has 784 inputs, hidden layers of 128 and 64 neurons, and 10 outputs.
"""

# Made from build_it.py and tool.py of the lesson deep-learning-core/multi-layer-networks of Twice (MIT).

import argparse
import json
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any


BYTES = {"float16": 2, "float32": 4, "float64": 8}  # of one number


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


def _check_sizes(sizes: list[int], n_samples: int = 1) -> None:
    """Two or more sizes; they and the number of samples are integers of at least 1."""
    if len(sizes) < 2 or not all(isinstance(size, int) and size >= 1 for size in sizes):
        raise ValueError(f"sizes must be two or more integers of at least 1, got {sizes}")
    if not isinstance(n_samples, int) or n_samples < 1:
        raise ValueError(f"n_samples must be an integer of at least 1, got {n_samples}")


NOTES = """how it counts:
  parameters      (inputs + 1) x neurons for each layer: the weights, and a bias for each neuron
  multiply-adds   forward: batch x weights. Training, backward too: three times as many, less those that
                  would only give the gradient of the inputs. A FLOP counter says twice as many.
  activations     the inputs and the output of every layer, which a training step keeps
  training, SGD   parameters, their gradients, activations
  training, Adam  as SGD, and two running averages for each parameter
Memory is that of these numbers: what a framework needs beside them comes on top. bfloat16 is as float16.
"""


def parse(text: str) -> list[int]:
    """The sizes in 784-128-64-10; ValueError says what is wrong with them."""
    if not re.fullmatch(r"[0-9]+(-[0-9]+)+", text, re.ASCII):
        raise ValueError(f"write a network as its sizes, such as 784-128-64-10, not {text!r}")
    return [int(word) for word in text.split("-")]


def measure(sizes: list[int], batch: int) -> dict[str, Any]:
    """Everything about a network of these sizes, as it is written with --json."""
    found = shapes(sizes, batch)
    layers = [
        {
            "weights": found[f"W{i}"],
            "biases": found[f"b{i}"],
            "output": found[f"H{i}"],
            "parameters": count_parameters(sizes[i - 1 : i + 1]),
            "multiply_adds": count_multiply_adds(sizes[i - 1 : i + 1], batch),
        }
        for i in range(1, len(sizes))
    ]
    forward = count_multiply_adds(sizes, batch)
    needed = {}
    for dtype in BYTES:
        parts = memory(sizes, batch, dtype)
        needed[dtype] = parts | {
            "training, SGD": 2 * parts["parameters"] + parts["activations"],
            "training, Adam": 4 * parts["parameters"] + parts["activations"],
        }
    return {
        "network": "-".join(map(str, sizes)),
        "batch": batch,
        "input": found["X"],
        "layers": layers,
        "parameters": count_parameters(sizes),
        "multiply_adds": {"forward": forward, "training": 3 * forward - layers[0]["multiply_adds"]},
        "bytes": needed,
    }


def as_text(size: dict[str, Any]) -> str:
    """The result as two tables for the eye."""
    rows = [("layer", "weights", "biases", "output", "parameters", "multiply-adds")]
    rows.append(("input", "", "", shape(size["input"]), "", ""))
    for i, layer in enumerate(size["layers"], start=1):
        named = [shape(layer[key]) for key in ("weights", "biases", "output")]
        rows.append((str(i), *named, f"{layer['parameters']:,}", f"{layer['multiply_adds']:,}"))
    forward, training = size["multiply_adds"].values()
    rows.append(("total", "", "", "", f"{size['parameters']:,}", f"{forward:,}"))
    rows.append(("training step", "", "", "", "", f"{training:,}"))
    memory_rows = [("memory", *size["bytes"])]
    for name in next(iter(size["bytes"].values())):
        memory_rows.append((name, *(units(needed[name]) for needed in size["bytes"].values())))
    return f"{size['network']}, batch {size['batch']}\n\n{table(rows)}\n\n{table(memory_rows)}"


def shape(sizes: Sequence[int]) -> str:
    """(32, 784) as 32 × 784."""
    return " × ".join(map(str, sizes))


def units(n_bytes: int) -> str:
    """Bytes in the largest unit that leaves a number of at least 1: 437544 is 427.3 KiB."""
    value, unit = float(n_bytes), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{n_bytes} B" if unit == "B" else f"{value:.1f} {unit}"


def table(rows: list[tuple[str, ...]]) -> str:
    """Columns of equal width, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([f"{first:{widths[0]}}", *cells]).rstrip())
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # × on a Windows console
    parser = argparse.ArgumentParser(
        prog="network-size",
        description=__doc__,
        epilog=NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("networks", nargs="+", metavar="SIZES", help="such as 784-128-64-10; one or more")
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="samples in a batch (default: 32)")
    parser.add_argument("--json", action="store_true", help="write JSON: a list with an object for each network")
    options = parser.parse_args(arguments)
    try:
        if options.batch < 1:
            raise ValueError(f"--batch is a number of samples, at least 1, not {options.batch}")
        sizes = [measure(parse(text), options.batch) for text in options.networks]
    except ValueError as error:
        print(f"network-size: {error}", file=sys.stderr)
        return 2
    print(json.dumps(sizes, indent=2) if options.json else "\n\n\n".join(map(as_text, sizes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
