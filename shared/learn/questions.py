"""`twice quiz` and `twice review`: a lesson's questions in the terminal, after the lesson and again when they are due."""

import argparse
import contextlib
import io
import random
import sys
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial

from shared.curriculum import Curriculum, Lesson
from shared.learn import cards, progress, screen
from shared.learn.cards import Question, Rating, State
from shared.learn.home import home
from shared.learn.lessons import UsageError

_LETTERS = "abcdefghijklmnop"  # q quits
_QUIT, _INTERRUPTED = 0, 130


class Stopped(Exception):
    """The learner ended the questions; the argument is the exit code."""

    code: int

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Recorder:
    """Writes each answer at once; what cannot be written waits for the next time, and the questions go on."""

    def __init__(self, store: progress.Store) -> None:
        self._store = store
        self._waiting: list[Callable[[State], object]] = []
        self._problem = ""

    def __call__(self, change: Callable[[State], object]) -> None:
        self._waiting.append(change)
        try:
            with self._store.change() as state:
                for waiting in self._waiting:
                    waiting(state)
            self._waiting.clear()
        except (OSError, progress.ProgressError) as error:
            self._problem = str(error)

    def read(self) -> State:
        """The progress, or an empty one where it cannot be read: then it cannot be written either, and is not."""
        try:
            return self._store.read()
        except (OSError, progress.ProgressError):
            return {}

    def code(self, code: int) -> int:
        """`code`, or 2 after a warning if something could not be written."""
        if not self._waiting:
            return code
        print(f"twice: your answers could not be recorded: {self._problem}", file=sys.stderr)
        return 2


def quiz(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Ask the questions of a lesson, explain each answer, and say what to read again."""
    lesson = curriculum.find(options.lesson)
    asked = cards.questions(lesson)
    if not asked:
        raise UsageError(f"{lesson.name} has no quiz; 'twice show {lesson.name}' shows the lesson")
    record = Recorder(home(options.root.resolve()).store)
    state = record.read()
    today = cards.day(progress.now())
    scheduled = cards.has_scheduler()
    print(screen.bold(lesson.title) + screen.dim(f"  {lesson.name}"))
    print(f"{counted(len(asked), 'question')}. {HOW_TO_ANSWER}")
    results: dict[Question, bool | None] = {}
    with until_stopped() as end:
        for number, question in enumerate(asked, 1):
            seed = None if options.in_order else f"{question.id}/{cards.reviews(state, question)}"
            right = ask(question, f"{number} of {len(asked)}", seed)
            results[question] = right
            if right is not None:
                record(partial(_taken, lesson=lesson, asked=asked, results=dict(results), today=today))
                if scheduled:
                    rating: Rating = "good" if right else "again"
                    record(partial(cards.rate, question=question, rating=rating, today=today))
    _say_result(lesson, asked, results, record.read())
    if not scheduled and any(right is not None for right in results.values()):
        print(f"twice: {cards.NO_SCHEDULER}", file=sys.stderr)
    return record.code(end.code)


def _taken(
    state: State, lesson: Lesson, asked: list[Question], results: dict[Question, bool | None], today: str
) -> None:
    """Record the quiz as it stands now; each question of it, answered or not, becomes a card."""
    answered = [right for right in results.values() if right is not None]
    progress.entry(state, lesson.name)["quiz"] = {"answered": len(answered), "right": sum(answered), "of": len(asked)}
    cards.enrol(state, asked, today)


def _say_result(lesson: Lesson, asked: list[Question], results: dict[Question, bool | None], state: State) -> None:
    answered = [right for right in results.values() if right is not None]
    score = f"{sum(answered)} of {len(asked)} right"
    if len(answered) < len(asked):
        score += f", {len(asked) - len(answered)} not answered"
    missed = [f"{number}. {plain(question.text)}" for number, question in enumerate(asked, 1) if not results.get(question)]
    entry = state.get("lessons", {}).get(lesson.name, {})
    rows = [("score", score), *(("reread" if not i else "", text) for i, text in enumerate(missed))]
    if missed:
        rows += [("next", f"twice show {lesson.name}"), ("", f"twice quiz {lesson.name}")]
    elif "proven" in entry:
        rows += [("next", "twice")]
    else:
        rows += [("next", f"twice {'check' if 'started' in entry else 'start'} {lesson.name}")]
    print("", *screen.facts(rows), sep="\n")


def review(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Ask the questions that are due, of lessons proven and quizzes taken; each answer says when it comes again."""
    if options.limit < 1:
        raise UsageError(f"--limit must be 1 or more, got {options.limit}")
    cards.require_scheduler()
    store = home(options.root.resolve()).store
    state, today = store.read(), cards.day(progress.now())
    everything = cards.refresh(state, curriculum, today)
    record = Recorder(store)
    record(partial(_refreshed, curriculum=curriculum, today=today))
    due = cards.due(state, everything.values(), today)
    if not due:
        _say_next(state, today)
        return record.code(0)
    due_now = due[: options.limit]
    print(f"{len(due)} due{f', {len(due_now)} now' * (len(due_now) < len(due))}. {HOW_TO_ANSWER}")
    answers: list[bool] = []
    with until_stopped() as end:
        for number, question in enumerate(due_now, 1):
            lesson = curriculum.lessons[question.lesson]
            heading = f"{number} of {len(due_now)}"
            right = ask(question, heading, f"{question.id}/{cards.reviews(state, question)}", about=lesson.title)
            if right is None:
                continue
            answers.append(right)
            rating: Rating = "again"
            try:
                rating = _how_well() if right else "again"
            except Stopped:
                rating = "good"
                raise
            finally:  # the answer counts, even if the learner stops at how well they knew it
                cards.rate(state, question, rating, today)
                record(partial(cards.rate, question=question, rating=rating, today=today))
    print()
    if answers:
        print(f"{sum(answers)} of {len(answers)} right.")
    _say_next(state, today)
    return record.code(end.code)


def _refreshed(state: State, curriculum: Curriculum, today: str) -> None:
    cards.refresh(state, curriculum, today)


def _how_well() -> Rating:
    answers: dict[str, Rating] = {"": "good", "h": "hard", "e": "easy"}
    while (answer := read("Enter if it went well, h if it was hard, e if it was easy: ")) not in answers:
        if answer == "q":
            raise Stopped(_QUIT)
    return answers[answer]


def _say_next(state: State, today: str) -> None:
    """How many are due still, or when the next one will be, and the command to go on with."""
    if waiting := sum(cards.is_due(card, today) for card in state.get("cards", {}).values()):
        print(f"{waiting} due still: twice review")
    elif following := cards.next_due(state):
        print(f"Nothing is due. The next question comes back {_when(following, today)}. Go on with: twice")
    else:
        print("There is nothing to review yet: the questions of a lesson come here when you take its quiz or prove it.")
        print("Go on with: twice")


def _when(following: str, today: str) -> str:
    try:
        days = (date.fromisoformat(following) - date.fromisoformat(today)).days
    except ValueError:  # edited by hand
        return following
    return "tomorrow" if days == 1 else f"in {days} days, on {following}"


# Asking, in whatever command it is.

HOW_TO_ANSWER = "Answer with a letter or a number; Enter skips, q quits."


class _End:
    code = _QUIT


@contextlib.contextmanager
def until_stopped() -> Iterator[_End]:
    """The questions end here when the learner stops them; `code` of what it gives is the exit code."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    end = _End()
    try:
        yield end
    except Stopped as stopped:
        end.code = stopped.code


def ask(question: Question, heading: str, seed: str | None, about: str = "", explain: bool = True) -> bool | None:
    """Put one question, with its options in an order that `seed` decides (None: the file's).

    Args:
        heading: which one it is.
        about: what is said beside that.
        explain: say which option is right, and why; else only whether it was hit.

    Returns:
        Whether the answer was right; None if it was skipped.

    Raises:
        Stopped: by q, the end of input or Ctrl-C.
    """
    order = list(range(len(question.options)))
    if seed is not None:
        random.Random(seed).shuffle(order)
    letters = _LETTERS[: len(order)]
    print("\n" + screen.bold(heading) + (screen.dim(f"  {about}") if about else ""))
    print("\n".join(screen.wrapped(plain(question.text), 0)))
    print("\n".join(screen.facts([(letters[i], plain(question.options[k])) for i, k in enumerate(order)])))
    valid = {"", *letters, *(str(number) for number in range(1, len(order) + 1))}
    while (answer := read("Your answer: ")) not in valid:
        if answer == "q":
            raise Stopped(_QUIT)
        print(f"Type one of {', '.join(letters)} (or 1 to {len(order)}); Enter skips, q quits.")
    if not answer:
        print("Skipped.")
        return None
    right = order[letters.find(answer) if answer in letters else int(answer) - 1] == question.answer
    if right:
        print(screen.green("Right."))
    else:
        print(screen.red(f"Not right: it is {letters[order.index(question.answer)]}." if explain else "Not right."))
    if explain:
        print("\n".join(screen.wrapped(plain(question.why), 0)))
    return right


def read(prompt: str) -> str:
    """What the learner types, in small letters.

    Raises:
        Stopped: at the end of input, and after Ctrl-C.
    """
    try:
        if sys.stdin is None:
            raise EOFError
        answer = input(prompt)
    except EOFError:
        print()
        raise Stopped(_QUIT) from None
    except KeyboardInterrupt:
        print()
        raise Stopped(_INTERRUPTED) from None
    if not sys.stdin.isatty():
        print(answer)  # a terminal has shown it already
    return answer.strip().lower()


def plain(text: str) -> str:
    """`text` with its formulas in Unicode."""
    if "$" not in text:
        return text
    from shared.learn.show import without_dollars  # noqa: PLC0415  # its parser is slow to import

    return without_dollars(text)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
