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
    zip(
        "abcdefghijklmnoprstuvwxyzβγδφχABDEGHIJKLMNOPRTUVW",
        "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵝᵞᵟᵠᵡᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂ",
        strict=True,
    )
)
_SUBSCRIPTS = dict(zip("0123456789+-=()aehijklmnoprstuvxβγρφχ", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ", strict=True))
_SCRIPTS = "".join([*_SUPERSCRIPTS.values(), *_SUBSCRIPTS.values()])
_RELATIONS = "=≈≠≤≥<>∈∉→←↦⇒⇔⟹⟺∝≡∼≪≫"
_SPACED = re.compile(rf"\s*([{_RELATIONS}·×⊙∘])\s*")
# What may stand below a fraction bar without brackets: a number, a symbol with its scripts, a word, f(x).
_ATOM = re.compile(rf"\d[\d.]*|∂?[^\W\d_][̂-̅]?[{re.escape(_SCRIPTS)}]*|[A-Za-z]{{3,}}|(√|[A-Za-z]+)\([^()]*\)")
_GROUP = r"(\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})"
_CASES = re.compile(r"\\begin\{cases\}(.*?)\\end\{cases\}", re.DOTALL)
_NAMES = r"log|ln|exp|sin|cos|tanh|max|min|det|operatorname\{\w+\}"
_REWRITTEN = [
    (rf"\\underbrace\s*{_GROUP}\s*_", r"\1\\tnote"),
    (r"(?<!\\)\^\s*(?=\{)", r"\\tsup"),
    (r"(?<!\\)_\s*(?=\{)", r"\\tsub"),
    (r"(?<!\\)\^\s*(\\[A-Za-z]+(?:\{[^{}]*\})?|[^\s{}])", r"\\tsup{\1}"),
    (r"(?<!\\)_\s*(\\[A-Za-z]+(?:\{[^{}]*\})?|[^\s{}])", r"\\tsub{\1}"),
    (r"\\(?:displaystyle|limits|nonumber|left\.|right\.)(?![A-Za-z])|\\tag\{[^{}]*\}", ""),
    (r"\\l([vV]ert)\s*(.*?)\s*\\r\1(?![A-Za-z])", r"\\l\1{}\2\\r\1{}"),
    # LaTeX drops the space after a macro, and puts one of its own where these are
    (rf"(\\(?:{_NAMES}))\s*(?=[A-Za-z]|\\(?!left|big|Big|tsu)[A-Za-z])", r"\1\\ "),
    (r"(\\[A-Za-z]+)\s+(?=[-+/])", r"\1{} "),
]


def unicode_text(latex: str) -> str:
    """`latex`, without its dollars, as text, with a line for each line; what cannot be read stays as it is."""
    text = _CASES.sub(_on_one_line, latex)
    for pattern, instead in _REWRITTEN:
        text = re.sub(pattern, instead, text)
    walker, writer = _pylatexenc()
    try:
        text = writer.nodelist_to_text(LatexWalker(text, latex_context=walker).get_latex_nodes()[0])
    except Exception:  # whatever is in a formula, the lesson can still be read
        return latex.strip()
    return _aligned([line for line in map(_tidy, text.split("\n")) if line]) or latex.strip()


def _on_one_line(cases: re.Match[str]) -> str:
    return r"\{\, " + cases[1].replace(r"\\", ";").replace("&", ",") + r"\,\}"


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
    parsed = [("tsup", "{"), ("tsub", "{"), ("tnote", "{"), ("boldsymbol", "{"), ("tfrac", "{{"), ("dfrac", "{{")]
    walker.add_context_category("twice", macros=[MacroSpec(*macro) for macro in parsed], prepend=True)
    text = get_default_latex_context_db()
    macros = [
        MacroTextSpec("tsup", _script(_SUPERSCRIPTS, "^")),
        MacroTextSpec("tsub", _script(_SUBSCRIPTS, "_")),
        MacroTextSpec("tnote", " [%s]"),
        *(MacroTextSpec(name, _fraction) for name in ("frac", "tfrac", "dfrac")),
        *(MacroTextSpec(name, _content) for name in ("mathbf", "boldsymbol", "mathrm", "mathcal")),
    ]
    text.add_context_category("twice", macros=macros, prepend=True)
    return walker, LatexNodes2Text(latex_context=text, math_mode="text")
