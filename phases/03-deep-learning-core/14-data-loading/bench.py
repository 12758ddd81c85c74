"""What loading costs for each sample, and what workers gain where samples wait and where they compute.

Everything is timed in turn in one process, torch with one thread; medians are printed.
"""

import os
import statistics
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.data_loading import build_it, use_it
from phases.deep_learning_core.data_loading.workers import Computing, Waiting

ROUNDS, N, WIDTH, BATCH = 7, 4096, 64, 64
SLOW, SECONDS = 64, 0.005


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def in_turn(calls: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """The median of each, after one round to warm up."""
    times = [[seconds(call) for call in calls.values()] for _ in range(rounds + 1)][1:]
    return dict(zip(calls, map(statistics.median, zip(*times, strict=True)), strict=True))


def overhead() -> None:
    """One epoch of samples of 64 floats and a label, shuffled, in batches of 64."""
    rng = Random(0)
    rows = [[rng.random() for _ in range(WIDTH)] for _ in range(N)]
    plain = [(array("d", row), i % 10) for i, row in enumerate(rows)]
    X, y = torch.tensor(rows, dtype=torch.float64), torch.arange(N) % 10
    pairs = torch.utils.data.TensorDataset(X, y)
    order = use_it.Generator(0).randperm(N)
    batches = list(build_it.batch_sampler(order, BATCH))

    def torchs(dataset: object, **options: object) -> Callable[[], object]:
        return lambda: list(torch.utils.data.DataLoader(dataset, **options))

    calls = {
        "build_it, samples collated": lambda: list(build_it.DataLoader(plain, lambda epoch: batches)),
        "use_it, samples collated, lists from tensors": lambda: list(use_it.DataLoader(plain, lambda epoch: batches)),
        "torch, a TensorDataset collated sample by sample": torchs(pairs, batch_sampler=batches),
        "torch, the DataLoader indexes once for each batch": torchs(pairs, sampler=batches, batch_size=None),
        "torch, no DataLoader: X[batch], y[batch]": lambda: [(X[batch], y[batch]) for batch in batches],
        "the permutation alone, build_it": lambda: build_it.Generator(0).randperm(N),
        "the permutation alone, torch": lambda: use_it.Generator(0).randperm(N),
    }
    for name, median in in_turn(calls).items():
        print(f"{name}: {1e6 * median / N:.2f} µs a sample")


def with_workers() -> None:
    """64 samples of 5 ms each, in batches of 8: waiting as for a disk, and computing in Python."""
    batches = [list(range(i, i + 8)) for i in range(0, SLOW, 8)]
    for kind in (Waiting, Computing):
        data = kind(SLOW, SECONDS)
        calls = {
            f"{name}, {n} workers": lambda twin=twin, n=n, data=data: list(
                twin.DataLoader(data, lambda epoch: batches, list, num_workers=n)
            )
            for name, twin in (("build_it (threads)", build_it), ("use_it (processes)", use_it))
            for n in (0, 1, 2, 4)
            if twin is build_it or n <= (os.cpu_count() or 1)
        }
        for name, median in in_turn(calls, 3).items():
            print(f"{kind.__name__}: {name}: {1e3 * median:.0f} ms")


if __name__ == "__main__":
    torch.set_num_threads(1)
    overhead()
    with_workers()
