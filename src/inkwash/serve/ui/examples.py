"""What the page shows before anything is drawn: prompts with their pictures, and words that help a prompt.

`python -m bench.page_examples` draws the pictures in `static/examples` with the shipped model; a name is a file there.
"""

from __future__ import annotations

from inkwash.engine.notes import Abilities

EXAMPLES = [
    {"name": "garden", "prompt": 'A blue poster that says "GARDEN"', "seed": 1},
    {"name": "sale", "prompt": 'A yellow poster with "SALE" in large red letters', "seed": 1},
    {"name": "open", "prompt": 'A sign that says "OPEN"', "seed": 1},
    {"name": "hello", "prompt": 'A green poster that says "Hello World"', "seed": 2},
    {"name": "tea", "prompt": 'A card with the words "TEA" and "COFFEE"', "seed": 1},
    {"name": "love", "prompt": 'A pink card that says "LOVE"', "seed": 1},
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
