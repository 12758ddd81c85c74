"""Run the dense network in this folder (config.json and model.safetensors) with nothing but Python 3.11 or newer."""

import argparse
import json
import math
import struct
import sys
from pathlib import Path

ACTIVATIONS = {
    "identity": float,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z)),
    "tanh": math.tanh,
    "relu": lambda z: max(z, 0.0),
}


def read_json(name: str, text: bytes) -> dict:
    """The JSON object in `text`; ValueError names the file where it is something else."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{name} holds no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{name} must hold a JSON object, got {type(value).__name__}")
    return value


def read_safetensors(file: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Shape and values (in row order) of every tensor in `file`, all of them F64.

    The format: the header's length as a little-endian u64, the header (JSON), then the values.
    """
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or len(content) < 8 + length:
        raise ValueError(f"{file.name} is cut short: {len(content)} bytes, and its header ends at {8 + length}")
    header = read_json(f"the header of {file.name}", content[8 : 8 + length])
    data = content[8 + length :]
    tensors, end = {}, 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        shape, (start, stop) = entry["shape"], entry["data_offsets"]
        if entry["dtype"] != "F64" or start != end or stop - start != 8 * math.prod(shape):
            raise ValueError(f"{file.name} does not describe {name!r} as a tensor of F64: {entry}")
        if stop > len(data):
            raise ValueError(f"{file.name} is cut short: {name!r} ends at byte {stop} of {len(data)}")
        values = list(struct.unpack(f"<{math.prod(shape)}d", data[start:stop]))
        if not all(map(math.isfinite, values)):
            raise ValueError(f"{file.name}: {name!r} holds values that are not finite")
        tensors[name] = (shape, values)
        end = stop
    if end != len(data):
        raise ValueError(f"{file.name} has {len(data) - end} bytes too many")
    return tensors


def load(folder: Path) -> list[tuple[list[list[float]], list[float], str]]:
    """(weights n_in × n_out, biases, activation) of each layer."""
    config = read_json("config.json", (folder / "config.json").read_bytes())
    tensors = read_safetensors(folder / "model.safetensors")
    layers = []
    for i, layer in enumerate(config["layers"]):
        n_in, n_out, activation = layer["n_in"], layer["n_out"], layer["activation"]
        if activation not in ACTIVATIONS:
            raise ValueError(f"config.json: layer {i} has the unknown activation {activation!r}")
        (shape, values), (bias_shape, biases) = tensors[f"layers.{i}.weights"], tensors[f"layers.{i}.biases"]
        if shape != [n_in, n_out] or bias_shape != [n_out] or (layers and n_in != len(layers[-1][1])):
            raise ValueError(f"layer {i}: config.json says {n_in} × {n_out}, model.safetensors {shape}, {bias_shape}")
        layers.append(([values[k * n_out : (k + 1) * n_out] for k in range(n_in)], biases, activation))
    if not layers:
        raise ValueError("config.json has no layers")
    return layers


def predict(layers: list[tuple[list[list[float]], list[float], str]], inputs: list[float]) -> list[float]:
    """The outputs of the network for one row of inputs."""
    values = inputs
    for weights, biases, activation in layers:
        z = [b + sum(v * row[j] for v, row in zip(values, weights, strict=True)) for j, b in enumerate(biases)]
        values = [ACTIVATIONS[activation](x) for x in z]
    return values


def main(arguments: list[str] | None = None) -> int:
    """Print the outputs for the inputs on the command line, to six decimals. Exit code 2: bad inputs or files."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python predict.py 0 1")
    parser.add_argument("inputs", nargs="+", type=float, help="one number for each input of the network")
    parser.add_argument(
        "--model",
        type=Path,
        default=Path(__file__).parent,
        metavar="FOLDER",
        help="another folder with config.json and model.safetensors (default: this one)",
    )
    given = parser.parse_args(arguments)
    try:
        layers = load(given.model)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    except (KeyError, TypeError, AttributeError) as error:
        parser.error(f"{given.model} holds no network of the form this program reads: {error!r}")
    n_in = len(layers[0][0])
    if len(given.inputs) != n_in or not all(map(math.isfinite, given.inputs)):
        parser.error(f"the network takes {n_in} finite numbers, got {given.inputs}")
    print(*(f"{value:.6f}" for value in predict(layers, given.inputs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
