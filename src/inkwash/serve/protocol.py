"""HTTP/1.1 as clients speak it: headers must come in time, and an offer to change the protocol is passed over.

uvicorn limits how long an idle connection is kept, but not how long headers may take; a client that sends them letter
by letter would hold its connection for ever. And Java's HTTP client offers HTTP/2 to every server (`Upgrade: h2c`):
uvicorn's faster parser, httptools, loses the body of such a request, h11 does not.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def http_options(header_timeout_s: float) -> dict[str, Any]:
    """How uvicorn is to speak to clients: arguments of its `Config`."""
    return {"http": with_header_timeout(header_timeout_s), "ws": "none"}


def with_header_timeout(seconds: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol, closing connections whose headers are not there after so many seconds."""

    class Timed(H11Protocol):
        _late: asyncio.TimerHandle | None = None

        def _unsupported_upgrade_warning(self) -> None:
            """It is answered as it is; that is not worth a line for every request."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._await_headers()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._await_headers()
            else:
                self._stop_waiting()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def _await_headers(self) -> None:
            if self._late is None:
                self._late = asyncio.get_running_loop().call_later(seconds, self._give_up)

        def _stop_waiting(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _give_up(self) -> None:
            self._late = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return Timed
