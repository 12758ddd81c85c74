"""Train a small digit reader with batch norm, ask it in the wrong mode, and ship a tool that folds batch norms."""

import math
import struct
from operator import mul
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from phases.deep_learning_core.normalization.tool import Tensor, write

from shared.data import load
from shared.ship.one_file import one_file

HERE = Path(__file__).parent
HIDDEN, STEPS, BATCH, LEARNING_RATE = 16, 50, 32, 0.5
EVERY = 9  # one digit of so many is kept for the test

Matrix = list[list[float]]


def matmul(A: Matrix, B: Matrix) -> Matrix:
    """A B."""
    columns = list(zip(*B, strict=True))
    return [[sum(map(mul, row, column)) for column in columns] for row in A]


def transpose(A: Matrix) -> Matrix:
    """Aᵀ."""
    return [list(column) for column in zip(*A, strict=True)]


def digits() -> tuple[tuple[Matrix, list[int]], tuple[Matrix, list[int]]]:
    """(X, y) to train on and (X, y) to test with; pixels from 0 to 1."""
    X, y = load("digits").split()
    X = [[pixel / 16 for pixel in row] for row in X]
    return (
        ([x for i, x in enumerate(X) if i % EVERY], [label for i, label in enumerate(y) if i % EVERY]),
        (X[::EVERY], y[::EVERY]),
    )


def logits(twin: ModuleType, network: dict[str, Any], X: Matrix, running: Any) -> Matrix:
    """Linear, batch norm, ReLU, linear; `running` is None in training mode."""
    Z = twin.batch_norm(matmul(X, network["W1"]), network["gamma"], network["beta"], running)
    H = [[max(z, 0.0) for z in row] for row in Z]
    return [[z + b for z, b in zip(row, network["b2"], strict=True)] for row in matmul(H, network["W2"])]


def train(twin: ModuleType, X: Matrix, y: list[int]) -> tuple[dict[str, Any], Any, list[float]]:
    """The network, its running statistics and the loss of each step, by gradient descent on mini-batches."""
    rng = Random(0)
    network = {
        "W1": [[rng.gauss(0, 1 / 8) for _ in range(HIDDEN)] for _ in range(64)],
        "gamma": [1.0] * HIDDEN,
        "beta": [0.0] * HIDDEN,
        "W2": [[rng.gauss(0, 1 / 4) for _ in range(10)] for _ in range(HIDDEN)],
        "b2": [0.0] * 10,
    }
    running, losses = twin.initial_statistics(HIDDEN), []
    for _ in range(STEPS):
        chosen = rng.sample(range(len(X)), BATCH)
        loss, gradients, running = step(twin, network, [X[i] for i in chosen], [y[i] for i in chosen], running)
        losses.append(loss)
        network = {name: descend(network[name], gradients[name]) for name in network}
    return network, running, losses


def step(
    twin: ModuleType, network: dict[str, Any], X: Matrix, y: list[int], running: Any
) -> tuple[float, dict[str, Any], Any]:
    """Cross-entropy of one batch, its gradients, and the running statistics after it."""
    S = matmul(X, network["W1"])
    Z = twin.batch_norm(S, network["gamma"], network["beta"])
    H = [[max(z, 0.0) for z in row] for row in Z]
    to_logits, loss = [], 0.0
    for row, label in zip(matmul(H, network["W2"]), y, strict=True):
        exponentials = [math.exp(z + b) for z, b in zip(row, network["b2"], strict=True)]
        p = [e / sum(exponentials) for e in exponentials]
        loss -= math.log(p[label]) / len(y)
        to_logits.append([(p_k - (k == label)) / len(y) for k, p_k in enumerate(p)])
    to_H = matmul(to_logits, transpose(network["W2"]))
    to_Z = [[g if z > 0 else 0.0 for g, z in zip(*rows, strict=True)] for rows in zip(to_H, Z, strict=True)]
    normalization = twin.batch_norm_backward(S, network["gamma"], to_Z)
    gradients = {
        "W1": matmul(transpose(X), normalization.input),
        "gamma": normalization.weight,
        "beta": normalization.bias,
        "W2": matmul(transpose(H), to_logits),
        "b2": [sum(column) for column in zip(*to_logits, strict=True)],
    }
    return loss, gradients, twin.update_statistics(running, S)


def descend(parameter: Any, gradient: Any) -> Any:
    """A step against the gradient, in a vector or a matrix."""
    if isinstance(parameter, list):
        return [descend(p, g) for p, g in zip(parameter, gradient, strict=True)]
    return parameter - LEARNING_RATE * gradient


def right(outputs: Matrix, y: list[int]) -> int:
    """How many of the largest logits are the label's."""
    return sum(row.index(max(row)) == label for row, label in zip(outputs, y, strict=True))


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Train with `twin`, write the tool and the network into `folder`, and return what was measured."""
    (X, y), (X_test, y_test) = digits()
    network, running, losses = train(twin, X, y)

    def in_training_mode(order: list[int], size: int) -> int:
        batches = [order[i : i + size] for i in range(0, len(order) - len(order) % size, size)]
        return sum(
            right(logits(twin, network, [X_test[i] for i in batch], None), [y_test[i] for i in batch])
            for batch in batches
        )

    shuffled = Random(1).sample(range(len(y_test)), len(y_test))
    by_label = sorted(range(len(y_test)), key=y_test.__getitem__)
    results = {
        "loss, first step": losses[0],
        "loss, mean of the last 10 steps": sum(losses[-10:]) / 10,
        "digits in the test": len(y_test),
        "right, in evaluation mode": right(logits(twin, network, X_test, running), y_test),
        "right, in training mode, batches of 50": in_training_mode(shuffled, 50),
        "right, in training mode, batches of 10": in_training_mode(shuffled, 10),
        "right, in training mode, batches of 2": in_training_mode(shuffled, 2),
        "right, in training mode, batches of 10, sorted by label": in_training_mode(by_label, 10),
    }
    folded = twin.fold_batch_norm(transpose(network["W1"]), None, running, network["gamma"], network["beta"])
    results["bias of the first unit after folding"] = folded[1][0]

    program = one_file(HERE / "build_it.py", HERE / "tool.py")
    (folder / "fold-batchnorm.py").write_text(program, encoding="utf-8", newline="\n")
    tensors = {
        "0.weight": transpose(network["W1"]),
        "1.weight": network["gamma"],
        "1.bias": network["beta"],
        "1.running_mean": running.mean,
        "1.running_var": running.variance,
        "3.weight": transpose(network["W2"]),
        "3.bias": network["b2"],
    }
    count = Tensor("I64", [], struct.pack("<q", running.num_batches_tracked))
    packed = {name: as_float32(values) for name, values in tensors.items()} | {"1.num_batches_tracked": count}
    write(folder / "digits.safetensors", packed, {"layers": "Linear BatchNorm1d ReLU Linear"})
    return results


def as_float32(values: Any) -> Tensor:
    """A vector or a matrix, rounded."""
    flat = [v for row in values for v in row] if isinstance(values[0], list) else values
    shape = [len(values), len(values[0])] if isinstance(values[0], list) else [len(values)]
    return Tensor("F32", shape, struct.pack(f"<{len(flat)}f", *flat))
