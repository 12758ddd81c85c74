"""Write the table of lessons and the map of what needs what at the end of each phase's README."""

import os
from pathlib import Path

from shared.curriculum import Curriculum, Lesson, Phase, load
from shared.site import pages


def readme(phase: Phase, curriculum: Curriculum) -> str:
    """The README of a phase with its own words, and the lessons as they are now."""

    def page(of: Lesson | Phase) -> str:
        return Path(os.path.relpath(of.folder, phase.folder), "README.md").as_posix()

    text = (phase.folder / "README.md").read_text(encoding="utf-8")
    words = text.partition(f"\n{pages.LESSONS}\n")[0].strip()
    return f"{words}\n\n{pages.overview(phase, curriculum, link=page, url=page)}\n"


def main() -> None:
    curriculum = load()
    for phase in curriculum.phases:
        file = phase.folder / "README.md"
        file.write_text(readme(phase, curriculum), encoding="utf-8", newline="\n")
        print(file.relative_to(curriculum.root).as_posix())


if __name__ == "__main__":
    main()
