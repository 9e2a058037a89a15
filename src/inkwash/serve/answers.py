"""From an order and its result to what the client gets: pictures as files in base64, and everything that was used."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

from PIL import Image
from pydantic import BaseModel, Field

from inkwash import __version__
from inkwash.core.types import Size
from inkwash.media.images import encode_image
from inkwash.serve.handles import PlanSigner, of_plan
from inkwash.serve.verified import VerifiedResult, wrong_words

if TYPE_CHECKING:
    from inkwash.engine.handle import GenerationResult
    from inkwash.engine.request import TokenCounts
    from inkwash.engine.verify import Verified
    from inkwash.serve.backend import ModelInfo
    from inkwash.serve.requests import PreparedRequest


class InputTokens(BaseModel):
    """Tokens that were read."""

    text_tokens: int
    image_tokens: int


class ImageUsage(BaseModel):
    """Tokens of the AR stage; with a given plan nothing is sampled and output_tokens is 0."""

    input_tokens: int
    input_tokens_details: InputTokens
    output_tokens: int
    output_tokens_details: InputTokens
    total_tokens: int


class ImageData(BaseModel):
    """One picture: its file, and what repeats it."""

    b64_json: str | None = None
    url: str | None = Field(None, description="In place of b64_json with response_format url; good for an hour.")
    seed: int | None = None
    plan: str | None = Field(None, description="Signed handle: send it as plan to redraw without the planning stage.")
    revised_prompt: str | None = None
    verified: bool | None = Field(None, description="With verify: whether the picture shows its words, and no others.")
    verify: dict[str, Any] | None = Field(None, description="With verify: what was read, its score, every attempt's.")


class Used(BaseModel):
    """What was really done."""

    model: str
    seed: int
    steps: int
    tier: str = Field(description="The engine's quality tier: what it may leave out (docs/speed.md).")
    guidance_scale: float
    temperature: float | None = Field(None, description="null: the checkpoint's own.")
    top_p: float | None = None
    plan_candidates: int | None = None
    negative_prompt: str | None = None
    layout: str
    drawn_size: str = Field(description="Size before it was cut to the asked one.")
    lora: list[str] | None = Field(None, description="NAME:SCALE of each adapter that the request chose.")
    planned: bool = Field(description="false where a given plan was redrawn.")


class ImagesAnswer(BaseModel):
    """The answer of both endpoints; `used`, `timings`, `warnings` and `id` are ours."""

    created: int
    data: list[ImageData]
    background: str = "opaque"
    output_format: str
    quality: str
    size: str
    safety_identifier: str | None = None
    usage: ImageUsage
    id: str
    used: Used
    timings: dict[str, float] = Field(description="Seconds of each stage.")
    warnings: list[str]
    verified: bool | None = Field(None, description="With verify: whether every picture shows its words.")


def usage(order: PreparedRequest, counts: TokenCounts, result: GenerationResult | None = None) -> ImageUsage:
    """Tokens of an order; of a verified one those of every attempt, once it is known how many there were."""
    plans = 0 if order.plan is not None else 1 if order.request.layout == "same" else order.request.num_images
    if isinstance(result, VerifiedResult):
        plans = result.plans
    output = plans * counts.drawn
    return ImageUsage(
        input_tokens=counts.text + counts.image,
        input_tokens_details=InputTokens(text_tokens=counts.text, image_tokens=counts.image),
        output_tokens=output,
        output_tokens_details=InputTokens(text_tokens=0, image_tokens=output),
        total_tokens=counts.text + counts.image + output,
    )


def used(order: PreparedRequest, drawn: Size, info: ModelInfo) -> Used:
    """The settings of an order."""
    request = order.request
    assert request.seed is not None
    return Used(
        model=info.name,
        seed=request.seed,
        steps=order.quality.taken(request.num_inference_steps),
        tier=order.quality.tier,
        guidance_scale=request.guidance_scale,
        **request.asked_plan(),
        negative_prompt=request.negative_prompt,
        layout=request.layout,
        drawn_size=str(drawn),
        lora=None if request.adapters is None else [f"{name}:{scale:g}" for name, scale in request.adapters],
        planned=order.plan is None,
    )


def encode(
    order: PreparedRequest,
    drawn: Image.Image,
    info: ModelInfo,
    *,
    index: int,
    seed: int | None,
    final: bool,
    verified: Verified | None = None,
) -> str:
    """A picture at the asked size as a file in base64; finished ones carry their settings."""
    picture = order.finish(drawn)
    metadata = None
    if final:
        metadata = file_metadata(
            order, Size(*drawn.size), Size(*picture.size), info, index=index, seed=seed, verified=verified
        )
    content = encode_image(picture, order.format.upper(), metadata=metadata, quality=order.body.output_compression)
    return base64.b64encode(content).decode("ascii")


def file_metadata(
    order: PreparedRequest,
    drawn: Size,
    size: Size,
    info: ModelInfo,
    *,
    index: int,
    seed: int | None,
    verified: Verified | None = None,
) -> dict[str, Any]:
    """What the file of a finished picture says: enough to draw it again."""
    metadata = {
        "software": f"inkwash {__version__}",
        "prompt": order.request.prompt,
        **used(order, drawn, info).model_dump(exclude_none=True),
        "seed": seed,
        "size": str(size),
    }
    if order.request.num_images > 1:
        metadata |= {"first_seed": order.request.seed, "index": index + 1, "n": order.request.num_images}
    if verified is not None:
        metadata["verify"] = verified.to_dict()
    return metadata


def of_picture(result: GenerationResult, index: int) -> Verified | None:
    """What was read in a picture, where it was verified."""
    return result.verified[index] if isinstance(result, VerifiedResult) else None


def warnings(order: PreparedRequest, result: GenerationResult) -> list[str]:
    """Those of the order, and one for each picture whose words stayed wrong."""
    verified = result.verified if isinstance(result, VerifiedResult) else ()
    wrong = (wrong_words(each, index, len(verified)) for index, each in enumerate(verified))
    return [*order.warnings, *(warning for warning in wrong if warning is not None)]


def final_size(order: PreparedRequest, drawn: Image.Image) -> Size:
    """The size of the picture that the client gets."""
    return Size(*drawn.size) if order.final_size is None else order.final_size


def handle(order: PreparedRequest, result: GenerationResult, index: int, signer: PlanSigner) -> str | None:
    """The plan handle of a picture, unless none is wanted."""
    if order.body.return_plan is False:
        return None
    drawn = result.images[index]
    size = Size(*drawn.size)
    content = of_plan(
        result.plan, index, final_size=final_size(order, drawn), drawn=size, references=list(order.digests)
    )
    return signer.write(content)


def make_answer(
    order: PreparedRequest,
    result: GenerationResult,
    *,
    info: ModelInfo,
    signer: PlanSigner,
    answer_id: str,
) -> dict[str, Any]:
    """The whole answer."""
    first = result.images[0]
    found = [of_picture(result, index) for index in range(len(result.images))]
    data = [
        ImageData(
            b64_json=encode(order, image, info, index=index, seed=seed, final=True, verified=found[index]),
            url=None,  # `files.with_addresses` puts one in
            seed=seed,
            plan=handle(order, result, index, signer),
            revised_prompt=order.revised_prompt,
            **verification(found[index]),
        )
        for index, (image, seed) in enumerate(zip(result.images, result.seeds, strict=True))
    ]
    answer = ImagesAnswer(
        created=int(time.time()),
        data=data,
        output_format=order.format,
        quality=order.quality.name,
        size=str(final_size(order, first)),
        safety_identifier=order.body.effective_identifier,
        usage=usage(order, result.tokens, result),
        id=answer_id,
        used=used(order, Size(*first.size), info),
        timings=rounded(result.timings),
        warnings=warnings(order, result),
        verified=all(each.right for each in result.verified) if isinstance(result, VerifiedResult) else None,
    )
    return answer.model_dump(exclude_none=True)


def verification(found: Verified | None) -> dict[str, Any]:
    """The fields of a picture that say what was read in it; none where nothing was."""
    return {} if found is None else {"verified": found.right, "verify": found.to_dict()}


def rounded(timings: dict[str, float]) -> dict[str, float]:
    """Seconds in milliseconds' precision."""
    return {stage: round(seconds, 3) for stage, seconds in timings.items()}
