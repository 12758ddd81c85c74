"""What worker processes are given in tests and measurements: importable, because it may have to be pickled."""

import time
from collections.abc import Iterator
from random import Random
from typing import Any

from shared.data import load_text


def names(n: int = 9) -> list[str]:
    """The first n names of shared.data: all different up to the ninth and far beyond."""
    return load_text("names").splitlines()[:n]


def every_name(worker_id: int, num_workers: int) -> Iterator[str]:
    """The bug: each worker reads everything."""
    return iter(names())


def every_nth_name(worker_id: int, num_workers: int) -> Iterator[str]:
    """The cure: of num_workers names one is this worker's."""
    return iter(names()[worker_id::num_workers])


class Noisy:
    """n samples, each with a random number from a generator that the dataset was made with: the other bug."""

    def __init__(self, n: int) -> None:
        self.n, self.rng = n, Random(0)

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[int, int]:
        return index, self.rng.randrange(100)


def reseed(info: Any) -> None:
    """Its cure, a worker_init_fn: the copy of this worker draws by this worker's seed."""
    info.dataset.rng.seed(info.seed)


class Waiting:
    """n samples, each of which takes so many seconds to come, as from a disk or a network."""

    def __init__(self, n: int, seconds: float) -> None:
        self.n, self.seconds = n, seconds

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> int:
        time.sleep(self.seconds)
        return index


class Computing(Waiting):
    """n samples, each of which takes so many seconds of work in Python."""

    def __getitem__(self, index: int) -> int:
        until = time.thread_time() + self.seconds
        while time.thread_time() < until:
            pass
        return index
