"""Where a photograph was taken: a judge grades the place from 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from inkwash.rl.verifiers.verdict import Verdict, Verifier

LONGEST = 50  # characters of a place


@dataclass(frozen=True, kw_only=True)
class Geoquest(Verifier):
    """The domain `geoquest`: no rule can grade a place, but an essay of places is wrong before it is judged."""

    graded: ClassVar[bool] = True

    def decide(self, answer: str, wanted: str) -> Verdict:
        if len(answer) > LONGEST:
            return Verdict.wrong("too long", f"a place has at most {LONGEST} characters")
        return Verdict.undecided("place")
