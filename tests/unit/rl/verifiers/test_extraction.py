"""The form of a response, and its one box."""

from __future__ import annotations

import pytest

from inkwash.rl.verifiers.extraction import MAX_ANSWER, Form, extract, extract_wanted
from inkwash.rl.verifiers.gates import mixes_languages, repeats

B, E = "<|begin_of_box|>", "<|end_of_box|>"
OLD, NEW, ANY = Form(style="4.1v"), Form(style="4.5v"), Form(style="none")


def tagged(answer: str, thoughts: str = "hm") -> str:
    return f"<think>{thoughts}</think><answer>{answer}</answer>"


@pytest.mark.parametrize(
    ("response", "form", "answer"),
    [
        (tagged(f"It is {B} 42 {E}."), OLD, "42"),
        (f"<think>hm</think>\n\n<answer>\n{B}42{E}\n</answer>\n<|user|>", OLD, "42"),
        (tagged(f"{B}{{1, 2}}{E}"), OLD, "{1, 2}"),
        (f"<think>hm</think>It is {B}42{E}.", NEW, "42"),
        (f"<think></think>{B}42{E}<|endoftext|>", NEW, "42"),
        (f"thoughts {B}1{E} </think> {B}42{E}", ANY, "42"),
        (f"{B}42{E}", ANY, "42"),
        (f"hm</think>{B}42{E}", Form(style="4.5v", opened=True), "42"),
        (f"hm</think><answer>{B}42{E}</answer>", Form(opened=True), "42"),
        (r"So \boxed{\frac{1}{2}}.", Form(style="none", box="latex"), r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", Form(style="none", box="latex"), r"\{1, 2\}"),
        # void
        (tagged("42"), OLD, None),
        (tagged(f"{B}42{E} or {B}43{E}"), OLD, None),
        (tagged(f"{B}42"), OLD, None),
        (tagged(f"42{E}"), OLD, None),
        (tagged(f"{E}42{B}"), OLD, None),
        (tagged(f"{B}4{B}2{E}{E}"), OLD, None),
        (tagged(f"{B} {E}"), OLD, None),
        (tagged(rf"{B}42{E} \boxed{{43}}"), OLD, None),
        (tagged(rf"{B}\boxed{{42}}{E}"), OLD, None),
        (tagged(f"{B}42{E}") + tagged(f"{B}43{E}"), OLD, None),
        (tagged(f"{B}42{E}</answer><answer>"), OLD, None),
        (tagged(f"{B}42{E}", thoughts="<answer>43</answer>"), OLD, None),
        (tagged(f"{B}42{E}", thoughts="<THINK>"), OLD, None),
        (f"{B}42{E}", OLD, None),
        (f"<think>hm</think>{B}42{E}", OLD, None),
        (f"hm</think><answer>{B}42{E}</answer>", OLD, None),
        (f"<think>{B}42{E}", NEW, None),
        (tagged(f"{B}42{E}"), NEW, None),
        (f"x <think>hm</think>{B}42{E}", NEW, None),
        ("<think>hm</think><answer></answer>", OLD, None),
        ("<think>hm</think><answer>", OLD, None),
        ("", OLD, None),
        (r"\boxed{1} \boxed{2}", Form(style="none", box="latex"), None),
        (r"\boxed{\boxed{1}}", Form(style="none", box="latex"), None),
        (r"\boxed{1", Form(style="none", box="latex"), None),
        (rf"{B}1{E} \boxed{{1}}", Form(style="none", box="latex"), None),
        (tagged(f"{B}{'x' * MAX_ANSWER}{E}"), OLD, None),
    ],
)
def test_a_response_has_one_answer_or_none(response: str, form: Form, answer: str | None) -> None:
    found = extract(response, form)
    assert found.answer == answer and bool(found.reason) == (answer is None)


def test_without_strictness_the_whole_answer_counts_where_nothing_is_boxed() -> None:
    assert extract(tagged("It is 42."), OLD, strict=False).answer == "It is 42."
    assert extract(tagged(f"It is {B}42{E}."), OLD, strict=False).answer == "42"
    assert extract(tagged(f"{B}42{E} {B}43{E}"), OLD, strict=False).answer is None


@pytest.mark.parametrize(
    ("truth", "form", "wanted"),
    [
        (" 42 ", OLD, "42"),
        (tagged(f"{B}42{E}"), OLD, "42"),
        (f"<think>a</think>{B}42{E}", NEW, "42"),
        (tagged("42"), OLD, "42"),
        (r"\boxed{42}", Form(box="latex"), "42"),
        (f"{B}a{E}{B}b{E}", OLD, f"{B}a{E}{B}b{E}"),
        ("", OLD, ""),
    ],
)
def test_a_ground_truth_is_plain_text_with_tags_or_without(truth: str, form: Form, wanted: str) -> None:
    assert extract_wanted(truth, form) == wanted


def test_repetition_counts_spans_without_overlap() -> None:
    sentence = "I should look at the picture again and count the boxes. "
    assert repeats(sentence * 10) and repeats("start " + sentence * 12 + " end")
    assert not repeats(sentence * 9)
    assert not repeats("".join(f"{number}: " + sentence for number in range(3)))
    assert repeats("ab" * 300) and not repeats("ab" * 100)


def test_rules_and_tables_are_no_repetition() -> None:
    assert not repeats("-" * 5_000 + "\n" + "=" * 5_000) and not repeats("|" + "---|" * 20)


def test_one_language_with_words_of_another_is_no_mixture() -> None:
    assert not mixes_languages("模型的输出是 HELLO，" * 30 + "\n\n" + "答案是四十二。" * 30)
    assert mixes_languages("答案是四十二。" * 30 + "\n\n" + "the answer is forty two " * 60)
