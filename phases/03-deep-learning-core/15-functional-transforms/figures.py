"""The figures of this lesson; `nox -s figures` saves each as figures/NAME.svg."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from phases.deep_learning_core.functional_transforms import build_it

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"


def _work(f: Any, *arguments: Any) -> int:
    """The operations of f after jit has tidied up; here all of them are on single numbers."""
    return len(build_it.make_jaxpr(build_it.jit(f))(*arguments).equations)


def _chain(xs: list[Any]) -> Any:
    """One number out of many."""
    total = build_it.sin(xs[0])
    for x in xs[1:]:
        total = total * build_it.cos(x) + x
    return total


def _fan(x: Any, m: int) -> list[Any]:
    """Many numbers out of one."""
    outputs = [build_it.sin(x)]
    for k in range(1, m):
        outputs.append(outputs[-1] * build_it.cos(x * float(k)) + x)
    return outputs


def _unit(n: int, i: int) -> list[float]:
    """Row i of the identity."""
    return [float(i == j) for j in range(n)]


def forward_against_reverse() -> Figure:
    """Operations for a whole Jacobian, divided by those of the function: against inputs, and against outputs."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.9), layout="constrained", sharey=True)
    sizes = [1, 2, 4, 8, 16, 32]
    forward, reverse = [], []
    for n in sizes:
        at = [0.1 * (i + 1) for i in range(n)]
        cost = _work(lambda *xs: _chain(list(xs)), *at)

        def by_jvp(*xs: Any, n: int = n) -> Any:
            return [build_it.jvp(_chain, (list(xs),), (_unit(n, i),))[1] for i in range(n)]

        forward.append(_work(by_jvp, *at) / cost)
        reverse.append(_work(lambda *xs: build_it.vjp(_chain, list(xs))[1](1.0), *at) / cost)
    _lines(left, sizes, forward, reverse)
    left.set(xlabel="inputs n (one output)", ylabel="operations / those of the function")

    forward, reverse = [], []
    for m in sizes:
        cost = _work(lambda x, m=m: _fan(x, m), 0.3)

        def by_vjp(x: Any, m: int = m) -> Any:
            _, pull_back = build_it.vjp(lambda x: _fan(x, m), x)
            return [pull_back(_unit(m, i))[0] for i in range(m)]

        forward.append(_work(lambda x, m=m: build_it.jvp(lambda x: _fan(x, m), (x,), (1.0,))[1], 0.3) / cost)
        reverse.append(_work(by_vjp, 0.3) / cost)
    _lines(right, sizes, forward, reverse)
    right.set(xlabel="outputs m (one input)")
    left.legend(frameon=False)
    return figure


def _lines(axes: Any, sizes: list[int], forward: list[float], reverse: list[float]) -> None:
    """Both modes on logarithmic axes."""
    axes.plot(sizes, forward, "o-", color=VERMILION, ms=5, label="forward mode: a jvp for each input")
    axes.plot(sizes, reverse, "s-", color=BLUE, ms=5, label="reverse mode: a vjp for each output")
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", lw=0.6)


def one_language_four_readings() -> Figure:
    """The program of the worked example, and what each transform puts in the place of a number."""
    figure, axes = plt.subplots(figsize=(10.5, 3.5), layout="constrained")
    axes.set(xlim=(0, 10.6), ylim=(0.35, 4.6))
    axes.axis("off")
    for x, text in ((0.1, "a number becomes"), (3.5, "x"), (4.9, "y"), (6.3, "c = x + y"), (8.4, "d = c · y")):
        axes.text(x, 4.3, text, fontsize=12, fontweight="bold", color=GREY, va="center")
    x, y, along = 2.0, 3.0, (1.0, 2.0)
    c, d = build_it.jvp(lambda x, y: x + y, (x, y), along), build_it.jvp(lambda x, y: (x + y) * y, (x, y), along)
    samples = build_it.array([2.0, 0.0]), build_it.array([3.0, 1.0])
    sums = build_it.vmap(lambda x, y: x + y)(*samples).tolist()
    products = build_it.vmap(lambda x, y: (x + y) * y)(*samples).tolist()
    lines = [e.output for e in build_it.make_jaxpr(lambda x, y: (x + y) * y)(x, y).equations]

    def several(values: list[float]) -> str:
        return f"[{', '.join(f'{v:g}' for v in values)}]"

    rows = [
        ("arithmetic: a number", GREY, "2", "3", f"{c[0].tolist():g}", f"{d[0].tolist():g}"),
        (
            "jvp: a number and its tangent",
            VERMILION,
            "2 + 1ε",
            "3 + 2ε",
            *(f"{v.tolist():g} + {t.tolist():g}ε" for v, t in (c, d)),
        ),
        (
            "vmap: a number for each sample",
            GREEN,
            several([2.0, 0.0]),
            several([3.0, 1.0]),
            several(sums),
            several(products),
        ),
        ("jit: the name of a number to come", BLUE, "a", "b", f"{lines[0][0]} = add a b", f"{lines[1][0]} = mul c b"),
    ]
    for k, (name, color, *cells) in enumerate(rows):
        height = 3.45 - 0.85 * k
        axes.add_patch(plt.Rectangle((0, height - 0.34), 10.5, 0.68, facecolor=color, alpha=0.10, edgecolor="none"))
        axes.text(0.1, height, name, fontsize=11.5, color=color, va="center")
        for x_, cell in zip((3.5, 4.9, 6.3, 8.4), cells, strict=True):
            axes.text(x_, height, cell, fontsize=12, family="monospace", va="center", color="black")
    return figure
