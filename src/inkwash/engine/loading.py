"""From a checkpoint folder to parts at work: which offload profile fits, and loading under it, rounded or not.

    choose(folder, device=torch.device("cpu"), dtype=None)
    # Placement(profile="map", dtype=torch.bfloat16, packs=True, note="...")

A small checkpoint is read to the device as it is. For a large one memory is forecast (`engine.memory`) before anything
is loaded: on a CPU weights are mapped where they do not fit, on an accelerator they come stage by stage or block by
block, and what cannot fit is refused in one sentence that says what would. Networks that are offloaded or rounded are
built empty and `engine.offload` brings their weights: once, rounded on the way in, or whenever their stage begins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from inkwash.core.device import free_memory
from inkwash.core.errors import ConfigError, RequestError
from inkwash.engine.mapped import ReadAhead, fill_mapped
from inkwash.engine.offload import (
    BLOCKS,
    PROFILES,
    BlockStream,
    OffloadedNetwork,
    Profile,
    Residency,
    Weights,
    nothing,
)
from inkwash.engine.quantize import is_quantized, rounder
from inkwash.models.glm.decode import forget_for_decode
from inkwash.models.glm_image.decoder import Decoder, fuse_block, fuse_qkv
from inkwash.models.glm_image.weights import GlmImageParts, load_pipeline_parts
from inkwash.models.quantized_files import KINDS
from inkwash.models.tensor_files import StoredTensor, stated_kind
from inkwash.models.weights import FLOATS, StoredTensors, read_stored
from inkwash.nn.int8 import faster_layer
from inkwash.nn.linear import QuantizedLinear

if TYPE_CHECKING:
    from inkwash.engine.memory import Forecast, Forecaster

FOLDERS = {"ar": "vision_language_encoder", "decoder": "transformer"}
PARTS = (*FOLDERS.values(), "vae", "text_encoder")
ONCE = ("model.visual.", "model.vqmodel.", "model.language_model.embed_tokens.")  # hardly read while tokens are drawn
CLEARLY = 4.0  # a checkpoint of a quarter of the room is held whole without a forecast
USABLE = 0.95  # of the memory that is free
SIDE = 512  # of the picture that is forecast: a larger one that does not fit fails alone
GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How a checkpoint is to be loaded."""

    profile: Profile
    dtype: torch.dtype
    packs: bool = True  # whether the generator's 16-bit matrices are packed for its steps, which takes a copy of them
    note: str | None = None  # what was chosen and what it costs; None where everything is held


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """What the files of a checkpoint hold."""

    numbers: int  # of all networks
    read: Mapping[str, int]  # bytes of what each stage reads again and again
    kinds: Mapping[str, str]  # of quantised stages
    dtype: torch.dtype  # of most plain tensors


def choose(
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
    quantize: Mapping[str, str] | None = None,
    variant: str | None = None,
    free_bytes: int | None = None,
) -> Placement:
    """The profile for a checkpoint folder; `dtype` None lets the memory decide. `free_bytes` of memory, else looked up.

    Raises ConfigError where no profile fits.
    """
    stored = _look(folder, variant)
    free_bytes = free_memory(device) if free_bytes is None else free_bytes
    usual = torch.float32 if device.type == "cpu" and not stored.kinds else torch.bfloat16
    wanted = dtype or usual
    if stored.numbers * wanted.itemsize * CLEARLY <= free_bytes:
        return Placement(profile="none", dtype=wanted)
    from inkwash.engine.memory import Forecaster, ForecastInput, Sizes  # only what may not fit is forecast

    usable = int(USABLE * free_bytes)
    sizes = Sizes.of_folder(folder)
    side = min(SIDE, sizes.vae.sample_size // 32 * 32)
    work = ForecastInput(height=side, width=side)
    if device.type != "cpu":
        return _on_accelerator(Forecaster(sizes, work, dtype=wanted, device=device), stored, quantize, usable)
    if not stored.kinds:
        made = Forecaster(sizes, work, dtype=wanted, device=device).forecast("none", quantize)
        if made.peak <= usable:
            return Placement(profile="none", dtype=wanted)
        if quantize:
            made = Forecaster(sizes, work, dtype=wanted, device=device).forecast("stage", quantize)
            return _fitting(made, usable, "stage", wanted)
    if dtype is not None and dtype != stored.dtype:
        raise ConfigError(
            f"{folder} does not fit into {free_bytes / GB:.1f} GB in {_name(dtype)}, and they are mapped as they are "
            f"stored only: leave --dtype out or choose {_name(stored.dtype)}."
        )
    return _mapped(folder, Forecaster(sizes, work, dtype=stored.dtype, device=device), stored, usable)


def _mapped(folder: Path, forecaster: Forecaster, stored: _Stored, usable: int) -> Placement:
    """Weights stay in the files; refused where drawing a token would read them from the disk."""
    packed, plain = (forecaster.mapped(stored.kinds, packs=packs) for packs in (True, False))
    generator, decoder = stored.read["ar"], stored.read["decoder"]
    packs = packed.peak + (0 if stored.kinds else decoder) <= usable
    made = packed if packs else plain
    needed = made.peak + (0 if packs and not stored.kinds else generator)
    if needed > usable:
        advice = "" if "ar" in stored.kinds else " `inkwash convert` makes a folder that takes a third of it."
        raise ConfigError(
            f"{folder} does not fit: its AR generator reads {generator / GB:.1f} GB for every token and drawing takes "
            f"{made.peak / GB:.1f} GB beside it, but {usable / GB:.1f} GB are free.{advice}"
        )
    note = f"Weights stay in their files (--offload map): {made.peak / GB:.1f} GB of memory of its own"
    if made.peak + decoder > usable:
        note += (
            f"; {decoder / GB:.1f} GB of the decoder do not fit beside that and are read from the disk in every step"
        )
    return Placement(profile="map", dtype=stored.dtype, packs=packs, note=f"{note}.")


def _on_accelerator(
    forecaster: Forecaster, stored: _Stored, quantize: Mapping[str, str] | None, usable: int
) -> Placement:
    kinds = {**stored.kinds, **(quantize or {})}
    profiles: list[Profile] = ["none"] if stored.kinds else ["none", "stage"]
    if not stored.kinds and "decoder" not in kinds:
        profiles.append("block")
    costs = {
        "stage": "generator and decoder take turns, which costs a copy of each for every picture",
        "block": "the decoder's blocks come one by one, which costs a copy of each in every step",
    }
    for profile in profiles:
        made = forecaster.forecast(profile, kinds)
        if made.peak <= usable:
            note = (
                None if profile == "none" else f"{costs[profile][0].upper()}{costs[profile][1:]} (--offload {profile})."
            )
            return Placement(profile=profile, dtype=forecaster.dtype, note=note)
    return _fitting(forecaster.forecast(profiles[-1], kinds), usable, profiles[-1], forecaster.dtype)


def _fitting(made: Forecast, usable: int, profile: Profile, dtype: torch.dtype) -> Placement:
    if made.peak <= usable:
        return Placement(profile=profile, dtype=dtype, note=f"--offload {profile}: {made.peak / GB:.1f} GB at most.")
    raise ConfigError(
        f"The model does not fit: {made.peak / GB:.1f} GB are needed with --offload {profile} and {usable / GB:.1f} GB "
        "are free. `inkwash convert` makes a smaller folder; `inkwash doctor --plan` lists the choices."
    )


def _look(folder: Path, variant: str | None) -> _Stored:
    """From the headers alone."""
    parts = {name: read_stored(folder / name, variant) for name in PARTS}
    kinds = {}
    for stage, name in FOLDERS.items():
        if found := {KINDS[entry.dtype] for entry in parts[name].values() if entry.aside is not None}:
            kinds[stage] = found.pop()
    entries = [entry for part in parts.values() for entry in part.values()]
    plain = [entry for entry in entries if entry.dtype in FLOATS]
    types = {kind: sum(math.prod(entry.shape) for entry in plain if entry.dtype == kind) for kind in FLOATS}
    read = {
        stage: sum(_bytes(entry) for key, entry in parts[name].items() if not key.startswith(ONCE))
        for stage, name in FOLDERS.items()
    }
    return _Stored(
        numbers=sum(math.prod(entry.shape) for entry in entries),
        read=read,
        kinds=kinds,
        dtype=FLOATS[max(types, key=lambda kind: types[kind])],
    )


def _bytes(entry: StoredTensor) -> int:
    if entry.aside is not None:
        return math.prod(entry.shape) // (2 if KINDS[entry.dtype] == "int4" else 1) + 2 * math.prod(entry.aside.shape)
    return math.prod(entry.shape) * (FLOATS[entry.dtype].itemsize if entry.dtype in FLOATS else 1)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


VISION = ("model.visual.", "model.vqmodel.")  # of the AR generator's folder, what only reference pictures need
HEAD = "lm_head.weight"  # says where the AR generator is, and in which number type


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """From which folder the parts of a pipeline are loaded, and how.

    `dtypes` are the number types of part folders that have another one than `dtype`, `quantize` what stages are rounded
    to.
    """

    folder: Path
    dtype: torch.dtype
    dtypes: Mapping[str, torch.dtype]
    quantize: Mapping[str, str]
    variant: str | None
    offload: Profile


def stated_kinds(folder: Path) -> dict[str, str]:
    """How the stages that are stored rounded are stored."""
    found = {stage: stated_kind(folder / name) for stage, name in FOLDERS.items()}
    return {stage: kind for stage, kind in found.items() if kind is not None}


def load_parts(plan: LoadPlan, device: torch.device) -> tuple[GlmImageParts, Residency | None]:
    """The parts of a checkpoint, and who brings their weights; None when all of them are there for good."""
    folder, kinds, offload, variant = plan.folder, plan.quantize, plan.offload, plan.variant
    stated = stated_kinds(folder)
    _check_choices(folder, stated, kinds, offload, device)
    numbers = {stage: plan.dtypes.get(name, plan.dtype) for stage, name in FOLDERS.items()}
    rounders = {stage: rounder(stage, kind, device, numbers[stage]) for stage, kind in kinds.items()}
    mapped = [stage for stage in FOLDERS if stage in stated or offload == "map"]
    brought = [stage for stage in FOLDERS if (offload not in ("none", "map") or stage in kinds) and stage not in mapped]
    deferred = [FOLDERS[stage] for stage in (*brought, *mapped)]
    parts = load_pipeline_parts(
        folder, dtype=plan.dtype, device=device, deferred=deferred, variant=variant, dtypes=plan.dtypes
    )
    for stage in mapped:
        fill_mapped(
            _network(parts, stage),
            StoredTensors(folder / FOLDERS[stage], variant),
            numbers[stage],
            device,
            layer_of=faster_layer if stage == "decoder" else QuantizedLinear,  # a generator's rows are not rounded
        )
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


def _check_choices(
    folder: Path, stated: Mapping[str, str], kinds: Mapping[str, str], offload: str, device: torch.device
) -> None:
    """Refuse what does not go together: how each stage's folder is stored, and what it is to be rounded to."""
    if offload not in PROFILES:
        raise ConfigError(f"The offload profile is {offload!r}, but must be one of auto, {', '.join(PROFILES)}.")
    if offload == "block" and "decoder" in kinds:
        raise RequestError(
            "The offload profile 'block' streams the decoder's blocks as they are stored: choose 'stage' for a "
            "quantized decoder.",
            param="offload",
        )
    for stage, kind in stated.items():
        if stage in kinds:
            raise RequestError(
                f"{folder / FOLDERS[stage]} is stored in {kind} already, so it cannot be quantized to {kinds[stage]}: "
                "leave quantize out, or load the original.",
                param="quantize",
            )
    if device.type != "cpu" and offload == "map":
        raise RequestError("The offload profile 'map' is for a CPU: choose stage or block.", param="offload")
    if device.type != "cpu" and stated and offload != "none":  # an accelerator holds it whole
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
