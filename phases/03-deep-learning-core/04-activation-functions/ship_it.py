"""Watch gradients in deep networks that read digits, and ship a skill that reports on any network's activations."""

import importlib.util
import json
import math
import shutil
import statistics
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from shared.data import load

SKILL = Path(__file__).parent / "skill"
DEPTH, WIDTH, EVERY = 20, 24, 36  # layers, units in each, one digit of so many
SEEN = 6  # higher up, what a sigmoid leaves of the spread drowns in rounding
NETWORKS = (
    ("sigmoid", 1.0),
    ("tanh", 1.0),
    ("relu", 1.0),
    ("relu", math.sqrt(2)),
    ("leaky_relu", math.sqrt(2)),
    ("gelu", math.sqrt(2)),
    ("silu", math.sqrt(2)),
)


def digits() -> list[list[float]]:
    """Some of the handwritten digits, each a row of 64 pixels, scaled to mean 0 and standard deviation 1 over all."""
    X = load("digits").split()[0][::EVERY]
    pixels = [pixel for row in X for pixel in row]
    mean, std = statistics.fmean(pixels), statistics.pstdev(pixels)
    return [[(pixel - mean) / std for pixel in row] for row in X]


def network(twin: ModuleType, activation: str, gain: float, depth: int = DEPTH, width: int = WIDTH) -> Any:
    """The pass of the digits through `depth` layers, and back from a random gradient; seed 0 for all."""
    rng, X = Random(0), digits()
    weights = twin.random_weights([64] + [width] * depth, gain, rng)
    return twin.forward_backward(weights, activation, X, [[rng.gauss(0.0, 1.0) for _ in range(width)] for _ in X])


def factor(norms: list[float]) -> float:
    """By what a norm is multiplied from one layer to the one below: the geometric mean over the layers."""
    return (norms[0] / norms[-1]) ** (1 / (len(norms) - 1))


def script() -> ModuleType:
    """The skill's script as a module."""
    spec = importlib.util.spec_from_file_location("activation_report", SKILL / "scripts" / "activation_report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def named(activations: list[list[list[float]]], activation: str) -> dict[str, dict[str, Any]]:
    """The layers as the script reads them."""
    return {f"layer {i}": {"activation": activation, "values": values} for i, values in enumerate(activations, 1)}


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Measure each network of NETWORKS, and write the skill with an example into `folder`."""
    results: dict[str, Any] = {}
    report = script().report
    for activation, gain in NETWORKS:
        found = network(twin, activation, gain)
        deltas, weight_gradients = twin.layer_norms(found.deltas), twin.layer_norms(found.weight_gradients)
        lines = report(named(found.activations, activation))
        spreads = [line["spread"] for line in lines[:SEEN]]
        results[f"{activation}, gain {gain:.2f}"] = {
            f"norm of delta, layer {DEPTH}": deltas[-1],
            "norm of delta, layer 1": deltas[0],
            "delta, factor a layer": factor(deltas),
            "weight gradient, factor a layer": factor(weight_gradients),
            f"delta, factor a layer, layers 1 to {SEEN}": factor(deltas[:SEEN]),
            f"spread, factor a layer, layers 1 to {SEEN}": factor(spreads[::-1]),
            f"dead units of {WIDTH}, layer {DEPTH}": len(twin.dead_units(found.activations[-1])),
            "first layer that the report calls BAD": next((x["layer"] for x in lines if x["verdict"] == "BAD"), "none"),
        }
    shutil.copytree(SKILL, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    example = network(twin, "sigmoid", 1.0, depth=10, width=8)
    layers = named([[[round(h, 10) for h in row] for row in H[:20]] for H in example.activations], "Sigmoid")
    (folder / "example.json").write_text(json.dumps(layers) + "\n", encoding="utf-8", newline="\n")
    return results
