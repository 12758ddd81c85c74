"""`twice show`: a lesson's README, made readable in a terminal."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from shared.curriculum import Curriculum
from shared.learn import screen
from shared.learn.formulas import unicode_text
from shared.learn.lessons import UsageError

_WIDEST = 100  # longer lines of prose are hard to read
_STYLES = {  # that can be read on a light and on a dark background
    "markdown.h1": "bold underline",
    "markdown.h2": "bold underline",
    "markdown.h3": "bold",
    "markdown.code": "bold",
    "markdown.block_quote": "italic",
    "markdown.link": "none",
    "markdown.link_url": "underline",
}
_FENCED = re.compile(r"^([ \t]*)(`{3,}|~{3,})([^\n]*)\n.*?^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
_DETAILS = re.compile(r"<details[^>]*>\s*<summary>(.*?)</summary>(.*?)</details>", re.DOTALL)
_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)[^)]*\)")
_DISPLAY = re.compile(r"^[ \t]*\$\$(.+?)\$\$[ \t]*([.,;]?)$", re.MULTILINE | re.DOTALL)
# Code comes first, so that a dollar in it is left alone.
_CODE, _FORMULA = (
    r"(?P<code>(`+)(?!`).+?(?<!`)\2(?!`))",
    r"(?<![\\\w$])\$(?P<formula>[^\s$`](?:[^$`]*[^\s$`\\])?)\$(?!\d)",
)
_INLINE = re.compile(f"{_CODE}|{_FORMULA}", re.DOTALL)


def show(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Print the README of a lesson: drawn on a terminal, the raw Markdown elsewhere."""
    lesson = curriculum.find(options.lesson)
    readme = lesson.folder / "README.md"
    if not readme.is_file():
        raise UsageError(f"{lesson.name} has no README.md yet")
    text = readme.read_text(encoding="utf-8")
    if not screen.is_terminal():
        sys.stdout.write(text)
        return 0
    from rich.console import Console  # noqa: PLC0415
    from rich.theme import Theme  # noqa: PLC0415

    folded = "" if options.solutions else f"twice show {lesson.name} --solutions"
    console = Console(width=min(screen.width(), _WIDEST), highlight=False, theme=Theme(_STYLES))
    console.print(_drawn(readable(text, lesson.folder, folded)))
    return 0


def readable(markdown: str, folder: Path, folded: str = "") -> str:
    """The Markdown with formulas as Unicode text, figures as their path, and no HTML.

    Args:
        markdown: of a README.
        folder: where it lies.
        folded: what to type to see what is folded in ``<details>``; empty shows it.
    """

    def figures_and_display(prose: str) -> str:
        prose = _IMAGE.sub(lambda match: f"*Figure: {match[1]}* ({screen.shown(folder / match[2])})", prose)
        return _DISPLAY.sub(lambda match: f"\n```text\n{unicode_text(match[1])}{match[2]}\n```\n", prose)

    markdown = _DETAILS.sub(rf"*\1: {folded}*\n" if folded else r"**\1**\n\2", markdown)
    markdown = _outside_fences(markdown, figures_and_display, _fence)
    return _outside_fences(markdown, lambda prose: _INLINE.sub(_inline, prose), lambda fence: fence[0])


def _outside_fences(markdown: str, change: Callable[[str], str], change_fence: Callable[[re.Match[str]], str]) -> str:
    parts, end = [], 0
    for fence in _FENCED.finditer(markdown):
        parts += [change(markdown[end : fence.start()]), change_fence(fence)]
        end = fence.end()
    return "".join([*parts, change(markdown[end:])])


def _fence(match: re.Match[str]) -> str:
    """A block of code with its file above it; a diagram as its source, which reads well enough."""
    indent, info = match[1], match[3].strip()
    title = re.search(r'title="([^"]*)"', info)
    above = title[1] if title else "diagram" if info == "mermaid" else ""
    return f"{indent}*{above}:*\n\n{match[0]}" if above else match[0]


def _inline(match: re.Match[str]) -> str:
    """A formula as text that Markdown leaves as it is; code stays code."""
    return match["code"] or re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", unicode_text(match["formula"]))


def without_dollars(text: str) -> str:
    """Plain text with its formulas in Unicode; code stays code."""
    return _INLINE.sub(lambda match: match["code"] or unicode_text(match["formula"]), text)


def _drawn(markdown: str) -> object:
    """What rich prints: headings at the left, links with their address, code in colours for light and dark."""
    from rich.console import Console, ConsoleOptions, RenderResult  # noqa: PLC0415
    from rich.markdown import Heading, Markdown  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class LeftHeading(Heading):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            self.text.justify = "left"
            yield Text("")
            yield self.text

    Markdown.elements["heading_open"] = LeftHeading
    return Markdown(markdown, code_theme="ansi_light", hyperlinks=False)
