"""Edits of pictures of ever other shapes: memory stays where it was after the first half.

Kernels keep what they prepared for a shape, and the C library what a shape's tensors took: both must end somewhere.
Each half is two edits of every shape, or INKWASH_SOAK_S seconds if that is longer.
"""

from __future__ import annotations

import io
import itertools
import os
import time

import pytest
from PIL import Image

from inkwash.media.sandbox import resident_bytes
from tests.server.conftest import Live

SHAPES = (
    *((128, 128), (160, 96), (96, 160), (192, 128), (128, 192), (224, 160)),
    *((160, 224), (256, 96), (96, 256), (256, 192), (192, 256), (320, 128)),
)
HALF_S = float(os.environ.get("INKWASH_SOAK_S", "0"))
LEAST = 2 * len(SHAPES)  # edits of each half
GROWTH = 1.1


def edit(live: Live, number: int) -> None:
    """One edit of one or two pictures; every shape meets every other as a second reference."""
    first, second = SHAPES[number % len(SHAPES)], SHAPES[(number // len(SHAPES) + 7 * number) % len(SHAPES)]
    files = [
        ("image", (f"{size}.png", picture(size, number), "image/png")) for size in (first, second)[: 1 + number % 2]
    ]
    fields = {
        "prompt": f"make it blue {number}",
        "size": f"{first[0]}x{first[1]}",
        "steps": "1",
        "return_plan": "false",
    }
    answer = live.http.post("/v1/images/edits", data=fields, files=files)
    assert answer.status_code == 200, answer.text


def picture(size: tuple[int, int], number: int) -> bytes:
    """A picture that no cache knows."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).point(lambda value: (value + number) % 256).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.slow
def test_references_of_mixed_shapes_leave_no_memory_behind(nano: Live) -> None:
    numbers = itertools.count()
    sizes: list[int] = []
    for _ in range(2):
        end = time.monotonic() + HALF_S
        for _ in range(LEAST):
            edit(nano, next(numbers))
        while time.monotonic() < end:
            edit(nano, next(numbers))
        sizes.append(resident_bytes())
        print(f"{sizes[-1] / 2**20:.0f} MiB after {next(numbers)} edits")
    assert sizes[1] <= GROWTH * sizes[0], [f"{size / 2**20:.0f} MiB" for size in sizes]
