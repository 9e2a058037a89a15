"""The shipped model in the reference pipeline: it loads there, and both draw the same picture."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.models.registry import bundled_folder
from tests.parity.pipeline_reference import reference_pipeline
from tests.pictures import noise_picture


@pytest.fixture(scope="module")
def pair() -> tuple[GlmImagePipeline, Any]:
    return GlmImagePipeline.from_pretrained("nano", device_map="cpu"), reference_pipeline(bundled_folder("nano"))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "references"), [((256, 256), 0), ((192, 256), 0), ((256, 256), 2)])
def test_nano_draws_the_same_in_both(
    pair: tuple[GlmImagePipeline, Any], size: tuple[int, int], references: int
) -> None:
    ours, theirs = pair
    images = [noise_picture((256, 256), 50 + number, seed=number) for number in range(references)] or None
    call: dict[str, Any] = {"prompt": 'A poster that says "HELLO" on blue', "image": images}
    call |= {"height": size[0], "width": size[1]}
    generator = torch.Generator().manual_seed(42)
    tokens, image_ids, grids = ours.generate_prior_tokens(**call, generator=generator)
    call |= {"prior_token_ids": tokens, "prior_token_image_ids": image_ids, "source_image_grid_thw": grids}
    call |= {"num_inference_steps": 20, "output_type": "latent"}
    got = ours(**call, generator=torch.Generator().manual_seed(42)).images
    expected = theirs(**call, generator=torch.Generator().manual_seed(42)).images
    assert (got - expected).abs().max() < 1e-3 * expected.abs().max()
