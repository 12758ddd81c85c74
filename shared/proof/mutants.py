"""Are a lesson's tests strong? Put one small fault at a time into its ``build_it.py`` and see which go unnoticed.

    python -m shared.proof.mutants ml-fundamentals/linear-regression

Faults are made on the syntax tree: another operator, a sign, a comparison off by its edge, a constant off by one,
operands swapped, a condition that always or never holds, a statement or an error check left out. A fault that no
test notices is printed; each is either a gap in the tests or equivalent to the original. A fault with which the tests
do not end counts as caught, and is counted apart as well. POSIX only (it forks).
"""

import argparse
import ast
import copy
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.curriculum import Lesson, UnknownLessonError, load
from shared.proof.sites import Way, sites

_OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclass(frozen=True)
class Mutant:
    """One fault: `new` in the place that `way` leads to."""

    tree: ast.Module
    way: Way
    kind: str
    old: ast.AST
    new: ast.AST

    @property
    def line(self) -> int:
        return getattr(self.old, "lineno", 0)

    @property
    def source(self) -> str:
        """The whole source with the fault in it."""
        mutated = copy.deepcopy(self.tree)
        _put(mutated, self.way, self.new)
        return ast.unparse(ast.fix_missing_locations(mutated))

    def __str__(self) -> str:
        return f"line {self.line}: {self.kind}: {_short(self.old)}  →  {_short(self.new)}"


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of `source`, in the order of its lines."""
    tree = ast.parse(source)
    for way, node in sites(tree):
        for kind, new in _variants(node):
            yield Mutant(tree, way, kind, node, new)


def _short(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())[:90]


def _put(tree: ast.AST, way: Way, new: ast.AST) -> None:
    *before, (field, index) = way
    for step, i in before:
        tree = getattr(tree, step) if i is None else getattr(tree, step)[i]
    if index is None:
        setattr(tree, field, new)
    else:
        getattr(tree, field)[index] = new


def _variants(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
            yield "operator", ast.BinOp(left, _OPERATORS[type(op)](), right)  # type: ignore[arg-type]
            if isinstance(op, ast.Sub | ast.Div):
                yield "operands swapped", ast.BinOp(right, op, left)
            if isinstance(op, ast.Add | ast.Sub):
                yield "term dropped", left
        case ast.BinOp(left, ast.MatMult(), right):
            yield "operands swapped", ast.BinOp(right, ast.MatMult(), left)
        case ast.AugAssign(target, op, value) if type(op) in _OPERATORS:
            yield "operator", ast.AugAssign(target, _OPERATORS[type(op)](), value)  # type: ignore[arg-type]
            yield "statement dropped", ast.Pass()
        case ast.UnaryOp(ast.USub() | ast.Not(), operand):
            yield "sign", operand
        case ast.Compare(left, [op], right) if type(op) in _OPERATORS:
            yield "comparison", ast.Compare(left, [_OPERATORS[type(op)]()], right)  # type: ignore[list-item]
        case ast.BoolOp(op, values):
            yield "and/or", ast.BoolOp(_OPERATORS[type(op)](), values)  # type: ignore[arg-type]
        case ast.Constant(bool() as value):
            yield "constant", ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield "constant", ast.Constant(value + 1)
        case ast.If() | ast.While() | ast.IfExp():
            for value in (True, False):
                if not (value and isinstance(node, ast.While)):
                    changed = copy.copy(node)
                    changed.test = ast.Constant(value)
                    yield "condition", changed
        case ast.Raise() | ast.Delete() | ast.Expr(ast.Call()):
            yield "statement dropped", ast.Pass()
        case ast.Return(value) if value is not None and not isinstance(value, ast.Constant):
            yield "nothing returned", ast.Return(ast.Constant(None))
        case ast.Call(func, [first, second], []) if not (
            isinstance(func, ast.Name) and func.id in ("isinstance", "zip")
        ):
            yield "operands swapped", ast.Call(func, [second, first], [])
        case ast.Slice(lower, upper, step) if lower or upper:
            yield "slice", ast.Slice(None, upper, step) if lower else ast.Slice(lower, None, step)


def _verdict(lesson: Lesson, file: Path) -> int:
    """In a forked child: run the lesson's tests on `file`; 0 where nothing failed."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    tests = str(lesson.folder / "test_equivalence.py")
    options = ["-x", "-q", "--tb=no", "--assert=plain", "--twice-profile", "no-shrink"]
    for plugin in ("cacheprovider", "xdist", "unraisableexception"):
        options += ["-p", f"no:{plugin}"]
    return int(pytest.main([tests, *options, "--build-it", f"{lesson.name}={file}"]))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m shared.proof.mutants", description="Mutation test of one lesson.")
    parser.add_argument("lesson")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timeout", type=float, help="seconds for one mutant (20 times what the original takes)")
    parser.add_argument("--lines", metavar="FIRST-LAST", help="only mutants of these lines")
    options = parser.parse_args(arguments)
    try:
        lesson = load().find(options.lesson)
    except UnknownLessonError as error:
        parser.error(str(error))
    source = (lesson.folder / "build_it.py").read_text(encoding="utf-8")
    importlib.import_module(lesson.module("use_it"))  # once, before forking: frameworks are slow to import
    first, _, last = (options.lines or f"1-{len(source)}").partition("-")
    waiting = [m for m in mutants(source) if int(first) <= m.line <= int(last or first)]
    total, caught, late, survivors = len(waiting), 0, 0, []
    running: dict[int, tuple[Mutant, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        original = Path(folder) / "original.py"
        original.write_text(source, encoding="utf-8")
        begun = time.monotonic()
        if _forked(lesson, original) != 0:
            print("the tests fail on build_it.py as it is: mend that first")
            return 2
        limit = options.timeout or max(10.0, 20 * (time.monotonic() - begun))
        while waiting or running:
            while waiting and len(running) < options.jobs:
                mutant = waiting.pop(0)
                file = Path(folder) / f"mutant{len(waiting)}.py"
                file.write_text(mutant.source, encoding="utf-8")
                running[_fork(lesson, file)] = mutant, time.monotonic()
            time.sleep(0.01)
            for pid, (mutant, started) in list(running.items()):
                done, status = os.waitpid(pid, os.WNOHANG)
                if not done and time.monotonic() - started > limit:
                    late += 1
                    os.kill(pid, 9)
                    done, status = os.waitpid(pid, 0)
                if done:
                    del running[pid]
                    caught += status != 0
                    if status == 0:
                        survivors.append(mutant)
                        print(mutant, flush=True)
                    if sys.stderr.isatty():
                        print(f"\r{caught + len(survivors)}/{total}", end="\r", file=sys.stderr)
    share = f"{caught} of {total} mutants caught ({caught / max(total, 1):.1%})"
    print(f"{lesson.name}: {share}, {late} of them since the tests did not end within {limit:.0f} s")
    return 0 if caught >= 0.9 * total else 1


def _fork(lesson: Lesson, file: Path) -> int:
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = _verdict(lesson, file)
        finally:
            os._exit(code)
    return pid


def _forked(lesson: Lesson, file: Path) -> int:
    return os.waitpid(_fork(lesson, file), 0)[1]


if __name__ == "__main__":
    sys.exit(main())
