"""Seeds of pictures and answers: whole numbers from 0 below 2**63; those that nobody asked for are short."""

from __future__ import annotations

import hashlib
import secrets

SEEDS = 2**63
_DRAWN = 2**32  # short enough to type again


def draw_seed() -> int:
    """A seed nobody asked for."""
    return secrets.randbelow(_DRAWN)


def following_seed(seed: int, number: int) -> int:
    """The seed of picture `number` of a request whose first picture has `seed`."""
    return (seed + number) % SEEDS


def derived_seed(*parts: object) -> int:
    """A seed that follows from some values, and looks like any other."""
    return int.from_bytes(hashlib.sha256(":".join(map(str, parts)).encode()).digest()[:8], "little") % SEEDS
