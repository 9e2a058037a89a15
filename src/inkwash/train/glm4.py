"""Start the AR generator from a language model: a GLM-4-0414 checkpoint (`glm4` layout).

All blocks and the final norm are taken over. The embedding table gets new rows for pictures before the text rows of the
language model, and the text head is left behind for a new visual head. The language model rotates neighbouring
channels of a head, the generator channels half a rotation apart, so the rows of its query and key matrices are
reordered: the scores stay the same.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from inkwash.core.errors import WeightsError
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.config import ARTextConfig
from inkwash.models.tensor_files import StoredTensor, read_headers, read_json

SAME = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "rms_norm_eps",
    "hidden_act",
    "attention_bias",
)
TABLE, HEAD, LANGUAGE = "model.embed_tokens.weight", "lm_head.weight", "model.language_model."


def load_glm4(model: ARGenerator, folder: Path) -> None:
    """Fill the generator's language half; visual rows and visual head are drawn anew. ViT and codebook stay.

    Raises WeightsError where the checkpoint is of another kind, another size, or lacks a tensor.
    """
    text = model.config.text_config
    _check(text, read_json(folder / "config.json"), folder)
    stored = read_headers(folder)
    expected = dict(model.model.language_model.named_parameters())
    names = {f"model.{name}": name for name in expected}
    missing, odd = names.keys() - stored.keys(), stored.keys() - names.keys() - {HEAD}
    if missing or odd:
        raise WeightsError(f"{folder} is no whole glm4 checkpoint: missing {_some(missing)}, unexpected {_some(odd)}.")
    rows = stored[TABLE].shape[0] + text.vision_vocab_size
    if rows > text.vocab_size:
        raise WeightsError(
            f"{folder} has {stored[TABLE].shape[0]} text rows, but the generator only has room for "
            f"{text.vocab_size - text.vision_vocab_size}: raise vocab_size to {rows}."
        )
    with torch.no_grad():
        for source, name in names.items():
            value = _read(stored[source])
            if source == TABLE:
                nn.init.normal_(expected[name], std=text.initializer_range)
                expected[name][text.vision_vocab_size : rows] = value
                continue
            if ".q_proj." in source or ".k_proj." in source:
                value = split_pairs(value, text.head_width, text.rotary_dim)
            if value.shape != expected[name].shape:
                raise WeightsError(f"{source} in {folder} is {tuple(value.shape)}, not {tuple(expected[name].shape)}.")
            expected[name].copy_(value)
        nn.init.normal_(model.lm_head.weight, std=text.initializer_range)


def split_pairs(weight: Tensor, head: int, rotary: int) -> Tensor:
    """Rows of a query or key matrix (or bias) from pairs (2i, 2i + 1) of rotated channels to pairs (i, i + R/2)."""
    heads = weight.view(-1, head, *weight.shape[1:])
    turned = torch.cat([heads[:, 0:rotary:2], heads[:, 1:rotary:2], heads[:, rotary:]], dim=1)
    return turned.reshape(weight.shape)


def _check(text: ARTextConfig, config: dict[str, object], folder: Path) -> None:
    if config.get("model_type") != "glm4":
        raise WeightsError(f"{folder} is a {config.get('model_type')!r} checkpoint, not a glm4 one.")
    wrong = [
        f"{name} is {config[name]!r} there and {getattr(text, name)!r} here"
        for name in SAME
        if config.get(name) is not None and config[name] != getattr(text, name)
    ]
    rope = config.get("rope_parameters") or config
    assert isinstance(rope, dict)
    for name in ("rope_theta", "partial_rotary_factor"):
        there = rope.get(name, config.get(name))
        if there is not None and there != getattr(text.rope_parameters, name):
            wrong.append(f"{name} is {there!r} there and {getattr(text.rope_parameters, name)!r} here")
    if wrong:
        raise WeightsError(f"{folder} does not fit the generator: {'; '.join(wrong)}.")


def _read(entry: StoredTensor) -> Tensor:
    with safe_open(entry.file, framework="pt") as opened:
        value: Tensor = opened.get_tensor(entry.name)
    return value.float()


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (" ..." if len(names) > 3 else "") if names else "nothing"
