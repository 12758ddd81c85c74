"""The places in a syntax tree where a fault would be noticed: mutation testing and `twice break` put theirs there."""

import ast
from collections.abc import Iterator

Way = tuple[tuple[str, int | None], ...]  # from the root: a field, and the index in it where it is a list


def sites(node: ast.AST, way: Way = ()) -> Iterator[tuple[Way, ast.AST]]:
    """Every expression and statement that a test could notice, with the way to it from the root."""
    if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr):
        yield way, node
        return
    if isinstance(node, ast.If) and ast.unparse(node.test).startswith("__name__"):
        return
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("__all__", "__slots__"):
        return
    yield way, node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_comment", "bases"):
            continue
        if isinstance(node, ast.keyword) and node.arg == "strict":  # zip(strict=True) only guards
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not _is_docstring(child):
                yield from sites(child, (*way, (field, index)))


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
