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
from inkwash.serve.bodies import BodiesFull, BodyBudget, LimitedBody
from inkwash.serve.errors import answer
from inkwash.serve.json_body import too_large
from inkwash.serve.metrics import Metrics
from inkwash.serve.settings import MEBI

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
        max_bodies_bytes: int = 512 * MEBI,
        body_timeout_s: float = 30.0,
        stopping: Callable[[], RequestError] | None = None,
    ) -> None:
        """`max_bodies_bytes`: for all bodies at once; `stopping`: what becomes of a request that the end cuts off."""
        self.app, self.metrics, self.stopping = app, metrics, stopping
        self.max_body_bytes, self.body_timeout_s = max_body_bytes, body_timeout_s
        self.budget = BodyBudget(max_bodies_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = {name.lower(): value for name, value in scope["headers"]}
        request_id = _request_id(headers.get(HEADER.encode(), b""))
        log_fields: dict[str, Any] = {}
        body = LimitedBody(receive, max_bytes=self.max_body_bytes, timeout_s=self.body_timeout_s, budget=self.budget)
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
            if (refused := self._refused(_declared(headers.get(b"content-length", b"")))) is not None:
                await answer(refused)(scope, receive, sending)
            else:
                await self.app(scope, body.receive, sending)
        except asyncio.CancelledError:  # the drain is over
            if status or self.stopping is None:
                raise
            await answer(self.stopping())(scope, receive, sending)
        finally:
            body.release()
            self._record(scope, request_id, log_fields, status, time.perf_counter() - started)

    def _refused(self, declared: int) -> RequestError | None:
        """Why a body of so many bytes need not be sent."""
        if declared > self.max_body_bytes:
            return too_large(self.max_body_bytes)
        try:
            self.budget.check(declared)
        except BodiesFull as error:
            return error
        return None

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


def _request_id(header: bytes) -> str:
    text = header.decode("latin-1")
    return text if _OWN_ID.fullmatch(text) else f"req_{secrets.token_hex(12)}"


def _declared(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) < 20 else 0
