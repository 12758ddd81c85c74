"""The proof card of a lesson: what was compared, how closely, and how fast each twin is."""

import json
from typing import Any

from shared.curriculum import ROOT

CARDS = ROOT / "build" / "proof"


def write_card(name: str, values: dict[str, Any]) -> None:
    """Add `values` to the proof card of the lesson `name`."""
    file = CARDS / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"lesson": name, **read_card(name), **values}, indent=2) + "\n", encoding="utf-8")


def read_card(name: str) -> dict[str, Any]:
    """The proof card of the lesson `name`; empty if it was not proven here yet."""
    try:
        return dict(json.loads((CARDS / f"{name}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
