"""Which offload profile a checkpoint is loaded under, by the memory there is: what `offload="auto"` means.

    choose(folder, device=torch.device("cpu"), dtype=None)
    # Placement(profile="map", dtype=torch.bfloat16, packs=True, note="...")

A small checkpoint is held whole without a further look. For a large one memory is forecast (`engine.memory`) before
anything is loaded: on a CPU weights are mapped where they do not fit, on an accelerator they come stage by stage or
block by block. What cannot fit is refused in one sentence that says what would.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from inkwash.core.device import free_memory
from inkwash.core.errors import ConfigError
from inkwash.engine.memory import Forecast, Forecaster, ForecastInput, Sizes
from inkwash.engine.offload import Profile
from inkwash.models.quantized_files import KINDS
from inkwash.models.tensor_files import StoredTensor
from inkwash.models.weights import FLOATS, read_stored

STAGES = {"ar": "vision_language_encoder", "decoder": "transformer"}
PARTS = (*STAGES.values(), "vae", "text_encoder")
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
    room: int | None = None,
) -> Placement:
    """The profile for a checkpoint folder; `dtype` None lets the memory decide. `room`: free bytes, else looked up.

    Raises ConfigError where no profile fits.
    """
    stored = _look(folder, variant)
    room = free_memory(device) if room is None else room
    usual = torch.float32 if device.type == "cpu" and not stored.kinds else torch.bfloat16
    wanted = dtype or usual
    if stored.numbers * wanted.itemsize * CLEARLY <= room:
        return Placement(profile="none", dtype=wanted)
    usable = int(USABLE * room)
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
            f"{folder} does not fit into {room / GB:.1f} GB in {_name(dtype)}, and they are mapped as they are stored "
            f"only: leave --dtype out or choose {_name(stored.dtype)}."
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
    for stage, name in STAGES.items():
        if found := {KINDS[entry.dtype] for entry in parts[name].values() if entry.aside is not None}:
            kinds[stage] = found.pop()
    entries = [entry for part in parts.values() for entry in part.values()]
    plain = [entry for entry in entries if entry.dtype in FLOATS]
    types = {kind: sum(math.prod(entry.shape) for entry in plain if entry.dtype == kind) for kind in FLOATS}
    read = {
        stage: sum(_bytes(entry) for key, entry in parts[name].items() if not key.startswith(ONCE))
        for stage, name in STAGES.items()
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
