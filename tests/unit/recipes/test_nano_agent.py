"""The recipe of the nano agent: its pages, its batches, and the whole way with a few steps where there is a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inkwash.agent.act import Act
from inkwash.agent.executors.browser import find_browser
from inkwash.agent.reply import read_reply
from inkwash.agent.worlds import teaching
from inkwash.agent.worlds.panels import FORM, sample_episode
from inkwash.core.errors import ConfigError, DataError
from inkwash.data.panel_pages import PANEL_LABELS, PanelBatches, chunk_path, read_chunk, write_chunk
from inkwash.recipes import nano_agent
from inkwash.scenes.panel_tasks import Move
from tests.unit.agent.screens import picture

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
