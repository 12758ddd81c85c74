"""Learning-rate schedules out of torch.optim.lr_scheduler, and the range test driven by one of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_banded, solve_discrete_lyapunov
from scipy.signal import lfilter
from torch.optim import SGD, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

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


@dataclass
class _Run:
    """A scheduler, and what it said at each step so far: to know step t, torch must walk there."""

    optimizer: SGD
    scheduler: LRScheduler
    groups: list[dict[str, Any]] = field(default_factory=list)

    def at(self, step: int) -> dict[str, Any]:
        """The settings with which optimizer step number `step` is made, from 0."""
        while len(self.groups) <= step:
            if self.groups:
                self.scheduler.step()  # after optimizer.step(): the next learning rate
            self.groups.append(dict(self.optimizer.param_groups[0]))
            self.optimizer.step()  # no gradients, so nothing moves; torch warns if it never sees this call
        return self.groups[step]


SGD(
    [torch.zeros(1)], lr=1.0
)  # torch imports its compiler with the first optimizer of a process: 1 s, here and not later


def _optimizer(lr: float, momentum: float = 0.0) -> SGD:
    return SGD([torch.zeros(1, dtype=torch.float64, requires_grad=True)], lr, momentum)


@lru_cache(maxsize=64)
def _run(scheduler: type[LRScheduler], lr: float, **settings: Any) -> _Run:
    optimizer = _optimizer(lr)
    return _Run(optimizer, scheduler(optimizer, **settings))


def step_lr(step: int, base_lr: float, *, step_size: int, gamma: float = 0.1) -> float:
    """lr_scheduler.StepLR."""
    _check_step(step)
    _check_positive("base_lr", base_lr)
    _check_count("step_size", step_size)
    _check_gamma(gamma)
    return _run(lr_scheduler.StepLR, base_lr, step_size=step_size, gamma=gamma).at(step)["lr"]


def multi_step_lr(step: int, base_lr: float, *, milestones: list[int], gamma: float = 0.1) -> float:
    """lr_scheduler.MultiStepLR, which itself never looks whether a milestone is possible."""
    _check_step(step)
    _check_positive("base_lr", base_lr)
    for milestone in milestones:
        _check_count("a milestone", milestone)
    _check_gamma(gamma)
    return _run(lr_scheduler.MultiStepLR, base_lr, milestones=tuple(milestones), gamma=gamma).at(step)["lr"]


def exponential_lr(step: int, base_lr: float, *, gamma: float) -> float:
    """lr_scheduler.ExponentialLR."""
    _check_step(step)
    _check_positive("base_lr", base_lr)
    _check_gamma(gamma)
    return _run(lr_scheduler.ExponentialLR, base_lr, gamma=gamma).at(step)["lr"]


def linear_lr(
    step: int, base_lr: float, *, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
) -> float:
    """lr_scheduler.LinearLR, which itself raises ValueError for the two factors."""
    _check_step(step)
    _check_positive("base_lr", base_lr)
    _check_count("total_iters", total_iters)
    settings = {"start_factor": start_factor, "end_factor": end_factor, "total_iters": total_iters}
    if math.isnan(start_factor) or math.isnan(end_factor):  # no comparison of torch's catches NaN
        raise ValueError(f"the factors must be numbers, got {start_factor} and {end_factor}")
    return _run(lr_scheduler.LinearLR, base_lr, **settings).at(step)["lr"]


def cosine_annealing_lr(step: int, base_lr: float, *, T_max: int, eta_min: float = 0.0) -> float:
    """lr_scheduler.CosineAnnealingLR."""
    _check_step(step)
    _check_positive("base_lr", base_lr)
    _check_count("T_max", T_max)
    _check_not_negative("eta_min", eta_min)
    return _run(lr_scheduler.CosineAnnealingLR, base_lr, T_max=T_max, eta_min=eta_min).at(step)["lr"]


def cosine_annealing_warm_restarts(
    step: int, base_lr: float, *, T_0: int, T_mult: int = 1, eta_min: float = 0.0
) -> float:
    """lr_scheduler.CosineAnnealingWarmRestarts, which itself raises ValueError for T_0 and T_mult."""
    _check_step(step)
    _check_positive("base_lr", base_lr)
    _check_not_negative("eta_min", eta_min)
    settings = {"T_0": T_0, "T_mult": T_mult, "eta_min": eta_min}
    return _run(lr_scheduler.CosineAnnealingWarmRestarts, base_lr, **settings).at(step)["lr"]


def warmup_cosine_lr(
    step: int, base_lr: float, *, warmup_steps: int, total_steps: int, start_factor: float = 0.01, eta_min: float = 0.0
) -> float:
    """lr_scheduler.SequentialLR of LinearLR and CosineAnnealingLR."""
    _check_count("total_steps", total_steps)
    _check_step(step, total_steps)
    _check_positive("base_lr", base_lr)
    if not isinstance(warmup_steps, int) or not 0 <= warmup_steps < total_steps:
        raise ValueError(f"warmup_steps must be an int from 0 to {total_steps - 1}, got {warmup_steps!r}")
    if not 0 < start_factor <= 1:
        raise ValueError(f"start_factor must be above 0 and at most 1, got {start_factor}")
    _check_not_negative("eta_min", eta_min)
    return _warmup_cosine(base_lr, warmup_steps, total_steps, start_factor, eta_min).at(step)["lr"]


@lru_cache(maxsize=64)
def _warmup_cosine(base_lr: float, warmup_steps: int, total_steps: int, start_factor: float, eta_min: float) -> _Run:
    optimizer = _optimizer(base_lr)
    warmup = lr_scheduler.LinearLR(optimizer, start_factor, total_iters=max(1, warmup_steps))  # unused where 0
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=total_steps - warmup_steps, eta_min=eta_min)
    return _Run(optimizer, lr_scheduler.SequentialLR(optimizer, [warmup, cosine], milestones=[warmup_steps]))


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
    """lr_scheduler.OneCycleLR without its cycle of the momentum."""
    _check_positive("max_lr", max_lr)
    _check_positive("div_factor", div_factor)
    _check_positive("final_div_factor", final_div_factor)
    cycle = (total_steps, pct_start, anneal_strategy, three_phase)
    _check_one_cycle(step, *cycle[:2])
    return _one_cycle(max_lr, *cycle, div_factor=div_factor, final_div_factor=final_div_factor).at(step)["lr"]


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
    """lr_scheduler.OneCycleLR again: it writes the momentum into the optimizer's parameter groups (Adam's beta1)."""
    _check_momentum("base_momentum", base_momentum)
    _check_momentum("max_momentum", max_momentum)
    cycle = (total_steps, pct_start, anneal_strategy, three_phase)
    _check_one_cycle(step, *cycle[:2])
    return _one_cycle(1.0, *cycle, base_momentum=base_momentum, max_momentum=max_momentum).at(step)["momentum"]


@lru_cache(maxsize=64)
def _one_cycle(
    max_lr: float, total_steps: int, pct_start: float, anneal_strategy: Any, three_phase: bool, **settings: float
) -> _Run:
    """torch itself raises ValueError where anneal_strategy is unknown."""
    optimizer = _optimizer(max_lr, momentum=0.9)
    settings |= {"pct_start": float(pct_start), "three_phase": three_phase}  # torch refuses an int as pct_start
    return _Run(
        optimizer, lr_scheduler.OneCycleLR(optimizer, max_lr, total_steps, anneal_strategy=anneal_strategy, **settings)
    )


class ReduceLROnPlateau:
    """lr_scheduler.ReduceLROnPlateau.

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
        """torch itself raises ValueError for mode, threshold_mode, and a factor of 1 or more; the rest it takes."""
        _check_positive("lr", lr)
        if not 0 < factor < 1:
            raise ValueError(f"factor must be above 0 and below 1, got {factor}")
        for name, count in (("patience", patience), ("cooldown", cooldown)):
            if not isinstance(count, int) or count < 0:
                raise ValueError(f"{name} must be an int of at least 0, got {count!r}")
        for name, value in (("threshold", threshold), ("min_lr", min_lr), ("eps", eps)):
            _check_not_negative(name, value)
        self.lr = lr
        self._optimizer = _optimizer(lr)
        self._scheduler = lr_scheduler.ReduceLROnPlateau(
            self._optimizer, mode, factor, patience, threshold, threshold_mode, cooldown, min_lr, eps
        )

    def step(self, metric: float) -> float:
        """torch takes NaN for one more bad epoch; here it is refused."""
        if math.isnan(metric):
            raise ValueError("a metric must be a number, got NaN: find where it comes from first")
        self._scheduler.step(metric)
        [self.lr] = self._scheduler.get_last_lr()
        return self.lr


def noisy_descent(x: float, lrs: Vector, curvatures: Vector, noises: Vector) -> Vector:
    """torch.optim.SGD and autograd; LambdaLR makes a scheduler of any function of the step."""
    _check_steps(x, lrs, curvatures)
    if len(noises) != len(lrs) or not all(map(math.isfinite, noises)):
        raise ValueError(f"noises must be {len(lrs)} finite numbers, got {noises}")
    parameter = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    optimizer = SGD([parameter], lr=1.0)
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda step: [*lrs, 0.0][step])  # times the lr of 1
    path = [parameter.item()]
    for h, noise in zip(curvatures, noises, strict=True):
        optimizer.zero_grad()
        (h / 2 * parameter**2 + noise * parameter).backward()
        optimizer.step()
        scheduler.step()
        path.append(parameter.item())
    return path


def expected_squares(x: float, lrs: Vector, curvatures: Vector, sigma: float) -> Vector:
    """The recursion is one bidiagonal system, E_t+1 - (1 - η h)² E_t = η² sigma²: scipy.linalg.solve_banded."""
    _check_steps(x, lrs, curvatures)
    _check_not_negative("sigma", sigma)
    eta, h = np.array(lrs, dtype=np.float64), np.array(curvatures, dtype=np.float64)
    diagonals = [np.ones(len(eta) + 1), [*(-((1 - eta * h) ** 2)), 0.0]]
    return solve_banded((1, 0), diagonals, [x * x, *(eta * sigma) ** 2]).tolist()


def steady_state_variance(lr: float, curvature: float, sigma: float) -> float:
    """V = a V a + q with a = 1 - η h and q = η² sigma²: scipy.linalg.solve_discrete_lyapunov, for matrices too."""
    _check_positive("lr", lr)
    _check_positive("curvature", curvature)
    _check_not_negative("sigma", sigma)
    if lr * curvature >= 2:
        raise ValueError(f"lr * curvature must be below 2, got {lr * curvature}: descent diverges")
    return solve_discrete_lyapunov([[1 - lr * curvature]], [[(lr * sigma) ** 2]]).item()


def range_test(
    train_step: Callable[[float], float],
    *,
    start_lr: float = 1e-5,
    end_lr: float = 10.0,
    n_steps: int = 100,
    beta: float = 0.9,
    stop_factor: float = 4.0,
) -> RangeTest:
    """ExponentialLR with gamma above 1 drives the learning rate; torch has no range test of its own."""
    _check_range(start_lr, end_lr, n_steps, beta, stop_factor)
    optimizer = _optimizer(start_lr)
    run = _Run(optimizer, lr_scheduler.ExponentialLR(optimizer, (end_lr / start_lr) ** (1 / (n_steps - 1))))
    lrs: Vector = []
    losses: Vector = []
    for t in range(n_steps):
        lr = run.at(t)["lr"]
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
    """scipy.signal.lfilter: m_t - beta m_t-1 = (1 - beta) loss_t; then the correction."""
    values = _losses(losses, 1)
    _check_momentum("beta", beta)
    average = lfilter([1 - beta], [1, -beta], values)
    return (average / (1 - beta ** np.arange(1, len(values) + 1))).tolist()


def slopes(lrs: Vector, losses: Vector) -> Vector:
    """numpy.gradient with coordinates; its edge_order is 1."""
    logs, values = _curve(lrs, losses, 2)
    return np.gradient(values, logs).tolist()


def suggest(lrs: Vector, losses: Vector, *, beta: float = 0.9, skip: int = 10) -> Suggestion:
    """numpy.argmin, which takes the first of equals."""
    if not isinstance(skip, int) or skip < 0:
        raise ValueError(f"skip must be an int of at least 0, got {skip!r}")
    smoothed = smooth(losses, beta)
    lowest = np.argmin(smoothed)
    if lowest <= skip:
        raise ValueError(f"the smoothed loss must fall after its first {skip + 1} points, but is lowest at {lowest}")
    return Suggestion(lrs[skip + np.argmin(slopes(lrs, smoothed)[skip : lowest + 1])], lrs[lowest])


def _check_step(step: int, total_steps: int | None = None) -> None:
    if not isinstance(step, int) or step < 0:
        raise ValueError(f"step must be an int of at least 0, got {step!r}")
    if total_steps is not None and step >= total_steps:  # OneCycleLR itself refuses from total_steps + 1 on
        raise ValueError(f"step must be below total_steps, {total_steps}, got {step}")


def _check_count(name: str, count: int) -> None:
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"{name} must be an int of at least 1, got {count!r}")


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be finite and above 0, got {value}")


def _check_not_negative(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be finite and at least 0, got {value}")


def _check_gamma(gamma: float) -> None:
    if not 0 < gamma <= 1:
        raise ValueError(f"gamma must be above 0 and at most 1, got {gamma}")


def _check_momentum(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be from 0 to below 1, got {value}")


def _check_one_cycle(step: int, total_steps: int, pct_start: float) -> None:
    """torch divides by zero at step 0 where the first phase has no length."""
    _check_count("total_steps", total_steps)
    _check_step(step, total_steps)
    if not 0 <= pct_start <= 1 or pct_start * total_steps == 1:
        raise ValueError(
            f"pct_start must be from 0 to 1, and pct_start * total_steps not 1, got {pct_start} and {total_steps} steps"
        )


def _check_steps(x: float, lrs: Vector, curvatures: Vector) -> None:
    if not math.isfinite(x):
        raise ValueError(f"x must be finite, got {x}")
    if len(curvatures) != len(lrs):
        raise ValueError(f"curvatures must be {len(lrs)} numbers, one for each learning rate, got {len(curvatures)}")
    for name, values in (("a learning rate", lrs), ("a curvature", curvatures)):
        for value in values:
            _check_not_negative(name, value)


def _check_range(start_lr: float, end_lr: float, n_steps: int, beta: float, stop_factor: float) -> None:
    _check_positive("start_lr", start_lr)
    if not start_lr < end_lr < math.inf:
        raise ValueError(f"end_lr must be finite and above start_lr, {start_lr}, got {end_lr}")
    if not isinstance(n_steps, int) or n_steps < 2:
        raise ValueError(f"n_steps must be an int of at least 2, got {n_steps!r}")
    _check_momentum("beta", beta)
    if not 1 < stop_factor < math.inf:
        raise ValueError(f"stop_factor must be finite and above 1, got {stop_factor}")


def _losses(losses: Vector, at_least: int) -> NDArray[np.float64]:
    values = np.array(losses, dtype=np.float64)
    if len(values) < at_least or not np.isfinite(values).all():
        raise ValueError(f"losses must be {at_least} finite numbers or more, got {losses}")
    return values


def _curve(lrs: Vector, losses: Vector, at_least: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The logarithms of the learning rates, and the losses."""
    values = _losses(losses, at_least)
    rates = np.array(lrs, dtype=np.float64)
    if rates.shape != values.shape or not (np.isfinite(rates) & (rates > 0)).all() or (np.diff(rates) <= 0).any():
        raise ValueError(f"lrs must be {len(values)} finite numbers above 0, each above the one before, got {lrs}")
    return np.log(rates), values
