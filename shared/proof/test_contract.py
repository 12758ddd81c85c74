"""The lesson contract: what every lesson keeps, checked by machine. Each message says how to mend.

The contract's text is in docs/design.md. ``--lesson`` chooses lessons; a check is one test for each lesson.
"""

import ast
import contextlib
import contextvars
import doctest
import importlib
import importlib.util
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from _pytest.tmpdir import tmppath_result_key

from shared.curriculum import BEATS, HOUSE, LEVELS, PRIORITIES, Lesson, environment, load, pytest_options
from shared.proof import interface, readme
from shared.proof.equivalence import RTOL, differences
from shared.proof.plugin import selected
from shared.ship.artifact import KINDS, build, compare, place
from shared.ship.checks import check

FENCES = ("python", "pycon", "console", "sh", "mermaid", "text", "json", "toml", "csv")
FILES = ("README.md", "lesson.toml", "build_it.py", "use_it.py", "ship_it.py", "test_equivalence.py")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "lesson" in metafunc.fixturenames:
        lessons = selected(metafunc.config)
        metafunc.parametrize("lesson", lessons, ids=[lesson.name for lesson in lessons])


def twin(lesson: Lesson, name: str) -> ModuleType:
    return importlib.import_module(lesson.module(name))


def public_names(lesson: Lesson) -> list[str]:
    """The public functions, and classes with methods to write: what a learner needs hints for."""
    module = twin(lesson, "build_it")
    return list(dict.fromkeys(target.path.partition(".")[0] for target in interface.targets(module)))


def test_files_are_present(lesson: Lesson) -> None:
    missing = [name for name in FILES if not (lesson.folder / name).is_file()]
    assert not missing, f"{lesson.folder}: write {', '.join(missing)} ('twice new' makes the skeleton)"


def test_lesson_toml(lesson: Lesson) -> None:
    meta = lesson.meta
    for key, kind in {"title": str, "minutes": int, "prerequisites": list, "frameworks": list, "sources": list}.items():
        assert isinstance(meta.get(key), kind), f"lesson.toml: {key} must be given, as a {kind.__name__}"
    assert meta["title"].strip(), "lesson.toml: the title is empty"
    assert meta.get("priority") in PRIORITIES, f"lesson.toml: priority is one of {PRIORITIES}"
    assert meta["minutes"] > 0, "lesson.toml: minutes is the honest time for reading, building and exercises"
    named = meta["sources"] and all(str(source).strip() for source in meta["sources"])
    assert named, "lesson.toml: name at least one source (paper, book, specification)"
    assert meta.get("proves"), f"lesson.toml: proves lists what agrees: {LEVELS}"
    assert set(meta["proves"]) <= set(LEVELS), f"lesson.toml: proves may hold {LEVELS}"
    ships = meta.get("ships", {})
    missing = [key for key in ("kind", "name", "title", "summary", "use") if not ships.get(key)]
    assert not missing, f"lesson.toml: [ships] needs {', '.join(missing)}"
    assert ships["kind"] in KINDS, f"lesson.toml: ships.kind is one of {tuple(KINDS)}"
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", ships["name"]), "lesson.toml: ships.name is lower-case-with-hyphens"
    assert ships.get("rtol", RTOL) <= RTOL or ships.get("rtol_why"), "lesson.toml: say in rtol_why why rtol is looser"
    for name in lesson.formerly:
        curriculum = load(lesson.root)
        assert name not in curriculum.lessons, f"lesson.toml: formerly holds {name}, which is a lesson of today"
        became = curriculum.former[name].name
        assert became == lesson.name, f"lesson.toml: formerly holds {name}, and so does that of {became}"


def test_prerequisites(lesson: Lesson) -> None:
    load(lesson.root).path_to(lesson)  # raises with the circle, or the name that does not exist


def test_hints(lesson: Lesson) -> None:
    names = public_names(lesson)
    hinted = {hint["for"].partition(".")[0] for hint in lesson.meta.get("hints", []) if hint.get("text", "").strip()}
    assert not set(names) - hinted, f"lesson.toml: add [[hints]] for {sorted(set(names) - hinted)}"
    unknown = hinted - set(twin(lesson, "build_it").__all__)
    assert not unknown, f"lesson.toml: hints for {sorted(unknown)}, which build_it.py does not have"


def test_quiz(lesson: Lesson) -> None:
    quiz = lesson.meta.get("quiz", [])
    assert len(quiz) == 5, f"lesson.toml: 5 [[quiz]] questions, and there are {len(quiz)}"
    longest = 0
    for question in quiz:
        text, options, answer = question["question"], question["options"], question["answer"]
        assert len(options) == len(set(options)) == 4, f"{text!r}: 4 different options"
        assert answer in range(4), f"{text!r}: answer is the index of the right option, from 0"
        assert question.get("why", "").strip(), f"{text!r}: say why the answer is right"
        lengths = [len(option) for option in options]
        assert max(lengths) <= 2 * min(lengths) + 10, f"{text!r}: options of similar length, not {lengths}"
        longest += lengths[answer] == max(lengths)
    assert longest <= 2, f"the longest option is the right one in {longest} of 5 questions: lengthen others"
    position, times = Counter(question["answer"] for question in quiz).most_common(1)[0]
    assert times <= 2, f"the right answer stands at place {position} in {times} of 5 questions: move some"


def test_readme_has_the_beats(lesson: Lesson) -> None:
    beats = readme.read(lesson.folder / "README.md").beats
    assert beats == list(BEATS), f"README.md: the second-level headings are {BEATS}, in this order, not {beats}"
    lines = enumerate((lesson.folder / "README.md").read_text(encoding="utf-8").splitlines(), 1)
    left = [number for number, line in lines if line.startswith("TODO")]
    assert not left, f"README.md: still to write, in lines {left}"


def test_readme_blocks_are_verbatim(lesson: Lesson) -> None:
    page = readme.read(lesson.folder / "README.md")
    for block in page.blocks:
        if block.language != "python":
            continue
        assert block.title, f'README.md line {block.line}: give the block its file, ```python title="build_it.py"'
        source = (lesson.folder / block.title).read_text(encoding="utf-8")
        found = f"\n{block.code}" in f"\n{source}"
        assert found, f"README.md line {block.line}: this block is not in {block.title}, word for word: copy it anew"
    shown = "".join(block.code for block in page.blocks if block.title == "build_it.py")
    for name in public_names(lesson):
        assert re.search(rf"^(def|class) {name}\b", shown, re.MULTILINE), f"README.md: BUILD IT does not show {name}"
    assert any(block.title == "use_it.py" for block in page.blocks), "README.md: USE IT shows nothing of use_it.py"
    solutions = (lesson.folder / "README.md").read_text(encoding="utf-8").count("<summary>Solution</summary>")
    assert solutions >= 3, "README.md: PRACTICE has three to five exercises with a solution in <details> each"


def test_readme_blocks_are_of_a_checked_kind(lesson: Lesson) -> None:
    for block in readme.read(lesson.folder / "README.md").blocks:
        where = f"README.md line {block.line}"
        assert block.language in FENCES, f"{where}: a block is one of {FENCES}, not {block.language!r}"
        assert block.language == "pycon" or ">>> " not in block.code, f"{where}: an example with >>> is a pycon block"
        assert "+SKIP" not in block.code, f"{where}: a doctest that is skipped checks nothing"


def test_readme_doctests(lesson: Lesson) -> None:
    page = readme.read(lesson.folder / "README.md")
    assert page.of("pycon"), "README.md: work the example by hand in a pycon block"
    namespaces: dict[str, dict[str, Any]] = {}
    said = io.StringIO()
    for block in page.of("pycon"):
        name = "use_it" if block.beat == "USE IT" else "build_it"
        if block.beat not in namespaces:
            module = twin(lesson, name)
            namespaces[block.beat] = {key: getattr(module, key) for key in module.__all__} | {name: module}
        # one namespace for each beat: the test must not clear it
        test = doctest.DocTestParser().get_doctest(block.code, {}, "README.md", "README.md", block.line)
        test.globs = namespaces[block.beat]
        doctest.DocTestRunner(optionflags=readme.FLAGS).run(test, out=said.write, clear_globs=False)
    assert not said.getvalue(), said.getvalue()


def test_readme_commands(lesson: Lesson) -> None:
    page = readme.read(lesson.folder / "README.md")
    for block in page.of("console"):
        for command, expected in readme.commands(block):
            assert expected.strip() != "...", f"README.md line {block.line}: show what the command prints, or use sh"
            actual = run(command, lesson.root)
            shown = readme.same_output(expected, actual)
            assert shown, (
                f"README.md line {block.line}: $ {command}\nprints\n{actual}\nand the README shows\n{expected}"
            )
    for block in page.of("sh"):
        for line in block.code.splitlines():
            if line.strip() and not line.startswith("#"):
                assert_exists(line, lesson.root, f"README.md line {block.line}")


def run(command: str, root: Path) -> str:
    """What a command of a README prints, run from the root of its repository."""
    words = shlex.split(command, comments=True)
    words[:1] = {"python": [sys.executable], "twice": [sys.executable, "-P", "-m", "shared.learn.cli"]}.get(
        words[0], words[:1]
    )
    more = {"PYTHONIOENCODING": "utf-8", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "100"}
    more["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HOUSE), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        words,
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(root) | more,
        timeout=30,
        check=False,
    )
    return done.stdout.decode("utf-8")


def assert_exists(command: str, root: Path, where: str) -> None:
    """The command's program is known, and the files it names are there."""
    words = shlex.split(command, comments=True)
    if words[0] == "twice":
        from shared.learn.cli import parser  # noqa: PLC0415  # it is built only here

        with contextlib.redirect_stderr(io.StringIO()) as said:
            try:
                options = parser().parse_args(words[1:])
            except SystemExit:
                pytest.fail(f"{where}: {command!r} is no command: {said.getvalue()}")
        for name in [getattr(options, "lesson", None), *getattr(options, "lessons", [])]:
            assert name is None or load(root).find(name), where  # find raises where there is none
        return
    assert words[0] in ("python", "pip", "nox", "cd", "git"), f"{where}: what is {words[0]!r}?"
    if words[0] == "nox":
        session = words[words.index("-s") + 1]
        noxfile = root / "noxfile.py"
        sessions = noxfile.read_text(encoding="utf-8") if noxfile.is_file() else ""
        assert re.search(rf"^def {session}\(", sessions, re.MULTILINE), (
            f"{where}: noxfile.py has no session {session!r}"
        )
    if words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]), f"{where}: there is no module {words[2]}"
    for word in words[1:]:
        if word.endswith(".py"):
            assert (root / word).is_file(), f"{where}: {word} does not exist"


def test_readme_links(lesson: Lesson) -> None:
    for link in readme.read(lesson.folder / "README.md").links:
        if not re.match(r"[a-z]+:|#", link):
            target = lesson.folder / link.partition("#")[0]
            assert target.exists(), f"README.md links to {link}, which is not there (figures: nox -s figures)"
    figures = lesson.folder / "figures.py"
    if figures.is_file():
        tree = ast.parse(figures.read_text(encoding="utf-8"))
        names = [n.name for n in tree.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
        drawn = {path.stem for path in (lesson.folder / "figures").glob("*.svg")}
        assert drawn == set(names), f"figures.py has {names}, and figures/ {sorted(drawn)}: run nox -s figures"


def test_build_it_imports_only_what_it_may(lesson: Lesson) -> None:
    source = (lesson.folder / "build_it.py").read_text(encoding="utf-8")
    foreign = interface.foreign_imports(source, interface.may_import(lesson))
    assert not foreign, f"build_it.py imports {list(foreign)}: only the standard library and build_it of prerequisites"


def test_use_it_uses_its_frameworks(lesson: Lesson) -> None:
    imported = interface.imports((lesson.folder / "use_it.py").read_text(encoding="utf-8"))
    assert lesson.module("build_it") not in {name.removesuffix(".*") for name in imported}, "use_it.py imports build_it"
    unused = [f for f in lesson.frameworks if not any(name.partition(".")[0] == f for name in imported)]
    assert not unused, f"lesson.toml names the frameworks {unused}, which use_it.py does not import"


def test_build_it_runs_on_the_interpreter_alone(lesson: Lesson) -> None:
    command = [sys.executable, "-S", "-B", "-X", "utf8", "-m", lesson.module("build_it")]
    done = subprocess.run(
        command,
        cwd=HOUSE,
        env=environment(lesson.root),
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, f"python -S -m {lesson.module('build_it')} fails:\n{done.stderr}"
    assert done.stdout.strip(), "build_it.py prints nothing when run: end it with one small example under __main__"


def test_the_stub_stands(lesson: Lesson) -> None:
    functions = [f for f in (t.raw for t in interface.targets(twin(lesson, "build_it"))) if inspect.isfunction(f)]
    heads = {f.__name__: inspect.getsource(f).partition('"""')[0] for f in functions}
    given = [name for name, head in heads.items() if interface.GIVEN in head]
    assert not given, f"build_it.py: {given} are public, so they are for the learner to write and cannot be '# given'"
    lost = interface.lost_helpers((lesson.folder / "build_it.py").read_text(encoding="utf-8"))
    assert not lost, (
        f"build_it.py: what is '# given' uses {lost}, which the stub loses: end their def lines with # given"
    )


def test_twins_have_the_same_interface(lesson: Lesson) -> None:
    built = twin(lesson, "build_it")
    undocumented = [
        target.path for target in interface.targets(built) if not (target.raw.__doc__ or "__" in target.name)
    ]
    assert not undocumented, f"build_it.py: write docstrings for {undocumented}"
    assert not (found := interface.interface_differences(built, twin(lesson, "use_it"))), "\n".join(found)


def test_both_twins_ship_the_same(lesson: Lesson, tmp_path: Path) -> None:
    rtol = lesson.meta["ships"].get("rtol", RTOL)
    folders = {name: tmp_path / name for name in ("build_it", "use_it")}
    results = []
    for name, folder in folders.items():
        folder.mkdir()
        results.append(build(lesson, name, folder))
        assert results[-1], "ship_it.py: return what was measured, by name"
    assert not (found := differences(results[0], results[1], rtol)), f"the results of ship differ: {found}"
    assert not (found := compare(folders["build_it"], folders["use_it"], rtol)), f"the artifacts differ: {found}"
    check(folders["build_it"])
    shipped = place(lesson)
    assert shipped.is_dir(), f"outputs has no {shipped.name}: run 'twice ship {lesson.name}' and commit it"
    check(shipped)
    found = compare(shipped, folders["build_it"], rtol, names=("outputs", "this build"))
    assert not found, f"{shipped.name} in outputs is out of date ('twice ship {lesson.name}'): {found}"


class _Faults:
    """Inside a pytest session of its own: run the lesson's tests on one fault after the other.

    A fault is caught as soon as one test fails. Tests that mention what is blank run first, and of a parametrized test
    each case only after the other tests have had as many.
    """

    def __init__(self, lesson: Lesson) -> None:
        self.module, self.used = twin(lesson, "build_it"), twin(lesson, "use_it")
        self.items: list[pytest.Item] = []
        self.pass_on_empty: list[str] = []
        self.untested: list[str] = []
        self.finished = False  # False where the session broke off, which must not read as a pass

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = session.items
        with self.emptied():
            self.pass_on_empty = [item.name for item in self.items if not self.fails(item)]
        source = {item: _source(item) for item in self.items}
        nth = {
            item: [i.name.partition("[")[0] for i in self.items[:k]].count(item.name.partition("[")[0])
            for k, item in enumerate(self.items)
        }
        functions = [
            interface.Target(self.used, name)
            for name in self.module.__all__
            if inspect.isfunction(vars(self.module)[name])
        ]
        for target in [*interface.targets(self.module), *functions]:
            word = re.compile(rf"\b({target.name.strip('_')}|{target.path.partition('.')[0]})\b")
            in_order = sorted(
                self.items, key=lambda item: (not word.search(item.name), not word.search(source[item]), nth[item])
            )
            with interface.blanked(target):
                if not any(self.fails(item) for item in in_order):
                    self.untested.append(f"{target.path} of {'use_it' if target.owner is self.used else 'build_it'}")
        self.finished = True
        return True

    @contextlib.contextmanager
    def emptied(self) -> Iterator[None]:
        name = self.module.__name__
        sys.modules[name] = ModuleType(name)
        try:
            yield
        finally:
            sys.modules[name] = self.module

    def fails(self, item: pytest.Item) -> bool:
        """Run one test with fresh fixtures, without the reports that a session writes about it."""
        item._initrequest()  # type: ignore[attr-defined]  # as pytest-rerunfailures does
        item.stash[tmppath_result_key] = {}  # what a report would have told the fixture tmp_path
        state = item.session._setupstate
        try:
            state.setup(item)
            # In a context of its own: a fault may leave a context variable set that the whole code sets back.
            contextvars.copy_context().run(item.runtest)
        except pytest.skip.Exception:
            return False  # what does not run catches nothing
        except (Exception, pytest.fail.Exception):
            return True
        finally:
            state.teardown_exact(None)
        return False


def _source(item: pytest.Item) -> str:
    function = item.function  # type: ignore[attr-defined]
    inner = function.hypothesis.inner_test if hasattr(function, "hypothesis") else function
    return inspect.getsource(inner)


def test_faults_are_caught(lesson: Lesson) -> None:
    """An empty build_it.py fails every test; each public function (of either twin) and method, blank alone, some test."""
    tests = lesson.folder / "test_equivalence.py"
    options = [*pytest_options(lesson.root), "-q", "--assert=plain", "--twice-profile", "glance"]
    options += ["--override-ini", "timeout=0"]  # this test's own time limit stays in force
    for plugin in ("cacheprovider", "xdist", "unraisableexception"):
        options += ["-p", f"no:{plugin}"]
    # Hypothesis reads its profile when a test is defined, so the inner session needs the file imported anew.
    before = {
        key: sys.modules.pop(key) for key, m in list(sys.modules.items()) if getattr(m, "__file__", "") == str(tests)
    }
    faults = _Faults(lesson)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
            pytest.main([str(tests), *options], plugins=[faults])
    finally:
        sys.modules.update(before)
    assert faults.items, f"no test of test_equivalence.py could be collected:\n{said.getvalue()}"
    assert faults.finished, f"the tests broke off while faults were tried:\n{said.getvalue()}"
    assert not faults.pass_on_empty, f"these tests pass although build_it.py is empty: {faults.pass_on_empty}"
    assert not faults.untested, f"no test in test_equivalence.py fails when these are blank: {faults.untested}"
