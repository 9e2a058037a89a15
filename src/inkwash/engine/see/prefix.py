"""What is kept between turns: the keys and values of conversations, so that a picture is read once in each.

A conversation is told by its tokens; where something is seen, by what it is and which of its places. The longest
beginning that an earlier prompt or answer shares is not computed again. The last few conversations are kept, the
least used one goes first.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inkwash.core.device import free_memory
from inkwash.core.errors import RequestError
from inkwash.models.glm.row_decode import keys_read
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.vision import PatchGrid
from inkwash.models.glm_v.vision_input import VisionInput, VisionPrompt
from inkwash.nn.attention import StaticCache

PATCHES_AT_ONCE = 16384
USABLE = 0.9  # of the memory that is free, for keys and values
SPARE = 256  # places beyond what is asked for, so that the next turn often fits

Keys = NDArray[np.int64]


@dataclass
class CachedConversation:
    """A cache and the tokens that stand in it."""

    cache: StaticCache
    keys: Keys
    prompt: int  # how many of them were the prompt; the rest is its answer


def prompt_keys(prompt: VisionPrompt) -> Keys:
    """One number for each token: its id, or for places of a picture or video a digest of what is seen there."""
    keys: Keys = prompt.ids.numpy().astype(np.int64)
    places = np.flatnonzero(prompt.modality.numpy())
    at = 0
    for vision_input in prompt.vision_inputs:
        digest = hash(
            (secrets.randbits(64) if vision_input.key is None else vision_input.key, vision_input.grid)
        )  # no key: equal to nothing
        spots = places[at : at + vision_input.tokens]
        keys[spots] = -1 - (np.arange(vision_input.tokens, dtype=np.int64) ^ (digest & 0x3FFF_FFFF_FFFF_FFFF))
        at += vision_input.tokens
    return keys


class PrefixCache:
    """The conversations of one model; safe for several threads, each of which takes an entry out while it uses it."""

    def __init__(self, model: GlmV, *, conversations: int = 4) -> None:
        self.model = model
        self.conversations = conversations
        self._kept: OrderedDict[int, CachedConversation] = OrderedDict()
        self._lock = threading.Lock()
        self._next = 0
        one = model.make_cache(1, 1)
        self._token_bytes = one.k.nbytes + one.v.nbytes

    def known(self, keys: Keys) -> int:
        """How many of the first `keys` stand in a cache now; another thread may take it away."""
        with self._lock:
            return max((_shared(kept.keys, keys) for kept in self._kept.values() if kept.cache.alive), default=0)

    def take(self, keys: Keys, spare: int) -> tuple[StaticCache, int]:
        """A cache with at least `len(keys) + spare` places, and how many of the first `keys` it holds already.

        At least the last token is left to compute: its logits are needed.
        """
        needed = keys_read(len(keys) + spare)
        with self._lock:
            for name in [name for name, kept in self._kept.items() if not kept.cache.alive]:
                del self._kept[name]
            shared = {name: _shared(kept.keys, keys) for name, kept in self._kept.items()}
            best = max(shared, key=lambda name: shared[name], default=None)
            length = 0 if best is None else min(shared[best], len(keys) - 1)
            if best is None or length == 0:
                return self._new(needed + SPARE), 0
            kept = self._kept[best]
            if length >= min(kept.prompt, len(kept.keys)) - 1 and kept.cache.max_length >= needed:
                del self._kept[best]  # the same conversation goes on: in place
                return kept.cache, length
            self._kept.move_to_end(best)
            cache = self._new(needed + SPARE)
            cache.copy_from(kept.cache, length)
            if length >= min(kept.prompt, len(kept.keys)) - 1:
                self._kept.pop(best, None)  # moved to a larger cache
            return cache, length

    def _new(self, places: int) -> StaticCache:
        """A cache for so many tokens. Earlier conversations go where there is no room for it beside them.

        Raises RequestError before anything is taken where it does not fit at all.
        """
        needed, device = places * self._token_bytes, self.model.lm_head.weight.device
        while needed > USABLE * free_memory(device) and self._kept:
            self._kept.popitem(last=False)
        if needed > USABLE * (free := free_memory(device)):
            raise RequestError(
                f"The conversation and its answer take up to {places} tokens: {needed / 1e9:.1f} GB of keys and values "
                f"are needed and {free / 1e9:.1f} GB are free. Shorten it, ask for a shorter answer, or use fewer "
                "pictures or frames.",
                status=503,
                code="out_of_memory",
                param="messages",
            )
        return self.model.make_cache(1, places)

    def give(self, cache: StaticCache, keys: Keys, answer: list[int], prompt: int) -> None:
        """Keep a cache that now holds `keys` and then the tokens of an answer."""
        if self.conversations < 1:
            return
        held = np.concatenate([keys, np.asarray(answer, dtype=np.int64)])
        with self._lock:
            self._kept[self._next] = CachedConversation(cache=cache, keys=held, prompt=prompt)
            self._next += 1
            while len(self._kept) > self.conversations:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget all conversations."""
        with self._lock:
            self._kept.clear()


class FeatureCache:
    """Features of the pictures and videos that were seen last: one that returns elsewhere is not encoded again."""

    def __init__(self, *, max_bytes: int = 256 * 2**20) -> None:
        self.max_bytes = max_bytes
        self._kept: OrderedDict[tuple[object, ...], Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: tuple[object, ...]) -> Tensor | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: tuple[object, ...], features: Tensor) -> None:
        with self._lock:
            self._kept[key] = features
            while len(self._kept) > 1 and sum(f.nbytes for f in self._kept.values()) > self.max_bytes:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget all features."""
        with self._lock:
            self._kept.clear()


def unread_inputs(prompt: VisionPrompt, known: int, features: FeatureCache) -> frozenset[int]:
    """The inputs whose pixels it takes to read a prompt from token `known` on, and that have none in memory."""
    places = np.flatnonzero(prompt.modality.numpy())
    found, at = set(), 0
    for number, vision_input in enumerate(prompt.vision_inputs):
        at += vision_input.tokens
        seen = vision_input.key is not None and features.find((vision_input.key, vision_input.grid)) is not None
        if places[at - 1] >= known and not seen and not vision_input.held:
            found.add(number)
    return frozenset(found)


@torch.no_grad()
def input_features(model: GlmV, prompt: VisionPrompt, number: int, features: FeatureCache) -> Tensor:
    """Features (tokens, D) of one picture or video of a prompt, encoded piece by piece unless they are known."""
    vision_input = prompt.vision_inputs[number]
    key = (vision_input.key, vision_input.grid)
    known = features.find(key) if vision_input.key is not None else None
    if known is not None:
        return known
    device = model.lm_head.weight.device
    found = torch.cat([model.see(part.to(device), [grid]) for part, grid in _batches(vision_input)])
    if vision_input.key is not None:
        features.keep(key, found)
    return found


def _batches(vision_input: VisionInput) -> Iterator[tuple[Tensor, PatchGrid]]:
    """Patch values in groups of frame pairs that are encoded together; frames do not see each other."""
    for values, (_, height, width) in vision_input.pieces():
        each = max(1, PATCHES_AT_ONCE // (height * width))
        for part in values.split(each * height * width):
            yield part, (len(part) // (height * width), height, width)


def _shared(a: Keys, b: Keys) -> int:
    """How many of the first tokens are the same."""
    length = min(len(a), len(b))
    differ = np.flatnonzero(a[:length] != b[:length])
    return int(differ[0]) if differ.size else length
