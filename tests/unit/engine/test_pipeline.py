"""The pipeline's surface: the model card's samples, plans that are drawn again, saving, threads, refusals."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inkwash.core.errors import ConfigError, InkwashError, RequestError, WeightsError
from inkwash.engine.output import GlmImagePipelineOutput
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.request import DrawRequest, SamplingOverrides
from inkwash.engine.sampling import Sampling
from inkwash.models.glm_image.folder import DrawingDefaults
from tests.pictures import noise_picture

PICTURE = Image.linear_gradient("L").resize((128, 128)).convert("RGB")
# With a reference there is no preview to plan, which makes a picture of this size twenty times cheaper.
SMALL: dict[str, Any] = {"height": 64, "width": 96, "num_inference_steps": 3, "image": [PICTURE]}
TWO: dict[str, Any] = {**SMALL, "image": [[PICTURE], [PICTURE]]}


def seeded(seed: int = 42) -> torch.Generator:
    return torch.Generator(device="cpu").manual_seed(seed)


def same(a: GlmImagePipelineOutput, b: GlmImagePipelineOutput) -> bool:
    return all(np.array_equal(np.array(x), np.array(y)) for x, y in zip(a.images, b.images, strict=True))


def test_model_card_text_to_image(tiny_folder: Path) -> None:
    from inkwash import GlmImagePipeline  # the sample's import, changed

    pipe = GlmImagePipeline.from_pretrained(str(tiny_folder), torch_dtype=torch.bfloat16, device_map="cpu")
    prompt = 'A beautifully designed modern food magazine style dessert recipe illustration, titled "CAKE"'
    image = pipe(
        prompt=prompt,
        height=4 * 32,
        width=3 * 32,
        num_inference_steps=5,
        guidance_scale=1.5,
        generator=torch.Generator(device="cpu").manual_seed(42),
    ).images[0]
    assert image.size == (96, 128) and image.mode == "RGB"
    assert pipe.dtype == torch.bfloat16


def test_model_card_image_to_image(tiny_folder: Path, tmp_path: Path) -> None:
    from inkwash import GlmImagePipeline

    noise_picture((150, 100), 80).convert("L").save(tmp_path / "cond.jpg")
    pipe = GlmImagePipeline.from_pretrained(str(tiny_folder), torch_dtype=torch.bfloat16, device_map="cpu")
    image = Image.open(tmp_path / "cond.jpg").convert("RGB")
    prompt = "Replace the background of the snow forest with an underground station featuring an automatic escalator."
    image = pipe(
        prompt=prompt,
        image=[image],  # can input multiple images for multi-image-to-image generation such as [image, image1]
        height=3 * 32,
        width=4 * 32,
        num_inference_steps=5,
        guidance_scale=1.5,
        generator=torch.Generator(device="cpu").manual_seed(42),
    ).images[0]
    assert image.size == (128, 96)


def test_every_argument_of_the_reference_is_known() -> None:
    from diffusers import GlmImagePipeline as Reference

    for name in ("__call__", "generate_prior_tokens"):
        theirs = inspect.signature(inspect.unwrap(getattr(Reference, name))).parameters
        ours = inspect.signature(inspect.unwrap(getattr(GlmImagePipeline, name))).parameters
        assert list(theirs) == list(ours)[: len(theirs)]
        for key, parameter in theirs.items():
            default = tuple(parameter.default) if isinstance(parameter.default, list) else parameter.default
            assert ours[key].default == default, key


def test_outputs_and_tuples(pipe: GlmImagePipeline) -> None:
    output = pipe(prompt="x", **SMALL, generator=seeded())
    assert output[0] is output.images and output.seeds == [42]
    assert set(output.timings) == {"prepare", "prior", "denoise", "decode", "total"}
    parts = [seconds for stage, seconds in output.timings.items() if stage != "total"]
    assert min(parts) > 0 and output.timings["total"] == pytest.approx(sum(parts))
    (images,) = pipe(prompt="x", **SMALL, generator=seeded(), return_dict=False)
    assert np.array_equal(images[0], output.images[0])
    assert pipe(prompt="x", **SMALL, output_type="np").images.shape == (1, 64, 96, 3)
    assert pipe(prompt="x", **SMALL, output_type="pt").images.shape == (1, 3, 64, 96)
    assert pipe(prompt="x", **SMALL, output_type="latent").images.shape == (1, 16, 8, 12)


def test_seeds_repeat_pictures_drawn_without_a_generator(pipe: GlmImagePipeline) -> None:
    first = pipe(prompt=["x", "y"], **TWO)
    again = pipe(prompt=["x", "y"], **TWO, generator=[seeded(seed) for seed in first.seeds])
    assert same(first, again)
    assert not same(first, pipe(prompt=["x", "y"], **TWO))


def test_priors_asked_for_alone_are_those_of_the_whole_call(pipe: GlmImagePipeline) -> None:
    image = noise_picture((90, 140), 60)
    for images in (None, [image]):
        small = {**SMALL, "image": images}
        whole = pipe(prompt="x", **small, generator=seeded())
        generator = seeded()
        tokens, image_ids, grids = pipe.generate_prior_tokens("x", 64, 96, image=images, generator=generator)
        assert torch.equal(tokens, whole.plan.prior_token_ids)
        given = {"prior_token_ids": tokens, "prior_token_image_ids": image_ids, "source_image_grid_thw": grids}
        assert same(whole, pipe(prompt="x", **small, **given, generator=generator))
        assert same(whole, pipe(prompt="x", **small, prior_token_ids=tokens, generator=seeded()))


def test_a_plan_is_drawn_again_without_the_first_stage(pipe: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pipe(prompt='"A"', **SMALL, generator=seeded())
    monkeypatch.setattr("inkwash.engine.stages.fill_plans", None)
    assert same(first, pipe(prompt='"A"', **SMALL, plan=first.plan, generator=seeded()))
    other = pipe(prompt='"A"', **SMALL, plan=first.plan, generator=seeded(1))
    assert not same(first, other) and other.plan.prior_token_ids.equal(first.plan.prior_token_ids)


def test_prompt_embeds_stand_for_quoted_texts(pipe: GlmImagePipeline) -> None:
    first = pipe(prompt='Say "A"', **SMALL, generator=seeded())
    embeds = pipe.stages.glyphs('"A"')[None]
    tokens = first.plan.prior_token_ids
    assert same(first, pipe(prompt_embeds=embeds, prior_token_ids=tokens, **SMALL, generator=seeded()))


def test_a_checkpoint_may_have_all_quotes_written_as_it_has_learnt_them(pipe: GlmImagePipeline) -> None:
    own = GlmImagePipeline(replace(pipe.parts, drawing=DrawingDefaults(canonical_quotes=True)))
    straight = own(prompt='Say "A"', **SMALL, generator=seeded())
    assert same(straight, pipe(prompt='Say "A"', **SMALL, generator=seeded()))
    for prompt in ("Say «A»", "Say „A“", "Say 『A』", "Say 'A'"):
        assert same(straight, own(prompt=prompt, **SMALL, generator=seeded())), prompt
        assert not same(straight, pipe(prompt=prompt, **SMALL, generator=seeded())), prompt  # as released
    assert own.stages.glyphs("«A»").equal(pipe.stages.glyphs('"A"'))


def test_requests(pipe: GlmImagePipeline) -> None:
    images = (PICTURE,)
    request = DrawRequest(prompt="x", images=images, height=64, width=96, num_inference_steps=3, num_images=2, seed=8)
    output = pipe.draw(request)
    assert output.seeds == [8, 9]
    assert same(output, pipe(prompt="x", num_images_per_prompt=2, **SMALL, generator=seeded(8)))
    square = DrawRequest(prompt="x", images=images, height=64, num_inference_steps=1)
    assert pipe.draw(square).images[0].size == (64, 64)


def test_requests_that_are_drawn_together_have_seeds_of_their_own(pipe: GlmImagePipeline) -> None:
    size = {"height": 64, "width": 96, "num_inference_steps": 2}
    alone = [DrawRequest(prompt=word, **size, num_images=2, seed=seed) for word, seed in (('"A"', 8), ('"B"', 30))]
    together = pipe.draw(alone)
    assert together.seeds == [8, 9, 30, 31]
    for request, images in zip(alone, (together.images[:2], together.images[2:]), strict=True):
        expected = pipe.draw(request).images
        assert [image.tobytes() for image in images] == [image.tobytes() for image in expected]


@pytest.mark.parametrize(
    "change",
    [{"guidance_scale": 3.0}, {"num_inference_steps": 3}, {"width": 64}, {"num_images": 2}, {"quality": "low"}],
)
def test_requests_that_are_drawn_together_have_one_of_each_setting(
    pipe: GlmImagePipeline, change: dict[str, Any]
) -> None:
    one = DrawRequest(prompt='"A"', height=64, width=96, num_inference_steps=2)
    with pytest.raises(RequestError, match=f"have one {next(iter(change))}, not several"):
        pipe.draw([one, replace(one, prompt='"B"', **change)])
    assert len(pipe.draw([one, replace(one, prompt='"B"', negative_prompt='"C"', seed=3)]).images) == 2


def test_a_picture_of_what_was_prepared_is_the_picture_of_the_request(pipe: GlmImagePipeline) -> None:
    request = DrawRequest(prompt='"A"', height=64, width=96, num_inference_steps=2, num_images=3, seed=8)
    whole, prepared = pipe.draw(request), pipe.prepare(request)
    assert prepared.tokens.text > 0 and prepared.tokens.image == 0 and prepared.tokens.drawn > 6
    for index in (2, 0, 2):  # in any order, and again
        one = pipe.draw(prepared.picture(index))
        assert one.seeds == [8 + index] and one.images[0].tobytes() == whole.images[index].tobytes()
        assert one.plan.prior_token_ids.equal(whole.plan.prior_token_ids[index : index + 1])


def test_size_without_a_wish(pipe: GlmImagePipeline) -> None:
    assert pipe(prompt="x", num_inference_steps=1).images[0].size == (128, 128)  # the VAE's sample size
    wide = Image.new("RGB", (320, 160), "red")
    assert pipe(prompt="x", image=wide, num_inference_steps=1).images[0].size == (320, 160)


def test_saved_and_loaded_again(pipe: GlmImagePipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "copy")
    again = GlmImagePipeline.from_pretrained(tmp_path / "copy", device_map="cpu")
    assert same(pipe(prompt="x", **SMALL, generator=seeded()), again(prompt="x", **SMALL, generator=seeded()))


def test_pictures_may_share_passes_for_speed(pipe: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    shared = GlmImagePipeline(pipe.parts, pictures_per_pass=2)
    forward = pipe.parts.decoder.proj_out.forward
    monkeypatch.setattr(pipe.parts.decoder.proj_out, "forward", lambda x: rows.append(len(x)) or forward(x))
    generators = [[seeded(1), seeded(2)] for _ in range(2)]
    apart = pipe(prompt=["x", "a longer one"], **TWO, generator=generators[0], output_type="latent")
    together = shared(prompt=["x", "a longer one"], **TWO, generator=generators[1], output_type="latent")
    assert rows == [2] * 6 + [4] * 3
    assert torch.equal(apart.plan.prior_token_ids, together.plan.prior_token_ids)
    assert torch.allclose(apart.images, together.images, atol=1e-4)
    with pytest.raises(RequestError):
        GlmImagePipeline(pipe.parts, pictures_per_pass=0)


def test_to_moves_every_network(tiny_folder: Path) -> None:
    pipe = GlmImagePipeline.from_pretrained(tiny_folder, device_map=torch.device("cpu")).to("cpu", torch.bfloat16)
    parts = pipe.parts
    for network in (parts.ar, parts.decoder, parts.vae, parts.glyph):
        assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16}
    assert pipe(prompt="x", **SMALL).images[0].size == (96, 64)


def test_threads_share_a_pipeline(pipe: GlmImagePipeline) -> None:
    alone = [pipe(prompt=f"p{n}", **SMALL, generator=seeded(n)) for n in range(3)]
    together: dict[int, Any] = {}

    def work(number: int) -> None:
        together[number] = pipe(prompt=f"p{number}", **SMALL, generator=seeded(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(alone[number], together[number]) for number in range(3))


def test_generation_settings_come_from_the_checkpoint(pipe: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def sampled(temperature: float | None = None, top_p: float | None = None) -> Sampling:
        return Sampling.of(pipe.parts.defaults, SamplingOverrides(temperature=temperature, top_p=top_p))

    monkeypatch.setattr(pipe.parts, "generation", {"temperature": 0.5, "top_p": 0.3, "top_k": 7})
    sampling = sampled()
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 0.3, 7)
    sampling = sampled(0.0, 1.0)
    assert (sampling.temperature, sampling.top_p) == (0.0, 1.0)
    monkeypatch.setattr(pipe.parts, "generation", {"temperature": 1.0, "top_p": 1.0, "min_p": 0.1})
    kept = [
        Sampling.of(pipe.parts.defaults, SamplingOverrides(temperature=temperature, top_p=top_p)).min_p
        for temperature, top_p in ((None, None), (0.5, None), (None, 1.0))
    ]
    assert kept == [0.1] * 3 and sampled(0.9, 0.75).min_p == 0.0  # a nucleus takes its place
    monkeypatch.setattr(pipe.parts, "generation", {})
    sampling = sampled()
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.9, 0.75, None)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"prompt": ""}, "empty"),
        ({"prompt": None}, "neither"),
        ({"height": 65}, "multiple of 32"),
        ({"num_inference_steps": 0}, "steps"),
        ({"timesteps": []}, "steps"),
        ({"guidance_scale": float("nan")}, "guidance"),
        ({"num_images_per_prompt": 0}, "n is 0"),
        ({"output_type": "gif"}, "output type"),
        ({"layout": "old"}, "layout"),
        ({"temperature": -1.0}, "temperature"),
        ({"generator": [torch.Generator()] * 2}, "2 generators"),
        ({"latents": torch.zeros(1, 16, 8, 8)}, r"\(1, 16, 8, 12\)"),
        ({"prior_token_ids": torch.zeros(1, 5, dtype=torch.long)}, r"\(any, 24\)"),
        ({"prior_token_ids": torch.full((1, 24), 96)}, r"0\.\.95"),
        ({"prior_token_ids": torch.zeros(3, 24, dtype=torch.long)}, "3 rows"),
        ({"prompt_embeds": torch.zeros(1, 2, 48)}, "both"),
        ({"negative_prompt_embeds": torch.zeros(1, 2, 47)}, r"\(1, any, 48\)"),
        ({"attention_kwargs": {"scale": 1}}, "attention_kwargs"),
        ({"callback_on_step_end_tensor_inputs": ["noise"]}, "noise"),
        ({"negative_prompt": ["a", "b"]}, "2 texts"),
        ({"image": [[Image.new("RGB", (8, 8))]] * 2}, "list of 1 lists"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(pipe: GlmImagePipeline, wrong: dict[str, Any], word: str) -> None:
    with pytest.raises(InkwashError, match=word) as caught:
        pipe(**{"prompt": "x", **SMALL, **wrong})
    assert "\n" not in str(caught.value)


def test_grids_of_other_pictures_are_refused(pipe: GlmImagePipeline) -> None:
    image, other = Image.new("RGB", (128, 128)), Image.new("RGB", (256, 128))
    tokens, ids, grids = pipe.generate_prior_tokens("x", 64, 96, image=image)
    given = {"prior_token_ids": tokens, "prior_token_image_ids": ids, "source_image_grid_thw": grids}
    with pytest.raises(RequestError, match="the pictures that the prior tokens were made with"):
        pipe(prompt="x", **{**SMALL, "image": other}, **given)


def test_loading_what_is_not_there() -> None:
    with pytest.raises(WeightsError):
        GlmImagePipeline.from_pretrained("./no/such/folder")
    with pytest.raises(ConfigError, match="one device"):
        GlmImagePipeline.from_pretrained("nano", device_map={"transformer": 0})  # type: ignore[arg-type]


@pytest.mark.slow
def test_drawing_does_not_import_the_compiler(tiny_folder: Path) -> None:
    """It takes a second of every start, and a single random value on the meta device is enough to bring it in."""
    code = (
        "import sys; from inkwash import GlmImagePipeline\n"
        f"pipe = GlmImagePipeline.from_pretrained({str(tiny_folder)!r}, device_map='cpu')\n"
        "pipe(prompt='x', height=64, width=64, num_inference_steps=1)\n"
        "assert 'torch._dynamo' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
