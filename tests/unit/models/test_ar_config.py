"""Configurations of the AR generator, its ViT and VQ: what is read, what is written, what is refused and how."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from inkwash.core.errors import ConfigError
from inkwash.models.glm.decoder import RopeParameters
from inkwash.models.glm_image.config import ARConfig, ARTextConfig, VisionConfig

RELEASED: dict[str, Any] = {
    "architectures": ["GlmImageForConditionalGeneration"],
    "model_type": "glm_image",
    "transformers_version": "5.0.0",
    "image_token_id": 167855,
    "image_start_token_id": 16384,
    "image_end_token_id": 16385,
    "text_config": {
        "model_type": "glm_image_text",
        "vocab_size": 168064,
        "vision_vocab_size": 16512,
        "hidden_size": 4096,
        "intermediate_size": 13696,
        "num_hidden_layers": 40,
        "num_attention_heads": 32,
        "num_key_value_heads": 2,
        "eos_token_id": [16385],
        "pad_token_id": 167841,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
            "mrope_section": [8, 12, 12],
        },
    },
    "vision_config": {
        "depth": 40,
        "hidden_size": 1536,
        "num_heads": 16,
        "intermediate_size": 6144,
        "image_size": [2048, 2048],
        "patch_size": 16,
    },
    "vq_config": {"embed_dim": 2048, "num_embeddings": 16384, "latent_channels": 1536},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    values = copy.deepcopy(RELEASED)
    *parents, last = path.split(".")
    inner = values
    for name in parents:
        inner = inner[name]
    inner[last] = value
    return values


def test_released_sizes_are_read() -> None:
    config = ARConfig.from_dict(RELEASED)
    text = config.text_config
    assert (text.head_width, text.rotary_dim, text.num_key_value_heads) == (128, 64, 2)
    assert text.rope_parameters == RopeParameters(partial_rotary_factor=0.5)
    assert text.eos_token_id == 16385
    assert config.vision_config.grid == 128


def test_written_config_reads_back_the_same() -> None:
    config = ARConfig.from_dict(RELEASED)
    assert ARConfig.from_dict(config.to_dict()) == config
    assert config.to_dict()["text_config"]["rope_parameters"]["mrope_section"] == [8, 12, 12]


def test_what_is_unset_is_not_written() -> None:
    text = ARConfig.from_dict(changed("text_config.pad_token_id", None)).text_config
    assert text.pad_token_id is None
    assert "pad_token_id" not in text.to_dict()


def test_rotary_settings_beside_or_inside_their_object() -> None:
    loose = copy.deepcopy(RELEASED["text_config"])
    rope = loose.pop("rope_parameters")
    loose |= {"rope_theta": 500.0, "partial_rotary_factor": 0.5, "rope_scaling": {"mrope_section": [8, 12, 12]}}
    assert ARTextConfig.from_dict(loose).rope_parameters == RopeParameters.from_dict({**rope, "rope_theta": 500.0})


def test_no_grouping_when_key_value_heads_are_absent() -> None:
    assert ARConfig.from_dict(changed("text_config.num_key_value_heads", None)).text_config.num_key_value_heads == 32


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("text_config.hidden_size", None, "ARTextConfig lacks hidden_size"),
        ("vision_config.depth", None, "VisionConfig lacks depth"),
        ("image_token_id", None, "ARConfig lacks image_token_id"),
        ("text_config", 3, "ARTextConfig must be a JSON object, got 3"),
        ("vision_config", "x", "VisionConfig must be a JSON object, got 'x'"),
        ("vq_config", [1], r"VQConfig must be a JSON object, got \[1\]"),
        ("text_config.rope_parameters", 7, "rope_parameters must be a JSON object, got 7"),
        ("text_config.num_hidden_layers", "40", "num_hidden_layers must be a whole number of at least 1, got '40'"),
        ("text_config.num_hidden_layers", 0, "num_hidden_layers must be a whole number of at least 1, got 0"),
        ("text_config.num_key_value_heads", 5, "must be a multiple of num_key_value_heads, got 32 and 5"),
        ("text_config.hidden_act", "relu", "hidden_act must be one of .*, got 'relu'"),
        ("text_config.rms_norm_eps", float("nan"), "rms_norm_eps must be a number above zero, got nan"),
        ("text_config.rope_parameters.rope_type", "yarn", "rope_type must be one of default, got 'yarn'"),
        ("text_config.rope_parameters.partial_rotary_factor", 2.0, "partial_rotary_factor must be at most 1, got 2.0"),
        ("text_config.rope_parameters.mrope_section", [8, 12], "must sum to half of the 64 rotated channels"),
        ("text_config.rope_parameters.mrope_section", 8, "must be a list of whole numbers above zero, got 8"),
        ("vision_config.image_size", [64, 32], r"image_size must be square, got \[64, 32\]"),
        ("vision_config.image_size", 8, "image_size 8 must be at least patch_size 16"),
        ("vision_config.num_heads", 7, "hidden_size 1536 must be a multiple of num_heads 7"),
        ("vision_config.spatial_merge_size", 2, "spatial_merge_size must be 1 for this family, got 2"),
        ("vq_config.latent_channels", 99, "latent_channels 99 must equal vision_config.hidden_size 1536"),
        ("vq_config.num_embeddings", 20000, "must lie between the number of codes 20000 and vocab_size 168064"),
        ("image_start_token_id", -1, "image_start_token_id must be a whole number of at least 0, got -1"),
        ("image_token_id", 168064, "image_token_id 168064 lies outside the vocabulary of 168064 ids"),
    ],
)
def test_wrong_values_are_named_in_one_sentence(path: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ARConfig.from_dict(changed(path, value))


def test_configs_are_frozen() -> None:
    config = VisionConfig.from_dict(RELEASED["vision_config"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.depth = 3  # type: ignore[misc]
