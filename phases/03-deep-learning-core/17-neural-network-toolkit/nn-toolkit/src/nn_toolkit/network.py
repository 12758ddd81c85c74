"""A network: layers in a row, whose parameters lie in one vector and whose gradients in another."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nn_toolkit.architecture import Architecture
from nn_toolkit.initializers import INITIALIZERS
from nn_toolkit.layers import Array, Layer, Shape

DTYPES = ("float32", "float64")
_MOST = 1 << 30  # numbers in a layer: 4 GB of them in float32
EVALUATION_BATCH = 256  # small enough for the columns of a convolution to stay in the processor's cache


@dataclass(frozen=True)
class Summary:
    """What `inspect` tells of a layer."""

    layer: str
    output: Shape
    n_parameters: int


def fits(sample: Shape, shape: Shape) -> bool:
    """Whether a network whose input has this shape takes such samples: images as rows too, and rows as images."""
    return math.prod(sample) == math.prod(shape) and (len(sample) != len(shape) or sample == shape)


class Network:
    """Layers in a row.

    Attributes:
        theta: the vector of all parameters; `parameters` are views of it by name ("0.weight").
        gradient: the vector of their gradients, after `backward`; `gradients` are views of it.
        buffers: the running statistics of batch norms by name; they belong to a saved network too.
    """

    def __init__(
        self, architecture: Architecture, initializer: str = "he", seed: int = 0, dtype: str = "float32"
    ) -> None:
        """Make the layers and draw their weights.

        Raises:
            ValueError: an initializer or dtype that does not exist, or layers that do not fit together.
        """
        if initializer not in INITIALIZERS:
            raise ValueError(f"the initializer is one of {', '.join(INITIALIZERS)}, not {initializer!r}")
        if dtype not in DTYPES:
            raise ValueError(f"the dtype is one of {', '.join(DTYPES)}, not {dtype!r}")
        self.architecture, self.dtype = architecture, np.dtype(dtype)
        self.layers: list[Layer] = architecture.make()
        self.summary: list[Summary] = []
        shape = architecture.input
        for layer in self.layers:
            shape = layer.build(shape)
            count = sum(math.prod(spec.shape) for spec in layer.specs().values())
            if max(count, math.prod(shape)) > _MOST:
                raise ValueError(f"{layer} would have more than {_MOST:,} parameters or outputs")
            self.summary.append(Summary(str(layer), shape, count))
        if len(shape) != 1:
            raise ValueError("the last layer gives images: end with a flatten and a dense layer")
        self.n_outputs = shape[0]
        self.theta = np.zeros(sum(row.n_parameters for row in self.summary), self.dtype)
        self.gradient = np.zeros_like(self.theta)
        self._place_parameters()
        rng = np.random.default_rng(seed)
        for layer in self.layers:
            for name, spec in layer.specs().items():
                drawn = INITIALIZERS[initializer](spec, rng) if spec.fill is None else spec.fill
                layer.parameters[name][...] = drawn
        # The first layer that learns passes no gradient on: nobody needs the gradient by the input.
        self._first = next((place for place, layer in enumerate(self.layers) if layer.parameters), len(self.layers))

    def _place_parameters(self) -> None:
        start = 0
        for layer in self.layers:
            for name, spec in layer.specs().items():
                place = slice(start, start + math.prod(spec.shape))
                layer.parameters[name] = self.theta[place].reshape(spec.shape)
                layer.gradients[name] = self.gradient[place].reshape(spec.shape)
                start = place.stop

    @property
    def parameters(self) -> dict[str, Array]:
        return {f"{place}.{name}": p for place, layer in enumerate(self.layers) for name, p in layer.parameters.items()}

    @property
    def gradients(self) -> dict[str, Array]:
        return {f"{place}.{name}": g for place, layer in enumerate(self.layers) for name, g in layer.gradients.items()}

    @property
    def buffers(self) -> dict[str, Array]:
        return {f"{place}.{name}": b for place, layer in enumerate(self.layers) for name, b in layer.buffers.items()}

    def forward(self, X: Array, training: bool = False, rng: np.random.Generator | None = None) -> Array:
        """The outputs (logits) for a batch, n_samples × n_outputs, in memory that the next call uses again.

        Args:
            X: n_samples × n_features, or n_samples × channels × height × width, or such images as rows.
            training: whether batch norms use the batch's statistics and dropouts drop.
            rng: draws the masks of dropouts in training.

        Raises:
            ValueError: samples of another size than the network's input.
        """
        x = self._batch(X)
        for layer in self.layers:
            x = layer.forward(x, training, rng)
        return x

    def activations(
        self, X: Array, training: bool = False, rng: np.random.Generator | None = None
    ) -> Iterator[tuple[Layer, Array]]:
        """Each layer and its output for a batch, one after the other."""
        x = self._batch(X)
        for layer in self.layers:
            x = layer.forward(x, training, rng)
            yield layer, x

    def _batch(self, X: Array) -> Array:
        shape = self.architecture.input
        if not len(X) or not fits(X.shape[1:], shape):
            size = " × ".join(map(str, X.shape[1:]))
            raise ValueError(f"{len(X)} samples of {size} values, and the network takes {' × '.join(map(str, shape))}")
        X = X.astype(self.dtype, copy=False)
        if len(shape) == 1:
            return X.reshape(len(X), -1)
        return np.ascontiguousarray(X.reshape(len(X), -1).T).reshape(*shape, len(X))  # samples last: see layers.py

    def backward(self, gradient: Array) -> None:
        """Fill `gradients`, given the loss's gradient by the outputs of the last `forward`."""
        for place in range(len(self.layers) - 1, self._first - 1, -1):
            gradient = self.layers[place].backward(gradient, need_input=place > self._first)  # type: ignore[assignment]

    def predict(self, X: Array) -> Array:
        """The outputs for any number of samples, in evaluation mode, as an array of their own."""
        with np.errstate(all="ignore"):
            parts = [self.forward(X[i : i + EVALUATION_BATCH]).copy() for i in range(0, len(X), EVALUATION_BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, self.n_outputs), self.dtype)
