"""The static cache: views while rows move together, whole buffers when each row has its own place."""

from __future__ import annotations

import pytest
import torch

from inkwash.nn.attention import SlotCache, StaticCache


def values(length: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, length, 4, generator=generator), torch.randn(2, 3, length, 4, generator=generator)


def make() -> StaticCache:
    return StaticCache(layers=2, batch=2, kv_heads=3, max_length=8, head_dim=4)


def test_one_start_returns_views_of_what_is_written() -> None:
    cache = make()
    k, v = values(5, 0)
    cache.update(1, k, v, 0)
    next_k, next_v = values(2, 1)
    keys, stored = cache.update(1, next_k, next_v, 5)
    assert torch.equal(keys, torch.cat([k, next_k], 2))
    assert torch.equal(stored, torch.cat([v, next_v], 2))
    assert keys.data_ptr() == cache.k[1].data_ptr()
    assert not cache.k[0].any()


def test_a_start_per_row_writes_each_row_at_its_place() -> None:
    cache = make()
    k, v = values(2, 2)
    keys, stored = cache.update(0, k, v, torch.tensor([1, 5]))
    assert keys.shape == stored.shape == (2, 3, 8, 4)
    assert torch.equal(keys[0, :, 1:3], k[0])
    assert torch.equal(stored[1, :, 5:7], v[1])
    assert keys.count_nonzero() == k.numel()


def test_writing_past_the_end_is_an_error() -> None:
    with pytest.raises(AssertionError, match=r"cache of 8 written at 7\+2"):
        make().update(0, *values(2, 3), 7)
    with pytest.raises(RuntimeError, match="out of bounds"):
        make().update(0, *values(2, 3), torch.tensor([0, 7]))


def test_select_copies_rows() -> None:
    cache = make()
    cache.update(0, *values(8, 4), 0)
    copy = cache.select(torch.tensor([1, 1, 0]))
    assert copy.batch == 3
    assert copy.max_length == 8
    assert torch.equal(copy.k[0, 0], cache.k[0, 1])
    copy.k[0, 0].zero_()
    assert cache.k[0, 1].any()
    assert copy.k[0, 1].any()


def test_dtype_is_kept() -> None:
    cache = StaticCache(1, 2, 3, 8, 4, dtype=torch.bfloat16)
    keys, _ = cache.update(0, *values(2, 5), torch.tensor([0, 1]))
    assert keys.dtype == torch.bfloat16


def test_slots_keep_sequences_apart_and_grow() -> None:
    cache = SlotCache(layers=2, slots=3, kv_heads=2, max_length=4, head_dim=5)
    prefix = StaticCache(layers=2, batch=1, kv_heads=2, max_length=3, head_dim=5)
    prefix.k.normal_()
    prefix.v.normal_()
    cache.load(1, prefix, 2)
    written = torch.randn(2, 2 * 2 * 5)
    cache.write(1, torch.tensor([1 * 4 + 2, 2 * 4 + 0]), written)
    keys, values = cache.read(1, 1, 1, 1, 3)
    assert keys.shape == (1, 2, 3, 5)
    assert torch.equal(keys[0, :, :2], prefix.k[1, 0, :, :2]) and torch.equal(values[0, :, :2], prefix.v[1, 0, :, :2])
    assert torch.equal(keys[0, :, 2], written[0, :10].view(2, 5))
    assert torch.equal(values[0, :, 2], written[0, 10:].view(2, 5))
    assert not cache.read(1, 0, 1, 1, 4)[0].any() and not cache.read(0, 2, 1, 1, 4)[0].any()
    both = cache.read(1, 1, 2, 2, 3)[0]
    assert torch.equal(both[:1], keys) and torch.equal(both[1:], cache.read(1, 2, 1, 1, 3)[0])
    assert torch.equal(cache.read(1, 1, 1, 4, 3)[1], values.repeat(4, 1, 1, 1))  # one slot for four rows
    longer = cache.grown(7)
    assert torch.equal(longer.read(1, 1, 1, 1, 3)[0], keys) and torch.equal(
        longer.read(1, 2, 1, 1, 1)[1], cache.read(1, 2, 1, 1, 1)[1]
    )
    longer.write(0, torch.tensor([2 * 7 + 6]), written[:1])
    assert torch.equal(longer.read(0, 2, 1, 1, 7)[0][0, :, 6], written[0, :10].view(2, 5))
