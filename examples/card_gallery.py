"""The sheet of 48 cards in docs/scenes.md: what level `card` can show, composed by hand and rendered exactly.

python examples/card_gallery.py docs/images/cards.webp
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from inkwash.scenes.card import Card, CardText, CardThing
from inkwash.scenes.card_layout import lay_out
from inkwash.scenes.render import render

SIDE, COLUMNS, SHOWN, GAP = 384, 8, 224, 8
Text = tuple[str, str, str, str]  # words, colour, face, L(arge) or s(mall)
Thing = tuple[str, int, str, str, str]  # thing, count, place, size, colour of a flat shape


def card(ground: str, texts: list[Text], things: list[Thing], *, style: str = "flat", on: str = "plain") -> Card:
    """A card on a ground "background" or "background/panel"."""
    background, _, panel = ground.partition("/")
    roles = ("title", *["line"] * len(texts))
    return Card(
        genre="card",
        background=background,
        panel=panel,
        structure=on,
        style=style,
        texts=tuple(
            CardText(text=words, role=role, color=color, face=face, size="large" if size == "L" else "small")
            for (words, color, face, size), role in zip(texts, roles, strict=False)
        ),
        things=tuple(
            CardThing(thing=name, count=count, place=place, size=size, color=color)
            for name, count, place, size, color in things
        ),
        language="zh" if any(face == "cjk" for _, _, face, _ in texts) else "en",
    )


def one(thing: str, place: str = "above", size: str = "medium", count: int = 1, color: str = "") -> Thing:
    return thing, count, place, size, color


CARDS = (
    card("cream", [("Happy Birthday", "purple", "poster", "L"), ("dear Mia", "blue", "hand", "s")], [one("cake")]),
    card(
        "navy/cream",
        [("Soup 4.50", "blue", "serif", "s"), ("Pasta 9.80", "blue", "serif", "s"), ("Tea 2.20", "blue", "serif", "s")],
        [one("plate")],
        on="menu",
    ),
    card(
        "light blue/red",
        [("SALE", "white", "wide", "L"), ("up to 70%", "yellow", "poster", "s")],
        [one("shopping bag")],
        on="ribbon",
    ),
    card("teal", [("Good", "white", "wide", "L"), ("morning", "white", "hand", "s")], [one("coffee", size="large")]),
    card(
        "red",
        [("春节", "yellow", "cjk", "L"), ("快乐", "yellow", "cjk", "L")],
        [one("red lantern", "sides", "medium", 2)],
    ),
    card(
        "black/black",
        [("Today", "yellow", "hand", "s"), ("Pizza 8.90", "white", "hand", "s"), ("Cake 3.50", "white", "hand", "s")],
        [one("pizza")],
        on="chalkboard",
    ),
    card("light blue/white", [("Hello!", "blue", "wide", "L")], [one("robot", "below")], on="bubble"),
    card(
        "light green",
        [("Garden", "black", "poster", "L"), ("open day", "black", "round", "s")],
        [one("tulip", "corners", "small", 4)],
    ),
    card("light green/green", [("PARK", "black", "wide", "L")], [], on="post"),
    card("pink/white", [("Love", "red", "poster", "L"), ("you", "purple", "hand", "s")], [one("heart")], on="paper"),
    card(
        "navy",
        [("Moon", "yellow", "poster", "L"), ("night", "pink", "hand", "s")],
        [one("moon"), one("star", "below", "small", 3)],
    ),
    card(
        "yellow",
        [("LEMONADE", "black", "poster", "s"), ("50 cents", "purple", "round", "s")],
        [one("lemon", size="large")],
    ),
    card(
        "white/navy",
        [
            ("Our Plan", "white", "wide", "s"),
            ("Read more", "black", "round", "s"),
            ("Talk less", "black", "round", "s"),
            ("Ship it", "black", "round", "s"),
        ],
        [one("rocket", "below", "small")],
        on="slide",
    ),
    card("orange", [("Boo!", "black", "poster", "L")], [one("pumpkin"), one("ghost", "below", "medium")]),
    card(
        "cream",
        [("Tom & Sarah", "black", "serif", "s"), ("June 14th", "purple", "hand", "s")],
        [one("ring")],
        on="frame",
    ),
    card("blue", [("音乐节", "white", "cjk", "L")], [one("guitar", size="large")]),
    card(
        "light blue",
        [("Lost cat", "black", "slab", "s"), ("call 555 0134", "purple", "round", "s")],
        [one("cat", size="large")],
    ),
    card(
        "red/yellow",
        [("TICKET", "black", "poster", "s"), ("row 7", "blue", "round", "s")],
        [one("popcorn")],
        on="ticket",
    ),
    card(
        "light green/cream",
        [("Honey", "black", "serif", "s"), ("500 g", "purple", "round", "s")],
        [one("bee")],
        on="label",
    ),
    card(
        "purple",
        [("Game", "yellow", "poster", "L"), ("over", "white", "poster", "s")],
        [one("game controller")],
        style="dotted",
    ),
    card(
        "brown/cream", [("Fresh", "black", "slab", "s"), ("bread", "purple", "hand", "s")], [one("bread")], on="paper"
    ),
    card("teal", [("WELCOME", "white", "wide", "s"), ("HOME", "white", "wide", "L")], [one("house")], on="frame"),
    card(
        "white",
        [("Bake", "red", "poster", "L"), ("club", "black", "round", "s")],
        [one("cookie", "corners", "small", 4)],
    ),
    card(
        "pink", [("儿童节", "black", "cjk", "L"), ("快乐", "black", "cjk", "s")], [one("balloon", "above", "medium", 3)]
    ),
    card("yellow/red", [("CHAMPION", "white", "poster", "s")], [one("trophy", size="large")], on="band"),
    card(
        "light blue",
        [("Let it", "black", "hand", "s"), ("snow", "black", "poster", "L")],
        [one("snowman")],
        style="dotted",
    ),
    card("navy/cream", [("Quiet", "blue", "serif", "s"), ("please", "purple", "hand", "s")], [one("owl")], on="label"),
    card(
        "white",
        [("BEACH", "blue", "wide", "L"), ("Sunday", "purple", "hand", "s")],
        [one("palm tree"), one("wave", "below", "small", 3)],
    ),
    card("black", [("Movie", "yellow", "poster", "L"), ("night", "pink", "hand", "s")], [one("popcorn")]),
    card(
        "light green/yellow",
        [("Where", "blue", "round", "s"), ("am I?", "blue", "round", "s")],
        [one("dinosaur", "below")],
        on="bubble",
    ),
    card("cream", [("Thank", "purple", "hand", "L"), ("you", "purple", "hand", "s")], [one("rose")]),
    card(
        "red/white",
        [("Merry", "red", "poster", "s"), ("Christmas", "red", "poster", "s")],
        [one("christmas tree")],
        on="paper",
        style="striped",
    ),
    card("teal", [("Run", "white", "wide", "L"), ("10 km", "white", "round", "s")], [one("shoe", size="large")]),
    card(
        "yellow/black",
        [("NO", "yellow", "wide", "L"), ("PARKING", "yellow", "wide", "s")],
        [one("car", "below")],
        on="band",
    ),
    card("cream", [("咖啡", "black", "cjk", "L"), ("早上好", "purple", "cjk", "s")], [one("coffee")], on="frame"),
    card(
        "green/black",
        [("Lesson 4", "white", "hand", "s"), ("Read p. 12", "yellow", "hand", "s")],
        [one("book")],
        on="chalkboard",
    ),
    card(
        "light blue/white",
        [("Anna Lee", "black", "serif", "s"), ("Designer", "purple", "round", "s")],
        [one("paint palette", size="small")],
        on="paper",
    ),
    card("navy", [("Chess", "white", "slab", "s"), ("club", "yellow", "round", "s")], [one("crown", size="large")]),
    card("orange", [("Foxes", "black", "poster", "L"), ("United", "black", "round", "s")], [one("fox")]),
    card("white/blue", [("Open", "white", "wide", "L"), ("9 to 5", "yellow", "round", "s")], [], on="post"),
    card(
        "pink",
        [("Bee", "black", "poster", "L"), ("happy", "black", "hand", "s")],
        [one("bee", "above", "medium", 2)],
        style="gradient",
    ),
    card(
        "light green",
        [("Picnic", "black", "hand", "L"), ("at noon", "black", "round", "s")],
        [one("watermelon"), one("strawberry", "below", "small", 4)],
    ),
    card(
        "blue/white", [("BIG NEWS", "blue", "wide", "s"), ("read all", "red", "round", "s")], [one("bell")], on="ticket"
    ),
    card(
        "teal/cream",
        [("Tea", "blue", "serif", "s"), ("time", "purple", "hand", "s")],
        [one("tea", size="large")],
        on="menu",
    ),
    card("cream", [("Be bold", "red", "poster", "L")], [one("fire")]),
    card(
        "purple/yellow",
        [("WINNER", "black", "poster", "s")],
        [one("trophy"), one("party popper", "below", "small", 2)],
        on="ribbon",
    ),
    card("light blue", [], [one("rainbow", size="large")], style="gradient"),
    card("red", [("爱", "white", "cjk", "L")], [one("rose", "sides", "medium", 2)], on="frame"),
)


def sheet() -> Image.Image:
    """All cards in rows of eight."""
    rows = -(-len(CARDS) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (SHOWN + GAP) + GAP, rows * (SHOWN + GAP) + GAP), "white")
    for i, one_card in enumerate(CARDS):
        scene = lay_out(one_card, SIDE, SIDE)
        if scene is None:
            raise SystemExit(f"card {i} does not fit: {[text.text for text in one_card.texts]}")
        picture = render(scene).resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)
        page.paste(picture, (GAP + i % COLUMNS * (SHOWN + GAP), GAP + i // COLUMNS * (SHOWN + GAP)))
    return page


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "cards.webp")
    sheet().save(path, quality=82)
    print(path)
