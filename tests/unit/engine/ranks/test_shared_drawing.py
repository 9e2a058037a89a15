"""A model that draws over two, three and four ranks draws what one process draws; the ranks are threads here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from inkwash.core.errors import ConfigError
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.prepared import Overrides
from inkwash.engine.ranks.denoise import shares
from inkwash.engine.request import DrawRequest
from inkwash.models.glm_image.decoder import Decoder
from tests.pictures import noise_picture
from tests.unit.engine.ranks.threads import ThreadRanks

pytestmark = pytest.mark.slow  # every layer of every rank waits for the others, in one process

REQUEST = DrawRequest(
    prompt='A poster that says "HELLO"', width=96, height=64, num_inference_steps=2, guidance_scale=1.5, seed=3
)
PICTURE = noise_picture((64, 96), 60.0)
CASES = {
    "guided": REQUEST,
    "unguided": replace(REQUEST, guidance_scale=1.0),
    "edit": replace(REQUEST, images=(PICTURE,)),
    "edit, unguided": replace(REQUEST, images=(PICTURE,), guidance_scale=1.0),
    "steps left out": replace(REQUEST, quality="low", num_inference_steps=6),
    "two pictures": replace(REQUEST, num_images=2),
}


@pytest.fixture(scope="module", autouse=True)
def quick_turns() -> Iterator[None]:
    """Threads that wait for each other at every layer must not wait for Python's five milliseconds as well."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(scope="module")
def expected(alone: GlmImagePipeline) -> dict[str, tuple[Tensor, Tensor]]:
    """What one process draws in each case."""
    return {name: latents(alone, request) for name, request in CASES.items()}


@pytest.fixture(scope="module")
def alone() -> GlmImagePipeline:
    return GlmImagePipeline.from_pretrained("nano", device_map="cpu")


@pytest.fixture(scope="module", params=[2, 4])
def shared(request: pytest.FixtureRequest) -> Iterator[GlmImagePipeline]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inkwash.engine.ranks.drawing.RankGroup", ThreadRanks)
        pipe = GlmImagePipeline.from_pretrained("nano", device_map="cpu", tensor_parallel_size=request.param)
    yield pipe
    pipe.close()


def latents(pipe: GlmImagePipeline, request: DrawRequest, **more: object) -> tuple[Tensor, Tensor]:
    made = pipe.draw(pipe.prepare(request, Overrides(output_type="latent")), **more)  # type: ignore[arg-type]
    return made.images, made.plan.prior_token_ids


@pytest.mark.parametrize("case", CASES)
def test_plans_are_equal_and_latents_within_1e5(
    expected: dict[str, tuple[Tensor, Tensor]], shared: GlmImagePipeline, case: str
) -> None:
    one, plan = expected[case]
    ThreadRanks.last.steps.clear()
    other, shared_plan = latents(shared, CASES[case])
    assert torch.equal(plan, shared_plan)
    torch.testing.assert_close(other, one, atol=1e-5, rtol=0)
    asked = set(ThreadRanks.last.steps)
    assert {"make", "prefill", "copy", "rows", "prepare", "velocity"} <= asked


def test_pictures_that_share_a_pass(alone: GlmImagePipeline, shared: GlmImagePipeline) -> None:
    request = replace(REQUEST, num_images=2, prompt='Two signs: "A" and "LONGER WORDS"', negative_prompt='"no"')
    one, plan = latents(alone, request)
    stages = shared.stages
    try:
        shared.stages = replace(stages, pictures_per_pass=2)
        other, shared_plan = latents(shared, request)
    finally:
        shared.stages = stages
    assert torch.equal(plan, shared_plan)
    torch.testing.assert_close(other, one, atol=1e-5, rtol=0)


def test_each_rank_has_its_share(
    alone: GlmImagePipeline, shared: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the ranks compute the conditional rows, each of them an equal part of the tokens."""
    world, sizes = ThreadRanks.last.world, []
    plain = Decoder.pass_blocks

    def spied(self: Decoder, x: Tensor, *rest: object, **named: object) -> Tensor:
        sizes.append(tuple(x.shape[:2]))
        return plain(self, x, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Decoder, "pass_blocks", spied)
    request = replace(REQUEST, num_inference_steps=1, prompt="a red circle")
    plan = alone.draw(request).plan
    whole = sizes[-1]  # (conditional and unconditional, glyphs and image)
    sizes.clear()
    shared.draw(request, plan=plan)
    assert len(sizes) == world and all(rows == 1 for rows, _ in sizes)
    assert sum(tokens for _, tokens in sizes) <= 2 * whole[1] and max(tokens for _, tokens in sizes) <= (
        whole[1] // (world // 2) + 2
    )
    layers = [
        sum(each.numel() for each in pipe.parts.ar.model.language_model.layers.parameters()) for pipe in (alone, shared)
    ]
    assert layers[1] < (1 / world + 0.07) * layers[0]  # key heads that are too few are there twice


def test_the_rest_goes_to_the_first_ones() -> None:
    assert shares(7, 3) == [slice(0, 3), slice(3, 5), slice(5, 7)]
    assert shares(1, 2) == [slice(0, 1), slice(1, 1)]


def test_what_cannot_be_shared_is_refused_before_anything_starts(tmp_path: Path, alone: GlmImagePipeline) -> None:
    for wrong, more in (
        ("3 processes do not divide num_attention_heads=4", {"tensor_parallel_size": 3}),
        ("leave quantize", {"tensor_parallel_size": 2, "quantize": "decoder=int8"}),
        ("leave quantize", {"tensor_parallel_size": 2, "offload": "stage"}),
    ):
        with pytest.raises(ConfigError, match=wrong):
            GlmImagePipeline.from_pretrained("nano", device_map="cpu", **more)
