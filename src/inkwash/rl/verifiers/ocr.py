"""Reading text: how near the read text is to the wanted one, white space aside."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.core.errors import ConfigError
from inkwash.eval.metrics import edit_distance
from inkwash.rl.verifiers.verdict import Verdict, Verifier


@dataclass(frozen=True, kw_only=True)
class Ocr(Verifier):
    """The domain `ocr`: 1 - distance / longer length; 1 from the upper bound, 0 up to the lower one, itself between."""

    edit_distance_upper_bound: float = 1.0
    edit_distance_lower_bound: float = 0.0
    ignore_case: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.edit_distance_lower_bound <= self.edit_distance_upper_bound <= 1.0:
            raise ConfigError(
                f"the bounds of ocr are {self.edit_distance_lower_bound} and {self.edit_distance_upper_bound}; they "
                f"must lie from 0 to 1, the lower one first."
            )

    def decide(self, answer: str, wanted: str) -> Verdict:
        score = similarity(answer, wanted, ignore_case=self.ignore_case)
        if score >= self.edit_distance_upper_bound:
            return Verdict.right("read")
        if score <= self.edit_distance_lower_bound:
            return Verdict.wrong("misread", "another text")
        return Verdict(score=score, rule="similarity")


def similarity(answer: str, wanted: str, *, ignore_case: bool = False) -> float:
    """1 for equal texts, 0 for texts with nothing in common; two empty texts are equal."""
    left, right = ("".join(text.split()) for text in (answer, wanted))
    if ignore_case:
        left, right = left.casefold(), right.casefold()
    longest = max(len(left), len(right))
    return 1.0 - edit_distance(left, right) / longest if longest else 1.0
