"""`twice` as a stranger has it: a copy of the house with lessons made by ``twice new``, in processes of their own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.curriculum import ROOT
from shared.ship.checks import check

SHIP = '''
"""Writes a prompt, and takes its time when asked to."""

import os
import time


def ship(twin, folder):
    (folder / "prompt.md").write_text("Twice two is " + str(twin.mean([4.0])) + "\\n", encoding="utf-8")
    while "TWICE_TEST_HANGS" in os.environ:
        time.sleep(0.02)
    return {"mean": twin.mean([4.0])}
'''


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of shared/ with two fresh lessons; the second one's build_it is wrong for a single value."""
    house = tmp_path_factory.mktemp("house")
    skip = shutil.ignore_patterns("node_modules", "tests", "site")
    shutil.copytree(ROOT / "shared", house / "shared", ignore=skip)
    (house / "phases").mkdir()
    for name in ("phases/__init__.py", "pyproject.toml"):
        shutil.copy(ROOT / name, house / name)
    for name in ("01-means/mean", "means/wrong-mean", "means/slow-mean"):
        assert twice(house, "new", name).returncode == 0
    wrong = house / "phases" / "01-means" / "02-wrong-mean" / "build_it.py"
    code = wrong.read_text(encoding="utf-8")
    wrong.write_text(code.replace("/ len(values)", "/ max(2, len(values))"), encoding="utf-8")
    slow = house / "phases" / "01-means" / "03-slow-mean"
    (slow / "ship_it.py").write_text(SHIP.lstrip(), encoding="utf-8")
    (slow / "use_it.py").write_text((slow / "build_it.py").read_text(encoding="utf-8"), encoding="utf-8")
    toml = (slow / "lesson.toml").read_text(encoding="utf-8")
    (slow / "lesson.toml").write_text(toml.replace('"tool"', '"prompt"').replace('["numpy"]', "[]"), encoding="utf-8")
    return house


def twice(house: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shared.learn.cli", *words],
        cwd=house,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_new_lessons_agree_and_prove_finds_what_is_wrong(house: Path) -> None:
    """Asserts switched off for the command must not switch them off in the tests that it runs."""
    done = twice(house, "prove", "means/mean", "wrong-mean", PYTHONOPTIMIZE="1")
    assert done.returncode == 1, done.stderr
    good, wrong = done.stdout.split("Wrong mean  means/wrong-mean")
    squeezed = " ".join(good.split())
    assert "equivalence 4 tests passed" in squeezed
    assert "tolerance relative 1e-09, absolute 1e-12" in squeezed
    assert "times as long as" in squeezed
    for missing in ("minutes is the honest time", "add [[hints]] for ['mean']", "5 [[quiz]] questions"):
        assert missing in good
    assert "not complete: means/mean" in good
    assert "test_mean_agrees fails\n  the value: build_it 0.5, use_it 1.0 (5.0e-01 apart" in wrong
    assert "smallest input found:\n      values=[1.0]\n  at phases" in wrong
    assert "Traceback" not in wrong
    assert wrong.endswith("not proven: means/wrong-mean\n")
    listed = twice(house, "list").stdout.splitlines()
    assert "cases, worst" in listed[1]
    assert listed[2].endswith("fails")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_a_killed_ship_leaves_the_old_artifact_and_the_next_one_works(house: Path) -> None:
    shipped = house / "outputs" / "prompts" / "slow-mean"
    assert twice(house, "ship", "slow-mean").stdout == "means/slow-mean: new\n"
    before = check(shipped)

    build_it = house / "phases" / "01-means" / "03-slow-mean" / "build_it.py"
    use_it = build_it.with_name("use_it.py")
    for twin in (build_it, use_it):
        code = twin.read_text(encoding="utf-8")
        twin.write_text(code.replace("/ len(values)", "/ len(values) + 1"), encoding="utf-8")
    differs = twice(house, "ship", "slow-mean", "--check")
    assert differs.returncode == 1
    assert differs.stdout.startswith("means/slow-mean: differs: prompt.md: the bytes differ")

    process = subprocess.Popen(
        [sys.executable, "-m", "shared.learn.cli", "ship", "slow-mean"],
        cwd=house,
        env={**os.environ, "TWICE_TEST_HANGS": "1"},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 20
    while not list(shipped.parent.glob(".slow-mean.new-*/*/prompt.md")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert check(shipped) == before

    again = twice(house, "ship", "slow-mean")
    assert again.stdout == "means/slow-mean: replaced: prompt.md: the bytes differ\n"
    assert check(shipped)["measured"] == {"mean": 5.0}
    assert "slow-mean" in (house / "outputs" / "README.md").read_text(encoding="utf-8")
