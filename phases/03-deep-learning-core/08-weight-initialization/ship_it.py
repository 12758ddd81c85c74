"""Watch twenty layers read digits from different starts, and ship a tool that checks where weights start."""

import ast
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

HERE = Path(__file__).parent
DEPTH, WIDTH, EVERY = 20, 48, 225  # layers, units in each, one digit of so many
LEARNERS = [64, *[16] * 8, 10]
STEPS, LEARNING_RATE, SAMPLES = 15, 0.1, 30

Draw = Callable[[ModuleType, tuple[int, int], Random], list[list[float]]]
SCHEMES: dict[str, Draw] = {
    "zeros": lambda twin, shape, rng: twin.constant(shape, 0.0),
    "N(0, 1) x 100": lambda twin, shape, rng: twin.normal(shape, 0.0, 100.0, rng=rng),
    "N(0, 1) / 100": lambda twin, shape, rng: twin.normal(shape, 0.0, 0.01, rng=rng),
    "torch's default": lambda twin, shape, rng: twin.kaiming_uniform(shape, math.sqrt(5), rng=rng),
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


def one_file(numerics: str, command: str) -> str:
    """A script that needs no other file: what the command takes from build_it.py, all that this needs, the command.

    Args:
        numerics: the source of build_it.py.
        command: the source of tool.py, which imports from build_it.
    """
    tree, given = ast.parse(command), ast.parse(numerics).body
    [borrowed] = [node for node in tree.body if ast.unparse(node).startswith("from phases.")]
    wanted, chosen = {alias.name for alias in borrowed.names}, []
    while new := [node for node in given if node not in chosen and _names(node) & wanted]:
        chosen += new
        wanted |= {inner.id for node in new for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    code = [(numerics, node) for node in given if node in chosen] + [(command, node) for node in tree.body[1:]]
    imports = [node for _, node in code if isinstance(node, ast.Import | ast.ImportFrom) and node is not borrowed]
    code = [(text, node) for text, node in code if not isinstance(node, ast.Import | ast.ImportFrom)]
    used = {inner.id for _, node in code for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    body = ""
    for text, node in code:
        body += ("\n" if isinstance(node, ast.Assign) else "\n\n\n") + _source(text, node)
    origin = (
        "# Made from build_it.py and tool.py of the lesson deep-learning-core/weight-initialization of Twice (MIT)."
    )
    head = f'#!/usr/bin/env python3\n"""{ast.get_docstring(tree, clean=False)}"""\n\n{origin}\n\n'
    return head + "\n".join(_merged(imports, used)) + "\n" + body + "\n"


def _merged(imports: list[ast.Import | ast.ImportFrom], used: set[str]) -> list[str]:
    """One line for each module, with the names that are used."""
    plain, names = set(), {}
    for node in imports:
        for alias in node.names:
            if alias.name not in used:
                continue
            if isinstance(node, ast.ImportFrom):
                names.setdefault(node.module, set()).add(alias.name)
            else:
                plain.add(f"import {alias.name}")
    return [*sorted(plain), *(f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names))]


def _names(node: ast.stmt) -> set[str]:
    """The names that a statement of a module defines or imports."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {node.name} if isinstance(node, ast.FunctionDef | ast.ClassDef) else set()


def _source(text: str, node: ast.stmt) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno]).replace("  # given\n", "\n")


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Measure every scheme on ReLU layers and some on tanh; write the tool, and a file of weights to try it on."""
    numerics = (HERE / "build_it.py").read_text(encoding="utf-8")
    command = (HERE / "tool.py").read_text(encoding="utf-8")
    (folder / "init-check.py").write_text(one_file(numerics, command), encoding="utf-8", newline="\n")
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
    watched += [("tanh", name, SCHEMES[name]) for name in ("torch's default", "Xavier")]
    for activation, name, draw in watched:
        found = watch(twin, activation, draw)
        results[f"{activation}, {name}"] = {
            f"{what}, layer {i}": values[i - 1]
            for what, values in (("E[z2]", found.pre_activations), ("E[d2]", found.deltas))
            for i in (1, DEPTH)
        }
    return results
