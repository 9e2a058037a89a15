"""Drawing a benchmark into its official layout: every file as soon as it is done, none twice.

Each picture has a seed of its own, from the run's seed and its place in the layout, so a limited run is a part of the
whole one and the batch size changes nothing. A killed run goes on where it stopped; a folder with other settings is
refused. What stands on a sheet is in its file's metadata.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from inkwash.core.errors import MediaError
from inkwash.core.types import Size
from inkwash.eval.benchmarks.pictures import grid
from inkwash.eval.benchmarks.sheets import Sheet
from inkwash.eval.run import claim_folder
from inkwash.eval.sources import DrawConfig
from inkwash.media.images import load_image, save_image

if TYPE_CHECKING:
    from inkwash.engine.pipeline import GlmImagePipeline

_SEEDS = 2**63


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture to be drawn."""

    prompt: str
    seed: int
    source: Path | None


DrawPictures = Callable[[Sequence[Picture]], Sequence[Image.Image]]
Progress = Callable[[int, int], None]


def draw_sheets(
    sheets: Sequence[Sheet],
    folder: Path,
    open_draw: Callable[[], DrawPictures],
    *,
    seed: int,
    settings: Mapping[str, Any],
    batch: int = 1,
    progress: Progress | None = None,
) -> float:
    """Draw what is missing; returns the seconds for each picture drawn now, nan when all were there."""
    tell = progress or (lambda done, total: None)
    claim_folder(folder, settings)
    missing = [sheet for sheet in sheets if not _present(folder, sheet)]
    done = len(sheets) - len(missing)
    tell(done, len(sheets))
    if not missing:
        return float("nan")
    draw = open_draw()
    start, pictures = time.perf_counter(), 0
    for some in _batches(missing, batch):
        wanted = [picture for sheet in some for picture in pictures_of(sheet, seed)]
        drawn = list(draw(wanted))
        for sheet in some:
            own, drawn = drawn[: sheet.cells], drawn[sheet.cells :]
            _write(folder, sheet, own, {**settings, "seed": seed, "prompt": sheet.prompt})
        pictures += len(wanted)
        done += len(some)
        tell(done, len(sheets))
    return (time.perf_counter() - start) / pictures


def pictures_of(sheet: Sheet, seed: int) -> list[Picture]:
    """The pictures of a sheet with their seeds."""
    return [
        Picture(prompt=sheet.prompt, seed=picture_seed(seed, sheet.spot.path, cell), source=sheet.source)
        for cell in range(sheet.cells)
    ]


def picture_seed(seed: int, path: str, cell: int) -> int:
    """A seed that depends on the run's seed and the picture's place, not on how many others are drawn."""
    digest = hashlib.sha256(f"{seed}:{path}:{cell}".encode()).digest()
    return int.from_bytes(digest[:8], "little") % _SEEDS


def drawer(pipe: GlmImagePipeline, size: Size | None, config: DrawConfig) -> DrawPictures:
    """The function that draws pictures with a model; without a size they have the model's own, edits their source's."""

    def draw(pictures: Sequence[Picture]) -> Sequence[Image.Image]:
        import torch

        sources = [[load_image(picture.source)] for picture in pictures if picture.source is not None]
        arguments = config.arguments(range(len(pictures)))
        arguments["generator"] = [torch.Generator().manual_seed(picture.seed) for picture in pictures]
        output = pipe(
            prompt=[picture.prompt for picture in pictures],
            image=sources or None,
            height=None if size is None else size.height,
            width=None if size is None else size.width,
            **arguments,
        )
        assert not isinstance(output, tuple)
        images: Sequence[Image.Image] = output.images
        return images

    return draw


def _batches(sheets: Sequence[Sheet], batch: int) -> Iterator[Sequence[Sheet]]:
    """Sheets that are drawn in one call: about `batch` pictures, an edit alone because it has its own size."""
    some: list[Sheet] = []
    for sheet in sheets:
        if some and (sheet.source is not None or sum(each.cells for each in some) + sheet.cells > batch):
            yield some
            some = []
        some.append(sheet)
        if sheet.source is not None:
            yield some
            some = []
    if some:
        yield some


def _present(folder: Path, sheet: Sheet) -> bool:
    return any((folder / (sheet.spot.path + suffix)).is_file() for suffix in sheet.spot.suffixes)


def _write(folder: Path, sheet: Sheet, images: list[Image.Image], metadata: Mapping[str, Any]) -> None:
    """The files beside first, the picture last: when it is there, the sheet is complete."""
    target = folder / sheet.file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for path, content in sheet.texts:
            (folder / path).write_text(content, encoding="utf-8")
    except OSError as problem:
        raise MediaError(
            f"cannot write into {target.parent}: {problem.strerror}; give a folder you may write to."
        ) from (problem)
    if sheet.copy is not None and sheet.source is not None:
        save_image(load_image(sheet.source), folder / sheet.copy)
    save_image(grid(images) if sheet.cells > 1 else images[0], target, metadata=metadata)
