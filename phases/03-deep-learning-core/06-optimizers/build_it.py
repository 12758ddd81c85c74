"""Optimizers from SGD to AdamW, and a training loop with mini-batches, on the standard library."""

import math
from collections.abc import Callable
from operator import mul
from random import Random
from typing import Any

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "RMSprop", "batches", "loss_and_gradients", "train"]

Vector = list[float]
Matrix = list[list[float]]
Parameters = list[Any]  # each entry is one parameter: a number, a vector, a matrix … as nested lists
State = dict[str, Any]  # what an optimizer remembers: "step", or a list shaped as the parameters


def _each(f: Callable[..., float], *trees: Any) -> Any:  # given
    """f of the numbers at the same place in each of several nested lists of one shape, for every place."""
    if isinstance(trees[0], list):
        return [_each(f, *branches) for branches in zip(*trees, strict=True)]
    return f(*trees)


class _Optimizer:  # given
    """What all optimizers share."""

    def __init__(self, lr: float, weight_decay: float) -> None:  # given
        _check_setting("lr", lr)
        _check_setting("weight_decay", weight_decay)
        self.lr, self.weight_decay = lr, weight_decay
        self.state: State = {}
        self._shapes: list[tuple[int, ...]] = []

    def _check(self, parameters: Parameters, gradients: Parameters) -> None:  # given
        """Finite numbers, one gradient for each parameter and of its shape; the same shapes at every step."""
        shapes = [_shape(f"parameter {i}", parameter) for i, parameter in enumerate(parameters)]
        if not shapes:
            raise ValueError("parameters must hold one parameter or more, got none")
        if len(gradients) != len(parameters):
            raise ValueError(f"{len(parameters)} parameters need as many gradients, got {len(gradients)}")
        for i, (shape, gradient) in enumerate(zip(shapes, gradients, strict=True)):
            if (found := _shape(f"gradient {i}", gradient)) != shape:
                raise ValueError(f"gradient {i} must have the shape of its parameter, {shape}, got {found}")
        if self._shapes and shapes != self._shapes:
            raise ValueError(f"the shapes of the parameters were {self._shapes} at the first step, got {shapes}")
        self._shapes = shapes


class SGD(_Optimizer):
    """Gradient descent with momentum (Polyak 1964). One step, for each number θ with gradient g:

        g ← g + weight_decay · θ
        b ← momentum · b + (1 - dampening) · g      (b = g at the first step, whatever the dampening)
        θ ← θ - lr · b                              (nesterov: θ ← θ - lr · (g + momentum · b))

    Without momentum b is g, and dampening has no effect.

    Attributes:
        lr: the learning rate; it may be changed between steps.
        momentum, dampening, weight_decay, nesterov: the settings.
        state: "momentum_buffer", the b of every number, once a step with momentum was made.
    """

    def __init__(
        self,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        """Settings, with torch's names, order and defaults.

        Raises:
            ValueError: lr or weight_decay is below 0 or not finite, momentum is not in [0, 1), dampening is not in
                [0, 1], or nesterov comes without momentum or with dampening.
        """
        super().__init__(lr, weight_decay)
        _check_fraction("momentum", momentum)
        if not 0 <= dampening <= 1:
            raise ValueError(f"dampening must be from 0 to 1, got {dampening}")
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(f"nesterov needs momentum above 0 and dampening 0, got {momentum} and {dampening}")
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov

    def step(self, parameters: Parameters, gradients: Parameters) -> Parameters:
        """The parameters after one step; those that came are left as they are.

        Args:
            parameters: a list of one parameter or more, each a number or a nested list of finite numbers.
            gradients: the derivative of the loss by each of these numbers, in the same shapes.

        Raises:
            ValueError: no parameter, a shape that does not fit or that changed since the last step, or a number that
                is not finite.
        """
        self._check(parameters, gradients)
        g = _each(lambda theta, g: g + self.weight_decay * theta, parameters, gradients)
        move = g
        if self.momentum:
            b = self.state.get("momentum_buffer")
            b = g if b is None else _each(lambda b, g: self.momentum * b + (1 - self.dampening) * g, b, g)
            self.state["momentum_buffer"] = b
            move = _each(lambda b, g: g + self.momentum * b, b, g) if self.nesterov else b
        return _each(lambda theta, d: theta - self.lr * d, parameters, move)


class Adagrad(_Optimizer):
    """Steps divided by the root of all squared gradients so far (Duchi, Hazan & Singer 2011). The t-th step, from 1:

        g ← g + weight_decay · θ
        s ← s + g²                                  (s begins at initial_accumulator_value)
        θ ← θ - lr / (1 + (t - 1) · lr_decay) · g / (√s + eps)

    Attributes:
        lr: the learning rate; it may be changed between steps.
        lr_decay, weight_decay, initial_accumulator_value, eps: the settings.
        state: after a step "step", the number t of steps made, and "sum", the s of every number.
    """

    def __init__(
        self,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        """Settings, with torch's names, order and defaults.

        Raises:
            ValueError: a setting is below 0 or not finite, or eps is 0.
        """
        super().__init__(lr, weight_decay)
        _check_setting("lr_decay", lr_decay)
        _check_setting("initial_accumulator_value", initial_accumulator_value)
        _check_eps(eps)
        self.lr_decay, self.initial_accumulator_value, self.eps = lr_decay, initial_accumulator_value, eps

    def step(self, parameters: Parameters, gradients: Parameters) -> Parameters:
        """The parameters after one step; arguments and errors as `SGD.step`."""
        self._check(parameters, gradients)
        t = self.state.get("step", 0) + 1
        s = self.state.get("sum") or _each(lambda _: self.initial_accumulator_value, parameters)
        g = _each(lambda theta, g: g + self.weight_decay * theta, parameters, gradients)
        s = _each(lambda s, g: s + g * g, s, g)
        self.state = {"step": t, "sum": s}
        lr = self.lr / (1 + (t - 1) * self.lr_decay)
        return _each(lambda theta, g, s: theta - lr * g / (math.sqrt(s) + self.eps), parameters, g, s)


class RMSprop(_Optimizer):
    """Steps divided by the root of a running mean of squared gradients (Hinton 2012). One step:

        g ← g + weight_decay · θ
        v ← alpha · v + (1 - alpha) · g²            (begins at 0, and is not corrected for it)
        m ← alpha · m + (1 - alpha) · g             (centered only: then v - m², a variance, stands for v below)
        d = g / (√v + eps)
        b ← momentum · b + d                        (with momentum only: then b stands for d below)
        θ ← θ - lr · d

    Attributes:
        lr: the learning rate; it may be changed between steps.
        alpha, eps, weight_decay, momentum, centered: the settings.
        state: after a step "step", the number of steps made, and "square_avg", the v of every number; where they are
            used, "grad_avg", m, and "momentum_buffer", b.
    """

    def __init__(  # noqa: PLR0917  # torch's order
        self,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        """Settings, with torch's names, order and defaults.

        Raises:
            ValueError: lr or weight_decay is below 0 or not finite, eps is not positive and finite, or alpha or
                momentum is not in [0, 1).
        """
        super().__init__(lr, weight_decay)
        _check_fraction("alpha", alpha)
        _check_eps(eps)
        _check_fraction("momentum", momentum)
        self.alpha, self.eps, self.momentum, self.centered = alpha, eps, momentum, centered

    def step(self, parameters: Parameters, gradients: Parameters) -> Parameters:
        """The parameters after one step; arguments and errors as `SGD.step`.

        With `centered` and gradients that hardly vary, v - m² can come out below 0 by rounding. Its root is then NaN,
        as in torch, and the next step refuses the parameters.
        """
        self._check(parameters, gradients)
        zeros = _each(lambda _: 0.0, parameters)
        g = _each(lambda theta, g: g + self.weight_decay * theta, parameters, gradients)
        v = _each(lambda v, g: self.alpha * v + (1 - self.alpha) * g * g, self.state.get("square_avg", zeros), g)
        state: State = {"step": self.state.get("step", 0) + 1, "square_avg": v}
        if self.centered:
            m = _each(lambda m, g: self.alpha * m + (1 - self.alpha) * g, self.state.get("grad_avg", zeros), g)
            state["grad_avg"] = m
            v = _each(lambda v, m: v - m * m, v, m)
        move = _each(lambda g, v: g / (_root(v) + self.eps), g, v)
        if self.momentum:
            move = _each(lambda b, d: self.momentum * b + d, self.state.get("momentum_buffer", zeros), move)
            state["momentum_buffer"] = move
        self.state = state
        return _each(lambda theta, d: theta - self.lr * d, parameters, move)


class Adam(_Optimizer):
    """Kingma & Ba (2015), algorithm 1. The t-th step, from 1, with (β₁, β₂) = betas:

        g ← g + weight_decay · θ                    (coupled: the decay goes through everything below)
        m ← β₁ m + (1 - β₁) g        m̂ = m / (1 - β₁ᵗ)
        v ← β₂ v + (1 - β₂) g²       v̂ = v / (1 - β₂ᵗ)
        θ ← θ - lr · m̂ / (√v̂ + eps)

    m and v begin at 0.

    Attributes:
        lr: the learning rate; it may be changed between steps.
        betas, eps, weight_decay: the settings.
        state: after a step "step", the number t of steps made, "exp_avg", the m, and "exp_avg_sq", the v of every
            number.
    """

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """Settings, with torch's names, order and defaults.

        Raises:
            ValueError: lr or weight_decay is below 0 or not finite, eps is not positive and finite, or betas are not
                two numbers in [0, 1); the message says which: betas[0] or betas[1].
        """
        super().__init__(lr, weight_decay)
        if len(betas) != 2:
            raise ValueError(f"betas must be two numbers, got {betas}")
        for i, beta in enumerate(betas):
            _check_fraction(f"betas[{i}]", beta)
        _check_eps(eps)
        self.betas, self.eps = betas, eps

    def step(self, parameters: Parameters, gradients: Parameters) -> Parameters:
        """The parameters after one step; arguments and errors as `SGD.step`."""
        self._check(parameters, gradients)
        g = _each(lambda theta, g: g + self.weight_decay * theta, parameters, gradients)
        return self._move(parameters, g)

    def _move(self, parameters: Parameters, g: Parameters) -> Parameters:
        """The last three lines of the algorithm."""
        beta1, beta2 = self.betas
        zeros = _each(lambda _: 0.0, parameters)
        t = self.state.get("step", 0) + 1
        m = _each(lambda m, g: beta1 * m + (1 - beta1) * g, self.state.get("exp_avg", zeros), g)
        v = _each(lambda v, g: beta2 * v + (1 - beta2) * g * g, self.state.get("exp_avg_sq", zeros), g)
        self.state = {"step": t, "exp_avg": m, "exp_avg_sq": v}
        m_hat = _each(lambda m: m / (1 - beta1**t), m)
        v_hat = _each(lambda v: v / (1 - beta2**t), v)
        return _each(lambda theta, m, v: theta - self.lr * m / (math.sqrt(v) + self.eps), parameters, m_hat, v_hat)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019). One step:

        θ ← θ - lr · weight_decay · θ
        then the step of Adam, from there, with a g that has no decay in it.

    Attributes:
        lr: the learning rate, which the decay is proportional to; it may be changed between steps.
        betas, eps, weight_decay, state: as Adam's.
    """

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        """Settings and errors as `Adam`; weight_decay is 0.01 if you do not say otherwise."""
        super().__init__(lr, betas, eps, weight_decay)

    def step(self, parameters: Parameters, gradients: Parameters) -> Parameters:
        """The parameters after one step; arguments and errors as `SGD.step`."""
        self._check(parameters, gradients)
        shrunk = _each(lambda theta: theta * (1 - self.lr * self.weight_decay), parameters)
        return self._move(shrunk, gradients)


def batches(n_samples: int, batch_size: int, rng: Random) -> list[list[int]]:
    """One epoch: every row once, in random order, cut into batches; the last one may be smaller.

    Args:
        n_samples: the number of rows.
        batch_size: rows in each batch: 1 is stochastic, n_samples or more is full-batch gradient descent.
        rng: the order is drawn as `rng.sample(range(n_samples), n_samples)`, and nothing else is.

    Returns:
        Lists of row numbers.

    Raises:
        ValueError: n_samples or batch_size is not a whole number of at least 1.
    """
    _check_count("n_samples", n_samples)
    _check_count("batch_size", batch_size)
    order = rng.sample(range(n_samples), n_samples)
    return [order[start : start + batch_size] for start in range(0, n_samples, batch_size)]


def loss_and_gradients(parameters: Parameters, X: Matrix, y: Vector) -> tuple[float, Parameters]:
    """The mean squared error of a linear model, and its derivatives.

    Args:
        parameters: [weights, bias]: n_features numbers, and one.
        X: n_samples × n_features, finite.
        y: n_samples finite numbers.

    Returns:
        The mean of (x · w + b - y)² over the rows, and [its derivatives by the weights, that by the bias]. A square
        that is too large for a float is inf.

    Raises:
        ValueError: parameters are no such pair, X has no row or none of n_features columns, y is not as long, or X
            or y holds a number that is not finite.
    """
    weights, bias = _check_model(parameters)
    _check_data(X, y, len(weights))
    return _squared_error(weights, bias, X, y)


def _squared_error(weights: Vector, bias: float, X: Matrix, y: Vector) -> tuple[float, Parameters]:
    """With errors e = x · w + b - y: the mean of e², and the means of 2 e x and of 2 e."""
    errors = [sum(map(mul, x, weights)) + bias - target for x, target in zip(X, y, strict=True)]
    loss = sum(map(mul, errors, errors)) / len(X)
    slopes = [2 * sum(map(mul, column, errors)) / len(X) for column in zip(*X, strict=True)]
    return loss, [slopes, 2 * sum(errors) / len(X)]


def train(
    optimizer: SGD | Adagrad | RMSprop | Adam,
    parameters: Parameters,
    X: Matrix,
    y: Vector,
    *,
    batch_size: int,
    n_epochs: int,
    rng: Random,
) -> tuple[Parameters, list[float]]:
    """Fit a linear model: in every epoch one step for each batch of `batches`, on the gradients of that batch.

    Args:
        optimizer: one of the above; its state goes on from where it is.
        parameters: [weights, bias] to start from; left as they are.
        X: n_samples × n_features.
        y: n_samples numbers.
        batch_size: rows in each batch.
        n_epochs: passes over the rows; with 0 all is checked, and the parameters come back unchanged.
        rng: where the order of the rows comes from, anew for each epoch.

    Returns:
        The parameters, and for each step the loss on its batch, before the step. A loss that is not finite ends the
        training: it is the last one in the list, and the step is not made.

    Raises:
        ValueError: as `batches` and `loss_and_gradients`; parameters that are not finite; n_epochs is not a whole
            number of at least 0.
    """
    _check_count("batch_size", batch_size)
    _check_count("n_epochs", n_epochs, least=0)
    weights, bias = _check_model(parameters)
    _shape("weights and bias", [*weights, bias])
    _check_data(X, y, len(weights))
    losses = []
    for _ in range(n_epochs):
        for rows in batches(len(X), batch_size, rng):
            loss, gradients = _squared_error(*parameters, [X[i] for i in rows], [y[i] for i in rows])
            losses.append(loss)
            if not math.isfinite(loss):
                return parameters, losses
            parameters = optimizer.step(parameters, gradients)
    return parameters, losses


def _root(value: float) -> float:  # given
    """The square root; NaN of a negative number, where math.sqrt raises."""
    return math.sqrt(value) if value >= 0 else math.nan


def _shape(name: str, values: Any) -> tuple[int, ...]:  # given
    """() of a number, (n,) of a vector, (n, m) of a matrix …; every number must be finite."""
    if not isinstance(values, list):
        if not math.isfinite(values):
            raise ValueError(f"{name} must hold finite numbers, got {values}")
        return ()
    shapes = {_shape(name, value) for value in values}
    if len(shapes) != 1:
        raise ValueError(f"{name} must be a number or lists of equal shape, got lists of {sorted(shapes)}")
    return (len(values), *shapes.pop())


def _check_setting(name: str, value: float) -> None:  # given
    """At least 0, and finite."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be at least 0 and finite, got {value}")


def _check_fraction(name: str, value: float) -> None:  # given
    """From 0 to below 1: what is remembered must fade."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value}")


def _check_eps(value: float) -> None:  # given
    """Above 0, and finite: with 0, a gradient of 0 would be divided by 0."""
    if not 0 < value < math.inf:
        raise ValueError(f"eps must be positive and finite, got {value}")


def _check_count(name: str, value: int, least: int = 1) -> None:  # given
    """A whole number of at least `least`."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


def _check_model(parameters: Parameters) -> tuple[Vector, float]:  # given
    """[weights, bias]; in training their numbers may have grown beyond all bounds."""
    if len(parameters) != 2 or not isinstance(parameters[0], list) or isinstance(parameters[1], list):
        raise ValueError(f"parameters must be a list of weights and a bias, got {parameters}")
    return parameters[0], parameters[1]


def _check_data(X: Matrix, y: Vector, n_features: int) -> None:  # given
    """Finite rows of n_features values, one at least, and as many targets."""
    if not X or len(y) != len(X):
        raise ValueError(f"X and y must have as many rows, one at least, got {len(X)} and {len(y)}")
    for i, (x, target) in enumerate(zip(X, y, strict=True)):
        if len(x) != n_features:
            raise ValueError(f"row {i} of X must have {n_features} values, got {len(x)}")
        if not all(map(math.isfinite, x)) or not math.isfinite(target):
            raise ValueError(f"row {i} of X and its target must be finite, got {x} and {target}")


if __name__ == "__main__":
    for optimizer in (SGD(1.0), SGD(1.0, momentum=0.5), Adagrad(1.0), RMSprop(1.0, alpha=0.5), Adam(1.0, (0.5, 0.5))):
        first = optimizer.step([10.0], [5.0])
        second = optimizer.step(first, [1.0])
        print(f"{type(optimizer).__name__}: 10 -> {first[0]:.4f} -> {second[0]:.4f}, gradients 5 and 1, lr 1")
