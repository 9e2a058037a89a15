"""Editing pairs of level `card`: a picture, what a person asks to have changed, and the picture that must come out.

What can stay in its place stays: a change is made in the scene itself, and only where that leaves no room is the
changed card laid out anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain

from inkwash.core.errors import ConfigError
from inkwash.scenes.card import CARD_STYLES, PLACES, THING_SIZES, Card, CardText, CardThing, visible_colors
from inkwash.scenes.card_edit_phrases import Slots, edit_instruction
from inkwash.scenes.card_layout import PANELLED, content_area, lay_out, thing_item, thing_side, wrap
from inkwash.scenes.card_sample import PANELS, apart, sample_card_scene
from inkwash.scenes.card_words import sample_content, suits
from inkwash.scenes.lettering import GRID_CAP, grid_text
from inkwash.scenes.scene import Box, Edit, Scene, ShapeItem, TextItem, ThingItem, intersect
from inkwash.scenes.words import check_split
from inkwash.scenes.world import CARD_COLORS, CELL, COLORS

ATTEMPTS = 400
Picture = ThingItem | ShapeItem
Change = tuple[str, Slots, tuple[Scene, ...], Scene]  # kind of the wording, its slots, sources, target


def _card(scene: Scene) -> Card:
    assert scene.card is not None
    return scene.card


def _with_pictures(scene: Scene, card: Card, pictures: Iterable[Picture]) -> Scene:
    kept = list(pictures)
    return replace(
        scene,
        card=card,
        things=tuple(item for item in kept if isinstance(item, ThingItem)),
        objects=tuple(item for item in kept if isinstance(item, ShapeItem)),
    )


def _relaid(scene: Scene, card: Card) -> Scene | None:
    """The changed card laid out anew; None where it does not fit or nothing can be seen of the change."""
    made = lay_out(card, scene.width, scene.height)
    same = made is not None and (made.texts, made.things, made.objects, made.structure) == (
        scene.texts, scene.things, scene.objects, scene.structure,
    )  # fmt: skip
    return None if same else made


def _readable(card: Card) -> bool:
    """Whether every text and shape can be told from the ground it stands on."""
    return all(text.color in visible_colors(card.ground_of(text)) for text in card.texts) and all(
        apart(thing.color, ground)
        for thing in card.things
        if thing.is_shape
        for ground in (card.background, card.ground)
    )


def _blocked(scene: Scene) -> list[Box]:
    """What a new item must not touch."""
    boxes = [item.box for item in (*scene.texts, *scene.pictures)]
    return [*boxes, scene.structure.box] if scene.structure.kind in (*PANELLED, "slide") else boxes


def _free(scene: Scene, box: Box) -> bool:
    top, left, bottom, right = content_area(_card(scene), scene.rows, scene.cols)
    inside = left * CELL <= box[0] and top * CELL <= box[1] and box[2] <= right * CELL and box[3] <= bottom * CELL
    return inside and not any(intersect(box, other) for other in _blocked(scene))


def _spots(scene: Scene, place: str, cells: int) -> list[tuple[int, int]]:
    """The (row, column) where a new thing at a place would stand, the usual one first."""
    top, left, bottom, right = content_area(_card(scene), scene.rows, scene.cols)
    middle_row, middle_col = (top + bottom - cells) // 2, (left + right - cells) // 2
    boxes = [item.box for item in (*scene.texts, *scene.pictures)]
    lowest = max((box[3] for box in boxes), default=0) // CELL
    highest = min((box[1] for box in boxes), default=scene.height) // CELL
    corners = [(bottom - cells, right - cells), (top, left), (top, right - cells), (bottom - cells, left)]
    return {
        "below": [(lowest + 1, middle_col), (lowest, middle_col)],
        "above": [(highest - cells - 1, middle_col), (highest - cells, middle_col)],
        "left": [(middle_row, left)],
        "right": [(middle_row, right - cells)],
        "corners": corners,
        "sides": [(middle_row, left), (middle_row, right - cells)],
    }[place]


def _added(scene: Scene, thing: CardThing, *, usual: bool = False) -> Scene | None:
    """The scene with one more thing: beside what is there, or laid out anew."""
    card = replace(_card(scene), things=(*_card(scene).things, thing))
    if not _readable(card):
        return None
    if thing.count == 1 and thing.place not in ("corners", "sides"):
        side = thing_side(thing)
        for place in ("below", "above") if usual else (thing.place,):
            for row, col in _spots(scene, place, side // CELL):
                item = thing_item(card, thing, row, col, side)
                if _free(scene, item.box):
                    return _with_pictures(scene, card, (*scene.pictures, item))
    return _relaid(scene, card)


def _without_thing(scene: Scene, gone: int) -> Scene:
    card = _card(scene)
    kept = tuple(thing for i, thing in enumerate(card.things) if i != gone)
    pictures = [
        replace(item, region=item.region - (item.region > gone)) for item in scene.pictures if item.region != gone
    ]
    return _with_pictures(scene, replace(card, things=kept), pictures)


def _some_thing(rng: random.Random, scene: Scene, *, shape: bool | None = None) -> int | None:
    things = enumerate(_card(scene).things)
    chosen = [i for i, thing in things if shape is None or thing.is_shape == shape]
    return rng.choice(chosen) if chosen else None


def _new_name(rng: random.Random, card: Card) -> str:
    there = {thing.thing for thing in card.things}
    return next(name for name in suits(card.genre, rng) if name not in there)


def _changed_thing(scene: Scene, at: int, new: CardThing) -> Card:
    card = _card(scene)
    return replace(card, things=tuple(new if i == at else thing for i, thing in enumerate(card.things)))


def _replace_thing(rng: random.Random, scene: Scene) -> Change | None:
    at = _some_thing(rng, scene)
    if at is None:
        return None
    old = _card(scene).things[at]
    new = replace(old, thing=_new_name(rng, _card(scene)), color="")
    pictures = [
        ThingItem(thing=new.thing, size=item.size, box=item.box, region=at) if item.region == at else item
        for item in scene.pictures
    ]
    target = _with_pictures(scene, _changed_thing(scene, at, new), pictures)
    return "replace_thing", {"thing": old, "new": new}, (scene,), target


def _add_thing(rng: random.Random, scene: Scene) -> Change | None:
    place = rng.choice(("", "", *PLACES))
    count = 2 if place in ("corners", "sides") else rng.choices((1, 2, 3), (8, 1, 1))[0]
    size = "small" if place == "corners" else "medium"
    name = _new_name(rng, _card(scene))
    new = CardThing(thing=name, count=count, place=place or "below", size=size)
    target = _added(scene, new, usual=not place)
    return None if target is None else ("add_thing", {"new": new, "place": place}, (scene,), target)


def _remove_thing(rng: random.Random, scene: Scene) -> Change | None:
    at = _some_thing(rng, scene)
    if at is None or len(_card(scene).things) + len(_card(scene).texts) < 2:
        return None
    return "remove_thing", {"thing": _card(scene).things[at]}, (scene,), _without_thing(scene, at)


def _move_thing(rng: random.Random, scene: Scene) -> Change | None:
    at = _some_thing(rng, scene)
    if at is None:
        return None
    thing = _card(scene).things[at]
    place = rng.choice([place for place in ("above", "below", "left", "right") if place != thing.place])
    target = _added(_without_thing(scene, at), replace(thing, place=place))
    if target is None:
        return None
    return "move_thing", {"thing": thing, "place": place}, (scene,), target


def _recolor_shape(rng: random.Random, scene: Scene) -> Change | None:
    at = _some_thing(rng, scene, shape=True)
    if at is None:
        return None
    old = _card(scene).things[at]
    color = rng.choice([name for name in COLORS if name != old.color])
    card = _changed_thing(scene, at, replace(old, color=color))
    if not _readable(card):
        return None
    pictures = [
        replace(item, color=color) if isinstance(item, ShapeItem) and item.region == at else item
        for item in scene.pictures
    ]
    return "recolor_shape", {"thing": old, "color": color}, (scene,), _with_pictures(scene, card, pictures)


def _count_thing(rng: random.Random, scene: Scene) -> Change | None:
    at = _some_thing(rng, scene)
    if at is None or _card(scene).things[at].place in ("corners", "sides"):
        return None
    old = _card(scene).things[at]
    new = replace(old, count=rng.choice([count for count in (1, 2, 3, 4) if count != old.count]))
    target = _relaid(scene, _changed_thing(scene, at, new))
    return None if target is None else ("count_thing", {"thing": old, "new": new}, (scene,), target)


def _resize(rng: random.Random, scene: Scene) -> Change | None:
    kind = rng.choice(("bigger", "smaller"))
    card = _card(scene)
    if card.texts and rng.random() < 0.5:
        at = rng.randrange(len(card.texts))
        size = "large" if kind == "bigger" else "small"
        changed = replace(card, texts=_put(card.texts, at, replace(card.texts[at], size=size)))
        target = _relaid(scene, changed)
        slots: Slots = {"text": card.texts[at].text}
        return None if target is None else (kind, slots, (scene,), target)
    chosen = _some_thing(rng, scene)
    if chosen is None:
        return None
    names, old = tuple(THING_SIZES), card.things[chosen]
    step = names.index(old.size) + (1 if kind == "bigger" else -1)
    if not 0 <= step < len(names):
        return None
    target = _relaid(scene, _changed_thing(scene, chosen, replace(old, size=names[step])))
    return None if target is None else (kind, {"thing": old}, (scene,), target)


def _put(texts: tuple[CardText, ...], at: int, new: CardText) -> tuple[CardText, ...]:
    return tuple(new if i == at else text for i, text in enumerate(texts))


def _new_words(rng: random.Random, card: Card, split: str, random_words: float, roles: tuple[str, ...]) -> str | None:
    content = sample_content(rng, card.genre, split=split, language=card.language, random_words=random_words)
    there = {text.text.lower() for text in card.texts}
    fresh = [text for text, role in content if role in roles and text.lower() not in there]
    return rng.choice(fresh) if fresh else None


def _words(rng: random.Random, scene: Scene, split: str, random_words: float) -> Change | None:
    card = _card(scene)
    if not card.texts:
        return None
    at = rng.randrange(len(card.texts))
    old = card.texts[at]
    words = _new_words(rng, card, split, random_words, (old.role,))
    if words is None:
        return None
    changed = replace(card, texts=_put(card.texts, at, replace(old, text=words)))
    target = _reset(scene, changed, at) or _relaid(scene, changed)
    if target is None:
        return None
    if len(card.texts) == 1 and rng.random() < 0.5:
        return "words_only", {"words": words}, (scene,), target
    return "words", {"text": old.text, "words": words}, (scene,), target


def _reset(scene: Scene, card: Card, at: int) -> Scene | None:
    """The scene with other words in the lines of one text, where they need as many lines and fit."""
    old = [item for item in scene.texts if item.region == at]
    step = old[0].size // GRID_CAP
    left, right = min(item.box[0] for item in old) // CELL, max(item.box[2] for item in old) // CELL
    area = content_area(card, scene.rows, scene.cols)
    lines = wrap(card.texts[at].text, (area[3] - area[1]) // step)
    if len(lines) != len(old):
        return None
    rest = replace(scene, card=card, texts=tuple(item for item in scene.texts if item.region != at))
    made: list[TextItem] = []
    for line, item in zip(lines, old, strict=True):
        aligned = card.structure == "slide" and card.texts[at].role != "title"
        col = left if aligned else (left + right - step * len(line)) // 2
        new = grid_text(line, item.box[1] // CELL, max(0, col), face=item.face, color=item.color, size=item.size)
        if card.structure in ("post", "bubble") and len(line) > len(item.text):
            return None  # the panel is as wide as the texts
        if not area[1] <= new.box[0] // CELL or new.box[2] // CELL > area[3]:
            return None
        if any(intersect(new.box, other.box) for other in (*rest.texts, *rest.pictures)):
            return None
        made.append(replace(new, region=at))
    texts = sorted((*rest.texts, *made), key=lambda item: (item.region, item.box[1]))
    return replace(rest, texts=tuple(texts))


def _add_text(rng: random.Random, scene: Scene, split: str, random_words: float) -> Change | None:
    card = _card(scene)
    words = _new_words(rng, card, split, random_words, ("line", "detail"))
    if words is None:
        return None
    face = card.texts[-1].face if card.texts else "cjk" if card.language == "zh" else "wide"
    new = CardText(text=words, role="detail", color="black", face=face, size="small")
    colors = visible_colors(card.ground_of(new))
    used = [text.color for text in card.texts if text.color in colors]
    new = replace(new, color=used[-1] if used else "black" if "black" in colors else "white")
    target = _relaid(scene, replace(card, texts=(*card.texts, new)))
    return None if target is None else ("add_text", {"words": words}, (scene,), target)


def _remove_text(rng: random.Random, scene: Scene, *_: object) -> Change | None:
    card = _card(scene)
    if len(card.texts) < 2 or scene.structure.kind in PANELLED:
        return None
    at = rng.randrange(1, len(card.texts)) if card.structure == "slide" else rng.randrange(len(card.texts))
    kept = tuple(replace(t, region=t.region - (t.region > at)) for t in scene.texts if t.region != at)
    changed = replace(card, texts=tuple(text for i, text in enumerate(card.texts) if i != at))
    return "remove_text", {"text": card.texts[at].text}, (scene,), replace(scene, card=changed, texts=kept)


def _recolor_text(rng: random.Random, scene: Scene) -> Change | None:
    card = _card(scene)
    if not card.texts:
        return None
    at = rng.randrange(len(card.texts))
    every = rng.random() < 0.3 or len(card.texts) == 1
    chosen = range(len(card.texts)) if every else (at,)
    colors = set.intersection(*(set(visible_colors(card.ground_of(card.texts[i]))) for i in chosen))
    colors -= {card.texts[i].color for i in chosen}
    if not colors:
        return None
    color = rng.choice(sorted(colors))
    texts = tuple(replace(text, color=color) if i in chosen else text for i, text in enumerate(card.texts))
    lines = tuple(replace(item, color=color) if item.region in chosen else item for item in scene.texts)
    target = replace(scene, card=replace(card, texts=texts), texts=lines)
    slots: Slots = {"color": color} if every else {"text": card.texts[at].text, "color": color}
    return "recolor_all" if every else "recolor_text", slots, (scene,), target


def _background(rng: random.Random, scene: Scene) -> Change | None:
    if scene.structure.kind == "chalkboard":
        return None
    color = rng.choice([name for name in CARD_COLORS if name not in (scene.background, scene.structure.color)])
    card = replace(_card(scene), background=color)
    if not _readable(card):
        return None
    return "background", {"color": color}, (scene,), replace(scene, card=card, background=color)


def _panel(rng: random.Random, scene: Scene) -> Change | None:
    card = _card(scene)
    if not card.panel or card.structure == "chalkboard":
        return None
    colors = [name for name in PANELS[card.structure] if name not in (card.panel, card.background)]
    if not colors:
        return None
    card = replace(card, panel=rng.choice(colors))
    if not _readable(card):
        return None
    target = replace(scene, card=card, structure=replace(scene.structure, color=card.panel))
    return "panel", {"structure": card.structure, "color": card.panel}, (scene,), target


def _style(rng: random.Random, scene: Scene) -> Change | None:
    if scene.structure.kind in ("chalkboard", "slide"):
        return None
    style = rng.choice([style for style in CARD_STYLES if style != scene.style])
    return "style", {"style": style}, (scene,), replace(scene, style=style, card=replace(_card(scene), style=style))


def _structure(rng: random.Random, scene: Scene) -> Change | None:
    card = _card(scene)
    if card.structure != "plain" or not card.texts:
        return None
    kind = rng.choice([kind for kind in ("frame", *PANELS) if kind not in ("chalkboard", "slide")])
    panels = [name for name in PANELS.get(kind, ("",)) if name != card.background]
    card = replace(card, structure=kind, panel=panels[0])
    target = _relaid(scene, card) if _readable(card) else None
    return None if target is None else ("structure", {"structure": kind}, (scene,), target)


def _combine(rng: random.Random, scene: Scene, other: Scene) -> Change | None:
    card, second = _card(scene), _card(other)
    kind = rng.choice(("combine_thing", "combine_thing", "combine_text", "combine_background"))
    if kind == "combine_background":
        changed = replace(card, background=second.background, style=second.style)
        plain = scene.structure.kind != "chalkboard" and second.structure != "chalkboard"
        if not plain or not _readable(changed) or changed == card or changed.panel == changed.background:
            return None
        return kind, {}, (scene, other), replace(scene, card=changed, background=second.background, style=second.style)
    if kind == "combine_text":
        changed = replace(card, texts=second.texts, language=second.language)
        target = _relaid(scene, changed) if second.texts and _readable(changed) else None
        return None if target is None else (kind, {}, (scene, other), target)
    at = _some_thing(rng, other)
    if at is None or any(thing.thing == second.things[at].thing for thing in card.things):
        return None
    thing = replace(second.things[at], place="below", count=1, size="medium")
    target = _added(scene, thing, usual=True)
    return None if target is None else (kind, {"thing": thing}, (scene, other), target)


PLAIN_MAKERS: dict[str, Callable[[random.Random, Scene], Change | None]] = {
    "replace_thing": _replace_thing,
    "add_thing": _add_thing,
    "remove_thing": _remove_thing,
    "move_thing": _move_thing,
    "recolor_shape": _recolor_shape,
    "count_thing": _count_thing,
    "resize": _resize,
    "recolor_text": _recolor_text,
    "background": _background,
    "panel": _panel,
    "style": _style,
    "structure": _structure,
}
WORD_MAKERS: dict[str, Callable[[random.Random, Scene, str, float], Change | None]] = {
    "words": _words,
    "add_text": _add_text,
    "remove_text": _remove_text,
}
KINDS = (*PLAIN_MAKERS, *WORD_MAKERS, "combine")
WEIGHTS = {"words": 5, "background": 3, "replace_thing": 3, "add_thing": 3, "recolor_text": 2, "remove_thing": 2}


def sample_card_edit(
    rng: random.Random,
    *,
    width: int,
    height: int,
    split: str = "train",
    kinds: tuple[str, ...] | None = None,
    language: str = "en",
    random_words: float = 0.0,
) -> Edit:
    """An editing task of one of `kinds` (all by default, the commonest wishes more often) for cards of a language."""
    check_split(split)
    for kind in kinds or ():
        if kind not in KINDS:
            raise ConfigError(f"unknown edit kind {kind!r} at level 'card': choose from {', '.join(KINDS)}")
    chosen = kinds or tuple(chain.from_iterable([kind] * WEIGHTS.get(kind, 1) for kind in KINDS))
    kind = rng.choice(chosen)

    def card_scene() -> Scene:
        return sample_card_scene(
            rng, width=width, height=height, split=split, language=language, random_words=random_words
        )

    for _ in range(ATTEMPTS):
        scene = card_scene()
        if kind == "combine":
            change = _combine(rng, scene, card_scene())
        elif kind in PLAIN_MAKERS:
            change = PLAIN_MAKERS[kind](rng, scene)
        else:
            change = WORD_MAKERS[kind](rng, scene, split, random_words)
        if change is not None:
            wording, slots, sources, target = change
            spoken = language if language == "en" or rng.random() < 0.75 else "en"
            instruction = edit_instruction(wording, slots, rng, split, spoken)
            return Edit(instruction=instruction, kind=kind, sources=sources, target=target)
    raise ConfigError(f"no card of {width} x {height} takes the edit {kind!r}: use a larger canvas")
