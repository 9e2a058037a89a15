"""The chat route under the rules of the rest: JSON only, one queue, deadlines, and an end that is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import httpx2
import pytest

from inkwash.core.errors import Cancelled
from inkwash.serve.server import mount_chat
from inkwash.serve.settings import ChatSettings, ServeSettings
from tests.server.conftest import Live, running
from tests.server.fakes import FakeBackend

HELLO = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}


class Held:
    """A pipeline that answers when it is let."""

    shared = None  # between devices

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = 0

    def enable_batching(self, *_: object) -> None:
        """Nothing to prepare."""

    def close(self) -> None:
        """Nothing to end."""

    def stream(self, *_: object, cancel: object, **__: object) -> Iterator[object]:
        self.started += 1
        self.gate.wait(60)
        raise Cancelled("The request was cancelled.")
        yield


def serving(settings: ServeSettings, held: Held, monkeypatch: pytest.MonkeyPatch, **how: int) -> object:
    from inkwash.engine.see.pipeline import GlmVisionPipeline

    monkeypatch.setattr(GlmVisionPipeline, "from_pretrained", lambda *_, **__: held)
    chat = ChatSettings(model="eyes", max_num_seqs=1)
    return running(settings, FakeBackend, prepare=lambda app, service: mount_chat(app, service, chat), **how)


def ask(live: Live, **fields: object) -> httpx2.Response:
    return live.http.post("/v1/chat/completions", json={**HELLO, **fields})


def test_only_json_is_read(settings: Callable[..., ServeSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(settings(), Held(), monkeypatch) as live:  # type: ignore[attr-defined]
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            answer = live.http.post("/v1/chat/completions", content=b"{}", headers={"Content-Type": kind})
            assert answer.status_code == 415 and answer.json()["error"]["code"] == "unsupported_media_type"


def test_one_rule_for_both_queues(settings: Callable[..., ServeSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    with serving(settings(max_queue=1), held, monkeypatch) as live:  # type: ignore[attr-defined]
        asking = [threading.Thread(target=ask, args=(live,)) for _ in range(2)]
        for thread in asking:
            thread.start()
        live.wait(lambda: held.started == 2)
        full = ask(live)
        assert full.status_code == 429 and full.json()["error"]["code"] == "queue_full"
        assert int(full.headers["retry-after"]) >= 1
        assert ask(live, stream=True).status_code == 429, "a stream is refused before it begins"
        held.gate.set()
        for thread in asking:
            thread.join(10)
        assert ask(live).status_code == 499, "the places were given back"


@pytest.mark.parametrize("by_client", [False, True])
def test_deadlines(settings: Callable[..., ServeSettings], monkeypatch: pytest.MonkeyPatch, by_client: bool) -> None:
    held = Held()
    limits = settings(deadline_s=60.0 if by_client else 0.2)
    with serving(limits, held, monkeypatch) as live:  # type: ignore[attr-defined]
        fields = {"deadline_s": 0.2} if by_client else {}
        late = ask(live, **fields)
        assert late.status_code == 408 and late.json()["error"]["code"] == "deadline_exceeded"
        streamed = ask(live, stream=True, **fields)
        assert "deadline_exceeded" in streamed.text and streamed.text.endswith("data: [DONE]\n\n")
        held.gate.set()


@pytest.mark.parametrize("stream", [False, True])
def test_the_end_of_the_drain_is_told(
    settings: Callable[..., ServeSettings], monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    held, answers = Held(), list[httpx2.Response]()
    with serving(settings(), held, monkeypatch, drain_s=1) as live:  # type: ignore[attr-defined]
        asking = threading.Thread(target=lambda: answers.append(ask(live, stream=stream)))
        asking.start()
        live.wait(lambda: held.started == 1)
        live.service.drain()
    asking.join(10)
    held.gate.set()
    (answer,) = answers
    assert answer.status_code == (200 if stream else 503) and '"draining"' in answer.text
    assert answer.text.endswith("data: [DONE]\n\n") if stream else int(answer.headers["retry-after"]) >= 1
