"""A checkpoint folder written again: in another number type, or in files of another size.

rewrite_checkpoint(Path("GLM-Image"), Path("GLM-Image-bf16"), dtype=torch.bfloat16, max_shard_bytes=2 * 10**9)
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from inkwash.core.errors import WeightsError
from inkwash.models.glm_image.folder import INDEX_FILE
from inkwash.models.glm_image.weights import load_pipeline_parts, save_pipeline_parts
from inkwash.models.glm_v.weights import load_glm_v, save_glm_v
from inkwash.models.weights import MAX_SHARD_BYTES

CARDS = ("README*", "LICENSE*", "NOTICE*")  # the model card and the licence go with the weights


def rewrite_checkpoint(
    source: Path, target: Path, *, dtype: torch.dtype | None = None, max_shard_bytes: int = MAX_SHARD_BYTES
) -> Path:
    """Write a checkpoint that draws or sees again; `dtype` None keeps every tensor's own.

    The weights are in memory once, as they are stored. Raises WeightsError where the source is no checkpoint, or the
    target is something else than a checkpoint that may be replaced.
    """
    if source.absolute() == target.absolute():
        raise WeightsError(f"{target} would replace the checkpoint that is read: choose another folder.")
    if (source / INDEX_FILE).is_file():
        parts = load_pipeline_parts(source, dtype=None)
        save_pipeline_parts(parts, target, dtype=dtype, max_shard_bytes=max_shard_bytes)
    else:
        save_glm_v(load_glm_v(source, dtype=None), target, dtype=dtype, max_shard_bytes=max_shard_bytes)
    for pattern in CARDS:
        for file in source.glob(pattern):
            shutil.copyfile(file, target / file.name)
    return target
