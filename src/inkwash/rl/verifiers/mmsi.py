"""Spatial questions about several pictures (MMSI-Bench): degrees and per cent are read, expressions compared."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.math import same_mathematics
from inkwash.rl.verifiers.normalization import same_text
from inkwash.rl.verifiers.verdict import Verdict, Verifier


@dataclass(frozen=True, kw_only=True)
class Mmsi(Verifier):
    """The domain `mmsi`. The released tolerance of 0.9 would let 80 pass for 100; `config.py` refuses it."""

    sympy_tolerance: float = 1e-6

    def decide(self, answer: str, wanted: str) -> Verdict:
        parsed, truth = (text.replace("°", "").replace(r"^\circ", "") for text in (answer, wanted))
        if same_text(parsed, truth):
            return Verdict.right("equal")
        return same_mathematics(parsed, truth, self.sympy_tolerance)
