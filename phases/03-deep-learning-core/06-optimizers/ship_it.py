"""Fit real data with every optimizer, learning rate and batch size, and ship a skill that checks logged gradients."""

import math
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from shared.data import load

SKILL = Path(__file__).parent / "skill"
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
STEPS = 100
Maker = Callable[[ModuleType, float], Any]
OPTIMIZERS: dict[str, Maker] = {
    "SGD": lambda twin, lr: twin.SGD(lr),
    "momentum 0.9": lambda twin, lr: twin.SGD(lr, momentum=0.9),
    "Nesterov 0.9": lambda twin, lr: twin.SGD(lr, momentum=0.9, nesterov=True),
    "Adagrad": lambda twin, lr: twin.Adagrad(lr),
    "RMSprop": lambda twin, lr: twin.RMSprop(lr),
    "Adam": lambda twin, lr: twin.Adam(lr),
    "AdamW": lambda twin, lr: twin.AdamW(lr),
}


def diabetes(every: int = 1) -> tuple[list[list[float]], list[float]]:
    """Every so many patients: ten measurements with mean 0 and deviation 1, and how far the disease got in a year.

    The target is divided by its standard deviation, so that a loss of 1 is that of always saying the mean. The mean
    stays in it, for the bias to learn.
    """
    X, y = load("diabetes").split()
    X, y = X[::every], y[::every]
    columns = []
    for column in zip(*X, strict=True):
        mean, deviation = statistics.fmean(column), statistics.pstdev(column)
        columns.append([(value - mean) / deviation for value in column])
    deviation = statistics.pstdev(y)
    return [list(row) for row in zip(*columns, strict=True)], [value / deviation for value in y]


def zeros(X: list[list[float]]) -> list[Any]:
    """Weights and bias of a model that always says 0."""
    return [[0.0] * len(X[0]), 0.0]


def learning_rate_table(twin: ModuleType, n_steps: int = STEPS) -> dict[str, list[float]]:
    """For each optimizer the loss after `n_steps` full-batch steps on half of the patients, at each of RATES."""
    X, y = diabetes(every=2)
    table = {}
    for name, make in OPTIMIZERS.items():
        table[name] = []
        for lr in RATES:
            fitted, _ = twin.train(make(twin, lr), zeros(X), X, y, batch_size=len(X), n_epochs=n_steps, rng=Random(0))
            table[name].append(twin.loss_and_gradients(fitted, X, y)[0])
    return table


def by_batch_size(twin: ModuleType, lr: float, epochs: tuple[int, ...]) -> dict[int, list[float]]:
    """For batches of 1, 32 and all rows: the loss over all patients after each number of epochs of SGD."""
    X, y = diabetes()
    found = {}
    for batch_size in (1, 32, len(X)):
        found[batch_size] = []
        for n_epochs in epochs:
            fitted, _ = twin.train(
                twin.SGD(lr), zeros(X), X, y, batch_size=batch_size, n_epochs=n_epochs, rng=Random(0)
            )
            found[batch_size].append(twin.loss_and_gradients(fitted, X, y)[0])
    return found


def log(twin: ModuleType) -> tuple[list[str], list[list[float]], list[list[float]]]:
    """Names, gradients and values, step by step, of a run of AdamW on batches of 32.

    The measurement s6 is a billion times too small, as if somebody had confused the units.
    """
    X, y = diabetes()
    X = [[*row[:-1], 1e-9 * row[-1]] for row in X]
    rng, parameters, optimizer = Random(0), zeros(X), twin.AdamW(0.01, weight_decay=0.1)
    gradients, values = [], []
    for _ in range(5):
        for rows in twin.batches(len(X), 32, rng):
            _, slopes = twin.loss_and_gradients(parameters, [X[i] for i in rows], [y[i] for i in rows])
            gradients.append([*slopes[0], slopes[1]])
            values.append([*parameters[0], parameters[1]])
            parameters = optimizer.step(parameters, slopes)
    return [*load("diabetes").columns[:-1], "bias"], gradients, values


def write_csv(file: Path, names: list[str], rows: list[list[float]]) -> None:
    """Six digits each: what further ones there are depends on how a sum is rounded."""
    lines = [names, *([f"{value:.6g}" for value in row] for row in rows)]
    file.write_text("".join(",".join(line) + "\n" for line in lines), encoding="utf-8", newline="\n")


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Measure with `twin`, write the skill with the log of a run into `folder`, and return what was measured."""
    results: dict[str, Any] = {}
    start = twin.loss_and_gradients(zeros(diabetes(every=2)[0]), *diabetes(every=2))[0]
    for name, losses in learning_rate_table(twin).items():
        for lr, loss in zip(RATES, losses, strict=True):
            results[f"{name}, lr {lr}: loss after {STEPS} steps"] = (
                loss if math.isfinite(loss) and loss <= start else "diverges"
            )
    epochs = (1, 3, 10)
    for batch_size, losses in by_batch_size(twin, 0.01, epochs).items():
        for n_epochs, loss in zip(epochs, losses, strict=True):
            results[f"SGD, lr 0.01, batches of {batch_size}: loss after {n_epochs} epochs"] = loss
    shutil.copytree(SKILL, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    names, gradients, values = log(twin)
    write_csv(folder / "example-gradients.csv", names, gradients)
    write_csv(folder / "example-values.csv", names, values)
    return results
