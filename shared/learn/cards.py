"""Quiz questions as cards that come back: which there are, which are due, and when each comes again.

A card in the progress is ``{"due": "2026-11-21", "last": "2026-11-20T10:11:02Z", "stability": 2.3, "difficulty": 2.1,
"reviews": 1}``, and only ``due`` before its first answer. Days are those of the learner's own calendar: fsrs reckons
in days too, and what is due today is due from the morning on. fsrs is imported only where an answer is rated.
"""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from shared.curriculum import Curriculum, Lesson
from shared.learn.progress import State

Rating = Literal["again", "hard", "good", "easy"]
NO_SCHEDULER = "the package fsrs, which schedules the review, is not installed here: run 'nox -s learn'"


@dataclass(frozen=True)
class Question:
    """A question of a lesson's quiz; `answer` is the index of the right one of `options`."""

    lesson: str
    text: str
    options: tuple[str, ...]
    answer: int
    why: str

    @property
    def id(self) -> str:
        """Of its card: other questions, their order, and its own options can change without changing it."""
        import hashlib  # noqa: PLC0415  # OpenSSL takes 10 ms to load, and what only counts cards needs no hash

        return f"{self.lesson}#{hashlib.sha256(' '.join(self.text.split()).encode()).hexdigest()[:12]}"


def questions_of(lesson: Lesson) -> list[Question]:
    """The quiz of `lesson` in the file's order; empty where it has none.

    Raises:
        ValueError: if a question cannot be asked.
    """
    file = lesson.folder / "lesson.toml"
    quiz = lesson.meta.get("quiz", []) if file.is_file() else []
    if not isinstance(quiz, list):
        raise ValueError(f"{file}: quiz must be tables [[quiz]], got {quiz!r}")
    return [_question(lesson.name, item, f"{file}: question {number}") for number, item in enumerate(quiz, 1)]


def _question(lesson: str, item: Any, where: str) -> Question:
    match item:
        case {"question": str(text), "options": [*options], "answer": int(answer), "why": str(why)}:
            if not 2 <= len(options) <= 16 or not all(isinstance(option, str) for option in options):
                raise ValueError(f"{where} needs 2 to 16 options, each a text")
            if answer not in range(len(options)):
                raise ValueError(f"{where} has {len(options)} options, so its answer cannot be {answer} (from 0)")
            return Question(lesson, text, tuple(options), answer, why)
    raise ValueError(f"{where} needs question (a text), options, answer (an index from 0) and why (a text)")


def day(now: str) -> str:
    """The learner's calendar day at the time `now` (``"2026-11-20T10:11:02Z"``)."""
    return datetime.fromisoformat(now).astimezone().date().isoformat()


def due_count(state: State, now: str) -> int:
    """How many cards are due on the day of `now`."""
    return count(state, day(now))


def count(state: State, today: str) -> int:
    """How many cards are due on the day `today`."""
    return sum(_is_due(card, today) for card in _cards(state).values())


def _is_due(card: dict[str, Any], today: str) -> bool:
    return "gone" not in card and str(card.get("due", "")) <= today


def enrol(state: State, questions: Iterable[Question], today: str) -> None:
    """Make a card, due today, of each of `questions` that has none."""
    cards = _cards(state)
    for question in questions:
        cards.setdefault(question.id, {"due": today})


def refresh(state: State, curriculum: Curriculum, today: str) -> dict[str, Question]:
    """Bring the cards in line with the lessons as they are now; the questions of all cards that can be asked.

    All questions of a lesson that is proven, or that has a card from its quiz, become cards. A card whose question is
    no more is marked ``gone`` and not deleted: another branch may bring the question back.
    """
    cards = _cards(state)
    done = {name for name, entry in state.get("lessons", {}).items() if "proven" in entry}
    done |= {card.partition("#")[0] for card in cards}
    found = {question.id: question for name in sorted(done) for question in _safely(curriculum.lessons.get(name))}
    enrol(state, found.values(), today)
    for id_, card in cards.items():
        if id_ in found:
            card.pop("gone", None)
        else:
            card.setdefault("gone", today)
    return found


def _safely(lesson: Lesson | None) -> list[Question]:
    """One broken lesson.toml must not keep the other lessons from review; `twice list` names it."""
    try:
        return questions_of(lesson) if lesson else []
    except (OSError, ValueError):
        return []


def rate(state: State, question: Question, rating: Rating, now: str) -> None:
    """Record an answer given `now`, and when the question comes back: the day after at the earliest."""
    import fsrs  # noqa: PLC0415

    stored = _cards(state).setdefault(question.id, {})
    # Without steps of minutes, intervals are days; without fuzz, the same answers give the same days.
    scheduler = fsrs.Scheduler(learning_steps=(), relearning_steps=(), enable_fuzzing=False)
    rated, today = fsrs.Rating[rating.capitalize()], _midnight(now)
    try:
        known = fsrs.Card(
            card_id=0,
            state=fsrs.State.Review,
            stability=float(stored["stability"]),
            difficulty=float(stored["difficulty"]),
            last_review=_midnight(stored["last"]),
        )
        card, _ = scheduler.review_card(known, rated, today)
    except (KeyError, TypeError, ValueError, ArithmeticError):  # its first answer, or it was edited by hand
        card, _ = scheduler.review_card(fsrs.Card(card_id=0), rated, today)
    stored |= {
        "due": card.due.date().isoformat(),
        "last": now,
        "stability": card.stability,
        "difficulty": card.difficulty,
        "reviews": reviews(state, question) + 1,
    }


def reviews(state: State, question: Question) -> int:
    """How often `question` has been answered."""
    count = _cards(state).get(question.id, {}).get("reviews", 0)
    return count if isinstance(count, int) else 0


def next_due(state: State) -> str:
    """The first day on which a card is due; empty where there is no card."""
    return min((str(card.get("due", "")) for card in _cards(state).values() if "gone" not in card), default="")


def due(state: State, questions: dict[str, Question], today: str) -> list[Question]:
    """Those of `questions` that are due, longest due first; of one day in mixed order, so that lessons take turns."""
    waiting = [(str(card.get("due", "")), id_) for id_, card in _cards(state).items() if _is_due(card, today)]
    return [questions[id_] for _, id_ in sorted(waiting, key=lambda card: (card[0], card[1].partition("#")[2]))]


def can_schedule() -> bool:
    """Whether `rate` has the package that it needs."""
    return importlib.util.find_spec("fsrs") is not None


def _cards(state: State) -> dict[str, Any]:
    cards: dict[str, Any] = state.setdefault("cards", {})
    return cards


def _midnight(now: str) -> datetime:
    """The learner's day as fsrs wants it."""
    return datetime.fromisoformat(day(now)).replace(tzinfo=UTC)
