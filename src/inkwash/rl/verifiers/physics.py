"""Physics: a number with its unit, in any unit of the same dimensions; else as mathematics."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.math import same_mathematics
from inkwash.rl.verifiers.normalization import same_text
from inkwash.rl.verifiers.numbers import compare_numbers
from inkwash.rl.verifiers.units import read_quantity, same_quantity, without_name
from inkwash.rl.verifiers.verdict import Verdict, Verifier


@dataclass(frozen=True, kw_only=True)
class Physics(Verifier):
    """The domain `physics`: the public rule sends every text with an "m" or "s" in it to a judge; this one converts."""

    sympy_tolerance: float = 1e-5
    unit_optional: bool = False  # a missing unit on one side is no fault

    def decide(self, answer: str, wanted: str) -> Verdict:
        if same_text(answer, wanted, case=True):
            return Verdict.right("equal")
        parsed, truth = read_quantity(answer), read_quantity(wanted)
        if parsed is None or truth is None or (parsed.unit is None and truth.unit is None):
            return self.by_text(answer, wanted)
        if parsed.unit is None or truth.unit is None:
            if not self.unit_optional:
                return Verdict.wrong("unit", "only one of the quantities has a unit")
            return same_mathematics(str(parsed.number.value), str(truth.number.value), self.sympy_tolerance)
        if parsed.unit.dimensions != truth.unit.dimensions:
            if parsed.unit.dimensions[:-1] == truth.unit.dimensions[:-1]:
                return Verdict.undecided("turns", "turns against plain numbers or angles, such as Hz and rad/s")
            return Verdict.wrong("unit", "a unit of another kind")
        if same_quantity(parsed, truth, self.sympy_tolerance):
            return Verdict.right("quantity")
        if parsed.unit.offset != truth.unit.offset and parsed.number.value == truth.number.value:
            return Verdict.undecided("temperature", "right for a difference, wrong for a temperature")
        return Verdict.wrong("quantity", "another value")

    def by_text(self, answer: str, wanted: str) -> Verdict:
        """The verdict on texts that are not both quantities with units."""
        number = compare_numbers(without_name(answer), without_name(wanted), self.sympy_tolerance)
        return number or same_mathematics(answer, wanted, self.sympy_tolerance)
