"""Requests that no client library would send: each is answered with a sentence in JSON, and none with a 5xx.

They are written to the socket byte by byte, since libraries refuse to send most of them.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from inkwash.serve.settings import ServeSettings
from tests.server.conftest import Live, running
from tests.server.fakes import FakeBackend

DRAW = "/v1/images/generations"
BODY = b'{"prompt": "a", "size": "64x64", "steps": 1}'


def exchange(live: Live, request: bytes) -> tuple[int, bytes, bytes]:
    """Status, headers and body of the first answer to some bytes."""
    with socket.create_connection(("127.0.0.1", live.port)) as raw:
        raw.settimeout(60)
        raw.sendall(request)
        whole = b""
        while piece := raw.recv(2**16):
            whole += piece
    head, _, rest = whole.partition(b"\r\n\r\n")
    head = head.lower()
    size = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
    return int(head.split(b" ", 2)[1]), head, rest[:size]


def post(content: bytes = BODY, *fields: str, path: str = DRAW, version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: localhost", "Content-Type: application/json", "Connection: close"]
    return "\r\n".join([*lines, *fields, "", ""]).encode("latin-1") + content


def sized(content: bytes, *fields: str) -> bytes:
    return post(content, f"Content-Length: {len(content)}", *fields)


def get(path: str, *fields: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def error_of(body: bytes) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(body)["error"]
    assert error["message"].endswith(".") and "\n" not in error["message"], error
    return error


CHUNKED = "Transfer-Encoding: chunked"
WHOLE = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(BODY, f"Content-Length: {len(BODY)}", version="1.0"),
        sized(BODY).replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Host: localhost\r\n", b""),
        post(WHOLE, CHUNKED),
        post(WHOLE.replace(b"\r\n", b";name=value\r\n", 1), CHUNKED),
        sized(BODY, f"Content-Length: {len(BODY)}"),
        sized(BODY, "X-Request-Id: " + "\xff" * 80, "Authorization: Bearer \xff\xfe", "Accept-Encoding: gzip, \xff"),
        sized(BODY, *(f"X-{number}: a" for number in range(500))),
        sized(b'{"prompt": "b", "prompt": "a", "size": "64x64", "steps": 1}'),
        sized(b'{"prompt": "\\ud83d\\ude00 \\u0000a", "size": "64x64", "steps": 1}'),
    ],
    ids=["1.0", "without-host", "chunked", "extension", "twice-the-same", "latin", "500-fields", "names", "pairs"],
)
def test_what_is_unusual_but_right_is_answered(fake: Live, request_bytes: bytes) -> None:
    status, _, body = exchange(fake, request_bytes)
    assert status == 200, body
    assert json.loads(body)["data"][0]["b64_json"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(BODY, "Content-Length: 5", f"Content-Length: {len(BODY)}"),
        post(BODY, "Content-Length: -1"),
        post(BODY, "Content-Length: 1e3"),
        post(BODY, f"Content-Length: {'9' * 30}"),
        post(b"zz\r\n{}\r\n0\r\n\r\n", CHUNKED),
        post(b"f" * 40 + b"\r\n{}", CHUNKED),
        post(BODY, "Transfer-Encoding: gzip, chunked"),
        sized(BODY).replace(b"Host: localhost\r\n", b""),
        sized(BODY, "X: " + "a" * 2**17),
        get("/health", "A B: c"),
        get("/he\x00alth"),
        get("/h\xe9alth"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300) + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n\r\n\r\nnothing\r\n\r\n",
    ],
    ids=lambda request: repr(request[-24:]),
)
def test_what_is_no_http_is_told_so(fake: Live, request_bytes: bytes) -> None:
    status, head, body = exchange(fake, request_bytes)
    assert 400 <= status < 500 or status == 501, body
    assert b"content-type: application/json" in head
    assert error_of(body)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "content",
    [
        b'{"prompt": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"prompt": "a", "user": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
        *(
            b'{"prompt": "a", "%s": %s}' % (name, value)
            for name in (b"guidance_scale", b"seed", b"n", b"steps", b"deadline_s", b"output_compression")
            for value in (b"1e400", b"-1e400", b"NaN", b"-Infinity", b"9" * 300)
        ),
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "a", "user": "\\udfff"}',
        b'{"prompt": "a", "negative_prompt": "\\ud800"}',
        b'{"prompt": "a", "lora": "../../../etc/passwd"}',
        b'{"prompt": "a", "lora": [{"name": "..\\\\..\\u0000x", "scale": 1e400}]}',
        b'{"prompt": "a", "plan": "\\ud800"}',
        b'{"prompt": "a", "\\ud800": 1, "size": "\\ud800"}',
        b'{"prompt": "a", "size": "' + b"9" * 5000 + b'x64"}',
    ],
    ids=lambda content: repr(content[:48]),
)
@pytest.mark.parametrize("query", ["", "?background=true", "?background=%ff%00"])
def test_a_body_beyond_every_range_is_a_sentence(fake: Live, content: bytes, query: str) -> None:
    status, _, body = exchange(fake, sized(content).replace(DRAW.encode(), f"{DRAW}{query}".encode()))
    assert 400 <= status < 500, body
    error_of(body)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/images/files/../../../../etc/passwd",
        "/v1/images/files/%2e%2e%2f%2e%2e%2fsecret",
        "/v1/images/files/..%5c..%5csecret",
        "/v1/images/files/%00",
        "/v1/images/files/" + "a" * 60_000,
        "/v1/images/files/" + "0" * 64 + ".png%00",
        "/v1/images/files/%ff%fe.png",
        "/v1/jobs/..%2f..%2fjobs.sqlite3",
        "/v1/jobs/%00'%20or%20''='",
        "/v1/jobs/%ed%a0%80",
        "/v1/jobs/x/content/" + "9" * 5000,
        "/v1/models/..%2f..%2fetc",
        "http://elsewhere.example/health",
        "//etc/passwd",
        "/" + "%41" * 20_000,
    ],
    ids=lambda path: path[:40],
)
def test_a_path_leads_to_what_there_is_only(fake: Live, path: str) -> None:
    for request_bytes in (get(path), get(path).replace(b"GET", b"DELETE")):
        status, _, body = exchange(fake, request_bytes)
        assert status in (404, 405), body[:200]
        assert len(error_of(body)["message"]) < 400


@pytest.mark.parametrize(
    "name",
    [
        b'filename="\xe4\xbd\xa0\xe5\xa5\xbd.png"',
        b"filename*=UTF-8''%e4%bd%a0.png",
        b"filename*=nowhere'x'%ff%fe",
        b'filename="../../etc/passwd"',
        b'filename="a\\"b.png"',
        b'filename="' + b"a" * 30_000 + b'"',
        b'filename="a\x00b.png"; filename="c.png"',
    ],
    ids=lambda name: repr(name[:30]),
)
def test_the_name_of_a_file_is_nothing_but_a_name(fake: Live, name: bytes) -> None:
    from tests.server.test_forms import RED

    form = b'--B\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na\r\n--B\r\nContent-Disposition: form-data; '
    form += b'name="image"; ' + name + b"\r\n\r\n" + RED + b"\r\n--B--\r\n"
    request = sized(form).replace(b"application/json", b"multipart/form-data; boundary=B")
    status, _, body = exchange(fake, request.replace(DRAW.encode(), b"/v1/images/edits"))
    assert status in (200, 400), body
    if status == 400:
        error_of(body)


def test_a_body_without_an_end_ends_in_time(settings: Callable[..., ServeSettings]) -> None:
    with running(settings(body_timeout_s=0.3, header_timeout_s=0.3), FakeBackend) as live:
        status, _, body = exchange(live, post(WHOLE[:-5], CHUNKED))
        assert status == 408 and error_of(body)["code"] == "body_timeout"


def test_what_breaks_off_after_its_answer_breaks_no_other(fake: Live) -> None:
    """The answer is there before the body; what comes after it is no HTTP any more."""
    status, _, _ = exchange(fake, post(b"5\r\nabcde\r\nzz\r\n", CHUNKED, path="/nowhere"))
    assert status in (400, 404)
    assert fake.http.get("/health").status_code == 200


def test_two_requests_in_one_piece_have_two_answers(fake: Live) -> None:
    with socket.create_connection(("127.0.0.1", fake.port)) as raw:
        raw.settimeout(60)
        raw.sendall(sized(BODY).replace(b"Connection: close\r\n", b"") + get("/health"))
        whole = b""
        while piece := raw.recv(2**16):
            whole += piece
    assert whole.count(b"HTTP/1.1 200 OK\r\n") == 2 and whole.index(b"b64_json") < whole.index(b"self_test")
