"""Record a newcomer's way through one lesson, in a real terminal: ``python -m shared.site.session`` (needs tmux).

A fresh clone, a shell in tmux, keys typed one command at a time, and a file edited between them, with the mistakes that
people make. What the screen then shows is written to ``docs/a-lesson-recorded.md``: nothing in it is made up, and
recording again brings it up to date.
"""

import ast
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.curriculum import HOUSE, load
from shared.learn.outline import public

PAGE = HOUSE / "docs" / "a-lesson-recorded.md"
QUOTES = (HOUSE / "docs" / "how-to-learn.md", HOUSE / "README.md")  # show some of the screens
LESSON = "ml-fundamentals/linear-regression"
WIDTH, HEIGHT = 100, 44
_PROMPT = "$"
_WAIT = 180.0  # seconds for one step
_INTRODUCTION = """\
# A lesson, recorded

This is a newcomer's way through [linear regression](../phases/02-ml-fundamentals/02-linear-regression/README.md), from
`twice start` to `twice ship`, with mistakes on the way. It was recorded in a real terminal by
`python -m shared.site.session`; only the text between the screens was written by hand.
"""


class Terminal:
    """A shell in tmux, in a clone of the project."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, f"twice-{folder.name}"
        shell = folder / "shell"
        python = shlex.quote(sys.executable)
        shell.write_text(
            f"cd {shlex.quote(str(folder / 'twice'))}\nPS1='{_PROMPT} '\nunset TWICE_HOME TWICE_ROOT\n"
            f'twice() {{ {python} -m shared.learn.cli "$@"; }}\n',
            encoding="utf-8",
        )
        command = f"bash --noprofile --rcfile {shlex.quote(str(shell))} -i"
        self.tmux("new-session", "-d", "-s", self.name, "-x", str(WIDTH), "-y", str(HEIGHT), command)
        self.wait(self.at_prompt)

    def tmux(self, *words: str) -> str:
        return subprocess.run(["tmux", *words], check=True, capture_output=True, encoding="utf-8").stdout

    def screen(self) -> str:
        """What is on the screen, and what has scrolled off since it was cleared."""
        lines = self.tmux("capture-pane", "-p", "-t", self.name, "-S", "-").splitlines()
        return "\n".join(line.rstrip() for line in lines).strip("\n")

    def at_prompt(self) -> bool:
        return self.screen().rpartition("\n")[2].strip() == _PROMPT

    def wait(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + _WAIT
        while not done():
            if time.monotonic() > end:
                raise TimeoutError(f"the terminal still shows:\n{self.screen()}")
            time.sleep(0.1)

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-t", self.name, "-l", text)
        self.tmux("send-keys", "-t", self.name, "Enter")

    def clear(self) -> None:
        """An empty screen with a prompt, and no history."""
        self.type("clear")
        time.sleep(0.3)
        self.wait(self.at_prompt)
        self.tmux("clear-history", "-t", self.name)

    def run(self, command: str, *answers: str) -> str:
        """Type a command and its answers; the screen when the prompt is back."""
        self.clear()
        self.type(command)
        for answer in answers:
            before = self.screen()
            time.sleep(0.5)
            self.wait(lambda before=before: self.screen() != before or not self.at_prompt())  # type: ignore[misc]
            time.sleep(0.5)
            self.type(answer)
        time.sleep(0.5)
        self.wait(self.at_prompt)
        return self.screen().removesuffix(_PROMPT).rstrip()

    def close(self) -> None:
        subprocess.run(["tmux", "kill-session", "-t", self.name], check=False, capture_output=True)


class Newcomer:
    """Writes the lesson's file function by function: the reference's bodies, and mistakes put into them."""

    def __init__(self, clone: Path) -> None:
        lesson = load(clone).find(LESSON)
        self.reference = (lesson.folder / "build_it.py").read_text(encoding="utf-8")
        self.file = clone / "workspace" / lesson.name / "build_it.py"

    def writes(self, functions: Collection[str], old: str = "", new: str = "") -> None:
        """Save a file in which only `functions` are written, with `new` in the place of `old`."""
        lines = self.reference.splitlines()
        for node in reversed(ast.parse(self.reference).body):
            if isinstance(node, ast.FunctionDef) and node.name in public(self.reference) and node.name not in functions:
                first = node.body[1].lineno  # after the docstring
                lines[first - 1 : node.end_lineno] = ["    raise NotImplementedError  # yours to write"]
        text = "\n".join(lines) + "\n"
        if old not in text:
            raise ValueError(f"the reference no longer says {old!r}")
        self.file.write_text(text.replace(old, new, 1) if old else text, encoding="utf-8")


@dataclass
class Step:
    """One screen: its name, what is said above it, what it shows."""

    name: str
    text: str
    screen: str

    @property
    def fence(self) -> str:
        return f'```text title="{self.name}"\n{self.screen}\n```'


def record(clone: Path, terminal: Terminal) -> list[Step]:
    """The session."""
    newcomer, steps = Newcomer(clone), []
    everything = public(newcomer.reference)

    def say(name: str, text: str, screen: str) -> None:
        steps.append(Step(name, text, screen))
        print(f"{len(steps):3}  {name}", flush=True)

    def watching() -> bool:
        return "Watching your file" in terminal.screen()

    def after_saving(functions: Collection[str], old: str = "", new: str = "") -> str:
        before = terminal.screen()
        newcomer.writes(functions, old, new)
        terminal.wait(lambda: terminal.screen() != before and watching())
        return terminal.screen()

    say("first time", "`twice` alone says what this is, and asks for a goal.", terminal.run("twice", "backpropagation"))
    say("start", "The first lesson on the way:", terminal.run(f"twice start {LESSON.partition('/')[2]}"))
    say("nothing written", "The file is there, and nothing is written in it yet.", terminal.run("twice check"))
    terminal.clear()
    terminal.type("twice check --watch")
    terminal.wait(watching)
    say(
        "a wrong value",
        "With `--watch`, each save is checked. The first attempt at `fit_line` divides the covariance by n, and the\n"
        "variance by n - 1. The smallest points that show it:",
        after_saving({"fit_line"}, "_dot(dx, dx) / n\n", "_dot(dx, dx) / (n - 1)\n"),
    )
    say("mended", "Mended, and saved:", after_saving({"fit_line"}))
    colon = ("for k in range(n):", "for k in range(n)")
    say("no Python", "Next, `solve`. A colon is missing:", after_saving({"fit_line", "solve"}, *colon))
    endless = ("    for k in range(n):\n        pivot", "    k = 0\n    while k < n:\n        pivot")
    say("no end", "With the colon, a loop that forgets to count:", after_saving({"fit_line", "solve"}, *endless))
    say(
        "an exception",
        "Elimination that ends, and takes the first row as the pivot instead of the best:",
        after_saving({"fit_line", "solve"}, "pivot = max(range(k, n), key=lambda i: abs(rows[i][k]))", "pivot = k"),
    )
    terminal.tmux("send-keys", "-t", terminal.name, "C-c")
    terminal.wait(terminal.at_prompt)
    say("hint", "Ctrl-C, and a hint:", terminal.run("twice hint"))
    newcomer.writes({"fit_line", "solve", "fit", "predict"})
    say("half of it", "With pivoting, `fit` and `predict`:", terminal.run("twice check"))
    newcomer.writes(everything, "n - n_features - 1)", "n - n_features)")
    say("off by one", "Everything is written. The degrees of freedom are off by one:", terminal.run("twice check"))
    newcomer.writes(everything)
    say(
        "proven", "The intercept is an unknown too. With it counted, the lesson is proven:", terminal.run("twice check")
    )
    say("what is next", "Where that leaves the newcomer:", terminal.run("twice"))
    say("quiz", "Five questions on what it means:", terminal.run(f"twice quiz {LESSON}", "a", "b", "c", "d", "a"))
    say("run", "What it is good for: real data, with both versions.", terminal.run(f"twice run {LESSON}"))
    say("ship", "And the artifact, rebuilt with both versions:", terminal.run(f"twice ship {LESSON}"))
    say(
        "break",
        "Debugging practice, with a seed that a class can share:",
        terminal.run(f"twice break {LESSON} --seed 1"),
    )
    say("give up", "Where it was:", terminal.run(f"twice break {LESSON} --give-up"))
    say("status", "The map:", terminal.run("twice status"))
    return steps


def refreshed(page: str, steps: Sequence[Step]) -> str:
    """A page with each fence that has the name of a step showing that step's screen."""
    for step in steps:
        page = re.sub(rf'^```text title="{step.name}"\n.*?^```$', lambda _, s=step: s.fence, page, flags=re.M | re.S)  # type: ignore[misc]
    return page


def main() -> None:
    if not shutil.which("tmux"):
        raise SystemExit("recording needs tmux")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["git", "clone", "-q", str(HOUSE), str(folder / "twice")], check=True)
        terminal = Terminal(folder)
        try:
            steps = record(folder / "twice", terminal)
        finally:
            terminal.close()
    blocks = [f"{step.text}\n\n{step.fence}\n" for step in steps]
    PAGE.write_text("\n".join([_INTRODUCTION, *blocks]), encoding="utf-8")
    for quotes in QUOTES:
        quotes.write_text(refreshed(quotes.read_text(encoding="utf-8"), steps), encoding="utf-8")
    print(f"{PAGE.relative_to(HOUSE)}: {len(steps)} screens")


if __name__ == "__main__":
    main()
