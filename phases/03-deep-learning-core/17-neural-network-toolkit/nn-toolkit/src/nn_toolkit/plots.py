"""Plots as SVG text: lines with axes, images in a grid, and the regions that a network makes of the plane.

SVG needs no library, opens in every browser, and can be read in a review.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from nn_toolkit.data import Data
from nn_toolkit.images import png
from nn_toolkit.layers import Array

# Okabe & Ito's colours, which colour-blind readers tell apart too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f", "#8c6d31", "#5254a3")
WIDTH, HEIGHT, MARGIN = 460, 300, 58
BOLD = ' font-weight="bold"'
NEGATIVE, POSITIVE = np.array([0, 114, 178]), np.array([213, 94, 0])


@dataclass(frozen=True)
class Line:
    """A line of a chart."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


def chart(title: str, x_label: str, y_label: str, lines: Sequence[Line], *, log_x: bool = False) -> str:
    """Lines with axes, ticks and a legend: a piece of SVG of WIDTH × HEIGHT, without the points that are not finite."""
    shown = [Line(line.label, *_finite(line)) for line in lines]
    xs = [x for line in shown for x in line.x]
    ys = [y for line in shown for y in line.y]
    across = _Axis(xs, WIDTH - MARGIN - 16, log_x, whole=all(float(x).is_integer() for x in xs))
    up = _Axis(ys, HEIGHT - MARGIN - 46)
    parts = [_text(WIDTH / 2, 18, title, "middle", bold=True)]
    bottom, right = HEIGHT - MARGIN, WIDTH - 16
    for tick, at in up.ticks():
        y = bottom - at
        parts.append(f'<line x1="{MARGIN}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(_text(MARGIN - 6, y + 4, tick, "end"))
    for tick, at in across.ticks():
        x = MARGIN + at
        parts.append(f'<line x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 4}" stroke="#444444"/>')
        parts.append(_text(x, bottom + 17, tick, "middle"))
    parts.append(f'<line x1="{MARGIN}" y1="{bottom}" x2="{right}" y2="{bottom}" stroke="#444444"/>')
    parts.append(_text((MARGIN + right) / 2, bottom + 34, x_label, "middle"))
    middle = (bottom + 40) / 2
    parts.append(_text(14, middle, y_label, "middle", f' transform="rotate(-90 14 {middle:.0f})"'))
    place = float(MARGIN)
    for colour, line in zip(COLOURS * len(shown), shown, strict=False):
        points = [(MARGIN + across(x), bottom - up(y)) for x, y in zip(line.x, line.y, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points]
        parts.append(f'<rect x="{place}" y="28" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(place + 14, 37, line.label, "start"))
        place += 26 + 6.5 * len(line.label)
    return "\n".join(parts)


def page(pieces: Sequence[str], columns: int = 2, width: int = WIDTH, height: int = HEIGHT) -> str:
    """An SVG file with the pieces beside and below each other."""
    columns = min(columns, len(pieces))
    rows = -(-len(pieces) // columns)
    size = f'width="{columns * width}" height="{rows * height}"'
    placed = [
        f'<g transform="translate({place % columns * width} {place // columns * height})">\n{piece}\n</g>'
        for place, piece in enumerate(pieces)
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {columns * width} {rows * height}">'
    white = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return "\n".join([head, white, *placed, "</svg>"]) + "\n"


def grid(title: str, images: Sequence[Array], labels: Sequence[str], columns: int = 8, size: int = 84) -> str:
    """An SVG file with images (height × width, or × 3, bytes), each with its label below."""
    columns = max(1, min(columns, len(images)))
    row = size + 26
    parts = []
    for place, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        x, y = 10 + place % columns * (size + 10), 34 + place // columns * row
        parts.append(_image(pixels, x, y, size, size))
        parts.append(_text(x + size / 2, y + size + 15, label, "middle", small=True))
    width, height = 10 + columns * (size + 10), 40 + -(-len(images) // columns) * row
    needed = max(width, 20 + 8 * len(title))
    parts.insert(0, _text(10, 20, title, "start", bold=True))
    return page(["\n".join(parts)], width=needed, height=height)


def signed(values: Array) -> Array:
    """Values as colours, height × width × 3: blue below 0, white at 0, vermilion above, full at the largest size."""
    largest = np.abs(values).max() or 1.0
    share = (values / largest)[..., None]
    towards = np.where(share < 0, NEGATIVE, POSITIVE)
    return np.rint(255 + np.abs(share) * (towards - 255))


Box = tuple[float, float, float, float]  # least x, largest x, least y, largest y


def regions(title: str, data: Data, areas: Array, box: Box) -> str:
    """An SVG file with the plane coloured by class, and the samples on it.

    Args:
        title: what stands above.
        data: samples of two features, with classes.
        areas: probabilities of each class at each point of a raster: height × width × n_classes, the top row first.
        box: where the raster lies.
    """
    size = 440
    palette = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in COLOURS])
    mixed = areas @ palette[np.arange(areas.shape[2]) % len(palette)]
    parts = [_text(20, 20, title, "start", bold=True)]
    parts.append(_image(np.clip(np.rint(255 - 0.45 * (255 - mixed)), 0, 255), 20, 56, size, size))
    left, right, low, high = box
    for (x1, x2), label in zip(data.X, data.y, strict=True):
        across, down = 20 + size * (x1 - left) / (right - left), 56 + size * (high - x2) / (high - low)
        colour = COLOURS[label % len(COLOURS)]
        parts.append(
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="2.5" fill="{colour}" stroke="#ffffff" stroke-width="0.6"/>'
        )
    place = 20.0
    for label, name in enumerate(data.classes):
        parts.append(f'<rect x="{place}" y="32" width="10" height="10" fill="{COLOURS[label % len(COLOURS)]}"/>')
        parts.append(_text(place + 14, 41, name, "start"))
        place += 30 + 7 * len(name)
    spans = f"across: {left:.3g} to {right:.3g}; up: {low:.3g} to {high:.3g}"
    parts.append(_text(20, 56 + size + 16, spans, "start"))
    return page(["\n".join(parts)], width=size + 40, height=size + 84)


class _Axis:
    """Values to pixels, with round ticks."""

    def __init__(self, values: Sequence[float], length: float, log: bool = False, whole: bool = False) -> None:
        self._log, self._length = log, length
        moved = [math.log10(v) if log else v for v in values] or [0.0, 1.0]
        low, high = min(moved), max(moved)
        if low == high:
            edge = 0.5 if log or whole else 0.05 * abs(low) or 0.5
            low, high = low - edge, high + edge
        self._step = 1.0 if log else _round_step(max((high - low) / 5, float(whole)))
        self._low = low if log else math.floor(low / self._step) * self._step
        self._high = high if log else math.ceil(high / self._step - 1e-9) * self._step

    def __call__(self, value: float) -> float:
        moved = math.log10(value) if self._log else value
        return (moved - self._low) / (self._high - self._low) * self._length

    def ticks(self) -> list[tuple[str, float]]:
        if self._log:
            decades = range(math.floor(self._low), math.ceil(self._high) + 1)
            round_ = [factor * 10.0**k for k in decades for factor in (1, 2, 5)]
            at = [v for v in round_ if self._low - 1e-9 <= math.log10(v) <= self._high + 1e-9]
            at = [v for v in at if len(at) < 7 or f"{v:e}".startswith("1")]
        else:
            first, last = math.ceil(self._low / self._step - 1e-9), math.floor(self._high / self._step + 1e-9)
            at = [k * self._step for k in range(first, last + 1)]
        return [(f"{value:.6g}", self(value)) for value in at]


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, and not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


def _finite(line: Line) -> tuple[list[float], list[float]]:
    kept = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    return [x for x, _ in kept], [y for _, y in kept]


def _readable(text: str) -> str:
    """Without the characters that XML does not allow."""
    return escape("".join(c if c.isprintable() else " " for c in text))


def _text(
    x: float, y: float, text: str, anchor: str, more: str = "", *, bold: bool = False, small: bool = False
) -> str:
    font = f'font-family="sans-serif" font-size="{11 if small else 12}"{BOLD * bold}'
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {font} fill="#222222"{more}>{_readable(text)}</text>'


def _image(pixels: Array, x: float, y: float, width: float, height: float) -> str:
    data = base64.b64encode(png(pixels)).decode()
    place = f'x="{x}" y="{y}" width="{width}" height="{height}"'
    return f'<image {place} style="image-rendering: pixelated" href="data:image/png;base64,{data}"/>'
