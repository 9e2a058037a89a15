"""Networks whose weights are views of the mapped files: they take no memory of the process and load in an instant.

The system keeps in memory what there is room for and reads again what it had to let go. Quantised folders are held so
on a CPU, and 16-bit ones under the offload profile `map`.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn

from inkwash.engine.offload import put
from inkwash.models.glm_image.decoder_blocks import Block
from inkwash.models.weights import StoredTensors
from inkwash.nn.linear import QuantizedLinear, QuantizedMatrix


def fill_mapped(
    network: nn.Module,
    stored: StoredTensors,
    dtype: torch.dtype,
    device: torch.device,
    kept: Callable[[str], bool] = lambda _name: False,
    layer_of: Callable[[QuantizedMatrix, Tensor | None], QuantizedLinear] = QuantizedLinear,
) -> None:
    """Give a network views of the mapped files for weights; quantised layers take the place of plain ones.

    What is asked for in another number type than it is stored in, or on an accelerator, is copied. `kept` names tensors
    that stay in theirs, `layer_of` makes quantised layers.
    """
    names = set(stored.names)
    for name in stored.quantized:
        path = name.removesuffix(".weight")
        layer = network.get_submodule(path)
        assert isinstance(layer, nn.Linear)
        bias = None if layer.bias is None else stored.view(f"{path}.bias", dtype).to(device)
        parent, _, leaf = path.rpartition(".")
        setattr(network.get_submodule(parent), leaf, layer_of(stored.matrix(name).to(device), bias))
    for name, tensor in network.state_dict().items():
        if tensor.is_meta and name in names:
            put(network, name, stored.view(name, None if kept(name) else dtype).to(device))


class ReadAhead:
    """Hands out a mapped decoder's blocks in order; the system is asked to read the next one meanwhile.

    It costs a call for each tensor where the block is in memory already. Walks of several threads may overlap.
    """

    shared = True

    def __call__(self, blocks: Sequence[Block]) -> Iterator[Block]:
        for layer, block in enumerate(blocks):
            if layer + 1 < len(blocks):
                for tensor in stored_parts(blocks[layer + 1]):
                    advise_needed(tensor)
            yield block


def stored_parts(network: nn.Module) -> list[Tensor]:
    """Every tensor of a network, those of quantised matrices too."""
    found = list(network.state_dict().values())
    for module in network.modules():
        if isinstance(module, QuantizedLinear):
            found += module.matrix.tensors
    return found


def advise_needed(tensor: Tensor) -> None:
    """Tell the system that a mapped tensor is read soon (`madvise`); nothing where there is no such call."""
    if sys.platform == "win32" or tensor.device.type != "cpu":
        return
    start = tensor.data_ptr() // mmap.PAGESIZE * mmap.PAGESIZE
    size = tensor.data_ptr() + tensor.nbytes - start
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), mmap.MADV_WILLNEED)
