"""A checkpoint that draws, loaded over several devices: the AR generator is split, each rank has the whole decoder.

ViT, codebook, glyph encoder and VAE are the first rank's alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from inkwash.core.errors import ConfigError
from inkwash.engine.ranks.denoise import KEY as DECODER_KEY
from inkwash.engine.ranks.denoise import DecoderSpec, SharedDecoder, fill_decoder
from inkwash.engine.ranks.group import RankGroup
from inkwash.engine.ranks.shares import check_world, fill_share, share_decoder
from inkwash.engine.ranks.slots import SharedGenerator
from inkwash.engine.ranks.text import ALL, KEY, CurrentGroup, SharedText, TextSpec
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.config import ARConfig, DecoderConfig
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.weights import AR_KEYS, GlmImageParts, load_pipeline_parts
from inkwash.models.tensor_files import read_json, stated_kind
from inkwash.models.weights import StoredTensors, load_module

AR, DECODER = "vision_language_encoder", "transformer"


@dataclass(frozen=True, kw_only=True)
class SharedDrawing:
    """The first rank's parts, and the group that computes with them."""

    parts: GlmImageParts
    group: RankGroup
    generator: SharedGenerator
    decoder: SharedDecoder


def load_shared(
    folder: Path,
    *,
    dtype: torch.dtype,
    device: torch.device,
    world: int,
    variant: str | None = None,
    dtypes: Mapping[str, torch.dtype] | None = None,
) -> SharedDrawing:
    """Start the ranks and load a checkpoint over them; `dtypes` as in `engine.loading.load_parts`.

    Raises ConfigError where so many devices do not divide the model or are not there.
    """
    if any(stated_kind(folder / name) for name in (AR, DECODER)):
        raise ConfigError(
            f"{folder} is quantized, and only plain weights are dealt out among devices: load the original, or use one "
            "device."
        )
    numbers = {name: (dtypes or {}).get(name, dtype) for name in (AR, DECODER)}
    check_world(ARConfig.from_dict(read_json(folder / AR / "config.json")).text_config, world)
    heads = DecoderConfig.from_dict(read_json(folder / DECODER / "config.json")).num_attention_heads
    if heads < world:
        raise ConfigError(f"{world} devices are more than the decoder has heads ({heads}): choose a smaller number.")
    group = RankGroup(world, device)
    try:
        parts = load_pipeline_parts(
            folder, dtype=dtype, device=group.device, deferred=[AR, DECODER], variant=variant, dtypes=dtypes
        )

        def own_share() -> None:
            cuts = share_decoder(parts.ar.model.language_model, CurrentGroup(group, KEY, ALL))
            stored = StoredTensors(folder / AR, variant)
            names = list(parts.ar.state_dict())
            fill_share(parts.ar, stored, names, cuts, device=group.device, dtype=numbers[AR])

        def own_decoder() -> None:
            fill_decoder(parts.decoder, folder / DECODER, group.device, numbers[DECODER], variant)

        text = TextSpec(
            folder=folder / AR, build=partial(empty_generator, variant=variant), dtype=numbers[AR], variant=variant
        )
        group.load(KEY, text, own_share)
        build = partial(empty_decoder, variant=variant)
        spec = DecoderSpec(folder=folder / DECODER, build=build, dtype=numbers[DECODER], variant=variant)
        group.load(DECODER_KEY, spec, own_decoder)
    except BaseException:
        group.close()
        raise
    generator = SharedGenerator(SharedText(group, parts.ar))
    return SharedDrawing(parts=parts, group=group, generator=generator, decoder=SharedDecoder(group, parts.decoder))


def empty_generator(folder: Path, variant: str | None = None) -> ARGenerator:
    """The AR generator of a folder, checked, without numbers."""
    config = ARConfig.from_dict(read_json(folder / "config.json"))
    return load_module(lambda: ARGenerator(config), folder, keys=AR_KEYS, fill=False, variant=variant)


def empty_decoder(folder: Path, variant: str | None = None) -> Decoder:
    """The diffusion decoder of a folder, checked, without numbers."""
    config = DecoderConfig.from_dict(read_json(folder / "config.json"))
    return load_module(lambda: Decoder(config), folder, fill=False, variant=variant)
