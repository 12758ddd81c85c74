"""Normalization out of torch.nn.functional, running statistics of torch.nn.BatchNorm1d, and gradients of autograd."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

__all__ = [
    "Gradients",
    "RunningStatistics",
    "batch_norm",
    "batch_norm_backward",
    "fold_batch_norm",
    "group_norm",
    "group_norm_backward",
    "initial_statistics",
    "layer_norm",
    "layer_norm_backward",
    "mean_and_variance",
    "normalize",
    "normalize_backward",
    "rms_norm",
    "rms_norm_backward",
    "update_statistics",
]

Vector = list[float]
Nested = Any  # numbers in lists in lists …, all of one depth and of equal lengths
EPSILON = torch.finfo(torch.float64).eps  # what rms_norm takes for eps=None


@dataclass(frozen=True)
class Gradients:
    """What a backward pass gives.

    Attributes:
        input: dL/dx, with the shape of x.
        weight: dL/dweight, with the shape of the weight.
        bias: dL/dbias, with the shape of the bias; None for rms_norm, which has none.
    """

    input: Nested
    weight: Nested
    bias: Nested


@dataclass(frozen=True)
class RunningStatistics:
    """What batch norm remembers of the batches it was trained on.

    Attributes:
        mean: one for each channel.
        variance: one for each channel; an average of unbiased variances.
        num_batches_tracked: how many batches went into them.
    """

    mean: Vector
    variance: Vector
    num_batches_tracked: int = 0


def mean_and_variance(values: Vector) -> tuple[float, float]:
    """torch.var_mean, which divides by m - 1 unless correction=0."""
    variance, mean = torch.var_mean(_vector(values), correction=0)
    return mean.item(), variance.item()


def normalize(values: Vector, eps: float = 1e-5, centred: bool = True) -> Vector:
    """A layer norm, or an RMS norm, of one sample, without weight and bias."""
    return _normalize(eps, centred)(_vector(values)).tolist()


def normalize_backward(values: Vector, upstream: Vector, eps: float = 1e-5, centred: bool = True) -> Vector:
    """What reaches the values when `upstream` arrives."""
    f, x = _normalize(eps, centred), _vector(values).requires_grad_()
    return torch.autograd.grad(f(x), x, _like("upstream", upstream, x.shape))[0].tolist()


def initial_statistics(n_channels: int) -> RunningStatistics:
    """As BatchNorm1d makes them."""
    if n_channels < 1:
        raise ValueError(f"n_channels must be 1 or more, got {n_channels}")
    return _statistics(torch.nn.BatchNorm1d(n_channels, dtype=torch.float64))


def update_statistics(running: RunningStatistics, x: Nested, momentum: float | None = 0.1) -> RunningStatistics:
    """A BatchNorm1d in training mode updates its buffers while it normalizes."""
    tensor = _tensor("x", x, 2)
    tensor = tensor.reshape(*tensor.shape[:2], -1)  # so that BatchNorm1d does, whatever the number of axes
    if momentum is not None and not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be None or from 0 to 1, got {momentum}")
    layer = torch.nn.BatchNorm1d(tensor.shape[1], momentum=momentum, affine=False, dtype=torch.float64)
    layer.running_mean, layer.running_var = _running(running, tensor.shape[1])
    layer.num_batches_tracked.fill_(running.num_batches_tracked)
    layer.train()(tensor)
    return _statistics(layer)


def batch_norm(
    x: Nested, weight: Vector, bias: Vector, running: RunningStatistics | None = None, eps: float = 1e-5
) -> Nested:
    """functional.batch_norm; torch.nn.BatchNorm1d, 2d and 3d call it."""
    tensor = _tensor("x", x, 2)
    channels = tensor.shape[1:2]
    return _batch_norm(tensor, _like("weight", weight, channels), _like("bias", bias, channels), running, eps).tolist()


def batch_norm_backward(
    x: Nested, weight: Vector, upstream: Nested, running: RunningStatistics | None = None, eps: float = 1e-5
) -> Gradients:
    """Autograd goes through the batch's mean and variance; running statistics are constants to it."""
    tensor = _tensor("x", x, 2)
    gamma = _like("weight", weight, tensor.shape[1:2])
    return _gradients(lambda *leaves: _batch_norm(*leaves, running, eps), tensor, gamma, upstream)


def layer_norm(x: Nested, weight: Nested, bias: Nested, eps: float = 1e-5) -> Nested:
    """functional.layer_norm."""
    tensor, gamma = _with_last_axes(x, weight)
    return _layer_norm(tensor, gamma, _like("bias", bias, gamma.shape), eps).tolist()


def layer_norm_backward(x: Nested, weight: Nested, upstream: Nested, eps: float = 1e-5) -> Gradients:
    """Its gradients, by autograd."""
    return _gradients(lambda *leaves: _layer_norm(*leaves, eps), *_with_last_axes(x, weight), upstream)


def group_norm(x: Nested, n_groups: int, weight: Vector, bias: Vector, eps: float = 1e-5) -> Nested:
    """torch.group_norm."""
    tensor = _tensor("x", x, 2)
    channels = tensor.shape[1:2]
    return _group_norm(tensor, _like("weight", weight, channels), _like("bias", bias, channels), n_groups, eps).tolist()


def group_norm_backward(x: Nested, n_groups: int, weight: Vector, upstream: Nested, eps: float = 1e-5) -> Gradients:
    """Its gradients, by autograd."""
    tensor = _tensor("x", x, 2)
    gamma = _like("weight", weight, tensor.shape[1:2])
    return _gradients(lambda *leaves: _group_norm(*leaves, n_groups, eps), tensor, gamma, upstream)


def rms_norm(x: Nested, weight: Nested, eps: float = EPSILON) -> Nested:
    """functional.rms_norm."""
    tensor, gamma = _with_last_axes(x, weight)
    return functional.rms_norm(tensor, gamma.shape, gamma, _positive(eps)).tolist()


def rms_norm_backward(x: Nested, weight: Nested, upstream: Nested, eps: float = EPSILON) -> Gradients:
    """Its gradients, by autograd; there is no bias."""
    tensor, gamma = _with_last_axes(x, weight)
    leaves = tensor.requires_grad_(), gamma.requires_grad_()
    output = functional.rms_norm(tensor, gamma.shape, gamma, _positive(eps))
    gradients = torch.autograd.grad(output, leaves, _like("upstream", upstream, tensor.shape))
    return Gradients(*(gradient.tolist() for gradient in gradients), None)


def fold_batch_norm(
    weight: Nested,
    bias: Vector | None,
    running: RunningStatistics,
    bn_weight: Vector,
    bn_bias: Vector,
    *,
    eps: float = 1e-5,
) -> tuple[Nested, Vector]:
    """torch.nn.utils.fusion has a function for linear layers and one for convolutions."""
    W = _tensor("weight", weight, 2)
    outputs = W.shape[:1]
    b = None if bias is None else _like("bias", bias, outputs)
    mean, variance = _running(running, len(W))
    gamma, beta = _like("bn_weight", bn_weight, outputs), _like("bn_bias", bn_bias, outputs)
    fuse = fuse_linear_bn_weights if W.ndim == 2 else fuse_conv_bn_weights
    new_weight, new_bias = fuse(W, b, mean, variance, _positive(eps), gamma, beta)
    return new_weight.tolist(), new_bias.tolist()


def _normalize(eps: float, centred: bool) -> Callable[[Tensor], Tensor]:
    norm = functional.layer_norm if centred else functional.rms_norm
    return lambda x: norm(x, x.shape, eps=_positive(eps))


def _batch_norm(x: Tensor, weight: Tensor, bias: Tensor, running: RunningStatistics | None, eps: float) -> Tensor:
    mean, variance = (None, None) if running is None else _running(running, x.shape[1])
    training = running is None
    return functional.batch_norm(x, mean, variance, weight, bias, training=training, eps=_positive(eps))


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return functional.layer_norm(x, weight.shape, weight, bias, _positive(eps))


def _group_norm(x: Tensor, weight: Tensor, bias: Tensor, n_groups: int, eps: float) -> Tensor:
    """functional.group_norm calls torch.group_norm, but refuses one sample whose groups have one value."""
    if n_groups < 1 or x.shape[1] % n_groups:
        raise ValueError(f"n_groups must divide the {x.shape[1]} channels, got {n_groups}")
    return torch.group_norm(x, n_groups, weight, bias, _positive(eps))


def _gradients(f: Callable[..., Tensor], x: Tensor, weight: Tensor, upstream: Nested) -> Gradients:
    leaves = [x.requires_grad_(), weight.requires_grad_(), torch.zeros_like(weight).requires_grad_()]
    gradients = torch.autograd.grad(f(*leaves), leaves, _like("upstream", upstream, x.shape))
    return Gradients(*(gradient.tolist() for gradient in gradients))


def _statistics(layer: torch.nn.BatchNorm1d) -> RunningStatistics:
    return RunningStatistics(layer.running_mean.tolist(), layer.running_var.tolist(), layer.num_batches_tracked.item())


def _running(running: RunningStatistics, n_channels: int) -> tuple[Tensor, Tensor]:
    mean = _like("running.mean", running.mean, (n_channels,))
    variance = _like("running.variance", running.variance, (n_channels,))
    if variance.min() < 0:
        raise ValueError(f"running.variance must not be negative, got {running.variance}")
    return mean, variance


def _with_last_axes(x: Nested, weight: Nested) -> tuple[Tensor, Tensor]:
    tensor, gamma = _tensor("x", x), _tensor("weight", weight)
    if tensor.shape[-gamma.ndim :] != gamma.shape:
        expected, got = tuple(tensor.shape), tuple(gamma.shape)
        raise ValueError(f"weight must have the last axes of x, which is {expected}, got the shape {got}")
    return tensor, gamma


def _like(name: str, x: Nested, shape: tuple[int, ...]) -> Tensor:
    tensor = _tensor(name, x)
    if tensor.shape != shape:
        raise ValueError(f"{name} must have the shape {tuple(shape)}, got {tuple(tensor.shape)}")
    return tensor


def _tensor(name: str, x: Nested, n_axes: int = 1) -> Tensor:
    """A float64 tensor; torch itself raises where the lists are not rectangular."""
    try:
        tensor = torch.tensor(x, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers in lists of equal lengths, got {x!r}") from error
    if tensor.ndim < n_axes or not tensor.numel() or not tensor.isfinite().all():
        raise ValueError(f"{name} must be finite numbers in lists, with {n_axes} axes or more, got {x!r}")
    return tensor


def _vector(values: Vector) -> Tensor:
    tensor = _tensor("values", values)
    if tensor.ndim > 1:
        raise ValueError(f"values must be a list of numbers, got {values!r}")
    return tensor


def _positive(eps: float) -> float:
    if not 0 < eps < math.inf:
        raise ValueError(f"eps must be above 0 and finite, got {eps}")
    return eps
