"""Sizes are read as people write them."""

from __future__ import annotations

import pytest

from inkwash.core.errors import RequestError
from inkwash.core.types import Size


@pytest.mark.parametrize(
    ("text", "size"), [("256x256", (256, 256)), ("640X384", (640, 384)), (" 64 × 128 ", (64, 128)), ("8*9", (8, 9))]
)
def test_reads(text: str, size: tuple[int, int]) -> None:
    assert Size.parse(text) == size and Size.parse(str(Size.parse(text))) == size


@pytest.mark.parametrize("text", ["", "256", "256x", "x256", "256x256x3", "-1x5", "1.5x2", "axb", "9" * 9 + "x1"])
def test_refuses(text: str) -> None:
    with pytest.raises(RequestError, match="WIDTHxHEIGHT") as caught:
        Size.parse(text)
    assert caught.value.param == "size" and repr(text) in caught.value.message
