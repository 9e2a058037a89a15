"""The static cache: views while rows move together, whole buffers when each row has its own place."""

from __future__ import annotations

import pytest
import torch

from inkwash.nn.cache import StaticCache


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
