"""Layer norm and batch norm, forward and backward, with build_it and with use_it: milliseconds and their ratio.

The twins take turns in one process, on the same 64 × 256 numbers, torch with one thread; medians are printed.
"tensors" is torch on tensors that it already has, without conversion from and to lists.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.normalization import build_it, use_it

ROUNDS, N, WIDTH = 9, 64, 256


def milliseconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)


def main() -> None:
    torch.set_num_threads(1)
    rng = Random(0)
    x, upstream = ([[rng.gauss(0, 1) for _ in range(WIDTH)] for _ in range(N)] for _ in range(2))
    weight, bias = [1.0] * WIDTH, [0.0] * WIDTH
    leaves = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (x, weight, bias)]
    g = torch.tensor(upstream, dtype=torch.float64)
    kinds = {
        "layer norm": lambda x, w, b: functional.layer_norm(x, (WIDTH,), w, b),
        "batch norm": lambda x, w, b: functional.batch_norm(x, None, None, w, b, training=True),
    }
    for name, on_tensors in kinds.items():
        f = name.replace(" ", "_")
        calls = [
            lambda twin=twin, f=f: (
                getattr(twin, f)(x, weight, bias),
                getattr(twin, f"{f}_backward")(x, weight, upstream),
            )
            for twin in (build_it, use_it)
        ]
        calls.append(lambda on_tensors=on_tensors: torch.autograd.grad(on_tensors(*leaves), leaves, g))
        for call in calls[1:]:
            call()  # the first call of autograd is slower
        rounds = [[milliseconds(call) for call in calls] for _ in range(ROUNDS)]
        built, used, bare = (statistics.median(times) for times in zip(*rounds, strict=True))
        print(f"{name}: build_it {built:.1f} ms, use_it {used:.2f} ms, tensors {bare:.3f} ms", end="; ")
        print(f"ratios {built / used:.0f} and {built / bare:.0f}")


if __name__ == "__main__":
    main()
