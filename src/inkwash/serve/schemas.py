"""What clients send: the fields of the OpenAI images API, then ours.

JSON is read strictly (a text is no number); the parts of a form, which are all texts, are converted. Fields that
nobody knows are kept, so that the answer can warn about each of them.
"""

from __future__ import annotations

from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inkwash.core import limits
from inkwash.core.errors import RequestError
from inkwash.serve.errors import from_validation

MAX_PROMPT = 32_000
MAX_PICTURES = 10
MAX_REFERENCES = 16
Quality = Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"]
Format = Literal["png", "webp", "jpeg"]

ALIASES = {  # names of the same settings in other servers and libraries
    "num_inference_steps": "steps",
    "guidance": "guidance_scale",
    "num_images": "n",
    "prior": "plan",
}
REFUSED = {  # fields of the OpenAI API whose meaning cannot be mapped
    "svg": "this server draws pixels, not SVG",
    "frame_count": "this server draws still pictures, not GIF animations",
    "frame_duration_ms": "this server draws still pictures, not GIF animations",
}
_REFUSED_VALUES: dict[str, dict[str, str]] = {
    "background": {"transparent": "pictures have no transparency: use opaque or auto"},
    "output_format": {
        "gif": "animations are not drawn: use png, webp or jpeg",
        "svg": "vector pictures are not drawn: use png, webp or jpeg",
    },
}


class ImageBody(BaseModel):
    """Fields that drawing and editing have in common."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, protected_namespaces=())

    prompt: str = Field(
        min_length=1, max_length=MAX_PROMPT, description="What to draw; words to be written stand in quotation marks."
    )
    model: str | None = Field(None, max_length=256, description="Any name; another than the served one adds a warning.")
    n: int | None = Field(None, ge=1, le=MAX_PICTURES, description="How many pictures; picture k has seed + k.")
    size: str | None = Field(
        None, max_length=32, description="WIDTHxHEIGHT in pixels, or auto. Drawn in multiples of 32, cut to size."
    )
    quality: Quality | None = Field(None, description="Effort of the decoder; `used.steps` says what it meant.")
    background: Literal["auto", "opaque"] | None = Field(None, description="transparent is refused.")
    output_format: Format | None = Field(None, description="Format of the picture file, png by default.")
    output_compression: int | None = Field(
        None, ge=0, le=100, description="Quality of jpeg and of lossy webp; 100 is the default and lossless for webp."
    )
    moderation: Literal["auto", "low"] | None = Field(None, description="Accepted; nothing is filtered here.")
    stream: bool | None = Field(None, description="Answer with server-sent events.")
    partial_images: int | None = Field(None, ge=0, le=3, description="Unfinished pictures in a stream.")
    response_format: Literal["b64_json", "url"] | None = Field(
        None, description="url: addresses that are good for an hour, instead of the pictures; not in a stream."
    )
    style: str | None = Field(None, max_length=256, description="Of retired models: has no effect, adds a warning.")
    complexity: Literal["low", "medium", "high"] | None = Field(None, description="Has no effect, adds a warning.")
    user: str | None = Field(None, max_length=512)
    safety_identifier: str | None = Field(None, max_length=512, description="Echoed and logged; wins over user.")

    seed: int | None = Field(None, ge=0, le=limits.MAX_SEED, description="Drawn and returned when absent.")
    steps: int | None = Field(None, ge=1, le=limits.MAX_STEPS, description="Denoising steps; wins over quality.")
    guidance_scale: float | None = Field(
        None, ge=0, le=limits.MAX_GUIDANCE, description="The model's own; 1 turns it off."
    )
    negative_prompt: str | None = Field(None, max_length=MAX_PROMPT)
    layout: Literal["new", "same"] | None = Field(None, description="n > 1: a plan for each picture, or one for all.")
    temperature: float | None = Field(None, ge=0, le=limits.MAX_TEMPERATURE, description="Of the plan's tokens.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus mass of the plan's tokens.")
    plan: str | None = Field(None, max_length=400_000, description="Handle of an earlier picture: no planning stage.")
    return_plan: bool | None = Field(None, description="Whether pictures come with plan handles (default true).")
    progress: bool | None = Field(None, description="Progress events in a stream.")
    deadline_s: float | None = Field(None, ge=0.001, le=1e6, description="Seconds; later the request fails with 408.")
    enhance_prompt: bool | None = Field(None, description="Have the prompt rewritten, where the server can.")
    strict: bool | None = Field(None, description="Refuse with 400 what would only be warned about.")

    @model_validator(mode="before")
    @classmethod
    def _other_names(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = dict(values)
        for other, ours in ALIASES.items():
            if other in values and ours not in values:
                values[ours] = values.pop(other)
        if "size" not in values and isinstance(values.get("width"), int) and isinstance(values.get("height"), int):
            values["size"] = f"{values.pop('width')}x{values.pop('height')}"
        return values

    @property
    def unknown(self) -> list[str]:
        """Names of fields that have no meaning here."""
        return sorted(self.model_extra or {})

    @property
    def effective_identifier(self) -> str | None:
        return self.safety_identifier or self.user or None


class GenerationBody(ImageBody):
    """POST /v1/images/generations."""


class ImageReference(BaseModel):
    """A reference picture in JSON: a data URL, or an address on a host that the server was told to trust."""

    model_config = ConfigDict(extra="forbid")

    image_url: str | None = None
    file_id: str | None = Field(None, description="Refused: this server keeps no files.")

    @model_validator(mode="before")
    @classmethod
    def _plain_text(cls, value: Any) -> Any:
        return {"image_url": value} if isinstance(value, str) else value


class EditBody(ImageBody):
    """POST /v1/images/edits; pictures are parts of a form, or references in JSON."""

    input_fidelity: Literal["low", "high"] | None = Field(None, description="References always count in full (high).")
    images: list[ImageReference] | None = Field(None, min_length=1, max_length=MAX_REFERENCES)
    mask: ImageReference | None = Field(None, description="PNG whose transparent pixels (alpha 0) may change.")
    markup: ImageReference | None = Field(None, description="PNG laid over the first image to guide the edit.")

    @model_validator(mode="before")
    @classmethod
    def _one_image(cls, values: Any) -> Any:
        if isinstance(values, dict) and "image" in values and "images" not in values:
            values = dict(values)
            image = values.pop("image")
            values["images"] = image if isinstance(image, list) else [image]
        return values

    @model_validator(mode="after")
    def _mask_or_markup(self) -> Self:
        if self.mask is not None and self.markup is not None:
            raise ValueError("mask and markup cannot be combined")
        return self


Body = TypeVar("Body", bound=ImageBody)
AnyBody = TypeVar("AnyBody", bound=BaseModel)


def refuse_unsupported(values: Any) -> None:
    """Raise for fields and values of the OpenAI API that this server cannot honour, with the reason."""
    if not isinstance(values, dict):
        return
    for name, reason in REFUSED.items():
        if values.get(name) is not None:
            raise RequestError(f"{name} is not supported: {reason}.", code="unsupported_parameter", param=name)
    for name, refused in _REFUSED_VALUES.items():
        value = values.get(name)
        if isinstance(value, str) and value in refused:
            raise RequestError(f"{name} is {value!r}, but {refused[value]}.", code="unsupported_value", param=name)


def validated(kind: type[AnyBody], values: dict[str, Any], *, strict: bool) -> AnyBody:
    """Checked fields; raises RequestError with the first thing that is wrong."""
    try:
        return kind.model_validate(values, strict=strict)
    except ValidationError as error:
        raise from_validation(error.errors()) from None
