"""Places in a picture that an answer points to: four numbers, or two, in thousandths of its width and height.

Any bracket may stand around them, and several may stand in one pair. Where the answer marks a result, only the marked
spans are read, so that a coordinate in the reasoning is not taken for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from inkwash.core.errors import ConfigError
from inkwash.models.glm_v.answer import split_answer

_OPEN, _CLOSE = r"[\[({<]", r"[\])}>]"
# Possessive throughout: what was matched is never tried another way, so a long answer costs one pass.
_NUMBER = r"\d++(?:\.\d++)?+"
_COMMA = r"(?:\s*+[,，、;]\s*+|\s++)"
_TWO = rf"({_NUMBER}){_COMMA}({_NUMBER})"
_FOUR = rf"{_TWO}{_COMMA}{_TWO}"
_TWO_POINTS = rf"{_TWO}\s*+{_CLOSE}(?:\s*+[,，;])?+\s*+{_OPEN}\s*+{_TWO}"
_BRACKETED = re.compile(rf"{_OPEN}\s*+{_FOUR}\s*+{_CLOSE}")
_CORNERS = re.compile(rf"{_OPEN}\s*+{_TWO_POINTS}\s*+{_CLOSE}")
_BARE = re.compile(rf"\s*+{_FOUR}\s*+")


@dataclass(frozen=True, kw_only=True)
class Box:
    """Left, top, right and bottom in thousandths, left <= right and top <= bottom."""

    left: float
    top: float
    right: float
    bottom: float

    def pixels(self, width: int, height: int, *, grid: int = 1000) -> tuple[int, int, int, int]:
        """The box in a picture of that size; `grid` is 999 for answers that count from 0 to 999."""
        if grid not in (999, 1000):
            raise ConfigError(f"grid must be 999 or 1000, got {grid!r}.")
        columns = [min(width, round(x / grid * width)) for x in (self.left, self.right)]
        rows = [min(height, round(y / grid * height)) for y in (self.top, self.bottom)]
        return columns[0], rows[0], columns[1], rows[1]


def find_boxes(text: str) -> list[Box]:
    """Every box an answer names, in order; numbers above 1000 are no place and are passed over."""
    found: list[Box] = []
    for span, marked in _spans(text):
        bare = _BARE.fullmatch(span) if marked else None
        groups = [bare.groups()] if bare else _quadruples(span)
        for numbers in groups:
            x1, y1, x2, y2 = (float(number) for number in numbers)
            if max(x1, y1, x2, y2) <= 1000:
                found.append(Box(left=min(x1, x2), top=min(y1, y2), right=max(x1, x2), bottom=max(y1, y2)))
    return found


def _quadruples(span: str) -> list[tuple[str, ...]]:
    matches = sorted([*_BRACKETED.finditer(span), *_CORNERS.finditer(span)], key=lambda match: match.start())
    return [match.groups() for match in matches]


def _spans(text: str) -> Iterator[tuple[str, bool]]:
    """Where to look: the marked spans, or the whole answer where nothing is marked."""
    parsed = split_answer(text)
    if parsed.boxed:
        yield from ((span, True) for span in parsed.boxed)
    else:
        yield parsed.answer, False
