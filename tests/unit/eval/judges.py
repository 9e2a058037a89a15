"""A judge for tests that knows what stands in each picture, so that scoring is tested without OCR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image

from inkwash.eval.predictions import picture_hash
from inkwash.scenes.render import render
from inkwash.scenes.scene import Scene


class KnowingJudge:
    """Reads the texts of the scene that a picture renders; other pictures are blank to it."""

    name = "knowing"

    def __init__(self, scenes: Sequence[Scene], misread: Mapping[str, str] | None = None) -> None:
        self.known = {picture_hash(render(scene)): [text.text for text in scene.texts] for scene in scenes}
        self.misread = misread or {}

    def texts(self, image: Image.Image) -> list[str]:
        return [self.misread.get(text, text) for text in self.known.get(picture_hash(image), [])]
