"""Answers to learn: the format of each model, the history it reads, and rows that lose what single ones lose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from inkwash.core.errors import DataError
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.tokenizer_files import TEMPLATE
from inkwash.train.sft import collate, history, make_example, sft_loss, target_of
from tests.parity.glm_v_folder import write_folder
from tests.pictures import noise_picture
from tests.unit.engine.see.conftest import tiny_parts

FULL = "<think>\nTwo players.</think>\n<answer>Kane</answer>"
CPU = torch.device("cpu")


def answer(content: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


@pytest.mark.parametrize(
    ("content", "tagged", "plain", "thinks"),
    [
        (FULL, f"{FULL}<|user|>", "\n<think>Two players.</think>\nKane<|user|>", None),
        ("Kane", "<think></think><answer>Kane</answer><|user|>", "\nKane<|user|>", False),
        ("<think></think>\nKane", "<think></think><answer>Kane</answer><|user|>", "\nKane<|user|>", False),
        (
            "<think>Hm.</think>\n<div>a</div>",
            "<think>Hm.</think><answer><div>a</div></answer><|user|>",
            "\n<think>Hm.</think>\n<div>a</div><|user|>",
            None,
        ),
        (
            "<think>Hm.</think><answer><|begin_of_box|>7<|end_of_box|></answer>",
            "<think>Hm.</think><answer><|begin_of_box|>7<|end_of_box|></answer><|user|>",
            "\n<think>Hm.</think>\n<|begin_of_box|>7<|end_of_box|><|user|>",
            None,
        ),
    ],
)
def test_each_model_gets_its_own_format(content: str, tagged: str, plain: str, thinks: bool | None) -> None:
    assert target_of(answer(content), "tagged").text == tagged
    found = target_of(answer(content), "plain")
    assert (found.text, found.enable_thinking) == (plain, thinks)


def test_tool_calls_end_with_the_observation() -> None:
    calls = [{"type": "function", "function": {"name": "crop", "arguments": '{"box": [1, 2], "why": "small"}'}}]
    found = target_of(answer("<think>Closer.</think>", tool_calls=calls), "plain")
    assert found.text == (
        "\n<think>Closer.</think>\n<tool_call>crop\n<arg_key>box</arg_key>\n<arg_value>[1, 2]</arg_value>\n"
        "<arg_key>why</arg_key>\n<arg_value>small</arg_value>\n</tool_call><|observation|>"
    )
    with pytest.raises(DataError, match="calls a tool"):
        target_of(answer("", tool_calls=calls), "tagged")


@pytest.mark.parametrize(
    "content",
    ["", "<think>a", "a</think>", "<think>a</think><answer>b", "<think>a</think><think>b</think>c", "a<|user|>b"],
)
def test_a_cut_or_badly_tagged_answer_is_refused(content: str) -> None:
    for style in ("tagged", "plain"):
        with pytest.raises(DataError):
            target_of(answer(content), style)  # type: ignore[arg-type]


def test_the_prompt_and_the_answer_are_what_the_template_writes(tmp_path: Path) -> None:
    """Rendering the whole conversation gives the prompt and then the lesson's text, calls and thoughts included."""
    processor = GlmVProcessor.from_folder(write_folder(tmp_path, TEMPLATE))
    call = {"type": "function", "function": {"name": "crop", "arguments": {"box": [1, 2], "why": "small"}}}
    messages = [
        {"role": "user", "content": "What?"},
        answer(FULL),
        {"role": "user", "content": "Zoom."},
        answer("<think>Closer.</think>", tool_calls=[call]),
        {"role": "tool", "content": "done"},
        answer("<think>I see.</think>\nA cat."),
    ]
    for place in (1, 3, 5):
        said = target_of(messages[place], "plain")
        before = history(messages[:place])
        prompt = processor.render(before, enable_thinking=said.enable_thinking)
        content = messages[place]["content"].replace("<answer>", "").replace("</answer>", "")
        whole = processor.render([*before, {**messages[place], "content": content}], add_generation_prompt=False)
        assert prompt + said.text == whole + ("<|observation|>" if place == 3 else "<|user|>")
    later = processor.render(history(messages[:5]))
    assert "Two players" not in later and "Kane" in later and "<answer>" not in later
    assert "Closer." in later  # thoughts since the last question stay


@pytest.mark.parametrize("experts", [False, True])
def test_rows_lose_what_single_answers_lose(tmp_path: Path, experts: bool) -> None:
    parts = tiny_parts(tmp_path / "model", experts=experts)
    examples = []
    for number, text in enumerate(("\nYes.<|user|>", "\n<think>Well</think>\nNo, a longer one.<|user|>")):
        image = noise_picture((24 + 16 * number, 24), 80, seed=number)
        parts_of = [{"type": "image"}, {"type": "text", "text": "Is it?" * (number + 1)}]
        prompt = parts.processor.prepare([{"role": "user", "content": parts_of}], images=[image])
        examples.append(make_example(parts.processor, prompt, text))
    assert [example.n_target for example in examples] == [
        len(parts.processor.encode(t)) for t in ("\nYes.<|user|>", "\n<think>Well</think>\nNo, a longer one.<|user|>")
    ]
    both, _ = sft_loss(parts.model, collate(examples, 0), CPU, see=True)
    alone = [sft_loss(parts.model, collate([example], 0), CPU, see=True)[0] for example in examples]
    said = [example.n_target for example in examples]
    expected = sum(loss * count for loss, count in zip(alone, said, strict=True)) / sum(said)
    torch.testing.assert_close(both, expected)
    frozen, _ = sft_loss(parts.model, collate(examples, 0), CPU, see=False)
    frozen.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for p in parts.model.model.visual.parameters())
