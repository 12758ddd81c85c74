"""The gradient of each of 569 tumours: in a loop, by vmap, and by jit of vmap, with build_it and with use_it.

The twins take turns in one process; medians are printed. The first call of each way, which traces and compiles, is
printed beside them.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.functional_transforms import build_it, ship_it, use_it

ROUNDS, LOOPED = 7, 40  # the loop goes over so many tumours, and its time is scaled up


def milliseconds(call: Callable[[], object]) -> float:
    """How long one call takes, until its numbers are there."""
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)


def ways(twin: ModuleType) -> dict[str, Callable[[], object]]:
    """Three ways to the same gradients."""
    X, y = ship_it.tumours()
    gradient = twin.grad(ship_it.loss_of_one(twin))
    parameters = twin.array([0.1] * ship_it.MEASUREMENTS), twin.array(0.2)
    inputs, labels = twin.array(X), twin.array(y)
    rows = [(twin.array(row), twin.array(label)) for row, label in zip(X[:LOOPED], y[:LOOPED], strict=True)]
    batched = twin.vmap(gradient, in_axes=(None, 0, 0))
    compiled = twin.jit(batched)
    return {
        "a loop": lambda: [gradient(parameters, *row)[0].tolist() for row in rows],
        "vmap": lambda: batched(parameters, inputs, labels)[0].tolist(),
        "jit of vmap": lambda: compiled(parameters, inputs, labels)[0].tolist(),
    }


def main() -> None:
    both = [ways(twin) for twin in (build_it, use_it)]
    for name in both[0]:
        calls = [of_twin[name] for of_twin in both]
        scale = 569 / LOOPED if name == "a loop" else 1.0
        first = [milliseconds(call) for call in calls]
        rounds = [[scale * milliseconds(call) for call in calls] for _ in range(ROUNDS)]
        built, used = (statistics.median(times) for times in zip(*rounds, strict=True))
        print(f"{name:12} build_it {built:8.2f} ms, use_it {used:8.2f} ms, ratio {built / used:5.2f}", end="; ")
        print(f"first call {first[0]:.1f} and {first[1]:.1f} ms")


if __name__ == "__main__":
    main()
