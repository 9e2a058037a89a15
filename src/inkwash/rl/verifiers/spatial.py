"""Spatial reasoning: equality, numbers and expressions; the rest is left to a judge (arXiv 2507.01006)."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.math import same_mathematics
from inkwash.rl.verifiers.normalization import same_text
from inkwash.rl.verifiers.verdict import Verdict, Verifier


@dataclass(frozen=True, kw_only=True)
class Spatial(Verifier):
    """The domain `spatial` of the paper, absent from the public system."""

    sympy_tolerance: float = 1e-6

    def decide(self, answer: str, wanted: str) -> Verdict:
        if same_text(answer, wanted):
            return Verdict.right("equal")
        return same_mathematics(answer, wanted, self.sympy_tolerance)
