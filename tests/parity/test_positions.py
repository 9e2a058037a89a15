"""M-RoPE positions are the reference's integers, for prompts with and without references and for their plans."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inkwash.core.errors import ConfigError
from inkwash.models.glm_image.ar import Grid, decode_positions, grid_positions, prompt_positions
from tests.parity.ar_reference import END, PAD, START, grid_tensor, pair, prompt_ids, reference_inputs
from tests.parity.batches import left_pad, stack_plans

GRIDS = st.tuples(st.integers(1, 7), st.integers(1, 7))


def ours(ids: list[int], references: list[Grid], plan: list[Grid]) -> tuple[Tensor, Tensor]:
    positions, start = prompt_positions(ids, references, image_start=START, image_end=END)
    return positions, decode_positions(start, plan)


def theirs(ids: list[int], references: list[Grid], plan: list[Grid]) -> tuple[Tensor, Tensor]:
    model = pair()[0].model
    positions, _ = model.get_rope_index(**reference_inputs(ids, references, plan))
    return positions[:, 0], model._cached_decode_position_ids[0]


@pytest.mark.parametrize(
    ("references", "plan"),
    [
        ([], [(16, 16), (32, 32)]),
        ([], [(11, 22), (3, 5)]),
        ([(3, 5)], [(4, 4)]),
        ([(6, 2)], [(8, 3)]),
        ([(2, 7), (5, 3)], [(4, 9)]),
        ([(1, 1), (4, 4), (2, 8)], [(5, 5)]),
    ],
)
def test_positions_are_exact(references: list[Grid], plan: list[Grid]) -> None:
    ids = prompt_ids(references)
    for mine, reference in zip(ours(ids, references, plan), theirs(ids, references, plan), strict=True):
        assert torch.equal(mine, reference)


@settings(max_examples=40, deadline=None)
@given(st.lists(GRIDS, max_size=3), st.lists(GRIDS, min_size=1, max_size=2), st.integers(0, 9))
def test_positions_are_exact_for_any_grids(references: list[Grid], plan: list[Grid], words: int) -> None:
    ids = prompt_ids(references, words=words)
    for mine, reference in zip(ours(ids, references, plan), theirs(ids, references, plan), strict=True):
        assert torch.equal(mine, reference)


def test_preview_comes_first_and_the_end_token_last() -> None:
    plan = decode_positions(10, [(2, 3), (4, 1)])
    assert plan.shape == (3, 2 * 3 + 4 + 1)
    assert plan[:, :6].tolist() == [[10] * 6, [10, 10, 10, 11, 11, 11], [10, 11, 12, 10, 11, 12]]
    assert plan[:, 6:10].tolist() == [[13] * 4, [13, 14, 15, 16], [13] * 4]
    assert plan[:, 10].tolist() == [17, 17, 17]


def test_left_padded_batch_is_the_reference_batch() -> None:
    references: list[list[Grid]] = [[], [(3, 5)], [(2, 2), (4, 1)]]
    plans: list[list[Grid]] = [[(2, 2), (4, 6)], [(4, 4)], [(3, 3)]]
    prompts = [prompt_ids(r, words=4 + 3 * i) for i, r in enumerate(references)]
    mine = [ours(*each) for each in zip(prompts, references, plans, strict=True)]
    ids, positions, keep = left_pad(prompts, [p for p, _ in mine], PAD)
    model = pair()[0].model
    grids = [[*r, *reversed(p)] for r, p in zip(references, plans, strict=True)]
    expected, _ = model.get_rope_index(
        ids,
        image_grid_thw=grid_tensor([g for row in grids for g in row]),
        images_per_sample=torch.tensor([len(row) for row in grids]),
        attention_mask=keep.long(),
    )
    assert torch.equal(positions[:, keep], expected[:, keep])
    assert [row.sum().item() for row in keep] == [len(p) for p in prompts]
    assert all(ids[i, -len(p) :].tolist() == p for i, p in enumerate(prompts))
    stacked = stack_plans([plan for _, plan in mine])
    assert torch.equal(stacked.transpose(0, 1), model._cached_decode_position_ids)


def test_grid_positions_walk_rows_then_columns() -> None:
    assert grid_positions(5, (2, 2)).tolist() == [[5, 5, 5, 5], [5, 5, 6, 6], [5, 6, 5, 6]]


def test_a_grid_that_does_not_fill_its_block_is_named() -> None:
    ids = prompt_ids([(3, 5)])
    with pytest.raises(ConfigError, match="image 1 fills 15 tokens of the prompt, but its grid of 3x4 needs 12"):
        prompt_positions(ids, [(3, 4)], image_start=START, image_end=END)
    with pytest.raises(ConfigError, match="1 finished images, but 2 image grids"):
        prompt_positions(ids, [(3, 5), (1, 1)], image_start=START, image_end=END)
