"""Pictures of panels with what is said and done on them, from chunks that a browser has drawn.

A chunk is one file of pages of one size: `pixels` (N, H, W, 3) and a JSON of facts, page by page: the widgets with
their boxes, every glyph with its own, and what `tell` makes conversations of. Pages are enlarged as an agent's
screenshots are, so that a cell of 32 pixels holds two letters or so. A batch is a pure function of its step; some
batches are questions about scenes or cards, so that what the model knew stays known.
"""

from __future__ import annotations

import json
import random
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inkwash.core.errors import DataError
from inkwash.data.loader import Batch
from inkwash.data.questions import PLACES, UNKNOWN, Dialogue, DialogueTurn, QuestionBatches
from inkwash.data.scenes import step_rng
from inkwash.media.enlarge import SMALL_AREA, enlarged
from inkwash.scenes.glyph_words import page_words
from inkwash.scenes.world import CELL

WIDGETS = ("button", "field", "checkbox", "radio", "tab", "link")
GLYPHS = string.ascii_letters
HALVES = ("glyph_left", "glyph_right")
LONGEST_WORD = 7  # letters of a word that its cells know
SPELLING = tuple(f"spelling_{number}" for number in range(1, LONGEST_WORD + 1))
AXES = ("row", "column")
LETTERS = HALVES + SPELLING + AXES  # what is known of a page full of words, too
# What a cell knows, 0 being none: the kind of the widget over it, whether it is on, where its edges are, the letter
# whose middle is in each of its halves, the letters, one after another, of the word of which it shows most, and its own
# row and column.
PANEL_LABELS = {
    "widget": 1 + len(WIDGETS),
    "widget_on": 3,
    **{f"widget_{edge}": 1 + PLACES for edge in ("left", "top", "right", "bottom")},
    **dict.fromkeys(HALVES + SPELLING, 1 + len(GLYPHS)),
    **dict.fromkeys(AXES, 1 + PLACES),
}
READING = "reading"  # the folder of pages full of words, beside the chunks of panels
READING_SHARE, KEEPING_SHARE = 0.75, 0.1  # of pages full of words, before anything is said and afterwards
# Share of windows before `act_from`, and of pages full of words among them; the sides of one in cells, and how many are
# taken of a page
WINDOW_SHARE, WORDS_SHARE, WINDOW, WINDOWS = 0.9, 0.6, 8, 2
LARGEST_AREA = 4 * SMALL_AREA  # pixels of a page once it is enlarged
KEPT_CHUNKS = 16  # open at once
_Labels = dict[str, NDArray[np.int64]]


def chunk_path(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.npz"


def write_chunk(path: Path, pixels: Sequence[NDArray[np.uint8]], facts: Sequence[dict[str, Any]]) -> None:
    """Write a chunk whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(file, pixels=np.stack(pixels), facts=np.frombuffer(json.dumps(facts).encode(), np.uint8))
    part.replace(path)


@lru_cache(maxsize=KEPT_CHUNKS)
def read_chunk(path: Path) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """The pictures and the facts of a chunk."""
    try:
        with np.load(path, allow_pickle=False) as found:
            return found["pixels"], json.loads(found["facts"].tobytes())
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"The pages {str(path)!r} cannot be read ({error}): draw them again.") from None


def panel_labels(facts: dict[str, Any], rows: int, columns: int, scale: float = 1.0) -> _Labels:
    """The labels of every cell of one picture, which shows the page `scale` times as large as its boxes say."""
    labels: _Labels = {name: np.zeros((rows, columns), dtype=np.int64) for name in PANEL_LABELS}
    if "widgets" not in facts:  # a page full of words: nothing is told but its letters
        labels |= {
            name: np.full((rows, columns), UNKNOWN, dtype=np.int64) for name in PANEL_LABELS if name not in LETTERS
        }
    for name, places in zip(AXES, np.indices((rows, columns)), strict=True):
        labels[name] = 1 + places.astype(np.int64)
    for widget in facts.get("widgets", ()):
        left, top, right, bottom = (scale * at for at in widget["box"])
        edges = [int(left // CELL), int(top // CELL), int((right - 1) // CELL), int((bottom - 1) // CELL)]
        edges = [min(max(edge, 0), side - 1) for edge, side in zip(edges, (columns, rows) * 2, strict=True)]
        area = (slice(edges[1], edges[3] + 1), slice(edges[0], edges[2] + 1))
        labels["widget"][area] = 1 + WIDGETS.index(widget["kind"])
        labels["widget_on"][area] = 2 if widget["on"] else 1
        for name, edge in zip(("left", "top", "right", "bottom"), edges, strict=True):
            labels[f"widget_{name}"][area] = 1 + edge
    for letter, left, top, right, bottom in facts["glyphs"]:
        x, y = scale * (left + right) / 2, scale * (top + bottom) / 2
        row, column, half = int(y // CELL), int(x // CELL), int(x % CELL >= CELL / 2)
        if letter in GLYPHS and 0 <= row < rows and 0 <= column < columns:
            labels[HALVES[half]][row, column] = 1 + GLYPHS.index(letter)
    for (row, column), words in _words_of_cells(facts["glyphs"], scale).items():
        if 0 <= row < rows and 0 <= column < columns:
            for name, letter in zip(SPELLING, Counter(words).most_common(1)[0][0], strict=False):
                labels[name][row, column] = 1 + GLYPHS.index(letter) if letter in GLYPHS else 0
    return labels


def _words_of_cells(glyphs: Sequence[Sequence[Any]], scale: float) -> dict[tuple[int, int], list[str]]:
    """For every row and column of a cell its words, each as often as the middles of its letters are in it."""
    found: dict[tuple[int, int], list[str]] = {}
    for word, boxes in page_words(glyphs):
        for left, top, right, bottom in boxes:
            place = int(scale * (top + bottom) / 2 // CELL), int(scale * (left + right) / 2 // CELL)
            found.setdefault(place, []).append(word)
    return found


Tell = Callable[[dict[str, Any], random.Random], list[dict[str, str]]]


@dataclass(frozen=True, kw_only=True)
class PanelBatches:
    """Batches for `train.vlm`: from step `talk_from` on they say something, and a share `questions` is `asked`'s.

    At first most are pages full of words, of which there are `reading` chunks beside the `chunks` of panels.
    `tell_words` asks about these, `tell` about panels, and before `act_from` `tell_words` about panels, too, and mostly
    about small windows of both kinds of pages: among few words one is found sooner.
    """

    folder: Path
    chunks: int
    seed: int
    batch: int
    tell: Tell
    tell_words: Tell
    questions: float = 0.25
    talk_from: int = 0
    act_from: int = 0
    reading: int = 0
    asked: Callable[[int], Batch] = field(default_factory=lambda: QuestionBatches(seed=0, batch=1))

    def __call__(self, step: int) -> Batch:
        rng = step_rng(self.seed, step)
        talks = step >= self.talk_from
        if talks and rng.random() < self.questions:
            return self._known(step)
        acts = step >= max(self.talk_from, self.act_from)
        if talks and not acts and rng.random() < WINDOW_SHARE:
            return self._windows(rng)
        reads = self.reading > 0 and rng.random() < (KEEPING_SHARE if talks else READING_SHARE)
        pixels, facts, scale = self._pages(reads, rng)
        size = {"width": round(pixels[0].width / scale), "height": round(pixels[0].height / scale)}
        teachers = [self.tell_words] if reads else [self.tell] if acts else [self.tell, self.tell_words]
        turns = [[turn for tell in teachers if talks for turn in tell(each | size, rng)] for each in facts]
        return _batch(pixels, facts, scale, turns)

    def _pages(self, reads: bool, rng: random.Random) -> tuple[list[Image.Image], list[dict[str, Any]], float]:
        """Some pages of a chunk as they are shown, their facts, and how much they are enlarged."""
        folder, chunks = (self.folder / READING, self.reading) if reads else (self.folder, self.chunks)
        pixels, facts = read_chunk(chunk_path(folder, rng.randrange(chunks)))
        chosen = rng.sample(range(len(facts)), min(self.batch, len(facts)))
        pictures = [enlarged(Image.fromarray(pixels[each])) for each in chosen]
        return pictures, [facts[each] for each in chosen], pictures[0].width / pixels.shape[2]

    def _windows(self, rng: random.Random) -> Batch:
        """Parts of pages around a word, which cost a quarter of a page; nothing is told of widgets."""
        reads = self.reading > 0 and rng.random() < WORDS_SHARE
        pictures, facts, scale = self._pages(reads, rng)
        side = int(WINDOW * CELL / scale)
        parts: list[Image.Image] = []
        seen: list[dict[str, Any]] = []
        turns: list[list[dict[str, str]]] = []
        for picture, fact in zip(pictures * WINDOWS, facts * WINDOWS, strict=True):
            page = (round(picture.width / scale), round(picture.height / scale))
            left, top = _around(rng.choice(fact["glyphs"])[1:], side, page, rng)
            box = (left * scale, top * scale, (left + side) * scale, (top + side) * scale)
            parts.append(picture.crop(tuple(round(at) for at in box)))  # type: ignore[arg-type]
            moved = [[x[0], x[1] - left, x[2] - top, x[3] - left, x[4] - top] for x in fact["glyphs"]]
            whole = [each for word in page_words(moved) if _inside(word[1], side) for each in zip(*word, strict=True)]
            seen.append({"glyphs": moved})
            visible = {"glyphs": [[letter, *at] for letter, at in whole], "width": side, "height": side}
            turns.append(self.tell_words(visible, rng))
        return _batch(parts, seen, scale, turns)

    def _known(self, step: int) -> Batch:
        """What the model knew before; nothing is told of its cells."""
        found = self.asked(step)
        count, cells = len(found["pixels"]), found["kind"].shape[1]
        nothing = {name: np.full((count, cells), UNKNOWN, dtype=np.int64) for name in PANEL_LABELS}
        return {"pixels": found["pixels"], "dialogues": found["dialogues"]} | nothing


def _around(box: Sequence[float], side: int, page: tuple[int, int], rng: random.Random) -> tuple[int, int]:
    """Where a window of `side` begins that shows the middle of a box, mostly, and nothing beyond the page."""
    middles = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    left, top = (
        min(max(0, rng.randint(int(middle) - side, int(middle))), length - side)
        for middle, length in zip(middles, page, strict=True)
    )
    return left, top


def _inside(letters: Sequence[Sequence[float]], side: int) -> bool:
    return all(min(box) >= 0 and max(box) <= side for box in letters)


def _batch(
    pictures: Sequence[Image.Image], facts: Sequence[dict[str, Any]], scale: float, turns: list[list[dict[str, str]]]
) -> Batch:
    """What `train.vlm` trains on, of pictures of one size."""
    rows, columns = pictures[0].height // CELL, pictures[0].width // CELL
    labels = [panel_labels(each, rows, columns, scale) for each in facts]
    return {
        "pixels": np.stack([np.asarray(picture) for picture in pictures]),
        "dialogues": [[_dialogue(turn) for turn in each] for each in turns],
    } | {name: np.stack([one[name].ravel() for one in labels]) for name in PANEL_LABELS}


def _dialogue(turn: dict[str, str]) -> Dialogue:
    kind, question, thought, answer = (turn[name] for name in ("kind", "question", "thought", "answer"))
    last = DialogueTurn(kind=kind, question=question, thought=thought, answer=answer)
    return Dialogue(turns=(last,), thinking=bool(thought))
