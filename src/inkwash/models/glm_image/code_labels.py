"""What each semantic code shows: a table that a checkpoint may bring, so that a plan can be read before it is drawn.

`vision_language_encoder/code_labels.json`; the released model has none. A code shows a character (a whole one, or a
quarter of a large one that covers 2 x 2 cells), a piece of a thing, or neither. Only what most cells of that code show
is told, so a reading can err where a code stands for two things.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkwash.core.errors import WeightsError
from inkwash.models.tensor_files import read_json

LABELS_FILE = "code_labels.json"
WHOLE, QUARTERS = 0, (1, 2, 3, 4)  # of a character: above left, above right, below left, below right

Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class CodeLabels:
    """Arrays (codes,). `character` and `thing` are places in the lists of names, -1 for none.

    `quarter` is 0 for a whole character. `begins` is 1 for the upper left piece of a thing, so that each thing of a
    picture has exactly one.
    """

    characters: tuple[str, ...]
    things: tuple[str, ...]
    character: Numbers
    quarter: Numbers
    thing: Numbers
    begins: Numbers

    def __post_init__(self) -> None:
        highest = {"character": len(self.characters) - 1, "quarter": 4, "thing": len(self.things) - 1, "begins": 1}
        for name, high in highest.items():
            values, low = getattr(self, name), -1 if name in ("character", "thing") else 0
            if values.ndim != 1 or len(values) != self.codes or values.min() < low or values.max() > high:
                raise WeightsError(
                    f"The labels {name} of the semantic codes must be {self.codes} numbers from {low} to {high}."
                )

    @property
    def codes(self) -> int:
        return len(self.character)

    @classmethod
    def from_file(cls, file: Path, codes: int) -> CodeLabels:
        """Read the table for a codebook of that size; raises WeightsError for one that does not fit."""
        values = read_json(file)
        try:
            arrays = {
                name: np.array(values[name], dtype=np.int64) for name in ("character", "quarter", "thing", "begins")
            }
            labels = cls(characters=_names(values["characters"]), things=_names(values["things"]), **arrays)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise WeightsError(f"{file} does not tell what semantic codes show ({error}): copy it again.") from error
        if labels.codes != codes:
            raise WeightsError(
                f"{file} tells of {labels.codes} semantic codes, but the codebook has {codes}: take both from one "
                "checkpoint."
            )
        return labels

    def to_dict(self) -> dict[str, Any]:
        """The table as it stands in the file."""
        return {
            "characters": list(self.characters),
            "things": list(self.things),
            **{name: getattr(self, name).tolist() for name in ("character", "quarter", "thing", "begins")},
        }


def _names(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise TypeError("names must be a list of texts")
    return tuple(values)
