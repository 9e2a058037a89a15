"""Names of tensors in LoRA files, as each library writes them, taken apart without torch.

PEFT:       base_model.model.NAME.lora_A.weight, NAME.lora_A.default.weight, NAME.lora_embedding_A
diffusers:  transformer.NAME.lora_A.weight, NAME.lora_A.weight, transformer.NAME.lora.down.weight
kohya:      lora_unet_NAME_WITH_UNDERSCORES.lora_down.weight, .lora_up.weight, .alpha
others:     diffusion_model.NAME.lora_A.weight, NAME.lora_down.weight, NAME.alpha
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Part = Literal["a", "b", "alpha"]
PEFT = "base_model.model."
# What a name may begin with, the longer ones first, and whose matrices are meant.
PREFIXES = {
    "model.diffusion_model.": "transformer",
    "diffusion_model.": "transformer",
    "transformer.": "transformer",
    "vision_language_encoder.": "vision_language_encoder",
    "text_encoder.": "text_encoder",
}
FLAT = {
    "lora_unet_": "transformer",
    "lora_transformer_": "transformer",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
}
PARTS: dict[str, Part] = {
    "lora_A": "a",
    "lora_B": "b",
    "lora_embedding_A": "a",
    "lora_embedding_B": "b",
    "lora_down": "a",
    "lora_up": "b",
    "lora.down": "a",
    "lora.up": "b",
    "alpha": "alpha",
}
_MARK = re.compile(rf"\.({'|'.join(re.escape(mark) for mark in PARTS)})(?:\.([^.]+))?(\.weight)?$")


@dataclass(frozen=True)
class Key:
    """One tensor: of which network (None where the name leaves it open), which matrix, and which part."""

    network: str | None
    module: str
    part: Part
    flat: bool = False  # dots of the module's name are written as underscores
    adapter: str | None = None  # its name, where a file says it


def split_key(name: str) -> Key | None:
    """A tensor's name taken apart; None for what is no part of a plain LoRA."""
    found = _MARK.search(name)
    if found is None or found[2] == "bias":
        return None
    module, adapter = name[: found.start()], found[2]
    if adapter == "weight":
        adapter = None
    network: str | None = None
    module = module.removeprefix(PEFT)
    for prefix, owner in PREFIXES.items():
        if module.startswith(prefix):
            network, module = owner, module.removeprefix(prefix).removeprefix(PEFT)
            break
    for prefix, owner in FLAT.items():
        if network is None and module.startswith(prefix) and "." not in module:
            return Key(owner, module.removeprefix(prefix), PARTS[found[1]], flat=True, adapter=adapter)
    return Key(network, module, PARTS[found[1]], adapter=adapter)
