"""One call of clip_grad_norm_ by build_it, by use_it, which makes tensors of lists, and by torch on its own tensors.

Gradients of a dense network with two layers; the time depends on the number of weights alone. The three take turns;
medians of CPU time are printed. torch has one thread.
"""

import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.regularization import build_it, use_it

ROUNDS = 9


def processor_seconds(run: Callable[[], object], repeats: int) -> float:
    """How long one call takes, other programs left out."""
    began = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - began) / repeats


def main() -> None:
    torch.set_num_threads(1)
    rng = Random(0)
    for sizes in ((4, 8, 3), (64, 128, 10), (784, 128, 10)):
        shapes = list(pairwise(sizes))
        gradients = [[[rng.gauss(0, 1) for _ in range(n_out)] for _ in range(n_in)] for n_in, n_out in shapes]
        parameters = [torch.zeros(shape, dtype=torch.float64) for shape in shapes]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        runs = {
            "build_it": lambda g=gradients: build_it.clip_grad_norm_(g, 1.0),
            "use_it": lambda g=gradients: use_it.clip_grad_norm_(g, 1.0),
            "torch": lambda p=parameters: torch.nn.utils.clip_grad_norm_(p, 1.0),
        }
        n_weights = sum(n_in * n_out for n_in, n_out in shapes)
        repeats = 20_000 // n_weights + 1
        rounds = [{name: processor_seconds(run, repeats) for name, run in runs.items()} for _ in range(ROUNDS)]
        medians = {name: statistics.median(times[name] for times in rounds) for name in runs}
        for name, seconds in medians.items():
            print(f"{n_weights:7} weights, {name:8} {1e6 * seconds:9.0f} µs, {medians['build_it'] / seconds:.2g}")


if __name__ == "__main__":
    main()
