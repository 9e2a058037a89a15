"""A newcomer's way through the page, with the shipped model: every step by what is on the screen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inkwash.engine.open import LoadOptions
from inkwash.media.images import read_metadata
from inkwash.serve.backend import load_backend
from inkwash.serve.server import mount_ui
from inkwash.serve.settings import ServeSettings
from inkwash.serve.ui.examples import EXAMPLES
from tests.server.conftest import Live, running
from tests.server.ui.page import BROWSER_MARKS, WAIT_MS, drawn, drop, expecting, says
from tests.server.ui.test_edit import paint

pytestmark = [*BROWSER_MARKS, pytest.mark.slow]  # two pictures of the shipped model
WORKED_S = 14.0  # of the process itself, on both cores: under ten seconds by the clock of a quiet machine


@pytest.fixture(scope="module")
def paged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The page in front of nano."""
    settings = ServeSettings(state=tmp_path_factory.mktemp("tour"))
    load = lambda: load_backend(LoadOptions(model="nano", device="cpu"), max_queue=4)  # noqa: E731
    with running(settings, load, prepare=lambda app, _: mount_ui(app)) as live:
        yield live


def test_from_the_first_look_to_a_restored_picture(tab: Any, tmp_path: Path) -> None:
    tab.set_default_timeout(300_000)
    example = next(each for each in EXAMPLES if "OPEN" in each.prompt)
    worked = time.process_time()
    tab.get_by_role("button", name=example.prompt).click()
    drawn(tab)
    assert time.process_time() - worked <= WORKED_S
    assert tab.input_value("#prompt-draw") == example.prompt

    tab.get_by_role("button", name="Edit this").click()
    tab.wait_for_selector("#edit #mask")
    paint(tab, (0.1, 0.2), (0.9, 0.2))
    tab.get_by_role("button", name="Undo").click()
    paint(tab, (0.1, 0.4), (0.9, 0.4), (0.9, 0.6), (0.1, 0.6))
    tab.get_by_label("What shall change?").fill('Change "OPEN" to "SALE"')
    tab.get_by_role("button", name="Change it", exact=True).click()
    drawn(tab, "edit")
    says(tab, "#edit .actions", "Seed")
    assert tab.get_by_label("Before and after").is_visible()
    expecting(tab.locator("#edit .chain li")).to_have_text(["Start", 'Change "OPEN" to "SALE"'])

    tab.locator("#edit").get_by_role("button", name="Download").click()
    with tab.expect_download() as waited:
        tab.locator("#edit").get_by_role("button", name="PNG").click()
    assert waited.value.suggested_filename == "Change-OPEN-to-SALE.png"
    file = tmp_path / waited.value.suggested_filename
    waited.value.save_as(file)
    settings = read_metadata(file)

    tab.reload()
    tab.wait_for_selector("html[data-ready]")
    tab.get_by_role("tab", name="Draw").click()
    drop(tab, file.name, file.read_bytes())
    says(tab, "#toasts", "filled in")
    assert tab.input_value("#prompt-draw") == settings["prompt"] == 'Change "OPEN" to "SALE"'
    assert tab.input_value("#draw .seed") == str(settings["seed"])
    tab.get_by_role("tab", name="History").click()
    expecting(tab.locator("#shelf li")).to_have_count(2, timeout=WAIT_MS)
