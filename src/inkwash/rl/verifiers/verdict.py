"""What a verifier says about an answer, and the form that all verifiers have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from inkwash.rl.verifiers.normalization import same_text


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A score from 0 to 1, or None where no rule decides; `rule` names the branch, for the counts of a report."""

    score: float | None
    rule: str
    reason: str = ""

    @classmethod
    def right(cls, rule: str) -> Verdict:
        return cls(score=1.0, rule=rule)

    @classmethod
    def wrong(cls, rule: str, reason: str = "") -> Verdict:
        return cls(score=0.0, rule=rule, reason=reason)

    @classmethod
    def undecided(cls, rule: str, reason: str = "") -> Verdict:
        """A judge may decide; without one the answer counts as wrong."""
        return cls(score=None, rule=rule, reason=reason)


@dataclass(frozen=True, kw_only=True)
class Verifier(ABC):
    """Decides by rules that take bounded time for any text. A frozen value: safe in many threads.

    `answer` and `wanted` are the extracted texts, except where `reads_response` asks for the whole response.
    """

    reads_response: ClassVar[bool] = False
    graded: ClassVar[bool] = False  # a judge answers with a number from 0 to 1 instead of 0 or 1

    strict_boxed_extraction: bool = True  # an answer without a box is none

    @abstractmethod
    def decide(self, answer: str, wanted: str) -> Verdict:
        """The verdict of the rules."""


@dataclass(frozen=True, kw_only=True)
class EqualityVerifier(Verifier):
    """Equal texts are right; what is not equal is left to a judge."""

    def decide(self, answer: str, wanted: str) -> Verdict:
        return Verdict.right("equal") if same_text(answer, wanted) else Verdict.undecided("unequal")
