"""The shipped Nano-V loads in the reference library and says there what it says here."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.models.glm_v.folder import BUNDLED
from inkwash.models.glm_v.tokenizer_files import TEMPLATE
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.render import render

QUESTIONS = ("What does it say?", "How many shapes are there?", "What is the color of the background?")


@pytest.fixture(scope="module")
def pipe() -> GlmVisionPipeline:
    return GlmVisionPipeline.from_pretrained("nano-v")


def test_answers_are_those_of_the_reference(pipe: GlmVisionPipeline) -> None:
    import transformers

    reference: Any = transformers.Glm4vForConditionalGeneration.from_pretrained(BUNDLED, dtype=torch.float32).eval()
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(BUNDLED)
    for number, question in enumerate(QUESTIONS):
        picture = render(sample_scene(random.Random(number), split="held_out"))
        parts = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
        messages = [{"role": "user", "content": parts}]
        ours = pipe(messages, max_new_tokens=60, temperature=0)
        prompt = pipe.prepare(messages)
        assert tokenizer(prompt.text)["input_ids"] == prompt.ids.tolist()
        made = reference.generate(
            input_ids=prompt.ids[None],
            attention_mask=torch.ones_like(prompt.ids[None]),
            mm_token_type_ids=prompt.modality[None],
            pixel_values=prompt.patches,
            image_grid_thw=torch.tensor(prompt.grids),
            max_new_tokens=60,
            do_sample=False,
        )
        said = made[0, len(prompt.ids) :].tolist()
        assert said == list(ours.token_ids)
        assert tokenizer.decode(said[:-1]) == ours.text and ours.finish_reason == "stop"


def test_it_thinks_briefly_and_can_be_told_not_to(pipe: GlmVisionPipeline) -> None:
    picture = render(sample_scene(random.Random(1), split="held_out"))
    parts = [{"type": "image", "image": picture}, {"type": "text", "text": "How many shapes are there?"}]
    messages = [{"role": "user", "content": parts}]
    thinking, silent = pipe(messages, temperature=0), pipe(messages, temperature=0, enable_thinking=False)
    assert 0 < thinking.usage.thinking_tokens < 40 and thinking.content.isdecimal()
    assert not silent.thoughts and silent.content.isdecimal()


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_picture_behind_its_question_is_seen_as_one_before_it(pipe: GlmVisionPipeline, question: str) -> None:
    """Clients of the chat API send the text first as often as not."""
    picture = render(sample_scene(random.Random(2), split="held_out"))
    parts: list[dict[str, Any]] = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
    before, behind = (pipe.prepare([{"role": "user", "content": order}]) for order in (parts, parts[::-1]))
    assert before.ids.tolist() == behind.ids.tolist()


def test_it_is_small_and_has_a_template_of_the_family() -> None:
    assert sum(file.stat().st_size for file in BUNDLED.iterdir()) < 40 * 2**20
    template = (BUNDLED / "chat_template.jinja").read_text()
    assert template == TEMPLATE and "enable_thinking" in template and "<tool_call>" in template
