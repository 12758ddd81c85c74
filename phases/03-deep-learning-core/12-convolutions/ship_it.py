"""Train a small convolutional network on the 8×8 digits, measure it beside a dense one, and ship it.

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
from typing import Any, NamedTuple

from shared.data import load

Matrix = list[list[float]]
Images = list[list[Matrix]]
Samples = tuple[Images, list[int]]  # n × 1 × 8 × 8 pixels from 0 to 1, and the digits

SEED, LARGEST = 0, 16  # the darkest pixel
N_HELD_OUT = 360  # a fifth: never trained on, and nothing is chosen by them
N_VALIDATION = 288  # a fifth of the rest: the choice is made by them, and then they train with the others
BATCH_SIZE, EPOCHS = 16, 2
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # of Adam
RATES = (0.01, 0.02, 0.04, 0.08)
MOVES = (0, -1), (0, 1), (-1, 0), (1, 0)  # left, right, up, down


class Kind(NamedTuple):
    """What tells one network from another; the learning rate is the best of RATES, on the validation samples."""

    n_kernels: int
    kernel_size: int
    padding: int
    pooling: int
    rate: float

    @property
    def side(self) -> int:
        """Of what the dense layer reads of each kernel."""
        return (8 + 2 * self.padding - self.kernel_size + 1) // self.pooling


CONVOLUTIONAL = Kind(n_kernels=8, kernel_size=3, padding=1, pooling=2, rate=0.04)
DENSE = Kind(n_kernels=16, kernel_size=8, padding=0, pooling=1, rate=0.04)  # kernels as large as the image


@dataclass
class Network:
    """A convolution, max pooling, ReLU, and a dense layer.

    ReLU after the pooling gives the same numbers and gradients as before it, and has a quarter of the work.

    Attributes:
        parameters: "conv.weight", "conv.bias", "out.weight" (10 × n) and "out.bias".
        kind: the sizes.
    """

    parameters: dict[str, Any]
    kind: Kind

    def hidden(self, twin: ModuleType, x: Images) -> tuple[Matrix, list[list[int]]]:
        """What the dense layer reads, a row for each image, and the place where each number won its window."""
        weight, bias = self.parameters["conv.weight"], self.parameters["conv.bias"]
        y = twin.conv2d_im2col(x, weight, bias, padding=self.kind.padding)
        pooled, indices = twin.max_pool2d(y, self.kind.pooling)
        return [[h if h > 0 else 0.0 for h in row] for row in flat(pooled)], flat(indices)

    def dense(self, H: Matrix) -> Matrix:
        """n × 10 logits."""
        Z = matmul(H, transpose(self.parameters["out.weight"]))
        return [[z + b for z, b in zip(row, self.parameters["out.bias"], strict=True)] for row in Z]

    def logits(self, twin: ModuleType, x: Images) -> Matrix:
        """n × 10."""
        return self.dense(self.hidden(twin, x)[0])

    def step(self, twin: ModuleType, x: Images, labels: list[int]) -> tuple[float, dict[str, Any]]:
        """The loss of a batch, and its gradients."""
        H, indices = self.hidden(twin, x)
        loss, G = cross_entropy(self.dense(H), labels)
        to_H = through_relu(matmul(G, self.parameters["out.weight"]), H)
        to_y = swapped([self.to_winners(*rows) for rows in zip(to_H, indices, strict=True)])
        # dL/dweight alone, as nobody needs dL/dx: the images' correlation with dL/dy, with the samples as channels
        to_kernels = swapped(twin.conv2d_im2col(swapped(x), to_y, padding=self.kind.padding))
        return loss, {
            "conv.weight": to_kernels,
            "conv.bias": [sum(row) for row in flat(to_y)],
            "out.weight": matmul(transpose(G), H),
            "out.bias": [sum(g) for g in transpose(G)],
        }

    def to_winners(self, gradients: list[float], indices: list[int]) -> list[Matrix]:
        """The backward pass of the max pooling, for one image: each gradient goes to the place that won its window."""
        n, size = self.kind.side**2, self.kind.side * self.kind.pooling
        planes = []
        for its_gradients, its_indices in zip(cut(gradients, n), cut(indices, n), strict=True):
            numbers = [0.0] * size**2
            for g, index in zip(its_gradients, its_indices, strict=True):
                numbers[index] = g  # windows do not overlap
            planes.append(cut(numbers, size))
        return planes


def matmul(A: Matrix, B: Matrix) -> Matrix:
    """A B."""
    columns = transpose(B)
    return [[sum(map(mul, row, column)) for column in columns] for row in A]


def transpose(M: Matrix) -> Matrix:
    """Mᵀ."""
    return [list(column) for column in zip(*M, strict=True)]


def flat(images: list[Any]) -> list[Any]:
    """Each image as one row of numbers."""
    return [[v for plane in image for row in plane for v in row] for image in images]


def cut(values: list[Any], size: int) -> list[Any]:
    """Pieces of `size` values each."""
    return [values[i : i + size] for i in range(0, len(values), size)]


def swapped(images: Images) -> Images:
    """Samples and channels exchanged."""
    return [list(planes) for planes in zip(*images, strict=True)]


def through_relu(G: Matrix, H: Matrix) -> Matrix:
    """The gradient that ReLU lets through: where its output is above 0."""
    return [[g if h > 0 else 0.0 for g, h in zip(*rows, strict=True)] for rows in zip(G, H, strict=True)]


def cross_entropy(logits: Matrix, labels: list[int]) -> tuple[float, Matrix]:
    """The mean over the batch of -log softmax at the label, and its gradient (p - y) / n."""
    loss, gradient = 0.0, []
    for row, label in zip(logits, labels, strict=True):
        exponentials = [math.exp(z - max(row)) for z in row]
        p = [e / sum(exponentials) for e in exponentials]
        loss -= math.log(p[label]) / len(labels)
        gradient.append([(p_k - (k == label)) / len(labels) for k, p_k in enumerate(p)])
    return loss, gradient


def initial(rng: Random, kind: Kind) -> Network:
    """He's initialization for the layer in front of ReLU, 1/√n_in for the last; biases 0."""

    def weights(shape: tuple[int, ...], std: float) -> Any:
        return rng.gauss(0, std) if not shape else [weights(shape[1:], std) for _ in range(shape[0])]

    n_kernels, size, n = kind.n_kernels, kind.kernel_size, kind.n_kernels * kind.side**2
    first = {"conv.weight": weights((n_kernels, 1, size, size), math.sqrt(2) / size), "conv.bias": [0.0] * n_kernels}
    return Network(first | {"out.weight": weights((10, n), 1 / math.sqrt(n)), "out.bias": [0.0] * 10}, kind)


def train(twin: ModuleType, samples: Samples, kind: Kind) -> tuple[Network, list[float]]:
    """The network and the loss of each step, by Adam; the learning rate falls linearly to 0."""
    rng = Random(SEED)
    losses: list[float] = []
    network = initial(rng, kind)
    m, v = ({name: zeros(p) for name, p in network.parameters.items()} for _ in range(2))
    x, labels = samples
    n_steps = EPOCHS * (len(x) // BATCH_SIZE)
    while len(losses) < n_steps:
        order = rng.sample(range(len(x)), len(x))
        for start in range(0, len(x) - BATCH_SIZE + 1, BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            loss, gradients = network.step(twin, [x[i] for i in batch], [labels[i] for i in batch])
            now, t = kind.rate * (1 - len(losses) / n_steps), len(losses) + 1
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
    network, losses = train(twin, training, CONVOLUTIONAL)
    dense, _ = train(twin, training, DENSE)

    moved_images = [shifted(image, *MOVES[i % 4]) for i, image in enumerate(x)]

    results: dict[str, Any] = {"samples trained on": len(training[0]), "steps": len(losses)}
    for step in (1, 10, 100, len(losses)):
        results[f"loss of step {step}"] = losses[step - 1]
    for name, model in (("convolutional", network), ("dense", dense)):
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
    for name, kind in (("convolutional", CONVOLUTIONAL), ("dense", DENSE)):
        for rate in RATES:
            model, _ = train(use_it, learning, kind._replace(rate=rate))
            score = n_right(use_it, model, kept[-N_VALIDATION:], kept_labels[-N_VALIDATION:])
            print(f"{name}, learning rate {rate}: {score} of {N_VALIDATION} right")
