"""What the judge's lines say of each public function: proven, to do, different, or not run and why."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_SUSPECT = 0.5  # of Ochiai's coefficient: below it, a function passes too many tests to be blamed without a sight

PROVEN, SO_FAR, DIFFERENT, TO_DO, NOT_RUN = "proven", "so far", "different", "to do", "not run"


@dataclass
class Function:
    """One public function or method, and what is known of it."""

    path: str
    state: str = NOT_RUN
    why: str = ""
    cases: int = 0
    worst: float = 0.0
    tests: int = 0  # that passed, and in which it gave a value
    refusals: int = 0  # tests that passed, and in which it only raised what it should
    failure: dict[str, Any] = field(default_factory=dict)  # of the smallest counterexample
    failing: list[str] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)  # test -> the function that it waits for


@dataclass
class Verdict:
    """The outcome of one check."""

    functions: dict[str, Function]
    passed: int = 0
    failed: int = 0
    waiting: int = 0
    skipped: int = 0
    collected: int = 0
    cases: int = 0
    worst: float = 0.0
    trouble: dict[str, Any] = field(default_factory=dict)  # the file could not be imported, or the tests broke off
    earlier: list[str] = field(default_factory=list)  # the learner's own lessons that it was built on
    blamed_lesson: str = ""  # the earlier lesson without which the failures go away
    printed: str = ""
    others: dict[str, str] = field(default_factory=dict)  # tests that fail with no function to blame: what they say

    @property
    def proven(self) -> bool:
        """Whether every test of the lesson ran on this file, and passed."""
        return (
            not self.trouble
            and 0 < self.collected == self.passed
            and all(function.state == PROVEN for function in self.functions.values())
        )

    @property
    def different(self) -> list[Function]:
        """Those that differ, with those first that lean on no other of them."""
        found = [function for function in self.functions.values() if function.state == DIFFERENT]
        names = {function.path for function in found}
        return sorted(found, key=lambda f: bool((names - {f.path}) & set(f.failure.get("inner", ()))))

    @property
    def failing_tests(self) -> list[str]:
        return [*self.others, *(test for function in self.functions.values() for test in function.failing)]


def conclude(paths: Iterable[str], todo: Mapping[str, str], events: Iterable[Mapping[str, Any]]) -> Verdict:
    """Add up the judge's events.

    Args:
        paths: the public functions and methods, in the order of the reference.
        todo: those still to do, with why (``""``, or that they are missing).
        events: of one job, and of those that went on after a process had died.
    """
    verdict = Verdict({path: Function(path) for path in paths})
    collected: dict[int, int] = {}
    tests: dict[str, Mapping[str, Any]] = {}
    for event in events:
        match event["event"]:
            case "imported":
                todo = {**todo, **dict.fromkeys(event["missing"], "it is not in your file")}
                verdict.earlier, verdict.printed = event.get("earlier", []), event["printed"]
            case "import_failed":
                verdict.trouble = dict(event)
            case "broken":
                verdict.trouble = {"kind": "broken", "message": event["why"]}
            case "collected":
                collected[event["shard"]] = max(event["count"], collected.get(event["shard"], 0))
            case "test":
                tests[event["test"]] = event
            case "spoiled":
                verdict.trouble = {"kind": "changes", "message": event["what"]}
            case "died" if not event["test"]:
                verdict.trouble = {"kind": "hangs" if event["silent"] else "dies", "message": event["how"], **event}
    verdict.collected = sum(collected.values())
    failed = [test for test in tests.values() if test["outcome"] == "failed"]
    suspects = _suspicion(tests.values())
    # What fails for a reason that no call shows (a program made of the learner's file, say) can come of what is known.
    for (
        test
    ) in failed:  # one that calls a single function, and fails by a value written in the test, speaks of that one
        if not test["failure"].get("path") and len(test.get("calls", {})) == 1:
            (path,) = test["calls"]
            test["failure"].update({**(test["failure"].get("candidates") or {}).get(path, {}), "path": path})
    known = next((test["failure"]["path"] for test in failed if test["failure"].get("path")), next(iter(todo), ""))
    for test in failed:
        if not test["failure"].get("path"):
            if known:
                tests[test["test"]] = {**test, "outcome": "waits", "for": known}
            else:
                _blame_most_suspect(test["failure"], suspects)
    for test in tests.values():
        _count(verdict, test)
    for path, function in verdict.functions.items():
        _settle(function, path, todo, verdict)
    return verdict


def _count(verdict: Verdict, test: Mapping[str, Any]) -> None:
    name, outcome = test["test"], test["outcome"]
    called = [verdict.functions[path] for path in test.get("calls", {}) if path in verdict.functions]
    if outcome == "passed":
        verdict.passed += 1
        verdict.cases += test["cases"]
        verdict.worst = max(verdict.worst, test["worst"])
        for function in called:
            if not test["calls"][function.path]:  # it refused what it should, which is not all that it is for
                function.refusals += 1
                continue
            function.tests += 1
            function.cases += test["cases"]
            function.worst = max(function.worst, test["worst"])
    elif outcome == "waits":
        verdict.waiting += 1
        for function in called:
            function.waiting[name] = test["for"]
    elif outcome == "skipped":
        verdict.skipped += 1
        for function in called:
            function.waiting[name] = ""
    else:
        verdict.failed += 1
        failure = test["failure"]
        blamed = failure.get("path")
        for function in called:
            if function.path != blamed:
                function.waiting[name] = blamed or ""
        if blamed not in verdict.functions:
            verdict.others[name] = failure["message"]
        if blamed in verdict.functions:
            function = verdict.functions[blamed]
            function.failing.append(name)
            if not function.failure or _simplicity(failure) < _simplicity(function.failure):
                function.failure = {**failure, "test": name}


def _simplicity(failure: Mapping[str, Any]) -> tuple[bool, int]:
    """The least is the counterexample to show: a call of the function itself, and a short one."""
    return failure.get("outer") != failure.get("path"), len(failure.get("call", "")) or 1 << 30


def _settle(function: Function, path: str, todo: Mapping[str, str], verdict: Verdict) -> None:
    others = [other for other in dict.fromkeys(function.waiting.values()) if other and other != path][:2]
    waits = f"for {' and '.join(others)}" if others else ""
    if path in todo:
        function.state, function.why = TO_DO, todo[path]
    elif function.failing:
        function.state = DIFFERENT
    elif verdict.trouble:
        function.why = "your file could not be run"
    elif (function.tests or (function.refusals and verdict.passed == verdict.collected)) and not function.waiting:
        function.state = PROVEN
    elif function.tests:
        n = len(function.waiting)
        function.state = SO_FAR
        tests = f"{n} more tests wait" if n > 1 else "1 more test waits"
        function.why = f"{tests} {waits}" if waits else f"{tests} for what is to be mended"
    elif function.refusals and not function.waiting:
        function.why = "refuses what it should; no test has seen a value of it yet"
    else:
        function.why = f"waits {waits}" if waits else "no test came as far as this"


def _suspicion(tests: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """How likely each function is at fault, from the tests alone: failed / sqrt(all failed · called).

    Source:
        Ochiai's coefficient, as in Abreu, Zoeteweij & van Gemund (2007), On the accuracy of spectrum-based fault
        localization.
    """
    failed: dict[str, int] = {}
    called: dict[str, int] = {}
    n_failed = 0
    for test in tests:
        if test["outcome"] not in ("passed", "failed"):
            continue
        n_failed += test["outcome"] == "failed"
        for path in test.get("calls", {}):
            called[path] = called.get(path, 0) + 1
            failed[path] = failed.get(path, 0) + (test["outcome"] == "failed")
    return {path: failed[path] / (n_failed * called[path]) ** 0.5 if n_failed else 0.0 for path in called}


def _blame_most_suspect(failure: dict[str, Any], suspects: Mapping[str, float]) -> None:
    """Where no call of the failing example can be shown to differ: the function most often in failing tests."""
    candidates = failure.get("candidates") or {}
    path = max(reversed(list(candidates)), key=lambda candidate: suspects.get(candidate, 0.0), default="")
    if suspects.get(path, 0.0) >= _SUSPECT:
        failure |= {**candidates[path], "path": path}


def from_stacks(stacks: str, file: str, paths: Iterable[str]) -> dict[str, Any]:
    """Where a process was when it ended, from faulthandler's dump: the line in `file`, and the public function.

    The dump has the innermost frame first, and bare names: ``File "…", line 3 in fit``.
    """
    frames = re.findall(r'File "([^"]*)", line (\d+) in (\S+)', stacks)
    mine = [(int(line), name) for where, line, name in frames if where == file]
    public = {path.rpartition(".")[2]: path for path in paths}
    return {
        "line": mine[0][0] if mine else 0,
        "file": file if mine else "",
        "path": next((public[name] for _, name in mine if name in public), None),
    }
