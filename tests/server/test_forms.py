"""Texts of forms: what the client wrote is what is drawn, and what is no UTF-8 is refused, never guessed."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.server.conftest import Live, backend_of

_FILE = io.BytesIO()
Image.new("RGB", (64, 64), "red").save(_FILE, "PNG")
RED = _FILE.getvalue()
TEXTS = st.text(min_size=1, max_size=20).map(lambda text: text.encode("utf-8", "replace"))
MULTIPART, PAIRS = "multipart/form-data; boundary=B", "application/x-www-form-urlencoded"


def parts(prompt: bytes, *, name: bytes = b"prompt", file: bytes = b"a.png") -> bytes:
    """A form of two parts, byte by byte."""
    head = b'--B\r\nContent-Disposition: form-data; name="'
    text = head + name + b'"\r\n\r\n' + prompt + b"\r\n"
    return text + head + b'image"; filename="' + file + b'"\r\n\r\n' + RED + b"\r\n--B--\r\n"


def pairs(prompt: bytes) -> bytes:
    """The same by percent signs."""
    url = "data:image/png;base64," + base64.b64encode(RED).decode()
    return f"prompt={quote_from_bytes(prompt)}&image={quote_from_bytes(url.encode())}".encode()


def sent(live: Live, content: bytes, kind: str) -> tuple[int, dict[str, Any]]:
    answer = live.http.post("/v1/images/edits", content=content, headers={"Content-Type": kind})
    return answer.status_code, answer.json()


@pytest.mark.parametrize(("form", "kind"), [(parts, MULTIPART), (pairs, PAIRS)], ids=["parts", "pairs"])
@settings(max_examples=40)
@given(prompt=TEXTS | st.binary(min_size=1, max_size=20))
@example(prompt="Grüße 你好".encode())
@example(prompt=b"h\xe9llo")
@example(prompt=b"\xed\xa0\x80")
def test_a_prompt_is_what_was_written_or_refused(
    fake: Live, form: Callable[[bytes], bytes], kind: str, prompt: bytes
) -> None:
    assume(b"--B" not in prompt)
    status, said = sent(fake, form(prompt), kind)
    try:
        text = prompt.decode()
    except UnicodeDecodeError:
        assert status == 400 and "no UTF-8 text" in said["error"]["message"]
        return
    if status == 400:  # of control letters only
        assert not text.strip(), said
        return
    assert status == 200 and backend_of(fake).drawn[-1].prompt == text


def test_bytes_of_a_form_by_percent_signs_may_stand_as_they_are(fake: Live) -> None:
    content = "prompt=Grüße+你好&image=".encode() + pairs(b"").partition(b"&image=")[2]
    assert sent(fake, content, PAIRS)[0] == 200 and backend_of(fake).drawn[-1].prompt == "Grüße 你好"


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (parts("é".encode("latin-1")), MULTIPART, "prompt is no UTF-8 text (byte 1): send the form in UTF-8."),
        (parts(b"a", name=b"pro\xffmpt"), MULTIPART, "the name of a field is no UTF-8 text"),
        (parts(b"a"), f"{MULTIPART}; charset=hex", "The form is in 'hex', but must be in UTF-8."),
        (parts(b"a"), f"{MULTIPART}; charset=latin-1", "must be in UTF-8."),
        (parts("a".encode("utf-16")), f"{MULTIPART}; charset=utf-16", "must be in UTF-8."),
        (parts(b"a"), "multipart/form-data", "boundary is missing"),
        (pairs(b"\xff"), PAIRS, "the form is no UTF-8 text"),
        (b"prompt=\xff&image=a", PAIRS, "the form is no UTF-8 text"),
        (b"&".join(b"a%d=1" % number for number in range(200)), PAIRS, "more than 100 fields"),
        (b"prompt=" + b"%41" * 1_100_000, PAIRS, "behind percent signs"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(fake: Live, content: bytes, kind: str, said: str) -> None:
    status, answer = sent(fake, content, kind)
    assert status in (400, 413) and said in answer["error"]["message"], answer
    assert answer["error"]["message"].endswith(".") and "\n" not in answer["error"]["message"]


def test_a_compressed_form_is_refused_by_name(fake: Live) -> None:
    headers = {"Content-Type": MULTIPART, "Content-Encoding": "gzip"}
    answer = fake.http.post("/v1/images/edits", content=b"\x1f\x8b", headers=headers)
    assert answer.status_code == 415 and "'gzip'" in answer.json()["error"]["message"]


def test_the_name_of_a_file_does_not_matter(fake: Live) -> None:
    for kind in (MULTIPART, f"{MULTIPART}; charset=UTF-8", 'multipart/form-data; charset=us-ascii; boundary="B"'):
        assert sent(fake, parts("Grüße".encode(), file=b"a\xff.png"), kind)[0] == 200
        assert backend_of(fake).drawn[-1].prompt == "Grüße"
