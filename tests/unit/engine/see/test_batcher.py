"""Answers made together have the tokens that each has alone, whoever comes, leaves or fails beside them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from inkwash.core.errors import Cancelled
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.request import CancelToken, DrawRequest
from inkwash.engine.scheduler import Engine, EngineClosed
from inkwash.engine.see.batcher import AnswerBatcher, in_thread
from inkwash.engine.see.output import VisionOutput
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.models.glm.decode import StepDecoder
from inkwash.models.glm.row_decode import KEYS_STEP, RowDecoder
from inkwash.nn.attention import SequenceCache, SequenceCaches
from tests.unit.engine.see.conftest import MakePipeline
from tests.unit.engine.see.test_see_pipeline import BLUE, MIXED, RED, finish, picture, turn, video

TALKS: list[tuple[list[dict[str, Any]], dict[str, Any]]] = [
    (MIXED, {"max_new_tokens": 30, "temperature": 0}),
    ([turn(picture(RED), "What?")], {"max_new_tokens": 20, "temperature": 1.2, "seed": 4}),
    ([turn("Hi")], {"max_new_tokens": 40, "temperature": 0, "repetition_penalty": 1.3}),
    ([turn(picture(BLUE), video(), "Which?")], {"max_new_tokens": 25, "temperature": 0.7, "top_p": 0.9, "seed": 9}),
    ([turn("Hello there, " * 40)], {"max_new_tokens": 10, "temperature": 0, "thinking_budget": 3}),
]


def ask_all(pipe: GlmVisionPipeline) -> list[VisionOutput]:
    with ThreadPoolExecutor(len(TALKS)) as pool:
        return list(pool.map(lambda talk: pipe(talk[0], stop_loops=False, **talk[1]), TALKS))


@pytest.mark.parametrize("kind", ["cpu", "products", "experts"])
def test_each_answer_is_the_one_it_is_alone(
    make_pipeline: MakePipeline, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inkwash.engine.see.generator.CHUNK", 64)  # prompts take several rounds
    alone, pipe = make_pipeline(experts=kind == "experts"), make_pipeline(experts=kind == "experts")
    if kind == "products":  # the path of accelerators
        alone.answers.rows = pipe.answers.rows = None
    expected = [alone(messages, stop_loops=False, **settings).token_ids for messages, settings in TALKS]
    together = pipe.enable_batching(4)
    assert [output.token_ids for output in ask_all(pipe)] == expected
    assert together.largest_batch > 1 and together.answering == together.waiting == 0
    again = ask_all(pipe)  # from what is kept
    assert [output.token_ids for output in again] == expected
    assert all(output.usage.cached_tokens > 0 for output in again[:4])


def test_several_answers_are_the_bits_of_one(make_pipeline: MakePipeline) -> None:
    """On a CPU in fp32 not only the tokens are equal; guessed tokens stand behind those of their answer."""
    model = make_pipeline().parts.model.bfloat16().float()  # as released: the products are packed
    decoder = StepDecoder(model)
    rows, length = RowDecoder(decoder), 2 * KEYS_STEP
    caches = [model.make_cache(1, length) for _ in range(3)]
    for cache in caches:
        cache.k.normal_(), cache.v.normal_()
    before = [(cache.k.clone(), cache.v.clone()) for cache in caches]
    tables = decoder.tables(torch.arange(3, 11).expand(3, 1, -1))[0]
    tokens, starts = [[7], [8, 20, 21], [9]], [2, KEYS_STEP - 2, 4]  # the second crosses a multiple of KEYS_STEP
    alone = []
    for cache, own, start in zip(caches, tokens, starts, strict=True):
        one = SequenceCaches([SequenceCache(cache)])
        for at, token in enumerate(own):
            spans = [(0, start + at + 1)]
            logits = rows.forward(torch.tensor([token]), tables[at : at + 1], one, [(0, start + at, 0, 1)], spans)
            alone.append(logits)
    for cache, (k, v) in zip(caches, before, strict=True):
        cache.k.copy_(k), cache.v.copy_(v)
    together = SequenceCaches([SequenceCache(cache) for cache in caches])
    places = [(0, 2, 0, 1), (1, KEYS_STEP - 2, 1, 3), (2, 4, 4, 1)]
    spans = [(0, 3), *((1, KEYS_STEP - 1 + at) for at in range(3)), (2, 5)]
    ids, lines = torch.tensor([7, 8, 20, 21, 9]), tables[[0, 0, 1, 2, 0]]
    assert torch.equal(rows.forward(ids, lines, together, places, spans), torch.cat(alone))


def test_more_than_the_slots_wait_their_turn(make_pipeline: MakePipeline) -> None:
    pipe = make_pipeline()
    together = pipe.enable_batching(2)
    assert len(ask_all(pipe)) == len(TALKS) and together.largest_batch <= 2


def test_one_that_leaves_or_is_cancelled_disturbs_nobody(make_pipeline: MakePipeline) -> None:
    pipe = make_pipeline()
    expected = make_pipeline()(MIXED, max_new_tokens=30, temperature=0, stop_loops=False).token_ids
    together, token = pipe.enable_batching(4), CancelToken()
    leaving = pipe.stream([turn("Hi")], max_new_tokens=3000, temperature=0, stop_loops=False)
    next(leaving)
    cancelled = pipe.stream([turn("Ho")], max_new_tokens=3000, temperature=0, stop_loops=False, cancel=token)
    next(cancelled)
    with ThreadPoolExecutor(1) as pool:
        staying = pool.submit(pipe, MIXED, max_new_tokens=30, temperature=0, stop_loops=False)
        leaving.close()
        token.cancel()
        output = finish(cancelled)
        assert output.finish_reason == "cancelled" and output.token_ids
        assert staying.result().token_ids == expected
    with pytest.raises(Cancelled):
        pipe([turn("No")], cancel=token)
    while together.answering:
        threading.Event().wait(0.01)


def test_a_failure_is_told_to_the_one_it_concerns(make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = make_pipeline()
    pipe.enable_batching(4)
    see = pipe.parts.model.see

    def fail(*_: Any) -> Any:
        raise RuntimeError("no eyes")

    pipe.parts.model.see = fail  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        good = pool.submit(pipe, [turn("Hi")], max_new_tokens=30, temperature=0, stop_loops=False)
        with pytest.raises(RuntimeError, match="no eyes"):
            pipe(MIXED, max_new_tokens=4)
        assert len(good.result().token_ids) == 30
    pipe.parts.model.see = see  # type: ignore[method-assign]
    monkeypatch.setattr(pipe.answers, "forward", fail)
    with pytest.raises(RuntimeError):
        pipe([turn("Hi")], max_new_tokens=4)
    monkeypatch.undo()
    assert pipe(MIXED, max_new_tokens=4).token_ids


def test_the_rounds_may_run_in_a_thread_of_somebody_else(make_pipeline: MakePipeline) -> None:
    pipe, lent = make_pipeline(), []
    pipe.batcher = AnswerBatcher(pipe.answers, run=lent.append)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(pipe, [turn("Hi")], max_new_tokens=5, temperature=0)
        while not lent:
            threading.Event().wait(0.01)
        while lent[0]():
            pass
        assert asked.result().usage.completion_tokens == 5


@pytest.mark.slow
def test_the_engine_that_draws_makes_the_rounds(make_pipeline: MakePipeline, tiny_folder: Path) -> None:
    """Answers and a picture in the same scheduler, each as alone."""
    drawing = GlmImagePipeline.from_pretrained(tiny_folder)
    request = DrawRequest(prompt="two circles", height=64, width=64, num_inference_steps=2, seed=1)
    expected = [make_pipeline()(messages, stop_loops=False, **settings).token_ids for messages, settings in TALKS]
    pipe = make_pipeline()
    with Engine(drawing, slots=2) as engine:
        before = engine.submit(request).result().images[0].tobytes()
        pipe.enable_batching(4, engine.run_in_background)
        handles = [engine.submit(request) for _ in range(3)]
        assert [output.token_ids for output in ask_all(pipe)] == expected
        assert [output.token_ids for output in ask_all(pipe)] == expected
        assert all(handle.result().images[0].tobytes() == before for handle in handles)
    with pytest.raises(EngineClosed):
        pipe([turn("Hi")])
    assert pipe.batcher is not None and not pipe.batcher.waiting
    pipe.batcher.run = in_thread
    assert pipe([turn("Hi")], max_new_tokens=3).token_ids
