"""The bundled faces are complete, small, licensed, and cover the word lists."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from inkwash.core.errors import MediaError
from inkwash.media.fonts import FOLDER, FONTS, font_path, load_font

MISSING = "\U0001f600"  # no bundled face has it: what it draws is the mark of a missing glyph


def _drawn(face: str, text: str) -> bytes:
    image = Image.new("L", (48, 48), 0)
    ImageDraw.Draw(image).text((8, 4), text, font=load_font(face, 24), fill=255)
    return image.tobytes()


@pytest.mark.parametrize("name", FONTS)
def test_faces_load_and_are_small(name: str) -> None:
    path = font_path(name)
    assert path.is_file()
    assert path.stat().st_size < (160_000 if name == "cjk" else 60_000)
    assert load_font(name, 24) is load_font(name, 24)
    assert load_font(name, 24).getbbox("Hi")[2] > 10


@pytest.mark.parametrize("name", FONTS)
def test_faces_cover_latin(name: str) -> None:
    missing = _drawn(name, MISSING)
    for letter in "ABCXYZabcxyz0189!?%&$#,.:-":
        assert _drawn(name, letter) != missing, letter


@pytest.mark.parametrize("name", ["slab", "round", "hand", "poster"])
def test_card_faces_cover_accents_and_signs(name: str) -> None:
    missing = _drawn(name, MISSING)
    for letter in "ĄĆĘŁŃÓŚŹŻąćęłńóśźżČĎĚŇŘŠŤŮŽčďěňřšťůžĞİŞğışÄÖÜßéèñçåø',:;-+/()@\"…–—&!?%#$€£.*“”„‘’«»":
        assert _drawn(name, letter) != missing, letter


def test_cjk_covers_the_chinese_words() -> None:
    text = (FOLDER.parent / "words" / "zh.txt").read_text(encoding="utf-8")
    missing = _drawn("cjk", MISSING)
    characters = set(text) - {"\n"}
    assert len(characters) > 300
    assert not [c for c in characters if _drawn("cjk", c) == missing]


def test_every_face_and_list_has_its_licence_beside_it() -> None:
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    for file in FONTS.values():
        assert f"`{file}`" in table
    licences = sorted(path.name for path in FOLDER.glob("*.txt"))
    assert len(licences) == 8
    for licence in licences:
        assert f"`{licence}`" in table
        assert "opyright" in (FOLDER / licence).read_text(encoding="utf-8")
    assert "Kevin Atkinson" in (FOLDER.parent / "words" / "LICENSE.scowl.txt").read_text(encoding="utf-8")


def test_unknown_face_and_size_are_one_sentence() -> None:
    with pytest.raises(MediaError, match="unknown font face 'papyrus': choose one of sans, serif"):
        font_path("papyrus")
    with pytest.raises(MediaError, match="font size 0 is too small"):
        load_font("sans", 0)
