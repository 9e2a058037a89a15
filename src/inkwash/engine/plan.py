"""A plan: the semantic tokens of pictures and of their references, in the form the reference pipeline hands around.

Tokens are on the decoder's grid, that is repeated twice along both axes, one for each 16 x 16 pixels. A plan taken
from an output redraws its pictures with other noise, other steps or other guidance without the AR stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from einops import repeat
from torch import Tensor

from inkwash.core.errors import RequestError
from inkwash.models.glm_image.processor import Grid

UPSAMPLE = 2  # cells of the decoder along one side of a semantic token


@dataclass(frozen=True)
class Plan:
    """prior_token_ids (B, N) of B pictures; for each prompt with references their ids, joined, and grids (k, 3)."""

    prior_token_ids: Tensor
    prior_token_image_ids: list[Tensor] | None = None
    source_image_grid_thw: list[Tensor] | None = None

    def of_picture(self, index: int) -> Plan:
        """Picture `index` alone; a plan of one picture serves all."""
        rows = self.prior_token_ids
        return replace(self, prior_token_ids=rows[index : index + 1] if len(rows) > 1 else rows)


def join_pictures(plans: Sequence[Plan]) -> Plan:
    """Plans of several pictures of one prompt as one, on the CPU, with the references of the first."""
    return replace(plans[0], prior_token_ids=torch.cat([plan.prior_token_ids.cpu() for plan in plans]))


def upsample(tokens: Tensor, grid: Grid) -> Tensor:
    """Tokens (rows * columns,) of a grid -> (4 * rows * columns,) on the decoder's grid."""
    rows, columns = grid
    square = tokens.view(rows, columns)
    return repeat(square, "h w -> (h p w q)", p=UPSAMPLE, q=UPSAMPLE)


def join_references(codes: Sequence[Tensor], grids: Sequence[Grid]) -> tuple[Tensor, Tensor]:
    """Codes of a prompt's references as one tensor of upsampled ids, and their upsampled grids (k, 3)."""
    ids = [upsample(each, grid) for each, grid in zip(codes, grids, strict=True)]
    sizes = [[1, rows * UPSAMPLE, columns * UPSAMPLE] for rows, columns in grids]
    joined = torch.cat(ids) if ids else torch.empty(0, dtype=torch.long)
    return joined, torch.tensor(sizes, dtype=torch.long).reshape(-1, 3)


def split_references(ids: Tensor, sizes: Tensor, grids: Sequence[Grid]) -> list[Tensor]:
    """The ids of each reference; the sizes must be those of the pictures at hand."""
    expected = [[1, rows * UPSAMPLE, columns * UPSAMPLE] for rows, columns in grids]
    if sizes.tolist() != expected:
        raise RequestError(
            f"source_image_grid_thw is {sizes.tolist()}, but the given pictures have the grids {expected}: pass the "
            "pictures that the prior tokens were made with.",
            param="source_image_grid_thw",
        )
    lengths = [rows * columns for _, rows, columns in expected]
    if ids.ndim != 1 or ids.shape[0] != sum(lengths):
        raise RequestError(
            f"prior_token_image_ids has shape {tuple(ids.shape)}, but the pictures need {sum(lengths)} ids.",
            param="prior_token_image_ids",
        )
    return [ids[end - length : end] for length, end in zip(lengths, accumulate(lengths), strict=True)]
