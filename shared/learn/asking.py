"""A question in the terminal, and an answer that is recorded at once: for quiz, review and placement."""

import contextlib
import io
import random
import sys
from collections.abc import Callable, Iterator

from shared.learn import screen
from shared.learn.cards import Question
from shared.learn.progress import ProgressError, State, Store

HOW_TO = "Answer with a letter or a number; Enter skips, q quits."
_LETTERS = "abcdefghijklmnop"  # as far as q, which quits
_QUIT, _INTERRUPTED = 0, 130


class Stopped(Exception):  # noqa: N818  # no error
    """The learner has ended the questions, by q, the end of input, or Ctrl-C; with the command's exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@contextlib.contextmanager
def until_stopped() -> Iterator[Stopped]:
    """Ask in here: when the learner stops, what comes after it goes on, with the exit code in what this gives."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    end = Stopped(_QUIT)
    try:
        yield end
    except Stopped as stopped:
        end.code = stopped.code
    except KeyboardInterrupt:  # between two questions
        print()
        end.code = _INTERRUPTED


def say(text: str) -> None:
    """Print `text`, its formulas in Unicode; on a terminal no wider than that."""
    print("\n".join(screen.wrapped(plain(text), 0)))


def ask(question: Question, heading: str, seed: str | None, about: str = "", explain: bool = True) -> bool | None:
    """Put one question, and say whether the answer is right.

    Args:
        question: with its formulas still in LaTeX.
        heading: which one of how many.
        seed: decides the order of the options; None keeps the file's.
        about: what is said beside the heading.
        explain: say which option is right, and why; else only whether it was chosen.

    Returns:
        Whether the answer is right; None if the question was skipped.

    Raises:
        Stopped: instead of an answer.
    """
    order = list(range(len(question.options)))
    if seed is not None:
        random.Random(seed).shuffle(order)
    letters = _LETTERS[: len(order)]
    print("\n" + screen.bold(heading) + (screen.dim(f"  {about}") if about else ""))
    say(question.text)
    print("\n".join(screen.facts([(letters[i], plain(question.options[k])) for i, k in enumerate(order)])))
    places = {name: i for i, letter in enumerate(letters) for name in (letter, str(i + 1))}
    answer = read("Your answer: ", ["", *places], f"Type one of {', '.join(letters)}; Enter skips, q quits.")
    if not answer:
        print("Skipped.")
        return None
    right = order[places[answer]] == question.answer
    if right:
        print(screen.green("Right."))
    else:
        print(screen.red(f"Not right: it is {letters[order.index(question.answer)]}." if explain else "Not right."))
    if explain:
        say(question.why)
    return right


def read(prompt: str, valid: list[str], otherwise: str) -> str:
    """One of `valid`, as the learner types it; after anything else, `otherwise` is printed and asked again.

    Raises:
        Stopped: by q, the end of input, or Ctrl-C.
    """
    while True:
        try:
            if sys.stdin is None:  # closed
                raise EOFError
            answer = input(prompt)
        except EOFError:
            print()
            raise Stopped(_QUIT) from None
        except KeyboardInterrupt:
            print()
            raise Stopped(_INTERRUPTED) from None
        if not sys.stdin.isatty():
            print(answer)  # which a terminal has shown already
        answer = answer.strip().lower()
        if answer in valid:
            return answer
        if answer == "q":
            raise Stopped(_QUIT)
        print(otherwise)


def plain(text: str) -> str:
    """`text` with its formulas in Unicode."""
    if "$" not in text:
        return text
    from shared.learn.show import without_dollars  # noqa: PLC0415  # importing the parser of LaTeX takes a while

    return without_dollars(text)


class Recorder:
    """Records each answer at once; what cannot be written waits for the next one, and the questions go on."""

    def __init__(self, store: Store) -> None:
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
        except (OSError, ProgressError) as error:
            self._problem = str(error)

    def state(self) -> State:
        """The progress; empty where it cannot be read, since then nothing is written over it either."""
        try:
            return self._store.read()
        except (OSError, ProgressError):
            return {}

    def code(self, code: int) -> int:
        """`code`; after a warning 2, if something is not recorded."""
        if not self._waiting:
            return code
        print(f"twice: not recorded: {self._problem}", file=sys.stderr)
        return 2
