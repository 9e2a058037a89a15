"""`inkwash describe`: pictures, videos and documents in, an answer about them out."""

from __future__ import annotations

import json as jsons
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkwash.cli import options as o
from inkwash.cli import seeing as s
from inkwash.cli.options import command
from inkwash.core.errors import RequestError

if TYPE_CHECKING:
    from inkwash.engine.see.output import VisionOutput

Files = Annotated[list[Path], typer.Argument(help="Pictures, videos, PDF, PPTX or DOCX files, in this order.")]
Question = Annotated[str | None, typer.Option("-q", "--question", help="What to ask [default: a description].")]
Boxes = Annotated[
    Path | None, typer.Option("--boxes", metavar="FILE", help="Draw the boxes of the answer on the picture.")
]
Thoughts = Annotated[bool, typer.Option("--thoughts", help="Print the thoughts before the answer.")]

Quiet = Annotated[bool, typer.Option("--quiet", help="Do not say on stderr what the question costs.")]


@dataclass(frozen=True, kw_only=True)
class DescribeOptions:
    """What is shown and asked, how it is read, and where the answer goes."""

    files: Files
    question: Question = None
    boxes: Boxes = None
    model: s.Model = "nano-v"
    think: s.Think = None
    budget: s.BudgetTokens = None
    thoughts: Thoughts = False
    max_tokens: s.MaxTokens = 1024
    temperature: s.Temperature = None
    seed: s.Seed = None
    pages: s.Pages = None
    password: s.Password = None
    dpi: s.Dpi = 180
    fps: s.Fps = None
    max_frames: s.Frames = None
    start: s.Start = None
    end: s.End = None
    device: o.DeviceName = None
    dtype: o.Dtype = None
    quantize: s.Quantize = None
    lora: o.Loras = None
    fence_html: s.Fence = False
    overwrite: o.Overwrite = False
    json: o.Json = False
    quiet: Quiet = False


def _describe(options: DescribeOptions) -> None:
    """Answer a question about pictures, videos and documents.

    Example: inkwash describe poster.png -q 'Where is the text "HELLO"?' --boxes marked.png
    """
    from inkwash.cli.media import media_reader
    from inkwash.media.images import check_output
    from inkwash.media.kinds import kind_of

    settings = s.SeeingOptions.of(options)
    if options.question is not None and not options.question.strip():
        raise RequestError("The question is empty: leave -q out for a description.", param="question")
    kinds = [kind_of(file) for file in options.files]
    document: dict[str, Any] = {"pages": options.pages, "password": options.password}
    parts = [
        s.file_part(file, **document if kind == "file" else {}) for file, kind in zip(options.files, kinds, strict=True)
    ]
    pictures = [file for file in options.files if kind_of(file) == "image"]
    if options.boxes is not None:
        if len(pictures) != 1:
            raise RequestError(
                f"--boxes draws on one picture, but {len(pictures)} were given: ask about one at a time.", param="boxes"
            )
        check_output(options.boxes, overwrite=options.overwrite)
    s.check_model(options.model)

    question = options.question or (
        "Describe this picture." if len(options.files) == len(pictures) == 1 else "Describe what you see."
    )
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]
    pipe = s.open_pipeline(settings)
    cost = pipe.cost(messages, enable_thinking=options.think)
    if not options.quiet and not options.json:
        seen = f", {cost.media_tokens} of them for what is seen" if cost.media_tokens else ""
        print(f"inkwash: the question takes {cost.prompt_tokens} tokens{seen}.", file=sys.stderr)
    screen = None if options.json else s.AnswerPrinter(sys.stdout, folded=not options.thoughts)
    output = s.answer(pipe, messages, settings, screen)
    size = media_reader().picture_size(pictures[0]) if len(pictures) == 1 else None
    marked = None if options.boxes is None else _draw(output, pictures[0], options.boxes, options.overwrite)
    if options.json:
        print(jsons.dumps(_report(output, options.files, size, marked), ensure_ascii=False))
        return
    if size is not None:
        for left, top, right, bottom in output.pixel_boxes(*size):
            print(f"box: {left},{top} to {right},{bottom} of {size[0]}x{size[1]} px")


describe = command(_describe, DescribeOptions)


def _draw(output: VisionOutput, picture: Path, target: Path, overwrite: bool) -> Path:
    """Writes the marked picture and returns its file."""
    from inkwash.cli.media import media_reader
    from inkwash.media.images import save_output
    from inkwash.media.marks import draw_boxes

    image = media_reader().picture(picture)
    file = save_output(draw_boxes(image, output.pixel_boxes(*image.size)), target, overwrite=overwrite)
    if not output.boxes:
        print(f"inkwash: the answer names no box; {file} is written unmarked.", file=sys.stderr)
    elif file != target:
        print(f"inkwash: {target} was there, so the marked picture is {file}.", file=sys.stderr)
    return file


def _report(
    output: VisionOutput, files: list[Path], size: tuple[int, int] | None, boxes: Path | None
) -> dict[str, Any]:
    found = {"files": [str(file) for file in files], **output.to_dict()}
    if size is not None:
        found["pixel_boxes"] = [list(box) for box in output.pixel_boxes(*size)]
    if boxes is not None:
        found["boxes_file"] = str(boxes)
    return {**found, "seconds": round(output.timings["seconds"], 3)}
