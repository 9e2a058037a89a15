"""One browser and one server for each file of the page's tests, and a tab for each test."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from inkwash.serve.settings import ServeSettings
from tests.server.conftest import Live, running
from tests.server.ui.page import CHROMIUM, FLAGS, Fake, clean, give_reader, opened


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    """Collect here what the browser and tests before it leave: its warnings, told while a later test parses Python,
    break that.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # loops and sockets of a browser that has gone
        gc.collect()


@pytest.fixture(scope="module")
def paged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A slow fake behind the page."""
    settings = ServeSettings(state=tmp_path_factory.mktemp("page"))
    with running(settings, Fake, prepare=give_reader) as live:
        yield live


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        made = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def tab(browser: Any, paged: Live) -> Iterator[Any]:
    """A tab of its own, with an empty history; the console must stay clean."""
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 720}, accept_downloads=True)
    page = opened(context, paged)
    yield page
    clean(page)
    context.close()
