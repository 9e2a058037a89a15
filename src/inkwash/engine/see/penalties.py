"""What is taken from or added to the logits of tokens before one is chosen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Penalties:
    """Makes tokens that were there already less likely; `add` every token that is said.

    repetition divides the logits of all tokens of prompt and answer (Keskar et al., arXiv:1909.05858); frequency and
    presence are taken from those of the answer alone, as the OpenAI API defines them; bias is added to single tokens.
    """

    def __init__(
        self,
        prompt: Tensor,
        logits: Tensor,
        *,
        repetition: float = 1.0,
        frequency: float = 0.0,
        presence: float = 0.0,
        bias: Sequence[tuple[int, float]] = (),
    ) -> None:
        self.repetition, self.frequency, self.presence = repetition, frequency, presence
        self.seen: Tensor | None = None
        self.counts: Tensor | None = None
        self.bias: Tensor | None = None
        if repetition != 1.0:
            self.seen = torch.zeros_like(logits, dtype=torch.bool)
            self.seen[0, prompt.to(logits.device)] = True
        if frequency or presence:
            self.counts = torch.zeros_like(logits, dtype=torch.float32)
        if bias:
            self.bias = torch.zeros_like(logits, dtype=torch.float32)
            for token, value in bias:
                self.bias[0, token] = value

    def add(self, token: int) -> None:
        """A token was said."""
        if self.seen is not None:
            self.seen[0, token] = True
        if self.counts is not None:
            self.counts[0, token] += 1

    def __call__(self, logits: Tensor) -> Tensor:
        """Logits (1, V)."""
        if self.seen is not None:
            weaker = torch.where(logits > 0, logits / self.repetition, logits * self.repetition)
            logits = torch.where(self.seen, weaker, logits)
        if self.counts is not None:
            logits = logits - self.frequency * self.counts - self.presence * (self.counts > 0)
        return logits if self.bias is None else logits + self.bias
