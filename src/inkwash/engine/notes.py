"""What a request asks for and the model cannot draw, said before it is drawn.

    notes('A sign that says OPEN', Size(384, 384), (), limits)
    # ['prompt: "OPEN" stands without quotation marks, so it is not written as text: ...']

The command line prints the notes, the server returns them as `warnings`, the page shows them while one types. `limits`
is what the checkpoint says about itself (`_drawing.limits`); a model without that, such as the released one, is
measured against the rules of its card only: words to be written stand in quotation marks that it reads.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inkwash.core.types import Size
from inkwash.engine import plain_words
from inkwash.engine.notes_words import TABLES, Language
from inkwash.engine.prompt_reading import (
    BLANK,
    FILLER,
    HAN,
    MAX_PROMPT,
    NUMBERS,
    WORD,
    blanked,
    names_of,
    things_of,
    unquoted_texts,
)
from inkwash.models.glm_image.folder import Abilities, Lettering, Named
from inkwash.models.glm_image.quotes import Quoted, Quotes, glyph_texts, outside, quoted

if TYPE_CHECKING:
    from PIL import Image


__all__ = ["Abilities", "Language", "Note", "find_notes", "negative_notes", "notes"]

_SHOWN = 5  # words that one sentence names
_RECIPIENT = re.compile(
    r"\b(?:for|to|from)\s+(?:(?:my|our|your|his|her|their|the|a|an)\s+)?(?:[a-z-]+\s+){0,2}?(?:daughters?|sons?|kids?|child|"
    r"children|mother|mom|mum|father|dad|parents|sister|brother|wife|husband|girlfriend|boyfriend|partner|friends?|"
    r"grand(?:ma|pa|mother|father|parents|son|daughter)|aunt|uncle|cousins?|niece|nephew|boss|colleagues?|teacher|"
    r"teachers|neighbou?rs?|team|family|class|students?|customers?|guests?|clients?|everyone|someone)"
    r"(?:\s+[A-Z][a-z]+)?\b"
)
_LETTERS_ASKED = r"(?:letters|lettering|text|type|words|font|writing|characters|capitals)"
_PHOTO_SIDE, _PHOTO_COLORS, _PHOTO_SHARE = 96, 40, 0.9


@dataclass(frozen=True, kw_only=True)
class Note:
    """One finding: which field of the request it is about, its kind, and the words of its sentence."""

    kind: str
    param: str = "prompt"
    values: Mapping[str, str] = field(default_factory=dict)
    texts: tuple[str, ...] = ()  # the quoted texts that will not come out as they stand

    def sentence(self, language: Language = "en") -> str:
        """The finding in a language."""
        table = TABLES[language]
        return table[self.kind].format(**{key: _worded(value, table) for key, value in self.values.items()})


def notes(
    prompt: str,
    size: Size | None,
    images: Sequence[Image.Image],
    limits: Abilities | None,
    *,
    canonical: bool = False,
    adapted: bool = False,
) -> list[str]:
    """One sentence for everything that will not be drawn as it is asked for, with the field that it is about.

    size: of the picture, None where it is not known yet. images: the references of an edit. canonical: whether the
    checkpoint reads every style of quotes. adapted: an adapter acts, which may have taught things of its own.
    """
    found = find_notes(prompt, size, images, limits, canonical=canonical, adapted=adapted)
    return [f"{note.param}: {note.sentence()}" for note in found]


def find_notes(
    prompt: str,
    size: Size | None,
    images: Sequence[Image.Image],
    limits: Abilities | None,
    *,
    canonical: bool = False,
    adapted: bool = False,
) -> list[Note]:
    """The same as values, for a page that speaks another language."""
    prompt = prompt[:MAX_PROMPT]
    quotes = quoted(prompt)
    rest = outside(prompt, FILLER)
    bare = [] if quotes.open else unquoted_texts(rest, limits)  # what the open mark was to hold stands there, too
    found = [*_marks(prompt, quotes, canonical)]
    found += [Note(kind="unquoted", values={"words": words, "better": f'"{words}"'}) for words in bare]
    if limits is not None:
        for words in bare:
            rest = rest.replace(words, " " * len(words))
        found += _letters(quotes, limits)
        found += _room(prompt, quotes, size, limits)
        found += [] if quotes.open or adapted else _unknown(rest, quotes, limits)
        found += _many(rest, limits)
        if (
            prompt.strip()
            and not (found or adapted)
            and not quotes.texts
            and not images
            and not _names_something(rest, limits)
        ):
            found.append(Note(kind="nothing"))
        if size is not None and not limits.sizes.holds(size):
            found.append(_outside_size(size, limits))
        for number, image in enumerate(() if limits.photographs else images, start=1):
            if looks_like_a_photograph(image):
                found.append(Note(kind="photograph", param="image", values={"number": str(number)}))
    return found


def negative_notes(negative: str | None, guidance: float | None) -> list[str]:
    """Why a negative prompt has no effect."""
    if not negative:
        return []
    if not any(one.text.strip() for one in quoted(negative[:MAX_PROMPT]).texts):
        return [f"negative_prompt: {Note(kind='no_negative').sentence()}"]
    if guidance is not None and guidance <= 1:
        return [f"negative_prompt: {Note(kind='no_guidance').sentence()}"]
    return []


def _marks(prompt: str, quotes: Quotes, canonical: bool) -> Iterator[Note]:
    """Marks without a partner, with nothing between them, or of a style that the model does not read."""
    if quotes.open:
        yield Note(kind="open", values={"mark": quotes.open[0]})
    if any(not one.display_text for one in quotes.texts):
        yield Note(kind="empty")
    if canonical:
        return
    read = set(glyph_texts(prompt))
    unread = [one for one in quotes.texts if one.display_text and one.text not in read]
    if unread:
        first = unread[0]
        listed = ", ".join(prompt[one.start - 1 : one.end + 1] for one in unread[:_SHOWN])
        texts = tuple(one.display_text for one in unread)
        yield Note(kind="style", values={"texts": listed, "better": f'"{first.display_text}"'}, texts=texts)


def _letters(quotes: Quotes, limits: Abilities) -> Iterator[Note]:
    """Characters that the model has no letter for, emoji apart."""
    known = set(limits.alphabet)
    for one in quotes.texts:
        unknown = [letter for letter in dict.fromkeys(one.display_text) if letter not in known and not letter.isspace()]
        emoji = [letter for letter in unknown if _is_emoji(letter)]
        others = [letter for letter in unknown if letter not in emoji and not _is_joiner(letter)]
        for kind, letters in (("emoji", emoji), ("letters", others)):
            if letters:
                values = {"letters": " ".join(letters[: 2 * _SHOWN]), "text": f'"{_short(one.display_text)}"'}
                yield Note(kind=kind, values=values, texts=(one.display_text,))


def _room(prompt: str, quotes: Quotes, size: Size | None, limits: Abilities) -> Iterator[Note]:
    """Texts that are wider than a line, and more lines than a picture has."""
    if size is None:
        return
    lettering, texts = limits.lettering, [one for one in quotes.texts if one.display_text]
    lines = 0
    for number, one in enumerate(texts):
        before = prompt[texts[number - 1].end + 1 if number else 0 : one.start - 1]
        after = prompt[one.end + 1 : texts[number + 1].start - 1 if number + 1 < len(texts) else len(prompt)]
        large = _asks_for_large(before, after, lettering)
        longest = lettering.characters(size.width, large=large)
        rows, fits = _rows(one, longest, lettering)
        lines += rows
        if not fits:
            yield Note(
                kind="long",
                values={
                    "text": f'"{_short(one.display_text)}"',
                    "count": str(len(one.display_text)),
                    "room": str(longest),
                    "width": str(size.width),
                    "large": "@large" if large else "",
                },
                texts=(one.display_text,),
            )
    if lines > lettering.rows(size.height):
        yield Note(kind="lines", values={"count": str(lines), "room": str(lettering.rows(size.height))})


def _rows(one: Quoted, longest: int, lettering: Lettering) -> tuple[int, bool]:
    """How many lines a text takes, and whether it fits into them."""
    text = one.display_text
    if not lettering.wraps or len(text) <= longest:
        return 1, len(text) <= longest
    rows, used = 1, 0
    pieces = list(text) if HAN.fullmatch(text) else text.split()
    for piece in pieces:
        gap = 1 if used and len(pieces) != len(text) else 0
        if used + gap + len(piece) > longest and used:
            rows, used, gap = rows + 1, 0, 0
        used += gap + len(piece)
    return rows, all(len(piece) <= longest for piece in pieces)


def _asks_for_large(before: str, after: str, lettering: Lettering) -> bool:
    """Whether a text is asked for in large letters: "Hello" in huge white letters; 大号的“你好”."""
    for word in map(re.escape, lettering.large_words):
        if HAN.search(word) and re.search(rf"{word}\S{{0,4}}的?$", before[-12:]):
            return True
        pattern = rf"^[^,.;]{{0,40}}\b(?:in (?:\w+ ){{0,2}}{word}\b|{word}(?: \w+){{0,3}} {_LETTERS_ASKED})"
        if re.search(pattern, after[:90], re.IGNORECASE):
            return True
    return False


def _unknown(rest: str, quotes: Quotes, limits: Abilities) -> Iterator[Note]:
    """Words that name something which the model has never seen, and a language that it has not learnt.

    Who a card is for, and what its texts say again, is not asked to be drawn.
    """
    rest = _RECIPIENT.sub(lambda match: " " * len(match[0]), rest)
    stripped = blanked(rest, names_of(limits).places(rest))
    written = {word.lower() for one in quotes.texts for word in WORD.findall(one.display_text)}
    words = [word for word in WORD.findall(stripped) if not HAN.search(word) and not _is_plain(word)]
    parts = {part for one in limits.pictures for name in one.words for part in name.lower().split()}
    known = written | parts | {f"{part}s" for part in parts}
    words = [word for word in words if word.lower() not in known]
    foreign = _foreign(words)
    scripts = {_script(letter) for letter in set(rest) if letter.isalpha()}
    if not scripts <= {*limits.languages} or (foreign is not None and foreign not in limits.languages):
        yield Note(kind="language", values={"languages": "@or".join(f"@{language}" for language in limits.languages)})
    if foreign is not None:
        return  # the words of other languages are not known here
    found = list(dict.fromkeys([*words, *(piece for run in HAN.findall(stripped) for piece in _leftovers(run))]))
    if found:
        more = len(found) - _SHOWN
        listed = ", ".join(f'"{_short(word)}"' for word in found[:_SHOWN])
        values = {
            "words": listed if more <= 0 else f"@more|{listed}|{more}",
            "things": _such_as(limits.things),
        }
        yield Note(kind="unknown", values=values)


def _foreign(words: Sequence[str]) -> str | None:
    """The language that at least two words tell of, neither English nor Chinese."""
    lowered = {word.lower() for word in words}
    matches = {language: len(lowered & telling) for language, telling in plain_words.FOREIGN.items()}
    language = max(matches, key=lambda name: matches[name])
    return language if matches[language] > 1 else None


def _leftovers(run: str) -> Iterator[str]:
    """What stays of a run of Chinese characters when the plain words are taken out."""
    for word in plain_words.CHINESE:
        run = run.replace(word, " ")
    return iter(run.split())


def _is_plain(word: str) -> bool:
    lower = word.lower().replace("’", "'")
    parts = [lower, lower.removesuffix("'s")]
    if "-" in lower:
        return all(_is_plain(part) for part in lower.split("-") if part)
    return lower.isdigit() or any(part in plain_words.ENGLISH for part in parts)


def _many(rest: str, limits: Abilities) -> Iterator[Note]:
    """More things than fit into a picture."""
    count = 0
    for start, _ in things_of(rest, limits):
        before = rest[max(0, start - 40) : start].split()[-3:]
        count += max((NUMBERS.get(word.lower(), 1) for word in before), default=1)
    if count > limits.most_things:
        yield Note(kind="many", values={"count": str(count), "room": str(limits.most_things)})


def _names_something(rest: str, limits: Abilities) -> bool:
    return bool(things_of(rest, limits)) or BLANK.search(rest) is not None


def _outside_size(size: Size, limits: Abilities) -> Note:
    sizes = limits.sizes
    sides = {"shortest": str(sizes.shortest), "longest": str(sizes.longest)}
    return Note(kind="size", param="size", values={"size": str(size), "aspect": f"{sizes.aspect:g}", **sides})


def looks_like_a_photograph(image: Image.Image) -> bool:
    """Whether many colours make up a picture. Rendered cards of all styles need at most 12 colours of 4 bits for 90 %
    of their area, eight photographs 78 and more."""
    from collections import Counter

    from PIL import Image as Pictures

    small = image.convert("RGB").resize((_PHOTO_SIDE, _PHOTO_SIDE), Pictures.Resampling.BOX)
    values = small.tobytes()
    counted = Counter(zip(*(bytes(value >> 4 for value in values[i::3]) for i in range(3)), strict=True))
    covered = 0
    for needed, (_, area) in enumerate(counted.most_common(), start=1):
        covered += area
        if covered >= _PHOTO_SHARE * _PHOTO_SIDE**2:
            return needed > _PHOTO_COLORS
    return False


def _some_of(named: Sequence[Named]) -> str:
    """A few names as examples, as a person would say them."""
    spoken = [one.name.replace("_", " ") for one in named if not HAN.search(one.name)]
    return ", ".join(spoken[: _SHOWN + 1]) + (" ..." if len(named) > _SHOWN + 1 else "")


def _such_as(named: Sequence[Named]) -> str:
    """How many there are, and a few names."""
    return f"@such|{_some_of(named)}|{len(named)}" if len(named) > _SHOWN + 1 else _some_of(named)


def _worded(value: str, table: Mapping[str, str]) -> str:
    """A value with its words in the language of a table."""
    if value.startswith(("@more|", "@such|")):
        sentence, words, count = value.split("|")
        return table[sentence[1:]].format(words=words.removesuffix(" ..."), count=count)
    return re.sub(r"@(\w+?)(?=@|$)", lambda match: table[match[1]], value) if value.startswith("@") else value


def _script(letter: str) -> str:
    """The language of a letter as far as its script tells it."""
    if HAN.match(letter):
        return "zh"
    return "en" if unicodedata.name(letter, "").startswith(("LATIN", "FULLWIDTH LATIN")) else "other"


def _is_emoji(letter: str) -> bool:
    return unicodedata.category(letter) in ("So", "Sk") or 0x1F000 <= ord(letter) <= 0x1FAFF


def _is_joiner(letter: str) -> bool:
    """What only joins or colours the signs of one emoji."""
    return unicodedata.category(letter) in ("Cf", "Mn") or 0xFE00 <= ord(letter) <= 0xFE0F


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
