"""What functions a ``build_it.py`` has, read from its syntax tree: nothing is run."""

import ast
import copy
import sys


def outline(source: str) -> dict[str, tuple[int, bool]]:
    """The functions and methods defined in `source`: path -> line of the def, and whether it is still a stub.

    A path is ``fit`` or ``Tensor.backward``.

    Raises:
        SyntaxError: where `source` is no Python.
    """
    found: dict[str, tuple[int, bool]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node.lineno, _is_stub(node)
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    found[f"{node.name}.{inner.name}"] = inner.lineno, _is_stub(inner)
    return found


def foreign_imports(source: str) -> dict[str, int]:
    """What `source` imports besides the standard library and other lessons' build_it, with the lines."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "." * node.level]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top not in sys.stdlib_module_names and not (top == "phases" and rest.endswith(".build_it")):
                found.setdefault(name, node.lineno)
    return found


def parameters(source: str) -> dict[str, str]:
    """The names of the parameters of each function in `source`, as one would read them: ``(X, y, *, rtol=...)``."""
    found: dict[str, str] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = _parameters(node.args)
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    found[f"{node.name}.{inner.name}"] = _parameters(inner.args)
    return found


def _parameters(given: ast.arguments) -> str:
    bare = copy.deepcopy(given)
    for one in [*bare.posonlyargs, *bare.args, *bare.kwonlyargs, bare.vararg, bare.kwarg]:
        if one:
            one.annotation = None
    return f"({ast.unparse(bare)})"


def public(source: str) -> list[str]:
    """The paths in `source` that a learner writes: what ``__all__`` names, and the methods of its classes."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = set(ast.literal_eval(node.value))
    paths = []
    for path in outline(source):
        owner, _, name = path.rpartition(".")
        dunder = name.startswith("__") and name.endswith("__")
        if (owner or name) in names and (dunder or not name.startswith("_")):
            paths.append(path)
    return paths


def _is_stub(node: ast.FunctionDef) -> bool:
    """Whether the body is as ``twice start`` leaves it: ``raise NotImplementedError`` alone, or nothing."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    if len(body) != 1:
        return not body
    (only,) = body
    if isinstance(only, ast.Raise) and only.exc is not None:
        return ast.unparse(only.exc).startswith("NotImplementedError")
    return isinstance(only, ast.Pass) or (isinstance(only, ast.Expr) and ast.unparse(only) == "...")
