"""Unfinished looks at a picture: one from the AR preview before the decoder starts, others from its guesses on the way.

The AR generator writes a preview grid before the target. As soon as it is there, a few decoder steps over it show what
the picture will be. A generator whose own pictures are smaller than the preview grid (nano) was trained with the
picture at the preview's top left, on a larger canvas of its background: there that corner is shown. Every other
generator's preview is the whole picture, smaller.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor

from inkwash.engine.output import Plan, decode_latents, to_output, upsample
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.request import CancelToken, DrawRequest
from inkwash.engine.stages import Stages
from inkwash.models.glm_image.processor import CELL, Grid, preview_grid

PREVIEW_STEPS = 4


def shown_grid(stages: Stages, target: Grid) -> Grid:
    """The part of the preview grid, from its top left, that shows the picture."""
    preview = preview_grid(*target)
    natural = [side // CELL for side in stages.natural_size(())]
    on_canvas = all(mine < theirs for mine, theirs in zip(natural, preview_grid(*natural), strict=True))
    fits = all(mine <= theirs for mine, theirs in zip(target, preview, strict=True))
    return target if on_canvas and fits else preview


def draw_preview(
    pipe: GlmImagePipeline, request: DrawRequest, tokens: Tensor, target: Grid, cancel: CancelToken
) -> Image.Image:
    """A quick picture of a preview's tokens (preview rows * columns,); `request` is for one picture."""
    rows, columns = shown_grid(pipe.stages, target)
    square = tokens.view(preview_grid(*target))[:rows, :columns]
    quick = replace(
        request,
        height=rows * CELL,
        width=columns * CELL,
        num_inference_steps=min(PREVIEW_STEPS, request.num_inference_steps),
        quality="exact",
    )
    plan = Plan(upsample(square.reshape(-1), (rows, columns))[None])
    image: Image.Image = pipe.draw(quick, plan=plan, cancel=cancel).images[0]
    return image


def spread_steps(steps: int, count: int) -> list[int]:
    """Indices of the steps after which to look, evenly between start and end; fewer where there are few steps."""
    wanted = {round(steps * (i + 1) / (count + 1)) - 1 for i in range(count)}
    return sorted(index for index in wanted if 0 <= index < steps - 1)


@torch.no_grad()
def show_guess(stages: Stages, x0: Tensor) -> Image.Image:
    """The decoder's guess of the finished latents (1, C, h, w) as a picture."""
    image: Image.Image = to_output(decode_latents(stages.parts.vae, x0), "pil")[0]
    return image
