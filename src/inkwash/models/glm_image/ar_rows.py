"""One token for each of several rows on a CPU, every row to the same last bit as alone.

A matrix kernel chooses its algorithm by the number of rows, so a batch would round a row otherwise than the row alone
does (docs/numerics.md). Here each row is its own matrix-vector product: `bmm` over weights expanded along the batch
runs the same kernel of the same shape for every row, and one row takes the same call. A row's attention reads a buffer
whose length follows from the row's own place only, rounded up and masked: an odd length moves the kernel's scratch
memory, and with it the sum, from thread to thread. What a batch saves is everything between the kernels, about half of
a small model's time; the weights stay in the processor's cache from one row to the next.

Other number types than float32 are promised no equal bits and take plain matrix products.
`ar_step.py` is the form for accelerators, `ARGenerator.forward` the naive twin; tests hold all three together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.models.glm_image.ar_step import StepDecoder
from inkwash.nn.cache import SlotCache

KEYS_STEP = 16  # a row's keys are read up to the next multiple of this


def keys_read(length: int) -> int:
    """How many keys a row with `length` written ones reads; the rest is masked."""
    return -(-length // KEYS_STEP) * KEYS_STEP


class RowDecoder:
    """A `StepDecoder`'s weights, seen as batches of matrix-vector products; no weight is copied."""

    def __init__(self, step: StepDecoder) -> None:
        self.step = step
        self.embedding = step.language_model.embed_tokens.weight.detach()
        self.exact = step.head.dtype == torch.float32
        self.width = step.head.shape[1]
        self.eps = torch.tensor(step.eps)
        norm = step.language_model.norm.weight.detach()
        self.norm = norm
        self._views: dict[int, tuple[list[tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor]], Tensor]] = {}

    @torch.no_grad()
    def tables(self, positions: Tensor) -> Tensor:
        """Cosines and signed sines (N, 2 R) of a plan's positions (3, N)."""
        tables = self.step.plan_tables(positions[:, None])
        return torch.cat([tables.cos, tables.sin], dim=-1)[:, 0, 0]

    @torch.inference_mode()
    def forward(
        self,
        ids: Tensor,
        rotary: Tensor,
        cache: SlotCache,
        places: Tensor,
        rows: Sequence[tuple[int, int]],
        mask: Tensor,
    ) -> Tensor:
        """Ids (B,) -> logits (B, vision vocabulary).

        rotary (B, 2 R): each row's line of its `tables`. places (B,): where in the cache the tokens are written. rows:
        each row's slot and how many keys it then has. mask (slots, max_length): 0 on written keys, else very small.
        """
        step, batch = self.step, ids.shape[0]
        heads, kv_heads, dim, rotary_dim = step.heads, step.kv_heads, step.head_dim, step.rotary_dim
        group, half = heads // kv_heads, rotary_dim // 2
        cos, sin = rotary[:, None, :rotary_dim], rotary[:, None, rotary_dim:]
        seen = [(slot, keys_read(keys)) for slot, keys in rows]
        masks = [mask[slot, :keys].view(1, 1, 1, keys) for slot, keys in seen]
        views, head = self._of_batch(batch)
        x = F.embedding(ids, self.embedding)
        for number, layer in enumerate(step.layers):
            qkv_weight, bias, out_weight, gate_up_weight, down_weight = views[number]
            flat = self._product(self._normed(x) * layer.norm_in, qkv_weight, bias)
            qkv = flat.view(batch, heads + 2 * kv_heads, dim)
            turning = qkv[:, : heads + kv_heads, :rotary_dim]
            swapped = turning.roll(half, -1)
            turning.mul_(cos).addcmul_(swapped, sin)
            cache.write(number, places, flat[:, heads * dim :])
            q = qkv[:, :heads].view(batch, kv_heads, group, dim)  # one group of heads per key head
            attended = [
                F.scaled_dot_product_attention(q[row : row + 1], *cache.read(number, *seen[row]), masks[row])
                for row in range(batch)
            ]
            h = attended[0] if batch == 1 else torch.cat(attended)
            h = self._product(h.reshape(batch, heads * dim), out_weight)
            x = self._added(x, self._normed(h), layer.norm_attn)
            gate, up = self._product(self._normed(x) * layer.norm_mlp_in, gate_up_weight).chunk(2, dim=-1)
            h = self._product(step.activation(gate).mul_(up), down_weight)
            x = self._added(x, self._normed(h), layer.norm_mlp)
        return self._product(self._normed(x) * self.norm, head)

    def _normed(self, x: Tensor) -> Tensor:
        """x / rms(x) in x's dtype; statistics in fp32."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = torch.addcmul(self.eps, norm, norm, value=1 / self.width).rsqrt_()
        return x * inverse if self.exact else (x * inverse).to(x.dtype)

    def _added(self, x: Tensor, normed: Tensor, weight: Tensor) -> Tensor:
        """The residual sum; in 16 bits the scaled value is rounded first, as in the released model."""
        return torch.addcmul(x, normed, weight) if self.exact else x + weight * normed

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if not self.exact:
            return F.linear(x, weight, bias)
        rows = x[:, None]
        out = torch.bmm(rows, weight) if bias is None else torch.baddbmm(bias, rows, weight)
        return out[:, 0]

    def _of_batch(self, batch: int) -> tuple[list[tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor]], Tensor]:
        """The weights as `_product` takes them for so many rows: views, kept because making them costs time."""
        if batch not in self._views:
            self._views[batch] = (
                [
                    (
                        self._expand(layer.qkv, batch),
                        self._expand_bias(layer.qkv_bias, batch),
                        self._expand(layer.out, batch),
                        self._expand(layer.gate_up, batch),
                        self._expand(layer.down, batch),
                    )
                    for layer in self.step.layers
                ],
                self._expand(self.step.head, batch),
            )
        return self._views[batch]

    def _expand(self, weight: Tensor, batch: int) -> Tensor:
        return weight.t().expand(batch, -1, -1) if self.exact else weight

    def _expand_bias(self, bias: Tensor | None, batch: int) -> Tensor | None:
        return bias if bias is None or not self.exact else bias.expand(batch, 1, -1)
