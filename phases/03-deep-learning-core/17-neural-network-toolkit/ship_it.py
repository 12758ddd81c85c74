"""Train a 64-32-10 network on the 8×8 digits, and ship it with the package that trains and measures such networks."""

import math
import shutil
import sys
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np

from shared.data import load

HERE = Path(__file__).parent
PACKAGE = HERE / "nn-toolkit"
if str(PACKAGE / "src") not in sys.path:
    sys.path.insert(0, str(PACKAGE / "src"))

from nn_toolkit import data, training  # noqa: E402
from nn_toolkit.architecture import parse  # noqa: E402

SIZES, BATCH_SIZE, EPOCHS, LEARNING_RATE, SEED = [64, 32, 10], 32, 8, 0.005, 0
EVERY = 5  # one digit of so many is held out: never trained on, and nothing is chosen by them
LARGEST = 16  # the darkest pixel


def split() -> tuple[tuple[list[list[float]], list[int]], tuple[list[list[float]], list[int]]]:
    """(pixels from 0 to 1, digits) to train on, and held out: as ``nn-toolkit … --data digits`` divides them."""
    X, y = load("digits").split()
    X = [[pixel / LARGEST for pixel in row] for row in X]
    kept = [i for i in range(len(y)) if i % EVERY]
    return ([X[i] for i in kept], [y[i] for i in kept]), (X[::EVERY], y[::EVERY])


def write(run: Any, losses: list[float], folder: Path, n_epochs: int = EPOCHS) -> None:
    """A finished run of either twin as a checkpoint of the toolkit: it can be used, looked into, and trained on."""
    digits = data.load("digits", "train")
    own = training.Run.new(
        parse("-".join(map(str, [len(run.parameters.weights[0]), *map(len, run.parameters.biases)]))),
        training.Settings(
            learning_rate=LEARNING_RATE, batch_size=BATCH_SIZE, epochs=n_epochs, schedule="constant", dtype="float64"
        ),
        digits,
        {"name": "digits", "regression": False, "validation": 0.0, "fingerprint": digits.fingerprint()},
    )
    own.identity = "digits"
    own.network.theta[:] = flat(run.parameters)
    # The toolkit keeps Adam's moments without their factors 1 - β.
    for name, moment, beta in zip(
        ("mean", "square"), run.moments, (run.optimizer.beta1, run.optimizer.beta2), strict=True
    ):
        own.optimizer.state[name][:] = flat(moment) / (1 - beta)
    own.optimizer.steps, own.epoch, own.best = run.n_steps, n_epochs, n_epochs
    n_batches = run.n_steps // n_epochs
    for epoch in range(n_epochs):
        mean = math.fsum(losses[epoch * n_batches :][:n_batches]) / n_batches
        own.history.append(training.Epoch(epoch + 1, mean, accuracy=None, seconds=0.0))
    own.save(folder)


def flat(values: Any) -> Any:
    """Weights and biases, layer by layer, as one vector: the order of the toolkit's."""
    layers = zip(values.weights, values.biases, strict=True)
    return np.concatenate([np.ravel(part) for layer in layers for part in layer])


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Train with `twin`, write the package and the network into `folder`, and return what was measured."""
    samples, held_out = split()
    rng = Random(SEED)
    run = twin.start(twin.initialize(SIZES, rng), twin.Adam(learning_rate=LEARNING_RATE), BATCH_SIZE, rng)
    n_steps = EPOCHS * -(-len(samples[0]) // BATCH_SIZE)
    run, losses = twin.train(run, *samples, n_steps)

    results: dict[str, Any] = {"samples trained on": len(samples[0]), "steps": n_steps}
    for step in (1, 10, 100, n_steps):
        results[f"loss of step {step}"] = losses[step - 1]
    for name, part in (("training", samples), ("held-out", held_out)):
        found = twin.evaluate(run.parameters, *part)
        results[f"loss on {name} digits"] = found.loss
        results[f"accuracy on {name} digits"] = found.accuracy
    results["confusion matrix on held-out digits"] = found.confusion

    shutil.copytree(PACKAGE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    write(run, losses, folder / "models" / "digits")
    loaded = training.Run.load(folder / "models" / "digits")
    results["accuracy on held-out digits, read by the toolkit"] = loaded.measure(data.load("digits", "test"))[1]
    return results
