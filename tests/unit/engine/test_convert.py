"""Folders in 8 and 4 bits: written in the memory of one matrix, loaded by mapping, refused in one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from inkwash.core.errors import ConfigError, RequestError, WeightsError
from inkwash.engine.convert import convert
from inkwash.engine.memory import ForecastInput
from inkwash.engine.pace import measure_mapped
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.see.loading import load_vision_model
from inkwash.models.glm.decode import fuse_for_decode
from inkwash.models.glm.row_decode import RowDecoder
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.models.glm_v.folder import BUNDLED as SIGHT
from inkwash.models.glm_v.weights import load_glm_v
from inkwash.models.tensor_files import stated_kind
from inkwash.models.weights import StoredTensors
from inkwash.nn.int8 import Int8Linear
from inkwash.nn.linear import Int4Matrix, Int8Matrix, QuantizedLinear, dequantize, quantize_int4, quantize_int8

CALL: dict[str, Any] = {"prompt": 'A "SIGN"', "height": 64, "width": 64, "num_inference_steps": 2}
KINDS = {"ar": "int4", "decoder": "int8"}


@pytest.fixture(scope="module")
def stored(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint in bfloat16, as released ones are."""
    folder = tmp_path_factory.mktemp("convert") / "bf16"
    GlmImagePipeline.from_pretrained(tiny_folder, torch_dtype=torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def narrow(stored: Path) -> Path:
    folder = stored.parent / "narrow"
    convert(stored, folder, KINDS)
    return folder


@pytest.fixture(scope="module")
def pipe(narrow: Path) -> GlmImagePipeline:
    return GlmImagePipeline.from_pretrained(narrow, device_map="cpu")


def latents(pipe: GlmImagePipeline, **more: Any) -> torch.Tensor:
    made: Any = pipe(**CALL, generator=torch.Generator().manual_seed(7), output_type="latent", **more)
    assert isinstance(made.images, torch.Tensor)
    return made.images


def test_the_middle_blocks_are_rounded_once(stored: Path, narrow: Path) -> None:
    original = StoredTensors(stored / "vision_language_encoder")
    made = StoredTensors(narrow / "vision_language_encoder")
    assert {name.split(".")[3] for name in made.quantized} == {"1"}  # of three: neither the first nor the last
    assert len(made.quantized) == 6
    name = "model.language_model.layers.1.mlp.down_proj.weight"
    _, weight = next(original.read([name], dtype=None))
    expected, got = quantize_int4(weight, 64), made.matrix(name)
    assert isinstance(got, Int4Matrix)
    assert torch.equal(got.packed, expected.packed) and torch.equal(got.steps, expected.steps)
    decoder = StoredTensors(narrow / "transformer")
    name = "transformer_blocks.1.ff.net.2.weight"
    _, weight = next(StoredTensors(stored / "transformer").read([name], dtype=None))
    eight = decoder.matrix(name)
    assert isinstance(eight, Int8Matrix)
    assert torch.equal(eight.values, quantize_int8(weight).values)


def test_everything_else_is_as_it_was(stored: Path, narrow: Path) -> None:
    for part in ("vision_language_encoder", "transformer"):
        before, after = StoredTensors(stored / part), StoredTensors(narrow / part)
        plain = [name for name in before.names if name not in after.quantized]
        assert "lm_head.weight" in plain or part == "transformer"
        for name in plain:
            assert torch.equal(before.view(name, None), after.view(name, None)), name
    assert (narrow / "processor" / "tokenizer.json").read_bytes() == (stored / "processor/tokenizer.json").read_bytes()
    assert stated_kind(narrow / "transformer") == "int8" and stated_kind(stored / "transformer") is None


def test_the_folder_draws_by_mapped_products(pipe: GlmImagePipeline, narrow: Path) -> None:
    assert pipe.dtype == torch.bfloat16
    layers = [module for module in pipe.parts.ar.modules() if isinstance(module, QuantizedLinear)]
    assert len(layers) == 6
    rows = RowDecoder(fuse_for_decode(pipe.parts.ar))
    assert rows.shares  # so that guesses pay
    plain = GlmImagePipeline(load_pipeline_parts(narrow, dtype=torch.bfloat16))  # the numbers that are stood for
    prior = plain.generate_prior_tokens(CALL["prompt"], 64, 64, generator=torch.Generator().manual_seed(7))[0]
    got, expected = latents(pipe, prior_token_ids=prior), latents(plain, prior_token_ids=prior)
    assert float((got - expected).norm() / expected.norm()) < 0.02


def test_the_decoder_may_round_its_activations(narrow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for chosen, kind in (("0", QuantizedLinear), ("1", Int8Linear)):
        monkeypatch.setenv("INKWASH_INT8_ACTIVATIONS", chosen)
        pipe = GlmImagePipeline.from_pretrained(narrow, device_map="cpu")
        for network, expected in ((pipe.parts.decoder, kind), (pipe.parts.ar, QuantizedLinear)):
            layers = [layer for layer in network.modules() if isinstance(layer, QuantizedLinear)]
            assert layers and all(type(layer) is expected for layer in layers)
        made.append(latents(pipe).float())
    widened, rounded = made
    assert 0 < float((rounded - widened).norm() / widened.norm()) < 0.05
    assert torch.equal(latents(pipe).float(), rounded)  # the same again


def test_one_token_is_near_that_of_the_widened_generator(pipe: GlmImagePipeline, narrow: Path) -> None:
    plain = load_pipeline_parts(narrow, dtype=torch.float32).ar
    ids = torch.arange(8)[None]
    places = torch.arange(8).expand(3, 1, -1)
    with torch.no_grad():
        expected, got = plain(ids, places), pipe.parts.ar(ids, places)
    assert float((got.float() - expected).norm() / expected.norm()) < 0.03


def test_weights_are_views_of_the_files(pipe: GlmImagePipeline, narrow: Path) -> None:
    for network in (pipe.parts.ar, pipe.parts.decoder):
        layer = next(module for module in network.modules() if isinstance(module, QuantizedLinear))
        ranges = [
            tuple(int(end, 16) for end in line.split()[0].split("-"))
            for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
            if str(narrow) in line
        ]
        for tensor in (*layer.matrix.tensors, next(network.parameters())):
            assert any(start <= tensor.data_ptr() < end for start, end in ranges)


def test_plain_readers_get_the_numbers_it_stands_for(narrow: Path) -> None:
    parts = load_pipeline_parts(narrow, dtype=torch.float32)
    name = "model.language_model.layers.1.self_attn.q_proj.weight"
    made = StoredTensors(narrow / "vision_language_encoder").matrix(name)
    assert torch.equal(parts.ar.get_parameter(name), dequantize(made))


def test_fp8_is_the_layout_of_others(stored: Path, tmp_path: Path) -> None:
    convert(stored, tmp_path / "fp8", {"decoder": "fp8"})
    name = "transformer_blocks.1.ff.net.2.weight"
    (file,) = (tmp_path / "fp8" / "transformer").glob("*.safetensors")
    assert load_file(file)[name].dtype == torch.float8_e4m3fn
    _, before = next(StoredTensors(stored / "transformer").read([name], dtype=torch.float32))
    _, after = next(StoredTensors(tmp_path / "fp8" / "transformer").read([name], dtype=torch.float32))
    assert 0 < float((after - before).norm() / before.norm()) < 0.05


def test_refusals_are_one_sentence(stored: Path, narrow: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="rounded to int4 already"):
        convert(narrow, tmp_path / "again", KINDS)
    assert not (tmp_path / "again").exists()
    assert not list(tmp_path.glob(".*partial"))
    with pytest.raises(RequestError, match="stage 'see'"):
        convert(stored, tmp_path / "x", {"see": "int8"})
    with pytest.raises(WeightsError, match="not empty"):
        convert(stored, narrow, KINDS)
    with pytest.raises(WeightsError, match="inside the checkpoint"):
        convert(stored, stored / "inside", KINDS)
    with pytest.raises(RequestError, match="stored in int8 already"):
        GlmImagePipeline.from_pretrained(narrow, quantize="decoder=int8", device_map="cpu")


def test_scales_that_do_not_fit_are_found(narrow: Path, tmp_path: Path) -> None:
    (file,) = (narrow / "transformer").glob("*.safetensors")
    tensors = load_file(file)
    name = "transformer_blocks.1.ff.net.2.weight_scale"
    for change, said in (({}, "without scales"), ({name: torch.ones(3, dtype=torch.bfloat16)}, "no scales for")):
        folder = tmp_path / said.replace(" ", "-")
        folder.mkdir()
        kept = {key: value for key, value in tensors.items() if key != name}
        save_file({**kept, **change}, folder / file.name)
        with pytest.raises(WeightsError, match=said):
            StoredTensors(folder)


def test_weights_that_are_not_finite_are_refused(stored: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    shutil.copytree(stored, folder)
    (file,) = (folder / "transformer").glob("*.safetensors")
    tensors = load_file(file)
    tensors["transformer_blocks.1.ff.net.2.weight"][0, 0] = float("nan")
    save_file(tensors, file)
    with pytest.raises(WeightsError, match="not finite"):
        convert(folder, tmp_path / "out", {"decoder": "int8"})
    assert json.loads((folder / "model_index.json").read_text())  # the source is left alone


def test_a_model_that_sees_is_converted_and_answers_nearly_alike(tmp_path: Path) -> None:
    folder = tmp_path / "see"
    (made,) = convert(SIGHT, folder, {"see": "int4"})
    assert made.matrices > 0 and made.after < made.before
    mapped = load_vision_model(folder, dtype=torch.bfloat16, device=torch.device("cpu")).model
    plain = load_glm_v(folder, dtype=torch.float32).model
    ids, places = torch.arange(20)[None] % 600, torch.arange(20).expand(3, 1, -1)
    with torch.no_grad():
        expected, got = plain(ids, places), mapped(ids, places)
        step = fuse_for_decode(mapped)
        row = step.forward_token(ids[:, 0], step.tables(places)[:, 0], mapped.make_cache(1, 8), 0).float()
        wanted = plain.lm_head(expected[:, 0])
    assert float((got.float() - expected).norm() / expected.norm()) < 0.05
    assert float((row - wanted).norm() / wanted.norm()) < 0.05
    with pytest.raises(ConfigError, match="stored in int4"):
        load_vision_model(folder, dtype=torch.bfloat16, device=torch.device("cpu"), quantize="int8")


@pytest.mark.slow
def test_a_forecast_times_the_layers_of_the_folder(narrow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted up from short networks or timed whole; afterwards every layer is back, and a drawing is the same."""
    pipe = GlmImagePipeline.from_pretrained(narrow, device_map="cpu")
    before = latents(pipe)
    once, often = (ForecastInput(height=64, width=64, steps=steps) for steps in (2, 2000))
    assert min(getattr(measure_mapped(pipe.parts, once), stage) for stage in ("ar", "decoder", "vae")) > 0
    monkeypatch.setattr("inkwash.engine.pace.SHORT", (1, 2))
    assert measure_mapped(pipe.parts, often).decoder > 20 * measure_mapped(pipe.parts, once).decoder
    assert torch.equal(latents(pipe), before)
