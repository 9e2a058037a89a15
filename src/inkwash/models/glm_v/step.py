"""One token per row, as short as possible: the decode path of GLM-V, dense or with experts.

A small model spends its time between kernels and a large one in reading its weights: so q, k and v become one product,
the rotation three kernels, and no module of a dense decoder is called. Weights are shared with the module except for
the fused one. `GlmV.forward` is the naive twin, and a test holds this file to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.models.glm_image.vision import ACTIVATIONS
from inkwash.models.glm_v.config import MoETextConfig
from inkwash.models.glm_v.model import GlmV
from inkwash.nn.attention import attention
from inkwash.nn.cache import StaticCache
from inkwash.nn.decoder import FusedGatedMLP, GroupedAttention, PreNormBlock, SandwichBlock
from inkwash.nn.norm import rms_norm
from inkwash.nn.rope import multi_axis_rotary


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights of one block; q, k and v in one matrix."""

    norm_in: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    out: Tensor
    norm_attn: Tensor | None  # sandwich blocks only
    norm_mlp_in: Tensor
    mlp: Callable[[Tensor], Tensor]
    norm_mlp: Tensor | None


class StepDecoder:
    """Frozen weights of a `GlmV`, laid out for decoding; make a new one after the weights change."""

    def __init__(self, model: GlmV, total: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        """``total`` completes what a share of attention or of an MLP gives, where the network is one."""
        text = model.config.text_config
        self.language_model = model.model.language_model
        self.head_dim, self.total = text.head_width, total
        attn = self.language_model.layers[0].self_attn
        assert isinstance(attn, GroupedAttention)
        self.heads, self.kv_heads = (p.weight.shape[0] // self.head_dim for p in (attn.q_proj, attn.k_proj))
        self.rotary_dim, self.eps = text.rotary_dim, text.rms_norm_eps
        self.pairs = not isinstance(text, MoETextConfig)  # neighbours turn together; with experts, halves do
        self.layers = [_fuse(layer, text.hidden_act, total) for layer in self.language_model.layers]
        self.head = model.lm_head.weight.detach()
        self.rope = text.rope_parameters

    @torch.no_grad()
    def tables(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Cosines, and sines with the sign of the rotation, (count, R), of text positions from ``first`` on."""
        places = torch.arange(first, first + count, device=self.head.device).expand(3, 1, -1)
        tables = multi_axis_rotary(places, self.rotary_dim, self.rope.mrope_section, self.rope.rope_theta)
        cos, sin = (table[0].to(self.head.dtype).float() for table in tables)  # rounded as the module rounds them
        half = self.rotary_dim // 2
        if self.pairs:
            cos, sin = (table[:, :half].repeat_interleave(2, dim=-1) for table in (cos, sin))
            sin[:, 0::2].neg_()
        else:
            sin[:, :half].neg_()
        return cos.to(self.head.dtype), sin.to(self.head.dtype)

    @torch.no_grad()
    def step(self, ids: Tensor, cos: Tensor, sin: Tensor, cache: StaticCache, start: int) -> Tensor:
        """Tokens (B,), all at one place of the cache and one position -> logits (B, vocabulary)."""
        batch = ids.shape[0]
        x = F.embedding(ids, self.language_model.embed_tokens.weight)
        for number, layer in enumerate(self.layers):
            h = self._norm(x, layer.norm_in)
            qkv = F.linear(h, layer.qkv, layer.qkv_bias).view(batch, self.heads + 2 * self.kv_heads, self.head_dim)
            x = self._rest(x, F.linear(self._attend(qkv, cos, sin, cache, number, start), layer.out), layer)
        return F.linear(self._norm(x, self.language_model.norm.weight), self.head)

    @torch.no_grad()
    def rows(
        self, ids: Tensor, cos: Tensor, sin: Tensor, caches: Sequence[StaticCache], starts: Sequence[int]
    ) -> Tensor:
        """Tokens (B,) of several answers, each with its tables (B, R), cache and place -> logits (B, vocabulary).

        They share every product; each looks into its own cache only.
        """
        batch, heads, kv_heads = len(ids), self.heads, self.kv_heads
        cos, sin = cos[:, None], sin[:, None]
        x = F.embedding(ids, self.language_model.embed_tokens.weight)
        for number, layer in enumerate(self.layers):
            qkv = F.linear(self._norm(x, layer.norm_in), layer.qkv, layer.qkv_bias).view(batch, -1, self.head_dim)
            self._turn(qkv[:, : heads + kv_heads, : self.rotary_dim], cos, sin)
            looked = [
                self._look(row, cache, number, start)
                for row, cache, start in zip(qkv.split(1), caches, starts, strict=True)
            ]
            x = self._rest(x, F.linear(torch.cat(looked), layer.out), layer)
        return F.linear(self._norm(x, self.language_model.norm.weight), self.head)

    @torch.no_grad()
    def block(self, ids: Tensor, cos: Tensor, sin: Tensor, cache: StaticCache, start: int) -> Tensor:
        """Tokens (L,) of one row, one after another, with their tables (L, R) -> logits (L, vocabulary).

        Reads the weights once for all of them: as long as one step for a large model.
        """
        length, heads, kv_heads = len(ids), self.heads, self.kv_heads
        cos, sin = cos[:, None], sin[:, None]
        x = F.embedding(ids, self.language_model.embed_tokens.weight)
        for number, layer in enumerate(self.layers):
            qkv = F.linear(self._norm(x, layer.norm_in), layer.qkv, layer.qkv_bias).view(length, -1, self.head_dim)
            self._turn(qkv[:, : heads + kv_heads, : self.rotary_dim], cos, sin)
            q, k, v = qkv.transpose(0, 1)[None].split((heads, kv_heads, kv_heads), dim=1)
            keys, values = cache.update(number, k, v, start)
            h = attention(q, keys, values, causal=True)[0].transpose(0, 1).flatten(1)
            x = self._rest(x, F.linear(h, layer.out), layer)
        return F.linear(self._norm(x, self.language_model.norm.weight), self.head)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """One fused kernel where its rounding is that of `rms_norm`."""
        if weight.dtype == torch.float32:
            return F.rms_norm(x, weight.shape, weight, self.eps)
        return rms_norm(x, weight, self.eps)

    def _rest(self, x: Tensor, h: Tensor, layer: Layer) -> Tensor:
        """The block after its attention."""
        h = self.total(h)
        x = x + (h if layer.norm_attn is None else self._norm(h, layer.norm_attn))
        h = layer.mlp(self._norm(x, layer.norm_mlp_in))
        return x + (h if layer.norm_mlp is None else self._norm(h, layer.norm_mlp))

    def _turn(self, turning: Tensor, cos: Tensor, sin: Tensor) -> None:
        """Rotate in place."""
        if self.pairs:
            swapped = turning.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
        else:
            swapped = turning.roll(self.rotary_dim // 2, -1)
        turning.mul_(cos).addcmul_(swapped, sin)

    def _attend(self, qkv: Tensor, cos: Tensor, sin: Tensor, cache: StaticCache, number: int, start: int) -> Tensor:
        """qkv (B, H + 2 Hkv, D), rotated in place -> attended values (B, H * D)."""
        heads, kv_heads = self.heads, self.kv_heads
        self._turn(qkv[:, : heads + kv_heads, : self.rotary_dim], cos, sin)
        return self._look(qkv, cache, number, start)

    def _look(self, qkv: Tensor, cache: StaticCache, number: int, start: int) -> Tensor:
        batch, heads, kv_heads = qkv.shape[0], self.heads, self.kv_heads
        k, v = qkv[:, heads : heads + kv_heads, None], qkv[:, heads + kv_heads :, None]
        keys, values = cache.update(number, k, v, start)
        q = qkv[:, :heads].reshape(batch, kv_heads, heads // kv_heads, self.head_dim)
        return F.scaled_dot_product_attention(q, keys, values).reshape(batch, heads * self.head_dim)


def _fuse(layer: torch.nn.Module, activation: str, total: Callable[[Tensor], Tensor]) -> Layer:
    assert isinstance(layer, SandwichBlock | PreNormBlock)
    attn, sandwich = layer.self_attn, isinstance(layer, SandwichBlock)
    projections = (attn.q_proj, attn.k_proj, attn.v_proj)
    biases = [p.bias.detach() for p in projections if p.bias is not None]
    return Layer(
        norm_in=layer.input_layernorm.weight.detach(),
        qkv=torch.cat([p.weight.detach() for p in projections]),
        qkv_bias=torch.cat(biases) if biases else None,
        out=attn.o_proj.weight.detach(),
        norm_attn=layer.post_self_attn_layernorm.weight.detach() if isinstance(layer, SandwichBlock) else None,
        norm_mlp_in=layer.post_attention_layernorm.weight.detach(),
        mlp=_dense(layer.mlp, activation, total) if isinstance(layer.mlp, FusedGatedMLP) else _rows(layer.mlp),
        norm_mlp=layer.post_mlp_layernorm.weight.detach() if sandwich and isinstance(layer, SandwichBlock) else None,
    )


def _dense(mlp: FusedGatedMLP, activation: str, total: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    gate_up, down, act = mlp.gate_up_proj.weight.detach(), mlp.down_proj.weight.detach(), ACTIVATIONS[activation]

    def run(x: Tensor) -> Tensor:
        gate, up = F.linear(x, gate_up).chunk(2, dim=-1)
        return total(F.linear(act(gate) * up, down))

    return run


def _rows(mlp: torch.nn.Module) -> Callable[[Tensor], Tensor]:
    """A module that takes (B, L, D), such as the mixture of experts, for rows (B, D)."""

    def run(x: Tensor) -> Tensor:
        out: Tensor = mlp(x[:, None])
        return out[:, 0]

    return run
