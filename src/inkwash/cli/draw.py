"""From checked settings to pictures on disk: what ``generate`` and ``edit`` have in common."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inkwash.cli.settings import DrawSettings
from inkwash.core.errors import InkwashError, RequestError

if TYPE_CHECKING:
    from PIL import Image

    from inkwash.cli.progress import Bars
    from inkwash.engine.request import CancelToken


def draw(settings: DrawSettings, *, as_json: bool, quiet: bool) -> None:
    """Draws, writes and reports; every check that needs no model comes first."""
    from inkwash.cli.interrupt import interruptible
    from inkwash.cli.progress import Bars
    from inkwash.media.images import check_writable, load_image, load_mask

    for file in settings.files:
        check_writable(file)
    references = [load_image(path) for path in settings.images]
    mask = load_mask(settings.mask) if settings.mask else None
    if mask is not None and mask.size != references[0].size:
        raise RequestError(
            f"The mask is {mask.size[0]}x{mask.size[1]}, but the first picture is "
            f"{references[0].size[0]}x{references[0].size[1]}: both must have the same size.",
            param="mask",
        )
    check_model(settings.model)

    from inkwash.engine.request import CancelToken  # light, but behind the checks

    started = time.perf_counter()
    cancel = CancelToken()
    with Bars(shown=False if quiet else None) as bars:
        pictures = interruptible(lambda: _work(settings, references, mask, bars, cancel), cancel.cancel)
    report(settings, pictures, time.perf_counter() - started, as_json=as_json)


def check_model(name: str) -> None:
    """Raises WeightsError for an unknown name, or a folder that is no checkpoint, before torch is loaded."""
    from inkwash.models.glm_image.folder import inspect_folder
    from inkwash.models.registry import ModelEntry, bundled_folder, resolve_name

    found = resolve_name(name)
    if isinstance(found, Path):
        inspect_folder(found)
    elif isinstance(found, ModelEntry) and found.bundled:
        inspect_folder(bundled_folder(found.name))


def _work(
    settings: DrawSettings, references: list[Image.Image], mask: Image.Image | None, bars: Bars, cancel: CancelToken
) -> list[Image.Image]:
    bars.move("load", 0, None)
    import torch

    from inkwash.core import device
    from inkwash.engine.pipeline import GlmImagePipeline

    device.set_threads()
    place = device.pick_device(settings.device)
    pipe = GlmImagePipeline.from_pretrained(
        settings.model, torch_dtype=device.pick_dtype(settings.dtype, place), device_map=place
    )
    bars.move("load", 1, 1)
    width, height = settings.size or (None, None)
    output = pipe(
        prompt=settings.prompt,
        image=references or None,
        mask=mask,
        height=height,
        width=width,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        negative_prompt=settings.negative,
        num_images_per_prompt=settings.n,
        layout=settings.layout,
        generator=[torch.Generator().manual_seed(seed) for seed in settings.seeds],
        temperature=settings.temperature,
        top_p=settings.top_p,
        progress=bars,
        cancel=cancel,
    )
    assert not isinstance(output, tuple)
    pictures: list[Image.Image] = output.images
    return pictures


def report(settings: DrawSettings, pictures: list[Image.Image], seconds: float, *, as_json: bool) -> None:
    """Writes the files with their settings and prints what was made; one bad file does not lose the others."""
    from inkwash.media.images import save_image

    said, failure = [], None
    for index, (file, picture) in enumerate(zip(settings.files, pictures, strict=True)):
        metadata = settings.metadata(index, picture.size)
        try:
            save_image(picture, file, metadata=metadata)
            said.append({"path": str(file), **metadata})
        except InkwashError as error:
            failure = failure or error
    if as_json:
        print(json.dumps({"pictures": said, "seconds": round(seconds, 3)}, ensure_ascii=False))
    else:
        for one in said:
            print(_line(one))
        print(f"{len(said)} picture{'s' if len(said) != 1 else ''} in {seconds:.1f} s")
    if failure is not None:
        raise failure


def _line(said: dict[str, Any]) -> str:
    parts = [
        f"{key} {said[key]}" for key in ("size", "steps", "guidance", "temperature", "top_p", "model") if said[key]
    ]
    return f"{shlex.quote(said['path'])}: seed {said['seed']}, {', '.join(parts)}"
