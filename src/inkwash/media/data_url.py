"""`data:` URLs (RFC 2397), read in one way by every route: the media type, and the bytes up to a limit.

    data:image/png;base64,iVBORw0K...      data:;base64,...      data:text/plain,hello%20there

White space inside base64 is ignored, missing padding and the URL-safe alphabet are accepted, percent-encoded text
without `;base64` is decoded. The length is checked before anything is decoded.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from inkwash.core.errors import RequestError

_MAX_HEAD = 1024
_PIECE = 2**20  # characters, a multiple of four
_MAX_ESCAPES = 100_000  # percent signs: each is a piece of its own while they are decoded
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]+={0,2}\s*")
_PLAIN = 64  # letters by which base64 without a scheme is told; the smallest picture has more


@dataclass(frozen=True, kw_only=True)
class DataUrl:
    """What a data URL holds; `kind` is the media type in lower case without parameters, empty where none stands."""

    kind: str
    content: bytes


def is_data_url(text: str) -> bool:
    """Whether a text begins as a data URL does; the scheme's case does not matter."""
    return text[:5].lower() == "data:"


def as_data_url(text: str) -> str:
    """Content in plain base64 with the scheme that it lacks; any other text as it is.

    Base64 is told by the letters that it begins and ends with; the end of a path has a dot.
    """
    ends = (text[:_PLAIN], text[-_PLAIN:])
    plain = len(text) >= _PLAIN and all(_BASE64.fullmatch(end) for end in ends)
    return f"data:;base64,{text}" if plain and not is_data_url(text) else text


def read_data_url(text: str, *, max_bytes: int, param: str) -> DataUrl:
    """The bytes of a data URL; raises RequestError (400 for a malformed one, 413 for a large one) that names
    `param`."""
    head, comma, data = text[5 : _MAX_HEAD + 5].partition(",")
    if not is_data_url(text) or not comma:
        raise RequestError(
            f"{param} is no valid data URL: write it like data:image/png;base64,...", code="invalid_value", param=param
        )
    data = text[5 + len(head) + 1 :]
    kind, *parameters = (part.strip().lower() for part in head.split(";"))
    if "base64" not in parameters:
        if len(data) > 3 * max_bytes or data.count("%") > _MAX_ESCAPES:
            raise _too_large(max_bytes, param)
        return DataUrl(kind=kind, content=_limited(unquote_to_bytes(data), max_bytes, param))
    if len(data) > max_bytes * 4 / 3 * 1.1 + 1024:  # line breaks take up to a fortieth
        raise _too_large(max_bytes, param)
    return DataUrl(kind=kind, content=_limited(_decoded(data, param), max_bytes, param))


def _decoded(data: str, param: str) -> bytes:
    try:
        encoded = data.encode("ascii")
        if b"%" in encoded[:4096] or b"%" in encoded[-16:]:
            if encoded.count(b"%") > _MAX_ESCAPES:
                raise _too_large(len(encoded), param)
            encoded = unquote_to_bytes(data)
        encoded = encoded.translate(_URL_SAFE, b" \t\r\n\f\v").rstrip(b"=")
        if b"=" in encoded:
            raise ValueError("padding before the end")
        encoded += b"=" * (-len(encoded) % 4)
        # in pieces: decoding holds every other thread up, such as the one that answers /health
        pieces = (encoded[at : at + _PIECE] for at in range(0, len(encoded), _PIECE))
        return b"".join(base64.b64decode(piece, validate=True) for piece in pieces)
    except (binascii.Error, ValueError):  # ValueError: characters beyond ASCII
        raise RequestError(
            f"The data URL of {param} is no valid base64: encode the file's bytes.", code="invalid_value", param=param
        ) from None


def _limited(content: bytes, max_bytes: int, param: str) -> bytes:
    if len(content) > max_bytes:
        raise _too_large(max_bytes, param)
    return content


def _too_large(max_bytes: int, param: str) -> RequestError:
    return RequestError(
        f"The data URL of {param} is too large: at most {max_bytes / 2**20:.4g} MiB are read, make it smaller.",
        status=413,
        code="image_too_large",
        param=param,
    )
