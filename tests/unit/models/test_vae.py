"""The autoencoder alone: tiles and their seams, latent statistics, training, and what its configuration refuses."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inkwash.core.errors import Cancelled, ConfigError
from inkwash.models.glm_image.config import VAEConfig
from inkwash.models.glm_image.vae import AutoencoderKL, fades, tile_starts

SIZES: dict[str, Any] = {"block_out_channels": (4, 8, 8), "latent_channels": 3, "norm_num_groups": 2}
TILINGS = st.tuples(st.integers(1, 60), st.integers(1, 20)).flatmap(
    lambda sizes: st.tuples(st.just(sizes[0]), st.just(sizes[1]), st.integers(0, sizes[1] - 1))
)


def vae(**changes: Any) -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(VAEConfig(**{**SIZES, **changes})).eval()


@given(TILINGS)
def test_tiles_cover_an_axis(sizes: tuple[int, int, int]) -> None:
    length, tile, overlap = sizes
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    assert max(starts[-1] + tile, length) == (length if length >= tile else tile)
    assert all(0 < later - earlier <= tile - overlap for earlier, later in pairwise(starts))


@given(TILINGS, st.integers(1, 8))
@settings(deadline=None)
def test_weights_sum_to_one_and_start_low(sizes: tuple[int, int, int], scale: int) -> None:
    length, tile, overlap = (size * scale for size in sizes)
    starts = [start * scale for start in tile_starts(*sizes)]
    weights = fades(starts, length, tile, overlap)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(0), torch.ones(length))
    for row, start in zip(weights, starts, strict=True):
        assert (row[:start] == 0).all()
        assert (row[start + tile :] == 0).all()


@torch.no_grad()
def test_tiles_land_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a decode that treats every cell alike, tiles give exactly the whole picture."""
    model = vae()
    monkeypatch.setattr(model, "decode", lambda latents: F.interpolate(latents, scale_factor=4.0, mode="nearest"))
    latents = torch.randn(2, 3, 23, 37)
    torch.testing.assert_close(model.decode_tiled(latents, tile=8, overlap=3), model.decode(latents))


@torch.no_grad()
def test_seams_are_ramps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles that come out in quite different tones meet without a step."""
    model, tones = vae(), iter(range(100))

    def decode(latents: Tensor) -> Tensor:
        return torch.full((1, 3, latents.shape[2] * 4, latents.shape[3] * 4), float(next(tones) % 2))

    monkeypatch.setattr(model, "decode", decode)
    pixels = model.decode_tiled(torch.zeros(1, 3, 8, 30), tile=12, overlap=4)
    steps = pixels.diff(dim=3).abs()
    assert pixels.amin() == 0
    assert pixels.amax() == 1
    assert steps.max() <= 1.01 / 16  # 4 cells of 4 pixels


@torch.no_grad()
def test_small_pictures_are_decoded_whole() -> None:
    model = vae()
    latents = torch.randn(1, 3, 8, 6)
    assert torch.equal(model.decode_tiled(latents, tile=8, overlap=2), model.decode(latents))


@torch.no_grad()
def test_tiles_report_and_can_be_stopped() -> None:
    model, seen = vae(), []

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        model.decode_tiled(torch.randn(1, 3, 12, 12), tile=8, overlap=2, on_tile=stop)
    assert seen == [(1, 4), (2, 4)]


@pytest.mark.parametrize("overlap", [-1, 8])
def test_wrong_overlap(overlap: int) -> None:
    with pytest.raises(ConfigError, match=str(overlap)):
        vae().decode_tiled(torch.zeros(1, 3, 8, 8), tile=8, overlap=overlap)


def test_latent_statistics() -> None:
    latents = torch.randn(2, 3, 4, 4)
    own = vae(latents_mean=[0.5, -1.0, 0.0], latents_std=[2.0, 1.0, 0.5])
    torch.testing.assert_close(own.normalize(latents)[:, 0], (latents[:, 0] - 0.5) / 2.0)
    torch.testing.assert_close(own.denormalize(own.normalize(latents)), latents)
    plain = vae(scaling_factor=0.25, shift_factor=0.1)
    torch.testing.assert_close(plain.normalize(latents), (latents - 0.1) * 0.25)


def test_learns_one_picture() -> None:
    model = vae().train()
    pixels = torch.rand(1, 3, 16, 16) * 2 - 1
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = (model.decode(model.encode(pixels)[0]) - pixels).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    "change",
    [
        {"act_fn": "relu"},
        {"block_out_channels": [4, 7, 8]},
        {"latents_mean": [0.0], "latents_std": [1.0]},
        {"latents_std": [1.0] * 3},
        {"latents_std": [1.0, 0.0, 1.0], "latents_mean": [0.0] * 3},
        {"down_block_types": ["DownEncoderBlock2D", "AttnDownEncoderBlock2D", "DownEncoderBlock2D"]},
        {"latent_channels": 0},
    ],
)
def test_config_errors_name_the_field(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        VAEConfig.from_dict({**VAEConfig(**SIZES).to_dict(), **change})
