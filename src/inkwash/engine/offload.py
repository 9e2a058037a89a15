"""Where the weights of the large networks are while a picture is drawn.

    none    both stay on the device
    stage   the ViT (for reference pictures), the AR generator and the decoder are never there together; each comes
            when its stage begins
    block   as `stage`, and of the decoder only the block at work and the next one, which is brought meanwhile
    map     on a CPU: weights stay in the mapped files, of which the system keeps in memory what there is room for; the
            decoder's next block is read ahead

On an accelerator the weights wait in pinned host memory; on a CPU they wait in the checkpoint's files and are read
again. The numbers are the same in every profile, and so is the picture, bit by bit. One stage of one drawing is at
work at a time: a pipeline shared by threads takes turns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from inkwash.core.device import return_memory
from inkwash.models.glm_image.decoder_blocks import Block
from inkwash.models.weights import StoredTensors

Profile: TypeAlias = Literal["none", "stage", "block", "map"]
PROFILES: tuple[Profile, ...] = ("none", "stage", "block", "map")
Offload: TypeAlias = Literal["auto", "none", "stage", "block", "map"]  # auto: `engine.loading` chooses
BLOCKS = "transformer_blocks."
TRIM_BYTES = 64 * 2**20

RoundLayer = Callable[[nn.Linear], None]


def everything(_name: str) -> bool:
    """All of a network's tensors."""
    return True


def nothing() -> None:
    """What happens when nothing is to happen."""


class Weights:
    """A network's tensors by name: in the files, or, once `pin` was called, in pinned host memory."""

    def __init__(self, stored: StoredTensors, dtype: torch.dtype, device: torch.device) -> None:
        self._stored, self._dtype, self.device = stored, dtype, device
        self._host: dict[str, Tensor] = {}

    def pin(self, names: Sequence[str]) -> None:
        """Read these now and keep them where a copy to the device costs least."""
        for name, value in self._stored.read(names, dtype=self._dtype):
            self._host[name] = value.pin_memory()

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """The tensors on the device, one by one."""
        for name in names:
            if name in self._host:
                yield name, self._host[name].to(self.device, non_blocking=True)
        missing = [name for name in names if name not in self._host]
        if missing:
            yield from self._stored.read(missing, dtype=self._dtype, device=self.device)


class OffloadedNetwork:
    """A network, or the part of it that `keep` names, that comes and goes.

    `rounded` says which layers are quantised on the way in, `round_layer` does it.
    """

    def __init__(
        self,
        network: nn.Module,
        weights: Weights,
        *,
        keep: Callable[[str], bool] = everything,
        rounded: Callable[[str], bool] | None = None,
        round_layer: RoundLayer | None = None,
        arrived: Callable[[], None] = nothing,
        left: Callable[[], None] = nothing,
    ) -> None:
        self.network, self.weights, self._arrived, self._left = network, weights, arrived, left
        self.names = [name for name in network.state_dict() if keep(name)]
        self._rounded, self._round_layer = rounded, round_layer
        self.present = False
        self._waste = 0

    def enter(self) -> None:
        """Bring every tensor to the device; where that fails, none stays."""
        if self.present:
            return
        try:
            for name, value in self.weights.read(self.names):
                put(self.network, name, value)
                self._round(name)
        except BaseException:
            self.leave()
            raise
        self.present = True
        self._arrived()
        if self._round_layer is not None:
            return_memory(self.weights.device)

    def _round(self, name: str) -> None:
        module, _, leaf = name.rpartition(".")
        if leaf == "weight" and self._round_layer and self._rounded and self._rounded(module):
            layer = self.network.get_submodule(module)
            assert isinstance(layer, nn.Linear)
            self._waste += 4 * layer.weight.numel()  # rounding goes through fp32, and freed memory stays here
            self._round_layer(layer)
            if self._waste > TRIM_BYTES:
                return_memory(self.weights.device)
                self._waste = 0

    def leave(self) -> None:
        """Let go of every tensor."""
        for name in self.names:
            drop(self.network, name)
        self.present = False
        self._left()
        return_memory(self.weights.device)


class Residency:
    """Which of the members is on the device; the one that was used last stays until another is needed."""

    def __init__(self, members: Mapping[str, OffloadedNetwork], device: torch.device, dtype: torch.dtype) -> None:
        self.members, self.device, self.dtype = dict(members), device, dtype
        self._lock = threading.RLock()

    @contextmanager
    def use(self, name: str) -> Iterator[None]:
        """Inside, the member of this name is there and the others are not."""
        with self._lock:
            for other, member in self.members.items():
                if other != name and member.present:
                    member.leave()
            self.members[name].enter()
            yield


class BlockStream:
    """Hands out a decoder's blocks in order, each with its weights in place; the next ones are on their way.

    A copy runs on a stream of its own on CUDA and in a thread elsewhere; at most two blocks are there at a time.
    """

    def __init__(self, weights: Weights, arrived: Callable[[Block], None]) -> None:
        self._weights, self._arrived = weights, arrived
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="block-stream")
        self._side = torch.cuda.Stream(weights.device) if weights.device.type == "cuda" else None

    def __call__(self, blocks: Sequence[Block]) -> Iterator[Block]:
        """Walk through the blocks once; a walk may be broken off."""
        coming = self._fetch(blocks, 0)
        try:
            for layer, block in enumerate(blocks):
                values = coming.result()
                coming = self._fetch(blocks, layer + 1)
                self._place(block, layer, values)
                yield block
                self._clear(block)
        finally:
            coming.cancel()
            for block in blocks:
                self._clear(block)

    def _fetch(self, blocks: Sequence[Block], layer: int) -> Future[dict[str, Tensor]]:
        names = [f"{BLOCKS}{layer}.{name}" for name in blocks[layer].state_dict()] if layer < len(blocks) else []
        return self._thread.submit(partial(self._read, names))

    def _read(self, names: Sequence[str]) -> dict[str, Tensor]:
        if self._side is None:
            return dict(self._weights.read(names))
        with torch.cuda.stream(self._side):
            values = dict(self._weights.read(names))
        self._side.synchronize()  # in this thread, while the device works on the block before
        return values

    def _place(self, block: Block, layer: int, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            if self._side is not None:
                value.record_stream(torch.cuda.current_stream(value.device))
            put(block, name.removeprefix(f"{BLOCKS}{layer}."), value)
        self._arrived(block)

    def _clear(self, block: Block) -> None:
        block.attn1.fused = None
        for name in block.state_dict():
            drop(block, name)


def put(network: nn.Module, name: str, value: Tensor) -> None:
    """Make `value` the parameter or buffer of this name."""
    module, _, leaf = name.rpartition(".")
    owner = network.get_submodule(module)
    if leaf in owner._parameters:
        owner._parameters[leaf] = nn.Parameter(value, requires_grad=False)
    else:
        owner._buffers[leaf] = value


def drop(network: nn.Module, name: str) -> None:
    """Leave only the shape of a parameter or buffer."""
    module, _, leaf = name.rpartition(".")
    owner = network.get_submodule(module)
    if leaf in owner._parameters:
        old = owner._parameters[leaf]
        assert old is not None
        empty = torch.empty(old.shape, dtype=old.dtype, device="meta")
        owner._parameters[leaf] = nn.Parameter(empty, requires_grad=False)
    else:
        old_buffer = owner._buffers[leaf]
        assert old_buffer is not None
        owner._buffers[leaf] = torch.empty_like(old_buffer, device="meta")
