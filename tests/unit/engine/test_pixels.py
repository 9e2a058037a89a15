"""Output types, and edits that leave every pixel outside their mask as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from inkwash.core.errors import RequestError
from inkwash.engine.output import MaskedEdit, check_output_type, decode_latents, to_output
from inkwash.engine.pipeline import GlmImagePipeline


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def mask_of(size: tuple[int, int], box: tuple[int, int, int, int], level: int = 255) -> Image.Image:
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).rectangle(box, fill=level)
    return mask


def test_outputs_are_those_of_the_reference_postprocessor() -> None:
    from diffusers.image_processor import VaeImageProcessor

    raw = torch.randn(2, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    pixels = (raw / 2 + 0.5).clamp(0, 1)
    processor = VaeImageProcessor(vae_scale_factor=8)
    assert torch.equal(to_output(pixels, "pt"), processor.postprocess(raw, output_type="pt"))
    assert np.array_equal(to_output(pixels, "np"), processor.postprocess(raw, output_type="np"))
    expected = processor.postprocess(raw, output_type="pil")
    for got, want in zip(to_output(pixels, "pil"), expected, strict=True):
        assert np.array_equal(np.array(got), np.array(want))


def test_unknown_output_type_is_refused() -> None:
    with pytest.raises(RequestError, match="pil, np, pt, latent"):
        check_output_type("jpeg")


def test_large_pictures_are_decoded_in_tiles(pipe: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    tiled: list[tuple[int, ...]] = []
    decode_tiled = pipe.parts.vae.decode_tiled
    monkeypatch.setattr(
        pipe.parts.vae, "decode_tiled", lambda z, **options: tiled.append(tuple(z.shape)) or decode_tiled(z, **options)
    )
    latents = torch.zeros(2, 16, 8, 12)
    plain = decode_latents(pipe.parts.vae, latents)
    assert not tiled
    monkeypatch.setattr("inkwash.engine.output.TILED_AREA", 64 * 64)
    assert torch.equal(decode_latents(pipe.parts.vae, latents), plain)
    assert tiled == [(1, 16, 8, 12)] * 2  # one picture at a time


def test_masked_edit_changes_nothing_outside(pipe: GlmImagePipeline) -> None:
    original = noise(96, 64)
    box = (20, 10, 50, 40)
    call = {"prompt": 'Write "HI"', "image": [original], "height": 64, "width": 96, "num_inference_steps": 4}
    made = np.array(pipe(**call, mask=mask_of((96, 64), box), generator=torch.Generator().manual_seed(1)).images[0])
    inside = np.zeros((64, 96), dtype=bool)
    inside[box[1] : box[3] + 1, box[0] : box[2] + 1] = True
    assert np.array_equal(made[~inside], np.array(original)[~inside])
    assert (made[inside] != np.array(original)[inside]).mean() > 0.9
    free = np.array(pipe(**call, generator=torch.Generator().manual_seed(1)).images[0])
    assert (free[~inside] != np.array(original)[~inside]).mean() > 0.9
    assert not np.array_equal(free[inside], made[inside])  # the kept surroundings steer what is drawn inside


def test_kept_cells_touch_no_white_pixel() -> None:
    edit = MaskedEdit(noise(64, 64), mask_of((64, 64), (8, 8, 16, 15)), 64, 64)
    kept = edit.kept_cells(8)[0, 0]
    assert kept.shape == (8, 8)
    assert (~kept).nonzero().tolist() == [[1, 1], [1, 2]]


def test_soft_masks_mix() -> None:
    edit = MaskedEdit(Image.new("RGB", (64, 64), "black"), mask_of((64, 64), (0, 0, 63, 63), level=51), 64, 64)
    assert torch.allclose(edit.compose(torch.ones(1, 3, 64, 64)), torch.tensor(0.2))


def test_masks_that_cannot_be_meant_are_refused(pipe: GlmImagePipeline) -> None:
    with pytest.raises(RequestError, match="equally large"):
        MaskedEdit(noise(64, 64), Image.new("L", (32, 32), 255), 64, 64)
    with pytest.raises(RequestError, match="black everywhere"):
        MaskedEdit(noise(64, 64), Image.new("L", (64, 64), 0), 64, 64)
    with pytest.raises(RequestError, match="exactly one prompt"):
        pipe(prompt="x", mask=Image.new("L", (64, 64), 255))
