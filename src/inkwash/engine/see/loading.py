"""A checkpoint that sees, read tensor by tensor: cut for this process's share of it, rounded to fewer bits, or both.

Each tensor is cut and rounded before the next one is read, so that loading peaks at what stays and one tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from inkwash.core.errors import ConfigError
from inkwash.engine.mapped import fill_mapped
from inkwash.engine.quantize import round_arrived
from inkwash.engine.ranks.group import RankGroup
from inkwash.engine.ranks.shares import FP32, Adder, Cut, check_world, fill_share, share_decoder
from inkwash.engine.ranks.text import ALL, KEY, CurrentGroup, SharedText, TextSpec
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.weights import GlmVParts, load_glm_v, load_model, read_config
from inkwash.models.weights import StoredTensors


def load_vision_model(
    folder: Path,
    *,
    dtype: torch.dtype,
    device: torch.device,
    quantize: str | None = None,
    variant: str | None = None,
    ranks: Adder | None = None,
) -> GlmVParts:
    """The parts of a checkpoint folder; `ranks`: of the decoder only this process's share.

    Raises WeightsError for a damaged folder, ConfigError where the processes do not divide the network or this device
    cannot round.
    """
    stored = StoredTensors(folder, variant)
    if stored.kinds and (quantize is not None or ranks is not None):
        raise ConfigError(
            f"{folder} is stored in {', '.join(sorted(stored.kinds))}: it is neither rounded again nor shared out; "
            "leave quantize out and start one process, or load the original."
        )
    if stored.kinds:
        return _mapped(folder, stored, dtype=dtype, device=device, variant=variant)
    if quantize is None and ranks is None:
        return load_glm_v(folder, dtype=dtype, device=device, variant=variant)
    parts = load_glm_v(folder, dtype=dtype, device=device, fill=False, variant=variant)
    cuts = {} if ranks is None else share_decoder(parts.model.model.language_model, ranks)
    tied = parts.model.config.tie_word_embeddings
    rounding = round_arrived(parts.model, "see", quantize, device, dtype)

    def arrived(name: str) -> None:
        if rounding is not None and not (tied and name == "lm_head"):
            rounding(name)

    fill(parts.model, stored, device=device, dtype=dtype, cuts=cuts, arrived=arrived)
    return parts


def load_shared_vision(
    folder: Path,
    *,
    dtype: torch.dtype,
    device: torch.device,
    world: int,
    quantize: str | None = None,
    variant: str | None = None,
) -> tuple[GlmVParts, SharedText]:
    """Start the ranks of a group and load a checkpoint over them; the first rank's parts, and its decoder.

    Raises ConfigError where so many devices do not divide the model or are not there.
    """
    check_world(read_config(folder).text_config, world)
    group = RankGroup(world, device)
    try:
        ranks = CurrentGroup(group, KEY, ALL)
        spec = TextSpec(
            folder=folder,
            build=partial(load_model, fill=False, variant=variant),
            dtype=dtype,
            quantize=quantize,
            variant=variant,
        )
        make = partial(
            load_vision_model,
            folder,
            dtype=dtype,
            device=group.device,
            quantize=quantize,
            variant=variant,
            ranks=ranks,
        )
        parts = group.load(KEY, spec, make)
    except BaseException:
        group.close()
        raise
    return parts, SharedText(group, parts.model)


def _mapped(
    folder: Path, stored: StoredTensors, *, dtype: torch.dtype, device: torch.device, variant: str | None
) -> GlmVParts:
    """A quantised folder as views of its files; the routers' corrections stay as they are stored."""
    parts = load_glm_v(folder, dtype=dtype, device=device, fill=False, variant=variant)
    fill_mapped(parts.model, stored, dtype, device, kept=lambda name: name.endswith(FP32))
    if parts.model.config.tie_word_embeddings:
        parts.model.lm_head.weight = parts.model.model.language_model.embed_tokens.weight
    parts.model.requires_grad_(False).eval()
    return parts


def fill(
    model: GlmV,
    stored: StoredTensors,
    *,
    device: torch.device,
    dtype: torch.dtype,
    cuts: Mapping[str, Cut],
    arrived: Callable[[str], None],
) -> None:
    """Give every tensor of a network its value; `arrived` is told each module whose weight is there."""
    names = [*model.state_dict(keep_vars=True)]
    if model.config.tie_word_embeddings:
        names.remove("lm_head.weight")
    fill_share(model, stored, names, cuts, device=device, dtype=dtype, arrived=arrived)
    if model.config.tie_word_embeddings:
        model.lm_head.weight = model.model.language_model.embed_tokens.weight
    model.requires_grad_(False).eval()
    left = [name for name, tensor in model.state_dict(keep_vars=True).items() if tensor.is_meta]
    assert not left, f"not filled: {left[:3]}"
