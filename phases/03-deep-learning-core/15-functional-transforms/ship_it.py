"""Logistic regression by grad, vmap and jit; the formula beside it; and a skill that checks gradients by hand."""

import importlib.util
import math
import shutil
import statistics
from pathlib import Path
from types import ModuleType
from typing import Any

from shared.data import load

SKILL = Path(__file__).parent / "skill"
MEASUREMENTS, STEPS, LEARNING_RATE = 10, 25, 1.0
EXAMPLE = (60, 5)  # tumours and measurements that go with the skill
WRONG = ("wrong_sign", "no_mean", "no_penalty", "no_bias", "one_off")


def tumours() -> tuple[list[list[float]], list[float]]:
    """Ten measurements of 569 tumours, with mean 0 and deviation 1; 1.0 where it is benign."""
    X, y = load("breast-cancer").split()
    columns = []
    for column in list(zip(*X, strict=True))[:MEASUREMENTS]:
        mean, deviation = statistics.fmean(column), statistics.pstdev(column)
        columns.append([(value - mean) / deviation for value in column])
    return [list(row) for row in zip(*columns, strict=True)], [float(label) for label in y]


def loss_of_one(twin: ModuleType) -> Any:
    """log(1 + eᶻ) - y z, z being w · x + b, for one tumour; without overflow for any z."""

    def loss(parameters: tuple[Any, Any], x: Any, y: Any) -> Any:
        w, b = parameters
        z = twin.dot(x, w) + b
        return twin.maximum(z, 0.0) + twin.log(1.0 + twin.exp(-twin.maximum(z, -z))) - y * z

    return loss


def by_formula(w: list[float], b: float, X: list[list[float]], y: list[float]) -> tuple[list[float], float]:
    """The mean of (σ(z) - y) x and of σ(z) - y."""
    scores = [math.fsum(w_j * x_j for w_j, x_j in zip(w, x, strict=True)) + b for x in X]
    errors = [1 / (1 + math.exp(-z)) - label for z, label in zip(scores, y, strict=True)]
    of_w = [math.fsum(e * x[j] for e, x in zip(errors, X, strict=True)) / len(X) for j in range(len(w))]
    return of_w, math.fsum(errors) / len(X)


def fit(twin: ModuleType, X: list[list[float]], y: list[float], results: dict[str, Any]) -> None:
    """Gradient descent with a jitted value_and_grad; then the gradient of each tumour by vmap."""
    each = loss_of_one(twin)
    inputs, labels = twin.array(X), twin.array(y)

    def mean_loss(parameters: tuple[Any, Any]) -> Any:
        return twin.sum(twin.vmap(each, in_axes=(None, 0, 0))(parameters, inputs, labels)) / len(X)

    loss_and_gradient = twin.jit(twin.value_and_grad(mean_loss))
    w, b = twin.array([0.0] * MEASUREMENTS), twin.array(0.0)
    for step in range(STEPS):
        value, (of_w, of_b) = loss_and_gradient((w, b))
        if step == 0:
            results["loss before the first step"] = value.tolist()
        w, b = w - LEARNING_RATE * of_w, b - LEARNING_RATE * of_b
    value, (of_w, of_b) = loss_and_gradient((w, b))
    formula_w, formula_b = by_formula(w.tolist(), b.tolist(), X, y)
    apart = [abs(g - h) for g, h in zip([*of_w.tolist(), of_b.tolist()], [*formula_w, formula_b], strict=True)]
    results[f"loss after {STEPS} steps"] = value.tolist()
    results["grad and the formula agree to 1e-12"] = max(apart) < 1e-12

    per_sample, _ = twin.jit(twin.vmap(twin.grad(each), in_axes=(None, 0, 0)))((w, b), inputs, labels)
    lengths = [math.hypot(*row) for row in per_sample.tolist()]
    means = [statistics.fmean(column) for column in zip(*per_sample.tolist(), strict=True)]
    results["their mean is the gradient to 1e-12"] = math.dist(means, of_w.tolist()) < 1e-12
    results["length of a tumour's gradient, median"] = statistics.median(lengths)
    results["length of a tumour's gradient, largest"] = max(lengths)
    results["number of that tumour"] = lengths.index(max(lengths))
    tenth = sorted(lengths)[-len(lengths) // 10 :]
    results["share of all length that the largest tenth has"] = sum(tenth) / sum(lengths)


def checked(folder: Path, results: dict[str, Any]) -> None:
    """What the skill's script says of the right gradient and of those with a fault."""
    checker, example = (module(folder / name) for name in ("scripts/gradient_check.py", "examples/logistic.py"))
    for name in ("gradient", *WRONG):
        found = checker.check(checker.Problem(example, "f", name, "point"))
        results[f"check of {name}"] = "; ".join(found["findings"]) or "right"


def module(file: Path) -> ModuleType:
    """A Python file that is in no package."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Fit with `twin`, write the skill into `folder`, and return what was measured."""
    X, y = tumours()
    results: dict[str, Any] = {"tumours": len(X), "measurements": MEASUREMENTS}
    fit(twin, X, y, results)
    shutil.copytree(SKILL, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    n, k = EXAMPLE
    rows = [",".join(f"{v:.4f}" for v in x[:k]) + f",{label:.0f}" for x, label in zip(X[:n], y[:n], strict=True)]
    (folder / "examples" / "tumours.csv").write_text("\n".join(rows) + "\n", encoding="utf-8", newline="\n")
    checked(folder, results)
    return results
