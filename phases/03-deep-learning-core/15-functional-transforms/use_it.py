"""The same language and transforms on JAX, in float64."""

import string
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)  # JAX computes in float32 unless told, whatever you hand it

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

Function = Callable[..., Any]
Tree = Any


@contextmanager
def _value_errors() -> Iterator[None]:
    """JAX refuses shapes, branches on tracers and values that are no number with TypeErrors; here, ValueErrors."""
    try:
        yield
    except TypeError as error:
        raise ValueError(str(error)) from error


def array(data: Any) -> Any:
    """jnp.asarray in float64, which alone would make NaN of None, 1.0 of "1" and an array of nothing of []."""
    if isinstance(data, jax.Array):
        return data
    leaves = jax.tree.leaves(data, is_leaf=lambda x: not isinstance(x, list | tuple))
    if not leaves or not all(isinstance(x, int | float) for x in leaves):
        raise ValueError(f"array takes a number or nested lists of numbers, got {data!r}")
    return jnp.asarray(data, dtype=jnp.float64)  # refuses lists of different lengths


def _arrays(tree: Tree) -> Any:
    """The tree with its numbers as float64. JAX would keep an int, and refuse to differentiate by it."""
    return jax.tree.map(array, tree, is_leaf=lambda x: x is None)


def sin(x: Any) -> Any:
    return _called(jnp.sin, x)


def cos(x: Any) -> Any:
    return _called(jnp.cos, x)


def exp(x: Any) -> Any:
    return _called(jnp.exp, x)


def log(x: Any) -> Any:
    return _called(jnp.log, x)


def tanh(x: Any) -> Any:
    return _called(jnp.tanh, x)


def maximum(a: Any, b: Any) -> Any:
    """At a tie each has half of the derivative."""
    return _called(jnp.maximum, a, b)


def where(condition: Any, a: Any, b: Any) -> Any:
    """jnp.where takes numbers as conditions, too; here they are refused."""
    if array(condition).dtype != bool:
        raise ValueError("where takes a comparison such as x > 0 as its condition, got numbers")
    return _called(jnp.where, condition, a, b)


def dot(a: Any, b: Any) -> Any:
    """jnp.dot multiplies by single numbers, too, and has rules for more axes; here they are refused."""
    a, b = array(a), array(b)
    if not {a.ndim, b.ndim} <= {1, 2}:
        raise ValueError(f"dot takes vectors and matrices, got the shapes {a.shape} and {b.shape}")
    return _called(jnp.dot, a, b)


def sum(x: Any, axis: int | None = None) -> Any:
    """jnp.sum, which would count booleans in integers."""
    return _called(lambda x: jnp.sum(x, axis, dtype=jnp.float64), x)


def _called(function: Function, *values: Any) -> Any:
    with _value_errors():
        return function(*map(array, values))


def jvp(f: Function, primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, Tree]:
    """jax.jvp."""
    with _value_errors():
        return jax.jvp(f, _arrays(tuple(primals)), _arrays(tuple(tangents)))


def vjp(f: Function, *primals: Tree) -> tuple[Tree, Function]:
    """jax.vjp; torch.func.vjp is the same."""
    with _value_errors():
        value, pull_back = jax.vjp(f, *_arrays(primals))

    def pull(cotangent: Tree) -> tuple[Tree, ...]:
        with _value_errors():
            return pull_back(_arrays(cotangent))

    return value, pull


def value_and_grad(f: Function, argnums: int = 0) -> Function:
    """jax.value_and_grad. (torch.func has grad_and_value, the other way round.)"""
    return _transformed(jax.value_and_grad(f, _not_negative(argnums)))


def grad(f: Function, argnums: int = 0) -> Function:
    """jax.grad."""
    return _transformed(jax.grad(f, _not_negative(argnums)))


def vmap(f: Function, in_axes: int | tuple[int | None, ...] | None = 0) -> Function:
    """jax.vmap, with the default out_axes=0."""
    return _transformed(jax.vmap(f, in_axes))


def jacfwd(f: Function) -> Function:
    """jax.jacfwd, which takes any shape; here a vector."""
    return _of_vector(f, jax.jacfwd(f))


def jacrev(f: Function) -> Function:
    """jax.jacrev, which takes any shape; here a vector."""
    return _of_vector(f, jax.jacrev(f))


def hessian(f: Function) -> Function:
    """jax.hessian, which takes values of any shape; here one number, as everywhere in optimization."""
    return _of_vector(f, jax.hessian(f), max_rank=0)


def jit(f: Function) -> Function:
    """jax.jit. It compiles for the shapes and types it meets, and is asked once: its cache goes with the function."""
    return _transformed(jax.jit(f))


def _transformed(function: Function) -> Function:
    """The function that JAX made, on float64 and with ValueErrors."""

    def run(*arguments: Tree) -> Tree:
        with _value_errors():
            return function(*_arrays(arguments))

    return run


def _not_negative(argnums: int) -> int:
    """JAX counts a negative argnums from the last; here it is refused."""
    if argnums < 0:
        raise ValueError(f"argnums must be the number of an argument, got {argnums}")
    return argnums


def _of_vector(f: Function, derivative: Function, max_rank: int = 1) -> Function:
    """The derivative, where f is a function of a vector and its value one array of at most so many axes."""

    def run(x: Any) -> Any:
        x = array(x)
        if x.ndim != 1:
            raise ValueError(f"the argument must be a vector, got the shape {x.shape}")
        with _value_errors():
            y = jax.eval_shape(f, x)  # traced, not computed
            if not isinstance(y, jax.ShapeDtypeStruct) or y.ndim > max_rank:
                raise ValueError(f"the value must be one array of at most {max_rank} axes, got {y!r}")
            return derivative(x)

    return run


@dataclass(frozen=True)
class Equation:
    """One line of a jaxpr: "b:f64[3]", "sin", ["a"]."""

    output: str
    primitive: str
    inputs: list[str]


@dataclass(frozen=True)
class Jaxpr:
    """What jax.make_jaxpr returns, as plain text."""

    inputs: list[str]
    equations: list[Equation]
    outputs: list[str]

    def __str__(self) -> str:
        lines = [f"{e.output} = {' '.join([e.primitive, *e.inputs])}" for e in self.equations]
        return "\n  ".join([f"lambda {' '.join(self.inputs)}:", *lines, f"return {' '.join(self.outputs)}"])


def make_jaxpr(f: Function) -> Function:
    """jax.make_jaxpr, with functions that JAX keeps apart (jnp.where, a jit inside) written out in their place."""

    def run(*arguments: Tree) -> Jaxpr:
        with _value_errors():
            closed = jax.make_jaxpr(f)(*_arrays(arguments))
        names = _Names()
        inputs = [names.new(variable) for variable in closed.jaxpr.invars]
        names.known |= {v: str(c.tolist()) for v, c in zip(closed.jaxpr.constvars, closed.consts, strict=True)}
        equations = list(_equations(closed.jaxpr, names))
        return Jaxpr(inputs, equations, [names.of(v) for v in closed.jaxpr.outvars])

    return run


class _Names:
    """a, b, …, z, ba, … for variables, in the order in which they come."""

    def __init__(self) -> None:
        self.known: dict[Any, str] = {}
        self.count = 0

    def new(self, variable: Any) -> str:
        name, i = string.ascii_lowercase[self.count % 26], self.count // 26
        while i:
            name, i = string.ascii_lowercase[i % 26] + name, i // 26
        self.known[variable] = name
        self.count += 1
        short = {"float64": "f64"}.get(str(variable.aval.dtype), str(variable.aval.dtype))
        return f"{name}:{short}[{','.join(map(str, variable.aval.shape))}]"

    def of(self, atom: Any) -> str:
        return str(atom.val) if hasattr(atom, "val") else self.known[atom]


def _equations(jaxpr: Any, names: _Names) -> Iterator[Equation]:
    for equation in jaxpr.eqns:
        inputs = [names.of(atom) for atom in equation.invars]
        if equation.primitive.name == "jit":
            inner = equation.params["jaxpr"]
            names.known |= dict(zip(inner.jaxpr.invars, inputs, strict=True))
            yield from _equations(inner.jaxpr, names)
            outputs = zip(equation.outvars, inner.jaxpr.outvars, strict=True)
            names.known |= {outer: names.of(atom) for outer, atom in outputs}
        else:
            yield Equation(names.new(equation.outvars[0]), equation.primitive.name, inputs)
