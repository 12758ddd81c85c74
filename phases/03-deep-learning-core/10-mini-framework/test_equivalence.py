"""The proof: the same program on build_it and on torch gives the same values, gradients, steps and files."""

import copy
import gc
import importlib.util
import json
import math
import pickle
import runpy
import struct
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.data import load
from shared.proof import assert_equivalent, assert_same_error, examples, numerical_gradient
from shared.proof.strategies import seeds, sizes


def numbers(rng, shape, low=-2.0, high=2.0):
    """Nested lists of random numbers; never closer to 0 than 1/64, where |x| and relu have their kink."""
    if shape:
        return [numbers(rng, shape[1:], low, high) for _ in range(shape[0])]
    return round(rng.uniform(low, high) * 64) / 64 or 0.125


def differentiate(twin, program, inputs, seed):
    """Run `program` on leaves with the values `inputs`, and send a random gradient back through it."""
    leaves = [twin.tensor(values, requires_grad=True) for values in inputs]
    out = program(twin, *leaves)
    result = {"shape": list(out.shape), "value": out.tolist()}
    out.backward(twin.tensor(numbers(Random(seed), out.shape)))
    for i, leaf in enumerate(leaves):
        result[f"gradient of input {i}"] = None if leaf.grad is None else leaf.grad.tolist()
    return result


def flat(values):
    return [v for item in values for v in flat(item)] if isinstance(values, list) else [values]


def prove(build_it, use_it, program, inputs, *, seed=0, witness=True):
    """Values and gradients agree with torch; gradients also with finite differences."""
    built = differentiate(build_it, program, inputs, seed)
    assert_equivalent(built, differentiate(use_it, program, inputs, seed))
    if not witness:
        return
    upstream = flat(numbers(Random(seed), built["shape"]))

    def quantity(values):
        out = program(build_it, *map(build_it.tensor, values))
        return sum(map(float.__mul__, upstream, flat(out.tolist())))

    third = numerical_gradient(quantity, inputs)
    gradients = [built[f"gradient of input {i}"] for i in range(len(inputs))]
    # central differences with h = 1e-6 are good to about 1e-9 where values are near 1
    assert_equivalent(gradients, third, rtol=1e-5, atol=1e-7, names=("build_it", "finite differences"))


# --- every operation, one at a time -------------------------------------------------------------------------------

OPERATIONS = {
    "add": (lambda twin, a, b: a + b, (2, 3), (2, 3)),
    "add, broadcast": (lambda twin, a, b: a + b, (2, 1, 3), (4, 1)),
    "add, to itself": (lambda twin, a: a + a, (3,)),
    "add, number": (lambda twin, a: (a + 2) + (3 + a * 2.5), (2, 2)),
    "radd": (lambda twin, a: 3 + a, (2,)),
    "sub": (lambda twin, a, b: a - b, (2, 3), (2, 3)),
    "sub, broadcast": (lambda twin, a, b: a - b, (3,), (2, 3)),
    "sub, number": (lambda twin, a: (a - 2) * (3 - a), (2, 2)),
    "mul": (lambda twin, a, b: a * b, (2, 3), (2, 3)),
    "mul, broadcast": (lambda twin, a, b: a * b, (3, 1), (1, 4)),
    "mul, by itself": (lambda twin, a: a * a, (3,)),
    "rmul": (lambda twin, a: 3 * a, (2,)),
    "mul, number by 0-d": (lambda twin, a: 3 * a, ()),
    "truediv": (lambda twin, a, b: a / b, (2, 3), (2, 3)),
    "truediv, broadcast": (lambda twin, a, b: a / b, (2, 3), (1,)),
    "truediv, number": (lambda twin, a: a / 4 + 2 / a, (3,)),
    "neg": (lambda twin, a: -a, (2, 2)),
    "pow": (lambda twin, a: a**2 + a**3 + a**-1 + a**1 + (a * a) ** 0.5, (4,)),
    "pow 0": (lambda twin, a: a**0, (4,)),
    "exp": (lambda twin, a: a.exp(), (2, 3)),
    "log": (lambda twin, a: (a * a).log(), (2, 3)),
    "sqrt": (lambda twin, a: (a * a).sqrt(), (2, 3)),
    "abs": (lambda twin, a: a.abs(), (2, 3)),
    "relu": (lambda twin, a: a.relu(), (3, 4)),
    "tanh": (lambda twin, a: a.tanh(), (2, 3)),
    "sigmoid": (lambda twin, a: a.sigmoid(), (2, 3)),
    "matmul": (lambda twin, a, b: a @ b, (2, 3), (3, 4)),
    "matmul, one": (lambda twin, a, b: a @ b, (1, 1), (1, 1)),
    "matmul, vectors": (lambda twin, a, b: a @ b, (3,), (3,)),
    "matmul, vector and matrix": (lambda twin, a, b: a @ b, (3,), (3, 2)),
    "matmul, matrix and vector": (lambda twin, a, b: a @ b, (2, 3), (3,)),
    "matmul, vector and batch": (lambda twin, a, b: a @ b, (3,), (4, 3, 2)),
    "matmul, batch and vector": (lambda twin, a, b: a @ b, (4, 2, 3), (3,)),
    "matmul, batches": (lambda twin, a, b: a @ b, (2, 2, 3), (2, 3, 4)),
    "matmul, broadcast": (lambda twin, a, b: a @ b, (2, 1, 2, 3), (3, 3, 2)),
    "matmul, one matrix for a batch": (lambda twin, a, b: a @ b, (2, 3), (2, 3, 2)),
    "matmul, by its own transpose": (lambda twin, a: a @ a.T, (2, 3)),
    "sum": (lambda twin, a: a.sum() * a.sum(), (2, 3)),
    "sum of a number": (lambda twin, a: a.sum(), ()),
    "sum, dim": (lambda twin, a: a.sum(1), (2, 3, 2)),
    "sum, dims": (lambda twin, a: a.sum((0, -1)), (2, 3, 2)),
    "sum, dims, last first": (lambda twin, a: a.sum((2, 0)), (2, 3, 2)),
    "sum, no dims are all": (lambda twin, a: a.sum(()) + a.mean(()) + a.amax(()), (2, 3)),
    "sum, keepdim": (lambda twin, a: a * a.sum((0, -1), keepdim=True), (2, 3, 2)),
    "sum, keepdim, all": (lambda twin, a: a.sum(dim=None, keepdim=True), (2, 3)),
    "mean": (lambda twin, a: a.mean() * a, (2, 3)),
    "mean, dim": (lambda twin, a: a.mean(-2), (2, 3, 2)),
    "mean, keepdim, all": (lambda twin, a: a.mean(dim=None, keepdim=True), (2, 3, 2)),
    "mean, keepdim": (lambda twin, a: a - a.mean(1, True), (2, 3)),
    "amax": (lambda twin, a: a.amax(), (2, 3)),
    "amax, keepdim, all": (lambda twin, a: a.amax(keepdim=True), (2, 3, 2)),
    "amax, keepdim, all dims": (lambda twin, a: a.amax((0, 1, 2), keepdim=True), (2, 3, 2)),
    "amax, keepdim, all, used": (lambda twin, a: a - a.amax((), keepdim=True), (2, 3)),
    "amax, dim": (lambda twin, a: a.amax(1), (2, 3, 2)),
    "amax, dims, last first": (lambda twin, a: a.amax((2, 0)), (2, 3, 2)),
    "amax, dims, keepdim": (lambda twin, a: a - a.amax((0, 2), keepdim=True), (2, 3, 2)),
    "softmax": (lambda twin, a: a.softmax(1), (2, 3)),
    "softmax, one": (lambda twin, a: a.softmax(0), (1,)),
    "softmax, dim": (lambda twin, a: a.softmax(-2), (2, 3, 2)),
    "log_softmax": (lambda twin, a: a.log_softmax(-1), (2, 3)),
    "log_softmax, dim": (lambda twin, a: a.log_softmax(0), (3, 2, 2)),
    "reshape": (lambda twin, a: a.reshape(3, -1, 2), (2, 6)),
    "reshape, plain": (lambda twin, a: a.reshape(6) * a.reshape(-1), (2, 3)),
    "unsqueeze": (lambda twin, a: a.unsqueeze(0) * a.unsqueeze(-1), (3,)),
    "unsqueeze, inside": (lambda twin, a: a.unsqueeze(1), (2, 3)),
    "squeeze": (lambda twin, a: a.squeeze(1) + a.squeeze(-1).squeeze(-1), (2, 1, 1)),
    "squeeze, nothing": (lambda twin, a: a.squeeze(0), (2, 3)),
    "permute": (lambda twin, a: a.permute(2, 0, 1), (2, 3, 4)),
    "permute, from the end": (lambda twin, a: a.permute(-1, 0, -2), (2, 3, 4)),
    "transpose": (lambda twin, a: a.transpose(0, -1), (2, 3, 4)),
    "T": (lambda twin, a: a.T, (2, 3)),
    "getitem, twice the same": (lambda twin, a: a[[0, 2, 0]], (3, 2)),
    "cat": (lambda twin, a, b: twin.cat([a, b, a]), (2, 3), (1, 3)),
    "cat, one": (lambda twin, a: twin.cat([a], dim=1), (2, 3)),
    "cat, dim": (lambda twin, a, b: twin.cat([a, b], dim=-2), (2, 1, 2), (2, 3, 2)),
    "stack": (lambda twin, a, b: twin.stack([a, b]), (2, 3), (2, 3)),
    "stack, dim": (lambda twin, a, b: twin.stack([a, b, a * b], dim=1), (2, 3), (2, 3)),
    "stack, last": (lambda twin, a, b: twin.stack([a, b], dim=-1), (3,), (3,)),
    "linear": (lambda twin, x, w, b: twin.linear(x, w, b), (4, 3), (2, 3), (2,)),
    "linear, no bias": (lambda twin, x, w: twin.linear(x, w), (4, 3), (2, 3)),
    "linear, one sample": (lambda twin, x, w, b: twin.linear(x, w, bias=b), (3,), (2, 3), (2,)),
    "linear, sequences": (lambda twin, x, w, b: twin.linear(x, w, b), (2, 3, 4), (5, 4), (5,)),
    "cross_entropy": (lambda twin, x: twin.cross_entropy(x, [2, 0, 2, 1]), (4, 3)),
    "cross_entropy, one": (lambda twin, x: twin.cross_entropy(x, [0]), (1, 1)),
    "mse_loss": (lambda twin, x, y: twin.mse_loss(x, y), (2, 3), (2, 3)),
    "detach": (lambda twin, x: x * x.detach(), (3,)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation(build_it, use_it, name):
    program, *shapes = OPERATIONS[name]
    rng = Random(name)
    inputs = [numbers(rng, shape) for shape in shapes]
    prove(build_it, use_it, program, inputs, witness=name != "detach")


def test_gradients_belong_to_the_values_that_were_used(build_it):
    """An optimizer gives a parameter new values; a graph from before keeps the old ones, for every operation."""
    for name, (program, *shapes) in (OPERATIONS | {"log and sqrt": (lambda _, a: a.log() + a.sqrt(), (3,))}).items():
        rng = Random(name)
        leaves = [build_it.Parameter(build_it.tensor(numbers(rng, shape, 0.25))) for shape in shapes]
        out, found = program(build_it, *leaves), []
        sent = build_it.tensor(numbers(rng, out.shape))
        for _ in range(2):
            out.backward(sent)
            found.append([leaf.grad.tolist() for leaf in leaves])
            for leaf in leaves:
                leaf.grad = leaf.detach()
            learner = build_it.SGD(leaves, lr=2.0)
            learner.step()  # every value changes its sign
            learner.zero_grad()
        assert found[0] == found[1], f"{name}: backward reads values that optimizer.step() has replaced"


# --- many operations together -------------------------------------------------------------------------------------

SMOOTH = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / (b * b + 1),
    "with a number": lambda a, b: 1.5 - 2 * a / 3 + 1 / (a * a + 0.5),
    "tanh": lambda a, b: a.tanh(),
    "sigmoid": lambda a, b: a.sigmoid() * b,
    "exp": lambda a, b: (-a * a).exp(),
    "log": lambda a, b: (a * a + 1).log(),
    "sqrt": lambda a, b: (a**2 + 1).sqrt(),
    "sum": lambda a, b: a.sum(0, keepdim=True).tanh(),
    "mean": lambda a, b: b - a.mean(-1, keepdim=True),
    "softmax": lambda a, b: a.softmax(-1),
    "log_softmax": lambda a, b: (a + b).log_softmax(0),
    "transpose": lambda a, b: (a.transpose(0, 1) * 2).transpose(0, 1),
    "reshape": lambda a, b: a.reshape(-1).reshape(*a.shape),
    "getitem": lambda a, b: a[[0] * a.shape[0]] + a[-1],
    "matmul": lambda a, b: ((a.T @ a).tanh().sum(0) * b) if a.shape[1] == b.shape[1] else a * b,
    "unsqueeze": lambda a, b: (a.unsqueeze(0) * b).squeeze(0),
}
KINKED = SMOOTH | {
    "relu": lambda a, b: a.relu(),
    "abs": lambda a, b: (a - b).abs(),
    "amax": lambda a, b: b - a.amax(1, keepdim=True),
}


@st.composite
def graphs(draw, operations):
    """Leaves whose shapes broadcast together, and steps (operation, place of a, place of b): later ones reuse earlier."""
    n, m = draw(sizes(1, 3)), draw(sizes(1, 3))
    shapes = draw(st.lists(st.sampled_from([(n, m), (n, 1), (1, m), (1, 1)]), min_size=1, max_size=3))
    steps = []
    for k in range(draw(st.integers(1, 6))):
        place = st.integers(0, len(shapes) + k - 1)
        steps.append((draw(st.sampled_from(sorted(operations))), draw(place), draw(place)))
    return shapes, steps, draw(seeds())


def run_graph(twin, operations, steps, leaves):
    made = list(leaves)
    for name, i, j in steps:
        made.append(operations[name](made[i], made[j]))
    return made


@examples(60)
@given(graphs(KINKED))
def test_random_graphs(build_it, use_it, graph):
    shapes, steps, seed = graph
    rng = Random(seed)
    inputs = [numbers(rng, shape) for shape in shapes]
    results = []
    for twin in (build_it, use_it):
        leaves = [twin.tensor(values, requires_grad=True) for values in inputs]
        made = run_graph(twin, KINKED, steps, leaves)
        made[-1].backward(twin.tensor(numbers(Random(seed), made[-1].shape)))
        result = {
            f"{k}: {name}": node for k, ((name, _, _), node) in enumerate(zip(steps, made[len(leaves) :], strict=True))
        }
        result |= {f"gradient of leaf {k}": leaf.grad for k, leaf in enumerate(leaves)}
        results.append({key: None if value is None else value.tolist() for key, value in result.items()})
    assert_equivalent(*results)


@examples(12)
@given(graphs(SMOOTH))
def test_random_graphs_and_finite_differences(build_it, use_it, graph):
    shapes, steps, seed = graph
    rng = Random(seed)
    inputs = [numbers(rng, shape, -1, 1) for shape in shapes]

    def every(twin, *leaves):  # all nodes, each weighted at random, in one number
        nodes = enumerate(run_graph(twin, SMOOTH, steps, leaves))
        return sum((node * twin.tensor(numbers(Random(seed + k), node.shape))).sum() for k, node in nodes)

    prove(build_it, use_it, every, inputs, seed=seed)


def test_a_node_used_twice_waits_for_both_gradients(build_it, use_it):
    """The graph that needs a topological order: a is used by b and by c, and c uses b."""
    for twin in (build_it, use_it):
        x = twin.tensor(1.0, requires_grad=True)
        a = 2 * x
        b = 3 * a
        c = a + b
        c.backward()
        assert c.item() == 8.0
        assert x.grad.item() == 8.0  # handling a before b would send on only 1 of the 4 that arrive at a: 2.0


def test_backward_adds_to_grad_and_keeps_nothing_else(build_it, use_it):
    grads = []
    for twin in (build_it, use_it):
        x = twin.tensor([1.0, 2.0], requires_grad=True)
        for _ in range(2):
            (x * x).sum().backward()
        grads.append(x.grad)
    assert_equivalent(*grads)
    x = build_it.tensor([1.0, 2.0], requires_grad=True)
    y = ((x * x) * x).sum()
    y.backward()
    y.backward()  # the gradients of inner nodes from the first time must not come again
    assert x.grad.tolist() == [6.0, 24.0]
    assert y.grad is None  # only leaves keep theirs


def test_a_long_graph_needs_no_recursion_and_leaves_no_cycles(build_it):
    x, z = (build_it.tensor([1.0, -1.0], requires_grad=True) for _ in range(2))
    gc.freeze()  # what is there by now need not be searched
    gc.disable()
    try:
        y = x
        for _ in range(2000):
            y = (y + x) * 0.5
        y = (y.softmax(0).amax() + y @ y + y[[0, 0]].sum() + build_it.cat([y, y]).reshape(2, 2).mean()).exp().sigmoid()
        y.backward()
        assert x.grad.shape == (2,)
        y = z
        for _ in range(60):
            y = y + y  # 2⁶⁰ paths, and each node must be visited once
        y.sum().backward()
        assert z.grad.tolist() == [2.0**60, 2.0**60]
        del x, y, z
        found = gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
    assert not found, (
        f"{found} objects of the graph were reference cycles: does a VJP refer to the tensor that it belongs to, "
        "or a function inside a function to itself?"
    )


def test_copies_are_leaves_of_their_own(build_it, use_it):
    for twin in (build_it, use_it):
        w = twin.Parameter(twin.tensor([1.0, 2.0]))
        v = copy.deepcopy(w)
        assert isinstance(v, twin.Parameter) and v.requires_grad
        (w * 3 + v * 5).sum().backward()
        assert (w.grad.tolist(), v.grad.tolist()) == ([3.0, 3.0], [5.0, 5.0])
        twin.SGD([v], lr=1.0).step()
        assert (w.tolist(), v.tolist()) == ([1.0, 2.0], [-4.0, -3.0])


def test_a_pickled_leaf_is_a_leaf_in_another_process(build_it, monkeypatch):
    """The other process has made fewer tensors: the leaf must not count as younger than what is made from it."""
    leaves = [build_it.tensor([3.0], requires_grad=True) for _ in range(50)]
    pickled = pickle.dumps(leaves[-1])
    spec = importlib.util.spec_from_file_location(build_it.__name__, build_it.__file__)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    monkeypatch.setitem(sys.modules, build_it.__name__, fresh)
    x = pickle.loads(pickled)
    (x * x * x).backward()
    assert x.grad.tolist() == [27.0]


def test_backward_from_a_leaf_and_through_leaves_that_need_none(build_it, use_it):
    results = []
    for twin in (build_it, use_it):
        leaf, fixed = twin.tensor([2.0], requires_grad=True), twin.tensor([3.0])
        leaf.backward()
        product = leaf * fixed
        product.backward()
        assert fixed.grad is None and not fixed.requires_grad and product.requires_grad
        assert not (fixed * fixed).requires_grad and not leaf.detach().requires_grad
        results.append([leaf.grad, leaf.detach()])
    assert_equivalent(*results)


def test_backward_refuses(build_it, use_it):
    for twin, error in ((build_it, ValueError), (use_it, RuntimeError)):
        x = twin.tensor([1.0, 2.0], requires_grad=True)
        for tensor, gradient in (
            (x, None),
            (x.detach(), x),
            (x.detach()[0], None),
            (x * x, twin.tensor([1.0])),
            (x, twin.tensor(1.0)),
        ):
            with pytest.raises(error, match=r"."):
                tensor.backward(gradient)
        assert x.grad is None


def test_no_grad(build_it, use_it):
    for twin in (build_it, use_it):
        x = twin.tensor([1.0], requires_grad=True)
        with twin.no_grad():
            y = x * x
            with twin.no_grad():
                pass
            assert not (x + x).requires_grad
        assert not y.requires_grad and (x * x).requires_grad
        with pytest.raises(ZeroDivisionError), twin.no_grad():
            1 / 0  # noqa: B018
        assert (x * x).requires_grad


# --- making tensors, and looking at them --------------------------------------------------------------------------


@examples(30)
@given(st.lists(sizes(1, 3), max_size=4), seeds())
def test_tensor_and_tolist(build_it, use_it, shape, seed):
    values = numbers(Random(seed), shape)
    results = []
    for twin in (build_it, use_it):
        made = twin.tensor(values)
        assert made.tolist() == values
        assert not made.requires_grad and made.grad is None and twin.tensor(values, requires_grad=True).requires_grad
        results.append([list(made.shape), made.ndim, made, twin.tensor(((1, True), range(2)))])
    assert_equivalent(*results)


def test_a_tensor_is_apart_from_the_list_it_was_made_from(build_it, use_it):
    for twin in (build_it, use_it):
        values = [1.0, 2.0]
        made = twin.tensor(values)
        values[0] = made.tolist()[0] = 5.0
        made.tolist()[1] = 5.0
        assert made.tolist() == [1.0, 2.0]


def test_tensor_refuses(build_it, use_it):
    for data in ([], [[]], [[1.0], []], [[1.0], [1.0, 2.0]], [1.0, [2.0]], [[1.0], 2.0], "1", ["1"], None, [None], {}):
        assert_same_error(lambda twin, data=data: twin.tensor(data), build_it, use_it)


def test_item_and_repr(build_it, use_it):
    for twin, error in ((build_it, ValueError), (use_it, RuntimeError)):
        assert twin.tensor([[1.5]]).item() == twin.tensor(1.5).item() == 1.5
        with pytest.raises(error, match=r"."):
            twin.tensor([1.0, 2.0]).item()
        assert "1.5" in repr(twin.tensor([1.5])) and "requires_grad=True" in repr(twin.tensor(1.5, requires_grad=True))
    again = build_it.tensor([[1.5, -2.0]], requires_grad=True)
    assert eval(repr(again), {"tensor": build_it.tensor}).tolist() == again.tolist()
    assert repr(build_it.tensor(2)) == "tensor(2.0)"


SHAPES_THAT_DO_NOT_FIT = {
    "add": lambda x: x + x.reshape(3, 2),
    "add, longer": lambda x: x[0] + x[0, :2],
    "matmul": lambda x: x @ x,
    "matmul, 1 does not stretch": lambda x: x @ x[:1],
    "matmul, batch": lambda x: x.reshape(2, 3, 1)[[0, 1, 1]] @ x.reshape(2, 1, 3),
    "matmul, number on the right": lambda x: x @ x[0, 0],
    "matmul, number on the left": lambda x: x[0, 0] @ x,
    "reshape": lambda x: x.reshape(4, 2),
    "reshape, remainder": lambda x: x.reshape(4, -1),
    "reshape, twice -1": lambda x: x.reshape(-1, -1),
    "reshape, negative": lambda x: x.reshape(-2, -3),
    "reshape, 0": lambda x: x.reshape(0, -1),
    "reshape, nothing": lambda x: x.reshape(1),
    "permute": lambda x: x.permute(0, 0),
    "permute, too few": lambda x: x.permute(1),
    "sum": lambda x: x.sum((1, -1)),
}


@pytest.mark.parametrize("name", SHAPES_THAT_DO_NOT_FIT)
def test_shapes_that_do_not_fit(build_it, use_it, name):
    for twin, error in ((build_it, ValueError), (use_it, RuntimeError)):
        with pytest.raises(error, match=r"."):
            SHAPES_THAT_DO_NOT_FIT[name](twin.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))


BEYOND = {
    "sum": lambda x: x.sum(2),
    "mean": lambda x: x.mean(-3),
    "amax": lambda x: x.amax((0, 2)),
    "softmax": lambda x: x.softmax(2),
    "log_softmax": lambda x: x.log_softmax(-3),
    "unsqueeze": lambda x: x.unsqueeze(3),
    "squeeze": lambda x: x.squeeze(-3),
    "transpose": lambda x: x.transpose(0, 2),
    "permute": lambda x: x.permute(0, 2),
    "index": lambda x: x[2],
    "negative index": lambda x: x[:, -4],
    "list": lambda x: x[[0, 2]],
    "too many indices": lambda x: x[0, 0, 0],
    "lists of different lengths": lambda x: x[[0, 1], [0, 1, 2]],
    "float": lambda x: x[1.5],
}


@pytest.mark.parametrize("name", BEYOND)
def test_beyond_the_axes(build_it, use_it, name):
    for twin in (build_it, use_it):
        with pytest.raises(IndexError, match=r"."):
            BEYOND[name](twin.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))


def test_operators_refuse_what_is_no_number(build_it, use_it):
    for twin in (build_it, use_it):
        x = twin.tensor([1.0])
        for operation in (lambda x: x + "1", lambda x: "1" * x, lambda x: x - None, lambda x: x ** "2"):
            with pytest.raises(TypeError):
                operation(x)
    with pytest.raises(TypeError):  # torch raises to the power of a tensor; here a number is asked for
        build_it.tensor([1.0]) ** build_it.tensor([1.0])


def test_what_only_build_it_refuses(build_it):
    """Torch has tensors without elements, transposes more axes, indexes with lists apart and stretches a bias."""
    x = build_it.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    for operation in (
        lambda: x[:0],
        lambda: x[0, []],
        lambda: x.T,
        lambda: x[0, 0].T,
        lambda: x[:, ::-1],
        lambda: x[::0],
        lambda: build_it.linear(x, x[0], x[0, :, :1]),
        (x - x).log,
        lambda: (-x) ** 0.5,
    ):
        with pytest.raises(ValueError, match=r"."):
            operation()
    for index in (([0], slice(None), [0]), ([0], None, [0]), True, [True], (..., 0, ...)):
        with pytest.raises(IndexError):
            x[index]
    with pytest.raises(ZeroDivisionError):
        1 / (x - x)
    with pytest.raises(OverflowError):
        (x * 1000).exp()
    zero = build_it.tensor(0.0, requires_grad=True)
    root = zero.sqrt()
    with pytest.raises(ZeroDivisionError):
        root.backward()


# --- indexing -----------------------------------------------------------------------------------------------------


@st.composite
def indices(draw):
    """A shape and an index into it: all kinds of items, with at most one list or two lists side by side."""
    shape = draw(st.lists(sizes(1, 4), min_size=1, max_size=3))
    items, lists = [], None
    for size in shape[: draw(st.integers(1, len(shape)))]:
        integer = st.integers(-size, size - 1)
        kinds = ["int", "slice"] + (["list"] if lists is None or (lists and isinstance(items[-1], list)) else [])
        kind = draw(st.sampled_from(kinds))
        if kind == "list":
            n = draw(st.integers(1, 4)) if lists is None else lists
            items.append(draw(st.lists(integer, min_size=n, max_size=n)))
            lists = n
        elif kind == "int":
            items.append(draw(integer))
        else:
            start = draw(st.integers(0, size - 1))
            items.append(
                slice(
                    draw(st.sampled_from([start, start - size])),
                    draw(st.sampled_from([None, size, 9])),
                    draw(st.sampled_from([None, 1, 2])),
                )
            )
    if draw(st.booleans()) and lists is None:
        items.insert(draw(st.integers(0, len(items))), None)
    if draw(st.booleans()) and not (lists and len(items) < len(shape)):
        items.append(...)
    return shape, items[0] if len(items) == 1 and not isinstance(items[0], list) else tuple(items), draw(seeds())


@examples(80)
@given(indices())
def test_getitem(build_it, use_it, case):
    shape, index, seed = case
    prove(build_it, use_it, lambda twin, x: x[index], [numbers(Random(seed), shape)], seed=seed, witness=False)


def test_getitem_by_known_cases(build_it, use_it):
    for twin in (build_it, use_it):
        x = twin.tensor([[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]])
        assert x[1].tolist() == [10, 11, 12, 13]
        assert x[..., -1].tolist() == [3, 13, 23]
        assert x[1, ..., 2].tolist() == 12
        assert x[1:, ::3].tolist() == [[10, 13], [20, 23]]
        assert x[[2, 0, 2]].tolist() == [[20, 21, 22, 23], [0, 1, 2, 3], [20, 21, 22, 23]]
        assert x[range(3), [3, 0, 3]].tolist() == [3, 10, 23]
        assert x[:, [-1]].tolist() == [[3], [13], [23]]
        assert x[None, :2, 1].tolist() == [[1, 11]]
        assert [row.tolist()[0] for row in x] == [0, 10, 20]


# --- independent truths -------------------------------------------------------------------------------------------


def test_extreme_values_and_ties(build_it, use_it):
    rows = [[1000.0, -1000.0, 0.0], [-1000.0, -1000.0, -1000.0], [1000.0, 1000.0, 999.0], [0.0, 0.0, 0.0]]
    for program in (
        lambda twin, x: x.softmax(1),
        lambda twin, x: x.log_softmax(1),
        lambda twin, x: x.sigmoid(),
        lambda twin, x: x.tanh(),
        lambda twin, x: x.amax(1),
        lambda twin, x: x.amax(),
        lambda twin, x: x.relu() + x.abs(),
        lambda twin, x: twin.cross_entropy(x, [1, 0, 2, 2]),
        lambda twin, x: x**0 + x**2,
    ):
        prove(build_it, use_it, program, [rows], witness=False)
    assert build_it.tensor([1000.0, 0.0]).log_softmax(0).tolist() == [0.0, -1000.0]
    with_nan = [[math.nan, 1.0, 2.0], [1.0, math.nan, 0.0], [-1.0, 2.0, math.nan], [1.0, 3.0, 3.0]]
    for program in (
        lambda twin, x: x.relu(),
        lambda twin, x: twin.ReLU()(x),
        lambda twin, x: x.abs() + x.tanh() + x.sigmoid() + x.exp(),
        lambda twin, x: x.softmax(1) + x.log_softmax(0),
        lambda twin, x: x.sum(1) + x.mean(1) + x.amax(1),
        lambda twin, x: x.amax(0),
        lambda twin, x: x.amax(1, keepdim=True),
        lambda twin, x: x.amax(),
    ):
        prove(build_it, use_it, program, [with_nan], witness=False)  # NaN at the same places, in gradients too
    huge = [[1e200, 1e308, -1e308], [1e200, 1e308, -1e308]]
    for program in (
        lambda twin, x: x * x,
        lambda twin, x: x + x,
        lambda twin, x: x / (x * 0 + 1e-200),
        lambda twin, x: x.sum(0),
        lambda twin, x: (x @ x.T)[0, :1],
    ):
        assert_equivalent(*(program(twin, twin.tensor(huge)).tolist() for twin in (build_it, use_it)))
    prove(build_it, use_it, lambda twin, a, b: a / b, [[1e-200, 1e200], [1e-200, 1e200]], witness=False)
    tied = build_it.tensor([3.0, 1.0, 3.0], requires_grad=True)
    tied.amax().backward()
    assert tied.grad.tolist() == [0.5, 0.0, 0.5]


def test_closed_forms(build_it, use_it):
    for twin in (build_it, use_it):
        for n in (1, 2, 10):  # logits that say nothing cost log n
            zeros = twin.tensor([[0.0] * n] * 3, requires_grad=True)
            loss = twin.cross_entropy(zeros, [0, n - 1, 0])
            assert_equivalent(loss.item(), math.log(n), names=("computed", "log n"))
            loss.backward()  # (softmax - one-hot) / n_samples
            expected = [[(1 / n - (j == t)) / 3 for j in range(n)] for t in (0, n - 1, 0)]
            assert_equivalent(zeros.grad, expected, names=("computed", "(p - y) / n"))
        x = twin.tensor([[1.0, 2.0, 4.0]])
        assert_equivalent(x.softmax(1).sum().item(), 1.0, names=("computed", "one"))
        assert_equivalent(x.softmax(1), (x + 700).softmax(1), names=("softmax", "shifted"))
        assert twin.mse_loss(x, x * 0).item() == 7.0
        assert (x @ x.T).tolist() == [[21.0]]


# --- modules ------------------------------------------------------------------------------------------------------


def network(twin, seed, sizes=(3, 4, 2), activation="Tanh"):
    n_in, n_hidden, n_out = sizes
    rng = Random(seed)
    return twin.Sequential(
        twin.Linear(n_in, n_hidden, rng=rng), getattr(twin, activation)(), twin.Linear(n_hidden, n_out, rng=rng)
    )


def test_a_network_carries_nan_to_its_output(build_it, use_it):
    """Data that are not a number must not come out as an answer: ReLU and Sequential of the sample with NaN."""
    results = []
    for twin in (build_it, use_it):
        out = network(twin, 5, activation="ReLU")(twin.tensor([[1.0, math.nan, 2.0], [1.0, 0.5, 2.0]])).tolist()
        assert all(map(math.isnan, out[0])) and not any(map(math.isnan, out[1]))
        results.append(out)
    assert_equivalent(*results)


@pytest.mark.parametrize("activation", ["ReLU", "Tanh", "Sigmoid"])
def test_modules(build_it, use_it, activation):
    results = []
    for twin in (build_it, use_it):
        model = network(twin, 5, activation=activation)
        x = twin.tensor(numbers(Random(1), (4, 3)), requires_grad=True)
        out = model(x)
        out.backward(twin.tensor(numbers(Random(2), (4, 2))))
        result = dict(model.state_dict()) | {"out": out, "x.grad": x.grad, "forward": model.forward(x)}
        result |= {f"{name}.grad": parameter.grad for name, parameter in model.named_parameters()}
        result |= {f"layer {i}": layer.forward(x) for i, layer in enumerate(model) if i < 2}
        results.append({name: value.tolist() for name, value in result.items()})
        assert [id(p) for p in model.parameters()] == [id(p) for _, p in model.named_parameters()]
        model.zero_grad()
        assert [p.grad for p in model.parameters()] == [None] * 4
    assert_equivalent(*results)


@examples(10)
@given(seeds(), st.tuples(sizes(1, 4), sizes(1, 4)), st.booleans())
def test_linear_draws_its_weights(build_it, use_it, seed, shape, bias):
    n_in, n_out = shape
    results = []
    for twin in (build_it, use_it):
        rng = Random(seed)
        layer = twin.Linear(n_in, n_out, bias, rng=rng)
        assert (layer.bias is None) is not bias and isinstance(layer, twin.Module)
        assert all(p.requires_grad for p in layer.parameters())
        results.append([{k: v.tolist() for k, v in layer.state_dict().items()}, rng.random()])
    assert_equivalent(*results)
    rng, k = Random(seed), n_in**-0.5
    by_hand = [[rng.uniform(-k, k) for _ in range(n_in)] for _ in range(n_out)]
    assert_equivalent(results[0][0]["weight"], by_hand, names=("build_it", "by hand"))


def test_linear_refuses(build_it, use_it):
    for n_in, n_out in ((0, 1), (1, 0), (-1, 1)):
        assert_same_error(lambda twin, n=(n_in, n_out): twin.Linear(*n, rng=Random(0)), build_it, use_it)
    for twin, error in ((build_it, ValueError), (use_it, RuntimeError)):
        weight = twin.tensor([[1.0, 2.0]])
        for arguments in (([1.0], weight), (1.0, weight), ([1.0, 2.0], weight, [1.0, 2.0]), ([[1.0]], weight)):
            x, w, *b = arguments
            with pytest.raises(error, match=r"."):
                twin.linear(twin.tensor(x), w, *map(twin.tensor, b))
    with pytest.raises(ValueError, match=r"."):
        build_it.linear(build_it.tensor([1.0]), build_it.tensor([1.0]))


def custom(twin):
    """A module of one's own: parameters before and after a child, a tied weight, plain attributes."""

    class Scaled(twin.Module):
        def __init__(self):
            super().__init__()
            self.inner = network(twin, 3)
            self.scale = twin.Parameter(twin.tensor([2.0, 3.0]))
            self.frozen = twin.Parameter(twin.tensor([1.0]), requires_grad=False)
            self.tied = self.inner[0]
            self.note, self.constant = "no parameter", twin.tensor([1.0])

        def forward(self, x, offset=0.0):
            return self.inner(x) * self.scale + self.frozen + offset

    return Scaled()


def test_module_of_ones_own(build_it, use_it):
    results = []
    for twin in (build_it, use_it):
        model = custom(twin)
        out = model(twin.tensor([1.0, 2.0, 3.0]), offset=1.0)
        out.backward(twin.tensor([1.0, -0.5]))
        gradients = {
            k: p.grad and p.grad.tolist() if p.grad is None else p.grad.tolist() for k, p in model.named_parameters()
        }
        results.append([out.tolist(), list(model.state_dict()), [n for n, _ in model.named_parameters()], gradients])
        assert model.training is model.inner.training is model.inner[0].training is model.inner[1].training is True
        assert model.eval() is model
        assert model.training is model.inner.training is model.inner[2].training is False
        assert model.train() is model and model.inner[1].training is True
        assert model.train(False).training is False
        assert model.inner[-1] is model.inner[2]
        with pytest.raises(IndexError):
            model.inner[3]
    assert_equivalent(*results)


def test_load_state_dict(build_it, use_it):
    results = []
    for twin in (build_it, use_it):
        one, other = network(twin, 0), network(twin, 1)
        before = one.state_dict()
        weights = list(one.parameters())
        kept = copy.deepcopy(one.state_dict())
        one.load_state_dict(other.state_dict())
        assert all(
            a is b for a, b in zip(weights, one.parameters(), strict=True)
        )  # the same parameters, with new values
        assert before["0.weight"].tolist() == other[0].weight.tolist() != kept["0.weight"].tolist()
        other.load_state_dict(kept)
        results.append([{k: v.tolist() for k, v in model.state_dict().items()} for model in (one, other)])
    assert_equivalent(*results)


@pytest.mark.parametrize("fault", ["missing", "unexpected", "shape", "transposed"])
def test_load_state_dict_refuses(build_it, use_it, fault):
    for twin, error in ((build_it, ValueError), (use_it, RuntimeError)):
        model = network(twin, 0)
        state = dict(network(twin, 1).state_dict())
        if fault == "missing":
            del state["2.bias"]
        elif fault == "unexpected":
            state["2.extra"] = twin.tensor([1.0])
        else:
            state["0.weight"] = twin.tensor([[1.0]]) if fault == "shape" else state["0.weight"].detach().T
        before = [parameter.tolist() for parameter in model.parameters()]
        with pytest.raises(error, match={"missing": "2.bias", "unexpected": "2.extra"}.get(fault, "0.weight")):
            model.load_state_dict(state)
        if twin is build_it:  # all or nothing; torch loads what fits
            after = [parameter.tolist() for parameter in model.parameters()]
            assert after == before, "load_state_dict changed parameters although it refused"


def test_losses_refuse(build_it, use_it):
    for logits, target in (
        ([[1.0, 2.0]], [2]),
        ([[1.0, 2.0]], [-1]),
        ([[1.0, 2.0]], [-100]),
        ([[1.0, 2.0]], [0, 1]),
        ([1.0, 2.0], [0, 1]),
        ([[[1.0, 2.0]]], [0]),
        ([[1.0, 2.0]], [1.0]),
        ([[1.0, 2.0]], [True]),
        ([[1.0, 2.0]], ["1"]),
        ([[1.0, 2.0]], [None]),
    ):
        assert_same_error(
            lambda twin, c=(logits, target): twin.cross_entropy(twin.tensor(c[0]), c[1]), build_it, use_it
        )
    assert_same_error(lambda twin: twin.mse_loss(twin.tensor([1.0]), twin.tensor([[1.0]])), build_it, use_it)


def test_cat_and_stack_refuse(build_it, use_it):
    for twin, error in ((build_it, ValueError), (use_it, (RuntimeError, ValueError))):
        a, b = twin.tensor([[1.0, 2.0]]), twin.tensor([[1.0]])
        for function in (twin.cat, twin.stack):
            for tensors in ([], [a, b], [a, b[0]]):
                with pytest.raises(error, match=r"."):
                    function(tensors)
            with pytest.raises(IndexError):
                function([a], 3)


# --- optimizers ---------------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "SGD": lambda twin, p: twin.SGD(p, lr=0.1),
    "SGD with momentum": lambda twin, p: twin.SGD(p, 0.05, 0.9),
    "SGD with all": lambda twin, p: twin.SGD(p, 0.05, 0.8, weight_decay=0.1),
    "Adam": lambda twin, p: twin.Adam(p),
    "Adam with all": lambda twin, p: twin.Adam(p, lr=0.02, betas=(0.7, 0.95), eps=1e-3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(build_it, use_it, name):
    """Each step on a small problem: a parameter without a gradient in some steps, and a learning rate that changes."""
    results = []
    for twin in (build_it, use_it):
        a = twin.Parameter(twin.tensor([1.0, -2.0]))
        b = twin.Parameter(twin.tensor([[0.5]]))
        fixed = twin.Parameter(twin.tensor([1.0]), requires_grad=False)
        optimizer = OPTIMIZERS[name](twin, iter([a, b, fixed]))
        assert isinstance(optimizer, twin.Optimizer)
        result = {}
        for step in range(1, 8):
            optimizer.zero_grad()
            assert a.grad is b.grad is None
            loss = ((a - 0.25) ** 4).sum() if step % 3 == 2 else (a * b - fixed).abs().sum() + (b * b).sum()
            loss.backward()
            optimizer.step()
            optimizer.param_groups[0]["lr"] *= 0.9
            result[f"step {step}"] = [a.tolist(), b.tolist(), fixed.tolist()]
        results.append(result)
    assert_equivalent(*results)


def test_adam_counts_the_steps_of_each_parameter(build_it, use_it):
    """`late` has its first gradient at step 3, which is its own first step: of length lr, as a first step is."""
    results = []
    for twin in (build_it, use_it):
        early, late = (twin.Parameter(twin.tensor(values)) for values in ([1.0, -2.0], [0.5, 3.0]))
        optimizer, result = twin.Adam([early, late], lr=0.01), {}
        for step in range(1, 7):
            optimizer.zero_grad()
            loss = (early * early).sum() if step < 3 else (early * early * late * late).sum()
            loss.backward()
            optimizer.step()
            result[f"step {step}"] = [early.tolist(), late.tolist()]
        assert result["step 2"][1] == [0.5, 3.0]
        assert_equivalent(result["step 3"][1], [0.49, 2.99], rtol=1e-7, names=("Adam", "by hand"))  # eps / |g| is left
        results.append(result)
    assert_equivalent(*results)


def test_first_steps_by_hand(build_it, use_it):
    for twin in (build_it, use_it):
        # Adam's first step is lr · g / (|g| + eps): its length is lr, whatever the gradient's
        for g in (1e-3, -5.0, 400.0):
            p = twin.Parameter(twin.tensor([1.0]))
            optimizer = twin.Adam([p], lr=0.01)
            (p * g).sum().backward()
            optimizer.step()
            assert_equivalent(p.item(), 1 - 0.01 * g / (abs(g) + 1e-8), names=("Adam", "by hand"))
        p = twin.Parameter(twin.tensor([1.0]))
        optimizer = twin.SGD([p], lr=0.5, momentum=0.5)
        for expected in (0.0, -1.5, -3.25):  # steps of 0.5 · 2, 0.5 · (1 + 2), 0.5 · (1.5 + 2)
            optimizer.zero_grad()
            (2 * p).sum().backward()
            optimizer.step()
            assert p.item() == expected


def test_optimizers_refuse(build_it, use_it):
    for make in (
        lambda twin, p: twin.SGD([], lr=0.1),
        lambda twin, p: twin.SGD(p, lr=-0.1),
        lambda twin, p: twin.SGD(p, lr=0.1, momentum=-0.1),
        lambda twin, p: twin.SGD(p, lr=0.1, weight_decay=-0.1),
        lambda twin, p: twin.Adam([]),
        lambda twin, p: twin.Adam(p, lr=-1.0),
        lambda twin, p: twin.Adam(p, eps=-1.0),
        lambda twin, p: twin.Adam(p, betas=(1.0, 0.9)),
        lambda twin, p: twin.Adam(p, betas=(0.9, -0.1)),
        lambda twin, p: twin.Optimizer([], {"lr": 1.0}),
    ):
        assert_same_error(lambda twin, make=make: make(twin, [twin.Parameter(twin.tensor([1.0]))]), build_it, use_it)
    for twin in (build_it, use_it):
        p = [twin.Parameter(twin.tensor([1.0]))]
        for optimizer in (twin.SGD(p, 0.0, 0.0, weight_decay=0.0), twin.Adam(p, 0.0, (0.0, 0.0), 0.0)):
            assert optimizer.param_groups[0]["lr"] == 0  # 0 is allowed
        assert twin.Optimizer(p, {"rate": 2.0}).param_groups[0]["rate"] == 2.0


# --- training -----------------------------------------------------------------------------------------------------


@examples(30)
@given(sizes(1, 9), sizes(1, 9), seeds())
def test_batches(build_it, use_it, n_samples, batch_size, seed):
    results = []
    for twin in (build_it, use_it):
        rng = Random(seed)
        found = list(twin.batches(n_samples, batch_size, rng))
        assert sorted(i for batch in found for i in batch) == list(range(n_samples))
        assert all(len(batch) == batch_size for batch in found[:-1]) and 1 <= len(found[-1]) <= batch_size
        results.append([found, rng.random()])
    assert_equivalent(*results)


def test_batches_refuses(build_it, use_it):
    for n_samples, batch_size in ((0, 1), (1, 0), (-1, 1), (5, -1)):
        assert_same_error(lambda twin, n=(n_samples, batch_size): twin.batches(*n, Random(0)), build_it, use_it)
    assert next(build_it.batches(1, 1, Random(0))) == [0]
    for twin in (build_it, use_it):  # shuffled when called, not when the first batch is asked for
        rng = Random(0)
        twin.batches(5, 2, rng)
        assert rng.random() != Random(0).random()


DIGITS = load("digits").rows[:200]


@pytest.mark.parametrize("optimizer", ["SGD with momentum", "Adam"])
def test_training_on_digits(build_it, use_it, optimizer):
    """The trajectory: the loss of each of 100 steps, and every parameter after 1, 10 and 100."""
    results = []
    for twin in (build_it, use_it):
        model = network(twin, 7, (64, 12, 10), "ReLU")
        learner = OPTIMIZERS[optimizer](twin, model.parameters())
        X, y = twin.tensor([row[:64] for row in DIGITS]) / 16, [row[64] for row in DIGITS]
        rng, losses, result = Random(1), [], {}
        while len(losses) < 100:
            for batch in twin.batches(len(y), 20, rng):
                learner.zero_grad()
                loss = twin.cross_entropy(model(X[batch]), [y[i] for i in batch])
                loss.backward()
                learner.step()
                losses.append(loss.item())
                if len(losses) in (1, 10, 100):
                    result |= {f"{k} after {len(losses)}": v.tolist() for k, v in model.state_dict().items()}
        results.append({"losses": losses} | result)
        assert losses[-1] < losses[0]
    assert_equivalent(*results)


def test_fit(build_it, use_it):
    X = numbers(Random(0), (7, 2))
    results = []
    for twin in (build_it, use_it):
        for loss, targets in (
            (twin.cross_entropy, [0, 1, 1, 0, 1, 0, 0]),
            (twin.mse_loss, twin.tensor([[a * b, a - b] for a, b in X])),
        ):
            model = network(twin, 2, (2, 3, 2))
            learner = twin.SGD(model.parameters(), lr=0.1, momentum=0.5)
            rng = Random(3)
            losses = twin.fit(model, loss, learner, twin.tensor(X), targets, epochs=2, batch_size=3, rng=rng)
            assert len(losses) == 6
            first = next(twin.batches(7, 3, Random(3)))
            wanted = targets[first] if isinstance(targets, twin.Tensor) else [targets[i] for i in first]
            by_hand = loss(network(twin, 2, (2, 3, 2))(twin.tensor(X)[first]), wanted).item()
            assert_equivalent(losses[0], by_hand, names=("fit", "by hand"))
            nothing = twin.fit(model, loss, learner, twin.tensor(X), targets, epochs=0, batch_size=3, rng=rng)
            assert nothing == []
            results.append([losses, {k: v.tolist() for k, v in model.state_dict().items()}, rng.random()])
    assert_equivalent(results[:2], results[2:])


def test_fit_refuses(build_it, use_it):
    def call(twin, targets):
        model = network(twin, 0)
        rest = {"epochs": 1, "batch_size": 1, "rng": Random(0)}
        return twin.fit(
            model, twin.cross_entropy, twin.SGD(model.parameters(), 0.1), twin.tensor([[1.0] * 3]), targets, **rest
        )

    assert_same_error(lambda twin: call(twin, [0, 1]), build_it, use_it)
    assert_same_error(lambda twin: call(twin, twin.tensor([[0.0], [1.0]])), build_it, use_it)


# --- checkpoints --------------------------------------------------------------------------------------------------


@examples(15)
@given(
    st.dictionaries(st.text('abc.0é"_', min_size=1, max_size=4), st.lists(sizes(1, 3), max_size=3), max_size=4), seeds()
)
def test_files_are_the_same_bytes_and_cross_over(build_it, use_it, tmp_path_factory, shapes, seed):
    values = {name: numbers(Random(f"{seed} {name}"), shape) for name, shape in shapes.items()}
    folder = tmp_path_factory.mktemp("files")
    files = {twin: folder / twin.__name__.rpartition(".")[2] for twin in (build_it, use_it)}
    for twin, file in files.items():
        twin.save_file({name: twin.tensor(v) for name, v in values.items()}, file)
    assert files[build_it].read_bytes() == files[use_it].read_bytes()
    for reader, writer in ((build_it, use_it), (use_it, build_it)):
        loaded = reader.load_file(str(files[writer]))
        assert_equivalent({k: loaded[k].tolist() for k in values}, values, 0, 0, names=("loaded", "saved"))
        assert {k: list(v.shape) for k, v in loaded.items()} == shapes
        assert not any(v.requires_grad for v in loaded.values())


def test_save_file_refuses_the_name_that_the_format_keeps(build_it, use_it, tmp_path):
    name = "__metadata__"
    assert_same_error(lambda twin: twin.save_file({name: twin.tensor(1.0)}, tmp_path / "file"), build_it, use_it)


def test_checkpoints_of_models_cross_over(build_it, use_it, tmp_path):
    x = [[0.5, -1.0, 2.0]]
    for saver, loader, seed in ((build_it, use_it, 4), (use_it, build_it, 5)):
        saved, loaded = network(saver, seed), network(loader, 99)
        file = tmp_path / f"{seed}.safetensors"
        saver.save_file(saved.state_dict(), file)
        loaded.load_state_dict(loader.load_file(file))
        assert_equivalent(loaded(loader.tensor(x)), saved(saver.tensor(x)), names=("loaded", "saved"))
        assert all(p.requires_grad for p in loaded.parameters())


def safetensors(entries, data, metadata=None):
    """A file by the letter of the format, written by neither twin."""
    header = ({"__metadata__": metadata} if metadata else {}) | {
        name: {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)} for name, dtype, shape, offsets in entries
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_files_of_others_can_be_loaded(build_it, use_it, tmp_path):
    file = tmp_path / "other.safetensors"
    data = struct.pack("<d", 0.1) + struct.pack("<3f", 0.1, 2.0, -3.0)
    entries = [("b", "F32", [3, 1], (8, 20)), ("a", "F64", [], (0, 8))]
    file.write_bytes(safetensors(entries, data, {"format": "pt"}))
    results = [{k: t.tolist() for k, t in sorted(twin.load_file(file).items())} for twin in (build_it, use_it)]
    assert_equivalent(*results, 0, 0)
    assert results[0]["a"] == 0.1 and results[0]["b"] == [[0.10000000149011612], [2.0], [-3.0]]


GOOD = safetensors([("a", "F64", [2], (0, 16)), ("b", "F64", [1], (16, 24))], bytes(24))
DAMAGED = {
    "empty": b"",
    "shorter than a length": GOOD[:5],
    "cut in the header": GOOD[:30],
    "cut in the padding": struct.pack("<Q", 8) + b"{}   ",
    "cut in the data": GOOD[:-1],
    "without data": GOOD[:-24],
    "too long": GOOD + b"\0",
    "a length of no sense": b"\xff" * 8 + GOOD[8:],
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "no JSON": GOOD.replace(b"{", b"[", 1),
    "no UTF-8": GOOD.replace(b'"a"', b'"\xff"'),
    "a list": struct.pack("<Q", 2) + b"[]",
    "another dtype": safetensors([("a", "I64", [2], (0, 16))], bytes(16)),
    "an unknown dtype": safetensors([("a", "F63", [2], (0, 16))], bytes(16)),
    "too few bytes for its shape": safetensors([("a", "F64", [3], (0, 16))], bytes(16)),
    "a gap": safetensors([("a", "F64", [1], (8, 16))], bytes(16)),
    "an overlap": safetensors([("a", "F64", [2], (0, 16)), ("b", "F64", [2], (8, 24))], bytes(24)),
    "beyond the end": safetensors([("a", "F64", [2], (0, 16))], bytes(8)),
    "nothing in it": safetensors([("a", "F64", [0], (0, 0))], b""),
    "a negative shape": safetensors([("a", "F64", [-1, -2], (0, 16))], bytes(16)),
    "no shape": GOOD.replace(b'"shape": [2]', b'"shope": [2]'),
    "a shape of true": safetensors([("a", "F64", [True], (0, 8))], bytes(8)),
    "a shape of nothing": safetensors([("a", "F64", "", (0, 8))], bytes(8)),
    "an offset of false": safetensors([("a", "F64", [1], (False, 8))], bytes(8)),
    "a header without end": struct.pack("<Q", 500_000) + b'{"a":' * 100_000,
    "a shape of text": GOOD.replace(b'"shape": [2]', b'"shape": "2"'),
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_load_file_refuses(build_it, use_it, tmp_path, fault):
    file = tmp_path / "damaged.safetensors"
    file.write_bytes(GOOD)
    assert list(build_it.load_file(file)) == ["a", "b"]
    file.write_bytes(DAMAGED[fault])

    def attempt(twin):
        try:
            twin.load_file(file)
        except ValueError as error:
            assert str(file) in str(error)
            raise

    assert_same_error(attempt, build_it, use_it)


def test_load_file_needs_a_file(build_it, use_it, tmp_path):
    for twin in (build_it, use_it):
        with pytest.raises(OSError, match="absent"):
            twin.load_file(tmp_path / "absent")


def test_the_shipped_predictor_computes_what_the_model_does(build_it, use_it, tmp_path):
    predictor = runpy.run_path(str(Path(__file__).with_name("predict.py")))
    config = {"labels": list("0123456789"), "largest": 16, "layers": ["0", "2"]}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for twin in (build_it, use_it):
        model = network(twin, 6, (64, 5, 10), "ReLU")
        twin.save_file(model.state_dict(), tmp_path / "model.safetensors")
        layers, _ = predictor["load"](tmp_path)
        answered = [predictor["probabilities"](layers, row[:64], 16) for row in DIGITS[:3]]
        expected = model(twin.tensor([row[:64] for row in DIGITS[:3]]) / 16).softmax(1)
        assert_equivalent(answered, expected, names=("predict.py", "the model"))
