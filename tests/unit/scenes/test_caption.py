"""Captions quote exactly the drawn texts, name what they say they name, and keep to their split."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwash.core.errors import ConfigError
from inkwash.scenes import caption_zh, phrases
from inkwash.scenes.caption import caption, describe, fill, horizontal, templates, vertical, zone
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.lettering import grid_text
from inkwash.scenes.levels import LEVELS
from inkwash.scenes.scene import Scene, ShapeItem
from inkwash.scenes.words import is_held_out
from inkwash.scenes.world import COLORS


def quoted(prompt: str) -> list[str]:
    return [a or b for a, b in re.findall(r'"([^"]*)"|“([^“”]*)”', prompt)]


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    level=st.sampled_from([level for level in LEVELS if level != "card"]),
    split=st.sampled_from(["train", "held_out"]),
    language=st.sampled_from(["en", "zh"]),
)
@pytest.mark.slow
def test_captions_quote_exactly_the_texts(seed: int, level: str, split: str, language: str) -> None:
    rng = random.Random(seed)
    scene = sample_scene(rng, level=level, split=split, regions=(0, 3))
    prompt = caption(scene, rng, split=split, language=language)
    assert quoted(prompt) == [text.text for text in scene.texts]
    assert "  " not in prompt and not re.search(r"\{[A-Z]\}", prompt)


def test_captions_are_deterministic_and_varied() -> None:
    scene = sample_scene(random.Random(4))
    assert caption(scene, random.Random(1)) == caption(scene, random.Random(1))
    assert len({caption(scene, random.Random(i)) for i in range(200)}) > 120


def test_the_plain_prompt_is_among_the_phrasings() -> None:
    item = grid_text("HELLO", 3, 1, face="sans", color="white")
    scene = Scene(width=256, height=256, background="blue", texts=(item,))
    made = {caption(scene, random.Random(i)) for i in range(6000)}
    assert 'A poster that says "HELLO"' in made
    assert '"HELLO" in white on a blue background' in made


@pytest.mark.parametrize("language", ["en", "zh"])
def test_description_lists_what_it_names(language: str) -> None:
    names = caption_zh.COLORS if language == "zh" else {name: name for name in COLORS}
    left_out = 0
    for seed in range(300):
        scene = sample_scene(random.Random(seed), regions=(1, 1))
        said = describe(scene, random.Random(seed), language=language)
        outside = re.sub(r'"[^"]*"|“[^“”]*”', "", said.prompt).replace("grey", "gray")
        used = {part.color for part in scene.items} | {scene.background}
        assert {name for name in COLORS if names[name] in outside} <= used
        if "background" in said.named:
            assert names[scene.background] in outside
        elif scene.background not in {item.color for item in scene.items}:
            assert names[scene.background] not in outside
            left_out += 1
        if "text0.color" in said.named:
            assert names[scene.texts[0].color] in outside
    assert left_out > 10


def test_order_of_two_texts_and_of_shapes() -> None:
    words = (grid_text("UPPER", 1, 1, face="sans", color="white"), grid_text("LOWER", 5, 1, face="sans", color="white"))
    star = ShapeItem(shape="star", color="red", size=64, box=(0, 192, 64, 256))
    scene = Scene(width=256, height=256, background="blue", texts=words, objects=(star,))
    ordered = [d for d in (describe(scene, random.Random(i)) for i in range(200)) if "order" in d.named]
    assert 20 < len(ordered) < 90
    assert all("text0.place" not in d.named and d.prompt.index("UPPER") < d.prompt.index("LOWER") for d in ordered)
    assert any('"UPPER" above "LOWER"' in d.prompt for d in ordered)
    prompts = {caption(scene, random.Random(i)) for i in range(300)}
    assert any("star below" in p for p in prompts) and not any("star above" in p for p in prompts)


def test_unusual_styles_are_always_named() -> None:
    for seed in range(40):
        scene = sample_scene(random.Random(seed), level="full")
        assert ("style" in describe(scene, random.Random(seed)).named) == (scene.style != "flat")


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_captions_use_templates_of_their_split(split: str) -> None:
    for name in ("PLAIN", "COLORED", "TAILS", "NO_TEXT", "BARE"):
        assert all(is_held_out(t, "template") == (split == "held_out") for t in templates(name, split))
    beginnings = {re.split(r"\{", t)[0] for t in (*templates("PLAIN", split), *templates("COLORED", split))}
    scene = sample_scene(random.Random(9), regions=(1, 1))
    for seed in range(100):
        prompt = caption(scene, random.Random(seed), split=split).replace("An ", "A ").replace("an ", "a ")
        assert any(prompt.startswith(start) for start in beginnings)


def test_zones() -> None:
    scene = Scene(width=256, height=128, background="red")
    assert zone((0, 0, 64, 32), scene) == ("top", "left")
    assert zone((96, 48, 160, 80), scene) == ("middle", "center")
    assert (vertical((0, 96, 32, 128), 128), horizontal((224, 0, 256, 32), 256)) == ("bottom", "right")


def test_fill_takes_braces_in_texts_literally() -> None:
    assert fill("{T} on {B}", T='"{B}"', B="red") == '"{B}" on red'


def test_articles() -> None:
    scene = Scene(width=256, height=256, background="orange")
    made = {caption(scene, random.Random(i)) for i in range(100)}
    assert not any(re.search(r"\b[Aa] (orange|image)", text) for text in made)
    assert any("n orange" in text for text in made)


def test_unknown_language_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match="unknown caption language 'de': choose en or zh"):
        caption(Scene(width=256, height=256, background="red"), random.Random(0), language="de")


def test_chinese_nouns_and_templates_are_chinese() -> None:
    for template in (*phrases.ZH_COLORED, *phrases.ZH_NOUNS):
        assert re.search("[\u4e00-\u9fff]", template)
