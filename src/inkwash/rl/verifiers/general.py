"""Any other question: equality of the texts; what is not equal is left to a judge."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.normalization import same_text
from inkwash.rl.verifiers.verdict import Verdict, Verifier


@dataclass(frozen=True, kw_only=True)
class General(Verifier):
    """The domain `general`. The released configuration gives no box here, so the whole answer counts without one."""

    strict_boxed_extraction: bool = False

    def decide(self, answer: str, wanted: str) -> Verdict:
        return Verdict.right("equal") if same_text(answer, wanted) else Verdict.undecided("unequal")
