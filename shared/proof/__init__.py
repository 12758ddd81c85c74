"""Compare the twins: what a lesson's ``test_equivalence.py`` imports.

The proof of a lesson is ordinary pytest with Hypothesis; this package adds the comparison (`assert_equivalent`),
the comparison of errors (`assert_same_error`), a third witness for derivatives (`numerical_gradient`) and
generators of inputs (`shared.proof.strategies`).
"""

from typing import TYPE_CHECKING, Any

from shared.proof.equivalence import assert_equivalent, assert_same_error, differences, numerical_gradient

if TYPE_CHECKING:
    from shared.proof.settings import examples

__all__ = ["assert_equivalent", "assert_same_error", "differences", "examples", "numerical_gradient"]


def __getattr__(name: str) -> Any:
    if name == "examples":  # needs Hypothesis, which commands that only compare do without
        from shared.proof.settings import examples  # noqa: PLC0415

        return examples
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
