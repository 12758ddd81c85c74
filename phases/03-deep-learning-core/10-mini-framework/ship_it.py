"""Train a network on the 8×8 digits, measure it on digits it has not seen, and ship it with a predictor.

``python -m phases.deep_learning_core.mini_framework.ship_it`` prints how the hyper-parameters were chosen.
"""

import json
import shutil
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from shared.data import load

Sample = tuple[list[float], int]  # 64 pixels from 0 to 16, and the digit

SEED = 0
N_HELD_OUT = 360  # a fifth: never trained on, and nothing is chosen by them
N_VALIDATION = 288  # a fifth of the rest: the choice is made by them, and then they train with the others
LARGEST = 16  # the darkest pixel
BATCH_SIZE, EPOCHS, MOMENTUM, WEIGHT_DECAY = 32, 8, 0.9, 1e-3
N_HIDDEN, LEARNING_RATE = 16, 0.3  # the best of CANDIDATES, on the validation samples
CANDIDATES = [(n_hidden, learning_rate) for n_hidden in (16, 24) for learning_rate in (0.1, 0.2, 0.3, 0.4)]


def batch(twin: ModuleType, samples: list[Sample]) -> tuple[Any, list[int]]:
    """Pixels from 0 to 1 as one tensor (n_samples, 64), and the digits."""
    return twin.tensor([pixels for pixels, _ in samples]) / LARGEST, [digit for _, digit in samples]


def split() -> tuple[list[Sample], list[Sample]]:
    """The samples to train on, and those held out."""
    samples = [(row[:64], int(row[64])) for row in load("digits").rows]
    Random(SEED).shuffle(samples)
    return samples[:-N_HELD_OUT], samples[-N_HELD_OUT:]


def train(
    twin: ModuleType, samples: list[Sample], n_hidden: int = N_HIDDEN, learning_rate: float = LEARNING_RATE
) -> tuple[Any, list[float]]:
    """64 pixels → hidden units → 10 logits, and the loss of each step. The learning rate falls every epoch."""
    rng = Random(SEED)
    model = twin.Sequential(twin.Linear(64, n_hidden, rng=rng), twin.ReLU(), twin.Linear(n_hidden, 10, rng=rng))
    optimizer = twin.SGD(model.parameters(), lr=learning_rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    inputs, targets = batch(twin, samples)
    losses: list[float] = []
    for epoch in range(EPOCHS):
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - epoch / EPOCHS)
        losses += twin.fit(
            model, twin.cross_entropy, optimizer, inputs, targets, epochs=1, batch_size=BATCH_SIZE, rng=rng
        )
    return model, losses


def predict(twin: ModuleType, model: Any, samples: list[Sample]) -> list[int]:
    """The most probable digit of each sample."""
    with twin.no_grad():
        logits = model(batch(twin, samples)[0]).tolist()
    return [max(range(10), key=row.__getitem__) for row in logits]


def n_right(twin: ModuleType, model: Any, samples: list[Sample]) -> int:
    """How many digits `model` reads as they are labelled."""
    answers = predict(twin, model, samples)
    return sum(answer == digit for answer, (_, digit) in zip(answers, samples, strict=True))


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Train with `twin`, write the artifact into `folder`, and return what was measured."""
    training, held_out = split()
    model, losses = train(twin, training)

    results: dict[str, Any] = {"samples trained on": len(training), "steps": len(losses)}
    for step in (1, 10, 100, len(losses)):
        results[f"loss of step {step}"] = losses[step - 1]
    for name, part in (("training", training), ("held-out", held_out)):
        right = n_right(twin, model, part)
        results[f"right of {len(part)} {name} digits"] = right
        results[f"accuracy on {name} digits"] = right / len(part)

    twin.save_file(model.state_dict(), folder / "model.safetensors")
    config = {"task": "digits of 8×8 pixels", "labels": list("0123456789"), "largest": LARGEST, "layers": ["0", "2"]}
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8", newline="\n")
    shutil.copyfile(Path(__file__).with_name("predict.py"), folder / "predict.py")
    lines = [",".join(f"{value:g}" for value in (*pixels, digit)) for pixels, digit in held_out[:3]]
    (folder / "three.csv").write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")
    return results


if __name__ == "__main__":
    from phases.deep_learning_core.mini_framework import build_it

    kept = split()[0]
    learning, validation = kept[:-N_VALIDATION], kept[-N_VALIDATION:]
    for candidate in CANDIDATES:
        score = n_right(build_it, train(build_it, learning, *candidate)[0], validation)
        print(f"{candidate[0]} hidden units, learning rate {candidate[1]}: {score} of {N_VALIDATION} right")
