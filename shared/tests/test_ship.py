"""Artifacts: manifests, checks of each kind, comparison, and putting them in their place."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.curriculum import Curriculum, Lesson, load
from shared.ship import run
from shared.ship.artifact import (
    ArtifactError,
    build,
    compare,
    index,
    place,
    read_manifest,
    read_safetensors,
    write_manifest,
)
from shared.ship.checks import check
from shared.ship.one_file import one_file

Add = Callable[..., Lesson]


@pytest.fixture
def lesson(add_lesson: Add) -> Lesson:
    return add_lesson("90-fake/01-ships")


def of_kind(lesson: Lesson, kind: str, folder: Path, **files: str) -> Path:
    """An artifact of `kind` with these files."""
    lesson.meta["ships"]["kind"] = kind
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        file = folder / name.replace("__", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    write_manifest(lesson, folder, {"loss": 0.5})
    return folder


def safetensors(values: list[float], shape: list[int] | None = None) -> bytes:
    header = {"w": {"dtype": "F64", "shape": shape or [len(values)], "data_offsets": [0, 8 * len(values)]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + struct.pack(f"<{len(values)}d", *values)


def test_a_build_lists_its_files_and_what_was_measured(lesson: Lesson, tmp_path: Path) -> None:
    folder = tmp_path / "built"
    folder.mkdir()
    assert build(lesson, "build_it", folder) == {"two": 2.0}
    manifest = check(folder)
    assert manifest["measured"] == {"two": 2.0}
    assert list(manifest["files"]) == ["prompt.md"]
    assert manifest["lesson"] == "fake/ships"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "prompt.md").write_text("changed"), "sha256 differs"),
        (lambda folder: (folder / "prompt.md").unlink(), r"prompt\.md is missing"),
        (lambda folder: (folder / "extra.md").write_text("x"), "not in the manifest"),
        (lambda folder: (folder / "manifest.json").unlink(), "no finished artifact"),
        (lambda folder: (folder / "manifest.json").write_text('{"files": '), "cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "cannot be read"),
    ],
)
def test_a_damaged_artifact_is_named(
    lesson: Lesson, tmp_path: Path, damage: Callable[[Path], object], says: str
) -> None:
    folder = of_kind(lesson, "prompt", tmp_path / "a", prompt__md="text")
    check(folder)
    damage(folder)
    with pytest.raises(ArtifactError, match=says):
        read_manifest(folder)


PYPROJECT = '[project]\nname = "a-tool"\nscripts = { a-tool = "a_tool:main" }\n'
HELP = "import argparse\nargparse.ArgumentParser().parse_args()\n"
SERVER = """import json
request = json.loads(input())
print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": {"serverInfo": {"name": "s"}}}))
"""


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("prompt", {"prompt__md": "text"}),
        ("tool", {"tool__py": HELP}),
        ("tool", {"pyproject__toml": PYPROJECT, "src/a_tool__py": "def main():\n    print('usage: a-tool')\n"}),
        ("agent", {"agent__py": HELP}),
        ("mcp-server", {"server__py": SERVER}),
        ("skill", {"SKILL__md": "---\nname: a-prompt\ndescription: What it does.\n---\nText\n", "run__py": HELP}),
    ],
)
def test_each_kind_keeps_its_promise(lesson: Lesson, tmp_path: Path, kind: str, files: dict[str, str]) -> None:
    assert check(of_kind(lesson, kind, tmp_path / "good", **files))["kind"] == kind


@pytest.mark.parametrize(
    ("kind", "files", "says"),
    [
        ("prompt", {"prompt__md": "\n"}, "with text in it"),
        ("prompt", {"prompt__md": "x", "model__pkl": "x"}, "never pickle"),
        ("tool", {"one__py": HELP, "two__py": HELP}, "here are 2"),
        ("tool", {"one__py": "print('hello')"}, "prints no usage"),
        ("tool", {"one__py": "import numpy"}, "No module named 'numpy'"),
        ("tool", {"pyproject__toml": PYPROJECT, "src/a_tool__py": "def main(): ..."}, "a-tool --help prints no usage"),
        ("tool", {"pyproject__toml": PYPROJECT}, "No module named 'a_tool'"),
        ("tool", {"pyproject__toml": "[project]\nname = 'x'\n"}, "announces no command"),
        ("agent", {"agent__md": "x"}, "a Python program"),
        ("mcp-server", {"server__py": "print('no')"}, "does not answer"),
        ("mcp-server", {"other__py": "x"}, "starts with server.py"),
        ("skill", {"SKILL__md": "---\nname: other\ndescription: x\n---\n"}, "whose name is 'a-prompt'"),
        ("skill", {"SKILL__md": "---\nname: a-prompt\n---\n"}, "needs a description"),
        ("model", {"config__json": "{}"}, "safetensors plus JSON"),
        ("model", {"config__json": "{}", "w__safetensors": "garbage"}, "not a safetensors file"),
    ],
)
def test_a_broken_promise_is_told(lesson: Lesson, tmp_path: Path, kind: str, files: dict[str, str], says: str) -> None:
    with pytest.raises(ArtifactError, match=says):
        check(of_kind(lesson, kind, tmp_path / "bad", **files))


def test_a_model_is_read_and_a_truncated_one_refused(lesson: Lesson, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    file = tmp_path / "m" / "model.safetensors"
    file.write_bytes(safetensors([1.0, 2.0]))
    check(of_kind(lesson, "model", tmp_path / "m", config__json="{}"))
    assert read_safetensors(file)["w"]["data"] == [1.0, 2.0]
    for damaged in (file.read_bytes()[:-1], file.read_bytes()[:20], b""):
        file.write_bytes(damaged)
        with pytest.raises(ArtifactError, match="not a safetensors file"):
            read_safetensors(file)


def test_models_are_compared_as_numbers_and_other_files_by_bytes(lesson: Lesson, tmp_path: Path) -> None:
    folders = []
    for i, (weight, text) in enumerate([(1.0, "a"), (1.0 + 1e-12, "a"), (1.0 + 1e-6, "a"), (1.0, "b")]):
        (tmp_path / str(i)).mkdir()
        (tmp_path / str(i) / "w.safetensors").write_bytes(safetensors([weight]))
        folders.append(of_kind(lesson, "model", tmp_path / str(i), config__json="{}", read__md=text))
    assert compare(folders[0], folders[1]) == ""
    assert "w.safetensors: w.data[0]" in compare(folders[0], folders[2])
    assert compare(folders[0], folders[2], rtol=1e-5) == ""
    assert compare(folders[0], folders[3]) == "read.md: the bytes differ"
    (folders[1] / "more.txt").write_text("x")
    assert "ships" in compare(folders[0], folders[1])


def shipped(lesson: Lesson, monkeypatch: pytest.MonkeyPatch, *, replace: bool = True) -> run.Shipped:
    """`run.ship` with both twins in this process: what is tested is what becomes of the artifact."""

    def here(lesson: Lesson, twin: str, folder: Path, repeat: int = 1) -> run.Run:
        return run.Run(build(lesson, twin, folder), 0.0, 0.0, 0)

    monkeypatch.setattr(run, "run", here)
    return run.ship(lesson, replace=replace)


def test_an_artifact_is_new_then_unchanged_then_replaced(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped(lesson, monkeypatch).fate == "new"
    assert shipped(lesson, monkeypatch).fate == "unchanged"
    prompt = place(lesson) / "prompt.md"
    prompt.write_text("half-wri", encoding="utf-8")
    assert "sha256 differs" in shipped(lesson, monkeypatch, replace=False).fate
    assert prompt.read_text(encoding="utf-8") == "half-wri"
    assert "sha256 differs" in shipped(lesson, monkeypatch).fate
    assert prompt.read_text(encoding="utf-8") == "Double it.\n"
    assert [path.name for path in prompt.parent.parent.iterdir()] == ["a-prompt"]  # nothing is left behind


def test_twins_that_disagree_leave_the_old_artifact(add_lesson: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    lesson = add_lesson("90-fake/02-disagrees", use_it__py="__all__ = ['double']\ndef double(x):\n    return 3 * x\n")
    old = place(lesson)
    old.mkdir(parents=True)
    (old / "prompt.md").write_text("old", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"results differ: two: build_it 2\.0, use_it 3\.0"):
        shipped(lesson, monkeypatch)
    assert (old / "prompt.md").read_text(encoding="utf-8") == "old"
    assert [path.name for path in old.parent.iterdir()] == ["a-prompt"]


def test_what_a_killed_process_left_is_mended(lesson: Lesson) -> None:
    destination = place(lesson)
    old = destination.with_name(".a-prompt.old")
    young = destination.with_name(".a-prompt.new-x")
    for folder in (old, young):
        folder.mkdir(parents=True)
    (old / "prompt.md").write_text("whole", encoding="utf-8")
    run.recover(destination)  # killed between the two renames: the old one comes back
    assert (destination / "prompt.md").read_text(encoding="utf-8") == "whole"
    assert young.exists()  # perhaps another process at work
    old.mkdir()
    run.recover(destination)  # killed before the old one was removed
    assert not old.exists()
    assert destination.exists()


def test_the_index_lists_finished_artifacts(lesson: Lesson, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped(lesson, monkeypatch)
    link = "[Ships](../phases/90-fake/01-ships/README.md)"
    assert f"| [a-prompt](prompts/a-prompt) | It says something. | `read prompt.md` | {link} |" in index(load(root))
    with pytest.raises(ArtifactError, match="no lesson ships it any more"):
        index(Curriculum((), root))
    (place(lesson) / "prompt.md").write_text("changed", encoding="utf-8")
    with pytest.raises(ArtifactError, match="sha256 differs"):
        index(load(root))


NUMERICS = """\"\"\"A lesson's code.\"\"\"

import math
import re
from dataclasses import dataclass, field
from operator import mul

__all__ = ["area", "unused"]

# in metres
TURN = 2 * math.pi
OTHER = 3


@dataclass(frozen=True)
class Circle:
    radius: float


def area(circle: Circle) -> float:
    _check(circle)
    return TURN / 2 * circle.radius**2


def unused() -> object:
    return re, mul, OTHER, field


def _check(circle: Circle) -> None:  # given
    if circle.radius < 0:
        raise ValueError(circle)


if __name__ == "__main__":
    print(area(Circle(1.0)))
"""
COMMAND = """\"\"\"Areas of circles.\"\"\"

import math
import sys
from dataclasses import asdict

from phases.fake.the_circle.build_it import Circle, area

if __name__ == "__main__":
    print(round(area(Circle(float(sys.argv[1]))) / math.pi), asdict(Circle(3.0)))
"""
ONE_FILE = """#!/usr/bin/env python3
\"\"\"Areas of circles.\"\"\"

# Made from build_it.py and command.py of the lesson fake/the-circle of Twice (MIT).

import math
import sys
from dataclasses import asdict, dataclass


# in metres
TURN = 2 * math.pi


@dataclass(frozen=True)
class Circle:
    radius: float


def area(circle: Circle) -> float:
    _check(circle)
    return TURN / 2 * circle.radius**2


def _check(circle: Circle) -> None:
    if circle.radius < 0:
        raise ValueError(circle)


if __name__ == "__main__":
    print(round(area(Circle(float(sys.argv[1]))) / math.pi), asdict(Circle(3.0)))
"""


def joined(folder: Path, numerics: str, command: str) -> str:
    (folder / "numerics.py").write_text(numerics, encoding="utf-8")
    (folder / "command.py").write_text(command, encoding="utf-8")
    return one_file(folder / "numerics.py", folder / "command.py")


def test_one_file_holds_what_is_used_and_what_that_needs(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(joined(tmp_path, NUMERICS, COMMAND), encoding="utf-8")
    assert script.read_text(encoding="utf-8") == ONE_FILE
    done = subprocess.run([sys.executable, "-I", "-S", script, "2"], capture_output=True, encoding="utf-8", check=False)
    assert (done.stdout, done.stderr) == ("4 {'radius': 3.0}\n", "")


def test_one_file_takes_a_name_that_a_tuple_or_an_annotation_defines(tmp_path: Path) -> None:
    numerics = "import math as m\nA, B = 1, 2\nC: float = m.pi\nD = 4\nE = D\n"
    text = joined(tmp_path, numerics, '"""Doc."""\nfrom phases.a.b.build_it import B, C\nprint(B, C)\n')
    assert text.partition("\n\n\n")[2] == "A, B = 1, 2\nC: float = m.pi\nprint(B, C)\n"
    assert "\nimport math as m\n" in text


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("from phases", "from pathlib", r"from one build_it, not from \[\]"),
        ("build_it import", "use_it import", r"not from \['phases\.fake\.the_circle\.use_it'\]"),
        ("import math\n", "from shared.data import load\n", r"not from .*'shared\.data'"),
        ("import math\n", "import shared.data\n", "not from"),
        ("Circle, area", "Circle, arena", "numerics.py of fake/the-circle does not define arena"),
        ("import math\n", "import math\nTURN = 360\n", "^TURN: in numerics.py one thing, in command.py another"),
        ("import math\n", "from decimal import Decimal as _check\n", "^_check: "),
        ("import math\n", "import cmath as math\n", "^math: "),
        ("import sys\n", "import sys\ndef math(): pass\n", "^math: "),
    ],
)
def test_one_file_refuses_what_would_not_run(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        joined(tmp_path, NUMERICS, COMMAND.replace(old, new))


def test_one_file_refuses_what_another_lesson_has(tmp_path: Path) -> None:
    numerics = "from phases.other.lesson.build_it import area, far\nclass Circle: pass\ndef g(): return far\n"
    command = '"""Doc."""\nfrom phases.fake.the_circle.build_it import {}\n'
    assert "far" not in joined(tmp_path, numerics, command.format("Circle"))
    with pytest.raises(ValueError, match="takes far from another module"):
        joined(tmp_path, numerics, command.format("g"))
