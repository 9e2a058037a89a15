"""Words of a page, put together from its glyphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TOUCHING = 3.0  # pixels between two letters of a word, at most


def page_words(glyphs: Sequence[Sequence[Any]]) -> list[tuple[str, list[tuple[float, float, float, float]]]]:
    """The words of a page, each with the boxes of its letters: glyphs that follow each other without a gap."""
    found: list[tuple[str, list[tuple[float, float, float, float]]]] = []
    for letter, left, top, right, bottom in glyphs:
        before = found[-1][1][-1] if found else None
        if before is not None and abs(left - before[2]) < TOUCHING and abs(top - before[1]) < TOUCHING:
            found[-1] = (found[-1][0] + letter, [*found[-1][1], (left, top, right, bottom)])
        else:
            found.append((letter, [(left, top, right, bottom)]))
    return found
