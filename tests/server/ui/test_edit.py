"""Editing on the page, in a browser: the mask's tools, references, soft edges, change after change."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image, ImageChops

from tests.server.conftest import Live, backend_of
from tests.server.ui.page import BROWSER_MARKS, WAIT_MS, drawn, drop, expecting, picture

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


def mask_of(paged: Live) -> Image.Image | None:
    return backend_of(paged).drawn[-1].mask


def test_edit_inside_what_was_painted_and_change_it_further(tab: Any, paged: Live) -> None:
    start_editing(tab, picture())
    tab.uncheck("#edit .verify")
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
    tab.click("#edit [data-act=keep_going]")
    tab.locator("#edit .chain li").nth(1).wait_for()
    assert tab.input_value("#prompt-edit") == ""
    tab.fill("#prompt-edit", "Now a star")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    assert mask_of(paged) is None, "nothing was painted on the second picture"
    assert backend_of(paged).drawn[-1].images[0].getpixel((5, 5)) == (255, 0, 0), "kept outside of the first mask"
    tab.click("#edit .chain button >> nth=0")
    tab.wait_for_selector("#mask")


def test_the_tools_of_the_mask(tab: Any, paged: Live) -> None:
    start_editing(tab, picture())
    tab.uncheck("#edit .verify")

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
    tab.click("#edit [data-act=redo]")
    tab.click("#edit [data-act=clear]")
    assert painted() == 0
    tab.focus("#mask")
    for key in ("Enter", "ArrowRight", "ArrowRight", "Enter"):  # without a pointer
        tab.keyboard.press(key)
    by_keys = painted()
    assert by_keys > 0
    tab.keyboard.press("Control+z")
    assert painted() < by_keys
    tab.click("#edit [data-act=clear]")
    tab.click("#edit [data-mode=eraser]")
    paint(tab, (0.2, 0.5), (0.8, 0.5))
    assert painted() == 0
    tab.click("#edit .tools .menu > button")
    tab.click("#edit .tools [data-side=right]")
    expecting(tab.locator("#mask")).to_have_js_property("width", 384, timeout=WAIT_MS)
    assert painted() == pytest.approx(1 / 3, abs=0.01)
    tab.fill("#prompt-edit", "Go on to the right")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    request, mask = backend_of(paged).drawn[-1], mask_of(paged)
    assert request.images[0].size == (384, 256) and mask is not None and mask.getbbox() == (256, 0, 384, 256)


def test_a_soft_edge_blends_the_result_into_the_picture(tab: Any, paged: Live) -> None:
    start_editing(tab, picture())
    tab.uncheck("#edit .verify")
    tab.locator("#edit [data-slide=feather]").fill("40")
    paint(tab, (0.3, 0.5), (0.7, 0.5))
    tab.fill("#prompt-edit", "Make it blue")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    values = tab.evaluate(
        """() => {
            const image = document.querySelector('#edit .compare img'), canvas = document.createElement('canvas');
            canvas.width = canvas.height = 256;
            const pen = canvas.getContext('2d');
            pen.drawImage(image, 0, 0, 256, 256);
            return Array.from(pen.getImageData(0, 0, 256, 256).data);
        }"""
    )
    image = Image.frombytes("RGBA", (256, 256), bytes(values)).convert("RGB")
    difference = ImageChops.difference(image, Image.new("RGB", image.size, "red")).convert("L")
    column = [difference.getpixel((128, y)) for y in range(256)]
    most = max(column)
    assert column[5] == 0 and most > 20
    between = [value for value in column if 0.1 * most < value < 0.9 * most]
    assert len(between) >= 8, "the edge is a slope, no step"


def test_more_pictures_are_references(tab: Any, paged: Live) -> None:
    start_editing(tab, picture())
    tab.uncheck("#edit .verify")
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
    tab.uncheck("#draw .verify")
    tab.click("#draw .go .draw")
    drawn(tab)
    tab.click("#draw [data-act=edit_this]")
    tab.wait_for_selector("#edit #mask")
    tab.fill("#prompt-edit", "Make it blue")
    tab.uncheck("#edit .verify")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    assert len(backend_of(paged).drawn[-1].images) == 1
    tab.click("#tab-edit")
    tab.click("#edit [data-act=fullscreen]")
    tab.keyboard.press("Escape")
