"""Which semantic code shows what: rendered scenes are encoded, and each code is named by what its cells show.

What no scene shows stays without a name, and so does a code whose cells are letters, or pieces of things, in less than
half. Within its kind a code may have several names, down to a share of its cells. Colours are named by the majority.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkwash.data.scenes import Batch
from inkwash.scenes.card_meanings import NO_COLOR, PART_OFFSETS, THING, card_signs
from inkwash.scenes.labels import EMPTY, LETTER, OBJECT
from inkwash.scenes.labels import PART_OFFSETS as SHAPE_OFFSETS
from inkwash.scenes.things import THING_NAMES
from inkwash.scenes.world import CARD_COLORS, SHAPES, contrast

AGREED = 0.5  # of a code's cells must be of one kind, or of one colour
LEAST = 0.1  # of a code's cells that a name must be true of

Numbers = NDArray[np.int64]


def label_codes(encode: Callable[[NDArray[Any]], Numbers], batches: Iterable[Batch], codes: int) -> dict[str, Any]:
    """The fields of `CodeLabels` for a codebook of level `card`, from batches of `data.scenes.LabelledScenes`.

    `encode` makes ids (B, rows, columns) of half-size pictures uint8 (B, H/2, W/2, 3).
    """
    ids, cells, colors = [], [], []
    for batch in batches:
        ids.append(encode(batch["pixels"]).ravel())
        cells.append(_contents(batch))
        colors.append(np.stack([batch["color"].ravel(), batch["border"].ravel() - 1], axis=1))
    places, contents = np.concatenate(ids), np.concatenate(cells)
    code, kind, which, part, share = _frequent(places, contents, codes).T
    kinds, ink, ground = np.column_stack([contents[:, 0], np.concatenate(colors)]).T
    lettered, bare = (kinds == LETTER) & (ink != NO_COLOR), (kinds == EMPTY) & (ground >= 0)
    return {
        "codes": codes,
        "characters": tuple(card_signs()),
        "things": (*THING_NAMES, *SHAPES),
        "code": code,
        "character": np.where(kind == LETTER, which, -1),
        "quarter": np.where(kind == LETTER, part, 0),
        "thing": np.where(kind == THING, which, -1),
        "begins": np.where(kind == THING, part, 0),
        "share": share,
        "colors": tuple(CARD_COLORS),
        "contrast": np.array([[round(contrast(a, b), 2) for b in CARD_COLORS] for a in CARD_COLORS]),
        "ink": _commonest(places[lettered], ink[lettered], codes),
        "ground": _commonest(places[bare], ground[bare], codes),
    }


def _contents(batch: Batch) -> Numbers:
    """Rows (cells, 3): kind, which character or thing, and its quarter or whether it is the upper left piece.

    Shapes are things whose numbers follow those of the others.
    """
    flat = {name: np.asarray(values).ravel() for name, values in batch.items() if name != "pixels"}
    kind = flat["kind"]
    kinds = [kind == LETTER, kind == THING, kind == OBJECT]
    offsets = {THING: PART_OFFSETS, OBJECT: SHAPE_OFFSETS}
    first = {which: np.isin(flat["part"], [1 + each for each in table.values()]) for which, table in offsets.items()}
    which = np.select(kinds, [flat["sign"] - 1, flat["thing"] - 1, len(THING_NAMES) + flat["shape"] - 1], 0)
    part = np.select(kinds, [flat["quarter"], first[THING], first[OBJECT]], 0)
    return np.stack([np.where(kind == OBJECT, THING, kind), which, part], axis=1)


def _frequent(ids: Numbers, cells: Numbers, codes: int) -> Numbers:
    """Rows (entries, 5) of code, kind, which, part and share in per cent: what codes of letters and of things show."""
    pairs, counts = np.unique(np.column_stack([ids, cells]), axis=0, return_counts=True)
    totals = np.bincount(ids, minlength=codes)
    kinds = np.zeros((codes, max(EMPTY, LETTER, THING) + 1), dtype=np.int64)
    np.add.at(kinds, (pairs[:, 0], pairs[:, 1]), counts)
    share, agreed = counts / totals[pairs[:, 0]], kinds[pairs[:, 0], pairs[:, 1]] > AGREED * totals[pairs[:, 0]]
    kept = agreed & (share >= LEAST) & (pairs[:, 1] != EMPTY)
    rows = np.column_stack([pairs, np.round(100 * share).astype(np.int64)])[kept]
    return rows[np.lexsort((-rows[:, 4], rows[:, 0]))]


def _commonest(ids: Numbers, colors: Numbers, codes: int) -> Numbers:
    """The colour of each code's cells, (codes,); -1 where none has most of them."""
    counts = np.zeros((codes, len(CARD_COLORS)), dtype=np.int64)
    np.add.at(counts, (ids, colors), 1)
    return np.where(counts.max(axis=1) > AGREED * counts.sum(axis=1), counts.argmax(axis=1), -1)
