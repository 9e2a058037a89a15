"""Short stretches of work on one CPU thread.

Small matrix products and the steps of a small generator gain nothing from a second thread, and some kernels split a sum
by the number of threads, which would let a picture's last bits depend on it (docs/numerics.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """One thread for torch's kernels on a CPU; nothing on an accelerator, or where there is only one."""
    before = torch.get_num_threads()
    if device.type != "cpu" or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
