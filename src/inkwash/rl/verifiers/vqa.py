"""Questions about a picture: equality of the short answers; what is not equal is left to a judge."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.normalization import same_text
from inkwash.rl.verifiers.verdict import Verdict, Verifier


@dataclass(frozen=True, kw_only=True)
class Vqa(Verifier):
    """The domain `vqa`."""

    def decide(self, answer: str, wanted: str) -> Verdict:
        return Verdict.right("equal") if same_text(answer, wanted) else Verdict.undecided("unequal")
