"""The figures of this lesson; `nox -s figures` saves each as figures/NAME.svg. Speeds are those of speed.json."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from phases.deep_learning_core.neural_network_toolkit import build_it
from phases.deep_learning_core.neural_network_toolkit.ship_it import SIZES, split

SPEED = json.loads(Path(__file__).with_name("speed.json").read_text(encoding="utf-8"))

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREEN, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#666666"


def speed_ladder() -> Figure:
    """Training samples per second of every rung, on a logarithmic scale."""
    figure, axes = plt.subplots(figsize=(10, 4.4), layout="constrained")
    rungs = SPEED["rungs"][::-1]
    speeds = [rung["samples_per_second"] for rung in rungs]
    colors = {"Python": VERMILION, "NumPy": BLUE, "nn-toolkit": BLUE, "PyTorch": GREEN}
    axes.barh(
        [rung["name"] for rung in rungs],
        speeds,
        color=[next(colors[kind] for kind in colors if rung["name"].startswith(kind)) for rung in rungs],
    )
    for i, speed in enumerate(speeds):
        axes.text(speed * 1.1, i, f"{speed:,.0f}", va="center", fontsize=10)
    axes.set(xscale="log", xlabel="samples per second", xlim=(min(speeds) / 3, max(speeds) * 4))
    sizes = "-".join(map(str, SPEED["sizes"]))
    axes.set_title(
        f"Training {sizes} on MNIST, batches of {SPEED['batch_size']}, Adam ({SPEED['machine']})", fontsize=11
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(left=False)
    return figure


def confusion() -> Figure:
    """What build_it says to MNIST's test images after its one epoch."""
    counts = SPEED["epoch"]["confusion"]
    n = len(counts)
    wrong = [[0 if i == k else counts[i][k] for k in range(n)] for i in range(n)]
    figure, axes = plt.subplots(figsize=(6.2, 5.6), layout="constrained")
    axes.imshow(wrong, cmap="Blues", vmax=1.4 * max(map(max, wrong)))
    for i, row in enumerate(counts):
        for k, count in enumerate(row):
            color = "black" if count else "#bbbbbb"
            axes.text(k, i, count, ha="center", va="center", fontsize=9, color=color, weight="bold" if i == k else None)
    axes.set(xticks=range(n), yticks=range(n), xlabel="prediction", ylabel="label")
    axes.set_title(f"{SPEED['epoch']['test_accuracy']:.2%} right after one epoch; shaded: mistakes", fontsize=11)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def what_a_checkpoint_forgets() -> Figure:
    """A run stopped after 60 steps and resumed without a part of its state: how far its parameters go astray."""
    training, _ = split()
    rng = Random(0)
    run = build_it.start(build_it.initialize(SIZES, rng), build_it.Adam(0.005), 32, rng)
    stopped, _ = build_it.train(run, *training, 60)
    fresh = build_it.start(stopped.parameters, stopped.optimizer, stopped.batch_size, Random(1))
    forgotten = {
        "everything but the weights": (replace(fresh, n_steps=0), VERMILION, "-"),
        "random state and position": (
            replace(stopped, random_state=fresh.random_state, position=0),
            GREY,
            ":",
        ),
        "the moments m and v": (replace(stopped, moments=fresh.moments), ORANGE, "--"),
        "the step count t": (replace(stopped, n_steps=0), GREEN, "-."),
        "nothing": (stopped, BLUE, "-"),
    }
    right = _path(stopped, training)
    figure, axes = plt.subplots(figsize=(10, 4.2), layout="constrained")
    for what, (resumed, color, style) in forgotten.items():
        distances = [_distance(*pair) for pair in zip(_path(resumed, training), right, strict=True)]
        label = f"{what} (0 at every step)" if not any(distances) else what
        axes.plot(range(61, 101), distances, color=color, ls=style, lw=1.8, label=label)
    axes.set(xlabel="step", ylabel="root mean square distance", xlim=(60, 100), ylim=(-0.001, None))
    axes.set_title("How far the parameters are from those of the run that was not stopped", fontsize=11)
    figure.legend(frameon=False, title="what the checkpoint forgot", loc="outside right center", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _path(run: build_it.Run, training: tuple[list[list[float]], list[int]]) -> list[list[float]]:
    """All weights after each of 40 more steps."""
    path = []
    for _ in range(40):
        run, _ = build_it.train(run, *training, 1)
        path.append([w for W in run.parameters.weights for row in W for w in row])
    return path


def _distance(some: list[float], others: list[float]) -> float:
    return (sum((a - b) ** 2 for a, b in zip(some, others, strict=True)) / len(some)) ** 0.5
