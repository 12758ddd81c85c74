"""`twice new`: begin a lesson from the skeleton, a tiny real example whose tests pass and which asks to be replaced."""

import argparse
import json
import re
from pathlib import Path

from shared.curriculum import Curriculum, Lesson
from shared.learn import screen
from shared.learn.lessons import UsageError

SKELETON = Path(__file__).parent / "skeleton"
_SLUG = "[a-z0-9]+(?:-[a-z0-9]+)*"


def new(curriculum: Curriculum, options: argparse.Namespace) -> int:
    """Write the files of a new lesson; nothing that exists is touched."""
    match = re.fullmatch(rf"(?:(\d\d)-)?({_SLUG})/({_SLUG})", options.name)
    if not match:
        raise UsageError(f"a lesson is named phase/lesson in lower case with hyphens, not {options.name!r}")
    phase_folder, lessons = _phase(curriculum, match[1], match[2])
    slug = match[3]
    if slug in (lesson.slug for lesson in lessons):
        raise UsageError(f"there is a lesson {match[2]}/{slug} already; twice new overwrites nothing")
    taken = [lesson.number for lesson in lessons]
    number = max(taken, default=0) + 1 if options.number is None else options.number
    if number in taken or not 1 <= number <= 99:
        raise UsageError(f"the number of a lesson is one from 1 to 99 that its phase has not yet, and {number} is not")
    folder = phase_folder / f"{number:02}-{slug}"
    title = options.title or slug.replace("-", " ").capitalize()
    if any(sign in title for sign in ('"""', "\\", "\n")):
        raise UsageError("a title goes into docstrings: no backslash, no line break, no triple quote")
    folder.mkdir(parents=True)
    for template in sorted(SKELETON.glob("*.template")):
        text = template.read_text(encoding="utf-8")
        for key, value in {"title": title, "name": f"{match[2]}/{slug}", "slug": slug}.items():
            written = json.dumps(value, ensure_ascii=False)[1:-1] if ".toml" in template.name else value
            text = text.replace(f"{{{{{key}}}}}", written)
        (folder / template.stem).write_text(text, encoding="utf-8", newline="\n")
    print(f"{screen.shown(folder)}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    print("Its example passes its own tests. Replace it, and see what is missing with:")
    print(f"  twice prove {match[2]}/{slug}")
    return 0


def _phase(curriculum: Curriculum, number: str | None, slug: str) -> tuple[Path, list[Lesson]]:
    """The folder and the lessons of the phase `slug`, which is a new one if a free number is given."""
    for phase in curriculum.phases:
        if phase.slug == slug and number in (None, f"{phase.number:02}"):
            return phase.folder, list(phase.lessons)
    known = ", ".join(phase.folder.name for phase in curriculum.phases)
    if number is None:
        raise UsageError(
            f"there is no phase {slug!r} (there are: {known}); to begin one, name it with its number: NN-{slug}"
        )
    if int(number) in (phase.number for phase in curriculum.phases) or slug in (p.slug for p in curriculum.phases):
        raise UsageError(f"the phase {number}-{slug} cannot begin: its number or name is taken (there are: {known})")
    return curriculum.root / "phases" / f"{number}-{slug}", []
