"""Questions about a picture: equality of the short answers; what is not equal is left to a judge."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.verdict import EqualityVerifier


@dataclass(frozen=True, kw_only=True)
class Vqa(EqualityVerifier):
    """The domain `vqa`."""
