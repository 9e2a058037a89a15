"""`inkwash edit`: a prompt and one or several pictures become a new picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from inkwash.cli import options as o
from inkwash.cli.command import command
from inkwash.cli.draw_options import DrawOptions, ModelOptions, OutputOptions, VerifyOptions, WeightOptions

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
    asked: EditInputs,
    drawing: DrawOptions,
    picked: ModelOptions,
    weights: WeightOptions,
    check: VerifyOptions,
    out: OutputOptions,
) -> None:
    """Draw from a prompt and one or several pictures.

    Example: inkwash edit 'Replace the background with blue' --image poster.png -o blue.png
    """
    from inkwash.cli.draw import draw
    from inkwash.cli.draw_options import DrawJob, read_prompt

    load, usual, rules = weights.load(picked.model), drawing.of_model(picked.model), check.rules()
    job = DrawJob(
        request=usual.request(read_prompt(asked.prompt)),
        load=load,
        output=out.output,
        images=tuple(asked.image),
        mask=asked.mask,
        verify=rules,
        overwrite=out.overwrite,
    )
    draw([job], as_json=out.json, quiet=out.quiet)


edit = command(_edit, EditInputs, DrawOptions, ModelOptions, WeightOptions, VerifyOptions, OutputOptions)
