"""Losses: the mean over a batch, and its gradient by the network's outputs."""

from collections.abc import Callable

import numpy as np

from nn_toolkit.layers import Array

Loss = Callable[[Array, Array], tuple[float, Array]]


def cross_entropy(logits: Array, y: Array) -> tuple[float, Array]:
    """The mean of -log softmax(logits)[label], and its gradient (softmax - one-hot) / n_samples.

    Args:
        logits: n_samples × n_classes.
        y: labels, whole numbers from 0 to n_classes - 1.

    Raises:
        ValueError: a label out of this range.
    """
    n_samples, n_classes = logits.shape
    rows = np.arange(n_samples)
    check_labels(y, n_classes)
    gradient = logits - logits.max(1, keepdims=True)  # an array of its own: the last layer may need its output again
    chosen = gradient[rows, y]
    np.exp(gradient, out=gradient)
    sums = gradient.sum(1, keepdims=True)
    loss = float((np.log(sums[:, 0]) - chosen).mean())  # log of the sum: nothing is 0 here, as the largest term is 1
    gradient /= sums
    gradient[rows, y] -= 1
    gradient /= n_samples
    return loss, gradient


def mse(outputs: Array, targets: Array) -> tuple[float, Array]:
    """The mean over samples and outputs of (output - target)², and its gradient.

    Args:
        outputs: n_samples × n_outputs.
        targets: of the same shape, or labels (whole numbers), which stand for rows with one 1.
    """
    if targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer):
        check_labels(targets, outputs.shape[1])
        targets = np.eye(outputs.shape[1], dtype=outputs.dtype)[targets]
    targets = targets.reshape(len(targets), -1)
    if targets.shape != outputs.shape:
        raise ValueError(f"{targets.shape[1]} targets for each sample, and the network has {outputs.shape[1]} outputs")
    errors = outputs - targets.astype(outputs.dtype, copy=False)
    return float((errors**2).mean()), errors * np.asarray(2 / errors.size, errors.dtype)


def check_labels(y: Array, n_classes: int) -> None:
    """Raise ValueError where a label is no class."""
    if len(y) and not 0 <= y.min() <= y.max() < n_classes:
        place = int(np.flatnonzero((y < 0) | (y >= n_classes))[0])
        raise ValueError(f"label {y[place]} of sample {place}: the network's classes are 0 to {n_classes - 1}")


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "mse": mse}
