"""The page's agent in a real browser: its picture and acts are watched, questions answered, and it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from inkwash.agent.act import Act, Mark
from inkwash.agent.reply import Format, StepReply, write_reply
from inkwash.agent.worlds.site import Site
from inkwash.media.reader import InProcess
from inkwash.serve.agent import make_agent_router
from inkwash.serve.images import client_of
from inkwash.serve.server import mount_ui
from inkwash.serve.settings import ChatSettings, ServeSettings
from tests.server.conftest import Live, running
from tests.server.fakes import FakeBackend
from tests.server.ui.page import BROWSER_MARKS, WAIT_MS, clean, expecting, opened, says

pytestmark = [*BROWSER_MARKS, pytest.mark.slow]  # two browsers: the page's, and the one that the agent works in
FORM = Format(model="4.5V", screen="web")
SHOP = """<!doctype html><meta charset=utf-8><body style="font:32px sans-serif;margin:40px;background:#eef">
<h1>Tea house</h1><button style="font:inherit" onclick="title='open'">Opening hours</button>
<button style="font:inherit" onclick="fetch('/sent')">Send order</button>"""


def click(mark: int, thought: str) -> str:
    return write_reply(StepReply(act=Act(kind="click", target=Mark(number=mark)), thought=thought), FORM)


ANSWER = write_reply(StepReply(act=Act(kind="answer", text="It opens at ten."), thought="I have read it."), FORM)
STORY = [click(0, "I look at the hours."), click(1, "I send the order."), click(1, "I send it again."), ANSWER]


class Script:
    """A model that tells a story; it thinks until `go`."""

    def __init__(self) -> None:
        self.replies: list[str] = []
        self.go = threading.Event()

    def __call__(self, messages: Any, **settings: Any) -> Any:
        assert self.go.wait(60)
        usage = SimpleNamespace(prompt_tokens=7, completion_tokens=3)
        return SimpleNamespace(text=self.replies.pop(0), usage=usage)

    def close(self) -> None:
        """As the server's end asks of a model; without it the end breaks off there."""


@pytest.fixture(scope="module")
def shop() -> Iterator[Site]:
    with Site(lambda path: ("text/html; charset=utf-8", SHOP.encode())) as site:
        yield site


@pytest.fixture(scope="module")
def model() -> Script:
    return Script()


@pytest.fixture(scope="module")
def paged(shop: Site, model: Script, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The page of a server that lets agents act in the shop."""

    def prepare(app: Any, service: Any) -> None:
        settings = ChatSettings(model="nano-v", name="GLM-4.5V", agent_allow=(shop.origin,))
        service.chat = SimpleNamespace(pipe=model, settings=settings, reader=InProcess(), max_url_bytes=2**20)
        folder = service.settings.folder / "agents"
        app.include_router(make_agent_router(service.chat, folder, allow=settings.agent_allow, owner=client_of))
        mount_ui(app)

    with running(ServeSettings(state=tmp_path_factory.mktemp("act")), FakeBackend, prepare=prepare) as live:
        yield live


@pytest.fixture(autouse=True)
def told(model: Script, shop: Site) -> Iterator[None]:
    model.replies, shop.requests[:] = list(STORY), []
    model.go.set()
    yield
    model.go.set()


def begin(page: Any, task: str = "Order tea.") -> None:
    page.click("#tab-act")
    page.fill("#act-task", task)
    page.click("#act-go")


def sent(shop: Site) -> int:
    return sum(path == "/sent" for _, path in shop.requests)


def flaws(page: Any) -> list[Any]:
    """What axe finds."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    return [(each["id"], each["nodes"][0]["html"]) for each in axe.run(page).response["violations"]]


def test_a_run_is_watched_and_its_questions_are_answered_by_keyboard(tab: Any, shop: Site) -> None:
    tab.click("#tab-act")
    assert tab.input_value("#act-url") == f"{shop.origin}/" and shop.origin in tab.inner_text("#act-note")
    assert flaws(tab) == []
    tab.press("#act-task", "Control+Enter")
    says(tab, "#act-status", "Say what shall be done.")
    assert tab.evaluate("document.activeElement.id") == "act-task"
    tab.keyboard.type("Order tea.")
    tab.keyboard.press("Control+Enter")
    says(tab, "#act-asks", "The target speaks of 'send'")
    expecting(tab.locator("#act-picture")).to_be_visible()
    assert tab.locator("#act-picture").evaluate("image => [image.naturalWidth, image.naturalHeight]") == [1280, 720]
    assert tab.is_visible("#act-stop") and tab.is_hidden("#act-go") and sent(shop) == 0
    assert flaws(tab) == []
    for _ in range(12):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.id") == "act-yes":
            break
    tab.keyboard.press("Enter")
    expecting(tab.locator("#act-steps li")).to_have_count(2)
    says(tab, "#act-asks", "Click [1]")
    assert sent(shop) == 1
    tab.click("#act-no")
    says(tab, "#act-status", "It opens at ten.")
    says(tab, "#act-status", "Answer")
    expecting(tab.locator("#act-go")).to_be_visible(timeout=WAIT_MS)  # once its browser is closed
    assert sent(shop) == 1 and tab.is_hidden("#act-question") and tab.is_hidden("#act-stop")
    lines = tab.locator("#act-steps li").all_inner_texts()
    assert len(lines) == 4 and "I look at the hours." in lines[0] and "The user said no." in lines[2]
    before = tab.get_attribute("#act-picture", "src")
    tab.click("#act-steps button >> nth=0")
    expecting(tab.locator("#act-picture")).not_to_have_attribute("src", before)


def test_a_page_that_is_loaded_again_still_stops_its_run(tab: Any, model: Script, shop: Site) -> None:
    model.go.clear()
    begin(tab)
    says(tab, "#act-status", "looking and thinking")
    tab.reload()
    tab.wait_for_selector("html[data-ready]")
    tab.click("#tab-act")
    says(tab, "#act-status", "looking and thinking")
    assert tab.input_value("#act-task") == "Order tea."
    tab.click("#act-stop")
    says(tab, "#act-status", "Stopped")
    expecting(tab.locator("#act-go")).to_be_visible(timeout=WAIT_MS)
    assert sent(shop) == 0


def test_dry_shows_the_first_act_and_places_are_kept(tab: Any, shop: Site) -> None:
    tab.click("#tab-act")
    tab.fill("#act-url", "https://elsewhere.example/")
    tab.check("input[value=dry]")
    begin(tab)
    says(tab, "#act-status", "not among the places")
    tab.fill("#act-url", f"{shop.origin}/")
    tab.click("#act-go")
    says(tab, "#act-status", "Shown only")
    expecting(tab.locator("#act-go")).to_be_visible(timeout=WAIT_MS)
    assert tab.locator("#act-steps li").count() == 1 and sent(shop) == 0


def test_a_phone_in_chinese_and_dark_with_a_question_open(browser: Any, paged: Live) -> None:
    context = browser.new_context(
        locale="zh-CN", viewport={"width": 390, "height": 780}, color_scheme="dark", has_touch=True, is_mobile=True
    )
    page = opened(context, paged, "act")
    assert page.inner_text("#tab-act") == "操作" and page.is_visible("#act")
    begin(page)
    says(page, "#act-asks", "要执行吗")
    expecting(page.locator("#act-picture")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for where in ("#act-yes", "#act-no", "#act-stop"):
        box = page.locator(where).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["height"] >= 36, where
    assert flaws(page) == []
    page.tap("#act-stop")
    says(page, "#act-status", "已停止")
    expecting(page.locator("#act-go")).to_be_visible(timeout=WAIT_MS)
    clean(page)
    context.close()
