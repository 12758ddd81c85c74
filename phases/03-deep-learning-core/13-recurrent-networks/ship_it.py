"""Train a character-level model of first names, measure it on names it has not seen, and ship it with a program.

``python -m phases.deep_learning_core.recurrent_networks.ship_it`` prints how the learning rate was chosen.
"""

import json
import math
from collections import Counter
from operator import mul
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from phases.deep_learning_core.backpropagation.ship_it import write_safetensors

from shared.data import load_text
from shared.ship.one_file import one_file

HERE = Path(__file__).parent
ALPHABET = ".abcdefghijklmnopqrstuvwxyz"  # "." begins and ends a name
KIND, N_EMBEDDING, N_HIDDEN = "gru", 8, 16
BATCH, STEPS = 8, 200
LEARNING_RATE = 4.0  # at the first step; it falls to 0 on a straight line
CANDIDATES = (1.0, 2.0, 4.0, 8.0)
N_HELD_OUT = N_CALIBRATION = 500
N_SPOILT = 200  # of the held-out names, with their letters shuffled or replaced
DAMPING = 10  # how many counts of its trigram a bigram is worth

Matrix = list[list[float]]
Model = list[Any]  # embedding, the four parameters of the GRU, output weight (n_characters × n_hidden), output bias


def split() -> tuple[list[str], list[str], list[str]]:
    """Names to learn from; names for the percentiles; names to measure with."""
    names = load_text("names").splitlines()
    Random(0).shuffle(names)
    return (
        names[: -N_HELD_OUT - N_CALIBRATION],
        names[-N_HELD_OUT - N_CALIBRATION : -N_HELD_OUT],
        names[-N_HELD_OUT:],
    )


def start(twin: ModuleType, seed: int = 0) -> Model:
    """Before training; all characters are equally probable."""
    rng = Random(seed)
    embedding = [[rng.gauss(0, 1) for _ in range(N_EMBEDDING)] for _ in ALPHABET]
    gru = twin.initialize(KIND, N_EMBEDDING, N_HIDDEN, rng)
    weight, bias = [[0.0] * N_HIDDEN for _ in ALPHABET], [0.0] * len(ALPHABET)
    return [embedding, gru.weight_ih, gru.weight_hh, gru.bias_ih, gru.bias_hh, weight, bias]


def losses_and_gradients(
    twin: ModuleType, model: Model, names: list[str], learn: bool = True
) -> tuple[list[float], Model]:
    """Minus the natural logarithm of each name's probability; and the gradients of their sum over all characters.

    The gradients are divided by the number of characters, ends included; without `learn` there are none.
    """
    embedding, *gru, weight, bias = model
    parameters = twin.Parameters(*gru)
    characters = [[0, *map(ALPHABET.index, name)] for name in names]
    lengths = [len(name) for name in characters]
    padded = [name + [0] * (max(lengths) - len(name)) for name in characters]
    x = [[embedding[c] for c in at_t] for at_t in zip(*padded, strict=True)]
    trace = twin.forward(KIND, parameters, x, None, lengths)

    places = [(t, i) for t in range(len(x)) for i, n in enumerate(lengths) if t < n]
    h = [trace.outputs[t][i] for t, i in places]
    losses, to_logits = [0.0] * len(names), []
    for (t, i), row in zip(places, h, strict=True):
        logits = [sum(map(mul, w, row)) + b for w, b in zip(weight, bias, strict=True)]
        top = max(logits)
        powers = [math.exp(z - top) for z in logits]
        total = sum(powers)
        target = characters[i][t + 1] if t + 1 < lengths[i] else 0
        losses[i] += math.log(total) + top - logits[target]
        to_logits.append([(power / total - (k == target)) / len(places) for k, power in enumerate(powers)])
    if not learn:
        return losses, []

    by_character = list(zip(*to_logits, strict=True))
    columns = list(zip(*h, strict=True)), list(zip(*weight, strict=True))
    to_weight = [[sum(map(mul, row, column)) for column in columns[0]] for row in by_character]
    to_outputs = [[[0.0] * N_HIDDEN for _ in names] for _ in x]
    for (t, i), row in zip(places, to_logits, strict=True):
        to_outputs[t][i] = [sum(map(mul, row, column)) for column in columns[1]]
    found = twin.backward(KIND, parameters, trace, to_outputs)
    to_embedding = [[0.0] * N_EMBEDDING for _ in ALPHABET]
    for t, i in places:
        c = characters[i][t]
        to_embedding[c] = [a + b for a, b in zip(to_embedding[c], found.input[t][i], strict=True)]
    p = found.parameters
    to_gru = [p.weight_ih, p.weight_hh, p.bias_ih, p.bias_hh]
    return losses, [to_embedding, *to_gru, to_weight, [sum(row) for row in by_character]]


def descend(parameter: Any, gradient: Any, rate: float) -> Any:
    """A step against the gradient, in a nested list."""
    if isinstance(parameter, list):
        return [descend(p, g, rate) for p, g in zip(parameter, gradient, strict=True)]
    return parameter - rate * gradient


def train(twin: ModuleType, names: list[str], learning_rate: float = LEARNING_RATE) -> tuple[Model, list[float]]:
    """Each name is seen once: the model, and the bits per character of each batch."""
    model, history = start(twin), []
    for step in range(STEPS):
        batch = names[step * BATCH : (step + 1) * BATCH]
        losses, gradients = losses_and_gradients(twin, model, batch)
        model = descend(model, gradients, learning_rate * (1 - step / STEPS))
        history.append(sum(losses) / sum(len(name) + 1 for name in batch) / math.log(2))
    return model, history


def bits(twin: ModuleType, model: Model, names: list[str]) -> list[float]:
    """Bits of each name, its end included."""
    by_length = sorted(range(len(names)), key=lambda i: len(names[i]))
    found = [0.0] * len(names)
    for at in range(0, len(names), 100):
        chosen = by_length[at : at + 100]
        losses, _ = losses_and_gradients(twin, model, [names[i] for i in chosen], learn=False)
        for i, loss in zip(chosen, losses, strict=True):
            found[i] = loss / math.log(2)
    return found


def per_character(found: list[float], names: list[str]) -> float:
    """Bits of all names by characters of all names, ends included."""
    return sum(found) / sum(len(name) + 1 for name in names)


def counted(training: list[str], names: list[str]) -> tuple[float, float]:
    """Bits per character of a bigram model (add-one) and of a trigram model that is mixed with it."""
    seen: Counter[str] = Counter()
    for name in training:
        text = f"..{name}."
        for at in range(2, len(text)):
            seen.update((text[at - 2 : at + 1], text[at - 1 : at + 1], text[at - 2 : at] + "?", text[at - 1] + "?"))
    bigram, trigram = [], []
    for name in names:
        text = f"..{name}."
        for at in range(2, len(text)):
            a, b, c = text[at - 2 : at + 1]
            p = (seen[b + c] + 1) / (seen[b + "?"] + len(ALPHABET))
            bigram.append(-math.log2(p))
            trigram.append(-math.log2((seen[a + b + c] + DAMPING * p) / (seen[a + b + "?"] + DAMPING)))
    return sum(bigram) / len(bigram), sum(trigram) / len(trigram)


def ship(twin: ModuleType, folder: Path) -> dict[str, Any]:
    """Train with `twin`, write the artifact into `folder`, and return what was measured."""
    training, calibration, held_out = split()
    seen = training[: STEPS * BATCH]
    model, history = train(twin, seen)
    found = bits(twin, model, held_out)
    rates = sorted(b / (len(name) + 1) for b, name in zip(bits(twin, model, calibration), calibration, strict=True))
    percentiles = [rates[len(rates) * k // 100] for k in range(1, 100)]

    def strange(names: list[str], values: list[float]) -> float:
        return sum(b / (len(n) + 1) > percentiles[-1] for b, n in zip(values, names, strict=True)) / len(names)

    rng = Random(1)
    mixed = ["".join(rng.sample(name, len(name))) for name in held_out[:N_SPOILT]]
    noise = ["".join(rng.choices(ALPHABET[1:], k=len(name))) for name in held_out[:N_SPOILT]]
    same, everything = counted(seen, held_out), counted(training, held_out)
    results = {
        "numbers in the network": sum(len(part) * (len(part[0]) if isinstance(part[0], list) else 1) for part in model),
        "names the network learned from": len(seen),
        "bits per character of a batch, first step": history[0],
        "the same, mean of the last 20 steps": sum(history[-20:]) / 20,
        "held-out names": len(held_out),
        "bits per character on held-out names": per_character(found, held_out),
        "of a bigram model counted on the same names": same[0],
        "of a trigram model counted on the same names": same[1],
        f"of a bigram model counted on {len(training)} names": everything[0],
        f"of a trigram model counted on {len(training)} names": everything[1],
        "called strange: held-out names": strange(held_out, found),
        "called strange: their letters shuffled": strange(mixed, bits(twin, model, mixed)),
        "called strange: random letters": strange(noise, bits(twin, model, noise)),
    }
    write(model, percentiles, folder)
    return results


def write(model: Model, percentiles: list[float], folder: Path) -> None:
    """model.safetensors with torch's names, config.json and names.py."""
    gru = [f"gru.{part}_l0" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    named = dict(zip(["embedding.weight", *gru, "output.weight", "output.bias"], model, strict=True))
    tensors = {}
    for name, values in named.items():
        rows = values if isinstance(values[0], list) else [values]
        shape = [len(rows), len(rows[0])] if rows is values else [len(values)]
        tensors[name] = (shape, [v for row in rows for v in row])
    write_safetensors(folder / "model.safetensors", tensors)
    config = {
        "task": "first names, character by character; the first character of the alphabet begins and ends a name",
        "layers": "Embedding, GRU (torch's gate order r, z, n), Linear, softmax",
        "alphabet": ALPHABET,
        "percentiles": percentiles,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8", newline="\n")
    program = one_file(HERE / "build_it.py", HERE / "names.py")
    (folder / "names.py").write_text(program, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    from phases.deep_learning_core.recurrent_networks import build_it

    names, chosen_by, _ = split()
    for candidate in CANDIDATES:
        trained, _ = train(build_it, names, candidate)
        score = per_character(bits(build_it, trained, chosen_by), chosen_by)
        print(f"learning rate {candidate}: {score:.3f} bits per character")
