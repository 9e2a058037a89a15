"""Rollouts with the engine's own sampling and denoising: plans from prompts, pictures from plans.

Every random number is a digest of (run seed, step, prompt, sample): a step is a pure function of the weights and its
number, so a killed run draws the same again. Plans of one prompt share its prefill; pictures go through the decoder
several at a time, which is faster on a CPU and rounds differently from a picture alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from inkwash.core.seeds import make_generator
from inkwash.engine.ar import Row, fill_placeholders, read_prompt, sample_plans
from inkwash.engine.denoise import DenoiseInput, Denoiser
from inkwash.engine.output import decode_latents, to_output, upsample
from inkwash.engine.request import SamplingOverrides, Watch
from inkwash.engine.sampling import Sampling, Trace
from inkwash.engine.stages import Stages
from inkwash.models.glm.decode import fuse_for_decode
from inkwash.models.glm_image.ar import decode_positions, prompt_positions
from inkwash.models.glm_image.config import ARConfig
from inkwash.models.glm_image.processor import CELL, Grid, ImagePrompt
from inkwash.models.glm_image.quotes import glyph_texts
from inkwash.models.glm_image.weights import GlmImageParts
from inkwash.rl.kernels import Kernel
from inkwash.rl.logprobs import KeptIds
from inkwash.rl.prompts import Ask
from inkwash.rl.sampler import KernelStep, sample
from inkwash.scenes.render import render
from inkwash.scenes.scene import Scene
from inkwash.train.rows import ARBatch, pad_rows

ODE = Kernel()
TOGETHER = 8  # pictures of a pass, and plans of a step


class ReadAsk(NamedTuple):
    """A prompt as the generator reads it, and the semantic tokens (N,) of the pictures that are edited."""

    prompt: ImagePrompt
    references: tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class PlanSample:
    """One sampled plan: its tokens (n,), what each could have been, and the sampler's log-probabilities (n,).

    `references` are the semantic tokens (N,) of the pictures that are edited.
    """

    prompt: ImagePrompt
    tokens: Tensor
    kept: KeptIds
    logps: Tensor
    references: tuple[Tensor, ...] = ()

    @property
    def reference_grids(self) -> tuple[Tensor, ...]:
        """Semantic tokens (rows, columns) of the pictures that are edited."""
        pairs = zip(self.references, self.prompt.references, strict=True)
        return tuple(ids.view(reference.grid) for ids, reference in pairs)

    @property
    def grids(self) -> list[Grid]:
        """Of the plan, in the order in which it is drawn."""
        return [self.prompt.target] if self.prompt.preview is None else [self.prompt.preview, self.prompt.target]

    @property
    def target(self) -> Tensor:
        """Semantic tokens (rows, columns) of the picture."""
        rows, columns = self.prompt.target
        return self.tokens[-rows * columns :].view(rows, columns)

    @property
    def preview_tokens(self) -> int:
        return len(self.tokens) - self.prompt.target[0] * self.prompt.target[1]


@dataclass(frozen=True, kw_only=True)
class PictureSample:
    """Finished pictures: latents (B, C, h, w) fp32, images, and the random steps that led there."""

    latents: Tensor
    images: list[Image.Image]
    steps: tuple[KernelStep, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """A checkpoint at work, with the settings of a rollout; without guidance, as a guided policy is another one."""

    parts: GlmImageParts
    sampling: Sampling
    steps: int = 8
    guidance: float = 1.0
    together: int = TOGETHER

    @property
    def stages(self) -> Stages:
        return Stages(self.parts, self.together)

    @torch.no_grad()
    def plans(self, asks: Sequence[Ask], seeds: Sequence[Sequence[int]]) -> list[list[PlanSample]]:
        """A plan for every seed of every ask; all asks are of one canvas."""
        prompts = self.prompts(asks)
        rows, traces = [], []
        for (prompt, references), numbers in zip(prompts, seeds, strict=True):
            prefix = read_prompt(self.parts.ar, prompt, references)
            for seed in numbers:
                traces.append(Trace())
                uniforms = torch.rand(prefix.tokens, generator=make_generator(seed))
                rows.append(Row(prefix, uniforms, traces[-1]))
        step = fuse_for_decode(self.parts.ar)
        drawn = sample_plans(self.parts.ar, step, rows, self.sampling, Watch(), rows_per_pass=self.together)
        owners = [prompt for prompt, numbers in zip(prompts, seeds, strict=True) for _ in numbers]
        samples = [self._plan(*each) for each in zip(owners, drawn, traces, strict=True)]
        found, at = [], 0
        for numbers in seeds:
            found.append(samples[at : at + len(numbers)])
            at += len(numbers)
        return found

    @torch.no_grad()
    def prompts(self, asks: Sequence[Ask]) -> list[ReadAsk]:
        """What the generator reads of asks of one canvas: prompts, and semantic tokens (N,) of edited pictures."""
        scene = asks[0].scene
        pictures = [[render(source) for source in ask.sources] for ask in asks]
        prompts = self.stages.prompts([ask.prompt for ask in asks], pictures, scene.height, scene.width)
        return [ReadAsk(*each) for each in zip(prompts, map(tuple, self.stages.semantic_ids(prompts)), strict=True)]

    @torch.no_grad()
    def true_plan(self, scene: Scene) -> Tensor:
        """Semantic tokens (rows, columns) of the rendered scene, as a reference is read."""
        prompts = self.stages.prompts([""], [[render(scene)]], scene.height, scene.width)
        return self.stages.semantic_ids(prompts)[0][0].view(prompts[0].references[0].grid)

    def _plan(self, read: ReadAsk, tokens: Tensor, trace: Trace) -> PlanSample:
        plan = PlanSample(
            prompt=read.prompt,
            tokens=tokens.cpu(),
            kept=KeptIds.of([]),
            logps=torch.empty(0),
            references=read.references,
        )
        if not trace.ids:  # an accelerator's slots keep their steps to themselves
            trace = self._traced(plan)
        return replace(plan, kept=KeptIds.of(trace.ids), logps=torch.tensor(trace.logps))

    def _traced(self, sample: PlanSample) -> Trace:
        """The same from one pass over the finished plan."""
        ar, tokens = self.parts.ar, sample.tokens
        rows = plan_rows([sample], ar.config).to(ar.lm_head.weight.device)
        hidden = ar(rows.ids, rows.positions)[rows.weight > 0]
        logits = ar.lm_head(hidden)[:, : ar.config.vq_config.num_embeddings].float().cpu()
        trace = Trace()
        trace.saw(logits, tokens.tolist(), self.sampling)
        return trace

    @torch.no_grad()
    def pictures(
        self,
        tokens: Sequence[Tensor],
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        kernel: Kernel = ODE,
        window: tuple[int, int] = (0, 0),
    ) -> PictureSample:
        """Pictures of semantic tokens (rows, columns) and prompts, each from the noise of its own seed."""
        stages = self.stages
        glyphs = {prompt: stages.glyphs(prompt) for prompt in dict.fromkeys(prompts)}
        none = stages.glyphs("")
        chosen = [
            DenoiseInput(
                prior_ids=upsample(ids.flatten(), (ids.shape[0], ids.shape[1])), glyphs=glyphs[text], no_glyphs=none
            )
            for ids, text in zip(tokens, prompts, strict=True)
        ]
        cell = stages.parts.vae.config.scale_factor
        height, width = (side * CELL for side in tokens[0].shape)
        denoiser = Denoiser(
            decoder=self.parts.decoder,
            schedule=stages.schedule(height, width, self.steps),
            guidance_scale=self.guidance,
            size=(height, width),
            pictures_per_pass=self.together,
        )
        denoiser.prepare(chosen, (height // cell, width // cell))
        generators = [make_generator(seed) for seed in seeds]
        noise = torch.cat([stages.noise(generator, height, width) for generator in generators])
        path = sample(denoiser, noise, kernel=kernel, window=window, generators=generators)
        latents = path.latents  # numbers that are not finite are told by the VAE
        images: list[Image.Image] = []
        for at in range(0, len(latents), self.together):
            images += to_output(decode_latents(self.parts.vae, latents[at : at + self.together]), "pil")
        return PictureSample(latents=latents, images=images, steps=path.steps)

    def texts(self, prompt: str) -> list[str]:
        """The texts that the glyph encoder reads of a prompt."""
        return glyph_texts(self.parts.drawing.prompt(prompt))


def plan_rows(samples: Sequence[PlanSample], config: ARConfig) -> ARBatch:
    """Rows of the AR generator that predict every token of every plan; their weights are 1 there."""
    marks = {"image_start": config.image_start_token_id, "image_end": config.image_end_token_id}
    ids, positions, weights = [], [], []
    for plan in samples:
        prompt = fill_placeholders(plan.prompt.ids, plan.references, config.image_token_id)
        grids = [reference.grid for reference in plan.prompt.references]
        before, start = prompt_positions(prompt.tolist(), grids, **marks)
        drawn = decode_positions(start, plan.grids)[:, :-1]
        ids.append(torch.cat([prompt, plan.tokens.long()]))
        positions.append(torch.cat([before, drawn], dim=1))
        weights.append(torch.ones(len(plan.tokens)))
    return pad_rows(ids, positions, weights, config.text_config.pad_token_id or 0)


def sampling_of(parts: GlmImageParts) -> Sampling:
    """How the checkpoint itself samples its plans."""
    return Sampling.of(parts.defaults, SamplingOverrides())
