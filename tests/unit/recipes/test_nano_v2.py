"""The recipe of Nano-V's second edition: its tokenizer, its size, and the whole way at tiny sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from inkwash.data.card_questions import CardQuestionBatches
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.recipes import nano_v
from inkwash.recipes.nano_v import NanoVSizes
from inkwash.scenes.card_meanings import card_signs
from inkwash.train.vlm_rows import dialogue_texts

TINY = NanoVSizes(
    vision_depth=1, vision_width=32, vision_heads=2, merger=32, width=48, inner=32, layers=1, heads=2, kv_heads=1,
    mrope_section=(2, 2, 2),
)  # fmt: skip
MOST_BYTES = 20e6


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nano-v2")
    nano_v.write_nano_v2_processor(folder, lines=300)
    return folder


@pytest.fixture(scope="module")
def processor(work: Path) -> GlmVProcessor:
    return nano_v.write_nano_v2_processor(work)


def test_every_character_between_quotation_marks_is_one_token(processor: GlmVProcessor) -> None:
    for text in (*card_signs(), "Happy Birthday", "there are three", "生日快乐"):
        ids = processor.encode(f'"{text}"')
        assert len(ids) == len(text) + 2 and processor.decode(ids) == f'"{text}"'
    two = processor.encode('"an ox"\n"SALE"')
    assert len(two) == len('"an ox"\n"SALE"')
    assert len(processor.encode("How many are there?")) < len("How many are there?")  # other words are not spelled


def test_the_checkpoint_stays_below_twenty_megabytes(processor: GlmVProcessor) -> None:
    with torch.device("meta"):
        model = nano_v.GlmV(nano_v.config(processor, nano_v.SECOND))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    missing = nano_v.CARD_VOCABULARY - processor.tokenizer.get_vocab_size()
    assert parameters > 9e6 and 2 * (parameters + 2 * missing * nano_v.SECOND.width) < MOST_BYTES


@pytest.mark.parametrize(("width", "height"), [(20, 20), (300, 130), (512, 512), (1024, 1024), (4000, 1000)])
def test_pictures_of_any_size_are_scaled_to_what_it_knows(processor: GlmVProcessor, width: int, height: int) -> None:
    down, across = processor.pictures.resized(2, height, width)
    assert 64**2 <= across * down <= 512**2 and across % 32 == down % 32 == 0
    assert 0.7 < (across / down) / (width / height) < 1.4
    values, grid = processor.pictures.picture(Image.new("RGB", (width, height), "red"))
    assert len(values) == grid[1] * grid[2] == across * down // 16**2


def test_every_thought_is_closed() -> None:
    make = CardQuestionBatches(seed=5, batch=2, dialogues=4, canvases=((256, 256),), nothing=0.2)
    talks = [talk for step in range(12) for row in make(step)["dialogues"] for talk in row]
    assert {talk.thinking for talk in talks} == {True, False}
    for talk in talks:
        text = "".join(dialogue_texts(talk))
        assert text.count("<think>") == text.count("</think>") == len(talk.turns)
        assert text.endswith("<|user|>") and text.rindex("</think>") < text.rindex(talk.turns[-1].answer)


def test_a_rehearsal_of_the_whole_way(work: Path, tmp_path: Path) -> None:
    nano_v.train_nano_v2(work, steps=2, language_from=1, batch=1, canvases=((192, 192),), sizes=TINY)
    head = (work / "see2" / "log.csv").read_text().splitlines()[0]
    assert "cells" in head and "answers" in head
    folder = nano_v.export_nano_v2(work, tmp_path / "checkpoint", sizes=TINY)
    pipe = GlmVisionPipeline.from_pretrained(str(folder))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (130, 300, 3), dtype=np.uint8))
    content = [{"type": "image", "image": picture}, {"type": "text", "text": "What is on this picture?"}]
    answer = pipe([{"role": "user", "content": content}], max_new_tokens=4, temperature=0)
    assert isinstance(answer.content, str) and isinstance(answer.thoughts, str)
    assert pipe.parts.model.config.text_config.hidden_size == TINY.width
