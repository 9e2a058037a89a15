"""Small types that several packages share: picture sizes and JSON values.

A :class:`Size` is always (width, height) in pixels, as users write it (`640x384`); tensors are (height, width).
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple, TypeAlias

from inkwash.core.errors import RequestError

PathLike: TypeAlias = str | os.PathLike[str]

_SIZE = re.compile(r"\s*(\d{1,6})\s*[xX×*]\s*(\d{1,6})\s*")


class Size(NamedTuple):
    """Width and height of a picture in pixels."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """Reads `WIDTHxHEIGHT`; raises RequestError when the text is anything else."""
        found = _SIZE.fullmatch(text)
        if found is None:
            raise RequestError(
                f"The size {text!r} is not WIDTHxHEIGHT in pixels: write it like 256x256 or 384x192.", param="size"
            )
        return cls(int(found[1]), int(found[2]))

    @property
    def aspect(self) -> float:
        """Long side over short side."""
        return max(self) / max(min(self), 1)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"
