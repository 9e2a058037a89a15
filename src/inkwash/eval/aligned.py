"""A wanted text beside what was read for it, letter by letter: what the report marks.

Each text is laid over the part of the reading that it matches best (`engine.readback`), the longest first, and no part
serves twice; `difflib` then says which letters differ. Case is shown as it is and does not count.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from inkwash.engine.readback import best_span

LONGEST = 60_000  # cells of a table; above that, words are aligned instead of letters
_TAKEN = "\0"


@dataclass(frozen=True)
class TextPiece:
    """A stretch of text that is the same on both sides, or not."""

    text: str
    same: bool


@dataclass(frozen=True, kw_only=True)
class AlignedRow:
    """One wanted text with its reading."""

    wanted: tuple[TextPiece, ...]
    read: tuple[TextPiece, ...]
    right: bool


def plain_row(wanted: str, read: str, right: bool) -> AlignedRow:
    """A row without letters to compare: a question and its answer."""
    return AlignedRow(wanted=(TextPiece(wanted, right),), read=(TextPiece(read, right),) if read else (), right=right)


def align(wanted: Sequence[tuple[str, bool]], read: Sequence[str]) -> tuple[list[AlignedRow], str]:
    """A row for every text, in order, and what was read beyond them; the flags say which texts count as right."""
    rest = " ".join(" ".join(line.split()) for line in read)
    rows: dict[int, AlignedRow] = {}
    for number in sorted(range(len(wanted)), key=lambda i: -len(wanted[i][0])):
        text, right = wanted[number]
        start, end = _place(text, rest)
        ours, theirs = differences(text, rest[start:end].replace(_TAKEN, "").strip())
        rows[number] = AlignedRow(wanted=ours, read=theirs, right=right)
        rest = rest[:start] + _TAKEN * (end - start) + rest[end:]
    beyond = " … ".join(part.strip() for part in rest.split(_TAKEN) if part.strip())
    return [rows[number] for number in range(len(wanted))], beyond


def _place(text: str, rest: str) -> tuple[int, int]:
    """Where the reading holds the text best; empty where it is nowhere near."""
    if not text or not rest:
        return 0, 0
    target, seen = _folded(text), _folded(rest)
    if len(target) * len(seen) <= LONGEST:
        distance, start, end = best_span(target, seen)
        return (start, end) if distance < 0.8 * len(target) else (0, 0)
    blocks = difflib.SequenceMatcher(None, seen, target, autojunk=False).get_matching_blocks()[:-1]
    return (blocks[0].a, blocks[-1].a + blocks[-1].size) if blocks else (0, 0)


def differences(wanted: str, read: str) -> tuple[tuple[TextPiece, ...], tuple[TextPiece, ...]]:
    """Both strings in pieces; long ones are compared word by word."""
    if len(wanted) * len(read) > LONGEST:
        return _compared(_words(wanted), _words(read))
    return _compared(list(wanted), list(read))


def _compared(wanted: list[str], read: list[str]) -> tuple[tuple[TextPiece, ...], tuple[TextPiece, ...]]:
    matcher = difflib.SequenceMatcher(None, [_folded(x) for x in wanted], [_folded(x) for x in read], autojunk=False)
    ours: list[TextPiece] = []
    theirs: list[TextPiece] = []
    for kind, a, b, c, d in matcher.get_opcodes():
        same = kind == "equal"
        if b > a:
            ours.append(TextPiece("".join(wanted[a:b]), same))
        if d > c:
            theirs.append(TextPiece("".join(read[c:d]), same))
    return tuple(ours), tuple(theirs)


def _words(text: str) -> list[str]:
    return [word + " " for word in text.split()]


def _folded(text: str) -> str:
    """Lower case where that keeps the number of letters, so that places stay places."""
    return "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in text)
