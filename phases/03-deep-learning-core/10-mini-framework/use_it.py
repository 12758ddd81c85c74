"""The same names on PyTorch: tensors in float64, and randomness that comes in from outside."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, cat, no_grad, stack
from torch.nn.functional import linear
from torch.optim import Optimizer
from torch.utils.data import BatchSampler

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

torch.set_num_threads(1)  # on tensors this small, waking a second thread costs more than the work


def tensor(data: Any, *, requires_grad: bool = False) -> Tensor:
    """A float64 leaf from a number or nested lists; ValueError if they are ragged, empty or hold no numbers."""
    try:
        made = torch.tensor(data, dtype=torch.float64, requires_grad=requires_grad)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"expected numbers or nested lists of numbers, got {data!s:.80}: {error}") from error
    if not made.numel():
        raise ValueError(f"expected at least one number, got {data!s:.80}")
    return made


class Parameter(torch.nn.Parameter):
    """`torch.nn.Parameter`, which would be empty without `data`."""

    def __new__(cls, data: Tensor, requires_grad: bool = True) -> "Parameter":
        return super().__new__(cls, data, requires_grad)


class Module(torch.nn.Module):
    """`torch.nn.Module`; a state that does not fit is a ValueError."""

    def __init__(self) -> None:
        super().__init__()

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """All parameters by name, strictly."""
        try:
            super().load_state_dict(state_dict)
        except RuntimeError as error:
            raise ValueError(str(error)) from error


class Linear(Module, torch.nn.Linear):
    """`torch.nn.Linear` in float64 with torch's initial distribution, drawn from `rng`."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, rng: Random) -> None:
        if in_features < 1 or out_features < 1:
            raise ValueError(f"expected at least one input and one output, got {in_features} and {out_features}")
        torch.nn.Linear.__init__(self, in_features, out_features, bias, dtype=torch.float64)
        k = in_features**-0.5
        with no_grad():
            for parameter in self.parameters():  # the weight, and then the bias
                draws = [rng.uniform(-k, k) for _ in range(parameter.numel())]
                parameter.copy_(tensor(draws).reshape(parameter.shape))


class ReLU(Module, torch.nn.ReLU):
    """`torch.nn.ReLU`."""


class Tanh(Module, torch.nn.Tanh):
    """`torch.nn.Tanh`."""


class Sigmoid(Module, torch.nn.Sigmoid):
    """`torch.nn.Sigmoid`."""


class Sequential(Module, torch.nn.Sequential):
    """`torch.nn.Sequential`."""

    def __init__(self, *args: Module) -> None:
        torch.nn.Sequential.__init__(self, *args)


def cross_entropy(input: Tensor, target: Sequence[int]) -> Tensor:
    """`torch.nn.functional.cross_entropy` for a list of classes."""
    try:
        return torch.nn.functional.cross_entropy(input, torch.tensor(target))
    except (IndexError, RuntimeError) as error:
        raise ValueError(
            f"expected logits (n_samples, n_classes) and a class for each, got {input.shape}, {target}: {error}"
        ) from error


def mse_loss(input: Tensor, target: Tensor) -> Tensor:
    """`torch.nn.functional.mse_loss`, which would broadcast, for equal shapes."""
    if input.shape != target.shape:
        raise ValueError(f"expected a target of shape {tuple(input.shape)}, got {tuple(target.shape)}")
    return torch.nn.functional.mse_loss(input, target)


class SGD(torch.optim.SGD):
    """`torch.optim.SGD`."""

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay)


class Adam(torch.optim.Adam):
    """`torch.optim.Adam`."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps)


def batches(n_samples: int, batch_size: int, rng: Random) -> Iterator[list[int]]:
    """Lists of sample numbers by `torch.utils.data.BatchSampler`, in an order drawn from `rng`."""
    if n_samples < 1:
        raise ValueError(f"expected at least one sample, got {n_samples}")
    order = list(range(n_samples))
    rng.shuffle(order)
    return iter(BatchSampler(order, batch_size, drop_last=False))


def save_file(tensors: dict[str, Tensor], filename: str | Path) -> None:
    """`safetensors.torch.save_file`."""
    safetensors.torch.save_file(tensors, filename)


def load_file(filename: str | Path) -> dict[str, Tensor]:
    """`safetensors.torch.load_file`, as float64; ValueError for a damaged file or another dtype."""
    try:
        tensors = safetensors.torch.load_file(filename)
    except safetensors.SafetensorError as error:
        raise ValueError(f"expected a safetensors file, got {filename}: {error}") from error
    for name, value in tensors.items():
        if value.dtype not in (torch.float32, torch.float64) or not value.numel():
            raise ValueError(f"expected F64 or F32 tensors, got {filename}: {name} is {value.dtype}, {value.shape}")
    return {name: value.double() for name, value in tensors.items()}


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
    """The usual loop; returns the loss of each step. Keras and Lightning sell it ready-made, torch leaves it to you."""
    if len(inputs) != len(targets):
        raise ValueError(f"expected as many targets as inputs, got {len(targets)} for {len(inputs)}")
    losses = []
    for _ in range(epochs):
        for batch in batches(len(inputs), batch_size, rng):
            wanted = targets[batch] if isinstance(targets, Tensor) else [targets[i] for i in batch]
            optimizer.zero_grad()
            value = loss(model(inputs[batch]), wanted)
            value.backward()
            optimizer.step()
            losses.append(value.item())
    return losses
