"""What the words of a prompt ask for: texts in and outside quotation marks, things, how many, and colours.

    wanted_words('A birthday card with two balloons that says "Hello" in red', limits)

`engine.notes` warns of what cannot be drawn with it, and `engine.plan_choice` looks for it in a plan. `limits` is what
the checkpoint says about itself; without them only texts are known.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise

from inkwash.engine import plain_words
from inkwash.models.glm_image.folder import Abilities
from inkwash.models.glm_image.quotes import outside, quoted

WORD = re.compile(r"[^\W_](?:[\w'’-]*[^\W_])?")
HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+")
MAX_PROMPT = 32_000  # what a longer one says further on is not looked at
_NEAR = 60  # characters before and behind a colour that tell what it is of
_KEPT, _MOST_COLORS = 5, 100  # unquoted texts, and colours, that are looked at
FILLER = "\x00"  # stands for a quoted text in the rest of a prompt
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
BLANK = re.compile(
    r"\b(?:blank|empty|plain|nothing|bare|background|no text|no words|without)\b|空白|纯|只有|无字|背景", re.IGNORECASE
)
_PLACED = re.compile(r"\b(?:left|right|corner|side)\b|左|右|角|侧", re.IGNORECASE)
_AN = re.compile(r"\ban\b", re.IGNORECASE)
_SUBJECT = re.compile(r"\b(?:picture|image|card|poster|it|that|which|who|this)\s+$", re.IGNORECASE)
_VERB = re.compile(r"\s+(?:the|this|that|these|those|all|my)\b", re.IGNORECASE)  # drop the daisy
_KNOWN = re.compile(r"\b(?:the|this|that|these|those|all)\s+(?:[\w-]+\s+){0,3}$", re.IGNORECASE)
_THING_NEAR = 40  # characters before a thing's name that tell how many
_ENDS = re.compile(r"\s*(?:$|[^\w\s]|\x00|(?:and|or|with|on|in|at|above|below|under|over|next|beside|to|that|which)\b)")
_LETTERS_ASKED = r"(?:letters|lettering|text|type|words|font|writing|characters|capitals)"
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_LETTERS = r"(?:letters|lettering|text|texts|type|words?|font|writing|characters|capitals)"
_BACKGROUND = r"(?:background|backdrop|hintergrund|fondo|fond|arrière-plan)"
_IS = (
    r"\s*:?\s*(?:(?:is|are|in|of|to|colou?r|should|must|be|as|the|an?|all"
    r"|ist|soll|de|en|est|es|color|couleur)\s+)*"
)
_LOOK = (
    r"(?:(?:big|bigger|bold|large|huge|giant|oversized|small|little|tiny|fine|thin|thick|wide|narrow|blocky|rounded|round"
    r"|soft|heavy|chunky|classic|serif|sans|slab|roman|typewriter|script|handwritten|hand-lettered|monospaced|poster|display"
    r"|neat|clean|plain|elegant|playful|simple),?\s+)*"
)
# What stands before and behind a colour where it is that of the ground: on a red background; background: red; on cream.
_GROUND = tuple(
    (re.compile(f"{before}$", re.IGNORECASE), re.compile(after, re.IGNORECASE))
    for before, after in (
        (rf"\b{_BACKGROUND}\s*(?:colou?r|farbe)?{_IS}", ""),
        ("", rf"\s+(?:coloured |colored )?{_BACKGROUND}\b(?!\s+(?:text|letters))"),
        (r"\b(?:on|against)\s+(?:an?\s+)?", r"\s*(?:$|[.,;!。])"),
        (r"(?:背景|底色)(?:颜色)?(?:是|为|用|换成|改成|:|:)?", ""),
        ("", r"的?(?:背景|底色|底(?![部下面端]))"),
        ("以", "为背景"),
    )
)
_LIES_ON = re.compile(r"(?:\b(?:on|onto|in|as|into|with|like)\s+(?:an?\s+|the\s+)?|[在成为用])$", re.IGNORECASE)
# The same where it is that of the text before it, of the text behind it, or of all texts.
_ENDS_THERE = (
    r"的?(?:大|小)?(?:文字|字)?\s*(?:$|[),.;!),。;、\x00]"
    r"|(?:and|on|at|above|below|with|und|auf|mit|et|sur|avec|y|con)\b)"
)
_INK_BEHIND = tuple(
    (re.compile(f"{before}{_LOOK}$", re.IGNORECASE), re.compile(after, re.IGNORECASE))
    for before, after in (
        (r"\x00\s*[,(,(]?\s*", _ENDS_THERE),
        (
            r"\x00\s*[,(]?\s*(?:(?:written|set|printed|painted)\s+)?(?:in|en)\s+(?:the\s+colou?r\s+)?",
            rf"\s+{_LOOK}{_LETTERS}\b|{_ENDS_THERE}",
        ),
    )
)
_INK_BEFORE = re.compile(
    rf"(?:\s+{_LOOK}{_LETTERS}|(?<=[\u3400-\u9fff])的?(?:大字|小字|文字|字)?)\s*\x00", re.IGNORECASE
)
_INK_OF_ALL = (
    (re.compile(rf"\b{_LETTERS}\s*{_IS}{_LOOK}$", re.I), re.compile(rf"(?!\s*{_LETTERS}\s*\x00)")),
    (re.compile(""), re.compile(rf"\s+{_LOOK}{_LETTERS}\b(?!\s*\x00)|的?(?:文字|字体|字)(?!\s*\x00)", re.I)),
    (re.compile(r"(?:文字|字体|字)(?:是|为|用|:|:)?$"), re.compile("")),
)
_NUMBERS_ZH = {"一": 1, "两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10}
_COUNTED_ZH = re.compile(r"([一两二三四五六七八九十]|[1-9]\d?)[只个颗朵棵条辆座本支杯匹头块把张束串盏台架艘]$")


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
        rest = "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in rest)  # T恤
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
def _own_names(limits: Abilities, kind: str) -> Mapping[str, str]:
    """The model's own name of things, or of colours, by each of its words."""
    return {_one_form(word): one.name for one in getattr(limits, kind) for word in one.words}


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


def unquoted_texts(rest: str, limits: Abilities | None) -> list[str]:
    """Words that are to be written by the sense of the sentence, or by their capitals, and stand in no marks."""
    kept: list[str] = []
    for words in chain(_spelled(rest, limits), _capitals(rest, limits)):
        if not any(words in other or other in words for other in kept):
            kept.append(words)
        if len(kept) == _KEPT:
            break
    return kept


def _spelled(rest: str, limits: Abilities | None) -> Iterator[str]:
    """What follows a word like "says"."""
    colors = plain_words.COLORS | {word.lower() for named in (limits.colors if limits else ()) for word in named.words}
    matches = [(match, False) for match in _SPELLS.finditer(rest)]
    matches += [(match, True) for pattern in (_TELLS, _TELLS_ZH) for match in pattern.finditer(rest)]
    for match, guarded in sorted(matches, key=lambda pair: pair[0].start()):
        phrase = _PHRASE.match(rest, match.end())
        if phrase is None or not phrase[0].strip() or FILLER in rest[match.end() : match.end() + 20]:
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


@dataclass(frozen=True, kw_only=True)
class WantedWords:
    """What the words of a prompt ask a picture to show."""

    texts: tuple[str, ...]  # quoted, or else those that the sentence asks to be written
    things: tuple[tuple[str, int | None], ...]  # by the model's own names, and how many; None where it does not say
    absent: frozenset[str]  # things of which none is wanted
    known: frozenset[str]  # things that are spoken of as known: the cat
    large: bool  # whether large letters are asked for
    placed: bool  # whether a side or a corner is named
    blank: bool  # whether the picture may be empty
    ground: str | None  # the colour of the ground, by the model's own name, where the prompt names it
    inks: tuple[tuple[str, str], ...]  # texts whose colour is named, and it


def wanted_words(prompt: str, limits: Abilities | None) -> WantedWords:
    """Read a prompt as its sentence is meant, for those who look at what became of it."""
    prompt = prompt[:MAX_PROMPT]
    quotes, rest = quoted(prompt), outside(prompt, FILLER)
    texts = tuple(one.display_text for one in quotes.texts if one.display_text.strip())
    if not texts and not quotes.open:
        texts = tuple(unquoted_texts(rest, limits))
    large = limits is not None and any(word.lower() in rest.lower() for word in limits.lettering.large_words)
    for words in () if quotes.texts else texts:
        rest = rest.replace(words, " " * len(words))
    found = [] if limits is None else things_of(rest, limits)
    counted = {name: _how_many(rest[max(0, start - _THING_NEAR) : start]) for start, name in reversed(found)}
    known = frozenset(name for start, name in found if _KNOWN.search(rest[max(0, start - _THING_NEAR) : start]))
    placed, blank = _PLACED.search(rest) is not None, BLANK.search(rest) is not None
    ground, inks = (None, ()) if limits is None else _colors(rest, texts if quotes.texts else (), limits)
    return WantedWords(
        texts=texts,
        things=tuple((name, count) for name, count in reversed(counted.items()) if count != 0),
        absent=frozenset(name for name, count in counted.items() if count == 0),
        known=known,
        large=large,
        placed=placed,
        blank=blank,
        ground=ground,
        inks=inks,
    )


def _colors(rest: str, texts: Sequence[str], limits: Abilities) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """The colour of the ground and those of texts. Of what is said twice the first counts, of a text its own."""
    names = _own_names(limits, "colors")
    ground: str | None = None
    joint: str | None = None
    single: dict[int, str] = {}
    for start, end in sorted(names_of(limits, "colors").places(rest))[:_MOST_COLORS]:
        color = next(names[form] for form in singulars(_one_form(rest[start:end])) if form in names)
        before, after = rest[max(0, start - _NEAR) : start], rest[end : end + _NEAR]
        if any(one.search(before) and other.match(after) for one, other in _GROUND):
            ground = ground or color
        elif any(one.search(before) and other.match(after) for one, other in _INK_BEHIND):
            single.setdefault(rest.count(FILLER, 0, start) - 1, color)
        elif _INK_BEFORE.match(rest, end, end + _NEAR):
            single.setdefault(rest.count(FILLER, 0, start), color)
        elif any(one.search(before) and other.match(after) for one, other in _INK_OF_ALL):
            joint = joint or color
        elif _is_of_picture(before, after, limits):
            ground = ground or color
    found = {text: ink for i, text in enumerate(texts) if (ink := single.get(i, joint)) is not None}
    return ground, tuple(found.items())


def _is_of_picture(before: str, after: str, limits: Abilities) -> bool:
    """Whether a colour is that of the whole picture: a blue birthday card, but not: on a blue card."""
    at = len(after) - len(after.lstrip().removeprefix("的"))
    return not _LIES_ON.search(before) and any(start == at for start, _ in names_of(limits, "pictures").places(after))


def things_of(rest: str, limits: Abilities) -> list[tuple[int, str]]:
    """(start, name) of the things that a prompt speaks of.

    Not those in names of colours (snow white), of kinds of picture (a book cover, a ticket) and of styles (on a pale
    blue ribbon), nor what a sentence does (the picture presents ...).
    """
    names = _own_names(limits, "things")
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
        if _VERB.match(rest, end):
            continue
        if form == phrase or not _SUBJECT.search(rest[:start]):
            found.append((start, names[form]))
    return found


def _is_thing(rest: str, place: tuple[int, int], names: Collection[str]) -> bool:
    """Whether a word that names a colour and a thing (rose) means the thing: several, or one with nothing behind it."""
    phrase = _one_form(rest[slice(*place)])
    if phrase not in names:
        return any(form in names for form in singulars(phrase))
    one = _how_many(rest[max(0, place[0] - _THING_NEAR) : place[0]]) is not None
    return one and _ENDS.match(rest, place[1]) is not None


def _how_many(before: str) -> int | None:
    """The number that the words before a name end in, 0 for none of it, None where they name no number."""
    if chinese := _COUNTED_ZH.search(before):
        return _NUMBERS_ZH.get(chinese[1]) or int(chinese[1])
    for word in reversed(before.lower().replace(FILLER, " , ").split()[-3:]):
        if word in ("no", "without"):
            return 0
        if word in NUMBERS or word in ("a", "an", "one", "single"):
            return NUMBERS.get(word, 1)
        if word.isascii() and word.isdigit() and len(word) < 3:
            return int(word)
        if word in ("and", "or", "with", "of") or not word[-1].isalnum():
            break
    return None
