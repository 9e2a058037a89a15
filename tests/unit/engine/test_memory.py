"""The memory forecast: what is counted, and how profiles and settings order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from inkwash.engine.memory import Forecast, Forecaster, ForecastInput, LiveBytes, Sizes, forecast, weight_bytes
from inkwash.engine.narrow import stand_in_for_ar, stand_in_for_decoder, stand_in_for_vae
from inkwash.engine.pace import measure_pace
from inkwash.engine.pipeline import GlmImagePipeline

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def released(**more: Any) -> Forecast:
    work = ForecastInput(height=more.pop("side", 1024), width=1024, reference=more.pop("reference", None))
    return forecast(Sizes.released(), work, dtype=torch.bfloat16, device=CUDA, **more)


def test_live_bytes_follow_tensors_and_not_weights() -> None:
    layer = nn.Linear(8, 8, device="meta")
    with torch.no_grad(), LiveBytes(layer) as counter:
        x = torch.empty(4, 8, device="meta")
        y = layer(x)  # 2 x 128 bytes; the weight and its transposed view are not counted
        view = y[:2]
        assert counter.alive == 256
        del x, y
        assert counter.alive == 128
        del view
        big = torch.empty(100, device="meta")
        del big
    assert (counter.alive, counter.most) == (0, 400)


def test_weights_are_those_of_the_loaded_networks(tiny_folder: Path) -> None:
    parts = GlmImagePipeline.from_pretrained(tiny_folder).parts
    made = forecast(Sizes.of_folder(tiny_folder), ForecastInput(height=64, width=64), dtype=torch.float32, device=CPU)
    assert made.weights["decoder"] == weight_bytes(parts.decoder)
    assert made.weights["small"] == weight_bytes(parts.vae) + weight_bytes(parts.glyph)
    assert made.weights["ar"] + made.weights["vision"] >= weight_bytes(parts.ar)


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_quantized_layers_are_counted_as_they_are_kept(tiny_folder: Path, kind: str) -> None:
    decoder = GlmImagePipeline.from_pretrained(tiny_folder, quantize=f"decoder={kind}").parts.decoder
    plain = GlmImagePipeline.from_pretrained(tiny_folder).parts.decoder
    real = 0
    for value in decoder.state_dict().values():
        inner = [getattr(value, name) for name in getattr(value, "tensor_data_names", ())] or [value]
        real += sum(each.numel() * each.element_size() for each in inner)
    assert weight_bytes(plain, "decoder", kind) == real


@pytest.mark.slow
def test_profiles_order_and_the_released_model_fits_where_it_should() -> None:
    none, stage, block = (released(profile=profile) for profile in ("none", "stage", "block"))
    assert none.peak > stage.peak >= block.peak
    assert stage.peak < 23e9
    assert released(profile="block", quantize={"ar": "int8"}).peak < 12e9
    assert none.peak > stage.weights["ar"] + stage.weights["decoder"]


@pytest.mark.slow
def test_more_work_needs_more() -> None:
    usual = released()
    assert released(side=2048).working["decoder"] > 1.8 * usual.working["decoder"]
    assert released(reference=(1024, 1024)).working["decoder"] > usual.working["decoder"] + 1.9e9  # its keys, values
    assert released(quantize={"ar": "int8", "decoder": "int8"}).peak < 0.7 * usual.peak


def test_a_pace_has_all_stages(tiny_folder: Path) -> None:
    sizes, work = Sizes.of_folder(tiny_folder), ForecastInput(height=64, width=64, steps=4)
    pace = measure_pace(sizes, work, dtype=torch.float32, device=CPU)
    assert min(pace.ar, pace.decoder, pace.vae) > 0
    made = forecast(sizes, work, dtype=torch.float32, device=CPU, profile="block")
    assert pace.under(made, work) > pace.total == pace.ar + pace.decoder + pace.vae


@pytest.mark.slow
@pytest.mark.parametrize("device", [CPU, CUDA])
def test_a_forecast_from_short_networks_is_that_of_all_layers(
    monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    work = ForecastInput(height=1024, width=1024, reference=None if device == CPU else (1024, 1024))
    short = Forecaster(Sizes.released(), work, dtype=torch.bfloat16, device=device).working
    for name in ("AR_LAYERS", "DECODER_LAYERS"):
        monkeypatch.setattr(f"inkwash.engine.memory.{name}", (1, 1000))
    whole = Forecaster(Sizes.released(), work, dtype=torch.bfloat16, device=device).working
    assert short == pytest.approx(whole, rel=0.05), "the peak may lie elsewhere in a deep network of a small picture"


def test_stand_ins_of_large_networks_are_small_and_counted_up() -> None:
    """Four times the steps are four times the seconds; a narrow layer of the released sizes is a fraction of it."""
    sizes, dtype = Sizes.released(), torch.float32
    usual, long = ForecastInput(height=512, width=512, steps=10), ForecastInput(height=512, width=512, steps=40)
    one, four = (stand_in_for_decoder(sizes, work, dtype, CPU, 2**28) for work in (usual, long))
    assert four.times == pytest.approx(4 * one.times) and one.work.steps == four.work.steps
    assert one.short is not None and one.short[1] * 12 * one.sizes.decoder.width**2 * 4 < 10**8
    ar = stand_in_for_ar(sizes, usual, dtype, CPU, 2**28)
    assert ar.sizes.ar.text_config.hidden_size == 512 and ar.times == 8**2
    vae = stand_in_for_vae(sizes, usual, dtype, CPU, 2**28)
    assert vae.times == 16 * (512 / 64) ** 2, "a quarter of the channels, a picture of 64 pixels"
    assert stand_in_for_vae(sizes, usual, dtype, CUDA, 2**28).times == 1.0, "an accelerator is not filled by small ones"


def test_a_small_network_is_its_own_stand_in(tiny_folder: Path) -> None:
    sizes, work = Sizes.of_folder(tiny_folder), ForecastInput(height=64, width=64)
    for make in (stand_in_for_ar, stand_in_for_decoder, stand_in_for_vae):
        made = make(sizes, work, torch.float32, CPU, 2**28)
        assert (made.sizes, made.short, made.times) == (sizes, None, 1.0)
