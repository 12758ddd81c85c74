"""`twice quiz`, `twice review` and `twice placement`, driven as functions and once in a real pseudo-terminal."""

import builtins
import io
import itertools
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.curriculum import Curriculum, environment, load
from shared.learn import asking, cards, cli, placement, progress
from shared.learn.progress import ProgressError

Twice = Callable[..., tuple[int, str, str]]
FIRST, SECOND, THIRD = "first-steps/adding", "first-steps/doubling", "first-steps/halving"
NOON = "2026-11-20T12:00:00Z"  # the same calendar day in nearly all time zones


def on(number: int) -> str:
    """The learner's calendar day `number` days after NOON's."""
    return cards.day(f"2026-11-{20 + number:02}T12:00:00Z")


def toml(slug: str, texts: Sequence[str], prerequisites: Sequence[str] = ()) -> str:
    """A lesson.toml; the right option of each question is called ``right N``."""
    head = f'title = "{slug.title()}"\npriority = "essential"\nminutes = 5\nframeworks = []\n'
    questions = "".join(
        f"[[quiz]]\nquestion = '{text}'\noptions = {json.dumps([f'right {i}' if k == i % 4 else f'wrong {i} {k}' for k in range(4)])}\n"
        f"answer = {i % 4}\nwhy = 'Why {i} of {slug}.'\n"
        for i, text in enumerate(texts)
    )
    return f"{head}prerequisites = {json.dumps(list(prerequisites))}\n{questions}"


def lesson(root: Path, folder: str, texts: Sequence[str], prerequisites: Sequence[str] = ()) -> Path:
    path = root / "phases" / folder
    path.mkdir(parents=True, exist_ok=True)
    (path / "lesson.toml").write_text(toml(path.name[3:], texts, prerequisites), encoding="utf-8")
    return path / "lesson.toml"


def five(slug: str) -> list[str]:
    return [f"{slug} question {i}?" for i in range(5)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three lessons, each with a quiz; halving, listed before it, builds on doubling through another phase."""
    lesson(tmp_path, "01-first-steps/01-adding", five("adding"))
    lesson(tmp_path, "01-first-steps/02-halving", five("halving"), ["other/between"])
    lesson(tmp_path, "01-first-steps/03-doubling", five("doubling"))
    lesson(tmp_path, "02-other/01-between", [], [SECOND])
    (tmp_path / "phases" / "03-empty").mkdir()
    return tmp_path


class Learner:
    """Types the lines in order; a function gives the line after what was printed until then, an exception is raised."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.said, self.capsys = "", capsys
        self.lines: list[Any] = []

    def __call__(self, prompt: str = "") -> str:
        print(prompt, end="")
        self.said += self.capsys.readouterr().out
        if not self.lines:
            raise EOFError
        line = self.lines.pop(0)
        if isinstance(line, BaseException):
            raise line
        return str(line(self.said)) if callable(line) else str(line)


def right(screen: str) -> str:
    """The letter of the right option of the question last shown."""
    return re.findall(r"^  ([a-d])  right \d$", screen, re.MULTILINE)[-1]  # type: ignore[no-any-return]


def wrong(screen: str) -> str:
    return "b" if right(screen) == "a" else "a"


@pytest.fixture
def twice(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Twice:
    """``twice("quiz", "adding", typed=[...])`` at noon of a fixed day; exit code, output, errors."""
    monkeypatch.setenv("TWICE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(progress, "now", lambda: NOON)
    monkeypatch.setattr(cli, "load", lambda _: load(root))
    learner = Learner(capsys)
    monkeypatch.setattr(builtins, "input", learner)

    def command(*words: str, typed: Sequence[Any] = ()) -> tuple[int, str, str]:
        learner.said, learner.lines = "", list(typed)
        code = cli.main(list(words))
        said = capsys.readouterr()
        return code, learner.said + said.out, said.err

    return command


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Turn the clock so many days past NOON."""
    return lambda days: monkeypatch.setattr(progress, "now", lambda: f"2026-11-{20 + days:02}T12:00:00Z")


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[], dict[str, Any]]:
    return lambda: progress.Store(tmp_path / "home" / ".twice").read()


def test_quiz_explains_every_answer_and_counts_them(twice: Twice, stored: Callable[[], dict[str, Any]]) -> None:
    number = lambda screen: "abcd".index(right(screen)) + 1  # noqa: E731
    code, out, err = twice(
        "quiz", "adding", typed=[right, wrong, "x", number, "", lambda screen: right(screen).upper()]
    )
    assert (code, err) == (0, "")
    assert [f"Why {i} of adding." in out for i in range(5)] == [True, True, True, False, True]
    assert re.findall(r"^(Right|Not right: it is [a-d]|Skipped)\.", out, re.MULTILINE)[::2] == [
        "Right",
        "Right",
        "Right",
    ]
    assert "Type one of a, b, c, d; Enter skips, q quits." in out
    assert "3 of 5 right, 1 not answered" in out
    reread = out[out.index("reread for") :]
    assert [f"{i + 1}. adding question {i}?" in reread for i in range(5)] == [False, True, False, True, False]
    assert re.findall(r"twice .*", reread) == [f"twice show {FIRST}", f"twice quiz {FIRST}"]
    assert stored()["lessons"][FIRST]["quiz"] == {"answered": 4, "right": 3, "of": 5}
    assert len(stored()["cards"]) == 5
    assert sum(card["due"] == on(0) for card in stored()["cards"].values()) == 1  # the one that was skipped


def test_the_letter_named_right_is_right(twice: Twice) -> None:
    out = twice("quiz", "adding", typed=[wrong])[1]
    assert re.search(rf"^  {re.search(r'it is ([a-d])', out)[1]}  right 0$", out, re.MULTILINE)  # type: ignore[index]


def test_next_command_depends_on_the_lesson(twice: Twice, tmp_path: Path) -> None:
    store = progress.Store(tmp_path / "home" / ".twice")
    for key, command in (("", f"twice start {FIRST}"), ("started", f"twice check {FIRST}"), ("proven", "twice")):
        with store.change() as state:
            progress.entry(state, FIRST).update({key: NOON} if key else {})
        assert twice("quiz", "adding", typed=[right] * 5)[1].endswith(f"next   {command}\n")


def options_of(out: str) -> list[list[str]]:
    return [re.findall(r"  [a-d]  (.*)", part) for part in out.split(" of 5\n")[1:]]


def test_options_are_shuffled_alike_until_they_are_answered(twice: Twice) -> None:
    orders = [options_of(twice("quiz", "adding", typed=[""] * 5)[1]) for _ in range(2)]
    assert orders[0] == orders[1]
    assert len({order.index(f"right {i}") for i, order in enumerate(orders[0])}) > 1
    plain = options_of(twice("quiz", "adding", "--in-order", typed=["a"] * 5)[1])
    assert [order.index(f"right {i}") for i, order in enumerate(plain)] == [0, 1, 2, 3, 0]
    again = options_of(twice("quiz", "adding", typed=[""] * 5)[1])
    assert again != orders[0]
    assert [sorted(order) for order in again] == [sorted(order) for order in plain]


@pytest.mark.parametrize(("end", "code"), [(["q"], 0), ([], 0), ([KeyboardInterrupt()], 130)])
def test_what_was_answered_counts(
    twice: Twice, stored: Callable[[], dict[str, Any]], end: list[Any], code: int
) -> None:
    got, out, err = twice("quiz", "adding", typed=[right, *end])
    assert (got, err) == (code, "")
    assert "1 of 5 right, 4 not answered" in out
    assert "reread" not in out
    assert stored()["lessons"][FIRST]["quiz"] == {"answered": 1, "right": 1, "of": 5}


def test_a_quiz_left_at_once_is_no_quiz(twice: Twice, stored: Callable[[], dict[str, Any]]) -> None:
    assert twice("quiz", "adding", typed=["", "q"])[0] == 0
    assert stored()["lessons"] == stored()["cards"] == {}


def test_piped_lines_are_read_and_shown(
    twice: Twice, monkeypatch: pytest.MonkeyPatch, stored: Callable[[], dict[str, Any]]
) -> None:
    monkeypatch.setattr(builtins, "input", input_of_python)
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\n\nb\n"))
    code, out, _ = twice("quiz", "adding")
    assert code == 0
    assert out.count("\033") == 0
    assert "Your answer: a\n" in out
    assert stored()["lessons"][FIRST]["quiz"]["answered"] == 2
    monkeypatch.setattr(sys, "stdin", None)
    assert twice("quiz", "adding")[0] == 0


input_of_python = builtins.input


def test_bytes_that_are_no_text_are_no_answer(twice: Twice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "input", input_of_python)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), encoding="utf-8"))
    code, out, err = twice("quiz", "adding")
    assert (code, err) == (0, "")
    assert "Type one of" in out


def test_formulas_are_shown_in_unicode(twice: Twice, root: Path) -> None:
    lesson(root, "01-first-steps/01-adding", ["What is $x_i^2$ beside `$HOME`?"])
    assert "What is xᵢ² beside `$HOME`?" in twice("quiz", "adding", typed=["q"])[1]


def test_no_quiz_and_broken_quizzes_are_one_sentence(twice: Twice, root: Path) -> None:
    assert twice("quiz", "between")[::2] == (
        2,
        "twice: other/between has no quiz; read it with 'twice show other/between'\n",
    )
    file = root / "phases" / "01-first-steps" / "01-adding" / "lesson.toml"
    whole = file.read_text(encoding="utf-8")
    for old, new, said in (
        ("answer = 1\n", "", "question 2 needs question (a text), options, answer (an index from 0) and why"),
        ("answer = 1\n", "answer = 4\n", "question 2 has 4 options, so its answer cannot be 4 (from 0)"),
        ('"right 2"', "2", "question 3 needs 2 to 16 options, each a text"),
        ('["right 0", "wrong 0 1", "wrong 0 2", "wrong 0 3"]', '["right 0"]', "question 1 needs 2 to 16 options"),
    ):
        file.write_text(whole.replace(old, new), encoding="utf-8")
        code, _, err = twice("quiz", "adding")
        assert code == 2
        assert said in err
        assert err.count("\n") == 1
    file.unlink()
    assert twice("quiz", "adding")[0] == 2


def test_progress_that_cannot_be_written_warns_once_at_the_end(twice: Twice, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".twice").touch()  # a file where the folder should be
    code, out, err = twice("quiz", "adding", typed=[right] * 5)
    assert code == 2
    assert "5 of 5 right" in out
    assert err.startswith("twice: not recorded: ")
    assert err.count("\n") == 1


def test_what_could_not_be_written_is_written_with_the_next_answer() -> None:
    class Full:
        def __init__(self) -> None:
            self.state: dict[str, Any] = {}
            self.free = False

        @contextmanager
        def change(self) -> Any:
            if not self.free:
                raise ProgressError("the disk is full")
            yield self.state

    store = Full()
    record = asking.Recorder(store)  # type: ignore[arg-type]
    record(lambda state: state.update(first=1))
    assert record.code(0) == 2
    store.free = True
    record(lambda state: state.update(second=2))
    assert store.state == {"first": 1, "second": 2}
    assert record.code(0) == 0


def questions(root: Path, name: str = FIRST) -> list[cards.Question]:
    return cards.questions_of(load(root).lessons[name])


def test_a_card_survives_edits_of_all_but_its_question(root: Path) -> None:
    before = [question.id for question in questions(root)]
    texts = five("adding")
    file = lesson(root, "01-first-steps/01-adding", [texts[1], texts[0].replace(" ", "  "), "New?", *texts[3:]])
    file.write_text(file.read_text(encoding="utf-8").replace("wrong", "false"), encoding="utf-8")
    after = [question.id for question in questions(root)]
    assert after[:2] + after[3:] == [before[1], before[0], *before[3:]]
    assert after[2] not in before
    assert all(id_.startswith(f"{FIRST}#") for id_ in before)
    assert len(set(before)) == 5


# FSRS-6: the stability after a first answer is the parameter w₀ … w₃ of its rating, the interval that many days at least 1.
@pytest.mark.parametrize(("rating", "stability", "days"), [("again", 0.212, 1), ("hard", 1.2931, 1), ("good", 2.3065, 2), ("easy", 8.2956, 8)])  # fmt: skip
def test_a_first_answer_is_scheduled_as_fsrs_publishes_it(
    root: Path, rating: cards.Rating, stability: float, days: int
) -> None:
    state: dict[str, Any] = {"lessons": {}, "cards": {}}
    question = questions(root)[0]
    cards.rate(state, question, rating, NOON)
    (card,) = state["cards"].values()
    assert (card["due"], card["stability"], card["last"], card["reviews"]) == (on(days), stability, NOON, 1)


def test_intervals_grow_and_fall_back(root: Path) -> None:
    state: dict[str, Any] = {"lessons": {}, "cards": {}}
    question = questions(root)[0]
    dues = []
    for day, rating in ((0, "good"), (2, "good"), (3, "again")):
        cards.rate(state, question, rating, f"2026-11-{20 + day}T12:00:00Z")  # type: ignore[arg-type]
        dues.append(state["cards"][question.id]["due"])
    assert dues[0] == on(2)
    assert dues[1] > on(4)
    assert dues[2] == on(4)
    assert state["cards"][question.id]["reviews"] == 3


@pytest.mark.parametrize("card", [{"stability": "much", "difficulty": 1, "last": NOON}, {"stability": 0, "difficulty": 1, "last": NOON}, {"stability": 1, "difficulty": 1, "last": "never"}, {"due": 3}])  # fmt: skip
def test_a_card_edited_by_hand_begins_anew(root: Path, card: dict[str, Any]) -> None:
    question = questions(root)[0]
    state: dict[str, Any] = {"lessons": {}, "cards": {question.id: card}}
    cards.rate(state, question, "good", NOON)
    assert state["cards"][question.id]["due"] == on(2)


def test_review_asks_the_oldest_due_first_and_no_more_than_the_limit(
    twice: Twice, later: Callable[[int], None], stored: Callable[[], dict[str, Any]]
) -> None:
    twice("quiz", "doubling", typed=[right] * 5)  # due in two days
    twice("quiz", "adding", typed=[wrong] * 5)  # due tomorrow
    assert cards.due_count(stored(), NOON) == 0
    assert twice("review")[1] == "Nothing is due. The next question comes back tomorrow. Next: twice\n"
    later(2)
    assert cards.due_count(stored(), progress.now()) == 10
    code, out, err = twice(
        "review", "--limit", "7", typed=[right, "", right, "h", right, "e", wrong, "", right, "", "q"]
    )
    assert (code, err) == (0, "")
    assert out.startswith("10 due, 7 of them now. ")
    assert re.findall(r"(Adding|Doubling)\n", out) == ["Adding"] * 5 + ["Doubling"] * 2
    assert "4 of 5 answers right.\n5 still due. Next: twice review\n" in out
    assert cards.due_count(stored(), progress.now()) == 5
    answered = [card for card in stored()["cards"].values() if card["reviews"] == 2]
    assert len(answered) == 5
    assert len({card["stability"] for card in answered}) == 5  # again, hard, good, easy, and good after a right answer


def test_review_says_when_the_next_is_due(twice: Twice, later: Callable[[int], None]) -> None:
    twice("quiz", "adding", typed=[right] * 5)
    assert f"comes back in 2 days, on {on(2)}." in twice("review")[1]
    later(1)
    assert "comes back tomorrow." in twice("review")[1]
    later(9)
    assert twice("review", typed=["q"])[1].startswith("5 due. ")


@pytest.mark.parametrize(("end", "code"), [(["q"], 0), ([], 0), ([KeyboardInterrupt()], 130)])
def test_an_answer_counts_where_the_learner_stops_at_how_well(
    twice: Twice, later: Callable[[int], None], stored: Callable[[], dict[str, Any]], end: list[Any], code: int
) -> None:
    twice("quiz", "adding", typed=[wrong] * 5)
    later(1)
    got, out, _ = twice("review", typed=[right, *end])
    assert got == code
    assert "1 of 1 answer right.\n4 still due." in out
    (known,) = (card for card in stored()["cards"].values() if card["reviews"] == 2)
    assert known["due"] > on(2)  # where one not known would be due


def test_questions_of_proven_lessons_come_to_review(twice: Twice, tmp_path: Path) -> None:
    assert "There is nothing to review" in twice("review")[1]
    with progress.Store(tmp_path / "home" / ".twice").change() as state:
        progress.entry(state, SECOND)["proven"] = NOON
        progress.entry(state, FIRST)["started"] = NOON
    out = twice("review", typed=["q"])[1]
    assert out.startswith("5 due. ")
    assert "1 of 5  Doubling" in out


def test_a_question_that_changed_leaves_the_queue_and_can_come_back(
    twice: Twice, later: Callable[[int], None], root: Path, stored: Callable[[], dict[str, Any]]
) -> None:
    twice("quiz", "adding", typed=[right, *[""] * 4])
    kept = stored()["cards"]
    later(9)
    lesson(root, "01-first-steps/01-adding", ["Changed?", *five("adding")[1:4]])
    code, out, err = twice("review", typed=[""] * 9)
    assert (code, err) == (0, "")
    assert "Changed?" in out
    assert "adding question 0?" not in out
    assert "adding question 4?" not in out
    assert cards.due_count(stored(), progress.now()) == 4
    twice("review", typed=[right, ""] * 4)
    assert cards.next_due(stored()) > on(9)  # and not when what is gone was due
    lesson(root, "01-first-steps/01-adding", five("adding"))
    assert "adding question 0?" in twice("review", typed=[""] * 9)[1]
    first = questions(root)[0].id
    assert stored()["cards"][first] == kept[first]


def test_a_broken_lesson_keeps_no_other_from_review(twice: Twice, root: Path) -> None:
    twice("quiz", "adding", typed=[right])
    twice("quiz", "doubling", typed=[right])
    (root / "phases" / "01-first-steps" / "03-doubling" / "lesson.toml").write_text("title = ", encoding="utf-8")
    code, out, _ = twice("review", typed=[""] * 9)
    assert code == 0
    assert re.findall(r"of 4  (.*)", out) == ["Adding"] * 4


def test_a_renamed_lesson_keeps_its_cards(
    twice: Twice, later: Callable[[int], None], root: Path, stored: Callable[[], dict[str, Any]]
) -> None:
    twice("quiz", "adding", typed=[right] * 5)
    old = root / "phases" / "01-first-steps" / "01-adding"
    old.rename(old.with_name("07-summing"))
    file = old.with_name("07-summing") / "lesson.toml"
    file.write_text(f'formerly = ["{FIRST}"]\n' + file.read_text(encoding="utf-8"), encoding="utf-8")
    assert "comes back in 2 days" in twice("review")[1]
    later(2)
    assert twice("review", typed=[right, ""])[1].startswith("5 due. ")
    assert {name.partition("#")[0] for name in stored()["cards"]} == {"first-steps/summing"}
    assert sorted(card["reviews"] for card in stored()["cards"].values()) == [1, 1, 1, 1, 2]


def test_without_fsrs_a_sentence_says_what_to_do(
    twice: Twice, monkeypatch: pytest.MonkeyPatch, stored: Callable[[], dict[str, Any]]
) -> None:
    monkeypatch.setitem(sys.modules, "fsrs", None)
    sentence = "twice: the package fsrs, which schedules the review, is not installed here: run 'nox -s learn'\n"
    assert twice("review") == (2, "", sentence)
    code, out, err = twice("quiz", "adding", typed=[right] * 5)
    assert (code, err) == (0, sentence)
    assert "5 of 5 right" in out
    assert [card["due"] for card in stored()["cards"].values()] == [on(0)] * 5


@pytest.mark.skipif(sys.platform == "win32", reason="no time.tzset")
def test_a_day_is_the_learners_own(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"cards": {"a/b#1": {"due": "2026-11-21"}}}
    try:
        for zone, due in (("UTC0", 0), ("JST-9", 1), ("HST10", 0)):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert cards.due_count(state, "2026-11-20T23:30:00Z") == due
    finally:
        monkeypatch.undo()
        time.tzset()


def test_lessons_take_turns(twice: Twice, later: Callable[[int], None]) -> None:
    twice("quiz", "adding", typed=[wrong] * 5)
    twice("quiz", "doubling", typed=[wrong] * 5)
    later(1)
    order = re.findall(r"of 10  (.*)", twice("review", typed=[""] * 10)[1])
    assert sorted(order) == ["Adding"] * 5 + ["Doubling"] * 5
    assert sum(one != other for one, other in itertools.pairwise(order)) > 1


def test_what_is_due_is_known_without_heavy_imports() -> None:
    code = (
        "import sys; from shared.learn import asking, cards, placement, questions\n"
        "state = {'cards': {'a/b#1': {'due': '2026-11-19'}, 'a/b#2': {'due': '2026-11-25'}, 'a/b#3': {'due': '', 'gone': ''}}}\n"
        f"print(cards.due_count(state, {NOON!r}), {{'fsrs', 'rich', 'pylatexenc', 'asyncio', 'pytest'}} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1 set()\n"


def table(out: str) -> dict[str, tuple[str, str]]:
    rows = re.findall(r"^(\S+/\S+) +(can skip|take it|not asked)(?: +(.*))?$", out, re.MULTILINE)
    return {name: (verdict, note) for name, verdict, note in rows}


def test_placement_asks_in_order_and_not_what_builds_on_a_gap(
    twice: Twice, stored: Callable[[], dict[str, Any]]
) -> None:
    code, out, err = twice("placement", "1", typed=[right, right, right, wrong, "y"])  # no terminal: nobody asks
    assert (code, err) == (0, "")
    assert "Guessing does that with a chance of 6.25%." in out
    assert re.findall(r"^\d of 2  (.*)", out, re.MULTILINE) == ["Adding", "Adding", "Doubling", "Doubling"]
    assert "Why" not in out
    assert "Mark" not in out
    assert "it is" not in out
    assert table(out) == {
        FIRST: ("can skip", "2 of 2 right"),
        SECOND: ("take it", "1 of 2 right"),
        THIRD: ("not asked", f"builds on {SECOND}"),
    }
    assert out.endswith(f"next  twice skip {FIRST}\n        twice start {SECOND}\n")
    assert stored()["lessons"] == {}


def test_placement_passes_on_to_what_builds_on_lessons_known(twice: Twice) -> None:
    out = twice("placement", "first", "--questions", "1", typed=[right] * 3)[1]
    assert "the one answer is right. Guessing does that with a chance of 25.00%." in out
    assert {name: verdict for name, (verdict, _) in table(out).items()} == dict.fromkeys(
        (FIRST, SECOND, THIRD), "can skip"
    )


def test_placement_marks_what_can_be_skipped_if_asked_to(
    twice: Twice, stored: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    assert twice("placement", "01", "--mark", typed=[right, right, wrong])[0] == 0
    assert stored()["lessons"] == {FIRST: {"skipped": NOON}}
    with progress.Store(tmp_path / "home" / ".twice").change() as state:
        progress.entry(state, SECOND)["proven"] = NOON
    out = twice("placement", "01", "--mark", typed=[""])[1]
    assert table(out) == {
        FIRST: ("not asked", "skipped already"),
        SECOND: ("not asked", "proven already"),
        THIRD: ("take it", "0 of 2 right"),
    }
    assert THIRD not in stored()["lessons"]


def test_placement_stopped_halfway_keeps_its_verdicts(twice: Twice) -> None:
    code, out, _ = twice("placement", "1", typed=[right, right, right, KeyboardInterrupt()])
    assert code == 130
    assert table(out)[FIRST] == ("can skip", "2 of 2 right")
    assert table(out)[SECOND] == table(out)[THIRD] == ("not asked", "you stopped")


def test_the_seed_decides_which_questions(twice: Twice) -> None:
    def asked(*words: str) -> list[str]:
        return re.findall(r"adding question \d", twice("placement", "1", *words, typed=[right, right, "q"])[1])

    assert asked() == asked()
    assert len({tuple(asked("--seed", str(seed))) for seed in range(4)}) > 1
    assert sorted(set(re.findall(r"adding question \d", twice("placement", "1", "--questions", "9", typed=[right] * 5)[1]))) == [f"adding question {i}" for i in range(5)]  # fmt: skip


def test_the_best_chance_of_guessing_and_the_first_gap_are_said(twice: Twice, root: Path) -> None:
    lesson(root, "01-first-steps/01-adding", ["One?"])
    out = twice("placement", "1", typed=["", ""])[1]
    assert "a chance of 25.00%." in out
    assert out.endswith(f"  next  twice start {FIRST}\n")


def test_the_chance_of_guessing_is_counted(root: Path) -> None:
    quiz = questions(root)
    assert [placement.chance(quiz[:n]) for n in (1, 2, 5)] == [1 / 4, 1 / 16, 1 / 1024]
    assert placement.chance([cards.Question("a/b", "?", ("yes", "no"), 0, "")]) == 1 / 2


def test_phases_that_cannot_be_placed_are_one_sentence(twice: Twice, root: Path) -> None:
    for words, said in (
        (("9",), "there is no phase '9'; see 'twice list'"),
        (("first-stepz",), "there is no phase 'first-stepz'; did you mean first-steps?"),
        (("e",), "'e' can mean first-steps, other, empty; name one of them"),
        (("empty",), "phase 3 (empty) has no lessons yet; see 'twice list'"),
        (("other",), "no lesson of phase 2 (other) has a quiz yet; see 'twice list'"),
        (("1", "--questions", "0"), "--questions is how many to ask of each lesson, at least 1; got 0"),
    ):
        assert twice("placement", *words) == (2, "", f"twice: {said}\n")
    assert twice("review", "--limit", "0")[2] == "twice: --limit is how many questions to ask, at least 1; got 0\n"
    (root / "phases" / "01-first-steps" / "01-adding" / "lesson.toml").unlink()
    assert table(twice("placement", "1", typed=["a"])[1])[FIRST] == ("not asked", "has no quiz")


class Terminal:
    """The real command in a pseudo-terminal of 48 columns."""

    def __init__(self, root: Path, *words: str) -> None:
        import fcntl  # noqa: PLC0415
        import pty  # noqa: PLC0415
        import termios  # noqa: PLC0415

        self.screen, slave = pty.openpty()
        termios.tcsetwinsize(slave, (30, 48))
        plain = {key: value for key, value in environment(root).items() if key not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "shared.learn.cli", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # so that Ctrl-C reaches it
            env={**plain, "TWICE_HOME": str(root / "home"), "TERM": "xterm", "PYTHONUTF8": "1"},
        )
        os.close(slave)
        self.said = ""

    def until(self, text: str) -> str:
        """Read on until `text` has come; what was said since the last time, without colours."""
        said, end = "", time.monotonic() + 20
        while text not in said and time.monotonic() < end:
            if select.select([self.screen], [], [], 0.1)[0]:
                try:
                    said += os.read(self.screen, 4096).decode(errors="replace")
                except OSError:  # Linux says so that the other end is closed
                    break
        self.said += said
        assert text in said, f"{text!r} did not come:\n{self.said}"
        return re.sub(r"\033\[\d*m|\r", "", said)

    def type(self, keys: str) -> None:
        os.write(self.screen, keys.encode())

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.screen)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty module")
def test_in_a_real_terminal(root: Path) -> None:
    long = [
        "Which of these holds for the sum of two numbers that are both larger than one hundred?",
        *five("adding")[1:],
    ]
    lesson(root, "01-first-steps/01-adding", long)
    with Terminal(root, "quiz", "adding") as terminal:
        first = terminal.until("Your answer: ")
        assert max(map(len, first.splitlines())) <= 48
        terminal.type(right(first) + "\n")
        assert "Right.\nWhy 0 of adding." in terminal.until("Your answer: ")
        assert "\033[32mRight.\033[0m" in terminal.said
        terminal.type("\x03")
        assert "1 of 5 right, 4 not answered" in terminal.until(f"twice quiz {FIRST}")
        assert terminal.process.wait(20) == 130
    assert progress.Store(root / "home" / ".twice").read()["lessons"][FIRST]["quiz"]["right"] == 1

    for answer, marked in (("n", False), ("y", True)):
        with Terminal(root, "placement", "1", "--questions", "1") as terminal:
            terminal.type(right(terminal.until("Your answer: ")) + "\n")
            terminal.until("Your answer: ")
            terminal.type("q\n")
            terminal.until("Mark this lesson as skipped? [y/N] ")
            terminal.type(answer + "\n")
            terminal.until("next  twice")
            assert terminal.process.wait(20) == 0
        assert ("skipped" in progress.Store(root / "home" / ".twice").read()["lessons"][FIRST]) is marked


def test_the_quizzes_of_this_repository_can_be_asked() -> None:
    curriculum: Curriculum = load()
    assert sum(len(cards.questions_of(item)) for item in curriculum.lessons.values()) >= 5
