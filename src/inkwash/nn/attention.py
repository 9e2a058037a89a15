"""The one attention entry: grouped query heads, boolean or additive masks, causal or not.

Under autograd on a CPU it multiplies and soft-maxes explicitly: the fused CPU kernel's backward took 27 % of a
training step at lengths of a few hundred tokens, and the plain one about half as long. At inference on a CPU, many
queries without a mask go head by head through oneDNN's products in fp32, since the fused kernel calls MKL (see
`linear.py`): 266 tokens, 4 heads of 64, one core of an AVX-512 EPYC, 0.57 against 0.90 ms. Everywhere else it calls
`scaled_dot_product_attention`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.nn.linear import ONE_DNN_DTYPES

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

    k and v are (B, Hkv, S, D) with H a multiple of Hkv: query head i reads key head ``i // (H // Hkv)``.
    ``mask`` is broadcastable to (B, 1, L, S): boolean with True where a query may look, or floating and added to
    the scores. ``causal`` aligns the last query with the last key, so it also serves a prompt continued on a
    cache. A query that may look nowhere gets the mean of all values, never NaN.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    length, keys = q.shape[2], k.shape[2]
    if causal and length == 1:
        causal = False  # the last query sees every key
    if causal and (mask is not None or length != keys):
        mask = _join(mask, causal_mask(length, keys, q.device))
        causal = False
    if torch.is_grad_enabled() and q.device.type == "cpu":
        if causal:
            mask = causal_mask(length, keys, q.device)
        return _explicit(q, k, v, mask, scale)
    if length == 1 and q.shape[1] != k.shape[1]:
        return _one_query(q, k, v, mask, scale)
    if mask is None and not causal and _products_take(q, k):
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
    values = torch.stack([_turned(row) for row in v.float()])  # (B, H, D, S)
    part = -(-length // -(-length // MOST))  # equal parts
    out = q.new_empty(batch, length, heads, v.shape[-1])
    for row in range(batch):
        for head in range(heads):
            own, their, to_add = queries[row, head], keys[row, head], values[row, head]
            for at in range(0, length, part):
                weights = multiply(own[at : at + part], their, None, "none", [], "").softmax(-1)
                out[row, at : at + part, head] = multiply(weights, to_add, None, "none", [], "")
    return out.transpose(1, 2)


def _turned(values: Tensor) -> Tensor:
    """Values (H, S, D) as (H, D, S), contiguous; heads side by side in memory are turned as one matrix."""
    heads, length, dim = values.shape
    beside = values.transpose(0, 1)
    if not beside.is_contiguous():
        return values.transpose(1, 2).contiguous()
    return beside.reshape(length, heads * dim).t().contiguous().view(heads, dim, length)


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
