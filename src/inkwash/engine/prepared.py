"""Requests made ready for the networks, once: prompt ids, reference pixels, schedule, mask, seeds and token counts.

    prepared = pipe.prepare(DrawRequest(prompt='A poster that says "HELLO"', num_images=4, seed=7))
    third = pipe.draw(prepared.picture(2), plan=plan)

Nothing here is drawn by chance yet: noise is drawn when a picture is denoised, from the generator of that picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from inkwash.core import limits, seeds
from inkwash.core.errors import RequestError
from inkwash.core.seeds import following_seed
from inkwash.engine.output import MaskedEdit, check_output_type
from inkwash.engine.plan_choice import check_candidates
from inkwash.engine.request import DrawRequest, Quality, TokenCounts, find_quality, picture_size
from inkwash.engine.sampling import Sampling
from inkwash.engine.stages import Stages
from inkwash.media.images import load_image, load_mask
from inkwash.models.glm_image.glyph import MAX_BYTES
from inkwash.models.glm_image.processor import ImagePrompt
from inkwash.models.glm_image.schedule import Schedule
from inkwash.nn.finite import is_finite

CALLBACK_TENSORS = ("latents", "prompt_embeds", "x0")
Generators = torch.Generator | Sequence[torch.Generator] | None


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Numbers in place of those that follow from a request: what the reference's call takes beyond it."""

    generator: Generators = None
    latents: Tensor | None = None
    prompt_embeds: Tensor | None = None
    negative_prompt_embeds: Tensor | None = None
    timesteps: Sequence[float] | None = None
    sigmas: Sequence[float] | None = None
    crop: tuple[int, int] = (0, 0)
    max_sequence_length: int = MAX_BYTES
    output_type: str = "pil"
    callback_tensors: Sequence[str] = ("latents",)

    def __post_init__(self) -> None:
        if self.timesteps is not None and self.sigmas is not None:
            raise RequestError(
                "Both timesteps and sigmas were given: a schedule follows from one of them, leave one out.",
                param="sigmas",
            )
        limits.check_whole("max_sequence_length", self.max_sequence_length, 1, 2**20)
        check_output_type(self.output_type)
        unknown = [name for name in self.callback_tensors if name not in CALLBACK_TENSORS]
        if unknown:
            raise RequestError(
                f"callback_on_step_end_tensor_inputs holds {unknown}, but may hold {list(CALLBACK_TENSORS)} only.",
                param="callback_on_step_end_tensor_inputs",
            )

    def steps(self, request: DrawRequest) -> int:
        """Steps of the decoder: the quality's share of those asked for; given timesteps or sigmas say it themselves."""
        values = self.timesteps if self.timesteps is not None else self.sigmas
        quality = find_quality(request.quality)
        if values is None:
            return quality.steps(request.num_inference_steps)
        if quality.step_share < 1:
            raise RequestError(
                f"The quality {quality.name!r} takes fewer steps than asked for, but timesteps or sigmas were "
                "given: pass fewer of them, or a quality that takes all steps.",
                param="quality",
            )
        return limits.check_steps(len(values))


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Requests made ready for `GlmImagePipeline.draw`: prompt ids, reference pixels, schedule, mask, seeds.

    There is one request for each prompt; they differ in prompts, pictures and seeds only. `height` and `width` are in
    pixels; generators and plan seeds are those of each picture.
    """

    requests: tuple[DrawRequest, ...]
    overrides: Overrides
    prompts: tuple[ImagePrompt, ...]  # of each request
    sampling: Sampling
    schedule: Schedule
    height: int
    width: int
    edit: MaskedEdit | None = field(repr=False)
    generators: tuple[torch.Generator, ...]  # of each picture
    plan_seeds: tuple[int, ...]
    candidates: int  # plans that are sampled for a picture, at most

    @property
    def request(self) -> DrawRequest:
        """The first request, whose settings are those of all."""
        return self.requests[0]

    @property
    def quality(self) -> Quality:
        """What may be left out for speed."""
        return find_quality(self.request.quality)

    @property
    def batch(self) -> int:
        """How many prompts."""
        return len(self.requests)

    @property
    def count(self) -> int:
        """How many pictures."""
        return len(self.generators)

    @property
    def owners(self) -> list[int]:
        """The prompt of each picture."""
        return [number * self.batch // self.count for number in range(self.count)]

    def plan_generator(self, index: int) -> torch.Generator:
        """What the plan of picture `index` is sampled from, new at every call."""
        return seeds.make_generator(self.plan_seeds[index])

    @property
    def tokens(self) -> TokenCounts:
        """Tokens that the AR generator reads and samples for one picture of the first request."""
        prompt = self.prompts[0]
        image = sum(rows * columns for rows, columns in (reference.grid for reference in prompt.references))
        return TokenCounts(text=len(prompt.ids) - image, image=image, drawn=prompt.drawn_tokens)

    def picture(self, index: int) -> Prepared:
        """Picture `index` of one request alone: the same picture, whatever was drawn of the others before."""
        assert self.batch == 1 and self.request.seed is not None, "pictures of one request are told apart by its seed"
        seed = following_seed(self.request.seed, index)
        return replace(
            self,
            requests=(replace(self.request, num_images=1, layout="new", seed=seed),),
            generators=(seeds.make_generator(seed),),
            plan_seeds=self.plan_seeds[index : index + 1],
        )


def _generators(requests: Sequence[DrawRequest], generators: Generators) -> list[torch.Generator]:
    """A generator for each picture: as given, or of each request's own seed; without seeds one is drawn for all."""
    if generators is not None or all(request.seed is None for request in requests):
        return seeds.per_picture(generators, sum(request.num_images for request in requests))
    seeded = [None if each.seed is None else seeds.make_generator(each.seed) for each in requests]
    pairs = zip(seeded, requests, strict=True)
    return [made for seed, request in pairs for made in seeds.per_picture(seed, request.num_images)]


MAY_DIFFER = {"prompt", "images", "negative_prompt", "seed"}  # between requests that are drawn together


def _check_alike(requests: Sequence[DrawRequest]) -> None:
    """Refuse requests with different settings: one batch has one schedule, one guidance and one size."""
    first, *others = requests
    for name in [setting.name for setting in fields(DrawRequest) if setting.name not in MAY_DIFFER]:
        if any(getattr(other, name) != getattr(first, name) for other in others):
            raise RequestError(
                f"Requests that are drawn together have one {name}, not several: draw them one by one.", param=name
            )


def prepare(
    stages: Stages, requests: Sequence[DrawRequest], sampling: Sampling, overrides: Overrides | None = None
) -> Prepared:
    """Everything that pictures of these requests need before the first network runs."""
    overrides, first = overrides or Overrides(), requests[0]
    _check_alike(requests)
    images = [[as_rgb(each) for each in request.images] for request in requests]
    height, width = picture_size(first.height, first.width, stages.natural_size(images))
    schedule = stages.schedule(height, width, overrides.steps(first), overrides.timesteps, overrides.sigmas)
    edit = None if first.mask is None else MaskedEdit(images[0][0], load_mask(first.mask), width, height)
    prompts = stages.prompts([request.prompt for request in requests], images, height, width)
    generators = _generators(requests, overrides.generator)
    config = stages.parts.decoder.config
    for name in ("prompt_embeds", "negative_prompt_embeds"):
        if getattr(overrides, name) is not None:
            shape = (len(requests), None, config.text_embed_dim)
            check_tensor(name, getattr(overrides, name), shape)
    if overrides.latents is not None:
        scale = stages.parts.vae.config.scale_factor
        cells = (height // scale, width // scale)
        check_tensor("latents", overrides.latents, (len(generators), config.in_channels, *cells))
    return Prepared(
        requests=tuple(requests),
        overrides=overrides,
        prompts=tuple(prompts),
        sampling=sampling,
        schedule=schedule,
        height=height,
        width=width,
        edit=edit,
        generators=tuple(generators),
        plan_seeds=tuple(seeds.digest(each) for each in generators),
        candidates=check_candidates(first.plan_candidates, stages.parts),
    )


Picture: TypeAlias = Any  # a PIL image, a path, bytes, an array (H, W, 3) or a tensor (3, H, W)


def as_rgb(picture: Picture) -> Image.Image:
    """Any kind of picture as 8-bit RGB."""
    if isinstance(picture, Tensor):
        picture = picture.detach().cpu()
        if picture.ndim == 4 and picture.shape[0] == 1:
            picture = picture[0]
        picture = picture.movedim(-3, -1) if picture.ndim == 3 else picture
        picture = (picture if picture.dtype is torch.uint8 else picture.float()).numpy()
    if isinstance(picture, np.ndarray):
        if picture.ndim == 4 and picture.shape[0] == 1:
            picture = picture[0]
        if picture.ndim == 3 and picture.shape[-1] == 1:
            picture = picture[..., 0]
        if picture.ndim != 2 and (picture.ndim != 3 or picture.shape[-1] not in (3, 4)):
            raise RequestError(
                "A picture given as an array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), as a tensor (C, H, W); "
                f"got shape {picture.shape}.",
                param="image",
            )
        if picture.dtype != np.uint8:
            if not np.isfinite(picture).all() or picture.min() < 0 or picture.max() > 1:
                raise RequestError("A picture given as numbers must lie in 0..1, or be of type uint8.", param="image")
            picture = (picture * 255).round().astype(np.uint8)
        return load_image(Image.fromarray(picture))
    return load_image(picture)


def check_tensor(name: str, value: Tensor, shape: tuple[int | None, ...]) -> None:
    """A tensor argument of the expected shape, None standing for any length."""
    fits = isinstance(value, Tensor) and value.ndim == len(shape)
    if not fits or any(want is not None and have != want for have, want in zip(value.shape, shape, strict=True)):
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise RequestError(f"{name} must be a tensor of shape ({wanted}), not {got}.", param=name)
    if not is_finite(value):
        raise RequestError(f"{name} holds NaN or infinity: pass finite numbers.", param=name)


def repeat_to(name: str, value: Tensor, prompts: int, pictures: int) -> Tensor:
    """Rows for each prompt repeated for its pictures; rows for each picture as they are."""
    if value.shape[0] not in (prompts, pictures):
        raise RequestError(
            f"{name} has {value.shape[0]} rows, but there are {prompts} prompts and {pictures} pictures.", param=name
        )
    return value if value.shape[0] == pictures else value.repeat_interleave(pictures // prompts, dim=0)
