"""The gradient of each sample: in a loop, by vmap, and by jit of vmap, with build_it and with use_it.

First of logistic regression on 569 tumours with ten measurements; then of a network 64-32-10 on 100 handwritten digits,
where the length of each gradient is asked for. The twins take turns in one process; medians are printed. The first
call of each way, which traces and compiles, is printed beside them.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.functional_transforms import build_it, ship_it, use_it

from shared.data import load

ROUNDS, LOOPED = 7, 40  # the loop goes over so many tumours, and its time is scaled up


def milliseconds(call: Callable[[], Any]) -> float:
    """How long one call takes, until its numbers are there."""
    began = time.perf_counter()
    result = call()
    for array in result if isinstance(result, list) else [result]:
        array.tolist()  # JAX returns before it has computed
    return 1e3 * (time.perf_counter() - began)


def ways(twin: ModuleType) -> dict[str, Callable[[], Any]]:
    """Three ways to the same gradients."""
    X, y = ship_it.tumours()
    gradient = twin.grad(ship_it.loss_of_one(twin))
    parameters = twin.array([0.1] * ship_it.MEASUREMENTS), twin.array(0.2)
    inputs, labels = twin.array(X), twin.array(y)
    rows = [[*map(twin.array, row)] for row in zip(X[:LOOPED], y[:LOOPED], strict=True)]
    batched = twin.vmap(gradient, in_axes=(None, 0, 0))
    compiled = twin.jit(batched)
    return {
        "a loop": lambda: [gradient(parameters, *row)[0] for row in rows],
        "vmap": lambda: batched(parameters, inputs, labels)[0],
        "jit of vmap": lambda: compiled(parameters, inputs, labels)[0],
    }


def digits(twin: ModuleType) -> dict[str, Callable[[], Any]]:
    """The squared length of the gradient of each of 100 digits."""
    X, y = load("digits").split()
    rng = Random(0)
    W, V = ([[rng.gauss(0, 0.1) for _ in range(n)] for _ in range(m)] for m, n in ((64, 32), (32, 10)))
    targets = [[float(label == k) for k in range(10)] for label in y[:100]]

    def loss(parameters: Any, x: Any, t: Any) -> Any:
        W, V = parameters
        return twin.sum((twin.tanh(x @ W) @ V - t) ** 2)

    def length(*arguments: Any) -> Any:
        of_W, of_V = twin.grad(loss)(*arguments)
        return twin.sum(of_W * of_W) + twin.sum(of_V * of_V)

    arguments = (
        (twin.array(W), twin.array(V)),
        twin.array([[v / 16 for v in row] for row in X[:100]]),
        twin.array(targets),
    )
    compiled = twin.jit(twin.vmap(length, in_axes=(None, 0, 0)))
    return {"digits, jit of vmap": lambda: compiled(*arguments)}


def main() -> None:
    both = [ways(twin) | digits(twin) for twin in (build_it, use_it)]
    for name in both[0]:
        calls = [of_twin[name] for of_twin in both]
        scale = 569 / LOOPED if name == "a loop" else 1.0
        first = [milliseconds(call) for call in calls]
        rounds = [[scale * milliseconds(call) for call in calls] for _ in range(ROUNDS)]
        built, used = (statistics.median(times) for times in zip(*rounds, strict=True))
        print(f"{name:20} build_it {built:8.2f} ms, use_it {used:8.2f} ms, ratio {built / used:6.2f}", end="; ")
        print(f"first call {first[0]:.1f} and {first[1]:.1f} ms")


if __name__ == "__main__":
    main()
