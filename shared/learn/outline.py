"""The functions of a ``build_it.py``, by paths like ``fit`` and ``Tensor.T``: from its syntax tree, nothing is run."""

import ast
import copy


def functions(source: str) -> dict[str, ast.FunctionDef]:
    """The functions and methods defined in `source`, by their path.

    Raises:
        SyntaxError: where `source` is no Python.
    """
    found: dict[str, ast.FunctionDef] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{inner.name}": inner for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return found


def outline(source: str) -> dict[str, tuple[int, bool]]:
    """The line of each function's def, and whether it is still a stub."""
    return {path: (node.lineno, _is_stub(node)) for path, node in functions(source).items()}


def parameters(node: ast.FunctionDef) -> str:
    """The parameters as one would read them, without their types: ``(X, y, *, rtol=1e-09)``."""
    bare = copy.deepcopy(node.args)
    for one in [*bare.posonlyargs, *bare.args, *bare.kwonlyargs, bare.vararg, bare.kwarg]:
        if one:
            one.annotation = None
    return f"({ast.unparse(bare)})"


def takes(node: ast.FunctionDef, like: ast.FunctionDef) -> bool:
    """Whether a function can be called as `like` can, also by name; parameters of its own come after those."""
    mine, wanted = node.args, like.args
    names = [one.arg for one in (*mine.posonlyargs, *mine.args)]
    first = [one.arg for one in (*wanted.posonlyargs, *wanted.args)]
    by_name = {one.arg for one in mine.kwonlyargs} | set(names)
    return names[: len(first)] == first and {one.arg for one in wanted.kwonlyargs} <= by_name


def public(source: str) -> list[str]:
    """The paths in `source` that a learner writes: what ``__all__`` names, and the methods of its classes."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = set(ast.literal_eval(node.value))
    paths = []
    for path in functions(source):
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
