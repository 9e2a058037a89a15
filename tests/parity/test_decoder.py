"""The decoder against the reference transformer, on tiny random weights, with and without reference pictures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import GlmImageTransformer2DModel
from diffusers.models.transformers.transformer_glm_image import GlmImageKVCache
from torch import Tensor

from inkwash.models.glm_image.config import DecoderConfig
from inkwash.models.glm_image.decoder import Decoder, fuse_qkv
from inkwash.models.glm_image.decoder_blocks import References

CONFIG = DecoderConfig(
    in_channels=3,
    out_channels=3,
    num_layers=3,
    attention_head_dim=16,
    num_attention_heads=2,
    text_embed_dim=24,
    time_embed_dim=32,
    condition_dim=8,
    prior_vq_quantizer_codebook_size=50,
)
SIZES = [(4, 4), (4, 10), (8, 2), (6, 8)]  # latents, height first


@pytest.fixture(scope="module")
def pair() -> tuple[GlmImageTransformer2DModel, Decoder]:
    """The reference and ours with the same random weights, none of them zero."""
    torch.manual_seed(0)
    reference = GlmImageTransformer2DModel.from_config(CONFIG.to_dict()).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.copy_(
                torch.randn_like(parameter) * (0.3 if parameter.dim() == 1 else parameter.shape[-1] ** -0.5)
            )
    ours = Decoder(CONFIG).eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    return reference, ours


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    assert actual.shape == expected.shape
    assert actual.isfinite().all()
    assert (actual.float() - expected.float()).abs().max() <= tolerance * expected.float().abs().max()


def inputs(rows: int, height: int, width: int, glyphs: int, seed: int = 1) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "latents": torch.randn(rows, CONFIG.in_channels, height, width, generator=draw),
        "glyphs": torch.randn(rows, glyphs, CONFIG.text_embed_dim, generator=draw),
        "prior_ids": torch.randint(0, 50, (rows, height * width // 4), generator=draw),
        "timestep": torch.randint(0, 1000, (rows,), generator=draw).float(),
        "target_size": torch.tensor([[height * 8.0, width * 8.0]]).repeat(rows, 1),
        "crop": torch.randint(0, 64, (rows, 2), generator=draw).float(),
    }


def run_reference(
    model: GlmImageTransformer2DModel, x: dict[str, Tensor], drop: Tensor | None = None, **more: Any
) -> Tensor:
    drop = torch.zeros(x["latents"].shape[0], dtype=torch.bool) if drop is None else drop
    with torch.no_grad():
        return model(
            hidden_states=x["latents"],
            encoder_hidden_states=x["glyphs"],
            prior_token_id=x["prior_ids"],
            prior_token_drop=drop[:, None].expand_as(x["prior_ids"]),
            timestep=x["timestep"],
            target_size=x["target_size"],
            crop_coords=x["crop"],
            return_dict=False,
            **more,
        )[0]


def write_cache(model: GlmImageTransformer2DModel, rows: list[list[dict[str, Tensor]]]) -> GlmImageKVCache:
    """Reference pictures into the reference's cache, as its pipeline does it."""
    cache = GlmImageKVCache(num_layers=CONFIG.num_layers)
    cache.set_mode("write")
    for pictures in rows:
        for picture in pictures:
            zero = {"timestep": torch.zeros(1), "crop": torch.zeros(1, 2), "glyphs": picture["glyphs"][:, :0]}
            run_reference(model, {**picture, **zero}, kv_caches=cache)
        cache.next_sample()
    cache.set_mode("read")
    return cache


def encode(model: Decoder, rows: list[list[dict[str, Tensor]]]) -> References | None:
    with torch.no_grad():
        return References.collect(
            [[model.encode_reference(p["latents"], p["prior_ids"], p["target_size"]) for p in row] for row in rows]
        )


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("glyphs", [1, 7])
def test_forward(pair: Any, height: int, width: int, glyphs: int) -> None:
    reference, ours = pair
    x = inputs(2, height, width, glyphs)
    with torch.no_grad():
        close(ours(**x), run_reference(reference, x))


def test_dropped_prior(pair: Any) -> None:
    reference, ours = pair
    x, drop = inputs(3, 4, 6, 2), torch.tensor([True, False, True])
    with torch.no_grad():
        dropped = ours(**x, prior_drop=drop)
        close(dropped, run_reference(reference, x, drop))
        assert not torch.allclose(dropped[0], ours(**x)[0], atol=1e-3)


@pytest.mark.parametrize("sizes", [[(4, 4)], [(4, 6), (8, 2)]])
def test_references(pair: Any, sizes: list[tuple[int, int]]) -> None:
    """One and two reference pictures of other sizes, a set per row."""
    reference, ours = pair
    x = inputs(2, 4, 8, 3)
    rows = [[inputs(1, *size, glyphs=1, seed=10 * row + i) for i, size in enumerate(sizes)] for row in (1, 2)]
    with torch.no_grad():
        actual = ours(**x, references=encode(ours, rows))
        close(actual, run_reference(reference, x, kv_caches=write_cache(reference, rows)))
        assert not torch.allclose(actual, ours(**x), atol=1e-3)


def test_shared_references(pair: Any) -> None:
    reference, ours = pair
    x = inputs(3, 4, 4, 2)
    picture = inputs(1, 4, 6, 1, seed=5)
    with torch.no_grad():
        encoded = ours.encode_reference(picture["latents"], picture["prior_ids"], picture["target_size"])
        shared = References.shared([encoded], rows=3)
        close(ours(**x, references=shared), run_reference(reference, x, kv_caches=write_cache(reference, [[picture]])))


def test_guided_steps(pair: Any) -> None:
    """cond and uncond as one prepared batch equal the reference's two passes, at every step."""
    reference, ours = pair
    cond, uncond = inputs(2, 4, 8, 5, seed=3), inputs(2, 4, 8, 2, seed=4)
    cond["crop"] = torch.zeros(2, 2)
    pictures = [[inputs(1, 4, 4, 1, seed=7)], [inputs(1, 2, 8, 1, seed=8)]]
    padded = torch.nn.functional.pad(uncond["glyphs"], (0, 0, 0, 3), value=9.0)
    timesteps = torch.tensor([999.0, 500.0, 17.0])
    conditions = ours.prepare(
        torch.cat([cond["glyphs"], padded]),
        cond["prior_ids"].repeat(2, 1),
        timesteps,
        cond["target_size"].repeat(2, 1),
        cond["crop"].repeat(2, 1),
        size=(4, 8),
        glyph_mask=torch.tensor([[1, 1, 1, 1, 1]] * 2 + [[1, 1, 0, 0, 0]] * 2).bool(),
        prior_drop=torch.tensor([False, False, True, True]),
        references=encode(ours, pictures),
    )
    fuse_qkv(ours)
    for i, timestep in enumerate(timesteps):
        cond["timestep"] = timestep.expand(2)
        actual = ours.step(cond["latents"], conditions, i)
        close(actual[:2], run_reference(reference, cond, kv_caches=write_cache(reference, pictures)))
        uncond_inputs = {**cond, "glyphs": uncond["glyphs"]}
        close(actual[2:], run_reference(reference, uncond_inputs, torch.tensor([True, True])))


def test_bfloat16(pair: Any) -> None:
    """A bf16 copy strays from fp32 no further than the reference's bf16 copy does, give or take rounding."""
    reference, _ = pair
    x = inputs(2, 4, 6, 4)
    expected = run_reference(reference, x)
    low_reference = GlmImageTransformer2DModel.from_config(CONFIG.to_dict()).bfloat16().eval()
    low_reference.load_state_dict(reference.state_dict())
    low_ours = Decoder(CONFIG).bfloat16().eval()
    low_ours.load_state_dict(reference.state_dict(), strict=True)
    low = {**x, "latents": x["latents"].bfloat16(), "glyphs": x["glyphs"].bfloat16()}
    with torch.no_grad():
        actual = low_ours(**low)
    assert actual.dtype == torch.bfloat16
    error = (run_reference(low_reference, low).float() - expected).square().mean().sqrt()
    assert (actual.float() - expected).square().mean().sqrt() <= 1.5 * error
