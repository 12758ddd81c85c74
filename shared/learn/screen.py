"""What the commands share in drawing: styles for a terminal, aligned columns, units, progress.

Plain text wherever the output is no terminal. rich costs about 80 ms to import, so only progress uses it here.
"""

import contextlib
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path


def accept_any_encoding() -> None:
    """A terminal or pipe in ASCII or cp1252 gets ``?`` for what it cannot show, instead of an exception."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def is_terminal() -> bool:
    return sys.stdout.isatty()


def width() -> int:
    """Columns of the terminal; a pipe has no limit."""
    return shutil.get_terminal_size().columns if is_terminal() else sys.maxsize


def _style(code: str) -> Callable[[str], str]:
    def styled(text: str) -> str:
        plain = not is_terminal() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        if plain or (sys.platform == "win32" and "WT_SESSION" not in os.environ):  # an old console shows the codes
            return text
        return f"\033[{code}m{text}\033[0m"

    return styled


bold, dim, red, green, plain = _style("1"), _style("2"), _style("31"), _style("32"), str


def columns(rows: Sequence[Sequence[str]], right: Collection[int] = (), gap: int = 2) -> list[str]:
    """Each row as one line, its cells aligned; those of the columns in `right` at their right edge."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (" " * gap)
        .join(
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        .rstrip()
        for row in rows
    ]


def wrapped(text: str, margin: int = 2) -> list[str]:
    """The lines of `text`; on a terminal, none is wider than it is, less `margin`."""
    wrapper = textwrap.TextWrapper(max(width() - margin, 20), break_long_words=False, break_on_hyphens=False)
    return [
        part for line in text.splitlines() for part in (wrapper.wrap(line) if len(line) > wrapper.width else [line])
    ]


def facts(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Names with what is said of them, indented; on a terminal, long texts go on below their beginning."""
    lines = []
    margin = max(len(name) for name, _ in rows) + 4
    for name, text in rows:
        for i, part in enumerate(wrapped(text, margin)):
            lines.append(f"  {name if not i else '':{margin - 2}}{part}")
    return lines


def diff(before: str, after: str, context: int, indent: str = "") -> list[str]:
    """How two texts differ, each difference with some lines of `context`; nothing where they do not."""
    import difflib  # noqa: PLC0415  # few commands show one

    style = {"-": red, "+": green, "@": dim}
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=context))[2:]
    return [style.get(line[0], plain)(f"{indent}{line}".rstrip()) for line in lines]


def duration(seconds: float) -> str:
    """Three significant digits and a unit: ``1.23 s``, ``45.6 ms``, ``789 µs``."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_three(seconds / size)} {unit}"
    return f"{_three(seconds / 1e-6)} µs"


def ratio(built: float, used: float) -> str:
    """Which twin takes longer, and how much."""
    slow, fast = ("build_it", "use_it") if built >= used else ("use_it", "build_it")
    times = max(built, used) / max(min(built, used), 1e-9)
    return f"{slow} takes {_three(times)} times as long as {fast}"


def _three(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def difference(worst: float) -> str:
    """The worst relative difference in words."""
    return f"relative difference {worst:.1e}" if worst else "no difference, all values are equal to the last bit"


def hours(minutes: float) -> str:
    return f"{minutes / 60:.1f} h"


def warn(sentence: str) -> None:
    """Something to know that stops nothing."""
    print(f"twice: {sentence}", file=sys.stderr)


def shown(path: Path) -> str:
    """`path` as one would type it here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A function that says what is going on: one moving line on a terminal, else a line each time; on stderr.

    Nothing may be printed meanwhile: rich would send it to stderr as well.
    """
    if not sys.stderr.isatty():
        yield lambda text: print(text, file=sys.stderr, flush=True)
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.status import Status  # noqa: PLC0415

    with Status("", console=Console(stderr=True), spinner="line") as status:
        yield status.update
