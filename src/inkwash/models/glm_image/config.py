"""Configurations of all networks and of the schedule, with the field names of the released config.json files.

`from_dict` reads a released file (unknown bookkeeping keys are ignored, a missing size is an error) and `to_dict`
writes one that the reference library loads. No size of the AR generator has a default: every checkpoint states its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from inkwash.core.errors import ConfigError
from inkwash.models.glm.decoder import (
    ACTIVATIONS,
    PartConfig,
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
class VisionConfig(PartConfig):
    """The ViT that looks at reference images; its sizes may also be stored as [side, side]."""

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
        for name in ("image_size", "patch_size"):
            sides = getattr(self, name)
            if isinstance(sides, list | tuple):
                if len(set(sides)) != 1:
                    raise ConfigError(f"{name} must be square, got {list(sides)}.")
                object.__setattr__(self, name, sides[0])
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

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "model_type": "glm_image_vision", "attention_dropout": 0.0}


@dataclass(frozen=True, kw_only=True)
class VQConfig(PartConfig):
    """The codebook that turns ViT features into semantic tokens."""

    embed_dim: int
    num_embeddings: int
    latent_channels: int
    in_channels: int = 3
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        require_whole(self, "embed_dim", "num_embeddings", "latent_channels")
        require_number(self, "initializer_range")

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


@dataclass(frozen=True, kw_only=True)
class _Config(PartConfig):
    """Writing and refusing, shared by the four configurations below."""

    label: ClassVar[str] = ""
    header: ClassVar[dict[str, Any]] = {}

    def to_dict(self) -> dict[str, Any]:
        """The dictionary to write as `config.json`, with the header keys of the reference library."""
        body = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {**self.header, **body}

    def _reject(self, name: str, allowed: str) -> None:
        raise ConfigError(f"{self.label} config: {name} is {getattr(self, name)!r}, but must be {allowed}.")


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(_Config):
    """The single-stream diffusion transformer (`transformer/config.json`)."""

    label: ClassVar[str] = "decoder"
    header: ClassVar[dict[str, Any]] = {"_class_name": "GlmImageTransformer2DModel"}

    patch_size: int = 2
    in_channels: int = 16
    out_channels: int = 16
    num_layers: int
    attention_head_dim: int
    num_attention_heads: int
    text_embed_dim: int
    time_embed_dim: int
    condition_dim: int
    prior_vq_quantizer_codebook_size: int

    def __post_init__(self) -> None:
        require_whole(self, *(field.name for field in fields(self)))
        if self.attention_head_dim % 4:
            self._reject("attention_head_dim", "a multiple of 4 (two rotary axes of sine and cosine pairs)")
        for name in ("time_embed_dim", "condition_dim"):
            if getattr(self, name) % 2:
                self._reject(name, "even (sine and cosine halves)")

    @property
    def width(self) -> int:
        """Channels of a token inside the blocks."""
        return self.num_attention_heads * self.attention_head_dim


@dataclass(frozen=True, kw_only=True)
class GlyphConfig(_Config):
    """The T5 byte encoder that reads quoted texts (`text_encoder/config.json`)."""

    label: ClassVar[str] = "glyph encoder"
    header: ClassVar[dict[str, Any]] = {"architectures": ["T5EncoderModel"], "model_type": "t5"}

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_heads: int
    feed_forward_proj: str
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-6
    initializer_factor: float = 1.0
    pad_token_id: int = 0
    eos_token_id: int = 1
    is_encoder_decoder: bool = False
    use_cache: bool = False
    tie_word_embeddings: bool = False

    def __post_init__(self) -> None:
        require_whole(self, "vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads")
        require_whole(self, "relative_attention_num_buckets", "relative_attention_max_distance")
        require_choice(self, "feed_forward_proj", ("relu", "gelu", "gated-gelu", "gated-silu"))
        if self.relative_attention_num_buckets % 4:
            self._reject("relative_attention_num_buckets", "a multiple of 4 (two directions, near and far)")
        if self.relative_attention_max_distance <= self.relative_attention_num_buckets // 4:
            self._reject("relative_attention_max_distance", "above a quarter of relative_attention_num_buckets")
        if not 0.0 <= self.dropout_rate < 1.0:
            self._reject("dropout_rate", "at least 0 and below 1")


@dataclass(frozen=True, kw_only=True)
class VAEConfig(_Config):
    """The picture autoencoder (`vae/config.json`)."""

    label: ClassVar[str] = "VAE"
    header: ClassVar[dict[str, Any]] = {"_class_name": "AutoencoderKL"}

    in_channels: int = 3
    out_channels: int = 3
    block_out_channels: tuple[int, ...]
    layers_per_block: int = 1
    latent_channels: int
    norm_num_groups: int = 32
    act_fn: str = "silu"
    down_block_types: tuple[str, ...] = ()
    up_block_types: tuple[str, ...] = ()
    sample_size: int = 32
    scaling_factor: float = 0.18215
    shift_factor: float | None = None
    latents_mean: tuple[float, ...] | None = None
    latents_std: tuple[float, ...] | None = None
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    mid_block_add_attention: bool = True
    force_upcast: bool = True

    def __post_init__(self) -> None:
        for name in ("block_out_channels", "down_block_types", "up_block_types", "latents_mean", "latents_std"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        levels = len(self.block_out_channels)
        for name, kind in (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")):
            if not getattr(self, name):
                object.__setattr__(self, name, (kind,) * levels)
            if getattr(self, name) != (kind,) * levels:
                self._reject(name, f"{levels} times {kind!r}")
        require_whole(self, "in_channels", "out_channels", "layers_per_block", "latent_channels", "norm_num_groups")
        require_choice(self, "act_fn", ("silu", "swish"))
        if not levels or any(channels % self.norm_num_groups for channels in self.block_out_channels):
            self._reject("block_out_channels", f"multiples of norm_num_groups ({self.norm_num_groups})")
        for name in ("latents_mean", "latents_std"):
            values = getattr(self, name)
            if values is not None and len(values) != self.latent_channels:
                self._reject(name, f"{self.latent_channels} numbers, one for each latent channel")
        if (self.latents_mean is None) != (self.latents_std is None):
            self._reject("latents_std", "given exactly where latents_mean is given")
        if self.latents_std is not None and min(self.latents_std) <= 0:
            self._reject("latents_std", "above 0 in every channel")

    @property
    def scale_factor(self) -> int:
        """Pixels along one side of a latent cell."""
        return 2 ** (len(self.block_out_channels) - 1)


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig(_Config):
    """The flow-matching Euler schedule (`scheduler/scheduler_config.json`)."""

    label: ClassVar[str] = "scheduler"
    header: ClassVar[dict[str, Any]] = {"_class_name": "FlowMatchEulerDiscreteScheduler"}

    num_train_timesteps: int = 1000
    shift: float = 1.0
    use_dynamic_shifting: bool = False
    base_shift: float = 0.5
    max_shift: float = 1.15
    base_image_seq_len: int = 256
    max_image_seq_len: int = 4096
    invert_sigmas: bool = False
    shift_terminal: float | None = None
    use_karras_sigmas: bool = False
    use_exponential_sigmas: bool = False
    use_beta_sigmas: bool = False
    time_shift_type: str = "exponential"
    stochastic_sampling: bool = False

    def __post_init__(self) -> None:
        require_whole(self, "num_train_timesteps", "base_image_seq_len", "max_image_seq_len")
        require_choice(self, "time_shift_type", ("exponential", "linear"))
        for name in ("invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"):
            require_choice(self, name, (False,))
        require_choice(self, "stochastic_sampling", (False,))
        for name in ("base_shift", "max_shift"):
            if not isinstance(getattr(self, name), int | float):
                self._reject(name, "a number")
        if self.shift <= 0:
            self._reject("shift", "above 0")
        if self.shift_terminal is not None and not 0.0 <= self.shift_terminal < 1.0:
            self._reject("shift_terminal", "null, or at least 0 and below 1")
