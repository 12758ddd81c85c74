"""Datasets, samplers, collation and a loader with workers, in an order that can be repeated: standard library alone."""

import copy
import math
from array import array
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, cycle, islice
from random import Random
from typing import Any

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

Dataset = Any  # map-style: len(dataset), and dataset[i] for i from 0 to len(dataset) - 1
Collate = Callable[[list[Any]], Any]


class Generator:
    """torch.Generator on a CPU, bit for bit: the Mersenne Twister MT19937, seeded with one 32-bit number.

    Source: Matsumoto & Nishimura, init_genrand of mt19937ar.c; aten/src/ATen/core/MT19937RNGEngine.h of PyTorch.
    """

    def __init__(self, seed: int) -> None:
        """Fills the twister's 624 words; only the lowest 32 bits of the seed matter.

        Args:
            seed: from 0 to 2⁶³ - 1.

        Raises:
            ValueError: the seed is out of range.
        """
        if not 0 <= seed < 2**63:
            raise ValueError(f"seed must be from 0 to 2**63 - 1, got {seed}")
        words = [seed % 2**32]
        for i in range(1, 624):
            words.append((1812433253 * (words[-1] ^ words[-1] >> 30) + i) % 2**32)
        self._twister = Random()  # the same engine, which Python seeds in another way
        self._twister.setstate((3, (*words, 624), None))

    def randperm(self, n: int) -> list[int]:
        """The numbers 0 … n - 1 in random order, by Fisher and Yates: each place draws among those still to come.

        Raises:
            ValueError: n is negative.
        """
        if n < 0:
            raise ValueError(f"n must not be negative, got {n}")
        order = list(range(n))
        for i in range(n - 1):
            j = i + self._twister.getrandbits(32) % (n - i)
            order[i], order[j] = order[j], order[i]
        return order

    def randint(self, high: int, size: int) -> list[int]:
        """`size` numbers from 0 to high - 1: 32 bits modulo high, or 64 bits where high is 2²⁸ or more.

        Raises:
            ValueError: high is not from 1 to 2⁶³ - 1, or size is negative.
        """
        if not 1 <= high < 2**63 or size < 0:
            raise ValueError(f"high must be from 1 to 2**63 - 1 and size 0 or more, got {high} and {size}")
        if high < 2**28:
            return [self._twister.getrandbits(32) % high for _ in range(size)]
        return [self._64_bits() % high for _ in range(size)]

    def rand(self, size: int) -> list[float]:
        """`size` multiples of 2⁻⁵³, uniform from 0 to below 1: the lowest 53 of 64 bits.

        Raises:
            ValueError: size is negative.
        """
        if size < 0:
            raise ValueError(f"size must not be negative, got {size}")
        return [self._64_bits() % 2**53 / 2**53 for _ in range(size)]

    def base_seed(self) -> int:
        """A seed for others, the lowest 63 of 64 bits: a DataLoader draws one for its workers when an epoch starts."""
        return self._64_bits() % 2**63

    def _64_bits(self) -> int:  # given
        """Two words; the first is the higher one."""
        return self._twister.getrandbits(32) << 32 | self._twister.getrandbits(32)


class Subset:
    """Some samples of a dataset, named by their indices. Nothing is copied."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        """Sample i of the subset is sample indices[i] of the dataset.

        Raises:
            ValueError: an index that is not from 0 to len(dataset) - 1.
        """
        wrong = [i for i in indices if not 0 <= i < len(dataset)]
        if wrong:
            raise ValueError(f"indices must be from 0 to {len(dataset) - 1}, got {wrong[0]}")
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]


class ConcatDataset:
    """Several datasets, one behind the other."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        """Remembers where each dataset ends.

        Raises:
            ValueError: no datasets.
        """
        if not datasets:
            raise ValueError("datasets must hold one dataset or more, got none")
        self.datasets = datasets
        self.ends = list(accumulate(len(dataset) for dataset in datasets))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Any:
        """The sample at that place, or from the end for a negative index.

        Raises:
            IndexError: there are not so many; that is how a `for` loop over a sequence ends.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must be from {-len(self)} to {len(self) - 1}, got {index}")
        index %= len(self)
        which = bisect_right(self.ends, index)
        return self.datasets[which][index - (self.ends[which - 1] if which else 0)]


def split_lengths(n: int, lengths: Sequence[float]) -> list[int]:
    """How many samples of n go to each part. Fractions are rounded down; what remains is dealt in turn, from the first.

    Args:
        n: how many samples there are.
        lengths: fractions whose sum is close to 1 (math.isclose) and not above it, or whole numbers (3.0 is one) that
            add up to n.

    Raises:
        ValueError: they add up to neither, or one of them is negative.
    """
    if any(length < 0 for length in lengths):
        raise ValueError(f"lengths must not be negative, got {list(lengths)}")
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        whole = [math.floor(n * fraction) for fraction in lengths]
        for i in range(n - sum(whole)):
            whole[i % len(whole)] += 1
        return whole
    if sum(lengths) != n or any(length != int(length) for length in lengths):
        raise ValueError(f"lengths must be whole and add up to {n}, or to 1 as fractions, got {list(lengths)}")
    return [int(length) for length in lengths]


def random_split(dataset: Dataset, lengths: Sequence[float], generator: Generator) -> list[Subset]:
    """Cuts one random permutation of the dataset into parts.

    Args:
        dataset: map-style.
        lengths: as in `split_lengths`.
        generator: draws the permutation.

    Raises:
        ValueError: as `split_lengths`.
    """
    sizes = split_lengths(len(dataset), lengths)
    order = iter(generator.randperm(len(dataset)))
    return [Subset(dataset, list(islice(order, size))) for size in sizes]


def random_sampler(
    n: int, generator: Generator, replacement: bool = False, num_samples: int | None = None
) -> list[int]:
    """The order of one epoch.

    Args:
        n: how many samples the dataset has.
        generator: draws; the next call gives the next epoch's order.
        replacement: False: a permutation, and more permutations behind it where num_samples is above n. True: each
            index is drawn from all n.
        num_samples: how many indices; n if None.

    Raises:
        ValueError: n or num_samples is below 1.
    """
    num_samples = n if num_samples is None else num_samples
    _check_positive(n=n, num_samples=num_samples)
    if replacement:
        return generator.randint(n, num_samples)
    order = [i for _ in range(num_samples // n) for i in generator.randperm(n)]
    return order + generator.randperm(n)[: num_samples % n]  # torch draws this one even where nothing of it is used


def class_weights(labels: Sequence[int]) -> list[float]:
    """1 / (how often the label occurs), for each sample: drawn by these weights, all classes are equally likely.

    Raises:
        ValueError: no labels.
    """
    if not labels:
        raise ValueError("labels must hold one label or more, got none")
    times = Counter(labels)
    return [1 / times[label] for label in labels]


def weighted_random_sampler(
    weights: Sequence[float], num_samples: int, generator: Generator, replacement: bool = True
) -> list[int]:
    """Indices drawn so that i comes with probability weights[i] / sum(weights).

    Without replacement that holds for the first draw, and for each later one among the indices that are left. It is
    done as a race: i arrives after a time that is exponential with the rate weights[i], and the first num_samples win.

    Args:
        weights: one for each sample; 0 or more.
        num_samples: how many indices.
        generator: draws one uniform number for each index, or for each runner.
        replacement: whether an index can come again.

    Raises:
        ValueError: a negative weight, or a sum that is 0 or not finite; num_samples below 1, or, without
            replacement, above the number of weights that are not 0.
    """
    _check_positive(num_samples=num_samples)
    _check_weights(weights)
    if replacement:
        reached = list(accumulate(weights))
        shares = [total / reached[-1] for total in reached]
        return [bisect_right(shares, u) for u in generator.rand(num_samples)]  # a share begins with its left end
    if num_samples > sum(w > 0 for w in weights):
        raise ValueError(f"num_samples must not be above the number of weights that are not 0, got {num_samples}")
    uniforms = generator.rand(len(weights))
    arrival = [-math.log(1 - u) / w if w else math.inf for w, u in zip(weights, uniforms, strict=True)]
    return sorted(range(len(weights)), key=arrival.__getitem__)[:num_samples]


def batch_sampler(indices: Iterable[Any], batch_size: int, drop_last: bool = False) -> Iterator[list[Any]]:
    """Runs of batch_size indices. The last may be shorter; `drop_last` leaves it out then.

    Takes no more from `indices` than it has to, so it may be a stream, and may hold samples as well.

    Raises:
        ValueError: batch_size is below 1.
    """
    _check_positive(batch_size=batch_size)
    rest = iter(indices)
    batches = iter(lambda: list(islice(rest, batch_size)), [])
    return (batch for batch in batches if len(batch) == batch_size or not drop_last)


def bucket_batch_sampler(
    lengths: Sequence[int], batch_size: int, pool_size: int, generator: Generator
) -> list[list[int]]:
    """Batches of samples of about one length: shuffle, sort each pool by length, cut it, shuffle the batches.

    Args:
        lengths: of each sample.
        batch_size: the size of a batch; the last of each pool may be shorter.
        pool_size: how many samples are sorted together. batch_size: no bucketing; as many as there are: all sorted.
        generator: draws two permutations: of the samples, then of the batches.

    Raises:
        ValueError: batch_size or pool_size is below 1.
    """
    pools = batch_sampler(generator.randperm(len(lengths)), pool_size)
    in_order = [sorted(pool, key=lengths.__getitem__) for pool in pools]
    batches = [batch for pool in in_order for batch in batch_sampler(pool, batch_size)]
    return [batches[i] for i in generator.randperm(len(batches))]


def distributed_sampler(
    n: int, world_size: int, rank: int, *, shuffle: bool = True, seed: int = 0, epoch: int = 0, drop_last: bool = False
) -> list[int]:
    """The indices of one process among `world_size`: each takes every world_size-th, beginning with its rank.

    All processes compute the same order, from seed + epoch, so that nothing has to be sent. All get equally many: the
    order begins anew where it is too short for that, or ends early with `drop_last`.

    Raises:
        ValueError: n or world_size is below 1, or the rank is not from 0 to world_size - 1.
    """
    _check_positive(n=n, world_size=world_size)
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must be from 0 to {world_size - 1}, got {rank}")
    order = Generator(seed + epoch).randperm(n) if shuffle else range(n)
    each = n // world_size if drop_last else math.ceil(n / world_size)
    return list(islice(cycle(order), rank, each * world_size, world_size))


def default_collate(samples: Sequence[Any]) -> Any:
    """A batch from samples: containers on the outside, lists of n values on the inside.

    Values (int, float, bool, str, bytes) become a list. Dicts become a dict, lists and tuples a list, each with what
    its columns become. An array.array stands for a tensor: it is a value, and n of them become a list of n rows.

    Raises:
        ValueError: no samples; samples that differ in type, length or keys; a value of another type, None too.
    """
    if not samples:
        raise ValueError("samples must hold one sample or more, got none")
    first = samples[0]
    for i, sample in enumerate(samples):
        if _form(sample) != _form(first):
            raise ValueError(f"all samples must have one form: sample 0 is {_form(first)}, sample {i} {_form(sample)}")
    if isinstance(first, int | float | str | bytes):
        return list(samples)
    if isinstance(first, array):
        return [list(sample) for sample in samples]
    if isinstance(first, dict):
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, list | tuple):
        return [default_collate(column) for column in zip(*samples, strict=True)]
    raise ValueError(f"samples must be numbers, strings, arrays, or dicts, lists and tuples of them, got {first!r}")


def pad_sequence(
    sequences: Sequence[Sequence[float]], padding_value: float = 0.0, padding_side: str = "right"
) -> list[list[float]]:
    """Makes all sequences as long as the longest: n_sequences × longest.

    Raises:
        ValueError: no sequences, or a side that is neither "right" nor "left".
    """
    if not sequences:
        raise ValueError("sequences must hold one sequence or more, got none")
    if padding_side not in ("right", "left"):
        raise ValueError(f'padding_side must be "right" or "left", got {padding_side!r}')
    longest = max(map(len, sequences))
    paddings = [[padding_value] * (longest - len(sequence)) for sequence in sequences]
    if padding_side == "left":
        return [padding + list(sequence) for sequence, padding in zip(sequences, paddings, strict=True)]
    return [list(sequence) + padding for sequence, padding in zip(sequences, paddings, strict=True)]


def shuffle_buffer(stream: Iterable[Any], buffer_size: int, seed: int) -> Iterator[Any]:
    """Shuffles a stream within a window: a full buffer gives one of its samples at random for each that comes.

    Args:
        stream: any length.
        buffer_size: how many samples are held.
        seed: of the `random.Random` whose randrange chooses a place in the buffer, and at the end what to pop.

    Raises:
        ValueError: buffer_size is below 1.
    """
    _check_positive(buffer_size=buffer_size)
    return _through_buffer(stream, buffer_size, Random(seed))


def _through_buffer(stream: Iterable[Any], buffer_size: int, rng: Random) -> Iterator[Any]:
    buffer: list[Any] = []
    for sample in stream:
        if len(buffer) < buffer_size:
            buffer.append(sample)
        else:
            i = rng.randrange(buffer_size)
            yield buffer[i]
            buffer[i] = sample
    while buffer:
        yield buffer.pop(rng.randrange(len(buffer)))


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker knows of itself.

    Attributes:
        id: from 0 to num_workers - 1.
        num_workers: how many there are.
        seed: its own: the epoch's base seed plus id.
        dataset: its own copy.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Dataset


class DataLoader:
    """Batches of a map-style dataset, epoch after epoch. The order is a function of the epoch; the workers are not."""

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
        """Begins with batch 0 of epoch 0.

        Args:
            dataset: map-style.
            batches: from the number of an epoch to its lists of indices; the same for the same number.
            collate_fn: makes a batch of a list of samples; `default_collate` if None.
            num_workers: how many threads load ahead; 0: none, each batch is made when it is asked for.
            prefetch_factor: how many batches each worker may be ahead.
            worker_init_fn: called once in each worker, in every epoch, before it loads. No workers: no call, no copy.
            seed: the workers' seeds are those of Generator(seed + epoch).base_seed() + id.

        Raises:
            ValueError: num_workers is negative, or prefetch_factor below 1.
        """
        if num_workers < 0:
            raise ValueError(f"num_workers must not be negative, got {num_workers}")
        _check_positive(prefetch_factor=prefetch_factor)
        self.dataset, self.batches, self.collate_fn = dataset, batches, collate_fn or default_collate
        self.num_workers, self.prefetch_factor, self.worker_init_fn = num_workers, prefetch_factor, worker_init_fn
        self.seed, self.epoch, self.batch = seed, 0, 0

    def __len__(self) -> int:
        """How many batches the epoch has in all, with those that were handed out."""
        return len(list(self.batches(self.epoch)))

    def __iter__(self) -> Iterator[Any]:
        """The rest of the epoch: all of it, or what a loop that was left early, or a loaded state, has not seen.

        Batch k from here on is made by worker k mod num_workers. A loop that is left waits for no worker, and cancels
        what none has begun.

        Raises:
            Exception: what worker_init_fn raised, or what was raised while a batch was made; in a worker that has a
                note, which names the worker ("worker 1") and the list of indices.
        """
        tasks = list(self.batches(self.epoch))[self.batch :]
        load = _in_workers if self.num_workers else _one_by_one
        for batch in load(self, tasks):
            self.batch += 1  # before it is handed out: who has it will not want it again
            yield batch
        self.epoch, self.batch = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """What it takes to go on elsewhere: "epoch", and "batch", how many of its batches were handed out.

        After the last of them it is still this epoch, until the loop has ended. And what tells that the state is of
        this loader: the "length" of the dataset, and the "seed".
        """
        return {"length": len(self.dataset), "seed": self.seed, "epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on where another loader stood.

        Raises:
            ValueError: other keys than those of `state_dict`, or that loader had another length, or another seed.
        """
        own = self.state_dict()
        if set(state) != set(own):
            raise ValueError(f"a state has the keys {sorted(own)}, got {sorted(state)}")
        for key in ("length", "seed"):
            if state[key] != own[key]:
                raise ValueError(f"the state is of another loader: its {key} is {state[key]}, here it is {own[key]}")
        self.epoch, self.batch = state["epoch"], state["batch"]


def _one_by_one(loader: DataLoader, tasks: list[list[int]]) -> Iterator[Any]:
    for indices in tasks:
        yield loader.collate_fn([loader.dataset[i] for i in indices])


def _in_workers(loader: DataLoader, tasks: list[list[int]]) -> Iterator[Any]:
    """Batch k of these goes to worker k mod num_workers. A queue of promises keeps the order, whoever is done first."""
    n = loader.num_workers
    base_seed = Generator(loader.seed + loader.epoch).base_seed()
    infos = [WorkerInfo(w, n, base_seed + w, copy.deepcopy(loader.dataset)) for w in range(n)]
    workers = [ThreadPoolExecutor(max_workers=1) for _ in range(n)]  # each does its own batches, one after the other
    promised: deque[Future[Any]] = deque()
    to_send = enumerate(tasks)

    def send(how_many: int) -> None:
        for k, indices in islice(to_send, how_many):
            promised.append(workers[k % n].submit(_fetch, infos[k % n], indices, loader.collate_fn))

    try:
        for worker, info in zip(workers, infos, strict=True):
            if loader.worker_init_fn:
                worker.submit(loader.worker_init_fn, info).result()
        send(loader.prefetch_factor * n)
        while promised:
            batch = promised.popleft().result()  # waits for this one; raises here what was raised there
            send(1)
            yield batch
    finally:  # the loop may have been left early, or by an error
        for worker in workers:
            worker.shutdown(wait=False, cancel_futures=True)


def _fetch(info: WorkerInfo, indices: list[int], collate_fn: Collate) -> Any:
    """What a worker does with one list of indices. An error takes along where it happened."""
    try:
        return collate_fn([info.dataset[i] for i in indices])
    except Exception as error:
        error.add_note(f"in worker {info.id}, in the batch of the indices {indices}")
        raise


def load_stream(
    stream: Callable[[int, int], Iterable[Any]],
    batch_size: int,
    drop_last: bool = False,
    collate_fn: Collate | None = None,
    num_workers: int = 0,
) -> Iterator[Any]:
    """Batches of an iterable dataset. Each worker reads a stream of its own, and makes batches of that alone.

    Args:
        stream: from a worker's id and the number of workers to what this worker reads. A stream that ignores them is
            read once by every worker. Without workers it is stream(0, 1).
        batch_size: of each batch but the last of each worker.
        drop_last: leave out each worker's last batch where it is shorter.
        collate_fn: makes a batch of a list of samples; `default_collate` if None.
        num_workers: they take turns, and who has come to the end is passed over. (Here all work in one thread: the
            order does not depend on it.)

    Raises:
        ValueError: batch_size is below 1, or num_workers negative.
    """
    if num_workers < 0:
        raise ValueError(f"num_workers must not be negative, got {num_workers}")
    n_streams = max(1, num_workers)
    shards = [batch_sampler(stream(w, n_streams), batch_size, drop_last) for w in range(n_streams)]
    return _in_turn(shards, collate_fn or default_collate)


def _in_turn(shards: list[Iterator[list[Any]]], collate_fn: Collate) -> Iterator[Any]:
    while shards:
        for shard in list(shards):
            batch = next(shard, None)
            if batch is None:
                shards.remove(shard)
            else:
                yield collate_fn(batch)


def _form(sample: Any) -> Any:  # given
    """What must be the same in all samples of a batch: the type, and the keys or the length."""
    if isinstance(sample, dict):
        return dict, set(sample)
    if isinstance(sample, array):
        return array, sample.typecode, len(sample)
    return (type(sample), len(sample)) if isinstance(sample, list | tuple) else type(sample)


def _check_positive(**numbers: int) -> None:  # given
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} must be 1 or more, got {number}")


def _check_weights(weights: Sequence[float]) -> None:  # given
    if not all(w >= 0 for w in weights) or not 0 < sum(weights) < math.inf:
        raise ValueError(f"weights must not be negative, with a finite sum above 0, got {list(weights)}")


if __name__ == "__main__":
    order = random_sampler(10, Generator(0))
    print("epoch 0:", order)
    print("batches of 4:", *batch_sampler(order, 4))
