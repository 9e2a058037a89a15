"""Tool calls as models write them: the usual form, the tolerated ones, and texts that are no call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwash.models.glm_v.tools import ToolCall, parse_tool_calls

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "zoom",
            "parameters": {
                "type": "object",
                "properties": {"label": {"type": "string"}, "box": {"type": "array"}, "times": {"type": "integer"}},
            },
        },
    }
]


def call(name: str, **arguments: str) -> str:
    pairs = "".join(f"<arg_key>{k}</arg_key>\n<arg_value>{v}</arg_value>\n" for k, v in arguments.items())
    return f"<tool_call>{name}\n{pairs}</tool_call>"


def test_types_follow_the_schema() -> None:
    text = "I look closer.\n" + call("zoom", label="007", box="[1, 2, 3, 4]", times="2")
    content, calls = parse_tool_calls(text, TOOLS)
    assert content == "I look closer."
    assert calls == [ToolCall(name="zoom", arguments={"label": "007", "box": [1, 2, 3, 4], "times": 2})]
    assert json.loads(calls[0].arguments_json) == calls[0].arguments


def test_several_calls_keep_their_order_and_the_words_around_them() -> None:
    content, calls = parse_tool_calls(f"a {call('one')} b {call('two')} c")
    assert [found.name for found in calls] == ["one", "two"]
    assert content.split() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("<tool_call>now</tool_call>", "now", {}),
        ("<tool_call>now\n</tool_call>", "now", {}),
        ("<tool_call>now\\n<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>", "now", {"a": 1}),
        ("<tool_call>now<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>", "now", {"a": 1}),
        ("<tool_call>now\n<arg_key>a</arg_key>\n<arg_value>1</arg_value></arg_value></tool_call>", "now", {"a": 1}),
        ("<tool_call>now</arg_value></tool_call>", "now", {}),
        ("<tool_call>\nnow\n</tool_call>", "now", {}),
    ],
)
def test_forms_seen_in_the_wild(text: str, name: str, arguments: dict[str, Any]) -> None:
    assert parse_tool_calls(text) == ("", [ToolCall(name=name, arguments=arguments)])


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("{'a': True}", {"a": True}),
        ('{\\"a\\": 1}', {"a": 1}),
        ("two words", "two words"),
        ("true", True),
        ("None", None),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("{1, 2}", "{1, 2}"),
        ("'\\d'", "\\d"),
    ],
)
def test_values_without_a_schema(value: str, read: object) -> None:
    assert parse_tool_calls(call("now", a=value))[1][0].arguments == {"a": read}


@pytest.mark.parametrize(
    "text", ["", "no call", "<tool_call>cut short\n<arg_key>a</arg_key>", "<tool_call> </tool_call>"]
)
def test_what_is_no_call_stays_in_the_text(text: str) -> None:
    assert parse_tool_calls(text) == (text, [])


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_value_can_be_sent_on(before: str, value: str) -> None:
    _, calls = parse_tool_calls(before + call("now", a=value))
    for found in calls:
        assert json.loads(found.arguments_json.encode("utf-8", "surrogatepass")) == json.loads(found.arguments_json)


@given(st.one_of(st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.lists(st.integers(0, 9)), st.text("ab c")))
def test_values_written_as_json_come_back(value: object) -> None:
    assert parse_tool_calls(call("now", a=json.dumps(value)))[1][0].arguments == {"a": value}
