"""grad, vmap and jit of pure functions: one small language and four ways to run it, on the standard library alone.

The plan is that of JAX, as its authors' "Autodidax" lays it out: primitives, tracers, and interpreters that nest.
"""

import builtins
import math
import operator
import string
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

__all__ = [
    "Equation",
    "Jaxpr",
    "array",
    "cos",
    "dot",
    "exp",
    "grad",
    "hessian",
    "jacfwd",
    "jacrev",
    "jit",
    "jvp",
    "log",
    "make_jaxpr",
    "maximum",
    "sin",
    "sum",
    "tanh",
    "value_and_grad",
    "vjp",
    "vmap",
    "where",
]

Shape = tuple[int, ...]
Function = Callable[..., Any]
Tree = Any  # a value, or tuples, lists and dicts of trees


# Values: arrays, and the tracers that stand for them


def _method(name: str, swapped: bool = False) -> Function:  # given
    """The method behind an operator; `swapped` where the value stands at the right."""

    def apply(self: Any, other: Any) -> Any:
        return _elementwise(name, other, self) if swapped else _elementwise(name, self, other)

    return apply


class _Value:  # given
    """What a function computes with. It has a shape and a dtype ("f64" or "bool"), and operators."""

    shape: Shape
    dtype: str
    __add__, __radd__ = _method("add"), _method("add", swapped=True)
    __sub__, __rsub__ = _method("sub"), _method("sub", swapped=True)
    __mul__, __rmul__ = _method("mul"), _method("mul", swapped=True)
    __truediv__, __rtruediv__ = _method("div"), _method("div", swapped=True)
    __gt__, __lt__ = _method("gt"), _method("gt", swapped=True)
    __ge__, __le__ = _method("ge"), _method("ge", swapped=True)
    __eq__, __hash__ = _method("eq"), object.__hash__

    def __neg__(self) -> Any:  # given
        return _apply("neg", self)

    def __pow__(self, n: int) -> Any:  # given
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"a power must be a whole number from 1, got {n!r}")
        return self if n == 1 else self * self ** (n - 1)

    def __matmul__(self, other: Any) -> Any:  # given
        return dot(self, other)

    def __bool__(self) -> bool:  # given
        return bool(self.number())

    def __float__(self) -> float:  # given
        return float(self.number())

    def number(self) -> float:  # given
        """The one number that this is, for Python's `if` and `float`; a tracer has none to give."""
        raise ValueError("Python's if, while, bool and float need a number; a traced value has none yet: use where")


class _Array(_Value):  # given
    """Numbers in reading order, and how they are arranged: () is a single number, (2, 3) a matrix of two rows."""

    def __init__(self, data: list[float], shape: Shape) -> None:  # given
        self.data, self.shape = data, shape
        self.dtype = "bool" if isinstance(data[0], bool) else "f64"

    def number(self) -> float:  # given
        if len(self.data) != 1:
            raise ValueError(f"Python's if, while, bool and float need one number, got the shape {self.shape}")
        return self.data[0]

    def tolist(self) -> Any:  # given
        """A number, or nested lists."""
        values: Any = self.data
        for n in reversed(self.shape[1:]):
            values = [values[i : i + n] for i in range(0, len(values), n)]
        return values if self.shape else values[0]

    def __repr__(self) -> str:  # given
        return f"Array({self.tolist()})"


def array(data: Any) -> Any:
    """An array of float64 from a number or from nested lists or tuples; an array or a tracer comes back as it is.

    Raises:
        ValueError: lists of different lengths or without entries, or an entry that is neither int nor float (a bool is
            an int, an array is none: there is no stacking).
    """
    if isinstance(data, _Value):
        return data
    values, shape = [data], []
    while isinstance(values[0], list | tuple):
        n = len(values[0])
        if n == 0 or any(not isinstance(v, list | tuple) or len(v) != n for v in values):
            raise ValueError(f"array takes a number or nested lists of equal lengths of at least 1, got {data!r}")
        shape.append(n)
        values = [entry for value in values for entry in value]
    if not all(isinstance(v, int | float) for v in values):
        raise ValueError(f"array takes a number or nested lists of numbers, got {data!r}")
    return _Array([float(v) for v in values], tuple(shape))


# Arithmetic: what each primitive does to numbers


def _divide(a: float, b: float) -> float:  # given
    """a / b as the processor has it: no exception, but inf and NaN."""
    if b:
        return a / b
    return math.copysign(math.inf, a) * math.copysign(1.0, b) if a and not math.isnan(a) else math.nan


def _exp(x: float) -> float:  # given
    """eˣ, inf where it is too large for a float."""
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def _log(x: float) -> float:  # given
    """log x; -inf at 0, NaN below."""
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


_SCALAR: dict[str, Callable[..., float]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": _divide,
    "neg": operator.neg,
    "sin": lambda x: math.nan if math.isinf(x) else math.sin(x),
    "cos": lambda x: math.nan if math.isinf(x) else math.cos(x),
    "exp": _exp,
    "log": _log,
    "tanh": math.tanh,
    "max": lambda a, b: a if a >= b or math.isnan(a) else b,  # NaN stays
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "where": lambda c, a, b: a if c else b,
}


def _shape(name: str, inputs: Sequence[Any], params: dict[str, Any]) -> Shape:  # given
    """The shape that a primitive's output has."""
    shape = inputs[0].shape
    match name:
        case "broadcast_in_dim":
            return params["shape"]
        case "transpose":
            return tuple(shape[axis] for axis in params["axes"])
        case "reduce_sum":
            return tuple(n for axis, n in enumerate(shape) if axis not in params["axes"])
        case "einsum":
            sizes, _, out = _einsum_sizes(inputs, params["spec"])
            return tuple(sizes[letter] for letter in out)
    return shape


def _einsum_sizes(inputs: Sequence[Any], spec: str) -> tuple[dict[str, int], list[str], str]:  # given
    """The size of each letter, the letters of the two inputs, and those of the output."""
    letters, out = spec.split("->")
    operands = letters.split(",")
    return (
        {c: n for x, word in zip(inputs, operands, strict=True) for c, n in zip(word, x.shape, strict=True)},
        operands,
        out,
    )


_OF_ANY_DTYPE = ("where", "reduce_sum", "broadcast_in_dim", "transpose")  # the output has that of the input


def _dtype(name: str, inputs: Sequence[Any]) -> str:  # given
    """The dtype that a primitive's output has."""
    if name in ("gt", "ge", "eq"):
        return "bool"
    return inputs[name == "where"].dtype if name in _OF_ANY_DTYPE else "f64"


def _evaluate(name: str, inputs: Sequence[Any], params: dict[str, Any]) -> _Array:  # given
    """The primitive, on arrays."""
    shape, x = _shape(name, inputs, params), inputs[0]
    match name:
        case "broadcast_in_dim":  # axis i of x becomes axis axes[i] of the output; the other axes repeat
            along = dict(zip(params["axes"], _strides(x.shape), strict=True))
            return _Array(_gather(x.data, shape, tuple(along.get(axis, 0) for axis in range(len(shape)))), shape)
        case "transpose":  # axis i of the output is axis axes[i] of x
            strides = _strides(x.shape)
            return _Array(_gather(x.data, shape, tuple(strides[axis] for axis in params["axes"])), shape)
        case "reduce_sum":
            axes = [axis for axis in range(len(x.shape)) if axis not in params["axes"]] + list(params["axes"])
            strides = _strides(x.shape)
            values = _gather(x.data, tuple(x.shape[a] for a in axes), tuple(strides[a] for a in axes))
            return _Array(_sums(values, len(values) // math.prod(shape)), shape)
        case "einsum":  # for each index of the output, products summed over the letters that it lacks
            sizes, operands, out = _einsum_sizes(inputs, params["spec"])
            letters = out + "".join(c for c in sizes if c not in out)
            loop = tuple(sizes[c] for c in letters)
            factors = []
            for value, word in zip(inputs, operands, strict=True):
                along = dict(zip(word, _strides(value.shape), strict=True))
                factors.append(_gather(value.data, loop, tuple(along.get(c, 0) for c in letters)))
            return _Array(_sums(list(map(operator.mul, *factors)), math.prod(loop) // math.prod(shape)), shape)
    return _Array(list(map(_SCALAR[name], *(value.data for value in inputs))), shape)


def _strides(shape: Shape) -> tuple[int, ...]:  # given
    """How far apart in reading order the neighbours along each axis lie."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


@lru_cache(maxsize=1024)
def _places(shape: Shape, strides: tuple[int, ...]) -> list[int]:  # given
    """Σ index · stride for every index of `shape`, in reading order."""
    places = [0]
    for n, stride in zip(shape, strides, strict=True):
        places = [place + i * stride for place in places for i in range(n)]
    return places


def _gather(data: list[float], shape: Shape, strides: tuple[int, ...]) -> list[float]:  # given
    """The numbers at these places."""
    return list(map(data.__getitem__, _places(shape, strides)))


def _sums(values: list[float], n: int) -> list[float]:  # given
    """The sum of each `n` neighbours."""
    return values if n == 1 else [builtins.sum(values[i : i + n]) for i in range(0, len(values), n)]


# Tracers: what stands in the place of an array while a transform is at work


class _Tracer(_Value):  # given
    """A value of one transform. `trace` is that transform's interpreter, which decides what primitives do to it."""

    trace: Any


_RUNNING: list[Any] = []  # the interpreters at work; the innermost is the last


@contextmanager
def _running(trace: Any) -> Iterator[Any]:  # given
    """Within this context `trace` is the innermost interpreter."""
    trace.level = len(_RUNNING)
    _RUNNING.append(trace)
    try:
        yield trace
    finally:
        _RUNNING.pop()


def _apply(name: str, *inputs: Any, **params: Any) -> Any:  # given
    """A primitive, by whoever is responsible: the innermost interpreter among the inputs' traces, else arithmetic.

    It gets all inputs as they are; to it, what is no tracer of its own is a constant.
    """
    traces = [x.trace for x in inputs if isinstance(x, _Tracer)]
    if not traces:
        return _evaluate(name, inputs, params)
    for trace in traces:
        if trace not in _RUNNING:
            raise ValueError("a traced value was kept after its transform had ended: return it, do not store it")
    return max(traces, key=lambda trace: trace.level).apply(name, inputs, params)


def _elementwise(name: str, *inputs: Any) -> Any:  # given
    """A primitive on inputs that are broadcast to one shape first, by NumPy's rules."""
    values = [array(x) for x in inputs]
    rank = max(len(x.shape) for x in values)
    padded = [(1,) * (rank - len(x.shape)) + x.shape for x in values]
    shape = tuple(max(sizes) for sizes in zip(*padded, strict=True))
    if any(n not in (1, m) for sizes in padded for n, m in zip(sizes, shape, strict=True)):
        raise ValueError(
            f"shapes must be equal or broadcast to each other, got {', '.join(str(x.shape) for x in values)}"
        )
    return _apply(name, *(_broadcast(x, shape) for x in values))


def _broadcast(x: Any, shape: Shape) -> Any:  # given
    """x repeated along the axes that it lacks, or has with size 1 where `shape` has more."""
    if x.shape == shape:
        return x
    new = len(shape) - len(x.shape)
    stretched = tuple(axis for axis, n in enumerate(x.shape) if n != shape[new + axis])
    kept = tuple(new + axis for axis in range(len(x.shape)) if axis not in stretched)
    if stretched:
        x = _apply("reduce_sum", x, axes=stretched)  # of one number each
    return _apply("broadcast_in_dim", x, shape=shape, axes=kept)


# The language of user functions: these, and the operators + - * / ** @ > >= < <= ==


def sin(x: Any) -> Any:
    """The sine of each number."""
    return _apply("sin", array(x))


def cos(x: Any) -> Any:
    """The cosine of each number."""
    return _apply("cos", array(x))


def exp(x: Any) -> Any:
    """eˣ of each number."""
    return _apply("exp", array(x))


def log(x: Any) -> Any:
    """The natural logarithm of each number: -inf at 0, NaN below."""
    return _apply("log", array(x))


def tanh(x: Any) -> Any:
    """The hyperbolic tangent of each number."""
    return _apply("tanh", array(x))


def maximum(a: Any, b: Any) -> Any:
    """The larger of two numbers, for each place; NaN where one is NaN. At a tie each has half of the derivative.

    Raises:
        ValueError: the shapes do not broadcast.
    """
    return _elementwise("max", a, b)


def where(condition: Any, a: Any, b: Any) -> Any:
    """a where the condition holds and b elsewhere; both are computed everywhere.

    Raises:
        ValueError: the condition is no array of booleans (Python's True is a number here), or the shapes do not
            broadcast.
    """
    if array(condition).dtype != "bool":
        raise ValueError("where takes a comparison such as x > 0 as its condition, got numbers")
    return _elementwise("where", condition, a, b)


def dot(a: Any, b: Any) -> Any:
    """The product of vectors and matrices, a's last axis against b's first; also written a @ b.

    Raises:
        ValueError: an input has no axis or more than two, or those two axes differ in size.
    """
    a, b = array(a), array(b)
    specs = {(1, 1): "k,k->", (2, 1): "ik,k->i", (1, 2): "k,kj->j", (2, 2): "ik,kj->ij"}
    spec = specs.get((len(a.shape), len(b.shape)))
    if spec is None or a.shape[-1] != b.shape[0]:
        raise ValueError(f"dot takes vectors and matrices, (…, k) with (k, …), got the shapes {a.shape} and {b.shape}")
    return _apply("einsum", a, b, spec=spec)


def sum(x: Any, axis: int | None = None) -> Any:
    """The sum along an axis, which disappears; over all axes where None. A negative axis counts from the last.

    Of booleans it is how many are true, as a float.

    Raises:
        ValueError: x has no such axis.
    """
    x = where(x, 1.0, 0.0) if array(x).dtype == "bool" else array(x)
    axes = tuple(range(len(x.shape))) if axis is None else (_axis(axis, x.shape),)
    return _apply("reduce_sum", x, axes=axes) if axes else x


def _axis(axis: int, shape: Shape) -> int:  # given
    """The axis, counted from the first."""
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"the axis must be one of {len(shape)}, got {axis} for the shape {shape}")
    return axis % len(shape)


# Trees: arguments and results may be tuples, lists and dicts of arrays


def _flatten(tree: Tree) -> tuple[list[Any], Any]:  # given
    """The leaves from left to right, as arrays, and a hashable description of what held them."""
    if isinstance(tree, dict):
        kind, children = (dict, *sorted(tree)), [tree[key] for key in sorted(tree)]
    elif isinstance(tree, list | tuple):
        kind, children = (type(tree),), list(tree)
    else:
        return [array(tree)], None
    parts = [_flatten(child) for child in children]
    return [leaf for leaves, _ in parts for leaf in leaves], (kind, tuple(form for _, form in parts))


def _unflatten(form: Any, leaves: Sequence[Any]) -> Tree:  # given
    """The tree again, with other leaves."""
    return _filled(form, iter(leaves))


def _filled(form: Any, leaves: Iterator[Any]) -> Tree:  # given
    """The tree of this form, with leaves taken as they come."""
    if form is None:
        return next(leaves)
    (kind, *keys), forms = form
    children = [_filled(child, leaves) for child in forms]
    return dict(zip(keys, children, strict=True)) if kind is dict else kind(children)


# Forward mode


class _Dual(_Tracer):
    """A value and its tangent; None is a tangent that is 0 for certain, and costs nothing."""

    def __init__(self, trace: Any, value: Any, tangent: Any) -> None:
        self.trace, self.value, self.tangent = trace, value, tangent
        self.shape, self.dtype = value.shape, value.dtype

    def __bool__(self) -> bool:
        return bool(self.value)


class _Forward:
    """Every primitive on duals: the value, and the tangent by `_push`."""

    level: int

    def split(self, x: Any) -> tuple[Any, Any]:
        """Value and tangent; a constant has no tangent."""
        return (x.value, x.tangent) if isinstance(x, _Dual) and x.trace is self else (x, None)

    def apply(self, name: str, inputs: Sequence[Any], params: dict[str, Any]) -> Any:
        values, tangents = zip(*map(self.split, inputs), strict=True)
        y = _apply(name, *values, **params)
        if y.dtype == "bool":  # a comparison has steps and no slope
            return y
        terms = [_push(name, i, t, y, values, **params) for i, t in enumerate(tangents) if t is not None]
        return _Dual(self, y, reduce(operator.add, terms))


def _push(name: str, i: int, t: Any, y: Any, inputs: Sequence[Any], **params: Any) -> Any:
    """∂y/∂xᵢ · t: what the tangent t of input number i adds to the tangent of y = name(inputs). Linear in t."""
    x = inputs[i]
    match name, i:
        case "add", _:
            return t
        case "sub", _:
            return t if i == 0 else -t
        case "mul", _:
            return t * inputs[1 - i]
        case "div", _:
            return t / inputs[1] if i == 0 else -(t * (y / x))
        case "sin", _:
            return t * cos(x)
        case "cos", _:
            return -(t * sin(x))
        case "exp", _:
            return t * y
        case "log", _:
            return t / x
        case "tanh", _:
            return t * (1.0 - y * y)
        case "max", _:  # 1 for the larger, 0 for the smaller, a half for each of two equals
            return t * where(x == y, where(inputs[1 - i] == y, 0.5, 1.0), 0.0)
        case "where", _:
            return where(inputs[0], t, 0.0) if i == 1 else where(inputs[0], 0.0, t)
        case "einsum", _:
            return _apply(name, *((t, inputs[1]) if i == 0 else (inputs[0], t)), **params)
    return _apply(name, t, **params)  # neg, reduce_sum, broadcast_in_dim, transpose: linear as they are


def jvp(f: Function, primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, Tree]:
    """The value of f and its directional derivative: how it moves when its arguments move along the tangents.

    Args:
        f: a pure function of arrays, or of trees of arrays.
        primals: its arguments.
        tangents: as many, with the same shapes.

    Returns:
        f(*primals) and J · tangents, of the same shapes.

    Raises:
        ValueError: the tangents have another form than the primals, or one another shape than its argument.
    """
    values, form = _flatten(tuple(primals))
    directions, other = _flatten(tuple(tangents))
    if form != other or any(x.shape != t.shape for x, t in zip(values, directions, strict=True)):
        shapes = [[x.shape for x in leaves] for leaves in (values, directions)]
        raise ValueError(f"each tangent must have the shape of its argument, {shapes[0]}, got {shapes[1]}")
    outputs, out_tangents, out_form = _push_forward(f, form, values, directions)
    slopes = [_filled_with(0.0, y.shape) if t is None else t for y, t in zip(outputs, out_tangents, strict=True)]
    return _unflatten(out_form, outputs), _unflatten(out_form, slopes)


def _push_forward(f: Function, form: Any, values: list[Any], tangents: list[Any]) -> tuple[list[Any], list[Any], Any]:
    """The leaves of f's result, their tangents or None, and the form of the result."""
    with _running(_Forward()) as trace:
        duals = [_Dual(trace, x, t) for x, t in zip(values, tangents, strict=True)]
        results, out_form = _flatten(f(*_unflatten(form, duals)))
        pairs = [trace.split(result) for result in results]
    return [value for value, _ in pairs], [tangent for _, tangent in pairs], out_form


def _filled_with(number: float, shape: Shape) -> _Array:  # given
    """An array of one number."""
    return _Array([number] * math.prod(shape), shape)


# Recording: a program, written down while it runs


class _Variable(_Tracer):
    """A number to come: only its shape is known."""

    def __init__(self, trace: Any, shape: Shape, dtype: str) -> None:
        self.trace, self.shape, self.dtype = trace, shape, dtype


@dataclass(frozen=True)
class _Step:
    """One primitive of a program; an input is a variable of that program, or a constant."""

    output: _Variable
    name: str
    inputs: Sequence[Any]
    params: dict[str, Any]


class _Recording:
    """Every primitive that meets a variable is written down, and a new variable stands for its result."""

    level: int

    def __init__(self) -> None:
        self.steps: list[_Step] = []

    def apply(self, name: str, inputs: Sequence[Any], params: dict[str, Any]) -> _Variable:
        output = _Variable(self, _shape(name, inputs, params), _dtype(name, inputs))
        self.steps.append(_Step(output, name, inputs, params))
        return output


@dataclass(frozen=True)
class _Program:
    """What a recording leaves."""

    inputs: list[_Variable]
    steps: list[_Step]
    outputs: list[Any]


def _record(f: Function, form: Any, leaves: list[Any]) -> tuple[_Program, Any]:
    """f as a program for arguments of these shapes, and the form of its result."""
    with _running(_Recording()) as trace:
        inputs = [_Variable(trace, x.shape, x.dtype) for x in leaves]
        outputs, out_form = _flatten(f(*_unflatten(form, inputs)))
    return _Program(inputs, trace.steps, outputs), out_form


def _run(program: _Program, values: list[Any]) -> list[Any]:
    """The program's outputs for these inputs, which may be tracers of other transforms."""
    known = {id(variable): value for variable, value in zip(program.inputs, values, strict=True)}
    for step in program.steps:
        inputs = [known.get(id(x), x) for x in step.inputs]
        known[id(step.output)] = _apply(step.name, *inputs, **step.params)
    return [known.get(id(x), x) for x in program.outputs]


# Reverse mode: record how the tangents are computed, then read the record backwards


def vjp(f: Function, *primals: Tree) -> tuple[Tree, Function]:
    """The value of f, and the function that takes dL/d(value) to dL/d(argument), for any L that follows.

    Args:
        f: a pure function of arrays, or of trees of arrays.
        primals: its arguments.

    Returns:
        f(*primals), and a function of one cotangent (the shapes of the value) that gives a tuple: Jᵀ · cotangent, with
        the shapes of the primals.

    Raises:
        ValueError: from that function, if the cotangent has not the form and the shapes of the value.
    """
    values, form = _flatten(primals)
    with _running(_Recording()) as trace:
        tangents = [_Variable(trace, x.shape, "f64") for x in values]
        outputs, out_tangents, out_form = _push_forward(f, form, values, tangents)
    program = _Program(tangents, trace.steps, out_tangents)

    def pull_back(cotangent: Tree) -> tuple[Tree, ...]:
        """Jᵀ · cotangent."""
        leaves, other = _flatten(cotangent)
        if other != out_form or any(c.shape != y.shape for c, y in zip(leaves, outputs, strict=True)):
            shapes = [[x.shape for x in xs] for xs in (outputs, leaves)]
            raise ValueError(f"the cotangent must have the shape of the value, {shapes[0]}, got {shapes[1]}")
        return _unflatten(form, _transposed(program, leaves))

    return _unflatten(out_form, outputs), pull_back


def _transposed(program: _Program, cotangents: list[Any]) -> list[Any]:
    """Through a linear program from its last step to its first: for each input, what all its uses send back, added."""
    sent: dict[int, Any] = {}

    def add(x: Any, c: Any) -> None:
        sent[id(x)] = sent[id(x)] + c if id(x) in sent else c

    for y, c in zip(program.outputs, cotangents, strict=True):
        if y is not None:
            add(y, c)
    linear = {id(step.output) for step in program.steps} | {id(x) for x in program.inputs}
    for step in reversed(program.steps):
        if id(step.output) in sent:
            for i, x in enumerate(step.inputs):
                if id(x) in linear:
                    add(x, _pull(step.name, i, sent[id(step.output)], step.inputs, **step.params))
    return [sent[id(x)] if id(x) in sent else _filled_with(0.0, x.shape) for x in program.inputs]


def _pull(name: str, i: int, c: Any, inputs: Sequence[Any], **params: Any) -> Any:
    """The transpose of a primitive that is linear in input number i: what the output's cotangent c sends to it."""
    x = inputs[i]
    match name:
        case "add":
            return c
        case "neg":
            return -c
        case "mul":  # in the rules of _push, a tangent is always the left factor
            return c * inputs[1]
        case "div":
            return c / inputs[1]
        case "where":
            return where(inputs[0], c, 0.0) if i == 1 else where(inputs[0], 0.0, c)
        case "einsum":
            _, operands, out = _einsum_sizes(inputs, params["spec"])
            return _apply(name, c, inputs[1 - i], spec=f"{out},{operands[1 - i]}->{operands[i]}")
        case "reduce_sum":
            kept = tuple(axis for axis in range(len(x.shape)) if axis not in params["axes"])
            return _apply("broadcast_in_dim", c, shape=x.shape, axes=kept)
        case "broadcast_in_dim":
            new = tuple(axis for axis in range(len(c.shape)) if axis not in params["axes"])
            return _apply("reduce_sum", c, axes=new)
        case "transpose":
            return _apply(name, c, axes=tuple(params["axes"].index(axis) for axis in range(len(c.shape))))
    raise AssertionError(f"{name} is not linear: no rule of _push uses it on a tangent")


def value_and_grad(f: Function, argnums: int = 0) -> Function:
    """The function that gives f's value and its gradient with respect to argument number `argnums`.

    Raises:
        ValueError: when called: the value is not a single number, of shape (), or there is no such argument.
    """

    def run(*arguments: Tree) -> tuple[Any, Tree]:
        if not 0 <= argnums < len(arguments):
            raise ValueError(f"argnums must be the number of one of {len(arguments)} arguments, got {argnums}")
        before, x, after = arguments[:argnums], arguments[argnums], arguments[argnums + 1 :]
        value, pull_back = vjp(lambda x: f(*before, x, *after), x)
        if not isinstance(value, _Value) or value.shape != () or value.dtype != "f64":
            raise ValueError(f"grad takes a function whose value is one number, got {value!r}")
        return value, pull_back(1.0)[0]

    return run


def grad(f: Function, argnums: int = 0) -> Function:
    """The function that gives the gradient of f, with the shapes of argument number `argnums`.

    Raises:
        ValueError: as `value_and_grad`.
    """
    both = value_and_grad(f, argnums)
    return lambda *arguments: both(*arguments)[1]


# Batching


class _Batched(_Tracer):
    """One value for each sample, in an array whose first axis counts the samples; `shape` is that of one sample."""

    def __init__(self, trace: Any, values: Any) -> None:
        self.trace, self.values = trace, values
        self.shape, self.dtype = values.shape[1:], values.dtype


class _Batching:
    """Every primitive on all samples at once: the same primitive, or its like, with an axis more."""

    level: int

    def __init__(self, size: int) -> None:
        self.size = size

    def owns(self, x: Any) -> bool:
        return isinstance(x, _Batched) and x.trace is self

    def full(self, x: Any) -> Any:
        """With the axis of samples; a constant is repeated."""
        return x.values if self.owns(x) else _one_more_axis(x, self.size)

    def apply(self, name: str, inputs: Sequence[Any], params: dict[str, Any]) -> _Batched:
        x = inputs[0]
        match name:
            case "reduce_sum":
                y = _apply(name, x.values, axes=tuple(axis + 1 for axis in params["axes"]))
            case "transpose":
                y = _apply(name, x.values, axes=(0, *(axis + 1 for axis in params["axes"])))
            case "broadcast_in_dim":
                axes = (0, *(axis + 1 for axis in params["axes"]))
                y = _apply(name, x.values, shape=(self.size, *params["shape"]), axes=axes)
            case "einsum":  # a letter more, where there are samples; what is the same for all is not repeated
                _, operands, out = _einsum_sizes(inputs, params["spec"])
                new = next(letter for letter in string.ascii_uppercase if letter not in params["spec"])
                words = [new + word if self.owns(v) else word for v, word in zip(inputs, operands, strict=True)]
                values = [v.values if self.owns(v) else v for v in inputs]
                y = _apply(name, *values, spec=f"{words[0]},{words[1]}->{new}{out}")
            case _:
                y = _apply(name, *map(self.full, inputs))
        return _Batched(self, y)


def _one_more_axis(x: Any, n: int) -> Any:
    """n times x, along a new first axis."""
    axes = tuple(range(1, len(x.shape) + 1))
    return _apply("broadcast_in_dim", x, shape=(n, *x.shape), axes=axes)


def vmap(f: Function, in_axes: int | tuple[int | None, ...] | None = 0) -> Function:
    """The function that applies f to each sample, all at once.

    Args:
        f: a pure function of one sample.
        in_axes: along which axis each argument's samples lie; None for an argument that is the same for all. One for
            all arguments, or a tuple with one for each. It holds for all arrays in an argument.

    Returns:
        A function whose results have the samples along their first axis.

    Raises:
        ValueError: when called: not one axis for each argument, an argument without that axis, axes of different
            sizes, or no axis at all.
    """

    def run(*arguments: Tree) -> Tree:
        axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(arguments)
        if len(axes) != len(arguments):
            raise ValueError(f"in_axes must have an entry for each of {len(arguments)} arguments, got {in_axes}")
        values, form = _flatten(arguments)
        of_leaf = [axis for x, axis in zip(arguments, axes, strict=True) for _ in _flatten(x)[0]]
        first = [x if axis is None else _to_front(x, axis) for x, axis in zip(values, of_leaf, strict=True)]
        sizes = {x.shape[0] for x, axis in zip(first, of_leaf, strict=True) if axis is not None}
        if len(sizes) != 1:
            raise ValueError(f"vmap takes axes of one size, got {sorted(sizes) or 'none that is not None'}")
        with _running(_Batching(sizes.pop())) as trace:
            inputs = [x if axis is None else _Batched(trace, x) for x, axis in zip(first, of_leaf, strict=True)]
            outputs, out_form = _flatten(f(*_unflatten(form, inputs)))
            results = [trace.full(y) for y in outputs]
        return _unflatten(out_form, results)

    return run


def _to_front(x: Any, axis: int) -> Any:
    """x with this axis first, the others in their order."""
    axis = _axis(axis, x.shape)
    order = (axis, *(other for other in range(len(x.shape)) if other != axis))
    return x if axis == 0 else _apply("transpose", x, axes=order)


# Whole derivatives, from the parts


def jacfwd(f: Function) -> Function:
    """The function that gives the Jacobian of f, column by column in forward mode: one jvp for each input, batched.

    The argument is a vector of n numbers; an f with m outputs gives m × n, an f with one output n numbers.

    Raises:
        ValueError: when called: the argument is no vector, or the value neither a vector nor a number.
    """

    def run(x: Any) -> Any:
        x = _checked_vector(x)
        columns = vmap(lambda t: _checked_output(jvp(f, (x,), (t,))[1]))(_identity(x.shape[0]))
        return _to_front(columns, len(columns.shape) - 1)  # n × m to m × n

    return run


def jacrev(f: Function) -> Function:
    """The function that gives the Jacobian of f, row by row in reverse mode: one vjp for each output, batched.

    Argument, result and errors are those of `jacfwd`.
    """

    def run(x: Any) -> Any:
        y, pull_back = vjp(f, _checked_vector(x))
        if _checked_output(y).shape == ():
            return pull_back(1.0)[0]
        return vmap(lambda c: pull_back(c)[0])(_identity(y.shape[0]))

    return run


def hessian(f: Function) -> Function:
    """The function that gives the matrix of second derivatives of f, n × n: forward over reverse.

    Raises:
        ValueError: when called: the argument is no vector, or the value is not one number.
    """
    return jacfwd(grad(f))


def _checked_vector(x: Any) -> Any:  # given
    """An array with one axis."""
    x = array(x)
    if len(x.shape) != 1:
        raise ValueError(f"the argument must be a vector, got the shape {x.shape}")
    return x


def _checked_output(y: Any) -> Any:  # given
    """An array with one axis, or a number."""
    if not isinstance(y, _Value) or len(y.shape) > 1:
        raise ValueError(f"the value must be a vector or a number, got {y!r}")
    return y


def _identity(n: int) -> _Array:  # given
    """Ones on the diagonal."""
    return _Array([float(i == j) for i in range(n) for j in range(n)], (n, n))


# jit: record once, tidy up, run many times


def jit(f: Function) -> Function:
    """f, recorded at the first call with arguments of this form, these shapes and dtypes; then the record runs, not f.

    Raises:
        ValueError: when called: Python's if, while, bool or float asked for a traced value.
    """
    programs: dict[Any, tuple[_Program, Any]] = {}

    def run(*arguments: Tree) -> Tree:
        values, form = _flatten(arguments)
        key = form, tuple((x.shape, x.dtype) for x in values)
        if key not in programs:
            program, out_form = _record(f, form, values)
            programs[key] = _without_dead_code(_without_repetitions(program)), out_form
        program, out_form = programs[key]
        return _unflatten(out_form, _run(program, values))

    return run


def _without_repetitions(program: _Program) -> _Program:
    """Common-subexpression elimination: a step that repeats an earlier one gives way to it."""
    earlier: dict[Any, _Variable] = {}
    same: dict[int, _Variable] = {}
    steps = []
    for step in program.steps:
        inputs = [same.get(id(x), x) for x in step.inputs]
        key = step.name, tuple(map(_key, inputs)), tuple(step.params.items())
        if key in earlier:
            same[id(step.output)] = earlier[key]
        else:
            earlier[key] = step.output
            steps.append(_Step(step.output, step.name, inputs, step.params))
    return _Program(program.inputs, steps, [same.get(id(x), x) for x in program.outputs])


def _key(x: Any) -> Any:  # given
    """Equal for two variables that are one, and for two arrays whose numbers have the same bits."""
    return (x.shape, x.dtype, struct.pack(f"{len(x.data)}d", *x.data)) if isinstance(x, _Array) else id(x)


def _without_dead_code(program: _Program) -> _Program:
    """Dead-code elimination: from the outputs backwards, only the steps that something needs."""
    needed = {id(x) for x in program.outputs}
    steps = []
    for step in reversed(program.steps):
        if id(step.output) in needed:
            needed.update(id(x) for x in step.inputs)
            steps.append(step)
    return _Program(program.inputs, steps[::-1], program.outputs)


@dataclass(frozen=True)
class Equation:
    """One line of a jaxpr: output "b:f64[3]", primitive "sin" (with its parameters, if any), inputs ["a"]."""

    output: str
    primitive: str
    inputs: list[str]


@dataclass(frozen=True)
class Jaxpr:
    """A recorded program, to read: inputs with their types, equations in order, outputs (variables or constants)."""

    inputs: list[str]
    equations: list[Equation]
    outputs: list[str]

    def __str__(self) -> str:
        """One line for the inputs, one for each equation, one for the outputs, whose names are separated by spaces."""
        lines = [f"{e.output} = {' '.join([e.primitive, *e.inputs])}" for e in self.equations]
        return "\n  ".join([f"lambda {' '.join(self.inputs)}:", *lines, f"return {' '.join(self.outputs)}"])


def make_jaxpr(f: Function) -> Function:
    """The function that gives f's program for arguments of these shapes, as it was recorded.

    Variables are a, b, …, z, ba, … in the order in which they appear, inputs first, each with a type such as f64[2,3];
    a constant is its `tolist()` as text, a tracer of an outer transform is "outer".
    """

    def run(*arguments: Tree) -> Jaxpr:
        values, form = _flatten(arguments)
        program, _ = _record(f, form, values)
        variables = [*program.inputs, *(step.output for step in program.steps)]
        names = {id(x): _name(i) for i, x in enumerate(variables)}

        def typed(x: _Variable) -> str:
            return f"{names[id(x)]}:{x.dtype}[{','.join(map(str, x.shape))}]"

        def text(x: Any) -> str:
            return names.get(id(x)) or (str(x.tolist()) if isinstance(x, _Array) else "outer")

        return Jaxpr(
            [typed(x) for x in program.inputs],
            [Equation(typed(s.output), _with_params(s), [text(x) for x in s.inputs]) for s in program.steps],
            [text(x) for x in program.outputs],
        )

    return run


def _with_params(step: Any) -> str:  # given
    """The name of the primitive, and its parameters."""
    params = " ".join(f"{key}={value}".replace(" ", "") for key, value in step.params.items())
    return f"{step.name}[{params}]" if params else step.name


def _name(i: int) -> str:  # given
    """a, b, …, z, ba, bb, …"""
    return (_name(i // 26) if i >= 26 else "") + string.ascii_lowercase[i % 26]


if __name__ == "__main__":

    def by_hand(x: Any, y: Any) -> Any:
        return (x + y) * y

    print(make_jaxpr(by_hand)(2.0, 3.0))
    print(*(derivative.tolist() for derivative in vjp(by_hand, 2.0, 3.0)[1](1.0)))
