"""Drawing on the page, in a browser: settings, partial pictures, words read back, history, downloads."""

from __future__ import annotations

import base64
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.engine.defaults import ModelDefaults
from inkwash.media.images import read_metadata
from inkwash.serve.backend import ModelInfo
from inkwash.serve.settings import ServeSettings
from tests.server.conftest import Live, backend_of, running
from tests.server.ui.page import (
    BROWSER_MARKS,
    WAIT_MS,
    Fake,
    clean,
    drawn,
    drop,
    expecting,
    give_reader,
    opened,
    picture,
    says,
)

pytestmark = BROWSER_MARKS


class Other(Fake):
    """A second model, which says little about itself."""

    def __init__(self) -> None:
        super().__init__()
        self.info = ModelInfo(name="other", natural_size=(512, 512), defaults=ModelDefaults(steps=7))


def test_the_first_screen_has_prompt_button_and_examples(tab: Any) -> None:
    assert tab.locator("#draw .examples button").count() == 6
    for where in (
        "#prompt-draw",
        "#draw .go .draw",
        "#draw .examples button >> nth=0",
        "#draw .examples button >> nth=5",
    ):
        box = tab.locator(where).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 720, where
    tab.click("#draw [data-example] >> nth=0")
    drawn(tab)
    image = tab.locator("#draw .view img").bounding_box()
    button = tab.locator("#draw .go .draw").bounding_box()
    assert image["y"] + image["height"] <= 720 and button["y"] + button["height"] <= 720


def test_draw_look_back_and_use_again(tab: Any, paged: Live) -> None:
    tab.fill("#prompt-draw", "A poster that says HELLO")
    says(tab, "#draw .notes", "without quotation marks")
    tab.fill("#prompt-draw", 'A poster that says "HALLO"')
    says(tab, "#draw .notes", "Words to write: “HALLO”")
    tab.press("#prompt-draw", "Control+Enter")
    drawn(tab)
    asked = backend_of(paged).drawn[-1]
    assert asked.prompt == 'A poster that says "HALLO"' and (asked.width, asked.height) == (256, 256)
    assert (asked.temperature, asked.top_p) == (None, None), "what nobody set is the model's own"
    says(tab, "#draw .actions", "All words are right")  # as the reader says, which the box asks for
    says(tab, "#draw .actions", str(asked.seed))
    tab.click("#draw [data-act=again_seed]")
    assert tab.input_value("#draw .seed") == str(asked.seed)
    tab.fill("#prompt-draw", "something else")
    tab.click("#tab-history")
    tab.click("#shelf .kept")
    says(tab, "#lightbox", 'A poster that says "HALLO"')
    tab.click("#lightbox [data-act=use_again]")
    assert tab.input_value("#prompt-draw") == 'A poster that says "HALLO"'
    assert tab.input_value("#draw .seed") == str(asked.seed)
    tab.reload()
    tab.wait_for_selector("html[data-ready]")
    tab.click("#tab-history")
    tab.fill("#search", "no such prompt")
    says(tab, "#history", "kept here")
    tab.fill("#search", "hallo")
    tab.click("#shelf .kept")
    tab.click("#lightbox [data-act=delete]")
    says(tab, "#history", "kept here")


def test_every_setting_reaches_the_model(tab: Any, paged: Live) -> None:
    tab.fill("#prompt-draw", 'says "HALLO"')
    tab.select_option("#draw .verify", "off")
    tab.click("#draw [data-shape=landscape]")
    says(tab, "#draw .aspects", "352 × 256")
    tab.click("#draw .swap")
    says(tab, "#draw .aspects", "256 × 352")
    assert tab.get_attribute("#draw [data-shape=portrait]", "aria-pressed") == "true"
    tab.click("#draw [data-shape=custom]")
    assert [tab.input_value(f"#draw .{name}") for name in ("width", "height")] == ["256", "352"]
    tab.fill("#draw .width", "320")
    tab.fill("#draw .height", "192")
    tab.click("#draw .swap")
    tab.click("#draw .stepper .more")
    tab.click("#draw .more-settings summary")
    for name, value in {"seed": "7", "steps": "5", "guidance": "1.5", "temperature": "0.5", "top-p": "0.6"}.items():
        tab.fill(f"#draw .{name}", value)
    tab.fill("#draw .negative", '"SALE"')
    tab.select_option("#draw .quality", "low")
    tab.select_option("#draw .layout", "same")
    tab.click("#draw .go .draw")
    drawn(tab)
    asked = backend_of(paged).drawn[-1]
    assert (asked.width, asked.height, asked.num_images, asked.layout) == (192, 320, 2, "same")
    assert (asked.seed, asked.num_inference_steps, asked.guidance_scale) == (7, 8, 1.5)  # "low" takes 5 of 8
    assert (asked.temperature, asked.top_p, asked.negative_prompt, asked.quality) == (0.5, 0.6, '"SALE"', "low")
    shown = tab.locator("#draw .grid-view button")
    assert [shown.nth(index).inner_text() for index in range(shown.count())] == ["Seed 7", "Seed 8"]
    shown.nth(1).click()
    says(tab, "#draw .actions", "Seed 8")
    tab.click("#draw [data-act=fullscreen]")
    says(tab, "#fullscreen", "2 / 2")
    tab.keyboard.press("ArrowRight")
    says(tab, "#fullscreen", "1 / 2")
    box = tab.locator("#fullscreen").bounding_box()
    assert box == {"x": 0, "y": 0, **tab.viewport_size}
    tab.click("#fullscreen .close")
    tab.wait_for_selector("#fullscreen", state="hidden")
    tab.get_by_label("All pictures").click()
    assert tab.locator("#draw .grid-view button").count() == 2
    tab.click("#draw .dice")
    assert tab.input_value("#draw .seed") == ""


def test_adapters_are_chosen_and_come_back_with_the_settings(tab: Any, paged: Live) -> None:
    tab.fill("#prompt-draw", 'says "HALLO"')
    tab.select_option("#draw .adapter-add", "pastel")
    tab.get_by_label("How strongly pastel acts").first.fill("0.5")
    tab.select_option("#draw .adapter-add", "ink")
    assert tab.locator("#draw .adapter-add").is_hidden(), "there are no more"
    tab.get_by_label("Remove ink").click()
    tab.click("#draw .go .draw")
    drawn(tab)
    assert backend_of(paged).drawn[-1].adapters == (("pastel", 0.5),)
    tab.get_by_label("Remove pastel").click()
    tab.click("#draw .go .draw")
    tab.wait_for_selector("#draw[aria-busy=true]")
    drawn(tab)
    assert backend_of(paged).drawn[-1].adapters is None
    tab.click("#tab-history")
    tab.click("#shelf li:nth-child(2) .kept")
    says(tab, "#lightbox", "pastel:0.5")
    tab.click("#lightbox [data-act=use_again]")
    tab.wait_for_selector("#draw [data-adapter=pastel]")
    assert tab.get_by_label("How strongly pastel acts").first.input_value() == "0.5"


def test_partial_pictures_are_watched_and_stop_ends_the_drawing(tab: Any, paged: Live) -> None:
    backend = backend_of(paged)
    backend.step_s, before = 0.3, backend.cancelled
    try:
        tab.fill("#prompt-draw", "two circles")
        tab.select_option("#draw .verify", "off")
        tab.click("#draw .go .draw")
        tab.wait_for_selector("#draw .view img.unfinished")
        says(tab, "#draw .progress", "Drawing: step")
        says(tab, "#draw .progress", "s left")
        tab.click("#draw .stop")
        says(tab, "#draw .progress", "Stopped.")
        tab.wait_for_selector("#draw .go .draw:not([disabled])")
        tab.wait_for_timeout(500)
    finally:
        backend.step_s = 0.01
    assert backend.cancelled == before + 1


def test_wrong_words_are_said_and_drawn_again(tab: Any, paged: Live) -> None:
    tab.fill("#prompt-draw", 'says "HELLO"')
    before = len(backend_of(paged).drawn)
    tab.click("#draw .go .draw")
    says(tab, "#draw .progress", "of 4, the last one read HALLO")
    drawn(tab)
    says(tab, "#draw .actions", "Reads “HALLO”, not “HELLO”")
    assert len(backend_of(paged).drawn) == before + 4
    tab.click("#draw [data-act=check]")
    tab.click("#draw [data-check=best]")
    tab.wait_for_selector("#draw[aria-busy=true]")
    drawn(tab)
    assert len(backend_of(paged).drawn) == before + 8


def test_words_are_checked_without_drawing(tab: Any, paged: Live) -> None:
    tab.fill("#prompt-draw", 'says "HALLO"')
    tab.select_option("#draw .verify", "off")
    tab.click("#draw .go .draw")
    drawn(tab)
    assert "right" not in tab.inner_text("#draw .facts")
    before = len(backend_of(paged).drawn)
    tab.click("#draw [data-act=check]")
    tab.click("#draw [data-check=read]")
    says(tab, "#draw .actions", "All words are right")
    assert len(backend_of(paged).drawn) == before
    tab.fill("#prompt-draw", "two circles")
    tab.click("#draw .go .draw")
    tab.wait_for_selector("#draw[aria-busy=true]")
    drawn(tab)
    assert tab.locator("#draw [data-act=check]").count() == 0, "nothing is quoted, so there is nothing to check"


def test_ideas_help_a_prompt(tab: Any) -> None:
    tab.click("#draw [data-ideas=things]")
    tab.fill("#draw .choices input", "owl")
    tab.get_by_role("button", name="owl", exact=True).click()
    assert tab.input_value("#prompt-draw") == "with an owl"
    tab.click("#draw [data-ideas=kinds]")
    tab.get_by_role("button", name="birthday card", exact=True).click()
    tab.click("#draw [data-ideas=grounds]")
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.activeElement.dataset.ideas") == "grounds" and tab.is_hidden("#draw .choices")
    tab.click("#draw [data-ideas=grounds]")
    tab.get_by_role("button", name="light blue", exact=True).click()
    assert tab.input_value("#prompt-draw") == "A birthday card with an owl on a light blue background"


def test_the_place_in_the_queue_and_the_time_are_said(tab: Any, paged: Live) -> None:
    backend = backend_of(paged)
    backend.gate = threading.Event()
    try:
        for _ in range(2):
            paged.http.post("/v1/images/generations?background=true", json={"prompt": "a"})
        tab.fill("#prompt-draw", "two circles")
        tab.click("#draw .go .draw")
        says(tab, "#draw .progress", "before this one, about 1 s")
    finally:
        backend.gate.set()
        backend.gate = None
    drawn(tab)


def test_a_refusal_is_one_sentence_on_the_page(tab: Any) -> None:
    tab.fill("#prompt-draw", 'says "HALLO"')
    tab.click("#draw [data-shape=custom]")
    tab.fill("#draw .width", "5000")
    tab.click("#draw .go .draw")
    says(tab, "#draw .progress", "2048")
    assert tab.is_enabled("#draw .go .draw")


def test_downloads_have_the_prompt_as_their_name_and_restore_the_settings(
    tab: Any, paged: Live, tmp_path: Path
) -> None:
    tab.fill("#prompt-draw", 'A sign: "HALLO"/2')
    tab.click("#draw .more-settings summary")
    tab.fill("#draw .seed", "11")
    tab.fill("#draw .steps", "6")
    tab.click("#draw [data-shape=landscape]")
    tab.click("#draw .go .draw")
    drawn(tab)
    files = {}
    for ending in ("png", "webp", "jpg"):
        tab.click("#draw .actions [data-act=download]")
        with tab.expect_download() as waited:
            tab.click(f"#draw .actions [data-format={ending}]")
        assert waited.value.suggested_filename == f"A-sign-HALLO-2.{ending}"
        files[ending] = tmp_path / waited.value.suggested_filename
        waited.value.save_as(files[ending])
        with Image.open(files[ending]) as image:
            assert image.size == (352, 256) and image.format == {"jpg": "JPEG"}.get(ending, ending.upper())
    assert [read_metadata(files[ending])["seed"] for ending in files] == [11, 11, 11]
    tab.reload()
    tab.wait_for_selector("html[data-ready]")
    tab.click("#draw .more-settings summary")
    tab.select_option("#draw .quality", "low")
    drop(tab, "a.png", files["png"].read_bytes())
    says(tab, "#toasts", "filled in")
    assert tab.input_value("#prompt-draw") == 'A sign: "HALLO"/2'
    assert [tab.input_value(f"#draw .{name}") for name in ("seed", "steps", "quality")] == ["11", "6", "auto"]
    for ending, kind in (("webp", "image/webp"), ("jpg", "image/jpeg")):  # as a canvas made them
        tab.fill("#draw .seed", "1")
        drop(tab, f"a.{ending}", files[ending].read_bytes(), kind)
        expecting(tab.locator("#draw .seed")).to_have_value("11", timeout=WAIT_MS)
    assert tab.get_attribute("#draw [data-shape=landscape]", "aria-pressed") == "true"
    drop(tab, "b.png", picture())
    says(tab, "#toasts", "no settings")
    tab.click("#tab-history")
    with tab.expect_download() as waited:
        tab.click("#download-all")
    waited.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None and archive.namelist() == ["A-sign-HALLO-2.png"]
        assert archive.read("A-sign-HALLO-2.png") == files["png"].read_bytes()
    tab.on("dialog", lambda dialog: dialog.accept())
    tab.click("#forget")
    says(tab, "#history", "kept here")


@pytest.mark.parametrize("ending", ["webp", "jpeg"])
def test_settings_come_back_from_every_format_that_the_api_writes(tab: Any, paged: Live, ending: str) -> None:
    body = {"prompt": 'a "{x}" \\ sign', "size": "256x256", "seed": 3, "output_format": ending}
    answer = paged.http.post("/v1/images/generations", json=body).json()
    drop(tab, f"a.{ending}", base64.b64decode(answer["data"][0]["b64_json"]), f"image/{ending}")
    says(tab, "#toasts", "filled in")
    assert tab.input_value("#prompt-draw") == body["prompt"] and tab.input_value("#draw .seed") == "3"


def test_the_model_that_draws_is_chosen_on_the_page(browser: Any, tmp_path: Path) -> None:
    with running(ServeSettings(state=tmp_path), Fake, also=[Other], prepare=give_reader) as live:
        context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 720})
        page = opened(context, live)
        page.fill("#prompt-draw", "two circles")
        page.get_by_label("Model that draws").select_option("other")
        says(page, "#draw .aspects", "512 × 512")
        assert page.input_value("#prompt-draw") == "two circles" and page.is_hidden("#draw .adapters")
        assert page.get_attribute("#draw .steps", "placeholder") == "7"
        page.click("#draw .go .draw")
        drawn(page)
        page.reload()
        page.wait_for_selector("html[data-ready]")
        assert page.input_value("#model") == "other", "kept for the next visit"
        clean(page)
        context.close()
        second = live.service.backends[1]
        assert isinstance(second, Other) and second.drawn[-1].prompt == "two circles"
