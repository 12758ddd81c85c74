#!/usr/bin/env python3
"""Check a gradient written by hand against central differences and dual numbers, and say what is wrong with it.

FILE is a Python file with three names (others by --function, --gradient, --point):
    f          a function whose value is one number
    gradient   the same arguments; the derivative of f, with the shape of the argument (a tuple for several)
    point      where to check: a number or nested lists (or a numpy array); a tuple for several arguments

Exit status: 0 the gradient is right, 1 it is wrong, 2 it could not be checked.
"""

import argparse
import cmath
import importlib.util
import inspect
import itertools
import json
import math
import sys
from pathlib import Path
from random import Random
from types import ModuleType, SimpleNamespace

EPS = sys.float_info.epsilon


# Exact slopes: dual numbers, a + bε with ε² = 0


class Dual:
    """A number and its slope. numpy's functions call the methods of the elements of an object array."""

    __slots__ = ("a", "b")
    __array_priority__ = 1000

    def __init__(self, a, b=0.0):
        self.a, self.b = a, b

    def __add__(self, other):
        return Dual(self.a + other.a, self.b + other.b) if isinstance(other, Dual) else Dual(self.a + other, self.b)

    __radd__ = __add__

    def __neg__(self):
        return Dual(-self.a, -self.b)

    def __pos__(self):
        return self

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def __mul__(self, other):
        if isinstance(other, Dual):
            return Dual(self.a * other.a, self.a * other.b + self.b * other.a)
        return Dual(self.a * other, self.b * other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.a / other.a, (self.b - self.a / other.a * other.b) / other.a)

    def __rtruediv__(self, other):
        return Dual(other) / self

    def __pow__(self, other):
        if isinstance(other, Dual):
            return (other * self.log()).exp()
        return Dual(self.a**other, other * self.a ** (other - 1) * self.b if other else 0.0)

    def __rpow__(self, other):
        return (self * math.log(other)).exp()

    def __abs__(self):
        return -self if self.a < 0 else self

    def __float__(self):  # a float would be a constant, and its slope lost
        raise TypeError("a dual number is no float")

    def __bool__(self):
        return bool(self.a)

    def __eq__(self, other):
        return self.a == value_of(other)

    def __lt__(self, other):
        return self.a < value_of(other)

    def __le__(self, other):
        return self.a <= value_of(other)

    def __gt__(self, other):
        return self.a > value_of(other)

    def __ge__(self, other):
        return self.a >= value_of(other)

    __hash__ = None


def value_of(x):
    return x.a if isinstance(x, Dual) else x


# name -> (function, its derivative given x and the function's value)
FUNCTIONS = {
    "exp": (math.exp, lambda x, y: y),
    "expm1": (math.expm1, lambda x, y: y + 1),
    "log": (math.log, lambda x, y: 1 / x),
    "log1p": (math.log1p, lambda x, y: 1 / (1 + x)),
    "log2": (math.log2, lambda x, y: 1 / (x * math.log(2))),
    "log10": (math.log10, lambda x, y: 1 / (x * math.log(10))),
    "sqrt": (math.sqrt, lambda x, y: 0.5 / y),
    "sin": (math.sin, lambda x, y: math.cos(x)),
    "cos": (math.cos, lambda x, y: -math.sin(x)),
    "tan": (math.tan, lambda x, y: 1 + y * y),
    "asin": (math.asin, lambda x, y: 1 / math.sqrt(1 - x * x)),
    "acos": (math.acos, lambda x, y: -1 / math.sqrt(1 - x * x)),
    "atan": (math.atan, lambda x, y: 1 / (1 + x * x)),
    "sinh": (math.sinh, lambda x, y: math.cosh(x)),
    "cosh": (math.cosh, lambda x, y: math.sinh(x)),
    "tanh": (math.tanh, lambda x, y: 1 - y * y),
    "erf": (math.erf, lambda x, y: 2 / math.sqrt(math.pi) * math.exp(-x * x)),
    "fabs": (abs, lambda x, y: math.copysign(1.0, x)),
}


def lifted(name):
    """The function of `math`, which takes dual numbers as well."""
    function, slope = FUNCTIONS[name]

    def call(x, *more):
        if not isinstance(x, Dual):
            return getattr(math, name)(x, *more)
        if more:  # log(x, base)
            return lifted("log")(x) / math.log(*more)
        y = function(x.a)
        return Dual(y, slope(x.a, y) * x.b)

    return call


LIFTED = {name: lifted(name) for name in FUNCTIONS}
LIFTED["pow"] = lambda x, y: x**y
LIFTED["fsum"] = sum
LIFTED["prod"] = lambda values: math.prod(list(values))
LIFTED["hypot"] = lambda *xs: LIFTED["sqrt"](sum(x * x for x in xs))
for _name, _call in LIFTED.items():
    setattr(Dual, _name, _call)  # what numpy calls
Dual.absolute = Dual.__abs__


def with_math(function, module, replaced):
    """Call `function` while these names of math are replaced wherever `module` uses them; put all back after."""
    shim = SimpleNamespace(**{**vars(math), **replaced})
    by_identity = {id(getattr(math, name)): call for name, call in replaced.items() if hasattr(math, name)}
    changes = {name: shim if value is math else by_identity.get(id(value)) for name, value in module.items()}
    before = {name: module[name] for name, value in changes.items() if value is not None}
    module.update({name: changes[name] for name in before})
    try:
        return function()
    finally:
        module.update(before)


# Points: numbers in nested lists, tuples or numpy arrays


def flatten(x, path=""):
    """(path, number) for every number of x."""
    if hasattr(x, "tolist"):
        x = x.tolist()
    if isinstance(x, list | tuple):
        return [leaf for i, item in enumerate(x) for leaf in flatten(item, f"{path}[{i}]")]
    if isinstance(x, bool) or not isinstance(x, int | float | complex):
        try:
            return flatten(list(x), path)  # anything iterable
        except TypeError:
            raise ValueError(f"{path or 'x'} must be a number or nested lists of numbers, got {x!r}") from None
    return [(path, x)]


def filled(x, numbers):
    """x with other numbers, taken from the iterator; an array stays one."""
    if hasattr(x, "tolist"):
        numpy = sys.modules.get("numpy")
        values = filled(x.tolist(), numbers)
        if numpy is None or not isinstance(x, numpy.ndarray):
            return values
        kinds = {type(value) for _, value in leaves_of(values)}
        return numpy.array(values, dtype=object if Dual in kinds else complex if complex in kinds else float)
    if isinstance(x, list | tuple):
        return type(x)([filled(item, numbers) for item in x])
    return next(numbers)


def leaves_of(x):
    if isinstance(x, list | tuple):
        return [leaf for item in x for leaf in leaves_of(item)]
    return [("", x)]


def shape(x):
    """The shape of a rectangular nesting, or None."""
    if hasattr(x, "tolist"):
        x = x.tolist()
    if not isinstance(x, list | tuple):
        return ()
    shapes = {shape(item) for item in x}
    return None if len(shapes) > 1 else (len(x), *(shapes.pop() or ())) if shapes else (0,)


class Problem:
    """f at a point, as a function of a flat list of numbers."""

    def __init__(self, module, function, gradient, point):
        self.names = vars(module)
        self.f, self.gradient, self.point = (self.named(name) for name in (function, gradient, point))
        self.globals = getattr(self.f, "__globals__", self.names)  # where f looks for math
        several = isinstance(self.point, tuple)
        self.arguments = self.point if several else (self.point,)
        try:
            labels = list(inspect.signature(self.f).parameters)[: len(self.arguments)]
        except (TypeError, ValueError):
            labels = []
        self.labels = labels if len(labels) == len(self.arguments) else [f"x{i}" for i in range(len(self.arguments))]
        leaves = [flatten(a, name) for name, a in zip(self.labels, self.arguments, strict=True)]
        self.paths = [path for part in leaves for path, _ in part]
        self.owner = [i for i, part in enumerate(leaves) for _ in part]
        self.x = [float(v) for part in leaves for _, v in part]
        if not self.x or not all(map(math.isfinite, self.x)):
            raise ValueError(f"{point} must hold finite numbers, at least one")
        given = self.gradient(*self.copies())
        self.parts = given if several and isinstance(given, list | tuple) else (given,)
        if len(self.parts) != len(self.arguments):
            raise ValueError(f"{gradient} must return a tuple with one for each of {len(self.arguments)} arguments")
        self.given = [float(v) for part in self.parts for _, v in flatten(part)]

    def named(self, name):
        if name not in self.names:
            raise ValueError(f"the file must define {name}; it has {', '.join(n for n in self.names if n[0] != '_')}")
        return self.names[name]

    def copies(self, numbers=None):
        numbers = iter(self.x if numbers is None else numbers)
        return [filled(a, numbers) for a in self.arguments]

    def __call__(self, numbers):
        y = self.f(*self.copies(numbers))
        if hasattr(y, "item"):
            y = y.item()
        return y

    def real(self, numbers):
        y = self(numbers)
        if isinstance(y, bool) or not isinstance(y, int | float):
            raise ValueError(f"f must return one number, got {type(y).__name__}")
        return float(y)

    def moved(self, direction, h):
        return [x + h * d for x, d in zip(self.x, direction, strict=True)]


# Slopes along a direction


def slope(problem, direction):
    """Central differences over a ladder of steps: the best slope, its error, and the slopes from both sides.

    A long step errs by curvature, a short one by rounding. Between steps a factor of 10 apart the change of the
    difference estimates the first, the size of f the second; the step with the least sum is taken.
    """
    scale = max([abs(x) for x, d in zip(problem.x, direction, strict=True) if d] + [1.0])
    size = max(abs(d) for d in direction)
    f0, rungs = problem.real(problem.x), []
    for k in range(1, 9):
        h = scale / size * 10.0**-k
        try:
            plus, minus = (problem.real(problem.moved(direction, sign * h)) for sign in (1, -1))
        except (ArithmeticError, ValueError):
            continue  # beyond the domain of f
        if math.isfinite(plus) and math.isfinite(minus):
            noise = 8 * EPS * max(abs(plus), abs(minus), abs(f0), EPS) / h
            rungs.append(((plus - minus) / (2 * h), (f0 - minus) / h, (plus - f0) / h, noise))
    if len(rungs) < 3:
        raise ValueError("f is not finite around the point")
    best = None
    for (before, *_), rung in itertools.pairwise(rungs):
        error = abs(before - rung[0]) / 10 + rung[3]  # /10: the truncation of the shorter step is a hundredth
        if best is None or error < best["error"]:
            best = {"value": rung[0], "error": error, "left": rung[1], "right": rung[2]}
    best["kink"] = None
    # A smooth f has one-sided slopes that close in on each other as h shrinks; at a kink the gap stays.
    gaps = [(abs(right - left), noise, left, right) for _, left, right, noise in rungs]
    quiet = [rung for rung in gaps if rung[0] > 100 * rung[1]]
    if len(quiet) >= 3 and rungs and quiet[-1] in gaps[3:]:
        (first, *_), (last, _, left, right) = quiet[-3], quiet[-1]
        if last > 0.5 * first and last > 1e-6 * max(abs(left), abs(right)):
            best["kink"] = sorted((left, right))
    return best


def dual_slope(problem, direction):
    """The exact slope, or None where f does what dual numbers cannot follow."""
    numbers = [Dual(x, d) for x, d in zip(problem.x, direction, strict=True)]
    try:
        y = with_math(lambda: problem(numbers), problem.globals, LIFTED)
    except Exception:  # whatever the user's code or a library says to a number that it does not know
        return None
    return y.b if isinstance(y, Dual) and isinstance(y.b, int | float) and math.isfinite(y.b) else None


def complex_slope(problem, direction):
    """Im f(x + i h d) / h, exact to rounding where f is analytic code; None where it is not."""
    h = 1e-30
    numbers = [complex(x, h * d) for x, d in zip(problem.x, direction, strict=True)]
    replaced = {name: getattr(cmath, name) for name in FUNCTIONS if hasattr(cmath, name)}
    try:
        y = with_math(lambda: problem(numbers), problem.globals, replaced)
    except Exception:
        return None
    return y.imag / h if isinstance(y, complex) and math.isfinite(y.imag) else None


# The verdict


def judge(problem, direction, given, rtol):
    """Compare one directional derivative: a dict with the verdict 'right', 'wrong' or 'kink'."""
    found = slope(problem, direction)
    numeric, witness = found["value"], "differences"
    near = 100 * found["error"] + 1e-6 * max(abs(numeric), 1e-12)
    for name, exact in (("dual numbers", dual_slope), ("complex step", complex_slope)):
        value = exact(problem, direction)
        if value is not None and (abs(value - numeric) <= near or found["kink"]):
            if not found["kink"]:
                numeric, witness = value, name
            break
    error = 0.0 if witness != "differences" else 10 * found["error"]
    if found["kink"]:
        low, high = found["kink"]
        margin = rtol * max(abs(low), abs(high)) + 10 * found["error"]
        verdict = "kink" if low - margin <= given <= high + margin else "wrong"
        return {"verdict": verdict, "given": given, "low": low, "high": high, "witness": "one-sided differences"}
    scale = max(abs(given), abs(numeric))
    wrong = not abs(given - numeric) <= rtol * scale + error + 1e-10 * problem.largest
    return {"verdict": "wrong" if wrong else "right", "given": given, "slope": numeric, "witness": witness}


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def check(problem, rtol=1e-6, directions=5, limit=200, seed=0):
    """Everything that is found, as plain values."""
    for name, argument, part in zip(problem.labels, problem.arguments, problem.parts, strict=True):
        expected, got = shape(argument), shape(part)
        if expected != got:
            hint = "; it is the transpose" if expected and got == expected[::-1] else ""
            finding = f"the gradient of {name} has the shape {got}, {name} has {expected}{hint}"
            return {"status": 1, "findings": [finding]}
    bad = [path for path, g in zip(problem.paths, problem.given, strict=True) if not math.isfinite(g)]
    if bad:
        return {"status": 1, "findings": [f"the gradient is not finite at {', '.join(bad[:5])}"]}
    problem.largest = max(map(abs, problem.given))
    n, rng = len(problem.x), Random(seed)
    along = []
    for _ in range(directions):
        d = [rng.gauss(0, 1) for _ in range(n)]
        length = math.sqrt(dot(d, d))
        d = [v / length for v in d]
        along.append(judge(problem, d, dot(problem.given, d), rtol))
    chosen = range(n) if n <= limit else sorted(rng.sample(range(n), limit))
    coordinates = {}
    for i in chosen:
        coordinates[i] = judge(problem, [float(i == j) for j in range(n)], problem.given[i], rtol)
    wrong = [i for i, found in coordinates.items() if found["verdict"] == "wrong"]
    smooth_wrong = [found for found in along if found["verdict"] == "wrong"]
    findings = diagnose(problem, coordinates, wrong) if wrong else []
    if smooth_wrong and not wrong and not any(found["verdict"] == "kink" for found in coordinates.values()):
        findings.append("a random direction is wrong though every coordinate checked is right: raise --coordinates")
    failed = bool(wrong) or bool(findings)
    return {"status": int(failed), "findings": findings, "along": along, "coordinates": coordinates, "wrong": wrong}


def diagnose(problem, coordinates, wrong):
    """What usual fault explains all wrong coordinates of an argument."""
    findings = []
    for k, name in enumerate(problem.labels):
        mine = [i for i in coordinates if problem.owner[i] == k and "slope" in coordinates[i]]
        off = [i for i in wrong if problem.owner[i] == k]
        if not off:
            continue
        if not set(off) & set(mine):
            worst = ", ".join(f"{problem.paths[i]} is {problem.given[i]:.6g}" for i in off[:3])
            findings.append(f"{name}: at a kink, but not between the slopes of its two sides: {worst}")
            continue
        g, s = [coordinates[i]["given"] for i in mine], [coordinates[i]["slope"] for i in mine]
        x = [problem.x[i] for i in mine]
        reason = (
            ratio(problem, g, s)
            or transposed(problem, k, mine, s)
            or shifted(g, s)
            or penalty(g, s, x)
            or partly(problem, mine, off, g, s)
        )
        findings.append(f"{name}: {len(off)} of {len(mine)} coordinates wrong: {reason}")
    return findings


def near(a, b, tolerance=1e-4):
    """Equal for the purpose of a diagnosis."""
    return math.dist(a, b) <= tolerance * max(math.hypot(*a), math.hypot(*b))


def ratio(problem, g, s):
    """The whole gradient a multiple of the slope."""
    norm = dot(s, s)
    c = dot(g, s) / norm if norm else 0.0
    if not norm or not near(g, [c * v for v in s]):
        return None
    if near([c], [0.0], 1e-12):
        return "it is 0"
    sizes = {len(v): name for name, v in problem.names.items() if not name.startswith("__") and hasattr(v, "__len__")}
    for size, what in ((-1.0, "the sign is wrong"), (2.0, "a factor of 2 too much"), (0.5, "a factor of 2 is missing")):
        if near([c], [size]):
            return what
    for n, name in sorted(sizes.items()):
        if n > 2 and near([abs(c)], [float(n)]):
            return f"{c:.6g} times too large, and {name} has {n} entries: the 1/n of a mean is missing"
        if n > 2 and near([abs(c)], [1 / n]):
            return f"1/{n} of what it should be, and {name} has {n} entries: divided by n once too often"
    return f"all are {c:.6g} times what they should be"


def transposed(problem, k, mine, s):
    """A square matrix whose gradient has rows and columns exchanged."""
    size = shape(problem.arguments[k])
    if not size or len(size) != 2 or size[0] != size[1] or len(mine) != size[0] ** 2:
        return None
    n = size[0]
    g = [problem.given[i] for i in mine]
    flipped = [g[n * column + row] for row in range(n) for column in range(n)]
    return "it is the transpose" if near(flipped, s) else None


def shifted(g, s):
    """Right numbers in wrong places."""
    for by in range(1, len(g)):
        if near(g[by:] + g[:by], s):
            late = 2 * by <= len(g)
            n = by if late else len(g) - by
            return f"right, but {n} place{'s' * (n > 1)} too {'late' if late else 'early'}"
    return "right, but in reverse order" if near(g[::-1], s) else None


def penalty(g, s, x):
    """A multiple of the argument itself, too much or missing: weight decay in one of f and gradient only."""
    rest = [a - b for a, b in zip(g, s, strict=True)]
    norm = dot(x, x)
    c = dot(rest, x) / norm if norm and len(x) > 1 else 0.0
    if not c or not near(rest, [c * v for v in x]):
        return None
    return f"{abs(c):.6g} · the argument is {'too much' if c > 0 else 'missing'}, as of a penalty (weight decay)"


def partly(problem, mine, off, g, s):
    """Nothing fits all: name the worst."""
    rows = sorted(zip(mine, g, s, strict=True), key=lambda row: -abs(row[1] - row[2]))
    rows = [row for row in rows if row[0] in off]
    shown = ", ".join(f"{problem.paths[i]} is {a:.6g} and should be {b:.6g}" for i, a, b in rows[:3])
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    forgotten = "; 0: forgotten, or never written to" if all(row[1] == 0 for row in rows) else ""
    return shown + more + forgotten


def load(file):
    """The user's file as a module; its folder is on the path while it is loaded."""
    spec = importlib.util.spec_from_file_location("checked", file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is no Python file")
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(file).resolve().parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def report(problem, result):
    """Lines to read."""
    coordinates = result.get("coordinates", {})
    lines = []
    if coordinates:
        verdicts = [found["verdict"] for found in coordinates.values()]
        n = len(problem.x)
        of = f"{len(coordinates)} of {n} coordinates" if len(coordinates) < n else f"{n} coordinates"
        witnesses = sorted({found["witness"] for found in coordinates.values()})
        lines.append(
            f"{of} against {', '.join(witnesses)}: {verdicts.count('right')} right, {len(result['wrong'])} wrong"
        )
        along = [found["verdict"] for found in result["along"]]
        lines.append(f"{len(along)} random directions: {along.count('right')} right, {along.count('wrong')} wrong")
        for i, found in coordinates.items():
            if found["verdict"] == "kink":
                text = f"slopes {found['low']:.6g} and {found['high']:.6g} on its sides"
                lines.append(f"kink at {problem.paths[i]}: {text}; {found['given']:.6g} lies between, which is fine")
        if not result["status"] and not any(problem.given):
            lines.append("note: the gradient is 0 here, and zeros agree with zeros: choose another point")
    lines += [f"WRONG  {finding}" for finding in result["findings"]]
    return [*lines, "the gradient is wrong" if result["status"] else "the gradient is right"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="a Python file; it is run")
    parser.add_argument("--function", default="f", metavar="NAME")
    parser.add_argument("--gradient", default="gradient", metavar="NAME")
    parser.add_argument("--point", default="point", metavar="NAME")
    parser.add_argument("--rtol", type=float, default=1e-6, help="relative tolerance, 1e-6 unless told")
    parser.add_argument("--coordinates", type=int, default=200, metavar="N", help="at most so many, chosen at random")
    parser.add_argument("--directions", type=int, default=5, metavar="N", help="how many random directions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print everything that was found as JSON")
    options = parser.parse_args(arguments)
    if options.coordinates < 1 or options.directions < 1 or not 0 < options.rtol < 1:
        parser.error("--coordinates and --directions must be at least 1, --rtol between 0 and 1")
    try:
        problem = Problem(load(options.file), options.function, options.gradient, options.point)
        if repr(problem(problem.x)) != repr(problem(problem.x)):
            raise ValueError(f"{options.function} gives two values at one point: fix its seed, or its noise")
        result = check(problem, options.rtol, options.directions, options.coordinates, options.seed)
    except Exception as error:  # the user's code may raise anything
        print(f"gradient_check: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    if options.json:
        named = {problem.paths[i]: found for i, found in result.pop("coordinates", {}).items()}
        result["wrong"] = [problem.paths[i] for i in result.get("wrong", [])]
        print(json.dumps({**result, "coordinates": named}, indent=2))
    else:
        print("\n".join(report(problem, result)))
    return result["status"]


if __name__ == "__main__":
    sys.exit(main())
