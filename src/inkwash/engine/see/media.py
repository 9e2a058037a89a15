"""From the media parts of chat messages to pictures and films: what they are and cost first, pixels when looked at.

A part is ``{"type": "image", "image": X}``, ``{"type": "video", "video": X}`` or ``{"type": "file", "file": X}``; the
field's other spellings (``image_url``, ``video_url``, ``input_image``, ``document``, ``url``, ``path``) mean the same.
X is a path, bytes, a ``data:`` or ``file://`` URL, a PIL picture or, for films, a list of frames (pictures, paths or
URLs). Documents become one picture for each page. Remote URLs are read only where the caller passes a ``fetch``.
"""

from __future__ import annotations

import hashlib
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from inkwash.core.errors import MediaError, RequestError
from inkwash.media import documents, videos
from inkwash.media.data_url import is_data_url, read_data_url
from inkwash.media.images import MAX_BYTES, image_size, load_image
from inkwash.media.kinds import DOCUMENTS, VIDEOS
from inkwash.models.glm_v.processor import FilmSampling
from inkwash.models.glm_v.sampling import FilmFacts
from inkwash.models.glm_v.sights import Film, Picture

MAX_PIXELS = 128 * 10**6  # of one picture: it is scaled down to what the model looks at
MAX_LISTED = 2048  # frames of a film that is given as a list
_IMAGES = ("image", "image_url", "input_image")
_VIDEOS = ("video", "video_url", "input_video")
_FILES = ("file", "file_url", "input_file", "document", "pdf")
_TYPES = {"application/pdf": ".pdf"}
_HOLDERS = ("url", "path", "data", "file_data", "b64_json")


@dataclass(frozen=True, kw_only=True)
class MediaRules:
    """What may be read, and how much of it; None leaves frames to the checkpoint."""

    roots: tuple[Path, ...] | None = None  # folders that local paths must lie in; None is anywhere
    fetch: Callable[[str], bytes] | None = None  # reads a remote URL; None refuses them
    max_images: int = 256
    max_videos: int = 8
    max_bytes: int = MAX_BYTES
    max_pixels: int = MAX_PIXELS
    max_pages: int = documents.MAX_PAGES
    dpi: float = documents.DPI
    pages: str | None = None
    fps: float | None = None
    max_frames: int | None = None
    start: float | None = None  # seconds of a film
    end: float | None = None


@dataclass(kw_only=True)
class Seen:
    """Messages whose media parts are told by type alone, and what fills them, in order."""

    messages: list[dict[str, Any]]
    images: list[Picture] = field(default_factory=list)
    films: list[Film] = field(default_factory=list)


def read_media(messages: Sequence[Mapping[str, Any]], sampling: FilmSampling, rules: MediaRules) -> Seen:
    """All media of a conversation, not decoded yet; raises RequestError or MediaError for what is not allowed."""
    if isinstance(messages, str | bytes | Mapping) or not messages:
        raise RequestError("messages must be a list of at least one message.", param="messages")
    seen = Seen(messages=[])
    for message in messages:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise RequestError("Every message must be an object with a role and a content.", param="messages")
        content = message.get("content")
        parts = [content] if isinstance(content, Mapping) else content
        if isinstance(parts, list | tuple):
            content = [made for part in parts for made in _part(part, seen, sampling, rules)]
        elif content is not None and not isinstance(content, str):
            raise RequestError(
                f"The content of a message must be text or a list of parts, got {type(content).__name__}.",
                param="messages",
            )
        seen.messages.append({**message, "content": content})
    for what, found, most in (("images", seen.images, rules.max_images), ("videos", seen.films, rules.max_videos)):
        if len(found) > most:
            raise RequestError(
                f"There are {len(found)} {what} in the messages, but at most {most} are read.", param=what
            )
    return seen


def _part(part: Any, seen: Seen, sampling: FilmSampling, rules: MediaRules) -> Iterator[dict[str, Any]]:
    """The part as the chat template wants it; a document is several."""
    if isinstance(part, str):
        yield {"type": "text", "text": part}
        return
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in _IMAGES:
        seen.images.append(_picture(_source(part, _IMAGES), rules))
        yield {"type": "image"}
    elif kind in _VIDEOS:
        seen.films.append(_film(_source(part, _VIDEOS), part, sampling, rules))
        yield {"type": "video"}
    elif kind in _FILES:
        yield from _document(part, seen, rules)
    elif kind in ("text", "input_text", "output_text") and isinstance(part.get("text"), str):
        yield {"type": "text", "text": part["text"]}
    else:
        raise RequestError(
            f"A part of a message must be of type text, image, video or file, got {kind!r}.", param="messages"
        )


def _source(part: Mapping[str, Any], names: Sequence[str]) -> Any:
    """What a part holds, under whichever of the usual names."""
    for name in (*names, *_HOLDERS):
        if (found := part.get(name)) is not None:
            if isinstance(found, Mapping):
                found = next((found[holder] for holder in _HOLDERS if found.get(holder) is not None), None)
            if found is not None:
                return found
    raise RequestError(
        f"A part of type {part.get('type')!r} holds nothing: give it a path, URL or data.", param="messages"
    )


def _content(source: Any, rules: MediaRules, what: str) -> bytes | Path:
    """Bytes, or the path of a file that may be read."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, Path):
        return _allowed(source, rules, what)
    if not isinstance(source, str):
        raise RequestError(f"A {what} cannot be read from {type(source).__name__}.", param=what)
    if is_data_url(source):
        return read_data_url(source, max_bytes=max(rules.max_bytes, documents.MAX_BYTES), param=what).content
    if source.startswith("file://"):
        return _allowed(Path(urllib.parse.unquote(urllib.parse.urlparse(source).path)), rules, what)
    if source.startswith(("http://", "https://")):
        if rules.fetch is None:
            raise RequestError(
                f"Remote URLs are not read here ({source[:80]}): send the {what} itself, as a data URL or a file.",
                param=what,
            )
        return rules.fetch(source)
    return _allowed(Path(source).expanduser(), rules, what)


def _allowed(path: Path, rules: MediaRules, what: str) -> Path:
    if rules.roots is not None:
        real = path.resolve()
        if not any(real.is_relative_to(root.resolve()) for root in rules.roots):
            raise RequestError(f"The {what} {str(path)!r} lies outside of the folders that may be read.", param=what)
    return path


def _digest(content: bytes | Path, *more: object) -> str:
    """What tells equal media: the bytes, or path, size and time of change of a file."""
    if isinstance(content, Path):
        status = content.stat()
        content = f"{content.resolve()}|{status.st_size}|{status.st_mtime_ns}".encode()
    return hashlib.blake2b(content + repr(more).encode(), digest_size=16).hexdigest()


def _picture(source: Any, rules: MediaRules) -> Picture:
    if isinstance(source, Image.Image):
        shown = load_image(source, max_pixels=rules.max_pixels)
        key = _digest(shown.tobytes(), shown.size)
        return Picture(shown.width, shown.height, lambda: shown, key)
    content = _content(source, rules, "image")
    if isinstance(content, bytes):
        shown = load_image(content, max_bytes=rules.max_bytes, max_pixels=rules.max_pixels)
        return Picture(shown.width, shown.height, lambda: shown, _digest(content))
    width, height = image_size(content)
    if width * height > rules.max_pixels:
        raise MediaError(
            f"The picture {str(content)!r} is too large ({width}x{height} pixels): at most "
            f"{rules.max_pixels / 1e6:.0f} million are read, make it smaller."
        )

    def load() -> Image.Image:
        return load_image(content, max_bytes=rules.max_bytes, max_pixels=rules.max_pixels)

    return Picture(width, height, load, _digest(content))


def _film(source: Any, part: Mapping[str, Any], sampling: FilmSampling, rules: MediaRules) -> Film:
    if isinstance(source, Film):
        return source
    if isinstance(source, list | tuple) and len(source) > MAX_LISTED:
        raise RequestError(f"A video has {len(source)} frames, but at most {MAX_LISTED} are listed.", param="video")
    if isinstance(source, list | tuple) and source and all(isinstance(frame, str | Path) for frame in source):
        source = [
            load_image(_content(frame, rules, "video"), max_bytes=rules.max_bytes, max_pixels=rules.max_pixels)
            for frame in source
        ]
    if isinstance(source, Tensor) or (
        isinstance(source, list | tuple) and source and all(isinstance(frame, Image.Image) for frame in source)
    ):
        key = _digest(
            source.contiguous().numpy().tobytes()
            if isinstance(source, Tensor)
            else b"".join(hashlib.blake2b(frame.tobytes()).digest() for frame in source)
        )
        return Film(source, fps=part.get("fps") or rules.fps, key=key)
    content = _content(source, rules, "video")
    facts = videos.probe_video(content)
    fps = _number(part, "fps", rules.fps)
    most = _number(part, "max_frames", rules.max_frames)
    indices = frame_numbers(
        facts,
        sampling,
        fps=fps,
        max_frames=None if most is None else int(most),
        start=_number(part, "start", rules.start),
        end=_number(part, "end", rules.end),
    )

    def load() -> Iterable[Tensor]:
        return (torch.from_numpy(stack) for stack in videos.read_frames(content, indices, facts=facts))

    return Film(
        indices=indices,
        fps=facts.fps,
        size=(facts.width, facts.height),
        load=load,
        key=_digest(content, tuple(indices)),
    )


def frame_numbers(
    facts: videos.VideoFacts,
    sampling: FilmSampling,
    *,
    fps: float | None = None,
    max_frames: int | None = None,
    start: float | None = None,
    end: float | None = None,
) -> list[int]:
    """The frames to look at, by the rule of the checkpoint within the seconds from ``start`` to ``end``."""
    begin, finish = start or 0.0, facts.seconds if end is None else min(end, facts.seconds)
    if not 0 <= begin < finish:
        raise RequestError(
            f"The range from {begin:g} to {finish:g} s is empty: the video has {facts.seconds:.1f} s.", param="video"
        )
    first = min(facts.frames - 1, round(begin * facts.fps))
    count = max(1, min(facts.frames, round(finish * facts.fps)) - first)
    part = FilmFacts(frames=count, fps=facts.fps, duration=count / facts.fps)
    chosen = sampling.choose(part, fps=fps, max_frames=max_frames)
    return [first + number for number in chosen]


def _number(part: Mapping[str, Any], name: str, usual: float | None) -> float | None:
    value = part.get(name)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(f"{name} of a video must be a number, got {value!r}.", param="video")
    return float(value)


def _document(part: Mapping[str, Any], seen: Seen, rules: MediaRules) -> Iterator[dict[str, Any]]:
    """A page is a picture, or a text where it has none; the name of a file tells its kind."""
    source = _source(part, _FILES)
    content = _content(source, rules, "file")
    holder = part.get("file")
    named = part.get("filename") or (holder.get("filename") if isinstance(holder, Mapping) else None)
    suffix = Path(str(named)).suffix.lower() if named else None
    if suffix is None and isinstance(source, str) and is_data_url(source):
        suffix = _TYPES.get(source[5:].partition(";")[0])
    kind = suffix or (content.suffix.lower() if isinstance(content, Path) else "")
    if kind in VIDEOS:
        seen.films.append(_film(content, part, FilmSampling(by_length=False), rules))
        yield {"type": "video"}
        return
    if kind not in (*DOCUMENTS, ""):
        seen.images.append(_picture(content, rules))
        yield {"type": "image"}
        return
    dpi = float(part.get("dpi") or rules.dpi)
    pages = documents.read_document(
        content, suffix=suffix, dpi=dpi, pages=part.get("pages") or rules.pages, max_pages=rules.max_pages
    )
    key = _digest(content, dpi)
    for place, page in enumerate(pages):
        if page.load is None:
            yield {"type": "text", "text": f"{page.text}\n"}
        else:
            seen.images.append(Picture(page.width, page.height, page.load, f"{key}/{page.number}/{place}"))
            yield {"type": "image"}
