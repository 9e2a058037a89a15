"""One token of an answer, or of several, on a CPU in fp32: matrix products by torch, everything between them by numpy.

A small dense model does some 170 operations for a token, each of a few hundred numbers. Torch spends 5 to 10
microseconds on any of them and numpy one, so the loop between the products is written on numpy views of buffers that
are allocated once. `StepDecoder.step` is the twin that a test holds this file to; other devices, dtypes and kinds of
decoder use that one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.step import Layer, StepDecoder
from inkwash.nn.cache import StaticCache
from inkwash.nn.decoder import FusedGatedMLP, SandwichBlock
from inkwash.nn.linear import is_plain

Array = NDArray[np.float32]


def fits(model: GlmV) -> bool:
    """Whether this path computes what the model does: dense, fp32, on a CPU, with the family's activation."""
    text, weight = model.config.text_config, model.lm_head.weight
    blocks = all(isinstance(layer, SandwichBlock) for layer in model.model.language_model.layers)
    first: Any = model.model.language_model.layers[0]
    plain = is_plain(first.self_attn.o_proj.weight)  # not rounded to fewer bits
    on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
    return blocks and plain and text.hidden_act == "silu" and on_cpu


@dataclass(frozen=True, slots=True)
class _Weights:
    layer: Layer
    gate_up: Tensor
    down: Tensor
    norm_in: Array
    norm_attn: Array
    norm_mlp_in: Array
    norm_mlp: Array
    keys: Array  # (Hkv, S, D) of the cache
    values: Array


class CpuStep:
    """The decode path of one answer; it keeps buffers, so each answer that is being made has its own."""

    def __init__(self, decoder: StepDecoder, cache: StaticCache, cos: Tensor, sin: Tensor) -> None:
        """``cos`` and ``sin`` are the decoder's tables (N, R) of the answer's positions."""
        self.decoder, self.eps = decoder, decoder.eps
        heads, kv_heads, dim = decoder.heads, decoder.kv_heads, decoder.head_dim
        width = decoder.head.shape[1]
        # neighbours turn together: a pair is a complex number
        self.turns = (cos[:, 0::2].numpy() + 1j * sin[:, 1::2].numpy()).astype(np.complex64)
        self.embedding: Array = decoder.language_model.embed_tokens.weight.detach().numpy()
        self.norm: Array = decoder.language_model.norm.weight.detach().numpy()
        self.layers = [_weights(decoder, number, cache) for number in range(len(decoder.layers))]
        inner = self.layers[0].down.shape[1]
        self.x: Array = np.empty(width, np.float32)
        self.hidden, self.h = _buffer(width)
        self.qkv, qkv = _buffer((heads + 2 * kv_heads) * dim)
        rows = qkv.reshape(heads + 2 * kv_heads, dim)
        self.turning = rows[: heads + kv_heads, : decoder.rotary_dim].view(np.complex64)
        self.q = rows[:heads].reshape(kv_heads, heads // kv_heads, dim)
        self.k, self.v = rows[heads : heads + kv_heads], rows[heads + kv_heads :]
        self.scale = np.float32(dim**-0.5)
        self.attended, attended = _buffer(heads * dim)
        self.a = attended.reshape(kv_heads, heads // kv_heads, dim)
        self.out, self.o = _buffer(width)
        self.gate_up, gate_up = _buffer(2 * inner)
        self.gate, self.up = gate_up[:inner], gate_up[inner:]
        self.inner, self.g = _buffer(inner)
        self.turn, self.start = self.turns[0], 0

    def step(self, token: int, row: int, start: int) -> Tensor:
        """The token of row ``row`` of the tables, written at ``start`` of the cache -> logits (1, vocabulary)."""
        return step_rows([self], [token], [row], [start])[0]

    def begin(self, token: int, row: int, start: int) -> None:
        """Take up a token."""
        self.x[:] = self.embedding[token]
        self.turn, self.start = self.turns[row], start

    def ask(self, number: int) -> None:
        """Queries, keys and values of a layer."""
        weights = self.layers[number]
        layer = weights.layer
        self._normed(self.x, weights.norm_in, self.h)
        if layer.qkv_bias is None:
            torch.mv(layer.qkv, self.hidden, out=self.qkv)
        else:
            torch.addmv(layer.qkv_bias, layer.qkv, self.hidden, out=self.qkv)

    def look(self, number: int) -> None:
        """Attention and its way out."""
        weights, o = self.layers[number], self.o
        self.turning *= self.turn
        self._attend(weights, self.start)
        torch.mv(weights.layer.out, self.attended, out=self.out)
        self._normed(o, weights.norm_attn, o)
        self.x += o
        self._normed(self.x, weights.norm_mlp_in, self.h)

    def widen(self, number: int) -> None:
        """The first half of the MLP."""
        torch.mv(self.layers[number].gate_up, self.hidden, out=self.gate_up)
        self._gated()

    def narrow(self, number: int) -> None:
        """Its second half."""
        weights, o = self.layers[number], self.o
        torch.mv(weights.down, self.inner, out=self.out)
        self._normed(o, weights.norm_mlp, o)
        self.x += o

    def logits(self) -> Tensor:
        """(1, vocabulary) after the last layer."""
        self._normed(self.x, self.norm, self.h)
        return torch.mv(self.decoder.head, self.hidden)[None]

    def _normed(self, x: Array, weight: Array, out: Array) -> None:
        scale = 1.0 / math.sqrt(float(x.dot(x)) / len(x) + self.eps)
        np.multiply(x, weight, out=out)
        out *= np.float32(scale)

    def _attend(self, weights: _Weights, start: int) -> None:
        keys, values = weights.keys[:, : start + 1], weights.values[:, : start + 1]
        keys[:, start] = self.k
        values[:, start] = self.v
        self.q *= self.scale
        scores = self.q @ keys.transpose(0, 2, 1)  # (Hkv, G, S)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        np.matmul(scores, values, out=self.a)
        self.a /= scores.sum(axis=-1, keepdims=True)

    def _gated(self) -> None:
        """silu(gate) * up, by a tangent that cannot overflow."""
        g = self.g
        np.multiply(self.gate, np.float32(0.5), out=g)
        np.tanh(g, out=g)
        g += np.float32(1.0)
        g *= self.gate
        g *= np.float32(0.5)
        g *= self.up


def step_rows(
    steps: Sequence[CpuStep], tokens: Sequence[int], rows: Sequence[int], starts: Sequence[int]
) -> list[Tensor]:
    """One token of each of several answers -> logits (1, vocabulary) of each.

    Every answer is its own products, so its bits are those it has alone; a matrix that one of them has read is still
    in the processor's cache for the next.
    """
    for step, token, row, start in zip(steps, tokens, rows, starts, strict=True):
        step.begin(token, row, start)
    for number in range(len(steps[0].layers)):
        for step in steps:
            step.ask(number)
        for step in steps:
            step.look(number)
        for step in steps:
            step.widen(number)
        for step in steps:
            step.narrow(number)
    return [step.logits() for step in steps]


def _buffer(size: int) -> tuple[Tensor, Array]:
    """The same memory as a tensor and as an array."""
    tensor = torch.zeros(size)
    return tensor, tensor.numpy()


def _weights(decoder: StepDecoder, number: int, cache: StaticCache) -> _Weights:
    layer: Any = decoder.layers[number]
    mlp: Any = decoder.language_model.layers[number].mlp
    assert isinstance(mlp, FusedGatedMLP)
    return _Weights(
        layer=layer,
        gate_up=mlp.gate_up_proj.weight.detach(),
        down=mlp.down_proj.weight.detach(),
        norm_in=layer.norm_in.numpy(),
        norm_attn=layer.norm_attn.numpy(),
        norm_mlp_in=layer.norm_mlp_in.numpy(),
        norm_mlp=layer.norm_mlp.numpy(),
        keys=cache.k[number, 0].numpy(),
        values=cache.v[number, 0].numpy(),
    )
