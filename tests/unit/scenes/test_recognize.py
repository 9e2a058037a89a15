"""Things are recognised on every background and size, found where they stand, and nothing else is taken for one."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image

from inkwash.engine.output import decode_latents, encode_picture
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.scenes.recognize import THING_SIZES, Box, find_things, recognize
from inkwash.scenes.render import letter_mask, shape_mask
from inkwash.scenes.things import FOLDER, THING_NAMES, thing_image
from inkwash.scenes.words import LETTERS
from inkwash.scenes.world import CELL, COLORS, SHAPES, shape_colors, text_colors

FACES = ("wide", "serif", "slab", "round", "hand", "poster")


def _on(name: str, size: int, background: str) -> Image.Image:
    image = Image.new("RGB", (size, size), COLORS[background])
    image.paste(thing_image(name, size), mask=thing_image(name, size))
    return image


def _card(rng: random.Random, background: str) -> tuple[Image.Image, list[tuple[str, Box]]]:
    """A 512 px card: three things of different sizes, text in the rows between and right beside them."""
    image = Image.new("RGB", (512, 512), COLORS[background])
    placed: list[tuple[str, Box]] = []
    for size, left, top in ((160, 32, 32), (96, 32 * rng.randint(8, 12), 96), (64, 32 * rng.randint(1, 6), 352)):
        name = rng.choice(THING_NAMES)
        image.paste(thing_image(name, size), (left, top), thing_image(name, size))
        placed.append((name, (left, top, left + size, top + size)))
    ink = COLORS[rng.choice(text_colors(background))]
    for left, top, count, cap in ((192, 32, 9, 24), (32, 192, 7, 48), (32, 256, 14, 24), (256, 352, 7, 24)):
        step = CELL * cap // 24
        for i in range(count):
            mask = letter_mask(rng.choice(FACES), rng.choice(LETTERS + LETTERS.lower()), cap)
            image.paste(ink, (left + i * step, top), mask)
    return image, placed


def _through(vae: AutoencoderKL, image: Image.Image) -> Image.Image:
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1
    decoded = decode_latents(vae, encode_picture(vae, pixels))[0].permute(1, 2, 0).numpy()
    return Image.fromarray((decoded * 255).round().astype(np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("background", COLORS)
@pytest.mark.parametrize("size", THING_SIZES)
def test_rendered_things_are_recognised(size: int, background: str) -> None:
    found = [recognize(_on(name, size, background), COLORS[background]) for name in THING_NAMES]
    right = [name == wanted for (name, _), wanted in zip(found, THING_NAMES, strict=True)]
    assert np.mean(right) >= 0.98
    assert max(distance for _, distance in found) < 0.02


def test_the_ground_is_taken_from_the_border() -> None:
    right = [recognize(np.array(_on(name, 96, "pink")))[0] == name for name in THING_NAMES]
    assert np.mean(right) >= 0.98


@pytest.mark.parametrize("background", COLORS)
def test_letters_shapes_and_empty_cells_are_no_things(background: str) -> None:
    rng, ground = random.Random(background), COLORS[background]
    crops = [Image.new("RGB", (96, 96), ground)]
    for shape in SHAPES:
        for color in shape_colors(background):
            crops.append(Image.new("RGB", (96, 96), ground))
            crops[-1].paste(COLORS[color], mask=shape_mask(shape, 96))
    for _ in range(60):
        crops.append(Image.new("RGB", (96, 96), ground))
        lines = [COLORS[rng.choice(text_colors(background))] for _ in range(3)]
        for i in range(9):
            mask = letter_mask(rng.choice(FACES), rng.choice(LETTERS + LETTERS.lower()))
            crops[-1].paste(lines[i // 3], (i % 3 * CELL, i // 3 * CELL), mask)
    for letter in LETTERS:
        crops.append(Image.new("RGB", (64, 64), ground))
        crops[-1].paste(COLORS[rng.choice(text_colors(background))], mask=letter_mask(rng.choice(FACES), letter, 48))
    assert [name for crop in crops if (name := recognize(crop, ground)[0])] == []


@pytest.mark.slow
@pytest.mark.parametrize("background", COLORS)
@pytest.mark.parametrize("told", [True, False])
def test_things_are_found_among_text(background: str, told: bool) -> None:
    image, placed = _card(random.Random(background), background)
    found = find_things(image, COLORS[background] if told else None)
    assert sorted(found) == sorted(placed)
    assert [box[1] for _, box in found] == sorted(box[1] for _, box in found)


def test_rows_are_counted_and_panels_followed() -> None:
    """Three balloons side by side, half of the card in another colour."""
    image = Image.new("RGB", (384, 384), COLORS["white"])
    image.paste(COLORS["yellow"], (0, 192, 384, 384))
    for i in range(3):
        image.paste(thing_image("balloon", 96), (96 * i, 32), thing_image("balloon", 96))
        image.paste(thing_image("cat", 64), (64 * i, 256), thing_image("cat", 64))
    assert [name for name, _ in find_things(image)] == ["balloon"] * 3 + ["cat"] * 3
    assert find_things(Image.new("RGB", (40, 40))) == []


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 96])
def test_things_are_recognised_after_the_autoencoder(size: int) -> None:
    deferred = ("vision_language_encoder", "transformer", "text_encoder")
    vae = load_pipeline_parts(FOLDER.parent / "nano", deferred=deferred).vae.eval()
    side, right = 448 // size, []
    for background in ("white", "gray", "orange"):
        for start in range(0, len(THING_NAMES), side * side):
            names = THING_NAMES[start : start + side * side]
            sheet = Image.new("RGB", (side * size, side * size), COLORS[background])
            places = [(i % side * size, i // side * size) for i in range(len(names))]
            for name, place in zip(names, places, strict=True):
                sheet.paste(thing_image(name, size), place, thing_image(name, size))
            drawn = _through(vae, sheet)
            for name, (left, top) in zip(names, places, strict=True):
                crop = drawn.crop((left, top, left + size, top + size))
                right.append(recognize(crop, COLORS[background])[0] == name)
    assert np.mean(right) >= 0.95
