"""The reference pipeline as an oracle: quiet, greedy on demand, and with image to image repaired.

In the pinned pair of libraries image to image is broken: the AR model returns one (C, H, W) map for each picture while
the pipeline joins rows of (H * W, C). The two methods between them are wrapped; the mathematics stays theirs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def reference_pipeline(folder: Path) -> Any:
    """`diffusers.GlmImagePipeline` of a folder, in fp32."""
    import diffusers

    diffusers.utils.logging.disable_progress_bar()
    pipe = diffusers.GlmImagePipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    _repair(pipe.vision_language_encoder)
    return pipe


def greedy(pipe: Any) -> Any:
    """Make the AR stage take the most likely token; the pipeline always asks for sampling."""
    pipe.vision_language_encoder.generation_config.top_k = 1
    return pipe


def _repair(model: Any) -> None:
    features, tokens = model.get_image_features, model.get_image_tokens

    def get_image_features(pixel_values: Tensor, image_grid_thw: Tensor | None = None, **options: Any) -> Any:
        output = features(pixel_values, image_grid_thw, **options)
        if "images_per_sample" not in options:  # called by the pipeline, not by generate()
            output.pooler_output = [each.flatten(1).T for each in output.pooler_output]
        return output

    def get_image_tokens(rows: Tensor, grids: Tensor) -> Tensor:
        sizes = [(int(h), int(w)) for _, h, w in grids.tolist()]
        parts = rows.split([h * w for h, w in sizes])
        maps = [part.T.reshape(-1, h, w) for part, (h, w) in zip(parts, sizes, strict=True)]
        return torch.cat([tokens([each]).flatten() for each in maps])

    model.get_image_features, model.get_image_tokens = get_image_features, get_image_tokens
