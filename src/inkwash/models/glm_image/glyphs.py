"""Which words of a prompt are to be drawn: the spans that stand in quotation marks.

Four kinds count: '…', “…”, "…" and 「…」, grouped in that order, as the released model was trained to expect.
A straight single quote is also an apostrophe, so it opens a quotation only where no letter stands before it and
closes one only where no letter follows: "it's … don't" quotes nothing, 'it's late' quotes three words.
"""

from __future__ import annotations

import re
import unicodedata

_CURLY = re.compile(r"“([^“”]*)”")
_STRAIGHT = re.compile(r'"([^"]*)"')
_CORNER = re.compile(r"「([^「」]*)」")
_APOSTROPHE = "'"
# Scripts written without spaces are category Lo: 写着'你好'的海报 quotes 你好, although letters touch the marks.
_LETTERS = frozenset({"Lu", "Ll", "Lt", "Lm", "Nd", "Mn"})


def glyph_texts(prompt: str) -> list[str]:
    """The quoted texts of `prompt` in the model's order; an empty list when it quotes nothing."""
    return [
        *_single_quoted(prompt),
        *_CURLY.findall(prompt),
        *_STRAIGHT.findall(prompt),
        *_CORNER.findall(prompt),
    ]


def _single_quoted(prompt: str) -> list[str]:
    texts: list[str] = []
    opening: int | None = None
    for place, mark in enumerate(prompt):
        if mark != _APOSTROPHE:
            continue
        before, after = prompt[max(place - 1, 0) : place], prompt[place + 1 : place + 2]
        if _is_letter(before) and (opening is None or _is_letter(after)):
            continue  # an apostrophe: it's, the dogs' bowl
        if opening is None or (before.isspace() and _is_letter(after)):
            opening = place  # the second case starts afresh: the '90s said 'HELLO'
        else:
            texts.append(prompt[opening + 1 : place])
            opening = None
    return texts


def _is_letter(character: str) -> bool:
    return bool(character) and unicodedata.category(character) in _LETTERS
