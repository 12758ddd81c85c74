"""Read digits with a network whose weights nobody trained, and ship a tool that says how large a network is."""

from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

from shared.data import load
from shared.ship.one_file import one_file

HERE = Path(__file__).parent
MNIST = [784, 128, 64, 10]


def means_by_class(X: list[list[float]], labels: list[int]) -> list[list[float]]:
    """The mean of the samples of each class, n_classes × n_features."""
    means = []
    for label in range(max(labels) + 1):
        members = [row for row, other in zip(X, labels, strict=True) if other == label]
        means.append([sum(column) / len(members) for column in zip(*members, strict=True)])
    return means


def tournament(twin: ModuleType, means: list[list[float]]) -> list[Any]:
    """A network that counts, for each class, how many others lie farther from the sample.

    A hidden neuron for each pair (a, b) answers 1 where x is nearer to mean a than to mean b:
    |x - a|² < |x - b|² is 2 x · (a - b) - (|a|² - |b|²) > 0, a weighted sum and a step. The output of a class adds up
    h over the pairs in which it comes first, and 1 - h over those in which it comes second.
    """
    pairs = list(combinations(range(len(means)), 2))
    columns = [[2 * (u - v) for u, v in zip(means[a], means[b], strict=True)] for a, b in pairs]
    squares = [sum(value * value for value in mean) for mean in means]
    hidden = twin.Layer(
        [list(row) for row in zip(*columns, strict=True)], [squares[b] - squares[a] for a, b in pairs], "step"
    )
    votes = [[float(k == a) - float(k == b) for k in range(len(means))] for a, b in pairs]
    return [
        hidden,
        twin.Layer(votes, [float(k) for k in range(len(means))], "identity"),
    ]  # class k is second in k pairs


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Compare every handwritten digit with ten mean images in a 64-45-10 network; write the tool into `folder`."""
    program = one_file(HERE / "build_it.py", HERE / "tool.py")
    (folder / "network-size.py").write_text(program, encoding="utf-8", newline="\n")

    X, labels = load("digits").split()
    kept = [i for i in range(len(X)) if i % 5]
    network = tournament(twin, means_by_class([X[i] for i in kept], [labels[i] for i in kept]))
    votes = twin.predict(network, X[::5])
    right = sum(row.index(max(row)) == label for row, label in zip(votes, labels[::5], strict=True))
    sizes = [len(network[0].weights), *(len(layer.biases) for layer in network)]
    results: dict[str, Any] = {
        "digits, hand-set network": "-".join(map(str, sizes)),
        "digits, accuracy on every fifth row, means of the others": right / len(votes),
        "digits, votes for the winner": sorted({max(row) for row in votes}),
        "digits, parameters": twin.count_parameters(sizes),
    }
    results["784-128-64-10, parameters"] = twin.count_parameters(MNIST)
    results["784-128-64-10, batch 32, multiply-adds"] = twin.count_multiply_adds(MNIST, 32)
    for dtype in ("float16", "float32", "float64"):
        for part, n_bytes in twin.memory(MNIST, 32, dtype).items():
            results[f"784-128-64-10, batch 32, {dtype}, bytes of {part}"] = n_bytes
    return results
