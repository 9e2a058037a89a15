"""Small texts of messages: one line of an error, the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 300  # characters of a foreign message inside one of ours


def one_line(text: object, longest: int = LONGEST) -> str:
    """A text, or an error's message, on one line and not too long; for an error without a message its kind."""
    line = " ".join(str(text).split())[:longest]
    return line or (type(text).__name__ if isinstance(text, BaseException) else "")


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that is spelt most like this one, or None where none is like it."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for a name that is nearly a known one, else an empty text."""
    near = nearest(name, known)
    return "" if near is None else f"did you mean {near!r}?"
