"""Aspect-ratio buckets: the few canvas sizes that a batch may have, and how a picture comes to one of them.

Every bucket of a side has about the area of its square, and sides that are multiples of 32 px (one semantic token).
A picture goes to the bucket that cuts the least off it, is scaled to cover it and cropped about its middle. One that
would lose more than `max_crop` of its area, or is too small, is refused with a reason instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from inkwash.core.types import Size

CELL = 32
AREA_TOLERANCE = 0.15


@dataclass(frozen=True, kw_only=True)
class Buckets:
    """`sides` are the sides of squares, in px; a picture goes to the largest that it fills, else to the smallest."""

    sides: tuple[int, ...] = (256,)
    max_aspect: float = 2.0
    max_crop: float = 0.2
    min_side: int | None = None  # shorter sides are refused; None is half of the smallest of `sides`

    def __post_init__(self) -> None:
        if not self.sides or any(side % CELL or not 64 <= side <= 2048 for side in self.sides):
            raise ValueError(f"sides must be multiples of {CELL} from 64 to 2048, got {self.sides}")
        if not 1.0 <= self.max_aspect <= 4.0:
            raise ValueError(f"max_aspect must be from 1 to 4, got {self.max_aspect}")
        if not 0.0 <= self.max_crop < 1.0:
            raise ValueError(f"max_crop must be from 0 to below 1, got {self.max_crop}")

    @property
    def smallest(self) -> int:
        """The shorter side below which a picture is too small to learn from."""
        return min(self.sides) // 2 if self.min_side is None else self.min_side

    def sizes(self, side: int) -> list[Size]:
        """All canvases of about side x side pixels, from wide to high."""
        found: set[Size] = set()
        for short in range(CELL, side + 1, CELL):
            down = side * side // short // CELL * CELL
            for long in (down, down + CELL, int(self.max_aspect * short) // CELL * CELL):
                fair = abs(long * short / side**2 - 1.0) <= AREA_TOLERANCE
                if fair and short <= long <= self.max_aspect * short:
                    found |= {Size(long, short), Size(short, long)}
        return sorted(found, key=lambda size: size.width / size.height, reverse=True)

    def find(self, width: int, height: int) -> Size | str:
        """The bucket of a picture, or in words why it has none."""
        if min(width, height) < self.smallest:
            return f"too small: {width}x{height} px, the shorter side must be at least {self.smallest}"
        filled = [side for side in self.sides if side * side <= width * height]
        side = max(filled) if filled else min(self.sides)
        lost, size = min((crop_loss(width, height, size), size) for size in self.sizes(side))
        if lost > self.max_crop:
            return f"too long: {width}x{height} px would lose {lost:.0%} in the nearest bucket {size}"
        return size


def crop_loss(width: int, height: int, size: Size) -> float:
    """The share of a picture's area that is cut off when it covers a canvas."""
    mine, wanted = width / height, size.width / size.height
    return 1.0 - min(mine, wanted) / max(mine, wanted)


def fit(image: Image.Image, size: Size) -> Image.Image:
    """The picture scaled to cover the canvas and cropped about its middle; untouched if it has the size already."""
    if image.size == tuple(size):
        return image
    scale = max(size.width / image.width, size.height / image.height)
    width, height = size.width / scale, size.height / scale
    left, top = (image.width - width) / 2, (image.height - height) / 2
    return image.resize(
        (size.width, size.height), Image.Resampling.LANCZOS, box=(left, top, left + width, top + height)
    )


def group_name(width: int, height: int, references: int) -> str:
    """The group of a sample: its canvas, and whether it starts from other pictures."""
    return f"{width}x{height}" + ("-edit" if references else "")


def group_area(group: str) -> int:
    """The pixels of a group's canvas."""
    width, _, height = group.removesuffix("-edit").partition("x")
    return int(width) * int(height)
