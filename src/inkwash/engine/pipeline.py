"""The pipeline: prompts, reference pictures and settings in, pictures out, with the reference's argument names.

    pipe = GlmImagePipeline.from_pretrained("nano")
    image = pipe(prompt='A poster that says "HELLO"', height=256, width=256).images[0]

Every picture has its own generator for both stages, so it depends on its own prompt, settings and seed only. A call
keeps no state on the pipeline, so that several threads may share one. Weights, and what is kept between calls, are
never torch's inference tensors (`torch.inference_mode(False)`), so a caller may work in that mode or not, call by call.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from inkwash.core import limits, seeds
from inkwash.core.device import pick_device
from inkwash.core.errors import ConfigError, RequestError
from inkwash.engine.arguments import as_images, as_plan, as_prompts, as_requests, real_number, whole_number
from inkwash.engine.denoise import Steering, StepCallback
from inkwash.engine.drawing import Callback, Drawing
from inkwash.engine.loading import LoadPlan, Placement, choose, load_parts, stated_kinds
from inkwash.engine.offload import Offload, Residency
from inkwash.engine.output import GlmImagePipelineOutput, Plan, Stopwatch
from inkwash.engine.plan_choice import check_candidates
from inkwash.engine.prepared import Overrides, Prepared, prepare
from inkwash.engine.quantize import parse_quantize
from inkwash.engine.ranks.drawing import SharedDrawing, load_shared
from inkwash.engine.request import (
    CancelToken,
    DrawRequest,
    Layout,
    ProgressCallback,
    Quality,
    SamplingOverrides,
    Watch,
    picture_size,
)
from inkwash.engine.sampling import Sampling
from inkwash.engine.stages import Stages, make_plan
from inkwash.engine.surface import (
    Calls,
    NumberTypes,
    ReferenceSurface,
    check_folder_options,
    joined,
    part_dtypes,
    shard_bytes,
)
from inkwash.models.glm_image.decoder import fuse_qkv
from inkwash.models.glm_image.weights import GlmImageParts, save_pipeline_parts
from inkwash.models.hub import HubAccess
from inkwash.models.registry import resolve
from inkwash.models.weights import MAX_SHARD_BYTES

StepEndCallback = Callable[["GlmImagePipeline", int, Tensor, dict[str, Any]], dict[str, Any] | None]
Priors = tuple[Tensor, list[Tensor] | None, list[Tensor] | None]


class GlmImagePipeline(ReferenceSurface):
    """A checkpoint that draws; make one with `from_pretrained`, or from parts already in memory."""

    def __init__(
        self,
        parts: GlmImageParts | None = None,
        *,
        pictures_per_pass: int | None = None,
        residency: Residency | None = None,
        shared: SharedDrawing | None = None,
        **components: Any,
    ) -> None:
        """From `parts`, or from parts under the reference's names (`components`).

        `pictures_per_pass` None lets the pictures of a call share passes, except on a CPU. There they go one by one,
        because a picture would else differ in its last bits with its batch mates; a number gives that up for speed
        (docs/numerics.md). `residency` brings the weights of each stage (`engine.loading`); `shared` are the devices
        that `parts` are dealt out to (`engine.ranks`).
        """
        if pictures_per_pass is not None:
            limits.check_whole("pictures_per_pass", pictures_per_pass, 1, 1024)
        if parts is None or components:
            parts = joined(parts, components)
            fuse_qkv(parts.decoder)
        self.parts = parts
        self.placement: Placement | None = None  # what `offload="auto"` chose
        self._calls = Calls()
        self._source: LoadPlan | None = None
        self.stages = Stages(parts, pictures_per_pass, residency=residency, shared=shared)
        # whole and unrounded, so that weights may be changed, moved and saved
        self._as_stored = residency is None and shared is None

    @classmethod
    @torch.inference_mode(False)
    def from_pretrained(  # noqa: PLR0913 (the reference has as many)
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        torch_dtype: NumberTypes | None = None,
        device_map: str | torch.device | None = None,
        pictures_per_pass: int | None = None,
        offload: Offload = "auto",
        quantize: str | None = None,
        tensor_parallel_size: int = 1,
        dtype: NumberTypes | None = None,
        variant: str | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool | None = None,
        token: str | bool | None = None,
        **options: Any,
    ) -> Self:
        """Load a checkpoint by name ("nano", "zai-org/GLM-Image") or from a folder.

        `torch_dtype` None is float32 on a CPU and bfloat16 elsewhere; `device_map` is a device, None or "auto" for
        the best one here; `pictures_per_pass` as in the constructor. `offload` says where weights wait (see
        `engine.offload`; "auto" chooses by the memory there is), `quantize` how they are rounded ("int8", or
        "ar=int8,decoder=fp8"; `engine.quantize`).
        `tensor_parallel_size` devices share the model (`engine.ranks`): close the pipeline when it is done with.
        `dtype` is `torch_dtype`, one for all or a table such as {"vae": torch.float32, "default": torch.bfloat16};
        `variant` names files such as model.fp16.safetensors; `revision`, `cache_dir`, `local_files_only` and `token`
        are for a hub. Parts under the reference's names replace the checkpoint's.

        Raises WeightsError for a folder that is no complete checkpoint, ConfigError for options that do not fit.
        """
        check_folder_options(options)
        access = HubAccess(cache_dir=cache_dir, local_files_only=local_files_only, token=token)
        if isinstance(device_map, dict):
            raise ConfigError("device_map must name one device, such as 'cpu' or 'cuda'; a table is not supported.")
        device = pick_device(None if device_map in (None, "auto", "balanced") else device_map)
        folder = resolve(pretrained_model_name_or_path, revision=revision, access=access)
        kinds = {} if quantize is None else parse_quantize(quantize)
        wanted_dtype, rounded = torch_dtype if dtype is None else dtype, bool(stated_kinds(folder))
        if wanted_dtype is None and rounded:
            wanted_dtype = torch.bfloat16  # what its other tensors are stored in
        if tensor_parallel_size != 1:
            if kinds or options or offload not in ("auto", "none"):
                raise ConfigError(
                    "Several devices share the checkpoint's plain weights: leave quantize, offload and parts given by "
                    "name out, or use one device."
                )
            numbers, others = part_dtypes(wanted_dtype, device)
            shared = load_shared(
                folder, dtype=numbers, dtypes=others, device=device, world=tensor_parallel_size, variant=variant
            )
            pipe = cls(shared.parts, pictures_per_pass=pictures_per_pass, shared=shared)
            return pipe._frozen()
        placement: Placement | None = None
        if offload == "auto":
            main_dtype = None if wanted_dtype is None else part_dtypes(wanted_dtype, device)[0]
            placement = choose(folder, device=device, dtype=main_dtype, quantize=kinds, variant=variant)
            offload, wanted_dtype = placement.profile, wanted_dtype or placement.dtype
        numbers, others = part_dtypes(wanted_dtype, device)
        plan = LoadPlan(folder=folder, dtype=numbers, dtypes=others, quantize=kinds, variant=variant, offload=offload)
        parts, residency = load_parts(plan, device)
        if options:
            parts = joined(parts, options)
            fuse_qkv(parts.decoder)
        pipe = cls(parts, pictures_per_pass=pictures_per_pass, residency=residency)
        pipe.placement = placement
        parts.ar.packs_rows = placement is None or placement.packs
        pipe._as_stored = residency is None and not kinds and not rounded and offload != "map"
        if not options:
            pipe._source = plan
        return pipe._frozen()

    def _frozen(self) -> Self:
        for network in self._networks():
            network.eval().requires_grad_(False)
        return self

    def close(self) -> None:
        """End the processes on other devices, where there are any."""
        if self.stages.shared is not None:
            self.stages.shared.group.close()

    def save_pretrained(
        self,
        save_directory: str | Path,
        safe_serialization: bool = True,
        variant: str | None = None,
        max_shard_size: int | str | None = None,
        *,
        torch_dtype: torch.dtype | None = None,
    ) -> None:
        """Write the released folder layout; `torch_dtype` None keeps the number type in memory.

        `variant` becomes part of the files' names, `max_shard_size` ("5GB") bounds them. Adapters that act would be
        written into the weights, which only `fuse_lora` asks for.
        """
        self._check_whole("Saving needs all weights")
        if not safe_serialization:
            text = "Weights are always written as safetensors: safe_serialization=False is left out."
            warnings.warn(text, UserWarning, stacklevel=2)
        if self._adapters.active and not self._adapters.fused:
            raise ConfigError(
                f"Adapters act on the weights that would be saved ({', '.join(self._adapters.active)}): call "
                "unload_lora_weights() to save the checkpoint alone, or fuse_lora() to save it with them."
            )
        size = shard_bytes(max_shard_size, MAX_SHARD_BYTES)
        save_pipeline_parts(self.parts, save_directory, dtype=torch_dtype, max_shard_bytes=size, variant=variant)

    @torch.inference_mode(False)
    def load_lora_weights(
        self, path: str | Path, adapter_name: str | None = None, *, weight_name: str | None = None
    ) -> str:
        """Let a LoRA (`models.lora`) act beside those loaded; returns its name. Not while drawing."""
        self._check_whole("LoRA adapters change the weights")
        return self._adapters.load(path, adapter_name, weight_name=weight_name)

    @torch.inference_mode(False)
    def offer_lora(self, path: str | Path, adapter_name: str | None = None) -> str:
        """Load a LoRA that does not act until `set_adapters`, or a request of an engine, names it; returns its name."""
        self._check_whole("LoRA adapters change the weights")
        return self._adapters.load(path, adapter_name, act=False)

    @torch.inference_mode(False)
    def set_adapters(self, adapter_names: str | Sequence[str], adapter_weights: float | Sequence[float] = 1.0) -> None:
        """Exactly these adapters act, each with its weight (one number serves all); an empty list is none."""
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        factors = adapter_weights
        weights = [float(factors)] * len(names) if isinstance(factors, int | float) else list(factors)
        if len(weights) != len(names):
            raise RequestError(f"{len(names)} adapters got {len(weights)} weights: give one for each.", param="lora")
        self._adapters.set(dict(zip(names, weights, strict=True)))

    @property
    def adapter_names(self) -> list[str]:
        """All loaded adapters."""
        return self._adapters.names

    @property
    def adapter_weights(self) -> dict[str, float]:
        """The adapters that act now, with their weights."""
        return self._adapters.active

    def get_active_adapters(self) -> list[str]:
        """Names of the adapters that act now."""
        return list(self._adapters.active)

    def unload_lora_weights(self) -> None:
        """Forget all adapters; the weights are again those of the checkpoint, bit by bit."""
        self._adapters.unload()

    @torch.inference_mode(False)
    def to(
        self,
        *targets: torch.device | str | torch.dtype | None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **_: Any,
    ) -> Self:
        """Move all networks to a device, a number type or both."""
        targets = tuple(target for target in (*targets, device, dtype) if target is not None)
        here = (self.device, self.dtype, str(self.device), self.device.type)
        if not self._as_stored and all(target in here for target in targets):
            return self
        self._check_whole("Moving changes all weights")
        for network in self._networks():
            for target in targets:
                network.to(target)
        fuse_qkv(self.parts.decoder)
        if self._source is not None and any(isinstance(target, torch.dtype) for target in targets):
            self._source = replace(self._source, dtype=self.dtype, dtypes={})  # for an offload that follows
        return self

    def compile(self) -> None:
        """Compile the decoder's blocks (`engine.compile`): for many pictures of few sizes; last bits change."""
        from inkwash.engine.compile import compile_decoder  # rarely wanted

        compile_decoder(self.parts.decoder, self.device)

    @property
    def device(self) -> torch.device:
        """Where a call computes."""
        return self.stages.device

    @property
    def dtype(self) -> torch.dtype:
        """The decoder's number type."""
        return self.stages.dtype

    @torch.inference_mode(False)
    def prepare(self, request: DrawRequest | Sequence[DrawRequest], overrides: Overrides | None = None) -> Prepared:
        """A request, or several that differ in prompts, pictures and seeds only, made ready once for `draw`."""
        requests = [request] if isinstance(request, DrawRequest) else list(request)
        sampling = Sampling.of(self.parts.defaults, requests[0])
        with torch.autocast(self.device.type, enabled=False):
            return prepare(self.stages, requests, sampling, overrides)

    def draw(
        self,
        request: DrawRequest | Sequence[DrawRequest] | Prepared,
        *,
        plan: Plan | None = None,
        latents: Tensor | None = None,
        on_step: StepCallback | None = None,
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
    ) -> GlmImagePipelineOutput:
        """The pictures of a request, or of several that differ in prompts, pictures and seeds only.

        plan: `output.plan` of an earlier drawing, to redraw it without the AR stage.
        latents: starting latents (B, C, h, w), an eighth of the size, in place of those that the seeds draw.
        on_step: called after each step with its `StepState`; may return latents to go on with.
        progress: called with each `Progress`.
        cancel: stops the drawing within one token or one step.

        Raises RequestError for what this checkpoint cannot take, and Cancelled.
        """
        clock = Stopwatch(self.device)
        with clock.stage("prepare"):
            if isinstance(request, Prepared):
                assert latents is None, "what is prepared has its latents"
                prepared = request
            else:
                prepared = self.prepare(request, Overrides(latents=latents))
        return self._draw(prepared, plan, Watch(progress, cancel), clock, on_step=on_step)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _draw(
        self,
        prepared: Prepared,
        prior: Plan | None,
        watch: Watch,
        clock: Stopwatch,
        *,
        on_step: StepCallback | None = None,
        callback: Callback | None = None,
    ) -> GlmImagePipelineOutput:
        steering = Steering(guidance_scale=prepared.request.guidance_scale, num_timesteps=prepared.schedule.steps)
        with torch.autocast(self.device.type, enabled=False), self._calls.begin(steering):  # stages have number types
            drawing = Drawing(self.stages, prepared, watch)
            with clock.stage("prior"):
                plan = drawing.plan(prior)
            with clock.stage("denoise"):
                latents = drawing.denoise(plan, on_step, callback, steering)
            with clock.stage("decode"):
                images = drawing.decode(latents)
        return GlmImagePipelineOutput(images=images, seeds=drawing.seeds, plan=plan, timings=clock.finished())

    @torch.inference_mode(False)
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
        texts = as_prompts(prompt)
        assert texts is not None
        images = as_images(image, len(texts))
        height, width = picture_size(height, width)
        plan_generators = [seeds.plan_generator(each) for each in seeds.per_picture(generator, len(texts))]
        prompts = self.stages.prompts(texts, images, height, width)
        semantic_ids = self.stages.semantic_ids(prompts)
        sampling = Sampling.of(self.parts.defaults, SamplingOverrides(temperature=temperature, top_p=top_p))
        owners = range(len(texts))
        candidates = check_candidates(None, self.parts)
        judges = self.stages.judges(texts, prompts, semantic_ids, candidates)
        watch = Watch(progress, cancel)
        tokens = self.stages.plans(prompts, semantic_ids, owners, plan_generators, sampling, watch, judges, candidates)
        plan = make_plan(tokens, prompts, semantic_ids)
        target = torch.device(device) if device is not None else self.device
        image_ids, grids = plan.prior_token_image_ids, plan.source_image_grid_thw
        return (
            plan.prior_token_ids.to(target),
            None if image_ids is None else [each.to(target) for each in image_ids],
            None if grids is None else [each.to(target) for each in grids],
        )

    def __call__(  # noqa: PLR0913 (the reference's signature)
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
        quality: str | Quality = "exact",
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
    ) -> GlmImagePipelineOutput | tuple[Any]:
        """Draw pictures. Arguments up to `max_sequence_length` mean what they mean in the reference pipeline; further:

        generator: one for each picture, or one that is spread over them (see `core.seeds`).
        image: reference pictures of any size, as many for each prompt as it likes; the first is the one `mask` edits.
        negative_prompt: its quoted texts become the glyph texts of the unconditional half.
        mask: white where the first reference may change; every other pixel comes out as it was (at the output's size).
        layout: "new" samples a plan for each of the n pictures, "same" one plan for n noises.
        plan: `output.plan` of an earlier call, to redraw it without the AR stage.
        quality: "exact", or a tier of `engine.request` that trades a measured loss for speed ("high", "medium", "low");
            `num_inference_steps` are the steps of an exact drawing, of which a tier may take a share.
        callback_on_step_end: called with the pipeline, the step, its sigma and the asked tensors of "latents",
            "prompt_embeds" and "x0" (the present guess of the finished latents); may return new latents or embeds.
        """
        if attention_kwargs:
            raise RequestError(
                f"attention_kwargs has no meaning here, but {attention_kwargs!r} was given: leave it out.",
                param="attention_kwargs",
            )
        if getattr(callback_on_step_end, "tensor_inputs", None):  # a callback object of the reference library
            callback_on_step_end_tensor_inputs = callback_on_step_end.tensor_inputs  # type: ignore[union-attr]
        plan = plan or as_plan(prior_token_ids, prior_token_image_ids, source_image_grid_thw, image)
        clock = Stopwatch(self.device)
        with clock.stage("prepare"):
            requests = as_requests(
                prompt,
                prompt_embeds,
                plan,
                image=image,
                mask=mask,
                negative_prompt=negative_prompt,
                height=whole_number(height),
                width=whole_number(width),
                num_inference_steps=whole_number(num_inference_steps),
                guidance_scale=real_number(guidance_scale),
                num_images=whole_number(num_images_per_prompt),
                layout=layout,
                temperature=temperature,
                top_p=top_p,
                quality=quality,
            )
            overrides = Overrides(
                generator=generator,
                latents=latents,
                prompt_embeds=prompt_embeds,
                negative_prompt_embeds=negative_prompt_embeds,
                timesteps=timesteps,
                sigmas=sigmas,
                crop=(crops_coords_top_left[0], crops_coords_top_left[1]),
                max_sequence_length=max_sequence_length,
                output_type=output_type,
                callback_tensors=tuple(callback_on_step_end_tensor_inputs),
            )
            prepared = self.prepare(requests, overrides)
        callback = None if callback_on_step_end is None else partial(callback_on_step_end, self)
        output = self._draw(prepared, plan, Watch(progress, cancel), clock, callback=callback)
        return output if return_dict else (output.images,)

    def _check_whole(self, why: str) -> None:
        if not self._as_stored:
            raise ConfigError(f"{why}: load the original model without offload and without quantize for that.")
