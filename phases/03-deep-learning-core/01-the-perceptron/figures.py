"""The figures of this lesson, drawn from build_it; `nox -s figures` saves each as figures/NAME.svg."""

import math
from random import Random

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from phases.deep_learning_core.the_perceptron.build_it import Perceptron, fit, mistake_bound, scores, update
from phases.deep_learning_core.the_perceptron.ship_it import GATES, INPUTS

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#666666"
LOW, HIGH = -0.7, 1.7


def decision_lines() -> Figure:
    """The line after each epoch for AND and OR; for XOR the line after each mistake, and why none can do."""
    figure, panels = plt.subplots(1, 3, figsize=(11, 4.1), layout="constrained")
    n_epochs = max(len(fit(INPUTS, GATES[name]).mistakes) for name in ("AND", "OR"))
    whole = plt.get_cmap("cividis_r")
    colours = ListedColormap([whole(0.15 + 0.85 * k / (n_epochs - 1)) for k in range(n_epochs)])
    for axes, name in zip(panels, ("AND", "OR"), strict=False):
        training = fit(INPUTS, GATES[name])
        for epoch, perceptron in enumerate(training.perceptrons, 1):
            last = epoch == len(training.perceptrons)
            _line(axes, perceptron, color=colours(epoch - 1), lw=3.2 if last else 1.5)
        _points(axes, GATES[name])
        axes.set_title(f"{name}: {sum(training.mistakes)} mistakes, then none (epoch {epoch})", fontsize=11)
    edges = BoundaryNorm(range(1, n_epochs + 2), colours.N)
    bar = figure.colorbar(ScalarMappable(edges, colours), ax=panels[:2], label="the line after epoch", shrink=0.8)
    bar.set_ticks([k + 0.5 for k in range(1, n_epochs + 1)], labels=[str(k) for k in range(1, n_epochs + 1)])
    bar.ax.tick_params(length=0)

    axes, perceptron = panels[2], Perceptron([0.0, 0.0], 0.0)
    axes.plot([0, 1], [1, 0], color=BLUE, lw=1.5, ls=":")
    axes.plot([0, 1], [0, 1], color=VERMILION, lw=1.5, ls=":")
    for k, (x, label) in enumerate(zip(INPUTS, GATES["XOR"], strict=True), 1):
        perceptron = update(perceptron, x, label)
        if any(perceptron.weights):
            _line(axes, perceptron, color=GREY, lw=1.5)
            place = {2: (1.68, -0.16), 3: (-0.2, -0.6)}[k]
            side = "right" if k == 2 else "left"
            axes.annotate(f"after mistake {k}", place, color=GREY, fontsize=9, ha=side, va="bottom")
    _points(axes, GATES["XOR"])
    axes.set_title("XOR: at zero again after 4 mistakes", fontsize=11)
    return figure


def one_update() -> Figure:
    """A mistake with t = 1: the weights turn towards the sample, and the line turns and moves with them."""
    figure, panels = plt.subplots(1, 2, figsize=(8.6, 4.1), layout="constrained", sharey=True)
    x, before = [2.0, 1.0], Perceptron([-1.0, 1.5], 0.0)
    after = update(before, x, 1)
    for axes, perceptron, title in zip(
        panels, (before, after), ("before, with t = 1", "after: w + x and b + 1"), strict=True
    ):
        _line(axes, perceptron, color="black", lw=2)
        for other in (before, after)[: 1 if perceptron is before else 2]:
            faded = other is not perceptron
            _arrow(axes, [0, 0], other.weights, BLUE, "" if faded else "w", alpha=0.3 if faded else 1)
        if perceptron is after:
            _arrow(axes, before.weights, after.weights, VERMILION, "x", ls="--")
        axes.plot(*x, "o", ms=10, color=VERMILION)
        axes.annotate("x", x, (9, 4), textcoords="offset points", fontsize=12)
        [score] = scores(perceptron, [x])
        axes.set(xlim=(-2.4, 3.2), ylim=(-1.6, 3.0), aspect="equal", xlabel="feature 1")
        axes.set_title(f"{title}: w · x + b = {score:g}".replace("-", "−"), fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("feature 2")
    return figure


def mistakes_and_bound() -> Figure:
    """Mistakes made against the bound, for sixty random sets of points with narrower and narrower gaps."""
    figure, axes = plt.subplots(figsize=(6.2, 4.2), layout="constrained")
    rng = Random(0)
    bounds, made = [], []
    for k in range(60):
        angle, gap = rng.uniform(0, 2 * math.pi), 0.5 * 0.93**k
        line = Perceptron([math.cos(angle), math.sin(angle)], 0.0)
        X = []
        while len(X) < 60:
            x = [rng.uniform(-1, 1), rng.uniform(-1, 1)]
            if abs(line.weights[0] * x[0] + line.weights[1] * x[1]) > gap:
                X.append(x)
        y = [int(line.weights[0] * a + line.weights[1] * b > 0) for a, b in X]
        bounds.append(mistake_bound(line, X, y))
        made.append(sum(fit(X, y).mistakes))
    axes.plot(bounds, made, "o", color=BLUE, ms=5, alpha=0.8)
    ends = [min(bounds), max(bounds)]
    axes.plot(ends, ends, color=VERMILION, lw=2)
    axes.annotate("as many as the bound allows", (60, 90), color=VERMILION, fontsize=10, rotation=31)
    axes.set(xscale="log", yscale="log", xlabel="bound (R / γ)²", ylabel="mistakes made")
    axes.set_title("60 points in a square, gaps from wide to narrow", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _line(axes: Axes, perceptron: Perceptron, **style) -> None:
    """Where w · x + b = 0."""
    (w1, w2), b = perceptron.weights, perceptron.bias
    ends = [(u, -(b + w1 * u) / w2) for u in (-9, 9)] if w2 else [(-b / w1, -9), (-b / w1, 9)]
    axes.plot(*zip(*ends, strict=True), **style)


def _points(axes: Axes, y: list[int]) -> None:
    for (a, b), label in zip(INPUTS, y, strict=True):
        marker, colour = ("o", BLUE) if label else ("s", VERMILION)
        axes.plot(a, b, marker, ms=11, color=colour, mec="black", zorder=3)
        axes.annotate(str(label), (a, b), (9, 7), textcoords="offset points", fontsize=12, zorder=4)
    axes.set(xlim=(LOW, HIGH), ylim=(LOW, HIGH), aspect="equal", xticks=[0, 1], yticks=[0, 1])
    axes.set(xlabel="x₁", ylabel="x₂")
    axes.spines[["top", "right"]].set_visible(False)


def _arrow(axes: Axes, tail, head, colour: str, name: str, **style) -> None:
    axes.annotate("", head, tail, arrowprops={"arrowstyle": "-|>", "lw": 2.2, "color": colour, "shrinkB": 0} | style)
    middle = [(t + 2 * h) / 3 for t, h in zip(tail, head, strict=True)]
    axes.annotate(
        name, middle, (-14, 6) if name == "x" else (9, 2), textcoords="offset points", color=colour, fontsize=12
    )
