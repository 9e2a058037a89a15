"""What the page shows before anything is drawn: prompts with their pictures, and words that help a prompt.

`python -m bench.page_examples` draws the pictures in `static/examples` with the shipped model; a name is a file there.
"""

from __future__ import annotations

from inkwash.engine.notes import Abilities

EXAMPLES = [
    {"name": "summer", "prompt": 'A blue poster with a sun that says "SUMMER"', "seed": 1},
    {"name": "birthday", "prompt": 'A birthday card with a cake that says "Happy Birthday"', "seed": 1},
    {"name": "coffee", "prompt": 'A coffee shop sign, "Fresh Coffee", with a cup of coffee', "seed": 1},
    {"name": "party", "prompt": 'A party flyer with balloons: "PARTY" and "Friday 8 pm"', "seed": 2},
    {"name": "thanks", "prompt": 'Thank you card with flowers that says "Thank you"', "seed": 1},
    {"name": "open", "prompt": 'A sign that says "OPEN"', "seed": 1},
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
