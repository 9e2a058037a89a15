"""The GLM text decoder of the drawing and of the seeing models: rotated grouped attention, gated MLPs, RMS norms.

The families differ in two flags of the configuration: which channels rotate together (halves or neighbouring pairs),
and whether norms stand on both sides (sandwich) or before attention and MLP only. Parameter names are the released
ones. A cache is an argument, so the same forward trains, prefills and decodes; `decode.py` holds
the short ways for one token at a time.

How a released config.json is read is shared by the configurations of both families: `from_dict` ignores unknown
bookkeeping keys and refuses a missing size, `to_dict` writes a file that the reference library loads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from inkwash.core.errors import ConfigError
from inkwash.nn.attention import StaticCache, apply_rotary_half, apply_rotary_pairs, attention, multi_axis_rotary
from inkwash.nn.norm import RMSNorm


@dataclass(frozen=True, kw_only=True)
class PartConfig:
    """A table of a released config.json."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from the table; a missing size is a ConfigError."""
        known = read_fields(cls, values)
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in known.items()})


def read_fields(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `values` that are fields of the dataclass `cls`; a missing required one is a ConfigError."""
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
    """Every named field must be a whole number of at least `minimum`."""
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


def require_choice(config: Any, name: str, allowed: Collection[Any]) -> None:
    """The named field must be one of a few values."""
    value = getattr(config, name)
    if value not in allowed:
        raise ConfigError(
            f"{type(config).__name__}.{name} must be one of {', '.join(map(str, allowed))}, got {value!r}."
        )


@dataclass(frozen=True, kw_only=True)
class RopeParameters(PartConfig):
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


Rotary = tuple[Tensor, Tensor]
Rotate = Callable[[Tensor, Tensor, Tensor], Tensor]
Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: dict[str, Activation] = {
    "gelu": F.gelu,
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


class GroupedAttention(nn.Module):
    """Causal attention whose key heads serve groups of query heads."""

    def __init__(
        self, width: int, heads: int, kv_heads: int, head_dim: int, *, bias: bool, rotate: Rotate = apply_rotary_half
    ) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.rotate = rotate
        self.q_proj = nn.Linear(width, heads * head_dim, bias=bias)
        self.k_proj = nn.Linear(width, kv_heads * head_dim, bias=bias)
        self.v_proj = nn.Linear(width, kv_heads * head_dim, bias=bias)
        self.o_proj = nn.Linear(heads * head_dim, width, bias=False)

    def forward(
        self, x: Tensor, rotary: Rotary, mask: Tensor | None, cache: StaticCache | None, layer: int, start: int | Tensor
    ) -> Tensor:
        q, k, v = (
            rearrange(proj(x), "b l (h d) -> b h l d", d=self.head_dim)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        cos, sin = (table.to(q.dtype) for table in rotary)
        q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        if cache is not None:
            k, v = cache.update(layer, k, v, start)
        out = attention(q, k, v, mask=mask, causal=mask is None)
        result: Tensor = self.o_proj(rearrange(out, "b h l d -> b l (h d)"))
        return result


class FusedGatedMLP(nn.Module):
    """A gated MLP whose two inputs share one matrix, gate first."""

    def __init__(self, width: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(width, 2 * inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        out: Tensor = self.down_proj(self.activation(gate) * up)
        return out


class GatedMLP(nn.Module):
    """A gated MLP with its two inputs apart."""

    def __init__(self, width: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))
        return out


class DecoderBlock(nn.Module):
    """Attention and an MLP, each with a norm before it; with `sandwich` norms each has one behind it, too."""

    def __init__(self, attn: GroupedAttention, mlp: nn.Module, width: int, eps: float, *, sandwich: bool) -> None:
        super().__init__()
        self.sandwich = sandwich
        self.self_attn = attn
        self.mlp = mlp
        self.input_layernorm = RMSNorm(width, eps)
        if sandwich:
            self.post_self_attn_layernorm = RMSNorm(width, eps)
        self.post_attention_layernorm = RMSNorm(width, eps)
        if sandwich:
            self.post_mlp_layernorm = RMSNorm(width, eps)

    def forward(
        self, x: Tensor, rotary: Rotary, mask: Tensor | None, cache: StaticCache | None, layer: int, start: int | Tensor
    ) -> Tensor:
        update: Tensor = self.self_attn(self.input_layernorm(x), rotary, mask, cache, layer, start)
        x = x + (self.post_self_attn_layernorm(update) if self.sandwich else update)
        update = self.mlp(self.post_attention_layernorm(x))
        return x + (self.post_mlp_layernorm(update) if self.sandwich else update)


class TextDecoder(nn.Module):
    """Embedding, blocks and the final norm of either family; names as under `model.language_model.`."""

    def __init__(self, config: TextDecoderConfig, make_mlp: Callable[[int], nn.Module] | None = None) -> None:
        """`make_mlp` gives the MLP of a layer; None is the gated one of the configuration's width."""
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            [self._block(config, None if make_mlp is None else make_mlp(n)) for n in range(config.num_hidden_layers)]
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    @staticmethod
    def _block(config: TextDecoderConfig, mlp: nn.Module | None) -> DecoderBlock:
        width = config.hidden_size
        attn = GroupedAttention(
            width,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_width,
            bias=config.attention_bias,
            rotate=apply_rotary_pairs if config.rotates_pairs else apply_rotary_half,
        )
        if mlp is None:
            mlp = FusedGatedMLP(width, config.intermediate_size, ACTIVATIONS[config.hidden_act])
        return DecoderBlock(attn, mlp, width, config.rms_norm_eps, sandwich=config.sandwich_norms)

    def rotary(self, positions: Tensor) -> Rotary:
        """Tables (B, 1, L, R) for positions (3, B, L), in the dtype of the weights as the released model has them."""
        rope = self.config.rope_parameters
        tables = multi_axis_rotary(positions, self.config.rotary_dim, rope.mrope_section, rope.rope_theta)
        cos, sin = (table.to(self.embed_tokens.weight.dtype).unsqueeze(1) for table in tables)
        return cos, sin

    def forward(
        self, x: Tensor, positions: Tensor, cache: StaticCache | None, start: int | Tensor, mask: Tensor | None
    ) -> Tensor:
        """Embeddings (B, L, D) at positions (3, B, L) -> hidden states (B, L, D) after the final norm.

        `start` is where these tokens go in the cache: one int, or a (B,) tensor with a place per row. `mask`
        None is plain causal attention; (B, S) bool is causal with keys hidden where False (left padding, S keys
        from the beginning of the cache on); (B, 1, L, S), bool or additive, is used as it is.
        """
        assert cache is not None or (isinstance(start, int) and start == 0), "start needs a cache"
        mask = decoder_mask(mask, x.shape[1], start, cache, x.device)
        rotary = self.rotary(positions)
        for index, layer in enumerate(self.layers):
            x = layer(x, rotary, mask, cache, index, start)
        hidden: Tensor = self.norm(x)
        return hidden

    def make_cache(self, batch: int, max_length: int) -> StaticCache:
        """An empty cache of this network's shape, dtype and device; as many heads as its share of the model has."""
        attn, weight = self.layers[0].self_attn, self.norm.weight
        assert isinstance(attn, GroupedAttention)
        heads, dim = attn.k_proj.weight.shape[0] // self.config.head_width, self.config.head_width
        return StaticCache(len(self.layers), batch, heads, max_length, dim, weight.dtype, weight.device)


def decoder_mask(
    mask: Tensor | None, length: int, start: int | Tensor, cache: StaticCache | None, device: torch.device
) -> Tensor | None:
    """What a decoder's attention takes for `mask`: None is plain causal attention.

    (B, S) bool is causal with keys hidden where False and becomes (B, 1, L, S); a mask of four axes is used as it is.
    """
    if mask is not None and mask.dim() != 2:
        return mask
    if isinstance(start, int):
        if mask is None:
            return None
        keys = start + length
        seen = torch.arange(keys, device=device) <= torch.arange(start, keys, device=device)[:, None]
        return seen & mask[:, None, None, :keys]
    assert cache is not None
    last = start[:, None] + torch.arange(length, device=device)  # (B, L)
    seen = (torch.arange(cache.max_length, device=device) <= last[..., None])[:, None]
    return seen if mask is None else seen & mask[:, None, None]
