"""Memory that products borrow and give back, so that the system does not map it anew for each of them.

glibc maps every block above 32 MB on its own and gives it back when it is freed; of smaller ones it gives back those
at the end of its heap. A page that is mapped anew faults once: to widen (16384, 4096) numbers from int8 to bfloat16
takes 145 ms with new memory and 20 ms without (one core of an EPYC). Settings of malloc (`core.heap`) would not do:
they hold for the whole process, and outside of the main thread blocks above 64 MB are mapped whatever they say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_free: list[Tensor] = []  # appending and popping are atomic


@contextmanager
def borrowed(size: int) -> Iterator[Tensor]:
    """Bytes (size,) of any content in main memory, the caller's alone until the end of the block.

    There are as many pieces as were ever borrowed at once, each as large as the largest that was asked for.
    """
    memory = _taken()
    if memory is None or memory.numel() < size:
        with torch.inference_mode(False):  # it outlives the mode that it may be made in
            memory = torch.empty(size, dtype=torch.uint8)
    try:
        yield memory[:size]
    finally:
        _free.append(memory)


def _taken() -> Tensor | None:
    try:
        return _free.pop()
    except IndexError:
        return None


def held() -> int:
    """Bytes that nobody borrows at present."""
    return sum(memory.numel() for memory in _free)
