"""Secrets that a model may use and never sees: `{{secret:name}}` in its text becomes the value at the last moment.

A value is typed only into an editable field of an origin that the secret names, and is taken out of everything that is
shown or written: texts here, screenshots in `shot.black_out`.
"""

from __future__ import annotations

import base64
import json
import re
import stat
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from inkwash.agent.act import AgentError
from inkwash.agent.shot import Element, PixelBox, Screenshot

PLACEHOLDER = re.compile(r"\{\{secret:([A-Za-z0-9_.-]{1,64})\}\}")
HIDDEN = "[secret]"
MIN_LENGTH = 4  # a shorter value would black out half of a page


@dataclass(frozen=True, kw_only=True)
class Secret:
    """One value and the origins whose fields it may be typed into."""

    value: str = field(repr=False)
    origins: tuple[str, ...]


class Vault:
    """The secrets of a run."""

    def __init__(self, secrets: Mapping[str, Secret] | None = None) -> None:
        self.secrets = dict(secrets or {})
        for name, secret in self.secrets.items():
            if PLACEHOLDER.fullmatch(f"{{{{secret:{name}}}}}") is None:
                raise AgentError(f"The secret's name {name!r} may hold letters, digits and ._- only.")
            if len(secret.value) < MIN_LENGTH:
                raise AgentError(f"The secret {name!r} is shorter than {MIN_LENGTH} characters and cannot be hidden.")
            if not secret.origins:
                raise AgentError(f"The secret {name!r} names no origin: say where it may be typed.")
        forms = sorted({form for each in self.secrets.values() for form in _forms(each.value)}, key=len, reverse=True)
        self._forms = re.compile("|".join(map(re.escape, forms)), re.IGNORECASE) if forms else None
        solid = sorted({_solid(each.value) for each in self.secrets.values()} - {""}, key=len, reverse=True)
        self._solid = re.compile("|".join(map(re.escape, solid))) if solid else None
        self.filled = False  # whether a value was given out, so that a page may show it anywhere

    @classmethod
    def from_file(cls, path: Path) -> Vault:
        """Read {"name": {"value": "...", "origins": ["https://host"]}}; the file must be its owner's alone."""
        try:
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise AgentError(f"The file of secrets {str(path)!r} can be read by others: chmod 600 it.")
            found: Any = json.loads(path.read_text("utf-8"))
            return cls({name: Secret(value=one["value"], origins=tuple(one["origins"])) for name, one in found.items()})
        except OSError as error:
            raise AgentError(f"The file of secrets {str(path)!r} cannot be read: {error.strerror}.") from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise AgentError(
                f'The file of secrets {str(path)!r} must hold {{"name": {{"value": "...", "origins": ["https://..."]}}}}.'
            ) from None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.secrets)

    def named(self, text: str) -> list[str]:
        """The names of the placeholders in a text."""
        return PLACEHOLDER.findall(text)

    def fill(self, text: str) -> str:
        """The text with its values; the guard has said yes by then."""
        known = self.secrets
        self.filled = self.filled or any(name in known for name in self.named(text))
        return PLACEHOLDER.sub(lambda found: known[found[1]].value if found[1] in known else found[0], text)

    def scrub(self, text: str) -> str:
        """The text without any value, as it is, in URLs, in JSON, or in base64."""
        return text if self._forms is None else self._forms.sub(HIDDEN, text)

    def scrubbed(self, value: Any) -> Any:
        """Plain data, each text scrubbed."""
        if isinstance(value, str):
            return self.scrub(value)
        if isinstance(value, Mapping):
            return {self.scrub(str(key)): self.scrubbed(each) for key, each in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return [self.scrubbed(each) for each in value]
        return value

    def shows(self, text: str) -> bool:
        """Whether a text holds a value."""
        return self._forms is not None and self._forms.search(text) is not None

    def boxes(self, shot: Screenshot) -> Iterator[PixelBox]:
        """Where a screenshot may show secrets: fields for passwords, whatever holds a value of ours, whole or in
        pieces of text one after another, and what scripts have drawn once a value was typed.
        """
        for element in shot.elements:
            if element.secret or self.shows(element.value) or self.shows(element.name) or self.shows(element.says):
                yield element.box
        yield from (box for text, box in shot.texts if self.shows(text))
        yield from self._pieces(shot.texts)
        if self.filled:
            yield from shot.painted

    def _pieces(self, texts: Sequence[tuple[str, PixelBox]]) -> Iterator[PixelBox]:
        """The boxes of texts that hold a value together, blanks and case left aside."""
        if self._solid is None:
            return
        solid = [_solid(text) for text, _ in texts]
        ends = list(accumulate(map(len, solid)))
        for found in self._solid.finditer("".join(solid)):
            first, last = bisect_right(ends, found.start()), bisect_left(ends, found.end())
            yield from (box for _, box in texts[first : last + 1])

    def hidden(self, element: Element) -> str:
        """An element's name for models and logs."""
        return self.scrub(element.name)


def _solid(text: str) -> str:
    """A text as it looks: without blanks and invisible signs, in one case."""
    return "".join(each for each in text.casefold() if not each.isspace() and unicodedata.category(each) != "Cf")


def _forms(value: str) -> Iterator[str]:
    yield value
    yield quote(value, safe="")
    yield quote_plus(value)
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield base64.b64encode(value.encode()).decode().rstrip("=")
