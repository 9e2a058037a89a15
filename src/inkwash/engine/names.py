"""Where a prompt names what a checkpoint can draw: names of one or several words, their plurals, and Chinese ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from inkwash.models.glm_image.abilities import Abilities

WORD = re.compile(r"[^\W_](?:[\w'’-]*[^\W_])?")
HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+")


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names of one or several words, and where they stand in a prompt; one pass over it."""

    english: frozenset[str] = frozenset()
    chinese: tuple[str, ...] = ()
    longest: int = 1  # words of the longest English one

    @property
    def single(self) -> frozenset[str]:
        return frozenset(part for name in self.english for part in name.split())

    def places(self, rest: str) -> list[tuple[int, int]]:
        """(start, end) of every name, the longest first where several begin."""
        return [*self._english(rest), *self._chinese(rest)]

    def _english(self, rest: str) -> Iterator[tuple[int, int]]:
        words = [(match.start(), match.end(), match[0].lower()) for match in WORD.finditer(rest)]
        at = 0
        while at < len(words):
            for count in range(min(self.longest, len(words) - at), 0, -1):
                phrase = " ".join(word for _, _, word in words[at : at + count])
                if any(form in self.english for form in singulars(phrase)):
                    yield words[at][0], words[at + count - 1][1]
                    at += count - 1
                    break
            at += 1

    def _chinese(self, rest: str) -> Iterator[tuple[int, int]]:
        for name in self.chinese:
            place = rest.find(name)
            while place >= 0:
                yield place, place + len(name)
                rest = f"{rest[:place]}{' ' * len(name)}{rest[place + len(name) :]}" if len(rest) < 4000 else rest
                place = rest.find(name, place + len(name))


@lru_cache(maxsize=8)
def names_of(limits: Abilities | None, *, things: bool = False) -> Names:
    """The names of what a model can draw, or of its things alone."""
    if limits is None:
        return Names()
    named = limits.things if things else (*limits.pictures, *limits.things, *limits.colors, *limits.styles)
    words = {word.lower() for one in named for word in one.words}
    words |= set() if things else {word.lower() for word in limits.lettering.large_words}
    english = frozenset(" ".join(word.split()) for word in words if not HAN.search(word))
    chinese = sorted((word for word in words if HAN.search(word)), key=lambda word: (-len(word), word))
    longest = max((len(name.split()) for name in english), default=1)
    return Names(english=english, chinese=tuple(chinese), longest=longest)


def singulars(phrase: str) -> Iterator[str]:
    """The phrase, and what it may be the plural of."""
    yield phrase
    for ending, singular in (("'s", ""), ("ies", "y"), ("es", ""), ("s", "")):
        if phrase.endswith(ending):
            yield phrase[: -len(ending)] + singular


def blanked(text: str, places: Iterable[tuple[int, int]]) -> str:
    """The text with spaces in the places."""
    letters = list(text)
    for start, end in places:
        letters[start:end] = " " * (end - start)
    return "".join(letters)
