"""LoRA adapters on disk: folders in the PEFT file format, looked at without loading torch.

An adapter is a folder with `adapter_config.json` and `adapter_model.safetensors`. A folder may hold one, or one for
each network of a checkpoint under the checkpoint's own names (`vision_language_encoder/`, `transformer/`,
`text_encoder/`). Only what can be merged into matrices is taken; anything else is refused by name.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inkwash.core.errors import WeightsError
from inkwash.models.tensor_files import read_json

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
NETWORKS = ("vision_language_encoder", "transformer", "text_encoder")
_EXPECTED = f"expected a LoRA folder with {CONFIG_FILE} and {WEIGHTS_FILE}, or such folders named as the networks"
# Settings that change what an adapter computes in ways that adding a product to a matrix cannot express.
_PLAIN = {"use_dora": False, "bias": "none", "modules_to_save": None, "use_qalora": False, "lora_bias": False}


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """Where an adapter lies and how strongly it acts."""

    folder: Path
    rank: int
    alpha: float
    rslora: bool = False
    transposed: bool = False
    rank_pattern: dict[str, int] = field(default_factory=dict)
    alpha_pattern: dict[str, float] = field(default_factory=dict)

    def scale(self, module: str) -> float:
        """alpha / rank of one matrix (rank-stabilised: over the rank's root), patterns included."""
        rank = _by_pattern(self.rank_pattern, module, self.rank)
        alpha = _by_pattern(self.alpha_pattern, module, self.alpha)
        return alpha / math.sqrt(rank) if self.rslora else alpha / rank


def find_adapters(path: Path) -> dict[str | None, AdapterConfig]:
    """The adapters of a folder by network; None is one that does not say for which. Raises WeightsError."""
    if not path.is_dir():
        said = "is a file" if path.exists() else "does not exist"
        raise WeightsError(f"The LoRA {path} {said}: {_EXPECTED}.")
    if (path / CONFIG_FILE).is_file():
        return {path.name if path.name in NETWORKS else None: read_config(path)}
    found: dict[str | None, AdapterConfig] = {
        name: read_config(path / name) for name in NETWORKS if (path / name / CONFIG_FILE).is_file()
    }
    if not found:
        raise WeightsError(f"The LoRA {path} holds no adapter: {_EXPECTED}.")
    return found


def read_config(folder: Path) -> AdapterConfig:
    """One adapter's settings; what this engine cannot merge is refused here."""
    content: dict[str, Any] = read_json(folder / CONFIG_FILE)
    kind = content.get("peft_type")
    if kind != "LORA":
        raise WeightsError(f"{folder / CONFIG_FILE} is of kind {kind!r}: only LORA adapters are read.")
    for key, plain in _PLAIN.items():
        if content.get(key, plain) not in (plain, None, []):
            raise WeightsError(f"{folder / CONFIG_FILE} sets {key}, which cannot be merged: train it without.")
    if not (folder / WEIGHTS_FILE).is_file():
        raise WeightsError(f"{folder / WEIGHTS_FILE} is missing: copy the whole adapter folder.")
    rank, alpha = content.get("r"), content.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise WeightsError(f"{folder / CONFIG_FILE} has r {rank!r} and lora_alpha {alpha!r}: both must be numbers.")
    return AdapterConfig(
        folder=folder,
        rank=rank,
        alpha=float(alpha),
        rslora=bool(content.get("use_rslora")),
        transposed=bool(content.get("fan_in_fan_out")),
        rank_pattern=content.get("rank_pattern") or {},
        alpha_pattern=content.get("alpha_pattern") or {},
    )


def parse_choice(text: str) -> tuple[Path, float]:
    """``PATH`` or ``PATH:WEIGHT`` as a user writes it on a command line."""
    path, colon, weight = text.rpartition(":")
    if not colon or not path:
        return Path(text), 1.0
    try:
        value = float(weight)
    except ValueError:
        return Path(text), 1.0
    check_weight(value)
    return Path(path), value


def check_weight(weight: float) -> None:
    """Raise WeightsError for a weight outside of what makes sense."""
    if not -10.0 <= weight <= 10.0:
        raise WeightsError(f"The LoRA weight {weight} must be a number from -10 to 10: 1 is as it was trained.")


def _by_pattern(patterns: dict[str, Any], module: str, default: Any) -> Any:
    """As peft does: a pattern names the end of a module's name, at a dot."""
    for pattern, value in patterns.items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            return value
    return default
