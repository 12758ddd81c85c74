"""Initializers of one layer, build_it against use_it and against torch's own generator: processor time.

The least of some runs on one thread: what else the machine does can only add.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.weight_initialization import build_it, use_it

RUNS = 7
CASES = (
    ("kaiming_normal", (256, 784)),
    ("kaiming_uniform", (256, 784)),
    ("orthogonal", (64, 64)),
)


def least_milliseconds(work: Callable[[], Any]) -> float:
    """The least processor time of RUNS runs, after one that is not counted."""
    times = []
    for _ in range(RUNS + 1):
        began = time.process_time()
        work()
        times.append(1e3 * (time.process_time() - began))
    return min(times[1:])


def main() -> None:
    torch.set_num_threads(1)
    for name, shape in CASES:
        own = torch.empty(*shape, dtype=torch.float64)
        built, used = (
            least_milliseconds(lambda twin=twin, name=name, shape=shape: getattr(twin, name)(shape, rng=Random(0)))
            for twin in (build_it, use_it)
        )
        alone = least_milliseconds(lambda name=name, own=own: getattr(torch.nn.init, f"{name}_")(own))
        print(f"{name:15} {shape[0]:3} × {shape[1]:3}: build_it {built:7.2f} ms, use_it {used:7.2f} ms,", end=" ")
        print(f"torch alone {alone:6.3f} ms; build_it / torch alone {built / alone:.2g}")


if __name__ == "__main__":
    main()
