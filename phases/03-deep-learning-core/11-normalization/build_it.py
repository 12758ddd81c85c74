"""Batch, layer, group and RMS normalization, forward and backward, with running statistics: standard library alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import mul
from typing import Any, NamedTuple

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
EPSILON = 2.0**-52  # of float64: what torch's rms_norm takes when no eps is named


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
    """The mean, and the mean squared distance from it (biased: divided by m), in two passes.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    _check_values(values)
    mean = sum(values) / len(values)
    return mean, sum((x - mean) ** 2 for x in values) / len(values)


def normalize(values: Vector, eps: float = 1e-5, centred: bool = True) -> Vector:
    """x̂ = (x - μ) / √(v + eps), of one group of values. Not centred: μ = 0, and v is the mean square.

    Raises:
        ValueError: no values, one that is not finite, or eps not above 0.
    """
    mean, std = _mean_and_std(values, eps, centred)
    return [(x - mean) / std for x in values]


def normalize_backward(values: Vector, upstream: Vector, eps: float = 1e-5, centred: bool = True) -> Vector:
    """dL/dx from h = dL/dx̂: (h - mean(h) - x̂ · mean(h x̂)) / √(v + eps). Not centred: without mean(h).

    Args:
        values: x.
        upstream: h, as many values.
        eps: as in `normalize`.
        centred: as in `normalize`.

    Raises:
        ValueError: as `normalize`; or `upstream` has another number of values.
    """
    _, std = _mean_and_std(values, eps, centred)
    _check_like("upstream", upstream, (len(values),))
    x_hat = normalize(values, eps, centred)
    through_mean = sum(upstream) / len(values) if centred else 0.0
    through_variance = sum(map(mul, upstream, x_hat)) / len(values)
    return [(h - through_mean - x * through_variance) / std for h, x in zip(upstream, x_hat, strict=True)]


def _mean_and_std(values: Vector, eps: float, centred: bool) -> tuple[float, float]:
    """μ and √(v + eps); not centred: 0 and the root mean square."""
    _check_eps(eps)
    mean, variance = mean_and_variance(values)
    if not centred:
        mean, variance = 0.0, sum(x * x for x in values) / len(values)
    return mean, math.sqrt(variance + eps)


def initial_statistics(n_channels: int) -> RunningStatistics:
    """Mean 0 and variance 1 for each channel, from no batch.

    Raises:
        ValueError: fewer than one channel.
    """
    if n_channels < 1:
        raise ValueError(f"n_channels must be 1 or more, got {n_channels}")
    return RunningStatistics([0.0] * n_channels, [1.0] * n_channels)


def update_statistics(running: RunningStatistics, x: Nested, momentum: float | None = 0.1) -> RunningStatistics:
    """(1 - momentum) · old + momentum · new for each channel; new is the batch's mean and its unbiased variance.

    Args:
        running: the old ones.
        x: n_samples × n_channels, or n_samples × n_channels × any further axes.
        momentum: the weight of the new, from 0 to 1. None: 1 / (batches so far, this one included), so that what
            runs is the plain average over all batches.

    Raises:
        ValueError: x has fewer than two axes, or one value for each channel; statistics for another number of
            channels; momentum out of range.
    """
    values, layout = _batch_layout(x)
    _check_running(running, layout.parameter_shape)
    _check_several(layout.shape)
    if momentum is not None and not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be None or from 0 to 1, got {momentum}")
    n_batches = running.num_batches_tracked + 1
    share = 1 / n_batches if momentum is None else momentum
    mean, variance = list(running.mean), list(running.variance)
    for c in range(len(mean)):
        batch = [v for v, group in zip(values, layout.group, strict=True) if group == c]
        batch_mean, batch_variance = mean_and_variance(batch)
        unbiased = batch_variance * len(batch) / (len(batch) - 1)
        mean[c] = (1 - share) * mean[c] + share * batch_mean
        variance[c] = (1 - share) * variance[c] + share * unbiased
    return RunningStatistics(mean, variance, n_batches)


class Layout(NamedTuple):  # given
    """Which numbers are averaged together and which share a weight and a bias: for each value, in reading order.

    Attributes:
        shape: of x.
        parameter_shape: of weight and bias.
        group: for each value, the number of the group that it is averaged with.
        parameter: for each value, the number of its weight and bias.
    """

    shape: tuple[int, ...]
    parameter_shape: tuple[int, ...]
    group: list[int]
    parameter: list[int]


def batch_norm(
    x: Nested, weight: Vector, bias: Vector, running: RunningStatistics | None = None, eps: float = 1e-5
) -> Nested:
    """weight · x̂ + bias, with the mean and variance of each channel over all samples and positions.

    Args:
        x: n_samples × n_channels, or n_samples × n_channels × any further axes (the positions).
        weight: γ, one for each channel.
        bias: β, one for each channel.
        running: None in training: the batch's own mean and variance. In evaluation, the ones to use instead.
        eps: added to the variance, under the root.

    Raises:
        ValueError: x has fewer than two axes; weight, bias or running are for another number of channels; in
            training, one value for each channel; eps not above 0; a number that is not finite.
    """
    values, layout = _batch_layout(x)
    if running is None:
        _check_several(layout.shape)
        x_hat = _by_group(partial(normalize, eps=eps), layout, values)
    else:
        x_hat = _in_evaluation(values, layout, running, eps)
    return _scale_and_shift(x_hat, layout, weight, bias)


def batch_norm_backward(
    x: Nested, weight: Vector, upstream: Nested, running: RunningStatistics | None = None, eps: float = 1e-5
) -> Gradients:
    """The gradients of `batch_norm`. In evaluation the statistics are constants: dL/dx = g · weight / √(v + eps).

    dL/dweight = Σ g x̂ and dL/dbias = Σ g in both modes, with the x̂ that `batch_norm` made.

    Args:
        x: as in `batch_norm`.
        weight: γ, one for each channel.
        upstream: g = dL/d(output), with the shape of x.
        running: as in `batch_norm`.
        eps: as in `batch_norm`.

    Raises:
        ValueError: as `batch_norm`, or `upstream` has another shape than x.
    """
    values, layout = _batch_layout(x)
    if running is None:
        _check_several(layout.shape)
        return _backward(values, layout, weight, upstream, eps)
    x_hat = _in_evaluation(values, layout, running, eps)
    to_x_hat, to_weight, to_bias = _before_scale_and_shift(upstream, x_hat, layout, weight)
    to_x = [h / math.sqrt(running.variance[c] + eps) for h, c in zip(to_x_hat, layout.parameter, strict=True)]
    return Gradients(_unflatten(to_x, layout.shape), to_weight, to_bias)


def _in_evaluation(values: Vector, layout: Layout, running: RunningStatistics, eps: float) -> Vector:
    """x̂ with the running statistics: each value by itself."""
    _check_running(running, layout.parameter_shape)
    _check_eps(eps)
    stds = [math.sqrt(v + eps) for v in running.variance]
    return [(v - running.mean[c]) / stds[c] for v, c in zip(values, layout.parameter, strict=True)]


def layer_norm(x: Nested, weight: Nested, bias: Nested, eps: float = 1e-5) -> Nested:
    """weight · x̂ + bias, with the mean and variance of each sample over its last axes: those that weight has.

    Args:
        x: any number of axes; the last ones are those of weight.
        weight: γ, one for each place in a sample: a vector for one axis, a matrix for two …
        bias: β, with the shape of weight.
        eps: added to the variance, under the root.

    Raises:
        ValueError: the shape of weight is not the end of that of x; bias has another; eps not above 0; a number
            that is not finite.
    """
    values, layout = _layer_layout(x, weight)
    x_hat = _by_group(partial(normalize, eps=eps), layout, values)
    return _scale_and_shift(x_hat, layout, weight, bias)


def layer_norm_backward(x: Nested, weight: Nested, upstream: Nested, eps: float = 1e-5) -> Gradients:
    """The gradients of `layer_norm`.

    Args:
        x: as in `layer_norm`.
        weight: as in `layer_norm`.
        upstream: g = dL/d(output), with the shape of x.
        eps: as in `layer_norm`.

    Raises:
        ValueError: as `layer_norm`, or `upstream` has another shape than x.
    """
    values, layout = _layer_layout(x, weight)
    return _backward(values, layout, weight, upstream, eps)


def group_norm(x: Nested, n_groups: int, weight: Vector, bias: Vector, eps: float = 1e-5) -> Nested:
    """weight · x̂ + bias, with the mean and variance of each sample over groups of neighbouring channels.

    Args:
        x: n_samples × n_channels, or n_samples × n_channels × any further axes (the positions).
        n_groups: how many groups the channels fall into; a divisor of n_channels.
        weight: γ, one for each channel.
        bias: β, one for each channel.
        eps: added to the variance, under the root.

    Raises:
        ValueError: x has fewer than two axes; n_groups does not divide the channels; weight or bias are for another
            number of channels; eps not above 0; a number that is not finite.
    """
    values, layout = _group_layout(x, n_groups)
    x_hat = _by_group(partial(normalize, eps=eps), layout, values)
    return _scale_and_shift(x_hat, layout, weight, bias)


def group_norm_backward(x: Nested, n_groups: int, weight: Vector, upstream: Nested, eps: float = 1e-5) -> Gradients:
    """The gradients of `group_norm`.

    Args:
        x: as in `group_norm`.
        n_groups: as in `group_norm`.
        weight: as in `group_norm`.
        upstream: g = dL/d(output), with the shape of x.
        eps: as in `group_norm`.

    Raises:
        ValueError: as `group_norm`, or `upstream` has another shape than x.
    """
    values, layout = _group_layout(x, n_groups)
    return _backward(values, layout, weight, upstream, eps)


def rms_norm(x: Nested, weight: Nested, eps: float = EPSILON) -> Nested:
    """weight · x / √(mean(x²) + eps), over the last axes of each sample: those that weight has.

    Args:
        x: any number of axes; the last ones are those of weight.
        weight: γ, one for each place in a sample.
        eps: added to the mean square, under the root.

    Raises:
        ValueError: the shape of weight is not the end of that of x; eps not above 0; a number that is not finite.
    """
    values, layout = _layer_layout(x, weight)
    x_hat = _by_group(partial(normalize, eps=eps, centred=False), layout, values)
    return _scale_and_shift(x_hat, layout, weight, None)


def rms_norm_backward(x: Nested, weight: Nested, upstream: Nested, eps: float = EPSILON) -> Gradients:
    """The gradients of `rms_norm`; that of the bias is None.

    Args:
        x: as in `rms_norm`.
        weight: as in `rms_norm`.
        upstream: g = dL/d(output), with the shape of x.
        eps: as in `rms_norm`.

    Raises:
        ValueError: as `rms_norm`, or `upstream` has another shape than x.
    """
    values, layout = _layer_layout(x, weight)
    found = _backward(values, layout, weight, upstream, eps, centred=False)
    return Gradients(found.input, found.weight, None)


def _batch_layout(x: Nested) -> tuple[Vector, Layout]:
    """The values of x; a channel is averaged over all samples and positions, and has one weight and bias."""
    values, shape = _flatten("x", x, 2)
    n_positions = math.prod(shape[2:])
    channel = [i // n_positions % shape[1] for i in range(len(values))]
    return values, Layout(shape, shape[1:2], channel, channel)


def _layer_layout(x: Nested, weight: Nested) -> tuple[Vector, Layout]:
    """The values of x; a sample is averaged over all its places, and a place has one weight and bias."""
    values, shape = _flatten("x", x)
    places, normalized_shape = _flatten("weight", weight)
    if shape[-len(normalized_shape) :] != normalized_shape:
        raise ValueError(f"weight must have the last axes of x, which is {shape}, got the shape {normalized_shape}")
    sample = [i // len(places) for i in range(len(values))]
    place = [i % len(places) for i in range(len(values))]
    return values, Layout(shape, normalized_shape, sample, place)


def _group_layout(x: Nested, n_groups: int) -> tuple[Vector, Layout]:
    """The values of x; neighbouring channels of a sample are averaged, and a channel has one weight and bias."""
    values, by_channel = _batch_layout(x)
    n_channels = by_channel.shape[1]
    if n_groups < 1 or n_channels % n_groups:
        raise ValueError(f"n_groups must divide the {n_channels} channels, got {n_groups}")
    size = n_channels // n_groups * math.prod(by_channel.shape[2:])
    return values, by_channel._replace(group=[i // size for i in range(len(values))])


def _by_group(function: Callable[..., Vector], layout: Layout, *columns: Vector) -> Vector:  # given
    """Applies `function` to the values of each group, and puts each result in the place of its value."""
    members: dict[int, list[int]] = {}
    for i, group in enumerate(layout.group):
        members.setdefault(group, []).append(i)
    result = [0.0] * len(layout.group)
    for places in members.values():
        for i, value in zip(places, function(*([column[i] for i in places] for column in columns)), strict=True):
            result[i] = value
    return result


def _scale_and_shift(x_hat: Vector, layout: Layout, weight: Nested, bias: Nested | None) -> Nested:
    """weight · x̂ + bias."""
    gamma = _check_like("weight", weight, layout.parameter_shape)
    scaled = [gamma[p] * x for x, p in zip(x_hat, layout.parameter, strict=True)]
    if bias is not None:
        beta = _check_like("bias", bias, layout.parameter_shape)
        scaled = [y + beta[p] for y, p in zip(scaled, layout.parameter, strict=True)]
    return _unflatten(scaled, layout.shape)


def _before_scale_and_shift(
    upstream: Nested, x_hat: Vector, layout: Layout, weight: Nested
) -> tuple[Vector, Nested, Nested]:
    """dL/dx̂ = g · weight, dL/dweight = Σ g x̂ and dL/dbias = Σ g, over the values that share weight and bias."""
    g = _check_like("upstream", upstream, layout.shape)
    gamma = _check_like("weight", weight, layout.parameter_shape)
    to_x_hat, to_weight, to_bias = [], [0.0] * len(gamma), [0.0] * len(gamma)
    for g_i, x, p in zip(g, x_hat, layout.parameter, strict=True):
        to_x_hat.append(g_i * gamma[p])
        to_weight[p] += g_i * x
        to_bias[p] += g_i
    return to_x_hat, _unflatten(to_weight, layout.parameter_shape), _unflatten(to_bias, layout.parameter_shape)


def _backward(
    values: Vector, layout: Layout, weight: Nested, upstream: Nested, eps: float, *, centred: bool = True
) -> Gradients:
    """The gradients where each group has statistics of its own."""
    x_hat = _by_group(partial(normalize, eps=eps, centred=centred), layout, values)
    to_x_hat, to_weight, to_bias = _before_scale_and_shift(upstream, x_hat, layout, weight)
    to_x = _by_group(partial(normalize_backward, eps=eps, centred=centred), layout, values, to_x_hat)
    return Gradients(_unflatten(to_x, layout.shape), to_weight, to_bias)


def fold_batch_norm(
    weight: Nested,
    bias: Vector | None,
    running: RunningStatistics,
    bn_weight: Vector,
    bn_bias: Vector,
    *,
    eps: float = 1e-5,
) -> tuple[Nested, Vector]:
    """Weight and bias of a layer that does what the given layer and the batch norm behind it do in evaluation.

    With s = bn_weight / √(variance + eps): output c of the new layer has s_c · weight_c and
    s_c · (bias_c - mean_c) + bn_bias_c.

    Args:
        weight: of the layer in front, n_outputs × any further axes: linear (n_out × n_in) or convolution
            (n_out × n_in × height × width), as torch keeps them.
        bias: one for each output, or None for none.
        running: the batch norm's running statistics, one for each output.
        bn_weight: its γ.
        bn_bias: its β.
        eps: the batch norm's.

    Raises:
        ValueError: weight has fewer than two axes; anything is for another number of outputs; eps not above 0; a
            number that is not finite.
    """
    values, shape = _flatten("weight", weight, 2)
    n_outputs = shape[0]
    bias = [0.0] * n_outputs if bias is None else _check_like("bias", bias, (n_outputs,))
    _check_running(running, (n_outputs,))
    gamma = _check_like("bn_weight", bn_weight, (n_outputs,))
    beta = _check_like("bn_bias", bn_bias, (n_outputs,))
    _check_eps(eps)
    s = [g / math.sqrt(v + eps) for g, v in zip(gamma, running.variance, strict=True)]
    size = len(values) // n_outputs
    new_weight = [s[i // size] * w for i, w in enumerate(values)]
    new_bias = [s[c] * (bias[c] - running.mean[c]) + beta[c] for c in range(n_outputs)]
    return _unflatten(new_weight, shape), new_bias


def _flatten(name: str, x: Nested, n_axes: int = 1) -> tuple[Vector, tuple[int, ...]]:  # given
    """The numbers of nested lists in reading order, and the shape; at least `n_axes`, one number, all finite."""
    flat, shape = [x], []
    while isinstance(flat[0], list | tuple):
        lengths = {len(row) if isinstance(row, list | tuple) else -1 for row in flat}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError(f"{name} must be numbers in lists of equal lengths, none empty, got {x!r}")
        shape.append(len(flat[0]))
        flat = [value for row in flat for value in row]
    if len(shape) < n_axes or not all(isinstance(v, int | float) and math.isfinite(v) for v in flat):
        raise ValueError(f"{name} must be finite numbers in lists, with {n_axes} axes or more, got {x!r}")
    return flat, tuple(shape)


def _unflatten(flat: Vector, shape: tuple[int, ...]) -> Nested:  # given
    """The nested lists of that shape, filled in reading order."""
    for size in reversed(shape[1:]):
        flat = [flat[i : i + size] for i in range(0, len(flat), size)]
    return flat


def _check_like(name: str, x: Nested, shape: tuple[int, ...]) -> Vector:  # given
    """The numbers of x, which must have that shape."""
    flat, its_shape = _flatten(name, x)
    if its_shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {its_shape}")
    return flat


def _check_values(values: Vector) -> None:  # given
    """One axis."""
    if len(_flatten("values", values)[1]) != 1:
        raise ValueError(f"values must be a list of numbers, got {values!r}")


def _check_eps(eps: float) -> None:  # given
    """Above 0, so that a constant group can be divided."""
    if not 0 < eps < math.inf:
        raise ValueError(f"eps must be above 0 and finite, got {eps}")


def _check_several(shape: tuple[int, ...]) -> None:  # given
    """Two values for each channel, or more: of one, the variance is 0 and every output would be the bias."""
    if math.prod(shape) == shape[1]:
        raise ValueError(f"training needs two or more values for each channel, got the shape {shape}")


def _check_running(running: RunningStatistics, shape: tuple[int, ...]) -> None:  # given
    """A mean and a variance, not negative, for each channel."""
    _check_like("running.mean", running.mean, shape)
    if min(_check_like("running.variance", running.variance, shape)) < 0:
        raise ValueError(f"running.variance must not be negative, got {running.variance}")


if __name__ == "__main__":
    group, gradient = [9.0, 1.0, 3.0, 3.0], [3.0, 0.0, 0.0, 0.0]
    print("mean and variance:", mean_and_variance(group))
    print("three times what is normalized:", [round(3 * x, 6) for x in normalize(group, eps=1e-12)])
    print("18 times its gradient:", [round(18 * d, 6) for d in normalize_backward(group, gradient, eps=1e-12)])
