"""What is said on stderr before something is drawn: the notes that the server returns as warnings."""

from __future__ import annotations

from inkwash.cli.draw_options import DrawJob
from inkwash.core.types import Size


def drawing_notes(job: DrawJob) -> list[str]:
    """Sentences about what the model will not draw as it is asked to; what a model on a hub can draw is not known."""
    from inkwash.engine.notes import negative_notes, notes
    from inkwash.models.glm_image.folder import drawing_defaults
    from inkwash.models.registry import defaults_of, folder_of
    from inkwash.models.tensor_files import read_json

    folder = folder_of(job.load.model)
    own = defaults_of(job.load.model) if folder is None else drawing_defaults(folder)
    request, references = job.request, job.request.images
    size = None
    if request.height is not None and request.width is not None:
        size = Size(request.width, request.height)
    if size is None and references:
        size = Size(*references[0].size)
    if size is None and folder is not None:
        side = read_json(folder / "vae" / "config.json").get("sample_size")
        size = Size(side, side) if isinstance(side, int) else None
    canonical, adapted = own.canonical_quotes, bool(job.load.loras)
    found = notes(request.prompt, size, references, own.limits, canonical=canonical, adapted=adapted)
    return [*found, *negative_notes(request.negative_prompt, request.guidance_scale)]
