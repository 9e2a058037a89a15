"""How work is spread over CPU threads: short stretches on one, two large pieces side by side.

Small matrix products and the steps of a small generator gain nothing from a second thread, and some kernels split a sum
by the number of threads, which would let a picture's last bits depend on it (docs/numerics.md). Two pieces of work that
do not need each other are quicker side by side than with all threads inside each of their kernels, since nobody waits
for anybody between two kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch

A = TypeVar("A")
B = TypeVar("B")


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


def side_by_side(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """Both results; each on half of this thread's CPU threads, or one after the other if there is only one."""
    threads = torch.get_num_threads()
    if threads == 1:
        return first(), second()
    share = threads // 2

    def other() -> B:
        if torch.get_num_threads() != share:
            torch.set_num_threads(share)
        return second()

    torch.set_num_threads(threads - share)
    try:
        coming = _helpers().submit(other)
        try:
            mine = first()
        finally:
            coming.exception()  # waits: the memory it works on is in use
        return mine, coming.result()
    finally:
        torch.set_num_threads(threads)


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(32, thread_name_prefix="inkwash-half")
