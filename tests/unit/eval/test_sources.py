"""The four sources: what each asks of the pipeline, and that nothing but the case decides a picture's seed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops

from inkwash.core.errors import ConfigError, InkwashError
from inkwash.engine.request import DrawRequest
from inkwash.eval.sources import DrawConfig, drawer, edit_drawer, true_tokens, vae_round_trip
from inkwash.eval.tasks.edits import held_out_edits
from inkwash.eval.tasks.scenes import held_out
from inkwash.models.glm_image.config import VAEConfig
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.scenes.render import render

CASES = held_out(6, seed=3, width=256, height=128)


class FakeGenerator(torch.nn.Module):
    """Its semantic token is the mean brightness of a patch of the half-size picture."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def image_ids(self, pixels: torch.Tensor) -> torch.Tensor:
        assert float(pixels.min()) > -1.01 and float(pixels.max()) < 1.01
        patches = torch.nn.functional.avg_pool2d(pixels.mean(1, keepdim=True), 16)
        return (patches.flatten(1) * 100 + 100).round().long()


class FakePipe:
    """Records its calls and draws pictures of the size it was asked for."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        pictures = SimpleNamespace(
            patch_size=16, rescale_factor=1 / 255, image_mean=(0.5, 0.5, 0.5), image_std=(0.5, 0.5, 0.5)
        )
        self.parts = SimpleNamespace(ar=FakeGenerator(), processor=SimpleNamespace(pictures=pictures))

    def draw(self, requests: list[DrawRequest], **rest: Any) -> Any:
        self.calls.append({"requests": requests, **rest})
        return SimpleNamespace(images=[Image.new("RGB", (each.width, each.height)) for each in requests])


def test_the_whole_model_gets_prompts_and_own_seeds() -> None:
    pipe = FakePipe()
    draw = drawer("ar", CASES, pipe, DrawConfig(seed=100, steps=7, guidance=2.0))  # type: ignore[arg-type]
    images = draw([4, 1])
    (asked,) = pipe.calls
    assert [image.size for image in images] == [(256, 128)] * 2
    assert [(each.prompt, each.seed) for each in asked["requests"]] == [(CASES[4].prompt, 104), (CASES[1].prompt, 101)]
    assert {(each.num_inference_steps, each.guidance_scale) for each in asked["requests"]} == {(7, 2.0)}
    assert "plan" not in asked and asked["requests"][0].images == ()


def test_the_teacher_adds_the_true_tokens() -> None:
    pipe = FakePipe()
    drawer("teacher", CASES, pipe, DrawConfig())([0, 2, 3])  # type: ignore[arg-type]
    (asked,) = pipe.calls
    assert asked["plan"].prior_token_ids.shape == (3, 8 * 16)
    assert asked["requests"][0].num_inference_steps == 50


def test_true_tokens_lie_on_the_decoder_grid() -> None:
    left = Image.new("RGB", (256, 128), "black")
    left.paste("white", (128, 0, 256, 128))
    tokens = true_tokens(FakePipe(), [left])[0].reshape(8, 16)  # type: ignore[arg-type]
    assert (tokens[:, :6] == 0).all() and (tokens[:, 10:] == 200).all()
    assert torch.equal(tokens[::2], tokens[1::2]) and torch.equal(tokens[:, ::2], tokens[:, 1::2])


def test_truth_needs_no_model() -> None:
    images = drawer("truth", CASES, None, DrawConfig())([5, 0])
    assert ImageChops.difference(images[0], render(CASES[5].scene)).getbbox() is None


def test_vae_round_trip_keeps_the_frame() -> None:
    torch.manual_seed(0)
    config = VAEConfig(block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4, latent_channels=16)
    pipe = SimpleNamespace(parts=SimpleNamespace(vae=AutoencoderKL(config).eval()))
    picture = render(CASES[0].scene)
    first, second = (vae_round_trip(pipe, picture) for _ in range(2))  # type: ignore[arg-type]
    assert first.size == picture.size and first.mode == "RGB"
    assert np.array_equal(np.asarray(first), np.asarray(second))


def test_edits_bring_their_sources() -> None:
    pipe, cases = FakePipe(), held_out_edits(4, seed=1, kinds=("background", "combine"))
    edit_drawer(cases, pipe, DrawConfig(seed=9))([2, 3])  # type: ignore[arg-type]
    (asked,) = pipe.calls
    assert [each.prompt for each in asked["requests"]] == [cases[2].edit.instruction, cases[3].edit.instruction]
    assert [(len(each.images), each.seed) for each in asked["requests"]] == [(1, 11), (2, 12)]


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match="ar, teacher, vae, truth"):
        drawer("magic", CASES, None, DrawConfig())
    for bad in ({"guidance": float("nan")}, {"steps": 0}, {"seed": -1}, {"temperature": -1.0}, {"top_p": 0.0}):
        with pytest.raises(InkwashError):
            DrawConfig(**bad)  # type: ignore[arg-type]
