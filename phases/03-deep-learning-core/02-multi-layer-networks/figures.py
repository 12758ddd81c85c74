"""The figures of this lesson; `nox -s figures` saves each as figures/NAME.svg."""

import math

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from phases.deep_learning_core.multi_layer_networks import build_it

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
HIGH = 2 * math.pi
STEEPNESS = 1e4


def matrices() -> Figure:
    """The first layer of the worked example in matrix form: X W + b = Z, and H = f(Z)."""
    X = [[1.0, 2.0], [3.0, -1.0]]
    layer = build_it.Layer([[1.0, -1.0, 2.0], [0.0, 1.0, -1.0]], [0.0, 0.0, 1.0], "relu")
    trace = build_it.forward([layer], X)
    [Z], H = trace.pre_activations, trace.activations[-1]

    figure, axes = plt.subplots(figsize=(10, 2.9), layout="constrained")
    axes.set(xlim=(-0.6, 17.8), ylim=(-1.35, 2.9), aspect="equal")
    axes.axis("off")
    # row 0 of X and column 2 of W meet in z[0][2]
    _grid(axes, 0.0, "X", X, "n × n_in", rows={0})
    _sign(axes, 2.4, "·")
    _grid(axes, 2.8, "W", layer.weights, "n_in × n_out", columns={2})
    _sign(axes, 6.2, "+")
    _grid(axes, 6.6, "b", [layer.biases], "n_out", columns={2})
    _sign(axes, 10.0, "=")
    _grid(axes, 10.4, "Z", Z, "n × n_out", rows={0}, columns={2}, both=True)
    axes.annotate("", (14.1, 1.0), (13.5, 1.0), arrowprops={"arrowstyle": "-|>", "color": GREY})
    axes.text(13.75, 1.25, "f", ha="center", va="bottom", fontsize=12, style="italic")
    _grid(axes, 14.2, "H", H, "n × n_out")
    return figure


def exclusive_or() -> Figure:
    """XOR in the plane of the inputs, with the lines of the two hidden neurons, and in the plane of what they say."""
    X = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    network = [
        build_it.Layer([[1.0, 1.0], [1.0, 1.0]], [-0.5, -1.5], "step"),
        build_it.Layer([[1.0], [-1.0]], [-0.5], "step"),
    ]
    trace = build_it.forward(network, X)
    hidden, outputs = trace.activations[1], [value for [value] in trace.activations[2]]

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    ends = [-0.5, 2.0]
    for bias, color, name, place in (
        (0.5, BLUE, "h₁ = 1 above: OR", (-0.45, -0.4)),
        (1.5, VERMILION, "h₂ = 1 above: AND", (0.72, 1.33)),
    ):
        left.plot(ends, [bias - x for x in ends], color=color, lw=1.8)
        left.annotate(name, place, color=color, fontsize=10)
    left.fill_between(ends, [0.5 - x for x in ends], [1.5 - x for x in ends], color=GREY, alpha=0.15, lw=0)
    right.plot([0.0, 1.5], [-0.5, 1.0], color=GREEN, lw=1.8)
    right.annotate("output 1 below", (0.3, -0.44), color=GREEN, fontsize=10)
    right.fill_between([0.0, 1.5], [-0.5, 1.0], [-0.5, -0.5], color=GREY, alpha=0.15, lw=0)
    for (x1, x2), (h1, h2), y in zip(X, hidden, outputs, strict=True):
        marker = "o" if y else "s"
        left.plot(x1, x2, marker, ms=10, color="black" if y else "white", mec="black")
        left.annotate(f"{y:.0f}", (x1, x2), (9, 6), textcoords="offset points", fontsize=11)
        right.plot(h1, h2, marker, ms=10, color="black" if y else "white", mec="black")
        if (x1, x2) != (1.0, 0.0):  # 01 and 10 have become one point
            inputs = {(0, 0): "00", (1, 0): "01 and 10", (1, 1): "11"}[int(h1), int(h2)]
            below = {"xytext": (0, -20), "textcoords": "offset points", "ha": "center"}
            right.annotate(f"{inputs}: {y:.0f}", (h1, h2), fontsize=11, **below)
    left.set(xlabel="x₁", ylabel="x₂", title="the inputs: no line will do", xlim=(-0.5, 1.7), ylim=(-0.5, 1.7))
    right.set(xlabel="h₁", ylabel="h₂", title="the hidden layer: one line does", xlim=(-0.5, 1.5), ylim=(-0.5, 1.5))
    for axes in (left, right):
        axes.set(xticks=[0, 1], yticks=[0, 1], aspect="equal")
        axes.title.set_fontsize(11)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def approximation() -> Figure:
    """One period of the sine, by staircases and by hinges with 2 to 64 hidden units, and the largest error of each."""
    figure, axes = plt.subplot_mosaic(
        [["s2", "s4", "s8", "s16", "error"], ["h2", "h4", "h8", "h16", "error"]],
        figsize=(12, 4.6),
        layout="constrained",
        width_ratios=[1, 1, 1, 1, 1.9],
    )
    xs = [HIGH * i / 400 for i in range(401)]
    sine = [math.sin(x) for x in xs]
    for n in (2, 4, 8, 16):
        for key, make, color in (("s", _stairs, BLUE), ("h", _broken_line, VERMILION)):
            panel = axes[f"{key}{n}"]
            panel.plot(xs, sine, color="black", lw=1.0, ls="--")
            panel.plot(xs, _values(make(n), xs), color=color, lw=1.6)
            panel.set(xticks=[0, math.pi, HIGH], yticks=[-1, 0, 1], ylim=(-1.25, 1.25))
            panel.spines[["top", "right"]].set_visible(False)
            panel.set_xticklabels(["0", "π", "2π"] if key == "h" else [])
            if n > 2:
                panel.set_yticklabels([])
            if key == "s":
                panel.set_title(f"{n} hidden units", fontsize=11)
    axes["s2"].set_ylabel("steep sigmoids", color=BLUE, fontsize=11)
    axes["h2"].set_ylabel("ReLU hinges", color=VERMILION, fontsize=11)

    error, ns = axes["error"], [2, 4, 8, 16, 32, 64]
    for make, color, name, marker in (
        (_stairs, BLUE, "steep sigmoids", "s"),
        (_broken_line, VERMILION, "ReLU hinges", "o"),
    ):
        found = [max(abs(y - s) for y, s in zip(_values(make(n), xs), sine, strict=True)) for n in ns]
        error.plot(ns, found, marker, color=color, ls="-", lw=1.4, ms=5, label=name)
    error.plot(ns, [HIGH / (n + 1) / 2 for n in ns], color=BLUE, lw=1, ls=":", label="bound δ / 2")
    error.plot(ns, [(HIGH / n) ** 2 / 8 for n in ns], color=VERMILION, lw=1, ls=":", label="bound δ² / 8")
    error.set(xscale="log", yscale="log", xlabel="hidden units", xticks=ns, title="largest error on [0, 2π]")
    error.set_xticklabels([str(n) for n in ns])
    error.minorticks_off()
    error.title.set_fontsize(11)
    error.legend(frameon=False, fontsize=9, loc="lower left")
    error.spines[["top", "right"]].set_visible(False)
    return figure


def _stairs(n: int) -> list[build_it.Layer]:
    """n steps on [0, 2π] make n + 1 levels: the sine in the middle of each."""
    h = HIGH / (n + 1)
    levels = [math.sin((i + 0.5) * h) for i in range(n + 1)]
    return build_it.staircase([i * h for i in range(1, n + 1)], levels, STEEPNESS)


def _broken_line(n: int) -> list[build_it.Layer]:
    """n hinges on [0, 2π], through n + 1 points of the sine."""
    knots = [HIGH * i / n for i in range(n + 1)]
    return build_it.hinges(knots, [math.sin(x) for x in knots])


def _values(network: list[build_it.Layer], xs: list[float]) -> list[float]:
    return [value for [value] in build_it.predict(network, [[x] for x in xs])]


def _grid(
    axes: Axes,
    x0: float,
    name: str,
    values: list[list[float]],
    shape: str,
    *,
    rows: frozenset[int] | set[int] = frozenset(),
    columns: frozenset[int] | set[int] = frozenset(),
    both: bool = False,
) -> None:
    """A matrix as a grid of cells, centred on y = 1, with some rows and columns marked (or where the two meet)."""
    top = 1 + len(values) / 2
    for i, row in enumerate(values):
        for k, value in enumerate(row):
            marked = (i in rows and k in columns) if both else (i in rows or k in columns)
            color = "#F7D9C4" if marked else "white"
            place = (x0 + k, top - i - 1)
            axes.add_patch(plt.Rectangle(place, 1, 1, facecolor=color, edgecolor="black", lw=1.1))
            text = f"{value:g}".replace("-", "−")
            axes.text(place[0] + 0.5, place[1] + 0.5, text, ha="center", va="center", fontsize=12)
    middle = x0 + len(values[0]) / 2
    axes.text(middle, 2.2, name, ha="center", va="bottom", fontsize=13, weight="bold")
    sizes = " × ".join(str(n) for n in ([len(values), len(values[0])] if name != "b" else [len(values[0])]))
    axes.text(middle, -0.2, f"{sizes}\n{shape}", ha="center", va="top", fontsize=10, color=GREY)


def _sign(axes: Axes, x: float, sign: str) -> None:
    axes.text(x, 1.0, sign, ha="center", va="center", fontsize=16)
