"""Spelled tokenizers in one pass: characters inside quotation marks stand alone, whatever the length of the prompt.

The pattern of such a tokenizer (`tokenizer_files.QUOTED`) looks ahead to the end of the text from every character, so
its time grows with the square of the length: seconds for a prompt of 32,000. Here one pass from the end marks the same
characters, and the rest is cut by the plain pattern. The ids are equal; short texts go the plain way.
"""

from __future__ import annotations

import json
import re

from tokenizers import Tokenizer

from inkwash.models.glm_image.tokenizer_files import PIECES, QUOTED, pre_tokenizer

SHORT = 256  # characters that the tokenizer's own pattern may cut
_MARKS = frozenset('"“”')


def is_spelled(content: bytes) -> bool:
    """Whether a `tokenizer.json` cuts by the pattern that `SpelledTokenizer` stands for."""
    return json.dumps(f"{QUOTED}|{PIECES}", ensure_ascii=False)[1:-1].encode() in content


class SpelledTokenizer:
    """The ids of a spelled tokenizer in linear time."""

    def __init__(self, tokenizer: Tokenizer, *, short: int = SHORT) -> None:
        self._short, self._whole, self._plain = short, tokenizer, Tokenizer.from_str(tokenizer.to_str())
        self._plain.pre_tokenizer = pre_tokenizer(spelled=False)
        added = sorted(
            (token.content for token in tokenizer.get_added_tokens_decoder().values()), key=len, reverse=True
        )
        self._added = re.compile("(" + "|".join(map(re.escape, added)) + ")")

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """What the tokenizer itself gives."""
        if len(text) <= self._short:
            return list(self._whole.encode_batch([text], add_special_tokens=add_special_tokens)[0].ids)
        pieces: list[str] = []
        for place, part in enumerate(self._added.split(text)):
            pieces += [part] if place % 2 else cut(part)
        encoded = self._plain.encode_batch([pieces], is_pretokenized=True, add_special_tokens=add_special_tokens)
        return list(encoded[0].ids)


def cut(text: str) -> list[str]:
    """Characters that stand alone, and the runs between them; the marks belong to the runs."""
    alone = _alone(text)
    pieces: list[str] = []
    begin = 0
    for place in (place for place, single in enumerate(alone) if single):
        if begin < place:
            pieces.append(text[begin:place])
        pieces.append(text[place])
        begin = place + 1
    if begin < len(text):
        pieces.append(text[begin:])
    return pieces


def _alone(text: str) -> list[bool]:
    """Where `QUOTED` matches, but for the marks themselves, which every pattern sets alone."""
    alone = [False] * len(text)
    odd, even = False, True  # whether some end of a line lies behind an odd or an even number of straight marks
    closes = False  # whether the next curly mark closes
    for place in range(len(text) - 1, -1, -1):
        character = text[place]
        alone[place] = character not in _MARKS and (odd or closes)
        if character == '"':
            odd, even = even, odd
        elif character == "\n":
            even = True
        elif character in "“”":
            closes = character == "”"
    return alone
