"""Pictures of panels with what is said and done on them, from chunks that a browser has drawn.

A chunk is one file of pages of one size: `pixels` (N, H, W, 3) and a JSON of facts, page by page: the turns of a
conversation of one step, and the widgets with their boxes. A batch is a pure function of its step; some batches are
questions about scenes or cards, so that what the model knew stays known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkwash.core.errors import DataError
from inkwash.data.loader import Batch
from inkwash.data.questions import PLACES, Dialogue, DialogueTurn, QuestionBatches
from inkwash.data.scenes import step_rng
from inkwash.scenes.words import LETTERS
from inkwash.scenes.world import CELL

WIDGETS = ("button", "field", "checkbox", "radio", "tab", "link")
# What a cell knows of the widget over it, 0 being none: its kind, whether it is on, its first letter, its edges.
PANEL_LABELS = {
    "widget": 1 + len(WIDGETS),
    "widget_on": 3,
    "widget_letter": 1 + len(LETTERS),
    **{f"widget_{edge}": 1 + PLACES for edge in ("left", "top", "right", "bottom")},
}
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


def panel_labels(widgets: Sequence[dict[str, Any]], rows: int, columns: int) -> _Labels:
    """The labels of every cell of one picture."""
    labels: _Labels = {name: np.zeros((rows, columns), dtype=np.int64) for name in PANEL_LABELS}
    for widget in widgets:
        left, top, right, bottom = widget["box"]
        edges = [int(left // CELL), int(top // CELL), int((right - 1) // CELL), int((bottom - 1) // CELL)]
        edges = [min(max(edge, 0), side - 1) for edge, side in zip(edges, (columns, rows) * 2, strict=True)]
        area = (slice(edges[1], edges[3] + 1), slice(edges[0], edges[2] + 1))
        labels["widget"][area] = 1 + WIDGETS.index(widget["kind"])
        labels["widget_on"][area] = 2 if widget["on"] else 1
        labels["widget_letter"][area] = 1 + max(0, LETTERS.find(widget["label"][:1].upper()))
        for name, edge in zip(("left", "top", "right", "bottom"), edges, strict=True):
            labels[f"widget_{name}"][area] = 1 + edge
    return labels


@dataclass(frozen=True, kw_only=True)
class PanelBatches:
    """Batches for `train.vlm`; a share `questions` of them is `asked`'s, before `talk_from` none says anything."""

    folder: Path
    chunks: int
    seed: int
    batch: int
    questions: float = 0.25
    talk_from: int = 0
    asked: Callable[[int], Batch] = field(default_factory=lambda: QuestionBatches(seed=0, batch=1))

    def __call__(self, step: int) -> Batch:
        rng = step_rng(self.seed, step)
        if rng.random() < self.questions:
            return self._known(step)
        pixels, facts = read_chunk(chunk_path(self.folder, rng.randrange(self.chunks)))
        chosen = rng.sample(range(len(facts)), min(self.batch, len(facts)))
        height, width = pixels.shape[1:3]
        labels = [panel_labels(facts[each]["widgets"], height // CELL, width // CELL) for each in chosen]
        dialogues = [[_dialogue(facts[each])] for each in chosen]
        return {
            "pixels": pixels[chosen],
            "dialogues": dialogues if step >= self.talk_from else [[] for _ in chosen],
        } | {name: np.stack([one[name].ravel() for one in labels]) for name in PANEL_LABELS}

    def _known(self, step: int) -> Batch:
        """What the model knew before; its cells show no widgets."""
        found = self.asked(step)
        count, cells = len(found["pixels"]), found["kind"].shape[1]
        nothing = {name: np.zeros((count, cells), dtype=np.int64) for name in PANEL_LABELS}
        return {"pixels": found["pixels"], "dialogues": found["dialogues"]} | nothing


def _dialogue(facts: dict[str, Any]) -> Dialogue:
    turn = DialogueTurn(
        kind=facts["kind"], question=facts["question"], thought=facts["thought"], answer=facts["answer"]
    )
    return Dialogue(turns=(turn,))
