"""The figures of this lesson; `nox -s figures` saves each as figures/NAME.svg."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from phases.deep_learning_core.convolutions import build_it

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
PICTURE = [[1.0, 2.0, 0.0], [0.0, 1.0, 3.0], [2.0, 0.0, 1.0]]


def what_two_outputs_see() -> Figure:
    """For four convolutions, the inputs that reach two neighbouring outputs: found by the gradient, not drawn."""
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "stride 2": {"stride": 2},
        "padding 1": {"padding": 1},
        "dilation 2": {"dilation": 2},
    }
    figure, grid = plt.subplots(1, 4, figsize=(11, 3.5), layout="constrained")
    for axes, (title, options) in zip(grid, kinds.items(), strict=True):
        padding = options.get("padding", 0)
        image = [[[[1.0] * (7 + 2 * padding) for _ in range(7 + 2 * padding)]]]  # the frame as pixels, to be seen
        weight = [[[[1.0] * 3 for _ in range(3)]]]
        kept = {name: value for name, value in options.items() if name != "padding"}
        size = build_it.conv_output_size(7, 3, **options)
        seen = []
        for column in (0, 1):
            upstream = [[[[0.0] * size for _ in range(size)]]]
            upstream[0][0][0][column] = 1.0
            seen.append(build_it.conv2d_backward(image, weight, upstream, **kept).input[0][0])
        for r in range(7 + 2 * padding):
            for c in range(7 + 2 * padding):
                one, other = seen[0][r][c] > 0, seen[1][r][c] > 0
                color = GREEN if one and other else BLUE if one else VERMILION if other else "#eeeeee"
                frame = padding and (r in {0, 8} or c in {0, 8})
                box = {"facecolor": color, "edgecolor": GREY if frame else "white", "lw": 1.0}
                cell = plt.Rectangle((c - padding, r - padding), 0.94, 0.94, **box)
                cell.set_linestyle(":" if frame else "-")
                axes.add_patch(cell)
                if frame:
                    style = {"color": "white" if color in {BLUE, GREEN} else "black", "fontsize": 8}
                    axes.text(c - padding + 0.47, r - padding + 0.5, "0", ha="center", va="center", **style)
        axes.set(xlim=(-1.1, 8.1), ylim=(8.1, -1.1), aspect="equal")
        axes.set_title(f"{title}: output {size} × {size}", fontsize=11)
        axes.axis("off")
    colors = {"first output": BLUE, "second output": VERMILION, "both": GREEN}
    handles = [plt.Rectangle((0, 0), 1, 1, facecolor=color) for color in colors.values()]
    figure.legend(handles, list(colors), loc="outside lower center", ncols=3, frameon=False, fontsize=10)
    return figure


def im2col() -> Figure:
    """The example by hand: four windows become four columns, and the convolution is one matrix product."""
    columns = build_it.im2col([[PICTURE]], 2)[0]
    kernels = [[1.0, 0.0, 2.0, -1.0]]
    output = [[sum(w * row[j] for w, row in zip(kernels[0], columns, strict=True)) for j in range(4)]]
    figure, axes = plt.subplots(figsize=(10, 3.2), layout="constrained")
    shades = ["#9fcbe6", "#f4c0a0", "#a8dcc7", "#e8c4d8"]
    _matrix(axes, PICTURE, (0, 0.5), "image 3 × 3", [["white"] * 3 for _ in range(3)])
    for k, (r, c) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        inset = 0.06 + 0.05 * k
        style = {"fill": False, "edgecolor": (BLUE, VERMILION, GREEN, "#CC79A7")[k], "lw": 2}
        axes.add_patch(plt.Rectangle((c + inset, 0.5 + r + inset), 2 - 2 * inset, 2 - 2 * inset, **style))
    over = {"arrowstyle": "->", "lw": 1.5, "connectionstyle": "arc3,rad=-0.18"}
    axes.annotate("", (10.4, 0.4), (3.2, 0.6), arrowprops=over)
    axes.text(6.8, -0.35, "im2col", ha="center", fontsize=11)
    _matrix(axes, kernels, (5.6, 1.5), "kernel, as a row", [["#eeeeee"] * 4])
    axes.text(10.1, 2.0, "·", ha="center", va="center", fontsize=18)
    _matrix(axes, columns, (10.6, 0), "a column for each window", [shades] * 4)
    axes.text(15.1, 2.0, "=", ha="center", va="center", fontsize=16)
    _matrix(axes, output, (15.6, 1.5), "output, row by row", [shades])
    axes.set(xlim=(-0.2, 19.9), ylim=(4.4, -0.8), aspect="equal")
    axes.axis("off")
    return figure


def _matrix(axes: Axes, M: list[list[float]], corner: tuple[float, float], title: str, colors: list[list[str]]) -> None:
    """Its numbers in boxes."""
    left, top = corner
    for r, row in enumerate(M):
        for c, value in enumerate(row):
            box = plt.Rectangle((left + c, top + r), 1, 1, facecolor=colors[r][c], edgecolor=GREY, lw=0.8)
            axes.add_patch(box)
            axes.text(left + c + 0.5, top + r + 0.52, f"{value:g}", ha="center", va="center", fontsize=12)
    axes.text(left + len(M[0]) / 2, top - 0.25, title, ha="center", fontsize=10)
