"""The site's generator on a small curriculum of its own. Built pages are looked at by ``nox -s docs``."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from shared.curriculum import ROOT, Phase, load
from shared.proof.card import write_card
from shared.site import build, check, pages, phases, session

LESSON = """
title = "Lines"
priority = "essential"
minutes = 150
prerequisites = [{prerequisites}]
frameworks = ["numpy"]
proves = ["values"]
sources = ["Euclid, Elements, https://example.org/euclid"]

[ships]
kind = "tool"
name = "ruler"

[[hints]]
for = "line"
text = "a secret hint"

[[quiz]]
question = "Which way?"
options = ["left", "right", "up", "down"]
answer = 2
why = "It rises."
"""
README = """# Lines

## MOTTO

See [curves](../../02-second/01-curves/README.md#motto), [the phase](..), [code](build_it.py), [web](https://example.org/),
[the shared code](../../../shared/code.py) and `[not](a-link.md)`, $[nor](this.md)$.

![a line](figures/line.svg)

```python title="build_it.py"
"[text](in-code.md)"
```
"""
CARD = {
    "lesson": "first/lines", "cases": 12345, "worst": 2.5e-13, "worst_at": "test_line: [0]", "rtol": 1e-9, "atol": 1e-12,
    "tests": {"passed": 7, "failed": 0, "skipped": 0}, "python": "3.11.7", "frameworks": {"numpy": "2.4"},
    "bench": {"build_it": {"seconds": 0.025, "peak_bytes": 2048}, "use_it": {"seconds": 5e-5, "peak_bytes": 3 << 20}},
}  # fmt: skip


def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    code = '"""Code with ``` in it."""\n'
    for folder, needs in (("phases/01-first/02-lines", ""), ("phases/02-second/01-curves", '"first/lines"')):
        put(tmp_path / folder, dict.fromkeys(pages.CODE, code))
        put(tmp_path / folder, {"lesson.toml": LESSON.format(prerequisites=needs), "figures/line.svg": "<svg/>"})
    put(
        tmp_path,
        {
            "phases/01-first/02-lines/README.md": README,
            "phases/02-second/01-curves/README.md": "# Curves\n\n## MOTTO\n",
            "phases/02-second/README.md": "# The second phase\n\nIts words.\n",
            "docs/index.md": "# Home\n\n[lessons](../phases), [rules](../CONTRIBUTING.md)\n",
            "CONTRIBUTING.md": "# Rules\n\n[design](docs/design.md) [a tool](outputs/tools/ruler/ruler.py)\n",
            "docs/design.md": "# Design\n",
            "outputs/README.md": "# Artifacts\n",
            "outputs/tools/ruler/ruler.py": "print()\n",
            "shared/code.py": "",
        },
    )
    return tmp_path


def made(project: Path, page: str, card: dict[str, Any] | None = None) -> str:
    for name in ("first/lines", "second/curves") if card else ():
        write_card(name, card or {}, project)
    build.write_pages(project, project / "out")
    return (project / "out" / page).read_text(encoding="utf-8").replace(pages.NBSP, " ")


LINES = "lessons/first/lines/index.md"


def test_links_lead_to_pages_and_code_stays_as_it_is(project: Path) -> None:
    text = made(project, LINES)
    for link in (
        "[curves](../../second/curves/index.md#motto)",
        "[the phase](../index.md)",
        "[code](index.md#build_it.py)",
        "[web](https://example.org/)",
        "![a line](figures/line.svg)",
        "`[not](a-link.md)`, $[nor](this.md)$",
        '"[text](in-code.md)"',
    ):
        assert link in text
    assert "the shared code and" in text  # the site does not show that file
    assert (project / "out/lessons/first/lines/figures/line.svg").is_file()
    assert (project / "out/outputs/tools/ruler/ruler.py").is_file()
    assert "[lessons](lessons/index.md), [rules](contributing.md)" in made(project, "index.md")
    assert "[design](design.md) [a tool](outputs/tools/ruler/ruler.py)" in made(project, "contributing.md")


@pytest.mark.parametrize("link", ["[x](missing.md)", "![x](figures/missing.svg)", "![x](build_it.txt)"])
def test_a_link_that_leads_nowhere_stops_the_build(project: Path, link: str) -> None:
    put(project, {"docs/design.md": f"# Design\n\n{link}\n"})
    with pytest.raises(ValueError, match=r"docs/design\.md: the link to .* leads nowhere"):
        made(project, "design.md")


def test_a_readme_that_is_missing_or_has_no_title_stops_the_build(project: Path) -> None:
    readme = project / "phases/01-first/02-lines/README.md"
    readme.write_text("## MOTTO\n", encoding="utf-8")
    with pytest.raises(ValueError, match="should begin with a title"):
        made(project, LINES)
    readme.unlink()
    with pytest.raises(ValueError, match=r"README\.md is missing"):
        made(project, LINES)


def test_a_lesson_toml_without_what_the_page_shows_stops_the_build(project: Path) -> None:
    put(
        project,
        {"phases/01-first/02-lines/lesson.toml": LESSON.format(prerequisites="").replace("minutes = 150\n", "")},
    )
    with pytest.raises(ValueError, match=r"lesson\.toml has no minutes"):
        made(project, LINES)


def test_the_nav_names_every_page_once(project: Path) -> None:
    nav = build.write_pages(project, project / "out")
    named = re.findall(r'"([^"]+\.md)"', json.dumps(nav))
    written = [file.relative_to(project / "out").as_posix() for file in (project / "out").rglob("*.md")]
    assert sorted(named) == sorted(written)
    assert nav[1] == {
        "Lessons": [
            "lessons/index.md",
            {"First": ["lessons/first/index.md", {"Lines": LINES}]},
            {"The second phase": ["lessons/second/index.md", {"Lines": "lessons/second/curves/index.md"}]},
        ]
    }


def test_a_lesson_page_has_facts_quiz_and_sources_but_no_hint(project: Path) -> None:
    text = made(project, LINES)
    assert text.startswith("# Lines\n")
    assert "- **Time** 2 h 30 min\n- **Needs first** nothing\n- **Framework** numpy" in text
    assert "twice run first/lines" in text
    assert "- Euclid, Elements, <https://example.org/euclid>" in text
    assert "secret" not in text
    before, _, answer = text.partition("<summary>Answer</summary>")
    assert "- **C.** up" in before
    assert answer.strip().startswith("**C.** It rises.")
    assert '````python\n"""Code with ``` in it."""\n````' in text
    assert '```{ .python .build_it title="build_it.py" }' in text
    curves = made(project, "lessons/second/curves/index.md")
    assert "- **Needs first** [Lines](../../first/lines/index.md)" in curves


def test_a_phase_page_has_its_words_its_table_and_its_map(project: Path) -> None:
    text = made(project, "lessons/second/index.md", CARD)
    assert "Its words." in text
    row = "| 2/1 | [Lines](curves/index.md) | essential | 2 h 30 min | [Lines](../first/lines/index.md) | tool: ruler | proven |"
    assert row in text
    assert 'n0["2/1 Lines"]' in text
    assert 'click n1 href "../first/lines/"' in text
    assert "n1 --> n0" in text
    assert "2 lessons, 5 h." in made(project, "lessons/index.md")


@pytest.mark.parametrize("phase", load().phases, ids=lambda phase: phase.slug)
def test_a_phases_readme_has_its_lessons_as_they_are(phase: Phase) -> None:
    text = (phase.folder / "README.md").read_text(encoding="utf-8")
    assert text == phases.readme(phase, load()), "run: python -m shared.site.phases"
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert link.startswith("http") or (phase.folder / link).is_file(), link


def test_the_proof_card_is_shown_as_it_was_measured(project: Path) -> None:
    text = made(project, LINES, CARD)
    for part in (
        "facts proof proven",
        "**Cases compared** 12 345\n",
        "**Worst relative difference** 2.5e-13\n",
        "**Loosest tolerance** 1e-09 relative, 1e-12 absolute\n",
        "**Tests** 7 passed, 0 failed, 0 skipped\n",
        "**Measured with** Python 3.11.7, numpy 2.4\n",
        "**Time** build_it 25 ms, use_it 50 µs\n",
        "**Peak memory** build_it 2 KiB, use_it 3 MiB\n",
    ):
        assert part in text
    assert "equal to the last bit" in made(project, LINES, {**CARD, "worst": 0.0, "worst_at": ""})


@pytest.mark.parametrize(
    ("tests", "verdict"),
    [
        ((6, 1, 0), "Proof card: 1 of 7 tests failed"),
        ((6, 0, 1), "Proof card: incomplete, 1 of 7 tests skipped"),
        ((0, 0, 0), "Proof card: incomplete, 0 of 0 tests skipped"),
    ],
)
def test_a_proof_that_did_not_succeed_is_not_called_one(
    project: Path, tests: tuple[int, int, int], verdict: str
) -> None:
    outcomes = dict(zip(("passed", "failed", "skipped"), tests, strict=True))
    text = made(project, LINES, {**CARD, "tests": outcomes})
    assert verdict in text
    assert "facts proof failed" in text


def test_a_proof_that_was_not_run_is_said_to_be_missing(project: Path) -> None:
    assert "**Not proven in this build.**" in made(project, LINES)
    assert "| not in this build |" in made(project, "lessons/first/index.md")


def test_the_lockfile_names_no_registry() -> None:
    lock = json.loads((build.HERE / "package-lock.json").read_text(encoding="utf-8"))
    wanted = json.loads((build.HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    for name, package in lock["packages"].items():
        assert "resolved" not in package
        assert not name or package["integrity"].startswith("sha512-")
    for name, version in wanted.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version


def test_a_missing_npm_is_said_in_a_sentence(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(project, {"package-lock.json": "{}"})
    monkeypatch.setattr(build, "HERE", project)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ValueError, match="install Node"):
        build.vendor(project / "out")


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<script src="//cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="https://fonts.example/css">',
        '<link rel="preconnect" href="https://fonts.example">',
        '<img src="https://example.org/a.png">',
        '<p style="background: url(https://example.org/a.png)">',
        '<style>@import "https://example.org/a.css";</style>',
        '<svg><image xlink:href="https://example.org/a.png"/></svg>',
        '<pre class="mermaid">graph</pre>',
    ],
)
def test_what_a_page_loads_from_elsewhere_is_found(html: str, tmp_path: Path) -> None:
    put(tmp_path, {"index.html": html})
    (fault,) = check.read(tmp_path)
    assert fault.startswith("index.html: loads ")


def test_a_style_sheet_that_loads_from_elsewhere_is_found(tmp_path: Path) -> None:
    put(tmp_path, {"a.css": "a { background: url('https://x.example/a.png') } b { background: url(b.png) }"})
    assert list(check.read(tmp_path)) == ["a.css: loads https://x.example/a.png"]


def test_links_that_a_reader_follows_are_no_fault(tmp_path: Path) -> None:
    html = '<a href="https://example.org">x</a><link rel="canonical" href="https://e.org"><img src="a.png">'
    put(tmp_path, {"index.html": html, "x.svg": '<svg xmlns="http://www.w3.org/2000/svg"/>'})
    assert list(check.read(tmp_path)) == []


@pytest.mark.parametrize(
    ("html", "advice"),
    [
        ("<p>Three things:\n- one\n- two</p>", "a list"),
        ("<p>Three <em>things</em>:\n1. one</p>", "a list"),
        ("<p>| a | b |\n| --- | --- |\n| 1 | 2 |</p>", "a table"),
        ("<p>```python\nx</p>", "a code block"),
        ("<p>so $$x$$ it is</p>", r"\$\$"),
        ("<p>with $f = $ identity</p>", r"\$ touches"),
        ("<p>**bold</p>", "bold"),
        ("<p>[a](b.md)</p>", "bold or a link"),
    ],
)
def test_markdown_that_stayed_markdown_is_found(html: str, advice: str) -> None:
    (fault,) = check.faults_in_html(html)
    assert re.match(advice, fault)


def test_code_and_formulas_may_look_like_markdown() -> None:
    html = '<pre>\n- x\n**y</pre><p><code>a[i](j)</code> <span class="arithmatex">\\(f[x](y) ** 2\\)</span></p><li>- 3</li> $5 or $6'
    assert list(check.faults_in_html(html)) == []


@pytest.mark.parametrize("name", ["build_it.py", "use_it.py"])
def test_the_home_page_shows_code_as_it_is(name: str) -> None:
    home = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    code = (load().find("linear-regression").folder / name).read_text(encoding="utf-8")
    blocks = re.findall(rf'^```python title="{name}"\n(.*?)^```$', home, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        assert block in code, f"docs/index.md shows lines that the lesson's {name} does not have; copy them anew"


def test_durations_read_as_people_say_them() -> None:
    assert [pages.duration(m).replace(pages.NBSP, " ") for m in (0, 45, 60, 150)] == [
        "0 min",
        "45 min",
        "1 h",
        "2 h 30 min",
    ]


def test_quoted_screens_are_those_of_the_recording() -> None:
    fence = re.compile(r'^```text title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
    recorded = dict(fence.findall(session.PAGE.read_text(encoding="utf-8")))
    quoted = [found for page in session.QUOTES for found in fence.findall(page.read_text(encoding="utf-8"))]
    assert len(quoted) > 5
    for name, screen in quoted:
        assert screen, f"{name} is empty: python -m shared.site.session fills it"
        assert screen == recorded[name], f"{name} is not what the recording shows"


def test_a_recording_refreshes_what_quotes_it() -> None:
    page = 'Before.\n\n```text title="a"\nold\n```\n\n```text title="b"\nkept\n```\n'
    step = session.Step("a", "Text.", "$ twice\nnew \\1")
    assert session.refreshed(page, [step]) == page.replace("old", "$ twice\nnew \\1")
