"""Chemistry: quantities as in physics, with chemistry's units; formulas are texts whose case counts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inkwash.rl.verifiers.normalization import canonical, same_text
from inkwash.rl.verifiers.numbers import compare_numbers
from inkwash.rl.verifiers.physics import Physics
from inkwash.rl.verifiers.units import without_name
from inkwash.rl.verifiers.verdict import Verdict

_COUNT = re.compile(r"_(?=\d)")


@dataclass(frozen=True, kw_only=True)
class Chemistry(Physics):
    """The domain `chemistry`: M is mol/L, `pH = 7` is 7, H₂O is H2O and CO is not Co. Letters are no factors here."""

    def by_text(self, answer: str, wanted: str) -> Verdict:
        parsed, truth = (_COUNT.sub("", canonical(text, case=True)) for text in (answer, wanted))
        if same_text(parsed, truth, case=True):
            return Verdict.right("formula")
        number = compare_numbers(without_name(answer), without_name(wanted), self.sympy_tolerance)
        return number or Verdict.undecided("unequal")
