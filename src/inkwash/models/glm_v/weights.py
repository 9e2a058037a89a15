"""A GLM-V checkpoint folder as one object, read and written in the released layout.

Our parameter names are the released ones, experts included, so nothing is renamed. Left out on reading are tables
that older files store and the extra layer of multi-token prediction; the routers' corrections stay fp32 in any dtype;
8-bit matrices are multiplied by their scales. What is written loads in the reference library, and the reverse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from inkwash.core.errors import ConfigError, WeightsError
from inkwash.core.files import write_json
from inkwash.models.glm_v.config import ARCHITECTURES, GlmVConfig
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.tensor_files import StoredTensor, read_headers, read_json, reason, require_variant
from inkwash.models.weights import HARMLESS, MAX_SHARD_BYTES, KeyTable, load_module, save_module

CONFIG_FILE, GENERATION_FILE = "config.json", "generation_config.json"
_KEPT = ("*.e_score_correction_bias",)


@dataclass(kw_only=True)
class GlmVParts:
    """Everything a checkpoint folder holds; the network keeps its own configuration as `.config`."""

    model: GlmV
    processor: GlmVProcessor
    generation: dict[str, Any] = field(default_factory=dict)  # generation_config.json

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer, from the generation settings or else the decoder's."""
        found = self.generation.get("eos_token_id")
        if found is None:
            return self.model.config.text_config.eos_token_id
        return tuple(found) if isinstance(found, list) else (found,)


def load_glm_v(
    path: str | Path,
    *,
    dtype: torch.dtype | None = torch.float32,
    device: torch.device | str = "cpu",
    fill: bool = True,
    variant: str | None = None,
) -> GlmVParts:
    """Read a whole checkpoint folder; `dtype=None` keeps every tensor as stored, 8-bit ones as bf16.

    Without `fill` the files are checked alike, but the network's parameters stay on the meta device. `variant`
    names files such as model.fp16.safetensors.

    Raises `WeightsError` in one sentence when the folder is foreign, incomplete or damaged; nothing is half-loaded.
    """
    folder = Path(path)
    config = read_config(folder)
    processor = GlmVProcessor.from_folder(folder)
    _check_agreement(folder, config, processor)
    generation = folder / GENERATION_FILE
    return GlmVParts(
        model=load_model(folder, dtype=dtype, device=device, fill=fill, variant=variant),
        processor=processor,
        generation=read_json(generation) if generation.is_file() else {},
    )


def load_model(
    folder: Path,
    *,
    dtype: torch.dtype | None = torch.float32,
    device: torch.device | str = "cpu",
    fill: bool = True,
    variant: str | None = None,
) -> GlmV:
    """The network of a checkpoint folder alone."""
    config = read_config(folder)
    require_variant([folder], variant)
    keys = key_table(config, read_headers(folder, variant))
    return load_module(lambda: GlmV(config), folder, dtype=dtype, device=device, keys=keys, fill=fill, variant=variant)


def save_glm_v(
    parts: GlmVParts, path: str | Path, *, dtype: torch.dtype | None = None, max_shard_bytes: int = MAX_SHARD_BYTES
) -> Path:
    """Write a checkpoint folder; `dtype=None` keeps the network's own.

    An older GLM-V checkpoint at the same place is overwritten file by file, with `config.json` last; any other
    non-empty folder is refused.
    """
    folder = Path(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        read_config(folder)  # raises unless it is one of ours to replace
    try:
        folder.mkdir(parents=True, exist_ok=True)
        keys = KeyTable(kept=_KEPT)
        save_module(parts.model, folder, dtype=dtype, max_shard_bytes=max_shard_bytes, keys=keys)
        parts.processor.save(folder)
        if parts.generation:
            write_json(folder / GENERATION_FILE, parts.generation)
        stored = dtype or parts.model.lm_head.weight.dtype
        config = {**parts.model.config.to_dict(), "dtype": str(stored).removeprefix("torch.")}
        write_json(folder / CONFIG_FILE, config)
    except OSError as error:
        raise WeightsError(
            f"The checkpoint could not be written to {folder} ({reason(error)}): "
            "check free space and permissions, or choose another folder."
        ) from error
    return folder


def read_config(folder: Path) -> GlmVConfig:
    """The configuration of a checkpoint folder of this family."""
    file = folder / CONFIG_FILE
    values = read_json(file)
    if values.get("model_type") not in ARCHITECTURES:
        raise WeightsError(
            f"{file} is of kind {values.get('model_type')}; expected a GLM-V checkpoint ({', '.join(ARCHITECTURES)})."
        )
    try:
        return GlmVConfig.from_dict(values)
    except ConfigError as error:
        raise WeightsError(f"{file} does not describe a network of this family: {error}") from error


def key_table(config: GlmVConfig, stored: Mapping[str, StoredTensor]) -> KeyTable:
    """What to leave out of a checkpoint and what to keep in its dtype.

    The layer after the last one is left out only if it is one of multi-token prediction, so that a configuration
    with too few layers is still found out.
    """
    dropped: tuple[str, ...] = HARMLESS
    extra = f"model.language_model.layers.{config.text_config.num_hidden_layers}."
    if f"{extra}eh_proj.weight" in stored:
        dropped = (*dropped, f"{extra}*")
    return KeyTable(dropped=dropped, kept=_KEPT)


def _check_agreement(folder: Path, config: GlmVConfig, processor: GlmVProcessor) -> None:
    """What the network and the processor must both know, they must know alike."""
    vision, pictures, videos = config.vision_config, processor.pictures, processor.videos
    sizes = (vision.patch_size, vision.temporal_patch_size, vision.spatial_merge_size)
    for what, ours, theirs in (
        ("the picture token", config.image_token_id, processor.token_id("<|image|>")),
        ("the patches", sizes, (pictures.patch_size, pictures.temporal_patch_size, pictures.merge_size)),
        ("the patches of videos", sizes, (videos.patch_size, videos.temporal_patch_size, videos.merge_size)),
    ):
        if ours != theirs:
            raise WeightsError(
                f"{folder} mixes files of different checkpoints: {what} is {ours} in {CONFIG_FILE} and {theirs} in the "
                "processor's files; take all files from one checkpoint."
            )
