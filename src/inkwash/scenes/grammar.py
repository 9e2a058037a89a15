"""How scenes are sampled: everything that a picture shows, exactly, before a pixel exists.

`sample_scene(random.Random(7), width=256, height=256)` gives a frozen `Scene`; `render.render` draws it,
`caption.caption` describes it, `check.check` judges a picture against it. Levels, easiest first:

- `first`: capitals in grid lettering and flat shapes, all aligned to the 32 px cells that one semantic token covers;
- `free`: free lettering (mixed case, digits, punctuation, several words a line) and the same aligned shapes;
- `full`: free lettering, shapes of any size at any place, ten drawing styles;
- `second`: what nano's second edition draws (`second.py`): one to five lines in grid lettering of two sizes, mixed
  case, digits and signs, Chinese, and the ten styles;
- `card`: what nano's third edition draws (`card.py`): cards, posters, menus and signs with pictures of things,
  wrapped texts in six faces, structures such as frames and speech bubbles.
"""

from __future__ import annotations

import random
from dataclasses import replace

from inkwash.core.errors import ConfigError
from inkwash.scenes.card_sample import sample_card_scene
from inkwash.scenes.lettering import grid_text, sample_free_text
from inkwash.scenes.levels import CARD, POSTER, find_level
from inkwash.scenes.scene import Box, Cell, Scene, ShapeItem, TextItem, check_sides, covered_cells, place_item
from inkwash.scenes.second import second_shapes, second_texts
from inkwash.scenes.words import check_split, sample_word
from inkwash.scenes.world import (
    CELL,
    COLOR_NAMES,
    POSTER_FACES,
    SHAPE_SIZES,
    SHAPE_STYLES,
    SHAPES,
    STYLES,
    shape_colors,
    text_colors,
)

__all__ = ["Box", "Cell", "Scene", "ShapeItem", "TextItem", "add_shape", "covered_cells", "sample_scene"]

MAX_REGIONS = 5
RESAMPLES = 50


def _text_rows(rng: random.Random, rows: int, count: int) -> list[int]:
    """Distinct rows, top to bottom; neighbours only when the canvas is too low to avoid it."""
    for gap in (2, 1):
        if (count - 1) * gap < rows:
            chosen = sorted(rng.sample(range(rows - (count - 1) * (gap - 1)), count))
            return [row + i * (gap - 1) for i, row in enumerate(chosen)]
    raise ConfigError(f"{count} text regions do not fit on a canvas of {rows} rows: ask for at most {rows}")


def _column(rng: random.Random, cols: int, letters: int) -> int:
    """Mostly centred; otherwise pushed to the left or right edge."""
    space = cols - letters
    return rng.choice((0, space)) if rng.random() < 0.15 else space // 2


def add_shape(rng: random.Random, scene: Scene, *, level: str = "first", exclude: tuple[str, ...] = ()) -> Scene:
    """The scene with one more shape, of another kind than those present, or the scene itself when there is no room."""
    present = {o.shape for o in scene.objects} | set(exclude)
    shape = rng.choice([s for s in SHAPES if s not in present])
    color = rng.choice(shape_colors(scene.background))
    if find_level(level).free_shapes:
        sizes: tuple[int, ...] = (8 * rng.randint(6, max(6, min(scene.width, scene.height) // 20)),)
    else:
        sizes = (rng.choice(SHAPE_SIZES), SHAPE_SIZES[0])
    for size in sizes:

        def make(left: int, top: int, size: int = size) -> ShapeItem:
            box = (left, top, left + size, top + size)
            return ShapeItem(shape=shape, color=color, size=size, box=box)

        item = place_item(rng, scene, make, (size, size), step=8 if find_level(level).free_shapes else CELL)
        if item is not None:
            return replace(scene, objects=(*scene.objects, item))
    return scene


def _grid_texts(rng: random.Random, scene: Scene, count: int, split: str, random_words: float) -> Scene:
    longest = min(8, scene.cols)
    texts: list[TextItem] = []
    for row in _text_rows(rng, scene.rows, count):
        word = sample_word(rng, split, longest, random_words)
        while any(word == other.text for other in texts):
            word = sample_word(rng, split, longest, random_words)
        color = rng.choice(text_colors(scene.background))
        col = _column(rng, scene.cols, len(word))
        texts.append(grid_text(word, row, col, face=rng.choice(POSTER_FACES), color=color))
    return replace(scene, texts=tuple(texts))


def _free_texts(
    rng: random.Random, scene: Scene, count: int, split: str, language: str, random_words: float
) -> Scene | None:
    for _ in range(count * 6):
        if len(scene.texts) == count:
            break
        item = sample_free_text(rng, scene, split, language, random_words)
        if item is not None and all(item.text.lower() != other.text.lower() for other in scene.texts):
            scene = replace(scene, texts=(*scene.texts, item))
    if len(scene.texts) < count:
        return None
    return replace(scene, texts=tuple(sorted(scene.texts, key=lambda t: (t.box[1], t.box[0]))))


def _check_request(width: int, height: int, regions: tuple[int, int], split: str, level: str, language: str) -> None:
    check_sides(width, height)
    check_split(split)
    if language not in find_level(level).languages:
        raise ConfigError(f"language {language!r} cannot be set at level {level!r}: use en, or zh at a higher one")
    low, high = regions
    if not 0 <= low <= high <= MAX_REGIONS:
        raise ConfigError(f"regions {regions} must be a range within 0 to {MAX_REGIONS}, lowest first")


def sample_scene(
    rng: random.Random,
    *,
    width: int = 256,
    height: int = 256,
    regions: tuple[int, int] = (1, 2),
    split: str = "train",
    level: str = "first",
    language: str = "en",
    random_words: float = 0.0,
) -> Scene:
    """A scene with `regions[0]` to `regions[1]` texts and up to two shapes.

    `random_words` is the probability that a word is a made-up letter string (training only: it teaches copying).
    `language` is that of the drawn texts.
    """
    _check_request(width, height, regions, split, level, language)
    kind = find_level(level)
    if kind is CARD:  # its genres say how many texts they have
        return sample_card_scene(
            rng, width=width, height=height, split=split, language=language, random_words=random_words
        )
    count = rng.randint(*regions)
    for _ in range(RESAMPLES):
        style = rng.choice(STYLES) if kind.styled and rng.random() < 0.7 else "flat"
        scene: Scene | None = Scene(width=width, height=height, background=rng.choice(COLOR_NAMES), style=style)
        assert scene is not None
        if kind.lettering == "capitals":
            scene = _grid_texts(rng, scene, count, split, random_words)
        elif kind is POSTER:
            scene = second_texts(rng, scene, count, split, language, random_words)
        else:
            scene = _free_texts(rng, scene, count, split, language, random_words)
        if scene is not None:
            break
    else:
        raise ConfigError(f"{count} text regions do not fit on {width} x {height}: ask for fewer or a larger canvas")
    if kind is POSTER:
        scene = second_shapes(rng, scene)
    else:
        for _ in range(rng.choices((0, 1, 2), (4, 4, 2))[0]):
            scene = add_shape(rng, scene, level=level)
    if scene.style in SHAPE_STYLES and not scene.objects:
        scene = replace(scene, style="flat")
    return scene
