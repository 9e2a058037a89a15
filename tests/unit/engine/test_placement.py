"""What `offload="auto"` chooses by the memory there is, and what it refuses before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from inkwash.core.errors import ConfigError
from inkwash.engine import loading
from inkwash.engine.loading import USABLE, _mapped, _Stored, choose
from inkwash.engine.memory import Forecaster, ForecastInput, Sizes
from inkwash.engine.pipeline import GlmImagePipeline

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(scope="module")
def peaks(tiny_folder: Path) -> dict[str, int]:
    """Of the picture that the choice is made for."""
    sizes = Sizes.of_folder(tiny_folder)
    side = sizes.vae.sample_size // 32 * 32
    made = Forecaster(sizes, ForecastInput(height=side, width=side), dtype=torch.float32, device=CPU)
    return {
        "none": made.forecast("none").peak,
        "packed": made.mapped({}, packs=True).peak,
        "plain": made.mapped({}, packs=False).peak,
    }


def just(peak: int) -> int:
    """Free memory of which so much is used."""
    return int(peak / USABLE) + 8


def test_much_memory_holds_everything(tiny_folder: Path) -> None:
    made = choose(tiny_folder, device=CPU, dtype=None, free_bytes=10**11)
    assert (made.profile, made.dtype, made.note) == ("none", torch.float32, None)
    assert choose(tiny_folder, device=CUDA, dtype=None, free_bytes=10**11).dtype == torch.bfloat16


@pytest.fixture
def forecasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a tiny checkpoint is forecast."""
    monkeypatch.setattr(loading, "CLEARLY", 1e6)


@pytest.mark.slow
@pytest.mark.usefixtures("forecasts")
def test_on_a_cpu_weights_are_mapped_where_they_do_not_fit(tiny_folder: Path, peaks: dict[str, int]) -> None:
    assert peaks["plain"] < peaks["packed"] < peaks["none"]
    fits = choose(tiny_folder, device=CPU, dtype=None, free_bytes=just(peaks["none"]))
    assert fits.profile == "none"
    less = choose(tiny_folder, device=CPU, dtype=None, free_bytes=just(peaks["none"] - 4096))
    assert less.profile == "map" and less.packs
    assert less.note is not None and "--offload map" in less.note
    with pytest.raises(ConfigError, match=r"reads .* for every token .*inkwash convert"):
        choose(tiny_folder, device=CPU, dtype=None, free_bytes=just(peaks["plain"]))
    with pytest.raises(ConfigError, match="leave --dtype out"):
        choose(tiny_folder, device=CPU, dtype=torch.float64, free_bytes=just(peaks["packed"]))


def test_a_decoder_without_room_takes_it_from_packing_and_streams(tiny_folder: Path, peaks: dict[str, int]) -> None:
    sizes = Sizes.of_folder(tiny_folder)
    side = sizes.vae.sample_size // 32 * 32
    made = Forecaster(sizes, ForecastInput(height=side, width=side), dtype=torch.float32, device=CPU)
    large = _Stored(numbers=1, read={"ar": 10, "decoder": 10**10}, kinds={}, dtype=torch.float32)
    least = _mapped(tiny_folder, made, large, peaks["packed"])
    assert least.profile == "map" and not least.packs
    assert least.note is not None and "10.0 GB of the decoder do not fit" in least.note


@pytest.mark.slow
@pytest.mark.usefixtures("forecasts")
def test_an_accelerator_takes_the_first_profile_that_fits(tiny_folder: Path) -> None:
    sizes = Sizes.of_folder(tiny_folder)
    side = sizes.vae.sample_size // 32 * 32
    made = Forecaster(sizes, ForecastInput(height=side, width=side), dtype=torch.bfloat16, device=CUDA)
    for profile, below in (("none", "stage"), ("stage", "block")):
        peak = made.forecast(profile).peak  # type: ignore[arg-type]
        assert choose(tiny_folder, device=CUDA, dtype=None, free_bytes=just(peak)).profile == profile
        got = choose(tiny_folder, device=CUDA, dtype=None, free_bytes=just(peak - 4096))
        assert got.profile == below and got.note is not None
    with pytest.raises(ConfigError, match="does not fit"):
        choose(tiny_folder, device=CUDA, dtype=None, free_bytes=just(made.forecast("block").peak - 4096))


def test_a_mapped_checkpoint_draws_the_same_picture(
    tiny_folder: Path, peaks: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def latents(pipe: GlmImagePipeline) -> torch.Tensor:
        call: dict[str, Any] = {
            "prompt": 'A "SIGN"',
            "height": 64,
            "width": 64,
            "num_inference_steps": 2,
            "output_type": "latent",
        }
        made: Any = pipe(**call, generator=torch.Generator().manual_seed(7))
        assert isinstance(made.images, torch.Tensor)
        return made.images

    whole = GlmImagePipeline.from_pretrained(tiny_folder, device_map="cpu")
    assert whole.placement is not None and whole.placement.profile == "none"
    monkeypatch.setattr(loading, "CLEARLY", 1e6)
    monkeypatch.setattr(loading, "free_memory", lambda _device: just(peaks["none"] - 4096))
    mapped = GlmImagePipeline.from_pretrained(tiny_folder, device_map="cpu")
    assert mapped.placement is not None and mapped.placement.profile == "map"
    expected, got = latents(whole), latents(mapped)
    assert float((got - expected).norm() / expected.norm()) < 1e-5
    with pytest.raises(ConfigError, match="without offload"):
        mapped.to(torch.bfloat16)


def test_free_memory_is_what_the_system_says() -> None:
    free = loading.free_memory(CPU)
    assert 2**20 < free < 2**50
