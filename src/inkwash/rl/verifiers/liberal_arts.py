"""Liberal arts: equality of the texts; what is not equal is left to a judge."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.normalization import same_text
from inkwash.rl.verifiers.verdict import Verdict, Verifier


@dataclass(frozen=True, kw_only=True)
class LiberalArts(Verifier):
    """The domain `liberal_arts`."""

    def decide(self, answer: str, wanted: str) -> Verdict:
        return Verdict.right("equal") if same_text(answer, wanted) else Verdict.undecided("unequal")
