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
WAIT_MS = 600_000
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@contextmanager
def served() -> Iterator[tuple[str, int]]:
    """`inkwash serve nano --ui` in a process and a folder of its own: its address and the number of the process."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "inkwash", "serve", "nano", "--ui", "--port", "0", "--state", folder]
        with open(log, "wb") as file:
            server = subprocess.Popen(command, stderr=file)
        try:
            while "Ready" not in (said := log.read_text()):
                assert server.poll() is None, said
                time.sleep(0.2)
            yield "http://" + said.partition("http://")[2].split()[0], server.pid
        finally:
            server.terminate()
            server.wait(60)


def keep(content: bytes, path: Path) -> None:
    """A small PNG."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    image.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1024} KB")


def draw(tab: Any, kind: str, prompt: str, seed: int, pictures: int = 1) -> None:
    """Fill in the form and press its button."""
    tab.fill(f"#prompt-{kind}", prompt)
    if not tab.is_visible(f"#{kind} .seed"):
        tab.click(f"#{kind} .more-settings summary")
    tab.fill(f"#{kind} .seed", str(seed))
    tab.click(f"#{kind} .more-settings summary")
    for _ in range(pictures - 1):
        tab.click(f"#{kind} .stepper .more")
    tab.click(f"#{kind} .go .draw")


def finished(tab: Any, kind: str) -> None:
    tab.wait_for_selector(f"#{kind} .actions:not([hidden])")
    tab.wait_for_selector(f"#{kind}[aria-busy=false]")
    tab.wait_for_timeout(500)


def create(tab: Any, out: Path) -> None:
    """The first screen, a picture that comes, then four of them."""
    keep(tab.screenshot(), out / "page-start.png")
    draw(tab, "draw", 'A blue poster that says "GARDEN"', 1)
    tab.wait_for_selector("#draw .view img.unfinished")
    keep(tab.screenshot(), out / "page-partial.png")
    finished(tab, "draw")
    draw(tab, "draw", 'A blue poster with a sun that says "SUMMER"', 3, pictures=4)
    tab.wait_for_selector("#draw[aria-busy=true]")
    finished(tab, "draw")
    keep(tab.screenshot(), out / "page-create.png")
    tab.click("#draw .grid-view button >> nth=0")


def edit(tab: Any, out: Path) -> None:
    """Paint a mask over the lower line of the picture and change what is below it."""
    tab.click("#draw [data-act=edit_this]")
    tab.wait_for_selector("#mask")
    box = tab.locator("#mask").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for row in (8, 20, 32):
        tab.mouse.move(x - 100, y + row)
        tab.mouse.down()
        tab.mouse.move(x + 100, y + row, steps=10)
        tab.mouse.up()
    tab.fill("#prompt-edit", 'Change the text "SUMMER" to "WINTER"')
    tab.wait_for_timeout(800)
    keep(tab.screenshot(), out / "page-edit.png")


def history(tab: Any, out: Path) -> None:
    """What was drawn before, with its settings."""
    tab.click("#tab-history")
    tab.wait_for_selector("#shelf img")
    tab.click("#shelf .kept >> nth=0")
    tab.wait_for_timeout(800)
    keep(tab.screenshot(), out / "page-history.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "images")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium")
    assert chromium is not None, "there is no chromium on this machine"
    with served() as (url, _), sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        tab = opened(browser, url, locale="en-US", viewport={"width": 1280, "height": 720})
        create(tab, out)
        edit(tab, out)
        history(tab, out)
        phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "color_scheme": "dark"}
        tab = opened(browser, url, locale="zh-CN", **phone)
        draw(tab, "draw", 'A blue poster that says "GARDEN"', 1)
        finished(tab, "draw")
        keep(tab.screenshot(), out / "page-phone.png")
        browser.close()


def opened(browser: Any, url: str, **options: Any) -> Any:
    tab = browser.new_page(**options)
    tab.set_default_timeout(WAIT_MS)
    tab.goto(f"{url}/ui")
    tab.wait_for_selector("html[data-ready]")
    return tab


if __name__ == "__main__":
    main()
