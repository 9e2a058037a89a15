"""The arguments of one pipeline call, with every check that needs no network.

Refusals are one sentence with the argument, its value, what is allowed and how to fix it. What the arguments mean is
said in `GlmImagePipeline.__call__`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from inkwash.core import limits
from inkwash.core.errors import RequestError
from inkwash.engine import inputs, seeds
from inkwash.engine.pixels import check_output_type
from inkwash.engine.plan import Plan
from inkwash.engine.quality import Quality, find_quality
from inkwash.engine.request import GenerationRequest, Layout, check_layout
from inkwash.models.glm_image.glyph import MAX_BYTES

CALLBACK_TENSORS = ("latents", "prompt_embeds", "x0")
Numbers = Sequence[float] | None


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """One call: what to draw, how, and from which numbers."""

    prompt: str | Sequence[str] | None
    image: Any = None
    height: int | None = None
    width: int | None = None
    num_inference_steps: int = 50
    timesteps: Numbers = None
    sigmas: Numbers = None
    guidance_scale: float = 1.5
    num_images_per_prompt: int = 1
    generator: torch.Generator | Sequence[torch.Generator] | None = None
    latents: Tensor | None = None
    prompt_embeds: Tensor | None = None
    negative_prompt_embeds: Tensor | None = None
    crop: tuple[int, int] = (0, 0)
    output_type: str = "pil"
    callback_tensors: Sequence[str] = ("latents",)
    max_sequence_length: int = MAX_BYTES
    negative_prompt: str | Sequence[str] | None = None
    mask: Any = None
    layout: Layout = "new"
    plan: Plan | None = None
    quality: Quality = field(default_factory=Quality)

    @classmethod
    def of_request(cls, request: GenerationRequest, plan: Plan | None = None) -> Arguments:
        """A request as the arguments of a call; None as its seed draws one."""
        return cls(
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
            generator=None if request.seed is None else seeds.make_generator(request.seed),
            plan=plan,
            quality=find_quality(request.quality),
        )

    def __post_init__(self) -> None:
        inputs.check_one_source(self.texts, self.prompt_embeds, self.plan)
        if self.timesteps is not None and self.sigmas is not None:
            raise RequestError(
                "Both timesteps and sigmas were given: a schedule follows from one of them, leave one out.",
                param="sigmas",
            )
        limits.check_count(self.num_images_per_prompt)
        limits.check_steps(self.num_inference_steps)
        limits.check_steps(self.steps)
        if self.quality.step_share < 1 and not (self.timesteps is None and self.sigmas is None):
            raise RequestError(
                f"The quality {self.quality.name!r} takes fewer steps than asked for, but timesteps or sigmas were "
                "given: pass fewer of them, or a quality that takes all steps.",
                param="quality",
            )
        limits.check_guidance(self.guidance_scale)
        limits.check_whole("max_sequence_length", self.max_sequence_length, 1, 2**20)
        assert self.negatives is not None  # checks negative_prompt
        check_layout(self.layout)
        check_output_type(self.output_type)
        if self.mask is not None and (self.batch != 1 or not self.images[0]):
            raise RequestError("mask needs exactly one prompt, with the picture to edit as its image.", param="mask")
        unknown = [name for name in self.callback_tensors if name not in CALLBACK_TENSORS]
        if unknown:
            raise RequestError(
                f"callback_on_step_end_tensor_inputs holds {unknown}, but may hold {list(CALLBACK_TENSORS)} only.",
                param="callback_on_step_end_tensor_inputs",
            )

    @cached_property
    def texts(self) -> list[str] | None:
        return inputs.as_prompts(self.prompt)

    @cached_property
    def images(self) -> list[list[Image.Image]]:
        """Reference pictures of each prompt, RGB."""
        return inputs.as_images(self.image, self.batch)

    @cached_property
    def negatives(self) -> list[str]:
        return inputs.as_negatives(self.negative_prompt, self.batch)

    @property
    def batch(self) -> int:
        """How many prompts."""
        if self.texts is not None:
            return len(self.texts)
        assert self.prompt_embeds is not None
        return len(self.prompt_embeds)

    @property
    def count(self) -> int:
        """How many pictures."""
        return self.batch * self.num_images_per_prompt

    @property
    def owners(self) -> list[int]:
        """The prompt of each picture."""
        return [number // self.num_images_per_prompt for number in range(self.count)]

    @property
    def steps(self) -> int:
        """Steps of the decoder: the quality's share of those asked for; given timesteps or sigmas say it themselves."""
        given = self.timesteps if self.timesteps is not None else self.sigmas
        return self.quality.steps(self.num_inference_steps) if given is None else len(given)
