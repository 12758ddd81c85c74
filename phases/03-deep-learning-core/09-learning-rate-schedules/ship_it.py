"""Run a range test on handwritten digits, train with what it suggests, and ship a tool that reads such a test."""

import statistics
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from phases.deep_learning_core.backpropagation import build_it as backpropagation

from shared.data import load
from shared.ship.one_file import one_file

HERE = Path(__file__).parent
HIDDEN, BATCH, STEPS, HELD_OUT = 16, 8, 200, 300


class Training:
    """A network of 64-16-10 units on digits, in mini-batches; the same start and the same batches for a seed."""

    def __init__(self, seed: int) -> None:
        X, self.y = load("digits").split()
        pixels = [pixel for row in X for pixel in row]
        mean, std = statistics.fmean(pixels), statistics.pstdev(pixels)
        self.X = [[(pixel - mean) / std for pixel in row] for row in X]
        order = Random(0).sample(range(len(X)), len(X))
        self.held_out, self.rows = order[:HELD_OUT], order[HELD_OUT:]
        self.network = backpropagation.initialize([64, HIDDEN, 10], ["tanh", "identity"], Random(1))
        self.rng = Random(seed)

    def step(self, lr: float) -> float:
        """One step on the next mini-batch; its cross-entropy before."""
        batch = self.rng.sample(self.rows, BATCH)
        trace = backpropagation.forward(self.network, [self.X[i] for i in batch])
        loss, gradient = backpropagation.cross_entropy(trace.activations[-1], [self.y[i] for i in batch])
        self.network = backpropagation.step(self.network, backpropagation.backward(self.network, trace, gradient), lr)
        return loss

    def evaluate(self) -> dict[str, Any]:
        """The cross-entropy on the digits held out, and how many of them are read right."""
        outputs = backpropagation.predict(self.network, [self.X[i] for i in self.held_out])
        labels = [self.y[i] for i in self.held_out]
        right = sum(row.index(max(row)) == label for row, label in zip(outputs, labels, strict=True))
        return {"loss": backpropagation.cross_entropy(outputs, labels)[0], "right": right}


def digits_range_test(twin: ModuleType) -> Any:
    """100 steps from 0.001 to 100, or until it diverges."""
    return twin.range_test(Training(0).step, start_lr=1e-3, end_lr=100.0)


def trained(schedule: Callable[[int], float]) -> dict[str, Any]:
    """What a network knows about the digits held out after STEPS steps."""
    training = Training(5)
    for t in range(STEPS):
        training.step(schedule(t))
    return training.evaluate()


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Test, suggest and train with the schedules of `twin`, write the tool into `folder`; return what was measured."""
    program = one_file(HERE / "build_it.py", HERE / "tool.py")
    (folder / "lr-range-test.py").write_text(program, encoding="utf-8", newline="\n")
    test = digits_range_test(twin)
    lines = [f"{lr:.6g},{loss:.6g}\n" for lr, loss in zip(test.lrs, test.losses, strict=True)]
    (folder / "digits.csv").write_text("lr,loss\n" + "".join(lines), encoding="utf-8", newline="\n")

    found = twin.suggest(test.lrs, test.losses)
    results: dict[str, Any] = {
        "steps until it diverged": len(test.lrs),
        "suggested: steepest": found.steepest,
        "lowest": found.lowest,
    }
    suggested = float(f"{found.steepest:.1g}")
    for lr in (suggested / 5, suggested, 2 * suggested):
        schedules = {
            "constant": lambda t, lr=lr: lr,
            "one cycle": lambda t, lr=lr: twin.one_cycle_lr(t, lr, total_steps=STEPS),
        }
        for name, schedule in schedules.items():
            results[f"{name}, {lr:g}: {HELD_OUT} digits held out"] = trained(schedule)
    return results
