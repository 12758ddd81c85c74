"""The public names of a ``build_it.py``, cut to a stub, blanked one at a time, and compared with its twin's."""

import argparse
import ast
import builtins
import contextlib
import dis
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any, NoReturn

from shared.curriculum import Lesson, UnknownLessonError, load

GIVEN = "# given"


@dataclass(frozen=True)
class Target:
    """A public function, or a method written in a public class: ``owner.name`` is what a learner writes."""

    owner: Any
    name: str

    @property
    def path(self) -> str:
        """``fit`` or ``Tensor.backward``."""
        return f"{self.owner.__name__}.{self.name}" if isinstance(self.owner, type) else self.name

    @property
    def raw(self) -> Any:
        """The function, property, classmethod or staticmethod as it stands in its owner."""
        return vars(self.owner)[self.name]


def targets(module: ModuleType) -> Iterator[Target]:
    """Everything public in `module` that has a body."""
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, FunctionType):
            yield Target(module, name)
        elif isinstance(value, type) and value.__module__ == module.__name__:
            for attribute, member in vars(value).items():
                function = _function(member)
                public = not attribute.startswith("_") or (attribute.startswith("__") and attribute.endswith("__"))
                # a dataclass writes methods of its own, which are in no file
                if public and function and function.__code__.co_filename == module.__file__:
                    yield Target(value, attribute)


def _function(member: Any) -> FunctionType | None:
    member = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    member = inspect.unwrap(member) if callable(member) else member
    return member if isinstance(member, FunctionType) else None


@contextlib.contextmanager
def blanked(target: Target) -> Iterator[None]:
    """Within this context the target's body is gone, as in a learner's stub."""

    def stub(*arguments: Any, **keywords: Any) -> NoReturn:
        raise NotImplementedError(f"{target.path} is blank")

    raw = target.raw
    wrap: Callable[..., Any] = type(raw) if isinstance(raw, property | classmethod | staticmethod) else lambda f: f
    setattr(target.owner, target.name, wrap(stub))
    try:
        yield
    finally:
        setattr(target.owner, target.name, raw)


def interface_differences(built: ModuleType, used: ModuleType) -> list[str]:
    """How the twins' public names and signatures differ; an empty list where they do not."""
    found = []
    if sorted(built.__all__) != sorted(used.__all__):
        only = [
            f"only in {m.__name__.rpartition('.')[2]}: {sorted(set(m.__all__) - set(o.__all__))}"
            for m, o in ((built, used), (used, built))
            if set(m.__all__) - set(o.__all__)
        ]
        return [f"__all__ differs; {'; '.join(only)}"]
    for name in built.__all__:
        one, other = getattr(built, name), getattr(used, name)
        if isinstance(one, type) != isinstance(other, type):
            found.append(f"{name} is a class in one twin and not in the other")
        elif isinstance(one, type):
            found += _class_differences(name, one, other, used.__name__)
        elif callable(one):
            found += _signature_differences(name, one, other, used.__name__)
    return found


def _class_differences(name: str, one: type, other: type, own: str) -> list[str]:
    found = []
    if one.__init__ is not object.__init__ or other.__init__ is not object.__init__:  # type: ignore[misc]
        found += _signature_differences(name, one, other, own)
    for attribute, member in vars(one).items():
        if attribute.startswith("_"):
            continue
        if not hasattr(other, attribute) and attribute not in getattr(other, "__annotations__", {}):
            found.append(f"{name}.{attribute} is missing in use_it")
        elif isinstance(member, FunctionType) and callable(theirs := getattr(other, attribute)):
            found += _signature_differences(f"{name}.{attribute}", member, theirs, own)
    return found


def _signature_differences(name: str, one: Any, other: Any, own: str) -> list[str]:
    """Names, order, kinds and defaults of parameters, where use_it writes the function itself (its module is `own`).

    What it takes from the framework as it stands may offer more, or be written in C, which tells nothing.
    """
    if getattr(other, "__module__", None) != own:
        return []
    signatures = [inspect.signature(value) for value in (one, other)]
    shapes = [
        [
            (p.name, p.kind, p.default if p.default is inspect.Parameter.empty else repr(p.default))
            for p in s.parameters.values()
        ]
        for s in signatures
    ]
    if shapes[0] == shapes[1]:
        return []
    plain = [str(s.replace(return_annotation=inspect.Signature.empty)) for s in signatures]
    return [f"{name}{plain[0]} in build_it is {name}{plain[1]} in use_it"]


def imports(source: str) -> dict[str, int]:
    """The dotted names that `source` imports, each with the line where it first does.

    ``from phases.x.y import build_it`` is ``phases.x.y.build_it``.
    """
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or "." * node.level
            ours = module.startswith("phases") and not module.endswith("build_it")
            names = [f"{module}.{alias.name}" for alias in node.names] if ours else [module]
        elif isinstance(node, ast.Name) and node.id == "__import__":
            names = ["__import__"]
        elif isinstance(node, ast.Attribute) and node.attr == "import_module":
            names = ["import_module"]
        else:
            continue
        for name in names:
            found.setdefault(name, node.lineno)
    return found


def foreign_imports(source: str, allowed: set[str]) -> dict[str, int]:
    """What `source` imports outside the standard library and the dotted names in `allowed`, with the lines."""
    foreign = {name: line for name, line in imports(source).items() if name not in allowed}
    return {name: line for name, line in foreign.items() if name.partition(".")[0] not in sys.stdlib_module_names}


def may_import(lesson: Lesson) -> set[str]:
    """What the build_it of `lesson` may import besides the standard library: the build_it of lessons before it."""
    return {before.module("build_it") for before in load(lesson.root).path_to(lesson)[:-1]}


def stub(source: str) -> str:
    """Cut `source` to what a learner starts from.

    Imports, constants, signatures and docstrings stay; the bodies of public functions and methods become ``...`` to
    write; private helpers go, unless their ``def`` line ends with ``# given``. Comments and layout outside of what
    is cut stay as they are.
    """
    tree = ast.parse(source)
    lines = source.splitlines()
    cuts: list[tuple[int, int, list[str]]] = []  # first line, last line (1-based, inclusive), what comes instead

    def visit(body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.If) and ast.unparse(node.test).startswith("__name__"):
                continue
            if isinstance(node, ast.ClassDef):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                if node.name.startswith("_") and GIVEN not in lines[node.lineno - 1]:
                    cuts.append((first, node.end_lineno or first, []))
                else:
                    visit(node.body)
            elif isinstance(node, ast.FunctionDef):
                _cut_function(node)

    def _cut_function(node: ast.FunctionDef) -> None:
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        signature_end = node.body[0].lineno - 1
        given = any(GIVEN in line for line in lines[node.lineno - 1 : signature_end])
        dunder = node.name.startswith("__") and node.name.endswith("__")
        if given:
            return
        if node.name.startswith("_") and not dunder:
            cuts.append((first, node.end_lineno or first, []))
            return
        docstring = isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
        start = (node.body[0].end_lineno or 0) + 1 if docstring else node.body[0].lineno
        end = node.end_lineno or start
        indent = " " * node.body[0].col_offset
        blank = f"{indent}raise NotImplementedError  # yours to write"
        if docstring and len(node.body) == 1:
            return
        if start > end or node.body[0].lineno == node.lineno:  # a body on the line of its def
            head = lines[node.lineno - 1][: node.body[0].col_offset].rstrip()
            cuts.append((node.lineno, end, [head, " " * (node.col_offset + 4) + blank.strip()]))
            return
        cuts.append((start, end, [blank]))

    visit(tree.body)
    for first, last, instead in sorted(cuts, reverse=True):
        lines[first - 1 : last] = instead
        if not instead:  # with the blank lines (and comments) that led to it
            i = first - 2
            while i >= 0 and lines[i].strip() == "":
                del lines[i]
                i -= 1
            if first - 1 <= len(lines) and i >= 0:
                following = next((line for line in lines[i + 1 :] if line.strip()), "")
                lines[i + 1 : i + 1] = [""] if following.startswith(" ") else []
    return _tidy("\n".join(lines))


def _tidy(text: str) -> str:
    """Two blank lines between top-level definitions, as the stub had before private ones went."""
    out: list[str] = []
    for line in text.splitlines():
        top = line.startswith(("def ", "class ", "@", "if __name__"))
        if top and out and not out[-1].startswith(("@", "#")):
            while out and out[-1] == "":
                out.pop()
            out += ["", ""]
        out.append(line)
    return "\n".join(out).rstrip() + "\n"


def lost_helpers(source: str) -> list[str]:
    """Names that the stub of `source` still uses, and that its cutting took away: helpers to mark ``# given``."""
    text = stub(source)
    defined = set(dir(builtins))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
        elif isinstance(node, ast.alias):
            defined.add((node.asname or node.name).partition(".")[0])
    codes, lost = [compile(text, "stub", "exec")], set()
    while codes:
        code = codes.pop()
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        loads = ("LOAD_GLOBAL", "LOAD_NAME")
        lost |= {step.argval for step in dis.get_instructions(code) if step.opname in loads} - defined
    return sorted(name for name in lost if not name.startswith("__"))


def main() -> None:
    """Print the stub of a lesson: ``python -m shared.proof.interface LESSON``."""
    parser = argparse.ArgumentParser(prog="python -m shared.proof.interface", description="Print a lesson's stub.")
    parser.add_argument("lesson")
    try:
        lesson = load().find(parser.parse_args().lesson)
    except UnknownLessonError as error:
        parser.error(str(error))
    print(stub((lesson.folder / "build_it.py").read_text(encoding="utf-8")), end="")


if __name__ == "__main__":
    main()
