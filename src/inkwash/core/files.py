"""Files and folders that are there whole or not at all, JSON among them.

A reader sees the old file or the new one, never half of one, however the writer ends. What is being written lies beside
its place under a hidden name of its own, so that two writers do not meet and a rename stays within one file system.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_path(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """A name to write to; at the end of the block the file takes its place at `path`, and after a failure it is gone.

    A link is followed: the file that it points to is replaced. sync: the content is on the disk before the rename, so
    that not even a power cut leaves an empty file. Raises what the system raises (OSError).
    """
    target = Path(os.path.realpath(path))
    partial = _beside(target)
    try:
        yield partial
        if sync:
            with partial.open("r+b") as file:
                os.fsync(file.fileno())
        os.replace(partial, target)
    except BaseException:  # Ctrl-C too leaves nothing behind
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def atomic_write(path: Path, content: bytes | str, *, sync: bool = False) -> None:
    """Bytes, or text in UTF-8, as the file's whole content."""
    with atomic_path(path, sync=sync) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, content: object, *, indent: int | None = 2, sync: bool = False) -> None:
    """JSON in UTF-8, every character as it is."""
    atomic_write(path, json.dumps(content, indent=indent, ensure_ascii=False) + "\n", sync=sync)


@contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """A name beside `folder` for a folder to be filled; whatever is left there at the end of the block is removed.

    The block itself puts the finished folder into its place.
    """
    partial = _beside(folder)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
