"""The figures of this lesson; `nox -s figures` saves each as figures/NAME.svg."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from phases.deep_learning_core.regularization import build_it
from phases.deep_learning_core.regularization.ship_it import Rows, descend, loss, patients, plus, recipes

# Okabe & Ito's colours, told apart by every kind of colour vision
BLUE, VERMILION, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"


def curves() -> Figure:
    """60 patients, 64 weights: training and validation loss without a remedy, and the validation loss with each."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
    train, validation = patients()
    runs = {name: trail for name, (trail, _) in recipes(build_it, train).items()}
    plain = [loss(w, validation) for w in runs["nothing"]]
    stopper = build_it.EarlyStopping(patience=20)
    stopped = next(epoch for epoch, value in enumerate(plain, 1) if stopper.step(value, None))
    guess = loss([0.0] * len(train.X[0]), validation)
    epochs = range(1, len(plain) + 1)
    left.plot(epochs, [loss(w, train) for w in runs["nothing"]], color=GREY, lw=1.8, ls="--", label="training")
    left.plot(epochs, plain, color=VERMILION, lw=1.8, label="validation")
    left.plot([stopper.best_epoch], [stopper.best_loss], "o", color=BLUE, ms=8, label="what early stopping keeps")
    left.axvline(stopped, color=BLUE, lw=1, ls=":", label=f"where it stops, with patience {stopper.patience}")
    left.set(title="without a remedy", xlabel="epoch", ylabel="mean squared error", ylim=(0, 1.85))
    right.plot(epochs, plain, color=VERMILION, lw=1.8, label="nothing")
    styles = {
        "weight decay 2": (BLUE, "-"),
        "dropout 0.5": (PURPLE, "-"),
        "L1 0.3, soft-thresholding": (GREEN, "--"),
    }
    for name, (color, style) in styles.items():
        right.plot(epochs, [loss(w, validation) for w in runs[name]], color=color, ls=style, lw=1.6, label=name)
    right.set(title="validation loss, with each remedy", xlabel="epoch")
    for axes in (left, right):
        axes.axhline(guess, color=GREY, lw=0.8, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9, loc=(0.4, 0.2) if axes is left else "lower right")
    right.annotate("the mean of the training targets, for everyone", (300, guess + 0.02), ha="right", color=GREY)
    return figure


def paths() -> Figure:
    """Left, a weight under its penalty alone, step by step; right, ten weights of a fit as the penalty grows."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
    rate, steps = 0.06, 30
    decayed, jumping, landed = [1.0], [1.0], [1.0]
    for _ in range(steps):
        decayed.append(decayed[-1] - rate * build_it.l2_penalty(decayed[-1:], 1.0)[1][0])
        jumping.append(jumping[-1] - rate * build_it.l1_penalty(jumping[-1:], 1.0)[1][0])
        landed += build_it.softshrink(landed[-1:], rate)
    left.plot(decayed, color=BLUE, lw=1.8, label="L2: times 0.94")
    left.plot(jumping, "o", color=VERMILION, ms=4, label="L1, subgradient: minus ±0.06")
    left.plot(landed, color=GREEN, lw=1.8, label="L1, soft-thresholding")
    left.set(title="one weight, its penalty alone", xlabel="step", ylabel="weight", ylim=(-0.1, 1.12))

    train, _ = patients()
    ten = Rows([row[:10] for row in train.X], train.y)
    strengths = [0.01 * 1.45**k for k in range(15)]

    def fitted(v: float) -> list[float]:
        return descend(ten, 400, 0.1, after=lambda w: build_it.softshrink([w], 0.1 * v)[0])[-1]

    fits = {
        "L2": [descend(ten, 400, 0.1, amend=plus(build_it.l2_penalty, v))[-1] for v in strengths],
        "L1": [
            descend(ten, 400, 0.1, after=lambda w, v=v: build_it.softshrink([w], 0.1 * v)[0])[-1] for v in strengths
        ],
    }
    for axes, (name, found) in zip((middle, right), fits.items(), strict=True):
        for path in zip(*found, strict=True):
            axes.plot(strengths, path, color=BLUE if name == "L2" else GREEN, lw=1.2)
        axes.set(title=f"ten weights, fitted with {name}", xlabel="λ", xscale="log", ylim=(-0.3, 0.65))
    left.legend(frameon=False, fontsize=9, loc="upper right")
    for axes in (left, middle, right):
        axes.axhline(0, color=GREY, lw=0.8, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
