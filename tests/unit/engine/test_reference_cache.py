"""The store of reference work: found by content, bounded, forgotten when the weights change, shared by threads."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from inkwash.engine.reference_cache import ReferenceCache, digest, size_of


def make(value: float) -> Tensor:
    return torch.full((10,), value)  # 40 bytes


def test_equal_content_is_found_and_unlike_content_is_not() -> None:
    cache = ReferenceCache(1000)
    first = cache.get("codes", (make(1.0),), lambda: make(5.0))
    assert cache.get("codes", (make(1.0),), lambda: make(6.0)) is first
    assert cache.get("keys", (make(1.0),), lambda: make(7.0)) is not first
    assert cache.get("codes", (make(2.0),), lambda: make(8.0)) is not first
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.entries, stats.bytes) == (1, 3, 3, 120)


def test_a_digest_sees_shape_and_number_type() -> None:
    zeros = torch.zeros(4)
    assert digest([zeros]) != digest([zeros.view(2, 2)])
    assert digest([zeros]) != digest([zeros.int()])
    assert digest([zeros, zeros]) != digest([torch.zeros(8)])


def test_the_least_recently_used_entry_goes_first() -> None:
    cache = ReferenceCache(100)
    for number in (1.0, 2.0):
        cache.get("a", (make(number),), lambda: make(0.0))
    cache.get("a", (make(1.0),), lambda: make(0.0))  # used again
    cache.get("a", (make(3.0),), lambda: make(0.0))
    assert cache.stats().bytes == 80
    before = cache.stats().hits
    cache.get("a", (make(1.0),), lambda: make(0.0))
    assert cache.stats().hits == before + 1
    cache.get("a", (make(2.0),), lambda: make(0.0))
    assert cache.stats().hits == before + 1


def test_what_is_larger_than_the_bound_is_not_kept() -> None:
    cache = ReferenceCache(39)
    cache.get("a", (make(1.0),), lambda: make(0.0))
    assert cache.stats().entries == 0
    pairs = [(make(1.0), make(2.0))] * 3
    assert size_of(pairs) == 240


def test_clearing_also_refuses_what_is_being_made() -> None:
    cache = ReferenceCache(1000)

    def slow() -> Tensor:
        cache.clear()  # the weights change while this runs
        return make(1.0)

    cache.get("a", (make(0.0),), slow)
    assert cache.stats().entries == 0


def test_threads_that_miss_at_once_agree() -> None:
    cache, together, found = ReferenceCache(1000), threading.Barrier(4), []

    def work() -> None:
        together.wait()
        found.append(cache.get("a", (make(0.0),), lambda: make(1.0)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(torch.equal(each, make(1.0)) for each in found)
    assert cache.stats().bytes == 40
