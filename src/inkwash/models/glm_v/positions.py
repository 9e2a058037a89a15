"""Where every token of a conversation stands on the three axes of M-RoPE, in exact integers.

Text, timestamps included, advances time, row and column together by one. The tokens of a frame whose block begins
at p stand at (p, p + row, p + column), and what follows goes on at p + max(rows, columns). A video is a row of
frames with text between them, a picture one frame. Every generated token advances all axes by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from inkwash.core.errors import ConfigError
from inkwash.models.glm_image.ar import grid_positions
from inkwash.models.glm_v.vision import PatchGrid

TEXT, PICTURE, VIDEO_FRAME = 0, 1, 2  # modality of a token


def prompt_positions(modality: Sequence[int], grids: Sequence[PatchGrid], *, merge: int) -> tuple[Tensor, int]:
    """Positions (3, L) of a prompt and the position of the first token generated after it.

    `modality` is one of TEXT, PICTURE, VIDEO_FRAME per token; `grids` are in patches, in the order of the prompt.
    """
    frames = iter([(rows // merge, columns // merge) for time, rows, columns in grids for _ in range(time)])
    parts: list[Tensor] = []
    position = 0
    for kind, run in groupby(int(m) for m in modality):
        length = sum(1 for _ in run)
        if kind == TEXT:
            parts.append(torch.arange(position, position + length).expand(3, -1))
            position += length
            continue
        frame = next(frames, None)
        if frame is None or frame[0] * frame[1] != length:
            found = "no grid is left for it" if frame is None else f"its grid has {frame[0]}x{frame[1]}"
            raise ConfigError(f"A picture or frame fills {length} tokens of the prompt, but {found}.")
        parts.append(grid_positions(position, frame))
        position += max(frame)
    if next(frames, None) is not None:
        raise ConfigError("There are more pictures and frames in the grids than in the prompt.")
    return torch.cat(parts, dim=1), position


def next_positions(start: int, count: int) -> Tensor:
    """(3, count) of generated tokens, the first of them at `start`."""
    return torch.arange(start, start + count).expand(3, -1)
