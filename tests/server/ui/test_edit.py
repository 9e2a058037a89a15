"""Editing on the page, in a browser: the mask's tools, references, soft edges, change after change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from inkwash.media.images import read_metadata
from tests.server.conftest import Live, backend_of
from tests.server.ui.page import BROWSER_MARKS, WAIT_MS, drawn, drop, expecting, picture, says

pytestmark = BROWSER_MARKS


def start_editing(tab: Any, content: bytes) -> Any:
    tab.click("#tab-edit")
    files = [{"name": "red.png", "mimeType": "image/png", "buffer": content}]
    tab.set_input_files("#edit .base-file", files)
    return tab.wait_for_selector("#mask")


def paint(tab: Any, *points: tuple[float, float]) -> None:
    """A stroke through points of the picture, in parts of its sides."""
    box = tab.locator("#mask").bounding_box()
    for number, (x, y) in enumerate(points):
        tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if number == 0:
            tab.mouse.down()
    tab.mouse.up()


def change(tab: Any, words: str) -> None:
    """Change the picture, without reading words."""
    tab.select_option("#edit .verify", "off")
    tab.fill("#prompt-edit", words)
    tab.press("#prompt-edit", "Control+Enter")
    tab.wait_for_selector("#edit[aria-busy=true]")
    drawn(tab, "edit")


def pixels_of(tab: Any, where: str, side: int) -> Image.Image:
    """What a picture of the page shows."""
    values = tab.evaluate(
        """([where, side]) => {
            const image = document.querySelector(where), canvas = document.createElement('canvas');
            canvas.width = canvas.height = side;
            const pen = canvas.getContext('2d');
            pen.drawImage(image, 0, 0, side, side);
            return Array.from(pen.getImageData(0, 0, side, side).data);
        }""",
        [where, side],
    )
    return Image.frombytes("RGBA", (side, side), bytes(values)).convert("RGB")


def mask_of(paged: Live) -> Image.Image | None:
    return backend_of(paged).drawn[-1].mask


def test_edit_inside_what_was_painted_and_change_it_further(tab: Any, paged: Live) -> None:
    start_editing(tab, picture())
    tab.select_option("#edit .verify", "off")
    paint(tab, (0.3, 0.5), (0.7, 0.5))
    tab.fill("#prompt-edit", "Make it blue")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    request, mask = backend_of(paged).drawn[-1], mask_of(paged)
    assert request.images[0].getpixel((5, 5)) == (255, 0, 0) and mask is not None
    assert mask.getpixel((5, 5)) == 0 and mask.getpixel((128, 128)) == 255
    slider = tab.locator("#edit .compare input")
    slider.evaluate("node => { node.value = 70; node.dispatchEvent(new Event('input')); }")
    assert "70" in tab.locator("#edit .compare").get_attribute("style")
    chain = tab.locator("#edit .chain li")
    expecting(chain).to_have_text(["Start", "Make it blue"])
    assert tab.input_value("#prompt-edit") == "", "the next instruction is about the result"
    change(tab, "Now a star")
    second = backend_of(paged).drawn[-1].images[0]
    assert mask_of(paged) is None, "nothing was painted on the second picture"
    assert second.getpixel((5, 5)) == (255, 0, 0), "kept outside of the first mask"
    assert second.getpixel((128, 128)) != (255, 0, 0), "the result of the first change"
    tab.click("#edit [data-act=try_again]")
    tab.wait_for_selector("#edit[aria-busy=true]")
    drawn(tab, "edit")
    expecting(chain).to_have_text(["Start", "Make it blue", "Now a star"])
    again = backend_of(paged).drawn[-1]
    assert again.images[0].tobytes() == second.tobytes() and again.prompt == "Now a star"
    chain.nth(1).locator("button").click()
    tab.wait_for_selector("#mask")
    paint(tab, (0.3, 0.2), (0.7, 0.2))
    change(tab, "Now a moon")
    expecting(chain).to_have_text(["Start", "Make it blue", "Now a moon"])
    masked = mask_of(paged)
    tab.click("#edit [data-act=try_again]")
    tab.wait_for_selector("#edit[aria-busy=true]")
    drawn(tab, "edit")
    assert masked is not None and mask_of(paged).tobytes() == masked.tobytes(), "what was painted is kept"
    tab.click("#edit [data-act=paint_on]")
    tab.wait_for_selector("#mask")
    tab.click("#edit .another")
    tab.wait_for_selector("#edit .dropzone")
    assert tab.locator("#edit .chain li").count() == 0


def test_a_variant_of_an_edit_goes_on(tab: Any, paged: Live) -> None:
    start_editing(tab, picture())
    tab.click("#edit .stepper .more")
    change(tab, "Make it blue")
    tab.click("#edit .grid-view button >> nth=1")
    says(tab, "#edit .actions", f"Seed {backend_of(paged).drawn[-1].seed + 1}")
    tab.click("#edit .stepper .less")
    wanted = pixels_of(tab, "#edit .compare img", 256)
    change(tab, "Now a star")
    assert backend_of(paged).drawn[-1].images[0].tobytes() == wanted.tobytes()


def test_the_empty_screen_offers_pictures(tab: Any) -> None:
    tab.click("#tab-edit")
    tab.locator("#edit .start li button").first.click()
    tab.wait_for_selector("#mask")
    assert tab.evaluate("document.activeElement.id") == "prompt-edit"
    drop(tab, "blue.png", picture("blue"))
    tab.wait_for_selector("#edit .references li")


def test_the_tools_of_the_mask(tab: Any, paged: Live) -> None:
    start_editing(tab, picture())
    tab.select_option("#edit .verify", "off")

    def painted() -> float:
        return float(
            tab.evaluate(
                """() => {
                    const canvas = document.getElementById('mask');
                    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
                    let count = 0;
                    for (let i = 3; i < data.length; i += 4) count += data[i] > 8;
                    return count / (data.length / 4);
                }"""
            )
        )

    paint(tab, (0.2, 0.5), (0.8, 0.5))
    one = painted()
    assert 0.05 < one < 0.2
    tab.click("#edit [data-act=invert]")
    assert painted() == pytest.approx(1 - one, abs=0.01)
    tab.click("#edit [data-act=undo]")
    assert painted() == pytest.approx(one, abs=0.002)
    tab.click("#edit [data-act=grow]")
    stroke = 0.6 * 256 * 40 + 3.1416 * 20**2  # a line of 154 px, 40 wide, with round ends
    grown = 0.6 * 256 * 56 + 3.1416 * 28**2  # 8 px further on every side
    assert painted() / one == pytest.approx(grown / stroke, rel=0.03)
    tab.click("#edit [data-act=undo]")
    assert painted() == pytest.approx(one, abs=0.002)
    tab.click("#edit [data-act=redo]")
    tab.click("#edit [data-act=clear]")
    assert painted() == 0
    tab.focus("#mask")
    for key in ("Enter", "ArrowRight", "ArrowRight", "Enter"):  # without a pointer
        tab.keyboard.press(key)
    assert tab.is_visible("#edit .ring"), "where the keys paint"
    by_keys = painted()
    assert by_keys > 0
    tab.keyboard.press("Control+z")
    assert painted() < by_keys
    tab.click("#edit [data-act=clear]")
    tab.click("#edit [data-mode=eraser]")
    paint(tab, (0.2, 0.5), (0.8, 0.5))
    assert painted() == 0
    tab.click("#edit [data-act=widen]")
    tab.click("#edit .tools [data-side=right]")
    expecting(tab.locator("#mask")).to_have_js_property("width", 384, timeout=WAIT_MS)
    assert painted() == pytest.approx(1 / 3, abs=0.01)
    tab.fill("#prompt-edit", "Go on to the right")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    request, mask = backend_of(paged).drawn[-1], mask_of(paged)
    assert request.images[0].size == (384, 256) and mask is not None and mask.getbbox() == (256, 0, 384, 256)


def test_a_soft_edge_blends_the_result_into_the_picture(tab: Any, paged: Live, tmp_path: Path) -> None:
    start_editing(tab, picture())
    tab.select_option("#edit .verify", "off")
    tab.locator("#edit [data-slide=feather]").fill("40")
    paint(tab, (0.3, 0.5), (0.7, 0.5))
    tab.fill("#prompt-edit", "Make it blue")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    image = pixels_of(tab, "#edit .compare img", 256)
    difference = ImageChops.difference(image, Image.new("RGB", image.size, "red")).convert("L")
    column = [difference.getpixel((128, y)) for y in range(256)]
    most = max(column)
    assert column[5] == 0 and most > 20
    between = [value for value in column if 0.1 * most < value < 0.9 * most]
    assert len(between) >= 8, "the edge is a slope, no step"
    tab.click("#edit [data-act=download]")
    with tab.expect_download() as waited:
        tab.click("#edit [data-format=png]")
    waited.value.save_as(tmp_path / "soft.png")
    assert read_metadata(tmp_path / "soft.png")["prompt"] == "Make it blue", "settings stay in a blended file"


def test_more_pictures_are_references(tab: Any, paged: Live) -> None:
    start_editing(tab, picture())
    tab.select_option("#edit .verify", "off")
    drop(tab, "blue.png", picture("blue"))
    tab.wait_for_selector("#edit .references li")
    tab.fill("#prompt-edit", "Combine them")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    assert [image.getpixel((0, 0)) for image in backend_of(paged).drawn[-1].images] == [(255, 0, 0), (0, 0, 255)]
    tab.click("#edit .references button")
    assert tab.locator("#edit .references li").count() == 0


def test_a_drawn_picture_is_edited_with_one_click(tab: Any, paged: Live) -> None:
    tab.fill("#prompt-draw", "two circles")
    tab.select_option("#draw .verify", "off")
    tab.click("#draw .go .draw")
    drawn(tab)
    tab.click("#draw [data-act=edit_this]")
    tab.wait_for_selector("#edit #mask")
    tab.fill("#prompt-edit", "Make it blue")
    tab.select_option("#edit .verify", "off")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    assert len(backend_of(paged).drawn[-1].images) == 1
    tab.click("#tab-edit")
    tab.click("#edit [data-act=fullscreen]")
    tab.keyboard.press("Escape")
