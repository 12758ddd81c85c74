"""Read digits with a network whose weights nobody trained, and ship a tool that says how large a network is."""

import ast
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

from shared.data import load

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


def one_file(numerics: str, command: str) -> str:
    """A script that needs no other file: what the command takes from build_it.py, and the command.

    Args:
        numerics: the source of build_it.py.
        command: the source of tool.py, which imports from build_it.
    """
    tree = ast.parse(command)
    [borrowed] = [node for node in tree.body if ast.unparse(node).startswith("from phases.")]
    wanted, chosen = {alias.name for alias in borrowed.names}, []
    definitions = [node for node in ast.parse(numerics).body if not isinstance(node, ast.If)]
    while new := [node for node in definitions if node not in chosen and _binds(node) & wanted]:
        chosen += new
        wanted |= {inner.id for node in new for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    imports = (ast.Import, ast.ImportFrom)
    head = [node for node in [*chosen, *tree.body[1:]] if isinstance(node, imports) and node is not borrowed]
    code = [node for node in definitions if node in chosen and not isinstance(node, imports)]
    own = [node for node in tree.body[1:] if not isinstance(node, imports)]
    in_order = sorted({ast.unparse(node) for node in head}, key=lambda line: (line.startswith("from "), line))
    text = [_source(numerics, node) for node in code] + [_source(command, node) for node in own]
    origin = "# Made from build_it.py and tool.py of the lesson deep-learning-core/multi-layer-networks of Twice (MIT)."
    start = f'#!/usr/bin/env python3\n"""{ast.get_docstring(tree, clean=False)}"""\n\n{origin}\n\n'
    return start + "\n\n\n".join(["\n".join(in_order), *text]) + "\n"


def _binds(node: ast.stmt) -> set[str]:
    """The names that a statement defines or imports."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {node.name} if isinstance(node, ast.FunctionDef | ast.ClassDef) else set()


def _source(text: str, node: ast.stmt) -> str:
    return "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno]).replace("  # given\n", "\n")


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Compare every handwritten digit with ten mean images in a 64-45-10 network; write the tool into `folder`."""
    numerics = (HERE / "build_it.py").read_text(encoding="utf-8")
    command = (HERE / "tool.py").read_text(encoding="utf-8")
    (folder / "network-size.py").write_text(one_file(numerics, command), encoding="utf-8", newline="\n")

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
