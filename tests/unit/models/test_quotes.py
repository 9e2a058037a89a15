"""Quoted texts in every style: found once, in order, and written in straight marks for a model that knows no others."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwash.models.glm_image.folder import DrawingDefaults
from inkwash.models.glm_image.quotes import MARKS, canonical, glyph_texts, outside, quoted

PAIRED = ('""', "“”", "„“", "„”", "””", "«»", "»«", "‹›", "›‹", "「」", "『』", "‚‘", "‚’", "‘’", "''", "＂＂")


@pytest.mark.parametrize("marks", PAIRED)
@pytest.mark.parametrize("text", ["FRESH BREAD", "Добро пожаловать", "你好", "it's late", "50 %!"])
def test_every_style_quotes(marks: str, text: str) -> None:
    prompt = f"A sign that says {marks[0]}{text}{marks[1]} in red"
    found = quoted(prompt)
    assert [one.text for one in found.texts] == [text] and found.open == ()
    assert canonical(prompt) == f'A sign that says "{text}" in red'
    assert outside(prompt) == 'A sign that says " in red'


@pytest.mark.parametrize(
    ("prompt", "texts", "alone"),
    [
        ("« Bonjour » and „Guten Tag“", ["Bonjour", "Guten Tag"], ()),
        ("it's the dogs' bowl, and don’t", [], ()),
        ("‘it’s late’ isn't", ["it’s late"], ()),
        ("the '90s said 'HELLO'", ["HELLO"], ()),
        ("rock 'til dawn", [], ()),
        ('x «a "b" c»', ['a "b" c'], ()),  # a mark inside a text belongs to it
        ('says ""', [""], ()),
        ('a sign "OPEN', [], ('"',)),
        ("A sign that says 'OPEN", [], ("'",)),
        ("a sign „OPEN", [], ("„",)),
        ("“a “b”", ["b"], ("“",)),
        ("写着'你好'的海报", ["你好"], ()),
    ],
)
def test_by_hand(prompt: str, texts: list[str], alone: tuple[str, ...]) -> None:
    found = quoted(prompt)
    assert [one.display_text for one in found.texts] == texts and found.open == alone


def test_canonical_prompts_stay_as_they_are() -> None:
    for prompt in ('A poster that says "HELLO"', 'two: " HI " and ""', "no quotes, it's plain", '"open'):
        assert canonical(prompt) == prompt


@given(st.text(alphabet="ab '" + "".join(sorted(MARKS)), max_size=40))
def test_places_are_right_and_texts_never_overlap(prompt: str) -> None:
    last = 0
    for one in quoted(prompt).texts:
        assert prompt[one.start : one.end] == one.text and prompt[one.start - 1] == one.mark
        assert last <= one.start - 1
        last = one.end + 1


@given(
    st.lists(
        st.tuples(st.sampled_from(PAIRED), st.text(alphabet="abcé你 ", min_size=1, max_size=6).map(str.strip)),
        max_size=4,
    )
)
def test_the_glyph_encoder_reads_canonical_texts_in_their_order(parts: list[tuple[str, str]]) -> None:
    prompt = "x".join(f" {marks[0]}{text}{marks[1]} " for marks, text in parts if text)
    assert glyph_texts(canonical(prompt)) == [text for _, text in parts if text]


@pytest.mark.parametrize("piece", ["“", "„", "‘", "'a ", "«a ", "' ", "‘a’s", '"', "«‹", "'«"])
def test_long_prompts_are_read_in_linear_time(piece: str) -> None:
    def seconds(count: int) -> float:
        began = time.process_time()
        quoted(piece * count)
        return time.process_time() - began

    assert seconds(16_000) < 40 * max(seconds(1000), 0.002)  # a square would be 256 times as long


def test_only_a_checkpoint_that_asks_for_it_gets_other_marks() -> None:
    assert DrawingDefaults().prompt("«OUI»") == "«OUI»"
    assert DrawingDefaults(canonical_quotes=True).prompt("«OUI»") == '"OUI"'
