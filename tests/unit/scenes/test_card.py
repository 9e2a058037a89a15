"""Level `card`: wrapping, layout, structures, and what its cells mean."""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from inkwash.core.errors import ConfigError
from inkwash.scenes.card import Card, CardText, CardThing, readable_colors, visible_colors
from inkwash.scenes.card_layout import lay_out, wrap
from inkwash.scenes.card_meanings import card_labels, cell_card_meanings
from inkwash.scenes.card_sample import sample_card_scene
from inkwash.scenes.render import render
from inkwash.scenes.scene import Scene, intersect
from inkwash.scenes.world import CARD_COLORS, CELL, STRUCTURES, contrast

CANVASES = ((384, 384), (512, 384), (256, 256), (384, 512), (512, 512))


def text(words: str, role: str = "title", size: str = "large") -> CardText:
    return CardText(text=words, role=role, color="black", face="wide", size=size)


def scenes(count: int = 60) -> list[Scene]:
    rng = random.Random(11)
    made = []
    for i in range(count):
        width, height = CANVASES[i % len(CANVASES)]
        language = "zh" if i % 4 == 0 else "en"
        made.append(sample_card_scene(rng, width=width, height=height, language=language, random_words=0.5))
    return made


def test_a_text_wraps_at_words_into_as_few_lines_as_possible_and_evenly() -> None:
    assert wrap("Happy Birthday dear Mia", 12) == ("Happy", "Birthday", "dear Mia")
    assert wrap("one two three four", 12) == ("one two", "three four")
    assert wrap("HELLO", 10) == ("HELLO",)


def test_chinese_wraps_between_characters_and_a_sign_never_begins_a_line() -> None:
    assert wrap("夏日音乐节", 3) in (("夏日音", "乐节"), ("夏日", "音乐节"))
    assert all(line[0] not in "，。！" for line in wrap("欢迎光临，请进", 4))


def test_only_a_word_longer_than_the_line_is_cut() -> None:
    assert wrap("Donaudampfschiff", 6) == ("Donaud", "ampfsc", "hiff")
    assert "".join(wrap("a Donaudampfschiff", 6)).replace(" ", "") == "aDonaudampfschiff"


@pytest.mark.parametrize("words", ["Up to 70% off", "No parking", "St. Mary's Church, June 14th 2027", "«a» b"])
def test_wrapping_loses_nothing(words: str) -> None:
    for width in range(3, 30):
        assert "".join(wrap(words, width)).replace(" ", "") == words.replace(" ", "")


def test_a_short_title_is_large_and_a_long_one_small() -> None:
    short = lay_out(Card(genre="sign", background="white", texts=(text("OPEN"),)), 384, 384)
    long = lay_out(Card(genre="sign", background="white", texts=(text("Extraordinarily long"),)), 384, 384)
    assert short is not None and long is not None
    assert short.texts[0].size == 48 and long.texts[0].size == 24


def test_what_cannot_fit_is_none() -> None:
    lines = tuple(text(f"line number {i} of very many words", "line", "small") for i in range(9))
    assert lay_out(Card(genre="menu", background="white", texts=lines), 256, 256) is None


def test_the_layout_depends_on_the_card_alone() -> None:
    for scene in scenes(20):
        assert scene.card is not None
        again = lay_out(scene.card, scene.width, scene.height)
        assert again == scene


def test_nothing_overlaps_and_everything_is_on_the_canvas_and_on_the_grid() -> None:
    for scene in scenes():
        items: tuple[Any, ...] = (*scene.texts, *scene.things, *scene.objects)
        boxes = [item.box for item in items]
        for a, b in combinations(boxes, 2):
            assert not intersect(a, b)
        for left, top, right, bottom in boxes:
            assert 0 <= left < right <= scene.width and 0 <= top < bottom <= scene.height
            assert left % CELL == top % CELL == 0


def test_the_lines_of_each_text_say_all_of_it() -> None:
    for scene in scenes():
        assert scene.card is not None and scene.quotes == tuple(t.text for t in scene.card.texts)
        for i, quote in enumerate(scene.quotes):
            lines = [item.text for item in scene.texts if item.region == i]
            assert "".join(lines).replace(" ", "") == quote.replace(" ", "")


def test_texts_can_be_read_on_their_ground() -> None:
    for scene in scenes():
        assert scene.card is not None
        for words in scene.card.texts:
            assert words.color in visible_colors(scene.card.ground_of(words))


def test_every_ground_has_a_readable_color() -> None:
    for ground in CARD_COLORS:
        assert readable_colors(ground)
        assert all(contrast(name, ground) >= 4.5 for name in readable_colors(ground))


def test_the_ground_under_a_text_is_the_color_that_its_card_says() -> None:
    for scene in scenes():
        assert scene.card is not None
        if scene.style != "flat":
            continue
        pixels = np.asarray(render(scene)).astype(int)
        for item in scene.texts:
            ground = CARD_COLORS[scene.card.ground_of(scene.card.texts[item.region])]
            corner = pixels[item.box[1] + 1, item.box[0] + 1]
            assert np.abs(corner - np.array(ground)).max() <= 12, (scene.structure, item)


def test_meanings_stay_within_their_classes_and_equal_cells_share_one() -> None:
    sizes = card_labels()
    for scene in scenes():
        cells = cell_card_meanings(scene)
        for name, classes in sizes.items():
            assert cells[name].min() >= 0 and cells[name].max() < classes
    blank = lay_out(Card(genre="sign", background="teal", texts=(text("OPEN"),)), 256, 256)
    assert blank is not None
    meaning = cell_card_meanings(blank)["meaning"]
    empty = cell_card_meanings(blank)["kind"] == 0
    assert len(set(meaning[empty].tolist())) == 1 and len(set(meaning[~empty].tolist())) == 16


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_can_be_drawn(structure: str) -> None:
    panel = "" if structure in ("plain", "frame") else "white"
    card = Card(genre="sign", background="navy", structure=structure, panel=panel, texts=(text("OPEN"),))
    scene = lay_out(card, 384, 384)
    assert scene is not None
    plain = lay_out(Card(genre="sign", background="navy", texts=(text("OPEN"),)), 384, 384)
    assert plain is not None
    assert (np.asarray(render(scene)) != np.asarray(render(plain))).any() == (structure != "plain")


def test_a_shape_is_flat_only_with_a_color() -> None:
    assert not CardThing(thing="heart").is_shape
    assert CardThing(thing="heart", color="blue").is_shape
    with pytest.raises(ConfigError, match="unknown thing"):
        CardThing(thing="circle")
