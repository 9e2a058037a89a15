"""Marks of answers about held-out cards: the truth is right, a near miss is not, words count one by one."""

from __future__ import annotations

import pytest
from PIL import Image

from inkwash.data.questions import DialogueTurn
from inkwash.eval.tasks import questions
from inkwash.eval.tasks.questions import CARD_GROUPS, CARD_KINDS, Marked, Reply, ask_scenes, mark, words_read
from inkwash.scenes.card_ask_forms import CHINESE, ENGLISH
from inkwash.scenes.words import is_held_out


def turn(kind: str, answer: str) -> DialogueTurn:
    return DialogueTurn(kind=kind, question="?", thought="", answer=answer)


def asked(level: str, language: str, monkeypatch: pytest.MonkeyPatch, *, right: bool) -> list[Marked]:
    """All questions about two held-out scenes, answered with the truth or with nonsense."""
    truths: list[DialogueTurn] = []
    kept = questions._about_card

    def remembered(*arguments: object, **options: object) -> object:
        for picture, one in kept(*arguments, **options):  # type: ignore[arg-type]
            truths.append(one)
            yield picture, one

    monkeypatch.setattr(questions, "_about_card", remembered)

    def answer(picture: Image.Image, question: str) -> Reply:
        truth = truths[-1]
        assert truth.question == question and min(picture.size) >= 192
        return Reply(truth.answer, [truth.box] if truth.box and right else []) if right else Reply("blurb")

    score = ask_scenes(answer, count=2, level=level, language=language)
    wanted = {"words", "thought first", *CARD_GROUPS}
    shares = score.shares()
    assert wanted - {"boxes"} <= set(shares)
    assert all(share == float(right) for name, (share, _) in shares.items() if name != "thought first"), shares
    return score.marked


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_truth_is_right_and_nonsense_is_not(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    marked = asked("card", language, monkeypatch, right=True)
    assert {one.turn.kind for one in marked} >= set(CARD_KINDS) - {"where"}
    with monkeypatch.context() as again:
        wrong = asked("card", language, again, right=False)
    assert [one.turn for one in wrong] == [one.turn for one in marked]  # the same questions in every run
    plain = [form for form in (ENGLISH if language == "en" else CHINESE)["things"] if is_held_out(form, "question")]
    assert {one.turn.question for one in marked if one.turn.kind == "things"} <= set(plain)


@pytest.mark.parametrize(
    ("kind", "truth", "said", "right"),
    [
        ("read", '"Happy day"\n"fun"', '"Happy day"\n"fun"', True),
        ("read", '"Happy day"\n"fun"', "Happy day\nfun", True),
        ("read", '"Happy day"', '"happy day"', False),
        ("things", "a cat, three balloons and a cake", "a cake, a cat and three balloons", True),
        ("things", "three balloons", "two balloons", False),
        ("things", "一只猫和三个气球", "三个气球和一只猫", True),
        ("count", "3", "3.", True),
        ("color", "gray", "Grey", True),
        ("absent", "There is no dog.", "There is no dog", True),
        ("absent", "There is no dog.", "There is no cat.", False),
    ],
)
def test_marks(kind: str, truth: str, said: str, right: bool) -> None:
    assert mark(turn(kind, truth), Reply(said)) == right


def test_words_count_as_often_as_they_stand_there() -> None:
    one = turn("read", '"no no maybe"\n"生日"')
    assert words_read(one, Reply('"no maybe"\n"生"')) == [True, False, True, True, False]
    assert words_read(one, Reply(one.answer)) == [True] * 5 and not any(words_read(one, Reply("")))
    box = DialogueTurn(kind="where", question="?", thought="", answer="", box=(0, 0, 500, 500))
    assert mark(box, Reply("", [(0, 0, 500, 400)])) and not mark(box, Reply("", [(0, 0, 200, 500)]))
