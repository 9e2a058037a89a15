"""The recipe of the nano agent: its pages, its batches, and the whole way with a few steps where there is a browser."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inkwash.agent.act import Act
from inkwash.agent.executors.browser import find_browser
from inkwash.agent.reply import read_reply
from inkwash.agent.worlds import teaching
from inkwash.agent.worlds.panels import FORM, sample_episode
from inkwash.core.errors import ConfigError, DataError
from inkwash.data.card_questions import CardQuestionBatches
from inkwash.data.panel_pages import PANEL_LABELS, PanelBatches, chunk_path, read_chunk, write_chunk
from inkwash.data.questions import QuestionBatches
from inkwash.models.glm_v.weights import load_glm_v
from inkwash.recipes import nano_agent, nano_v
from inkwash.scenes.panel_tasks import Move
from tests.unit.agent.screens import picture
from tests.unit.recipes.agent_stage import STEPS, train
from tests.unit.recipes.test_nano_v2 import TINY

BOX = (10.0, 70.0, 90.0, 100.0)


def facts(seed: int, kind: str) -> dict[str, Any]:
    """A step of an episode whose widgets are all at one place."""
    episode = sample_episode(seed, kinds=(kind,))  # type: ignore[arg-type]
    state: dict[str, Any] = {"clicked": [], "tab": None, "focus": None, "on": [], "fields": {}}
    boxes = {goal.key: BOX for goal in episode.task.goals}
    earlier = (Move(kind="click", key="button:OLD"),)
    return teaching.step_facts(episode.panel, episode.task, state, earlier, boxes, picture(0, (256, 256)))


@pytest.mark.parametrize("kind", ["press", "type", "infeasible", "form", "link"])
def test_what_is_taught_is_what_the_agent_reads(kind: str) -> None:
    """The answer is read as the act it stands for, and the question is the prompt of an agent."""
    found = facts(4, kind)
    assert found["question"].startswith("Step: I click the button OLD.\nTask: ")
    reply = read_reply(found["answer"], FORM)
    assert reply.act is not None and reply.thought in found["answer"]
    if kind == "infeasible":
        assert reply.act == Act(kind="fail")
    else:
        assert reply.act.kind == "click" and "rows 3 to 4, columns 1 to 3" in found["thought"]


@pytest.fixture
def chunks(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 255, (256, 256, 3), dtype=np.uint8) for _ in range(8)]
    write_chunk(chunk_path(tmp_path, 0), pixels, [facts(number, "press") for number in range(8)])
    return tmp_path


def test_batches_are_pure_and_carry_labels(chunks: Path) -> None:
    make = PanelBatches(folder=chunks, chunks=1, seed=1, batch=3, questions=0.4, talk_from=2)
    for step in range(8):
        one, two = make(step), make(step)
        assert np.array_equal(one["pixels"], two["pixels"]) and one["dialogues"] == two["dialogues"]
        cells = one["pixels"].shape[1] * one["pixels"].shape[2] // 32**2
        for name, classes in PANEL_LABELS.items():
            assert one[name].shape == (len(one["pixels"]), cells) and one[name].max() < classes
        if step < 2:
            assert all(row == [] for row in one["dialogues"])
    pages = [make(step) for step in range(2, 12)]
    shown = [batch for batch in pages if batch["widget"].any()]
    assert 0 < len(shown) < len(pages)
    grid = shown[0]["widget"][0].reshape(8, 8)
    assert grid[2:4, 0:3].tolist() == [[1, 1, 1], [1, 1, 1]] and grid.sum() == 6


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
    nano_agent.nano_agent(work, str(second_edition), pages=8, steps=1, language_from=0, batch=2, lr=0.0, knows="cards")
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


@pytest.mark.slow  # a browser draws 64 pages, then two steps of training
def test_the_whole_way_with_two_steps(tmp_path: Path) -> None:
    if find_browser() is None:
        pytest.skip("no chromium on this machine")
    folder = nano_agent.nano_agent_pages(tmp_path, pages=64)
    before = chunk_path(folder, 0).read_bytes()
    _, found = read_chunk(chunk_path(folder, 0))
    assert len(found) == 64 and len({each["kind"] for each in found}) >= 6
    assert nano_agent.nano_agent_pages(tmp_path, pages=64) == folder and chunk_path(folder, 0).read_bytes() == before
    nano_agent.nano_agent(tmp_path, pages=64, steps=2, language_from=1, batch=2)
    nano_agent.export_nano_agent(tmp_path, tmp_path / "checkpoint")
    size = sum(file.stat().st_size for file in (tmp_path / "checkpoint").iterdir())
    assert size <= 10e6
    from inkwash.engine.see.pipeline import GlmVisionPipeline

    pipe = GlmVisionPipeline.from_pretrained(tmp_path / "checkpoint")
    content = [{"type": "text", "text": "Task: Press A."}]
    assert pipe([{"role": "user", "content": content}], max_new_tokens=4, temperature=0).usage.completion_tokens <= 4
