"""Charts: values read off an axis may be a little off, years may not."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.normalization import same_text
from inkwash.rl.verifiers.numbers import Number, compare_numbers, read_number
from inkwash.rl.verifiers.verdict import Verdict, Verifier


@dataclass(frozen=True, kw_only=True)
class Chart(Verifier):
    """The domain `chart`: 2.5 % of the wanted value, but two whole numbers from 1000 to 3000 are years."""

    sympy_tolerance: float = 2.5e-2

    def decide(self, answer: str, wanted: str) -> Verdict:
        if same_text(answer, wanted):
            return Verdict.right("equal")
        parsed, truth = read_number(answer), read_number(wanted)
        if is_year(parsed) and is_year(truth):
            assert parsed is not None and truth is not None
            return Verdict.right("year") if parsed.value == truth.value else Verdict.wrong("year", "another year")
        return compare_numbers(answer, wanted, self.sympy_tolerance, exact=False) or Verdict.undecided("unequal")


def is_year(number: Number | None) -> bool:
    """A whole number that may be a year."""
    return number is not None and number.value.denominator == 1 and 1000 <= abs(number.value) <= 3000
