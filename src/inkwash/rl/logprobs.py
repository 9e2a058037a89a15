"""Log-probabilities of sampled tokens under the law that they were sampled from.

A sampler that cuts its tail (top-p, min-p) draws from the renormalised rest. Both policies are therefore renormalised
over the *same* ids, those that the sampler kept when the token was drawn ("keep the sampling mask", DeepSeek-V3.2,
arXiv:2512.02556). Cutting anew with the new weights would give tokens that have left their nucleus no probability at
all; not cutting would push on tokens that could never be drawn. Where one id was kept there was no choice: the term is
0 and has no gradient, so such tokens are left out from the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True, kw_only=True)
class KeptIds:
    """The kept ids of tokens one after another: `values` cut at `offsets` (tokens + 1,)."""

    values: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, sets: Sequence[Tensor]) -> KeptIds:
        sizes = torch.tensor([0, *(len(each) for each in sets)])
        values = torch.cat(list(sets)) if sets else torch.empty(0, dtype=torch.long)
        return cls(values=values.int(), offsets=sizes.cumsum(0))

    @property
    def counts(self) -> Tensor:
        """How many ids each token could have been."""
        return self.offsets.diff()

    @property
    def choice(self) -> Tensor:
        """Which tokens were a choice, bool (tokens,)."""
        return self.counts > 1

    def padded(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The sets of some tokens as ids (n, K) and which of them exist (n, K)."""
        sets = [self.values[self.offsets[i] : self.offsets[i + 1]].long() for i in chosen.nonzero()[:, 0].tolist()]
        if not sets:
            return torch.zeros(0, 1, dtype=torch.long), torch.zeros(0, 1, dtype=torch.bool)
        ids = pad_sequence(sets, batch_first=True)
        lengths = torch.tensor([len(each) for each in sets])
        return ids, torch.arange(ids.shape[1]) < lengths[:, None]


def token_logps(
    logits: Tensor, tokens: Tensor, ids: Tensor, there: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Log-probabilities (n,) of tokens (n,) and entropies (n,), fp32, of logits (n, V) over the ids (n, K) that exist.

    Every token must be among its ids.
    """
    scaled = logits.float() / temperature
    inside = scaled.gather(1, ids).masked_fill(~there, -torch.inf)
    total = inside.logsumexp(1)
    logps = inside - total[:, None]
    entropy = -(logps.exp() * logps.masked_fill(~there, 0.0)).sum(1)
    return scaled.gather(1, tokens[:, None])[:, 0] - total, entropy
