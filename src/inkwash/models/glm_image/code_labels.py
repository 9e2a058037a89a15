"""What each semantic code shows: a table that a checkpoint may bring, so that a plan can be read before it is drawn.

`vision_language_encoder/code_labels.json`; the released model has none. A code shows a character (a whole one, or a
quarter of a large one that covers 2 x 2 cells), a piece of a thing, or neither. A code may stand for several: the upper
left quarters of E and F look alike. Each entry of the table is one of them, with its share of the code's cells. Two
more lists tell colours, one entry a code: that of the letters it shows, and that of the ground, at a picture's edge;
and a matrix tells the contrast of two colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkwash.core.errors import WeightsError
from inkwash.models.tensor_files import read_json

LABELS_FILE = "code_labels.json"
WHOLE, QUARTERS = 0, (1, 2, 3, 4)  # of a character: above left, above right, below left, below right
COLUMNS = ("code", "character", "quarter", "thing", "begins", "share")
COLORED = ("ink", "ground")

Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class CodeLabels:
    """A table whose columns are arrays (entries,), and two arrays (codes,) of places in the list of colours.

    The entries of a code stand together, the likeliest first.

    `character` and `thing` are places in the lists of names, -1 for none. `quarter` is 0 for a whole character.
    `begins` is 1 for the upper left piece of a thing, so that each thing of a picture has exactly one. `share` is in
    per cent of the code's cells. Codes without an entry show nothing. `ink` is the colour of letters, `ground` that of
    the picture's ground where the code stands at its edge, -1 where a code tells none.
    """

    codes: int
    characters: tuple[str, ...]
    things: tuple[str, ...]
    code: Numbers
    character: Numbers
    quarter: Numbers
    thing: Numbers
    begins: Numbers
    share: Numbers
    colors: tuple[str, ...]
    ink: Numbers
    ground: Numbers
    contrast: NDArray[np.float64]  # (colors, colors): of two colours by WCAG 2.2, from 1 to 21

    def __post_init__(self) -> None:
        bounds = {
            "code": (0, self.codes - 1),
            "character": (-1, len(self.characters) - 1),
            "quarter": (0, 4),
            "thing": (-1, len(self.things) - 1),
            "begins": (0, 1),
            "share": (0, 100),
        }
        for name, (low, high) in bounds.items():
            values = getattr(self, name)
            if values.shape != self.code.shape or values.ndim != 1:
                raise WeightsError(f"The labels of the semantic codes have {len(self.code)} rows, but not in {name}.")
            if len(values) and (values.min() < low or values.max() > high):
                raise WeightsError(f"The labels {name} of the semantic codes must be numbers from {low} to {high}.")
        if self.contrast.shape != (len(self.colors),) * 2 or not (self.contrast >= 1).all():
            raise WeightsError(f"The contrasts of {len(self.colors)} colours must be a square of numbers from 1 on.")
        for name in COLORED:
            values, last = getattr(self, name), len(self.colors) - 1
            if values.shape != (self.codes,) or (values.min(initial=-1) < -1 or values.max(initial=-1) > last):
                raise WeightsError(
                    f"The labels {name} of the semantic codes must be {self.codes} numbers from -1 to {last}."
                )

    @cached_property
    def letters(self) -> dict[int, dict[tuple[str, int], int]]:
        """Of every code that shows letters: (character, quarter) and share, the likeliest first."""
        found: dict[int, dict[tuple[str, int], int]] = {}
        columns = (self.code, self.character, self.quarter, self.share)
        for code, sign, quarter, share in np.stack(columns, axis=1).tolist():
            if sign >= 0:
                found.setdefault(code, {})[self.characters[sign], quarter] = share
        return found

    @cached_property
    def pieces(self) -> dict[int, list[tuple[str, bool]]]:
        """Of every code that shows pieces of things: their names and whether it begins them, the likeliest first."""
        found: dict[int, list[tuple[str, bool]]] = {}
        for code, thing, begins in np.stack((self.code, self.thing, self.begins), axis=1).tolist():
            if thing >= 0:
                found.setdefault(code, []).append((self.things[thing], bool(begins)))
        return found

    @classmethod
    def from_file(cls, file: Path, codes: int) -> CodeLabels:
        """Read the table for a codebook of that size; raises WeightsError for one that does not fit."""
        values = read_json(file)
        if values.get("codes", codes) != codes:
            raise WeightsError(
                f"{file} tells of {values['codes']} semantic codes, but the codebook has {codes}: take both from one "
                "checkpoint."
            )
        try:
            for name in COLORED:
                values.setdefault(name, [-1] * codes)  # a table may tell no colours
            characters, things = _names(values["characters"]), _names(values["things"])
            colors = _names(values.get("colors", []))
            arrays = {name: np.array(values[name], dtype=np.int64) for name in (*COLUMNS, *COLORED)}
            contrast = np.array(values.get("contrast", []), dtype=np.float64).reshape(len(colors), len(colors))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise WeightsError(f"{file} does not tell what semantic codes show ({error}): copy it again.") from error
        return cls(codes=codes, characters=characters, things=things, colors=colors, contrast=contrast, **arrays)

    def to_dict(self) -> dict[str, Any]:
        """The table as it stands in the file."""
        names = {name: list(getattr(self, name)) for name in ("characters", "things", "colors")}
        arrays = (*COLUMNS, *COLORED, "contrast")
        return {"codes": self.codes} | names | {name: getattr(self, name).tolist() for name in arrays}


def _names(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise TypeError("names must be a list of texts")
    return tuple(values)
