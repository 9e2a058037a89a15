"""Where the reference falls short: that it does, and that ours is right there.

1 pictures change with their batch mates; 2 one global seed; 3 one plan for all pictures of a prompt; 4 widths that do
not fit; 5 two passes for guidance; 6 step-independent work in every step; 7 no progress or cancel while planning;
8 no negative prompt; 10 reference pictures of most sizes crash.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inkwash.core.errors import Cancelled, RequestError
from inkwash.engine.output import decode_latents, to_output
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.request import CancelToken, Progress
from inkwash.models.glm_image.weights import load_pipeline_parts
from tests.parity.pipeline_reference import reference_pipeline

PROMPTS = ['A poster that says "HELLO"', 'A long sign: "MANY MORE LETTERS HERE" and "BYE"', "No words at all"]
SMALL: dict[str, Any] = {"height": 64, "width": 96, "num_inference_steps": 3}


def seeded(seed: int = 42) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def ours(tiny_folder: Path) -> GlmImagePipeline:
    return GlmImagePipeline(load_pipeline_parts(tiny_folder))


@pytest.fixture(scope="module")
def theirs(tiny_folder: Path) -> Any:
    return reference_pipeline(tiny_folder)


class TestBatchMates:  # shortfall 1
    def test_reference_changes_a_picture_with_its_batch(self, ours: GlmImagePipeline, theirs: Any) -> None:
        priors = torch.cat([ours.generate_prior_tokens(prompt, 64, 96)[0] for prompt in PROMPTS])
        call = {**SMALL, "output_type": "latent"}
        alone = theirs(prompt=PROMPTS[2], prior_token_ids=priors[2:], generator=seeded(2), **call).images
        generators = [seeded(number) for number in range(3)]
        batch = theirs(prompt=PROMPTS, prior_token_ids=priors, generator=generators, **call).images
        assert (alone[0] - batch[2]).abs().max() > 1e-2

    @pytest.mark.parametrize("image", [None, [[], [(140, 160)], [(128, 128), (200, 90)]]])
    def test_ours_draws_the_same_picture_alone_and_in_any_batch(
        self, ours: GlmImagePipeline, image: list[list[tuple[int, int]]] | None
    ) -> None:
        images = None if image is None else [[picture(*size) for size in sizes] for sizes in image]
        tokens, latents, pixels = self.draw(ours, [0, 1, 2], images)
        for order in ([2, 0], [1], [1, 1, 2]) if images else ([2, 0],):
            got_tokens, got_latents, got_pixels = self.draw(ours, order, images)
            for place, number in enumerate(order):
                assert torch.equal(got_tokens[place], tokens[number])
                assert torch.equal(got_latents[place], latents[number])
                assert np.array_equal(got_pixels[place], pixels[number])

    def draw(self, pipe: GlmImagePipeline, numbers: list[int], images: Any) -> tuple[Any, Any, Any]:
        call = {
            **SMALL,
            "prompt": [PROMPTS[number] for number in numbers],
            "image": None if images is None else [images[number] for number in numbers],
        }
        generators = [seeded(number) for number in numbers]
        drawn = pipe(**call, generator=generators, output_type="latent")
        assert drawn.seeds == numbers
        pixels = to_output(decode_latents(pipe.parts.vae, drawn.images), "pil")
        return drawn.plan.prior_token_ids, drawn.images, [np.array(image) for image in pixels]


class TestGenerators:  # shortfall 2
    def test_reference_seeds_the_whole_process_and_the_batch_once(self, theirs: Any) -> None:
        torch.manual_seed(7)
        before = torch.get_rng_state()
        images = [[picture(128, 128)]] * 2
        tokens, _, _ = theirs.generate_prior_tokens([PROMPTS[0]] * 2, 96, 96, image=images, generator=seeded())
        assert not torch.equal(torch.get_rng_state(), before)
        alone, _, _ = theirs.generate_prior_tokens(PROMPTS[0], 96, 96, image=images[:1], generator=seeded())
        assert not torch.equal(tokens[1], alone[0])

    def test_ours_leaves_global_random_state_alone(self, ours: GlmImagePipeline) -> None:
        before = torch.get_rng_state()
        ours(prompt=PROMPTS[0], **SMALL, image=picture(128, 128), generator=seeded())
        ours(prompt=PROMPTS[0], **SMALL, image=picture(128, 128))
        assert torch.equal(torch.get_rng_state(), before)

    def test_global_seed_does_not_reach_ours(self, ours: GlmImagePipeline) -> None:
        made = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            call = {**SMALL, "image": picture(128, 128), "output_type": "latent"}
            made.append(ours(prompt=PROMPTS[0], **call, generator=seeded()).images)
        assert torch.equal(*made)


class TestLayouts:  # shortfall 3
    def test_reference_repeats_one_plan(self, theirs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[torch.Tensor] = []
        forward = theirs.transformer.forward
        monkeypatch.setattr(
            theirs.transformer, "forward", lambda **given: seen.append(given["prior_token_id"]) or forward(**given)
        )
        generators = [seeded(1), seeded(2)]
        theirs(prompt=PROMPTS[0], image=[picture(128, 128)], num_images_per_prompt=2, **SMALL, generator=generators)
        assert torch.equal(seen[-1][0], seen[-1][1])

    def test_new_layouts_are_those_of_each_seed(self, ours: GlmImagePipeline) -> None:
        image = picture(128, 128)
        generators = [seeded(number) for number in range(4)]
        call = {**SMALL, "image": [[image], [image]], "num_images_per_prompt": 2}
        drawn = ours(prompt=PROMPTS[:2], **call, generator=generators)
        assert not torch.equal(drawn.plan.prior_token_ids[0], drawn.plan.prior_token_ids[1])
        for number, prompt in enumerate([PROMPTS[0], PROMPTS[0], PROMPTS[1], PROMPTS[1]]):
            alone = ours(prompt=prompt, image=image, **SMALL, generator=seeded(number))
            assert np.array_equal(alone.images[0], drawn.images[number])

    def test_same_layout_keeps_the_plan_and_changes_the_noise(self, ours: GlmImagePipeline) -> None:
        call = {**SMALL, "prompt": PROMPTS[0], "image": picture(128, 128)}
        drawn = ours(**call, num_images_per_prompt=3, layout="same", generator=seeded(5))
        plan = drawn.plan.prior_token_ids
        assert drawn.seeds == [5, 6, 7]
        assert torch.equal(plan[0], plan[1]) and torch.equal(plan[0], plan[2])
        assert not np.array_equal(drawn.images[0], drawn.images[1])
        again = ours(**call, prior_token_ids=plan[:1], generator=seeded(6))
        assert np.array_equal(again.images[0], drawn.images[1])

    def test_one_prompt_is_read_once_for_all_its_pictures(
        self, ours: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reads = count_calls(monkeypatch, ours.parts.ar, "forward")
        ours(prompt=PROMPTS[0], image=picture(128, 128), num_images_per_prompt=3, **SMALL)
        assert reads == [1]


class TestSizes:  # shortfall 4
    def test_reference_takes_a_width_that_does_not_fit(self, theirs: Any) -> None:
        theirs.check_inputs("x", 64, 100, None)

    @pytest.mark.parametrize(("height", "width"), [(64, 100), (100, 64), (16, 64), (64, 4096), (64, 512)])
    def test_ours_says_what_fits(self, ours: GlmImagePipeline, height: int, width: int) -> None:
        with pytest.raises(RequestError, match="size"):
            ours(prompt="x", height=height, width=width)


class TestWork:  # shortfalls 5 and 6
    def test_one_pass_for_each_step_and_constant_work_once(
        self, ours: GlmImagePipeline, theirs: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prior, _, _ = ours.generate_prior_tokens(PROMPTS[0], 64, 96)
        counts = {}
        for name, pipe, decoder in [("theirs", theirs, theirs.transformer), ("ours", ours, ours.parts.decoder)]:
            blocks = count_calls(monkeypatch, decoder.proj_out, "forward")
            glyphs = count_calls(monkeypatch, decoder.glyph_projector, "forward")
            modulations = count_calls(monkeypatch, decoder.transformer_blocks[0].norm1.linear, "forward")
            pipe(prompt=PROMPTS[0], prior_token_ids=prior, **SMALL)
            counts[name] = (blocks[0], glyphs[0], modulations[0])
        assert counts == {"theirs": (6, 6, 6), "ours": (3, 1, 1)}


class TestWatching:  # shortfall 7
    def test_progress_is_exact_and_never_falls(self, ours: GlmImagePipeline) -> None:
        seen: list[Progress] = []
        images = [[], [picture(128, 128)]]
        ours(prompt=PROMPTS[:2], image=images, **SMALL, progress=seen.append)
        tokens = (13 * 19 + 2 * 3) + 2 * 3
        prior = [event for event in seen if event.stage == "prior"]
        denoise = [event for event in seen if event.stage == "denoise"]
        assert seen == prior + denoise
        done = [event.done for event in prior]  # both plans share steps, so two tokens may come at once
        assert done[0] == 0 and done[-1] == tokens and all(0 < b - a <= 2 for a, b in pairwise(done))
        assert [event.done for event in denoise] == [0, 1, 2, 3]
        assert {event.total for event in prior} == {tokens} and {event.total for event in denoise} == {3}

    @pytest.mark.parametrize(("stage", "at"), [("prior", 0), ("prior", 4), ("denoise", 0), ("denoise", 2)])
    def test_cancel_stops_at_once_and_the_pipeline_works_after(
        self, ours: GlmImagePipeline, stage: str, at: int
    ) -> None:
        token, seen = CancelToken(), []

        def progress(event: Progress) -> None:
            seen.append(event)
            if (event.stage, event.done) == (stage, at):
                token.cancel()

        call = {**SMALL, "prompt": PROMPTS[0], "image": [picture(128, 128)]}
        before = ours(**call, generator=seeded())
        with pytest.raises(Cancelled):
            ours(**call, generator=seeded(), progress=progress, cancel=token)
        assert seen[-1].stage == stage and seen[-1].done <= at + 1
        after = ours(**call, generator=seeded())
        assert np.array_equal(before.images[0], after.images[0])


class TestNegativePrompt:  # shortfall 8
    def test_its_quoted_texts_reach_the_unconditional_half(self, ours: GlmImagePipeline) -> None:
        call = {**SMALL, "prompt": PROMPTS[0], "output_type": "latent", "guidance_scale": 4.0}
        call["image"] = [picture(128, 128)]
        plain = ours(**call, generator=seeded()).images
        assert torch.equal(ours(**call, generator=seeded(), negative_prompt="ugly").images, plain)
        pushed = ours(**call, generator=seeded(), negative_prompt='no "HELLO"').images
        assert not torch.equal(pushed, plain)
        embeds = ours.stages.glyphs('"HELLO"')[None]
        assert torch.equal(ours(**call, generator=seeded(), negative_prompt_embeds=embeds).images, pushed)


class TestReferenceSizes:  # shortfall 10
    @pytest.mark.parametrize("size", [(145, 145), (75, 75), (250, 150)])
    def test_reference_crashes(self, theirs: Any, size: tuple[int, int]) -> None:
        with pytest.raises(RuntimeError):
            theirs(prompt="x", image=[picture(*size)], **SMALL, generator=seeded())

    @pytest.mark.parametrize("size", [(145, 145), (75, 75), (250, 150), (512, 128), (33, 131), (3, 5), (1200, 301)])
    def test_ours_takes_any(self, ours: GlmImagePipeline, size: tuple[int, int]) -> None:
        drawn = ours(prompt="x", image=[picture(*size)], **SMALL, generator=seeded())
        other = ours(prompt="x", image=[picture(*size, seed=1)], **SMALL, generator=seeded())
        assert drawn.images[0].size == (96, 64)
        assert not np.array_equal(drawn.images[0], other.images[0])

    def test_beyond_four_to_one_is_refused(self, ours: GlmImagePipeline) -> None:
        with pytest.raises(RequestError, match="4:1"):
            ours(prompt="x", image=[picture(513, 128)], **SMALL)


def count_calls(monkeypatch: pytest.MonkeyPatch, module: torch.nn.Module, name: str) -> list[int]:
    """Calls of a method of one module, counted in a list of one number."""
    counter, original = [0], getattr(module, name)

    def counted(*args: Any, **options: Any) -> Any:
        counter[0] += 1
        return original(*args, **options)

    monkeypatch.setattr(module, name, counted)
    return counter
