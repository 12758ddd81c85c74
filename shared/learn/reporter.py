"""A pytest plugin that says what happens as lines of JSON; `twice prove` starts pytest with it and draws them."""

import json
import os
import re
import traceback
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any, cast

import pytest

_LESSON_FILES = ("build_it.py", "use_it.py", "ship_it.py")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # of several processes, the one that gathers reports says them
        # Capturing replaces file descriptor 1 while tests run, and is not on yet.
        config.pluginmanager.register(_Reporter(os.fdopen(os.dup(1), "w", encoding="utf-8")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.excinfo:
        report.user_properties.append(("failure", explain(call.excinfo.value)))
    return report


def explain(error: BaseException) -> str:
    """What a failing test says, without pytest's traceback: its message, the smallest input, and where."""
    while isinstance(error, BaseExceptionGroup):  # Hypothesis found more than one: the first
        error = error.exceptions[0]
    lines = str(error).splitlines() or ["no message"]
    if isinstance(error, AssertionError):
        # pytest appends how the condition was computed; a message of the test's own says it better
        cut = next((i for i, line in enumerate(lines) if i and re.match(r"assert\b", line)), len(lines))
        lines = lines[:cut]
    else:
        lines[0] = f"{type(error).__name__}: {lines[0]}"
    for note in getattr(error, "__notes__", []):
        if note.startswith("Explanation"):  # which lines ran: seldom of use, and long
            break
        lines += _example(note)
    frames = traceback.extract_tb(error.__traceback__)
    for names in (_LESSON_FILES, ("test_equivalence.py",)):
        places = [frame for frame in frames if Path(frame.filename).name in names]
        if places:
            lines.append(f"at {places[-1].filename}:{places[-1].lineno}")
            break
    return "\n".join(lines)


def _example(note: str) -> list[str]:
    """Hypothesis' failing example as the arguments that matter; other notes as they are."""
    if call := re.match(r"(?:Failing test case|Falsifying example): \w+\(\n(.*?)\n\)", note, re.DOTALL):
        arguments = [line.rstrip().removesuffix(",") for line in call[1].splitlines()]
        return ["smallest input found:", *(line for line in arguments if not re.match(r"\s*\w+=<module ", line))]
    return [] if "reproduce" in note else note.splitlines()


class _Reporter:
    def __init__(self, out: IO[str]) -> None:
        self.out = out

    def say(self, event: str, **values: Any) -> None:
        print(json.dumps({"event": event, **values}), file=self.out, flush=True)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.items:
            self.say("collected", count=len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self.say("collected", count=len(ids))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.say("test", node=report.nodeid, outcome="failed", failure=str(report.longrepr), report="")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.say("started", node=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            failure = dict(cast(Any, report.user_properties)).get("failure", "")
            whole = report.longreprtext if report.failed else ""
            self.say("test", node=report.nodeid, outcome=report.outcome, failure=failure, report=whole)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
            self.say("finished")
