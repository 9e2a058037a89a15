"""Drawing a benchmark into its official layout: every file as soon as it is done, none twice.

Each picture has a seed of its own, from the run's seed and its place in the layout, so a limited run is a part of the
whole one and the batch size changes nothing. A killed run goes on where it stopped; a folder with other settings is
refused. The prompt, the seed and the settings are in each file's metadata.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from inkwash.core.errors import MediaError
from inkwash.core.seeds import derived_seed
from inkwash.core.types import Size
from inkwash.eval.benchmarks.benchmark import ImageTask
from inkwash.eval.benchmarks.pictures import grid
from inkwash.eval.run import claim_folder
from inkwash.eval.sources import DrawConfig
from inkwash.media.images import load_image, save_image

if TYPE_CHECKING:
    from inkwash.engine.pipeline import GlmImagePipeline


@dataclass(frozen=True, kw_only=True)
class PictureRequest:
    """One picture to be drawn."""

    prompt: str
    seed: int
    source: Path | None


DrawPictures = Callable[[Sequence[PictureRequest]], Sequence[Image.Image]]
Progress = Callable[[int, int], None]


def draw_tasks(
    tasks: Sequence[ImageTask],
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
    missing = [task for task in tasks if not _present(folder, task)]
    done = len(tasks) - len(missing)
    tell(done, len(tasks))
    if not missing:
        return float("nan")
    draw = open_draw()
    start, pictures = time.perf_counter(), 0
    for some in _batches(missing, batch):
        wanted = [picture for task in some for picture in pictures_of(task, seed)]
        drawn = list(draw(wanted))
        for task in some:
            images, drawn = drawn[: task.cells], drawn[task.cells :]
            task_seed = seed if task.seed is None else seed + task.seed
            _write(folder, task, images, {**settings, "seed": task_seed, "prompt": task.prompt})
        pictures += len(wanted)
        done += len(some)
        tell(done, len(tasks))
    return (time.perf_counter() - start) / pictures


def pictures_of(task: ImageTask, seed: int) -> list[PictureRequest]:
    """The pictures of a task with their seeds."""
    seeds = [picture_seed(seed, task.path.path, cell) for cell in range(task.cells)]
    if task.seed is not None:
        seeds = [seed + task.seed + cell for cell in range(task.cells)]
    return [PictureRequest(prompt=task.prompt, seed=each, source=task.source) for each in seeds]


def picture_seed(seed: int, path: str, cell: int) -> int:
    """A seed that depends on the run's seed and the picture's place, not on how many others are drawn."""
    return derived_seed(seed, path, cell)


def drawer(pipe: GlmImagePipeline, size: Size | None, config: DrawConfig) -> DrawPictures:
    """The function that draws pictures with a model; without a size they have the model's own, edits their source's."""

    def draw(pictures: Sequence[PictureRequest]) -> Sequence[Image.Image]:
        shape = {} if size is None else {"height": size.height, "width": size.width}
        requests = [
            config.request(
                0,
                prompt=picture.prompt,
                images=() if picture.source is None else (load_image(picture.source),),
                seed=picture.seed,
                **shape,
            )
            for picture in pictures
        ]
        output = pipe.draw(requests, cancel=config.cancel)
        images: Sequence[Image.Image] = output.images
        return images

    return draw


def _batches(tasks: Sequence[ImageTask], batch: int) -> Iterator[Sequence[ImageTask]]:
    """ImageTasks that are drawn in one call: about `batch` pictures, an edit alone because it has its own size."""
    some: list[ImageTask] = []
    for task in tasks:
        if some and (task.source is not None or sum(other.cells for other in some) + task.cells > batch):
            yield some
            some = []
        some.append(task)
        if task.source is not None:
            yield some
            some = []
    if some:
        yield some


def _present(folder: Path, task: ImageTask) -> bool:
    return any((folder / (task.path.path + suffix)).is_file() for suffix in task.path.suffixes)


def _write(folder: Path, task: ImageTask, images: list[Image.Image], metadata: Mapping[str, Any]) -> None:
    """The files beside first, the picture last: when it is there, the task is done."""
    target = folder / task.file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for path, content in task.texts:
            (folder / path).write_text(content, encoding="utf-8")
    except OSError as problem:
        raise MediaError(
            f"cannot write into {target.parent}: {problem.strerror}; give a folder you may write to."
        ) from (problem)
    if task.copy is not None and task.source is not None:
        save_image(load_image(task.source), folder / task.copy)
    save_image(grid(images) if task.cells > 1 else images[0], target, metadata=metadata)
