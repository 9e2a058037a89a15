"""Card -> the prompt that a person would type for it, and what it names.

A prompt is a sentence form with the texts in quotation marks, clauses for what the form leaves out, and noise. Rule:
what is not named is what the card would have anyway, given what is named (`card_parts.usual_size`, `usual_place`, a
text colour that can be read, the structure that the genre implies). Forms and noise come from one side of the split.
"""

from __future__ import annotations

import random
import re
from functools import cache

from inkwash.core.errors import ConfigError
from inkwash.scenes import card_phrases
from inkwash.scenes.card import Card
from inkwash.scenes.card_genres import GENRES
from inkwash.scenes.card_lexicon import ENGLISH, Lexicon
from inkwash.scenes.card_lexicon_eu import FRENCH, GERMAN, SPANISH
from inkwash.scenes.card_lexicon_zh import CHINESE
from inkwash.scenes.card_manner import noisy, rewritten
from inkwash.scenes.card_parts import (
    MARK,
    Parts,
    background_phrase,
    join,
    must_name_color,
    quoted,
    structure_phrase,
    style_phrase,
    text_phrase,
    things_phrase,
    usual_size,
)
from inkwash.scenes.card_phrases_genres import GENRE_FORMS
from inkwash.scenes.card_phrases_world import FORMS
from inkwash.scenes.scene import Description
from inkwash.scenes.words import check_split, of_split

BACKGROUND_RATE = 0.6
STRUCTURE_RATE = 0.55  # where the genre implies it
UNQUOTED_RATE = 0.07
SLASHED_RATE = 0.05  # "A / B" in one pair of quotation marks
ALL_TEXT_RATE = 0.35
GENERIC_RATE = 0.2
LANGUAGES = {"en": ((ENGLISH, GERMAN, FRENCH, SPANISH, CHINESE), (86, 5, 4, 4, 1)), "zh": ((CHINESE, ENGLISH), (95, 5))}
CAPITALISED = re.compile(r"[A-Z0-9ÄÖÜÉÀÇÑÅØ][^\W_]*( [A-Z0-9ÄÖÜÉÀÇÑÅØ][^\W_]*){0,3}")
UNMARKED = re.compile(r"[^\W_][\w&!?'%$€£.-]*( [\w&!?'%$€£.-]+){0,5}")  # no comma or colon: it ends where one stands
SAYING = re.compile(
    r"(says|saying|reads|words|called|named|text|name|dit|écrit|texte|dice|texto|Text|Aufschrift) \{T\}"
)


@cache
def forms(code: str, kind: str, split: str) -> tuple[str, ...]:
    """One side of the sentence forms of a kind in a language; GENRE/name are those of one genre."""
    if kind.startswith("GENRE/"):
        return of_split(GENRE_FORMS.get(kind.removeprefix("GENRE/"), ()), split) if code == "en" else ()
    listed = getattr(card_phrases, kind) if code == "en" else FORMS[code].get(kind, ())
    return of_split(listed, split)


def describe_card(card: Card, rng: random.Random, *, split: str = "train", language: str = "en") -> Description:
    """One prompt for a card, in `en` (now and then in German, French or Spanish) or `zh`, and what it names."""
    check_split(split)
    if language not in LANGUAGES:
        raise ConfigError(f"unknown prompt language {language!r}: choose en or zh")
    lexicon = rng.choices(*LANGUAGES[language])[0]
    if lexicon.things and not all(thing.is_shape or thing.thing in lexicon.things for thing in card.things):
        lexicon = ENGLISH
    quotes = rng.choice(lexicon.quotes)
    if any(mark in text.text for text in card.texts for mark in quotes):
        quotes = '""'
    parts = Parts(card=card, rng=rng, lexicon=lexicon, quotes=quotes, color_rate=rng.choice((0.0, 0.0, 0.7, 0.9)))
    kind, form = _form(parts, split)
    core = _filled(parts, kind, form, split)
    clauses, sentences = _clauses(parts, form, kind)
    prompt = noisy(parts, core, clauses, sentences, split=split, noun=_noun(parts, generic=True))
    prompt = rewritten(prompt, rng, english=lexicon.code == "en", latin=lexicon.code != "zh")
    return Description(prompt=_with_texts(card, prompt), named=frozenset(parts.facts))


def _with_texts(card: Card, prompt: str) -> str:
    return prompt.translate({MARK + i: text.text for i, text in enumerate(card.texts)})


def _form(parts: Parts, split: str) -> tuple[str, str]:
    """A kind of form that the card can fill, and one form of it."""
    code = parts.lexicon.code
    kind = _kind(parts)
    listed = _fitting(parts.card, forms(code, kind, split))
    if listed and kind == "UNQUOTED":
        listed = _unquoted_forms(parts.card, listed)
    if listed:
        return kind, parts.pick(listed)
    usual = "SAYS" if parts.card.texts else kind
    listed = _fitting(parts.card, forms(code, usual, split)) or _fitting(parts.card, forms("en", usual, split))
    return "UNQUOTED" if kind == "UNQUOTED" else usual, parts.pick(listed)


@cache
def _needs(form: str) -> frozenset[str]:
    return frozenset(re.findall(r"\{([A-Z])\}", form))


def _fitting(card: Card, listed: tuple[str, ...]) -> tuple[str, ...]:
    missing = {slot for slot, there in (("O", card.things), ("R", card.texts[1:])) if not there}
    return tuple(form for form in listed if not (_needs(form) & missing)) if missing else listed


def _unquoted_forms(card: Card, listed: tuple[str, ...]) -> tuple[str, ...]:
    """Forms in which a text without quotation marks is still known as one: all, if it is in capitals."""
    if card.language == "zh" or CAPITALISED.fullmatch(card.texts[0].text):
        return listed
    return tuple(form for form in listed if SAYING.search(form)) or listed


def _kind(parts: Parts) -> str:
    card, rng = parts.card, parts.rng
    if not card.texts:
        if not card.things:
            return "BLANK"
        return "EMPTY_QUOTES" if rng.random() < 0.12 else "NO_TEXT"
    if rng.random() < UNQUOTED_RATE and _can_be_unquoted(card, parts.lexicon):
        return "UNQUOTED"
    kinds = ["SAYS", "BARE_SAYS", f"GENRE/{card.genre}"]
    weights = [40, 8, 30 if parts.lexicon.code == "en" and card.genre in GENRE_FORMS else 0]
    if card.things:
        kinds.append("PICTURED")
        weights.append(40)
    if len(card.texts) > 1:
        kinds += ["TITLED", "SUBTITLED", "SPREAD"]
        weights += [25, 20 if len(card.texts) == 2 else 0, 18]
    return rng.choices(kinds, weights)[0]


def _can_be_unquoted(card: Card, lexicon: Lexicon) -> bool:
    if len(card.texts) != 1 or card.texts[0].size != usual_size(card.texts[0]):
        return False
    text = card.texts[0].text
    if lexicon.code == "zh":
        return len(text) <= 6 and all("\u4e00" <= a <= "\u9fff" for a in text)
    return UNMARKED.fullmatch(text) is not None


def _filled(parts: Parts, kind: str, form: str, split: str) -> str:
    slots: dict[str, str] = {}
    needs = _needs(form)
    if "T" in needs:
        slots["T"] = _texts(parts, kind)
    if "F" in needs:
        slots["F"] = text_phrase(parts, 0, named=parts.rng.random() < 0.5)
    if "R" in needs:
        slots["R"] = join(parts, _phrases(parts, range(1, len(parts.card.texts))))
    if kind == "SPREAD":
        slots["M"] = _sentences(parts, split)
    if "O" in needs:
        slots["O"] = things_phrase(parts)
    if "E" in needs:
        slots["E"] = parts.quotes[0] + parts.quotes[-1]
    if "{a}" in form or "{g}" in form:
        noun = _noun(parts, generic=parts.rng.random() < GENERIC_RATE or kind == "EMPTY_QUOTES")
        noun = _colored(parts, noun, form)
        slots["g"], slots["a"] = noun, f"a {noun}" if parts.lexicon.code == "en" else noun
        if "{a}" in form and parts.lexicon.code != "en" and form not in _forms_of(parts.lexicon.code):
            slots["a"] = f"a {noun}"
    elif kind.startswith("GENRE/"):
        parts.facts.add("genre")
    return re.sub(r"\{([A-Za-z])\}", lambda slot: slots[slot[1]], form)


@cache
def _forms_of(code: str) -> frozenset[str]:
    return frozenset(form for listed in FORMS[code].values() for form in listed)


def _noun(parts: Parts, *, generic: bool) -> str:
    """What the prompt calls the card; a noun of the genre is noted as `genre` in `said`."""
    lexicon = parts.lexicon
    nouns = GENRES[parts.card.genre].nouns if lexicon.code == "en" else lexicon.genres.get(parts.card.genre, ())
    if generic or not nouns:
        return parts.pick(lexicon.nouns)
    parts.facts.add("genre")
    return parts.pick(nouns)


def _colored(parts: Parts, noun: str, form: str) -> str:
    """The noun, sometimes with the background's colour: `blue birthday card`."""
    card, code = parts.card, parts.lexicon.code
    may = not card.panel and code in ("en", "zh") and "a {g}" not in form
    if not may or parts.rng.random() >= BACKGROUND_RATE / 3:
        return noun
    parts.facts.add("background")
    color = parts.color(card.background)
    return f"{color}{parts.pick(('的', ''))}{noun}" if code == "zh" else f"{color} {noun}"


def _texts(parts: Parts, kind: str) -> str:
    card, rng = parts.card, parts.rng
    plain = not any(text.size != usual_size(text) or must_name_color(card, text) for text in card.texts)
    marks = [chr(MARK + i) for i in range(len(card.texts))]
    if kind == "UNQUOTED":
        return _inline_color(parts, marks[0])
    plain = plain and not any("/" in text.text for text in card.texts)
    if plain and len(marks) > 1 and rng.random() < SLASHED_RATE:
        return parts.quotes[0] + " / ".join(marks) + parts.quotes[-1]
    return join(parts, _phrases(parts, range(len(card.texts))))


def _sentences(parts: Parts, split: str) -> str:
    """A sentence for every text, from the top down."""
    code, last = parts.lexicon.code, len(parts.card.texts) - 1
    lines = []
    for i, phrase in enumerate(_phrases(parts, range(last + 1))):
        place = "SPREAD_FIRST" if i == 0 else "SPREAD_LAST" if i == last and parts.rng.random() < 0.5 else "SPREAD_NEXT"
        line = parts.pick(forms(code, place, split) or forms(code, "SPREAD_NEXT", split) or ("{Q}",)).replace(
            "{Q}", phrase
        )
        lines.append(line + "。" if code == "zh" else f"{line[:1].upper()}{line[1:]}.")
    return ("" if code == "zh" else " ").join(lines)


def _inline_color(parts: Parts, text: str) -> str:
    """An unquoted text, sometimes with its colour: `OPEN in green`."""
    if parts.lexicon.code == "zh" or parts.rng.random() >= parts.color_rate / 2:
        return text
    parts.facts.add("text0.color")
    pattern = {"de": "{q} in {c}", "fr": "{q} en {c}", "es": "{q} en {c}"}.get(parts.lexicon.code, "{q} in {c}")
    return pattern.replace("{q}", text).replace("{c}", parts.color(parts.card.texts[0].color))


def _phrases(parts: Parts, indices: range) -> list[str]:
    """The texts with their looks; where all share a colour it may be left to a clause of its own."""
    card, rng = parts.card, parts.rng
    same = len({text.color for text in card.texts}) == 1 and parts.color_rate and rng.random() < ALL_TEXT_RATE
    if same and not any(text.size != usual_size(text) for text in card.texts):
        parts.facts.update(f"text{i}.color" for i in range(len(card.texts)))
        parts.facts.add("joint")
        return [quoted(parts, i) for i in indices]
    return [text_phrase(parts, i, named=True) for i in indices]


def _clauses(parts: Parts, form: str, kind: str) -> tuple[list[str], list[str]]:
    """What the form left out, each as a clause (after a comma) and as a sentence."""
    card, rng, lexicon = parts.card, parts.rng, parts.lexicon
    clauses: list[tuple[str, str]] = []
    if card.things and "O" not in _needs(form):
        things = things_phrase(parts)
        clauses.append((parts.pick(lexicon.thing_clauses).replace("{O}", things),
                     parts.pick(lexicon.thing_sentences).replace("{O}", things)))  # fmt: skip
    more: list[tuple[str, str]] = []
    if _joint_color(parts, kind):
        phrase = parts.pick(lexicon.all_text).replace("{c}", parts.color(card.texts[0].color))
        more.append((phrase, phrase))
    if "background" not in parts.facts and (rng.random() < BACKGROUND_RATE or kind == "BLANK"):
        more.append((background_phrase(parts, sentence=False), background_phrase(parts, sentence=True)))
    if _must_name_structure(parts) or (card.structure != "plain" and rng.random() < STRUCTURE_RATE):
        more.append(_same_structure(parts))
    if card.style != "flat":
        phrase = style_phrase(parts)
        more.append((phrase, phrase))
    rng.shuffle(more)
    if not card.texts and rng.random() < 0.35 and kind != "EMPTY_QUOTES":
        more.append((phrase := parts.pick(lexicon.no_text), phrase))
    parts.facts.discard("genre")
    parts.facts.discard("joint")
    clauses += more
    return [clause for clause, _ in clauses], [sentence for _, sentence in clauses]


def _same_structure(parts: Parts) -> tuple[str, str]:
    clause = structure_phrase(parts, sentence=False)
    if parts.card.structure == "plain":
        return clause, clause
    return clause, parts.pick(parts.lexicon.structure_sentences).replace("{s}", clause)


def _joint_color(parts: Parts, kind: str) -> bool:
    """Whether the texts' colour was left to a clause, or an unquoted text has one to name."""
    card = parts.card
    if kind == "UNQUOTED" and "text0.color" not in parts.facts:
        if must_name_color(card, card.texts[0]) or parts.rng.random() < parts.color_rate:
            parts.facts.add("text0.color")
            return True
        return False
    return "joint" in parts.facts


def _must_name_structure(parts: Parts) -> bool:
    """Whether the card's structure is not the one that its noun implies."""
    implied = GENRES[parts.card.genre].structures if "genre" in parts.facts else ()
    return parts.card.structure != (implied[0] if implied else "plain")
