"""Faults that people really make, put into a text in place: `twice break` asks a learner to find one.

Mutation testing (``shared.proof.mutants``) wants every small change, and prints a tree anew; here a change must look
like somebody's slip, in a file whose comments and layout are still the reference's. Both walk over the same ``sites``.
"""

import ast
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from posixpath import commonprefix

from shared.proof.interface import GIVEN
from shared.proof.sites import Way, sites

KINDS = (
    "a flipped sign",
    "a wrong index",
    "a transposed operand",
    "a wrong axis",
    "a missing term",
    "a stale value",
    "a wrong comparison",
    "a wrong constant",
    "a wrong variable",
    "min for max",
)
_SIGN, _INDEX, _OPERAND, _AXIS, _TERM, _STALE, _COMPARISON, _CONSTANT, _VARIABLE, _EXTREME = KINDS

Edit = tuple[int, int, bytes]  # from, to (positions of bytes in the text), what comes there
Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp

_SIGNS: dict[type[ast.operator], str] = {ast.Add: "-", ast.Sub: "+"}
_EDGES: dict[type[ast.cmpop], str] = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}
_AXES = {0: "1", 1: "0", -1: "0", -2: "-1"}
_CONSTANTS = {0: 1, 2: 1, 8: 4, 0.5: 1}
_ALIKE = [*map(set, ("ijk", "xyz", "ab", "mn", "uvw", "pq", "XYZ", "AB")), {"self", "other"}, {"left", "right"}]
_TAKES_AN_AXIS = re.compile(
    r"sum|mean|a?max|a?min|arg\w+|(log_)?softmax|(un)?squeeze|transpose|cat|stack|concat\w*|norm"
)
_UNDONE = {"sqrt", "abs", "reversed", "transpose", "_transpose"}  # f(x), of which one forgets the f
# Between two operands: the brackets that close the left one, the operator, the brackets that open the right one.
_BETWEEN = re.compile(rb"([\s)]*?)\s*(\*\*|//|[-+*/%@]|[<>]=?)\s*([\s(]*)")


@dataclass(frozen=True)
class Fault:
    """One slip in a text.

    Attributes:
        kind: one of `KINDS`.
        line: where it begins, from 1.
        function: the function or method that it is in: ``fit``, ``Tensor.backward``, ``_dot``.
        original: the text without it.
        edits: what to change, as positions of bytes in UTF-8.
    """

    kind: str
    line: int
    function: str
    original: str
    edits: tuple[Edit, ...]

    @property
    def source(self) -> str:
        """The whole text with the fault in it."""
        return _edited(self.original.encode(), self.edits).decode()


def faults(source: str) -> list[Fault]:
    """Every fault that can be put into `source`, by line; each leaves valid code, and no two give the same text.

    Only what computes is touched: no signature, no check of input, no message, no helper marked ``# given``. Whether a
    fault changes a result, only tests can say.
    """
    text = _Text(source)
    found: dict[bytes, Fault] = {}
    for way, node in sites(text.tree):
        place = _Place(text, way, node)
        if not place.computes:
            continue
        for kind, edits in _slips(place):
            if edits and (tidy := _tidied(place, edits)) is not None:
                key = _edited(text.raw, tidy)
                line = text.raw.count(b"\n", 0, min(tidy)[0]) + 1
                found.setdefault(key, Fault(kind, line, place.path, source, tuple(tidy)))
    return sorted(found.values(), key=lambda fault: fault.line)


def _edited(raw: bytes, edits: Iterable[Edit]) -> bytes:
    for start, end, new in sorted(edits, reverse=True):
        raw = raw[:start] + new + raw[end:]
    return raw


class _Text:
    """A source with its tree, and what part of it each node is."""

    def __init__(self, source: str) -> None:
        self.raw, self.tree = source.encode(), ast.parse(source)
        self.starts = [0, *itertools.accumulate(map(len, self.raw.splitlines(keepends=True)))]
        self.functions = {node.name: node for node in self.tree.body if isinstance(node, Function)}
        self.guards = {name for name, function in self.functions.items() if _is_guard(function)}
        self._checks: dict[ast.AST, set[ast.AST]] = {}

    @cached_property
    def parameters(self) -> dict[str, list[str]]:
        """The types of the parameters of each function, and of the fields of each dataclass, as written."""
        found = {}
        for node in self.tree.body:
            if isinstance(node, Function):
                found[node.name] = [argument.annotation for argument in node.args.args]
            elif isinstance(node, ast.ClassDef):
                found[node.name] = [field.annotation for field in node.body if isinstance(field, ast.AnnAssign)]
        return {name: [self.of(kind) if kind else "" for kind in kinds] for name, kinds in found.items()}

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Its first byte and the one after its last; brackets around it are not its own."""
        at = node.__dict__  # ast.AST itself has no position
        start, end = self.starts[at["lineno"] - 1], self.starts[at["end_lineno"] - 1]
        return start + at["col_offset"], end + at["end_col_offset"]

    def of(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.raw[start:end].decode()

    def lines(self, node: ast.AST) -> tuple[int, int]:
        """The first byte of its first line, and the one after its last line."""
        return self.starts[node.__dict__["lineno"] - 1], self.starts[node.__dict__["end_lineno"]]

    def replaced(self, node: ast.AST, new: str | ast.AST) -> list[Edit]:
        text = new if isinstance(new, str) else self.of(new)
        return [(*self.span(node), text.encode())]

    def exchanged(self, one: ast.AST, other: ast.AST) -> list[Edit]:
        return self.replaced(one, other) + self.replaced(other, one)

    def operator(self, left: ast.AST, right: ast.AST) -> tuple[int, int, int, int] | None:
        """Where the left operand ends, the operator begins and ends, and the right one begins; brackets are theirs."""
        start, end = self.span(left)[1], self.span(right)[0]
        match = _BETWEEN.fullmatch(self.raw, start, end)  # None where a comment or a backslash stands between them
        return (start + len(match[1].rstrip()), *match.span(2), end - len(match[3].lstrip())) if match else None

    def checks(self, function: Function) -> set[ast.AST]:
        """The statements of `function` that only judge its input, and those that only prepare such a judgement."""
        if function not in self._checks:
            checks = {node for node in ast.walk(function) if self._judges(node)}
            assigned = [
                node for node in ast.walk(function) if isinstance(node, ast.Assign | ast.AugAssign) and _names(node)
            ]
            while True:
                inside = {inner for check in checks for inner in ast.walk(check)}
                used = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and _loads(n) and n not in inside}
                more = {node for node in assigned if node not in checks and not used & _names(node)}
                if not more:
                    break
                checks |= more
            self._checks[function] = checks
        return self._checks[function]

    def _judges(self, node: ast.AST) -> bool:
        match node:
            case ast.If(body=[*_, ast.Raise()], orelse=[]) | ast.Assert() | ast.ExceptHandler():
                return True
            case ast.For(body=body) if all(map(self._judges, body)):
                return True
            case ast.Expr(ast.Call(ast.Name(name))) if name in self.guards:
                return True
        return False


def _is_guard(function: Function) -> bool:
    """Whether it returns nothing and may raise: a check of input."""
    inside = list(ast.walk(function))
    returns = any(isinstance(node, ast.Return | ast.Yield) and node.value for node in inside)
    return not returns and any(isinstance(node, ast.Raise) for node in inside)


def _loads(node: ast.Name | ast.Attribute | ast.Subscript) -> bool:
    return isinstance(node.ctx, ast.Load)


def _names(node: ast.AST) -> set[str]:
    """The plain names that an assignment gives a value; none where it also stores into an object."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    stored = [n for target in targets for n in ast.walk(target) if isinstance(getattr(n, "ctx", None), ast.Store)]
    if any(isinstance(n, ast.Attribute | ast.Subscript) for n in stored):
        return set()
    return {n.id for n in stored if isinstance(n, ast.Name)}


class _Place:
    """A node with all that is around it."""

    def __init__(self, text: _Text, way: Way, node: ast.AST) -> None:
        self.text, self.node, self.steps = text, node, []
        above: ast.AST = text.tree
        for field, index in way:
            self.steps.append((above, field, index))
            above = getattr(above, field) if index is None else getattr(above, field)[index]
        self.functions = [n for n, *_ in [*self.steps, (node, "", None)] if isinstance(n, Function)]

    @property
    def outer(self) -> Function:
        """The function or method around; a function within it does not count."""
        return self.functions[0]

    @property
    def checks(self) -> set[ast.AST]:
        return self.text.checks(self.outer)

    @property
    def parent(self) -> ast.AST:
        return self.steps[-1][0]

    @property
    def in_index(self) -> bool:
        """Whether it is part of what stands in square brackets."""
        return any(isinstance(node, ast.Subscript) and field == "slice" for node, field, _ in self.steps)

    @property
    def path(self) -> str:
        """``fit`` or ``Tensor.backward``: a function within belongs to the one around it."""
        above = itertools.takewhile(lambda node: node is not self.outer, (node for node, *_ in self.steps))
        return ".".join([*(n.name for n in above if isinstance(n, ast.ClassDef)), self.outer.name])

    @property
    def computes(self) -> bool:
        """Whether it is in the body of a function that is the learner's to write, and is no check of input."""
        signature = any(isinstance(node, Function) and field != "body" for node, field, _ in self.steps)
        if not self.functions or signature:
            return False
        around = [node for node, *_ in self.steps if isinstance(node, Function | ast.ClassDef)]
        heads = [self.text.raw[self.text.lines(n)[0] : self.text.span(n.body[0])[0]].decode() for n in around]
        if any(GIVEN in head for head in heads) or self.outer.name in self.text.guards:
            return False
        return self.node not in self.checks and not any(node in self.checks for node, *_ in self.steps)

    def is_step(self, statement: ast.stmt) -> bool:
        """Whether it computes something, on lines of its own."""
        text = self.text
        alone = not text.raw[text.lines(statement)[0] : text.span(statement)[0]].strip()
        call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
        return alone and (call or isinstance(statement, ast.Assign | ast.AugAssign)) and statement not in self.checks

    def dump(self, edits: list[Edit]) -> str | None:
        """The tree of the function around, as text, with `edits` in it; None where it is no Python."""
        text, outer = self.text, self.outer
        start, end = text.lines(outer)
        changed = _edited(text.raw[start:end], [(a - start, b - start, new) for a, b, new in edits])
        try:
            return ast.dump(ast.parse(b"if True:\n" * bool(outer.col_offset) + changed))
        except SyntaxError:
            return None

    def known(self) -> list[set[str]]:
        """The names that have a value here, in the groups in which they got it: ``for m, g in zip(…)`` is one."""
        here, groups = self.node.__dict__["lineno"], []
        for node, field, _ in self.steps:
            if isinstance(node, Function | ast.Lambda):
                groups += [{argument.arg} for argument in ast.walk(node.args) if isinstance(argument, ast.arg)]
            if isinstance(node, Function):
                for inner in _own(node):
                    if isinstance(inner, ast.Assign | ast.For) and inner.lineno < here:
                        targets = inner.targets if isinstance(inner, ast.Assign) else [inner.target]
                        groups += [_stored(target) for target in targets]
            elif isinstance(node, _Comprehension) and field != "generators":
                groups += [_stored(generator.target) for generator in node.generators]
        return groups


def _own(function: Function) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions in it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        yield (node := waiting.pop(0))
        if not isinstance(node, Function | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _stored(target: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name) and not _loads(node)}


def _alike(one: str, other: str) -> bool:
    """Names that one writes for each other: ``mean_x`` and ``mean_y``, ``dx`` and ``dy``, ``i`` and ``j``."""
    if any(one in group and other in group for group in _ALIKE):
        return True
    if min(len(one), len(other)) == 1 or f"{one}s" == other or f"{other}s" == one:
        return False
    start = len(commonprefix([one, other]))
    end = len(commonprefix([one[start:][::-1], other[start:][::-1]]))
    apart = max(len(one), len(other)) - start - end
    return start + end >= 2 * apart or len(one) == len(other) == 2


# --- the slips, each as (kind, edits) -----------------------------------------------------------------------------

Slips = Iterator[tuple[str, list[Edit]]]


def _slips(place: _Place) -> Slips:
    node, text = place.node, place.text
    match node:
        case ast.BinOp():
            yield from _operation(place, node)
        case ast.UnaryOp(ast.USub(), operand) if not place.in_index:
            yield _SIGN, text.replaced(node, operand)
        case ast.AugAssign():
            yield from _accumulation(place, node)
        case ast.Compare(left, [op], [right]) if type(op) in _EDGES:
            if found := text.operator(left, right):
                yield _COMPARISON, [(found[1], found[2], _EDGES[type(op)].encode())]
        case ast.Subscript() if _loads(node):
            yield from _subscript(place, node)
        case ast.Call():
            yield from _call(place, node)
        case ast.Name() if _loads(node):
            yield from _name(place, node)
        case ast.Attribute(ast.Name(owner), name) if _loads(node):
            used = {text.of(n) for n in ast.walk(place.outer) if isinstance(n, ast.Attribute)}
            for other in sorted(attribute.removeprefix(f"{owner}.") for attribute in used):
                if f"{owner}.{other}" in used and (other.endswith(f"_{name}") or name.endswith(f"_{other}")):
                    yield _VARIABLE, text.replaced(node, f"{owner}.{other}")
        case ast.Constant(bool() | str() | bytes() | None):
            pass
        case ast.Constant(int() | float() as value) if value in _CONSTANTS and not place.in_index:
            if value == 2 and isinstance(place.parent, ast.BinOp) and isinstance(place.parent.op, ast.Mult):
                return  # nobody writes 1 * x; leaving out the factor is a missing term
            yield _CONSTANT, text.replaced(node, str(type(value)(_CONSTANTS[value])))
        case ast.ListComp(ast.ListComp(_, [inner]), [outer]) if not _stored(outer.target) & _reads(inner.iter):
            yield _AXIS, text.exchanged(outer.iter, inner.iter)
        case ast.For() | ast.While() | ast.FunctionDef() | ast.If() | ast.With():
            yield from _statements(place, node.body)


def _name(place: _Place, node: ast.Name) -> Slips:
    """Another variable that is known here, and looks like this one or came together with it."""
    if isinstance(place.parent, ast.Call) and place.parent.func is node:
        return
    groups = place.known()
    known = set().union(*groups)
    for other in sorted(known - {node.id}) if node.id in known else ():
        together = any({node.id, other} <= group for group in groups) and abs(len(node.id) - len(other)) <= 1
        if _alike(node.id, other) or (together and not isinstance(place.parent, ast.Attribute)):
            yield _VARIABLE, place.text.replaced(node, other)


def _operation(place: _Place, node: ast.BinOp) -> Slips:
    text, sides = place.text, (node.left, node.right)
    found = text.operator(*sides)
    if not found or any(map(_is_sequence, sides)):
        return
    (start, end), (left_is_number, right_is_number) = text.span(node), (isinstance(s, ast.Constant) for s in sides)
    left, right = text.raw[start : found[0]], text.raw[found[3] : end]
    if type(node.op) in _SIGNS:
        yield _INDEX if place.in_index else _SIGN, [(found[1], found[2], _SIGNS[type(node.op)].encode())]
    if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow):
        kind = _INDEX if place.in_index else _TERM
        if not left_is_number:
            yield kind, [(start, end, left)]
        if isinstance(node.op, ast.Add | ast.Mult) and not right_is_number:
            yield kind, [(start, end, right)]
    of_one_rank = isinstance(node.left, ast.BinOp) and not left.startswith(b"(")
    if isinstance(node.op, ast.MatMult | ast.Sub | ast.Div) and not left_is_number and not of_one_rank:
        yield _OPERAND, [(start, found[0], right), (found[3], end, left)]


def _is_sequence(node: ast.AST) -> bool:
    """Whether ``+`` joins it and ``*`` repeats it, as far as one can see."""
    if isinstance(node, ast.BinOp):
        return _is_sequence(node.left) or _is_sequence(node.right)
    return isinstance(node, ast.List | ast.ListComp | ast.Tuple | ast.JoinedStr)


def _accumulation(place: _Place, node: ast.AugAssign) -> Slips:
    """`+=` that is a sign off, or that forgets what was there; a statement that is left out."""
    text = place.text
    found = re.compile(rb"\s*([-+*/]=)\s*\(?").match(text.raw, text.span(node.target)[1])
    if not found or isinstance(node.value, ast.List | ast.ListComp | ast.IfExp):
        return
    if type(node.op) in _SIGNS:
        yield _SIGN, [(*found.span(1), _SIGNS[type(node.op)].encode() + b"=")]
        yield _STALE, [(*found.span(1), b"=")]
    if isinstance(node.op, ast.Mult | ast.Div):
        yield from ((_TERM, edits) for edits in _left_out(place, getattr(*place.steps[-1][:2]), node))


def _subscript(place: _Place, node: ast.Subscript) -> Slips:
    text, index = place.text, node.slice
    of_shape = _AXIS if re.search(r"(shape|sizes)$", text.of(node.value)) else _INDEX
    match index:
        case ast.Constant(int() as value) if not isinstance(place.parent, ast.Call):
            yield of_shape, text.replaced(index, str(1 - value if of_shape == _AXIS and value < 2 else value + 1))
        case ast.UnaryOp(ast.USub(), ast.Constant(int() as value)):
            yield of_shape, text.replaced(index, "0" if value == 1 else str(1 - value))
        case ast.Name(name) if len(name) == 1:
            yield _INDEX, text.replaced(index, f"{name} - 1")
        case ast.Slice(None, None, ast.UnaryOp(ast.USub(), ast.Constant(1))):
            yield _INDEX, text.replaced(node, node.value)  # one forgets to reverse
        case ast.Slice(lower, upper, _):
            if isinstance(lower, ast.Constant | ast.UnaryOp):
                yield _INDEX, text.replaced(lower, "")
            if isinstance(upper, ast.Constant | ast.UnaryOp):
                yield _INDEX, text.replaced(upper, "")
            elif isinstance(upper, ast.Name | ast.BinOp):
                yield _INDEX, text.replaced(upper, f"{'' if lower else ' '}{text.of(upper)} - 1")
    match node:
        case ast.Subscript(ast.Subscript(_, ast.Name() | ast.BinOp() as i), ast.Name() | ast.BinOp() as j):
            yield _OPERAND, text.exchanged(i, j)


def _call(place: _Place, node: ast.Call) -> Slips:
    text, arguments = place.text, node.args
    name = node.func.attr if isinstance(node.func, ast.Attribute) else text.of(node.func)
    if name in ("min", "max"):
        yield _EXTREME, text.replaced(node.func, "max" if name == "min" else "min")
    if name == "range":
        yield from ((_INDEX, edits) for edits in _ranges(text, arguments))
    typed = zip(arguments, text.parameters.get(name, ()), strict=False)
    for (first, kind), (second, same) in itertools.combinations(typed, 2):
        if kind == same and kind:
            yield _OPERAND, text.exchanged(first, second)
    for keyword in node.keywords:
        if keyword.arg in ("axis", "dim"):
            yield from _axis(text, keyword.value)
    if isinstance(node.func, ast.Attribute) and _TAKES_AN_AXIS.fullmatch(name):
        for argument in arguments:
            yield from _axis(text, argument)
    for one, other in (("row", "column"), ("column", "row")):
        if name.replace(one, other) in text.functions and one in name and isinstance(node.func, ast.Name):
            yield _AXIS, text.replaced(node.func, name.replace(one, other))
    match node:
        case ast.Call(ast.Attribute(), [ast.Constant() as first, ast.Constant() as second], []):
            yield _OPERAND, text.exchanged(first, second)
        case ast.Call(ast.Name("zip"), [ast.Starred(value)]):
            yield _OPERAND, text.replaced(node, value)
        case ast.Call(ast.Name("map"), [ast.Name("add" | "mul"), first, second]):
            yield _TERM, text.replaced(node, first)
            yield _TERM, text.replaced(node, second)
        case ast.Call(ast.Name("sum"), [first, second]):
            yield _TERM, [(text.span(first)[1], text.span(second)[1], b"")]
        case ast.Call(ast.Name("len"), [ast.Subscript(value, ast.Constant(0))]):
            yield _AXIS, text.replaced(arguments[0], value)
        case ast.Call(ast.Name("len"), [ast.Name(rows)]) if f"{rows}[0]" in text.of(place.outer):
            yield _AXIS, text.replaced(arguments[0], f"{rows}[0]")
        case ast.Call(_, [first], []) if name in _UNDONE:
            kind = _OPERAND if "transpose" in name else _INDEX if name == "reversed" else _TERM
            yield kind, text.replaced(node, first)


def _ranges(text: _Text, arguments: Sequence[ast.expr]) -> Iterator[list[Edit]]:
    """A range that begins or ends one off."""
    end = arguments[min(len(arguments), 2) - 1]
    if not isinstance(end, ast.BinOp):
        yield text.replaced(end, f"{text.of(end)} - 1")
    if len(arguments) > 1 and isinstance(arguments[0], ast.Name | ast.Constant):
        first = text.of(arguments[0])
        yield text.replaced(arguments[0], "1" if first == "0" else "0" if first == "1" else f"{first} + 1")


def _axis(text: _Text, node: ast.expr) -> Slips:
    value = ast.literal_eval(node) if isinstance(node, ast.Constant | ast.UnaryOp) else None
    if type(value) is int and value in _AXES:
        yield _AXIS, text.replaced(node, _AXES[value])


def _statements(place: _Place, block: list[ast.stmt]) -> Slips:
    """Two neighbours in the wrong order, and a reset that is left out, or done once where every round needs it."""
    text = place.text
    bound = set().union(*place.known())
    for one, other in itertools.pairwise(block):
        (a, b), (c, d) = text.lines(one), text.lines(other)
        unknown = _stores(one) & _reads(other) - bound  # Python itself would tell
        if all(map(place.is_step, (one, other))) and b == c and _depend(one, other) and not unknown:
            yield _STALE, [(a, b, text.raw[c:d]), (c, d, text.raw[a:b])]
        bound |= _stores(one)
    for statement in block:
        if isinstance(statement, ast.Expr) and re.search(r"\.(zero_grad|clear|reset)\(", text.of(statement)):
            yield from ((_STALE, edits) for edits in _left_out(place, block, statement))
    if isinstance(place.node, ast.For) and _RESET.fullmatch(text.of(block[0]).rpartition("= ")[2]):
        (start, end), before = text.lines(block[0]), text.lines(place.node)[0]
        outdented = b" " * place.node.col_offset + text.raw[start:end].lstrip()
        yield from ((_STALE, [(before, before, outdented), *edits]) for edits in _left_out(place, block, block[0]))


_RESET = re.compile(r"(0|0\.0|\[\]|\{\})(, (0|0\.0|\[\]|\{\}))*")


def _left_out(place: _Place, block: Sequence[ast.stmt], statement: ast.stmt) -> Iterator[list[Edit]]:
    """Leave out a statement of a block that has others."""
    if len(block) > 1 and place.is_step(statement):
        yield [(*place.text.lines(statement), b"")]


def _depend(one: ast.stmt, other: ast.stmt) -> bool:
    """Whether their order can matter: one uses what the other sets, or both call something that they share."""
    return bool(_stores(one) & _reads(other) or _stores(other) & _reads(one) or _calls(one) & _calls(other))


def _stores(node: ast.AST) -> set[str]:
    """What it sets: ``m``, ``p.data``, ``rows[k]``."""
    return {ast.unparse(n) for n in ast.walk(node) if isinstance(n, _PLACES) and not _loads(n)}


def _reads(node: ast.AST) -> set[str]:
    read = {ast.unparse(n) for n in ast.walk(node) if isinstance(n, _PLACES) and _loads(n)}
    return read | (_stores(node) if isinstance(node, ast.AugAssign) else set())


def _calls(node: ast.stmt) -> set[str]:
    """The methods that it calls, for order may matter to their objects; a call alone on its line is one of ``*``."""
    called = {
        ast.unparse(n.func) for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    }
    effects = {name for name in called if not name.startswith(("math.", "operator.")) and not name.endswith(_HARMLESS)}
    return effects | ({"*"} if isinstance(node, ast.Expr) and effects else set())


_PLACES = (ast.Name, ast.Attribute, ast.Subscript)
_HARMLESS = (".append", ".extend", ".add")


# --- from a slip to a fault ---------------------------------------------------------------------------------------


def _tidied(place: _Place, edits: list[Edit]) -> list[Edit] | None:
    """The edits without brackets that nothing needs any more; None where they change nothing, or break the syntax."""
    new = place.dump(edits)
    if new is None or new == place.dump([]):
        return None
    raw = place.text.raw
    edits = [_spaced(raw, edit) for edit in edits]
    while len(edits) == 1:
        ((start, end, text),) = edits
        tidier = []
        if raw[start - 1 : start] == b"(" and raw[end : end + 1] == b")":
            tidier = [(start - 1, end + 1, text)]
        elif text.startswith(b"(") and text.endswith(b")"):
            tidier = [(start, end, text[1:-1])]
        if not tidier or place.dump(tidier) != new:
            break
        edits = tidier
    return edits


def _spaced(raw: bytes, edit: Edit) -> Edit:
    """A slice between plain names stands without spaces, as a formatter writes it: ``x[i : i + n]``, ``x[i:n]``."""
    start, end, new = edit
    if re.fullmatch(rb"\w*", new):
        if (before := re.search(rb"(?<=\[)\w* ?: ?\Z", raw[:start])) and raw[end : end + 1] == b"]":
            return before.start(), end, before[0].replace(b" ", b"") + new
        if raw[start - 1 : start] == b"[" and (after := re.compile(rb" ?: ?(\w*)(?=\])").match(raw, end)):
            return start, after.end(), new + b":" + after[1]
    return edit
