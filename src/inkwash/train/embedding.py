"""An embedding table whose text rows stay as they are while its visual rows learn.

One table holds both: the visual vocabulary first, text above it. Freezing part of a parameter is not possible, so for
training the table is two: the text rows do not move, cost no optimiser state, and are no work for the average.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkwash.models.glm_image.ar import ARGenerator


class SplitEmbedding(nn.Module):
    """Looks ids below the visual vocabulary's size up in `visual`, all others in the frozen `text`."""

    def __init__(self, weight: Tensor, visual_rows: int) -> None:
        super().__init__()
        self.visual_rows = visual_rows
        self.visual = nn.Parameter(weight[:visual_rows].detach().clone())
        self.text = nn.Parameter(weight[visual_rows:].detach().clone(), requires_grad=False)

    @property
    def weight(self) -> Tensor:
        """The rows that learn; callers ask it for its number type and device."""
        return self.visual

    def forward(self, ids: Tensor) -> Tensor:
        is_text = ids >= self.visual_rows
        visual = F.embedding(ids.masked_fill(is_text, 0), self.visual)
        text = F.embedding((ids - self.visual_rows).clamp(min=0), self.text)
        return torch.where(is_text[..., None], text, visual)


def freeze_text(model: ARGenerator) -> None:
    """Replace the generator's table by a split one."""
    language = model.model.language_model
    rows = model.config.text_config.vision_vocab_size
    language.embed_tokens = SplitEmbedding(language.embed_tokens.weight, rows)  # type: ignore[assignment]


def join_text(model: ARGenerator) -> None:
    """Put the one table back."""
    language = model.model.language_model
    split = language.embed_tokens
    assert isinstance(split, SplitEmbedding)
    joined = nn.Embedding(*_shape(split))
    joined.weight = nn.Parameter(torch.cat([split.visual.detach(), split.text.detach()]))
    language.embed_tokens = joined


def join_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with the split table as the one that the checkpoint has; others are returned as they are."""
    name = "model.language_model.embed_tokens."
    if name + "visual" not in state:
        return state
    joined = torch.cat([state[name + "visual"], state[name + "text"]])
    return {key: value for key, value in state.items() if not key.startswith(name)} | {name + "weight": joined}


def _shape(split: SplitEmbedding) -> tuple[int, int]:
    return len(split.visual) + len(split.text), split.visual.shape[1]
