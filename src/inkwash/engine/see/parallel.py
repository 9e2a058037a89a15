"""A model that sees on several devices: every process that torchrun started holds a share of its decoder.

    torchrun --nproc-per-node 4 -m inkwash describe photo.jpg --model zai-org/GLM-4.5V

Attention heads and MLP channels are split (tensor parallelism, arXiv:1909.08053), experts dealt out whole (expert
parallelism, arXiv:2006.16668); the ViT, embeddings and head are on every device. Weights are cut while they
are read (`loading.py`), so no process ever holds more than its share and one tensor. Applied from outside: the
network's code is that of one device. All processes make the same answer; the first one decides what is random.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from inkwash.core.errors import ConfigError
from inkwash.models.glm.decoder import FusedGatedMLP, GatedMLP, GroupedAttention
from inkwash.models.glm_v.config import MoETextConfig, TextConfig
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.moe import MixtureOfExperts

BACKENDS = {"cpu": "gloo", "cuda": "nccl", "xpu": "xccl", "npu": "hccl"}
Cut = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class TensorParallelGroup:
    """This process among those that share a model."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def total(self, x: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        dist.all_reduce(x)
        return x

    def agree(self, value: int) -> int:
        """What the first process says."""
        said = torch.tensor(value, dtype=torch.int64, device=self.device)
        dist.broadcast(said, src=0)
        return int(said)

    def share(self, value: Any) -> Any:
        """Any object of the first process."""
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]


def started() -> bool:
    """Whether torchrun started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join(device: torch.device) -> TensorParallelGroup:
    """Join the other processes; returns this one's place and device."""
    backend = BACKENDS.get(device.type)
    if backend is None:
        raise ConfigError(f"A model cannot be shared by several {device.type} devices: use one, or the CPU.")
    if device.type != "cpu":
        device = torch.device(device.type, int(os.environ.get("LOCAL_RANK", "0")))
        torch.accelerator.set_device_index(device.index)
    if not dist.is_initialized():
        dist.init_process_group("gloo" if backend == "gloo" else f"cpu:gloo,{device.type}:{backend}")
        atexit.register(_leave)
    return TensorParallelGroup(dist.get_rank(), dist.get_world_size(), device)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def share_decoder(model: GlmV, ranks: TensorParallelGroup) -> dict[str, Cut]:
    """Make the decoder's modules those of one share; how stored tensors are cut for them.

    Matrices of the model must be on the meta device or about to be replaced: their values are not kept.
    """
    text = model.config.text_config
    _check(text, ranks.world)
    cuts: dict[str, Cut] = {}
    for number, block in enumerate(model.model.language_model.layers):
        name = f"model.language_model.layers.{number}."
        cuts |= _share_attention(block.self_attn, f"{name}self_attn.", text, ranks)  # type: ignore[arg-type]
        mlp = block.mlp
        if isinstance(mlp, FusedGatedMLP):
            inner = text.intermediate_size // ranks.world
            rows = slice(ranks.rank * inner, (ranks.rank + 1) * inner)
            cuts[f"{name}mlp.gate_up_proj.weight"] = _halves(rows, text.intermediate_size)
            mlp.gate_up_proj = _linear(mlp.gate_up_proj, outputs=2 * inner)
            cuts[f"{name}mlp.down_proj.weight"] = _columns(rows)
            mlp.down_proj = _Summed(mlp.down_proj, inner, ranks)
        elif isinstance(mlp, GatedMLP):
            cuts |= _share_mlp(mlp, f"{name}mlp.", ranks)
            mlp.down_proj = _Summed(mlp.down_proj, mlp.down_proj.in_features, ranks)
        else:
            assert isinstance(mlp, MixtureOfExperts)
            cuts |= _share_mlp(mlp.shared_experts, f"{name}mlp.shared_experts.", ranks)
            block.mlp = _ExpertShare(mlp, ranks)
    return cuts


class _Summed(nn.Linear):
    """A matrix of which each process has some input channels: the outputs add up."""

    def __init__(self, whole: nn.Linear, inputs: int, ranks: TensorParallelGroup) -> None:
        super().__init__(inputs, whole.out_features, bias=False, device="meta", dtype=whole.weight.dtype)
        self.ranks = ranks

    def forward(self, x: Tensor) -> Tensor:
        return self.ranks.total(F.linear(x, self.weight))


class _ExpertShare(nn.Module):
    """A mixture of experts of which this process has some whole experts and a part of the shared ones."""

    def __init__(self, whole: MixtureOfExperts, ranks: TensorParallelGroup) -> None:
        super().__init__()
        each = len(whole.experts) // ranks.world
        self.own = range(ranks.rank * each, (ranks.rank + 1) * each)
        self.ranks = ranks
        self.gate, self.shared_experts = whole.gate, whole.shared_experts
        self.experts = nn.ModuleDict({str(number): whole.experts[number] for number in self.own})

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        tokens = x.flatten(0, 1)
        chosen, weights = self.gate(tokens)
        out: Tensor = self.shared_experts(tokens)
        for number in self.own:
            rows, places = (chosen == number).nonzero(as_tuple=True)
            if len(rows):
                weighted = self.experts[str(number)](tokens[rows]) * weights[rows, places][:, None]
                out.index_add_(0, rows, weighted.to(out.dtype))
        return self.ranks.total(out).view_as(x)


def _check(text: TextConfig, world: int) -> None:
    """Everything that is split must be divided by the number of processes."""
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


def _share_attention(attn: GroupedAttention, name: str, text: TextConfig, ranks: TensorParallelGroup) -> dict[str, Cut]:
    """Query heads are dealt out; key heads too, or several processes share one where there are fewer of them."""
    dim, world, rank = text.head_width, ranks.world, ranks.rank
    heads, kv = text.num_attention_heads // world, text.num_key_value_heads
    own = max(1, kv // world)
    first = rank * kv // world
    queries = slice(rank * heads * dim, (rank + 1) * heads * dim)
    keys = slice(first * dim, (first + own) * dim)
    cuts: dict[str, Cut] = {f"{name}o_proj.weight": _columns(queries)}
    for matrix, rows in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
        for leaf in ("weight", "bias"):
            cuts[f"{name}{matrix}.{leaf}"] = _rows(rows)
        setattr(attn, matrix, _linear(getattr(attn, matrix), outputs=rows.stop - rows.start))
    attn.o_proj = _Summed(attn.o_proj, heads * dim, ranks)
    return cuts


def _share_mlp(mlp: GatedMLP, name: str, ranks: TensorParallelGroup) -> dict[str, Cut]:
    inner = mlp.gate_proj.out_features // ranks.world
    own = slice(ranks.rank * inner, (ranks.rank + 1) * inner)
    mlp.gate_proj, mlp.up_proj = (_linear(old, outputs=inner) for old in (mlp.gate_proj, mlp.up_proj))
    mlp.down_proj = _linear(mlp.down_proj, inputs=inner)
    return {
        f"{name}gate_proj.weight": _rows(own),
        f"{name}up_proj.weight": _rows(own),
        f"{name}down_proj.weight": _columns(own),
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


def _rows(own: slice) -> Cut:
    return lambda tensor: tensor[own]


def _columns(own: slice) -> Cut:
    return lambda tensor: tensor[:, own]


def _halves(own: slice, whole: int) -> Cut:
    """The same rows of the gate and of what it gates."""
    return lambda tensor: torch.cat([tensor[own], tensor[whole:][own]])
