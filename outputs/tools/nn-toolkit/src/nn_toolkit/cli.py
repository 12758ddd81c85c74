"""The command ``nn-toolkit``. What a command needs is imported when it runs: ``--help`` needs no NumPy."""

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from nn_toolkit import __version__

DATA = (
    "mnist (unless it is not here: then digits), digits, moons, circles, spirals, a CSV file whose last column is the "
    "label, or a folder with MNIST's four files"
)
PLOTS = (
    "loss and accuracy by epoch; the first layer's weights as images; test images that it gets wrong; the regions of "
    "two-dimensional data"
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"nn-toolkit: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:  # noqa: PLR0915  # a list
    """All commands and their options."""
    top = _Parser(
        prog="nn-toolkit", description="Train, measure and look into small neural networks, with NumPy alone."
    )
    top.add_argument("--version", action="version", version=f"nn-toolkit {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    train = _command(commands, "train", "train a network and keep it in a folder")
    train.add_argument("architecture", nargs="?", help="sizes such as 784-128-64-10, or a TOML file; not with --resume")
    train.add_argument("--out", type=Path, default=Path("run"), metavar="FOLDER", help="where it is kept (run)")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the folder")
    train.add_argument("--overwrite", action="store_true", help="replace the network that the folder holds")
    train.add_argument(
        "--save-every", type=_count, metavar="N", help="a checkpoint after N batches too, not only after epochs"
    )
    _add_data(train)
    train.add_argument(
        "--validation", type=float, metavar="SHARE", help="share of the samples to measure on after each epoch (0.1)"
    )
    train.add_argument(
        "--activation", metavar="NAME", help="of the hidden layers: relu, leaky-relu, sigmoid, tanh, softmax (relu)"
    )
    train.add_argument("--batch-norm", action="store_true", help="a batch norm before each activation")
    train.add_argument("--dropout", type=float, metavar="RATE", help="a dropout after each activation (0)")
    train.add_argument("--initializer", metavar="NAME", help="zeros, normal, xavier, he (he)")
    train.add_argument("--loss", metavar="NAME", help="cross-entropy, mse (cross-entropy; for a regression mse)")
    train.add_argument("--optimizer", metavar="NAME", help="sgd, momentum, adam (adam)")
    train.add_argument("--learning-rate", type=float, metavar="RATE", help="(0.002)")
    train.add_argument("--momentum", type=float, metavar="SHARE", help="of the optimizer momentum (0.9)")
    train.add_argument("--schedule", metavar="NAME", help="of the learning rate: constant, cosine (cosine)")
    train.add_argument("--batch-size", type=int, metavar="N", help="(64)")
    train.add_argument("--epochs", type=int, metavar="N", help="(3)")
    train.add_argument(
        "--patience", type=int, metavar="N", help="end after N epochs without a better validation loss (never)"
    )
    train.add_argument(
        "--seed", type=int, metavar="N", help="of the weights, the order of the samples and the dropouts (0)"
    )
    train.add_argument("--dtype", metavar="NAME", help="float32, float64 (float32)")

    evaluate = _command(commands, "evaluate", "accuracy and confusion matrix on data that it was not trained on")
    _add_run(evaluate)
    _add_data(evaluate)
    evaluate.add_argument("--split", choices=("test", "train"), default="test", help="which part of the data (test)")

    predict = _command(commands, "predict", "what a network says of image files, or of the rows of a CSV file")
    _add_run(predict)
    predict.add_argument("files", nargs="+", type=Path, metavar="FILE", help="PNG, PGM, PPM, or CSV without labels")
    predict.add_argument("--top", type=_count, default=3, metavar="N", help="how many classes to name (3)")
    predict.add_argument("--invert", action="store_true", help="for dark strokes on a light ground")

    plot = _command(commands, "plot", "a picture as an SVG file")
    _add_run(plot)
    plot.add_argument(
        "what",
        choices=("curves", "weights", "mistakes", "boundary"),
        help=PLOTS,
    )
    plot.add_argument("--out", type=Path, metavar="FILE", help="the SVG file (FOLDER/WHAT.svg)")
    _add_data(plot)

    sweep = _command(commands, "sweep", "train a network for each combination of settings; a table and a plot")
    sweep.add_argument(
        "--out", type=Path, default=Path("sweep"), metavar="FOLDER", help="where sweep.csv and sweep.svg go (sweep)"
    )
    sweep.add_argument(
        "--learning-rates",
        type=_floats,
        default=[0.0003, 0.001, 0.003, 0.01],
        metavar="A,B,…",
        help="(0.0003,0.001,0.003,0.01)",
    )
    sweep.add_argument(
        "--widths", type=_counts, default=[32, 128], metavar="A,B,…", help="units of each hidden layer (32,128)"
    )
    sweep.add_argument("--depths", type=_counts, default=[1, 2], metavar="A,B,…", help="hidden layers (1,2)")
    sweep.add_argument("--batch-sizes", type=_counts, default=[64], metavar="A,B,…", help="(64)")
    sweep.add_argument("--optimizer", default="adam", metavar="NAME", help="sgd, momentum, adam (adam)")
    sweep.add_argument("--epochs", type=_count, default=1, metavar="N", help="(1)")
    sweep.add_argument(
        "--validation", type=float, default=0.1, metavar="SHARE", help="share of the samples to measure on (0.1)"
    )
    sweep.add_argument("--seed", type=int, default=0, metavar="N", help="(0)")
    sweep.add_argument("--overwrite", action="store_true", help="replace the tables that the folder holds")
    _add_data(sweep)

    bench = _command(commands, "bench", "the speed beside one sample at a time, and beside PyTorch if it is installed")
    bench.add_argument("architecture", nargs="?", default="784-128-64-10", help="(784-128-64-10)")
    bench.add_argument("--optimizer", default="momentum", metavar="NAME", help="sgd, momentum, adam (momentum)")
    bench.add_argument("--epochs", type=_count, default=3, metavar="N", help="(3)")
    bench.add_argument("--batch-size", type=_count, default=64, metavar="N", help="(64)")
    bench.add_argument("--learning-rate", type=float, default=0.1, metavar="RATE", help="(0.1)")
    bench.add_argument("--seed", type=int, default=0, metavar="N", help="(0)")
    bench.add_argument(
        "--seconds", type=_seconds, default=3.0, metavar="S", help="how long to train one sample at a time (3)"
    )
    _add_data(bench)

    inspect = _command(commands, "inspect", "layers, shapes, parameters; of a trained network their statistics too")
    inspect.add_argument("network", help="a folder with a trained network, sizes such as 784-128-64-10, or a TOML file")
    _add_data(inspect)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0, or 2 after bad input, which one sentence on stderr names, or 130 after Ctrl-C.
    """
    sys.stdout = sys.stdout or io.StringIO()  # closed in the shell, it is None
    options = parser().parse_args(arguments)
    module, _, name = options.run.partition(":")
    try:
        command = getattr(importlib.import_module(f"nn_toolkit.{module}"), name)
        command(options)
        sys.stdout.flush()
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        print("nn-toolkit: NumPy is not installed: pip install numpy", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if unfinished := getattr(options, "when_stopped", ""):
            print(f"nn-toolkit: stopped, as nobody reads the output{unfinished}", file=sys.stderr)
        return 1 if unfinished else 0
    except MemoryError:
        print("nn-toolkit: there is not enough memory for this", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f"nn-toolkit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nnn-toolkit: stopped{getattr(options, 'when_stopped', '')}", file=sys.stderr)
        return 130
    return 0


_MODULES = {"sweep": "sweep:sweep", "bench": "bench:bench"}


def _command(commands: "argparse._SubParsersAction[_Parser]", name: str, summary: str) -> _Parser:
    command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    command.set_defaults(run=_MODULES.get(name, f"commands:{name}"))
    return command


def _add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, metavar="FOLDER", help="what train wrote")


def _add_data(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data", metavar="NAME", help=DATA)
    if command.prog.endswith("train"):
        command.add_argument(
            "--regression", action="store_true", help="the CSV file's last column is a number to predict"
        )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def _counts(text: str) -> list[int]:
    return [_count(part) for part in text.split(",")]


def _seconds(text: str) -> float:
    try:
        if 0 < float(text) <= 3600:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds up to 3600")


def _floats(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as 0.001,0.01") from None


if __name__ == "__main__":
    sys.exit(main())
