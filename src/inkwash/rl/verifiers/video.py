"""Questions about a video: equality; what is not equal is left to a judge (arXiv 2507.01006, table of rewards)."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.normalization import same_text
from inkwash.rl.verifiers.verdict import Verdict, Verifier


@dataclass(frozen=True, kw_only=True)
class VideoVerifier(Verifier):
    """The domain `video` of the paper, absent from the public system."""

    def decide(self, answer: str, wanted: str) -> Verdict:
        return Verdict.right("equal") if same_text(answer, wanted) else Verdict.undecided("unequal")
