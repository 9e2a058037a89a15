"""How people write: noise around a prompt, clauses with commas or sentences, lower case, no full stop, typos."""

from __future__ import annotations

import random
import re
from functools import cache

from inkwash.scenes import card_noise
from inkwash.scenes.card_parts import Parts
from inkwash.scenes.things import thing_named
from inkwash.scenes.words import of_split

QUIET = 0.42  # share of the prompts without noise
LONG = 0.06  # share of the prompts that ramble
LOWER = 0.12
TYPOS = 0.05
ARTICLE = re.compile(r"\b([Aa]) (?=[aeioAEIO]|u(?!ni|se))")
LONGEST_WORDS = 190


@cache
def noise(name: str, split: str) -> tuple[str, ...]:
    """One side of a list of `card_noise`; unknown things never include one that can be drawn."""
    code, _, what = name.rpartition("/")
    listed = getattr(card_noise, what) if not code else card_noise.EU_TAGS[code]
    if what == "UNKNOWN":
        listed = tuple(word for word in listed if thing_named(word.split(" ", 1)[1]) is None)
    return of_split(listed, split) or listed[:0]


def noisy(parts: Parts, core: str, clauses: list[str], sentences: list[str], *, split: str, noun: str) -> str:
    """The prompt: its core, the clauses or sentences for the rest, and noise before, between and after."""
    rng, code = parts.rng, parts.lexicon.code
    comma, stop = ("，", "。") if code == "zh" else (", ", ". ")
    loud = rng.random() >= QUIET
    tags = _tags(parts, split) if loud and rng.random() < 0.7 else []
    ended = core.endswith(("?", "？", ".", "。"))
    if ended or rng.random() < 0.35:
        text = core + ("" if ended else stop.strip())
        rest = [_capital(sentence) for sentence in sentences]
        if tags:
            rest.append(_capital(comma.join(tags)))
        text = (
            " ".join((text, *(sentence + stop.strip() for sentence in rest)))
            if code != "zh"
            else text + "".join(sentence + stop for sentence in rest)
        )
    else:
        between = comma if rng.random() < 0.9 or code == "zh" else " "
        if tags and rng.random() < 0.3:
            clauses = clauses + tags
            head, clauses = clauses[:1], clauses[1:]
            rng.shuffle(clauses)
            clauses = head + clauses
        else:
            clauses = clauses + tags
        text = between.join((core, *clauses))
        if rng.random() < 0.25:
            text += stop.strip()
    if loud and rng.random() < 0.4:
        text = _around(parts, text, split, noun)
    return text


def _tags(parts: Parts, split: str) -> list[str]:
    rng, code = parts.rng, parts.lexicon.code
    name = {"en": "TAGS", "zh": "ZH_TAGS"}.get(code, f"{code}/TAGS")
    listed = noise(name, split)
    tags = rng.sample(listed, min(len(listed), rng.choice((1, 1, 2, 2, 3, 4, 6))))
    if rng.random() < 0.2:
        listed = noise("ZH_NEGATIONS" if code == "zh" else "NEGATIONS", split)
        tags += [rng.choice(listed)] if listed else []
    if code == "en" and rng.random() < 0.18:
        unknown, pattern = noise("UNKNOWN", split), noise("UNKNOWN_FORMS", split)
        if unknown and pattern:
            tags.insert(0, rng.choice(pattern).replace("{u}", rng.choice(unknown)))
    return tags


def _around(parts: Parts, text: str, split: str, noun: str) -> str:
    """Sentences before and after; sometimes very many, and sometimes the same one again and again."""
    rng, zh = parts.rng, parts.lexicon.code == "zh"
    prefix = "ZH_" if zh else ""
    before, after = list(noise(f"{prefix}BEFORE", split)), list(noise(f"{prefix}AFTER", split))
    rng.shuffle(before)
    rng.shuffle(after)
    long = list(noise(f"{prefix}LONG", split)) if parts.lexicon.code in ("en", "zh") else []
    gap = "" if zh else " "
    start, end = [], []
    if long and rng.random() < LONG / 0.23:
        sentence = rng.choice(long).replace("{g}", noun)
        rambling = [s.replace("{g}", noun) for s in long] + _scenes(rng, split)
        rng.shuffle(rambling)
        start = [sentence] * rng.randint(2, 12) if rng.random() < 0.3 else rambling[: rng.randint(2, len(rambling))]
        end = after[: rng.randint(0, 3)]
    else:
        start = before[: rng.choice((0, 1, 1, 2))]
        end = after[: rng.choice((0, 1, 1, 2))]
    if not text.endswith((".", "。", "?", "？", "!")) and end:
        text += "。" if zh else "."
    space = LONGEST_WORDS - len(text.split()) - sum(len(sentence.split()) for sentence in end)
    while start and sum(len(sentence.split()) for sentence in start) > space:
        start.pop()
    return gap.join((*start, text, *end))


def _scenes(rng: random.Random, split: str) -> list[str]:
    """Sentences about things that no card can show, around which a text generator would build its scene."""
    unknown, scenes = noise("UNKNOWN", split), noise("SCENES", split)
    if not unknown or not scenes:
        return []
    return [
        scene.replace("{u}", rng.choice(unknown)) for scene in rng.sample(scenes, min(len(scenes), rng.randint(0, 4)))
    ]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def rewritten(prompt: str, rng: random.Random, *, english: bool, latin: bool) -> str:
    """The articles mended, then a capital at the start, all in lower case, or typos; texts are marks and stay."""
    if english:
        prompt = ARTICLE.sub(r"\1n ", prompt)
    if not latin:
        return prompt
    manner = rng.random()
    if manner < LOWER:
        prompt = prompt.lower()
        if rng.random() < 0.5:
            prompt = prompt.rstrip(".")
    elif manner < 0.6:
        prompt = _capital(prompt)
    if rng.random() < TYPOS:
        prompt = _mistyped(prompt, rng)
    return prompt


def _mistyped(prompt: str, rng: random.Random) -> str:
    """One or two words of five and more letters with a letter dropped, doubled or swapped."""
    words = list(re.finditer(r"[a-z]{5,}", prompt))
    for match in sorted(rng.sample(words, min(len(words), rng.choice((1, 1, 2)))), key=lambda m: -m.start()):
        word, at = match[0], rng.randint(1, len(match[0]) - 2)
        kind = rng.randrange(3)
        if kind == 0:
            word = word[:at] + word[at + 1 :]
        elif kind == 1:
            word = word[:at] + word[at] + word[at:]
        else:
            word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        prompt = prompt[: match.start()] + word + prompt[match.end() :]
    return prompt
