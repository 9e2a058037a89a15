"""Mathematics: equality, then numbers, then expressions that are equal."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.equivalence import equivalent
from inkwash.rl.verifiers.normalization import same_text
from inkwash.rl.verifiers.numbers import compare_numbers
from inkwash.rl.verifiers.verdict import Verdict, Verifier


@dataclass(frozen=True, kw_only=True)
class Math(Verifier):
    """The domain `math` of the public reward system, whose numeric rule fails on every number."""

    sympy_tolerance: float = 1e-6  # relative; the name of the public configuration

    def decide(self, answer: str, wanted: str) -> Verdict:
        return same_mathematics(answer, wanted, self.sympy_tolerance)


def same_mathematics(answer: str, wanted: str, tolerance: float) -> Verdict:
    """Equal texts, numbers or expressions; what is not shown to be equal is left to a judge."""
    if same_text(answer, wanted, case=True):
        return Verdict.right("equal")
    number = compare_numbers(answer, wanted, tolerance)
    if number is not None:
        return number
    if equivalent(answer, wanted, tolerance):
        return Verdict.right("equivalent")
    return Verdict.undecided("unequal", "no rule shows that the answer equals the wanted one")
