"""HTTP/1.1 as clients speak it: everything has its time, what is no HTTP is told so, offers to upgrade are passed over.

uvicorn limits how long an idle connection is kept, but neither how long headers may take nor how slowly an answer may
be read: a client that sends letter by letter, or takes a picture byte by byte, would hold its connection, its place and
the answer's memory for ever. And Java's HTTP client offers HTTP/2 to every server (`Upgrade: h2c`): uvicorn's faster
parser, httptools, loses the body of such a request, h11 does not.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MIN_BYTES_PER_S = 1024  # of a body that comes, or an answer that is read, for longer than its time limit
_LOOKS = 4  # at an answer that waits to be read, within one time limit


def http_options(header_timeout_s: float, send_timeout_s: float) -> dict[str, Any]:
    """How uvicorn is to speak to clients: arguments of its `Config`."""
    limits = {"header_timeout_s": header_timeout_s, "send_timeout_s": send_timeout_s}
    return {"http": type("Timed", (TimedProtocol,), limits), "ws": "none"}  # uvicorn makes one for each connection


class TimedProtocol(H11Protocol):
    """uvicorn's protocol, ending connections whose headers are late, or whose answers are read too slowly."""

    header_timeout_s: float
    send_timeout_s: float
    _late: asyncio.TimerHandle | None = None
    _broken = False  # what still comes is no HTTP, and is passed over

    def _unsupported_upgrade_warning(self) -> None:
        """It is answered as it is; that is not worth a line for every request."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(WatchedTransport(transport, self.send_timeout_s))  # type: ignore[arg-type]
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        if self._broken:
            return
        super().data_received(data)
        if self._broken or self.cycle is None or self.cycle.response_complete:
            self._await_headers()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """In the form of all errors; where an answer has begun, nothing, since it would become part of that.

        The client may write for a while after that: a connection closed before it has read would lose the answer.
        """
        if self._broken:
            return
        self._broken = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            error = {"message": msg, "type": "invalid_request_error", "param": None, "code": "invalid_http"}
            body = json.dumps({"error": error}).encode()
            kind, size = ("content-type", "application/json"), ("content-length", str(len(body)))
            response = h11.Response(status_code=400, headers=[kind, size, ("connection", "close")])
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._await_headers()

    def _await_headers(self) -> None:
        if self._late is None:
            self._late = asyncio.get_running_loop().call_later(self.header_timeout_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        if self._broken or self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def held_by_system(sock: socket.socket | None) -> int:
    """Bytes of a socket that the other side has not taken yet; 0 where the system does not say.

    A system may hold megabytes and ask for more only when a third of them is gone, minutes later for a slow reader.
    """
    if sock is None or not sys.platform.startswith("linux"):
        return 0
    import fcntl
    import termios

    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0


class WatchedTransport:
    """A transport that breaks when its client takes less than `MIN_BYTES_PER_S` of what waits for it, for so long."""

    def __init__(self, transport: asyncio.Transport, limit_s: float) -> None:
        self._transport, self.limit_s = transport, limit_s
        self._written = 0
        self._mark, self._marked = 0, 0.0  # bytes taken, and when that was
        self._watching = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """As the transport does; where the system does not take all of it, the client's time begins."""
        idle = not self._transport.get_write_buffer_size()
        self._transport.write(data)
        self._written += len(data)
        if idle and self._transport.get_write_buffer_size():
            self._set_mark()
            if not self._watching:
                self._watching = True
                self._look_later()

    @property
    def _taken(self) -> int:
        waiting = self._transport.get_write_buffer_size()
        return self._written - waiting - held_by_system(self._transport.get_extra_info("socket"))

    def _set_mark(self) -> None:
        self._mark, self._marked = self._taken, asyncio.get_running_loop().time()

    def _look_later(self) -> None:
        asyncio.get_running_loop().call_later(self.limit_s / _LOOKS, self._look)

    def _look(self) -> None:
        if not self._transport.get_write_buffer_size():
            self._watching = False
            return
        if self._taken - self._mark >= MIN_BYTES_PER_S * self.limit_s:
            self._set_mark()
        if asyncio.get_running_loop().time() - self._marked >= self.limit_s:
            self._transport.abort()  # to close it would be to wait until all is read
        self._look_later()
