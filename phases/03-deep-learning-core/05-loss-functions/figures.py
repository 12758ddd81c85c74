"""The figures of this lesson; `nox -s figures` saves each as figures/NAME.svg."""

import math

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from phases.deep_learning_core.loss_functions import build_it, use_it

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
KIND = {"reduction": "none"}


def shapes() -> Figure:
    """Above the losses, below their slopes: of the error for regression, of the margin for classification."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 6.4), layout="constrained", sharex="col")
    errors = [k / 50 for k in range(-175, 176)]
    zeros = [0.0] * len(errors)
    regression = {
        "½ squared error": (_halved(build_it.mse_loss(errors, zeros, **KIND)), BLUE, "-"),
        "absolute error": (build_it.l1_loss(errors, zeros, **KIND), VERMILION, "--"),
        "Huber, δ = 1": (build_it.huber_loss(errors, zeros, **KIND), GREEN, "-."),
    }
    margins = [k / 50 for k in range(-175, 176)]
    ones = [1.0] * len(margins)
    classification = {
        "logistic: cross-entropy of two classes": (
            build_it.binary_cross_entropy_with_logits(margins, ones, **KIND),
            BLUE,
            "-",
        ),
        "hinge": (build_it.hinge_loss(margins, [1] * len(margins), **KIND), VERMILION, "--"),
        "½ squared error of the score": (_halved(build_it.mse_loss(margins, ones, **KIND)), GREEN, "-."),
    }
    for column, (x, losses) in enumerate(((errors, regression), (margins, classification))):
        for name, ((loss, slope), color, style) in losses.items():
            axes[0, column].plot(x, loss, color=color, ls=style, lw=1.8, label=name)
            _draw_slope(axes[1, column], x, slope, color, style)
    axes[0, 1].plot([-3.5, 0, 0, 3.5], [1, 1, 0, 0], color=GREY, lw=1, label="wrong or right (no slope)")
    axes[0, 0].set(ylabel="loss", ylim=(-0.1, 5.2), title="error = prediction − target")
    axes[0, 1].set(ylim=(-0.1, 5.2), title="margin = label (−1 or 1) × score")
    axes[1, 0].set(ylabel="slope", ylim=(-2.6, 2.6), xlabel="error")
    axes[1, 1].set(ylim=(-2.6, 2.6), xlabel="margin: left of 0 is a mistake")
    for panel in axes.flat:
        panel.axhline(0, color=GREY, lw=0.6, zorder=0)
        panel.axvline(0, color=GREY, lw=0.6, zorder=0)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in axes[0]:
        panel.legend(frameon=False, fontsize=9, loc="upper center" if panel is axes[0, 0] else "upper right")
    return figure


def breaks() -> Figure:
    """-log(1 - p) for a logit z, computed three ways in float64: value and slope, as torch says them."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    z = [30 + k / 40 for k in range(401)]
    zeros = [0.0] * len(z)
    stable, stable_slope = use_it.binary_cross_entropy_with_logits(z, zeros, **KIND)
    textbook, textbook_slope = use_it.textbook_binary_cross_entropy(z, zeros, **KIND)
    last = max(v for v, loss in zip(z, textbook, strict=True) if math.isfinite(loss))
    for axes, rough, smooth in ((left, textbook, stable), (right, textbook_slope, stable_slope)):
        axes.plot(z, [v if math.isfinite(v) else math.nan for v in rough], color=VERMILION, lw=1.4, label="textbook")
        axes.plot(z, smooth, color=BLUE, lw=1.8, ls="--", label="stable")
        axes.axvspan(last, 40, color=GREY, alpha=0.15, lw=0)
        axes.set(xlim=(30, 40), xlabel="logit z of a sample whose class is 0")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper left")
    left.annotate("the textbook form\nsays inf", (38.35, 31), ha="center", color=GREY, fontsize=10)
    right.annotate("the textbook form\nsays inf", (38.35, 0.52), ha="center", color=GREY, fontsize=10)
    left.set(ylabel="loss", title="−log(1 − p)")
    right.set(ylabel="slope by z", ylim=(0.4, 1.6), title="its gradient")
    return figure


def _halved(result: tuple[list[float], list[float]]) -> tuple[list[float], list[float]]:
    loss, slope = result
    return [v / 2 for v in loss], [v / 2 for v in slope]


def _draw_slope(axes: Axes, x: list[float], slope: list[float], color: str, style: str) -> None:
    """A line that breaks where the slope jumps."""
    jumps = [k for k in range(1, len(x)) if abs(slope[k] - slope[k - 1]) > 0.5]
    for start, end in zip([0, *jumps], [*jumps, len(x)], strict=True):
        if end - start > 1:
            axes.plot(x[start:end], slope[start:end], color=color, ls=style, lw=1.8)
        else:
            axes.plot(x[start:end], slope[start:end], "o", color=color, ms=5)
