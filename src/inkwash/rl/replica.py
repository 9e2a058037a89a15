"""Copies of a policy: the one that rolls out, the older one, and the one it began as.

A `PolicyReplica` is a network of its own that holds the policy's weights. On a CPU its matrices keep 11 binary digits:
those the row decoder packs, three times as fast. In bf16, which keeps 8, they would stand still while the policy moves
by less than that, step after step. It is whole on every process and has adapters merged in. `Shadow`s are older weights
beside the policy's, swapped in for a forward pass and out again; as the trained parameters alone are kept, shards and
adapters need nothing else.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from inkwash.core.errors import InkwashError
from inkwash.models.glm_image.decoder import Decoder, fuse_qkv
from inkwash.nn.linear import half_scale
from inkwash.train.checkpoint import placed
from inkwash.train.optim import local_part
from inkwash.train.parallel import Ranks, full_state

BASE = ".base_layer"


class PolicyReplica:
    """A frozen copy of a network to roll out with; `shared` modules, which no training changes, are not copied."""

    def __init__(
        self, network: nn.Module, *, shared: Iterable[nn.Module] = (), dtype: torch.dtype | None = None
    ) -> None:
        memo: dict[int, Any] = {id(module): module for module in shared}
        self.network: Any = copy.deepcopy(network, memo).eval().requires_grad_(False)
        if dtype is not None:
            self.network.to(dtype)
        self._stored = dict(self.network.state_dict(keep_vars=True))
        if isinstance(self.network, Decoder):
            fuse_qkv(self.network)
        self.refresh(self.network.state_dict())

    @torch.no_grad()
    def refresh(self, state: Mapping[str, Tensor]) -> None:
        """Take over these weights."""
        scale = half_scale(value for value in state.values() if value.is_floating_point() and value.ndim > 1)
        for name, value in state.items():
            mine = self._stored[name]
            packed = mine.dtype == torch.float32 and value.ndim > 1
            mine.copy_((value.float() * scale).half().float() / scale if packed else value)


def policy_state(network: nn.Module, ranks: Ranks) -> dict[str, Tensor]:
    """The whole weights of a policy under the names of the plain network, adapters merged in.

    Every process has to call it.
    """
    layers = {name: module for name, module in network.named_modules() if hasattr(module, "get_delta_weight")}
    if not layers:
        return full_state(network, ranks)
    state: dict[str, Tensor] = {}
    base: nn.Module = network.get_base_model()  # type: ignore[operator]
    for name, value in base.state_dict().items():
        if ".lora_" not in name:
            state[name.replace(BASE, "")] = value.detach()
    for name, module in base.named_modules():
        if hasattr(module, "get_delta_weight"):
            key = f"{name}.weight"
            state[key] = state[key].float() + module.get_delta_weight("default").detach().float()
    return state


class Shadow(nn.Module):
    """Older values of a policy's trained parameters, part of a run's state.

    Each process keeps its own shards; `blend` moves them towards the policy, `swapped` puts them in its place.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], within: nn.Module | None = None) -> None:
        """`within` is the network that they belong to: its gathered shards are let go of around an exchange."""
        super().__init__()
        self._parameters_of = list(parameters)
        self._sharded: list[Any] = (
            [module for module in within.modules() if hasattr(module, "reshard")] if within else []
        )
        self._values = [local_part(p).detach().clone() for p in self._parameters_of]

    @torch.no_grad()
    def blend(self, keep: float) -> None:
        """values <- keep * values + (1 - keep) * policy; 0 copies the policy to the bit."""
        live = [local_part(p).detach() for p in self._parameters_of]
        if keep == 0.0:
            torch._foreach_copy_(self._values, live)
        else:
            torch._foreach_lerp_(self._values, live, 1.0 - keep)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside, the policy has these weights."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for module in self._sharded:  # the root keeps its gathered weights after a pass without gradient
            module.reshard()
        for parameter, value in zip(self._parameters_of, self._values, strict=True):
            live = local_part(parameter).detach()
            kept = live.clone()
            live.copy_(value)
            value.copy_(kept)

    def state_dict(self, *_: Any, **_named: Any) -> dict[str, Any]:  # type: ignore[override]
        """The values by number, as parts of the wholes that they are shards of."""
        pairs = zip(self._values, self._parameters_of, strict=True)
        return {str(number): placed(value, parameter) for number, (value, parameter) in enumerate(pairs)}

    @torch.no_grad()
    def load_state_dict(self, state_dict: Mapping[str, Any], *_: Any, **_named: Any) -> Any:
        """Copy values back."""
        if len(state_dict) != len(self._values):
            raise InkwashError("The saved copy of the policy has other parameters: start in a new work folder.")
        for number, value in enumerate(self._values):
            value.copy_(local_part(state_dict[str(number)]))
