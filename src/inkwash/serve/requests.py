"""From a body and its pictures to an order: what the engine is asked for, and how the answer is made of its result.

The same body and pictures always make the same order, so that a job can be taken up again after a restart; what is
drawn by chance (the seed) is put into the body first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from PIL import Image

from inkwash.core.errors import RequestError
from inkwash.core.limits import MAX_SIDE
from inkwash.core.seeds import draw_seed
from inkwash.core.text import nearest
from inkwash.core.types import Size
from inkwash.engine.notes import negative_notes, notes
from inkwash.engine.request import PLAN_FIELDS, DrawRequest
from inkwash.engine.verify import Verify, check_verifiable
from inkwash.media.reader import MediaReader
from inkwash.serve.handles import PlanHandle, PlanSigner
from inkwash.serve.quality import QualityChoice, choose
from inkwash.serve.schemas import Body, EditBody, Format, ImageBody
from inkwash.serve.sizes import MaskedCanvas, centre_crop, drawn_size, parse_size
from inkwash.serve.uploads import Uploads, decode

if TYPE_CHECKING:
    from inkwash.engine.output import Plan
    from inkwash.serve.backend import ModelInfo
    from inkwash.serve.settings import ServeSettings

Kind = Literal["image_generation", "image_edit"]


@dataclass(frozen=True, kw_only=True)
class PreparedRequest:
    """One request, checked and complete."""

    kind: Kind
    body: ImageBody
    request: DrawRequest
    final_size: Size | None  # None: what the model takes for the references
    canvas: MaskedCanvas | None
    quality: QualityChoice
    format: Format
    plan: Plan | None
    digests: tuple[str, ...]
    warnings: tuple[str, ...]
    revised_prompt: str | None = None
    verify: Verify | None = None

    @property
    def partial_images(self) -> int:
        return (self.body.partial_images or 0) if self.body.stream else 0

    def finish(self, drawn: Image.Image) -> Image.Image:
        """A drawn picture at the asked size."""
        if self.final_size is None:
            return drawn
        covering = self.canvas.drawn if self.canvas is not None else drawn_size(self.final_size)
        if drawn.size != covering:  # an unfinished look may be smaller
            drawn = drawn.resize(covering, Image.Resampling.BICUBIC)
        return centre_crop(drawn, self.final_size) if self.canvas is None else self.canvas.restore(drawn)


def with_seed(body: Body) -> Body:
    """The body with a seed, drawn if it had none."""
    return body if body.seed is not None else body.model_copy(update={"seed": draw_seed()})


def prepare_request(
    body: ImageBody,
    uploads: Uploads,
    *,
    info: ModelInfo,
    settings: ServeSettings,
    signer: PlanSigner,
    reader: MediaReader,
    prompt: str | None = None,
    earlier: tuple[str, ...] = (),
) -> PreparedRequest:
    """Everything checked and decoded; `prompt` replaces a body's if it was rewritten, `earlier` are its warnings."""
    assert body.seed is not None, "the seed is drawn before"
    warnings = [*earlier, *_warnings(body, info)]
    handle = None if body.plan is None else signer.read(body.plan)
    images = tuple(decode(each, "image", settings, reader) for each in uploads.images)
    if uploads.markup is not None:
        images = (_marked(images[0], uploads.markup, settings, reader), *images[1:])
    final_size, canvas = _canvas(body, images, uploads, settings, reader, handle, info, warnings)
    if handle is not None:
        _check_handle(handle, final_size, uploads)
    drawn = canvas.drawn if canvas is not None else None if final_size is None else drawn_size(final_size)
    chosen = choose(body.quality)
    request = DrawRequest(
        prompt=body.prompt if prompt is None else prompt,
        images=images if canvas is None else (canvas.picture(), *images[1:]),
        mask=None if canvas is None else canvas.mask(),
        height=None if drawn is None else drawn.height,
        width=None if drawn is None else drawn.width,
        num_inference_steps=_steps(body, chosen, info, settings, warnings),
        guidance_scale=info.defaults.guidance if body.guidance_scale is None else body.guidance_scale,
        negative_prompt=body.negative_prompt,
        num_images=body.n or 1,
        layout=body.layout or "new",
        quality=chosen.tier,
        seed=body.seed,
        adapters=_adapters(body, info),
        **{name: getattr(body, name) for name in PLAN_FIELDS},
    )
    warnings += _prompt_notes(request, images, final_size if drawn is None else drawn, info)
    if body.strict and warnings:
        raise RequestError(f"Refused because of strict: {warnings[0]}", code="strict")
    return PreparedRequest(
        kind="image_edit" if isinstance(body, EditBody) else "image_generation",
        body=body,
        request=request,
        final_size=final_size,
        canvas=canvas,
        quality=chosen,
        format=body.output_format or "png",
        plan=None if handle is None else handle.plan(),
        digests=tuple(uploads.digests),
        warnings=tuple(warnings),
        revised_prompt=prompt,
        verify=_verify(body, request),
    )


def _prompt_notes(
    request: DrawRequest, images: tuple[Image.Image, ...], size: Size | None, info: ModelInfo
) -> list[str]:
    """What the model will not draw as the prompt asks for it."""
    if size is None and images:
        size = Size(*images[0].size)
    adapted = info.adapted if request.adapters is None else bool(request.adapters)
    return notes(request.prompt, size, images, info.limits, canonical=info.canonical_quotes, adapted=adapted)


def _adapters(body: ImageBody, info: ModelInfo) -> tuple[tuple[str, float], ...] | None:
    """The adapters that a body names, or that its model is; None for the server's usual ones."""
    if body.lora is None:
        return ((body.model, 1.0),) if body.model in info.adapters else None
    for choice in body.lora:
        if choice.name not in info.adapters:
            there = f"there are {', '.join(info.adapters)}" if info.adapters else "start it with --lora-folder FOLDER"
            raise RequestError(
                f"There is no adapter {choice.name[:80]!r} on this server: {there}.",
                code="adapter_not_found",
                param="lora",
            )
    names = [choice.name for choice in body.lora]
    if len(set(names)) < len(names):
        raise RequestError("lora names an adapter twice: give each once.", code="invalid_value", param="lora")
    return tuple((choice.name, choice.scale) for choice in body.lora)


def _verify(body: ImageBody, request: DrawRequest) -> Verify | None:
    """How often the pictures are tried; RequestError where there is nothing to look for."""
    if not body.verify:
        return None
    check_verifiable(request.prompt)
    if request.layout == "same" and request.num_images > 1:
        raise RequestError(
            "verify samples plans for each picture, but layout is 'same': leave one of the two out.",
            code="invalid_value",
            param="layout",
        )
    tries = body.tries or (1 if body.best_of else Verify().tries)  # best_of alone says how many there are
    return Verify(tries=tries, best_of=body.best_of or 1)


def _canvas(
    body: ImageBody,
    images: tuple[Image.Image, ...],
    uploads: Uploads,
    settings: ServeSettings,
    reader: MediaReader,
    handle: PlanHandle | None,
    info: ModelInfo,
    warnings: list[str],
) -> tuple[Size | None, MaskedCanvas | None]:
    """The asked size, and the way in and out of a masked edit."""
    size = parse_size(body.size)
    if uploads.mask is None:
        if size is None and handle is not None:
            size = handle.final_size
        if size is None and not images:
            size = Size(*info.natural_size)
        return size, None
    canvas = MaskedCanvas(original=images[0], change=decode(uploads.mask, "mask", settings, reader, "mask"))
    if size is not None and size != canvas.size:
        warnings.append(
            f"size: {size} is not the first image's {canvas.size}, so the image and its mask were resized first; "
            "leave size out to keep untouched pixels exactly."
        )
        drawn_size(size)
        resized = images[0].resize(size, Image.Resampling.LANCZOS)
        change = canvas.change.resize(size, Image.Resampling.BILINEAR)
        canvas = MaskedCanvas(original=resized, change=change)
    elif canvas.worked != canvas.size:
        warnings.append(
            f"size: the image is larger than {MAX_SIDE} pixels, so the masked part was drawn at {canvas.worked} and "
            "enlarged; untouched pixels are exact."
        )
    return canvas.size, canvas


def _check_handle(handle: PlanHandle, size: Size | None, uploads: Uploads) -> None:
    if size is not None and drawn_size(size) != handle.drawn:
        raise RequestError(
            f"The plan is of a picture of {handle.final_size}, but size is {size}: leave size out or plan anew.",
            code="plan_mismatch",
            param="size",
        )
    if list(handle.references) != uploads.digests:
        raise RequestError(
            "The plan was made with other reference pictures: send the same files in the same order.",
            code="plan_mismatch",
            param="plan",
        )


def _steps(
    body: ImageBody, chosen: QualityChoice, info: ModelInfo, settings: ServeSettings, warnings: list[str]
) -> int:
    """The steps to ask the engine for."""
    usual = chosen.steps(info.defaults.steps)
    if body.steps is None:
        return min(usual, chosen.asked_for(settings.max_steps))
    if body.steps > settings.max_steps:
        raise RequestError(
            f"steps is {body.steps}, but this server draws with at most {settings.max_steps}.",
            code="invalid_value",
            param="steps",
        )
    taken = chosen.taken(usual)
    if body.quality not in (None, "auto") and body.steps != taken:
        warnings.append(f"quality: {body.quality} means {taken} steps here, but steps says {body.steps}, which counts.")
    return chosen.asked_for(body.steps)


def _marked(
    picture: Image.Image, markup: bytes | Image.Image, settings: ServeSettings, reader: MediaReader
) -> Image.Image:
    """The first reference with the markup laid over it."""
    overlay = decode(markup, "markup", settings, reader, "rgba")
    if overlay.size != picture.size:
        raise RequestError(
            f"The markup is {Size(*overlay.size)} pixels, but the first image is {Size(*picture.size)}: make them "
            "equally large.",
            code="invalid_value",
            param="markup",
        )
    return Image.alpha_composite(picture.convert("RGBA"), overlay).convert("RGB")


def _warnings(body: ImageBody, info: ModelInfo) -> list[str]:
    """A sentence for each field that was sent and has no effect, or another than its name says."""
    known = sorted(type(body).model_fields)
    warnings = []
    for name in body.unknown:
        near = nearest(name, known)
        hint = f"; did you mean {near}?" if near else "."
        warnings.append(f"{name}: this field is unknown and was ignored{hint}")
    if body.model is not None and not same_model(body.model, info.name) and body.model not in info.adapters:
        warnings.append(f"model: {body.model!r} is not served here; {info.name} drew instead.")
    if body.style is not None:
        warnings.append("style: has no effect; describe the style in the prompt.")
    if body.complexity is not None:
        warnings.append("complexity: has no effect; every plan takes the same number of tokens.")
    if body.moderation is not None:
        warnings.append("moderation: nothing is filtered by this server.")
    if body.partial_images and not body.stream:
        warnings.append("partial_images: has no effect without stream.")
    if body.progress and not body.stream:
        warnings.append("progress: has no effect without stream.")
    if body.output_compression is not None and (body.output_format or "png") == "png":
        warnings.append("output_compression: has no effect on png, which is always lossless.")
    if not body.verify:
        warnings += [f"{name}: has no effect without verify." for name in ("tries", "best_of") if getattr(body, name)]
    if isinstance(body, EditBody) and body.input_fidelity == "low":
        warnings.append("input_fidelity: low has no effect; references always count in full.")
    warnings += negative_notes(body.negative_prompt, body.guidance_scale)
    if body.plan is not None:
        warnings += [
            f"{name}: has no effect on a given plan." for name in PLAN_FIELDS if getattr(body, name) is not None
        ]
        if body.layout == "new" and (body.n or 1) > 1:
            warnings.append("layout: new has no effect on a given plan, which all pictures share.")
    return warnings


def same_model(wanted: str, served: str) -> bool:
    """Whether a client's name means the served model; case, owner and folder do not matter."""
    return (
        wanted.strip().lower().rstrip("/").rpartition("/")[2] == served.strip().lower().rstrip("/").rpartition("/")[2]
    )


def without_stream(order: PreparedRequest) -> PreparedRequest:
    """The same order for a job, which nobody listens to."""
    return replace(order, body=order.body.model_copy(update={"stream": None}))
