"""One token per row, as short as possible: the decode paths of either family, dense or with experts.

A 9B model reads all its weights for every token, a small one spends its time between kernels; so q, k and v become
one product, the rotation a few kernels, and no module of a dense decoder is called. No weight is kept twice: of a
frozen module the three matrices become views of the fused one. `StepDecoder` is the form for accelerators,
`row_decode.RowDecoder` the one for a CPU, `TextDecoder.forward` the naive twin, and tests hold all three together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkwash.models.glm.decoder import ACTIVATIONS, Activation, DecoderBlock, FusedGatedMLP, TextDecoder
from inkwash.nn.attention import StaticCache, attention
from inkwash.nn.linear import (
    QuantizedLinear,
    Weight,
    multiply,
    stack,
    weight_of,
)
from inkwash.nn.norm import rms_norm

Total = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class DenseMLP:
    """A gated MLP for rows (B, D); `total` as in `StepDecoder`."""

    gate_up: Weight
    down: Weight
    activation: Activation
    total: Total

    def __call__(self, x: Tensor) -> Tensor:
        gate, up = multiply(x, self.gate_up).chunk(2, dim=-1)
        return self.total(multiply(self.activation(gate) * up, self.down))


@dataclass(frozen=True, slots=True)
class DecodeLayer:
    """Weights of one block; q, k and v in one matrix."""

    norm_in: Tensor
    qkv: Weight
    qkv_bias: Tensor | None
    out: Weight
    norm_attn: Tensor | None  # of sandwich blocks
    norm_mlp_in: Tensor
    mlp: Callable[[Tensor], Tensor]
    norm_mlp: Tensor | None


class StepDecoder:
    """Frozen weights of a decoder and its head, laid out for decoding; make a new one after the weights change."""

    def __init__(self, model: CausalModel, total: Total | None = None) -> None:
        """`total` completes what a share of attention or of an MLP gives, where the network is one."""
        decoder, config = model.model.language_model, model.model.language_model.config
        self.decoder, self.pairs, self.total = decoder, config.rotates_pairs, total
        self.head_dim, self.rotary_dim, self.eps = config.head_width, config.rotary_dim, config.rms_norm_eps
        blocks = [layer for layer in decoder.layers if isinstance(layer, DecoderBlock)]
        attn = blocks[0].self_attn
        self.heads, self.kv_heads = (p.out_features // self.head_dim for p in (attn.q_proj, attn.k_proj))
        self.layers = [_fuse(block, ACTIVATIONS[config.hidden_act], total or _whole) for block in blocks]
        self.head = model.lm_head.weight.detach()
        self.packs = getattr(model, "packs_rows", True)  # see `ARGenerator`
        self.rows: Any = None  # the same weights for rows on a CPU (`RowDecoder`), once they were needed

    @torch.no_grad()
    def tables(self, positions: Tensor) -> Tensor:
        """Everything about the positions (3, B, N), once: cosines and signed sines (B, N, 2 R)."""
        cos, sin = (table[:, 0] for table in self.decoder.rotary(positions))
        half = self.rotary_dim // 2
        if self.pairs:
            cos, sin = (table[..., :half].repeat_interleave(2, dim=-1) for table in (cos, sin))
            sin[..., 0::2].neg_()
        else:
            sin = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
        return torch.cat([cos, sin], dim=-1)

    @torch.no_grad()
    def forward_token(
        self, ids: Tensor, rotary: Tensor, cache: StaticCache, start: int | Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """A token per row, ids (B,), written at `start` of the cache -> logits (B, vocabulary).

        rotary (B, 2 R), or one line for all rows: those of `tables`. With a `start` per row and an additive mask
        (B, 1, 1, S) no number passes through Python, so that the call can be captured once and replayed.
        """
        return self._logits(self.pass_token(self._embed(ids), rotary, cache, start, mask))

    def pass_token(
        self, x: Tensor, rotary: Tensor, cache: StaticCache, start: int | Tensor, mask: Tensor | None
    ) -> Tensor:
        """`forward_token` between the embedding and the final norm: x (B, D) through all layers."""
        for number, layer in enumerate(self.layers):
            qkv = self._qkv(x, layer, rotary)
            x = self._rest(x, self._attend(qkv, cache, number, start, mask).reshape(len(x), -1), layer)
        return x

    @torch.no_grad()
    def forward_rows(self, ids: Tensor, rotary: Tensor, caches: Sequence[StaticCache], starts: Sequence[int]) -> Tensor:
        """Tokens (B,) of several sequences, each with its line (B, 2 R), cache and place -> logits (B, vocabulary).

        They share every product; each looks into its own cache only.
        """
        return self._logits(self.pass_rows(self._embed(ids), rotary, caches, starts))

    def pass_rows(self, x: Tensor, rotary: Tensor, caches: Sequence[StaticCache], starts: Sequence[int]) -> Tensor:
        """`forward_rows` between the embedding and the final norm."""
        for number, layer in enumerate(self.layers):
            attended = [
                self._attend(row, cache, number, start, None)
                for row, cache, start in zip(self._qkv(x, layer, rotary).split(1), caches, starts, strict=True)
            ]
            x = self._rest(x, torch.cat(attended).flatten(1), layer)
        return x

    @torch.no_grad()
    def forward_block(self, ids: Tensor, rotary: Tensor, cache: StaticCache, start: int) -> Tensor:
        """Tokens (L,) of one row, one after another, with their lines (L, 2 R) -> logits (L, vocabulary).

        Reads the weights once for all of them: as long as one token for a large model.
        """
        return self._logits(self.pass_block(self._embed(ids), rotary, cache, start))

    def pass_block(self, x: Tensor, rotary: Tensor, cache: StaticCache, start: int) -> Tensor:
        """`forward_block` between the embedding and the final norm."""
        heads, kv_heads = self.heads, self.kv_heads
        for number, layer in enumerate(self.layers):
            qkv = self._qkv(x, layer, rotary).transpose(0, 1)[None]
            q, k, v = qkv.split((heads, kv_heads, kv_heads), dim=1)
            h = attention(q, *cache.update(number, k, v, start), causal=True)
            x = self._rest(x, h[0].transpose(0, 1).flatten(1), layer)
        return x

    def _embed(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.decoder.embed_tokens.weight)

    def _qkv(self, x: Tensor, layer: DecodeLayer, rotary: Tensor) -> Tensor:
        """Queries, keys and values (B, H + 2 Hkv, D), the first two rotated."""
        flat = multiply(self._norm(x, layer.norm_in), layer.qkv, layer.qkv_bias)
        qkv = flat.view(len(x), self.heads + 2 * self.kv_heads, self.head_dim)
        turn(qkv[:, : self.heads + self.kv_heads, : self.rotary_dim], rotary, pairs=self.pairs)
        return qkv

    def _attend(self, qkv: Tensor, cache: StaticCache, number: int, start: int | Tensor, mask: Tensor | None) -> Tensor:
        """Write keys and values -> attended values (B, Hkv, H / Hkv, D)."""
        batch, heads, kv_heads = len(qkv), self.heads, self.kv_heads
        k, v = qkv[:, heads : heads + kv_heads, None], qkv[:, heads + kv_heads :, None]
        keys, values = cache.update(number, k, v, start)
        q = qkv[:, :heads].reshape(batch, kv_heads, heads // kv_heads, self.head_dim)  # one group of heads per key head
        return F.scaled_dot_product_attention(q, keys, values, mask)

    def _rest(self, x: Tensor, attended: Tensor, layer: DecodeLayer) -> Tensor:
        """The block after its attention."""
        h = multiply(attended, layer.out)
        h = h if self.total is None else self.total(h)
        x = x + (h if layer.norm_attn is None else self._norm(h, layer.norm_attn))
        h = layer.mlp(self._norm(x, layer.norm_mlp_in))
        return x + (h if layer.norm_mlp is None else self._norm(h, layer.norm_mlp))

    def _logits(self, x: Tensor) -> Tensor:
        return F.linear(self._norm(x, self.decoder.norm.weight), self.head)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """One fused kernel where its rounding is that of `rms_norm`."""
        if weight.dtype == torch.float32:
            return F.rms_norm(x, weight.shape, weight, self.eps)
        return rms_norm(x, weight, self.eps)


def turn(heads: Tensor, rotary: Tensor, *, pairs: bool) -> None:
    """Rotate heads (B, H, R) in place by their lines of tables (B, 2 R)."""
    cos, sin = rotary[:, None].chunk(2, dim=-1)
    if pairs:
        swapped = heads.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    else:
        swapped = heads.roll(heads.shape[-1] // 2, -1)
    heads.mul_(cos).addcmul_(swapped, sin)


class _Networks(Protocol):
    @property
    def language_model(self) -> TextDecoder: ...


class CausalModel(Protocol):
    """A model of either family: a text decoder, whatever feeds it, and its head."""

    lm_head: nn.Linear

    @property
    def model(self) -> _Networks: ...


Edition = list[tuple[Tensor, int, torch.dtype, torch.device]]
_made: WeakKeyDictionary[CausalModel, tuple[Edition, StepDecoder]] = WeakKeyDictionary()


def fuse_for_decode(model: CausalModel) -> StepDecoder:
    """The decode path of a model, kept until its weights change or `forget_for_decode` is called."""
    known = _made.get(model)
    if known is None or not _is_of(model, known[0]):
        forget_for_decode(model)
        step = StepDecoder(model)
        edition = [(each, each._version, each.dtype, each.device) for each in _weights(model)]
        known = _made[model] = edition, step
    return known[1]


def _is_of(model: CausalModel, edition: Edition) -> bool:
    weights = _weights(model)
    return len(weights) == len(edition) and all(
        now is each and (now._version, now.dtype, now.device) == (version, dtype, device)
        for now, (each, version, dtype, device) in zip(weights, edition, strict=True)
    )


def _weights(model: CausalModel) -> list[Tensor]:
    return [*model.model.language_model.parameters(), model.lm_head.weight]


def forget_for_decode(model: CausalModel) -> None:
    """Let go of the weights in a model's decode path."""
    known = _made.pop(model, None)
    if known is not None:
        known[1].rows = None  # it points back: a cycle would keep all weights until the collector comes by


def _whole(x: Tensor) -> Tensor:
    return x


def _fuse(block: DecoderBlock, activation: Activation, total: Total) -> DecodeLayer:
    attn, mlp, sandwich = block.self_attn, block.mlp, block.sandwich
    projections = (attn.q_proj, attn.k_proj, attn.v_proj)
    biases = [p.bias for p in projections if p.bias is not None]
    if isinstance(mlp, FusedGatedMLP):
        gate_up, down = weight_of(mlp.gate_up_proj), weight_of(mlp.down_proj)
        run: Callable[[Tensor], Tensor] = DenseMLP(gate_up=gate_up, down=down, activation=activation, total=total)
    else:
        run = _by_module(mlp)
    return DecodeLayer(
        norm_in=block.input_layernorm.weight.detach(),
        qkv=_joined_weights(projections),
        qkv_bias=joined(biases) if biases else None,
        out=weight_of(attn.o_proj),
        norm_attn=block.post_self_attn_layernorm.weight.detach() if sandwich else None,
        norm_mlp_in=block.post_attention_layernorm.weight.detach(),
        mlp=run,
        norm_mlp=block.post_mlp_layernorm.weight.detach() if sandwich else None,
    )


def _by_module(mlp: nn.Module) -> Callable[[Tensor], Tensor]:
    """A module that takes (B, L, D), such as the mixture of experts, for rows (B, D)."""

    def run(x: Tensor) -> Tensor:
        out: Tensor = mlp(x[:, None])
        return out[:, 0]

    return run


def _joined_weights(layers: Sequence[nn.Module]) -> Weight:
    """The matrices of several layers as one; they are quantised together or not at all."""
    quantized = [layer.matrix for layer in layers if isinstance(layer, QuantizedLinear)]
    if quantized:
        assert len(quantized) == len(layers), "queries, keys and values are quantised together"
        return stack(quantized)
    return joined([layer.get_parameter("weight") for layer in layers])


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Parameters one below the other. Frozen ones become views of the result, which then costs no memory."""
    first, size = parts[0].detach(), 0
    for part in parts:
        beside = part.data_ptr() == first.data_ptr() + size * first.element_size()
        same = part.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not (beside and part.is_contiguous() and same):
            break
        size += part.numel()
    else:
        return first.as_strided((sum(len(part) for part in parts), *first.shape[1:]), first.stride())
    whole = torch.cat([part.detach() for part in parts])
    if not any(part.requires_grad for part in parts):
        for part, view in zip(parts, whole.split([len(part) for part in parts]), strict=True):
            part.data = view
    return whole
