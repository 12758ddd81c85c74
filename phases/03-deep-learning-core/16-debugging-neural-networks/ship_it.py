"""Break networks on purpose, put each through the checklist, and write the prompt with what was measured."""

import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

from phases.deep_learning_core.debugging_neural_networks import networks

HEALTHY = ("Script", "WithTanh", "WithBatchNorm")
FAULTS = {
    "A": "softmax in front of a cross-entropy that takes logits",
    "B": "gradients are never cleared (no zero_grad)",
    "C": "biases start at -3, in front of ReLU",
    "D": "all weights start equal",
    "E": "a features-first batch is reshaped where it should be transposed",
    "F": "the step goes uphill",
    "G": "the learning rate is 50 times too large",
    "H": "inputs and labels are shuffled apart",
    "J": "sigmoid units on inputs that were not normalised",
    "K": "evaluation in training mode (batch norm)",
    "L": "five layers with weights of standard deviation 1",
    "M": "the graph is cut behind the first layer (detach)",
    "N": "a hand-written backward pass with W transposed",
    "P": "a square W without its transpose, forward and backward",
}


def symptoms(twin: ModuleType, name: str) -> dict[str, Any]:
    """What was measured on a network, and which checks it failed."""
    nn, (X, y, *held_out) = networks.framework(twin), networks.data()
    findings = twin.diagnose(lambda: getattr(networks, name)(nn), X, y, *held_out)
    return {
        "measured": {finding.check: finding.measured for finding in findings},
        "failed": [finding.check for finding in findings if not finding.passed],
    }


def as_text(found: dict[str, Any]) -> str:
    """The checks that failed, with their numbers."""
    return ", ".join(f"{check} {_short(found['measured'][check])}" for check in found["failed"]) or "nothing"


def _short(value: float | None) -> str:
    """Two digits, or all before the point; None is what became of NaN in JSON."""
    if value is None:
        return "nan"
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Diagnose all networks with `twin`, write the prompt and the numbers into `folder`, and return what failed."""
    found = {name: symptoms(twin, name) for name in (*HEALTHY, *FAULTS)}
    checks = twin.CHECKLIST
    n_alarms = sum(bool(found[name]["failed"]) for name in HEALTHY)
    floors = " or ".join(f"{math.log1p((n - 1) / math.e):.4f} ({n} classes)" for n in (2, 3, 10))
    parts = {
        "lesson": "the lesson deep-learning-core/debugging-neural-networks",
        "limits": "\n".join(f'    "{check}": ({low:g}, {high:g}),' for check, (low, high, _) in checks.items()),
        "look_at": "\n".join(f"| {check} | {look_at} |" for check, (*_, look_at) in checks.items()),
        "symptoms": "\n".join(f"| {FAULTS[name]} | {as_text(found[name])} |" for name in FAULTS),
        "floors": floors,
        "healthy": f"Of {len(HEALTHY)} healthy networks, {n_alarms} fail a check.",
    }
    text = Path(__file__).with_name("prompt.md").read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace("{{" + name + "}}", part)
    (folder / "debug-a-network.md").write_text(text, encoding="utf-8", newline="\n")
    finite = {  # JSON has no NaN
        name: {"fault": FAULTS.get(name), **one}
        | {"measured": {k: v if math.isfinite(v) else None for k, v in one["measured"].items()}}
        for name, one in found.items()
    }
    content = json.dumps(finite, indent=1, ensure_ascii=False) + "\n"
    (folder / "symptoms.json").write_text(content, encoding="utf-8", newline="\n")
    results: dict[str, Any] = {f"{name}: fails": as_text(one) for name, one in found.items()}
    results["networks with a fault"] = len(FAULTS)
    results["of them, with a check that fails"] = sum(bool(found[name]["failed"]) for name in FAULTS)
    results["healthy networks with a check that fails"] = n_alarms
    return results
