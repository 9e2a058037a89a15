"""Editing pairs: an instruction, one or two source scenes, and the scene that must come out.

`sample_edit(random.Random(3))` picks a kind of edit, a scene to which it applies, and words for it. Nothing but what
the instruction says differs between source and target, so an unchanged region is exactly unchanged.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from inkwash.core.errors import ConfigError
from inkwash.scenes.caption import STYLE_WORDS, article, fill, place, templates, zone
from inkwash.scenes.card_edit import sample_card_edit
from inkwash.scenes.grammar import add_shape, sample_scene
from inkwash.scenes.lettering import grid_text, moved, reset, sample_free_text
from inkwash.scenes.levels import BASIC, CARD, POSTER, Level, find_level
from inkwash.scenes.scene import Box, Edit, Scene, ShapeItem, TextItem, fits, place_item
from inkwash.scenes.second import line_text, second_line, second_shape, usual_spots
from inkwash.scenes.words import check_split, sample_phrase, sample_word
from inkwash.scenes.world import (
    CELL,
    COLOR_NAMES,
    POSTER_FACES,
    SHAPE_STYLES,
    STYLES,
    shape_colors,
    text_colors,
)

KINDS = ("background", "recolor", "words", "add", "remove", "move", "combine", "style")
ATTEMPTS = 400


@dataclass(frozen=True, kw_only=True)
class _SceneSampler:
    """Where source scenes and new words come from."""

    width: int
    height: int
    split: str
    level: Level
    random_words: float

    def scene(self, rng: random.Random, regions: tuple[int, int] = (1, 2)) -> Scene:
        return sample_scene(
            rng,
            width=self.width,
            height=self.height,
            regions=regions,
            split=self.split,
            level=self.level.name,
            random_words=self.random_words,
        )

    def words(self, rng: random.Random) -> str:
        if self.level is BASIC:
            return sample_word(rng, self.split, min(8, self.width // CELL), self.random_words)
        if self.level is POSTER:
            texts = (line_text(rng, self.split, self.width // CELL, self.random_words) for _ in range(ATTEMPTS))
            return next(text for text in texts if text is not None)
        return sample_phrase(rng, self.split, random_words=self.random_words)

    def phrase(self, rng: random.Random, name: str, **slots: str) -> str:
        sentence = fill(rng.choice(templates(name, self.split)), **slots)
        return sentence[0].upper() + sentence[1:] if rng.random() < 0.7 else sentence


_Change = tuple[str, tuple[Scene, ...], Scene]  # instruction, sources, target


def name_shape(item: ShapeItem, rng: random.Random) -> str:
    """`the red star` or `the star`: a scene never holds two shapes of one kind."""
    return f"the {item.color} {item.shape}" if rng.random() < 0.6 else f"the {item.shape}"


def name_text(item: TextItem, scene: Scene, rng: random.Random) -> str:
    """`"SALE"`, `the word "SALE"`, or `the text` where there is only one."""
    names = [f'"{item.text}"', f'the text "{item.text}"', f'the word{"s" if " " in item.text else ""} "{item.text}"']
    return rng.choice([*names, "the text"] if len(scene.texts) == 1 else names)


def _without(scene: Scene, item: TextItem | ShapeItem) -> Scene:
    return replace(
        scene,
        objects=tuple(o for o in scene.objects if o is not item),
        texts=tuple(t for t in scene.texts if t is not item),
    )


def _with(scene: Scene, item: TextItem | ShapeItem) -> Scene:
    if isinstance(item, ShapeItem):
        return replace(scene, objects=(*scene.objects, item))
    return replace(scene, texts=tuple(sorted((*scene.texts, item), key=lambda t: (t.box[1], t.box[0]))))


def _instead(scene: Scene, old: TextItem | ShapeItem, new: TextItem | ShapeItem) -> Scene:
    """The scene with one item exchanged, the drawing order of the others kept."""
    if isinstance(old, ShapeItem) and isinstance(new, ShapeItem):
        return replace(scene, objects=tuple(new if o is old else o for o in scene.objects))
    return _with(_without(scene, old), new)


def _suits(scene: Scene, color: str) -> bool:
    """Whether everything of the scene can be seen on this background."""
    return all(t.color in text_colors(color) for t in scene.texts) and all(
        o.color in shape_colors(color) for o in scene.objects
    )


def _background(rng: random.Random, sampler: _SceneSampler) -> _Change | None:
    source = sampler.scene(rng)
    colors = [c for c in COLOR_NAMES if c != source.background and _suits(source, c)]
    if not colors:
        return None
    target = replace(source, background=rng.choice(colors))
    return sampler.phrase(rng, "BACKGROUND", C=target.background), (source,), target


def _recolor(rng: random.Random, sampler: _SceneSampler) -> _Change | None:
    source = sampler.scene(rng)
    item = rng.choice(source.items)
    choices = shape_colors(source.background) if isinstance(item, ShapeItem) else text_colors(source.background)
    colors = [c for c in choices if c != item.color]
    if not colors:
        return None
    target = _instead(source, item, replace(item, color=rng.choice(colors)))
    color = next(new.color for new in target.items if new not in source.items)
    if isinstance(item, ShapeItem):
        return sampler.phrase(rng, "RECOLOR_SHAPE", O=name_shape(item, rng), C=color), (source,), target
    return sampler.phrase(rng, "RECOLOR_TEXT", T=name_text(item, source, rng), C=color), (source,), target


def _words(rng: random.Random, sampler: _SceneSampler) -> _Change | None:
    source = sampler.scene(rng)
    item = rng.choice(source.texts)
    new = sampler.words(rng)
    made = reset(item, new, _without(source, item))
    if made is None or any(new.lower() == t.text.lower() for t in source.texts):
        return None
    if len(source.texts) == 1 and rng.random() < 0.5:
        sentence = sampler.phrase(rng, "WORDS_ONLY", W=f'"{new}"')
    else:
        sentence = sampler.phrase(rng, "WORDS", T=name_text(item, source, rng), W=f'"{new}"')
    return sentence, (source,), _instead(source, item, made)


def _new_text(rng: random.Random, sampler: _SceneSampler, scene: Scene) -> TextItem | None:
    if sampler.level is POSTER:
        return _new_line(rng, sampler, scene)
    if sampler.level is not BASIC:
        return sample_free_text(rng, scene, sampler.split, "en", sampler.random_words)
    word, face, color = sampler.words(rng), rng.choice(POSTER_FACES), rng.choice(text_colors(scene.background))
    col = (scene.cols - len(word)) // 2
    rows = list(range(scene.rows))
    rng.shuffle(rows)
    made = (grid_text(word, row, col, face=face, color=color) for row in rows)
    return next((item for item in made if fits(item, scene)), None)


def _new_line(rng: random.Random, sampler: _SceneSampler, scene: Scene) -> TextItem | None:
    line = second_line(rng, scene, sampler.split, "en", sampler.random_words)
    corners = usual_spots(scene, (line.box[2], line.box[3]))
    made = (moved(line, *corner) for corner in rng.sample(corners, len(corners)))
    return next((item for item in made if fits(item, scene)), None)


def _add(rng: random.Random, sampler: _SceneSampler) -> _Change | None:
    source = sampler.scene(rng, (1, 1) if sampler.level is BASIC else (1, 2))
    if rng.random() < 0.5:
        target = (
            second_shape(rng, source) if sampler.level is POSTER else add_shape(rng, source, level=sampler.level.name)
        )
        if target is source:
            return None
        shape = target.objects[-1]
        named, where = article(f"{shape.color} {shape.shape}"), place(shape.box, source, rng)
        return sampler.phrase(rng, "ADD_SHAPE", O=named, P=where), (source,), target
    text = _new_text(rng, sampler, source)
    if text is None or any(text.text.lower() == t.text.lower() for t in source.texts):
        return None
    where = f"in {text.color} {place(text.box, source, rng)}"
    return sampler.phrase(rng, "ADD_TEXT", W=f'"{text.text}"', P=where), (source,), _with(source, text)


def _remove(rng: random.Random, sampler: _SceneSampler) -> _Change | None:
    source = sampler.scene(rng)
    if len(source.items) < 2 or (source.style in SHAPE_STYLES and len(source.objects) < 2):
        return None
    item = rng.choice(source.items)
    named = name_shape(item, rng) if isinstance(item, ShapeItem) else name_text(item, source, rng)
    return sampler.phrase(rng, "REMOVE", O=named), (source,), _without(source, item)


def _destination(box: Box, scene: Scene) -> str:
    v, h = zone(box, scene)
    if h == "center":
        return "the middle" if v == "middle" else f"the {v}"
    return f"the {h}" if v == "middle" else f"the {v} {h}"


def _move(rng: random.Random, sampler: _SceneSampler) -> _Change | None:
    source = sampler.scene(rng)
    item = rng.choice(source.items)
    rest, here = _without(source, item), zone(item.box, source)
    size = item.box[2] - item.box[0], item.box[3] - item.box[1]
    step = 8 if sampler.level.free_shapes or size[1] % CELL else CELL

    def make(left: int, top: int) -> TextItem | ShapeItem:
        if isinstance(item, TextItem):
            return moved(item, left, top)
        return replace(item, box=(left, top, left + size[0], top + size[1]))

    def elsewhere(box: Box) -> bool:
        return zone(box, source) != here

    if sampler.level is POSTER:
        corners = usual_spots(source, size)
        there = (make(*corner) for corner in rng.sample(corners, len(corners)))
        new = next((made for made in there if elsewhere(made.box) and fits(made, rest)), None)
    else:
        new = place_item(rng, rest, make, size, step=step, accept=elsewhere)
    if new is None:
        return None
    named = name_shape(item, rng) if isinstance(item, ShapeItem) else name_text(item, source, rng)
    return (
        sampler.phrase(rng, "MOVE", O=named, D=_destination(new.box, source)),
        (source,),
        _instead(source, item, new),
    )


def _style(rng: random.Random, sampler: _SceneSampler) -> _Change | None:
    source = sampler.scene(rng)
    styles = [s for s in STYLES if s != source.style and (source.objects or s not in SHAPE_STYLES)]
    target = replace(source, style=rng.choice(styles))
    return sampler.phrase(rng, "STYLE", S=STYLE_WORDS[target.style]), (source,), target


def _combine(rng: random.Random, sampler: _SceneSampler) -> _Change | None:
    part = rng.choice(("shape", "text", "background"))
    first = sampler.scene(rng, (0, 0) if part == "text" else (1, 2))
    second = sampler.scene(rng)
    if first.style != second.style:
        return None
    sources = (first, second)
    if part == "background":
        if second.background == first.background or not _suits(first, second.background):
            return None
        return sampler.phrase(rng, "COMBINE_BACKGROUND"), sources, replace(first, background=second.background)
    if part == "text":
        if not all(t.color in text_colors(first.background) and fits(t, first) for t in second.texts):
            return None
        return sampler.phrase(rng, "COMBINE_TEXT"), sources, replace(first, texts=second.texts)
    if not second.objects:
        return None
    shape = rng.choice(second.objects)
    known = {o.shape for o in first.objects}
    if shape.shape in known or shape.color not in shape_colors(first.background) or not fits(shape, first):
        return None
    return sampler.phrase(rng, "COMBINE_SHAPE", O=name_shape(shape, rng)), sources, _with(first, shape)


_MAKERS: dict[str, Callable[[random.Random, _SceneSampler], _Change | None]] = {
    "background": _background,
    "recolor": _recolor,
    "words": _words,
    "add": _add,
    "remove": _remove,
    "move": _move,
    "combine": _combine,
    "style": _style,
}


def sample_edit(
    rng: random.Random,
    *,
    width: int = 256,
    height: int = 256,
    split: str = "train",
    level: str = "first",
    kinds: tuple[str, ...] | None = None,
    language: str = "en",
    random_words: float = 0.0,
) -> Edit:
    """An editing task of one of `kinds` (all of the level by default; `style` needs `full` or `second`).

    Level `card` has kinds of its own (`card_edit.KINDS`) and both languages.
    """
    check_split(split)
    chosen = find_level(level)
    allowed = KINDS if chosen.styled else tuple(kind for kind in KINDS if kind != "style")
    if chosen is CARD:
        return sample_card_edit(
            rng, width=width, height=height, split=split, kinds=kinds, language=language, random_words=random_words
        )
    kinds = kinds or allowed
    for kind in kinds:
        if kind not in allowed:
            raise ConfigError(f"unknown edit kind {kind!r} at level {level!r}: choose from {', '.join(allowed)}")
    kind = rng.choice(kinds)
    sampler = _SceneSampler(width=width, height=height, split=split, level=chosen, random_words=random_words)
    for _ in range(ATTEMPTS):
        change = _MAKERS[kind](rng, sampler)
        if change is not None:
            instruction, sources, target = change
            return Edit(instruction=instruction, kind=kind, sources=sources, target=target)
    raise ConfigError(f"no scene of {width} x {height} takes the edit {kind!r}: use a larger canvas")
