"""What scripts for the reference ask of a network beside its forward pass: where it is, in which numbers, switches.

The networks of a checkpoint derive from `ReferencePart`. A switch that has no meaning here says what to use.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from inkwash.core.errors import NoMeaning

_KERNELS = "attention always runs in torch's fused kernels: leave it out"
_ADAPTERS = "adapters are loaded by the pipeline's load_lora_weights"
NO_MEANING = {
    "enable_layerwise_casting": "weights are rounded while they are read: use from_pretrained(..., quantize='fp8')",
    "enable_group_offload": "weights travel by stage or by block: use from_pretrained(..., offload='block')",
    "enable_cache": "use quality='high', 'medium' or 'low' in the call",
    "enable_gradient_checkpointing": "it is a setting of training: use inkwash train",
    "enable_xformers_memory_efficient_attention": _KERNELS,
    "set_attention_backend": _KERNELS,
    "set_attn_processor": _KERNELS,
    "fuse_qkv_projections": "query, key and value are fused when weights are loaded: leave it out",
    "unfuse_qkv_projections": "query, key and value are stored apart and stay so: leave it out",
    "add_adapter": _ADAPTERS,
    "load_lora_adapter": _ADAPTERS,
    "save_pretrained": "the pipeline's save_pretrained writes all parts",
}


class ReferencePart(nn.Module):
    """A network with the reference's `dtype` and `device`; a name of `NO_MEANING` is an error that says what to use."""

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the weights."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are; "meta" while they wait elsewhere."""
        return next(self.parameters()).device

    def __getattr__(self, name: str) -> Any:
        if name in NO_MEANING:
            raise NoMeaning(f"{name} has no meaning here: {NO_MEANING[name]}.")
        return super().__getattr__(name)
