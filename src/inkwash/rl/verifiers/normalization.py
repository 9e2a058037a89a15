"""One form for texts that mean the same: width, case, spaces, wrapping marks. What changes a value is kept.

Unicode's compatibility form alone would read 10² as 102 and 1½ as 11/2, so raised digits and fractions are spelled out
before it is taken.
"""

from __future__ import annotations

import re
import unicodedata

MAX_LENGTH = 2_000  # characters of a text with more than one way to write it
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ", "0123456789+-()n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")
_RAISED_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ]+")
_LOWERED_RUN = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋]+")
_VULGAR = re.compile("[¼½¾⅐-⅞]")
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_AROUND = re.compile(r"\s*([,;:/=()\[\]{}+×*-])\s*")
_SINGLE = re.compile(r"([_^])[({]([+-]?\w{1,8})[)}]")  # x^{2} is x^2
_QUOTES = "\"'`“”‘’«»「」『』*_"
_END = re.compile("[.。!！,，;；]$")


def fold(text: str) -> str:
    """Compatibility form with raised and lowered digits spelled out, no invisible characters, single spaces."""
    text = _RAISED_RUN.sub(lambda found: f"^({found[0].translate(_RAISED)})", text)
    text = _LOWERED_RUN.sub(lambda found: f"_({found[0].translate(_LOWERED)})", text)
    text = _VULGAR.sub(lambda found: f" {unicodedata.normalize('NFKC', found[0])}", text)
    text = unicodedata.normalize("NFKC", text).replace("\u2044", "/").replace("\u2212", "-")
    text = "".join(mark for mark in text if unicodedata.category(mark) != "Cf")
    return " ".join(text.split())


def same_text(answer: str, wanted: str, *, case: bool = False) -> bool:
    """Whether two short answers are the same text; case counts where `case` says so."""
    left, right = canonical(answer, case=case), canonical(wanted, case=case)
    return left == right if left and right else answer.strip() == wanted.strip() != ""


def canonical(text: str, *, case: bool = False) -> str:
    """The form in which answers are compared; of a long text only the spaces change."""
    if len(text) > MAX_LENGTH:
        return " ".join(text.split())
    text = _TEXT_COMMAND.sub(r"\1", fold(text)).strip("$ ")
    text = _SINGLE.sub(r"\1\2", _AROUND.sub(r"\1", text)).strip().strip(_QUOTES)
    text = _END.sub("", text).strip(_QUOTES).strip()
    if re.fullmatch(r"\([A-Za-z]\)|\[[A-Za-z]\]|[A-Za-z]\)", text):
        text = text.strip("()[]")  # the letter of a choice
    return text if case else text.casefold()
