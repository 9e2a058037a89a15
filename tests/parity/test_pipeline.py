"""Whole pictures against the reference pipeline, from one tiny random checkpoint that the reference wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.sampling import Sampling
from inkwash.models.glm_image.weights import load_pipeline_parts
from tests.parity.pipeline_reference import greedy, reference_pipeline

PROMPT = "A poster that says \"HELLO\" and 'BYE'"
EDIT = 'Put the circle of the first picture into the second one and write "RED"'


def seeded(seed: int = 42) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise over a gradient: every resize and every patch matters."""
    noise = np.random.default_rng(seed).integers(0, 96, (height, width, 3))
    ramp = np.linspace(0, 159, width)[None, :, None]
    return Image.fromarray((noise + ramp).astype(np.uint8))


@pytest.fixture(scope="module")
def ours(tiny_folder: Path) -> GlmImagePipeline:
    return GlmImagePipeline(load_pipeline_parts(tiny_folder))


@pytest.fixture(scope="module")
def theirs(tiny_folder: Path) -> Any:
    return reference_pipeline(tiny_folder)


def distance(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max() / b.abs().max())


def reference_choice(logits: Tensor, uniforms: Tensor, sampling: Sampling) -> Tensor:
    """The reference's sampler: its own logit warpers, and `torch.multinomial` on the global generator."""
    from transformers.generation import TemperatureLogitsWarper, TopPLogitsWarper

    ids = torch.zeros(len(logits), 1, dtype=torch.long)
    warped = TopPLogitsWarper(sampling.top_p)(ids, TemperatureLogitsWarper(sampling.temperature)(ids, logits.float()))
    return torch.multinomial(warped.softmax(-1), 1)[:, 0]


class TestParity:
    @pytest.mark.parametrize(("height", "width"), [(128, 128), (96, 160), (224, 64)])
    def test_text_to_image(self, ours: GlmImagePipeline, theirs: Any, height: int, width: int) -> None:
        prior, image_ids, grids = ours.generate_prior_tokens(PROMPT, height, width, generator=seeded())
        assert image_ids is None and grids is None
        call = {"prompt": PROMPT, "height": height, "width": width, "prior_token_ids": prior, "output_type": "latent"}
        expected = theirs(**call, num_inference_steps=20, generator=seeded()).images
        got = ours(**call, num_inference_steps=20, generator=seeded()).images
        assert distance(got, expected) < 1e-3

    @pytest.mark.parametrize("sizes", [[(128, 128), (256, 160)], [(133, 140)]])
    def test_image_to_image(self, ours: GlmImagePipeline, theirs: Any, sizes: list[tuple[int, int]]) -> None:
        """Also of a size that both networks of the reference happen to round alike."""
        images = [picture(*size, seed=number) for number, size in enumerate(sizes)]
        expected_prior = theirs.generate_prior_tokens(EDIT, 128, 96, image=[images], generator=seeded())
        got_prior = ours.generate_prior_tokens(EDIT, 128, 96, image=images, generator=seeded())
        for got_parts, expected_parts in zip(got_prior[1:], expected_prior[1:], strict=True):
            assert [part.tolist() for part in got_parts] == [part.tolist() for part in expected_parts]
        priors = dict(
            zip(("prior_token_ids", "prior_token_image_ids", "source_image_grid_thw"), expected_prior, strict=True)
        )
        call = {"prompt": EDIT, "image": images, "height": 128, "width": 96, "output_type": "latent", **priors}
        expected = theirs(**call, num_inference_steps=20, generator=seeded()).images
        got = ours(**call, num_inference_steps=20, generator=seeded()).images
        assert distance(got, expected) < 1e-3

    def test_pixels(self, ours: GlmImagePipeline, theirs: Any) -> None:
        prior, _, _ = ours.generate_prior_tokens(PROMPT, 128, 96, generator=seeded())
        call = {"prompt": PROMPT, "height": 128, "width": 96, "prior_token_ids": prior, "num_inference_steps": 4}
        for kind in ("np", "pil"):
            expected = theirs(**call, generator=seeded(), output_type=kind).images
            got = ours(**call, generator=seeded(), output_type=kind).images
            assert type(got) is type(expected) and len(got) == len(expected) == 1
            difference = np.abs(np.asarray(got[0], dtype=float) - np.asarray(expected[0], dtype=float)).max()
            assert difference <= (1e-3 if kind == "np" else 1)

    @pytest.mark.parametrize("guidance", [1.0, 3.0])
    def test_guidance_and_given_latents(self, ours: GlmImagePipeline, theirs: Any, guidance: float) -> None:
        prior, _, _ = ours.generate_prior_tokens(PROMPT, 64, 96, generator=seeded())
        latents = torch.randn(1, 16, 8, 12, generator=seeded(3))
        call = {
            "prompt": PROMPT,
            "height": 64,
            "width": 96,
            "prior_token_ids": prior,
            "latents": latents,
            "guidance_scale": guidance,
            "crops_coords_top_left": (16, 32),
            "num_inference_steps": 5,
            "output_type": "latent",
        }
        assert distance(ours(**call).images, theirs(**call).images) < 1e-3

    @pytest.mark.parametrize("custom", [{"timesteps": [900, 500.5, 20]}, {"sigmas": [1.0, 0.6, 0.2]}])
    def test_custom_schedules(self, ours: GlmImagePipeline, theirs: Any, custom: dict[str, Any]) -> None:
        prior, _, _ = ours.generate_prior_tokens(PROMPT, 64, 64, generator=seeded())
        call = {"prompt": PROMPT, "height": 64, "width": 64, "prior_token_ids": prior, "num_inference_steps": 3}
        call |= {"output_type": "latent", **custom}
        expected = theirs(**call, generator=seeded()).images
        assert distance(ours(**call, generator=seeded()).images, expected) < 1e-3

    @pytest.mark.parametrize(("height", "width"), [(128, 96), (64, 192)])
    def test_greedy_plan_of_text_to_image(
        self, ours: GlmImagePipeline, tiny_folder: Path, height: int, width: int
    ) -> None:
        oracle = greedy(reference_pipeline(tiny_folder))
        expected, _, _ = oracle.generate_prior_tokens(PROMPT, height, width, generator=seeded())
        got, _, _ = ours.generate_prior_tokens(PROMPT, height, width, temperature=0.0)
        assert torch.equal(got, expected)

    @pytest.mark.parametrize("references", [0, 2])
    def test_sampled_plan_with_the_reference_sampler(
        self, ours: GlmImagePipeline, theirs: Any, monkeypatch: pytest.MonkeyPatch, references: int
    ) -> None:
        """Greedy plans of random weights repeat one token; sampled with the reference's own dice they do not."""
        images = [picture(128, 128), picture(160, 128, seed=1)][:references]
        expected, _, _ = theirs.generate_prior_tokens(
            EDIT, 256, 256, image=[images] if images else None, generator=seeded()
        )
        monkeypatch.setattr(
            "inkwash.engine.ar.pick", lambda logits, numbers, rows: reference_choice(logits, None, rows[0]).tolist()
        )
        monkeypatch.setattr(Sampling, "of", lambda *_: Sampling(codes_only=False))
        torch.manual_seed(42)
        got, _, _ = ours.generate_prior_tokens(EDIT, 256, 256, image=images or None)
        assert torch.equal(got, expected)
        assert len(got.unique()) > 4

    def test_greedy_pictures_of_both_kinds(self, ours: GlmImagePipeline, tiny_folder: Path) -> None:
        oracle = greedy(reference_pipeline(tiny_folder))
        for image in (None, [picture(128, 128), picture(160, 128, seed=1)]):
            call = {"prompt": EDIT, "image": image, "height": 96, "width": 128, "output_type": "latent"}
            expected = oracle(**call, num_inference_steps=20, generator=seeded()).images
            got = ours(**call, num_inference_steps=20, generator=seeded(), temperature=0.0).images
            assert distance(got, expected) < 1e-3

    def test_callback_sees_what_the_reference_shows(self, ours: GlmImagePipeline, theirs: Any) -> None:
        prior, _, _ = ours.generate_prior_tokens(PROMPT, 64, 64, generator=seeded())
        call = {"prompt": PROMPT, "height": 64, "width": 64, "prior_token_ids": prior, "num_inference_steps": 3}
        logs: list[list[tuple[int, float, float]]] = []
        for pipe in (theirs, ours):
            log: list[tuple[int, float, float]] = []

            def on_step(
                seen: Any, index: int, sigma: Tensor, tensors: dict[str, Tensor], pipe: Any = pipe, log: list[Any] = log
            ) -> dict[str, Tensor]:
                assert seen is pipe and set(tensors) == {"latents", "prompt_embeds"}
                log.append((index, float(sigma), float(tensors["latents"].mean())))
                return {"latents": tensors["latents"] * 0.5, "prompt_embeds": tensors["prompt_embeds"] * 2}

            names = ["latents", "prompt_embeds"]
            pipe(**call, generator=seeded(), callback_on_step_end=on_step, callback_on_step_end_tensor_inputs=names)
            logs.append(log)
        assert np.allclose(logs[0], logs[1], atol=1e-4)
