"""The heap of the C library in long runs: memory that is kept for the next step, and memory that is given back."""

from __future__ import annotations

import ctypes


def hold_memory() -> bool:
    """Ask glibc to keep freed memory instead of handing it back to the system; False where that is not possible.

    A step frees and allocates the same activations again. Above 32 MB (and, under jemalloc, above 8) each of them is
    otherwise mapped afresh and every page of it faults: 17 % of a step of nano's AR generator.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no such function: another C library or another system
        return False
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    settings = {mmap_threshold: 1 << 30, trim_threshold: (1 << 31) - 1, top_pad: 64 << 20}
    return all(mallopt(name, value) == 1 for name, value in settings.items())


def release_memory() -> bool:
    """Give pages back that hold nothing; False where that is not possible.

    Batches of many shapes, whose memory is held, leave gaps that the next one does not fit into: a data process of nano
    grew to 7 GB in half an hour.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return False
    return True
