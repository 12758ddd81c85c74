"""`twice check` through the real command: what a learner reads, whatever is in their file."""

import hashlib
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from textwrap import indent

import pytest

from shared.curriculum import HOUSE, load
from shared.learn import judge
from shared.learn.verdict import DIFFERENT, NOT_RUN, PROVEN, SO_FAR, TO_DO, Verdict, conclude
from shared.tests.test_contract_itself import HEAD

BUILD = '''"""Mean and spread."""

import math

__all__ = ["Running", "mean", "outer_product", "spread"]


def mean(values):
    if not values:
        raise ValueError("no values: expected at least one")
    return math.fsum(values) / len(values)


def spread(values):
    middle = mean(values)
    return math.sqrt(mean([(value - middle) ** 2 for value in values]))


def outer_product(a, b):
    return [[x * y for y in b] for x in a]


class Running:
    def __init__(self):
        self.n, self.total = 0, 0.0

    def add(self, value):
        self.n += 1
        self.total += value

    def mean(self):
        return self.total / self.n
'''
USE = """import math
import statistics

import loud

__all__ = ["Running", "mean", "outer_product", "spread"]


def mean(values):
    if not values:
        raise ValueError("no values: expected at least one")
    return statistics.fmean(values)


def spread(values):
    return math.sqrt(statistics.pvariance(values))


def outer_product(a, b):
    return [[x * y for y in b] for x in a]


class Running:
    def __init__(self):
        self.values = []

    def add(self, value):
        self.values.append(value)

    def mean(self):
        return statistics.fmean(self.values)
"""
TEST = """from hypothesis import given, settings
from hypothesis import strategies as st

from shared.proof import assert_equivalent, assert_same_error

numbers = st.lists(st.integers(-9, 9).map(float), min_size=1, max_size=4)
few = settings(max_examples=15)


@few
@given(values=numbers)
def test_mean(build_it, use_it, values):
    assert_equivalent(build_it.mean(values), use_it.mean(values))


@few
@given(values=numbers)
def test_spread(build_it, use_it, values):
    assert_equivalent(build_it.spread(values), use_it.spread(values))


def test_spread_of_three(build_it, use_it):
    assert_equivalent(build_it.spread([20.0, 30.0, 50.0]), use_it.spread([20.0, 30.0, 50.0]))


def test_no_values(build_it, use_it):
    assert_same_error(lambda twin: twin.mean([]), build_it, use_it)


@few
@given(a=numbers, b=numbers)
def test_outer_product(build_it, use_it, a, b):
    assert_equivalent(build_it.outer_product(a, b), use_it.outer_product(a, b))


def test_running(build_it, use_it):
    means = []
    for twin in (build_it, use_it):
        running = twin.Running()
        for value in (1.0, 3.0):
            running.add(value)
        means.append(running.mean())
    assert_equivalent(*means)
"""
SCALE = """from phases.stats.mean_and_spread.build_it import mean, spread

__all__ = ["standardize"]


def standardize(values):
    return [(value - mean(values)) / (spread(values) or 1.0) for value in values]
"""
SCALE_USE = """import statistics

__all__ = ["standardize"]


def standardize(values):
    middle, spread = statistics.fmean(values), statistics.pstdev(values)
    return [(value - middle) / (spread or 1.0) for value in values]
"""
SCALE_TEST = """from shared.proof import assert_equivalent


def test_standardize(build_it, use_it):
    assert_equivalent(build_it.standardize([1.0, 3.0]), use_it.standardize([1.0, 3.0]))
"""
LESSON = "stats/mean-and-spread"
FILE = "workspace/stats/mean-and-spread/build_it.py"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="no signals that end a call")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two lessons, the second on the first; beside it a framework that tells when it is imported."""
    root = tmp_path_factory.mktemp("foreign")
    phase = root / "phases" / "01-stats"
    toml = HEAD.replace("frameworks = []", 'frameworks = ["loud"]')
    lessons = {
        "01-mean-and-spread": (toml, BUILD, USE, TEST),
        "02-standardize": (
            HEAD.replace("[]", f'["{LESSON}"]', 1).replace("a-prompt", "b"),
            SCALE,
            SCALE_USE,
            SCALE_TEST,
        ),
    }
    for name, texts in lessons.items():
        (phase / name).mkdir(parents=True)
        files = ("lesson.toml", "build_it.py", "use_it.py", "test_equivalence.py")
        for file, text in zip(files, texts, strict=True):
            (phase / name / file).write_text(text, encoding="utf-8")
    loud = 'import os\n\nwith open(os.environ["LOUD"], "a") as file:\n    file.write("imported\\n")\n'
    (root / "loud.py").write_text(loud, encoding="utf-8")
    return root


class Learner:
    """Somebody with a home of their own."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder, self.file = folder, folder / FILE
        self.file.parent.mkdir(parents=True)
        path = os.pathsep.join(filter(None, [str(HOUSE), str(root), os.environ.get("PYTHONPATH")]))
        self.environment = {
            **os.environ,
            "PYTHONPATH": path,
            "PYTHONIOENCODING": "utf-8",
            "TWICE_ROOT": str(root),
            "TWICE_HOME": str(folder),
            "LOUD": str(folder / "loud"),
            "COLUMNS": "100",
        }

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "shared.learn.cli", "check", *(words or (LESSON, "--limit", "0.7"))]

    def check(self, source: str | bytes | None = None, *words: str) -> subprocess.CompletedProcess[str]:
        if source is not None:
            self.file.write_bytes(source if isinstance(source, bytes) else source.encode())
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=50,
            check=False,
        )

    def progress(self) -> dict[str, dict[str, object]]:
        lessons: dict[str, dict[str, object]] = json.loads(
            (self.folder / ".twice" / "progress.json").read_text(encoding="utf-8")
        )["lessons"]
        return lessons


@pytest.fixture
def learner(root: Path, tmp_path: Path) -> Learner:
    return Learner(root, tmp_path / "home")


def spread(body: str) -> str:
    """The right file, but for what `spread` returns; its line is the 16th."""
    return BUILD.replace(BUILD.splitlines()[15] + "\n", indent(body + "\n", "    "))


def first(line: str) -> str:
    """The right file with `line` as its fifth."""
    return BUILD.replace("import math\n", f"import math\n\n{line}\n")


RIGHT = "return math.sqrt(mean([(value - middle) ** 2 for value in values]))"
HANGS = "yours has not come back in time: a loop without end? (if it is only slow: --limit 60)"
ODD = "class Odd(float):\n    {}\n\n\ndef spread(values):\n    middle = mean(values)\n    return Odd(99.0)"
SEVENTEEN = f"your line {FILE}:17"
SIXTEEN = f"your line {FILE}:16"
CALL = "call spread([0.0])"
# What is in the file, and lines of the screen: that of `spread` and what is said of it; all else is proven.
SPREADS = {
    "changes its argument": ("values.append(99.0)\n" + RIGHT, ["different spread your spread changes its argument values; the framework's does not", CALL]),
    "loop": ("while True:\n    pass", ["different spread does not come to an end in line 16", CALL, HANGS, "framework 0.0", SIXTEEN, "while True:"]),
    "loop that swallows everything": ("while True:\n    try:\n        middle += 1\n    except:\n        pass", [CALL, HANGS, "framework 0.0"]),
    "stuck in C": ("return sum(range(10 ** 15))", ["different spread does not come to an end in line 16", HANGS, SIXTEEN]),
    "segmentation fault": ("import ctypes\nctypes.string_at(0)", ["different spread the process was ended by SIGSEGV in line 17", CALL, "yours the process was ended by SIGSEGV", SEVENTEEN, "ctypes.string_at(0)"]),
    "kill": ("import os\nos.kill(os.getpid(), 9)", [CALL, "yours the process was ended by SIGKILL", f"your line {FILE}:14"]),
    "exit": ("exit()", ["different spread ends the whole process (exit) in line 16", CALL, "framework 0.0", SIXTEEN, "exit()"]),
    "os._exit": ("import os\nos._exit(3)", [CALL, "yours ends the whole process (exit)", SEVENTEEN, "os._exit(3)"]),
    "interrupt": ("raise KeyboardInterrupt", [CALL, "yours raises KeyboardInterrupt", "framework 0.0", SIXTEEN]),
    "skips the test": ("import sys\nsys.modules['pytest'].skip('no')", [CALL, "yours raises Skipped: no", SEVENTEEN]),
    "flood": ("for i in range(5000):\n    print('step', i)\nreturn 7.0", [CALL, "yours 7.0", "it printed step 0", "step 3", "… 4,996 more lines"]),
    "flood without end": ("while True:\n    print('step', middle)", [CALL, HANGS, "it printed step 0.0", SEVENTEEN]),
    "no return": ("middle", [CALL, "yours None", "framework 0.0", "they part the value: yours None, framework 0.0 (NoneType against float)", "yours gave None: does a path through it lack its return?", f"your line {FILE}:14"]),
    "a string": ("return str(middle)", [CALL, "yours '0.0'", "framework 0.0", "they part the value: yours '0.0', framework 0.0 (str against float)"]),
    "memory": ("return [0.0] * 10 ** 10", ["different spread asks for more memory than there is in line 16", CALL, "framework 0.0", SIXTEEN]),
    "memory, little by little": ("kept = []\nwhile True:\n    kept.append(bytes(10 ** 6))", ["different spread asks for more memory than there is in line 18", CALL, "framework 0.0"]),
    "recursion": ("return spread(values)", [CALL, "framework 0.0"]),
    "input": ("return float(input('how much? '))", [CALL, "yours raises EOFError: EOF when reading a line", "it printed how much?", SIXTEEN]),
    "debugger": ("breakpoint()", [CALL, "yours raises RuntimeError: a check has no terminal for a debugger: run your file itself", SIXTEEN]),
    "an assert of their own": ("assert middle < -100, 'too small'", [CALL, "yours raises AssertionError: too small", "framework 0.0", SIXTEEN]),
    "standard output closed": ("import sys\nsys.stdout.close()\nprint('gone')\nreturn 7.0", [CALL, "yours 7.0", "framework 0.0"]),
    "forks": ("import os\nif not os.fork():\n    return 1.0\nreturn 7.0", [CALL, "yours 7.0"]),
}  # fmt: skip
# The whole file, and lines of the screen.
FILES: dict[str, tuple[str | bytes, list[str]]] = {
    "a repr that raises": (BUILD.replace("def spread(values):\n", ODD.format("def __repr__(self):\n        raise KeyError('no')") + "\n"), ["call spread([0.0])", "yours <Odd whose repr raises KeyError>", "framework 0.0"]),
    "an == that lies": (BUILD.replace("def spread(values):\n", ODD.format("__eq__ = lambda self, other: True") + "\n"), ["call spread([0.0])", "yours 99.0", "framework 0.0"]),
    "other parameters": (BUILD.replace("def spread(values)", "def spread(values, middle)"), [CALL, "yours raises TypeError: spread() missing 1 required positional argument: 'middle'", "your parameters are (values, middle), and the lesson's (values)", f"your line {FILE}:14"]),
    "missing": (BUILD.replace("def spread(", "def spraed("), ["to do spread it is not in your file", "5 of 6 functions proven; 4 of 6 tests pass, 2 could not run."]),
    "no error": (BUILD.replace("raise ValueError(", "return abs(0.0) or str("), ["different mean yours should raise ValueError and returned 'no values: expected at least one'", "call mean([])", "framework ValueError: no values: expected at least one", f"your line {FILE}:8"]),
    "another error": (BUILD.replace("raise ValueError", "raise KeyError"), ["call mean([])", "yours raises KeyError: 'no values: expected at least one'", "framework ValueError: no values: expected at least one", f"your line {FILE}:10"]),
    "a wrong method": (BUILD.replace("self.total += value", "self.total = value"), ["call running = Running(); running.add(1.0); running.add(3.0); running.mean()", "yours 1.5", "framework 2.0", "not run Running.add waits for Running.mean"]),
    "transposed": (BUILD.replace("[x * y for y in b] for x in a", "[x * y for x in a] for y in b"), ["call outer_product([0.0], [0.0, 0.0])", "yours [[0.0], [0.0]]", "framework [[0.0, 0.0]]", "they part the value: yours has shape (2, 1), framework shape (1, 2): one is the transpose of the other"]),
    "an inner function": (BUILD.replace("/ len(values)", "/ (len(values) + 1)"), ["not run spread waits for mean", "mean is different", "call mean([1.0])", "yours 0.5", "framework 1.0"]),
    "empty": ("", ["to do mean it is not in your file", "0 of 6 functions proven; 0 of 6 tests pass, 6 could not run.", f"Next: write mean. A hint: twice hint {LESSON} mean"]),
    "syntax": (BUILD.replace("spread(values)", "spread(values", 1), [f"{FILE} is no Python yet, so nothing was run.", "line 14: '(' was never closed", "def spread(values:"]),
    "not UTF-8": (BUILD.replace("Mean and", "Mean \xe9").encode("latin-1"), ["line 1: this is not UTF-8 text (invalid continuation byte)"]),
    "NUL": (BUILD.replace("import math", "import math\0"), ["line 3: there is a NUL byte here, which no Python text has (is it saved as UTF-16?)"]),
    "exit on import": (first("raise SystemExit"), ["Your file ends the whole process while it is imported (exit).", f"{FILE}:5", "raise SystemExit"]),
    "loop on import": (first("while True: pass"), ["Importing your file does not come to an end: a loop outside of a function?", f"{FILE}:5", "while True: pass"]),
    "stuck in C on import": (first("sum(range(10 ** 15))"), ["Importing your file does not come to an end: a loop outside of a function?", f"{FILE}:5"]),
    "crash on import": (first("import ctypes; ctypes.string_at(0)"), ["While your file was imported, the process was ended by SIGSEGV.", f"{FILE}:5"]),
    "an error on import": (first("math.squareroot"), ["Your file cannot be imported: it raises AttributeError: module 'math' has no attribute 'squareroot'", f"{FILE}:5", "math.squareroot"]),
    "other names of parameters": (BUILD.replace("def outer_product(a, b)", "def outer_product(a, c)").replace("for y in b", "for y in c"), ["different outer_product your parameters are (a, c), and the lesson's (a, b)", "5 of 6 functions proven; 6 of 6 tests pass."]),
    "a framework": (first("import loud"), ["Your file imports loud. Build it from the standard library and earlier lessons.", f"{FILE}:5"]),
    "patches the tests": (first("import sys; sys.modules['shared.proof'].assert_equivalent = print"), ["Your file changes shared.proof.assert_equivalent, on which the tests rely: they would say nothing."]),
    "patches the twin": (first("import sys; sys.modules['phases.stats.mean_and_spread.use_it'].spread = abs"), ["Your file changes use_it.spread, on which the tests rely: they would say nothing."]),
}  # fmt: skip
SOURCES: dict[str, str | bytes] = {name: text for name, (text, _) in FILES.items()}
SOURCES |= {name: spread(body) for name, (body, _) in SPREADS.items()}
LINES = {name: lines for name, (_, lines) in (SPREADS | FILES).items()}
NEEDS_POSIX = {name for name in SOURCES if re.search("loop|stuck|flood without|fault|crash|kill|memory|fork", name)}
UNKNOWN = {"a framework", "exit on import", "loop on import", "stuck in C on import", "crash on import", "an error on import", "patches the tests", "patches the twin", "syntax", "not UTF-8", "NUL", "empty"}  # fmt: skip


@pytest.fixture(scope="module")
def screens(
    root: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """The screens that are asked for, side by side: most of a check's time is spent waiting for its limits."""
    items = [item for item in request.session.items if item.name.startswith("test_screen[")]
    names = [str(item.callspec.params["name"]) for item in items if isinstance(item, pytest.Function)]
    with ThreadPoolExecutor(3) as pool:
        learners = {name: Learner(root, tmp_path_factory.mktemp("home") / "it") for name in names}
        yield {name: pool.submit(learners[name].check, SOURCES[name]) for name in names}


@pytest.mark.parametrize("name", [pytest.param(n, marks=POSIX if n in NEEDS_POSIX else ()) for n in SOURCES])
def test_screen(screens: dict[str, "Future[subprocess.CompletedProcess[str]]"], name: str) -> None:
    done = screens[name].result()
    lines = [" ".join(line.split()) for line in done.stdout.replace("\\", "/").splitlines()]
    assert (done.returncode, done.stderr) == (1, "checking mean-and-spread\n"), done.stdout
    assert [line for line in LINES[name] if line not in lines] == [], done.stdout
    assert len(lines) <= 24
    proven = {line.split()[1] for line in lines if line.startswith("proven ")}
    wrong = {
        line.split()[1]
        for line in lines
        if re.match("(different|to do|not run|so far) ", line.replace("to do", "to do "))
    }
    assert "passed" not in done.stdout
    if name in UNKNOWN:
        assert proven == set()
    elif name in SPREADS:
        assert proven == {"mean", "outer_product", "Running.__init__", "Running.add", "Running.mean"}, done.stdout
        assert "5 of 6 functions proven; 4 of 6 tests pass." in lines
    else:
        assert not proven & wrong
        assert len(proven) < 6


def test_what_is_right_is_proven_and_recorded(learner: Learner) -> None:
    threads = "import threading, time; threading.Thread(target=time.sleep, args=(1000,)).start(); print('hello')"
    source = first(threads)
    done = learner.check(source)
    assert done.returncode == 0, done.stdout
    assert "Proven: your mean-and-spread agrees with loud.\n6 tests, 48 cases" in done.stdout
    known = learner.progress()[LESSON]
    assert set(known["functions"].values()) == {"proven"}  # type: ignore[attr-defined]
    assert (known["cases"], known["code"]) == (48, hashlib.sha256(source.encode()).hexdigest())
    assert known["proven"] == known["checked"]

    assert learner.check(spread("return 7.0")).returncode == 1  # what was proven stays so, of the code that it was
    after = learner.progress()[LESSON]
    assert (after["code"], after["proven"]) == (known["code"], known["proven"])
    assert after["functions"] == {**known["functions"], "spread": "different"}  # type: ignore[dict-item]


def test_a_byte_order_mark_is_no_fault(learner: Learner) -> None:
    assert learner.check(b"\xef\xbb\xbf" + BUILD.encode()).returncode == 0


def test_a_progress_that_cannot_be_written_is_a_warning(learner: Learner) -> None:
    (learner.folder / ".twice" / ".progress.json.new").mkdir(parents=True)  # in the place of the file to be written
    done = learner.check(BUILD)
    assert (done.returncode, "Proven: " in done.stdout) == (0, True)
    assert "twice: this was not recorded: " in done.stderr


def test_a_file_that_never_stays_the_same_is_refused(learner: Learner) -> None:
    done = learner.check(first("open(__file__, 'a').write('#\\n')"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"twice: {FILE.replace('/', os.sep)} changes each time it is read\n")


def test_a_file_not_begun_and_a_limit_that_is_none_are_one_sentence(learner: Learner) -> None:
    done = learner.check()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"twice: you have not started {LESSON}: 'twice start {LESSON}' writes your file\n"
    for limit in ("0", "-1", "nan", "inf", "x"):
        done = learner.check(BUILD, LESSON, "--limit", limit)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr


# --- on the learner's own lessons --------------------------------------------------------------------------------------

SECOND = "stats/standardize"


def second(learner: Learner, *options: str) -> tuple[int, str]:
    learner.file.parent.with_name("standardize").mkdir(exist_ok=True)
    (learner.file.parent.with_name("standardize") / "build_it.py").write_text(SCALE, encoding="utf-8")
    done = learner.check(None, SECOND, *options)
    return done.returncode, "\n".join(" ".join(line.split()) for line in done.stdout.splitlines())


def test_proven_lessons_are_imported_from_the_workspace(learner: Learner) -> None:
    own = "on your own mean-and-spread"
    marked = first("open(__file__ + '.ran', 'a').close()")
    ran = learner.file.with_name("build_it.py.ran")
    learner.file.write_text(marked, encoding="utf-8")
    code, said = second(learner)
    assert (code, own in said, ran.exists()) == (0, False, False)  # not proven yet

    assert learner.check(marked).returncode == 0
    ran.unlink()
    code, said = second(learner)
    assert (code, own in said, ran.exists()) == (0, True, True)
    ran.unlink()
    code, said = second(learner, "--reference")
    assert (code, own in said, ran.exists()) == (0, False, False)
    learner.file.write_text(marked + "\n", encoding="utf-8")  # changed since
    code, said = second(learner)
    assert (code, own in said, ran.exists()) == (0, False, False)
    assert "Your mean-and-spread has changed since it was proven, so the reference's is used" in said


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("if values == [1.0, 3.0]: return 7.0", "different standardize"),
        ("if values == [1.0, 3.0]: raise KeyError('mine')", "yours raises KeyError: 'mine'"),
    ],
)
def test_a_failure_that_comes_from_an_earlier_lesson_names_it(learner: Learner, fault: str, line: str) -> None:
    learner.file.write_text(BUILD.replace("    middle", f"    {fault}\n    middle"), encoding="utf-8")
    state = {"proven": "2026-11-20T10:11:02Z", "code": hashlib.sha256(learner.file.read_bytes()).hexdigest()}
    (learner.folder / ".twice").mkdir()
    progress = {"version": 1, "lessons": {LESSON: state}, "cards": {}}
    (learner.folder / ".twice" / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
    code, said = second(learner)
    assert code == 1
    assert line in said
    assert f"it comes from your {LESSON}: with the reference's in its place, it passes" in said
    assert second(learner, "--reference")[0] == 0


# --- watching ----------------------------------------------------------------------------------------------------------


class Watching:
    """`twice check --watch` in a pseudo-terminal."""

    def __init__(self, learner: Learner) -> None:
        import pty  # noqa: PLC0415  # POSIX only

        self.file, self.said = learner.file, ""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(learner.folder)
            os.execve(sys.executable, learner.command(LESSON, "--watch", "--limit", "0.7"), learner.environment)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                data = os.read(self.terminal, 1 << 16)
            except OSError:
                return
            if not data:
                return
            self.said += data.decode(errors="replace")

    @property
    def screen(self) -> str:
        """What the terminal shows now: a check begins by clearing it."""
        return self.said.rpartition("\033[2J")[2]

    def until(self, text: str) -> str:
        """The screen of a finished check in which `text` stands."""
        end = time.monotonic() + 30
        while not (text in self.screen and "Ctrl-C ends." in self.screen):
            assert time.monotonic() < end, self.said[-3000:]
            time.sleep(0.02)
        return self.screen

    def shows(self, value: int) -> None:
        self.until(f"yours {value}.0,")

    def end(self) -> int:
        """Ctrl-C; the exit code."""
        os.write(self.terminal, b"\x03")
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def watch(learner: Learner) -> Iterator[Callable[[], Watching]]:
    started = []

    def begin() -> Watching:
        started.append(Watching(learner))
        return started[-1]

    yield begin
    for one in started:
        if one.pid:
            os.kill(one.pid, signal.SIGKILL)
            os.waitpid(one.pid, 0)
        os.close(one.terminal)


def gives(value: int) -> str:
    return spread(f"return {value}.0")


def descendants(pid: int) -> set[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in map(str.split, listed.splitlines())}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def left(pids: set[int]) -> set[int]:
    """Those that are still there after a while; a process that has ended may wait for its parent."""
    end = time.monotonic() + 10
    while True:
        listed = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True).stdout
        alive = {int(line.split()[0]) for line in listed.splitlines() if not line.split()[1].startswith("Z")}
        if not pids & alive or time.monotonic() > end:
            return pids & alive
        time.sleep(0.05)


@POSIX
def test_each_way_of_saving_is_seen(learner: Learner, watch: Callable[[], Watching]) -> None:
    file = learner.file
    file.write_text(gives(71), encoding="utf-8")
    watching = watch()
    watching.shows(71)
    beside = file.with_name("build_it.py~")
    beside.write_text(gives(72), encoding="utf-8")  # as vim does
    beside.replace(file)
    watching.shows(72)
    with file.open("w", encoding="utf-8") as writing:  # in two steps
        text = gives(73)
        writing.write(text[:200])
        writing.flush()
        time.sleep(0.05)
        writing.write(text[200:])
    watching.shows(73)
    file.unlink()
    time.sleep(0.3)
    file.write_text(gives(74), encoding="utf-8")
    watching.shows(74)
    status = file.stat()
    file.write_text(gives(75), encoding="utf-8")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # of the same size and, to the second, time
    watching.shows(75)
    file.write_text(spread("while True:\n    pass"), encoding="utf-8")  # and while this is being checked
    time.sleep(0.6)
    file.write_text(gives(76), encoding="utf-8")
    watching.shows(76)
    for value in range(100, 130):
        file.write_text(gives(value), encoding="utf-8")
        time.sleep(0.02)
    watching.shows(129)
    file.write_text(BUILD, encoding="utf-8")
    watching.until("Proven: your mean-and-spread")
    assert (learner.folder / "loud").read_text(encoding="utf-8") == "imported\n"  # the framework, once
    assert watching.end() == 0


@POSIX
def test_nothing_of_one_check_is_left_in_the_next(learner: Learner, watch: Callable[[], Watching]) -> None:
    stale = """import json, random, statistics, sys, types
twin = sys.modules["phases.stats.mean_and_spread.use_it"]
sys.modules["phases.stats.mean_and_spread.build_it"] = types.ModuleType("stale")
sys.modules["statistics"] = types.ModuleType("statistics")
sys.modules["planted"] = types.ModuleType("planted")
statistics.fmean = twin.mean = math.fsum = math.sqrt = json.dumps = lambda *_, **__: 7.0
random.seed(7)
raise KeyError("planted")"""
    learner.file.write_text(first(stale), encoding="utf-8")
    watching = watch()
    watching.until("KeyError: 'planted'")
    clean = "import sys; assert 'planted' not in sys.modules and math.sqrt(4.0) == 2.0"
    learner.file.write_text(first(clean), encoding="utf-8")
    watching.until("Proven: your mean-and-spread")
    learner.file.write_text(gives(7), encoding="utf-8")
    watching.shows(7)
    processes = descendants(watching.pid)
    assert processes
    assert watching.end() == 1
    assert left(processes) == set()
    assert "Traceback" not in watching.said


@POSIX
@pytest.mark.parametrize("how", ["kill -9", "Ctrl-C"])
def test_no_process_outlives_the_command(learner: Learner, watch: Callable[[], Watching], how: str) -> None:
    starts = (
        "import subprocess\nsubprocess.Popen(['sleep', '1000'])\nopen('started', 'w').close()\nwhile True:\n    pass"
    )
    learner.file.write_text(
        spread(starts.replace("'started'", repr(str(learner.folder / "started")))), encoding="utf-8"
    )
    watching = watch()
    end = time.monotonic() + 20
    while not (learner.folder / "started").exists():
        assert time.monotonic() < end, watching.said
        time.sleep(0.01)
    processes = descendants(watching.pid)
    assert len(processes) >= 3  # the warm one, a judge, and what that has started
    if how == "kill -9":
        os.kill(watching.pid, signal.SIGKILL)
        os.waitpid(watching.pid, 0)
        watching.pid = 0
    else:
        watching.end()
    assert left(processes) == set()


@POSIX
def test_what_a_file_starts_ends_with_its_check(learner: Learner) -> None:
    line = f"import os, subprocess; print(subprocess.Popen(['sleep', '1000']).pid, file=open({str(learner.folder / 'pids')!r}, 'a'))"
    assert learner.check(first(line)).returncode == 0
    pids = {int(pid) for pid in (learner.folder / "pids").read_text(encoding="utf-8").split()}
    assert len(pids) == 2  # of two judges
    assert left(pids) == set()


def test_a_sign_of_life_never_cuts_into_a_line(root: Path) -> None:
    out = io.StringIO()
    one = judge.Judge(judge.Job(load(root).find(LESSON), root, [], []), out)
    one.test_began = time.monotonic() - 3.0
    one.saying = True
    one.keep_time(0, None)
    assert out.getvalue() == ""
    one.saying = False
    one.keep_time(0, None)
    assert json.loads(out.getvalue()) == {"event": "alive", "shard": 0}
    one.call_began = time.monotonic() - 6.0
    with pytest.raises(judge._StillRunningError):
        one.keep_time(0, None)


# --- the verdict -------------------------------------------------------------------------------------------------------

PATHS = ["mean", "spread", "scale"]


def test_event(test: str, outcome: str, *calls: str, **more: object) -> dict[str, object]:
    said: dict[str, object] = {"event": "test", "test": test, "outcome": outcome, "calls": dict.fromkeys(calls, 1)}
    return {**said, "cases": 2, "worst": 1e-16, **more}


test_event.__test__ = False  # type: ignore[attr-defined]  # a helper


def failed(test: str, *calls: str, path: str | None = None, **failure: object) -> dict[str, object]:
    failure = {"kind": "assertion", "message": "it differs", "call": "mean([1.0])", **failure, "path": path}
    return test_event(test, "failed", *calls, failure=failure)


def concluded(*events: dict[str, object], todo: dict[str, str] | None = None, count: int | None = None) -> Verdict:
    imported = {"event": "imported", "missing": [], "printed": "", "earlier": []}
    tests = len({event["test"] for event in events if event["event"] == "test"})
    collected = {"event": "collected", "shard": 0, "count": tests if count is None else count}
    return conclude(PATHS, todo or {}, [imported, collected, *events])


def states(verdict: Verdict) -> list[str]:
    return [function.state for function in verdict.functions.values()]


def test_all_that_passed_is_proven() -> None:
    verdict = concluded(test_event("a", "passed", "mean", "spread"), test_event("b", "passed", "mean", "scale"))
    assert (verdict.proven, verdict.cases, verdict.worst) == (True, 4, 1e-16)
    assert verdict.functions["mean"].cases == 4


def test_a_function_that_only_refused_is_not_proven() -> None:
    """Its error cases pass early, while what it computes no test has seen."""
    refused = {**test_event("a", "passed", "mean"), "calls": {"mean": 0}}
    verdict = concluded(refused, test_event("b", "waits", "spread", **{"for": "scale"}))
    assert verdict.functions["mean"].state != "proven"
    assert "no test has seen a value" in verdict.functions["mean"].why
    assert concluded(
        {**test_event("a", "passed", *PATHS), "calls": dict.fromkeys(PATHS, 0)}
    ).proven  # it is all there is


def test_a_test_of_one_function_speaks_of_that_one() -> None:
    """It fails by a value that is written in the test, before the framework is asked: no call shows a difference."""
    verdict = concluded(failed("by hand", "mean"), todo={"scale": "to do"})
    assert verdict.functions["mean"].state == "different"
    assert (
        concluded(failed("by hand", "mean", "spread"), todo={"scale": "to do"}).functions["mean"].state != "different"
    )


@pytest.mark.parametrize(
    ("events", "count"),
    [
        ([], 0),  # no test at all
        ([test_event("a", "passed", *PATHS)], 2),  # one that was never heard of
        ([test_event("a", "passed", *PATHS), test_event("b", "skipped", "mean")], 2),
        ([test_event("a", "passed", "mean", "spread")], 1),  # `scale` was not called
        ([test_event("a", "passed", *PATHS), {"event": "broken", "why": "no fixture"}], 1),
        ([test_event("a", "passed", *PATHS), {"event": "spoiled", "what": "math.sqrt"}], 1),
        ([test_event("a", "passed", *PATHS), {"event": "died", "test": "", "how": "killed", "silent": False}], 1),
    ],
)
def test_what_did_not_run_is_never_proven(events: list[dict[str, object]], count: int) -> None:
    assert not concluded(*events, count=count).proven


def test_a_skipped_test_proves_nothing_of_what_it_called() -> None:
    verdict = concluded(test_event("a", "passed", *PATHS), test_event("b", "skipped", "mean"))
    assert states(verdict) == [SO_FAR, PROVEN, PROVEN]
    assert (verdict.passed, verdict.skipped) == (1, 1)


def test_what_waits_is_so_far_or_not_run() -> None:
    verdict = concluded(
        test_event("a", "passed", "mean"),
        test_event("b", "waits", "mean", "scale", **{"for": "spread"}),
        todo={"spread": ""},
    )
    assert states(verdict) == [SO_FAR, TO_DO, NOT_RUN]
    assert verdict.functions["mean"].why == "1 more test waits for spread"
    assert verdict.functions["scale"].why == "waits for spread"
    assert verdict.waiting == 1


def test_a_missing_function_is_to_do_whatever_its_tests_say() -> None:
    event: dict[str, object] = {"event": "imported", "missing": ["spread"], "printed": "", "earlier": []}
    verdict = concluded(event, test_event("a", "passed", *PATHS))
    assert states(verdict)[1] == TO_DO
    assert not verdict.proven


def test_the_shortest_call_of_the_function_itself_is_shown() -> None:
    verdict = concluded(
        failed("a", "mean", "spread", path="mean", call="spread([1.0])", outer="spread"),
        failed("b", "mean", path="mean", call="mean([1.0, 2.0])", outer="mean"),
        failed("c", "mean", path="mean", call="mean([1.0])", outer="mean"),
        test_event("d", "passed", "scale"),
    )
    assert states(verdict) == [DIFFERENT, NOT_RUN, PROVEN]
    assert verdict.functions["mean"].failure["test"] == "c"
    assert verdict.functions["mean"].failing == ["a", "b", "c"]
    assert verdict.functions["spread"].why == "waits for mean"


def test_without_a_call_that_differs_the_one_most_often_in_failing_tests_is_blamed() -> None:
    candidates = {path: {"call": f"{path}()"} for path in PATHS}
    verdict = concluded(
        failed("a", *PATHS, candidates=candidates),
        failed("b", *PATHS, candidates=candidates),
        test_event("c", "passed", "mean", "scale"),
        test_event("d", "passed", "scale"),
    )  # Ochiai: mean 2 / sqrt(2 * 3) = 0.82, spread 2 / sqrt(2 * 2) = 1, scale 2 / sqrt(2 * 4) = 0.71
    assert states(verdict) == [SO_FAR, DIFFERENT, SO_FAR]
    assert verdict.functions["spread"].failure["call"] == "spread()"


def test_what_no_call_explains_waits_for_what_is_known() -> None:
    verdict = concluded(failed("a", "mean", path="mean"), failed("tool"), test_event("b", "passed", "spread", "scale"))
    assert (verdict.failed, verdict.waiting, verdict.others) == (1, 1, {})
    alone = concluded(failed("tool"), test_event("b", "passed", *PATHS))
    assert (alone.failed, alone.others, alone.proven) == (1, {"tool": "it differs"}, False)


def test_a_file_that_was_not_imported_has_run_nothing() -> None:
    for event in (
        {"event": "import_failed", "kind": "error", "message": "KeyError", "file": "", "line": 0},
        {"event": "died", "test": "", "how": "ended by SIGSEGV", "silent": False},
    ):
        verdict = conclude(PATHS, {}, [event])
        assert states(verdict) == [NOT_RUN] * 3
        assert (verdict.passed, verdict.collected, bool(verdict.trouble)) == (0, 0, True)


def test_what_leans_on_another_comes_after_it() -> None:
    verdict = concluded(
        failed("a", "mean", path="mean", inner=["scale"]),
        failed("b", "scale", path="scale", inner=[]),
        test_event("c", "passed", "spread"),
    )
    assert [function.path for function in verdict.different] == ["scale", "mean"]


@pytest.mark.parametrize(
    ("mine", "theirs", "part"),
    [
        ([3], [0.6], "the argument gradients afterwards, at [0]: yours 3, framework 0.6"),
        ([0.6], [3], "your clip changes its argument gradients; the framework's does not"),
        ([0.6], [0.6], ""),
    ],
)
def test_what_becomes_of_the_arguments_is_compared(mine: list[float], theirs: list[float], part: str) -> None:
    call = judge.Call("clip", "clip([3])", result=5.0, returned=True, before={"gradients": [3]})
    call.after = {"gradients": mine}
    answer = judge._Theirs(5.0, "5.0", {"gradients": theirs})
    found = judge.Judge.__new__(judge.Judge)._differs(call, answer, 1e-9, 1e-12)
    assert (found or {"part": ""})["part"].startswith(part)
    assert bool(found) == bool(part)


def test_a_generator_of_a_class_of_its_own_is_not_copied() -> None:
    """A copy would lack what its ``__init__`` has made, and break a test that a right file passes."""

    class Given(random.Random):
        def __init__(self) -> None:
            super().__init__(0)
            self.draws = [0.5]

    copier = judge._Copier()
    assert copier.copy(random.Random(3)).random() == random.Random(3).random()
    with pytest.raises(judge._NotPlainError):
        copier.copy(Given())
