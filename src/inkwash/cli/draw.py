"""`inkwash generate` and `inkwash edit`: a prompt, with pictures or without, becomes pictures on disk."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from inkwash.cli import options as o
from inkwash.cli.options import (
    PLAN_OPTIONS,
    DrawJob,
    DrawOptions,
    ModelOptions,
    OutputOptions,
    VerifyOptions,
    WeightOptions,
    command,
    read_prompt,
)
from inkwash.cli.progress import Bars, interruptible
from inkwash.cli.prompts import read_prompts
from inkwash.core.errors import Cancelled, InkwashError, RequestError
from inkwash.core.types import Size

if TYPE_CHECKING:
    from PIL import Image

    from inkwash.engine.pipeline import GlmImagePipeline
    from inkwash.engine.request import CancelToken, ProgressCallback
    from inkwash.engine.verify import ReadPicture


Images = Annotated[list[Path], typer.Option("--image", help="A picture to start from; give it again for more.")]
Mask = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        help="Picture of the first one's size. What is transparent may change; in one without transparency, what is "
        "white.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class EditInputs:
    """What to draw, and from which pictures."""

    prompt: o.Prompt
    image: Images
    mask: Mask = None


def _edit(
    inputs: EditInputs,
    drawing: DrawOptions,
    picked: ModelOptions,
    weights: WeightOptions,
    check: VerifyOptions,
    out: OutputOptions,
) -> None:
    """Draw from a prompt and one or several pictures.

    Example: inkwash edit 'Replace the background with blue' --image poster.png -o blue.png
    """
    load, usual, rules = weights.load(picked.model), drawing.of_model(picked.model), check.rules()
    job = DrawJob(
        request=usual.request(read_prompt(inputs.prompt)),
        load=load,
        output=out.output,
        images=tuple(inputs.image),
        mask=inputs.mask,
        verify=rules,
        overwrite=out.overwrite,
    )
    draw([job], as_json=out.json, quiet=out.quiet)


edit = command(_edit, EditInputs, DrawOptions, ModelOptions, WeightOptions, VerifyOptions, OutputOptions)


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """What to draw."""

    prompt: o.PromptOrFile = None
    prompts: o.Prompts = None


def _generate(
    prompts: PromptOptions,
    drawing: DrawOptions,
    picked: ModelOptions,
    weights: WeightOptions,
    check: VerifyOptions,
    out: OutputOptions,
) -> None:
    """Draw pictures from a prompt, or from every line of a file.

    Example: inkwash generate 'A poster that says "HELLO"' -o poster.png --seed 7 --verify
    """
    load, usual, rules = weights.load(picked.model), drawing.of_model(picked.model), check.rules()

    def make(prompt: str, *, output: Path = out.output, **changes: Any) -> DrawJob:
        request = replace(usual, **changes).request(prompt)
        return DrawJob(request=request, load=load, output=output, verify=rules, overwrite=out.overwrite)

    if prompts.prompt is not None and prompts.prompts is None:
        jobs = [make(read_prompt(prompts.prompt))]
    elif prompts.prompts is not None and prompts.prompt is None:
        jobs = read_prompts(prompts.prompts, make)
    else:
        which = "Neither a prompt nor" if prompts.prompt is None else "Both a prompt and"
        raise RequestError(f"{which} --prompts FILE was given: give one of them.", param="prompt")
    draw(jobs, as_json=out.json, quiet=out.quiet)


generate = command(_generate, PromptOptions, DrawOptions, ModelOptions, WeightOptions, VerifyOptions, OutputOptions)


class DrawnPicture(NamedTuple):
    """A picture, and what is to be said about it beyond the settings."""

    picture: Image.Image
    metadata: dict[str, Any]


class WordsWrong(InkwashError):
    """Pictures were drawn and kept, but verification did not find their words in them."""

    exit_code = 3


class PromptFailed(InkwashError):
    """One of several prompts could not be drawn; the others were."""


def draw(jobs: Sequence[DrawJob], *, as_json: bool, quiet: bool) -> None:
    """Draws with one model, writes and reports; every check that needs no model comes first.

    A drawing that fails does not stop the others; its sentence and exit code come last.
    """
    from inkwash.engine.open import open_pipeline
    from inkwash.engine.request import CancelToken
    from inkwash.media.images import check_output

    load, verify = jobs[0].load, jobs[0].verify
    for job in jobs:
        check_output(job.output, job.request.num_images, overwrite=job.overwrite)
    jobs = [with_pictures(job) if job.images else job for job in jobs]
    check_model(load.model)
    read = open_reader() if verify is not None else None
    report = Report(as_json=as_json, quantize=load.quantize)
    for number, job in enumerate(jobs, start=1):
        where = f"Prompt {number}: " if len(jobs) > 1 else ""
        report.say([f"{where}{note}" for note in drawing_notes(job)])
    visible, cancel = False if quiet else None, CancelToken()
    with Bars(visible=visible) as bars:
        bars.move("load", 0, None)
        pipe = interruptible(partial(open_pipeline, load), cancel.cancel)
        bars.move("load", 1, 1)
    if pipe.placement is not None and pipe.placement.note is not None:
        report.say([pipe.placement.note])
    for number, job in enumerate(jobs, start=1):
        try:
            with Bars(visible=visible) as bars:
                if len(jobs) > 1:
                    bars.move("Prompts", number - 1, len(jobs))
                attempted = partial(bars.move, "Attempts")
                work = partial(paint, job, pipe, read, progress=bars, cancel=cancel, attempted=attempted)
                report.add(job, interruptible(work, cancel.cancel))
        except Cancelled as error:
            if report.written:
                raise Cancelled(f"Interrupted; {len(report.written)} pictures were written before.") from error
            raise
        except InkwashError as error:
            report.fail(error if len(jobs) == 1 else PromptFailed(f"Prompt {number}: {error.message}"))
    report.close()


def with_pictures(job: DrawJob) -> DrawJob:
    """The job with the pictures of its files in the request."""
    from inkwash.cli.media import media_reader

    reader = media_reader()
    references = [reader.picture(path) for path in job.images]
    mask = reader.picture(job.mask, form="mask") if job.mask else None
    if mask is not None and mask.size != references[0].size:
        raise RequestError(
            f"The mask is {mask.size[0]}x{mask.size[1]}, but the first picture is "
            f"{references[0].size[0]}x{references[0].size[1]}: both must have the same size.",
            param="mask",
        )
    return replace(job, request=replace(job.request, images=tuple(references), mask=mask))


def open_reader() -> ReadPicture:
    """What --verify reads with; MissingExtraError without the extra `ocr`."""
    from inkwash.eval.ocr import Reader

    return Reader().reading


def check_model(name: str) -> None:
    """Raises WeightsError for an unknown name, or a folder that is no checkpoint, before torch is loaded."""
    from inkwash.models.glm_image.folder import inspect_folder
    from inkwash.models.registry import locate

    found = locate(name)
    if isinstance(found, Path):
        inspect_folder(found)


def paint(
    job: DrawJob,
    pipe: GlmImagePipeline,
    read: ReadPicture | None,
    *,
    progress: ProgressCallback,
    cancel: CancelToken,
    attempted: Callable[[int, int], None],
) -> list[DrawnPicture]:
    """The pictures of one job; under --verify each is read back, and what was read goes into its metadata."""
    if read is None:
        return [
            DrawnPicture(picture, {}) for picture in pipe.draw(job.request, progress=progress, cancel=cancel).images
        ]
    from inkwash.engine.verify import draw_verified

    verified = draw_verified(
        pipe, job.request, read, verify=job.verify, progress=progress, cancel=cancel, attempted=attempted
    )
    return [DrawnPicture(one.image, {"verify": one.to_dict()}) for one in verified]


class Report:
    """Writes pictures with their settings and says what was made; one bad file does not lose the others."""

    def __init__(self, *, as_json: bool, quantize: str | None) -> None:
        self.as_json, self.quantize = as_json, quantize
        self.started = time.perf_counter()
        self.written: list[dict[str, Any]] = []
        self.failure: InkwashError | None = None
        self.wrong: list[dict[str, Any]] = []
        self.trades: list[str] = []
        self.warnings: list[str] = []

    def say(self, notes: Sequence[str]) -> None:
        """What is to be known before the drawing begins: on stderr, or in the JSON."""
        self.warnings += notes
        if not self.as_json:
            for note in notes:
                print(f"inkwash: {note}", file=sys.stderr)

    def add(self, job: DrawJob, made: Sequence[DrawnPicture]) -> None:
        """Writes the pictures of one drawing."""
        from inkwash.engine.request import find_quality
        from inkwash.media.images import free_names, save_outputs

        names = free_names(job.output, job.request.num_images, overwrite=job.overwrite)
        for index, (name, one) in enumerate(zip(names, made, strict=True)):
            metadata = {**job.metadata(index, one.picture.size), **one.metadata}
            try:
                file = save_outputs(one.picture, name, job.output, overwrite=job.overwrite, metadata=metadata)
            except InkwashError as error:
                self.fail(error)
                continue
            row = {"path": str(file), **metadata}
            self.written.append(row)
            if not metadata.get("verify", {}).get("right", True):
                self.wrong.append(row)
            if not self.as_json:
                print(_line(row), flush=True)
        if job.request.quality != "exact":
            trade = f"quality {find_quality(job.request.quality).trade(job.request.num_inference_steps)}"
            self.trades += [] if trade in self.trades else [trade]

    def fail(self, error: InkwashError) -> None:
        """Keeps the first failure for the end; the further ones are said at once."""
        if self.failure is None:
            self.failure = error
        else:
            print(f"inkwash: {error.message}", file=sys.stderr)

    def close(self) -> None:
        """The last lines; raises what went wrong."""
        seconds, count = time.perf_counter() - self.started, len(self.written)
        if self.as_json:
            summary = {"pictures": self.written, "warnings": self.warnings, "seconds": round(seconds, 3)}
            print(json.dumps(summary, ensure_ascii=False))
        else:
            print(f"{count} picture{'s' if count != 1 else ''} in {seconds:.1f} s")
            if self.quantize is not None:
                print(f"weights rounded: {self.quantize}")
            for trade in self.trades:
                print(trade)
        if self.failure is not None:
            raise self.failure
        if self.wrong:
            raise WordsWrong(_wrong(self.wrong))


def _wrong(pictures: Sequence[dict[str, Any]]) -> str:
    """The sentence about pictures that verification gave up on."""
    worst = pictures[0]
    wanted = ", ".join(f'"{text}"' for text in worst["verify"]["wanted"]) or "the removed text is gone"
    read = " / ".join(worst["verify"]["read"]) or "nothing"
    more = f", and so are those of {len(pictures) - 1} more" if len(pictures) > 1 else ""
    attempts = worst["verify"]["attempts"]
    return (
        f"The words of {worst['path']} are still wrong after {attempts} attempt{'s' if attempts != 1 else ''} "
        f"(asked for {wanted}, read {read}){more}: allow more with --tries, or take another --seed."
    )


def _line(row: dict[str, Any]) -> str:
    parts = [f"{key} {row[key]}" for key in ("size", "steps", "guidance", *PLAN_OPTIONS, "model") if key in row]
    line = f"{shlex.quote(row['path'])}: seed {row['seed']}, {', '.join(parts)}"
    return line + _reading_line(row["verify"]) if "verify" in row else line


def _reading_line(verified: dict[str, Any]) -> str:
    """What was read, under the line of its picture."""
    read = " / ".join(verified["read"]) or "nothing"
    attempt, attempts = verified["attempt"] + 1, verified["attempts"]
    return f"\n  read back: {read} (score {verified['score']:.2f}, attempt {attempt} of {attempts})"


def drawing_notes(job: DrawJob) -> list[str]:
    """Sentences about what the model will not draw as it is asked to; what a model on a hub can draw is not known."""
    from inkwash.engine.notes import negative_notes, notes
    from inkwash.models.glm_image.folder import drawing_defaults
    from inkwash.models.registry import defaults_of, folder_of
    from inkwash.models.tensor_files import read_json

    folder = folder_of(job.load.model)
    defaults = defaults_of(job.load.model) if folder is None else drawing_defaults(folder)
    request, references = job.request, job.request.images
    size = None
    if request.height is not None and request.width is not None:
        size = Size(request.width, request.height)
    if size is None and references:
        size = Size(*references[0].size)
    if size is None and folder is not None:
        side = read_json(folder / "vae" / "config.json").get("sample_size")
        size = Size(side, side) if isinstance(side, int) else None
    canonical, adapted = defaults.canonical_quotes, bool(job.load.loras)
    found = notes(request.prompt, size, references, defaults.limits, canonical=canonical, adapted=adapted)
    return [*found, *negative_notes(request.negative_prompt, request.guidance_scale)]
