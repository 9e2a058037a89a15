"""Scene -> a prompt as a person would write it, in English or Chinese.

Every text that the picture shows stands in double quotation marks exactly as drawn. Shapes and unusual styles are
always named; colours, places and faces are named most of the time. What is left out is free, and `describe` says
what was named, so that a score asks for nothing the prompt did not. Templates come from one side of the split
(`words.of_split`); held-out captions use held-out templates only.
"""

from __future__ import annotations

import random
import re
from collections.abc import Set
from functools import cache

from inkwash.core.errors import ConfigError
from inkwash.scenes import edit_phrases, phrases
from inkwash.scenes.caption_zh import chinese
from inkwash.scenes.card_prompts import describe_card
from inkwash.scenes.lettering import GRID_CAP
from inkwash.scenes.scene import Box, Description, Scene, ShapeItem, TextItem
from inkwash.scenes.words import of_split

COLOR_RATE = 0.65
SHAPE_COLOR_RATE = 0.9
BACKGROUND_RATE = 0.8
PLACE_RATE = 0.35
SHAPE_PLACE_RATE = 0.5
FACE_RATE = 0.3
ORDER_RATE = 0.25

COLOR_WORDS = {"gray": ("gray", "gray", "grey")}
ORDERS = ("{} on top and {} below", "{} above {}", "{} and below it {}", "{} and, underneath, {}", "{} over {}")

LARGE = ("big", "large", "big", "huge")
FACE_WORDS = {
    "sans": ("sans-serif", "sans serif"),
    "serif": ("serif",),
    "mono": ("monospace", "typewriter"),
    "italic": ("italic",),
    "condensed": ("narrow", "condensed"),
    "light": ("thin", "light"),
    "cjk": ("Chinese",),
    "wide": ("wide", "bold"),
}

STYLE_WORDS = {
    "flat": "in a flat style",
    "gradient": "with a gradient background",
    "striped": "with a striped background",
    "outlined": "with outlined shapes",
    "shadowed": "with drop shadows",
    "framed": "with a frame around it",
    "dotted": "with a dotted background",
    "paper": "on textured paper",
    "pixelated": "in pixel art style",
    "sketch": "as a hatched sketch",
}


Usual = Set[TextItem | ShapeItem] | None


@cache
def templates(name: str, split: str) -> tuple[str, ...]:
    """One side of a template list of `phrases` or `edit_phrases`."""
    if hasattr(phrases, name):
        return of_split(getattr(phrases, name), split)
    return of_split(getattr(edit_phrases, name), split, "edit")


def vertical(box: Box, height: int) -> str:
    """`top`, `middle` or `bottom`, by the middle of the box."""
    middle = (box[1] + box[3]) / 2 / height
    return "top" if middle < 0.36 else "bottom" if middle > 0.64 else "middle"


def horizontal(box: Box, width: int) -> str:
    """`left`, `center` or `right`, by the middle of the box."""
    middle = (box[0] + box[2]) / 2 / width
    return "left" if middle < 0.36 else "right" if middle > 0.64 else "center"


def zone(box: Box, scene: Scene) -> tuple[str, str]:
    """The ninth of the canvas that a box stands in."""
    return vertical(box, scene.height), horizontal(box, scene.width)


def article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def place(box: Box, scene: Scene, rng: random.Random) -> str:
    """Where a box is: `at the top`, `in the bottom left corner`, ..."""
    v, h = vertical(box, scene.height), horizontal(box, scene.width)
    if h == "center":
        if v == "middle":
            return rng.choice(("in the middle", "in the center"))
        return rng.choice((f"at the {v}", f"on the {v}" if v == "top" else f"at the {v}"))
    if v == "middle":
        return rng.choice((f"on the {h}", f"on the {h} side"))
    return rng.choice((f"at the {v} {h}", f"in the {v} {h} corner"))


def describe_text(
    item: TextItem,
    scene: Scene,
    rng: random.Random,
    named: set[str],
    name: str,
    *,
    placed: bool | None = None,
) -> str:
    """`"HELLO" in white serif letters at the top`, with parts left out at random; what is said goes into `said`.

    `placed` says whether the place is named; None leaves it to chance.
    """
    phrase = f'"{item.text}"'
    color = color_word(item.color, rng) if rng.random() < COLOR_RATE else ""
    face = rng.choice(FACE_WORDS[item.face]) if rng.random() < FACE_RATE else ""
    large = rng.choice(LARGE) if item.lettering == "grid" and item.size > GRID_CAP else ""
    if large:
        named.add(f"{name}.size")
        phrase += " in " + " ".join(word for word in (large, color, face, "letters") if word)
    elif face:
        phrase += f" in {color} {face} {rng.choice(('letters', 'type'))}".replace("  ", " ")
    elif color:
        phrase += rng.choice((f" in {color}", f" in {color} letters", f" in {color}"))
    where = rng.random() < PLACE_RATE if placed is None else placed
    if where:
        phrase += " " + place(item.box, scene, rng)
    named |= {f"{name}.{part}" for part, is_named in (("color", color), ("face", face), ("place", where)) if is_named}
    return phrase


def describe_shape(
    item: ShapeItem, scene: Scene, rng: random.Random, named: set[str], name: str, *, placed: bool | None = None
) -> str:
    """`a big red star at the bottom left`, with parts left out at random; what is said goes into `said`."""
    size = rng.choice(("big ", "large ") if item.size > 64 else ("small ", "little ")) if rng.random() < 0.3 else ""
    color = f"{color_word(item.color, rng)} " if rng.random() < SHAPE_COLOR_RATE else ""
    beside, where = "", placed
    if placed is None:
        beside = _beside_text(item, scene, rng) if rng.random() < ORDER_RATE else ""
        where = not beside and rng.random() < SHAPE_PLACE_RATE
    named |= {f"{name}.{part}" for part, is_named in (("color", color), ("size", size), ("place", where)) if is_named}
    return article(f"{size}{color}{item.shape}") + (" " + place(item.box, scene, rng) if where else beside)


def _beside_text(item: ShapeItem, scene: Scene, rng: random.Random) -> str:
    """Where a shape lies as seen from all the text: ` above`, ` below it`, or nothing when it is neither."""
    if scene.texts and item.box[3] <= min(text.box[1] for text in scene.texts):
        return rng.choice((" above", " above it", " above the text"))
    if scene.texts and item.box[1] >= max(text.box[3] for text in scene.texts):
        return rng.choice((" below", " below it", " below the text", " under the text"))
    return ""


def color_word(name: str, rng: random.Random) -> str:
    """What people call a colour of the world."""
    return rng.choice(COLOR_WORDS.get(name, (name,)))


def describe_texts(scene: Scene, rng: random.Random, named: set[str], usual: Usual = None) -> str:
    """All the texts, top to bottom; two of them sometimes by their order instead of their places."""
    pair = len(scene.texts) == 2 and scene.texts[0].box[3] <= scene.texts[1].box[1] and rng.random() < ORDER_RATE
    pair = pair and (usual is None or set(scene.texts) <= usual)
    parts = [
        describe_text(item, scene, rng, named, f"text{i}", placed=False if pair else _placed(item, usual))
        for i, item in enumerate(scene.texts)
    ]
    if pair:
        named.add("order")
        return rng.choice(ORDERS).format(*parts)
    return _join(parts, "and")


def _placed(item: TextItem | ShapeItem, usual: Usual) -> bool | None:
    return None if usual is None else item not in usual


def _join(parts: list[str], word: str) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return ", ".join(parts[:-1]) + f" {word} " + parts[-1]


def _english(scene: Scene, rng: random.Random, split: str, usual: Usual) -> Description:
    named: set[str] = set()
    texts = describe_texts(scene, rng, named, usual)
    objects = [
        describe_shape(o, scene, rng, named, f"object{i}", placed=_placed(o, usual))
        for i, o in enumerate(scene.objects)
    ]
    shapes = _join(objects, "and")
    if texts:
        kind = "COLORED" if rng.random() < BACKGROUND_RATE else "PLAIN"
    else:
        kind = "NO_TEXT" if shapes else "BARE"
    template = rng.choice(templates(kind, split))
    if "{B}" in template:
        named.add("background")
    sentence = fill(template, N=rng.choice(phrases.NOUNS), B=color_word(scene.background, rng), T=texts, O=shapes)
    if scene.style != "flat":
        named.add("style")
        sentence = f"{sentence.rstrip('.?')}, {STYLE_WORDS[scene.style]}"
    if texts and shapes:
        sentence = fill(rng.choice(templates("TAILS", split)), S=sentence.rstrip(".?"), O=shapes)
    return Description(prompt=_tidy(sentence), named=frozenset(named))


def fill(template: str, **slots: str) -> str:
    """Put the slots in, in one pass: drawn texts may hold braces."""
    return re.sub(r"\{([A-Z])\}", lambda match: slots[match.group(1)], template)


def _tidy(sentence: str) -> str:
    """Repair the articles that the slots break, outside quotation marks: "a orange sign" -> "an orange sign"."""
    parts = sentence.split('"')
    parts[::2] = [re.sub(r"\b([Aa]) (?=orange|image)", r"\1n ", part) for part in parts[::2]]
    return '"'.join(parts)


def describe(
    scene: Scene, rng: random.Random, *, split: str = "train", language: str = "en", usual: Usual = None
) -> Description:
    """One prompt for a scene, in `en` or `zh`, with the list of what it names.

    `usual` are the items that stand where nobody asked for a place: the places of exactly the others are named.
    Without it places are named at random. Cards have prompts of their own (`card_prompts`), where what is usual
    follows from the card.
    """
    if scene.card is not None:
        return describe_card(scene.card, rng, split=split, language=language)
    if language == "en":
        return _english(scene, rng, split, usual)
    if language == "zh":
        prompt, named = chinese(scene, rng, split, usual)
        return Description(prompt=prompt, named=named)
    raise ConfigError(f"unknown caption language {language!r}: choose en or zh")


def caption(scene: Scene, rng: random.Random, *, split: str = "train", language: str = "en") -> str:
    """One prompt for a scene, in `en` or `zh`."""
    return describe(scene, rng, split=split, language=language).prompt
