"""Lose a model by the order of its data, leak names into a test, resume in mid-epoch; ship a tool that splits files."""

import math
from array import array
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from phases.deep_learning_core.data_loading import tool

import shared.data
from shared.data import load, load_text
from shared.ship.one_file import one_file

HERE = Path(__file__).parent
DATA = Path(shared.data.__file__).parent
SEED = 1
BATCH, EPOCHS, LEARNING_RATE, N_CLASSES = 10, 5, 1.0, 3

Weights = list[list[float]]
Order = Callable[[int], list[list[int]]]


def flowers() -> list[tuple[array, int]]:
    """Iris, sorted by species as it comes: four centred measurements and a 1 for the bias, and the species."""
    X, y = load("iris").split()
    means = [sum(column) / len(X) for column in zip(*X, strict=True)]
    return [
        (array("d", [*(v - m for v, m in zip(row, means, strict=True)), 1.0]), label)
        for row, label in zip(X, y, strict=True)
    ]


def softmax(z: list[float]) -> list[float]:
    """e^z, divided by its sum."""
    exponentials = [math.exp(v - max(z)) for v in z]
    return [e / sum(exponentials) for e in exponentials]


def scores(weights: Weights, x: Any) -> list[float]:
    """One for each class."""
    return [sum(w * v for w, v in zip(row, x, strict=True)) for row in weights]


def step(weights: Weights, rows: list[list[float]], labels: list[int]) -> Weights:
    """Softmax regression: one step of gradient descent on the mean cross-entropy of a batch."""
    errors = [
        [p - (k == label) for k, p in enumerate(softmax(scores(weights, x)))]
        for x, label in zip(rows, labels, strict=True)
    ]
    return [
        [
            w - LEARNING_RATE * sum(error[k] * x[j] for error, x in zip(errors, rows, strict=True)) / len(rows)
            for j, w in enumerate(row)
        ]
        for k, row in enumerate(weights)
    ]


def start() -> Weights:
    """All zero."""
    return [[0.0] * 5 for _ in range(N_CLASSES)]


def train(twin: ModuleType, order: Order) -> list[int]:
    """How many of 50 flowers of each species are right after the training, whose batches come in this order."""
    data, weights = flowers(), start()
    loader = twin.DataLoader(data, order)
    for _ in range(EPOCHS):
        for rows, labels in loader:
            weights = step(weights, rows, labels)
    right = [0] * N_CLASSES
    for x, label in data:
        found = scores(weights, x)
        right[label] += found.index(max(found)) == label
    return right


def orders(twin: ModuleType, n: int) -> dict[str, Order]:
    """From no shuffle to a whole one."""
    kinds = {"as in the file": lambda epoch: range(n)}
    for size in (15, 50, 100):
        kinds[f"through a buffer of {size}"] = lambda epoch, size=size: twin.shuffle_buffer(range(n), size, epoch)
    kinds["shuffled"] = lambda epoch: twin.random_sampler(n, twin.Generator(epoch))
    return {
        name: lambda epoch, order=order: list(twin.batch_sampler(order(epoch), BATCH)) for name, order in kinds.items()
    }


def interrupted(twin: ModuleType, order: Order, stop: int) -> list[Weights]:
    """The weights after two epochs: without a break, and stopped after so many batches and resumed from the state."""
    data = flowers()
    results = []
    for breaks in (False, True):
        loader, weights = twin.DataLoader(data, order), start()
        if breaks:
            for _, (rows, labels) in zip(range(stop), loader, strict=False):
                weights = step(weights, rows, labels)
            state = loader.state_dict()
            loader = twin.DataLoader(data, order)
            loader.load_state_dict(state)
        while loader.state_dict()["epoch"] < 2:
            for rows, labels in loader:
                weights = step(weights, rows, labels)
        results.append(weights)
    return results


def leaky_example(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Two parts of iris, split by row, for the tool to check: two of its 150 rows are the same."""
    top, *rows = (DATA / "iris.csv").read_text(encoding="utf-8").splitlines()
    files = [folder / "by-row-train.csv", folder / "by-row-test.csv"]
    for file, part in zip(files, twin.random_split(rows, [0.8, 0.2], twin.Generator(SEED)), strict=True):
        file.write_text("\n".join([top, *part]) + "\n", encoding="utf-8", newline="\n")
    return {f"iris split by row with seed {SEED}: leaks": len(tool.leaks(files, []))}


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Measure with `twin`, write the tool into `folder`, and return what was measured."""
    results: dict[str, Any] = {}
    kinds = orders(twin, len(flowers()))
    for name, order in kinds.items():
        results[f"right of 50 in each species, batches {name}"] = train(twin, order)
    whole, resumed = interrupted(twin, kinds["shuffled"], 7)
    results["a weight after two epochs"] = whole[0][0]
    results["resumed after 7 batches, every weight is the same"] = whole == resumed

    names = load_text("names").splitlines()
    parts = [set(part) for part in twin.random_split(names, [0.8, 0.1, 0.1], twin.Generator(0))]
    results |= leaky_example(twin, folder)
    results["names, and how many of them differ"] = [len(names), len(set(names))]
    results["split by row: different names in the test, and those of them that are in training"] = [
        len(parts[2]),
        len(parts[2] & parts[0]),
    ]
    with TemporaryDirectory() as temporary:
        file = Path(temporary) / "names.csv"
        file.write_text("\n".join(["name", *names]) + "\n", encoding="utf-8")
        plan = tool.make_plan(file, tool.PARTS, ["name"], [], 0)
        counts = tool.split(file, plan, Path(temporary), force=False, memory=None)
        results["split by key: rows in train, validation and test"] = [count.total() for count in counts]
        results["split by key: leaks"] = len(tool.leaks([Path(temporary) / f"{part}.csv" for part in plan.names], []))

    program = one_file(HERE / "build_it.py", HERE / "tool.py")
    (folder / "split-data.py").write_text(program, encoding="utf-8", newline="\n")
    return results
