"""The glyph encoder: the bytes of the texts to be drawn, as embeddings that say which letters stand where.

A T5 encoder over ByT5 byte ids, with relative position biases shared by all layers and no scaling of the scores.
Parameter names are those of the released checkpoint's `text_encoder/` folder; the embedding table is stored once,
as `shared.weight`.
Sources: T5, arXiv:1910.10683; ByT5, arXiv:2105.13626.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from inkwash.models.glm_image.config import GlyphConfig
from inkwash.models.weights import ReferencePart
from inkwash.nn.attention import attention
from inkwash.nn.norm import RMSNorm

PAD_ID, EOS_ID, BYTE_OFFSET = 0, 1, 3
MAX_BYTES = 2048
HIDDEN = -1e4  # a score that softmax turns to 0 and that every dtype can hold


def byte_ids(text: str, max_length: int = MAX_BYTES) -> list[int]:
    """ByT5 ids of a text: its UTF-8 bytes moved up by 3, then the end mark; cut to `max_length` ids."""
    return [byte + BYTE_OFFSET for byte in text.encode("utf-8")[: max_length - 1]] + [EOS_ID]


def glyph_ids(texts: Sequence[str], max_length: int = MAX_BYTES) -> tuple[Tensor, Tensor]:
    """Ids and bool mask (T, L) of the texts of one picture; no text counts as the empty one.

    The released pipeline puts one visible pad id before every text when their *number* is even, and the decoder was
    trained with that.
    """
    lead = [PAD_ID] if texts and len(texts) % 2 == 0 else []
    rows = [lead + byte_ids(text, max_length) for text in texts or [""]]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [PAD_ID] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ids, torch.arange(longest) < lengths[:, None]


def _stack(parts: Sequence[Tensor]) -> Tensor:
    """Tensors (T_i, L_i) one below another, filled up with zeros to the longest row."""
    longest = max(part.shape[1] for part in parts)
    return torch.cat([F.pad(part, (0, longest - part.shape[1])) for part in parts])


class SelfAttention(nn.Module):
    """T5 attention; only the first layer's owns the position biases."""

    def __init__(self, config: GlyphConfig, *, first: bool) -> None:
        super().__init__()
        inner = config.num_heads * config.d_kv
        self.heads = config.num_heads
        self.q = nn.Linear(config.d_model, inner, bias=False)
        self.k = nn.Linear(config.d_model, inner, bias=False)
        self.v = nn.Linear(config.d_model, inner, bias=False)
        self.o = nn.Linear(inner, config.d_model, bias=False)
        if first:
            self.relative_attention_bias = nn.Embedding(config.relative_attention_num_buckets, config.num_heads)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, L, D), bias (B, heads, L, L) added to the scores."""
        q, k, v = (rearrange(part(x), "b l (h d) -> b h l d", h=self.heads) for part in (self.q, self.k, self.v))
        return self.o(rearrange(attention(q, k, v, mask=bias, scale=1.0), "b h l d -> b l (h d)"))


class GlyphFeedForward(nn.Module):
    """An activated layer, times a linear one where it is gated, then a linear layer."""

    def __init__(self, config: GlyphConfig) -> None:
        super().__init__()
        self.activation = config.feed_forward_proj
        if self.activation.startswith("gated-"):
            self.wi_0 = nn.Linear(config.d_model, config.d_ff, bias=False)
            self.wi_1 = nn.Linear(config.d_model, config.d_ff, bias=False)
        else:
            self.wi = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gated = self.activation.startswith("gated-")
        h = self.wi_0(x) if gated else self.wi(x)
        if self.activation == "relu":
            h = F.relu(h)
        elif self.activation == "gated-silu":
            h = F.silu(h)
        else:  # T5 means the tanh form by `gated-gelu`
            h = F.gelu(h, approximate="tanh" if gated else "none")
        return self.wo(h * self.wi_1(x) if gated else h)


class GlyphBlock(nn.Module):
    """Attention and feed-forward, each behind its norm; named and numbered as the checkpoint does it."""

    def __init__(self, config: GlyphConfig, *, first: bool) -> None:
        super().__init__()
        parts = {"SelfAttention": SelfAttention(config, first=first), "DenseReluDense": GlyphFeedForward(config)}
        norm = partial(RMSNorm, config.d_model, config.layer_norm_epsilon)
        self.layer = nn.ModuleList(nn.ModuleDict({name: part, "layer_norm": norm()}) for name, part in parts.items())

    def forward(self, x: Tensor, bias: Tensor, dropout: float) -> Tensor:
        update = self.get_submodule("layer.0.SelfAttention")(self.get_submodule("layer.0.layer_norm")(x), bias)
        x = x + F.dropout(update, dropout, self.training)
        update = self.get_submodule("layer.1.DenseReluDense")(self.get_submodule("layer.1.layer_norm")(x))
        return x + F.dropout(update, dropout, self.training)


class GlyphEncoder(ReferencePart):
    """T5 encoder; `dropout` acts in training mode only and is 0 unless a recipe asks for it."""

    def __init__(self, config: GlyphConfig, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.config, self.dropout = config, dropout
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        blocks = nn.ModuleList([GlyphBlock(config, first=number == 0) for number in range(config.num_layers)])
        norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.encoder = nn.ModuleDict({"block": blocks, "final_layer_norm": norm})

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids (B, L), mask (B, L), nonzero where an id is real -> embeddings (B, L, d_model)."""
        x = F.dropout(self.shared(ids), self.dropout, self.training)
        bias = self.position_bias(ids.shape[1]).masked_fill(~mask[:, None, None].bool(), HIDDEN)
        blocks = self.encoder["block"]
        assert isinstance(blocks, nn.ModuleList)
        for block in blocks:
            x = block(x, bias, self.dropout)
        return F.dropout(self.encoder["final_layer_norm"](x), self.dropout, self.training)

    def encode(self, texts: Sequence[Sequence[str]], max_length: int = MAX_BYTES) -> tuple[Tensor, Tensor]:
        """Glyph embeddings of a batch: the texts of each picture -> (B, L, d_model) and bool mask (B, L).

        The texts of a picture are encoded apart from each other and then stand one after another without gaps.
        """
        device = self.shared.weight.device
        pieces = [glyph_ids(row, max_length) for row in texts]
        ids = _stack([ids for ids, _ in pieces]).to(device)
        mask = _stack([mask for _, mask in pieces]).to(device)
        counts = [len(ids) for ids, _ in pieces]
        rows = [e[m] for e, m in zip(self(ids, mask).split(counts), mask.split(counts), strict=True)]
        embeddings = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        return embeddings, torch.arange(embeddings.shape[1], device=device) < lengths[:, None]

    def position_bias(self, length: int) -> Tensor:
        """Relative position biases (1, heads, L, L)."""
        table = self.get_submodule("encoder.block.0.layer.0.SelfAttention.relative_attention_bias")
        assert isinstance(table, nn.Embedding)
        places = torch.arange(length, device=table.weight.device)
        buckets = relative_buckets(
            places[None] - places[:, None],
            self.config.relative_attention_num_buckets,
            self.config.relative_attention_max_distance,
        )
        return rearrange(table(buckets), "q k h -> 1 h q k")


def relative_buckets(distance: Tensor, buckets: int, max_distance: int) -> Tensor:
    """Bucket of each signed distance: half the buckets look back and half ahead, exact near by, logarithmic far off."""
    half = buckets // 2
    exact = half // 2
    size = distance.abs()
    far = torch.log(size.float() / exact) / math.log(max_distance / exact) * (half - exact)
    far = (exact + far.clamp(min=0).long()).clamp(max=half - 1)
    return torch.where(size < exact, size, far) + (distance > 0) * half


def init_weights(encoder: GlyphEncoder) -> None:
    """T5's own scales: every product keeps unit variance, queries absorb the missing score scaling."""
    config = encoder.config
    factor = config.initializer_factor
    for name, parameter in encoder.named_parameters():
        kind = name.split(".")[-2]
        if "norm" in kind:
            nn.init.constant_(parameter, factor)
        elif kind == "shared":
            nn.init.normal_(parameter, std=factor)
        elif kind == "q":
            nn.init.normal_(parameter, std=factor * (config.d_model * config.d_kv) ** -0.5)
        elif kind == "o":
            nn.init.normal_(parameter, std=factor * (config.num_heads * config.d_kv) ** -0.5)
        elif kind == "wo":
            nn.init.normal_(parameter, std=factor * config.d_ff**-0.5)
        else:
            nn.init.normal_(parameter, std=factor * config.d_model**-0.5)
