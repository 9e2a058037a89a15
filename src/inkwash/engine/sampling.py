"""How one semantic token is chosen: temperature, top-k, nucleus, and one uniform number per token.

Inverse-CDF sampling: the kept probabilities stand in falling order and the uniform number says how far to walk. Each
row's choice depends on its own logits and its own number only, never on other rows or on global random state.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.core import limits
from inkwash.core.errors import RequestError

LIKELIEST = 64  # how many codes `pick` looks at first


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


@dataclass(frozen=True)
class SamplingRows:
    """The settings of several rows as tensors (B,) on the logits' device, for `choose_rows`."""

    temperature: Tensor
    top_p: Tensor
    top_k: Tensor  # the size of the vocabulary for no limit

    @classmethod
    def of(cls, rows: Sequence[Sampling], vocabulary: int, device: torch.device | str = "cpu") -> SamplingRows:
        limits = [min(row.top_k or vocabulary, vocabulary) for row in rows]
        return cls(
            torch.tensor([row.temperature for row in rows], device=device),
            torch.tensor([row.top_p for row in rows], device=device),
            torch.tensor(limits, device=device),
        )


def choose(logits: Tensor, uniforms: Tensor, sampling: Sampling) -> Tensor:
    """Token ids (B,) from logits (B, V) and numbers (B,) in [0, 1), one setting for all rows."""
    rows = SamplingRows.of([sampling], logits.shape[-1], logits.device)
    return choose_rows(logits, uniforms, rows)


def choose_rows(logits: Tensor, uniforms: Tensor, rows: SamplingRows) -> Tensor:
    """Token ids (B,) from logits (B, V), numbers (B,) and each row's settings; waits for no device.

    Chances in fp32, since bf16 cannot hold a CDF; their sums in fp64, so that no order of adding matters.
    """
    logits = logits.float()
    greedy = rows.temperature == 0
    chances = (logits / torch.where(greedy, 1.0, rows.temperature)[:, None]).softmax(dim=-1)
    ordered, ids = chances.sort(dim=-1, descending=True, stable=True)
    ordered = ordered.double()
    mass = ordered.cumsum(dim=-1)
    limit = rows.top_k[:, None].expand(len(logits), 1)
    whole = torch.where(limit < logits.shape[-1], mass.gather(-1, limit - 1), 1.0)
    nucleus = rows.top_p[:, None].double() * whole  # top-p counts within the top-k, as in the reference
    before = F.pad(mass[:, :-1], (1, 0))
    place = torch.arange(logits.shape[-1], device=logits.device)
    last = ((before < nucleus) & (place < limit)).sum(dim=-1, keepdim=True).clamp(min=1) - 1
    reach = uniforms[:, None].double() * mass.gather(-1, last)
    chosen = torch.searchsorted(mass, reach, right=True).minimum(last)
    return torch.where(greedy, logits.argmax(dim=-1), ids.gather(-1, chosen)[:, 0])


def pick(logits: Tensor, uniforms: Sequence[float], rows: Sequence[Sampling]) -> list[int]:
    """`choose_rows` on a CPU, about ten times as fast: a nucleus is small, so only the likeliest codes are sorted.

    Rows whose nucleus is wider, or in which equal chances leave the order open, take the long way.
    """
    vocabulary = logits.shape[-1]
    temperatures = torch.tensor([row.temperature or 1.0 for row in rows])
    chances = (logits.float() / temperatures[:, None]).softmax(dim=-1)
    best, ids = chances.topk(min(LIKELIEST, vocabulary), dim=-1)
    tokens = []
    for number, (row, some, names) in enumerate(zip(rows, best.tolist(), ids.tolist(), strict=True)):
        token = None if row.temperature == 0 else _walk(some, names, uniforms[number], row, vocabulary)
        if token is None:
            one = logits[number : number + 1]
            token = int(choose(one, torch.tensor([uniforms[number]], dtype=torch.float32), row))
        tokens.append(token)
    return tokens


def _walk(chances: list[float], ids: list[int], number: float, row: Sampling, vocabulary: int) -> int | None:
    """The token where a walk of `number` through the nucleus ends; None if these chances do not settle it."""
    limited = row.top_k is not None and row.top_k < vocabulary
    if limited and (row.top_k or 0) >= len(chances):
        return None
    limit = (row.top_k or 0) if limited else len(chances)
    masses, mass = [], 0.0
    for chance in chances[:limit]:
        mass += chance
        masses.append(mass)
    nucleus = _float32(row.top_p) * (mass if limited else 1.0)
    last = next((i for i, reached in enumerate(masses) if reached >= nucleus), None)
    if last is None:
        if not limited:
            return None
        last = limit - 1
    if last + 1 == len(chances) < vocabulary or any(a == b for a, b in pairwise(chances[: last + 2])):
        return None  # the order of equal chances is not topk's to choose
    reach = number * masses[last]
    return ids[next((i for i in range(last) if masses[i] > reach), last)]


def _float32(value: float) -> float:
    """The nearest number that fits in 32 bits, as the tensors of `SamplingRows` hold it."""
    return float(struct.unpack("f", struct.pack("f", value))[0])
