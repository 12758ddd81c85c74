"""What an artifact of each kind must hold. `check` runs before an artifact is put in its place, and in the tests."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from shared.ship.artifact import ArtifactError, read_manifest, read_safetensors

_SKILL_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def check(folder: Path) -> dict[str, Any]:
    """Check the artifact in `folder` against its manifest and its kind.

    Returns:
        The manifest.

    Raises:
        ArtifactError: saying what is wrong and with which file.
    """
    manifest = read_manifest(folder)
    for name in manifest["files"]:
        if Path(name).suffix in (".pkl", ".pickle", ".pt", ".pth", ".joblib"):
            raise ArtifactError(f"{name}: models are safetensors and JSON, never pickle, which runs code when loaded")
    _CHECKS[manifest["kind"]](folder, sorted(manifest["files"]))
    return manifest


def _model(folder: Path, files: list[str]) -> None:
    weights = [name for name in files if name.endswith(".safetensors")]
    if not weights or not any(name.endswith(".json") for name in files):
        raise ArtifactError("a model is safetensors plus JSON")
    for name in weights:
        read_safetensors(folder / name)
    for name in files:
        if name.endswith(".json"):
            json.loads((folder / name).read_text(encoding="utf-8"))
        if name.endswith(".py"):
            _answers_help(folder / name)


def _tool(folder: Path, files: list[str]) -> None:
    if "pyproject.toml" in files:
        _package(folder)
        return
    programs = [name for name in files if name.endswith(".py")]
    if len(programs) != 1:
        found = f"{len(programs)}: {programs}"
        raise ArtifactError(f"a tool is one Python file, or a package with pyproject.toml, and here are {found}")
    _answers_help(folder / programs[0])


def _package(folder: Path) -> None:
    """An installable package: each command that it announces answers ``--help``, even where nothing is installed."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        commands: dict[str, str] = project["scripts"]
    except (tomllib.TOMLDecodeError, KeyError, UnicodeDecodeError) as error:
        raise ArtifactError(f"pyproject.toml announces no command in [project.scripts]: {error!r}") from None
    for name, target in commands.items():
        module, _, function = target.partition(":")
        program = f"import sys; sys.path.insert(0, 'src'); from {module} import {function} as main; sys.exit(main())"
        if "usage" not in _run(["-c", program, "--help"], f"{name} --help", folder).lower():
            raise ArtifactError(f"{name} --help prints no usage")


def _skill(folder: Path, files: list[str]) -> None:
    if "SKILL.md" not in files:
        raise ArtifactError("a skill has a SKILL.md")
    front = re.match(r"---\n(.*?)\n---\n", (folder / "SKILL.md").read_text(encoding="utf-8"), re.DOTALL)
    fields = dict(re.findall(r"^([\w-]+):\s*(.+)$", front[1], re.MULTILINE)) if front else {}
    manifest_name = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["name"]
    if fields.get("name") != manifest_name or not _SKILL_NAME.fullmatch(manifest_name) or len(manifest_name) > 64:
        raise ArtifactError(f"SKILL.md must begin with front matter whose name is {manifest_name!r}")
    if not 1 <= len(fields.get("description", "")) <= 1024:
        raise ArtifactError("SKILL.md needs a description of 1 to 1024 characters in its front matter")
    for name in files:
        if name.endswith(".py"):
            _answers_help(folder / name)


def _prompt(folder: Path, files: list[str]) -> None:
    if not any(name.endswith(".md") and (folder / name).read_text(encoding="utf-8").strip() for name in files):
        raise ArtifactError("a prompt is a Markdown file with text in it")


def _agent(folder: Path, files: list[str]) -> None:
    programs = [name for name in files if name.endswith(".py")]
    if not programs:
        raise ArtifactError("an agent has a Python program that starts it")
    for name in programs:
        _answers_help(folder / name)


def _mcp_server(folder: Path, files: list[str]) -> None:
    """Shake hands as the protocol's revision 2025-06-18 says; the lesson's own tests use the official client."""
    if "server.py" not in files:
        raise ArtifactError("an MCP server starts with server.py")
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "check", "version": "1"}}
    request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
    answer = _run(["server.py"], "server.py", folder, stdin=request + "\n")
    try:
        json.loads(answer.splitlines()[0])["result"]["serverInfo"]["name"]
    except (IndexError, ValueError, KeyError, TypeError):
        raise ArtifactError(f"server.py does not answer 'initialize': {answer[:200]!r}") from None


def _answers_help(program: Path) -> None:
    if "usage" not in _run([program.name, "--help"], f"{program.name} --help", program.parent).lower():
        raise ArtifactError(f"{program.name} --help prints no usage")


def _run(arguments: list[str], told: str, folder: Path, stdin: str = "") -> str:
    """Run a program in `folder` with the interpreter alone: no packages, no environment, nothing of this repository."""
    command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", *arguments]
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, encoding="utf-8", timeout=20, cwd=folder, check=False
        )
    except subprocess.TimeoutExpired:
        raise ArtifactError(f"{told} did not end within 20 s") from None
    if done.returncode != 0:
        raise ArtifactError(f"{told} exits with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


_CHECKS = {
    "model": _model,
    "prompt": _prompt,
    "skill": _skill,
    "agent": _agent,
    "mcp-server": _mcp_server,
    "tool": _tool,
}
