"""Train with three losses on data with gross errors, and with cross-entropy on iris; ship a skill with a scorer."""

import math
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from shared.data import load
from shared.ship.one_file import one_file

HERE = Path(__file__).parent
STEPS = 150


def standardized(column: list[float]) -> list[float]:
    mean, deviation = statistics.fmean(column), statistics.pstdev(column)
    return [(value - mean) / deviation for value in column]


def line(loss: Callable[..., Any], x: list[float], y: list[float], learning_rate: float) -> tuple[float, float]:
    """Slope and intercept by gradient descent from 0: the chain rule takes dJ/d(prediction) to the two parameters."""
    slope, intercept = 0.0, 0.0
    for _ in range(STEPS):
        _, gradient = loss([slope * value + intercept for value in x], y)
        slope -= learning_rate * sum(g * value for g, value in zip(gradient, x, strict=True))
        intercept -= learning_rate * sum(gradient)
    return slope, intercept


def scores(weights: list[list[float]], X: list[list[float]]) -> list[list[float]]:
    """X W."""
    return [
        [sum(x * w for x, w in zip(row, column, strict=True)) for column in zip(*weights, strict=True)] for row in X
    ]


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Measure with `twin`, write the skill into `folder`, and return what was measured."""
    results: dict[str, Any] = {}

    table = load("diabetes")
    x, y = standardized(table.column("bmi")), table.column("target")
    wrong = range(0, len(y), 20)
    slipped = [10 * value if i in wrong else value for i, value in enumerate(y)]  # a decimal point lost
    recipes = {  # the step is limited by the curvature of the squared error, and by the constant slope of the other two
        "squared error": (twin.mse_loss, 0.2),
        "Huber, delta 50": (lambda *data: twin.huber_loss(*data, delta=50.0), 1.0),
        "absolute error": (twin.l1_loss, 5.0),
    }
    for targets, what in ((y, "clean targets"), (slipped, f"{len(wrong)} of {len(y)} targets times 10")):
        for name, (loss, learning_rate) in recipes.items():
            slope, intercept = line(loss, x, targets, learning_rate)
            error, _ = twin.l1_loss([slope * value + intercept for value in x], y)
            results[f"diabetes on bmi, {what}: {name}, then mean absolute error on clean targets"] = error

    table = load("iris")
    X = [list(row) for row in zip(*map(standardized, map(table.column, table.columns[:-1])), [1.0] * 150, strict=True)]
    labels = [int(label) for label in table.column("species")]
    kept, held = [i for i in range(len(X)) if i % 5], range(0, len(X), 5)
    weights = [[0.0] * 3 for _ in X[0]]
    for step in range(STEPS):
        loss, gradient = twin.cross_entropy(scores(weights, [X[i] for i in kept]), [labels[i] for i in kept])
        if step == 0:
            results["iris: cross-entropy of the untrained weights"] = loss
        for j, row in enumerate(weights):
            for k in range(3):
                row[k] -= sum(X[i][j] * g[k] for i, g in zip(kept, gradient, strict=True))
    logits = scores(weights, [X[i] for i in held])
    truth = [labels[i] for i in held]
    each, _ = twin.cross_entropy(logits, truth, reduction="none")
    results["iris: cross-entropy on 30 flowers held out"] = sum(each) / len(each)
    results["iris: share of that loss in its 3 worst flowers"] = sum(sorted(each)[-3:]) / sum(each)
    results["iris: a uniform guess"] = math.log(3)

    names = table.classes
    lines = [",".join(["species", *names])]
    lines += [",".join([names[k], *(f"{v:.4f}" for v in row)]) for k, row in zip(truth, logits, strict=True)]
    (folder / "iris-logits.csv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    shutil.copyfile(HERE / "SKILL.md", folder / "SKILL.md")
    program = one_file(HERE / "build_it.py", HERE / "score.py")
    (folder / "score.py").write_text(program, encoding="utf-8", newline="\n")
    return results
