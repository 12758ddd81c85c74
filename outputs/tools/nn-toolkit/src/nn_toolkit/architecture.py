"""Architectures: ``784-128-64-10``, or a TOML file for networks with other layers than dense ones."""

import inspect
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn_toolkit.layers import ACTIVATIONS, KINDS, Layer, Shape


@dataclass(frozen=True)
class Architecture:
    """The shape of one sample, and the layers as tables with a `type` and options."""

    input: Shape  # (n_features,) or (channels, height, width)
    layers: tuple[dict[str, Any], ...]

    def make(self) -> list[Layer]:
        """New layers.

        Raises:
            ValueError: a type or an option that does not exist, or a value out of its range.
        """
        return [_layer(place, table) for place, table in enumerate(self.layers)]

    def with_input(self, shape: Shape) -> "Architecture":
        """The same layers on samples of another shape."""
        return Architecture(shape, self.layers)

    def as_json(self) -> dict[str, Any]:
        return {"input": list(self.input), "layers": [dict(table) for table in self.layers]}


def parse(text: str, activation: str = "relu", batch_norm: bool = False, dropout: float = 0.0) -> Architecture:
    """The architecture that a text describes: sizes with hyphens between them, or the path of a TOML file.

    Args:
        text: for example "784-128-64-10": 784 inputs, two hidden layers, 10 outputs.
        activation: what follows each hidden layer.
        batch_norm: whether a batch norm stands between each hidden layer and its activation.
        dropout: the share of values that a dropout after each activation sets to 0; without one where it is 0.

    Raises:
        ValueError: it is neither, or the file does not describe a network.
    """
    if re.fullmatch(r"\d+(-\d+)+", text):
        if activation not in ACTIVATIONS:
            raise ValueError(f"the activation is one of {', '.join(ACTIVATIONS)}, not {activation!r}")
        n_in, *sizes = map(int, text.split("-"))
        layers: list[dict[str, Any]] = []
        for units in sizes[:-1]:
            layers.append({"type": "dense", "units": units})
            layers += [{"type": "batch-norm"}] * batch_norm
            layers.append({"type": activation})
            layers += [{"type": "dropout", "rate": dropout}] * (dropout != 0)
        return _checked(n_in, [*layers, {"type": "dense", "units": sizes[-1]}], text)
    if not text.endswith(".toml"):
        raise ValueError(f"{text!r} is no architecture: write sizes such as 784-128-64-10, or the path of a TOML file")
    if activation != "relu" or batch_norm or dropout:
        raise ValueError(f"activations, batch norms and dropouts stand in {text}: they are no options here")
    try:
        table = tomllib.loads(Path(text).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"there is no file {text}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{text} cannot be read: {error}") from None
    return from_json(table, text)


def from_json(table: Any, source: str) -> Architecture:
    """The architecture in a table with `input` and `layers`, as in a TOML file or a checkpoint."""
    if not isinstance(table, dict) or set(table) != {"input", "layers"}:
        found = ", ".join(table) if isinstance(table, dict) else repr(table)
        raise ValueError(f"{source}: an architecture has an input and layers, and nothing else; this one has {found}")
    return _checked(table["input"], table["layers"], source)


def _checked(shape: Any, layers: Any, source: str) -> Architecture:
    shape = [shape] if isinstance(shape, int) else shape
    whole = isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape)
    if not whole or len(shape) not in (1, 3):
        raise ValueError(f"{source}: the input is a number of features, or [channels, height, width], not {shape!r}")
    if not isinstance(layers, list) or not layers or not all(isinstance(table, dict) for table in layers):
        raise ValueError(f"{source}: layers is a list of tables such as {{ type = 'dense', units = 10 }}")
    architecture = Architecture(tuple(shape), tuple(layers))
    try:
        output_shape(architecture)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    return architecture


def output_shape(architecture: Architecture) -> Shape:
    """The shape that the layers make of one sample.

    Raises:
        ValueError: a layer does not exist, or cannot take what the one before it gives.
    """
    shape = architecture.input
    for place, layer in enumerate(architecture.make()):
        try:
            shape = layer.build(shape)
        except ValueError as error:
            raise ValueError(f"layer {place}: {error}") from None
    if len(shape) != 1:
        raise ValueError("the last layer gives images: end with a flatten and a dense layer")
    return shape


def _layer(place: int, table: dict[str, Any]) -> Layer:
    options = dict(table)
    kind = options.pop("type", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"layer {place}: the type is one of {', '.join(KINDS)}, not {kind!r}")
    known = inspect.signature(KINDS[kind]).parameters
    if unknown := set(options) - set(known):
        takes = f"takes {', '.join(known)}" if known else "has no options"
        raise ValueError(f"layer {place}: {kind} {takes}, and not {', '.join(sorted(unknown))}")
    needed = [name for name, parameter in known.items() if parameter.default is parameter.empty]
    if missing := [name for name in needed if name not in options]:
        raise ValueError(f"layer {place}: {kind} needs {', '.join(missing)}")
    try:
        return KINDS[kind](**options)
    except (ValueError, TypeError) as error:
        raise ValueError(f"layer {place}: {error}") from None
