"""What a model trained on a level of the scenes can draw, for the limits block of its checkpoint.

The values are those of `models.glm_image.folder.Abilities`, taken from the tables that training pictures and
captions come from, so that the block stays true when a table grows.
"""

from __future__ import annotations

import string
from typing import Any

from inkwash.scenes import caption, caption_zh, phrases, second
from inkwash.scenes.card import CARD_STYLES
from inkwash.scenes.card_genres import GENRES
from inkwash.scenes.card_genres_zh import ZH_NOUNS
from inkwash.scenes.card_lexicon import ENGLISH
from inkwash.scenes.card_lexicon_eu import FRENCH, GERMAN, SPANISH
from inkwash.scenes.card_lexicon_zh import CHINESE
from inkwash.scenes.card_words import LATIN_TEXT
from inkwash.scenes.things import THING_NAMES, THINGS
from inkwash.scenes.words import characters
from inkwash.scenes.world import CARD_COLORS, CARD_FACES, CELL, COLOR_NAMES, SECOND_FACES, SHAPES, STRUCTURES, STYLES

GERMAN_ENDINGS = ("e", "er", "es", "en", "em")  # ein blauer Hintergrund, auf blauem Hintergrund
ENGLISH_TOO = {"or", "rose"}  # French colours that mean another thing in English
SECOND_SIGNS = "!?&%$#."
POSTER_NOUNS = {"poster": "海报", "picture": "图片", "sign": "标牌", "card": "卡片", "banner": "横幅", "cover": "封面"}
STYLE_NAMES = {
    "outlined": ["outlined shapes"],
    "shadowed": ["drop shadows", "drop shadow"],
    "framed": ["frame"],
    "paper": ["textured paper"],
    "pixelated": ["pixel art"],
    "sketch": ["hatched sketch"],
}


def second_limits() -> dict[str, Any]:
    """Of level `second`: nano's second edition."""
    styles = {style: [*STYLE_NAMES.get(style, ()), *_listed(caption_zh.STYLES.get(style))] for style in STYLES}
    faces = {face: [*caption.FACE_WORDS[face], caption_zh.FACES[face]] for face in (*SECOND_FACES, "cjk")}
    return {
        "pictures": {noun: _listed(POSTER_NOUNS.get(noun)) for noun in phrases.NOUNS},
        "things": {shape: [caption_zh.SHAPES[shape]] for shape in SHAPES},
        "colors": {
            name: [*(word for word in caption.COLOR_WORDS.get(name, ()) if word != name), caption_zh.COLORS[name]]
            for name in COLOR_NAMES
        },
        "styles": styles | faces,
        "alphabet": string.ascii_letters + string.digits + SECOND_SIGNS + characters(),
        "lettering": {
            "cell": CELL,
            "large_cell": 2 * CELL,
            "large_words": [*dict.fromkeys(caption.LARGE), "大号"],
            "lines": 5,
            "wraps": False,
        },
        "sizes": {"shortest": 128, "longest": 768, "aspect": 3.0},
        "languages": ["en", "zh"],
        "most_things": max(second.SHAPES_IN_SCENE[0]),
        "photographs": False,
    }


def card_limits() -> dict[str, Any]:
    """Of level `card`: nano's third edition."""
    lexicons = (ENGLISH, CHINESE)

    def words(field: str, name: str) -> list[str]:
        found = [word for lexicon in lexicons for word in getattr(lexicon, field).get(name, ())]
        return [word for word in dict.fromkeys(found) if word != name]

    styles = {
        **{name: words("styles", name) for name in CARD_STYLES},
        **{f"{name} structure": words("structures", name) for name in STRUCTURES},
        **{face: words("faces", face) for face in CARD_FACES},
    }
    return {
        "pictures": {genre.nouns[0]: [*genre.nouns[1:], *_zh_nouns(name)] for name, genre in GENRES.items()},
        "things": {thing.name: [thing.plural, *thing.synonyms, *thing.zh] for thing in THINGS}
        | {shape: [*ENGLISH.shapes[shape], *CHINESE.shapes[shape]] for shape in SHAPES if shape not in THING_NAMES},
        "colors": {
            name: list(dict.fromkeys([*words("colors", name), *_european_colors(name)])) for name in CARD_COLORS
        },
        "styles": styles,
        "alphabet": LATIN_TEXT.replace(" ", "") + "".join(c for c in characters() if c not in LATIN_TEXT),
        "lettering": {
            "cell": CELL,
            "large_cell": 2 * CELL,
            "large_words": [*dict.fromkeys((*ENGLISH.sizes["large"], *CHINESE.sizes["large"]))],
            "lines": 16,
            "wraps": True,
        },
        "sizes": {"shortest": 256, "longest": 512, "aspect": 2.0},
        "languages": ["en", "zh", "de", "fr", "es"],
        "most_things": 12,
        "photographs": False,
    }


def _european_colors(name: str) -> list[str]:
    """German, French and Spanish words of a colour, German ones in all their endings; none that English knows."""
    plain = [word for lexicon in (GERMAN, FRENCH, SPANISH) for word in lexicon.colors[name]]
    adjectives = [word for word in GERMAN.colors[name] if word[-1] not in "ae" and word != "gold"]
    ended = [word + ending for word in adjectives for ending in GERMAN_ENDINGS]
    return [word for word in (*plain, *ended) if word not in ENGLISH_TOO and word != name]


def _zh_nouns(genre: str) -> list[str]:
    """Chinese nouns of a genre and, since a language without spaces joins them, their last two characters alone."""
    nouns = ZH_NOUNS.get(genre, ())
    return list(dict.fromkeys([*nouns, *(noun[-2:] for noun in nouns)]))


def _listed(word: str | None) -> list[str]:
    return [] if word is None else [word]
