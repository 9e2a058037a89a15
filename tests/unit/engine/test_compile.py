"""Compiled regions against the plain ones, and what cannot be compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from inkwash.core.errors import ConfigError
from inkwash.engine import compile as compiling
from inkwash.engine.compile import compile_decoder
from inkwash.engine.pipeline import GlmImagePipeline

CPU = torch.device("cpu")
CALL: dict[str, Any] = {
    "prompt": 'A "SIGN"',
    "height": 64,
    "width": 64,
    "num_inference_steps": 3,
    "output_type": "latent",
}


def draw(pipe: GlmImagePipeline) -> torch.Tensor:
    images = pipe(**CALL, generator=torch.Generator().manual_seed(7)).images
    assert isinstance(images, torch.Tensor)
    return images


@pytest.mark.slow
def test_regions_trace_once_for_all_blocks(tiny_folder: Path) -> None:
    pipe = GlmImagePipeline.from_pretrained(tiny_folder)
    expected = draw(pipe)
    torch._dynamo.reset()
    compile_decoder(pipe.parts.decoder, CPU, backend="eager")
    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True):
        got = draw(pipe)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_inductor_draws_the_same_picture(tiny_folder: Path) -> None:
    pipe = GlmImagePipeline.from_pretrained(tiny_folder)
    expected = draw(pipe)
    torch._dynamo.reset()
    compile_decoder(pipe.parts.decoder, CPU)
    torch.testing.assert_close(draw(pipe), expected, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_compiled_is_one_sentence(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    streamed = GlmImagePipeline.from_pretrained(tiny_folder, offload="block")
    with pytest.raises(ConfigError, match="stage"):
        compile_decoder(streamed.parts.decoder, CPU)
    monkeypatch.setattr(compiling, "compiler", lambda: None)
    plain = GlmImagePipeline.from_pretrained(tiny_folder)
    with pytest.raises(ConfigError, match=r"C\+\+ compiler"):
        compile_decoder(plain.parts.decoder, CPU)
