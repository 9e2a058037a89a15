"""`response_format=url`: pictures that clients fetch by address, for an hour.

A picture's name is a digest of its content under the server's secret: nobody can guess it, the same picture has the
same name, and whoever has the address needs no key, as image tags and download links send none. The path of a request
is only ever compared with such names; it never becomes a path of the server by itself.
"""

from __future__ import annotations

import base64
import hmac
import logging
import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse

from inkwash.core.errors import RequestError

TTL_S = 3600.0
MAX_BYTES = 2**30  # of all pictures together; beyond it the oldest go first
ROUTE = "/v1/images/files"
log = logging.getLogger(__name__)
_NAME = re.compile(r"[0-9a-f]{64}\.(?:png|jpeg|webp)")

router = APIRouter(tags=["images"])


class PictureFiles:
    """A folder of pictures that expire; safe from any thread."""

    def __init__(self, folder: Path, secret: bytes, *, ttl_s: float = TTL_S, max_bytes: int = MAX_BYTES) -> None:
        self.folder, self.ttl_s, self.max_bytes = folder, ttl_s, max_bytes
        self._secret = secret
        self._lock = threading.Lock()

    def keep(self, content: bytes, kind: str) -> str:
        """Keep a picture from now on and return its name."""
        name = f"{hmac.digest(self._secret, content, 'sha256').hex()}.{kind}"
        with self._lock:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            part = self.folder / f"{name}.part"
            try:
                with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                    file.write(content)
                part.replace(self.folder / name)
            except OSError:
                with suppress(OSError):
                    part.unlink(missing_ok=True)
                raise
            self._clean(name)
        return name

    def find(self, name: str) -> Path | None:
        """The file of a name that was given out and has not expired."""
        if _NAME.fullmatch(name) is None:
            return None
        path = self.folder / name
        try:
            return path if path.stat().st_mtime > time.time() - self.ttl_s else None
        except OSError:
            return None

    def _clean(self, newest: str) -> None:
        """Delete what has expired and, from the oldest on, what is too much; the newest stays."""
        found = sorted((entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(self.folder))
        left, expired = sum(size for _, size, _ in found), time.time() - self.ttl_s
        for written, size, path in found:
            if (written <= expired or left > self.max_bytes) and not path.endswith(newest):
                left -= size
                with suppress(OSError):
                    os.unlink(path)


def with_addresses(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
    """The same answer with addresses in place of the pictures' content; as it is, with a warning, on a full disk."""
    files = request.app.state.files
    base = str(request.base_url).rstrip("/")

    def addressed(picture: dict[str, Any]) -> dict[str, Any]:
        content = base64.b64decode(picture["b64_json"])
        rest = {key: value for key, value in picture.items() if key != "b64_json"}
        return {"url": f"{base}{ROUTE}/{files.keep(content, answer['output_format'])}", **rest}

    try:
        return {**answer, "data": [addressed(picture) for picture in answer["data"]]}
    except OSError as error:
        log.error("pictures cannot be kept for their addresses: %s", error)
        reason = error.strerror or type(error).__name__
        warning = f"response_format: the pictures could not be kept here ({reason}), so they are in b64_json."
        return {**answer, "warnings": [*answer["warnings"], warning]}


@router.get(
    ROUTE + "/{name}",
    response_class=FileResponse,
    responses={200: {"content": {f"image/{kind}": {} for kind in ("png", "jpeg", "webp")}}},
)
def file(request: Request, name: str) -> FileResponse:
    """A picture by the address that an answer gave; no key is needed, since nobody can guess it."""
    files = request.app.state.files
    request.state.log_fields["path"] = f"{ROUTE}/..."  # an address in a log would be as good as the picture
    found = files.find(name)
    if found is None:
        raise RequestError(
            f"There is no such picture: addresses are kept for {files.ttl_s / 60:g} minutes.",
            status=404,
            code="file_not_found",
            param="name",
        )
    headers = {"Cache-Control": f"private, max-age={files.ttl_s:.0f}", "X-Content-Type-Options": "nosniff"}
    return FileResponse(found, media_type=f"image/{found.suffix[1:]}", headers=headers)
