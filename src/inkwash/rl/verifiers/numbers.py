"""Numbers as answers write them, read exactly: 1,234.5  -3/4  \\frac{3}{4}  1e-3  2.5 × 10^{-4}  40%.

A text is a number only as a whole, so "10 (or 8)" and "between 0 and 10" are none. Values are exact fractions of
bounded size: no text makes a large power.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from inkwash.rl.verifiers.normalization import fold
from inkwash.rl.verifiers.verdict import Verdict

MAX_LENGTH = 120
_MAX_EXPONENT = 400
_DIGITS = r"(?:\d{1,3}(?:,\d{3})++(?!\d)|\d++)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.\d*+)?+|\.\d++)"
_TIMES_TEN = (
    r"\s*+(?:\\times|\\cdot|[*x×·⋅])\s*+10\s*+\^\s*+(?:\{\s*+([+-]?\d{1,4})\s*+\}|\(([+-]?\d{1,4})\)|([+-]?\d{1,4}))"
)
_PLAIN = rf"({_DECIMAL})(?:[eE]([+-]?\d{{1,4}})(?![\d.])|{_TIMES_TEN})?"
_FRACTION = r"\\[dt]?frac\s*(?:\{\s*(-?\d{1,30})\s*\}\s*\{\s*(\d{1,30})\s*\}|(\d)(\d))"
_RATIO = r"(\d{1,30})\s*/\s*(\d{1,30})(?![\d.])"
PATTERN = re.compile(rf"\s*([+-]?)\s*(?:{_FRACTION}|{_RATIO}|{_PLAIN})\s*(\\?%)?", re.ASCII)
_SPACING = re.compile(r"\\[,;:! ]|~|\$|\\(?:left|right)\b|\\displaystyle\b")


@dataclass(frozen=True, kw_only=True)
class Number:
    """A value; `exact` where it is written without a decimal point or power of ten, `percent` with its sign."""

    value: Fraction
    exact: bool
    percent: bool


def clean(text: str) -> str:
    """A text in the form that `PATTERN` reads: LaTeX's spacing and signs removed."""
    return _SPACING.sub("", fold(text).replace("{,}", ",")).strip()


def read_number(text: str) -> Number | None:
    """The number that a text is, or None."""
    text = clean(text) if len(text) <= MAX_LENGTH else ""
    found = read_prefix(text)
    return found[0] if found is not None and not text[found[1] :].strip() else None


def read_prefix(text: str) -> tuple[Number, int] | None:
    """The number that a cleaned text begins with, and where it ends."""
    match = PATTERN.match(text)
    if match is None:
        return None
    sign, *parts, percent = match.groups()
    value = _fraction(parts[:6]) if any(parts[:6]) else _decimal(parts[6:])
    if value is None:
        return None
    exact = bool(any(parts[:6])) or ("." not in parts[6] and not any(parts[7:]))
    value = -value if sign == "-" else value
    return Number(value=value / 100 if percent else value, exact=exact, percent=bool(percent)), match.end()


def _fraction(parts: list[str | None]) -> Fraction | None:
    top, bottom = (int(part) for part in parts if part is not None)
    return Fraction(top, bottom) if bottom else None


def _decimal(parts: list[str | None]) -> Fraction | None:
    digits, *exponents = parts
    exponent = int(next((found for found in exponents if found), "0"))
    if digits is None or abs(exponent) > _MAX_EXPONENT:
        return None
    return Fraction(f"{digits.replace(',', '').rstrip('.')}e{exponent}")


def close(answer: Fraction, wanted: Fraction, tolerance: float) -> bool:
    """Whether two values differ by no more than a share of the wanted one; a wanted 0 is met by 0 alone."""
    return abs(answer - wanted) <= Fraction(tolerance) * abs(wanted)


def compare_numbers(answer: str, wanted: str, tolerance: float, *, exact: bool = True) -> Verdict | None:
    """The verdict on two numbers, or None where one of the texts is none.

    With `exact`, numbers that are both written without a decimal point must be equal whatever the tolerance. Where
    only one has a percent sign and the values differ, a judge must say what was meant.
    """
    parsed, truth = read_number(answer), read_number(wanted)
    if parsed is None or truth is None:
        return None
    same = parsed.value == truth.value if exact and parsed.exact and truth.exact else False
    if same or (not (exact and parsed.exact and truth.exact) and close(parsed.value, truth.value, tolerance)):
        return Verdict.right("number")
    if parsed.percent != truth.percent:
        return Verdict.undecided("percent", "only one of the numbers has a percent sign")
    return Verdict.wrong("number", "another number")
