"""Questions about a long document: equality, numbers; the rest is left to a judge (arXiv 2507.01006)."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.normalization import same_text
from inkwash.rl.verifiers.numbers import compare_numbers
from inkwash.rl.verifiers.verdict import Verdict, Verifier


@dataclass(frozen=True, kw_only=True)
class LongDoc(Verifier):
    """The domain `long_doc`: configured in the public system, which has no verifier for it."""

    def decide(self, answer: str, wanted: str) -> Verdict:
        if same_text(answer, wanted):
            return Verdict.right("equal")
        return compare_numbers(answer, wanted, 1e-6) or Verdict.undecided("unequal")
