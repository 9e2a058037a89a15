"""Tensors as bytes, for messages between processes: plain pickles, which know nothing of shared memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class WireTensor:
    """A tensor of any number type, copied."""

    dtype: str
    shape: tuple[int, ...]
    content: bytes

    @classmethod
    def of(cls, tensor: Tensor) -> WireTensor:
        plain = tensor.detach().cpu().contiguous()
        content = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
        return cls(str(plain.dtype).removeprefix("torch."), tuple(plain.shape), content)

    def tensor(self, device: torch.device | None = None) -> Tensor:
        """The numbers again, as memory of their own."""
        dtype = getattr(torch, self.dtype)
        if not self.content:
            return torch.empty(self.shape, dtype=dtype, device=device)
        made = torch.frombuffer(bytearray(self.content), dtype=dtype).view(self.shape)
        return made if device is None else made.to(device)
