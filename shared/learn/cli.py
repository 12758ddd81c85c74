"""The command line ``twice``: its parser, and what every command has in common."""

import argparse
import difflib
import importlib
import os
import re
import sys
from pathlib import Path
from typing import NoReturn

from shared.curriculum import ROOT, load
from shared.learn import screen

OK, NOT_EQUIVALENT, USAGE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141


class _Parser(argparse.ArgumentParser):
    """Answers a wrong command with the nearest right one."""

    def error(self, message: str) -> NoReturn:
        if wrong := re.search(r"invalid choice: '([^']*)'", message):
            near = difflib.get_close_matches(wrong[1], _COMMANDS, n=1, cutoff=0.5)
            hint = f"did you mean 'twice {near[0]}'?" if near else "'twice --help' shows them all"
            message = f"there is no command {wrong[1]!r}; {hint}"
        self.exit(USAGE, f"{self.prog}: {message}\n")


_COMMANDS = {
    "start": ("practice:start", "begin a lesson: writes your build_it.py, with the bodies left to you"),
    "check": ("check:check", "test your version; shows the smallest input where it differs from the framework"),
    "hint": ("practice:hint", "the next hint for a function"),
    "solution": ("practice:solution", "how yours and the reference differ"),
    "reset": ("practice:reset", "begin a lesson anew; your version is kept as a backup"),
    "skip": ("practice:skip", "leave a lesson out of your way"),
    "status": ("status:status", "the map: what you have proven, and where you are"),
    "goal": ("status:set_goal", "the lesson that you are heading for"),
    "list": ("listing:list_lessons", "all lessons by phase"),
    "show": ("show:show", "read a lesson"),
    "run": ("run:run", "run a lesson on real data with both versions, side by side"),
    "prove": ("prove:prove", "test that the two versions agree, and print the proof card"),
    "ship": ("run:ship_all", "rebuild the artifacts in outputs/"),
    "path": ("listing:path", "the way to a lesson: what it builds on, in order, with hours"),
    "break": ("breaking:break_lesson", "find the fault in a copy of a lesson's reference: debugging practice"),
    "quiz": ("questions:quiz", "five questions on a lesson, with the reason for each answer"),
    "review": ("questions:review", "the questions that are due again, of the lessons that you have done"),
    "placement": ("placement:placement", "a few questions on each lesson of a phase: which can you skip?"),
    "export": ("transfer:export", "progress and your code in one file, for another machine"),
    "import": ("transfer:import_", "merge what 'twice export' wrote on another machine"),
    "doctor": ("doctor:doctor", "what is installed, and what to do about the rest"),
    "new": ("new:new", "begin a lesson from the skeleton"),
}


def parser() -> argparse.ArgumentParser:
    """The parser of ``twice``. A lesson is named by number (3/10), slug, or an unambiguous part of its name."""
    top = _Parser(
        prog="twice",
        description="Build every idea of AI engineering twice, and prove that the two agree.",
        epilog="A LESSON is a number (3/10), a name, or an unambiguous part of one. "
        "Exit codes: 0; 1 not equivalent, or a check failed; 2 usage, or something is not installed.",
    )
    top.add_argument(
        "--root",
        type=Path,
        default=ROOT,
        metavar="DIR",
        help="work on the lessons of another repository (the environment variable TWICE_ROOT does so for all commands)",
    )
    top.set_defaults(function="status:welcome")
    commands = top.add_subparsers(metavar="COMMAND", title="commands")
    parsers = {}
    for name, (function, about) in _COMMANDS.items():
        parsers[name] = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        parsers[name].set_defaults(function=function)
    for name in ("start", "reset", "skip", "show", "run", "quiz", "break"):
        parsers[name].add_argument("lesson", metavar="LESSON")
    for name in ("check", "hint", "solution"):
        parsers[name].add_argument("lesson", metavar="LESSON", nargs="?", help="(the one that you are at)")
    parsers["path"].add_argument("lesson", metavar="LESSON", nargs="?", help="(your goal)")
    for name in ("hint", "solution"):
        parsers[name].add_argument("path", metavar="FUNCTION", nargs="?", help="fit, or Tensor.backward")
    parsers["goal"].add_argument("lesson", metavar="LESSON", nargs="?", help="(says which it is)")
    parsers["goal"].add_argument("--none", action="store_true", help="have none")
    parsers["check"].add_argument("--watch", action="store_true", help="check at each save, until Ctrl-C")
    parsers["check"].add_argument("--reference", action="store_true", help="not on your own earlier lessons")
    parsers["check"].add_argument("--own", action="store_true", help="your version, also while a break is open")
    parsers["check"].add_argument("--limit", type=float, default=5.0, metavar="S", help="seconds for one call (5)")
    parsers["check"].add_argument("-v", "--verbose", action="store_true", help="every difference, and values in full")
    parsers["solution"].add_argument("--give-up", action="store_true", help="before it is proven; this is recorded")
    parsers["skip"].add_argument("--undo", action="store_true", help="take it back")
    parsers["status"].add_argument("--recheck", action="store_true", help="derive it anew from your code")
    for name in ("prove", "ship"):
        parsers[name].add_argument("lessons", metavar="LESSON", nargs="*", help="a lesson, or a phase (03)")
        parsers[name].add_argument("--all", action="store_true", help="every lesson")
    parsers["show"].add_argument("--solutions", action="store_true", help="unfold the solutions of the exercises")
    parsers["prove"].add_argument("--thorough", action="store_true", help="fresh random inputs, and many more")
    parsers["prove"].add_argument("-v", "--verbose", action="store_true", help="each test, and pytest's own report")
    parsers["ship"].add_argument("--check", action="store_true", help="change nothing; exit 1 on a difference")
    parsers["new"].add_argument("name", metavar="PHASE/LESSON", help="ml-fundamentals/logistic-regression")
    parsers["new"].add_argument("--number", type=int, help="its number in the phase (the next one)")
    parsers["new"].add_argument("--title", help="its title (from the name)")
    parsers["break"].add_argument("--seed", type=int, metavar="N", help="the same N, the same fault: for a class")
    parsers["break"].add_argument("--again", action="store_true", help="another fault, though one is still to find")
    parsers["break"].add_argument("--give-up", action="store_true", help="show where the fault is")
    parsers["quiz"].add_argument("--in-order", action="store_true", help="the answers in the order of the file")
    parsers["review"].add_argument("--limit", type=int, default=20, metavar="N", help="ask N at most (20)")
    parsers["placement"].add_argument("phase", metavar="PHASE", help="03, or deep-learning-core")
    parsers["placement"].add_argument(
        "--questions", type=int, default=2, metavar="N", help="how many to ask of each lesson (2)"
    )
    parsers["placement"].add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="decides which questions (0): the same N, the same questions",
    )
    parsers["placement"].add_argument("--mark", action="store_true", help="mark what you can skip without asking")
    parsers["export"].add_argument("file", metavar="FILE", nargs="?", type=Path, help="(twice-YYYY-MM-DD.zip)")
    parsers["export"].add_argument("--force", action="store_true", help="replace FILE where it exists")
    parsers["import"].add_argument("file", metavar="FILE", type=Path)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    screen.accept_any_encoding()
    try:
        options = parser().parse_args(argv)
        module, _, function = options.function.partition(":")
        if not options.root.is_dir():
            return _complain(f"{options.root} is no folder: --root names the one that holds 'phases'")
        if not (options.root / "phases").is_dir():
            return _complain(f"{options.root} has no folder 'phases' with lessons")
        command = getattr(importlib.import_module(f"shared.learn.{module}"), function)
        root = options.root.resolve()
        code: int = command(load(root), options)
        if root != ROOT and screen.is_terminal():
            hint = f"(To type commands as they are shown here, set the variable TWICE_ROOT to {root})"
            print(*map(screen.dim, screen.wrapped(hint)), sep="\n", file=sys.stderr)
        sys.stdout.flush()
        return code
    except SystemExit as end:  # argparse, after --help or a wrong argument
        return end.code if isinstance(end.code, int) else OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader has left, as in `twice list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyError as error:
        return _complain(f"a lesson.toml has no {error}; 'twice list' says which")
    except (OSError, ValueError, RuntimeError) as error:
        from shared.ship.artifact import ArtifactError  # noqa: PLC0415  # not needed where nothing goes wrong
        from shared.ship.run import RunError  # noqa: PLC0415

        return _complain(str(error), NOT_EQUIVALENT if isinstance(error, ArtifactError | RunError) else USAGE)


def _complain(sentence: str, code: int = USAGE) -> int:
    print(f"twice: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
