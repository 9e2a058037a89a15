"""The pieces of a GLM decoder: grouped attention with rotated heads, gated MLPs, blocks with norms on both sides.

The drawing and the seeing models share them; parameter names are the released ones. A cache is an argument, so the
same forward trains, prefills and decodes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn

from inkwash.nn.attention import attention
from inkwash.nn.cache import StaticCache
from inkwash.nn.norm import RMSNorm
from inkwash.nn.rope import apply_rotary_half

Rotary = tuple[Tensor, Tensor]
Rotate = Callable[[Tensor, Tensor, Tensor], Tensor]
Activation = Callable[[Tensor], Tensor]


class GroupedAttention(nn.Module):
    """Causal attention whose key heads serve groups of query heads."""

    def __init__(
        self, width: int, heads: int, kv_heads: int, head_dim: int, *, bias: bool, rotate: Rotate = apply_rotary_half
    ) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.rotate = rotate
        self.q_proj = nn.Linear(width, heads * head_dim, bias=bias)
        self.k_proj = nn.Linear(width, kv_heads * head_dim, bias=bias)
        self.v_proj = nn.Linear(width, kv_heads * head_dim, bias=bias)
        self.o_proj = nn.Linear(heads * head_dim, width, bias=False)

    def forward(
        self, x: Tensor, rotary: Rotary, mask: Tensor | None, cache: StaticCache | None, layer: int, start: int | Tensor
    ) -> Tensor:
        q, k, v = (
            rearrange(proj(x), "b l (h d) -> b h l d", d=self.head_dim)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        cos, sin = (table.to(q.dtype) for table in rotary)
        q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        if cache is not None:
            k, v = cache.update(layer, k, v, start)
        out = attention(q, k, v, mask=mask, causal=mask is None)
        result: Tensor = self.o_proj(rearrange(out, "b h l d -> b l (h d)"))
        return result


class FusedGatedMLP(nn.Module):
    """A gated MLP whose two inputs share one matrix, gate first."""

    def __init__(self, width: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(width, 2 * inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        out: Tensor = self.down_proj(self.activation(gate) * up)
        return out


class GatedMLP(nn.Module):
    """A gated MLP with its two inputs apart."""

    def __init__(self, width: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))
        return out


class PreNormBlock(nn.Module):
    """Attention and MLP, each with a norm before it."""

    def __init__(self, attn: GroupedAttention, mlp: nn.Module, width: int, eps: float) -> None:
        super().__init__()
        self.self_attn = attn
        self.mlp = mlp
        self.input_layernorm = RMSNorm(width, eps)
        self.post_attention_layernorm = RMSNorm(width, eps)

    def forward(
        self, x: Tensor, rotary: Rotary, mask: Tensor | None, cache: StaticCache | None, layer: int, start: int | Tensor
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotary, mask, cache, layer, start)
        update: Tensor = self.mlp(self.post_attention_layernorm(x))
        return x + update


class SandwichBlock(nn.Module):
    """Attention and a fused gated MLP, each with a norm before and one after it."""

    def __init__(self, attn: GroupedAttention, mlp: FusedGatedMLP, width: int, eps: float) -> None:
        super().__init__()
        self.self_attn = attn
        self.mlp = mlp
        self.input_layernorm = RMSNorm(width, eps)
        self.post_self_attn_layernorm = RMSNorm(width, eps)
        self.post_attention_layernorm = RMSNorm(width, eps)
        self.post_mlp_layernorm = RMSNorm(width, eps)

    def forward(
        self, x: Tensor, rotary: Rotary, mask: Tensor | None, cache: StaticCache | None, layer: int, start: int | Tensor
    ) -> Tensor:
        attended = self.self_attn(self.input_layernorm(x), rotary, mask, cache, layer, start)
        x = x + self.post_self_attn_layernorm(attended)
        update: Tensor = self.post_mlp_layernorm(self.mlp(self.post_attention_layernorm(x)))
        return x + update


def decoder_mask(
    mask: Tensor | None, length: int, start: int | Tensor, cache: StaticCache | None, device: torch.device
) -> Tensor | None:
    """What a decoder's attention takes for ``mask``: None is plain causal attention.

    (B, S) bool is causal with keys hidden where False and becomes (B, 1, L, S); a mask of four axes is used as it is.
    """
    if mask is not None and mask.dim() != 2:
        return mask
    if isinstance(start, int):
        if mask is None:
            return None
        keys = start + length
        seen = torch.arange(keys, device=device) <= torch.arange(start, keys, device=device)[:, None]
        return seen & mask[:, None, None, :keys]
    assert cache is not None
    last = start[:, None] + torch.arange(length, device=device)  # (B, L)
    seen = (torch.arange(cache.max_length, device=device) <= last[..., None])[:, None]
    return seen if mask is None else seen & mask[:, None, None]
