"""`twice run` and `twice ship`: both twins on real data, and the artifact that comes of it."""

import argparse
import json
import shutil
import textwrap
from typing import Any

from shared.curriculum import Curriculum, Lesson
from shared.learn import screen
from shared.learn.lessons import chosen, lacks, require
from shared.proof.equivalence import RTOL
from shared.ship.artifact import MANIFEST, ArtifactError, index, write_index
from shared.ship.run import Run, RunError, Shipped, ship

REPEAT = 5  # a time is the median of so many runs, or of as many as fit into a second
_SHOWN = 30  # values on the screen


def run(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Run a lesson with both twins; show their results side by side, what they cost, and the artifact."""
    lesson = curriculum.find(options.lesson)
    require(lesson, "ship_it.py", "build_it.py", "use_it.py")
    with screen.progress() as say:
        shipped = ship(lesson, repeat=REPEAT, progress=lambda twin: say(f"running {lesson.name} with {twin}"))
    print(screen.bold(lesson.title) + screen.dim(f"  {lesson.name}"))
    print("", *(f"  {line}".rstrip() for line in _side_by_side(shipped.built, shipped.used)), "", sep="\n")
    rtol = lesson.meta["ships"].get("rtol", RTOL)
    manifest = json.loads((shipped.folder / MANIFEST).read_text(encoding="utf-8"))
    rows = [
        ("worst", f"{screen.difference(shipped.worst)} (allowed {rtol:.0e})"),
        ("speed", screen.ratio(shipped.built.seconds, shipped.used.seconds)),
        ("artifact", f"{screen.shown(shipped.folder)} ({_fate(shipped)})"),
        ("use it", f"cd {screen.shown(shipped.folder)}"),
        ("", manifest["use"]),
        ("next", f"twice prove {lesson.name}"),
        ("", f"twice show {lesson.name}"),
    ]
    print("\n".join(screen.facts(rows)))
    return 0


def ship_all(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Rebuild artifacts and the index of all; with ``--check`` only say whether they would change."""
    differ, absent = 0, 0
    for lesson in chosen(curriculum, options.lessons, options.all):
        if sentence := lacks(lesson, "ship_it.py", "build_it.py", "use_it.py"):
            print(f"not built: {sentence}")
            absent += 1
            continue
        try:
            said = _ship(lesson, options.check)
        except (ArtifactError, RunError) as error:
            said = f"fails: {error}"
        print(f"{lesson.name}: {said}", flush=True)
        differ += said.startswith(("fails", "differs"))
    if options.check:
        file = curriculum.root / "outputs" / "README.md"  # the index also finds what no lesson ships any more
        if not file.is_file() or file.read_text(encoding="utf-8") != index(curriculum):
            print(f"{screen.shown(file)}: out of date, 'twice ship --all' writes it anew")
            differ += 1
    else:
        write_index(curriculum)
    return 1 if differ else 2 if absent else 0


def _ship(lesson: Lesson, check: bool) -> str:
    with screen.progress() as say:
        shipped = ship(lesson, replace=not check, progress=lambda twin: say(f"building {lesson.name} with {twin}"))
    if check and shipped.fate != "unchanged":
        return f"differs: {shipped.fate if shipped.fate != 'new' else 'nothing is shipped yet'}"
    return _fate(shipped)


def _fate(shipped: Shipped) -> str:
    return shipped.fate if shipped.fate in ("new", "unchanged") else f"replaced: {shipped.fate}"


def _side_by_side(built: Run, used: Run) -> list[str]:
    values = [number(value) for _, value in leaves(built.results)]
    others = [number(value) for _, value in leaves(used.results)]
    space = screen.width() - max(map(len, [*values, "build_it"])) - max(map(len, [*others, "use_it"])) - 8
    rows: list[tuple[str, str, str]] = []
    for (name, _), value, other in list(zip(leaves(built.results), values, others, strict=True))[:_SHOWN]:
        *above, last = textwrap.wrap(name, max(space, 20)) or [""]
        rows += [*((line, "", "") for line in above), (last, value, other)]
    if len(values) > _SHOWN:
        rows.append((f"and {len(values) - _SHOWN} more", "", ""))
    costs = [
        ("time", screen.duration(built.seconds), screen.duration(used.seconds)),
        ("time to import", screen.duration(built.import_seconds), screen.duration(used.import_seconds)),
        ("peak memory", f"{built.peak_bytes / 1e6:.0f} MB", f"{used.peak_bytes / 1e6:.0f} MB"),
    ]
    lines = screen.columns([("", "build_it", "use_it"), *rows, *costs], right={1, 2}, gap=3)
    return [screen.bold(lines[0]), *lines[1 : -len(costs)], "", *lines[-len(costs) :]]


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """The numbers, strings and booleans in nested named results, each with its path: ``weights[2]``."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list):
        return [leaf for i, item in enumerate(value) for leaf in leaves(item, f"{path}[{i}]")]
    return [(path, value)]


def number(value: Any) -> str:
    """As many digits as tell apart what the tolerance does; a long text is cut."""
    if isinstance(value, float):
        return f"{value:.12g}"
    text = str(value)
    limit = max(20, (shutil.get_terminal_size().columns - 30) // 2)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
