"""The contract's checks, each on a lesson that breaks it. (The checks run on the real lessons from shared/proof.)"""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from shared.curriculum import Lesson
from shared.proof import test_contract as contract
from shared.tests.conftest import BUILD, TEST, TOML

Add = Callable[..., Lesson]

HEAD = TOML.format(title="T", prerequisites=[])
QUESTION = """
[[quiz]]
question = "{q}?"
options = ["{a}", "bb", "cc", "dd"]
answer = {answer}
why = "so"
"""
README = """
# Double

## MOTTO

## PROBLEM

## CONCEPT

```pycon
>>> double(2)
4
>>> y = double(3)
```

```pycon
>>> y
6
```

## BUILD IT

```python title="build_it.py"
def double(x: float) -> float:
    \"\"\"2 x.\"\"\"
    return 2 * x
```

## USE IT

```python title="use_it.py"
    return 2 * x
```

## SHIP IT

```console
$ python -c "print(1); print(2.5)"
1
2...
```

## PRACTICE

<details markdown="1"><summary>Solution</summary></details>
<details markdown="1"><summary>Solution</summary></details>
<details markdown="1"><summary>Solution</summary></details>
"""


def quiz(answers: list[int], options: list[str]) -> str:
    return HEAD + "".join(
        QUESTION.format(q=i, a=option, answer=answer)
        for i, (answer, option) in enumerate(zip(answers, options, strict=True))
    )


def fails(check: Callable[..., None], lesson: Lesson, says: str, *more: object) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception), match=says):
        check(lesson, *more)


def test_a_missing_file_is_named(add_lesson: Add) -> None:
    lesson = add_lesson("90-fake/01-a")
    contract.test_files_are_present(lesson)
    (lesson.folder / "use_it.py").unlink()
    fails(contract.test_files_are_present, lesson, r"write use_it\.py")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('title = "T"', "", "title must be given, as a str"),
        ('"essential"', '"vital"', "priority is one of"),
        ("minutes = 30", "minutes = 0", "honest time"),
        ('["values"]', '["everything"]', "proves may hold"),
        ('"prompt"', '"poem"', "ships.kind is one of"),
        ('use = "read prompt.md"', "", r"\[ships\] needs use"),
        ('name = "a-prompt"', 'name = "A prompt"', "lower-case-with-hyphens"),
        ('["A source (2000)"]', "[]", "at least one source"),
        ("[ships]", "[ships]\nrtol = 1e-3", "say in rtol_why"),
        ("[ships]", 'formerly = ["fake/a"]\n[ships]', "fake/a, which is a lesson of today"),
        ("[ships]", 'formerly = ["fake/old-a"]\n[ships]', "and so does that of fake/a"),
    ],
)
def test_lesson_toml(add_lesson: Add, old: str, new: str, says: str) -> None:
    assert old in HEAD
    renamed = HEAD.replace("[ships]", 'formerly = ["fake/old-a"]\n[ships]')
    contract.test_lesson_toml(add_lesson("90-fake/01-a", lesson__toml=renamed))
    fails(contract.test_lesson_toml, add_lesson("90-fake/02-b", lesson__toml=HEAD.replace(old, new)), says)


@pytest.mark.parametrize("wrong", ['"fake/a"', '["a"]', '["../a"]', '["fake/a/b"]', "[1]"])
def test_a_former_name_is_one_of_a_lesson(add_lesson: Add, wrong: str) -> None:
    lesson = add_lesson("90-fake/01-a", lesson__toml=HEAD.replace("[ships]", f"formerly = {wrong}\n[ships]"))
    with pytest.raises(ValueError, match="formerly"):
        contract.test_lesson_toml(lesson)


def test_hints_are_for_each_public_function(add_lesson: Add) -> None:
    fails(contract.test_hints, add_lesson("90-fake/01-a"), r"add \[\[hints\]\] for \['double'\]")
    hint = '\n[[hints]]\nfor = "{}"\ntext = "Twice."\n'
    contract.test_hints(add_lesson("90-fake/02-b", lesson__toml=HEAD + hint.format("double")))
    both = HEAD + hint.format("double") + hint.format("triple")
    fails(contract.test_hints, add_lesson("90-fake/03-c", lesson__toml=both), "triple")


@pytest.mark.parametrize(
    ("answers", "options", "says"),
    [
        ([0, 1, 2, 3], ["aa"] * 4, "and there are 4"),
        ([1, 1, 1, 0, 0], ["aaa"] * 5, "stands at place 1 in 3 of 5"),
        ([0, 1, 2, 3, 4], ["aa"] * 5, "index of the right option"),
        ([0, 1, 2, 3, 0], ["bb", *["aa"] * 4], "4 different options"),
        ([0, 1, 2, 3, 0], ["a" * 40, *["aa"] * 4], "similar length"),
        ([0, 0, 1, 2, 3], ["aa"] * 5, "longest option is the right one in 5"),
    ],
)
def test_quiz(add_lesson: Add, answers: list[int], options: list[str], says: str) -> None:
    good = quiz([0, 1, 2, 3, 0], ["aaa"] * 5)
    contract.test_quiz(add_lesson("90-fake/01-a", lesson__toml=good))
    fails(contract.test_quiz, add_lesson("90-fake/02-b", lesson__toml=quiz(answers, options)), says)


@pytest.mark.parametrize(
    ("old", "new", "check", "says"),
    [
        ("## USE IT", "## USING IT", contract.test_readme_has_the_beats, "second-level headings"),
        ("    return 2 * x\n```\n\n## U", "    return 3 * x\n```\n\n## U", contract.test_readme_blocks_are_verbatim, "not in build_it.py"),
        ('```python title="use_it.py"', "```python", contract.test_readme_blocks_are_verbatim, "give the block its file"),
        ('def double(x: float) -> float:\n    """2 x."""\n', "", contract.test_readme_blocks_are_verbatim, "does not show double"),
        ("<summary>Solution", "<summary>Sol", contract.test_readme_blocks_are_verbatim, "three to five exercises"),
        (">>> y\n6", ">>> y\n7", contract.test_readme_doctests, r"7\s+Got:\s+6"),
        ("pycon", "text", contract.test_readme_doctests, "by hand in a pycon block"),
        ("2...\n", "3...\n", contract.test_readme_commands, r"prints\s+1\s+2\.5"),
        ("```console", "```sh", contract.test_readme_commands, r"what is '\$'"),
        (">>> y\n6", ">>> y  # doctest: +SKIP\n7", contract.test_readme_blocks_are_of_a_checked_kind, "skipped"),
        ('python title="use_it.py"', 'py title="use_it.py"', contract.test_readme_blocks_are_of_a_checked_kind, "not 'py'"),
        ("```pycon\n>>> y", "```text\n>>> y", contract.test_readme_blocks_are_of_a_checked_kind, "a pycon block"),
        ("1\n2...\n", "...\n", contract.test_readme_commands, "show what the command prints"),
        ("## MOTTO", "## MOTTO\n\n```sh\nnox -s nosuch\n```", contract.test_readme_commands, "no session 'nosuch'"),
        ("## MOTTO", "## MOTTO\n\n```sh\npython -m nosuch\n```", contract.test_readme_commands, "no module nosuch"),
        ("## MOTTO", "## MOTTO\n\n[x](nowhere.md)", contract.test_readme_links, "links to nowhere.md"),
        ("## MOTTO", "## MOTTO\n\n```sh\npython nowhere.py\n```", contract.test_readme_commands, "nowhere.py does not exist"),
        ("## MOTTO", "## MOTTO\n\n```sh\ntwice fly\n```", contract.test_readme_commands, "'twice fly' is no command"),
    ],
)  # fmt: skip
def test_readme(add_lesson: Add, old: str, new: str, check: Callable[..., None], says: str) -> None:
    assert old in README
    check(add_lesson("90-fake/01-a", README__md=README))
    fails(check, add_lesson("90-fake/02-b", README__md=README.replace(old, new)), says)


def test_each_figure_is_drawn(add_lesson: Add) -> None:
    lesson = add_lesson("90-fake/01-a", figures__py="def curve(): ...\ndef _helper(): ...\n")
    fails(contract.test_readme_links, lesson, "run nox -s figures")
    (lesson.folder / "figures").mkdir()
    (lesson.folder / "figures" / "curve.svg").write_text("<svg/>")
    contract.test_readme_links(lesson)


def test_build_it_stands_alone(add_lesson: Add) -> None:
    lesson = add_lesson("90-fake/01-a", build_it__py="import numpy\n" + BUILD.lstrip())
    fails(contract.test_build_it_imports_only_what_it_may, lesson, r"imports \['numpy'\]")


def test_twins_differ_in_their_interface(add_lesson: Add) -> None:
    contract.test_twins_have_the_same_interface(add_lesson("90-fake/01-a"))
    other = BUILD.replace("def double(x: float)", "def double(y: float)")
    fails(
        contract.test_twins_have_the_same_interface,
        add_lesson("90-fake/02-b", use_it__py=other),
        "double\\(y: float\\)",
    )
    bare = BUILD.replace('    """2 x."""\n', "")
    fails(contract.test_twins_have_the_same_interface, add_lesson("90-fake/03-c", build_it__py=bare), "docstrings")


def test_an_artifact_that_differs_between_twins_or_is_not_shipped_fails(add_lesson: Add, tmp_path: Path) -> None:
    other = BUILD.replace("2 * x", "3 * x")
    lesson = add_lesson("90-fake/01-a", use_it__py=other)
    fails(contract.test_both_twins_ship_the_same, lesson, "results of ship differ", tmp_path)
    lesson = add_lesson("90-fake/02-b")
    (tmp_path / "b").mkdir()
    fails(contract.test_both_twins_ship_the_same, lesson, "outputs has no a-prompt", tmp_path / "b")


def test_a_function_that_no_test_calls_is_named(add_lesson: Add) -> None:
    contract.test_faults_are_caught(add_lesson("90-fake/01-a"))
    more = BUILD.replace('"double"', '"double", "triple"').replace(
        "if __name__", "def triple(x: float) -> float:\n    return 3 * x\n\n\nif __name__"
    )
    lesson = add_lesson("90-fake/02-b", build_it__py=more, use_it__py=more)
    fails(
        contract.test_faults_are_caught, lesson, r"when these are blank: \['triple of build_it', 'triple of use_it'\]"
    )


def test_a_proof_that_never_asks_use_it_is_named(add_lesson: Add) -> None:
    alone = "def test_double(build_it):\n    assert build_it.double(3.0) == 6.0\n"
    lesson = add_lesson("90-fake/01-a", test_equivalence__py=alone)
    fails(contract.test_faults_are_caught, lesson, r"blank: \['double of use_it'\]")


def test_use_it_that_is_build_it_or_leaves_its_framework_out_is_named(add_lesson: Add) -> None:
    lesson = add_lesson("90-fake/01-a", use_it__py="from phases.fake.a.build_it import double\n")
    fails(contract.test_use_it_uses_its_frameworks, lesson, "imports build_it")
    lesson = add_lesson("90-fake/02-b", lesson__toml=HEAD.replace("frameworks = []", 'frameworks = ["torch"]'))
    fails(contract.test_use_it_uses_its_frameworks, lesson, r"\['torch'\], which use_it.py does not import")


def test_what_is_public_is_not_given(add_lesson: Add) -> None:
    given = BUILD.replace("-> float:", "-> float:  # given")
    fails(contract.test_the_stub_stands, add_lesson("90-fake/01-a", build_it__py=given), r"\['double'\] are public")


def test_a_test_that_passes_on_an_empty_file_is_named(add_lesson: Add) -> None:
    idle = TEST + "\n\ndef test_idle(use_it):\n    assert use_it.double(1) == 2\n"
    lesson = add_lesson("90-fake/02-b", test_equivalence__py=idle)
    fails(contract.test_faults_are_caught, lesson, r"although build_it.py is empty: \['test_idle'\]")


@pytest.mark.parametrize(
    ("body", "says"),
    [("pytest.skip('later')", r"although build_it.py is empty: \['test_double'\]"), ("raise SystemExit", "broke off")],
)
def test_a_proof_that_skips_or_breaks_off_does_not_pass(add_lesson: Add, body: str, says: str) -> None:
    test = f"import pytest\n\n\ndef test_double(build_it):\n    {body}\n"
    fails(contract.test_faults_are_caught, add_lesson("90-fake/01-a", test_equivalence__py=test), says)


def test_a_test_file_that_cannot_be_imported_is_told(add_lesson: Add) -> None:
    fails(contract.test_faults_are_caught, add_lesson("90-fake/01-a", test_equivalence__py="1 +"), "SyntaxError")


def test_the_contract_leaves_hypothesis_as_it_was(add_lesson: Add) -> None:
    before = settings.get_current_profile_name()
    contract.test_faults_are_caught(add_lesson("90-fake/01-a"))
    assert settings.get_current_profile_name() == before
