"""The chat tab in a real browser: a dropped file, thoughts folded, boxes drawn, HTML shown and not run, stop."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.engine.see.together import Together
from inkwash.serve.server import mount_chat, mount_ui
from inkwash.serve.settings import ChatSettings, ServeSettings
from inkwash.serve.ui import talk_words
from inkwash.serve.ui.words import EN
from tests.server import test_ui
from tests.server.conftest import Live, running
from tests.server.fakes import FakeBackend
from tests.server.test_ui import _says as says

pytestmark = test_ui.pytestmark
nothing_left = test_ui.nothing_left

BOX = "\n<think>left of the middle</think>\nHere: <|begin_of_box|>[[250, 250, 500, 750]]<|end_of_box|>"
PAGE = "\n<think></think>\nA page:\n<html>\n<body><img src=x onerror='window.ran=1'></body>\n</html>\nDone."


def test_both_languages_say_everything() -> None:
    assert talk_words.EN.keys() == talk_words.ZH.keys() and not talk_words.EN.keys() & EN.keys()
    for key, sentence in talk_words.EN.items():
        slots = {part.split("}")[0] for part in sentence.split("{")[1:]}
        assert slots == {part.split("}")[0] for part in talk_words.ZH[key].split("{")[1:]}, key


@pytest.fixture(scope="module")
def paged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The page with the shipped model behind its chat tab."""

    def prepare(app: Any, service: Any) -> None:
        mount_chat(app, service, ChatSettings(model="nano-v"))
        mount_ui(app, service)

    settings = ServeSettings(state=tmp_path_factory.mktemp("page"))
    with running(settings, FakeBackend, prepare=prepare) as live:
        yield live


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is said, how fast, and the conversations that were read."""
    told: dict[str, Any] = {"text": BOX, "pause": 0.0, "prompts": [], "stopped": 0}

    def generate(self: Together, run: Any, sampling: Any, budget: Any, generator: Any, cancel: Any) -> Iterator[str]:
        told["prompts"].append(run.prompt.text)
        text, run.finish = told["text"], "stop"
        for start in range(0, len(text), 4):
            if cancel.cancelled:
                run.finish = "cancelled"
                told["stopped"] += 1
                return
            time.sleep(told["pause"])
            run.text += text[start : start + 4]
            run.ids.append(1)
            yield text[start : start + 4]

    monkeypatch.setattr(Together, "generate", generate)
    return told


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if test_ui.CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        made = play.chromium.launch(executable_path=test_ui.CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


def open_tab(browser: Any, live: Live, locale: str, label: str) -> Any:
    page = browser.new_page(locale=locale, viewport={"width": 1280, "height": 950})
    page.set_default_timeout(60_000)
    page.goto(f"{live.url}/ui/")
    page.click(f"button[role=tab]:has-text('{label}')")
    page.wait_for_selector("#iw-chat-question textarea")
    return page


@pytest.fixture(scope="module")
def opened(browser: Any, paged: Live) -> Any:
    return open_tab(browser, paged, "en-US", "Chat")


@pytest.fixture
def tab(opened: Any) -> Any:
    """The tab with a new conversation."""
    opened.click("#iw-chat-clear")
    opened.wait_for_function("document.querySelector('#iw-chat-question textarea').value == ''")
    says(opened, "#iw-chat", "Drop pictures")
    return opened


def ask(tab: Any, question: str) -> None:
    tab.fill("#iw-chat-question textarea", question)
    tab.press("#iw-chat-question textarea", "Enter")


def drop(tab: Any, name: str, content: bytes, kind: str = "image/png") -> None:
    """A file dropped onto the box, as a hand would do it."""
    data = tab.evaluate_handle(
        """([name, kind, text]) => {
            const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name, {type: kind}));
            return data;
        }""",
        [name, kind, base64.b64encode(content).decode()],
    )
    for event in ("dragenter", "dragover", "drop"):
        tab.dispatch_event("#iw-chat-question textarea", event, {"dataTransfer": data})
    tab.wait_for_selector("#iw-chat-question .thumbnail-item, #iw-chat-question .thumbnail-image")
    tab.wait_for_function("!document.querySelector('#iw-chat-question').innerText.includes('%')")


def red() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (256, 256), "red").save(buffer, "PNG")
    return buffer.getvalue()


def test_a_dropped_picture_is_asked_about_and_marked(tab: Any, script: dict[str, Any]) -> None:
    script["pause"] = 0.05
    drop(tab, "red.png", red())
    ask(tab, "Where is it?")
    says(tab, "#iw-chat", "left of")  # thoughts are open while they come
    says(tab, "#iw-chat-status", "written in")
    assert script["prompts"][0].count("<|begin_of_image|>") == 1
    says(tab, "#iw-chat", "Here: [[250, 250, 500, 750]]")
    assert "<think>" not in tab.inner_text("#iw-chat") and "begin_of_box" not in tab.inner_text("#iw-chat")
    tab.wait_for_function("!document.querySelector('#iw-chat').innerText.includes('left of the middle')")  # folded
    tab.click("#iw-chat :text('Thoughts')")
    says(tab, "#iw-chat", "left of the middle")
    marked = tab.wait_for_selector("#iw-chat .bot img")
    tab.wait_for_function("document.querySelector('#iw-chat .bot img').naturalWidth == 256")
    pixels = marked.evaluate(
        """image => {
            const canvas = document.createElement('canvas');
            canvas.width = canvas.height = 256;
            const pen = canvas.getContext('2d');
            pen.drawImage(image, 0, 0);
            return [[64, 128], [100, 128], [10, 10]].map(([x, y]) => Array.from(pen.getImageData(x, y, 1, 1).data));
        }"""
    )
    assert pixels[1][:3] == pixels[2][:3] == [255, 0, 0] and pixels[0][:3] != [255, 0, 0]
    script["text"], script["pause"] = PAGE, 0.0
    ask(tab, "Write a page.")
    says(tab, "#iw-chat", "Done.")
    assert tab.locator("#iw-chat code").count() > 0 and tab.evaluate("window.ran") is None
    assert "<think>" in script["prompts"][1] and "left of the middle" not in script["prompts"][1]
    assert script["prompts"][1].count("<|begin_of_image|>") == 1  # still in the conversation
    tab.click("#iw-chat-clear")
    tab.wait_for_function("!document.querySelector('#iw-chat').innerText.includes('Done.')")
    ask(tab, "Anything?")
    says(tab, "#iw-chat", "Done.")
    assert "<|begin_of_image|>" not in script["prompts"][2]


def test_stop_ends_the_answer_and_keeps_what_was_said(tab: Any, script: dict[str, Any]) -> None:
    script["text"], script["pause"] = "\n<think></think>\n" + "word " * 400, 0.1
    ask(tab, "Talk.")
    says(tab, "#iw-chat", "word word")
    tab.click("#iw-chat-stop")
    says(tab, "#iw-chat-status", "Stopped.")
    assert script["stopped"] == 1 and "word word" in tab.inner_text("#iw-chat")


def test_a_turn_that_fails_leaves_the_question(tab: Any, paged: Live, script: dict[str, Any], tmp_path: Path) -> None:
    ask(tab, "  ")
    says(tab, "#iw-chat-status", "Write a question.")
    drop(tab, "broken.png", red()[:60])
    ask(tab, "What is this?")
    says(tab, "#iw-chat-status", "picture")
    assert not script["prompts"]
    tab.wait_for_function("document.querySelector('#iw-chat-question textarea').value == 'What is this?'")


def test_the_real_model_answers_in_a_chinese_browser(browser: Any, paged: Live) -> None:
    page = open_tab(browser, paged, "zh-CN", "对话")
    page.wait_for_selector("#iw-chat-stop:has-text('停止')")
    drop(page, "red.png", red())
    ask(page, "What colour is the background?")
    says(page, "#iw-chat-status", "读入")
