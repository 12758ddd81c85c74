"""One step of SGD and of Adam on 10,000 numbers: build_it, use_it (which copies lists in and out), and torch alone.

The three take turns; medians of processor time are printed, torch on one thread.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.optimizers import build_it, use_it

ROUNDS, NUMBERS = 15, 10_000


def processor_seconds(run: Callable[[], object]) -> float:
    """How long it takes, other programs left out."""
    began = time.process_time()
    run()
    return time.process_time() - began


def main() -> None:
    torch.set_num_threads(1)
    rng = Random(0)
    theta, g = ([[rng.gauss(0, 1) for _ in range(NUMBERS)]] for _ in range(2))
    tensor = torch.tensor(theta[0], dtype=torch.float64, requires_grad=True)
    tensor.grad = torch.tensor(g[0], dtype=torch.float64)
    for kind, settings in (("SGD", {"momentum": 0.9}), ("Adam", {})):
        alone = getattr(torch.optim, kind)([tensor], lr=0.01, **settings)
        ours, theirs = (getattr(twin, kind)(0.01, **settings) for twin in (build_it, use_it))
        runs = {
            "build_it": lambda ours=ours: ours.step(theta, g),
            "use_it": lambda theirs=theirs: theirs.step(theta, g),
            "torch alone": alone.step,
        }
        for run in runs.values():
            run()  # the first one allocates
        rounds = [{name: processor_seconds(run) for name, run in runs.items()} for _ in range(ROUNDS)]
        medians = {name: statistics.median(times[name] for times in rounds) for name in runs}
        for name, seconds in medians.items():
            ratio = medians["build_it"] / seconds
            print(f"{kind:5} {name:12} {1e3 * seconds:8.3f} ms, build_it / this {ratio:.2g}")


if __name__ == "__main__":
    main()
