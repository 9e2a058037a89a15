"""Level `second`: one to five lines of one to six words in grid lettering of two sizes, in every case, and Chinese.

Everything has one usual place, and a prompt names the place of what stands elsewhere. Left free, a line would begin in
each row with a small probability, which nucleus sampling cuts off. Lines that nobody placed are stacked about the
middle; a placed line stands at the top, in the middle or at the bottom, at the left, centred or at the right.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from inkwash.scenes.lettering import GRID_CAP, grid_text
from inkwash.scenes.scene import Box, Scene, ShapeItem, TextItem, fits
from inkwash.scenes.words import characters, random_word, sample_cased, words
from inkwash.scenes.world import CELL, SECOND_FACES, SHAPE_SIZES, SHAPES, shape_colors, text_colors

PATTERNS = (
    "{w}!", "{w}?", "{w} & {w}", "{n} {w}", "{w} {n}%", "${n}.{m}", "{w} #{n}", "{w} {n}", "{w} {w}!", "{w} {w} {n}",
)  # fmt: skip
ZH_PATTERNS = ("{w}", "{w}", "{w}", "{w}{n}", "{n}%{w}", "{w}{w}")
ZH_TEXT_COLORS = ("white", "black", "red", "blue", "yellow")
LARGE_RATE = 0.3
STACKED_RATE = 0.65
SIGNED_RATE = 0.35  # lines with digits or signs
WORDS_IN_LINE = ((1, 2, 3, 4, 5, 6), (40, 26, 14, 8, 6, 6))
SHAPES_IN_SCENE = ((0, 1, 2), (5, 4, 2))
TRIES = 30


def usual_box(shape: ShapeItem, scene: Scene, *, upper: bool | None = None) -> Box:
    """Where a shape stands when nobody asked for a place: the middle of the canvas's upper or lower edge."""
    cells = -(-shape.size // CELL)
    if upper is None:
        upper = shape.box[1] + shape.box[3] <= scene.height
    row = max(0, 2 - cells) // 2 if upper else scene.rows - cells
    left, top = (scene.cols - cells) // 2 * CELL, row * CELL
    return left, top, left + shape.size, top + shape.size


def stack(scene: Scene, lines: Sequence[TextItem]) -> tuple[TextItem, ...] | None:
    """The lines below each other about the middle, with free rows between if there is room; None if they do not fit."""
    steps = [line.size // GRID_CAP for line in lines]
    gap = 1 if sum(steps) + len(lines) - 1 <= scene.rows else 0
    row = (scene.rows - sum(steps) - gap * (len(lines) - 1)) // 2
    if row < 0:
        return None
    placed = []
    for line, step in zip(lines, steps, strict=True):
        placed.append(_at(line, row, (scene.cols - step * len(line.text)) // 2))
        row += step + gap
    return tuple(placed)


def usual_items(scene: Scene) -> frozenset[TextItem | ShapeItem]:
    """The items of a scene that stand where nobody asked for a place."""
    texts = scene.texts if scene.texts == stack(scene, scene.texts) else ()
    return frozenset((*texts, *(shape for shape in scene.objects if shape.box == usual_box(shape, scene))))


def _at(line: TextItem, row: int, col: int) -> TextItem:
    return grid_text(line.text, row, col, face=line.face, color=line.color, size=line.size)


def _spread(rng: random.Random, scene: Scene, lines: Sequence[TextItem]) -> tuple[TextItem, ...] | None:
    """The lines in different thirds of the canvas, each at one of its three usual columns."""
    thirds = sorted(rng.sample(range(3), len(lines)))
    placed = []
    for line, third in zip(lines, thirds, strict=True):
        step = line.size // GRID_CAP
        space, low = scene.cols - step * len(line.text), scene.rows - step
        edge = 1 if scene.rows >= 8 else 0
        placed.append(_at(line, (edge, low // 2, low - edge)[third], rng.choice((space // 2, space // 2, 0, space))))
    apart = all(a.box[3] <= b.box[1] for a, b in pairwise(placed))
    return tuple(placed) if apart else None


def usual_spots(scene: Scene, size: tuple[int, int]) -> list[tuple[int, int]]:
    """The (left, top) of a box of (width, height) in each ninth of the canvas, where things are put that are moved."""
    edge = CELL if scene.rows >= 8 and size[1] < 2 * CELL else 0
    columns = (0, (scene.width - size[0]) // 2 // CELL * CELL, scene.width - size[0])
    rows = (edge, (scene.height - size[1]) // 2 // CELL * CELL, scene.height - size[1] - edge)
    return [(left, top) for top in rows for left in columns if left >= 0 and top >= 0]


def line_text(rng: random.Random, split: str, longest: int, random_words: float) -> str | None:
    """One to six words of one case, maybe with digits and signs, of at most `longest` characters."""
    style = rng.choices((0, 1, 2), (4, 3, 3))[0]
    if rng.random() < SIGNED_RATE:
        pattern = rng.choice(PATTERNS)
    else:
        pattern = " ".join(["{w}"] * rng.choices(*WORDS_IN_LINE)[0])
    count = pattern.count("{w}")
    space = (longest - (len(pattern) - 3 * count)) // max(1, count)  # a price has no words
    if space < 3:
        return None
    for _ in range(count):
        pattern = pattern.replace("{w}", sample_cased(rng, split, min(8, space), style, random_words), 1)
    text = pattern.replace("{n}", str(rng.randint(1, 99))).replace("{m}", f"{rng.randint(0, 59):02d}")
    return text if len(text) <= longest else None


def _chinese_text(rng: random.Random, split: str) -> str:
    text = rng.choice(ZH_PATTERNS).replace("{n}", str(rng.randint(1, 99)))
    while "{w}" in text:
        text = text.replace("{w}", rng.choice(words(split, 1, 8, "zh")), 1)
    return text


def second_line(rng: random.Random, scene: Scene, split: str, language: str, random_words: float) -> TextItem:
    size = GRID_CAP * 2 if language == "en" and scene.cols >= 6 and rng.random() < LARGE_RATE else GRID_CAP
    longest = scene.cols // (size // GRID_CAP)
    colors = text_colors(scene.background)
    for _ in range(TRIES):
        if language == "zh":
            text: str | None = _chinese_text(rng, split)
            if rng.random() < random_words:
                text = random_word(rng, 6, 2, characters())  # in any order, which teaches copying
        else:
            text = line_text(rng, split, longest, random_words)
        if text is not None and len(text) <= longest:
            break
    else:
        text = rng.choice(words(split, 3, 4)).upper()[: min(longest, 4)]
    if language == "zh":
        colors = tuple(color for color in colors if color in ZH_TEXT_COLORS)
    face = "cjk" if language == "zh" else "wide" if size > GRID_CAP else rng.choice(SECOND_FACES)
    return grid_text(text, 0, 0, face=face, color=rng.choice(colors), size=size)


def second_texts(
    rng: random.Random, scene: Scene, count: int, split: str, language: str, random_words: float
) -> Scene | None:
    """The scene with `count` lines, stacked or spread; None when they do not fit."""
    lines: list[TextItem] = []
    for _ in range(TRIES):
        if len(lines) == count:
            break
        line = second_line(rng, scene, split, language, random_words)
        if all(line.text.lower() != other.text.lower() for other in lines):
            lines.append(line)
    if len(lines) < count:
        return None
    if 0 < count <= 3 and rng.random() >= STACKED_RATE:
        texts = _spread(rng, scene, lines)
    else:
        texts = stack(scene, lines)
    return None if texts is None else replace(scene, texts=texts)


def second_shapes(rng: random.Random, scene: Scene) -> Scene:
    """The scene with up to two shapes of different kinds, in their usual places or in a corner, if there is room."""
    for _ in range(rng.choices(*SHAPES_IN_SCENE)[0]):
        scene = second_shape(rng, scene)
    return scene


def second_shape(rng: random.Random, scene: Scene) -> Scene:
    """The scene with one more shape of another kind, or the scene itself where there is no room."""
    shape = rng.choice([s for s in SHAPES if all(o.shape != s for o in scene.objects)])
    size, color = rng.choice(SHAPE_SIZES), rng.choice(shape_colors(scene.background))
    item = ShapeItem(shape=shape, color=color, size=size, box=(0, 0, size, size))
    right, bottom = scene.width - size, scene.height - size
    corners = [(0, 0), (right, 0), (0, bottom), (right, bottom)]
    boxes = [(left, top, left + size, top + size) for left, top in rng.sample(corners, 4)]
    usual = [usual_box(item, scene, upper=upper) for upper in rng.sample((True, False), 2)]
    for box in [*usual, *boxes] if rng.random() < 0.6 else [*boxes, *usual]:
        placed = replace(item, box=box)
        if fits(placed, scene):
            return replace(scene, objects=(*scene.objects, placed))
    return scene
