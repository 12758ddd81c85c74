"""Fit the diabetes data, and ship a tool that does the same for any CSV file."""

import ast
import math
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

from shared.data import load

HERE = Path(__file__).parent


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Regress the disease's progression on ten measurements of 442 patients; write the tool into `folder`."""
    numerics = (HERE / "build_it.py").read_text(encoding="utf-8")
    command = (HERE / "tool.py").read_text(encoding="utf-8")
    (folder / "regress.py").write_text(one_file(numerics, command), encoding="utf-8", newline="\n")
    shutil.copyfile(HERE / "longley.csv", folder / "longley.csv")

    table = load("diabetes")
    X, y = table.split()
    model, errors = twin.fit(X, y), twin.standard_errors(X, y)
    results: dict[str, Any] = {"intercept": model.intercept, "intercept, standard error": errors[0]}
    for name, coefficient, error in zip(table.columns[:-1], model.coefficients, errors[1:], strict=True):
        results[name] = coefficient
        results[f"{name}, standard error"] = error
    rss = math.fsum(error**2 for error in twin.residuals(model, X, y))
    results["R²"] = twin.r_squared(model, X, y)
    results["residual standard deviation"] = math.sqrt(rss / (len(X) - len(X[0]) - 1))

    kept = [i for i in range(len(X)) if i % 5]
    partial = twin.fit([X[i] for i in kept], [y[i] for i in kept])
    results["R² on every fifth row, fitted to the others"] = twin.r_squared(partial, X[::5], y[::5])
    return results


def one_file(numerics: str, command: str) -> str:
    """A script that needs no other file: the code of build_it.py inside the command that uses it.

    Args:
        numerics: the source of build_it.py.
        command: the source of tool.py, which imports from build_it.

    Returns:
        The docstring of `command`, the imports of both, then the code of both, without what only a module of this
        repository needs: `__all__`, the small example at the end, the import of build_it, the marks for learners.
    """
    docstring = ast.get_docstring(ast.parse(command), clean=False)
    imports: set[str] = set()
    code = []
    unwanted = ("import ", "from ", '"""', "__all__", "if __name__")
    for source, dropped in ((numerics, unwanted), (command, unwanted[:-1])):
        lines = source.splitlines()
        for node in reversed(ast.parse(source).body):
            text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            if text.startswith(("import ", "from ")) and not text.startswith("from phases."):
                imports.add(text)
            if text.startswith(dropped):
                del lines[node.lineno - 1 : node.end_lineno]
        code.append("\n".join(lines).strip().replace("  # given\n", "\n"))
    origin = "# Made from build_it.py and tool.py of the lesson ml-fundamentals/linear-regression of Twice (MIT)."
    in_order = sorted(imports, key=lambda line: (line.startswith("from "), line))
    head = f'#!/usr/bin/env python3\n"""{docstring}"""\n\n{origin}\n\n' + "\n".join(in_order)
    return "\n\n\n".join([head, *code]) + "\n"
