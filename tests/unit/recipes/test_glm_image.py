"""The recipes of the released size on a tiny checkpoint: shards, one resolution after another, the decoder."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.data.folder import read_source
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.recipes.encode import encode_examples
from inkwash.recipes.glm_image import glm_image_ar, glm_image_decoder
from inkwash.recipes.table import configured
from tests.parity.tiny import make_tiny_reference

SHORT = ("train.steps=2", "train.warmup=1", "train.workers=0", "train.precision=fp32", "train.ns_steps=1")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A tiny checkpoint, and eight pictures encoded with it, two of them edits."""
    folder = tmp_path_factory.mktemp("glm-image")
    model = make_tiny_reference(folder / "model")
    pictures = folder / "pictures"
    pictures.mkdir()
    rng = random.Random(0)
    lines = []
    for number in range(8):
        Image.new("RGB", (160, 160), tuple(rng.randrange(256) for _ in range(3))).save(pictures / f"{number}.png")
        lines.append({"prompt": f'A sign that says "NO {number}"', "image": f"{number}.png"})
    for line in lines[6:]:
        line["instruction"] = line.pop("prompt")
        line["references"] = ["0.png"]  # type: ignore[assignment]
    (pictures / "metadata.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    shards = folder / "shards"
    encode_examples(read_source(pictures), shards, str(model), device="cpu")
    return str(model), shards


def settings(world: tuple[str, Path], work: Path, *more: str) -> list[str]:
    model, shards = world
    return [f"model={model}", f"data={shards}", f"work={work}", "batch=2", *SHORT, *more]


def test_the_generator_grows_through_its_resolutions(world: tuple[str, Path], tmp_path: Path) -> None:
    first = configured(glm_image_ar, settings(world, tmp_path))
    assert first.train.frozen_text and first.train.recompute
    first.run()
    one = torch.load(tmp_path / "ar_256" / "ar.pt", weights_only=True)
    configured(glm_image_ar, settings(world, tmp_path, "resolution=512")).run()
    two = torch.load(tmp_path / "ar_512" / "ar.pt", weights_only=True)
    table = "model.language_model.embed_tokens.weight"
    vision = load_pipeline_parts(world[0]).ar.config.text_config.vision_vocab_size
    assert torch.equal(one[table][vision:], two[table][vision:]), "text rows are frozen"
    assert not torch.equal(one["lm_head.weight"], two["lm_head.weight"])
    load_pipeline_parts(world[0]).ar.load_state_dict(two)
    log = (tmp_path / "ar_512" / "log.csv").read_text().splitlines()
    assert len(log) == 3, log


def test_the_decoder_learns_beside_a_frozen_glyph_encoder(world: tuple[str, Path], tmp_path: Path) -> None:
    configured(glm_image_decoder, settings(world, tmp_path)).run()
    made = torch.load(tmp_path / "decoder" / "decoder.pt", weights_only=True)
    parts = load_pipeline_parts(world[0])
    for name, value in parts.glyph.state_dict().items():
        assert torch.equal(made["glyph"][name], value), name
    parts.decoder.load_state_dict(made["decoder"])


def test_what_is_missing_is_one_sentence(world: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs data: add --set data=FOLDER"):
        configured(glm_image_ar, [f"work={tmp_path}"])
    with pytest.raises(ConfigError, match=r"resolution=300: it must be one of 256, 512, 1024"):
        configured(glm_image_ar, settings(world, tmp_path, "resolution=300"))
