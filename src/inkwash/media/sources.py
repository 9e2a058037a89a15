"""Bytes from outside: regular files only, and never more than the limit, whatever a file says about its size.

A device, a pipe or a socket is refused before it is opened; a file that grows while it is read stops at the limit.
"""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from inkwash.core.errors import MediaError
from inkwash.core.types import PathLike


@dataclass(frozen=True)
class OpenFile:
    """A regular file that somebody else has opened, and what to call it in messages."""

    file: BinaryIO
    name: str


Source: TypeAlias = PathLike | bytes | OpenFile

_SORTS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def source_name(source: object, what: str) -> str:
    """What to call a source at the beginning of a sentence."""
    if isinstance(source, OpenFile):
        return source.name
    return f"The {what} {os.fspath(source)!r}" if isinstance(source, str | os.PathLike) else f"The {what}"


def open_source(source: Source, what: str, max_bytes: int) -> BinaryIO:
    """Bytes or a regular file, open for reading and not larger than `max_bytes`; `what` it is meant to be."""
    name = source_name(source, what)
    file: BinaryIO
    if isinstance(source, bytes):
        size, file = len(source), io.BytesIO(source)
    else:
        if isinstance(source, OpenFile):
            file = os.fdopen(os.dup(source.file.fileno()), "rb")
        else:
            file = _open(Path(source), name, what)
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
    if size > max_bytes:
        file.close()
        raise MediaError(too_large(name, size, max_bytes))
    return file


def read_source(source: Source, what: str, max_bytes: int) -> bytes:
    """The whole of it; reading stops one byte after the limit."""
    name = source_name(source, what)
    with open_source(source, what, max_bytes) as file:
        try:
            content = source if isinstance(source, bytes) else file.read(max_bytes + 1)
        except OSError as error:
            raise MediaError(f"{name} cannot be read ({reason(error)}): check the file.") from None
    if len(content) > max_bytes:
        raise MediaError(too_large(name, len(content), max_bytes))
    return content


def too_large(name: str, size: int, limit: int) -> str:
    """The sentence about too many bytes."""
    return f"{name} is too large ({size / 2**20:.1f} MiB): at most {limit / 2**20:.4g} MiB are read, make it smaller."


def reason(error: BaseException) -> str:
    """What an error says, on one short line."""
    text = getattr(error, "strerror", None) or str(error)  # of the system and of FFmpeg, without number and file
    return " ".join(text.split())[:120] or type(error).__name__


def _open(path: Path, name: str, what: str) -> BinaryIO:
    try:
        _check(os.stat(path).st_mode, name, what)
        # Without O_NONBLOCK a pipe that has taken the file's place meanwhile would be waited for.
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise MediaError(f"{name} cannot be opened ({reason(error)}): check the path and its permissions.") from error
    file = os.fdopen(fd, "rb")
    try:
        _check(os.fstat(fd).st_mode, name, what)
    except MediaError:
        file.close()
        raise
    return file


def _check(mode: int, name: str, what: str) -> None:
    if not stat.S_ISREG(mode):
        sort = next((words for is_it, words in _SORTS if is_it(mode)), "no regular file")
        raise MediaError(f"{name} is {sort}: give the path of one {what}.")
