"""How well a reading answers a prompt: every quoted text once, letters in order, letters too many punished.

Pure functions on strings, shared by verified drawing and by rewards. Each quoted text is laid over the part of the
reading that it matches best, and no part serves twice; a text may stand anywhere, since a prompt names no reading
order. White space and case do not count: the space between two words is what recognisers get wrong most. The score is
the share of matched letters in the longer of what was asked and what was read, so repeating a word, or filling the
picture with letters, gains nothing.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from inkwash.models.glm_image.quotes import outside, quoted

_TAKEN = "\0"  # a letter of the reading that another text has claimed; matches nothing


def quoted_texts(prompt: str) -> list[str]:
    """The texts that a picture of the prompt must show, in their order, in any style of quotes; blank ones left out."""
    return [one.display_text for one in quoted(prompt).texts if letters(one.text)]


def letters(text: str) -> str:
    """What is compared: case folded, without white space."""
    return "".join(text.casefold().split())


@dataclass(frozen=True, kw_only=True)
class TextMatch:
    """One quoted text against its best place in the reading."""

    text: str
    read: str  # the letters found there
    distance: int  # edits between the two, at most the length of the text

    @property
    def closeness(self) -> float:
        """1 for a text that was read letter by letter, 0 for one that is not there."""
        return 1.0 - self.distance / len(letters(self.text))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All quoted texts of a prompt against one reading."""

    texts: tuple[TextMatch, ...]
    surplus: int  # letters that were read beyond those asked for

    @property
    def wanted(self) -> int:
        """Letters asked for."""
        return sum(len(letters(match.text)) for match in self.texts)

    @property
    def score(self) -> float:
        """Ordered normalised edit similarity in [0, 1] with the over-length penalty."""
        matched = self.wanted - sum(match.distance for match in self.texts)
        total = self.wanted + self.surplus
        return matched / total if total else 1.0

    @property
    def perfect(self) -> bool:
        """Every text is there, and nothing else."""
        return self.score == 1.0


@dataclass(frozen=True, kw_only=True)
class WantedTexts:
    """What a picture must show: every text of `texts`, and beyond them at most `spare` letters."""

    texts: tuple[str, ...]
    spare: int = 0  # of the picture that is edited
    kept: tuple[str, ...] = ()  # lines of that picture that nothing speaks against


_REMOVES = re.compile(
    r"\b(?:remove|delete|erase|drop|lose|take\b.{0,60}?\b(?:away|out)|clear away|get rid of|wipe out|leave out|without"
    r"|no|don['’]t want|(?:can|should|must) (?:go|disappear|vanish))\b|去掉|去除|删|移除|不要",
    re.IGNORECASE,
)
_REPLACES = re.compile(
    r"\b(?:replace|change|swap|exchange|turn|becomes?|instead|in place of|rewrite|correct|edit|say|read)|换|改|替",
    re.IGNORECASE,
)
_ADDS = re.compile(
    r"\b(?:add|also|too|as well|include|insert|another|below|above|underneath)\b|加|再写|也写|还", re.IGNORECASE
)
_NEAR = 0.34  # of the letters of a quoted text may be misread, and it is still the one in the picture


def edit_target(prompt: str, before: Iterable[str]) -> WantedTexts:
    """What an edited picture must show, from the instruction and the lines read from the picture it starts from.

    A quoted text that is not there yet is wanted. One that is there goes where the sentence replaces or removes, and
    is wanted where nothing new is quoted (make "HELLO" blue). The other letters of the picture may stay or go.
    """
    lines = [*before]
    source = letters("".join(lines))
    quotes = quoted_texts(prompt)
    there = _found(quotes, source)
    new = [text for text in quotes if text not in there]
    removed = not new and _REMOVES.search(outside(prompt)) is not None
    gone = there if removed or (new and _REPLACES.search(outside(prompt))) else []
    wanted = new or ([] if removed else there)
    known = sum(len(letters(text)) for text in {*gone, *(text for text in wanted if text in there)})
    kept = _untouched(lines, gone) if there or not new or _ADDS.search(outside(prompt)) else ()
    return WantedTexts(texts=tuple(wanted), spare=max(0, len(source) - known), kept=kept)


def edited_things(
    prompt: str, before: Mapping[str, int], named: Mapping[str, int | None], known: Container[str]
) -> dict[str, int | None]:
    """How many of each thing an edited picture must show, 0 for those that go; None where any number will do.

    before: the things of the picture that is edited. named: those that the instruction names, with their numbers, 0
    for such as must not be there. known: those of which it speaks as things that are there. What goes and what comes
    is told as for texts.
    """
    rest = outside(prompt)
    new = {name: count for name, count in named.items() if name not in before and name not in known and count != 0}
    there = [name for name in named if name not in new]
    gone = there if (new and _REPLACES.search(rest)) or (not new and _REMOVES.search(rest)) else []
    counts = {name: named[name] for name in there if name in before and named[name] is not None}
    return {**before, **counts, **new, **dict.fromkeys(gone, 0)}


def _taken(read: str, start: int, end: int) -> str:
    """The reading with a part of it claimed."""
    return read[:start] + _TAKEN * (end - start) + read[end:]


def _untouched(lines: Sequence[str], gone: Sequence[str]) -> tuple[str, ...]:
    """The lines of which no letter belongs to a text that goes."""
    source = "".join(map(letters, lines))
    for text in gone:
        _, start, end = best_span(letters(text), source)
        source = _taken(source, start, end)
    ends = [*itertools.accumulate((len(letters(line)) for line in lines), initial=0)]
    parts = [source[start:end] for start, end in itertools.pairwise(ends)]
    return tuple(line for line, part in zip(lines, parts, strict=True) if part and _TAKEN not in part)


def _found(texts: Sequence[str], source: str) -> list[str]:
    """Those of the texts that stand in a reading; of two near ones the nearer takes the place (HALLO, HELLO)."""
    found = []
    for text in sorted(texts, key=lambda text: best_span(letters(text), source)[0]):
        distance, start, end = best_span(letters(text), source)
        if distance <= _NEAR * len(letters(text)):
            found.append(text)
            source = _taken(source, start, end)
    return found


def compare(wanted: Sequence[str], read: Iterable[str], *, spare: int | None = None) -> Comparison:
    """Compare the quoted texts of a prompt with the lines read from its picture, in reading order.

    A text that the prompt quotes twice must be there once and may be there twice; `spare` further letters may be
    there. Where no text is wanted and nothing is said about others, anything may be there.
    """
    counted = Counter(letters(text) for text in wanted if letters(text))
    once = {letters(text): text for text in reversed(wanted) if letters(text)}
    lines = [letters(line) for line in read]
    places = dict(zip(reversed(lines), reversed([*itertools.accumulate(map(len, lines), initial=0)][:-1]), strict=True))
    rest = "".join(lines)
    seen = len(rest)
    found: dict[str, TextMatch] = {}
    # A text that is a line of its own is that line; of the others the longest has the least choice.
    for target in sorted(counted, key=lambda text: (text in places, len(text)), reverse=True):
        place = places.get(target)
        whole = place is not None and rest.startswith(target, place)
        distance, start, end = (
            (0, place, place + len(target)) if place is not None and whole else best_span(target, rest)
        )
        found[target] = TextMatch(text=once[target], read=rest[start:end].replace(_TAKEN, ""), distance=distance)
        rest = _taken(rest, start, end)
    allowed = (spare or 0) + sum(len(target) * count for target, count in counted.items())
    order = list(dict.fromkeys(letters(text) for text in wanted if letters(text)))
    surplus = 0 if spare is None and not counted else max(0, seen - allowed)
    return Comparison(texts=tuple(found[target] for target in order), surplus=surplus)


def best_span(target: str, read: Sequence[Container[str]]) -> tuple[int, int, int]:
    """The part of a reading that is nearest to a text: (edit distance, start, end).

    A place of the reading is a letter or several that it may be. Sellers' algorithm (1980): the Levenshtein table with
    a free start and a free end in the reading. Of equally near parts the first one ends the search, and an empty part
    is what a text is worth that is not there.
    """
    row = [(0, place) for place in range(len(read) + 1)]  # (distance, where the part starts)
    for i, letter in enumerate(target, start=1):
        above, row = row, [(i, 0)]
        for j, seen in enumerate(read, start=1):
            row.append(
                min(
                    (above[j - 1][0] + (letter not in seen), above[j - 1][1]),
                    (above[j][0] + 1, above[j][1]),
                    (row[j - 1][0] + 1, row[j - 1][1]),
                    key=_distance,
                )
            )
    end = min(range(len(row)), key=lambda place: row[place][0])
    distance, start = row[end]
    return distance, start, end


def matching(target: str, read: Sequence[Container[str]]) -> list[tuple[int, int]]:
    """(letter, place) of the letters of a text that a reading has, in the alignment that has most of them."""
    rows = [[0] * (len(read) + 1)]
    for letter in target:
        row = [0]
        for j, seen in enumerate(read):
            row.append(max(rows[-1][j] + (letter in seen), rows[-1][j + 1], row[j]))
        rows.append(row)
    found, i, j = [], len(target), len(read)
    while i and j:
        if target[i - 1] in read[j - 1] and rows[i][j] == rows[i - 1][j - 1] + 1:
            i, j = i - 1, j - 1
            found.append((i, j))
        elif rows[i][j] == rows[i - 1][j]:
            i -= 1
        else:
            j -= 1
    return found[::-1]


def _distance(cell: tuple[int, int]) -> int:
    return cell[0]
