"""Any other question: equality of the texts; what is not equal is left to a judge."""

from __future__ import annotations

from dataclasses import dataclass

from inkwash.rl.verifiers.verdict import EqualityVerifier


@dataclass(frozen=True, kw_only=True)
class General(EqualityVerifier):
    """The domain `general`. The released configuration gives no box here, so the whole answer counts without one."""

    strict_boxed_extraction: bool = False
