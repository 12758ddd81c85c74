"""Draw the figures of lessons: each function of a ``figures.py`` becomes ``figures/<function>.svg``."""

import argparse
import importlib
import inspect
from pathlib import Path

from shared.curriculum import Lesson, UnknownLessonError, load


def draw(lesson: Lesson) -> list[Path]:
    """Save every figure of `lesson`; the same code gives the same bytes."""
    import matplotlib as mpl  # noqa: PLC0415  # only here, in the figures group

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "twice", "figure.facecolor": "white", "savefig.bbox": "tight"})
    module = importlib.import_module(lesson.module("figures"))
    folder = lesson.folder / "figures"
    folder.mkdir(exist_ok=True)
    files = []
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if function.__module__ == module.__name__ and not name.startswith("_"):
            file = folder / f"{name}.svg"
            figure = function()
            figure.savefig(file, metadata={"Date": None})
            # matplotlib ends lines with a blank, which editors and git complain about
            file.write_text("\n".join(line.rstrip() for line in file.read_text("utf-8").splitlines()) + "\n", "utf-8")
            files.append(file)
    return files


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m shared.site.figures", description=__doc__)
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help="all where none is named")
    options = parser.parse_args()
    curriculum = load()
    try:
        lessons = [curriculum.find(text) for text in options.lessons] or list(curriculum.lessons.values())
    except UnknownLessonError as error:
        parser.error(str(error))
    for lesson in lessons:
        if (lesson.folder / "figures.py").is_file():
            for file in draw(lesson):
                print(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


if __name__ == "__main__":
    main()
