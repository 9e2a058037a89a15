"""Two faults that void a whole response: languages mixed by the paragraph, and the same words over and over.

The limits of the first are those of the public reward system; its detector of repetitions exists there but is not
called. Both are linear in the length of the response.
"""

from __future__ import annotations

import re

MAX_RESPONSE = 400_000  # characters; more than any budget of tokens writes
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_ENGLISH = re.compile(r"[A-Za-z]{2,}")
_WORD = re.compile(r"[A-Za-z]+|[\u4e00-\u9fff]")
_RULES = re.compile(r"([^\w\s])\1{3,}+")  # lines of a table, dashes, dots


def mixes_languages(text: str) -> bool:
    """Whether one paragraph is Chinese (50 characters, above 80 %) and another English (200 words, above 70 %)."""
    chinese = english = False
    for paragraph in re.split(r"\n[ \t\r]*\n", text):
        visible = len(re.sub(r"\s", "", paragraph))
        characters = len(_CHINESE.findall(paragraph))
        chinese |= characters >= 50 and characters > 0.8 * visible
        words = len(_ENGLISH.findall(paragraph))
        english |= words >= 200 and words > 0.7 * len(_WORD.findall(paragraph))
    return chinese and english


def repeats(text: str, *, span: int = 50, times: int = 10) -> bool:
    """Whether some span of characters occurs that often without overlap; rules such as `-----` do not count."""
    text = _RULES.sub(r"\1\1\1", text)
    seen: dict[str, tuple[int, int]] = {}  # span -> occurrences, where the next may begin
    for start in range(len(text) - span + 1):
        window = text[start : start + span]
        count, free = seen.get(window, (0, 0))
        if start >= free:
            if count + 1 >= times:
                return True
            seen[window] = count + 1, start + span
    return False
