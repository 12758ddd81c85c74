"""`twice quiz` and `twice review`: the questions of a lesson, and those that are due again."""

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from functools import partial

from shared.curriculum import Curriculum, Lesson
from shared.learn import asking, cards, progress, screen
from shared.learn.cards import Question, Rating
from shared.learn.home import home
from shared.learn.lessons import UsageError
from shared.learn.progress import State


def quiz(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Ask the questions of a lesson, explain each answer, and say what to read again."""
    lesson = curriculum.find(options.lesson)
    questions = cards.questions_of(lesson)
    if not questions:
        raise UsageError(f"{lesson.name} has no quiz; read it with 'twice show {lesson.name}'")
    record = asking.Recorder(home(curriculum.root).store)
    state = record.state()
    print(screen.bold(lesson.title) + screen.dim(f"  {lesson.name}"))
    asking.say(f"{counted(len(questions), 'question')}. {asking.HOW_TO}")
    results: list[bool | None] = []
    with asking.until_stopped() as end:
        for number, question in enumerate(questions, 1):
            # Another order each time it is answered, so that the place of the right option cannot be learned.
            seed = None if options.in_order else f"{question.id}/{cards.reviews(state, question)}"
            results.append(asking.ask(question, f"{number} of {len(questions)}", seed))
            if results[-1] is not None:
                record(
                    partial(_answered, lesson=lesson, questions=questions, results=tuple(results), now=progress.now())
                )
    _say_result(lesson, questions, results, record.state())
    if _given(results) and not cards.can_schedule():
        print(f"twice: {cards.NO_SCHEDULER}", file=sys.stderr)
    return record.code(end.code)


def _answered(
    state: State, lesson: Lesson, questions: Sequence[Question], results: Sequence[bool | None], now: str
) -> None:
    """Record the quiz so far and when the last question comes back; every question of it becomes a card."""
    given = _given(results)
    progress.entry(state, lesson.name)["quiz"] = {"answered": len(given), "right": sum(given), "of": len(questions)}
    cards.enrol(state, questions, cards.day(now))
    if cards.can_schedule():
        cards.rate(state, questions[len(results) - 1], "good" if results[-1] else "again", now)


def _given(results: Sequence[bool | None]) -> list[bool]:
    return [right for right in results if right is not None]


def _say_result(lesson: Lesson, questions: Sequence[Question], results: Sequence[bool | None], state: State) -> None:
    given = _given(results)
    unanswered = len(questions) - len(given)
    score = f"{sum(given)} of {len(questions)} right" + (f", {unanswered} not answered" if unanswered else "")
    missed = [f"{i}. {asking.plain(questions[i - 1].text)}" for i, right in enumerate(results, 1) if not right]
    entry = state.get("lessons", {}).get(lesson.name, {})
    following = [f"twice show {lesson.name}"] if missed else []
    if sum(given) < len(questions):
        following.append(f"twice quiz {lesson.name}")
    elif "proven" in entry:
        following.append("twice")
    else:
        following.append(f"twice {'check' if 'started' in entry else 'start'} {lesson.name}")
    rows = [("score", score)]
    for name, texts in (("reread for", missed), ("next", following)):
        rows += [(name if not i else "", text) for i, text in enumerate(texts)]
    print("", *screen.facts(rows), sep="\n")


def review(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Ask what is due of the questions of lessons proven and quizzes taken; an answer decides when one comes back."""
    if options.limit < 1:
        raise UsageError(f"--limit is how many questions to ask, at least 1; got {options.limit}")
    if not cards.can_schedule():
        raise UsageError(cards.NO_SCHEDULER)
    store = home(curriculum.root).store
    record = asking.Recorder(store)
    state, today = store.read(), cards.day(progress.now())
    questions = cards.refresh(state, curriculum, today)
    record(partial(cards.refresh, curriculum=curriculum, today=today))
    due = cards.due(state, questions, today)
    asked = due[: options.limit]
    if asked:
        asking.say(f"{len(due)} due{f', {len(asked)} of them now' if len(asked) < len(due) else ''}. {asking.HOW_TO}")
    given: list[bool] = []
    with asking.until_stopped() as end:
        for number, question in enumerate(asked, 1):
            seed = f"{question.id}/{cards.reviews(state, question)}"
            right = asking.ask(
                question, f"{number} of {len(asked)}", seed, about=curriculum.lessons[question.lesson].title
            )
            if right is None:
                continue
            given.append(right)
            rating, stopped = _rating(right)
            rate = partial(cards.rate, question=question, rating=rating, now=progress.now())
            rate(state)
            record(rate)
            if stopped:
                raise stopped
    if asked:
        print()
    if given:
        print(f"{sum(given)} of {counted(len(given), 'answer')} right.")
    _say_next(state, today)
    return record.code(end.code)


def _rating(right: bool) -> tuple[Rating, asking.Stopped | None]:
    """How well it was known. The answer counts even if the learner stops here."""
    if not right:
        return "again", None
    ratings: dict[str, Rating] = {"": "good", "h": "hard", "e": "easy"}
    try:
        prompt = "Enter, or h if it was hard, e if it was easy: "
        return ratings[asking.read(prompt, list(ratings), "Type h, e, or nothing; q quits.")], None
    except asking.Stopped as stopped:
        return "good", stopped


def _say_next(state: State, today: str) -> None:
    if left := cards.count(state, today):
        asking.say(f"{left} still due. Next: twice review")
    elif following := cards.next_due(state):
        asking.say(f"Nothing is due. The next question comes back {_when(following, today)}. Next: twice")
    else:
        asking.say(
            "There is nothing to review: questions come here from a quiz you took or a lesson you proved. Next: twice"
        )


def _when(following: str, today: str) -> str:
    try:
        days = (date.fromisoformat(following) - date.fromisoformat(today)).days
    except ValueError:  # edited by hand
        return f"on {following}"
    return "tomorrow" if days == 1 else f"in {days} days, on {following}"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
