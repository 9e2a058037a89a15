"""Guesses what comes next from what stood after the same two tokens before, so that several tokens cost one pass.

The model reads a guess in one pass and keeps as much of it as it would have said itself, so the answer is the same and
only the number of passes changes. Answers repeat a lot: names of the question, brackets of boxes, rows of tables.
How far is guessed follows from how often it was right of late.
Source: prompt lookup, Saxena 2023; speculative decoding, Leviathan et al. 2022, arXiv:2211.17192.
"""

from __future__ import annotations

from collections.abc import Sequence

MOST = 8  # tokens of a guess
_PAUSE = 3  # tokens without a guess after a wrong one


class Drafts:
    """Everything said in a conversation, findable by its last two tokens."""

    def __init__(self, prompt: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._after: dict[tuple[int, int], int] = {}
        self._reach, self._wait, self._guessed = 2, 0, 0
        for token in prompt:
            self.add(token)

    def add(self, token: int) -> None:
        """The next token of the conversation."""
        self._tokens.append(token)
        count = len(self._tokens)
        if count > 2:
            self._after[self._tokens[-3], self._tokens[-2]] = count - 1

    def guess(self, *, missed: int) -> list[int]:
        """Some tokens that may follow; ``missed`` of the last guess were not said."""
        if self._guessed:
            if missed == 0:
                self._reach = min(MOST, 2 * self._reach)
            elif missed == self._guessed:
                self._reach, self._wait = max(1, self._reach // 2), _PAUSE
            self._guessed = 0
        if self._wait:
            self._wait -= 1
            return []
        if len(self._tokens) < 2:
            return []
        place = self._after.get((self._tokens[-2], self._tokens[-1]))
        if place is None:
            return []
        found = self._tokens[place : place + self._reach]
        self._guessed = len(found)
        return found
