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
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from inkwash.eval.spacing import piece_ends

WIDE = 0.55  # letter distance over line height: ordinary type measured 0.40-0.49, letters in square cells 0.56-0.95
SHARE = 1 / 3  # of the letters of a picture that are wide, from which on it is read again
SURE = 0.9  # of the recogniser's confidence: right readings measured 0.96 and more, wrong ones mostly less
FAVOUR = 0.03  # by which a letter of the squeezed reading may be less sure: the other one was made of odd letters
CERTAIN = 0.99  # of the recogniser's confidence in a line, with which it seldom adds a letter
SPACE = 1.45  # of the letter distance: wider is a space where one reading has one and the other has none
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
    def letters(self) -> int:
        return len("".join(self.text.split()))

    def same_letters(self, other: Recognised) -> bool:
        """Whether both read the same, spaces aside."""
        return "".join(self.text.split()) == "".join(other.text.split())

    @property
    def pitch(self) -> float:
        """The usual distance of two letters in heights of the line; 0 where it is unknown."""
        steps = [right - left for left, right in pairwise(self.centres)]
        return statistics.median(steps) / self.height if steps and self.height > 0 else 0.0

    def widened(self, factor: float) -> Recognised:
        """The same line where the picture is `factor` times as wide.

        The recogniser places letters in steps of a sixth of the line's height. Widened, that is too rough to tell a
        word space from tracking, so the letters have no places any more.
        """
        left, top, right, bottom = self.box
        return Recognised(
            text=self.text, score=self.score, box=(left * factor, top, right * factor, bottom), centres=()
        )


def letters_are_wide(lines: Sequence[Recognised]) -> bool:
    """Whether many letters of a picture stand further apart than those of ordinary type.

    Chinese characters are as wide as high in ordinary type, so lines that hold some do not count.
    """
    latin = [line for line in lines if not any(character >= "\u2e80" for character in line.text)]
    wide = sum(line.letters for line in latin if line.pitch >= WIDE)
    return wide > 0 and wide >= SHARE * sum(line.letters for line in latin)


def better_readings(plain: Sequence[Recognised], squeezed: Sequence[Recognised]) -> list[Recognised]:
    """Two readings of one picture as one: of lines at the same place those for which more speaks.

    Where both found the same letters the plain line stays, which tells where each letter stands, and that decides about
    spaces that only one of them saw.
    """
    kept: list[Recognised] = []
    for ours, theirs in _same_places(plain, squeezed):
        rows = (_in_one(ours), _in_one(theirs)) if ours and theirs else None
        if rows is not None and rows[0].same_letters(rows[1]):
            kept.append(_spaced(rows[0], rows[1].text))
        elif theirs and _evidence(theirs, SURE - _favour(ours, theirs)) >= _evidence(ours, SURE):
            kept += theirs
        else:
            kept += ours
    return kept


def _spaced(line: Recognised, other: str) -> Recognised:
    """A line with those of its own spaces and of the other reading's that are as wide as a space."""
    letters = "".join(line.text.split())
    if len(line.centres) != len(letters):
        return line
    ends = piece_ends(line.text.split()), piece_ends(other.split())
    steps = [right - left for left, right in pairwise(line.centres)]
    pitch = statistics.median(
        [step for i, step in enumerate(steps, start=1) if i not in ends[0] & ends[1]] or steps or [0]
    )
    spaces = ends[0] & ends[1] | {i for i in ends[0] ^ ends[1] if steps[i - 1] >= SPACE * pitch}
    return replace(line, text="".join(" " * (i in spaces) + letter for i, letter in enumerate(letters)))


def _in_one(lines: Sequence[Recognised]) -> Recognised:
    """The lines of one row as a single one."""
    row = sorted(lines, key=lambda line: line.box[0])
    lefts, tops, rights, bottoms = zip(*(line.box for line in row), strict=True)
    return Recognised(
        text=" ".join(line.text for line in row),
        score=sum(line.score * line.letters for line in row) / max(1, sum(line.letters for line in row)),
        box=(min(lefts), min(tops), max(rights), max(bottoms)),
        centres=tuple(centre for line in row for centre in line.centres),
    )


def _favour(plain: Sequence[Recognised], squeezed: Sequence[Recognised]) -> float:
    """What the squeezed reading is granted: nothing where it lost letters of which the other one is certain.

    Capitals of ordinary type are lost so.
    """
    certain = all(line.score >= CERTAIN for line in plain)
    return 0.0 if certain and _alphanumeric(squeezed) < _alphanumeric(plain) else FAVOUR


def _alphanumeric(lines: Sequence[Recognised]) -> int:
    return sum(character.isalnum() for line in lines for character in line.text)


def _evidence(lines: Sequence[Recognised], sure: float) -> float:
    """More letters and surer ones speak for a reading."""
    return sum(line.letters * (line.score - sure) for line in lines) if lines else float("-inf")


def rows_apart(quads: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes of lines, (lines, 4 corners from the upper left, 2), that share no pixels with the row above or below.

    The detector leaves a margin, and in tight rows the tips of the next row's letters stand in it: under a word space
    they were read as `_`. What two rows share is divided between them.
    """
    tops, bottoms = quads[:, :, 1].min(axis=1), quads[:, :, 1].max(axis=1)
    lefts, rights = quads[:, :, 0].min(axis=1), quads[:, :, 0].max(axis=1)
    apart = quads.copy()
    for i in range(len(quads)):
        beside = (lefts < rights[i]) & (rights > lefts[i])
        most = np.minimum(bottoms - tops, bottoms[i] - tops[i]) / 2  # more than that: the same row
        shared_below, shared_above = bottoms[i] - tops, bottoms - tops[i]
        below = beside & (tops > tops[i]) & (shared_below > 0) & (shared_below < most)
        above = beside & (tops < tops[i]) & (shared_above > 0) & (shared_above < most)
        apart[i, 2:, 1] -= max(shared_below[below], default=0) / 2
        apart[i, :2, 1] += max(shared_above[above], default=0) / 2
    return apart


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
