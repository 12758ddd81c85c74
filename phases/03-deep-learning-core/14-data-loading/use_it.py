"""The same datasets, samplers, collation and loader, by torch.utils.data."""

import math
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils import rnn
from torch.utils import data
from torch.utils.data.datapipes.iter import IterableWrapper, Shuffler
from torch.utils.data.distributed import DistributedSampler

__all__ = [
    "ConcatDataset",
    "DataLoader",
    "Generator",
    "Subset",
    "WorkerInfo",
    "batch_sampler",
    "bucket_batch_sampler",
    "class_weights",
    "default_collate",
    "distributed_sampler",
    "load_stream",
    "pad_sequence",
    "random_sampler",
    "random_split",
    "shuffle_buffer",
    "split_lengths",
    "weighted_random_sampler",
]

Dataset = Any
Collate = Callable[[list[Any]], Any]


class Generator:
    """torch.Generator; `torch` is the object that torch's functions take."""

    def __init__(self, seed: int) -> None:
        """torch takes negative seeds as well, and larger ones."""
        if not 0 <= seed < 2**63:
            raise ValueError(f"seed must be from 0 to 2**63 - 1, got {seed}")
        self.torch = torch.Generator().manual_seed(seed)

    def randperm(self, n: int) -> list[int]:
        """torch.randperm."""
        if n < 0:
            raise ValueError(f"n must not be negative, got {n}")
        return torch.randperm(n, generator=self.torch).tolist()

    def randint(self, high: int, size: int) -> list[int]:
        """torch.randint."""
        if not 1 <= high < 2**63 or size < 0:
            raise ValueError(f"high must be from 1 to 2**63 - 1 and size 0 or more, got {high} and {size}")
        return torch.randint(high, (size,), generator=self.torch).tolist()

    def rand(self, size: int) -> list[float]:
        """torch.rand, in float64."""
        if size < 0:
            raise ValueError(f"size must not be negative, got {size}")
        return torch.rand(size, generator=self.torch, dtype=torch.float64).tolist()

    def base_seed(self) -> int:
        """The line with which a torch DataLoader draws its own."""
        return torch.empty((), dtype=torch.int64).random_(generator=self.torch).item()


class Subset:
    """data.Subset, which does not look at the indices before they are used."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        wrong = [i for i in indices if not 0 <= i < len(dataset)]
        if wrong:
            raise ValueError(f"indices must be from 0 to {len(dataset) - 1}, got {wrong[0]}")
        self.torch = data.Subset(dataset, indices)

    def __len__(self) -> int:
        return len(self.torch)

    def __getitem__(self, index: int) -> Any:
        return self.torch[index]


class ConcatDataset:
    """data.ConcatDataset, which raises an AssertionError for no datasets, and ValueError for a negative index."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        if not datasets:
            raise ValueError("datasets must hold one dataset or more, got none")
        self.torch = data.ConcatDataset(datasets)

    def __len__(self) -> int:
        return len(self.torch)

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must be from {-len(self)} to {len(self) - 1}, got {index}")
        return self.torch[index]


def split_lengths(n: int, lengths: Sequence[float]) -> list[int]:
    """The lengths of what random_split returns."""
    return [len(part) for part in random_split(range(n), lengths, Generator(0))]


def random_split(dataset: Dataset, lengths: Sequence[float], generator: Generator) -> list[Subset]:
    """data.random_split. It warns of empty parts; they are no error here."""
    if any(length < 0 for length in lengths):
        raise ValueError(f"lengths must not be negative, got {list(lengths)}")
    are_fractions = math.isclose(sum(lengths), 1) and sum(lengths) <= 1
    if not are_fractions and any(length != int(length) for length in lengths):
        raise ValueError(f"lengths must be whole and add up to {len(dataset)}, or to 1, got {list(lengths)}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Length of split")
        whole = lengths if are_fractions else [int(length) for length in lengths]
        parts = data.random_split(dataset, whole, generator.torch)
    return [Subset(part.dataset, part.indices) for part in parts]


def random_sampler(
    n: int, generator: Generator, replacement: bool = False, num_samples: int | None = None
) -> list[int]:
    """data.RandomSampler."""
    _check_positive(n=n)
    return list(data.RandomSampler(range(n), replacement, num_samples, generator.torch))


def class_weights(labels: Sequence[int]) -> list[float]:
    """torch.unique counts; torch has no function for the weights."""
    if not labels:
        raise ValueError("labels must hold one label or more, got none")
    _, place, times = torch.unique(torch.tensor(labels), return_inverse=True, return_counts=True)
    return (1 / times.double())[place].tolist()


def weighted_random_sampler(
    weights: Sequence[float], num_samples: int, generator: Generator, replacement: bool = True
) -> list[int]:
    """data.WeightedRandomSampler; without replacement its draws are of the same distribution, and others."""
    if not all(w >= 0 for w in weights) or not 0 < sum(weights) < math.inf:
        raise ValueError(f"weights must not be negative, with a finite sum above 0, got {list(weights)}")
    if not replacement and num_samples > sum(w > 0 for w in weights):
        raise ValueError(f"num_samples must not be above the number of weights that are not 0, got {num_samples}")
    return list(data.WeightedRandomSampler(weights, num_samples, replacement, generator.torch))


def batch_sampler(indices: Iterable[Any], batch_size: int, drop_last: bool = False) -> Iterator[list[Any]]:
    """data.BatchSampler."""
    return iter(data.BatchSampler(indices, batch_size, drop_last))


def bucket_batch_sampler(
    lengths: Sequence[int], batch_size: int, pool_size: int, generator: Generator
) -> list[list[int]]:
    """data.BatchSampler for pools and for batches, torch.argsort between them. (torch.utils.data has no buckets.)"""
    of = torch.tensor(lengths)
    pools = map(torch.tensor, batch_sampler(generator.randperm(len(lengths)), pool_size))
    in_order = (pool[of[pool].argsort(stable=True)].tolist() for pool in pools)
    batches = [batch for pool in in_order for batch in batch_sampler(pool, batch_size)]
    return [batches[i] for i in generator.randperm(len(batches))]


def distributed_sampler(
    n: int, world_size: int, rank: int, *, shuffle: bool = True, seed: int = 0, epoch: int = 0, drop_last: bool = False
) -> list[int]:
    """DistributedSampler, with set_epoch."""
    _check_positive(n=n, world_size=world_size)
    sampler = DistributedSampler(range(n), world_size, rank, shuffle=shuffle, seed=seed, drop_last=drop_last)
    sampler.set_epoch(epoch)
    return list(sampler)


def default_collate(samples: Sequence[Any]) -> Any:
    """data.default_collate makes tensors; it looks at the first sample, and trusts the others to be like it."""
    if not samples:
        raise ValueError("samples must hold one sample or more, got none")
    forms = [_form(sample) for sample in samples]
    if any(form != forms[0] for form in forms):
        raise ValueError(f"all samples must have one form, got {forms}")
    try:
        return _plain(data.default_collate([_with_tensors(sample) for sample in samples]))
    except TypeError as error:
        raise ValueError(f"samples must be of types that can be collated, got {samples[0]!r}") from error


def _form(sample: Any) -> Any:
    """The types, lengths and keys of a sample, through all its containers."""
    if isinstance(sample, dict):
        return {key: _form(value) for key, value in sample.items()}
    if isinstance(sample, list | tuple):
        return type(sample), [_form(value) for value in sample]
    return (array, sample.typecode, len(sample)) if isinstance(sample, array) else type(sample)


def _with_tensors(sample: Any) -> Any:
    if isinstance(sample, array):
        return torch.tensor(sample.tolist(), dtype=torch.float64 if sample.typecode in "fd" else torch.int64)
    if isinstance(sample, dict):
        return {key: _with_tensors(value) for key, value in sample.items()}
    return type(sample)(map(_with_tensors, sample)) if isinstance(sample, list | tuple) else sample


def _plain(batch: Any) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch.tolist()
    if isinstance(batch, dict):
        return {key: _plain(value) for key, value in batch.items()}
    return [_plain(value) for value in batch] if isinstance(batch, list | tuple) else batch


def pad_sequence(
    sequences: Sequence[Sequence[float]], padding_value: float = 0.0, padding_side: str = "right"
) -> list[list[float]]:
    """torch.nn.utils.rnn.pad_sequence. Its own default puts the batch on the second axis."""
    if not sequences:
        raise ValueError("sequences must hold one sequence or more, got none")
    if padding_side not in ("right", "left"):
        raise ValueError(f'padding_side must be "right" or "left", got {padding_side!r}')
    tensors = [torch.tensor(sequence, dtype=torch.float64) for sequence in sequences]
    return rnn.pad_sequence(tensors, batch_first=True, padding_value=padding_value, padding_side=padding_side).tolist()


def shuffle_buffer(stream: Iterable[Any], buffer_size: int, seed: int) -> Iterator[Any]:
    """The Shuffler among torch's datapipes."""
    _check_positive(buffer_size=buffer_size)
    return iter(Shuffler(IterableWrapper(stream, deepcopy=False), buffer_size=buffer_size).set_seed(seed))


@dataclass(frozen=True)
class WorkerInfo:
    """The part of torch's get_worker_info() that our worker_init_fn gets."""

    id: int
    num_workers: int
    seed: int
    dataset: Dataset


class DataLoader:
    """data.DataLoader, whose workers are processes; the state is ours, as torch's has none."""

    def __init__(
        self,
        dataset: Dataset,
        batches: Callable[[int], Iterable[list[int]]],
        collate_fn: Collate | None = None,
        *,
        num_workers: int = 0,
        prefetch_factor: int = 2,
        worker_init_fn: Callable[[WorkerInfo], None] | None = None,
        seed: int = 0,
    ) -> None:
        if num_workers < 0:
            raise ValueError(f"num_workers must not be negative, got {num_workers}")
        _check_positive(prefetch_factor=prefetch_factor)
        self.dataset, self.batches, self.seed, self.epoch, self.batch = dataset, batches, seed, 0, 0
        self.options = {
            "collate_fn": collate_fn or default_collate,
            "num_workers": num_workers,
            "prefetch_factor": prefetch_factor if num_workers else None,
            "worker_init_fn": _Init(worker_init_fn) if worker_init_fn else None,
        }

    def __len__(self) -> int:
        return len(list(self.batches(self.epoch)))

    def __iter__(self) -> Iterator[Any]:
        tasks = list(self.batches(self.epoch))[self.batch :]
        generator = Generator(self.seed + self.epoch).torch
        for batch in data.DataLoader(self.dataset, batch_sampler=tasks, generator=generator, **self.options):
            self.batch += 1
            yield batch
        self.epoch, self.batch = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """torchdata's StatefulDataLoader has one as well."""
        return {"length": len(self.dataset), "seed": self.seed, "epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        own = self.state_dict()
        if set(state) != set(own) or any(state[key] != own[key] for key in ("length", "seed")):
            raise ValueError(f"the state must be of a loader of this length and seed, {own}, got {state}")
        self.epoch, self.batch = state["epoch"], state["batch"]


@dataclass(frozen=True)
class _Init:
    """torch calls worker_init_fn with the id alone. (A class, as a function within a function cannot be pickled.)"""

    function: Callable[[WorkerInfo], None]

    def __call__(self, worker_id: int) -> None:
        info = data.get_worker_info()
        self.function(WorkerInfo(worker_id, info.num_workers, info.seed, info.dataset))


def load_stream(
    stream: Callable[[int, int], Iterable[Any]],
    batch_size: int,
    drop_last: bool = False,
    collate_fn: Collate | None = None,
    num_workers: int = 0,
) -> Iterator[Any]:
    """data.DataLoader on a data.IterableDataset."""
    options = {"drop_last": drop_last, "collate_fn": collate_fn or default_collate, "num_workers": num_workers}
    return iter(data.DataLoader(_Stream(stream), batch_size, **options))


class _Stream(data.IterableDataset):
    """Each worker has a copy, and asks who it is."""

    def __init__(self, stream: Callable[[int, int], Iterable[Any]]) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[Any]:
        worker = data.get_worker_info()
        return iter(self.stream(worker.id, worker.num_workers) if worker else self.stream(0, 1))


def _check_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} must be 1 or more, got {number}")
