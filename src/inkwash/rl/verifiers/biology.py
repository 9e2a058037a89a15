"""Biology: equality, with genotypes in any order of their genes and alleles."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inkwash.rl.verifiers.normalization import fold, same_text
from inkwash.rl.verifiers.verdict import Verdict, Verifier

_GENOTYPE = re.compile(r"(?:([A-Za-z])(?i:\1)\s*){1,12}")


@dataclass(frozen=True, kw_only=True)
class Biology(Verifier):
    """The domain `biology`; bBAa is AaBb, and aa is not AA. The public system has this rule and never calls it."""

    def decide(self, answer: str, wanted: str) -> Verdict:
        parsed, truth = genotype(answer), genotype(wanted)
        if truth is not None and parsed is not None:
            return Verdict.right("genotype") if parsed == truth else Verdict.wrong("genotype", "another genotype")
        if same_text(answer, wanted, case=truth is not None):
            return Verdict.right("equal")
        return Verdict.undecided("unequal")


def genotype(text: str) -> tuple[str, ...] | None:
    """The genes of a genotype such as AaBb, each with its dominant allele first; None for other texts."""
    if len(text) > 60 or not _GENOTYPE.fullmatch(fold(text)):
        return None
    letters = fold(text).replace(" ", "")
    return tuple(sorted("".join(sorted(letters[at : at + 2])) for at in range(0, len(letters), 2)))
