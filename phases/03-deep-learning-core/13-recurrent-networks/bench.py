"""A forward and a backward pass of each kind, with build_it and with use_it: milliseconds and their ratio.

The twins take turns in one process, on the same sequences, torch with one thread; medians are printed.
"tensors" is torch on tensors that it already has, without conversion from and to lists.

Then the experiment of USE IT for longer: after how many batches has a network learned to remember its first input?
"""

import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.recurrent_networks import build_it, use_it

STARTS, MOST_BATCHES, WINDOW = 9, 800, 20
ROUNDS, N_STEPS, N_SAMPLES, N_IN, N_HIDDEN = 7, 16, 16, 16, 32


def milliseconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)


def batches_until_it_remembers(make: Callable[..., torch.nn.Module], forget_bias: float, seed: int) -> int | None:
    """Batches until the mean loss of the last 20 is below 0.35, half of log 2; None: not in 800."""
    torch.manual_seed(seed)
    layer, head, losses = make(1, 16), torch.nn.Linear(16, 1), []
    if forget_bias:
        layer.bias_ih_l0.data[16:32] += forget_bias
    parameters = [*layer.parameters(), *head.parameters()]
    while len(losses) < MOST_BATCHES:
        bit, x = torch.randint(0, 2, (16,)).float(), torch.randn(10, 16, 1) / 2
        x[0, :, 0] = 2 * bit - 1
        answer = head(layer(x)[0][-1])[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(answer, bit)
        gradients = torch.autograd.grad(loss, parameters)
        norm = sum((g * g).sum() for g in gradients).sqrt().item()
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(gradient * min(1, 1 / (norm + 1e-6)))
        losses.append(loss.item())
        if len(losses) >= WINDOW and sum(losses[-WINDOW:]) / WINDOW < 0.35:
            return len(losses)
    return None


def memory() -> None:
    """The batches that each start needs, and their median."""
    layers = (("RNN", torch.nn.RNN, 0), ("LSTM", torch.nn.LSTM, 0), ("LSTM, forget bias + 1", torch.nn.LSTM, 1))
    for name, make, bias in (*layers, ("GRU", torch.nn.GRU, 0)):
        found = [batches_until_it_remembers(make, bias, seed) for seed in range(STARTS)]
        middle = statistics.median(n or math.inf for n in found)
        print(f"{name}: learned after {found} batches, median {middle:.0f}")


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
    memory()


if __name__ == "__main__":
    main()
