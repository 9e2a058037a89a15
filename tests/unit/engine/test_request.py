"""Requests are checked when they are made; a watch counts exactly and stops when told."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from PIL import Image

from inkwash.core.errors import Cancelled, RequestError
from inkwash.engine.request import CancelToken, DrawRequest, Progress, Watch, picture_size


def test_loads_no_torch() -> None:
    code = "import sys, inkwash.engine.request; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_plain_request_is_accepted() -> None:
    request = DrawRequest(prompt='A poster that says "HELLO"', height=128, seed=3)
    assert request.num_inference_steps == 50 and request.layout == "new"


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"prompt": " \n"}, "empty"),
        ({"height": 100}, "multiple of 32"),
        ({"width": 1}, "multiple of 32"),
        ({"num_inference_steps": 0}, "steps"),
        ({"num_inference_steps": -3}, "steps"),
        ({"guidance_scale": float("nan")}, "guidance"),
        ({"guidance_scale": float("inf")}, "guidance"),
        ({"num_images": 0}, "n is 0"),
        ({"layout": "both"}, "layout"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 0.0}, "top-p"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"mask": Image.new("L", (8, 8))}, "mask"),
    ],
)
def test_wrong_fields_are_refused_in_one_sentence(wrong: dict[str, Any], word: str) -> None:
    with pytest.raises(RequestError, match=word) as caught:
        DrawRequest(**{"prompt": "x", **wrong})
    assert "\n" not in str(caught.value) and caught.value.param


def test_sizes() -> None:
    assert picture_size(None, None, (96, 64)) == (96, 64)
    assert picture_size(64, None) == (64, 64)
    assert picture_size(None, 96) == (96, 96)
    for height, width in [(True, 64), ("64", 64), (64.0, 64)]:
        with pytest.raises(RequestError, match="whole numbers"):
            picture_size(height, width)  # type: ignore[arg-type]


def test_watch_counts_and_stops() -> None:
    seen: list[Progress] = []
    token = CancelToken()
    watch = Watch(seen.append, token)
    watch.begin("prior", 3)
    watch.advance()
    watch.advance(2)
    assert seen == [Progress("prior", done, 3) for done in (0, 1, 3)]
    threading.Thread(target=token.cancel).start()
    while not token.cancelled:
        pass
    with pytest.raises(Cancelled):
        watch.begin("denoise", 5)
    with pytest.raises(Cancelled):
        watch.check()
