"""What the server turns away: unknown keys, too many requests, full queues, large bodies; and what it logs of it."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import openai
import pytest

from inkwash.core.errors import ConfigError, RequestError
from inkwash.engine.scheduler import QueueFull
from inkwash.serve import access
from inkwash.serve.auth import identify, read_keys
from inkwash.serve.rates import RateLimited, Rates
from inkwash.serve.settings import MEBI, EnhanceSettings, ServeSettings
from inkwash.serve.waiting import AnswerQueue
from tests.server.conftest import Live, backend_of, running
from tests.server.fakes import FakeBackend
from tests.server.test_edits import SMALL

KEYS = read_keys(None, "ann:secret-of-ann,secret-of-nobody")


def draw(live: Live, key: str | None = None, **fields: Any) -> Any:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return live.http.post("/v1/images/generations", json={"prompt": "a", **fields}, headers=headers)


def test_keys_are_needed_everywhere_but_at_health(settings: Callable[..., ServeSettings]) -> None:
    with running(settings(api_keys=KEYS), FakeBackend) as live:
        assert live.http.get("/health").status_code == 200
        for path in ("/v1/models", "/metrics", "/v1/jobs/x"):
            assert live.http.get(path).status_code == 401
        for wrong in (None, "wrong", "secret-of-an", "secret-of-annn"):
            answer = draw(live, wrong)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error"]["type"] == "authentication_error"
        with pytest.raises(openai.AuthenticationError):
            live.openai.images.generate(prompt="a")
        assert live.openai.with_options(api_key="secret-of-ann").images.generate(prompt="a").data
        assert draw(live, "secret-of-nobody").status_code == 200
        spec = live.http.get("/openapi.json").json()
        assert spec["paths"]["/v1/models"]["get"]["security"]


def test_keys_are_read_from_file_and_environment(tmp_path: Any) -> None:
    file = tmp_path / "keys"
    file.write_text("# clients\nann:secret-of-ann\n\nbob:secret:with:colons\n")
    keys = read_keys(file, "carol:secret-of-carol")
    assert [key.name for key in keys] == ["ann", "bob", "carol"]
    assert identify(keys, "Bearer secret:with:colons") == "bob"
    assert identify(keys, "bearer secret-of-carol") == "carol"
    assert "secret" not in repr(keys)
    with pytest.raises(RequestError):
        identify(keys, "Basic secret-of-carol")
    for content in ("", "ann:short", "ann:long-enough\nann:long-enough-too"):
        file.write_text(content)
        with pytest.raises(ConfigError):
            read_keys(file, "")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "none", "")


def test_the_rate_of_each_key_is_its_own(settings: Callable[..., ServeSettings]) -> None:
    with running(settings(api_keys=KEYS, requests_per_minute=2), FakeBackend) as live:
        assert [draw(live, "secret-of-ann").status_code for _ in range(3)] == [200, 200, 429]
        refused = draw(live, "secret-of-ann")
        assert refused.json()["error"]["type"] == "rate_limit_error" and 1 <= int(refused.headers["retry-after"]) <= 30
        assert draw(live, "secret-of-nobody").status_code == 200
        with pytest.raises(openai.RateLimitError):
            live.openai.with_options(api_key="secret-of-ann").images.generate(prompt="a")


def test_a_token_bucket_fills_with_time() -> None:
    now = [0.0]
    rates = Rates(60, 1, clock=lambda: now[0])
    for _ in range(60):
        rates.spend("a")
    with pytest.raises(RateLimited) as caught:
        rates.spend("a")
    assert caught.value.retry_after == pytest.approx(1.0)
    now[0] = 1.01
    rates.spend("a")
    leave = rates.enter("a")
    with pytest.raises(RateLimited):
        rates.enter("a")
    leave()
    leave()
    rates.enter("a")()


def test_concurrency_of_one_client_and_a_full_queue(settings: Callable[..., ServeSettings]) -> None:
    backend = FakeBackend(max_queue=1)
    with running(settings(concurrent_requests=3), lambda: backend) as live:
        backend.gate = threading.Event()
        answers: list[Any] = []

        def ask() -> None:
            answers.append(draw(live))

        def started(live: Live, queued: int) -> None:
            thread = threading.Thread(target=ask)
            thread.start()
            threads.append(thread)
            live.wait(lambda: backend.stats().running == 1 and backend.stats().queued == queued)

        threads: list[threading.Thread] = []
        started(live, 0)  # the next would find no place beside one that still waits
        started(live, 1)
        full = draw(live)
        assert full.status_code == 429 and full.json()["error"]["code"] == "queue_full"
        assert full.headers["retry-after"] == "4"  # 3.2 s, rounded up
        stream = draw(live, stream=True)
        assert stream.status_code == 429, "a stream is refused before it begins"
        live.service.rates.concurrent = 2
        both = draw(live)
        assert both.status_code == 429 and both.json()["error"]["code"] == "concurrency_limit_exceeded"
        backend.gate.set()
        for thread in threads:
            thread.join(60)
        assert [each.status_code for each in answers] == [200, 200]
        assert draw(live).status_code == 200, "every place was given back"


def test_the_wait_that_is_told_is_the_wait_that_is_known() -> None:
    now = [0.0]
    rates = Rates(None, 1, clock=lambda: now[0])

    def told() -> float:
        with pytest.raises(RateLimited) as caught:
            rates.enter("a")
        return caught.value.retry_after

    place = rates.enter("a")
    now[0] = 9.0
    assert told() == 9.0, "nothing is known: as long again"
    place.expect(30.0)
    assert told() == 21.0, "by the engine's estimate"
    now[0] = 40.0
    place()
    place()
    rates.enter("a")
    now[0] = 50.0
    assert told() == 30.0, "by what the one before took"


def test_chat_has_the_same_rule_for_its_queue() -> None:
    now = [0.0]
    queue = AnswerQueue(at_once=2, max_waiting=1, clock=lambda: now[0])
    places = [queue.enter() for _ in range(3)]
    now[0] = 8.0
    with pytest.raises(QueueFull) as caught:
        queue.enter()
    assert caught.value.status == 429 and caught.value.retry_after == 8.0 and queue.waiting == 1
    places.pop()()
    queue.enter()
    with pytest.raises(QueueFull) as caught:
        queue.enter()
    assert caught.value.retry_after == 4.0, "8 s each, two at a time"


def test_bodies_are_limited_before_they_are_read(settings: Callable[..., ServeSettings]) -> None:
    limits = settings(max_body_bytes=100_000, max_image_bytes=20_000, max_image_pixels=5000)
    with running(limits, FakeBackend) as live:
        large = draw(live, prompt="x" * 200_000)
        assert large.status_code == 413 and large.json()["error"]["code"] == "request_too_large"
        chunks = iter([b'{"prompt": "', *[b"x" * 10_000] * 20])
        headers = {"Content-Type": "application/json"}
        unsaid = live.http.post("/v1/images/generations", content=chunks, headers=headers)
        assert unsaid.status_code == 413, "without a declared length as well"
        image = live.http.post("/v1/images/edits", data={"prompt": "a"}, files={"image": SMALL + b"\0" * 30_000})
        assert image.status_code == 413 and image.json()["error"]["param"] == "image"
        from PIL import Image

        buffer = io.BytesIO()
        Image.new("RGB", (80, 80)).save(buffer, "PNG")
        pixels = live.http.post("/v1/images/edits", data={"prompt": "a"}, files={"image": buffer.getvalue()})
        assert pixels.status_code == 400 and "80x80" in pixels.json()["error"]["message"]
        assert draw(live).status_code == 200


def test_large_bodies_share_one_budget_and_small_ones_pass(settings: Callable[..., ServeSettings]) -> None:
    large, form = SMALL + b"\0" * (3 * MEBI), "/v1/images/edits"

    def edit(content: bytes = large) -> Any:
        return live.http.post(form, data={"prompt": "a", "size": "64x64"}, files={"image": content})

    def unsaid() -> Any:
        """The same body, without a declared length."""
        sized = live.http.build_request("POST", form, data={"prompt": "a", "size": "64x64"}, files={"image": large})
        kind = {"Content-Type": sized.headers["content-type"]}
        content = sized.read()
        pieces = (content[start : start + 2**16] for start in range(0, len(content), 2**16))
        return live.http.post(form, content=pieces, headers=kind)

    with running(settings(max_bodies_bytes=4 * MEBI), FakeBackend) as live:
        backend = backend_of(live)
        backend.gate = threading.Event()
        answers: list[Any] = []
        first = threading.Thread(target=lambda: answers.append(edit()))
        first.start()
        live.wait(lambda: bool(backend._works))
        for refused in (edit(), unsaid()):
            assert refused.status_code == 503 and refused.json()["error"]["code"] == "bodies_full"
            assert refused.headers["retry-after"] == "5" and "4 MiB" in refused.json()["error"]["message"]
        small = threading.Thread(target=lambda: answers.append(edit(SMALL)))
        small.start()
        live.wait(lambda: len(backend._works) == 2)
        backend.gate.set()
        for each in (first, small):
            each.join(20)
        assert [each.status_code for each in answers] == [200, 200]
        assert (edit().status_code, unsaid().status_code) == (200, 200), "what was held is given back"
        oversized = SMALL + b"\0" * (6 * MEBI)
        assert edit(oversized).status_code == 200, "one alone is held to its own limit only"


@pytest.mark.parametrize("log_prompts", [False, True])
def test_the_log_holds_no_prompt_unless_asked(settings: Callable[..., ServeSettings], log_prompts: bool) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    access.configure(False)
    access.access_log.addHandler(handler)
    with running(settings(log_prompts=log_prompts), FakeBackend) as live:
        draw(live, prompt="a secret place", user="ann", seed=3)
        draw(live, prompt="a secret place", n=0)
        live.wait(lambda: len(lines) == 2)
    access.access_log.removeHandler(handler)
    first, second = map(json.loads, lines)
    assert (first["status"], first["seed"], first["safety_identifier"]) == (200, 3, "ann")
    assert first["request_id"].startswith("req_") and first["timings"]["total"] == 0.3
    assert (second["status"], second["error"]) == (400, "invalid_value")
    assert ("secret place" in lines[0]) == log_prompts and "secret place" not in lines[1]


def test_metrics_count_what_happened(settings: Callable[..., ServeSettings]) -> None:
    with running(settings(), FakeBackend) as live:
        draw(live, n=2)
        draw(live, n=0)
        draw(live, prompt="out of memory")
        text = live.http.get("/metrics").text
    for line in (
        "inkwash_pictures_total 2.0",
        'inkwash_rejected_total{code="invalid_value"} 1.0',
        'inkwash_failed_total{code="out_of_memory"} 1.0',
        'inkwash_http_requests_total{method="POST",route="/v1/images/generations",status="200"} 1.0',
        "inkwash_ready 1.0",
        "inkwash_engine_queued 0.0",
        "inkwash_reference_cache_bytes 99.0",
    ):
        assert f"{line}\n" in text, line
    assert 'inkwash_stage_seconds_sum{stage="denoise"} 0.2' in text


def test_health_waits_for_a_real_picture_and_says_what_failed(settings: Callable[..., ServeSettings]) -> None:
    gate = threading.Event()

    def slow() -> FakeBackend:
        gate.wait(10)
        return FakeBackend()

    with running(settings(), slow, ready=False) as live:
        health = live.http.get("/health")
        assert health.status_code == 503 and health.json()["status"] == "loading"
        early = draw(live)
        assert early.status_code == 503 and early.headers["retry-after"] and early.json()["error"]["code"] == "loading"
        gate.set()
        live.wait(lambda: live.http.get("/health").status_code == 200)
        said = live.http.get("/health").json()
        assert said["status"] == "ready" and said["self_test"]["different_tokens"] > 1
        assert len(backend_of(live).drawn) == 1

    class Grey(FakeBackend):
        def _draw(self, work: Any) -> Any:
            result = super()._draw(work)
            result.images[:] = [image.point(lambda _: 128) for image in result.images]
            return result

    with running(settings(), Grey, ready=False) as live:
        live.wait(lambda: live.service.state == "failed")
        assert live.http.get("/health").status_code == 503
        assert "self-test picture" in str(live.service.failure)


def test_settings_are_checked() -> None:
    for wrong in ({"port": 70_000}, {"max_queue": 0}, {"deadline_s": 0.0}, {"url_hosts": ("http://a",)}):
        with pytest.raises(ConfigError):
            ServeSettings(**wrong)
    with pytest.raises(ConfigError):
        EnhanceSettings(url="host/v1", model="m")
    assert (
        ServeSettings().loopback and ServeSettings(host="::1").loopback and not ServeSettings(host="0.0.0.0").loopback
    )
    assert ServeSettings().max_image_bytes == 50 * MEBI
