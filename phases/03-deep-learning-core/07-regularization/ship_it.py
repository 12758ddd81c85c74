"""Overfit 60 patients with 64 weights, with and without each remedy; ship a tool that reads the log of a run."""

import math
from collections.abc import Callable
from operator import mul
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, NamedTuple

from shared.data import load
from shared.ship.one_file import one_file

HERE = Path(__file__).parent
EPOCHS, LEARNING_RATE = 300, 0.02

Vector = list[float]
Matrix = list[list[float]]
Amend = Callable[[list[float], list[float]], list[float]]  # weights and gradient in, gradient out


class Rows(NamedTuple):
    """Some samples: n_samples × n_features, and a target for each."""

    X: Matrix
    y: Vector


def patients() -> tuple[Rows, Rows]:
    """60 rows of diabetes to train on and 128 to validate on, with 64 features: 10 measurements and their products.

    A square of the sex is left out, since it has two values alone. Everything is standardized by the 60.
    """
    X, y = load("diabetes").split()
    train = range(0, 420, 7)
    validation = [i for i in range(len(X)) if i not in train][::3]
    pairs = [(i, j) for i in range(10) for j in range(i, 10) if not i == j == 1]
    X = _standardized(X, range(len(X)))
    X = _standardized([[*row, *(row[i] * row[j] for i, j in pairs)] for row in X], train)
    y = [row[0] for row in _standardized([[value] for value in y], train)]
    return tuple(Rows([X[i] for i in rows], [y[i] for i in rows]) for rows in (train, validation))


def _standardized(X: Matrix, rows: Any) -> Matrix:
    """Each column less its mean over `rows`, divided by its standard deviation over them."""
    columns = []
    for column in zip(*X, strict=True):
        seen = [column[i] for i in rows]
        mean = math.fsum(seen) / len(seen)
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in seen) / len(seen))
        columns.append([(value - mean) / deviation for value in column])
    return [list(row) for row in zip(*columns, strict=True)]


def errors(w: Vector, rows: Rows) -> Vector:
    """X w - y."""
    return [sum(map(mul, x, w)) - y for x, y in zip(rows.X, rows.y, strict=True)]


def loss(w: Vector, rows: Rows) -> float:
    """The mean squared error; 1 is what the mean of the targets would have on the training rows."""
    return sum(e * e for e in errors(w, rows)) / len(rows.y)


def gradient(w: Vector, rows: Rows) -> Vector:
    """Of `loss`: 2/n Xᵀ (X w - y)."""
    e = errors(w, rows)
    return [2 / len(e) * sum(map(mul, column, e)) for column in zip(*rows.X, strict=True)]


def descend(
    train: Rows,
    epochs: int = EPOCHS,
    learning_rate: float = LEARNING_RATE,
    *,
    see: Callable[[Rows], Rows] = lambda rows: rows,
    amend: Amend = lambda w, g: g,
    after: Callable[[Vector], Vector] = lambda w: w,
) -> list[Vector]:
    """Gradient descent from 0 on all rows: the weights after each epoch.

    `see` changes the rows for one epoch (dropout), `amend` the gradient (penalties, clipping), `after` the new weights
    (soft-thresholding).
    """
    w = [0.0] * len(train.X[0])
    trail = []
    for _ in range(epochs):
        g = amend(w, gradient(w, see(train)))
        w = after([value - learning_rate * slope for value, slope in zip(w, g, strict=True)])
        trail.append(w)
    return trail


def recipes(twin: ModuleType, train: Rows) -> dict[str, tuple[list[Vector], Vector]]:
    """For each remedy against overfitting the weights after each epoch, and the norm of each epoch's gradient."""
    rng = Random(0)

    def dropped(rows: Rows) -> Rows:
        mask = twin.dropout_mask(len(rows.X), len(rows.X[0]), 0.5, rng)
        return Rows(twin.dropout(rows.X, mask, p=0.5), rows.y)

    found = {}
    for name, how in {
        "nothing": {},
        "weight decay 2": {"amend": plus(twin.l2_penalty, 2.0)},
        "L1 0.3, subgradient": {"amend": plus(twin.l1_penalty, 0.3)},
        "L1 0.3, soft-thresholding": {"after": lambda w: twin.softshrink([w], LEARNING_RATE * 0.3)[0]},
        "dropout 0.5": {"see": dropped},
    }.items():
        norms: Vector = []
        how["amend"] = clipped(twin, math.inf, norms, how.get("amend"))
        found[name] = descend(train, **how), norms
    return found


def plus(penalty: Callable[..., Any], lambd: float) -> Amend:
    """Adds the gradient of a penalty."""
    return lambda w, g: [a + b for a, b in zip(g, penalty([w], lambd)[1][0], strict=True)]


def clipped(twin: ModuleType, max_norm: float, norms: Vector, first: Amend | None = None) -> Amend:
    """Clips the gradient, after `first` has changed it, and appends its norm to `norms`."""

    def amend(w: Vector, g: Vector) -> Vector:
        gradients = [first(w, g) if first else g]
        norms.append(twin.clip_grad_norm_(gradients, max_norm))
        return gradients[0]

    return amend


def as_csv(losses: Vector, validation: Vector, norms: Vector) -> str:
    """The log of a run, a line for each epoch."""
    lines = ["epoch,train_loss,val_loss,grad_norm"]
    for epoch, row in enumerate(zip(losses, validation, norms, strict=True), 1):
        lines.append(",".join([str(epoch), *(f"{value:.5f}" for value in row)]))
    return "\n".join(lines) + "\n"


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Measure with `twin`, write the tool and the logs of two runs into `folder`, and return what was measured."""
    train, validation = patients()
    results: dict[str, Any] = {}
    runs = recipes(twin, train)
    both = "training and validation loss"
    nothing = [0.0] * len(train.X[0])
    results[f"the mean of the training targets, for everyone: {both}"] = [
        loss(nothing, train),
        loss(nothing, validation),
    ]
    for name, (trail, _) in runs.items():
        results[f"{name}: {both} after {EPOCHS} epochs"] = [loss(trail[-1], train), loss(trail[-1], validation)]
        results[f"{name}: weights that are exactly 0, of {len(trail[-1])}"] = trail[-1].count(0.0)

    for name, file in (("nothing", "training-log.csv"), ("dropout 0.5", "dropout-log.csv")):
        trail, norms = runs[name]
        held_out = [loss(w, validation) for w in trail]
        text = as_csv([loss(w, train) for w in trail], held_out, norms)
        (folder / file).write_text(text, encoding="utf-8", newline="\n")
        stopper = twin.EarlyStopping(patience=20)
        stops = (k for k, w in enumerate(trail, 1) if stopper.step(held_out[k - 1], w))
        what = f"{name}, early stopping with patience 20"
        results[f"{what}: stops after epoch"] = next(stops, None)
        results[f"{what}: best epoch"] = stopper.best_epoch
        results[f"{what}: {both}"] = [loss(stopper.best_parameters, train), loss(stopper.best_parameters, validation)]
        if name == "nothing":
            lambd = 1 / (LEARNING_RATE * stopper.best_epoch)
            ridge = descend(train, 100, amend=plus(twin.l2_penalty, lambd))[-1]
            results["weight decay of 1 / (learning rate · best epoch)"] = lambd
            results[f"that weight decay and no early stopping: {both}"] = [loss(ridge, train), loss(ridge, validation)]

    for max_norm in (math.inf, 1.0):
        norms = []
        trail = descend(train, 50, 5 * LEARNING_RATE, amend=clipped(twin, max_norm, norms))
        what = f"steps 5 times as large, norm clipped at {max_norm}"
        results[f"{what}: training loss after 50 epochs"] = loss(trail[-1], train)
        results[f"{what}: epochs of 50 in which it bit"] = sum(norm > max_norm for norm in norms)

    program = one_file(HERE / "build_it.py", HERE / "tool.py")
    (folder / "overfit_report.py").write_text(program, encoding="utf-8", newline="\n")
    return results
