"""The nodes that draw: from a prompt, and from a prompt and pictures.

Seed, steps and sizes mean what they mean to `inkwash generate` and `inkwash edit`: the same values draw the same
pictures. Picture k of a batch has seed `seed + k`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor

from inkwash import DrawRequest, InkwashError, RequestError, Verify, draw_verified
from inkwash.core import limits
from inkwash.core.types import Size
from inkwash.engine.notes import negative_notes, notes
from inkwash.engine.output import join_pictures
from inkwash.engine.partials import show_guess, spread_steps
from inkwash.engine.request import TIERS, find_quality
from inkwash.models.registry import defaults_of

from . import host
from .load import CATEGORY, Model
from .plans import PlanHandle
from .tensors import to_images, to_mask, to_pictures
from .words import reader

if TYPE_CHECKING:
    from inkwash import GlmImagePipeline, Plan
    from inkwash.engine.denoise import StepState

PREVIEWS = 3  # looks at a picture on its way
LARGEST_SEED = 2**63 - 1 - limits.MAX_IMAGES**2  # so that each picture of a batch of batches has one
log = logging.getLogger("inkwash.comfyui")
Result = tuple[Tensor, PlanHandle, bool, str]


def drawing_inputs(sides: dict[str, Any]) -> dict[str, Any]:
    """The inputs that both nodes have; 0 leaves a value to the model."""
    side = {"min": 0, "max": limits.MAX_SIDE, "step": limits.SIZE_STEP}
    seed = {"default": 0, "min": 0, "max": LARGEST_SEED, "control_after_generate": True}
    return {
        "prompt": ("STRING", {"default": 'A poster that says "HELLO"', "multiline": True, "dynamicPrompts": False}),
        "seed": ("INT", seed),
        "width": ("INT", {**side, **sides}),
        "height": ("INT", {**side, **sides}),
        "steps": ("INT", {"default": 0, "min": 0, "max": limits.MAX_STEPS, "tooltip": "0: the model's own"}),
        "guidance": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 30.0, "step": 0.1, "tooltip": "0: the model's own"}),
        "count": ("INT", {"default": 1, "min": 1, "max": limits.MAX_IMAGES, "tooltip": "pictures of the prompt"}),
    }


def optional_inputs() -> dict[str, Any]:
    return {
        "negative_prompt": ("STRING", {"default": "", "multiline": True}),
        "layout": (["new", "same"], {"default": "new", "tooltip": "same: one plan, `count` noises"}),
        "quality": (list(reversed(TIERS)), {"default": "exact"}),
        "temperature": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 10.0, "step": 0.05, "tooltip": "0: the model's"}),
        "top_p": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.01, "tooltip": "0: the model's own"}),
        "plan": ("INKWASH_PLAN",),
        "verify": ("INKWASH_VERIFY",),
    }


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The widgets of a node."""

    prompt: str
    seed: int
    width: int
    height: int
    steps: int
    guidance: float
    count: int
    negative_prompt: str = ""
    layout: str = "new"
    quality: str = "exact"
    temperature: float = 0.0
    top_p: float = 0.0

    def request(self, model: Model) -> DrawRequest:
        """The engine's request, which checks every value."""
        own = defaults_of(model.options.model)
        return DrawRequest(
            prompt=self.prompt,
            height=self.height or None,
            width=self.width or None,
            num_inference_steps=self.steps or own.num_inference_steps,
            guidance_scale=self.guidance or own.guidance_scale,
            negative_prompt=self.negative_prompt.strip() or None,
            num_images=self.count,
            layout=self.layout,  # type: ignore[arg-type]  # checked by the request
            quality=self.quality,  # type: ignore[arg-type]
            temperature=self.temperature or None,
            top_p=self.top_p or None,
            seed=self.seed,
        )


@dataclass(kw_only=True)
class Drawn:
    """What the requests of one node made, picture by picture."""

    pictures: list[Image.Image]
    plans: list[Plan]
    checks: list[dict[str, Any]]

    def add(self, pipe: GlmImagePipeline, request: DrawRequest, plan: Plan | None, verify: Verify | None) -> None:
        if verify is None:
            bar = host.ProgressBar(planned=plan is not None)
            preview = Preview(pipe, request, bar) if request.num_images == 1 else None
            output = pipe.draw(request, plan=plan, progress=bar, on_step=preview)
            self.pictures += output.images
            rows = output.plan
            self.plans += [rows.of_picture(index) for index in range(request.num_images)]
            return
        bar = host.ProgressBar(verify.most)
        for verified in draw_verified(
            pipe, request, reader().reading, verify=verify, progress=bar, attempted=bar.attempted
        ):
            assert verified.plan is not None
            self.pictures.append(verified.image)
            self.plans.append(verified.plan)
            self.checks.append(verified.to_dict())

    def result(self, model: Model, request: DrawRequest, warnings: Sequence[str]) -> Result:
        """The outputs of the node."""
        width, height = self.pictures[0].size
        tokens = join_pictures(self.plans).prior_token_ids
        info = {
            "model": model.options.model,
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "size": str(Size(width, height)),
            "steps": request.num_inference_steps,
            "guidance": request.guidance_scale,
            "seed": request.seed,
            "count": len(self.pictures),
            "lora": [f"{path}:{weight:g}" for path, weight in model.adapters],
            "verify": self.checks,
            "warnings": list(warnings),
        }
        right = bool(self.checks) and all(check["right"] for check in self.checks)
        text = json.dumps({name: value for name, value in info.items() if value not in (None, [])}, ensure_ascii=False)
        return to_images(self.pictures), PlanHandle(width=width, height=height, tokens=tokens), right, text


class Preview:
    """The decoder's guess of the picture after some of its steps, shown in the node."""

    def __init__(self, pipe: GlmImagePipeline, request: DrawRequest, bar: host.ProgressBar) -> None:
        self.pipe, self.bar = pipe, bar
        steps = find_quality(request.quality).steps(request.num_inference_steps)
        self.steps = spread_steps(steps, PREVIEWS)

    def __call__(self, state: StepState) -> None:
        if self.bar.shown and state.index in self.steps:
            self.bar.preview(show_guess(self.pipe.stages, state.x0))


def said_before(request: DrawRequest, model: Model, pipe: GlmImagePipeline) -> list[str]:
    """What the model will not draw as it is asked to, also in ComfyUI's log."""
    own = defaults_of(model.options.model)
    height, width = request.height, request.width
    if height is None or width is None:
        height, width = pipe.stages.natural_size([request.images])
    found = notes(
        request.prompt,
        Size(width, height),
        request.images,
        own.limits,
        canonical=own.canonical_quotes,
        adapted=bool(model.adapters),
    )
    found = [*found, *negative_notes(request.negative_prompt, request.guidance_scale)]
    for note in found:
        log.warning("%s", note)
    return found


def check_widgets(prompt: str | None, width: int | None, height: int | None) -> bool | str:
    """What is wrong with the widgets, before the queue starts; a linked input is None."""
    try:
        if prompt is not None:
            limits.check_prompt(prompt)
        if width and height:
            limits.check_size(Size(width, height))
    except InkwashError as error:
        return error.message
    return True


class InkwashDraw:
    """Pictures from a prompt; words to be written stand in quotation marks."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Draw pictures from a prompt. Words to be written stand in quotation marks."
    RETURN_TYPES = ("IMAGE", "INKWASH_PLAN", "BOOLEAN", "STRING")
    RETURN_NAMES = ("images", "plan", "words_right", "info")
    FUNCTION = "draw"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        sides = {"default": 0, "tooltip": "0: the model's own size"}
        return {"required": {"model": ("INKWASH_MODEL",), **drawing_inputs(sides)}, "optional": optional_inputs()}

    @classmethod
    def VALIDATE_INPUTS(
        cls, prompt: str | None = None, width: int | None = None, height: int | None = None
    ) -> bool | str:
        return check_widgets(prompt, width, height)

    def draw(
        self, model: Model, plan: PlanHandle | None = None, verify: Verify | None = None, **widgets: Any
    ) -> Result:
        request = with_size_of(plan, Asked(**widgets).request(model))
        check_plan(plan, verify, request.num_images)
        drawn = Drawn(pictures=[], plans=[], checks=[])
        with model.pipeline() as pipe:
            warnings = said_before(request, model, pipe)
            drawn.add(pipe, request, None if plan is None else plan.plan(0, request.num_images), verify)
        return drawn.result(model, request, warnings)


class InkwashEdit:
    """Pictures from a prompt and pictures, all over or inside a mask.

    Each picture of a batch is edited; `references` are further pictures that the prompt speaks of, the same for all.
    """

    CATEGORY = CATEGORY
    DESCRIPTION = "Edit pictures, inside a mask if there is one; references are further pictures to take from."
    RETURN_TYPES = InkwashDraw.RETURN_TYPES
    RETURN_NAMES = InkwashDraw.RETURN_NAMES
    FUNCTION = "edit"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        sides = {"default": 0, "tooltip": "0: the picture's own size"}
        extra = {"mask": ("MASK",), "references": ("IMAGE",)}
        required = {"model": ("INKWASH_MODEL",), "image": ("IMAGE",), **drawing_inputs(sides)}
        return {"required": required, "optional": {**extra, **optional_inputs()}}

    @classmethod
    def VALIDATE_INPUTS(
        cls, prompt: str | None = None, width: int | None = None, height: int | None = None
    ) -> bool | str:
        return check_widgets(prompt, width, height)

    def edit(
        self,
        model: Model,
        image: Tensor,
        mask: Tensor | None = None,
        references: Tensor | None = None,
        plan: PlanHandle | None = None,
        verify: Verify | None = None,
        **widgets: Any,
    ) -> Result:
        request = with_size_of(plan, Asked(**widgets).request(model))
        pictures = to_pictures(image)
        more = () if references is None else tuple(to_pictures(references))
        count = request.num_images
        check_plan(plan, verify, len(pictures) * count)
        drawn = Drawn(pictures=[], plans=[], checks=[])
        warnings: list[str] = []
        assert request.seed is not None
        with model.pipeline() as pipe:
            for number, picture in enumerate(pictures):
                host.check_interrupted()
                own = replace(
                    request,
                    images=(picture, *more),
                    mask=None if mask is None else to_mask(mask, picture.size, number),
                    seed=request.seed + number * count,
                )
                warnings += [note for note in said_before(own, model, pipe) if note not in warnings]
                given = None if plan is None else plan.plan(number * count, count)
                drawn.add(pipe, own, given, verify)
        return drawn.result(model, request, warnings)


def with_size_of(plan: PlanHandle | None, request: DrawRequest) -> DrawRequest:
    """A plan's own size where none is asked for."""
    if plan is None or request.width is not None or request.height is not None:
        return request
    return replace(request, width=plan.width, height=plan.height)


def check_plan(plan: PlanHandle | None, verify: Verify | None, count: int) -> None:
    """RequestError where the plan is not for these pictures, or where verification would sample others."""
    if plan is None:
        return
    plan.check(count)
    if verify is not None:
        raise RequestError(
            "A plan and `verify` were given, but verification samples plans of its own: take one of them off.",
            param="verify",
        )
