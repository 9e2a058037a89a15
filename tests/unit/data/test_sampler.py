"""The order of samples: complete, reproducible, the same for any number of workers and ranks, resumable anywhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwash.core.errors import ConfigError
from inkwash.data.buckets import group_area, group_name
from inkwash.data.encoded import ShardBatches
from inkwash.data.loader import step_batches
from inkwash.data.sampler import ShardSampler
from inkwash.data.shards import Sample, write_index, write_shard

COUNTS = {"64x64": [5, 3, 1], "96x64-edit": [4]}


def order(seed: int = 0) -> ShardSampler:
    return ShardSampler(counts=COUNTS, batches={"64x64": 2, "96x64-edit": 3}, seed=seed)


@given(
    counts=st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(1, 9), min_size=1, max_size=20), min_size=1),
    batch=st.integers(1, 5),
    seed=st.integers(0, 3),
)
@settings(max_examples=30, deadline=None)
def test_an_epoch_shows_everything_and_little_twice(counts: dict[str, list[int]], batch: int, seed: int) -> None:
    made = ShardSampler(counts=counts, batches=dict.fromkeys(counts, batch), seed=seed, window=3)
    for epoch in (0, 2):
        turns = [made.turn(epoch * made.steps_per_epoch + i) for i in range(made.steps_per_epoch)]
        assert {turn.epoch for turn in turns} == {epoch}
        for group, shards in counts.items():
            seen = Counter(spot for turn in turns if turn.group == group for spot in turn.spots)
            assert set(seen) == {(s, i) for s, count in enumerate(shards) for i in range(count)}
            assert sum(seen.values()) - sum(shards) < batch or sum(shards) < batch


def test_a_step_needs_no_history() -> None:
    walked = order()
    turns = [walked.turn(step) for step in range(3 * walked.steps_per_epoch)]
    assert order().turn(17) == turns[17]
    assert order(seed=1).turn(17) != turns[17]
    first, second = turns[: walked.steps_per_epoch], turns[walked.steps_per_epoch : 2 * walked.steps_per_epoch]
    assert [t.spots for t in first] != [t.spots for t in second], "every epoch has its own order"
    assert turns[0].state == {
        "epoch": 0, "group": turns[0].group, "shard": turns[0].spots[0][0], "offset": turns[0].spots[0][1]
    }  # fmt: skip


def test_reading_stays_near() -> None:
    made = ShardSampler(counts={"a": [10] * 40}, batches={"a": 1}, window=4)
    shards = [spot[0] for spot in made._samples(0, "a")]
    assert max(len(set(shards[i : i + 40])) for i in range(0, 400, 40)) == 4
    assert len(set(shards[:400])) == 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = []
    for group, counts in COUNTS.items():
        width, height = (int(side) for side in group.removesuffix("-edit").split("x"))
        number = 0
        for part, count in enumerate(counts):
            samples = []
            for _ in range(count):
                arrays = {
                    "tokens": np.full((height // 32, width // 32), number, dtype=np.int32),
                    "latents": np.zeros((2, height // 8, width // 8), dtype=np.float16),
                    "ids": np.arange(number + 1, dtype=np.int32),
                }
                if "edit" in group:
                    arrays |= {"reference0.tokens": np.zeros((2, 2), dtype=np.int32)}
                samples.append(Sample(key=f"{number:09d}", facts={"prompt": group, "texts": []}, arrays=arrays))
                number += 1
            made.append(write_shard(tmp_path, f"{group}-{part:05d}", group, samples))
    write_index(tmp_path, made, {})
    return tmp_path


def test_workers_change_nothing_and_a_late_start_neither(folder: Path) -> None:
    make = ShardBatches(folder=folder, batch=4, fields=("tokens", "ids"))
    plain = [make(step) for step in range(9)]
    for workers, first in ((0, 0), (1, 3), (2, 5)):
        loaded = list(step_batches(make, first=first, total=9, workers=workers))
        assert [batch["keys"] for batch in loaded] == [batch["keys"] for batch in plain[first:]]
        assert all(np.array_equal(a["tokens"], b["tokens"]) for a, b in zip(loaded, plain[first:], strict=True))


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_the_batch_of_one_process(folder: Path, world: int) -> None:
    alone = ShardBatches(folder=folder, batch=8, multiple=4, fields=())
    ranks = [replace(alone, rank=rank, world=world) for rank in range(world)]
    for step in range(6):
        parts = [make(step)["keys"] for make in ranks]
        whole = alone(step)["keys"]
        assert len(whole) in (4, 8)
        assert [parts[i % world][i // world] for i in range(len(whole))] == whole


def test_a_batch_does_not_divide_into_three(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be shared by 3 processes"):
        ShardBatches(folder=folder, batch=4, fields=(), world=3)


def test_batches_hold_one_canvas_and_their_references(folder: Path) -> None:
    make = ShardBatches(folder=folder, batch=6, fields=("tokens", "ids", "reference*.tokens"))
    seen = set()
    for step in range(make.order.steps_per_epoch):
        batch = make(step)
        edit = batch["prompts"][0] == "96x64-edit"
        seen.add((batch["tokens"].shape, edit))
        assert set(batch["prompts"]) == {batch["prompts"][0]}
        assert all(len(row) == (1 if edit else 0) for row in batch["references"])
        assert [len(ids) for ids in batch["ids"]] == [int(tokens[0, 0]) + 1 for tokens in batch["tokens"]]
    assert seen == {((6, 2, 2), False), ((4, 2, 3), True)}, "larger canvases come in smaller batches"


def test_groups_by_name() -> None:
    assert group_name(96, 64, 0) == "96x64" and group_name(96, 64, 2) == "96x64-edit"
    assert group_area("96x64-edit") == 96 * 64
