"""Who may speak to the server at all: names and pages first, then the key, before anything of the body is read.

A browser sends requests for any page it shows. A server without keys that listens on this machine only would do what
every page asks for, under a foreign name that leads here (DNS rebinding) or in the page's own name. So foreign names
are refused there, and foreign pages everywhere but where the operator named them (`--allowed-host`, `--cors-origin`).
"""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from inkwash.core.errors import RequestError
from inkwash.core.text import split_url
from inkwash.serve.auth import identify
from inkwash.serve.errors import answer
from inkwash.serve.files import ROUTE as FILES
from inkwash.serve.metrics import Metrics
from inkwash.serve.settings import ServeSettings

EXPOSED = ("x-request-id", "openai-processing-ms", "retry-after", "location")  # headers that pages may read


class Guard:
    """ASGI middleware: refuses foreign names and pages, with 403 and a sentence that names the option."""

    def __init__(self, app: ASGIApp, *, settings: ServeSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refused := self._refusal(scope)) is not None:
            await _refuse(scope, receive, send, refused, self.metrics)
            return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> RequestError | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if not self._known_name(host):
            return RequestError(
                f"This server is not called {host[:80]!r}: use localhost, or start it with --allowed-host.",
                status=403,
                code="host_not_allowed",
            )
        with_key = bool(self.settings.api_keys) and "authorization" in headers  # no page sends one without asking
        foreign = not self._known_page(origin, host) if origin is not None else self._comes_from_afar(scope, headers)
        if foreign and not with_key:
            page = "another site" if origin is None else repr(origin[:80])
            return RequestError(
                f"Pages of {page} may not use this server: start it with --cors-origin to allow them.",
                status=403,
                code="origin_not_allowed",
            )
        return None

    def _known_name(self, host: str) -> bool:
        """Whether the name is ours: those of this machine and those that were allowed, where names are checked."""
        checked = bool(self.settings.allowed_hosts) or (self.settings.loopback and not self.settings.api_keys)
        name = _name(host)
        own_network = not set(".:") & set(name)  # a public name, which alone can be made to lead here, has a dot
        return not checked or own_network or self._is_allowed(host) or is_local(name)

    def _is_allowed(self, host: str) -> bool:
        allowed = {each.lower() for each in self.settings.allowed_hosts}
        return "*" in allowed or host in allowed or _name(host) in allowed

    def _known_page(self, origin: str, host: str) -> bool:
        """Whether a page is one of this server, or one that was allowed."""
        origin = origin.lower()
        if "*" in self.settings.cors_origins or origin in self.settings.cors_origins:
            return True
        parts = split_url(origin)
        place = "" if parts is None else parts.netloc
        if not place:
            return False
        same_port = is_local(_name(place)) and is_local(_name(host)) and _port(place) == _port(host)
        named = "*" not in self.settings.allowed_hosts and self._is_allowed(place)
        return place == host or same_port or named

    def _comes_from_afar(self, scope: Scope, headers: Headers) -> bool:
        """A request that a page of another site caused, but for links that are followed and pictures by address."""
        if headers.get("sec-fetch-site") != "cross-site":
            return False
        reading = scope["method"] in ("GET", "HEAD")
        return not (reading and (headers.get("sec-fetch-mode") == "navigate" or scope["path"].startswith(FILES + "/")))


class KeyGuard:
    """ASGI middleware: asks for the key before a route, or anything of the body, is looked at."""

    def __init__(self, app: ASGIApp, *, settings: ServeSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and needs_key(scope["path"]) and scope["method"] != "OPTIONS":
            try:
                identify(self.settings.api_keys, Headers(scope=scope).get("authorization"))
            except RequestError as refused:
                await _refuse(scope, receive, send, refused, self.metrics)
                return
        await self.app(scope, receive, send)


def needs_key(path: str) -> bool:
    """Whether a path is answered to clients with a key only, where there are keys."""
    return (path.startswith("/v1/") and not path.startswith(FILES + "/")) or path == "/metrics"


def is_local(name: str) -> bool:
    """Whether a host name means this machine whoever asks for it."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """A host without its port, an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def _port(host: str) -> str:
    return host.rpartition("]")[2].partition(":")[2]


async def _refuse(scope: Scope, receive: Receive, send: Send, error: RequestError, metrics: Metrics) -> None:
    scope["state"]["log_fields"]["error"] = error.code
    if scope["method"] == "POST":
        metrics.turned_away(error.status, error.code)
    await answer(error)(scope, receive, send)
