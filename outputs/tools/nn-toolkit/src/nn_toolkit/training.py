"""Training: epochs of mini-batches, with validation, early stopping, and checkpoints from which a run goes on exactly.

All randomness of a run comes from its seed and its place (epoch and batch), never from a generator that has run on. So
a checkpoint needs no generator's state, and what follows it is the same whether the run was interrupted or not.
"""

import json
import math
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nn_toolkit.architecture import Architecture, from_json
from nn_toolkit.data import Data, Scaling
from nn_toolkit.layers import Array, BatchNorm, Dropout, softmax
from nn_toolkit.losses import LOSSES, Loss, check_labels
from nn_toolkit.network import EVALUATION_BATCH, Network, fits
from nn_toolkit.optimizers import make_optimizer
from nn_toolkit.tensors import read_tensors, write_tensors, write_whole

FORMAT = "nn-toolkit 1"
MODEL = "model.json"
_WEIGHTS = re.compile(r"\w+-epoch-\d+(-\d+)?\.safetensors")
# What model.json keeps of a run's progress, and of which type.
_PROGRESS = {
    "epoch": "int",
    "batch": "int",
    "loss_sum": "float",
    "n_right": "int",
    "seconds": "float",
    "best": "int",
    "stopped": "bool",
}
ORDER, MASKS = 1, 2  # what a generator is for; the weights are drawn with the seed alone


# The learning rate's factor, by the share of the run's steps that are done: 0 for the first, below 1 for the last.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),  # Loshchilov & Hutter (2017), eq. 5, to 0
}


class DivergedError(ValueError):
    """The loss is no finite number any more."""


@dataclass(frozen=True)
class Settings:
    """What a run is made of, besides its architecture and data. It stands in the checkpoint, and decides all."""

    loss: str = "cross-entropy"
    optimizer: str = "adam"
    learning_rate: float = 0.002
    momentum: float = 0.9  # of the optimizer momentum
    schedule: str = "cosine"  # of the learning rate, from step to step
    initializer: str = "he"
    batch_size: int = 64
    epochs: int = 3
    patience: int = 0  # epochs without a better validation loss after which the run ends; 0: never
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"the loss is one of {', '.join(LOSSES)}, not {self.loss!r}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"the schedule is one of {', '.join(SCHEDULES)}, not {self.schedule!r}")
        for name, least in (("batch_size", 1), ("epochs", 1), ("patience", 0), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name.replace('_', ' ')} is a whole number from {least}, not {value!r}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"the momentum is from 0 to below 1, not {self.momentum}")
        make_optimizer({"name": self.optimizer, "learning_rate": self.learning_rate})  # raises where it is none


@dataclass
class Epoch:
    """What was measured in an epoch: means over its batches, while the weights changed, and on the validation set."""

    epoch: int
    loss: float
    accuracy: float | None  # None for a regression
    seconds: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None


@dataclass
class Run:
    """A network in training.

    Attributes:
        epoch: how many epochs are complete; batch: how many batches of the next one are.
        loss_sum, n_right, seconds: of those batches: the losses times their samples, the samples whose largest output
            is the label's, the time.
        best: the epoch with the smallest validation loss; without a validation set the last one.
        stopped: whether early stopping has ended the run.
    """

    network: Network
    settings: Settings
    scaling: Scaling
    classes: tuple[str, ...]
    about_data: dict[str, Any]  # what the command line needs to read the same data again
    history: list[Epoch] = field(default_factory=list)
    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    n_right: int = 0
    seconds: float = 0.0
    best: int = 0
    stopped: bool = False
    # In the names of its files, so that a run never writes into another's, nor takes another's for its own.
    identity: str = field(default_factory=lambda: secrets.token_hex(4))

    def __post_init__(self) -> None:
        settings = self.settings
        rates = {"learning_rate": settings.learning_rate, "momentum": settings.momentum}
        self.optimizer = make_optimizer({"name": settings.optimizer, **rates})
        self.optimizer.attach(self.network.theta)
        self._loss: Loss = LOSSES[settings.loss]
        self._drops = any(isinstance(layer, Dropout) for layer in self.network.layers)

    @classmethod
    def new(cls, architecture: Architecture, settings: Settings, data: Data, about_data: dict[str, Any]) -> "Run":
        """A run that has not begun.

        Raises:
            ValueError: the network does not fit the data or the loss.
        """
        if settings.loss == "cross-entropy" and architecture.layers[-1]["type"] == "softmax":
            raise ValueError(
                "cross-entropy takes logits and has a softmax of its own: leave out the softmax at the end"
            )
        network = Network(architecture, settings.initializer, settings.seed, settings.dtype)
        run = cls(network, settings, Scaling.of(data), data.classes, about_data)
        run.check(data)
        return run

    def check(self, data: Data) -> None:
        """Raise ValueError where the data are not such as this network takes."""
        n_outputs = self.network.n_outputs
        if not fits(data.shape, self.network.architecture.input):
            has, takes = (_by(shape) for shape in (data.shape, self.network.architecture.input))
            raise ValueError(f"the samples of {data.name} have {has} values, and the network takes {takes}")
        if not len(data):
            raise ValueError(f"{data.name} has no samples")
        if bool(self.classes) != bool(data.classes):
            raise ValueError(
                f"{data.name} has {'labels' if data.classes else 'targets'}, and the network was made for others"
            )
        if data.classes:
            if len(data.classes) > n_outputs:
                raise ValueError(f"{data.name} has {len(data.classes)} classes, and the network {n_outputs} outputs")
            check_labels(data.y, n_outputs)
        elif self.settings.loss != "mse" or n_outputs != 1:
            raise ValueError("a regression takes the loss mse and a network with one output")

    def train(
        self, training: Data, validation: Data | None, watch: Callable[["Run", int], None] = lambda run, n_batches: None
    ) -> None:
        """Train to the end of the settings' epochs, or until early stopping.

        Args:
            training: the samples to learn from.
            validation: the samples to measure on after each epoch.
            watch: called with the run and the number of batches in an epoch: after each batch, and after each epoch,
                when `batch` is 0 again.

        Raises:
            DivergedError: the loss is no finite number.
        """
        if self.settings.patience and validation is None:
            raise ValueError("early stopping needs validation samples")
        size, dtype = self.settings.batch_size, self.network.dtype
        X, y = training.X, training.y
        self._check_batches(len(y))
        n_batches = -(-len(y) // size)
        while self.epoch < self.settings.epochs and not self.stopped:
            order = self._rng(ORDER, 0).permutation(len(y))
            start = time.perf_counter() - self.seconds
            while self.batch < n_batches:
                chosen = order[self.batch * size :][:size]
                self.optimizer.learning_rate = self.learning_rate(n_batches)
                # Scaled batch by batch: a batch of bytes is quicker to gather than one of floats.
                self._step(self.scaling(X.take(chosen, 0), dtype), y[chosen])
                self.batch += 1
                self.seconds = time.perf_counter() - start
                watch(self, n_batches)
            self._end_epoch(training, validation)
            watch(self, n_batches)

    def _check_batches(self, n_samples: int) -> None:
        """Raise ValueError before the first step where batch norm will find a batch of one value per feature."""
        smallest = n_samples % self.settings.batch_size or self.settings.batch_size
        inputs = [self.network.architecture.input, *(row.output for row in self.network.summary)]
        normalized = (
            shape for layer, shape in zip(self.network.layers, inputs, strict=False) if isinstance(layer, BatchNorm)
        )
        if min(smallest, n_samples) == 1 and any(math.prod(shape[1:]) == 1 for shape in normalized):
            left = f"{n_samples} samples in batches of {self.settings.batch_size} leave one by itself"
            raise ValueError(f"{left}, and batch norm would divide by its variance: choose another batch size")

    def learning_rate(self, n_batches: int) -> float:
        """That of the next step, where an epoch has `n_batches`."""
        done = (self.epoch * n_batches + self.batch) / (self.settings.epochs * n_batches)
        return self.settings.learning_rate * SCHEDULES[self.settings.schedule](done)

    def _rng(self, purpose: int, batch: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, purpose, self.epoch, batch])

    def _step(self, X: Array, y: Array) -> None:
        with np.errstate(all="ignore"):  # what is not finite is told below
            outputs = self.network.forward(X, training=True, rng=self._rng(MASKS, self.batch) if self._drops else None)
            loss, gradient = self._loss(outputs, y)
        if not math.isfinite(loss):
            place = f"epoch {self.epoch + 1}, batch {self.batch + 1}"
            raise self._diverged(f"the loss is {loss} in {place}; {self._where(X)}")
        if self.classes:
            self.n_right += int((outputs.argmax(1) == y).sum())
        self.loss_sum += loss * len(y)
        with np.errstate(all="ignore"):
            self.network.backward(gradient)
            self.optimizer.step(self.network.theta, self.network.gradient)

    def _diverged(self, what: str) -> DivergedError:
        rate = f"{self.settings.learning_rate:g}"
        return DivergedError(f"{what}. A smaller learning rate than {rate} is the first thing to try")

    def _where(self, X: Array) -> str:
        """Which layer is the first to give a value that is no finite number, for a message."""
        if not np.isfinite(X).all():
            return "a sample holds a value that is no finite number"
        with np.errstate(all="ignore"):
            training = self.network.activations(X, training=True, rng=self._rng(MASKS, self.batch))
            for place, (layer, output) in enumerate(training):
                for name, values in layer.parameters.items():
                    if not np.isfinite(values).all():
                        return f"the {name} of layer {place} ({layer}) is not finite"
                if not np.isfinite(output).all():
                    return f"the output of layer {place} ({layer}) is not finite"
        return "the outputs are finite and too large for the loss"

    def _end_epoch(self, training: Data, validation: Data | None) -> None:
        n_samples = len(training)
        accuracy = self.n_right / n_samples if self.classes else None
        done = Epoch(self.epoch + 1, self.loss_sum / n_samples, accuracy, self.seconds)
        if not all(np.isfinite(values).all() for values in (self.network.theta, *self.network.buffers.values())):
            raise self._diverged(f"after the last batch of epoch {self.epoch + 1} the weights are not finite")
        if validation is None:
            self.outputs(training.take(np.arange(min(n_samples, EVALUATION_BATCH))))  # raises where they are not finite
        if validation is not None:
            with np.errstate(all="ignore"):
                done.validation_loss, done.validation_accuracy = self.measure(validation)
            if not math.isfinite(done.validation_loss):
                raise self._diverged(f"the validation loss is {done.validation_loss} after epoch {self.epoch + 1}")
        self.history.append(done)
        self.epoch, self.batch = self.epoch + 1, 0
        self.loss_sum, self.n_right, self.seconds = 0.0, 0, 0.0
        losses = [e.loss if e.validation_loss is None else e.validation_loss for e in self.history]
        self.best = self.epoch if validation is None else 1 + losses.index(min(losses))
        self.stopped = 0 < self.settings.patience <= self.epoch - self.best

    def outputs(self, data: Data) -> Array:
        """The network's outputs in evaluation mode: n_samples × n_outputs; for cross-entropy these are logits."""
        outputs = self.network.predict(self.scaling(data.X, self.network.dtype))
        if not np.isfinite(outputs).all():
            raise self._diverged("the network's outputs are not finite")
        return outputs

    def probabilities(self, data: Data) -> Array:
        """The outputs, after a softmax where the loss is cross-entropy."""
        outputs = self.outputs(data)
        return softmax(outputs) if self.settings.loss == "cross-entropy" else outputs

    def measure(self, data: Data) -> tuple[float, float | None]:
        """The loss on a data set in evaluation mode, and the accuracy (None for a regression)."""
        outputs = self.outputs(data)
        accuracy = float((outputs.argmax(1) == data.y).mean()) if self.classes else None
        return self._loss(outputs, data.y)[0], accuracy

    def save(self, folder: Path) -> None:
        """Write a checkpoint; one that was there stays whole until this one is.

        The weights come first, in a file of a new name; model.json, which names that file, is replaced last.
        """
        place = f"{self.epoch}-{self.batch}" if self.batch else f"{self.epoch}"
        name = f"{self.identity}-epoch-{place}.safetensors"
        tensors = {**self.network.parameters, **self.network.buffers}
        tensors |= {f"optimizer.{key}": vector for key, vector in self.optimizer.state.items()}
        write_tensors(folder / name, tensors)
        best = f"{self.identity}-epoch-{self.best}.safetensors" if self.best else name
        model = {
            "format": FORMAT,
            "architecture": self.network.architecture.as_json(),
            "settings": asdict(self.settings),
            "scaling": {"mean": self.scaling.mean.tolist(), "scale": self.scaling.scale.tolist()},
            "classes": list(self.classes),
            "data": self.about_data,
            "identity": self.identity,
            "weights": {"last": name, "best": best},
            "progress": {
                "steps": self.optimizer.steps,
                **{name: getattr(self, name) for name in _PROGRESS},
            },
            "history": [asdict(epoch) for epoch in self.history],
        }
        try:
            write_whole(folder / MODEL, (json.dumps(model, indent=1) + "\n").encode())
        except ValueError:
            if name not in _named(folder):
                (folder / name).unlink(missing_ok=True)
            raise
        for file in folder.iterdir():  # what this run, one that it replaces, or one that was killed has left
            left = _WEIGHTS.fullmatch(file.name) and file.name not in (name, best)
            if left or (file.name.startswith(".") and file.name.endswith(".part")):
                file.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path, which: str = "best") -> "Run":
        """The run in a folder: with its best weights, to be used, or with its last ones, to go on.

        Raises:
            ValueError: there is none, or a file of it is damaged or belongs to another network.
        """
        file = folder / MODEL
        try:
            model = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(f"{folder} holds no trained network: there is no {MODEL} in it") from None
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{file} is damaged: {error}") from None
        if not isinstance(model, dict) or model.get("format") != FORMAT:
            raise ValueError(f"{file} is not written by this version: its format is not {FORMAT!r}")
        try:
            run = cls._read(model, str(file))
            name = model["weights"][which]
            if not _WEIGHTS.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a file of weights")
        except KeyError as error:
            raise ValueError(f"{file} is damaged: it lacks {error}") from None
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{file} is damaged: {error}") from None
        run._fill(folder / name)
        return run

    @classmethod
    def _read(cls, model: dict[str, Any], source: str) -> "Run":
        """The run of a model.json, with weights still to be filled in."""
        _check_types(model["settings"], {**Settings.__annotations__})
        settings = Settings(**model["settings"])
        architecture = from_json(model["architecture"], source)
        # The weights are replaced later: the seed is for what comes after.
        network = Network(architecture, "zeros", settings.seed, settings.dtype)
        scaling = Scaling(*(np.array(model["scaling"][name], np.float64) for name in ("mean", "scale")))
        sizes = {scaling.mean.shape, scaling.scale.shape}
        if len(sizes) > 1 or not np.isfinite([scaling.mean, scaling.scale]).all() or not (scaling.scale > 0).all():
            raise ValueError("the scaling is no list of means and one of scales above 0")
        classes, about = model["classes"], model["data"]
        if not isinstance(classes, list) or not all(isinstance(label, str) for label in classes):
            raise ValueError("the classes are no list of names")
        if len(classes) > network.n_outputs:
            raise ValueError(f"{len(classes)} classes, and the network has {network.n_outputs} outputs")
        _check_types(about, {"name": "str", "regression": "bool", "validation": "float", "fingerprint": "int"})
        if not isinstance(model["identity"], str) or not model["identity"].isalnum():
            raise ValueError(f"the identity is {model['identity']!r}")
        progress = dict(model["progress"])
        _check_types(progress, {**_PROGRESS, "steps": "int"})
        run = cls(network, settings, scaling, tuple(classes), about, identity=model["identity"])
        run.optimizer.steps = progress.pop("steps")
        for name, value in progress.items():
            setattr(run, name, value)
        for epoch in model["history"]:
            _check_types(epoch, dict(Epoch.__annotations__))
            run.history.append(Epoch(**epoch))
        if len(run.history) != run.epoch or run.best > run.epoch:
            raise ValueError(f"{run.epoch} epochs are done, and the history has {len(run.history)}")
        return run

    def _fill(self, file: Path) -> None:
        tensors = read_tensors(file)
        wanted = {**self.network.parameters, **self.network.buffers}
        wanted |= {f"optimizer.{key}": vector for key, vector in self.optimizer.state.items()}
        for name in sorted(set(wanted) | set(tensors)):
            if name not in tensors or name not in wanted:
                raise ValueError(f"{file} {'lacks' if name in wanted else 'holds'} {name}, and {MODEL} says otherwise")
            if tensors[name].shape != wanted[name].shape or tensors[name].dtype != wanted[name].dtype:
                found, expected = (f"{t.dtype} of {_by(t.shape)}" for t in (tensors[name], wanted[name]))
                raise ValueError(f"{file}: {name} is {found}, and {MODEL} says {expected}")
            if not np.isfinite(tensors[name]).all():
                raise ValueError(f"{file}: {name} holds values that are not finite")
            wanted[name][...] = tensors[name]

    def go_on(self, **changes: Any) -> None:
        """Change settings that do not touch what is done: the number of epochs and the patience."""
        self.settings = replace(self.settings, **changes)
        self.stopped = 0 < self.settings.patience <= self.epoch - self.best


def _named(folder: Path) -> set[str]:
    """The files of weights that the model.json in a folder names, if there is one that can be read."""
    try:
        names = json.loads((folder / MODEL).read_text(encoding="utf-8"))["weights"].values()
        return {name for name in names if _WEIGHTS.fullmatch(name)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()


_KINDS = {"int": int, "float": (int, float), "bool": bool, "str": str}


def _check_types(table: Any, kinds: dict[str, Any]) -> None:
    """Raise ValueError unless a table has these values and no others, of their types, numbers finite and from 0."""
    if not isinstance(table, dict) or set(kinds) != set(table):
        raise ValueError(f"instead of {', '.join(kinds)} there is {str(table)[:60]}")
    for name, value in table.items():
        kind, _, optional = str(getattr(kinds.get(name), "__name__", kinds.get(name))).partition(" | ")
        if optional and value is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if (
            not isinstance(value, _KINDS[kind])  # type: ignore[arg-type]
            or (isinstance(value, bool) and kind != "bool")
            or (number and not 0 <= value < math.inf)
        ):
            raise ValueError(f"{name} is {value!r}")


def split(data: Data, n_validation: int, seed: int) -> tuple[Data, Data | None]:
    """The samples to train on and those to measure on, by a shuffle of the seed; None where `n_validation` is 0.

    Raises:
        ValueError: nothing would be left to train on.
    """
    if not 0 <= n_validation < len(data):
        raise ValueError(
            f"{n_validation} samples for the validation, and {data.name} has {len(data)}: leave some to train on"
        )
    if not n_validation:
        return data, None
    order = np.random.default_rng([seed, 0]).permutation(len(data))
    return data.take(np.sort(order[n_validation:])), data.take(np.sort(order[:n_validation]))


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "one value"
