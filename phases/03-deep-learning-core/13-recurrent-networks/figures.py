"""The figures of this lesson; `nox -s figures` saves each as figures/NAME.svg."""

import math
from dataclasses import replace
from random import Random
from statistics import median

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from phases.deep_learning_core.recurrent_networks import build_it

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREEN, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#666666"
N_IN, N_HIDDEN, N_STEPS, N_NETWORKS = 4, 16, 101, 9


def two_steps_by_hand() -> Figure:
    """The worked example: values forward, gradients backward."""
    p = build_it.Parameters([[1.0]], [[0.5]], [0.0], [0.0])
    trace = build_it.forward("rnn_relu", p, [[[2.0]], [[1.0]]])
    found = build_it.backward("rnn_relu", p, trace, [[[0.0]], [[1.0]]])
    last = build_it.rnn_cell_backward(p, trace.x[1], trace.states[1], ([[1.0]],), "relu")
    h = [part[0][0] for (part,) in trace.states]
    x = [X[0][0] for X in trace.x]
    to_h = [found.state[0][0][0], last.state[0][0][0], 1.0]
    to_x = [step[0][0] for step in found.input]
    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    axes.set(xlim=(-0.8, 9.3), ylim=(-1.6, 3.1), aspect="equal")
    axes.axis("off")
    for t in range(3):
        _node(axes, (3.8 * t, 1.7), f"h{'₀₁₂'[t]}", h[t])
        _text(axes, (3.8 * t, 2.55), f"∂L/∂h = {to_h[t]:g}", VERMILION)
    for t in range(2):
        begin, end = 3.8 * t, 3.8 * (t + 1)
        _node(axes, (end, -0.6), f"x{'₁₂'[t]}", x[t])
        _text(axes, (end, -1.35), f"∂L/∂x = {to_x[t]:g}", VERMILION)
        for tail, head in (((begin + 0.5, 1.7), (end - 0.5, 1.7)), ((end, -0.1), (end, 1.2))):
            axes.annotate("", head, tail, arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 1.3})
        delta = to_h[t + 1] * (h[t + 1] > 0)
        _text(axes, (begin + 1.9, 1.98), f"w = {p.weight_hh[0][0]:g}", BLUE)
        _text(axes, (begin + 1.9, 1.4), f"δ h = {delta * h[t]:g}", VERMILION)
        _text(axes, (end + 0.62, 0.65), f"u = {p.weight_ih[0][0]:g}", BLUE)
        _text(axes, (end - 0.62, 0.65), f"δ x = {delta * x[t]:g}", VERMILION)
    _text(axes, (0.9, -0.4), "blue: forward", BLUE)
    _text(axes, (0.9, -0.8), "orange: backward, L = h₂", VERMILION)
    return figure


def gradient_by_lag() -> Figure:
    """How much of a gradient at the last h reaches the input k steps before: medians of nine networks of 16 units."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.1), layout="constrained", sharey=True)
    lags = range(N_STEPS)
    styles = ((0.5, BLUE, "-"), (1.0, GREEN, "--"), (1.4, GREY, ":"), (2.0, VERMILION, "-."))
    for gain, color, line in styles:
        norms = _by_lag("rnn_relu", gain=gain)
        left.plot(lags, list(map(median, norms)), color=color, ls=line, lw=1.7, label=f"ReLU, gain {gain}")
        if gain == 1.4:
            ends = list(map(min, norms)), list(map(max, norms))
            left.fill_between(lags, *ends, color=GREY, alpha=0.2, lw=0, label="smallest to largest at 1.4")
    left.plot(lags, list(map(median, _by_lag("rnn_tanh"))), color="black", lw=1.4, label="tanh, as torch draws it")
    left.set_title("RNN", fontsize=11)
    for bias, color, line in ((0.0, VERMILION, "-"), (1.0, ORANGE, "--"), (2.0, GREEN, "-."), (5.0, BLUE, ":")):
        label = "as torch draws it" if bias == 0 else f"forget bias + {bias:.0f}"
        right.plot(lags, list(map(median, _by_lag("lstm", bias))), color=color, ls=line, lw=1.7, label=f"LSTM, {label}")
    right.plot(lags, list(map(median, _by_lag("gru"))), color="black", lw=1.4, label="GRU, as torch draws it")
    right.plot(lags, [0.1 * 0.5**k for k in lags], color=GREY, lw=0.8)
    right.annotate("0.1 · ½ᵏ", (61, 0.1 * 0.5**61), (48, 1e-22), color=GREY, fontsize=9)
    right.set_title("LSTM and GRU", fontsize=11)
    for axes in (left, right):
        axes.set(yscale="log", xlabel="lag k: steps between the input and the end", xlim=(0, 100), ylim=(1e-32, 1e8))
        axes.legend(frameon=False, fontsize=9, loc="lower left")
        axes.spines[["top", "right"]].set_visible(False)
    left.set_ylabel("norm of the gradient of the input")
    return figure


def _by_lag(kind: str, forget_bias: float = 0.0, gain: float | None = None) -> list[tuple[float, ...]]:
    """For each lag, the norms of nine networks."""
    return list(zip(*(_of_one(kind, forget_bias, gain, seed) for seed in range(N_NETWORKS)), strict=True))


def _of_one(kind: str, forget_bias: float, gain: float | None, seed: int) -> list[float]:
    """‖dL/dx‖ of each step, the last one first, where a random gradient arrives at the last h."""
    rng = Random(seed)
    p = build_it.initialize(kind, N_IN, N_HIDDEN, rng)
    if gain is not None:
        std = gain / math.sqrt(N_HIDDEN)
        p = replace(p, weight_hh=[[rng.gauss(0, std) for _ in range(N_HIDDEN)] for _ in range(N_HIDDEN)])
    forget = range(N_HIDDEN, 2 * N_HIDDEN)
    p = replace(p, bias_ih=[b + forget_bias * (k in forget) for k, b in enumerate(p.bias_ih)])
    x = [[[rng.gauss(0, 1) for _ in range(N_IN)]] for _ in range(N_STEPS)]
    upstream = [[rng.gauss(0, 1) for _ in range(N_HIDDEN)]]
    to_state = (upstream, [[0.0] * N_HIDDEN]) if kind == "lstm" else (upstream,)
    found = build_it.backward(kind, p, build_it.forward(kind, p, x), None, to_state)
    return [math.hypot(*step[0]) for step in reversed(found.input)]


def _node(axes: Axes, place: tuple[float, float], name: str, value: float) -> None:
    axes.add_patch(plt.Circle(place, 0.45, facecolor="white", edgecolor="black", lw=1.4, zorder=3))
    _text(axes, (place[0], place[1] + 0.14), name, "black")
    _text(axes, (place[0], place[1] - 0.17), f"{value:g}", BLUE)


def _text(axes: Axes, place: tuple[float, float], text: str, color: str) -> None:
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.text(*place, text.replace("-", "−"), color=color, fontsize=11, ha="center", va="center", zorder=4, bbox=behind)
