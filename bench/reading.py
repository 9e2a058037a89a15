"""How fast pictures are read and readings are scored: 200 pictures of 512 px by OCR, metrics of 2,000 cached readings.

    python -m bench.reading [--pictures 200] [--threads 2]

Prints seconds by the clock on the wall and by the processor's clock, which other work does not disturb. The pictures
hold two to five texts, plainly drawn. Targets: 240 s and 2 s on two cores.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections.abc import Callable
from functools import partial

from inkwash.core.device import usable_cores
from inkwash.eval.benchmarks import cvtg2k
from inkwash.eval.benchmarks.parallel import in_parallel
from inkwash.eval.benchmarks.self_check import render_texts
from inkwash.eval.ocr import Reader
from inkwash.eval.readers import PLAIN

WORDS = [
    "grand",
    "opening",
    "summer",
    "sale",
    "fresh",
    "bread",
    "every",
    "morning",
    "open",
    "late",
    "garden",
    "party",
    "night",
    "market",
    "50",
    "percent",
    "off",
]


def texts(rng: random.Random) -> list[str]:
    """Two to five texts of one to three words."""
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, 3))) for _ in range(rng.randint(2, 5))]


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall and of processor."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def reading(pictures: int, threads: int) -> tuple[float, float]:
    """Read rendered pictures."""
    rng, reader = random.Random(0), Reader(PLAIN)
    images = [image for _ in range(pictures) if (image := render_texts(texts(rng))) is not None]
    tasks = [partial(reader.texts, image) for image in images]
    return timed(lambda: in_parallel(tasks, workers=threads, stop=threading.Event()))


def metrics(readings: int) -> tuple[float, float]:
    """Score readings of which about half of the words are wrong."""
    rng = random.Random(1)
    asked = []
    for index in range(readings):
        wanted = texts(rng)
        quoted = ", ".join(f"'{text}'" for text in wanted)
        prompt = cvtg2k.CvtgPrompt(
            subset="CVTG", area=2, index=index, prompt=f"Signs that say {quoted}.", carriers=(), sentences=tuple(wanted)
        )
        asked.append((prompt, [text if rng.random() < 0.5 else text[1:] + "x" for text in wanted]))

    def score() -> None:
        scored = tuple(cvtg2k.score_picture(prompt, read) for prompt, read in asked)
        cvtg2k.official_results(cvtg2k.CvtgReport(pictures=scored, judge="bench"))

    return timed(score)


def main() -> None:
    """Measure both and print them."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pictures", type=int, default=200)
    options.add_argument("--threads", type=int, default=usable_cores())
    given = options.parse_args()
    wall, processor = reading(given.pictures, given.threads)
    each = processor / given.pictures
    print(f"reading {given.pictures} pictures, {given.threads} threads: {wall:.1f} s, {processor:.1f} s of processor")
    print(f"{each:.3f} s of processor a picture: 200 on two idle cores take about {100 * each:.0f} s (target 240)")
    wall, processor = metrics(2000)
    print(f"metrics of 2,000 readings: {wall:.2f} s, {processor:.2f} s of processor (target 2)")


if __name__ == "__main__":
    main()
