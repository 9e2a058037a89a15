"""Attention, the positions that it rotates by, and the caches of keys and values that it reads.

`attention` is the one entry: grouped query heads, boolean or additive masks, causal or not.

Under autograd on a CPU it multiplies and soft-maxes explicitly: the fused CPU kernel's backward took 27 % of a
training step at lengths of a few hundred tokens, and the plain one about half as long. From a thousand on (large
pictures, without a mask), where the plain one's scores leave the cache, the fused one takes 0.56 of its time.
At inference on a CPU, many queries without a mask go head by head through oneDNN's products in fp32, since the fused
kernel calls MKL (see `linear.py`): 266 tokens, 4 heads of 64, one core of an AVX-512 EPYC, 0.57 against 0.90 ms.
Everywhere else it calls `scaled_dot_product_attention`.

Rotary position embeddings: three-axis ones for the text decoders, two-axis ones for pictures.

They rotate pairs of the first R channels of a head by an angle that is position times frequency, and leave the
remaining channels alone; a pair is (x[i], x[i + R/2]) ("rotate half") or, in the dense GLM-V, (x[2i], x[2i + 1]).
In the three-axis form (M-RoPE) the frequencies are cut into sections, and section i takes its position from axis i
modulo 3 (time, height, width).
Sources: Su et al. 2021, arXiv:2104.09864; Wang et al. 2024 (M-RoPE), arXiv:2409.12191.

The memory of a cache is allocated once: the length of an AR run is known before it starts, so nothing ever grows or is
copied. Writing takes either one start for the whole batch, and then returns views that end at the last written token,
or a start per row (a tensor), and then returns the whole buffers: the caller's mask hides what is not written yet.

`StaticCache` serves a batch that begins and ends together; in a `SlotCache` every sequence has a slot of its own, which
it takes and leaves between two tokens of the others. `SequenceCaches` uses the caches of several sequences as slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.nn.linear import ONE_DNN_DTYPES

LONG = 1024  # tokens from which on the fused kernel's backward pays on a CPU
FEWEST, MOST = 96, 512  # queries from which on products pay, and how many share one product


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Softmax attention, (B, H, L, D) in and out.

    k and v are (B, Hkv, S, D) with H a multiple of Hkv: query head i reads key head `i // (H // Hkv)`.
    `mask` is broadcastable to (B, 1, L, S): boolean with True where a query may look, or floating and added to
    the scores. `causal` aligns the last query with the last key, so it also serves a prompt continued on a
    cache. A query that may look nowhere gets the mean of all values, never NaN.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    length, keys = q.shape[2], k.shape[2]
    if causal and length == 1:
        causal = False  # the last query sees every key
    if causal and (mask is not None or length != keys):
        mask = _join(mask, causal_mask(length, keys, q.device))
        causal = False
    learns = torch.is_grad_enabled() and q.device.type == "cpu"
    if learns and (mask is not None or causal or length < LONG or q.shape[1] != k.shape[1]):
        if causal:
            mask = causal_mask(length, keys, q.device)
        return _explicit(q, k, v, mask, scale)
    if length == 1 and q.shape[1] != k.shape[1]:
        return _one_query(q, k, v, mask, scale)
    if mask is None and not causal and not learns and _products_take(q, k):
        return _by_products(q, k, v, scale)
    if mask is not None:
        mask = additive_mask(mask, q.dtype)
    grouped = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, scale=scale, enable_gqa=grouped)


def causal_mask(length: int, keys: int, device: torch.device) -> Tensor:
    """Boolean (L, S), True on and below the diagonal that ends in the lower right corner."""
    return torch.ones(length, keys, dtype=torch.bool, device=device).tril(keys - length)


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask as numbers to add to the scores (0 or the lowest finite number); others are only cast."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    zeros = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return zeros.masked_fill_(~mask, torch.finfo(dtype).min)


def _join(mask: Tensor | None, causal: Tensor) -> Tensor:
    if mask is None:
        return causal
    if mask.dtype == torch.bool:
        return mask & causal
    return mask.masked_fill(~causal, torch.finfo(mask.dtype).min)


def _one_query(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """One token per row: the query heads of a group become the rows of one small product, k and v are not copied."""
    batch, heads, _, dim = q.shape
    grouped = q.reshape(batch, k.shape[1], heads // k.shape[1], dim)
    if mask is not None:
        mask = additive_mask(mask, q.dtype)
    return F.scaled_dot_product_attention(grouped, k, v, mask, scale=scale).reshape(batch, heads, 1, v.shape[-1])


def _products_take(q: Tensor, k: Tensor) -> bool:
    return (
        q.device.type == "cpu"
        and min(q.shape[2], k.shape[2]) >= FEWEST
        and q.shape[1] == k.shape[1]
        and torch.float32 in ONE_DNN_DTYPES
        and not torch.compiler.is_compiling()
    )


def _by_products(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Head by head, a few hundred queries at a time, in fp32; the heads of a row come out side by side in memory."""
    multiply = torch.ops.mkldnn._linear_pointwise.default
    batch, heads, length, _ = q.shape
    queries, keys = (q.float() * scale).contiguous(), k.float().contiguous()
    values = v.float()
    if (beside := values.transpose(1, 2)).is_contiguous():  # heads side by side in memory are turned as one matrix
        values = torch.stack([row.t().contiguous() for row in beside.flatten(2)]).view(batch, heads, -1, k.shape[2])
    else:
        values = values.transpose(2, 3).contiguous()  # (B, H, D, S)
    part = -(-length // -(-length // MOST))  # equal parts
    out = q.new_empty(batch, length, heads, v.shape[-1])
    for row in range(batch):
        for head in range(heads):
            query, their, to_add = queries[row, head], keys[row, head], values[row, head]
            for at in range(0, length, part):
                weights = multiply(query[at : at + part], their, None, "none", [], "").softmax(-1)
                out[row, at : at + part, head] = multiply(weights, to_add, None, "none", [], "")
    return out.transpose(1, 2)


def _explicit(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Matrix products and a softmax; the query heads of a group share one product with their keys."""
    batch, heads, length, dim = q.shape
    kv_heads, keys = k.shape[1], k.shape[2]
    group = heads // kv_heads
    queries = (q * scale).reshape(batch, kv_heads, group * length, dim)
    scores = (queries @ k.transpose(-1, -2)).view(batch, kv_heads, group, length, keys)
    if mask is not None:
        mask = additive_mask(mask, scores.dtype)
        while mask.dim() < 4:
            mask = mask.unsqueeze(0)
        scores = scores + mask.unsqueeze(2)  # (B, 1, 1, L, S)
    weights = scores.softmax(-1).view(batch, kv_heads, group * length, keys)
    return (weights @ v).view(batch, heads, length, v.shape[-1])


Device = torch.device | str | None


def inverse_frequencies(rotary_dim: int, theta: float, device: Device = None) -> Tensor:
    """`theta ** (-2i / R)` for i < R/2, fp32 (R/2,)."""
    exponents = torch.arange(0, rotary_dim, 2, dtype=torch.float32, device=device) / rotary_dim
    return 1.0 / (theta**exponents)


def multi_axis_rotary(
    positions: Tensor, rotary_dim: int, sections: Sequence[int], theta: float = 10000.0
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of M-RoPE, fp32 (B, L, R) each; positions (3, B, L), sections sum to R/2.

    fp32 island: angles reach the thousands, where bf16 has no fraction left.
    """
    frequencies = inverse_frequencies(rotary_dim, theta, positions.device)
    axes = torch.tensor([i % 3 for i, n in enumerate(sections) for _ in range(n)], device=positions.device)
    angles = positions.float()[axes].movedim(0, -1) * frequencies  # (B, L, R/2)
    return _doubled(angles)


def image_rotary(
    height: int, width: int, head_dim: int, theta: float = 10000.0, device: Device = None
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of a grid, fp32 (H*W, head_dim) each: first half of the frequencies row, second half column."""
    frequencies = inverse_frequencies(head_dim // 2, theta, device)
    rows = torch.arange(height, dtype=torch.float32, device=device)[:, None] * frequencies
    columns = torch.arange(width, dtype=torch.float32, device=device)[:, None] * frequencies
    angles = torch.cat(
        [rows[:, None].expand(height, width, -1), columns[None].expand(height, width, -1)], dim=-1
    ).flatten(0, 1)
    return _doubled(angles)


def apply_rotary_half(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the first R channels of x (..., L, D) by tables broadcastable to (..., L, R); dtype of x is kept.

    The arithmetic runs in the wider of the two dtypes: fp32 tables make it an fp32 island.
    """
    half = cos.shape[-1] // 2
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    c, s = cos[..., :half], sin[..., :half]
    rotated = [(first * c - second * s).to(x.dtype), (second * c + first * s).to(x.dtype)]
    return torch.cat(rotated if rest.shape[-1] == 0 else [*rotated, rest], dim=-1)


def apply_rotary_pairs(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """As `apply_rotary_half`, with the same tables, for the pairs (x[2i], x[2i + 1])."""
    rotated, half = cos.shape[-1], cos.shape[-1] // 2
    first, second, rest = x[..., 0:rotated:2], x[..., 1:rotated:2], x[..., rotated:]
    c, s = cos[..., :half], sin[..., :half]
    pairs = torch.stack([(first * c - second * s).to(x.dtype), (second * c + first * s).to(x.dtype)], dim=-1)
    return torch.cat([pairs.flatten(-2), rest], dim=-1)


def _doubled(angles: Tensor) -> tuple[Tensor, Tensor]:
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], dim=-1), torch.cat([sin, sin], dim=-1)


class StaticCache:
    """Keys and values of all layers, (layers, B, Hkv, max_length, D)."""

    def __init__(
        self,
        layers: int,
        batch: int,
        kv_heads: int,
        max_length: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.max_length = max_length
        # zeros, not empty: a masked score times an uninitialised NaN would still be NaN
        self.k = torch.zeros(layers, batch, kv_heads, max_length, head_dim, dtype=dtype, device=device)
        self.v = torch.zeros_like(self.k)

    @property
    def batch(self) -> int:
        return self.k.shape[1]

    def update(self, layer: int, k: Tensor, v: Tensor, start: int | Tensor) -> tuple[Tensor, Tensor]:
        """Write k, v (B, Hkv, L, D) at `start` and return what attention should read.

        `start` int: views (B, Hkv, start + L, D). `start` (B,) integer tensor: the full buffers.
        """
        keys, values = self.k[layer], self.v[layer]
        length = k.shape[2]
        if isinstance(start, int):
            assert start + length <= self.max_length, f"cache of {self.max_length} written at {start}+{length}"
            keys[:, :, start : start + length] = k
            values[:, :, start : start + length] = v
            return keys[:, :, : start + length], values[:, :, : start + length]
        slots = start[:, None, None, None] + torch.arange(length, device=k.device)[None, None, :, None]
        slots = slots.expand(k.shape)
        keys.scatter_(2, slots, k.to(keys.dtype))
        values.scatter_(2, slots, v.to(values.dtype))
        return keys, values

    @property
    def alive(self) -> bool:
        """Whether what was written is still there; of a cache that several processes share it may be lost."""
        return True

    def copy_from(self, other: StaticCache, length: int) -> None:
        """Take the first `length` tokens of another cache of the same network."""
        self.k[:, :, :, :length] = other.k[:, :, :, :length]
        self.v[:, :, :, :length] = other.v[:, :, :, :length]

    def select(self, rows: Tensor) -> StaticCache:
        """A cache of the given rows, repeats allowed: one prefill then serves several samples of it."""
        chosen = object.__new__(StaticCache)
        chosen.max_length = self.max_length
        chosen.k, chosen.v = self.k[:, rows].clone(), self.v[:, rows].clone()
        return chosen


class RowCache(Protocol):
    """Where rows of a pass, some of them of the same sequence, store and find keys and values."""

    joined: bool  # whether neighbouring slots can be read in one call

    def write(self, layer: int, places: Any, kv: Tensor) -> None:
        """Store kv (B, 2 * Hkv * D), keys first."""

    def read(self, layer: int, first: int, slots: int, rows: int, length: int) -> tuple[Tensor, Tensor]:
        """The first keys and values (rows, Hkv, length, D) of `slots` slots; one slot may serve all rows."""


MOST_VIEWS = 4096  # remembered by a cache, a few hundred bytes each


class SlotCache:
    """Keys and values in slots, (layers, slots, max_length, 2, Hkv, D): what one token writes lies together."""

    joined = True

    def __init__(
        self,
        layers: int,
        slots: int,
        kv_heads: int,
        max_length: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.slots, self.max_length = slots, max_length
        # zeros, not empty: a masked score times an uninitialised NaN would still be NaN
        self.kv = torch.zeros(layers, slots, max_length, 2, kv_heads, head_dim, dtype=dtype, device=device)
        self._flat = self.kv.view(layers, slots * max_length, 2 * kv_heads * head_dim).unbind()
        self._heads = [(pair[:, :, 0].transpose(1, 2), pair[:, :, 1].transpose(1, 2)) for pair in self.kv.unbind()]
        self._views: dict[tuple[int, int, int, int, int], tuple[Tensor, Tensor]] = {}

    def write(self, layer: int, places: Tensor, kv: Tensor) -> None:
        """Store kv (B, 2 * Hkv * D), keys first; a place is slot * max_length + position."""
        self._flat[layer].index_copy_(0, places, kv)

    def read(self, layer: int, first: int, slots: int, rows: int, length: int) -> tuple[Tensor, Tensor]:
        """Views (rows, Hkv, length, D) of the first keys and values of `slots` slots; one slot may serve all rows."""
        place = (layer, first, slots, rows, length)
        if (views := self._views.get(place)) is None:  # made anew they cost some hundredths of a token of nano
            if len(self._views) == MOST_VIEWS:
                self._views.clear()
            keys, values = self._heads[layer]
            chosen = slice(first, first + slots)
            views = self._views[place] = (
                keys[chosen, :, :length].expand(rows, -1, -1, -1),
                values[chosen, :, :length].expand(rows, -1, -1, -1),
            )
        return views

    def load(self, slot: int, prefix: StaticCache, length: int) -> None:
        """Copy the first `length` tokens of a prefilled row into a slot."""
        self.kv[:, slot, :length, 0] = prefix.k[:, 0, :, :length].transpose(1, 2)
        self.kv[:, slot, :length, 1] = prefix.v[:, 0, :, :length].transpose(1, 2)

    def grown(self, max_length: int) -> SlotCache:
        """A copy with longer slots."""
        layers, slots, length, _, kv_heads, head_dim = self.kv.shape
        longer = SlotCache(layers, slots, kv_heads, max_length, head_dim, self.kv.dtype, self.kv.device)
        longer.kv[:, :, :length] = self.kv
        return longer


class SequenceCache:
    """A `StaticCache` of one row, taken apart by layers once: a small model spends its time on such operations."""

    def __init__(self, cache: StaticCache) -> None:
        assert cache.batch == 1, "one sequence"
        self.layers = [(k[0], v[0]) for k, v in zip(cache.k.unbind(), cache.v.unbind(), strict=True)]  # (Hkv, S, D)
        self.views: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}


class SequenceCaches:
    """The caches of several sequences as the slots of one pass; a place is (slot, position, first row, rows)."""

    joined = False

    def __init__(self, caches: Sequence[SequenceCache]) -> None:
        self.caches = caches

    def write(self, layer: int, places: Sequence[tuple[int, int, int, int]], kv: Tensor) -> None:
        """Store kv (B, 2 * Hkv * D), keys first."""
        for slot, position, row, rows in places:
            keys, values = self.caches[slot].layers[layer]
            pair = kv[row : row + rows].view(rows, 2, keys.shape[0], keys.shape[2]).permute(1, 2, 0, 3)
            keys[:, position : position + rows] = pair[0]
            values[:, position : position + rows] = pair[1]

    def read(self, layer: int, first: int, slots: int, rows: int, length: int) -> tuple[Tensor, Tensor]:
        """Views (rows, Hkv, length, D) of the first keys and values of one slot."""
        assert slots == 1, "every sequence has memory of its own"
        cache, place = self.caches[first], (layer, rows, length)
        if (views := cache.views.get(place)) is None:
            keys, values = cache.layers[layer]
            views = cache.views[place] = (
                keys[None, :, :length].expand(rows, -1, -1, -1),
                values[None, :, :length].expand(rows, -1, -1, -1),
            )
        return views
