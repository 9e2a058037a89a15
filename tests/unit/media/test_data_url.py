"""One reading of data URLs: every form that clients send, one sentence for the rest, the length before the bytes."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwash.core.errors import RequestError
from inkwash.media import data_url
from inkwash.media.data_url import as_data_url, is_data_url, read_data_url

CONTENT = bytes(range(256)) + b"\xfb\xff\xfe"


def read(text: str, max_bytes: int = 1000) -> tuple[str, bytes]:
    found = read_data_url(text, max_bytes=max_bytes, param="image")
    return found.kind, found.content


ENCODED = base64.b64encode(CONTENT).decode()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ("data:image/png;base64,", "image/png"),
        ("DATA:Image/PNG;BASE64,", "image/png"),
        ("data:;base64,", ""),
        ("data:text/plain;charset=utf-8;base64,", "text/plain"),
        ("data:image/svg+xml; charset=x; base64,", "image/svg+xml"),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        ENCODED,
        ENCODED.rstrip("="),
        "\r\n".join(ENCODED[at : at + 76] for at in range(0, len(ENCODED), 76)),
        base64.urlsafe_b64encode(CONTENT).decode(),
        ENCODED.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
    ],
    ids=["plain", "unpadded", "wrapped", "url-safe", "escaped"],
)
def test_every_form_of_base64(head: str, kind: str, body: str) -> None:
    assert is_data_url(head + body) and read(head + body) == (kind, CONTENT)


def test_plain_base64_is_told_by_how_it_begins() -> None:
    for plain in (ENCODED, base64.urlsafe_b64encode(CONTENT).decode(), "iVBOR" * 20):
        assert read(as_data_url(plain))[0] == ""
    for other in (
        "poster.png",
        "data:image/png;base64,AAAA",
        "https://example.org/" + "a" * 99,
        "a/b.png" * 20,
        "/tmp/" + "a" * 99 + ".png",
    ):
        assert as_data_url(other) == other


def test_escaped_text() -> None:
    assert read("data:,hello%20there") == ("", b"hello there")
    assert read("data:text/html;charset=x,<a>") == ("text/html", b"<a>")


@pytest.mark.parametrize(
    "text", ["", "data:", "data:image/png;base64", "data:x;base64,%%%", "data:;base64,é", "data:;base64,A"]
)
def test_what_is_no_data_url_is_one_sentence(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(text)
    assert caught.value.status == 400 and caught.value.param == "image" and "\n" not in str(caught.value)


@pytest.mark.parametrize("head", ["data:;base64,", "data:,"])
def test_the_limit_is_exact_and_comes_first(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = base64.b64encode(b"x" * 999).decode() if "base64" in head else "x" * 999
    assert len(read(head + body, 999)[1]) == 999
    with pytest.raises(RequestError) as caught:
        read(head + body, 998)
    assert caught.value.status == 413
    monkeypatch.setattr("inkwash.media.data_url.base64.b64decode", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(RequestError):
        read(head + "A" * 100_000, 998)


@given(st.text(max_size=60))
def test_anything_else_is_read_or_refused(text: str) -> None:
    try:
        kind, content = read("data:" + text)
    except RequestError:
        return
    assert isinstance(kind, str) and isinstance(content, bytes)


@given(st.binary(max_size=300), st.sampled_from([4, 8, 52]))
def test_pieces_are_the_whole(content: bytes, piece: int) -> None:
    encoded = base64.b64encode(content).decode()
    before, data_url._PIECE = data_url._PIECE, piece
    try:
        assert read(f"data:;base64,{encoded}") == ("", content)
        for place in (1, piece - 1, piece):
            if place < len(encoded) - 4:
                broken = f"data:;base64,{encoded[:place]}={encoded[place + 1 :]}"
                with pytest.raises(RequestError):
                    read(broken)
    finally:
        data_url._PIECE = before


def test_many_escapes_are_refused_before_they_are_taken_apart() -> None:
    for head in ("data:,", "data:;base64,"):
        with pytest.raises(RequestError) as caught:
            read(head + "%41" * 200_000, max_bytes=2**24)
        assert caught.value.status == 413
