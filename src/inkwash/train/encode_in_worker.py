"""Pictures encoded in the data process: the step then holds no frozen network, and a second core has work.

On accelerators the frozen networks are faster than any data process, so there the loops encode for themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from inkwash.data.loader import Batch
from inkwash.models.glm_image.ar import VisionEncoder, VQModel
from inkwash.models.glm_image.quotes import canonical
from inkwash.train.decoder import FrozenParts
from inkwash.train.device import to_device
from inkwash.train.tokenizer import token_grid

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class EncodePlans:
    """Batches of the AR generator with `tokens` and `source_tokens` in the place of pictures."""

    make: Callable[[int], Batch]
    vision: VisionEncoder
    vq: VQModel

    def __call__(self, step: int) -> Batch:
        batch = self.make(step)
        kept = {key: value for key, value in batch.items() if key not in ("half", "sources")}
        kept["tokens"] = token_grid(self.vision, self.vq, to_device(batch["half"], CPU))
        pictures = [to_device(half, CPU) for half in batch.get("sources", ())]
        return kept | {"source_tokens": [token_grid(self.vision, self.vq, half) for half in pictures]}


@dataclass(frozen=True, kw_only=True)
class CanonicalPrompts:
    """Batches whose prompts have straight quotation marks, as a checkpoint with `canonical_quotes` reads them."""

    make: Callable[[int], Batch]

    def __call__(self, step: int) -> Batch:
        batch = self.make(step)
        return batch | {"prompts": [canonical(prompt) for prompt in batch["prompts"]]}


@dataclass(frozen=True, kw_only=True)
class EncodePictures:
    """Batches of the decoder with latents and tokens in the place of pictures and their references."""

    make: Callable[[int], Batch]
    frozen: FrozenParts

    def __call__(self, step: int) -> Batch:
        batch = self.make(step)
        encoded: Batch = {"texts": batch["texts"]}
        for pixels, half, prefix in (("pixels", "half", ""), ("sources", "sources_half", "source_")):
            if pixels in batch:
                encoded[f"{prefix}latents"] = self.frozen.latents(to_device(batch[pixels], CPU))
                encoded[f"{prefix}tokens"] = self.frozen.tokens(to_device(batch[half], CPU))
        return encoded
