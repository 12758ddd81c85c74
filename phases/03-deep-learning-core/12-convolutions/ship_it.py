"""Train a small convolutional network on the 8×8 digits, measure it beside a linear model, and ship it.

``python -m phases.deep_learning_core.convolutions.ship_it`` prints how the hyper-parameters were chosen.
"""

import json
import math
import shutil
import struct
from dataclasses import dataclass
from operator import mul
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from shared.data import load

Matrix = list[list[float]]
Images = list[list[Matrix]]
Samples = tuple[Images, list[int]]  # n × 1 × 8 × 8 pixels from 0 to 1, and the digits

SEED, LARGEST = 0, 16  # the darkest pixel
N_HELD_OUT = 360  # a fifth: never trained on, and nothing is chosen by them
N_VALIDATION = 288  # a fifth of the rest: the choice is made by them, and then they train with the others
BATCH_SIZE, EPOCHS = 16, 2
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # of Adam
LEARNING_RATE, LINEAR_RATE = 0.04, 0.08  # the best of RATES, on the validation samples
RATES = (0.01, 0.02, 0.04, 0.08)
MOVES = (0, -1), (0, 1), (-1, 0), (1, 0)  # left, right, up, down


@dataclass
class Network:
    """A convolution with ReLU and max pooling, where there is one, and a dense layer.

    Attributes:
        parameters: "conv.weight" and "conv.bias", or neither (a linear model); "out.weight" (10 × n) and "out.bias".
    """

    parameters: dict[str, Any]

    @property
    def convolutional(self) -> bool:
        """False for the linear model."""
        return "conv.weight" in self.parameters

    def convolve(self, twin: ModuleType, x: Images) -> Images:
        """The first layer, behind its ReLU: n × 8 × 8 × 8."""
        y = twin.conv2d_im2col(x, self.parameters["conv.weight"], self.parameters["conv.bias"], padding=1)
        return [[[[v if v > 0 else 0.0 for v in row] for row in plane] for plane in image] for image in y]

    def dense(self, H: Matrix) -> Matrix:
        """n × 10 logits."""
        Z = matmul(H, transpose(self.parameters["out.weight"]))
        return [[z + b for z, b in zip(row, self.parameters["out.bias"], strict=True)] for row in Z]

    def logits(self, twin: ModuleType, x: Images) -> Matrix:
        """n × 10."""
        return self.dense(flat(twin.max_pool2d(self.convolve(twin, x), 2)[0] if self.convolutional else x))

    def step(self, twin: ModuleType, x: Images, labels: list[int]) -> tuple[float, dict[str, Any]]:
        """The loss of a batch, and its gradients."""
        y = self.convolve(twin, x) if self.convolutional else x
        H = flat(twin.max_pool2d(y, 2)[0] if self.convolutional else x)
        loss, G = cross_entropy(self.dense(H), labels)
        gradients: dict[str, Any] = {"out.weight": matmul(transpose(G), H), "out.bias": [sum(g) for g in transpose(G)]}
        if self.convolutional:
            to_pooled = [cut(cut(row, 4), 4) for row in matmul(G, self.parameters["out.weight"])]
            to_y = through_relu(twin.max_pool2d_backward(y, 2, to_pooled), y)
            first = twin.conv2d_im2col_backward(x, self.parameters["conv.weight"], to_y, padding=1)
            gradients |= {"conv.weight": first.weight, "conv.bias": first.bias}
        return loss, gradients


def matmul(A: Matrix, B: Matrix) -> Matrix:
    """A B."""
    columns = transpose(B)
    return [[sum(map(mul, row, column)) for column in columns] for row in A]


def transpose(M: Matrix) -> Matrix:
    """Mᵀ."""
    return [list(column) for column in zip(*M, strict=True)]


def flat(images: Images) -> Matrix:
    """Each image as one row of numbers."""
    return [[v for plane in image for row in plane for v in row] for image in images]


def cut(values: list[Any], size: int) -> list[Any]:
    """Pieces of `size` values each."""
    return [values[i : i + size] for i in range(0, len(values), size)]


def through_relu(g: Images, y: Images) -> Images:
    """The gradient that ReLU lets through: where its output is above 0."""
    return [
        [
            [[a if b > 0 else 0.0 for a, b in zip(*rows, strict=True)] for rows in zip(*planes, strict=True)]
            for planes in zip(*images, strict=True)
        ]
        for images in zip(g, y, strict=True)
    ]


def cross_entropy(logits: Matrix, labels: list[int]) -> tuple[float, Matrix]:
    """The mean over the batch of -log softmax at the label, and its gradient (p - y) / n."""
    loss, gradient = 0.0, []
    for row, label in zip(logits, labels, strict=True):
        exponentials = [math.exp(z - max(row)) for z in row]
        p = [e / sum(exponentials) for e in exponentials]
        loss -= math.log(p[label]) / len(labels)
        gradient.append([(p_k - (k == label)) / len(labels) for k, p_k in enumerate(p)])
    return loss, gradient


def initial(rng: Random, *, convolutional: bool) -> Network:
    """He's initialization for the layer in front of ReLU, 1/√n_in for the last; biases 0."""

    def kernels(shape: tuple[int, ...], std: float) -> Any:
        return rng.gauss(0, std) if not shape else [kernels(shape[1:], std) for _ in range(shape[0])]

    first = {"conv.weight": kernels((8, 1, 3, 3), math.sqrt(2 / 9)), "conv.bias": [0.0] * 8}
    n = 8 * 4 * 4 if convolutional else 8 * 8
    last = {"out.weight": kernels((10, n), 1 / math.sqrt(n)), "out.bias": [0.0] * 10}
    return Network(first | last if convolutional else last)


def train(twin: ModuleType, samples: Samples, rate: float, *, convolutional: bool) -> tuple[Network, list[float]]:
    """The network and the loss of each step, by Adam; the learning rate falls linearly to 0."""
    rng = Random(SEED)
    losses: list[float] = []
    network = initial(rng, convolutional=convolutional)
    m, v = ({name: zeros(p) for name, p in network.parameters.items()} for _ in range(2))
    x, labels = samples
    n_steps = EPOCHS * (len(x) // BATCH_SIZE)
    while len(losses) < n_steps:
        order = rng.sample(range(len(x)), len(x))
        for start in range(0, len(x) - BATCH_SIZE + 1, BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            loss, gradients = network.step(twin, [x[i] for i in batch], [labels[i] for i in batch])
            now, t = rate * (1 - len(losses) / n_steps), len(losses) + 1
            for name, p in network.parameters.items():
                adam(p, m[name], v[name], gradients[name], (now, t))
            losses.append(loss)
    return network, losses


def adam(p: Any, m: Any, v: Any, g: Any, rate_and_step: tuple[float, int]) -> None:
    """One step, in place, of nested lists: deep-learning-core/optimizers derives it."""
    if isinstance(p[0], list):
        for parts in zip(p, m, v, g, strict=True):
            adam(*parts, rate_and_step)
        return
    rate, t = rate_and_step
    for i, g_i in enumerate(g):
        m[i] = BETA1 * m[i] + (1 - BETA1) * g_i
        v[i] = BETA2 * v[i] + (1 - BETA2) * g_i * g_i
        p[i] -= rate * (m[i] / (1 - BETA1**t)) / (math.sqrt(v[i] / (1 - BETA2**t)) + EPSILON)


def zeros(p: Any) -> Any:
    """The same nested lists, of zeros."""
    return [zeros(row) for row in p] if isinstance(p, list) else 0.0


def digits() -> tuple[Samples, Samples]:
    """(images, digits) to train on, and those held out."""
    rows = list(load("digits").rows)
    Random(SEED).shuffle(rows)
    images = [[[[pixel / LARGEST for pixel in row[i : i + 8]] for i in range(0, 64, 8)]] for row in rows]
    labels = [int(row[64]) for row in rows]
    return (images[:-N_HELD_OUT], labels[:-N_HELD_OUT]), (images[-N_HELD_OUT:], labels[-N_HELD_OUT:])


def shifted(image: list[Matrix], down: int, right: int) -> list[Matrix]:
    """The image moved by whole pixels; what leaves is lost, and what enters is paper."""

    def pixel(plane: Matrix, row: int, column: int) -> float:
        return plane[row][column] if 0 <= row < 8 and 0 <= column < 8 else 0.0

    return [[[pixel(plane, row - down, column - right) for column in range(8)] for row in range(8)] for plane in image]


def n_right(twin: ModuleType, network: Network, x: Images, labels: list[int]) -> int:
    """How many digits it reads as they are labelled."""
    outputs = network.logits(twin, x)
    return sum(row.index(max(row)) == label for row, label in zip(outputs, labels, strict=True))


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Train with `twin`, write the artifact into `folder`, and return what was measured."""
    training, (x, labels) = digits()
    network, losses = train(twin, training, LEARNING_RATE, convolutional=True)
    linear, _ = train(twin, training, LINEAR_RATE, convolutional=False)

    moved_images = [shifted(image, *MOVES[i % 4]) for i, image in enumerate(x)]

    results: dict[str, Any] = {"samples trained on": len(training[0]), "steps": len(losses)}
    for step in (1, 10, 100, len(losses)):
        results[f"loss of step {step}"] = losses[step - 1]
    for name, model in (("convolutional", network), ("linear", linear)):
        results[f"{name}: parameters"] = sum(count(p) for p in model.parameters.values())
        results[f"{name}: right of {len(x)} held-out digits"] = n_right(twin, model, x, labels)
        results[f"{name}: right, each moved one pixel"] = n_right(twin, model, moved_images, labels)
    results["accuracy on held-out digits"] = results[f"convolutional: right of {len(x)} held-out digits"] / len(x)

    write(network, (x, labels), folder)
    return results


def write(network: Network, samples: Samples, folder: Path) -> None:
    """model.safetensors, config.json, predict.py, and three of the samples to try it on."""
    write_safetensors(folder / "model.safetensors", network.parameters)
    config = {"task": "digits of 8×8 pixels", "labels": list("0123456789"), "largest": LARGEST}
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8", newline="\n")
    shutil.copyfile(Path(__file__).with_name("predict.py"), folder / "predict.py")
    lines = []
    for image, label in list(zip(*samples, strict=True))[:3]:
        lines.append(",".join(f"{pixel * LARGEST:g}" for pixel in flat([image])[0]) + f",{label}")
    (folder / "three.csv").write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")


def count(p: Any) -> int:
    """How many numbers are in nested lists."""
    return sum(map(count, p)) if isinstance(p, list) else 1


def write_safetensors(file: Path, tensors: dict[str, Any]) -> None:
    """As F64: the header's length (u64), the header (JSON, padded to 8 bytes), the values.

    See https://github.com/huggingface/safetensors#format
    """
    header, data = {}, b""
    for name, nested in tensors.items():
        values, shape = nested, [len(nested)]
        while isinstance(values[0], list):
            shape.append(len(values[0]))
            values = [v for row in values for v in row]
        packed = struct.pack(f"<{len(values)}d", *values)
        header[name] = {"dtype": "F64", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)


if __name__ == "__main__":
    from phases.deep_learning_core.convolutions import use_it

    (kept, kept_labels), _ = digits()
    learning = kept[:-N_VALIDATION], kept_labels[:-N_VALIDATION]
    for kind in (True, False):
        for candidate in RATES:
            model, _ = train(use_it, learning, candidate, convolutional=kind)
            score = n_right(use_it, model, kept[-N_VALIDATION:], kept_labels[-N_VALIDATION:])
            kind_name = "convolutional" if kind else "linear"
            print(f"{kind_name}, learning rate {candidate}: {score} of {N_VALIDATION} right")
