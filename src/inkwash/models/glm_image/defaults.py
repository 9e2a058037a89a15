"""What a checkpoint draws with where nothing is asked for: read once, shown by commands, server and page alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkwash.models.glm_image.folder import GENERATION_FILE, DrawingDefaults, drawing_defaults
from inkwash.models.tensor_files import read_json


@dataclass(frozen=True, kw_only=True)
class ModelDefaults:
    """By default those of the released model; `side` is that of a square picture."""

    steps: int = 50
    guidance: float = 1.5
    temperature: float = 0.9
    top_p: float = 0.75
    top_k: int | None = None
    min_p: float = 0.0
    side: int = 1024

    @classmethod
    def of(cls, drawing: DrawingDefaults, generation: Mapping[str, Any], side: int | None) -> ModelDefaults:
        """From the index's settings, generation_config.json and the size that the VAE was trained on."""
        named = {name: generation.get(name) for name in ("temperature", "top_p", "top_k", "min_p")}
        given = {name: value for name, value in {**named, "side": side}.items() if value}
        return cls(steps=drawing.num_inference_steps, guidance=drawing.guidance_scale, **given)


def folder_defaults(folder: Path) -> ModelDefaults:
    """Those of a checkpoint folder, without loading a network."""
    file = folder / "vision_language_encoder" / GENERATION_FILE
    generation: Mapping[str, Any] = read_json(file) if file.is_file() else {}
    vae: Mapping[str, Any] = read_json(folder / "vae" / "config.json")
    return ModelDefaults.of(drawing_defaults(folder), generation, vae.get("sample_size"))
