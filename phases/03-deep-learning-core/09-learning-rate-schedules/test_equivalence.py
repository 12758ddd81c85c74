"""The proof: every schedule at every step against torch's scheduler; plateaus; the range test; the noisy quadratic."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from random import Random
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from phases.deep_learning_core.learning_rate_schedules import tool
from torch.optim import SGD, Adam, lr_scheduler

from shared.proof import assert_equivalent, assert_same_error, examples
from shared.proof import strategies as some
from shared.ship.one_file import one_file

HERE = Path(__file__).parent

NAN, INF = math.nan, math.inf

rates = some.floats(1e-4, 1000.0)
factors = some.floats(0.05, 1.0)
fractions = some.floats(0.0, 1.0)


def against(twin: ModuleType, witness: str) -> dict:
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


def both(build_it, use_it, name: str, steps: int, *rest, **settings) -> None:
    """One schedule of both twins at every step."""
    assert_equivalent(
        *([getattr(twin, name)(t, *rest, **settings) for t in range(steps)] for twin in (build_it, use_it))
    )


# ---- schedules: values at every step


@given(rates, some.sizes(1, 9), factors)
@examples(12)
def test_step_lr(build_it, use_it, lr, step_size, gamma):
    both(build_it, use_it, "step_lr", 30, lr, step_size=step_size, gamma=gamma)


@given(rates, st.lists(some.sizes(1, 30), max_size=5), factors)
@examples(12)
def test_multi_step_lr(build_it, use_it, lr, milestones, gamma):
    both(build_it, use_it, "multi_step_lr", 33, lr, milestones=milestones, gamma=gamma)


@given(rates, factors)
@examples(10)
def test_exponential_lr(build_it, use_it, lr, gamma):
    both(build_it, use_it, "exponential_lr", 30, lr, gamma=gamma)


def settings_of(**strategies):
    """A dict of keyword arguments."""
    return st.fixed_dictionaries(strategies)


@given(rates, settings_of(start_factor=factors, end_factor=fractions, total_iters=some.sizes(1, 20)))
@examples(12)
def test_linear_lr(build_it, use_it, lr, settings):
    both(build_it, use_it, "linear_lr", 24, lr, **settings)


@given(rates, some.sizes(1, 20), fractions)
@examples(15)
def test_cosine_annealing_lr_through_three_half_periods(build_it, use_it, lr, T_max, eta_min):
    both(build_it, use_it, "cosine_annealing_lr", 3 * T_max + 2, lr, T_max=T_max, eta_min=eta_min)


@given(rates, settings_of(T_0=some.sizes(1, 6), T_mult=some.sizes(1, 3), eta_min=fractions))
@examples(12)
def test_cosine_annealing_warm_restarts(build_it, use_it, lr, settings):
    both(build_it, use_it, "cosine_annealing_warm_restarts", 40, lr, **settings)


@given(rates, some.sizes(1, 25), settings_of(warmup_steps=some.sizes(0, 15), start_factor=factors, eta_min=fractions))
@examples(15)
def test_warmup_cosine_lr(build_it, use_it, lr, cosine_steps, settings):
    total = settings["warmup_steps"] + cosine_steps
    both(build_it, use_it, "warmup_cosine_lr", total, lr, total_steps=total, **settings)


@pytest.mark.parametrize("shape", [(name, three) for name in ("cos", "linear") for three in (False, True)])
@given(
    settings_of(total_steps=some.sizes(1, 30), pct_start=fractions),
    settings_of(max_lr=rates, div_factor=rates, final_div_factor=rates),
)
@examples(8)
def test_one_cycle(build_it, use_it, shape, cycle, levels):
    n_steps = cycle["total_steps"]
    assume(abs(cycle["pct_start"] * n_steps - 1) > 1e-3)
    cycle |= {"anneal_strategy": shape[0], "three_phase": shape[1]}
    both(build_it, use_it, "one_cycle_lr", n_steps, **cycle, **levels)
    momenta = {"base_momentum": 1 / (1 + levels["max_lr"]), "max_momentum": 0.95}
    both(build_it, use_it, "one_cycle_momentum", n_steps, **cycle, **momenta)


def test_defaults(build_it, use_it):
    both(build_it, use_it, "step_lr", 9, 0.5, step_size=4)
    both(build_it, use_it, "multi_step_lr", 9, 0.5, milestones=[2, 5])
    both(build_it, use_it, "linear_lr", 9, 0.5)
    both(build_it, use_it, "cosine_annealing_lr", 9, 0.5, T_max=8)
    both(build_it, use_it, "cosine_annealing_warm_restarts", 9, 0.5, T_0=2)
    both(build_it, use_it, "warmup_cosine_lr", 9, 0.5, warmup_steps=3, total_steps=9)
    both(build_it, use_it, "one_cycle_lr", 20, 0.5, total_steps=20)
    both(build_it, use_it, "one_cycle_momentum", 20, total_steps=20)
    for twin in (build_it, use_it):  # torch's defaults, from its documentation
        lrs = [twin.linear_lr(t, 3.0) for t in (0, 5)] + [twin.step_lr(1, 3.0, step_size=1)]
        assert_equivalent(lrs, [1.0, 3.0, 0.3], **against(twin, "the documentation"))
        lrs = [twin.one_cycle_lr(t, 3.0, total_steps=20) for t in (0, 5, 19)]
        assert_equivalent(lrs, [0.12, 3.0, 1.2e-5], **against(twin, "the documentation"))
        momenta = [twin.one_cycle_momentum(t, total_steps=20) for t in (0, 5, 19)]
        assert_equivalent(momenta, [0.95, 0.85, 0.95], **against(twin, "the documentation"))
        assert_equivalent(
            twin.warmup_cosine_lr(0, 3.0, warmup_steps=1, total_steps=2), 0.03, **against(twin, "by hand")
        )


BY_HAND = {  # name, arguments, settings, learning rates from step 0
    "step": ("step_lr", [0.8], {"step_size": 2, "gamma": 0.5}, [0.8, 0.8, 0.4, 0.4, 0.2]),
    "multi-step": ("multi_step_lr", [0.8], {"milestones": [3, 1], "gamma": 0.5}, [0.8, 0.4, 0.4, 0.2, 0.2]),
    "a milestone twice": ("multi_step_lr", [0.8], {"milestones": [2, 2], "gamma": 0.5}, [0.8, 0.8, 0.2, 0.2]),
    "no milestone": ("multi_step_lr", [0.8], {"milestones": []}, [0.8, 0.8]),
    "exponential": ("exponential_lr", [0.8], {"gamma": 0.5}, [0.8, 0.4, 0.2, 0.1]),
    "linear": ("linear_lr", [0.8], {"start_factor": 0.25, "total_iters": 3}, [0.2, 0.4, 0.6, 0.8, 0.8]),
    "linear down": (
        "linear_lr",
        [0.8],
        {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 2},
        [0.8, 0.4, 0.0, 0.0],
    ),
    "cosine and back": ("cosine_annealing_lr", [0.8], {"T_max": 2}, [0.8, 0.4, 0.0, 0.4, 0.8, 0.4]),
    "cosine, T_max 1": ("cosine_annealing_lr", [0.8], {"T_max": 1, "eta_min": 0.2}, [0.8, 0.2, 0.8, 0.2]),
    "restarts": ("cosine_annealing_warm_restarts", [0.8], {"T_0": 2}, [0.8, 0.4, 0.8, 0.4, 0.8]),
    "longer cycles": (
        "cosine_annealing_warm_restarts",
        [0.8],
        {"T_0": 1, "T_mult": 2},
        [0.8, 0.8, 0.4, 0.8, 0.4 + 0.2 * math.sqrt(2), 0.4, 0.4 - 0.2 * math.sqrt(2), 0.8],
    ),
    "warm-up, then cosine": (
        "warmup_cosine_lr",
        [0.8],
        {"warmup_steps": 2, "total_steps": 4, "start_factor": 0.25},
        [0.2, 0.5, 0.8, 0.4],
    ),
    "one cycle": (
        "one_cycle_lr",
        [0.8],
        {"total_steps": 9, "pct_start": 1 / 3, "div_factor": 4.0, "final_div_factor": 2.0, "anneal_strategy": "linear"},
        [0.2, 0.5, 0.8, 0.8 - 0.7 / 6, 0.8 - 1.4 / 6, 0.45, 0.8 - 2.8 / 6, 0.8 - 3.5 / 6, 0.1],
    ),
    "one cycle, three phases": (
        "one_cycle_lr",
        [0.8],
        {
            "total_steps": 8,
            "pct_start": 3 / 8,
            "div_factor": 4.0,
            "final_div_factor": 2.0,
            "three_phase": True,
        },
        [0.2, 0.5, 0.8, 0.5, 0.2, 0.175, 0.125, 0.1],
    ),
    "momentum": (
        "one_cycle_momentum",
        [],
        {"total_steps": 7, "pct_start": 3 / 7, "base_momentum": 0.5, "max_momentum": 0.9},
        [0.9, 0.7, 0.5, 0.7 - 0.1 * math.sqrt(2), 0.7, 0.7 + 0.1 * math.sqrt(2), 0.9],
    ),
    "momentum, three phases": (
        "one_cycle_momentum",
        [],
        {"total_steps": 8, "pct_start": 3 / 8, "base_momentum": 0.5, "max_momentum": 0.9, "three_phase": True},
        [0.9, 0.7, 0.5, 0.7, 0.9, 0.9, 0.9, 0.9],
    ),
    "one step": ("one_cycle_lr", [0.8], {"total_steps": 1, "div_factor": 4.0, "final_div_factor": 2.0}, [0.1]),
    "only up": ("one_cycle_lr", [0.8], {"total_steps": 3, "pct_start": 1, "div_factor": 4.0}, [0.2, 0.5, 0.8]),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_by_hand(build_it, use_it, what):
    name, rest, settings, lrs = BY_HAND[what]
    for twin in (build_it, use_it):
        found = [getattr(twin, name)(t, *rest, **settings) for t in range(len(lrs))]
        assert_equivalent(found, lrs, **against(twin, "by hand"))


def test_a_schedule_is_a_function(build_it, use_it):
    """Asked in any order, again and again, it gives the same; so a run resumes at any step."""
    order = Random(0).sample(range(40), 40)
    for twin in (build_it, use_it):
        in_order = [twin.one_cycle_lr(t, 1.0, total_steps=40) for t in range(40)]
        assert [twin.one_cycle_lr(t, 1.0, total_steps=40) for t in order] == [in_order[t] for t in order]


@given(rates, some.sizes(1, 1000), st.integers(0, 2000), fractions)
@examples(20)
def test_invariants_of_the_cosine(build_it, lr, T_max, step, eta_min):
    """Symmetric about T_max, of period 2 T_max; and step t and T_max - t add up to base_lr + eta_min."""

    def at(t):
        return build_it.cosine_annealing_lr(t, lr, T_max=T_max, eta_min=eta_min)

    whole = ("build_it", "the invariant")
    assert_equivalent(at(step), at(step + 2 * T_max), atol=1e-9, names=whole)  # lr up to 1000, and cos(π n) rounds
    step %= T_max + 1
    assert_equivalent(at(step) + at(T_max - step), lr + eta_min, names=whole)
    assert_equivalent(at(T_max + step), at(T_max - step), atol=1e-9, names=whole)


def test_one_cycle_drives_a_torch_optimizer(build_it):
    """Learning rate and momentum of one run, for SGD's momentum and for Adam's first beta."""
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    for optimizer in (SGD([weight], lr=1.0, momentum=0.5), Adam([weight], lr=1.0)):
        scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=25)
        for t in range(25):
            group = optimizer.param_groups[0]
            momentum = group["momentum"] if "momentum" in group else group["betas"][0]
            expected = (build_it.one_cycle_lr(t, 0.3, total_steps=25), build_it.one_cycle_momentum(t, total_steps=25))
            assert_equivalent(expected, (group["lr"], momentum), names=("build_it", "torch"))
            optimizer.step()
            scheduler.step()


# ---- off by one: what torch does, and the function that says what it should have been


def used_by_torch(n_steps: int, scheduler_first: bool) -> list[float]:
    """The learning rates with which n_steps optimizer steps are made."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=0.8)
    scheduler = lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    used = []
    for _ in range(n_steps):
        if scheduler_first:
            scheduler.step()
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if not scheduler_first:
            scheduler.step()
    return used


def test_scheduler_step_comes_after_optimizer_step(build_it):
    schedule = [build_it.exponential_lr(t, 0.8, gamma=0.5) for t in range(5)]
    assert_equivalent(schedule[:4], used_by_torch(4, scheduler_first=False), names=("build_it", "torch"))
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        skipped = used_by_torch(4, scheduler_first=True)
    assert_equivalent(schedule[1:], skipped, names=("build_it", "torch"))


def test_what_torch_does_at_the_ends_of_one_cycle(build_it):
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    with pytest.raises(ZeroDivisionError):
        lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10, pct_start=0.1)
    scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    used = [*go_on(optimizer, scheduler, 10), optimizer.param_groups[0]["lr"]]
    assert used[10] > used[9], "one step too many, and the rate goes up again"
    expected = [build_it.one_cycle_lr(t, 1.0, total_steps=10) for t in range(10)]
    assert_equivalent(expected, used[:10], names=("build_it", "torch"))
    scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=0.8, total_steps=10, anneal_strategy="linear")
    used = [*go_on(optimizer, scheduler, 10), optimizer.param_groups[0]["lr"]]
    assert used[10] < 0 < used[9], "one step too many, and the straight line goes on below 0"
    expected = [build_it.one_cycle_lr(t, 0.8, total_steps=10, anneal_strategy="linear") for t in range(10)]
    assert_equivalent(expected, used[:10], names=("build_it", "torch"))


def test_a_schedule_in_epochs_stepped_once_a_batch_ends_too_early(build_it):
    """30 epochs of 10 batches, and T_max = 30: after 3 epochs the rate is 0, after 6 it is at its height again."""
    n_batches, T_max = 10, 30
    lrs = [build_it.cosine_annealing_lr(t, 1.0, T_max=T_max) for t in range(7 * n_batches)]
    assert lrs[3 * n_batches] < 1e-15 and lrs[6 * n_batches] > 1 - 1e-12
    per_epoch = [build_it.cosine_annealing_lr(t // n_batches, 1.0, T_max=T_max) for t in range(7 * n_batches)]
    assert min(per_epoch) > 0.9


def begin(scheduler, lr: float, last_epoch: int = -1, **settings):
    """An optimizer and its scheduler; with last_epoch, as one resumes without a state_dict."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    if last_epoch >= 0:
        optimizer.param_groups[0]["initial_lr"] = 0.8
    return optimizer, scheduler(optimizer, **settings, last_epoch=last_epoch)


def go_on(optimizer, scheduler, n_steps: int) -> list[float]:
    """The learning rates of the next steps."""
    used = []
    for _ in range(n_steps):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return used


def test_resuming_by_state_dict(build_it):
    full = [build_it.cosine_annealing_lr(t, 0.8, T_max=10) for t in range(11)]
    optimizer, scheduler = begin(lr_scheduler.CosineAnnealingLR, 0.8, T_max=10)
    assert_equivalent(full[:4], go_on(optimizer, scheduler, 4), names=("build_it", "torch"))
    saved = optimizer.state_dict(), scheduler.state_dict()
    assert saved[1]["last_epoch"] == 4, "the index of the step that comes next"
    optimizer, scheduler = begin(lr_scheduler.CosineAnnealingLR, 0.8, T_max=10)
    optimizer.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    assert_equivalent(full[4:], go_on(optimizer, scheduler, 7), names=("build_it", "torch"))


def test_resuming_by_last_epoch(build_it):
    """The argument is the last step *done*, one less than the attribute; and StepLR drops a second time (torch 2.13)."""
    full = [build_it.cosine_annealing_lr(t, 0.8, T_max=10) for t in range(11)]
    right = go_on(*begin(lr_scheduler.CosineAnnealingLR, full[4], last_epoch=3, T_max=10), 6)
    assert_equivalent(full[4:10], right, names=("build_it", "torch"))
    wrong = go_on(*begin(lr_scheduler.CosineAnnealingLR, full[4], last_epoch=4, T_max=10), 5)
    assert wrong[0] == full[4] and all(abs(a - b) > 0.01 for a, b in zip(wrong[1:], full[5:9], strict=True))
    steps = [build_it.step_lr(t, 0.8, step_size=3, gamma=0.5) for t in range(6)]
    resumed = go_on(*begin(lr_scheduler.StepLR, steps[3], last_epoch=2, step_size=3, gamma=0.5), 3)
    assert_equivalent([lr / 2 for lr in steps[3:]], resumed, names=("half of build_it", "torch"))


# ---- plateaus


PLATEAU = {
    "mode": st.sampled_from(["min", "max"]),
    "factor": some.floats(0.1, 0.9),
    "patience": some.sizes(0, 3),
    "threshold": st.sampled_from([0.0, 1e-4, 0.125, 1.0]),
    "threshold_mode": st.sampled_from(["rel", "abs"]),
    "cooldown": some.sizes(0, 3),
    "min_lr": st.sampled_from([0.0, 0.01, 0.3]),
    "eps": st.sampled_from([0.0, 1e-8, 0.05]),
}
metrics = st.lists(st.integers(-16, 16).map(lambda k: k / 8) | st.sampled_from([1000.0, -1000.0, INF]), max_size=25)


@given(settings_of(**PLATEAU), some.floats(0.01, 10.0), metrics)
@examples(40)
def test_plateau_every_option(build_it, use_it, settings, lr, values):
    found = []
    for twin in (build_it, use_it):
        plateau = twin.ReduceLROnPlateau(lr, **settings)
        found.append([plateau.lr, *((plateau.step(value), plateau.lr) for value in values)])
    assert_equivalent(*found)


def lrs_after(twin: ModuleType, values: list[float], **settings) -> list[float]:
    """The learning rate after each metric, from 1."""
    plateau = twin.ReduceLROnPlateau(1.0, **settings)
    return [plateau.step(value) for value in values]


HALF = {"factor": 0.5, "patience": 0}
PLATEAUS = {  # metrics, settings, learning rates
    "patience 2: the third bad epoch reduces": ([5, 5, 5, 5, 5], HALF | {"patience": 2}, [1, 1, 1, 0.5, 0.5]),
    "then it counts from 0": ([5] * 7, HALF | {"patience": 2}, [1, 1, 1, 0.5, 0.5, 0.5, 0.25]),
    "better resets the count": ([5, 5, 4, 4, 4], HALF | {"patience": 1}, [1, 1, 1, 1, 0.5]),
    "cooldown 2": ([5] * 7, HALF | {"cooldown": 2}, [1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]),
    "better during a cooldown counts": ([5, 5, 4, 4, 4], HALF | {"cooldown": 1}, [1, 0.5, 0.5, 0.25, 0.25]),
    "by exactly the threshold is not better": (
        [4, 3, 2.5],
        HALF | {"threshold": 1.0, "threshold_mode": "abs"},
        [1, 0.5, 0.5],
    ),
    "by more it is": ([4, 2.875], HALF | {"threshold": 1.0, "threshold_mode": "abs"}, [1, 1]),
    "relative": ([4, 3, 2.875], HALF | {"threshold": 0.25}, [1, 0.5, 0.5]),
    "max, relative": ([4, 5, 5.125], HALF | {"threshold": 0.25, "mode": "max"}, [1, 0.5, 0.5]),
    "max, absolute": ([4, 5, 5.125], HALF | {"threshold": 1, "mode": "max", "threshold_mode": "abs"}, [1, 0.5, 0.5]),
    "min_lr": ([5] * 4, HALF | {"min_lr": 0.375}, [1, 0.5, 0.375, 0.375]),
    "a reduction by eps is not made": ([5] * 3, HALF | {"eps": 0.25}, [1, 0.5, 0.5]),
    "by more than eps it is": ([5] * 3, HALF | {"eps": 0.2421875}, [1, 0.5, 0.25]),
    "infinite is never better": ([INF] * 3, HALF | {"patience": 1}, [1, 0.5, 0.5]),
    "defaults: 10 are borne": ([5.0] * 13, {}, [1.0] * 11 + [0.1] * 2),
    "defaults: 0.01% better is not better": ([1.0, 0.99995], {"patience": 0}, [1.0, 0.1]),
    "a relative threshold of 1: not even the first is better": ([3, 2, 1], HALF | {"threshold": 1}, [0.5, 0.25, 0.125]),
    "relative and below 0: worse counts as better": ([-8, -7.5, -7.5], HALF | {"threshold": 0.125}, [1, 1, 1]),
}


@pytest.mark.parametrize("what", PLATEAUS)
def test_plateau_by_hand(build_it, use_it, what):
    values, settings, lrs = PLATEAUS[what]
    for twin in (build_it, use_it):
        assert_equivalent(lrs_after(twin, values, **settings), lrs, **against(twin, "by hand"))


def test_plateau_refuses_nan_and_goes_on(build_it, use_it):
    for twin in (build_it, use_it):
        plateau = twin.ReduceLROnPlateau(1.0, factor=0.5, patience=1)
        plateau.step(5.0)
        plateau.step(5.0)
        with pytest.raises(ValueError, match="NaN"):
            plateau.step(NAN)
        assert plateau.lr == 1.0 and plateau.step(5.0) == 0.5


# ---- the noisy quadratic


@given(st.data())
@examples(12)
def test_noisy_descent_and_its_mean_square(build_it, use_it, data):
    n = data.draw(st.integers(0, 6))
    x, sigma = data.draw(some.floats()), data.draw(some.floats(0.0, 3.0))
    lrs, curvatures = (data.draw(some.vectors(n, some.floats(0.0, 3.0))) for _ in range(2))
    noises = data.draw(some.vectors(n))
    assert_equivalent(*(twin.noisy_descent(x, lrs, curvatures, noises) for twin in (build_it, use_it)))
    assert_equivalent(*(twin.expected_squares(x, lrs, curvatures, sigma) for twin in (build_it, use_it)))


def test_expected_squares_is_a_mean_over_all_noises(build_it, use_it):
    """With noise of ±sigma at each of 6 steps there are 64 paths: the mean of x² over all of them, exactly."""
    rng = Random(1)
    lrs, curvatures = [rng.uniform(0.1, 1.5) for _ in range(6)], [rng.uniform(0.2, 2.0) for _ in range(6)]
    signs = [[1.5 * (1 if k >> i & 1 else -1) for i in range(6)] for k in range(64)]
    for twin in (build_it, use_it):
        paths = np.array([build_it.noisy_descent(2.0, lrs, curvatures, noises) for noises in signs])
        found = twin.expected_squares(2.0, lrs, curvatures, 1.5)
        assert_equivalent(found, (paths**2).mean(axis=0).tolist(), **against(twin, "all paths"))


@given(some.floats(0.01, 1.9), some.floats(0.1, 10.0), some.floats(0.0, 5.0))
@examples(15)
def test_steady_state(build_it, use_it, product, curvature, sigma):
    """It is what the recursion leaves as it is, and where it goes."""
    lr = product / curvature
    built, used = (twin.steady_state_variance(lr, curvature, sigma) for twin in (build_it, use_it))
    assert_equivalent(built, used)
    squares = build_it.expected_squares(math.sqrt(built), [lr] * 3, [curvature] * 3, sigma)
    assert_equivalent(squares, [built] * 4, names=("build_it", "the fixed point"))
    far = build_it.expected_squares(1.0, [lr] * 1500, [curvature] * 1500, sigma)[-1]
    assert_equivalent(far, built, atol=1e-9, names=("build_it", "the limit"))  # 0.98^1500 = 7e-14 of the start is left


def test_variance_is_proportional_to_a_small_learning_rate(build_it, use_it):
    for twin in (build_it, use_it):
        ratio = twin.steady_state_variance(1e-6, 3.0, 2.0) / twin.steady_state_variance(1e-7, 3.0, 2.0)
        assert_equivalent(ratio, 10.0, rtol=1e-5, **against(twin, "the limit"))  # 2 - ηh is 2 up to 1.5e-6


def test_the_variance_of_many_runs(build_it):
    """100 000 correlated steps: the sample mean of x² within 3% of the formula (seed fixed; its error is about 1%)."""
    rng, n = Random(0), 20000
    for lr in (0.5, 0.1):
        path = build_it.noisy_descent(0.0, [lr] * n, [1.0] * n, [rng.gauss(0.0, 1.0) for _ in range(n)])
        measured = math.fsum(x * x for x in path[200:]) / len(path[200:])
        formula = build_it.steady_state_variance(lr, 1.0, 1.0)
        assert_equivalent(measured, formula, rtol=0.05, names=("many steps", "the formula"))


def test_the_greedy_rate_decays_as_one_over_t(build_it):
    """η = h E / (h² E + sigma²) makes each step as good as it can be; then 1/E grows by h²/sigma² a step."""
    h, sigma, square = 2.0, 3.0, 25.0
    for _ in range(20):
        best = h * square / (h * h * square + sigma * sigma)
        after = build_it.expected_squares(math.sqrt(square), [best], [h], sigma)[-1]
        for other in (0.99 * best, 1.01 * best):
            assert build_it.expected_squares(math.sqrt(square), [other], [h], sigma)[-1] > after
        assert_equivalent(1 / after, 1 / square + h * h / (sigma * sigma), names=("build_it", "the derivation"))
        square = after


# ---- the range test


def bowl(start: float = 3.0):
    """Steps on x²/2 + 1, from `start`."""
    x = [start]

    def train_step(lr: float) -> float:
        loss = x[0] * x[0] / 2 + 1
        x[0] -= lr * x[0]
        return loss

    return train_step


@given(
    some.floats(1e-4, 0.1),
    some.floats(2.0, 1000.0),
    settings_of(n_steps=some.sizes(2, 30), beta=some.floats(0.0, 0.95), stop_factor=some.floats(1.1, 5.0)),
)
@examples(15)
def test_range_test(build_it, use_it, start_lr, ratio, settings):
    settings |= {"start_lr": start_lr, "end_lr": start_lr * ratio}
    built, used = (twin.range_test(bowl(), **settings) for twin in (build_it, use_it))
    assert_equivalent(dataclasses.asdict(built), dataclasses.asdict(used), rtol=1e-7)
    # torch multiplies by gamma n_steps times; a diverging bowl multiplies what that rounds by up to 10^5


def test_range_test_rates_and_defaults(build_it, use_it):
    for twin in (build_it, use_it):
        test = twin.range_test(lambda lr: 1.0)
        assert_equivalent(test.lrs, np.geomspace(1e-5, 10.0, 100).tolist(), **against(twin, "numpy.geomspace"))
        assert test.losses == [1.0] * 100
        test = twin.range_test(lambda lr: lr, start_lr=1.0, end_lr=16.0, n_steps=5, stop_factor=1e9)
        assert_equivalent(test.losses, [1.0, 2.0, 4.0, 8.0, 16.0], **against(twin, "by hand"))


def fed(*losses: float):
    """Training whose losses are known beforehand."""
    coming = iter(losses)
    return lambda lr: next(coming)


def test_range_test_stops(build_it, use_it):
    for twin in (build_it, use_it):
        none = {"beta": 0.0, "n_steps": 5}
        for end in (NAN, INF):
            assert twin.range_test(fed(2.0, 1.0, end), **none).losses == [2.0, 1.0]
        assert twin.range_test(fed(NAN), **none).lrs == []
        assert twin.range_test(fed(2.0, 1.0, 4.0, 4.125), **none).losses == [2.0, 1.0, 4.0, 4.125]  # above 4 × 1
        assert twin.range_test(fed(2.0, 1.0, 2.125), **none, stop_factor=2.0).losses == [2.0, 1.0, 2.125]
        # smoothed with 0.9 and corrected: 1, then 1.9 / 0.19 × … the second of 8 gives (0.09 + 0.8) / 0.19 = 4.68
        assert twin.range_test(fed(1.0, 8.0), n_steps=5).losses == [1.0, 8.0]
        # (0.09 + 0.6) / 0.19 = 3.63 is below 4 × 1, then (0.621 + 0.6) / 0.271 = 4.5 is above
        assert twin.range_test(fed(1.0, 6.0, 6.0), n_steps=5).losses == [1.0, 6.0, 6.0]


@given(st.lists(some.floats(-1000.0, 1000.0), min_size=1, max_size=12), some.floats(0.0, 0.99))
@examples(15)
def test_smooth(build_it, use_it, losses, beta):
    built, used = (twin.smooth(losses, beta) for twin in (build_it, use_it))
    assert_equivalent(built, used, atol=1e-9)  # means of ±1000 that cancel
    weights = [[beta ** (t - k) for k in range(t + 1)] for t in range(len(losses))]
    means = [np.average(losses[: len(w)], weights=w).item() for w in weights]
    assert_equivalent(built, means, atol=1e-9, names=("build_it", "a weighted mean"))


def test_smooth_by_hand(build_it, use_it):
    for twin in (build_it, use_it):
        assert_equivalent(twin.smooth([3.0, 0.0, 7.0], 0.5), [3.0, 1.0, 31 / 7], **against(twin, "by hand"))
        assert_equivalent(twin.smooth([3.0, 0.0], 0.0), [3.0, 0.0], **against(twin, "by hand"))
        assert_equivalent(twin.smooth([3.0, 0.0]), [3.0, 2.7 / 1.9], **against(twin, "beta 0.9"))
        assert_equivalent(twin.smooth([4.0] * 50), [4.0] * 50, **against(twin, "a constant"))


@st.composite
def curves(draw, min_size: int = 2):
    """Rising learning rates and losses."""
    n = draw(some.sizes(min_size, 14))
    steps = draw(some.vectors(n, some.floats(1.1, 4.0)))
    return np.cumprod([1e-3, *steps[1:]]).tolist(), draw(some.vectors(n, some.floats(0.0, 100.0)))


@given(curves())
@examples(15)
def test_slopes(build_it, use_it, curve):
    assert_equivalent(*(twin.slopes(*curve) for twin in (build_it, use_it)), atol=1e-9)  # losses of 100 that cancel


def test_slopes_of_a_parabola_are_exact_inside(build_it, use_it):
    lrs = [math.exp(x) for x in (-3.0, -2.5, -1.0, 0.25, 2.0)]
    losses = [math.log(lr) ** 2 - math.log(lr) for lr in lrs]
    for twin in (build_it, use_it):
        inner = twin.slopes(lrs, losses)[1:-1]
        assert_equivalent(inner, [-6.0, -3.0, -0.5], **against(twin, "the derivative"))
        ends = twin.slopes([1.0, math.e, math.e**3], [0.0, 3.0, 1.0])
        assert_equivalent(ends[::2], [3.0, -1.0], **against(twin, "by hand"))


@given(curves(min_size=3), some.floats(0.0, 0.95), st.integers(0, 3))
@examples(30)
def test_suggest(build_it, use_it, curve, beta, skip):
    lrs, losses = curve
    smoothed = build_it.smooth(losses, beta)
    lowest = smoothed.index(min(smoothed))
    assume(lowest > skip)
    in_order = sorted(build_it.slopes(lrs, smoothed)[skip : lowest + 1]), sorted(smoothed)
    assume(all(values[1] - values[0] > 1e-9 for values in in_order))  # rounding may choose either of two equal ones
    assert_equivalent(*(twin.suggest(lrs, losses, beta=beta, skip=skip) for twin in (build_it, use_it)))


def test_suggest_by_hand(build_it, use_it):
    lrs, losses = [2.0**k for k in range(-8, 4)], [9.0, 5.0, 5.0, 5.0, 4.5, 3.0, 2.0, 1.5, 1.25, 6.0, 7.0, 9.0]
    for twin in (build_it, use_it):
        found = twin.suggest(lrs, losses, beta=0.0, skip=2)  # slopes of 3 → 2 around 2^-3: (4.5 - 2) / 2
        assert_equivalent(found, twin.Suggestion(2.0**-3, 1.0), **against(twin, "by hand"))
        found = twin.suggest(lrs, losses, beta=0.0, skip=0)
        assert_equivalent(found, twin.Suggestion(2.0**-8, 1.0), **against(twin, "by hand"))
        falling = [float(40 - k * k / 10) for k in range(14)]  # steeper and steeper; the last one counts
        lrs14 = [2.0**k for k in range(14)]
        found = twin.suggest(lrs14, falling, beta=0.0)
        assert_equivalent(found, twin.Suggestion(2.0**13, 2.0**13), **against(twin, "by hand"))
        steep = twin.suggest([1.0, 2.0, 4.0, 16.0], [4.0, 2.0, 2.0, -2.0], beta=0.0, skip=0)  # -2/log 2 at both ends
        assert_equivalent(steep, twin.Suggestion(1.0, 16.0), **against(twin, "the first of equals"))
        low = twin.suggest([1.0, 2.0, 4.0, 16.0], [4.0, 2.0, 2.0, 5.0], beta=0.0, skip=0)
        assert_equivalent(low, twin.Suggestion(1.0, 2.0), **against(twin, "the first of equals"))
        late = [*(9.0 - k / 100 for k in range(10)), 8.0, 3.0, 2.5, 2.4]  # steepest at the first point after 10 skipped
        found = twin.suggest(lrs14, late, beta=0.0)
        assert_equivalent(found, twin.Suggestion(2.0**10, 2.0**13), **against(twin, "by hand"))
        uneven = [math.exp(u) for u in (0.0, 1.0, 2.0, 6.0, 7.0)]  # steeper after the lowest: not looked at
        early = twin.suggest(uneven, [1.5, 0.9, 0.8, 4.8, 0.9], beta=0.0, skip=0)
        assert_equivalent(early, twin.Suggestion(1.0, math.exp(2.0)), **against(twin, "by hand"))
        two = twin.suggest([1.0, 2.0], [1.0, 0.5], skip=0)
        assert_equivalent(two, twin.Suggestion(1.0, 2.0), **against(twin, "by hand"))
        for name, value in (("steepest", found), ("lrs", twin.RangeTest([], []))):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(value, name, 1.0)


def test_smoothing_lags_by_beta_over_one_minus_beta(build_it):
    """A falling line, smoothed, is the same line so many steps later: 9 for 0.9, 49 for 0.98; after t steps, less."""
    line = [-float(t) for t in range(3000)]
    for beta, lag in ((0.5, 1.0), (0.9, 9.0), (0.98, 49.0)):
        found = build_it.smooth(line, beta)
        for t in (100, 3000):
            age = lag - t * beta**t / (1 - beta**t)
            assert_equivalent(found[t - 1] - line[t - 1], age, names=("build_it", "the mean age"))


# ---- errors


BAD = [
    ("step_lr", (-1, 0.1), {"step_size": 2}),
    ("step_lr", (1.0, 0.1), {"step_size": 2}),
    *[("step_lr", (0, lr), {"step_size": 2}) for lr in (0.0, -1.0, INF, NAN)],
    *[("step_lr", (0, 0.1), {"step_size": size}) for size in (0, 1.5)],
    *[("step_lr", (0, 0.1), {"step_size": 2, "gamma": gamma}) for gamma in (0.0, 1.5, NAN)],
    ("multi_step_lr", (-1, 0.1), {"milestones": []}),
    ("multi_step_lr", (0, 0.0), {"milestones": []}),
    ("multi_step_lr", (0, 0.1), {"milestones": [1, 0]}),
    ("multi_step_lr", (0, 0.1), {"milestones": [], "gamma": 0.0}),
    ("exponential_lr", (-1, 0.1), {"gamma": 0.5}),
    ("exponential_lr", (0, 0.0), {"gamma": 0.5}),
    ("exponential_lr", (0, 0.1), {"gamma": 1.5}),
    ("linear_lr", (-1, 0.1), {}),
    ("linear_lr", (0, -0.1), {}),
    *[("linear_lr", (0, 0.1), {"start_factor": factor}) for factor in (0.0, 1.5, NAN)],
    *[("linear_lr", (0, 0.1), {"end_factor": factor}) for factor in (-0.5, 1.5, NAN)],
    ("linear_lr", (0, 0.1), {"total_iters": 0}),
    ("cosine_annealing_lr", (-1, 0.1), {"T_max": 2}),
    ("cosine_annealing_lr", (0, 0.0), {"T_max": 2}),
    ("cosine_annealing_lr", (0, 0.1), {"T_max": 0}),
    *[("cosine_annealing_lr", (0, 0.1), {"T_max": 2, "eta_min": eta}) for eta in (-1.0, INF, NAN)],
    ("cosine_annealing_warm_restarts", (-1, 0.1), {"T_0": 2}),
    ("cosine_annealing_warm_restarts", (0, 0.0), {"T_0": 2}),
    *[("cosine_annealing_warm_restarts", (0, 0.1), {"T_0": length}) for length in (0, 2.5)],
    *[("cosine_annealing_warm_restarts", (0, 0.1), {"T_0": 2, "T_mult": m}) for m in (0, 1.5)],
    ("cosine_annealing_warm_restarts", (0, 0.1), {"T_0": 2, "eta_min": -1.0}),
    ("warmup_cosine_lr", (0, 0.1), {"warmup_steps": 0, "total_steps": 0}),
    *[("warmup_cosine_lr", (t, 0.1), {"warmup_steps": 1, "total_steps": 4}) for t in (-1, 4)],
    *[("warmup_cosine_lr", (0, 0.1), {"warmup_steps": w, "total_steps": 4}) for w in (-1, 4, 1.5)],
    *[("warmup_cosine_lr", (3, lr), {"warmup_steps": 1, "total_steps": 4}) for lr in (0.0, NAN)],
    *[("warmup_cosine_lr", (0, lr), {"warmup_steps": 1, "total_steps": 4}) for lr in (0.0, NAN)],
    *[("warmup_cosine_lr", (3, 0.1), {"warmup_steps": 1, "total_steps": 4, "start_factor": f}) for f in (0.0, 2.0)],
    ("warmup_cosine_lr", (3, 0.1), {"warmup_steps": 1, "total_steps": 4, "eta_min": -0.5}),
    ("warmup_cosine_lr", (0, 0.1), {"warmup_steps": 1, "total_steps": 4, "eta_min": -0.5}),
    *[("one_cycle_lr", (t, 0.1), {"total_steps": 5}) for t in (-1, 5)],
    *[("one_cycle_lr", (0, lr), {"total_steps": 5}) for lr in (0.0, INF)],
    *[("one_cycle_lr", (0, 0.1), {"total_steps": n}) for n in (0, 4.5)],
    ("warmup_cosine_lr", (0, 0.1), {"warmup_steps": 1, "total_steps": 4.5}),
    *[("one_cycle_lr", (0, 0.1), {"total_steps": 5, "pct_start": p}) for p in (-0.1, 1.1, 0.2, NAN)],
    ("one_cycle_lr", (0, 0.1), {"total_steps": 5, "anneal_strategy": "cosine"}),
    ("one_cycle_lr", (0, 0.1), {"total_steps": 5, "div_factor": 0.0}),
    ("one_cycle_lr", (0, 0.1), {"total_steps": 5, "final_div_factor": 0.0}),
    ("one_cycle_momentum", (5,), {"total_steps": 5}),
    ("one_cycle_momentum", (0,), {"total_steps": 5, "anneal_strategy": ""}),
    *[("one_cycle_momentum", (0,), {"total_steps": 5, "base_momentum": m}) for m in (-0.1, 1.0)],
    *[("one_cycle_momentum", (0,), {"total_steps": 5, "max_momentum": m}) for m in (-0.1, 1.0)],
    *[("ReduceLROnPlateau", (lr,), {}) for lr in (0.0, NAN)],
    ("ReduceLROnPlateau", (1.0,), {"mode": "less"}),
    ("ReduceLROnPlateau", (1.0,), {"threshold_mode": "relative"}),
    *[("ReduceLROnPlateau", (1.0,), {"factor": factor}) for factor in (0.0, 1.0, NAN)],
    *[("ReduceLROnPlateau", (1.0,), {name: value}) for name in ("patience", "cooldown") for value in (-1, 1.5)],
    *[("ReduceLROnPlateau", (1.0,), {name: -0.1}) for name in ("threshold", "min_lr", "eps")],
    ("noisy_descent", (NAN, [], [], []), {}),
    ("noisy_descent", (1.0, [0.1], [], [0.0]), {}),
    ("noisy_descent", (1.0, [0.1], [1.0], []), {}),
    ("noisy_descent", (1.0, [0.1], [1.0], [INF]), {}),
    ("noisy_descent", (1.0, [-0.1], [1.0], [0.0]), {}),
    ("noisy_descent", (1.0, [0.1], [-1.0], [0.0]), {}),
    ("expected_squares", (INF, [], [], 1.0), {}),
    ("expected_squares", (1.0, [0.1], [1.0, 1.0], 1.0), {}),
    ("expected_squares", (1.0, [-0.1], [1.0], 1.0), {}),
    ("expected_squares", (1.0, [0.1], [1.0], -1.0), {}),
    *[("steady_state_variance", case, {}) for case in ((0.0, 1.0, 1.0), (0.1, 0.0, 1.0), (0.1, 1.0, -1.0))],
    *[("steady_state_variance", case, {}) for case in ((2.0, 1.0, 1.0), (1.0, 3.0, 1.0))],
    ("range_test", (bowl(),), {"start_lr": 0.0}),
    *[("range_test", (bowl(),), {"start_lr": 1.0, "end_lr": end}) for end in (1.0, INF, NAN)],
    *[("range_test", (bowl(),), {"n_steps": n}) for n in (1, 2.5)],
    ("range_test", (bowl(),), {"beta": 1.0}),
    *[("range_test", (bowl(),), {"stop_factor": factor}) for factor in (1.0, INF)],
    ("range_test", (lambda lr: -1.0,), {}),
    ("smooth", ([],), {}),
    *[("smooth", ([1.0, loss],), {}) for loss in (NAN, INF)],
    *[("smooth", ([1.0], beta), {}) for beta in (-0.1, 1.0)],
    ("slopes", ([1.0], [1.0]), {}),
    ("slopes", ([1.0, 2.0, 3.0], [1.0, 2.0]), {}),
    *[("slopes", (lrs, [1.0, 2.0]), {}) for lrs in ([0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [1.0, INF])],
    ("slopes", ([1.0, 2.0], [1.0, NAN]), {}),
    ("suggest", ([1.0], [1.0]), {}),
    ("suggest", ([1.0, 2.0], [1.0, 0.5]), {"skip": -1}),
    ("suggest", ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), {"skip": 0}),
    ("suggest", ([1.0, 2.0, 3.0], [3.0, 2.0, 3.0]), {"skip": 1}),
    ("suggest", ([float(k) for k in range(1, 12)], [float(-k) for k in range(11)]), {}),
    # lowest of all at 1, which is skipped; the fall after it does not reach as deep
    ("suggest", ([1.0, 2.0, 3.0, 4.0, 5.0], [3.0, 1.0, 5.0, 4.0, 2.0]), {"beta": 0.0, "skip": 2}),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_errors(build_it, use_it, case):
    name, rest, settings = BAD[case]
    assert_same_error(lambda twin: getattr(twin, name)(*rest, **settings), build_it, use_it)


# ---- the tool


def run(capsys, *arguments: str, status: int = 0) -> str:
    assert tool.main([str(argument) for argument in arguments]) == status
    said = capsys.readouterr()
    return said.err if status else said.out


def write_log(file: Path, lrs, losses, header: str = "lr,loss\n") -> Path:
    file.write_text(header + "".join(f"{a!r},{b!r}\n" for a, b in zip(lrs, losses, strict=True)))
    return file


def test_the_tool_reads_a_log(build_it, tmp_path, capsys):
    lrs = [10 ** (k / 10 - 3) for k in range(31)]
    losses = [2.0 + math.tanh(-k / 4 + 4) if k < 28 else 3.0 * k - 79 for k in range(31)]
    file = write_log(tmp_path / "log.csv", lrs, losses)
    found = build_it.suggest(lrs, losses)
    result = json.loads(run(capsys, file, "--json"))
    assert (result["suggested"], result["lowest"]) == (found.steepest, found.lowest)
    text = run(capsys, file)
    assert f"suggested learning rate: {found.steepest:.2g}" in text
    assert f"more cautious: {found.lowest / 10:.2g}, a tenth of {found.lowest:.2g}" in text
    assert "still falls" not in text and text.count("\n") == 21
    curve = run(capsys, file, "--csv").split()
    assert curve[0] == "lr,loss,smoothed" and len(curve) == 32
    assert_equivalent(float(curve[-1].split(",")[2]), build_it.smooth(losses)[-1], names=("tool", "build_it"))

    write_log(file, lrs[:20], losses[:20], header="")
    assert "still falls at the end" in run(capsys, file)
    file.write_text(file.read_text() + "1,nan\n2,1\n")
    assert "row 21 has the loss nan" in run(capsys, file)
    write_log(file, lrs, losses, header="rate,train_loss\n")
    named = json.loads(run(capsys, file, "--lr", "rate", "--loss", "train_loss", "--json"))
    assert named == result


def test_the_tool_prints_schedules(build_it, capsys):
    def column(*arguments):
        header, *rows = run(capsys, "--schedule", *arguments, "--steps", 20, "--max-lr", 0.5).split()
        assert header == "step,lr" and [int(row.split(",")[0]) for row in rows] == list(range(20))
        return [float(row.split(",")[1]) for row in rows]

    cosine = [build_it.warmup_cosine_lr(t, 0.5, warmup_steps=5, total_steps=20, eta_min=0.1) for t in range(20)]
    close = {"rtol": 1e-8, "names": ("the tool, 9 digits", "build_it")}
    assert_equivalent(column("cosine", "--warmup", 5, "--min-lr", 0.1), cosine, **close)
    assert_equivalent(column("one-cycle"), [build_it.one_cycle_lr(t, 0.5, total_steps=20) for t in range(20)], **close)
    warm = [build_it.linear_lr(t, 0.5, start_factor=0.01, total_iters=5) for t in range(5)]
    after = {
        ("constant",): [0.5] * 15,
        ("step",): [0.5] * 5 + [0.05] * 5 + [0.005] * 5,
        ("step", "--gamma", 0.5, "--step-size", 10): [0.5] * 10 + [0.25] * 5,
        ("exponential", "--gamma", 0.5): [0.5**k for k in range(1, 16)],
        ("exponential",): [0.5 * 0.01 ** (k / 15) for k in range(15)],
        ("linear",): [0.5 * (1 - k / 15) for k in range(15)],
    }
    for arguments, lrs in after.items():
        assert_equivalent(column(*arguments, "--warmup", 5), warm + lrs, **close)


def test_the_tool_refuses(build_it, tmp_path, capsys):
    cases = {
        "": "no rows",
        "lr,loss\n": "1 numbers or more",
        "a,loss\n1,2\n": "no column 'lr'",
        "lr,loss\n1,2\n1,3\n": "row 3: learning rates must rise",
        "lr,loss\n0,2\n": "row 2: a learning rate must be finite",
        "lr,loss\n1,x\n": "row 2: 'x' is no number",
        "lr,loss\n1\n": "row 2: '' is no number",
        "".join(f"{k + 1},{k}\n" for k in range(20)): "fall",
    }
    for text, message in cases.items():
        (tmp_path / "log.csv").write_text(text)
        assert message in run(capsys, tmp_path / "log.csv", status=2)
    assert build_it.smooth([1.0]) == [1.0]  # what the tool smooths with
    assert "No such file" in run(capsys, tmp_path / "none.csv", status=2)
    assert "give a CSV file" in run(capsys, status=2)
    schedule = ["--schedule", "step"]
    assert "needs --steps" in run(capsys, *schedule, status=2)
    for more, message in {
        ("--steps", "0", "--max-lr", "1"): "at least 1",
        ("--steps", "5", "--max-lr", "1", "--warmup", "5"): "--warmup must be from 0 to 4",
        ("--steps", "5", "--max-lr", "0"): "--max-lr must be above 0",
        ("--steps", "5", "--max-lr", "1", "--gamma", "2"): "gamma must be",
        ("log.csv", "--steps", "5", "--max-lr", "1"): "two different questions",
    }.items():
        assert message in run(capsys, *schedule, *more, status=2)


def test_the_tool_runs_on_the_interpreter_alone(build_it, tmp_path):
    file = tmp_path / "lr-range-test.py"
    file.write_text(one_file(HERE / "build_it.py", HERE / "tool.py"), encoding="utf-8")
    command = [sys.executable, "-I", "-S", "-B", str(file), "--schedule", "cosine", "--steps", "4", "--max-lr", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = [build_it.cosine_annealing_lr(t, 1.0, T_max=4) for t in range(4)]
    found = [float(line.split(",")[1]) for line in done.stdout.split()[1:]]
    assert_equivalent(found, expected, rtol=1e-8, names=("the program, 9 digits", "build_it"))
