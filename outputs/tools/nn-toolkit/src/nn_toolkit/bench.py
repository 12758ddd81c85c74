"""The command bench: the same network trained here, one sample at a time, and by PyTorch if that is installed."""

import argparse
import math
import os
import statistics
import time
from itertools import pairwise
from typing import Any

import numpy as np

from nn_toolkit.architecture import parse
from nn_toolkit.commands import say, table, training_data
from nn_toolkit.data import Data, load
from nn_toolkit.layers import Array, BatchNorm, Conv2d, Dense, Dropout, Flatten, LeakyReLU, MaxPool
from nn_toolkit.network import Network
from nn_toolkit.training import ORDER, SCHEDULES, Run, Settings


def bench(options: argparse.Namespace) -> None:
    """Train in turn an epoch here, one with PyTorch (same start and batches), and a while one sample at a time."""
    architecture = parse(options.architecture)
    training, architecture = training_data(options.data, architecture)
    settings = Settings(
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        batch_size=options.batch_size,
        epochs=options.epochs,
        seed=options.seed,
    )
    run = Run.new(architecture, settings, training, {})
    test = load(training.name if options.data is None else options.data, "test")
    other = _Torch.of(run, training)
    where = f"{os.cpu_count()} processors, {run.network.dtype}"
    say(f"{options.architecture} on {len(training)} samples of {training.name}, {where}")

    learning = [layer for layer in run.network.layers if layer.parameters]
    dense = bool(learning) and all(isinstance(layer, Dense) for layer in learning)
    one_by_one: list[Timing] = []

    def after_epoch(run: Run, n_batches: int) -> None:
        if run.batch == 0:
            if other is not None:
                other.epoch(run.epoch - 1)
            if dense:
                one_by_one.append(one_at_a_time(run, training, options.seconds / options.epochs))
            say(f"epoch {run.epoch} of {options.epochs} done")

    run.train(training, None, after_epoch)
    ours = [(len(training), epoch.seconds) for epoch in run.history]
    rows = [_row("nn-toolkit", ours, ours, run.measure(test)[1])]
    if other is not None:
        theirs = [(len(training), seconds) for seconds in other.seconds]
        rows.append(_row(f"PyTorch {other.version}", theirs, ours, other.accuracy(test)))
    if dense:
        rows.append(_row("one sample at a time", one_by_one, ours, None))
    table(["", "samples", "seconds", "samples/s", "time per sample", "test accuracy"], rows)
    say("samples/s and the time per sample are those of the median epoch; the rows took turns")
    if other is None:
        say("PyTorch is not installed here, so there is nothing to compare with")


Timing = tuple[int, float]  # samples, and the seconds that they took


def _row(name: str, timings: list[Timing], ours: list[Timing], accuracy: float | None) -> list[str]:
    """A line of the table."""
    each, our = (statistics.median(seconds / n for n, seconds in rounds) for rounds in (timings, ours))
    n_samples, total = (sum(column) for column in zip(*timings, strict=True))
    told = "-" if accuracy is None else f"{accuracy:.2%}"
    return [name, f"{n_samples:,}", f"{total:.2f}", f"{1 / each:,.0f}", f"{each / our:.2f} ×", told]


def one_at_a_time(run: Run, data: Data, seconds: float) -> tuple[int, float]:
    """Train a network of the same sizes for some seconds in the style of network.py.

    That is the program of Nielsen's "Neural Networks and Deep Learning" (2015), chapter 1: sigmoid units and the
    quadratic cost; columns in float64; for each sample of a mini-batch a forward and a backward pass of its own, whose
    gradients are added up in new arrays.

    Returns:
        The number of samples, and the seconds that they took.
    """
    sizes = [math.prod(run.network.architecture.input)]
    sizes += [layer.units for layer in run.network.layers if isinstance(layer, Dense)]
    rng = np.random.default_rng(run.settings.seed)
    weights = [rng.standard_normal((n_out, n_in)) for n_in, n_out in pairwise(sizes)]
    biases = [rng.standard_normal((n_out, 1)) for n_out in sizes[1:]]
    X = run.scaling(data.X[:10000], np.float64).reshape(-1, sizes[0], 1)
    Y = np.eye(sizes[-1])[data.y[:10000]][:, :, None]

    def sigmoid(z: Array) -> Array:
        return 1.0 / (1.0 + np.exp(-z))

    def sigmoid_prime(z: Array) -> Array:
        return sigmoid(z) * (1 - sigmoid(z))

    def backprop(x: Array, y: Array) -> tuple[list[Array], list[Array]]:
        by_bias, by_weight = [np.zeros(b.shape) for b in biases], [np.zeros(w.shape) for w in weights]
        activations, zs = [x], []
        for w, b in zip(weights, biases, strict=True):
            zs.append(np.dot(w, activations[-1]) + b)
            activations.append(sigmoid(zs[-1]))
        delta = (activations[-1] - y) * sigmoid_prime(zs[-1])
        by_bias[-1], by_weight[-1] = delta, np.dot(delta, activations[-2].T)
        for layer in range(2, len(sizes)):
            delta = np.dot(weights[-layer + 1].T, delta) * sigmoid_prime(zs[-layer])
            by_bias[-layer], by_weight[-layer] = delta, np.dot(delta, activations[-layer - 1].T)
        return by_bias, by_weight

    size, rate = 10, 3.0
    start = time.perf_counter()
    done = 0
    while (passed := time.perf_counter() - start) < seconds:
        sum_b, sum_w = [np.zeros(b.shape) for b in biases], [np.zeros(w.shape) for w in weights]
        for k in range(done, done + size):
            by_bias, by_weight = backprop(X[k % len(X)], Y[k % len(X)])
            sum_b = [total + new for total, new in zip(sum_b, by_bias, strict=True)]
            sum_w = [total + new for total, new in zip(sum_w, by_weight, strict=True)]
        weights = [w - rate / size * total for w, total in zip(weights, sum_w, strict=True)]
        biases = [b - rate / size * total for b, total in zip(biases, sum_b, strict=True)]
        done += size
    return done, passed


class _Torch:
    """The same training in PyTorch: eager, on the processor, from the same weights."""

    @classmethod
    def of(cls, run: Run, data: Data) -> "_Torch | None":
        """For a run that has not begun; None where PyTorch is not installed."""
        try:
            import torch  # noqa: PLC0415  # the one place that knows of it
        except ModuleNotFoundError:
            return None
        return cls(torch, run, data)

    def __init__(self, torch: Any, run: Run, data: Data) -> None:
        self._torch, self._run = torch, run
        self.version = torch.__version__
        self._model = torch_twin(torch, run.network)
        settings, parameters = run.settings, self._model.parameters()
        if settings.optimizer == "adam":
            self._optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate)
        else:
            momentum = settings.momentum if settings.optimizer == "momentum" else 0.0
            self._optimizer = torch.optim.SGD(parameters, lr=settings.learning_rate, momentum=momentum)
        self._X, self._y = self._tensor(data), torch.from_numpy(data.y)
        self.seconds: list[float] = []  # of each epoch

    def epoch(self, epoch: int) -> None:
        """The epoch of this place, from 0, with the batches that the run has in it."""
        torch, size = self._torch, self._run.settings.batch_size
        order = torch.from_numpy(
            np.random.default_rng([self._run.settings.seed, ORDER, epoch, 0]).permutation(len(self._y))
        )
        rates = [self._rate(epoch, batch, -(-len(order) // size)) for batch in range(-(-len(order) // size))]
        self._model.train()
        start = time.perf_counter()
        for batch, rate in enumerate(rates):
            chosen = order[batch * size :][:size]
            self._optimizer.param_groups[0]["lr"] = rate
            self._optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(self._model(self._X[chosen]), self._y[chosen])
            loss.backward()
            self._optimizer.step()
        self.seconds.append(time.perf_counter() - start)

    def _rate(self, epoch: int, batch: int, n_batches: int) -> float:
        settings = self._run.settings
        done = (epoch * n_batches + batch) / (settings.epochs * n_batches)
        return settings.learning_rate * SCHEDULES[settings.schedule](done)

    def accuracy(self, data: Data) -> float:
        self._model.eval()
        with self._torch.no_grad():
            said = self._model(self._tensor(data)).argmax(1)
        return float((said.numpy() == data.y).mean())

    def _tensor(self, data: Data) -> Any:
        X = self._run.scaling(data.X, self._run.network.dtype)
        return self._torch.from_numpy(X.reshape(len(X), *self._run.network.architecture.input))


def torch_twin(torch: Any, network: Network) -> Any:
    """A torch.nn.Sequential with the layers and the weights of a network."""
    modules = []
    shape = network.architecture.input
    for layer, row in zip(network.layers, network.summary, strict=True):
        match layer:
            case Dense():
                module = torch.nn.Linear(shape[0], layer.units)
            case Conv2d():
                module = torch.nn.Conv2d(shape[0], layer.channels, layer.size, layer.stride, layer.padding)
            case MaxPool():
                module = torch.nn.MaxPool2d(layer.size, layer.stride)
            case Flatten():
                module = torch.nn.Flatten()
            case BatchNorm():
                make = torch.nn.BatchNorm2d if len(shape) == 3 else torch.nn.BatchNorm1d
                module = make(shape[0], eps=layer.epsilon, momentum=layer.momentum)
            case Dropout():
                module = torch.nn.Dropout(layer.rate)
            case LeakyReLU():
                module = torch.nn.LeakyReLU(layer.slope)
            case _:
                name = {"relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "Tanh", "softmax": "Softmax"}[layer.kind]
                module = torch.nn.Softmax(1) if name == "Softmax" else getattr(torch.nn, name)()
        module.to(getattr(torch, network.dtype.name))
        for name, values in {**layer.parameters, **layer.buffers}.items():
            ours = values.T if isinstance(layer, Dense) and name == "weight" else values  # torch keeps n_out × n_in
            getattr(module, name).data.copy_(torch.from_numpy(np.array(ours)))
        modules.append(module)
        shape = row.output
    return torch.nn.Sequential(*modules)
