"""Initializers: how a weight's values are drawn, given the number of inputs and outputs of its units."""

import math
from collections.abc import Callable

import numpy as np

from nn_toolkit.layers import Array, Spec

Initializer = Callable[[Spec, np.random.Generator], Array]


def zeros(spec: Spec, rng: np.random.Generator) -> Array:
    """All 0: every unit of a layer stays equal to its neighbours. To see that it does not learn."""
    return np.zeros(spec.shape)


def normal(spec: Spec, rng: np.random.Generator) -> Array:
    """Normal with the standard deviation 0.01, whatever the size of the layer."""
    return rng.normal(0.0, 0.01, spec.shape)


def xavier(spec: Spec, rng: np.random.Generator) -> Array:
    """Uniform with the variance 2 / (fan_in + fan_out), for tanh and sigmoid (Glorot & Bengio 2010, eq. 16)."""
    limit = math.sqrt(6.0 / (spec.fan_in + spec.fan_out))
    return rng.uniform(-limit, limit, spec.shape)


def he(spec: Spec, rng: np.random.Generator) -> Array:
    """Normal with the variance 2 / fan_in, for ReLU (He et al. 2015, eq. 10)."""
    return rng.normal(0.0, math.sqrt(2.0 / spec.fan_in), spec.shape)


INITIALIZERS: dict[str, Initializer] = {"zeros": zeros, "normal": normal, "xavier": xavier, "he": he}
