"""Train a network on XOR, measure how reliably that works, and write it as safetensors with a predictor."""

import json
import shutil
import struct
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

X = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
Y = [[0.0], [1.0], [1.0], [0.0]]
RECIPE = {"loss": "squared_error", "learning_rate": 4.0}
STARTS, STEPS = 20, 100  # for the count of starts that learn
SEED, SHIPPED_STEPS = 0, 500  # for the network that ships


def start(twin: ModuleType, hidden: int, seed: int) -> list[Any]:
    """A network 2-`hidden`-1, tanh and then sigmoid, before training."""
    return twin.initialize([2, hidden, 1], ["tanh", "sigmoid"], Random(seed))


def accuracy(outputs: list[list[float]], targets: list[list[float]]) -> float:
    """The share of samples whose output is on the target's side of 0.5."""
    pairs = zip(outputs, targets, strict=True)
    return sum((output > 0.5) == (target > 0.5) for [output], [target] in pairs) / len(outputs)


def noisy(sigma: float, copies: int, rng: Random) -> tuple[list[list[float]], list[list[float]]]:
    """`copies` of each row of XOR, with Gaussian noise of standard deviation `sigma` on its inputs."""
    samples = [[rng.gauss(value, sigma) for value in row] for row in X for _ in range(copies)]
    return samples, [target for target in Y for _ in range(copies)]


def write_safetensors(file: Path, tensors: dict[str, tuple[list[int], list[float]]]) -> None:
    """Name -> (shape, values in row order), as F64: the header's length (u64), the header (JSON), the values.

    The header is padded with spaces to a multiple of 8 bytes, so that the values are aligned.
    See https://github.com/huggingface/safetensors#format
    """
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        packed = struct.pack(f"<{len(values)}d", *values)
        header[name] = {
            "dtype": "F64",
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(packed)],
        }
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)


def write_network(network: list[Any], folder: Path) -> None:
    """config.json, model.safetensors and predict.py, which reads the two."""
    tensors, layers = {}, []
    for i, layer in enumerate(network):
        n_in, n_out = len(layer.weights), len(layer.biases)
        tensors[f"layers.{i}.weights"] = ([n_in, n_out], [w for row in layer.weights for w in row])
        tensors[f"layers.{i}.biases"] = ([n_out], layer.biases)
        layers.append({"n_in": n_in, "n_out": n_out, "activation": layer.activation})
    write_safetensors(folder / "model.safetensors", tensors)
    config = {"task": "exclusive or of two inputs; above 0.5 means that exactly one is 1", "layers": layers}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8", newline="\n")
    shutil.copyfile(Path(__file__).with_name("predict.py"), folder / "predict.py")


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Train with `twin`, write the artifact into `folder`, and return what was measured."""
    results: dict[str, Any] = {}

    flat = twin.initialize([2, 1], ["sigmoid"], Random(SEED))
    _, losses = twin.train(flat, X, Y, **RECIPE, n_steps=STEPS)
    results[f"no hidden layer: loss before step {STEPS}"] = losses[-1]
    for hidden in (2, 4):
        learned = 0
        for seed in range(STARTS):
            network, _ = twin.train(start(twin, hidden, seed), X, Y, **RECIPE, n_steps=STEPS)
            learned += accuracy(twin.predict(network, X), Y) == 1
        results[f"{hidden} hidden units: starts of {STARTS} with all four rows right after {STEPS} steps"] = learned

    network, losses = twin.train(start(twin, 4, SEED), X, Y, **RECIPE, n_steps=SHIPPED_STEPS)
    results[f"shipped network (4 hidden units): loss before step {SHIPPED_STEPS}"] = losses[-1]
    for row, [output] in zip(X, twin.predict(network, X), strict=True):
        results[f"shipped network: output for {row[0]:.0f} {row[1]:.0f}"] = output
    for sigma in (0.1, 0.2, 0.3):
        samples, targets = noisy(sigma, 250, Random(SEED))
        rounded = [[float((a > 0.5) != (b > 0.5))] for a, b in samples]
        results[f"noise of {sigma} on the inputs: accuracy"] = accuracy(twin.predict(network, samples), targets)
        results[f"noise of {sigma} on the inputs: accuracy of rounding them first"] = accuracy(rounded, targets)
    write_network(network, folder)
    return results
