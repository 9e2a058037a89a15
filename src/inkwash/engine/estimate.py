"""How long requests take: their work counted beforehand, over speeds measured on the requests before them.

The number of tokens of a plan is known, and a decoder step's arithmetic follows from the size, attention included; so
one measured rate for each stage carries over to other sizes, steps and counts.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from inkwash.engine.request import DrawRequest, find_quality, picture_size
from inkwash.engine.stages import Stages
from inkwash.models.glm_image.processor import CELL, preview_grid

_KEEP = 0.8  # of the old rate, at every new measurement
_FIRST_TOKEN_S, _FIRST_RATE = 0.004, 2e10  # guesses for a CPU until the first picture is measured
_VAE_STEPS = 1.0  # decoding a picture, in decoder steps


@dataclass(frozen=True, kw_only=True)
class RequestWork:
    """What a request asks for: sequences to plan, tokens of each, pictures, and arithmetic of each picture."""

    sequences: int
    tokens: int
    pictures: int
    steps: int
    flops: float


def work_of(stages: Stages, request: DrawRequest, *, planned: bool) -> RequestWork:
    """Count the work of a request; `planned` if it brings its prior tokens."""
    natural = stages.natural_size([list(request.images)])
    height, width = picture_size(request.height, request.width, natural)
    rows, columns = height // CELL, width // CELL
    tokens = rows * columns
    if not request.images:
        preview = preview_grid(rows, columns)
        tokens += preview[0] * preview[1]
    sequences = 0 if planned else (1 if request.layout == "same" else request.num_images)
    steps = find_quality(request.quality).steps(request.num_inference_steps)
    return RequestWork(
        sequences=sequences,
        tokens=tokens,
        pictures=request.num_images,
        steps=steps,
        flops=(steps + _VAE_STEPS) * step_flops(stages, height, width, request),
    )


def step_flops(stages: Stages, height: int, width: int, request: DrawRequest) -> float:
    """Multiplications and additions of one decoder step of one picture: matrices and attention."""
    config = stages.parts.decoder.config
    cell = stages.parts.vae.config.scale_factor * config.patch_size
    tokens = (height // cell) * (width // cell)
    seen = sum(4 * rows * columns for rows, columns in _grids(stages, request))
    matrices = 24 * tokens * config.width**2
    attention = 4 * tokens * config.width
    conditional = config.num_layers * (matrices + attention * (tokens + seen))
    return conditional + (config.num_layers * (matrices + attention * tokens) if request.guidance_scale > 1 else 0)


def _grids(stages: Stages, request: DrawRequest) -> list[tuple[int, int]]:
    pictures = stages.parts.processor.pictures
    return [pictures.grid(image.height, image.width) for image in request.images]


class Speeds:
    """Measured rates; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.token_s, self.flops_per_s, self.step_s = _FIRST_TOKEN_S, _FIRST_RATE, 0.0
        self.tokens = self.steps = 0

    def saw_tokens(self, count: int, seconds: float) -> None:
        """One AR step of `count` rows."""
        with self._lock:
            each = seconds / count
            self.token_s = each if not self.tokens else self.token_s + 0.02 * (each - self.token_s)
            self.tokens += count

    def saw_picture(self, work: RequestWork, seconds: float) -> None:
        """One picture was denoised and decoded."""
        with self._lock:
            rate, step = work.flops / max(seconds, 1e-6), seconds / (work.steps + _VAE_STEPS)
            self.flops_per_s = rate if not self.steps else _KEEP * self.flops_per_s + (1 - _KEEP) * rate
            self.step_s = step if not self.steps else _KEEP * self.step_s + (1 - _KEEP) * step
            self.steps += work.steps

    def seconds(self, work: RequestWork, *, tokens: int, pictures: float) -> float:
        """Seconds that one decode worker needs for so many tokens and pictures of this kind."""
        return tokens * self.token_s + pictures * work.flops / self.flops_per_s
