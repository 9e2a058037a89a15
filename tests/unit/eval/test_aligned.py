"""Wanted texts beside their readings: the right place, the right marks, nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inkwash.eval.aligned import TextPiece, align, differences, plain_row

texts = st.text(alphabet="aB é你", max_size=12)


def test_each_text_finds_its_reading_and_the_rest_is_told() -> None:
    rows, beyond = align([("Grand Opening", False), ("50 percent", True)], ["GRAND OPENlNG", "50 percent off", "x"])
    assert [piece.text for piece in rows[0].wanted if not piece.same] == ["i"]
    assert [piece.text for piece in rows[0].read if not piece.same] == ["l"]
    assert rows[1].wanted == rows[1].read == (TextPiece("50 percent", True),)
    assert beyond == "off x"


def test_a_text_that_is_not_there_has_no_reading() -> None:
    rows, beyond = align([("HELLO", False)], ["xyz", "quite"])
    assert rows[0].wanted == (TextPiece("HELLO", False),) and rows[0].read == () and beyond == "xyz quite"
    assert align([("HELLO", False)], []) == ([rows[0]], "")


def test_no_part_of_the_reading_serves_twice() -> None:
    rows, _ = align([("SALE", True), ("SALE", False)], ["SALE"])
    assert [bool(row.read) for row in rows] == [True, False]


def test_long_texts_are_compared_by_words() -> None:
    words = [f"word{i}" for i in range(60)]
    rows, _ = align([(" ".join(words), False)], [" ".join([*words[:30], "other", *words[31:]])])
    assert [piece.text for piece in rows[0].wanted if not piece.same] == ["word30 "]


def test_questions_are_shown_as_they_are() -> None:
    row = plain_row("Is it? (yes)", "no", False)
    assert row.wanted == (TextPiece("Is it? (yes)", False),) and row.read == (TextPiece("no", False),)
    assert plain_row("Is it?", "", True).read == ()


@given(wanted=texts, read=texts)
def test_pieces_put_both_strings_together_again(wanted: str, read: str) -> None:
    ours, theirs = differences(wanted, read)
    assert "".join(piece.text for piece in ours) == wanted and "".join(piece.text for piece in theirs) == read
    same = ["".join(piece.text for piece in side if piece.same).lower() for side in (ours, theirs)]
    assert same[0] == same[1]


@given(wanted=st.lists(texts, max_size=3), read=st.lists(texts, max_size=3))
def test_nothing_that_was_read_is_lost(wanted: list[str], read: list[str]) -> None:
    rows, beyond = align([(text, True) for text in wanted], read)
    shown = "".join(piece.text for row in rows for piece in row.read) + beyond.replace("…", "")
    assert sorted(shown.replace(" ", "")) == sorted("".join(read).replace(" ", ""))
