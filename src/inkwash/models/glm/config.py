"""What the configurations of both families share: how a released config.json is read, and the text decoder's sizes.

`from_dict` reads a released file (unknown bookkeeping keys are ignored, a missing size is an error) and `to_dict`
writes one that the reference library loads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from inkwash.core.errors import ConfigError

ACTIVATIONS = ("gelu", "gelu_pytorch_tanh", "silu")


def read_fields(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of ``values`` that are fields of the dataclass ``cls``; a missing required one is a ConfigError."""
    values = json_object(cls.__name__, values)
    fields = dataclasses.fields(cls)
    no_default = dataclasses.MISSING
    missing = [f.name for f in fields if f.default is no_default and values.get(f.name) is None]
    if missing:
        raise ConfigError(f"{cls.__name__} lacks {', '.join(missing)}; restore config.json from its checkpoint.")
    return {f.name: values[f.name] for f in fields if f.name in values}


def json_object(name: str, values: Any) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name} must be a JSON object, got {values!r}; restore config.json from its checkpoint.")
    return dict(values)


def require_whole(config: Any, *names: str, minimum: int = 1) -> None:
    """Every named field must be a whole number of at least ``minimum``."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise ConfigError(
                f"{type(config).__name__}.{name} must be a whole number of at least {minimum}, got {value!r}."
            )


def require_number(config: Any, *names: str) -> None:
    """Every named field must be a finite number above zero."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ConfigError(f"{type(config).__name__}.{name} must be a number above zero, got {value!r}.")


def require_choice(config: Any, name: str, allowed: Sequence[str]) -> None:
    """The named field must be one of a few words."""
    value = getattr(config, name)
    if value not in allowed:
        raise ConfigError(f"{type(config).__name__}.{name} must be one of {', '.join(allowed)}, got {value!r}.")


@dataclass(frozen=True, kw_only=True)
class RopeParameters:
    """Rotary settings: which share of a head is rotated, and how its frequencies are dealt to the three axes."""

    rope_type: str = "default"
    rope_theta: float = 10000.0
    partial_rotary_factor: float = 1.0
    mrope_section: tuple[int, ...] = (8, 12, 12)

    def __post_init__(self) -> None:
        require_choice(self, "rope_type", ("default",))
        require_number(self, "rope_theta", "partial_rotary_factor")
        if self.partial_rotary_factor > 1:
            raise ConfigError(f"partial_rotary_factor must be at most 1, got {self.partial_rotary_factor!r}.")
        sections = self.mrope_section
        if not isinstance(sections, list | tuple) or not all(type(n) is int and n > 0 for n in sections):
            raise ConfigError(f"mrope_section must be a list of whole numbers above zero, got {sections!r}.")
        object.__setattr__(self, "mrope_section", tuple(sections))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**read_fields(cls, values))

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "mrope_section": list(self.mrope_section)}


@dataclass(frozen=True, kw_only=True)
class TextDecoderConfig:
    """Sizes of a GLM text decoder, with the names that all checkpoints of the two families use."""

    model_type: ClassVar[str]
    default_rotary_share: ClassVar[float] = 1.0
    rotates_pairs: ClassVar[bool] = False  # neighbouring channels turn together, not the two halves of a head
    sandwich_norms: ClassVar[bool] = True  # norms behind attention and MLP as well as before them

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    rope_parameters: RopeParameters
    head_dim: int | None = None
    hidden_act: str = "silu"
    rms_norm_eps: float = 1e-5
    attention_bias: bool = True
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    pad_token_id: int | None = None

    def __post_init__(self) -> None:
        require_whole(self, "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
        require_whole(self, "num_attention_heads", "num_key_value_heads", "max_position_embeddings")
        require_number(self, "rms_norm_eps", "initializer_range")
        require_choice(self, "hidden_act", ACTIVATIONS)
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                f"num_attention_heads must be a multiple of num_key_value_heads, got {self.num_attention_heads} and "
                f"{self.num_key_value_heads}."
            )
        if self.head_dim is None:
            object.__setattr__(self, "head_dim", self.hidden_size // self.num_attention_heads)
        require_whole(self, "head_dim")
        self._check_kind()
        if sum(self.rope_parameters.mrope_section) * 2 != self.rotary_dim:
            raise ConfigError(
                f"mrope_section must sum to half of the {self.rotary_dim} rotated channels, got "
                f"{list(self.rope_parameters.mrope_section)}; check partial_rotary_factor and head_dim."
            )

    def _check_kind(self) -> None:
        """What only this kind of decoder asks of its sizes."""

    @property
    def head_width(self) -> int:
        """Channels of one head; `head_dim` with its default filled in."""
        assert self.head_dim is not None
        return self.head_dim

    @property
    def rotary_dim(self) -> int:
        return int(self.head_width * self.rope_parameters.partial_rotary_factor)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        values = json_object(cls.__name__, values)
        if values.get("num_key_value_heads") is None:
            values["num_key_value_heads"] = values.get("num_attention_heads")
        rope = json_object("rope_parameters", values.get("rope_parameters") or values.get("rope_scaling") or {})
        loose = {k: values[k] for k in ("rope_theta", "partial_rotary_factor") if values.get(k) is not None}
        values["rope_parameters"] = RopeParameters.from_dict(
            {"partial_rotary_factor": cls.default_rotary_share, **loose, **rope}
        )
        return cls(**read_fields(cls, {name: value for name, value in values.items() if value is not None}))

    def to_dict(self) -> dict[str, Any]:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields = {name: value for name, value in fields.items() if value is not None}
        return {
            **fields,
            "model_type": self.model_type,
            "attention_dropout": 0.0,
            "use_cache": True,
            "rope_parameters": self.rope_parameters.to_dict(),
        }
