"""Notices that a model has begun to say the same thing over and over, token by token, as a rule to stop by.

For every period up to the longest one, the detector counts how many tokens in a row equal the one a period earlier. A
loop is several full repetitions that together are long enough, so that a table of zeros or a line of dashes of
ordinary length passes.
"""

from __future__ import annotations

import numpy as np

from inkwash.core.errors import ConfigError


class RepetitionDetector:
    """Fed with every generated token of one answer; `add` says whether the answer now ends in a loop."""

    def __init__(self, *, longest: int = 256, times: int = 4, least: int = 96) -> None:
        """A loop is a span of up to `longest` tokens said `times` times or more, over at least `least` tokens."""
        if longest < 1 or times < 2 or least < 1:
            raise ConfigError(
                f"longest and least must be at least 1 and times at least 2, got {longest}, {least} and {times}."
            )
        periods = np.arange(1, longest + 1)
        self._needed = np.maximum(periods * (times - 1), least - periods)
        self._last = np.full(longest, -1, dtype=np.int64)  # the last tokens, newest first
        self._equal = np.zeros(longest, dtype=np.int64)  # tokens in a row that equal the one a period earlier

    def add(self, token: int) -> bool:
        """Take the next token (0 or above); True while the answer ends in a loop."""
        self._equal = np.where(self._last == token, self._equal + 1, 0)
        self._last = np.roll(self._last, 1)
        self._last[0] = token
        return bool((self._equal >= self._needed).any())

    @property
    def period(self) -> int | None:
        """Length of the shortest span that the answer repeats now, if it does."""
        looping = np.flatnonzero(self._equal >= self._needed)
        return int(looping[0]) + 1 if looping.size else None
