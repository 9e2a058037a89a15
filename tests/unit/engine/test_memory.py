"""The memory forecast: what is counted, and how profiles and settings order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from inkwash.engine.memory import Forecast, LiveBytes, Sizes, Work, forecast, weight_bytes
from inkwash.engine.pace import measure_pace
from inkwash.engine.pipeline import GlmImagePipeline

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def released(**more: Any) -> Forecast:
    work = Work(height=more.pop("side", 1024), width=1024, reference=more.pop("reference", None))
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
    made = forecast(Sizes.of_folder(tiny_folder), Work(height=64, width=64), dtype=torch.float32, device=CPU)
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


def test_profiles_order_and_the_released_model_fits_where_it_should() -> None:
    none, stage, block = (released(profile=profile) for profile in ("none", "stage", "block"))
    assert none.peak > stage.peak >= block.peak
    assert stage.peak < 23e9
    assert released(profile="block", quantize={"ar": "int8"}).peak < 12e9
    assert none.peak > stage.weights["ar"] + stage.weights["decoder"]


def test_more_work_needs_more() -> None:
    usual = released()
    assert released(side=2048).working["decoder"] > 1.8 * usual.working["decoder"]
    assert released(reference=(1024, 1024)).working["decoder"] > usual.working["decoder"] + 1.9e9  # its keys, values
    assert released(quantize={"ar": "int8", "decoder": "int8"}).peak < 0.7 * usual.peak


def test_a_pace_has_all_stages(tiny_folder: Path) -> None:
    sizes, work = Sizes.of_folder(tiny_folder), Work(height=64, width=64, steps=4)
    pace = measure_pace(sizes, work, dtype=torch.float32, device=CPU)
    assert min(pace.ar, pace.decoder, pace.vae) > 0
    made = forecast(sizes, work, dtype=torch.float32, device=CPU, profile="block")
    assert pace.under(made, work) > pace.total == pace.ar + pace.decoder + pace.vae
