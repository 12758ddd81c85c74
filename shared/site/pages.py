"""The text of each generated page, as Markdown: lessons, phases, and the list of all lessons."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from shared.curriculum import PRIORITIES, Curriculum, Lesson, Phase

# What a proof card holds is said in shared/proof/card.py; one that is empty was not measured in this build.
Card = dict[str, Any]
Link = Callable[[Lesson | Phase], str]
"""From the page being written to the page of a lesson or a phase."""

NBSP = "\u00a0"
LESSONS = "## Lessons"  # here, in the README of a phase, what `python -m shared.site.phases` writes begins
CODE = {
    "build_it.py": "from scratch",
    "use_it.py": "on the framework",
    "test_equivalence.py": "the proof",
}


def lesson_page(lesson: Lesson, phase: Phase, curriculum: Curriculum, readme: str, *, card: Card, link: Link) -> str:
    """The README with its facts and proof card under the title, the quiz and the whole source after it."""
    title, body = split_title(readme, str(lesson.folder / "README.md"))
    return "\n\n".join(
        [
            title,
            _facts(lesson, phase, curriculum, link),
            _commands(lesson),
            _proof(lesson, card),
            body,
            _quiz(lesson),
            _sources(lesson),
            _listings(lesson),
        ]
    )


def phase_page(
    phase: Phase, curriculum: Curriculum, readme: str, *, cards: dict[str, Card], link: Link, url: Link
) -> str:
    """The phase's own words, the table of its lessons, and the map of what each needs first."""
    title, body = split_title(readme, str(phase.folder / "README.md"))
    words = f"{body}\n".partition(f"\n{LESSONS}\n")[0].strip()
    return "\n\n".join([title, words, overview(phase, curriculum, cards=cards, link=link, url=url)])


def overview(
    phase: Phase, curriculum: Curriculum, *, cards: dict[str, Card] | None = None, link: Link, url: Link
) -> str:
    """The table of a phase's lessons and the map; a column with verdicts where there are proof cards."""
    head = ["Number", "Lesson", "Priority", "Time", "Needs first", "Ships"]
    rows = [
        [
            lesson.position,
            f"[{lesson.title}]({link(lesson)})",
            str(lesson.head["priority"]),
            duration(lesson.head["minutes"]),
            _links(_needs(lesson, curriculum), link),
            f"{_ships(lesson)['kind']}: {_ships(lesson).get('title', _ships(lesson)['name'])}",
        ]
        for lesson in phase.lessons
    ]
    if cards is not None:
        head.append("Proof")
        rows = [[*row, _verdict(cards[lesson.name])] for row, lesson in zip(rows, phase.lessons, strict=True)]
    parts = [LESSONS, _workload(phase.lessons), _table(head, rows)]
    if phase.lessons:
        parts += [
            "## What needs what",
            "Arrows lead from what comes first. A dashed frame is a lesson of another phase.",
            _map(phase, curriculum, url),
        ]
    return "\n\n".join(parts)


def lessons_page(curriculum: Curriculum, link: Link) -> str:
    """Every phase with its lessons."""
    parts = ["# Lessons", _workload(list(curriculum.lessons.values()))]
    for phase in curriculum.phases:
        rows = [
            [
                lesson.position,
                f"[{lesson.title}]({link(lesson)})",
                str(lesson.head["priority"]),
                duration(lesson.head["minutes"]),
            ]
            for lesson in phase.lessons
        ]
        parts += [
            f"## [{phase.title}]({link(phase)})",
            _workload(phase.lessons),
            _table(["Number", "Lesson", "Priority", "Time"], rows),
        ]
    return "\n\n".join(parts)


def split_title(text: str, source: str) -> tuple[str, str]:
    """The first-level heading, and what follows it."""
    match = re.match(r"\s*(# [^\n]+)\n?", text)
    if not match:
        raise ValueError(f"{source} should begin with a title ('# …'), and begins with {text[:40]!r}")
    return match[1].strip(), text[match.end() :].strip()


def duration(minutes: int) -> str:
    """Minutes as people say them, e.g. ``2 h 30 min``."""
    hours, rest = divmod(minutes, 60)
    return " ".join([f"{hours}{NBSP}h"] * (hours > 0) + [f"{rest}{NBSP}min"] * (rest > 0 or hours == 0))


def _facts(lesson: Lesson, phase: Phase, curriculum: Curriculum, link: Link) -> str:
    ships = _ships(lesson)
    facts = {
        "Lesson": f"{lesson.position}, {lesson.head['priority']}",
        "Phase": f"[{phase.title}]({link(phase)})",
        "Time": duration(lesson.head["minutes"]),
        "Needs first": _links(_needs(lesson, curriculum), link),
        "Framework": ", ".join(lesson.frameworks) or "none",
        "Proves": ", ".join(lesson.head["proves"]),
        "Ships": f"{ships['kind']} `{ships['name']}`",
    }
    return _block("facts", _pairs(facts))


def _commands(lesson: Lesson) -> str:
    return _fence(
        'sh title="In the terminal"',
        f"# your own version: the signatures, the bodies left to you\ntwice start {lesson.name}\n"
        f"# yours against the framework's, at each save\ntwice check {lesson.name} --watch\n"
        f"# both versions on real data, side by side\ntwice run {lesson.name}\n"
        f"# the tests that show that they agree\ntwice prove {lesson.name}",
    )


def _proof(lesson: Lesson, card: Card) -> str:
    if not card.get("tests"):
        text = (
            "**Not proven in this build.** No proof was run where these pages were made. "
            f"`twice prove {lesson.name}` runs it on your machine."
        )
        return _block("facts proof", text)
    tests, verdict = card["tests"], _verdict(card)
    counts = ", ".join(f"{tests[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))
    facts = {
        "Cases compared": _thousands(card["cases"]),
        "Worst relative difference": f"{card['worst']:.1e}" if card["worst"] else "0, equal to the last bit",
        "Loosest tolerance": f"{card['rtol']:.0e} relative, {card['atol']:.0e} absolute",
        "Tests": counts,
        "Measured with": ", ".join(
            f"{name} {version}" for name, version in {"Python": card["python"], **card["frameworks"]}.items()
        ),
    }
    if bench := card.get("bench"):
        built, used = bench["build_it"], bench["use_it"]
        facts["Time"] = f"build_it {_seconds(built['seconds'])}, use_it {_seconds(used['seconds'])}"
        facts["Peak memory"] = f"build_it {_bytes(built['peak_bytes'])}, use_it {_bytes(used['peak_bytes'])}"
    if card["worst_at"]:
        facts["Worst difference found in"] = f"`{card['worst_at']}`"
    state = "proven" if verdict == "proven" else "failed"
    return _block(f"facts proof {state}", f"**Proof card: {verdict}**\n\n{_pairs(facts)}")


def _verdict(card: Card) -> str:
    if not card.get("tests"):
        return "not in this build"
    tests = card["tests"]
    if tests["failed"]:
        return f"{tests['failed']} of {sum(tests.values())} tests failed"
    if tests["skipped"] or not tests["passed"]:
        return f"incomplete, {tests['skipped']} of {sum(tests.values())} tests skipped"
    return "proven"


def _quiz(lesson: Lesson) -> str:
    parts = ["## QUIZ"]
    for number, item in enumerate(lesson.meta.get("quiz", []), 1):
        letters = "ABCDEFGH"
        options = "\n".join(f"- **{letters[i]}.** {option}" for i, option in enumerate(item["options"]))
        answer = f"**{letters[item['answer']]}.** {item['why'].strip()}"
        question = f"**{number}.** {item['question'].strip()}\n\n{options}\n\n{_details('Answer', answer)}"
        parts.append(_block("question", question))
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _sources(lesson: Lesson) -> str:
    sources = [re.sub(r"https?://\S+", r"<\g<0>>", source) for source in lesson.head["sources"]]
    return "\n".join(["## SOURCES", "", *(f"- {source}" for source in sources)])


def _listings(lesson: Lesson) -> str:
    parts = ["## CODE", "The whole files; the blocks above are cut from the first two."]
    for name, what in CODE.items():
        code = (lesson.folder / name).read_text(encoding="utf-8").strip("\n")
        summary = f"<code>{name}</code> {what}, {code.count(chr(10)) + 1} lines"
        parts.append(_details(summary, _fence("python", code), id_=name))
    return "\n\n".join(parts)


def _workload(lessons: Iterable[Lesson]) -> str:
    lessons = list(lessons)
    if not lessons:
        return "No lessons yet."
    minutes = {
        priority: sum(lesson.head["minutes"] for lesson in lessons if lesson.head["priority"] == priority)
        for priority in PRIORITIES
    }
    shares = [f"{priority} {duration(total)}" for priority, total in minutes.items() if total]
    text = f"{len(lessons)} lesson{'s' * (len(lessons) != 1)}, {duration(sum(minutes.values()))}"
    return f"{text}: {', '.join(shares)}." if len(shares) > 1 else f"{text}."


def _map(phase: Phase, curriculum: Curriculum, url: Link) -> str:
    """A Mermaid graph: an arrow from each prerequisite to the lesson that needs it."""
    nodes = {lesson.name: lesson for lesson in phase.lessons}
    arrows = []
    for lesson in phase.lessons:
        for needed in _needs(lesson, curriculum):
            nodes.setdefault(needed.name, needed)
            arrows.append((needed.name, lesson.name))
    number = {name: f"n{i}" for i, name in enumerate(nodes)}
    lines = ["flowchart TD", "    classDef outside stroke-dasharray: 4 3"]
    for name, lesson in nodes.items():
        label = f"{lesson.position} {lesson.title}".replace('"', "#quot;")
        outside = "" if lesson in phase.lessons else ":::outside"
        lines.append(f'    {number[name]}["{label}"]{outside}')
        lines.append(f'    click {number[name]} href "{url(lesson)}"')
    lines += [f"    {number[a]} --> {number[b]}" for a, b in arrows]
    return _fence("mermaid", "\n".join(lines))


def _needs(lesson: Lesson, curriculum: Curriculum) -> list[Lesson]:
    return [curriculum.find(name) for name in lesson.prerequisites]


def _ships(lesson: Lesson) -> dict[str, Any]:
    return dict(lesson.meta["ships"])


def _links(lessons: list[Lesson], link: Link) -> str:
    return ", ".join(f"[{lesson.title}]({link(lesson)})" for lesson in lessons) or "nothing"


def _pairs(facts: dict[str, str]) -> str:
    return "\n".join(f"- **{name}** {value}" for name, value in facts.items())


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _block(classes: str, text: str) -> str:
    return f'<div class="{classes}" markdown="1">\n\n{text}\n\n</div>'


def _details(summary: str, text: str, id_: str = "") -> str:
    mark = f' id="{id_}" data-search-exclude="1"' * bool(id_)
    return f'<details{mark} markdown="1">\n<summary>{summary}</summary>\n\n{text}\n\n</details>'


def _fence(header: str, code: str) -> str:
    """A fenced block whose fence is longer than any run of backticks in the code."""
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", code)), default=0))
    return f"{ticks}{header}\n{code}\n{ticks}"


def _thousands(count: int) -> str:
    return f"{count:,}".replace(",", " ")


def _seconds(seconds: float) -> str:
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"
