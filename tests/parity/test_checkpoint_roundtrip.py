"""P0: what the reference libraries write loads here, what is written here loads there, and nothing changes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from inkwash.core.errors import WeightsError
from inkwash.models.glm_image.decoder import fuse_qkv
from inkwash.models.glm_image.folder import PARTS, DrawingDefaults
from inkwash.models.glm_image.tokenizer_files import TokenLayout, write_processor_files
from inkwash.models.glm_image.weights import GlmImageParts, load_pipeline_parts, save_pipeline_parts
from inkwash.models.registry import resolve
from tests.parity.tiny import CODES, make_tiny_reference

NETWORKS = {"vision_language_encoder": "ar", "transformer": "decoder", "vae": "vae", "text_encoder": "glyph"}


@pytest.fixture(scope="module")
def parts(tiny_folder: Path) -> GlmImageParts:
    return load_pipeline_parts(resolve(tiny_folder))


@pytest.fixture(scope="module")
def ours(parts: GlmImageParts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference folder, loaded and written again by our code, in shards."""
    return save_pipeline_parts(parts, tmp_path_factory.mktemp("ours") / "model", max_shard_bytes=700_000)


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


@pytest.fixture(scope="module")
def pipelines(tiny_folder: Path, ours: Path) -> tuple[Any, Any]:
    import diffusers

    load = diffusers.GlmImagePipeline.from_pretrained
    return load(tiny_folder), load(ours)


def stored(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert all(left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("part", NETWORKS)
def test_every_stored_tensor_is_used_once_and_written_back(
    tiny_folder: Path, ours: Path, parts: GlmImageParts, part: str
) -> None:
    original = stored(tiny_folder / part)
    assert_same(original, stored(ours / part))
    assert_same(original, dict(getattr(parts, NETWORKS[part]).state_dict()))


@pytest.mark.parametrize("part", NETWORKS)
def test_the_reference_reads_ours_as_its_own(pipelines: tuple[Any, Any], part: str) -> None:
    theirs, from_ours = (getattr(pipeline, part) for pipeline in pipelines)
    assert type(theirs) is type(from_ours)
    assert_same(dict(theirs.state_dict()), dict(from_ours.state_dict()))
    assert sizes(theirs) == sizes(from_ours)


def sizes(module: nn.Module) -> dict[str, Any]:
    """The configuration, without the bookkeeping that differs from file to file and what an encoder has no use for."""
    config = module.config.to_dict() if hasattr(module.config, "to_dict") else dict(module.config)  # type: ignore
    config.get("text_config", {}).pop("head_dim", None)  # ours writes the default out
    loose = {"_name_or_path", "_diffusers_version", "_commit_hash", "scale_decoder_outputs", "_use_default_values"}
    return {name: value for name, value in config.items() if name not in loose}


def test_the_rest_of_the_folder_means_the_same(pipelines: tuple[Any, Any]) -> None:
    theirs, from_ours = pipelines
    loose = {"_diffusers_version", "_use_default_values"}
    left, right = (
        {name: value for name, value in pipeline.scheduler.config.items() if name not in loose}
        for pipeline in pipelines
    )
    assert left == right
    texts = ["HELLO é 你好", "", "<extra_id_3> </s>"]
    assert theirs.tokenizer(texts).input_ids == from_ours.tokenizer(texts).input_ids
    assert len(theirs.tokenizer) == len(from_ours.tokenizer)
    assert theirs.processor.to_dict() == from_ours.processor.to_dict()
    assert theirs.processor.chat_template == from_ours.processor.chat_template
    generation = theirs.vision_language_encoder.generation_config
    assert generation.to_dict() == from_ours.vision_language_encoder.generation_config.to_dict()


def test_the_reference_draws_the_same_from_both(pipelines: tuple[Any, Any]) -> None:
    def draw(pipeline: Any) -> torch.Tensor:
        seed = torch.Generator().manual_seed(3)
        options = {"height": 96, "width": 128, "num_inference_steps": 2, "generator": seed, "output_type": "latent"}
        pipeline.set_progress_bar_config(disable=True)
        return pipeline('A sign that says "HI"', **options).images

    left, right = (draw(pipeline) for pipeline in pipelines)
    # Its weights lie at other addresses after loading, and some matrix libraries round by address.
    assert torch.allclose(left, right, rtol=1e-5, atol=1e-5)


def test_our_own_sampling_settings_are_what_the_reference_reads(parts: GlmImageParts, tmp_path: Path) -> None:
    import transformers

    parts = GlmImageParts(**{**vars(parts), "generation": {}})
    save_pipeline_parts(parts, tmp_path / "x")
    config = transformers.GenerationConfig.from_pretrained(tmp_path / "x" / "vision_language_encoder")
    assert (config.do_sample, config.temperature, config.top_p) == (True, 0.9, 0.75)
    assert config.top_k == TokenLayout(codes=CODES).vision_vocab_size
    assert config.eos_token_id == parts.ar.config.image_end_token_id


def test_settings_of_the_checkpoint_s_own_travel_and_the_reference_reads_past_them(
    parts: GlmImageParts, tmp_path: Path
) -> None:
    import diffusers

    own = DrawingDefaults(num_inference_steps=7, guidance_scale=2.5)
    folder = save_pipeline_parts(replace(parts, drawing=own), tmp_path / "own")
    assert load_pipeline_parts(folder).drawing == own != parts.drawing
    again = diffusers.GlmImagePipeline.from_pretrained(folder)
    assert type(again).__name__ == "GlmImagePipeline"


def test_our_processor_files_are_the_reference_s(tiny_folder: Path, parts: GlmImageParts, tmp_path: Path) -> None:
    import transformers

    write_processor_files(tmp_path / "p", parts.processor.tokenizer, codes=CODES, min_pixels=128**2, max_pixels=512**2)
    theirs, ours = (transformers.AutoProcessor.from_pretrained(f) for f in (tiny_folder / "processor", tmp_path / "p"))
    assert type(ours) is type(theirs) and ours.chat_template == theirs.chat_template
    assert ours.image_processor.to_dict() == theirs.image_processor.to_dict()
    messages = [[{"role": "user", "content": [{"type": "text", "text": 'Ünder "ÄB 12" 海报'}]}]]
    options = {"tokenize": True, "return_dict": True, "processor_kwargs": {"target_h": 256, "target_w": 128}}
    left, right = (processor.apply_chat_template(messages, **options) for processor in (theirs, ours))
    assert list(left["input_ids"][0]) == list(right["input_ids"][0])
    for name in ("image_token", "grid_bos_token", "grid_eos_token", "bos_token", "eos_token", "pad_token"):
        assert getattr(ours.tokenizer, name) == getattr(theirs.tokenizer, name)
    assert ours.tokenizer.padding_side == theirs.tokenizer.padding_side == "left"


@pytest.mark.parametrize("names", [["shared.weight"], ["encoder.embed_tokens.weight"], None])
def test_both_names_of_the_glyph_table_are_read(copy: Path, parts: GlmImageParts, names: list[str] | None) -> None:
    file = copy / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    table = tensors.pop("shared.weight")
    for name in names or ["shared.weight", "encoder.embed_tokens.weight"]:
        tensors[name] = table.clone()
    save_file(tensors, file, metadata={"format": "pt"})
    assert torch.equal(load_pipeline_parts(copy).glyph.shared.weight, table)


def test_half_precision_and_device(tiny_folder: Path, tmp_path: Path, parts: GlmImageParts) -> None:
    half = load_pipeline_parts(tiny_folder, dtype=torch.bfloat16)
    assert {p.dtype for name in NETWORKS.values() for p in getattr(half, name).parameters()} == {torch.bfloat16}
    save_pipeline_parts(parts, tmp_path / "half", dtype=torch.bfloat16)
    config = json.loads((tmp_path / "half" / "text_encoder" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    kept = load_pipeline_parts(tmp_path / "half", dtype=None)
    for name in NETWORKS.values():
        assert_same(dict(getattr(half, name).state_dict()), dict(getattr(kept, name).state_dict()))


def test_a_fused_decoder_is_saved_under_the_released_names(tiny_folder: Path, tmp_path: Path) -> None:
    loaded = load_pipeline_parts(tiny_folder)
    fuse_qkv(loaded.decoder)
    save_pipeline_parts(loaded, tmp_path / "fused")
    assert_same(stored(tiny_folder / "transformer"), stored(tmp_path / "fused" / "transformer"))


def test_other_vae_and_glyph_layouts(tmp_path: Path) -> None:
    """The VAE with attention and 1x1 convolutions, the glyph encoder with a plain feed-forward."""
    changes = {
        "vae": {"use_quant_conv": True, "use_post_quant_conv": True, "mid_block_add_attention": True},
        "glyph": {"feed_forward_proj": "relu"},
    }
    folder = make_tiny_reference(tmp_path / "reference", seed=1, **changes)
    again = save_pipeline_parts(load_pipeline_parts(folder), tmp_path / "again")
    for part in NETWORKS:
        assert_same(stored(folder / part), stored(again / part))


def refusal(folder: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_pipeline_parts(folder)
    message = str(caught.value)
    assert "\n" not in message and str(folder) in message
    return message


@pytest.mark.parametrize("part", NETWORKS)
def test_damage_anywhere_is_found_and_named(copy: Path, part: str) -> None:
    file = next((copy / part).glob("*.safetensors"))
    data = file.read_bytes()
    file.write_bytes(data[: len(data) - 100])
    assert f"{file} is damaged or cut short" in refusal(copy)
    file.write_bytes(data)
    tensors = load_file(file)
    name = sorted(tensors)[0]
    save_file({**{k: v for k, v in tensors.items() if k != name}, "stranger": torch.zeros(1)}, file)
    message = refusal(copy)
    assert f"{file} does not fit" in message and name in message and "stranger" in message


def test_damage_in_the_last_part_is_found_before_the_first_is_read(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inkwash.models.glm_image import weights

    file = copy / "text_encoder" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    monkeypatch.setattr(weights, "load_module", lambda *_, **__: pytest.fail("weights were read"))
    assert str(file) in refusal(copy)


@pytest.mark.parametrize(
    ("part", "change", "expected"),
    [
        ("transformer", {"text_embed_dim": 64}, "the glyph width is 48 in text_encoder/ and 64 in transformer/"),
        ("transformer", {"prior_vq_quantizer_codebook_size": 128}, "the number of semantic codes is 96 in"),
        ("transformer", {"num_layers": None}, "num_layers"),
        ("transformer", {"num_layers": 4}, "tensors missing (transformer_blocks.3."),
        ("transformer", {"attention_head_dim": 64}, "of the wrong shape"),
        ("vae", {"latent_channels": "x"}, "latent_channels"),
    ],
)
def test_configs_that_do_not_fit_are_named(copy: Path, part: str, change: dict[str, Any], expected: str) -> None:
    file = copy / part / PARTS[part].config_file
    config = {**json.loads(file.read_text()), **change}
    file.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
    assert expected in refusal(copy)


def test_saving_replaces_a_checkpoint_and_keeps_its_owner_s_files(copy: Path, parts: GlmImageParts) -> None:
    (copy / "README.md").write_text("mine")
    (copy / "pictures").mkdir()
    (copy / "pictures" / "a.txt").write_text("a")
    (copy / "transformer" / "left-over.safetensors").write_bytes(b"old")
    save_pipeline_parts(parts, copy)
    assert (copy / "README.md").read_text() == "mine" and (copy / "pictures" / "a.txt").read_text() == "a"
    assert not (copy / "transformer" / "left-over.safetensors").exists()
    assert load_pipeline_parts(copy).scheduler == parts.scheduler
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_saving_refuses_other_people_s_folders(parts: GlmImageParts, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("a")
    with pytest.raises(WeightsError, match="is not empty"):
        save_pipeline_parts(parts, tmp_path / "letters")
    with pytest.raises(WeightsError, match="is a file"):
        save_pipeline_parts(parts, tmp_path / "letters" / "a.txt")
    assert [path.name for path in tmp_path.rglob("*")] == ["letters", "a.txt"]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("vision_language_encoder", "model.visual.embeddings.position_ids"),
        ("vision_language_encoder", "model.language_model.rotary_emb.inv_freq"),
        ("transformer", "rope.inv_freq"),
        ("vae", "loss.logvar"),
        ("vae", "encoder.norm.num_batches_tracked"),
        ("text_encoder", "encoder.position_ids"),
    ],
)
def test_tables_and_statistics_of_other_writers_are_left_out(
    copy: Path, parts: GlmImageParts, part: str, name: str
) -> None:
    file = next((copy / part).glob("*.safetensors"))
    save_file({**load_file(file), name: torch.full((3,), 7.0)}, file)
    found = getattr(load_pipeline_parts(copy), NETWORKS[part])
    assert_same(dict(getattr(parts, NETWORKS[part]).state_dict()), dict(found.state_dict()))


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing fails in the third network."""
    from inkwash.models.glm_image import weights

    calls = iter(range(100))
    real = weights.save_module

    def save(*arguments: Any, **options: Any) -> None:
        if next(calls) == 2:
            raise OSError(28, "No space left on device")
        real(*arguments, **options)

    monkeypatch.setattr(weights, "save_module", save)


@pytest.mark.usefixtures("failing")
def test_a_failed_save_changes_nothing(copy: Path, parts: GlmImageParts) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    with pytest.raises(WeightsError, match="No space left on device"):
        save_pipeline_parts(parts, copy)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]
