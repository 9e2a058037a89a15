"""The second stage: flow-matching steps of the diffusion decoder, then the VAE.

Everything that no step changes is prepared once. Step after step is the outer loop and groups of pictures the inner
one: on a CPU a group is one picture, because kernels there round differently for other batch sizes and a picture must
not change with its batch mates; elsewhere it is all of them. The conditional and the unconditional half run as one
batch, and on a CPU, where a half fills a thread, side by side: the size of the picture alone decides that, so it has
the same bits on any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.core.device import side_by_side
from inkwash.core.errors import RequestError
from inkwash.engine.request import Quality, Watch
from inkwash.engine.step_cache import StepCache, full_steps
from inkwash.models.glm_image.decoder import Decoder, DecoderConditions
from inkwash.models.glm_image.decoder_blocks import PLAIN, KeyValue, References
from inkwash.models.glm_image.schedule import Schedule, add_noise, euler_step

TOKENS_APART = 96  # image tokens from which on the halves of a CPU's pass run side by side


@dataclass(eq=False)
class Steering:
    """One call under way, or the last one."""

    guidance_scale: float = 1.5
    num_timesteps: int = 0
    interrupt: bool = False
    timestep: Any = None


@dataclass(frozen=True, kw_only=True)
class DenoiseInput:
    """What the decoder needs to know about one picture."""

    prior_ids: Tensor  # (N,) on the decoder's grid
    glyphs: Tensor  # (Lg, Dg)
    no_glyphs: Tensor  # (Lu, Dg), of the unconditional half
    references: tuple[Sequence[KeyValue], ...] = ()

    def cpu(self) -> DenoiseInput:
        """The same in main memory, for another process."""
        tensors = {name: getattr(self, name).cpu() for name in ("prior_ids", "glyphs", "no_glyphs")}
        return replace(self, **tensors)


@dataclass(frozen=True, kw_only=True)
class Inpaint:
    """Latents to keep: `keep` (B, 1, h, w) is True where the original stays."""

    clean: Tensor
    noise: Tensor
    keep: Tensor

    def blend(self, latents: Tensor, sigma: Tensor) -> Tensor:
        """Put the original at noise level `sigma` back where it stays."""
        return torch.where(self.keep, add_noise(self.clean, self.noise, sigma), latents)


@dataclass(frozen=True, kw_only=True)
class StepState:
    """What a callback may see after a step; `x0` is the decoder's present guess of the finished latents."""

    index: int
    sigma: Tensor
    latents: Tensor
    x0: Tensor


StepCallback = Callable[[StepState], Tensor | None]


@dataclass(frozen=True, kw_only=True)
class Pass:
    """Pictures that go through the decoder together: their conditional rows and, under guidance, the others.

    `rows` are both in one, None where they run side by side. Each of the three has a step cache, if any has.
    """

    pictures: slice
    rows: DecoderConditions | None
    conditional: DecoderConditions
    unconditional: DecoderConditions | None
    cache: StepCache | None
    other_cache: StepCache | None


@dataclass(frozen=True, kw_only=True)
class Denoiser:
    """One run: pictures of one size, their schedule and guidance, and what may be left out of it."""

    decoder: Decoder
    schedule: Schedule
    guidance_scale: float
    size: tuple[int, int]  # of the picture, in pixels
    crop: tuple[int, int] = (0, 0)
    pictures_per_pass: int | None = None
    quality: Quality = field(default_factory=Quality)
    passes: list[Pass] = field(default_factory=list)

    @property
    def guided(self) -> bool:
        return self.guidance_scale > 1

    @torch.no_grad()
    def prepare(self, pictures: Sequence[DenoiseInput], latent_size: tuple[int, int]) -> None:
        """Do the step-independent work for these pictures, in passes."""
        device = self.decoder.proj_out.weight.device
        self.passes.clear()
        for part in self.parts(len(pictures), device):
            inputs = pictures[part]
            self.passes.append(self._pass(part, self.conditions(inputs, latent_size, references_of(inputs), device)))

    def parts(self, count: int, device: torch.device) -> list[slice]:
        """Which pictures go through the decoder together."""
        size = self.pictures_per_pass or (1 if device.type == "cpu" else count)
        return [slice(at, min(at + size, count)) for at in range(0, count, size)]

    def _pass(self, part: slice, rows: DecoderConditions) -> Pass:
        count, total = part.stop - part.start, rows.prior.shape[0]
        apart = self.guided and rows.prior.device.type == "cpu" and rows.prior.shape[1] >= TOKENS_APART
        full = full_steps(rows, self.quality.full_share) if self.quality.full_share < 1 else None
        return Pass(
            pictures=part,
            rows=None if apart else rows,
            conditional=rows.part(0, count) if self.guided else rows,
            unconditional=rows.part(count, total) if apart else None,
            cache=None if full is None else StepCache(full),
            other_cache=None if full is None else StepCache(full),
        )

    @torch.no_grad()
    def run(
        self,
        latents: Tensor,
        watch: Watch,
        *,
        inpaint: Inpaint | None = None,
        on_step: StepCallback | None = None,
        steering: Steering | None = None,
    ) -> Tensor:
        """Denoise latents (B, C, h, w); `on_step` may return latents to go on with, `steering` end it after a step."""
        steering = steering or Steering(guidance_scale=self.guidance_scale)
        sigmas = self.schedule.sigmas.to(latents.device)
        guided = [self.quality.guided(sigma) for sigma in self.schedule.sigmas.tolist()]
        latents = latents.float()
        watch.begin("denoise", self.schedule.steps)
        for index in range(self.schedule.steps):
            sigma, next_sigma = sigmas[index], sigmas[index + 1]
            scale = steering.guidance_scale  # which a callback may have changed
            if scale > 1 and not self.guided:
                raise RequestError(
                    "The guidance was raised above 1 in a call that began without it: begin with a guidance above 1.",
                    param="guidance_scale",
                )
            steering.timestep = self.schedule.timesteps[index]
            velocity = self._velocity(latents, index, guided[index] and scale > 1, watch, scale)
            x0 = latents - sigma * velocity if on_step is not None else latents
            latents = euler_step(latents, velocity, sigma, next_sigma)
            if inpaint is not None:
                latents = inpaint.blend(latents, next_sigma)
            if on_step is not None:
                replaced = on_step(StepState(index=index, sigma=sigma, latents=latents, x0=x0))
                latents = latents if replaced is None else replaced.to(latents)
            watch.advance()
            if steering.interrupt:
                break
        return latents

    def _velocity(self, latents: Tensor, index: int, guided: bool, watch: Watch, scale: float) -> Tensor:
        parts = []
        for each in self.passes:
            watch.check()
            parts.append(self.velocity_of(each, latents[each.pictures], index, guided, scale))
        return torch.cat(parts)

    def velocity_of(self, each: Pass, latents: Tensor, index: int, guided: bool, scale: float | None = None) -> Tensor:
        """Velocity of one pass in one step, fp32; `scale` None is the guidance that the run began with."""
        scale = self.guidance_scale if scale is None else scale
        step = self.decoder.step
        if not guided:
            if each.cache is not None and each.other_cache is not None and each.cache.runs(index):
                each.other_cache.forget()  # it would be older than the conditional rows' from now on
            return step(latents, each.conditional, index, each.cache).float()
        if each.unconditional is None:
            assert each.rows is not None
            conditional, unconditional = step(latents, each.rows, index, each.cache).float().chunk(2)
        else:
            if each.cache is not None and each.other_cache is not None and each.other_cache.empty:
                each.cache.forget()
            first = partial(step, latents, each.conditional, index, each.cache)
            second = partial(step, latents, each.unconditional, index, each.other_cache)
            stream = self.decoder.stream  # blocks that stream through one place, or are compiled, take turns
            alone = (stream is not None and not getattr(stream, "shared", False)) or self.decoder.kernels is not PLAIN
            conditional, unconditional = (first(), second()) if alone else side_by_side(first, second)
            conditional, unconditional = conditional.float(), unconditional.float()
        return unconditional + scale * (conditional - unconditional)

    def conditions(
        self,
        pictures: Sequence[DenoiseInput],
        latent_size: tuple[int, int],
        references: References | None,
        device: torch.device,
    ) -> DecoderConditions:
        """Rows: every picture's conditional half, then, under guidance, every unconditional one."""
        count = len(pictures)
        halves = 2 if self.guided else 1
        rows = [picture.glyphs for picture in pictures]
        if self.guided:
            rows += [picture.no_glyphs for picture in pictures]
        glyphs, mask = pad_glyphs(rows)
        prior = torch.stack([picture.prior_ids for picture in pictures]).to(device)
        return self.decoder.prepare(
            glyphs.to(device),
            prior.repeat(halves, 1),
            self.schedule.model_timesteps.to(device),
            torch.tensor([self.size], dtype=torch.float32, device=device),
            torch.tensor([self.crop], dtype=torch.float32, device=device),
            size=latent_size,
            glyph_mask=None if mask is None else mask.to(device),
            prior_drop=torch.arange(count * halves, device=device) >= count,
            references=references,
        )


def references_of(pictures: Sequence[DenoiseInput]) -> References | None:
    """Reference keys of every conditional row; stored once where all pictures share them (2 GB each, released)."""
    first = pictures[0].references
    if all(picture.references is first for picture in pictures):
        return References.shared(first, len(pictures))
    return References.collect([picture.references for picture in pictures])


def pad_glyphs(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Glyph embeddings (L_i, Dg) as (B, L, Dg) and a bool mask (B, L), None where nothing is padded."""
    lengths = [row.shape[0] for row in rows]
    longest = max(lengths)
    glyphs = torch.stack([F.pad(row, (0, 0, 0, longest - row.shape[0])) for row in rows])
    if min(lengths) == longest:
        return glyphs, None
    return glyphs, torch.arange(longest, device=glyphs.device) < torch.tensor(lengths, device=glyphs.device)[:, None]
