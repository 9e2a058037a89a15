"""The conversation of the page in a real browser: a dropped file, thoughts folded, boxes drawn, HTML not run, stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from inkwash.engine.see.batcher import AnswerBatcher
from inkwash.serve.server import mount_chat, mount_ui
from inkwash.serve.settings import ChatSettings, ServeSettings
from tests.server.conftest import Live, running
from tests.server.fakes import FakeBackend
from tests.server.ui.page import BROWSER_MARKS, clean, drop, opened, picture, says

pytestmark = BROWSER_MARKS

BOX = "\n<think>left of the middle</think>\nHere: <|begin_of_box|>[[250, 250, 500, 750]]<|end_of_box|>"
PAGE = "\n<think></think>\nA page:\n<html>\n<body><img src=x onerror='window.ran=1'></body>\n</html>\nDone."


@pytest.fixture(scope="module")
def paged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The page with the shipped model behind its conversation."""

    def prepare(app: Any, service: Any) -> None:
        mount_chat(app, service, ChatSettings(model="nano-v"))
        mount_ui(app)

    settings = ServeSettings(state=tmp_path_factory.mktemp("page"))
    with running(settings, FakeBackend, prepare=prepare) as live:
        yield live


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is said, how fast, and the conversations that were read; thoughts end when `go` is set."""
    go = threading.Event()
    go.set()
    told: dict[str, Any] = {"text": BOX, "pause": 0.0, "prompts": [], "stopped": 0, "go": go}

    def generate(
        self: AnswerBatcher, run: Any, sampling: Any, budget: Any, generator: Any, cancel: Any
    ) -> Iterator[str]:
        told["prompts"].append(run.prompt.text)
        text, run.finish = told["text"], "stop"
        for start in range(0, len(text), 4):
            if cancel.cancelled:
                run.finish = "cancelled"
                told["stopped"] += 1
                return
            time.sleep(told["pause"])
            if "</think>" in run.text + text[start : start + 4]:
                go.wait(60)
            run.text += text[start : start + 4]
            run.ids.append(1)
            yield text[start : start + 4]

    monkeypatch.setattr(AnswerBatcher, "generate", generate)
    return told


@pytest.fixture
def tab(browser: Any, paged: Live) -> Iterator[Any]:
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 720})
    page = opened(context, paged, "chat")
    yield page
    clean(page)
    context.close()


def ask(tab: Any, question: str) -> None:
    tab.fill("#chat-question", question)
    tab.press("#chat-question", "Enter")


def test_a_dropped_picture_is_asked_about_and_marked(tab: Any, script: dict[str, Any]) -> None:
    script["go"].clear()
    drop(tab, "red.png", picture())
    tab.wait_for_selector("#chat-files img")
    ask(tab, "Where is it?")
    tab.wait_for_selector("#turns details[open]")  # thoughts are open while they come
    script["go"].set()
    says(tab, "#chat-status", "written")
    assert script["prompts"][0].count("<|begin_of_image|>") == 1
    says(tab, "#turns", "Here: [[250, 250, 500, 750]]")
    assert "<think>" not in tab.inner_text("#turns") and "begin_of_box" not in tab.inner_text("#turns")
    assert tab.locator("#turns details[open]").count() == 0, "folded when the answer is there"
    tab.click("#turns summary")
    says(tab, "#turns", "left of the middle")
    rect = tab.locator("#turns .boxed rect")
    assert [rect.get_attribute(name) for name in ("x", "y", "width", "height")] == ["250", "250", "250", "500"]
    image, box = tab.locator("#turns .boxed img").bounding_box(), rect.bounding_box()
    assert box["x"] - image["x"] == pytest.approx(image["width"] / 4, abs=4)
    script["text"], script["pause"] = PAGE, 0.0
    ask(tab, "Write a page.")
    says(tab, "#turns", "Done.")
    assert "onerror" in tab.inner_text("#turns") and tab.evaluate("window.ran") is None
    assert script["prompts"][1].count("<|begin_of_image|>") == 1, "still in the conversation"
    assert "left of the middle" not in script["prompts"][1]
    tab.click("#chat-clear")
    tab.wait_for_selector("#chat-empty:not([hidden])")
    ask(tab, "Anything?")
    says(tab, "#turns", "Done.")
    assert "<|begin_of_image|>" not in script["prompts"][2]


def test_pictures_and_answers_go_back_to_the_other_sections(tab: Any, script: dict[str, Any]) -> None:
    script["text"] = "\n<think>short</think>\nA sign that says “OPEN”"
    drop(tab, "red.png", picture())
    tab.wait_for_selector("#chat-files img")
    ask(tab, "What is it?")
    says(tab, "#turns", "OPEN")
    tab.get_by_role("button", name="Draw this answer").click()
    assert tab.input_value("#prompt-draw") == "A sign that says “OPEN”"
    tab.click("#tab-chat")
    tab.get_by_role("button", name="Edit this picture").click()
    tab.wait_for_selector("#edit #mask")
    assert tab.evaluate("document.getElementById('mask').width") == 256


def test_stop_ends_the_answer_and_keeps_what_was_said(tab: Any, script: dict[str, Any]) -> None:
    script["text"], script["pause"] = "\n<think></think>\n" + "word " * 400, 0.05
    ask(tab, "Talk.")
    says(tab, "#turns", "word word")
    tab.click("#chat-stop")
    says(tab, "#chat-status", "Stopped.")
    assert "word word" in tab.inner_text("#turns")
    for _ in range(50):
        if script["stopped"]:
            break
        time.sleep(0.1)
    assert script["stopped"] == 1
    script["text"] = "\n<think></think>\nYes."
    ask(tab, "And now?")
    says(tab, "#turns", "Yes.")
    assert "word word" in script["prompts"][1], "what was said stays in the conversation"


def test_a_turn_that_fails_leaves_the_question_and_its_files(tab: Any, script: dict[str, Any]) -> None:
    drop(tab, "broken.png", picture()[:60])
    ask(tab, "What is this?")
    says(tab, "#toasts", "picture")
    assert not script["prompts"] and tab.input_value("#chat-question") == "What is this?"
    assert tab.locator("#chat-files li").count() == 1 and tab.locator("#turns li").count() == 0


def test_the_real_model_answers_about_what_was_drawn(browser: Any, paged: Live) -> None:
    context = browser.new_context(locale="zh-CN", viewport={"width": 1280, "height": 720})
    page = opened(context, paged)
    page.fill("#prompt-draw", "“OK”")
    page.click("#draw .go .draw")
    page.click("#draw [data-act=ask_this]")
    page.wait_for_selector("#chat-files img")
    assert page.inner_text("#chat-send") == "提问"
    ask(page, "What colour is the background?")
    says(page, "#chat-status", "读取")
    clean(page)
    context.close()
