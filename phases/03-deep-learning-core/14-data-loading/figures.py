"""The figures of this lesson; `nox -s figures` saves each as figures/NAME.svg."""

from collections import Counter

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from phases.deep_learning_core.data_loading.build_it import Generator, shuffle_buffer

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
N = 400


def where_a_buffer_puts_samples() -> Figure:
    """Place in the file against place in the epoch, for two buffers and a whole shuffle; and the law, measured."""
    figure, grid = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained", width_ratios=[1, 1, 1, 1.3])
    orders = {
        "buffer of 10": list(shuffle_buffer(range(N), 10, 0)),
        "buffer of 80": list(shuffle_buffer(range(N), 80, 0)),
        "whole shuffle": Generator(0).randperm(N),
    }
    for axes, (title, order), size in zip(grid, orders.items(), (10, 80, N), strict=False):
        axes.scatter(order, range(N), s=5, color=BLUE, lw=0, rasterized=False)
        axes.fill_between([0, size, N], [0, 0, N - size], color=VERMILION, alpha=0.25, lw=0)
        axes.set_title(title, fontsize=10)
        axes.set(xlim=(0, N), ylim=(0, N), xlabel="place in the file", aspect="equal")
        axes.set_xticks([0, 200, 400])
        axes.set_yticks([0, 200, 400])
    grid[0].set_ylabel("place in the epoch")
    grid[1].text(245, 35, "cannot be\nreached", color=VERMILION, fontsize=9)

    axes, size, draws = grid[3], 10, 5000
    moved = Counter(list(shuffle_buffer(range(120), size, seed)).index(30) - 30 for seed in range(draws))
    places = range(-size + 1, 31)
    axes.bar(places, [moved[k] / draws for k in places], color=BLUE, width=0.8, label=f"measured, {draws} shuffles")
    law = [(1 - 1 / size) ** (k + size - 1) / size for k in places]
    axes.plot(places, law, color=VERMILION, lw=1.5, label="$(1 - 1/B)^k / B$")
    axes.axvline(0, color=GREY, lw=0.8, ls=":")
    axes.set_title("how far a sample moves, $B = 10$", fontsize=10)
    axes.set(xlabel="places later (+) or earlier (-)", ylabel="probability")
    axes.legend(frameon=False, fontsize=9)
    for axes in grid:
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def workers_take_turns() -> Figure:
    """The rule of the loader with given durations: who makes which batch when, with 0 workers and with 2."""
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(10, 3.8), layout="constrained", sharex=True, height_ratios=[1.3, 3.2]
    )
    load, train = [3, 3, 9, 3, 3, 3, 3, 3], 2.0
    now, spans = 0.0, []
    for k, duration in enumerate(load):
        spans += [(0, k, now, duration, BLUE), (0, k, now + duration, train, GREEN)]
        now += duration + train
    _draw(top, spans, ["main loop"], f"no workers: {now:g} units")

    n, ahead = 2, 4
    free, ready, taken, spans = [0.0] * n, [], [], []
    for k, duration in enumerate(load):
        sent = taken[k - ahead] if k >= ahead else 0.0  # a batch is ordered when one is handed out
        begins = max(free[k % n], sent)
        free[k % n] = begins + duration
        ready.append(free[k % n])
        taken.append(max(ready[k], taken[-1] + train if taken else 0.0))
        spans += [(1 + k % n, k, begins, duration, BLUE), (0, k, taken[k], train, GREEN)]
    total = taken[-1] + train
    title = f"two workers, prefetch_factor 2: {total:g} units"
    _draw(bottom, spans, ["main loop", "worker 0", "worker 1"], title)
    slow = taken[3] - ready[3]
    bottom.annotate(
        f"batch 3 is ready, and waits {slow:g} units for its turn behind batch 2",
        xy=(ready[3], 2.45),
        xytext=(ready[3] + 8, 2.62),
        fontsize=9,
        color=VERMILION,
        va="center",
        arrowprops={"arrowstyle": "->", "color": VERMILION},
    )
    bottom.set_xlabel("time")
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in (BLUE, GREEN)]
    top.legend(
        handles,
        ["load a batch", "train on it"],
        frameon=False,
        fontsize=9,
        loc="lower right",
        ncols=2,
        bbox_to_anchor=(1, 0.98),
    )
    return figure


def _draw(axes: plt.Axes, spans: list[tuple[int, int, float, float, str]], rows: list[str], title: str) -> None:
    for row, k, begins, duration, color in spans:
        axes.barh(row, duration, left=begins, height=0.7, color=color, edgecolor="white")
        axes.text(begins + duration / 2, row, str(k), color="white", ha="center", va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.1 if len(rows) > 1 else 0.6, -0.8)
    axes.set_title(title, fontsize=10, loc="left")
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
