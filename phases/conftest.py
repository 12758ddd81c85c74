"""The twins of the lesson whose tests are running."""

import importlib
from types import ModuleType

import pytest

from shared.curriculum import lesson_of


@pytest.fixture(scope="module")
def build_it(request: pytest.FixtureRequest) -> ModuleType:
    """The version from scratch: the reference's, or the file given by ``--build-it LESSON=FILE``."""
    return importlib.import_module(lesson_of(request.path).module("build_it"))


@pytest.fixture(scope="module")
def use_it(request: pytest.FixtureRequest) -> ModuleType:
    """The version on the framework."""
    return importlib.import_module(lesson_of(request.path).module("use_it"))
