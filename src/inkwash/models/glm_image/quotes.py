"""Quoted texts in every style that people type, and the same prompt in the one style that a small model has learnt.

`glyph_texts` is the released model's own rule. It knows four kinds of marks, '…', “…”, "…" and 「…」, and groups the
texts in that order, as the model was trained to expect. A straight single quote is also an apostrophe, so it opens a
quotation only where no letter stands before it and closes one only where no letter follows. People also write „German“,
«French», »Danish«, 『corner』 and ‘curly’ quotes; `quoted` finds them all in one pass from left to right, and
`canonical` writes each as "straight". A mark inside a quoted text is part of the text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

STRAIGHT = '"'
_APOSTROPHES = "'’"
# Opening mark -> the marks that may close it.
PAIRS = {
    '"': '"', "＂": "＂", "“": "”", "„": "“”", "”": "”", "«": "»", "»": "«", "‹": "›", "›": "‹",
    "「": "」", "『": "』", "﹁": "﹂", "‚": "‘’", "‘": "’", "'": "'",
}  # fmt: skip
MARKS = frozenset("".join(PAIRS) + "".join(PAIRS.values()))
# Words that begin with an apostrophe and open no quotation.
_CLIPPED = frozenset({"tis", "twas", "til", "till", "em", "cause", "n", "bout", "round", "cos", "s"})
# Scripts written without spaces are category Lo: 写着'你好'的海报 quotes 你好, although letters touch the marks.
_LETTERS = frozenset({"Lu", "Ll", "Lt", "Lm", "Nd", "Mn"})


@dataclass(frozen=True, kw_only=True)
class Quoted:
    """A quoted text with its place: `prompt[start:end]` is the text between its two marks."""

    text: str
    start: int
    end: int
    mark: str  # the opening one

    @property
    def display_text(self) -> str:
        """The text as it is to be drawn: without the spaces that French puts inside its marks."""
        return self.text.strip()


@dataclass(frozen=True, kw_only=True)
class Quotes:
    """What `quoted` found: the quoted texts in their order, and the marks that have no partner."""

    texts: tuple[Quoted, ...]
    open: tuple[str, ...]


def quoted(prompt: str) -> Quotes:
    """All quoted texts of a prompt, empty ones too, and the marks that stand alone."""
    found: list[Quoted] = []
    alone: list[str] = []
    place = 0
    while place < len(prompt):
        mark = prompt[place]
        if mark not in MARKS or _is_apostrophe(prompt, place):
            place += 1
            continue
        end = _closing(prompt, place) if mark in PAIRS else None
        if end is None:
            if mark != "'" or _opens(prompt, place):
                alone.append(mark)
            place += 1
            continue
        found.append(Quoted(text=prompt[place + 1 : end], start=place + 1, end=end, mark=mark))
        place = end + 1
    return Quotes(texts=tuple(found), open=tuple(alone))


def canonical(prompt: str) -> str:
    """The prompt with every quoted text in straight double marks; a prompt that has no others stays as it is."""
    pieces, last = [], 0
    for one in quoted(prompt).texts:
        if one.mark == STRAIGHT:
            continue
        pieces += [prompt[last : one.start - 1], STRAIGHT, one.display_text.replace(STRAIGHT, ""), STRAIGHT]
        last = one.end + 1
    return "".join(pieces) + prompt[last:]


def outside(prompt: str, filler: str = STRAIGHT) -> str:
    """The prompt with every quoted text, marks included, replaced by one filler."""
    pieces, last = [], 0
    for one in quoted(prompt).texts:
        pieces += [prompt[last : one.start - 1], filler]
        last = one.end + 1
    return "".join(pieces) + prompt[last:]


def _closing(prompt: str, place: int) -> int | None:
    """Where the mark that closes the one at `place` stands; None when nothing does, or when it opens anew before."""
    mark = prompt[place]
    for other in range(place + 1, len(prompt)):
        found = prompt[other]
        if found not in MARKS:
            continue
        if found in PAIRS[mark]:
            if found in _APOSTROPHES and (_is_letter(prompt[other + 1 : other + 2]) or prompt[other - 1].isspace()):
                if found == mark == "'" and prompt[other - 1].isspace():
                    return None  # it opens afresh: the '90s said 'HELLO'
                continue  # an apostrophe inside: 'it's late'
            return other
        if found == mark or (mark == "'" and found not in _APOSTROPHES):
            return None
    return None


def _is_apostrophe(prompt: str, place: int) -> bool:
    """it's, the dogs' bowl, it’s: a letter stands before it."""
    return prompt[place] in _APOSTROPHES and _is_letter(prompt[max(place - 1, 0) : place])


def _opens(prompt: str, place: int) -> bool:
    """Whether a straight single quote that nothing closes was meant to open a text: not the '90s, not 'til."""
    rest = prompt[place + 1 : place + 12]
    word = "".join(letter if letter.isalpha() else " " for letter in rest).split(" ")[0]
    return bool(word) and word.lower() not in _CLIPPED


def _is_letter(character: str) -> bool:
    return bool(character) and unicodedata.category(character) in _LETTERS


_CURLY = re.compile(r"“([^“”]*)”")
_STRAIGHT = re.compile(r'"([^"]*)"')
_CORNER = re.compile(r"「([^「」]*)」")
_APOSTROPHE = "'"


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
