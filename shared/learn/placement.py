"""`twice placement`: which lessons of a phase you can skip, from a few questions of each."""

import argparse
import difflib
import math
import random
import sys
from collections.abc import Sequence
from functools import partial

from shared.curriculum import Curriculum, Lesson, Phase
from shared.learn import asking, cards, progress, screen
from shared.learn.cards import Question
from shared.learn.home import home
from shared.learn.lessons import UsageError
from shared.learn.progress import State

_SKIP, _TAKE, _NOT_ASKED = "can skip", "take it", "not asked"


def placement(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Ask a few questions of each lesson, except of those that build on one that is to be taken."""
    phase = _phase(curriculum, options.phase)
    if options.questions < 1:
        raise UsageError(f"--questions is how many to ask of each lesson, at least 1; got {options.questions}")
    if not phase.lessons:
        raise UsageError(f"phase {phase.number} ({phase.slug}) has no lessons yet; see 'twice list'")
    chosen = {lesson.name: _chosen(lesson, options.questions, options.seed) for lesson in phase.lessons}
    if not any(chosen.values()):
        raise UsageError(f"no lesson of phase {phase.number} ({phase.slug}) has a quiz yet; see 'twice list'")
    record = asking.Recorder(home(curriculum.root).store)
    known = record.state().get("lessons", {})
    luck = max(chance(questions) for questions in chosen.values() if questions)
    print(screen.bold(f"Phase {phase.number}  {phase.title}"))
    asking.say(
        f"You can skip a lesson if {_all(options.questions)} right. Guessing does that with a chance of {luck:.2%}."
    )
    asking.say(asking.HOW_TO)
    verdicts = {name: (_NOT_ASKED, "has no quiz") for name, questions in chosen.items() if not questions}
    with asking.until_stopped() as end:
        for lesson in _in_order(curriculum, [lesson for lesson in phase.lessons if chosen[lesson.name]]):
            if reason := _not_asked(curriculum, lesson, known.get(lesson.name, {}), verdicts):
                verdicts[lesson.name] = (_NOT_ASKED, reason)
            else:
                verdicts[lesson.name] = _verdict(lesson, chosen[lesson.name], options.seed)
    rows = [(lesson.name, *verdicts.get(lesson.name, (_NOT_ASKED, "you stopped"))) for lesson in phase.lessons]
    _say_table(rows)
    skippable = [name for name, verdict, _ in rows if verdict == _SKIP]
    taken = [name for name, verdict, _ in rows if verdict == _TAKE]
    if skippable and _agreed(len(skippable), options.mark, end):
        record(partial(_skip, names=skippable, now=progress.now()))
        skippable = []
    following = [f"twice skip {name}" for name in skippable] + [f"twice start {name}" for name in taken[:1]]
    rest = [("", command) for command in following[1:]]
    print("", *screen.facts([("next", following[0] if following else "twice"), *rest]), sep="\n")
    return record.code(end.code)


def _phase(curriculum: Curriculum, name: str) -> Phase:
    """The phase called `name`: its number, its slug, or an unambiguous part of that."""
    wanted = name.strip().strip("/").lower()
    exact = [phase for phase in curriculum.phases if wanted in (phase.slug, str(phase.number), f"{phase.number:02}")]
    found = exact or [phase for phase in curriculum.phases if wanted and wanted in phase.slug]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{name!r} can mean {', '.join(phase.slug for phase in found)}; name one of them")
    near = difflib.get_close_matches(wanted, [phase.slug for phase in curriculum.phases], n=1, cutoff=0.5)
    raise UsageError(f"there is no phase {name!r}; " + (f"did you mean {near[0]}?" if near else "see 'twice list'"))


def _in_order(curriculum: Curriculum, lessons: Sequence[Lesson]) -> list[Lesson]:
    """`lessons`, each after those of them that it builds on."""
    order = {needed.name: needed for lesson in lessons for needed in curriculum.path_to(lesson)}
    return [lesson for lesson in order.values() if lesson in lessons]


def _chosen(lesson: Lesson, number: int, seed: int) -> list[Question]:
    quiz = cards.questions_of(lesson)
    return random.Random(f"{seed}/{lesson.name}").sample(quiz, min(number, len(quiz)))


def _all(number: int) -> str:
    return "the one answer is" if number == 1 else f"all {number} answers are"


def _not_asked(curriculum: Curriculum, lesson: Lesson, entry: State, verdicts: dict[str, tuple[str, str]]) -> str:
    """Why `lesson` needs no question; empty if it does."""
    for state in ("proven", "skipped"):
        if state in entry:
            return f"{state} already"
    for needed in curriculum.path_to(lesson):
        if verdicts.get(needed.name, ("", ""))[0] == _TAKE:
            return f"builds on {needed.name}"
    return ""


def _verdict(lesson: Lesson, questions: Sequence[Question], seed: int) -> tuple[str, str]:
    """Ask until an answer is not right. The right one is left to the quiz: the next placement may ask it again."""
    for number, question in enumerate(questions, 1):
        heading = f"{number} of {len(questions)}"
        if not asking.ask(question, heading, f"{seed}/{question.id}", about=lesson.title, explain=False):
            return _TAKE, f"{number - 1} of {len(questions)} right"
    return _SKIP, f"{len(questions)} of {len(questions)} right"


def chance(questions: Sequence[Question]) -> float:
    """How likely it is to get all of `questions` right by guessing."""
    return math.prod(1 / len(question.options) for question in questions)


def _say_table(rows: Sequence[tuple[str, str, str]]) -> None:
    print()
    for line in screen.columns(rows):
        asking.say(line)


def _agreed(number: int, mark: bool, end: asking.Stopped) -> bool:
    """Whether to mark the lessons as skipped: `mark` says so, or the learner, who is asked only on a terminal."""
    if mark:
        return True
    if end.code or not (sys.stdin and sys.stdin.isatty() and screen.is_terminal()):
        return False
    these = "this lesson" if number == 1 else f"these {number} lessons"
    answer = "n"
    with asking.until_stopped():
        answer = asking.read(f"\nMark {these} as skipped? [y/N] ", ["", "y", "yes", "n", "no"], "Type y or n.")
    return answer in ("y", "yes")


def _skip(state: State, names: Sequence[str], now: str) -> None:
    for name in names:
        progress.entry(state, name).setdefault("skipped", now)
