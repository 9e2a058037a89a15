"""Helpers of the page's tests: a fake that says of itself what nano does, and what hands and eyes do in a tab."""

from __future__ import annotations

import base64
import io
import shutil
import time
from typing import Any

import pytest
from PIL import Image

from inkwash.engine.defaults import ModelDefaults
from inkwash.engine.verify import Reading
from inkwash.models.glm_image.folder import drawing_defaults
from inkwash.models.registry import bundled_folder
from inkwash.serve.backend import ModelInfo
from inkwash.serve.server import mount_ui
from inkwash.serve.service import Service
from tests.server.conftest import Live
from tests.server.fakes import FakeBackend

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SHOWN = ModelDefaults(side=256, steps=33, guidance=2.5, temperature=0.8, top_p=0.7)
WAIT_MS = 60_000
# Playwright leaves sockets and loops to the garbage collector.
BROWSER_MARKS = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def nano() -> ModelInfo:
    """What the server says about the shipped model."""
    return ModelInfo(
        name="nano",
        natural_size=(256, 256),
        defaults=SHOWN,
        limits=drawing_defaults(bundled_folder("nano")).limits,
        canonical_quotes=True,
        adapters=("ink", "pastel"),
    )


class Fake(FakeBackend):
    """A slow fake that says of itself what nano does."""

    def __init__(self) -> None:
        super().__init__(step_s=0.01)
        self.info = nano()


def give_reader(app: Any, service: Service) -> None:
    """The page, and a reader that reads HALLO in every picture."""
    service.words._open = lambda: lambda image: Reading(lines=("HALLO",))
    mount_ui(app)


def opened(context: Any, live: Live, section: str = "draw") -> Any:
    """The page in a tab that keeps what went wrong in it, for `clean`."""
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(f"error: {error}"))
    page.on("console", lambda said: page.wrong.append(f"console: {said.text}") if said.type != "log" else None)
    page.on("requestfailed", lambda request: page.wrong.append(f"failed: {request.url} {request.failure}"))
    page.goto(f"{live.url}/ui#{section}")
    page.wait_for_selector("html[data-ready]")
    return page


def clean(page: Any) -> None:
    """Nothing went wrong but what the server refused and what was stopped on purpose."""
    expected = ("responded with a status of 4", "ERR_ABORTED", "[DOM]", "willReadFrequently")
    assert [line for line in page.wrong if not any(part in line for part in expected)] == []


def expecting(locator: Any) -> Any:
    """Playwright's assertions, which wait; imported when a browser is there."""
    from playwright.sync_api import expect

    return expect(locator)


def says(tab: Any, where: str, words: str) -> None:
    """Waited for by Playwright itself: `wait_for_function` asks again by `eval`, which the page's policy forbids."""
    expecting(tab.locator(where).first).to_contain_text(words, use_inner_text=True, timeout=WAIT_MS)


def drawn(tab: Any, kind: str = "draw") -> None:
    tab.wait_for_selector(f"#{kind} .actions:not([hidden])")
    tab.wait_for_selector(f"#{kind}[aria-busy=false]")


def picture(color: str = "red", side: int = 256) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), color).save(buffer, "PNG")
    return buffer.getvalue()


def drop(tab: Any, name: str, content: bytes, kind: str = "image/png") -> None:
    """A file dropped onto the page, as a hand would do it."""
    data = tab.evaluate_handle(
        """([name, kind, text]) => {
            const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name, {type: kind}));
            return data;
        }""",
        [name, kind, base64.b64encode(content).decode()],
    )
    tab.dispatch_event("html", "drop", {"dataTransfer": data})


def slowdown() -> float:
    """How many times longer than alone work takes on this machine now; 1 where nothing else runs."""
    began, worked = time.perf_counter(), time.thread_time()
    while (done := time.thread_time() - worked) < 0.1:
        pass
    return max(1.0, (time.perf_counter() - began) / done)
