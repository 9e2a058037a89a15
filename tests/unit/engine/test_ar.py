"""The planning stage: batches of unlike rows, known lengths, control tokens, limits."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch import Tensor

from inkwash.core.errors import RequestError
from inkwash.engine.ar import Row, fill_placeholders, read_prompt, reference_semantic_ids, sample_plans
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.request import Watch
from inkwash.engine.sampling import Sampling
from inkwash.models.glm.decode import fuse_for_decode
from inkwash.models.glm_image.ar import decode_positions, prompt_positions
from inkwash.models.glm_image.processor import ImagePrompt


def gradient(size: tuple[int, int]) -> Image.Image:
    return Image.linear_gradient("L").resize(size).convert("RGB")


@pytest.fixture(scope="module")
def prompts(pipe: GlmImagePipeline) -> list[ImagePrompt]:
    """Different lengths, different references, and one without any."""
    prepare = pipe.parts.processor.prepare
    return [
        prepare("Short", 96, 64, [gradient((128, 128))]),
        prepare("A much longer prompt about many coloured things", 96, 64, [gradient((200, 90)), gradient((64, 64))]),
        prepare('No reference, but a preview: "HELLO"', 96, 64),
        prepare("Four", 64, 96, [gradient((140, 140))]),
    ]


def rows_of(pipe: GlmImagePipeline, prompts: list[ImagePrompt]) -> list[Row]:
    prefixes = [read_prompt(pipe.parts.ar, prompt, reference_semantic_ids(pipe.parts.ar, prompt)) for prompt in prompts]
    return [
        Row(prefix, torch.rand(prefix.tokens, generator=torch.Generator().manual_seed(number)))
        for number, prefix in enumerate(prefixes)
    ]


def draw(pipe: GlmImagePipeline, rows: list[Row], rows_per_pass: int | None) -> list[Tensor]:
    model = pipe.parts.ar
    return sample_plans(model, fuse_for_decode(model), rows, Sampling(), Watch(), rows_per_pass=rows_per_pass)


def naive_plan(pipe: GlmImagePipeline, prompt: ImagePrompt, uniforms: Tensor, limit: int = 40) -> list[int]:
    """Without cache, fused step or batch: the whole sequence again for every token, up to a limit."""
    model, config = pipe.parts.ar, pipe.parts.ar.config
    ids = fill_placeholders(prompt.ids, reference_semantic_ids(model, prompt), config.image_token_id)
    grids = [reference.grid for reference in prompt.references]
    marks = {"image_start": config.image_start_token_id, "image_end": config.image_end_token_id}
    positions, start = prompt_positions(ids.tolist(), grids, **marks)
    plan = decode_positions(start, [grid for grid in (prompt.preview, prompt.target) if grid])
    drawn: list[int] = []
    for index in range(min(prompt.drawn_tokens, limit)):
        sequence = torch.cat([ids, torch.tensor(drawn, dtype=torch.long)])
        places = torch.cat([positions, plan[:, :index]], dim=1)
        with torch.no_grad():
            logits = model.lm_head(model(sequence[None], places[:, None])[:, -1])
        drawn.append(inverse_cdf(logits[0, : config.vq_config.num_embeddings], float(uniforms[index])))
    return drawn


def inverse_cdf(logits: Tensor, number: float) -> int:
    """The sampling rule once more, in plain Python and fp64."""
    chances = sorted(((p, -i) for i, p in enumerate((logits.double() / 0.9).softmax(-1).tolist())), reverse=True)
    kept, mass = [], 0.0
    for chance, minus_id in chances:
        if mass >= 0.75:
            break
        kept.append((chance, -minus_id))
        mass += chance
    reach, walked = number * mass, 0.0
    for chance, token in kept:
        walked += chance
        if walked > reach:
            return token
    return kept[-1][1]


@pytest.mark.slow
def test_cached_plans_are_those_of_the_naive_loop(pipe: GlmImagePipeline, prompts: list[ImagePrompt]) -> None:
    rows = rows_of(pipe, prompts)
    plans = draw(pipe, rows, None)
    for plan, prompt, row in zip(plans, prompts, rows, strict=True):
        assert plan[:40].tolist() == naive_plan(pipe, prompt, row.uniforms)


@pytest.mark.parametrize("rows_per_pass", [2, 3, 4])
def test_one_pass_of_unlike_rows_draws_the_same_plans(
    pipe: GlmImagePipeline, prompts: list[ImagePrompt], rows_per_pass: int
) -> None:
    """Rows join, finish and leave at different steps, and each is drawn as if it were alone."""
    rows = rows_of(pipe, prompts)
    apart, together = draw(pipe, rows, 1), draw(pipe, rows, rows_per_pass)
    for one, other in zip(apart, together, strict=True):
        assert torch.equal(one, other)
    assert [len(plan) for plan in apart] == [6, 6, 19 * 13 + 6, 6]


def test_only_codes_are_drawn_and_no_plan_ends_early(pipe: GlmImagePipeline, prompts: list[ImagePrompt]) -> None:
    model = pipe.parts.ar
    end = model.config.image_end_token_id
    weight = model.lm_head.weight.clone()
    try:
        with torch.no_grad():
            model.lm_head.weight[end] = model.lm_head.weight[0] * 50  # an end token that every sampler would love
        rows = rows_of(pipe, prompts[2:3])
        free = sample_plans(
            model, fuse_for_decode(model), rows, Sampling(codes_only=False, temperature=5.0, top_p=1.0), Watch()
        )
        kept = sample_plans(model, fuse_for_decode(model), rows, Sampling(temperature=5.0, top_p=1.0), Watch())
    finally:
        with torch.no_grad():
            model.lm_head.weight.copy_(weight)
    assert end in free[0]
    assert int(kept[0].max()) < model.config.vq_config.num_embeddings
    assert len(kept[0]) == prompts[2].drawn_tokens


def test_control_tokens_in_the_prompt_are_refused(pipe: GlmImagePipeline) -> None:
    start = pipe.parts.processor.special["bos_token"]
    with pytest.raises(RequestError, match="control token"):
        pipe.generate_prior_tokens(f"sneaky {start}", 64, 64)


def test_prompt_beyond_the_context_is_refused(pipe: GlmImagePipeline) -> None:
    with pytest.raises(RequestError, match="more than the context of 4096: shorten") as caught:
        pipe.generate_prior_tokens("zqx " * 3000, 64, 64)
    assert caught.value.code == "prompt_too_long" and caught.value.param == "prompt"


def test_placeholders_are_filled_in_order() -> None:
    ids = torch.tensor([5, 9, 9, 6, 9, 7])
    filled = fill_placeholders(ids, [torch.tensor([1, 2]), torch.tensor([3])], 9)
    assert filled.tolist() == [5, 1, 2, 6, 3, 7]
    with pytest.raises(RequestError):
        fill_placeholders(ids, [torch.tensor([1, 2])], 9)
