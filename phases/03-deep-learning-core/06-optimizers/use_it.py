"""The optimizers of torch.optim, on plain lists, and a training loop with autograd and torch.utils.data."""

import math
from random import Random
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import BatchSampler

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "RMSprop", "batches", "loss_and_gradients", "train"]

Vector = list[float]
Matrix = list[list[float]]
Parameters = list[Any]
State = dict[str, Any]


class _Optimizer:
    """A torch optimizer whose tensors are filled from lists before a step, and read after it."""

    torch_class: ClassVar[type[torch.optim.Optimizer]]

    def __init__(self, lr: float, weight_decay: float, **settings: Any) -> None:
        if not (0 <= lr < math.inf and 0 <= weight_decay < math.inf):
            raise ValueError(f"lr and weight_decay must be at least 0 and finite, got {lr} and {weight_decay}")
        self.lr = lr
        self._settings = settings | {"weight_decay": weight_decay}
        self._tensors: list[Tensor] = []

    @property
    def state(self) -> State:
        """optimizer.state, which torch keeps for each tensor, gathered by name."""
        kept = [self._optimizer.state[tensor] for tensor in self._tensors]
        names = kept[0] if kept else {}
        return {name: int(kept[0][name]) if name == "step" else [k[name].tolist() for k in kept] for name in names}

    def step(self, parameters: Parameters, gradients: Parameters) -> Parameters:
        """optimizer.step(), once the gradients are where backward() would have put them."""
        self.bind(parameters)
        if len(gradients) != len(parameters):
            raise ValueError(f"{len(parameters)} parameters need as many gradients, got {len(gradients)}")
        slopes = [_finite(f"gradient {i}", gradient) for i, gradient in enumerate(gradients)]
        for i, (tensor, slope) in enumerate(zip(self._tensors, slopes, strict=True)):
            if slope.shape != tensor.shape:
                raise ValueError(f"gradient {i} must have the shape {tuple(tensor.shape)}, got {tuple(slope.shape)}")
            tensor.grad = slope
        self.move()
        return [tensor.tolist() for tensor in self._tensors]

    def bind(self, parameters: Parameters) -> list[Tensor]:
        """The tensors that torch's optimizer moves, filled with `parameters`."""
        if not parameters:
            raise ValueError("parameters must hold one parameter or more, got none")
        values = [_finite(f"parameter {i}", parameter) for i, parameter in enumerate(parameters)]
        if not self._tensors:
            self._tensors = [value.requires_grad_() for value in values]
            self._optimizer = self.torch_class(self._tensors, lr=self.lr, **self._settings)
            return self._tensors
        shapes, found = ([tuple(tensor.shape) for tensor in tensors] for tensors in (self._tensors, values))
        if found != shapes:
            raise ValueError(f"the shapes of the parameters were {shapes} at the first step, got {found}")
        with torch.no_grad():
            for tensor, value in zip(self._tensors, values, strict=True):
                tensor.copy_(value)
        return self._tensors

    def move(self) -> None:
        """One step of torch's optimizer with the learning rate of now, as a scheduler sets it."""
        self._optimizer.param_groups[0]["lr"] = self.lr
        self._optimizer.step()


class SGD(_Optimizer):
    """torch.optim.SGD."""

    torch_class = torch.optim.SGD

    def __init__(
        self,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        """torch also takes a momentum of 1 and more, whose velocity never fades, and any dampening."""
        _fractions(momentum=momentum)
        if not 0 <= dampening <= 1:
            raise ValueError(f"dampening must be from 0 to 1, got {dampening}")
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(f"nesterov needs momentum above 0 and dampening 0, got {momentum} and {dampening}")
        super().__init__(lr, weight_decay, momentum=momentum, dampening=dampening, nesterov=nesterov)


class Adagrad(_Optimizer):
    """torch.optim.Adagrad."""

    torch_class = torch.optim.Adagrad

    def __init__(
        self,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        """torch also takes eps = 0, and answers NaN where every gradient was 0."""
        if not (0 <= lr_decay < math.inf and 0 <= initial_accumulator_value < math.inf):
            raise ValueError(
                "lr_decay and initial_accumulator_value must be at least 0 and finite, "
                f"got {lr_decay} and {initial_accumulator_value}"
            )
        _positive(eps)
        super().__init__(
            lr, weight_decay, lr_decay=lr_decay, initial_accumulator_value=initial_accumulator_value, eps=eps
        )


class RMSprop(_Optimizer):
    """torch.optim.RMSprop."""

    torch_class = torch.optim.RMSprop

    def __init__(  # noqa: PLR0917  # torch's order
        self,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        """torch also takes alpha and momentum of 1 and more."""
        _fractions(alpha=alpha, momentum=momentum)
        _positive(eps)
        super().__init__(lr, weight_decay, alpha=alpha, eps=eps, momentum=momentum, centered=centered)


class Adam(_Optimizer):
    """torch.optim.Adam, without amsgrad."""

    torch_class = torch.optim.Adam

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """torch wants both betas as floats: it refuses an int beside a float."""
        if len(betas) != 2:
            raise ValueError(f"betas must be two numbers, got {betas}")
        _fractions(**{"betas[0]": betas[0], "betas[1]": betas[1]})
        _positive(eps)
        super().__init__(lr, weight_decay, betas=(float(betas[0]), float(betas[1])), eps=eps)


class AdamW(Adam):
    """torch.optim.AdamW."""

    torch_class = torch.optim.AdamW

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        """Adam in all but the default of weight_decay, and where it goes."""
        super().__init__(lr, betas, eps, weight_decay)


def batches(n_samples: int, batch_size: int, rng: Random) -> list[list[int]]:
    """torch.utils.data.BatchSampler, over an order from `rng` in place of a RandomSampler."""
    _count("n_samples", n_samples)
    _count("batch_size", batch_size)
    return list(BatchSampler(rng.sample(range(n_samples), n_samples), batch_size, drop_last=False))


def loss_and_gradients(parameters: Parameters, X: Matrix, y: Vector) -> tuple[float, Parameters]:
    """functional.mse_loss and autograd."""
    weights, bias = (torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in _model(parameters))
    inputs, targets = _data(X, y, weights)
    loss = functional.mse_loss(inputs @ weights + bias, targets)
    loss.backward()
    return loss.item(), [weights.grad.tolist(), bias.grad.tolist()]


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
    """The loop that every torch user writes: loss, zero_grad, backward, step."""
    _count("batch_size", batch_size)
    _count("n_epochs", n_epochs, least=0)
    weights, bias = optimizer.bind(_model(parameters))
    inputs, targets = _data(X, y, weights)

    losses = []
    for _ in range(n_epochs):
        for rows in batches(len(inputs), batch_size, rng):
            chosen = torch.tensor(rows)  # indexing with a list of ints is much slower
            loss = functional.mse_loss(inputs[chosen] @ weights + bias, targets[chosen])
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                return [weights.tolist(), bias.tolist()], losses
            weights.grad = bias.grad = None
            loss.backward()
            if not (weights.grad.isfinite().all() and bias.grad.isfinite()):
                raise ValueError(f"gradients must hold finite numbers, got {weights.grad} and {bias.grad}")
            optimizer.move()
    return [weights.tolist(), bias.tolist()], losses


def _finite(name: str, values: Any) -> Tensor:
    """A float64 tensor; torch itself raises ValueError where lists of one parameter differ in length."""
    tensor = torch.tensor(values, dtype=torch.float64)
    if not tensor.numel() or not tensor.isfinite().all():
        raise ValueError(f"{name} must hold finite numbers, one at least, got {values}")
    return tensor


def _model(parameters: Parameters) -> Parameters:
    if len(parameters) != 2 or not isinstance(parameters[0], list) or isinstance(parameters[1], list):
        raise ValueError(f"parameters must be a list of weights and a bias, got {parameters}")
    return parameters


def _data(X: Matrix, y: Vector, weights: Tensor) -> tuple[Tensor, Tensor]:
    inputs, targets = _finite("X", X), _finite("y", y)
    if inputs.ndim != 2 or inputs.shape != (len(y), len(weights)):
        raise ValueError(f"X must have {len(y)} rows of {len(weights)} values, got {tuple(inputs.shape)}")
    return inputs, targets


def _fractions(**settings: float) -> None:
    for name, value in settings.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {value}")


def _positive(eps: float) -> None:
    if not 0 < eps < math.inf:
        raise ValueError(f"eps must be positive and finite, got {eps}")


def _count(name: str, value: int, least: int = 1) -> None:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
