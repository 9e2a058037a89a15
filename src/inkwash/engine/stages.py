"""The steps from prompts to what the decoder reads, each a short method over the parts of a checkpoint.

`GlmImagePipeline` calls them in order; recipes and the trainer's sampler may call them one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from inkwash.core import seeds
from inkwash.core.device import one_thread
from inkwash.engine.ar import SLOTS, Row, Slots, fill_plans, make_slots, read_prompt, reference_semantic_ids
from inkwash.engine.offload import Residency
from inkwash.engine.output import Plan, encode_picture, join_references, split_references, upsample
from inkwash.engine.plan_choice import PlanChoice, PlanJudge, PlanReader, candidate_uniforms
from inkwash.engine.ranks.drawing import SharedDrawing
from inkwash.engine.reference_cache import ReferenceCache
from inkwash.engine.request import Watch
from inkwash.engine.sampling import Sampling
from inkwash.models.glm.decode import fuse_for_decode
from inkwash.models.glm_image.decoder_blocks import KeyValue
from inkwash.models.glm_image.glyph import MAX_BYTES
from inkwash.models.glm_image.processor import CELL, ImagePrompt
from inkwash.models.glm_image.quotes import glyph_texts
from inkwash.models.glm_image.schedule import Schedule, schedule
from inkwash.models.glm_image.weights import GlmImageParts
from inkwash.nn.finite import check_finite


@dataclass(frozen=True)
class Stages:
    """The parts of a checkpoint at work; `pictures_per_pass` None is one on a CPU and all of a call elsewhere.

    `references` keeps what reference pictures cost; without it every call computes them anew.
    """

    parts: GlmImageParts
    pictures_per_pass: int | None = None
    references: ReferenceCache | None = None
    residency: Residency | None = None  # who brings the weights of the stage at work, where not all are there
    shared: SharedDrawing | None = None  # the devices that the model is dealt out to, where it is not on one

    @property
    def device(self) -> torch.device:
        return self.parts.decoder.proj_out.weight.device if self.residency is None else self.residency.device

    @property
    def dtype(self) -> torch.dtype:
        return self.parts.decoder.proj_out.weight.dtype if self.residency is None else self.residency.dtype

    def resident(self, name: Literal["vision", "ar", "decoder"]) -> AbstractContextManager[None]:
        """Inside, the weights of this network are on the device."""
        return nullcontext() if self.residency is None else self.residency.use(name)

    def slots(self, count: int) -> Slots:
        """Places for so many plans that are drawn together."""
        if self.shared is not None:
            return self.shared.generator.slots(count)
        return make_slots(self.parts.ar, fuse_for_decode(self.parts.ar), count)

    def prompts(
        self, texts: Sequence[str], images: Sequence[Sequence[Image.Image]], height: int, width: int
    ) -> list[ImagePrompt]:
        """Token ids, grids and pixels of every prompt."""
        prepare, read = self.parts.processor.prepare, self.parts.drawing.prompt
        return [prepare(read(text), height, width, references) for text, references in zip(texts, images, strict=True)]

    def semantic_ids(self, prompts: Sequence[ImagePrompt]) -> list[list[Tensor]]:
        """Semantic tokens of every prompt's references."""
        if not any(prompt.references for prompt in prompts):
            return [[] for _ in prompts]
        with self.resident("vision"):
            return [reference_semantic_ids(self.parts.ar, prompt, self.references) for prompt in prompts]

    def plans(
        self,
        prompts: Sequence[ImagePrompt],
        semantic_ids: Sequence[Sequence[Tensor]],
        owners: Sequence[int],
        generators: Sequence[torch.Generator],
        sampling: Sampling,
        watch: Watch,
        judges: Sequence[PlanJudge | None] = (),
        candidates: int = 1,
    ) -> Tensor:
        """Prior tokens (P, N) of P plans; plan i belongs to prompt `owners[i]`, its seed is that of `generators[i]`.

        With a judge for each prompt every plan is the best of up to so many `candidates`.
        """
        watch.check()
        choices = [PlanChoice(judges[owner] if judges else None, candidates) for owner in owners]
        with self.resident("ar"):
            prefixes = [
                read_prompt(self.parts.ar, prompt, references)
                for prompt, references in zip(prompts, semantic_ids, strict=True)
            ]
            slots = self.slots(min(len(owners) * candidates, self.pictures_per_pass or SLOTS))
            while due := [(index, number) for index, choice in enumerate(choices) for number in choice.next_round()]:
                rows = []
                for index, number in due:
                    prefix = choices[index].prefix(number, prefixes[owners[index]])
                    seed = generators[index].initial_seed()
                    rows.append(Row(prefix, candidate_uniforms(seed, number, prefix.tokens)))
                drawn = fill_plans(self.parts.ar, slots, rows, sampling, watch)
                for (index, number), tokens in zip(due, drawn, strict=True):
                    choices[index].add(number, tokens[-math.prod(prompts[owners[index]].target) :])
                watch = watch.silent()  # further plans are no progress of their own
            del prefixes, rows, slots
        targets = [prompts[owner].target for owner in owners]
        return torch.stack([upsample(choice.best, target) for choice, target in zip(choices, targets, strict=True)])

    def judges(
        self,
        texts: Sequence[str],
        prompts: Sequence[ImagePrompt],
        semantic_ids: Sequence[Sequence[Tensor]],
        candidates: int,
    ) -> list[PlanJudge | None]:
        """Who chooses among the plans of every prompt; None where there is nothing to choose or to read."""
        labels, drawing = self.parts.code_labels, self.parts.drawing
        if labels is None or candidates == 1:
            return [None] * len(prompts)
        reader, judges = PlanReader(labels), []
        for text, prompt, ids in zip(texts, prompts, semantic_ids, strict=True):
            grids = [each.view(reference.grid) for each, reference in zip(ids, prompt.references, strict=True)]
            judges.append(PlanJudge.of(reader, drawing.prompt(text), prompt.target, grids, drawing.limits))
        return judges

    @torch.no_grad()
    def glyphs(self, text: str, max_length: int = MAX_BYTES) -> Tensor:
        """Embeddings (L, Dg) of the quoted texts of one prompt."""
        with one_thread(self.device):  # a few bytes: the kernels would round by the number of threads
            embeddings, _ = self.parts.glyph.encode([glyph_texts(self.parts.drawing.prompt(text))], max_length)
        return check_finite("The glyph encoder", embeddings[0])

    @torch.no_grad()
    def reference_keys(self, prompt: ImagePrompt, ids: Tensor, sizes: Tensor) -> tuple[list[KeyValue], ...]:
        """The decoder's keys and values of a prompt's references, from their pixels and prior ids."""
        grids = [reference.grid for reference in prompt.references]
        keys = []
        for reference, prior_ids in zip(prompt.references, split_references(ids, sizes, grids), strict=True):
            make = partial(self._encode_reference, reference.picture, prior_ids)
            keys.append(
                self.references.get("keys", (reference.picture, prior_ids), make) if self.references else make()
            )
        return tuple(keys)

    def _encode_reference(self, picture: Tensor, ids: Tensor) -> list[KeyValue]:
        latent = encode_picture(self.parts.vae, picture.to(self.device))
        target_size = torch.tensor([picture.shape[-2:]], dtype=torch.float32, device=self.device)
        with self.resident("decoder"):
            return self.parts.decoder.encode_reference(latent, ids[None].to(self.device), target_size)

    def noise(self, generator: torch.Generator, height: int, width: int) -> Tensor:
        """Starting latents (1, C, h, w) of one picture."""
        scale = self.parts.vae.config.scale_factor
        shape = (self.parts.decoder.config.in_channels, height // scale, width // scale)
        return seeds.noise(generator, shape, self.dtype, self.device)

    def schedule(
        self,
        height: int,
        width: int,
        steps: int,
        timesteps: Sequence[float] | None = None,
        sigmas: Sequence[float] | None = None,
    ) -> Schedule:
        """The noise schedule of a picture of this size."""
        cell = self.parts.vae.config.scale_factor * self.parts.decoder.config.patch_size
        tokens = (height // cell) * (width // cell)
        return schedule(self.parts.scheduler, tokens, steps, timesteps=timesteps, sigmas=sigmas)

    def natural_size(self, images: Sequence[Sequence[Image.Image]]) -> tuple[int, int]:
        """Height and width when none is asked for: those of the first reference, else what the VAE was trained on."""
        for references in images:
            if references:
                rows, columns = self.parts.processor.pictures.grid(references[0].height, references[0].width)
                return rows * CELL, columns * CELL
        side = self.parts.vae.config.sample_size // CELL * CELL
        return side, side


def make_plan(tokens: Tensor, prompts: Sequence[ImagePrompt], semantic_ids: Sequence[Sequence[Tensor]]) -> Plan:
    """Tokens of the pictures and the semantic ids of their references, as `generate_prior_tokens` returns them."""
    if not any(prompt.references for prompt in prompts):
        return Plan(tokens)
    pairs = [
        join_references([each.cpu() for each in references], [reference.grid for reference in prompt.references])
        for prompt, references in zip(prompts, semantic_ids, strict=True)
    ]
    return Plan(tokens, [ids for ids, _ in pairs], [sizes for _, sizes in pairs])
