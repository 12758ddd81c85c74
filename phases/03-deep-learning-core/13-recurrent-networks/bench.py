"""A forward and a backward pass of each kind, with build_it and with use_it: milliseconds and their ratio.

The twins take turns in one process, on the same sequences, torch with one thread; medians are printed.
"tensors" is torch on tensors that it already has, without conversion from and to lists.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.recurrent_networks import build_it, use_it

ROUNDS, N_STEPS, N_SAMPLES, N_IN, N_HIDDEN = 7, 16, 16, 16, 32


def milliseconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)


def main() -> None:
    torch.set_num_threads(1)
    rng = Random(0)
    x = [[[rng.gauss(0, 1) for _ in range(N_IN)] for _ in range(N_SAMPLES)] for _ in range(N_STEPS)]
    upstream = [[[rng.gauss(0, 1) for _ in range(N_HIDDEN)] for _ in range(N_SAMPLES)] for _ in range(N_STEPS)]
    for kind, layer_of in (("rnn_tanh", torch.nn.RNN), ("gru", torch.nn.GRU), ("lstm", torch.nn.LSTM)):
        p = build_it.initialize(kind, N_IN, N_HIDDEN, Random(0))
        layer = layer_of(N_IN, N_HIDDEN, dtype=torch.float64)
        inputs, g = (torch.tensor(v, dtype=torch.float64) for v in (x, upstream))
        leaves = list(layer.parameters())
        calls = [
            lambda twin=twin, kind=kind, p=p: twin.backward(kind, p, twin.forward(kind, p, x), upstream)
            for twin in (build_it, use_it)
        ]
        calls.append(lambda layer=layer, leaves=leaves, g=g, x=inputs: torch.autograd.grad(layer(x)[0], leaves, g))
        for call in calls[1:]:
            call()  # the first call of autograd is slower
        rounds = [[milliseconds(call) for call in calls] for _ in range(ROUNDS)]
        built, used, bare = (statistics.median(times) for times in zip(*rounds, strict=True))
        print(f"{kind}: build_it {built:.0f} ms, use_it {used:.2f} ms, tensors {bare:.2f} ms", end="; ")
        print(f"ratios {built / used:.0f} and {built / bare:.0f}")


if __name__ == "__main__":
    main()
