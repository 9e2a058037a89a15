"""One token per row, as short as possible: the AR generator's decode path.

A 9B model reads all its weights for every token, a small one spends its time between kernels; so q, k and v become
one product, the rotation four kernels, and no module is called. No weight is kept twice: of a frozen module the three
matrices become views of the fused one. `ARGenerator.forward` is the naive twin, and a test holds this file to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.models.glm_image.ar import ARBlock, ARGenerator
from inkwash.models.glm_image.vision import ACTIVATIONS
from inkwash.nn.attention import additive_mask
from inkwash.nn.cache import StaticCache
from inkwash.nn.norm import rms_norm


@dataclass(frozen=True, slots=True)
class Layer:
    norm_in: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    out: Tensor
    norm_attn: Tensor
    norm_mlp_in: Tensor
    gate_up: Tensor
    down: Tensor
    norm_mlp: Tensor


@dataclass(frozen=True, slots=True)
class PlanTables:
    """Rotary tables of every position of a plan: cosines, and sines with the sign of the rotation, (N, B, 1, R)."""

    cos: Tensor
    sin: Tensor


class StepDecoder:
    """Frozen weights of an `ARGenerator`, laid out for decoding; make a new one after the weights change."""

    def __init__(self, model: ARGenerator) -> None:
        text = model.config.text_config
        self.language_model = model.model.language_model
        self.heads, self.kv_heads, self.head_dim = text.num_attention_heads, text.num_key_value_heads, text.head_width
        self.rotary_dim, self.eps = text.rotary_dim, text.rms_norm_eps
        self.activation = ACTIVATIONS[text.hidden_act]
        self.layers = [_fuse(layer) for layer in self.language_model.layers if isinstance(layer, ARBlock)]
        self.head = model.lm_head.weight.detach()
        self.rows: Any = None  # the same weights for rows on a CPU (`ar_rows.py`), once they were needed

    @torch.no_grad()
    def plan_tables(self, positions: Tensor) -> PlanTables:
        """Everything about the positions (3, B, N) of a plan, once."""
        cos, sin = (table.permute(2, 0, 1, 3).contiguous() for table in self.language_model.rotary(positions))
        sin[..., : self.rotary_dim // 2].neg_()
        return PlanTables(cos, sin)

    @torch.no_grad()
    def step(
        self,
        ids: Tensor,
        tables: PlanTables,
        index: int,
        cache: StaticCache,
        start: int | Tensor,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Token ``index`` of the plan, ids (B,), written at ``start`` of the cache -> logits (B, vision vocabulary).

        ``mask`` hides keys: (B, S) bool with True where a key may be seen, or the same as an additive tensor (see
        `key_mask`, which saves the conversion per layer). With a ``start`` per row the mask must also hide what is
        not written yet.
        """
        if mask is not None:
            keys = start + 1 if isinstance(start, int) else cache.max_length
            mask = additive_mask(mask[:, :keys], cache.k.dtype)[:, None, None]
        return self.forward_token(ids, tables.cos[index], tables.sin[index], cache, start, mask)

    @torch.no_grad()
    def forward_token(
        self,
        ids: Tensor,
        cos: Tensor,
        sin: Tensor,
        cache: StaticCache,
        start: int | Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        """The arithmetic of `step`, tensors in and tensor out.

        With a ``start`` per row and an additive mask (B, 1, 1, S) no number passes through Python, so that the call
        can be captured once and replayed.
        """
        batch = ids.shape[0]
        x = F.embedding(ids, self.language_model.embed_tokens.weight)
        for number, layer in enumerate(self.layers):
            h = rms_norm(x, layer.norm_in, self.eps)
            qkv = F.linear(h, layer.qkv, layer.qkv_bias).view(batch, self.heads + 2 * self.kv_heads, self.head_dim)
            h = self._attend(qkv, cos, sin, mask, cache, number, start)
            x = x + rms_norm(F.linear(h, layer.out), layer.norm_attn, self.eps)
            gate, up = F.linear(rms_norm(x, layer.norm_mlp_in, self.eps), layer.gate_up).chunk(2, dim=-1)
            h = F.linear(self.activation(gate) * up, layer.down)
            x = x + rms_norm(h, layer.norm_mlp, self.eps)
        return F.linear(rms_norm(x, self.language_model.norm.weight, self.eps), self.head)

    def _attend(
        self,
        qkv: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor | None,
        cache: StaticCache,
        number: int,
        start: int | Tensor,
    ) -> Tensor:
        """qkv (B, H + 2 Hkv, D), rotated in place -> attended values (B, H * D)."""
        batch, heads, kv_heads = qkv.shape[0], self.heads, self.kv_heads
        turning = qkv[:, : heads + kv_heads, : self.rotary_dim]
        swapped = turning.roll(self.rotary_dim // 2, -1)
        turning.mul_(cos).addcmul_(swapped, sin)
        k, v = qkv[:, heads : heads + kv_heads, None], qkv[:, heads + kv_heads :, None]
        keys, values = cache.update(number, k, v, start)
        q = qkv[:, :heads].reshape(batch, kv_heads, heads // kv_heads, self.head_dim)  # one group of heads per key head
        out = F.scaled_dot_product_attention(q, keys, values, mask)
        return out.reshape(batch, heads * self.head_dim)


Edition = list[tuple[Tensor, int, torch.dtype, torch.device]]
_made: WeakKeyDictionary[ARGenerator, tuple[Edition, StepDecoder]] = WeakKeyDictionary()


def fuse_for_decode(model: ARGenerator) -> StepDecoder:
    """The decode path of a model, kept until its weights change or `forget_for_decode` is called."""
    known = _made.get(model)
    if known is None or not _is_of(model, known[0]):
        forget_for_decode(model)
        step = StepDecoder(model)
        edition = [(each, each._version, each.dtype, each.device) for each in _weights(model)]
        known = _made[model] = edition, step
    return known[1]


def _is_of(model: ARGenerator, edition: Edition) -> bool:
    weights = _weights(model)
    return len(weights) == len(edition) and all(
        now is each and (now._version, now.dtype, now.device) == (version, dtype, device)
        for now, (each, version, dtype, device) in zip(weights, edition, strict=True)
    )


def _weights(model: ARGenerator) -> list[Tensor]:
    return [*model.model.language_model.parameters(), model.lm_head.weight]


def forget_for_decode(model: ARGenerator) -> None:
    """Let go of the weights in a model's decode path."""
    known = _made.pop(model, None)
    if known is not None:
        known[1].rows = None  # it points back: a cycle would keep all weights until the collector comes by


def key_mask(keep: Tensor, max_length: int, dtype: torch.dtype) -> Tensor:
    """(B, L) bool of a left-padded prompt -> additive (B, max_length): prompt padding hidden, the plan visible."""
    return additive_mask(F.pad(keep, (0, max_length - keep.shape[1]), value=True), dtype)


def _fuse(layer: ARBlock) -> Layer:
    attn = layer.self_attn
    projections = (attn.q_proj, attn.k_proj, attn.v_proj)
    biases = [p.bias for p in projections if p.bias is not None]
    return Layer(
        norm_in=layer.input_layernorm.weight.detach(),
        qkv=joined([p.weight for p in projections]),
        qkv_bias=joined(biases) if biases else None,
        out=attn.o_proj.weight.detach(),
        norm_attn=layer.post_self_attn_layernorm.weight.detach(),
        norm_mlp_in=layer.post_attention_layernorm.weight.detach(),
        gate_up=layer.mlp.gate_up_proj.weight.detach(),
        down=layer.mlp.down_proj.weight.detach(),
        norm_mlp=layer.post_mlp_layernorm.weight.detach(),
    )


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Parameters one below the other. Frozen ones become views of the result, which then costs no memory."""
    first, size = parts[0].detach(), 0
    for part in parts:
        beside = part.data_ptr() == first.data_ptr() + size * first.element_size()
        if not (beside and part.is_contiguous() and _storage(part) == _storage(first)):
            break
        size += part.numel()
    else:
        return first.as_strided((sum(len(part) for part in parts), *first.shape[1:]), first.stride())
    whole = torch.cat([part.detach() for part in parts])
    if not any(part.requires_grad for part in parts):
        for part, view in zip(parts, whole.split([len(part) for part in parts]), strict=True):
            part.data = view
    return whole


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
