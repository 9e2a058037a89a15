"""Where a benchmark's pictures must lie, and finding them: none may be missing or there twice.

Each benchmark names its pictures as its official scorer does (an `ImagePath` for each), so one folder serves both. The
official scorers skip missing pictures, which raises most scores; here a missing picture is an error with its name.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from inkwash.core.errors import ConfigError, MediaError

ANY = (".png", ".jpg", ".jpeg", ".webp")
_NAMED = 5  # missing pictures named in an error
_OFFICIAL_QUALITY = 75  # Pillow's default, at which OneIG's scorer writes the cells that it judges


@dataclass(frozen=True, kw_only=True)
class ImagePath:
    """The place of one picture below the folder: its path without the suffix, and the suffixes that count."""

    path: str
    suffixes: tuple[str, ...] = ANY

    @property
    def example(self) -> str:
        return self.path + self.suffixes[0]


def find_pictures(folder: Path, paths: Iterable[ImagePath]) -> list[Path]:
    """The file of every path, in order; MediaError names what is missing or doubled."""
    if not folder.is_dir():
        raise MediaError(f"{folder} is not a folder; give the folder that holds the benchmark's pictures.")
    listings: dict[Path, dict[str, list[Path]]] = {}
    found: list[Path] = []
    missing: list[str] = []
    for wanted in paths:
        path = folder / wanted.path
        listing = listings.setdefault(path.parent, {}) or _listing(path.parent, listings)
        files = [file for file in listing.get(path.name, []) if file.suffix.lower() in wanted.suffixes]
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise MediaError(f"{folder} has {len(files)} files for the picture {wanted.path}: {names}; keep one.")
        if files:
            found.append(files[0])
        else:
            missing.append(wanted.example)
    if missing:
        raise MediaError(_missing(folder, missing, len(missing) + len(found)))
    return found


def cells(image: Image.Image, columns: int = 2, rows: int = 2) -> list[Image.Image]:
    """The pictures of a grid, row by row; the sides must divide."""
    if image.width % columns or image.height % rows:
        raise MediaError(
            f"a grid of {columns}x{rows} pictures cannot be {image.width}x{image.height} pixels; "
            f"paste the pictures at equal sizes."
        )
    width, height = image.width // columns, image.height // rows
    return [
        image.crop((column * width, row * height, (column + 1) * width, (row + 1) * height))
        for row in range(rows)
        for column in range(columns)
    ]


def grid(images: list[Image.Image], columns: int = 2) -> Image.Image:
    """Equally large pictures pasted row by row: top left, top right, bottom left, bottom right."""
    if not images or len(images) % columns or len({image.size for image in images}) != 1:
        raise ConfigError(f"{len(images)} pictures of {len({i.size for i in images})} sizes do not fill a grid.")
    width, height = images[0].size
    whole = Image.new("RGB", (width * columns, height * (len(images) // columns)))
    for number, image in enumerate(images):
        whole.paste(image, (number % columns * width, number // columns * height))
    return whole


def is_black(image: Image.Image) -> bool:
    """Whether a cell was left empty: OneIG's word for a failed picture."""
    return image.convert("RGB").getbbox() is None


def through_jpeg(image: Image.Image) -> Image.Image:
    """The picture as OneIG's scorer judges it: written as JPEG and read again."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=_OFFICIAL_QUALITY)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def _listing(folder: Path, listings: dict[Path, dict[str, list[Path]]]) -> dict[str, list[Path]]:
    listing = listings[folder]
    if folder.is_dir():
        for file in sorted(folder.iterdir()):
            listing.setdefault(file.stem, []).append(file)
    return listing


def _missing(folder: Path, missing: list[str], count: int) -> str:
    rest = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return (
        f"{folder} lacks {len(missing)} of the {count} pictures: {', '.join(missing[:_NAMED])}{rest}; draw them, or "
        f"score fewer prompts with --limit (a missing picture would change the score)."
    )
