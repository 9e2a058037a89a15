"""`inkwash desk --browser` in a real browser, with a display of its own and a server to talk to: its features."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

from tests.server.ui.page import CHROMIUM, WAIT_MS, expecting, says

pytest.importorskip("fastapi")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]
ANSWER = "The **word** is `OPEN`.\n\n```html\n<b>hi</b><script>parent.ran = 1</script>\n```\n"
ANSWER += "<img src=x onerror='window.ran=1'>"


class Chat(ThreadingHTTPServer):
    """An OpenAI chat server that says one thing, slowly if asked to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.bodies: list[dict[str, Any]] = []
        self.pause = 0.0


class Answers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        server.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()
        deltas = [{"reasoning_content": "Reading."}]
        deltas += [{"content": ANSWER[start : start + 9]} for start in range(0, len(ANSWER), 9)]
        for delta in deltas:
            try:
                self.wfile.write(f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n".encode())
            except OSError:  # the assistant stopped listening
                return
            time.sleep(server.pause)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    server = Chat()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def url(xvfb: str, chat: Chat, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The command itself, in a process of its own; it ends by Ctrl-C and leaves nothing behind."""
    folder = tmp_path_factory.mktemp("desk")
    known = [{"name": "scripted", "url": f"http://127.0.0.1:{chat.server_port}/v1", "model": "m", "video": False}]
    (folder / "endpoints.json").write_text(json.dumps(known))
    environment = {
        key: value for key, value in os.environ.items() if key not in ("WAYLAND_DISPLAY", "XDG_SESSION_TYPE")
    }
    command = [sys.executable, "-m", "inkwash", "desk", "--browser", "--no-open", "--model", "none"]
    with subprocess.Popen(
        [*command, "--folder", str(folder)],
        env={**environment, "DISPLAY": xvfb, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        found = None
        while found is None:
            line = process.stderr.readline()
            assert line, "it ended"
            found = re.search(r"Ready: (http://127\.0\.0\.1:\d+/\?token=\S+)", line)
        yield found[1]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (0, 130)


@pytest.fixture(scope="module")
def page(url: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page(locale="en-US", viewport={"width": 1200, "height": 800})
        opened.set_default_timeout(60_000)
        opened.goto(url)
        opened.wait_for_selector("body[data-ready=yes]")
        yield opened
        browser.close()


@pytest.fixture(autouse=True)
def fresh(page: Any, chat: Chat) -> None:
    chat.pause = 0.0
    chat.bodies.clear()
    page.click("#new")


def answered(page: Any) -> None:
    page.wait_for_selector("#stop", state="hidden")
    page.wait_for_selector(".turn.assistant .tools button")
    page.wait_for_selector(".turn.user[data-id]:not([data-id=''])")


def ask(page: Any, text: str) -> None:
    page.fill("#question", text)
    page.press("#question", "Enter")
    answered(page)


def test_an_answer_is_shown_and_nothing_of_it_runs(page: Any, chat: Chat) -> None:
    ask(page, "What is the word?")
    body = page.locator(".turn.assistant .body")
    assert body.locator("b").first.inner_text() == "word" and body.locator("p code").first.inner_text() == "OPEN"
    assert page.locator(".turn.assistant details").inner_text().startswith("Thoughts")
    assert "onerror" in body.inner_text()  # as text
    page.click(".turn.assistant button:has-text('Preview')")
    assert page.frame_locator("iframe").locator("b").inner_text() == "hi"
    assert page.evaluate("window.ran === undefined")


def test_a_shot_a_region_and_a_file_go_with_the_question(page: Any, chat: Chat) -> None:
    page.click("#shot")
    page.wait_for_selector("#waiting figure")
    page.click("#region")
    page.wait_for_selector("#overlay.on")
    box = page.locator("#frozen").bounding_box()
    scale = min(box["width"] / 800, box["height"] / 600)
    left, top = (box["width"] - 800 * scale) / 2, (box["height"] - 600 * scale) / 2
    page.mouse.move(left + 100 * scale, top + 80 * scale)
    page.mouse.down()
    page.mouse.move(left + 300 * scale, top + 200 * scale)
    page.mouse.up()
    page.wait_for_selector("#waiting figure:nth-child(2)")
    size = page.evaluate(
        "async () => { const i = document.querySelector('#waiting figure:nth-child(2) img'); await i.decode();"
        " return [i.naturalWidth, i.naturalHeight] }"
    )
    assert abs(size[0] - 200) <= 1 and abs(size[1] - 120) <= 1
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(buffer, "PNG")
    page.set_input_files("#file", {"name": "red.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    page.wait_for_selector("#waiting figure:nth-child(3)")
    ask(page, "What is this?")
    assert [part["type"] for part in chat.bodies[0]["messages"][0]["content"]] == ["image_url"] * 3 + ["text"]
    assert page.locator(".turn.user img").count() == 3 and page.locator("#waiting figure").count() == 0


def test_a_recording_becomes_a_video_that_is_sent_as_frames(page: Any, chat: Chat) -> None:
    page.click("#record")
    page.wait_for_selector("#pill.on")
    expecting(page.locator("#clock")).to_have_text(re.compile(r"^(0\.[6-9]|[1-9])"), timeout=WAIT_MS)
    page.click("#pause")
    page.wait_for_selector("#pause:has-text('Go on')")
    page.click("#end")
    page.wait_for_selector("#waiting video")
    ask(page, "What happened?")
    kinds = [part["type"] for part in chat.bodies[0]["messages"][0]["content"]]
    assert 1 < len(kinds) <= 17 and set(kinds[:-1]) == {"image_url"}


def test_edit_again_and_stop(page: Any, chat: Chat) -> None:
    ask(page, "First wording")
    page.click(".turn.user button:has-text('Edit')")
    ask(page, "Second wording")
    assert page.locator(".turn.user").count() == 1 and "Second wording" in page.inner_text("#talk")
    page.click(".turn.user button:has-text('Again')")
    answered(page)
    assert [body["messages"][-1]["content"] for body in chat.bodies] == ["First wording", *["Second wording"] * 2]
    chat.pause = 0.3
    page.fill("#question", "Slow one")
    page.press("#question", "Enter")
    expecting(page.locator(".turn.assistant").nth(1)).to_contain_text("word", timeout=WAIT_MS)
    page.click("#stop")
    answered(page)
    assert len(page.locator(".turn.assistant").nth(1).inner_text()) < len(ANSWER)


def test_the_history_is_searched_renamed_and_deleted_with_undo(page: Any) -> None:
    ask(page, "About the zebra crossing")
    page.fill("#search", "zebra")
    expecting(page.locator("#list li")).to_have_count(1, timeout=WAIT_MS)
    page.click("#list li button:has-text('⋯')")
    page.once("dialog", lambda dialog: dialog.accept("Stripes"))
    page.click("#sheet button:has-text('Rename')")
    page.wait_for_selector("#list li button:has-text('Stripes')")
    page.click("#list li button:has-text('⋯')")
    page.click("#sheet button:has-text('Delete')")
    expecting(page.locator("#list li")).to_have_count(0, timeout=WAIT_MS)
    page.click("#said button:has-text('Undo')")
    page.wait_for_selector("#list li button:has-text('Stripes')")
    page.fill("#search", "")


def test_settings_tell_conflicts_and_take_endpoints(page: Any, chat: Chat) -> None:
    page.click("#settings")
    inputs = page.locator("#sheet label input")
    inputs.nth(1).fill("<ctrl>+<shift>+c")
    page.locator("#sheet button:has-text('Save')").first.click()
    says(page, "#said", "stands for both window and shot")
    page.click("#sheet button:has-text('Close')")
    page.click("#settings")
    for place, text in enumerate(("second", f"http://127.0.0.1:{chat.server_port}/v1", "other")):
        inputs.nth(5 + place).fill(text)
    page.locator("#sheet button:has-text('Save')").last.click()
    page.wait_for_selector("#endpoint option[value=second]", state="attached")
    page.select_option("#endpoint", "second")
    ask(page, "Who answers?")
    assert chat.bodies[0]["model"] == "other"
    page.select_option("#endpoint", "scripted")
