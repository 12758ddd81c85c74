"""`twice doctor`: does the main job work here, what is installed, and the line that mends what is not."""

import argparse
import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import platformdirs

from shared.curriculum import HOUSE, Curriculum, Lesson
from shared.data import embedded
from shared.learn import screen
from shared.learn.lessons import install, lacks

_OLDEST = (3, 11)


def doctor(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Print a diagnosis; exit code 0 where the main job, `twice run` of the first lesson, can work."""
    lessons = list(curriculum.lessons.values())
    with screen.progress() as say:
        say("importing the frameworks")
        broken = _broken(lessons)
    rows = [("Python", f"{sys.version.split()[0]}, {sys.executable}")]
    for group, requirements in _groups().items():
        rows += [(group if not i else "", line) for i, line in enumerate(_installed(group, requirements))]
    rows += [("broken", f"{name} is installed and cannot be imported: {why}") for name, why in broken.items()]
    rows.append(("data", _downloaded()))
    for program, use in (("node", "checking the site"), ("npm", "building the site")):
        rows.append(
            (program, shutil.which(program) or f"not found: {use} needs it; install it from https://nodejs.org")
        )
    for line in screen.columns(rows):
        print(line)
    print()
    problems = [*_python(), *_data(), *_outputs(curriculum.root), *_first_lesson(curriculum, broken)]
    for problem in problems:
        print(screen.red(f"problem: {problem}"))
    if not problems:
        print(screen.green(f"The main job works: twice run {lessons[0].name}"))
    return 1 if problems else 0


def _python() -> list[str]:
    if sys.version_info >= _OLDEST:
        return []
    return ["this Python is too old: install 3.11 or newer, remove .venv, and run 'nox -s learn' with it"]


def _groups() -> dict[str, list[str]]:
    """What lessons and their tests need, by dependency group; nox makes the environments of the other groups."""
    groups = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    return {name: groups[name] for name in sorted(groups) if name.startswith("phase-") or name == "test"}


def _installed(group: str, requirements: Iterable[str]) -> list[str]:
    """A line with the packages that are there, and one with those that are not and how to get them."""
    there, missing = [], []
    for requirement in requirements:
        name, _, pinned = requirement.partition("==")
        name = re.split(r"[^\w.-]", name, maxsplit=1)[0]
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if pinned and version.partition("+")[0] != pinned:
            missing.append(f"{name} {pinned} (here is {version})")
        else:
            there.append(f"{name} {version}")
    phase = group.removeprefix("phase-")
    line = "nox -s learn" if group == "test" else f"nox -s learn -- {phase}"
    return ([", ".join(there)] if there else []) + ([f"missing: {', '.join(missing)}; run '{line}'"] if missing else [])


def _broken(lessons: Iterable[Lesson]) -> dict[str, str]:
    """The frameworks that are there and fail to import, with the last line of the failure; each in its own process.

    Nothing of the lessons runs: looking for a dotted name would import its parent, and without -P Python looks for
    frameworks in the current folder first.
    """
    names: set[str] = set()
    for lesson in lessons:
        with contextlib.suppress(OSError, ValueError):  # a lesson.toml that cannot be read: 'twice list' says so
            names |= {name for name in lesson.frameworks if name.isidentifier() and importlib.util.find_spec(name)}
    tries = {
        name: subprocess.Popen(
            [sys.executable, "-P", "-X", "utf8", "-c", f"import {name}"], stderr=subprocess.PIPE, encoding="utf-8"
        )
        for name in sorted(names)
    }
    said = {name: process.communicate()[1].strip() for name, process in tries.items()}
    return {
        name: text.splitlines()[-1] if text else "it ended" for name, text in said.items() if tries[name].returncode
    }


def _downloaded() -> str:
    cache = Path(os.environ.get("TWICE_DATA") or platformdirs.user_cache_path("twice", appauthor=False))
    files = [file for file in cache.rglob("*") if file.is_file() and file.suffix not in (".part", ".lock")]
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    count = (
        f"{len(files)} large files ({megabytes:.0f} MB)"
        if files
        else "nothing large downloaded yet, lessons that want it do"
    )
    return f"{count}; {cache}"


def _data() -> list[str]:
    problems = []
    for name in (*embedded.TABLES, *embedded.TEXTS):
        try:
            embedded.read(name)
        except (OSError, ValueError):
            file = screen.shown(embedded.path(name))
            problems.append(f"{file} is missing or was changed: run 'git checkout -- {file}'")
    folder = os.environ.get("TWICE_DATA")
    if folder and not Path(folder).is_dir():
        problems.append(
            f"the environment variable TWICE_DATA names {folder!r}, which is no folder: make it, or unset it"
        )
    return problems


def _outputs(root: Path) -> list[str]:
    folder = root / "outputs" if (root / "outputs").exists() else root
    return [] if os.access(folder, os.W_OK) else [f"{folder} cannot be written: 'twice run' puts artifacts there"]


def _first_lesson(curriculum: Curriculum, broken: dict[str, str]) -> list[str]:
    if not curriculum.lessons:
        return [f"there is no lesson in {screen.shown(curriculum.root / 'phases')}: run 'git checkout -- phases' there"]
    first = next(iter(curriculum.lessons.values()))
    if sentence := lacks(first, "ship_it.py", "build_it.py", "use_it.py"):
        return [sentence]
    again = f"remove .venv and {install(first)}"
    return [f"{name} cannot be imported: {again}" for name in first.frameworks if name in broken]
