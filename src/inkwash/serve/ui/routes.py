"""The page's files, and its routes beside the API."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, RedirectResponse
from pydantic import BaseModel, Field
from starlette.staticfiles import StaticFiles

from inkwash import __version__
from inkwash.core.errors import RequestError
from inkwash.core.types import Size
from inkwash.core.web import EVENTS
from inkwash.engine.notes import Abilities, find_notes
from inkwash.engine.prompt_reading import MAX_PROMPT
from inkwash.engine.readback import WantedTexts, compare, quoted_texts
from inkwash.engine.request import PLAN_FIELDS
from inkwash.engine.verify import check_verifiable, edit_targets
from inkwash.serve.images import client_of, service_of
from inkwash.serve.json_body import read_body
from inkwash.serve.models import chosen
from inkwash.serve.sizes import parse_size
from inkwash.serve.ui.examples import EXAMPLES
from inkwash.serve.ui.ideas import chinese, ideas, plain
from inkwash.serve.uploads import decode
from inkwash.serve.urls import read_url

PATH = "/ui"
STATIC = Path(__file__).with_name("static")
# Nothing of another site is loaded or asked, and no other site shows the page in a frame.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_MAX_NOTES = 2**18  # bytes of what stands in the form
router = APIRouter(include_in_schema=False)


class _Static(StaticFiles):
    """Files with the headers of the page."""

    def file_response(self, *args: Any, **options: Any) -> Any:
        answer = super().file_response(*args, **options)
        answer.headers.update(HEADERS)
        return answer


class _Prompt(BaseModel):
    """A prompt as it stands in the page's form."""

    prompt: str = Field(max_length=MAX_PROMPT)
    size: str | None = Field(None, max_length=32)
    model: str | None = None
    edit: bool = False
    language: Literal["en", "zh"] = "en"


class _Picture(BaseModel):
    """A picture (a data URL) with its prompt, and for an edit the picture before it."""

    prompt: str = Field(max_length=MAX_PROMPT)
    image: str
    before: str | None = None


def mount(app: FastAPI) -> None:
    """Put the page at /ui."""
    app.include_router(router)
    app.mount(f"{PATH}/static", _Static(directory=STATIC), name="page")


@router.api_route("/", methods=["GET", "HEAD"])
async def start() -> RedirectResponse:
    """Whoever opens the server's address in a browser gets to the page."""
    return RedirectResponse(PATH.removeprefix("/"))


@router.api_route(PATH, methods=["GET", "HEAD"])
async def page() -> FileResponse:
    """The page itself, the same for everybody."""
    return FileResponse(STATIC / "index.html", headers=HEADERS)


@router.get(f"{PATH}/static/events.js")
async def events() -> FileResponse:
    """A script that another page shares, beside the page's own."""
    return FileResponse(EVENTS, headers=HEADERS, media_type="text/javascript")


@router.get(f"{PATH}/about")
async def about(request: Request, model: str | None = None) -> dict[str, Any]:
    """What the page must know about the server and one of the models that draw."""
    client_of(request)
    service = service_of(request)
    settings, backend = service.settings, chosen(service.backends, model) if service.backends else None
    facts: dict[str, Any] = {
        "version": __version__,
        "name": settings.served_name if backend is service.backend or backend is None else backend.info.name,
        "models": [settings.served_name, *(each.info.name for each in service.backends[1:])],
        "chat": service.seeing,
        "acts": [] if service.chat is None else [_address(place) for place in service.chat.settings.agent_allow],
        "ready": service.state == "ready",
        "draws": backend is not None,
        "can_verify": service.words.possible and find_spec("rapidocr") is not None,
        "max_steps": settings.max_steps,
        "examples": [example.to_dict() for example in EXAMPLES],
        "ideas": {},
        "things": [],
        "alphabet": "",
        "languages": [],
        "adapters": [],
        "device": settings.device or "",
    }
    if backend is None:
        return facts
    info, limits = backend.info, backend.info.limits
    facts |= {
        "device": info.device,
        "adapters": info.adapters,
        "natural": info.natural_size,
        "shapes": shapes(min(info.natural_size), limits),
        "defaults": {name: getattr(info.defaults, name) for name in ("steps", "guidance", *PLAN_FIELDS, "min_p")},
    }
    if limits is not None:
        facts |= {
            "ideas": ideas(limits),
            "things": [{"en": plain(one.name), "zh": chinese(one.words)} for one in limits.things],
            "alphabet": "".join(letter for letter in limits.alphabet if letter.isascii()),
            "sizes": {"shortest": limits.sizes.shortest, "longest": limits.sizes.longest},
            "languages": limits.languages,
        }
    return facts


def shapes(side: int, limits: Abilities | None) -> dict[str, tuple[int, int]]:
    """The sizes of the page's shapes: 1:1, 4:3, 16:9 and their upright twins, as far as the model has learnt them."""
    long, short = round(side * 4 / 3 / 32) * 32, round(side * 3 / 4 / 32) * 32
    if limits is not None:
        long = min(long, limits.sizes.longest)
    found = {"square": (side, side), "landscape": (long, side), "portrait": (side, long)}
    if limits is None or short >= limits.sizes.shortest:
        found |= {"wide": (long, short), "tall": (short, long)}
    return found


@router.post(f"{PATH}/words")
async def read_words(request: Request) -> dict[str, Any]:
    """The words read in a picture, and whether they are those of its prompt; nothing is drawn."""
    client_of(request)
    service = service_of(request)
    settings = service.settings
    body = await read_body(request, _Picture, max_bytes=settings.max_json_bytes)
    service.words.check()
    limit = settings.max_image_bytes
    contents = [
        await read_url(each, hosts=(), max_bytes=limit, param="image") for each in (body.image, body.before) if each
    ]

    def read() -> dict[str, Any]:
        texts = check_verifiable(body.prompt)
        picture, *before = (decode(each, "image", settings, service.reader()) for each in contents)
        wanted = edit_targets(body.prompt, service.words(before[0])) if before else WantedTexts(texts=texts)
        lines = service.words(picture).lines
        found = compare(wanted.texts, lines, spare=wanted.spare)
        return {"read": lines, "wanted": wanted.texts, "right": found.perfect}

    return await asyncio.to_thread(read)


@router.post(f"{PATH}/notes")
async def notes(request: Request) -> dict[str, list[str]]:
    """What of a prompt will not be drawn, and the words that will be asked for.

    Nothing is promised: a text that no note is about is only repeated.
    """
    client_of(request)
    body = await read_body(request, _Prompt, max_bytes=_MAX_NOTES)
    backends = service_of(request).backends
    info = chosen(backends, body.model).info if backends else None
    limits, canonical = (None, False) if info is None else (info.limits, info.canonical_quotes)
    found = [
        note
        for note in find_notes(body.prompt, _size(body, info), (), limits, canonical=canonical)
        if not (body.edit and note.kind == "nothing")  # an instruction need neither quote nor name anything
    ]
    troubled = {text for note in found for text in note.texts}
    return {
        "notes": [_capital(note.sentence(body.language)) for note in found],
        "words": [text for text in quoted_texts(body.prompt) if text not in troubled],
    }


def _size(body: _Prompt, info: Any) -> Size | None:
    """The size that is asked for; the model's own where none is, but for an edit, which is as large as its picture."""
    try:
        size = parse_size(body.size) if body.size else None
    except RequestError:
        return None  # said when it is drawn
    if size is None and info is not None and not body.edit:
        return Size(*info.natural_size)
    return size


def _address(place: str) -> str:
    """Where an agent begins at a place that it may act in."""
    whole = place if "://" in place else f"https://{place}"
    return whole if whole.endswith("/") else f"{whole}/"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
