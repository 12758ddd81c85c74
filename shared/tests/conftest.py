"""A small curriculum on disk, for tests that must break one."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import phases
from shared.curriculum import Lesson, load

TOML = """
title = "{title}"
priority = "essential"
minutes = 30
prerequisites = {prerequisites}
frameworks = []
proves = ["values"]
sources = ["A source (2000)"]

[ships]
kind = "prompt"
name = "a-prompt"
title = "A prompt"
summary = "It says something."
use = "read prompt.md"
"""
BUILD = '''
"""Doubling."""

__all__ = ["double"]


def double(x: float) -> float:
    """2 x."""
    return 2 * x


if __name__ == "__main__":
    print(double(2))
'''
SHIP = """
def ship(twin, folder):
    (folder / "prompt.md").write_text("Double it.\\n", encoding="utf-8")
    return {"two": twin.double(1.0)}
"""
TEST = """
from shared.proof import assert_equivalent


def test_double(build_it, use_it):
    assert_equivalent(build_it.double(3.0), use_it.double(3.0))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root; `add_lesson` fills it."""
    (tmp_path / "phases").mkdir()
    return tmp_path


@pytest.fixture
def add_lesson(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lesson]]:
    """``add_lesson("90-fake/01-double")`` writes a lesson that keeps most of the contract; files can be overridden."""
    monkeypatch.setattr(phases, "__path__", [*phases.__path__, str(root / "phases")])

    def add(folder: str, *prerequisites: str, **files: str) -> Lesson:
        path = root / "phases" / folder
        path.mkdir(parents=True)
        slug = path.name.partition("-")[2]
        texts = {
            "lesson.toml": TOML.format(title=slug.replace("-", " ").title(), prerequisites=list(prerequisites)),
            "build_it.py": BUILD,
            "use_it.py": BUILD,
            "ship_it.py": SHIP,
            "test_equivalence.py": TEST,
            "README.md": f"# {slug}\n",
        }
        texts |= {name.replace("__", "."): text for name, text in files.items()}
        for name, text in texts.items():
            (path / name).write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        (lesson,) = (lesson for lesson in load(root).lessons.values() if lesson.folder == path)
        return lesson

    yield add
    for name in [name for name in sys.modules if name.startswith(("phases.fake", "phases.90-fake"))]:
        del sys.modules[name]
