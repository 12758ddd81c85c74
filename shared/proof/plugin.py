"""The pytest plugin: the twins as fixtures, which lessons, whose ``build_it.py``, how thoroughly; the proof cards."""

import importlib
import os
import platform
from collections.abc import Generator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from hypothesis import settings

import phases
from shared.curriculum import Lesson, lesson_of, load
from shared.proof import settings as _profiles  # noqa: F401  # registers the profiles
from shared.proof.card import write_card
from shared.proof.equivalence import Record, record

_THOROUGH_TIMEOUT = 1200  # seconds a test, for twenty times the examples
_PROFILE_BEFORE = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("twice")
    group.addoption("--thorough", action="store_true", help="fresh random inputs, and twenty times as many")
    group.addoption("--twice-profile", default="twice", help="a profile of shared/proof/settings.py")
    group.addoption(
        "--lesson", action="append", default=[], metavar="LESSON", help="only this lesson, or this phase (02)"
    )
    group.addoption(
        "--build-it",
        action="append",
        default=[],
        metavar="LESSON=FILE",
        help="test FILE in the place of a lesson's build_it.py",
    )


@pytest.hookimpl(tryfirst=True)  # before pytest-timeout reads its option
def pytest_configure(config: pytest.Config) -> None:
    # Workers share the cores, and a lesson's tensors are small: a second thread would only wait for its turn.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    config.stash[_PROFILE_BEFORE] = settings.get_current_profile_name()
    settings.load_profile("thorough" if config.getoption("--thorough") else config.getoption("--twice-profile"))
    if config.getoption("--thorough") and config.getoption("timeout", None) is None:
        config.option.timeout = _THOROUGH_TIMEOUT
    for given in config.getoption("--build-it"):
        name, _, file = given.partition("=")
        if not Path(file).is_file():
            raise pytest.UsageError(f"--build-it wants LESSON=FILE with a file that exists, and got {given!r}")
        phases.replace(load().find(name).name, Path(file).resolve())


def pytest_unconfigure(config: pytest.Config) -> None:
    """A session inside a session (the contract runs some) gives the outer one its profile back."""
    settings.load_profile(config.stash[_PROFILE_BEFORE])


def selected(config: pytest.Config) -> list[Lesson]:
    """The lessons that ``--lesson`` names; all where it is not given."""
    curriculum = load()
    wanted = config.getoption("--lesson")
    if not wanted:
        return list(curriculum.lessons.values())
    chosen = {}
    for text in wanted:
        phase = [phase for phase in curriculum.phases if text in (f"{phase.number:02}", str(phase.number), phase.slug)]
        for lesson in phase[0].lessons if phase else [curriculum.find(text)]:
            chosen[lesson.name] = lesson
    return list(chosen.values())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the lessons that ``--lesson`` does not name, before anything of theirs is imported."""
    of_a_lesson = collection_path.match("test_*.py") and collection_path.with_name("lesson.toml").is_file()
    if config.getoption("--lesson") and of_a_lesson:
        return lesson_of(collection_path).name not in {lesson.name for lesson in selected(config)} or None
    return None


@pytest.fixture(scope="module")
def build_it(request: pytest.FixtureRequest) -> ModuleType:
    """The version from scratch: the reference's, or the file given by ``--build-it LESSON=FILE``."""
    return importlib.import_module(lesson_of(request.path).module("build_it"))


@pytest.fixture(scope="module")
def use_it(request: pytest.FixtureRequest) -> ModuleType:
    """The version on the framework."""
    return importlib.import_module(lesson_of(request.path).module("use_it"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    record.reset()
    try:
        return (yield)
    finally:
        if item.path.name == "test_equivalence.py":  # xdist carries plain values from its workers
            item.user_properties.append(("proof", [str(item.path), vars(record).copy()]))


class _Cards:
    """Adds up what the tests of each lesson recorded (also in xdist's workers) and writes the cards."""

    def __init__(self) -> None:
        self.totals: dict[str, tuple[Record, dict[str, int]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for key, value in report.user_properties:
            if key != "proof" or report.when != "call":
                continue
            file, values = cast(tuple[str, dict[str, Any]], value)
            one = Record(**values)
            total, outcomes = self.totals.setdefault(file, (Record(), {"passed": 0, "failed": 0, "skipped": 0}))
            outcomes[report.outcome] += 1
            total.cases += one.cases
            total.rtol, total.atol = max(total.rtol, one.rtol), max(total.atol, one.atol)
            if one.worst > total.worst:
                total.worst, total.worst_at = one.worst, f"{report.nodeid.rpartition('::')[2]}: {one.worst_at}"

    def pytest_sessionfinish(self) -> None:
        for file, (total, outcomes) in self.totals.items():
            lesson = lesson_of(Path(file))
            write_card(lesson.name, {**vars(total), "tests": outcomes, **_versions(lesson)}, lesson.root)


def _versions(lesson: Lesson) -> dict[str, Any]:
    distributions = {"sklearn": "scikit-learn"}
    return {
        "python": platform.python_version(),
        "frameworks": {name: metadata.version(distributions.get(name, name)) for name in lesson.frameworks},
    }


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Cards come only from a whole run of the reference, and only the process that gathers reports writes them."""
    config = session.config
    partial = (
        config.option.keyword
        or config.option.markexpr
        or config.getoption("deselect", None)
        or config.getoption("lf", False)
        or config.getoption("--build-it")
        or config.getoption("--twice-profile") != "twice"
        or any("::" in argument for argument in config.args)
    )
    if not partial and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Cards(), "twice-cards")
