"""Weights in 8 or 4 bits, per stage, through torchao: less memory, a measured loss, never silent.

    parse_quantize("int8")               # both stages
    parse_quantize("ar=int8,decoder=fp8")

Only weights are rounded; arithmetic stays in the number type of the networks. Matrices are replaced one by one while
they are loaded, so that loading peaks at the rounded size. Left as they are: embeddings, norms, AdaLN, the AR
generator's query, key and value matrices (9 % of it, kept for its fused product), and the first and last projections.
On a CPU this saves memory and costs time, because every product widens its weights first.

`parse_quantize` loads no torch.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from inkwash.core.errors import ConfigError, InkwashError, MissingExtraError, RequestError

if TYPE_CHECKING:
    import torch
    from torch import nn

KINDS = ("int8", "int4", "fp8")
STAGES = ("ar", "decoder")
BITS = {"int8": 8, "fp8": 8, "int4": 4}
INT4_GROUP = 128
QUANTIZED = {
    "ar": re.compile(
        r"model\.language_model\.layers\.\d+\.(self_attn\.o_proj|mlp\.gate_up_proj|mlp\.down_proj)|lm_head"
    ),
    "see": re.compile(  # routers stay: they decide, and are small
        r"model\.language_model\.layers\.\d+\.(self_attn\.o_proj"
        r"|mlp\.((shared_experts|experts\.\d+)\.)?(gate_up_proj|gate_proj|up_proj|down_proj))|lm_head"
    ),
    "decoder": re.compile(r"transformer_blocks\.\d+\.(attn1\.to_(q|k|v|out\.0)|ff\.net\.0\.proj|ff\.net\.2)"),
}


def parse_quantize(text: str | None) -> dict[str, str]:
    """The kind of each stage; empty for none. Raises RequestError for anything unknown."""
    if not text or text == "none":
        return {}
    if text in KINDS:
        return dict.fromkeys(STAGES, text)
    found: dict[str, str] = {}
    for part in text.split(","):
        stage, _, kind = part.partition("=")
        if stage.strip() not in STAGES or kind.strip() not in KINDS or stage.strip() in found:
            raise RequestError(
                f"quantize is {text!r}, but must be one of {', '.join(KINDS)}, or a kind for each stage such as "
                "ar=int8,decoder=fp8.",
                param="quantize",
            )
        found[stage.strip()] = kind.strip()
    return found


def parse_kind(text: str | None) -> str | None:
    """The kind for a model of one stage; None for none. Raises RequestError for anything unknown."""
    if not text or text == "none":
        return None
    if text not in KINDS:
        raise RequestError(f"quantize is {text!r}, but must be one of {', '.join(KINDS)}.", param="quantize")
    return text


def is_quantized(stage: str, module_name: str) -> bool:
    """Whether the linear layer of this name is rounded when its stage is."""
    return QUANTIZED[stage].fullmatch(module_name) is not None


def rounder(stage: str, kind: str, device: torch.device, dtype: torch.dtype) -> Callable[[nn.Linear], None]:
    """A function that rounds one layer in place; raises one sentence where this machine cannot do it."""
    import torch

    if kind == "int4" and device.type != "cuda":
        raise ConfigError(
            f"int4 weights need a CUDA device, but this run is on {device}: choose int8 or fp8, or leave quantize out."
        )
    if kind == "int4" and dtype != torch.bfloat16:
        raise ConfigError("int4 weights need bfloat16 arithmetic: add --dtype bfloat16 or choose int8.")
    if stage == "ar" and device.type == "cpu" and dtype == torch.float32:
        raise ConfigError(
            "On a CPU the AR generator's rows are exact in float32 and need its plain weights: add --dtype bfloat16, "
            "or quantize the decoder only (--quantize decoder=int8)."
        )
    with _quiet():
        quantize_, config = _torchao(kind)

    def round_layer(layer: nn.Linear) -> None:
        try:
            quantize_(layer, config)
        except (ImportError, RuntimeError, ValueError, AssertionError, NotImplementedError) as error:
            raise InkwashError(f"{kind} weights do not work on this {device.type} device ({error}).") from error

    return round_layer


def round_arrived(
    network: nn.Module, stage: str, kind: str | None, device: torch.device, dtype: torch.dtype
) -> Callable[[str], None] | None:
    """Rounds the matrix of a module, by its name, once its weight is there; None where nothing is rounded."""
    if kind is None:
        return None
    from torch import nn

    round_layer = rounder(stage, kind, device, dtype)

    def arrived(name: str) -> None:
        if not is_quantized(stage, name):
            return
        layer = network.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        if bool(layer.weight.any(dim=1).all()):  # a row of zeros has no scale: such a matrix stays as it is
            round_layer(layer)

    return arrived


def _torchao(kind: str) -> tuple[Callable[..., Any], Any]:
    try:
        ao: Any = importlib.import_module("torchao.quantization")
    except ImportError:
        raise MissingExtraError("Quantized weights", extra="quant") from None
    if kind == "int8":
        return ao.quantize_, ao.Int8WeightOnlyConfig()
    if kind == "fp8":
        return ao.quantize_, ao.Float8WeightOnlyConfig()
    return ao.quantize_, ao.Int4WeightOnlyConfig(group_size=INT4_GROUP)


@contextmanager
def _quiet() -> Iterator[None]:
    """The library reports every optional extension that it cannot load; none of them is needed here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
