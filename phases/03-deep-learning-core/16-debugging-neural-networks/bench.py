"""One diagnosis with build_it and with use_it: seconds and their ratio. And false alarms on healthy networks.

The twins take turns in one process, on the same network, torch with one thread; medians are printed.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.debugging_neural_networks import build_it, networks, ship_it, use_it

ROUNDS, SEEDS = 7, range(20)


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    torch.set_num_threads(1)
    X, y, *held_out = networks.data()
    calls = []
    for twin in (build_it, use_it):
        nn = networks.framework(twin)
        calls.append(lambda twin=twin, nn=nn: twin.diagnose(lambda: networks.Script(nn), X, y, *held_out))
    calls[1]()  # torch's first call is slower
    rounds = [[seconds(call) for call in calls] for _ in range(ROUNDS)]
    built, used = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"one diagnosis: build_it {built:.2f} s, use_it {used:.2f} s, ratio {built / used:.1f}")

    nn = networks.framework(build_it)
    for name in ship_it.HEALTHY:
        alarms = []
        for seed in SEEDS:
            found = build_it.diagnose(lambda name=name, seed=seed: getattr(networks, name)(nn, seed), X, y, *held_out)
            alarms += [(seed, finding.check) for finding in found if not finding.passed]
        print(f"{name}: {len(SEEDS)} seeds, {len(alarms)} false alarms {alarms or ''}")


if __name__ == "__main__":
    main()
