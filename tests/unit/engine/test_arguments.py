"""The loose arguments of a call become lists, or one clear sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inkwash.core.errors import InkwashError, RequestError
from inkwash.engine import arguments, prepared

RED = Image.new("RGB", (4, 4), "red")


def test_prompts() -> None:
    assert arguments.as_prompts("a") == ["a"]
    assert arguments.as_prompts(("a", "b")) == ["a", "b"]
    assert arguments.as_prompts(None) is None
    for wrong in ([], [1], 3, ["a", ""]):
        with pytest.raises(RequestError):
            arguments.as_prompts(wrong)  # type: ignore[arg-type]


def test_negatives() -> None:
    assert arguments.as_negatives(None, 2) == ["", ""]
    assert arguments.as_negatives("n", 2) == ["n", "n"]
    with pytest.raises(RequestError, match="3 texts for 2 prompts"):
        arguments.as_negatives(["a", "b", "c"], 2)


def test_images_of_one_prompt() -> None:
    for given in (RED, [RED], (RED,), [[RED]]):
        assert [len(own) for own in arguments.as_images(given, 1)] == [1]
    assert arguments.as_images(None, 2) == [[], []]
    assert [len(own) for own in arguments.as_images([RED, RED], 1)] == [2]


def test_each_prompt_may_have_its_own_number_of_images() -> None:
    assert [len(own) for own in arguments.as_images([[RED], [], None, [RED, RED]], 4)] == [1, 0, 0, 2]
    for wrong in (RED, [RED, RED], [[RED]], [[RED], RED]):
        with pytest.raises(RequestError, match="list of 2 lists"):
            arguments.as_images(wrong, 2)


def test_kinds_of_pictures(tmp_path: Path) -> None:
    RED.save(tmp_path / "red.png")
    array = np.array(RED)
    kinds: list[Any] = [
        RED,
        tmp_path / "red.png",
        str(tmp_path / "red.png"),
        array,
        array.astype(np.float32) / 255,
        torch.from_numpy(array.astype(np.float32) / 255).permute(2, 0, 1),
        RED.convert("RGBA"),
        RED.convert("CMYK"),
    ]
    for kind in kinds:
        assert np.array_equal(np.array(prepared.as_rgb(kind)), array)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 2)), np.full((4, 4, 3), 2.0), np.full((4, 4, 3), np.nan), "no.png"])
def test_what_is_no_picture_is_refused(wrong: Any) -> None:
    with pytest.raises(InkwashError):
        prepared.as_rgb(wrong)


def test_sources_of_a_call() -> None:
    embeds, priors = torch.zeros(1, 2, 3), torch.zeros(1, 4, dtype=torch.long)
    plan = arguments.as_plan(priors, None, None, None)
    arguments.check_one_source(["x"], None, None)
    arguments.check_one_source(None, embeds, plan)
    for prompts, given, known in [(None, None, None), (["x"], embeds, None), (None, embeds, None)]:
        with pytest.raises(RequestError):
            arguments.check_one_source(prompts, given, known)
    assert arguments.as_plan(None, None, None, RED) is None
    for wrong in [(priors, [priors], None, RED), (None, [priors], [priors], RED), (priors, [priors], [priors], None)]:
        with pytest.raises(RequestError):
            arguments.as_plan(*wrong)


def test_tensors_are_checked_by_shape() -> None:
    prepared.check_tensor("latents", torch.zeros(2, 3), (2, None))
    for wrong in (torch.zeros(3, 3), torch.zeros(2), [1]):
        with pytest.raises(RequestError, match=r"latents must be a tensor of shape \(2, any\)"):
            prepared.check_tensor("latents", wrong, (2, None))  # type: ignore[arg-type]


def test_rows_are_repeated_for_pictures() -> None:
    rows = torch.tensor([[1], [2]])
    assert prepared.repeat_to("p", rows, 2, 4).flatten().tolist() == [1, 1, 2, 2]
    assert prepared.repeat_to("p", rows, 1, 2) is rows
    with pytest.raises(RequestError, match="2 rows"):
        prepared.repeat_to("p", rows, 1, 3)
