"""Words, splits, colours and the scene type itself."""

from __future__ import annotations

import random

import pytest

from inkwash.core.errors import ConfigError
from inkwash.scenes import ask, edit_phrases, phrases
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.scene import Scene, ShapeItem, TextItem
from inkwash.scenes.words import (
    characters,
    is_held_out,
    of_split,
    random_word,
    sample_phrase,
    sample_word,
    word_list,
    words,
)
from inkwash.scenes.world import COLOR_NAMES, TEXT_CONTRAST, contrast, shape_colors, text_colors


@pytest.mark.parametrize("language", ["en", "zh"])
def test_word_split_is_disjoint_and_complete(language: str) -> None:
    train, held_out = set(words("train", 1, 8, language)), set(words("held_out", 1, 8, language))
    assert not train & held_out
    assert train | held_out == set(word_list(language))
    assert 0.06 < len(held_out) / len(train | held_out) < 0.15


def test_word_list_holds_plain_words_only() -> None:
    listed = word_list("en")
    assert len(listed) > 3000
    assert len(set(listed)) == len(listed)
    assert all(w.isascii() and w.islower() and w.isalpha() and 3 <= len(w) <= 8 for w in listed)


def test_the_split_never_moves() -> None:
    """Frozen facts: a change here would put trained words into the evaluation."""
    assert [w for w in ("add", "hello", "coach", "poster", "quickly", "sale") if is_held_out(w)] == [
        "add",
        "coach",
        "quickly",
    ]
    assert not is_held_out("A {N} that says {T}", "template")
    assert is_held_out("On a {B} background, {T}", "template")


def _lists(module: object) -> dict[str, tuple[str, ...]]:
    found = {n: v for n, v in vars(module).items() if n.isupper() and isinstance(v, tuple) and "NOUNS" not in n}
    return {n: v for n, v in found.items() if n not in ("KINDS", "SHAPES")}


@pytest.mark.parametrize(("module", "kind"), [(phrases, "template"), (edit_phrases, "edit"), (ask, "question")])
def test_every_template_list_has_both_sides(module: object, kind: str) -> None:
    lists = _lists(module)
    assert len(lists) >= 10
    for name, templates in lists.items():
        assert len(set(templates)) == len(templates), name
        train, held_out = of_split(templates, "train", kind), of_split(templates, "held_out", kind)
        assert train and held_out, f"{name} has an empty side: reword a template"
        assert not set(train) & set(held_out)


def test_there_are_many_templates() -> None:
    assert len(phrases.PLAIN) + len(phrases.COLORED) + len(phrases.TAILS) >= 60
    assert len(phrases.ZH_PLAIN) + len(phrases.ZH_COLORED) + len(phrases.ZH_TAILS) >= 20


def test_random_words_are_never_held_out() -> None:
    rng = random.Random(0)
    made = [random_word(rng, 8) for _ in range(500)]
    assert not any(is_held_out(word) for word in made)
    assert {len(word) for word in made} == set(range(3, 9))


def test_sampled_words_keep_to_their_split_and_length() -> None:
    rng = random.Random(1)
    for split in ("train", "held_out"):
        for _ in range(200):
            word = sample_word(rng, split, 5)
            assert word.isupper() and 3 <= len(word) <= 5
            assert is_held_out(word) == (split == "held_out")


def test_phrases_have_variety_and_no_double_quotes() -> None:
    rng = random.Random(2)
    made = [sample_phrase(rng, "train") for _ in range(400)]
    assert not any('"' in text or "{" in text for text in made)
    for seen in (str.isupper, str.islower, lambda t: " " in t, lambda t: any(c.isdigit() for c in t)):
        assert any(seen(text) for text in made)


def test_colors_can_be_told_apart() -> None:
    for background in COLOR_NAMES:
        assert text_colors(background) and len(shape_colors(background)) >= 5
        assert background not in text_colors(background) and background not in shape_colors(background)
        assert all(contrast(name, background) >= TEXT_CONTRAST for name in text_colors(background))


@pytest.mark.parametrize(("width", "height"), [(100, 256), (256, 96), (1056, 256), (0, 0)])
def test_scene_refuses_bad_sizes(width: int, height: int) -> None:
    with pytest.raises(ConfigError, match="multiple of 32 from 128 to 1024"):
        Scene(width=width, height=height, background="red")


def test_items_refuse_unknown_names() -> None:
    box = (0, 0, 64, 64)
    with pytest.raises(ConfigError, match="unknown background 'teal'"):
        Scene(width=256, height=256, background="teal")
    with pytest.raises(ConfigError, match="unknown shape 'blob'"):
        ShapeItem(shape="blob", color="red", size=64, box=box)
    with pytest.raises(ConfigError, match="unknown face 'comic'"):
        TextItem(text="A", face="comic", color="red", size=24, box=box)
    with pytest.raises(ConfigError, match="no double quote"):
        TextItem(text='A"B', face="sans", color="red", size=24, box=box)


def test_unknown_split_and_language_are_one_sentence() -> None:
    with pytest.raises(ConfigError, match="unknown split 'test'"):
        sample_word(random.Random(0), "test")
    with pytest.raises(ConfigError, match="no word list for language 'fr'"):
        words("train", language="fr")


def test_training_shows_every_chinese_character_and_no_held_out_word() -> None:
    rng = random.Random(0)
    made = [random_word(rng, 6, 2, characters()) for _ in range(3000)]
    assert set("".join(made)) == set(characters()) == set("".join(word_list("zh")))
    assert all(2 <= len(text) <= 6 for text in made)
    assert not set(made) & set(words("held_out", 1, 8, "zh"))
    only_held_out = set("".join(words("held_out", 1, 8, "zh"))) - set("".join(words("train", 1, 8, "zh")))
    assert only_held_out  # the reason why words of the training side are not enough
    scenes = [sample_scene(rng, level="second", language="zh", random_words=0.5) for _ in range(600)]
    seen = {sign for scene in scenes for text in scene.texts for sign in text.text}
    assert len(only_held_out & seen) > 0.9 * len(only_held_out)
