"""One call of the pipeline at work: what was prepared is planned, denoised and decoded.

The order of random draws is fixed: every picture's plan seed was derived when it was prepared (`prepared.py`), and
only then is its noise drawn here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from inkwash.core import seeds
from inkwash.core.device import one_thread
from inkwash.core.errors import RequestError
from inkwash.engine.denoise import DenoiseInput, Denoiser, Inpaint, Steering, StepCallback, StepState, pad_glyphs
from inkwash.engine.output import Plan, decode_latents, encode_picture, to_output
from inkwash.engine.prepared import Prepared, check_tensor, repeat_to
from inkwash.engine.request import Watch
from inkwash.engine.stages import Stages, make_plan
from inkwash.models.glm_image.decoder_blocks import KeyValue
from inkwash.nn.finite import check_finite

Callback = Callable[[int, Tensor, dict[str, Any]], dict[str, Any] | None]


class Drawing:
    """The pictures of one call; the methods below run once each, in order."""

    def __init__(self, stages: Stages, prepared: Prepared, watch: Watch) -> None:
        self.stages, self.prepared, self.watch = stages, prepared, watch
        self.latent_scale = stages.parts.vae.config.scale_factor
        self.latent_size = prepared.height // self.latent_scale, prepared.width // self.latent_scale
        self.seeds = [seeds.reported_seed(each) for each in prepared.generators]

    def plan(self, supplied: Plan | None = None) -> Plan:
        """Prior tokens of every picture: as given, or sampled for each picture or each prompt."""
        p = self.prepared
        if supplied is None:
            chosen = range(0, p.count, 1 if p.request.layout == "new" else p.request.num_images)
            owners, generators = [p.owners[i] for i in chosen], [p.plan_generator(i) for i in chosen]
            semantic_ids = self.stages.semantic_ids(p.prompts)
            judges = self.stages.judges([each.prompt for each in p.requests], p.prompts, semantic_ids, p.candidates)
            tokens = self.stages.plans(
                p.prompts, semantic_ids, owners, generators, p.sampling, self.watch, judges, p.candidates
            )
            plan = make_plan(tokens, p.prompts, semantic_ids)
        elif supplied.prior_token_image_ids is None:
            plan = make_plan(supplied.prior_token_ids, p.prompts, self.stages.semantic_ids(p.prompts))
        else:
            plan = supplied
        return replace(plan, prior_token_ids=self._checked_tokens(plan.prior_token_ids))

    @torch.no_grad()
    def denoise(
        self,
        plan: Plan,
        on_step: StepCallback | None = None,
        callback: Callback | None = None,
        steering: Steering | None = None,
    ) -> Tensor:
        """Latents of every picture (B, C, h, w); `callback` has the reference's protocol, less its first argument."""
        p, latents, shared = self.prepared, self.prepared.overrides.latents, self.stages.shared
        if latents is None:  # each picture's noise comes from its own generator
            noise = torch.cat([self.stages.noise(each, p.height, p.width) for each in p.generators])
        else:
            noise = latents.to(self.stages.device)
        pictures, inpaint = self._pictures(plan), None
        if p.edit is not None:
            keep = p.edit.kept_cells(self.latent_scale).to(self.stages.device)
            clean = encode_picture(self.stages.parts.vae, p.edit.original[0].to(self.stages.device) * 2 - 1)
            inpaint = Inpaint(clean=clean.float(), noise=noise.float(), keep=keep)
        make = partial(Denoiser, decoder=self.stages.parts.decoder) if shared is None else shared.decoder.denoiser
        denoiser = make(
            schedule=p.schedule,
            guidance_scale=p.request.guidance_scale,
            size=(p.height, p.width),
            crop=p.overrides.crop,
            pictures_per_pass=self.stages.pictures_per_pass,
            quality=p.quality,
        )
        if callback is not None:
            on_step = self._on_step(callback, denoiser, pictures)
        with self.stages.resident("decoder"):
            with one_thread(self.stages.device):  # small products, which would round by the number of threads
                denoiser.prepare(pictures, self.latent_size)
            latents = denoiser.run(noise, self.watch, inpaint=inpaint, on_step=on_step, steering=steering)
        return check_finite("The decoder", latents)

    def decode(self, latents: Tensor) -> Any:
        """The pictures in the asked type."""
        self.watch.check()
        output_type, edit = self.prepared.overrides.output_type, self.prepared.edit
        if output_type == "latent":
            return latents
        pixels = decode_latents(self.stages.parts.vae, latents, self.watch.check)
        return to_output(pixels if edit is None else edit.compose(pixels), output_type)

    def _checked_tokens(self, tokens: Tensor) -> Tensor:
        """One row of prior tokens for each picture, of this size and of this model's codes."""
        config = self.stages.parts.decoder.config
        cells = self.latent_size[0] // config.patch_size * (self.latent_size[1] // config.patch_size)
        check_tensor("prior_token_ids", tokens, (None, cells))
        tokens = repeat_to("prior_token_ids", tokens, self.prepared.batch, self.prepared.count)
        codebook_size = config.prior_vq_quantizer_codebook_size
        if not bool(((tokens >= 0) & (tokens < codebook_size)).all()):
            raise RequestError(
                f"prior_token_ids must lie in 0..{codebook_size - 1}, but run from {int(tokens.min())} to "
                f"{int(tokens.max())}.",
                param="prior_token_ids",
            )
        return tokens

    def _pictures(self, plan: Plan) -> list[DenoiseInput]:
        requests, overrides = self.prepared.requests, self.prepared.overrides
        glyphs = self._embeds([each.prompt for each in requests], overrides.prompt_embeds)
        negatives = [each.negative_prompt or "" for each in requests]
        no_glyphs = self._embeds(negatives, overrides.negative_prompt_embeds)
        references: list[tuple[list[KeyValue], ...]] = [()] * len(requests)
        if plan.prior_token_image_ids is not None and plan.source_image_grid_thw is not None:
            references = self._references(plan.prior_token_image_ids, plan.source_image_grid_thw)
        tokens = plan.prior_token_ids.to(self.stages.device)
        return [
            DenoiseInput(
                prior_ids=tokens[number],
                glyphs=glyphs[owner],
                no_glyphs=no_glyphs[owner],
                references=references[owner],
            )
            for number, owner in enumerate(self.prepared.owners)
        ]

    def _embeds(self, texts: Sequence[str], embeddings: Tensor | None) -> list[Tensor]:
        """Glyph embeddings (L, Dg) of each prompt: as given, or of its quoted texts."""
        if embeddings is None:
            return [self.stages.glyphs(text, self.prepared.overrides.max_sequence_length) for text in texts]
        return list(embeddings.to(self.stages.device))

    def _references(self, ids: Sequence[Tensor], sizes: Sequence[Tensor]) -> list[tuple[list[KeyValue], ...]]:
        """Keys and values of every prompt's references."""
        if not len(ids) == len(sizes) == len(self.prepared.prompts):
            raise RequestError(
                f"prior_token_image_ids and source_image_grid_thw hold {len(ids)} and {len(sizes)} entries, but there "
                f"are {len(self.prepared.prompts)} prompts: pass one for each.",
                param="prior_token_image_ids",
            )
        return [self.stages.reference_keys(*each) for each in zip(self.prepared.prompts, ids, sizes, strict=True)]

    def _on_step(self, callback: Callback, denoiser: Denoiser, pictures: list[DenoiseInput]) -> StepCallback:
        """The reference's callback protocol around one of our steps."""

        def on_step(state: StepState) -> Tensor | None:
            embeds, _ = pad_glyphs([picture.glyphs for picture in pictures])
            known = {"latents": state.latents, "prompt_embeds": embeds, "x0": state.x0}
            tensors = {name: known[name] for name in self.prepared.overrides.callback_tensors}
            changed = callback(state.index, state.sigma, tensors) or {}
            new_embeds = changed.get("prompt_embeds", embeds)
            if new_embeds is not embeds and not torch.equal(new_embeds, embeds):
                check_tensor("prompt_embeds", new_embeds, (len(pictures), None, embeds.shape[-1]))
                pictures[:] = [replace(old, glyphs=new) for old, new in zip(pictures, new_embeds, strict=True)]
                with one_thread(self.stages.device):
                    denoiser.prepare(pictures, self.latent_size)
            latents: Tensor | None = changed.get("latents")
            if latents is not None:
                check_tensor("latents", latents, tuple(state.latents.shape))
            return latents

        return on_step
