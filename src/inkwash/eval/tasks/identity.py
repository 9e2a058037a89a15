"""Has a fine-tuned model learned the thing it was shown? Held-out prompts, checked by `scenes.check` and OCR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from inkwash.eval.metrics import score_words
from inkwash.scenes.check import check
from inkwash.scenes.scene import Description, Scene


@dataclass(frozen=True, kw_only=True)
class IdentityScore:
    """Shares of the pictures: the shape is there, in its colour, nothing else is; right words (None: no reader)."""

    pictures: int
    shape: float
    shape_and_color: float
    background: float
    words: float | None

    def __str__(self) -> str:
        words = "not read" if self.words is None else f"{self.words:.2f}"
        return (
            f"shape {self.shape:.2f}, shape and colour {self.shape_and_color:.2f}, background {self.background:.2f}, "
            f"words {words} ({self.pictures} pictures)"
        )


def score_identity(
    images: Sequence[Image.Image],
    cases: Sequence[tuple[Scene, Description]],
    read: Callable[[Image.Image], list[str]] | None,
) -> IdentityScore:
    """Hold one picture for each case against its scene; what the prompt did not name is free."""
    shape = color = background = right = wanted = 0
    for image, (scene, description) in zip(images, cases, strict=True):
        found = check(image, scene, named=description.named)
        shape += found.objects[0].shape_ok
        color += found.objects[0].shape_ok and found.objects[0].color_ok
        background += found.background_ok
        if read is not None:
            score = score_words([text.text for text in scene.texts], read(image))
            right, wanted = right + score.correct, wanted + score.total
    count = max(1, len(images))
    return IdentityScore(
        pictures=len(images),
        shape=shape / count,
        shape_and_color=color / count,
        background=background / count,
        words=right / wanted if wanted else None,
    )
