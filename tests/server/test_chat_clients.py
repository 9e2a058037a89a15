"""The field's own clients against a live server with the shipped model: OpenAI's, LiteLLM and LangChain.

The model is small and says little, so what is looked at is the protocol and the rules that hold whatever it would like
to say: JSON that its schema validates, calls with arguments of the tool's schema, texts cut where they should be.
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import jsonschema
import openai
import pytest
from annotated_types import Ge, Le, MaxLen
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.serve.chat.schema import ChatBody
from inkwash.serve.server import mount_chat
from inkwash.serve.settings import ChatSettings, ServeSettings
from tests.server.conftest import Live, running
from tests.server.fakes import FakeBackend

NAME = "nano-v"
HI: list[Any] = [{"role": "user", "content": "hi"}]
QUIET: dict[str, Any] = {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}
PARAMETERS = {
    "type": "object",
    "properties": {
        "box": {"type": "array", "minItems": 4, "maxItems": 4,
                "items": {"type": "integer", "minimum": 0, "maximum": 999}},
        "label": {"type": "string", "maxLength": 8},
        "how": {"enum": ["in", "out"]},
    },
    "required": ["box", "how"],
    "additionalProperties": False,
}  # fmt: skip
ZOOM: Any = {"type": "function", "function": {"name": "zoom", "description": "Look closer.", "parameters": PARAMETERS}}
WAIT: Any = {"type": "function", "function": {"name": "wait"}}


class Size(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: Annotated[int, Ge(0), Le(999)]
    unit: Literal["px", "mm"]


class Sign(BaseModel):
    """What a client wants to know of a sign."""

    model_config = ConfigDict(extra="forbid")
    words: Annotated[list[Annotated[str, MaxLen(6)]], MaxLen(2)]
    colour: Literal["red", "blue"]
    size: Size | None
    sure: bool = Field(description="Whether all of it could be read.")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    chat = ChatSettings(model=NAME)
    settings = ServeSettings(state=tmp_path_factory.mktemp("clients"))
    with running(settings, FakeBackend, prepare=lambda app, service: mount_chat(app, service, chat)) as made:
        yield made


@pytest.fixture(scope="module")
def client(live: Live) -> openai.OpenAI:
    return live.openai


def picture() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (128, 128), "red").save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def test_parse_gives_an_object(client: openai.OpenAI) -> None:
    for seed in range(2):
        answer = client.chat.completions.parse(
            model=NAME, messages=HI, response_format=Sign, seed=seed, temperature=1, max_tokens=200
        )
        message = answer.choices[0].message
        assert isinstance(message.parsed, Sign) and answer.choices[0].finish_reason == "stop"
        assert message.parsed == Sign.model_validate_json(message.content or "")
        assert message.reasoning_content  # type: ignore[attr-defined]


def test_a_stream_of_structured_output(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=NAME, messages=HI, response_format=Sign, seed=1, temperature=1, max_tokens=200, **QUIET
    ) as stream:
        kinds = {event.type for event in stream}
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Sign)
    assert {"chunk", "content.delta", "content.done"} <= kinds


def test_json_mode_and_a_schema_in_words(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["n"],
              "additionalProperties": False}  # fmt: skip
    form: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    answer = client.chat.completions.create(model=NAME, messages=HI, response_format=form, max_tokens=100, **QUIET)
    jsonschema.validate(json.loads(answer.choices[0].message.content or ""), schema)
    loose: Any = {"type": "json_object"}
    answer = client.chat.completions.create(model=NAME, messages=HI, response_format=loose, max_tokens=300, **QUIET)
    assert answer.choices[0].finish_reason == "length" or isinstance(
        json.loads(answer.choices[0].message.content or ""), dict
    )
    assert (answer.choices[0].message.content or "").startswith("{")


@pytest.mark.parametrize(
    "body",
    [
        {"guided_choice": ["yes", "no"]},
        {"structured_outputs": {"choice": ["yes", "no"]}},
        {"guided_regex": "yes|no"},
        {"structured_outputs": {"regex": "(yes|no)"}},
    ],
)
def test_the_forms_of_vllm(client: openai.OpenAI, body: dict[str, Any]) -> None:
    answer = client.chat.completions.create(model=NAME, messages=HI, extra_body={**QUIET["extra_body"], **body})
    assert answer.choices[0].message.content in ("yes", "no")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "zoom"}}])
def test_tools_that_must_be_called(client: openai.OpenAI, choice: Any) -> None:
    answer = client.chat.completions.create(
        model=NAME, messages=HI, tools=[ZOOM], tool_choice=choice, parallel_tool_calls=False, temperature=1, seed=3,
        max_tokens=200, **QUIET,
    )  # fmt: skip
    (call,) = answer.choices[0].message.tool_calls or ()
    assert answer.choices[0].finish_reason == "tool_calls" and answer.choices[0].message.content is None
    assert call.type == "function" and call.function.name == "zoom" and call.id
    jsonschema.validate(json.loads(call.function.arguments), PARAMETERS)


def test_some_of_the_tools_may_be_allowed(client: openai.OpenAI) -> None:
    """OpenAI's `allowed_tools`: one of these must be called, or may be, whatever else is offered."""
    ask: dict[str, Any] = {"model": NAME, "messages": HI, "tools": [ZOOM, WAIT], "max_tokens": 200, **QUIET}
    named = [{"type": "function", "function": {"name": "wait"}}]
    choice: Any
    for seed in range(3):
        choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": named}}
        answer = client.chat.completions.create(**ask, tool_choice=choice, seed=seed, parallel_tool_calls=False)
        assert [call.function.name for call in answer.choices[0].message.tool_calls or ()] == ["wait"]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": named}}
    assert client.chat.completions.create(**ask, tool_choice=choice, temperature=0).choices[0].message.content
    choice["allowed_tools"] = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "fly"}}]}
    with pytest.raises(openai.BadRequestError, match="tool_choice names 'fly'"):
        client.chat.completions.create(**ask, tool_choice=choice)
    tools: Any = [{"type": "function", "name": "zoom", "parameters": PARAMETERS}, {"type": "function", "name": "wait"}]
    called = client.responses.create(
        model=NAME, input="hi", tools=tools, max_output_tokens=200, reasoning={"effort": "none"}, temperature=1,
        tool_choice={"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "wait"}]},
        parallel_tool_calls=False,
    )  # fmt: skip
    assert [item.name for item in called.output if item.type == "function_call"] == ["wait"]


def test_arguments_stream_piece_by_piece(client: openai.OpenAI) -> None:
    ask: dict[str, Any] = {
        "model": NAME, "messages": HI, "tools": [ZOOM, WAIT], "tool_choice": ZOOM | {"function": {"name": "zoom"}},
        "temperature": 1, "seed": 3, "max_tokens": 200, **QUIET,
    }  # fmt: skip
    chunks = list(client.chat.completions.create(stream=True, **ask))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    pieces = [delta.tool_calls[0] for delta in deltas if delta.tool_calls]
    assert pieces[0].function.name == "zoom" and pieces[0].id and len(pieces) > 2
    assert not any(piece.id or piece.function.name for piece in pieces[1:])
    streamed = "".join(piece.function.arguments or "" for piece in pieces)
    (call,) = client.chat.completions.create(**ask).choices[0].message.tool_calls or ()
    whole = call.function.arguments  # type: ignore[union-attr]
    assert json.loads(streamed) == json.loads(whole)
    jsonschema.validate(json.loads(streamed), PARAMETERS)
    with client.chat.completions.stream(**ask) as stream:
        final = stream.get_final_completion().choices[0].message.tool_calls[0]  # type: ignore[index]
    assert json.loads(final.function.arguments) == json.loads(whole)


def test_a_tool_turn_goes_back(client: openai.OpenAI) -> None:
    called = client.chat.completions.create(
        model=NAME, messages=HI, tools=[ZOOM], tool_choice="required", max_tokens=200, parallel_tool_calls=False,
        **QUIET,
    ).choices[0].message  # fmt: skip
    result = {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": [{"type": "text", "text": "red"}]}  # type: ignore[index]
    messages = [*HI, called, result, {"role": "user", "content": "And?"}]
    assert client.chat.completions.create(model=NAME, messages=messages, tools=[ZOOM], max_tokens=20).choices


def test_stop_n_and_likelihoods(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=NAME, messages=HI, temperature=0).choices[0].message.content
    assert whole == "TH"
    stopped = client.chat.completions.create(model=NAME, messages=HI, temperature=0, stop="H").choices[0]
    assert (stopped.message.content, stopped.finish_reason) == ("T", "stop")
    assert stopped.stop_reason == "H"  # type: ignore[attr-defined]
    several = client.chat.completions.create(model=NAME, messages=HI, temperature=1, n=3, seed=5, max_tokens=40)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    for number, choice in enumerate(several.choices):
        alone = client.chat.completions.create(model=NAME, messages=HI, temperature=1, seed=5 + number, max_tokens=40)
        assert alone.choices[0].message.content == choice.message.content
    noted = client.chat.completions.create(model=NAME, messages=HI, temperature=0, logprobs=True, top_logprobs=2)
    tokens = noted.choices[0].logprobs.content or []  # type: ignore[union-attr]
    assert "".join(token.token for token in tokens) == "TH"
    assert all(token.top_logprobs[0].logprob == token.logprob < 0 for token in tokens)
    chunks = client.chat.completions.create(
        model=NAME, messages=HI, temperature=0, logprobs=True, top_logprobs=2, stream=True
    )
    parts = [c.choices[0].logprobs.content for c in chunks if c.choices and c.choices[0].logprobs]
    assert [token.token for part in parts for token in part or []] == [token.token for token in tokens]


def test_n_in_a_stream(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model=NAME, messages=HI, n=2, seed=5, temperature=1, stream=True,
                                                 max_tokens=40, stream_options={"include_usage": True}))  # fmt: skip
    ends = {c.choices[0].index: c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason}
    assert set(ends) == {0, 1} and chunks[-1].usage is not None and not chunks[-1].choices


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tools": [ZOOM], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "no offered tool"),
        ({"tool_choice": "required"}, "no tools are offered"),
        ({"top_logprobs": 2}, "logprobs is not true"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "no"}}}},
            "held to",
        ),
        ({"messages": [{"role": "critic", "content": "a"}]}, "critic"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}]},
            "picture",
        ),
        ({"max_tokens": 0}, "at least 1"),
        ({"logit_bias": {"99999": 1}}, "logit_bias"),
        ({"extra_body": {"audio": {"voice": "a"}}}, "audio is not supported"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_refusals_come_before_a_stream_begins(
    client: openai.OpenAI, changed: dict[str, Any], said: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        client.chat.completions.create(**{"model": NAME, "messages": HI, "stream": stream, **changed})


def test_a_schema_that_nothing_satisfies_is_one_sentence(client: openai.OpenAI) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "loop", "schema": {"$ref": "#"}}}
    with pytest.raises(openai.BadRequestError, match="nothing that the model can write satisfies it"):
        client.chat.completions.create(model=NAME, messages=HI, response_format=form, max_tokens=20, **QUIET)


def test_responses(client: openai.OpenAI) -> None:
    parts: Any = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": picture()}]
    answer = client.responses.create(
        model=NAME, instructions="Be brief.", input=[{"role": "user", "content": parts}], max_output_tokens=60
    )
    assert answer.object == "response" and answer.status in ("completed", "incomplete")
    assert answer.usage is not None and answer.usage.input_tokens > 20
    kinds = [item.type for item in answer.output]
    assert kinds[-1] == "message" and set(kinds) <= {"reasoning", "message"}
    assert client.responses.create(model=NAME, input="hi", temperature=0).output_text == "TH"


def test_responses_parse_and_call(client: openai.OpenAI) -> None:
    parsed = client.responses.parse(model=NAME, input="hi", text_format=Sign, max_output_tokens=200, temperature=1)
    assert isinstance(parsed.output_parsed, Sign)
    tool: Any = {"type": "function", "name": "zoom", "parameters": PARAMETERS, "strict": True}
    called = client.responses.create(
        model=NAME, input="hi", tools=[tool], tool_choice={"type": "function", "name": "zoom"}, max_output_tokens=200,
        reasoning={"effort": "none"}, temperature=1,
    )  # fmt: skip
    (call,) = [item for item in called.output if item.type == "function_call"]
    jsonschema.validate(json.loads(call.arguments), PARAMETERS)
    turns: Any = [
        {"role": "user", "content": "hi"},
        *called.output,
        {"type": "function_call_output", "call_id": call.call_id, "output": "red"},
    ]
    assert client.responses.create(model=NAME, input=turns, tools=[tool], max_output_tokens=20).output


@pytest.mark.parametrize("tools", [False, True])
def test_responses_stream(client: openai.OpenAI, tools: bool) -> None:
    tool: Any = {"type": "function", "name": "zoom", "parameters": PARAMETERS, "strict": True}
    more: dict[str, Any] = {"tools": [tool], "tool_choice": "required", "parallel_tool_calls": False} if tools else {}
    with client.responses.stream(model=NAME, input="hi", temperature=0, max_output_tokens=250, **more) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    kinds = {event.type for event in events}
    if tools:
        (call,) = [item for item in final.output if item.type == "function_call"]
        jsonschema.validate(json.loads(call.arguments), PARAMETERS)
        deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
        assert "".join(deltas) == call.arguments and len(deltas) > 1
    else:
        assert final.output_text == "TH" and {"response.output_text.delta", "response.reasoning_text.delta"} <= kinds


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"previous_response_id": "resp_1"}, "nothing is stored"),
        ({"tools": [{"type": "web_search"}]}, "web_search"),
        ({"background": True}, "background"),
        ({"input": [{"type": "item_reference", "id": "a"}]}, "item_reference"),
        ({"input": []}, "no message"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"model": "other"}, "not served here"),
    ],
)
def test_responses_say_what_is_not_supported(client: openai.OpenAI, changed: dict[str, Any], said: str) -> None:
    with pytest.raises((openai.BadRequestError, openai.NotFoundError), match=said):
        client.responses.create(**{"model": NAME, "input": "hi", **changed})


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that read proxies from the environment, or would fetch a price list, find neither."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    monkeypatch.setenv("LANGSMITH_TRACING", "false")


THIRD_PARTY = pytest.mark.filterwarnings("ignore")  # their own deprecations


@THIRD_PARTY
def test_litellm(live: Live, direct: None) -> None:
    litellm = pytest.importorskip("litellm")
    ask = {"model": f"openai/{NAME}", "api_base": f"{live.url}/v1", "api_key": "any", "messages": HI}
    answer = litellm.completion(**ask, temperature=0, user="u", metadata={"a": "b"})
    assert answer.choices[0].message.content == "TH" and answer.choices[0].message.reasoning_content
    chunks = list(litellm.completion(**ask, temperature=0, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "TH"
    called = litellm.completion(**ask, tools=[ZOOM], tool_choice="required", max_tokens=200, parallel_tool_calls=False)
    jsonschema.validate(json.loads(called.choices[0].message.tool_calls[0].function.arguments), PARAMETERS)
    typed = litellm.completion(**ask, response_format=Sign, max_tokens=250)
    Sign.model_validate_json(typed.choices[0].message.content)


@THIRD_PARTY
def test_langchain(live: Live, direct: None) -> None:
    langchain = pytest.importorskip("langchain_openai")
    model = langchain.ChatOpenAI(
        model=NAME, base_url=f"{live.url}/v1", api_key="any", temperature=0, max_tokens=250, max_retries=0
    )
    assert model.invoke("hi").content == "TH"
    assert "".join(str(chunk.content) for chunk in model.stream("hi")) == "TH"
    assert isinstance(model.with_structured_output(Sign, method="json_schema").invoke("hi"), Sign)

    class Zoom(BaseModel):
        """Look closer."""

        how: Literal["in", "out"]
        times: Annotated[int, Ge(1), Le(9)]

    tools = model.bind_tools([Zoom], tool_choice="any", parallel_tool_calls=False)
    (call,) = tools.invoke("hi").tool_calls
    assert call["name"] == "Zoom" and Zoom.model_validate(call["args"])
    merged: Any = None
    for chunk in tools.stream("hi"):
        merged = chunk if merged is None else merged + chunk
    assert Zoom.model_validate(merged.tool_calls[0]["args"])
    assert isinstance(model.with_structured_output(Sign, method="function_calling").invoke("hi"), Sign)


NUMBERS = {
    name: branch
    for name, field in ChatBody.model_json_schema()["properties"].items()
    for branch in field.get("anyOf", [field])
    if branch.get("type") in ("integer", "number") and name not in ("n", "max_tokens", "deadline_s")
}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_ends_of_every_number(live: Live, name: str) -> None:
    """What the schema allows is answered, and what lies beyond it is refused: no value makes the model fail."""
    rule = NUMBERS[name]
    low, high = rule.get("minimum", rule.get("exclusiveMinimum", 0)), rule.get("maximum", 2**63 - 1)
    values = {low, high, low + (high - low) * 1e-9, 5e-324, 1e-300, 1e-8, low - 1, high * 2 + 1}
    if rule["type"] == "integer":
        values = {low, low + 1, high, low - 1, high * 2 + 1, 2**80}
    allowed = 0
    for value in sorted(values):
        body = {"messages": HI, "max_tokens": 3, "logprobs": True, "tools": [WAIT], name: value, **QUIET["extra_body"]}
        answer = live.http.post("/v1/chat/completions", json=body)
        assert answer.status_code in (200, 400), (value, answer.text)
        assert answer.status_code == 200 or name in answer.json()["error"]["message"]
        allowed += answer.status_code == 200
    assert allowed >= 2


def test_the_model_is_the_shipped_one(live: Live) -> None:
    assert live.service.chat is not None and isinstance(live.service.chat.pipe, GlmVisionPipeline)
