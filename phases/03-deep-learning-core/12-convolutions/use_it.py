"""Convolution, pooling, unfold and fold of torch.nn.functional; gradients of autograd."""

import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "Gradients",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "col2im",
    "conv2d",
    "conv2d_backward",
    "conv2d_im2col",
    "conv2d_im2col_backward",
    "conv_output_size",
    "im2col",
    "max_pool2d",
    "max_pool2d_backward",
    "receptive_field",
]

Vector = list[float]
Matrix = list[list[float]]
Images = list[list[Matrix]]  # n_samples × n_channels × height × width
Pair = int | tuple[int, int]  # one number for both axes, or (for the rows, for the columns)


@dataclass(frozen=True)
class Gradients:
    """What the backward pass of a convolution gives.

    Attributes:
        input: dL/dx, with the shape of x.
        weight: dL/dweight, with the shape of the weight.
        bias: dL/dbias, one for each output channel, whether or not the forward pass had a bias.
    """

    input: Images
    weight: Images
    bias: Vector


def conv_output_size(size: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """The shape of a convolution of tensors on the device "meta", which have shapes and no numbers."""
    _pairs(size=size, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    x, weight = torch.empty(1, 1, size, device="meta"), torch.empty(1, 1, kernel_size, device="meta")
    return _checked(functional.conv1d, x, weight, None, stride, padding, dilation).shape[-1]


def receptive_field(layers: list[tuple[int, int, int]]) -> int:
    """From one output back to the input: the size of a transposed convolution is all inputs that can reach it."""
    seen = torch.empty(1, 1, 1, device="meta")
    for kernel_size, stride, dilation in reversed(layers):
        _pairs(kernel_size=kernel_size, stride=stride, dilation=dilation)
        weight = torch.empty(1, 1, kernel_size, device="meta")
        seen = functional.conv_transpose1d(seen, weight, stride=stride, dilation=dilation)
    return seen.shape[-1]


def conv2d(
    x: Images,
    weight: Images,
    bias: Vector | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Images:
    """functional.conv2d; torch.nn.Conv2d calls it."""
    options = _pairs(stride=stride, padding=padding, dilation=dilation)
    tensor, W = _tensor("x", x, 4), _tensor("weight", weight, 4)
    b = None if bias is None else _tensor("bias", bias, 1)
    return _conv2d(tensor, W, b, groups=groups, **options).tolist()


def conv2d_backward(
    x: Images,
    weight: Images,
    upstream: Images,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Gradients:
    """Its gradients, by autograd."""
    options = _pairs(stride=stride, padding=padding, dilation=dilation)
    return _gradients(_conv2d, x, weight, upstream, groups=groups, **options)


def im2col(x: Images, kernel_size: Pair, *, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1) -> list[Matrix]:
    """functional.unfold."""
    options = _pairs(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    return _checked(functional.unfold, _tensor("x", x, 4), **options).tolist()


def col2im(
    columns: list[Matrix],
    image_size: Pair,
    kernel_size: Pair,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Images:
    """functional.fold."""
    options = _pairs(output_size=image_size, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    return _checked(functional.fold, _tensor("columns", columns, 3), **options).tolist()


def conv2d_im2col(
    x: Images,
    weight: Images,
    bias: Vector | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Images:
    """functional.unfold and a matrix product."""
    options = _pairs(stride=stride, padding=padding, dilation=dilation)
    tensor, W = _tensor("x", x, 4), _tensor("weight", weight, 4)
    b = None if bias is None else _tensor("bias", bias, 1)
    return _by_unfold(tensor, W, b, groups=groups, **options).tolist()


def conv2d_im2col_backward(
    x: Images,
    weight: Images,
    upstream: Images,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Gradients:
    """Its gradients, by autograd."""
    options = _pairs(stride=stride, padding=padding, dilation=dilation)
    return _gradients(_by_unfold, x, weight, upstream, groups=groups, **options)


def max_pool2d(
    x: Images, kernel_size: Pair, *, stride: Pair | None = None, padding: Pair = 0, dilation: Pair = 1
) -> tuple[Images, list[list[list[list[int]]]]]:
    """functional.max_pool2d with return_indices=True; ceil_mode=False."""
    output, indices = _max_pool2d(_tensor("x", x, 4), kernel_size, stride, padding, dilation)
    return output.tolist(), indices.tolist()


def max_pool2d_backward(
    x: Images,
    kernel_size: Pair,
    upstream: Images,
    *,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Images:
    """What autograd sends back."""
    return _to_input(lambda tensor: _max_pool2d(tensor, kernel_size, stride, padding, dilation)[0], x, upstream)


def avg_pool2d(
    x: Images,
    kernel_size: Pair,
    *,
    stride: Pair | None = None,
    padding: Pair = 0,
    count_include_pad: bool = True,
) -> Images:
    """functional.avg_pool2d; ceil_mode=False, divisor_override=None."""
    options = _pooling(kernel_size, stride, padding) | {"count_include_pad": count_include_pad}
    return _checked(functional.avg_pool2d, _tensor("x", x, 4), **options).tolist()


def avg_pool2d_backward(
    x: Images,
    kernel_size: Pair,
    upstream: Images,
    *,
    stride: Pair | None = None,
    padding: Pair = 0,
    count_include_pad: bool = True,
) -> Images:
    """What autograd sends back."""
    options = _pooling(kernel_size, stride, padding) | {"count_include_pad": count_include_pad}
    return _to_input(lambda tensor: _checked(functional.avg_pool2d, tensor, **options), x, upstream)


def adaptive_avg_pool2d(x: Images, output_size: Pair) -> Images:
    """functional.adaptive_avg_pool2d."""
    return functional.adaptive_avg_pool2d(_tensor("x", x, 4), **_pairs(output_size=output_size)).tolist()


def adaptive_avg_pool2d_backward(x: Images, output_size: Pair, upstream: Images) -> Images:
    """What autograd sends back."""
    size = _pairs(output_size=output_size)
    return _to_input(lambda tensor: functional.adaptive_avg_pool2d(tensor, **size), x, upstream)


def _conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, **options: Any) -> Tensor:
    return _checked(functional.conv2d, x, weight, bias, **options)


def _by_unfold(x: Tensor, weight: Tensor, bias: Tensor | None, *, groups: int, **options: Any) -> Tensor:
    """(groups, outputs of a group, k) @ (n_samples, groups, k, places), k = the products of one output."""
    size = _conv2d(x.to("meta"), weight.to("meta"), None, groups=groups, **options).shape  # checks the shapes
    columns = functional.unfold(x, weight.shape[2:], **options).unflatten(1, (groups, -1))
    y = (weight.flatten(1).unflatten(0, (groups, -1)) @ columns).reshape(size)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bias must have the shape {tuple(weight.shape[:1])}, got {tuple(bias.shape)}")
    return y if bias is None else y + bias[:, None, None]


def _max_pool2d(x: Tensor, kernel_size: Pair, stride: Pair | None, padding: Pair, dilation: Pair) -> Any:
    options = _pooling(kernel_size, stride, padding) | _pairs(dilation=dilation)
    output, indices = _checked(functional.max_pool2d, x, **options, return_indices=True)
    if output.isneginf().any():
        raise ValueError(f"every window must reach into the image, got {kernel_size=}, {padding=} and {dilation=}")
    return output, indices


def _pooling(kernel_size: Pair, stride: Pair | None, padding: Pair) -> dict[str, Any]:
    return _pairs(kernel_size=kernel_size, stride=kernel_size if stride is None else stride, padding=padding)


def _gradients(f: Callable[..., Tensor], x: Images, weight: Images, upstream: Images, **options: Any) -> Gradients:
    tensor, W = _tensor("x", x, 4), _tensor("weight", weight, 4)
    leaves = [leaf.requires_grad_() for leaf in (tensor, W, W.new_zeros(len(W)))]
    y = f(*leaves, **options)
    return Gradients(*(g.tolist() for g in torch.autograd.grad(y, leaves, _like(y, upstream))))


def _to_input(f: Callable[[Tensor], Tensor], x: Images, upstream: Images) -> Images:
    tensor = _tensor("x", x, 4).requires_grad_()
    y = f(tensor)
    return torch.autograd.grad(y, tensor, _like(y, upstream))[0].tolist()


def _checked(f: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """f of these arguments; where torch refuses them, its message as a ValueError."""
    try:
        return f(*arguments, **options)
    except (RuntimeError, TypeError) as error:
        raise ValueError(str(error)) from error


def _like(y: Tensor, upstream: Images) -> Tensor:
    tensor = _tensor("upstream", upstream, 4)
    if tensor.shape != y.shape:
        raise ValueError(f"upstream must have the shape {tuple(y.shape)}, got {tuple(tensor.shape)}")
    return tensor


def _tensor(name: str, x: Any, n_axes: int) -> Tensor:
    """A float64 tensor; torch itself raises where the lists are not rectangular."""
    try:
        tensor = torch.tensor(x, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers in lists of equal lengths, got {reprlib.repr(x)}") from error
    if tensor.ndim != n_axes or not tensor.numel() or not tensor.isfinite().all():
        raise ValueError(f"{name} must be finite numbers in lists, {n_axes} axes, got {reprlib.repr(x)}")
    return tensor


def _pairs(**options: Pair) -> dict[str, Any]:
    """Whole numbers or pairs of them, of which padding alone may be 0."""
    for name, value in options.items():
        least, pair = int(name != "padding"), value if isinstance(value, list | tuple) else (value, value)
        if len(pair) != 2 or not all(isinstance(v, int) and v >= least for v in pair):
            raise ValueError(f"{name} must be a whole number, {least} or more, or two of them, got {value!r}")
    return options
