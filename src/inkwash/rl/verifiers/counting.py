"""Counting: whole numbers, in digits or in words of English and Chinese."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.normalization import canonical, same_text
from inkwash.rl.verifiers.numbers import read_number
from inkwash.rl.verifiers.verdict import Verdict, Verifier

_ENGLISH = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]  # fmt: skip
_CHINESE = [
    "零", "一", "二", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二", "十三", "十四", "十五", "十六",
    "十七", "十八", "十九", "二十",
]  # fmt: skip
WORDS = {word: number for words in (_ENGLISH, _CHINESE) for number, word in enumerate(words)} | {"两": 2, "〇": 0}


@dataclass(frozen=True, kw_only=True)
class Counting(Verifier):
    """The domain `counting`: 3, 3.0, three and 三 are the same count."""

    def decide(self, answer: str, wanted: str) -> Verdict:
        parsed, truth = read_count(answer), read_count(wanted)
        if parsed is not None and truth is not None:
            return Verdict.right("count") if parsed == truth else Verdict.wrong("count", "another count")
        return Verdict.right("equal") if same_text(answer, wanted) else Verdict.undecided("unequal")


def read_count(text: str) -> int | None:
    """The whole number that a text is; None for other texts."""
    number = read_number(text)
    if number is not None and number.value.denominator == 1 and not number.percent:
        return int(number.value)
    return WORDS.get(canonical(text)) if len(text) <= 40 else None
