"""How long one `fit` takes from scratch, as a multiple of scikit-learn's time, for four sizes of data."""

import sys
import time
from pathlib import Path
from random import Random
from types import ModuleType

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.ml_fundamentals.linear_regression import build_it, use_it

REPEATS = 7


def processor_seconds(twin: ModuleType, X: list[list[float]], y: list[float]) -> float:
    """The least of some runs: what else the machine does can only add."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        twin.fit(X, y)
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    rng = Random(0)
    for n_samples, n_features in ((20, 2), (442, 10), (5000, 10), (500, 40)):
        X = [[rng.gauss(0, 1) for _ in range(n_features)] for _ in range(n_samples)]
        y = [sum(row) + rng.gauss(0, 1) for row in X]
        built, used = processor_seconds(build_it, X, y), processor_seconds(use_it, X, y)
        print(
            f"{n_samples:5} rows, {n_features:2} features: build_it {1e3 * built:8.2f} ms, "
            f"use_it {1e3 * used:6.2f} ms, ratio {built / used:.2g}"
        )


if __name__ == "__main__":
    main()
