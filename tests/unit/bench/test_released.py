"""The benchmark of the released sizes runs on a small model anywhere, and says what it predicts."""

from __future__ import annotations

import pytest
import torch
from bench.released import measure, random_weights, report, tiny

from inkwash.engine.memory import ForecastInput, Sizes
from inkwash.models.glm_image.vae import AutoencoderKL

CPU = torch.device("cpu")


def test_a_tiny_run_has_every_number() -> None:
    got = measure(tiny(), ForecastInput(height=64, width=64, steps=2, reference=(64, 64)), CPU, torch.float32)
    assert min(got.ar, got.decoder, got.vae) > 0
    assert got.ar_of_floor > 0 and got.decoder_of_floor > 0


def test_weights_are_made_where_they_are_used() -> None:
    vae = random_weights(lambda: AutoencoderKL(tiny().vae), CPU, torch.bfloat16)
    assert {parameter.dtype for parameter in vae.parameters()} == {torch.bfloat16}
    assert not any(parameter.is_meta for parameter in vae.parameters())


@pytest.mark.slow
def test_the_prediction_needs_no_run() -> None:
    body = report(Sizes.released(), ForecastInput(height=1024, width=1024), CPU, torch.bfloat16, run=False)
    assert all(f"| {profile} |" in body for profile in ("none", "stage", "block"))
    assert "measured, s" not in body
