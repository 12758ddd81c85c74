"""Figures of the lesson, drawn from build_it itself."""

import math

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from phases.ml_fundamentals.linear_regression.build_it import LinearModel, fit, fit_line, predict, residuals

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"  # Okabe and Ito: safe for the colour-blind

# Anscombe (1973), Graphs in Statistical Analysis, The American Statistician 27(1), 17-21.
X123 = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5]
X4 = [8, 8, 8, 8, 8, 8, 8, 19, 8, 8, 8]
ANSCOMBE = {
    "I: a line with noise": (X123, [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]),
    "II: a curve": (X123, [9.14, 8.14, 8.74, 8.77, 9.26, 8.10, 6.13, 3.10, 9.13, 7.26, 4.74]),
    "III: a line and one outlier": (X123, [7.46, 6.77, 12.74, 7.11, 7.81, 8.84, 6.08, 5.39, 8.15, 6.42, 5.73]),
    "IV: one point decides": (X4, [6.58, 5.76, 7.71, 8.84, 8.47, 7.04, 5.25, 12.50, 5.56, 7.91, 6.89]),
}


def anscombe() -> Figure:
    """Four data sets with the same line, R² and standard errors."""
    figure, panels = plt.subplots(2, 2, figsize=(7.5, 5.2), sharex=True, sharey=True, layout="constrained")
    for axes, (title, (x, y)) in zip(panels.flat, ANSCOMBE.items(), strict=True):
        model = fit_line(x, y)
        ends = [3, 20]
        axes.plot(ends, predict(model, [[value] for value in ends]), color=ORANGE, linewidth=2)
        axes.scatter(x, y, color=BLUE, zorder=3)
        axes.set_title(title, loc="left", fontsize=11)
        axes.text(19.8, 3.2, f"y = {model.intercept:.2f} + {model.coefficients[0]:.3f} x", ha="right", color=ORANGE)
        _plain(axes)
    panels[0, 0].set_xticks([4, 8, 12, 16, 20])
    figure.supxlabel("x")
    figure.supylabel("y")
    return figure


def residual_squares() -> Figure:
    """Each residual as a square: another line covers more area."""
    rooms, rent = [1, 2, 3, 4], [2, 5, 4, 6]
    X = [[value] for value in rooms]
    best = fit_line(rooms, rent)
    figure, panels = plt.subplots(1, 2, figsize=(7.5, 4.2), sharey=True, layout="constrained")
    for axes, name, model in zip(
        panels, ("some line", "the least-squares line"), (LinearModel(3.0, [0.5]), best), strict=True
    ):
        errors = residuals(model, X, rent)
        for x, y, error in zip(rooms, rent, errors, strict=True):
            axes.add_patch(Rectangle((x, y), -error, -error, facecolor=ORANGE, alpha=0.25))
            axes.plot([x, x], [y, y - error], color=ORANGE, linewidth=2)
        axes.plot([0.2, 4.8], predict(model, [[0.2], [4.8]]), color=GREY, linewidth=2)
        axes.scatter(rooms, rent, color=BLUE, zorder=3)
        area = sum(error**2 for error in errors)
        equation = f"{model.intercept:.1f} + {model.coefficients[0]:.1f} · rooms"
        axes.set_title(f"{name}: {equation}\norange area {area:.2f}", loc="left", fontsize=11)
        axes.set(xlabel="rooms", xlim=(0, 6), ylim=(1, 7), aspect="equal")
        _plain(axes)
    panels[0].set_ylabel("rent, 100 € a month")
    return figure


def perpendicular() -> Figure:
    """The four flats after centring: two features span a sheet, and the rent stands off it.

    Four numbers whose sum is 0 have three dimensions, so nothing is left out: along the prediction, across it in the
    sheet, and along the residual. The upright triangle has its true shape.
    """
    rooms, km, rent = [-1.5, -0.5, 0.5, 1.5], [-1.0, -1.0, 0.0, 2.0], [-2.25, 0.75, -0.25, 1.75]
    X = [list(row) for row in zip(rooms, km, strict=True)]
    model = fit(X, rent)
    prediction, residual = predict(model, X), residuals(model, X, rent)
    along = [value / math.hypot(*prediction) for value in prediction]
    rest = [value - _dot(along, km) * a for value, a in zip(km, along, strict=True)]
    across = [value / math.hypot(*rest) for value in rest]
    up = [value / math.hypot(*residual) for value in residual]

    def drawn(vector: list[float]) -> tuple[float, float]:
        depth = _dot(across, vector)
        return _dot(along, vector) + 0.15 * depth, 0.65 * depth + _dot(up, vector)

    def combined(a: float, b: float, c: float = 0.0) -> list[float]:
        return [a * u + b * v + c * w for u, v, w in zip(along, across, up, strict=True)]

    figure, axes = plt.subplots(figsize=(7.5, 4.0), layout="constrained")
    sheet = [drawn(combined(*corner)) for corner in ((-0.6, -1.15), (4.3, -1.15), (4.3, 2.0), (-0.6, 2.0))]
    axes.add_patch(Polygon(sheet, facecolor="#EEF3F7", edgecolor="#B8C4CE"))
    b_rooms, b_km = model.coefficients
    far = [b_rooms * value for value in rooms]
    axes.plot(*zip(drawn(rooms), drawn(far), drawn(prediction), strict=True), color=BLUE, linestyle=":", linewidth=1.8)
    arrows = ((rooms, BLUE), (km, BLUE), (prediction, "black"), (rent, ORANGE))
    for vector, color in arrows:
        style = {"arrowstyle": "-|>", "color": color, "linewidth": 2, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 15}
        axes.annotate("", drawn(vector), (0, 0), arrowprops=style)
    axes.plot(*zip(drawn(prediction), drawn(rent), strict=True), color=ORANGE, linewidth=2, linestyle="--")
    length = math.hypot(*prediction)
    square = [combined(length - 0.17, 0), combined(length - 0.17, 0, 0.17), combined(length, 0, 0.17)]
    axes.plot(*zip(*map(drawn, square), strict=True), color=GREY, linewidth=1)

    def label(text: str, vector: list[float], offset: tuple[float, float], color: str, side: str = "left") -> None:
        axes.annotate(text, drawn(vector), offset, textcoords="offset points", color=color, ha=side)

    label(f"rent, length² {_dot(rent, rent):.2f}", rent, (-8, 2), ORANGE, "right")
    label(f"residual, length² {_dot(residual, residual):.2f}", combined(length, 0, 1.0), (7, 0), ORANGE)
    label("rooms", rooms, (-16, 4), BLUE, "right")
    label("km", km, (-9, 5), BLUE, "right")
    label(f"{b_rooms:.1f} · rooms", far, (6, -3), BLUE)
    label(
        f"prediction = {b_rooms:.1f} · rooms − {-b_km:.1f} · km, length² {_dot(prediction, prediction):.2f}",
        prediction,
        (-160, -16),
        "black",
    )
    label("the sheet: all that rooms and km can predict", combined(-0.6, -1.15), (12, 9), GREY)
    axes.set_aspect("equal")
    axes.axis("off")
    return figure


def _dot(a: list[float], b: list[float]) -> float:
    return sum(u * v for u, v in zip(a, b, strict=True))


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
