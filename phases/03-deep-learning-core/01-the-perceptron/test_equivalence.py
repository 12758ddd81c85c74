"""The proof: scores, every update, every epoch and every mistake, against scikit-learn; and how many mistakes can be."""

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import permutations
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from phases.deep_learning_core.the_perceptron import tool
from sklearn import linear_model

from shared.data import load
from shared.proof import assert_equivalent, assert_same_error, examples
from shared.proof import strategies as some
from shared.ship.one_file import one_file

HERE = Path(__file__).parent

INPUTS = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
AND, OR, XOR = [0, 0, 0, 1], [0, 1, 1, 1], [0, 1, 1, 0]

# Sums and products of these are exact in float64, so both twins must fall on the same side of every tie.
eighths = st.integers(-16, 16).map(lambda k: k / 8)
rates = st.sampled_from([0.125, 0.5, 1.0, 4.0])


@st.composite
def perceptrons(draw, n_features: int):
    """(weights, bias)."""
    return draw(some.vectors(n_features, eighths)), draw(eighths)


@st.composite
def samples(draw, n_classes: int = 2, max_size: int = 7):
    """X and y, with each class at least once."""
    n = draw(some.sizes(n_classes, max_size))
    y = draw(st.permutations([*range(n_classes), *draw(some.labels(n - n_classes, n_classes))]))
    return draw(some.matrices(n, draw(some.sizes(1, 3)), eighths)), y


@st.composite
def separable_samples(draw):
    """X, y, and a separator (weights, bias) whose rows are all strictly on their side."""
    n_features = draw(some.sizes(1, 3))
    weights, bias = draw(perceptrons(n_features))
    X = draw(some.matrices(draw(some.sizes(2, 6)), n_features, eighths))
    exact = [bias + sum(w * v for w, v in zip(weights, x, strict=True)) for x in X]
    assume(all(exact) and min(exact) < 0 < max(exact))
    return X, [int(score > 0) for score in exact], (weights, bias)


def plain(training) -> dict:
    """In the order in which it happened, so that a failure names the last epoch that was right."""
    found = {"epochs": len(training.mistakes)}
    for epoch, (perceptron, mistakes) in enumerate(zip(training.perceptrons, training.mistakes, strict=True), 1):
        found[f"mistakes in epoch {epoch}"] = mistakes
        found[f"after epoch {epoch}"] = perceptron
    return found


def against(twin: ModuleType, witness: str) -> dict:
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


# ---- values


@given(st.data())
@examples(20)
def test_scores_and_predict(build_it, use_it, data):
    n_features = data.draw(some.sizes(1, 4))
    weights, bias = data.draw(perceptrons(n_features))
    X = data.draw(some.matrices(data.draw(some.sizes()), n_features, eighths | st.sampled_from([-1000.0, 1000.0])))
    found = []
    for twin in (build_it, use_it):
        perceptron = twin.Perceptron(weights, bias)
        found.append({"scores": twin.scores(perceptron, X), "predict": twin.predict(perceptron, X)})
    assert_equivalent(*found)


def test_predict_says_1_only_above_the_line(build_it, use_it):
    for twin in (build_it, use_it):
        perceptron = twin.Perceptron([2.0, -1.0], -3.0)
        on, above, below = [2.0, 1.0], [2.0, 0.875], [2.0, 1.125]
        assert_equivalent(twin.scores(perceptron, [on, above, below]), [0.0, 0.125, -0.125], **against(twin, "by hand"))
        assert twin.predict(perceptron, [on, above, below]) == [0, 1, 0]
        assert all(type(answer) is int for answer in twin.predict(perceptron, [on, above]))


@given(st.data())
@examples(20)
def test_update(build_it, use_it, data):
    n_features = data.draw(some.sizes(1, 3))
    before = data.draw(perceptrons(n_features))
    x, label, rate = data.draw(some.vectors(n_features, eighths)), data.draw(st.integers(0, 1)), data.draw(rates)
    built, used = (twin.update(twin.Perceptron(*before), x, label, learning_rate=rate) for twin in (build_it, use_it))
    assert_equivalent(built, used)


RULE = {  # (w, b), x, label, rate, (w, b) after
    "wrong side, t = 1": (([1.0, -2.0], 0.5), [1.0, 2.0], 1, 0.5, ([1.5, -1.0], 1.0)),
    "wrong side, t = -1": (([1.0, 2.0], 0.5), [1.0, 2.0], 0, 0.5, ([0.5, 1.0], 0.0)),
    "right side, t = 1": (([1.0, 2.0], 0.5), [1.0, 2.0], 1, 0.5, ([1.0, 2.0], 0.5)),
    "right side, t = -1": (([1.0, -2.0], 0.5), [1.0, 2.0], 0, 0.5, ([1.0, -2.0], 0.5)),
    "on the line, t = 1": (([1.0, -1.0], 1.0), [1.0, 2.0], 1, 1.0, ([2.0, 1.0], 2.0)),
    "on the line, t = -1, which predict has right": (([1.0, -1.0], 1.0), [1.0, 2.0], 0, 1.0, ([0.0, -3.0], 0.0)),
    "all zero": (([0.0, 0.0], 0.0), [0.0, 0.0], 0, 2.0, ([0.0, 0.0], -2.0)),
    "True is 1": (([0.0], 0.0), [3.0], True, 1.0, ([3.0], 1.0)),
    "integers": (([0], 0), [3], 1, 1, ([3.0], 1.0)),
}


@pytest.mark.parametrize("what", RULE)
def test_the_rule_by_hand(build_it, use_it, what):
    before, x, label, rate, after = RULE[what]
    for twin in (build_it, use_it):
        perceptron = twin.Perceptron(*before)
        found = twin.update(perceptron, x, label, learning_rate=rate)
        assert_equivalent(found, twin.Perceptron(*after), **against(twin, "by hand"))
        assert perceptron == twin.Perceptron(*before), "update changed the perceptron that it was given"
        epoch = twin.train_epoch(perceptron, [x], [label], learning_rate=rate)
        assert_equivalent(epoch, (twin.Perceptron(*after), int(after != before)), **against(twin, "by hand"))


def test_the_default_learning_rate_is_1(build_it, use_it):
    for twin in (build_it, use_it):
        zero, one = twin.Perceptron([0.0], 0.0), twin.Perceptron([2.0], 1.0)
        assert_equivalent(twin.update(zero, [2.0], 1), one, **against(twin, "by hand"))
        assert_equivalent(twin.train_epoch(zero, [[2.0]], [1]), (one, 1), **against(twin, "by hand"))
        assert_equivalent(twin.fit([[2.0], [-2.0]], [1, 0]).perceptrons[0], one, **against(twin, "by hand"))
        fit_averaged = twin.fit_averaged([[2.0], [-2.0]], [1, 0], n_epochs=1)
        assert_equivalent(fit_averaged, one, **against(twin, "by hand"))
    rows, y = [[0.0], [1.0], [2.0]], [0, 1, 2]
    assert_equivalent(*(twin.fit_one_vs_rest(rows, y, n_epochs=5) for twin in (build_it, use_it)))


def test_a_move_lost_in_rounding_is_still_a_mistake(build_it):
    """In float64 2⁶⁰ - 1 is 2⁶⁰: nothing changes, and yet the epoch was not clean."""
    before = build_it.Perceptron([1.0], 2.0**60)
    after, mistakes = build_it.train_epoch(before, [[0.0]], [0])
    assert after == before
    assert mistakes == 1, "count mistakes, not changes: rounding swallowed this move, but the row is still wrong"


def test_values_are_frozen(build_it, use_it):
    for twin in (build_it, use_it):
        for value, name in ((twin.Perceptron([1.0], 0.0), "bias"), (twin.Training([], []), "mistakes")):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(value, name, 1)


# ---- trajectories


@given(st.data())
@examples(15)
def test_train_epoch_from_anywhere(build_it, use_it, data):
    X, y = data.draw(samples())
    start, rate = data.draw(perceptrons(len(X[0]))), data.draw(rates)
    found = []
    for twin in (build_it, use_it):
        perceptron, mistakes = twin.train_epoch(twin.Perceptron(*start), X, y, learning_rate=rate)
        found.append({"perceptron": perceptron, "mistakes": mistakes})
    assert_equivalent(*found)


@given(samples(), rates)
@examples(12)
def test_fit_every_epoch(build_it, use_it, data, rate):
    X, y = data
    before = [list(row) for row in X], list(y)
    built, used = (plain(twin.fit(X, y, learning_rate=rate, max_epochs=5)) for twin in (build_it, use_it))
    assert (X, y) == before, "fit changed its arguments"
    assert_equivalent(built, used)


@given(samples(), rates, some.sizes(1, 100))
@examples(20)
def test_fit_ends_where_one_call_of_scikit_learn_ends(build_it, data, rate, max_epochs):
    """An epoch without a mistake changes nothing, so scikit-learn's further epochs end at the same weights."""
    X, y = data
    perceptron = build_it.fit(X, y, learning_rate=rate, max_epochs=max_epochs).perceptrons[-1]
    estimator = linear_model.Perceptron(eta0=rate, shuffle=False, tol=None, max_iter=max_epochs).fit(X, y)
    [weights], [bias] = estimator.coef_, estimator.intercept_
    assert_equivalent(perceptron, build_it.Perceptron(weights.tolist(), bias), names=("build_it", "scikit-learn"))


@pytest.mark.parametrize("rows", [slice(30, 70), slice(80, 120)], ids=["separable", "not separable"])
def test_fit_real_data(build_it, use_it, rows):
    """Irises in centimetres, which floats only approximate: even so the twins take the same side every time."""
    X, y = load("iris").split()
    X, y = X[rows], [int(label == y[rows][0]) for label in y[rows]]
    assert_equivalent(*(plain(twin.fit(X, y, max_epochs=3)) for twin in (build_it, use_it)))


KNOWN = {  # by hand, or step by step with a pencil: mistakes in each epoch, and the last weights and bias
    "AND": (AND, [2, 3, 3, 2, 2, 3, 2, 1, 0], [3.0, 2.0], -4.0),
    "OR": (OR, [3, 1, 2, 2, 1, 0], [2.0, 2.0], -1.0),
    "XOR": (XOR, [4] * 9, [0.0, 0.0], 0.0),
}


@pytest.mark.parametrize("gate", KNOWN)
@pytest.mark.parametrize("rate", [1.0, 0.25])
def test_gates(build_it, use_it, gate, rate):
    y, mistakes, weights, bias = KNOWN[gate]
    for twin in (build_it, use_it):
        training = twin.fit(INPUTS, y, learning_rate=rate, max_epochs=9)
        assert training.mistakes == mistakes
        by_hand = twin.Perceptron([rate * w for w in weights], rate * bias)
        assert_equivalent(training.perceptrons[-1], by_hand, **against(twin, "by hand"))
        assert (twin.predict(training.perceptrons[-1], INPUTS) == y) == (gate != "XOR")


def test_fit_gives_up_after_a_thousand_epochs(build_it):
    assert len(build_it.fit(INPUTS, XOR).mistakes) == 1000
    assert build_it.fit(INPUTS, AND, max_epochs=1).mistakes == [2]
    assert build_it.fit(INPUTS, AND, max_epochs=8).mistakes[-1] == 1


# ---- how many mistakes: what Novikoff proved


@given(separable_samples(), rates)
@examples(20)
def test_novikoff(build_it, use_it, case, rate):
    X, y, separator = case
    bound = build_it.mistake_bound(build_it.Perceptron(*separator), X, y)
    assert_equivalent(bound, use_it.mistake_bound(use_it.Perceptron(*separator), X, y))
    training = build_it.fit(X, y, learning_rate=rate, max_epochs=int(bound) + 2)
    assert training.mistakes[-1] == 0, "the data are separable: there must be an end"
    assert sum(training.mistakes) <= bound
    assert build_it.predict(training.perceptrons[-1], X) == y


@given(separable_samples(), rates)
@examples(15)
def test_both_halves_of_the_proof(build_it, case, rate):
    """After k mistakes: u · v >= k η γ, and |v|² <= k η² R²."""
    X, y, (weights, bias) = case
    u, rows = np.array([*weights, bias]), np.column_stack([X, np.ones(len(X))])
    u = u / np.linalg.norm(u)
    margin, longest = min((2 * np.array(y) - 1) * (rows @ u)), np.linalg.norm(rows, axis=1).max()
    perceptron, k = build_it.Perceptron([0.0] * len(X[0]), 0.0), 0
    for _ in range(3):
        for x, label in zip(X, y, strict=True):
            after = build_it.update(perceptron, x, label, learning_rate=rate)
            k += after != perceptron
            perceptron = after
            v = np.array([*perceptron.weights, perceptron.bias])
            assert u @ v >= k * rate * margin * (1 - 1e-12)
            assert v @ v <= k * rate**2 * longest**2 * (1 + 1e-12)


def test_mistake_bound_by_hand(build_it, use_it):
    by_hand = {
        "OR, (2, 2), -1": (OR, [2.0, 2.0], -1.0, 27.0),
        "AND, (2, 2), -3": (AND, [2.0, 2.0], -3.0, 51.0),
        "AND, (1, 1), -1.5": (AND, [1.0, 1.0], -1.5, 51.0),
    }
    for twin in (build_it, use_it):
        for y, weights, bias, bound in by_hand.values():
            found = twin.mistake_bound(twin.Perceptron(weights, bias), INPUTS, y)
            assert_equivalent(found, bound, **against(twin, "by hand"))
        far = twin.mistake_bound(twin.Perceptron([1.0], 0.0), [[1000.0], [-0.125]], [1, 0])
        assert_equivalent(far, (1000.0**2 + 1) * 64, **against(twin, "by hand"))
        huge = twin.mistake_bound(twin.Perceptron([1.0], 0.0), [[1e200], [-1e200]], [1, 0])
        assert_equivalent(huge, 1.0, **against(twin, "by hand"))


@pytest.mark.parametrize("X", [[[1], [-1]], [[1, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]]], ids=["two", "four"])
def test_the_bound_can_be_reached(build_it, X):
    """With the constant, these n rows have one length and stand at right angles: n mistakes, and the bound is n."""
    n, y = len(X), [1, 0, 0, 1][: len(X)]
    signed = [[value if label else -value for value in [*x, 1]] for x, label in zip(X, y, strict=True)]
    *weights, bias = map(sum, zip(*signed, strict=True))
    assert_equivalent(
        build_it.mistake_bound(build_it.Perceptron(weights, bias), X, y), n, names=("build_it", "by hand")
    )
    assert build_it.fit(X, y).mistakes == [n, 0]


@given(samples(), rates)
@examples(15)
def test_the_learning_rate_only_scales(build_it, data, rate):
    X, y = data
    one, other = (build_it.fit(X, y, learning_rate=r, max_epochs=4) for r in (1.0, rate))
    assert one.mistakes == other.mistakes
    scaled = [build_it.Perceptron([rate * w for w in p.weights], rate * p.bias) for p in one.perceptrons]
    assert_equivalent(other.perceptrons, scaled, rtol=0.0, atol=0.0, names=("build_it", "scaled"))


# ---- XOR


@given(perceptrons(2))
@examples(20)
def test_no_perceptron_computes_xor(build_it, use_it, numbers):
    """The four inequalities: the scores of the ones and of the zeros have the same sum, w₁ + w₂ + 2b."""
    for twin in (build_it, use_it):
        perceptron = twin.Perceptron(*numbers)
        zero, one, other, both = twin.scores(perceptron, INPUTS)
        assert zero + both == one + other == sum(numbers[0]) + 2 * numbers[1]
        assert twin.predict(perceptron, INPUTS) != XOR


@pytest.mark.parametrize("rate", [1.0, 0.125])
def test_xor_comes_back_to_where_it_was(build_it, rate):
    """In every order of the rows the weights return after some epoch, so the search goes round for ever."""
    for order in permutations(range(4)):
        X, y = [INPUTS[i] for i in order], [XOR[i] for i in order]
        training = build_it.fit(X, y, learning_rate=rate, max_epochs=12)
        assert len(training.mistakes) == 12 and min(training.mistakes) > 0
        states = [(*p.weights, p.bias) for p in training.perceptrons]
        assert len(set(states)) < len(states)


def test_xor_with_a_product_as_third_feature(build_it, use_it):
    X = [[a, b, a * b] for a, b in INPUTS]
    for twin in (build_it, use_it):
        training = twin.fit(X, XOR, max_epochs=20)
        assert training.mistakes[-1] == 0 and twin.predict(training.perceptrons[-1], X) == XOR


# ---- averaged, and many classes


@given(samples(), rates, some.sizes(1, 30))
@examples(20)
def test_fit_averaged(build_it, use_it, data, rate, n_epochs):
    X, y = data
    built, used = (twin.fit_averaged(X, y, learning_rate=rate, n_epochs=n_epochs) for twin in (build_it, use_it))
    assert_equivalent(built, used)


@given(samples(), rates)
@examples(10)
def test_the_average_is_over_every_sample(build_it, data, rate):
    X, y = data
    perceptron, seen = build_it.Perceptron([0.0] * len(X[0]), 0.0), []
    for x, label in [*zip(X, y, strict=True)] * 2:
        perceptron = build_it.update(perceptron, x, label, learning_rate=rate)
        seen.append([*perceptron.weights, perceptron.bias])
    *weights, bias = (sum(column) / len(seen) for column in zip(*seen, strict=True))
    found = build_it.fit_averaged(X, y, learning_rate=rate, n_epochs=2)
    assert_equivalent(found, build_it.Perceptron(weights, bias), names=("build_it", "the mean of all updates"))


@given(st.integers(3, 4).flatmap(samples), rates, some.sizes(1, 30))
@examples(12)
def test_one_vs_rest(build_it, use_it, data, rate, n_epochs):
    X, y = data
    built, used = (twin.fit_one_vs_rest(X, y, learning_rate=rate, n_epochs=n_epochs) for twin in (build_it, use_it))
    assert_equivalent(built, used)
    assert_equivalent(build_it.predict_class(built, X), use_it.predict_class(used, X))
    for c, perceptron in enumerate(built):
        alone = build_it.fit(X, [int(label == c) for label in y], learning_rate=rate, max_epochs=n_epochs)
        assert_equivalent(perceptron, alone.perceptrons[-1], names=("one of many", "alone"))


@given(st.data())
@examples(20)
def test_predict_class(build_it, use_it, data):
    n_features, n_classes = data.draw(some.sizes(1, 3)), data.draw(some.sizes(2, 4))
    numbers = data.draw(st.lists(perceptrons(n_features), min_size=n_classes, max_size=n_classes))
    X = data.draw(some.matrices(data.draw(some.sizes()), n_features, eighths))
    built, used = (twin.predict_class([twin.Perceptron(*n) for n in numbers], X) for twin in (build_it, use_it))
    assert_equivalent(built, used)
    assert all(type(answer) is int for answer in built)


def test_predict_class_takes_the_first_of_equals(build_it, use_it):
    for twin in (build_it, use_it):
        down, up, again = (twin.Perceptron([w], 0.0) for w in (-1.0, 1.0, 1.0))
        assert twin.predict_class([down, up, again], [[1.0], [-1.0], [0.0]]) == [1, 0, 0]
        assert twin.predict_class([up, down], [[-5.0]]) == [1]


# ---- what is refused


def good(twin) -> SimpleNamespace:
    return SimpleNamespace(perceptron=twin.Perceptron([1.0, -1.0], 0.5), X=[[1.0, 2.0], [3.0, 4.0]], y=[0, 1])


BAD_ROWS = {
    "no row": [],
    "no feature": [[], []],
    "ragged": [[1.0, 2.0], [3.0]],
    "no matrix": [1.0, 2.0],
    "NaN": [[1.0, 2.0], [3.0, math.nan]],
    "infinite": [[1.0, 2.0], [-math.inf, 4.0]],
}
BAD_LABELS = {
    "too few": [0],
    "too many": [0, 1, 1],
    "a third class": [0, 2],
    "negative": [-1, 1],
    "a float": [0, 1.0],
    "a string": [0, "1"],
}
BAD_RATES = {"zero": 0.0, "negative": -1.0, "NaN": math.nan, "infinite": math.inf}
ON_ROWS = {
    "scores": lambda twin, X: twin.scores(good(twin).perceptron, X),
    "predict": lambda twin, X: twin.predict(good(twin).perceptron, X),
    "predict_class": lambda twin, X: twin.predict_class([good(twin).perceptron] * 3, X),
    "update": lambda twin, X: [twin.update(good(twin).perceptron, x, 1) for x in X or [[]]],
    "train_epoch": lambda twin, X: twin.train_epoch(good(twin).perceptron, X, [0, 1]),
    "fit": lambda twin, X: twin.fit(X, [0, 1]),
    "fit_averaged": lambda twin, X: twin.fit_averaged(X, [0, 1], n_epochs=1),
    "fit_one_vs_rest": lambda twin, X: twin.fit_one_vs_rest([*X, X[-1]] if X else X, [0, 1, 2], n_epochs=1),
    "mistake_bound": lambda twin, X: twin.mistake_bound(twin.Perceptron([1.0, 1.0], -4.0), X, [0, 1]),
}
ON_LABELS = {
    "train_epoch": lambda twin, y: twin.train_epoch(good(twin).perceptron, good(twin).X, y),
    "fit": lambda twin, y: twin.fit(good(twin).X, y),
    "fit_averaged": lambda twin, y: twin.fit_averaged(good(twin).X, y, n_epochs=1),
    "mistake_bound": lambda twin, y: twin.mistake_bound(twin.Perceptron([1.0, 1.0], -4.0), good(twin).X, y),
}
ON_RATES = {
    "update": lambda twin, rate: twin.update(good(twin).perceptron, [1.0, 2.0], 1, learning_rate=rate),
    "train_epoch": lambda twin, rate: twin.train_epoch(good(twin).perceptron, good(twin).X, [0, 1], learning_rate=rate),
    "fit": lambda twin, rate: twin.fit(good(twin).X, [0, 1], learning_rate=rate),
    "fit_averaged": lambda twin, rate: twin.fit_averaged(good(twin).X, [0, 1], learning_rate=rate, n_epochs=1),
    "fit_one_vs_rest": lambda twin, rate: twin.fit_one_vs_rest(
        [[1.0], [2.0], [3.0]], [0, 1, 2], learning_rate=rate, n_epochs=1
    ),
}
REFUSED = (
    {f"{f}, rows: {what}": (ON_ROWS[f], bad) for f in ON_ROWS for what, bad in BAD_ROWS.items()}
    | {f"{f}, labels: {what}": (ON_LABELS[f], bad) for f in ON_LABELS for what, bad in BAD_LABELS.items()}
    | {f"{f}, rate: {what}": (ON_RATES[f], bad) for f in ON_RATES for what, bad in BAD_RATES.items()}
    | {
        f"{f}, too {what}": (ON_ROWS[f], rows)
        for f in ("scores", "predict", "predict_class", "update", "train_epoch", "mistake_bound")
        for what, rows in {"narrow": [[1.0], [2.0]], "wide": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}.items()
    }
    | {
        f"{f}, only {y[0]}": (ON_LABELS[f], y)
        for f in ("fit", "fit_averaged", "mistake_bound")
        for y in ([0, 0], [1, 1])
    }
    | {
        "update, label 2": (lambda twin, label: twin.update(good(twin).perceptron, [1.0, 2.0], label), 2),
        "update, label 1.0": (lambda twin, label: twin.update(good(twin).perceptron, [1.0, 2.0], label), 1.0),
        "fit, one row": (lambda twin, X: twin.fit(X, [1]), [[1.0, 2.0]]),
        "fit_averaged, one row": (lambda twin, X: twin.fit_averaged(X, [0], n_epochs=1), [[1.0, 2.0]]),
        "fit, no epoch": (lambda twin, n: twin.fit(good(twin).X, [0, 1], max_epochs=n), 0),
        "fit_averaged, no epoch": (lambda twin, n: twin.fit_averaged(good(twin).X, [0, 1], n_epochs=n), 0),
        "fit_one_vs_rest, no epoch": (
            lambda twin, n: twin.fit_one_vs_rest([[1.0], [2.0], [3.0]], [0, 1, 2], n_epochs=n),
            0,
        ),
        "predict_class, one": (lambda twin, X: twin.predict_class([good(twin).perceptron], X), [[1.0, 2.0]]),
        "predict_class, none": (lambda twin, X: twin.predict_class([], X), [[1.0, 2.0]]),
        "a row on the line": (
            lambda twin, X: twin.mistake_bound(twin.Perceptron([1.0, 1.0], -3.0), X, [0, 1]),
            [[1.0, 2.0], [3.0, 4.0]],
        ),
        "a row beyond the line": (
            lambda twin, X: twin.mistake_bound(twin.Perceptron([1.0, 1.0], -2.0), X, [0, 1]),
            [[1.0, 2.0], [3.0, 4.0]],
        ),
        "the wrong way round": (
            lambda twin, X: twin.mistake_bound(twin.Perceptron([1.0, 1.0], -4.0), X, [1, 0]),
            [[1.0, 2.0], [3.0, 4.0]],
        ),
        "no line at all": (
            lambda twin, X: twin.mistake_bound(twin.Perceptron([0.0, 0.0], 0.0), X, [0, 1]),
            [[1.0, 2.0], [3.0, 4.0]],
        ),
    }
    | {
        f"fit_one_vs_rest, {what}": (
            lambda twin, y: twin.fit_one_vs_rest([[1.0], [2.0], [3.0], [4.0]], y, n_epochs=1),
            y,
        )
        for what, y in {
            "two classes": [0, 1, 1, 0],
            "one class": [0, 0, 0, 0],
            "class 1 missing": [0, 2, 2, 0],
            "class 2 of four missing": [0, 1, 3, 0],
            "a negative class": [0, 1, 2, -1],
            "a float": [0, 1, 2, 1.0],
            "too few labels": [0, 1, 2],
            "too many labels": [0, 1, 2, 2, 2],
        }.items()
    }
)


@pytest.mark.parametrize("what", REFUSED)
def test_refused(build_it, use_it, what):
    call, bad = REFUSED[what]
    assert_same_error(lambda twin: call(twin, bad), build_it, use_it)
    with pytest.raises(ValueError) as refused:
        call(build_it, bad)
    assert "zip()" not in str(refused.value), "say what was expected and what came: zip() speaks of its own arguments"


def test_overflow_is_refused(build_it, use_it):
    X, y = [[1e308], [-1e308]], [1, 0]
    zero = [0.0]
    for call in (
        lambda twin: twin.update(twin.Perceptron(zero, 0.0), X[0], 1, learning_rate=10.0),
        lambda twin: twin.train_epoch(twin.Perceptron(zero, 0.0), X, y, learning_rate=10.0),
        lambda twin: twin.fit(X, y, learning_rate=10.0),
        lambda twin: twin.fit_averaged(X, y, learning_rate=10.0, n_epochs=1),
        lambda twin: twin.fit_averaged(X, y, n_epochs=1),
        lambda twin: twin.mistake_bound(twin.Perceptron([1.0], 0.0), [[1e100], [-1e-100]], y),
        lambda twin: twin.fit_one_vs_rest([*X, [0.0]], [0, 1, 2], learning_rate=10.0, n_epochs=2),
    ):
        assert_same_error(call, build_it, use_it)


def test_messages_say_where(build_it):
    perceptron = build_it.Perceptron([1.0, 1.0], -4.0)
    for call, said in (
        (lambda: build_it.scores(perceptron, [[1.0, 2.0], [1.0]]), "row 1.*2.*1"),
        (lambda: build_it.scores(perceptron, [[1.0, 2.0], [1.0, math.nan]]), "row 1.*nan"),
        (lambda: build_it.fit([[1.0], [2.0]], [0, 1, 1]), "2.*3"),
        (lambda: build_it.fit([[1.0], [2.0]], [1, 1]), "0 to 1.*none of 0"),
        (lambda: build_it.fit([[1.0], [2.0]], [0, 5]), "0 to 1.*5"),
        (lambda: build_it.mistake_bound(perceptron, [[1.0, 2.0], [1.0, 1.0]], [0, 1]), "row 1"),
        (lambda: build_it.fit_averaged([[1e308], [-1e308]], [1, 0], n_epochs=1), "finite.*inf"),
        (lambda: build_it.predict_class([perceptron], [[1.0, 2.0]]), "two.*1"),
        (lambda: build_it.fit_one_vs_rest([[1.0], [2.0]], [0, 1], n_epochs=1), "three.*2"),
    ):
        with pytest.raises(ValueError, match=said):
            call()


# ---- the tool

Run = Callable[..., SimpleNamespace]


def tool_on(build_it: ModuleType) -> ModuleType:
    """tool.py, with the functions of the build_it under test."""
    for name in ("Perceptron", "predict", "train_epoch", "update"):
        setattr(tool, name, getattr(build_it, name))
    return tool


@pytest.fixture
def separable(build_it, capsys, tmp_path) -> Run:
    """Run the tool on a CSV given as text or bytes: its exit status, what it prints, and its complaint."""
    command = tool_on(build_it)

    def run(content: str | bytes, *arguments: str) -> SimpleNamespace:
        file = tmp_path / "data.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        status = command.main([str(file), "--target", "y", *arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(status=status, out=out, err=err, json=json.loads(out) if "--json" in arguments else None)

    return run


def table(X, y) -> str:
    header = ",".join([*(f"x{j}" for j in range(len(X[0]))), "y"])
    rows = [",".join(map(str, [*x, label])) for x, label in zip(X, y, strict=True)]
    return "\n".join([header, *rows]) + "\n"


def iris_table(c: int) -> tuple[str, list[list[Fraction]], list[int]]:
    """One species against the rest, and the same exactly."""
    X, y = load("iris").split()
    y = [int(label == c) for label in y]
    return table([[f"{value:g}" for value in row] for row in X], y), [[Fraction(f"{v:g}") for v in row] for row in X], y


def test_tool_says_yes(separable):
    """Setosa is separable (UCI's notes say so), and the line it prints is right in fractions."""
    text, X, y = iris_table(0)
    run = separable(text, "--json")
    assert run.status == 0 and run.json["separable"] is True
    weights, bias = [Fraction(run.json["weights"][f"x{j}"]) for j in range(4)], Fraction(run.json["bias"])
    signed = [bias + sum(w * v for w, v in zip(weights, x, strict=True)) for x in X]
    assert [score > 0 for score in signed] == [label == 1 for label in y] and all(signed)
    length = np.linalg.norm([float(w) for w in weights] * np.std(np.array(X, dtype=float), axis=0))
    distances = [abs(float(score)) / length for score in signed]
    assert run.json["distance"] == pytest.approx(min(distances), rel=1e-9)
    assert run.json["nearest_row"] == distances.index(min(distances)) + 2
    assert (run.json["rows"], run.json["positive_rows"], run.json["positive"]) == (150, 50, "1")
    assert "separable: yes" in separable(text).out


def test_tool_measures_the_distance_in_standard_deviations(separable):
    """Two rows: means 10 and 5, deviations 2 and 1, so they stand at (-1, -1) and (1, 1)."""
    found = separable("a,b,y\n8,4,no\n12,6,yes\n", "--json").json
    assert found["weights"]["a"] > 0 and found["positive"] == "yes"
    # the first row is a mistake at zero, which leaves (1, 1) and -1; the second is right at once
    assert found["distance"] == pytest.approx(1 / math.sqrt(2), rel=1e-12)
    assert (found["nearest_row"], found["mistakes"], found["epochs"]) == (3, 1, 2)


@pytest.mark.parametrize("scale", ["", "000000", "e-30"])
def test_tool_says_no_and_proves_it(separable, scale):
    rows = [[f"{int(a)}{scale}" if a else "0", f"{int(b)}{scale}" if b else "0"] for a, b in INPUTS]
    run = separable(table(rows, XOR), "--json")
    assert run.status == 1 and run.json["separable"] is False
    assert run.json["mixture"] == {"3": 1, "4": 1} and run.json["same_mixture"] == {"2": 1, "5": 1}
    text = separable(table(rows, XOR)).out
    assert "separable: no (after 4 mistakes in 1 pass over 4 rows)" in text and "row 3 × 1, row 4 × 1" in text


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=7), st.data())
@examples(15)
def test_tool_is_never_wrong(build_it, points, data):
    """Each answer with its evidence: a line that is right in fractions, or a mixture that is the same in both classes."""
    y = data.draw(some.labels(len(points), 2))
    assume(len(set(y)) == 2)
    rows = [[Fraction(a), Fraction(b, 8)] for a, b in points]
    found = tool_on(build_it).examine(tool.Table(["a", "b"], rows, [str(v) for v in y], [*range(len(y))], []), "1", 200)
    if found["separable"]:
        line = [*(Fraction(found["weights"][name]) for name in "ab"), Fraction(found["bias"])]
        for row, label in zip(rows, y, strict=True):
            score = sum(w * v for w, v in zip(line, [*row, 1], strict=True))
            assert score > 0 if label else score < 0
    elif found["separable"] is False:
        sides = []
        for side, label in ((found["mixture"], 1), (found["same_mixture"], 0)):
            assert side and all(n > 0 and y[int(i)] == label for i, n in side.items())
            sides.append(
                [sum(n * v[j] for v, n in ((rows[int(i)] + [1], n) for i, n in side.items())) for j in range(3)]
            )
        assert sides[0] == sides[1]


def test_tool_says_not_found(separable):
    """Virginica is not separable from versicolor; no pass over the data can prove it, but any line would be close."""
    text, _, _ = iris_table(2)
    run = separable(text, "--json", "--max-epochs", "60")
    assert run.status == 1 and run.json["separable"] is None
    assert run.json["epochs"] == 60 and run.json["why"] == "max_epochs"
    assert 0 < run.json["distance_at_most"] < 1 and 140 <= run.json["best_right"] < 150
    assert "no proof" in separable(text, "--max-epochs", "5").out


@pytest.mark.parametrize(("n_rows", "n_epochs"), [(4, 1000), (2000, 500), (100_000, 20)])
def test_tool_passes_less_often_over_more_rows(separable, monkeypatch, n_rows, n_epochs):
    asked = []
    monkeypatch.setattr(tool, "read_table", lambda *_: tool.Table(["x"], [[]] * n_rows, [], [], []))
    monkeypatch.setattr(tool, "positive_class", lambda *_: "a")
    monkeypatch.setattr(tool, "examine", lambda *arguments: asked.append(arguments[2]) or {"separable": True})
    separable("x,y\n1,a\n", "--json")
    assert asked == [n_epochs]


@pytest.mark.parametrize("gap", [0.5, 0.1, 0.02])
def test_tool_never_understates_the_distance(separable, gap):
    """After any number of passes, the limit stays above what a line that is known keeps from its nearest row."""
    X = [[float(i), i + (gap if i % 2 else -gap)] for i in range(10)]
    y = [i % 2 for i in range(10)]
    spread = np.std(X, axis=0)
    distance = gap / np.linalg.norm([spread[0], spread[1]])  # of b - a = 0 from the rows, each column divided by spread
    for epochs in range(1, 6):
        found = separable(table(X, y), "--json", "--max-epochs", str(epochs)).json
        assert found["separable"] or found["distance_at_most"] >= distance


def test_tool_two_rows_that_contradict(separable):
    run = separable("a,b,y\n1,2,no\n3,4,no\n1.0,2e0,yes\n5,1,yes\n", "--json")
    assert run.json["mixture"] == {"4": 1} and run.json["same_mixture"] == {"2": 1}


@pytest.mark.parametrize(
    ("content", "arguments"),
    [
        ("x,y\n1,no\n2,yes\n", []),
        ("x;y\n1;no\n2;yes\n", []),
        ("x\ty\n1\tno\n2\tyes\n", ["--delimiter", "tab"]),
        (b"\xef\xbb\xbfx,y\r\n1,no\r\n2,yes\r\n", []),
        ("x,y\n1,no\n\n2,yes\n", []),
        ('"x","y"\n"1","no"\n"2","yes"\n', []),
        ("x,y\n1,yes\n2,no\n", ["--positive", "no"]),
        ("x,y,z\n1,no,a\n2,yes,b\n", ["--features", "x"]),
        ("x,y\n1,9\n2,10\n", ["--positive", "10"]),
        ("x,y\n1,9\n2,10\n", []),
        ("x,y\n1,no\n?,no\n2,yes\n", ["--drop-missing"]),
        ("x,c,y\n1,5,no\n2,5,yes\n", []),
        ("x,y\n1,a\n1.5,b\n2,c\n", ["--positive", "c"]),
    ],
)
def test_tool_reads(separable, content, arguments):
    run = separable(content, *arguments, "--json")
    assert (run.status, run.json["separable"]) == (0, True)
    assert run.json["weights"]["x"] > 0


@pytest.mark.parametrize(
    ("content", "arguments", "complaint"),
    [
        ("", [], "row 1 is empty"),
        ("a,b\n1,2\n", [], "0 columns are called 'y'"),
        ("y\n1\n2\n", [], "only column"),
        ("x,y,x\n1,2,3\n", [], "2 columns are called 'x'"),
        ("x,y\n1,a\n2,b\n", ["--features", "x", "x"], "used twice"),
        ("x,y\n1,a\n2\n", [], "row 3 has 1 values"),
        ("x,y\n1,a\n,b\n", [], "row 3, column 'x': the value is missing"),
        ("x,y\n1,a\n2,\n", [], "row 3, column 'y': the class is missing"),
        ("x,y\n1,a\ntwo,b\n", [], "row 3, column 'x': 'two' is not a number"),
        ("x;y\n1;a\n1,5;b\n", [], "write 1.5"),
        ("x,y\n1,a\n1e101,b\n", [], "between 1e-100 and 1e100"),
        ("x,y\n1,a\n1_0,b\n", [], "not a number"),
        ("x,y\n1,a\n2,a\n", [], "1 classes"),
        ("x,y\n1,a\n2,b\n3,c\n", [], "--positive"),
        ("x,y\n1,a\n2,b\n", ["--positive", "c"], "--positive"),
        ("x,y\n", [], "0 classes"),
        ("x,y\n1,a\n2,b\n", ["--delimiter", "::"], "--delimiter"),
        ("x,y\n1,a\n2,b\n", ["--max-epochs", "0"], "--max-epochs"),
        (b"x,y\n1,a\n2,\xff\n", [], "row 3 is not UTF-8"),
    ],
)
def test_tool_says_what_is_wrong(separable, content, arguments, complaint):
    run = separable(content, *arguments)
    assert (run.status, run.out) == (2, "")
    assert complaint in run.err and run.err.count("\n") == 1


def test_shipped_tool_stands_alone(build_it, tmp_path):
    """One file from build_it.py and tool.py, run by a bare interpreter, reading standard input."""
    file = tmp_path / "separable.py"
    file.write_text(one_file(Path(build_it.__file__), HERE / "tool.py"), encoding="utf-8")
    command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(file), "-", "--target", "y"]
    done = subprocess.run(command, input=table(INPUTS, OR), capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "separable: yes" in done.stdout
