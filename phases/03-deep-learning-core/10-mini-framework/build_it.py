"""A deep-learning framework in one file: tensors that differentiate themselves, layers, optimizers, checkpoints.

The names, the arguments and the results are PyTorch's. Read it top to bottom: data, tensor, what operations share,
functions of tensors, modules, losses, optimizers, batches, checkpoint, loop.
"""

import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from itertools import accumulate, count, cycle
from operator import add, attrgetter, mul, neg, sub, truediv
from pathlib import Path
from random import Random
from typing import Any

__all__ = [
    "SGD",
    "Adam",
    "Linear",
    "Module",
    "Optimizer",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "Tensor",
    "batches",
    "cat",
    "cross_entropy",
    "fit",
    "linear",
    "load_file",
    "mse_loss",
    "no_grad",
    "save_file",
    "stack",
    "tensor",
]

Shape = tuple[int, ...]
VJP = Callable[[list[float]], list[float]]  # gradient of the output -> gradient of one input, both flat

_numbers = count(1)  # a tensor is always made after the tensors it was made from; leaves have number 0
_recording = ContextVar("recording", default=True)


# --- data: flat lists in row-major order ------------------------------------------------------------------------


def _rows(data: list[float], n: int) -> list[list[float]]:
    """Cut into pieces of `n`: the rows of a matrix with `n` columns."""
    return [data[i : i + n] for i in range(0, len(data), n)]


def _columns(data: list[float], n: int) -> list[list[float]]:
    """The columns of a matrix with `n` columns."""
    return [data[j::n] for j in range(n)]


def _dots(rows: list[list[float]], columns: list[list[float]]) -> list[float]:
    """The matrix of dot products, one for each row and column."""
    return [sum(map(mul, row, column)) for row in rows for column in columns]


def _common_shape(a: Shape, b: Shape) -> Shape:
    """The shape that both broadcast to: aligned at the right, an axis of size 1 stretches."""
    n = max(len(a), len(b))
    long_a, long_b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
    if any(1 not in (i, j) and i != j for i, j in zip(long_a, long_b, strict=True)):
        raise ValueError(f"expected shapes that broadcast (sizes equal, or one of them 1), got {a} and {b}")
    return tuple(j if i == 1 else i for i, j in zip(long_a, long_b, strict=True))


def _expand(data: list[float], shape: Shape, target: Shape) -> list[float]:
    """Broadcast: repeat along each axis that `shape` lacks or has with size 1."""
    shape = (1,) * (len(target) - len(shape)) + shape
    for axis in reversed(range(len(target))):
        if shape[axis] != target[axis]:
            block = math.prod(target[axis + 1 :])
            data = [v for i in range(0, len(data), block) for v in data[i : i + block] * target[axis]]
    return data


def _reduce(
    data: list[float], shape: Shape, axes: Iterable[int], function: Callable[[list[float]], float]
) -> list[float]:
    """Replace each axis of `axes` by size 1: `function` of the values along it."""
    sizes = list(shape)
    for axis in axes:
        step = math.prod(sizes[axis + 1 :])
        block = step * sizes[axis]
        data = [function(data[i + j : i + block : step]) for i in range(0, len(data), block) for j in range(step)]
        sizes[axis] = 1
    return data


def _largest(values: list[float]) -> float:
    """The maximum, or NaN if one of them is (`max` would then depend on their order)."""
    return math.nan if any(map(math.isnan, values)) else max(values)


def _unexpand(gradient: list[float], shape: Shape, target: Shape) -> list[float]:
    """The gradient of `_expand`: a value that was used n times receives the sum of n gradients."""
    target = (1,) * (len(shape) - len(target)) + target
    return _reduce(gradient, shape, [i for i, n in enumerate(shape) if n != target[i]], sum)


def _strides(shape: Shape) -> list[int]:
    """How far apart two neighbours along each axis lie in the flat list."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _axis(dim: int, ndim: int) -> int:
    """An axis counted from either end, as a number from 0."""
    if not -ndim <= dim < ndim:
        raise IndexError(f"expected a dim in [{-ndim}, {ndim - 1}], got {dim}")
    return dim % ndim


def _chosen(item: Any, size: int) -> list[int]:
    """The places that one item of an index names along an axis of `size`."""
    if isinstance(item, slice):
        if item.step is not None and item.step < 1:
            raise ValueError(f"expected a slice with a step above 0, got {item.step}")
        return list(range(size)[item])
    places = list(item) if isinstance(item, list | range) else [item]
    for i in places:
        if not isinstance(i, int) or isinstance(i, bool):
            raise IndexError(f"expected integers, slices, lists of integers, None or ..., got {item!r}")
        if not -size <= i < size:
            raise IndexError(f"index {i} is out of bounds for an axis of size {size}")
    return [i % size for i in places]


def _select(shape: Shape, index: Any) -> tuple[list[int], Shape]:
    """Where ``x[index]`` finds its values in the flat list of x, and the shape of the result."""
    items = list(index) if isinstance(index, tuple) else [index]
    n_named = len(items) - items.count(None) - items.count(...)
    if n_named > len(shape) or items.count(...) > 1:
        raise IndexError(f"expected at most {len(shape)} indices for shape {shape} and one ..., got {index}")
    gap = items.index(...) if ... in items else len(items)
    items[gap : gap + 1] = [slice(None)] * (len(shape) - n_named)
    lists = [i for i, item in enumerate(items) if isinstance(item, list | range)]
    if len({len(items[i]) for i in lists}) > 1 or (lists and lists[-1] - lists[0] >= len(lists)):
        raise IndexError(f"expected lists of one length, side by side, got {index}")
    axes = iter(zip(shape, _strides(shape), strict=True))
    positions, sizes = [0], []
    for i, item in enumerate(items):
        if item is None:
            sizes.append(1)
            continue
        size, stride = next(axes)
        offsets = [place * stride for place in _chosen(item, size)]
        if i in lists[1:]:  # pairs with the list before it, element by element
            positions = [p + offset for p, offset in zip(positions, cycle(offsets), strict=False)]
        else:
            positions = [p + offset for p in positions for offset in offsets]
            sizes += [] if isinstance(item, int) else [len(offsets)]
    if not positions:
        raise ValueError(f"expected to select at least one value from shape {shape}, got {index}")
    return positions, tuple(sizes)


# --- tensor: values, and how to send a gradient back to where they came from ------------------------------------


class Tensor:
    """An n-dimensional array of floats that remembers how it was made.

    Make one from nested lists with `tensor`. Operators and functions make the others; the constructor is for whoever
    writes a new operation, here the sine of x:

        a = x.data
        Tensor([math.sin(v) for v in a], x.shape, [(x, lambda g: [gi * math.cos(v) for gi, v in zip(g, a)])])

    No operation changes a tensor: optimizers and `load_state_dict` put a new list in the place of the old one, so a
    function that reads ``x.data`` later may find other values.
    Shapes that do not fit raise ValueError; an axis or an index out of range raises IndexError. Division by zero, and
    a function out of its domain or range (log 0, exp 1000), raise Python's own error; + - · / and sums overflow to inf.

    Attributes:
        data: the values as a flat list, the last axis running fastest (row-major). Never changed in place.
        shape: the size of each axis, all at least 1; ``()`` for a single number.
        grad: where `backward` left the gradient (a Tensor of the same shape); None before. Leaves only.
        requires_grad: whether gradients flow to this tensor: set on a leaf, inherited from any input elsewhere.
    """

    __slots__ = ("_edges", "_number", "data", "grad", "requires_grad", "shape")

    def __init__(self, data: list[float], shape: Shape, edges: Iterable[tuple["Tensor", VJP]] = ()) -> None:
        """`edges`: each input with its vector–Jacobian product, which may refer to lists and shapes.

        It must not refer to the new tensor. Inputs that need no gradient are forgotten at once; inside `no_grad` all
        of them are.
        """
        self.data, self.shape = data, shape
        self.grad: Tensor | None = None
        self._edges = tuple(edge for edge in edges if edge[0].requires_grad) if _recording.get() else ()
        self.requires_grad = bool(self._edges)
        self._number = next(_numbers) if self._edges else 0

    def backward(self, gradient: "Tensor | None" = None) -> None:
        """Add to ``leaf.grad``, for every leaf that this tensor was made from: gradient · ∂self/∂leaf.

        Args:
            gradient: of the final quantity with respect to this tensor, same shape; 1 where it is left out, which
                only a tensor with one element allows.

        Raises:
            ValueError: if this tensor does not require a gradient, or `gradient` is missing or has another shape.
        """
        if not self.requires_grad:
            raise ValueError("expected a tensor that requires a gradient, got one that does not")
        if gradient is None and len(self.data) > 1:
            raise ValueError(f"expected a gradient for a tensor of shape {self.shape}, got none")
        if gradient is not None and gradient.shape != self.shape:
            raise ValueError(f"expected a gradient of shape {self.shape}, got {gradient.shape}")

        nodes, found = {self}, [self]
        while found:
            for source, _ in found.pop()._edges:
                if source not in nodes:
                    nodes.add(source)
                    found.append(source)

        gradients = {self: [1.0] if gradient is None else gradient.data}
        # from the newest to the oldest, and then the leaves: all that was made from a node comes before the node
        for node in sorted(nodes, key=attrgetter("_number"), reverse=True):
            total = gradients.pop(node)
            for source, vjp in node._edges:
                sent, earlier = vjp(total), gradients.get(source)
                gradients[source] = sent if earlier is None else list(map(add, earlier, sent))
            if not node._edges:
                earlier = [0.0] * len(total) if node.grad is None else node.grad.data
                node.grad = Tensor(list(map(add, earlier, total)), node.shape)

    def detach(self) -> "Tensor":
        """The same values without their history: gradients stop here."""
        return Tensor(self.data, self.shape)

    def item(self) -> float:
        """The value of a tensor with one element; ValueError for any other."""
        if len(self.data) > 1:
            raise ValueError(f"expected a tensor with one element, got shape {self.shape}")
        return self.data[0]

    def tolist(self) -> Any:
        """The values as nested lists, as `tensor` takes them; a float for shape ``()``."""
        nested: list[Any] = self.data
        for n in reversed(self.shape):
            nested = _rows(nested, n)
        return nested[0]

    def __repr__(self) -> str:
        """The call of `tensor` that makes it again."""
        return f"tensor({self.tolist()}{', requires_grad=True' if self.requires_grad else ''})"

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    # Arithmetic, elementwise, after broadcasting: the other operand is a tensor or a number.

    def __add__(self, other: "Tensor | float") -> "Tensor":
        """a + b."""
        return _elementwise(self, other, add, lambda g, a, b: g, lambda g, a, b: g)

    def __sub__(self, other: "Tensor | float") -> "Tensor":
        """a - b."""
        return _elementwise(self, other, sub, lambda g, a, b: g, lambda g, a, b: map(neg, g))

    def __mul__(self, other: "Tensor | float") -> "Tensor":
        """a · b."""
        return _elementwise(self, other, mul, lambda g, a, b: map(mul, g, b), lambda g, a, b: map(mul, g, a))

    def __truediv__(self, other: "Tensor | float") -> "Tensor":
        """a / b."""

        def vjp_b(g: list[float], a: list[float], b: list[float]) -> Iterable[float]:
            return (-gi * (ai / bi) / bi for gi, ai, bi in zip(g, a, b, strict=True))  # b · b might underflow

        return _elementwise(self, other, truediv, lambda g, a, b: map(truediv, g, b), vjp_b)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: float) -> "Tensor":
        """b - a, where b is a number."""
        return _operand(other) - self

    def __rtruediv__(self, other: float) -> "Tensor":
        """b / a, where b is a number."""
        return _operand(other) / self

    def __neg__(self) -> "Tensor":
        """-a."""
        return Tensor(list(map(neg, self.data)), self.shape, [(self, lambda g: list(map(neg, g)))])

    def __pow__(self, exponent: float) -> "Tensor":
        """a to the power of a number (TypeError for a tensor), by `math.pow`: a root of -1 is an error, not complex.

        For exponent 0 the derivative is 0 everywhere.
        """
        a = self.data

        def vjp(g: list[float]) -> list[float]:
            if exponent == 0:
                return [0.0] * len(g)
            return [gi * exponent * math.pow(v, exponent - 1) for gi, v in zip(g, a, strict=True)]

        return Tensor([math.pow(v, exponent) for v in a], self.shape, [(self, vjp)])

    def __matmul__(self, other: "Tensor") -> "Tensor":
        """Matrix product: (…, m, k) @ (…, k, n) → (…, m, n); the axes before the last two broadcast.

        A vector on the left counts as one row and a vector on the right as one column; that axis is dropped from the
        result, so that vector @ vector is a number.
        """
        if not self.shape or not other.shape:
            raise ValueError(f"expected at least one axis on either side of @, got {self.shape} and {other.shape}")
        if other.ndim == 1:
            return (self @ other.unsqueeze(1)).squeeze(-1)
        if self.ndim == 1:
            return (self.unsqueeze(0) @ other).squeeze(-2)
        (m, k), n = self.shape[-2:], other.shape[-1]
        if other.shape[-2] != k:
            raise ValueError(f"expected (…, m, k) @ (…, k, n), got {self.shape} @ {other.shape}")
        batch = _common_shape(self.shape[:-2], other.shape[:-2])
        a_shape, b_shape = (*batch, m, k), (*batch, k, n)
        a_matrices = _rows(_expand(self.data, self.shape, a_shape), m * k)
        b_matrices = _rows(_expand(other.data, other.shape, b_shape), k * n)

        def vjp_a(g: list[float]) -> list[float]:  # G Bᵀ: the columns of Bᵀ are the rows of B
            pairs = zip(_rows(g, m * n), b_matrices, strict=True)
            return _unexpand([v for G, B in pairs for v in _dots(_rows(G, n), _rows(B, n))], a_shape, self.shape)

        def vjp_b(g: list[float]) -> list[float]:  # Aᵀ G: the rows of Aᵀ are the columns of A
            pairs = zip(a_matrices, _rows(g, m * n), strict=True)
            return _unexpand([v for A, G in pairs for v in _dots(_columns(A, k), _columns(G, n))], b_shape, other.shape)

        pairs = zip(a_matrices, b_matrices, strict=True)
        product = [v for A, B in pairs for v in _dots(_rows(A, k), _columns(B, n))]
        return Tensor(product, (*batch, m, n), [(self, vjp_a), (other, vjp_b)])

    # Functions of one element: y, and g · y′.

    def exp(self) -> "Tensor":
        """eᵃ."""
        y = list(map(math.exp, self.data))
        return Tensor(y, self.shape, [(self, lambda g: list(map(mul, g, y)))])

    def log(self) -> "Tensor":
        """The natural logarithm."""
        a = self.data
        return Tensor(list(map(math.log, a)), self.shape, [(self, lambda g: list(map(truediv, g, a)))])

    def sqrt(self) -> "Tensor":
        """√a; at 0 it has no derivative, and `backward` raises ZeroDivisionError."""
        y = list(map(math.sqrt, self.data))
        return Tensor(y, self.shape, [(self, lambda g: [gi / (2 * v) for gi, v in zip(g, y, strict=True)])])

    def abs(self) -> "Tensor":
        """|a|; its derivative at 0 is 0."""
        signs = [(v > 0) - (v < 0) for v in self.data]
        return Tensor(list(map(abs, self.data)), self.shape, [(self, lambda g: list(map(mul, g, signs)))])

    def relu(self) -> "Tensor":
        """max(a, 0), and NaN stays NaN; its derivative at 0 is 0."""
        y = [0.0 if v <= 0 else v for v in self.data]
        return Tensor(y, self.shape, [(self, lambda g: [0.0 if v <= 0 else gi for gi, v in zip(g, y, strict=True)])])

    def tanh(self) -> "Tensor":
        """The hyperbolic tangent."""
        y = list(map(math.tanh, self.data))
        return Tensor(y, self.shape, [(self, lambda g: [gi * (1 - v * v) for gi, v in zip(g, y, strict=True)])])

    def sigmoid(self) -> "Tensor":
        """1 / (1 + e⁻ᵃ), without overflow for any a."""
        y = [1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v)) for v in self.data]
        return Tensor(y, self.shape, [(self, lambda g: [gi * v * (1 - v) for gi, v in zip(g, y, strict=True)])])

    # Reductions: `dim` is an axis, a tuple of axes, or None (or an empty tuple) for all; `keepdim` leaves size 1 there.

    def sum(self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> "Tensor":
        """The sum over `dim`."""
        axes, kept, shape = _reduction(self.shape, dim, keepdim)
        total = _reduce(self.data, self.shape, axes, sum)
        return Tensor(total, shape, [(self, lambda g: _expand(g, kept, self.shape))])

    def mean(self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> "Tensor":
        """The arithmetic mean over `dim`."""
        total = self.sum(dim, keepdim)
        return total / (len(self.data) // len(total.data))

    def amax(self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> "Tensor":
        """The largest value over `dim`; where several are largest, they share the gradient equally.

        NaN if a value is NaN, and so is then the gradient of all of them.
        """
        axes, kept, shape = _reduction(self.shape, dim, keepdim)
        a, largest = self.data, _reduce(self.data, self.shape, axes, _largest)

        def vjp(g: list[float]) -> list[float]:
            hits = list(map(float.__eq__, a, _expand(largest, kept, self.shape)))
            n_hits = _reduce(hits, self.shape, axes, sum)
            shares = [gi / (n or math.nan) for gi, n in zip(g, n_hits, strict=True)]  # nothing equals NaN
            return list(map(mul, hits, _expand(shares, kept, self.shape)))

        return Tensor(largest, shape, [(self, vjp)])

    # Softmax, along one axis. The largest value is taken away first, so that no exponential overflows.

    def softmax(self, dim: int) -> "Tensor":
        """exp(a) / Σ exp(a) along `dim`."""
        if _axis(dim, self.ndim) != self.ndim - 1:
            return self.transpose(dim, -1).softmax(-1).transpose(dim, -1)
        n = self.shape[-1]
        y: list[float] = []
        for row in _rows(self.data, n):
            largest = max(row)
            powers = [math.exp(v - largest) for v in row]
            total = sum(powers)
            y += [power / total for power in powers]

        def vjp(g: list[float]) -> list[float]:
            sent: list[float] = []
            for g_row, y_row in zip(_rows(g, n), _rows(y, n), strict=True):
                mean = sum(map(mul, g_row, y_row))
                sent += [v * (gi - mean) for gi, v in zip(g_row, y_row, strict=True)]
            return sent

        return Tensor(y, self.shape, [(self, vjp)])

    def log_softmax(self, dim: int) -> "Tensor":
        """a - log Σ exp(a) along `dim`: the logarithm of `softmax`, exact where that would round to log 0."""
        if _axis(dim, self.ndim) != self.ndim - 1:
            return self.transpose(dim, -1).log_softmax(-1).transpose(dim, -1)
        n = self.shape[-1]
        y: list[float] = []
        for row in _rows(self.data, n):
            largest = max(row)
            shifted = [v - largest for v in row]
            log_total = math.log(sum(map(math.exp, shifted)))
            y += [v - log_total for v in shifted]

        def vjp(g: list[float]) -> list[float]:
            sent: list[float] = []
            for g_row, y_row in zip(_rows(g, n), _rows(y, n), strict=True):
                total = sum(g_row)
                sent += [gi - math.exp(v) * total for gi, v in zip(g_row, y_row, strict=True)]
            return sent

        return Tensor(y, self.shape, [(self, vjp)])

    # Shapes: the same values under another shape, in another order, or some of them.

    def reshape(self, *shape: int) -> "Tensor":
        """The same values, in the same order, under another shape; one size may be -1 and is computed."""
        sizes = list(shape)
        if -1 in sizes:
            sizes[sizes.index(-1)] = len(self.data) // max(1, -math.prod(sizes))
        if min(sizes, default=1) < 1 or math.prod(sizes) != len(self.data):
            raise ValueError(f"expected sizes for {len(self.data)} values, at most one of them -1, got {shape}")
        return Tensor(self.data, tuple(sizes), [(self, lambda g: g)])

    def unsqueeze(self, dim: int) -> "Tensor":
        """A new axis of size 1 at `dim`."""
        at = _axis(dim, self.ndim + 1)
        return self.reshape(*self.shape[:at], 1, *self.shape[at:])

    def squeeze(self, dim: int) -> "Tensor":
        """Without the axis `dim`, if its size is 1; else the same shape."""
        at = _axis(dim, self.ndim)
        return self.reshape(*self.shape[:at], *self.shape[at + (self.shape[at] == 1) :])

    def permute(self, *dims: int) -> "Tensor":
        """The axes in another order: axis i of the result is axis ``dims[i]`` of this tensor."""
        axes = [_axis(dim, self.ndim) for dim in dims]
        if sorted(axes) != list(range(self.ndim)):
            raise ValueError(f"expected each of the {self.ndim} axes once, got {dims}")
        strides, positions = _strides(self.shape), [0]
        for axis in axes:
            positions = [p + i * strides[axis] for p in positions for i in range(self.shape[axis])]
        return _gather(self, positions, tuple(self.shape[axis] for axis in axes))

    def transpose(self, dim0: int, dim1: int) -> "Tensor":
        """Two axes exchanged."""
        axes = list(range(self.ndim))
        i, j = _axis(dim0, self.ndim), _axis(dim1, self.ndim)
        axes[i], axes[j] = j, i
        return self.permute(*axes)

    @property
    def T(self) -> "Tensor":  # noqa: N802  # torch's name
        """The transpose of a matrix; ValueError for any other shape."""
        if self.ndim != 2:
            raise ValueError(f"expected a matrix, got shape {self.shape}")
        return self.permute(1, 0)

    def __getitem__(self, index: Any) -> "Tensor":
        """``x[index]``: integers, slices (step above 0), lists or ranges of integers, None (a new axis), one ``...``.

        A list picks along its axis, as often as it names a place; lists side by side pick element by element:
        ``logits[range(n), targets]`` is logits[0][targets[0]], logits[1][targets[1]] and so on.

        Raises:
            IndexError: out of range, too many indices, lists of different lengths or apart, another type.
            ValueError: if nothing is selected, or a slice's step is below 1.
        """
        return _gather(self, *_select(self.shape, index))


# --- what operations share --------------------------------------------------------------------------------------


def _operand(value: Tensor | float) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, int | float):
        return Tensor([float(value)], ())
    raise TypeError(f"expected a tensor or a number, got {type(value).__name__}")


def _elementwise(
    left: Tensor,
    right: Tensor | float,
    function: Callable[[float, float], float],
    vjp_left: Callable[[list[float], list[float], list[float]], Iterable[float]],
    vjp_right: Callable[[list[float], list[float], list[float]], Iterable[float]],
) -> Tensor:
    """`function` of two operands under their common shape; the VJPs see g and both operands under that shape."""
    right = _operand(right)
    shape = _common_shape(left.shape, right.shape)
    a, b = _expand(left.data, left.shape, shape), _expand(right.data, right.shape, shape)
    edges: list[tuple[Tensor, VJP]] = [
        (left, lambda g: _unexpand(list(vjp_left(g, a, b)), shape, left.shape)),
        (right, lambda g: _unexpand(list(vjp_right(g, a, b)), shape, right.shape)),
    ]
    return Tensor(list(map(function, a, b)), shape, edges)


def _reduction(shape: Shape, dim: int | tuple[int, ...] | None, keepdim: bool) -> tuple[list[int], Shape, Shape]:
    """The axes to reduce, the shape with those of size 1, and the shape of the result."""
    dims = (dim,) if isinstance(dim, int) else dim or range(len(shape))
    axes = [_axis(d, len(shape)) for d in dims]
    if len(set(axes)) < len(axes):
        raise ValueError(f"expected each dim once, got {dim}")
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return axes, kept, kept if keepdim else tuple(n for i, n in enumerate(shape) if i not in axes)


def _gather(x: Tensor, positions: list[int], shape: Shape) -> Tensor:
    """The values at `positions` of x's flat list. A place that was read twice receives two gradients."""
    data = x.data

    def vjp(g: list[float]) -> list[float]:
        sent = [0.0] * len(data)
        for p, gi in zip(positions, g, strict=True):
            sent[p] += gi
        return sent

    return Tensor([data[p] for p in positions], shape, [(x, vjp)])


# --- functions of tensors ---------------------------------------------------------------------------------------


def tensor(data: Any, *, requires_grad: bool = False) -> Tensor:
    """A leaf from a number or from nested lists (tuples, ranges) of numbers.

    Raises:
        ValueError: if `data` is ragged, empty at any level, or holds something that is no number.
    """
    values, shape = [data], []
    while isinstance(values[0], list | tuple | range):
        n = len(values[0])
        if not n or any(not isinstance(row, list | tuple | range) or len(row) != n for row in values):
            raise ValueError(f"expected nested lists of equal lengths, none empty, got {data!s:.80}")
        shape.append(n)
        values = [item for row in values for item in row]
    if not all(isinstance(v, int | float) for v in values):
        raise ValueError(f"expected numbers or nested lists of numbers, got {data!s:.80}")
    made = Tensor([float(v) for v in values], tuple(shape))
    made.requires_grad = requires_grad
    return made


class no_grad:  # noqa: N801  # torch's name
    """``with no_grad():`` what is computed inside is not recorded, and so costs no memory and has no gradient."""

    def __enter__(self) -> None:
        self._token = _recording.set(False)

    def __exit__(self, *exception: object) -> None:
        _recording.reset(self._token)


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joined along the existing axis `dim`; all other sizes must agree.

    Raises:
        ValueError: if there is no tensor, or their shapes differ elsewhere.
    """
    if not tensors:
        raise ValueError("expected at least one tensor, got none")
    shapes = [t.shape for t in tensors]
    axis = _axis(dim, len(shapes[0]))
    if len({(*shape[:axis], None, *shape[axis + 1 :]) for shape in shapes}) > 1:
        raise ValueError(f"expected shapes that differ in dim {dim} only, got {shapes}")
    step = math.prod(shapes[0][axis + 1 :])
    blocks = [shape[axis] * step for shape in shapes]  # how much each gives to one stretch of the result
    ends = list(accumulate(blocks))
    stretches = zip(*(_rows(t.data, block) for t, block in zip(tensors, blocks, strict=True)), strict=True)

    def vjp(start: int, end: int) -> VJP:
        return lambda g: [v for stretch in _rows(g, ends[-1]) for v in stretch[start:end]]

    return Tensor(
        [v for stretch in stretches for part in stretch for v in part],
        (*shapes[0][:axis], ends[-1] // step, *shapes[0][axis + 1 :]),
        [(t, vjp(end - block, end)) for t, block, end in zip(tensors, blocks, ends, strict=True)],
    )


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joined along a new axis at `dim`; all shapes must be equal (ValueError)."""
    return cat([t.unsqueeze(dim) for t in tensors], dim)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b, for each x along the last axis of `input`.

    Args:
        input: (…, n_in).
        weight: (n_out, n_in): one row of weights for each output.
        bias: (n_out,), or None.

    Returns:
        (…, n_out).

    Raises:
        ValueError: if the shapes do not fit.
    """
    if weight.ndim != 2 or not input.shape or input.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"expected an input (…, n_in) and a weight (n_out, n_in), got {input.shape} and {weight.shape}"
        )
    n_out, n_in = weight.shape
    if bias is not None and bias.shape != (n_out,):
        raise ValueError(f"expected a bias of shape ({n_out},), got {bias.shape}")
    x, w = input.data, weight.data
    units = list(zip(_rows(w, n_in), bias.data if bias is not None else [0.0] * n_out, strict=True))
    edges: list[tuple[Tensor, VJP]] = [
        (input, lambda g: _dots(_rows(g, n_out), _columns(w, n_in))),  # G W
        (weight, lambda g: _dots(_columns(g, n_out), _columns(x, n_in))),  # Gᵀ X
    ]
    if bias is not None:
        edges.append((bias, lambda g: list(map(sum, _columns(g, n_out)))))
    return Tensor(
        [sum(map(mul, row, weights), b) for row in _rows(x, n_in) for weights, b in units],
        (*input.shape[:-1], n_out),
        edges,
    )


# --- modules: functions with parameters -------------------------------------------------------------------------


class Parameter(Tensor):
    """A tensor that a `Module` learns: a leaf with the values of `data` that requires a gradient."""

    __slots__ = ()

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        super().__init__(data.data, data.shape)
        self.requires_grad = requires_grad


class Module:
    """Something with parameters. A subclass sets them as attributes and computes in ``forward``.

    A `Parameter` or a Module that is an attribute is found by itself; one inside a list or a dict is not.
    Names are paths: ``"0.weight"`` is the weight of the module that is attribute 0 of this one. A module names its
    own parameters first, then those of its submodules, each in the order in which they were set.

    Attributes:
        training: True until `eval` is called; for layers that act differently while they learn.
    """

    forward: Callable[..., Any]
    training: bool

    def __init__(self) -> None:
        self.training = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What ``forward`` returns."""
        return self.forward(*args, **kwargs)

    def _modules_by_name(self) -> Iterator[tuple[str, "Module"]]:
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def state_dict(self) -> dict[str, Tensor]:
        """The parameters by name: the live ones, which later training changes (as torch's), not a copy."""
        state: dict[str, Tensor] = {name: value for name, value in vars(self).items() if isinstance(value, Parameter)}
        for prefix, module in self._modules_by_name():
            state |= {f"{prefix}.{name}": value for name, value in module.state_dict().items()}
        return state

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """(name, parameter) pairs; one that has two names comes once, under the first."""
        seen = set()
        for name, parameter in self.state_dict().items():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> Iterator[Tensor]:
        """Each parameter once, in the order of `named_parameters`."""
        return (parameter for _, parameter in self.named_parameters())

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Give each parameter the values that `state_dict` has under its name; all of them, or none.

        Raises:
            ValueError: naming the parameters that are missing, unexpected or of another shape.
        """
        own = self.state_dict()
        faults = [f"missing: {name}" for name in own if name not in state_dict]
        faults += [f"unexpected: {name}" for name in state_dict if name not in own]
        faults += [
            f"{name}: expected shape {own[name].shape}, got {given.shape}"
            for name, given in state_dict.items()
            if name in own and own[name].shape != given.shape
        ]
        if faults:
            raise ValueError("the state does not fit the module: " + "; ".join(faults))
        for name, parameter in own.items():
            parameter.data = state_dict[name].data

    def zero_grad(self) -> None:
        """Forget every parameter's gradient: ``grad`` becomes None."""
        for parameter in self.parameters():
            parameter.grad = None

    def train(self, mode: bool = True) -> "Module":
        """Set `training` here and in all submodules; returns this module."""
        self.training = mode
        for _, module in self._modules_by_name():
            module.train(mode)
        return self

    def eval(self) -> "Module":
        """``train(False)``."""
        return self.train(False)


class Linear(Module):
    """x Wᵀ + b, a layer of `out_features` units.

    Attributes:
        weight: (out_features, in_features).
        bias: (out_features,), or None.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, rng: Random) -> None:
        """Weights, row by row, and then biases are drawn by ``rng.uniform(-k, k)`` with k = 1/√in_features.

        Raises:
            ValueError: if a size is below 1.
        """
        super().__init__()
        if in_features < 1 or out_features < 1:
            raise ValueError(f"expected at least one input and one output, got {in_features} and {out_features}")
        k = 1 / math.sqrt(in_features)
        rows = [[rng.uniform(-k, k) for _ in range(in_features)] for _ in range(out_features)]
        self.weight = Parameter(tensor(rows))
        self.bias = Parameter(tensor([rng.uniform(-k, k) for _ in range(out_features)])) if bias else None

    def forward(self, input: Tensor) -> Tensor:
        """(…, in_features) → (…, out_features)."""
        return linear(input, self.weight, self.bias)


class ReLU(Module):
    """`Tensor.relu` as a layer."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return input.relu()


class Tanh(Module):
    """`Tensor.tanh` as a layer."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return input.tanh()


class Sigmoid(Module):
    """`Tensor.sigmoid` as a layer."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return input.sigmoid()


class Sequential(Module):
    """Modules one after another. They are attributes named 0, 1, 2 …, so parameters are called ``"0.weight"``."""

    def __init__(self, *args: Module) -> None:
        super().__init__()
        for i, module in enumerate(args):
            setattr(self, str(i), module)

    def __getitem__(self, index: int) -> Module:
        """The module at `index`, from either end; IndexError beyond, which is what ends ``for module in self``."""
        modules = [module for _, module in self._modules_by_name()]
        return modules[index]

    def forward(self, input: Tensor) -> Tensor:
        """What the last module makes of what the one before it made, and so on."""
        for module in self:
            input = module(input)
        return input


# --- losses -----------------------------------------------------------------------------------------------------


def cross_entropy(input: Tensor, target: Sequence[int]) -> Tensor:
    """The mean of -log softmax(input)[i][target[i]] over the samples: a tensor of shape ().

    Args:
        input: (n_samples, n_classes) logits.
        target: the class of each sample, from 0.

    Raises:
        ValueError: if the shapes do not fit, or a class is no integer or does not exist.
    """
    if input.ndim != 2 or input.shape[0] != len(target):
        raise ValueError(f"expected logits ({len(target)}, n_classes) for {len(target)} targets, got {input.shape}")
    if not all(type(t) is int and 0 <= t < input.shape[1] for t in target):
        raise ValueError(f"expected integer targets from 0 to {input.shape[1] - 1}, got {list(target)}")
    return -input.log_softmax(1)[range(len(target)), list(target)].mean()


def mse_loss(input: Tensor, target: Tensor) -> Tensor:
    """The mean of (input - target)² over all elements, a tensor of shape (); equal shapes, else ValueError."""
    if input.shape != target.shape:
        raise ValueError(f"expected a target of shape {input.shape}, got {target.shape}")
    error = input - target
    return (error * error).mean()


# --- optimizers: from gradients to new values -------------------------------------------------------------------


class Optimizer:
    """What optimizers share: which parameters, and with which settings. A subclass adds ``step``.

    Attributes:
        param_groups: a list with one dict: ``"params"`` and each setting. A schedule changes
            ``optimizer.param_groups[0]["lr"]`` between steps.
    """

    def __init__(self, params: Iterable[Tensor], defaults: dict[str, Any]) -> None:
        """`defaults`: the settings by name. Raises ValueError if there is no parameter."""
        params = list(params)
        if not params:
            raise ValueError("expected at least one parameter, got none")
        self.param_groups = [{"params": params, **defaults}]

    def zero_grad(self) -> None:
        """Forget the gradient of every parameter: ``grad`` becomes None."""
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None


class SGD(Optimizer):
    """Gradient descent with momentum. One step, with g = gradient + weight_decay · θ:

    v ← momentum · v + g    (v = g at the first step)
    θ ← θ - lr · v
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0.0, *, weight_decay: float = 0.0
    ) -> None:
        """Raises ValueError if `lr`, `momentum` or `weight_decay` is below 0, or there is no parameter."""
        if min(lr, momentum, weight_decay) < 0:
            raise ValueError(f"expected no setting below 0, got {lr=}, {momentum=}, {weight_decay=}")
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._velocity: dict[Tensor, list[float]] = {}

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        group = self.param_groups[0]
        lr, momentum, weight_decay = group["lr"], group["momentum"], group["weight_decay"]
        for p in group["params"]:
            if p.grad is None:
                continue
            v = [gi + weight_decay * theta for gi, theta in zip(p.grad.data, p.data, strict=True)]
            if p in self._velocity:
                v = [momentum * old + new for old, new in zip(self._velocity[p], v, strict=True)]
            self._velocity[p] = v
            p.data = [theta - lr * vi for theta, vi in zip(p.data, v, strict=True)]


class Adam(Optimizer):
    """Kingma & Ba (2015), algorithm 1. One step, the t-th (from 1), with (β₁, β₂) = betas and g the gradient:

        m ← β₁ m + (1 - β₁) g        m̂ = m / (1 - β₁ᵗ)
        v ← β₂ v + (1 - β₂) g²       v̂ = v / (1 - β₂ᵗ)
        θ ← θ - lr · m̂ / (√v̂ + eps)

    m and v start at 0. Each parameter counts its own steps: those that found a gradient.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        """Raises ValueError if `lr` or `eps` is below 0, a beta is outside [0, 1), or there is no parameter."""
        if min(lr, eps) < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"expected lr and eps from 0 and betas in [0, 1), got {lr=}, {betas=}, {eps=}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})
        self._moments: dict[Tensor, tuple[int, list[float], list[float]]] = {}

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        group = self.param_groups[0]
        lr, (beta1, beta2), eps = group["lr"], group["betas"], group["eps"]
        for p in group["params"]:
            if p.grad is None:
                continue
            g = p.grad.data
            zeros = [0.0] * len(g)
            t, m, v = self._moments.get(p, (0, zeros, zeros))
            t += 1
            m = [beta1 * mi + (1 - beta1) * gi for mi, gi in zip(m, g, strict=True)]
            v = [beta2 * vi + (1 - beta2) * gi * gi for vi, gi in zip(v, g, strict=True)]
            self._moments[p] = t, m, v
            step, root = lr / (1 - beta1**t), math.sqrt(1 - beta2**t)
            p.data = [
                theta - step * mi / (math.sqrt(vi) / root + eps) for theta, mi, vi in zip(p.data, m, v, strict=True)
            ]


# --- batches ----------------------------------------------------------------------------------------------------


def batches(n_samples: int, batch_size: int, rng: Random) -> Iterator[list[int]]:
    """0 … n_samples - 1, shuffled by one ``rng.shuffle``, in lists of `batch_size`; the last one may be shorter.

    Checks and shuffles when it is called, not when the first list is asked for.

    Raises:
        ValueError: if either number is below 1.
    """
    if n_samples < 1 or batch_size < 1:
        raise ValueError(f"expected at least one sample and a batch size from 1, got {n_samples} and {batch_size}")
    order = list(range(n_samples))
    rng.shuffle(order)
    return iter([order[i : i + batch_size] for i in range(0, n_samples, batch_size)])


# --- checkpoint: the safetensors format -------------------------------------------------------------------------


def save_file(tensors: dict[str, Tensor], filename: str | Path) -> None:
    """Write `tensors` by name in the safetensors format, as float64, byte for byte as the safetensors library does.

    The file: n (8 bytes, little-endian); n bytes of JSON and of spaces, up to a multiple of 8; the data, little-endian.
    The JSON is UTF-8 without escapes and without spaces, and has for each name (sorted) "dtype", "shape" and
    "data_offsets" (begin and end, from where the data start). https://github.com/huggingface/safetensors#format

    Raises:
        ValueError: if a name is ``"__metadata__"``, which the format keeps for itself.
    """
    if "__metadata__" in tensors:
        raise ValueError("expected names of tensors, got '__metadata__', which the format keeps for itself")
    header, parts, end = {}, [], 0
    for name in sorted(tensors):
        data = tensors[name].data
        start, end = end, end + 8 * len(data)
        header[name] = {"dtype": "F64", "shape": tensors[name].shape, "data_offsets": [start, end]}
        parts.append(struct.pack(f"<{len(data)}d", *data))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    Path(filename).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def load_file(filename: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file (F64 or F32), by name, in the order of their data, as float64 leaves.

    The file's ``__metadata__`` is skipped.

    Raises:
        OSError: if it cannot be read.
        ValueError: naming the file, if it is no safetensors file, incomplete, damaged, of another dtype, or has a
            tensor without elements.
    """
    content = Path(filename).read_bytes()
    try:
        (n,) = struct.unpack("<Q", content[:8])
        header, body = json.loads(content[8 : 8 + n].decode()), content[8 + n :]
        if len(content) < 8 + n:
            raise ValueError("it ends within the header")
        header.pop("__metadata__", None)
        tensors, end = {}, 0
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            shape, (start, stop) = entry["shape"], entry["data_offsets"]
            code, size = {"F64": ("d", 8), "F32": ("f", 4)}[entry["dtype"]]
            if type(shape) is not list or any(type(i) is not int for i in (*shape, start, stop)):
                raise ValueError(f"{name} has shape {shape} and offsets {start}, {stop}: not lists of integers")
            if start != end or stop - start != size * math.prod(shape) or min(shape, default=1) < 1:
                raise ValueError(f"{name} of shape {shape} cannot be bytes {start} to {stop}")
            tensors[name] = Tensor(list(struct.unpack(f"<{math.prod(shape)}{code}", body[start:stop])), tuple(shape))
            end = stop
        if end != len(body):
            raise ValueError(f"it has {len(body)} bytes of data where its header tells of {end}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise ValueError(f"expected a safetensors file of F64 or F32 tensors, got {filename}: {error}") from error
    return tensors


# --- loop -------------------------------------------------------------------------------------------------------


def fit(
    model: Module,
    loss: Callable[[Tensor, Any], Tensor],
    optimizer: Optimizer,
    inputs: Tensor,
    targets: Tensor | Sequence[int],
    *,
    epochs: int,
    batch_size: int,
    rng: Random,
) -> list[float]:
    """Train `model` for `epochs` passes over the samples, in the batches of `batches`; call ``model.train()`` yourself.

    Args:
        model: from a batch of `inputs` to what `loss` takes.
        loss: ``loss(output, batch of targets)``, a tensor of shape ().
        optimizer: of the model's parameters.
        inputs: (n_samples, …).
        targets: a tensor (n_samples, …), or the class of each sample.
        epochs: passes over all samples.
        batch_size: samples in a step.
        rng: shuffles the samples before each epoch.

    Returns:
        The loss of each step, before its update; an empty list for no epochs.

    Raises:
        ValueError: if `inputs` and `targets` are of different lengths.
    """
    n_samples, n_targets = inputs.shape[0], targets.shape[0] if isinstance(targets, Tensor) else len(targets)
    if n_samples != n_targets:
        raise ValueError(f"expected as many targets as inputs, got {n_targets} for {n_samples}")
    losses = []
    for _ in range(epochs):
        for batch in batches(n_samples, batch_size, rng):
            wanted = targets[batch] if isinstance(targets, Tensor) else [targets[i] for i in batch]
            optimizer.zero_grad()
            value = loss(model(inputs[batch]), wanted)
            value.backward()
            optimizer.step()
            losses.append(value.item())
    return losses


if __name__ == "__main__":
    x = tensor([[1.0, 2.0]], requires_grad=True)
    y = (x * x + x).sum()  # x is used three times
    y.backward()
    print(y.item(), x.grad)
