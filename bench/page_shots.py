"""The page in headless Chromium on a real server with nano: what docs/serving.md shows.

    python -m bench.page_shots [--out docs/images]

Draws with partial pictures, four variants, an edit inside a painted mask, the history, and the page on a phone, in
Chinese. Each picture is a PNG of at most 255 colours.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

COLORS = 255
WAIT_MS = 120_000
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@contextmanager
def served() -> Iterator[str]:
    """`inkwash serve nano --ui` in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "inkwash", "serve", "nano", "--ui", "--port", "0", "--state", folder]
        with open(log, "wb") as file:
            server = subprocess.Popen(command, stderr=file)
        try:
            while "Ready" not in (said := log.read_text()):
                assert server.poll() is None, said
                time.sleep(0.2)
            yield "http://" + said.partition("http://")[2].split()[0]
        finally:
            server.terminate()
            server.wait(60)


def keep(content: bytes, path: Path) -> None:
    """A small PNG."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    image.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1024} KB")


def says(tab: Any, where: str, words: str) -> None:
    """Wait until a part of the page says something."""
    tab.wait_for_function(f"document.querySelector('{where}').innerText.includes('{words}')")


def create(tab: Any, out: Path) -> None:
    """Watch a picture come, then four of them."""
    tab.fill("#iw-create-prompt textarea", 'A blue poster that says "GARDEN"')
    tab.click("#iw-create-draw")
    tab.wait_for_selector("#iw-create-gallery img")  # a partial picture
    keep(tab.screenshot(), out / "page-partial.png")
    says(tab, "#iw-create-status", "drawn in")
    tab.fill("#iw-create-prompt textarea", 'A poster that says "OPEN" and "SALE"')
    tab.locator("input[type=number]").nth(0).fill("4")
    tab.get_by_label("Seed", exact=True).first.fill("3")
    tab.get_by_label("Keep this seed").first.check()
    tab.click("#iw-create-draw")
    says(tab, "#iw-create-status", "Drawing")
    says(tab, "#iw-create-status", "drawn in")
    tab.wait_for_timeout(1000)
    keep(tab.screenshot(), out / "page-create.png")


def edit(tab: Any, out: Path) -> None:
    """Paint a mask over the first picture and change what is below it."""
    tab.click("#iw-edit-this")
    tab.wait_for_selector("#iw-editor canvas")
    tab.wait_for_timeout(4000)  # the editor's canvas is made in the background and tells nobody
    tab.evaluate("window.scrollTo(0, 0)")
    tab.wait_for_timeout(500)
    box = tab.locator("#iw-editor canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for row in (2, 11, 20):  # the lower line and nothing of the upper one
        tab.mouse.move(x - 100, y + row)
        tab.mouse.down()
        for step in range(11):
            tab.mouse.move(x - 100 + 20 * step, y + row)
        tab.mouse.up()
    tab.wait_for_timeout(1500)
    tab.fill("#iw-edit-prompt textarea", 'Change the text "SALE" to "GOOD"')
    tab.get_by_label("Seed", exact=True).last.fill("5")
    tab.get_by_label("Keep this seed").last.check()
    tab.click("#iw-edit-draw")
    says(tab, "#iw-edit-status", "drawn in")
    tab.evaluate("window.scrollTo(0, 0)")
    tab.wait_for_timeout(1000)
    keep(tab.screenshot(), out / "page-edit.png")


def history(tab: Any, out: Path) -> None:
    """What was drawn before, with its settings."""
    tab.click("button[role=tab]:has-text('History')")
    tab.click("#iw-history img >> nth=0")
    says(tab, "#iw-details", "Guidance")
    tab.wait_for_timeout(1500)
    keep(tab.screenshot(), out / "page-history.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "images")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium")
    assert chromium is not None, "there is no chromium on this machine"
    with served() as url, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        tab = browser.new_page(locale="en-US", viewport={"width": 1180, "height": 860})
        tab.set_default_timeout(WAIT_MS)
        tab.goto(f"{url}/ui/")
        tab.wait_for_selector("#iw-create-prompt textarea")
        create(tab, out)
        edit(tab, out)
        history(tab, out)
        phone = browser.new_page(locale="zh-CN", viewport={"width": 390, "height": 844}, is_mobile=True)
        phone.set_default_timeout(WAIT_MS)
        phone.goto(f"{url}/ui/")
        phone.fill("#iw-create-prompt textarea", 'A blue poster that says "GARDEN"')
        phone.click("#iw-create-draw")
        phone.wait_for_selector("#iw-create-gallery img")
        phone.wait_for_timeout(15_000)
        keep(phone.screenshot(full_page=True), out / "page-phone.png")
        width = phone.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"the page is {width} pixels wide on a phone of 390"
        browser.close()


if __name__ == "__main__":
    main()
