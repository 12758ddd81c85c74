#!/usr/bin/env python3
"""Which learning rate? Read the log of a range test, or print a schedule as CSV.

A range test trains for a hundred steps or so while the learning rate grows from far too small to far too large. Log the
two numbers of each step as CSV (lr,loss). This program smooths the losses, draws the curve, and suggests the learning
rate where the loss falls fastest.
"""

# Made from build_it.py and tool.py of the lesson deep-learning-core/learning-rate-schedules of Twice (MIT).

import argparse
import csv
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple


Vector = list[float]


@dataclass(frozen=True)
class Suggestion:
    """Where the smoothed curve of a range test is remarkable.

    Attributes:
        steepest: the learning rate where the loss falls fastest per unit of log(learning rate), up to its lowest point.
        lowest: the learning rate where the loss is lowest. It is too large to train with; take a tenth.
    """

    steepest: float
    lowest: float


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


def _check_step(step: int, total_steps: int | None = None) -> None:
    _check_no_less_than_0("step", step)
    if total_steps is not None and step >= total_steps:
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


def _check_start_factor(start_factor: float) -> None:
    if not 0 < start_factor <= 1:
        raise ValueError(f"start_factor must be above 0 and at most 1, got {start_factor}")


def _check_momentum(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be from 0 to below 1, got {value}")


def _check_choice(name: str, choice: str, choices: tuple[str, str]) -> None:
    if choice not in choices:
        raise ValueError(f"{name} must be {choices[0]!r} or {choices[1]!r}, got {choice!r}")


def _check_no_less_than_0(name: str, count: int) -> None:
    if not isinstance(count, int) or count < 0:
        raise ValueError(f"{name} must be an int of at least 0, got {count!r}")


def _check_losses(losses: Vector, at_least: int) -> None:
    if len(losses) < at_least:
        raise ValueError(f"losses must be {at_least} numbers or more, got {len(losses)}")
    for i, loss in enumerate(losses):
        if not math.isfinite(loss):
            raise ValueError(f"losses must be finite, got {loss} at place {i}")


def _check_curve(lrs: Vector, losses: Vector, at_least: int) -> None:
    _check_losses(losses, at_least)
    if len(lrs) != len(losses):
        raise ValueError(f"lrs must be {len(losses)} numbers, one for each loss, got {len(lrs)}")
    for lr in lrs:
        _check_positive("a learning rate", lr)
    for i in range(1, len(lrs)):
        if lrs[i] <= lrs[i - 1]:
            raise ValueError(f"learning rates must rise, got {lrs[i]} after {lrs[i - 1]}")


EXAMPLES = """examples:
  python lr-range-test.py digits.csv
  python lr-range-test.py log.csv --lr learning_rate --loss train_loss --beta 0.95 --csv
  python lr-range-test.py --schedule cosine --warmup 100 --steps 1000 --max-lr 0.1 > schedule.csv

How to make the log, in PyTorch (100 steps from 1e-5 to 10):
  for t, (inputs, labels) in zip(range(100), batches):
      lr = 1e-5 * (10 / 1e-5) ** (t / 99)
      for group in optimizer.param_groups: group["lr"] = lr
      optimizer.zero_grad(); loss = criterion(model(inputs), labels); loss.backward(); optimizer.step()
      print(lr, loss.item(), sep=",", file=log)
Then load the weights from before the test again: these are spoilt.
"""
SCHEDULES = ("constant", "step", "exponential", "linear", "cosine", "one-cycle")
WIDTH, HEIGHT = 72, 16


class Log(NamedTuple):
    """The usable rows of a log."""

    lrs: list[float]
    losses: list[float]
    ended: str  # why rows at the end were left out; empty where none was


def read_log(text: str, lr_column: str, loss_column: str) -> Log:
    """The two columns by name, or the first two where the first row holds numbers; up to a loss that is not finite."""
    rows = [(number, row) for number, row in enumerate(csv.reader(text.splitlines()), 1) if any(map(str.strip, row))]
    if not rows:
        raise ValueError("the file has no rows")
    places, header = [0, 1], [name.strip() for name in rows[0][1]]
    if not is_number(header[0]):
        if missing := [name for name in (lr_column, loss_column) if name not in header]:
            raise ValueError(f"no column {missing[0]!r}; the columns are {', '.join(header)}: use --lr and --loss")
        places, rows = [header.index(lr_column), header.index(loss_column)], rows[1:]
    lrs: list[float] = []
    losses: list[float] = []
    for number, row in rows:
        values = [row[place].strip() if place < len(row) else "" for place in places]
        for value in values:
            if not is_number(value):
                raise ValueError(f"row {number}: {value!r} is no number")
        lr, loss = map(float, values)
        if not math.isfinite(loss):
            return Log(lrs, losses, f"row {number} has the loss {values[1]}: it and what follows is left out")
        if not 0 < lr < math.inf:
            raise ValueError(f"row {number}: a learning rate must be finite and above 0, got {values[0]}")
        if lrs and lr <= lrs[-1]:
            raise ValueError(f"row {number}: learning rates must rise from row to row, got {lr:g} after {lrs[-1]:g}")
        lrs.append(lr)
        losses.append(loss)
    return Log(lrs, losses, "")


def is_number(text: str) -> bool:
    """Whether float() takes it."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def examine(log: Log, beta: float, skip: int) -> dict[str, Any]:
    """What the log says, as plain values in the order in which they are told."""
    smoothed = smooth(log.losses, beta)
    found = suggest(log.lrs, log.losses, beta=beta, skip=skip)
    at = log.lrs.index(found.steepest)
    return {
        "suggested": found.steepest,
        "loss_per_decade": slopes(log.lrs, smoothed)[at] * math.log(10),
        "lowest": found.lowest,
        "tenth_of_lowest": found.lowest / 10,
        "lowest_loss": min(smoothed),
        "still_falling": found.lowest == log.lrs[-1],
        "points": len(log.lrs),
        "ended": log.ended,
    }


def as_text(log: Log, result: dict[str, Any], beta: float) -> str:
    """The plot and the reasons."""
    smoothed = smooth(log.losses, beta)
    lines = [*plot(log, smoothed, result["suggested"]), ""]
    lines.append(
        f"suggested learning rate: {result['suggested']:.2g}, where the smoothed loss falls fastest "
        f"({-result['loss_per_decade']:.2g} per factor of 10)"
    )
    lines.append(
        f"more cautious: {result['tenth_of_lowest']:.2g}, a tenth of {result['lowest']:.2g}, "
        f"where the smoothed loss is lowest ({result['lowest_loss']:.3g})"
    )
    if result["still_falling"]:
        lines.append("the loss still falls at the end: test larger learning rates")
    if log.ended:
        lines.append(log.ended)
    return "\n".join(lines)


def plot(log: Log, smoothed: list[float], mark: float) -> list[str]:
    """Losses (.) and smoothed losses (o) over log(lr); what is above the picture is drawn at its top as ^."""
    before = smoothed[: smoothed.index(min(smoothed)) + 1]
    low, high = min(*smoothed, *log.losses), max(before) + 0.25 * (max(before) - min(before))
    left, right = math.log(log.lrs[0]), math.log(log.lrs[-1])

    def column(lr: float) -> int:
        return round((math.log(lr) - left) / (right - left) * (WIDTH - 1))

    canvas = [[" "] * WIDTH for _ in range(HEIGHT)]
    for line in canvas:
        line[column(mark)] = "|"
    for sign, losses in ((".", log.losses), ("o", smoothed)):
        for lr, loss in zip(log.lrs, losses, strict=True):
            row = round((high - min(loss, high)) / (high - low) * (HEIGHT - 1))
            canvas[row][column(lr)] = sign if loss <= high else "^"
    labels = {0: f"{high:.3g}", HEIGHT - 1: f"{low:.3g}"}
    lines = [f"{labels.get(row, ''):>8} |{''.join(line)}".rstrip() for row, line in enumerate(canvas)]
    axis, names = ["-"] * WIDTH, [" "] * (WIDTH + 8)
    for power in range(math.ceil(left / math.log(10) - 1e-9), math.floor(right / math.log(10) + 1e-9) + 1):
        place = column(10.0**power)
        axis[place] = "+"
        names[place : place + len(f"1e{power}")] = f"1e{power}"
    return [*lines, f"{'':8} +{''.join(axis)}", f"{'loss':>8}  {''.join(names).rstrip()}  learning rate"]


def as_csv(log: Log, beta: float) -> str:
    """The curve, every digit."""
    rows = zip(log.lrs, log.losses, smooth(log.losses, beta), strict=True)
    return "\n".join(["lr,loss,smoothed", *(",".join(map(repr, row)) for row in rows)])


def learning_rate(step: int, options: argparse.Namespace) -> float:
    """The learning rate of one step of the schedule that the options describe."""
    steps, warmup, highest = options.steps, options.warmup or 0, options.max_lr
    if options.schedule == "one-cycle":
        rise = 0.3 if options.warmup is None else warmup / steps
        return one_cycle_lr(step, highest, total_steps=steps, pct_start=rise)
    if options.schedule == "cosine":
        return warmup_cosine_lr(step, highest, warmup_steps=warmup, total_steps=steps, eta_min=options.min_lr)
    if step < warmup:
        return linear_lr(step, highest, start_factor=0.01, total_iters=warmup)
    after = step - warmup
    if options.schedule == "step":
        size = options.step_size or max(1, (steps - warmup) // 3)
        return step_lr(after, highest, step_size=size, gamma=options.gamma or 0.1)
    if options.schedule == "exponential":
        return exponential_lr(after, highest, gamma=options.gamma or 0.01 ** (1 / (steps - warmup)))
    if options.schedule == "linear":
        end = options.min_lr / highest
        return linear_lr(after, highest, start_factor=1.0, end_factor=end, total_iters=steps - warmup)
    return float(highest)


def check_schedule(options: argparse.Namespace) -> None:
    """Refuse what no schedule can be made of, in the words of the command line."""
    if options.file:
        raise ValueError("a file and --schedule are two different questions: give one of them")
    if options.steps is None or options.max_lr is None:
        raise ValueError("--schedule needs --steps and --max-lr")
    if options.steps < 1:
        raise ValueError(f"--steps must be at least 1, got {options.steps}")
    if not 0 <= (options.warmup or 0) < options.steps:
        raise ValueError(f"--warmup must be from 0 to {options.steps - 1}, below --steps, got {options.warmup}")
    if not 0 < options.max_lr < math.inf or not 0 <= options.min_lr <= options.max_lr:
        raise ValueError(f"--max-lr must be above 0 and --min-lr from 0 to it, got {options.max_lr}, {options.min_lr}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(
        prog="lr-range-test",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="a CSV log, or - to read from standard input")
    parser.add_argument("--lr", default="lr", metavar="COLUMN", help="the column of learning rates (default: lr)")
    parser.add_argument("--loss", default="loss", metavar="COLUMN", help="the column of losses (default: loss)")
    parser.add_argument("--beta", type=float, default=0.9, help="smoothing, from 0 to below 1 (default: 0.9)")
    parser.add_argument(
        "--skip", type=int, default=10, metavar="N", help="points at the start never suggested (default: 10)"
    )
    parser.add_argument("--csv", action="store_true", help="print the smoothed curve as CSV instead")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON instead")
    parser.add_argument("--schedule", choices=SCHEDULES, help="print this schedule as CSV: step,lr")
    parser.add_argument("--steps", type=int, metavar="N", help="how many steps the training has")
    parser.add_argument("--max-lr", type=float, metavar="LR", help="the highest learning rate")
    parser.add_argument("--min-lr", type=float, default=0.0, metavar="LR", help="for cosine, linear: the end (0)")
    parser.add_argument("--warmup", type=int, metavar="N", help="steps of warm-up (default: 0; one-cycle: 30%%)")
    parser.add_argument("--gamma", type=float, help="for step: the factor (0.1); for exponential (to 1%% in the end)")
    parser.add_argument("--step-size", type=int, metavar="N", help="for step: steps between drops (default: a third)")
    options = parser.parse_args(arguments)
    try:
        if options.schedule:
            check_schedule(options)
            print("\n".join(["step,lr", *(f"{t},{learning_rate(t, options):.9g}" for t in range(options.steps))]))
            return 0
        if not options.file:
            raise ValueError("give a CSV file, or --schedule (--help shows both)")
        content = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
        log = read_log(content.decode("utf-8-sig"), options.lr, options.loss)
        if options.csv:
            print(as_csv(log, options.beta))
            return 0
        result = examine(log, options.beta, options.skip)
        print(json.dumps(result, indent=2) if options.json else as_text(log, result, options.beta))
    except OSError as error:
        print(f"lr-range-test: {options.file}: {error.strerror}", file=sys.stderr)
        return 2
    except (ValueError, csv.Error) as error:
        print(f"lr-range-test: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
