"""First names from a small recurrent network, with nothing but Python 3.11 or newer.

    python names.py generate --count 5 --seed 3     made-up names, the same for the same seed
    python names.py generate --start mar            made-up names that begin so
    python names.py complete mar                    the most probable names that begin so, with their probabilities
    python names.py score emma xqzt                 bits per character, and whether that is strange for a name
    python names.py score < column.txt              the same for each line; exit code 1 where one is strange

Names are in the letters a to z; capitals count as small letters, and accents are dropped. A name with any other
character is not scored, and counts as strange. The network has read first names given in the United States in 2018, so
a name that is common elsewhere may be strange to it.
"""

import argparse
import heapq
import json
import math
import struct
import sys
import unicodedata
from operator import mul
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from phases.deep_learning_core.recurrent_networks.build_it import Matrix, Parameters, State, Vector, gru_cell

EXPANSIONS = 20000  # of `complete`, before it gives up


class Model(NamedTuple):
    """A GRU with an embedding in front of it and a softmax behind it.

    Attributes:
        alphabet: its first character begins and ends a name.
        percentiles: bits per character of real names: the k-th is above that of k % of them, for k from 1 to 99.
        embedding: a row for each character.
        gru: the parameters of the GRU.
        weight: n_characters × n_hidden.
        bias: one for each character.
    """

    alphabet: str
    percentiles: Vector
    embedding: Matrix
    gru: Parameters
    weight: Matrix
    bias: Vector

    def start(self) -> State:
        """The state before the first character."""
        return ([[0.0] * len(self.weight[0])],)

    def step(self, state: State, character: str) -> tuple[State, Vector]:
        """The state after a character, and log₂ of the probability of each character to come next."""
        state = gru_cell(self.gru, [self.embedding[self.alphabet.index(character)]], state)
        logits = [sum(map(mul, row, state[0][0])) + b for row, b in zip(self.weight, self.bias, strict=True)]
        top = max(logits)
        log_sum = top + math.log(sum(math.exp(v - top) for v in logits))
        return state, [(v - log_sum) / math.log(2) for v in logits]


def read_safetensors(file: Path) -> dict[str, Any]:
    """Name → vector or matrix, from a file of F64 tensors. https://github.com/huggingface/safetensors#format"""
    content = file.read_bytes()
    (n,) = struct.unpack("<Q", content[:8])
    header, body = json.loads(content[8 : 8 + n]), content[8 + n :]
    tensors: dict[str, Any] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        values = list(struct.unpack(f"<{math.prod(entry['shape'])}d", body[begin:end]))
        if entry["dtype"] != "F64" or not all(map(math.isfinite, values)):
            raise ValueError(f"{name} holds something else than finite numbers of 64 bits")
        width = entry["shape"][-1]
        rows = [values[i : i + width] for i in range(0, len(values), width)]
        tensors[name] = rows if len(entry["shape"]) == 2 else values
    return tensors


def load(folder: Path) -> Model:
    """The model in `folder`; ValueError where there is none."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = read_safetensors(folder / "model.safetensors")
        gru = Parameters(*(tensors[f"gru.{part}_l0"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))
        parts = tensors["embedding.weight"], gru, tensors["output.weight"], tensors["output.bias"]
        model = Model(config["alphabet"], config["percentiles"], *parts)
        model.step(model.start(), model.alphabet[0])  # refuses sizes that do not fit
        if not len(model.alphabet) == len(model.embedding) == len(model.weight):
            raise ValueError("the alphabet and the tensors differ in length")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ValueError(f"{folder} holds no complete model: {error!r}") from error
    return model


def after(model: Model, prefix: str) -> tuple[State, Vector, float]:
    """The state after a prefix, log₂ of what comes next, and log₂ of the prefix's own probability."""
    state, ahead = model.step(model.start(), model.alphabet[0])
    total = 0.0
    for character in prefix:
        total += ahead[model.alphabet.index(character)]
        state, ahead = model.step(state, character)
    return state, ahead, total


def bits(model: Model, name: str) -> float:
    """Bits per character of a name, its end counted as one more character."""
    _, ahead, total = after(model, name)
    return -(total + ahead[0]) / (len(name) + 1)


def generate(model: Model, rng: Random, prefix: str = "", temperature: float = 0.7) -> str:
    """A name drawn character by character, in proportion to p^(1 / temperature); of 30 characters at most."""
    state, ahead, _ = after(model, prefix)
    name = prefix
    while len(name) < 30:
        top = max(ahead)
        weights = [2 ** ((v - top) / temperature) for v in ahead]
        (character,) = rng.choices(model.alphabet, weights)
        if character == model.alphabet[0]:
            break
        name += character
        state, ahead = model.step(state, character)
    return name


def complete(model: Model, prefix: str, count: int) -> list[tuple[str, float]]:
    """The `count` most probable names that begin with `prefix`, each with its probability given the prefix.

    Best first: the most probable beginning so far is lengthened by one character, until enough of those on top are
    whole names. A longer name is never more probable than its beginning, so none is missed.
    """
    state, ahead, _ = after(model, prefix)
    heap: list[Any] = [(0.0, prefix, state, ahead)]
    found = []
    for _ in range(EXPANSIONS):
        cost, name, state, ahead = heapq.heappop(heap)
        if name.endswith(model.alphabet[0]):
            found.append((name[:-1], 2**-cost))
            if len(found) == count:
                break
            continue
        if state is None:  # not looked at until now
            state, ahead, _ = after(model, name)
        for character, log_p in zip(model.alphabet, ahead, strict=True):
            heapq.heappush(heap, (cost - log_p, name + character, None, None))
    return found


def verdict(model: Model, name: str) -> tuple[float, int]:
    """Bits per character, and how many of 100 real names take fewer."""
    found = bits(model, name)
    return found, sum(found > limit for limit in model.percentiles)


def plain(name: str) -> str:
    """Small letters without accents."""
    apart = unicodedata.normalize("NFKD", name.strip().lower())
    return "".join(character for character in apart if not unicodedata.combining(character))


def unknown(model: Model, name: str) -> str:
    """The characters that the model does not know, for a message; empty where it knows all."""
    return ", ".join(map(repr, sorted(set(name) - set(model.alphabet[1:]))))


def checked(model: Model, beginning: str) -> str:
    """It in small letters; ValueError where a character is not in the alphabet."""
    lower = plain(beginning)
    if others := unknown(model, lower):
        raise ValueError(f"{beginning!r} has {others}; the letters known are {model.alphabet[1:]}")
    return lower


def report(model: Model, name: str, limit: int) -> tuple[str, bool]:
    """A line about a name, and whether it is strange."""
    lower = plain(name)
    if others := unknown(model, lower):
        return f"{lower:12} not scored, as it has {others}: strange", True
    found, percent = verdict(model, lower)
    said = f"{lower:12} {found:.2f} bits per character, more than {percent} of 100 real names"
    return (f"{said}: strange", True) if percent >= limit else (said, False)


def number(least: int) -> Any:
    """What argparse takes for a count or a percentage."""

    def convert(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is below {least}")
        return int(text)

    return convert


def positive(text: str) -> float:
    """What argparse takes for a temperature."""
    if not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return float(text)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whole.add_argument("--model", type=Path, default=Path(__file__).parent, metavar="FOLDER", help="where the model is")
    commands = whole.add_subparsers(dest="command", required=True)
    making = commands.add_parser("generate", help="made-up names")
    making.add_argument("--count", type=number(1), default=10)
    making.add_argument("--seed", type=int, default=0)
    making.add_argument("--start", default="", help="letters to begin with")
    making.add_argument(
        "--temperature", type=positive, default=0.7, help="1: as learned; below: more usual (default: 0.7)"
    )
    completing = commands.add_parser("complete", help="the most probable names with a beginning")
    completing.add_argument("prefix")
    completing.add_argument("--count", type=number(1), default=5)
    scoring = commands.add_parser("score", help="how strange names are")
    scoring.add_argument("names", nargs="*", help="none: one name on each line of standard input")
    scoring.add_argument("--strange", type=number(1), default=99, metavar="PERCENT", help="limit (default: 99)")
    return whole


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: fine; 1: a name is strange; 2: bad input, told in one sentence."""
    command_line = parser()
    given = command_line.parse_args(arguments)
    try:
        model = load(given.model)
        if given.command == "generate":
            rng, start = Random(given.seed), checked(model, given.start)
            for _ in range(given.count):
                print(generate(model, rng, start, given.temperature))
        elif given.command == "complete":
            for name, p in complete(model, checked(model, given.prefix), given.count):
                print(f"{name:12} {p:.4f}")
        else:
            names = given.names or [line for line in sys.stdin.read().splitlines() if line.strip()]
            if not names:
                raise ValueError("expected one name or more, got none")
            reports = [report(model, name, given.strange) for name in names]
            print(*(line for line, _ in reports), sep="\n")
            return int(any(strange for _, strange in reports))
    except ValueError as error:
        command_line.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
