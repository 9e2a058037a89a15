"""Configurations of GLM-V: what is read, what is written, what is refused and how."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from inkwash.core.errors import ConfigError
from inkwash.models.glm_v.config import GlmVConfig, GlmVVisionConfig, MoETextConfig, TextConfig
from inkwash.models.glm_v.model import GlmV
from inkwash.models.weights import parameters_on_meta

VISION: dict[str, Any] = {
    "depth": 24,
    "hidden_size": 1536,
    "num_heads": 12,
    "out_hidden_size": 4096,
    "intermediate_size": 13696,
    "image_size": 336,
    "patch_size": 14,
}
DENSE: dict[str, Any] = {
    "model_type": "glm4v",
    "architectures": ["Glm4vForConditionalGeneration"],
    "image_token_id": 151343,
    "video_token_id": 151344,
    "text_config": {
        "model_type": "glm4v_text",
        "vocab_size": 151552,
        "hidden_size": 4096,
        "intermediate_size": 13696,
        "num_hidden_layers": 40,
        "num_attention_heads": 32,
        "num_key_value_heads": 2,
        "partial_rotary_factor": 0.5,
        "rope_theta": 10000.0,
        "rope_scaling": {"rope_type": "default", "mrope_section": [8, 12, 12]},
        "eos_token_id": [151329, 151336, 151338, 151348],
        "pad_token_id": 151329,
    },
    "vision_config": VISION,
}
EXPERTS: dict[str, Any] = {
    "model_type": "glm4v_moe",
    "image_token_id": 151363,
    "video_token_id": 151364,
    "text_config": {
        "model_type": "glm4v_moe_text",
        "vocab_size": 151552,
        "hidden_size": 4096,
        "head_dim": 128,
        "intermediate_size": 10944,
        "num_hidden_layers": 46,
        "num_attention_heads": 96,
        "num_key_value_heads": 8,
        "n_routed_experts": 128,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 1408,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 12, 12]},
    },
    "vision_config": {**VISION, "intermediate_size": 10944, "rope_parameters": {"rope_type": "axial"}},
}


def changed(base: dict[str, Any], half: str | None = None, **values: Any) -> dict[str, Any]:
    copied = copy.deepcopy(base)
    (copied if half is None else copied[half]).update(values)
    return copied


def test_the_released_dense_settings() -> None:
    config = GlmVConfig.from_dict(DENSE)
    assert type(config.text_config) is TextConfig
    assert config.text_config.head_width == 128 and config.text_config.rotary_dim == 64
    assert config.text_config.eos_token_id == (151329, 151336, 151338, 151348)
    assert config.vision_config.grid == 24 and config.vision_config.patch_values == 1176
    assert (config.video_start_token_id, config.video_end_token_id) == (151341, 151342)


def test_the_released_settings_with_experts() -> None:
    text = GlmVConfig.from_dict(EXPERTS).text_config
    assert isinstance(text, MoETextConfig)
    assert text.head_width == 128, "head_dim is explicit: 4096 / 96 would be wrong"
    assert text.rotary_dim == 64, "half of a head is rotated even where the file does not say so"
    assert (text.n_group, text.topk_group, text.first_k_dense_replace, text.norm_topk_prob) == (1, 1, 1, True)


@pytest.mark.parametrize("kind", ["glm4v_text", "glm4v_moe_text"])
def test_the_4_6_generation_takes_either_decoder(kind: str) -> None:
    source = DENSE if kind == "glm4v_text" else EXPERTS
    config = GlmVConfig.from_dict(changed(source, model_type="glm46v"))
    assert config.text_config.model_type == kind
    assert config.to_dict()["architectures"] == ["Glm46VForConditionalGeneration"]
    assert config.to_dict()["text_config"]["model_type"] == kind


@pytest.mark.parametrize("source", [DENSE, EXPERTS])
def test_written_settings_read_back_the_same(source: dict[str, Any]) -> None:
    config = GlmVConfig.from_dict(changed(source, tie_word_embeddings=True))
    assert config.tie_word_embeddings
    assert GlmVConfig.from_dict(config.to_dict()) == config


def test_a_tie_written_in_the_text_half_counts() -> None:
    assert GlmVConfig.from_dict(changed(DENSE, "text_config", tie_word_embeddings=True)).tie_word_embeddings


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (changed(DENSE, model_type="glm9v"), "model_type must be one of glm4v"),
        (changed(DENSE, "text_config", vocab_size=None), "TextConfig lacks vocab_size"),
        (changed(DENSE, "text_config", partial_rotary_factor=1.0), "mrope_section must sum to half of the 128"),
        (changed(DENSE, "text_config", head_dim=64), "hidden_size / num_attention_heads"),
        (changed(DENSE, "text_config", num_key_value_heads=3), "multiple of num_key_value_heads"),
        (changed(DENSE, "text_config", eos_token_id="x"), "eos_token_id must be whole numbers"),
        (changed(DENSE, "vision_config", out_hidden_size=2048), "must equal text_config.hidden_size 4096"),
        (changed(DENSE, "vision_config", num_heads=5), "multiple of four times num_heads"),
        (changed(DENSE, "vision_config", patch_size=[14, 16]), "the same along every axis"),
        (changed(DENSE, image_token_id=151552), "outside the vocabulary of 151552 ids"),
        (changed(DENSE, text_config=EXPERTS["text_config"]), "cannot have a glm4v_moe_text decoder"),
        (changed(DENSE, text_config=[]), "must be JSON objects"),
        (changed(EXPERTS, "text_config", n_group=3), "dealt evenly to n_group 3"),
        (changed(EXPERTS, "text_config", n_group=64, topk_group=2), "too few for num_experts_per_tok 8"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        GlmVConfig.from_dict(values)


def test_sizes_written_per_axis_are_read() -> None:
    config = GlmVVisionConfig.from_dict({**VISION, "image_size": [336, 336], "temporal_patch_size": [2, 2]})
    assert config.image_size == 336 and config.temporal_patch_size == 2


def size(source: dict[str, Any], layers: int) -> int:
    with parameters_on_meta():
        model = GlmV(GlmVConfig.from_dict(changed(source, "text_config", num_hidden_layers=layers)))
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("source", "layers", "billions"), [(DENSE, 40, 10.29), (EXPERTS, 46, 107.7)])
def test_the_released_models_have_their_size(source: dict[str, Any], layers: int, billions: float) -> None:
    one, two = size(source, 1), size(source, 2)  # all layers after the first are alike
    assert (one + (layers - 1) * (two - one)) / 1e9 == pytest.approx(billions, rel=1e-3)
