"""Read handwritten digits of 8×8 pixels and show what decided, with nothing but Python (3.10 or newer).

    python predict.py three.csv          the digit of each image in a file, and where the network saw it
    python predict.py < three.csv        the same from standard input
    python predict.py --json three.csv   all ten probabilities and the evidence, one JSON object for each image

One image is one line: 64 numbers from 0 (paper) to 16 (ink), row by row, separated by commas, semicolons or spaces.
A first line of column names is skipped, and a 65th number (a label) is compared with the answer.

The right picture says what spoke for the answer and against the second-best digit. The network adds up one number for
each of 8 × 16 detectors, each at the pixel where its detector answered most; the picture shows these numbers' sums.
    # much for the answer   + for it   - against it   = much against it
"""

import argparse
import json
import math
import re
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
INK = " .:-=+*#%@"


class InputError(ValueError):
    """Something that cannot be read; the message says what and where."""


def read_safetensors(file):
    """Name -> flat list, from a file of F64 tensors. https://github.com/huggingface/safetensors#format"""
    try:
        content = file.read_bytes()
        (n,) = struct.unpack("<Q", content[:8])
        header, body = json.loads(content[8 : 8 + n]), content[8 + n :]
        tensors = {}
        for name, entry in header.items():
            if name != "__metadata__":
                start, end = entry["data_offsets"]
                tensors[name] = struct.unpack(f"<{math.prod(entry['shape'])}d", body[start:end])
        return tensors
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise InputError(f"{file} is no complete model: {error}") from error


def load(folder=HERE):
    """Kernels (9 numbers each) with biases, rows of the dense layer with biases, and what config.json says."""
    tensors = read_safetensors(folder / "model.safetensors")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kernels, rows = tensors["conv.weight"], tensors["out.weight"]
        width = len(rows) // len(config["labels"])
        return (
            [kernels[i : i + 9] for i in range(0, len(kernels), 9)],
            tensors["conv.bias"],
            [rows[i : i + width] for i in range(0, len(rows), width)],
            tensors["out.bias"],
            config,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / 'config.json'} does not fit the model: {error!r}") from error


def detect(kernels, biases, pixels):
    """For each kernel and each window of 2 × 2 places: (largest answer, its pixel's number), kernel by kernel."""
    padded = [[0.0] * 10, *([0.0, *pixels[i : i + 8], 0.0] for i in range(0, 64, 8)), [0.0] * 10]
    found = []
    for kernel, bias in zip(kernels, biases, strict=True):
        answers = []
        for row in range(8):
            for column in range(8):
                seen = [v for line in padded[row : row + 3] for v in line[column : column + 3]]
                answers.append(max(0.0, bias + sum(w * v for w, v in zip(kernel, seen, strict=True))))
        for row in range(0, 8, 2):
            for column in range(0, 8, 2):
                window = [8 * r + c for r in (row, row + 1) for c in (column, column + 1)]
                best = max(window, key=answers.__getitem__)
                found.append((answers[best], best))
    return found


def softmax(logits):
    powers = [math.exp(z - max(logits)) for z in logits]
    return [power / sum(powers) for power in powers]


def evidence(found, row, other):
    """64 numbers: what each pixel's detectors add to the logit of `row` beyond that of `other`."""
    total = [0.0] * 64
    for (answer, pixel), w, w_other in zip(found, row, other, strict=True):
        total[pixel] += answer * (w - w_other)
    return total


def picture(pixels, total):
    """Ink on the left, evidence on the right; eight lines."""
    most = max(map(abs, total)) or 1.0

    def sign(share):
        if abs(share) < 0.15:
            return "."
        return ("#" if share > 0.5 else "+") if share > 0 else ("=" if share < -0.5 else "-")

    for i in range(0, 64, 8):
        ink = " ".join(INK[round(p * (len(INK) - 1))] for p in pixels[i : i + 8])
        yield f"    {ink}    {' '.join(sign(t / most) for t in total[i : i + 8])}"


def images(text, largest, source):
    """(line number, pixels from 0 to 1, label or None) of each image in `text`."""
    n_found = 0
    for number, line in enumerate(text.splitlines(), 1):
        words = [word for word in re.split(r"[,;\s]+", line.strip().lstrip("\ufeff")) if word]
        if not words or (number == 1 and not any(re.fullmatch(r"[-+.\d]+", word) for word in words)):
            continue  # nothing, or column names
        try:
            values = [float(word) for word in words]
        except ValueError as error:
            raise InputError(f"{source}, line {number}: {error}") from None
        if len(values) not in (64, 65):
            raise InputError(f"{source}, line {number}: expected 64 numbers, got {len(values)}")
        for i, value in enumerate(values[:64], 1):
            if not 0 <= value <= largest:
                raise InputError(f"{source}, line {number}: expected 0 to {largest}, got {value:g} (number {i})")
        n_found += 1
        yield number, [v / largest for v in values[:64]], values[64] if len(values) > 64 else None
    if not n_found:
        raise InputError(f"{source}: expected at least one image, got none")


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="python predict.py [--json] [FILE]",
    )
    parser.add_argument("file", nargs="?", default="-", metavar="FILE", help="images; standard input where left out")
    parser.add_argument("--json", action="store_true", help="print probabilities and evidence, as JSON lines")
    options = parser.parse_args(arguments)
    right = labelled = 0
    try:
        kernels, biases, rows, offsets, config = load()
        source = "standard input" if options.file == "-" else options.file
        try:
            data = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
            text = data.decode("utf-8")
        except OSError as error:
            raise InputError(f"{source}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{source}: expected text, got bytes that are no UTF-8") from error
        read = list(images(text, config["largest"], source))
    except InputError as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 2
    for number, pixels, label in read:
        found = detect(kernels, biases, pixels)
        logits = [
            b + sum(w * v for w, (v, _) in zip(row, found, strict=True)) for row, b in zip(rows, offsets, strict=True)
        ]
        shares = softmax(logits)
        best, second = sorted(range(len(logits)), key=lambda k: -logits[k])[:2]
        total = evidence(found, rows[best], rows[second])
        answer, other = config["labels"][best], config["labels"][second]
        if options.json:
            named = dict(zip(config["labels"], [round(share, 6) for share in shares], strict=True))
            rounded = [round(t, 6) for t in total]
            print(json.dumps({"line": number, "answer": answer, "probabilities": named, "evidence": rounded}))
        else:
            print(f"line {number}: {answer} ({shares[best]:.1%}); the picture: {answer} against {other}")
            print("\n".join(picture(pixels, total)))
        if label is not None:
            labelled += 1
            right += best == label
    if labelled and not options.json:
        print(f"{right} of {labelled} agree with their label")
    return 0


if __name__ == "__main__":
    sys.exit(main())
