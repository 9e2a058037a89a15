"""Answers that keep a rule, stop at a text, or weigh tokens: by the shipped model and by tiny ones of both styles."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import torch

from inkwash.core.errors import RequestError
from inkwash.engine.see.grammar import AnswerRule
from inkwash.engine.see.penalties import Penalties
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.engine.see.token_mask import TokenMasks, token_bytes

QUESTION = [{"role": "user", "content": "hi"}]
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
        "kind": {"enum": ["red", "blue"]},
        "maybe": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Point"}]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 4}, "maxItems": 2},
    },
    "required": ["name", "count", "kind", "maybe", "tags"],
    "additionalProperties": False,
    "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "boolean"}}, "required": ["x"],
                        "additionalProperties": False}},
}  # fmt: skip
ZOOM = {"type": "function", "function": {"name": "zoom", "parameters": {
    "type": "object",
    "properties": {
        "box": {"type": "array", "minItems": 4, "maxItems": 4,
                "items": {"type": "integer", "minimum": 0, "maximum": 999}},
        "label": {"type": "string", "maxLength": 8},
        "how": {"enum": ["in", "out"]},
    },
    "required": ["box", "how"],
}}}  # fmt: skip
WAIT = {"type": "function", "function": {"name": "wait"}}


@pytest.fixture(scope="module")
def nano() -> GlmVisionPipeline:
    return GlmVisionPipeline.from_pretrained("nano-v")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("think", [None, False])
def test_answers_of_a_schema(nano: GlmVisionPipeline, seed: int, think: bool | None) -> None:
    output = nano(
        QUESTION, rule=AnswerRule(schema=SCHEMA), max_new_tokens=160, seed=seed, temperature=1.0, enable_thinking=think
    )
    assert output.finish_reason == "stop"
    jsonschema.validate(json.loads(output.content), SCHEMA)
    assert bool(output.thoughts) is (think is None)


@pytest.mark.parametrize("style", ["plain", "tagged"])
@pytest.mark.parametrize("experts", [False, True])
def test_every_kind_of_model_keeps_a_rule(make_pipeline: Any, style: str, experts: bool) -> None:
    """Random weights say nonsense; 4.1 puts its answer between tags, 4.5 does not."""
    pipe = make_pipeline(style, experts=experts)
    rule = AnswerRule(schema={"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
                              "additionalProperties": False})  # fmt: skip
    for seed in range(2):
        output = pipe(QUESTION, rule=rule, max_new_tokens=60, temperature=1.0, seed=seed)
        assert json.loads(output.content) in ({"ok": True}, {"ok": False}) and output.finish_reason == "stop"
        assert output.answer.finished and len(output.thoughts) > 5
        assert ("<answer>" in output.text) is (style == "tagged")


def test_alone_and_together_are_the_same(nano: GlmVisionPipeline) -> None:
    def ask(seed: int) -> str:
        rule = AnswerRule(schema=SCHEMA)
        return nano(QUESTION, rule=rule, max_new_tokens=120, seed=seed, temperature=1.0, enable_thinking=False).text

    alone = [ask(seed) for seed in range(3)]
    nano.enable_batching(4)
    try:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(3) as pool:
            assert list(pool.map(ask, range(3))) == alone
    finally:
        nano.batcher = None


@pytest.mark.parametrize("parallel", [False, True])
def test_forced_calls_follow_their_tool(nano: GlmVisionPipeline, parallel: bool) -> None:
    rule = AnswerRule(calls=(ZOOM, WAIT), parallel=parallel)
    for seed in range(3):
        output = nano(QUESTION, tools=[ZOOM, WAIT], rule=rule, max_new_tokens=120, seed=seed, temperature=1.0,
                      enable_thinking=False)  # fmt: skip
        assert output.finish_reason in ("tool_calls", "length") and output.tool_calls
        assert parallel or (len(output.tool_calls) == 1 and output.finish_reason == "tool_calls")
        for call in output.tool_calls:
            if call.name == "zoom":
                jsonschema.validate(call.arguments, ZOOM["function"]["parameters"])  # type: ignore[index]


def test_words_and_patterns(nano: GlmVisionPipeline) -> None:
    quiet = {"enable_thinking": False, "temperature": 1.0}
    for seed in range(3):
        assert nano(QUESTION, rule=AnswerRule(choices=("yes", "no", 'a "b"')), seed=seed, **quiet).content in (
            "yes", "no", 'a "b"')  # fmt: skip
        said = nano(QUESTION, rule=AnswerRule(pattern="[0-9]{3}/[a-c]{2}"), seed=seed, **quiet).content
        assert len(said) == 6 and said[:3].isdigit() and said[3] == "/"


@pytest.mark.parametrize(
    "schema",
    [{"type": "nonsense"}, {"$ref": "#/nowhere"}, {"type": "string", "pattern": "(?=a)"}, {"not": {}}, False],
)
def test_what_no_mask_can_keep_is_refused_before_a_word(nano: GlmVisionPipeline, schema: Any) -> None:
    with pytest.raises(RequestError, match="cannot be held to this schema"):
        nano(QUESTION, rule=AnswerRule(schema=schema))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            AnswerRule(schema={"type": "object", "properties": {f"x{n}": {"type": "integer"} for n in range(5000)}}),
            "cannot be followed",
        ),
        (AnswerRule(schema={"$ref": "#"}), "nothing that the model can write satisfies it"),
        (AnswerRule(choices=("a" * 20_000,)), "more than 16384 characters"),
        (AnswerRule(pattern="a" * 20_000), "more than 16384 characters"),
        (AnswerRule(pattern="a\\"), "cannot be held"),
    ],
)
def test_rules_that_would_hold_others_up_are_refused(nano: GlmVisionPipeline, rule: AnswerRule, said: str) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        nano(QUESTION, rule=rule)
    assert caught.value.status == 400 and "<state>" not in caught.value.message


def test_a_budget_ends_thoughts_before_a_rule(nano: GlmVisionPipeline) -> None:
    rule = AnswerRule(choices=("yes",))
    output = nano(QUESTION, rule=rule, thinking_budget=2, temperature=0)
    assert output.content == "yes" and output.thinking_cut
    assert nano(QUESTION, rule=rule, thinking_budget=0, temperature=0).text == "\n<think></think>\nyes"


def test_no_text_of_a_schema_opens_a_call(nano: GlmVisionPipeline) -> None:
    """Tags of the format are single tokens, which a text between quotation marks never gets."""
    processor = nano.parts.processor
    masks = TokenMasks(processor.tokenizer, processor.tokenizer.get_vocab_size(), nano.parts.stop_ids)
    mask = masks.start(AnswerRule(schema={"type": "string"}))
    for token in processor.encode('"a'):
        assert mask.allowed()[token]
        mask.take(token)
    allowed = mask.allowed()
    added = processor.tokenizer.get_added_tokens_decoder()
    assert not any(allowed[token] for token in added) and allowed.sum() > 300


def test_bytes_of_tokens_make_the_text(nano: GlmVisionPipeline) -> None:
    tokenizer = nano.parts.processor.tokenizer
    pieces = token_bytes(tokenizer, 700)
    for text in ("Hello, wörld 你好 🙂\n", ' {"a": [1, 2]}'):
        assert b"".join(pieces[token] for token in tokenizer.encode(text).ids).decode() == text
    assert pieces[tokenizer.token_to_id("<think>")] == b"\xff<think>" and pieces[690].startswith(b"\xff")


def test_an_answer_ends_before_its_stop_text(nano: GlmVisionPipeline) -> None:
    whole = nano(QUESTION, temperature=0)
    assert whole.content == "TH" and "row" in whole.thoughts
    for stop, said in ((["H"], "T"), (["x", "TH"], ""), (["row"], "TH"), (["HX"], "TH")):
        pieces = []
        stream = nano.stream(QUESTION, temperature=0, stop=stop)
        try:
            while True:
                pieces.append(next(stream))
        except StopIteration as end:
            output = end.value
        assert output.content == said == "".join(piece.text for piece in pieces if piece.kind == "answer")
        assert output.stopped_by == (stop[-1] if said != "TH" else None) and output.finish_reason == "stop"
    token = nano.parts.processor.encode("H")[0]
    stopped = nano(QUESTION, temperature=0, stop_token_ids=[token])
    assert stopped.content == "T" and stopped.stopped_by == token


def test_likely_tokens_are_noted(nano: GlmVisionPipeline) -> None:
    output = nano(QUESTION, temperature=0, logprobs=3)
    assert b"".join(nano.token_text(noted.token)[1] for noted in output.logprobs) == b"TH"
    for noted in output.logprobs:
        assert noted.top[0] == (noted.token, noted.logprob) and len(noted.top) == 3
        assert list(noted.top) == sorted(noted.top, key=lambda each: -each[1]) and noted.logprob < 0
    assert nano(QUESTION, temperature=0).logprobs == ()
    cut = nano(QUESTION, temperature=0, logprobs=0, stop=["H"])
    assert [nano.token_text(noted.token)[0] for noted in cut.logprobs] == ["T"] and cut.logprobs[0].top == ()


def test_penalties_are_those_of_the_api() -> None:
    logits = torch.tensor([[1.0, 2.0, -3.0, 0.5]])
    weighed = Penalties(torch.tensor([0]), logits, frequency=0.5, presence=0.25, bias=[(3, -100.0)])
    for token in (1, 1, 2):
        weighed.add(token)
    assert weighed(logits).tolist() == [[1.0, 2.0 - 1.0 - 0.25, -3.0 - 0.5 - 0.25, -99.5]]
    repeated = Penalties(torch.tensor([0]), logits, repetition=2.0)
    repeated.add(2)
    assert repeated(logits).tolist() == [[0.5, 2.0, -6.0, 0.5]]


def test_a_bias_and_a_penalty_change_the_answer(nano: GlmVisionPipeline) -> None:
    token = nano.parts.processor.encode("T")[0]
    assert "T" not in nano(QUESTION, temperature=0, logit_bias={token: -100.0}, max_new_tokens=40).text
    with pytest.raises(RequestError, match="there are 655"):
        nano(QUESTION, logit_bias={655: 1.0})
    with pytest.raises(RequestError, match="from -2 to 2"):
        nano(QUESTION, presence_penalty=3)
