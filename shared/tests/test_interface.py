"""Stubs, blanking, and the comparison of interfaces."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter, methodcaller
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest

from shared.proof import interface

SOURCE = '''
"""A module."""

import math

__all__ = ["Model", "fit"]

EPSILON = 1e-9


def _helper(x):
    """Goes away."""
    return x


def _kept(x: float) -> float:  # given
    """Stays."""
    return x + 1


@dataclass(frozen=True)
class Model:
    """A line."""

    slope: float

    def __call__(self, x: float) -> float:
        return self.slope * x

    def describe(self) -> str:
        """In words."""
        if self.slope:
            return "steep"
        return "flat"

    def _secret(self) -> None:
        pass


class _Private:
    def method(self):
        return 1


def fit(
    x: list[float],  # n samples
    y: list[float],
) -> Model:
    """Fit.

    Raises:
        ValueError: always.
    """
    # a comment of the body
    total = sum(x)

    def inner():
        return total

    return Model(inner())


if __name__ == "__main__":
    print(fit([1.0], [2.0]))
'''
STUB = '''
"""A module."""

import math

__all__ = ["Model", "fit"]

EPSILON = 1e-9


def _kept(x: float) -> float:  # given
    """Stays."""
    return x + 1


@dataclass(frozen=True)
class Model:
    """A line."""

    slope: float

    def __call__(self, x: float) -> float:
        raise NotImplementedError  # yours to write

    def describe(self) -> str:
        """In words."""
        raise NotImplementedError  # yours to write


def fit(
    x: list[float],  # n samples
    y: list[float],
) -> Model:
    """Fit.

    Raises:
        ValueError: always.
    """
    raise NotImplementedError  # yours to write


if __name__ == "__main__":
    print(fit([1.0], [2.0]))
'''


def test_a_stub_keeps_signatures_and_docstrings_and_loses_bodies_and_private_helpers() -> None:
    assert interface.stub(SOURCE.lstrip()) == STUB.lstrip()


def test_a_stub_of_a_stub_is_itself() -> None:
    assert interface.stub(STUB.lstrip()) == STUB.lstrip()


def test_a_given_function_that_calls_a_lost_helper_is_found() -> None:
    assert interface.lost_helpers(SOURCE.lstrip().replace("import math", "from dataclasses import dataclass")) == []
    broken = (
        SOURCE.lstrip()
        .replace("import math", "from dataclasses import dataclass")
        .replace("return x + 1", "return _helper(x) + 1")
    )
    assert interface.lost_helpers(broken) == ["_helper"]


def make(name: str, source: str, folder: Path) -> ModuleType:
    file = folder / f"{name}.py"
    file.write_text(dedent(source), encoding="utf-8")
    module = ModuleType(name)
    module.__file__ = str(file)
    module.__dict__["dataclass"] = dataclass
    exec(compile(dedent(source), str(file), "exec"), module.__dict__)
    return module


def test_each_public_body_is_a_target_and_can_be_blanked_alone(tmp_path: Path) -> None:
    module = make("build_it", SOURCE, tmp_path)
    targets = {target.path: target for target in interface.targets(module)}
    assert set(targets) == {"Model.__call__", "Model.describe", "fit"}
    with interface.blanked(targets["Model.describe"]):
        model = module.fit([2.0], [])
        assert model(3.0) == 6.0
        with pytest.raises(NotImplementedError):
            model.describe()
    assert model.describe() == "steep"
    with interface.blanked(targets["fit"]), pytest.raises(NotImplementedError):
        module.fit([2.0], [])
    assert module.fit([2.0], []) == model


def test_properties_and_class_methods_can_be_blanked(tmp_path: Path) -> None:
    source = """
    __all__ = ["A"]
    class A:
        @property
        def p(self): return 1
        @classmethod
        def c(cls): return 2
        @staticmethod
        def s(): return 3
    """
    module = make("build_it", source, tmp_path)
    uses: dict[str, Callable[[Any], int]] = {"A.p": attrgetter("p"), "A.c": methodcaller("c"), "A.s": methodcaller("s")}
    for target in interface.targets(module):
        with interface.blanked(target), pytest.raises(NotImplementedError):
            uses[target.path](module.A())
    assert [use(module.A()) for use in uses.values()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("used", "says"),
    [
        ("__all__ = ['f', 'g']\ndef f(a, b=1): ...\ndef g(): ...", "only in use_it: ['g']"),
        ("__all__ = ['f']\ndef f(a, c=1): ...", "f(a, b=1) in build_it is f(a, c=1) in use_it"),
        ("__all__ = ['f']\ndef f(a, b=2): ...", "f(a, b=1) in build_it is f(a, b=2) in use_it"),
        ("__all__ = ['f']\nclass f: ...", "f is a class in one twin"),
    ],
)
def test_different_interfaces_are_told(tmp_path: Path, used: str, says: str) -> None:
    built = make("build_it", "__all__ = ['f']\ndef f(a, b=1): ...", tmp_path)
    assert interface.interface_differences(built, built) == []
    (found,) = interface.interface_differences(built, make("use_it", used, tmp_path))
    assert says in found


def test_classes_are_compared_by_constructor_and_public_methods(tmp_path: Path) -> None:
    built = "__all__ = ['A']\nclass A:\n  def __init__(self, n): ...\n  def go(self, x): ...\n  def _own(self): ..."
    used = "__all__ = ['A']\nclass A:\n  def __init__(self, m): ...\n  def go(self, y): ..."
    found = interface.interface_differences(make("build_it", built, tmp_path), make("use_it", used, tmp_path))
    assert found == ["A(n) in build_it is A(m) in use_it", "A.go(self, x) in build_it is A.go(self, y) in use_it"]
    used = "__all__ = ['A']\nclass A:\n  def __init__(self, n): ..."
    found = interface.interface_differences(make("build_it", built, tmp_path), make("use_it", used, tmp_path))
    assert found == ["A.go is missing in use_it"]


@pytest.mark.parametrize(
    ("source", "foreign"),
    [
        ("import math\nfrom dataclasses import dataclass\nimport os.path", []),
        ("import numpy as np", ["numpy"]),
        ("def f():\n    from torch.nn import Linear", ["torch.nn"]),
        ("from phases.p.mine.build_it import f", []),
        ("from phases.p.mine import build_it", []),
        ("import phases.p.other.build_it", ["phases.p.other.build_it"]),
        ("from phases.p.mine.use_it import f", ["phases.p.mine.use_it.f"]),
        ("from shared.data import load", ["shared.data"]),
        ("from . import use_it", ["."]),
        ("np = __import__('numpy')", ["__import__"]),
        ("import importlib\nimportlib.import_module('numpy')", ["import_module"]),
    ],
)
def test_foreign_imports_are_found(source: str, foreign: list[str]) -> None:
    assert list(interface.foreign_imports(source, {"phases.p.mine.build_it"})) == foreign
