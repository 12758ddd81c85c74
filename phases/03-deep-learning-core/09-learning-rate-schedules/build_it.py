"""Learning-rate schedules as functions of the step, and the range test, on the standard library alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

__all__ = [
    "RangeTest",
    "ReduceLROnPlateau",
    "Suggestion",
    "cosine_annealing_lr",
    "cosine_annealing_warm_restarts",
    "expected_squares",
    "exponential_lr",
    "linear_lr",
    "multi_step_lr",
    "noisy_descent",
    "one_cycle_lr",
    "one_cycle_momentum",
    "range_test",
    "slopes",
    "smooth",
    "steady_state_variance",
    "step_lr",
    "suggest",
    "warmup_cosine_lr",
]

Vector = list[float]


@dataclass(frozen=True)
class RangeTest:
    """What a range test recorded, one entry for each step that gave a finite loss.

    Attributes:
        lrs: the learning rates.
        losses: the losses before each step with them, not smoothed.
    """

    lrs: Vector
    losses: Vector


@dataclass(frozen=True)
class Suggestion:
    """Where the smoothed curve of a range test is remarkable.

    Attributes:
        steepest: the learning rate where the loss falls fastest per unit of log(learning rate), up to its lowest point.
        lowest: the learning rate where the loss is lowest. It is too large to train with; take a tenth.
    """

    steepest: float
    lowest: float


# ---- schedules: step t = 0, 1, 2 … in, learning rate out


def step_lr(step: int, base_lr: float, *, step_size: int, gamma: float = 0.1) -> float:
    """base_lr · gamma^⌊step / step_size⌋: constant for `step_size` steps, then multiplied by gamma.

    Args:
        step: how many optimizer steps (or epochs) were made before, from 0.
        base_lr: the learning rate at step 0.
        step_size: at least 1.
        gamma: above 0, at most 1.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check_step(step)
    _check_positive("base_lr", base_lr)
    _check_count("step_size", step_size)
    _check_gamma(gamma)
    return base_lr * gamma ** (step // step_size)


def multi_step_lr(step: int, base_lr: float, *, milestones: list[int], gamma: float = 0.1) -> float:
    """base_lr · gamma^(number of milestones that are at most `step`); one that is listed twice counts twice.

    Args:
        step: from 0.
        base_lr: the learning rate before the first milestone.
        milestones: steps, each at least 1, in any order.
        gamma: above 0, at most 1.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check_step(step)
    _check_positive("base_lr", base_lr)
    for milestone in milestones:
        _check_count("a milestone", milestone)
    _check_gamma(gamma)
    return base_lr * gamma ** sum(milestone <= step for milestone in milestones)


def exponential_lr(step: int, base_lr: float, *, gamma: float) -> float:
    """base_lr · gamma^step.

    Args:
        step: from 0.
        base_lr: the learning rate at step 0.
        gamma: above 0, at most 1.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check_step(step)
    _check_positive("base_lr", base_lr)
    _check_gamma(gamma)
    return base_lr * gamma**step


def linear_lr(
    step: int, base_lr: float, *, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
) -> float:
    """A straight line from base_lr · start_factor at step 0 to base_lr · end_factor at step `total_iters`; level after.

    Args:
        step: from 0.
        base_lr: what the factors multiply.
        start_factor: above 0, at most 1. Below end_factor it is a warm-up.
        end_factor: from 0 to 1.
        total_iters: at least 1.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check_step(step)
    _check_positive("base_lr", base_lr)
    _check_start_factor(start_factor)
    if not 0 <= end_factor <= 1:
        raise ValueError(f"end_factor must be from 0 to 1, got {end_factor}")
    _check_count("total_iters", total_iters)
    fraction = min(step, total_iters) / total_iters
    return base_lr * (start_factor + (end_factor - start_factor) * fraction)


def _cosine(start: float, end: float, fraction: float) -> float:
    """From start (fraction 0) to end (fraction 1) along half a wave of the cosine, level at both ends."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def cosine_annealing_lr(step: int, base_lr: float, *, T_max: int, eta_min: float = 0.0) -> float:
    """From base_lr down to eta_min at step T_max, along a cosine; then up again, with period 2 T_max.

    Args:
        step: from 0.
        base_lr: the learning rate at step 0.
        T_max: half a period, at least 1.
        eta_min: the learning rate at step T_max, at least 0.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check_step(step)
    _check_positive("base_lr", base_lr)
    _check_count("T_max", T_max)
    _check_not_negative("eta_min", eta_min)
    return _cosine(base_lr, eta_min, step / T_max)


def cosine_annealing_warm_restarts(
    step: int, base_lr: float, *, T_0: int, T_mult: int = 1, eta_min: float = 0.0
) -> float:
    """Half a cosine of T_0 steps, then a jump back to base_lr, the next of T_0 · T_mult steps, and so on (SGDR).

    Args:
        step: from 0.
        base_lr: the learning rate at the beginning of each cycle.
        T_0: the length of the first cycle, at least 1.
        T_mult: how many times as long each cycle is as the one before, at least 1.
        eta_min: where a cycle would end if it had one step more, at least 0.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check_step(step)
    _check_positive("base_lr", base_lr)
    _check_count("T_0", T_0)
    _check_count("T_mult", T_mult)
    _check_not_negative("eta_min", eta_min)
    length = T_0
    while step >= length:
        step -= length
        length *= T_mult
    return _cosine(base_lr, eta_min, step / length)


def warmup_cosine_lr(
    step: int, base_lr: float, *, warmup_steps: int, total_steps: int, start_factor: float = 0.01, eta_min: float = 0.0
) -> float:
    """`linear_lr` from start_factor · base_lr up to base_lr in `warmup_steps`, then `cosine_annealing_lr` to eta_min.

    The cosine counts its steps from the end of the warm-up: it begins with base_lr at step `warmup_steps`, and would
    reach eta_min at step `total_steps`, the first that is not made.

    Args:
        step: from 0 to total_steps - 1.
        base_lr: the highest learning rate.
        warmup_steps: from 0 (no warm-up) to total_steps - 1.
        total_steps: at least 1.
        start_factor: above 0, at most 1.
        eta_min: at least 0.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check_count("total_steps", total_steps)
    _check_step(step, total_steps)
    if not isinstance(warmup_steps, int) or not 0 <= warmup_steps < total_steps:
        raise ValueError(f"warmup_steps must be an int from 0 to {total_steps - 1}, got {warmup_steps!r}")
    _check_start_factor(start_factor)
    _check_not_negative("eta_min", eta_min)
    if step < warmup_steps:
        return linear_lr(step, base_lr, start_factor=start_factor, total_iters=warmup_steps)
    return cosine_annealing_lr(step - warmup_steps, base_lr, T_max=total_steps - warmup_steps, eta_min=eta_min)


def _one_cycle(step: int, levels: Vector, total_steps: int, pct_start: float, anneal_strategy: str) -> float:
    """Anneal from each level to the next. The phases end at fractions of a step, as torch's do; the last one, on it."""
    _check_count("total_steps", total_steps)
    _check_step(step, total_steps)
    _check_choice("anneal_strategy", anneal_strategy, ("cos", "linear"))
    if not 0 <= pct_start <= 1 or pct_start * total_steps == 1:
        raise ValueError(
            f"pct_start must be from 0 to 1 and pct_start * total_steps not 1 (a phase of no length), "
            f"got {pct_start} and {total_steps} steps"
        )
    rise = pct_start * total_steps - 1
    ends = [rise, total_steps - 1] if len(levels) == 3 else [rise, 2 * rise, total_steps - 1]
    phase = next(i for i, end in enumerate(ends) if step <= end)
    begin, end = ([0.0, *ends])[phase : phase + 2]
    fraction = (step - begin) / (end - begin)
    start, goal = levels[phase : phase + 2]
    return _cosine(start, goal, fraction) if anneal_strategy == "cos" else start + (goal - start) * fraction


def one_cycle_lr(
    step: int,
    max_lr: float,
    *,
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> float:
    """Up from max_lr / div_factor to max_lr, then down to max_lr / div_factor / final_div_factor at the last step.

    Args:
        step: from 0 to total_steps - 1.
        max_lr: the highest learning rate.
        total_steps: the length of the whole training, at least 1.
        pct_start: the part of it in which the rate rises (0.3 is 30%), from 0 to 1. The peak is at step
            pct_start · total_steps - 1, which need not be a whole number.
        anneal_strategy: "cos", or "linear" for straight lines.
        div_factor: above 0.
        final_div_factor: above 0.
        three_phase: go down to max_lr / div_factor in as many steps as up (to step 2 pct_start · total_steps - 2), and
            only then to the end.

    Raises:
        ValueError: an argument is out of its range, or pct_start · total_steps is 1: the rise would have no length.
    """
    _check_positive("max_lr", max_lr)
    _check_positive("div_factor", div_factor)
    _check_positive("final_div_factor", final_div_factor)
    initial = max_lr / div_factor
    levels = [initial, max_lr, *([initial] if three_phase else []), initial / final_div_factor]
    return _one_cycle(step, levels, total_steps, pct_start, anneal_strategy)


def one_cycle_momentum(
    step: int,
    *,
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    three_phase: bool = False,
) -> float:
    """The momentum that goes with `one_cycle_lr`: lowest where the learning rate is highest.

    Args:
        step, total_steps, pct_start, anneal_strategy: as `one_cycle_lr`.
        base_momentum: the lowest, at the peak of the learning rate; from 0, below 1.
        max_momentum: at both ends; from 0, below 1.
        three_phase: back at max_momentum at the end of the second phase, and level in the third.

    Raises:
        ValueError: as `one_cycle_lr`, or a momentum is out of its range.
    """
    _check_momentum("base_momentum", base_momentum)
    _check_momentum("max_momentum", max_momentum)
    levels = [max_momentum, base_momentum, max_momentum, *([max_momentum] if three_phase else [])]
    return _one_cycle(step, levels, total_steps, pct_start, anneal_strategy)


class ReduceLROnPlateau:
    """Multiply the learning rate by `factor` when a metric has not improved for more than `patience` epochs.

    No function of the step: it depends on what was measured, so it must remember.

    Attributes:
        lr: the learning rate to use now.
    """

    def __init__(
        self,
        lr: float,
        *,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        """Settings, with torch's names and defaults.

        Args:
            lr: to begin with.
            mode: "min" where lower is better, "max" where higher is.
            factor: above 0, below 1.
            patience: so many epochs without improvement are borne; the next one reduces. At least 0.
            threshold: how much better counts as better, at least 0. From 1 on, nothing is better for "min" and "rel".
            threshold_mode: "rel": below best · (1 - threshold), or above best · (1 + threshold) for "max"; "abs":
                below best - threshold, or above best + threshold.
            cooldown: so many epochs after a reduction are not counted as bad. At least 0.
            min_lr: never below this; at least 0.
            eps: a reduction by eps or less is not made; at least 0.

        Raises:
            ValueError: an argument is out of its range.
        """
        _check_positive("lr", lr)
        _check_choice("mode", mode, ("min", "max"))
        _check_factor(factor)
        _check_choice("threshold_mode", threshold_mode, ("rel", "abs"))
        for name, count in (("patience", patience), ("cooldown", cooldown)):
            _check_no_less_than_0(name, count)
        for name, value in (("threshold", threshold), ("min_lr", min_lr), ("eps", eps)):
            _check_not_negative(name, value)
        self.lr = lr
        self._mode, self._factor, self._patience = mode, factor, patience
        self._threshold, self._threshold_mode = threshold, threshold_mode
        self._cooldown, self._min_lr, self._eps = cooldown, min_lr, eps
        self._best = math.inf if mode == "min" else -math.inf
        self._bad_epochs = 0
        self._cooling = 0

    def step(self, metric: float) -> float:
        """Take the metric of the epoch just finished, and return the learning rate of the next.

        In this order: better than the best so far, or one more bad epoch? During a cooldown, count down, and forget
        bad epochs. More than `patience` bad epochs: reduce, begin a cooldown, and count from 0.

        Raises:
            ValueError: the metric is NaN; the best so far and the counts stay as they were.
        """
        if math.isnan(metric):
            raise ValueError("a metric must be a number, got NaN: find where it comes from first")
        if self._is_better(metric):
            self._best, self._bad_epochs = metric, 0
        else:
            self._bad_epochs += 1
        if self._cooling > 0:
            self._cooling -= 1
            self._bad_epochs = 0
        if self._bad_epochs > self._patience:
            reduced = max(self.lr * self._factor, self._min_lr)
            if self.lr - reduced > self._eps:
                self.lr = reduced
            self._cooling, self._bad_epochs = self._cooldown, 0
        return self.lr

    def _is_better(self, metric: float) -> bool:
        sign = -1 if self._mode == "min" else 1
        if self._threshold_mode == "rel":
            bar = self._best * (1 + sign * self._threshold)
        else:
            bar = self._best + sign * self._threshold
        return metric < bar if self._mode == "min" else metric > bar


# ---- why: descent on a noisy quadratic


def noisy_descent(x: float, lrs: Vector, curvatures: Vector, noises: Vector) -> Vector:
    """Gradient descent on h/2 · x², whose gradient h x is seen with noise: x ← x - η (h x + ξ).

    Args:
        x: where it starts.
        lrs: η of each step, at least 0.
        curvatures: h of each step, at least 0.
        noises: ξ of each step.

    Returns:
        x before the first step and after each: one value more than there are steps.

    Raises:
        ValueError: the lists differ in length, or a value is not finite or below 0.
    """
    _check_steps(x, lrs, curvatures)
    if len(noises) != len(lrs) or not all(map(math.isfinite, noises)):
        raise ValueError(f"noises must be {len(lrs)} finite numbers, got {noises}")
    path = [x]
    for lr, h, noise in zip(lrs, curvatures, noises, strict=True):
        path.append(path[-1] - lr * (h * path[-1] + noise))
    return path


def expected_squares(x: float, lrs: Vector, curvatures: Vector, sigma: float) -> Vector:
    """The mean of x² over all noises of mean 0 and standard deviation sigma, before and after each step.

        E[x²] ← (1 - η h)² E[x²] + η² sigma²

    Args:
        x: where `noisy_descent` starts.
        lrs: η of each step, at least 0.
        curvatures: h of each step, at least 0.
        sigma: the standard deviation of the noise in the gradient, at least 0; the draws are independent.

    Returns:
        One value more than there are steps.

    Raises:
        ValueError: the lists differ in length, or a value is not finite or below 0.
    """
    _check_steps(x, lrs, curvatures)
    _check_not_negative("sigma", sigma)
    squares = [x * x]
    for lr, h in zip(lrs, curvatures, strict=True):
        squares.append((1 - lr * h) ** 2 * squares[-1] + (lr * sigma) ** 2)
    return squares


def steady_state_variance(lr: float, curvature: float, sigma: float) -> float:
    """Where E[x²] settles with a constant learning rate: η sigma² / (h (2 - η h)), nearly proportional to η.

    Args:
        lr: η, above 0.
        curvature: h, above 0; η h must be below 2.
        sigma: the standard deviation of the noise in the gradient, at least 0.

    Raises:
        ValueError: an argument is out of its range, or η h is 2 or more: it settles nowhere.
    """
    _check_positive("lr", lr)
    _check_positive("curvature", curvature)
    _check_not_negative("sigma", sigma)
    if lr * curvature >= 2:
        raise ValueError(f"lr * curvature must be below 2, got {lr * curvature}: descent diverges")
    return lr * sigma**2 / (curvature * (2 - lr * curvature))


# ---- the range test


def range_test(
    train_step: Callable[[float], float],
    *,
    start_lr: float = 1e-5,
    end_lr: float = 10.0,
    n_steps: int = 100,
    beta: float = 0.9,
    stop_factor: float = 4.0,
) -> RangeTest:
    """Train while the learning rate grows exponentially, start_lr · (end_lr / start_lr)^(t / (n_steps - 1)) at step t.

    It ends after n_steps, or at a loss that is not finite (not recorded), or after a loss (recorded) that takes the
    smoothed loss above `stop_factor` times the lowest so far (Smith 2017; the rule of stopping is fastai's).

    Args:
        train_step: makes one step of training with the learning rate that it gets, and returns the loss before it.
        start_lr: above 0.
        end_lr: above start_lr.
        n_steps: at least 2.
        beta: of `smooth`.
        stop_factor: above 1.

    Raises:
        ValueError: an argument is out of its range, or a loss is below 0.
    """
    _check_range(start_lr, end_lr, n_steps, beta, stop_factor)
    lrs: Vector = []
    losses: Vector = []
    for t in range(n_steps):
        lr = start_lr * (end_lr / start_lr) ** (t / (n_steps - 1))
        loss = train_step(lr)
        if not math.isfinite(loss):
            break
        _check_not_negative("a loss", loss)
        lrs.append(lr)
        losses.append(loss)
        smoothed = smooth(losses, beta)
        if smoothed[-1] > stop_factor * min(smoothed):
            break
    return RangeTest(lrs, losses)


def smooth(losses: Vector, beta: float = 0.9) -> Vector:
    """An exponential moving average, corrected for its start at 0: m ← beta m + (1 - beta) loss; m / (1 - beta^t).

    Args:
        losses: one or more finite numbers.
        beta: how much of the past stays at each step, from 0 (all is forgotten) to below 1.

    Returns:
        As many values.

    Raises:
        ValueError: there is no loss, one is not finite, or beta is out of its range.
    """
    _check_losses(losses, 1)
    _check_momentum("beta", beta)
    average, smoothed = 0.0, []
    for t, loss in enumerate(losses, 1):
        average = beta * average + (1 - beta) * loss
        smoothed.append(average / (1 - beta**t))
    return smoothed


def slopes(lrs: Vector, losses: Vector) -> Vector:
    """d loss / d log(lr) at every point: from the parabola through it and its neighbours; one-sided at the ends.

    The slope of that parabola is the mean of the slopes to the left and to the right, each weighted with the width of
    the *other* side.

    Args:
        lrs: two or more learning rates above 0, each above the one before.
        losses: as many finite numbers.

    Raises:
        ValueError: lengths differ, a value is out of its range, or the learning rates do not rise.
    """
    _check_curve(lrs, losses, 2)
    logs = [math.log(lr) for lr in lrs]
    widths = [b - a for a, b in pairwise(logs)]
    secants = [(b - a) / width for (a, b), width in zip(pairwise(losses), widths, strict=True)]
    inner = [
        (widths[i + 1] * secants[i] + widths[i] * secants[i + 1]) / (widths[i] + widths[i + 1])
        for i in range(len(widths) - 1)
    ]
    return [secants[0], *inner, secants[-1]]


def suggest(lrs: Vector, losses: Vector, *, beta: float = 0.9, skip: int = 10) -> Suggestion:
    """Read the curve of a range test: smooth it, then look for its lowest point and for the steepest fall before.

    The lowest is sought among all points, the steepest from point `skip` (counted from 0) to the lowest, both included.
    Of several equal ones the first counts.

    Args:
        lrs: two or more learning rates above 0, each above the one before.
        losses: as many finite numbers, as recorded.
        beta: of `smooth`.
        skip: so many points at the start cannot be the steepest, since they are means of few losses; at least 0.

    Raises:
        ValueError: the curve is bad, or lowest among its first skip + 1 points: it never falls below them.
    """
    _check_no_less_than_0("skip", skip)
    smoothed = smooth(losses, beta)
    lowest = smoothed.index(min(smoothed))
    if lowest <= skip:
        raise ValueError(f"the smoothed loss must fall after its first {skip + 1} points, but is lowest at {lowest}")
    falls = slopes(lrs, smoothed)[skip : lowest + 1]
    return Suggestion(lrs[skip + falls.index(min(falls))], lrs[lowest])


# ---- checks


def _check_step(step: int, total_steps: int | None = None) -> None:  # given
    _check_no_less_than_0("step", step)
    if total_steps is not None and step >= total_steps:
        raise ValueError(f"step must be below total_steps, {total_steps}, got {step}")


def _check_count(name: str, count: int) -> None:  # given
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"{name} must be an int of at least 1, got {count!r}")


def _check_positive(name: str, value: float) -> None:  # given
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be finite and above 0, got {value}")


def _check_not_negative(name: str, value: float) -> None:  # given
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be finite and at least 0, got {value}")


def _check_gamma(gamma: float) -> None:  # given
    if not 0 < gamma <= 1:
        raise ValueError(f"gamma must be above 0 and at most 1, got {gamma}")


def _check_start_factor(start_factor: float) -> None:  # given
    if not 0 < start_factor <= 1:
        raise ValueError(f"start_factor must be above 0 and at most 1, got {start_factor}")


def _check_momentum(name: str, value: float) -> None:  # given
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be from 0 to below 1, got {value}")


def _check_factor(factor: float) -> None:  # given
    if not 0 < factor < 1:
        raise ValueError(f"factor must be above 0 and below 1, got {factor}")


def _check_choice(name: str, choice: str, choices: tuple[str, str]) -> None:  # given
    if choice not in choices:
        raise ValueError(f"{name} must be {choices[0]!r} or {choices[1]!r}, got {choice!r}")


def _check_no_less_than_0(name: str, count: int) -> None:  # given
    if not isinstance(count, int) or count < 0:
        raise ValueError(f"{name} must be an int of at least 0, got {count!r}")


def _check_steps(x: float, lrs: Vector, curvatures: Vector) -> None:  # given
    if not math.isfinite(x):
        raise ValueError(f"x must be finite, got {x}")
    if len(curvatures) != len(lrs):
        raise ValueError(f"curvatures must be {len(lrs)} numbers, one for each learning rate, got {len(curvatures)}")
    for name, values in (("a learning rate", lrs), ("a curvature", curvatures)):
        for value in values:
            _check_not_negative(name, value)


def _check_range(start_lr: float, end_lr: float, n_steps: int, beta: float, stop_factor: float) -> None:  # given
    _check_positive("start_lr", start_lr)
    if not start_lr < end_lr < math.inf:
        raise ValueError(f"end_lr must be finite and above start_lr, {start_lr}, got {end_lr}")
    if not isinstance(n_steps, int) or n_steps < 2:
        raise ValueError(f"n_steps must be an int of at least 2, got {n_steps!r}")
    _check_momentum("beta", beta)
    if not 1 < stop_factor < math.inf:
        raise ValueError(f"stop_factor must be finite and above 1, got {stop_factor}")


def _check_losses(losses: Vector, at_least: int) -> None:  # given
    if len(losses) < at_least:
        raise ValueError(f"losses must be {at_least} numbers or more, got {len(losses)}")
    for i, loss in enumerate(losses):
        if not math.isfinite(loss):
            raise ValueError(f"losses must be finite, got {loss} at place {i}")


def _check_curve(lrs: Vector, losses: Vector, at_least: int) -> None:  # given
    _check_losses(losses, at_least)
    if len(lrs) != len(losses):
        raise ValueError(f"lrs must be {len(losses)} numbers, one for each loss, got {len(lrs)}")
    for lr in lrs:
        _check_positive("a learning rate", lr)
    for i in range(1, len(lrs)):
        if lrs[i] <= lrs[i - 1]:
            raise ValueError(f"learning rates must rise, got {lrs[i]} after {lrs[i - 1]}")


if __name__ == "__main__":
    schedule = [warmup_cosine_lr(t, 0.8, warmup_steps=4, total_steps=8, start_factor=0.25) for t in range(8)]
    print("warm-up, then cosine:", [round(lr, 4) for lr in schedule])
    print("steady state:", [round(steady_state_variance(lr, 1.0, 1.0), 4) for lr in (1.0, 0.1, 0.01)])
