"""Bodies as the clients of the field send them, and bodies as nobody should: answered, or refused in one sentence."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode

from inkwash.engine.see.batcher import AnswerBatcher
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.serve.server import mount_chat
from inkwash.serve.settings import ChatSettings, ServeSettings
from tests.server.conftest import Live, running
from tests.server.fakes import FakeBackend
from tests.server.test_chat import CALL, SAID, picture
from tests.server.test_schema import CHECKS, OPERATIONS
from tests.unit.engine.see.conftest import tiny_parts

MODEL = "tiny"
MESSAGES = [{"role": "user", "content": "Hi"}]
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "crop", "description": "Cut out.", "parameters": {"type": "object", "properties": {}}},
}
CASES = int(os.environ.get("CHAT_CASES", "500"))
CHAT_PATHS = ("/v1/chat/completions", "/v1/responses")
BESIDE_DRAWING = {  # operations of a server that also sees, and how many made-up requests each gets
    **{(path, "POST"): 40 for path in CHAT_PATHS},
    ("/v1/agent/steps", "POST"): 30,
    ("/v1/agent/runs", "POST"): 30,
    ("/v1/agent/runs/{run_id}", "GET"): 8,
    ("/v1/agent/runs/{run_id}/events", "GET"): 8,
    ("/v1/agent/runs/{run_id}/confirm", "POST"): 12,
    ("/v1/agent/runs/{run_id}/stop", "POST"): 8,
    ("/v1/agent/runs/{run_id}/steps/{step}.png", "GET"): 8,
}


class Script:
    """What the model says, and what reached it."""

    def __init__(self) -> None:
        self.text = SAID
        self.prompts: list[str] = []
        self.budgets: list[Any] = []
        self.samplings: list[Any] = []


@pytest.fixture(scope="module")
def script() -> Script:
    return Script()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, script: Script) -> Iterator[Live]:
    def generate(self: AnswerBatcher, run: Any, sampling: Any, budget: Any, *rest: Any) -> Iterator[str]:
        script.prompts.append(run.prompt.text)
        script.budgets.append(budget)
        script.samplings.append(sampling)
        run.text, run.ids, run.finish = script.text, [1, 2, 3], "stop"
        yield from (script.text[start : start + 4] for start in range(0, len(script.text), 4))

    pipe = GlmVisionPipeline(tiny_parts(tmp_path_factory.mktemp("bodies")))
    chat, settings = ChatSettings(model=MODEL), ServeSettings(state=tmp_path_factory.mktemp("state"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AnswerBatcher, "generate", generate)
        patch.setattr(GlmVisionPipeline, "from_pretrained", lambda *_, **__: pipe)
        with running(settings, FakeBackend, prepare=lambda app, service: mount_chat(app, service, chat)) as made:
            yield made


def call(arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": "crop", "arguments": arguments}, **more}


def turns(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hi"}, *messages, {"role": "user", "content": "And?"}]}


Look = Callable[[Script], object]
TOOL_TURN = turns(
    {"role": "assistant", "content": None, "tool_calls": [call()]},
    {"role": "tool", "tool_call_id": "call_1", "content": "done"},
)
OPENAI_FIELDS = (
    "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens metadata "
    "modalities n parallel_tool_calls prediction presence_penalty prompt_cache_key reasoning_effort response_format "
    "safety_identifier seed service_tier stop store stream stream_options temperature tool_choice tools top_logprobs "
    "top_p user verbosity web_search_options"
)
# What sends it -> its fields, and what must have reached the model
BODIES: dict[str, tuple[dict[str, Any], Look]] = {
    "curl": ({}, lambda s: s.budgets[-1].max_new_tokens == 8192),
    "openai: all null": (
        dict.fromkeys(OPENAI_FIELDS.split()),
        lambda s: s.budgets[-1].stop == (),
    ),
    "openai: labels": ({"metadata": {"a": "b"}, "store": True, "user": "u", "service_tier": "auto",
                        "safety_identifier": "s", "prompt_cache_key": "k"}, lambda s: True),
    "openai: developer": ({"messages": [{"role": "developer", "content": "Be brief."}, *MESSAGES]},
                          lambda s: "<|system|>\nBe brief." in s.prompts[-1]),
    "openai: max_completion_tokens": ({"max_completion_tokens": 7}, lambda s: s.budgets[-1].max_new_tokens == 7),
    "openai: stop list": ({"stop": ["a", "b"]}, lambda s: s.budgets[-1].stop == ("a", "b")),
    "openai: neutral penalties": ({"frequency_penalty": 0, "presence_penalty": 0, "logprobs": False, "n": 1},
                                  lambda s: s.budgets[-1].logprobs is None),
    "openai: text format": ({"response_format": {"type": "text"}, "modalities": ["text"]},
                            lambda s: s.budgets[-1].mask is None),
    "openai: image detail": ({"messages": [{"role": "user", "content": [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {**picture()["image_url"], "detail": "high"}}]}]},
        lambda s: s.prompts[-1].count("<|begin_of_image|>") == 1),
    "openai: echoed answer": (turns({"role": "assistant", "content": "A", "refusal": None, "annotations": [],
                                     "audio": None, "function_call": None, "tool_calls": None}),
                              lambda s: "\nA" in s.prompts[-1]),
    "openai: tool turn": ({**TOOL_TURN, "tools": [TOOL]}, lambda s: "None" not in s.prompts[-1]),
    "openai: old functions": (turns({"role": "assistant", "content": None, "function_call": {"name": "crop",
                              "arguments": "{}"}}, {"role": "function", "name": "crop", "content": "done"}),
                              lambda s: "<tool_call>crop" in s.prompts[-1]),
    "openai: minimal effort": ({"reasoning_effort": "minimal"}, lambda s: "/nothink" in s.prompts[-1]),
    "openai: low effort": ({"reasoning_effort": "low"}, lambda s: s.budgets[-1].thinking == 1024),
    "openai: stream options": (
        {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}},
        lambda s: True,
    ),
    "openai: strict tool": ({"tools": [{"type": "function", "function": {**TOOL["function"], "strict": True}}],
                             "tool_choice": "auto", "parallel_tool_calls": True}, lambda s: '"crop"' in s.prompts[-1]),
    "openai: tool choice none": ({"tools": [TOOL], "tool_choice": "none"}, lambda s: '"crop"' not in s.prompts[-1]),
    "open webui": ({"stream": True, "messages": [{"role": "system", "content": "You help."}, {"role": "user",
                    "content": [{"type": "text", "text": "Hi"}]}], "stop": None, "seed": None, "max_tokens": None},
                   lambda s: "You help." in s.prompts[-1]),
    "open webui: title": ({"stream": False, "max_completion_tokens": 1000, "metadata": {"task": "title"}},
                          lambda s: s.budgets[-1].max_new_tokens == 1000),
    "libre chat": ({"stream": True, "user": "64b", "temperature": 1, "top_p": 1, "presence_penalty": 0,
                    "frequency_penalty": 0}, lambda s: s.samplings[-1].top_p == 1),
    "langchain": ({"stream": False, "temperature": 0.7, "n": 1, "stop": ["\nObservation:"], "tools": [TOOL],
                   "parallel_tool_calls": False}, lambda s: s.budgets[-1].stop == ("\nObservation:",)),
    "langchain: tool message": (turns({"role": "assistant", "content": "", "tool_calls": [call('{"a": "5"}')]},
        {"role": "tool", "content": [{"type": "text", "text": "done"}], "tool_call_id": "call_1", "name": "crop"}),
        lambda s: "done" in s.prompts[-1] and "[{" not in s.prompts[-1]),
    "langchain: any tool": ({"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
                            lambda s: s.budgets[-1].mask is not None),
    "llama index": ({"messages": [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, *MESSAGES]},
                    lambda s: "<|system|>\nBe brief." in s.prompts[-1]),
    "litellm": ({"extra_body": None, "user": "", "max_tokens": 100, "seed": 1}, lambda s: True),
    "autogen": (turns({"role": "assistant", "content": "A", "name": "writer"}), lambda s: "\nA" in s.prompts[-1]),
    "autogen: named user": ({"messages": [{"role": "user", "content": "Hi", "name": "boss"}], "cache_salt": None},
                            lambda s: "Hi" in s.prompts[-1]),
    "crew ai": ({"stop": "\nObservation:", "temperature": 0.0}, lambda s: s.samplings[-1].temperature == 0),
    "semantic kernel": ({"top_p": 1.0, "logit_bias": {}, "n": 1, "max_tokens": 16, "stop": []},
                        lambda s: s.budgets[-1].logit_bias == ()),
    "vercel ai": ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
                   "response_format": {"type": "json_object"}}, lambda s: s.budgets[-1].mask is not None),
    "instructor": ({"response_format": {"type": "json_schema", "json_schema": {"name": "A", "strict": True,
                    "schema": {"type": "object", "properties": {}, "additionalProperties": False}}}},
                   lambda s: s.budgets[-1].mask is not None),
    "vllm: sampling": ({"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "ignore_eos": False, "min_tokens": 0,
                        "length_penalty": 1.0, "use_beam_search": False, "best_of": 1, "skip_special_tokens": True,
                        "spaces_between_special_tokens": True, "include_stop_str_in_output": False},
                       lambda s: s.samplings[-1].min_p == 0),
    "vllm: thinking off": ({"chat_template_kwargs": {"enable_thinking": False}}, lambda s: "/nothink" in s.prompts[-1]),
    "vllm: template kwargs null": ({"chat_template_kwargs": None, "mm_processor_kwargs": {}, "priority": 0},
                                   lambda s: True),
    "vllm: stop ids": ({"stop_token_ids": [3, 5]}, lambda s: s.budgets[-1].stop_ids == {3, 5}),
    "vllm: guided": ({"guided_choice": ["a", "b"]}, lambda s: s.budgets[-1].mask is not None),
    "sglang": ({"separate_reasoning": True, "stream_reasoning": True, "regex": None, "top_k": 20, "lora_path": None},
               lambda s: s.samplings[-1].top_k == 20),
    "z.ai: thinking": ({"thinking": {"type": "disabled"}}, lambda s: "/nothink" in s.prompts[-1]),
    "z.ai: sdk": ({"do_sample": False, "request_id": "r", "user_id": "abcdef", "thinking": {"type": "enabled"},
                   "tool_stream": True}, lambda s: s.samplings[-1].temperature == 0),
    "z.ai: video": ({"messages": [{"role": "user", "content": [picture(), {"type": "text", "text": "What?"}]}],
                     "temperature": 0.8, "top_p": 0.6}, lambda s: s.samplings[-1].top_p == 0.6),
    "vlm-helper": ({"stop_token_ids": [151329 % 288], "top_k": 2, "repetition_penalty": 1.1,
                    "skip_special_tokens": False, "max_tokens": 16384},
                   lambda s: s.budgets[-1].repetition_penalty == 1.1),
    "lm studio": ({"max_tokens": -1, "seed": -1, "temperature": 0.7}, lambda s: s.budgets[-1].max_new_tokens == 8192),
    "deepseek habit": (turns({"role": "assistant", "reasoning_content": "hm", "content": "A"}),
                       lambda s: "hm" not in s.prompts[-1]),
    "anthropic habit": (turns({"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"},
                                                                {"type": "text", "text": "A"}]}),
                        lambda s: "\nA" in s.prompts[-1] and "hm" not in s.prompts[-1]),
    "cline": ({"messages": [{"role": "system", "content": [{"type": "text", "text": "S", "cache_control":
               {"type": "ephemeral"}}]}, *MESSAGES], "stream": True, "stream_options": {"include_usage": True}},
              lambda s: "<|system|>\nS" in s.prompts[-1]),
    "cut emoji": ({"messages": [{"role": "user", "content": "a\ud83d"}]}, lambda s: "a\ufffd" in s.prompts[-1]),
}  # fmt: skip


def post(live: Live, body: Any, path: str = "/v1/chat/completions") -> Any:
    content = json.dumps(body).encode()
    return live.http.post(path, content=content, headers={"Content-Type": "application/json"})


def test_there_are_forty_five() -> None:
    assert len(BODIES) >= 45


@pytest.mark.parametrize("name", BODIES)
def test_bodies_of_the_field(live: Live, script: Script, name: str) -> None:
    fields, reached = BODIES[name]
    if name == "litellm":
        fields = {key: value for key, value in fields.items() if key != "extra_body"}
    script.text = SAID
    answer = post(live, {"model": MODEL, "messages": MESSAGES, **fields})
    assert answer.status_code == 200, answer.text
    assert reached(script)
    if fields.get("stream"):
        assert answer.text.endswith("data: [DONE]\n\n") and '"finish_reason": "stop"' in answer.text
    else:
        assert answer.json()["choices"][0]["finish_reason"] in ("stop", "tool_calls")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"functions": [{"name": "a"}]}, "functions is not supported here: use tools"),
        ({"audio": {"voice": "a"}}, "audio is not supported"),
        ({"ignore_eos": True}, "ignore_eos is not supported"),
        ({"best_of": True}, "best_of is not supported"),
        ({"metadata": 5}, "metadata must be a dict, got int"),
        ({"nonsense": 1}, "The field nonsense is unknown here: leave it out."),
        ({"stop": 5}, "stop is 5"),
        ({"stop": ["a"] * 17}, "at most 16"),
        ({"tool_choice": {"a": 1}}, "tool_choice"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        (
            {"response_format": {"type": "grammar", "grammar": "x" * 99}},
            "response_format.type is 'grammar': input should be one of 'text', 'json_object', 'json_schema'.",
        ),
        ({"guided_choice": ["a"], "guided_regex": "a"}, "one form only"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"temperature": "0.5"}, "temperature"),
        ({"n": 0}, "n is 0"),
    ],
)
def test_what_asks_for_more_is_refused(live: Live, fields: dict[str, Any], said: str) -> None:
    answer = post(live, {"messages": MESSAGES, **fields})
    assert answer.status_code == 400 and said in answer.json()["error"]["message"], answer.text
    assert answer.json()["error"]["param"] in (*fields, "tools.0.type", "response_format", "response_format.type", None)


def test_one_call_where_one_is_wanted(live: Live, script: Script) -> None:
    script.text = CALL + CALL.partition("Wait.")[2]
    for parallel, count in ((True, 2), (False, 1)):
        body = {"messages": MESSAGES, "tools": [TOOL], "parallel_tool_calls": parallel}
        assert len(post(live, body).json()["choices"][0]["message"]["tool_calls"]) == count
        streamed = post(live, {**body, "stream": True}).text
        assert streamed.count('"name": "crop"') == count


NAMES = st.sampled_from(
    ["type", "role", "content", "text", "name", "function", "schema", "json_schema", "properties", "anyOf", "$ref",
     "arguments", "image_url", "url", "enum", "items", "required"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["user", "auto", "required", "json_schema", "function", "text", "image_url"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
CHAT_FIELDS = (
    "model messages stream stream_options max_tokens n temperature top_p top_k min_p seed stop stop_token_ids logprobs "
    "top_logprobs logit_bias tools tool_choice response_format structured_outputs guided_json guided_choice "
    "guided_regex chat_template_kwargs thinking audio reasoning_effort thinking_budget metadata user best_of deadline_s"
)
RESPONSE_FIELDS = ["input", "instructions", "tools", "tool_choice", "text", "reasoning", "include", "top_logprobs",
                   "stream", "truncation", "metadata", "previous_response_id", "max_output_tokens"]  # fmt: skip
SCHEMAS = JSON.map(lambda found: {"type": "json_schema", "json_schema": {"name": "a", "schema": found}})
ODD_TOOLS = JSON.map(lambda found: [{"type": "function", "function": {"name": "a", "parameters": found}}])
PARTS = JSON.map(lambda found: [{"role": "user", "content": [{"type": "image_url", "image_url": found}]}])
TURNS = JSON.map(lambda found: [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": found}])
CHAT = st.fixed_dictionaries({}, optional=dict.fromkeys(CHAT_FIELDS.split(), JSON)) | st.fixed_dictionaries(
    {}, optional={"response_format": SCHEMAS, "tools": ODD_TOOLS,
                  "messages": PARTS | TURNS | st.lists(JSON, max_size=3),
                  "tool_choice": st.sampled_from(["required", "auto", "none"]), "guided_regex": st.text(max_size=8)},
)  # fmt: skip
RESPONSE = st.fixed_dictionaries({}, optional=dict.fromkeys(RESPONSE_FIELDS, JSON))


def quiet(cases: int) -> hypothesis.settings:
    """So many cases, the same ones each time."""
    return hypothesis.settings(
        max_examples=cases,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )


@pytest.mark.parametrize(
    ("path", "bodies", "base", "share"),
    [
        ("/v1/chat/completions", CHAT, {"messages": MESSAGES}, 0.7),
        ("/v1/responses", RESPONSE, {"input": "Hi"}, 0.3),
    ],
)
def test_malformed_bodies_are_no_failure(
    live: Live, script: Script, path: str, bodies: Any, base: dict[str, Any], share: float
) -> None:
    script.text = SAID
    answered: Counter[int] = Counter()

    @quiet(round(CASES * share))
    @hypothesis.given(body=bodies)
    def check(body: dict[str, Any]) -> None:
        answer = post(live, {**base, **body}, path)
        answered[answer.status_code] += 1
        assert answer.status_code < 500, (body, answer.text)
        assert "internal_error" not in answer.text, (body, answer.text)
        if answer.status_code != 200:
            assert answer.json()["error"]["message"].endswith((".", "?")), answer.text

    check()
    assert answered[400] > CASES * share / 4 and answered[200], answered
    print(dict(answered))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{", b"\xff", b'{"messages": NaN}', b'"' + b"a" * 9, b"{}" * 2]
)
def test_what_is_no_object_is_a_400(live: Live, content: bytes) -> None:
    for path in CHAT_PATHS:
        answer = live.http.post(path, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400 and answer.json()["error"]["code"], content


@pytest.fixture(scope="module")
def api(live: Live) -> Any:
    """The document of a live server with its chat."""
    return schemathesis.openapi.from_url(f"{live.url}/openapi.json")


def test_every_operation_of_the_document_is_tried(live: Live) -> None:
    """Here or, for those that draw, in test_schema."""
    paths = live.http.get("/openapi.json").json()["paths"]
    documented = {(path, method.upper()) for path, found in paths.items() for method in found}
    assert documented == {*OPERATIONS, *BESIDE_DRAWING}


@pytest.mark.parametrize(("path", "method"), BESIDE_DRAWING)
def test_requests_after_the_document(api: Any, script: Script, path: str, method: str) -> None:
    script.text = SAID
    operation = api[path][method]
    answered: Counter[int] = Counter()

    @quiet(BESIDE_DRAWING[path, method])
    @hypothesis.given(
        case=st.one_of(operation.as_strategy(), operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    )
    def check(case: Any) -> None:
        if isinstance(case.body, dict):
            case.body.pop("model", None)
            case.body.pop("deadline_s", None)
        response = case.call()
        case.validate_response(response, checks=CHECKS)
        answered[response.status_code] += 1

    check()
    print(f"{method} {path}: {dict(sorted(answered.items()))}")
    assert set(answered) & {200, 400, 403, 404}, answered


def test_the_document_has_typed_bodies_and_answers(live: Live) -> None:
    document = live.http.get("/openapi.json").json()
    for path, body, answer in (("/v1/chat/completions", "ChatBody", "ChatAnswer"),
                               ("/v1/responses", "ResponseBody", "ResponseObject")):  # fmt: skip
        operation = document["paths"][path]["post"]
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert reference == f"#/components/schemas/{body}" and body in document["components"]["schemas"]
        assert answer in json.dumps(operation["responses"]["200"]["content"]["application/json"])
    fields = document["components"]["schemas"]["ChatBody"]["properties"]
    assert {"messages", "tools", "response_format", "stop", "thinking_budget"} <= set(fields)
    assert fields["messages"]["items"]["properties"]["role"]["enum"]
