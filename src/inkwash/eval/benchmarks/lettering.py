"""What two long-text benchmarks count of a string: letters, digits and Chinese characters, as a bag.

LongText-Bench and OneIG-Bench delete every other character without leaving a space ("e-mail" becomes "email") and then
count how many units of the wanted text occur in the reading. They differ in case and in when they count characters;
those rules stand with each benchmark.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_ACCENTED = "àâäéèêëîïôöùûüç"
_DROPPED = re.compile(rf"[^\u4e00-\u9fa5a-zA-Z0-9\s{_ACCENTED}{_ACCENTED.upper()}]")
_SPACE = re.compile(r"\s+")
NOTHING_READ = "No text recognized."  # what the benchmarks' reading prompt asks a model to answer for a blank picture


def kept(text: str) -> str:
    """Only the characters that count, and white space."""
    return _DROPPED.sub("", text)


def packed(text: str) -> str:
    """Without any white space."""
    return _SPACE.sub("", text)


def spaced(text: str) -> str:
    """With single spaces between words and none around."""
    return _SPACE.sub(" ", text).strip()


def matches(wanted: Iterable[str], read: Iterable[str]) -> int:
    """How many wanted units occur in the reading, each counted as often as it is there."""
    return (Counter(wanted) & Counter(read)).total()


def without_refusal(answer: str) -> str:
    """A model's reading without the sentence for a blank picture.

    The official clean-up also means to drop a second phrase, but each round starts from the raw answer again, so only
    the last one is ever removed.
    """
    return answer.replace(NOTHING_READ, "")
