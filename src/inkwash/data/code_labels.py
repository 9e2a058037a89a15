"""Which semantic code shows what: rendered scenes are encoded, and each code is named by what most of its cells show.

What no scene shows stays without a name, and so does a code whose cells agree in less than half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkwash.data.scenes import Batch
from inkwash.scenes.card_meanings import PART_OFFSETS, THING, card_signs
from inkwash.scenes.labels import EMPTY, LETTER, OBJECT
from inkwash.scenes.labels import PART_OFFSETS as SHAPE_OFFSETS
from inkwash.scenes.things import THING_NAMES
from inkwash.scenes.world import SHAPES

AGREED = 0.5  # of a code's cells must show the same

Numbers = NDArray[np.int64]


def label_codes(encode: Callable[[NDArray[Any]], Numbers], batches: Iterable[Batch], codes: int) -> dict[str, Any]:
    """The fields of `CodeLabels` for a codebook of level `card`, from batches of `data.scenes.LabelledScenes`.

    `encode` makes ids (B, rows, columns) of half-size pictures uint8 (B, H/2, W/2, 3).
    """
    ids, cells = [], []
    for batch in batches:
        ids.append(encode(batch["pixels"]).ravel())
        cells.append(_contents(batch))
    agreed = _majority(np.concatenate(ids), np.concatenate(cells), codes)
    letter, thing = agreed[:, 0] == LETTER, np.isin(agreed[:, 0], (THING, OBJECT))
    return {
        "characters": tuple(card_signs()),
        "things": (*THING_NAMES, *SHAPES),
        "character": np.where(letter, agreed[:, 1], -1),
        "quarter": np.where(letter, agreed[:, 2], 0),
        "thing": np.where(thing, agreed[:, 1], -1),
        "begins": np.where(thing, agreed[:, 2], 0),
    }


def _contents(batch: Batch) -> Numbers:
    """Rows (cells, 3): kind, which character, thing or shape, and its quarter or whether it is the upper left piece."""
    flat = {name: np.asarray(values).ravel() for name, values in batch.items() if name != "pixels"}
    kind = flat["kind"]
    kinds = [kind == LETTER, kind == THING, kind == OBJECT]
    offsets = {THING: PART_OFFSETS, OBJECT: SHAPE_OFFSETS}
    first = {which: np.isin(flat["part"], [1 + each for each in table.values()]) for which, table in offsets.items()}
    which = np.select(kinds, [flat["sign"] - 1, flat["thing"] - 1, len(THING_NAMES) + flat["shape"] - 1], 0)
    return np.stack([kind, which, np.select(kinds, [flat["quarter"], first[THING], first[OBJECT]], 0)], axis=1)


def _majority(ids: Numbers, cells: Numbers, codes: int) -> Numbers:
    """The row (codes, 3) that most cells of each code are; that of an empty cell where they do not agree."""
    agreed = np.zeros((codes, 3), dtype=np.int64)
    agreed[:, 0] = EMPTY
    pairs, counts = np.unique(np.column_stack([ids, cells]), axis=0, return_counts=True)
    totals = np.bincount(ids, minlength=codes)
    for (code, *row), count in zip(pairs, counts, strict=True):
        if count > AGREED * totals[code]:
            agreed[code] = row
    return agreed
