"""Files beside a question: pictures, pages of documents and frames of videos as pictures, folders as their files.

What goes out are parts of the OpenAI chat API, so that any endpoint understands them; one that takes videos gets
the file.
"""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkwash.core.errors import RequestError
from inkwash.desk.screen import fitted
from inkwash.media.documents import Page
from inkwash.media.images import encode_image
from inkwash.media.kinds import DOCUMENTS, PDF, VIDEOS, kind_of
from inkwash.media.reader import MediaReader

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif"})
MAX_FILES = 50  # of a folder
PDF_PAGES, SLIDES = 60, 40
FRAMES = 16
LONGEST = 2048  # pixels of a side that goes out


@dataclass(frozen=True, kw_only=True)
class AttachmentCost:
    """What a file is, before it is sent."""

    kind: str
    pictures: int


def files_of(folder: Path) -> list[Path]:
    """The files of a folder that can be shown, by name, without those that are hidden."""
    if not folder.is_dir():
        raise RequestError(f"{str(folder)!r} is no folder.", param="folder")
    known = PICTURES | VIDEOS | DOCUMENTS
    found = sorted(
        path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in known and path.name[0] != "."
    )
    if not found:
        raise RequestError(f"The folder {str(folder)!r} holds no picture, video or document.", param="folder")
    if len(found) > MAX_FILES:
        raise RequestError(f"The folder holds {len(found)} files: at most {MAX_FILES} are taken.", param="folder")
    return found


def cost(path: Path, reader: MediaReader) -> AttachmentCost:
    """What a file is and how many pictures it will be; raises MediaError for one that cannot be shown."""
    kind = kind_of(path)
    if kind == "image":
        reader.picture_size(path)
        return AttachmentCost(kind="image", pictures=1)
    if kind == "video":
        reader.video(path)
        return AttachmentCost(kind="video", pictures=FRAMES)
    return AttachmentCost(kind="file", pictures=len(_document(path, reader)))


def parts(path: Path, reader: MediaReader, *, video: bool) -> list[dict[str, Any]]:
    """A file as parts of a message; `video` where the endpoint takes videos."""
    kind = kind_of(path)
    if kind == "image":
        return [_picture(reader.picture(path))]
    if kind == "video":
        return [{"type": "video_url", "video_url": {"url": _data_url(path)}}] if video else _frames(path, reader)
    return [_page(page) for page in _document(path, reader)]


def message(role: str, text: str, attached: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A turn of the API."""
    return {"role": role, "content": [*attached, {"type": "text", "text": text}] if attached else text}


def _document(path: Path, reader: MediaReader) -> list[Page]:
    most = PDF_PAGES if path.suffix.lower() == PDF else SLIDES
    return reader.document(path, max_pages=most)


def _page(page: Page) -> dict[str, Any]:
    """A page as a picture, or as its text where it has none."""
    return {"type": "text", "text": page.text} if page.load is None else _picture(page.load())


def _frames(path: Path, reader: MediaReader) -> list[dict[str, Any]]:
    """Frames spread over the video."""
    import numpy as np
    from PIL import Image

    facts = reader.video(path)
    wanted = sorted({round((k + 0.5) * facts.frames / FRAMES - 0.5) for k in range(FRAMES)})
    taken = []
    for frames in reader.frames(path, [index for index in wanted if 0 <= index < facts.frames], facts=facts):
        taken += [Image.fromarray(np.moveaxis(frame, 0, -1)) for frame in np.asarray(frames)]
    return [_picture(image) for image in taken]


def _picture(image: Any) -> dict[str, Any]:
    data = base64.b64encode(encode_image(fitted(image, LONGEST), "PNG")).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def _data_url(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "video/mp4"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
