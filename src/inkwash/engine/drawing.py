"""One call of the pipeline at work: prepared once, then planned, denoised and decoded.

The order of random draws is fixed here: every picture's plan generator is derived first, then its noise is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from inkwash.core.errors import RequestError
from inkwash.engine import inputs, seeds
from inkwash.engine.arguments import Arguments
from inkwash.engine.denoise import Denoiser, Inpaint, Picture, StepCallback, StepState, pad_glyphs
from inkwash.engine.pixels import MaskedEdit, decode_latents, encode_picture, to_output
from inkwash.engine.plan import Plan
from inkwash.engine.request import Watch, picture_size
from inkwash.engine.sampling import Sampling
from inkwash.engine.stages import Stages, make_plan
from inkwash.engine.steering import Steering
from inkwash.engine.threads import one_thread
from inkwash.media.images import load_mask
from inkwash.models.glm_image.references import KeyValue
from inkwash.nn.finite import check_finite

Callback = Callable[[int, Tensor, dict[str, Any]], dict[str, Any] | None]


class Drawing:
    """The pictures of one call; the methods below run once each, in order."""

    def __init__(self, stages: Stages, arguments: Arguments, sampling: Sampling, watch: Watch) -> None:
        self.stages, self.arguments, self.sampling, self.watch = stages, arguments, sampling, watch
        a, parts = arguments, stages.parts
        natural = stages.natural_size(a.images)
        self.height, self.width = picture_size(a.height, a.width, natural)
        self.latent_scale = parts.vae.config.scale_factor
        self.latent_size = self.height // self.latent_scale, self.width // self.latent_scale
        self.schedule = stages.schedule(self.height, self.width, a.steps, a.timesteps, a.sigmas)
        self.edit = None
        if a.mask is not None:
            self.edit = MaskedEdit(a.images[0][0], load_mask(a.mask), self.width, self.height)
        self.prompts = stages.prompts(a.texts or [""] * a.batch, a.images, self.height, self.width)
        generators = seeds.per_picture(a.generator, a.count)
        self.seeds = [seeds.reported_seed(each) for each in generators]
        self.plan_generators = [seeds.plan_generator(each) for each in generators]
        self.noise = self._noise(generators)
        for name in ("prompt_embeds", "negative_prompt_embeds"):
            if getattr(a, name) is not None:
                inputs.check_tensor(name, getattr(a, name), (a.batch, None, parts.decoder.config.text_embed_dim))

    def plan(self) -> Plan:
        """Prior tokens of every picture: as given, or sampled for each picture or each prompt."""
        a = self.arguments
        if a.plan is None:
            chosen = slice(None) if a.layout == "new" else slice(0, a.count, a.num_images_per_prompt)
            codes = self.stages.codes(self.prompts)
            tokens = self.stages.plans(
                self.prompts, codes, a.owners[chosen], self.plan_generators[chosen], self.sampling, self.watch
            )
            plan = make_plan(tokens, self.prompts, codes)
        elif a.plan.prior_token_image_ids is None:
            plan = make_plan(a.plan.prior_token_ids, self.prompts, self.stages.codes(self.prompts))
        else:
            plan = a.plan
        return replace(plan, prior_token_ids=self._checked_tokens(plan.prior_token_ids))

    @torch.no_grad()
    def denoise(self, plan: Plan, callback: Callback | None = None, steering: Steering | None = None) -> Tensor:
        """Latents of every picture (B, C, h, w); `callback` has the reference's protocol, less its first argument."""
        pictures = self._pictures(plan)
        denoiser = Denoiser(
            decoder=self.stages.parts.decoder,
            schedule=self.schedule,
            guidance_scale=self.arguments.guidance_scale,
            size=(self.height, self.width),
            crop=self.arguments.crop,
            pictures_per_pass=self.stages.pictures_per_pass,
            quality=self.arguments.quality,
        )
        on_step = None if callback is None else self._on_step(callback, denoiser, pictures)
        inpaint = self._inpaint()
        with self.stages.resident("decoder"):
            with one_thread(self.stages.device):  # small products, which would round by the number of threads
                denoiser.prepare(pictures, self.latent_size)
            latents = denoiser.run(self.noise, self.watch, inpaint=inpaint, on_step=on_step, steering=steering)
        return check_finite("The decoder", latents)

    def decode(self, latents: Tensor) -> Any:
        """The pictures in the asked type."""
        self.watch.check()
        if self.arguments.output_type == "latent":
            return latents
        pixels = decode_latents(self.stages.parts.vae, latents, self.watch.check)
        return to_output(pixels if self.edit is None else self.edit.compose(pixels), self.arguments.output_type)

    def _noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Starting latents: as given, or drawn for each picture from its own generator."""
        latents = self.arguments.latents
        if latents is None:
            return torch.cat([self.stages.noise(each, self.height, self.width) for each in generators])
        channels = self.stages.parts.decoder.config.in_channels
        inputs.check_tensor("latents", latents, (len(generators), channels, *self.latent_size))
        return latents.to(self.stages.device)

    def _checked_tokens(self, tokens: Tensor) -> Tensor:
        """One row of prior tokens for each picture, of this size and of this model's codes."""
        config = self.stages.parts.decoder.config
        cells = self.latent_size[0] // config.patch_size * (self.latent_size[1] // config.patch_size)
        inputs.check_tensor("prior_token_ids", tokens, (None, cells))
        tokens = inputs.repeat_to("prior_token_ids", tokens, self.arguments.batch, self.arguments.count)
        codes = config.prior_vq_quantizer_codebook_size
        if not bool(((tokens >= 0) & (tokens < codes)).all()):
            raise RequestError(
                f"prior_token_ids must lie in 0..{codes - 1}, but run from {int(tokens.min())} to {int(tokens.max())}.",
                param="prior_token_ids",
            )
        return tokens

    def _pictures(self, plan: Plan) -> list[Picture]:
        a = self.arguments
        glyphs = self._embeds(a.texts or [], a.prompt_embeds)
        no_glyphs = self._embeds(a.negatives, a.negative_prompt_embeds)
        references = self._references(plan)
        tokens = plan.prior_token_ids.to(self.stages.device)
        return [
            Picture(
                prior_ids=tokens[number],
                glyphs=glyphs[owner],
                no_glyphs=no_glyphs[owner],
                references=references[owner],
            )
            for number, owner in enumerate(a.owners)
        ]

    def _embeds(self, texts: Sequence[str], given: Tensor | None) -> list[Tensor]:
        """Glyph embeddings (L, Dg) of each prompt: as given, or of its quoted texts."""
        if given is None:
            return [self.stages.glyphs(text, self.arguments.max_sequence_length) for text in texts]
        return list(given.to(self.stages.device))

    def _references(self, plan: Plan) -> list[tuple[list[KeyValue], ...]]:
        ids, sizes = plan.prior_token_image_ids, plan.source_image_grid_thw
        if ids is None or sizes is None:
            return [()] * len(self.prompts)
        if not len(ids) == len(sizes) == len(self.prompts):
            raise RequestError(
                f"prior_token_image_ids and source_image_grid_thw hold {len(ids)} and {len(sizes)} entries, but there "
                f"are {len(self.prompts)} prompts: pass one for each.",
                param="prior_token_image_ids",
            )
        return [self.stages.reference_keys(*each) for each in zip(self.prompts, ids, sizes, strict=True)]

    def _inpaint(self) -> Inpaint | None:
        if self.edit is None:
            return None
        keep = self.edit.kept_cells(self.latent_scale).to(self.stages.device)
        clean = encode_picture(self.stages.parts.vae, self.edit.original[0].to(self.stages.device) * 2 - 1)
        return Inpaint(clean=clean.float(), noise=self.noise.float(), keep=keep)

    def _on_step(self, callback: Callback, denoiser: Denoiser, pictures: list[Picture]) -> StepCallback:
        """The reference's callback protocol around one of our steps."""

        def on_step(state: StepState) -> Tensor | None:
            embeds, _ = pad_glyphs([picture.glyphs for picture in pictures])
            known = {"latents": state.latents, "prompt_embeds": embeds, "x0": state.x0}
            shown = {name: known[name] for name in self.arguments.callback_tensors}
            changed = callback(state.index, state.sigma, shown) or {}
            new_embeds = changed.get("prompt_embeds", embeds)
            if new_embeds is not embeds and not torch.equal(new_embeds, embeds):
                inputs.check_tensor("prompt_embeds", new_embeds, (len(pictures), None, embeds.shape[-1]))
                pictures[:] = [replace(old, glyphs=new) for old, new in zip(pictures, new_embeds, strict=True)]
                with one_thread(self.stages.device):
                    denoiser.prepare(pictures, self.latent_size)
            latents: Tensor | None = changed.get("latents")
            if latents is not None:
                inputs.check_tensor("latents", latents, tuple(state.latents.shape))
            return latents

        return on_step
