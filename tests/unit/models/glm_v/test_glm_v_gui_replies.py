"""Sixty replies as screen agents write them: quotation marks within texts, missing brackets, calls among prose."""

from __future__ import annotations

import random
from typing import Any

import pytest

from inkwash.models.glm_v.agent import ACTIONS, AgentReply, Screen, Unreadable, parse_agent

BOX, END = "<|begin_of_box|>", "<|end_of_box|>"
COMPUTER: list[tuple[str, str, dict[str, Any]]] = [
    ("type(content='It's fine')", "type", {"content": "It's fine"}),
    ("left_click(start_box='[10,20]', element_info='the 'OK' button')", "left_click",
     {"start_box": "[10,20]", "element_info": "the 'OK' button"}),
    ("type(content='first\nsecond')", "type", {"content": "first\nsecond"}),
    ("type(content='first\\nsecond')", "type", {"content": "first\nsecond"}),
    ("left_click([10,20])", "left_click", {"start_box": [10, 20]}),
    ("left_click('[10,20]', 'OK')", "left_click", {"start_box": "[10,20]", "element_info": "OK"}),
    (f"left_click(start_box='{BOX}[10,20]{END}', element_info='OK')", "left_click",
     {"start_box": "[10,20]", "element_info": "OK"}),
    ("left_click([010,020])", "left_click", {"start_box": "[010,020]"}),
    ("print(x='a') and so left_click(start_box='[1,2]')", "left_click", {"start_box": "[1,2]"}),
    ("I press the key(s) now. key(keys='ctrl+s')", "key", {"keys": "ctrl+s"}),
    ("The type (of file) is odd. type(content=\"a\")", "type", {"content": "a"}),
    (f"I wrote type(content='old'). {BOX}key(keys='enter'){END}", "key", {"keys": "enter"}),
    ("type(content='print(\"it's (done)\")') (then I wait)", "type", {"content": "print(\"it's (done)\")"}),
    ("type(content='Memory: 5 GB')\nMemory:\n[]", "type", {"content": "Memory: 5 GB"}),
    ("scroll(start_box='[1,2]', direction='down', step=5)", "scroll",
     {"start_box": "[1,2]", "direction": "down", "step": 5}),
    ("left_drag(start_box='[1,2]', end_box='[3,4]', element_info='Bob's file')", "left_drag",
     {"start_box": "[1,2]", "end_box": "[3,4]", "element_info": "Bob's file"}),
    ("```\nWAIT()\n```", "WAIT", {}),
    ("**DONE()**\nMemory: []", "DONE", {}),
    ("type(content=“你好”)", "type", {"content": "你好"}),
    ("type(content='C:\\\\new's')", "type", {"content": "C:\\new's"}),
]  # fmt: skip
CLICK = {"box_2d": [[100, 20, 300, 40]]}
PHONE: list[tuple[str, str, dict[str, Any]]] = [
    ('{"action_type": "click", "box_2d": [[100, 020, 300, 040]]}', "click", CLICK),
    ("{'action_type': 'click', 'box_2d': [[100, 20, 300, 40]]}", "click", CLICK),
    ('{"action_type": "click", "box_2d": [[100, 20, 300, 40]]', "click", CLICK),
    ('{"action_type": "click", "box_2d": [[100, 20, 300, 40', "click", CLICK),
    ('```json\n{"action_type": "click", "box_2d": [[100, 20, 300, 40]]}\n```', "click", CLICK),
    (f'{{"action_type": "click", "box_2d": {BOX}[[100, 20, 300, 40]]{END}}}', "click", CLICK),
    (f'{BOX}{{"action_type": "wait"}}{END}', "wait", {}),
    ('{"action_type": "input_text", "text": "a\nb", "box_2d": [[1, 2, 3, 4]], "override": true}', "input_text",
     {"text": "a\nb", "box_2d": [[1, 2, 3, 4]], "override": True}),
    ("{'action_type': 'input_text', 'text': \"it's 007\", 'override': False}", "input_text",
     {"text": "it's 007", "override": False}),
    ('{"action_type": "answer", "text": "Action: go {now}"}', "answer", {"text": "Action: go {now}"}),
    ('{"action_type": "open_app", "app_name": "Files"} I open it.', "open_app", {"app_name": "Files"}),
    ('{"note": 1} {"action_type": "navigate_back"}', "navigate_back", {}),
    ('{"action_type": "fly"} or {"action_type": "navigate_home"}', "navigate_home", {}),
    ('{"action_type": "status", "goal_status": "complete"}', "status", {"goal_status": "complete"}),
    ('{"action_type": "swipe", "direction": "up", "box_2d": null}', "swipe", {"direction": "up", "box_2d": None}),
    ('{"action_type": "long_press", "box_2d": [[007, 8, 9, 10]]}', "long_press", {"box_2d": [[7, 8, 9, 10]]}),
    ('{"action_type": "keyboard_enter",}', "keyboard_enter", {}),
    ('{"action_type":"input_text","text":"He said \\"hi\\"","override":false}', "input_text",
     {"text": 'He said "hi"', "override": False}),
    ('{"action_type": " click ", "box_2d": [[100, 20, 300, 40]]}', "click", CLICK),
    ('{"action_type": "answer", "text": "你好"}<|user|>', "answer", {"text": "你好"}),
]  # fmt: skip
WEB: list[tuple[str, str, dict[str, Any]]] = [
    ("Click [12]", "Click", {"mark": "12"}),
    ("Click the button [12]", "Click", {"mark": "12"}),
    ("I will Click [3].", "Click", {"mark": "3"}),
    ("Click [3]\nType [4]; [x]", "Click", {"mark": "3"}),
    ("Type [3]; [hello [world]]", "Type", {"mark": "3", "text": "hello [world]"}),
    ("Type [3]; [it's\nfine]", "Type", {"mark": "3", "text": "it's\nfine"}),
    ("Type [3]; hello", "Type", {"mark": "3", "text": "hello"}),
    ("Type [3] [hello]", "Type", {"mark": "3", "text": "hello"}),
    ("Scroll [WINDOW]; [down]", "Scroll", {"mark": "WINDOW", "text": "down"}),
    ("Scroll [5]; up", "Scroll", {"mark": "5", "text": "up"}),
    ("Wait", "Wait", {}),
    ("`GoBack`", "GoBack", {}),
    ("**Click [7]**", "Click", {"mark": "7"}),
    ("Bing", "Bing", {}),
    ("Key; [Return]", "Key", {"text": "Return"}),
    ("Key; Return", "Key", {"text": "Return"}),
    ("ANSWER; <content>42\nkm</content>", "ANSWER", {"text": "42\nkm"}),
    ("ANSWER; <content>Click [3] was it", "ANSWER", {"text": "Click [3] was it"}),
    ("ANSWER; [42]", "ANSWER", {"text": "42"}),
    (f"{BOX}Click [9]{END}", "Click", {"mark": "9"}),
]  # fmt: skip
FRAMES: dict[Screen, tuple[str, ...]] = {
    "computer": ("{}", "I look at it.\n{}", "<think>x</think>\n{}", "<think>x</think><answer>{}</answer>"),
    "phone": ("{}", "Memory: m\nReason: r\nAction: {}", "<think>x</think><answer>Reason: r\nAction: {}</answer>"),
    "web": ("Action: {}", "Thought: t\nAction: {}\nMemory_Updated: {{}}", "<think>x</think>\nAction: {}"),
}


def test_there_are_sixty() -> None:
    assert [len(replies) for replies in (COMPUTER, PHONE, WEB)] == [20, 20, 20]


def check(screen: Screen, said: str, name: str, arguments: dict[str, Any]) -> None:
    for frame in FRAMES[screen]:
        if said.endswith("<|user|>") and not frame.endswith("{}"):
            continue
        if "Memory:" in said and not frame.endswith("{}"):
            continue
        reply = parse_agent(frame.format(said), screen)
        assert reply.action is not None, frame
        assert (reply.action.name, reply.action.arguments) == (name, arguments), frame
        assert reply.unreadable is None


@pytest.mark.parametrize(("said", "name", "arguments"), COMPUTER)
def test_computers(said: str, name: str, arguments: dict[str, Any]) -> None:
    check("computer", said, name, arguments)


@pytest.mark.parametrize(("said", "name", "arguments"), PHONE)
def test_phones(said: str, name: str, arguments: dict[str, Any]) -> None:
    check("phone", said, name, arguments)


@pytest.mark.parametrize(("said", "name", "arguments"), WEB)
def test_web_pages(said: str, name: str, arguments: dict[str, Any]) -> None:
    check("web", said, name, arguments)


@pytest.mark.parametrize(
    ("screen", "said", "extra"),
    [
        ("computer", "left_click(start_box='[1,2]') then key(keys='a')", True),
        ("computer", "left_click(start_box='[1,2]'), yes, left_click(start_box='[1,2]')", False),
        ("phone", '{"action_type": "wait"} {"action_type": "navigate_back"}', True),
        ("phone", '{"action_type": "wait"}', False),
        ("web", "Action: Click [3]\nType [4]; [x]", True),
        ("web", "Action: Click [3]\nClick [3]", False),
    ],
)
def test_more_than_one_action_is_flagged(screen: Screen, said: str, extra: bool) -> None:
    assert parse_agent(said, screen).extra is extra


@pytest.mark.parametrize(
    ("screen", "said"),
    [
        ("computer", "left_click()"),
        ("computer", "click(start_box='[1,2]')"),
        ("computer", "nothing"),
        ("phone", '{"action_type": "fly"}'),
        ("phone", "click the button"),
        ("web", "Action: Click"),
        ("web", ""),
    ],
)
def test_what_cannot_be_read_says_so(screen: Screen, said: str) -> None:
    reply = parse_agent(said, screen)
    assert reply.action is None and isinstance(reply.unreadable, Unreadable) and "no action" in reply.unreadable.reason


def mutated(text: str, rng: random.Random) -> str:
    """The text with some pieces cut, doubled, swapped or replaced."""
    for _ in range(rng.randint(1, 4)):
        start, end = sorted(rng.randint(0, len(text)) for _ in range(2))
        piece = rng.choice(["", text[start:end] * 2, rng.choice("()[]{}'\"\\,;:\n0<>"), text[start:end][::-1]])
        text = text[:start] + piece + text[end:] if rng.random() < 0.5 else text[:start] + piece + text[start:]
    return text


def test_a_thousand_mutated_replies_are_no_error() -> None:
    rng = random.Random(0)
    said = {"computer": COMPUTER, "phone": PHONE, "web": WEB}
    for number in range(1000):  # tests/unit/agent/test_reply.py reads 5,000
        screen: Screen = rng.choice(["computer", "phone", "web"])
        text = rng.choice(FRAMES[screen]).format(rng.choice(said[screen])[0])
        reply: AgentReply = parse_agent(mutated(text, rng), screen)
        assert reply.action is None or reply.action.name in ACTIONS[screen], number


def test_long_replies_are_read_in_time() -> None:
    for bit in ("left_click(", "type(content='", "{", "[", '{"a":', "Click [", "Action:", "(", ")", "0", "Memory: ["):
        for screen in ACTIONS:
            parse_agent(bit * (20_000 // len(bit)), screen)
