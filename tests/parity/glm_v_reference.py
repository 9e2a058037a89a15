"""Tiny GLM-V models written by `transformers`, and the same files loaded into ours.

Norms, biases, embeddings and the routers' corrections are far from their usual start, so that a norm in the wrong
place, a lost bias, a wrong pairing of channels or a wrong choice of experts cannot pass unnoticed.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inkwash.models.glm_v.config import GlmVConfig
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.vision import PatchGrid
from inkwash.models.weights import load_module

KINDS = ("dense", "experts")
IMAGE, IMAGE_START, IMAGE_END, VIDEO_START, VIDEO_END, VIDEO, PAD = 190, 191, 192, 193, 194, 195, 196
PATCH, SPECIAL = 4, 190
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5, "mrope_section": [1, 2, 1]}
TEXT: dict[str, Any] = {
    "vocab_size": 200,
    "hidden_size": 48,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "rope_parameters": ROPE,
    "rms_norm_eps": 1e-5,
    "pad_token_id": PAD,
}
EXPERTS: dict[str, Any] = {
    **TEXT,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 20,
    "n_shared_experts": 2,
    "n_group": 4,
    "topk_group": 2,
    "first_k_dense_replace": 1,
    "norm_topk_prob": True,
    "routed_scaling_factor": 1.7,
}
VISION: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 32,
    "num_heads": 2,
    "out_hidden_size": 48,
    "intermediate_size": 40,
    "image_size": 20,
    "patch_size": PATCH,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
IDS = {
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "image_start_token_id": IMAGE_START,
    "image_end_token_id": IMAGE_END,
    "video_start_token_id": VIDEO_START,
    "video_end_token_id": VIDEO_END,
}


def build_reference(kind: str, *, seed: int = 0, tied: bool = False, **text: Any) -> Any:
    """A reference model in fp32 whose every parameter matters."""
    import transformers

    if kind == "dense":
        config = transformers.Glm4vConfig(
            text_config={**TEXT, **text}, vision_config=VISION, tie_word_embeddings=tied, **IDS
        )
        model = transformers.Glm4vForConditionalGeneration(config).eval()
    else:
        config = transformers.Glm4vMoeConfig(
            text_config={**EXPERTS, **text}, vision_config=VISION, tie_word_embeddings=tied, **IDS
        )
        model = transformers.Glm4vMoeForConditionalGeneration(config).eval()
    randomise(model, seed)
    model.generation_config = transformers.GenerationConfig(do_sample=False, eos_token_id=None, pad_token_id=PAD)
    return model


def randomise(model: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                parameter.copy_(noise * 0.3 + (1.0 if name.endswith("weight") else 0.0))
            elif "embed" in name and parameter.ndim == 2:
                parameter.copy_(noise * 0.7)
            else:
                fan = parameter.shape[-1] if "experts" in name else parameter[0].numel()
                parameter.copy_(noise * 1.5 * fan**-0.5)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.2)
        if not model.config.tie_word_embeddings:
            model.lm_head.weight[SPECIAL:] = 0.0  # control ids are never the likeliest: an answer runs to its length


def load_ours(folder: Path, **options: Any) -> GlmV:
    """Ours from a folder that `save_pretrained` wrote, strictly: every name must be used."""
    config = GlmVConfig.from_dict(json.loads((folder / "config.json").read_text()))
    return load_module(lambda: GlmV(config), folder, **options)


@functools.cache
def pair(kind: str) -> tuple[Any, GlmV]:
    """The reference and ours with the same weights; one pair for all tests, treat it as read-only."""
    reference = build_reference(kind)
    with tempfile.TemporaryDirectory() as folder:
        reference.save_pretrained(folder)
        return reference, load_ours(Path(folder))


def words(count: int, seed: int = 0) -> list[int]:
    return torch.randint(0, SPECIAL, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def patches(grids: Sequence[PatchGrid], seed: int = 0) -> Tensor:
    """Random patch values for pictures and videos, one after another."""
    rows = sum(time * height * width for time, height, width in grids)
    return torch.randn(rows, 3 * 2 * PATCH * PATCH, generator=torch.Generator().manual_seed(seed))


def prompt(
    pictures: Sequence[PatchGrid] = (), videos: Sequence[PatchGrid] = (), seed: int = 0
) -> tuple[list[int], list[int]]:
    """Ids and modality: text, pictures with text between them, videos with a timestamp after every frame, text."""
    ids, modality = words(3, seed), [0] * 3

    def add(tokens: Sequence[int], kind: int = 0) -> None:
        ids.extend(tokens)
        modality.extend([kind] * len(tokens))

    for number, (_, height, width) in enumerate(pictures):
        add([IMAGE_START])
        add([IMAGE] * (height * width // 4), 1)
        add([IMAGE_END, *words(number, seed + number)])
    for number, (time, height, width) in enumerate(videos):
        add([VIDEO_START])
        for frame in range(time):
            add([IMAGE_START])
            add([IMAGE] * (height * width // 4), 2)
            add([IMAGE_END, *words(1 + frame % 2, seed + 10 * number + frame)])
        add([VIDEO_END])
    add(words(4, seed + 99))
    return ids, modality


def grid_tensor(grids: Sequence[PatchGrid]) -> Tensor:
    return torch.tensor([list(grid) for grid in grids]).reshape(-1, 3)


def reference_inputs(
    ids: Sequence[int], modality: Sequence[int], pictures: Sequence[PatchGrid], videos: Sequence[PatchGrid]
) -> dict[str, Any]:
    """Arguments of the reference for one prompt; pictures and videos may not share one there."""
    row = torch.tensor([list(ids)])
    inputs = {"input_ids": row, "attention_mask": torch.ones_like(row), "mm_token_type_ids": torch.tensor([modality])}
    if pictures:
        inputs |= {"pixel_values": patches(pictures), "image_grid_thw": grid_tensor(pictures)}
    if videos:
        inputs |= {"pixel_values_videos": patches(videos), "video_grid_thw": grid_tensor(videos)}
    return inputs


def relative_error(ours: Tensor, reference: Tensor) -> float:
    """Largest difference over the largest reference value."""
    return ((ours - reference).abs().max() / reference.abs().max()).item()
