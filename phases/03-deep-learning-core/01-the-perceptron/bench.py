"""Ten epochs of one perceptron: build_it, use_it, which shows one sample after another, and one call of scikit-learn.

600 random samples of 30 features; the time depends on the sizes alone. The three take turns; medians are printed.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
from sklearn import linear_model

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.the_perceptron import build_it, use_it

ROUNDS, EPOCHS = 7, 10


def processor_seconds(run: Callable[[], object]) -> float:
    """How long it takes, other programs left out."""
    began = time.process_time()
    run()
    return time.process_time() - began


def main() -> None:
    rng = Random(0)
    X = [[rng.gauss(0, 1) for _ in range(30)] for _ in range(600)]
    y = [rng.randrange(2) for _ in X]
    samples, labels = np.array(X), np.array(y)
    estimator = linear_model.Perceptron(shuffle=False, tol=None, max_iter=EPOCHS)
    runs = {
        "build_it.fit": lambda: build_it.fit(X, y, max_epochs=EPOCHS),
        "use_it.fit": lambda: use_it.fit(X, y, max_epochs=EPOCHS),
        "Perceptron.fit": lambda: estimator.fit(samples, labels),
    }
    rounds = [{name: processor_seconds(run) for name, run in runs.items()} for _ in range(ROUNDS)]
    medians = {name: statistics.median(times[name] for times in rounds) for name in runs}
    for name, seconds in medians.items():
        print(f"{name:15} {1e3 * seconds:8.2f} ms, build_it / this {medians['build_it.fit'] / seconds:.2g}")


if __name__ == "__main__":
    main()
