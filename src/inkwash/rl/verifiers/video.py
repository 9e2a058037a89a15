"""Questions about a video: equality; what is not equal is left to a judge (arXiv 2507.01006, table of rewards)."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.verdict import EqualityVerifier


@dataclass(frozen=True, kw_only=True)
class VideoVerifier(EqualityVerifier):
    """The domain `video` of the paper, absent from the public system."""
