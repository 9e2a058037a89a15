"""What a run may meet from outside (a full disk, a killed process, a neighbour that is gone) in our own sentences."""

from __future__ import annotations

import errno
import re

from inkwash.core.errors import InkwashError

AGAIN = "the last saved state is untouched, and the same command goes on from it"
FULL = {errno.ENOSPC, errno.EDQUOT}
_FULL = re.compile(r"no space left|disk quota|disk full|PytorchStreamWriter failed|inline_container.*fail", re.I)
_LOADER = re.compile(r"DataLoader worker")
_NEIGHBOUR = re.compile(
    r"gloo|nccl|xccl|hccl|connection (closed|reset)|broken pipe|socket|store|rendezvous|process ?group", re.I
)


def explained(error: BaseException) -> InkwashError | None:
    """The sentence for a failure that is no mistake of ours; None for any other."""
    for cause in _causes(error):
        if isinstance(cause, InkwashError):
            return cause if cause is not error else None
        if isinstance(cause, OSError) and cause.errno in FULL:
            place = f" of {cause.filename}" if cause.filename else ""
            return InkwashError(f"The disk{place} is full: free some space; {AGAIN}.")
        if isinstance(cause, RuntimeError | OSError) and _FULL.search(str(cause)):
            return InkwashError(f"The disk is full: free some space; {AGAIN}.")
        if isinstance(cause, RuntimeError) and _LOADER.search(str(cause)):
            return InkwashError(
                "A process that loads the data has died, killed perhaps for want of memory: take fewer of them "
                f"(workers); {AGAIN}."
            )
        if _of_neighbours(cause):
            return InkwashError(
                f"Another process of this training has ended or cannot be reached: see its own error; {AGAIN}."
            )
    return None


def _causes(error: BaseException) -> list[BaseException]:
    found = [error]
    while (following := found[-1].__cause__ or found[-1].__context__) is not None and following not in found:
        found.append(following)
    return found


def _of_neighbours(error: BaseException) -> bool:
    """Whether a collective failed: torch has several classes for it, and plain RuntimeErrors from gloo."""
    import torch.distributed as dist

    if not dist.is_available():
        return False
    kinds = tuple(kind for name in ("DistError",) if isinstance(kind := getattr(dist, name, None), type))
    if isinstance(error, kinds):
        return True
    return type(error) is RuntimeError and dist.is_initialized() and _NEIGHBOUR.search(str(error)) is not None
