"""Comparing a reading with a prompt: letters in order, each text once, letters too many punished."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inkwash.engine.readback import WantedTexts, best_span, compare, edit_target, edited_things, letters, quoted_texts
from inkwash.eval.metrics import edit_distance

texts = st.text(alphabet="abcAB é你好", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("wanted", "read", "score"),
    [
        (["HELLO"], ["HELLO"], 1.0),
        (["HELLO"], ["hel lo"], 1.0),
        (["HELLO"], [], 0.0),
        (["HELLO"], ["HELL"], 0.8),
        (["HELLO"], ["OLLEH"], 0.4),  # the same letters in another order: only two of them stay in order
        (["HELLO"], ["HELLO HELLO"], 0.5),  # said twice: five letters of ten
        (["HELLO"], ["HELLO!"], 5 / 6),
        (["HELLO", "SUN"], ["SUN", "HELLO"], 1.0),  # a prompt names no reading order
        (["HELLO", "SUN"], ["HELLO"], 5 / 8),
        (["SUN", "SUNSET"], ["SUNSET"], 6 / 9),  # no part of the reading serves two texts
        (["Grand Opening"], ["GRAND", "OPENING"], 1.0),  # broken over two lines
        (["OPEN", "OPEN"], ["OPEN"], 1.0),  # quoted twice: once is enough,
        (["OPEN", "OPEN"], ["OPEN", "OPEN"], 1.0),  # twice is allowed
        (["OPEN", "OPEN"], ["OPEN", "OPEN", "OPEN"], 0.5),
        (["新年快乐"], ["新年", "快东"], 0.75),
        ([], ["anything"], 1.0),
    ],
)
def test_scores_by_hand(wanted: list[str], read: list[str], score: float) -> None:
    assert compare(wanted, read).score == pytest.approx(score)


def test_every_quoted_text_is_found_and_blank_ones_are_not_asked_for() -> None:
    assert quoted_texts('A sign "OPEN", a tag “50 %”, a seal 「印」 and " "') == ["OPEN", "50 %", "印"]
    assert quoted_texts("„Guten Tag“, « Bonjour », 『好』 and ‘it’s late’") == [
        "Guten Tag",
        "Bonjour",
        "好",
        "it’s late",
    ]
    assert quoted_texts("it's a poster") == []


@pytest.mark.parametrize(
    ("prompt", "before", "target"),
    [
        ('Replace the text with "OPEN"', ["HELLO"], WantedTexts(texts=("OPEN",), spare=5)),
        ('Replace "HELLO" with "OPEN"', ["HELLO"], WantedTexts(texts=("OPEN",))),
        (
            'Replace "HELLO" with "OPEN"',
            ["HELL0", "2 pm"],
            WantedTexts(texts=("OPEN",), spare=3, kept=("2 pm",)),
        ),  # misread
        ('Correct "HALLO" to "HELLO"', ["HALLO"], WantedTexts(texts=("HELLO",))),
        ('"OPEN" instead of "HELLO"', ["HELLO"], WantedTexts(texts=("OPEN",))),
        ("把“你好”改成“再见”", ["你好"], WantedTexts(texts=("再见",))),
        ('Add "SALE" below "HELLO"', ["HELLO"], WantedTexts(texts=("SALE",), spare=5, kept=("HELLO",))),
        ('Also write "SALE"', ["HELLO", "you"], WantedTexts(texts=("SALE",), spare=8, kept=("HELLO", "you"))),
        ('Make "HELLO" blue', ["HELLO", "you"], WantedTexts(texts=("HELLO",), spare=3, kept=("HELLO", "you"))),
        ('Remove the word "HELLO"', ["HELLO", "you"], WantedTexts(texts=(), spare=3, kept=("you",))),
        ('Remove "GRAND OPENING"', ["GRAND", "OPENING", "9 am"], WantedTexts(texts=(), spare=3, kept=("9 am",))),
        ("make the background red", ["HELLO", "you"], WantedTexts(texts=(), spare=8, kept=("HELLO", "you"))),
        ("去掉“你好”", ["你好"], WantedTexts(texts=())),
    ],
)
def test_what_an_edited_picture_must_show(prompt: str, before: list[str], target: WantedTexts) -> None:
    assert edit_target(prompt, before) == target


@pytest.mark.parametrize(
    ("prompt", "before", "named", "known", "after"),
    [
        (
            "replace the cat with two dogs",
            {"cat": 1, "sun": 1},
            {"cat": None, "dog": 2},
            {"cat"},
            {"cat": 0, "sun": 1, "dog": 2},
        ),
        ("turn the cat into a dog", {"sun": 1}, {"cat": None, "dog": 1}, {"cat"}, {"cat": 0, "sun": 1, "dog": 1}),
        ("remove the cats", {"cat": 3}, {"cat": None}, {"cat"}, {"cat": 0}),
        ("the four cats can go", {"cat": 4}, {"cat": 4}, {"cat"}, {"cat": 0}),
        ("take the big cats away", {"cat": 4}, {"cat": None}, {"cat"}, {"cat": 0}),
        ("no cats please", {"cat": 3, "sun": 1}, {"cat": 0}, set(), {"cat": 0, "sun": 1}),
        ("add a sun at the top", {"cat": 1}, {"sun": 1}, set(), {"cat": 1, "sun": 1}),
        ("add some suns", {}, {"sun": None}, set(), {"sun": None}),
        ("change it to three cats", {"cat": 1}, {"cat": 3}, set(), {"cat": 3}),
        ("move the cat to the left", {"cat": 2}, {"cat": None}, {"cat"}, {"cat": 2}),
        ('Change "without" to "no sun"', {"sun": 1}, {}, set(), {"sun": 1}),
    ],
)
def test_things_that_an_edited_picture_must_show(
    prompt: str, before: dict[str, int], named: dict[str, int | None], known: set[str], after: dict[str, int | None]
) -> None:
    assert edited_things(prompt, before, named, known) == after


def test_letters_of_the_old_picture_may_stay_and_removed_ones_may_not() -> None:
    def score(prompt: str, read: list[str]) -> float:
        target = edit_target(prompt, ["HELLO", "you"])
        return compare(target.texts, read, spare=target.spare).score

    assert score('Add "SALE" at the top', ["SALE", "HELLO", "you"]) == score('Add "SALE" at the top', ["SALE"]) == 1.0
    assert score('Replace "HELLO" with "SALE"', ["SALE", "you"]) == 1.0
    assert score('Replace "HELLO" with "SALE"', ["SALE", "HELLO", "you"]) == pytest.approx(4 / 9)
    assert score('Remove "HELLO"', ["you"]) == 1.0 and score('Remove "HELLO"', ["HELLO", "you"]) == 0.0


def test_each_text_tells_what_was_read_for_it() -> None:
    comparison = compare(["GARDEN", "SUN"], ["GAROEN", "5UN", "x"])
    assert [(match.read, match.distance) for match in comparison.texts] == [("garoen", 1), ("5un", 1)]
    assert comparison.surplus == 1 and comparison.texts[0].closeness == pytest.approx(5 / 6)
    assert not comparison.perfect


@given(target=texts, read=st.text(alphabet="abc你", max_size=10))
def test_the_span_is_the_nearest_of_all_substrings(target: str, read: str) -> None:
    distance, start, end = best_span(target, read)
    spans = [read[i:j] for i in range(len(read) + 1) for j in range(i, len(read) + 1)]
    assert distance == min(edit_distance(target, span) for span in spans)
    assert edit_distance(target, read[start:end]) == distance


@example(wanted=["BA", "AAA"], read=[])
@given(wanted=st.lists(texts, min_size=1, max_size=4), read=st.lists(texts, max_size=4))
def test_the_score_is_a_share_and_perfect_only_without_a_fault(wanted: list[str], read: list[str]) -> None:
    comparison = compare(wanted, read)
    assert 0.0 <= comparison.score <= 1.0
    if any(map(letters, wanted)):
        assert comparison.perfect == (not comparison.surplus and not any(m.distance for m in comparison.texts))
    assert compare(wanted, wanted).score == 1.0


@given(wanted=st.lists(texts.filter(letters), min_size=1, max_size=3), extra=texts.filter(letters))
def test_more_letters_than_asked_for_never_help(wanted: list[str], extra: str) -> None:
    assert compare(wanted, [*wanted, extra]).score < compare(wanted, wanted).score
