"""A text decoder cut for tensor parallelism: each rank has some heads, some channels of every MLP, some experts.

Attention heads and MLP channels are split (tensor parallelism, arXiv:1909.08053), experts dealt out whole (expert
parallelism, arXiv:2006.16668). Modules are changed from outside, before they have numbers; `Cut`s say which part of a
stored tensor a rank keeps, so that no rank ever holds more than its share and one tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkwash.core.errors import ConfigError, WeightsError
from inkwash.engine.offload import put
from inkwash.models.glm.decoder import (
    DecoderBlock,
    FusedGatedMLP,
    GatedMLP,
    GroupedAttention,
    TextDecoder,
    TextDecoderConfig,
)
from inkwash.models.glm_v.config import MoETextConfig
from inkwash.models.glm_v.moe import MixtureOfExperts
from inkwash.models.weights import StoredTensors

Cut = Callable[[Tensor], Tensor]
FP32 = ".e_score_correction_bias"  # of routers; stays as it is stored
LAYERS = "model.language_model.layers."  # in both families' files


class Adder(Protocol):
    """This process among those that share a model, and the sum over them."""

    @property
    def rank(self) -> int: ...

    @property
    def world(self) -> int: ...

    def total(self, x: Tensor) -> Tensor: ...


def share_decoder(decoder: TextDecoder, ranks: Adder) -> dict[str, Cut]:
    """Make a decoder's modules those of one share; how stored tensors are cut for them.

    Its matrices must be on the meta device or about to be replaced: their values are not kept.
    """
    text = decoder.config
    check_world(text, ranks.world)
    cuts: dict[str, Cut] = {}
    for number, block in enumerate(decoder.layers):
        assert isinstance(block, DecoderBlock)
        name = f"{LAYERS}{number}."
        cuts |= _share_attention(block.self_attn, f"{name}self_attn.", text, ranks)
        mlp = block.mlp
        if isinstance(mlp, FusedGatedMLP):
            inner = text.intermediate_size // ranks.world
            rows = slice(ranks.rank * inner, (ranks.rank + 1) * inner)
            cuts[f"{name}mlp.gate_up_proj.weight"] = _halves(rows, text.intermediate_size)
            mlp.gate_up_proj = _linear(mlp.gate_up_proj, outputs=2 * inner)
            cuts[f"{name}mlp.down_proj.weight"] = _columns(rows)
            mlp.down_proj = SummedLinear(mlp.down_proj, inner, ranks)
        elif isinstance(mlp, GatedMLP):
            cuts |= _share_mlp(mlp, f"{name}mlp.", ranks)
            mlp.down_proj = SummedLinear(mlp.down_proj, mlp.down_proj.in_features, ranks)
        else:
            assert isinstance(mlp, MixtureOfExperts)
            cuts |= _share_mlp(mlp.shared_experts, f"{name}mlp.shared_experts.", ranks)
            block.mlp = _ExpertShare(mlp, ranks)
    return cuts


@torch.no_grad()
def fill_share(
    network: nn.Module,
    stored: StoredTensors,
    names: Sequence[str],
    cuts: Mapping[str, Cut],
    *,
    device: torch.device,
    dtype: torch.dtype,
    arrived: Callable[[str], None] | None = None,
) -> None:
    """Give tensors of a network their values, cut; `arrived` is told each module whose weight is there."""
    kept = [name for name in names if name.endswith(FP32)]
    others = [name for name in names if not name.endswith(FP32)]
    expected = network.state_dict(keep_vars=True)
    for name, whole in chain(stored.read(kept, dtype=None), stored.read(others, dtype=dtype)):
        cut = cuts.get(name)
        value = whole if cut is None else cut(whole).clone()
        if value.shape != expected[name].shape:
            raise WeightsError(f"{name} is {list(value.shape)} after it was cut, not {list(expected[name].shape)}.")
        put(network, name, value.to(device))
        if arrived is not None and name.endswith(".weight"):
            arrived(name.removesuffix(".weight"))


class SummedLinear(nn.Linear):
    """A matrix of which each process has some input channels: the outputs add up."""

    def __init__(self, whole: nn.Linear, inputs: int, ranks: Adder) -> None:
        super().__init__(inputs, whole.out_features, bias=False, device="meta", dtype=whole.weight.dtype)
        self.ranks = ranks

    def forward(self, x: Tensor) -> Tensor:
        return self.ranks.total(F.linear(x, self.weight))


class _ExpertShare(nn.Module):
    """A mixture of experts of which this process has some whole experts and a part of the shared ones."""

    def __init__(self, whole: MixtureOfExperts, ranks: Adder) -> None:
        super().__init__()
        each = len(whole.experts) // ranks.world
        self.local = range(ranks.rank * each, (ranks.rank + 1) * each)
        self.ranks = ranks
        self.gate, self.shared_experts = whole.gate, whole.shared_experts
        self.experts = nn.ModuleDict({str(number): whole.experts[number] for number in self.local})

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        tokens = x.flatten(0, 1)
        chosen, weights = self.gate(tokens)
        out: Tensor = self.shared_experts(tokens)
        for number in self.local:
            rows, places = (chosen == number).nonzero(as_tuple=True)
            if len(rows):
                weighted = self.experts[str(number)](tokens[rows]) * weights[rows, places][:, None]
                out.index_add_(0, rows, weighted.to(out.dtype))
        return self.ranks.total(out).view_as(x)


def check_world(text: TextDecoderConfig, world: int) -> None:
    """Everything that is split must be divided by the number of processes; raises ConfigError."""
    sizes = {"num_attention_heads": text.num_attention_heads, "intermediate_size": text.intermediate_size}
    if isinstance(text, MoETextConfig):
        sizes |= {
            "n_routed_experts": text.n_routed_experts,
            "the width of the shared experts": text.moe_intermediate_size * text.n_shared_experts,
        }
    kv = text.num_key_value_heads
    bad = [f"{name}={size}" for name, size in sizes.items() if size % world]
    if kv % world and world % kv:
        bad.append(f"num_key_value_heads={kv}")
    if bad:
        raise ConfigError(f"{world} processes do not divide {bad[0]} of this model: start another number of them.")


def _share_attention(attn: GroupedAttention, name: str, text: TextDecoderConfig, ranks: Adder) -> dict[str, Cut]:
    """Query heads are dealt out; key heads too, or several processes share one where there are fewer of them."""
    dim, world, rank = text.head_width, ranks.world, ranks.rank
    heads, kv = text.num_attention_heads // world, text.num_key_value_heads
    local_heads = max(1, kv // world)
    first = rank * kv // world
    queries = slice(rank * heads * dim, (rank + 1) * heads * dim)
    keys = slice(first * dim, (first + local_heads) * dim)
    cuts: dict[str, Cut] = {f"{name}o_proj.weight": _columns(queries)}
    for matrix, rows in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
        for leaf in ("weight", "bias"):
            cuts[f"{name}{matrix}.{leaf}"] = _rows(rows)
        setattr(attn, matrix, _linear(getattr(attn, matrix), outputs=rows.stop - rows.start))
    attn.o_proj = SummedLinear(attn.o_proj, heads * dim, ranks)
    return cuts


def _share_mlp(mlp: GatedMLP, name: str, ranks: Adder) -> dict[str, Cut]:
    inner = mlp.gate_proj.out_features // ranks.world
    local = slice(ranks.rank * inner, (ranks.rank + 1) * inner)
    mlp.gate_proj, mlp.up_proj = (_linear(old, outputs=inner) for old in (mlp.gate_proj, mlp.up_proj))
    mlp.down_proj = _linear(mlp.down_proj, inputs=inner)
    return {
        f"{name}gate_proj.weight": _rows(local),
        f"{name}up_proj.weight": _rows(local),
        f"{name}down_proj.weight": _columns(local),
    }


def _linear(old: nn.Linear, *, outputs: int | None = None, inputs: int | None = None) -> nn.Linear:
    """A matrix of other sizes, without memory."""
    return nn.Linear(
        inputs or old.in_features,
        outputs or old.out_features,
        bias=old.bias is not None,
        device="meta",
        dtype=old.weight.dtype,
    )


def _rows(local: slice) -> Cut:
    return lambda tensor: tensor[local]


def _columns(local: slice) -> Cut:
    return lambda tensor: tensor[:, local]


def _halves(local: slice, whole: int) -> Cut:
    """The same rows of the gate and of what it gates."""
    return lambda tensor: torch.cat([tensor[local], tensor[whole:][local]])
