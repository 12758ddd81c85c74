"""A check's outcome as one readable screen."""

import re
import textwrap
from pathlib import Path
from typing import Any

from shared.curriculum import Lesson
from shared.learn import screen
from shared.learn.judging import BadSourceError
from shared.learn.verdict import DIFFERENT, NOT_RUN, PROVEN, SO_FAR, TO_DO, Function, Verdict

_VALUE_LINES = 3  # of a call or a value, unless all is asked for
_PRINTED_LINES = 4
_FUNCTIONS, _TOGETHER = 16, 3  # with more functions, more than so many of one state share a line
_LONGEST = 160  # characters of a line of the table, where the output has no width
_OTHERS = 5  # tests named that fail without a function to blame
_TROUBLE_LINES = 12
_WIDTH = 100


def report(lesson: Lesson, file: Path, source: bytes, verdict: Verdict, *, verbose: bool = False) -> list[str]:
    """The lines of the screen: the table of functions, then what to mend first, then what to type."""
    lines = [screen.bold(lesson.title) + screen.dim(f"  {screen.shown(file)}"), ""]
    if verdict.earlier:
        lines[1:1] = [screen.dim(f"  on your own {', '.join(name.partition('/')[2] for name in verdict.earlier)}")]
    if verdict.trouble:
        return [*lines, *_trouble(file, source, verdict.trouble), ""]
    lines += _table(verdict)
    different = verdict.different
    shown = different if verbose else different[:1]
    for function in shown:
        lines += ["", *_difference(function, lesson, file, source, verdict, verbose=verbose)]
    if verdict.others and (verbose or not different):
        lines += ["", *_others(verdict, source)]
    if verdict.printed and verbose:
        lines += ["", "printed while your file was imported:", *textwrap.indent(verdict.printed, "  ").splitlines()]
    return [*lines, "", *_summary(lesson, verdict)]


def bad_source(file: Path, source: bytes, error: BadSourceError) -> list[str]:
    """A file that is no Python: the line, and the place in it."""
    lines = [screen.red(f"{screen.shown(file)} is no Python yet, so nothing was run.")]
    where = f"line {error.line}: " if error.line else ""
    lines += ["", f"  {where}{error}"]
    code = _line(source, error.line)
    if code:
        lines += ["", f"      {code.lstrip()}"]
        caret = error.column - 1 - (len(code) - len(code.lstrip()))
        if caret >= 0:
            lines.append(" " * (6 + caret) + "^")
    return lines


def _table(verdict: Verdict) -> list[str]:
    """A line for each function; where there are dozens, those that share a state and need no word share a line."""
    rows = [(function.state, function.path, _remark(function)) for function in verdict.functions.values()]
    if len(rows) > _FUNCTIONS:
        for state in (PROVEN, SO_FAR, TO_DO, NOT_RUN):
            same = [row for row in rows if row[0] == state]
            if len(same) > _TOGETHER:
                place = rows.index(same[0])
                rows = [row for row in rows if row[0] != state]
                rows.insert(place, (state, f"{len(same)} functions", ", ".join(row[1] for row in same)))
    colours = {PROVEN: screen.green, DIFFERENT: screen.red}
    lines = screen.columns(rows, gap=3)
    room = min(screen.width(), _LONGEST) - 2
    return ["  " + colours.get(row[0], screen.plain)(_cut(line, room)) for row, line in zip(rows, lines, strict=True)]


def _remark(function: Function) -> str:
    if function.state == PROVEN:
        return _closeness(function)
    if function.state == SO_FAR:
        return f"{function.cases} case{'s' * (function.cases != 1)} agree; {function.why}"
    if function.state == DIFFERENT:
        return _short(function.failure)
    return function.why


def _closeness(function: Function) -> str:
    if not function.cases:
        return f"{function.tests} test{'s' * (function.tests != 1)}"
    worst = f"worst relative difference {function.worst:.1e}" if function.worst else "no difference"
    return f"{function.cases} case{'s' * (function.cases != 1)}, {worst}"


def _short(failure: dict[str, Any]) -> str:
    if failure.get("parameters"):
        return str(failure["parameters"])
    kind = failure["kind"]
    line = f" in line {failure['line']}" if failure.get("line") else ""
    if kind == "hangs":
        return f"does not come to an end{line}"
    if kind in ("error", "memory", "exits", "dies"):
        return f"{_sentence(failure)}{line}"
    return next(iter(_parting(failure).splitlines()), "")


def _sentence(failure: dict[str, Any]) -> str:
    message = str(failure["message"])
    return {
        "memory": "asks for more memory than there is",
        "exits": "ends the whole process (exit)",
        "dies": message,
    }.get(failure["kind"], f"raises {message}")


def _difference(
    function: Function, lesson: Lesson, file: Path, source: bytes, verdict: Verdict, *, verbose: bool
) -> list[str]:
    failure = function.failure
    rows: list[tuple[str, str]] = []
    if failure.get("call"):
        rows.append(("call", _value(failure["call"], verbose)))
    told = failure.get("yours", "None") != "None" or failure.get("framework")  # a method that returns nothing
    if told and failure["kind"] == "assertion":
        rows.append(("yours", _value(failure["yours"], verbose)))
    elif failure["kind"] != "assertion":
        rows.append(("yours", _sentence(failure) if failure["kind"] != "hangs" else _hanging(failure)))
    if failure.get("framework"):
        rows.append(("framework", _value(failure["framework"], verbose)))
    if failure["kind"] == "assertion":
        parting = _parting(failure).splitlines()
        rows.append(("they part", "\n".join(parting if verbose else parting[:6])))
    if failure.get("parameters"):
        rows.append(("", failure["parameters"]))
    if failure.get("yours") == "None" and "None" not in str(failure.get("framework")):
        rows.append(("", "yours gave None: does a path through it lack its return?"))
    if failure.get("file"):
        place = Path(failure["file"])
        text = source if place == file else _read(place)
        rows.append(("your line", f"{screen.shown(place)}:{failure['line']}"))
        if failure["kind"] != "assertion" and (code := _line(text, failure["line"]).strip()):
            rows.append(("", code))
    if failure.get("printed"):
        printed = failure["printed"].splitlines()
        kept = printed if verbose else printed[:_PRINTED_LINES]
        more = failure["printed_lines"] - len(kept)
        rows += [("it printed" if not i else "", _value(line, verbose)) for i, line in enumerate(kept)]
        if more:
            rows.append(("", f"… {more:,} more line{'s' * (more != 1)}"))
    inner = [path for path in failure.get("inner", ()) if verdict.functions[path].state == DIFFERENT]
    if inner:
        rows.append(("it calls", f"{', '.join(inner)}, which differs: mend that first"))
    if verdict.blamed_lesson:
        rows.append(("it comes from", f"your {verdict.blamed_lesson}: with the reference's in its place, it passes"))
    elif failure.get("lesson"):
        rows.append(("it comes from", f"your {failure['lesson']}"))
    tests = function.failing
    more_tests = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
    if failure["test"]:
        rows.append(("test", f"{failure['test']}{more_tests}"))
    return [screen.bold(f"{function.path} is different"), *screen.facts(rows)]


def _hanging(failure: dict[str, Any]) -> str:
    return "has not come back in time: a loop without end? (if it is only slow: --limit 60)"


def _parting(failure: dict[str, Any]) -> str:
    """Where the two part, or what the test says, in the learner's words."""
    text = str(failure.get("part") or "") or re.sub(r"\nat \S+:\d+$", "", str(failure["message"]))
    noise = ("it is the first value compared", "Use -v", "...Full output")
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith(noise)]
    return _in_your_words("\n".join(lines))


def _in_your_words(text: str) -> str:
    return re.sub(r"\buse_it\b(?!\.)", "framework", re.sub(r"\bbuild_it\b(?!\.)", "yours", text))


def _others(verdict: Verdict, source: bytes) -> list[str]:
    lines = [screen.bold("Tests that fail, without a function to blame")]
    if b"print(" in source.partition(b"if __name__")[0]:
        lines.append("  Your functions print: where a test runs your file in a program, that spoils what it says.")
    for test, message in list(verdict.others.items())[:_OTHERS]:
        lines += [f"  {test}", *(f"    {line}" for line in _in_your_words(message).splitlines()[:6])]
    return lines


def _trouble(file: Path, source: bytes, trouble: dict[str, Any]) -> list[str]:
    if trouble["kind"] == "broken":
        first, *rest = trouble["message"].splitlines()
        lines = [screen.red("The lesson's tests did not come to their end on your file."), f"  {first}"]
        return [*lines, *(f"  {line}" for line in rest[-_TROUBLE_LINES:])]
    why = {
        "hangs": "Importing your file does not come to an end: a loop outside of a function?",
        "exits": "Your file ends the whole process while it is imported (exit).",
        "memory": "Your file asks for more memory than there is while it is imported.",
        "imports": f"Your file imports {trouble['message']}. Build it from the standard library and earlier lessons.",
        "changes": f"Your file changes {trouble['message']}, on which the tests rely: they would say nothing.",
        "dies": f"While your file was imported, {trouble['message']}.",
    }.get(trouble["kind"], f"Your file cannot be imported: it raises {trouble['message']}")
    lines = [screen.red(why), "  So nothing counts." if trouble["kind"] == "changes" else "  Nothing was run."]
    if trouble.get("file"):
        place = Path(trouble["file"])
        code = _line(source if place == file else _read(place), trouble["line"]).strip()
        lines += ["", f"  {screen.shown(place)}:{trouble['line']}", f"      {code}"]
        if trouble.get("lesson"):
            lines.append(f"  It comes from your {trouble['lesson']}: 'twice check {trouble['lesson']}'.")
    return lines


def _summary(lesson: Lesson, verdict: Verdict) -> list[str]:
    states = [function.state for function in verdict.functions.values()]
    n, total = states.count(PROVEN), len(states)
    if verdict.proven:
        worst = f", worst relative difference {verdict.worst:.1e}" if verdict.worst else ", no difference at all"
        framework = " and ".join(lesson.frameworks) or "use_it"
        return [
            screen.green(f"Proven: your {lesson.slug} agrees with {framework}."),
            f"{verdict.passed} tests, {verdict.cases:,} cases{worst}.",
        ]
    tests = f"{verdict.passed} of {verdict.collected} tests pass"
    gone = verdict.collected - verdict.passed - verdict.failed
    notrun = f", {gone} could not run" if gone else ""
    return [f"{n} of {total} functions proven; {tests}{notrun}."]


def _value(text: str, verbose: bool) -> str:
    """At most a few lines of the terminal; the middle gives way, as the beginning and the end say most."""
    if verbose:
        return text
    limit = _VALUE_LINES * (min(screen.width(), _WIDTH) - 16)
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit * 2 // 3]} … {text[-limit // 3 + 3 :]}"


def _cut(line: str, room: int) -> str:
    return line if len(line) <= room else line[: room - 1] + "…"


def _line(source: bytes, number: int) -> str:
    lines = source.decode(errors="replace").splitlines()
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
