"""One pass through 20 layers of 32 units, with build_it and with use_it: milliseconds and their ratio.

The twins take turns in one process, on the same weights and 32 samples; medians are printed, with the threads that
torch chooses and with one. "tensors" is torch on tensors that it already has, without conversion from and to lists.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.activation_functions import build_it, use_it

ROUNDS, DEPTH, WIDTH = 9, 20, 32


def milliseconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)


def main() -> None:
    rng = Random(0)
    weights = build_it.random_weights([WIDTH] * (DEPTH + 1), 1.0, rng)
    X, upstream = ([[rng.gauss(0, 1) for _ in range(WIDTH)] for _ in range(WIDTH)] for _ in range(2))
    Ws = [torch.tensor(W, dtype=torch.float64, requires_grad=True) for W in weights]
    inputs, gradient = torch.tensor(X, dtype=torch.float64), torch.tensor(upstream, dtype=torch.float64)

    def tensors_only(activation: str) -> None:
        H = inputs
        for W in Ws:
            H = use_it.ACTIVATIONS[activation](H @ W)
        torch.autograd.grad(H, Ws, gradient)

    chosen = torch.get_num_threads()
    for activation in ("relu", "gelu"):
        calls = {
            "build_it": lambda name=activation: build_it.forward_backward(weights, name, X, upstream),
            "use_it": lambda name=activation: use_it.forward_backward(weights, name, X, upstream),
            "tensors": lambda name=activation: tensors_only(name),
        }
        for threads in dict.fromkeys((chosen, 1)):
            torch.set_num_threads(threads)
            calls["use_it"]()  # the first call of autograd is slower
            rounds = [[milliseconds(call) for call in calls.values()] for _ in range(ROUNDS)]
            built, used, bare = (statistics.median(times) for times in zip(*rounds, strict=True))
            print(f"{activation:5} build_it {built:6.2f} ms  use_it {used:6.2f} ms  tensors {bare:6.2f} ms", end="  ")
            print(f"ratios {built / used:5.1f} and {built / bare:5.1f} with threads: {threads}")


if __name__ == "__main__":
    main()
