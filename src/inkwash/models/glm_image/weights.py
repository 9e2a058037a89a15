"""A GLM-Image checkpoint folder as one object, read and written in the released layout.

`load_pipeline_parts` first looks at the whole folder (is it this family, are all parts there, do headers and sizes
agree) and only then reads numbers; `save_pipeline_parts` writes a complete folder beside the target and swaps it in.
What is written loads in `diffusers.GlmImagePipeline` and what that writes loads here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from inkwash.core.errors import ConfigError, WeightsError
from inkwash.core.files import staging_folder, write_json
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.code_labels import LABELS_FILE, CodeLabels
from inkwash.models.glm_image.config import ARConfig, DecoderConfig, GlyphConfig, SchedulerConfig, VAEConfig
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.folder import (
    GENERATION_FILE,
    INDEX_FILE,
    PARTS,
    DrawingDefaults,
    ModelDefaults,
    byte_tokenizer_config,
    drawing_defaults,
    generation_config,
    inspect_folder,
    pipeline_index,
)
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.models.glm_image.processor import GlmImageProcessor
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.models.tensor_files import read_headers, read_json, reason, require_variant
from inkwash.models.weights import HARMLESS, MAX_SHARD_BYTES, KeyTable, load_module, save_module

C = TypeVar("C")
AR_KEYS = KeyTable(dropped=HARMLESS)
GLYPH_KEYS = KeyTable(
    tied={"encoder.embed_tokens.weight": "shared.weight"}, dropped=("decoder.*", "lm_head.weight", *HARMLESS)
)
PLAIN_KEYS = KeyTable(dropped=HARMLESS)


@dataclass(kw_only=True)
class GlmImageParts:
    """Everything a checkpoint folder holds; the networks keep their own configurations as `.config`."""

    ar: ARGenerator
    decoder: Decoder
    vae: AutoencoderKL
    glyph: GlyphEncoder
    processor: GlmImageProcessor
    scheduler: SchedulerConfig
    generation: dict[str, Any] = field(default_factory=dict)  # generation_config.json; empty for the usual sampling
    drawing: DrawingDefaults = field(default_factory=DrawingDefaults)
    code_labels: CodeLabels | None = None  # what semantic codes show, where the checkpoint tells

    @property
    def defaults(self) -> ModelDefaults:
        """What this checkpoint draws with where nothing is asked for."""
        return ModelDefaults.of(self.drawing, self.generation, self.vae.config.sample_size)


def load_pipeline_parts(
    path: str | Path,
    *,
    dtype: torch.dtype | None = torch.float32,
    device: torch.device | str = "cpu",
    deferred: Collection[str] = (),
    variant: str | None = None,
    dtypes: Mapping[str, torch.dtype] | None = None,
) -> GlmImageParts:
    """Read a whole checkpoint folder; `dtype=None` keeps every tensor as stored, `dtypes` are those of some parts.

    Part folders in `deferred` are checked as strictly, but their networks come back without numbers (on the meta
    device), for a caller that brings them part by part.

    Raises `WeightsError` in one sentence when the folder is foreign, incomplete or damaged; nothing is half-loaded.
    """
    folder = Path(path)
    inspect_folder(folder)
    ar = _config(folder, "vision_language_encoder", ARConfig.from_dict)
    decoder = _config(folder, "transformer", DecoderConfig.from_dict)
    vae = _config(folder, "vae", VAEConfig.from_dict)
    glyph = _config(folder, "text_encoder", GlyphConfig.from_dict)
    scheduler = _config(folder, "scheduler", SchedulerConfig.from_dict)
    processor = GlmImageProcessor.from_folder(folder / "processor")
    drawing = drawing_defaults(folder)
    _check_agreement(folder, ar, decoder, vae, glyph, processor)
    networks = ("vision_language_encoder", "transformer", "vae", "text_encoder")
    require_variant([folder / name for name in networks], variant)
    for name in networks:
        read_headers(folder / name, variant)  # a damaged file is found before minutes are spent on the others
    generation = folder / "vision_language_encoder" / GENERATION_FILE
    labels = folder / "vision_language_encoder" / LABELS_FILE

    def part(build: Callable[[], Any], name: str, keys: KeyTable) -> Any:
        fill = name not in deferred
        kind = (dtypes or {}).get(name, dtype)
        return load_module(build, folder / name, dtype=kind, device=device, keys=keys, fill=fill, variant=variant)

    return GlmImageParts(
        ar=part(lambda: ARGenerator(ar), "vision_language_encoder", AR_KEYS),
        decoder=part(lambda: Decoder(decoder), "transformer", PLAIN_KEYS),
        vae=part(lambda: AutoencoderKL(vae), "vae", PLAIN_KEYS),
        glyph=part(lambda: GlyphEncoder(glyph), "text_encoder", GLYPH_KEYS),
        processor=processor,
        scheduler=scheduler,
        generation=read_json(generation) if generation.is_file() else {},
        drawing=drawing,
        code_labels=CodeLabels.from_file(labels, ar.vq_config.num_embeddings) if labels.is_file() else None,
    )


def save_pipeline_parts(
    parts: GlmImageParts,
    path: str | Path,
    *,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    variant: str | None = None,
) -> Path:
    """Write a complete checkpoint folder; `dtype=None` keeps the networks' own.

    The folder appears at once when everything is written. An older checkpoint of this family at the same place is
    replaced, and files of its owner beside the parts (a model card, a licence) are kept; any other non-empty folder is
    refused.
    """
    target = Path(path).absolute()
    _refuse_foreign_target(target)
    try:
        with staging_folder(target) as staging:
            staging.mkdir(parents=True)
            _write_parts(parts, staging, dtype, max_shard_bytes, variant)
            _swap(staging, target)
    except OSError as error:
        raise WeightsError(
            f"The checkpoint could not be written to {target} ({reason(error)}): "
            "check free space and permissions, or choose another folder."
        ) from error
    return target


def _write_parts(
    parts: GlmImageParts, folder: Path, dtype: torch.dtype | None, max_shard_bytes: int, variant: str | None
) -> None:
    networks: dict[str, tuple[nn.Module, KeyTable]] = {
        "vision_language_encoder": (parts.ar, AR_KEYS),
        "transformer": (parts.decoder, PLAIN_KEYS),
        "vae": (parts.vae, PLAIN_KEYS),
        "text_encoder": (parts.glyph, GLYPH_KEYS),
    }
    for name, (network, keys) in networks.items():
        base = PARTS[name].weights_name
        save_module(
            network,
            folder / name,
            dtype=dtype,
            max_shard_bytes=max_shard_bytes,
            base_name=base,
            keys=keys,
            variant=variant,
        )
        config = network.config.to_dict()  # type: ignore[union-attr, operator]
        if PARTS[name].library == "transformers":
            config["dtype"] = str(dtype or next(network.parameters()).dtype).removeprefix("torch.")
        write_json(folder / name / PARTS[name].config_file, config)
    for name in ("tokenizer", "scheduler"):
        (folder / name).mkdir()
    write_json(folder / "tokenizer" / PARTS["tokenizer"].config_file, byte_tokenizer_config())
    write_json(folder / "scheduler" / PARTS["scheduler"].config_file, parts.scheduler.to_dict())
    parts.processor.save(folder / "processor")
    text = parts.ar.config.text_config
    generation = parts.generation or generation_config(
        end=parts.ar.config.image_end_token_id, pad=text.pad_token_id, vision_vocab_size=text.vision_vocab_size
    )
    write_json(folder / "vision_language_encoder" / GENERATION_FILE, generation)
    if parts.code_labels is not None:
        write_json(folder / "vision_language_encoder" / LABELS_FILE, parts.code_labels.to_dict(), indent=None)
    write_json(folder / INDEX_FILE, pipeline_index(parts.drawing))


def _config(folder: Path, part: str, parse: Callable[[Mapping[str, Any]], C]) -> C:
    file = folder / part / PARTS[part].config_file
    try:
        return parse(read_json(file))
    except ConfigError as error:
        raise WeightsError(f"{file} does not describe a network of this family: {error}") from error


def _check_agreement(
    folder: Path,
    ar: ARConfig,
    decoder: DecoderConfig,
    vae: VAEConfig,
    glyph: GlyphConfig,
    processor: GlmImageProcessor,
) -> None:
    """The sizes at which two parts meet must be the same on both sides."""
    pairs = (
        ("number of semantic codes", "vision_language_encoder", ar.vq_config.num_embeddings,
         "transformer", decoder.prior_vq_quantizer_codebook_size),
        ("number of latent channels", "vae", vae.latent_channels, "transformer", decoder.in_channels),
        ("glyph width", "text_encoder", glyph.d_model, "transformer", decoder.text_embed_dim),
        ("image placeholder id", "vision_language_encoder", ar.image_token_id,
         "processor", processor.token_id("image_token")),
        ("image start id", "vision_language_encoder", ar.image_start_token_id,
         "processor", processor.token_id("bos_token")),
    )  # fmt: skip
    for what, left, left_value, right, right_value in pairs:
        if left_value != right_value:
            raise WeightsError(
                f"{folder} mixes parts of different checkpoints: the {what} is {left_value} in {left}/ and "
                f"{right_value} in {right}/; take all parts from one checkpoint."
            )


def _refuse_foreign_target(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise WeightsError(f"{target} is a file; a checkpoint is a folder, choose another path.")
    if target.is_dir() and any(target.iterdir()) and not (target / INDEX_FILE).is_file():
        raise WeightsError(f"{target} is not empty and holds no {INDEX_FILE}; choose a new folder or empty this one.")


def _swap(staging: Path, target: Path) -> None:
    """Put the finished folder in its place; what was there goes only after the new one stands."""
    if not target.exists():
        staging.rename(target)
        return
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    for entry in target.iterdir():
        if entry.name not in PARTS and entry.name != INDEX_FILE:
            copy = shutil.copytree if entry.is_dir() else shutil.copy2
            copy(entry, staging / entry.name)
    target.rename(old)
    try:
        staging.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old)
