"""Endpoints: answers of other servers in pieces, errors in one sentence, and keys in the keyring alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from inkwash.core.errors import Cancelled, ConfigError, RequestError
from inkwash.desk.endpoints import SERVICE, Endpoint, EndpointError, Endpoints, Keyring, Piece, ask

keyring = pytest.importorskip("keyring")
from keyring.backend import KeyringBackend  # noqa: E402
from keyring.backends.fail import Keyring as NoKeyring  # noqa: E402
from keyring.errors import PasswordDeleteError  # noqa: E402

HERE = Endpoint(name="mine", url="http://127.0.0.1:9/v1", model="m")
SECRET = "sk-very-secret-1234"


class Memory(KeyringBackend):  # type: ignore[misc]
    """A keyring of this test."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.kept:
            raise PasswordDeleteError(username)
        del self.kept[service, username]


@pytest.fixture
def memory() -> Iterator[Memory]:
    before, made = keyring.get_keyring(), Memory()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


def test_keys_are_in_the_keyring_and_in_no_file(memory: Memory, tmp_path: Path) -> None:
    endpoints = Endpoints(tmp_path / "endpoints.json", Keyring())
    endpoints.put(HERE, SECRET)
    assert memory.kept == {(SERVICE, "mine"): SECRET} and endpoints.keys.get("mine") == SECRET
    endpoints.put(Endpoint(name="mine", url="http://127.0.0.1:9/v1", model="other"))  # the key stays
    again = Endpoints(tmp_path / "endpoints.json", Keyring())
    assert [one.model for one in again.all()] == ["other"] and again.keys.get("mine") == SECRET
    assert all(SECRET not in file.read_text() for file in tmp_path.iterdir())
    again.remove("mine")
    again.remove("mine")
    assert not memory.kept and again.all() == []
    with pytest.raises(RequestError, match="no endpoint 'mine'"):
        again.find("mine")


def test_without_a_keyring_a_key_is_written_nowhere(tmp_path: Path) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    try:
        endpoints = Endpoints(tmp_path / "endpoints.json", Keyring())
        with pytest.raises(ConfigError, match=r"no keyring that keeps the key \(NoKeyringError\)"):
            endpoints.put(HERE, SECRET)
        assert endpoints.keys.get("mine") is None and endpoints.all() == [] and not list(tmp_path.iterdir())
        endpoints.put(HERE)  # one without a key is fine
    finally:
        keyring.set_keyring(before)


@pytest.mark.parametrize(
    "url", ["host/v1", "ftp://host", "https://me:secret@host/v1", "https://host/v1?key=abc", "", "http://[::1"]
)
def test_addresses_are_checked(url: str) -> None:
    with pytest.raises(ConfigError):
        Endpoint(name="a", url=url, model="m")


def test_the_local_one_is_first_and_stays(memory: Memory, tmp_path: Path) -> None:
    local = Endpoint(name="local", url="http://127.0.0.1:1/v1", model="nano-v", video=True)
    endpoints = Endpoints(tmp_path / "endpoints.json", Keyring(), local)
    endpoints.put(HERE)
    assert endpoints.all() == [local, HERE]
    with pytest.raises(RequestError, match="take another name"):
        endpoints.put(Endpoint(name="local", url="https://elsewhere/v1", model="m"))


def stream(*events: Any, status: int = 200) -> tuple[httpx2.Client, list[httpx2.Request]]:
    """A client whose server sends these events."""
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        if status != 200:
            return httpx2.Response(status, json=events[0])
        lines = [f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in events]
        return httpx2.Response(200, text="".join(lines), headers={"content-type": "text/event-stream"})

    return httpx2.Client(transport=httpx2.MockTransport(answer)), seen


def delta(**fields: str) -> dict[str, Any]:
    return {"choices": [{"delta": fields}]}


def test_thoughts_and_answers_come_in_pieces() -> None:
    client, seen = stream(
        delta(reasoning_content="hm"), delta(content="A "), delta(content="dot"), {"choices": []}, "[DONE]"
    )
    pieces = list(ask(HERE, [{"role": "user", "content": "x"}], SECRET, cancelled=lambda: False, client=client))
    assert pieces == [Piece("thought", "hm"), Piece("answer", "A "), Piece("answer", "dot")]
    assert str(seen[0].url) == "http://127.0.0.1:9/v1/chat/completions"
    assert seen[0].headers["authorization"] == f"Bearer {SECRET}"
    assert json.loads(seen[0].content) == {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}


@pytest.mark.parametrize(
    ("events", "status", "said"),
    [
        (({"error": {"message": "bad key"}},), 401, "mine answered 401: check its key."),
        (({"error": {"message": "Too long."}},), 400, "mine answered 400: Too long."),
        ((["odd"],), 500, "mine answered 500."),
        ((delta(content="a"), {"error": {"message": "overloaded"}}), 200, "mine stopped: overloaded"),
        (("{broken",), 200, "mine sent what is no piece of a chat answer."),
    ],
)
def test_what_goes_wrong_is_one_sentence(events: tuple[Any, ...], status: int, said: str) -> None:
    client, _ = stream(*events, status=status)
    with pytest.raises(EndpointError) as caught:
        list(ask(HERE, [], SECRET, cancelled=lambda: False, client=client))
    assert caught.value.message == said and SECRET not in caught.value.message


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(EndpointError, match=r"mine at http://127.0.0.1:9/v1 does not answer \(ConnectError\)"):
        list(ask(HERE, [], None, cancelled=lambda: False))


def test_it_stops_between_two_pieces() -> None:
    client, _ = stream(*[delta(content=str(number)) for number in range(10)])
    got: list[str] = []
    pieces = ask(HERE, [], None, cancelled=lambda: len(got) >= 3, client=client)
    with pytest.raises(Cancelled):
        got.extend(piece.text for piece in pieces)
    assert got == ["0", "1", "2"]
