"""The recipe of the nano agent: its pages, its batches, and the whole way with a few steps where there is a browser."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inkwash.agent.act import Act, Place
from inkwash.agent.executors.browser import find_browser
from inkwash.agent.prompt import Past, Situation, make_prompt
from inkwash.agent.reply import StepReply, read_reply
from inkwash.agent.shot import png_of
from inkwash.agent.worlds import teaching
from inkwash.agent.worlds.panels import FORM, sample_episode
from inkwash.core.errors import ConfigError, DataError
from inkwash.data.card_questions import CardQuestionBatches
from inkwash.data.panel_pages import (
    GLYPHS,
    PANEL_LABELS,
    READING,
    SPELLING,
    PanelBatches,
    chunk_path,
    panel_labels,
    read_chunk,
    write_chunk,
)
from inkwash.data.questions import UNKNOWN, QuestionBatches
from inkwash.media.enlarge import enlarged
from inkwash.models.glm_v.folder import resolve_vision
from inkwash.models.glm_v.weights import load_glm_v
from inkwash.recipes import nano_agent, nano_v
from inkwash.scenes.panel_tasks import KINDS, Move
from inkwash.scenes.panels import Panel
from inkwash.train.vlm import ABSENT
from tests.unit.agent.screens import picture
from tests.unit.recipes.agent_stage import STEPS, train
from tests.unit.recipes.test_nano_v2 import TINY

BOX = (10.0, 70.0, 90.0, 100.0)
DIGITS = str.maketrans("01234567", "abcdefgh")


def facts(seed: int, kind: str, focus: str | None = None) -> dict[str, Any]:
    """A page on the way of an episode, whose widgets are all at one place."""
    episode = sample_episode(seed, kinds=(kind,))  # type: ignore[arg-type]
    boxes = {goal.key: BOX for goal in episode.task.goals}
    state: dict[str, Any] = {"clicked": [], "tab": None, "focus": focus and next(iter(boxes)), "on": [], "fields": {}}
    earlier = (Move(kind="click", key="button:OLD"),)
    found = teaching.page_facts(episode.panel, episode.task, state, earlier, boxes)
    return found | {
        "glyphs": [["A", 10.0, 70.0, 20.0, 90.0], ["b", 20.0, 70.0, 28.0, 90.0], ["-", 28.0, 70.0, 33.0, 90.0]]
    }


@pytest.mark.parametrize("kind", ["press", "type", "infeasible", "form", "link"])
def test_what_is_taught_is_what_the_agent_reads(kind: str) -> None:
    """The answer is read as the act it stands for, and the question is the prompt of an agent."""
    found = facts(4, kind)
    step = found["step"]
    task = step["question"].removeprefix('Step: I click the button "OLD".\nTask: ')
    past = (Past(reply=StepReply(thought='I click the button "OLD".', act=Act(kind="wait"))),)
    situation = Situation(task=task, screenshot=picture(0, (256, 256)), past=past)
    assert make_prompt(situation, FORM, short=True).parts[1] == step["question"]
    reply = read_reply(step["answer"], FORM)
    assert reply.act is not None and reply.thought in step["answer"]
    if kind == "infeasible":
        assert reply.act == Act(kind="fail")
    else:
        [box, *_] = found["boxes"].values()
        assert reply.act.kind == "click" and isinstance(reply.act.target, Place)
        x, y = FORM.grid.pixel(reply.act.target, (found["panel"]["width"], found["panel"]["height"]))
        assert abs(x + 0.5 - (box[0] + box[2]) / 2) <= 1 and abs(y + 0.5 - (box[1] + box[3]) / 2) <= 1
        assert "rows 5 to 7, columns 1 to 6" in step["thought"], "cells of the picture that is shown, twice as large"


def test_a_text_is_spelled_where_it_is_typed() -> None:
    """In double quotation marks each letter is a token; in single ones small letters are pieces that nobody knows."""
    found = facts(4, "type", focus="yes")["step"]
    act = read_reply(found["answer"], FORM).act
    assert act is not None and act.kind == "type" and f'content="{act.text}"' in found["answer"]
    assert act.text and act.text in found["question"]


def test_a_small_screenshot_is_enlarged_in_training_as_for_the_agent() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (256, 384, 3), dtype=np.uint8)
    shown = make_prompt(Situation(task="x", screenshot=png_of(Image.fromarray(pixels))), FORM, short=True).parts[0]
    assert isinstance(shown, bytes)
    with Image.open(io.BytesIO(shown)) as image:
        assert np.array_equal(np.asarray(image), np.asarray(enlarged(Image.fromarray(pixels))))
        assert image.size == (768, 512)
    large = png_of(Image.new("RGB", (400, 300)))
    assert make_prompt(Situation(task="x", screenshot=large), FORM, short=True).parts[0] == large


def test_other_tasks_of_a_page_are_right_in_its_state() -> None:
    """Whatever is asked, the widget of the answer is shown, and what is already typed is not asked for again."""
    teach = teaching.PanelTeacher(tasks=6)
    kinds = set()
    for seed in range(60):
        episode = sample_episode(seed)
        state = start_of(episode.panel)
        boxes = {key: (8.0, 50.0 + 9 * n, 90.0, 70.0 + 9 * n) for n, key in enumerate(keys_of(episode.panel, state))}
        page = teaching.page_facts(episode.panel, episode.task, state, (), boxes) | {"glyphs": []}
        page = json.loads(json.dumps(page))  # as a chunk keeps it
        one, two = (teach(page, random.Random(seed)) for _ in range(2))
        assert one == two and len(one) >= 7
        for turn in (SimpleNamespace(**each) for each in one):
            kinds.add(turn.kind)
            if turn.kind == "parts":
                assert all(f'"{key.partition(":")[2].rpartition("/")[2]}"' in turn.answer for key in boxes)
                continue
            act = read_reply(turn.answer, FORM).act
            assert act is not None and turn.question.startswith("Task: ")
            if act.kind == "click":
                name = turn.answer.split('"')[1]
                assert name in turn.question
                box = next(box for key, box in boxes.items() if key.endswith((f":{name}", f"/{name}")))
                assert isinstance(act.target, Place)
                x, y = FORM.grid.pixel(act.target, (episode.panel.width, episode.panel.height))
                assert box[0] <= x <= box[2] and box[1] <= y <= box[3]
    assert kinds == {*KINDS, "parts"}


def start_of(panel: Panel) -> dict[str, Any]:
    """The state of a page that was just opened."""
    tabs = panel.of("tabs")
    return {
        "clicked": [],
        "focus": None,
        "tab": f"tab:{tabs[0].options[0]}" if tabs else None,
        "on": [f"checkbox:{each.label}" for each in panel.of("checkbox") if each.on],
        "fields": {f"field:{each.label}": "" for each in panel.of("field")},
    }


def keys_of(panel: Panel, state: dict[str, Any]) -> list[str]:
    found = []
    for widget in panel.widgets:
        if widget.kind in ("button", "link", "field", "checkbox"):
            found.append(f"{widget.kind}:{widget.label}")
        elif widget.kind == "radio":
            found += [f"radio:{widget.label}/{option}" for option in widget.options]
        elif widget.kind == "tabs":
            found += [f"tab:{option}" for option in widget.options]
            shown = zip(panel.inside, widget.options, strict=True)
            found += [f"button:{name}" for name, option in shown if f"tab:{option}" == state["tab"]]
    return found


def test_quoted_words_are_spelled_and_known_tokens_stay(tmp_path: Path) -> None:
    before = load_glm_v(resolve_vision("nano-v"), dtype=torch.float32).processor
    after = nano_agent.write_agent_processor(before, tmp_path)
    pieces = [after.tokenizer.id_to_token(each) for each in after.encode('Task: Press "Garden".')]
    assert pieces[-9:] == ['"', "G", "a", "r", "d", "e", "n", '"', "."]
    for question in (
        "What does it say?",
        'Where is "HELLO"? Give a box in thousandths.',
        "How many objects are there?",
    ):
        assert after.encode(question) == before.encode(question)
    assert after.pictures.resized(2, 512, 768) == (512, 768), "an enlarged page is not made smaller again"
    assert before.pictures.resized(2, 256, 192) == after.pictures.resized(2, 256, 192)


@pytest.fixture
def chunks(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 255, (256, 256, 3), dtype=np.uint8) for _ in range(8)]
    write_chunk(chunk_path(tmp_path, 0), pixels, [facts(number, "press") for number in range(8)])
    return tmp_path


def test_batches_are_pure_and_carry_labels(chunks: Path) -> None:
    tell = teaching.PanelTeacher(tasks=1)
    ask = teaching.WordTeacher()
    make = PanelBatches(folder=chunks, chunks=1, seed=1, batch=3, tell=tell, tell_words=ask, questions=0.4, talk_from=2)
    for step in range(8):
        one, two = make(step), make(step)
        assert np.array_equal(one["pixels"], two["pixels"]) and one["dialogues"] == two["dialogues"]
        cells = one["pixels"].shape[1] * one["pixels"].shape[2] // 32**2
        for name, classes in PANEL_LABELS.items():
            assert one[name].shape == (len(one["pixels"]), cells) and one[name].max() < classes
        if step < 2:
            assert all(row == [] for row in one["dialogues"])
    pages = [make(step) for step in range(2, 12)]
    shown = [batch for batch in pages if batch["widget"].max() > 0]
    assert 0 < len(shown) < len(pages)
    assert all((batch["widget"] == UNKNOWN).all() for batch in pages if batch["widget"].max() <= 0)
    labels = {name: shown[0][name][0].reshape(16, 16) for name in PANEL_LABELS}
    assert labels["widget"][4:7, 0:6].tolist() == [[1] * 6] * 3 and labels["widget"].sum() == 18
    assert labels["glyph_left"].sum() == 0 and labels["glyph_right"].sum() == 2 + GLYPHS.index("A") + GLYPHS.index("b")
    assert labels["glyph_right"][5, 0:2].tolist() == [1 + GLYPHS.index("A"), 1 + GLYPHS.index("b")]


def test_pages_full_of_words_come_first_and_tell_letters_then_where_words_are(chunks: Path) -> None:
    (chunks / READING).mkdir()
    pixels = [np.full((256, 256, 3), number, dtype=np.uint8) for number in range(8)]
    words = [{"glyphs": [["Z", 2.0, 3.0, 9.0, 14.0], ["o", 9.0, 3.0, 16.0, 14.0]]} for _ in pixels]
    write_chunk(chunk_path(chunks / READING, 0), pixels, words)
    make = PanelBatches(
        folder=chunks,
        chunks=1,
        reading=1,
        seed=1,
        batch=3,
        tell=teaching.PanelTeacher(tasks=1),
        tell_words=teaching.WordTeacher(kinds=(("find", 1), ("absent", 1))),
        questions=0.4,
        talk_from=20,
        act_from=40,
    )
    early, finding, late = ([make(step) for step in range(at, at + 20)] for at in (0, 20, 40))
    full = [batch for batch in early if (batch["widget"] == UNKNOWN).all()]
    assert 8 <= len(full) < 20 and all(row == [] for batch in early for row in batch["dialogues"])
    for batch in full:
        assert (batch["glyph_left"][:, 0] == 1 + GLYPHS.index("Z")).all() and batch["glyph_left"].astype(
            bool
        ).sum() == 3
        assert batch["glyph_right"].sum() == 3 * (1 + GLYPHS.index("o"))
        for name, letter in zip(SPELLING, "Zo", strict=False):
            assert (batch[name][:, 0] == 1 + GLYPHS.index(letter)).all() and (batch[name][:, 1:] == 0).all()
        assert not any(batch[name].any() for name in SPELLING[2:])
    told = [[batch for batch in batches if (batch["row"] != UNKNOWN).all()] for batches in (finding, late)]
    windows, others = ([b for b in told[0] if (b["pixels"].shape[1] == 256) == small] for small in (True, False))
    assert len(windows) > len(others) and not any(batch["pixels"].shape[1] == 256 for batch in told[1])
    names = ["", *GLYPHS]
    for batch in windows:
        assert batch["pixels"].shape == (6, 256, 256, 3) and (batch["widget"] == UNKNOWN).all()
        for number, row in enumerate(batch["dialogues"]):
            for turn in (one.turns[0] for one in row if one.turns[0].kind == "find"):
                top, _, left, _ = (int(each) - 1 for each in re.findall(r"\d+", turn.thought.rpartition('"')[2]))
                cell = 8 * top + left
                there = {"".join(names[batch[name][number, at]] for name in SPELLING) for at in (cell, cell + 8)}
                assert turn.thought.split('"')[1].rstrip("-") in there
    for batch in others:
        assert all({"absent"} < {one.turns[0].kind for one in row} for row in batch["dialogues"])
    kinds = [{one.turns[0].kind for one in row} for batch in told[1] for row in batch["dialogues"]]
    assert sum(each <= {"find", "absent"} for each in kinds) < 0.3 * len(kinds)


def test_what_is_asked_about_a_page_full_of_words_is_right() -> None:
    """Places are those of cells of the picture shown, acts hit the word, and what is absent is not there."""
    rng, size = random.Random(0), (384, 256)
    glyphs: list[list[Any]] = []
    for row in range(8):
        left, cut = 4.0, 7 * (row == 3)  # one line begins left of the page
        for word in rng.sample(("Aba", "Cedar", "FIG", "Hijk", "lmnop", "Quartz", "Rst", "uvwxyz"), 6):
            for letter in f"{word}{row}".translate(DIGITS):
                glyphs.append([letter, left - cut, 6.0 + 30 * row, left + 8.0 - cut, 28.0 + 30 * row])
                left += 8.0
            left += 7.0
    boxes = dict(teaching._words_with_boxes(glyphs))
    assert len(boxes) == 48 and "Cedarzero" not in boxes
    seen, teach = set(), teaching.WordTeacher(kinds=(("find", 4), ("hit", 2), ("absent", 2), ("spell", 3)))
    for seed in range(40):
        page = {"glyphs": glyphs, "width": size[0], "height": size[1]}
        turns = teach(page, random.Random(seed))
        assert turns == teach(page, random.Random(seed)) and len(turns) == 11
        for turn in turns:
            seen.add(turn["kind"])
            text = (turn["answer"] if turn["kind"] == "spell" else turn["question"]).split('"')[1]
            if turn["kind"] == "absent":
                assert text.lower() not in {each.lower() for each in boxes} and turn["thought"] == "I do not see it."
                continue
            box = boxes[text]
            assert box[2] <= size[0], "what the picture cuts off is not asked for"
            place = turn["question"] if turn["kind"] == "spell" else turn["thought"]
            top, bottom, left, right = map(int, re.findall(r"\d+", place.rpartition('"')[2]))
            assert (top, bottom) == (int(2 * box[1]) // 32 + 1, int(2 * box[3] - 1) // 32 + 1)
            assert (left, right) == (max(0, int(2 * box[0]) // 32) + 1, int(2 * box[2] - 1) // 32 + 1)
            if turn["kind"] == "hit":
                act = read_reply(turn["answer"], FORM).act
                assert act is not None and isinstance(act.target, Place)
                x, y = FORM.grid.pixel(act.target, size)
                assert box[0] <= x <= box[2] and box[1] <= y <= box[3]
    assert seen == {"find", "hit", "absent", "spell"}


def test_a_cell_knows_the_word_of_which_it_shows_most() -> None:
    """The middles of letters decide; what is no letter of the alphabet is nothing."""
    lefts = {"A": 0, "b": 20, "c": 50, "D": 75, "e": 82, "-": 90}
    glyphs = [
        [letter, left, 4, right, 24]
        for (letter, left), right in zip(lefts.items(), (20, 50, 68, 82, 90, 97), strict=False)
    ]
    labels = panel_labels({"glyphs": glyphs}, 1, 4)
    names = ["", *GLYPHS]
    spelled = ["".join(names[labels[name][0, column]] for name in SPELLING) for column in range(4)]
    assert spelled == ["Abc", "Abc", "De", ""]


def test_damaged_and_missing_pages_are_one_sentence(tmp_path: Path) -> None:
    chunk_path(tmp_path, 0).write_bytes(b"no")
    with pytest.raises(DataError, match="draw them again"):
        read_chunk(chunk_path(tmp_path, 0))
    with pytest.raises(ConfigError, match="nano-agent-pages"):
        nano_agent.nano_agent(tmp_path, pages=64)


@pytest.fixture(scope="module")
def second_edition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of nano-v2 at a tiny size, as its own export writes it."""
    folder = tmp_path_factory.mktemp("nano-v2")
    processor = nano_v.write_nano_v2_processor(folder, lines=300)
    torch.manual_seed(1)
    torch.save(nano_v.new_model(processor, TINY).state_dict(), folder / "see2" / "see.pt")
    return nano_v.export_nano_v2(folder, folder / "checkpoint", sizes=TINY)


def test_it_begins_from_the_second_edition_and_asks_about_cards(second_edition: Path, chunks: Path) -> None:
    before = load_glm_v(second_edition, dtype=torch.float32).model.state_dict()
    work = chunks / "work"
    _place(chunks, work)
    few = {"pages": 8, "reading": 0, "steps": 1, "language_from": 0, "batch": 2}
    nano_agent.nano_agent(work, str(second_edition), **few, lr=0.0, knows="cards")  # type: ignore[arg-type]
    after = torch.load(work / "agent" / "see.pt")
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    asked = nano_agent._questions("cards", 1, 0)
    assert isinstance(asked, CardQuestionBatches) and asked.batch == 1
    assert isinstance(nano_agent._questions("scenes", 1, 0), QuestionBatches)
    with pytest.raises(ConfigError, match="scenes, cards"):
        nano_agent._questions("panels", 1, 0)


def _place(chunks: Path, work: Path) -> None:
    (work / "agent" / "pages").mkdir(parents=True)
    shutil.copy(chunk_path(chunks, 0), chunk_path(work / "agent" / "pages", 0))


@pytest.mark.slow  # a process of its own
def test_a_killed_run_ends_as_one_that_was_not(second_edition: Path, chunks: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle; the log of every step and the weights are the same to the last bit."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for work in (whole, cut):
        _place(chunks, work)
    command = [sys.executable, "-m", "tests.unit.recipes.agent_stage", str(cut), str(second_edition), "3"]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (cut / "agent" / "state.pt").exists() and not (cut / "agent" / "see.pt").exists()
    for work in (whole, cut):
        train(work, second_edition)
    one, two = (torch.load(work / "agent" / "see.pt") for work in (whole, cut))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    logs = [(work / "agent" / "log.csv").read_text() for work in (whole, cut)]
    assert logs[0] == logs[1] and len(logs[0].splitlines()) == 1 + STEPS
    rows = csv.DictReader(logs[0].splitlines())
    losses = [float(row["cells"]) for row in rows if row["cells"] and float(row["cells"]) > 0]
    chance = sum((1 + ABSENT) * math.log(classes) for classes in PANEL_LABELS.values())
    assert losses[0] <= chance + 0.01, "new heads begin at chance and do not disturb what was learnt"


@pytest.mark.slow  # a browser draws 64 pages, then two steps of training
def test_the_whole_way_with_two_steps(tmp_path: Path) -> None:
    if find_browser() is None:
        pytest.skip("no chromium on this machine")
    folder = nano_agent.nano_agent_pages(tmp_path, pages=64, reading=64)
    before = chunk_path(folder, 0).read_bytes()
    _, found = read_chunk(chunk_path(folder, 0))
    assert len(found) == 64 and len({each["step"]["kind"] for each in found}) >= 6
    assert all(each["glyphs"] for each in found)
    pixels, words = read_chunk(chunk_path(folder / READING, 0))
    assert len({picture.tobytes() for picture in pixels}) == 64 and all(set(each) == {"glyphs"} for each in words)
    letters = [sum(glyph[0] in GLYPHS for glyph in each["glyphs"]) for each in (*found, *words)]
    assert sum(letters[64:]) > 3 * sum(letters[:64]), "full of words"
    assert nano_agent.nano_agent_pages(tmp_path, pages=64, reading=64) == folder
    assert chunk_path(folder, 0).read_bytes() == before
    nano_agent.nano_agent(tmp_path, pages=64, reading=64, steps=2, language_from=1, batch=2)
    nano_agent.export_nano_agent(tmp_path, tmp_path / "checkpoint")
    size = sum(file.stat().st_size for file in (tmp_path / "checkpoint").iterdir())
    assert size <= 10e6
    from inkwash.engine.see.pipeline import GlmVisionPipeline

    pipe = GlmVisionPipeline.from_pretrained(tmp_path / "checkpoint")
    content = [{"type": "text", "text": "Task: Press A."}]
    assert pipe([{"role": "user", "content": content}], max_new_tokens=4, temperature=0).usage.completion_tokens <= 4
