"""Which learning rate? Read the log of a range test, or print a schedule as CSV.

A range test trains for a hundred steps or so while the learning rate grows from far too small to far too large. Log the
two numbers of each step as CSV (lr,loss). This program smooths the losses, draws the curve, and suggests the learning
rate where the loss falls fastest.
"""

import argparse
import csv
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from phases.deep_learning_core.learning_rate_schedules.build_it import (
    exponential_lr,
    linear_lr,
    one_cycle_lr,
    slopes,
    smooth,
    step_lr,
    suggest,
    warmup_cosine_lr,
)

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
