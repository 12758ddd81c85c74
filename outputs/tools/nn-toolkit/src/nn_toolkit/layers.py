"""Layers: each computes its output, and from the loss's gradient by the output that by its input and its parameters.

Inside a network a batch of vectors is an array of n_samples × n_features, and a batch of images has the axes channels,
height, width, samples. With the channels first, the product of kernels and columns is the next layer's input as it is;
with the samples last, whatever im2col and pooling copy or compare lies in long runs of memory. `Flatten` makes rows of
samples again.

An array that a layer returns is its own scratch memory, and holds until the layer's next call.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]  # of one sample: (n_features,) or (channels, height, width)


@dataclass(frozen=True)
class Spec:
    """A parameter to be made: its shape, and the number of inputs and outputs of each unit that it belongs to.

    A parameter with a `fill` begins with this value; others are drawn by the network's initializer.
    """

    shape: Shape
    fan_in: int = 0
    fan_out: int = 0
    fill: float | None = None


class Layer:
    """What all layers share. `build` comes first; the network then hands out `parameters` and `gradients`."""

    kind: ClassVar[str]

    def __init__(self) -> None:
        self.parameters: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.buffers: dict[str, Array] = {}  # what is kept with the parameters, and not trained
        self._memory: dict[str, Array] = {}

    def build(self, shape: Shape) -> Shape:
        """Take the shape of one sample; return that of its output.

        Raises:
            ValueError: the layer cannot take such a sample.
        """
        return shape

    def specs(self) -> dict[str, Spec]:
        """The parameters that the layer needs; after `build`."""
        return {}

    def forward(self, x: Array, training: bool, rng: np.random.Generator | None = None) -> Array:
        """The output for a batch."""
        raise NotImplementedError

    def backward(self, gradient: Array, need_input: bool = True) -> Array | None:
        """Fill in `gradients`; return the gradient by the last input, if it is needed."""
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        """What makes the layer again: its entry in an architecture, without its kind."""
        return {}

    def __str__(self) -> str:
        return " ".join([self.kind, *(f"{name}={value}" for name, value in self.options().items())])

    def _scratch(self, name: str, shape: Shape, dtype: Any) -> Array:
        """An array of this shape with undefined content, from memory that the next call uses again.

        New memory for each batch would cost more than the arithmetic of a small network: the system zeroes each page.
        """
        size = math.prod(shape)
        memory = self._memory.get(name)
        if memory is None or memory.size < size or memory.dtype != dtype:
            memory = self._memory[name] = np.empty(size, dtype)
        return memory[:size].reshape(shape)


class Dense(Layer):
    """Y = X W + b, with W of n_in × n_out."""

    kind = "dense"

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = _positive("units", units)

    def build(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(f"a dense layer takes vectors, and gets {_by(shape)}: put a flatten before it")
        self.n_in = shape[0]
        return (self.units,)

    def specs(self) -> dict[str, Spec]:
        return {"weight": Spec((self.n_in, self.units), self.n_in, self.units), "bias": Spec((self.units,), fill=0.0)}

    def forward(self, x: Array, training: bool, rng: np.random.Generator | None = None) -> Array:
        self._x = x
        y = self._scratch("output", (len(x), self.units), x.dtype)
        np.matmul(x, self.parameters["weight"], out=y)
        y += self.parameters["bias"]
        return y

    def backward(self, gradient: Array, need_input: bool = True) -> Array | None:
        np.matmul(self._x.T, gradient, out=self.gradients["weight"])
        np.add.reduce(gradient, 0, out=self.gradients["bias"])
        if not need_input:
            return None
        out = self._scratch("gradient", self._x.shape, gradient.dtype)
        return np.matmul(gradient, self.parameters["weight"].T, out=out)

    def options(self) -> dict[str, Any]:
        return {"units": self.units}


class Conv2d(Layer):
    """Cross-correlation with `channels` kernels of size × size, as one matrix product with the columns of im2col.

    The weight has torch's shape: channels × channels of the input × size × size.
    """

    kind = "conv2d"

    def __init__(self, channels: int, size: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.channels, self.size, self.stride = (
            _positive("channels", channels), _positive("size", size), _positive("stride", stride)
        )  # fmt: skip
        self.padding = _count("padding", padding)

    def build(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ValueError(f"a conv2d takes images of channels × height × width, and gets {_by(shape)}")
        self.n_in = shape[0]
        self.height, self.width = (_windows(n, self.size, self.stride, self.padding, self.kind) for n in shape[1:])
        return (self.channels, self.height, self.width)

    def specs(self) -> dict[str, Spec]:
        area = self.size**2
        weight = Spec((self.channels, self.n_in, self.size, self.size), self.n_in * area, self.channels * area)
        return {"weight": weight, "bias": Spec((self.channels,), fill=0.0)}

    def forward(self, x: Array, training: bool, rng: np.random.Generator | None = None) -> Array:
        n_samples = x.shape[3]
        x = _padded(x, self.padding)
        self._shape = x.shape
        # im2col: one column for each position of the kernel, one row for each of its weights
        self._columns = self._scratch(
            "columns", (self.n_in, self.size, self.size, self.height, self.width, n_samples), x.dtype
        )
        windows = sliding_window_view(x, (self.size, self.size), axis=(1, 2))[:, :: self.stride, :: self.stride]
        np.copyto(self._columns, windows.transpose(0, 4, 5, 1, 2, 3))
        y = self._scratch("output", (self.channels, self.height * self.width * n_samples), x.dtype)
        np.matmul(self._kernels(), self._columns.reshape(-1, y.shape[1]), out=y)
        y += self.parameters["bias"][:, None]
        return y.reshape(self.channels, self.height, self.width, n_samples)

    def backward(self, gradient: Array, need_input: bool = True) -> Array | None:
        gradient = gradient.reshape(self.channels, -1)
        columns = self._columns.reshape(-1, gradient.shape[1])
        np.matmul(gradient, columns.T, out=self.gradients["weight"].reshape(self.channels, -1))
        np.add.reduce(gradient, 1, out=self.gradients["bias"])
        if not need_input:
            return None
        by_column = self._scratch("gradient of columns", columns.shape, gradient.dtype)
        np.matmul(self._kernels().T, gradient, out=by_column)
        by_column = by_column.reshape(self._columns.shape)
        out = self._scratch("gradient", self._shape, gradient.dtype)
        out.fill(0.0)
        for i in range(self.size):  # col2im: a pixel's gradient is the sum over the columns that hold it
            for j in range(self.size):
                out[_shifted(i, j, self.stride, self.height, self.width)] += by_column[:, i, j]
        return _trimmed(out, self.padding)

    def _kernels(self) -> Array:
        return self.parameters["weight"].reshape(self.channels, -1)

    def options(self) -> dict[str, Any]:
        return _differing(
            {"channels": self.channels, "size": self.size, "stride": self.stride, "padding": self.padding},
            {"stride": 1, "padding": 0},
        )


class MaxPool(Layer):
    """The largest value of each window of size × size. Among equal ones the first takes the gradient, as in torch."""

    kind = "max-pool"

    def __init__(self, size: int, stride: int | None = None) -> None:
        super().__init__()
        self.size = _positive("size", size)
        self.stride = self.size if stride is None else _positive("stride", stride)

    def build(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ValueError(f"a max-pool takes images of channels × height × width, and gets {_by(shape)}")
        self.height, self.width = (_windows(n, self.size, self.stride, 0, self.kind) for n in shape[1:])
        return (shape[0], self.height, self.width)

    def forward(self, x: Array, training: bool, rng: np.random.Generator | None = None) -> Array:
        self._x = x
        self._y = self._scratch("output", (len(x), self.height, self.width, x.shape[3]), x.dtype)
        first, *others = self._offsets()
        np.copyto(self._y, x[first])
        for offset in others:
            np.maximum(self._y, x[offset], out=self._y)
        return self._y

    def backward(self, gradient: Array, need_input: bool = True) -> Array | None:
        out = self._scratch("gradient", self._x.shape, gradient.dtype)
        out.fill(0.0)
        open_ = self._scratch("open", gradient.shape, bool)  # the windows whose gradient is not yet given to a pixel
        chosen = self._scratch("chosen", gradient.shape, bool)
        share = self._scratch("share", gradient.shape, gradient.dtype)
        open_.fill(True)
        for offset in self._offsets():
            np.equal(self._x[offset], self._y, out=chosen)
            chosen &= open_
            open_ ^= chosen
            out[offset] += np.multiply(gradient, chosen, out=share)
        return out

    def _offsets(self) -> list[tuple[slice, ...]]:
        """For each place in a window, row by row: where it lies in the image for all windows."""
        places = range(self.size)
        return [_shifted(i, j, self.stride, self.height, self.width) for i in places for j in places]

    def options(self) -> dict[str, Any]:
        return _differing({"size": self.size, "stride": self.stride}, {"stride": self.size})


class Flatten(Layer):
    """Images to vectors: the pixels of the first channel, row by row, then those of the second, and so on."""

    kind = "flatten"

    def build(self, shape: Shape) -> Shape:
        self.shape = shape
        return (math.prod(shape),)

    def forward(self, x: Array, training: bool, rng: np.random.Generator | None = None) -> Array:
        if x.ndim == 2:
            return x
        out = self._scratch("output", (x.shape[3], math.prod(self.shape)), x.dtype)
        np.copyto(out, x.reshape(-1, len(out)).T)
        return out

    def backward(self, gradient: Array, need_input: bool = True) -> Array | None:
        if len(self.shape) == 1:
            return gradient
        out = self._scratch("gradient", (*self.shape, len(gradient)), gradient.dtype)
        np.copyto(out.reshape(-1, len(gradient)), gradient.T)
        return out


class BatchNorm(Layer):
    """Each feature (of images: each channel) less its mean over its standard deviation, scaled and shifted.

    In training the statistics are the batch's, with the population variance; the running ones, which evaluation uses,
    take in the sample variance, as torch's do (Ioffe & Szegedy 2015).
    """

    kind = "batch-norm"

    def __init__(self, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = _share("momentum", momentum), epsilon
        if not isinstance(epsilon, int | float) or not 0 < epsilon < math.inf:
            raise ValueError(f"the epsilon of a batch-norm is above 0, not {epsilon!r}")

    def build(self, shape: Shape) -> Shape:
        self.n_features, self._images = shape[0], len(shape) == 3
        self.buffers = {"running_mean": np.zeros(shape[0]), "running_var": np.ones(shape[0])}
        return shape

    def specs(self) -> dict[str, Spec]:
        return {"weight": Spec((self.n_features,), fill=1.0), "bias": Spec((self.n_features,), fill=0.0)}

    def forward(self, x: Array, training: bool, rng: np.random.Generator | None = None) -> Array:
        rows = x.reshape(self.n_features, -1) if self._images else x
        axis = 1 if self._images else 0
        self._n, self._axis = rows.shape[axis], axis
        if training:
            if self._n < 2:
                raise ValueError("a batch-norm cannot train on a batch with one value per feature: its variance is 0")
            mean, variance = rows.mean(axis), rows.var(axis)
            running = self.buffers
            running["running_mean"] += self.momentum * (mean - running["running_mean"])
            running["running_var"] += self.momentum * (variance * self._n / (self._n - 1) - running["running_var"])
        else:
            mean, variance = (self.buffers[name].astype(x.dtype) for name in ("running_mean", "running_var"))
        self._scale = 1.0 / np.sqrt(variance + np.asarray(self.epsilon, x.dtype))
        self._normalized = self._scratch("normalized", rows.shape, x.dtype)
        np.subtract(rows, self._along(mean), out=self._normalized)
        self._normalized *= self._along(self._scale)
        y = self._scratch("output", rows.shape, x.dtype)
        np.multiply(self._normalized, self._along(self.parameters["weight"]), out=y)
        y += self._along(self.parameters["bias"])
        return y.reshape(x.shape)

    def backward(self, gradient: Array, need_input: bool = True) -> Array | None:
        g = gradient.reshape(self._normalized.shape)
        np.add.reduce(g * self._normalized, self._axis, out=self.gradients["weight"])
        np.add.reduce(g, self._axis, out=self.gradients["bias"])
        # x̂ depends on x directly, through the mean, and through the variance: three terms
        out = self._normalized * self._along(-self.gradients["weight"] / self._n)
        out += g
        out -= self._along(self.gradients["bias"] / self._n)
        out *= self._along(self.parameters["weight"] * self._scale)
        return out.reshape(gradient.shape)

    def _along(self, vector: Array) -> Array:
        return vector[:, None] if self._images else vector

    def options(self) -> dict[str, Any]:
        return _differing({"momentum": self.momentum, "epsilon": self.epsilon}, {"momentum": 0.1, "epsilon": 1e-5})


class Dropout(Layer):
    """In training each value is 0 with probability `rate`, and the others grow by 1 / (1 - rate)."""

    kind = "dropout"

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = _share("rate", rate)

    def forward(self, x: Array, training: bool, rng: np.random.Generator | None = None) -> Array:
        self._factors = None
        if not training or self.rate == 0:
            return x
        if rng is None:
            raise ValueError("dropout draws its mask in training: give forward a numpy.random.Generator")
        kept = rng.random(x.shape, dtype=np.float32) >= self.rate
        self._factors = kept * np.asarray(1.0 / (1.0 - self.rate), x.dtype)
        return x * self._factors

    def backward(self, gradient: Array, need_input: bool = True) -> Array | None:
        return gradient if self._factors is None else gradient * self._factors

    def options(self) -> dict[str, Any]:
        return {"rate": self.rate}


class ReLU(Layer):
    """max(x, 0), with the derivative 0 at 0, as torch has it."""

    kind = "relu"

    def forward(self, x: Array, training: bool, rng: np.random.Generator | None = None) -> Array:
        self._y = self._scratch("output", x.shape, x.dtype)
        return np.maximum(x, 0, out=self._y)

    def backward(self, gradient: Array, need_input: bool = True) -> Array | None:
        out = self._scratch("gradient", gradient.shape, gradient.dtype)
        return np.multiply(gradient, self._y > 0, out=out)


class LeakyReLU(Layer):
    """x where it is above 0, else slope · x."""

    kind = "leaky-relu"

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__()
        self.slope = _share("slope", slope)

    def forward(self, x: Array, training: bool, rng: np.random.Generator | None = None) -> Array:
        self._x = x
        return np.maximum(x, self.slope * x)

    def backward(self, gradient: Array, need_input: bool = True) -> Array | None:
        return np.where(self._x > 0, gradient, self.slope * gradient)

    def options(self) -> dict[str, Any]:
        return _differing({"slope": self.slope}, {"slope": 0.01})


class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    kind = "sigmoid"

    def forward(self, x: Array, training: bool, rng: np.random.Generator | None = None) -> Array:
        self._y = 0.5 * (1 + np.tanh(0.5 * x))  # the same function, and it cannot overflow
        return self._y

    def backward(self, gradient: Array, need_input: bool = True) -> Array | None:
        return gradient * self._y * (1 - self._y)


class Tanh(Layer):
    """The hyperbolic tangent."""

    kind = "tanh"

    def forward(self, x: Array, training: bool, rng: np.random.Generator | None = None) -> Array:
        self._y = np.tanh(x)
        return self._y

    def backward(self, gradient: Array, need_input: bool = True) -> Array | None:
        return gradient * (1 - self._y**2)


class Softmax(Layer):
    """exp(x) over its sum in each row. The loss cross-entropy takes logits and has a softmax of its own."""

    kind = "softmax"

    def build(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(f"a softmax takes vectors, and gets {_by(shape)}: put a flatten before it")
        return shape

    def forward(self, x: Array, training: bool, rng: np.random.Generator | None = None) -> Array:
        self._y = softmax(x)
        return self._y

    def backward(self, gradient: Array, need_input: bool = True) -> Array | None:
        along = (gradient * self._y).sum(1, keepdims=True)
        return self._y * (gradient - along)


KINDS: dict[str, Callable[..., Layer]] = {
    layer.kind: layer
    for layer in (
        Dense, Conv2d, MaxPool, Flatten, BatchNorm, Dropout, ReLU, LeakyReLU, Sigmoid, Tanh, Softmax
    )
}  # fmt: skip
ACTIVATIONS = ("relu", "leaky-relu", "sigmoid", "tanh", "softmax")


def softmax(logits: Array) -> Array:
    """The probabilities of each row; logits of any size, since the largest is taken off first."""
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    shifted /= shifted.sum(1, keepdims=True)
    return shifted


def _windows(n: int, size: int, stride: int, padding: int, kind: str) -> int:
    """How many windows fit along an axis: ⌊(n + 2 padding - size) / stride⌋ + 1."""
    if size > n + 2 * padding:
        raise ValueError(f"a {kind} of size {size} is larger than its input of {n + 2 * padding} pixels")
    return (n + 2 * padding - size) // stride + 1


def _shifted(i: int, j: int, stride: int, height: int, width: int) -> tuple[slice, ...]:
    """Row i and column j of every window, in images of channels, height, width, samples."""
    rows = slice(i, i + stride * (height - 1) + 1, stride)
    return (slice(None), rows, slice(j, j + stride * (width - 1) + 1, stride))


def _padded(x: Array, padding: int) -> Array:
    return np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0))) if padding else x


def _trimmed(x: Array, padding: int) -> Array:
    return x[:, padding:-padding, padding:-padding] if padding else x


def _by(shape: Shape) -> str:
    return " × ".join(map(str, shape)) if len(shape) > 1 else f"a vector of {shape[0]}"


def _differing(options: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in defaults or value != defaults[name]}


def _positive(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} is a whole number from 1, not {value!r}")
    return value


def _count(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} is a whole number from 0, not {value!r}")
    return value


def _share(name: str, value: float) -> float:
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{name} is from 0 to below 1, not {value!r}")
    return float(value)
