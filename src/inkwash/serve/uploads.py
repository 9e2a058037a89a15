"""The pictures that come with an edit: parts of a form or references in JSON, as bytes, limited before decoding."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from PIL import Image
from starlette.datastructures import UploadFile

from inkwash.core.errors import MediaError, RequestError
from inkwash.media import images
from inkwash.media.reader import Form, MediaReader
from inkwash.serve.forms import read_form
from inkwash.serve.json_body import read_body, unsupported_type
from inkwash.serve.schemas import (
    MAX_REFERENCES,
    EditBody,
    ImageReference,
    refuse_unsupported,
    validated,
)
from inkwash.serve.settings import ServeSettings
from inkwash.serve.urls import read_url

_IMAGE_PART = re.compile(r"images?(\[\d*\])?")


@dataclass(frozen=True)
class Uploads:
    """Pictures of one edit: encoded as clients send them, or decoded as the page has them."""

    images: tuple[bytes | Image.Image, ...] = ()
    mask: bytes | Image.Image | None = None
    markup: bytes | Image.Image | None = None

    @property
    def digests(self) -> list[str]:
        """What plan handles remember of the references."""
        contents = (each if isinstance(each, bytes) else each.tobytes() for each in self.images)
        return [hashlib.sha256(content).hexdigest()[:16] for content in contents]


async def read_edit(request: Request, settings: ServeSettings) -> tuple[EditBody, Uploads]:
    """Fields and pictures of an edit from either kind of body."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        return await _read_form(request, settings)
    if kind == "application/json":
        body = await read_body(request, EditBody, max_bytes=settings.max_json_bytes)
        return await _read_references(body, settings)
    raise unsupported_type(kind, "multipart/form-data or application/json")


async def _read_form(request: Request, settings: ServeSettings) -> tuple[EditBody, Uploads]:
    fields: dict[str, Any] = {}
    images: list[bytes] = []
    overlays: dict[str, bytes] = {}
    async with read_form(request, max_files=MAX_REFERENCES + 2, max_bytes=settings.max_json_bytes) as items:
        for name, value in items:
            if value == "" or _not_filled_in(value):  # a field of a form that nobody filled in
                continue
            if _IMAGE_PART.fullmatch(name):
                images.append(await _part(value, "image", settings.max_image_bytes, settings))
            elif name in ("mask", "markup"):
                limit = settings.max_mask_bytes if name == "mask" else settings.max_image_bytes
                overlays[name] = await _part(value, name, limit, settings)
            elif isinstance(value, UploadFile):
                raise RequestError(
                    f"The part {name!r} is a file, but files are read from image, mask and markup only.",
                    code="invalid_value",
                    param=name,
                )
            else:
                if name in fields:
                    raise RequestError(f"{name} was sent twice: send it once.", code="invalid_value", param=name)
                fields[name] = value
    if len(overlays) > 1:
        raise RequestError("mask and markup cannot be combined.", code="invalid_value", param="markup")
    refuse_unsupported(fields)
    body = validated(EditBody, fields, strict=False)
    return body, _checked(Uploads(tuple(images), overlays.get("mask"), overlays.get("markup")))


def _not_filled_in(value: UploadFile | str) -> bool:
    """A file field of a browser's form without a file."""
    return isinstance(value, UploadFile) and not value.filename and not value.size


async def _part(value: UploadFile | str, param: str, limit: int, settings: ServeSettings) -> bytes:
    if isinstance(value, str):
        return await read_url(value, hosts=settings.url_hosts, max_bytes=limit, param=param)
    if (value.size or 0) > limit:
        raise RequestError(
            f"The file in {param} is larger than {limit / 2**20:.4g} MiB: make it smaller.",
            status=413,
            code="image_too_large",
            param=param,
        )
    return await value.read()


async def _read_references(body: EditBody, settings: ServeSettings) -> tuple[EditBody, Uploads]:
    async def read(reference: ImageReference, param: str, limit: int) -> bytes:
        if reference.image_url is None or reference.file_id is not None:
            raise RequestError(
                f"{param} must hold an image_url; file_id has no meaning here, since this server keeps no files.",
                code="unsupported_value",
                param=param,
            )
        return await read_url(reference.image_url, hosts=settings.url_hosts, max_bytes=limit, param=param)

    images = [await read(each, "images", settings.max_image_bytes) for each in body.images or ()]
    mask = None if body.mask is None else await read(body.mask, "mask", settings.max_mask_bytes)
    markup = None if body.markup is None else await read(body.markup, "markup", settings.max_image_bytes)
    return body, _checked(Uploads(tuple(images), mask, markup))


def _checked(uploads: Uploads) -> Uploads:
    if not uploads.images:
        raise RequestError(
            "There is no picture to edit: send one in the form part image, or in images of a JSON body.",
            code="missing_required_parameter",
            param="image",
        )
    if len(uploads.images) > MAX_REFERENCES:
        raise RequestError(
            f"{len(uploads.images)} pictures were sent, but at most {MAX_REFERENCES} are read.",
            code="invalid_value",
            param="image",
        )
    return uploads


def decode(
    content: bytes | Image.Image, param: str, settings: ServeSettings, reader: MediaReader, form: Form = "rgb"
) -> Image.Image:
    """A PIL picture, RGB or RGBA, a mask grey (white may change); raises RequestError that names the field."""
    limit = settings.max_mask_bytes if param == "mask" else settings.max_image_bytes
    try:
        if isinstance(content, Image.Image):
            read = {"rgb": images.load_image, "rgba": images.load_rgba, "mask": images.load_mask}[form]
            return read(content, max_bytes=limit, max_pixels=settings.max_image_pixels)
        return reader.picture(content, max_bytes=limit, max_pixels=settings.max_image_pixels, form=form)
    except MediaError as error:
        raise RequestError(f"{param}: {error.message}", code="invalid_image", param=param) from None
