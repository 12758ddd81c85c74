"""The proof: every step of every optimizer with every option against torch.optim, and laws that neither twin wrote."""

import copy
import csv
import importlib.util
import json
import math
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from random import Random
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from phases.deep_learning_core.optimizers import ship_it

from shared.proof import assert_equivalent, assert_same_error, examples, numerical_gradient
from shared.proof import strategies as some

Make = Callable[[ModuleType], Any]

OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda twin: twin.SGD(0.1),
    "SGD, default rate": lambda twin: twin.SGD(),
    "SGD, momentum": lambda twin: twin.SGD(0.1, momentum=0.9),
    "SGD, dampening": lambda twin: twin.SGD(0.1, momentum=0.8, dampening=0.3),
    "SGD, dampening 1": lambda twin: twin.SGD(0.1, momentum=0.8, dampening=1.0),
    "SGD, nesterov": lambda twin: twin.SGD(0.1, momentum=0.9, nesterov=True),
    "SGD, decay": lambda twin: twin.SGD(0.1, weight_decay=0.2),
    "SGD, by position": lambda twin: twin.SGD(0.05, 0.7, 0.2, 0.1, False),
    "SGD, nesterov and decay": lambda twin: twin.SGD(0.05, 0.7, 0.0, 0.1, True),
    "Adagrad": lambda twin: twin.Adagrad(),
    "Adagrad, rate decay": lambda twin: twin.Adagrad(0.5, lr_decay=0.3),
    "Adagrad, decay": lambda twin: twin.Adagrad(0.5, weight_decay=0.2),
    "Adagrad, accumulator": lambda twin: twin.Adagrad(0.5, initial_accumulator_value=2.0),
    "Adagrad, eps": lambda twin: twin.Adagrad(0.5, eps=0.7),
    "Adagrad, by position": lambda twin: twin.Adagrad(0.5, 0.1, 0.2, 0.3, 0.4),
    "RMSprop": lambda twin: twin.RMSprop(),
    "RMSprop, alpha": lambda twin: twin.RMSprop(0.05, alpha=0.6),
    "RMSprop, alpha 0": lambda twin: twin.RMSprop(0.05, alpha=0.0),
    "RMSprop, eps": lambda twin: twin.RMSprop(0.05, eps=0.7),
    "RMSprop, decay": lambda twin: twin.RMSprop(0.05, weight_decay=0.2),
    "RMSprop, momentum": lambda twin: twin.RMSprop(0.05, momentum=0.8),
    "RMSprop, centered": lambda twin: twin.RMSprop(0.05, alpha=0.9, centered=True),
    "RMSprop, by position": lambda twin: twin.RMSprop(0.05, 0.9, 0.1, 0.2, 0.6, True),
    "Adam": lambda twin: twin.Adam(),
    "Adam, betas": lambda twin: twin.Adam(0.05, betas=(0.6, 0.9)),
    "Adam, betas 0": lambda twin: twin.Adam(0.05, betas=(0, 0)),
    "Adam, eps": lambda twin: twin.Adam(0.05, eps=0.7),
    "Adam, coupled decay": lambda twin: twin.Adam(0.05, weight_decay=0.2),
    "Adam, by position": lambda twin: twin.Adam(0.05, (0.7, 0.8), 0.1, 0.2),
    "AdamW": lambda twin: twin.AdamW(),
    "AdamW, no decay": lambda twin: twin.AdamW(0.05, weight_decay=0.0),
    "AdamW, by position": lambda twin: twin.AdamW(0.05, (0.7, 0.8), 0.1, 0.2),
}
# a number, a vector, a matrix, something deeper of size 1
SHAPES: list[Any] = [0, [0] * 3, [[0] * 2] * 2, [[[0]]]]


def fill(tree: Any, draw: Callable[[], float]) -> Any:
    return [fill(branch, draw) for branch in tree] if isinstance(tree, list) else draw()


def walk(optimizer: Any, parameters: list, gradients: list[list], at: set[int]) -> dict[str, Any]:
    """What there is to see at the steps `at`, in order, so that a failure names the last that was right."""
    seen, start, before = {}, parameters, repr((parameters, gradients))
    for t, gradient in enumerate(gradients, 1):
        parameters = optimizer.step(parameters, gradient)
        if t in at:
            seen[f"state after step {t}"] = copy.deepcopy(optimizer.state)
            seen[f"parameters after step {t}"] = parameters
    assert repr((start, gradients)) == before, "step changed its arguments"
    return seen


def against(twin: ModuleType, witness: str) -> dict:
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


# ---- trajectories


@pytest.mark.parametrize("which", OPTIMIZERS)
def test_forty_steps_on_random_gradients(build_it, use_it, which):
    """Gradients of all sizes: from step to step and from parameter to parameter, down to where eps rules."""
    rng = Random(which)
    start = fill(SHAPES, lambda: rng.gauss(0.0, 1.0))
    scales = fill(SHAPES, lambda: 10.0 ** rng.choice([-9, -3, 0, 0, 3]))
    gradients = [scale_by(scales, rng) for _ in range(40)]
    assert_equivalent(*(walk(OPTIMIZERS[which](twin), start, gradients, {1, 2, 10, 40}) for twin in (build_it, use_it)))


def scale_by(scales: Any, rng: Random) -> Any:
    if isinstance(scales, list):
        return [scale_by(scale, rng) for scale in scales]
    return scales * rng.gauss(0.3, 1.0)


@st.composite
def short_runs(draw):
    """Parameters of one shape, and gradients for one to four steps; ties, zeros and ±1000 among them."""
    n, n_steps = draw(some.sizes(1, 3)), draw(some.sizes(1, 4))
    numbers = some.floats() | st.sampled_from([0.0, 1.0, -1000.0, 1000.0])
    start = [*draw(st.just([]) | some.vectors(n, numbers).map(lambda v: [v])), draw(numbers)]
    shaped = [[draw(some.vectors(n, numbers))] * (len(start) - 1) + [draw(numbers)] for _ in range(n_steps)]
    return start, shaped


@given(short_runs(), st.sampled_from([which for which in OPTIMIZERS if "centered" not in which]))
@examples(30)
def test_short_runs(build_it, use_it, run, which):
    start, gradients = run
    at = set(range(1, len(gradients) + 1))
    assert_equivalent(*(walk(OPTIMIZERS[which](twin), start, gradients, at) for twin in (build_it, use_it)))


REAL: dict[str, Make] = {name: lambda twin, make=make: make(twin, 0.02) for name, make in ship_it.OPTIMIZERS.items()}


@pytest.mark.parametrize("which", REAL)
def test_a_hundred_steps_on_real_data(build_it, use_it, which):
    """The same batches in the same order: after 1, 10 and 100 steps every parameter, and all losses."""
    X, y = ship_it.diabetes(every=11)
    assert len(X) == 41
    found = []
    for twin in (build_it, use_it):
        rng, optimizer, parameters, seen = Random(7), REAL[which](twin), ship_it.zeros(X), {}
        for n_epochs, steps in ((1, 5), (1, 10), (18, 100)):
            parameters, losses = twin.train(optimizer, parameters, X, y, batch_size=9, n_epochs=n_epochs, rng=rng)
            seen |= {f"losses up to step {steps}": losses, f"parameters after step {steps}": parameters}
        first, _ = twin.train(REAL[which](twin), ship_it.zeros(X), X, y, batch_size=41, n_epochs=1, rng=rng)
        found.append(seen | {"parameters after step 1": first})
    assert_equivalent(*found)
    assert len(found[0]["losses up to step 100"]) == 90


@given(st.data())
@examples(15)
def test_train(build_it, use_it, data):
    n, n_features = data.draw(some.sizes(1, 6)), data.draw(some.sizes(1, 3))
    X, y = data.draw(some.matrices(n, n_features)), data.draw(some.vectors(n))
    start = [data.draw(some.vectors(n_features)), data.draw(some.floats())]
    batch_size, n_epochs, seed = data.draw(some.sizes(1, 7)), data.draw(some.sizes(0, 3)), data.draw(some.seeds())
    which = data.draw(st.sampled_from(["SGD, momentum", "RMSprop, eps", "AdamW, by position"]))
    before, found = copy.deepcopy((start, X, y)), []
    for twin in (build_it, use_it):
        rng = Random(seed)
        parameters, losses = twin.train(
            OPTIMIZERS[which](twin), start, X, y, batch_size=batch_size, n_epochs=n_epochs, rng=rng
        )
        found.append({"losses": losses, "parameters": parameters, "next draw": rng.random()})
    assert (start, X, y) == before, "train changed its arguments"
    assert_equivalent(*found)
    assert len(found[0]["losses"]) == n_epochs * math.ceil(n / batch_size)


def test_the_rate_may_change_between_steps(build_it, use_it):
    for make in (lambda twin: twin.SGD(0.5, momentum=0.5), lambda twin: twin.AdamW(0.5, weight_decay=0.5)):
        found = []
        for twin in (build_it, use_it):
            optimizer, parameters, seen = make(twin), [1.0], []
            for lr in (0.5, 0.0, 0.25):
                optimizer.lr = lr
                parameters = optimizer.step(parameters, [2.0])
                seen.append(parameters)
            found.append(seen)
            assert seen[0] == seen[1] != seen[2]
        assert_equivalent(*found)


def test_state_goes_on_in_train(build_it, use_it):
    """Two calls of an epoch are one call of two epochs: nothing is forgotten between them."""
    X, y = ship_it.diabetes(every=40)
    for twin in (build_it, use_it):
        ends = []
        for calls, n_epochs in ((2, 1), (1, 2)):
            optimizer, parameters, rng = twin.Adam(0.1), ship_it.zeros(X), Random(0)
            for _ in range(calls):
                parameters, _ = twin.train(optimizer, parameters, X, y, batch_size=5, n_epochs=n_epochs, rng=rng)
            ends.append((parameters, optimizer.state))
        assert_equivalent(*ends, names=("two calls", "one call"))
        assert ends[0][1]["step"] == 6


# ---- by hand, and laws


BY_HAND = {  # lr 1, from 10 with the gradients 5 and 1
    "SGD": (lambda twin: twin.SGD(1.0), 5.0, 4.0),
    "momentum": (lambda twin: twin.SGD(1.0, momentum=0.5), 5.0, 1.5),
    "dampening": (lambda twin: twin.SGD(1.0, momentum=0.5, dampening=0.5), 5.0, 2.0),
    "nesterov": (lambda twin: twin.SGD(1.0, momentum=0.5, nesterov=True), 2.5, -0.25),
    "decay": (lambda twin: twin.SGD(1.0, weight_decay=0.1), 4.0, 2.6),
    "Adagrad": (lambda twin: twin.Adagrad(1.0), 9.0, 9.0 - 1 / math.sqrt(26)),
    "RMSprop": (lambda twin: twin.RMSprop(1.0, 0.5), 10 - math.sqrt(2), 10 - math.sqrt(2) - 1 / math.sqrt(6.75)),
    "Adam": (lambda twin: twin.Adam(1.0, (0.5, 0.5)), 9.0, 9.0 - 7 / 9),
    "AdamW": (lambda twin: twin.AdamW(1.0, (0.5, 0.5), weight_decay=0.1), 8.0, 7.2 - 7 / 9),
}


@pytest.mark.parametrize("which", BY_HAND)
def test_by_hand(build_it, use_it, which):
    make, *expected = BY_HAND[which]
    for twin in (build_it, use_it):
        optimizer, parameters = make(twin), [10.0]
        for gradient, value in zip((5.0, 1.0), expected, strict=True):
            parameters = optimizer.step(parameters, [gradient])
            assert_equivalent(parameters, [value], rtol=1e-8, **against(twin, "by hand, without eps"))


def repeated(optimizer: Any, gradient: float, n_steps: int) -> list[float]:
    """The n steps, θ before minus θ after, on a gradient that never changes."""
    path = [[0.0]]
    for _ in range(n_steps):
        path.append(optimizer.step(path[-1], [gradient]))
    return [before[0] - after[0] for before, after in pairwise(path)]


CONSTANT = {  # the t-th step on a constant gradient g, in closed form
    "momentum": (lambda twin: twin.SGD(0.1, momentum=0.9), lambda g, t: 0.1 * g * (1 - 0.9**t) / (1 - 0.9)),
    "nesterov": (
        lambda twin: twin.SGD(0.1, momentum=0.9, nesterov=True),
        lambda g, t: 0.1 * g * (1 - 0.9 ** (t + 1)) / (1 - 0.9),
    ),
    "dampening": (
        lambda twin: twin.SGD(0.1, momentum=0.9, dampening=0.9),
        lambda g, t: 0.1 * g,  # an average that began with g
    ),
    "Adagrad": (lambda twin: twin.Adagrad(0.1), lambda g, t: 0.1 * g / (math.sqrt(t) * abs(g) + 1e-10)),
    "RMSprop": (lambda twin: twin.RMSprop(0.1), lambda g, t: 0.1 * g / (math.sqrt(1 - 0.99**t) * abs(g) + 1e-8)),
    "RMSprop, centered": (
        lambda twin: twin.RMSprop(0.1, alpha=0.9, centered=True),
        lambda g, t: 0.1 * g / (math.sqrt((1 - 0.9**t) * 0.9**t) * abs(g) + 1e-8),
    ),
    "Adam": (lambda twin: twin.Adam(0.1), lambda g, t: 0.1 * g / (abs(g) + 1e-8)),
}


@pytest.mark.parametrize("which", CONSTANT)
@pytest.mark.parametrize("g", [1.0, -250.0, 1e-8])
def test_constant_gradient(build_it, use_it, which, g):
    """Geometric sums: the bias correction makes every step of Adam on a constant gradient the same."""
    make, step = CONSTANT[which]
    for twin in (build_it, use_it):
        steps = repeated(make(twin), g, 30)
        # a step is the difference of two numbers up to 100 times as long
        assert_equivalent(steps, [step(g, t) for t in range(1, 31)], rtol=1e-7, atol=1e-15, **against(twin, "sum"))


@given(some.floats(-4, 4), some.floats(-4, 4), st.sampled_from([(0.01, 0.9), (0.3, 0.5)]))
@examples(15)
def test_nesterov_is_the_gradient_at_a_look_ahead(build_it, use_it, theta, centre, settings):
    """Sutskever et al. (2013): v ← μ v - lr f'(θ + μ v), θ ← θ + v. Torch's parameters are the θ + μ v."""

    def slope(x: float) -> float:
        return 2 * (x - centre) + (x - centre) ** 3 / 100

    lr, momentum = settings
    v, x, classic = 0.0, theta, []
    for _ in range(8):
        v = momentum * v - lr * slope(x + momentum * v)
        x += v
        classic.append(x + momentum * v)
    for twin in (build_it, use_it):
        optimizer, parameters, seen = twin.SGD(lr, momentum=momentum, nesterov=True), [theta], []
        for _ in range(8):
            parameters = optimizer.step(parameters, [slope(parameters[0])])
            seen.append(parameters[0])
        assert_equivalent(seen, classic, **against(twin, "look ahead"))


def on_a_bowl(optimizer: Any, curvature: float, n_steps: int) -> list[float]:
    """The path from 1 on curvature · θ² / 2."""
    path = [1.0]
    for _ in range(n_steps):
        [theta] = optimizer.step([path[-1]], [curvature * path[-1]])
        path.append(theta)
    return path


def test_gradient_descent_on_a_bowl_in_closed_form(build_it, use_it):
    for twin, lr in product((build_it, use_it), (0.1, 0.5, 0.6)):
        factor = 1 - 4 * lr
        assert_equivalent(
            on_a_bowl(twin.SGD(lr), 4.0, 10), [factor**t for t in range(11)], **against(twin, "closed form")
        )


LIMITS = {  # lr · curvature at which a bowl is climbed instead of descended
    "SGD": ({}, 2.0),
    "momentum": ({"momentum": 0.9}, 2 * 1.9),
    "Nesterov": ({"momentum": 0.9, "nesterov": True}, 2 * 1.9 / 2.8),
}


@pytest.mark.parametrize("which", LIMITS)
def test_largest_learning_rate(build_it, use_it, which):
    settings, limit = LIMITS[which]
    for twin in (build_it, use_it):
        below, above = (on_a_bowl(twin.SGD(lr * limit / 4, **settings), 4.0, 120) for lr in (0.98, 1.02))
        assert abs(below[-1]) < 0.1 and max(map(abs, above[-3:])) > 10


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_what_scaling_the_loss_does(build_it, use_it, scale):
    """Adagrad, RMSprop and Adam do not notice, but for eps; SGD's steps scale along."""
    rng = Random(0)
    gradients = [rng.gauss(0.2, 1.0) for _ in range(20)]
    for twin in (build_it, use_it):
        makers = {
            "Adagrad": lambda twin=twin: twin.Adagrad(0.1, eps=1e-30),
            "RMSprop": lambda twin=twin: twin.RMSprop(0.1, eps=1e-30),
            "Adam": lambda twin=twin: twin.Adam(0.1, eps=1e-30),
            "SGD": lambda twin=twin: twin.SGD(0.1, momentum=0.5),
        }
        for name, make in makers.items():
            moved = []
            for factor in (1.0, scale):
                optimizer, parameters = make(), [0.0]
                for g in gradients:
                    parameters = optimizer.step(parameters, [factor * g])
                moved.append(parameters[0])
            expected = moved[0] * (scale if name == "SGD" else 1.0)
            assert_equivalent(moved[1], expected, **against(twin, "scaled"))


def test_adam_after_a_silence(build_it, use_it):
    """The k-th of equal gradients after a long silence: m̂ / √v̂ = (1 - β₁ᵏ) / √(1 - β₂ᵏ)."""
    for twin in (build_it, use_it):
        optimizer = twin.Adam(1.0, betas=(0.5, 0.9))
        for _ in range(250):
            assert optimizer.step([0.0], [0.0]) == [0.0]
        for k in (1, 2, 3):
            [theta] = optimizer.step([0.0], [-123.0])
            assert_equivalent(theta, (1 - 0.5**k) / math.sqrt(1 - 0.9**k), **against(twin, "sum"))


def test_the_longest_step_of_adam(build_it, use_it):
    """Cauchy-Schwarz: (1 - β₁) / √((1 - β₂) (1 - β₁² / β₂)), which gradients reach that grow by β₂ / β₁ a step."""
    for twin in (build_it, use_it):
        optimizer = twin.Adam(1.0, betas=(0.5, 0.9))
        steps = [optimizer.step([0.0], [-(1.8**t)])[0] for t in range(250)]
        assert_equivalent(max(steps), 0.5 / math.sqrt(0.1 * (1 - 0.25 / 0.9)), **against(twin, "bound"))


def test_where_epsilon_stands(build_it, use_it):
    """Outside the root, beside the corrected root: a gradient as small as eps makes half a step."""
    for twin in (build_it, use_it):
        for make in (
            lambda twin=twin: twin.Adam(1.0, eps=1e-3),
            lambda twin=twin: twin.Adagrad(1.0, eps=1e-3),
            lambda twin=twin: twin.RMSprop(1.0, alpha=0.0, eps=1e-3),
        ):
            for g in (1e-3, -1e-3, 1.0, 1e-9):
                assert_equivalent(make().step([0.0], [g]), [-g / (abs(g) + 1e-3)], **against(twin, "by hand"))
            assert make().step([2.0], [0.0]) == [2.0]


def test_coupled_and_decoupled_decay(build_it, use_it):
    """Without gradients AdamW shrinks by a factor; Adam, whose decay goes through the root, by lr, whatever decays."""
    for twin in (build_it, use_it):
        for decay in (0.5, 0.001):
            adam, adamw = twin.Adam(0.01, weight_decay=decay), twin.AdamW(0.01, weight_decay=decay)
            coupled, decoupled = [5.0], [5.0]
            for _ in range(4):
                decoupled = adamw.step(decoupled, [0.0])
            coupled = adam.step(coupled, [0.0])
            assert_equivalent(decoupled, [5.0 * (1 - 0.01 * decay) ** 4], **against(twin, "by hand"))
            assert_equivalent(coupled, [4.99], rtol=1e-6, **against(twin, "by hand, without eps"))
        # gradients a hundred times as large leave a hundredth of the coupled decay
        for size in (1.0, 100.0):
            optimizer = twin.Adam(1.0, betas=(0.0, 0.5), eps=1e-12, weight_decay=1e-6)
            plain = twin.Adam(1.0, betas=(0.0, 0.5), eps=1e-12)
            apart = plain.step([1.0], [size])[0] - optimizer.step([1.0], [size])[0]
            assert apart == pytest.approx(0.0, abs=1e-12)  # the first step is ±lr, decay or not
            apart = plain.step([1.0], [0.0])[0] - optimizer.step([1.0], [0.0])[0]
            assert apart == pytest.approx(1e-6 / (size / math.sqrt(3)), rel=1e-5)  # v̂ = size² / 3


def test_centered_runs_away_when_gradients_do_not_vary(build_it, use_it):
    """The variance of a constant is 0: the t-th step is lr / √(αᵗ (1 - αᵗ))."""
    for twin in (build_it, use_it):
        steps = repeated(twin.RMSprop(1e-3, alpha=0.9, centered=True), 1.0, 120)
        assert 0.3 < steps[-1] < 0.6


def test_a_variance_below_zero_is_not_a_number(build_it, use_it):
    """Rounding can make E[g²] - E[g]² negative. Its root is NaN, in torch too, and the next step says so."""
    for twin in (build_it, use_it):
        for g in (3.1, 0.7, 1.3, 5.9, 2.3, 0.3):
            optimizer, parameters = twin.RMSprop(1e-3, alpha=0.1, centered=True), [0.0]
            for _ in range(60):
                parameters = optimizer.step(parameters, [g])
                if math.isnan(parameters[0]):
                    break
            if math.isnan(parameters[0]):
                break
        assert math.isnan(parameters[0])
        with pytest.raises(ValueError, match="finite"):
            optimizer.step(parameters, [g])


# ---- batches and the loss


@given(some.sizes(1, 12), some.sizes(1, 14), some.seeds())
@examples(20)
def test_batches(build_it, use_it, n_samples, batch_size, seed):
    found = []
    for twin in (build_it, use_it):
        rng = Random(seed)
        found.append([twin.batches(n_samples, batch_size, rng) for _ in range(2)] + [rng.random()])
    assert_equivalent(*found)
    for epoch in found[0][:2]:
        assert sorted(row for rows in epoch for row in rows) == list(range(n_samples))
        assert [len(rows) for rows in epoch[:-1]] == [batch_size] * (len(epoch) - 1)
        assert 1 <= len(epoch[-1]) <= batch_size


@st.composite
def models(draw):
    n, n_features = draw(some.sizes(1, 5)), draw(some.sizes(1, 3))
    # sums of products of these are exact, so that cancelling them leaves no rounding to be forgiven
    numbers = st.integers(-64, 64).map(lambda k: k / 8) | st.sampled_from([-1000.0, 1000.0])
    parameters = [draw(some.vectors(n_features, numbers)), draw(numbers)]
    return parameters, draw(some.matrices(n, n_features, numbers)), draw(some.vectors(n, numbers))


@given(models())
@examples(30)
def test_loss_and_gradients(build_it, use_it, model):
    found = []
    for twin in (build_it, use_it):
        loss, gradients = twin.loss_and_gradients(*model)
        found.append({"loss": loss, "by the weights": gradients[0], "by the bias": gradients[1]})
    assert_equivalent(*found)


def test_gradients_against_finite_differences(build_it, use_it):
    rng = Random(3)
    X, y = fill([[0] * 3] * 5, lambda: rng.gauss(0, 1)), fill([0] * 5, lambda: rng.gauss(0, 1))
    parameters = [fill([0] * 3, lambda: rng.gauss(0, 1)), 0.4]
    for twin in (build_it, use_it):
        nudged = numerical_gradient(lambda p, twin=twin: twin.loss_and_gradients(p, X, y)[0], parameters)
        _, gradients = twin.loss_and_gradients(parameters, X, y)
        assert_equivalent(gradients, nudged, rtol=1e-5, atol=1e-7, **against(twin, "finite differences"))


def test_loss_by_hand(build_it, use_it):
    for twin in (build_it, use_it):
        found = twin.loss_and_gradients([[2.0, -1.0], 0.5], [[1.0, 2.0], [3.0, 0.0]], [0.0, 5.0])
        assert_equivalent(found, (1.25, [[5.0, 1.0], 2.0]), **against(twin, "by hand"))
        loss, _ = twin.loss_and_gradients([[1e200], 0.0], [[1.0]], [0.0])
        assert loss == math.inf


def test_the_mean_over_batches_is_the_whole_gradient(build_it, use_it):
    """Why a batch may stand for all: its gradient is right on average. And its variance falls as 1 / size."""
    X, y = ship_it.diabetes(every=11)
    X, y, parameters = X[:40], y[:40], [[0.1] * 10, 0.2]
    for twin in (build_it, use_it):
        whole = flat(twin.loss_and_gradients(parameters, X, y)[1])
        spread = {}
        for size in (1, 4, 8):
            found = []
            for rows in twin.batches(40, size, Random(1)):
                found.append(flat(twin.loss_and_gradients(parameters, [X[i] for i in rows], [y[i] for i in rows])[1]))
            mean = [statistics.fmean(column) for column in zip(*found, strict=True)]
            assert_equivalent(mean, whole, **against(twin, "all rows"))
            spread[size] = sum(statistics.pvariance(column) for column in zip(*found, strict=True))
        assert spread[1] > 2 * spread[4] > 2 * spread[8]


def flat(parameters: list) -> list[float]:
    return [*parameters[0], parameters[1]]


def test_training_reaches_least_squares(build_it, use_it):
    """Where no batch can pull away from it: on data without noise, and on all rows at once."""
    rng = Random(5)
    X = [[rng.gauss(0, 1), rng.gauss(0, 2)] for _ in range(12)]
    y = [3 * a - 2 * b + 0.5 for a, b in X]
    noisy = [value + rng.gauss(0, 1) for value in y]
    solution, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(12)]), np.array(noisy), rcond=None)
    for twin in (build_it, use_it):
        fitted, losses = twin.train(twin.SGD(0.05), [[0.0, 0.0], 0.0], X, y, batch_size=3, n_epochs=80, rng=Random(0))
        assert_equivalent(fitted, [[3.0, -2.0], 0.5], rtol=1e-6, **against(twin, "the true weights"))
        assert losses[0] > 1 and losses[-1] < 1e-10
        optimizer = twin.SGD(0.05, momentum=0.5)
        fitted, _ = twin.train(optimizer, [[0.0, 0.0], 0.0], X, noisy, batch_size=99, n_epochs=250, rng=Random(0))
        assert_equivalent(flat(fitted), solution.tolist(), rtol=1e-6, **against(twin, "numpy.linalg.lstsq"))


def test_training_stops_where_the_loss_is_not_finite(build_it, use_it):
    X, y, found = [[1.0], [3.0]], [1.0, 2.0], []
    for twin in (build_it, use_it):
        parameters, losses = twin.train(twin.SGD(1e9), [[0.0], 0.0], X, y, batch_size=1, n_epochs=100, rng=Random(0))
        assert losses[-1] == math.inf and all(map(math.isfinite, losses[:-1])) and len(losses) < 40
        assert math.isfinite(parameters[0][0])
        found.append((parameters, losses))
    assert_equivalent(*found)


# ---- what is refused

SETTINGS = {
    f"{kind}({name}={value})": (kind, {name: value})
    for kind, names in {
        "SGD": ["lr", "weight_decay"],
        "Adagrad": ["lr", "weight_decay", "lr_decay", "initial_accumulator_value"],
        "RMSprop": ["lr", "weight_decay"],
        "Adam": ["lr", "weight_decay"],
        "AdamW": ["lr", "weight_decay"],
    }.items()
    for name in names
    for value in (-0.1, math.nan, math.inf)
}
SETTINGS |= {
    f"{kind}(eps={value})": (kind, {"eps": value})
    for kind in ("Adagrad", "RMSprop", "Adam", "AdamW")
    for value in (0.0, -1e-8, math.nan, math.inf)
}
SETTINGS |= {
    f"{kind}({name}={value})": (kind, {name: value})
    for kind, name in (("SGD", "momentum"), ("RMSprop", "momentum"), ("RMSprop", "alpha"))
    for value in (-0.1, 1.0, math.nan)
}
SETTINGS |= {
    f"{kind}(betas={value})": (kind, {"betas": value})
    for kind in ("Adam", "AdamW")
    for value in ((1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9, -0.1), (math.nan, 0.9), (0.9,), (0.9, 0.99, 0.999))
}
SETTINGS |= {
    f"SGD({settings})": ("SGD", settings)
    for settings in (
        {"dampening": -0.1},
        {"dampening": 1.1, "momentum": 0.5},
        {"dampening": math.nan},
        {"nesterov": True},
        {"nesterov": True, "momentum": 0.5, "dampening": 0.1},
    )
}


@pytest.mark.parametrize("which", SETTINGS)
def test_refused_settings(build_it, use_it, which):
    kind, settings = SETTINGS[which]
    assert_same_error(lambda twin: getattr(twin, kind)(**settings), build_it, use_it)


def test_settings_at_the_edge(build_it, use_it):
    for twin in (build_it, use_it):
        assert twin.SGD(0.0).step([1.0], [1.0]) == [1.0]
        assert twin.Adagrad(0.0, eps=5e-324).step([1.0], [1.0]) == [1.0]
        assert twin.SGD(1.0, momentum=0.0, dampening=1.0).step([1.0], [1.0]) == [0.0]


BAD_STEPS = {
    "no parameter": ([], []),
    "no gradient": ([1.0], []),
    "two gradients": ([1.0], [1.0, 2.0]),
    "a vector for a number": ([1.0], [[1.0]]),
    "a number for a vector": ([[1.0]], [1.0]),
    "a longer gradient": ([[1.0, 2.0]], [[1.0, 2.0, 3.0]]),
    "the transpose": ([[[1.0, 2.0]]], [[[1.0], [2.0]]]),
    "a ragged matrix": ([[[1.0, 2.0], [3.0]]], [[[1.0, 2.0], [3.0]]]),
    "a ragged gradient": ([[[1.0, 2.0], [3.0, 4.0]]], [[[1.0, 2.0], [3.0]]]),
    "an empty vector": ([[]], [[]]),
    "NaN in the gradient": ([[1.0, 2.0]], [[1.0, math.nan]]),
    "an infinite gradient": ([1.0], [-math.inf]),
    "NaN in the parameters": ([[1.0, math.nan]], [[1.0, 2.0]]),
    "an infinite parameter": ([math.inf], [1.0]),
}


@pytest.mark.parametrize("which", BAD_STEPS)
def test_refused_steps(build_it, use_it, which):
    for kind in ("SGD", "Adagrad", "RMSprop", "Adam", "AdamW"):
        assert_same_error(lambda twin, kind=kind: getattr(twin, kind)().step(*BAD_STEPS[which]), build_it, use_it)
    with pytest.raises(ValueError) as refused:
        build_it.SGD().step(*BAD_STEPS[which])
    assert "zip()" not in str(refused.value) and "argument" not in str(refused.value)


def test_shapes_may_not_change_between_steps(build_it, use_it):
    def two_steps(twin: ModuleType, kind: str) -> None:
        optimizer = getattr(twin, kind)()
        optimizer.step([[1.0, 2.0]], [[1.0, 2.0]])
        optimizer.step([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]])

    for kind in ("SGD", "Adagrad", "RMSprop", "Adam", "AdamW"):
        assert_same_error(lambda twin, kind=kind: two_steps(twin, kind), build_it, use_it)


def test_a_refused_step_leaves_the_state(build_it, use_it):
    for twin in (build_it, use_it):
        for kind in ("Adagrad", "RMSprop", "Adam", "AdamW"):
            optimizer = getattr(twin, kind)(0.1)
            parameters = optimizer.step([1.0], [2.0])
            before = copy.deepcopy(optimizer.state)
            with pytest.raises(ValueError):
                optimizer.step(parameters, [math.nan])
            assert optimizer.state == before
            assert before["step"] == 1


GOOD = ([[1.0, 2.0], 0.5], [[1.0, 2.0], [3.0, 4.0]], [1.0, 2.0])
BAD_MODELS = {
    "no row": (GOOD[0], [], []),
    "too few targets": (GOOD[0], GOOD[1], [1.0]),
    "too many targets": (GOOD[0], GOOD[1], [1.0, 2.0, 3.0]),
    "a narrow row": (GOOD[0], [[1.0, 2.0], [3.0]], GOOD[2]),
    "narrow rows": (GOOD[0], [[1.0], [3.0]], GOOD[2]),
    "wide rows": (GOOD[0], [[1.0, 2.0, 3.0]] * 2, GOOD[2]),
    "NaN in X": (GOOD[0], [[1.0, 2.0], [3.0, math.nan]], GOOD[2]),
    "an infinite target": (GOOD[0], GOOD[1], [1.0, math.inf]),
    "no bias": ([[1.0, 2.0]], GOOD[1], GOOD[2]),
    "a third parameter": ([[1.0, 2.0], 0.5, 1.0], GOOD[1], GOOD[2]),
    "a vector for the bias": ([[1.0, 2.0], [0.5]], GOOD[1], GOOD[2]),
    "a number for the weights": ([1.0, 0.5], GOOD[1], GOOD[2]),
}


@pytest.mark.parametrize("which", BAD_MODELS)
def test_refused_models(build_it, use_it, which):
    assert_same_error(lambda twin: twin.loss_and_gradients(*BAD_MODELS[which]), build_it, use_it)
    for n_epochs in (0, 1):
        call = {"batch_size": 1, "n_epochs": n_epochs, "rng": Random(0)}
        assert_same_error(lambda twin, call=call: twin.train(twin.SGD(), *BAD_MODELS[which], **call), build_it, use_it)


@pytest.mark.parametrize(
    ("start", "batch_size", "n_epochs"),
    [
        (GOOD[0], 0, 1),
        (GOOD[0], 2.0, 1),
        (GOOD[0], 0, 0),
        (GOOD[0], 1, -1),
        (GOOD[0], 1, 1.5),
        ([[1.0, math.nan], 0.0], 1, 1),
        ([[1.0, 2.0], math.inf], 1, 0),
    ],
)
def test_refused_training(build_it, use_it, start, batch_size, n_epochs):
    call = {"batch_size": batch_size, "n_epochs": n_epochs, "rng": Random(0)}
    assert_same_error(lambda twin: twin.train(twin.SGD(), start, *GOOD[1:], **call), build_it, use_it)


@pytest.mark.parametrize(("n_samples", "batch_size"), [(0, 1), (-1, 1), (2.0, 1), (3, 0), (3, -1), (3, 1.5)])
def test_refused_batches(build_it, use_it, n_samples, batch_size):
    assert_same_error(lambda twin: twin.batches(n_samples, batch_size, Random(0)), build_it, use_it)


def test_gradients_that_overflow_are_refused(build_it, use_it):
    """The loss is still finite, the gradient is not."""
    call = {"batch_size": 1, "n_epochs": 1, "rng": Random(0)}
    assert_same_error(lambda twin: twin.train(twin.SGD(), [[0.0], 0.0], [[1e200]], [1e150], **call), build_it, use_it)


def test_messages_say_what_came(build_it):
    for call, said in (
        (lambda: build_it.SGD(-1.0), "lr .*-1.0"),
        (lambda: build_it.Adam(betas=(0.9, 1.5)), r"betas\[1\].*1.5"),
        (lambda: build_it.SGD().step([1.0, [1.0, 2.0]], [1.0, [1.0]]), r"gradient 1 .*\(2,\).*\(1,\)"),
        *(
            (lambda kind=kind: getattr(build_it, kind)().step([1.0], [math.nan]), "gradient 0 .*nan")
            for kind in ("SGD", "Adagrad", "RMSprop", "Adam", "AdamW")
        ),
        (lambda: build_it.batches(3, 0, Random(0)), "batch_size .*0"),
        (lambda: build_it.loss_and_gradients([[1.0], 0.0], [[1.0], [1.0, 2.0]], [1.0, 2.0]), "row 1 .*1.*2"),
    ):
        with pytest.raises(ValueError, match=said):
            call()


# ---- the table, and the skill


def test_learning_rate_table(build_it):
    """SGD and its kin diverge exactly where the largest curvature of the loss says so; the others nowhere.

    A dozen steps tell: what diverges is in the thousands by then, and what does not may be jumping yet.
    """
    X, _ = ship_it.diabetes(every=2)
    rows = np.column_stack([X, np.ones(len(X))])
    curvature = np.linalg.eigvalsh(2 * rows.T @ rows / len(X))[-1]
    table = ship_it.learning_rate_table(build_it, n_steps=12)  # that use_it has the same is checked when it ships
    for name, limit in (("SGD", 2.0), ("momentum 0.9", 3.8), ("Nesterov 0.9", 3.8 / 2.8)):
        assert [loss > 1000 for loss in table[name]] == [lr * curvature > limit for lr in ship_it.RATES]
    for name in ("Adagrad", "RMSprop", "Adam", "AdamW"):
        assert max(table[name]) < 10


SCRIPT = ship_it.SKILL / "scripts" / "optimizer_check.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("optimizer_check", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SETTINGS_OF_SCRIPT = {"momentum": 0.8, "alpha": 0.9, "betas": (0.7, 0.95), "eps": 1e-3, "weight_decay": 0.1}


def test_script_replays_what_the_optimizers_do(build_it, use_it, script):
    rng = Random(2)
    gradients = [rng.gauss(0.1, 1.0) for _ in range(50)]
    values, made = [1.5], {}
    for twin in (build_it, use_it):
        optimizers = {
            "sgd": twin.SGD(1.0),
            "momentum": twin.SGD(1.0, momentum=0.8),
            "rmsprop": twin.RMSprop(1.0, 0.9, 1e-3),
            "adam": twin.Adam(1.0, (0.7, 0.95), 1e-3),
            "adamw": twin.AdamW(1.0, (0.7, 0.95), 1e-3, 0.1),
        }
        for name, optimizer in optimizers.items():
            path = [[1.5]]
            for g in gradients:
                path.append(optimizer.step(path[-1], [g]))
            made[name] = [before - after for [before], [after] in pairwise(path)]
            values = [value for [value] in path[:-1]]
        replayed = script.replay(gradients, values, SimpleNamespace(**SETTINGS_OF_SCRIPT))
        assert_equivalent(replayed, made, atol=1e-9, names=("script", twin.__name__.rpartition(".")[2]))


@pytest.fixture
def check(build_it, script, tmp_path, capsys) -> Callable[..., SimpleNamespace]:
    """Run the script on a table of gradients (and values), after a look that it computes what build_it does."""
    [theta] = build_it.Adam(1.0).step([0.0], [-3.0])
    [step] = script.replay([3.0], None, SimpleNamespace(**SETTINGS_OF_SCRIPT | {"eps": 1e-8}))["adam"]
    assert theta == pytest.approx(step, rel=1e-12)

    def run(gradients: str | dict, *arguments: str, values: str | dict | None = None) -> SimpleNamespace:
        command = [write(tmp_path / "gradients.csv", gradients), *arguments]
        if values is not None:
            command += ["--values", write(tmp_path / "values.csv", values)]
        status = script.main(command)
        out, err = capsys.readouterr()
        return SimpleNamespace(status=status, out=out, err=err, json=json.loads(out) if "--json" in arguments else None)

    return run


def write(file: Path, table: str | dict) -> str:
    if isinstance(table, dict):
        rows = [list(table), *zip(*table.values(), strict=True)]
        table = "".join(",".join(map(str, row)) + "\n" for row in rows)
    file.write_text(table, encoding="utf-8")
    return str(file)


STEADY = [1.0, 1.1, 0.9, 1.05] * 10
CASES = {  # gradients, values, arguments, warnings
    "nothing to say": (STEADY, [5.0] * 40, [], []),
    "no values": (STEADY, None, [], []),
    "no gradient": ([0.0] * 40, None, [], ["no gradient"]),
    "epsilon rules": ([1e-8 * g for g in STEADY], None, [], ["epsilon rules"]),
    "a lower eps": ([1e-8 * g for g in STEADY], None, ["--eps", "1e-10"], []),
    "spike": ([*STEADY[:20], 500.0, *STEADY[:19]], None, [], ["spike"]),
    "mostly noise": ([1.0, -1.0] * 20, None, [], ["mostly noise"]),
    "large steps": (STEADY, [5.0] * 40, ["--lr", "1"], ["large steps"]),
    "small steps": (STEADY, [5000.0] * 40, ["--lr", "1e-3"], ["small steps"]),
    "decay rules": (STEADY, [5.0] * 40, ["--weight-decay", "0.5"], ["decay rules"]),
    "decay is weaker": (STEADY, [5.0] * 40, ["--weight-decay", "0.1"], []),
    "decoupled decay rules": (STEADY, [5.0] * 40, ["--weight-decay", "0.5", "--optimizer", "adamw"], ["decay rules"]),
}


@pytest.mark.parametrize("which", CASES)
def test_script_warns(check, which):
    gradients, values, arguments, warnings = CASES[which]
    found = check({"w": gradients}, *arguments, "--json", values=None if values is None else {"w": values})
    assert found.json["numbers"]["w"]["warnings"] == warnings
    assert found.status == bool(warnings)
    text = check({"w": gradients}, *arguments, values=None if values is None else {"w": values}).out
    assert all(f"\n{warning}: " in text for warning in warnings)


def test_script_measures(check):
    found = check({"a": [3.0] * 9, "b": [-0.5] * 9}, "--json", "--optimizer", "sgd", "--lr", "0.2").json
    a = found["numbers"]["a"]
    assert (a["gradient"], a["agreement"], a["steps"]["sgd"]) == (3.0, 1.0, 3.0)
    assert a["steps"]["adam"] == pytest.approx(1.0) and a["epsilon"] == pytest.approx(1e-8 / 3)
    # the medians over both numbers: 1.75 for SGD, 1 for Adam
    assert found["same_motion"]["adam"] == pytest.approx(0.35) and found["same_motion"]["sgd"] == pytest.approx(0.2)
    momentum = statistics.median((1 - 0.9**t) / 0.1 for t in range(1, 10))
    assert found["same_motion"]["momentum"] == pytest.approx(0.2 / momentum)


@pytest.mark.parametrize(
    ("gradients", "arguments", "complaint"),
    [
        ("", [], "a header and one line"),
        ("w\n", [], "got 1 lines"),
        ("w,w\n1,2\n", [], "occurs twice"),
        ("w,v\n1,2\n3\n", [], "line 3: expected 2 values, got 1"),
        ("w\n1\nx\n", [], "line 3: expected finite numbers, got 'x'"),
        ("w\nnan\n", [], "line 2: expected finite numbers, got 'nan'"),
        ("w\n1\n", ["--betas", "0.9", "1"], "below 1"),
        ("w\n1\n", ["--lr", "0"], "--lr"),
        ("w\n1\n", ["--optimizer", "lion"], "got lion"),
        ("w\n1\n", ["--optimizer", "adamw"], "needs --values"),
    ],
)
def test_script_says_what_is_wrong(check, gradients, arguments, complaint):
    run = check(gradients, *arguments)
    assert (run.status, run.out) == (2, "") and complaint in run.err


@pytest.mark.parametrize("values", ["v\n1\n", "w\n1\n2\n"])
def test_script_wants_values_that_fit(check, values):
    run = check("w\n1\n", values=values)
    assert run.status == 2 and "--values must have" in run.err


def test_skill_logs_what_torch_does(build_it, use_it, tmp_path, monkeypatch):
    """The snippet of SKILL.md, run on a model; then the script, on its own, on what was logged."""
    [snippet] = re.findall(r"```python\n(.*?)```", (ship_it.SKILL / "SKILL.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    model = torch.nn.Sequential(torch.nn.Linear(1, 2, dtype=torch.float64), torch.nn.Linear(2, 1, dtype=torch.float64))
    names: dict[str, Any] = {"model": model}
    exec(snippet, names)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    start = model[1].bias.item()
    for x in (1.0, -1.0, 2.0):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(
            model(torch.tensor([[x]], dtype=torch.float64))[0, 0], torch.tensor(3.0)
        ).backward()
        names["log"]()
        optimizer.step()
    names["save"]()
    header, *rows = csv.reader(Path("gradients.csv").read_text(encoding="utf-8").splitlines())
    values = [*csv.reader(Path("values.csv").read_text(encoding="utf-8").splitlines())]
    assert header == values[0] and header[-1] == "1.bias[0]" and len(set(header)) == len(header) == 7
    for twin in (build_it, use_it):
        ours, theta = twin.AdamW(0.1), [start]
        for row, logged in zip(rows, values[1:], strict=True):
            assert theta[0] == pytest.approx(float(logged[-1]), rel=1e-9)
            theta = ours.step(theta, [float(row[-1])])
        assert theta[0] == pytest.approx(model[1].bias.item(), rel=1e-9)
    command = [sys.executable, "-I", "-S", "-B", str(SCRIPT), "gradients.csv", "--values", "values.csv"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode in (0, 1) and "1.bias[0]" in done.stdout and not done.stderr
