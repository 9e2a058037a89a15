"""Geography: equality, the same names in any order, numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inkwash.rl.verifiers.normalization import MAX_LENGTH, canonical, fold, same_text
from inkwash.rl.verifiers.numbers import compare_numbers
from inkwash.rl.verifiers.verdict import Verdict, Verifier

_BETWEEN = re.compile("[,;、]")  # after folding, which makes the Chinese marks narrow


@dataclass(frozen=True, kw_only=True)
class Geography(Verifier):
    """The domain `geography`. Names are not split at spaces: "New York" is one."""

    sympy_tolerance: float = 1e-5

    def decide(self, answer: str, wanted: str) -> Verdict:
        if same_text(answer, wanted):
            return Verdict.right("equal")
        number = compare_numbers(answer, wanted, self.sympy_tolerance)
        if number is not None:
            return number
        parsed, truth = names(answer), names(wanted)
        if len(truth) > 1 and parsed == truth:
            return Verdict.right("set")
        return Verdict.undecided("unequal")


def names(text: str) -> list[str]:
    """The names of a list, sorted; one that is given twice counts twice."""
    if len(text) > MAX_LENGTH:
        return []
    return sorted(canonical(part) for part in _BETWEEN.split(fold(text)) if part.strip())
