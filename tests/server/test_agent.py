"""Agents over HTTP: one step without any act, and a run that is watched, confirmed and stopped."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image

from inkwash.agent.executors.browser import find_browser
from inkwash.agent.worlds.site import Site
from inkwash.media.reader import InProcess
from inkwash.serve import errors
from inkwash.serve.access import Access
from inkwash.serve.agent import make_agent_router
from inkwash.serve.listen import bind
from inkwash.serve.metrics import Metrics

Reply = Callable[[list[dict[str, Any]]], str]


@contextmanager
def serving(reply: Reply, folder: Path, **more: Any) -> Iterator[httpx2.Client]:
    """A live server around a model that says what `reply` makes of its messages."""

    def pipe(messages: list[dict[str, Any]], **settings: Any) -> Any:
        return SimpleNamespace(text=reply(messages), usage=SimpleNamespace(prompt_tokens=7, completion_tokens=3))

    chat: Any = SimpleNamespace(
        pipe=pipe,
        settings=SimpleNamespace(served_name="GLM-4.5V"),
        check=lambda request: None,
        reader=InProcess(),
        max_url_bytes=2**20,
    )
    app = FastAPI()
    errors.install(app)
    metrics = Metrics(lambda: None, lambda: True)
    app.state.service = SimpleNamespace(metrics=metrics)
    app.add_middleware(Access, metrics=metrics, max_body_bytes=2**24)
    app.include_router(make_agent_router(chat, folder, **more))
    bound = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with httpx2.Client(base_url=f"http://127.0.0.1:{bound.getsockname()[1]}", trust_env=False, timeout=60) as client:
        yield client
    server.should_exit = True
    thread.join(10)


def data_url(size: tuple[int, int] = (1000, 500)) -> str:
    target = io.BytesIO()
    Image.new("RGB", size, "white").save(target, "PNG")
    return f"data:image/png;base64,{base64.b64encode(target.getvalue()).decode()}"


CLICK = "<think>hm</think>\nI press OK.\nleft_click(start_box='[500,250]', element_info='OK')\nMemory:\n[]"


def test_a_step_is_an_act_in_pixels(tmp_path: Path) -> None:
    seen: list[Any] = []

    def reply(messages: list[dict[str, Any]]) -> str:
        seen.append(messages)
        return CLICK

    with serving(reply, tmp_path) as client:
        body = {"task": "Press OK.", "screenshot": data_url(), "history": [{"reply": CLICK, "screenshot": data_url()}]}
        answer = client.post("/v1/agent/steps", json=body).json()
        assert answer["act"]["kind"] == "click" and answer["at"] == [500, 125] and answer["thought"] == "I press OK."
        assert answer["said"].startswith("left_click") and answer["usage"] == {
            "prompt_tokens": 7,
            "completion_tokens": 3,
        }
        kinds = [part["type"] for part in seen[0][0]["content"]]
        assert kinds == ["text", "image_url", "text", "image_url"]
        wrong = [{"task": "", "screenshot": data_url()}, {"task": "x", "screenshot": "http://a/b.png"},
                 {"task": "x", "screenshot": data_url(), "screen": "watch"},
                 {"task": "x", "screenshot": "data:image/png;base64,AAAA"}]  # fmt: skip
        for body in wrong:
            refused = client.post("/v1/agent/steps", json=body)
            assert refused.status_code == 400 and refused.json()["error"]["message"].endswith(".")


def test_what_cannot_be_read_is_no_error(tmp_path: Path) -> None:
    with serving(lambda messages: "I am not sure.", tmp_path) as client:
        answer = client.post("/v1/agent/steps", json={"task": "x", "screenshot": data_url()}).json()
        assert answer["act"] is None and "no action" in answer["unreadable"]


def test_runs_are_off_unless_places_are_named(tmp_path: Path) -> None:
    body = {"task": "x", "url": "http://example.org/"}
    with serving(lambda messages: CLICK, tmp_path) as client:
        refused = client.post("/v1/agent/runs", json=body)
        assert refused.status_code == 403 and "--agent-allow" in refused.json()["error"]["message"]
    with serving(lambda messages: CLICK, tmp_path, allow=("example.org",)) as client:
        refused = client.post("/v1/agent/runs", json={**body, "url": "http://example.org.evil.net/"})
        assert refused.status_code == 403 and refused.json()["error"]["param"] == "url"
        assert client.get("/v1/agent/runs/run_none").status_code == 404


def events(client: httpx2.Client, run: str) -> Iterator[dict[str, Any]]:
    with client.stream("GET", f"/v1/agent/runs/{run}/events") as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


@pytest.mark.slow  # a browser
def test_a_run_is_watched_confirmed_and_stopped(tmp_path: Path) -> None:
    if find_browser() is None:
        pytest.skip("no chromium on this machine")
    html = b"<body style='margin:0'><button style='width:400px;height:300px' onclick=\"fetch('/sent')\">Send</button>"
    site = Site(lambda path: ("text/html", html))
    point = "left_click(start_box='[100,100]')"
    try:
        with serving(lambda messages: point, tmp_path, allow=(site.origin,)) as client:
            body = {"task": "Send it.", "url": f"{site.origin}/", "mode": "ask", "screen": "computer", "steps": 6}
            begun = client.post("/v1/agent/runs", json=body)
            run = begun.json()["id"]
            assert begun.status_code == 201
            assert client.post("/v1/agent/runs", json=body).status_code == 429
            answers, seen = iter([False, True]), []
            for event in events(client, run):
                seen.append(event["type"])
                if event["type"] != "confirm":
                    continue
                assert event["reasons"] == ["The target speaks of 'send'."]
                shown = client.get(f"/v1/agent/runs/{run}/steps/{event['step']}.png")
                assert shown.status_code == 200, "what is asked about can be seen"
                allow = next(answers, None)
                if allow is None:
                    stopped = time.monotonic()
                    client.post(f"/v1/agent/runs/{run}/stop")
                    continue
                path = f"/v1/agent/runs/{run}/confirm"
                assert client.post(path, json={"question": 999, "allow": True}).status_code == 409
                assert client.post(path, json={"question": event["number"], "allow": allow}).status_code == 200
            assert time.monotonic() - stopped < 5
            assert seen == [*["look", "confirm", "step"] * 2, "look", "confirm", "end"]
            found = client.get(f"/v1/agent/runs/{run}").json()
            assert found["status"] == "stopped" and found["steps"] == 2
            picture = client.get(f"/v1/agent/runs/{run}/steps/1.png")
            assert picture.headers["content-type"] == "image/png" and Image.open(io.BytesIO(picture.content)).size == (
                1280,
                720,
            )
            assert client.get(f"/v1/agent/runs/{run}/steps/99.png").status_code == 404
        assert [path for _, path in site.requests if path == "/sent"] == ["/sent"]
    finally:
        site.close()
