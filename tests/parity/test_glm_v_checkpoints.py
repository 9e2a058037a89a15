"""GLM-V folders both ways: the reference's into ours, ours into the reference, 8-bit ones, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from inkwash.core.errors import WeightsError
from inkwash.models.glm_v.weights import GlmVParts, load_glm_v, load_model, save_glm_v
from tests.parity.glm_v_folder import SPECIALS, write_folder
from tests.parity.glm_v_reference import EXPERTS, IDS, PATCH, TEXT, VISION, build_reference, randomise, relative_error
from tests.pictures import noise_picture

IMAGE_ID = 256 + SPECIALS.index("<|image|>")


def write_reference(folder: Path, kind: str, **text: Any) -> Any:
    """A whole folder: weights by the reference, the rest as a checkpoint has it."""
    import transformers

    ids = {**IDS, "image_token_id": IMAGE_ID}
    size = {"vocab_size": 300, "eos_token_id": [5, 6], **text}
    if kind == "dense":
        config = transformers.Glm4vConfig(text_config={**TEXT, **size}, vision_config=VISION, **ids)
        model = transformers.Glm4vForConditionalGeneration(config).eval()
    elif kind == "experts of 4.6":
        experts = {"model_type": "glm4v_moe_text", **EXPERTS, **size}
        config = transformers.Glm46VConfig(text_config=experts, vision_config=VISION, **ids)
        model = transformers.Glm46VForConditionalGeneration(config).eval()
    else:
        config = transformers.Glm4vMoeConfig(text_config={**EXPERTS, **size}, vision_config=VISION, **ids)
        model = transformers.Glm4vMoeForConditionalGeneration(config).eval()
    randomise(model, 11)
    model.save_pretrained(folder)
    write_folder(folder, generation="Glm46V" if "4.6" in kind else "Glm4v", patch=PATCH, shortest=64)
    return model


@pytest.fixture(scope="module", params=["dense", "experts"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, GlmVParts]:
    folder = tmp_path_factory.mktemp(request.param)
    reference = write_reference(folder, request.param)
    return reference, folder, load_glm_v(folder)


def test_experts_lie_one_by_one_on_disk(written: tuple[Any, Path, GlmVParts], tmp_path: Path) -> None:
    _, folder, parts = written
    save_glm_v(parts, tmp_path / "again")
    theirs, ours = (load_file(place / "model.safetensors") for place in (folder, tmp_path / "again"))
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    experts = [name for name in ours if ".experts.7.gate_proj.weight" in name]
    assert len(experts) == (2 if parts.model.config.model_type == "glm4v_moe" else 0)


def test_a_folder_of_ours_answers_the_same_there(written: tuple[Any, Path, GlmVParts], tmp_path: Path) -> None:
    import transformers

    _, _, parts = written
    save_glm_v(parts, tmp_path / "again", max_shard_bytes=60_000)
    again = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path / "again", dtype=torch.float32).eval()

    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
    prompt = parts.processor.prepare(messages, images=[noise_picture((40, 24), 60)])
    assert prompt.patches is not None
    with torch.no_grad():
        features = parts.model.see(prompt.patches, prompt.grids)
        ids, modality = prompt.ids[None], prompt.modality[None]
        logits = parts.model.lm_head(parts.model(ids, prompt.positions[:, None], features=features, modality=modality))
        expected = again(
            input_ids=ids,
            pixel_values=prompt.patches,
            image_grid_thw=torch.tensor(prompt.grids),
            mm_token_type_ids=modality,
        ).logits
    assert relative_error(logits, expected) < 5e-5


def test_corrections_stay_exact_in_bf16(tmp_path: Path) -> None:
    reference = write_reference(tmp_path, "experts")
    model = load_model(tmp_path, dtype=torch.bfloat16)
    name = "model.language_model.layers.2.mlp.gate.e_score_correction_bias"
    found = model.state_dict()[name]
    assert found.dtype == torch.float32 and torch.equal(found, reference.state_dict()[name])
    assert model.lm_head.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("kind", ["dense", "experts"])
def test_an_8_bit_checkpoint_is_its_numbers_times_their_scales(kind: str, tmp_path: Path) -> None:
    write_reference(tmp_path, kind)
    file = tmp_path / "model.safetensors"
    exact = load_file(file)
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in exact.items():
        if "language_model.layers" not in name or not name.endswith("_proj.weight"):
            stored[name] = tensor
            continue
        scale = tensor.abs().amax(-1, keepdim=True) / 448
        stored[name] = (tensor / scale).to(torch.float8_e4m3fn)
        stored[f"{name}_scale"] = scale
    save_file(stored, file)
    scaled = [name for name in exact if f"{name}_scale" in stored]
    assert len(scaled) > 10
    for name, found in load_model(tmp_path).state_dict().items():
        if name not in scaled:
            assert torch.equal(found, exact[name])
            continue
        scale = stored[f"{name}_scale"]
        assert torch.equal(found, stored[name].float() * scale)
        assert ((found - exact[name]).abs() <= exact[name].abs() / 16 + scale * 2**-10).all()


def test_the_layer_of_multi_token_prediction_is_left_out(tmp_path: Path) -> None:
    write_reference(tmp_path, "experts")
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    extra = "model.language_model.layers.3."
    save_file({**tensors, f"{extra}eh_proj.weight": torch.ones(2, 2), f"{extra}enorm.weight": torch.ones(2)}, file)
    load_model(tmp_path)
    save_file({**tensors, f"{extra}input_layernorm.weight": torch.ones(2)}, file)
    with pytest.raises(WeightsError, match=r"1 tensor unexpected \(model.language_model.layers.3.input_layernorm"):
        load_model(tmp_path)


def test_damaged_and_foreign_folders_get_a_sentence(tmp_path: Path) -> None:
    write_reference(tmp_path / "good", "dense")
    good = tmp_path / "good"
    config = json.loads((good / "config.json").read_text())
    for changes, words in (
        ({"model_type": "llama"}, "is of kind llama; expected a GLM-V checkpoint"),
        ({"image_token_id": 7}, "the picture token is 7"),
        ({"vision_config": {**config["vision_config"], "temporal_patch_size": 1}}, "the patches is"),
        ({"text_config": {**config["text_config"], "hidden_size": None}}, "lacks hidden_size"),
        ({"text_config": {**config["text_config"], "num_hidden_layers": 2}}, "unexpected"),
    ):
        (good / "config.json").write_text(json.dumps({**config, **changes}))
        with pytest.raises(WeightsError, match=words):
            load_glm_v(good)
    (good / "config.json").write_text(json.dumps(config))
    parts = load_glm_v(good)
    assert parts.stop_ids == (5, 6)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    with pytest.raises(WeightsError, match=r"config\.json is missing"):
        save_glm_v(parts, foreign)
    assert [file.name for file in foreign.iterdir()] == ["notes.txt"]


def test_ties_are_kept(tmp_path: Path) -> None:
    reference = build_reference("dense", tied=True)
    reference.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight


def test_the_documented_steps_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample of docs/glm-v.md, as it stands."""
    from PIL import Image

    Image.new("RGB", (64, 64), "blue").save(tmp_path / "poster.png")
    monkeypatch.chdir(tmp_path)
    document = (Path(__file__).parents[2] / "docs" / "glm-v.md").read_text(encoding="utf-8")
    exec(document.split("```python\n")[1].split("```")[0], {})
    assert "answer" in capsys.readouterr().out


def test_the_4_6_generation_is_the_same_network_under_another_name(tmp_path: Path) -> None:
    import transformers

    write_reference(tmp_path, "dense")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "glm46v"}))
    write_folder(tmp_path, generation="Glm46V", patch=PATCH, shortest=64)
    parts = load_glm_v(tmp_path)
    assert parts.processor.sampling.by_length
    save_glm_v(parts, tmp_path / "again")
    theirs = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path / "again", dtype=torch.float32).eval()
    assert type(theirs).__name__ == "Glm46VForConditionalGeneration"
    ids = torch.randint(0, 256, (1, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = parts.model.lm_head(parts.model(ids, torch.arange(9).expand(3, 1, 9)))
        assert relative_error(logits, theirs(input_ids=ids).logits) < 5e-5


def test_stacked_experts_of_the_4_6_generation_are_read_as_they_are_saved(tmp_path: Path) -> None:
    """transformers keeps the experts of this class stacked on disk; those of glm4v_moe lie there one by one."""
    reference = write_reference(tmp_path, "experts of 4.6")
    stored = load_file(tmp_path / "model.safetensors")
    stack = "model.language_model.layers.1.mlp.experts.gate_up_proj"
    assert stored[stack].shape == (8, 2 * 20, 48), "the premise: stacked on disk"
    parts = load_glm_v(tmp_path)
    ids = torch.randint(0, 256, (1, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = reference(input_ids=ids).logits
        logits = parts.model.lm_head(parts.model(ids, torch.arange(9).expand(3, 1, 9)))
    assert relative_error(logits, expected) < 5e-5
    gate = parts.model.state_dict()["model.language_model.layers.1.mlp.experts.3.gate_proj.weight"]
    assert torch.equal(gate, stored[stack][3, :20])


EXTRAS = (
    "model.visual.embeddings.position_ids",
    "model.visual.rotary_pos_emb.inv_freq",
    "model.language_model.rotary_emb.inv_freq",
    "loss.logvar",
)


@pytest.mark.parametrize("kind", ["dense", "experts"])
def test_tables_and_statistics_of_other_writers_are_left_out(kind: str, tmp_path: Path) -> None:
    write_reference(tmp_path, kind)
    file = tmp_path / "model.safetensors"
    stored = load_file(file)
    save_file({**stored, **{name: torch.full((3,), 7.0) for name in EXTRAS}}, file)
    found = load_model(tmp_path).state_dict()
    assert found.keys() == load_file(file).keys() - set(EXTRAS)
    assert all(torch.equal(found[name], stored[name]) for name in found)
    save_file({**stored, "model.language_model.rotary_emb.table": torch.ones(3)}, file)
    with pytest.raises(WeightsError, match=r"1 tensor unexpected \(model.language_model.rotary_emb.table\)"):
        load_model(tmp_path)


@pytest.mark.parametrize("size", ["1GB", "60KB"])
def test_a_variant_written_by_the_reference_is_chosen(size: str, tmp_path: Path) -> None:
    from inkwash.engine.see.pipeline import GlmVisionPipeline

    reference = write_reference(tmp_path, "dense")
    plain = reference.lm_head.weight.detach().clone()
    with torch.no_grad():
        reference.lm_head.weight.add_(1.0)
    reference.save_pretrained(tmp_path, variant="odd", max_shard_size=size)
    assert any(file.name.startswith("model.odd") for file in tmp_path.iterdir())
    assert torch.equal(load_model(tmp_path).lm_head.weight, plain)
    assert torch.equal(load_model(tmp_path, variant="odd").lm_head.weight, plain + 1.0)
    pipe = GlmVisionPipeline.from_pretrained(tmp_path, variant="odd", device_map="cpu")
    assert torch.equal(pipe.parts.model.lm_head.weight, plain + 1.0)
    rounded = GlmVisionPipeline.from_pretrained(tmp_path, variant="odd", quantize="int8", device_map="cpu")
    assert "lm_head.weight" not in rounded.parts.model.state_dict() or not rounded.parts.model.lm_head.weight.is_meta
    with pytest.raises(WeightsError, match=r"no weights of the variant 'fp16', only odd: leave variant out"):
        load_model(tmp_path, variant="fp16")
