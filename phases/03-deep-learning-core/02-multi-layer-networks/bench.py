"""A forward pass with build_it and with use_it, and within torch: one sample at a time against the whole batch.

Processor time of one thread, the least of some runs: what else the machine does can only add.
"""

import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.multi_layer_networks import build_it, use_it

RUNS = 7


def least_milliseconds(work: Callable[[], Any]) -> float:
    """The least processor time of RUNS runs, after one that is not counted."""
    times = []
    for _ in range(RUNS + 1):
        began = time.process_time()
        work()
        times.append(1e3 * (time.process_time() - began))
    return min(times[1:])


def random_network(twin: ModuleType, sizes: list[int], rng: Random) -> list[Any]:
    """Weights and biases from (-1, 1), ReLU in every layer."""
    return [
        twin.Layer(
            [[rng.uniform(-1, 1) for _ in range(n_out)] for _ in range(n_in)],
            [rng.uniform(-1, 1) for _ in range(n_out)],
            "relu",
        )
        for n_in, n_out in pairwise(sizes)
    ]


def prediction(twin: ModuleType, sizes: list[int], n_samples: int) -> float:
    """Milliseconds of one `predict`."""
    rng = Random(0)
    network = random_network(twin, sizes, rng)
    X = [[rng.random() for _ in range(sizes[0])] for _ in range(n_samples)]
    return least_milliseconds(lambda: twin.predict(network, X))


def main() -> None:
    torch.set_num_threads(1)
    for sizes, n in (([2, 2, 1], 4), ([64, 32, 10], 32), ([784, 128, 64, 10], 32)):
        built, used = prediction(build_it, sizes, n), prediction(use_it, sizes, n)
        name = "-".join(map(str, sizes))
        print(f"{name:14} {n:3} samples: build_it {built:9.3f} ms, use_it {used:7.3f} ms, ratio {built / used:.2g}")

    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    images = torch.rand(1024, 784)
    with torch.inference_mode():
        for size in (1, 8, 64, 1024):
            spent = least_milliseconds(lambda size=size: [model(batch) for batch in images.split(size)])
            print(f"torch, float32, 784-128-64-10, 1024 samples in batches of {size:4}: {spent:8.2f} ms")


if __name__ == "__main__":
    main()
