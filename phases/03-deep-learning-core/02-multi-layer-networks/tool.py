"""The size of a dense network before you build it: shapes, parameters, multiply-adds, and memory for a batch.

One file, no packages: any Python 3.11 or newer runs it. A network is written as its sizes: 784-128-64-10
has 784 inputs, hidden layers of 128 and 64 neurons, and 10 outputs.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from phases.deep_learning_core.multi_layer_networks.build_it import (
    BYTES,
    count_multiply_adds,
    count_parameters,
    memory,
    shapes,
)

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
