"""Folders of random weights have the layout, and what a configuration says."""

from __future__ import annotations

from pathlib import Path

import torch
from bench import released
from bench.released_folder import Pool, halved, write_image_folder, write_network
from torch import nn

from inkwash.engine.memory import Sizes
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.models.tensor_files import read_headers

PARTS = ("vision_language_encoder", "transformer", "vae", "text_encoder")


def test_a_folder_loads_as_any_checkpoint(tmp_path: Path) -> None:
    total = write_image_folder(tmp_path, halved(released.tiny(), "two"), shard_bytes=2**20)
    parts = load_pipeline_parts(tmp_path, dtype=None)
    assert parts.ar.config.text_config.num_hidden_layers == len(parts.decoder.blocks) == 2
    assert total == sum(
        torch.Size(e.shape).numel() * 2 for part in PARTS for e in read_headers(tmp_path / part).values()
    )
    assert len(list((tmp_path / "transformer").glob("*.safetensors"))) > 2
    weight = parts.decoder.blocks[0].ff.net[2].weight
    assert weight.dtype == torch.bfloat16 and 0.015 < float(weight.detach().float().std()) < 0.025
    assert bool((parts.ar.model.language_model.norm.weight.detach() == 1).all())


def test_half_depth_keeps_the_widths() -> None:
    whole, half = Sizes.released(), halved(Sizes.released(), "half")
    assert half.ar.text_config.num_hidden_layers == 20 and half.decoder.num_layers == 15
    assert half.ar.text_config.hidden_size == whole.ar.text_config.hidden_size == 4096


def test_data_begin_at_a_cache_line(tmp_path: Path) -> None:
    write_network(lambda: nn.Linear(3, 5), tmp_path, "model", Pool(0), 10**6)
    (file,) = tmp_path.glob("*.safetensors")
    assert (8 + int.from_bytes(file.read_bytes()[:8], "little")) % 64 == 0
    assert read_headers(tmp_path)["weight"].shape == (5, 3)
