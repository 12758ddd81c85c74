"""Write every page of the site: ``python -m shared.site.build``, then ``mkdocs build -f build/mkdocs.yml``.

``build/pages/`` gets the Markdown, the figures and the libraries that the pages load; ``build/mkdocs.yml`` gets
the nav and takes the rest from ``mkdocs.yml``. So mkdocs needs no plugin of ours and never sees the repository.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import Any

from shared.curriculum import HOUSE, Curriculum, Lesson, Phase, load
from shared.proof.card import read_card
from shared.site import pages

HERE = Path(__file__).resolve().parent
# Hand-written pages in the order of the nav; a page is left out while its file does not exist.
GUIDE = {
    "docs/index.md": ("index.md", "Start here"),
    "docs/how-to-learn.md": ("how-to-learn.md", "How to learn"),
    "docs/a-lesson-recorded.md": ("a-lesson-recorded.md", "A lesson, recorded"),
    "docs/glossary.md": ("glossary.md", "Glossary"),
    "outputs/README.md": ("outputs/index.md", "What lessons ship"),
}
CONTRIBUTE = {
    "docs/how-to-contribute.md": ("how-to-contribute.md", "How to contribute"),
    "CONTRIBUTING.md": ("contributing.md", "Add a lesson"),
    "docs/design.md": ("design.md", "Design"),
}
LESSONS = "lessons/index.md"
NEEDED = {"title", "priority", "minutes", "proves", "sources", "ships"}
VENDORED = {
    "katex/LICENSE": "katex",
    "katex/dist/katex.min.js": "katex",
    "katex/dist/katex.min.css": "katex",
    "katex/dist/fonts/*.woff2": "katex/fonts",
    "@mermaid-js/tiny/LICENSE": "mermaid",
    "@mermaid-js/tiny/dist/mermaid.tiny.js": "mermaid",
}
# One pass over Markdown: whatever comes first in the text decides what it is, so links in code stay as they are.
_TOKENS = re.compile(
    r"(?P<fence>^(?P<indent> *)(?P<ticks>`{3,}|~{3,}).*?^(?P=indent)(?P=ticks)[ \t]*$)"
    r"|(?P<code>(?P<tick>`+)[^`].*?(?<!`)(?P=tick)(?!`))"
    r"|(?P<math>\$\$.+?\$\$|\$[^$\n]+\$)"
    r"|(?P<bang>!?)\[(?P<text>(?:`[^`]*`|[^\]`])*)\]\((?P<target>[^()\s]+)(?P<title>\s+\"[^\"]*\")?\)",
    re.MULTILINE | re.DOTALL,
)
# A block cut from one of the twins: the class gives it the twin's colour.
_TWIN = re.compile(r"""^( *[`~]{3,})python title="(build_it|use_it)\.py"[ \t]*(?=\n)""")


def write_pages(root: Path, out: Path) -> list[Any]:
    """Write the pages of the project at `root` into `out` and return mkdocs's nav.

    Raises:
        ValueError: if a link in a page leads nowhere, a README is missing or has no title, or a lesson.toml has
            not what its page shows.
    """
    curriculum = load(root)
    for lesson in curriculum.lessons.values():
        if missing := NEEDED - lesson.meta.keys():
            raise ValueError(f"{lesson.folder / 'lesson.toml'} has no {' and no '.join(sorted(missing))}")
    files = _files(root, curriculum)
    places = {**_page_places(root, curriculum), **files}
    cards = {name: read_card(name, root) for name in curriculum.lessons}

    def text_of(source: Path) -> str:
        if not source.is_file():
            raise ValueError(f"{source} is missing, and its page is made from it")
        return relink(source.read_text(encoding="utf-8"), _name(root, source), places, root)

    def write(page: str, text: str) -> None:
        (out / page).parent.mkdir(parents=True, exist_ok=True)
        (out / page).write_text(text.rstrip() + "\n", encoding="utf-8", newline="\n")

    def link_from(page: str) -> pages.Link:
        return lambda to: relpath(page_of(to), dirname(page))

    def url_from(page: str) -> pages.Link:
        return lambda to: relpath(dirname(page_of(to)), dirname(page)) + "/"

    shutil.rmtree(out, ignore_errors=True)
    for source, file in files.items():
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / source, out / file)

    guide, contribute = (
        [{title: page} for source, (page, title) in part.items() if source in places] for part in (GUIDE, CONTRIBUTE)
    )
    for source, (page, _) in {**GUIDE, **CONTRIBUTE}.items():
        if source in places:
            write(page, text_of(root / source))

    write(LESSONS, pages.lessons_page(curriculum, link_from(LESSONS)))
    lessons: list[Any] = [LESSONS]
    for phase in curriculum.phases:
        page, readme = page_of(phase), phase.folder / "README.md"
        text = text_of(readme) if readme.is_file() else f"# {phase.title}"
        link, url = link_from(page), url_from(page)
        write(page, pages.phase_page(phase, curriculum, text, cards=cards, link=link, url=url))
        section: list[Any] = [page]
        for lesson in phase.lessons:
            page = page_of(lesson)
            text, link = text_of(lesson.folder / "README.md"), link_from(page)
            write(page, pages.lesson_page(lesson, phase, curriculum, text, card=cards[lesson.name], link=link))
            section.append({lesson.title: page})
        lessons.append({phase.title: section})
    return [{"Start": guide}, {"Lessons": lessons}, {"Contribute": contribute}]


def page_of(what: Lesson | Phase) -> str:
    """Its page in the site: without the folders' numbers, so that an address outlives a renumbering."""
    name = what.name if isinstance(what, Lesson) else what.slug
    return f"lessons/{name}/index.md"


def relink(text: str, source: str, places: dict[str, str], root: Path) -> str:
    """`text` of the file `source` with its links led to the site, and its code blocks marked as one twin's.

    A link to a file of the repository that the site does not show becomes plain text.

    Raises:
        ValueError: if a link names a file that does not exist.
    """

    def place_of(path: str) -> str | None:
        readme = "/README.md"
        return places.get(path) or places.get(path + readme) or places.get(path.removesuffix(readme))

    def replace(match: re.Match[str]) -> str:
        if match["fence"]:
            return _TWIN.sub(r'\1{ .python .\2 title="\2.py" }', match[0])
        if not match["target"] or re.match(r"[a-z][a-z0-9+.-]*:|//|#", match["target"]):
            return match[0]
        path, _, anchor = match["target"].partition("#")
        path = normpath(join(dirname(source), path))
        place = place_of(path)
        if place is None:
            if not (root / path).exists() or match["bang"]:
                raise ValueError(f"{source}: the link to {match['target']} leads nowhere on the site")
            return match["text"]
        page, _, at = place.partition("#")
        anchor = f"#{anchor or at}" * bool(anchor or at)
        here = dirname(place_of(source) or "")
        return f"{match['bang']}[{match['text']}]({relpath(page, here)}{anchor}{match['title'] or ''})"

    return _TOKENS.sub(replace, text)


def _name(root: Path, file: Path) -> str:
    return file.relative_to(root).as_posix()


def _page_places(root: Path, curriculum: Curriculum) -> dict[str, str]:
    """What is a page, or a part of one: ``phases/02-ml-fundamentals``: ``lessons/ml-fundamentals/index.md``."""
    places = {source: page for source, (page, _) in {**GUIDE, **CONTRIBUTE}.items() if (root / source).is_file()}
    places["phases"] = LESSONS
    places |= {_name(root, phase.folder): page_of(phase) for phase in curriculum.phases}
    for lesson in curriculum.lessons.values():
        folder = _name(root, lesson.folder)
        places[folder] = page_of(lesson)
        places |= {f"{folder}/{name}": f"{page_of(lesson)}#{name}" for name in pages.CODE}
    return places


def _files(root: Path, curriculum: Curriculum) -> dict[str, str]:
    """What is copied as it is: the figures of lessons, and the artifacts."""
    files = {}
    for lesson in curriculum.lessons.values():
        for figure in sorted(lesson.folder.glob("figures/*.*")):
            files[_name(root, figure)] = f"{dirname(page_of(lesson))}/figures/{figure.name}"
    for file in sorted((root / "outputs").rglob("*")):
        if file.is_file() and file.suffix != ".md" and not file.name.startswith("."):
            files[_name(root, file)] = _name(root, file)
    return files


def vendor(out: Path) -> None:
    """Copy the site's own style and script, and the libraries of ``package-lock.json``, into ``out/assets``."""
    modules, lock = HERE / "node_modules", HERE / "package-lock.json"
    installed = modules / ".package-lock.json"  # npm writes it last
    if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
        npm = shutil.which("npm")
        if npm is None:
            raise ValueError(
                "the site needs npm once, to fetch KaTeX and Mermaid at the versions of "
                "shared/site/package-lock.json: install Node.js and build again"
            )
        subprocess.run([npm, "ci", "--loglevel=error"], cwd=HERE, check=True)
    shutil.copytree(HERE / "theme", out / "assets", dirs_exist_ok=True)
    for pattern, folder in VENDORED.items():
        target = out / "assets" / folder
        target.mkdir(parents=True, exist_ok=True)
        for file in modules.glob(pattern):
            shutil.copy2(file, target)


def main() -> int:
    build = HOUSE / "build"
    try:
        nav = write_pages(HOUSE, build / "pages")
        vendor(build / "pages")
    except (ValueError, subprocess.CalledProcessError) as error:
        print(f"site: {error}", file=sys.stderr)
        return 1
    config = {"INHERIT": "../mkdocs.yml", "docs_dir": "pages", "site_dir": "site", "nav": nav}
    (build / "mkdocs.yml").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")  # JSON is YAML
    count = sum(1 for _ in (build / "pages").rglob("*.md"))
    print(f"{count} pages in build/pages; next: mkdocs build --strict -f build/mkdocs.yml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
