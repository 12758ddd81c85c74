"""The proof: penalties, thresholds, dropout given its mask, patience and clipping, against torch and closed forms."""

import copy
import importlib
import importlib.util
import itertools
import json
import math
import re
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.optim.sgd import sgd

from shared.proof import assert_equivalent, assert_same_error, examples, numerical_gradient
from shared.proof import strategies as some

NAN, INF = math.nan, math.inf
eighths = st.integers(-16, 16).map(lambda k: k / 8) | st.sampled_from([-1000.0, 1000.0])
numbers = eighths | some.floats()
strengths = st.sampled_from([0.0, 0.125, 1 / math.pi, 2.0])


@st.composite
def trees(draw, elements=numbers):
    """One to three parameters: numbers, vectors and matrices; sizes of 1 are among them."""
    kinds = st.one_of(
        elements,
        some.sizes(1, 4).flatmap(lambda n: some.vectors(n, elements)),
        st.tuples(some.sizes(1, 3), some.sizes(1, 3)).flatmap(lambda size: some.matrices(*size, elements)),
    )
    return draw(st.lists(kinds, min_size=1, max_size=3))


@st.composite
def drops(draw):
    """X, a mask, and a p that can draw it."""
    n, n_features = draw(some.sizes(1, 4)), draw(some.sizes(1, 4))
    p = draw(st.sampled_from([0.0, 0.1, 0.5, 0.75, 1.0]))
    keeps = st.sampled_from({0.0: [1], 1.0: [0]}.get(p, [0, 1]))
    return draw(some.matrices(n, n_features, numbers)), draw(some.matrices(n, n_features, keeps)), p


def against(twin, witness):
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


def flat(tree):
    """All numbers of a nested list."""
    return [number for branch in tree for number in flat(branch)] if isinstance(tree, list) else [tree]


def randoms(rng, n, n_features):
    return [[rng.gauss(0, 2) for _ in range(n_features)] for _ in range(n)]


# ---- penalties


@pytest.mark.parametrize("name", ["l1_penalty", "l2_penalty", "softshrink"])
@given(trees(), strengths)
@examples(15)
def test_penalties_and_softshrink(build_it, use_it, name, parameters, lambd):
    before, found = copy.deepcopy(parameters), []
    both = {"lambd": lambd, "one of the weights": abs(flat(parameters)[0])}
    for twin in (build_it, use_it):
        found.append({what: getattr(twin, name)(parameters, strength) for what, strength in both.items()})
        assert parameters == before, f"{twin.__name__} changed its argument"
    assert_equivalent(*found)


TREE = [[[3.0, -4.0], [0.0, 1.0]], -2.0, [0.5]]
BY_HAND = {  # function, arguments, what comes out
    "l2": ("l2_penalty", (TREE, 0.5), (7.5625, [[[1.5, -2.0], [0.0, 0.5]], -1.0, [0.25]])),
    "l1": ("l1_penalty", (TREE, 0.5), (5.25, [[[0.5, -0.5], [0.0, 0.5]], -0.5, [0.5]])),
    "softshrink": ("softshrink", (TREE, 1.0), [[[2.0, -3.0], [0.0, 0.0]], -1.0, [0.0]]),
    "softshrink, default 0.5": ("softshrink", (TREE,), [[[2.5, -3.5], [0.0, 0.5]], -1.5, [0.0]]),
    "l2, integers": ("l2_penalty", ([-3], 2), (9.0, [-6.0])),
    "l1, integers": ("l1_penalty", ([-3], 2), (6.0, [-2.0])),
    "softshrink, integers": ("softshrink", ([-3, 1], 1), [-2.0, 0.0]),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_penalties_by_hand(build_it, use_it, what):
    name, arguments, expected = BY_HAND[what]
    for twin in (build_it, use_it):
        assert_equivalent(getattr(twin, name)(*arguments), expected, **against(twin, "by hand"))


@pytest.mark.parametrize("name", ["l1_penalty", "l2_penalty"])
def test_gradients_of_penalties_against_finite_differences(build_it, use_it, name):
    parameters = randoms(Random(3), 3, 4)  # a continuous distribution: none lies at the kink 0
    for twin in (build_it, use_it):
        penalty = getattr(twin, name)
        witness = numerical_gradient(lambda w, penalty=penalty: penalty(w, 0.7)[0], parameters)
        # the truncation and rounding of finite differences
        assert_equivalent(
            penalty(parameters, 0.7)[1], witness, rtol=1e-6, atol=1e-8, **against(twin, "finite differences")
        )


@pytest.mark.parametrize("lambd", [0.0, 0.3, 2.0])
def test_weight_decay_is_the_gradient_of_l2(build_it, use_it, lambd):
    """100 steps: with the penalty's gradient; with torch's weight_decay; and from w* a / (a + λ), the closed form."""
    curvature, target, rate = [4.0, 1.0, 0.1], [1.0, -2.0, 3.0], 0.1
    for twin in (build_it, use_it):
        w, theirs, found = [0.0] * 3, torch.zeros(3, dtype=torch.float64), {}
        for step in range(1, 101):
            g = [a * (v - t) for a, v, t in zip(curvature, w, target, strict=True)]
            theirs_g = torch.tensor(curvature, dtype=torch.float64) * (
                theirs - torch.tensor(target, dtype=torch.float64)
            )
            settings = {"momentum": 0.0, "dampening": 0.0, "nesterov": False, "maximize": False, "foreach": False}
            sgd([theirs], [theirs_g], [None], lr=rate, weight_decay=lambd, **settings)
            penalty = twin.l2_penalty(w, lambd)[1]
            w = [v - rate * (a + b) for v, a, b in zip(w, g, penalty, strict=True)]
            if step in (1, 10, 100):
                found[step] = w
                assert_equivalent(w, theirs.tolist(), **against(twin, f"torch's SGD after step {step}"))
        expected = {
            step: [
                t * a / (a + lambd) * (1 - (1 - rate * (a + lambd)) ** step)
                for a, t in zip(curvature, target, strict=True)
            ]
            for step in found
        }
        assert_equivalent(found, expected, **against(twin, "the closed form"))


def test_a_step_of_l2_alone_shrinks_by_one_factor(build_it, use_it):
    rate, lambd = 0.1, 0.7
    [w] = randoms(Random(4), 1, 5)
    for twin in (build_it, use_it):
        stepped = [v - rate * g for v, g in zip(w, twin.l2_penalty(w, lambd)[1], strict=True)]
        assert_equivalent(stepped, [(1 - rate * lambd) * v for v in w], **against(twin, "(1 - lr λ) w"))


def test_softshrink_is_the_proximal_step(build_it, use_it):
    """x = softshrink(w) has the least ½ (x - w)² + λ |x| of all numbers; a grid around it holds none with less."""
    lambd = 0.7
    for twin in (build_it, use_it):
        for w in (-2.0, -0.7, -0.3, 0.0, 0.5, 0.7, 1.9):
            [x] = twin.softshrink([w], lambd)
            costs = {x + k / 50: (x + k / 50 - w) ** 2 / 2 + lambd * abs(x + k / 50) for k in range(-100, 101)}
            assert costs[x] == min(costs.values()), f"{twin.__name__}: {min(costs, key=costs.get)} is better than {x}"


def test_a_subgradient_step_jumps_over_zero(build_it, use_it):
    """L1 alone, from 1, with steps of 0.03: near 0 in the end, and not there."""
    for twin in (build_it, use_it):
        w = [1.0]
        for _ in range(100):
            w = [v - 0.03 * g for v, g in zip(w, twin.l1_penalty(w, 1.0)[1], strict=True)]
        assert 0 < abs(w[0]) < 0.03


def test_soft_thresholding_reaches_zero(build_it, use_it):
    """The same steps, by the threshold."""
    for twin in (build_it, use_it):
        w = [1.0]
        for _ in range(100):
            w = twin.softshrink(w, 0.03)
        assert w == [0.0]


# ---- dropout


@given(st.tuples(some.sizes(), some.sizes()), st.sampled_from([0.0, 0.2, 0.5, 1.0]), some.seeds())
@examples(15)
def test_dropout_mask(build_it, use_it, size, p, seed):
    n_samples, n_features = size
    found = []
    for twin in (build_it, use_it):
        rng = Random(seed)
        found.append({"mask": twin.dropout_mask(n_samples, n_features, p, rng), "the next draw": rng.random()})
        assert {type(keep) for keep in flat(found[-1]["mask"])} == {int}
    assert_equivalent(*found)
    rng = Random(seed)
    uniforms = [[rng.random() for _ in range(n_features)] for _ in range(n_samples)]
    assert found[0]["mask"] == [[int(u >= p) for u in row] for row in uniforms]


class Fixed:
    """A generator that draws one number, for ever."""

    def __init__(self, number):
        self.number = number

    def random(self):
        return self.number


def test_dropout_mask_at_the_edge(build_it, use_it):
    """random() may be 0.0: p = 0 must keep it. It is never 1.0: p = 1 drops all."""
    for twin in (build_it, use_it):
        assert twin.dropout_mask(1, 2, 0.0, Fixed(0.0)) == [[1, 1]]
        assert twin.dropout_mask(1, 1, 0.5, Fixed(0.5)) == [[1]]
        assert twin.dropout_mask(1, 2, 1.0, Fixed(1 - 2**-53)) == [[0, 0]]


def test_dropout_mask_drops_a_share_p(build_it, use_it):
    """10 000 entries with p = 0.3: the number kept is within 4 standard deviations of 7000 (chance 6 in 100 000)."""
    for twin in (build_it, use_it):
        kept = sum(map(sum, twin.dropout_mask(100, 100, 0.3, Random(1))))
        assert abs(kept - 7000) < 4 * math.sqrt(10_000 * 0.3 * 0.7)


@given(drops(), some.seeds())
@examples(20)
def test_dropout_given_the_mask(build_it, use_it, call, seed):
    X, mask, p = call
    upstream = randoms(Random(seed), len(X), len(X[0]))
    before, found = copy.deepcopy((X, mask, upstream)), []
    for twin in (build_it, use_it):
        found.append(
            {
                "output": twin.dropout(X, mask, p=p),
                "backward": twin.dropout_backward(upstream, mask, p=p),
                "evaluation": twin.dropout(X, mask, p=p, training=False),
                "evaluation, backward": twin.dropout_backward(upstream, mask, p=p, training=False),
            }
        )
        assert (X, mask, upstream) == before, f"{twin.__name__} changed its argument"
        assert found[-1]["evaluation"] == X
        assert found[-1]["evaluation, backward"] == upstream
    assert_equivalent(*found)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_dropout_is_that_of_torch(build_it, use_it, p):
    """torch draws its own mask. From the same seed, dropout of ones shows it; then output and gradient must agree."""
    rng = Random(7)
    X, upstream = randoms(rng, 6, 5), randoms(rng, 6, 5)
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(11)
    theirs = functional.dropout(x, p)
    theirs.backward(torch.tensor(upstream, dtype=torch.float64))
    torch.manual_seed(11)
    mask = (functional.dropout(torch.ones(6, 5, dtype=torch.float64), p) > 0).int().tolist()
    assert (0 < sum(flat(mask)) < 30) == (0 < p < 1)
    for twin in (build_it, use_it):
        found = {
            "output": twin.dropout(X, mask, p=p),
            "gradient": twin.dropout_backward(upstream, mask, p=p),
            "evaluation": twin.dropout(X, mask, p=p, training=False),
        }
        expected = {
            "output": theirs.tolist(),
            "gradient": x.grad.tolist(),
            "evaluation": functional.dropout(x, p, training=False).tolist(),
        }
        assert_equivalent(found, expected, **against(twin, "torch.nn.functional.dropout"))


def test_dropout_backward_against_finite_differences(build_it, use_it):
    rng = Random(5)
    X, upstream, mask = randoms(rng, 2, 3), randoms(rng, 2, 3), [[1, 0, 1], [0, 1, 1]]
    for twin in (build_it, use_it):

        def weighted(moved, twin=twin):
            out = twin.dropout(moved, mask, p=0.3)
            return sum(u * v for u, v in zip(flat(upstream), flat(out), strict=True))

        witness = numerical_gradient(weighted, X)
        # the truncation and rounding of finite differences
        assert_equivalent(
            twin.dropout_backward(upstream, mask, p=0.3),
            witness,
            rtol=1e-6,
            atol=1e-8,
            **against(twin, "finite differences"),
        )


def test_dropout_defaults(build_it, use_it):
    for twin in (build_it, use_it):
        found = [f([[3.0, -1.0]], [[1, 0]]) for f in (twin.dropout, twin.dropout_backward)]
        assert_equivalent(found, [[[6.0, 0.0]]] * 2, **against(twin, "p = 0.5, in training"))
        row = [1.0]
        out = twin.dropout([row], None, training=False)
        assert out == [[1.0]]
        assert out[0] is not row


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout_over_all_masks(build_it, use_it, p):
    """The mean output is x. The mean squared error of a linear unit is that without dropout plus a weighted L2."""
    x, w, y = [1.5, -2.0, 0.5, 3.0], [0.4, 1.0, -2.0, 0.1], 0.7
    for twin in (build_it, use_it):
        mean, squared = [0.0] * 4, 0.0
        for mask in itertools.product([0, 1], repeat=4):
            chance = math.prod(1 - p if keep else p for keep in mask)
            [out] = twin.dropout([x], [list(mask)], p=p)
            mean = [m + chance * v for m, v in zip(mean, out, strict=True)]
            squared += chance * (sum(a * b for a, b in zip(w, out, strict=True)) - y) ** 2
        error = sum(a * b for a, b in zip(w, x, strict=True)) - y
        penalty = p / (1 - p) * sum((a * b) ** 2 for a, b in zip(w, x, strict=True))
        found = {"mean output": mean, "mean squared error": squared}
        expected = {"mean output": x, "mean squared error": error**2 + penalty}
        assert_equivalent(found, expected, **against(twin, "derived"))


# ---- early stopping


def told(twin, losses, patience, min_delta):
    """Everything that can be seen after each step."""
    stopper, found = twin.EarlyStopping(patience, min_delta), {}
    for epoch, loss in enumerate(losses, 1):
        found[f"stop after epoch {epoch}"] = stopper.step(loss, [float(epoch)])
        found[f"seen after epoch {epoch}"] = {
            "best_loss": stopper.best_loss,
            "best_parameters": stopper.best_parameters,
            "best_epoch": stopper.best_epoch,
            "bad_epochs": stopper.bad_epochs,
        }
    return found


@given(
    st.lists(st.integers(-4, 4).map(float) | st.sampled_from([NAN, INF, -1000.0, 1000.0]), min_size=1, max_size=9),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.5, 1.0]),
)
@examples(25)
def test_early_stopping(build_it, use_it, losses, patience, min_delta):
    assert_equivalent(*(told(twin, losses, patience, min_delta) for twin in (build_it, use_it)))


def test_early_stopping_by_hand(build_it, use_it):
    """4, 3, 3.25, 2.5, 2.5, 2.75 with patience 2: an equal loss is no improvement."""
    for twin in (build_it, use_it):
        stopper = twin.EarlyStopping(2)
        assert (stopper.patience, stopper.min_delta) == (2, 0.0)
        assert (stopper.best_loss, stopper.best_parameters, stopper.best_epoch, stopper.bad_epochs) == (INF, None, 0, 0)
        weights = [[0.0]]
        said = []
        for loss in (4.0, 3.0, 3.25, 2.5, 2.5, 2.75):
            weights[0][0] += 1.0
            said.append(stopper.step(loss, weights))
        assert said == [False, False, False, False, False, True]
        assert (stopper.best_loss, stopper.best_epoch, stopper.bad_epochs) == (2.5, 4, 2)
        assert stopper.best_parameters == [[4.0]], "keep a copy: the weights that came are changed by training"
        assert stopper.step(9.0, weights) is True
        assert stopper.step(1.0, weights) is False, "better again: the count starts anew"


def test_early_stopping_with_min_delta(build_it, use_it):
    """Better by exactly min_delta is not enough; and NaN is no improvement, not even as the first."""
    for twin in (build_it, use_it):
        stopper = twin.EarlyStopping(patience=1, min_delta=0.5)
        said = [stopper.step(loss, loss) for loss in (NAN, 2.0, 1.5, 1.25, INF)]
        assert said == [True, False, True, False, True]
        assert (stopper.best_loss, stopper.best_parameters, stopper.best_epoch) == (1.25, 1.25, 4)


# ---- clipping

any_numbers = numbers | st.sampled_from([NAN, INF, -INF, 1e200])
thresholds = st.sampled_from([0.125, 1.0, 3.7, 1e6, INF])


@given(trees(any_numbers), thresholds, st.sampled_from([1, 1.0, 2, 2.0, INF]))
@examples(40)
def test_clipping_by_norm(build_it, use_it, gradients, threshold, norm_type):
    found = []
    for twin in (build_it, use_it):
        clipped = copy.deepcopy(gradients)
        norm = twin.clip_grad_norm_(clipped, threshold, norm_type)
        assert isinstance(norm, float)
        found.append({"norm": norm, "clipped": clipped})
    assert_equivalent(*found)


@given(trees(any_numbers), thresholds)
@examples(25)
def test_clipping_by_value(build_it, use_it, gradients, threshold):
    found = []
    for twin in (build_it, use_it):
        clipped = copy.deepcopy(gradients)
        found.append({"returned": twin.clip_grad_value_(clipped, threshold), "clipped": clipped})
    assert_equivalent(*found)


CLIPPED = {  # gradients, max_norm, norm_type, norm, after
    "2": ([[3.0, 0.0], -4.0], 1.0, 2.0, 5.0, [[3 / 5.000001, 0.0], -4 / 5.000001]),
    "1": ([[3.0, 0.0], -4.0], 3.5, 1.0, 7.0, [[10.5 / 7.000001, 0.0], -14 / 7.000001]),
    "inf": ([[3.0, 0.0], -4.0], 1.0, INF, 4.0, [[3 / 4.000001, 0.0], -4 / 4.000001]),
    "below: as it was": ([[3.0, 0.0], -4.0], 6.0, 2.0, 5.0, [[3.0, 0.0], -4.0]),
    "at the threshold the 1e-6 shows": ([[3.0, 0.0], -4.0], 5.0, 2.0, 5.0, [[15 / 5.000001, 0.0], -20 / 5.000001]),
    "all zero": ([0.0, [0.0]], 1.0, 2.0, 0.0, [0.0, [0.0]]),
    "tiny": ([1e-7], 1e-6, 2.0, 1e-7, [1e-6 / 1.1e-6 * 1e-7]),
    "integers": ([3, 4], 1, 2, 5.0, [3 / 5.000001, 4 / 5.000001]),
    "only looking": ([3.0, 4.0], INF, 2.0, 5.0, [3.0, 4.0]),
    "infinite": ([INF, 3.0, -INF], 1.0, 2.0, INF, [NAN, 0.0, NAN]),
    "infinite, only looking": ([INF, 3.0], INF, 2.0, INF, [NAN, NAN]),
    "NaN": ([3.0, [NAN]], 1.0, 2.0, NAN, [NAN, [NAN]]),
    "NaN, largest": ([5.0, NAN, 3.0], 1.0, INF, NAN, [NAN, NAN, NAN]),
    "a square that overflows": ([1e200, 3.0], 1.0, 2.0, INF, [0.0, 0.0]),
}


@pytest.mark.parametrize("what", CLIPPED)
def test_clip_grad_norm_by_hand(build_it, use_it, what):
    gradients, max_norm, norm_type, norm, after = CLIPPED[what]
    for twin in (build_it, use_it):
        given_to = copy.deepcopy(gradients)
        found = twin.clip_grad_norm_(given_to, max_norm, norm_type), given_to
        assert_equivalent(found, (norm, after), **against(twin, "by hand"))
        if norm_type == 2:
            given_to = copy.deepcopy(gradients)
            assert_equivalent((twin.clip_grad_norm_(given_to, max_norm), given_to), found, **against(twin, "norm 2"))


@given(trees(some.floats()), st.sampled_from([1, 2, INF]))
@examples(15)
def test_clipping_keeps_the_direction(build_it, use_it, gradients, norm_type):
    """Every number has one factor; the new norm is below the threshold, and within 1e-6 of it where it bit."""
    for twin in (build_it, use_it):
        clipped = copy.deepcopy(gradients)
        norm = twin.clip_grad_norm_(clipped, 0.5, norm_type)
        factor = min(0.5 / (norm + 1e-6), 1.0)
        assert_equivalent(
            flat(clipped), [factor * g for g in flat(gradients)], **against(twin, "one factor for all gradients")
        )
        if norm > 0.5:
            again = twin.clip_grad_norm_(copy.deepcopy(clipped), INF, norm_type)
            assert 0.5 - 1e-6 <= again < 0.5


def test_clip_grad_value_by_hand(build_it, use_it):
    for twin in (build_it, use_it):
        gradients = [[3.0, -0.25, NAN, INF], -4.0, 0.5, [[-INF, -0.5]], 2]
        twin.clip_grad_value_(gradients, 0.5)
        expected = [[0.5, -0.25, NAN, 0.5], -0.5, 0.5, [[-0.5, -0.5]], 0.5]
        assert_equivalent(gradients, expected, **against(twin, "by hand"))


@pytest.mark.parametrize(("name", "threshold"), [("clip_grad_norm_", 2.0), ("clip_grad_value_", 0.3)])
def test_clipping_is_that_of_torch(build_it, use_it, name, threshold):
    """The same parameters through torch itself, .grad and all, with random gradients of three shapes."""
    rng = Random(2)
    gradients = [randoms(rng, 2, 3), randoms(rng, 1, 4)[0], rng.gauss(0, 9)]
    parameters = [torch.zeros_like(torch.tensor(g, dtype=torch.float64)) for g in gradients]
    for parameter, g in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(g, dtype=torch.float64)
    returned = getattr(torch.nn.utils, name)(parameters, threshold)
    expected = returned if returned is None else returned.item(), [p.grad.tolist() for p in parameters]
    for twin in (build_it, use_it):
        mine = copy.deepcopy(gradients)
        found = getattr(twin, name)(mine, threshold), mine
        assert_equivalent(found, expected, **against(twin, "torch.nn.utils"))


# ---- errors

BAD_TREES = {
    "no parameter": [],
    "no list": 3.0,
    "a tuple": (1.0, 2.0),
    "an empty list": [[1.0], []],
    "an empty list inside": [[[], []]],
    "ragged": [[[1.0, 2.0], [3.0]]],
    "a number beside a list": [[1.0, [2.0]]],
    "no number": ["a"],
    "None": [None],
}


@pytest.mark.parametrize("name", ["l2_penalty", "l1_penalty", "softshrink", "clip_grad_norm_", "clip_grad_value_"])
def test_what_is_no_list_of_parameters(build_it, use_it, name):
    for tree in BAD_TREES.values():
        assert_same_error(lambda twin, tree=tree: getattr(twin, name)(tree, 1.0), build_it, use_it)


ERRORS = {
    "l2: NaN": lambda twin: twin.l2_penalty([1.0, NAN], 1.0),
    "l1: inf": lambda twin: twin.l1_penalty([[INF]], 1.0),
    "softshrink: -inf": lambda twin: twin.softshrink([[-INF]], 1.0),
    "l2: λ below 0": lambda twin: twin.l2_penalty([1.0], -0.1),
    "l1: λ below 0": lambda twin: twin.l1_penalty([1.0], -0.1),
    "l1: λ infinite": lambda twin: twin.l1_penalty([0.0], INF),
    "l2: λ NaN": lambda twin: twin.l2_penalty([0.0], NAN),
    "softshrink: λ below 0": lambda twin: twin.softshrink([1.0], -0.1),
    "softshrink: λ infinite": lambda twin: twin.softshrink([1.0], INF),
    "mask: no row": lambda twin: twin.dropout_mask(0, 1, 0.5, Random(0)),
    "mask: no column": lambda twin: twin.dropout_mask(1, 0, 0.5, Random(0)),
    "mask: p below 0": lambda twin: twin.dropout_mask(1, 1, -0.1, Random(0)),
    "mask: p above 1": lambda twin: twin.dropout_mask(1, 1, 1.1, Random(0)),
    "mask: p NaN": lambda twin: twin.dropout_mask(1, 1, NAN, Random(0)),
    "dropout: p above 1": lambda twin: twin.dropout([[1.0]], [[1]], p=1.5),
    "dropout: p below 0, in evaluation": lambda twin: twin.dropout([[1.0]], [[1]], p=-0.5, training=False),
    "dropout: no rows": lambda twin: twin.dropout([], [], p=0.5),
    "dropout: a vector": lambda twin: twin.dropout([1.0], [1], p=0.5),
    "dropout: three axes": lambda twin: twin.dropout([[[1.0]]], [[[1]]], p=0.5),
    "dropout: empty rows": lambda twin: twin.dropout([[]], [[]], p=0.5),
    "dropout: ragged": lambda twin: twin.dropout([[1.0], [1.0, 2.0]], [[1], [1, 1]], p=0.5),
    "dropout: NaN": lambda twin: twin.dropout([[NAN]], [[1]], p=0.5),
    "dropout: NaN, in evaluation": lambda twin: twin.dropout([[NAN]], [[1]], training=False),
    "dropout: no mask": lambda twin: twin.dropout([[1.0]], None, p=0.5),
    "dropout: a mask of one row, which would be broadcast": lambda twin: twin.dropout([[1.0], [2.0]], [[1]]),
    "dropout: a mask of one column": lambda twin: twin.dropout([[1.0, 2.0]], [[1]]),
    "dropout: a mask of vectors": lambda twin: twin.dropout([[1.0]], [1]),
    "dropout: a mask of matrices": lambda twin: twin.dropout([[1.0]], [[[1]]]),
    "dropout: a 2 in the mask": lambda twin: twin.dropout([[1.0]], [[2]]),
    "dropout: a share in the mask": lambda twin: twin.dropout([[1.0]], [[0.5]]),
    "dropout: p = 0 drops nothing": lambda twin: twin.dropout([[1.0, 2.0]], [[1, 0]], p=0.0),
    "dropout: p = 1 keeps nothing": lambda twin: twin.dropout([[1.0, 2.0]], [[1, 0]], p=1.0),
    "backward: a mask of one row": lambda twin: twin.dropout_backward([[1.0], [2.0]], [[1]]),
    "backward: p above 1": lambda twin: twin.dropout_backward([[1.0]], [[1]], p=2.0),
    "backward: inf": lambda twin: twin.dropout_backward([[INF]], [[1]]),
    "backward: p = 1 keeps nothing": lambda twin: twin.dropout_backward([[1.0]], [[1]], p=1.0),
    "stopping: no patience": lambda twin: twin.EarlyStopping(0),
    "stopping: patience is no whole number": lambda twin: twin.EarlyStopping(2.5),
    "stopping: min_delta below 0": lambda twin: twin.EarlyStopping(2, -0.1),
    "stopping: min_delta infinite": lambda twin: twin.EarlyStopping(2, INF),
    "stopping: min_delta NaN": lambda twin: twin.EarlyStopping(2, NAN),
    "norm: a threshold of 0": lambda twin: twin.clip_grad_norm_([1.0], 0.0),
    "norm: a threshold below 0": lambda twin: twin.clip_grad_norm_([1.0], -1.0),
    "norm: a threshold NaN": lambda twin: twin.clip_grad_norm_([1.0], NAN),
    "norm: 3": lambda twin: twin.clip_grad_norm_([1.0], 1.0, 3.0),
    "norm: 0": lambda twin: twin.clip_grad_norm_([1.0], 1.0, 0),
    "norm: -inf": lambda twin: twin.clip_grad_norm_([1.0], 1.0, -INF),
    "norm: infinite": lambda twin: twin.clip_grad_norm_([INF, 1.0], 1.0, 2.0, True),
    "norm: NaN": lambda twin: twin.clip_grad_norm_([NAN, 1.0], 1.0, error_if_nonfinite=True),
    "norm: NaN, largest": lambda twin: twin.clip_grad_norm_([1.0, NAN], 1.0, INF, error_if_nonfinite=True),
    "value: a threshold of 0": lambda twin: twin.clip_grad_value_([1.0], 0.0),
    "value: a threshold NaN": lambda twin: twin.clip_grad_value_([1.0], NAN),
}


@pytest.mark.parametrize("what", ERRORS)
def test_errors(build_it, use_it, what):
    assert_same_error(ERRORS[what], build_it, use_it)


def test_refused_gradients_are_left_as_they_were(build_it, use_it):
    for twin in (build_it, use_it):
        gradients = [[INF, 2.0]]
        with pytest.raises(ValueError, match="finite"):
            twin.clip_grad_norm_(gradients, 1.0, error_if_nonfinite=True)
        assert gradients == [[INF, 2.0]]
        assert twin.clip_grad_norm_([[3.0], 4.0], 1.0, error_if_nonfinite=True) == pytest.approx(5.0, rel=1e-15)


# ---- what ships


@pytest.fixture(scope="module")
def report(build_it, tmp_path_factory):
    """The program that ships, imported: its main() runs in this process."""
    ship_it = importlib.import_module(build_it.__name__.rpartition(".")[0] + ".ship_it")
    file = tmp_path_factory.mktemp("shipped") / "overfit_report.py"
    file.write_text(ship_it.one_file(ship_it.HERE / "build_it.py", ship_it.HERE / "tool.py"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("shipped_report", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LOG = "epoch,train_loss,val_loss,grad_norm\n" + "".join(
    f"{epoch},{train},{validation},{norm}\n"
    for epoch, (train, validation, norm) in enumerate(
        [(4, 4, 8), (3, 2.5, 1), (2.5, 3, 2), (2, 2, 4), (1, 2.25, 3), (0.5, 3, 2), (0.25, 4, 1), (0.125, 4, 1)], 1
    )
)


def said_by(report, tmp_path, capsys, text, *options):
    file = tmp_path / "log.csv"
    file.write_text(text, encoding="utf-8")
    assert report.main([str(file), *options]) == 0
    return capsys.readouterr().out


def test_the_report_by_hand(build_it, report, tmp_path, capsys):
    options = ["--patience", "1", "2", "9", "--bite", "0.25"]
    found = json.loads(said_by(report, tmp_path, capsys, LOG, *options, "--json"))
    run = found["run"]
    assert (run["best_epoch"], run["starts_after_epoch"], run["overfits"], run["diverges"]) == (4, 4, True, False)
    assert (run["gap_at_best"], run["gap_at_end"]) == (0.0, 3.875)
    kept = [(r["stops_after_epoch"], r["epochs_saved"], r["best_epoch"], r["cost"]) for r in found["patience"]]
    assert kept == [(3, 5, 2, 0.25), (6, 2, 4, 0.0), (None, 0, 4, 0.0)]
    clip = found["clipping"]
    assert [row["norm"] for row in clip["percentiles"]] == [2, 3, 8, 8, 8, 8]
    assert (clip["suggested_threshold"], clip["bites"], clip["not_finite_in_epochs"]) == (3, 0.25, [])
    text = said_by(report, tmp_path, capsys, LOG, *options)
    for line in (r"OVERFITS after epoch 4", r"^ +1 +3 +5 +2 +2\.5 +25\.0%$", r"^ +9 +never +0 +4 +2 +0\.0%$"):
        assert re.search(line, text, re.MULTILINE), text
    stopper = build_it.EarlyStopping(1)
    assert [stopper.step(loss, None) for loss in (4, 2.5, 3)] == [False, False, True]


JUDGED = {
    "still falling": ("t", "val_loss\n4,4\n3,3\n2,2\n", "no overfitting seen"),
    "within the tolerance": ("t", "val_loss\n4,4\n3,100\n2,100.5\n1,4.03\n", "no overfitting seen"),
    "beyond the tolerance": ("t", "val_loss\n4,4\n3,4\n2,4\n1,4.05\n", "OVERFITS after epoch 1"),
    "training rises as well": ("t", "val_loss\n2,2\n3,3\n4,4\n", "GETS WORSE after epoch 1"),
    "ended in NaN": ("t", "val_loss\n2,2\n1,nan\nnan,nan\n", "GETS WORSE after epoch 1"),
    "a norm of NaN": ("t,grad_norm", "val_loss\n2,1,2\n1,nan,1\n1,2,0.5\n", r"in epochs \[2\]"),
    "a loss of 0, so no share": ("t", "val_loss\n2,1\n1,0\n1,0\n", r" 0      -$"),
}


@pytest.mark.parametrize("what", JUDGED)
def test_the_report_judges(build_it, report, tmp_path, capsys, what):
    names, rows, expected = JUDGED[what]
    said = said_by(report, tmp_path, capsys, f"{names},{rows}", "--train", "t")
    assert re.search(expected, said, re.MULTILINE), said
    assert callable(build_it.EarlyStopping)


def test_the_report_writes_json_that_others_read(build_it, report, tmp_path, capsys):
    """JSON has neither NaN nor Infinity."""
    text = "loss,val_loss,grad_norm\n2,nan,2\n1,1,inf\nnan,inf,1\n"
    said = said_by(report, tmp_path, capsys, text, "--json", "--patience", "1")
    assert not re.search("NaN|Infinity", said)
    found = json.loads(said)
    assert (found["run"]["best_epoch"], found["run"]["last_training_loss"]) == (2, None)
    assert found["patience"] == [
        {"patience": 1, "stops_after_epoch": 1, "epochs_saved": 2, "best_epoch": 0, "best_loss": None, "cost": None}
    ]
    assert found["clipping"]["not_finite_in_epochs"] == [2]
    assert build_it.EarlyStopping(1).step(NAN, None)


UNUSABLE = {
    "empty": ("", [], "the file is empty"),
    "no such column": ("a,b\n1,2\n2,3\n", [], "no column 'train_loss'"),
    "no column of that name": (LOG, ["--norm", "n"], "no column 'n'"),
    "not a number": ("train_loss,val_loss\n1,2\n1,x\n", [], "row 3, column 'val_loss': 'x'"),
    "a short row": ("train_loss,val_loss\n1,2\n1\n", [], "row 3 has 1 cells"),
    "one epoch": ("train_loss,val_loss\n1,2\n", [], "two epochs or more, got 1"),
    "never finite": ("train_loss,val_loss\n1,nan\n1,inf\n", [], "never finite"),
    "no norm is finite": ("train_loss,val_loss,grad_norm\n1,1,nan\n1,1,inf\n", [], "gradient norm is never finite"),
    "patience": (LOG, ["--patience", "0"], "patience must be"),
    "min_delta": (LOG, ["--min-delta", "-1"], "min_delta must be"),
    "tolerance": (LOG, ["--tolerance", "-1"], "--tolerance must be"),
    "bite": (LOG, ["--bite", "1"], "--bite must be"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_the_report_refuses(build_it, report, tmp_path, capsys, what):
    text, options, expected = UNUSABLE[what]
    file = tmp_path / "log.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        report.main([str(file), *options])
    assert stopped.value.code == 2
    assert expected in capsys.readouterr().err
    assert callable(build_it.EarlyStopping)
