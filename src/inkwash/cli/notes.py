"""What is said on stderr before something is drawn: the notes that the server returns as warnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inkwash.cli.settings import DrawSettings
from inkwash.core.types import Size

if TYPE_CHECKING:
    from PIL import Image


def drawing_notes(settings: DrawSettings, references: Sequence[Image.Image]) -> list[str]:
    """Sentences about what the model will not draw as it is asked to; what a model on a hub can draw is not known."""
    from inkwash.engine.notes import negative_notes, notes
    from inkwash.models.glm_image.folder import drawing_defaults
    from inkwash.models.registry import defaults_of, folder_of
    from inkwash.models.tensor_files import read_json

    folder = folder_of(settings.load.model)
    own = defaults_of(settings.load.model) if folder is None else drawing_defaults(folder)
    size = settings.size
    if size is None and references:
        size = Size(*references[0].size)
    if size is None and folder is not None:
        side = read_json(folder / "vae" / "config.json").get("sample_size")
        size = Size(side, side) if isinstance(side, int) else None
    canonical, adapted = own.canonical_quotes, bool(settings.load.loras)
    found = notes(settings.prompt, size, references, own.limits, canonical=canonical, adapted=adapted)
    return [*found, *negative_notes(settings.negative, settings.guidance)]
