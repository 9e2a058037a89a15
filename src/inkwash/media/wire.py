"""Messages between this process and the one that decodes: a JSON object, raw bytes behind it, a file beside it.

What the other side sends is data only: nothing of it is ever run or unpickled, and its lengths are checked before
room is made for them.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_LENGTHS = struct.Struct("<IQ")
MAX_HEADER = 64 * 2**20

Waiting = Callable[[], None]


class ConnectionBroken(Exception):
    """The other side has gone, or says what it must not."""


@dataclass(frozen=True, kw_only=True)
class WireMessage:
    """What came: an object, bytes, and the descriptor of a file if one was sent."""

    header: dict[str, Any]
    blob: bytearray
    file: int | None = None


def send(
    link: socket.socket, header: Mapping[str, Any], blob: bytes | memoryview = b"", *, file: int | None = None
) -> None:
    """Send one message; raises Broken where nobody listens any more."""
    text = json.dumps(header).encode()
    start = _LENGTHS.pack(len(text), len(blob))
    try:
        if file is None:
            link.sendall(start)
        else:
            socket.send_fds(link, [start[:1]], [file])
            link.sendall(start[1:])
        link.sendall(text)
        link.sendall(blob)
    except OSError as error:
        raise ConnectionBroken(str(error)) from None


def receive(link: socket.socket, *, most: int, waiting: Waiting = lambda: None) -> WireMessage:
    """The next message with at most `most` bytes behind it; `waiting` is called at every timeout of the socket.

    Raises Broken, and whatever `waiting` raises.
    """
    first, file = _first(link, waiting)
    try:
        length, size = _LENGTHS.unpack(first + _exactly(link, _LENGTHS.size - 1, waiting))
        if length > MAX_HEADER or size > most:
            raise ConnectionBroken(f"a message of {length} and {size} bytes")
        header = json.loads(_exactly(link, length, waiting))
        if not isinstance(header, dict):
            raise ConnectionBroken("a message that is no object")
        return WireMessage(header=header, blob=_exactly(link, size, waiting), file=file)
    except BaseException as error:
        if file is not None:
            os.close(file)
        if isinstance(error, OSError | ValueError):
            raise ConnectionBroken(str(error)) from None
        raise


def _first(link: socket.socket, waiting: Waiting) -> tuple[bytes, int | None]:
    """The first byte, which a file comes with."""
    while True:
        try:
            byte, files, _, _ = socket.recv_fds(link, 1, 1)
        except TimeoutError:
            waiting()
            continue
        except OSError as error:
            raise ConnectionBroken(str(error)) from None
        if not byte:
            raise ConnectionBroken("the end")
        return byte, files[0] if files else None


def _exactly(link: socket.socket, size: int, waiting: Waiting) -> bytearray:
    content = bytearray(size)
    view = memoryview(content)
    at = 0
    while at < size:
        try:
            count = link.recv_into(view[at:])
        except TimeoutError:
            waiting()
            continue
        if not count:
            raise ConnectionBroken("the end")
        at += count
    return content
