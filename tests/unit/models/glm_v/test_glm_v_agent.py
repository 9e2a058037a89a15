"""Replies of screen agents: the three ways of writing, and what the published parsers lose."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwash.models.glm_v.agent import Action, parse_agent

CLICK = '{"action_type": "click", "box_2d": [[100, 200, 300, 400]]}'


@pytest.mark.parametrize(
    "text",
    [
        f"Memory: a\nReason: b\nAction: {CLICK}",
        f"<think>hm</think>\nMemory: a\nReason: b\nAction: <|begin_of_box|>{CLICK}<|end_of_box|>",
        f"<think>hm</think><answer>Memory: a\nReason: b\nAction: {CLICK}</answer>",  # published: json.loads raises
        f"<think>hm</think><answer>Memory: a\nReason: b\nAction: <|begin_of_box|>{CLICK}<|end_of_box|></answer>",
        f"Memory: a\nReason: b\nAction: {CLICK.replace(chr(34), chr(39))}",
    ],
)
def test_phones(text: str) -> None:
    reply = parse_agent(text, "phone")
    assert (reply.memory, reply.thought) == ("a", "b")
    assert reply.action == Action(name="click", arguments={"box_2d": [[100, 200, 300, 400]]})


def test_a_phone_reply_in_python_words() -> None:
    """The published example history is written so."""
    said = "Memory: \nReason: type\nAction: {'action_type': 'input_text', 'text': \"it's\", 'override': True}"
    action = parse_agent(said, "phone").action
    assert action is not None and action.arguments == {"text": "it's", "override": True}


COMPUTER = 'I press the button.\n{call}\nMemory:\n[\n  {{"file": "a.txt"}},\n  {{"done": true}}\n]'


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("frame", ["{}", "<think>x</think>\n{}", "<think>x</think><answer>{}</answer>"])
def test_computers(frame: str, boxed: bool) -> None:
    """Memory of several lines is kept in every format; published: lost between answer tags."""
    call = "left_click(start_box='[500,250]', element_info='OK (main) button')"
    shown = f"<|begin_of_box|>{call}<|end_of_box|>" if boxed else call
    reply = parse_agent(frame.format(COMPUTER.format(call=shown)), "computer")
    assert reply.thought == "I press the button." and reply.memory == [{"file": "a.txt"}, {"done": True}]
    assert reply.action == Action(
        name="left_click", arguments={"start_box": "[500,250]", "element_info": "OK (main) button"}
    )


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("DONE()", Action(name="DONE")),
        ("key(keys='ctrl+c')", Action(name="key", arguments={"keys": "ctrl+c"})),
        ("type(content='a) b')", Action(name="type", arguments={"content": "a) b"})),
        ("scroll(start_box='[1,2]', direction='down', step=5)",
         Action(name="scroll", arguments={"start_box": "[1,2]", "direction": "down", "step": 5})),
    ],
)  # fmt: skip
def test_calls(call: str, expected: Action) -> None:
    reply = parse_agent(f"Now (at last) {call}", "computer")
    assert reply.action == expected and reply.memory == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Click [12]", {"mark": "12"}),
        ("Type [3]; [hello [world]]", {"mark": "3", "text": "hello [world]"}),
        ("Scroll [WINDOW]; [down]", {"mark": "WINDOW", "text": "down"}),
        ("Wait", {}),
        ("GoBack", {}),
        ("Key; [Return]", {"text": "Return"}),
        ("ANSWER; <content>42\nkm</content>", {"text": "42\nkm"}),
    ],
)
@pytest.mark.parametrize("frame", ["{}", "<think>x</think>\n{}", "<think>x</think><answer>{}</answer>"])
def test_web_pages(said: str, expected: dict[str, str], frame: str) -> None:
    """With answer tags or, as 4.5V writes, without; published: without them nothing is read."""
    text = f'Thought: I look.\nAction: {said}\nMemory_Updated: {{"price": 3}}'
    reply = parse_agent(frame.format(text), "web")
    assert reply.thought == "I look." and reply.memory == {"price": 3}
    assert reply.action == Action(name=said.split()[0].rstrip(";"), arguments=expected)


@given(st.text(), st.sampled_from(["phone", "computer", "web"]))
@pytest.mark.slow
def test_no_text_is_an_error(text: str, screen: Any) -> None:
    parse_agent(text, screen)
