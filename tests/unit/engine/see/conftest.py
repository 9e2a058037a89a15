"""Tiny random models that see, dense and with experts, with the templates of both answer styles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.models.glm.decoder import RopeParameters
from inkwash.models.glm_v.config import GlmVConfig, GlmVVisionConfig, MoETextConfig, TextConfig
from inkwash.models.glm_v.model import GlmV, init_weights
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.weights import GlmVParts
from tests.parity.glm_v_folder import PLAIN, TAGGED, write_folder

TEMPLATES = {"plain": PLAIN, "tagged": TAGGED}
SIZES = {
    "vocab_size": 288,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "rope_parameters": RopeParameters(partial_rotary_factor=0.5, mrope_section=(1, 2, 1)),
    "max_position_embeddings": 4096,
}
MakePipeline = Callable[..., GlmVisionPipeline]


def tiny_parts(folder: Path, style: str = "plain", *, experts: bool = False, seed: int = 0, **sizes: Any) -> GlmVParts:
    """Random weights that are far enough from zero for every place of the prompt to matter."""
    processor = GlmVProcessor.from_folder(write_folder(folder, TEMPLATES[style], patch=4, shortest=64))
    if not experts:
        text = TextConfig(**{**SIZES, **sizes})  # type: ignore[arg-type]
    else:
        more = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 16}
        text = MoETextConfig(**{**SIZES, **more, **sizes})  # type: ignore[arg-type]
    vision = GlmVVisionConfig(
        depth=1, hidden_size=32, num_heads=2, out_hidden_size=48, intermediate_size=40, image_size=32, patch_size=4
    )
    names = {
        "image_token_id": "<|image|>",
        "video_token_id": "<|video|>",
        "image_start_token_id": "<|begin_of_image|>",
        "image_end_token_id": "<|end_of_image|>",
        "video_start_token_id": "<|begin_of_video|>",
        "video_end_token_id": "<|end_of_video|>",
    }
    ids = {name: processor.token_id(token) for name, token in names.items()}
    kind = "glm4v_moe" if experts else "glm4v"
    torch.manual_seed(seed)
    model = GlmV(GlmVConfig(model_type=kind, text_config=text, vision_config=vision, **ids))
    init_weights(model, std=0.2)
    with torch.no_grad():
        model.lm_head.weight[256:] = 0.0  # control tokens are never said by chance
    stops = [processor.token_id(token) for token in ("<|endoftext|>", "<|user|>", "<|observation|>")]
    return GlmVParts(model=model, processor=processor, generation={"eos_token_id": stops})


@pytest.fixture(scope="session")
def make_pipeline(tmp_path_factory: pytest.TempPathFactory) -> MakePipeline:
    """A fresh pipeline, so that no test sees what another one left."""

    def make(style: str = "plain", *, experts: bool = False, conversations: int = 4) -> GlmVisionPipeline:
        folder = tmp_path_factory.mktemp("see") / "model"
        return GlmVisionPipeline(tiny_parts(folder, style, experts=experts), conversations=conversations)

    return make
