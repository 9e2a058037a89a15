"""The whole way to nano in small: two steps of every stage, each edition from the one before, and a picture from it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.recipes import nano


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("first")
    nano.nano_vae(work, steps=2).run()
    nano.nano_vae_refined(work, steps=2).run()
    nano.nano_tokenizer(work, steps=2, batch=2).run()
    nano.nano_decoder(work, steps=2, batch=2).run()
    nano.nano_ar(work, steps=2, batch=2).run()
    return nano.export_nano(work, work / "checkpoint")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory, first: Path) -> Path:
    work = tmp_path_factory.mktemp("second")
    stage = nano.nano2_tokenizer(work, first, steps=2, batch=2)
    replace(stage, train=replace(stage.train, free_steps=1, start_batches=2)).run()
    former = Path(shutil.copytree(first, work / "former"))
    (former / "vision_language_encoder" / "generation_config.json").write_text('{"eos_token_id": 5, "top_k": 7}')
    assert nano.nano2_start(work, former, pictures=24) == work / "start"
    nano.nano2_vae_refined(work, steps=2).run()
    nano.nano2_decoder(work, steps=2, batch=2).run()
    nano.nano2_ar(work, steps=2, batch=2).run()
    return nano.nano2_export(work, work / "checkpoint")


@pytest.mark.slow
def test_every_stage_runs_and_the_result_draws(first: Path) -> None:
    folder, work = first, first.parent
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert 20e6 < size < 60e6
    pipe = GlmImagePipeline.from_pretrained(folder)
    output = pipe(
        prompt='A poster that says "HI"',
        height=128,
        width=160,
        num_inference_steps=1,
        generator=torch.Generator().manual_seed(0),
    )
    assert output.images[0].size == (160, 128)
    for stage in ("vae", "tokenizer", "decoder", "ar"):
        assert (work / stage / "log.csv").is_file(), f"{stage} left no log"


@pytest.mark.slow
def test_the_second_edition_goes_on_from_the_first(second: Path) -> None:
    folder, work = second, second.parent
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert 40e6 < size < 60e6
    said = json.loads((folder / "vision_language_encoder" / "generation_config.json").read_text())
    config = json.loads((folder / "vision_language_encoder" / "config.json").read_text())
    assert said["eos_token_id"] == config["text_config"]["eos_token_id"] == nano.SECOND.codes + 1
    assert said["top_k"] == config["text_config"]["vision_vocab_size"] > nano.SECOND.codes
    pipe = GlmImagePipeline.from_pretrained(folder)
    prompt = 'A red poster that says "Open 24" in huge letters and "下午" in white'
    output = pipe(prompt=prompt, height=128, width=160, num_inference_steps=1)
    assert output.images[0].size == (160, 128)
    refined = torch.load(work / "vae_refined" / "vae.pt", weights_only=True)["weights"]["decoder.conv_in.weight"]
    assert torch.equal(load_pipeline_parts(folder).vae.decoder.conv_in.weight, refined.bfloat16().float())


@pytest.mark.slow
def test_the_third_edition_goes_on_from_the_second(tmp_path: Path, second: Path) -> None:
    work = tmp_path / "work"
    stage = nano.nano3_tokenizer(work, second, steps=2, batch=2)
    replace(stage, train=replace(stage.train, free_steps=1, start_batches=2)).run()
    assert nano.nano3_start(work, second, pictures=24, lines=1500) == work / "start"
    nano.nano3_vae_refined(work, second, steps=2).run()
    nano.nano3_decoder(work, steps=2, batch=2).run()
    nano.nano3_ar(work, steps=2, batch=2).run()
    folder = nano.nano3_export(work, tmp_path / "checkpoint")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert 60e6 < size < 90e6
    parts = load_pipeline_parts(folder)
    assert parts.drawing == nano.THIRD.drawing
    assert parts.code_labels is not None and (parts.code_labels.character >= 0).any()
    assert parts.ar.config.text_config.num_hidden_layers == nano.AR_LAYERS
    assert parts.decoder.config.num_layers == nano.DECODER_LAYERS
    pipe = GlmImagePipeline.from_pretrained(folder)
    output = pipe(prompt="A card with a cake that says «Hello»", height=128, width=160, num_inference_steps=1)
    assert output.images[0].size == (160, 128)
