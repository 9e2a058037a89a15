"""Pixels: letters in their cells, labels that agree with the picture, every style, and reading them back by OCR."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from inkwash.core.errors import MediaError
from inkwash.media.fonts import load_font
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.labels import EMPTY, LABELS, LETTER, OBJECT, cell_labels
from inkwash.scenes.lettering import free_text, grid_text
from inkwash.scenes.levels import LEVELS
from inkwash.scenes.render import item_mask, letter_mask, render, shape_mask
from inkwash.scenes.scene import Scene, ShapeItem, covered_cells
from inkwash.scenes.words import LETTERS
from inkwash.scenes.world import (
    CELL,
    COLOR_NAMES,
    COLORS,
    LABELLED_FACES,
    POSTER_FACES,
    SHAPES,
    STYLES,
)


@pytest.mark.parametrize("face", POSTER_FACES)
def test_letters_fill_their_cells_alike(face: str) -> None:
    seen = set()
    for letter in LETTERS:
        mask = letter_mask(face, letter)
        bounds = mask.getbbox()
        assert mask.size == (CELL, CELL) and bounds is not None
        left, top, right, bottom = bounds
        narrowest = 8 if letter == "I" else 19
        assert narrowest <= right - left <= 28, letter
        assert 23 <= bottom - top <= 27 and top in (4, 5), letter
        assert abs((left + right) / 2 - CELL / 2) <= 1
        seen.add(mask.tobytes())
    assert len(seen) == len(LETTERS)


def test_letter_without_glyph_is_one_sentence() -> None:
    with pytest.raises(MediaError, match="no glyph for ' '"):
        letter_mask("sans", " ")


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_fill_their_box(shape: str) -> None:
    for size in (64, 96):
        bounds = shape_mask(shape, size).point([255 * (v > 127) for v in range(256)]).getbbox()
        assert bounds is not None
        assert min(bounds[0], bounds[1]) >= 2 and max(bounds[2], bounds[3]) <= size - 2
        assert bounds[2] - bounds[0] > size * 0.8 and bounds[3] - bounds[1] > size * 0.8


@pytest.mark.parametrize("level", LEVELS)
def test_rendering_is_deterministic(level: str) -> None:
    scene = sample_scene(random.Random(3), level=level)
    assert render(scene).tobytes() == render(scene).tobytes()
    assert render(scene).mode == "RGB"


@pytest.mark.parametrize("level", ["first", "free"])
def test_ink_stays_inside_the_boxes(level: str) -> None:
    for seed in range(20):
        scene = sample_scene(random.Random(seed), level=level)
        empty = Image.new("RGB", (scene.width, scene.height), COLORS[scene.background])
        changed = np.asarray(ImageChops.difference(render(scene), empty)).any(axis=2)
        for left, top, right, bottom in (item.box for item in scene.items):
            assert changed[top:bottom, left:right].any()
            changed[top:bottom, left:right] = False
        assert not changed.any()


@pytest.mark.parametrize("face", LABELLED_FACES)
def test_free_text_box_is_the_ink_box(face: str) -> None:
    item = free_text("Typing, gq!", 20, 30, face=face, color="black", size=40)
    mask = item_mask(item)
    assert mask.getbbox() == (0, 0, mask.width, mask.height)
    wide = Image.new("L", (mask.width + 40, mask.height + 40), 0)
    font = load_font(face, 40)
    left, top, _, _ = font.getbbox(item.text)
    ImageDraw.Draw(wide).text((20 - round(left), 20 - round(top)), item.text, font=font, fill=255)
    assert np.asarray(wide).sum() == np.asarray(mask).sum(), "the box cuts ink off"


@pytest.mark.parametrize("level", [level for level in LEVELS if level != "card"])
def test_labels_are_in_range(level: str) -> None:
    for seed in range(20):
        scene = sample_scene(random.Random(seed), width=320, height=192, level=level)
        labels = cell_labels(scene)
        assert set(labels) == set(LABELS)
        for name, classes in LABELS.items():
            assert labels[name].shape == (6, 10) and labels[name].dtype == np.int64
            assert labels[name].min() >= 0 and labels[name].max() < classes


def test_labels_agree_with_pixels() -> None:
    """From the labels alone the first-level picture can be drawn again, pixel by pixel."""
    for seed in range(30):
        scene = sample_scene(random.Random(seed))
        assert _from_labels(scene).tobytes() == render(scene).tobytes()


def _from_labels(scene: Scene) -> Image.Image:
    labels = cell_labels(scene)
    image = Image.new("RGB", (scene.width, scene.height), COLORS[COLOR_NAMES[labels["background"][0, 0]]])
    for row in range(scene.rows):
        for col in range(scene.cols):
            kind, part = labels["kind"][row, col], int(labels["part"][row, col]) - 1
            if kind == EMPTY:
                continue
            color = COLORS[COLOR_NAMES[labels["color"][row, col]]]
            if kind == LETTER:
                mask = letter_mask(
                    LABELLED_FACES[labels["face"][row, col] - 1], LETTERS[labels["letter"][row, col] - 1]
                )
            else:
                assert kind == OBJECT
                n, index = (2, part) if part < 4 else (3, part - 4)
                left, top = index % n * CELL, index // n * CELL
                whole = shape_mask(SHAPES[labels["shape"][row, col] - 1], n * CELL)
                mask = whole.crop((left, top, left + CELL, top + CELL))
            image.paste(color, (col * CELL, row * CELL), mask)
    return image


def test_free_labels_name_the_most_covered_letter() -> None:
    item = free_text("MI", 64, 64, face="sans", color="black", size=90)
    labels = cell_labels(Scene(width=256, height=256, background="white", texts=(item,)))
    letters = [LETTERS[v - 1] for v in labels["letter"].ravel() if v]
    assert letters.count("M") >= 4 and "I" in letters
    assert (labels["letter"][:2] == 0).all()


def test_parts_of_both_sizes_are_distinct() -> None:
    parts = []
    for size in (64, 96):
        item = ShapeItem(shape="star", color="red", size=size, box=(0, 0, size, size))
        part = cell_labels(Scene(width=128, height=128, background="white", objects=(item,)))["part"]
        parts += [v for v in part.ravel().tolist() if v]
    assert sorted(parts) == list(range(1, 14))


@pytest.mark.parametrize("style", STYLES)
def test_every_style_draws_differently_and_keeps_the_word(style: str) -> None:
    word = grid_text("WORD", 5, 2, face="sans", color="black")
    shape = ShapeItem(shape="circle", color="blue", size=96, box=(64, 32, 160, 128))
    flat = Scene(width=256, height=256, background="yellow", objects=(shape,), texts=(word,))
    styled = Scene(width=256, height=256, background="yellow", objects=(shape,), texts=(word,), style=style)
    same = render(flat).tobytes() == render(styled).tobytes()
    assert same == (style == "flat")
    full = np.asarray(item_mask(word)) == 255
    left, top, right, bottom = word.box
    assert (np.asarray(render(styled))[top:bottom, left:right][full] == COLORS["black"]).all()


def test_covered_cells() -> None:
    assert covered_cells((0, 0, 32, 32)) == ((0, 0),)
    assert covered_cells((31, 0, 33, 1)) == ((0, 0), (0, 1))


@pytest.mark.parametrize("face", ["slab", "round", "hand", "poster"])
def test_card_faces_fill_their_cells_with_distinct_letters(face: str) -> None:
    masks = {letter: letter_mask(face, letter) for letter in f"{LETTERS}{LETTERS.lower()}0123456789ÄÉŁŞß&@%€"}
    assert len({mask.tobytes() for mask in masks.values()}) == len(masks)
    for letter, mask in masks.items():
        bounds = mask.getbbox()
        assert mask.size == (CELL, CELL) and bounds is not None
        left, top, right, bottom = bounds
        assert right - left <= 28 and bottom - top >= 15, letter
        if letter in LETTERS and letter != "I":
            assert right - left >= 19 and 23 <= bottom - top <= 27, letter


@pytest.mark.parametrize("face", ["slab", "round", "hand", "poster"])
def test_ocr_reads_the_card_faces(face: str) -> None:
    rapidocr = pytest.importorskip("rapidocr")
    engine = rapidocr.RapidOCR(params={"Global.log_level": "error", "Det.limit_side_len": 320})
    lines = ("Happy", "BIRTHDAY", "Maria", "coffee")
    image = Image.new("RGB", (320, 320), COLORS["white"])
    for row, line in enumerate(lines):
        for column, letter in enumerate(line):
            image.paste(COLORS["blue"], (CELL + CELL * column, CELL + 2 * CELL * row), letter_mask(face, letter))
    texts = [text.replace(" ", "") for text in engine(np.asarray(image)[:, :, ::-1]).txts or ()]
    assert texts == list(lines)


@pytest.mark.slow
def test_ocr_reads_grid_lettering() -> None:
    rapidocr = pytest.importorskip("rapidocr")
    params = {"Global.use_cls": False, "Det.limit_side_len": 320, "Global.log_level": "critical"}
    engine = rapidocr.RapidOCR(params=params)
    right = total = 0
    for seed in range(40):
        scene = sample_scene(random.Random(1000 + seed), split="held_out")
        found = engine(np.ascontiguousarray(np.asarray(render(scene))[:, :, ::-1])).txts or ()
        read = {text.upper().replace(" ", "") for text in found}
        right += sum(text.text in read for text in scene.texts)
        total += len(scene.texts)
    assert right / total >= 0.95
