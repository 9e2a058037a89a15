"""Proposes the tokens that probably come next, so that one pass of a model reads several.

A model reads some proposals in one pass and draws at each place as it would have drawn alone; what differs from the
proposal, and all behind it, is thrown away. So the tokens are the same with and without proposals (speculative
decoding, arXiv:2211.17192, where the draft is a lookup and both sides throw the same dice).

`NgramProposer` serves answers, which repeat names of the question, brackets of boxes and rows of tables.
`GridProposer` serves plans: a picture is mostly background, its letters return, and a plan resembles its preview or the
picture that it edits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from inkwash.models.glm_image.positions import Grid

NONE = -1  # no place, or no code: neither is negative
MOST = 8  # tokens that an answer proposes at once
_PAUSE = 3  # tokens without a proposal after a wrong one
# A further row costs about a sixth of a pass; it pays where it is right more often than that, and some more.
WORTH = 0.3
# The odds of a way to guess: before its first guess, and how much the last one leaves of them.
AT_FIRST, KEEP = 0.5, 0.8

# The ways, the first of equal odds counts: what stood beside the same three or two codes before, what stands at the
# same place of the grid before or of the edited picture, and the last code again.
THREE, TWO, SAME_PLACE, LAST = range(4)


class Proposer(Protocol):
    """What is known about one sequence while it is drawn."""

    def add(self, token: int) -> None:
        """The next token was drawn."""

    def propose(self, most: int) -> list[int]:
        """Up to `most` tokens that probably come next, as far as reading them pays."""


class NgramProposer:
    """What stood behind the same two tokens before (prompt lookup, Saxena 2023).

    How far is proposed follows from how often it was right of late.
    """

    def __init__(self, prompt: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._after: dict[tuple[int, int], int] = {}
        self._reach, self._wait = 2, 0
        self._proposed, self._left = 0, list[int]()  # of the last proposal: how many, and those not drawn yet
        for token in prompt:
            self.add(token)

    def add(self, token: int) -> None:
        """The next token of the conversation."""
        self._tokens.append(token)
        count = len(self._tokens)
        if count > 2:
            self._after[self._tokens[-3], self._tokens[-2]] = count - 1
        if self._left and self._left[0] == token:
            self._left.pop(0)

    def propose(self, most: int) -> list[int]:
        """Some tokens that may follow."""
        if self._proposed:
            if not self._left:
                self._reach = min(MOST, 2 * self._reach)
            elif len(self._left) == self._proposed:
                self._reach, self._wait = max(1, self._reach // 2), _PAUSE
            self._proposed, self._left = 0, []
        if self._wait:
            self._wait -= 1
            return []
        place = self._after.get((self._tokens[-2], self._tokens[-1])) if len(self._tokens) > 1 else None
        if place is None:
            return []
        found = self._tokens[place : place + min(self._reach, most)]
        self._proposed, self._left = len(found), list(found)
        return found


class GridProposer:
    """What the neighbours on the grid make likely.

    There are several ways to guess, and a guess costs nothing to judge: the code that is drawn in the end shows what
    would have been right, whether it was read or not. How often each way was right lately says which one to follow and
    how far it pays to read ahead; in random codes, not at all.

    grids: those of the plan, in order. edited: codes of the picture that is edited, on the grid of the plan's last.
    """

    def __init__(self, grids: Sequence[Grid], edited: Sequence[int] = ()) -> None:
        self._places = _places(tuple(grids))
        self._edited = [NONE] * (len(self._places) - len(edited)) + list(edited)
        self._codes: list[int] = []
        self._after_three: dict[tuple[int, int, int], int] = {}
        self._after_two: dict[tuple[int, int], int] = {}
        self._odds: dict[tuple[int, bool], float] = {}  # of a way, after a wrong guess and after a right one
        self._right = False

    def add(self, token: int) -> None:
        """The next code was drawn."""
        code = token
        if self._codes:
            after, candidates = self._right, self._candidates()
            self._right = self._best(candidates, after)[1] == code
            for way, guess in candidates:
                self._odds[way, after] = KEEP * self._odds.get((way, after), AT_FIRST) + (1 - KEEP) * (guess == code)
        left, above, corner = self._around()
        self._after_three[left, above, corner] = self._after_two[left, above] = code
        self._codes.append(code)

    def propose(self, most: int) -> list[int]:
        """Up to `most` codes that probably come next, as far as reading them pays."""
        codes, known = self._codes, len(self._codes)
        end = min(known + most, len(self._places))
        right, all_right = self._right, 1.0
        while len(codes) < end:
            way, guess = self._best(self._candidates(), right)
            all_right *= self._odds.get((way, right), AT_FIRST)
            if all_right < WORTH:
                break
            codes.append(guess)
            right = True  # or else the next one does not count
        found = codes[known:]
        del codes[known:]
        return found

    def _best(self, candidates: Sequence[tuple[int, int]], right: bool) -> tuple[int, int]:
        return max(candidates, key=lambda each: self._odds.get((each[0], right), AT_FIRST))

    def _candidates(self) -> list[tuple[int, int]]:
        """The ways that have a guess at the next code, and their guesses."""
        at = len(self._codes)
        left, above, corner = self._around()
        found = []
        if (code := self._after_three.get((left, above, corner))) is not None:
            found.append((THREE, code))
        if (code := self._after_two.get((left, above))) is not None:
            found.append((TWO, code))
        if (code := self._edited[at]) != NONE or (code := self._code(self._places[at].before)) != NONE:
            found.append((SAME_PLACE, code))
        return [*found, (LAST, self._codes[-1])]

    def _around(self) -> tuple[int, int, int]:
        """The codes on the left of the next place, above it, and above on the right."""
        place = self._places[len(self._codes)]
        return self._code(place.left), self._code(place.above), self._code(place.corner)

    def _code(self, place: int) -> int:
        return NONE if place == NONE else self._codes[place]


class _Place(NamedTuple):
    """Places in the order of the plan, NONE where there is none."""

    left: int
    above: int
    corner: int  # above on the right
    before: int  # at the same row and column of the grid before


@lru_cache(maxsize=64)
def _places(grids: tuple[Grid, ...]) -> tuple[_Place, ...]:
    found: list[_Place] = []
    start, last = 0, (0, 0)
    for rows, columns in grids:
        first = len(found)
        for row in range(rows):
            for column in range(columns):
                at = len(found)
                above = at - columns if row else NONE
                found.append(
                    _Place(
                        left=at - 1 if column else NONE,
                        above=above,
                        corner=above + 1 if row and column + 1 < columns else NONE,
                        before=start + row * last[1] + column if row < last[0] and column < last[1] else NONE,
                    )
                )
        start, last = first, (rows, columns)
    return tuple(found)
