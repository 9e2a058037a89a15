"""LoRA files from each of three formats to each other: PEFT, diffusers, kohya. The same numbers under other names.

    convert_adapter("style.safetensors", Path("style"), to="peft")

Both matrices and alpha / rank stay as they are, so that an adapter adds the same. A rank or alpha that not all matrices
of a network share becomes a pattern of PEFT's settings. The rank-stabilised scale becomes an alpha (rounded once).
kohya's names have underscores in place of dots: which is which is known from the shipped model, whose networks have the
architecture of every size.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from inkwash.core.errors import ConfigError, WeightsError
from inkwash.core.files import write_json
from inkwash.models.lora import (
    CONFIG_FILE,
    DIFFUSERS_FILE,
    DIFFUSERS_SETTINGS,
    NETWORKS,
    WEIGHTS_FILE,
    AdapterFile,
    find_adapters,
)
from inkwash.models.lora_keys import FLAT, PEFT
from inkwash.models.lora_matrices import MatrixParts, halves_of, read_parts
from inkwash.models.registry import bundled_folder
from inkwash.models.tensor_files import read_headers, reason

Format: TypeAlias = Literal["peft", "diffusers", "kohya"]
FORMATS: tuple[Format, ...] = get_args(Format)
FLAT_PREFIX = {network: prefix for prefix, network in reversed(FLAT.items())}  # the first of each network
_NUMBER = re.compile(r"(?<![A-Za-z0-9])\d+(?![A-Za-z0-9])")


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """What an adapter adds to one matrix: alpha / rank * b @ a, turned for an embedding."""

    a: Tensor  # (rank, in)
    b: Tensor  # (out, rank)
    alpha: float
    embedding: bool = False

    @property
    def rank(self) -> int:
        return self.a.shape[0]


Adapter: TypeAlias = dict[str, dict[str, Matrix]]  # network -> name of the matrix -> what is added


def convert_adapter(
    source: str | Path, target: Path, *, to: Format, dtype: torch.dtype | None = None, weight_name: str | None = None
) -> list[Path]:
    """Write an adapter in another format; returns the files.

    `peft` writes a folder of adapters by network, `diffusers` and `kohya` one file; a target that is no
    .safetensors file is the folder for it. Raises WeightsError for a source that is no plain LoRA, ConfigError for
    what the format cannot say.
    """
    if to not in FORMATS:
        raise ConfigError(f"The format is {to!r}, but must be one of {', '.join(FORMATS)}.")
    adapter = read_adapter(source, weight_name)
    if dtype is not None:
        adapter = {
            network: {name: replace(one, a=one.a.to(dtype), b=one.b.to(dtype)) for name, one in matrices.items()}
            for network, matrices in adapter.items()
        }
    try:
        if to == "peft":
            return [file for network, matrices in adapter.items() for file in _write_peft(matrices, target / network)]
        file = target if target.suffix == ".safetensors" else target / DIFFUSERS_FILE
        return [_write_diffusers(adapter, file) if to == "diffusers" else _write_kohya(adapter, file)]
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"The adapter could not be written to {target} ({reason(error)}): check free space and permissions."
        ) from error


def read_adapter(source: str | Path, weight_name: str | None = None) -> Adapter:
    """An adapter of any format; its networks are told by the names of its matrices where a file does not say them."""
    adapter: Adapter = {}
    for file in find_adapters(source, weight_name):
        for place, parts in read_parts(file).items():
            module = _dotted(place.network, place.module, file.path) if place.flat else place.module
            network = place.network or _owner(module, file.path)
            if module in adapter.setdefault(network, {}):
                raise WeightsError(f"{file.path} holds {module} of {network} twice: save the adapter alone.")
            adapter[network][module] = _matrix(file, network, module, parts, place.embedding)
    if not adapter:
        raise WeightsError(f"{source} holds no LoRA matrices.")
    return adapter


def _matrix(file: AdapterFile, network: str, module: str, parts: MatrixParts, embedding: bool) -> Matrix:
    halves, settings = halves_of(parts, network, module, file), file.settings_of(network)
    scale = settings.scale(module, halves.rank, halves.alpha)
    if settings.rslora or (halves.alpha is None and settings.alpha is None):
        alpha = scale * halves.rank
    else:
        alpha = halves.alpha if halves.alpha is not None else round(scale * halves.rank, 9)
    return Matrix(a=halves.a, b=halves.b, alpha=alpha, embedding=embedding)


def _write_peft(matrices: Mapping[str, Matrix], folder: Path) -> list[Path]:
    """A folder that peft and `find_adapters` read."""
    tensors: dict[str, Tensor] = {}
    for name, one in matrices.items():
        if one.embedding:
            halves = {f"{PEFT}{name}.lora_embedding_A": one.a, f"{PEFT}{name}.lora_embedding_B": one.b}
        else:
            halves = {f"{PEFT}{name}.lora_A.weight": one.a, f"{PEFT}{name}.lora_B.weight": one.b}
        tensors |= halves
    folder.mkdir(parents=True, exist_ok=True)
    _write(tensors, folder / WEIGHTS_FILE, {"format": "pt"})
    config = {"peft_type": "LORA", "task_type": None, "bias": "none", "inference_mode": True, **_settings(matrices)}
    write_json(folder / CONFIG_FILE, config)
    return [folder / WEIGHTS_FILE, folder / CONFIG_FILE]


def _write_diffusers(adapter: Adapter, file: Path) -> Path:
    """One file with PEFT's settings of each network in its head."""
    _refuse_embeddings(adapter, "diffusers")
    tensors = {
        f"{network}.{name}.{half}.weight": tensor
        for network, matrices in adapter.items()
        for name, one in matrices.items()
        for half, tensor in (("lora_A", one.a), ("lora_B", one.b))
    }
    settings = {
        f"{network}.{key}": value for network, matrices in adapter.items() for key, value in _settings(matrices).items()
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    return _write(tensors, file, {DIFFUSERS_SETTINGS: json.dumps(settings)})


def _write_kohya(adapter: Adapter, file: Path) -> Path:
    """One file with flat names and an alpha for each matrix."""
    _refuse_embeddings(adapter, "kohya")
    unnamed = [network for network in adapter if network not in FLAT_PREFIX]
    if unnamed:
        raise ConfigError(
            f"kohya's format has no names for the matrices of {', '.join(unnamed)}: convert to peft or diffusers, or "
            "the transformer alone (of an adapter that was trained here, the folder of that name in it)."
        )
    tensors: dict[str, Tensor] = {}
    for network, matrices in adapter.items():
        for name, one in matrices.items():
            flat = FLAT_PREFIX[network] + name.replace(".", "_")
            tensors |= {f"{flat}.lora_down.weight": one.a, f"{flat}.lora_up.weight": one.b}
            tensors[f"{flat}.alpha"] = torch.tensor(one.alpha)
    ranks = {str(one.rank) for matrices in adapter.values() for one in matrices.values()}
    alphas = {f"{one.alpha:g}" for matrices in adapter.values() for one in matrices.values()}
    metadata = {"ss_network_module": "networks.lora"}
    metadata |= {"ss_network_dim": next(iter(ranks))} if len(ranks) == 1 else {}
    metadata |= {"ss_network_alpha": next(iter(alphas))} if len(alphas) == 1 else {}
    file.parent.mkdir(parents=True, exist_ok=True)
    return _write(tensors, file, {"ss": json.dumps(metadata)})


def _settings(matrices: Mapping[str, Matrix]) -> dict[str, Any]:
    """PEFT's settings: the commonest rank and alpha, and patterns for the matrices that have others."""
    rank = Counter(one.rank for one in matrices.values()).most_common(1)[0][0]
    alpha = Counter(one.alpha for one in matrices.values()).most_common(1)[0][0]
    return {
        "r": rank,
        "lora_alpha": _plain(alpha),
        "rank_pattern": {name: one.rank for name, one in matrices.items() if one.rank != rank},
        "alpha_pattern": {name: _plain(one.alpha) for name, one in matrices.items() if one.alpha != alpha},
        "use_rslora": False,
        "target_modules": sorted(matrices),
    }


def _plain(value: float) -> float | int:
    return int(value) if math.isfinite(value) and value == int(value) else value


def _refuse_embeddings(adapter: Adapter, to: Format) -> None:
    found = [name for matrices in adapter.values() for name, one in matrices.items() if one.embedding]
    if found:
        raise ConfigError(f"The format {to} has no embeddings, but the adapter changes {found[0]}: convert to peft.")


def _write(tensors: Mapping[str, Tensor], file: Path, head: dict[str, str]) -> Path:
    """Whole or not at all. One entry of a head: of several the library writes the order by chance."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata=head)
        partial.chmod(0o644)
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
    return file


def _owner(module: str, path: Path) -> str:
    """The network that has such a matrix, in a checkpoint of any size."""
    shape = _NUMBER.sub("0", module)
    owners = [network for network in NETWORKS if shape in _shapes(network)]
    if not owners:
        raise WeightsError(f"{path} is for another model: no network of this family has {module}.")
    return owners[0]


def _dotted(network: str | None, flat: str, path: Path) -> str:
    """transformer_blocks_12_attn1_to_q -> transformer_blocks.12.attn1.to_q"""
    for pattern, shape in _flat_patterns(network or "").items():
        found = re.fullmatch(pattern, flat)
        if found is not None:
            pieces = _NUMBER.split(shape)
            return "".join(f"{piece}{number}" for piece, number in zip(pieces, [*found.groups(), ""], strict=True))
    raise WeightsError(f"{path} is for another model: no matrix of {network} is called {flat}.")


@cache
def _shapes(network: str) -> frozenset[str]:
    """Names of a network's matrices with 0 for every number that stands alone, from the shipped model's files."""
    headers = read_headers(bundled_folder("nano") / network)
    names = [name.removesuffix(".weight") for name, one in headers.items() if len(one.shape) == 2]
    return frozenset(_NUMBER.sub("0", name) for name in names)


@cache
def _flat_patterns(network: str) -> dict[str, str]:
    """Patterns of flat names, and the dotted names they stand for; numbers are groups."""
    if network not in NETWORKS:
        return {}
    return {
        "_".join(r"(\d+)" if piece == "0" else re.escape(piece) for piece in shape.replace(".", "_").split("_")): shape
        for shape in _shapes(network)
    }
