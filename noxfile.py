"""Everything that can be run on this project: ``nox -s learn`` to start, ``nox -s tests`` to prove every lesson."""

import os
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["tests"]
nox.options.reuse_venv = "yes"
nox.options.default_venv_backend = "virtualenv"

ROOT = Path(__file__).parent
GROUPS = nox.project.load_toml(ROOT / "pyproject.toml")["dependency-groups"]
PHASES = sorted(group.removeprefix("phase-") for group in GROUPS if group.startswith("phase-"))
FIRST_PHASES = [phase for phase in PHASES if phase <= "02"]  # all that needs no torch
LESSON = "ml-fundamentals/linear-regression"
OWN_LESSONS = {"TWICE_ROOT": ""}  # whichever repository's the shell is set to


def packages(*groups: str) -> list[str]:
    """What the dependency groups ask for."""
    return list(nox.project.dependency_groups(nox.project.load_toml(ROOT / "pyproject.toml"), *groups))


def install(session: nox.Session, *groups: str) -> None:
    """Install the project and the groups into the session's environment."""
    session.install("-e", ".", *packages(*groups))


@nox.session(venv_backend="none")
def learn(session: nox.Session) -> None:
    """Make .venv, install what the first phases need, run the first lesson. `-- 03` adds a phase, `-- all` all."""
    wanted = session.posargs or []
    known = [*PHASES, "all"]
    if unknown := [phase for phase in wanted if phase not in known]:
        session.error(f"there is no phase {unknown[0]!r} to install; choose from {', '.join(known)}")
    venv = ROOT / ".venv"
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file():
        session.run(sys.executable, "-m", "venv", str(venv))
    chosen = PHASES if "all" in wanted else sorted({*FIRST_PHASES, *wanted})
    groups = ["test", *(f"phase-{phase}" for phase in chosen)]
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "install")
    session.run(*pip, "-e", ".", *packages(*groups))
    session.run(str(python), "-m", "shared.learn.cli", "run", LESSON)
    twice = python.with_name("twice").relative_to(ROOT)
    session.log(f"From here on the command is {twice}. Try: {twice} list")


@nox.session
def tests(session: nox.Session) -> None:
    """Prove every lesson, and test what they lean on. `-- --thorough` draws fresh inputs and more of them."""
    install(session, "test", "all")
    session.run("pytest", "-n", "auto", "--dist", "worksteal", "-q", *session.posargs, env=OWN_LESSONS)


def _phase(number: str) -> None:
    @nox.session(name=f"phase-{number}")
    def prove_phase(session: nox.Session) -> None:
        install(session, "test", f"phase-{number}")
        session.run(
            "pytest", "-n", "auto", "--dist", "worksteal", "-q", "phases", "shared/proof/test_contract.py",
            "--lesson", number, *session.posargs, env=OWN_LESSONS,
        )  # fmt: skip

    prove_phase.__doc__ = f"Prove the lessons of phase {number} with only that phase's packages installed."


for _number in PHASES:
    _phase(_number)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and types."""
    install(session, "lint", "test")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into build/site and look at it in a browser. Needs npm; the look needs chromium."""
    install(session, "docs")
    session.run("python", "-m", "shared.site.build")
    quiet = {"NO_MKDOCS_2_WARNING": "1"}  # the end of Material in 2027, which the design takes into account
    session.run("mkdocs", "build", "--strict", "-q", "-f", "build/mkdocs.yml", env=quiet)
    session.run("python", "-m", "shared.site.check", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Time and memory of both twins of every lesson, into its proof card; and each lesson's own benchmark."""
    install(session, "test", "all", "bench")
    session.run("twice", "prove", "--all")
    for script in sorted(ROOT.glob("phases/*/*/bench.py")):
        session.run("python", str(script.relative_to(ROOT)), *session.posargs)


@nox.session
def ship(session: nox.Session) -> None:
    """Rebuild every artifact with both twins; fail where one differs from outputs/. `twice ship` replaces it."""
    install(session, "all")
    session.run("twice", "ship", "--all", "--check", *session.posargs)


@nox.session
def figures(session: nox.Session) -> None:
    """Draw every lesson's figures anew. `-- LESSON` draws only that one's."""
    install(session, "all", "figures")
    session.run("python", "-m", "shared.site.figures", *session.posargs)
