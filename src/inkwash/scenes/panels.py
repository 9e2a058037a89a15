"""Panels: small pages of widgets for an agent to learn on, sampled from a grammar with a held-out side.

A panel is data here; `panel_page.py` writes it as a page, `panel_tasks.py` asks for something on it. Words are split
as everywhere; the layout `card` and the styles `night` and `paper` are never trained on. Half of the trained panels
have a style made up at random, dark ones among them, so that an agent cannot go by the six that are listed.
"""

from __future__ import annotations

import colorsys
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from inkwash.scenes.words import check_split, random_word, words
from inkwash.scenes.world import luminance

WidgetKind = Literal["button", "field", "checkbox", "radio", "tabs", "link", "list", "slider"]
Layout = Literal["column", "row", "grid", "card"]
KINDS: tuple[WidgetKind, ...] = ("button", "field", "checkbox", "radio", "tabs", "link", "list", "slider")
WEIGHTS = (30, 18, 20, 10, 7, 7, 4, 4)
LAYOUTS: dict[str, tuple[Layout, ...]] = {"train": ("column", "row", "grid"), "held_out": ("card",)}
SIZES = ((256, 256), (384, 256))
MADE_UP = 0.3  # share of the labels in training that are no words, so that letters are read and not guessed
MIXED = 0.5  # share of the panels in training whose style is made up
LINE = 24  # pixels of a line of words
# What a widget takes at most: in a column of its own, and in one of two, where what stands beside its label goes below.
HEIGHTS = {"button": 30, "field": 32, "checkbox": LINE, "radio": 3 * LINE, "tabs": 70, "link": LINE, "list": 32,
           "slider": 30}  # fmt: skip
NARROW_HEIGHTS = HEIGHTS | {"field": LINE + 30, "tabs": 102, "list": LINE + 30, "slider": 2 * LINE}


@dataclass(frozen=True, kw_only=True)
class PanelStyle:
    """Looks: a bundled face, a size in pixels, colours, and how round and how wide apart things are."""

    name: str
    face: str
    size: int
    ink: str
    ground: str
    accent: str
    on_accent: str = "#ffffff"
    radius: int = 4
    gap: int = 8


STYLES: dict[str, tuple[PanelStyle, ...]] = {
    "train": (
        PanelStyle(name="plain", face="sans", size=16, ink="#222222", ground="#ffffff", accent="#2864c8"),
        PanelStyle(name="mint", face="round", size=17, ink="#123524", ground="#eafaf1", accent="#148f60", radius=10),
        PanelStyle(name="slab", face="slab", size=16, ink="#2b1d0e", ground="#fdf6ec", accent="#a04000", radius=0),
        PanelStyle(name="code", face="mono", size=15, ink="#101820", ground="#f2f4f7", accent="#5b2c83", radius=2),
        PanelStyle(name="news", face="serif", size=17, ink="#000000", ground="#fbfbf8", accent="#922b21", gap=6),
        PanelStyle(name="soft", face="light", size=17, ink="#333344", ground="#f5f0ff", accent="#d81b60", radius=16),
    ),
    "held_out": (
        PanelStyle(name="night", face="sans", size=16, ink="#eeeeee", ground="#20242c", accent="#e6b422",
                   on_accent="#111111", radius=6),
        PanelStyle(name="paper", face="serif", size=16, ink="#3b2f2f", ground="#f4ecd8", accent="#4e6e58", gap=10),
    ),
}  # fmt: skip
FACES = ("sans", "round", "slab", "mono", "serif", "light")


@dataclass(frozen=True, kw_only=True)
class Widget:
    """One widget; `options` are those of a group of radio buttons or tabs, or of a list."""

    kind: WidgetKind
    label: str
    options: tuple[str, ...] = ()
    on: bool = False  # of a box to tick


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A page; each tab of `tabs` shows the button `inside` at the same number."""

    title: str
    widgets: tuple[Widget, ...]
    layout: Layout
    style: PanelStyle
    width: int
    height: int
    inside: tuple[str, ...] = ()

    def of(self, kind: WidgetKind) -> tuple[Widget, ...]:
        """The widgets of a kind."""
        return tuple(widget for widget in self.widgets if widget.kind == kind)


def sample_panel(
    rng: random.Random, *, split: str = "train", layout: Layout | None = None, style: PanelStyle | None = None
) -> Panel:
    """A panel whose widgets fit its size; no two labels are alike."""
    check_split(split)
    width, height = rng.choice(SIZES)
    chosen: Layout = rng.choice(LAYOUTS[split]) if layout is None else layout
    style = style or _style(rng, split)
    labels = _Labels(rng, split)
    title = labels.next().capitalize()
    narrow = chosen in ("grid", "card")
    rows = _Rows(space=height - 44 - style.gap, gap=style.gap, columns=2 if narrow else 1)
    found: list[Widget] = []
    inside: tuple[str, ...] = ()
    for number in range(rng.randint(2, 8)):
        widget = _widget(rng, labels, narrow=narrow) if number else Widget(kind="button", label=labels.next(6))
        if widget.kind == "tabs" and inside:
            continue
        if not rows.take((NARROW_HEIGHTS if narrow else HEIGHTS)[widget.kind] + (12 if chosen == "card" else 0)):
            continue
        found.append(widget)
        if widget.kind == "tabs":
            inside = tuple(labels.next(6) for _ in widget.options)
    found = _arranged(found, rng, rows.columns)
    return Panel(
        title=title, widgets=tuple(found), layout=chosen, style=style, width=width, height=height, inside=inside
    )


def _style(rng: random.Random, split: str) -> PanelStyle:
    made_up = split == "train" and rng.random() < MIXED
    return mixed_style(rng) if made_up else rng.choice(STYLES[split])


@dataclass(kw_only=True)
class _Rows:
    """The rows of a panel while they are filled; a row is as high as its highest widget."""

    space: int
    gap: int
    columns: int
    count: int = 0
    highest: int = 0  # of the last row

    def take(self, height: int) -> bool:
        """Whether another widget of this height still fits; it is counted where it does."""
        begins = self.count % self.columns == 0
        cost = height + self.gap if begins else max(0, height - self.highest)
        if cost > self.space:
            return False
        self.space -= cost
        self.highest = height if begins else max(height, self.highest)
        self.count += 1
        return True


def _arranged(widgets: list[Widget], rng: random.Random, columns: int) -> list[Widget]:
    """Whole rows in another order, so that the button that every panel has stands anywhere."""
    rows = [widgets[first : first + columns] for first in range(0, len(widgets), columns)]
    last = [rows.pop()] if len(rows[-1]) < columns else []  # an unfinished row stays the last one
    rng.shuffle(rows)
    return [widget for row in rows + last for widget in rng.sample(row, len(row))]


def mixed_style(rng: random.Random) -> PanelStyle:
    """A style made up: any face, light or dark, its words legible on what they stand on."""
    dark = rng.random() < 0.4
    while True:
        value = rng.uniform(0.05, 0.3) if dark else rng.uniform(0.88, 1.0)
        ground = _color(rng, (0.0, 0.35) if dark else (0.0, 0.14), (value, value))
        ink = _color(rng, (0.0, 0.3), (0.85, 1.0) if dark else (0.0, 0.35))
        accent = _color(rng, (0.4, 1.0), (0.3, 0.95))
        on_accent = "#ffffff" if _ratio("#ffffff", accent) >= _ratio("#111111", accent) else "#111111"
        if _ratio(ink, ground) >= 7 and _ratio(accent, ground) >= 3 and _ratio(on_accent, accent) >= 4:
            break
    return PanelStyle(
        name="mixed", face=rng.choice(FACES), size=rng.randint(14, 18), ink=ink, ground=ground, accent=accent,
        on_accent=on_accent, radius=rng.choice((0, 2, 4, 6, 10, 15)), gap=rng.randint(6, 10),
    )  # fmt: skip


def _color(rng: random.Random, saturation: tuple[float, float], value: tuple[float, float]) -> str:
    parts = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)


def _ratio(one: str, other: str) -> float:
    """The contrast of two colours (WCAG 2.2)."""
    low, high = sorted(luminance((int(c[1:3], 16), int(c[3:5], 16), int(c[5:7], 16))) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def panel_facts(panel: Panel) -> dict[str, Any]:
    """A panel as plain data for JSON."""
    return asdict(panel)


def panel_of(facts: Mapping[str, Any]) -> Panel:
    """The panel that `panel_facts` wrote."""
    widgets = tuple(Widget(**{**each, "options": tuple(each["options"])}) for each in facts["widgets"])
    style = PanelStyle(**facts["style"])
    return Panel(**{**facts, "widgets": widgets, "style": style, "inside": tuple(facts["inside"])})


class _Labels:
    """Different words of one side of the split, in one style of case."""

    def __init__(self, rng: random.Random, split: str) -> None:
        self.rng, self.split = rng, split
        self.capitals = rng.random() < 0.5
        self.used: set[str] = set()

    def next(self, longest: int = 7) -> str:
        while True:
            made_up = self.split == "train" and self.rng.random() < MADE_UP
            word = random_word(self.rng, longest) if made_up else self.rng.choice(words(self.split, 3, longest))
            word = word.upper() if self.capitals else word.capitalize()
            if word not in self.used:
                self.used.add(word)
                return word


def _widget(rng: random.Random, labels: _Labels, *, narrow: bool) -> Widget:
    kind = rng.choices(KINDS, WEIGHTS)[0]
    options: tuple[str, ...] = ()
    if kind in ("radio", "tabs", "list"):
        options = tuple(labels.next(5) for _ in range(2 if narrow or kind == "tabs" else 3))
    return Widget(kind=kind, label=labels.next(6), options=options, on=kind == "checkbox" and rng.random() < 0.4)


def free_word(panel: Panel, rng: random.Random, *, split: str = "train") -> str:
    """A word that is nowhere on the panel, in the case of its labels."""
    labels = _Labels(rng, split)
    labels.capitals = panel.widgets[0].label.isupper()
    labels.used = {panel.title.upper(), panel.title.capitalize(), *panel.inside}
    for widget in panel.widgets:
        labels.used |= {widget.label, *widget.options}
    return labels.next()
