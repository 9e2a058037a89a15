"""Conversations about cards: batches repeat, labels fit the picture as it is seen, thoughts say where things stand."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from inkwash.data.card_questions import (
    CARD_EVERYWHERE,
    WEIGHTS,
    CardQuestionBatches,
    card_label_sizes,
    card_question_lines,
    nothing_labels,
    sample_card_turn,
    seen_labels,
    spans,
)
from inkwash.scenes.card import Card, CardText, CardThing
from inkwash.scenes.card_ask_forms import CHINESE, ENGLISH
from inkwash.scenes.card_layout import lay_out
from inkwash.scenes.card_meanings import NO_COLOR, card_signs
from inkwash.scenes.scene import Scene
from inkwash.scenes.things import THING_NAMES
from inkwash.scenes.words import is_held_out


def scene() -> Scene:
    text = CardText(text="an ox sat", role="title", color="black", face="wide", size="small")
    things = (CardThing(thing="cat", count=2, size="small"),)
    made = lay_out(Card(genre="sign", background="white", texts=(text,), things=things), 256, 256)
    assert made is not None
    return made


def test_a_batch_is_a_function_of_its_step_and_fits_its_labels() -> None:
    make = CardQuestionBatches(seed=3, batch=3, dialogues=2, talk_from=1)
    shapes = set()
    for step in range(6):
        batch, again = make(step), make(step)
        assert batch["dialogues"] == again["dialogues"]
        height, width = batch["pixels"].shape[1:3]
        shapes.add((height, width))
        for name, classes in card_label_sizes().items():
            assert np.array_equal(batch[name], again[name])
            assert batch[name].shape == (len(batch["pixels"]), height * width // 32**2)
            assert batch[name].min() >= 0 and batch[name].max() < classes, name
        assert np.array_equal(batch["pixels"], again["pixels"])
        assert all(len(talks) == (2 if step else 0) for talks in batch["dialogues"])
    assert len(shapes) > 1 and make(1)["dialogues"] != make(2)["dialogues"]
    assert set(CARD_EVERYWHERE) <= set(card_label_sizes())


def test_shares_of_old_scenes_and_of_nothing() -> None:
    for share in ("old", "nothing"):
        plain = CardQuestionBatches(seed=4, batch=4, dialogues=2, canvases=((192, 192),), old=0.0, nothing=0.0)
        make = replace(plain, old=1.0) if share == "old" else replace(plain, nothing=1.0)
        kinds = {talk.turns[-1].kind for step in range(6) for talks in make(step)["dialogues"] for talk in talks}
        assert kinds == {"nothing"} if share == "nothing" else "nothing" not in kinds and kinds


@pytest.mark.parametrize("grid", [(8, 8), (4, 4), (12, 12)])
def test_labels_and_thoughts_are_those_of_the_picture_as_it_is_seen(grid: tuple[int, int]) -> None:
    seen = seen_labels(scene(), grid)
    scale = grid[0] / 8
    assert all(labels.shape == (grid[1], grid[0]) for labels in seen.values())
    assert (
        seen["column"][0].tolist() == list(range(grid[0]))
        and (seen["texts"] == 1).all()
        and (seen["things"] == 2).all()
    )
    cats = seen["thing"] == 1 + THING_NAMES.index("cat")
    assert cats.sum() == 2 * (2 * scale) ** 2 and (seen["alike"][cats] == 2).all() and not seen["alike"][~cats].any()
    columns = [i + 1 for i in range(grid[0]) if cats[:, i].any()]
    first = [i for i in columns if i - columns[0] < 2 * scale]
    span = f"columns {first[0]}-{first[-1]}" if first[1:] else f"column {first[0]}"
    assert spans([scene().things[0].box], scene(), grid).endswith(span)
    assert (seen["left"][:, first[0] - 1][cats[:, first[0] - 1]] == first[0]).all()


def test_letters_know_the_one_before_and_their_number() -> None:
    seen = seen_labels(scene(), (8, 8))
    line = scene().texts[0]
    row, begin = line.cells[0]
    assert line.text.startswith("an ox")
    signs = card_signs()
    assert seen["previous"][row, begin : begin + 5].tolist() == [1, 1 + signs["a"], 0, 1, 1 + signs["o"]]
    assert seen["index"][row, begin : begin + 5].tolist() == [1, 2, 0, 3, 4]
    assert max(seen["index"].ravel()) == len("anoxsat")  # the number goes on in the next line


def test_a_thought_names_the_places_in_rows() -> None:
    turn = sample_card_turn(scene(), random.Random(0), kinds=("read",))
    assert turn.thought.startswith("Text: row") and turn.thought.endswith(".")
    counts = [sample_card_turn(scene(), random.Random(i), kinds=("count",)) for i in range(40)]
    assert any(turn.thought.startswith("Cat: rows") and turn.answer == "2" for turn in counts)


def test_every_kind_can_be_asked_about_every_card() -> None:
    bare = lay_out(Card(genre="sign", background="red"), 256, 256)
    assert bare is not None
    for kind in WEIGHTS:
        turn = sample_card_turn(bare, random.Random(1), kinds=(kind,))
        assert turn.question and turn.thought and turn.answer
        assert not {"<", ">"} & set(turn.thought)


def test_nothing_has_the_nearest_colours_and_nothing_else() -> None:
    pixels = np.full((64, 96, 3), 255, dtype=np.uint8)
    pixels[:, 32:] = (220, 40, 40)
    labels = nothing_labels(pixels)
    assert labels["background"][:, 0].tolist() == [0, 0] and len(set(labels["background"].ravel())) == 2
    assert (labels["color"] == NO_COLOR).all()
    assert not any(labels[name].any() for name in ("kind", "sign", "thing", "shape", "texts", "things"))


def test_lines_for_a_tokenizer_hold_no_held_out_question() -> None:
    lines = card_question_lines(random.Random(4), 120)
    held = {form for forms in (*ENGLISH.values(), *CHINESE.values()) for form in forms if is_held_out(form, "question")}
    assert len(lines) == 360 and held and not held & set(lines)
    assert any("一" <= sign <= "鿿" for line in lines for sign in line) and any("Text: row" in line for line in lines)
