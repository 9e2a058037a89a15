"""Tasks handed over to the agent: over MCP inside the allowed places, from the page with a question before each act."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from PIL import Image

from inkwash.agent.executors.browser import find_browser
from inkwash.agent.model import Scripted
from inkwash.cli.hand_over import Deputy
from inkwash.cli.mcp_tools import Toolbox
from inkwash.cli.seeing import SeeingOptions
from inkwash.core.errors import RequestError
from inkwash.engine.open import LoadOptions

pytest.importorskip("mcp")
from mcp import Client

from inkwash.mcp.server import make_server

pytestmark = pytest.mark.slow  # a browser for each run
PRESSED = (0, 128, 0)
HTML = (
    "<body style='margin:0'><button style='width:300px;height:80px' onclick=\"document.body.style.background='green'\">"
)
HTML += "Next page</button></body>"
needs_browser = pytest.mark.skipif(find_browser() is None, reason="no chromium on this machine")


@pytest.fixture
def url(tmp_path: Path) -> str:
    file = tmp_path / "page" / "index.html"
    file.parent.mkdir()
    file.write_text(HTML, encoding="utf-8")
    return file.as_uri()


def presses() -> Scripted:
    """A model that clicks the only element, then answers."""
    return Scripted(["Action: Click [0]", "Action: ANSWER; <content>It is pressed.</content>"])


def toolbox(folder: Path, *allow: str, monkeypatch: pytest.MonkeyPatch) -> Toolbox:
    made = Toolbox(drawing=LoadOptions(model="nano"), seeing=SeeingOptions(), folder=folder, roots=None, allow=allow)
    monkeypatch.setattr(made._seer, "_kept", [None])  # no model is loaded: a script answers
    monkeypatch.setattr(made, "_agent_model", lambda pipe: presses())
    return made


def call(made: Toolbox, **arguments: Any) -> Any:
    async def run() -> Any:
        async with Client(make_server(made.tools())) as client:
            return await client.call_tool("act", arguments)

    return anyio.run(run)


def color(result: Any) -> tuple[int, ...]:
    [content] = [each for each in result.content if each.type == "image"]
    with Image.open(io.BytesIO(base64.b64decode(content.data))) as picture:
        return tuple(picture.convert("RGB").getpixel((picture.width - 5, picture.height - 5)))  # type: ignore[arg-type]


@needs_browser
def test_dry_shows_the_act_and_sends_nothing(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = call(toolbox(tmp_path, monkeypatch=monkeypatch), task="Press the button", url=url)
    assert not result.is_error and result.structured_content["status"] == "dry", result.content[0].text
    assert "Click [0]" in result.structured_content["log"][0] and color(result) == (255, 255, 255)


@needs_browser
def test_auto_acts_where_it_is_allowed_and_nowhere_else(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = call(toolbox(tmp_path, monkeypatch=monkeypatch), task="Press it", url=url, mode="auto")
    assert refused.is_error and refused.content[0].text.startswith("mode is 'auto', but no place is allowed")
    elsewhere = toolbox(tmp_path, "example.org", monkeypatch=monkeypatch)
    outside = call(elsewhere, task="Press it", url=url, mode="auto")
    assert outside.is_error and "is not among the places allowed" in outside.content[0].text
    allowed = toolbox(tmp_path, url.rpartition("/")[0] + "/", monkeypatch=monkeypatch)
    result = call(allowed, task="Press it", url=url, mode="auto")
    assert not result.is_error and result.structured_content["status"] == "answer", result.content[0].text
    assert result.structured_content["answer"] == "It is pressed." and color(result) == PRESSED


def test_wrong_arguments_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = toolbox(tmp_path, monkeypatch=monkeypatch)
    for arguments, said in (
        ({"task": " ", "url": "https://example.org"}, "The task is empty"),
        ({"task": "a", "mode": "ask"}, "mode is 'ask': input should be 'dry' or 'auto'"),
        ({"task": "a", "steps": 0}, "max_steps is 0"),
    ):
        result = call(made, **arguments)
        assert result.is_error and result.content[0].text.startswith(said), result.content[0].text


def follow(deputy: Deputy, asked: dict[str, Any], yes: bool) -> list[dict[str, Any]]:
    """All events; each question is answered."""
    events = []
    for event in deputy.act(asked):
        events.append(event)
        if event["kind"] == "confirm":
            deputy.answer(yes)
    return events


@needs_browser
def test_the_page_is_asked_before_each_act(url: str) -> None:
    deputy = Deputy(lambda endpoint: presses())
    events = follow(deputy, {"task": "Press it", "url": url, "ask": True}, yes=True)
    assert [event["kind"] for event in events] == ["confirm", "step", "step", "end"] and "Click [0]" in events[0][
        "text"
    ]
    assert events[-1]["status"] == "answer" and events[-1]["text"] == "It is pressed."
    events = follow(deputy, {"task": "Press it", "url": url, "ask": True}, yes=False)
    assert "The user said no" in events[1]["text"]
    events = follow(deputy, {"task": "Press it", "url": url}, yes=True)
    assert [event["kind"] for event in events] == ["step", "end"] and events[-1]["status"] == "dry"


@needs_browser
def test_it_is_stopped_and_one_errand_runs_at_a_time(url: str) -> None:
    deputy = Deputy(lambda endpoint: presses())
    events = deputy.act({"task": "Press it", "url": url, "ask": True})
    assert next(events)["kind"] == "confirm"
    with pytest.raises(RequestError, match="at work already"):
        next(deputy.act({"task": "Other", "url": url}))
    threading.Timer(0.2, deputy.stop).start()
    assert list(events)[-1]["status"] == "stopped"
    assert deputy._busy.acquire(blocking=False)


def test_a_model_that_cannot_be_asked_is_one_sentence(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(endpoint: str) -> Any:
        raise RequestError(f"There is no endpoint {endpoint!r}: add it first.")

    events: Iterator[dict[str, Any]] = Deputy(none).act({"task": "a", "url": url, "endpoint": "x"})
    assert list(events) == [{"kind": "failed", "error": "There is no endpoint 'x': add it first."}]
