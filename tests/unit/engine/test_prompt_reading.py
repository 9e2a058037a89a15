"""Colours that a prompt names, told apart by what they belong to."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from inkwash.engine.prompt_reading import names_of, wanted_words
from inkwash.models.registry import defaults_of
from inkwash.rl.prompts import PromptSource

LIMITS = defaults_of("nano").limits


@pytest.mark.parametrize(
    ("prompt", "ground"),
    [
        ('yard sign "VOTE" on a red background with a white star', "red"),
        ('flyer, blue background, "May"', "blue"),
        ("Background: off-white. Three cats", "cream"),
        ('"HELLO" on navy, with a sun', "navy"),
        ("Set the background to pale green", "light green"),
        ("Plakat mit „HALLO“, blauer Hintergrund", "blue"),
        ('Schild "ZU" auf hellgrünem Hintergrund', "light green"),
        ("Hintergrund: weiß, ein Hund", "white"),
        ("Der Hintergrund soll dunkelblau sein", "navy"),
        ("affiche « OUI », sur fond bleu clair", "light blue"),
        ("l'arrière-plan est vert, un chat", "green"),
        ('cartel "HOLA", fondo de color crema', "cream"),
        ("un gato con fondo azul oscuro", "navy"),
        ('a sky blue birthday card that says "Mia"', "light blue"),
        ("红色背景，“你好”", "red"),
        ("背景用天蓝色，“你好”", "light blue"),
        ('"SALE" on a red balloon', None),
        ('"MENU" on a white card', None),  # a sheet, whose ground is another
        ('"HELLO" in red', None),
        ("a blue cat", None),
        ("a cat", None),
    ],
)
def test_the_ground_of_a_prompt(prompt: str, ground: str | None) -> None:
    assert wanted_words(prompt, LIMITS).ground == ground


@pytest.mark.parametrize(
    ("prompt", "inks"),
    [
        ('"HELLO" in red, green background', {"HELLO": "red"}),
        ('Karte mit "HALLO" in Rot und "DU" (grün), Hintergrund weiß', {"HALLO": "red", "DU": "green"}),
        ('cartel "HOLA" en morado, fondo azul', {"HOLA": "purple"}),
        ('a sign "YES" or "NO", a rose', {}),
        ('"HELLO" in big red letters and "BYE" (small, black)', {"HELLO": "red", "BYE": "black"}),
        ('green background, the white words "rk", "no" below', {"rk": "white"}),
        ('"A" and "B", white letters', {"A": "white", "B": "white"}),
        ('"A" in blue and "B". All text in white', {"A": "blue", "B": "white"}),
        ("“你好”(红色)，“再见”，黑色的文字", {"你好": "red", "再见": "black"}),
        ('"SALE" in a red circle', {}),
        ('a red "STOP" sign', {}),
        ('"TEA" with a green leaf', {}),
        ("red letters", {}),
    ],
)
def test_the_colors_of_texts(prompt: str, inks: dict[str, str]) -> None:
    assert dict(wanted_words(prompt, LIMITS).inks) == inks


def test_prompts_of_the_world_are_read_right() -> None:
    """What is read is right; what is not understood is left open."""
    asks = PromptSource(seed=78, count=250, canvases=((384, 384),), chinese=0.15)(0)["asks"]
    seen = Counter[tuple[str, bool | None]]()
    for ask in asks:
        found = wanted_words(ask.prompt, LIMITS)
        inks = dict(found.inks)
        facts = [("background", "ground", found.ground, ask.scene.background)]
        facts += [
            (f"text{i}.color", "ink", inks.get(text.text), text.color) for i, text in enumerate(ask.scene.card.texts)
        ]
        for name, kind, color, truth in facts:
            if color is not None or name in ask.named:
                seen[kind, None if color is None else color == truth] += 1
    for kind, told in (("ground", 0.85), ("ink", 0.7)):
        right, wrong = seen[kind, True], seen[kind, False]
        assert wrong <= 0.015 * (right + wrong) and right >= told * (right + wrong + seen[kind, None]), seen


def test_a_long_prompt_of_colors_takes_no_time() -> None:
    prompt = 'red letters "A" on blue background, ' * 800
    start = time.process_time()
    found = wanted_words(prompt, LIMITS)
    assert (found.ground, found.inks) == ("blue", (("A", "red"),)) and time.process_time() - start < 1.5


def test_chinese_names_with_latin_letters_are_known() -> None:
    assert names_of(LIMITS).places("一张T恤图案") == [(2, 6)]
    assert names_of(LIMITS).places("İİ一张t恤图案") == [(4, 8)], "a letter whose small form is longer moves no place"
