"""From checked settings to pictures on disk: what ``generate`` and ``edit`` have in common."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from inkwash.cli.settings import DrawSettings
from inkwash.core.errors import InkwashError, RequestError

if TYPE_CHECKING:
    from PIL import Image

    from inkwash.cli.progress import Bars
    from inkwash.engine.pipeline import GlmImagePipeline
    from inkwash.engine.request import CancelToken
    from inkwash.engine.verify import ReadPicture


class Made(NamedTuple):
    """A picture, and what is to be said about it beyond the settings."""

    picture: Image.Image
    metadata: dict[str, Any]


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
    read = open_reader() if settings.verify is not None else None

    from inkwash.engine.request import CancelToken  # light, but behind the checks

    started = time.perf_counter()
    cancel = CancelToken()
    with Bars(shown=False if quiet else None) as bars:
        made = interruptible(lambda: _work(settings, references, mask, read, bars, cancel), cancel.cancel)
    report(settings, made, time.perf_counter() - started, as_json=as_json)


def open_reader() -> ReadPicture:
    """What --verify reads with; MissingExtraError without the extra `ocr`."""
    from inkwash.eval.ocr import Reader

    return Reader().reading


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
    settings: DrawSettings,
    references: list[Image.Image],
    mask: Image.Image | None,
    read: ReadPicture | None,
    bars: Bars,
    cancel: CancelToken,
) -> list[Made]:
    bars.move("load", 0, None)
    import torch

    from inkwash.core import device
    from inkwash.engine.pipeline import GlmImagePipeline

    device.set_threads()
    place = device.pick_device(settings.device)
    pipe = GlmImagePipeline.from_pretrained(
        settings.model,
        torch_dtype=device.pick_dtype(settings.dtype, place),
        device_map=place,
        offload=settings.offload,
        quantize=settings.quantize,
    )
    if settings.compile:
        pipe.compile()
    if settings.loras:
        names = [pipe.load_lora_weights(path) for path, _ in settings.loras]
        pipe.set_adapters(names, [weight for _, weight in settings.loras])
    bars.move("load", 1, 1)
    if read is not None:
        return _verified(settings, pipe, read, bars, cancel)
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
        quality=settings.quality,
        progress=bars,
        cancel=cancel,
    )
    assert not isinstance(output, tuple)
    return [Made(picture, {}) for picture in output.images]


def _verified(
    settings: DrawSettings, pipe: GlmImagePipeline, read: ReadPicture, bars: Bars, cancel: CancelToken
) -> list[Made]:
    """The same with every picture read back; what was read goes into its metadata."""
    from inkwash.engine.request import GenerationRequest
    from inkwash.engine.verify import draw_verified

    width, height = settings.size or (None, None)
    request = GenerationRequest(
        prompt=settings.prompt,
        height=height,
        width=width,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        negative_prompt=settings.negative,
        num_images=settings.n,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=settings.seed,
        quality=settings.quality,
    )

    def attempted(done: int, most: int) -> None:
        bars.move("Attempts", done, most)

    verified = draw_verified(
        pipe, request, read, verify=settings.verify, progress=bars, cancel=cancel, attempted=attempted
    )
    return [Made(one.image, {"verify": one.to_dict()}) for one in verified]


def report(settings: DrawSettings, made: Sequence[Made], seconds: float, *, as_json: bool) -> None:
    """Writes the files with their settings and prints what was made; one bad file does not lose the others."""
    from inkwash.engine.quality import find_quality
    from inkwash.media.images import save_image

    said, failure = [], None
    for index, (file, one) in enumerate(zip(settings.files, made, strict=True)):
        metadata = {**settings.metadata(index, one.picture.size), **one.metadata}
        try:
            save_image(one.picture, file, metadata=metadata)
            said.append({"path": str(file), **metadata})
        except InkwashError as error:
            failure = failure or error
    if as_json:
        print(json.dumps({"pictures": said, "seconds": round(seconds, 3)}, ensure_ascii=False))
    else:
        for picture in said:
            print(_line(picture))
        print(f"{len(said)} picture{'s' if len(said) != 1 else ''} in {seconds:.1f} s")
        if settings.quantize is not None:
            print(f"weights rounded: {settings.quantize}")
        if settings.quality != "exact":
            print(f"quality {find_quality(settings.quality).trade(settings.steps)}")
    if failure is not None:
        raise failure


def _line(said: dict[str, Any]) -> str:
    parts = [
        f"{key} {said[key]}" for key in ("size", "steps", "guidance", "temperature", "top_p", "model") if key in said
    ]
    line = f"{shlex.quote(said['path'])}: seed {said['seed']}, {', '.join(parts)}"
    return line + _reading_line(said["verify"]) if "verify" in said else line


def _reading_line(verified: dict[str, Any]) -> str:
    """What was read, under the line of its picture."""
    read = " / ".join(verified["read"]) or "nothing"
    attempt, attempts = verified["attempt"] + 1, verified["attempts"]
    return f"\n  read back: {read} (score {verified['score']:.2f}, attempt {attempt} of {attempts})"
