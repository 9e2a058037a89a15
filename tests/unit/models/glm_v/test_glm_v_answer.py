"""Thoughts, answers and boxed spans: every style, every way of cutting the text, every defect known elsewhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inkwash.models.glm_v.answer import (
    ANSWER,
    BOX,
    END_ANSWER,
    END_BOX,
    END_THINK,
    STOPS,
    THINK,
    Answer,
    AnswerStream,
    forced_ending,
    history_text,
    split_answer,
)

HTML = '<!DOCTYPE html>\n<html><body class="a"><p>5 < 6</p></body></html>'
TAGS = [THINK, END_THINK, ANSWER, END_ANSWER, BOX, END_BOX]
WORDS = st.text(alphabet="ab<>/|_ \n{}\"'答", max_size=8)
TEXTS = st.lists(st.one_of(WORDS, st.sampled_from([*TAGS, *STOPS, "</", "<|begin", "</ans"])), max_size=8).map("".join)


def test_the_tagged_style() -> None:
    parsed = split_answer(f"<think>\nA cat?\n</think>\n<answer>It is {BOX} a cat {END_BOX}.</answer>")
    assert parsed == Answer(
        thoughts="A cat?",
        answer="It is  a cat .",
        boxed=("a cat",),
        content=f"It is {BOX} a cat {END_BOX}.",
        finished=True,
    )


def test_the_plain_style_needs_no_answer_tag() -> None:
    parsed = split_answer("\n<think>hm</think>\nBlue.<|user|>")
    assert (parsed.thoughts, parsed.answer, parsed.finished) == ("hm", "Blue.", True)


def test_no_thoughts_at_all() -> None:
    assert split_answer("Blue.") == Answer(thoughts="", answer="Blue.", boxed=(), content="Blue.", finished=True)


def test_a_thought_that_the_prompt_opened() -> None:
    assert split_answer("hm</think>Blue.", opened=True).thoughts == "hm"
    assert split_answer("An end is written </think>.").answer == "An end is written </think>."


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("<think>so and", "so and", ""),
        ("<think>so</think>", "so", ""),
        ("<think>so</think><answer>It i", "so", "It i"),
        (f"<think>so</think><answer>It is {BOX}4", "so", "It is 4"),
        (f"It is {BOX}4", "", "It is 4"),
        ("<think>so<|endoftext|>", "so", ""),
    ],
)
def test_a_text_cut_short_says_so_and_loses_nothing(text: str, thoughts: str, answer: str) -> None:
    parsed = split_answer(text)
    assert (parsed.thoughts, parsed.answer, parsed.finished) == (thoughts, answer, False)


@pytest.mark.parametrize("form", ["{}", "<think>a <b> tag</think>\n{}", "<think>t</think><answer>{}</answer>\n"])
def test_html_in_an_answer_comes_out_as_written(form: str) -> None:
    assert split_answer(form.format(HTML)).answer == HTML
    assert history_text(form.format(HTML)) == HTML


def test_only_the_last_closing_tag_closes() -> None:
    parsed = split_answer("<answer>Write </answer> at the end.</answer>")
    assert (parsed.answer, parsed.finished) == ("Write </answer> at the end.", True)


def test_code_keeps_the_indentation_of_its_first_line() -> None:
    assert split_answer("<think>x</think>\n\n    return 1\n").answer == "    return 1"


def test_history_has_no_thoughts_and_keeps_the_marks() -> None:
    assert history_text(f"<think>x</think>\n<answer>So {BOX}7{END_BOX}</answer>") == f"So {BOX}7{END_BOX}"
    assert history_text("<think>x</think>\nSo 7") == "So 7", "history of the plain style is not empty"
    assert history_text("<think>never done") == ""


@pytest.mark.parametrize(
    ("text", "tagged", "plain"),
    [
        ("<think>long", "</think><answer>", "</think>"),
        ("<think>long</think>\n", "<answer>", ""),
        ("<think>long</think>\n<answer>It", "", ""),
        ("", "<think></think><answer>", ""),
    ],
)
def test_what_makes_a_model_answer_now(text: str, tagged: str, plain: str) -> None:
    assert forced_ending(text, "tagged") == tagged
    assert forced_ending(text, "plain") == plain
    assert split_answer(text + tagged + "Yes" + END_ANSWER).finished


def test_pieces_arrive_as_soon_as_they_are_certain() -> None:
    stream = AnswerStream()
    assert stream.feed("<thi") == []
    assert stream.feed("nk>I see") == [("thought", "I see")]
    assert stream.feed("</th") == []
    assert stream.feed("is") == [("thought", "</this")]
    assert stream.feed("</think>\n<ans") == []
    assert stream.feed("wer>Two ") == [("answer", "Two")]
    assert stream.feed("cats</answer>") == [("answer", " cats")]
    assert stream.finish() == []
    assert stream.feed("more") == []
    assert stream.result().finished


@given(TEXTS, st.lists(st.integers(0, 60), max_size=6), st.booleans())
@example("<answer></answer><|user|>", [18], False)
def test_streaming_anywhere_is_the_whole(text: str, cuts: list[int], opened: bool) -> None:
    stream = AnswerStream(opened=opened)
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [p for start, end in pairwise(places) for p in stream.feed(text[start:end])]
    pieces += stream.finish()
    whole = split_answer(text, opened=opened)
    assert stream.result() == whole
    assert "".join(part for kind, part in pieces if kind == "thought").strip() == whole.thoughts
    assert "".join(part for kind, part in pieces if kind == "answer").strip("\n").rstrip() == whole.answer


@given(TEXTS)
def test_history_of_history_is_history(text: str) -> None:
    answer = "".join(letter for letter in text if letter not in "<>")
    assert history_text(history_text(f"<think>{answer}</think>{answer}")) == history_text(answer)


@given(st.text(alphabet="abc <>/\n", max_size=30), st.text(alphabet="abc <>/\n", max_size=30))
def test_what_is_put_in_comes_out(thoughts: str, answer: str) -> None:
    for form in ("<think>{}</think>\n<answer>{}</answer>", "<think>{}</think>\nA{}"):
        parsed = split_answer(form.format(thoughts, answer))
        said = answer if "<answer>" in form else f"A{answer}"
        assert parsed.thoughts == thoughts.strip()
        assert parsed.answer == said.strip("\n").rstrip()


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("</think>\n<think>Text in row 3.</think>\nTH", "Text in row 3.", "TH"),  # nano-v's answer to "hi"
        ("\n</think>\nHello", "", "Hello"),
        ("</think></think>Hello", "", "Hello"),
        ("I see.</think>\nHello", "", "I see.\nHello"),
        ("I see</think>Hello", "", "I seeHello"),
        ("<think>a</think>\nb\n</think>\nc", "a", "b\n\nc"),
        ("<think>a</think><answer>b</think></answer>", "a", "b"),
        ("Hello</think>", "", "Hello"),
        ("Write `</think>` to end.", "", "Write `</think>` to end."),
        ("It stands in <think>x</think> here.", "", "It stands in <think>x</think> here."),
    ],
)
def test_a_closing_tag_that_nothing_opened_is_no_answer(text: str, thoughts: str, answer: str) -> None:
    parsed = split_answer(text)
    assert (parsed.thoughts, parsed.answer) == (thoughts, answer)
