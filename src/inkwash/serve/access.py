"""Around every request: an id, a limit on the body, one JSON line in the log, and the request metrics.

A line says who asked for what and how it went; it holds no prompt unless the operator asked for prompts.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inkwash.core.errors import RequestError
from inkwash.serve.errors import answer
from inkwash.serve.json_body import too_large
from inkwash.serve.metrics import Metrics
from inkwash.serve.protocol import MIN_BYTES_PER_S

HEADER = "x-request-id"
_OWN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
access_log = logging.getLogger("inkwash.access")


def configure(to_terminal: bool) -> None:
    """Send access lines to stderr as they are, or nowhere."""
    access_log.propagate = False
    for old in list(access_log.handlers):
        access_log.removeHandler(old)
    handler: logging.Handler = logging.StreamHandler(sys.stderr) if to_terminal else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    access_log.addHandler(handler)
    access_log.setLevel(logging.INFO)


class Access:
    """ASGI middleware; routes add to `request.state.log_fields` what a log line should hold and may read `stopping`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        max_body_bytes: int,
        body_timeout_s: float = 30.0,
        stopping: Callable[[], RequestError] | None = None,
    ) -> None:
        """`stopping`: what becomes of a request that the end of the server cuts off."""
        self.app, self.metrics, self.stopping = app, metrics, stopping
        self.max_body_bytes, self.body_timeout_s = max_body_bytes, body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = {name.lower(): value for name, value in scope["headers"]}
        request_id = _request_id(headers.get(HEADER.encode(), b""))
        log_fields: dict[str, Any] = {}
        body = _LimitedBody(receive, self.max_body_bytes, self.body_timeout_s)
        scope.setdefault("state", {}).update(request_id=request_id, log_fields=log_fields, stopping=self.stopping)
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                processing = str(round((time.perf_counter() - started) * 1000))
                message["headers"] = [
                    *message["headers"],
                    (HEADER.encode(), request_id.encode()),
                    (b"openai-processing-ms", processing.encode()),
                ]
            await send(message)

        try:
            if _declared(headers.get(b"content-length", b"")) > self.max_body_bytes:
                await answer(too_large(self.max_body_bytes))(scope, receive, sending)
            else:
                await self.app(scope, body.receive, sending)
        except asyncio.CancelledError:  # the drain is over
            if status or self.stopping is None:
                raise
            await answer(self.stopping())(scope, receive, sending)
        finally:
            self._record(scope, request_id, log_fields, status, time.perf_counter() - started)

    def _record(self, scope: Scope, request_id: str, log_fields: dict[str, Any], status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        status = log_fields.pop("status", status)  # a stream has begun with 200 whatever came of it
        self.metrics.requests.labels(route, scope["method"], str(status)).inc()
        self.metrics.request_seconds.labels(route).observe(seconds)
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "request_id": request_id,
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "seconds": round(seconds, 3),
            **log_fields,
        }
        access_log.info("%s", json.dumps(line, ensure_ascii=False, default=str))


class _LimitedBody:
    """A body in pieces, while they come in time, fast enough and are not too many; what follows may take its time.

    A pause may take `timeout_s`, and so may the whole, but for a second more for each `MIN_BYTES_PER_S` that came.
    """

    def __init__(self, receive: Receive, max_bytes: int, timeout_s: float) -> None:
        self._receive, self.max_bytes, self.timeout_s = receive, max_bytes, timeout_s
        self._begun, self._read, self._more = time.monotonic(), 0, True

    async def receive(self) -> Message:
        """As ASGI has it; raises RequestError 408 or 413."""
        if not self._more:
            return await self._receive()
        left = self._begun + self.timeout_s + self._read / MIN_BYTES_PER_S - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(self.timeout_s, left))):
                message = await self._receive()
        except TimeoutError:
            raise RequestError(
                f"The body did not come within {self.timeout_s:g} s, or at less than {MIN_BYTES_PER_S} bytes a second: "
                "send it again, in larger pieces.",
                status=408,
                code="body_timeout",
            ) from None
        self._more = bool(message.get("more_body", False))
        self._read += len(message.get("body", b""))
        if self._read > self.max_bytes:
            raise too_large(self.max_bytes)
        return message


def _request_id(header: bytes) -> str:
    text = header.decode("latin-1")
    return text if _OWN_ID.fullmatch(text) else f"req_{secrets.token_hex(12)}"


def _declared(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) < 20 else 0
