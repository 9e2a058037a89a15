"""The arguments that a call of the reference takes (texts, pictures, tensors), read into requests and a plan.

Each function checks what it reads and raises RequestError with the name of the argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from inkwash.core import limits
from inkwash.core.errors import RequestError
from inkwash.engine.output import Plan
from inkwash.engine.prepared import as_rgb, check_tensor
from inkwash.engine.request import DrawRequest

UNREAD = "(prompt_embeds)"  # the prompt of a request whose plan and embeddings are given: no network reads it


def whole_number(value: Any) -> Any:
    """numpy's and torch's whole numbers as Python's; anything else as it is, for the check that follows."""
    if isinstance(value, np.integer) or (
        isinstance(value, Tensor) and value.numel() == 1 and not value.is_floating_point()
    ):
        return int(value)
    return value


def real_number(value: Any) -> Any:
    """The same for real numbers."""
    if isinstance(value, np.number) or (isinstance(value, Tensor) and value.numel() == 1):
        return float(value)
    return value


def as_prompts(prompt: str | Sequence[str] | None, name: str = "prompt") -> list[str] | None:
    """A prompt or several as a list; each must have something to say."""
    if prompt is None:
        return None
    prompts: list[Any] = list(prompt) if isinstance(prompt, list | tuple) else [prompt]
    if not prompts or not all(isinstance(each, str) for each in prompts):
        raise RequestError(f"{name} must be a text or a list of texts, not {prompt!r}.", param=name)
    return [limits.check_prompt(each) for each in prompts]


def as_negatives(negative: str | Sequence[str] | None, batch: int) -> list[str]:
    """One negative prompt for each prompt; a single one serves all, none means no text."""
    negatives = [negative or ""] * batch if negative is None or isinstance(negative, str) else list(negative)
    if len(negatives) != batch or not all(isinstance(each, str) for each in negatives):
        raise RequestError(
            f"negative_prompt holds {len(negatives)} texts for {batch} prompts: pass one for each, or a single one.",
            param="negative_prompt",
        )
    return negatives


def as_images(image: Any, batch: int) -> list[list[Image.Image]]:
    """Reference pictures of each prompt; a list of lists may give every prompt its own number of them."""
    if image is None:
        return [[] for _ in range(batch)]
    if isinstance(image, np.ndarray | Tensor) and image.ndim == 4:
        image = list(image)
    if not isinstance(image, list | tuple):
        image = [image]
    nested = [isinstance(each, list | tuple) or each is None for each in image]
    if batch == 1 and not any(nested):
        image, nested = [image], [True]
    if not all(nested) or len(image) != batch:
        raise RequestError(
            f"image must be a list of {batch} lists of pictures, one list for each of the {batch} prompts"
            " (an empty list for a prompt without references).",
            param="image",
        )
    return [[as_rgb(each) for each in pictures or ()] for pictures in image]


def as_requests(
    prompt: str | Sequence[str] | None,
    prompt_embeds: Tensor | None,
    plan: Plan | None,
    *,
    image: Any,
    mask: Any,
    negative_prompt: str | Sequence[str] | None,
    **settings: Any,
) -> list[DrawRequest]:
    """The request of each prompt of a call; `settings` are the fields that all of them share."""
    texts = as_prompts(prompt)
    check_one_source(texts, prompt_embeds, plan)
    if texts is None:
        assert prompt_embeds is not None
        texts = [UNREAD] * len(prompt_embeds)
    images = as_images(image, len(texts))
    if mask is not None and (len(texts) != 1 or not images[0]):
        raise RequestError("mask needs exactly one prompt, with the picture to edit as its image.", param="mask")
    negatives = as_negatives(negative_prompt, len(texts))
    return [
        DrawRequest(prompt=text, images=tuple(pictures), mask=mask, negative_prompt=negative or None, **settings)
        for text, pictures, negative in zip(texts, images, negatives, strict=True)
    ]


def check_one_source(prompts: Sequence[str] | None, prompt_embeds: Tensor | None, plan: Plan | None) -> None:
    """Exactly one of prompt and prompt_embeds; embeddings alone cannot be planned from."""
    if (prompts is None) == (prompt_embeds is None):
        which = "neither" if prompts is None else "both"
        raise RequestError(f"Give either prompt or prompt_embeds; {which} of them was given.", param="prompt")
    if prompts is None and plan is None:
        raise RequestError(
            "prompt_embeds hold only the quoted texts, not the picture: give prior_token_ids with them, or a prompt.",
            param="prompt_embeds",
        )


def as_plan(
    priors: Tensor | None, image_ids: Sequence[Tensor] | None, grids: Sequence[Tensor] | None, image: Any
) -> Plan | None:
    """The plan in the reference's three arguments, of which the last two come together and with their pictures."""
    if (image_ids is None) != (grids is None):
        raise RequestError(
            "prior_token_image_ids and source_image_grid_thw belong together: pass both or neither.",
            param="prior_token_image_ids",
        )
    if image_ids is not None and (priors is None or image is None):
        raise RequestError(
            "prior_token_image_ids needs prior_token_ids and image as well: pass what generate_prior_tokens returned, "
            "and the pictures it was given.",
            param="prior_token_image_ids",
        )
    if priors is None:
        return None
    check_tensor("prior_token_ids", priors, (None, None))
    if image_ids is None or grids is None:
        return Plan(priors)
    return Plan(priors, list(image_ids), list(grids))
