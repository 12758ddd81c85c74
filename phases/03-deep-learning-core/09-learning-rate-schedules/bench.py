"""1000 learning rates of warm-up and cosine: build_it, use_it, and torch's schedulers alone; medians of processor time.

"schedulers" is torch without our functions: make optimizer and schedulers, then step them. use_it keeps what it has
walked, so it is also measured where it has walked before.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.optim import SGD, lr_scheduler

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.learning_rate_schedules import build_it, use_it

ROUNDS, STEPS = 7, 1000


def milliseconds(run: Callable[[], object]) -> float:
    """How long it takes, other programs left out."""
    began = time.process_time()
    run()
    return 1e3 * (time.process_time() - began)


def with_twin(twin) -> list[float]:
    return [twin.warmup_cosine_lr(t, 0.1, warmup_steps=100, total_steps=STEPS) for t in range(STEPS)]


def anew() -> list[float]:
    use_it._warmup_cosine.cache_clear()
    return with_twin(use_it)


def schedulers() -> list[float]:
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    warmup = lr_scheduler.LinearLR(optimizer, 0.01, total_iters=100)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS - 100)
    scheduler = lr_scheduler.SequentialLR(optimizer, [warmup, cosine], milestones=[100])
    lrs = []
    for _ in range(STEPS):
        lrs += scheduler.get_last_lr()
        optimizer.step()
        scheduler.step()
    return lrs


def main() -> None:
    runs = {
        "build_it": lambda: with_twin(build_it),
        "use_it, the first time": anew,
        "use_it, again": lambda: with_twin(use_it),
        "schedulers": schedulers,
    }
    schedulers()  # the first optimizer of a process costs a second
    rounds = [{name: milliseconds(run) for name, run in runs.items()} for _ in range(ROUNDS)]
    for name in runs:
        print(f"{name:24} {statistics.median(times[name] for times in rounds):8.2f} ms")


if __name__ == "__main__":
    main()
