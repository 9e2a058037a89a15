"""How one semantic token is chosen: temperature, top-k, nucleus, min-p, and one uniform number per token.

Inverse-CDF sampling: the kept probabilities stand in falling order and the uniform number says how far to walk. Each
row's choice depends on its own logits and its own number only, never on other rows or on global random state.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.core import limits
from inkwash.core.errors import RequestError
from inkwash.nn.finite import NotFiniteError

GENERATOR = "The AR generator"  # in a sentence about its numbers
LIKELIEST = 64  # how many codes `pick` sorts
HALF_MARGIN = 1e-3  # a chance that much above a half has no equal, however its sum was rounded


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Temperature 0 is greedy. `codes_only` keeps image marks and reserved ids out of the picture's grid.

    `min_p` leaves out what is less likely than that share of the likeliest (arXiv:2407.01082). A nucleus leaves out
    every second thought once one code has most of the chances: where a line may begin in any of ten rows, "not yet"
    is the likeliest everywhere and the line is never begun. Beside a letter that is certain min-p leaves nothing,
    beside an empty cell it leaves the line its chance.

    The reference samples over the whole vision vocabulary and may therefore stop a token early; that is
    `codes_only=False`, which is kept for comparisons.
    """

    temperature: float = 0.9
    top_p: float = 0.75
    top_k: int | None = None
    min_p: float = 0.0
    codes_only: bool = True

    def __post_init__(self) -> None:
        limits.check_temperature(self.temperature)
        limits.check_top_p(self.top_p)
        limits.check_real("min_p", self.min_p, 0.0, 1.0)
        if self.top_k is not None and self.top_k < 1:
            raise RequestError(f"top_k is {self.top_k}, but must be at least 1, or None for no limit.", param="top_k")


@dataclass(frozen=True)
class SamplingRows:
    """The settings of several rows as tensors (B,) on the logits' device, for `choose_rows`."""

    temperature: Tensor
    top_p: Tensor
    top_k: Tensor  # the size of the vocabulary for no limit
    min_p: Tensor

    @classmethod
    def of(cls, rows: Sequence[Sampling], vocabulary: int, device: torch.device | str = "cpu") -> SamplingRows:
        limits = [min(row.top_k or vocabulary, vocabulary) for row in rows]
        return cls(
            torch.tensor([row.temperature for row in rows], device=device),
            torch.tensor([row.top_p for row in rows], device=device),
            torch.tensor(limits, device=device),
            torch.tensor([row.min_p for row in rows], device=device),
        )


def choose(logits: Tensor, uniforms: Tensor, sampling: Sampling) -> Tensor:
    """Token ids (B,) from logits (B, V) and numbers (B,) in [0, 1), one setting for all rows."""
    rows = SamplingRows.of([sampling], logits.shape[-1], logits.device)
    return choose_rows(logits, uniforms, rows)


def choose_rows(logits: Tensor, uniforms: Tensor, rows: SamplingRows) -> Tensor:
    """Token ids (B,) from logits (B, V), numbers (B,) and each row's settings; waits for no device.

    Chances in fp32, since bf16 cannot hold a CDF; their sums in fp64, so that no order of adding matters.
    """
    greedy = rows.temperature == 0
    mass, ids, last = _ordered(logits, rows)
    reach = uniforms[:, None].double() * mass.gather(-1, last)
    chosen = torch.searchsorted(mass, reach, right=True).minimum(last)
    return torch.where(greedy, logits.argmax(dim=-1), ids.gather(-1, chosen)[:, 0])


def kept(logits: Tensor, rows: SamplingRows) -> Tensor:
    """Which ids (B, V), bool, each row of logits may draw: every one that `choose_rows` or `pick` can return."""
    chances = _chances(logits, rows)
    if bool((rows.top_p >= 1).all()) and bool((rows.top_k >= logits.shape[-1]).all()):  # min-p alone needs no order
        likely = chances >= rows.min_p[:, None] * chances.amax(dim=-1, keepdim=True)
    else:
        _, ids, last = _ordered(logits, rows)
        place = torch.arange(logits.shape[-1], device=logits.device)
        likely = torch.zeros_like(ids, dtype=torch.bool).scatter(-1, ids, place <= last)
    best = F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).bool()
    return torch.where((rows.temperature == 0)[:, None], best, likely)


def _chances(logits: Tensor, rows: SamplingRows) -> Tensor:
    """Probabilities (B, V), fp32."""
    return (logits.float() / torch.where(rows.temperature == 0, 1.0, rows.temperature)[:, None]).softmax(dim=-1)


def _ordered(logits: Tensor, rows: SamplingRows) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of the chances in falling order (B, V), fp64, their ids, and the place (B, 1) of the last one kept."""
    ordered, ids = _chances(logits, rows).sort(dim=-1, descending=True, stable=True)
    likely = ordered >= rows.min_p[:, None] * ordered[:, :1]
    ordered = ordered.double()
    mass = ordered.cumsum(dim=-1)
    limit = rows.top_k[:, None].expand(len(logits), 1)
    whole = torch.where(limit < logits.shape[-1], mass.gather(-1, limit - 1), 1.0)
    nucleus = rows.top_p[:, None].double() * whole  # top-p counts within the top-k, as in the reference
    before = F.pad(mass[:, :-1], (1, 0))
    place = torch.arange(logits.shape[-1], device=logits.device)
    last = ((before < nucleus) & (place < limit) & likely).sum(dim=-1, keepdim=True).clamp(min=1) - 1
    return mass, ids, last


@dataclass
class Trace:
    """What a plan could have drawn, token by token: the ids that were kept, and the sampler's log-probability.

    Training by reinforcement renormalises over these ids: the truncated law is the one that was sampled from.
    """

    ids: list[Tensor] = field(default_factory=list)  # of each token
    logps: list[float] = field(default_factory=list)

    def saw(self, logits: Tensor, tokens: Sequence[int], sampling: Sampling) -> None:
        """Note the tokens that were drawn from these logits (n, codes)."""
        rows = SamplingRows.of([sampling] * len(tokens), logits.shape[-1], logits.device)
        inside = kept(logits, rows)
        scaled = logits.float() / (sampling.temperature or 1.0)
        for row, token in enumerate(tokens):
            ids = inside[row].nonzero()[:, 0]
            if not bool(inside[row, token]):  # chosen by another order of adding, at the very edge of the nucleus
                ids = torch.cat([ids, torch.tensor([token])]).sort().values
            self.ids.append(ids)
            self.logps.append(float(scaled[row, token] - scaled[row, ids].logsumexp(0)))


def pick(logits: Tensor, uniforms: Sequence[float], rows: Sequence[Sampling]) -> list[int]:
    """`choose_rows` on a CPU, more than ten times as fast.

    A code whose chance alone is the nucleus, or beside which nothing is likely enough, needs no order. Otherwise few
    codes are left, so only the likeliest are sorted; rows where more are, or in which equal chances leave the order
    open, take the long way.
    """
    temperatures = torch.tensor([row.temperature or 1.0 for row in rows])
    chances = (logits.float() / temperatures[:, None]).softmax(dim=-1)
    largest, codes = chances.max(dim=-1)
    tokens = []
    for number, (row, chance, code) in enumerate(zip(rows, largest.tolist(), codes.tolist(), strict=True)):
        if not chance > 0:  # NaN
            raise NotFiniteError(GENERATOR)
        if row.temperature == 0:
            tokens.append(int(logits[number].argmax()))
        elif chance >= max(_float32(row.top_p), 0.5 + HALF_MARGIN) or 1.0 + HALF_MARGIN - chance < chance * row.min_p:
            tokens.append(code)
        else:
            tokens.append(_of_likeliest(logits[number], chances[number], uniforms[number], row))
    return tokens


def _of_likeliest(logits: Tensor, chances: Tensor, number: float, row: Sampling) -> int:
    """The token of one row (V,) with several codes in its nucleus."""
    vocabulary = len(chances)
    some, ids = chances.topk(min(LIKELIEST, vocabulary))
    token = _walk(some.tolist(), ids.tolist(), number, row, vocabulary)
    if token is None:
        return int(choose(logits[None], torch.tensor([number], dtype=torch.float32), row))
    return token


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
    floor = _float32(_float32(row.min_p) * chances[0])
    likely = sum(chance >= floor for chance in chances)
    if likely < len(chances):
        last = min(likely, limit if last is None else last + 1) - 1
    elif last is None:
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
