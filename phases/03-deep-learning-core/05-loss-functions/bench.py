"""Loss and gradient of cross-entropy with build_it and with use_it: milliseconds of each, and their ratio.

The logits are random: the time depends on the sizes alone. The twins take turns in one process; the medians are
printed, in CPU time with one thread of torch. `use_it` pays for turning lists into tensors and back, so the last
column has torch on tensors that are there already, as in training.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.loss_functions import build_it, use_it

ROUNDS = 9


def seconds(work: Callable[[], object], times: int) -> float:
    """How long one call takes."""
    began = time.process_time()  # of this process alone, whatever else the machine does
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def main() -> None:
    torch.set_num_threads(1)
    rng = Random(0)
    for n, n_classes, times in ((1, 2, 200), (32, 10, 50), (128, 1000, 1)):
        logits = [[rng.gauss(0, 1) for _ in range(n_classes)] for _ in range(n)]
        labels = [rng.randrange(n_classes) for _ in range(n)]
        z, y = torch.tensor(logits, dtype=torch.float64, requires_grad=True), torch.tensor(labels)
        contenders = [
            lambda z=logits, y=labels: build_it.cross_entropy(z, y),
            lambda z=logits, y=labels: use_it.cross_entropy(z, y),
            lambda z=z, y=y: torch.autograd.grad(functional.cross_entropy(z, y), z),
        ]
        rounds = [[seconds(work, times) for work in contenders] for _ in range(ROUNDS)]
        built, used, tensors = (1e3 * statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{n:4} × {n_classes:4}  build_it {built:8.3f} ms  use_it {used:8.3f} ms", end="  ")
        print(f"torch alone {tensors:8.3f} ms  ratios {built / used:6.2f} {built / tensors:6.1f}")


if __name__ == "__main__":
    main()
