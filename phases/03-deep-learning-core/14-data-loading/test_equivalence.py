"""The proof: torch's draws bit for bit, splits, samplers, collation, order with workers, resuming, and the tool."""

import itertools
import json
import math
import subprocess
import sys
import threading
import time
from array import array
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from phases.deep_learning_core.data_loading import ship_it, tool, workers

from shared.proof import assert_equivalent, assert_same_error, examples
from shared.proof import strategies as some

seeds = st.one_of(st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**63 - 1]), st.integers(0, 2**63 - 1))
processes = pytest.mark.filterwarnings(
    "ignore:This DataLoader will create",  # more workers than this machine has cores
    "ignore:This process .* is multi-threaded:DeprecationWarning",  # from Python 3.12 on, of every fork beside torch
)


def against(twin, witness):
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


def ended(iterable, limit=99):
    """All that comes, as a list: what never ends is a failure, and not a full memory."""
    found = list(itertools.islice(iterable, limit))
    assert len(found) < limit, "this should have ended long ago"
    return found


# ---- the generator


@examples(25)
@given(
    seeds, st.sampled_from([0, 1, 2, 3, 10, 700]), st.sampled_from([1, 2, 7, 2**28 - 1, 2**28, 2**40 + 1, 2**63 - 1])
)
def test_the_generator_is_torchs(build_it, use_it, seed, n, high):
    def draws(twin):
        generator = twin.Generator(seed)
        return {
            "randperm": generator.randperm(n),
            "randint": generator.randint(high, 5),
            "base_seed": generator.base_seed(),
            "rand": generator.rand(3),
            "nothing": [generator.randint(high, 0), generator.rand(0)],
            "after them": generator.randperm(n),
        }

    built = draws(build_it)
    assert_equivalent(built, draws(use_it), rtol=0, atol=0)
    assert built["nothing"] == [[], []]


def test_the_twister_of_the_c_plus_plus_standard(build_it, use_it):
    """Of std::mt19937, whose seed is 5489, the standard says that the 10000th number is 4123659995."""
    high = 2**28 - 1
    for twin in (build_it, use_it):
        found = twin.Generator(5489).randint(high, 10000)[-1]
        assert_equivalent(found, 4123659995 % high, **against(twin, "the C++ standard"))
    g = build_it.Generator(5489)
    assert g.randint(2**62, 1) == [(3499211612 << 32 | 581869302) % 2**62]  # its first two numbers


def test_only_32_bits_of_a_seed_count(build_it, use_it):
    for twin in (build_it, use_it):
        assert twin.Generator(7).randperm(20) == twin.Generator(2**32 + 7).randperm(20)
        assert twin.Generator(7).randperm(20) != twin.Generator(8).randperm(20)


def test_a_permutation_can_be_any(build_it, use_it):
    """All 24 permutations of 4 come, about equally often: χ² with 23 degrees of freedom is below 49.7 in 99.9 %."""
    for twin in (build_it, use_it):
        generator = twin.Generator(0)
        times = Counter(tuple(generator.randperm(4)) for _ in range(1200))
        assert len(times) == 24 and sum((t - 50) ** 2 / 50 for t in times.values()) < 49.7


# ---- datasets


class Forward(list):
    """A dataset that does not count from its end, as most do not."""

    def __getitem__(self, index):
        assert index >= 0
        return super().__getitem__(index)


@examples(25)
@given(st.lists(st.lists(st.integers(0, 99), max_size=4).map(Forward), min_size=1, max_size=4))
def test_concat_and_subset(build_it, use_it, parts):
    whole = [x for part in parts for x in part]

    def everything(twin):
        both = twin.ConcatDataset(parts)
        n = len(both)
        subset = twin.Subset(both, list(range(n - 1, -1, -2)))
        found = {"length": n, "samples": ended(both), "from the end": [both[-i - 1] for i in range(n)]}
        return found | {"subset": (len(subset), ended(subset))}

    expected = {"length": len(whole), "samples": whole, "from the end": whole[::-1]}
    expected["subset"] = (len(whole[::-2]), whole[::-2])
    for twin in (build_it, use_it):
        assert_equivalent(everything(twin), expected, **against(twin, "lists"))
        for index in (len(whole), -len(whole) - 1):
            with pytest.raises(IndexError):
                twin.ConcatDataset(parts)[index]


def test_indices_of_a_subset(build_it, use_it):
    for twin in (build_it, use_it):
        assert [twin.Subset("abc", [0, 2])[i] for i in (0, -1)] == ["a", "c"]


FRACTIONS = [
    [1.0],
    [0.5, 0.5],
    [0.8, 0.1, 0.1],
    [0.7, 0.2, 0.1],  # add up to 0.9999999999999999
    [0.1] * 10,
    [0.29, 0.71],
    [1 / 3, 1 / 3, 1 / 3],
    [1, 0],  # whole numbers that are taken for fractions
    [0.0, 0.25, 0.75],
]


@examples(40)
@given(st.integers(0, 60), st.sampled_from(FRACTIONS), some.seeds())
def test_random_split_by_fractions(build_it, use_it, n, fractions, seed):
    def parts(twin):
        split = twin.random_split(range(100, 100 + n), fractions, twin.Generator(seed))
        return {"lengths": twin.split_lengths(n, fractions), "parts": [ended(part) for part in split]}

    built = parts(build_it)
    assert_equivalent(built, parts(use_it))
    assert sorted(itertools.chain(*built["parts"])) == list(range(100, 100 + n))
    assert [len(part) for part in built["parts"]] == built["lengths"]


def test_what_is_left_over_goes_round(build_it, use_it):
    by_hand = {
        (10, (0.8, 0.1, 0.1)): [8, 1, 1],
        (11, (0.8, 0.1, 0.1)): [9, 1, 1],  # floors 8, 1, 1
        (19, (0.5, 0.25, 0.25)): [10, 5, 4],  # floors 9, 4, 4: two are left
        (100, (0.29, 0.71)): [29, 71],  # 100 · 0.29 is 28.999999999999996, its floor 28
        (7, (3, 4)): [3, 4],
        (7, (3.0, 4.0, 0.0)): [3, 4, 0],
        (5, (1, 0)): [5, 0],
        (0, ()): [],
    }
    for twin in (build_it, use_it):
        found = {key: twin.split_lengths(*key) for key in by_hand}
        assert_equivalent(list(found.values()), list(by_hand.values()), **against(twin, "by hand"))
    # fractions that are close to 1 leave more than one round
    assert build_it.split_lengths(10**10, [0.5, 0.5 - 4e-10]) == [5000000002, 4999999998]


@pytest.mark.parametrize(
    "lengths",
    [[3, 3], [4, 4], [0.5, 0.6], [8, -1], [1.5, -0.5], [0.2, 0.2], [3.5, 3.5], [0.5, 0.5 + 1e-12], [0.5, 0.5 - 1e-8]],
    ids=str,
)
def test_wrong_lengths(build_it, use_it, lengths):
    assert_same_error(lambda twin: twin.split_lengths(7, lengths), build_it, use_it)
    assert_same_error(lambda twin: twin.random_split("abcdefg", lengths, twin.Generator(0)), build_it, use_it)


# ---- samplers


@examples(40)
@given(n=st.integers(1, 9), replacement=st.booleans(), num_samples=st.none() | st.integers(1, 70), seed=some.seeds())
def test_random_sampler(build_it, use_it, *, n, replacement, num_samples, seed):
    def two_epochs(twin):
        generator = twin.Generator(seed)
        return [twin.random_sampler(n, generator, replacement, num_samples) for _ in range(2)]

    built = two_epochs(build_it)
    assert_equivalent(built, two_epochs(use_it))
    if not replacement:
        times = Counter(dict.fromkeys(range(n), 0)) | Counter(built[0])
        counts = [times[i] for i in range(n)]
        assert max(counts) - min(counts) <= 1 and sum(counts) == (num_samples or n)


weights_strategy = st.lists(
    st.one_of(st.just(0.0), st.sampled_from([1e-3, 1.0, 2.0, 1e6]), some.floats(0, 10)), min_size=1, max_size=6
).filter(any)


@examples(40)
@given(weights_strategy, st.integers(2, 20), some.seeds())
def test_weighted_with_replacement(build_it, use_it, weights, num_samples, seed):
    """Bit for bit from two draws on: for a single one torch runs the race of draws without replacement."""
    found = [twin.weighted_random_sampler(weights, num_samples, twin.Generator(seed)) for twin in (build_it, use_it)]
    assert_equivalent(*found)
    assert all(weights[i] for i in found[0])


class Given:
    """A generator whose numbers are given."""

    def __init__(self, *uniforms):
        self.uniforms = iter(uniforms)

    def rand(self, size):
        return list(itertools.islice(self.uniforms, size))


def test_a_share_begins_with_its_left_end_and_ends_before_its_right(build_it):
    """Shares end at 0, 0.25, 0.5, 1 and 1. Of u = 0 torch makes sample 0, although its weight is 0."""
    weights = [0.0, 1.0, 1.0, 2.0, 0.0]
    last = 1 - 2**-53
    assert build_it.weighted_random_sampler(weights, 6, Given(0.0, 0.25, 0.5, last, 0.24, 0.49)) == [1, 2, 3, 3, 1, 2]
    generator = torch.Generator().manual_seed(0)
    generator.set_state(with_words_0_and_0_next(generator))
    assert next(iter(torch.utils.data.WeightedRandomSampler(weights, 2, True, generator))) == 0


def with_words_0_and_0_next(generator):
    """The state of torch's generator has the place of its next word at byte 16, and 8 bytes for each word from 24 on."""
    torch.rand(1, generator=generator)  # fills the words
    state = generator.get_state()
    numbers = state.numpy().view("uint64")  # the same memory
    numbers[3 + numbers[2] :][:2] = 0
    return state


def test_weighted_without_replacement(build_it, use_it):
    """χ² against exact probabilities, for each twin with its own draws: torch's exponentials are not to be had.

    Drawing i and then j has the probability w_i / W · w_j / (W - w_i): 6 outcomes, so 5 degrees of freedom, and χ² is
    below 20.5 in 99.9 %.
    """
    weights, n_draws = [1.0, 0.0, 2.0, 5.0], 800
    total = sum(weights)
    exact = {
        (i, j): weights[i] / total * weights[j] / (total - weights[i]) for i, j in itertools.permutations((0, 2, 3), 2)
    }
    for twin in (build_it, use_it):
        generator = twin.Generator(1)
        times = Counter(tuple(twin.weighted_random_sampler(weights, 2, generator, False)) for _ in range(n_draws))
        assert set(times) <= set(exact)
        assert sum((times[pair] - n_draws * p) ** 2 / (n_draws * p) for pair, p in exact.items()) < 20.5
        assert sorted(twin.weighted_random_sampler(weights, 3, twin.Generator(0), False)) == [0, 2, 3]
        single = [twin.weighted_random_sampler([3.0, 1.0], 1, generator)[0] for _ in range(n_draws)]
        assert abs(sum(single) - n_draws / 4) < 4 * math.sqrt(n_draws * 3 / 16)  # four standard deviations
    order = build_it.weighted_random_sampler([3.0, 1.0], 2, build_it.Generator(0), False)
    u, v = build_it.Generator(0).rand(2)
    assert order == ([0, 1] if -math.log(1 - u) / 3 < -math.log(1 - v) else [1, 0])


@examples(20)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12))
def test_class_weights(build_it, use_it, labels):
    built = build_it.class_weights(labels)
    assert_equivalent(built, use_it.class_weights(labels))
    for label in set(labels):  # all classes weigh the same
        assert math.isclose(sum(w for w, own in zip(built, labels, strict=True) if own == label), 1)


def test_balanced_draws(build_it, use_it):
    """Of 900 draws 450 are expected of the rare class, ± 4 standard deviations of 15."""
    labels = [0] * 95 + [1] * 5
    for twin in (build_it, use_it):
        drawn = twin.weighted_random_sampler(twin.class_weights(labels), 900, twin.Generator(0))
        assert 390 < sum(labels[i] for i in drawn) < 510


@pytest.mark.parametrize(
    "call",
    [
        *(f"Generator({seed})" for seed in ("-1", "2**63")),
        "Generator(0).randperm(-1)",
        *(f"Generator(0).randint({high_and_size})" for high_and_size in ("0, 1", "2**63, 1", "5, -1")),
        "Generator(0).rand(-1)",
        "ConcatDataset([])",
        *(f"Subset('abc', {indices})" for indices in ("[0, 3]", "[-1]", "[3, 0]")),
        *(f"random_sampler({n}, Generator(0))" for n in (0, -1)),
        *(f"random_sampler(3, Generator(0), {replacement}, 0)" for replacement in (True, False)),
        "class_weights([])",
        *(
            f"weighted_random_sampler({weights}, 1, Generator(0))"
            for weights in ("[]", "[0.0]", "[1.0, -1.0]", "[nan, 1.0]", "[inf]", "[1.7e308] * 2")
        ),
        "weighted_random_sampler([1.0], 0, Generator(0))",
        "weighted_random_sampler([1.0, 0.0], 2, Generator(0), False)",
        *(f"batch_sampler([1, 2], {size})" for size in (0, -1)),
        *(f"bucket_batch_sampler([1, 2], {sizes}, Generator(0))" for sizes in ("0, 1", "1, 0", "-1, 1", "1, -1")),
        *(f"distributed_sampler({numbers})" for numbers in ("0, 1, 0", "3, 0, 0", "3, 2, 2", "3, 2, -1")),
        *(f"shuffle_buffer([1], {size}, 0)" for size in (0, -1)),
        *(f"list(load_stream(range, {size}))" for size in (0, -1)),
        "load_stream(range, 1, num_workers=-1)",
        "DataLoader([1], lambda epoch: [[0]], num_workers=-1)",
        "DataLoader([1], lambda epoch: [[0]], prefetch_factor=0)",
    ],
)
def test_what_is_refused(build_it, use_it, call):
    names = {"nan": math.nan, "inf": math.inf}
    assert_same_error(lambda twin: eval(call, vars(twin) | names), build_it, use_it)


@examples(25)
@given(st.integers(0, 13), st.integers(1, 5), st.booleans())
def test_batch_sampler(build_it, use_it, n, batch_size, drop_last):
    built = ended(build_it.batch_sampler(range(n), batch_size, drop_last))
    assert_equivalent(built, list(use_it.batch_sampler(range(n), batch_size, drop_last)))
    assert list(itertools.chain(*built)) == list(range(n - n % batch_size if drop_last else n))
    assert len(built) == (n // batch_size if drop_last else math.ceil(n / batch_size))


def test_batches_of_an_endless_stream(build_it, use_it):
    for twin in (build_it, use_it):
        stream = itertools.count()
        batches = twin.batch_sampler(stream, 3)
        assert [next(batches), next(batches)] == [[0, 1, 2], [3, 4, 5]]
        assert next(stream) == 6  # nothing was taken ahead


@examples(30)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=14), st.integers(1, 4), st.integers(1, 9))
def test_buckets(build_it, use_it, lengths, batch_size, pool_size):
    arguments, seed = (lengths, batch_size, pool_size), sum(lengths)
    built = build_it.bucket_batch_sampler(*arguments, build_it.Generator(seed))
    assert_equivalent(built, use_it.bucket_batch_sampler(*arguments, use_it.Generator(seed)))
    assert sorted(itertools.chain(*built)) == list(range(len(lengths)))
    if pool_size >= len(lengths):  # all sorted: no two batches overlap in length
        ranges = sorted((min(lengths[i] for i in batch), max(lengths[i] for i in batch)) for batch in built)
        assert all(high <= low for (_, high), (low, _) in itertools.pairwise(ranges))


@examples(40)
@given(
    st.integers(1, 11),
    st.integers(1, 6),
    st.fixed_dictionaries(
        {"shuffle": st.booleans(), "drop_last": st.booleans(), "seed": st.integers(0, 5), "epoch": st.integers(0, 3)}
    ),
)
def test_distributed(build_it, use_it, n, world_size, options):
    drop_last = options["drop_last"]
    found = [
        [twin.distributed_sampler(n, world_size, rank, **options) for rank in range(world_size)]
        for twin in (build_it, use_it)
    ]
    assert_equivalent(*found)
    assert len({len(shard) for shard in found[0]}) == 1  # equally many for all
    dealt = list(itertools.chain(*zip(*found[0], strict=True)))
    times = Counter(dealt)
    each = n // world_size if drop_last else math.ceil(n / world_size)
    assert len(dealt) == each * world_size
    assert max(times.values(), default=0) <= (1 if drop_last else math.ceil(each * world_size / n))
    if not drop_last:
        assert set(times) == set(range(n))


def test_defaults_of_the_distributed_sampler(build_it, use_it):
    for twin in (build_it, use_it):
        assert twin.distributed_sampler(5, 2, 0) == twin.distributed_sampler(
            5, 2, 0, shuffle=True, seed=0, epoch=0, drop_last=False
        )
        assert twin.distributed_sampler(5, 2, 1, seed=2, epoch=3) == twin.distributed_sampler(5, 2, 1, seed=5)


# ---- collation

scalars = st.sampled_from(
    [st.integers(-9, 9), some.floats(-1000, 1000), st.booleans(), st.text("ab", max_size=2), st.binary(max_size=2)]
)
forms = st.recursive(
    st.one_of(
        scalars,
        st.integers(0, 3).map(lambda n: st.lists(some.floats(), min_size=n, max_size=n).map(lambda v: array("d", v))),
        st.just(st.lists(st.integers(-9, 9), min_size=2, max_size=2).map(lambda v: array("q", v))),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda forms: st.tuples(*forms)),
        st.lists(inner, max_size=3).map(lambda forms: st.tuples(*forms).map(list)),
        st.dictionaries(st.sampled_from("xyz"), inner, max_size=3).map(st.fixed_dictionaries),
    ),
    max_leaves=4,
)


@examples(50)
@given(st.data())
def test_default_collate(build_it, use_it, data):
    form = data.draw(forms)
    samples = data.draw(st.lists(form, min_size=1, max_size=3))
    assert_equivalent(build_it.default_collate(samples), use_it.default_collate(samples))


def test_collation_by_hand(build_it, use_it):
    samples = [
        {"pixels": array("d", [1.0, 2.0]), "box": (3, 4.0), "name": "a"},
        {"name": "b", "pixels": array("d", [5.0, 6.0]), "box": (7, 8.0)},
        {"pixels": array("d", [0.0, 9.0]), "box": (1, -1.0), "name": "c"},
    ]
    expected = {
        "pixels": [[1.0, 2.0], [5.0, 6.0], [0.0, 9.0]],
        "box": [[3, 7, 1], [4.0, 8.0, -1.0]],
        "name": ["a", "b", "c"],
    }
    for twin in (build_it, use_it):
        assert_equivalent(twin.default_collate(samples), expected, **against(twin, "by hand"))
        assert twin.default_collate([[1, 2], [3, 4], [5, 6]]) == [[1, 3, 5], [2, 4, 6]]  # a list is a container
        assert [type(v) for v in twin.default_collate([True, False])] == [bool, bool]
        assert [type(v) for v in twin.default_collate([1.0, 2.0])] == [float, float]
        assert twin.default_collate([b"a", b"b"]) == [b"a", b"b"]
        assert twin.default_collate((1, 2)) == [1, 2]


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [1, 2.0],
        [1, True],
        ["a", 1],
        ["a", b"a"],
        [None],
        [1j],
        [{1, 2}],
        [(1,), (1, 2)],
        [(1,), [1]],
        [{"x": 1}, {"y": 1}],
        [{"x": 1}, {"x": 1, "y": 1}],
        [{"x": 1, "y": 1}, {"x": 1}],
        [{"x": [1]}, {"x": [1, 2]}],
        [array("d", [1.0]), array("d", [1.0, 2.0])],
        [array("d", [1.0]), array("q", [1])],
        [array("d", [1.0]), [1.0]],
    ],
    ids=str,
)
def test_what_does_not_collate(build_it, use_it, samples):
    assert_same_error(lambda twin: twin.default_collate(samples), build_it, use_it)


@examples(25)
@given(
    st.lists(st.lists(some.floats(-1000, 1000), max_size=4), min_size=1, max_size=4),
    st.sampled_from([0.0, -1.0, math.nan]),
    st.sampled_from(["right", "left"]),
)
def test_pad_sequence(build_it, use_it, sequences, value, side):
    built = build_it.pad_sequence(sequences, value, side)
    assert_equivalent(built, use_it.pad_sequence(sequences, value, side))
    for row, sequence in zip(built, sequences, strict=True):
        n = len(sequence)
        assert (row[:n] if side == "right" else row[len(row) - n :]) == sequence


def test_pad_sequence_by_hand(build_it, use_it):
    for twin in (build_it, use_it):
        assert twin.pad_sequence([[1.0], [2.0, 3.0], []]) == [[1.0, 0.0], [2.0, 3.0], [0.0, 0.0]]
        with pytest.raises(ValueError, match="one sequence or more, got none"):
            twin.pad_sequence([])
    assert_same_error(lambda twin: twin.pad_sequence([[1.0]], 0.0, "middle"), build_it, use_it)


# ---- streams


@examples(30)
@given(st.integers(0, 30), st.integers(1, 9), some.seeds())
def test_shuffle_buffer(build_it, use_it, n, buffer_size, seed):
    built = ended(build_it.shuffle_buffer(iter(range(n)), buffer_size, seed))
    assert_equivalent(built, list(use_it.shuffle_buffer(iter(range(n)), buffer_size, seed)))
    assert sorted(built) == list(range(n))
    assert all(place >= sample - buffer_size + 1 for place, sample in enumerate(built))
    if buffer_size == 1:
        assert built == list(range(n))


def test_where_a_buffer_puts_a_sample(build_it, use_it):
    """P(sample i leaves at place p) = (1 - 1/B)^(p - e) / B from e = max(0, i - B + 1) on: χ² of the first 7 places.

    Sample 1 is one of those that the buffer holds before any leaves. With the rest that is 8 outcomes; χ² with 7 degrees of freedom is below 24.3 in 99.9 %.
    """
    size, n_draws = 4, 500
    for twin in (build_it, use_it):
        orders = [list(twin.shuffle_buffer(range(40), size, seed)) for seed in range(n_draws)]
        exact = [(1 - 1 / size) ** k / size for k in range(7)]
        exact.append(1 - sum(exact))
        for i in (1, 9):
            times = Counter(min(order.index(i) - max(0, i - size + 1), 7) for order in orders)
            assert sum((times[k] - n_draws * p) ** 2 / (n_draws * p) for k, p in enumerate(exact)) < 24.3


def test_a_buffer_takes_no_more_than_it_holds(build_it, use_it):
    for twin in (build_it, use_it):
        stream = itertools.count()
        shuffled = twin.shuffle_buffer(stream, 5, 0)
        assert next(shuffled) < 5 and next(stream) == 6
    assert next(build_it.shuffle_buffer(iter("ab"), 9, 0)) in "ab"


@examples(25)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=3), st.integers(1, 3), st.booleans())
def test_streams_of_several_workers(build_it, use_it, lengths, batch_size, drop_last):
    """Worker w reads lengths[w] samples. Against a scheduler that neither twin wrote: sort by (batch, worker)."""
    n = len(lengths)

    def stream(worker_id, num_workers):
        assert num_workers == n
        return ((worker_id, i) for i in range(lengths[worker_id]))

    expected = sorted(
        (start // batch_size, w, start, min(start + batch_size, length))
        for w, length in enumerate(lengths)
        for start in range(0, length, batch_size)
    )
    expected = [[(w, i) for i in range(a, b)] for _, w, a, b in expected if not drop_last or b - a == batch_size]
    found = ended(build_it.load_stream(stream, batch_size, drop_last, list, num_workers=n))
    assert_equivalent(found, expected, names=("build_it", "the order of (batch, worker)"))


def test_one_stream(build_it, use_it):
    def stream(worker_id, num_workers):
        assert (worker_id, num_workers) == (0, 1)
        return ((float(i), str(i)) for i in range(7))

    found = [ended(twin.load_stream(stream, 3)) for twin in (build_it, use_it)]
    assert_equivalent(*found)
    assert found[0][-1] == [[6.0], ["6"]]
    assert_equivalent(*(ended(twin.load_stream(stream, 3, drop_last=True)) for twin in (build_it, use_it)))


@processes
def test_streams_of_torchs_processes(build_it, use_it):
    """Worker 0 reads 0 … 1 in the first stream and worker 1 nothing but 1; in the second both read everything."""
    for stream, batch_size in ((workers.every_nth_name, 2), (workers.every_name, 3)):
        found = [list(twin.load_stream(stream, batch_size, False, list, num_workers=2)) for twin in (build_it, use_it)]
        assert_equivalent(*found)
        times = Counter(itertools.chain(*found[0]))
        assert set(times.values()) == {1 if stream is workers.every_nth_name else 2}


# ---- the loader


def by_seed(twin, n, batch_size, seed=0):
    """An order for each epoch, of n samples."""
    return lambda epoch: ended(twin.batch_sampler(twin.random_sampler(n, twin.Generator(seed + epoch)), batch_size))


@examples(20)
@given(n=st.integers(1, 11), batch_size=st.integers(1, 4), num_workers=st.integers(0, 3), prefetch=st.integers(1, 3))
def test_workers_do_not_change_the_order(build_it, use_it, *, n, batch_size, num_workers, prefetch):
    samples = [(float(i), {"label": i % 3, "name": f"s{i}"}) for i in range(n)]

    def epochs(twin, n_workers):
        loader = twin.DataLoader(
            samples, by_seed(twin, n, batch_size, 5), num_workers=n_workers, prefetch_factor=prefetch
        )
        return [len(loader), list(loader), list(loader), loader.state_dict()]

    built = epochs(build_it, num_workers)
    assert_equivalent(built, epochs(use_it, 0))
    assert built[0] == math.ceil(n / batch_size)
    assert built[-1] == {"length": n, "seed": 0, "epoch": 2, "batch": 0}


@processes
def test_order_and_seeds_of_torchs_processes(build_it, use_it):
    """Who makes a batch shows in its noise; after a resumed start too. torch's DataLoader with shuffle=True is a third."""

    def run(twin):
        seeded = workers.Noisy(5)
        loader = twin.DataLoader(
            seeded, by_seed(twin, 5, 1), list, num_workers=2, worker_init_fn=workers.reseed, seed=3
        )
        loader.load_state_dict({"length": 5, "seed": 3, "epoch": 2, "batch": 1})
        unseeded = twin.DataLoader(workers.Noisy(6), by_seed(twin, 6, 1), list, num_workers=2)
        return {"reseeded": list(loader), "copies of one generator": list(unseeded)}

    found = [run(twin) for twin in (build_it, use_it)]
    assert_equivalent(*found)
    noise = [[noise for _, noise in itertools.chain(*batches)] for batches in found[0].values()]
    assert len(set(noise[0])) == 4
    assert noise[1][::2] == noise[1][1::2]  # worker 0 and worker 1 have drawn the same numbers

    generator = torch.Generator().manual_seed(5)
    torchs = torch.utils.data.DataLoader(range(10), 4, shuffle=True, generator=generator, collate_fn=list)
    own = build_it.Generator(5)
    own.base_seed()  # what the loader draws for its workers, even where it has none
    assert_equivalent(
        list(build_it.batch_sampler(build_it.random_sampler(10, own), 4)), list(torchs), names=("build_it", "torch")
    )


def test_seeds_and_copies(build_it, use_it):
    infos = []
    dataset = [0, 1, 2, 3]
    loader = build_it.DataLoader(
        dataset, lambda epoch: [[0], [1], [2]], num_workers=2, worker_init_fn=infos.append, seed=4
    )
    assert [list(loader), list(loader)] == [[[0], [1], [2]]] * 2
    base = [build_it.Generator(4).base_seed(), build_it.Generator(5).base_seed()]
    found = [(info.id, info.num_workers, info.seed) for info in infos]
    assert sorted(found[:2]) + sorted(found[2:]) == [(w, 2, base[epoch] + w) for epoch in (0, 1) for w in (0, 1)]
    assert all(info.dataset == dataset and info.dataset is not dataset for info in infos)
    assert infos[0].dataset is not infos[1].dataset


def test_without_workers_there_is_no_copy(build_it, use_it):
    for twin in (build_it, use_it):
        infos, noisy = [], workers.Noisy(2)
        alone = twin.DataLoader(noisy, lambda epoch: [[0, 1]], list, worker_init_fn=infos.append)
        assert list(alone) + list(alone) == [[(0, 49), (1, 97)], [(0, 53), (1, 5)]]  # of one generator, in a row
        assert infos == []


def test_a_resumed_epoch_begins_with_worker_0(build_it):
    """Batch k goes to worker k mod n, and k counts from where the loop begins: as with torch's processes, tested above."""

    class Signed(list):
        def __getitem__(self, index):
            return index, self.owner

    def sign(info):
        info.dataset.owner = info.id

    loader = build_it.DataLoader(
        Signed("abcde"), lambda epoch: [[i] for i in range(5)], list, num_workers=2, worker_init_fn=sign
    )
    assert list(loader) == [[(0, 0)], [(1, 1)], [(2, 0)], [(3, 1)], [(4, 0)]]
    loader.load_state_dict({"length": 5, "seed": 0, "epoch": 0, "batch": 1})
    assert list(loader) == [[(1, 0)], [(2, 1)], [(3, 0)], [(4, 1)]]


def test_the_order_holds_when_later_batches_are_ready_first(build_it, use_it):
    """Batch 0 waits until batches 1 and 3, of the other worker, are done: no answer is out of order, or waits for it."""
    done = {1: threading.Event(), 3: threading.Event()}

    def collate(samples):
        (k,) = samples
        if k == 0:
            assert all(event.wait(5) for event in done.values())
        if k in done:
            done[k].set()
        return (k, threading.current_thread().name)

    loader = build_it.DataLoader(range(6), lambda epoch: [[i] for i in range(6)], collate, num_workers=2)
    order, names = zip(*loader, strict=True)
    assert order == (0, 1, 2, 3, 4, 5)
    assert names[0] == names[2] == names[4] != names[1] == names[3] == names[5]  # in turn
    assert list(use_it.DataLoader(range(6), lambda epoch: [[i] for i in range(6)], list)) == [[i] for i in order]


@pytest.mark.parametrize(("num_workers", "options", "ahead"), [(2, {"prefetch_factor": 3}, 6), (1, {}, 2)])
def test_how_far_workers_run_ahead(build_it, num_workers, options, ahead):
    loaded = []
    loader = build_it.DataLoader(
        range(40),
        lambda epoch: [[i] for i in range(40)],
        lambda samples: loaded.append(samples) or samples,
        num_workers=num_workers,
        **options,
    )
    batches = iter(loader)
    assert loaded == []
    for seen in (1, 2):
        next(batches)
        until = time.monotonic() + 5
        while len(loaded) < ahead + seen and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(0.005)
        assert len(loaded) == ahead + seen
    batches.close()


def test_without_workers_nothing_is_loaded_ahead(build_it, use_it):
    for twin in (build_it, use_it):
        loaded = []
        lazy = iter(twin.DataLoader(range(9), lambda epoch: [[0], [1]], lambda s, loaded=loaded: loaded.append(s) or s))
        assert next(lazy) == [0] and loaded == [[0]]


def test_threads_end_with_the_loop(build_it):
    before = set(threading.enumerate())  # those of other tests may be ending meanwhile
    loader = build_it.DataLoader(range(9), lambda epoch: [[i] for i in range(9)], num_workers=3)
    batches = iter(loader)
    next(batches)
    own = set(threading.enumerate()) - before
    assert len(own) >= 3
    batches.close()  # as a loop that is left does
    for thread in own:
        thread.join(5)
    assert not any(thread.is_alive() for thread in own)


def test_a_loop_that_is_left_waits_for_nobody(build_it):
    """Batch 1 is being made when the loop ends: it is not waited for, and those behind it are not made any more."""
    begun, go_on, finished, threads = threading.Event(), threading.Event(), [], set()

    def collate(samples):
        threads.add(threading.current_thread())
        if samples == [1]:
            begun.set()
            go_on.wait(5)
        finished.append(samples)
        return samples

    loader = build_it.DataLoader(range(9), lambda epoch: [[i] for i in range(9)], collate, num_workers=1)
    batches = iter(loader)
    assert next(batches) == [0] and begun.wait(5)
    batches.close()
    assert finished == [[0]]
    go_on.set()
    for thread in threads:
        thread.join(5)
    assert finished == [[0], [1]]


class Broken:
    """A dataset whose sample 3 cannot be read."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index == 3:
            raise ValueError("sample 3 is damaged")
        return index


def refuse(info):
    raise ValueError(f"worker {info.id} cannot begin")


def test_errors_reach_the_loop(build_it, use_it):
    for n_workers in (0, 2):
        loader = build_it.DataLoader(Broken(), lambda epoch: [[0, 1], [2, 3], [4, 5]], num_workers=n_workers)
        seen = []
        with pytest.raises(ValueError, match="sample 3 is damaged") as caught:
            seen.extend(loader)
        assert seen == [[0, 1]]
        if n_workers:
            assert any("worker 1" in note and "[2, 3]" in note for note in caught.value.__notes__)
    assert_same_error(lambda twin: list(twin.DataLoader(Broken(), lambda epoch: [[3]])), build_it, use_it)
    loader = build_it.DataLoader(range(2), lambda epoch: [[0]], num_workers=1, worker_init_fn=refuse)
    with pytest.raises(ValueError, match="worker 0 cannot begin"):
        list(loader)


@examples(25)
@given(n=st.integers(1, 9), batch_size=st.integers(1, 3), stop=st.integers(0, 14), num_workers=st.integers(0, 2))
def test_resuming(build_it, use_it, *, n, batch_size, stop, num_workers):
    """Stopped after any number of batches, saved as JSON and loaded elsewhere, the rest is what it would have been."""

    def loader(twin, n_workers):
        return twin.DataLoader(range(n), by_seed(twin, n, batch_size), num_workers=n_workers, seed=9)

    def forever(one):
        empty = 0
        while empty < 2:  # a state may stand at the end of an epoch
            empty += 1
            for batch in one:
                empty = 0
                yield batch

    for twin, n_workers in ((build_it, num_workers), (use_it, 0)):
        whole = list(itertools.islice(forever(loader(twin, 0)), stop + 8))
        first = loader(twin, n_workers)
        begun = forever(first)
        seen = list(itertools.islice(begun, stop))
        state = json.loads(json.dumps(first.state_dict()))
        begun.close()
        second = loader(twin, n_workers)
        second.load_state_dict(state)
        assert second.state_dict() == state
        rest = forever(second)
        assert seen + list(itertools.islice(rest, 8)) == whole
        rest.close()
    assert_equivalent(
        whole, list(itertools.islice(forever(loader(build_it, 0)), stop + 8)), names=("use_it", "build_it")
    )


def test_a_loop_that_was_left_is_continued(build_it, use_it):
    for twin in (build_it, use_it):
        loader = twin.DataLoader(range(6), lambda epoch: [[epoch, i] for i in range(4)])
        for batch in loader:
            if batch == [0, 1]:
                break
        assert loader.state_dict() == {"length": 6, "seed": 0, "epoch": 0, "batch": 2}
        assert list(loader) == [[0, 2], [0, 3]]
        assert list(loader) == [[1, 0], [1, 1], [1, 2], [1, 3]]
        assert len(loader) == 4


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_ends_with_its_loop(build_it, use_it, num_workers):
    """In the body of the last step it is still this epoch; resumed there, what is left of it is empty, once."""
    for twin, n_workers in ((build_it, num_workers), (use_it, 0)):
        loader, again = (
            twin.DataLoader(range(4), lambda epoch: [[epoch, 0], [epoch, 1]], list, num_workers=n_workers)
            for _ in range(2)
        )
        states = [(loader.state_dict()["epoch"], loader.state_dict()["batch"]) for _ in loader]
        assert states == [(0, 1), (0, 2)]
        ended_state = loader.state_dict()
        assert (ended_state["epoch"], ended_state["batch"]) == (1, 0)
        again.load_state_dict(ended_state | {"epoch": 0, "batch": 2})
        assert list(again) == [] and again.state_dict() == ended_state
        assert list(again) == [[1, 0], [1, 1]]


GOOD = {"length": 6, "seed": 0, "epoch": 1, "batch": 2}


@pytest.mark.parametrize(
    "state",
    [{}, GOOD | {"length": 7}, GOOD | {"seed": 1}, {"length": 6, "seed": 0, "epoch": 1}, GOOD | {"more": 1}],
    ids=str,
)
def test_states_of_other_loaders(build_it, use_it, state):
    assert_same_error(lambda twin: twin.DataLoader(range(6), lambda epoch: []).load_state_dict(state), build_it, use_it)


# ---- the tool


def run(capsys, *arguments):
    """Exit status, what was printed, and what was complained of."""
    status = tool.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.fixture
def on(build_it, monkeypatch, tmp_path):
    """The tool on the code under test; a folder, and a table of 300 visits of 40 patients in it."""
    monkeypatch.setattr(tool, "Generator", build_it.Generator)
    monkeypatch.setattr(tool, "split_lengths", build_it.split_lengths)
    assert build_it.split_lengths(3, [0.5, 0.5]) == [2, 1] and build_it.Generator(0).randperm(1) == [0]
    rows = [f'{i},p{i * i % 40},"note ""{i}""\nof two lines",{"ab"[i % 3 == 0]}\n' for i in range(300)]
    (tmp_path / "visits.csv").write_text(
        "visit,patient,note,label\n" + "".join(rows)[:-1], encoding="utf-8", newline=""
    )
    return tmp_path


def parts_of(folder):
    return {
        name: [record.values for record in tool.records(folder / f"{name}.csv")]
        for name in ("train", "validation", "test")
    }


def by_visit(parts):
    return {row["visit"]: name for name, rows in parts.items() for row in rows}


def test_the_tool_splits_by_key(on, capsys):
    data, folder = on / "visits.csv", on / "parts"
    assert run(capsys, data)[0] == 0 and not folder.exists()
    status, out, _ = run(capsys, data, "-o", folder, "--key", "patient")
    assert status == 0 and out.startswith("300 rows of visits.csv")
    parts = parts_of(folder)
    assert [
        row for rows in parts.values() for row in rows if row["note"] != f'note "{row["visit"]}"\nof two lines'
    ] == []
    assert sorted(by_visit(parts), key=int) == [str(i) for i in range(300)]
    assert all(
        [int(row["visit"]) for row in rows] == sorted(int(row["visit"]) for row in rows) for rows in parts.values()
    )
    patients = [{row["patient"] for row in rows} for rows in parts.values()]
    assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])
    files = [folder / f"{name}.csv" for name in parts]
    assert run(capsys, "--check", *files, "--key", "patient") == (0, "3 files, and nothing of one is in another\n", "")
    # a row that is added moves no other
    grown = on / "grown.csv"
    grown.write_text("visit,patient,note,label\n999,new,x,a\n" + data.read_text().partition("\n")[2] + "\n")
    assert run(capsys, grown, "-o", on / "grown", "--key", "patient")[0] == 0
    after = by_visit(parts_of(on / "grown"))
    assert after.pop("999") and after == by_visit(parts)
    # nothing is overwritten unasked
    before = files[0].read_bytes()
    status, _, error = run(capsys, data, "-o", folder, "--seed", "1")
    assert status == 2 and "--force" in error and files[0].read_bytes() == before
    assert run(capsys, data, "-o", folder, "--seed", "1", "--force")[0] == 0 and files[0].read_bytes() != before
    assert sorted(path.name for path in folder.iterdir()) == ["test.csv", "train.csv", "validation.csv"]


def test_the_hash_gives_the_fractions(on):
    """Of 4000 keys 3200 are expected in the first part, ± 4 standard deviations of 25."""
    plan = tool.make_plan(on / "visits.csv", tool.PARTS, [], [], 5)
    places = [plan.part(tool.Record(1, "", {"k": i}), on) for i in range(4000)]
    assert 3100 < places.count(0) < 3300 and 320 < places.count(1) < 480 and 320 < places.count(2) < 480


def test_the_tool_stratifies_and_shuffles(on, capsys):
    data, folder = on / "visits.csv", on / "parts"
    status, out, _ = run(capsys, data, "-o", folder, "--stratify", "label", "--shuffle", "--memory", "50")
    assert status == 0 and '"a" 160, "b" 80' in out
    parts = parts_of(folder)
    counts = [Counter(row["label"] for row in rows) for rows in parts.values()]
    assert counts == [{"a": 160, "b": 80}, {"a": 20, "b": 10}, {"a": 20, "b": 10}]
    visits = [int(row["visit"]) for row in parts["train"]]
    assert visits != sorted(visits) and len(set(visits)) == 240
    again = run(capsys, data, "-o", on / "again", "--stratify", "label", "--shuffle", "--memory", "50")
    assert again[0] == 0 and parts_of(on / "again") == parts
    status, _, error = run(capsys, data, "--stratify", "label", "--key", "patient")
    assert status == 2 and "has no class" in error


def test_a_shuffle_through_piles_can_give_any_order(on, build_it):
    """Three rows and two piles: all six orders come, about equally often (χ², 5 degrees of freedom, 99.9 %)."""
    file, times = on / "abc.csv", Counter()
    generator = build_it.Generator(0)
    for _ in range(96):
        file.write_text("x\na\nb\nc\n")
        tool.shuffle(file, 2, generator)
        times[file.read_text()] += 1
    assert len(times) == 6 and sum((t - 16) ** 2 / 16 for t in times.values()) < 20.5


def test_the_tool_finds_leaks(on, capsys):
    a, b, c = (on / name for name in ("a.csv", "b.csv", "c.csv"))
    a.write_text("id,x\n1,u\n2,v\n")
    b.write_text("x,id\nv,2\nw,3\nv,2\n")  # the same columns in another order
    c.write_text("id,y\n1,u\n")
    status, out, _ = run(capsys, "--check", a, b)
    assert status == 1
    assert out == f"{b}: 2 of 3 rows are in {a} as well (the first in line 2, there in line 3)\n"
    status, out, _ = run(capsys, "--check", a, c, "--key", "id")
    assert status == 1 and "1 of 1 rows have a key (id) that is in" in out
    assert run(capsys, "--check", a, c)[0] == 2


def test_json_lines(on, capsys):
    data = on / "x.jsonl"
    data.write_text("".join(json.dumps({"id": i, "group": i % 9}) + "\n\n" for i in range(60)), encoding="utf-8")
    status, _, _ = run(capsys, data, "-o", on / "j", "--parts", "a=0.5", "b=0.5", "--key", "group")
    assert status == 0
    rows = {name: [r.values for r in tool.records(on / "j" / f"{name}.jsonl")] for name in "ab"}
    assert len(rows["a"]) + len(rows["b"]) == 60
    assert not {r["group"] for r in rows["a"]} & {r["group"] for r in rows["b"]}
    assert run(capsys, "--check", on / "j" / "a.jsonl", on / "j" / "b.jsonl", "--key", "group")[0] == 0
    assert run(capsys, "--check", data, on / "visits.csv", "--key", "id")[0] == 2


def test_what_the_tool_cannot_use(on, capsys):
    bad = {
        "x.txt": "a\n1\n",
        "empty.csv": "",
        "header.csv": "a,b\n",
        "twice.csv": "a,a\n1,2\n",
        "ragged.csv": "a,b\n1,2\n3\n",
        "quote.csv": 'a\n"b\n',
        "bad.jsonl": '{"a": 1}\n{"a":\n',
        "list.jsonl": "[1]\n",
    }
    for name, text in bad.items():
        (on / name).write_text(text)
        status, _, error = run(capsys, on / name, "-o", on / "bad")
        assert status == 2 and error.startswith("split-data: ") and str(on / name) in error, name
        assert not list(on.glob("bad/*"))
    (on / "latin.csv").write_bytes("a\né\n".encode("latin-1"))
    data = on / "visits.csv"
    calls = [
        ([on / "latin.csv"], "UTF-8"),
        ([on / "nothing.csv"], "No such file"),
        ([], "name one file"),
        ([data, data], "name one file"),
        ([data, "--key", "who"], "has no 'who'"),
        ([data, "--stratify", "who"], "has no 'who'"),
        ([data, "--parts", "a=0.5", "b=0.6"], "add up to 1"),
        ([data, "--parts", "a=0.5", "a=0.5"], "different names"),
        ([data, "--parts", "../a=1.0"], "a name and a fraction"),
        ([data, "--memory", "0"], "--memory"),
        ([data, "-o", on / "bad", "--shuffle", "--memory", "1"], "--memory is too small"),
        ([data, "--seed", "-1"], "--seed"),
        ([data, "-o", on, "--parts", "visits=1.0", "--force"], "its own parts"),
        (["--check", data], "two files"),
        ([data, "--check", data, data], "two files"),
    ]
    for arguments, message in calls:
        status, _, error = run(capsys, *arguments)
        assert status == 2 and message in error and error.count("\n") == 1, arguments
    (on / "bom.csv").write_bytes("\ufeffa,b\r\n1,2\r\n3,4".encode())
    assert run(capsys, on / "bom.csv", "-o", on / "bom", "--parts", "all=1.0", "--key", "a")[0] == 0
    assert (on / "bom" / "all.csv").read_bytes() == b"a,b\r\n1,2\r\n3,4\n"


def test_the_tool_runs_on_the_interpreter_alone(build_it, tmp_path, monkeypatch):
    monkeypatch.setattr(ship_it, "EPOCHS", 1)
    monkeypatch.setattr(ship_it, "load_text", lambda name: "\n".join(f"name{i % 70}" for i in range(90)))
    results = ship_it.ship(build_it, tmp_path)
    assert results["split by key: leaks"] == 0
    (tmp_path / "x.csv").write_text("a\n1\n2\n")
    command = [sys.executable, "-I", "-S", "-B", "split-data.py", "x.csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("2 rows of x.csv")
