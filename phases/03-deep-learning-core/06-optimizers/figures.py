"""The figures of this lesson, drawn from build_it; `nox -s figures` saves each as figures/NAME.svg."""

import math
from random import Random

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from phases.deep_learning_core.optimizers import build_it
from phases.deep_learning_core.optimizers.build_it import SGD, Adagrad, Adam, RMSprop, loss_and_gradients, train
from phases.deep_learning_core.optimizers.ship_it import RATES, STEPS, diabetes, learning_rate_table, zeros

# Okabe & Ito's colours, told apart by every kind of colour vision
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#666666"
CURVATURES = (1.0, 20.0)  # of the bowl along its two axes


def bowl() -> Figure:
    """Forty steps of six optimizers on a bowl that is twenty times as steep one way as the other."""
    settings = [
        ("SGD, lr 0.09", SGD(0.09), VERMILION),
        ("momentum 0.9, lr 0.02", SGD(0.02, momentum=0.9), BLUE),
        ("Nesterov 0.9, lr 0.02", SGD(0.02, momentum=0.9, nesterov=True), GREEN),
        ("Adagrad, lr 1.5", Adagrad(1.5), PURPLE),
        ("RMSprop, lr 0.1", RMSprop(0.1, alpha=0.9), ORANGE),
        ("Adam, lr 0.4", Adam(0.4), BLACK),
    ]
    figure, panels = plt.subplots(2, 3, figsize=(11, 5.2), layout="constrained", sharex=True, sharey=True)
    x, y = np.meshgrid(np.linspace(-5.5, 3, 200), np.linspace(-1.9, 1.9, 120))
    height = (CURVATURES[0] * x**2 + CURVATURES[1] * y**2) / 2
    for axes, (name, optimizer, colour) in zip(panels.flat, settings, strict=True):
        path = [[-5.0, 1.0]]
        for _ in range(40):
            path.append(optimizer.step(path[-1], [c * v for c, v in zip(CURVATURES, path[-1], strict=True)]))
        axes.contour(x, y, height, levels=[0.3, 1.2, 2.7, 4.8, 7.5, 10.8, 14.7, 19.2], colors="0.8", linewidths=0.8)
        axes.plot(*zip(*path, strict=True), "o-", color=colour, ms=3, lw=1.4)
        axes.plot(0, 0, "+", color=GREY, ms=11, mew=2)
        left = sum(c * v * v for c, v in zip(CURVATURES, path[-1], strict=True)) / 2
        axes.set_title(f"{name}: loss {left:.1g} after 40 steps", fontsize=10)
        axes.set(xlim=(-5.5, 3), ylim=(-1.9, 1.9), xticks=[-5, 0], yticks=[-1, 0, 1])
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def learning_rates() -> Figure:
    """The loss after 100 steps against the learning rate, and the limits that the curvature sets."""
    figure, axes = plt.subplots(figsize=(8.2, 4.8), layout="constrained")
    table = learning_rate_table(build_it)
    X, y = diabetes(every=2)
    rows = np.column_stack([X, np.ones(len(X))])
    solution, *_ = np.linalg.lstsq(rows, np.array(y), rcond=None)
    best = float(np.mean((rows @ solution - y) ** 2))
    styles = {
        "SGD": (VERMILION, "o-"),
        "momentum 0.9": (BLUE, "s-"),
        "Nesterov 0.9": (GREEN, "^-"),
        "Adagrad": (PURPLE, "D-"),
        "RMSprop": (ORANGE, "v-"),
        "Adam": (BLACK, "o-"),
        "AdamW": (SKY, "x--"),
    }
    ceiling = 30.0
    for name, losses in table.items():
        colour, style = styles[name]
        shown = [min(loss - best, ceiling) if math.isfinite(loss) else ceiling for loss in losses]
        kept = [i for i, value in enumerate(shown) if value < ceiling]
        line = [*kept, kept[-1] + 1] if len(kept) < len(shown) else kept
        axes.plot([RATES[i] for i in line], [shown[i] for i in line], style, color=colour, label=name, ms=5, lw=1.6)
    axes.axhline(ceiling, color=GREY, lw=0.8, ls=":")
    axes.annotate("diverges", (RATES[0], ceiling), (0, -11), textcoords="offset points", color=GREY, fontsize=10)
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="loss above the least possible")
    axes.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
    axes.minorticks_off()
    axes.set_title(f"After {STEPS} steps on all rows, from the same start", fontsize=11)
    axes.legend(frameon=False, fontsize=10, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def batch_sizes() -> Figure:
    """The same passes over the data, cut into batches of all, of 32 and of 1: the loss against what it cost."""
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.1), layout="constrained", sharey=True)
    X, y = diabetes()
    rows = np.column_stack([X, np.ones(len(X))])
    solution, *_ = np.linalg.lstsq(rows, np.array(y), rcond=None)
    best = float(np.mean((rows @ solution - y) ** 2))
    for axes, lr in zip(panels, (0.01, 0.001), strict=True):
        for batch_size, colour in ((len(X), BLUE), (32, BLACK), (1, VERMILION)):
            _losses_by_epoch(axes, X, y, best=best, lr=lr, batch_size=batch_size, colour=colour)
        axes.set(yscale="log", xticks=range(0, 21, 5), xlabel="epochs (442 gradients of one sample each)")
        axes.set_title(f"SGD, learning rate {lr:g}", fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("loss above the least possible")
    panels[1].legend(frameon=False, fontsize=10, loc=(0.33, 0.48))
    return figure


def _losses_by_epoch(axes: Axes, X: list, y: list, *, best: float, lr: float, batch_size: int, colour: str) -> None:
    rng, optimizer, parameters = Random(0), SGD(lr), zeros(X)
    losses = [loss_and_gradients(parameters, X, y)[0] - best]
    for _ in range(20):
        parameters, _ = train(optimizer, parameters, X, y, batch_size=batch_size, n_epochs=1, rng=rng)
        losses.append(loss_and_gradients(parameters, X, y)[0] - best)
    steps = math.ceil(len(X) / batch_size)
    label = f"batches of {batch_size}: {steps} step{'s' if steps > 1 else ''} an epoch"
    axes.plot(range(21), losses, "o-", color=colour, ms=3.5, lw=1.6, label=label)
