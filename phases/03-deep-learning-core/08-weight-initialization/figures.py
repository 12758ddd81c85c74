"""The figures of this lesson; `nox -s figures` saves each as figures/NAME.svg."""

import math
from random import Random

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from phases.deep_learning_core.backpropagation import build_it as backpropagation
from phases.deep_learning_core.weight_initialization import build_it
from phases.deep_learning_core.weight_initialization.ship_it import (
    LEARNERS,
    SAMPLES,
    SCHEMES,
    digits,
)

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREEN, PURPLE, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#666666"
STYLES = {
    "N(0, 1)": (VERMILION, "v"),
    "He": (GREEN, "s"),
    "Xavier": (BLUE, "o"),
    "torch's weights": (PURPLE, "^"),
    "N(0, 1) / 100": (ORANGE, "D"),
    "zeros": (GREY, "x"),
}
DEPTH, WIDTH, N = 20, 50, 3


def _draw(scheme: str, rng: Random) -> build_it.Callable:
    if scheme == "N(0, 1)":
        return lambda shape: build_it.normal(shape, rng=rng)
    return lambda shape: SCHEMES[scheme](build_it, shape, rng)


def variance_by_layer() -> Figure:
    """E[z²] and E[δ²] of 20 ReLU layers for five schemes: one draw as points, the prediction as lines."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained", sharey=True)
    variances = {
        "N(0, 1)": 1.0,
        "He": 2 / WIDTH,
        "Xavier": 1 / WIDTH,
        "torch's weights": 1 / (3 * WIDTH),
        "N(0, 1) / 100": 1e-4,
    }
    layers = range(1, DEPTH + 1)
    for scheme, variance in variances.items():
        rng = Random(0)
        network = build_it.initialize([WIDTH] * (DEPTH + 1), ["relu"] * DEPTH, _draw(scheme, rng))
        X, upstream = ([[rng.gauss(0, 1) for _ in range(WIDTH)] for _ in range(N)] for _ in range(2))
        found = build_it.measured_variances(network, X, upstream)
        expected = build_it.predicted_variances([WIDTH] * (DEPTH + 1), ["relu"] * DEPTH, [variance] * DEPTH)
        color, marker = STYLES[scheme]
        for axes, name in ((left, "pre_activations"), (right, "deltas")):
            axes.plot(layers, getattr(expected, name), color=color, lw=1.2)
            axes.plot(layers, getattr(found, name), marker, color=color, ms=4.5, label=scheme)
    left.set(yscale="log", xlabel="layer", ylabel="mean square")
    left.set_title("Forward: z, from layer 1 to layer 20", fontsize=11)
    right.set(xlabel="layer")
    right.set_title("Backward: δ, from layer 20 to layer 1", fontsize=11)
    left.set(ylim=(1e-55, 1e40), yticks=[10.0**k for k in range(-50, 41, 10)])
    title = "points: one draw\nlines: prediction"
    right.legend(frameon=False, loc="lower right", title=title, fontsize=9, title_fontsize=9)
    for axes in (left, right):
        axes.set_xticks([1, 5, 10, 15, 20])
        axes.tick_params(labelleft=True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def activation_histograms() -> Figure:
    """What tanh units answer in four of 20 layers, for four schemes."""
    columns, schemes = (1, 5, 10, 20), ("N(0, 1) / 100", "torch's weights", "Xavier", "N(0, 1)")
    figure, grid = plt.subplots(4, 4, figsize=(10, 6.6), layout="constrained", sharex=True)
    edges = [-1 + i / 20 for i in range(41)]
    for row, scheme in zip(grid, schemes, strict=True):
        rng = Random(0)
        network = build_it.initialize([WIDTH] * (DEPTH + 1), ["tanh"] * DEPTH, _draw(scheme, rng))
        X = [[rng.gauss(0, 1) for _ in range(WIDTH)] for _ in range(20)]
        activations = backpropagation.forward(network, X).activations
        for axes, layer in zip(row, columns, strict=True):
            values = [h for sample in activations[layer] for h in sample]
            axes.hist(values, edges, color=STYLES[scheme][0])
            std = math.sqrt(sum(h * h for h in values) / len(values))
            axes.text(
                0.5,
                0.97,
                f"root mean square {std:.1g}",
                transform=axes.transAxes,
                ha="center",
                va="top",
                fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
            )
            axes.set(yticks=[], ylim=(0, 1.25 * axes.get_ylim()[1]), xlim=(-1, 1), xticks=[-1, 0, 1])
            axes.spines[["top", "right", "left"]].set_visible(False)
        row[0].set_ylabel(scheme, fontsize=10)
    for axes, layer in zip(grid[0], columns, strict=True):
        axes.set_title(f"layer {layer}", fontsize=11)
    for axes in grid[-1]:
        axes.set_xlabel("h = tanh(z)")
    return figure


def learning() -> Figure:
    """The loss of a network of eight hidden ReLU layers that learns digits, from six starts."""
    figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    X, labels = digits()
    n_hidden, steps, stuck = len(LEARNERS) - 2, 60, 0
    for k, (scheme, (color, marker)) in enumerate(STYLES.items()):
        start = build_it.initialize(LEARNERS, ["relu"] * n_hidden + ["identity"], _draw(scheme, Random(0)))
        _, losses = backpropagation.train(
            start, X[:SAMPLES], labels[:SAMPLES], "cross_entropy", learning_rate=0.05, n_steps=steps
        )
        stuck += abs(losses[-1] - math.log(10)) < 0.05
        style = {"color": color, "marker": marker, "markevery": (4 * k, 24), "ms": 6, "lw": 1.5}
        axes.plot(losses, label=scheme, **style)
    axes.text(
        steps, math.log(10) + 0.08, f"log 10, guessing: {stuck} of {len(STYLES)} end here", ha="right", fontsize=9
    )
    axes.set(xlabel="step", ylabel="cross-entropy", ylim=(0, 3.2), xlim=(0, steps))
    axes.legend(frameon=False, loc="lower left", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
