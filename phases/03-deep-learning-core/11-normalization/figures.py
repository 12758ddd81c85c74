"""The figures of this lesson; `nox -s figures` saves each as figures/NAME.svg."""

from random import Random
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from phases.deep_learning_core.activation_functions.build_it import random_weights
from phases.deep_learning_core.normalization import build_it

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"
SAMPLES, CHANNELS, POSITIONS = 4, 6, 5


def which_numbers_are_averaged() -> Figure:
    """For each kind, the outputs that move when one number moves: measured, not drawn."""
    figure, grid = plt.subplots(1, 4, figsize=(11, 3.6), layout="constrained")
    rng = Random(0)
    x = [[[rng.gauss(0, 1) for _ in range(POSITIONS)] for _ in range(CHANNELS)] for _ in range(SAMPLES)]
    moved = [[list(row) for row in sample] for sample in x]
    moved[1][2][3] += 1.0
    ones, zeros = [1.0] * CHANNELS, [0.0] * CHANNELS
    whole, none = ([[v] * POSITIONS for v in parameter] for parameter in (ones, zeros))
    places = [[v] for v in ones], [[v] for v in zeros]
    kinds = {
        "batch norm": lambda x: build_it.batch_norm(x, ones, zeros),
        "layer norm, RMS norm\n(over channels and positions)": lambda x: build_it.layer_norm(x, whole, none),
        "layer norm, RMS norm\n(as in a transformer)": lambda x: _channels_last(x, *places),
        "group norm, 3 groups": lambda x: build_it.group_norm(x, 3, ones, zeros),
    }
    for axes, (title, norm) in zip(grid, kinds.items(), strict=True):
        before, after = norm(x), norm(moved)
        for n in range(SAMPLES):
            for c in range(CHANNELS):
                for s in range(POSITIONS):
                    together = before[n][c][s] != after[n][c][s]
                    corner = (c, (SAMPLES - 1 - n) * (POSITIONS + 1) + POSITIONS - 1 - s)
                    style = {"facecolor": BLUE if together else "#eeeeee", "edgecolor": "white", "lw": 1.2}
                    axes.add_patch(plt.Rectangle(corner, 1, 1, **style))
        corner = (2, (SAMPLES - 2) * (POSITIONS + 1) + POSITIONS - 4)
        axes.add_patch(plt.Rectangle(corner, 1, 1, facecolor=VERMILION, edgecolor="white", lw=1.2))
        axes.set(xlim=(-0.1, CHANNELS + 0.1), ylim=(-0.6, SAMPLES * (POSITIONS + 1) - 0.4))
        axes.set_title(title, fontsize=10)
        axes.set_xticks([c + 0.5 for c in range(CHANNELS)], range(1, CHANNELS + 1))
        axes.set_yticks([(SAMPLES - 1 - n) * (POSITIONS + 1) + 2.5 for n in range(SAMPLES)], range(1, SAMPLES + 1))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("channel")
    grid[0].set_ylabel(f"sample, with {POSITIONS} positions each")
    return figure


def _channels_last(x: Any, weight: Any, bias: Any) -> Any:
    """Layer norm over the channels of each position."""
    swapped = [[list(position) for position in zip(*sample, strict=True)] for sample in x]
    flat_weight, flat_bias = [v for (v,) in weight], [v for (v,) in bias]
    normed = build_it.layer_norm(swapped, flat_weight, flat_bias)
    return [[list(channel) for channel in zip(*sample, strict=True)] for sample in normed]


def activations_through_depth() -> Figure:
    """The size of activations and of gradients in each of 20 ReLU layers, with and without layer norm."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.9), layout="constrained")
    layers = range(1, 21)
    for gain, marker, shade in ((0.5, "v", 1.0), (1.4, "o", 0.75), (4.0, "^", 0.5)):
        for normalized, color in ((False, VERMILION), (True, BLUE)):
            sizes, gradients = _through_depth(gain, normalized)
            label = f"{'layer norm' if normalized else 'no norm'}, gain {gain}"
            style = {"color": color, "marker": marker, "ms": 4.5, "lw": 1.4, "alpha": shade, "label": label}
            left.plot(layers, sizes, **style)
            right.plot(layers, gradients, **style)
    left.set(yscale="log", xlabel="layer", ylabel="root mean square")
    left.set_title("Activations", fontsize=11)
    right.set(yscale="log", xlabel="layer", ylabel="root mean square")
    right.set_title("Gradients of the activations", fontsize=11)
    figure.legend(*left.get_legend_handles_labels(), frameon=False, fontsize=9, loc="outside right center")
    for axes in (left, right):
        axes.set_xticks([1, 5, 10, 15, 20])
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _through_depth(gain: float, normalized: bool, width: int = 32, depth: int = 20) -> tuple[list[float], list[float]]:
    """The root mean square of H and of dL/dH behind each ReLU layer; a random gradient arrives at the last."""
    rng = Random(0)
    weights = random_weights([width] * (depth + 1), gain, rng)
    H, gradient = ([[rng.gauss(0, 1) for _ in range(width)] for _ in range(16)] for _ in range(2))
    ones, zeros, kept, sizes = [1.0] * width, [0.0] * width, [], []
    for W in weights:
        S = _matmul(H, W)
        Z = build_it.layer_norm(S, ones, zeros) if normalized else S
        H = [[max(z, 0.0) for z in row] for row in Z]
        kept.append((W, S, Z))
        sizes.append(_root_mean_square(H))
    gradients = []
    for W, S, Z in reversed(kept):
        gradients.append(_root_mean_square(gradient))
        to_Z = [[g if z > 0 else 0.0 for g, z in zip(*rows, strict=True)] for rows in zip(gradient, Z, strict=True)]
        to_S = build_it.layer_norm_backward(S, ones, to_Z).input if normalized else to_Z
        gradient = _matmul(to_S, [list(column) for column in zip(*W, strict=True)])
    return sizes, gradients[::-1]


def _root_mean_square(M: list[list[float]]) -> float:
    """√(mean of all squares)."""
    return (sum(v * v for row in M for v in row) / (len(M) * len(M[0]))) ** 0.5


def _matmul(A: list[list[float]], B: list[list[float]]) -> list[list[float]]:
    """A B."""
    columns = list(zip(*B, strict=True))
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in A]
