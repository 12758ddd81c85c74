r"""Formulas in LaTeX as text in Unicode: ``\sum_{i=1}^n x_i^2`` is ``∑ᵢ₌₁ⁿ xᵢ²``.

pylatexenc knows the symbols; here are sub- and superscripts, fractions, and tidy spaces around operators.
"""

import re
from functools import cache
from typing import Any

from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec, get_default_latex_context_db  # type: ignore[import-untyped]
from pylatexenc.latexwalker import LatexWalker  # type: ignore[import-untyped]
from pylatexenc.latexwalker import get_default_latex_context_db as get_default_walker_context_db
from pylatexenc.macrospec import MacroSpec  # type: ignore[import-untyped]

_SUPERSCRIPTS = dict(zip("0123456789+-=()⊤'∗", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵀ′*", strict=True)) | dict(
    zip("abcdefghijklmnoprstuvwxyzTβγδφχ", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵀᵝᵞᵟᵠᵡ", strict=True)
)
_SUBSCRIPTS = dict(zip("0123456789+-=()aehijklmnoprstuvxβγρφχ", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ", strict=True))
_ATOM = re.compile(rf"\d[\d.]*|∂?[^\W\d_][̂-̅]?[{re.escape(''.join([*_SUPERSCRIPTS.values(), *_SUBSCRIPTS.values()]))}]*")
_SCRIPT = re.compile(r"(?<!\\)([\^_])\s*(?:(?=\{)|(\\[A-Za-z]+(?:\{[^{}]*\})?|[^\s{}]))")
_CASES = re.compile(r"\\begin\{cases\}(.*?)\\end\{cases\}", re.DOTALL)
_RELATIONS = "=≈≠≤≥<>∈∉→←↦⇒⇔∝≡∼≪≫"
_SPACED = re.compile(rf"\s*([{_RELATIONS}·×⊙∘])\s*")


def unicode_text(latex: str) -> str:
    """`latex`, without its dollars, as text; aligned equations stay one to a line."""
    latex = _CASES.sub(lambda match: r"\{\," + match[1].replace(r"\\", ";").replace("&", r",\ ") + r"\,\}", latex)
    latex = _SCRIPT.sub(lambda m: rf"\t{'sup' if m[1] == '^' else 'sub'}" + (f"{{{m[2]}}}" if m[2] else ""), latex)
    latex = re.sub(r"\\(?:displaystyle|limits|nonumber|left\.|right\.)(?![A-Za-z])|\\tag\{[^{}]*\}", "", latex)
    walker, writer = _pylatexenc()
    nodes = LatexWalker(latex, latex_context=walker).get_latex_nodes()[0]
    lines = [_tidy(line) for line in writer.nodelist_to_text(nodes).split("\n")]
    return _aligned([line for line in lines if line])


def _aligned(lines: list[str]) -> str:
    """Lines that begin with a relation stand below the first line's."""
    columns = [lines[0].find(f" {sign} ") for sign in _RELATIONS if f" {sign} " in lines[0]] if lines else []
    indent = " " * (min(columns, default=1) + 1)
    return "\n".join(indent + line if i and line[0] in _RELATIONS else line for i, line in enumerate(lines))


def _tidy(line: str) -> str:
    line = re.sub(r"\s+", " ", _SPACED.sub(r" \1 ", line)).strip()
    return re.sub(r"(?<=[(\[‖]) | (?=[)\],;])", "", line)


def _script(table: dict[str, str], sign: str) -> Any:
    def write(node: Any, l2tobj: Any) -> str:
        text = l2tobj.node_to_text(node.nodeargd.argnlist[0]).strip()
        small = text.replace(" ", "")
        if all(character in table for character in small):
            return "".join(table[character] for character in small)
        return f"{sign}{text}" if len(text) == 1 else f"{sign}({text})"

    return write


def _fraction(node: Any, l2tobj: Any) -> str:
    above, below = (_tidy(l2tobj.node_to_text(argument)) for argument in node.nodeargd.argnlist[:2])
    return f"{_grouped(above)}/{below if _ATOM.fullmatch(below) else f'({below})'} "


def _grouped(text: str) -> str:
    """In brackets if it is a sum, a difference or a relation outside of brackets."""
    depth, bare = 0, ""
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        bare += character if depth == 0 else ""
    return f"({text})" if re.search(rf"[+∑∏{_RELATIONS}]|(?<!^)-|−", bare) else text


def _content(node: Any, l2tobj: Any) -> str:
    return str(l2tobj.node_to_text(node.nodeargd.argnlist[-1]))


@cache
def _pylatexenc() -> tuple[Any, LatexNodes2Text]:
    """The parser's and the writer's tables, with what is written otherwise here."""
    walker = get_default_walker_context_db()
    walker.add_context_category(
        "twice", macros=[MacroSpec("tsup", "{"), MacroSpec("tsub", "{"), MacroSpec("boldsymbol", "{")], prepend=True
    )
    text = get_default_latex_context_db()
    macros = [
        MacroTextSpec("tsup", _script(_SUPERSCRIPTS, "^")),
        MacroTextSpec("tsub", _script(_SUBSCRIPTS, "_")),
        *(MacroTextSpec(name, _fraction) for name in ("frac", "tfrac", "dfrac")),
        *(MacroTextSpec(name, _content) for name in ("mathbf", "boldsymbol", "mathrm", "mathcal")),
    ]
    text.add_context_category("twice", macros=macros, prepend=True)
    return walker, LatexNodes2Text(latex_context=text, math_mode="text")
