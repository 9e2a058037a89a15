"""Pictures of things on cards: 140 named drawings, their names in English and Chinese, and their pixels.

The table and the pictures are in `inkwash/assets/things` with their notice. The order of the table is part of the
label contract of `labels.py` (a label is an index into it), so append only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from PIL import Image

from inkwash.core.errors import MediaError

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "things"
VARIATION_SELECTOR = "\ufe0f"  # a heart is the same thing with and without it


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One thing that can be drawn.

    `name` is its canonical English singular in lower case; `zh` lists Chinese names, the best one first;
    `measure` is the Chinese measure word that counts it.
    """

    name: str
    plural: str
    synonyms: tuple[str, ...]
    zh: tuple[str, ...]
    measure: str
    group: str
    emoji: str


def _read_things() -> tuple[Thing, ...]:
    head, *rows = (FOLDER / "things.tsv").read_text(encoding="utf-8").splitlines()
    things = []
    for row in rows:
        fields = dict(zip(head.split("\t"), row.split("\t"), strict=True))
        synonyms, zh = _listed(fields.pop("synonyms")), _listed(fields.pop("zh"))
        things.append(Thing(synonyms=synonyms, zh=zh, **fields))
    return tuple(things)


def _listed(field: str) -> tuple[str, ...]:
    return tuple(name for name in field.split(",") if name)


THINGS = _read_things()
THING_NAMES = tuple(thing.name for thing in THINGS)
THING_IDS = {name: i for i, name in enumerate(THING_NAMES)}


def _key(text: str) -> str:
    return " ".join(text.replace(VARIATION_SELECTOR, "").replace("’", "'").casefold().split())


@cache
def _by_any_name() -> dict[str, Thing]:
    found: dict[str, Thing] = {}
    for thing in THINGS:
        for text in (thing.name, thing.plural, *thing.synonyms, *thing.zh, thing.emoji):
            found[_key(text)] = thing
    for thing in THINGS:  # plurals of synonyms last: a listed name always wins
        for text in thing.synonyms:
            found.setdefault(_plural(_key(text)), thing)
    return found


def _plural(noun: str) -> str:
    head, of, rest = noun.partition(" of ")
    if head.endswith(("s", "x", "ch", "sh")):
        head += "es"
    elif head.endswith("y") and head[-2:-1] not in "aeiou":
        head = head[:-1] + "ies"
    else:
        head += "s"
    return head + of + rest


def thing_named(text: str) -> Thing | None:
    """The thing that is called so (name, synonym, plural, Chinese name or emoji, in any case), or None."""
    return _by_any_name().get(_key(text))


@cache
def _stored(name: str) -> Image.Image:
    if name not in THING_IDS:
        raise MediaError(f"unknown thing {name!r}: choose one of scenes.things.THING_NAMES, such as {THING_NAMES[0]!r}")
    with Image.open(FOLDER / f"{name.replace(' ', '-')}.webp") as picture:
        return picture.convert("RGBA")


@lru_cache(maxsize=1024)
def thing_image(name: str, size: int) -> Image.Image:
    """A size x size RGBA picture of a thing by its canonical name, with a 4 % margin around what is visible.

    The picture is shared by all callers: paste it, do not draw into it.
    """
    if size < 1:
        raise MediaError(f"thing size {size} is too small: use 1 or more pixels")
    return _stored(name).resize((size, size), Image.Resampling.LANCZOS)
