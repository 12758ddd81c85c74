"""micrograd's demo on the micrograd package and on build_it: the same losses, and how many times faster.

Two moons, 100 points, an MLP 2-16-16-1 with ReLU, the max-margin loss with L2 regularization, 100 full-batch steps.
micrograd's graph is full of reference cycles, so most of its time goes to Python's garbage collector. It is timed as
it comes for the first steps; for the rest the collector runs only between steps, off the clock, and that is timed too.
Of each, and of build_it's steps, the median counts. Needs the package: pip install micrograd. Exits with 1 where the
losses part by more than 1e-9 at any step, or micrograd as it comes takes less than 100 times as long for a step.
"""

import gc
import itertools
import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from micrograd.engine import Value
from micrograd.nn import MLP

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.mini_framework.build_it import SGD, Linear, ReLU, Sequential, tensor

STEPS, N_POINTS, SIZES, ALPHA = 100, 100, (2, 16, 16, 1), 1e-4
AS_IT_COMES = 10  # steps
BAR, TOLERANCE = 100.0, 1e-9


def moons(rng: random.Random) -> tuple[list[list[float]], list[float]]:
    """Two interleaved half circles with noise of 0.1, and their labels -1 and 1."""
    X, y = [], []
    for i in range(N_POINTS):
        angle = math.pi * rng.random()
        upper = (math.cos(angle), math.sin(angle))
        lower = (1 - math.cos(angle), 0.5 - math.sin(angle))
        X.append([v + rng.gauss(0, 0.1) for v in (upper, lower)[i % 2]])
        y.append((-1.0, 1.0)[i % 2])
    return X, y


def learning_rate(step: int) -> float:
    return 1.0 - 0.9 * step / STEPS


def by_micrograd(
    X: list[list[float]], y: list[float], weights: list[float], report: Callable[[int], None]
) -> tuple[list[float], list[float]]:
    """The demo as its author wrote it: the loss and the seconds of each step."""
    model = MLP(SIZES[0], list(SIZES[1:]))
    for parameter, value in zip(model.parameters(), weights, strict=True):
        parameter.data = value
    losses, seconds = [], []
    for step in range(STEPS):
        if step == AS_IT_COMES:
            gc.disable()
        start = time.perf_counter()
        inputs = [list(map(Value, row)) for row in X]
        scores = list(map(model, inputs))
        margins = [(1 + -yi * score).relu() for yi, score in zip(y, scores, strict=True)]
        data_loss = sum(margins) * (1.0 / len(margins))
        total = data_loss + ALPHA * sum(p * p for p in model.parameters())
        model.zero_grad()
        total.backward()
        for p in model.parameters():
            p.data -= learning_rate(step) * p.grad
        seconds.append(time.perf_counter() - start)
        losses.append(total.data)
        report(step)
        if step >= AS_IT_COMES:
            del inputs, scores, margins, data_loss, total
            gc.collect()
    gc.enable()
    return losses, seconds


def by_build_it(X: list[list[float]], y: list[float], weights: list[float]) -> tuple[list[float], list[float]]:
    """The same program on tensors: the loss and the seconds of each step."""
    rng = random.Random(0)
    layers = [Linear(n_in, n_out, rng=rng) for n_in, n_out in itertools.pairwise(SIZES)]
    model = Sequential(layers[0], ReLU(), layers[1], ReLU(), layers[2])
    rest = iter(weights)
    state = {}
    for i, layer in zip((0, 2, 4), layers, strict=True):
        n_out, n_in = layer.weight.shape
        neurons = [[next(rest) for _ in range(n_in + 1)] for _ in range(n_out)]  # micrograd's order: weights, bias
        state[f"{i}.weight"] = tensor([neuron[:-1] for neuron in neurons])
        state[f"{i}.bias"] = tensor([neuron[-1] for neuron in neurons])
    model.load_state_dict(state)
    optimizer = SGD(model.parameters(), lr=1.0)
    losses, seconds = [], []
    for step in range(STEPS):
        start = time.perf_counter()
        inputs, labels = tensor(X), tensor(y).unsqueeze(1)
        data_loss = (1 - labels * model(inputs)).relu().mean()
        total = data_loss + ALPHA * sum((p * p).sum() for p in model.parameters())
        optimizer.zero_grad()
        total.backward()
        optimizer.param_groups[0]["lr"] = learning_rate(step)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
        losses.append(total.item())
    return losses, seconds


def main() -> int:
    rng = random.Random(1337)
    X, y = moons(rng)
    weights = []  # micrograd's initial values: uniform in (-1, 1), biases 0
    for n_in, n_out in itertools.pairwise(SIZES):
        for _ in range(n_out):
            weights += [rng.uniform(-1, 1) for _ in range(n_in)] + [0.0]

    gc.collect()
    built, seconds = by_build_it(X, y, weights)
    ours = statistics.median(seconds)
    print(f"build_it:             {1e3 * ours:9.2f} ms a step (median of {STEPS})", flush=True)

    def report(step: int) -> None:
        if sys.stderr.isatty():
            print(f"\rmicrograd: step {step + 1} of {STEPS}", end="", file=sys.stderr, flush=True)

    gc.collect()
    reference, seconds = by_micrograd(X, y, weights, report)
    theirs, without = statistics.median(seconds[:AS_IT_COMES]), statistics.median(seconds[AS_IT_COMES:])
    worst = max(abs(a - b) for a, b in zip(built, reference, strict=True))
    print(f"micrograd:            {1e3 * theirs:9.2f} ms a step: {theirs / ours:.0f} times as long (bar: {BAR:.0f})")
    print(f"  collector off:      {1e3 * without:9.2f} ms a step: {without / ours:.0f} times as long")
    print(f"losses:               {worst:9.1e} largest difference over {STEPS} steps (bar: {TOLERANCE:.0e})")
    print(f"loss:                 {built[0]:9.6f} → {built[-1]:.6f}")
    return 0 if theirs / ours >= BAR and worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
