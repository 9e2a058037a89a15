"""Letter-spaced lines: telling the space between two words from the tracking between two letters.

A recogniser often reads `BOILED`, set with wide tracking, as `BOILE D` or `B O I L E D`; Word Accuracy then counts a
legible word as wrong. It also says where each letter stands, and that decides: in a line whose letters stand far apart
for their height, a space that is no wider than the distances around it is tracking, and a gap of a whole missing letter
is a space that was not read. Letters that stand further apart than tracking goes (`P & R`) are words. Ordinary
lines are never touched.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise

WIDE = 0.75  # letter distance over line height; ordinary capitals measured 0.60-0.65, tracked ones mostly 0.8-0.95
APART = 1.25  # of the line height; letters of a tracked word measured up to 1.18, words of one letter from 1.31
LOW = frozenset("acegmnopqrsuvwxyz.,-_")  # lines of these only are less high than others of the same size
GAP = 1.7  # of the letter distance, and no space was read there
EVEN = 1.3  # a word space in ordinary type measured 1.4 and more of the letter distance

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}


def plain_width(text: str) -> str:
    """Full-width Latin forms, which a recogniser trained on Chinese sometimes answers, as ordinary characters."""
    return text.translate(_FULL_WIDTH)


def join_letterspaced(text: str, centres: Sequence[float], height: float) -> str:
    """The line without the spaces that are only tracking.

    `centres` holds the horizontal middle of every character that is not a space, `height` that of the line's box,
    in one unit. Without one centre per character the line is returned as it is.
    """
    pieces = text.split()
    letters = "".join(pieces)
    if len(letters) < 3 or len(centres) != len(letters) or height <= 0:
        return text  # "A B": nothing to compare the one distance with
    steps = [right - left for left, right in pairwise(centres)]
    ends = piece_ends(pieces)
    inside = [step for i, step in enumerate(steps, start=1) if i not in ends]
    pitch = statistics.median(inside or steps)
    if pitch > APART * height and not LOW.issuperset(letters):
        return " ".join(letters)
    if inside and pitch < WIDE * height:
        return text  # ordinary type; a line of single letters only is spaced whatever its height
    joined = letters[0]
    for i, step in enumerate(steps, start=1):
        apart = step >= (EVEN if i in ends else GAP) * pitch
        joined += (" " if apart else "") + letters[i]
    return joined


def piece_ends(pieces: Sequence[str]) -> set[int]:
    """How many letters stand before each space."""
    ends, count = set(), 0
    for piece in pieces[:-1]:
        count += len(piece)
        ends.add(count)
    return ends
