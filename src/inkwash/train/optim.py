"""Optimisers and schedules: Muon on the block matrices, AdamW on everything else.

Muon's update is scaled to AdamW's root mean square (Moonlight's rule, arXiv:2502.16982), so one learning
rate serves both. Master weights stay in fp32; autocast makes the bf16 copies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


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
) -> list[torch.optim.Optimizer]:
    """AdamW for all parameters, or Muon for block matrices beside it when `muon_marker` is given."""
    matrices, others = split_parameters(modules, muon_marker or "\0")
    optimizers: list[torch.optim.Optimizer] = []
    if others:
        optimizers.append(torch.optim.AdamW(others, lr=lr, betas=betas, weight_decay=weight_decay, fused=True))
    if matrices:
        optimizers.append(
            torch.optim.Muon(
                matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw", ns_steps=ns_steps
            )
        )
    return optimizers


def warmup_cosine(step: int, *, total: int, warmup: int, floor: float = 0.05) -> float:
    """Learning-rate factor: linear warm-up, then a cosine from 1 down to `floor` at `total`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * progress))


def set_lr(optimizers: Iterable[torch.optim.Optimizer], lr: float) -> None:
    """Write one learning rate into every parameter group."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = lr


def descend(loss: Tensor, optimizers: Sequence[torch.optim.Optimizer], clip: Iterable[Tensor] = ()) -> None:
    """One update from a loss; the joint gradient norm of the parameters in `clip` is held to 1."""
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if clipped := list(clip):
        torch.nn.utils.clip_grad_norm_(clipped, 1.0)
    for optimizer in optimizers:
        optimizer.step()


class EMA:
    """Exponential moving average of a module's parameters, updated in one fused pass.

    The decay ramps up as (1 + n) / (10 + n) so that a short run is not dominated by its start.
    """

    def __init__(self, modules: Iterable[nn.Module], decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.live = [p for module in modules for p in module.parameters() if p.requires_grad]
        self.shadow = [p.detach().clone() for p in self.live]

    @torch.no_grad()
    def update(self) -> None:
        """shadow <- decay * shadow + (1 - decay) * live."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.shadow, [p.detach() for p in self.live], 1.0 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange live and averaged weights; call again to change back."""
        for live, shadow in zip(self.live, self.shadow, strict=True):
            kept = live.detach().clone()
            live.copy_(shadow)
            shadow.copy_(kept)

    def state_dict(self) -> dict[str, object]:
        return {"updates": self.updates, "shadow": self.shadow}

    def load_state_dict(self, state: dict[str, object]) -> None:
        shadow = state["shadow"]
        assert isinstance(shadow, list) and isinstance(state["updates"], int)
        self.updates = state["updates"]
        for mine, theirs in zip(self.shadow, shadow, strict=True):
            mine.copy_(theirs)
