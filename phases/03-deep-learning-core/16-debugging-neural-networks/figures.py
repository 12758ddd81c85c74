"""The figures of this lesson; `nox -s figures` saves each as figures/NAME.svg."""

import math

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from phases.deep_learning_core.debugging_neural_networks import build_it, ship_it

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"


def step_size() -> Figure:
    """The error of difference quotients of e^x at 1 against the step, with the two lines of theory."""
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    steps = [10.0 ** (k / 8) for k in range(-96, 1)]
    central = [abs(build_it.numerical_gradient(lambda x: math.exp(x[0]), [1.0], h)[0] / math.e - 1) for h in steps]
    forward = [abs((math.exp(1 + h) - math.e) / h / math.e - 1) for h in steps]
    for errors, marker, color, label in (
        (forward, "^", VERMILION, "forward: (f(x + h) - f(x)) / h"),
        (central, "o", BLUE, "central: (f(x + h) - f(x - h)) / 2h"),
    ):
        axes.plot(steps, [max(e, 1e-13) for e in errors], marker, ms=3.5, color=color, label=label)
    axes.plot(steps, [h * h / 6 for h in steps], "-", color=GREY, lw=1, label="truncation: h² / 6")
    axes.plot(steps, [2.0**-53 / h for h in steps], "--", color=GREY, lw=1, label="rounding: 2⁻⁵³ / h")
    best = (3 * 2.0**-53) ** (1 / 3)
    axes.axvline(best, color=GREEN, lw=1.4)
    axes.text(best * 1.15, 2e-2, "best, 7e-6", color=GREEN, fontsize=9)
    axes.axvline(1e-6, color="black", lw=1, ls=":")
    axes.text(0.85e-6, 2e-2, "gradcheck's 1e-6", fontsize=9, ha="right")
    axes.set(xscale="log", yscale="log", ylim=(5e-14, 1), xlabel="h", ylabel="relative error of the derivative")
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def symptoms() -> Figure:
    """Which check fails on which network: measured."""
    names, checks = [*ship_it.HEALTHY, *ship_it.FAULTS], list(build_it.CHECKLIST)
    figure, axes = plt.subplots(figsize=(9, 5.6), layout="constrained")
    for row, name in enumerate(names):
        found = ship_it.symptoms(build_it, name)
        first = found["failed"][:1]
        for column, check in enumerate(checks):
            fails = check in found["failed"]
            color = VERMILION if check in first else BLUE if fails else "#eeeeee"
            axes.add_patch(plt.Rectangle((column, row), 1, 1, facecolor=color, edgecolor="white", lw=1.5))
            if fails:
                value = found["measured"][check]
                text = f"{value:.0f}" if value >= 100 else f"{value:.2g}"
                axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color="white", fontsize=8)
    labels = {"Script": "healthy", "WithTanh": "healthy, tanh", "WithBatchNorm": "healthy, batch norm"}
    axes.set(xlim=(0, len(checks)), ylim=(len(names), 0))
    axes.set_xticks([i + 0.5 for i in range(len(checks))], checks, rotation=35, ha="left")
    axes.set_yticks([i + 0.5 for i in range(len(names))], [labels.get(name, name) for name in names])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for color, label in ((VERMILION, "first that fails"), (BLUE, "fails, too"), ("#eeeeee", "passes")):
        axes.plot([], [], "s", color=color, ms=9, label=label)
    axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3)
    return figure
