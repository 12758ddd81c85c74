"""Run a lesson's ``ship`` with each twin in a process of its own, measure both, and put the artifact in its place.

An artifact's folder is only ever replaced by a finished one: it is built beside its place under a name that begins
with a dot, and renamed at the end. A process killed at any moment leaves the old artifact or the new one.
"""

import argparse
import contextlib
import importlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.curriculum import HOUSE, Lesson, environment, load
from shared.proof.equivalence import RTOL, TWINS, compare_values
from shared.ship.artifact import ArtifactError, build, compare, place, read_manifest
from shared.ship.checks import check

_DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Run:
    """One measured run: named results, seconds of `ship` (median), seconds of imports, peak memory of the process."""

    results: dict[str, Any]
    seconds: float
    import_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Shipped:
    """What `ship` did: the measured run of each twin, the worst relative difference, the place, and its fate."""

    built: Run
    used: Run
    worst: float
    folder: Path
    fate: str


class RunError(RuntimeError):
    """The run of a twin ended with an error; the message is the end of what it said."""


def ship(
    lesson: Lesson,
    *,
    replace: bool = True,
    repeat: int = 1,
    progress: Callable[[str], None] = lambda twin: None,
) -> Shipped:
    """Run the lesson with both twins on its real data, compare, and put build_it's artifact in its place.

    Args:
        lesson: whose artifact.
        replace: False leaves a shipped artifact that differs as it is.
        repeat: how often to run each twin at most, for its time.
        progress: called with a twin's name before it runs.

    Raises:
        RunError: where a twin fails.
        ArtifactError: where the twins disagree, or the artifact is not what its kind promises; the old one stays.
    """
    destination = place(lesson)
    destination.parent.mkdir(parents=True, exist_ok=True)
    recover(destination)
    rtol = lesson.meta["ships"].get("rtol", RTOL)
    staging = Path(tempfile.mkdtemp(prefix=f".{destination.name}.new-", dir=destination.parent))
    try:
        runs: list[Run] = []
        for twin in TWINS:
            progress(twin)
            (staging / twin).mkdir()
            runs.append(run(lesson, twin, staging / twin, repeat))
        results = compare_values(runs[0].results, runs[1].results, rtol)
        if results.report:
            raise ArtifactError(f"the twins' results differ: {results.report}")
        if difference := compare(staging / TWINS[0], staging / TWINS[1], rtol):
            raise ArtifactError(f"the twins ship different artifacts: {difference}")
        check(staging / TWINS[0])
        fate = _settle(staging / TWINS[0], destination, rtol, replace)
        return Shipped(runs[0], runs[1], results.worst, destination, fate)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _settle(built: Path, destination: Path, rtol: float, replace: bool) -> str:
    """Move a finished build to its place unless an equal one is there.

    Equal means within the lesson's tolerance: last bits may depend on the Python version and the machine.

    Returns:
        ``"new"``, ``"unchanged"``, or what differs from the one that was there.
    """
    if not destination.exists():
        difference = "new"
    else:
        try:
            read_manifest(destination)
            difference = compare(destination, built, rtol, names=("the shipped one", "this build"))
        except ValueError as error:
            difference = str(error)
        if not difference:
            return "unchanged"
    if replace:
        old = destination.with_name(f".{destination.name}.old")
        if destination.exists():
            destination.replace(old)
        built.replace(destination)
        shutil.rmtree(old, ignore_errors=True)
    return difference


def recover(destination: Path) -> None:
    """Mend what a killed process left: put back an artifact caught between two renames, drop stale builds."""
    old = destination.with_name(f".{destination.name}.old")
    if old.exists():
        if destination.exists():
            shutil.rmtree(old)
        else:
            old.replace(destination)
    for leftover in destination.parent.glob(f".{destination.name}.new-*"):
        if time.time() - leftover.stat().st_mtime > _DAY:  # a younger one may be another process at work
            shutil.rmtree(leftover, ignore_errors=True)


def run(lesson: Lesson, twin: str, folder: Path, repeat: int = 1) -> Run:
    """Run ``ship(twin, folder)`` in a new process, up to `repeat` times within a second.

    Raises:
        RunError: where it fails.
    """
    command = [sys.executable, "-X", "utf8", "-m", "shared.ship.run", lesson.name, twin, str(folder), str(repeat)]
    done = subprocess.run(
        command, cwd=HOUSE, env=environment(lesson.root), capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode != 0:
        raise RunError(f"{lesson.name} with {twin} failed:\n{done.stderr.strip()[-2000:]}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _peak_bytes() -> int:
    if sys.platform == "win32":
        import psutil  # noqa: PLC0415  # installed there only

        return int(psutil.Process().memory_info().peak_wset)
    import resource  # noqa: PLC0415  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("lesson")
    parser.add_argument("twin", choices=TWINS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("repeat", type=int)
    options = parser.parse_args()
    lesson = load().lessons[options.lesson]
    with contextlib.redirect_stdout(sys.stderr):  # standard output carries the measurement alone
        started = time.perf_counter()
        importlib.import_module(lesson.module("ship_it"))
        importlib.import_module(lesson.module(options.twin))
        import_seconds = time.perf_counter() - started
        times: list[float] = []
        results: dict[str, Any] = {}
        while len(times) < max(options.repeat, 1) and sum(times) < 1:
            with tempfile.TemporaryDirectory() as spare:
                started = time.perf_counter()
                results = build(lesson, options.twin, Path(spare) if times else options.folder)
                times.append(time.perf_counter() - started)
    measured = Run(results, statistics.median(times), import_seconds, _peak_bytes())
    print(json.dumps(vars(measured)))


if __name__ == "__main__":
    main()
