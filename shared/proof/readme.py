"""A lesson's README as a machine reads it: headings, fenced blocks, links."""

import doctest
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A fenced code block: its language, its title (``title="build_it.py"``), the beat it stands in, its first line."""

    language: str
    title: str
    beat: str
    line: int
    code: str


@dataclass(frozen=True)
class Readme:
    """What the contract checks of a README."""

    beats: list[str]
    blocks: list[Block]
    links: list[str]

    def of(self, *languages: str) -> list[Block]:
        """The blocks in one of `languages`."""
        return [block for block in self.blocks if block.language in languages]


@cache
def read(file: Path) -> Readme:
    """Parse a README; its text must be UTF-8."""
    beats: list[str] = []
    blocks: list[Block] = []
    links: list[str] = []
    tokens = MarkdownIt("commonmark").parse(file.read_text(encoding="utf-8"))
    for i, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            beats.append(tokens[i + 1].content)
        elif token.type == "fence":
            title = re.search(r'title="([^"]*)"', token.info)
            first = token.map[0] + 1 if token.map else 0
            language = token.info.split(maxsplit=1)[0] if token.info.strip() else ""
            blocks.append(Block(language, title[1] if title else "", beats[-1] if beats else "", first, token.content))
        for child in token.children or []:
            target: Any = child.attrGet("href") or child.attrGet("src")
            if target:
                links.append(str(target))
    return Readme(beats, blocks, links)


def commands(block: Block) -> list[tuple[str, str]]:
    """The commands of a ``console`` block, each with the output that the README shows for it."""
    pairs: list[tuple[str, str]] = []
    for line in block.code.splitlines():
        if line.startswith("$ "):
            pairs.append((line[2:], ""))
        elif pairs:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] + line + "\n")
        else:
            raise ValueError(f"line {block.line}: a console block begins with '$ COMMAND'")
    return pairs


def same_output(expected: str, actual: str) -> bool:
    """Whether `actual` is what the README shows; ``...`` there stands for anything."""
    trimmed = ["\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n" for text in (expected, actual)]
    return doctest.OutputChecker().check_output(trimmed[0], trimmed[1], FLAGS)
