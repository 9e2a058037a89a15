"""Who may speak to the server: names, pages of other sites, keys before bodies, and time limits on connections."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection

import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from inkwash.core.errors import ConfigError, RequestError
from inkwash.serve import json_body
from inkwash.serve.auth import read_keys
from inkwash.serve.guard import is_local
from inkwash.serve.json_body import parse_object
from inkwash.serve.listen import bind
from inkwash.serve.service import Service
from inkwash.serve.settings import ServeSettings
from tests.server.conftest import Live, running
from tests.server.fakes import FakeBackend

BODY = {"prompt": "a red circle", "size": "64x64", "steps": 1}
PAGE = "https://pages.example.org"


def draw(live: Live, **headers: str) -> httpx2.Response:
    return live.http.post("/v1/images/generations", json=BODY, headers=headers)


@pytest.mark.parametrize("name", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "10.0.0.7", "[::2]"])
def test_foreign_names_are_refused_on_this_machine(fake: Live, name: str) -> None:
    name = name.format(port=fake.port)
    for path in ("/health", "/v1/models", "/metrics"):
        answer = fake.http.get(path, headers={"Host": name})
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "host_not_allowed"
    assert draw(fake, Host=name).status_code == 403


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:99", "[::1]:30000", "127.0.0.2", "a.localhost", "inkwash"])
def test_names_of_this_machine_are_served(fake: Live, name: str) -> None:
    assert draw(fake, Host=name).status_code == 200


def test_names_can_be_allowed(settings: Callable[..., ServeSettings]) -> None:
    with running(settings(allowed_hosts=("ink.example.org", "b.example:99")), FakeBackend) as live:
        assert draw(live, Host="INK.example.org:8443").status_code == draw(live, Host="b.example:99").status_code == 200
        assert draw(live, Host="b.example:98").status_code == draw(live, Host="c.example").status_code == 403
        assert draw(live, Host="ink.example.org", Origin="https://ink.example.org").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": PAGE},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://[::1"},  # no address at all
        {"Origin": "http://localhost:x"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_pages_of_others_are_refused(fake: Live, headers: dict[str, str]) -> None:
    form = {"data": {"prompt": "a"}, "files": {"image": b"x"}}
    for path, body in (("generations", {"json": BODY}), ("edits", form)):
        answer = fake.http.post(f"/v1/images/{path}", headers=headers, **body)
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "origin_not_allowed"
    preflight = fake.http.options(
        "/v1/images/generations", headers={"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 403 and "access-control-allow-origin" not in preflight.headers


def test_own_pages_and_links_are_served(fake: Live) -> None:
    own = f"http://localhost:{fake.port}"
    assert draw(fake, Host=f"localhost:{fake.port}", Origin=own).status_code == 200
    assert draw(fake, Origin=own).status_code == 200  # called 127.0.0.1 in one place and localhost in the other
    assert draw(fake, **{"Sec-Fetch-Site": "same-origin"}).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert fake.http.get("/docs", headers=link).status_code == 200
    assert fake.http.get("/v1/images/files/none.png", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 404


def test_pages_that_are_wanted_may_use_the_api(settings: Callable[..., ServeSettings]) -> None:
    keys = read_keys(None, "me:secret-of-me")
    with running(settings(cors_origins=(PAGE,), api_keys=keys), FakeBackend) as live:
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        preflight = live.http.options("/v1/images/generations", headers={"Origin": PAGE, **asked})
        assert preflight.status_code == 200 and preflight.headers["access-control-allow-origin"] == PAGE
        assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
        refused = draw(live, Origin=PAGE)
        assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == PAGE
        answer = draw(live, Origin=PAGE, Authorization="Bearer secret-of-me")
        assert answer.status_code == 200 and "x-request-id" in answer.headers["access-control-expose-headers"]
        assert draw(live, Origin="https://other.example").status_code == 403


@pytest.mark.parametrize("origin", ["pages.example.org", "https://a.b/c", "", "https://a b"])
def test_what_is_no_origin_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ConfigError, match="--cors-origin"):
        ServeSettings(cors_origins=(origin,))


@given(st.from_regex(r"[a-z0-9.\-]{1,20}\.[a-z]{2,8}", fullmatch=True))
def test_a_public_name_is_never_local(name: str) -> None:
    assert not is_local(name) or name.endswith(".localhost")


def test_the_key_comes_before_the_body(settings: Callable[..., ServeSettings]) -> None:
    """Without a key nothing of the body is read: the answer is there while it is still being sent."""
    with running(settings(api_keys=read_keys(None, "me:secret-of-me")), FakeBackend) as live:
        for path in ("images/generations", "images/edits", "chat/completions", "anything"):
            with socket.create_connection(("127.0.0.1", live.port)) as raw:
                raw.sendall(
                    f"POST /v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    "Content-Length: 200000000\r\n\r\n{".encode()
                )
                raw.settimeout(5)
                assert raw.recv(12) == b"HTTP/1.1 401"


def test_json_is_limited_in_bytes_and_in_values(settings: Callable[..., ServeSettings]) -> None:
    with running(settings(max_json_bytes=2**20), FakeBackend) as live:
        for content in (b'{"prompt": "' + b"a" * 2**20 + b'"}', b'{"a": [' + b"[]," * 60_000 + b"1]}"):
            answer = live.http.post(
                "/v1/images/generations", content=content, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 413 and answer.json()["error"]["code"] == "request_too_large"


def test_health_is_there_while_large_bodies_are_read(settings: Callable[..., ServeSettings]) -> None:
    """60 MiB of one text, many errors, huge numbers and deep lists, one after another, and health within 200 ms."""
    bodies = [
        b'{"prompt": "a", "plan": "' + b"A" * (60 * 2**20) + b'"}',
        b'{"prompt": "a", "n": [' + b"1," * 49_000 + b"1]}",
        b'{"prompt": "a", "seed": ' + b"9" * 400_000 + b"}",
        b'{"prompt": ' + b"[" * 90_000,
        b'{"prompt": "a", "size": "64x64", "' + b'":1,"'.join(b"%d" % number for number in range(30_000)) + b'":1}',
    ]
    with running(settings(), FakeBackend) as live:

        def send() -> None:
            """As a client outside of this process would: one that copies 60 MiB here would hold everything up."""
            client = HTTPConnection("127.0.0.1", live.port, timeout=60)
            for body in bodies:
                client.request("POST", "/v1/images/generations", body, {"Content-Type": "application/json"})
                answer = client.getresponse()
                statuses.append((answer.status, bool(answer.read())))
            client.close()

        longest: list[float] = []
        while not longest or (longest[-1] >= 0.2 and len(longest) < 3):
            statuses: list[tuple[int, bool]] = []
            sending = threading.Thread(target=send)
            sending.start()
            longest.append(0.0)
            while sending.is_alive():
                longest[-1] = max(longest[-1], health_wait(live))
                time.sleep(0.01)
            assert statuses == [(status, True) for status in (400, 400, 400, 400, 200)]
        assert longest[-1] < 0.2, longest


def health_wait(live: Live) -> float:
    """Seconds for which this process held /health up: those in which it worked, not those that it waited for a core."""
    begun, worked = time.perf_counter(), time.process_time()
    assert live.http.get("/health").status_code == 200
    return min(time.perf_counter() - begun, time.process_time() - worked)


TEXTS = st.text(max_size=12) | st.sampled_from(['"', "\\", '\\"', "\\\\", "data:image/png;base64,AAAA"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=5), st.integers(0, 12), st.booleans())
def test_long_texts_come_back_where_they_were(values: dict[str, object], length: int, plain: bool) -> None:
    content = json.dumps({**values, "long": "x" * 20}, ensure_ascii=plain).encode()
    before, json_body.LONG_TEXT = json_body.LONG_TEXT, length
    try:
        assert parse_object(content) == json.loads(content)
    finally:
        json_body.LONG_TEXT = before


@pytest.mark.parametrize("text", [b'"a"', b'"\\\\"', b'{"role":"user"}'])
def test_too_many_texts_are_refused_before_their_ends_are_looked_for(text: bytes) -> None:
    """Looking takes a microsecond a text in which no other thread runs; a second of it kept /health waiting."""
    begun = time.process_time()
    with pytest.raises(RequestError) as caught:
        parse_object(b'{"messages": [' + (text + b",") * 900_000 + b"0]}")
    assert caught.value.status == 413 and time.process_time() - begun < 0.6
    quoting = json.dumps({"prompt": 'say "a" and "b" ' * 120_000})
    assert parse_object(quoting.encode()) == json.loads(quoting), "marks within a text are no texts"


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a": NaN}', b'{"a": 1e', b'"', b'{"a": "\\', b"\xff"])
def test_what_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        parse_object(content)
    assert caught.value.status == 400


def test_bodies_and_headers_have_their_time(settings: Callable[..., ServeSettings]) -> None:
    with running(settings(body_timeout_s=0.3, header_timeout_s=0.3), FakeBackend) as live:
        head = b"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", live.port)) as raw:
            raw.settimeout(5)
            raw.sendall(head + b"Content-Length: 20\r\n\r\n{")
            assert b"408" in raw.recv(20)
        with socket.create_connection(("127.0.0.1", live.port)) as raw:
            raw.settimeout(5)
            raw.sendall(head)
            assert raw.recv(20) == b""
        with socket.create_connection(("127.0.0.1", live.port)) as raw:  # the next request of a kept connection
            raw.settimeout(5)
            raw.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200" in raw.recv(20)
            raw.sendall(b"GET /hea")
            while chunk := raw.recv(4096):
                assert b"HTTP/1.1 400" not in chunk


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.3, h2c"])
def test_an_offer_of_another_protocol_is_passed_over(fake: Live, protocol: str, apart: bool) -> None:
    """Java's client sends the first with every request; the body comes with the headers or later."""
    body = b'{"prompt": "a", "size": "64x64", "steps": 1}'
    head = (
        f"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", fake.port)) as raw, raw.makefile("rb") as answer:
        raw.settimeout(20)
        for _ in range(2):  # the connection stays as it was
            raw.sendall(head if apart else head + body)
            if apart:
                time.sleep(0.05)
                raw.sendall(body)
            assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
            fields = dict(line.lower().split(b": ", 1) for line in iter(answer.readline, b"\r\n"))
            assert b"b64_json" in answer.read(int(fields[b"content-length"]))


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/openapi.json"])
def test_head_is_get_without_its_body(fake: Live, path: str) -> None:
    there, whole = fake.http.head(path), fake.http.get(path)
    assert (there.status_code, there.content) == (200, b"")
    assert there.headers["content-type"] == whole.headers["content-type"] and fake.http.get("/health").json()
    assert fake.http.head("/v1/images/generations").status_code == 405


@pytest.mark.parametrize("name", ["gzip", "br", "identity, gzip"])
def test_a_compressed_body_is_refused_by_name(fake: Live, name: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": name}
    answer = fake.http.post("/v1/images/generations", content=b"\x1f\x8b", headers=headers)
    assert answer.status_code == 415 and repr(name) in answer.json()["error"]["message"]


def test_two_servers_cannot_share_a_port() -> None:
    first = bind("127.0.0.1", 0)
    with first, pytest.raises(ConfigError, match="another program listens there"):
        bind("127.0.0.1", first.getsockname()[1])


def test_the_path_of_a_model_is_nobodys_business(settings: Callable[..., ServeSettings], tmp_path: object) -> None:
    with running(settings(model=f"{tmp_path}/secret/my-model"), FakeBackend) as live:
        for path in ("/health", "/v1/models"):
            text = live.http.get(path).text
            assert str(tmp_path) not in text and "my-model" in text


def test_a_client_that_goes_within_its_body_is_no_failure(settings: Callable[..., ServeSettings]) -> None:
    seen: list[int] = []

    def prepare(app: FastAPI, service: Service) -> None:
        service.metrics.turned_away = lambda status, code: seen.append(status)  # type: ignore[method-assign]

    with running(settings(), FakeBackend, prepare=prepare) as live:
        with socket.create_connection(("127.0.0.1", live.port)) as raw:
            raw.sendall(
                b"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 20\r\n\r\n{"
            )
        live.wait(lambda: seen == [499], 5)
