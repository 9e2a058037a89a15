"""Pictures that come with the page: taken as files, as the API takes them, and decoded in the media process.

Gradio would open them in the server's own process, whatever they hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData
from PIL import Image, ImageChops, ImageOps

from inkwash.media.reader import MediaReader
from inkwash.serve.settings import ServeSettings
from inkwash.serve.uploads import Uploads, decode

SEEN = 8  # alpha of a layer from which on something was painted


def picture_editor(settings: ServeSettings, **options: Any) -> gr.ImageEditor:
    """An editor whose value holds the files that the browser sent, in place of opened pictures."""
    editor = gr.ImageEditor(**options)

    def content(file: FileData | bytes | None, flatten_on_white: bool = False) -> bytes | None:
        return read_file(file.path, settings) if isinstance(file, FileData) else file

    editor.convert_and_format_image = content  # type: ignore[method-assign, assignment]  # a class would write a .pyi
    return editor


def read_file(path: str | Path, settings: ServeSettings) -> bytes:
    """A file that a browser sent; of one that is too large as much as shows it."""
    with open(path, "rb") as file:
        return file.read(settings.max_image_bytes + 1)


def uploads(
    editor: dict[str, Any], more: list[tuple[str, str | None]] | None, settings: ServeSettings, reader: MediaReader
) -> Uploads:
    """The pictures of an edit and, where something was painted on the first, the mask."""
    first, layers = editor["background"], editor.get("layers") or []
    images = (first, *(read_file(path, settings) for path, _ in more or []))
    found = [decode(layer, "mask", settings, reader, "rgba") for layer in layers]
    mask = painted(found, reader.picture_size(first, max_bytes=settings.max_image_bytes)) if layers else None
    return Uploads(images, None if mask is None else overlay(mask))


def painted(layers: list[Image.Image], size: tuple[int, int]) -> Image.Image | None:
    """White where something was painted over a picture of that size; None where nothing was."""
    found = Image.new("L", size, 0)
    for layer in layers:
        alpha = layer.getchannel("A")
        if alpha.size != size:
            alpha = alpha.resize(size, Image.Resampling.NEAREST)
        found = ImageChops.lighter(found, alpha.point(lambda value: 255 if value > SEEN else 0))
    return found if found.getbbox() else None


def overlay(painted_mask: Image.Image) -> Image.Image:
    """What was painted as the mask of the API: transparent where the picture may change."""
    made = Image.new("RGBA", painted_mask.size)
    made.putalpha(ImageOps.invert(painted_mask))
    return made
