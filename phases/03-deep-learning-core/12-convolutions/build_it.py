"""Convolution and pooling in two dimensions, forward and backward, and im2col: standard library alone."""

import math
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from operator import mul
from typing import Any, NamedTuple

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
Windows = list[list[int]]  # of pooling: for each place along one axis of the output, what is seen of the input's axis


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
    """How often a kernel fits along one axis: ⌊(size + 2 padding - dilation (kernel_size - 1) - 1) / stride⌋ + 1.

    Args:
        size: of the input along the axis.
        kernel_size: weights along the axis.
        stride: the step from one output to the next.
        padding: what is added on each of the two sides.
        dilation: the distance from one weight to the next.

    Raises:
        ValueError: the kernel does not fit; a size, stride or dilation below 1, a padding below 0.
    """
    _check_whole(1, size=size, kernel_size=kernel_size, stride=stride, dilation=dilation)
    _check_whole(0, padding=padding)
    extent = dilation * (kernel_size - 1) + 1
    if extent > size + 2 * padding:
        raise ValueError(f"the padded input must have room for a kernel of {extent}, got {size + 2 * padding}")
    return (size + 2 * padding - extent) // stride + 1


def receptive_field(layers: list[tuple[int, int, int]]) -> int:
    """How many neighbouring inputs along one axis one output of a stack of layers can see, gaps included.

    Args:
        layers: (kernel_size, stride, dilation) of each, the one at the input first; padding has no part in it. No
            layers: 1.

    Raises:
        ValueError: a number below 1.
    """
    field, jump = 1, 1  # jump: inputs between two neighbouring outputs
    for kernel_size, stride, dilation in layers:
        _check_whole(1, kernel_size=kernel_size, stride=stride, dilation=dilation)
        field += dilation * (kernel_size - 1) * jump
        jump *= stride
    return field


class Layout(NamedTuple):  # given
    """The sizes of one convolution; every pair is (for the rows, for the columns).

    Attributes:
        n_samples: N.
        n_outputs: output channels.
        groups: into how many parts the channels fall.
        n_inputs: input channels of one group.
        size: of an output channel.
        kernel: of a channel of the weight.
        stride: the step from one output to the next.
        padding: rows and columns of zeros on each side.
        dilation: the distance from one weight to the next.
    """

    n_samples: int
    n_outputs: int
    groups: int
    n_inputs: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


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
    """Slides each kernel over the zero-padded images: a sum of products at each place, without flipping (correlation).

    Args:
        x: n_samples × n_channels × height × width.
        weight: n_outputs × (n_channels / groups) × kernel height × kernel width.
        bias: one for each output channel, or None for none.
        stride: the step from one output to the next.
        padding: rows and columns of zeros on each side.
        dilation: the distance between the inputs that neighbouring weights meet.
        groups: output channels of group g see the input channels of group g alone; as many groups as input channels
            is called depthwise.

    Returns:
        n_samples × n_outputs × `conv_output_size` of the height × that of the width.

    Raises:
        ValueError: shapes that do not fit each other; channels that groups does not divide; a kernel larger than the
            padded input; a number that is not finite; a stride, dilation or groups below 1, a padding below 0.
    """
    layout = _layout(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    start = _bias(bias, layout)
    padded = _pad(x, layout.padding)
    height, width = layout.size
    y = [[[[b] * width for _ in range(height)] for b in start] for _ in x]
    for (n, o, i, j), (c, a, b), (channel, row, column) in _products(layout):
        y[n][o][i][j] += weight[o][c][a][b] * padded[n][channel][row][column]
    return y


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
    """The gradients of `conv2d`: each product of the forward pass hands its output's gradient to its two factors.

    Args:
        upstream: g = dL/dy, with the shape of the output; all others as in `conv2d`.

    Raises:
        ValueError: as `conv2d`, or `upstream` has another shape than the output.
    """
    layout = _layout(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    _check_upstream(upstream, layout)
    padded = _pad(x, layout.padding)
    to_padded, to_weight = _zeros(padded), _zeros(weight)
    for (n, o, i, j), (c, a, b), (channel, row, column) in _products(layout):
        g = upstream[n][o][i][j]
        to_weight[o][c][a][b] += g * padded[n][channel][row][column]
        to_padded[n][channel][row][column] += g * weight[o][c][a][b]
    to_bias = [sum(v for plane in planes for row in plane for v in row) for planes in zip(*upstream, strict=True)]
    return Gradients(_crop(to_padded, layout.padding), to_weight, to_bias)


def _products(layout: Layout) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Every product of the convolution: (sample, output channel, i, j) of y, where it is added; (channel, a, b) of the
    weight; (channel, row, column) of the padded x."""
    outputs_of_a_group = layout.n_outputs // layout.groups
    places = list(product(range(layout.size[0]), range(layout.size[1])))
    taps = list(product(range(layout.n_inputs), range(layout.kernel[0]), range(layout.kernel[1])))
    for n, o in product(range(layout.n_samples), range(layout.n_outputs)):
        first = o // outputs_of_a_group * layout.n_inputs  # channel of o's group
        for (i, j), (c, a, b) in product(places, taps):
            row = i * layout.stride[0] + a * layout.dilation[0]
            column = j * layout.stride[1] + b * layout.dilation[1]
            yield (n, o, i, j), (c, a, b), (first + c, row, column)


def im2col(x: Images, kernel_size: Pair, *, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1) -> list[Matrix]:
    """For each sample a matrix with a column for each place of the kernel: the numbers that the kernel meets there.

    Args:
        x: n_samples × n_channels × height × width.
        kernel_size: of the kernel.
        stride: as in `conv2d`.
        padding: as in `conv2d`.
        dilation: as in `conv2d`.

    Returns:
        n_samples × (n_channels · kernel height · kernel width) × (places, row by row).

    Raises:
        ValueError: as `conv2d`.
    """
    _shape("x", x, 4)
    kernel, stride, padding, dilation = _options(kernel_size, stride, padding, dilation)
    places = _places(kernel, _size(x, kernel, stride, padding, dilation), stride, dilation)
    return [
        [[channel[row][column] for row, column in met] for channel in image for met in places]
        for image in _pad(x, padding)
    ]


def col2im(
    columns: list[Matrix],
    image_size: Pair,
    kernel_size: Pair,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Images:
    """Adds every number of the columns to the place in the image that `im2col` takes it from: its backward pass.

    Args:
        columns: n_samples × (n_channels · kernel height · kernel width) × places.
        image_size: (height, width) of the images.
        kernel_size: as in `im2col`.
        stride: as in `im2col`.
        padding: as in `im2col`.
        dilation: as in `im2col`.

    Returns:
        n_samples × n_channels × height × width.

    Raises:
        ValueError: columns of another shape than `im2col` makes of such images; as `im2col`.
    """
    n_samples, n_rows, n_places = _shape("columns", columns, 3)
    kernel, stride, padding, dilation = _options(kernel_size, stride, padding, dilation)
    height, width = _pair("image_size", image_size, 1)
    n_channels, rest = divmod(n_rows, math.prod(kernel))
    if rest:
        raise ValueError(f"a column must have a multiple of {math.prod(kernel)} numbers (the kernel), got {n_rows}")
    padded = [
        [[[0.0] * (width + 2 * padding[1]) for _ in range(height + 2 * padding[0])] for _ in range(n_channels)]
        for _ in range(n_samples)
    ]
    size = _size(_crop(padded, padding), kernel, stride, padding, dilation)
    if n_places != math.prod(size):
        raise ValueError(f"columns must have {size[0]} · {size[1]} places, got {n_places}")
    places = _places(kernel, size, stride, dilation)
    for image, rows in zip(padded, columns, strict=True):
        for (channel, met), numbers in zip(product(image, places), rows, strict=True):
            for (row, column), number in zip(met, numbers, strict=True):
                channel[row][column] += number
    return _crop(padded, padding)


def _places(
    kernel: tuple[int, int], size: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> list[list[tuple[int, int]]]:
    """For each weight of a kernel, the (row, column) that it meets in the padded image, one place after the other."""
    return [
        [(i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1]) for i, j in product(*map(range, size))]
        for a, b in product(*map(range, kernel))
    ]


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
    """What `conv2d` computes, as one matrix product for each group: kernels as rows times columns of `im2col`.

    Arguments, result and errors are those of `conv2d`.
    """
    layout = _layout(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    start = _bias(bias, layout)
    columns = _side_by_side(im2col(x, layout.kernel, stride=stride, padding=padding, dilation=dilation))
    rows: Matrix = []
    for kernels, its_columns in zip(_by_group(_kernels(weight), groups), _by_group(columns, groups), strict=True):
        rows += _matmul(kernels, its_columns)
    rows = [[v + b for v in row] for row, b in zip(rows, start, strict=True)]
    return [[_cut(row, layout.size[1]) for row in sample] for sample in _apart(rows, layout.n_samples)]


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
    """What `conv2d_backward` computes. Of Y = W C: dL/dW = G Cᵀ, and dL/dC = Wᵀ G, which `col2im` adds up.

    Arguments, result and errors are those of `conv2d_backward`.
    """
    layout = _layout(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    _check_upstream(upstream, layout)
    columns = _side_by_side(im2col(x, layout.kernel, stride=stride, padding=padding, dilation=dilation))
    G = _side_by_side([[[v for row in plane for v in row] for plane in sample] for sample in upstream])
    to_kernels: Matrix = []
    to_columns: Matrix = []
    for parts in zip(*(_by_group(M, groups) for M in (_kernels(weight), columns, G)), strict=True):
        kernels, its_columns, its_G = parts
        to_kernels += _matmul(its_G, _transpose(its_columns))
        to_columns += _matmul(_transpose(kernels), its_G)
    of_samples, image_size = _apart(to_columns, layout.n_samples), (len(x[0][0]), len(x[0][0][0]))
    to_x = col2im(of_samples, image_size, layout.kernel, stride=stride, padding=padding, dilation=dilation)
    height, width = layout.kernel
    to_weight = [[_cut(channel, width) for channel in _cut(kernel, height * width)] for kernel in to_kernels]
    return Gradients(to_x, to_weight, [sum(row) for row in G])


def _kernels(weight: Images) -> Matrix:
    """Each kernel as one row: channel by channel, row by row, as `im2col` orders its columns."""
    return [[w for channel in kernel for row in channel for w in row] for kernel in weight]


def _side_by_side(samples: list[Matrix]) -> Matrix:
    """One wide matrix out of one for each sample."""
    return [[v for row in rows for v in row] for rows in zip(*samples, strict=True)]


def _apart(M: Matrix, n_samples: int) -> list[Matrix]:
    """One matrix for each sample out of a wide one."""
    return [list(rows) for rows in zip(*(_cut(row, len(row) // n_samples) for row in M), strict=True)]


def _by_group(rows: Matrix, groups: int) -> list[Matrix]:
    """As many equal parts as there are groups."""
    return _cut(rows, len(rows) // groups)


def max_pool2d(
    x: Images, kernel_size: Pair, *, stride: Pair | None = None, padding: Pair = 0, dilation: Pair = 1
) -> tuple[Images, list[list[list[list[int]]]]]:
    """The largest number in each window, and where it stood: row · width + column. Of equals, the first row by row.

    Args:
        x: n_samples × n_channels × height × width.
        kernel_size: of the window.
        stride: the step from one window to the next; None is the kernel's size.
        padding: rows and columns on each side that never win (-∞), at most half of kernel_size.
        dilation: the distance between neighbours of a window.

    Raises:
        ValueError: a window larger than the padded input, or one that lies in the padding alone; more padding than
            half of kernel_size; a number that is not finite; a size, stride or dilation below 1, a padding below 0.
    """
    rows, columns = _windows(x, kernel_size, stride, padding, dilation)
    if not all(rows) or not all(columns):
        raise ValueError(f"every window must reach into the image, got {kernel_size=}, {padding=} and {dilation=}")
    width = len(x[0][0][0])
    windows = [[[r * width + c for r, c in product(R, S)] for S in columns] for R in rows]
    output, indices = [], []
    for image in x:
        planes = [_flat(plane) for plane in image]
        won = [[[max(window, key=plane.__getitem__) for window in row] for row in windows] for plane in planes]
        indices.append(won)  # max gives the first of equals
        output.append([[[plane[at] for at in row] for row in rows] for plane, rows in zip(planes, won, strict=True)])
    return output, indices


def max_pool2d_backward(
    x: Images,
    kernel_size: Pair,
    upstream: Images,
    *,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Images:
    """dL/dx of `max_pool2d`: each window hands its gradient to the one number that won it; shares of several add up.

    Args:
        upstream: g = dL/dy, with the shape of the output; all others as in `max_pool2d`.

    Raises:
        ValueError: as `max_pool2d`, or `upstream` has another shape than the output.
    """
    output, indices = max_pool2d(x, kernel_size, stride=stride, padding=padding, dilation=dilation)
    _check_shape("upstream", upstream, (len(x), len(x[0]), len(output[0][0]), len(output[0][0][0])))
    to_x = _zeros(x)
    for plane, winners, gradients in zip(_planes(to_x), _planes(indices), _planes(upstream), strict=True):
        for index, g in zip(_flat(winners), _flat(gradients), strict=True):
            row, column = divmod(index, len(plane[0]))
            plane[row][column] += g
    return to_x


def avg_pool2d(
    x: Images,
    kernel_size: Pair,
    *,
    stride: Pair | None = None,
    padding: Pair = 0,
    count_include_pad: bool = True,
) -> Images:
    """The mean of each window.

    Args:
        x: n_samples × n_channels × height × width.
        kernel_size: of the window.
        stride: the step from one window to the next; None is the kernel's size.
        padding: rows and columns of zeros on each side, at most half of kernel_size.
        count_include_pad: divide by the size of the window; False: by how many of its numbers are the image's.

    Raises:
        ValueError: a window larger than the padded input; more padding than half of kernel_size; a number that is not
            finite; a size or stride below 1, a padding below 0.
    """
    rows, columns = _windows(x, kernel_size, stride, padding, 1)
    area = math.prod(_pair("kernel_size", kernel_size, 1)) if count_include_pad else None
    return _means(x, rows, columns, area)


def avg_pool2d_backward(
    x: Images,
    kernel_size: Pair,
    upstream: Images,
    *,
    stride: Pair | None = None,
    padding: Pair = 0,
    count_include_pad: bool = True,
) -> Images:
    """dL/dx of `avg_pool2d`: every number of a window gets an equal share of the window's gradient.

    Args:
        x: only its shape matters, but it is checked as in `avg_pool2d`.
        upstream: g = dL/dy, with the shape of the output; all others as in `avg_pool2d`.

    Raises:
        ValueError: as `avg_pool2d`, or `upstream` has another shape than the output.
    """
    rows, columns = _windows(x, kernel_size, stride, padding, 1)
    area = math.prod(_pair("kernel_size", kernel_size, 1)) if count_include_pad else None
    return _shares(x, rows, columns, area, upstream)


def adaptive_avg_pool2d(x: Images, output_size: Pair) -> Images:
    """Means of as many windows as you ask for: window i is from ⌊i · size / n⌋ up to ⌈(i + 1) · size / n⌉ of each axis.

    One window (output_size 1) is the whole image: global average pooling.

    Args:
        x: n_samples × n_channels × height × width.
        output_size: how many windows along each axis.

    Raises:
        ValueError: x has not four axes or a number that is not finite; an output_size below 1.
    """
    return _means(x, *_adaptive_windows(x, output_size))


def adaptive_avg_pool2d_backward(x: Images, output_size: Pair, upstream: Images) -> Images:
    """dL/dx of `adaptive_avg_pool2d`.

    Args:
        x: only its shape matters, but it is checked as in `adaptive_avg_pool2d`.
        output_size: as in `adaptive_avg_pool2d`.
        upstream: g = dL/dy, with the shape of the output.

    Raises:
        ValueError: as `adaptive_avg_pool2d`, or `upstream` has another shape than the output.
    """
    return _shares(x, *_adaptive_windows(x, output_size), None, upstream)


def _windows(
    x: Images, kernel_size: Pair, stride: Pair | None, padding: Pair, dilation: Pair
) -> tuple[Windows, Windows]:
    """The windows of the rows and of the columns, without what lies in the padding."""
    stride = kernel_size if stride is None else stride
    kernel, steps, margins, dilations = _options(kernel_size, stride, padding, dilation)
    _, _, *image_size = _shape("x", x, 4)
    windows = []
    for size, k, s, p, d in zip(image_size, kernel, steps, margins, dilations, strict=True):
        if 2 * p > k:
            raise ValueError(f"padding must be at most half of kernel_size {k}, got {p}")
        starts = [i * s - p for i in range(conv_output_size(size, k, s, p, d))]
        windows.append([[at for at in range(start, start + k * d, d) if 0 <= at < size] for start in starts])
    return windows[0], windows[1]


def _adaptive_windows(x: Images, output_size: Pair) -> tuple[Windows, Windows]:
    """The windows of the rows and of the columns."""
    _, _, *image_size = _shape("x", x, 4)
    rows, columns = (
        [list(range(i * size // n, math.ceil((i + 1) * size / n))) for i in range(n)]
        for size, n in zip(image_size, _pair("output_size", output_size, 1), strict=True)
    )
    return rows, columns


def _means(x: Images, rows: Windows, columns: Windows, area: int | None = None) -> Images:
    """The sum of each window over `area`, or over its own size."""
    return [
        [
            [[sum(plane[r][s] for r, s in product(R, S)) / (area or len(R) * len(S)) for S in columns] for R in rows]
            for plane in image
        ]
        for image in x
    ]


def _shares(x: Images, rows: Windows, columns: Windows, area: int | None, upstream: Images) -> Images:
    """The backward pass of `_means`."""
    _check_shape("upstream", upstream, (len(x), len(x[0]), len(rows), len(columns)))
    to_x = _zeros(x)
    for plane, gradients in zip(_planes(to_x), _planes(upstream), strict=True):
        for (R, S), g in zip(product(rows, columns), _flat(gradients), strict=True):
            for r, s in product(R, S):
                plane[r][s] += g / (area or len(R) * len(S))
    return to_x


def _planes(images: list[Any]) -> list[Any]:  # given
    """The channels of all samples, one after the other."""
    return [plane for image in images for plane in image]


def _flat(rows: list[Any]) -> list[Any]:  # given
    """Row after row."""
    return [v for row in rows for v in row]


def _zeros(images: Images) -> Images:  # given
    """As many zeros, in the same shape."""
    return [[[[0.0] * len(row) for row in plane] for plane in image] for image in images]


def _pad(images: Images, padding: tuple[int, int]) -> Images:  # given
    """The images in a frame of zeros: new lists."""
    rows, columns = padding
    sides, width = [0.0] * columns, len(images[0][0][0]) + 2 * columns
    return [
        [
            [[0.0] * width for _ in range(rows)]
            + [sides + row + sides for row in plane]
            + [[0.0] * width for _ in range(rows)]
            for plane in image
        ]
        for image in images
    ]


def _crop(images: Images, padding: tuple[int, int]) -> Images:  # given
    """The images without their frame."""
    rows, columns = padding
    return [
        [[row[columns : len(row) - columns] for row in plane[rows : len(plane) - rows]] for plane in image]
        for image in images
    ]


def _matmul(A: Matrix, B: Matrix) -> Matrix:  # given
    """A B: the dot product of each row of A with each column of B."""
    columns = _transpose(B)
    return [[sum(map(mul, row, column)) for column in columns] for row in A]


def _transpose(M: Matrix) -> Matrix:  # given
    """Mᵀ."""
    return [list(column) for column in zip(*M, strict=True)]


def _cut(values: list[Any], size: int) -> list[Any]:  # given
    """Pieces of `size` values each."""
    return [values[i : i + size] for i in range(0, len(values), size)]


def _layout(  # given
    x: Images, weight: Images, *, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Layout:
    """The sizes of a convolution, checked."""
    n_samples, n_channels, *_ = _shape("x", x, 4)
    n_outputs, n_inputs, *kernel_size = _shape("weight", weight, 4)
    _check_whole(1, groups=groups)
    if n_channels % groups or n_outputs % groups:
        raise ValueError(f"groups must divide {n_channels} input and {n_outputs} output channels, got {groups}")
    if n_inputs != n_channels // groups:
        raise ValueError(f"weight must have {n_channels // groups} input channels for each output, got {n_inputs}")
    kernel, steps, margins, dilations = _options((kernel_size[0], kernel_size[1]), stride, padding, dilation)
    size = _size(x, kernel, steps, margins, dilations)
    return Layout(n_samples, n_outputs, groups, n_inputs, size, kernel, steps, margins, dilations)


def _size(  # given
    x: Images, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int]:
    """`conv_output_size` of the height and of the width."""
    image_size = len(x[0][0]), len(x[0][0][0])
    height, width = map(conv_output_size, image_size, kernel, stride, padding, dilation)
    return height, width


def _options(  # given
    kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Each as (for the rows, for the columns), checked."""
    return (
        _pair("kernel_size", kernel_size, 1),
        _pair("stride", stride, 1),
        _pair("padding", padding, 0),
        _pair("dilation", dilation, 1),
    )


def _pair(name: str, value: Pair, least: int) -> tuple[int, int]:  # given
    """(for the rows, for the columns) of one number or two, each at least `least`."""
    pair = (value, value) if isinstance(value, int) else value
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError(f"{name} must be a whole number or two of them, got {value!r}")
    _check_whole(least, **{name: pair[0]})
    _check_whole(least, **{name: pair[1]})
    return pair[0], pair[1]


def _check_whole(least: int, **named: int) -> None:  # given
    """Whole numbers, none below `least`."""
    for name, value in named.items():
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number, {least} or more, got {value!r}")


def _shape(name: str, x: Any, n_axes: int) -> tuple[int, ...]:  # given
    """The shape of nested lists: none empty, of equal lengths, with `n_axes` axes and finite numbers."""
    values, shape = x, []
    for axis in range(n_axes):
        rows = [values] if axis == 0 else values
        lengths = {len(row) if isinstance(row, list | tuple) else 0 for row in rows}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"{name} must be numbers in lists of equal lengths, {n_axes} axes, got {reprlib.repr(x)}")
        shape.append(lengths.pop())
        values = [value for row in rows for value in row]
    try:
        finite = all(map(math.isfinite, values))
    except TypeError:
        finite = False
    if not finite:
        raise ValueError(f"{name} must be finite numbers in lists, {n_axes} axes, got {reprlib.repr(x)}")
    return tuple(shape)


def _check_shape(name: str, x: Any, shape: tuple[int, ...]) -> None:  # given
    """Finite numbers of that shape."""
    found = _shape(name, x, len(shape))
    if found != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {found}")


def _check_upstream(upstream: Images, layout: Layout) -> None:  # given
    """The shape of the convolution's output."""
    _check_shape("upstream", upstream, (layout.n_samples, layout.n_outputs, *layout.size))


def _bias(bias: Vector | None, layout: Layout) -> Vector:  # given
    """One number for each output channel: the bias, or zeros."""
    if bias is None:
        return [0.0] * layout.n_outputs
    _check_shape("bias", bias, (layout.n_outputs,))
    return bias


if __name__ == "__main__":
    picture = [[[[1.0, 2.0, 0.0], [0.0, 1.0, 3.0], [2.0, 0.0, 1.0]]]]
    kernel = [[[[1.0, 0.0], [2.0, -1.0]]]]
    print("convolution:", conv2d(picture, kernel))
    print("max pooling:", max_pool2d(picture, 2, stride=1))
