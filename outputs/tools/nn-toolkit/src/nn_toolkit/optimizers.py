"""Optimizers: a step in place on the vector that holds all parameters of a network, given the vector of gradients.

One long vector instead of many arrays: a step is a handful of NumPy calls, however many layers there are.
"""

import math
from typing import Any

import numpy as np

from nn_toolkit.layers import Array


class Optimizer:
    """What all optimizers share: a learning rate, a count of steps, and vectors of state to be saved."""

    def __init__(self, learning_rate: float) -> None:
        if not (learning_rate > 0 and math.isfinite(learning_rate)):
            raise ValueError(f"the learning rate is above 0, not {learning_rate}")
        self.learning_rate = learning_rate
        self.steps = 0
        self.state: dict[str, Array] = {}

    def attach(self, parameters: Array) -> None:
        """Make the state for this vector of parameters."""
        self._work = np.empty_like(parameters)

    def step(self, parameters: Array, gradients: Array) -> None:
        """Change the parameters."""
        raise NotImplementedError


class SGD(Optimizer):
    """θ ← θ - η v, where v ← momentum · v + g begins with the first gradient, as torch has it."""

    def __init__(self, learning_rate: float, momentum: float = 0.0) -> None:
        super().__init__(learning_rate)
        if not 0 <= momentum < 1:
            raise ValueError(f"the momentum is from 0 to below 1, not {momentum}")
        self.momentum = momentum

    def attach(self, parameters: Array) -> None:
        super().attach(parameters)
        if self.momentum:
            self.state = {"velocity": np.zeros_like(parameters)}

    def step(self, parameters: Array, gradients: Array) -> None:
        self.steps += 1
        if self.momentum:
            velocity = self.state["velocity"]
            velocity *= self.momentum
            velocity += gradients
            gradients = velocity
        parameters -= np.multiply(gradients, self.learning_rate, out=self._work)


class Adam(Optimizer):
    """Kingma & Ba (2015), algorithm 1, with epsilon where torch has it: outside the corrected root.

    The two moments are kept without their constant factors, as m / (1 - β₁) and v / (1 - β₂). So a step passes over the
    vector ten times instead of thirteen; the factors go into two numbers that are made once a step.
    """

    def __init__(self, learning_rate: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> None:
        super().__init__(learning_rate)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def attach(self, parameters: Array) -> None:
        super().attach(parameters)
        self.state = {"mean": np.zeros_like(parameters), "square": np.zeros_like(parameters)}

    def step(self, parameters: Array, gradients: Array) -> None:
        self.steps += 1
        mean, square, work = self.state["mean"], self.state["square"], self._work
        mean *= self.beta1
        mean += gradients
        square *= self.beta2
        square += np.multiply(gradients, gradients, out=work)
        # θ ← θ - η m̂ / (√v̂ + ε), where m̂ = to_mean · mean and √v̂ = to_root · √square
        to_mean = (1 - self.beta1) / (1 - self.beta1**self.steps)
        to_root = math.sqrt((1 - self.beta2) / (1 - self.beta2**self.steps))
        np.sqrt(square, out=work)
        work += self.epsilon / to_root
        np.divide(mean, work, out=work)
        work *= self.learning_rate * to_mean / to_root
        parameters -= work


def make_optimizer(settings: dict[str, Any]) -> Optimizer:
    """The optimizer that settings name: {"name": "sgd" | "momentum" | "adam", "learning_rate": …}."""
    name, rate = settings["name"], settings["learning_rate"]
    match name:
        case "sgd":
            return SGD(rate)
        case "momentum":
            return SGD(rate, settings.get("momentum", 0.9))
        case "adam":
            return Adam(rate)
    raise ValueError(f"the optimizer is sgd, momentum or adam, not {name!r}")
