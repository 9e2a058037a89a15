"""What the page shows before anything is drawn: prompts with their pictures, and words that help a prompt.

`python -m bench.page_examples` draws the pictures in `static/examples` with the shipped model; a name is a file there.
"""

from __future__ import annotations

from inkwash.engine.notes import Abilities

EXAMPLES = [
    {"name": "hello", "prompt": 'A poster that says "HELLO"', "seed": 1},
    {"name": "open", "prompt": 'A blue sign that says "OPEN" in white letters', "seed": 2},
    {"name": "sale", "prompt": 'A poster with the words "SALE" and "50%"', "seed": 3},
    {"name": "bread", "prompt": 'A sign "FRESH BREAD" on a yellow background', "seed": 4},
]
_WISHES = (  # a word that a model may know, and how a prompt says it
    ("balloon", "with balloons"),
    ("cake", "with a cake"),
    ("cat", "with a cat"),
    ("heart", "with a heart"),
    ("star", "with a star"),
    ("chalkboard", "on a chalkboard"),
    ("ribbon", "on a ribbon"),
    ("speech bubble", "in a speech bubble"),
    ("gradient", "with a gradient background"),
    ("red", "on a red background"),
    ("navy", "on a navy background"),
    ("circle", "with a circle"),
)
MOST_HELPERS = 8


def helpers(limits: Abilities) -> list[str]:
    """Words to add to a prompt, of what the model knows."""
    named = (*limits.things, *limits.colors, *limits.styles)
    known = {word.lower() for one in named for word in one.words}
    return [words for key, words in _WISHES if key in known][:MOST_HELPERS]
