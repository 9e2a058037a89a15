"""What clients send: the fields of the OpenAI images API, then ours.

JSON is read strictly (a text is no number, but 2.0 is one), sides of a picture may be texts; the parts of a form, which
are all texts, are converted. What was not filled in is empty and counts as absent. Fields that nobody knows are kept,
so that the answer can warn about each of them.
"""

from __future__ import annotations

import base64
from itertools import islice
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inkwash.core import limits
from inkwash.core.errors import RequestError
from inkwash.media.data_url import as_data_url, is_data_url
from inkwash.media.kinds import sniff
from inkwash.serve.errors import from_validation

MAX_PROMPT = 32_000
MAX_PICTURES = 10
MAX_REFERENCES = 16
MAX_ADAPTERS = 8
MAX_TRIES = 16  # drawings of one verified picture
Quality = Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"]
Format = Literal["png", "webp", "jpeg"]

ALIASES = {  # names of the same settings in other servers and libraries
    "num_inference_steps": "steps",
    "guidance": "guidance_scale",
    "true_cfg_scale": "guidance_scale",
    "cfg_scale": "guidance_scale",
    "num_images": "n",
    "num_images_per_prompt": "n",
    "prior": "plan",
    "loras": "lora",
    "lora_name": "lora",
}
REFUSED = {  # fields of the OpenAI API whose meaning cannot be mapped
    "svg": "this server draws pixels, not SVG",
    "frame_count": "this server draws still pictures, not GIF animations",
    "frame_duration_ms": "this server draws still pictures, not GIF animations",
}
PICTURES = (  # fields in which other servers take pictures; drawing from a prompt takes none
    *("image", "images", "image[]", "image_url", "image_urls", "input_image", "input_images", "init_image"),
    *("init_images", "reference_image", "reference_images", "mask", "mask_image", "mask_url", "markup"),
)
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic")
_HEAD = 400  # characters of a data URL, enough for the first bytes of a picture
URL_BY_DEFAULT = frozenset({"dall-e-2", "dall-e-3"})  # models whose clients expect addresses
_WHOLE = ("n", "seed", "steps", "output_compression", "partial_images", "width", "height", "tries", "best_of")
_REFUSED_VALUES: dict[str, dict[str, str]] = {
    "background": {"transparent": "pictures have no transparency: use opaque or auto"},
    "output_format": {
        "gif": "animations are not drawn: use png, webp or jpeg",
        "svg": "vector pictures are not drawn: use png, webp or jpeg",
    },
}


class AdapterChoice(BaseModel):
    """A LoRA of the server, and how strongly it acts: 1 is as it was trained."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=256)
    scale: float = Field(1.0, ge=-limits.MAX_ADAPTER_WEIGHT, le=limits.MAX_ADAPTER_WEIGHT)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        """NAME or NAME:SCALE; `weight` is another name of the scale."""
        if isinstance(value, str):
            name, colon, scale = value.rpartition(":")
            number = _number(scale) if colon else None
            return {"name": value.strip()} if number is None else {"name": name.strip(), "scale": number}
        if isinstance(value, dict) and "weight" in value and "scale" not in value:
            return {"scale" if name == "weight" else name: each for name, each in value.items()}
        return value


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
        None, description="url: addresses that are good for an hour, not in a stream; what dall-e-2 and -3 mean."
    )
    style: str | None = Field(None, max_length=256, description="Of retired models: has no effect, adds a warning.")
    complexity: Literal["low", "medium", "high"] | None = Field(None, description="Has no effect, adds a warning.")
    user: str | None = Field(None, max_length=512)
    safety_identifier: str | None = Field(None, max_length=512, description="Echoed and logged; wins over user.")

    seed: int | None = Field(None, ge=0, le=limits.MAX_SEED, description="Drawn and returned when absent or -1.")
    steps: int | None = Field(None, ge=1, le=limits.MAX_STEPS, description="Denoising steps; wins over quality.")
    guidance_scale: float | None = Field(
        None, ge=0, le=limits.MAX_GUIDANCE, description="The model's own; 1 turns it off."
    )
    negative_prompt: str | None = Field(None, max_length=MAX_PROMPT)
    layout: Literal["new", "same"] | None = Field(None, description="n > 1: a plan for each picture, or one for all.")
    temperature: float | None = Field(None, ge=0, le=limits.MAX_TEMPERATURE, description="Of the plan's tokens.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus mass of the plan's tokens.")
    plan_candidates: int | None = Field(
        None, ge=1, le=limits.MAX_CANDIDATES, description="Sample up to so many plans, draw the best; the model's own."
    )
    plan: str | None = Field(None, max_length=400_000, description="Handle of an earlier picture: no planning stage.")
    return_plan: bool | None = Field(None, description="Whether pictures come with plan handles (default true).")
    progress: bool | None = Field(None, description="Progress events in a stream.")
    deadline_s: float | None = Field(None, ge=0.001, le=1e6, description="Seconds; later the request fails with 408.")
    enhance_prompt: bool | None = Field(None, description="Have the prompt rewritten, where the server can.")
    verify: bool | None = Field(None, description="Read the words back; draw again until the quoted texts are right.")
    tries: int | None = Field(None, ge=1, le=MAX_TRIES, description="With verify: at most so many attempts (4).")
    best_of: int | None = Field(None, ge=1, le=MAX_TRIES, description="With verify: draw so many, keep the best.")
    lora: list[AdapterChoice] | None = Field(
        None, max_length=MAX_ADAPTERS, description="Adapters of the server by name (`NAME`, `NAME:SCALE`); [] is none."
    )
    strict: bool | None = Field(None, description="Refuse with 400 what would only be warned about.")

    @model_validator(mode="before")
    @classmethod
    def _other_names(cls, values: Any) -> Any:
        return _usual(values) if isinstance(values, dict) else values

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
    """A reference picture in JSON: a data URL or plain base64, or an address on a host that the server trusts."""

    model_config = ConfigDict(extra="forbid")

    image_url: str | None = None
    file_id: str | None = Field(None, description="Refused: this server keeps no files.")

    @model_validator(mode="before")
    @classmethod
    def _plain_text(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("b64_json"), str) and value.get("image_url") is None:
            return {
                **{name: rest for name, rest in value.items() if name != "b64_json"},
                "image_url": value["b64_json"],
            }
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
        if not isinstance(values, dict):
            return values
        values = {name: value for name, value in values.items() if value != ""}
        image = values.pop("image", None)
        if image is not None and values.get("images") is None:
            values["images"] = image if isinstance(image, list) else [image]
        return values

    @model_validator(mode="after")
    def _mask_or_markup(self) -> Self:
        if self.mask is not None and self.markup is not None:
            raise ValueError("mask and markup cannot be combined")
        return self


def _usual(values: dict[str, Any]) -> dict[str, Any]:
    """The same settings by our names, in the forms that clients and browsers send them in."""
    values = {name: value for name, value in values.items() if value != "" or name == "prompt"}
    for other, ours in ALIASES.items():
        if other in values:
            value = values.pop(other)
            values.setdefault(ours, value)
    for name in _WHOLE:
        value = values.get(name)
        if isinstance(value, float) and value.is_integer():
            values[name] = int(value)
    if values.get("seed") in (-1, "-1"):  # drawn, as other servers understand it
        del values["seed"]
    for name in ("output_format", "quality"):
        if isinstance(values.get(name), str):
            values[name] = values[name].strip().lower()
    if values.get("output_format") == "jpg":
        values["output_format"] = "jpeg"
    if isinstance(values.get("lora"), str):  # one or several names in a text, as forms have them
        values["lora"] = [name for name in values["lora"].split(",") if name.strip()]
    elif isinstance(values.get("lora"), dict):
        values["lora"] = [values["lora"]]
    sides = [_side(values.get(name)) for name in ("width", "height")]
    if values.get("size") is None and None not in sides:
        values["size"] = f"{sides[0]}x{sides[1]}"
        del values["width"], values["height"]
    retired = str(values.get("model")).strip().lower() in URL_BY_DEFAULT
    if retired and values.get("response_format") is None and not _is_set(values.get("stream")):
        values["response_format"] = "url"
    return values


def _side(value: Any) -> int | None:
    """A width or height as a number, or a short text of digits; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= 6 and value.strip().isascii() and value.strip().isdigit():
        return int(value)
    return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_set(stream: Any) -> bool:
    """Whether a switch is on, in JSON or in a form."""
    return stream is True or (
        isinstance(stream, str) and stream.strip().lower() in ("true", "1", "yes", "on", "t", "y")
    )


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


def _refuse_pictures(values: dict[str, Any]) -> None:
    """Raise for a picture that would be dropped, under whatever name: drawing from a prompt takes none."""
    for name, value in values.items():
        if (value and name in PICTURES) or (name not in GenerationBody.model_fields and _holds_picture(value)):
            raise RequestError(
                f"{name[:80]} is a picture, but /v1/images/generations draws from the prompt alone: send pictures to "
                "/v1/images/edits.",
                code="unsupported_parameter",
                param=name[:80],
            )


def _holds_picture(value: Any, depth: int = 3) -> bool:
    """Whether a value is a picture as clients send them, or an object or a list that has one."""
    if isinstance(value, str):
        return _is_picture(value)
    if depth == 0 or not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return any(_holds_picture(each, depth - 1) for each in islice(inner, MAX_PICTURES))


def _is_picture(text: str) -> bool:
    """A data URL or plain base64 that begins as a picture does, or an address whose path ends as one's does."""
    address = text[:2000].partition("?")[0].partition("#")[0].lower()
    if address.startswith(("http://", "https://", "file://")):
        return address.endswith(_PICTURE_SUFFIXES)
    head = as_data_url(text)[:_HEAD]
    if not is_data_url(head):
        return False
    kind, _, data = head.partition(",")
    data = "".join(data.split())
    try:
        content = base64.b64decode(data[: len(data) // 4 * 4])
    except ValueError:
        content = b""
    return kind[5:].lower().startswith("image/") or sniff(content).endswith(" picture")


def validated(kind: type[AnyBody], values: dict[str, Any], *, strict: bool) -> AnyBody:
    """Checked fields; raises RequestError with the first thing that is wrong."""
    if kind is GenerationBody:
        _refuse_pictures(values)
    try:
        return kind.model_validate(values, strict=strict)
    except ValidationError as error:
        raise from_validation(error.errors()) from None
