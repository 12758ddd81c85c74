"""The speed ladder: training samples per second of 784-128-64-10 on MNIST, from pure Python to PyTorch.

    TWICE_DATA=… python phases/03-deep-learning-core/17-neural-network-toolkit/bench.py

Every rung takes the same steps: the same start, the same batches of 64, Adam. The rungs take turns in one process; of
each the fastest round counts: in seconds of the processor where it has one thread, so that other programs hardly count,
and of the clock where it has two. The losses of the float64 rungs must agree, or the bench fails. Then build_it trains
one whole epoch and is tested (minutes; `--no-epoch` keeps the epoch measured before). What was measured goes to
speed.json, from which figures.py draws and README.md quotes.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from itertools import chain
from operator import mul
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
sys.path.insert(0, str(Path(__file__).resolve().with_name("nn-toolkit") / "src"))

from nn_toolkit.architecture import parse
from nn_toolkit.losses import cross_entropy
from nn_toolkit.network import Network
from nn_toolkit.optimizers import Adam
from phases.deep_learning_core.neural_network_toolkit import build_it
from phases.deep_learning_core.neural_network_toolkit.ship_it import flat
from phases.deep_learning_core.optimizers import build_it as optimizers
from torch import nn

from shared.data import load_images

SIZES, BATCH_SIZE, SEED, ROUNDS = [784, 128, 64, 10], 64, 0, 5
SPEED = Path(__file__).with_name("speed.json")
Batch = tuple[list[list[float]], list[int]]


# ---- the NumPy rungs


class NumPyNetwork:
    """build_it's network and Adam on arrays: the same formulas, a batch at a time."""

    def __init__(self, parameters: build_it.Parameters, dtype: type) -> None:
        self.weights = [np.array(W, dtype) for W in parameters.weights]
        self.biases = [np.array(b, dtype) for b in parameters.biases]
        self.moments = [(np.zeros_like(p), np.zeros_like(p)) for p in (*self.weights, *self.biases)]
        self.t = 0

    def gradients(self, X: np.ndarray, y: np.ndarray, n: int) -> tuple[float, list[np.ndarray]]:
        """The sum of the rows' losses over n, and its gradient by every weight matrix, then by every bias."""
        H = [X]
        for W, b in zip(self.weights, self.biases, strict=True):
            Z = H[-1] @ W + b
            H.append(np.maximum(Z, 0, out=Z) if len(H) < len(self.weights) else Z)
        Z = H.pop()
        Z -= Z.max(axis=1, keepdims=True)
        log_p = Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))
        rows = np.arange(len(y))
        loss = -log_p[rows, y].sum() / n
        delta = np.exp(log_p)
        delta[rows, y] -= 1
        delta /= n
        dW, db = [], []
        for i in reversed(range(len(H))):
            dW.insert(0, H[i].T @ delta)
            db.insert(0, delta.sum(axis=0))
            if i:
                delta = (delta @ self.weights[i].T) * (H[i] > 0)
        return float(loss), dW + db

    def update(self, gradients: list[np.ndarray], settings: build_it.Adam) -> None:
        """Adam, in place."""
        self.t += 1
        rate = settings.learning_rate / (1 - settings.beta1**self.t)
        root = (1 - settings.beta2**self.t) ** 0.5
        for p, g, (m, v) in zip((*self.weights, *self.biases), gradients, self.moments, strict=True):
            np.add(m, (1 - settings.beta1) * (g - m), out=m)
            np.add(v, (1 - settings.beta2) * (g * g - v), out=v)
            np.subtract(p, rate * m / (np.sqrt(v) / root + settings.eps), out=p)


def numpy_rung(
    parameters: build_it.Parameters, batches: list[Batch], dtype: type, one_by_one: bool = False
) -> Callable:
    """A round of steps on a new network; `one_by_one` sends the samples of a batch through alone and adds up."""
    arrays = [(np.array(X, dtype), np.array(y)) for X, y in batches]

    def take() -> list[float]:
        network, losses = NumPyNetwork(parameters, dtype), []
        for X, y in arrays:
            if one_by_one:
                parts = [network.gradients(X[i : i + 1], y[i : i + 1], len(y)) for i in range(len(y))]
                loss = sum(loss for loss, _ in parts)
                gradients = [sum(gs) for gs in zip(*(gs for _, gs in parts), strict=True)]
            else:
                loss, gradients = network.gradients(X, y, len(y))
            network.update(gradients, build_it.Adam())
            losses.append(loss)
        return losses

    return take


def toolkit_rung(parameters: build_it.Parameters, batches: list[Batch]) -> Callable:
    """The package that this lesson ships, in float32."""
    arrays = [(np.array(X, np.float32), np.array(y)) for X, y in batches]

    def take() -> list[float]:
        network, optimizer, losses = Network(parse("-".join(map(str, SIZES)))), Adam(0.001), []
        network.theta[:] = flat(parameters)
        optimizer.attach(network.theta)
        for X, y in arrays:
            loss, gradient = cross_entropy(network.forward(X, training=True), y)
            network.backward(gradient)
            optimizer.step(network.theta, network.gradient)
            losses.append(loss)
        return losses

    return take


# ---- the other rungs


def python_rung(parameters: build_it.Parameters, batches: list[Batch], product: Callable | None = None) -> Callable:
    """build_it; with another matrix product where one is given."""

    def take() -> list[float]:
        optimizer = build_it.Adam()
        now, moments, losses = parameters, build_it.start(parameters, optimizer, BATCH_SIZE, Random()).moments, []
        with patch.object(build_it, "_product", product) if product else nullcontext():
            for t, (X, y) in enumerate(batches, 1):
                loss, gradients = build_it.loss_and_gradients(now, X, y)
                now, moments = build_it.step(optimizer, now, gradients, moments, t)
                losses.append(loss)
        return losses

    return take


def every_product(A: build_it.Matrix, B: build_it.Matrix) -> build_it.Matrix:
    """A B by dot products of rows and columns, zeros included."""
    columns = list(zip(*B, strict=True))
    return [[sum(map(mul, row, column)) for column in columns] for row in A]


def torch_rung(parameters: build_it.Parameters, batches: list[Batch], dtype: torch.dtype) -> Callable:
    """Eager PyTorch: Sequential, cross_entropy, autograd, torch.optim.Adam."""
    tensors = [(torch.tensor(X, dtype=dtype), torch.tensor(y)) for X, y in batches]

    def take() -> list[float]:
        modules: list[nn.Module] = []
        for W, b in zip(parameters.weights, parameters.biases, strict=True):
            linear = nn.Linear(len(W), len(b), dtype=dtype)
            linear.load_state_dict({"weight": torch.tensor(W, dtype=dtype).T, "bias": torch.tensor(b, dtype=dtype)})
            modules += [linear, nn.ReLU()]
        model = nn.Sequential(*modules[:-1])
        optimizer, losses = torch.optim.Adam(model.parameters()), []
        for X, y in tensors:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(X), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    return take


def measure(take: Callable[[], list[float]], n_threads: int) -> tuple[float, list[float]]:
    """Seconds for a round (of the processor, or with several threads of the clock), and its losses."""
    clock = time.process_time if n_threads == 1 else time.perf_counter
    torch.set_num_threads(n_threads)
    with threadpool_limits(n_threads):
        began = clock()
        losses = take()
        return clock() - began, losses


def ladder(rows: list[list[float]], labels: list[int], with_threads: bool) -> list[dict[str, Any]]:
    """Samples per second of every rung; `with_threads` also of those that share the work between two threads."""
    start = build_it.initialize(SIZES, Random(SEED))
    order = build_it.batches(len(rows), BATCH_SIZE, Random(SEED))[:100]
    batches = [([rows[i] for i in batch], [labels[i] for i in batch]) for batch in order]
    float64, float32 = "float64", "float32"
    rungs = [  # name, numbers, threads, batches in a round, what takes the steps
        ("Python, every product formed", float64, 1, 2, python_rung(start, batches[:2], every_product)),
        ("Python, zeros skipped: build_it", float64, 1, 4, python_rung(start, batches[:4])),
        ("NumPy, one sample at a time", float64, 1, 10, numpy_rung(start, batches[:10], np.float64, one_by_one=True)),
        ("NumPy, batches of 64", float64, 1, 100, numpy_rung(start, batches, np.float64)),
        ("NumPy, float32", float32, 1, 100, numpy_rung(start, batches, np.float32)),
        ("NumPy, float32: nn-toolkit", float32, 1, 100, toolkit_rung(start, batches)),
        ("nn-toolkit, 2 threads", float32, 2, 100, toolkit_rung(start, batches)),
        ("PyTorch, float64", float64, 1, 100, torch_rung(start, batches, torch.float64)),
        ("PyTorch, float32", float32, 1, 100, torch_rung(start, batches, torch.float32)),
        ("PyTorch, float32, 2 threads", float32, 2, 100, torch_rung(start, batches, torch.float32)),
    ]
    rungs = [rung for rung in rungs if with_threads or rung[2] == 1]
    seconds = [float("inf")] * len(rungs)
    for _ in range(ROUNDS):
        losses = {}
        for i, (name, _, n_threads, _, take) in enumerate(rungs):
            took, losses[name] = measure(take, n_threads)
            seconds[i] = min(seconds[i], took)
    reference = losses["PyTorch, float64"]
    for name, numbers, *_ in rungs:
        tolerance = 1e-9 if numbers == float64 else 1e-3
        worst = max(abs(a / b - 1) for a, b in zip(losses[name], reference, strict=False))
        if worst > tolerance:
            raise SystemExit(f"{name}: its losses part from PyTorch's in float64 by {worst:.1e}")
    return [
        {"name": name, "dtype": numbers, "threads": n_threads, "samples_per_second": n * BATCH_SIZE / took}
        for (name, numbers, n_threads, n, _), took in zip(rungs, seconds, strict=True)
    ]


def small_costs() -> dict[str, dict[str, float]]:
    """Processor seconds of one call on arrays of one number, and of one step of Adam in two lessons."""
    array, tensor, n_calls = np.ones(1), torch.ones(1), 10_000
    parameters, settings = build_it.initialize(SIZES, Random(SEED)), build_it.Adam()
    nested, moments = (
        [*parameters.weights, *parameters.biases],
        build_it.start(parameters, settings, 1, Random()).moments,
    )

    def fastest(take: Callable[[], object]) -> float:
        seconds = []
        for _ in range(ROUNDS):
            began = time.process_time()
            take()
            seconds.append(time.process_time() - began)
        return min(seconds)

    return {
        "seconds_of_a_call": {
            "NumPy": fastest(lambda: [np.add(array, array) for _ in range(n_calls)]) / n_calls,
            "PyTorch": fastest(lambda: [torch.add(tensor, tensor) for _ in range(n_calls)]) / n_calls,
        },
        "seconds_of_adam": {
            "optimizers": fastest(lambda: optimizers.Adam().step(nested, nested)),
            "build_it": fastest(lambda: build_it.step(settings, parameters, parameters, moments, 1)),
        },
    }


def epoch(rows: list[list[float]], labels: list[int], test: Batch) -> dict[str, Any]:
    """One epoch of build_it on all of MNIST, and the test set; in seconds of the processor."""
    rng = Random(SEED)
    run = build_it.start(build_it.initialize(SIZES, rng), build_it.Adam(), BATCH_SIZE, rng)
    n_batches, losses, seconds = -(-len(rows) // BATCH_SIZE), [], 0.0
    while run.n_steps < n_batches:
        began = time.process_time()
        run, more = build_it.train(run, rows, labels, min(100, n_batches - run.n_steps))
        seconds += time.process_time() - began
        losses += more
        print(f"epoch: step {run.n_steps} of {n_batches}, {seconds:.0f} s, loss {losses[-1]:.3f}", flush=True)
    began = time.process_time()
    found = build_it.evaluate(run.parameters, *test)
    return {
        "optimizer": {"name": "Adam"} | asdict(run.optimizer),
        "samples": len(rows),
        "steps": len(losses),
        "seconds": seconds,
        "loss_of_step_1": losses[0],
        "mean_loss_of_the_last_100_steps": sum(losses[-100:]) / 100,
        "test_samples": len(test[0]),
        "test_seconds": time.process_time() - began,
        "test_loss": found.loss,
        "test_accuracy": found.accuracy,
        "confusion": found.confusion,
    }


def machine() -> str:
    """Cores and processor."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    return f"{os.cpu_count()} cores, {name}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-epoch", action="store_true", help="keep the epoch that speed.json has")
    parser.add_argument("--threads", action="store_true", help="also with 2 threads: only where nothing else runs")
    options = parser.parse_args()
    grey = [level / 255 for level in range(256)]
    data = []
    for split in ("train", "test"):
        images = load_images("mnist", split)
        pixels = [grey[pixel] for pixel in images.pixels]
        data.append(([pixels[i : i + 784] for i in range(0, len(pixels), 784)], list(images.labels)))
    train, test = data
    n_dark = sum(map(bool, chain.from_iterable(train[0])))
    found = {
        "machine": machine(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__},
        "sizes": SIZES,
        "batch_size": BATCH_SIZE,
        "share_of_pixels_not_0": n_dark / (len(train[0]) * SIZES[0]),
        "rungs": ladder(*train, options.threads),
        **small_costs(),
    }
    for rung in found["rungs"]:
        print(f"{rung['name']:32} {rung['samples_per_second']:10,.0f} samples a second", flush=True)
    known = json.loads(SPEED.read_text(encoding="utf-8")) if options.no_epoch else {}
    found["epoch"] = known["epoch"] if options.no_epoch else epoch(*train, test)
    SPEED.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8", newline="\n")
    print(f"epoch: {found['epoch']['seconds']:.0f} s, test accuracy {found['epoch']['test_accuracy']:.2%}")


if __name__ == "__main__":
    main()
