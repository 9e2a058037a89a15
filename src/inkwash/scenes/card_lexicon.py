"""What one language calls the parts of a card: colours, sizes, faces, counts, places, styles and structures.

`Lexicon` is the shape; `ENGLISH` is here, `CHINESE` in `card_lexicon_zh`, German, French and Spanish in
`card_lexicon_eu`. Patterns have the slots {q} a quoted text, {c} a colour, {how} the words for a text's looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Words = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Lexicon:
    """The words of one language.

    `things` are a singular with its article and a plural by the thing's name; English and Chinese take theirs from
    `things.THINGS`. `places` are for cards with texts and `bare_places` for those without.
    """

    code: str
    colors: Mapping[str, Words]
    backgrounds: Words
    background_sentences: Words
    text_color: Words
    text_how: Words
    all_text: Words
    glue: str
    sizes: Mapping[str, Words]
    faces: Mapping[str, Words]
    shapes: Mapping[str, tuple[str, str]]
    things: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    thing_sizes: Mapping[str, Words]
    counts: Mapping[int, Words]
    several: Words
    places: Mapping[str, Words]
    bare_places: Mapping[str, Words]
    styles: Mapping[str, Words]
    structures: Mapping[str, Words]
    panels: Mapping[str, Words]
    structure_sentences: Words
    thing_clauses: Words
    thing_sentences: Words
    nouns: Words
    genres: Mapping[str, Words] = field(default_factory=dict)
    joins: tuple[tuple[str, str], ...]
    no_text: Words
    quotes: tuple[str, ...]


ENGLISH = Lexicon(
    code="en",
    colors={
        "white": ("white", "white", "white", "pure white", "snow white"),
        "black": ("black", "black", "jet black"),
        "red": ("red", "red", "red", "bright red", "crimson", "scarlet", "cherry red"),
        "blue": ("blue", "blue", "royal blue", "cobalt blue", "cobalt"),
        "green": ("green", "green", "emerald green", "emerald", "grass green"),
        "yellow": ("yellow", "yellow", "sunny yellow", "golden", "gold", "lemon yellow"),
        "orange": ("orange", "orange", "bright orange", "tangerine"),
        "purple": ("purple", "purple", "violet", "royal purple"),
        "pink": ("pink", "pink", "rose", "light pink", "bubblegum pink"),
        "gray": ("gray", "grey", "mid grey"),
        "cream": ("cream", "cream", "beige", "ivory", "off-white", "cream-coloured"),
        "light blue": ("light blue", "sky blue", "pale blue", "baby blue", "pastel blue"),
        "light green": ("light green", "mint", "mint green", "pale green", "pastel green"),
        "navy": ("navy", "navy blue", "dark blue", "midnight blue", "deep blue"),
        "brown": ("brown", "brown", "chocolate brown", "dark brown"),
        "teal": ("teal", "teal", "petrol", "dark turquoise", "turquoise"),
    },
    backgrounds=(
        "{c} background", "on a {c} background", "on {c}", "with a {c} background", "{c} backdrop", "background {c}",
        "background in {c}", "background colour {c}", "the background {c}", "all on {c}", "against a {c} background",
        "a {c} background",
    ),
    background_sentences=(
        "The background is {c}", "Use a {c} background", "Make the background {c}", "{c} background",
        "I'd like a {c} background", "The background should be {c}", "Background: {c}", "Put it on {c}",
        "It has a {c} background", "Set the background to {c}",
    ),
    text_color=(
        "{q} in {c}", "{q} in {c}", "{q} in {c} letters", "{q} in {c} text", "{q} ({c})", "{q} in {c} type",
        "{q} written in {c}", "{c} letters {q}", "the {c} words {q}", "{q} in {c} lettering",
    ),
    text_how=(
        "{q} in {how} letters", "{q} in {how} letters", "{q} in {how} type", "{q} in {how} text", "{q} ({how})",
        "{how} text {q}", "{q} in {how} lettering", "{q}, {how}",
    ),
    all_text=(
        "all text in {c}", "all letters {c}", "{c} letters", "{c} lettering", "{c} text", "the text is {c}",
        "text in {c}", "letters in {c}", "with {c} letters", "everything written in {c}",
    ),
    glue=" ",
    sizes={
        "large": ("big", "large", "huge", "big", "bold big", "giant", "oversized"),
        "small": ("small", "small", "little", "tiny", "fine"),
    },
    faces={
        "wide": ("wide", "bold", "blocky", "monospaced"),
        "serif": ("serif", "classic serif", "Roman"),
        "slab": ("slab serif", "slab", "typewriter"),
        "round": ("rounded", "round", "soft rounded"),
        "hand": ("handwritten", "hand-lettered", "script", "handwriting-style"),
        "poster": ("poster", "display", "heavy", "chunky"),
        "cjk": ("Chinese", "Hei"),
    },
    shapes={
        "circle": ("circle", "circles"), "square": ("square", "squares"), "triangle": ("triangle", "triangles"),
        "star": ("star", "stars"), "heart": ("heart", "hearts"), "diamond": ("diamond", "diamonds"),
    },
    thing_sizes={
        "small": ("small", "little", "tiny", "mini", "small"),
        "large": ("big", "large", "huge", "giant", "big", "oversized"),
    },
    counts={
        2: ("two", "two", "2", "a couple of", "a pair of"), 3: ("three", "three", "3"), 4: ("four", "four", "4"),
        5: ("five", "five", "5"), 6: ("six", "six", "6", "half a dozen"),
    },
    several=("", "", "", "some ", "a few ", "several "),
    places={
        "above": ("above the text", "above it", "at the top", "on top", "over the words", "above"),
        "below": ("below the text", "below it", "at the bottom", "underneath", "under the text", "beneath the words"),
        "left": ("on the left", "to the left of the text", "left of the words", "on the left side", "at the left"),
        "right": ("on the right", "to the right of the text", "right of the words", "on the right side"),
        "corners": ("in the corners", "in the corners", "at the corners", "tucked into the corners"),
        "sides": ("on both sides", "left and right of the text", "on either side", "to the left and right"),
    },
    bare_places={
        "above": ("at the top", "on top", "in the upper half"), "below": ("at the bottom", "in the lower half"),
        "left": ("on the left", "on the left side"), "right": ("on the right", "on the right side"),
        "corners": ("in the corners", "at the corners"), "sides": ("on both sides", "to the left and right"),
    },
    styles={
        "flat": ("in flat colours", "with a plain flat background", "in one flat colour"),
        "gradient": ("with a gradient background", "soft gradient", "gradient background", "with a colour gradient"),
        "striped": ("with a striped background", "striped", "with stripes in the background", "striped background"),
        "dotted": ("with a dotted background", "polka dots", "polka dot background", "with dots in the background"),
        "paper": ("with a paper texture", "textured paper background", "grainy paper look", "paper texture"),
    },
    structures={
        "plain": ("plain, no frame", "no frame or banner", "plain layout", "just the plain ground"),
        "frame": ("in a frame", "with a frame", "with a frame around it", "framed", "with a border"),
        "band": ("on a band", "with a band across", "on a wide band", "with a bar behind the text"),
        "paper": ("on a sheet of paper", "on a piece of paper", "on a note", "on a card lying on top"),
        "bubble": ("in a speech bubble", "inside a speech bubble", "in a bubble"),
        "chalkboard": ("on a chalkboard", "on a blackboard", "written on a chalkboard"),
        "ticket": ("on a ticket", "as a ticket", "shaped like a ticket"),
        "slide": ("on a slide", "as a slide", "as a presentation slide", "with a title bar like a slide"),
        "menu": ("on a menu", "as a menu", "on a menu card", "laid out like a menu"),
        "post": ("on a sign post", "on a sign on a post", "as a sign on a pole", "on a wooden post"),
        "label": ("on a label", "as a label", "on a sticker label"),
        "ribbon": ("on a ribbon", "on a banner ribbon", "with a ribbon"),
    },
    panels={
        "frame": ("in a {c} frame", "with a {c} frame"),
        "band": ("on a {c} band", "with a {c} band across", "with a {c} bar behind the text"),
        "paper": ("on a {c} sheet of paper", "on {c} paper", "on a {c} note"),
        "bubble": ("in a {c} speech bubble", "inside a {c} bubble"),
        "chalkboard": ("on a {c} chalkboard", "on a {c} blackboard"),
        "ticket": ("on a {c} ticket", "as a {c} ticket"),
        "slide": ("on a slide with a {c} title bar", "as a slide with a {c} header"),
        "menu": ("on a {c} menu card", "on a {c} menu"),
        "post": ("on a {c} sign on a post", "on a {c} sign post"),
        "label": ("on a {c} label", "as a {c} label"),
        "ribbon": ("on a {c} ribbon", "with a {c} ribbon"),
    },
    structure_sentences=(
        "Draw it {s}", "Everything is {s}", "The text goes {s}", "Show it {s}", "I want it {s}", "Make it {s}",
    ),
    thing_clauses=(
        "with {O}", "and {O}", "{O}", "{O}", "plus {O}", "with {O}", "decorated with {O}", "featuring {O}",
        "illustrated with {O}", "accompanied by {O}", "along with {O}", "also {O}",
    ),
    thing_sentences=(
        "Add {O}", "There should be {O}", "Show {O}", "Decorate it with {O}", "Put in {O}", "Include {O}",
        "I want {O} on it", "Also draw {O}", "It also has {O}", "Don't forget {O}", "Please add {O}", "Use {O}",
        "Illustrate it with {O}", "There is {O}", "With {O}",
    ),
    nouns=(
        "poster", "sign", "picture", "card", "banner", "image", "flyer", "cover", "graphic", "illustration", "design",
        "print",
    ),
    joins=(
        (", ", " and "), (", ", " and "), (", ", ", "), (" and ", " and "), (", ", ", and "), (" ", " "), ("; ", "; "),
        (" / ", " / "), (", then ", ", then "), (", below it ", " and below it "), ("\n", "\n"), (" + ", " + "),
        ("\n- ", "\n- "),
        (", ", ", at the bottom "), (", ", " and at the bottom "), (" and under it ", " and under it "),
    ),
    no_text=(
        "no text", "without text", "no words", "without any words", "no letters", "text free", "no writing on it",
        "don't write anything", "no text at all please", "without lettering",
    ),
    quotes=('""',) * 45 + ("“”",) * 18 + ("''",) * 13 + ("‘’",) * 5 + ("„“",) * 5 + ("«»",) * 4 + ("「」",),
)  # fmt: skip
