"""Training with build_it and with use_it: milliseconds for a step of each, and their ratio.

XOR on a 2-4-1 network, and 32 samples of 64 random features on a 64-32-10 network: the time depends on the sizes alone.
The twins take turns in one process; the medians are printed, with the threads that torch chooses and with one.
"""

import statistics
import sys
import time
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.backpropagation import build_it, use_it

ROUNDS = 7
XOR = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [[0.0], [1.0], [1.0], [0.0]]


def seconds(twin: ModuleType, start: list[Any], data: tuple[Any, Any], loss: str, n_steps: int) -> float:
    """How long one step takes, over a run of `n_steps`."""
    network = [twin.Layer(layer.weights, layer.biases, layer.activation) for layer in start]
    began = time.perf_counter()
    twin.train(network, *data, loss, learning_rate=0.1, n_steps=n_steps)
    return (time.perf_counter() - began) / n_steps


def main() -> None:
    chosen, rng = torch.get_num_threads(), Random(0)
    samples = [[rng.random() for _ in range(64)] for _ in range(32)], [rng.randrange(10) for _ in range(32)]
    small = build_it.initialize([2, 4, 1], ["tanh", "sigmoid"], rng)
    large = build_it.initialize([64, 32, 10], ["relu", "identity"], rng)
    for name, problem in (
        ("2-4-1, 4 samples", (small, XOR, "squared_error", 100)),
        ("64-32-10, 32 samples", (large, samples, "cross_entropy", 10)),
    ):
        seconds(use_it, *problem)  # torch imports its optimizers when the first is made
        for threads in dict.fromkeys((chosen, 1)):
            torch.set_num_threads(threads)
            rounds = [(seconds(build_it, *problem), seconds(use_it, *problem)) for _ in range(ROUNDS)]
            built, used = (1e3 * statistics.median(times) for times in zip(*rounds, strict=True))
            print(f"{name:20}  build_it {built:6.3f} ms  use_it {used:6.3f} ms", end="  ")
            print(f"ratio {built / used:5.2f} with threads: {threads}")


if __name__ == "__main__":
    main()
