"""One training for each work folder: a lock that the system gives back when its process ends, however it ends."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import IO

from inkwash.core.errors import InkwashError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"
_held: dict[Path, IO[str]] = {}  # open until the process ends: closing any descriptor would give the lock back


def lock_folder(folder: Path) -> None:
    """Keep other processes' trainings out of a folder; under torchrun the first process does it for all of them.

    Locks of this kind are not inherited, so that a loader process which outlives a killed training holds nothing.
    """
    path = folder.resolve() / NAME
    if fcntl is None or path in _held or int(os.environ.get("RANK", "0")) != 0:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise InkwashError(f"cannot write in {folder}: {error.strerror or error}") from error
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise InkwashError(
            f"{folder} is in use by another training ({holder}): wait for its end, or choose another work folder."
        ) from error
    _held[path] = file
    with suppress(OSError):  # a full disk: the lock holds without a name
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}\n")
        file.flush()
