"""Ask of real data whether a line separates them, and ship a tool that asks it of any CSV file."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from phases.deep_learning_core.the_perceptron.tool import standardized

from shared.data import Table, load
from shared.ship.one_file import one_file

HERE = Path(__file__).parent

INPUTS = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
GATES = {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1], "XOR": [0, 1, 1, 0]}


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Learn gates and irises with `twin`, write the tool into `folder`, and return what was measured."""
    program = one_file(HERE / "build_it.py", HERE / "tool.py")
    (folder / "separable.py").write_text(program, encoding="utf-8", newline="\n")
    iris = load("iris")
    (folder / "iris.csv").write_text(with_class_names(iris), encoding="utf-8", newline="\n")

    results: dict[str, Any] = {}
    for name, y in GATES.items():
        results[f"{name}: mistakes in each epoch"] = twin.fit(INPUTS, y, max_epochs=10).mistakes
    X, y = iris.split()
    X = standardized(X)[0]
    for c, name in enumerate(iris.classes):
        training = twin.fit(X, [int(label == c) for label in y], max_epochs=5)
        results[f"{name} against the rest: mistakes in each epoch"] = training.mistakes
    one_each = twin.fit_one_vs_rest(X, y, n_epochs=10)
    results["one perceptron for each class, 10 epochs: right of 150"] = right(twin.predict_class(one_each, X), y)

    pair = [(row, label - 1) for row, label in zip(X, y, strict=True) if label > 0]
    unseen, answers = zip(*pair[::5], strict=True)
    seen, labels = zip(*(sample for i, sample in enumerate(pair) if i % 5), strict=True)
    of = f"versicolor or virginica, right of the {len(unseen)} not seen, after each epoch"
    trained = twin.fit(list(seen), list(labels), max_epochs=7).perceptrons
    averaged = [twin.fit_averaged(list(seen), list(labels), n_epochs=k) for k in range(1, 8)]
    results[f"{of}: last weights"] = [right(twin.predict(perceptron, list(unseen)), answers) for perceptron in trained]
    results[f"{of}: averaged"] = [right(twin.predict(perceptron, list(unseen)), answers) for perceptron in averaged]
    return results


def right(answers: Sequence[int], y: Sequence[int]) -> int:
    """How many answers are the label."""
    return sum(answer == label for answer, label in zip(answers, y, strict=True))


def with_class_names(table: Table) -> str:
    """A table as CSV text, with the class of each row by its name."""
    lines = [[*(f"{value:g}" for value in row[:-1]), table.classes[row[-1]]] for row in table.rows]
    return "".join(",".join(line) + "\n" for line in [table.columns, *lines])
