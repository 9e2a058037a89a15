"""The denoising loop on its own: passes, guidance, callbacks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import Tensor

from inkwash.core.device import side_by_side
from inkwash.engine.denoise import DenoiseInput, Denoiser, Inpaint, StepState, pad_glyphs
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.request import Quality, Watch
from inkwash.engine.stages import make_plan
from inkwash.models.glm_image.schedule import schedule

SIZE = (64, 96)
LATENT = (8, 12)


def pictures_of(pipe: GlmImagePipeline) -> list[DenoiseInput]:
    texts = ['"A"', "nothing", '"SEVERAL" and "WORDS"']
    generator = torch.Generator().manual_seed(0)
    return [
        DenoiseInput(
            prior_ids=torch.randint(0, 96, (24,), generator=generator),
            glyphs=pipe.stages.glyphs(text),
            no_glyphs=pipe.stages.glyphs(""),
        )
        for text in texts
    ]


def denoiser_of(pipe: GlmImagePipeline, guidance: float = 2.0, per_pass: int | None = None) -> Denoiser:
    return Denoiser(
        decoder=pipe.parts.decoder,
        schedule=schedule(pipe.parts.scheduler, 24, 4),
        guidance_scale=guidance,
        size=SIZE,
        pictures_per_pass=per_pass,
    )


def noise() -> Tensor:
    return torch.randn(3, 16, *LATENT, generator=torch.Generator().manual_seed(1))


def run(denoiser: Denoiser, pictures: list[DenoiseInput], latents: Tensor) -> Tensor:
    denoiser.prepare(pictures, LATENT)
    return denoiser.run(latents, Watch())


def test_one_pass_and_passes_of_one_agree(pipe: GlmImagePipeline) -> None:
    pictures = pictures_of(pipe)
    apart = run(denoiser_of(pipe), pictures, noise())
    for per_pass in (2, 3):
        together = run(denoiser_of(pipe, per_pass=per_pass), pictures, noise())
        assert (together - apart).abs().max() < 1e-5 * apart.abs().max()


def test_shared_references_are_those_of_each_row(pipe: GlmImagePipeline) -> None:
    prompt = pipe.parts.processor.prepare("x", *SIZE, [Image.linear_gradient("L").resize((128, 160)).convert("RGB")])
    plan = make_plan(torch.empty(0), [prompt], pipe.stages.semantic_ids([prompt]))
    assert plan.prior_token_image_ids is not None and plan.source_image_grid_thw is not None
    keys = pipe.stages.reference_keys(prompt, plan.prior_token_image_ids[0], plan.source_image_grid_thw[0])
    plain = pictures_of(pipe)
    shared = [replace(picture, references=keys) for picture in plain]
    assert shared[0].references is shared[1].references
    got = run(denoiser_of(pipe, per_pass=3), shared, noise())
    mixed = run(denoiser_of(pipe, per_pass=3), [*shared[:2], plain[2]], noise())
    assert torch.allclose(got[:2], mixed[:2], atol=1e-4)
    without = run(denoiser_of(pipe, per_pass=3), plain, noise())
    assert torch.allclose(without[2], mixed[2], atol=1e-4)
    assert (without[:2] - mixed[:2]).abs().max() > 1e-2


@pytest.mark.parametrize("tokens_apart", [1, 1000])
def test_guidance_is_the_naive_formula(
    pipe: GlmImagePipeline, tokens_apart: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two plain forward passes for each step, without anything prepared."""
    monkeypatch.setattr("inkwash.engine.denoise.TOKENS_APART", tokens_apart)
    picture, denoiser, latents = pictures_of(pipe)[2], denoiser_of(pipe, 2.5), noise()[2:]
    got = run(denoiser, [picture], latents)
    assert (denoiser.passes[0].rows is None) == (tokens_apart == 1)
    plan, decoder = denoiser.schedule, pipe.parts.decoder
    size, corner = torch.tensor([SIZE]), torch.zeros(1, 2)
    for index in range(plan.steps):
        time = plan.model_timesteps[index : index + 1]
        halves = [
            decoder(latents, glyphs[None], picture.prior_ids[None], time, size, corner, prior_drop=torch.tensor([drop]))
            for glyphs, drop in [(picture.glyphs, False), (picture.no_glyphs, True)]
        ]
        velocity = halves[1] + 2.5 * (halves[0] - halves[1])
        latents = latents + (plan.sigmas[index + 1] - plan.sigmas[index]) * velocity
    assert torch.allclose(got, latents, atol=1e-5)


def test_x0_is_where_the_last_step_ends(pipe: GlmImagePipeline) -> None:
    seen: list[StepState] = []
    denoiser = denoiser_of(pipe)
    denoiser.prepare(pictures_of(pipe), LATENT)
    final = denoiser.run(noise(), Watch(), on_step=seen.append)
    assert [state.index for state in seen] == [0, 1, 2, 3]
    assert torch.allclose(seen[-1].x0, final, atol=1e-5)
    assert (seen[0].x0 - final).abs().max() > 1e-3


def test_what_is_kept_ends_as_it_was(pipe: GlmImagePipeline) -> None:
    keep = torch.zeros(1, 1, *LATENT, dtype=torch.bool)
    keep[..., :6] = True
    clean = torch.full((1, 16, *LATENT), 0.25)
    denoiser = denoiser_of(pipe)
    denoiser.prepare(pictures_of(pipe)[:1], LATENT)
    final = denoiser.run(noise()[:1], Watch(), inpaint=Inpaint(clean=clean, noise=noise()[:1], keep=keep))
    assert torch.equal(final[..., :6], clean[..., :6])
    assert not torch.isclose(final[..., 6:], clean[..., 6:]).any(dim=1).all()


def test_padding_of_glyphs() -> None:
    glyphs, mask = pad_glyphs([torch.ones(2, 3), torch.ones(4, 3)])
    assert glyphs.shape == (2, 4, 3) and mask is not None
    assert mask.tolist() == [[True, True, False, False], [True] * 4]
    assert pad_glyphs([torch.ones(2, 3), torch.ones(2, 3)])[1] is None


@pytest.mark.parametrize("guidance", [0.0, 1.0])
def test_without_guidance_there_is_no_unconditional_half(
    pipe: GlmImagePipeline, guidance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    forward = pipe.parts.decoder.proj_out.forward
    monkeypatch.setattr(pipe.parts.decoder.proj_out, "forward", lambda x: rows.append(len(x)) or forward(x))
    run(denoiser_of(pipe, guidance, per_pass=3), pictures_of(pipe), noise())
    assert rows == [3] * 4


def test_halves_have_the_same_bits_on_any_number_of_threads(
    pipe: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inkwash.engine.denoise.TOKENS_APART", 1)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(run(denoiser_of(pipe), pictures_of(pipe)[2:], noise()[2:]))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_halves_see_their_own_references(pipe: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = pipe.parts.processor.prepare("x", *SIZE, [Image.linear_gradient("L").resize((128, 160)).convert("RGB")])
    plan = make_plan(torch.empty(0), [prompt], pipe.stages.semantic_ids([prompt]))
    assert plan.prior_token_image_ids is not None and plan.source_image_grid_thw is not None
    keys = pipe.stages.reference_keys(prompt, plan.prior_token_image_ids[0], plan.source_image_grid_thw[0])
    seen = [replace(pictures_of(pipe)[2], references=keys)]
    joint = run(denoiser_of(pipe), seen, noise()[2:])
    monkeypatch.setattr("inkwash.engine.denoise.TOKENS_APART", 1)
    torch.testing.assert_close(run(denoiser_of(pipe), seen, noise()[2:]), joint, rtol=1e-4, atol=1e-5)


def test_halves_with_what_a_tier_leaves_out(pipe: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step caches of both halves skip what one cache for all rows skips."""
    quality = Quality(full_share=0.5, guidance_interval=(0.3, 1.0))
    slow = replace(denoiser_of(pipe), schedule=schedule(pipe.parts.scheduler, 24, 8), quality=quality, passes=[])
    joint = run(slow, pictures_of(pipe)[2:], noise()[2:])
    monkeypatch.setattr("inkwash.engine.denoise.TOKENS_APART", 1)
    apart = run(replace(slow, passes=[]), pictures_of(pipe)[2:], noise()[2:])
    torch.testing.assert_close(apart, joint, rtol=1e-4, atol=1e-5)


def test_side_by_side() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        raise ValueError("no")

    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            own, other = side_by_side(torch.get_num_threads, torch.get_num_threads)
            assert (own, other) == ((1, 1) if threads == 1 else (threads - threads // 2, threads // 2))
            for work in ((fail, int), (int, fail)):
                with pytest.raises(ValueError, match="no"):
                    side_by_side(*work)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
