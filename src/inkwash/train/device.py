"""Where training runs and in which precision: bf16 autocast wherever the chip computes it natively."""

from __future__ import annotations

from typing import Any

import torch


def autocast(device: torch.device) -> torch.autocast:
    """bf16 autocast on accelerators and on CPUs with bf16 units; elsewhere a context that changes nothing."""
    enabled = device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def to_device(value: Any, device: torch.device) -> torch.Tensor:
    """A batch entry (tensor or array) as a tensor on the device."""
    return torch.as_tensor(value).to(device, non_blocking=True)
