"""Token rows on a CPU: every row comes out to the same last bit as alone, where blocks are dense with sandwich norms.

A matrix kernel chooses its algorithm by the number of rows, so a batch would round a row otherwise than the row alone
does (docs/numerics.md). The packed product does not, and reads a matrix once for all rows, in 16 bits and without
rounding a weight (`nn/linear.py`). Weights that it cannot hold, such as those with an adapter merged in, take a
matrix-vector product for each row: `bmm` over weights expanded along the batch runs the same kernel of the same shape
for every row. A row's attention reads a buffer whose length follows from the row's own place only, rounded up and
masked: an odd length moves the kernel's scratch memory, and with it the sum, from thread to thread. Rows in one slot
or in neighbouring slots that read equally much are attended together.

Matrices in 8 or 4 bits are read as they are (`nn/linear.py`), by products that treat every row alike, too.

Between the products everything is fp32, whatever the number type of the weights. Where neither product is to be had
for 16-bit weights (other processors, or no room for a packed copy), those are multiplied as they are, and nothing is
promised about last bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.models.glm.decode import DecodeLayer, DenseMLP, StepDecoder, Total, turn
from inkwash.nn.attention import RowCache, additive_mask
from inkwash.nn.linear import (
    PackedLinear,
    QuantizedMatrix,
    Weight,
    is_plain,
    pack,
)

KEYS_STEP = 64  # a row's keys are read up to the next multiple of this


def keys_read(length: int) -> int:
    """How many keys a row with `length` written ones reads; the rest is masked."""
    return -(-length // KEYS_STEP) * KEYS_STEP


class Product(Protocol):
    """`scale * (x @ weight.T) + bias` for fp32 rows (B, K)."""

    scale: float

    def __call__(self, x: Tensor) -> Tensor: ...


class RowByRow:
    """A matrix-vector product for each row; no weight is copied."""

    scale = 1.0

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self._bias = weight.t()[None], bias

    def __call__(self, x: Tensor) -> Tensor:
        rows, weight = x[:, None], self._weight.expand(len(x), -1, -1)
        return (torch.bmm(rows, weight) if self._bias is None else torch.baddbmm(self._bias, rows, weight))[:, 0]


class AsStored:
    """The plain product in the weights' own number type."""

    scale = 1.0

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x.to(self._weight.dtype), self._weight, self._bias).float()


class Summed:
    """A product whose input channels are dealt out among processes: the outputs add up, each in its own scale."""

    scale = 1.0

    def __init__(self, product: Product, total: Total) -> None:
        self.product, self._total = product, total

    def __call__(self, x: Tensor) -> Tensor:
        return self._total(self.product(x) / self.product.scale)


class Quantized:
    """The product of a matrix in 8 or 4 bits, a few rows at a time: each row has the bits that it has alone."""

    scale = 1.0

    def __init__(self, matrix: QuantizedMatrix, bias: Tensor | None) -> None:
        self._matrix, self._bias = matrix, None if bias is None else bias.float()

    def __call__(self, x: Tensor) -> Tensor:
        parts = [self._matrix.few(rows) for rows in x.split(self._matrix.few_rows)]
        y = parts[0] if len(parts) == 1 else torch.cat(parts)
        return y if self._bias is None else y + self._bias


def product_of(
    weight: Weight, bias: Tensor | None = None, *, scratch: Tensor | None = None, packs: bool = True
) -> Product:
    """The best for a matrix (N, K); `scratch` is that of `pack`, which keeps a copy and is left out without `packs`."""
    if not isinstance(weight, Tensor):
        return Quantized(weight, bias)
    plain = type(weight) is Tensor
    if plain and packs and (packed := pack(weight, bias, scratch=scratch)) is not None:
        return packed
    return RowByRow(weight, bias) if plain and weight.dtype == torch.float32 else AsStored(weight, bias)


@dataclass(frozen=True, slots=True)
class _RowLayer:
    """A layer's products and norms.

    With D channels x / rms(x) is sqrt(D) x / hypot(|x|, sqrt(D eps)): the first root is part of the norm's weight, the
    second is called eps here. What scales a product is undone where it costs nothing: in the norm before it, or in the
    eps after it.
    """

    norm_in: Tensor
    qkv: Product
    out: Product
    out_eps: Tensor
    norm_attn: Tensor
    norm_mlp_in: Tensor
    gate_up: Product
    down: Product
    down_eps: Tensor
    norm_mlp: Tensor


class RowDecoder:
    """A `StepDecoder`'s weights as products that treat every row alike."""

    def __init__(self, step: StepDecoder) -> None:
        self.step = step
        self.embedding = step.decoder.embed_tokens.weight.detach()
        mlps = [layer.mlp for layer in step.layers if isinstance(layer.mlp, DenseMLP)]
        self.activation = mlps[0].activation
        self.root = step.head.shape[1] ** 0.5
        self.eps = torch.tensor(self.root * step.eps**0.5)
        matrices = [step.head, *(matrix for layer in step.layers for matrix in (layer.qkv, layer.out))]
        matrices += [matrix for mlp in mlps for matrix in (mlp.gate_up, mlp.down)]
        sizes = [each.numel() for each in matrices if isinstance(each, Tensor)]
        scratch = torch.empty(max(sizes) if step.packs and sizes else 0)
        self._line = torch.arange(0)
        self.layers = [self._row_layer(layer, scratch) for layer in step.layers]
        self.head = product_of(step.head, scratch=scratch, packs=step.packs)
        self.norm = step.decoder.norm.weight.detach().float() * self.root / self.head.scale

    @property
    def shares(self) -> bool:
        """Whether all rows of a pass read the weights once and each is still computed as if it were alone."""
        products = [self.head, *(p for each in self.layers for p in (each.qkv, each.out, each.gate_up, each.down))]
        weights = [each.product if isinstance(each, Summed) else each for each in products]
        return all(isinstance(product, PackedLinear | Quantized) for product in weights)

    def tables(self, positions: Tensor) -> Tensor:
        """Cosines and signed sines (N, 2 R) of the positions (3, N) of a sequence, fp32."""
        return self.step.tables(positions[:, None])[0].float()

    @torch.inference_mode()
    def forward(
        self,
        ids: Tensor,
        rotary: Tensor,
        cache: RowCache,
        places: Any,
        rows: Sequence[tuple[int, int]],
    ) -> Tensor:
        """Ids (B,) -> logits (B, vocabulary), fp32.

        rotary (B, 2 R): each row's line of its `tables`. places: where in the cache, which is fp32, the tokens are
        written, as its `write` takes them. rows: each row's slot and how many of its keys it sees, its own the last;
        several rows of one slot stand one behind the other.
        """
        x = self.pass_rows(F.embedding(ids, self.embedding).float(), rotary, cache, places, rows)
        return self.head((x / _size(x, self.eps)).mul_(self.norm))

    def pass_rows(
        self, x: Tensor, rotary: Tensor, cache: RowCache, places: Any, rows: Sequence[tuple[int, int]]
    ) -> Tensor:
        """`forward` between the embedding and the final norm: x (B, D) through all layers."""
        step, batch, activation, pairs = self.step, x.shape[0], self.activation, self.step.pairs
        heads, kv_heads, dim, rotary_dim = step.heads, step.kv_heads, step.head_dim, step.rotary_dim
        group, turning_heads = heads // kv_heads, heads + kv_heads
        runs = _runs(rows, joined=cache.joined)
        longest = max(run.keys for run in runs)
        if len(self._line) < longest:
            self._line = torch.arange(longest)
        seen = torch.tensor([count for _, count in rows])[:, None, None, None]
        unseen = additive_mask(self._line[:longest] < seen, torch.float32)  # (B, 1, 1, keys), added to the scores
        masks = [unseen[run.row : run.row + run.rows, :, :, : run.keys] for run in runs]
        attend, eps = F.scaled_dot_product_attention, self.eps
        for number, layer in enumerate(self.layers):
            flat = layer.qkv((x / _size(x, eps)).mul_(layer.norm_in))
            qkv = flat.view(batch, heads + 2 * kv_heads, dim)
            turn(qkv[:, :turning_heads, :rotary_dim], rotary, pairs=pairs)
            cache.write(number, places, flat[:, heads * dim :])
            q = flat[:, : heads * dim].view(batch, kv_heads, group, dim)  # one group of heads per key head
            if len(runs) == 1:
                h = attend(q, *cache.read(number, *runs[0].read), masks[0])
            else:
                h = torch.cat(
                    [
                        attend(q[run.row : run.row + run.rows], *cache.read(number, *run.read), each)
                        for run, each in zip(runs, masks, strict=True)
                    ]
                )
            h = layer.out(h.reshape(batch, heads * dim))
            x = torch.addcdiv(x, h * layer.norm_attn, _size(h, layer.out_eps))
            gate, up = layer.gate_up((x / _size(x, eps)).mul_(layer.norm_mlp_in)).chunk(2, dim=-1)
            h = layer.down(activation(gate).mul_(up))
            x = torch.addcdiv(x, h * layer.norm_mlp, _size(h, layer.down_eps))
        return x

    def _row_layer(self, layer: DecodeLayer, scratch: Tensor) -> _RowLayer:
        assert layer.norm_attn is not None and layer.norm_mlp is not None and isinstance(layer.mlp, DenseMLP)
        make = partial(product_of, scratch=scratch, packs=self.step.packs)
        qkv, out = make(layer.qkv, layer.qkv_bias), make(layer.out)
        gate_up, down = make(layer.mlp.gate_up), make(layer.mlp.down)
        if self.step.total is not None:
            out, down = Summed(out, self.step.total), Summed(down, self.step.total)
        return _RowLayer(
            norm_in=layer.norm_in.float() * self.root / qkv.scale,
            qkv=qkv,
            out=out,
            out_eps=self.eps * out.scale,
            norm_attn=layer.norm_attn.float() * self.root,
            norm_mlp_in=layer.norm_mlp_in.float() * self.root / gate_up.scale,
            gate_up=gate_up,
            down=down,
            down_eps=self.eps * down.scale,
            norm_mlp=layer.norm_mlp.float() * self.root,
        )


def takes(step: StepDecoder) -> bool:
    """Whether rows of this decoder may be computed here: dense with sandwich norms, on a CPU, fp32 and unrounded."""
    first = step.layers[0].out
    plain = step.head.device.type == "cpu" and step.head.dtype == torch.float32
    plain = plain and isinstance(first, Tensor) and is_plain(first)
    return plain and all(isinstance(each.mlp, DenseMLP) and each.norm_mlp is not None for each in step.layers)


def _size(x: Tensor, eps: Tensor) -> Tensor:
    """sqrt(D) rms(x) of the last dimension, kept as one."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True).hypot_(eps)


class _Run(NamedTuple):
    """Rows that are attended in one call: they stand in one slot, or in as many neighbouring ones, and read as much."""

    row: int  # the first
    rows: int
    slot: int  # the first
    slots: int
    keys: int

    @property
    def read(self) -> tuple[int, int, int, int]:
        return self.slot, self.slots, self.rows, self.keys


def _runs(rows: Sequence[tuple[int, int]], *, joined: bool = True) -> list[_Run]:
    """Rows (slot, keys), in order, as few runs; `joined` slots may share one."""
    runs: list[_Run] = []
    for row, (slot, seen) in enumerate(rows):
        keys = keys_read(seen)
        if runs:
            last = runs[-1]
            fits = last.keys == keys
            if fits and last.slots == 1 and last.slot == slot:
                runs[-1] = last._replace(rows=last.rows + 1)
                continue
            if joined and fits and last.slots == last.rows and last.slot + last.slots == slot:
                runs[-1] = last._replace(rows=last.rows + 1, slots=last.slots + 1)
                continue
        runs.append(_Run(row, 1, slot, 1, keys))
    return runs
