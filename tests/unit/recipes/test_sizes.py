"""The sizes in the recipes are those of the checkpoint that ships."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from inkwash.engine.memory import Sizes
from inkwash.models.glm_v.folder import BUNDLED
from inkwash.models.registry import bundled_folder
from inkwash.recipes import nano, sizes
from inkwash.recipes.nano_v import FIRST as NANO_V
from inkwash.recipes.nano_v import PATCH, NanoVSizes


@pytest.fixture(scope="module")
def shipped() -> Sizes:
    return Sizes.of_folder(bundled_folder("nano"))


def test_the_generator_is_that_of_the_recipe(shipped: Sizes) -> None:
    config = shipped.ar
    ours = sizes.ar_config(
        config.text_config.vocab_size,
        pad_id=config.text_config.pad_token_id,
        image_id=config.image_token_id,
        codes=nano.THIRD.codes,
    )
    assert replace(ours, text_config=replace(ours.text_config, num_hidden_layers=nano.AR_LAYERS)) == config


def test_the_decoder_and_its_glyph_encoder_are_those_of_the_recipe(shipped: Sizes) -> None:
    ours = replace(sizes.DECODER, prior_vq_quantizer_codebook_size=nano.THIRD.codes, num_layers=nano.DECODER_LAYERS)
    assert ours == shipped.decoder
    assert shipped.glyph == sizes.GLYPH and shipped.scheduler == sizes.SCHEDULER


def test_the_autoencoder_is_that_of_the_recipe_with_its_statistics(shipped: Sizes) -> None:
    measured = {
        "sample_size": nano.THIRD.side,
        "latents_mean": shipped.vae.latents_mean,
        "latents_std": shipped.vae.latents_std,
    }
    assert replace(sizes.VAE, **measured) == shipped.vae  # type: ignore[arg-type]
    assert len(shipped.vae.latents_mean or ()) == sizes.LATENT_CHANNELS


def test_what_it_draws_with_is_what_the_recipe_says() -> None:
    folder = bundled_folder("nano")
    generation = json.loads((folder / "vision_language_encoder" / "generation_config.json").read_text())
    assert {name: generation[name] for name in nano.THIRD.sampling} == nano.THIRD.sampling
    drawing = json.loads((folder / "model_index.json").read_text())["_drawing"]
    assert drawing["guidance_scale"] == nano.THIRD.drawing.guidance_scale
    assert drawing["num_inference_steps"] == nano.THIRD.drawing.num_inference_steps


def test_nano_v_is_that_of_its_recipe() -> None:
    config = json.loads((BUNDLED / "config.json").read_text())
    text, vision = config["text_config"], config["vision_config"]
    assert (
        NanoVSizes(
            vision_depth=vision["depth"],
            vision_width=vision["hidden_size"],
            vision_heads=vision["num_heads"],
            merger=vision["intermediate_size"],
            width=text["hidden_size"],
            inner=text["intermediate_size"],
            layers=text["num_hidden_layers"],
            heads=text["num_attention_heads"],
            kv_heads=text["num_key_value_heads"],
            mrope_section=tuple(text["rope_parameters"]["mrope_section"]),
        )
        == NANO_V
    )
    assert vision["patch_size"] == PATCH
