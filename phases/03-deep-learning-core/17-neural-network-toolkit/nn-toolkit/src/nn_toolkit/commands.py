"""The commands train, evaluate, predict, plot and inspect."""

import argparse
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nn_toolkit import plots
from nn_toolkit.architecture import Architecture, output_shape, parse
from nn_toolkit.data import Data, DataMissingError, Scaling, is_known, load, numbers, read_rows
from nn_toolkit.images import read_grey
from nn_toolkit.layers import Array, Conv2d, Dense, ReLU
from nn_toolkit.network import Network
from nn_toolkit.tensors import locked, write_whole
from nn_toolkit.training import MODEL, Run, Settings, split

FREE = ("epochs", "patience")  # settings that --resume may change


def train(options: argparse.Namespace) -> None:
    """Train, showing progress, with a checkpoint after each epoch."""
    folder: Path = options.out
    if options.resume and not (folder / MODEL).exists():
        raise ValueError(f"{folder} holds no trained network: there is no {MODEL} in it")
    with locked(folder):
        _train(options, folder)


def _train(options: argparse.Namespace, folder: Path) -> None:
    run, data = _resumed(options) if options.resume else _begun(options)
    share = run.about_data["validation"]
    training, validation = split(data, round(share * len(data)), run.settings.seed)
    name = run.about_data["name"]
    say(f"{len(training)} samples of {name} to train on, {len(validation or ())} to validate; into {folder}")
    go_on = f". Go on from the last checkpoint with: nn-toolkit train --resume --out {folder}"
    options.when_stopped = go_on if options.resume else f": nothing of this run is kept in {folder} yet"

    bar = Progress(run.settings.epochs)

    def watch(run: Run, n_batches: int) -> None:
        end_of_epoch = run.batch == 0
        if end_of_epoch or (options.save_every and run.batch % options.save_every == 0):
            run.save(folder)
            options.when_stopped = go_on
        bar.show(run, n_batches, len(training))

    if run.stopped:
        say(f"nothing is left to do: it stopped early after epoch {run.epoch}; go on with a larger --patience")
        return
    if run.epoch >= run.settings.epochs:
        say(f"nothing is left to do: {run.epoch} epochs are done; ask for more with --epochs")
        return
    try:
        run.train(training, validation, watch)
    finally:
        bar.clear()
    if run.stopped:
        say(f"stopped early: no better validation loss in {run.settings.patience} epochs")
    if validation is not None:
        say(f"the best epoch is {run.best}: evaluate, predict and plot use its weights")
    say(f"next: nn-toolkit evaluate {folder}")


def _begun(options: argparse.Namespace) -> tuple[Run, Data]:
    if options.architecture is None:
        raise ValueError("name an architecture such as 784-128-64-10, or a TOML file; or go on with --resume")
    if (options.out / MODEL).exists() and not options.overwrite:
        raise ValueError(f"{options.out} holds a trained network: choose another --out, or --resume, or --overwrite")
    given = {name: getattr(options, name, None) for name in Settings.__dataclass_fields__}
    settings = {name: value for name, value in given.items() if value is not None}
    if options.regression:
        settings.setdefault("loss", "mse")
    activation = options.activation or "relu"
    architecture = parse(options.architecture, activation, options.batch_norm, options.dropout or 0.0)
    data, architecture = training_data(options.data, architecture, options.regression)
    share = 0.1 if options.validation is None else options.validation
    if not 0 <= share < 1:
        raise ValueError(f"the share of validation samples is from 0 to below 1, not {share}")
    about = {
        "name": _lasting(data.name if options.data is None else options.data),
        "regression": options.regression,
        "validation": share,
        "fingerprint": data.fingerprint(),
    }
    return Run.new(architecture, Settings(**settings), data, about), data


def _lasting(name: str) -> str:
    """The name of a data set; a path so that it can be found from any folder."""
    return name if is_known(name) else str(Path(name).resolve())


def _resumed(options: argparse.Namespace) -> tuple[Run, Data]:
    run = Run.load(options.out, "last")
    settled = {**run.settings.__dict__, **run.about_data}
    for name in ("architecture", "activation", "dropout", "batch_norm", "overwrite"):
        if getattr(options, name) is not None and getattr(options, name) is not False:
            raise ValueError(f"--resume takes all from {options.out} but --epochs: leave out {name.replace('_', '-')}")
    for name, value in settled.items():
        given = getattr(options, name, None)
        if given is not None and given is not False and name not in FREE and given != value:
            raise ValueError(
                f"{options.out} was begun with {name.replace('_', '-')} {value}: --resume cannot change it"
            )
    changes = {name: getattr(options, name) for name in FREE if getattr(options, name) is not None}
    if changes.get("epochs", run.settings.epochs) != run.settings.epochs and run.settings.schedule != "constant":
        name, last = run.settings.schedule, run.settings.epochs
        say(f"note: the {name} schedule now ends with epoch {changes['epochs']}, not {last}")
    run.go_on(**changes)
    if options.data is not None:  # it may have moved: whether it is the same, its fingerprint tells
        run.about_data["name"] = _lasting(options.data)
    data = load(run.about_data["name"], "train", run.about_data["regression"], run.classes or None)
    run.check(data)
    if data.fingerprint() != run.about_data["fingerprint"]:
        raise ValueError(f"{data.name} is not what it was when {options.out} was begun: begin anew, with another --out")
    return run, data


def training_data(name: str | None, architecture: Architecture, regression: bool = False) -> tuple[Data, Architecture]:
    """The training part of a data set; without a name MNIST, or else the small digits, with a network of their size."""
    if name is not None:
        return load(name, "train", regression), architecture
    try:
        return load("mnist", "train"), architecture
    except DataMissingError as error:
        say(str(error))
        data = load("digits", "train")
        shape = (64,) if len(architecture.input) == 1 else data.shape
        smaller = architecture.with_input(shape)
        try:
            output_shape(smaller)
        except ValueError as reason:
            raise ValueError(f"and this network does not fit the 8 × 8 digits that come along: {reason}") from None
        say(f"training on the 8 × 8 digits that come along instead, with an input of {' × '.join(map(str, shape))}")
        return data, smaller


class Progress:
    """What training shows: on a terminal a line that moves, and for each epoch a line that stays."""

    def __init__(self, n_epochs: int) -> None:
        self._n_epochs = n_epochs
        self._terminal = sys.stdout.isatty()
        self._due = 0.0
        self._head = False

    def show(self, run: Run, n_batches: int, n_samples: int) -> None:
        """Called after each batch, and after each epoch."""
        if run.batch == 0:
            self.clear()
            self._epoch(run, n_samples)
        elif self._terminal and time.monotonic() >= self._due:
            self._due = time.monotonic() + 0.1
            seen = min(run.batch * run.settings.batch_size, n_samples)
            full = round(24 * run.batch / n_batches)
            accuracy = f"  accuracy {run.n_right / seen:6.1%}" if run.classes else ""
            rate = f"{seen / run.seconds:8,.0f} samples/s" if run.seconds else ""
            line = f"epoch {run.epoch + 1}/{self._n_epochs} [{'#' * full}{'.' * (24 - full)}] {run.batch}/{n_batches}"
            print(f"\r{line}  loss {run.loss_sum / seen:.4f}{accuracy}  {rate}", end="\x1b[K", flush=True)

    def clear(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", flush=True)

    def _epoch(self, run: Run, n_samples: int) -> None:
        done = run.history[-1]
        cells = {"epoch": f"{done.epoch}", "loss": f"{done.loss:.4f}"}
        if done.accuracy is not None:
            cells["accuracy"] = f"{done.accuracy:.2%}"
        if done.validation_loss is not None:
            cells["validation loss"] = f"{done.validation_loss:.4f}"
        if done.validation_accuracy is not None:
            cells["validation accuracy"] = f"{done.validation_accuracy:.2%}"
        cells["samples/s"] = f"{n_samples / done.seconds:,.0f}" if done.seconds else "-"
        widths = [max(9, len(name)) for name in cells]
        if not self._head:
            self._head = True
            print("  ".join(name.rjust(width) for name, width in zip(cells, widths, strict=True)))
        print("  ".join(cell.rjust(width) for cell, width in zip(cells.values(), widths, strict=True)), flush=True)


def evaluate(options: argparse.Namespace) -> None:
    """Accuracy, each class's precision and recall, and the confusion matrix; of a regression the errors."""
    run = Run.load(options.folder)
    data = _other_data(run, options.data, options.split)
    loss, accuracy = run.measure(data)
    weights = f"the weights of epoch {run.best or run.epoch}"
    print(f"{len(data)} samples: the {options.split} part of {data.name}, with {weights}")
    print(f"loss      {loss:.4f}  ({run.settings.loss})")
    if accuracy is None:
        errors = run.outputs(data)[:, 0] - data.y
        spread = ((data.y - data.y.mean()) ** 2).sum() if np.ptp(data.y) > 0 else 0.0
        print(f"error     {math.sqrt((errors**2).mean()):.4g}  (root of the mean square, in units of the target)")
        print(
            f"R²        {1 - (errors**2).sum() / spread:.4f}"
            if spread
            else "R²        undefined: all targets are equal"
        )
        return
    print(f"accuracy  {accuracy:.2%}  ({round(accuracy * len(data))} right)")
    names = _names(run)
    matrix = confusion(data.y, run.outputs(data).argmax(1), len(names))
    print("\nrows: what it is; columns: what the network says\n")
    right, said, there = np.diag(matrix), matrix.sum(0), matrix.sum(1)
    rows = [
        [
            name,
            *("." if not n else str(n) for n in matrix[k]),
            _percent(right[k], said[k]),
            _percent(right[k], there[k]),
        ]
        for k, name in enumerate(names)
    ]
    table(["", *names, "precision", "recall"], rows)


def confusion(y: Array, said: Array, n_classes: int) -> Array:
    """How often class i (row) was taken for class j (column): n_classes × n_classes counts."""
    return np.bincount(y * n_classes + said, minlength=n_classes**2).reshape(n_classes, n_classes)


def _names(run: Run) -> list[str]:
    """What the network's outputs stand for: classes, and numbers where it has more outputs than there are classes."""
    return [*run.classes, *map(str, range(len(run.classes), run.network.n_outputs))]


def _other_data(run: Run, name: str | None, part: str) -> Data:
    """The part of a data set to measure a run on: of another set, or of its own."""
    own = run.about_data
    if name is None and Path(own["name"]).is_file() and part == "test":
        say(f"note: {own['name']} is what it was trained on; name other samples with --data to see how well it does")
    data = load(name or own["name"], part, own["regression"], run.classes or None)
    run.check(data)
    return data


def predict(options: argparse.Namespace) -> None:
    """Each file's most probable classes, or the rows' outputs."""
    run = Run.load(options.folder)
    for file in options.files:
        if file.suffix.lower() in (".csv", ".txt"):
            _predict_rows(run, file, options.top)
            continue
        pixels = _image_for(run, file, options.invert)
        print(f"{file}: {_verdict(run, run.probabilities(pixels)[0], options.top)}")


def _image_for(run: Run, file: Path, invert: bool) -> Data:
    """An image file as the one sample of a data set, in the pixels' scale of the training."""
    height, width = _image_size(run)
    pixels = read_grey(file, (height, width))
    pixels = 255 - pixels if invert else pixels
    if not invert and pixels.mean() > 127:
        say(f"note: {file} is mostly light, and the network has learned light strokes on a dark ground: see --invert")
    pixels = (pixels * run.scaling.scale[0] / 255).reshape(1, 1, height, width)
    return Data(pixels, np.zeros(1, np.int64), run.classes, str(file))


def _image_size(run: Run) -> tuple[int, int]:
    """Height and width of the images that a network takes."""
    shape = run.network.architecture.input
    if len(run.scaling.mean) > 1 or run.scaling.mean[0]:
        raise ValueError(f"this network takes rows of {math.prod(shape)} numbers, not images")
    if len(shape) == 3 and shape[0] == 1:
        return shape[1], shape[2]
    side = math.isqrt(math.prod(shape))
    if side**2 != math.prod(shape):
        raise ValueError(f"this network takes {' × '.join(map(str, shape))} values, which are no square grey image")
    return side, side


def _predict_rows(run: Run, file: Path, top: int) -> None:
    header, rows = read_rows(file)
    X = numbers(file, rows, header)
    data = Data(X, np.zeros(len(X), np.int64 if run.classes else np.float64), run.classes, file.name)
    run.check(data)
    for place, row in enumerate(run.probabilities(data), 1):
        print(f"{file}, sample {place}: {_verdict(run, row, top)}")


def _verdict(run: Run, outputs: Array, top: int) -> str:
    if not run.classes:
        return f"{outputs[0]:.6g}"
    places = np.argsort(-outputs, kind="stable")[:top]
    names = _names(run)
    shown = "{:.1%}" if run.settings.loss == "cross-entropy" else "{:.3f}"
    return ", ".join(f"{names[k]} ({shown.format(outputs[k])})" for k in places)


def plot(options: argparse.Namespace) -> None:
    """Write one SVG file."""
    run = Run.load(options.folder)
    out = options.out or options.folder / f"{options.what}.svg"
    write_whole(out, _PLOTS[options.what](run, options).encode())
    print(out)


def _curves(run: Run, options: argparse.Namespace) -> str:
    if not run.history:
        raise ValueError(f"{options.folder}: no epoch is complete yet, so there is nothing to draw")
    epochs = [e.epoch for e in run.history]

    def lines(*fields: tuple[str, str]) -> list[plots.Line]:
        values = [(label, [getattr(e, name) for e in run.history]) for label, name in fields]
        return [plots.Line(label, epochs, y) for label, y in values if None not in y]

    charts = [
        plots.chart("Loss", "epoch", run.settings.loss, lines(("training", "loss"), ("validation", "validation_loss")))
    ]
    if run.classes:
        accuracies = lines(("training", "accuracy"), ("validation", "validation_accuracy"))
        charts.append(plots.chart("Accuracy", "epoch", "share of samples", accuracies))
    return plots.page(charts)


def _weights(run: Run, options: argparse.Namespace) -> str:
    first = next((layer for layer in run.network.layers if isinstance(layer, Dense | Conv2d)), None)
    if first is None:
        raise ValueError("this network has no dense and no conv2d layer")
    weight = first.parameters["weight"].astype(np.float64)
    if isinstance(first, Conv2d):
        images = [
            kernel.mean(0) for kernel in weight
        ]  # the mean over the input's channels, which is one in grey images
    else:
        height, width = _image_size(run)
        if first is not run.network.layers[0] and weight.shape[0] != height * width:
            raise ValueError("the first dense layer does not stand on the image itself: its weights are no images")
        images = [column.reshape(height, width) for column in weight.T]
    shown = images[:64]
    title = f"Weights of the first layer: {len(shown)} of {len(images)} units; blue below 0, vermilion above"
    return plots.grid(title, [plots.signed(image) for image in shown], [str(k) for k in range(len(shown))])


def _mistakes(run: Run, options: argparse.Namespace) -> str:
    height, width = _image_size(run)
    if not run.classes:
        raise ValueError("a regression has no mistakes of class")
    data = _other_data(run, options.data, "test")
    probabilities = run.probabilities(data)
    said = probabilities.argmax(1)
    wrong = np.flatnonzero(said != data.y)
    if not len(wrong):
        raise ValueError(
            f"it makes no mistake on the {len(data)} test samples of {data.name}: there is nothing to draw"
        )
    wrong = wrong[np.argsort(-probabilities[wrong, said[wrong]], kind="stable")][:40]  # the surest first
    images = [np.rint(255 * run.scaling(data.X[k : k + 1], np.float64)).reshape(height, width) for k in wrong]
    names = _names(run)
    labels = [f"{names[data.y[k]]}, said {names[said[k]]}" for k in wrong]
    title = f"{int((said != data.y).sum())} mistakes on {len(data)} test samples; the {len(wrong)} surest first"
    return plots.grid(title, images, labels)


def _boundary(run: Run, options: argparse.Namespace) -> str:
    if math.prod(run.network.architecture.input) != 2 or not run.classes:
        raise ValueError("a boundary is drawn for classes of two-dimensional data, such as --data moons")
    data = _other_data(run, options.data, "test")
    low, high = data.X.min(0), data.X.max(0)
    edge = 0.08 * np.maximum(high - low, 1e-9)
    (left, bottom), (right, top) = low - edge, high + edge
    n = 160
    across, down = np.meshgrid(np.linspace(left, right, n), np.linspace(top, bottom, n))
    points = Data(np.stack([across.ravel(), down.ravel()], 1), np.zeros(n * n, np.int64), run.classes, data.name)
    outputs = run.probabilities(points)
    if run.settings.loss != "cross-entropy":
        outputs = np.eye(outputs.shape[1])[outputs.argmax(1)]
    accuracy = run.measure(data)[1]
    title = f"{data.name}: {accuracy:.1%} of {len(data)} samples right"
    return plots.regions(title, data, outputs.reshape(n, n, -1), (left, right, bottom, top))


_PLOTS: dict[str, Callable[[Run, argparse.Namespace], str]] = {
    "curves": _curves,
    "weights": _weights,
    "mistakes": _mistakes,
    "boundary": _boundary,
}


def inspect(options: argparse.Namespace) -> None:
    """The layers with shapes and counts; of a trained network its weights, settings and history; outputs on data."""
    trained = Path(options.network).is_dir()
    run = Run.load(Path(options.network)) if trained else None
    network = run.network if run else Network(parse(options.network))
    rows = []
    for place, (row, layer) in enumerate(zip(network.summary, network.layers, strict=True)):
        shape = " × ".join(map(str, row.output))
        weight = layer.parameters.get("weight")
        statistics = [f"{v:.4g}" for v in _spread(weight)] if run and weight is not None else ["", "", ""]
        rows.append([str(place), row.layer, shape, f"{row.n_parameters:,}" if row.n_parameters else "", *statistics])
    head = ["", "layer", "output", "parameters", "weight mean", "std", "largest"]
    shape = " × ".join(map(str, network.architecture.input))
    print(f"input {shape}, {network.theta.size:,} parameters in {network.dtype}")
    table(head if run else head[:4], rows if run else [row[:4] for row in rows])
    if run:
        settings = (f"{name.replace('_', '-')} {value}" for name, value in run.settings.__dict__.items())
        print(f"\nsettings: {', '.join(settings)}")
        done = f"{run.epoch} epochs done, {run.optimizer.steps} steps"
        print(f"data: {run.about_data['name']}, {len(run.classes)} classes; {done}")
        if run.history:
            print(f"used: {_told(run.history[run.best - 1])}")
    if options.data is not None or (run and run.about_data["name"] in ("digits", "moons", "circles", "spirals")):
        _activations(network, run, options.data)


def _activations(network: Network, run: Run | None, name: str | None) -> None:
    """Mean, spread and silent units of each layer's output, on at most 512 samples."""
    if run:
        data = _other_data(run, name, "test")
        X = run.scaling(data.X[:512], network.dtype)
    else:
        data = load(name or "mnist", "test")
        X = Scaling.of(data)(data.X[:512], network.dtype)
    print(f"\noutputs on {len(X)} test samples of {data.name}")
    rows = []
    for place, (layer, output) in enumerate(network.activations(X)):
        units = output.reshape(len(output), -1) if output.ndim == 4 else output.T
        dead = f"{int((units <= 0).all(1).sum())} of {len(units)}" if isinstance(layer, ReLU) else ""
        rows.append(
            [str(place), str(layer), *(f"{v:.4g}" for v in _spread(output)), f"{(output == 0).mean():.1%}", dead]
        )
    table(["", "layer", "mean", "std", "largest", "zeros", "units never above 0"], rows)


def _spread(values: Array) -> tuple[float, float, float]:
    return float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64)), float(np.abs(values).max())


def _told(epoch: Any) -> str:
    values = {name: value for name, value in epoch.__dict__.items() if value is not None and name != "seconds"}
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items())


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def table(head: list[str], rows: list[list[str]]) -> None:
    """Columns aligned to the right, those of words to the left."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    words = [any(row[column][:1].isalpha() for row in rows) for column in range(len(head))]
    for row in [head, *rows]:
        cells = [
            cell.ljust(width) if word else cell.rjust(width)
            for cell, width, word in zip(row, widths, words, strict=True)
        ]
        print("  ".join(cells).rstrip())


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
