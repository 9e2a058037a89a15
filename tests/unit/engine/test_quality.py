"""Quality tiers: names, what they say, and that each trick switched off or fully on is the exact drawing."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from inkwash.core.errors import ConfigError, RequestError
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.request import QUALITIES, TIERS, DrawRequest, Quality, find_quality
from inkwash.engine.step_cache import StepCache, full_steps, modulation_changes
from inkwash.models.glm_image.decoder import DecoderConditions

CALL: dict[str, Any] = {"prompt": 'A "SIGN"', "height": 64, "width": 96, "output_type": "latent"}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@pytest.fixture(scope="module")
def exact(pipe: GlmImagePipeline) -> Any:
    return pipe(**CALL, num_inference_steps=8, generator=seeded())


def redraw(pipe: GlmImagePipeline, exact: Any, quality: str | Quality, steps: int = 8) -> torch.Tensor:
    made = pipe(**CALL, num_inference_steps=steps, generator=seeded(), plan=exact.plan, quality=quality)
    assert isinstance(made.images, torch.Tensor)
    return made.images


def test_every_tier_has_settings_and_exact_leaves_nothing_out() -> None:
    assert tuple(QUALITIES) == TIERS
    assert [name for name in TIERS if QUALITIES[name].exact] == ["exact"]
    assert Quality().trade(20) == "exact: nothing is left out"
    assert "12 of 20 steps" in QUALITIES["low"].trade(20)
    assert "guidance only" in QUALITIES["medium"].trade(20)
    assert find_quality("high") is QUALITIES["high"]
    assert DrawRequest(prompt="x").quality == "exact"


@pytest.mark.parametrize("unknown", ["best", "", "EXACT"])
def test_unknown_tiers_are_named(pipe: GlmImagePipeline, unknown: Any) -> None:
    for refused in (
        lambda: find_quality(unknown),
        lambda: DrawRequest(prompt="x", quality=unknown),
        lambda: pipe(**CALL, quality=unknown),
    ):
        with pytest.raises(RequestError, match="low, medium, high, exact"):
            refused()


@pytest.mark.parametrize("wrong", [{"step_share": 0.0}, {"full_share": 1.5}, {"guidance_interval": (0.5, 0.5)}])
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Quality(**wrong)


def test_fewer_steps_and_given_timesteps_exclude_each_other(pipe: GlmImagePipeline) -> None:
    with pytest.raises(RequestError, match="fewer of them"):
        pipe(**CALL, timesteps=[900, 500], quality="low")


def test_the_exact_tier_is_the_default_bit_by_bit(pipe: GlmImagePipeline, exact: Any) -> None:
    assert torch.equal(redraw(pipe, exact, "exact"), exact.images)


def test_a_share_of_the_steps_is_a_drawing_with_so_many_steps(pipe: GlmImagePipeline, exact: Any) -> None:
    half = redraw(pipe, exact, Quality(name="half", step_share=0.5))
    assert torch.equal(half, redraw(pipe, exact, "exact", steps=4))


def test_a_cache_that_never_skips_is_exact(pipe: GlmImagePipeline, exact: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The naive twin: the same run through the cache with every step full."""
    monkeypatch.setattr("inkwash.engine.denoise.full_steps", lambda conditions, _: (True,) * conditions.steps)
    assert torch.equal(redraw(pipe, exact, Quality(full_share=0.5)), exact.images)


def test_guidance_is_computed_inside_the_interval_only(
    pipe: GlmImagePipeline, exact: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    step = pipe.parts.decoder.step
    monkeypatch.setattr(pipe.parts.decoder, "step", lambda x, c, *more: rows.append(len(c.prior)) or step(x, c, *more))
    redraw(pipe, exact, Quality(guidance_interval=(0.5, 1.0)))
    assert sorted(set(rows)) == [1, 2] and rows == sorted(rows, reverse=True)
    unguided = pipe(**CALL, num_inference_steps=8, generator=seeded(), plan=exact.plan, guidance_scale=1.0).images
    never = redraw(pipe, exact, Quality(guidance_interval=(0.0, 1e-9)))
    assert torch.allclose(never, unguided, atol=1e-5)


def test_the_cache_skips_blocks_and_stays_near(
    pipe: GlmImagePipeline, exact: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    last = pipe.parts.decoder.blocks[-1].attn1
    project = last.project_pair
    monkeypatch.setattr(last, "project_pair", lambda x: ran.append(1) or project(x))
    cached = redraw(pipe, exact, Quality(full_share=0.5))
    assert 2 <= len(ran) <= 4  # of 8 steps
    error = float((cached - exact.images).norm() / exact.images.norm())
    assert 0 < error < 0.5


def test_a_tier_draws_the_same_picture_alone_and_in_a_batch(pipe: GlmImagePipeline) -> None:
    call = {**CALL, "prompt": ['A "SIGN"', "nothing"], "num_inference_steps": 5, "quality": "low"}
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    both = pipe(**call, generator=generators)
    alone = pipe(**{**call, "prompt": "nothing"}, generator=torch.Generator().manual_seed(2))
    assert torch.equal(both.images[1:], alone.images)


def conditions(changes: list[float]) -> DecoderConditions:
    """Modulations whose mean is 1 and that move by the given amounts; nothing else is read."""
    level = torch.tensor([0.0, *changes]).cumsum(0)
    signs = torch.tensor([1.0, -1.0]).repeat(8)
    modulation = (1.0 + signs * level[:, None]).view(len(level), 1, 1, 16)
    made = object.__new__(DecoderConditions)
    object.__setattr__(made, "modulations", (modulation,))
    object.__setattr__(made, "final", modulation)
    return made


def test_full_steps_stand_where_the_embedding_moves() -> None:
    made = conditions([0.2, 0.2, 0.01, 0.01, 0.01, 0.01])
    assert modulation_changes(made.modulations[0]) == pytest.approx([0.2, 0.2, 0.01, 0.01, 0.01, 0.01], rel=1e-3)
    assert full_steps(made, 1.0) == (True,) * 7
    assert full_steps(made, 4 / 7) == (True, True, True, False, False, False, True)
    assert sum(full_steps(made, 0.01)) == 2  # the first and the last, always


def test_cached_rows_may_end() -> None:
    """Where guidance stops, the unconditional rows go; the others use what was added to them."""
    cache = StepCache([True, False, False])
    first = cache(0, torch.zeros(2, 3, 4), lambda x: x + torch.tensor([1.0, 2.0])[:, None, None])
    assert torch.equal(cache(1, torch.zeros(2, 3, 4), lambda x: x / 0), first)
    assert torch.equal(cache(2, torch.zeros(1, 3, 4), lambda x: x / 0), first[:1])
