"""Wide letters: reading a picture a second time, squeezed, and keeping of each place the better reading.

A recogniser learns letters of ordinary proportions. Of letters that stand in square cells it loses commas (too far
away for the detector to belong to the line), reads a space as `_` or `.`, an `l` as nothing and `/` as 7. In a
picture squeezed to `ReaderConfig.squeeze` of its width the same letters are as narrow as those of running text. Each
letter speaks for a reading as far as the recogniser is surer of it than `SURE`, and against it where it is less sure;
no list of words is asked. Ordinary type is read once.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

WIDE = 0.7  # letter distance over line height: ordinary capitals measured 0.60-0.65, letters in square cells 0.69-0.95
SURE = 0.9  # of the recogniser's confidence: right readings measured 0.96 and more, wrong ones mostly less
_BOTH = 0.5  # share of the lower line's height from which on two readings are about the same line

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """A line as the recogniser answers it, in pixels of the picture that it was given."""

    text: str
    score: float
    box: Box
    centres: tuple[float, ...]  # horizontal middle of every character that is not a space; empty where unknown

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    @property
    def evidence(self) -> float:
        """How much speaks for the reading: more letters and surer ones."""
        return len("".join(self.text.split())) * (self.score - SURE)

    def widened(self, factor: float) -> Recognised:
        """The same line where the picture is `factor` times as wide."""
        left, top, right, bottom = self.box
        return Recognised(
            text=self.text,
            score=self.score,
            box=(left * factor, top, right * factor, bottom),
            centres=tuple(centre * factor for centre in self.centres),
        )


def letters_are_wide(lines: Sequence[Recognised]) -> bool:
    """Whether the letters of a picture mostly stand further apart than those of ordinary type.

    Chinese characters are as wide as high in ordinary type, so lines that hold some do not count.
    """
    steps = [
        (right - left) / line.height
        for line in lines
        if line.height > 0 and not any(character >= "\u2e80" for character in line.text)
        for left, right in pairwise(line.centres)
    ]
    return bool(steps) and statistics.median(steps) >= WIDE


def better_readings(first: Sequence[Recognised], second: Sequence[Recognised]) -> list[Recognised]:
    """Two readings of one picture as one: of lines at the same place those with the more evidence."""
    kept: list[Recognised] = []
    for ours, theirs in _same_places(first, second):
        kept += theirs if _evidence(theirs) > _evidence(ours) else ours
    return kept


def _evidence(lines: Sequence[Recognised]) -> float:
    return sum(line.evidence for line in lines) if lines else float("-inf")


def _same_places(
    first: Sequence[Recognised], second: Sequence[Recognised]
) -> list[tuple[list[Recognised], list[Recognised]]]:
    """The lines of both in groups that touch no other group."""
    groups: list[tuple[list[Recognised], list[Recognised]]] = []
    for side, lines in enumerate((first, second)):
        for line in lines:
            touched = [group for group in groups if any(_touch(line, other) for part in group for other in part)]
            merged: tuple[list[Recognised], list[Recognised]] = ([], [])
            for group in touched:
                groups.remove(group)
                merged[0].extend(group[0])
                merged[1].extend(group[1])
            merged[side].append(line)
            groups.append(merged)
    return groups


def _touch(a: Recognised, b: Recognised) -> bool:
    across = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    down = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    return across > 0 and down > _BOTH * min(a.height, b.height)
