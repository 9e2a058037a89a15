"""Weights of a model that sees in 8 bits: smaller, near, the same layers as named, and refused where it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inkwash.core.errors import ConfigError, RequestError
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.models.glm_v.weights import save_glm_v
from inkwash.nn.linear import is_plain
from tests.unit.engine.see.conftest import tiny_parts
from tests.unit.engine.see.test_see_pipeline import MIXED, naive


def hidden_states(pipe: GlmVisionPipeline) -> torch.Tensor:
    prompt = pipe.prepare(MIXED)
    with torch.no_grad():
        features = pipe.parts.model.see(prompt.patches, prompt.grids)  # type: ignore[arg-type]
        found: torch.Tensor = pipe.parts.model(
            prompt.ids[None], prompt.positions[:, None], features=features, modality=prompt.modality[None]
        )
    return found.float()


@pytest.mark.slow
@pytest.mark.parametrize("experts", [False, True])
@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_rounded_weights_are_smaller_and_near(tmp_path: Path, experts: bool, kind: str) -> None:
    parts = tiny_parts(tmp_path / "files", experts=experts)
    with torch.no_grad():
        parts.model.lm_head.weight[256:] = -1e-3  # control tokens are never said by chance
        parts.model.model.language_model.layers[1].self_attn.o_proj.weight[3] = 0.0  # has no scale
    folder = save_glm_v(parts, tmp_path / "model")
    plain = GlmVisionPipeline.from_pretrained(folder)
    pipe = GlmVisionPipeline.from_pretrained(folder, quantize=kind)
    model = pipe.parts.model
    rounded = {name.removesuffix(".weight") for name, p in model.named_parameters() if not is_plain(p)}
    mlp = "model.language_model.layers.1.mlp"
    assert {"lm_head", "model.language_model.layers.0.self_attn.o_proj"} <= rounded
    assert (f"{mlp}.experts.3.up_proj" if experts else f"{mlp}.gate_up_proj") in rounded
    assert not any("visual" in name or "q_proj" in name or name[-8:] == "mlp.gate" for name in rounded)
    assert "model.language_model.layers.1.self_attn.o_proj" not in rounded
    expected, found = hidden_states(plain), hidden_states(pipe)
    error = float((found - expected).norm() / expected.norm())
    assert 1e-5 < error < (0.05 if kind == "int8" else 0.15)
    answer = pipe(MIXED, max_new_tokens=8, temperature=0, stop_loops=False)
    assert list(answer.token_ids) == naive(pipe, pipe.prepare(MIXED), 8)  # the decode path has the rounded weights
    with pytest.raises(ConfigError, match="without quantize"):
        pipe.save_pretrained(tmp_path / "again")


def test_what_cannot_be_rounded_is_one_sentence(tmp_path: Path) -> None:
    folder = save_glm_v(tiny_parts(tmp_path / "files"), tmp_path / "model")
    with pytest.raises(RequestError, match="must be one of int8, int4, fp8"):
        GlmVisionPipeline.from_pretrained(folder, quantize="int3")
    with pytest.raises(ConfigError, match="int4 weights need a CUDA device"):
        GlmVisionPipeline.from_pretrained(folder, quantize="int4", device_map="cpu")
