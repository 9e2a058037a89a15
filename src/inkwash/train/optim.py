"""Optimisers, schedules, clipping and the averaged weights: Muon on block matrices, fused AdamW on everything else.

Master weights stay in fp32; autocast makes the bf16 copies, once a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from inkwash.train.config import NetworkTraining, Training
from inkwash.train.muon import Muon, is_sharded

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def split_parameters(modules: Iterable[nn.Module], muon_marker: str) -> tuple[list[Tensor], list[Tensor]]:
    """Trainable parameters as (matrices inside blocks, all others).

    A parameter belongs to the first list when it is 2-D and `muon_marker` occurs in its name
    (for example "layers." or "transformer_blocks.").
    """
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for module in modules:
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                (matrices if parameter.ndim == 2 and muon_marker in name else others).append(parameter)
    return matrices, others


def make_optimizers(
    modules: Iterable[nn.Module],
    *,
    lr: float,
    muon_marker: str | None,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.98),
    ns_steps: int = 5,
    ns_dtype: torch.dtype = torch.bfloat16,
) -> list[torch.optim.Optimizer]:
    """AdamW for all parameters, or Muon for block matrices beside it when `muon_marker` is given."""
    matrices, others = split_parameters(modules, muon_marker or "\0")
    optimizers: list[torch.optim.Optimizer] = []
    if others:
        groups = [{"params": group} for group in _by_mesh(others)]
        optimizers.append(torch.optim.AdamW(groups, lr=lr, betas=betas, weight_decay=weight_decay, fused=True))
    if matrices:
        optimizers.append(Muon(matrices, lr=lr, weight_decay=weight_decay, ns_steps=ns_steps, dtype=ns_dtype))
    return optimizers


def network_optimizers(
    modules: Iterable[nn.Module], config: NetworkTraining, *, muon_marker: str
) -> list[torch.optim.Optimizer]:
    """Those of the two large networks: Muon for the blocks, in fp32 where all of the training is."""
    ns_dtype = torch.float32 if config.precision == "fp32" else torch.bfloat16
    return make_optimizers(modules, lr=config.lr, muon_marker=muon_marker, ns_steps=config.ns_steps, ns_dtype=ns_dtype)


def _by_mesh(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """Groups that one fused kernel may take together: plain tensors, and those of each device mesh."""
    groups: dict[int, list[Tensor]] = {}
    for parameter in parameters:
        key = id(cast("DTensor", parameter).device_mesh) if is_sharded(parameter) else 0
        groups.setdefault(key, []).append(parameter)
    return list(groups.values())


def warmup_cosine(step: int, *, total: int, warmup: int, floor: float = 0.05) -> float:
    """Learning-rate factor: linear warm-up, then a cosine from 1 down to `floor` at `total`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * progress))


def warmup_stable_decay(step: int, *, total: int, warmup: int, decay: float, floor: float = 0.0) -> float:
    """Learning-rate factor: linear warm-up, a plateau at 1, a straight line to `floor` over the last `decay` share.

    A plateau needs no known end: a run can be lengthened from any state before its descent (arXiv:2404.06395).
    """
    left = (total - step) / max(1.0, decay * total)
    return min((step + 1) / max(1, warmup), 1.0, floor + (1.0 - floor) * max(0.0, left))


def lr_at(step: int, config: Training) -> float:
    """The learning rate of a step."""
    if config.schedule == "wsd":
        return config.lr * warmup_stable_decay(step, total=config.steps, warmup=config.warmup, decay=config.decay)
    return config.lr * warmup_cosine(step, total=config.steps, warmup=config.warmup)


def set_lr(optimizers: Iterable[torch.optim.Optimizer], lr: float) -> None:
    """Write one learning rate into every parameter group."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = lr


def clear_gradients(optimizers: Iterable[torch.optim.Optimizer]) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)


def update(optimizers: Iterable[torch.optim.Optimizer], parameters: Iterable[Tensor], clip: float = 1.0) -> Tensor:
    """One step of every optimiser from gradients whose joint norm is held to `clip`; returns the norm before that."""
    norm = clip_gradients(list(parameters), clip)
    for optimizer in optimizers:
        optimizer.step()
    return norm


def descend(loss: Tensor, optimizers: Sequence[torch.optim.Optimizer], clip: Iterable[Tensor] = ()) -> Tensor:
    """One whole update from a loss; the joint gradient norm of the parameters in `clip` is held to 1 and returned."""
    clear_gradients(optimizers)
    loss.backward()
    return update(optimizers, clip)


def clip_gradients(parameters: Sequence[Tensor], limit: float) -> Tensor:
    """Scale gradients down to a joint norm of `limit`; the norm before, over all shards of all processes."""
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return torch.zeros(())
    if not any(is_sharded(grad) for grad in grads):
        return torch.nn.utils.clip_grad_norm_(parameters, limit)
    norm = _sharded_square_sum(grads).sqrt()
    local = [local_part(grad) for grad in grads]
    torch._foreach_mul_(local, (limit / (norm + 1e-6)).clamp(max=1.0))
    return norm


def _sharded_square_sum(grads: Sequence[Tensor]) -> Tensor:
    """Sum of squares of whole gradients: shards are summed over the mesh axes that they are spread along, once each."""
    sums: dict[tuple[int, ...], Tensor] = {}
    groups: dict[tuple[int, ...], list[torch.distributed.ProcessGroup]] = {}
    for grad in grads:
        key: tuple[int, ...] = ()
        if is_sharded(grad):
            shard = cast("DTensor", grad)
            axes = [axis for axis, placement in enumerate(shard.placements) if placement.is_shard()]
            key = (id(shard.device_mesh), *axes)
            groups[key] = [shard.device_mesh.get_group(axis) for axis in axes]
        part = local_part(grad)
        sums[key] = sums.get(key, torch.zeros((), device=part.device)) + part.float().square().sum()
    for key, total in sums.items():
        for group in groups.get(key, ()):
            torch.distributed.all_reduce(total, group=group)
    return torch.stack(list(sums.values())).sum()


def local_part(tensor: Tensor) -> Tensor:
    """This process's part of a tensor, sharing its memory."""
    return cast("DTensor", tensor).to_local() if is_sharded(tensor) else tensor


class EMA:
    """Exponential moving average of the trained parameters, updated in one fused pass over this process's shards.

    The decay ramps up as (1 + n) / (10 + n) so that a short run is not dominated by its start.
    """

    def __init__(self, modules: Iterable[nn.Module], decay: float) -> None:
        self.decay = decay
        self.updates = 0
        trained = [p for module in modules for p in module.parameters() if p.requires_grad]
        self.parameters = trained
        self.shadow = [local.clone() for local in self._live()]

    def _live(self) -> list[Tensor]:
        """This process's part of every parameter, sharing its memory; asked for anew, since a move replaces it."""
        return [local_part(p).detach() for p in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """shadow <- decay * shadow + (1 - decay) * live."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.shadow, self._live(), 1.0 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange live and averaged weights; call again to change back."""
        for live, shadow in zip(self._live(), self.shadow, strict=True):
            kept = live.clone()
            live.copy_(shadow)
            shadow.copy_(kept)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the averaged weights are live."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def state_dict(self) -> dict[str, object]:
        return {"updates": self.updates, "shadow": self.shadow}

    def load_state_dict(self, state: dict[str, object]) -> None:
        shadow = state["shadow"]
        assert isinstance(shadow, list) and isinstance(state["updates"], int)
        self.updates = state["updates"]
        for mine, theirs in zip(self.shadow, shadow, strict=True):
            mine.copy_(theirs)
