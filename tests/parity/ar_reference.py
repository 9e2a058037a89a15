"""A tiny AR generator written by `transformers` and the same file loaded into ours.

Norms, biases and embeddings are far from their usual start, so that a norm in the wrong place, a lost bias or a
wrong order of gate and up cannot pass unnoticed.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor

from inkwash.models.glm_image.ar import ARGenerator, Grid, decode_positions, prompt_positions
from inkwash.models.glm_image.config import ARConfig

CODES, START, END, PLACEHOLDER, PAD = 96, 96, 97, 290, 291
FIRST_TEXT, PATCH = 110, 16
TEXT: dict[str, Any] = {
    "vocab_size": 300,
    "vision_vocab_size": 104,
    "hidden_size": 64,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.5,
        "mrope_section": [2, 3, 3],
    },
    "pad_token_id": PAD,
    "eos_token_id": END,
}
VISION = {
    "depth": 2,
    "hidden_size": 48,
    "num_heads": 4,
    "intermediate_size": 96,
    "image_size": 128,
    "patch_size": PATCH,
}
VQ = {"embed_dim": 24, "num_embeddings": CODES, "latent_channels": 48}


def build_reference(seed: int = 0, **text: Any) -> Any:
    """A `GlmImageForConditionalGeneration` in fp32 whose every parameter matters."""
    import transformers

    config = transformers.GlmImageConfig(
        text_config={**TEXT, **text},
        vision_config=VISION,
        vq_config=VQ,
        image_token_id=PLACEHOLDER,
        image_start_token_id=START,
        image_end_token_id=END,
    )
    model = transformers.GlmImageForConditionalGeneration(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                parameter.copy_(noise * 0.3 + (1.0 if name.endswith("weight") else 0.0))
            elif "embed" in name:
                parameter.copy_(noise * 0.7)
            else:
                parameter.copy_(noise * 1.5 * parameter[0].numel() ** -0.5)
        model.lm_head.weight[CODES:] = 0.0  # control ids are never the likeliest: a plan runs to its length
    model.generation_config = transformers.GenerationConfig(do_sample=False, eos_token_id=None, pad_token_id=PAD)
    return model


def load_ours(folder: Path) -> ARGenerator:
    """Ours from a folder that `save_pretrained` wrote: the keys must match one to one."""
    config = ARConfig.from_dict(json.loads((folder / "config.json").read_text()))
    model = ARGenerator(config).eval()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model


@functools.cache
def pair() -> tuple[Any, ARGenerator]:
    """The reference and ours with the same weights; one pair for all tests, treat it as read-only."""
    reference = build_reference()
    with tempfile.TemporaryDirectory() as folder:
        reference.save_pretrained(folder)
        return reference, load_ours(Path(folder))


def text_ids(count: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(FIRST_TEXT, PLACEHOLDER, (count,), generator=generator).tolist()


def prompt_ids(references: Sequence[Grid] = (), *, words: int = 7, seed: int = 0) -> list[int]:
    """Text, each reference as start, placeholders, end with text in between, text, and the start of the plan."""
    ids = text_ids(words, seed)
    for number, (rows, columns) in enumerate(references):
        ids += [START, *[PLACEHOLDER] * (rows * columns), END, *text_ids(2, seed + number + 1)]
    return [*ids, *text_ids(3, seed + 99), START]


def pictures(grids: Sequence[Grid], seed: int = 0) -> list[Tensor]:
    """Normalised pixels (1, 3, H, W) for each grid."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, 3, rows * PATCH, columns * PATCH, generator=generator) for rows, columns in grids]


def packed(pixels: Sequence[Tensor]) -> Tensor:
    """The reference's input: one row per patch, pictures one after another."""
    rows = [rearrange(p, "1 c (h p) (w q) -> (h w) (c p q)", p=PATCH, q=PATCH) for p in pixels]
    return torch.cat(rows)


def grid_tensor(grids: Sequence[Grid]) -> Tensor:
    return torch.tensor([[1, rows, columns] for rows, columns in grids]).reshape(-1, 3)


def reference_inputs(ids: Sequence[int], references: Sequence[Grid], plan: Sequence[Grid]) -> dict[str, Any]:
    """Arguments for one prompt of the reference, without pixels: its grids go references, target, preview."""
    row = torch.tensor([ids])
    grids = grid_tensor([*references, *reversed(plan)])
    return {
        "input_ids": row,
        "attention_mask": torch.ones_like(row),
        "image_grid_thw": grids,
        "images_per_sample": torch.tensor([len(grids)]),
    }


def our_inputs(ids: Sequence[int], references: Sequence[Grid], plan: Sequence[Grid]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids (1, L), their positions (3, 1, L) and those of the plan (3, 1, N + 1)."""
    positions, start = prompt_positions(ids, references, image_start=START, image_end=END)
    return torch.tensor([ids]), positions[:, None], decode_positions(start, plan)[:, None]


def relative_error(ours: Tensor, reference: Tensor) -> float:
    """Largest difference over the largest reference value."""
    return ((ours - reference).abs().max() / reference.abs().max()).item()
