"""The two halves of every matrix in a LoRA file, whichever library wrote it, checked before anything acts on them.

Merging (`engine.adapters`) and conversion (`models.lora_convert`) read files through this, so both take and refuse the
same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from inkwash.core.errors import WeightsError
from inkwash.models.lora import AdapterFile
from inkwash.models.lora_keys import Key, Part, split_key
from inkwash.models.tensor_files import reason
from inkwash.nn.finite import is_finite

COMPUTED = (torch.float32, torch.bfloat16, torch.float16, torch.float64)  # eight bits are widened
MatrixParts: TypeAlias = Mapping[Part, Tensor]


@dataclass(frozen=True, kw_only=True)
class MatrixName:
    """Where a matrix belongs as its file says it; None is left open, `flat` has underscores in place of dots."""

    network: str | None
    module: str
    flat: bool
    embedding: bool  # PEFT's own names of an embedding's matrices


@dataclass(frozen=True, kw_only=True)
class Halves:
    """scale * b @ a; alpha is the file's own, if it has one."""

    a: Tensor  # (rank, in)
    b: Tensor  # (out, rank)
    alpha: float | None

    @property
    def rank(self) -> int:
        return self.a.shape[0]


def read_parts(file: AdapterFile) -> dict[MatrixName, dict[Part, Tensor]]:
    """All tensors of a file by the matrix that they belong to; raises WeightsError for what is no plain LoRA."""
    try:
        tensors = load_file(file.path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{file.path} is damaged or cut short ({reason(error)}): copy it again.") from error
    keys: dict[str, Key] = {}
    for name in tensors:
        key = split_key(name)
        if key is None:
            raise WeightsError(f"{file.path} holds {name}, which is no LoRA matrix: only plain LoRA adapters are read.")
        keys[name] = key
    if not keys:
        raise WeightsError(f"{file.path} holds no LoRA matrices.")
    adapters = sorted({key.adapter for key in keys.values() if key.adapter is not None})
    if len(adapters) > 1:
        raise WeightsError(f"{file.path} holds {len(adapters)} adapters ({', '.join(adapters)}): save one alone.")
    found: dict[MatrixName, dict[Part, Tensor]] = {}
    for name, key in keys.items():
        parts = found.setdefault(_name(name, key, file), {})
        if key.part in parts:
            raise WeightsError(f"{file.path} holds {key.part} of {key.module} twice: save the adapter alone.")
        parts[key.part] = tensors[name]
    return found


def _name(name: str, key: Key, file: AdapterFile) -> MatrixName:
    embedding = "lora_embedding_" in name
    return MatrixName(network=file.network or key.network, module=key.module, flat=key.flat, embedding=embedding)


def halves_of(parts: MatrixParts, network: str, module: str, file: AdapterFile) -> Halves:
    """Both halves of one matrix of a network; raises WeightsError where they are not what the settings promise."""
    path, settings = file.path, file.settings_of(network)
    if not {"a", "b"} <= parts.keys():
        raise WeightsError(f"{path} has only one of the two matrices of {module}: copy it again.")
    halves = Halves(
        a=_matrix(parts["a"], module, path), b=_matrix(parts["b"], module, path), alpha=_alpha(parts, module, path)
    )
    if halves.rank != halves.b.shape[1] or halves.rank == 0:
        raise WeightsError(f"{path} has matrices of rank {halves.rank} and {halves.b.shape[1]} for {module}.")
    promised = settings.rank_of(module)
    if promised is not None and halves.rank != promised:
        raise WeightsError(f"{path} has matrices of rank {halves.rank} for {module}, but its settings say {promised}.")
    return halves


def _matrix(tensor: Tensor, module: str, path: Path) -> Tensor:
    """A matrix that can be computed with; a 1x1 convolution's kernel (out, in, 1, 1) is one, too."""
    if not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise WeightsError(f"{path} holds {kind} numbers in {module}: save it in a floating-point type.")
    if tensor.ndim < 2 or any(size != 1 for size in tensor.shape[2:]):
        raise WeightsError(f"{path} holds a tensor {tuple(tensor.shape)} for {module}: only matrices can be merged.")
    matrix = tensor.reshape(tensor.shape[:2])
    return _finite(matrix if matrix.dtype in COMPUTED else matrix.float(), module, path)


def _alpha(parts: MatrixParts, module: str, path: Path) -> float | None:
    if "alpha" not in parts:
        return None
    if parts["alpha"].numel() != 1:
        raise WeightsError(f"{path} holds {parts['alpha'].numel()} numbers as the alpha of {module}: it must be one.")
    return float(_finite(parts["alpha"].float(), module, path))


def _finite(values: Tensor, module: str, path: Path) -> Tensor:
    if not is_finite(values):
        raise WeightsError(f"{path} holds NaN or infinity in {module}: train it again.")
    return values
