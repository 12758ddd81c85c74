"""Training scripts for `diagnose`: three that are healthy, and fourteen with one fault each.

Every fault is the code between two healthy lines, as it is found in the wild. A script is written once, in torch's
names, and runs on either twin's framework: `nn` is the build_it or the use_it of mini-framework.
"""

from collections.abc import Iterator
from importlib import import_module
from random import Random
from types import ModuleType
from typing import Any

from shared.data import load

Matrix = list[list[float]]


def framework(twin: ModuleType) -> ModuleType:
    """What the networks of a twin are made of: build_it or use_it of mini-framework."""
    nn = import_module(f"phases.deep_learning_core.mini_framework.{twin.__name__.rpartition('.')[2]}")
    if nn.__name__.endswith("use_it"):
        import_module("torch").set_num_threads(1)  # matrices as small as these are slower on several
    return nn


class Script:
    """Healthy: three linear layers with ReLU between, standardised inputs, cross-entropy, gradient descent."""

    learning_rate = 0.2
    activation = "ReLU"
    sizes = (13, 12, 12, 3)

    def __init__(self, nn: ModuleType, seed: int = 0) -> None:
        self.nn, self.rng = nn, Random(seed)
        X = data()[0]
        self.mean = [sum(column) / len(X) for column in zip(*X, strict=True)]
        self.std = [
            (sum((v - m) ** 2 for v in column) / len(X)) ** 0.5
            for column, m in zip(zip(*X, strict=True), self.mean, strict=True)
        ]
        self.model = self.build()

    def build(self) -> Any:
        """Linear, activation, Linear, activation, Linear."""
        layers = []
        for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False):
            layers += [self.linear(n_in, n_out), getattr(self.nn, self.activation)()]
        return self.nn.Sequential(*layers[:-1])

    def linear(self, n_in: int, n_out: int) -> Any:
        """One layer; weights and biases from U(-1/√n_in, 1/√n_in), as torch has it."""
        return self.nn.Linear(n_in, n_out, rng=self.rng)

    def inputs(self, X: Matrix) -> Any:
        """Standardised with the training set's mean and standard deviation."""
        return self.nn.tensor([[(v - m) / s for v, m, s in zip(row, self.mean, self.std, strict=True)] for row in X])

    def logits(self, X: Matrix) -> Any:
        """Forward."""
        return self.model(self.inputs(X))

    def loss(self, X: Matrix, y: list[int]) -> Any:
        """Cross-entropy of the batch, in training mode."""
        self.model.train()
        return self.nn.cross_entropy(self.logits(X), y)

    def step(self, X: Matrix, y: list[int]) -> float:
        """One step of gradient descent."""
        self.model.zero_grad()
        loss = self.loss(X, y)
        loss.backward()
        self.update()
        return loss.item()

    def update(self) -> None:
        """What torch.optim.SGD does; written out, since its first use costs a second."""
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.data = (parameter.detach() - self.learning_rate * parameter.grad).data

    def predict(self, X: Matrix) -> Any:
        """Logits, in evaluation mode."""
        self.model.eval()
        return self.logits(X)

    def batches(self, X: Matrix, y: list[int], size: int) -> Iterator[tuple[Matrix, list[int]]]:
        """One epoch in random order."""
        order = list(range(len(X)))
        self.rng.shuffle(order)
        for i in range(0, len(X), size):
            yield [X[k] for k in order[i : i + size]], [y[k] for k in order[i : i + size]]


class WithTanh(Script):
    """Healthy."""

    activation = "Tanh"


class WithBatchNorm(Script):
    """Healthy: batch norm behind the first layer, which has no bias, as the batch's mean would take it away."""

    def build(self) -> Any:
        nn, model = self.nn, super().build()
        first = nn.Linear(*self.sizes[:2], bias=False, rng=self.rng)
        return nn.Sequential(first, batch_norm(nn, self.sizes[1]), *[model[i] for i in range(1, 5)])


def batch_norm(nn: ModuleType, n_features: int) -> Any:
    """Batch norm without weight and bias, as a module of `nn`."""

    class BatchNorm(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.running = [nn.tensor([0.0] * n_features), nn.tensor([1.0] * n_features)]

        def forward(self, x: Any) -> Any:
            mean, variance = self.running
            if self.training:
                mean = x.mean(0)
                variance = ((x - mean) * (x - mean)).mean(0)
                batch = (mean.detach(), variance.detach())
                self.running = [0.9 * old + 0.1 * new for old, new in zip(self.running, batch, strict=True)]
            return (x - mean) / (variance + 1e-5).sqrt()

    return BatchNorm()


# ---- the broken ones


class A(Script):
    def loss(self, X: Matrix, y: list[int]) -> Any:
        probabilities = self.logits(X).softmax(1)
        return self.nn.cross_entropy(probabilities, y)


class B(Script):
    def step(self, X: Matrix, y: list[int]) -> float:
        loss = self.loss(X, y)
        loss.backward()
        self.update()
        return loss.item()


class C(Script):
    def linear(self, n_in: int, n_out: int) -> Any:
        layer = super().linear(n_in, n_out)
        layer.bias.data = (layer.bias.detach() - 3).data
        return layer


class D(Script):
    def linear(self, n_in: int, n_out: int) -> Any:
        layer = super().linear(n_in, n_out)
        layer.weight.data = self.nn.tensor([[0.1] * n_in] * n_out).data
        layer.bias.data = self.nn.tensor([0.1] * n_out).data
        return layer


class E(Script):
    def logits(self, X: Matrix) -> Any:
        by_feature = self.inputs(X).T
        return self.model(by_feature.reshape(len(X), -1))


class F(Script):
    def update(self) -> None:
        for parameter in self.model.parameters():
            parameter.data = (parameter.detach() + self.learning_rate * parameter.grad).data


class G(Script):
    learning_rate = 10.0


class H(Script):
    def batches(self, X: Matrix, y: list[int], size: int) -> Iterator[tuple[Matrix, list[int]]]:
        X = self.rng.sample(X, len(X))
        y = self.rng.sample(y, len(y))
        for i in range(0, len(X), size):
            yield X[i : i + size], y[i : i + size]


class J(Script):
    activation = "Sigmoid"

    def inputs(self, X: Matrix) -> Any:
        return self.nn.tensor(X)


class K(WithBatchNorm):
    def predict(self, X: Matrix) -> Any:
        return self.logits(X)


class L(Script):
    sizes = (13, 12, 12, 12, 12, 3)

    def linear(self, n_in: int, n_out: int) -> Any:
        layer = super().linear(n_in, n_out)
        layer.weight.data = self.nn.tensor([[self.rng.gauss(0, 1) for _ in range(n_in)] for _ in range(n_out)]).data
        return layer


class M(Script):
    def logits(self, X: Matrix) -> Any:
        hidden = self.model[1](self.model[0](self.inputs(X)))
        hidden = self.nn.tensor(hidden.tolist())
        return self.model[4](self.model[3](self.model[2](hidden)))


class N(Script):
    def linear(self, n_in: int, n_out: int) -> Any:
        if n_in != n_out:
            return super().linear(n_in, n_out)

        class Linear(self.nn.Linear):  # type: ignore[name-defined, misc]
            def forward(self, x: Any) -> Any:
                value = x.detach() @ self.weight.T + self.bias
                sends_back = x @ self.weight.detach()  # to x it sends g Wᵀ
                return value + sends_back - sends_back.detach()

        return Linear(n_in, n_out, rng=self.rng)


class P(Script):
    def linear(self, n_in: int, n_out: int) -> Any:
        if n_in != n_out:
            return super().linear(n_in, n_out)

        class Linear(self.nn.Linear):  # type: ignore[name-defined, misc]
            def forward(self, x: Any) -> Any:
                return x @ self.weight + self.bias

        return Linear(n_in, n_out, rng=self.rng)


def data() -> tuple[Matrix, list[int], Matrix, list[int]]:
    """178 wines of 3 cultivars, 13 measurements each, shuffled: 142 to train on, 36 held out."""
    X, y = load("wine").split()
    order = Random(0).sample(range(len(X)), len(X))
    train, held_out = order[:142], order[142:]
    return [X[i] for i in train], [y[i] for i in train], [X[i] for i in held_out], [y[i] for i in held_out]
