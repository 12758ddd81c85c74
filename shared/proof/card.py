"""The proof card of a lesson: what was compared, how closely, and how fast each twin is."""

import json
import os
from pathlib import Path
from typing import Any

_KINDS = {"cases": int, "worst": float, "worst_at": str, "rtol": float, "atol": float, "tests": dict}


def card_file(name: str, root: Path) -> Path:
    """Where the proof card of the lesson `name` below `root` is kept."""
    return root / "build" / "proof" / f"{name}.json"


def write_card(name: str, values: dict[str, Any], root: Path) -> None:
    """Add `values` to the proof card of the lesson `name` below `root`."""
    file = card_file(name, root)
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"lesson": name, **read_card(name, root), **values}, indent=2) + "\n"
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def read_card(name: str, root: Path) -> dict[str, Any]:
    """The proof card of the lesson `name`; empty if it was not proven here yet, or cannot be read."""
    try:
        card = json.loads(card_file(name, root).read_text(encoding="utf-8"))
        whole = all(isinstance(card[key], kind) for key, kind in _KINDS.items())
        return dict(card) if whole and all(isinstance(n, int) for n in card["tests"].values()) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
