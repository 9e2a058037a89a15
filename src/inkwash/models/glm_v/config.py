"""Configurations of the GLM-V models, with the field names of the released config.json.

Three `model_type`s share them: `glm4v` (dense), `glm4v_moe` (mixture of experts) and `glm46v`, whose text half is
one of the two. `from_dict` reads a released file (unknown bookkeeping keys are ignored, a missing size is an error)
and `to_dict` writes one that the reference library loads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from inkwash.core.errors import ConfigError
from inkwash.models.glm.decoder import (
    ACTIVATIONS,
    TextDecoderConfig,
    read_fields,
    require_choice,
    require_number,
    require_whole,
)

ARCHITECTURES = {
    "glm4v": "Glm4vForConditionalGeneration",
    "glm4v_moe": "Glm4vMoeForConditionalGeneration",
    "glm46v": "Glm46VForConditionalGeneration",
}


@dataclass(frozen=True, kw_only=True)
class GlmVVisionConfig:
    """The ViT: patches of two frames, 2-D rotary positions, and a merger into the decoder's width."""

    depth: int
    hidden_size: int
    num_heads: int
    out_hidden_size: int
    intermediate_size: int  # of the merger; the inner width of the blocks is out_hidden_size
    image_size: int
    patch_size: int
    temporal_patch_size: int = 2
    spatial_merge_size: int = 2
    in_channels: int = 3
    hidden_act: str = "silu"
    attention_bias: bool = False
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        require_whole(self, "depth", "hidden_size", "num_heads", "out_hidden_size", "intermediate_size", "image_size")
        require_whole(self, "patch_size", "temporal_patch_size", "spatial_merge_size", "in_channels")
        require_number(self, "rms_norm_eps", "rope_theta", "initializer_range")
        require_choice(self, "hidden_act", ACTIVATIONS)
        if self.hidden_size % (4 * self.num_heads):
            raise ConfigError(
                f"hidden_size {self.hidden_size} must be a multiple of four times num_heads {self.num_heads}, so that "
                "rows and columns each rotate pairs of channels."
            )
        if self.image_size < self.patch_size:
            raise ConfigError(f"image_size {self.image_size} must be at least patch_size {self.patch_size}.")

    @property
    def grid(self) -> int:
        """Side of the square of learned positions."""
        return self.image_size // self.patch_size

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads

    @property
    def patch_values(self) -> int:
        """Numbers in one row of patches: channels, frames, rows, columns."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        values = dict(values)
        rope = values.get("rope_parameters")
        if isinstance(rope, Mapping) and rope.get("rope_theta") is not None:
            values["rope_theta"] = rope["rope_theta"]
        for name in ("image_size", "patch_size", "temporal_patch_size"):
            values[name] = _same(name, values.get(name))
        return cls(**read_fields(cls, {name: value for name, value in values.items() if value is not None}))

    def to_dict(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self)
        rope = {"rope_type": "axial", "rope_theta": fields.pop("rope_theta")}
        return {**fields, "rope_parameters": rope, "attention_dropout": 0.0}


@dataclass(frozen=True, kw_only=True)
class TextConfig(TextDecoderConfig):
    """The dense decoder: sandwich norms, adjacent channels rotated together, one gated MLP per layer."""

    model_type: ClassVar[str] = "glm4v_text"
    rotates_pairs: ClassVar[bool] = True

    max_position_embeddings: int = 32768
    eos_token_id: tuple[int, ...] = ()

    def _check_kind(self) -> None:
        if self.head_width * self.num_attention_heads != self.hidden_size or not self.attention_bias:
            raise ConfigError(
                "A dense GLM-V decoder has a head_dim of hidden_size / num_attention_heads "
                f"({self.hidden_size}/{self.num_attention_heads}) and attention_bias true, got {self.head_dim} and "
                f"{self.attention_bias}."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return super().from_dict({**values, "eos_token_id": _ids(values.get("eos_token_id"))})

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "eos_token_id": list(self.eos_token_id) or None}


@dataclass(frozen=True, kw_only=True)
class MoETextConfig(TextConfig):
    """The decoder with a mixture of experts from layer `first_k_dense_replace` on, plain pre-norms, halves rotated."""

    model_type: ClassVar[str] = "glm4v_moe_text"
    default_rotary_share: ClassVar[float] = 0.5
    rotates_pairs: ClassVar[bool] = False
    sandwich_norms: ClassVar[bool] = False

    n_routed_experts: int
    num_experts_per_tok: int
    moe_intermediate_size: int
    n_shared_experts: int = 1
    n_group: int = 1
    topk_group: int = 1
    first_k_dense_replace: int = 1
    norm_topk_prob: bool = True
    routed_scaling_factor: float = 1.0
    max_position_embeddings: int = 65536

    def _check_kind(self) -> None:
        require_whole(self, "n_routed_experts", "num_experts_per_tok", "moe_intermediate_size", "n_shared_experts")
        require_whole(self, "n_group", "topk_group")
        require_whole(self, "first_k_dense_replace", minimum=0)
        require_number(self, "routed_scaling_factor")
        group, rest = divmod(self.n_routed_experts, self.n_group)
        if rest or group < 2:
            raise ConfigError(
                f"n_routed_experts {self.n_routed_experts} must be dealt evenly to n_group {self.n_group} groups of at "
                "least two experts."
            )
        if self.topk_group > self.n_group or self.num_experts_per_tok > self.topk_group * group:
            raise ConfigError(
                f"A token reaches {self.topk_group} of {self.n_group} groups of {group} experts, too few for "
                f"num_experts_per_tok {self.num_experts_per_tok}."
            )


@dataclass(frozen=True, kw_only=True)
class GlmVConfig:
    """Everything in the config.json of a GLM-V checkpoint."""

    model_type: str
    text_config: TextConfig
    vision_config: GlmVVisionConfig
    image_token_id: int
    video_token_id: int
    image_start_token_id: int = 151339
    image_end_token_id: int = 151340
    video_start_token_id: int = 151341
    video_end_token_id: int = 151342
    tie_word_embeddings: bool = False

    def __post_init__(self) -> None:
        require_choice(self, "model_type", tuple(ARCHITECTURES))
        text = self.text_config
        if self.model_type != "glm46v" and isinstance(text, MoETextConfig) != (self.model_type == "glm4v_moe"):
            raise ConfigError(f"A {self.model_type} model cannot have a {text.model_type} decoder.")
        if self.vision_config.out_hidden_size != text.hidden_size:
            raise ConfigError(
                f"vision_config.out_hidden_size {self.vision_config.out_hidden_size} must equal "
                f"text_config.hidden_size {text.hidden_size}."
            )
        names = [f.name for f in dataclasses.fields(self) if f.name.endswith("_token_id")]
        require_whole(self, *names, minimum=0)
        for name in names:
            if getattr(self, name) >= text.vocab_size:
                raise ConfigError(f"{name} {getattr(self, name)} lies outside the vocabulary of {text.vocab_size} ids.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        parts = read_fields(cls, values)
        text = parts["text_config"]
        if not isinstance(text, Mapping) or not isinstance(parts["vision_config"], Mapping):
            raise ConfigError("text_config and vision_config must be JSON objects; restore config.json.")
        experts = text.get("model_type", parts["model_type"]) in ("glm4v_moe_text", "glm4v_moe")
        parts["text_config"] = (MoETextConfig if experts else TextConfig).from_dict(text)
        parts["vision_config"] = GlmVVisionConfig.from_dict(parts["vision_config"])
        parts["tie_word_embeddings"] = bool(values.get("tie_word_embeddings") or text.get("tie_word_embeddings"))
        return cls(**{name: value for name, value in parts.items() if value is not None})

    def to_dict(self) -> dict[str, Any]:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        text = self.text_config.to_dict()
        vision = {**self.vision_config.to_dict(), "model_type": text["model_type"].replace("_text", "_vision")}
        return {
            **fields,
            "architectures": [ARCHITECTURES[self.model_type]],
            "text_config": text,
            "vision_config": vision,
        }


def _same(name: str, value: Any) -> Any:
    """The reference also allows a size written once per axis."""
    if isinstance(value, list | tuple):
        if len(set(value)) != 1:
            raise ConfigError(f"{name} must be the same along every axis, got {list(value)}.")
        return value[0]
    return value


def _ids(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    ids = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not all(type(i) is int for i in ids):
        raise ConfigError(f"eos_token_id must be whole numbers, got {value!r}.")
    return ids
