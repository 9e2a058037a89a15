"""From the media parts of chat messages to pictures and videos: what they are and cost first, pixels when looked at.

A part is `{"type": "image", "image": X}`, `{"type": "video", "video": X}` or `{"type": "file", "file": X}`; the
field's other spellings (`image_url`, `video_url`, `input_image`, `document`, `url`, `path`) mean the same.
Settings such as `fps` and `pages` stand in the part or in the object that holds its source; others are refused.
X is a path, bytes, a `data:` or `file://` URL, a PIL picture or, for videos, a list of frames (pictures, paths or
URLs). Documents become one picture for each page. Remote URLs are read only where the caller passes a `fetch`.

Parts are counted, then headers are read, then pixels, each only if the step before was within the limits. What reads
them is the `reader` of the rules: this process, or one with limits of its own (`media.process`).
"""

from __future__ import annotations

import hashlib
import io
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from inkwash.core.errors import MediaError, RequestError
from inkwash.core.text import nearest, split_url
from inkwash.engine.see.budget import BYTES, MediaBudget
from inkwash.media import documents, videos
from inkwash.media.data_url import as_data_url, is_data_url, read_data_url
from inkwash.media.images import MAX_BYTES, load_image
from inkwash.media.kinds import ANIMATED, DOCUMENTS, VIDEOS, is_animated
from inkwash.media.reader import InProcess, MediaReader
from inkwash.models.glm_v.processor import VideoSampling
from inkwash.models.glm_v.sampling import VideoStats
from inkwash.models.glm_v.vision_input import Picture, Video

MAX_PIXELS = 128 * 10**6  # of one picture: it is scaled down to what the model looks at
MAX_LISTED = 2048  # frames of a video that is given as a list
_IMAGES = ("image", "image_url", "input_image")
_VIDEOS = ("video", "video_url", "input_video")
_FILES = ("file", "file_url", "input_file", "document", "pdf")
_OFFICE = "application/vnd.openxmlformats-officedocument."
_TYPES = {
    "application/pdf": ".pdf",
    f"{_OFFICE}presentationml.presentation": ".pptx",
    f"{_OFFICE}wordprocessingml.document": ".docx",
    "image/gif": ".gif",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/jpeg": ".jpg",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "video/quicktime": ".mov",
    "video/x-matroska": ".mkv",
    "video/mp2t": ".ts",
    "video/3gpp": ".3gp",
    "video/ogg": ".ogv",
}
_HOLDERS = ("url", "path", "data", "file_data", "b64_json")
_OF_VIDEOS = ("fps", "max_frames", "start", "end")
_OF_FILES = ("pages", "dpi", "password", *_OF_VIDEOS)
_LABELS = (  # of a part: they say what it is or how it is kept; `detail` is a hint, every picture is looked at in full
    "type", "detail", "filename", "name", "title", "mime_type", "media_type", "format", "uuid", "cache_control",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MediaRules:
    """What may be read of a conversation's media, and how much; None leaves frames to the checkpoint.

    `max_bytes` and `max_pixels` hold for each file, `dpi` and `pages` ("1-3,7") for documents, `fps` (frames a second)
    for what is looked at of a video. What is beyond a rule is refused with RequestError or MediaError.
    """

    roots: tuple[Path, ...] | None = None  # folders that local paths must lie in; None is anywhere
    fetch: Callable[[str], bytes] | None = None  # reads a remote URL; None refuses them
    max_images: int = 256
    max_videos: int = 8
    max_bytes: int = MAX_BYTES
    max_pixels: int = MAX_PIXELS
    max_pages: int = documents.MAX_PAGES
    dpi: float = documents.DPI
    pages: str | None = None
    password: str | None = None  # of PDF files
    fps: float | None = None
    max_frames: int | None = None
    start: float | None = None  # seconds of a video
    end: float | None = None
    reader: MediaReader = field(default_factory=InProcess)
    seconds: float = 300.0  # that reading the media of one request may take
    budget: MediaBudget | None = None  # of decoded bytes, shared by requests

    def within(self, cancelled: Callable[[], bool]) -> MediaRules:
        """The rules for one request, whose reading ends when it is `cancelled` or has had its seconds."""
        return replace(self, reader=self.reader.within(cancelled, self.seconds))


@dataclass(kw_only=True)
class ParsedMedia:
    """Messages whose media parts are told by type alone, and what fills them, in order."""

    messages: list[dict[str, Any]]
    images: list[Picture] = field(default_factory=list)
    videos: list[Video] = field(default_factory=list)


def read_media(messages: Sequence[Mapping[str, Any]], sampling: VideoSampling, rules: MediaRules) -> ParsedMedia:
    """All media of a conversation, not decoded yet; raises RequestError or MediaError for what is not allowed."""
    if isinstance(messages, str | bytes | Mapping) or not messages:
        raise RequestError("messages must be a list of at least one message.", param="messages")
    seen = ParsedMedia(messages=[])
    _count_parts(messages, rules)
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
        _check_counts(seen, rules)
    return seen


def _count_parts(messages: Sequence[Any], rules: MediaRules) -> None:
    """Refuse too many pictures and videos before one of them is read."""
    kinds = [
        part.get("type")
        for message in messages
        if isinstance(message, Mapping) and isinstance(message.get("content"), list | tuple)
        for part in message["content"]
        if isinstance(part, Mapping)
    ]
    for what, names, most in (("images", _IMAGES, rules.max_images), ("videos", _VIDEOS, rules.max_videos)):
        _check_count(what, sum(kind in names for kind in kinds if isinstance(kind, str)), most)
    _check_count("files", sum(kind in _FILES for kind in kinds if isinstance(kind, str)), rules.max_images)


def _check_counts(seen: ParsedMedia, rules: MediaRules) -> None:
    _check_count("images", len(seen.images), rules.max_images)
    _check_count("videos", len(seen.videos), rules.max_videos)


def _check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise RequestError(f"There are {count} {what} in the messages, but at most {most} are read.", param=what)


def _part(part: Any, seen: ParsedMedia, sampling: VideoSampling, rules: MediaRules) -> Iterator[dict[str, Any]]:
    """The part as the chat template wants it; a document is several."""
    if isinstance(part, str):
        yield {"type": "text", "text": part}
        return
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in _IMAGES:
        source, _ = _source(part, _IMAGES)
        seen.images.append(_picture(source, rules))
        yield {"type": "image"}
    elif kind in _VIDEOS:
        source, settings = _source(part, _VIDEOS, _OF_VIDEOS)
        seen.videos.append(_video(source, settings, sampling, rules))
        yield {"type": "video"}
    elif kind in _FILES:
        yield from _document(part, seen, sampling, rules)
    elif kind in ("text", "input_text", "output_text") and isinstance(part.get("text"), str):
        yield {"type": "text", "text": part["text"]}
    else:
        raise RequestError(
            f"A part of a message must be of type text, image, video or file, got {kind!r}.", param="messages"
        )


def _source(part: Mapping[str, Any], names: Sequence[str], known: Sequence[str] = ()) -> tuple[Any, dict[str, Any]]:
    """What a part holds, under whichever of the usual names, and its `known` settings; null is absent."""
    kind, source, settings = part.get("type"), None, {}
    for name in (*names, *_HOLDERS):
        if (found := part.get(name)) is not None:
            if isinstance(found, Mapping):
                settings = _settings(found, kind, (), known)
                found = next((found[holder] for holder in _HOLDERS if found.get(holder) is not None), None)
            if found is not None and not (isinstance(found, str) and not found.strip()):
                source = found
                break
    if source is None:
        raise RequestError(f"A part of type {kind!r} holds nothing: give it a path, URL or data.", param="messages")
    return source, settings | _settings(part, kind, names, known)


def _settings(fields: Mapping[str, Any], kind: object, names: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """The fields that say how a part is read; raises for one that would be ignored."""
    found = {}
    for name, value in fields.items():
        if value is None or name in names or name in _HOLDERS:
            continue
        if name not in known and name not in _LABELS:
            near = nearest(str(name), known)
            hint = f"did you mean {near}?" if near else "leave it out."
            raise RequestError(
                f"The field {str(name)[:80]!r} of a part of type {kind!r} is unknown here: {hint}",
                code="unknown_parameter",
                param="messages",
            )
        found[name] = value
    return found


def content_of(source: Any, rules: MediaRules, what: str) -> bytes | Path:
    """Bytes, or the path of a file that may be read."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, Path):
        return _allowed(source, rules, what)
    if not isinstance(source, str):
        raise RequestError(
            f"The {what} is of type {type(source).__name__}: send a data URL, an address or a file.", param=what
        )
    if rules.roots is not None and not any(Path(source).is_relative_to(root) for root in rules.roots):
        source = as_data_url(source)  # clients of a server send plain base64, too
    if is_data_url(source):
        return read_data_url(source, max_bytes=max(rules.max_bytes, documents.MAX_BYTES), param=what).content
    if source.startswith("file://"):
        parts = split_url(source)
        if parts is None:
            raise RequestError(f"The address {source[:80]!r} of a {what} cannot be read: check it.", param=what)
        return _allowed(Path(urllib.parse.unquote(parts.path)), rules, what)
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
            raise RequestError(
                f"The {what} {str(path)[:80]!r} lies outside of the folders that may be read: send the {what} itself, "
                "as a data URL.",
                param=what,
            )
    return path


def _digest(content: bytes | Path, *more: object) -> str:
    """What tells equal media: the bytes, or path, size and time of change of a file."""
    if isinstance(content, Path):
        status = content.stat()
        content = f"{content.resolve()}|{status.st_size}|{status.st_mtime_ns}".encode()
    return hashlib.blake2b(content + repr(more).encode(), digest_size=16).hexdigest()


def _picture(source: Any, rules: MediaRules) -> Picture:
    if isinstance(source, Image.Image):
        image = load_image(source, max_pixels=rules.max_pixels)
        return Picture(image.width, image.height, lambda size=None: image, _digest(image.tobytes(), image.size))
    content = content_of(source, rules, "image")
    width, height = _measured(content, rules)

    def load(size: tuple[int, int] | None = None) -> Image.Image:
        return rules.reader.picture(content, max_bytes=rules.max_bytes, max_pixels=rules.max_pixels, size=size)

    return Picture(width, height, load, _digest(content))


def _measured(content: bytes | Path, rules: MediaRules) -> tuple[int, int]:
    """Width and height of a picture, refused where they are too much to decode."""
    width, height = rules.reader.picture_size(content, max_bytes=rules.max_bytes)
    if width * height > rules.max_pixels:
        name = "The picture" if isinstance(content, bytes) else f"The picture {str(content)!r}"
        most = f"{rules.max_pixels / 1e6:.0f} million"
        raise MediaError(f"{name} is too large ({width}x{height} pixels): at most {most} are read, make it smaller.")
    return width, height


def _video(source: Any, part: Mapping[str, Any], sampling: VideoSampling, rules: MediaRules) -> Video:
    if isinstance(source, Video):
        return source
    if isinstance(source, list | tuple) and len(source) > MAX_LISTED:
        raise RequestError(f"A video has {len(source)} frames, but at most {MAX_LISTED} are listed.", param="video")
    if isinstance(source, list | tuple) and source and all(isinstance(frame, str | Path) for frame in source):
        source = _listed(source, rules)
    if isinstance(source, Tensor) or (
        isinstance(source, list | tuple) and source and all(isinstance(frame, Image.Image) for frame in source)
    ):
        key = _digest(
            source.contiguous().numpy().tobytes()
            if isinstance(source, Tensor)
            else b"".join(hashlib.blake2b(frame.tobytes()).digest() for frame in source)
        )
        return Video(source, fps=_number(part, "fps", rules.fps) or None, key=key)
    content = content_of(source, rules, "video")
    facts = rules.reader.video(content)
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

    def load(wanted: tuple[int, int] | None = None) -> Iterable[Tensor]:
        return map(_tensor, rules.reader.frames(content, indices, facts=facts, wanted=wanted))

    return Video(
        indices=indices,
        fps=facts.fps,
        size=(facts.width, facts.height),
        load=load,
        key=_digest(content, tuple(indices)),
    )


def _listed(frames: Sequence[str | Path], rules: MediaRules) -> list[Image.Image]:
    """The pictures of a video that is given as a list, all measured before one is decoded."""
    contents = [content_of(frame, rules, "video") for frame in frames]
    sizes = [_measured(content, rules) for content in contents]
    if len(set(sizes)) > 1:
        raise RequestError(f"A video must have frames of one size, got {sorted(set(sizes))[:4]}.", param="video")
    size = 4 * len(sizes) * sizes[0][0] * sizes[0][1]
    limit = BYTES if rules.budget is None else rules.budget.total
    if size > limit:
        raise RequestError(
            f"The frames of a video take {size / 2**20:.0f} MiB decoded, but at most {limit / 2**20:.0f} MiB are read: "
            "send fewer or smaller ones, or a video file.",
            status=413,
            code="media_too_large",
            param="video",
        )
    return [
        rules.reader.picture(content, max_bytes=rules.max_bytes, max_pixels=rules.max_pixels) for content in contents
    ]


def _tensor(stack: videos.Frames) -> Tensor:
    return torch.from_numpy(stack if stack.flags.writeable else stack.copy())


def frame_numbers(
    facts: videos.VideoFacts,
    sampling: VideoSampling,
    *,
    fps: float | None = None,
    max_frames: int | None = None,
    start: float | None = None,
    end: float | None = None,
) -> list[int]:
    """The frames to look at, by the rule of the checkpoint within the seconds from `start` to `end`."""
    begin, finish = start or 0.0, facts.seconds if end is None else min(end, facts.seconds)
    if not 0 <= begin < finish:
        raise RequestError(
            f"The range from {begin:g} to {finish:g} s is empty: the video has {facts.seconds:.1f} s.", param="video"
        )
    first = min(facts.frames - 1, round(begin * facts.fps))
    count = max(1, min(facts.frames, round(finish * facts.fps)) - first)
    part = VideoStats(frames=count, fps=facts.fps, duration=count / facts.fps)
    chosen = sampling.choose(part, fps=fps, max_frames=max_frames)
    return [first + number for number in chosen]


def _number(part: Mapping[str, Any], name: str, usual: float | None) -> float | None:
    value = part.get(name)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(f"{name} of a video must be a number, got {value!r}.", param="video")
    return float(value)


def _document(
    part: Mapping[str, Any], seen: ParsedMedia, sampling: VideoSampling, rules: MediaRules
) -> Iterator[dict[str, Any]]:
    """A page is a picture, or a text where it has none; the name of a file tells its kind."""
    source, settings = _source(part, _FILES, _OF_FILES)
    content = content_of(source, rules, "file")
    named = settings.get("filename")
    suffix = Path(str(named)).suffix.lower() if named else None
    if suffix is None and isinstance(source, str) and is_data_url(source):
        suffix = _TYPES.get(source[5:].partition(",")[0].partition(";")[0].strip().lower())
    kind = suffix or (content.suffix.lower() if isinstance(content, Path) else "")
    if kind in VIDEOS or (kind in ANIMATED and _moves(content)):
        seen.videos.append(_video(content, settings, sampling, rules))
        yield {"type": "video"}
        return
    if kind not in (*DOCUMENTS, ""):
        seen.images.append(_picture(content, rules))
        yield {"type": "image"}
        return
    resolution = _number(settings, "dpi", None)
    dpi = rules.dpi if resolution is None else resolution
    password = settings.get("password", rules.password)
    if password is not None and not isinstance(password, str):
        raise RequestError(f"The password of a file must be a text, got {type(password).__name__}.", param="file")
    in_part = settings.get("pages")
    pages = rules.reader.document(
        content,
        suffix=suffix,
        dpi=dpi,
        pages=rules.pages if in_part in (None, "") else in_part,
        max_pages=rules.max_pages,
        password=password,
    )
    key = _digest(content, dpi)
    for place, page in enumerate(pages):
        if page.load is None:
            yield {"type": "text", "text": f"{page.text}\n"}
        else:
            seen.images.append(Picture(page.width, page.height, page.load, f"{key}/{page.number}/{place}"))
            _check_counts(seen, rules)
            yield {"type": "image"}


def _moves(content: bytes | Path) -> bool:
    """Whether a picture is an animation."""
    if isinstance(content, Path) and not content.is_file():
        return False  # reading it will say what is wrong
    with io.BytesIO(content) if isinstance(content, bytes) else open(content, "rb") as file:
        return is_animated(file)
