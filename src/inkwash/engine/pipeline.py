"""The pipeline: prompts, reference pictures and settings in, pictures out, with the reference's argument names.

    pipe = GlmImagePipeline.from_pretrained("nano")
    image = pipe(prompt='A poster that says "HELLO"', height=256, width=256).images[0]

Every picture has its own generator for both stages, so it depends on its own prompt, settings and seed only. A call
keeps no state on the pipeline, so that several threads may share one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor

from inkwash.core import limits
from inkwash.core.device import pick_device, pick_dtype
from inkwash.core.errors import ConfigError, RequestError
from inkwash.engine import inputs, seeds
from inkwash.engine.denoise import Denoiser, Inpaint, Picture, StepState, pad_glyphs
from inkwash.engine.output import GlmImagePipelineOutput, Stopwatch
from inkwash.engine.pixels import MaskedEdit, check_output_type, decode_latents, encode_picture, to_output
from inkwash.engine.plan import Plan
from inkwash.engine.request import CancelToken, GenerationRequest, Layout, ProgressCallback, Watch, check_layout
from inkwash.engine.sampling import Sampling
from inkwash.engine.stages import Stages, reference_inputs
from inkwash.media.images import load_mask
from inkwash.models.glm_image.processor import Prompt
from inkwash.models.glm_image.weights import GlmImageParts, load_pipeline_parts, save_pipeline_parts

CALLBACK_TENSORS = ("latents", "prompt_embeds", "x0")
StepEndCallback = Callable[["GlmImagePipeline", int, Tensor, dict[str, Any]], dict[str, Any] | None]
Priors = tuple[Tensor, list[Tensor] | None, list[Tensor] | None]


class GlmImagePipeline:
    """A checkpoint that draws; make one with `from_pretrained`, or from parts already in memory."""

    def __init__(self, parts: GlmImageParts) -> None:
        self.parts = parts
        self.stages = Stages(parts)
        for network in self._networks():
            network.eval().requires_grad_(False)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        torch_dtype: torch.dtype | str | None = None,
        device_map: str | torch.device | None = None,
        revision: str | None = None,
    ) -> Self:
        """Load a checkpoint by name ("nano", "zai-org/GLM-Image") or from a folder.

        `torch_dtype` None is float32 on a CPU and bfloat16 elsewhere; `device_map` is a device, None or "auto" for
        the best one here.
        """
        from inkwash.models.registry import resolve

        if isinstance(device_map, dict):
            raise ConfigError("device_map must name one device, such as 'cpu' or 'cuda'; a table is not supported.")
        device = pick_device(None if device_map in (None, "auto", "balanced") else device_map)
        folder = resolve(str(pretrained_model_name_or_path), revision=revision)
        return cls(load_pipeline_parts(folder, dtype=pick_dtype(torch_dtype, device), device=device))

    def save_pretrained(self, save_directory: str | Path, *, torch_dtype: torch.dtype | None = None) -> None:
        """Write the released folder layout; `torch_dtype` None keeps the number type in memory."""
        save_pipeline_parts(self.parts, save_directory, dtype=torch_dtype)

    def to(self, *targets: torch.device | str | torch.dtype) -> Self:
        """Move all networks to a device, a number type or both."""
        for network in self._networks():
            for target in targets:
                network.to(target)
        return self

    @property
    def device(self) -> torch.device:
        return self.stages.device

    @property
    def dtype(self) -> torch.dtype:
        return self.stages.dtype

    def generate(
        self,
        request: GenerationRequest,
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
    ) -> GlmImagePipelineOutput:
        """The pictures of one request; picture k of n has seed `seed + k`."""
        seed_generator = None if request.seed is None else seeds.make_generator(request.seed)
        output = self(
            prompt=request.prompt,
            image=list(request.images) or None,
            mask=request.mask,
            height=request.height,
            width=request.width,
            num_inference_steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            negative_prompt=request.negative_prompt,
            num_images_per_prompt=request.num_images,
            layout=request.layout,
            temperature=request.temperature,
            top_p=request.top_p,
            generator=seed_generator,
            progress=progress,
            cancel=cancel,
        )
        assert isinstance(output, GlmImagePipelineOutput)
        return output

    def generate_prior_tokens(
        self,
        prompt: str | Sequence[str],
        height: int,
        width: int,
        image: Any = None,
        device: torch.device | str | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        *,
        temperature: float | None = None,
        top_p: float | None = None,
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
    ) -> Priors:
        """The AR stage alone: prior tokens (B, N), and for prompts with references their ids and grids.

        The result can be passed to a call as `prior_token_ids`, `prior_token_image_ids` and `source_image_grid_thw`.
        The generators are read, not advanced, so the same ones then draw the same picture as one call would.
        """
        texts = inputs.as_prompts(prompt)
        assert texts is not None
        images = inputs.as_images(image, len(texts))
        height, width = inputs.picture_size(height, width)
        plan_generators = [seeds.plan_generator(each) for each in seeds.per_picture(generator, len(texts))]
        prompts = self.stages.prompts(texts, images, height, width)
        watch = Watch(progress, cancel)
        plan = self._plan(prompts, range(len(texts)), plan_generators, self._sampling(temperature, top_p), watch)
        target = torch.device(device) if device is not None else self.device
        image_ids, grids = plan.prior_token_image_ids, plan.source_image_grid_thw
        return (
            plan.prior_token_ids.to(target),
            None if image_ids is None else [each.to(target) for each in image_ids],
            None if grids is None else [each.to(target) for each in grids],
        )

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        image: Any = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        timesteps: Sequence[float] | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 1.5,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        prior_token_ids: Tensor | None = None,
        prior_token_image_ids: Sequence[Tensor] | None = None,
        source_image_grid_thw: Sequence[Tensor] | None = None,
        crops_coords_top_left: tuple[int, int] = (0, 0),
        output_type: str = "pil",
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: StepEndCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int = 2048,
        *,
        negative_prompt: str | Sequence[str] | None = None,
        mask: Any = None,
        layout: Layout = "new",
        temperature: float | None = None,
        top_p: float | None = None,
        plan: Plan | None = None,
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
    ) -> GlmImagePipelineOutput | tuple[Any]:
        """Draw pictures. Arguments up to `max_sequence_length` mean what they mean in the reference pipeline; further:

        generator: one for each picture, or one that is spread over them (see `engine.seeds`).
        image: reference pictures of any size, as many for each prompt as it likes; the first is the one `mask` edits.
        negative_prompt: its quoted texts become the glyph texts of the unconditional half.
        mask: white where the first reference may change; every other pixel comes out as it was (at the output's size).
        layout: "new" samples a plan for each of the n pictures, "same" one plan for n noises.
        plan: `output.plan` of an earlier call, to redraw it without the AR stage.
        callback_on_step_end: called with the pipeline, the step, its sigma and the asked tensors of "latents",
            "prompt_embeds" and "x0" (the present guess of the finished latents); may return new latents or embeds.
        """
        watch = Watch(progress, cancel)
        clock = Stopwatch(self.device)
        with clock.stage("prepare"):
            if plan is not None:
                prior_token_ids = plan.prior_token_ids
                prior_token_image_ids, source_image_grid_thw = plan.prior_token_image_ids, plan.source_image_grid_thw
            texts = inputs.as_prompts(prompt)
            inputs.check_one_source(texts, prompt_embeds, prior_token_ids)
            batch = len(texts) if texts is not None else len(_required(prompt_embeds))
            count = batch * limits.check_count(num_images_per_prompt)
            images = inputs.as_images(image, batch)
            inputs.check_prior_companions(prior_token_ids, prior_token_image_ids, source_image_grid_thw, any(images))
            sampling = self._sampling(temperature, top_p)
            height, width = inputs.picture_size(height, width, self.stages.natural_size(images))
            run_schedule = self.stages.schedule(
                height, width, _steps(num_inference_steps, timesteps, sigmas), timesteps, sigmas
            )
            limits.check_guidance(guidance_scale)
            check_layout(layout)
            check_output_type(output_type)
            _check_unused(attention_kwargs, callback_on_step_end_tensor_inputs)
            edit = self._edit(mask, images, width, height)
            owners = [number // num_images_per_prompt for number in range(count)]
            generators = seeds.per_picture(generator, count)
            reported = [seeds.reported_seed(each) for each in generators]
            plan_generators = [seeds.plan_generator(each) for each in generators]
            prompts = self.stages.prompts(texts or [""] * batch, images, height, width)
            embeds = self._embeds(texts, prompt_embeds, batch, max_sequence_length)
            negatives = inputs.as_negatives(negative_prompt, batch)
            no_embeds = self._embeds(negatives, negative_prompt_embeds, batch, max_sequence_length)
            if latents is None:
                latents = torch.cat([self.stages.noise(each, height, width) for each in generators])
            scale = self.parts.vae.config.scale_factor
            latent_size = height // scale, width // scale
            inputs.check_tensor("latents", latents, (count, self.parts.decoder.config.in_channels, *latent_size))
            latents = latents.to(self.device)
        with clock.stage("prior"):
            if prior_token_ids is None:
                drawn = slice(None) if layout == "new" else slice(0, count, num_images_per_prompt)
                plan = self._plan(prompts, owners[drawn], plan_generators[drawn], sampling, watch)
            elif prior_token_image_ids is None or source_image_grid_thw is None:
                plan = Plan(prior_token_ids, *_or_none(*reference_inputs(prompts, self.stages.codes(prompts))))
            else:
                plan = Plan(prior_token_ids, list(prior_token_image_ids), list(source_image_grid_thw))
            plan = self._spread(plan, batch, count, (height, width))
        with clock.stage("denoise"):
            references = self._references(prompts, plan)
            pictures = [
                Picture(
                    prior_ids=plan.prior_token_ids[number].to(self.device),
                    glyphs=embeds[owner],
                    no_glyphs=no_embeds[owner],
                    references=references[owner],
                )
                for number, owner in enumerate(owners)
            ]
            denoiser = Denoiser(
                decoder=self.parts.decoder,
                schedule=run_schedule,
                guidance_scale=guidance_scale,
                size=(height, width),
                crop=(crops_coords_top_left[0], crops_coords_top_left[1]),
            )
            denoiser.prepare(pictures, latent_size)
            on_step = None
            if callback_on_step_end is not None:
                on_step = self._on_step(callback_on_step_end, callback_on_step_end_tensor_inputs, denoiser, pictures)
            inpaint = None if edit is None else self._inpaint(edit, latents)
            latents = denoiser.run(latents, watch, inpaint=inpaint, on_step=on_step)
        with clock.stage("decode"):
            made: Any = latents
            if output_type != "latent":
                pixels = decode_latents(self.parts.vae, latents)
                made = to_output(pixels if edit is None else edit.compose(pixels), output_type)
        if not return_dict:
            return (made,)
        return GlmImagePipelineOutput(images=made, seeds=reported, plan=plan, timings=clock.finished())

    def _networks(self) -> tuple[torch.nn.Module, ...]:
        return self.parts.ar, self.parts.decoder, self.parts.vae, self.parts.glyph

    def _sampling(self, temperature: float | None, top_p: float | None) -> Sampling:
        """The asked settings over those of the checkpoint's generation_config.json over 0.9 and 0.75."""
        own = self.parts.generation
        plain = Sampling()
        if temperature is None:
            temperature = own.get("temperature") or plain.temperature
        return Sampling(
            temperature=temperature,
            top_p=top_p if top_p is not None else own.get("top_p") or plain.top_p,
            top_k=own.get("top_k") or None,
        )

    def _plan(
        self,
        prompts: Sequence[Prompt],
        owners: Sequence[int],
        generators: Sequence[torch.Generator],
        sampling: Sampling,
        watch: Watch,
    ) -> Plan:
        codes = self.stages.codes(prompts)
        tokens = self.stages.plans(prompts, codes, owners, generators, sampling, watch)
        return Plan(tokens, *_or_none(*reference_inputs(prompts, codes)))

    def _spread(self, plan: Plan, batch: int, count: int, size: tuple[int, int]) -> Plan:
        """One row of prior tokens for each picture, of the length this size needs."""
        cell = self.parts.vae.config.scale_factor * self.parts.decoder.config.patch_size
        inputs.check_tensor("prior_token_ids", plan.prior_token_ids, (None, (size[0] // cell) * (size[1] // cell)))
        tokens = inputs.repeat_to("prior_token_ids", plan.prior_token_ids, batch, count)
        codes = self.parts.decoder.config.prior_vq_quantizer_codebook_size
        if not bool(((tokens >= 0) & (tokens < codes)).all()):
            raise RequestError(
                f"prior_token_ids must lie in 0..{codes - 1}, but run from {int(tokens.min())} to {int(tokens.max())}.",
                param="prior_token_ids",
            )
        return Plan(tokens, plan.prior_token_image_ids, plan.source_image_grid_thw)

    def _references(self, prompts: Sequence[Prompt], plan: Plan) -> list[tuple[Any, ...]]:
        if plan.prior_token_image_ids is None or plan.source_image_grid_thw is None:
            return [()] * len(prompts)
        if not len(plan.prior_token_image_ids) == len(plan.source_image_grid_thw) == len(prompts):
            raise RequestError(
                f"prior_token_image_ids and source_image_grid_thw need one entry for each of {len(prompts)} prompts.",
                param="prior_token_image_ids",
            )
        joined = zip(prompts, plan.prior_token_image_ids, plan.source_image_grid_thw, strict=True)
        return [self.stages.reference_keys(prompt, ids, sizes) for prompt, ids, sizes in joined]

    def _embeds(self, texts: Sequence[str] | None, given: Tensor | None, batch: int, longest: int) -> list[Tensor]:
        """Glyph embeddings (L, Dg) of each prompt: as given, or of the quoted texts."""
        if given is None:
            return [self.stages.glyphs(text, longest) for text in texts or ()]
        inputs.check_tensor("prompt_embeds", given, (batch, None, self.parts.decoder.config.text_embed_dim))
        return list(given.to(self.device))

    def _edit(self, mask: Any, images: Sequence[Sequence[Image.Image]], width: int, height: int) -> MaskedEdit | None:
        if mask is None:
            return None
        if len(images) != 1 or not images[0]:
            raise RequestError("mask needs exactly one prompt with the picture to edit as its image.", param="mask")
        return MaskedEdit(images[0][0], load_mask(mask), width, height)

    def _inpaint(self, edit: MaskedEdit, noise: Tensor) -> Inpaint:
        keep = edit.kept_cells(self.parts.vae.config.scale_factor).to(self.device)
        clean = encode_picture(self.parts.vae, edit.original[0].to(self.device) * 2 - 1)
        return Inpaint(clean=clean.float(), noise=noise.float(), keep=keep)

    def _on_step(
        self, callback: StepEndCallback, names: Sequence[str], denoiser: Denoiser, pictures: list[Picture]
    ) -> Callable[[StepState], Tensor | None]:
        """The reference's callback protocol around one of our steps."""

        def on_step(state: StepState) -> Tensor | None:
            prompt_embeds, _ = pad_glyphs([picture.glyphs for picture in pictures])
            known = {"latents": state.latents, "prompt_embeds": prompt_embeds, "x0": state.x0}
            changed = callback(self, state.index, state.sigma, {name: known[name] for name in names}) or {}
            embeds = changed.get("prompt_embeds")
            if embeds is not None and embeds is not known["prompt_embeds"]:
                inputs.check_tensor("prompt_embeds", embeds, (len(pictures), None, prompt_embeds.shape[-1]))
                pictures[:] = [replace(old, glyphs=new) for old, new in zip(pictures, embeds, strict=True)]
                denoiser.prepare(pictures, (state.latents.shape[2], state.latents.shape[3]))
            latents = changed.get("latents")
            if latents is not None:
                inputs.check_tensor("latents", latents, tuple(state.latents.shape))
            return latents

        return on_step


def _or_none(ids: list[Tensor], grids: list[Tensor]) -> tuple[list[Tensor] | None, list[Tensor] | None]:
    """No companions where no prompt has a reference."""
    return (ids, grids) if any(len(each) for each in ids) else (None, None)


def _required(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor


def _steps(steps: int, timesteps: Sequence[float] | None, sigmas: Sequence[float] | None) -> int:
    """The number of steps: that of the given timesteps or sigmas, if any."""
    given = timesteps if timesteps is not None else sigmas
    return limits.check_steps(steps if given is None else len(given))


def _check_unused(attention_kwargs: dict[str, Any] | None, names: Sequence[str]) -> None:
    if attention_kwargs:
        raise RequestError(
            f"attention_kwargs has no meaning here, but {attention_kwargs!r} was given: leave it out.",
            param="attention_kwargs",
        )
    unknown = [name for name in names if name not in CALLBACK_TENSORS]
    if unknown:
        raise RequestError(
            f"callback_on_step_end_tensor_inputs holds {unknown}, but may hold {list(CALLBACK_TENSORS)} only.",
            param="callback_on_step_end_tensor_inputs",
        )
