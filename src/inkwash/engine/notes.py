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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from inkwash.core.types import Size
from inkwash.engine import plain_words
from inkwash.engine.notes_words import TABLES, Language
from inkwash.models.glm_image.folder import Abilities, Lettering, Named
from inkwash.models.glm_image.quotes import Quoted, Quotes, glyph_texts, outside, quoted

if TYPE_CHECKING:
    from PIL import Image


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
        """(start, end) of every name, the longest first where several begin. White space joins its words."""
        found: list[tuple[int, int]] = []
        words = [(match.start(), match.end(), match[0].lower()) for match in WORD.finditer(rest)]
        joined = [rest[before[1] : after[0]].isspace() for before, after in pairwise(words)]
        at = 0
        while at < len(words):
            for count in range(min(self.longest, len(words) - at), 0, -1):
                if not all(joined[at : at + count - 1]):
                    continue
                phrase = " ".join(word for _, _, word in words[at : at + count])
                if any(form in self.english for form in singulars(phrase)):
                    found.append((words[at][0], words[at + count - 1][1]))
                    at += count - 1
                    break
            at += 1
        for name in self.chinese:
            place = rest.find(name)
            while place >= 0:
                found.append((place, place + len(name)))
                rest = f"{rest[:place]}{' ' * len(name)}{rest[place + len(name) :]}" if len(rest) < 4000 else rest
                place = rest.find(name, place + len(name))
        return found


@lru_cache(maxsize=32)
def names_of(limits: Abilities | None, *kinds: str) -> Names:
    """The names of what a model can draw, or of some kinds of it: pictures, things, colors, styles."""
    if limits is None:
        return Names()
    words = _words_of(limits, *(kinds or ("pictures", "things", "colors", "styles")))
    words |= frozenset() if kinds else {_one_form(word) for word in limits.lettering.large_words}
    english = frozenset(word for word in words if not HAN.search(word))
    chinese = sorted((word for word in words if HAN.search(word)), key=lambda word: (-len(word), word))
    longest = max((len(name.split()) for name in english), default=1)
    return Names(english=english, chinese=tuple(chinese), longest=longest)


@lru_cache(maxsize=32)
def _words_of(limits: Abilities, *kinds: str) -> frozenset[str]:
    return frozenset(_one_form(word) for kind in kinds for one in getattr(limits, kind) for word in one.words)


@lru_cache(maxsize=8)
def _thing_names(limits: Abilities) -> Mapping[str, str]:
    """The model's own name of a thing by each of its words."""
    return {_one_form(word): one.name for one in limits.things for word in one.words}


def _one_form(phrase: str) -> str:
    """In small letters, with single spaces."""
    return " ".join(phrase.lower().split())


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


__all__ = ["Abilities", "Language", "Note", "WantedWords", "find_notes", "negative_notes", "notes", "wanted_words"]

MAX_PROMPT = 32_000  # what a longer one says further on is not looked at
_SHOWN = 5  # words that one sentence names
_FILLER = "\x00"  # stands for a quoted text in the rest of a prompt
_SPELLS = re.compile(
    r"\b(?:says|saying|say|reads|reading|read|spells|spelling|titled|entitled|labell?ed|captioned|called|named)\b[:,]?\s+",
    re.IGNORECASE,
)
_TELLS = re.compile(
    r"\b(?:(?:with\s+)?the\s+(?:words?|text|title|slogan|headline|letters|inscription)|write|text:|title:)\b[:,]?\s+",
    re.IGNORECASE,
)
_TELLS_ZH = re.compile(r"(?:写着|写有|写上|文字是|文字为|标题是|标题为|字样|内容是|内容为|名字叫|名叫|叫做)[::]?\s*")
_PHRASE = re.compile(r"[^,.;:!?,。;:!?\n\x00]{1,40}")
# Words after which the sentence speaks about a text and does not spell one: "the text in white".
_ABOUT = frozenset(
    {"in", "on", "at", "of", "is", "are", "and", "or", "with", "above", "below", "under", "over", "to", "that"}
    | {"which", "from", "should", "will", "must", "has", "was", "by", "be", "instead", "it", "as"}
)
_CAPITALS = re.compile(r"(?<![\w'])[A-Z][A-Z'’&]*[A-Z](?:[ \t]+[A-Z][A-Z'’&]*[A-Z])*(?![\w'])")
_BLANK = re.compile(
    r"\b(?:blank|empty|plain|nothing|bare|background|no text|no words|without)\b|空白|纯|只有|无字|背景", re.IGNORECASE
)
_PLACED = re.compile(r"\b(?:left|right|corner|side)\b|左|右|角|侧", re.IGNORECASE)
_RECIPIENT = re.compile(
    r"\b(?:for|to|from)\s+(?:(?:my|our|your|his|her|their|the|a|an)\s+)?(?:[a-z-]+\s+){0,2}?(?:daughters?|sons?|kids?|child|"
    r"children|mother|mom|mum|father|dad|parents|sister|brother|wife|husband|girlfriend|boyfriend|partner|friends?|"
    r"grand(?:ma|pa|mother|father|parents|son|daughter)|aunt|uncle|cousins?|niece|nephew|boss|colleagues?|teacher|"
    r"teachers|neighbou?rs?|team|family|class|students?|customers?|guests?|clients?|everyone|someone)"
    r"(?:\s+[A-Z][a-z]+)?\b"
)
_AN = re.compile(r"\ban\b", re.IGNORECASE)
_SUBJECT = re.compile(r"\b(?:picture|image|card|poster|it|that|which|who|this)\s+$", re.IGNORECASE)
_ENDS = re.compile(r"\s*(?:$|[^\w\s]|\x00|(?:and|or|with|on|in|at|above|below|under|over|next|beside|to|that|which)\b)")
_LETTERS_ASKED = r"(?:letters|lettering|text|type|words|font|writing|characters|capitals)"
_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_NUMBERS_ZH = {"一": 1, "两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10}
_COUNTED_ZH = re.compile(r"([一两二三四五六七八九十]|[1-9]\d?)[只个颗朵棵条辆座本支杯匹头块把张束串盏台架艘]$")
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
    rest = outside(prompt, _FILLER)
    bare = [] if quotes.open else _unquoted(rest, limits)  # what the open mark was to hold stands there, too
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


def _unquoted(rest: str, limits: Abilities | None) -> list[str]:
    """Words that are to be written by the sense of the sentence, or by their capitals, and stand in no marks."""
    kept: list[str] = []
    for words in chain(_spelled(rest, limits), _capitals(rest, limits)):
        if not any(words in other or other in words for other in kept):
            kept.append(words)
        if len(kept) == _SHOWN:
            break
    return kept


def _spelled(rest: str, limits: Abilities | None) -> Iterator[str]:
    """What follows a word like "says"."""
    colors = plain_words.COLORS | {word.lower() for named in (limits.colors if limits else ()) for word in named.words}
    matches = [(match, False) for match in _SPELLS.finditer(rest)]
    matches += [(match, True) for pattern in (_TELLS, _TELLS_ZH) for match in pattern.finditer(rest)]
    for match, guarded in sorted(matches, key=lambda pair: pair[0].start()):
        phrase = _PHRASE.match(rest, match.end())
        if phrase is None or not phrase[0].strip() or _FILLER in rest[match.end() : match.end() + 20]:
            continue
        words = phrase[0].split()
        first = words[0]
        if first.lower() in _ABOUT or _SPELLS.match(phrase[0] + " ") or _TELLS.match(phrase[0] + " "):
            continue
        if guarded and (first in plain_words.ENGLISH or first in colors):
            continue
        yield " ".join(_until_about(words))


def _until_about(words: Sequence[str]) -> list[str]:
    """The words up to one that goes on about the picture: OPEN in green neon -> OPEN."""
    taken: list[str] = []
    for word in words[:6]:
        if taken and word.lower() in _ABOUT:
            break
        taken.append(word)
    return taken


def _capitals(rest: str, limits: Abilities | None) -> Iterator[str]:
    """Words in capitals, unless the whole prompt shouts about what it wants to see."""
    names = names_of(limits).single
    words = [word.lower() for word in WORD.findall(rest)]
    known = [word for word in words if word in names or word in plain_words.ENGLISH]
    if rest.isupper() and len(words) > 2 and len(known) > len(words) / 2:
        return
    for match in _CAPITALS.finditer(rest):
        words = [word for word in match[0].split() if word not in plain_words.ACRONYMS]
        if any(word.lower() not in plain_words.ENGLISH | plain_words.COLORS | names for word in words):
            yield match[0]


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


@dataclass(frozen=True, kw_only=True)
class WantedWords:
    """What the words of a prompt ask a picture to show."""

    texts: tuple[str, ...]  # quoted, or else those that the sentence asks to be written
    things: tuple[tuple[str, int | None], ...]  # by the model's own names, and how many; None where it does not say
    large: bool  # whether large letters are asked for
    placed: bool  # whether a side or a corner is named
    blank: bool  # whether the picture may be empty


def wanted_words(prompt: str, limits: Abilities | None) -> WantedWords:
    """Read a prompt as its sentence is meant, for those who look at what became of it."""
    prompt = prompt[:MAX_PROMPT]
    quotes, rest = quoted(prompt), outside(prompt, _FILLER)
    texts = tuple(one.display_text for one in quotes.texts if one.display_text.strip())
    if not texts and not quotes.open:
        texts = tuple(_unquoted(rest, limits))
    large = limits is not None and any(word.lower() in rest.lower() for word in limits.lettering.large_words)
    for words in () if quotes.texts else texts:
        rest = rest.replace(words, " " * len(words))
    things = () if limits is None else tuple(_asked_things(rest, limits))
    placed, blank = _PLACED.search(rest) is not None, _BLANK.search(rest) is not None
    return WantedWords(texts=texts, things=things, large=large, placed=placed, blank=blank)


def _asked_things(rest: str, limits: Abilities) -> Iterator[tuple[str, int | None]]:
    found = set()
    for start, name in _things(rest, limits):
        count = _how_many(rest[max(0, start - 40) : start])
        if count != 0 and name not in found:
            found.add(name)
            yield name, count


def _things(rest: str, limits: Abilities) -> list[tuple[int, str]]:
    """(start, name) of the things that a prompt speaks of.

    Not those in names of colours (snow white), of kinds of picture (a book cover, a ticket) and of styles (on a pale
    blue ribbon), nor what a sentence does (the picture presents ...).
    """
    names = _thing_names(limits)
    others, colors = _words_of(limits, "pictures", "styles"), _words_of(limits, "colors")
    shades = [place for place in names_of(limits, "colors").places(rest) if not _is_thing(rest, place, names)]
    plain = _AN.sub("a ", blanked(rest, shades))
    for word in plain_words.CHINESE:
        if len(word) > 1:
            plain = plain.replace(word, " " * len(word))  # 面 of 上面 is no noodles
    found = []
    for start, end in sorted(names_of(limits).places(plain)):
        phrase = _one_form(plain[start:end])
        form = next((form for form in singulars(phrase) if form in names), None)
        if form is None or {phrase, form} & others or (form in colors and not _is_thing(rest, (start, end), colors)):
            continue
        if form == phrase or not _SUBJECT.search(rest[:start]):
            found.append((start, names[form]))
    return found


def _is_thing(rest: str, place: tuple[int, int], names: Collection[str]) -> bool:
    """Whether a word that names a colour and a thing (rose) means the thing: several, or one with nothing behind it."""
    phrase = _one_form(rest[slice(*place)])
    if phrase not in names:
        return any(form in names for form in singulars(phrase))
    one = _how_many(rest[max(0, place[0] - 40) : place[0]]) is not None
    return one and _ENDS.match(rest, place[1]) is not None


def _how_many(before: str) -> int | None:
    """The number that the words before a name end in, 0 for none of it, None where they name no number."""
    if chinese := _COUNTED_ZH.search(before):
        return _NUMBERS_ZH.get(chinese[1]) or int(chinese[1])
    for word in reversed(before.lower().replace(_FILLER, " , ").split()[-3:]):
        if word in ("no", "without"):
            return 0
        if word in _NUMBERS or word in ("a", "an", "one", "single"):
            return _NUMBERS.get(word, 1)
        if word.isascii() and word.isdigit() and len(word) < 3:
            return int(word)
        if word in ("and", "or", "with", "of") or not word[-1].isalnum():
            break
    return None


def _many(rest: str, limits: Abilities) -> Iterator[Note]:
    """More things than fit into a picture."""
    count = 0
    for start, _ in _things(rest, limits):
        before = rest[max(0, start - 40) : start].split()[-3:]
        count += max((_NUMBERS.get(word.lower(), 1) for word in before), default=1)
    if count > limits.most_things:
        yield Note(kind="many", values={"count": str(count), "room": str(limits.most_things)})


def _names_something(rest: str, limits: Abilities) -> bool:
    return bool(_things(rest, limits)) or _BLANK.search(rest) is not None


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
