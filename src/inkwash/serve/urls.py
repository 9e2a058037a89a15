"""Pictures by address: data URLs always, other hosts only if the operator named them.

A server that fetches whatever a client names can be sent to machines that only it can reach. So the default is no
host at all; an allowed one is matched whole (with its port, if it is not the scheme's own), redirects are not followed,
and reading stops at the byte limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from inkwash.core.errors import RequestError
from inkwash.media.data_url import as_data_url, is_data_url, read_data_url

TIMEOUT_S = 20.0
_PORTS = {"http": 80, "https": 443}


async def read_url(url: str, *, hosts: Sequence[str], max_bytes: int, param: str) -> bytes:
    """The bytes behind a data URL, of plain base64, or behind an address on an allowed host; raises RequestError for
    all else."""
    url = as_data_url(url.strip())
    if is_data_url(url):
        return (await asyncio.to_thread(read_data_url, url, max_bytes=max_bytes, param=param)).content
    return await _fetch(_allowed(url, hosts, param), max_bytes, param)


def _allowed(url: str, hosts: Sequence[str], param: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc:
        raise RequestError(
            f"{param} holds an address that is not read: send the picture as data:image/png;base64,... or as a form "
            "file.",
            code="invalid_value",
            param=param,
        )
    name = host if port == _PORTS[parts.scheme] else f"{host}:{port}"
    if name not in {each.lower() for each in hosts}:
        raise RequestError(
            f"{param} names the host {name!r}, from which this server may not fetch: send the picture as "
            "data:image/png;base64,... or as a form file.",
            status=403,
            code="url_not_allowed",
            param=param,
        )
    return url


async def _fetch(url: str, max_bytes: int, param: str) -> bytes:
    import httpx2

    content = bytearray()
    try:
        async with (
            httpx2.AsyncClient(follow_redirects=False, timeout=TIMEOUT_S, trust_env=False) as client,
            client.stream("GET", url) as response,
        ):
            if response.status_code != 200:
                raise RequestError(
                    f"The address in {param} answered with status {response.status_code}, but must answer with 200.",
                    code="url_unreadable",
                    param=param,
                )
            async for chunk in response.aiter_bytes():
                content += chunk
                _limited(content, max_bytes, param)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
        raise RequestError(
            f"The address in {param} could not be read within {TIMEOUT_S:g} s.", code="url_unreadable", param=param
        ) from None
    return bytes(content)


def _limited(content: bytes | bytearray, max_bytes: int, param: str) -> bytes:
    if len(content) > max_bytes:
        raise _too_large(max_bytes, param)
    return content  # type: ignore[return-value]


def _too_large(max_bytes: int, param: str) -> RequestError:
    return RequestError(
        f"The picture in {param} is larger than {max_bytes / 2**20:.4g} MiB: make it smaller.",
        status=413,
        code="image_too_large",
        param=param,
    )
