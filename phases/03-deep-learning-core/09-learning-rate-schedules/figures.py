"""The figures of this lesson, drawn from build_it; `nox -s figures` saves each as figures/NAME.svg."""

import math
from random import Random

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from phases.deep_learning_core.learning_rate_schedules import build_it
from phases.deep_learning_core.learning_rate_schedules.build_it import (
    ReduceLROnPlateau,
    cosine_annealing_lr,
    cosine_annealing_warm_restarts,
    expected_squares,
    exponential_lr,
    linear_lr,
    multi_step_lr,
    noisy_descent,
    one_cycle_lr,
    one_cycle_momentum,
    smooth,
    step_lr,
    suggest,
    warmup_cosine_lr,
)
from phases.deep_learning_core.learning_rate_schedules.ship_it import digits_range_test

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREEN, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#777777"
N = 100


def schedules() -> Figure:
    """All of them, from step 0 to 99, with 1 as highest learning rate."""
    plateau = ReduceLROnPlateau(1.0, factor=0.5, patience=5)
    rng = Random(0)
    losses = [max(0.3, math.exp(-t / 12)) + rng.uniform(0, 0.03) for t in range(N)]
    panels = {
        "step_lr\nstep_size=30, gamma=0.5": [step_lr(t, 1.0, step_size=30, gamma=0.5) for t in range(N)],
        "multi_step_lr\nmilestones=[50, 75], gamma=0.3": [
            multi_step_lr(t, 1.0, milestones=[50, 75], gamma=0.3) for t in range(N)
        ],
        "exponential_lr\ngamma=0.97": [exponential_lr(t, 1.0, gamma=0.97) for t in range(N)],
        "linear_lr\nstart_factor=0.1, total_iters=20": [
            linear_lr(t, 1.0, start_factor=0.1, total_iters=20) for t in range(N)
        ],
        "cosine_annealing_lr\nT_max=60: up again after it": [cosine_annealing_lr(t, 1.0, T_max=60) for t in range(N)],
        "cosine_annealing_warm_restarts\nT_0=15, T_mult=2": [
            cosine_annealing_warm_restarts(t, 1.0, T_0=15, T_mult=2) for t in range(N)
        ],
        "warmup_cosine_lr\nwarmup_steps=15, total_steps=100": [
            warmup_cosine_lr(t, 1.0, warmup_steps=15, total_steps=N) for t in range(N)
        ],
        "one_cycle_lr (and its momentum)\ntotal_steps=100": [one_cycle_lr(t, 1.0, total_steps=N) for t in range(N)],
        "ReduceLROnPlateau (and a loss)\nfactor=0.5, patience=5": [plateau.step(loss) for loss in losses],
    }
    figure, grid = plt.subplots(3, 3, figsize=(10, 7), layout="constrained", sharex=True, sharey=True)
    for axes, (title, lrs) in zip(grid.flat, panels.items(), strict=True):
        if title.startswith("one_cycle"):
            momenta = [one_cycle_momentum(t, total_steps=N) for t in range(N)]
            axes.plot(momenta, color=VERMILION, lw=1.5, ls="--")
        if title.startswith("Reduce"):
            axes.plot(losses, color=VERMILION, lw=1, ls="--")
        axes.plot(lrs, color=BLUE, lw=2, drawstyle="steps-post")
        axes.set_title(title, fontsize=9.5)
        axes.set(ylim=(-0.03, 1.08), xlim=(0, N - 1))
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("step t", fontsize=10)
    figure.supylabel("learning rate", fontsize=10)
    return figure


def noise_floor() -> Figure:
    """E[x²] on the noisy quadratic: two constant rates with their floors, and rates that decay."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.9), layout="constrained")
    n, ones = 150, [1.0] * 150
    rng = Random(3)
    noises = [rng.gauss(0.0, 1.0) for _ in range(n)]
    for lr, colour in ((0.5, VERMILION), (0.05, BLUE)):
        left.plot(noisy_descent(8.0, [lr] * n, ones, noises), color=colour, lw=1.3, label=f"η = {lr:g}")
    left.axhline(0, color=GREY, lw=0.8)
    left.set(xlabel="step", ylabel="x")
    left.set_title("one run each, the same noise: η = 0.5 arrives and shakes", fontsize=10)
    left.legend(frameon=False)
    curves = {
        "constant 0.5": ([0.5] * n, VERMILION, "-"),
        "constant 0.05": ([0.05] * n, BLUE, "-"),
        "cosine from 0.5": ([cosine_annealing_lr(t, 0.5, T_max=n) for t in range(n)], GREEN, "--"),
        "greedy": (_greedy(8.0, n), "black", ":"),
    }
    for name, (lrs, colour, style) in curves.items():
        right.plot(expected_squares(8.0, lrs, ones, 1.0), color=colour, ls=style, lw=2, label=name)
    right.set(yscale="log", xlabel="step", ylabel="mean of x²")
    right.set_title("mean over all noises: a floor at about η/2", fontsize=10)
    right.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _greedy(x: float, n_steps: int) -> list[float]:
    """The best learning rate for each next step, for h = sigma = 1."""
    lrs: list[float] = []
    for _ in range(n_steps):
        square = expected_squares(x, lrs, [1.0] * len(lrs), 1.0)[-1]
        lrs.append(square / (square + 1.0))
    return lrs


def range_test_curve() -> Figure:
    """The range test on digits: losses, smoothed losses, and what is read off."""
    test = digits_range_test(build_it)
    smoothed, found = smooth(test.losses), suggest(test.lrs, test.losses)
    figure, axes = plt.subplots(figsize=(7, 4.1), layout="constrained")
    axes.plot(test.lrs, test.losses, ".", color=GREY, ms=4, label="loss of each mini-batch")
    axes.plot(test.lrs, smoothed, color=BLUE, lw=2.2, label="smoothed, β = 0.9")
    for lr, colour, name in (
        (found.lowest / 10, GREEN, "a tenth of the lowest"),
        (found.steepest, VERMILION, "steepest"),
        (found.lowest, ORANGE, "lowest"),
    ):
        axes.axvline(lr, color=colour, lw=1.8, ls="--", label=f"{name}: {lr:.2g}")
    axes.set(xscale="log", ylim=(0.7, 4.4), xlabel="learning rate", ylabel="loss")
    axes.legend(frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
