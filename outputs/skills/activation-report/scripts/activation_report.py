#!/usr/bin/env python3
"""Report what the activations of a network's layers say about its health, layer by layer.

FILE is one JSON file with all layers, in order:
    {"fc1": {"activation": "ReLU", "values": [[0.0, 1.2], [0.3, 0.0]]}, "fc2": ...}
or one CSV file a layer (its name is the layer's), with --activation for all of them. Either way rows are samples and
columns are units. Exit code: 0 if no layer is BAD, 1 if one is, 2 if a file cannot be used.
"""

import argparse
import csv
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Matrix = list[list[float]]

SATURATED_BELOW = 0.05  # a value is saturated where the slope of f is below this share of the largest slope of f
DEAD_WARN, DEAD_BAD = 0.10, 0.50  # share of the units
SATURATED_WARN, SATURATED_BAD = 0.25, 0.50  # share of the values
SPREAD_WARN, SPREAD_BAD = 10.0, 1000.0  # times less, or more, than the first layer
FEW_SAMPLES = 100

SQUASHING = ("sigmoid", "tanh")
GENTLE = ("leakyrelu", "gelu", "silu")  # a unit that is never positive still has a slope

ADVICE = {
    "not finite": "look in the first layer that has NaN or inf: its input, its weights, a log or a division by zero.",
    "dead": "lower the learning rate, scale the inputs, start ReLU weights from N(0, 2/n_in), or use leaky ReLU.",
    "quiet": "units that are never positive here learn through a small slope only: as for dead ReLU units.",
    "saturated": "weights or inputs are too large: scale the inputs, start from variance 1/n_in, or normalize.",
    "fades": "samples look more alike from layer to layer, and gradients shrink the same way on their way back: "
    "replace sigmoid, start from larger weights (N(0, 2/n_in) for ReLU), normalize, or add skip connections.",
    "grows": "samples differ more from layer to layer, and gradients grow the same way: smaller weights, or normalize.",
    "no spread": "every sample gives the same values: check that the batch differs, and the layers below.",
}


def report(layers: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One line for each layer, in order.

    Args:
        layers: name -> {"activation": name of f, "values": n_samples × n_units}.

    Returns:
        For each layer: layer, activation, samples, units, mean, std (of all values), spread (over samples: the root of
        the mean over units of the variance), saturated (share of values, or None), dead (share of units, or None),
        verdict (OK, WARN or BAD) and reasons (keys of ADVICE).
    """
    lines: list[dict[str, Any]] = []
    first_spread = 0.0
    for name, layer in layers.items():
        activation = plain_name(layer["activation"])
        line = statistics_of(layer["values"], activation)
        first_spread = first_spread or line["spread"]
        problems = judge(line, activation, first_spread)
        verdict = "BAD" if "BAD" in problems.values() else "WARN" if problems else "OK"
        shown = {"layer": name, "activation": layer["activation"]}
        lines.append(shown | line | {"verdict": verdict, "reasons": list(problems)})
    return lines


def statistics_of(values: Matrix, activation: str) -> dict[str, Any]:
    """The numbers of one layer; all but the counts are NaN where a value is not finite."""
    flat = [v for row in values for v in row]
    line: dict[str, Any] = {"samples": len(values), "units": len(values[0])}
    if not all(map(math.isfinite, flat)):
        return line | {"mean": math.nan, "std": math.nan, "spread": math.nan, "saturated": None, "dead": None}
    units = list(zip(*values, strict=True))
    line["mean"], line["std"] = mean(flat), math.sqrt(variance(flat))
    line["spread"] = math.sqrt(mean([variance(unit) for unit in units]))
    line["saturated"] = line["dead"] = None
    if activation in SQUASHING:
        flags = [[saturated(v, activation) for v in unit] for unit in units]
        line["saturated"] = mean([flag for unit in flags for flag in unit])
        line["dead"] = mean([all(unit) for unit in flags])
    elif activation in ("relu", *GENTLE):
        line["dead"] = mean([not any(v > 0 for v in unit) for unit in units])
    return line


def mean(values: Sequence[float]) -> float:
    """Of numbers; of flags, the share that is True."""
    return sum(values) / len(values)


def variance(values: Sequence[float]) -> float:
    """The mean of the squared distances from the mean; exactly 0 where all are equal."""
    center = mean([v - values[0] for v in values]) + values[0]
    return mean([(v - center) ** 2 for v in values])


def saturated(h: float, activation: str) -> bool:
    """From the output h alone: the slope of sigmoid is h (1 - h), at most 1/4; that of tanh is 1 - h², at most 1."""
    share = 4 * h * (1 - h) if activation == "sigmoid" else 1 - h * h
    return share < SATURATED_BELOW


def judge(line: dict[str, Any], activation: str, first_spread: float) -> dict[str, str]:
    """What is wrong with a layer: reason -> WARN or BAD."""
    if math.isnan(line["mean"]):
        return {"not finite": "BAD"}
    if line["spread"] == 0:
        return {"no spread": "BAD"}
    problems = {}
    change = line["spread"] / first_spread
    if max(change, 1 / change) > SPREAD_WARN:
        level = "BAD" if max(change, 1 / change) > SPREAD_BAD else "WARN"
        problems["grows" if change > 1 else "fades"] = level
    if line["saturated"] is not None and line["saturated"] > SATURATED_WARN:
        problems["saturated"] = "BAD" if line["saturated"] > SATURATED_BAD else "WARN"
    if line["dead"] is not None and line["dead"] > DEAD_WARN:
        if activation in GENTLE:
            problems["quiet"] = "WARN"
        else:
            problems["dead"] = "BAD" if line["dead"] > DEAD_BAD else "WARN"
    return problems


def plain_name(activation: str) -> str:
    """LeakyReLU, leaky_relu and leaky-relu are one."""
    return activation.lower().replace("_", "").replace("-", "")


def read(files: list[Path], activation: str | None) -> dict[str, dict[str, Any]]:
    """The layers of one JSON file, or of CSV files.

    Raises:
        ValueError: saying which file cannot be used and why.
    """
    layers: dict[str, dict[str, Any]] = {}
    for file in files:
        try:
            text = file.read_text(encoding="utf-8-sig")
            found = read_csv(file, text, activation) if file.suffix.lower() == ".csv" else json.loads(text)
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{file}: {error}") from None
        if not isinstance(found, dict) or not found:
            raise ValueError(f"{file}: expected an object with one entry for each layer")
        for name, layer in found.items():
            if name in layers:
                raise ValueError(f"{file}: there are two layers called {name!r}")
            layers[name] = checked(f"{file}, {name}", layer)
    return layers


def read_csv(file: Path, text: str, activation: str | None) -> dict[str, Any]:
    """One layer; a first line that holds no numbers is a header."""
    if activation is None:
        raise ValueError(f"{file}: a CSV file does not say what its activation is: add --activation relu")
    rows: list[list[Any]] = []
    for number, row in enumerate(csv.reader(text.splitlines()), 1):
        if not row:
            continue
        try:
            rows.append([float(cell) for cell in row])
        except ValueError:
            if number > 1:
                raise ValueError(f"{file}, line {number}: expected numbers, got {','.join(row)[:60]!r}") from None
    return {file.stem: {"activation": activation, "values": rows}}


def checked(where: str, layer: Any) -> dict[str, Any]:
    """A layer whose values are a matrix of numbers."""
    if not isinstance(layer, dict) or not isinstance(layer.get("activation"), str):
        raise ValueError(f'{where}: expected {{"activation": "ReLU", "values": [[...], ...]}}')
    values = layer.get("values")
    if not isinstance(values, list) or not values or not all(isinstance(row, list) and row for row in values):
        raise ValueError(f"{where}: values must be a list of rows, one for each sample")
    for i, row in enumerate(values):
        if len(row) != len(values[0]):
            raise ValueError(f"{where}: row {i} has {len(row)} values, row 0 has {len(values[0])}")
        if not all(isinstance(v, int | float) for v in row):
            raise ValueError(f"{where}: row {i} holds something that is no number")
    return layer


def table(lines: list[dict[str, Any]]) -> str:
    """The report as text: the table, then what each problem means."""
    head = ["layer", "activation", "units", "mean", "std", "spread", "saturated", "dead", "verdict"]
    rows = [head]
    for line in lines:
        numbers = [f"{line[key]:.3g}" for key in ("mean", "std", "spread")]
        shares = ["-" if line[key] is None else f"{line[key]:.0%}" for key in ("saturated", "dead")]
        verdict = f"{line['verdict']} {', '.join(line['reasons'])}".strip()
        rows.append([line["layer"], line["activation"], str(line["units"]), *numbers, *shares, verdict])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    out = []
    for row in rows:
        cells = [row[i].ljust(widths[i]) if i in (0, 1, 8) else row[i].rjust(widths[i]) for i in range(9)]
        out.append("  ".join(cells).rstrip())
    reasons = dict.fromkeys(reason for line in lines for reason in line["reasons"])
    out += ["", *(f"{reason}: {ADVICE[reason]}" for reason in reasons)] if reasons else []
    n_samples = min(line["samples"] for line in lines)
    if n_samples < FEW_SAMPLES and any(line["dead"] for line in lines):
        out += ["", f"{n_samples} samples: a unit that answers 1 sample in 20 is silent on all of them with"]
        out[-1] += f" probability {0.95**n_samples:.2g}."
    return "\n".join(out)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="one JSON file, or CSV files")
    parser.add_argument(
        "--activation", help="what the CSV files come from: relu, leaky_relu, gelu, silu, sigmoid, tanh"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    try:
        lines = report(read(options.files, options.activation))
    except ValueError as error:
        print(f"activation_report: {error}", file=sys.stderr)
        return 2
    print(json.dumps(lines, indent=2) if options.json else table(lines))
    return int(any(line["verdict"] == "BAD" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
