"""Offload profiles draw the same bits as everything resident, and keep what they promise; quantised weights."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from inkwash.core.errors import ConfigError, RequestError
from inkwash.engine.offload import BLOCKS, Residency
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.quantize import is_quantized, parse_quantize
from inkwash.models.glm.decode import fuse_for_decode
from inkwash.models.glm.row_decode import RowDecoder

pytestmark = pytest.mark.slow

CALL: dict[str, Any] = {"prompt": 'A "SIGN"', "height": 64, "width": 64, "num_inference_steps": 3}


def draw(pipe: GlmImagePipeline, **more: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    images = pipe(**CALL, generator=generator, output_type="latent", **more).images
    assert isinstance(images, torch.Tensor)
    return images


def on_meta(network: nn.Module, prefix: str = "") -> set[bool]:
    return {value.is_meta for name, value in network.state_dict().items() if name.startswith(prefix)}


@pytest.fixture(scope="module")
def resident(tiny_folder: Path) -> GlmImagePipeline:
    return GlmImagePipeline.from_pretrained(tiny_folder)


@pytest.mark.parametrize("profile", ["stage", "block"])
def test_profiles_draw_the_same_bits(tiny_folder: Path, resident: GlmImagePipeline, profile: Any) -> None:
    moving = GlmImagePipeline.from_pretrained(tiny_folder, offload=profile)
    assert on_meta(moving.parts.ar) == on_meta(moving.parts.decoder) == {True}
    picture = Image.linear_gradient("L").resize((128, 160)).convert("RGB")
    for more in ({}, {"image": picture}):
        assert torch.equal(draw(moving, **more), draw(resident, **more))
    assert moving.device == resident.device and moving.dtype == resident.dtype


def test_stages_are_never_there_together(
    tiny_folder: Path, resident: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = GlmImagePipeline.from_pretrained(tiny_folder, offload="stage")
    residency = moving.stages.residency
    assert residency is not None
    used: list[str] = []
    use = Residency.use

    def watched(self: Residency, name: str) -> Any:
        used.append(name)
        return use(self, name)

    monkeypatch.setattr(Residency, "use", watched)
    draw(moving)
    assert used == ["ar", "decoder"]
    assert [name for name, member in residency.members.items() if member.present] == ["decoder"]
    assert on_meta(moving.parts.ar) == {True} and on_meta(moving.parts.decoder) == {False}
    with residency.use("ar"):
        assert on_meta(moving.parts.decoder) == {True}
        assert on_meta(moving.parts.ar, "model.language_model.") == {False}
        assert on_meta(moving.parts.ar, "model.visual.") == {True}  # for reference pictures only


def test_blocks_come_one_by_one(tiny_folder: Path) -> None:
    moving = GlmImagePipeline.from_pretrained(tiny_folder, offload="block")
    decoder, residency = moving.parts.decoder, moving.stages.residency
    assert residency is not None and decoder.stream is not None
    with residency.use("decoder"):
        assert on_meta(decoder, BLOCKS) == {True} and on_meta(decoder, "proj_out.") == {False}
        for number, block in enumerate(decoder.stream(decoder.blocks)):
            present = [not any(on_meta(each)) for each in decoder.blocks]
            assert present == [place == number for place in range(len(decoder.blocks))]
            assert block.attn1.fused is not None
        walk: Any = decoder.stream(decoder.blocks)
        next(walk)
        walk.close()  # broken off: nothing stays behind
        assert on_meta(decoder, BLOCKS) == {True}


def test_what_changes_weights_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    moving = GlmImagePipeline.from_pretrained(tiny_folder, offload="stage")
    for refused in (
        lambda: moving.to(torch.bfloat16),
        lambda: moving.save_pretrained(tmp_path / "x"),
        lambda: moving.load_lora_weights(tmp_path),
    ):
        with pytest.raises(ConfigError, match="without offload"):
            refused()
    with pytest.raises(ConfigError, match="none, stage, block"):
        GlmImagePipeline.from_pretrained(tiny_folder, offload="disk")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_quantized_decoder_is_smaller_and_near(tiny_folder: Path, resident: GlmImagePipeline, kind: str) -> None:
    rounded = GlmImagePipeline.from_pretrained(tiny_folder, quantize=f"decoder={kind}")
    expected, got = draw(resident), draw(rounded)
    assert not torch.equal(got, expected)
    assert float((got - expected).norm() / expected.norm()) < (0.05 if kind == "int8" else 0.25)
    weight = rounded.parts.decoder.blocks[0].ff.net[2].weight
    assert type(weight.data) is not torch.Tensor
    assert weight.qdata.element_size() == 1
    assert type(rounded.parts.decoder.proj_out.weight.data) is torch.Tensor


def test_quantized_generator_draws_in_bfloat16(tiny_folder: Path) -> None:
    rounded = GlmImagePipeline.from_pretrained(tiny_folder, quantize="ar=int8", torch_dtype="bfloat16", offload="stage")
    assert torch.isfinite(draw(rounded)).all()
    with pytest.raises(ConfigError, match="bfloat16"):
        GlmImagePipeline.from_pretrained(tiny_folder, quantize="ar=int8")


def test_what_this_machine_cannot_round_is_one_sentence(tiny_folder: Path) -> None:
    with pytest.raises(ConfigError, match="CUDA"):
        GlmImagePipeline.from_pretrained(tiny_folder, quantize="decoder=int4")
    with pytest.raises(RequestError, match="stage"):
        GlmImagePipeline.from_pretrained(tiny_folder, quantize="decoder=int8", offload="block")


def test_quantize_is_parsed() -> None:
    assert parse_quantize(None) == parse_quantize("none") == {}
    assert parse_quantize("int8") == {"ar": "int8", "decoder": "int8"}
    assert parse_quantize("ar=int8, decoder=fp8") == {"ar": "int8", "decoder": "fp8"}
    for wrong in ("int3", "ar", "vae=int8", "ar=int8,ar=fp8", "ar=int8,"):
        with pytest.raises(RequestError, match="quantize"):
            parse_quantize(wrong)


def test_which_layers_are_rounded(resident: GlmImagePipeline) -> None:
    decoder = [name for name, _ in resident.parts.decoder.named_modules() if is_quantized("decoder", name)]
    ar = [name for name, _ in resident.parts.ar.named_modules() if is_quantized("ar", name)]
    assert len(decoder) == 6 * resident.parts.decoder.config.num_layers
    assert len(ar) == 3 * resident.parts.ar.config.text_config.num_hidden_layers + 1


def test_a_stage_that_leaves_takes_its_decode_path_with_it_at_once(tiny_folder: Path) -> None:
    pipe = GlmImagePipeline.from_pretrained(tiny_folder, offload="stage", device_map="cpu")
    gc.collect()
    gc.disable()  # weights kept by a cycle would stay beside the decoder's until the collector comes by
    try:
        with pipe.stages.resident("ar"):
            step = fuse_for_decode(pipe.parts.ar)
            step.rows = RowDecoder(step)
            gone = [weakref.ref(step), weakref.ref(step.rows)]
            del step
        with pipe.stages.resident("decoder"):
            assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()
