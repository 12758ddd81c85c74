"""Watch twenty layers read digits from different starts, and ship a tool that checks where weights start."""

import json
import math
import statistics
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from shared.data import load
from shared.ship.one_file import one_file

HERE = Path(__file__).parent
DEPTH, WIDTH, EVERY = 20, 48, 225  # layers, units in each, one digit of so many
LEARNERS = [64, *[16] * 8, 10]
SAMPLES = 10  # one of each digit

Draw = Callable[[ModuleType, tuple[int, int], Random], list[list[float]]]
SCHEMES: dict[str, Draw] = {
    "zeros": lambda twin, shape, rng: twin.constant(shape, 0.0),
    "N(0, 1) x 100": lambda twin, shape, rng: twin.normal(shape, 0.0, 100.0, rng=rng),
    "N(0, 1) / 100": lambda twin, shape, rng: twin.normal(shape, 0.0, 0.01, rng=rng),
    "torch's weights": lambda twin, shape, rng: twin.kaiming_uniform(shape, math.sqrt(5), rng=rng),
    "Xavier": lambda twin, shape, rng: twin.xavier_normal(shape, rng=rng),
    "He": lambda twin, shape, rng: twin.kaiming_normal(shape, nonlinearity="relu", rng=rng),
}


def digits() -> tuple[list[list[float]], list[int]]:
    """Handwritten digits, each a row of 64 pixels, scaled to mean 0 and standard deviation 1 over all; and labels."""
    X, labels = load("digits").split()
    pixels = [pixel for row in X for pixel in row]
    mean, std = statistics.fmean(pixels), statistics.pstdev(pixels)
    return [[(pixel - mean) / std for pixel in row] for row in X], labels


def watch(twin: ModuleType, activation: str, draw: Draw) -> Any:
    """The variances of DEPTH layers that see a few digits; a random gradient comes back; seed 0 for all."""
    rng, X = Random(0), digits()[0][::EVERY]
    network = twin.initialize([64] + [WIDTH] * DEPTH, [activation] * DEPTH, lambda shape: draw(twin, shape, rng))
    return twin.measured_variances(network, X, [[rng.gauss(0.0, 1.0) for _ in range(WIDTH)] for _ in X])


def write_safetensors(file: Path, tensors: dict[str, list[list[float]]]) -> None:
    """Matrices as F32: the header's length (u64), the header (JSON, padded to 8 bytes), the values in row order."""
    header, data = {}, b""
    for name, matrix in tensors.items():
        packed = b"".join(struct.pack(f"<{len(row)}f", *row) for row in matrix)
        shape = [len(matrix), len(matrix[0])]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Measure every scheme on ReLU layers and some on tanh; write the tool, and a file of weights to try it on."""
    program = one_file(HERE / "build_it.py", HERE / "tool.py")
    (folder / "init-check.py").write_text(program, encoding="utf-8", newline="\n")
    rng = Random(0)
    example = {
        "layers.0.weight": twin.kaiming_normal((32, 64), nonlinearity="relu", rng=rng),
        "layers.1.weight": twin.linear_default(32, 32, rng=rng)[0],
        "layers.2.weight": twin.orthogonal((32, 32), math.sqrt(2), rng=rng),
        "layers.3.weight": twin.constant((10, 32), 0.01),
    }
    write_safetensors(folder / "example.safetensors", example)

    results: dict[str, Any] = {}
    watched = [("relu", name, draw) for name, draw in SCHEMES.items()]
    watched += [("tanh", name, SCHEMES[name]) for name in ("torch's weights", "Xavier")]
    for activation, name, draw in watched:
        found = watch(twin, activation, draw)
        results[f"{activation}, {name}"] = {
            f"{what}, layer {i}": values[i - 1]
            for what, values in (("E[z2]", found.pre_activations), ("E[d2]", found.deltas))
            for i in (1, DEPTH)
        }
    return results
