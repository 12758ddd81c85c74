"""One program out of two files: a command, and what it uses of the build_it.py that it imports from."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Part(NamedTuple):
    """A statement at the top of a module, imports aside."""

    text: str  # with its decorators and the comment right above
    makes: set[str]
    uses: set[str]
    is_block: bool


Import = tuple[str, str]  # ("", "math"), or ("pathlib", "Path")


def one_file(numerics: Path, command: Path) -> str:
    """A script that needs no other file.

    Args:
        numerics: build_it.py of a lesson, or a learner's.
        command: the program. It begins with a docstring, and imports names from the lesson's build_it.

    Returns:
        The docstring of `command`; the imports that are used; the definitions of `numerics` that `command` imports,
        and those that they use in turn; the rest of `command`.

    Raises:
        ValueError: the script would lack something: `command` does not import from one build_it alone, or `numerics`
            does not define what it imports, or takes what it needs from another module of this repository.
            Or a name would stand for two things.
    """
    their_imports, theirs = _read(numerics)
    theirs = [part for part in theirs if not part.text.startswith("if __name__")]  # a small example
    our_imports, (docstring, *ours) = _read(command)

    borrowed = {name: our_imports.pop(name) for name in [*our_imports] if _is_ours(our_imports[name])}
    modules = {module for module, _ in borrowed.values()}
    if len(modules) != 1 or not min(modules).endswith(".build_it"):
        raise ValueError(f"{command.name} must import names from one build_it, not from {sorted(modules)}")
    lesson = "/".join(min(modules).split(".")[1:3]).replace("_", "-")

    wanted = {what for _, what in borrowed.values()}
    if missing := wanted - _union(part.makes for part in theirs):
        raise ValueError(f"{numerics.name} of {lesson} does not define {', '.join(sorted(missing))}")
    while more := _union(part.uses for part in theirs if part.makes & wanted) - wanted:
        wanted |= more
    chosen = [part for part in theirs if part.makes & wanted]
    their_imports = {name: origin for name, origin in their_imports.items() if name in wanted}
    if elsewhere := [name for name, origin in their_imports.items() if _is_ours(origin)]:
        raise ValueError(f"{numerics.name} of {lesson} takes {', '.join(elsewhere)} from another module")

    own = _union(part.makes for part in ours)
    differ = {name for name, origin in our_imports.items() if their_imports.get(name, origin) != origin}
    taken = _union(part.makes for part in chosen)
    if clash := taken & (own | set(our_imports)) | set(their_imports) & own | differ:
        raise ValueError(f"{', '.join(sorted(clash))}: in {numerics.name} one thing, in {command.name} another")

    used = _union(part.uses for part in ours)
    imports = {*their_imports.values(), *(origin for name, origin in our_imports.items() if name in used)}
    origin = f"# Made from build_it.py and {command.name} of the lesson {lesson} of Twice (MIT)."
    head = Part(f"#!/usr/bin/env python3\n{docstring.text}\n\n{origin}\n\n{_as_text(imports)}", set(), set(), True)
    text, before = head.text, head
    for part in [*chosen, *ours]:
        text += ("\n\n\n" if part.is_block or before.is_block else "\n") + part.text
        before = part
    return text + "\n"


def _read(file: Path) -> tuple[dict[str, Import], list[Part]]:
    """The imports of a module by the name that each makes, and the other statements, without the marks for learners."""
    source = file.read_text(encoding="utf-8-sig")
    lines = source.splitlines()
    imports: dict[str, Import] = {}
    parts = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                what = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
                module = getattr(node, "module", "")
                imports[alias.asname or alias.name.partition(".")[0]] = (module, what)
            continue
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))]) - 1
        while first and lines[first - 1].startswith("#"):
            first -= 1
        text = "\n".join(lines[first : node.end_lineno]).replace("  # given\n", "\n")
        names = [inner for inner in ast.walk(node) if isinstance(inner, ast.Name)]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made = {node.name}
        else:
            made = {name.id for name in names if isinstance(name.ctx, ast.Store)}
        parts.append(Part(text, made, {name.id for name in names}, hasattr(node, "body")))
    return imports, parts


def _union(sets: Iterable[set[str]]) -> set[str]:
    return set().union(*sets)


def _is_ours(origin: Import) -> bool:
    """Whether an import is from this repository, which is not there where the script runs."""
    module, what = origin
    return (module or what).startswith(("phases.", "shared."))


def _as_text(imports: set[Import]) -> str:
    """One line for each module, sorted as everywhere here."""
    modules = {module for module, _ in imports if module}
    plain = sorted(f"import {what}" for module, what in imports if not module)
    named = {
        module: ", ".join(sorted(what for other, what in imports if other == module)) for module in sorted(modules)
    }
    return "\n".join(plain + [f"from {module} import {names}" for module, names in named.items()])
