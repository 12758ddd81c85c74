"""Read handwritten digits of 8×8 pixels, with nothing but Python (3.10 or newer).

    python predict.py three.csv          the digit of each image in a file
    python predict.py < three.csv        the same from standard input
    python predict.py --json three.csv   all ten probabilities, one JSON object for each image

One image is 64 numbers from 0 (paper) to 16 (ink), row by row: on one line of a CSV file, or as 8 lines of 8.
Numbers are separated by commas, semicolons or spaces. A first line of column names is skipped, and a 65th number
(a label, as in the data sets of this size) is compared with the answer.
"""

import argparse
import json
import math
import re
import struct
import sys
from operator import mul
from pathlib import Path

HERE = Path(__file__).resolve().parent


class InputError(ValueError):
    """Something that cannot be read; the message says what and where."""


def read_safetensors(file):
    """Name -> (shape, flat list), from a file of F64 tensors. https://github.com/huggingface/safetensors#format"""
    try:
        content = file.read_bytes()
        (n,) = struct.unpack("<Q", content[:8])
        header, body = json.loads(content[8 : 8 + n]), content[8 + n :]
        tensors = {}
        for name, entry in header.items():
            if name != "__metadata__":
                start, end = entry["data_offsets"]
                values = struct.unpack(f"<{math.prod(entry['shape'])}d", body[start:end])
                tensors[name] = entry["shape"], list(values)
        return tensors
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise InputError(f"{file} is no complete model: {error}") from error


def load(folder=HERE):
    """The layers in order, each (rows of weights, biases), and what config.json says."""
    tensors = read_safetensors(folder / "model.safetensors")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        layers = []
        for name in config["layers"]:
            (_, n_in), weights = tensors[f"{name}.weight"]
            rows = [weights[i : i + n_in] for i in range(0, len(weights), n_in)]
            layers.append((rows, tensors[f"{name}.bias"][1]))
        return layers, config
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / 'config.json'} does not fit the model: {error!r}") from error


def probabilities(layers, pixels, largest):
    """One for each class: linear layers with ReLU between them, then softmax."""
    values = [pixel / largest for pixel in pixels]
    for i, (rows, biases) in enumerate(layers):
        if i:
            values = [max(v, 0.0) for v in values]
        values = [sum(map(mul, row, values)) + b for row, b in zip(rows, biases, strict=True)]
    top = max(values)
    powers = [math.exp(v - top) for v in values]
    return [power / sum(powers) for power in powers]


def images(text, n_pixels, largest, source):
    """(line number, pixels, label or None) of each image in `text`."""
    side = math.isqrt(n_pixels)
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        words = [word for word in re.split(r"[,;\s]+", line.strip().lstrip("\ufeff")) if word]
        if not words:
            continue
        try:
            values = [float(word) for word in words]
        except ValueError:
            if not rows and not any(re.fullmatch(r"[-+.\d]+", word) for word in words):
                continue  # column names
            wrong = next(i for i, word in enumerate(words) if not is_number(word))
            raise InputError(f"{source}, line {number}: {words[wrong]!r} (number {wrong + 1}) is no number") from None
        for i, value in enumerate(values[:n_pixels], 1):
            if not 0 <= value <= largest:
                raise InputError(f"{source}, line {number}: expected 0 to {largest}, got {value:g} (number {i})")
        rows.append((number, values))
    if not rows:
        raise InputError(f"{source}: expected at least one image, got none")
    if all(len(values) == side for _, values in rows):
        if len(rows) % side:
            raise InputError(f"{source}: expected {side} lines for each image, got {len(rows)} lines")
        groups = [rows[i : i + side] for i in range(0, len(rows), side)]
        rows = [(group[0][0], [v for _, values in group for v in values]) for group in groups]
    for number, values in rows:
        if len(values) not in (n_pixels, n_pixels + 1):
            raise InputError(
                f"{source}, line {number}: expected {n_pixels} numbers (or {side} lines of {side}), got {len(values)}"
            )
        yield number, values[:n_pixels], values[n_pixels] if len(values) > n_pixels else None


def is_number(word):
    try:
        float(word)
    except ValueError:
        return False
    return True


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="python predict.py [--json] [FILE]",
    )
    parser.add_argument("file", nargs="?", default="-", metavar="FILE", help="images; standard input where left out")
    parser.add_argument("--json", action="store_true", help="print all probabilities, as JSON lines")
    options = parser.parse_args(arguments)
    right = labelled = 0
    try:
        layers, config = load()
        source = "standard input" if options.file == "-" else options.file
        try:
            data = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
            text = data.decode("utf-8")
        except OSError as error:
            raise InputError(f"{source}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{source}: expected text, got bytes that are no UTF-8") from error
        found = list(images(text, len(layers[0][0][0]), config["largest"], source))
    except InputError as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 2
    for number, pixels, label in found:
        shares = probabilities(layers, pixels, config["largest"])
        best = max(range(len(shares)), key=shares.__getitem__)
        answer = config["labels"][best]
        if options.json:
            named = dict(zip(config["labels"], [round(share, 6) for share in shares], strict=True))
            print(json.dumps({"line": number, "answer": answer, "probabilities": named}))
        else:
            print(f"line {number}: {answer} ({shares[best]:.1%})")
        if label is not None:
            labelled += 1
            right += best == label
    if labelled and not options.json:
        print(f"{right} of {labelled} agree with their label")
    return 0


if __name__ == "__main__":
    sys.exit(main())
