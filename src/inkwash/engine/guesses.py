"""Guesses the next codes of a plan, so that one pass of the generator can draw several.

A picture is mostly background, and its letters return: the code at a place is often the one that stood, earlier in the
plan, to the right of the same code and below the same codes. The generator reads some guesses in one pass and draws at
each place as it would have drawn alone; what differs from the guess, and all behind it, is thrown away. So a plan is
the same with and without guesses (speculative decoding, arXiv:2211.17192, where the draft is a lookup and the dice are
the same).

A guess costs nothing to judge: the code that is drawn in the end shows what would have been right, whether it was read
or not. How often each kind of guess was right lately says how far it pays to read ahead; in random codes, not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from inkwash.models.glm_image.positions import Grid

NONE = -1  # no neighbour; no code is negative
WORTH = (
    0.35  # a further row costs about a fifth of a pass; it pays where it is right more often than that, and some more
)
AT_FIRST, KEEP = 0.5, 0.8  # the odds of a kind of guess: before the first, and how much the last one leaves of them


class Guesses:
    """What is known about one plan while it is drawn.

    grids: those of the plan, in order. expected: codes of the last grid as they will probably be, such as those of a
    picture that is edited; used where the plan itself says nothing yet.
    """

    def __init__(self, grids: Sequence[Grid], expected: Sequence[int] = ()) -> None:
        self._neighbours = _neighbours(tuple(grids))
        self._expected = [NONE] * (len(self._neighbours) - len(expected)) + list(expected)
        self._codes: list[int] = []
        self._after_three: dict[tuple[int, int, int], int] = {}
        self._after_two: dict[tuple[int, int], int] = {}
        self._odds: dict[tuple[int, bool], float] = {}
        self._right = False  # whether the last guess was

    def saw(self, code: int) -> None:
        """The next code was drawn."""
        if self._codes:
            guess, kind = self._guess()
            key = kind, self._right
            self._right = guess == code
            self._odds[key] = KEEP * self._odds.get(key, AT_FIRST) + (1 - KEEP) * self._right
        left, above, corner = self._around()
        self._after_three[left, above, corner] = self._after_two[left, above] = code
        self._codes.append(code)

    def ahead(self, most: int) -> list[int]:
        """Up to `most` codes that probably come next, as far as reading them pays."""
        codes, known = self._codes, len(self._codes)
        most = min(most, len(self._neighbours) - known)
        right, all_right = self._right, 1.0
        while len(codes) - known < most:
            guess, kind = self._guess()
            all_right *= self._odds.get((kind, right), AT_FIRST)
            if all_right < WORTH:
                break
            codes.append(guess)
            right = True  # else it is not read
        found = codes[known:]
        del codes[known:]
        return found

    def _guess(self) -> tuple[int, int]:
        """The likeliest next code and how it was found: 3 or 2 equal neighbours, the expected one, the last one."""
        left, above, corner = self._around()
        if (code := self._after_three.get((left, above, corner))) is not None:
            return code, 3
        if (code := self._after_two.get((left, above))) is not None:
            return code, 2
        if (code := self._expected[len(self._codes)]) != NONE:
            return code, 1
        return self._codes[-1], 0

    def _around(self) -> tuple[int, int, int]:
        """The codes on the left of the next place, above it, and above on the right."""
        codes = self._codes
        left, above, corner = self._neighbours[len(codes)]
        return (
            NONE if left < 0 else codes[left],
            NONE if above < 0 else codes[above],
            NONE if corner < 0 else codes[corner],
        )


@lru_cache(maxsize=64)
def _neighbours(grids: tuple[Grid, ...]) -> tuple[tuple[int, int, int], ...]:
    """For each place of a plan the places on its left, above it, and above on the right; NONE where there is none."""
    found: list[tuple[int, int, int]] = []
    for rows, columns in grids:
        for row in range(rows):
            for column in range(columns):
                at = len(found)
                above = at - columns if row else NONE
                found.append((at - 1 if column else NONE, above, above + 1 if row and column + 1 < columns else NONE))
    return tuple(found)
