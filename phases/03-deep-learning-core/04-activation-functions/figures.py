"""The figures of this lesson; `nox -s figures` saves each as figures/NAME.svg."""

from random import Random

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from phases.deep_learning_core.activation_functions import build_it
from phases.deep_learning_core.activation_functions.ship_it import script

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"
TITLES = {"relu": "ReLU", "leaky_relu": "leaky ReLU", "gelu": "GELU", "silu": "SiLU"}


def functions_and_derivatives() -> Figure:
    """Six functions, each with its derivative."""
    figure, grid = plt.subplots(2, 3, figsize=(10, 5.4), layout="constrained", sharex=True)
    ticks = [k / 50 for k in range(-250, 251)]
    left, right = ticks[:250], ticks[251:]  # a corner is no point of the derivative's curve
    for axes, name in zip(grid.T.flat, ("sigmoid", "tanh", "relu", "leaky_relu", "gelu", "silu"), strict=True):
        f, slope = getattr(build_it, name), getattr(build_it, f"{name}_derivative")
        axes.axhline(0, color=GREY, lw=0.8)
        axes.axvline(0, color=GREY, lw=0.8)
        axes.plot(ticks, list(map(f, ticks)), color=BLUE, lw=2.2, label="f(x)")
        for part in (left, right):
            axes.plot(part, list(map(slope, part)), color=VERMILION, lw=1.8, ls="--")
        axes.plot([], color=VERMILION, lw=1.8, ls="--", label="f′(x)")
        steepest = max(ticks, key=slope)
        axes.set_title(f"{TITLES.get(name, name)}: slope at most {slope(steepest):.3g}", fontsize=11)
        axes.set(xlim=(-5, 5), ylim=(-1.15, 1.6))
        axes.spines[["top", "right"]].set_visible(False)
    grid[0, 0].legend(frameon=False, loc="lower right")
    for axes in grid[1]:
        axes.set_xlabel("x")
    return figure


def gradients_by_layer() -> Figure:
    """The norm of δ and the spread of the samples in each of 20 layers, for one set of random weights."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
    rng, width = Random(0), 32
    weights = build_it.random_weights([width] * 21, 1.0, rng)
    X, output_gradient = ([[rng.gauss(0, 1) for _ in range(width)] for _ in range(width)] for _ in range(2))
    larger = [[[2**0.5 * w for w in row] for row in W] for W in weights]
    spread = script().statistics_of
    layers = range(1, 21)
    for name, label, W, color, marker in (
        ("relu", "ReLU, weights × √2", larger, GREEN, "s"),
        ("tanh", "tanh", weights, PURPLE, "^"),
        ("relu", "ReLU", weights, BLUE, "o"),
        ("sigmoid", "sigmoid", weights, VERMILION, "v"),
    ):
        found = build_it.forward_backward(W, name, X, output_gradient)
        style = {"color": color, "marker": marker, "ms": 4.5, "lw": 1.5, "label": label}
        left.plot(layers, build_it.layer_norms(found.deltas), **style)
        right.plot(layers, [spread(H, name)["spread"] for H in found.activations], **style)
    last = build_it.layer_norms(found.deltas)[-1]
    left.plot(layers, [last * 0.25 ** (20 - i) for i in layers], color=GREY, lw=1, ls=":", label="¼ for each layer")
    left.set(yscale="log", xlabel="layer", ylabel="norm of δ")
    left.set_title("Backward: the gradient, from layer 20 to layer 1", fontsize=11)
    right.set(yscale="log", xlabel="layer", ylabel="spread of the activations over samples")
    right.set_title("Forward: what is left of the difference between samples", fontsize=11)
    left.legend(frameon=False, loc="lower right")
    for axes in (left, right):
        axes.set_xticks([1, 5, 10, 15, 20])
        axes.spines[["top", "right"]].set_visible(False)
    return figure
