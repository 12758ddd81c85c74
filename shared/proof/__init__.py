"""Compare the twins: what a lesson's ``test_equivalence.py`` imports.

The proof of a lesson is ordinary pytest with Hypothesis; this package adds the comparison (`assert_equivalent`),
the comparison of errors (`assert_same_error`), a third witness for derivatives (`numerical_gradient`) and
generators of inputs (`shared.proof.strategies`).
"""

from shared.proof.equivalence import assert_equivalent, assert_same_error, differences, numerical_gradient
from shared.proof.settings import examples

__all__ = ["assert_equivalent", "assert_same_error", "differences", "examples", "numerical_gradient"]
