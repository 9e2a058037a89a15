"""Small texts: one line of an error, a size, the nearest known name, the parts of an address."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

LONGEST = 300  # characters of a foreign message inside one of ours


def one_line(text: object, longest: int = LONGEST) -> str:
    """A text, or an error's message, on one line and not too long; for an error without a message its kind."""
    line = " ".join(str(text).split())[:longest]
    return line or (type(text).__name__ if isinstance(text, BaseException) else "")


def size_text(count: float) -> str:
    """A number of bytes with three digits, in MB or, from a thousand of these on, in GB."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that is spelt most like this one, or None where none is like it."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for a name that is nearly a known one, else an empty text."""
    near = nearest(name, known)
    return "" if near is None else f"did you mean {near!r}?"


def split_url(text: str) -> SplitResult | None:
    """The parts of an address; None for what is none, such as one with half a bracket or a port of letters."""
    try:
        parts = urlsplit(text.strip())
        _ = parts.port
    except ValueError:
        return None
    return parts
