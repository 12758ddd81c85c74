#!/usr/bin/env python3
"""Replay logged gradients through SGD, momentum, RMSprop, Adam and AdamW, and say what each would have done.

Reads a CSV file: a header of names, one column for each watched number of the model, one row for each training step,
and in the cells the gradients. With --values, a second file of the same form holds the numbers themselves.
Exit status: 0 when nothing was found, 1 when there are warnings, 2 when a file cannot be used.
"""

import argparse
import csv
import json
import math
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

# Conventions, not laws: where a warning begins.
EPSILON_SHARE = 0.1  # eps, as a share of the root it is added to
NOISE = 0.1  # |mean of the gradients| as a share of their root mean square
SPIKE = 20.0  # the largest gradient, in medians
LARGE, SMALL = 0.1, 1e-6  # a step, as a share of the number it changes

ADVICE = {
    "no gradient": "every gradient is 0: is it part of the loss, is it frozen, is its unit dead?",
    "epsilon rules": "eps is no longer small beside the root: steps shrink with the gradients, as in SGD. Lower --eps, "
    "or rescale the input or the loss.",
    "spike": "one gradient is far above the rest; Adam's root remembers it for about 1 / (1 - beta2) steps. Clip the "
    "gradients, or look at that batch.",
    "mostly noise": "the gradients cancel out. Near a minimum that is as it should be; elsewhere take larger batches.",
    "decay rules": "weight decay moves it further than its gradient does.",
    "large steps": "a step changes it by more than a tenth: lower the learning rate, or warm it up.",
    "small steps": "a step hardly changes it: raise the learning rate.",
}


def sgd(gradients: list[float], momentum: float = 0.0) -> Iterator[float]:
    """The steps at learning rate 1: b ← momentum · b + g."""
    b = 0.0
    for g in gradients:
        b = momentum * b + g
        yield b


def rmsprop(gradients: list[float], alpha: float, eps: float) -> Iterator[float]:
    """The steps at learning rate 1: g / (√v + eps), with v ← alpha · v + (1 - alpha) · g²."""
    v = 0.0
    for g in gradients:
        v = alpha * v + (1 - alpha) * g * g
        yield g / (math.sqrt(v) + eps)


def moments(gradients: list[float], beta1: float, beta2: float) -> Iterator[tuple[float, float]]:
    """Adam's m̂ and √v̂ at every step."""
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        yield m / (1 - beta1**t), math.sqrt(v / (1 - beta2**t))


def replay(gradients: list[float], values: list[float] | None, settings: argparse.Namespace) -> dict[str, list[float]]:
    """The steps of each optimizer at learning rate 1; AdamW's only where the values are known."""
    beta1, beta2 = settings.betas
    adam = [m / (root + settings.eps) for m, root in moments(gradients, beta1, beta2)]
    steps = {
        "sgd": list(sgd(gradients)),
        "momentum": list(sgd(gradients, settings.momentum)),
        "rmsprop": list(rmsprop(gradients, settings.alpha, settings.eps)),
        "adam": adam,
    }
    if values is not None:
        steps["adamw"] = [step + settings.weight_decay * w for step, w in zip(adam, values, strict=True)]
    return steps


def examine(gradients: list[float], values: list[float] | None, settings: argparse.Namespace) -> dict[str, object]:
    """What is to be said about one number of the model."""
    beta1, beta2 = settings.betas
    steps = replay(gradients, values, settings)
    sizes = {name: [abs(step) for step in column] for name, column in steps.items()}
    typical, largest = statistics.median(map(abs, gradients)), max(map(abs, gradients))
    rms = math.sqrt(statistics.fmean(g * g for g in gradients))
    shares = [settings.eps / root for _, root in moments(gradients, beta1, beta2) if root]
    found: dict[str, object] = {
        "gradient": typical,
        "agreement": abs(statistics.fmean(gradients)) / rms if rms else 0.0,
        "epsilon": statistics.median(shares) if shares else None,
        "steps": {name: statistics.median(column) for name, column in sizes.items()},
    }
    warnings = []
    if not largest:
        warnings.append("no gradient")
    else:
        warnings += ["epsilon rules"] * (found["epsilon"] > EPSILON_SHARE)
        warnings += ["spike"] * (largest > SPIKE * typical)
        warnings += ["mostly noise"] * (found["agreement"] < NOISE)
    if values is not None and largest:
        mine = sizes[settings.optimizer]
        changes = [settings.lr * step / abs(w) for step, w in zip(mine, values, strict=True) if w]
        decays = settings.optimizer == "adamw"
        pulls = [settings.weight_decay * abs(w) for w in values]
        rivals = sizes["adam"] if decays else list(map(abs, gradients))
        found["change"] = statistics.median(changes) if changes else None
        found["decay"] = statistics.median(pulls) / typical_of(rivals)
        warnings += ["decay rules"] * (found["decay"] > 1)
        if found["change"] is not None:
            warnings += ["large steps"] * (found["change"] > LARGE) + ["small steps"] * (found["change"] < SMALL)
    return found | {"warnings": warnings}


def typical_of(sizes: list[float]) -> float:
    """The median, or the smallest float above 0 in its place."""
    return statistics.median(sizes) or sys.float_info.min


def same_motion(report: dict[str, dict], settings: argparse.Namespace) -> dict[str, float]:
    """For each optimizer the learning rate at which its median step is as long as that of the one in use."""
    moving = [found["steps"] for found in report.values() if "no gradient" not in found["warnings"]]
    if not moving:
        return {}
    medians = {name: statistics.median(steps[name] for steps in moving) for name in moving[0]}
    return {name: settings.lr * medians[settings.optimizer] / median for name, median in medians.items() if median}


def read(file: str) -> dict[str, list[float]]:
    """Name -> column. Raises ValueError, saying which line."""
    with Path(file).open(encoding="utf-8-sig", newline="") as lines:
        rows = [row for row in csv.reader(lines) if row]
    if len(rows) < 2:
        raise ValueError(f"{file}: expected a header and one line for each step, got {len(rows)} lines")
    names, *steps = rows
    if len(set(names)) != len(names):
        raise ValueError(f"{file}: a name occurs twice in the header")
    for number, row in enumerate(steps, 2):
        if len(row) != len(names):
            raise ValueError(f"{file}, line {number}: expected {len(names)} values, got {len(row)}")
        for cell in row:
            try:
                finite = math.isfinite(float(cell))
            except ValueError:
                finite = False
            if not finite:
                raise ValueError(f"{file}, line {number}: expected finite numbers, got {cell!r}")
    return {name: [float(row[i]) for row in steps] for i, name in enumerate(names)}


def number(value: object) -> str:
    """Three digits, or a dash for what is not known."""
    return "-" if value is None else f"{value:.3g}"


def show(report: dict[str, dict], rates: dict[str, float], settings: argparse.Namespace) -> None:
    """The report as a table, then the learning rates, then advice."""
    width = max(9, *map(len, report))
    optimizers = list(next(iter(report.values()))["steps"])
    print(f"{'':{width}}  |gradient|  agreement  eps/root  step/weight  decay  warnings")
    for name, found in report.items():
        cells = [found["gradient"], found["agreement"], found["epsilon"], found.get("change"), found.get("decay")]
        texts = (f"{number(c):>{w}}" for c, w in zip(cells, (10, 9, 8, 11, 5), strict=True))
        print(f"{name:{width}}  {'  '.join(texts)}  {', '.join(found['warnings']) or 'none'}")
    print(f"\n{'step / lr':{width}}  " + "  ".join(f"{name:>9}" for name in optimizers))
    for name, found in report.items():
        print(f"{name:{width}}  " + "  ".join(f"{number(found['steps'][o]):>9}" for o in optimizers))
    if rates:
        print(f"\nSteps as long as with {settings.optimizer} at {settings.lr:g} (medians):")
        print("  " + ", ".join(f"{name} at {rate:.2g}" for name, rate in rates.items() if name != settings.optimizer))
    for warning in dict.fromkeys(w for found in report.values() for w in found["warnings"]):
        print(f"\n{warning}: {ADVICE[warning]}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="optimizer_check.py"
    )
    parser.add_argument("gradients", help="CSV file: one column for each watched number, one row for each step")
    parser.add_argument("--values", help="CSV file of the same form: the numbers before each step")
    parser.add_argument("--optimizer", default="adam", help="what you use: sgd, momentum, rmsprop, adam or adamw")
    parser.add_argument("--lr", type=float, default=1e-3, help="your learning rate (0.001)")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--alpha", type=float, default=0.99, help="of RMSprop (0.99)")
    parser.add_argument("--betas", type=float, nargs=2, default=(0.9, 0.999), help="of Adam and AdamW (0.9 0.999)")
    parser.add_argument("--eps", type=float, default=1e-8)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--json", action="store_true", help="print every digit as JSON")
    settings = parser.parse_args(arguments)
    try:
        fractions = [settings.momentum, settings.alpha, *settings.betas]
        if not all(0 <= value < 1 for value in fractions):
            raise ValueError(f"--momentum, --alpha and --betas must be at least 0 and below 1, got {fractions}")
        if not (0 < settings.lr < math.inf and 0 < settings.eps < math.inf and 0 <= settings.weight_decay < math.inf):
            raise ValueError("--lr and --eps must be positive and finite, --weight-decay at least 0")
        known = ["sgd", "momentum", "rmsprop", "adam"] + ["adamw"] * bool(settings.values)
        if settings.optimizer not in known:
            raise ValueError(f"--optimizer must be {', '.join(known)} (adamw needs --values), got {settings.optimizer}")
        gradients = read(settings.gradients)
        values = read(settings.values) if settings.values else dict.fromkeys(gradients)
        if list(values) != list(gradients):
            raise ValueError(f"--values must have the columns {list(gradients)}, got {list(values)}")
        for name, column in values.items():
            if column is not None and len(column) != len(gradients[name]):
                raise ValueError(f"--values must have {len(gradients[name])} steps, got {len(column)}")
    except (OSError, ValueError) as error:
        print(f"optimizer_check.py: {error}", file=sys.stderr)
        return 2
    report = {name: examine(column, values[name], settings) for name, column in gradients.items()}
    rates = same_motion(report, settings)
    if settings.json:
        print(json.dumps({"numbers": report, "same_motion": rates}, indent=2))
    else:
        show(report, rates, settings)
    return int(any(found["warnings"] for found in report.values()))


if __name__ == "__main__":
    sys.exit(main())
