"""The GLM text decoder of the drawing and of the seeing models: rotated grouped attention, gated MLPs, RMS norms.

The families differ in two flags of the configuration: which channels rotate together (halves or neighbouring pairs),
and whether norms stand on both sides (sandwich) or before attention and MLP only. Parameter names are the released
ones. A cache is an argument, so the same forward trains, prefills and decodes; `decode.py` and `decode_cpu.py` hold
the short ways for one token at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from inkwash.models.glm.config import TextDecoderConfig
from inkwash.nn.attention import attention
from inkwash.nn.cache import StaticCache
from inkwash.nn.norm import RMSNorm
from inkwash.nn.rope import apply_rotary_half, apply_rotary_pairs, multi_axis_rotary

Rotary = tuple[Tensor, Tensor]
Rotate = Callable[[Tensor, Tensor, Tensor], Tensor]
Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: dict[str, Activation] = {
    "gelu": F.gelu,
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


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


class DecoderBlock(nn.Module):
    """Attention and an MLP, each with a norm before it; with `sandwich` norms each has one behind it, too."""

    def __init__(self, attn: GroupedAttention, mlp: nn.Module, width: int, eps: float, *, sandwich: bool) -> None:
        super().__init__()
        self.sandwich = sandwich
        self.self_attn = attn
        self.mlp = mlp
        self.input_layernorm = RMSNorm(width, eps)
        if sandwich:
            self.post_self_attn_layernorm = RMSNorm(width, eps)
        self.post_attention_layernorm = RMSNorm(width, eps)
        if sandwich:
            self.post_mlp_layernorm = RMSNorm(width, eps)

    def forward(
        self, x: Tensor, rotary: Rotary, mask: Tensor | None, cache: StaticCache | None, layer: int, start: int | Tensor
    ) -> Tensor:
        update: Tensor = self.self_attn(self.input_layernorm(x), rotary, mask, cache, layer, start)
        x = x + (self.post_self_attn_layernorm(update) if self.sandwich else update)
        update = self.mlp(self.post_attention_layernorm(x))
        return x + (self.post_mlp_layernorm(update) if self.sandwich else update)


class TextDecoder(nn.Module):
    """Embedding, blocks and the final norm of either family; names as under `model.language_model.`."""

    def __init__(self, config: TextDecoderConfig, make_mlp: Callable[[int], nn.Module] | None = None) -> None:
        """`make_mlp` gives the MLP of a layer; None is the gated one of the configuration's width."""
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            [self._block(config, None if make_mlp is None else make_mlp(n)) for n in range(config.num_hidden_layers)]
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    @staticmethod
    def _block(config: TextDecoderConfig, mlp: nn.Module | None) -> DecoderBlock:
        width = config.hidden_size
        attn = GroupedAttention(
            width,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_width,
            bias=config.attention_bias,
            rotate=apply_rotary_pairs if config.rotates_pairs else apply_rotary_half,
        )
        if mlp is None:
            mlp = FusedGatedMLP(width, config.intermediate_size, ACTIVATIONS[config.hidden_act])
        return DecoderBlock(attn, mlp, width, config.rms_norm_eps, sandwich=config.sandwich_norms)

    def rotary(self, positions: Tensor) -> Rotary:
        """Tables (B, 1, L, R) for positions (3, B, L), in the dtype of the weights as the released model has them."""
        rope = self.config.rope_parameters
        tables = multi_axis_rotary(positions, self.config.rotary_dim, rope.mrope_section, rope.rope_theta)
        cos, sin = (table.to(self.embed_tokens.weight.dtype).unsqueeze(1) for table in tables)
        return cos, sin

    def forward(
        self, x: Tensor, positions: Tensor, cache: StaticCache | None, start: int | Tensor, mask: Tensor | None
    ) -> Tensor:
        """Embeddings (B, L, D) at positions (3, B, L) -> hidden states (B, L, D) after the final norm.

        ``start`` is where these tokens go in the cache: one int, or a (B,) tensor with a place per row. ``mask``
        None is plain causal attention; (B, S) bool is causal with keys hidden where False (left padding, S keys
        from the beginning of the cache on); (B, 1, L, S), bool or additive, is used as it is.
        """
        assert cache is not None or (isinstance(start, int) and start == 0), "start needs a cache"
        mask = decoder_mask(mask, x.shape[1], start, cache, x.device)
        rotary = self.rotary(positions)
        for index, layer in enumerate(self.layers):
            x = layer(x, rotary, mask, cache, index, start)
        hidden: Tensor = self.norm(x)
        return hidden

    def make_cache(self, batch: int, max_length: int) -> StaticCache:
        """An empty cache of this network's shape, dtype and device; as many heads as its share of the model has."""
        attn, weight = self.layers[0].self_attn, self.norm.weight
        assert isinstance(attn, GroupedAttention)
        heads, dim = attn.k_proj.weight.shape[0] // self.config.head_width, self.config.head_width
        return StaticCache(len(self.layers), batch, heads, max_length, dim, weight.dtype, weight.device)


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
