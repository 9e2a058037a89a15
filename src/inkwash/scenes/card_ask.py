"""Questions about a card with exact answers, and about a picture that shows nothing known.

As `ask.py`, for things, wrapped texts, structures, English and Chinese. Answers are those of `ask.py` where both levels
ask the same: a box in thousandths, a colour, a number, yes or no. Texts that are read stand in quotation marks, one per
line, each whole also where it wraps. What is asked about and is not there is said to be missing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from inkwash.core.errors import ConfigError
from inkwash.scenes.ask import SceneQuestion, thousandths
from inkwash.scenes.caption import article, place, zone
from inkwash.scenes.caption_zh import place_zh
from inkwash.scenes.card_ask_forms import CHINESE as CHINESE_FORMS
from inkwash.scenes.card_ask_forms import ENGLISH as ENGLISH_FORMS
from inkwash.scenes.card_edit_phrases import STRUCTURE_NOUNS
from inkwash.scenes.card_lexicon_zh import CHINESE as CHINESE_LEXICON
from inkwash.scenes.card_nouns import PAIRS, plural
from inkwash.scenes.scene import Box, Scene, ShapeItem, TextItem, ThingItem
from inkwash.scenes.things import THING_IDS, THING_NAMES, THINGS
from inkwash.scenes.words import check_split, of_split, sample_phrase
from inkwash.scenes.world import SHAPES

NUMBER_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
ZH_NUMBERS = ("零", "一", "两", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二")
STYLES = {
    "flat": ("plain", "纯色"),
    "gradient": ("a gradient", "渐变"),
    "striped": ("stripes", "条纹"),
    "dotted": ("dots", "圆点"),
    "paper": ("a paper texture", "纸纹"),
    "outlined": ("plain", "纯色"),
    "shadowed": ("plain", "纯色"),
    "framed": ("plain", "纯色"),
    "pixelated": ("plain", "纯色"),
    "sketch": ("plain", "纯色"),
}
CALLED = 0.25  # share of the things that a question calls by a synonym
NOTHING = ("I see nothing that I know.", "我没有看到我认识的东西。")
NOTHING_KINDS = ("describe", "things", "read", "where", "count", "exists")

Picture = ThingItem | ShapeItem


@dataclass(frozen=True, kw_only=True)
class CardQuestion(SceneQuestion):
    """A question and what to look at for it: a remark, or `name` in `boxes` of pixels."""

    name: str
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Region:
    """A whole text of the picture: the lines that it wraps into, and the box round them."""

    text: str
    lines: tuple[TextItem, ...]

    @property
    def box(self) -> Box:
        return around([line.box for line in self.lines])

    @property
    def color(self) -> str:
        return self.lines[0].color


@dataclass(frozen=True, kw_only=True)
class Asker:
    """What one question is made from."""

    scene: Scene
    rng: random.Random
    split: str
    zh: bool

    def say(self, form: str, **slots: str) -> str:
        question = self.rng.choice(card_forms(form, self.split, "zh" if self.zh else "en"))
        return _filled(question, slots)

    def noun(self, name: str) -> str:
        """What a question calls a thing: its name or, now and then, a synonym."""
        if name in THING_IDS and self.rng.random() < CALLED:
            thing = THINGS[THING_IDS[name]]
            return self.rng.choice(thing.zh if self.zh else thing.synonyms or (name,))
        return zh_name(name) if self.zh else name

    def color(self, name: str) -> str:
        return CHINESE_LEXICON.colors[name][0] if self.zh else name


def _filled(form: str, slots: dict[str, str]) -> str:
    """A form with its slots filled in one pass: a text may hold braces."""
    for name, value in slots.items():
        head, slot, tail = form.partition(f"{{{name}}}")
        if slot:
            form = head + value + tail
    return form


@cache
def card_forms(form: str, split: str, language: str) -> tuple[str, ...]:
    """One side of the sentences that ask for something."""
    return of_split((CHINESE_FORMS if language == "zh" else ENGLISH_FORMS)[form], split, "question")


def around(boxes: Sequence[Box]) -> Box:
    """The box round some boxes."""
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def regions(scene: Scene) -> tuple[Region, ...]:
    """The texts of a picture from the top down, wrapped ones whole."""
    if scene.card is None:
        return tuple(Region(text=line.text, lines=(line,)) for line in scene.texts)
    lines = [tuple(line for line in scene.texts if line.region == i) for i in range(len(scene.card.texts))]
    return tuple(Region(text=t.text, lines=text_lines) for t, text_lines in zip(scene.card.texts, lines, strict=True))


def name_of(item: Picture) -> str:
    return item.thing if isinstance(item, ThingItem) else item.shape


def groups(scene: Scene) -> dict[str, tuple[Picture, ...]]:
    """All pictures by name, a thing and a flat shape of one name together, from the top left on."""
    found: dict[str, list[Picture]] = {}
    for item in sorted(scene.pictures, key=lambda item: (item.box[1], item.box[0])):
        found.setdefault(name_of(item), []).append(item)
    return {name: tuple(items) for name, items in found.items()}


def zh_name(name: str) -> str:
    return THINGS[THING_IDS[name]].zh[0] if name in THING_IDS else CHINESE_LEXICON.shapes[name][0]


def measure(name: str) -> str:
    return THINGS[THING_IDS[name]].measure if name in THING_IDS else "个"


def several(noun: str) -> str:
    """The plural of a name or synonym."""
    return THINGS[THING_IDS[noun]].plural if noun in THING_IDS else plural(noun)


def has_article(noun: str) -> bool:
    """Whether one of it is "a ...": not fries, not popcorn."""
    return noun == "fish" or noun not in THING_IDS or THINGS[THING_IDS[noun]].plural != noun


def one(noun: str) -> str:
    return article(noun) if has_article(noun) else noun


def counted(items: Sequence[Picture], *, zh: bool) -> str:
    """`a cat`, `three balloons`, `two blue circles`; the colour where all are flat shapes of one."""
    name, count = name_of(items[0]), len(items)
    colors = {item.color if isinstance(item, ShapeItem) else "" for item in items}
    color = colors.pop() if len(colors) == 1 else ""
    if zh:
        number = ZH_NUMBERS[count] if count < len(ZH_NUMBERS) else str(count)
        return f"{number}{measure(name)}{CHINESE_LEXICON.colors[color][0] if color else ''}{zh_name(name)}"
    before = f"{color} " if color else ""
    if count == 1:
        return article(before + name) if has_article(name) else before + name
    number = NUMBER_WORDS[count] if count < len(NUMBER_WORDS) else str(count)
    many = several(name)
    pairs = "pairs of " if many in PAIRS else ""
    return f"{number} {before}{pairs}{many}"


def listed(scene: Scene, *, zh: bool = False) -> str:
    """All pictures with their numbers; empty where there are none."""
    parts = [counted(items, zh=zh) for items in groups(scene).values()]
    if zh:
        return "和".join(filter(None, ("、".join(parts[:-1]), *parts[-1:])))
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def describe_card(scene: Scene, *, zh: bool = False) -> str:
    """A plain description: ground, structure, texts from the top down, things."""
    return (_describe_zh if zh else _describe)(scene)


def _describe(scene: Scene) -> str:
    ground = f"{article(scene.background).capitalize()} picture"
    extras = []
    if STYLES[scene.style][0] != "plain":
        extras.append(STYLES[scene.style][0])
    if scene.structure.kind != "plain":
        color = scene.structure.color
        extras.append(article(f"{color} {STRUCTURE_NOUNS[scene.structure.kind][0]}".strip()))
    parts = [f"{ground} with {' and '.join(extras)}." if extras else f"{ground}."]
    texts = [f'"{region.text}" in {region.color}' for region in regions(scene)]
    if texts:
        parts.append(f"It says {', '.join(texts[:-1])}{' and ' if texts[1:] else ''}{texts[-1]}.")
    if things := listed(scene):
        parts.append(f"I see {things}.")
    return " ".join(parts)


def _describe_zh(scene: Scene) -> str:
    colors = CHINESE_LEXICON.colors
    text = f"{colors[scene.background][0]}背景"
    if STYLES[scene.style][0] != "plain":
        text += f"，有{STYLES[scene.style][1]}"
    if scene.structure.kind != "plain":
        panel = colors[scene.structure.color][0] if scene.structure.color else ""
        text += f"，带{panel}{STRUCTURE_NOUNS[scene.structure.kind][1]}"
    texts = [f"{colors[region.color][0]}的“{region.text}”" for region in regions(scene)]
    text += f"。写着{'、'.join(texts)}" if texts else ""
    things = listed(scene, zh=True)
    return text + (f"。图中有{things}。" if things else "。")


def _quoted(texts: Sequence[str]) -> str:
    return "\n".join(f'"{text}"' for text in texts)


def _no_text(zh: bool) -> str:
    return "没有文字。" if zh else "There is no text."


def _read(ask: Asker) -> CardQuestion | None:
    texts = regions(ask.scene)
    if not texts:
        return CardQuestion(kind="read", question=ask.say("read_all"), answer=_no_text(ask.zh), name="I see no text.")
    chance = ask.rng.random()
    if len(texts) > 1 and chance < 0.25:
        found = ask.rng.choice(texts)
        if sum(zone(other.box, ask.scene) == zone(found.box, ask.scene) for other in texts) == 1:
            where = place_zh(found.box, ask.scene) if ask.zh else place(found.box, ask.scene, ask.rng)
            return _reading(ask, ask.say("read_one", P=where), (found,))
    if chance > 0.85 and ask.scene.card is not None and ask.scene.card.texts[0].role == "title":
        return _reading(ask, ask.say("read_title"), texts[:1])
    return _reading(ask, ask.say("read_all"), texts)


def _reading(ask: Asker, question: str, texts: Sequence[Region]) -> CardQuestion:
    answer = _quoted([region.text for region in texts])
    boxes = tuple(region.box for region in texts)
    return CardQuestion(kind="read", question=question, answer=answer, name="Text", boxes=boxes)


def _seen(scene: Scene) -> str:
    return f"I see {listed(scene) or 'no things'}."


def _things(ask: Asker) -> CardQuestion:
    answer = listed(ask.scene, zh=ask.zh) or ("没有" if ask.zh else "none")
    boxes = tuple(around([item.box for item in items]) for items in groups(ask.scene).values())
    name = "Things" if boxes else "I see no things."
    return CardQuestion(kind="things", question=ask.say("things"), answer=answer, name=name, boxes=boxes)


def _count(ask: Asker) -> CardQuestion:
    chance, found = ask.rng.random(), groups(ask.scene)
    if chance < 0.15:
        boxes = tuple(region.box for region in regions(ask.scene))
        name = "Text" if boxes else "I see no text."
        return _number(ask.say("count_texts"), len(boxes), name, boxes)
    if chance < 0.35 or not found:
        return _number(ask.say("count_all"), len(ask.scene.pictures), _seen(ask.scene))
    # where there are several of one kind, they are asked about more often than single ones
    names = tuple(found)
    name = ask.rng.choices(names, [3 if len(found[one]) > 1 else 1 for one in names])[0]
    if ask.rng.random() < 0.12:
        name = ask.rng.choice([other for other in THING_NAMES if other not in found])
    noun, items = ask.noun(name), found.get(name, ())
    question = ask.say("count_one", S=several(noun), O=noun, M=measure(name))
    boxes = tuple(item.box for item in items)
    return _number(question, len(items), name.capitalize() if boxes else _seen(ask.scene), boxes)


def _number(question: str, count: int, name: str, boxes: tuple[Box, ...] = ()) -> CardQuestion:
    return CardQuestion(kind="count", question=question, answer=str(count), name=name, boxes=boxes)


def _color(ask: Asker) -> CardQuestion:
    scene, texts = ask.scene, regions(ask.scene)
    texts = tuple(t for t in texts if sum(other.text == t.text for other in texts) == 1)
    shapes = [items[0] for items in groups(scene).values() if len({type(i) for i in items}) == 1]
    flat = [item for item in shapes if isinstance(item, ShapeItem) and _same_color(scene, item)]
    panelled = bool(scene.structure.color) and scene.structure.kind in STRUCTURE_NOUNS
    what = ask.rng.choice(["ground"] + ["panel"] * panelled + ["text", "text"] * bool(texts) + ["shape"] * bool(flat))
    if what == "text":
        found = ask.rng.choice(texts)
        question = ask.say("text_color", W=found.text)
        return _hue(ask, question, found.color, f'"{found.text}"', (found.box,))
    if what == "shape":
        shape = ask.rng.choice(flat)
        question = ask.say("shape_color", O=zh_name(shape.shape) if ask.zh else shape.shape)
        return _hue(ask, question, shape.color, shape.shape.capitalize(), (shape.box,))
    if what == "panel":
        noun = STRUCTURE_NOUNS[scene.structure.kind]
        return _hue(ask, ask.say("panel", G=noun[ask.zh]), scene.structure.color, f"I look at the {noun[0]}.")
    return _hue(ask, ask.say("background"), scene.background, "I look at the background.")


def _same_color(scene: Scene, shape: ShapeItem) -> bool:
    return len({other.color for other in scene.objects if other.shape == shape.shape}) == 1


def _hue(ask: Asker, question: str, color: str, name: str, boxes: tuple[Box, ...] = ()) -> CardQuestion:
    return CardQuestion(kind="color", question=question, answer=ask.color(color), name=name, boxes=boxes)


def _where(ask: Asker) -> CardQuestion | None:
    texts = regions(ask.scene)
    texts = tuple(t for t in texts if sum(other.text == t.text for other in texts) == 1)
    single = [items[0] for items in groups(ask.scene).values() if len(items) == 1]
    if not texts and not single:
        return None
    if single and (not texts or ask.rng.random() < 0.6):
        item = ask.rng.choice(single)
        question, box = ask.say("where_thing", O=ask.noun(name_of(item))), item.box
        name = name_of(item).capitalize()
    else:
        found = ask.rng.choice(texts)
        question, box, name = ask.say("where_text", W=found.text), found.box, f'"{found.text}"'
    target = thousandths(box, ask.scene)
    return CardQuestion(kind="where", question=question, answer=str(list(target)), box=target, name=name, boxes=(box,))


def _exists(ask: Asker) -> CardQuestion:
    present = tuple(groups(ask.scene))
    name = ask.rng.choice(present if present and ask.rng.random() < 0.5 else (*THING_NAMES, *SHAPES))
    answer = ("有" if ask.zh else "yes") if name in present else ("没有" if ask.zh else "no")
    noun = ask.noun(name)
    question = ask.say("exists", A=one(noun), S=several(noun), O=noun)
    return CardQuestion(kind="exists", question=question, answer=answer, name=_seen(ask.scene))


def _absent(ask: Asker) -> CardQuestion:
    """A question that takes something for granted that is not there."""
    if ask.rng.random() < 0.25:
        text = _other_text(ask)
        answer = f"没有文字“{text}”。" if ask.zh else f'There is no text "{text}".'
        question = ask.say(ask.rng.choice(("where_text", "text_color")), W=text)
        boxes = tuple(region.box for region in regions(ask.scene))
        name = "Text" if boxes else "I see no text."
        return CardQuestion(kind="absent", question=question, answer=answer, name=name, boxes=boxes)
    form = ask.rng.choice(("where_thing", "where_thing", "shape_color"))
    known = SHAPES if form == "shape_color" else THING_NAMES
    name = ask.rng.choice([name for name in known if name not in groups(ask.scene)])
    question = ask.say(form, O=ask.noun(name))
    if ask.zh:
        answer = f"没有{zh_name(name)}。"
    else:
        answer = f"There is no {name}." if one(name) != name else f"There are no {name}."
    return CardQuestion(kind="absent", question=question, answer=answer, name=_seen(ask.scene))


def _other_text(ask: Asker) -> str:
    """Words of the split that the picture does not show."""
    present = " ".join(region.text for region in regions(ask.scene)).casefold()
    while True:
        language = "zh" if ask.zh and ask.rng.random() < 0.7 else "en"
        text = sample_phrase(ask.rng, ask.split, language=language)
        if text.casefold() not in present:
            return text


def _structure(ask: Asker) -> CardQuestion:
    noun = STRUCTURE_NOUNS.get(ask.scene.structure.kind, ("a plain picture", "普通的图片"))
    answer = noun[1] if ask.zh else noun[0] if ask.scene.structure.kind == "plain" else article(noun[0])
    name = "I look at what is behind the text."
    return CardQuestion(kind="structure", question=ask.say("structure"), answer=answer, name=name)


def _style(ask: Asker) -> CardQuestion:
    answer = STYLES[ask.scene.style][ask.zh]
    return CardQuestion(kind="style", question=ask.say("style"), answer=answer, name="I look at the background.")


def _describing(ask: Asker) -> CardQuestion:
    answer = describe_card(ask.scene, zh=ask.zh)
    boxes = tuple(region.box for region in regions(ask.scene))
    name = "Text" if boxes else "I see no text."
    return CardQuestion(kind="describe", question=ask.say("describe"), answer=answer, name=name, boxes=boxes)


_ASKERS: dict[str, Callable[[Asker], CardQuestion | None]] = {
    "read": _read,
    "things": _things,
    "count": _count,
    "color": _color,
    "where": _where,
    "exists": _exists,
    "absent": _absent,
    "structure": _structure,
    "style": _style,
    "describe": _describing,
}
CARD_KINDS = tuple(_ASKERS)


def ask_card(
    scene: Scene,
    rng: random.Random,
    *,
    split: str = "train",
    kinds: Sequence[str] = CARD_KINDS,
    language: str = "en",
) -> CardQuestion:
    """One question about a card, of one of `kinds` (another of them where the card has nothing to ask about)."""
    check_split(split)
    if unknown := [kind for kind in kinds if kind not in _ASKERS]:
        raise ConfigError(f"unknown question kind {unknown[0]!r}: choose from {', '.join(CARD_KINDS)}")
    ask = Asker(scene=scene, rng=rng, split=split, zh=language == "zh")
    for kind in rng.sample(list(kinds), len(kinds)):
        question = _ASKERS[kind](ask)
        if question is not None:
            return question
    raise ConfigError(f"this card answers no question of the kinds {', '.join(kinds)}: allow count or color")


def ask_nothing(
    rng: random.Random,
    *,
    split: str = "train",
    kinds: Sequence[str] = NOTHING_KINDS,
    language: str = "en",
) -> CardQuestion:
    """One question about a picture that shows nothing known (`nothing.py`): the kind is `nothing` whatever is asked."""
    check_split(split)
    kind, zh = rng.choice(list(kinds)), language == "zh"
    empty = Scene(width=256, height=256, background="white")
    ask = Asker(scene=empty, rng=rng, split=split, zh=zh)
    name = "I see no things and no text."
    if kind == "count":
        thing = rng.choice(THING_NAMES)
        noun = ask.noun(thing)
        return CardQuestion(
            kind="nothing",
            question=ask.say("count_one", S=several(noun), O=noun, M=measure(thing)),
            answer="0",
            name=name,
        )
    if kind == "exists":
        noun = ask.noun(rng.choice(THING_NAMES))
        question = ask.say("exists", A=one(noun), S=several(noun), O=noun)
        return CardQuestion(kind="nothing", question=question, answer="没有" if zh else "no", name=name)
    if kind == "where":
        question = ask.say("where_thing", O=ask.noun(rng.choice(THING_NAMES)))
    else:
        question = ask.say("read_all" if kind == "read" else kind)
    return CardQuestion(kind="nothing", question=question, answer=NOTHING[zh], name=name)
