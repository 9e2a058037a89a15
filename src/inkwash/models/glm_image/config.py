"""Configurations of the AR generator, its ViT and its VQ, with the field names of the released config.json.

`from_dict` reads a released file (unknown bookkeeping keys are ignored, a missing size is an error) and `to_dict`
writes one that the reference library loads. No size has a default: every checkpoint states its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from inkwash.core.errors import ConfigError
from inkwash.models.glm.config import (
    ACTIVATIONS,
    TextDecoderConfig,
    json_object,
    read_fields,
    require_choice,
    require_number,
    require_whole,
)


@dataclass(frozen=True, kw_only=True)
class ARTextConfig(TextDecoderConfig):
    """The decoder-only transformer that writes semantic tokens."""

    model_type: ClassVar[str] = "glm_image_text"

    vision_vocab_size: int
    eos_token_id: int | None = None

    def _check_kind(self) -> None:
        require_whole(self, "vision_vocab_size")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        values = json_object(cls.__name__, values)
        if isinstance(values.get("eos_token_id"), list | tuple):
            values["eos_token_id"] = next(iter(values["eos_token_id"]), None)
        return super().from_dict(values)


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """The ViT that looks at reference images."""

    depth: int
    hidden_size: int
    num_heads: int
    intermediate_size: int
    image_size: int
    patch_size: int
    in_channels: int = 3
    hidden_act: str = "gelu"
    attention_bias: bool = True
    layer_norm_eps: float = 1e-6
    spatial_merge_size: int = 1
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        require_whole(self, "depth", "hidden_size", "num_heads", "intermediate_size", "image_size", "patch_size")
        require_whole(self, "in_channels")
        if self.hidden_size % self.num_heads:
            raise ConfigError(f"hidden_size {self.hidden_size} must be a multiple of num_heads {self.num_heads}.")
        if self.image_size < self.patch_size:
            raise ConfigError(f"image_size {self.image_size} must be at least patch_size {self.patch_size}.")
        require_number(self, "layer_norm_eps", "initializer_range")
        require_choice(self, "hidden_act", ACTIVATIONS)
        if self.spatial_merge_size != 1:
            raise ConfigError(f"spatial_merge_size must be 1 for this family, got {self.spatial_merge_size!r}.")

    @property
    def grid(self) -> int:
        """Side of the square of learned positions."""
        return self.image_size // self.patch_size

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        values = json_object(cls.__name__, values)
        for name in ("image_size", "patch_size"):
            values[name] = _square(name, values.get(name))
        return cls(**read_fields(cls, values))

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "model_type": "glm_image_vision", "attention_dropout": 0.0}


@dataclass(frozen=True, kw_only=True)
class VQConfig:
    """The codebook that turns ViT features into semantic tokens."""

    embed_dim: int
    num_embeddings: int
    latent_channels: int
    in_channels: int = 3
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        require_whole(self, "embed_dim", "num_embeddings", "latent_channels")
        require_number(self, "initializer_range")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**read_fields(cls, values))

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "model_type": "glm_image_vqmodel"}


@dataclass(frozen=True, kw_only=True)
class ARConfig:
    """Everything in `vision_language_encoder/config.json`."""

    text_config: ARTextConfig
    vision_config: VisionConfig
    vq_config: VQConfig
    image_token_id: int
    image_start_token_id: int
    image_end_token_id: int

    def __post_init__(self) -> None:
        if self.vq_config.latent_channels != self.vision_config.hidden_size:
            raise ConfigError(
                f"vq_config.latent_channels {self.vq_config.latent_channels} must equal vision_config.hidden_size "
                f"{self.vision_config.hidden_size}."
            )
        text = self.text_config
        names = ("image_token_id", "image_start_token_id", "image_end_token_id")
        require_whole(self, *names, minimum=0)
        for name in names:
            if getattr(self, name) >= text.vocab_size:
                raise ConfigError(f"{name} {getattr(self, name)} lies outside the vocabulary of {text.vocab_size} ids.")
        if not self.vq_config.num_embeddings <= text.vision_vocab_size <= text.vocab_size:
            raise ConfigError(
                f"vision_vocab_size {text.vision_vocab_size} must lie between the number of codes "
                f"{self.vq_config.num_embeddings} and vocab_size {text.vocab_size}."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        parts = read_fields(cls, values)
        parts["text_config"] = ARTextConfig.from_dict(parts["text_config"])
        parts["vision_config"] = VisionConfig.from_dict(parts["vision_config"])
        parts["vq_config"] = VQConfig.from_dict(parts["vq_config"])
        return cls(**parts)

    def to_dict(self) -> dict[str, Any]:
        return {
            "architectures": ["GlmImageForConditionalGeneration"],
            "model_type": "glm_image",
            "image_token_id": self.image_token_id,
            "image_start_token_id": self.image_start_token_id,
            "image_end_token_id": self.image_end_token_id,
            "tie_word_embeddings": False,
            "text_config": self.text_config.to_dict(),
            "vision_config": self.vision_config.to_dict(),
            "vq_config": self.vq_config.to_dict(),
        }


def _square(name: str, value: Any) -> Any:
    """The reference also allows [side, side]."""
    if isinstance(value, list | tuple):
        if len(set(value)) != 1:
            raise ConfigError(f"{name} must be square, got {list(value)}.")
        return value[0]
    return value
