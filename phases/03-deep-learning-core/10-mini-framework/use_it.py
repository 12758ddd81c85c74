"""The same names on PyTorch: tensors in float64, and randomness that comes in from outside."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, cat, no_grad, stack
from torch.nn import Module, Parameter, ReLU, Sequential, Sigmoid, Tanh
from torch.nn.functional import linear
from torch.optim import SGD, Adam, Optimizer
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


def tensor(data: Any, *, requires_grad: bool = False) -> Tensor:
    """A float64 leaf from a number or nested lists; ValueError if they are ragged, empty or hold no numbers."""
    try:
        made = torch.tensor(data, dtype=torch.float64, requires_grad=requires_grad)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"expected numbers or nested lists of numbers, got {data!s:.80}: {error}") from error
    if not made.numel():
        raise ValueError(f"expected at least one number, got {data!s:.80}")
    return made


class Linear(torch.nn.Linear):
    """`torch.nn.Linear` in float64 with torch's initial distribution, drawn from `rng`."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, rng: Random) -> None:
        if in_features < 1 or out_features < 1:
            raise ValueError(f"expected at least one input and one output, got {in_features} and {out_features}")
        super().__init__(in_features, out_features, bias, dtype=torch.float64)
        k = in_features**-0.5
        with no_grad():
            for parameter in self.parameters():  # the weight, and then the bias
                draws = [rng.uniform(-k, k) for _ in range(parameter.numel())]
                parameter.copy_(tensor(draws).reshape(parameter.shape))


def cross_entropy(input: Tensor, target: Sequence[int]) -> Tensor:
    """`torch.nn.functional.cross_entropy` for a list of classes."""
    try:
        if -100 in target:
            raise IndexError("-100 is torch's ignore_index: it would leave the sample out")
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


def batches(n_samples: int, batch_size: int, rng: Random) -> Iterator[list[int]]:
    """Lists of sample numbers by `torch.utils.data.BatchSampler`, in an order drawn from `rng`."""
    if n_samples < 1:
        raise ValueError(f"expected at least one sample, got {n_samples}")
    order = list(range(n_samples))
    rng.shuffle(order)
    return iter(BatchSampler(order, batch_size, drop_last=False))


def save_file(tensors: dict[str, Tensor], filename: str | Path) -> None:
    """`safetensors.torch.save_file`, which would write a tensor named ``__metadata__`` and not read it again."""
    if "__metadata__" in tensors:
        raise ValueError("expected names of tensors, got '__metadata__', which the format keeps for itself")
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
