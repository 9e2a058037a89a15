"""Arguments of tool calls: verbatim texts, types by the whole schema, and the same in pieces as at once."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from inkwash.models.glm_v.tools import CallPiece, ToolCall, ToolCallStream, parse_tool_calls, tool_call_text


class Point(BaseModel):
    x: int


class Wanted(BaseModel):
    """What Pydantic, and so every agent library, makes of Python's types."""

    maybe: str | None
    text_or_number: str | int
    text_or_list: str | list[str]
    number: int | None
    point: Point
    points: list[Point] | None


PYDANTIC = Wanted.model_json_schema()
EXTRA: dict[str, Any] = {
    "names": {"enum": ["1", "2", "true"]},
    "sizes": {"enum": [1, 2, "auto"]},
    "fixed": {"const": 7},
    "exact": {"const": "7"},
    "both": {"type": ["string", "null"]},
    "either": {"type": ["boolean", "integer"]},
    "old": {"type": "string", "nullable": True},
    "all": {"allOf": [{"type": "string"}, {"minLength": 1}]},
    "any": {},
    "list": {"items": {"type": "integer"}},
    "loop": {"$ref": "#/$defs/Loop"},
}
SCHEMA = {
    "type": "object",
    "properties": {**PYDANTIC["properties"], **EXTRA},
    "$defs": {**PYDANTIC["$defs"], "Loop": {"$ref": "#/$defs/Loop"}},
    "additionalProperties": {"type": "string"},
}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]


def said(**arguments: str) -> str:
    return tool_call_text({"name": "f", "arguments": arguments})


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("maybe", "123", "123"),
        ("maybe", "true", "true"),
        ("maybe", "None", "None"),
        ("maybe", "null", None),
        ("maybe", "  kept  ", "  kept  "),
        ("text_or_number", "007", "007"),
        ("text_or_number", "5", "5"),
        ("text_or_list", '["a"]', ["a"]),
        ("text_or_list", "[a", "[a"),
        ("text_or_list", "['a']", "['a']"),
        ("number", "5", 5),
        ("number", " 5\n", 5),
        ("number", "null", None),
        ("point", '{"x": 1}', {"x": 1}),
        ("point", "{'x': 1}", {"x": 1}),
        ("points", '[{"x": 1}]', [{"x": 1}]),
        ("names", "1", "1"),
        ("names", " true ", "true"),
        ("names", "5", "5"),
        ("sizes", "1", 1),
        ("sizes", "auto", "auto"),
        ("fixed", "7", 7),
        ("exact", "7", "7"),
        ("both", "1.5", "1.5"),
        ("both", "null", None),
        ("either", "True", True),
        ("either", "3", 3),
        ("old", "null", None),
        ("all", "12", "12"),
        ("any", "12", 12),
        ("any", "NaN", "NaN"),
        ("list", "[1]", [1]),
        ("list", "one", "one"),
        ("more", "12", "12"),
        ("loop", "12", "12"),
    ],
)
def test_the_whole_schema_decides(key: str, text: str, value: Any) -> None:
    _, calls = parse_tool_calls(said(**{key: text}), TOOLS)
    assert calls == [ToolCall(name="f", arguments={key: value})]
    assert type(calls[0].arguments[key]) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        "  two  blanks ",
        "\n\tindented\n",
        "a </tool_call> b",
        "</tool_call>",
        "<tool_call>g\n<arg_key>a</arg_key>\n<arg_value>1</tool_call>",
        "a </arg_value> b",
        "<arg_key>k</arg_key>",
        "",
        "\\n",
        '{"a": "\\"b"}',
        "你好 🙂",
    ],
)
def test_texts_come_back_verbatim(value: str) -> None:
    text = f"Now.{said(maybe=value, more=value)}{said(number='3')} Done."
    content, calls = parse_tool_calls(text, TOOLS)
    expected = {"maybe": value, "more": value}
    if value == '{"a": "\\"b"}':
        assert json.loads(value)
    assert [call.arguments for call in calls] == [expected, {"number": 3}]
    assert content == "Now. Done."


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "f", "arguments": {"maybe": "5", "n": 1}}</tool_call>',
        '<tool_call>\n{"name": "f", "parameters": {"maybe": "5", "n": 1}}\n</tool_call>',
        '<tool_call>{"name": "f", "arguments": "{\\"maybe\\": \\"5\\", \\"n\\": 1}"}</tool_call>',
        "<tool_call>{'name': 'f', 'arguments': {'maybe': '5', 'n': 1}}</tool_call>",
        '<tool_call>{"type": "function", "function": {"name": "f", "arguments": {"maybe": "5", "n": 1}}}</tool_call>',
        '<tool_call>f\n{"maybe": "5", "n": 1}</tool_call>',
        '<tool_call>f{"maybe": "5", "n": 1}\n</tool_call>',
    ],
)
def test_calls_written_as_json(text: str) -> None:
    assert parse_tool_calls(text, TOOLS) == ("", [ToolCall(name="f", arguments={"maybe": "5", "n": 1})])


def test_a_json_call_may_hold_the_closing_tag() -> None:
    text = '<tool_call>{"name": "f", "arguments": {"maybe": "</tool_call>"}}</tool_call>!'
    assert parse_tool_calls(text, TOOLS) == ("!", [ToolCall(name="f", arguments={"maybe": "</tool_call>"})])


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": 5}</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        "<tool_call>{broken</tool_call>",
        "<tool_call><b></tool_call>",
        f"<tool_call>{'n' * 400}</tool_call>",
        '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert parse_tool_calls(text, TOOLS) == (text, [])
    assert streamed(text, []) == (text, [])


def test_a_value_that_is_never_closed_ends_with_its_call() -> None:
    text = "<tool_call>f\n<arg_key>maybe</arg_key>\n<arg_value>x\n</tool_call>"
    assert parse_tool_calls(text, TOOLS)[1] == [ToolCall(name="f", arguments={"maybe": "x\n"})]


def streamed(text: str, cuts: list[int]) -> tuple[str, list[ToolCall]]:
    """What a stream tells, put together as a client does it."""
    stream, places = ToolCallStream(TOOLS), [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [piece for start, end in pairwise(places) for piece in stream.feed(text[start:end])]
    pieces += stream.feed("", last=True)
    content = "".join(piece for piece in pieces if isinstance(piece, str))
    calls: list[list[str]] = []
    for piece in pieces:
        if isinstance(piece, CallPiece):
            if piece.name is not None:
                assert piece.index == len(calls)
                calls.append([piece.name, ""])
            calls[piece.index][1] += piece.arguments
    if stream.unfinished:
        calls.pop()
    found = [ToolCall(name=name, arguments=json.loads(arguments)) for name, arguments in calls]
    assert found == stream.calls
    return content, found


VALUES = st.one_of(
    st.text('ab <>/_\n\\"{}', max_size=12),
    st.sampled_from(["5", "null", "true", "</arg_value>", "</tool_call>", "<arg_key>", '{"x": 1}', "</arg_val"]),
)
KEYS = st.sampled_from([*SCHEMA["properties"], "unknown"])  # type: ignore[misc]
CALLS = st.dictionaries(KEYS, VALUES, max_size=3).map(lambda arguments: said(**arguments))
BITS = st.sampled_from(["<tool_call>", "</tool_call>", "f\n", "<arg_key>a</arg_key>", "<arg_value>", '{"name": "f"}'])
TEXTS = st.lists(st.one_of(CALLS, VALUES, BITS), max_size=5).map("".join)


@given(TEXTS, st.lists(st.integers(0, 200), max_size=8))
def test_pieces_make_no_difference(text: str, cuts: list[int]) -> None:
    content, calls = parse_tool_calls(text, TOOLS)
    shown, told = streamed(text, cuts)
    complete = streamed(text, [])
    assert (shown, told) == complete
    if told == calls:
        assert content in (shown, shown.strip()) or len(content) > len(shown)  # a call cut short is text in the whole


def test_a_text_streams_while_it_is_written() -> None:
    stream = ToolCallStream(TOOLS)
    assert stream.feed("Now <tool") == ["Now "]
    assert stream.feed("_call>f\n") == [CallPiece(0, "f", "")]
    assert stream.feed("<arg_key>more</arg_key>\n<arg_value>on") == [CallPiece(0, None, '{"more": "on')]
    assert stream.feed('e "two" </ar') == [CallPiece(0, None, 'e \\"two\\" ')]
    assert stream.feed("g_value>") == []
    assert stream.feed("\n<arg_key>number</arg_key><arg_value>4") == [CallPiece(0, None, '"')]
    assert stream.feed("2</arg_value>\n</tool_call> so") == [CallPiece(0, None, ', "number": 42}'), " so"]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.lists, max_leaves=8), VALUES)
def test_any_schema_is_survived(schema: Any, text: str) -> None:
    for whole in (schema, {"properties": {"a": schema}}, {"properties": {"a": {"type": schema, "enum": schema}}}):
        tool = {"function": {"name": "f", "parameters": whole}}
        for call in parse_tool_calls(said(a=text), [tool])[1]:
            assert json.loads(call.arguments_json) == call.arguments


def test_long_answers_are_read_in_time() -> None:
    """Nothing here may take more than linear time by much: 30,000 characters of blanks, openings and closings."""
    for bit in (" ", "<tool_call>", "</tool_call>", "<tool_call>{", "<arg_value>", "</arg_value>", "\\n"):
        count = 30_000 // len(bit)
        for before in ("", "<tool_call>", "<tool_call>f\n<arg_key>a</arg_key><arg_value>", "<tool_call>{"):
            parse_tool_calls(before + bit * count, TOOLS)


HOPELESS = (
    "<tool_call>",
    "<tool_call>{",
    "<tool_call>{</tool_call>",
    '<tool_call>{"name": "f", "arguments": {"a": [1, ',
    "<tool_call>f\n",
    "<tool_call>f<arg_key>a</arg_key><arg_value></tool_call></arg_value><arg_key>",
    "<tool_call>f<arg_key>a</arg_key><arg_value>[1, </arg_value>x",
    "<tool_call>" + "n" * 250,
)


@pytest.mark.parametrize("end", ["", "</tool_call>"])
@pytest.mark.parametrize("bit", HOPELESS)
def test_time_grows_as_the_text_does(bit: str, end: str) -> None:
    """Eight times the text takes eight times as long, not sixty-four times."""

    def seconds(length: int) -> float:
        text = bit * (length // len(bit)) + end
        begun = time.thread_time()
        parse_tool_calls(text, TOOLS)
        ToolCallStream(TOOLS).feed(text, last=True)
        return time.thread_time() - begun

    short, long = seconds(30_000), seconds(240_000)
    assert short < 0.5 and long < 24 * short + 0.1


def test_openings_that_lead_nowhere_do_not_hide_a_call() -> None:
    text = "<tool_call>" * 2000 + "f\n</tool_call>"
    assert parse_tool_calls(text, TOOLS)[1] == [ToolCall(name="f", arguments={})]
    assert streamed(text, [])[1] == [ToolCall(name="f", arguments={})]
    broken = "<tool_call>{1</tool_call>" * 200 + said(maybe="5")
    assert parse_tool_calls(broken, TOOLS) == (broken, []), "given up long before"
