"""Train a network on the 8×8 digits, measure it on digits it has not seen, and ship it with a predictor."""

import json
import shutil
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from shared.data import load

Sample = tuple[list[float], int]  # 64 pixels from 0 to 16, and the digit

SEED = 0
N_HELD_OUT = 360  # a fifth, never trained on
LARGEST = 16  # the darkest pixel
# Chosen by the accuracy on 288 of the other 1437 samples after training on the rest of those; then all 1437 train.
N_HIDDEN, BATCH_SIZE, EPOCHS = 32, 32, 10
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.2, 0.9, 1e-3


def batch(twin: ModuleType, samples: list[Sample]) -> tuple[Any, list[int]]:
    """Pixels from 0 to 1 as one tensor (n_samples, 64), and the digits."""
    return twin.tensor([pixels for pixels, _ in samples]) / LARGEST, [digit for _, digit in samples]


def train(twin: ModuleType, samples: list[Sample]) -> tuple[Any, list[float]]:
    """64 pixels → 32 hidden units → 10 logits, and the loss of each step. The learning rate falls every epoch."""
    rng = Random(SEED)
    model = twin.Sequential(twin.Linear(64, N_HIDDEN, rng=rng), twin.ReLU(), twin.Linear(N_HIDDEN, 10, rng=rng))
    optimizer = twin.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    inputs, targets = batch(twin, samples)
    losses: list[float] = []
    for epoch in range(EPOCHS):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - epoch / EPOCHS)
        losses += twin.fit(
            model, twin.cross_entropy, optimizer, inputs, targets, epochs=1, batch_size=BATCH_SIZE, rng=rng
        )
    return model, losses


def predict(twin: ModuleType, model: Any, samples: list[Sample]) -> list[int]:
    """The most probable digit of each sample."""
    with twin.no_grad():
        logits = model(batch(twin, samples)[0]).tolist()
    return [max(range(10), key=row.__getitem__) for row in logits]


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Train with `twin`, write the artifact into `folder`, and return what was measured."""
    samples = [(row[:64], int(row[64])) for row in load("digits").rows]
    Random(SEED).shuffle(samples)
    training, held_out = samples[:-N_HELD_OUT], samples[-N_HELD_OUT:]
    model, losses = train(twin, training)

    results: dict[str, Any] = {"samples trained on": len(training), "steps": len(losses)}
    for step in (1, 10, 100, len(losses)):
        results[f"loss of step {step}"] = losses[step - 1]
    for name, part in (("training", training), ("held-out", held_out)):
        answers = predict(twin, model, part)
        n_right = sum(answer == digit for answer, (_, digit) in zip(answers, part, strict=True))
        results[f"right of {len(part)} {name} digits"] = n_right
        results[f"accuracy on {name} digits"] = n_right / len(part)

    twin.save_file(model.state_dict(), folder / "model.safetensors")
    config = {"task": "digits of 8×8 pixels", "labels": list("0123456789"), "largest": LARGEST, "layers": ["0", "2"]}
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8", newline="\n")
    shutil.copyfile(Path(__file__).with_name("predict.py"), folder / "predict.py")
    lines = [",".join(f"{value:g}" for value in (*pixels, digit)) for pixels, digit in held_out[:3]]
    (folder / "three.csv").write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")
    return results
