"""Does this picture show that card? Background, structure, style, things with their counts and places, text colours.

`check_card(image, scene)` asks for everything, at its place. With `named` (what `card_prompts.describe_card` says the
prompt named) it asks for what the prompt asked. Words are read by OCR elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from einops import repeat
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from inkwash.scenes.card import CARD_STYLES, CardThing
from inkwash.scenes.recognize import find_things
from inkwash.scenes.render import render
from inkwash.scenes.scene import PLAIN, Box, Scene, ShapeItem, ThingItem, covered_cells
from inkwash.scenes.segment import color_ids, components
from inkwash.scenes.structures import ground_ids
from inkwash.scenes.world import CARD_COLORS, CARD_TEXT_COLORS, CELL, SHAPES

BORDER = 6  # pixels along the canvas's edge that show the background
MIN_IOU = 0.72  # of a shape, as in `check`
NEAR = 0.17  # of the canvas's side: how far a thing may stand from its place
ANYWHERE_SHARE = 0.003  # of the pixels that a colour of letters has at least
INKED = 0.97  # quantile of the distance from the ground above which a pixel of a line is ink
NAMES = tuple(CARD_COLORS)
PALETTE = np.array(list(CARD_COLORS.values()), dtype=np.float32)
TEXT_IDS = tuple(NAMES.index(name) for name in CARD_TEXT_COLORS)

Pixels = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ThingCheck:
    """What was found of one thing (or flat shape) of a card."""

    there: bool
    count_ok: bool
    place_ok: bool


@dataclass(frozen=True, kw_only=True)
class CardCheck:
    """`background` is the colour found; `things` and `text_colors` follow the card's own order."""

    background: str
    background_ok: bool
    structure_ok: bool
    style_ok: bool
    things: tuple[ThingCheck, ...]
    text_colors: tuple[bool, ...]

    @property
    def ok(self) -> bool:
        things = all(one.there and one.count_ok and one.place_ok for one in self.things)
        return self.background_ok and self.structure_ok and self.style_ok and things and all(self.text_colors)


def check_card(image: Image.Image, scene: Scene, *, named: Collection[str] | None = None) -> CardCheck:
    """Hold a picture (any size; scaled to the scene's) against a scene that was laid out from a card."""
    assert scene.card is not None
    image = image.convert("RGB")
    if image.size != (scene.width, scene.height):
        image = image.resize((scene.width, scene.height), Image.Resampling.BICUBIC)
    pixels: Pixels = np.asarray(image.filter(ImageFilter.MedianFilter(3)), dtype=np.float32)

    def is_named(name: str) -> bool:
        return named is None or name in named

    background = _background(pixels, scene)
    found = find_things(image)
    return CardCheck(
        background=background,
        background_ok=not is_named("background") or background == scene.background,
        structure_ok=not is_named("structure") or _structure_ok(pixels, scene),
        style_ok=not is_named("style") or _style(pixels, scene) == scene.style,
        things=tuple(
            _thing_ok(image, scene, i, thing, found, exact=named is None, placed=is_named(f"thing{i}.place"))
            for i, thing in enumerate(scene.card.things)
        ),
        text_colors=tuple(
            not is_named(f"text{i}.color") or _text_color_ok(pixels, scene, i, exact=named is None)
            for i in range(len(scene.card.texts))
        ),
    )


def _nearest(pixels: Pixels, choices: Sequence[int]) -> NDArray[np.intp]:
    """The index in `choices` of the nearest named colour of each pixel (..., 3)."""
    palette = PALETTE[list(choices)]
    distances: NDArray[np.float32] = (palette**2).sum(axis=1) - 2 * (pixels @ palette.T)
    return distances.argmin(axis=-1)


def _background(pixels: Pixels, scene: Scene) -> str:
    """The commonest colour along the canvas's edge; on a chalkboard, whose frame stands there, of its inside."""
    if scene.structure.kind == "chalkboard":
        visible = pixels[CELL // 2 + BORDER : CELL * 2, CELL:-CELL].reshape(-1, 3)
    else:
        edge = np.ones(pixels.shape[:2], dtype=bool)
        edge[BORDER:-BORDER, BORDER:-BORDER] = False
        free = edge & (ground_ids(scene) < 0)  # a band may cover most of it
        visible = pixels[free if free.any() else edge]
    counts = np.bincount(_nearest(visible, range(len(NAMES))), minlength=len(NAMES))
    return NAMES[int(counts.argmax())]


def _bare(scene: Scene) -> NDArray[np.bool_]:
    """(height, width): pixels of cells without content."""
    bare = np.ones((scene.rows, scene.cols), dtype=bool)
    for box in [*(text.box for text in scene.texts), *(picture.box for picture in scene.pictures)]:
        for row, col in covered_cells(box):
            bare[row, col] = False
    return repeat(bare, "h w -> (h a) (w b)", a=CELL, b=CELL)


def _ground(scene: Scene) -> Pixels:
    """The picture of a scene without anything on it."""
    return np.asarray(render(replace(scene, texts=(), things=(), objects=())), dtype=np.float32)


def _structure_ok(pixels: Pixels, scene: Scene) -> bool:
    """Whether the ground, where the structure covers it, looks more like the structure than like the background."""
    covered = (ground_ids(scene) >= 0) & _bare(scene)
    if scene.structure.kind == "plain" or not covered.any():
        return True
    here = pixels[covered]
    with_it = np.abs(here - _ground(scene)[covered]).mean()
    without = np.abs(here - _ground(replace(scene, structure=PLAIN))[covered]).mean()
    return bool(with_it < without)


def _style(pixels: Pixels, scene: Scene) -> str:
    """The style whose ground is nearest where the background shows, light and dark judged apart from its colour."""
    bare = (ground_ids(scene) < 0) & _bare(scene)
    if not bare.any():
        return scene.style

    def pattern(values: Pixels) -> Pixels:
        here = values[bare]
        return here - here.mean(axis=0)

    wanted = pattern(pixels)
    distances = {
        style: float(((wanted - pattern(_ground(replace(scene, style=style)))) ** 2).mean()) for style in CARD_STYLES
    }
    return min(CARD_STYLES, key=lambda style: distances[style])


def _centers(boxes: Sequence[Box]) -> list[tuple[float, float]]:
    return [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in boxes]


def _thing_ok(
    image: Image.Image,
    scene: Scene,
    index: int,
    thing: CardThing,
    found: Sequence[tuple[str, Box]],
    *,
    exact: bool,
    placed: bool,
) -> ThingCheck:
    """Whether the thing is there, as often as asked, and near the places that the layout gives it."""
    items: Sequence[ThingItem | ShapeItem] = scene.objects if thing.is_shape else scene.things
    wanted = [item.box for item in items if item.region == index]
    here = _shapes(image, scene, thing) if thing.is_shape else [box for name, box in found if name == thing.thing]
    reach = NEAR * max(scene.width, scene.height)
    centers = _centers(here)
    near = all(
        any(abs(x - a) <= reach and abs(y - b) <= reach for a, b in centers) for x, y in _centers(wanted)
    )  # fmt: skip
    return ThingCheck(
        there=bool(here), count_ok=len(here) == len(wanted), place_ok=(near if exact or placed else True) and bool(here)
    )


def _shapes(image: Image.Image, scene: Scene, thing: CardThing) -> list[Box]:
    """The boxes of the flat shapes of a kind and colour."""
    ids = color_ids(image)
    regions = {
        box for ground in {scene.background, scene.structure.color} - {""} for box in _of_kind(ids, ground, thing)
    }
    return sorted(regions)


def _of_kind(ids: NDArray[np.int64], ground: str, thing: CardThing) -> list[Box]:
    found = components(ids, ground, "flat", SHAPES)
    return [one.box for one in found if one.shape == thing.thing and one.color == thing.color and one.iou >= MIN_IOU]


def _text_color_ok(pixels: Pixels, scene: Scene, index: int, *, exact: bool) -> bool:
    """Whether letters of the text's colour are there: in its lines or, where places are free, anywhere."""
    assert scene.card is not None
    text = scene.card.texts[index]
    ground = NAMES.index(scene.card.ground_of(text))
    choices = [*TEXT_IDS, *([] if ground in TEXT_IDS else [ground])]
    wanted = choices.index(NAMES.index(text.color))
    if not exact:
        return bool((_nearest(pixels, choices) == wanted).mean() > ANYWHERE_SHARE)
    lines = [item.box for item in scene.texts if item.region == index]
    inside = np.concatenate([pixels[top:bottom, left:right].reshape(-1, 3) for left, top, right, bottom in lines])
    distance = ((inside - PALETTE[ground]) ** 2).sum(axis=1)
    ink: Pixels = np.median(inside[distance >= np.quantile(distance, INKED)], axis=0)
    return bool(_nearest(ink, choices) == wanted)
