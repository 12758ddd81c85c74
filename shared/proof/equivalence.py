"""`assert_equivalent` and its relatives: compare two nested values, and say where they part."""

import cmath
import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

RTOL, ATOL = 1e-9, 1e-12
_MEANINGLESS = 0.1  # with this relative tolerance a comparison says nothing
TWINS = ("build_it", "use_it")


@dataclass
class Record:
    """What was compared since the last reset: the plugin reads it after each test, for the proof card.

    `cases` counts every comparison. The others tell of twin against twin alone: a comparison with a witness (finite
    differences, a published table) passes its own `names`, and may need a looser tolerance.
    """

    cases: int = 0
    worst: float = 0.0
    worst_at: str = ""
    rtol: float = 0.0
    atol: float = 0.0

    def reset(self) -> None:
        """Back to nothing compared."""
        vars(self).update(vars(Record()))


record = Record()


class NotEquivalentError(AssertionError):
    """What `assert_equivalent` raises: the report, and the two values with the tolerances, to look closer."""

    def __init__(self, report: str, built: object, used: object, rtol: float, atol: float) -> None:
        super().__init__(report)
        self.built, self.used, self.rtol, self.atol = built, used, rtol, atol


class Difference(NamedTuple):
    """One place where the twins part."""

    path: str
    message: str


class Comparison(NamedTuple):
    """The report of a mismatch (empty where there is none), and the worst relative difference with its place."""

    report: str
    worst: float
    worst_at: str


def assert_equivalent(
    built: object, used: object, rtol: float = RTOL, atol: float = ATOL, *, names: tuple[str, str] = TWINS
) -> None:
    """Assert that two nested values are equal, numbers within ``|a - b| <= atol + rtol * max(|a|, |b|)``.

    Compares numbers, strings, booleans, None, sequences, mappings, dataclasses, and anything with ``tolist()``
    (arrays, tensors). Two integers must be the same; NaN equals NaN, and an infinity itself. A mapping is a list of
    *named* quantities in order: the report names the last one that agreed beside the first that does not.

    Args:
        built: from ``build_it`` (or whatever `names` says).
        used: from ``use_it``.
        rtol: relative tolerance. Where it is looser than the default, write the reason beside it.
        atol: absolute tolerance, for values near zero.
        names: what the report calls the two sides. Name a witness that is no twin: ``("build_it", "by hand")``.

    Raises:
        NotEquivalentError: an AssertionError naming the path, both values and how far they are apart.
    """
    if rtol >= _MEANINGLESS:
        raise ValueError(f"rtol={rtol} compares nothing: expected less than {_MEANINGLESS}")
    found = compare_values(built, used, rtol, atol, names)
    record.cases += 1
    if names == TWINS:
        record.rtol, record.atol = max(record.rtol, rtol), max(record.atol, atol)
        if found.worst > record.worst:
            record.worst, record.worst_at = found.worst, found.worst_at
    if found.report:
        raise NotEquivalentError(found.report, built, used, rtol, atol)


def differences(
    built: object, used: object, rtol: float = RTOL, atol: float = ATOL, *, names: tuple[str, str] = TWINS
) -> str:
    """What `assert_equivalent` would report, or an empty string where the two agree."""
    return compare_values(built, used, rtol, atol, names).report


def compare_values(
    built: object, used: object, rtol: float = RTOL, atol: float = ATOL, names: tuple[str, str] = TWINS
) -> Comparison:
    """Compare as `assert_equivalent` does, and return what there is to say."""
    left, right = _plain(built), _plain(used)
    walk = _Walk(rtol, atol, names)
    found = next(walk.values(left, right, ""), None)
    if found is None:
        return Comparison("", walk.worst, walk.worst_at)
    report = f"{found.path or 'the value'}: {found.message}"
    if isinstance(left, dict) and isinstance(right, dict):
        agreed = _last_agreed(left, right, rtol, atol)
        report += f"\nlast that agreed: {agreed}" if agreed else "\nit is the first value compared"
    return Comparison(report, walk.worst, walk.worst_at)


def assert_same_error(call: Callable[[Any], object], build_it: ModuleType, use_it: ModuleType) -> None:
    """Assert that `call` raises ``ValueError`` with a message on either twin: ``lambda twin: twin.fit([], [])``."""
    record.cases += 1
    for twin in (build_it, use_it):
        name = twin.__name__.rpartition(".")[2]
        try:
            result = call(twin)
        except ValueError as error:
            assert str(error), f"{name} raised ValueError without a word on what was expected and what came"
        except Exception as error:
            raise AssertionError(f"{name} should raise ValueError and raised {error!r}") from error
        else:
            raise AssertionError(f"{name} should raise ValueError and returned {result!r}")


def numerical_gradient(function: Callable[[Any], float], at: Any, step: float = 1e-6) -> Any:
    """The gradient of `function` by central differences, the witness that neither twin wrote.

    Args:
        function: takes a nested list of floats and returns a number; it may keep no state.
        at: the nested list; left unchanged.
        step: h in (f(x + h) - f(x - h)) / 2h. The error is O(h²) plus rounding of about 1e-16 |f| / h: with h = 1e-6
            expect an absolute error near 1e-10 |f| and compare with ``rtol=1e-5, atol=1e-7`` or so.

    Returns:
        A nested list of the same shape.
    """

    def derivative(path: tuple[int, ...]) -> float:
        values = []
        for sign in (1, -1):
            moved = copy.deepcopy(at)
            inner = moved
            for index in path[:-1]:
                inner = inner[index]
            inner[path[-1]] += sign * step
            values.append(function(moved))
        return (values[0] - values[1]) / (2 * step)

    def walk(value: Any, path: tuple[int, ...]) -> Any:
        if isinstance(value, Sequence):
            return [walk(item, (*path, i)) for i, item in enumerate(value)]
        return derivative(path)

    if not isinstance(at, Sequence):
        return (function(at + step) - function(at - step)) / (2 * step)
    return walk(at, ())


def _plain(value: Any) -> Any:
    """Arrays, tensors and dataclasses as nested lists and dicts."""
    if hasattr(value, "tolist"):
        return value.detach().tolist() if hasattr(value, "detach") else value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, float):
        return float.__float__(value)  # a subclass may have an == of its own
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return value


def _shape(value: Any) -> tuple[int, ...] | None:
    """The shape of a rectangular nested list; None where it is ragged."""
    if not isinstance(value, list):
        return ()
    shapes = {_shape(item) for item in value}
    if len(shapes) > 1 or None in shapes:
        return None
    return (len(value), *(shapes.pop() if shapes else ()))  # type: ignore[misc]  # None is excluded above


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | complex) and not isinstance(value, bool)


class _Walk:
    def __init__(self, rtol: float, atol: float, names: tuple[str, str]) -> None:
        self.rtol, self.atol, self.names = rtol, atol, names
        self.worst, self.worst_at = 0.0, ""

    def values(self, a: Any, b: Any, path: str) -> Iterator[Difference]:
        if _is_number(a) and _is_number(b):
            yield from self.number(a, b, path)
        elif isinstance(a, list) and isinstance(b, list):
            yield from self.sequence(a, b, path)
        elif isinstance(a, dict) and isinstance(b, dict):
            only = [
                f"only {name} has {[key for key in one if key not in other]}"
                for name, one, other in zip(self.names, (a, b), (b, a), strict=True)
                if set(one) - set(other)
            ]
            if only:
                yield Difference(path, ", ".join(only))
                return
            for key in a:
                yield from self.values(a[key], b[key], f"{path}.{key}" if path else str(key))
        elif type(a) is not type(b):
            yield Difference(path, self.both(a, b, f"{type(a).__name__} against {type(b).__name__}"))
        elif a != b:
            yield Difference(path, self.both(a, b))

    def sequence(self, a: list[Any], b: list[Any], path: str) -> Iterator[Difference]:
        shapes = _shape(a), _shape(b)
        deeper = len(a) == len(b) and shapes[0] and shapes[1] and len(shapes[0]) == len(shapes[1]) > 2
        if not deeper and (len(a) != len(b) or shapes[0] != shapes[1]):  # of many matrices, the first is looked at
            shown = [
                f"shape {shape}" if shape is not None else f"{len(x)} items"
                for shape, x in zip(shapes, (a, b), strict=True)
            ]
            message = f"{self.names[0]} has {shown[0]}, {self.names[1]} {shown[1]}"
            if shapes[0] is not None and shapes[1] is not None and len(shapes[0]) == 2 and shapes[0] == shapes[1][::-1]:
                message += ": one is the transpose of the other"
            yield Difference(path, message)
            return
        items = (found for i, pair in enumerate(zip(a, b, strict=True)) for found in self.values(*pair, f"{path}[{i}]"))
        first = next(items, None)
        if first is None:
            return
        shape = shapes[0]
        if shape is not None and len(shape) == 2 and shape[0] == shape[1] > 1:
            columns = [list(column) for column in zip(*b, strict=True)]
            if not any(differences(*pair, self.rtol, self.atol) for pair in zip(a, columns, strict=True)):
                yield Difference(
                    path, f"{first.message}; shape {shape} is right, but one is the transpose of the other"
                )
                return
        yield first
        yield from items

    def number(self, a: Any, b: Any, path: str) -> Iterator[Difference]:
        if a == b:
            return
        if isinstance(a, int) and isinstance(b, int):  # labels and counts have no rounding to forgive
            yield Difference(path, self.both(a, b))
            return
        if not (cmath.isfinite(a) and cmath.isfinite(b)):
            if not (cmath.isnan(a) and cmath.isnan(b)):
                self.worst, self.worst_at = math.inf, path
                yield Difference(path, self.both(a, b))
            return
        size, apart = max(abs(a), abs(b)), abs(a - b)
        allowed = self.atol + self.rtol * size
        # at most rtol exactly where apart <= allowed
        relative = apart / (size + (self.atol / self.rtol if self.rtol else 0.0))
        if relative > self.worst:
            self.worst, self.worst_at = relative, path
        if apart > allowed:
            yield Difference(path, self.both(a, b, f"{apart:.1e} apart, allowed {allowed:.0e}"))

    def both(self, a: Any, b: Any, why: str = "") -> str:
        return f"{self.names[0]} {a!r}, {self.names[1]} {b!r}" + (f" ({why})" if why else "")


def _last_agreed(a: dict[Any, Any], b: dict[Any, Any], rtol: float, atol: float) -> str | None:
    last = None
    for key, value in a.items():
        if key not in b or differences(value, b[key], rtol, atol):
            return last
        last = str(key)
    return last
