"""No test reads or writes a learner's own things."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

_numbers = itertools.count()


@pytest.fixture(scope="session", autouse=True)
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Fixtures of modules, which come before those of a test, have a home as well."""
    with pytest.MonkeyPatch.context() as patch:
        homes = tmp_path_factory.mktemp("homes")
        patch.setenv("TWICE_HOME", str(homes / "modules"))
        yield homes


@pytest.fixture(autouse=True)
def _own_home(_homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has one of its own, which is empty."""
    monkeypatch.setenv("TWICE_HOME", str(_homes / str(next(_numbers))))
