"""LoRA through the `peft` library, applied to a network from outside; the networks know nothing of it.

`add_lora` wraps the matrices of a part, `save_adapter` writes the two files that `peft` itself loads
(`adapter_config.json`, `adapter_model.safetensors`) under the released parameter names, `join_for_diffusers` the one
that `diffusers` loads. LoRA: arXiv:2106.09685.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from inkwash.core.errors import InkwashError, MissingExtraError
from inkwash.core.files import atomic_path, staging_folder
from inkwash.models.lora import CONFIG_FILE, DIFFUSERS_FILE, DIFFUSERS_SETTINGS, NETWORKS, WEIGHTS_FILE
from inkwash.models.lora_keys import PEFT

# Matrices of the blocks and what leads in and out of them; the ViT, the codebook and the embedding table stay.
TARGETS = {
    "vision_language_encoder": (
        r"(model\.language_model\.layers\..*\.(q_proj|k_proj|v_proj|o_proj|gate_up_proj|down_proj)|lm_head)"
    ),
    "transformer": (
        r"(transformer_blocks\..*\.(to_q|to_k|to_v|to_out\.0|ff\.net\.0\.proj|ff\.net\.2)"
        r"|prior_projector\.net\.(0\.proj|2)|glyph_projector\.net\.(0\.proj|2)|proj_out)"
    ),
    # of a mixture of experts the dense layers and the shared experts; the routed ones and their router stay
    "glm_v": (
        r"(model\.language_model\.layers\.\d+\.(self_attn\.(q_proj|k_proj|v_proj|o_proj)"
        r"|mlp\.(shared_experts\.)?(gate_up_proj|gate_proj|up_proj|down_proj))|lm_head)"
    ),
}
# a head that is the embedding table stays with it
TARGETS["glm_v_tied"] = TARGETS["glm_v"].replace("|lm_head", "")


@dataclass(frozen=True, kw_only=True)
class LoRA:
    """The adapter's size. `alpha` / `rank` scales what it adds; `dropout` acts on its input while training."""

    rank: int = 16
    alpha: float = 16.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, got {self.rank}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be from 0 to below 1, got {self.dropout}")


def add_lora(network: nn.Module, part: str, config: LoRA) -> nn.Module:
    """The network with adapters in its matrices (a `peft.PeftModel`); only they have gradients afterwards."""
    with _quiet(), without_config(network):
        peft = _peft()
        settings = peft.LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            target_modules=TARGETS[part],
        )
        wrapped: nn.Module = peft.get_peft_model(network, settings)
    wrapped.config = network.config
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # master weights, whatever the network is stored in
    return wrapped


class AdapterState(nn.Module):
    """What a run has to save of a wrapped network: its adapter, not the frozen gigabytes around it."""

    def __init__(self, wrapped: nn.Module) -> None:
        super().__init__()
        self._trained = {name: p for name, p in wrapped.named_parameters() if p.requires_grad}

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The adapter's tensors by name."""
        return {name: parameter.detach() for name, parameter in self._trained.items()}

    @torch.no_grad()
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Copy tensors back; every name must be there."""
        if state_dict.keys() != self._trained.keys():
            raise InkwashError("The saved adapter has other matrices than this one: start in a new work folder.")
        for name, parameter in self._trained.items():
            if parameter.shape != state_dict[name].shape:
                raise InkwashError("The saved adapter has another rank than this one: start in a new work folder.")
            parameter.copy_(state_dict[name])


def save_adapter(wrapped: nn.Module, folder: Path, *, base: str) -> Path:
    """Write the adapter in the PEFT file format, whole or not at all; `base` is the name of its checkpoint."""
    try:
        with staging_folder(folder) as staging:
            with _quiet():
                wrapped.save_pretrained(str(staging))  # type: ignore[operator]
            config = staging / "adapter_config.json"
            settings = json.loads(config.read_text(encoding="utf-8")) | {"base_model_name_or_path": base}
            config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            (staging / "README.md").unlink(missing_ok=True)  # peft's empty model card
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(staging, folder)
    except OSError as error:
        raise InkwashError(
            f"The adapter {folder} cannot be written ({error.strerror or error}): free space."
        ) from error
    return folder


def join_for_diffusers(folder: Path) -> Path:
    """Write the adapters below a folder once more as the one file that `diffusers` looks for, with their settings.

    Without these in its head, a file acts there with alpha equal to the rank.
    """
    tensors: dict[str, Tensor] = {}
    settings: dict[str, Any] = {}
    for network in NETWORKS:
        if not (folder / network / CONFIG_FILE).is_file():
            continue
        config = json.loads((folder / network / CONFIG_FILE).read_text(encoding="utf-8"))
        weights = load_file(folder / network / WEIGHTS_FILE)
        weights = {name.removeprefix(PEFT): tensor for name, tensor in weights.items()}
        tensors |= {f"{network}.{name}": tensor for name, tensor in weights.items()}
        kept = {name: config[name] for name in ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora")}
        kept["target_modules"] = sorted({name.partition(".lora_")[0] for name in weights})
        settings |= {f"{network}.{name}": value for name, value in kept.items()}
    path = folder / DIFFUSERS_FILE
    try:
        with atomic_path(path) as partial:
            # one entry: of several the library writes the order by chance, and equal adapters are to be equal files
            save_file(tensors, partial, metadata={DIFFUSERS_SETTINGS: json.dumps(settings)})
            partial.chmod(0o644)
    except (OSError, SafetensorError) as error:
        raise InkwashError(f"The adapter {path} cannot be written ({error}): free space.") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


@contextmanager
def without_config(network: nn.Module) -> Iterator[None]:
    """Inside, peft does not see which kind of model this is.

    Of mixtures of experts it would take the targets for those of the stacked experts that another library has, and
    leave the dense and shared layers out; our experts lie one by one.
    """
    config = network.config
    del network.config
    try:
        yield
    finally:
        network.config = config


def trained_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Everything that has gradients."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError("Training with LoRA", extra="train") from error
    return peft


@contextmanager
def _quiet() -> Iterator[None]:
    """peft warns about configurations that are not a library's own; ours are meant. What it imports logs a lot."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
