"""The proof: three cells and whole sequences with every gradient, training, and the model of names."""

import io
import json
import math
import subprocess
import sys
from dataclasses import astuple, replace
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from phases.deep_learning_core.recurrent_networks import names, ship_it

from shared.proof import assert_equivalent, assert_same_error, examples, numerical_gradient
from shared.proof import strategies as some

KINDS = ["rnn_tanh", "rnn_relu", "gru", "lstm"]
N_GATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}
LAYERS = {"rnn_tanh": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
LOG3, NAN, INF = math.log(3), math.nan, math.inf
PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def against(twin, witness):
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


def nested(draw, *shape):
    """Lists of that shape, filled by calls of `draw`."""
    return [nested(draw, *shape[1:]) for _ in range(shape[0])] if shape else draw()


def flat(x):
    return [v for row in x for v in flat(row)] if isinstance(x, list | tuple) else [x]


def dot(a, b):
    return sum(x * y for x, y in zip(flat(a), flat(b), strict=True))


def n_states(kind):
    return 2 if kind == "lstm" else 1


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def torchs_own(kind, values):
    """A layer of torch with these parameters."""
    layer = LAYERS[kind](len(values[0][0]), len(values[1][0]), dtype=torch.float64)
    layer.load_state_dict(dict(zip(layer.state_dict(), map(tensor, values), strict=True)))
    return layer


def parameters_of(twin, values):
    return twin.Parameters(*values)


def named(gradients):
    """In the order of the computation: what a failure names first is nearest to the end of the sequence."""
    found = {part: getattr(gradients.parameters, part) for part in PARTS}
    return {**found, "state": gradients.state, "input": gradients.input}


def random_case(kind, sizes, seed=0, size=1.0):
    """(values of the parameters, x, state, gradients of outputs and of the final state), in eighths.

    `sizes` are n_in, n_hidden, n_steps, n_samples. Eighths have exact sums, so that the sign of a ReLU's sum is no
    matter of rounding.
    """
    (n_in, n_hidden, n_steps, n_samples), rng = sizes, Random(seed)

    def eighths():
        return rng.randint(-12, 12) / 8

    n_rows = N_GATES[kind] * n_hidden
    values = [nested(eighths, *s) for s in ((n_rows, n_in), (n_rows, n_hidden), (n_rows,), (n_rows,))]
    x = nested(lambda: size * eighths(), n_steps, n_samples, n_in)
    state = tuple(nested(lambda: size * eighths(), n_samples, n_hidden) for _ in range(n_states(kind)))
    to_outputs = nested(lambda: rng.uniform(-3, 3), n_steps, n_samples, n_hidden)
    to_state = tuple(nested(lambda: rng.uniform(-3, 3), n_samples, n_hidden) for _ in range(n_states(kind)))
    return values, x, state, to_outputs, to_state


@st.composite
def cases(draw):
    """(kind, random_case)."""
    kind = draw(st.sampled_from(KINDS))
    sizes = [draw(some.sizes(1, 3)) for _ in range(2)] + [draw(some.sizes(1, 4)), draw(some.sizes(1, 3))]
    return kind, random_case(kind, sizes, seed=draw(some.seeds()), size=draw(st.sampled_from([1.0, 1000.0])))


def cell_calls(twin, kind):
    """The two functions of a kind."""
    if kind == "rnn_relu":
        return (
            lambda p, X, state: twin.rnn_cell(p, X, state, "relu"),
            lambda p, X, state, g: twin.rnn_cell_backward(p, X, state, g, "relu"),
        )
    name = "rnn_cell" if kind == "rnn_tanh" else f"{kind}_cell"
    return getattr(twin, name), getattr(twin, f"{name}_backward")


# ---- by hand


def test_two_steps_of_a_scalar_rnn_by_hand(build_it, use_it):
    """The example of the README: h = relu(x + h/2), x = (2, 1); tanh with numbers that make 3/5 and 4/5."""
    by_hand = {
        "outputs": [[[2.0]], [[2.0]]],
        "states": [([[0.0]],), ([[2.0]],), ([[2.0]],)],
        "weight_ih": [[2.0]],
        "weight_hh": [[2.0]],
        "bias_ih": [1.5],
        "bias_hh": [1.5],
        "state": ([[0.25]],),
        "input": [[[0.5]], [[1.0]]],
        "both upstream": [[[2.0]], [[2.0]]],
        "lengths": [2],
        "tanh": [[[0.6]], [[0.8]]],
        "tanh, to x": [[[0.36 * 1.5 * 0.64]], [[0.36]]],
        "tanh, to the state": ([[0.64 * 0.36 * 1.5 * 1.5]],),
        "tanh, to weight_hh": [[0.36 * 0.6]],
    }
    for twin in (build_it, use_it):
        p = twin.Parameters([[1.0]], [[0.5]], [0.0], [0.0])
        trace = twin.forward("rnn_relu", p, [[[2.0]], [[1.0]]])
        found = {"outputs": trace.outputs, "states": trace.states}
        found |= named(twin.backward("rnn_relu", p, trace, [[[0.0]], [[1.0]]]))
        found["both upstream"] = twin.backward("rnn_relu", p, trace, [[[1.0]], [[1.0]]], ([[1.0]],)).input
        found["lengths"] = trace.lengths
        # 0.6 = tanh(log 2), 0.8 = tanh(log 3): the second sum is x₁ + 1.5 · 0.6
        p = twin.Parameters([[1.0]], [[1.5]], [0.25], [-0.25])
        trace = twin.forward("rnn_tanh", p, [[[math.log(2)]], [[LOG3 - 0.9]]])
        back = twin.backward("rnn_tanh", p, trace, None, ([[1.0]],))
        found["tanh"] = trace.outputs
        found |= {"tanh, to x": back.input, "tanh, to the state": back.state}
        found["tanh, to weight_hh"] = back.parameters.weight_hh
        assert_equivalent(found, by_hand, **against(twin, "by hand"))


def test_an_lstm_and_a_gru_by_hand(build_it, use_it):
    """σ(0) = 1/2, σ(±log 3) = 3/4 and 1/4, tanh(log 2) = 3/5, tanh(log 3) = 4/5."""
    zero = [[0.0]] * 4
    c = 2 * LOG3  # f = 1/4 makes LOG3 / 2 of it, and i ⊙ g = 0
    by_hand = {
        # i = 3/4, f = 1/4, g = 0, o = 1/2: c' = c / 4; with c = 4 log 3, h' = tanh(log 3) / 2
        "lstm": ([[0.4]], [[LOG3]]),
        # dL/dc' = 1 · 1/2 · (1 - 16/25) + 1 = 1.18; i: 0, f: 1.18 c 3/16, g: 1.18 · 3/4, o: 4/5 · 1/4
        "lstm, biases": [0.0, 1.18 * 2 * c * 0.1875, 0.885, 0.2],
        "lstm, to c": [[1.18 / 4]],
        # r = 1/4, z = 3/4, n = tanh(log 2): log 2 from x, and 1/4 of (h's sum, 0): h' = 3/5 · 1/4 + 3/4 · 2
        "gru": ([[1.65]],),
        # n: 1/4 · 16/25 = 0.16; z: (2 - 0.6) · 3/16; r: 0.16 · 0 · …
        "gru, bias_ih": [0.0, 0.2625, 0.16],
        "gru, bias_hh": [0.0, 0.2625, 0.04],
        "gru, to h": [[0.75]],
        # the third block of h's sum is 4 · 2 - 8 + 4 b: with b = log 2, r = 1/4 lets log 2 through
        "gru, reset behind the product": ([[1.65]],),
        "gru, r": [0.16 * 4 * math.log(2) * 0.1875, 0.2625, 0.16],
    }
    for twin in (build_it, use_it):
        lstm = twin.Parameters(zero, zero, [LOG3, -LOG3, 0.0, 0.5], [0.0, 0.0, 0.0, -0.5])
        before = ([[7.0]], [[2 * c]])
        found = {"lstm": twin.lstm_cell(lstm, [[5.0]], before)}
        back = twin.lstm_cell_backward(lstm, [[5.0]], before, ([[1.0]], [[1.0]]))
        found |= {"lstm, biases": back.parameters.bias_ih, "lstm, to c": back.state[1]}
        gru = twin.Parameters(zero[:3], zero[:3], [-LOG3, LOG3, math.log(2)], [0.0] * 3)
        found["gru"] = twin.gru_cell(gru, [[5.0]], ([[2.0]],))
        back = twin.gru_cell_backward(gru, [[5.0]], ([[2.0]],), ([[1.0]],))
        found |= {"gru, bias_ih": back.parameters.bias_ih, "gru, bias_hh": back.parameters.bias_hh}
        found["gru, to h"] = back.state[0]
        moved = twin.Parameters(zero[:3], [[0.0], [0.0], [4.0]], [-LOG3, LOG3, 0.0], [0.0, 0.0, 4 * math.log(2) - 8])
        found["gru, reset behind the product"] = twin.gru_cell(moved, [[5.0]], ([[2.0]],))
        back = twin.gru_cell_backward(moved, [[5.0]], ([[2.0]],), ([[1.0]],))
        found["gru, r"] = back.parameters.bias_ih
        assert_equivalent(found, by_hand, **against(twin, "by hand"))


def test_the_order_of_the_blocks(build_it, use_it):
    """All biases are log 2: σ gives 2/3, tanh 3/5; c = h = 1/2. A -1000 in one block says which gate it is."""
    log2 = math.log(2)
    lstm = {  # h' and c' = f c + i g, of which o lets tanh through
        "block 0 must be i": (2 / 3 * math.tanh(1 / 3), 1 / 3),
        "block 1 must be f": (2 / 3 * math.tanh(2 / 5), 2 / 5),
        "block 2 must be g": (2 / 3 * math.tanh(-1 / 3), -1 / 3),
        "block 3 must be o": (0.0, 1 / 3 + 2 / 5),
    }
    gru = {  # h' = (1 - z) n + z h with n = tanh(r log 2)
        "block 0 must be r": (1 / 3,),
        "block 1 must be z": (math.tanh(2 / 3 * log2),),
        "block 2 must be n": (0.0,),
    }
    for twin in (build_it, use_it):
        for cell, cases_of_it in ((twin.lstm_cell, lstm), (twin.gru_cell, gru)):
            n, found = len(cases_of_it), {}
            for k, (name, after) in enumerate(cases_of_it.items()):
                biases = [-1000.0 if j == k else log2 for j in range(n)]
                p = twin.Parameters([[0.0]] * n, [[0.0]] * n, [0.0] * n, biases)
                found[name] = tuple(part[0][0] for part in cell(p, [[1.0]], ([[0.5]],) * len(after)))
            assert_equivalent(found, cases_of_it, **against(twin, "by hand"))


def test_the_state_of_a_sample_that_has_ended(build_it, use_it):
    """The example of the README, its padding a 99: every state keeps a row for each sample."""
    by_hand = {
        "states[1]": ([[2.0], [2.0]],),
        "states[2], sample 1 ended after one step": ([[2.0], [2.0]],),
        "outputs": [[[2.0], [2.0]], [[2.0], [0.0]]],
    }
    for twin in (build_it, use_it):
        p = twin.Parameters([[1.0]], [[0.5]], [0.0], [0.0])
        trace = twin.forward("rnn_relu", p, [[[2.0], [2.0]], [[1.0], [99.0]]], None, [2, 1])
        found = dict(zip(by_hand, (*trace.states[1:], trace.outputs), strict=True))
        assert_equivalent(found, by_hand, **against(twin, "by hand"))


# ---- against torch


@given(cases())
@examples(30)
def test_cells(build_it, use_it, case):
    kind, (values, x, state, _, to_state) = case
    results = []
    for twin in (build_it, use_it):
        cell, cell_backward = cell_calls(twin, kind)
        p = parameters_of(twin, values)
        results.append({"after": cell(p, x[0], state), **named(cell_backward(p, x[0], state, to_state))})
    assert_equivalent(*results)


@given(cases(), st.booleans(), some.seeds())
@examples(45)
def test_sequences(build_it, use_it, case, of_one_length, seed):
    kind, (values, x, state, to_outputs, to_state) = case
    lengths = None
    if not of_one_length:
        lengths = [Random(seed + i).randint(1, len(x)) for i in range(len(x[0]))]
        lengths[seed % len(lengths)] = len(x)
    results = []
    for twin in (build_it, use_it):
        p = parameters_of(twin, values)
        trace = twin.forward(kind, p, x, state, lengths)
        back = twin.backward(kind, p, trace, to_outputs, to_state)
        results.append({"trace": trace, **named(back)})
    assert_equivalent(*results)


def test_what_is_left_out_is_zero(build_it, use_it):
    for kind in KINDS:
        values, x, _, to_outputs, to_state = random_case(kind, (2, 3, 3, 2), seed=1)
        zero = tuple([[0.0] * 3] * 2 for _ in to_state)
        for twin in (build_it, use_it):
            p = parameters_of(twin, values)
            trace = twin.forward(kind, p, x, None, [3, 3])
            found = {
                "state": twin.forward(kind, p, x),
                "to_state": twin.backward(kind, p, trace, to_outputs),
                "to_outputs": twin.backward(kind, p, trace, None, to_state),
                "both": flat(twin.backward(kind, p, trace).input),
            }
            expected = {
                "state": twin.forward(kind, p, x, zero),
                "to_state": twin.backward(kind, p, trace, to_outputs, zero),
                "to_outputs": twin.backward(kind, p, trace, [[[0.0] * 3] * 2] * 3, to_state),
                "both": [0.0] * 12,
            }
            assert_equivalent(found, expected, **against(twin, "with zeros"))


def test_initialize_draws_in_the_stated_order(build_it, use_it):
    for kind, n_gates in N_GATES.items():
        n_rows, rng = 4 * n_gates, Random(7)
        draws = [rng.uniform(-0.5, 0.5) for _ in range(n_rows * (3 + 4 + 2))]  # 1 / √4
        expected = {
            "weight_ih": [draws[3 * k : 3 * k + 3] for k in range(n_rows)],
            "weight_hh": [draws[3 * n_rows + 4 * k : 3 * n_rows + 4 * k + 4] for k in range(n_rows)],
            "bias_ih": draws[7 * n_rows : 8 * n_rows],
            "bias_hh": draws[8 * n_rows :],
        }
        for twin in (build_it, use_it):
            found = twin.initialize(kind, 3, 4, Random(7))
            assert_equivalent(found, expected, **against(twin, "the stated order"))
            assert twin.initialize(kind, 1, 1, Random(0)).weight_ih


def test_initialize_has_the_range_of_torch(build_it):
    """Of 8000 uniform draws the largest is within 1 % of the bound, but for a chance of 1e-35."""
    ours = build_it.initialize("lstm", 9, 36, Random(0))
    torchs = torch.nn.LSTM(9, 36)
    for mine, theirs in zip(astuple(ours)[:2], torchs.parameters(), strict=False):
        assert_equivalent(max(flat(mine)), 1 / 6, rtol=0.01, names=("build_it", "1/√n_hidden"))  # the draws' range
        assert_equivalent(theirs.max().item(), 1 / 6, rtol=0.01, names=("torch", "1/√n_hidden"))  # the same


# ---- other witnesses


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_against_finite_differences(build_it, kind):
    rng = Random(3)
    n_rows = 2 * N_GATES[kind]

    def draw():
        return rng.uniform(-0.8, 0.8)

    values = [nested(draw, *s) for s in ((n_rows, 2), (n_rows, 2), (n_rows,), (n_rows,))]
    x, lengths = nested(draw, 3, 2, 2), [2, 3]
    state = tuple(nested(draw, 2, 2) for _ in range(n_states(kind)))
    to_outputs, to_state = nested(draw, 3, 2, 2), tuple(nested(draw, 2, 2) for _ in state)
    to_outputs[2][0] = [0.0, 0.0]  # that sample has ended

    def loss(values=values, x=x, state=state):
        trace = build_it.forward(kind, build_it.Parameters(*values), x, tuple(state), lengths)
        return dot(to_outputs, trace.outputs) + dot(to_state, trace.states[-1])

    p = build_it.Parameters(*values)
    found = named(build_it.backward(kind, p, build_it.forward(kind, p, x, state, lengths), to_outputs, to_state))
    expected = {
        part: numerical_gradient(lambda v, i=i: loss([*values[:i], v, *values[i + 1 :]]), values[i], step=1e-5)
        for i, part in enumerate(PARTS)
    }
    expected["state"] = tuple(
        numerical_gradient(lambda v, i=i: loss(state=[*state[:i], v, *state[i + 1 :]]), state[i], step=1e-5)
        for i in range(len(state))
    )
    expected["input"] = numerical_gradient(lambda moved: loss(x=moved), x, step=1e-5)
    # the truncation and rounding of central differences
    assert_equivalent(found, expected, rtol=1e-5, atol=1e-7, names=("build_it", "finite differences"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_in_two_pieces(build_it, use_it, kind):
    """With the gradient of the state handed from piece to piece nothing is lost; without, what torch's detach gives."""
    values, x, state, to_outputs, to_state = random_case(kind, (2, 3, 5, 2), seed=2)
    for twin in (build_it, use_it):
        p = parameters_of(twin, values)
        whole = twin.forward(kind, p, x, state)
        first = twin.forward(kind, p, x[:2], state)
        second = twin.forward(kind, p, x[2:], first.states[-1])
        assert_equivalent(first.outputs + second.outputs, whole.outputs, **against(twin, "the whole"))
        back = twin.backward(kind, p, second, to_outputs[2:], to_state)
        handed_on = twin.backward(kind, p, first, to_outputs[:2], back.state)
        expected = twin.backward(kind, p, whole, to_outputs, to_state)
        found = {"input": handed_on.input + back.input, "state": handed_on.state}
        assert_equivalent(found, {"input": expected.input, "state": expected.state}, **against(twin, "the whole"))
        if kind == "rnn_relu":
            continue
        truncated = twin.backward(kind, p, first, to_outputs[:2])
        layer = torchs_own(kind, values)
        total, carried = 0.0, tuple(tensor([part]) for part in state)
        for piece, g in ((x[:2], to_outputs[:2]), (x[2:], to_outputs[2:])):
            carried = tuple(part.detach() for part in carried)
            outputs, carried = layer(tensor(piece), carried if kind == "lstm" else carried[0])
            carried = carried if kind == "lstm" else (carried,)
            total = total + (outputs * tensor(g)).sum()
        total = total + sum((part[0] * tensor(g)).sum() for part, g in zip(carried, to_state, strict=True))
        total.backward()
        for part, leaf in zip(PARTS, layer.parameters(), strict=True):
            sums = [a + b for a, b in zip(*(flat(getattr(g.parameters, part)) for g in (truncated, back)), strict=True)]
            assert_equivalent(sums, leaf.grad.flatten(), **against(twin, f"torch's detach, {part}"))
            full = flat(getattr(expected.parameters, part))
            assert max(abs(a - b) for a, b in zip(sums, full, strict=True)) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_each_sample_by_itself(build_it, use_it, kind):
    """A batch is its samples, and what stands behind a sample's end has no effect, whatever its gradient."""
    values, x, state, to_outputs, to_state = random_case(kind, (2, 2, 4, 3), seed=4)
    lengths = [2, 4, 1]
    for twin in (build_it, use_it):
        p = parameters_of(twin, values)
        whole = twin.forward(kind, p, x, state, lengths)
        back = twin.backward(kind, p, whole, to_outputs, to_state)
        total = [0.0] * len(flat(astuple(p)))
        for i, n in enumerate(lengths):
            before = tuple([part[i]] for part in state)
            alone = twin.forward(kind, p, [[X[i]] for X in x[:n]], before)
            g = twin.backward(kind, p, alone, [[G[i]] for G in to_outputs[:n]], tuple([part[i]] for part in to_state))
            found = {
                "outputs": [X[i] for X in whole.outputs],
                "final": [part[i] for part in whole.states[-1]],
                "state": [part[i] for part in back.state],
                "input": [X[i] for X in back.input],
            }
            rest = [[0.0, 0.0]] * (4 - n)
            expected = {
                "outputs": [X[0] for X in alone.outputs] + rest,
                "final": [part[0] for part in alone.states[-1]],
                "state": [part[0] for part in g.state],
                "input": [X[0] for X in g.input] + rest,
            }
            assert_equivalent(found, expected, **against(twin, "the sample alone"))
            total = [a + b for a, b in zip(total, flat(astuple(g.parameters)), strict=True)]
        assert_equivalent(flat(astuple(back.parameters)), total, **against(twin, "the sum over samples"))


@pytest.mark.parametrize("kind", KINDS)
def test_two_biases(build_it, use_it, kind):
    """Moving a number from one bias to the other changes nothing, except in the third block of a GRU."""
    values, x, state, to_outputs, to_state = random_case(kind, (2, 2, 3, 2), seed=5)
    for twin in (build_it, use_it):
        p = parameters_of(twin, values)
        outputs = flat(twin.forward(kind, p, x, state).outputs)
        back = twin.backward(kind, p, twin.forward(kind, p, x, state), to_outputs, to_state).parameters
        for k in range(len(p.bias_ih)):
            delta = [0.5 * (j == k) for j in range(len(p.bias_ih))]
            moved = replace(
                p,
                bias_ih=[b + d for b, d in zip(p.bias_ih, delta, strict=True)],
                bias_hh=[b - d for b, d in zip(p.bias_hh, delta, strict=True)],
            )
            apart = [a - b for a, b in zip(outputs, flat(twin.forward(kind, moved, x, state).outputs), strict=True)]
            differ = max(map(abs, apart)), abs(back.bias_ih[k] - back.bias_hh[k])
            assert_equivalent([d > 1e-3 for d in differ], [kind == "gru" and k >= 4] * 2, **against(twin, "by hand"))


def test_gates_that_are_open_or_shut(build_it, use_it):
    """±1000 decides a gate without overflow: an LSTM keeps c for ever, a GRU keeps h, and no gradient is lost."""
    X, up = [[[0.3]], [[-900.0]], [[1000.0]]], [[3.0]]
    for twin in (build_it, use_it):
        keep = twin.Parameters([[0.0]] * 4, [[0.0]] * 4, [-1000.0, 1000.0, 0.5, 1000.0], [0.0] * 4)
        trace = twin.forward("lstm", keep, X, ([[0.0]], [[0.25]]))
        found = {
            "c is kept": trace.states[-1][1],
            "its gradient is kept": twin.backward("lstm", keep, trace, None, ([[0.0]], up)).state,
        }
        shut = replace(keep, bias_ih=[-1000.0, -1000.0, 0.5, -1000.0])
        after = twin.lstm_cell(shut, [[1.0]], ([[9.0]], [[9.0]]))
        back = twin.lstm_cell_backward(shut, [[1.0]], ([[9.0]], [[9.0]]), (up, up))
        found |= {"shut": after, "shut, gradients": (back.state, back.input)}
        write = replace(keep, bias_ih=[1000.0, -1000.0, math.log(2), 1000.0])
        found["only i and g"] = twin.lstm_cell(write, [[1.0]], ([[9.0]], [[9.0]]))[1]
        gru = twin.Parameters([[0.0]] * 3, [[0.0]] * 3, [1000.0, 1000.0, 0.5], [0.0] * 3)
        trace = twin.forward("gru", gru, X, ([[0.25]],))
        found |= {"h is kept": trace.outputs, "and its gradient": twin.backward("gru", gru, trace, None, (up,)).state}
        new = replace(gru, bias_ih=[-1000.0, -1000.0, math.log(2)], bias_hh=[0.0, 0.0, 77.0])
        found["only n, reset"] = twin.gru_cell(new, [[1.0]], ([[9.0]],))
        rnn = twin.Parameters([[1000.0]], [[1.0]], [0.0], [0.0])
        back = twin.rnn_cell_backward(rnn, [[1.0]], ([[0.0]],), (up,))
        found["rnn saturated"] = (twin.rnn_cell(rnn, [[-1.0]], ([[0.0]],)), back.input, back.state)
        relu = twin.rnn_cell_backward(rnn, [[0.0]], ([[0.0]],), (up,), "relu")
        found["relu at 0"] = (relu.input, relu.state)
        expected = {
            "c is kept": [[0.25]],
            "its gradient is kept": ([[0.0]], up),
            "shut": ([[0.0]], [[0.0]]),
            "shut, gradients": (([[0.0]], [[0.0]]), [[0.0]]),
            "only i and g": [[0.6]],
            "h is kept": [[[0.25]]] * 3,
            "and its gradient": (up,),
            "only n, reset": ([[0.6]],),
            "rnn saturated": (([[-1.0]],), [[0.0]], ([[0.0]],)),
            "relu at 0": ([[0.0]], ([[0.0]],)),
        }
        assert_equivalent(found, expected, **against(twin, "by hand"))


def test_nan_in_a_state_is_not_hidden(build_it, use_it):
    """A run that diverged must show it; only x is refused."""
    for twin in (build_it, use_it):
        for kind in KINDS:
            values, x, *_ = random_case(kind, (1, 1, 2, 1))
            p = parameters_of(twin, [[[1.0]] * N_GATES[kind], [[1.0]] * N_GATES[kind], *values[2:]])
            trace = twin.forward(kind, p, x, ([[NAN]],) * n_states(kind))
            found = {f"{kind}: isnan(output)": [math.isnan(v) for v in flat(trace.outputs)]}
            expected = {f"{kind}: isnan(output)": [True] * 2}
            assert_equivalent(found, expected, **against(twin, "a NaN in the state goes on"))


def test_a_linear_chain_in_closed_form(build_it, use_it):
    """h' = x + w h with positive numbers and relu: dh_n / dx_t = wⁿ⁻ᵗ, which vanishes or explodes."""
    for w in (0.5, 1.0, 2.0):
        for twin in (build_it, use_it):
            p = twin.Parameters([[1.0]], [[w]], [0.0], [0.0])
            trace = twin.forward("rnn_relu", p, [[[1.0]]] * 20)
            found = twin.backward("rnn_relu", p, trace, None, ([[1.0]],))
            expected = [w ** (19 - t) for t in range(20)]
            assert_equivalent(flat(found.input), expected, **against(twin, "closed form"))
            slope = sum(k * w ** (k - 1) for k in range(1, 20))  # d/dw of 1 + w + … + w¹⁹
            assert_equivalent(flat(found.parameters.weight_hh), [slope], **against(twin, "closed form"))
            assert_equivalent(found.state, ([[w**20]],), **against(twin, "closed form"))


def by_lag(twin, kind, forget_bias=0.0, n_steps=30, n_hidden=6):
    """‖dL/dx_t‖, last step first, for a random gradient at the last h."""
    rng = Random(0)
    p = twin.initialize(kind, 2, n_hidden, rng)
    block = range(n_hidden, 2 * n_hidden)
    p = replace(p, bias_ih=[b + forget_bias * (k in block) for k, b in enumerate(p.bias_ih)])
    x, up = nested(lambda: rng.gauss(0, 1), n_steps, 1, 2), nested(lambda: rng.gauss(0, 1), 1, n_hidden)
    to_state = (up, [[0.0] * n_hidden])[: n_states(kind)]
    found = twin.backward(kind, p, twin.forward(kind, p, x), None, to_state)
    return [math.hypot(*flat(step)) for step in reversed(found.input)]


def test_what_is_left_of_a_gradient(build_it, use_it):
    found = {kind: [by_lag(twin, kind) for twin in (build_it, use_it)] for kind in ("rnn_tanh", "lstm")}
    for built, used in found.values():
        assert_equivalent(built, used)
    biased, _ = pair = [by_lag(twin, "lstm", 5.0) for twin in (build_it, use_it)]
    assert_equivalent(*pair)
    assert found["rnn_tanh"][0][29] < 1e-5 and found["lstm"][0][29] < 1e-6 and biased[29] > 1e-2


@pytest.mark.parametrize("kind", LAYERS)
def test_training_step_by_step(build_it, use_it, kind):
    """Answer with the first input after three steps: gradient descent beside torch's own layer with its own loop."""
    rng = Random(6)
    x = nested(lambda: rng.choice([-1.0, 1.0]), 3, 5, 1)
    targets = tensor([[sample[0] / 2] * 3 for sample in x[0]])
    start = build_it.initialize(kind, 1, 3, Random(1))
    layer = torchs_own(kind, astuple(start))
    torchs = []
    for _ in range(100):
        loss = ((layer(tensor(x))[0][-1] - targets) ** 2).mean()
        gradients = torch.autograd.grad(loss, list(layer.parameters()))
        with torch.no_grad():
            for leaf, g in zip(layer.parameters(), gradients, strict=True):
                leaf.sub_(0.2 * g)
        torchs.append((loss.item(), [leaf.tolist() for leaf in layer.parameters()]))

    def descend(p, g):
        return [descend(*pair) for pair in zip(p, g, strict=True)] if isinstance(p, list) else p - 0.2 * g

    for twin, n_steps in ((build_it, 100), (use_it, 10)):
        p, ours = parameters_of(twin, astuple(start)), []
        for _ in range(n_steps):
            trace = twin.forward(kind, p, x)
            errors = [
                [h - t for h, t in zip(*rows, strict=True)]
                for rows in zip(trace.outputs[-1], targets.tolist(), strict=True)
            ]
            to_h = [[2 * e / 15 for e in row] for row in errors]
            to_state = (to_h, [[0.0] * 3] * 5)[: n_states(kind)]
            g = twin.backward(kind, p, trace, None, to_state).parameters
            p = twin.Parameters(*(descend(*pair) for pair in zip(astuple(p), astuple(g), strict=True)))
            ours.append((sum(e * e for row in errors for e in row) / 15, list(astuple(p))))
        for step in (1, 10, 100)[: 3 if n_steps == 100 else 2]:
            assert_equivalent(ours[:step], torchs[:step], **against(twin, "torch's loop"))
    assert torchs[-1][0] < 0.8 * torchs[0][0]


# ---- bad input


def ones(twin, kind, n_in=2, n_hidden=2):
    n = N_GATES[kind] * n_hidden
    return twin.Parameters([[1.0] * n_in] * n, [[1.0] * n_hidden] * n, [0.0] * n, [0.0] * n)


X2, H2 = [[1.0, 2.0]], ([[0.0, 0.0]],)


def traced(twin, **changes):
    return replace(twin.forward("gru", ones(twin, "gru"), [X2, X2]), **changes)


def bptt(twin, to_outputs=None, to_state=None, kind="gru", **changes):
    return twin.backward(kind, ones(twin, kind), traced(twin, **changes), to_outputs, to_state)


REFUSED = {
    "initialize, kind": lambda twin: twin.initialize("rnn", 1, 1, Random(0)),
    "initialize, no input": lambda twin: twin.initialize("gru", 0, 1, Random(0)),
    "initialize, no hidden": lambda twin: twin.initialize("gru", 1, 0, Random(0)),
    "rnn_cell, nonlinearity": lambda twin: twin.rnn_cell(ones(twin, "rnn_tanh"), X2, H2, "sigmoid"),
    "rnn_cell_backward, nonlinearity": lambda twin: twin.rnn_cell_backward(ones(twin, "rnn_tanh"), X2, H2, H2, "elu"),
    "rnn_cell, X": lambda twin: twin.rnn_cell(ones(twin, "rnn_tanh"), [[1.0]], H2),
    "rnn_cell, X ragged": lambda twin: twin.rnn_cell(ones(twin, "rnn_tanh"), [[1.0, 2.0], [1.0]], (H2[0] * 2,)),
    "rnn_cell, X empty": lambda twin: twin.rnn_cell(ones(twin, "rnn_tanh"), [], ([],)),
    "rnn_cell, X infinite": lambda twin: twin.rnn_cell(ones(twin, "rnn_tanh"), [[1.0, INF]], H2),
    "rnn_cell, state no tuple": lambda twin: twin.rnn_cell(ones(twin, "rnn_tanh"), X2, H2[0]),
    "rnn_cell, state of two": lambda twin: twin.rnn_cell(ones(twin, "rnn_tanh"), X2, H2 * 2),
    "rnn_cell, state short": lambda twin: twin.rnn_cell(ones(twin, "rnn_tanh"), X2 * 2, H2),
    "rnn_cell, parameters of a gru": lambda twin: twin.rnn_cell(ones(twin, "gru"), X2, H2),
    "rnn_cell_backward, to_state": lambda twin: twin.rnn_cell_backward(ones(twin, "rnn_tanh"), X2, H2, ([[1.0]],)),
    "lstm_cell, NaN": lambda twin: twin.lstm_cell(ones(twin, "lstm"), [[1.0, NAN]], H2 * 2),
    "lstm_cell, state of one": lambda twin: twin.lstm_cell(ones(twin, "lstm"), X2, H2),
    "lstm_cell, c": lambda twin: twin.lstm_cell(ones(twin, "lstm"), X2, (*H2, [[1.0]])),
    "lstm_cell, bias_ih": lambda twin: twin.lstm_cell(replace(ones(twin, "lstm"), bias_ih=[0.0]), X2, H2 * 2),
    "lstm_cell, bias_hh": lambda twin: twin.lstm_cell(replace(ones(twin, "lstm"), bias_hh=[0.0]), X2, H2 * 2),
    "lstm_cell_backward, to_state": lambda twin: twin.lstm_cell_backward(ones(twin, "lstm"), X2, H2 * 2, H2),
    "lstm_cell_backward, X": lambda twin: twin.lstm_cell_backward(ones(twin, "lstm"), [[1.0]], H2 * 2, H2 * 2),
    "gru_cell, weight_ih": lambda twin: twin.gru_cell(replace(ones(twin, "gru"), weight_ih=[[1.0, 1.0]]), X2, H2),
    "gru_cell, weight_hh": lambda twin: twin.gru_cell(replace(ones(twin, "gru"), weight_hh=[[1.0, 1.0]]), X2, H2),
    "gru_cell, weight_ih ragged": lambda twin: twin.gru_cell(
        replace(ones(twin, "gru"), weight_ih=[[1.0, 1.0]] * 5 + [[1.0]]), X2, H2
    ),
    "gru_cell, weight_hh ragged": lambda twin: twin.gru_cell(
        replace(ones(twin, "gru"), weight_hh=[[1.0, 1.0]] * 5 + [[1.0]]), X2, H2
    ),
    "gru_cell, weight_hh empty": lambda twin: twin.gru_cell(replace(ones(twin, "gru"), weight_hh=[]), X2, H2),
    "gru_cell, X": lambda twin: twin.gru_cell(ones(twin, "gru"), [[1.0]], H2),
    "gru_cell_backward, X": lambda twin: twin.gru_cell_backward(ones(twin, "gru"), [[1.0]], H2, H2),
    "gru_cell_backward, to_state": lambda twin: twin.gru_cell_backward(ones(twin, "gru"), X2, H2, (X2 * 2,)),
    "forward, kind": lambda twin: twin.forward("GRU", ones(twin, "gru"), [X2]),
    "forward, no step": lambda twin: twin.forward("gru", ones(twin, "gru"), []),
    "forward, one step is a matrix": lambda twin: twin.forward("gru", ones(twin, "gru"), X2),
    "forward, steps of different sizes": lambda twin: twin.forward("gru", ones(twin, "gru"), [X2, X2 * 2]),
    "forward, NaN": lambda twin: twin.forward("gru", ones(twin, "gru"), [X2, [[1.0, NAN]]]),
    "forward, NaN in the padding": lambda twin: twin.forward(
        "gru", ones(twin, "gru"), [X2 * 2, [[1.0, 1.0], [1.0, NAN]]], None, [2, 1]
    ),
    "forward, one vector": lambda twin: twin.forward("gru", ones(twin, "gru"), [1.0, 2.0]),
    "forward, features": lambda twin: twin.forward("gru", ones(twin, "gru"), [[[1.0]]]),
    "forward, state": lambda twin: twin.forward("gru", ones(twin, "gru"), [X2], ([[0.0]],)),
    "forward, state of more samples": lambda twin: twin.forward("gru", ones(twin, "gru"), [X2], (H2[0] * 2,)),
    "forward, empty state": lambda twin: twin.forward("gru", ones(twin, "gru"), [X2], ()),
    "forward, state of an lstm": lambda twin: twin.forward("lstm", ones(twin, "lstm"), [X2], H2),
    "forward, parameters of an lstm": lambda twin: twin.forward("gru", ones(twin, "lstm"), [X2]),
    "forward, lengths too many": lambda twin: twin.forward("gru", ones(twin, "gru"), [X2], None, [1, 1]),
    "forward, length 0": lambda twin: twin.forward("gru", ones(twin, "gru"), [X2 * 2], None, [0, 1]),
    "forward, length too large": lambda twin: twin.forward("gru", ones(twin, "gru"), [X2], None, [2]),
    "forward, nobody has the last step": lambda twin: twin.forward("gru", ones(twin, "gru"), [X2] * 2, None, [1]),
    "backward, kind": lambda twin: twin.backward("rnn", ones(twin, "gru"), traced(twin)),
    "backward, of another kind": lambda twin: bptt(twin, kind="lstm"),
    "backward, a state is missing": lambda twin: bptt(twin, states=[H2, H2]),
    "backward, a state of another size": lambda twin: bptt(twin, states=[H2, H2, ([[0.0]],)]),
    "backward, lengths": lambda twin: bptt(twin, lengths=[1]),
    "backward, lengths too many": lambda twin: bptt(twin, lengths=[2, 2]),
    "backward, no x": lambda twin: bptt(twin, x=[]),
    "backward, to_outputs short": lambda twin: bptt(twin, [X2]),
    "backward, to_outputs of another size": lambda twin: bptt(twin, [X2, [[1.0]]]),
    "backward, to_state": lambda twin: bptt(twin, None, ([[1.0]],)),
    "backward, to_state of more samples": lambda twin: bptt(twin, None, (H2[0] * 2,)),
    "backward, to_outputs of more samples": lambda twin: bptt(twin, [X2 * 2, X2 * 2]),
    "backward, a state of more samples": lambda twin: bptt(twin, states=[H2, (H2[0] * 2,), H2]),
    "backward, empty to_state": lambda twin: bptt(twin, None, ()),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(build_it, use_it, case):
    assert_same_error(REFUSED[case], build_it, use_it)


MESSAGES = {  # a message names the argument, what was expected and what came, in this order
    "initialize, no hidden": r"n_in and n_hidden .*\b1\b.* 1 and 0",
    "initialize, kind": r"kind .*rnn_tanh, rnn_relu, gru, lstm.*'rnn'",
    "rnn_cell_backward, to_state": r"to_state .*\b2\b.*\b1\b",
    "lstm_cell_backward, to_state": r"to_state .*\b2\b",
    "gru_cell, weight_ih": r"weight_ih .*\b6\b.*\b1\b",
    "gru_cell, weight_hh": r"weight_hh .*\b6\b.*\b1\b",
    "lstm_cell, bias_ih": r"bias_ih .*\b8\b.*\b1\b",
    "lstm_cell, bias_hh": r"bias_hh .*\b8\b.*\b1\b",
    "gru_cell_backward, to_state": r"to_state .*\b1\b.*\b2\b",
}


@pytest.mark.parametrize("case", MESSAGES)
def test_refused_with_a_message_that_helps(build_it, case):
    with pytest.raises(ValueError, match=MESSAGES[case]):
        REFUSED[case](build_it)


# ---- the model of names


def random_model(twin, seed=0):
    """As ship_it starts, with an output layer that is not zero."""
    rng = Random(seed)
    *front, weight, bias = ship_it.start(twin, seed)
    return [*front, [[rng.gauss(0, 1) for _ in row] for row in weight], [rng.gauss(0, 1) for _ in bias]]


def test_the_language_model_against_torch(build_it, use_it):
    """Embedding, packed GRU, linear and cross-entropy of torch, and autograd."""
    few = ["mo", "q", "abigail", "zed"]
    model = random_model(build_it)
    leaves = [tensor(part).requires_grad_() for part in model]
    gru = torch.nn.GRU(ship_it.N_EMBEDDING, ship_it.N_HIDDEN, dtype=torch.float64)
    total, losses, n = 0.0, [], sum(len(name) + 1 for name in few)
    for name in few:
        ids = [0, *map(ship_it.ALPHABET.index, name), 0]
        state = dict(zip(gru.state_dict(), leaves[1:5], strict=True))
        outputs, _ = torch.func.functional_call(gru, state, (leaves[0][ids[:-1]],))
        logits = outputs @ leaves[5].T + leaves[6]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum")
        losses.append(loss.item())
        total = total + loss / n
    expected = losses, [g.tolist() for g in torch.autograd.grad(total, leaves)]
    for twin in (build_it, use_it):
        found = ship_it.losses_and_gradients(twin, model, few)
        assert_equivalent(found, expected, **against(twin, "torch"))
        assert_equivalent(ship_it.bits(twin, model, few), [v / math.log(2) for v in losses], **against(twin, "torch"))


def test_the_counted_models_by_hand(build_it):
    """From "ab" and "ac": a is first in 2 of 2; b and c follow it once each; b and c end."""
    assert build_it.initialize("gru", 1, 1, Random(0)).bias_ih
    bigram, trigram = ship_it.counted(["ab", "ac"], ["ab"])
    p = [3 / 29, 2 / 29, 2 / 28]
    mixed = [(2 + 10 * p[0]) / 12, (1 + 10 * p[1]) / 12, (1 + 10 * p[2]) / 11]
    expected = [-sum(map(math.log2, values)) / 3 for values in (p, mixed)]
    assert_equivalent([bigram, trigram], expected, names=("ship_it", "by hand"))


@pytest.fixture
def folder(build_it, tmp_path, monkeypatch):
    monkeypatch.setattr(names, "gru_cell", build_it.gru_cell)
    ship_it.write(random_model(build_it), [1.0 + k / 10 for k in range(99)], tmp_path)
    return tmp_path


def test_the_program_scores_as_the_model(build_it, folder):
    model = names.load(folder)
    several = ["emma", "q", "abigail"]
    whole = ship_it.bits(build_it, random_model(build_it), several)
    expected = [b / (len(name) + 1) for b, name in zip(whole, several, strict=True)]
    assert_equivalent([names.bits(model, name) for name in several], expected, names=("names.py", "ship_it"))
    assert_equivalent(2 ** -names.bits(model, ""), 2 ** names.after(model, "")[1][0], names=("empty", "the end's p"))
    found, percent = names.verdict(model, "emma")
    assert percent == sum(found > limit for limit in model.percentiles) > 10


def test_completions_are_the_most_probable_of_all(build_it, folder):
    """Against every string of up to four letters, with an alphabet of two letters."""
    whole = names.load(folder)
    model = whole._replace(alphabet=".ab", embedding=whole.embedding[:3], weight=whole.weight[:3], bias=[1.0, 0.0, 0.2])
    strings = [""]
    for at in range(31):
        strings += [strings[at] + "a", strings[at] + "b"]
    prior = names.after(model, "a")[2]
    every = {s: 2 ** (-names.bits(model, s) * (len(s) + 1) - prior) for s in strings if s.startswith("a")}
    best = sorted(every.items(), key=lambda item: -item[1])[:4]
    assert max(len(name) for name, _ in best) < 5
    assert_equivalent(names.complete(model, "a", 4), best, names=("complete", "all strings"))
    drawn = [names.generate(model, Random(seed), "a", 1.0) for seed in range(150)]
    share, p = drawn.count(best[0][0]) / 150, best[0][1]
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / 150)  # four standard errors
    cold = {names.generate(model, Random(seed), "a", 0.01) for seed in range(5)}
    assert len(cold) == 1 and len(set(drawn)) > 1
    endless = model._replace(bias=[-1000.0, 0.0, 0.0])
    assert len(names.generate(endless, Random(0), "ab")) == 30
    assert names.complete(model._replace(weight=[[0.0] * 16] * 3, bias=[5.0, 0.0, 0.0]), "ab", 1)[0][0] == "ab"


def test_the_command_line(build_it, folder, capsys, monkeypatch):
    base = ["--model", str(folder)]
    assert names.main([*base, "generate", "--count", "3", "--seed", "5", "--start", "Mar"]) == 0
    first = capsys.readouterr().out
    assert len(first.splitlines()) == 3 and all(line.startswith("mar") for line in first.splitlines())
    names.main([*base, "generate", "--count", "3", "--seed", "5", "--start", "mar"])
    assert capsys.readouterr().out == first
    assert names.main([*base, "complete", "jo", "--count", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert names.main([*base, "score", "--strange", "1", "emma"]) == 1
    assert "strange" in capsys.readouterr().out
    assert names.main([*base, "score", "j3n"]) == 1
    assert "not scored, as it has '3': strange" in capsys.readouterr().out
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "percentiles": [99.0] * 99}))
    monkeypatch.setattr("sys.stdin", io.StringIO("Emma\n\n Zoë \n"))
    assert names.main([*base, "score"]) == 0
    out = capsys.readouterr().out
    with pytest.raises(SystemExit):
        names.main([*base, "score"])
    assert "got none" in capsys.readouterr().err
    assert out.count("more than 0 of 100") == 2 and "\nzoe " in out
    refused = {
        "'3'": ["generate", "--start", "j3n"],
        "'-'": ["complete", "a-b"],
        "is below 1": ["generate", "--count", "0"],
        "is not above 0": ["generate", "--temperature", "0"],
    }
    for message, arguments in refused.items():
        with pytest.raises(SystemExit) as stopped:
            names.main([*base, *arguments])
        assert stopped.value.code == 2 and message in capsys.readouterr().err
    weights = (folder / "model.safetensors").read_bytes()
    for damaged in (weights[:-8], weights[:30], b"", b"x" * 100):
        (folder / "model.safetensors").write_bytes(damaged)
        with pytest.raises(SystemExit):
            names.main([*base, "score", "emma"])
        assert "no complete model" in capsys.readouterr().err


def test_the_program_runs_on_the_interpreter_alone(build_it, folder):
    command = [sys.executable, "-I", "-S", "-B", "names.py", "complete", "em", "--count", "1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    (found,) = names.complete(names.load(folder), "em", 1)
    assert done.stdout == f"{found[0]:12} {found[1]:.4f}\n"
