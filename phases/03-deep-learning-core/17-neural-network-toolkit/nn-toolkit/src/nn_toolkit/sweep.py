"""The command sweep: a network for each combination of learning rate, width, depth and batch size."""

import argparse
import csv
import io
import itertools
import math
import sys
import time
from pathlib import Path
from typing import Any

from nn_toolkit import plots
from nn_toolkit.architecture import parse
from nn_toolkit.commands import say, table, training_data
from nn_toolkit.tensors import locked, write_whole
from nn_toolkit.training import DivergedError, Run, Settings, split

AXES = ("learning_rate", "width", "depth", "batch_size")


def sweep(options: argparse.Namespace) -> None:
    """Train them all on the same samples; write sweep.csv after each, and sweep.svg; print a table, the best first."""
    with locked(options.out):
        _sweep(options, options.out)


def _sweep(options: argparse.Namespace, out: Path) -> None:
    if (out / "sweep.csv").exists() and not options.overwrite:
        raise ValueError(f"{out} holds a sweep: choose another --out, or --overwrite")
    if not 0 < options.validation < 1:
        raise ValueError(
            f"a sweep compares on validation samples: their share lies between 0 and 1, not {options.validation}"
        )
    data, _ = training_data(options.data, parse("784-10"))
    if not data.classes:
        raise ValueError("a sweep is for classes")
    training, validation = split(data, max(1, round(options.validation * len(data))), options.seed)
    assert validation is not None
    combinations = list(itertools.product(options.learning_rates, options.widths, options.depths, options.batch_sizes))
    settings = [
        Settings(
            optimizer=options.optimizer, learning_rate=rate, batch_size=size, epochs=options.epochs, seed=options.seed
        )
        for rate, _, _, size in combinations
    ]
    say(f"{len(combinations)} networks, {options.epochs} epochs each, on {len(training)} samples of {data.name}")
    results: list[dict[str, Any]] = []
    for place, (values, setting) in enumerate(zip(combinations, settings, strict=True), 1):
        row = dict(zip(AXES, values, strict=True))
        sizes = [math.prod(data.shape), *[row["width"]] * row["depth"], len(data.classes)]
        run = Run.new(parse("-".join(map(str, sizes))), setting, data, {})
        if sys.stderr.isatty():
            print(
                f"\r{place}/{len(combinations)}  " + "  ".join(map(str, values)),
                end="\x1b[K",
                file=sys.stderr,
                flush=True,
            )
        start = time.perf_counter()
        try:
            run.train(training, validation)
            row |= {"validation_loss": run.history[-1].validation_loss, "accuracy": run.history[-1].validation_accuracy}
        except DivergedError:
            row |= {"validation_loss": math.inf, "accuracy": math.nan}  # shown as diverged
        row["seconds"] = time.perf_counter() - start
        results.append(row)
        write_whole(out / "sweep.csv", _as_csv(results).encode())
        options.when_stopped = f". What was done is in {out / 'sweep.csv'}"
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    results.sort(key=lambda row: row["validation_loss"])
    table([name.replace("_", " ") for name in results[0]], [_cells(row) for row in results])
    write_whole(out / "sweep.svg", _drawn(results).encode())
    print(f"\n{out / 'sweep.csv'}\n{out / 'sweep.svg'}")


def _cells(row: dict[str, Any]) -> list[str]:
    diverged = math.isinf(row["validation_loss"])
    told = ["diverged", "-"] if diverged else [f"{row['validation_loss']:.4f}", f"{row['accuracy']:.2%}"]
    return [*(f"{row[axis]:g}" for axis in AXES), *told, f"{row['seconds']:.1f}"]


def _as_csv(results: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(results[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(results)
    return stream.getvalue()


def _drawn(results: list[dict[str, Any]]) -> str:
    """For each depth and batch size a chart: the accuracy by learning rate, a line for each width."""
    charts = []
    for depth, size in sorted({(row["depth"], row["batch_size"]) for row in results}):
        chosen = [row for row in results if (row["depth"], row["batch_size"]) == (depth, size)]
        lines = []
        for width in sorted({row["width"] for row in chosen}):
            points = sorted((row["learning_rate"], row["accuracy"]) for row in chosen if row["width"] == width)
            lines.append(plots.Line(f"width {width}", [x for x, _ in points], [y for _, y in points]))
        title = f"{depth} hidden, batches of {size}"
        charts.append(plots.chart(title, "learning rate", "validation accuracy", lines, log_x=True))
    return plots.page(charts)
