"""Keys and values of a long conversation are forecast: others make room, and what does not fit is refused before."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inkwash.core.errors import RequestError
from inkwash.engine.see import prefix
from inkwash.engine.see.prefix import SPARE, USABLE, PrefixCache
from inkwash.models.glm_v.folder import BUNDLED
from inkwash.models.glm_v.weights import load_model


@pytest.fixture(scope="module")
def caches() -> PrefixCache:
    return PrefixCache(load_model(BUNDLED, dtype=torch.float32))


def keys(first: int, count: int) -> prefix.Keys:
    return np.arange(first, first + count, dtype=np.int64)


def test_memory_is_linear_in_tokens_and_counted_before(caches: PrefixCache, monkeypatch: pytest.MonkeyPatch) -> None:
    short, _ = caches.take(keys(0, 64), 0)
    long, _ = caches.take(keys(0, 640), 0)
    text = caches.model.config.text_config
    token = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_width * 4
    assert long.k.nbytes + long.v.nbytes - short.k.nbytes - short.v.nbytes == 576 * token
    monkeypatch.setattr(prefix, "free_memory", lambda _device: int((640 + SPARE) * token / USABLE) + 8)
    caches.take(keys(0, 640), 0)
    with pytest.raises(RequestError, match="up to 960 tokens") as caught:
        caches.take(keys(0, 704), 0)
    assert (caught.value.status, caught.value.code) == (503, "out_of_memory")


def test_others_go_before_a_conversation_is_refused(caches: PrefixCache, monkeypatch: pytest.MonkeyPatch) -> None:
    for first in (1000, 2000):
        cache, _ = caches.take(keys(first, 64), 0)
        caches.give(cache, keys(first, 64), [], 64)
    size = caches.model.make_cache(1, 64 + SPARE)
    needed = size.k.nbytes + size.v.nbytes
    free = [needed // 2]

    def grows(_device: torch.device) -> int:
        free[0] += needed // 2  # what a forgotten conversation gives back
        return free[0]

    monkeypatch.setattr(prefix, "free_memory", grows)
    caches.take(keys(3000, 64), 0)
    assert caches.known(keys(1000, 64)) == 0  # the least used one went
    caches.clear()
