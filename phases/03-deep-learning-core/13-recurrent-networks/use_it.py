"""RNN, LSTM and GRU out of torch.nn, their cells, packed sequences, and every gradient from torch.autograd."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

__all__ = [
    "Gradients",
    "Parameters",
    "Trace",
    "backward",
    "forward",
    "gru_cell",
    "gru_cell_backward",
    "initialize",
    "lstm_cell",
    "lstm_cell_backward",
    "rnn_cell",
    "rnn_cell_backward",
]

Vector = list[float]
Matrix = list[list[float]]
State = tuple[Matrix, ...]  # (h,) of an RNN or a GRU, (h, c) of an LSTM; each n_samples × n_hidden
GATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}  # blocks of n_hidden rows in a weight
CELLS: dict[str, Callable[..., torch.nn.Module]] = {
    "rnn_tanh": torch.nn.RNNCell,
    "rnn_relu": partial(torch.nn.RNNCell, nonlinearity="relu"),
    "gru": torch.nn.GRUCell,
    "lstm": torch.nn.LSTMCell,
}
LAYERS: dict[str, Callable[..., torch.nn.Module]] = {
    "rnn_tanh": torch.nn.RNN,
    "rnn_relu": partial(torch.nn.RNN, nonlinearity="relu"),
    "gru": torch.nn.GRU,
    "lstm": torch.nn.LSTM,
}


@dataclass(frozen=True)
class Parameters:
    """The weights and biases of one layer, in torch's layout: a row for each number that is computed.

    The rows come in blocks of n_hidden, one for each gate: i, f, g, o in an LSTM, and r, z, n in a GRU.

    Attributes:
        weight_ih: (n_gates · n_hidden) × n_in, for what comes from the input.
        weight_hh: (n_gates · n_hidden) × n_hidden, for what comes from the hidden state.
        bias_ih: n_gates · n_hidden, added to what comes from the input.
        bias_hh: n_gates · n_hidden, added to what comes from the hidden state.
    """

    weight_ih: Matrix
    weight_hh: Matrix
    bias_ih: Vector
    bias_hh: Vector


@dataclass(frozen=True)
class Trace:
    """What a forward pass leaves for the backward pass.

    Attributes:
        x: the inputs, n_steps × n_samples × n_in.
        lengths: how many steps each sample has; None becomes n_steps for each.
        states: n_steps + 1 of them: states[t] goes into step t, and states[-1] is the final one.
        outputs: h after each step, n_steps × n_samples × n_hidden; 0 where a sample has ended.
    """

    x: list[Matrix]
    lengths: list[int]
    states: list[State]
    outputs: list[Matrix]


@dataclass(frozen=True)
class Gradients:
    """What a backward pass gives.

    Attributes:
        input: dL/dX or dL/dx, with its shape.
        state: dL/d(each part of the state that went in).
        parameters: dL/d(each weight and bias).
    """

    input: Matrix | list[Matrix]
    state: State
    parameters: Parameters


def initialize(kind: str, n_in: int, n_hidden: int, rng: Random) -> Parameters:
    """As build_it: the draws come from `rng`, from the range of torch's own (reset_parameters of its modules)."""
    _check_kind(kind)
    if n_in < 1 or n_hidden < 1:
        raise ValueError(f"n_in and n_hidden must be 1 or more, got {n_in} and {n_hidden}")
    bound, n_rows = 1 / math.sqrt(n_hidden), GATES[kind] * n_hidden

    def draw(n: int) -> Vector:
        return [rng.uniform(-bound, bound) for _ in range(n)]

    weight_ih = [draw(n_in) for _ in range(n_rows)]
    weight_hh = [draw(n_hidden) for _ in range(n_rows)]
    return Parameters(weight_ih, weight_hh, draw(n_rows), draw(n_rows))


def rnn_cell(parameters: Parameters, X: Matrix, state: State, nonlinearity: str = "tanh") -> State:
    """torch.nn.RNNCell."""
    return _cell(_nonlinear(nonlinearity), parameters, X, state)


def rnn_cell_backward(
    parameters: Parameters, X: Matrix, state: State, to_state: State, nonlinearity: str = "tanh"
) -> Gradients:
    """torch.autograd through an RNNCell."""
    return _cell_backward(_nonlinear(nonlinearity), parameters, X, state, to_state)


def lstm_cell(parameters: Parameters, X: Matrix, state: State) -> State:
    """torch.nn.LSTMCell."""
    return _cell("lstm", parameters, X, state)


def lstm_cell_backward(parameters: Parameters, X: Matrix, state: State, to_state: State) -> Gradients:
    """torch.autograd through an LSTMCell."""
    return _cell_backward("lstm", parameters, X, state, to_state)


def gru_cell(parameters: Parameters, X: Matrix, state: State) -> State:
    """torch.nn.GRUCell."""
    return _cell("gru", parameters, X, state)


def gru_cell_backward(parameters: Parameters, X: Matrix, state: State, to_state: State) -> Gradients:
    """torch.autograd through a GRUCell."""
    return _cell_backward("gru", parameters, X, state, to_state)


def forward(
    kind: str,
    parameters: Parameters,
    x: list[Matrix],
    state: State | None = None,
    lengths: list[int] | None = None,
) -> Trace:
    """torch.nn.RNN, LSTM or GRU over the whole sequence: outputs and final state.

    They keep an LSTM's c to themselves, so the states between are those of torch's cell, step by step.
    """
    _check_kind(kind)
    layer = _module(LAYERS[kind], kind, parameters)
    inputs = _data("x", x, None, None, layer.input_size)
    before = _initial(kind, "state", state, inputs, layer.hidden_size)
    lengths = _lengths(lengths, *inputs.shape[:2])
    with torch.no_grad():
        outputs, final = _run(layer, inputs, before, lengths)
        cell, states = _module(CELLS[kind], kind, parameters), [before]
        for t, X in enumerate(inputs[:-1]):
            live = torch.tensor(lengths)[:, None] > t
            new = _step(kind, cell, X, states[-1])
            states.append(tuple(torch.where(live, *parts) for parts in zip(new, states[-1], strict=True)))
    states_as_lists = [tuple(part.tolist() for part in parts) for parts in (*states, final)]
    return Trace(x, lengths, states_as_lists, outputs.tolist())


def backward(
    kind: str,
    parameters: Parameters,
    trace: Trace,
    to_outputs: list[Matrix] | None = None,
    to_state: State | None = None,
) -> Gradients:
    """torch.autograd.grad through the layer, back from the outputs and the final state.

    A trace of plain lists carries no graph, so the forward pass is recorded again.
    """
    _check_kind(kind)
    layer = _module(LAYERS[kind], kind, parameters)
    x = _data("x", trace.x, None, None, layer.input_size)
    n_steps, n_samples, _ = x.shape
    if len(trace.states) != n_steps + 1:
        raise ValueError(f"trace must have {n_steps + 1} states, got {len(trace.states)}")
    for one in trace.states:
        _state(kind, "a state of trace", one, n_samples, layer.hidden_size)
    before = _initial(kind, "state", trace.states[0], x, layer.hidden_size)
    leaves = [leaf.requires_grad_() for leaf in (x, *before)]
    outputs, final = _run(layer, x, before, _lengths(trace.lengths, n_steps, n_samples))
    to_h = torch.zeros_like(outputs)
    if to_outputs is not None:
        to_h = _tensor("to_outputs", to_outputs, *outputs.shape)
    upstream = (to_h, *_initial(kind, "to_state", to_state, x, layer.hidden_size))
    return _gradients((outputs, *final), [*leaves, *layer.parameters()], upstream)


def _run(
    layer: torch.nn.Module, x: Tensor, state: tuple[Tensor, ...], lengths: list[int]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Outputs and final state. A layer has an axis for stacked layers first in its states, here of size 1."""
    parts = [part[None] for part in state]
    packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    outputs, final = layer(packed, tuple(parts) if len(parts) == 2 else parts[0])
    padded, _ = pad_packed_sequence(outputs)
    return padded, tuple(part[0] for part in (final if len(parts) == 2 else [final]))


def _cell(kind: str, parameters: Parameters, X: Matrix, state: State) -> State:
    with torch.no_grad():
        after = _step(kind, _module(CELLS[kind], kind, parameters), *_step_inputs(kind, parameters, X, state))
    return tuple(part.tolist() for part in after)


def _cell_backward(kind: str, parameters: Parameters, X: Matrix, state: State, to_state: State) -> Gradients:
    cell = _module(CELLS[kind], kind, parameters)
    inputs, before = _step_inputs(kind, parameters, X, state)
    leaves = [leaf.requires_grad_() for leaf in (inputs, *before)]
    upstream = _state(kind, "to_state", to_state, len(inputs), cell.hidden_size)
    return _gradients(_step(kind, cell, inputs, before), [*leaves, *cell.parameters()], upstream)


def _step(kind: str, cell: torch.nn.Module, X: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """An LSTMCell takes and returns (h, c), the others h alone."""
    return cell(X, state) if kind == "lstm" else (cell(X, state[0]),)


def _gradients(outputs: tuple[Tensor, ...], leaves: list[Tensor], upstream: tuple[Tensor, ...]) -> Gradients:
    """Leaves in the order input, parts of the state, the four parameters."""
    to_input, *to_rest = (g.tolist() for g in torch.autograd.grad(outputs, leaves, upstream))
    return Gradients(to_input, tuple(to_rest[:-4]), Parameters(*to_rest[-4:]))


def _module(make: Callable[..., torch.nn.Module], kind: str, parameters: Parameters) -> torch.nn.Module:
    """A cell or a layer of torch that holds these parameters; both keep them in the order of `Parameters`."""
    n_hidden = len(_matrix("weight_hh", parameters.weight_hh)[0])
    n_rows = GATES[kind] * n_hidden
    weight_ih = _matrix("weight_ih", parameters.weight_ih, n_rows)
    weight_hh = _matrix("weight_hh", parameters.weight_hh, n_rows)
    biases = _tensor("bias_ih", parameters.bias_ih, n_rows), _tensor("bias_hh", parameters.bias_hh, n_rows)
    module = make(weight_ih.shape[1], n_hidden, dtype=torch.float64)
    values = (weight_ih, weight_hh, *biases)
    module.load_state_dict(dict(zip(module.state_dict(), values, strict=True)))
    return module


def _step_inputs(kind: str, parameters: Parameters, X: Matrix, state: State) -> tuple[Tensor, tuple[Tensor, ...]]:
    inputs = _data("X", X, None, len(parameters.weight_ih[0]))
    return inputs, _state(kind, "state", state, len(inputs), len(parameters.weight_hh[0]))


def _initial(kind: str, name: str, state: State | None, x: Tensor, n_hidden: int) -> tuple[Tensor, ...]:
    """None: zeros, as in torch."""
    if state is None:
        return tuple(torch.zeros(x.shape[1], n_hidden, dtype=torch.float64) for _ in _parts(kind))
    return _state(kind, name, state, x.shape[1], n_hidden)


def _state(kind: str, name: str, state: State, n_samples: int, n_hidden: int) -> tuple[Tensor, ...]:
    if not isinstance(state, tuple) or len(state) != len(_parts(kind)):
        raise ValueError(f"{name} must be a tuple of {len(_parts(kind))} matrices, got {state}")
    return tuple(
        _tensor(f"{letter} of {name}", part, n_samples, n_hidden) for letter, part in zip("hc", state, strict=False)
    )


def _parts(kind: str) -> str:
    return "hc" if kind == "lstm" else "h"


def _lengths(lengths: list[int] | None, n_steps: int, n_samples: int) -> list[int]:
    if lengths is None:
        return [n_steps] * n_samples
    if len(lengths) != n_samples or min(lengths) < 1 or max(lengths) != n_steps:
        raise ValueError(f"lengths must be {n_samples} of 1 or more, the largest of them {n_steps}, got {lengths}")
    return lengths


def _matrix(name: str, rows: Matrix, n_rows: int | None = None) -> Tensor:
    return _tensor(name, rows, n_rows, None)


def _data(name: str, values: Any, *shape: int | None) -> Tensor:
    tensor = _tensor(name, values, *shape)
    if not tensor.isfinite().all():
        raise ValueError(f"{name} must hold finite numbers, got {values}")
    return tensor


def _tensor(name: str, values: Any, *shape: int | None) -> Tensor:
    """A float64 tensor of that shape, None standing for any size; torch raises ValueError where rows differ."""
    tensor = torch.tensor(values, dtype=torch.float64)
    fits = tensor.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, tensor.shape, strict=False))
    if not fits or not tensor.numel():
        expected = tuple("any" if n is None else n for n in shape)
        raise ValueError(f"{name} must have the shape {expected}, got {tuple(tensor.shape)}")
    return tensor


def _nonlinear(nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity must be tanh or relu, got {nonlinearity!r}")
    return f"rnn_{nonlinearity}"


def _check_kind(kind: str) -> None:
    if kind not in GATES:
        raise ValueError(f"kind must be one of {', '.join(GATES)}, got {kind!r}")
