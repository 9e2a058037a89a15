"""Pictures of any mode as 8-bit RGB or RGBA: 16 bits to 8, palettes opened, colour profiles applied before flattening.

A picture is converted some rows at a time, so that a large one is in memory once before and once after.
"""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from PIL import Image, ImageCms

from inkwash.core.errors import MediaError

_BAND_PIXELS = 4 * 2**20  # converted at once
_STRAIGHT = {"RGBa": "RGBA", "La": "LA", "PA": "RGBA"}  # modes on the way to others


def converted(picture: Image.Image, mode: Literal["RGB", "RGBA"]) -> Image.Image:
    """The picture as RGB (flattened on white) or RGBA; itself where there is nothing to do.

    Raises MediaError for greys of a range that cannot be told, ValueError for modes that Pillow cannot convert.
    """
    convert = _Converter(picture, mode)
    if convert.nothing:
        return picture
    width, height = picture.size
    rows = max(1, _BAND_PIXELS // width)
    if rows >= height:
        return convert(picture)
    whole = Image.new(mode, picture.size)
    for top in range(0, height, rows):
        band = picture.crop((0, top, width, min(height, top + rows)))
        whole.paste(convert(band), (0, top))
    return whole


class _Converter:
    """Any mode to RGB or RGBA: 16 bits to 8, transparency apart, colours by the profile, then flattened."""

    def __init__(self, picture: Image.Image, mode: Literal["RGB", "RGBA"]) -> None:
        self.mode = mode
        self.transparency = picture.info.get("transparency")
        self.clear = picture.has_transparency_data
        deep = picture.mode.startswith("I;16") or picture.mode in ("I", "F")
        if deep or picture.mode in ("1", "L", "LA", "La"):
            self.colors = "L"
        else:
            self.colors = "CMYK" if picture.mode == "CMYK" else "RGB"
        self.deep = deep
        self.transform = _transform(picture, self.colors)
        self.nothing = picture.mode == mode == "RGB" and not self.clear and self.transform is None

    def __call__(self, band: Image.Image) -> Image.Image:
        """One band; its size stays."""
        alpha = self._alpha(band)
        if self.deep:
            band = _to_eight_bits(band)
        elif band.mode != self.colors:
            band.info.pop("transparency", None)
            band = band.convert(_STRAIGHT.get(band.mode, band.mode)).convert(self.colors)
        if self.transform is not None:
            converted = self.transform.apply(band)
        else:
            converted = band if band.mode == "RGB" else band.convert("RGB")
        if self.mode == "RGBA":
            converted.putalpha(alpha if alpha is not None else 255)
            return converted
        if alpha is None:
            return converted
        converted = converted.copy() if converted is band else converted
        converted.putalpha(alpha)
        return Image.alpha_composite(Image.new("RGBA", converted.size, "white"), converted).convert("RGB")

    def _alpha(self, band: Image.Image) -> Image.Image | None:
        if not self.clear:
            return None
        if self.deep:  # a PNG of 16-bit grey with one grey that is clear
            solid = np.asarray(band) != self.transparency
            return Image.fromarray(np.where(solid, 255, 0).astype(np.uint8))
        values = band.info.get("transparency")
        if isinstance(values, tuple) and max(values) > 255:  # of a PNG with 16 bits, which Pillow reads as 8
            band.info["transparency"] = tuple(value >> 8 for value in values)
        return band.convert("RGBA").getchannel("A")


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    """Greyscale of 16 bits, or floating point within 0..1, to 8 bits; convert() alone would clip at 255."""
    values = np.asarray(picture).astype(np.float64)
    top = 1.0 if picture.mode == "F" else 65535.0
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > top:
        raise MediaError(
            f"The picture has grey values outside 0..{top:g} (mode {picture.mode}): export it as an 8-bit PNG."
        )
    return Image.fromarray(np.rint(values * (255.0 / top)).astype(np.uint8))


def _transform(picture: Image.Image, colors: str) -> ImageCms.ImageCmsTransform | None:
    """The way from an embedded colour profile (print, wide-gamut phones and screens, grey) to sRGB; None where there
    is none, where it is sRGB, or where it is broken or made for other colours."""
    profile = picture.info.get("icc_profile")
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if colors == "RGB" and "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        if source.profile.xcolor_space.strip() != {"L": "GRAY"}.get(colors, colors):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), colors, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
