"""From a checkpoint folder to parts at work, under an offload profile and with quantised weights.

Without either, everything is read to the device. Otherwise the large networks are built empty and `engine.offload`
brings their weights: once, rounded on the way in, or whenever their stage begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from inkwash.core.errors import RequestError
from inkwash.engine.mapped import ReadAhead, fill_mapped
from inkwash.engine.offload import (
    BLOCKS,
    BlockStream,
    OffloadedNetwork,
    Profile,
    Residency,
    Weights,
    check_profile,
    nothing,
)
from inkwash.engine.quantize import is_quantized, rounder
from inkwash.models.glm.decode import forget_for_decode
from inkwash.models.glm_image.decoder import Decoder, fuse_block, fuse_qkv
from inkwash.models.glm_image.weights import GlmImageParts, load_pipeline_parts
from inkwash.models.quantized_files import stated_kind
from inkwash.models.weights import StoredTensors

FOLDERS = {"ar": "vision_language_encoder", "decoder": "transformer"}
VISION = ("model.visual.", "model.vqmodel.")  # of the AR generator's folder, what only reference pictures need
HEAD = "lm_head.weight"  # says where the AR generator is, and in which number type


def load_parts(
    folder: Path,
    *,
    dtype: torch.dtype,
    device: torch.device,
    offload: Profile = "none",
    quantize: Mapping[str, str] | None = None,
    variant: str | None = None,
    dtypes: Mapping[str, torch.dtype] | None = None,
) -> tuple[GlmImageParts, Residency | None]:
    """The parts of a checkpoint, and who brings their weights; None when all of them are there for good.

    `dtypes` are the number types of part folders that have another one than `dtype`.
    """
    check_profile(offload)
    kinds = dict(quantize or {})
    if offload == "block" and "decoder" in kinds:
        raise RequestError(
            "The offload profile 'block' streams the decoder's blocks as they are stored: choose 'stage' for a "
            "quantized decoder.",
            param="offload",
        )
    stated = {stage: stated_kind(folder / name) for stage, name in FOLDERS.items()}
    _refuse_rounding_again(folder, stated, kinds)
    numbers = {stage: (dtypes or {}).get(name, dtype) for stage, name in FOLDERS.items()}
    rounders = {stage: rounder(stage, kind, device, numbers[stage]) for stage, kind in kinds.items()}
    mapped = [stage for stage, kind in stated.items() if kind is not None or offload == "map"]
    _check_mapped(stated, device, offload)
    brought = [stage for stage in FOLDERS if (offload not in ("none", "map") or stage in kinds) and stage not in mapped]
    deferred = [FOLDERS[stage] for stage in (*brought, *mapped)]
    parts = load_pipeline_parts(folder, dtype=dtype, device=device, deferred=deferred, variant=variant, dtypes=dtypes)
    for stage in mapped:
        fill_mapped(_network(parts, stage), StoredTensors(folder / FOLDERS[stage], variant), numbers[stage], device)
    if "decoder" in mapped and device.type == "cpu":
        parts.decoder.stream = ReadAhead()
    members: dict[str, OffloadedNetwork] = {}
    for stage in brought:
        weights = Weights(StoredTensors(folder / FOLDERS[stage], variant), numbers[stage], device)
        if device.type == "cuda" and offload != "none":
            weights.pin(list(_network(parts, stage).state_dict()))
        streamed = offload == "block" and stage == "decoder"
        if stage == "ar" and offload != "none":
            members["vision"] = OffloadedNetwork(parts.ar, weights, keep=_is_vision)
        members[stage] = OffloadedNetwork(
            _network(parts, stage),
            weights,
            keep=partial(_stays, stage, offload),
            rounded=partial(is_quantized, stage),
            round_layer=rounders.get(stage),
            arrived=partial(fuse_qkv, parts.decoder) if stage == "decoder" and not streamed else nothing,
            left=partial(_unfuse, parts.decoder) if stage == "decoder" else partial(forget_for_decode, parts.ar),
        )
        if streamed:
            parts.decoder.stream = BlockStream(weights, fuse_block)
    if "decoder" not in members and "decoder" not in mapped:
        fuse_qkv(parts.decoder)
    if members and offload != "none":
        return parts, Residency(members, device, numbers["decoder"])
    for member in members.values():
        member.enter()
    return parts, None


def _refuse_rounding_again(folder: Path, stated: Mapping[str, str | None], kinds: Mapping[str, str]) -> None:
    for stage, kind in stated.items():
        if kind is not None and stage in kinds:
            raise RequestError(
                f"{folder / FOLDERS[stage]} is stored in {kind} already, so it cannot be quantized to {kinds[stage]}: "
                "leave quantize out, or load the original.",
                param="quantize",
            )


def _check_mapped(stated: Mapping[str, str | None], device: torch.device, offload: Profile) -> None:
    """What is mapped needs no offloading on a CPU; an accelerator holds it whole."""
    if offload == "map" and device.type != "cpu":
        raise RequestError("The offload profile 'map' is for a CPU: choose stage or block.", param="offload")
    if any(stated.values()) and offload not in ("none", "map") and device.type != "cpu":
        raise RequestError(
            f"A quantized folder is held whole on {device.type}: choose --offload none.", param="offload"
        )


def _is_vision(name: str) -> bool:
    return name.startswith(VISION) or name == HEAD


def _stays(stage: str, offload: Profile, name: str) -> bool:
    """Whether a tensor is there for the whole of its stage."""
    if stage == "ar":
        return offload == "none" or not name.startswith(VISION)
    return offload != "block" or not name.startswith(BLOCKS)


def _network(parts: GlmImageParts, stage: str) -> torch.nn.Module:
    return parts.ar if stage == "ar" else parts.decoder


def _unfuse(decoder: Decoder) -> None:
    for block in decoder.blocks:
        block.attn1.fused = None
