"""LoRA adapters on disk or on a hub, in the formats of PEFT, diffusers and kohya, looked at without loading torch.

An adapter is a PEFT folder (`adapter_config.json`, `adapter_model.safetensors`), a folder with one of those for each
network of a checkpoint under the checkpoint's own names (`vision_language_encoder/`, `transformer/`, `text_encoder/`),
or a single safetensors file as diffusers and kohya's scripts write it, alone or in a folder. Only what can be merged
into matrices is taken: every setting that could change what an adapter computes is at its default, or refused by name.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from inkwash.core import env
from inkwash.core.errors import WeightsError
from inkwash.core.limits import MAX_ADAPTER_WEIGHT
from inkwash.models import hub
from inkwash.models.tensor_files import read_json, reason

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
DIFFUSERS_FILE = "pytorch_lora_weights.safetensors"
DIFFUSERS_SETTINGS = "lora_adapter_metadata"  # in the head of a diffusers file: PEFT settings, by network
NETWORKS = ("vision_language_encoder", "transformer", "text_encoder")
UNSAFE = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
_EXPECTED = (
    f"expected a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, such folders named as the networks, "
    f"a {DIFFUSERS_FILE}, another safetensors file, or a hub repository written as owner/name"
)
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

# Settings of PEFT that say where an adapter came from or how it was trained, and nothing about what it computes.
_SILENT = {
    "task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "target_modules", "exclude_modules", "lora_dropout", "layers_to_transform", "layers_pattern", "megatron_core",
    "loftq_config", "eva_config", "qalora_group_size", "ensure_weight_tying",
    "fan_in_fan_out",  # of layers that keep their weight the other way round: PEFT takes it as false for Linear ones
}  # fmt: skip
_READ = {"r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"}
_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")  # initialisations that leave the base weights alone
_PLAIN_PATTERN = re.compile(r"[\w.\\^$*+|()\[\]-]{1,300}")
_NESTED = re.compile(r"[*+)][*+]|\([^()]*[*+][^()]*\)[*+]")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How strongly an adapter acts; without a rank each matrix has its own, without alpha that is alpha, too."""

    rank: int | None = None
    alpha: float | None = None
    rslora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)

    def rank_of(self, module: str) -> int | None:
        """The rank that these settings promise for a matrix."""
        rank: int | None = _by_pattern(self.rank_pattern, module, self.rank)
        return rank

    def scale(self, module: str, rank: int, alpha: float | None = None) -> float:
        """alpha / rank of one matrix (rank-stabilised: over the rank's root); `alpha` is the file's own."""
        if alpha is None:
            alpha = _by_pattern(self.alpha_pattern, module, self.alpha)
        if alpha is None:
            return 1.0
        return alpha / math.sqrt(rank) if self.rslora else alpha / rank


@dataclass(frozen=True, kw_only=True)
class AdapterFile:
    """One file of matrices, and the settings of each network in it; None is for all that are not named."""

    path: Path
    settings: Mapping[str | None, Settings]
    network: str | None = None  # of all its matrices, where the folder says so

    def settings_of(self, network: str | None) -> Settings:
        return self.settings.get(network) or self.settings.get(None) or Settings()


def find_adapters(path: str | Path, weight_name: str | None = None) -> list[AdapterFile]:
    """The files of an adapter; `weight_name` chooses one of a folder's. A hub is asked where nothing lies here.

    Raises WeightsError.
    """
    path = _local(path, weight_name)
    if path.is_file():
        return [_single(path)]
    if weight_name is not None:
        if not (path / weight_name).is_file():
            raise WeightsError(f"The LoRA {path} holds no file {weight_name}: it has {_names(path)}.")
        return [_single(path / weight_name)]
    if (path / CONFIG_FILE).is_file():
        return [_peft(path, path.name if path.name in NETWORKS else None)]
    found = [_peft(path / name, name) for name in NETWORKS if (path / name / CONFIG_FILE).is_file()]
    if found:
        return found
    if (path / DIFFUSERS_FILE).is_file():
        return [_single(path / DIFFUSERS_FILE)]
    singles = sorted(path.glob("*.safetensors"))
    if len(singles) > 1:
        raise WeightsError(f"The LoRA {path} holds {len(singles)} files ({_names(path)}): name one of them.")
    if not singles:
        raise WeightsError(f"The LoRA {path} holds no adapter: {_EXPECTED}.")
    return [_single(singles[0])]


def folder_of_adapters(folder: Path) -> dict[str, Path]:
    """The adapters that lie beside each other in a folder, by their names; other files are passed over.

    Raises WeightsError for a folder that is not there or holds none.
    """
    if not folder.is_dir():
        raise WeightsError(f"There is no folder {os.fspath(folder)!r} of adapters.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not (path.is_dir() or path.suffix == ".safetensors"):
            continue
        try:
            find_adapters(path)
        except WeightsError:
            continue
        found.setdefault(path.name.removesuffix(".safetensors"), path)
    if not found:
        raise WeightsError(f"The folder {os.fspath(folder)!r} holds no adapters: {_EXPECTED}.")
    return found


def parse_choice(text: str) -> tuple[Path, float]:
    """`PATH` or `PATH:WEIGHT` as a user writes it on a command line; a hub's `owner/name` is a path, too."""
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
    if not -MAX_ADAPTER_WEIGHT <= weight <= MAX_ADAPTER_WEIGHT:
        allowed = f"{-MAX_ADAPTER_WEIGHT:g} to {MAX_ADAPTER_WEIGHT:g}"
        raise WeightsError(f"The LoRA weight {weight} must be a number from {allowed}: 1 is as it was trained.")


def read_settings(content: Mapping[str, Any], place: str) -> Settings:
    """PEFT's settings; whatever could change what an adapter computes, and is not read here, is refused."""
    kind = content.get("peft_type", "LORA")
    if kind != "LORA":
        raise WeightsError(f"{place} is of kind {kind!r}: only LORA adapters are read.")
    start = content.get("init_lora_weights")
    if not any(start is known or (isinstance(start, str) and start == known) for known in _STARTS):
        raise WeightsError(
            f"{place} sets init_lora_weights to {start!r}, which changed the weights it was trained on: convert it to "
            "a plain LoRA first (peft: save_pretrained with path_initial_model_for_weight_conversion)."
        )
    for key, value in content.items():
        if key in _SILENT | _READ or key == "init_lora_weights" or value in (None, False, "none", [], {}, ""):
            continue
        raise WeightsError(f"{place} sets {key}, which cannot be merged: train it without.")
    rank, alpha = content.get("r"), content.get("lora_alpha")
    if not _is_whole(rank) or not _is_number(alpha):
        raise WeightsError(f"{place} has r {rank!r} and lora_alpha {alpha!r}: both must be numbers.")
    assert rank is not None and alpha is not None
    return Settings(
        rank=rank,
        alpha=float(alpha),
        rslora=bool(content.get("use_rslora")),
        rank_pattern=_patterns(content, "rank_pattern", place),
        alpha_pattern=_patterns(content, "alpha_pattern", place),
    )


def _local(path: str | Path, weight_name: str | None) -> Path:
    """Where the adapter lies on this machine, fetched first where it must be."""
    place, text = Path(path).expanduser(), str(path)
    if place.exists():
        if place.is_file() and place.suffix in UNSAFE:
            raise WeightsError(f"The LoRA {path} can run code when opened: only safetensors files are read.")
        return place
    if not _REPOSITORY.fullmatch(text):
        raise WeightsError(f"The LoRA {path} does not exist: {_EXPECTED}.")
    if weight_name is not None:
        wanted: tuple[str, ...] = (weight_name,)
    else:
        both = (CONFIG_FILE, WEIGHTS_FILE)
        wanted = (*both, DIFFUSERS_FILE, *(f"{network}/{name}" for network in NETWORKS for name in both))
    try:
        folder = hub.fetch(text, patterns=wanted, hub=env.hub())
        if not any((folder / name).is_file() for name in wanted):
            folder = hub.fetch(text, patterns=("*.safetensors",), hub=env.hub())
    except WeightsError as error:
        raise WeightsError(f"There is no LoRA {path} in this folder. {error.message}") from error
    return folder


def _peft(folder: Path, network: str | None) -> AdapterFile:
    config = folder / CONFIG_FILE
    settings = read_settings({"peft_type": None, **read_json(config)}, str(config))
    if not (folder / WEIGHTS_FILE).is_file():
        raise WeightsError(f"{folder / WEIGHTS_FILE} is missing: copy the whole adapter folder.")
    return AdapterFile(path=folder / WEIGHTS_FILE, settings={None: settings}, network=network)


def _single(path: Path) -> AdapterFile:
    """A file that says in its own head, or in its tensors, how strongly it acts."""
    if path.name == WEIGHTS_FILE and (path.parent / CONFIG_FILE).is_file():
        return _peft(path.parent, path.parent.name if path.parent.name in NETWORKS else None)
    try:
        with safe_open(path, framework="np") as opened:
            stored = (opened.metadata() or {}).get(DIFFUSERS_SETTINGS)
        content = json.loads(stored) if stored else {}
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged or cut short ({reason(error)}): copy it again.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} is damaged: its settings are no JSON object.")
    by_network: dict[str | None, dict[str, Any]] = {}
    for key, value in content.items():
        network, dot, name = key.partition(".")
        owner = network if dot and network in NETWORKS else None
        by_network.setdefault(owner, {})[name if owner else key] = value
    return AdapterFile(
        path=path, settings={network: read_settings(entries, str(path)) for network, entries in by_network.items()}
    )


def _names(folder: Path) -> str:
    names = sorted(file.name for file in folder.glob("*.safetensors"))
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "") if names else "no safetensors files"


def _patterns(content: Mapping[str, Any], key: str, place: str) -> dict[str, Any]:
    """Regular expressions of the file's author: plain ones only, since some kinds take for ever."""
    found = content.get(key) or {}
    right = _is_whole if key == "rank_pattern" else _is_number
    if not isinstance(found, dict) or not all(right(value) for value in found.values()):
        raise WeightsError(f"{place} has {key} {found!r}: it must map names of matrices to numbers.")
    for pattern in found:
        if not _PLAIN_PATTERN.fullmatch(pattern) or _NESTED.search(pattern) or _unbounded(pattern) > 2:
            raise WeightsError(f"{place} has {key} {pattern[:80]!r}: name the matrices plainly.")
        try:
            re.compile(pattern)
        except re.error as error:
            raise WeightsError(f"{place} has {key} {pattern[:80]!r}, which is no pattern ({error}).") from error
    return dict(found)


def _unbounded(pattern: str) -> int:
    return pattern.count("*") + pattern.count("+")


def _by_pattern(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """As peft does: a pattern names the end of a module's name, at a dot."""
    for pattern, value in patterns.items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            return value
    return default


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
