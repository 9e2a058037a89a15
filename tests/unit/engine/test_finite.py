"""NaN and infinity: one sentence that names the stage, no black picture, and the next request is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inkwash.core.errors import InkwashError, RequestError
from inkwash.engine.ar import DeviceSlots, PlanSequence, Prefix
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.request import DrawRequest
from inkwash.engine.sampling import Sampling, pick
from inkwash.engine.scheduler import Engine
from inkwash.models.glm.decode import forget_for_decode, fuse_for_decode
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.nn.finite import NotFiniteError, check_logits

PICTURE = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
SMALL: dict[str, Any] = {"height": 64, "width": 64, "num_inference_steps": 2, "image": [PICTURE]}
BROKEN = {
    "The vision encoder": ("ar", "model.visual.blocks.0.mlp.fc1.bias"),
    "The AR generator": ("ar", "lm_head.weight"),
    "The glyph encoder": ("glyph", "encoder.final_layer_norm.weight"),
    "The decoder": ("decoder", "proj_out.bias"),
    "The VAE": ("vae", "decoder.conv_out.bias"),
}


@pytest.fixture(scope="module")
def own(tiny_folder: Path) -> GlmImagePipeline:
    return GlmImagePipeline(load_pipeline_parts(tiny_folder))


@contextmanager
def broken(pipe: GlmImagePipeline, part: str, name: str, value: float) -> Iterator[None]:
    """One number of a network is not one; it is put back afterwards."""
    weight = getattr(pipe.parts, part).get_parameter(name).data.view(-1)
    before = float(weight[0])
    weight[0] = value
    forget_for_decode(pipe.parts.ar)
    try:
        yield
    finally:
        weight[0] = before
        forget_for_decode(pipe.parts.ar)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("stage", BROKEN)
def test_weights_that_are_no_numbers_end_the_call_and_name_the_stage(
    own: GlmImagePipeline, stage: str, value: float
) -> None:
    with broken(own, *BROKEN[stage], value), pytest.raises(NotFiniteError, match=f"^{stage} computed numbers") as found:
        own(prompt='"A"', **SMALL, generator=torch.Generator().manual_seed(1))
    assert found.value.exit_code == 1 and "\n" not in found.value.message
    image = own(prompt='"A"', **SMALL, generator=torch.Generator().manual_seed(1)).images[0]
    assert np.asarray(image).std() > 0


@pytest.mark.parametrize("name", ["latents", "prompt_embeds", "negative_prompt_embeds"])
def test_arguments_that_are_no_numbers_are_refused(own: GlmImagePipeline, name: str) -> None:
    width = own.parts.decoder.config.text_embed_dim
    shape = (1, 16, 8, 8) if name == "latents" else (1, 4, width)
    value = torch.full(shape, float("nan"))
    given: dict[str, Any] = {"prompt": "x"} if name != "prompt_embeds" else {"prior_token_ids": torch.ones(1, 16).int()}
    with pytest.raises(RequestError, match=f"{name} holds NaN or infinity") as found:
        own(**given, **{name: value}, **SMALL)
    assert found.value.param == name and found.value.status == 400


def test_latents_of_a_callback_are_checked(own: GlmImagePipeline) -> None:
    def spoil(pipe: Any, step: int, sigma: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return {"latents": tensors["latents"] * float("inf")}

    with pytest.raises(RequestError, match="latents holds NaN"):
        own(prompt="x", **SMALL, callback_on_step_end=spoil)


def test_a_request_fails_and_the_engine_draws_the_next(own: GlmImagePipeline) -> None:
    engine = Engine(GlmImagePipeline(own.parts), decode_workers=1)
    request = DrawRequest(
        prompt="x", images=(PICTURE,), height=64, width=64, num_inference_steps=2, guidance_scale=1.5, seed=1
    )
    try:
        for stage in ("The AR generator", "The decoder", "The VAE"):
            with broken(own, *BROKEN[stage], float("nan")), pytest.raises(InkwashError, match=stage):
                engine.submit(request).result(120)
        assert len(engine.submit(request).result(120).images) == 1
    finally:
        engine.close(drain=False)


@torch.no_grad()
def test_an_accelerators_slots_notice_in_the_middle_of_a_plan(own: GlmImagePipeline) -> None:
    """Nothing waits for the device, so the plan is refused when it is fetched; a slot's next guest is not to blame."""
    ar = own.parts.ar
    cache = ar.make_cache(1, 4)
    ids, positions = torch.zeros(1, 4, dtype=torch.long), torch.zeros(3, 1, 4, dtype=torch.long)
    hidden = ar(ids, positions, cache=cache)
    prefix = Prefix(cache, 4, ar.lm_head(hidden[:, -1]), torch.zeros(3, 4, dtype=torch.long), 3)

    def plan(spoilt: bool) -> torch.Tensor:
        sequence = PlanSequence(prefix, torch.full((3,), 0.5), Sampling())
        slots.join(sequence)
        for number in range(2):
            if spoilt and number == 1:
                slots._cache.v[:, sequence.slot] = float("nan")
            slots.advance([sequence])
        try:
            return slots.plan(sequence)
        finally:
            slots.leave(sequence)

    slots = DeviceSlots(ar, fuse_for_decode(ar), 1)
    with pytest.raises(NotFiniteError, match="The AR generator"):
        plan(spoilt=True)
    assert len(plan(spoilt=False)) == 3


def test_barred_codes_are_fine_and_rows_of_nan_are_not() -> None:
    logits = torch.tensor([[1.0, float("-inf"), 2.0]])
    assert check_logits("The model", logits) is logits
    for bad in (float("nan"), float("inf")):
        rows = torch.tensor([[1.0, bad, 0.0]])
        with pytest.raises(NotFiniteError):
            check_logits("The model", rows)
        for temperature in (0.0, 0.9):
            with pytest.raises(NotFiniteError):
                pick(rows, [0.5], [Sampling(temperature=temperature)])
