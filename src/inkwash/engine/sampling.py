"""How one semantic token is chosen: temperature, top-k, nucleus, and one uniform number per token.

Inverse-CDF sampling: the kept probabilities stand in falling order and the uniform number says how far to walk. Each
row's choice depends on its own logits and its own number only, never on other rows or on global random state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inkwash.core import limits
from inkwash.core.errors import RequestError


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Temperature 0 is greedy. `codes_only` keeps image marks and reserved ids out of the picture's grid.

    The reference samples over the whole vision vocabulary and may therefore stop a token early; that is
    `codes_only=False`, which is kept for comparisons.
    """

    temperature: float = 0.9
    top_p: float = 0.75
    top_k: int | None = None
    codes_only: bool = True

    def __post_init__(self) -> None:
        limits.check_temperature(self.temperature)
        limits.check_top_p(self.top_p)
        if self.top_k is not None and self.top_k < 1:
            raise RequestError(f"top_k is {self.top_k}, but must be at least 1, or None for no limit.", param="top_k")


def choose(logits: Tensor, uniforms: Tensor, sampling: Sampling) -> Tensor:
    """Token ids (B,) from logits (B, V) and numbers (B,) in [0, 1); fp32, since bf16 cannot hold a CDF."""
    logits = logits.float()
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = (logits / sampling.temperature).softmax(dim=-1)
    ordered, ids = probabilities.sort(dim=-1, descending=True, stable=True)
    mass = ordered.cumsum(dim=-1)
    limit = min(sampling.top_k or logits.shape[-1], logits.shape[-1])
    nucleus = sampling.top_p * mass[:, limit - 1 : limit]  # top-p counts within the top-k, as in the reference
    last = ((mass - ordered)[:, :limit] < nucleus).sum(dim=-1, keepdim=True).clamp(min=1) - 1
    reach = uniforms[:, None].to(mass) * mass.gather(-1, last)
    place = torch.searchsorted(mass, reach, right=True).minimum(last)
    return ids.gather(-1, place)[:, 0]
