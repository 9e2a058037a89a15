"""A model that draws over processes of this machine draws what one process draws, and comes back when one dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from PIL import ImageChops

from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.ranks.group import RankGroup, RankLost
from inkwash.engine.request import DrawRequest
from inkwash.engine.scheduler import Engine

pytestmark = pytest.mark.slow  # processes that import torch

REQUEST = DrawRequest(prompt='A poster that says "HELLO"', width=64, height=64, num_inference_steps=3, seed=3)


@pytest.fixture(scope="module")
def alone() -> GlmImagePipeline:
    return GlmImagePipeline.from_pretrained("nano", device_map="cpu")


@pytest.fixture(scope="module")
def shared() -> Iterator[GlmImagePipeline]:
    pipe = GlmImagePipeline.from_pretrained("nano", device_map="cpu", tensor_parallel_size=2)
    yield pipe
    pipe.close()


def group_of(pipe: GlmImagePipeline) -> RankGroup:
    assert pipe.stages.shared is not None
    return pipe.stages.shared.group


def test_processes_draw_what_one_draws(alone: GlmImagePipeline, shared: GlmImagePipeline) -> None:
    one, two = (pipe.draw(REQUEST) for pipe in (alone, shared))
    assert torch.equal(one.plan.prior_token_ids, two.plan.prior_token_ids)
    differences = ImageChops.difference(one.images[0], two.images[0]).getextrema()
    assert max(high for _, high in differences) <= 1


def test_a_lost_rank_fails_what_needs_it_and_comes_back(alone: GlmImagePipeline, shared: GlmImagePipeline) -> None:
    group = group_of(shared)
    edition, begun = group.edition, time.monotonic()
    with Engine(shared, decode_workers=1) as engine:
        ticket = engine.submit(replace(REQUEST, width=256, height=256))
        while not engine.stats().running or not engine.stats().tokens:
            time.sleep(0.01)
        os.kill(group.processes[0], signal.SIGKILL)
        with pytest.raises(RankLost) as lost:
            ticket.result(60)
        assert lost.value.status == 503 and lost.value.retry_after >= 1
        assert group.wait(60)
        assert time.monotonic() - begun < 60 and group.edition == edition + 1
        again = engine.submit(REQUEST).result(60)
    assert torch.equal(again.plan.prior_token_ids, alone.draw(REQUEST).plan.prior_token_ids)
