#!/usr/bin/env python3
"""Split a CSV or JSONL file into train, validation and test so that anyone gets the same parts again, and check parts.

Where a row goes depends on its key and the seed alone: rows that are added later move no old one, and rows of one key
stay together. One file, no packages: any Python 3.11 or newer runs it.
"""

# Made from build_it.py and tool.py of the lesson deep-learning-core/data-loading of Twice (MIT).

import argparse
import csv
import hashlib
import json
import math
import re
import sys
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from itertools import accumulate, combinations
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TextIO


class Generator:
    """torch.Generator on a CPU, bit for bit: the Mersenne Twister MT19937, seeded with one 32-bit number.

    Source: Matsumoto & Nishimura, init_genrand of mt19937ar.c; aten/src/ATen/core/MT19937RNGEngine.h of PyTorch.
    """

    def __init__(self, seed: int) -> None:
        """Fills the twister's 624 words; only the lowest 32 bits of the seed matter.

        Args:
            seed: from 0 to 2⁶³ - 1.

        Raises:
            ValueError: the seed is out of range.
        """
        if not 0 <= seed < 2**63:
            raise ValueError(f"seed must be from 0 to 2**63 - 1, got {seed}")
        words = [seed % 2**32]
        for i in range(1, 624):
            words.append((1812433253 * (words[-1] ^ words[-1] >> 30) + i) % 2**32)
        self._twister = Random()  # the same engine, which Python seeds in another way
        self._twister.setstate((3, (*words, 624), None))

    def randperm(self, n: int) -> list[int]:
        """The numbers 0 … n - 1 in random order, by Fisher and Yates: each place draws among those still to come.

        Raises:
            ValueError: n is negative.
        """
        if n < 0:
            raise ValueError(f"n must not be negative, got {n}")
        order = list(range(n))
        for i in range(n - 1):
            j = i + self._twister.getrandbits(32) % (n - i)
            order[i], order[j] = order[j], order[i]
        return order

    def randint(self, high: int, size: int) -> list[int]:
        """`size` numbers from 0 to high - 1: 32 bits modulo high, or 64 bits where high is 2²⁸ or more.

        Raises:
            ValueError: high is not from 1 to 2⁶³ - 1, or size is negative.
        """
        if not 1 <= high < 2**63 or size < 0:
            raise ValueError(f"high must be from 1 to 2**63 - 1 and size 0 or more, got {high} and {size}")
        if high < 2**28:
            return [self._twister.getrandbits(32) % high for _ in range(size)]
        return [self._64_bits() % high for _ in range(size)]

    def rand(self, size: int) -> list[float]:
        """`size` multiples of 2⁻⁵³, uniform from 0 to below 1: the lowest 53 of 64 bits.

        Raises:
            ValueError: size is negative.
        """
        if size < 0:
            raise ValueError(f"size must not be negative, got {size}")
        return [self._64_bits() % 2**53 / 2**53 for _ in range(size)]

    def base_seed(self) -> int:
        """A seed for others, the lowest 63 of 64 bits: a DataLoader draws one for its workers when an epoch starts."""
        return self._64_bits() % 2**63

    def _64_bits(self) -> int:
        """Two words; the first is the higher one."""
        return self._twister.getrandbits(32) << 32 | self._twister.getrandbits(32)


def split_lengths(n: int, lengths: Sequence[float]) -> list[int]:
    """How many samples of n go to each part. Fractions are rounded down; what remains is dealt in turn, from the first.

    Args:
        n: how many samples there are.
        lengths: fractions whose sum is close to 1 (math.isclose) and not above it, or whole numbers (3.0 is one) that
            add up to n.

    Raises:
        ValueError: they add up to neither, or one of them is negative.
    """
    if any(length < 0 for length in lengths):
        raise ValueError(f"lengths must not be negative, got {list(lengths)}")
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        whole = [math.floor(n * fraction) for fraction in lengths]
        for i in range(n - sum(whole)):
            whole[i % len(whole)] += 1
        return whole
    if sum(lengths) != n or any(length != int(length) for length in lengths):
        raise ValueError(f"lengths must be whole and add up to {n}, or to 1 as fractions, got {list(lengths)}")
    return [int(length) for length in lengths]


PARTS = ["train=0.8", "validation=0.1", "test=0.1"]
KINDS = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".ndjson": ""}
EXAMPLES = """examples:
  python split-data.py data.csv                                  print what would be done
  python split-data.py data.csv -o parts                         parts/train.csv, validation.csv, test.csv
  python split-data.py visits.jsonl -o parts --key patient       all visits of a patient in one part
  python split-data.py data.csv -o parts --stratify label        each label in the same proportions
  python split-data.py data.csv -o parts --shuffle --memory 50000
  python split-data.py --check parts/train.csv parts/test.csv --key patient

The key is the whole row where --key names no column, so that equal rows never part. With --stratify the keys of each
class are cut exactly, in an order by hash; then rows that are added can move a few old ones across a cut, and the keys
are held in memory (else nothing is). --shuffle puts each part into random order through temporary files.

Exit status: 0 after a split or a check that found nothing; 1 after a check that found rows in two files; 2 where the
arguments or a file cannot be used. Nothing is overwritten without --force.
"""


class Record(NamedTuple):
    """A row: where it begins in its file, its own text, and its values by column."""

    line: int
    text: str
    values: dict[str, Any]


def records(file: Path) -> Iterator[Record]:
    """The rows of a file, one at a time; of CSV without the header."""
    delimiter = delimiter_of(file)
    with file.open(encoding="utf-8-sig", newline="") as lines:
        try:
            yield from csv_records(lines, file, delimiter) if delimiter else json_records(lines, file)
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} must be text in UTF-8: {error}") from error


def delimiter_of(file: Path) -> str:
    """What stands between two cells; nothing in JSON lines."""
    if file.suffix.lower() not in KINDS:
        raise ValueError(f"{file}: the name of the file must end with one of {', '.join(KINDS)}")
    return KINDS[file.suffix.lower()]


def csv_records(lines: TextIO, file: Path, delimiter: str) -> Iterator[Record]:
    """Rows, each with its text as it stands: a cell in quotes may hold several lines."""
    taken: list[str] = []

    def remembered() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    columns: list[str] = []
    begins, rows = 1, csv.reader(remembered(), delimiter=delimiter, strict=True)
    try:
        for cells in rows:
            text, line = "".join(taken), begins
            begins += len(taken)
            taken.clear()
            if not columns:
                columns = cells
                if not columns or len(set(columns)) < len(columns):
                    raise ValueError(f"{file}: line 1 must name the columns, each once, got {columns}")
            elif len(cells) == len(columns):
                yield Record(line, text, dict(zip(columns, cells, strict=True)))
            elif cells:
                raise ValueError(f"{file}: line {line} has {len(cells)} cells, and line 1 names {len(columns)} columns")
    except csv.Error as error:
        raise ValueError(f"{file}: line {begins} is no CSV: {error}") from error


def json_records(lines: TextIO, file: Path) -> Iterator[Record]:
    """One object for each line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}: line {number} is no JSON: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(f"{file}: line {number} must be an object in braces, got {line.strip()[:40]}")
        yield Record(number, line, values)


def header(file: Path) -> str:
    """The lines that every part of a CSV begins with; none for JSON lines."""
    if not delimiter_of(file):
        return ""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        taken = []
        for _ in csv.reader((taken.append(line) or line for line in lines), delimiter=delimiter_of(file)):
            break
    return ended("".join(taken))


def ended(text: str) -> str:
    """The last row of a file may lack the end of its line."""
    return text if text.endswith(("\n", "\r")) else text + "\n"


def key_of(record: Record, columns: list[str], file: Path) -> str:
    """The values of some columns, or of all, as one string that no other values have."""
    missing = [column for column in columns if column not in record.values]
    if missing:
        raise ValueError(f"{file}: line {record.line} has no {missing[0]!r}, only {', '.join(record.values)}")
    chosen = [record.values[column] for column in columns] if columns else record.values
    return json.dumps(chosen, sort_keys=True, ensure_ascii=False)


def digest(key: str, seed: int) -> int:
    """64 bits that look random, the same everywhere."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {key}".encode(), digest_size=8).digest(), "big")


class Plan(NamedTuple):
    """How to part rows: by where their digests fall, or with a part for each digest where the keys were counted."""

    names: list[str]
    fractions: list[Fraction]
    ends: list[float]  # of each part but the last, in the range of digests taken as 0 to 1
    key: list[str]
    seed: int
    stratify: list[str]  # a column, or none
    by_digest: dict[int, int]

    def part(self, record: Record, file: Path) -> int:
        """The number of the part that a row belongs to."""
        number = digest(key_of(record, self.key, file), self.seed)
        if self.stratify:
            return self.by_digest[number]
        return bisect_right(self.ends, number / 2**64)


def make_plan(file: Path, parts: list[str], key: list[str], stratify: list[str], seed: int) -> Plan:
    """Checks the parts; with `stratify` reads the file once, and cuts the keys of each class by their digests."""
    pairs = [re.fullmatch(r"([\w-]+)=(0?\.\d+|1|1\.0*)", part) for part in parts]
    if not all(pairs):
        raise ValueError(f"parts must be like train=0.8, a name and a fraction, got {' '.join(parts)}")
    names, fractions = [pair[1] for pair in pairs], [Fraction(pair[2]) for pair in pairs]
    if len(set(names)) < len(names) or sum(fractions) != 1:
        raise ValueError(f"parts must have different names and fractions that add up to 1, got {' '.join(parts)}")
    ends = [float(end) for end in accumulate(fractions[:-1])]
    plan = Plan(names, fractions, ends, key, seed, stratify, {})
    if not stratify:
        return plan
    class_of: dict[int, str] = {}
    for record in records(file):
        number, label = digest(key_of(record, key, file), seed), label_of(record, plan, file)
        if class_of.setdefault(number, label) != label:
            raise ValueError(
                f"{file}: line {record.line}: its key has two values of {stratify[0]!r}, so it has no class"
            )
    by_class: dict[str, list[int]] = {}
    for number in sorted(class_of):
        by_class.setdefault(class_of[number], []).append(number)
    for numbers in by_class.values():
        sizes = split_lengths(len(numbers), fractions)
        which = (part for part, size in enumerate(sizes) for _ in range(size))
        plan.by_digest.update(zip(numbers, which, strict=True))
    return plan


def label_of(record: Record, plan: Plan, file: Path) -> str:
    """The class of a row; an empty one where nothing is stratified."""
    return key_of(record, plan.stratify, file)[1:-1] if plan.stratify else ""


def split(file: Path, plan: Plan, folder: Path | None, force: bool, memory: int | None) -> list[Counter[str]]:
    """Counts the rows of each class in each part, and writes the parts where a folder is given.

    Args:
        file: the data.
        plan: of `make_plan`.
        folder: where the parts go, named after them; None: nowhere.
        force: whether files that are there may be replaced.
        memory: None: rows stay in their order. A number: shuffled, with about so many rows in memory.
    """
    counts: list[Counter[str]] = [Counter() for _ in plan.names]
    if folder is None:
        for record in records(file):
            counts[plan.part(record, file)][label_of(record, plan, file)] += 1
        return counts
    targets = [folder / f"{name}{file.suffix}" for name in plan.names]
    if any(target.resolve() == file.resolve() for target in targets):
        raise ValueError(f"{file} would be replaced by one of its own parts: choose another folder")
    there = [str(target) for target in targets if target.exists()]
    if there and not force:
        raise ValueError(f"{', '.join(there)} is there already: --force replaces it")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".split-") as temporary:
        written = [Path(temporary) / target.name for target in targets]
        with ExitStack() as stack:
            outputs = [stack.enter_context(new.open("w", encoding="utf-8", newline="")) for new in written]
            for output in outputs:
                output.write(header(file))
            for record in records(file):
                part = plan.part(record, file)
                counts[part][label_of(record, plan, file)] += 1
                outputs[part].write(ended(record.text))
        if not any(counts):
            raise ValueError(f"{file} has no rows")
        if memory is not None:
            for new, count in zip(written, counts, strict=True):
                shuffle(new, -(-count.total() // memory), Generator(plan.seed))
        for new, target in zip(written, targets, strict=True):
            new.replace(target)
    return counts


def shuffle(file: Path, n_piles: int, generator: Generator) -> None:
    """Every order is equally likely: each row goes to a random pile, each pile is shuffled, the piles are stacked."""
    if n_piles > 200:
        raise ValueError(f"--memory is too small: {n_piles} temporary files would be open at once, and 200 may be")
    piles = [file.with_name(f"{file.name}.{i}") for i in range(n_piles)]
    with ExitStack() as stack:
        outputs = [stack.enter_context(pile.open("w", encoding="utf-8")) for pile in piles]
        for record in records(file):
            outputs[generator.randint(n_piles, 1)[0]].write(json.dumps(ended(record.text)) + "\n")
    top = header(file)
    with file.open("w", encoding="utf-8", newline="") as result:
        result.write(top)
        for pile in piles:
            rows = pile.read_text(encoding="utf-8").splitlines()
            result.writelines(json.loads(rows[i]) for i in generator.randperm(len(rows)))
            pile.unlink()


def leaks(files: list[Path], key: list[str]) -> list[str]:
    """A sentence for each two files that share rows or keys."""
    if len({bool(delimiter_of(file)) for file in files}) > 1:
        raise ValueError('all files must be tables, or all JSON lines: 1 in one is no "1" in the other')
    seen: list[dict[str, list[int]]] = []
    columns: list[str] = []
    for file in files:
        lines: dict[str, list[int]] = {}
        for record in records(file):
            columns = columns or sorted(record.values)
            if not key and delimiter_of(file) and sorted(record.values) != columns:
                raise ValueError(f"{file} has other columns than {files[0]}: name what to compare with --key")
            lines.setdefault(hashed(key_of(record, key, file)), []).append(record.line)
        seen.append(lines)
    what = f"have a key ({', '.join(key)}) that is" if key else "are"
    found = []
    for a, b in combinations(range(len(files)), 2):
        common = [k for k in seen[b] if k in seen[a]]
        if common:
            rows, total = sum(len(seen[b][k]) for k in common), sum(map(len, seen[b].values()))
            where = f"the first in line {seen[b][common[0]][0]}, there in line {seen[a][common[0]][0]}"
            found.append(f"{files[b]}: {rows} of {total} rows {what} in {files[a]} as well ({where})")
    return found


def hashed(key: str) -> str:
    """128 bits in place of a long row."""
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("data", type=Path, nargs="*", help=f"a file whose name ends with {', '.join(KINDS)}")
    result.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="where the parts go; without it: a preview")
    result.add_argument(
        "--parts", nargs="+", default=PARTS, metavar="NAME=FRACTION", help=f"default: {' '.join(PARTS)}"
    )
    result.add_argument("--key", nargs="+", default=[], metavar="COLUMN", help="rows that agree in these stay together")
    result.add_argument("--stratify", metavar="COLUMN", help="the same proportions of each value of this column")
    result.add_argument("--seed", type=int, default=0, help="another seed, another split (default: 0)")
    result.add_argument("--shuffle", action="store_true", help="write the rows of each part in random order")
    result.add_argument("--memory", type=int, default=1_000_000, metavar="ROWS", help="to hold at once in --shuffle")
    result.add_argument("--force", action="store_true", help="replace files that are there")
    result.add_argument("--check", nargs="+", type=Path, metavar="FILE", help="find rows (or keys) in two of the files")
    return result


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    options = parser().parse_args(arguments)
    csv.field_size_limit(2**31 - 1)
    try:
        return check(options) if options.check else report(options)
    except (ValueError, OSError) as error:
        print(f"split-data: {error}", file=sys.stderr)
        return 2


def check(options: argparse.Namespace) -> int:
    """The other command: are parts that exist apart?"""
    if options.data or len(options.check) < 2:
        raise ValueError("--check takes two files or more, and no other data")
    found = leaks(options.check, options.key)
    print("\n".join(found) if found else f"{len(options.check)} files, and nothing of one is in another")
    return 1 if found else 0


def report(options: argparse.Namespace) -> int:
    """Splits, or only counts, and prints how many rows each part has."""
    if len(options.data) != 1:
        raise ValueError(f"name one file to split (or --check and the files to check), got {len(options.data)}")
    if not 0 <= options.seed < 2**63 or options.memory < 1:
        raise ValueError(f"--seed must be 0 or more, --memory 1 or more, got {options.seed} and {options.memory}")
    (file,) = options.data
    plan = make_plan(file, options.parts, options.key, [options.stratify] if options.stratify else [], options.seed)
    counts = split(file, plan, options.output, options.force, options.memory if options.shuffle else None)
    total = sum(count.total() for count in counts)
    if not total:
        raise ValueError(f"{file} has no rows")
    print(
        f"{total} rows of {file.name}"
        + (f", in {options.output}" if options.output else "; -o FOLDER writes the parts")
    )
    for name, fraction, count in zip(plan.names, plan.fractions, counts, strict=True):
        print(f"  {name:12} {count.total():8}  {count.total() / total:6.1%}, asked for {float(fraction):.1%}")
        if options.stratify:
            print(f"    {options.stratify}: " + ", ".join(f"{label} {count[label]}" for label in sorted(count)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
