"""Panels: small pages of widgets for an agent to learn on, sampled from a grammar with a held-out side.

A panel is data here; `panel_page.py` writes it as a page, `panel_tasks.py` asks for something on it. Words are split
as everywhere; the layout `card` and the styles `night` and `paper` are never trained on.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from inkwash.scenes.words import check_split, random_word, words

WidgetKind = Literal["button", "field", "checkbox", "radio", "tabs", "link", "list", "slider"]
Layout = Literal["column", "row", "grid", "card"]
KINDS: tuple[WidgetKind, ...] = ("button", "field", "checkbox", "radio", "tabs", "link", "list", "slider")
WEIGHTS = (30, 18, 20, 10, 7, 7, 4, 4)
LAYOUTS: dict[str, tuple[Layout, ...]] = {"train": ("column", "row", "grid"), "held_out": ("card",)}
SIZES = ((256, 256), (384, 256))
HEIGHTS = {"button": 34, "field": 36, "checkbox": 28, "radio": 30, "tabs": 70, "link": 26, "list": 36, "slider": 34}
MADE_UP = 0.3  # share of the labels in training that are no words, so that letters are read and not guessed


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
    style = style or rng.choice(STYLES[split])
    labels = _Labels(rng, split)
    title = labels.next().capitalize()
    columns = 2 if chosen in ("grid", "card") else 1
    space = [height - 44 - style.gap] * columns
    found: list[Widget] = []
    inside: tuple[str, ...] = ()
    for _ in range(rng.randint(2, 8)):
        widget = _widget(rng, labels, narrow=columns == 2)
        if widget.kind == "tabs" and inside:
            continue
        cost = HEIGHTS[widget.kind] + style.gap + (10 if chosen == "card" else 0)
        cost += 22 * len(widget.options) if widget.kind == "radio" and columns == 2 else 0
        place = max(range(columns), key=space.__getitem__)
        if space[place] < cost:
            continue
        space[place] -= cost
        found.append(widget)
        if widget.kind == "tabs":
            inside = tuple(labels.next() for _ in widget.options)
    if not any(widget.kind == "button" for widget in found):
        found = [*found[:3], Widget(kind="button", label=labels.next())]
        inside = inside if any(widget.kind == "tabs" for widget in found) else ()
    return Panel(
        title=title, widgets=tuple(found), layout=chosen, style=style, width=width, height=height, inside=inside
    )


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
