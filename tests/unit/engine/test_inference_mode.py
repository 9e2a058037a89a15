"""A caller in torch's inference mode loads, adapts and draws, and may leave the mode: nothing kept belongs to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.request import DrawRequest

PICTURE = Image.linear_gradient("L").resize((128, 128)).convert("RGB")
REQUEST = DrawRequest(prompt='Say "A"', images=(PICTURE,), height=64, width=96, num_inference_steps=2, seed=3)


@pytest.fixture(scope="module")
def adapter(pipe: GlmImagePipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name = "transformer_blocks.0.attn1.to_q"
    out, inner = pipe.parts.decoder.get_submodule(name).get_parameter("weight").shape
    generator = torch.Generator().manual_seed(0)
    shapes = {"lora_A": (2, inner), "lora_B": (out, 2)}
    path = tmp_path_factory.mktemp("adapter") / "style.safetensors"
    save_file(
        {f"transformer.{name}.{half}.weight": torch.randn(shapes[half], generator=generator) for half in shapes}, path
    )
    return path


def pixels(pipe: GlmImagePipeline) -> np.ndarray:
    return np.asarray(pipe.draw(REQUEST).images[0])


def test_pictures_are_the_same_in_the_mode_and_out_of_it(tiny_folder: Path, adapter: Path) -> None:
    plain = GlmImagePipeline.from_pretrained(tiny_folder, device_map="cpu")
    expected = pixels(plain)
    plain.load_lora_weights(adapter)
    adapted = pixels(plain)
    assert not np.array_equal(expected, adapted)
    with torch.inference_mode():
        pipe = GlmImagePipeline.from_pretrained(tiny_folder, device_map="cpu").to(torch.float32)
        assert np.array_equal(pixels(pipe), expected)
        name = pipe.load_lora_weights(adapter)
        assert np.array_equal(pixels(pipe), adapted)
        tokens = pipe.generate_prior_tokens('Say "A"', 64, 96, image=[PICTURE])[0]
        latents = torch.zeros(1, pipe.parts.decoder.config.in_channels, 8, 12)
        from_latents = pipe.draw(REQUEST, latents=latents).images[0]
    assert not any(weight.is_inference() for network in pipe._networks() for weight in network.parameters())
    assert not tokens.is_inference()
    pipe.set_adapters([name], 0.5)
    pipe.set_adapters([])
    assert np.array_equal(pixels(pipe), expected)
    assert np.array_equal(from_latents, plain.draw(REQUEST, latents=torch.zeros_like(latents)).images[0])
