#!/usr/bin/env python3
"""Where does a training run begin to overfit, what would patience have cost, and where would a clip threshold bite?

Reads a CSV with one row for each epoch (or evaluation): its training loss, its validation loss and, if you logged it,
the norm of its gradient. One file, no packages: any Python 3.11 or newer runs it.
"""

# Made from build_it.py and tool.py of the lesson deep-learning-core/regularization of Twice (MIT).

import argparse
import copy
import csv
import io
import json
import math
import sys
from pathlib import Path
from typing import Any


class EarlyStopping:
    """Counts epochs without an improvement, and keeps the parameters of the best one (Prechelt 1998).

    A validation loss is better where it is below the best one so far by more than min_delta. NaN never is.

    Attributes:
        patience, min_delta: the settings.
        best_loss: the best so far, inf before the first.
        best_parameters: a copy of those that came with it, None before the first.
        best_epoch: the number of the step at which it came, from 1; 0 before the first.
        bad_epochs: how many steps have passed since.
    """

    def __init__(self, patience: int, min_delta: float = 0.0) -> None:
        """Settings.

        Raises:
            ValueError: `patience` is no int of at least 1, or `min_delta` is below 0 or not finite.
        """
        if not isinstance(patience, int) or patience < 1:
            raise ValueError(f"patience must be a whole number of epochs, 1 or more, got {patience!r}")
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"min_delta must be at least 0 and finite, got {min_delta}")
        self.patience, self.min_delta = patience, min_delta
        self.best_loss, self.best_parameters = math.inf, None
        self.best_epoch = self.bad_epochs = 0  # together: the number of epochs so far

    def step(self, loss: float, parameters: Any) -> bool:
        """Take note of an epoch, and say whether to stop: whether the last `patience` epochs brought nothing better.

        Args:
            loss: on the validation set, after the epoch.
            parameters: anything that copy.deepcopy can copy; copied only if the loss is better.
        """
        self.bad_epochs += 1
        if loss < self.best_loss - self.min_delta:
            self.best_loss, self.best_parameters = loss, copy.deepcopy(parameters)
            self.best_epoch, self.bad_epochs = self.best_epoch + self.bad_epochs, 0
        return self.bad_epochs >= self.patience


COLUMNS = {  # what to look for where no option names a column
    "train": ("train_loss", "training_loss", "loss"),
    "validation": ("val_loss", "validation_loss", "valid_loss", "eval_loss", "test_loss"),
    "norm": ("grad_norm", "gradient_norm", "total_norm"),
}
PATIENCE = [1, 2, 3, 5, 10, 20, 50, 100]
SHARES = [0.5, 0.75, 0.9, 0.95, 0.99, 1.0]
EXAMPLES = """examples:
  python overfit_report.py training-log.csv
  python overfit_report.py training-log.csv --patience 3 8 15 --min-delta 0.001 --bite 0.1
  python overfit_report.py run.csv --train loss --validation eval_loss --norm total_norm --json

"Overfitting" means here: the training loss ends below where it was at the best epoch, and yet the lowest validation
loss of the last tenth of the run is above the best of all by more than --tolerance. It starts after the best epoch.
The cost of a patience is the best validation loss that it saw, over the best of the whole run. A clip threshold
"bites" where the norm is above it. Which one trains best no log can say: the suggestion is a value to try first.

Exit status: 0 after a report, 2 where the file or the arguments cannot be used.
"""


def read_log(text: str, named: dict[str, str | None]) -> dict[str, list[float]]:
    """The columns "train" and "validation", and "norm" if there is one: a number for each row."""
    lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
    if not lines:
        raise ValueError("the file is empty: row 1 should hold the column names")
    header = [name.strip() for name in lines[0]]
    log: dict[str, list[float]] = {}
    for what, known in COLUMNS.items():
        wanted = known if named[what] is None else [named[what]]
        found = [name for name in wanted if name in header]
        if not found:
            if what == "norm" and named[what] is None:
                continue
            raise ValueError(f"no column {' or '.join(map(repr, wanted))} among {header}; name it with --{what}")
        log[what] = [number(line, header, found[0], row) for row, line in enumerate(lines[1:], start=2)]
    if len(lines) < 3:
        raise ValueError(f"a report needs two epochs or more, got {len(lines) - 1}")
    if not any(map(math.isfinite, log["validation"])):
        raise ValueError("the validation loss is never finite")
    return log


def number(line: list[str], header: list[str], name: str, row: int) -> float:
    """A cell as a number; "nan" and "inf" are what a run that diverged has written."""
    if len(line) != len(header):
        raise ValueError(f"row {row} has {len(line)} cells, and row 1 names {len(header)} columns")
    cell = line[header.index(name)].strip()
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"row {row}, column {name!r}: {cell!r} is not a number") from None


def replay(losses: list[float], patience: int, min_delta: float) -> dict[str, Any]:
    """What early stopping would have done to a run with these validation losses."""
    stopper = EarlyStopping(patience, min_delta)
    stopped = next((epoch for epoch, loss in enumerate(losses, 1) if stopper.step(loss, None)), None)
    best = min(loss for loss in losses if not math.isnan(loss))
    share = stopper.best_loss / best - 1 if best > 0 and math.isfinite(stopper.best_loss) else None
    return {
        "patience": patience,
        "stops_after_epoch": stopped,
        "epochs_saved": len(losses) - (stopped or len(losses)),
        "best_epoch": stopper.best_epoch,
        "best_loss": stopper.best_loss,
        "cost": share,  # of a loss of 0 or below it would say nothing
    }


def overfitting(train: list[float], validation: list[float], tolerance: float) -> dict[str, Any]:
    """The best epoch, and whether what follows is overfitting."""
    finite = [loss if math.isfinite(loss) else math.inf for loss in validation]
    best = min(finite)
    at = finite.index(best)
    tail = min(finite[-max(1, len(finite) // 10) :])
    worse = tail - best > tolerance * abs(best)
    return {
        "epochs": len(train),
        "best_epoch": at + 1,
        "best_validation_loss": best,
        "training_loss_there": train[at],
        "last_training_loss": train[-1],
        "last_validation_loss": validation[-1],
        "gap_at_best": best - train[at],
        "gap_at_end": validation[-1] - train[-1],
        "overfits": worse and train[-1] < train[at],
        "diverges": worse and not train[-1] < train[at],
        "starts_after_epoch": at + 1 if worse and train[-1] < train[at] else None,
    }


def clipping(norms: list[float], bite: float) -> dict[str, Any]:
    """Percentiles by nearest rank of the finite norms: at most a share 1 - q of them is above the q-th."""
    finite = sorted(filter(math.isfinite, norms))
    broken = [epoch for epoch, norm in enumerate(norms, 1) if not math.isfinite(norm)]
    if not finite:
        raise ValueError("the gradient norm is never finite")

    def percentile(q: float) -> float:
        return finite[max(0, math.ceil(round(q * len(finite), 9)) - 1)]

    def bites(threshold: float) -> float:
        return sum(norm > threshold for norm in finite) / len(finite)

    suggested = percentile(1 - bite)
    return {
        "not_finite_in_epochs": broken,
        "percentiles": [{"share": q, "norm": percentile(q), "bites": bites(percentile(q))} for q in SHARES],
        "suggested_threshold": suggested,
        "bites": bites(suggested),
    }


def as_text(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    run = report["run"]
    lines = [
        f"{run['epochs']} epochs; the best validation loss is {run['best_validation_loss']:.4g}, after epoch "
        f"{run['best_epoch']}, where the training loss was {run['training_loss_there']:.4g}",
        f"at the end: training {run['last_training_loss']:.4g}, validation {run['last_validation_loss']:.4g}",
        f"validation less training: {run['gap_at_best']:.4g} at the best epoch, {run['gap_at_end']:.4g} at the end",
    ]
    if run["overfits"]:
        lines.append(f"OVERFITS after epoch {run['starts_after_epoch']}: training went on to fall, validation did not")
    elif run["diverges"]:
        lines.append(f"GETS WORSE after epoch {run['best_epoch']}, and training too: no overfitting; try smaller steps")
    else:
        lines.append("no overfitting seen: the last tenth of the run comes near the best epoch")
    lines += ["", "patience  stops after  saves epochs  keeps epoch  validation   cost"]
    for row in report["patience"]:
        stops = "never" if row["stops_after_epoch"] is None else row["stops_after_epoch"]
        cost = "-" if row["cost"] is None else f"{row['cost']:.1%}"
        lines.append(
            f"{row['patience']:8}  {stops:>11}  {row['epochs_saved']:12}  {row['best_epoch']:11}  "
            f"{row['best_loss']:10.4g}  {cost:>5}"
        )
    if "clipping" in report:
        clip = report["clipping"]
        lines += ["", "percentile  gradient norm  a threshold there bites in"]
        lines += [f"{row['share']:10.0%}  {row['norm']:13.4g}  {row['bites']:26.1%}" for row in clip["percentiles"]]
        lines.append(f"a clip threshold to try first: {clip['suggested_threshold']:.4g}, bites in {clip['bites']:.1%}")
        if clip["not_finite_in_epochs"]:
            lines.append(
                f"the norm was inf or NaN in epochs {clip['not_finite_in_epochs']}: clipping cannot mend these"
            )
    return "\n".join(lines)


def for_json(value: Any) -> Any:
    """With null for inf and NaN, which JSON has not."""
    if isinstance(value, dict):
        return {key: for_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [for_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log", help="a CSV file with a header, or - for standard input")
    for what, known in COLUMNS.items():
        parser.add_argument(f"--{what}", metavar="COLUMN", help=f"default: the first of {', '.join(known)}")
    parser.add_argument("--patience", type=int, nargs="+", default=PATIENCE, help="which to replay (default: 1 to 100)")
    parser.add_argument("--min-delta", type=float, default=0.0, help="what counts as better (default: anything)")
    parser.add_argument("--tolerance", type=float, default=0.01, help="share of the best loss (default: 0.01)")
    parser.add_argument("--bite", type=float, default=0.05, help="share of epochs to clip (default: 0.05)")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    options = parser.parse_args(arguments)
    try:
        if not 0 <= options.tolerance < math.inf:
            raise ValueError(f"--tolerance must be at least 0 and finite, got {options.tolerance}")
        if not 0 <= options.bite < 1:
            raise ValueError(f"--bite must be at least 0 and below 1, got {options.bite}")
        text = sys.stdin.read() if options.log == "-" else Path(options.log).read_text(encoding="utf-8-sig")
        log = read_log(text, {what: getattr(options, what) for what in COLUMNS})
        report: dict[str, Any] = {"run": overfitting(log["train"], log["validation"], options.tolerance)}
        report["patience"] = [replay(log["validation"], p, options.min_delta) for p in options.patience]
        if "norm" in log:
            report["clipping"] = clipping(log["norm"], options.bite)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(json.dumps(for_json(report), indent=2) if options.json else as_text(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
