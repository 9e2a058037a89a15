"""Any asked size from a model that draws multiples of 32: round up, draw, cut the middle out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image

from inkwash.core.errors import RequestError
from inkwash.core.limits import MAX_ASPECT, MAX_SIDE, MIN_SIDE, SIZE_STEP
from inkwash.core.types import Size


def drawn_size(size: Size) -> Size:
    """The smallest size that can be drawn and covers the asked one."""
    if min(size) < 1 or max(size) > MAX_SIDE:
        raise RequestError(
            f"The size {size} cannot be drawn: both sides must be from 1 to {MAX_SIDE} pixels.",
            code="invalid_value",
            param="size",
        )
    width, height = (max(MIN_SIDE, math.ceil(side / SIZE_STEP) * SIZE_STEP) for side in size)
    drawn = Size(width, height)
    if max(drawn) > MAX_ASPECT * min(drawn):
        raise RequestError(
            f"The size {size} is {max(drawn) / min(drawn):.1f} times longer than wide: at most {MAX_ASPECT:g}:1 is "
            "allowed.",
            code="invalid_value",
            param="size",
        )
    return drawn


def parse_size(text: str | None) -> Size | None:
    """`auto` and nothing are None; else WIDTHxHEIGHT."""
    if text is None or text.strip().lower() == "auto":
        return None
    return Size.parse(text)


def centre_crop(picture: Image.Image, size: Size) -> Image.Image:
    """The middle of a picture; itself where nothing is to be cut."""
    if picture.size == size:
        return picture
    left, top = (picture.width - size.width) // 2, (picture.height - size.height) // 2
    return picture.crop((left, top, left + size.width, top + size.height))


def pad_edges(picture: Image.Image, size: Size) -> Image.Image:
    """A picture in the middle of a larger one whose margins continue its edges, so that `centre_crop` undoes it."""
    if picture.size == size:
        return picture
    left, top = (size.width - picture.width) // 2, (size.height - picture.height) // 2
    right, bottom = left + picture.width, top + picture.height
    padded = Image.new(picture.mode, size)
    padded.paste(picture, (left, top))
    for x, width, column in ((0, left, left), (right, size.width - right, right - 1)):
        if width:
            padded.paste(padded.crop((column, 0, column + 1, size.height)).resize((width, size.height)), (x, 0))
    for y, height, row in ((0, top, top), (bottom, size.height - bottom, bottom - 1)):
        if height:
            padded.paste(padded.crop((0, row, size.width, row + 1)).resize((size.width, height)), (0, y))
    return padded


@dataclass(frozen=True, kw_only=True)
class MaskedCanvas:
    """An edit inside a mask, at the picture's own size: what the engine gets, and the way back.

    `change` is white where the picture may change. A picture beyond what can be drawn is edited smaller, and only the
    changed part is enlarged again; every pixel outside the mask is the original's.
    """

    original: Image.Image
    change: Image.Image

    def __post_init__(self) -> None:
        if self.change.size != self.original.size:
            raise RequestError(
                f"The mask is {Size(*self.change.size)} pixels, but the first image is {Size(*self.original.size)}: "
                "make them equally large.",
                code="invalid_value",
                param="mask",
            )
        if self.change.getbbox() is None:
            raise RequestError(
                "The mask leaves nothing to change: make the part to edit transparent (alpha 0), or white in a mask "
                "without transparency.",
                code="invalid_value",
                param="mask",
            )

    @property
    def size(self) -> Size:
        return Size(*self.original.size)

    @property
    def worked(self) -> Size:
        """The size of the picture while it is edited."""
        if max(self.size) <= MAX_SIDE:
            return self.size
        scale = MAX_SIDE / max(self.size)
        return Size(max(1, round(self.size.width * scale)), max(1, round(self.size.height * scale)))

    @property
    def drawn(self) -> Size:
        return drawn_size(self.worked)

    def picture(self) -> Image.Image:
        """The reference picture for the engine."""
        return pad_edges(self._scaled(self.original, Image.Resampling.LANCZOS), self.drawn)

    def mask(self) -> Image.Image:
        """The engine's mask, white where the picture may change; the margins stay."""
        scaled = self._scaled(self.change, Image.Resampling.BILINEAR)
        left, top = (self.drawn.width - scaled.width) // 2, (self.drawn.height - scaled.height) // 2
        padded = Image.new("L", self.drawn, 0)
        padded.paste(scaled, (left, top))
        return padded

    def restore(self, drawn: Image.Image) -> Image.Image:
        """The edited picture at the original's size, with the original's own pixels outside the mask."""
        edited = centre_crop(drawn, self.worked)
        if edited.size != self.size:
            edited = edited.resize(self.size, Image.Resampling.LANCZOS)
        return Image.composite(edited, self.original, self.change)

    def _scaled(self, picture: Image.Image, filter: Image.Resampling) -> Image.Image:
        return picture if self.worked == self.size else picture.resize(self.worked, filter)
