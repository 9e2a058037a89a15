"""Muon: momentum whose matrices are orthogonalised before the step, on one process or on shards.

Matrices of one shape go through the Newton-Schulz iteration together, as one stack. The momentum of a sharded matrix
stays sharded; the iteration needs the whole matrix, so it is gathered, and every rank keeps its own part of the result.
The update is scaled to AdamW's root mean square, so one learning rate serves both.
Sources: Jordan 2024, kellerjordan.github.io/posts/muon; Moonlight's scale, arXiv:2502.16982.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # a x + b x^3 + c x^5, steepest at zero


class Muon(torch.optim.Optimizer):
    """Takes matrices only; `dtype` is that of the Newton-Schulz iteration. State as `torch.optim.Muon` keeps it."""

    def __init__(
        self,
        matrices: Iterable[Tensor],
        *,
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        ns_steps: int = 5,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "ns_steps": ns_steps}
        super().__init__(matrices, defaults)
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            stacks: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    stacks[parameter.shape].append((parameter, self._momentum(parameter, group["momentum"])))
            for shape, members in stacks.items():
                whole = torch.stack([_whole(update) for _, update in members])
                updates = orthogonalize(whole, group["ns_steps"], self.dtype)
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                for (parameter, _), update in zip(members, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(_like(update, parameter), alpha=-rate)

    def _momentum(self, parameter: Tensor, momentum: float) -> Tensor:
        """The gradient looked ahead along its running mean (Nesterov), sharded as the parameter is."""
        state: dict[str, Any] = self.state[parameter]
        grad = parameter.grad
        assert grad is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(grad)
        buffer: Tensor = state["momentum_buffer"]
        buffer.lerp_(grad, 1 - momentum)
        return grad.lerp(buffer, momentum)


def orthogonalize(stack: Tensor, steps: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Matrices (N, R, C) with all their singular values moved near 1, in `dtype`."""
    x = stack.to(dtype)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.transpose(1, 2) if tall else x


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is a part of a larger one; asked like this, torch's distributed half stays unloaded."""
    return hasattr(tensor, "placements")


def _whole(tensor: Tensor) -> Tensor:
    return cast("DTensor", tensor).full_tensor() if is_sharded(tensor) else tensor


def _like(whole: Tensor, parameter: Tensor) -> Tensor:
    """A whole matrix as the parameter holds it: the same tensor, or this rank's shard of it without communication."""
    whole = whole.to(parameter.dtype)
    if not is_sharded(parameter):
        return whole
    from torch.distributed.tensor import DTensor, Replicate

    shard = cast("DTensor", parameter)
    mesh = shard.device_mesh
    everywhere = DTensor.from_local(whole.contiguous(), mesh, [Replicate()] * mesh.ndim, run_check=False)
    return everywhere.redistribute(mesh, shard.placements)
