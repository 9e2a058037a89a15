"""How soon the page can be used, and how soon an example is drawn: Chromium on this machine, a real server with nano.

    python -m bench.page_paint [--loads 5]

Prints for each load in a new browser context the first contentful paint, the largest one, and when every control works;
requests, bytes and failures; then the seconds from a click on an example to the finished picture, with the CPU seconds
of the server and the load of the machine, since other work makes the clock useless. The goal is 1.5 s and 10 s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from bench.page_shots import FLAGS, finished, served
from playwright.sync_api import sync_playwright

_TIMES = """async () => [
    performance.getEntriesByName('first-contentful-paint')[0].startTime,
    await new Promise(done => new PerformanceObserver(list => done(list.getEntries().at(-1).startTime))
        .observe({type: 'largest-contentful-paint', buffered: true})),
    performance.getEntriesByName('inkwash-ready')[0].startTime,
]"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--loads", type=int, default=5)
    loads: int = parser.parse_args().loads
    chromium = shutil.which("chromium")
    assert chromium is not None, "there is no chromium on this machine"
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with served() as (url, pid), sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        measured = [_load(browser, url) for _ in range(loads)]
        for name, values in zip(("first paint", "largest paint", "ready"), zip(*measured, strict=True), strict=True):
            print(f"{name:14} median {statistics.median(values):.2f} s, all {[round(value, 2) for value in values]}")
        _example(browser, url, pid)
        browser.close()


def _load(browser: Any, url: str) -> list[float]:
    """Seconds of the three moments of one load, with an empty cache."""
    page = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 720}).new_page()
    answers: list[Any] = []
    failed: list[str] = []
    page.on("response", lambda answer: answers.append(answer))  # Playwright marks what it is given
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("console", lambda said: failed.append(said.text))
    page.goto(f"{url}/ui")
    page.wait_for_selector("html[data-ready]")
    seconds = [value / 1000 for value in page.evaluate(_TIMES)]
    sizes = sum(int(answer.headers.get("content-length", 0)) for answer in answers)
    wrong = [*failed, *(answer.url for answer in answers if answer.status >= 400)]
    print(f"{len(answers)} requests, {sizes / 1000:.0f} kB, failed or said: {wrong or 'nothing'}")
    page.context.close()
    return seconds


def _example(browser: Any, url: str, pid: int) -> None:
    page = browser.new_page(locale="en-US", viewport={"width": 1280, "height": 720})
    page.set_default_timeout(600_000)
    page.goto(f"{url}/ui")
    page.wait_for_selector("html[data-ready]")
    begun, worked = time.monotonic(), _worked(pid)
    page.click("#draw [data-example] >> nth=0")
    finished(page, "draw")
    seconds = time.monotonic() - begun - 0.5  # that `finished` waits for the screen
    print(f"an example     {seconds:.1f} s by the clock, {_worked(pid) - worked:.1f} CPU seconds of the server")


def _worked(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
