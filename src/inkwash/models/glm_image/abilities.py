"""What a small checkpoint can draw, as it says itself: `_drawing.limits` in `model_index.json`.

Everything is data, so that another edition of the weights changes the file and no code. The released model has no such
block. `engine.notes` compares a prompt with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inkwash.core import limits as bounds
from inkwash.core.errors import ConfigError
from inkwash.core.types import Size

LANGUAGES = ("en", "zh", "de", "fr", "es")


@dataclass(frozen=True, kw_only=True)
class Named:
    """Something by its name and every other word for it, in any language."""

    name: str
    synonyms: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        return (self.name, *self.synonyms)


@dataclass(frozen=True, kw_only=True)
class Lettering:
    """How much text fits. A character takes `cell` px of the width, a large one `large_cell`."""

    cell: int
    large_cell: int
    large_words: tuple[str, ...]  # words that ask for large letters
    lines: int  # at most
    wraps: bool  # whether a text that is wider than the picture goes on in the next line

    def __post_init__(self) -> None:
        for name in ("cell", "large_cell"):
            bounds.check_whole(name, getattr(self, name), 1, bounds.MAX_SIDE)
        bounds.check_whole("lines", self.lines, 1, 1000)

    def characters(self, width: int, *, large: bool = False) -> int:
        """Characters of one line."""
        return width // (self.large_cell if large else self.cell)

    def rows(self, height: int) -> int:
        """Lines of one picture."""
        return max(1, min(self.lines, height // self.cell))


@dataclass(frozen=True, kw_only=True)
class SizeRange:
    """The sizes that were trained on, in pixels."""

    shortest: int
    longest: int
    aspect: float

    def __post_init__(self) -> None:
        if not bounds.MIN_SIDE <= self.shortest <= self.longest <= bounds.MAX_SIDE:
            raise ConfigError(
                f"The sides {self.shortest} to {self.longest} are no range within {bounds.MIN_SIDE} to "
                f"{bounds.MAX_SIDE}."
            )
        bounds.check_real("aspect", self.aspect, 1.0, bounds.MAX_ASPECT)

    def holds(self, size: Size) -> bool:
        """Whether a picture of this size was among those trained on."""
        return self.shortest <= min(size) and max(size) <= self.longest and size.aspect <= self.aspect


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """The limits block: kinds of picture, things, colours and styles by name; letters, sizes, languages.

    `most_things` is how many things fit into one picture. `photographs` says whether reference pictures may be
    photographs and other pictures of the world outside.
    """

    pictures: tuple[Named, ...]
    things: tuple[Named, ...]
    colors: tuple[Named, ...]
    styles: tuple[Named, ...]
    alphabet: str
    lettering: Lettering
    sizes: SizeRange
    languages: tuple[str, ...]
    most_things: int
    photographs: bool = False

    def __post_init__(self) -> None:
        if not self.alphabet or any(language not in LANGUAGES for language in self.languages):
            raise ConfigError(f"The alphabet must not be empty, and languages are some of {', '.join(LANGUAGES)}.")
        bounds.check_whole("most_things", self.most_things, 0, 1000)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Abilities:
        """Read the block; `ConfigError`, `RequestError` or `TypeError` for what it must not hold."""
        known = dict(values)
        for key in ("pictures", "things", "colors", "styles"):
            known[key] = _read_names(key, known.get(key))
        known["lettering"] = Lettering(**_tuples(known.get("lettering")))
        known["sizes"] = SizeRange(**_tuples(known.get("sizes")))
        return cls(**_tuples(known))

    def to_dict(self) -> dict[str, Any]:
        """The block as it stands in the file."""
        names = {
            key: {named.name: list(named.synonyms) for named in getattr(self, key)}
            for key in ("pictures", "things", "colors", "styles")
        }
        lettering = {**vars(self.lettering), "large_words": list(self.lettering.large_words)}
        plain = {key: getattr(self, key) for key in ("alphabet", "most_things", "photographs")}
        return {
            **names,
            **plain,
            "lettering": lettering,
            "sizes": dict(vars(self.sizes)),
            "languages": list(self.languages),
        }


def _read_names(key: str, table: Any) -> tuple[Named, ...]:
    if not isinstance(table, Mapping) or not all(_is_words(synonyms) for synonyms in table.values()):
        raise ConfigError(f"{key} must be a table of names and lists of synonyms.")
    return tuple(Named(name=name, synonyms=tuple(synonyms)) for name, synonyms in table.items())


def _is_words(found: Any) -> bool:
    return isinstance(found, Sequence) and not isinstance(found, str) and all(isinstance(word, str) for word in found)


def _tuples(table: Any) -> dict[str, Any]:
    """A JSON table with its lists as tuples."""
    if not isinstance(table, Mapping):
        raise ConfigError("a part of the limits is no table.")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
