"""`inkwash act` on the command line: what is refused in one sentence, one step on a picture, and the bundled page."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.agent.executors.browser import find_browser
from inkwash.cli.app import run


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKWASH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A server of chat completions that always clicks in the middle."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert body["temperature"] == 0.001 and body["skip_special_tokens"] is False
            said = "I press it.\nleft_click(start_box='[500,500]')\nMemory:\n[]"
            message = {"role": "assistant", "content": said, "reasoning_content": "hm"}
            answer = json.dumps(
                {"choices": [{"message": message}], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}
            )
            self.send_response(200 if body["model"] == "GLM-4.5V" else 404)
            self.end_headers()
            self.wfile.write(answer.encode() if body["model"] == "GLM-4.5V" else b"no such\nmodel")

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["x"], "needs --url"),
        (["x", "--on", "moon"], "web, screen, phone"),
        (["x", "--url", "demo", "--mode", "fast"], "dry, ask, auto"),
        (["x", "--url", "https://a.example", "--model", "expert"], "--url demo"),
        (["x", "--url", "demo", "--screen", "watch"], "phone, computer, web"),
        ([" ", "--url", "demo"], "empty"),
        (["two", "words"], "quotation marks"),
        (["replay"], "needs the folder"),
        (["replay", "nowhere"], "holds no run"),
        (["x", "--url", "demo", "--steps", "0"], "max_steps"),
        (["x", "--url", "demo", "--secrets", "none.json"], "cannot be read"),
        (["x", "--url", "demo", "--model", "no-such-model"], "no-such-model"),
        (["x", "--url", "demo", "--endpoint", "host/v1", "--model", "GLM-4.5V"], "no address"),
    ],
)
def test_refusals_are_one_sentence(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["act", *arguments]) in (1, 2)
    said = capsys.readouterr().err
    assert why in said and said.count("\n") == 1 and said.startswith("inkwash: ")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays of Linux")
def test_without_display_phone_or_library(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shared = ["--endpoint", "http://127.0.0.1:1/v1", "--model", "GLM-4.5V", "--allow", "x"]
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_SESSION_TYPE"):
        monkeypatch.delenv(name, raising=False)
    assert run(["act", "x", "--on", "screen", *shared]) == 1
    assert "no display" in capsys.readouterr().err
    for module, where in (("adbutils", ["--on", "phone"]), ("playwright.sync_api", ["--url", "https://a.example"])):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            assert run(["act", "x", *where, *shared]) == 2
            said = capsys.readouterr().err
            assert "inkwash[agent]" in said and said.count("\n") == 1


def test_without_a_chromium(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("playwright")
    monkeypatch.setattr("inkwash.agent.executors.browser.find_browser", lambda: str(tmp_path / "none"))
    assert run(["act", "x", "--url", "demo", "--model", "expert"]) == 1
    assert "no Chromium here" in capsys.readouterr().err


def test_one_step_on_a_picture(endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shot = tmp_path / "shot.png"
    Image.new("RGB", (400, 200), "white").save(shot)
    shared = ["--image", str(shot), "--screen", "computer", "--endpoint", endpoint]
    record = tmp_path / "run"
    assert run(["act", "Press it", *shared, "--model", "GLM-4.5V", "--record", str(record), "--json"]) == 0
    step, end = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert step["at"] == [200, 100] and step["tokens"] == [9, 4] and step["result"] == "not carried out"
    assert end["status"] == "dry" and (record / "replay.html").exists()
    assert run(["act", "replay", str(record)]) == 0
    assert "left_click" in capsys.readouterr().out
    assert run(["act", "replay", str(record), "--endpoint", endpoint, "--model", "GLM-4.5V"]) == 1
    assert "1. left_click" in (said := capsys.readouterr().out) and "Not carried out" in said  # no place was allowed
    assert run(["act", "Press it", *shared, "--model", "GLM-4.5V", "--record", str(record)]) == 1
    assert "not empty" in capsys.readouterr().err
    assert run(["act", "Press it", *shared, "--model", "other"]) == 1
    assert "answered 404: no such model" in capsys.readouterr().out


def test_stop_says_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["act", "stop"]) == 0
    assert capsys.readouterr().out == "inkwash: stopped 0 agents.\n"


@pytest.mark.slow  # a browser
def test_the_bundled_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if find_browser() is None:
        pytest.skip("no chromium on this machine")
    record = tmp_path / "run"
    assert (
        run(["act", "Fill it in", "--url", "demo", "--model", "expert", "--mode", "auto", "--record", str(record)]) == 0
    )
    said = capsys.readouterr().out
    assert "6. DONE()" in said and "replay.html" in said
    assert run(["act", "Fill it in", "--url", "demo", "--model", "expert"]) == 0
    assert "--mode ask or auto" in capsys.readouterr().out
