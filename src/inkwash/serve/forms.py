"""Forms, multipart or by percent signs: their texts are UTF-8, as browsers send them, or the form is refused.

The framework reads a text that is no UTF-8 as Latin-1, and a percent sign's byte that is none as a mark: either way
another prompt than the client's would be drawn without a word. So texts are taken as bytes here and read strictly.
"""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from inkwash.core.errors import RequestError
from inkwash.serve.json_body import read_chunks, refuse_compression

MAX_FIELDS = 100
_MAX_TEXT = 1_000_000  # bytes of a text part; data URLs of pictures belong into file parts or JSON
_MAX_ESCAPES = 1_000_000  # percent signs: each is a piece of its own while they are decoded
_BYTES = "latin-1"  # what gives every byte a letter, and every letter its byte back
Items = list[tuple[str, UploadFile | str]]


@asynccontextmanager
async def read_form(request: Request, *, max_files: int, max_bytes: int) -> AsyncIterator[Items]:
    """The fields of a form in their order; files are closed at the end. Raises RequestError 400 or 413.

    `max_bytes`: of a form without parts; one with parts is limited as every body is.
    """
    header = request.headers.get("content-type", "")
    kind, options = parse_options_header(header)
    refuse_compression(request)
    _refuse_charset(options.get(b"charset"))
    if kind == b"multipart/form-data":
        items = await _read_parts(request, options.get(b"boundary", b""), max_files)
    else:
        items = await asyncio.to_thread(_read_pairs, await read_chunks(request, max_bytes))
    try:
        yield items
    finally:
        for _, value in items:
            if isinstance(value, UploadFile):
                await value.close()


async def _read_parts(request: Request, boundary: bytes, max_files: int) -> Items:
    if not boundary or b'"' in boundary or b"\\" in boundary:
        raise _broken("its boundary is missing")
    content_type = f'multipart/form-data; charset={_BYTES}; boundary="{boundary.decode(_BYTES)}"'
    parser = MultiPartParser(
        Headers({"content-type": content_type}),
        request.stream(),
        max_files=max_files,
        max_fields=MAX_FIELDS,
        max_part_size=_MAX_TEXT,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise _broken(error.message.rstrip(".")) from None
    try:
        return [
            (name := _text(key, "the name of a field"), value if isinstance(value, UploadFile) else _text(value, name))
            for key, value in form.multi_items()
        ]
    except RequestError:
        await form.close()
        raise


def _text(value: str, param: str) -> str:
    try:
        return value.encode(_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(param, error.start) from None


def _read_pairs(chunks: list[bytes]) -> Items:
    """Pairs of `name=value`, joined by `&`, with blanks as plus signs and other bytes behind percent signs."""
    content = b"".join(chunks)
    if content.count(b"%") > _MAX_ESCAPES:
        raise RequestError(
            f"The form has more than {_MAX_ESCAPES} bytes behind percent signs: send pictures as parts of a multipart "
            "form.",
            status=413,
            code="request_too_large",
        )
    try:
        return list(
            parse_qsl(content.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
        )
    except UnicodeDecodeError as error:
        raise _not_utf8("the form", error.start) from None
    except ValueError:
        raise _broken(f"it has more than {MAX_FIELDS} fields") from None


def _refuse_charset(name: bytes | None) -> None:
    if name is None:
        return
    charset = name.decode(_BYTES)
    try:
        found = codecs.lookup(charset).name
    except (LookupError, ValueError):
        found = ""
    if found not in ("utf-8", "ascii"):
        raise RequestError(f"The form is in {charset[:40]!r}, but must be in UTF-8.", code="invalid_body")


def _not_utf8(param: str, place: int) -> RequestError:
    return RequestError(
        f"{param[:80]} is no UTF-8 text (byte {place + 1}): send the form in UTF-8.",
        code="invalid_value",
        param=param[:80],
    )


def _broken(why: str) -> RequestError:
    return RequestError(f"The form cannot be read: {why[:1].lower()}{why[1:]}.", code="invalid_body")
