"""JSON bodies: limited before they are read, parsed beside the event loop, and never in one long stretch.

Python parses JSON without letting other threads run, so a body is bounded twice: in bytes, and in how many values it
may hold. Long texts (pictures as data URLs) are taken out before the parser sees the rest, and put back after it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any, NoReturn

from fastapi import Request

from inkwash.core.errors import RequestError
from inkwash.serve.schemas import AnyBody, refuse_unsupported, validated

MAX_VALUES = 100_000  # signs that begin or part values; more take the parser too long
MAX_DIGITS = 400
LONG_TEXT = 2**16  # characters from which on a text is kept from the parser
_CHUNK = 2**20


async def read_body(request: Request, kind: type[AnyBody], *, max_bytes: int) -> AnyBody:
    """The checked body of a request; raises RequestError 415, 413 or 400 with the first thing that is wrong."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise unsupported_type(media_type, "application/json")
    refuse_compression(request)
    chunks = await read_chunks(request, max_bytes)
    return await asyncio.to_thread(_checked, chunks, kind)


async def read_chunks(request: Request, max_bytes: int) -> list[bytes]:
    """The body in pieces, to be joined in a thread; raises RequestError 413 for a larger one, as early as it can."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > max_bytes:
        raise too_large(max_bytes)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise too_large(max_bytes)
        chunks.append(chunk)
    return chunks


def refuse_compression(request: Request) -> None:
    """Raise RequestError 415 for a body that is packed."""
    if (packed := request.headers.get("content-encoding", "identity").strip().lower()) != "identity":
        raise RequestError(
            f"The Content-Encoding is {packed[:40]!r}, but bodies are read as they are: send it without compression.",
            status=415,
            code="unsupported_media_type",
        )


def _checked(chunks: list[bytes], kind: type[AnyBody]) -> AnyBody:
    return read_json(b"".join(chunks), kind)


def read_json(content: bytes, kind: type[AnyBody]) -> AnyBody:
    """A JSON body, strictly; raises RequestError with the first thing that is wrong."""
    values = parse_object(content)
    refuse_unsupported(values)
    return validated(kind, values, strict=True)


def parse_object(content: bytes) -> dict[str, Any]:
    """The object that a body is; raises RequestError for anything else."""
    if _count_texts(content) > 2 * MAX_VALUES:  # a value has a key and a text at most
        raise _too_many()
    short, texts, nonce = _without_long_texts(content)
    if _count_values(short) > MAX_VALUES:
        raise _too_many()
    try:
        values = json.loads(short, parse_constant=_no_number, parse_int=_whole, parse_float=_real)
        if texts:
            values = _restored(values, texts, nonce)
    except (ValueError, RecursionError):
        raise RequestError("The body is no valid JSON: send an object in UTF-8.", code="invalid_body") from None
    if not isinstance(values, dict):
        raise RequestError(f"The body is a JSON {type(values).__name__}, but must be an object.", code="invalid_body")
    return values


def _too_many() -> RequestError:
    return RequestError(
        f"The body holds more than {MAX_VALUES} values: send less at once.", status=413, code="request_too_large"
    )


def unsupported_type(kind: str, wanted: str) -> RequestError:
    """The answer to a body of a kind that is not read."""
    return RequestError(
        f"The Content-Type is {kind or 'missing'}, but must be {wanted}.", status=415, code="unsupported_media_type"
    )


def too_large(max_bytes: int) -> RequestError:
    """The answer to more bytes than are read."""
    return RequestError(
        f"The request is larger than {max_bytes / 2**20:.4g} MiB: send fewer or smaller pictures.",
        status=413,
        code="request_too_large",
    )


def _without_long_texts(content: bytes) -> tuple[bytes, list[memoryview], str]:
    """The body with a short mark in place of every long plain text, those texts, and what marks begin with."""
    nonce = secrets.token_hex(8)
    if len(content) < LONG_TEXT or content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content[:4]:
        return content, [], nonce  # short, or UTF-16 and UTF-32, which the parser reads as well
    whole = memoryview(content)
    kept: list[bytes | memoryview] = []
    texts: list[memoryview] = []
    last = place = seen = 0
    while (begin := content.find(b'"', place) + 1) > 0 and (end := _end_of_text(content, begin)) >= 0:
        if end - begin >= LONG_TEXT and _is_plain(content, begin, end):
            kept += [whole[last:begin], f"{nonce}{len(texts)}".encode()]
            texts.append(whole[begin:end])
            last = end
        place, seen = end + 1, seen + 1
        if seen > 2 * MAX_VALUES:
            raise _too_many()  # looking for the ends of texts keeps other threads waiting
    return b"".join([*kept, whole[last:]]), texts, nonce


def _is_plain(content: bytes, begin: int, end: int) -> bool:
    """Whether a text is ASCII without escapes; looked at in pieces, so that other threads can run between them."""
    for start in range(begin, end, _CHUNK):
        piece = content[start : min(start + _CHUNK, end)]
        if not piece.isascii() or b"\\" in piece:
            return False
    return True


def _end_of_text(content: bytes, begin: int) -> int:
    """Where the quotation mark stands that ends the text from here; -1 for none."""
    end = content.find(b'"', begin)
    while end >= 0:
        backslashes = end - len(content[max(begin, end - 64) : end].rstrip(b"\\")) - max(begin, end - 64)
        if backslashes == 64:  # a row of them that long is looked at from its beginning
            backslashes = end - begin - len(content[begin:end].rstrip(b"\\"))
        if backslashes % 2 == 0:
            return end
        end = content.find(b'"', end + 1)
    return -1


def _count_texts(content: bytes) -> int:
    """How many texts there are at least: quotation marks without a backslash before them, two to a text."""
    count = 0
    for begin in range(0, len(content), _CHUNK):
        piece = content[begin : begin + _CHUNK]
        count += piece.count(b'"') - piece.count(b'\\"')
    return count // 2


def _count_values(content: bytes) -> int:
    """How many values the parser will make at most, counted in pieces so that other threads can run between them."""
    count = 0
    for begin in range(0, len(content), _CHUNK):
        piece = content[begin : begin + _CHUNK]
        count += sum(piece.count(sign) for sign in (b",", b"[", b"{", b":"))
        if count > MAX_VALUES:
            break
    return count


def _restored(value: Any, texts: list[memoryview], nonce: str) -> Any:
    """The same value with its long texts."""
    if isinstance(value, str):
        return str(texts[int(value[len(nonce) :])], "ascii") if value.startswith(nonce) else value
    if isinstance(value, list):
        return [_restored(each, texts, nonce) for each in value]
    if isinstance(value, dict):
        return {_restored(name, texts, nonce): _restored(each, texts, nonce) for name, each in value.items()}
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number of so many digits is no value of any field")
    return int(digits)


def _real(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number of so many digits is no value of any field")
    return float(digits)
