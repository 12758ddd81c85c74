"""The figures of the README, drawn from the lesson's own code."""

from collections.abc import Callable
from random import Random

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from phases.deep_learning_core.mini_framework import build_it, ship_it, use_it

from shared.data import load

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#5f6b76"


def _box(ax: Axes, at: tuple[float, float], lines: tuple[str, str, str], leaf: bool = False) -> None:
    x, y = at
    ax.add_patch(
        plt.Rectangle(
            (x - 0.8, y - 0.62), 1.6, 1.24, facecolor="#eaf3fa" if leaf else "white", edgecolor=GREY, lw=1.2, zorder=2
        )
    )
    name, value, gradient = lines
    ax.text(x, y + 0.36, name, ha="center", va="center", fontsize=11, zorder=3)
    ax.text(x, y + 0.01, value, ha="center", va="center", fontsize=10.5, color=BLUE, zorder=3)
    ax.text(x, y - 0.36, gradient, ha="center", va="center", fontsize=10.5, color=ORANGE, zorder=3)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], bend: float = 0.0) -> None:
    style = {"arrowstyle": "-|>", "color": GREY, "lw": 1.3, "connectionstyle": f"arc3,rad={bend}"}
    ax.annotate("", end, start, arrowprops=style, zorder=1)


def graph() -> Figure:
    """The worked example: what forward computes and what backward sends, on every node."""
    x = build_it.tensor([[1, 2], [3, 4]], requires_grad=True)
    w = build_it.tensor([[1], [1]], requires_grad=True)
    b = build_it.tensor([-2], requires_grad=True)
    p = x @ w
    z = p + b
    s = z * z
    loss = s.mean()
    loss.backward()

    def short(tensor: build_it.Tensor) -> str:
        return str(tensor.tolist()).replace(".0", "").replace(" ", "")

    def gradient(node: build_it.Tensor, rest: Callable[[build_it.Tensor], build_it.Tensor]) -> str:
        """Inner nodes keep no gradient: start again with a leaf in the node's place."""
        leaf = build_it.tensor(node.tolist(), requires_grad=True)
        rest(leaf).backward()
        return short(leaf.grad)

    nodes = {
        "x": ((0, 2.2), ("x", short(x), short(x.grad)), True),
        "w": ((0, 0.6), ("w", short(w), short(w.grad)), True),
        "b": ((2.2, -0.4), ("b", short(b), short(b.grad)), True),
        "p": ((2.2, 1.4), ("p = x @ w", short(p), gradient(p, lambda p: ((p + b) * (p + b)).mean())), False),
        "z": ((4.4, 1.4), ("z = p + b", short(z), gradient(z, lambda z: (z * z).mean())), False),
        "s": ((6.8, 1.4), ("s = z * z", short(s), gradient(s, lambda s: s.mean())), False),
        "L": ((9.0, 1.4), ("L = s.mean()", short(loss), gradient(loss, lambda loss: loss)), False),
    }
    figure, ax = plt.subplots(figsize=(9.6, 3.9), layout="constrained")
    for at, lines, leaf in nodes.values():
        _box(ax, at, lines, leaf)
    for start, end in ((0.8, 2.1), (1.4, 1.6)), ((0.8, 0.7), (1.4, 1.2)), ((3.0, 1.4), (3.6, 1.4)):
        _arrow(ax, start, end)
    _arrow(ax, (3.0, -0.2), (3.75, 0.78))
    _arrow(ax, (5.2, 1.6), (6.0, 1.6), -0.35)
    _arrow(ax, (5.2, 1.2), (6.0, 1.2), 0.35)
    _arrow(ax, (7.6, 1.4), (8.2, 1.4))
    ax.text(5.6, 2.12, "used twice", ha="center", fontsize=9.5, color=GREY)
    ax.text(9.8, -0.4, "value", ha="right", color=BLUE, fontsize=10.5)
    ax.text(9.8, -0.75, "gradient of L", ha="right", color=ORANGE, fontsize=10.5)
    ax.text(9.8, -0.05, "shaded: leaf", ha="right", color=GREY, fontsize=10.5)
    ax.set(xlim=(-0.9, 9.9), ylim=(-1.15, 2.95), aspect="equal")
    ax.axis("off")
    return figure


def training() -> Figure:
    """100 steps on the digits with either twin: the losses lie on one another, and their difference is rounding."""
    rows = load("digits").rows[:400]
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(7.4, 4.8), sharex=True, height_ratios=(2, 1.2), layout="constrained"
    )
    for name, colour in (("SGD", BLUE), ("Adam", ORANGE)):
        curves = []
        for twin in (build_it, use_it):
            rng = Random(0)
            model = twin.Sequential(twin.Linear(64, 16, rng=rng), twin.ReLU(), twin.Linear(16, 10, rng=rng))
            parameters = model.parameters()
            optimizer = twin.SGD(parameters, lr=0.1, momentum=0.9) if name == "SGD" else twin.Adam(parameters, lr=0.01)
            inputs, targets = twin.tensor([row[:64] for row in rows]) / 16, [int(row[64]) for row in rows]
            curves.append(
                twin.fit(model, twin.cross_entropy, optimizer, inputs, targets, epochs=5, batch_size=20, rng=rng)
            )
        steps = range(1, len(curves[0]) + 1)
        label = "SGD, momentum 0.9" if name == "SGD" else "Adam"
        above.plot(steps, curves[1], color=colour, lw=5, alpha=0.28, label=f"{label}: use_it")
        above.plot(steps, curves[0], color=colour, lw=1.2, label=f"{label}: build_it")
        difference = [max(abs(a - b) / b, 1e-17) for a, b in zip(*curves, strict=True)]
        below.semilogy(steps, difference, color=colour, lw=1.2)
    below.axhline(1e-9, color=GREY, lw=1, ls="--")
    below.text(100, 2e-9, "what the proof allows", ha="right", va="bottom", color=GREY, fontsize=9)
    above.set(ylabel="loss of the step", ylim=(0, None))
    above.legend(frameon=False, fontsize=9)
    below.set(xlabel="step", ylabel="relative difference", ylim=(1e-17, 1e-7), xlim=(0, 101))
    for ax in (above, below):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def misread() -> Figure:
    """The held-out digits that the shipped network gets wrong."""
    training, held_out = ship_it.split()
    model, _ = ship_it.train(use_it, training)
    answers = ship_it.predict(use_it, model, held_out)
    wrong = [(pixels, digit, a) for (pixels, digit), a in zip(held_out, answers, strict=True) if a != digit]
    n_rows = -(-len(wrong) // 6)
    figure, axes = plt.subplots(n_rows, 6, figsize=(7.8, 1.62 * n_rows), layout="constrained", squeeze=False)
    for ax in axes.flat[len(wrong) :]:
        ax.remove()
    for ax, (pixels, digit, answer) in zip(axes.flat, wrong, strict=False):
        ax.imshow([pixels[i : i + 8] for i in range(0, 64, 8)], cmap="gray_r", vmin=0, vmax=16)
        ax.set_title(f"is {digit}, read {answer}", fontsize=9.5)
        ax.set(xticks=[], yticks=[])
    return figure
