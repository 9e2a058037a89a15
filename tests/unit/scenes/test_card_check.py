"""The checker of cards: rendered truth passes, and each kind of mistake fails the part that it concerns."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from inkwash.scenes.card import Card, CardText, CardThing
from inkwash.scenes.card_check import check_card
from inkwash.scenes.card_layout import lay_out
from inkwash.scenes.card_sample import sample_card_scene
from inkwash.scenes.render import render
from inkwash.scenes.scene import Scene


def party(**changes: object) -> Scene:
    card = Card(
        genre="party",
        background="navy",
        structure="paper",
        panel="cream",
        texts=(CardText(text="Party time", role="title", color="red", face="poster", size="large"),),
        things=(CardThing(thing="balloon", count=3), CardThing(thing="star", color="blue", place="below")),
    )
    scene = lay_out(replace(card, **changes), 384, 384)  # type: ignore[arg-type]
    assert scene is not None
    return scene


def noisy(image: Image.Image, sigma: float = 8.0) -> Image.Image:
    noise = np.random.default_rng(0).normal(size=(image.height, image.width, 3)) * sigma
    return Image.fromarray(np.clip(np.asarray(image, dtype=float) + noise, 0, 255).astype(np.uint8))


def test_rendered_truth_passes_also_with_noise_and_after_resizing() -> None:
    scene, image = party(), render(party())
    assert check_card(image, scene).ok
    assert check_card(noisy(image), scene).ok
    assert check_card(image.resize((320, 320)).resize((384, 384)), scene).ok


@pytest.mark.slow
def test_rendered_cards_pass() -> None:
    rng = random.Random(3)
    scenes = [sample_card_scene(rng, width=384, height=384, language="zh" if i % 5 == 0 else "en") for i in range(24)]
    results = [check_card(render(scene), scene) for scene in scenes]
    assert sum(result.background_ok for result in results) == len(results)
    assert sum(result.structure_ok for result in results) == len(results)
    assert sum(result.style_ok for result in results) == len(results)
    things = [one for result in results for one in result.things]
    assert sum(one.there and one.count_ok and one.place_ok for one in things) >= 0.97 * len(things)
    colors = [right for result in results for right in result.text_colors]
    assert sum(colors) >= 0.97 * len(colors)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"background": "teal"}, "background_ok"),
        ({"style": "striped"}, "style_ok"),
        ({"structure": "plain", "panel": ""}, "structure_ok"),
    ],
)
def test_another_ground_fails_its_part(changes: dict[str, object], wrong: str) -> None:
    result = check_card(render(party(**changes)), party())
    assert not getattr(result, wrong)
    assert not result.ok


def test_other_things_counts_and_places_fail_their_part() -> None:
    scene = party()
    star = scene.card.things[1]  # type: ignore[union-attr]
    fewer = check_card(render(party(things=(CardThing(thing="balloon", count=2), star))), scene)
    assert fewer.things[0].there and not fewer.things[0].count_ok and fewer.things[1].there
    other = check_card(render(party(things=(CardThing(thing="gift", count=3), star))), scene)
    assert not other.things[0].there
    color = check_card(render(party(things=(scene.card.things[0], replace(star, color="green")))), scene)  # type: ignore[union-attr]
    assert color.things[0].there and not color.things[1].there
    moved = check_card(render(party(things=(replace(scene.card.things[0], place="below"), star))), scene)  # type: ignore[union-attr]
    assert moved.things[0].there and not moved.things[0].place_ok


def test_letters_of_another_color_fail() -> None:
    scene = party()
    text = scene.card.texts[0]  # type: ignore[union-attr]
    result = check_card(render(party(texts=(replace(text, color="black"),))), scene)
    assert result.text_colors == (False,) and result.background_ok


def test_only_what_was_named_is_asked_for() -> None:
    scene = party()
    other = render(party(background="teal", things=(CardThing(thing="balloon", count=3, place="below"),)))
    assert check_card(other, scene, named=("thing0", "text0.color")).background_ok
    assert check_card(other, scene, named=("thing0",)).things[0].place_ok
    assert not check_card(other, scene, named=("thing0.place",)).things[0].place_ok
