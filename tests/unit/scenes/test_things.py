"""Things: names that mean one thing each, complete pictures, and pixels that stay."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from inkwash.core.errors import MediaError
from inkwash.scenes.things import FOLDER, THING_NAMES, THINGS, Thing, thing_image, thing_named


def _names(thing: Thing) -> set[str]:
    return {text.casefold() for text in (thing.name, thing.plural, *thing.synonyms, *thing.zh)}


def test_the_order_of_the_names_is_kept() -> None:
    """Labels of trained checkpoints are indices into this table: this digest covers the first 140 names for ever."""
    digest = hashlib.sha256("\n".join(THING_NAMES[:140]).encode()).hexdigest()
    assert digest.startswith("2a3d0ac2a18dea6e")
    assert len(set(THING_NAMES)) == len(THINGS) >= 140


def test_every_name_means_one_thing() -> None:
    owner: dict[str, str] = {}
    for thing in THINGS:
        assert thing.name == thing.name.lower() and thing.zh and len(thing.measure) == 1 and thing.group
        for text in _names(thing):
            assert owner.setdefault(text, thing.name) == thing.name, text
            assert thing_named(text) is thing
            assert thing_named(f" {text.upper()} ") is thing


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Kitten", "cat"),
        ("puppies", "dog"),
        ("Bunnies", "rabbit"),
        ("slices of pizza", "pizza"),
        ("cups of coffee", "coffee"),
        ("Christmas  Trees", "christmas tree"),
        ("大熊猫", "panda"),
        ("t恤", "shirt"),
        ("❤", "heart"),
        ("\u2764\ufe0f", "heart"),
        ("winner’s cup", "trophy"),
        ("bags", "shopping bag"),
        ("glasses", "glasses"),
    ],
)
def test_things_are_found_by_what_people_call_them(text: str, name: str) -> None:
    thing = thing_named(text)
    assert thing is not None and thing.name == name


@pytest.mark.parametrize("text", ["", "quokka", "letter", "s", "a cat", "drumstick"])
def test_other_words_name_nothing(text: str) -> None:
    assert thing_named(text) is None


@pytest.mark.parametrize("size", [64, 96, 160])
def test_pictures_fill_their_square(size: int) -> None:
    for name in THING_NAMES:
        picture = thing_image(name, size)
        assert picture.mode == "RGBA" and picture.size == (size, size)
        rows, cols = np.nonzero(np.asarray(picture.getchannel("A")) >= 64)
        top, bottom, left, right = rows.min(), rows.max() + 1, cols.min(), cols.max() + 1
        assert max(bottom - top, right - left) >= size * 0.86, name
        assert min(top, left, size - bottom, size - right) >= round(size * 0.02), name
        assert abs((top + bottom) - size) <= size * 0.12 and abs((left + right) - size) <= size * 0.12, name


def test_pictures_differ_from_each_other() -> None:
    """No two things are alike: colours and outlines of the closest pair are well apart."""
    stack = np.stack([np.asarray(thing_image(name, 32).convert("RGBa")) for name in THING_NAMES])
    flat = stack.reshape(len(THINGS), -1).astype(np.float32)
    apart = np.stack([np.abs(flat - row).mean(axis=1) for row in flat])
    np.fill_diagonal(apart, np.inf)
    one, other = np.unravel_index(apart.argmin(), apart.shape)
    assert apart.min() > 12, (THING_NAMES[one], THING_NAMES[other], apart.min())


def test_assets_are_complete_small_and_licensed() -> None:
    stems = {path.stem.replace("-", " ") for path in FOLDER.glob("*.webp")}
    assert stems == set(THING_NAMES)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2_000_000
    assert "Microsoft" in (FOLDER / "LICENSE.fluent-emoji.txt").read_text(encoding="utf-8")
    assert "fluent-emoji-3d` 1.1.0" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_unknown_thing_and_size_are_one_sentence() -> None:
    with pytest.raises(MediaError, match="unknown thing 'quokka'"):
        thing_image("quokka", 64)
    with pytest.raises(MediaError, match="thing size 0 is too small"):
        thing_image("cat", 0)
