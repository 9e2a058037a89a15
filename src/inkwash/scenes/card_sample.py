"""How cards are sampled: a genre, contents that suit it, a structure, colours that can be read, a layout that fits."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

from inkwash.core.errors import ConfigError
from inkwash.scenes.card import CARD_STYLES, PLACES, Card, CardText, CardThing, readable_colors, visible_colors
from inkwash.scenes.card_layout import BESIDE, PANELLED, lay_out
from inkwash.scenes.card_words import GENRES, sample_content, suits
from inkwash.scenes.scene import Scene
from inkwash.scenes.words import check_split
from inkwash.scenes.world import CARD_COLORS, CELL, COLORS, SHAPES

RESAMPLES = 60
KEPT = {"crowded": 0.3, "at the edge": 0.12, "cut": 0.05}  # share of the cards with a flaw that are kept
SHAPE_DISTANCE = 90  # of two colours in RGB
LARGE_FACES = ("wide", "poster")  # a large character is four tokens: fewer faces keep the codebook small
SMALL_FACES = ("wide", "serif", "slab", "round", "hand")
DETAIL_FACES = ("wide", "round", "serif")
PLAIN_RATE = 0.4
LARGE_RATES = {"title": 0.92, "line": 0.1, "detail": 0.02}
PANELS: dict[str, tuple[str, ...]] = {
    "band": ("white", "black", "red", "yellow", "blue"),
    "paper": ("white", "cream", "yellow"),
    "bubble": ("white", "white", "yellow"),
    "chalkboard": ("black", "green", "navy"),
    "ticket": ("cream", "yellow", "white"),
    "slide": ("blue", "navy", "red", "black", "purple", "teal"),
    "menu": ("cream", "white", "black"),
    "post": ("white", "green", "yellow", "red", "blue"),
    "label": ("white", "cream"),
    "ribbon": ("red", "blue", "purple", "yellow"),
}
LIKED = ("white", "cream", "light blue", "light green", "navy", "teal", "pink", "yellow", "red", "blue", "black")
BACKGROUND_WEIGHTS = tuple(3 if name in LIKED else 1 for name in CARD_COLORS)
ASKED_COLOR = 0.15  # texts in a colour that can be seen and is below the usual contrast
THING_COUNTS = ((1, 2, 3, 4, 5), (70, 12, 9, 5, 4))


def _structure(rng: random.Random, genre: str) -> str:
    wished = GENRES[genre].structures
    if wished and rng.random() < 0.7:
        return rng.choice(wished)
    return "plain" if rng.random() < PLAIN_RATE else rng.choice(("plain", "frame", *PANELS))


def _panel(rng: random.Random, structure: str, background: str) -> str:
    choices = [color for color in PANELS.get(structure, ()) if color != background]
    return rng.choice(choices) if choices else ""


def _color(rng: random.Random, ground: str, used: list[str]) -> str:
    if rng.random() < ASKED_COLOR:
        return rng.choice(visible_colors(ground))
    fresh = readable_colors(ground)
    if used and rng.random() < 0.55 and used[-1] in fresh:
        return used[-1]
    return rng.choice(fresh)


def _texts(rng: random.Random, card: Card, contents: list[tuple[str, str]]) -> tuple[CardText, ...]:
    title_face, detail_face = rng.choice(SMALL_FACES), rng.choice(DETAIL_FACES)
    used: list[str] = []
    texts = []
    for text, role in contents:
        size = "large" if rng.random() < LARGE_RATES[role] else "small"
        face = rng.choice(LARGE_FACES) if size == "large" else title_face if role == "title" else detail_face
        if card.language == "zh":
            face = "cjk"
        made = CardText(text=text, role=role, color="black", face=face, size=size)
        used.append(_color(rng, card.ground_of(made), used))
        texts.append(CardText(text=text, role=role, color=used[-1], face=face, size=size))
    return tuple(texts)


def _thing(rng: random.Random, card: Card, place: str, taken: set[str]) -> CardThing | None:
    names = [name for name in suits(card.genre, rng) if name not in taken]
    if not names:
        return None
    taken.add(names[0])
    count = rng.choices(*THING_COUNTS)[0]
    if place == "corners":
        count = rng.choice((2, 4))
    if place == "sides":
        count = rng.choice((2, 2, 4))
    size = "small" if place == "corners" or count > 3 else rng.choices(("medium", "large", "small"), (6, 3, 1))[0]
    if rng.random() < 0.12:
        shape = rng.choice(SHAPES)
        colors = [name for name in COLORS if apart(name, card.background) and apart(name, card.ground)]
        return CardThing(thing=shape, count=count, place=place, size=size, color=rng.choice(colors))
    return CardThing(thing=names[0], count=count, place=place, size=size)


def apart(a: str, b: str) -> bool:
    """Whether a shape of one colour can be told from a ground of the other."""
    return sum((x - y) ** 2 for x, y in zip(CARD_COLORS[a], CARD_COLORS[b], strict=True)) > SHAPE_DISTANCE**2


def _places(rng: random.Random, structure: str) -> list[str]:
    """Where the things of a card stand, in the order in which they are chosen."""
    if structure == "slide":
        return ["below"]
    if structure in PANELLED:
        return ["above", "below"]
    return ["above", "below", *rng.sample(BESIDE, 4)] if rng.random() < 0.7 else rng.sample(PLACES, len(PLACES))


def _things(rng: random.Random, card: Card) -> tuple[CardThing, ...]:
    number = rng.choices((0, 1, 2, 3), (28, 46, 20, 6))[0]
    if not card.texts:
        number = min(max(1, number), 2)
    places = _places(rng, card.structure) if card.texts else ["above", "below"]
    taken: set[str] = set()
    made = [_thing(rng, card, place, taken) for place in places[:number]]
    return tuple(thing for thing in made if thing is not None)


def sample_card(rng: random.Random, *, split: str = "train", language: str = "en", random_words: float = 0.0) -> Card:
    """A card that nobody has laid out yet: it may be too full for a canvas."""
    check_split(split)
    genre = rng.choice(sorted(GENRES))
    background = rng.choices(tuple(CARD_COLORS), BACKGROUND_WEIGHTS)[0]
    contents = sample_content(rng, genre, split=split, language=language, random_words=random_words)
    structure = _structure(rng, genre)
    if not contents and structure in (*PANELLED, "slide"):
        structure = "plain"  # there a panel is as large as its texts
    style = rng.choice(CARD_STYLES[1:]) if rng.random() < 0.25 else "flat"
    panel = _panel(rng, structure, background)
    if structure in ("chalkboard", "slide"):
        style = "flat"
    if structure == "chalkboard":
        background = panel  # the wooden frame covers the rest
    card = Card(
        genre=genre,
        background=background,
        structure=structure,
        panel=panel,
        style=style,
        language=language,
    )
    card = replace(card, texts=_texts(rng, card, contents))
    return replace(card, things=_things(rng, card))


def flaws(scene: Scene) -> list[str]:
    """What a person would find ugly: texts without a free row between them or at the edge, words cut in two."""
    rows = sorted((item.box[1], item.box[3], item.region) for item in scene.texts)
    found = []
    if any(a[1] == b[0] and a[2] != b[2] for a, b in pairwise(rows)):
        found.append("crowded")
    edges = ((item.box[0], item.box[1], scene.width - item.box[2], scene.height - item.box[3]) for item in scene.texts)
    if any(min(edge) < CELL // 2 for edge in edges):
        found.append("at the edge")
    if scene.card is not None and any(_cut(text.text, i, scene) for i, text in enumerate(scene.card.texts)):
        found.append("cut")
    return found


def _cut(text: str, region: int, scene: Scene) -> bool:
    """Whether a word between spaces stands on two lines; Chinese has none."""
    words = [word for item in scene.texts if item.region == region for word in item.text.split()]
    return text.isascii() and words != text.split()


def sample_card_scene(
    rng: random.Random,
    *,
    width: int,
    height: int,
    split: str = "train",
    language: str = "en",
    random_words: float = 0.0,
) -> Scene:
    """A card that fits its canvas, laid out; on a small canvas the one with the fewest flaws of many."""
    best, fewest = None, 0
    for _ in range(RESAMPLES):
        card = sample_card(rng, split=split, language=language, random_words=random_words)
        scene = lay_out(card, width, height)
        if scene is None:
            continue
        found = flaws(scene)
        if all(rng.random() < KEPT[flaw] for flaw in found):
            return scene
        if best is None or len(found) < fewest:
            best, fewest = scene, len(found)
    if best is not None:
        return best
    raise ConfigError(f"no card fits on {width} x {height}: use a larger canvas")
