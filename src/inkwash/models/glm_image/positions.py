"""Where every token of a prompt and of its plan stands on the three axes of M-RoPE, in exact integers.

Text advances time, row and column together by one. The tokens of an image whose block begins at p stand at
(p, p + row, p + column), and what follows goes on at p + max(rows, columns). A plan is a known sequence of grids
(preview, then target, then the end token), so all its positions are computed before the first token is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inkwash.core.errors import ConfigError

Grid = tuple[int, int]  # (rows, columns) in tokens


def grid_positions(start: int, grid: Grid) -> Tensor:
    """(3, rows * columns) of an image block whose first token stands at ``start``."""
    rows, columns = grid
    row = torch.arange(rows).repeat_interleave(columns)
    column = torch.arange(columns).repeat(rows)
    return torch.stack([torch.zeros_like(row), row, column]) + start


def prompt_positions(
    ids: Sequence[int], grids: Sequence[Grid], *, image_start: int, image_end: int
) -> tuple[Tensor, int]:
    """Positions (3, L) of a prompt and the position where its plan begins.

    ``grids`` are those of the reference images, in order. Each fills the tokens between an ``image_start`` and the
    next ``image_end``; an ``image_start`` that nothing closes (the one that asks for the plan) counts as text.
    """
    ids = [int(i) for i in ids]
    starts = [i + 1 for i, token in enumerate(ids) if token == image_start]
    ends = [i for i, token in enumerate(ids) if token == image_end]
    if len(ends) != len(grids) or len(starts) < len(ends):
        raise ConfigError(f"The prompt holds {len(ends)} finished images, but {len(grids)} image grids were given.")
    parts: list[Tensor] = []
    position = done = 0
    for number, (start, end, grid) in enumerate(zip(starts, ends, grids, strict=False), 1):
        if end - start != grid[0] * grid[1]:
            raise ConfigError(
                f"Reference image {number} fills {end - start} tokens of the prompt, but its grid of "
                f"{grid[0]}x{grid[1]} needs {grid[0] * grid[1]}."
            )
        parts += [_text_positions(position, start - done), grid_positions(position + start - done, grid)]
        position += start - done + max(grid)
        done = end
    parts.append(_text_positions(position, len(ids) - done))
    return torch.cat(parts, dim=1), position + len(ids) - done


def decode_positions(start: int, grids: Sequence[Grid]) -> Tensor:
    """(3, N + 1) of a plan of N tokens in the order they are drawn (preview first) and of its end token."""
    parts = []
    for grid in grids:
        parts.append(grid_positions(start, grid))
        start += max(grid)
    return torch.cat([*parts, _text_positions(start, 1)], dim=1)


def _text_positions(start: int, count: int) -> Tensor:
    return torch.arange(start, start + count).expand(3, count)
