"""The pipeline that sees: fast paths equal plain ones, nothing seen is lost or read twice, budgets and stops hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from inkwash.core.errors import Cancelled, RequestError
from inkwash.engine.request import CancelToken
from inkwash.engine.see.output import VisionOutput
from inkwash.engine.see.pipeline import GlmVisionPipeline, _DeltaSplitter
from inkwash.models.glm.decode import StepDecoder
from inkwash.models.glm.row_decode import KEYS_STEP, RowDecoder, takes
from inkwash.models.glm_v.vision_input import Video, VisionPrompt
from inkwash.nn.attention import SequenceCache, SequenceCaches
from tests.pictures import noise_picture
from tests.unit.engine.see.conftest import MakePipeline

RED = noise_picture((40, 24), 90)
BLUE = noise_picture((32, 32), 90, seed=1)


def turn(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]}


def picture(image: Image.Image) -> dict[str, Any]:
    return {"type": "image", "image": image}


def video(count: int = 6) -> dict[str, Any]:
    return {"type": "video", "video": [RED.rotate(10 * number) for number in range(count)]}


MIXED = [turn(picture(RED), video(), "What is this?")]


def naive(pipe: GlmVisionPipeline, prompt: VisionPrompt, tokens: int, start: list[int] | None = None) -> list[int]:
    """Greedy tokens by the module's forward over everything, every time anew."""
    model = pipe.parts.model
    features = None if prompt.patches is None else model.see(prompt.patches, prompt.grids)
    said = list(start or [])
    with torch.no_grad():
        while len(said) < tokens:
            more = torch.arange(len(said)) + prompt.next_position
            positions = torch.cat([prompt.positions, more.expand(3, -1)], dim=1)
            ids = torch.cat([prompt.ids, torch.tensor(said, dtype=torch.long)])
            modality = torch.cat([prompt.modality, torch.zeros(len(said), dtype=torch.long)])
            hidden = model(ids[None], positions[:, None], features=features, modality=modality[None])
            said.append(int(model.lm_head(hidden[0, -1]).argmax()))
    return said


@pytest.mark.parametrize("experts", [False, True])
def test_the_answer_is_the_one_of_the_plain_forward(make_pipeline: MakePipeline, experts: bool) -> None:
    pipe = make_pipeline(experts=experts)
    output = pipe(MIXED, max_new_tokens=24, temperature=0, stop_loops=False)
    assert list(output.token_ids) == naive(pipe, pipe.prepare(MIXED), 24)
    assert output.finish_reason == "length" and output.usage.completion_tokens == 24
    assert output.usage.images and output.usage.videos and output.usage.cached_tokens == 0


def test_decode_paths_agree(make_pipeline: MakePipeline) -> None:
    for experts in (False, True):
        model = make_pipeline(experts=experts).parts.model
        decoder, ids = StepDecoder(model), torch.tensor([5, 9, 200, 7, 7])
        positions = torch.arange(11, 16).expand(3, 1, -1)
        tables = decoder.tables(positions)[0]
        with torch.no_grad():
            expected: Tensor = model.lm_head(model(ids[None], positions, cache=model.make_cache(1, 8)))[0]
        cache, plain, block = (model.make_cache(1, KEYS_STEP) for _ in range(3))
        for place, token in enumerate(ids):
            row = decoder.forward_token(token[None], tables[place : place + 1], cache, place)
            torch.testing.assert_close(row[0], expected[place], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(decoder.forward_block(ids, tables, block, 0), expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(block.k, cache.k, atol=1e-4, rtol=1e-4)
        assert takes(decoder) is not experts
        if not experts:
            rows, caches = RowDecoder(decoder), SequenceCaches([SequenceCache(plain)])
            for place in range(len(ids)):
                here = slice(place, place + 1)
                logits = rows.forward(ids[here], tables[here], caches, [(0, place, 0, 1)], [(0, place + 1)])
                torch.testing.assert_close(logits[0], expected[place], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(plain.v, cache.v, atol=1e-4, rtol=1e-4)


def test_guesses_change_no_token(make_pipeline: MakePipeline) -> None:
    pipe = make_pipeline()
    rows = pipe.answers.rows
    expected = pipe(MIXED, max_new_tokens=60, temperature=0, stop_loops=False).token_ids
    passes = _count_passes(pipe)
    pipe.answers.rows = None
    pipe.forget()
    assert pipe(MIXED, max_new_tokens=60, temperature=0, stop_loops=False).token_ids == expected
    assert len(passes) < 59 and max(passes) > 1  # a random model soon repeats itself: some guesses are right
    pipe.answers.rows = rows
    one = pipe(MIXED, max_new_tokens=20, temperature=1.5, seed=3, stop_loops=False).token_ids
    pipe.answers.rows = None
    assert pipe(MIXED, max_new_tokens=20, temperature=1.5, seed=3, stop_loops=False).token_ids == one


def _count_passes(pipe: GlmVisionPipeline) -> list[int]:
    """Tokens of every pass of the decoder from now on."""
    passes: list[int] = []
    decoder = pipe.answers.decoder
    step, block = decoder.forward_token, decoder.forward_block

    def counted_step(ids: Tensor, *rest: Any) -> Tensor:
        passes.append(1)
        return step(ids, *rest)

    def counted_block(ids: Tensor, *rest: Any) -> Tensor:
        passes.append(len(ids))
        return block(ids, *rest)

    decoder.forward_token, decoder.forward_block = counted_step, counted_block  # type: ignore[method-assign, assignment]
    return passes


def test_a_prompt_read_in_chunks_gives_the_same_answer(
    make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = make_pipeline()(MIXED, max_new_tokens=8, temperature=0).token_ids
    monkeypatch.setattr("inkwash.engine.see.generator.CHUNK", 7)  # boundaries fall inside of pictures
    assert make_pipeline()(MIXED, max_new_tokens=8, temperature=0).token_ids == expected


def test_a_picture_is_encoded_once_in_a_conversation(make_pipeline: MakePipeline) -> None:
    remembering, forgetful = make_pipeline(), make_pipeline(conversations=0)
    encoded: list[int] = []
    see = remembering.parts.model.see
    remembering.parts.model.see = lambda patches, grids: encoded.append(len(grids)) or see(patches, grids)  # type: ignore
    messages: list[dict[str, Any]] = [turn(picture(RED), video(), "What is this?")]
    for question in ("And the colour?", "Where?", "Why?"):
        first = remembering(messages, max_new_tokens=6, temperature=0)
        assert first.token_ids == forgetful(messages, max_new_tokens=6, temperature=0).token_ids
        messages += [first.message, turn(question)]
    assert len(encoded) == 2  # the picture and the video
    output = remembering([*messages[:-1], turn(picture(BLUE), "This one?")], max_new_tokens=4, temperature=0)
    assert len(encoded) == 3 and output.usage.cached_tokens > sum(output.usage.images[:1] + output.usage.videos)


def test_another_picture_of_the_same_size_is_not_the_same(make_pipeline: MakePipeline) -> None:
    pipe = make_pipeline()
    other = noise_picture(RED.size, 90, seed=2)
    pipe([turn(picture(RED), "What?")], max_new_tokens=4)
    output = pipe([turn(picture(other), "What?")], max_new_tokens=12, temperature=0)
    assert output.usage.cached_tokens < 10
    expected = make_pipeline(conversations=0)([turn(picture(other), "What?")], max_new_tokens=12, temperature=0)
    assert output.token_ids == expected.token_ids


def test_conversations_with_a_common_beginning_do_not_disturb_each_other(make_pipeline: MakePipeline) -> None:
    pipe, fresh = make_pipeline(), make_pipeline(conversations=0)
    a, b = ([turn(picture(RED), question)] for question in ("One?", "Another one?"))
    for messages in (a, b, a, b):
        got = pipe(messages, max_new_tokens=8, temperature=0)
        assert got.token_ids == fresh(messages, max_new_tokens=8, temperature=0).token_ids


@pytest.mark.parametrize(("style", "tags"), [("plain", "</think>"), ("tagged", "</think><answer>")])
def test_thoughts_end_with_their_budget_and_keep_what_was_seen(
    make_pipeline: MakePipeline, style: str, tags: str
) -> None:
    pipe = make_pipeline(style)
    thinks = pipe.parts.processor.token_id("<think>")
    original = pipe.answers._choose
    calls: list[int] = []

    def begin_with_thoughts(logits: Tensor, *rest: Any) -> int:
        calls.append(1)
        return thinks if len(calls) == 1 else original(logits, *rest)

    pipe.answers._choose = begin_with_thoughts  # type: ignore[method-assign]
    output = pipe(MIXED, max_new_tokens=30, thinking_budget=5, temperature=0, stop_loops=False)
    assert output.thinking_cut and output.text.count(tags) == 1
    assert 1 <= output.usage.thinking_tokens <= 5 and output.thoughts and output.content
    said = list(output.token_ids)
    end = len(said) - said[::-1].index(pipe.parts.processor.token_id(tags[tags.rindex("<") :]))
    assert said == naive(pipe, pipe.prepare(MIXED), 30, said[:end])  # the answer still sees picture and video


def test_an_answer_that_is_cut_after_its_thoughts_were_says_both(make_pipeline: MakePipeline) -> None:
    """The published forced answer reports success whatever came of it."""
    output = make_pipeline("tagged")(MIXED, max_new_tokens=5, thinking_budget=0, temperature=0, stop_loops=False)
    assert output.thinking_cut and output.finish_reason == "length" and not output.answer.finished


def test_the_closing_tag_may_be_the_stop_token(make_pipeline: MakePipeline) -> None:
    pipe = make_pipeline("tagged")
    closing = pipe.parts.processor.token_id("</answer>")
    pipe.answers.stop_ids = frozenset({closing})
    said = iter([*pipe.parts.processor.encode("<think>a</think><answer>b"), closing])
    pipe.answers._choose = lambda *_: next(said)  # type: ignore[method-assign]
    output = pipe([turn("Hi")])
    assert (output.finish_reason, output.content, output.answer.finished) == ("stop", "b", True)


@pytest.mark.parametrize(("style", "start"), [("plain", "<think></think>"), ("tagged", "<think></think><answer>")])
def test_a_budget_of_zero_forbids_thoughts(make_pipeline: MakePipeline, style: str, start: str) -> None:
    output = make_pipeline(style)(MIXED, max_new_tokens=12, thinking_budget=0, temperature=0)
    assert output.text.strip().startswith(start) and not output.thoughts and output.content


def test_an_answer_that_repeats_itself_is_stopped(make_pipeline: MakePipeline) -> None:
    pipe = make_pipeline()
    pipe.answers._choose = lambda *_: 40  # type: ignore[method-assign]
    output = pipe([turn("Hi")], max_new_tokens=500)
    assert output.finish_reason == "repetition" and output.usage.completion_tokens < 200
    assert pipe([turn("Hi")], max_new_tokens=300, stop_loops=False).finish_reason == "length"


def test_a_cancelled_answer_keeps_what_was_said(make_pipeline: MakePipeline) -> None:
    pipe, token = make_pipeline(), CancelToken()
    stream = pipe.stream(MIXED, max_new_tokens=200, temperature=0, cancel=token, stop_loops=False)
    next(stream)
    token.cancel()
    output = finish(stream)
    assert output.finish_reason == "cancelled" and 1 <= output.usage.completion_tokens < 10
    with pytest.raises(Cancelled):  # before anything was said there is nothing to keep
        pipe([turn(picture(BLUE), "?")], cancel=token)
    assert (
        pipe(MIXED, max_new_tokens=8, temperature=0).token_ids
        == make_pipeline()(MIXED, max_new_tokens=8, temperature=0).token_ids
    )


def finish(stream: Iterator[Any]) -> VisionOutput:
    while True:
        try:
            next(stream)
        except StopIteration as end:
            output: VisionOutput = end.value
            return output


def test_pieces_join_to_the_whole(make_pipeline: MakePipeline) -> None:
    pipe = make_pipeline()
    pieces: list[Any] = []
    stream = pipe.stream(MIXED, max_new_tokens=20, temperature=1.0, seed=5)
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            output = end.value
            break
    assert "".join(piece.text for piece in pieces if piece.kind == "answer").strip() == output.content.strip()
    assert pipe(MIXED, max_new_tokens=20, temperature=1.0, seed=5).token_ids == output.token_ids
    assert pipe(MIXED, max_new_tokens=20, temperature=1.0, seed=6).token_ids != output.token_ids


def test_the_cost_is_known_before_anything_is_decoded(make_pipeline: MakePipeline) -> None:
    pipe = make_pipeline()
    lazy = Video(indices=[0, 5], fps=5.0, size=(40, 24), load=lambda: pytest.fail("decoded"), key="x")
    messages = [turn({"type": "video", "video": lazy}, "What?")]
    cost = pipe.cost(messages)
    assert cost.videos == (pipe.parts.processor.videos.tokens(pipe.parts.processor.videos.grid(2, 24, 40)),)
    assert cost.media_tokens == sum(cost.videos) < cost.prompt_tokens == len(pipe.prepare(messages).ids)


def test_too_long_a_conversation_is_refused(make_pipeline: MakePipeline) -> None:
    with pytest.raises(RequestError, match="more than the context of 4096") as caught:
        make_pipeline()([turn("x" * 5000)])
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    "settings",
    [
        {"max_new_tokens": 0},
        {"thinking_budget": -1},
        {"temperature": -1.0},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": 1e-300},
        {"top_p": 2.0},
    ],
)
def test_settings_out_of_range_are_refused(make_pipeline: MakePipeline, settings: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        make_pipeline()([turn("Hi")], **settings)


def test_a_penalty_keeps_tokens_from_coming_back(make_pipeline: MakePipeline) -> None:
    pipe = make_pipeline()
    plain = pipe([turn("Hi")], max_new_tokens=30, temperature=0, stop_loops=False).token_ids
    strict = pipe([turn("Hi")], max_new_tokens=30, temperature=0, repetition_penalty=5.0, stop_loops=False).token_ids
    assert len(set(strict)) > len(set(plain))


def test_tool_calls_are_held_back_and_come_whole() -> None:
    def shown(pieces: tuple[str, ...], *, offered: bool = True) -> list[str]:
        gate = _DeltaSplitter([{"name": "crop"}] if offered else [], fenced=False, call_pieces=False)
        found = [delta.text for piece in pieces for delta in gate.deltas([("answer", piece)])]
        return [*found, *(delta.text for delta in gate.finish())]

    assert "".join(shown(("Look: <", "b>x</b> <tool", "_call>crop\n</tool", "_call>"))) == "Look: <b>x</b> "
    assert shown(("a <tool_",)) == ["a ", "<tool_"]
    assert shown(("a <tool_call>crop\n<arg_key>",)) == ["a ", "<tool_call>crop\n<arg_key>"]
    assert shown(("a <tool_call>",), offered=False) == ["a <tool_call>"]


def test_answers_are_the_same_in_inference_mode_and_after_it(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    messages, plain = [turn("What?", picture(RED))], make_pipeline()
    expected = plain(messages, max_new_tokens=6, temperature=0).text
    plain.save_pretrained(tmp_path)
    with torch.inference_mode():
        pipe = GlmVisionPipeline.from_pretrained(tmp_path, device_map="cpu")
        assert pipe(messages, max_new_tokens=6, temperature=0).text == expected
    assert not any(weight.is_inference() for weight in pipe.parts.model.parameters())
    assert pipe(messages, max_new_tokens=6, temperature=0).text == expected
