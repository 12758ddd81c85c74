"""RNN, LSTM and GRU with torch's parameters, and backpropagation through time: on the standard library alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import add, mul
from random import Random

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
    """Parameters as torch draws them: all from U(-1/√n_hidden, 1/√n_hidden), the forget gate's biases too.

    Each by `rng.uniform(-bound, bound)`, in this order: weight_ih row by row, weight_hh row by row, bias_ih, bias_hh.

    Args:
        kind: "rnn_tanh", "rnn_relu", "gru" or "lstm".
        n_in: numbers in an input.
        n_hidden: numbers in a hidden state.
        rng: where the draws come from.

    Raises:
        ValueError: an unknown kind, or a size below 1.
    """
    _check_kind(kind)
    if n_in < 1 or n_hidden < 1:
        raise ValueError(f"n_in and n_hidden must be 1 or more, got {n_in} and {n_hidden}")
    bound, n_rows = 1 / math.sqrt(n_hidden), GATES[kind] * n_hidden

    def draw(n: int) -> Vector:
        return [rng.uniform(-bound, bound) for _ in range(n)]

    weight_ih = [draw(n_in) for _ in range(n_rows)]
    weight_hh = [draw(n_hidden) for _ in range(n_rows)]
    return Parameters(weight_ih, weight_hh, draw(n_rows), draw(n_rows))


def _sums(parameters: Parameters, X: Matrix, h: Matrix) -> tuple[Matrix, Matrix]:
    """X W_ihᵀ + b_ih and h W_hhᵀ + b_hh, each n_samples × (n_gates · n_hidden)."""
    p = parameters
    return _affine(X, p.weight_ih, p.bias_ih), _affine(h, p.weight_hh, p.bias_hh)


def _through_sums(parameters: Parameters, X: Matrix, h: Matrix, to_x_sum: Matrix, to_h_sum: Matrix) -> Gradients:
    """The gradients behind `_sums`, from those of its two results; the state is h alone."""
    by_row, by_row_h = _transpose(to_x_sum), _transpose(to_h_sum)
    to_parameters = Parameters(
        weight_ih=_matmul(by_row, X),
        weight_hh=_matmul(by_row_h, h),
        bias_ih=[sum(row) for row in by_row],
        bias_hh=[sum(row) for row in by_row_h],
    )
    return Gradients(_matmul(to_x_sum, parameters.weight_ih), (_matmul(to_h_sum, parameters.weight_hh),), to_parameters)


def rnn_cell(parameters: Parameters, X: Matrix, state: State, nonlinearity: str = "tanh") -> State:
    """One step: h' = f(X W_ihᵀ + b_ih + h W_hhᵀ + b_hh) (Elman 1990).

    Args:
        parameters: with one block of rows.
        X: n_samples × n_in, finite.
        state: (h,), n_samples × n_hidden. A NaN in it goes on, through relu too.
        nonlinearity: f, "tanh" or "relu".

    Returns:
        (h',), n_samples × n_hidden.

    Raises:
        ValueError: parameters, X or state have shapes that do not fit; X is not finite; an unknown nonlinearity.
    """
    _check_nonlinearity(nonlinearity)
    _check_step("rnn_tanh", parameters, X, state)
    f: Callable[[float], float] = math.tanh if nonlinearity == "tanh" else lambda z: max(z, 0.0)
    sums = zip(*_sums(parameters, X, state[0]), strict=True)
    return ([[f(a + b) for a, b in zip(*rows, strict=True)] for rows in sums],)


def rnn_cell_backward(
    parameters: Parameters, X: Matrix, state: State, to_state: State, nonlinearity: str = "tanh"
) -> Gradients:
    """The gradients of one `rnn_cell`: δ = dL/dh' ⊙ f', and then through both sums.

    Args:
        parameters: as in `rnn_cell`.
        X: as in `rnn_cell`.
        state: (h,), as it went in.
        to_state: (dL/dh',), n_samples × n_hidden.
        nonlinearity: as in `rnn_cell`; the slope of relu at 0 is 0.

    Raises:
        ValueError: as `rnn_cell`, or `to_state` has another shape than the state.
    """
    (h,) = rnn_cell(parameters, X, state, nonlinearity)
    _check_state("to_state", to_state, 1, len(X), len(h[0]))
    if nonlinearity == "tanh":
        delta = [[g * (1 - v * v) for g, v in zip(*rows, strict=True)] for rows in zip(to_state[0], h, strict=True)]
    else:
        delta = [[g * (v > 0) for g, v in zip(*rows, strict=True)] for rows in zip(to_state[0], h, strict=True)]
    return _through_sums(parameters, X, state[0], delta, delta)


def lstm_cell(parameters: Parameters, X: Matrix, state: State) -> State:
    """One step of an LSTM with a forget gate (Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000).

    i, f, o = σ(…), g = tanh(…), each of its block of X W_ihᵀ + b_ih + h W_hhᵀ + b_hh; then c' = f ⊙ c + i ⊙ g and
    h' = o ⊙ tanh c'.

    Args:
        parameters: with four blocks of rows: i, f, g, o.
        X: n_samples × n_in, finite.
        state: (h, c), each n_samples × n_hidden.

    Returns:
        (h', c').

    Raises:
        ValueError: parameters, X or state have shapes that do not fit; X is not finite.
    """
    _check_step("lstm", parameters, X, state)
    new_h, new_c = [], []
    for (i, f, g, o), c in zip(_lstm_gates(parameters, X, state), state[1], strict=True):
        new_c.append([f_k * c_k + i_k * g_k for f_k, c_k, i_k, g_k in zip(f, c, i, g, strict=True)])
        new_h.append([o_k * math.tanh(c_k) for o_k, c_k in zip(o, new_c[-1], strict=True)])
    return new_h, new_c


def _lstm_gates(parameters: Parameters, X: Matrix, state: State) -> list[list[Vector]]:
    """i, f, g, o of each sample."""
    gates = []
    for from_x, from_h in zip(*_sums(parameters, X, state[0]), strict=True):
        i, f, g, o = _blocks(list(map(add, from_x, from_h)), 4)
        gates.append([_sigmoids(i), _sigmoids(f), list(map(math.tanh, g)), _sigmoids(o)])
    return gates


def lstm_cell_backward(parameters: Parameters, X: Matrix, state: State, to_state: State) -> Gradients:
    """The gradients of one `lstm_cell`: those of c' first, from c' itself and through h'; then the gates' and c's.

    Args:
        parameters: as in `lstm_cell`.
        X: as in `lstm_cell`.
        state: (h, c), as they went in.
        to_state: (dL/dh', dL/dc'), each n_samples × n_hidden; dL/dc' without what comes through h'.

    Raises:
        ValueError: as `lstm_cell`, or `to_state` has other shapes than the state.
    """
    _, new_c = lstm_cell(parameters, X, state)
    _check_state("to_state", to_state, 2, len(X), len(new_c[0]))
    deltas, to_c = [], []
    for gates, *rows in zip(_lstm_gates(parameters, X, state), state[1], new_c, *to_state, strict=True):
        delta: list[Vector] = [[], [], [], []]
        to_c.append([])
        for i, f, g, o, c, c_new, to_h, to_c_new in zip(*gates, *rows, strict=True):
            tanh_c = math.tanh(c_new)
            d = to_c_new + to_h * o * (1 - tanh_c * tanh_c)  # all that reaches c'
            delta[0].append(d * g * i * (1 - i))
            delta[1].append(d * c * f * (1 - f))
            delta[2].append(d * i * (1 - g * g))
            delta[3].append(to_h * tanh_c * o * (1 - o))
            to_c[-1].append(d * f)
        deltas.append([v for block in delta for v in block])
    found = _through_sums(parameters, X, state[0], deltas, deltas)
    return Gradients(found.input, (*found.state, to_c), found.parameters)


def gru_cell(parameters: Parameters, X: Matrix, state: State) -> State:
    """One step of a GRU (Cho et al. 2014), with the reset gate behind the product, as torch and cuDNN have it.

    r, z = σ(…) of the first two blocks of both sums, n = tanh(x's third block + r ⊙ h's third block); then
    h' = (1 - z) ⊙ n + z ⊙ h.

    Args:
        parameters: with three blocks of rows: r, z, n.
        X: n_samples × n_in, finite.
        state: (h,), n_samples × n_hidden.

    Returns:
        (h',), n_samples × n_hidden.

    Raises:
        ValueError: parameters, X or state have shapes that do not fit; X is not finite.
    """
    _check_step("gru", parameters, X, state)
    new_h = []
    for (_, z, n, _), h in zip(_gru_gates(parameters, X, state), state[0], strict=True):
        new_h.append([(1 - z_k) * n_k + z_k * h_k for z_k, n_k, h_k in zip(z, n, h, strict=True)])
    return (new_h,)


def _gru_gates(parameters: Parameters, X: Matrix, state: State) -> list[list[Vector]]:
    """r, z, n of each sample, and what r was multiplied with: W_hn h + b_hn."""
    gates = []
    for from_x, from_h in zip(*_sums(parameters, X, state[0]), strict=True):
        (r_x, z_x, n_x), (r_h, z_h, n_h) = _blocks(from_x, 3), _blocks(from_h, 3)
        r, z = _sigmoids(list(map(add, r_x, r_h))), _sigmoids(list(map(add, z_x, z_h)))
        n = [math.tanh(a + r_k * b) for a, r_k, b in zip(n_x, r, n_h, strict=True)]
        gates.append([r, z, n, n_h])
    return gates


def gru_cell_backward(parameters: Parameters, X: Matrix, state: State, to_state: State) -> Gradients:
    """The gradients of one `gru_cell`; the two sums get different ones, as r multiplies only the second's third block.

    Args:
        parameters: as in `gru_cell`.
        X: as in `gru_cell`.
        state: (h,), as it went in.
        to_state: (dL/dh',), n_samples × n_hidden.

    Raises:
        ValueError: as `gru_cell`, or `to_state` has another shape than the state.
    """
    _check_step("gru", parameters, X, state)
    _check_state("to_state", to_state, 1, len(X), len(state[0][0]))
    to_x_sum, to_h_sum, direct = [], [], []
    for gates, *rows in zip(_gru_gates(parameters, X, state), state[0], to_state[0], strict=True):
        delta_r, delta_z, delta_n, through_r = [], [], [], []
        for r, z, n, n_h, h, g in zip(*gates, *rows, strict=True):
            d = g * (1 - z) * (1 - n * n)
            delta_n.append(d)
            through_r.append(d * r)
            delta_r.append(d * n_h * r * (1 - r))
            delta_z.append(g * (h - n) * z * (1 - z))
        to_x_sum.append(delta_r + delta_z + delta_n)
        to_h_sum.append(delta_r + delta_z + through_r)
        direct.append(list(map(mul, rows[1], gates[1])))
    found = _through_sums(parameters, X, state[0], to_x_sum, to_h_sum)
    return Gradients(found.input, (_plus(found.state[0], direct),), found.parameters)


def forward(
    kind: str,
    parameters: Parameters,
    x: list[Matrix],
    state: State | None = None,
    lengths: list[int] | None = None,
) -> Trace:
    """The cell, step after step, with the same parameters; every state is kept.

    Args:
        kind: "rnn_tanh", "rnn_relu", "gru" or "lstm".
        parameters: of the cell.
        x: n_steps × n_samples × n_in, finite: x[t] is the batch at step t (torch's batch_first=False).
        state: before the first step; None: zeros.
        lengths: how many steps each sample has, the longest n_steps; None: all have n_steps. After its last step a
            sample's state stays as it is, and its outputs are 0: what stands in x there has no effect.

    Raises:
        ValueError: an unknown kind; no step; shapes that do not fit; lengths out of range; x is not finite.
    """
    n_samples, n_hidden = _check_sequence(kind, parameters, x)
    n_states = 2 if kind == "lstm" else 1
    if state is None:
        state = tuple(_zeros(n_samples, n_hidden) for _ in range(n_states))
    _check_state("state", state, n_states, n_samples, n_hidden)
    lengths = [len(x)] * n_samples if lengths is None else lengths
    _check_lengths(lengths, len(x), n_samples)
    cell, _ = _cell_and_backward(kind)
    states, outputs = [state], []
    for t, X in enumerate(x):
        live = [i for i, n in enumerate(lengths) if t < n]
        new = cell(parameters, _take(X, live), tuple(_take(part, live) for part in states[-1]))
        states.append(tuple(_put(old, live, rows) for old, rows in zip(states[-1], new, strict=True)))
        outputs.append(_put(_zeros(n_samples, n_hidden), live, new[0]))
    return Trace(x, lengths, states, outputs)


def backward(
    kind: str,
    parameters: Parameters,
    trace: Trace,
    to_outputs: list[Matrix] | None = None,
    to_state: State | None = None,
) -> Gradients:
    """Backpropagation through time: the cell's backward from the last step to the first (Werbos 1990).

    The gradient of h after step t is what arrives at output t, plus what comes back from step t + 1. The parameters
    are used at every step, so their gradients are sums over the steps.

    Args:
        kind: as in `forward`.
        parameters: those that made `trace`.
        trace: from `forward`.
        to_outputs: dL/d(outputs), n_steps × n_samples × n_hidden, without effect where a sample has ended. None: 0.
        to_state: dL/d(final state), as many parts as the state has. None: 0.

    Returns:
        The gradients of x, 0 where a sample has ended; of the state before the first step; of the parameters.

    Raises:
        ValueError: an unknown kind; a trace whose x, lengths and states do not fit each other or the parameters;
            gradients with shapes other than those of the outputs and of the state.
    """
    n_samples, n_hidden = _check_trace(kind, parameters, trace)
    if to_outputs is None:
        to_outputs = [_zeros(n_samples, n_hidden) for _ in trace.x]
    if to_state is None:
        to_state = tuple(_zeros(n_samples, n_hidden) for _ in trace.states[0])
    _check_steps("to_outputs", to_outputs, len(trace.x), n_samples, n_hidden)
    _check_state("to_state", to_state, len(trace.states[0]), n_samples, n_hidden)
    _, cell_backward = _cell_and_backward(kind)
    to_x, by_step = [], []
    for t in reversed(range(len(trace.x))):
        live = [i for i, n in enumerate(trace.lengths) if t < n]
        to_h, *to_c = (_take(part, live) for part in to_state)
        arriving = (_plus(to_h, _take(to_outputs[t], live)), *to_c)
        before = tuple(_take(part, live) for part in trace.states[t])
        found = cell_backward(parameters, _take(trace.x[t], live), before, arriving)
        to_state = tuple(_put(old, live, rows) for old, rows in zip(to_state, found.state, strict=True))
        to_x.append(_put(_zeros(n_samples, len(trace.x[t][0])), live, found.input))
        by_step.append(found.parameters)
    return Gradients(to_x[::-1], to_state, _sum_of_parameters(by_step))


def _sum_of_parameters(by_step: list[Parameters]) -> Parameters:
    """The sum over the steps, of each weight and each bias."""
    total = by_step[0]
    for p in by_step[1:]:
        total = Parameters(
            _plus(total.weight_ih, p.weight_ih),
            _plus(total.weight_hh, p.weight_hh),
            list(map(add, total.bias_ih, p.bias_ih)),
            list(map(add, total.bias_hh, p.bias_hh)),
        )
    return total


# ---- given


def _sigmoids(values: Vector) -> Vector:  # given
    """σ of each, written so that the exponential is never of a positive number."""
    return [1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z)) for z in values]


def _blocks(row: Vector, n_blocks: int) -> list[Vector]:  # given
    """The row cut into equal parts."""
    size = len(row) // n_blocks
    return [row[k * size : (k + 1) * size] for k in range(n_blocks)]


def _affine(X: Matrix, W: Matrix, b: Vector) -> Matrix:  # given
    """X Wᵀ + b: each row of X with each row of W."""
    return [[sum(map(mul, x, w)) + b_k for w, b_k in zip(W, b, strict=True)] for x in X]


def _matmul(A: Matrix, B: Matrix) -> Matrix:  # given
    """A B."""
    columns = list(zip(*B, strict=True))
    return [[sum(map(mul, row, column)) for column in columns] for row in A]


def _transpose(A: Matrix) -> Matrix:  # given
    """Aᵀ."""
    return [list(column) for column in zip(*A, strict=True)]


def _plus(A: Matrix, B: Matrix) -> Matrix:  # given
    """A + B."""
    return [list(map(add, *rows)) for rows in zip(A, B, strict=True)]


def _zeros(n_rows: int, n_columns: int) -> Matrix:  # given
    return [[0.0] * n_columns for _ in range(n_rows)]


def _take(M: Matrix, places: list[int]) -> Matrix:  # given
    """The rows of M at these places."""
    return [M[i] for i in places]


def _put(M: Matrix, places: list[int], rows: Matrix) -> Matrix:  # given
    """M with other rows at these places; M itself stays."""
    result = list(M)
    for i, row in zip(places, rows, strict=True):
        result[i] = row
    return result


def _cell_and_backward(kind: str) -> tuple[Callable[..., State], Callable[..., Gradients]]:  # given
    """The two functions of a kind."""
    return {
        "rnn_tanh": (rnn_cell, rnn_cell_backward),
        "rnn_relu": (partial(rnn_cell, nonlinearity="relu"), partial(rnn_cell_backward, nonlinearity="relu")),
        "gru": (gru_cell, gru_cell_backward),
        "lstm": (lstm_cell, lstm_cell_backward),
    }[kind]


def _check_kind(kind: str) -> None:  # given
    """One of the four names."""
    if kind not in GATES:
        raise ValueError(f"kind must be one of {', '.join(GATES)}, got {kind!r}")


def _check_nonlinearity(nonlinearity: str) -> None:  # given
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity must be tanh or relu, got {nonlinearity!r}")


def _check_matrix(name: str, rows: Matrix, n_rows: int | None, n_columns: int | None) -> None:  # given
    """A non-empty list of non-empty rows of equal length; of a certain shape where one is given."""
    if not isinstance(rows, list | tuple) or not rows:
        raise ValueError(f"{name} must be a matrix, a non-empty list of non-empty rows, got {rows!r}")
    if not all(isinstance(row, list | tuple) and row for row in rows):
        raise ValueError(f"{name} must be a matrix, a non-empty list of non-empty rows, got {rows!r}")
    if n_rows is not None and len(rows) != n_rows:
        raise ValueError(f"{name} must have {n_rows} rows, got {len(rows)}")
    n_columns = len(rows[0]) if n_columns is None else n_columns
    for i, row in enumerate(rows):
        if len(row) != n_columns:
            raise ValueError(f"row {i} of {name} must have {n_columns} values, got {len(row)}")


def _check_finite(name: str, rows: Matrix) -> None:  # given
    for i, row in enumerate(rows):
        if not all(map(math.isfinite, row)):
            raise ValueError(f"row {i} of {name} must hold finite numbers, got {row}")


def _check_parameters(kind: str, parameters: Parameters) -> tuple[int, int]:  # given
    """n_in and n_hidden, where all four parts agree on them."""
    _check_matrix("weight_hh", parameters.weight_hh, None, None)
    n_hidden = len(parameters.weight_hh[0])
    n_rows = GATES[kind] * n_hidden
    if len(parameters.weight_hh) != n_rows:
        raise ValueError(f"weight_hh of a {kind} must have {n_rows} rows, got {len(parameters.weight_hh)}")
    _check_matrix("weight_ih", parameters.weight_ih, n_rows, None)
    for name, bias in (("bias_ih", parameters.bias_ih), ("bias_hh", parameters.bias_hh)):
        if len(bias) != n_rows:
            raise ValueError(f"{name} of a {kind} must have {n_rows} values, got {len(bias)}")
    return len(parameters.weight_ih[0]), n_hidden


def _check_state(name: str, state: State, n_parts: int, n_samples: int, n_hidden: int) -> None:  # given
    """A tuple of one matrix, or of two for an LSTM."""
    if not isinstance(state, tuple) or len(state) != n_parts:
        raise ValueError(f"{name} must be a tuple of {n_parts} {'matrices' if n_parts > 1 else 'matrix'}, got {state}")
    for part, letter in zip(state, "hc", strict=False):
        _check_matrix(f"{letter} of {name}", part, n_samples, n_hidden)


def _check_step(kind: str, parameters: Parameters, X: Matrix, state: State) -> None:  # given
    n_in, n_hidden = _check_parameters(kind, parameters)
    _check_matrix("X", X, None, n_in)
    _check_finite("X", X)
    _check_state("state", state, 2 if kind == "lstm" else 1, len(X), n_hidden)


def _check_steps(name: str, x: list[Matrix], n_steps: int, n_samples: int, n_columns: int) -> None:  # given
    """n_steps matrices of one shape."""
    if not isinstance(x, list | tuple) or len(x) != n_steps:
        raise ValueError(f"{name} must have {n_steps} steps, got {x!r}")
    for t, X in enumerate(x):
        _check_matrix(f"{name}[{t}]", X, n_samples, n_columns)


def _check_sequence(kind: str, parameters: Parameters, x: list[Matrix]) -> tuple[int, int]:  # given
    """n_samples and n_hidden, where the kind is known, and x fits the parameters and is finite."""
    _check_kind(kind)
    n_in, n_hidden = _check_parameters(kind, parameters)
    if not isinstance(x, list | tuple) or not x:
        raise ValueError(f"x must have one step or more, got {x!r}")
    _check_matrix("x[0]", x[0], None, n_in)
    _check_steps("x", x, len(x), len(x[0]), n_in)
    for t, X in enumerate(x):
        _check_finite(f"x[{t}]", X)
    return len(x[0]), n_hidden


def _check_lengths(lengths: list[int], n_steps: int, n_samples: int) -> None:  # given
    if len(lengths) != n_samples or min(lengths) < 1 or max(lengths) != n_steps:
        raise ValueError(
            f"lengths must be {n_samples} numbers of 1 or more, the largest of them {n_steps}, got {lengths}"
        )


def _check_trace(kind: str, parameters: Parameters, trace: Trace) -> tuple[int, int]:  # given
    """n_samples and n_hidden, where x, lengths and states fit each other and the parameters; outputs are not read."""
    n_samples, n_hidden = _check_sequence(kind, parameters, trace.x)
    _check_lengths(trace.lengths, len(trace.x), n_samples)
    if len(trace.states) != len(trace.x) + 1:
        raise ValueError(f"trace must have {len(trace.x) + 1} states, got {len(trace.states)}")
    for state in trace.states:
        _check_state("a state of trace", state, 2 if kind == "lstm" else 1, n_samples, n_hidden)
    return n_samples, n_hidden


if __name__ == "__main__":
    by_hand = Parameters([[1.0]], [[0.5]], [0.0], [0.0])
    trace = forward("rnn_relu", by_hand, [[[2.0]], [[1.0]]])
    print("outputs:", trace.outputs)
    print("gradients:", backward("rnn_relu", by_hand, trace, [[[0.0]], [[1.0]]]))
