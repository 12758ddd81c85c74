"""The figures of this lesson; `nox -s figures` saves each as figures/NAME.svg."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from phases.deep_learning_core.backpropagation import build_it
from phases.deep_learning_core.backpropagation.ship_it import RECIPE, SEED, SHIPPED_STEPS, X, Y, start

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#666666"


def by_hand() -> Figure:
    """The 2-2-1 network of the worked example: values forward, gradients backward."""
    network = [
        build_it.Layer([[1.0, -2.0], [-1.0, 0.5]], [1.0, 1.0], "sigmoid"),
        build_it.Layer([[2.0], [-1.0]], [0.0], "identity"),
    ]
    trace = build_it.forward(network, [[1.0, 2.0]])
    loss, output_gradient = build_it.squared_error(trace.activations[-1], [[1.0]])
    gradients = build_it.backward(network, trace, output_gradient)

    figure, axes = plt.subplots(figsize=(10, 5), layout="constrained")
    axes.set(xlim=(-0.6, 10.3), ylim=(-0.7, 4.7), aspect="equal")
    axes.axis("off")
    places = [[(0.6, 3.2), (0.6, 0.2)], [(4.4, 3.2), (4.4, 0.2)], [(8.0, 1.7)]]
    names = [["x₁", "x₂"], ["h₁", "h₂"], ["ŷ"]]

    for i, layer in enumerate(network):
        for j, row in enumerate(layer.weights):
            for k, weight in enumerate(row):
                tail, head = places[i][j], places[i + 1][k]
                axes.plot(*zip(tail, head, strict=True), color=GREY, lw=1.2, zorder=1)
                along = 0.5 if j == k else 0.3  # crossing edges carry their labels before they cross
                x, y = (t + along * (h - t) for t, h in zip(tail, head, strict=True))
                _text(axes, (x, y + 0.17), f"{weight:g}", BLUE)
                _text(axes, (x, y - 0.17), f"{gradients.weights[i][j][k]:g}", VERMILION)
    for j, (x, y) in enumerate(places[0]):
        _node(axes, (x, y), names[0][j], f"{trace.activations[0][0][j]:g}")
        _text(axes, (x, y - 0.66), f"∂L/∂x = {gradients.inputs[0][j]:g}", VERMILION)
    for i in (0, 1):
        for k, (x, y) in enumerate(places[i + 1]):
            _node(axes, (x, y), names[i + 1][k], f"{trace.activations[i + 1][0][k]:g}")
            z, b = trace.pre_activations[i][0][k], network[i].biases[k]
            _text(axes, (x, y + 0.66), f"b = {b:g}   z = {z:g}", BLUE)
            clear = 0.25 if i == 0 else 0.0  # of the edge that comes from below
            _text(axes, (x + clear, y - 0.68), f"δ = {gradients.pre_activations[i][0][k]:g} = ∂L/∂b", VERMILION)
    _text(axes, (9.55, 1.7), f"target 1\nL = {loss:g}", BLUE)
    axes.annotate("", (9.0, 1.7), (8.45, 1.7), arrowprops={"arrowstyle": "-|>", "color": GREY})
    _text(axes, (1.3, 4.45), "forward: values", BLUE)
    _text(axes, (4.4, 4.45), "backward: gradients", VERMILION)
    return figure


def xor_learning() -> Figure:
    """Loss against steps for ten starts with two hidden units, and what the shipped network answers everywhere."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.3), layout="constrained", width_ratios=[1.25, 1])
    for seed in range(10):
        network, losses = build_it.train(start(build_it, 2, seed), X, Y, **RECIPE, n_steps=300)
        solved = all((out > 0.5) == (y > 0.5) for [out], [y] in zip(build_it.predict(network, X), Y, strict=True))
        left.plot(losses, color=BLUE if solved else VERMILION, lw=1.5, ls="-" if solved else "--")
    left.plot([], color=BLUE, label="four rows right after 300 steps")
    left.plot([], color=VERMILION, ls="--", label="still wrong")
    left.axhline(0.25, color=GREY, lw=0.8, zorder=0)
    left.annotate("answering 0.5 to everything", (298, 0.25), ha="right", va="bottom", color=GREY, fontsize=9)
    left.set(yscale="log", xlabel="step", ylabel="loss (mean squared error)", xlim=(0, 300))
    left.set_title("Ten starts of a 2-2-1 network", fontsize=11)
    left.legend(frameon=False, loc="lower left")
    left.spines[["top", "right"]].set_visible(False)

    network, _ = build_it.train(start(build_it, 4, SEED), X, Y, **RECIPE, n_steps=SHIPPED_STEPS)
    ticks = [-0.5 + 2 * i / 40 for i in range(41)]
    outputs = build_it.predict(network, [[a, b] for b in ticks for a in ticks])
    surface = [[outputs[41 * i + j][0] for j in range(41)] for i in range(41)]
    filled = right.contourf(ticks, ticks, surface, levels=[k / 10 for k in range(11)], cmap="cividis")
    right.contour(ticks, ticks, surface, levels=[0.5], colors="white", linewidths=1.5)
    for (a, b), [y] in zip(X, Y, strict=True):
        right.plot(a, b, "o" if y else "s", ms=9, color="white", mec="black")
        right.annotate(
            f"{y:.0f}", (a, b), (8, 8), textcoords="offset points", color="white" if y == 0 else "black", fontsize=11
        )
    figure.colorbar(filled, ax=right, label="output")
    right.set(xlabel="x₁", ylabel="x₂", xticks=[0, 1], yticks=[0, 1], aspect="equal")
    right.set_title(f"The 2-4-1 network that ships, {SHIPPED_STEPS} steps", fontsize=11)
    return figure


def _node(axes: Axes, place: tuple[float, float], name: str, value: str) -> None:
    x, y = place
    axes.add_patch(plt.Circle(place, 0.42, facecolor="white", edgecolor="black", lw=1.4, zorder=3))
    _text(axes, (x, y + 0.13), name, "black")
    _text(axes, (x, y - 0.16), value, BLUE)


def _text(axes: Axes, place: tuple[float, float], text: str, color: str) -> None:
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.text(*place, text.replace("-", "−"), color=color, fontsize=11, ha="center", va="center", zorder=4, bbox=behind)
