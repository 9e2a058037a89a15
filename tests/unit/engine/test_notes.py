"""What a request asks for and the model cannot draw: each case is said, and what can be drawn is passed over."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from inkwash.core.types import Size
from inkwash.data.limits import card_limits, second_limits
from inkwash.engine.notes import find_notes, looks_like_a_photograph, negative_notes, notes
from inkwash.engine.notes_words import EN, ZH
from inkwash.models.glm_image.folder import Abilities, drawing_defaults
from inkwash.models.registry import bundled_folder
from inkwash.scenes.caption import describe
from inkwash.scenes.edit import sample_edit
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.render import render
from inkwash.scenes.second import usual_items
from inkwash.scenes.words import word_list
from tests.pictures import noise_picture

NANO = drawing_defaults(bundled_folder("nano"))
POSTERS = Abilities.from_dict(second_limits())
SIDE = Size(384, 384)


def kinds(prompt: str, size: Size | None = SIDE, limits: Abilities | None = POSTERS) -> list[str]:
    return [note.kind for note in find_notes(prompt, size, (), limits, canonical=limits is not None)]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ('A poster that says "🎉 PARTY 🎉"', ["emoji"]),
        ('a sign "👨‍👩‍👧"', ["emoji"]),
        ('A sign that says "Café"', ["letters"]),
        ('A sign that says "こんにちは"', ["letters"]),
        ('A poster that says "A text without end"', ["long"]),
        ('A poster with "WELCOME" in huge white letters', ["long"]),
        ('A poster with "WELCOME" and a big star', []),
        ("大号的“WELCOME”", ["long"]),
        ('"A" "B" "C" "D" "E" "F"', ["lines"]),
        ("a photo of a cat", ["unknown"]),
        ("一只猫", ["unknown"]),
        ("HELLO WORLD", ["unquoted"]),
        ("a poster that says OPEN", ["unquoted"]),
        ("a poster that says open in green", ["unquoted"]),
        ("Make me a sign titled Grand Opening", ["unquoted"]),
        ("海报写着你好", ["unquoted"]),
        ("A POSTER WITH A RED STAR", []),  # all of it is shouted
        ('A poster that says ""', ["empty"]),
        ('a sign "OPEN', ["open"]),
        ("a sign „OPEN", ["open"]),
        ("a circle, a star, a heart and a square", ["many"]),
        ("three stars", ["many"]),
        ("плакат 'OK'", ["language", "unknown"]),
        ("a drawing", ["nothing"]),
        ("a plain blue sign", []),
        ("two red circles", []),
        ("the text in white, and a star", []),
        ('The words on it are "GO"', []),
    ],
)
def test_each_case_is_said(prompt: str, expected: list[str]) -> None:
    assert kinds(prompt) == expected


@pytest.mark.parametrize("marks", ['""', "''", "“”", "„“", "«»", "»«", "「」", "『』", "‘’"])
def test_quotes_of_any_style_are_read_where_the_checkpoint_asks_for_it(marks: str) -> None:
    prompt = f"A sign that says {marks[0]}OPEN{marks[1]}"
    assert kinds(prompt) == []
    released = [] if marks in ('""', "''", "“”", "「」") else ["style"]
    assert kinds(prompt, limits=None) == released  # the rules of its card only


def test_a_model_without_limits_has_the_rules_of_its_card() -> None:
    assert kinds("a photo of a cat", Size(2048, 2048), None) == kinds('"🎉 é"', limits=None) == []
    assert kinds("a cat with the words GOOD BOY", limits=None) == ["unquoted"]
    assert kinds('says "', limits=None) == ["open"] and kinds('says ""', limits=None) == ["empty"]


@pytest.mark.parametrize("size", [Size(96, 128), Size(1024, 1024), Size(640, 160)])
def test_sizes_that_were_never_learnt(size: Size) -> None:
    assert kinds('a sign "A"', size) == ["size"] and kinds('a sign "A"', None) == []


def test_sentences_name_the_field_the_value_and_the_way_out() -> None:
    assert notes('says "Guten Morgen Welt" or OPEN', Size(256, 800), (), POSTERS, canonical=True) == [
        'prompt: OPEN stands without quotation marks, so it is not written as text: put it in marks, "OPEN".',
        'prompt: "Guten Morgen Welt" has 17 characters, but 8 fit into a line of 256 px: the rest is lost.',
        "size: 256x800 is outside what this model has learnt: sides from 128 to 768 px, at most 3:1.",
    ]
    [said] = notes("a photo of a cat", SIDE, (), POSTERS)
    assert said.startswith('prompt: this model does not know "photo", "cat": it draws texts and circle, ')
    [note] = find_notes('"🎉"', SIDE, (), POSTERS)
    assert note.texts == ("🎉",) and note.sentence("zh") == '"🎉" 中的 🎉：本模型不能画表情符号。'


def test_both_languages_say_everything() -> None:
    assert EN.keys() == ZH.keys()
    for kind, sentence in EN.items():
        slots = {part.split("}")[0] for part in sentence.split("{")[1:]}
        assert slots == {part.split("}")[0] for part in ZH[kind].split("{")[1:]}, kind


@pytest.mark.parametrize("seed", range(0, 300, 3))
def test_what_was_trained_on_is_passed_over(seed: int) -> None:
    """Captions and edits of the level that nano has learnt, with held-out words too."""
    rng, split = random.Random(seed), ("train", "held_out")[seed % 2]
    language = "zh" if seed % 5 == 0 else "en"
    regions = (1, 3) if language == "zh" else (1, 5)
    limits = Abilities.from_dict(second_limits())
    scene = sample_scene(
        rng, width=384, height=384, regions=regions, split=split, level="second", random_words=0.3, language=language
    )
    prompt = describe(scene, rng, split=split, language=language, usual=usual_items(scene)).prompt
    assert notes(prompt, SIDE, (), limits, canonical=True) == []
    edit = sample_edit(rng, split=split, level="second")
    sources = [render(source) for source in edit.sources]
    assert notes(edit.instruction, SIDE, sources, limits, canonical=True) == []


def test_the_block_that_ships_is_true() -> None:
    """All of level card: what it was trained on is what it claims."""
    assert NANO.limits is not None and NANO.canonical_quotes
    assert NANO.limits.to_dict() == Abilities.from_dict(card_limits()).to_dict()
    known = 'A birthday card with two cats and a cake that says "Happy Birthday"'
    assert kinds(known, limits=NANO.limits) == [] and kinds("a giraffe", limits=NANO.limits) == ["unknown"]
    assert set("".join(word_list("zh"))) <= set(NANO.limits.to_dict()["alphabet"])


def test_wrapping_texts_may_be_longer_than_a_line() -> None:
    block = second_limits()
    block["lettering"] = {**block["lettering"], "wraps": True, "lines": 4}
    wraps = Abilities.from_dict(block)
    assert kinds('"Happy 7th Birthday my dear"', SIDE, wraps) == []
    assert kinds('"Donaudampfschifffahrt is a word"', SIDE, wraps) == ["long"]
    assert kinds('"one two three four five six seven eight nine ten"', SIDE, wraps) == ["lines"]
    assert kinds("“" + "你" * 30 + "”", SIDE, wraps) == kinds("“你”", SIDE, wraps)


def test_other_editions_change_the_block_and_no_code() -> None:
    block = second_limits()
    block["things"] = {"cat": ["kitten", "cats", "猫"], "birthday cake": ["cake", "蛋糕"], "berry": []}
    block["most_things"] = 20
    later = Abilities.from_dict(block)
    for prompt in ("a cat", "two kittens", "三只猫和蛋糕", "a birthday cake and the cat's cake", "berries"):
        assert kinds(prompt, SIDE, later) == [], prompt
    assert kinds("a dog", SIDE, later) == ["unknown"]


def test_an_adapter_may_have_taught_new_things() -> None:
    said = notes('a cross and "🎉"', SIDE, (), POSTERS, canonical=True, adapted=True)
    assert [sentence[:11] for sentence in said] == ["prompt: 🎉 i"]


def photograph(seed: int) -> Image.Image:
    """Clouds of many colours, as a photograph has them."""
    rng = random.Random(seed)
    small = Image.new("RGB", (12, 12))
    small.putdata([(rng.randrange(256), rng.randrange(256), rng.randrange(256)) for _ in range(144)])
    return small.resize((384, 384), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("seed", range(8))
def test_photographs_are_told_from_cards(seed: int) -> None:
    rng = random.Random(seed)
    card = render(sample_scene(rng, width=384, height=384, regions=(1, 3), split="train", level="second"))
    drawn = Image.blend(card, noise_picture(card.size, 30), 0.1)
    assert looks_like_a_photograph(photograph(seed)) and not looks_like_a_photograph(card)
    assert not looks_like_a_photograph(drawn)
    found = find_notes("make it blue", SIDE, (card, photograph(seed)), POSTERS)
    assert [(note.kind, note.param, note.values["number"]) for note in found] == [("photograph", "image", "2")]


def test_a_flat_drawing_of_the_outside_is_no_photograph(tmp_path: Path) -> None:
    plain = Image.new("RGBA", (200, 100), "white")
    ImageDraw.Draw(plain).ellipse((20, 20, 90, 90), fill="navy")
    assert not looks_like_a_photograph(plain)


def test_negative_prompts_without_effect_are_said() -> None:
    assert negative_notes(None, 1.0) == negative_notes("", 1.0) == negative_notes("'SALE'", 2.0) == []
    assert "quotation marks" in negative_notes("blurry", None)[0]
    assert "guidance" in negative_notes('"SALE"', 1.0)[0]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ('Birthday card for my daughter Mia, "Happy Birthday Mia", balloons and a cake', []),
        ('poster for Mia, "MIA & TOM"', []),
        ('An elegant menu on cream paper: "Soup 4.50"', []),
        ("红色的招牌,上面写着“欢迎光临”", []),
        ('a magazine cover with a modern look, "SUMMER"', []),
        ("HELLO WORLD", ["unquoted"]),
        ("DRAW A BLUE CARD WITH A CAT", []),
        ('Plakat mit dem Text "Sommerfest", blauer Hintergrund', []),
        ('una tarjeta con el texto "Hola"', []),
        ('een poster met het woord "Zomer" voor de deur', ["language"]),
        ('um cartaz com uma palavra "Festa"', ["language"]),
        ('a photo of a tractor, "FARM"', ["unknown"]),
        ("portrait of my daughter", ["unknown"]),
    ],
)
def test_cards_are_told_what_is_missing_and_nothing_else(prompt: str, expected: list[str]) -> None:
    limits = Abilities.from_dict(card_limits())
    assert [note.kind for note in find_notes(prompt, SIDE, (), limits, canonical=True)] == expected


def test_what_is_known_is_told_by_its_number_and_a_few_names() -> None:
    limits = Abilities.from_dict(card_limits())
    [note] = find_notes('a tractor and "FARM"', SIDE, (), limits, canonical=True)
    things = len(limits.things)
    assert note.sentence().endswith(f"it draws texts and {things} things such as cat, dog, rabbit, fox, bear, panda.")
    assert note.sentence("zh").endswith(f" 等 {things} 种图形。")
