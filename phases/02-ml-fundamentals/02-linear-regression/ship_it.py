"""Fit the diabetes data, and ship a tool that does the same for any CSV file."""

import math
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

from shared.data import load
from shared.ship.one_file import one_file

HERE = Path(__file__).parent


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Regress the disease's progression on ten measurements of 442 patients; write the tool into `folder`."""
    program = one_file(HERE / "build_it.py", HERE / "tool.py")
    (folder / "regress.py").write_text(program, encoding="utf-8", newline="\n")
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
