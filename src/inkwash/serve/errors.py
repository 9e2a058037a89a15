"""Errors as OpenAI clients expect them: {"error": {"message", "type", "param", "code"}}.

Every InkwashError becomes such an answer; anything else is a bug of ours, logged with its traceback and answered
with a sentence that tells nothing about the server's inside.
"""

from __future__ import annotations

import errno
import itertools
import logging
import math
import os
import re
import reprlib
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from inkwash.core.errors import Cancelled, ConfigError, InkwashError, MediaError, RequestError

log = logging.getLogger(__name__)

_SHORT = reprlib.Repr()  # looks at the beginning only, however large a value is
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
_JSON_NAMES = {None: "null", True: "true", False: "false"}
CLIENT_CLOSED = 499  # the client went away; nobody reads this answer, but logs and metrics do
_KIND = re.compile(r"str|int|float|bool|(?:literal|list|dict|function-\w+)\[.*|[A-Z][A-Za-z]+")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE}  # disks, quotas, limits, descriptors
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class NoRoom(RequestError):
    """The system has no room for the files of a request: a matter of the server that passes."""

    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"The server has no room for files now ({os.strerror(error.errno or 0)}): send the request again later.",
            status=503,
            code="storage_failed",
        )
        self.retry_after = 10.0


class ErrorBody(BaseModel):
    """What went wrong, in one sentence, with the field and a code that programs can compare."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """The shape of every answer that is not a success."""

    error: ErrorBody


def described(error: Exception) -> tuple[int, ErrorBody]:
    """Status and body for any exception."""
    error = _passing(error)
    status, code, param, message = 500, "internal_error", None, "The server failed; the request was not finished."
    if isinstance(error, RequestError):
        status, code, param, message = error.status, error.code, error.param, error.message
    elif isinstance(error, MediaError):
        status, code, param, message = 400, "invalid_image", "image", error.message
    elif isinstance(error, ConfigError):
        status, code, message = 400, "invalid_request", error.message
    elif isinstance(error, Cancelled):
        status, code, message = CLIENT_CLOSED, "cancelled", "The request was cancelled."
    elif isinstance(error, InkwashError):
        message = error.message
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return status, ErrorBody(message=message, type=kind, param=param, code=code)


def answer(error: Exception) -> JSONResponse:
    """The JSON answer for an exception."""
    error = _passing(error)
    status, body = described(error)
    headers: dict[str, str] = {}
    wait = getattr(error, "retry_after", None)
    if wait is not None:
        headers["Retry-After"] = str(max(1, math.ceil(wait)))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": body.model_dump()}, status_code=status, headers=headers)


def _passing(error: Exception) -> Exception:
    """NoRoom in place of the system's error that means it."""
    return NoRoom(error) if isinstance(error, OSError) and error.errno in _FULL else error


def from_validation(errors: list[ErrorDetails]) -> RequestError:
    """The first complaint of pydantic as one sentence with its field and value."""
    first = errors[0]
    steps = [str(part) for part in first["loc"] if part not in ("body", "query", "path") and not _is_kind(part)]
    place = ".".join(name for name, _ in itertools.groupby(steps))  # a tagged union names the tag, then its field
    if first["type"] == "json_invalid" or not place:
        return RequestError(f"The body is no valid request: {_plain(first['msg'])}.", code="invalid_body")
    if first["type"] == "missing":
        return RequestError(
            f"The field {place} is missing: it is required.", code="missing_required_parameter", param=place
        )
    if first["type"] == "extra_forbidden":
        return RequestError(f"The field {place} is unknown here: leave it out.", code="unknown_parameter", param=place)
    wanted, value = _plain(first["msg"]), first.get("input")
    if first["type"] == "union_tag_invalid":  # names the field that tells the kinds apart, not the whole object
        kind, expected = first["ctx"]["discriminator"].strip("'"), first["ctx"]["expected_tags"]
        place, value, wanted = f"{place}.{kind}", first["ctx"]["tag"], f"input should be one of {expected}"
    quote = _JSON_NAMES[value] if isinstance(value, bool | None) else _SHORT.repr(value)
    quote = quote if len(quote) <= 80 else f"{quote[:77]}..."
    return RequestError(f"{place} is {quote}: {wanted}.", code="invalid_value", param=place)


def _is_kind(part: int | str) -> bool:
    """Whether a step of a place is none of the body's names: pydantic's for the branch of a union."""
    return isinstance(part, str) and bool(_KIND.fullmatch(part))


def _plain(message: str) -> str:
    text = message.removeprefix("Value error, ").replace(" after validation", "").rstrip(".")
    return text[:1].lower() + text[1:]


def _elsewhere(path: str) -> str:
    """What to ask instead at paths of other servers."""
    last = path.rstrip("/").rpartition("/")[2]
    if path.rstrip("/").endswith("/images/variations"):
        return ": send the picture to /v1/images/edits with a prompt that says what to change"
    if path.startswith("/openai/") or not path.startswith("/v1/"):
        for known in ("/v1/images/generations", "/v1/images/edits", "/v1/chat/completions", "/v1/models"):
            if last and known.endswith(f"/{last}"):
                return f": send the request to {known} (base URL .../v1, without a deployment or api-version)"
    return ""


def install(app: FastAPI) -> None:
    """Make the application answer every exception in this shape."""

    def noted(request: Request, error: Exception) -> JSONResponse:
        """The answer, after it was counted and said in the log line."""
        status, body = described(error)
        request.state.log_fields["error"] = body.code
        if request.method == "POST":
            app.state.service.metrics.turned_away(status, body.code)
        return answer(error)

    @app.exception_handler(InkwashError)
    async def ours(request: Request, error: InkwashError) -> JSONResponse:
        return noted(request, error)

    @app.exception_handler(OSError)
    async def system(request: Request, error: OSError) -> JSONResponse:
        if error.errno not in _FULL:
            raise error
        log.error("no room for the files of a request: %s", error)
        return noted(request, error)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, _: ClientDisconnect) -> JSONResponse:
        """The client went away before its body was there."""
        return noted(request, Cancelled())

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        details: Any = error.errors()
        return noted(request, from_validation(details))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        detail = str(error.detail)
        if error.status_code == 405 and request.method == "OPTIONS":
            allowed = (error.headers or {}).get("Allow", "")
            return Response(status_code=204, headers={"Allow": f"{allowed}, OPTIONS".lstrip(", ")})
        if error.status_code == 404 and detail == "Not Found":
            detail = f"There is nothing at {request.method} {request.url.path[:200]}{_elsewhere(request.url.path)}."
        elif error.status_code == 405:
            detail = f"{request.url.path[:200]} does not answer {request.method}."
        kind = _TYPES.get(error.status_code, "invalid_request_error" if error.status_code < 500 else "server_error")
        body = ErrorBody(message=detail, type=kind, code=f"http_{error.status_code}")
        return JSONResponse({"error": body.model_dump()}, status_code=error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("request failed", exc_info=error)
        return noted(request, error)
