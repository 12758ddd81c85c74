"""Train a 64-32-10 network on the 8×8 digits, measure it on digits it has not seen, and write its weights."""

import json
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from shared.data import load

SIZES, BATCH_SIZE, EPOCHS, SEED = [64, 32, 10], 32, 8, 0
N_HELD_OUT = 360  # a fifth: never trained on, and nothing is chosen by them
LARGEST = 16  # the darkest pixel


def split() -> tuple[tuple[list[list[float]], list[int]], tuple[list[list[float]], list[int]]]:
    """(pixels from 0 to 1, digits) to train on, and held out."""
    rows = [list(row) for row in load("digits").rows]
    Random(SEED).shuffle(rows)
    X, labels = [[pixel / LARGEST for pixel in row[:64]] for row in rows], [int(row[64]) for row in rows]
    return (X[:-N_HELD_OUT], labels[:-N_HELD_OUT]), (X[-N_HELD_OUT:], labels[-N_HELD_OUT:])


def write(twin: ModuleType, parameters: Any, folder: Path) -> None:
    """digits.safetensors and digits.json."""
    twin.save(twin.start(parameters, twin.SGD(), BATCH_SIZE, Random(SEED)), folder / "digits")
    facts = {"sizes": SIZES, "labels": list("0123456789"), "largest": LARGEST}
    (folder / "digits.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8", newline="\n")


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Train with `twin`, write the artifact into `folder`, and return what was measured."""
    training, held_out = split()
    rng = Random(SEED)
    run = twin.start(twin.initialize(SIZES, rng), twin.Adam(learning_rate=0.005), BATCH_SIZE, rng)
    n_steps = EPOCHS * -(-len(training[0]) // BATCH_SIZE)
    run, losses = twin.train(run, *training, n_steps)

    results: dict[str, Any] = {"samples trained on": len(training[0]), "steps": n_steps}
    for step in (1, 10, 100, n_steps):
        results[f"loss of step {step}"] = losses[step - 1]
    for name, part in (("training", training), ("held-out", held_out)):
        found = twin.evaluate(run.parameters, *part)
        results[f"loss on {name} digits"] = found.loss
        results[f"accuracy on {name} digits"] = found.accuracy
    results["confusion matrix on held-out digits"] = found.confusion
    write(twin, run.parameters, folder)
    return results
