"""What reads media for a pipeline or a server: this process (`InProcess`), or one with limits (`media.process`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol

from PIL import Image

from inkwash.core.types import PathLike
from inkwash.media import documents, images, videos
from inkwash.media.sources import Source

Given = PathLike | bytes
PixelSize = tuple[int, int]  # width, height
Form = Literal["rgb", "rgba", "mask"]


def read_picture(source: Source, max_bytes: int, max_pixels: int, size: PixelSize | None, form: Form) -> Image.Image:
    """A picture in this process."""
    if form == "rgb":
        return images.load_image(source, max_bytes=max_bytes, max_pixels=max_pixels, size=size)
    read = images.load_rgba if form == "rgba" else images.load_mask
    return read(source, max_bytes=max_bytes, max_pixels=max_pixels)


class MediaReader(Protocol):
    """Sizes and facts first, pixels when they are asked for; all raise MediaError or RequestError."""

    def picture_size(self, source: Given, *, max_bytes: int = images.MAX_BYTES) -> PixelSize:
        """Width and height as `picture` gives them."""

    def picture(
        self,
        source: Given,
        *,
        max_bytes: int = images.MAX_BYTES,
        max_pixels: int = images.MAX_PIXELS,
        size: PixelSize | None = None,
        form: Form = "rgb",
    ) -> Image.Image:
        """A picture as `images.load_image` (`rgb`), `load_rgba` or `load_mask` reads it; the first resizes."""

    def video(self, source: Given) -> videos.VideoFacts:
        """Facts as `videos.probe_video` has them."""

    def frames(
        self, source: Given, indices: Sequence[int], *, facts: videos.VideoFacts, wanted: PixelSize | None = None
    ) -> Iterator[videos.Frames]:
        """Frames as `videos.read_frames` reads them."""

    def document(
        self,
        source: Given,
        *,
        suffix: str | None = None,
        dpi: float = documents.DPI,
        pages: str | None = None,
        max_pages: int = documents.MAX_PAGES,
        password: str | None = None,
    ) -> list[documents.Page]:
        """Pages as `documents.read_document` has them."""

    def within(self, cancelled: Callable[[], bool], seconds: float) -> MediaReader:
        """The same for one request: reading ends when `cancelled`, and may take so many seconds in all."""


class InProcess:
    """Decodes here: for files that the caller trusts."""

    def picture_size(self, source: Given, *, max_bytes: int = images.MAX_BYTES) -> PixelSize:
        return images.image_size(source, max_bytes=max_bytes)

    def picture(
        self,
        source: Given,
        *,
        max_bytes: int = images.MAX_BYTES,
        max_pixels: int = images.MAX_PIXELS,
        size: PixelSize | None = None,
        form: Form = "rgb",
    ) -> Image.Image:
        return read_picture(source, max_bytes, max_pixels, size, form)

    def video(self, source: Given) -> videos.VideoFacts:
        return videos.probe_video(source)

    def frames(
        self, source: Given, indices: Sequence[int], *, facts: videos.VideoFacts, wanted: PixelSize | None = None
    ) -> Iterator[videos.Frames]:
        return videos.read_frames(source, indices, facts=facts, wanted=wanted)

    def document(
        self,
        source: Given,
        *,
        suffix: str | None = None,
        dpi: float = documents.DPI,
        pages: str | None = None,
        max_pages: int = documents.MAX_PAGES,
        password: str | None = None,
    ) -> list[documents.Page]:
        return documents.read_document(
            source, suffix=suffix, dpi=dpi, pages=pages, max_pages=max_pages, password=password
        )

    def within(self, cancelled: Callable[[], bool], seconds: float) -> InProcess:
        return self  # nothing that runs in this process can be ended from outside
