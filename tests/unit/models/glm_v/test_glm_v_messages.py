"""The gate for messages: one form for all that clients send, and a sentence for what a template cannot say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwash.core.errors import RequestError
from inkwash.models.glm_v.messages import normal_messages
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.tokenizer_files import TEMPLATE
from tests.parity.glm_v_folder import TAGGED, write_folder

RELEASED_PLAIN = """[gMASK]<sop>
{%- if tools -%}<|system|>
# Tools{% for tool in tools %}
{{ tool | tojson }}{% endfor %}{%- endif -%}
{%- for m in messages -%}
{%- if m.role == 'user' -%}<|user|>
{{ m.content }}
{%- elif m.role == 'assistant' -%}<|assistant|>
<think></think>
{{ m.content }}{% for tc in m.tool_calls or [] %}{% set tc = tc.function %}
<tool_call>{{ tc.name }}
{% for k, v in tc.arguments.items() %}<arg_key>{{ k }}</arg_key>
<arg_value>{{ v if v is string else v | tojson }}</arg_value>
{% endfor %}</tool_call>{% endfor %}
{%- elif m.role == 'tool' -%}<|observation|>
<tool_response>
{{ m.content }}
</tool_response>
{%- elif m.role == 'system' -%}<|system|>
{{ m.content }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}
"""  # prints what it is given, as released templates do
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "[1, 2]", "n": 3}'}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module", params=[RELEASED_PLAIN, TEMPLATE], ids=["released", "ours"])
def processor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> GlmVProcessor:
    return GlmVProcessor.from_folder(write_folder(tmp_path_factory.mktemp("plain"), request.param))


def user(content: Any = "Hi") -> dict[str, Any]:
    return {"role": "user", "content": content}


def test_null_contents_are_empty(processor: GlmVProcessor) -> None:
    for content in (None, "", [], [{"type": "text", "text": None}]):
        turns = [user(), {"role": "assistant", "content": content, "tool_calls": [CALL]},
                 {"role": "tool", "content": content, "tool_call_id": "c1"}]  # fmt: skip
        text = processor.render(turns, tools=[TOOL])
        assert "None" not in text and "[]" not in text
        assert "<tool_call>look\n<arg_key>at</arg_key>\n<arg_value>[1, 2]</arg_value>" in text
        assert "<tool_response>\n\n</tool_response>" in text


@pytest.mark.parametrize("role", ["user", "system", "developer", "tool"])
def test_a_message_whose_words_stand_under_another_name_is_not_an_empty_one(role: str) -> None:
    for fields in ({"parts": [{"text": "Hi"}]}, {"text": "Hi"}, {}):
        with pytest.raises(RequestError, match=f"role '{role}' has no content"):
            normal_messages([{"role": role, **fields}])
    assert normal_messages([{"role": role, "content": None}])[0]["content"] == ""


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize(
    "content",
    ["Be brief.", ["Be brief."], [{"type": "text", "text": "Be brief."}], {"type": "text", "text": "Be brief."}],
)
def test_lists_and_developers_are_system_texts(processor: GlmVProcessor, role: str, content: Any) -> None:
    assert "<|system|>\nBe brief.<|user|>" in processor.render([{"role": role, "content": content}, user()])


@pytest.mark.parametrize(
    ("kinds", "shown"),
    [
        (["image", "text"], "<|begin_of_image|>[]<|end_of_image|>Hi"),
        (["text", "image"], "<|begin_of_image|>[]<|end_of_image|>Hi"),
        (
            ["text", "text", "image", "video"],
            "<|begin_of_image|>[]<|end_of_image|><|begin_of_video|>()<|end_of_video|>HiHi",
        ),
        (["text", "image", "text"], "Hi<|begin_of_image|>[]<|end_of_image|>Hi"),
        (["image", "text", "image"], "<|begin_of_image|>[]<|end_of_image|>Hi<|begin_of_image|>[]<|end_of_image|>"),
        (["text"], "Hi"),
    ],
)
def test_media_at_the_end_of_a_message_stand_before_its_texts(tmp_path: Path, kinds: list[str], shown: str) -> None:
    ours = GlmVProcessor.from_folder(write_folder(tmp_path, TEMPLATE))
    parts = [{"type": kind} | ({"text": "Hi"} if kind == "text" else {}) for kind in kinds]
    text = ours.render([user(parts)])
    places = {"<|image|>": "[]", "<|video|>": "()"}
    for token, place in places.items():
        text = text.replace(token, place)
    assert text == f"[gMASK]<sop><|user|>\n{shown}<|assistant|>"


def test_parts_are_paragraphs_and_pieces_of_an_answer_are_not() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}]
    roles = {message["role"]: message["content"] for message in normal_messages(
        [{"role": role, "content": parts} for role in ("system", "tool", "assistant", "user")]
    )}  # fmt: skip
    texts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert roles == {"system": "a\nb", "tool": "a\nb", "assistant": "ab", "user": texts}


@pytest.mark.parametrize("arguments", [None, "", "{}", {}, " "])
def test_calls_without_arguments(processor: GlmVProcessor, arguments: Any) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": arguments}}
    text = processor.render(
        [user(), {"role": "assistant", "content": None, "tool_calls": [call]}, user()], tools=[TOOL]
    )
    assert "<tool_call>look\n</tool_call>" in text


def test_calls_of_the_old_protocol(processor: GlmVProcessor) -> None:
    old = {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": '{"n": 3}'}}
    text = processor.render([user(), old, {"role": "function", "name": "look", "content": "red"}], tools=[TOOL])
    assert "<arg_value>3</arg_value>" in text and "<tool_response>\nred\n</tool_response>" in text


def test_halves_of_an_emoji_are_marked() -> None:
    content = [{"type": "text", "text": "a\ud83d"}]
    found = normal_messages([user("a\ud83d"), user("\ud83d\ude00"), user(content)])
    assert [message["content"] for message in found] == ["a\ufffd", "😀", [{"type": "text", "text": "a\ufffd"}]]


def test_thoughts_of_other_protocols_are_not_read() -> None:
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Yes"}]
    assert normal_messages([{"role": "assistant", "content": parts, "reasoning": "so"}]) == [
        {"role": "assistant", "content": "Yes", "reasoning_content": "so", "tool_calls": []}
    ]


NO_TOOLS = """[gMASK]<sop>{%- for m in messages -%}
{%- if m.role in ('system', 'user') -%}<|{{ m.role }}|>
{{ m.content }}{%- elif m.role == 'assistant' -%}<|assistant|>
{{ m.content }}{%- endif -%}{%- endfor -%}<|assistant|>
"""


@pytest.mark.parametrize("template", [NO_TOOLS, TAGGED])
@pytest.mark.parametrize(
    ("messages", "tools", "said"),
    [
        ([user()], [TOOL], "offered tools"),
        ([user(), {"role": "assistant", "content": "x", "tool_calls": [CALL]}], [], "tool calls of earlier turns"),
        ([user(), {"role": "tool", "content": "x"}], [], "results of tools"),
    ],
)
def test_what_a_template_cannot_say_is_refused(
    tmp_path: Path, template: str, messages: list[Any], tools: list[Any], said: str
) -> None:
    """Templates of the 4.1 kind know no tools."""
    processor = GlmVProcessor.from_folder(write_folder(tmp_path, template))
    assert "Hi" in processor.render([user()])
    with pytest.raises(RequestError, match=f"cannot say {said}"):
        processor.render(messages, tools=tools)


def test_pictures_that_a_template_drops_are_refused(processor: GlmVProcessor, tmp_path: Path) -> None:
    from PIL import Image

    silent = GlmVProcessor.from_folder(write_folder(tmp_path, NO_TOOLS.replace("{{ m.content }}", "x")))
    with pytest.raises(RequestError, match="does not show the image parts of user messages"):
        silent.prepare([user([{"type": "image"}])], images=[Image.new("RGB", (56, 56))])


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Hi", "must be an object"),
        ({"content": "Hi"}, "must be an object with a role"),
        ({"role": "critic", "content": "Hi"}, "has the role 'critic'"),
        ({"role": "user", "content": 5}, "must be text or a list of parts, got int"),
        ({"role": "user", "content": [5]}, "must be a text or an object, got int"),
        ({"role": "user", "content": [{"type": "text", "text": 5}]}, "must be a text, got int"),
        ({"role": "assistant", "content": "", "tool_calls": 5}, "tool_calls of a message must be a list"),
        ({"role": "assistant", "content": "", "tool_calls": [{"function": {}}]}, "a function with a name"),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "[1]"}}]},
            "JSON object, got list",
        ),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "{"}}]}, "are not JSON"),
        ({"role": "assistant", "content": "", "reasoning_content": 5}, "must be a text, got int"),
        ({"role": "tool", "content": "", "tool_call_id": 5}, "tool_call_id"),
    ],
)
def test_broken_messages_get_a_sentence(message: Any, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        normal_messages([message])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["role", "content", "tool_calls", "function_call", "reasoning_content", "tool_call_id", "name"]
)
ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])


@given(st.lists(st.tuples(ROLES, st.dictionaries(FIELDS, JSON, max_size=4)), min_size=1, max_size=3))
def test_any_messages_are_one_form_or_refused(given: list[tuple[str, dict[str, Any]]]) -> None:
    try:
        found = normal_messages([{"role": role, **fields} for role, fields in given])
    except RequestError:
        return
    for message in found:
        assert isinstance(message["content"], str | list) and message["role"] in ("system", "user", "assistant", "tool")
        assert all(isinstance(call["function"]["arguments"], dict) for call in message.get("tool_calls") or [])
    assert normal_messages(found) == found
