"""Questions about several pictures: equality and numbers."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.normalization import same_text
from inkwash.rl.verifiers.numbers import compare_numbers
from inkwash.rl.verifiers.verdict import Verdict, Verifier


@dataclass(frozen=True, kw_only=True)
class MultiImage(Verifier):
    """The domain `multi_image`, which in the paper was hacked by "a correct number between 0 and 10"."""

    sympy_tolerance: float = 1e-6

    def decide(self, answer: str, wanted: str) -> Verdict:
        if same_text(answer, wanted):
            return Verdict.right("equal")
        return compare_numbers(answer, wanted, self.sympy_tolerance) or Verdict.undecided("unequal")
